"""What all rules share: the study, input functions, resources, the hash of a rule's code."""

import fcntl
import json
import re
import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

REPOSITORY = Path(workflow.basedir)
sys.path.insert(0, str(REPOSITORY / "scripts"))

from gridwell.config.errors import InputError
from gridwell.config.models import Assay, Role
from gridwell.config.study import load_study
from gridwell.images.check import check_images
from gridwell.images.reader import inspect
from gridwell.versions.code import code_hash


def read_study():
    """Load and check the whole study; every mistake is told at once, before any job."""
    try:
        study = load_study(Path.cwd(), overrides=dict(config))
        # A job on a cluster node reads the study again, but not the headers of all images.
        if workflow.is_main_process and (problems := check_images(study)):
            raise InputError(problems)
    except InputError as error:
        raise WorkflowError(f"The study has mistakes:\n{error}") from None
    return study


def take_over_stale_locks():
    """Remove the locks of a run that was killed, so that the same command goes on.

    Snakemake's locks outlive the process; a lock of the kernel does not. Whoever gets it
    knows that no other run of this study is alive on this machine.
    """
    try:
        Path(".snakemake").mkdir(exist_ok=True)
        lock = open(".snakemake/gridwell.run.lock", "w")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return None
    for stale in Path(".snakemake/locks").glob("*.lock"):
        stale.unlink(missing_ok=True)
    return lock


study = read_study()
run_lock = take_over_stale_locks() if workflow.is_main_process else None


def any_of(names):
    """Regular expression for exactly these names; one that matches nothing for none."""
    return "|".join(sorted(map(re.escape, names))) or "(?!)"


def slides_of(*assays):
    return [name for name, slide in study.slides.items() if slide.assay in assays]


def segmented(slide):
    """Channels of a slide in which objects are found, in the order of channels.tsv."""
    if study.slides[slide].assay is Assay.COLORIMETRY:
        return []
    return [
        channel.channel
        for channel in study.channels[slide]
        if channel.role not in {Role.GRID, Role.COLOUR}
        and study.config.segment.of(channel.channel).method != "none"
    ]


def channel_of(slide, role):
    """Name of the slide's channel of a role; of the first channel, where none has it."""
    own = study.channels[slide]
    return next(
        (channel.channel for channel in own if channel.role is role), own[0].channel
    )


def get_sources(wildcards):
    """The slide's raw images: where channels.tsv says, or already in raw/ when those are gone."""
    files = [study.path_of(channel) for channel in study.channels[wildcards.slide]]
    if all(file.exists() for file in files):
        return sorted({str(file) for file in files})
    return sorted(
        {f"raw/{wildcards.slide}/{name}" for name in ingested(wildcards.slide).values()}
    )


@cache
def ingested(slide):
    """File in raw/<slide> of each channel that was ingested before."""
    try:
        description = json.loads(Path("raw", slide, "slide.json").read_text())
    except OSError:
        return {}
    return {channel["channel"]: channel["file"] for channel in description["channels"]}


def get_override(wildcards):
    file = Path("config/overrides", f"{wildcards.slide}.yaml")
    return [str(file)] if file.exists() else []


def get_layout(wildcards):
    layout = study.slides[wildcards.slide].layout
    return [f"config/layouts/{layout}"] if layout else []


def options(section):
    """One section of the configuration as plain data, for params."""
    return getattr(study.config, section).model_dump(mode="json")


def code(rule):
    return code_hash(REPOSITORY / "scripts" / f"{rule}.py")


@cache
def slide_width(slide):
    """Width of a slide in 10^3 pixels: what a band of rows costs grows with it."""
    try:
        return inspect(study.path_of(study.channels[slide][0])).width / 1000
    except InputError:
        return 13.0  # ingested long ago and not at hand: as wide as a droplet slide


def memory(base, per_kpx=0):
    """Memory in MB: a base, plus so much for each 1000 px of the slide's width; more on a retry."""

    def mem_mb(wildcards, attempt):
        slide = getattr(wildcards, "slide", None)
        return int((base + per_kpx * (slide_width(slide) if slide else 0)) * attempt)

    return mem_mb


def minutes(base):
    """Run time in minutes, doubled on each retry."""

    def runtime(wildcards, attempt):
        return base * 2 ** (attempt - 1)

    return runtime


# detect_grid and segment may use a GPU unless the study forbids it.
GPUS = 0 if study.config.gpu == "forbid" else 1


def failure_summary(log):
    """Name the logs of this run's failed jobs with the last line of each."""
    text = Path(log).read_text(errors="replace") if Path(log).exists() else ""
    found = dict.fromkeys(
        re.findall(r"^\s+log: (\S+) \(check log file", text, re.MULTILINE)
    )
    lines = ["", "Failed jobs; everything that does not depend on them was finished:"]
    for name in found:
        said = (
            Path(name).read_text(errors="replace").strip()
            if Path(name).exists()
            else ""
        )
        lines.append(f"  {name}: {said.splitlines()[-1] if said else 'no message'}")
    return "\n".join(lines) if found else ""

"""What all rules share: the study, input functions, resources, the hash of a rule's code."""

import fcntl
import json
import os
import re
import shlex
import sys
import time
from functools import cache
from pathlib import Path
from socket import gethostname

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

REPOSITORY = Path(workflow.basedir)
SCRIPTS = str(REPOSITORY / "scripts")
sys.path.insert(0, SCRIPTS)
# Scripts take the library beside them too, not one that is installed: Snakemake puts their
# folder last on the path, and the record names the commit of this one.
os.environ.update(
    PYTHONPATH=os.pathsep.join(filter(None, [SCRIPTS, os.environ.get("PYTHONPATH")]))
)

from gridwell.config.errors import InputError
from gridwell.config.hashes import content_hash
from gridwell.config.layouts import layout_files
from gridwell.config.models import Assay, Role
from gridwell.config.learn import ANNOTATIONS, needed
from gridwell.config.provenance import made
from gridwell.config.settings import (
    carrier_of,
    controls_of,
    empty_spots_of,
    override_of,
    screen_settings,
    slide_settings,
)
from gridwell.config.study import load_study
from gridwell.config.weights import is_of_study, own_model, weights_of
from gridwell.images.check import TABLE, check_images
from gridwell.images.delivery import copies_in_place, replaced, sources_of
from gridwell.images.reader import inspect
from gridwell.network.elements import weights_path
from gridwell.runs.log import RunLog
from gridwell.runs.orphans import cancel_orphans
from gridwell.runs.slurm import plain_states
from gridwell.runs.plan import planned
from gridwell.runs.words import failures_in_words
from gridwell.versions.begin import begin_run
from gridwell.versions.code import changed_code, code_hash, code_state
from gridwell.versions.checks import check_dataset

# One computation, one thread, in every job: the parallelism is over spots, and sums that are
# split among threads would depend on how many there are. And one heap: where each thread keeps
# what it has freed, a job takes a tenth more memory.
for name in (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "MALLOC_ARENA_MAX",
):
    os.environ[name] = "1"


def read_study():
    """Load and check the whole study; every mistake is told at once, before any job.

    An image that is damaged is told too, but stops only its own slide, in `ingest`.
    """
    damaged = []

    def wrong_in_study(study):
        # A job on a cluster node reads the study again, but not the headers of all images.
        if not workflow.is_main_process:
            return []
        problems = check_images(study)
        # What trainings are made of is looked into only where there are some.
        recipes = []
        if study.config.learn:
            from gridwell.learn.presets import wrong_recipes

            recipes = wrong_recipes(study.config.learn)
        damaged.extend(problem for problem in problems if problem.file != TABLE)
        wrong = [problem for problem in problems if problem.file == TABLE]
        return [*check_dataset(study, REPOSITORY), *wrong, *recipes]

    try:
        study = load_study(Path.cwd(), dict(config), also=wrong_in_study)
    except InputError as error:
        mistakes = [*error.problems, *damaged]
        raise WorkflowError(
            f"The study has mistakes:\n{InputError(mistakes)}"
        ) from None
    for problem in damaged:
        logger.warning(f"A slide will fail: {problem}")
    return study


def take_over_stale_locks():
    """Remove the locks of a run that was killed, so that the same command goes on.

    Snakemake's locks outlive the process; a lock of the kernel does not. Whoever gets it
    knows that no other run of this study is alive on this machine. File systems of clusters
    may not share it among login nodes: locks of a run on another one are left to `--unlock`.
    """
    try:
        Path(".snakemake").mkdir(exist_ok=True)
        lock = open(".snakemake/gridwell.run.lock", "a+")
    except OSError:
        return None
    if not locked(lock):
        return None
    lock.seek(0)
    host, said = gethostname(), lock.read()
    if not said or f'"{host}"' in said:
        for stale in Path(".snakemake/locks").glob("*.lock"):
            stale.unlink(missing_ok=True)
    lock.truncate(0)
    lock.write(json.dumps({"host": host, "pid": os.getpid()}))
    lock.flush()
    return lock


def locked(file):
    """Take the kernel's lock of a file, if no run has it. `gridwell status` has it for moments."""
    for _ in range(5):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            time.sleep(0.05)
    return False


def begin():
    """Before the first job: no job of a dead run goes on, there is room to work in, and the
    history has what this run starts from.
    """
    try:
        if orphans := cancel_orphans(study.root):
            logger.warning(
                f"Jobs of an earlier run were still in the queue and are cancelled: {' '.join(orphans)}"
            )
        # A link to scratch outlives what it points to: sites clear such disks.
        Path("work").resolve().mkdir(parents=True, exist_ok=True)
        if study.config.versioning == "datalad":
            begin_history()
    except (InputError, OSError, RuntimeError) as error:
        raise WorkflowError(f"The run cannot begin: {error}") from None


def begin_history():
    for path in changed_code(REPOSITORY):
        logger.warning(
            f"No record will be made of this run: {path} of gridwell was changed and not "
            "committed. Commit it, and the record is made in the end."
        )
    begin_run(study.root, REPOSITORY)


def mend_slurm_plugin():
    """See to it that no cancelled or preempted job is waited for for ever."""
    plugin = sys.modules.get("snakemake_executor_plugin_slurm")
    if plugin is not None:
        plugin.query_job_status = plain_states(plugin.query_job_status)


study = read_study()
mend_slurm_plugin()
run_lock = take_over_stale_locks() if workflow.is_main_process else None


def any_of(names):
    """Regular expression for exactly these names; one that matches nothing for none."""
    return "|".join(sorted(map(re.escape, names))) or "(?!)"


def slides_of(*assays):
    return [name for name, slide in study.slides.items() if slide.assay in assays]


def segmented(slide):
    """Names of the slide's channels in which objects are found."""
    return [channel.channel for channel in study.segmented(slide)]


def method_of(slide, channel):
    """How a channel of a slide is segmented."""
    own = {one.channel: one.role for one in study.channels[slide]}
    return study.config.segment.of(channel, own[channel])


def channel_of(slide, role):
    """Name of the slide's channel of a role; of the first channel, where none has it."""
    own = study.channels[slide]
    return next(
        (channel.channel for channel in own if channel.role is role), own[0].channel
    )


def get_delivery(wildcards, output):
    """Where the slide's images come from and how. No part of a result, so no change of it
    computes anything again: Snakemake leaves functions of `output` out of its comparison.
    """
    sources = sources_of(study, wildcards.slide)
    copies = copies_in_place(study, wildcards.slide)
    return {
        "sources": {name: str(path) for name, path in (copies or sources).items()},
        "paths": {
            channel.channel: channel.path for channel in study.channels[wildcards.slide]
        },
        "options": options("ingest"),
    }


def get_replaced(wildcards):
    """Images that a changed delivery takes the place of: then the slide is brought in again."""
    return replaced(study.root, wildcards.slide)


def get_override(wildcards):
    file = Path("config/overrides", f"{wildcards.slide}.yaml")
    return [str(file)] if file.exists() else []


def get_reference(wildcards):
    """The grid of another slide, where the override says that this one has the same."""
    override = study.overrides.get(wildcards.slide)
    if override is None or override.same_as is None:
        return []
    grid = rules.detect_grid.output
    return expand([grid.json, grid.csv], slide=override.same_as)


def files_of_layouts(slides):
    """Files of the slides' layouts: also the plate maps that a table of barcodes names."""
    names = {slide.layout for slide in slides if slide.layout}
    files = {
        str(path)
        for name in names
        for path in layout_files(Path("config/layouts", name))
    }
    return sorted(files)


def get_layout(wildcards):
    return files_of_layouts([study.slides[wildcards.slide]])


def get_calibration(wildcards):
    """The calibration of another study, where the configuration names one."""
    named = study.config.colour.calibration
    return [named] if named else []


# What the fusion of a viability slide takes, in this order.
FUSED = (Role.NUCLEI, Role.LIVE, Role.DEAD)


def of_slide(facts):
    """Function for params: what `facts` tells of the wildcards' slide."""

    def get_facts(wildcards):
        return facts(study, wildcards.slide)

    return get_facts


def of_channels(output):
    """Input function: one segmentation output for every segmented channel of the slide."""

    def get_files(wildcards):
        return expand(output, slide=wildcards.slide, channel=segmented(wildcards.slide))

    return get_files


def of_roles(output):
    """Input function: one segmentation output for each of nuclei, live, dead, in this order."""

    def get_files(wildcards):
        channels = [channel_of(wildcards.slide, role) for role in FUSED]
        return expand(output, slide=wildcards.slide, channel=channels)

    return get_files


def of_fused(output):
    """Input function: an output of the fusion, for slides that are fused."""

    def get_file(wildcards):
        fused = study.slides[wildcards.slide].assay is Assay.VIABILITY
        return expand(output, slide=wildcards.slide) if fused else []

    return get_file


def get_layouts(wildcards):
    return files_of_layouts(study.slides.values())


def get_all_instances(wildcards):
    return [
        f"results/{slide}/instances/{channel}.parquet"
        for slide in study.slides
        for channel in segmented(slide)
    ]


def get_slide_results(wildcards):
    """Every file of the slides' results that is worth recording.

    version.json is left out: it names a commit.
    """
    per_slide = [
        "grid.json",
        "grid.csv",
        "grid.geojson",
        "tables.zarr",
        "grid.png",
        "spots.csv",
        "spots.csv.provenance.json",
        "report.html",
    ]
    files = [f"results/{slide}/{name}" for slide in study.slides for name in per_slide]
    for slide in slides_of(Assay.VIABILITY):
        files += [f"results/{slide}/cells.parquet", f"results/{slide}/shifts.json"]
    for slide in slides_of(Assay.COLORIMETRY):
        colour = rules.measure_colour.output
        files += expand([colour.colours, colour.calibration], slide=slide)
    for slide in study.slides:
        for channel in segmented(slide):
            files += [
                f"results/{slide}/labels/{channel}.zarr",
                f"results/{slide}/instances/{channel}.parquet",
            ]
            files += networks_of(method_of(slide, channel))
        if study.config.export == "plate":
            files.append(f"results/{slide}/plate.zarr")
    return list(dict.fromkeys(files))


def get_results(wildcards):
    """Every file of the results that is worth recording."""
    both = [*rules.screen.output, *rules.report_screen.output]
    return [*get_slide_results(wildcards), *both]


def networks_of(method):
    """Networks of the study that a method needs, and their cards: they are results as well."""
    name = (
        own_model(method.weights, study.config.learn)
        if method.method in LEARNED
        else None
    )
    endings = ("safetensors", "md") if trained else ("safetensors",)
    return [f"models/{name}.{ending}" for ending in endings] if name else []


# A run of some slides takes the networks as they are: other slides taught them as well.
trained = {} if config.get("slides") else study.config.learn


def learned_slides(model):
    """Slides that a network learns from."""
    own = study.config.learn[model]
    if own.labels == "folder":
        return []
    having = {
        slide: {channel.channel for channel in channels}
        for slide, channels in study.channels.items()
    }
    return list(own.slides) or [
        slide for slide, names in having.items() if {*own.channels} <= names
    ]


def get_learned_spots(wildcards):
    return expand(rules.crop_spots.output.spots, slide=learned_slides(wildcards.model))


def labelled_folder(model):
    """Folder of labelled images of a network; None where it needs none and has none."""
    own = study.config.learn[model]
    if own.labels == "folder":
        return own.folder
    folder = Path(ANNOTATIONS, own.channels[0])
    return str(folder) if own.labels != "teacher" or folder.is_dir() else None


def get_labelled(wildcards):
    folder = labelled_folder(wildcards.model)
    kinds = ("images", "labels", "classes")
    files = [path for kind in kinds for path in Path(folder or "", kind).glob("[!.]*")]
    index = Path(folder or "", "index.tsv")
    return (
        sorted(map(str, [*files, index] if index.exists() else files)) if folder else []
    )


def get_start(wildcards):
    """Weights that a network goes on from."""
    own = study.config.learn[wildcards.model]
    if own.pretrain != "none":
        return expand(rules.pretrain.output.weights, model=wildcards.model)
    return [str(weights_of(own.start))] if own.start else []


def get_known_sides(wildcards):
    """The data of networks that another goes on or learns from: their test stays the test."""
    own = study.config.learn[wildcards.model]
    return [f"work/learn/{first}/data" for first in needed(own, study.config.learn)]


def get_teacher_weights(wildcards):
    own = study.config.learn[wildcards.model]
    return weights_files(own.teacher) if own.labels in ("teacher", "both") else []


# Methods that need weights.
LEARNED = ("network", "auto", "pixel_classifier")


def get_weights(wildcards):
    """Weights of the study that segment a channel; those that come with gridwell are none."""
    return weights_files(method_of(wildcards.slide, wildcards.channel))


def weights_files(method):
    """Files of the study that a method needs."""
    own = method.method in LEARNED and is_of_study(method.weights)
    return [str(weights_of(method.weights))] if own else []


def get_shipped_weights(wildcards):
    """Hash of weights that come with gridwell, where they segment a channel."""
    method = method_of(wildcards.slide, wildcards.channel)
    path = weights_of(method.weights)
    given = method.method in LEARNED and not is_of_study(method.weights)
    return hash_of_file(path) if given and path.is_file() else None


def model_options(names=""):
    """What the study says of a network, or some of it, as plain data for params."""

    def get_options(wildcards):
        model = study.config.learn[wildcards.model]
        return model.model_dump(mode="json", include=set(names.split()) or None)

    return get_options


def learning_gpus(wildcards):
    """GPUs that train a network. No parameter: another number computes nothing again."""
    return GPUS * study.config.learn[wildcards.model].gpus


def learning_threads(wildcards):
    """A process for each GPU, of one thread."""
    return max(1, learning_gpus(wildcards))


def learning_memory(base):
    """Memory in MB: a base, plus what images with their targets take; more on a retry.

    Each process holds them, and so does the one that starts several.
    """

    def mem_mb(wildcards, threads, attempt):
        model = study.config.learn[wildcards.model]
        fields = model.pretrain_fields if model.pretrain != "none" else 0
        holders = threads if threads == 1 else threads + 1
        own = base + 12 * model.crops + 2 * fields
        return int((AROUND + own * holders) * attempt)

    return mem_mb


def options(section):
    """One section of the configuration as plain data, for params."""
    return getattr(study.config, section).model_dump(mode="json")


def script_of(rule):
    return REPOSITORY / "scripts" / f"{rule}.py"


def code(rule):
    """Function for params: hash of a rule's code. A job on a cluster works out its own alone."""

    def get_code(wildcards):
        return hash_of_code(rule)

    return get_code


@cache
def hash_of_code(rule):
    return code_hash(script_of(rule))


# What the tables of a slide are made by, one after the other, by assay.
MADE_BY = {
    Assay.VIABILITY: ("segment", "fuse"),
    Assay.OBJECTS: ("segment", "summarise_objects"),
    Assay.COLORIMETRY: ("measure_colour",),
}


@cache
def state_of(*rules):
    return code_state(
        *map(script_of, ("ingest", "tile", "detect_grid", "crop_spots")),
        *map(script_of, rules),
    )


def provenance(stage):
    """Function for params: what a slide's results of a stage are made with, for their header."""

    def get_provenance(wildcards):
        rules = MADE_BY[study.slides[wildcards.slide].assay]
        if stage == "segment":
            rules = rules[:1]
        if stage == "report":
            rules = (*rules, "report_slide")
        settings = slide_settings(study, wildcards.slide, stage)
        return made(state_of(*rules), settings, grid_models())

    return get_provenance


def screen_provenance(report=False):
    """Function for params: what the tables or the report of the screen are made with."""

    def get_provenance(wildcards):
        by = {rule for slide in study.slides.values() for rule in MADE_BY[slide.assay]}
        rules = (*sorted(by), "screen", *(["report_screen"] if report else []))
        return made(state_of(*rules), screen_settings(study, report=report))

    return get_provenance


def grid_models():
    """SHA-256 of the network that finds the grid, where one does."""
    by_network = study.config.grid.elements == "network"
    return {weights_path().stem: hash_of_file(weights_path())} if by_network else {}


hash_of_file = cache(content_hash)


def rerun_command():
    """Shell command that computes all results of this run again, whoever runs it."""
    said = [f"{key}={json.dumps(value)}" for key, value in sorted(config.items())]
    given = ["--config", *said] if said else []
    command = ["snakemake", "--snakefile", "workflow/Snakefile", "--forceall"]
    return shlex.join([*command, *given, "--cores", "all", "--", "analysis"])


@cache
def slide_size(slide):
    """Width and height of a slide in 10^3 pixels."""
    try:
        info = inspect(study.path_of(study.channels[slide][0]))
    except InputError:
        # Ingested long ago and not at hand: as large as a droplet slide.
        return 13.0, 38.0
    return info.width / 1000, info.height / 1000


# Memory in MB of the two Snakemake processes that stand around a script in a job of a cluster.
AROUND = 450


def memory(base, per_kpx=0):
    """Memory in MB: a base, plus so much for each 1000 px of the slide's width, for what a band
    of rows costs grows with it; more on a retry.
    """

    def mem_mb(wildcards, attempt):
        slide = getattr(wildcards, "slide", None)
        width = slide_size(slide)[0] if slide else 0
        return int((AROUND + base + per_kpx * width) * attempt)

    return mem_mb


def minutes(base, per_gpx=0):
    """Run time in minutes: a base, plus so much for each 10^9 px of a plane of the slide;
    doubled on each retry.
    """

    def runtime(wildcards, attempt):
        slide = getattr(wildcards, "slide", None)
        width, height = slide_size(slide) if slide else (0, 0)
        return int((base + per_gpx * width * height / 1000) * 2 ** (attempt - 1))

    return runtime


def processes(most):
    """Threads of a job over the spots of a slide: at most so many, and one on a small slide.

    Another process is worth the seconds until it has started from some 16 million pixels of a
    plane on; small slides are better worked on side by side.
    """

    def threads(wildcards):
        width, height = slide_size(wildcards.slide)
        return max(1, min(most, int(width * height / 16)))

    return threads


# detect_grid, segment, pretrain and train may use a GPU unless the study forbids it.
GPUS = 0 if study.config.gpu == "forbid" else 1

# A profile for a cluster says where rules with a GPU run; without one they run where all do.
if not GPUS:
    settings = workflow.resource_settings
    elsewhere = {"slurm_partition", "gpu_model"}
    settings.overwrite_resources = {
        name: type(own)({key: own[key] for key in own if key not in elsewhere})
        for name, own in settings.overwrite_resources.items()
    }


run_log = RunLog()


def begin_log():
    """Open the log of this run, which `gridwell status` reads, with all that is to be done."""
    run_log.open(study.root, planned(workflow))
    logger.addHandler(run_log)


def failure_summary():
    """Name this run's failed jobs with the last line of their logs and where these are."""
    words = failures_in_words(run_log.run, study.root)
    return f"\n{words}" if words else ""

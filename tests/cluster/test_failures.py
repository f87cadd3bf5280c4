"""What goes wrong on a cluster, in three runs of one study: nothing is lost or done twice.

The first run meets jobs that are killed for memory, run out of time, are cancelled and preempted, a
node that vanishes, a damaged image and a full disk. The second, with the last two made good, is
killed with jobs in the queue. The third is the same command once more.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import pandas as pd
import pytest
import yaml
from gridwell.config.models import Assay
from gridwell.phantom.options import PhantomOptions
from gridwell.phantom.slide import simulate_slide
from gridwell.phantom.study import simulate_study
from gridwell.versions.new import new_study

from tests.cluster.conftest import words_of
from tests.cluster.slurm import Cluster, Job, Running, slurm, wait_for
from tests.workflow.test_run import add_slide, damage

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.xdist_group("cluster")]

# The tiny slide and copies of it, named for what happens to them, and a colour scan.
GOOD = "T01"
COPIES = ("timed", "cancelled", "node", "preempted", "damaged", "full")
HUNGRY = "hungry"
TARGETS = ("grids", f"results/{HUNGRY}/spots.csv")


@dataclass
class Story:
    """What happened to the study so far, run by run."""

    study: Path
    victims: dict[str, Running] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    attempts: list[list[Job]] = field(default_factory=list)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """The study before its first run."""
    study = tmp_path_factory.mktemp("failures") / "study"
    new_study(study, versioning=False)
    simulate_study(study, size="tiny", versioning="off")
    with (study / "config/config.yaml").open("a") as config:
        config.write("colour: {metric: hue}\n")
    image = study / f"landing/{GOOD}/{GOOD}_brightfield.ome.tif"
    for name in COPIES:
        add_slide(study, name, damage(image, "truncated") if name == "damaged" else image)
    scan = PhantomOptions(
        slide=HUNGRY, assay=Assay.COLORIMETRY, rows=3, cols=4, bits=8, margin=60, files="striped"
    )
    simulate_slide(scan, study / f"landing/{HUNGRY}")
    with (study / "config/slides.tsv").open("a") as sheet:
        sheet.write(f"{HUNGRY}\tcolorimetry\t\t\t\n")
    with (study / "config/channels.tsv").open("a") as sheet:
        sheet.write(f"{HUNGRY}\tscan\tcolour\tlanding/{HUNGRY}/{HUNGRY}_scan.tif\t0\t\n")
    return study


@pytest.fixture(scope="module")
def profile(repository, tmp_path_factory) -> Path:
    """A copy of profiles/slurm where one rule asks for too little memory at first."""
    settings = yaml.safe_load((repository / "profiles/slurm/profile.yaml").read_text())
    # What Snakemake alone needs in a job is more.
    settings["set-resources"]["measure_colour"] = {"mem_mb": "200 * 8 ** (attempt - 1)"}
    profile = tmp_path_factory.mktemp("profile")
    (profile / "profile.yaml").write_text(yaml.safe_dump(settings))
    return profile


@pytest.fixture(scope="module")
def small_disk(study) -> Iterator[Path]:
    """A disk for the slide `full` that has no room for its pyramid."""
    place = study / "work/full"
    place.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", place]
    done = subprocess.run(mount, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    # Snakemake takes folders that are empty away, which this one does not allow.
    (place / ".disk").touch()
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture(scope="module")
def first(cluster, study, profile, small_disk, submit, follow) -> Story:
    """The run with all the mishaps."""
    story = Story(study)

    def mishaps(job: Running) -> None:
        for name, mishap in MISHAPS.items():
            if name not in story.victims and mishap(cluster, job):
                story.victims[name] = job
                return

    story.said.append(follow(submit(study, profile, *TARGETS), study, mishaps))
    story.attempts.append(cluster.jobs(study))
    cluster.start_node("gpu01")
    return story


def out_of_time(cluster: Cluster, job: Running) -> bool:
    """The job hangs, and has a minute left."""
    if job.work != ("tile", "timed") or not list(cluster.processes(job.id)):
        return False
    cluster.signal(job.id, signal.SIGSTOP)
    slurm("scontrol", "update", f"JobId={job.id}", "TimeLimit=1")
    return True


def cancelled(cluster: Cluster, job: Running) -> bool:
    """Somebody cancels the job."""
    if job.work != ("tile", "cancelled"):
        return False
    slurm("scancel", str(job.id))
    return True


def lost_node(cluster: Cluster, job: Running) -> bool:
    """The node of the job vanishes."""
    if job.rule != "detect_grid" or job.node != "gpu01" or not list(cluster.processes(job.id)):
        return False
    cluster.kill_node("gpu01")
    return True


def preempted(cluster: Cluster, job: Running) -> bool:
    """Somebody more important wants all the GPUs of the job's node."""
    if job.rule != "detect_grid" or job.node != "gpu02" or not list(cluster.processes(job.id)):
        return False
    urgent = ("-p", "urgent", "-N1", "-w", "gpu02", "--gres=gpu:a100:4", "-o", "/dev/null")
    slurm("sbatch", *urgent, "--wrap", "sleep 2")
    return True


MISHAPS = {
    "timed": out_of_time,
    "cancelled": cancelled,
    "node": lost_node,
    "preempted": preempted,
}


@pytest.fixture(scope="module")
def killed(cluster, first, profile, small_disk, submit) -> Story:
    """The same command with image and disk made good; killed with jobs in the queue."""
    whole = Path(first.study / f"landing/{GOOD}/{GOOD}_brightfield.ome.tif")
    (whole.parent / "broken.tif").write_bytes(whole.read_bytes())
    subprocess.run(["mount", "-o", "remount,size=50m", small_disk], check=True)

    study = first.study
    # One job is to run when Snakemake is killed, one to wait.
    slurm("scontrol", "update", "PartitionName=cpuonly", "State=DOWN")
    run = submit(study, profile, *TARGETS)
    try:
        wait_for(lambda: str(len(cluster.queue(study, "PENDING"))), "2")
        runs, waits = cluster.queue(study, "PENDING")
        slurm("scontrol", "hold", str(waits.id))
        slurm("scontrol", "update", "PartitionName=cpuonly", "State=UP")
        wait_for(lambda: str(len(list(cluster.processes(runs.id)))), "[1-9]")
        cluster.signal(runs.id, signal.SIGSTOP)
    finally:
        run.kill()
        run.wait()
        slurm("scontrol", "update", "PartitionName=cpuonly", "State=UP")
    first.victims |= {"running": runs, "waiting": waits}
    first.said.append(words_of(study).read_text())
    return first


@pytest.fixture(scope="module")
def last(cluster, killed, profile, submit, follow) -> Story:
    """The same command again. The jobs that were left go on when the new ones have begun."""
    left = killed.victims["running"], killed.victims["waiting"]
    awake: list[int] = []

    def watch(job: Running) -> None:
        if job.id > max(one.id for one in left) and not awake:
            awake.append(job.id)
            for one in left:
                subprocess.run(["scontrol", "release", str(one.id)], check=False)
                cluster.signal(one.id, signal.SIGCONT)

    killed.said.append(follow(submit(killed.study, profile, *TARGETS), killed.study, watch))
    killed.attempts.append(cluster.jobs(killed.study))
    return killed


def attempts_at(story: Story, rule: str, slide: str) -> list[Job]:
    return [job for job in story.attempts[-1] if job.work == (rule, slide)]


def states(jobs: list[Job]) -> list[str]:
    return [job.state for job in jobs]


def test_a_job_killed_for_memory_comes_back_with_more(first):
    attempts = attempts_at(first, "measure_colour", HUNGRY)
    assert states(attempts) == ["FAILED", "COMPLETED"]
    assert [job.mem_mb for job in attempts] == [200, 1600]
    assert pd.read_csv(first.study / f"results/{HUNGRY}/spots.csv").value.size == 12


def test_a_job_out_of_time_comes_back_with_more(first):
    attempts = attempts_at(first, "tile", "timed")
    assert states(attempts) == ["TIMEOUT", "COMPLETED"]
    [usual] = attempts_at(first, "tile", GOOD)
    assert [job.minutes for job in attempts] == [1, 2 * usual.minutes]


def test_a_cancelled_job_comes_back(first):
    assert states(attempts_at(first, "tile", "cancelled")) == ["CANCELLED", "COMPLETED"]


def test_jobs_of_a_lost_node_run_elsewhere(first):
    attempts = attempts_at(first, *first.victims["node"].work)
    assert attempts[0].node == "gpu01"
    assert attempts[-1].state == "COMPLETED"
    assert attempts[-1].node == "gpu02"


def test_a_preempted_job_runs_again(first):
    attempts = attempts_at(first, *first.victims["preempted"].work)
    assert "PREEMPTED" in states(attempts)
    assert attempts[-1].state == "COMPLETED"


def test_a_damaged_image_stops_its_slide_alone(first):
    assert not (first.study / "raw/damaged").exists()
    assert not [job for job in first.attempts[0] if job.wildcards == "damaged"]
    assert "broken.tif" in (first.study / "logs/ingest/damaged.log").read_text()


def test_a_full_disk_stops_its_slide_alone(first):
    attempts = attempts_at(first, "tile", "full")
    assert states(attempts) == ["FAILED"] * len(attempts)
    assert [path.name for path in (first.study / "work/full").iterdir()] == [".disk"]
    said = (first.study / "logs/tile/full.log").read_text()
    assert "No space left on device" in said
    assert "work/full" in said
    assert "Traceback" not in said


def test_all_other_slides_are_finished(first):
    grids = {path.parent.name: path for path in (first.study / "results").glob("*/grid.json")}
    assert set(grids) == {GOOD, HUNGRY, *COPIES} - {"damaged", "full"}
    assert {json.loads(path.read_text())["status"] for path in grids.values()} == {"ok"}
    del grids[HUNGRY]
    copies = {path.with_name("grid.csv").read_bytes() for path in grids.values()}
    assert len(copies) == 1


def test_the_last_words_name_what_failed_and_where_its_log_is(first):
    _, found, summary = first.said[0].rpartition("Failed jobs")
    assert found
    assert "logs/tile/full.log" in summary
    assert "logs/ingest/damaged.log" in summary
    assert "logs/tile/timed.log" not in summary  # it came back, and is done
    assert "logs/measure_colour" not in summary


def test_the_same_command_finishes(last):
    assert "Failed jobs" not in last.said[-1]
    assert "(100%) done" in last.said[-1]
    grids = {path.read_bytes() for path in (last.study / "results").glob("*/grid.csv")}
    assert len(grids) == 2  # of the tiny slide and of the scan


def test_nothing_done_is_done_again(last):
    done = Counter(job.work for job in last.attempts[-1] if job.state == "COMPLETED")
    slides = {GOOD, HUNGRY, *COPIES}
    assert set(done) == {
        *((rule, slide) for rule in ("tile", "detect_grid") for slide in slides),
        *((rule, HUNGRY) for rule in ("crop_spots", "measure_colour")),
    }
    assert set(done.values()) == {1}


def test_no_two_jobs_do_the_same_at_the_same_time(last):
    ran = [job for job in last.attempts[-1] if job.start and job.end]
    both = [
        (one, other)
        for one, other in combinations(ran, 2)
        if one.work == other.work and one.start < other.end and other.start < one.end
    ]
    assert not both

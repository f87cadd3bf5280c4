"""profiles/slurm on a real cluster: each job asks for what its rule says, and gets it."""

from __future__ import annotations

import re
import shutil
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import psutil
import pytest
from gridwell.config.models import Assay
from gridwell.phantom.options import PhantomOptions
from gridwell.phantom.slide import simulate_slide
from gridwell.phantom.study import simulate_study
from gridwell.versions.new import new_study

from tests.cluster.slurm import Cluster, Job, Running
from tests.workflow.conftest import command_of, results_hashes, runner
from tests.workflow.test_run import slide_of

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.xdist_group("cluster")]

LOCAL = {"ingest", "version_raw", "version_results", "all", "models"}
# One slide of each assay, networks where they matter, and a network of the study's own.
CONFIG = """\
study: Simulated slides of each assay
versioning: "off"
export: plate
colour: {metric: hue}
segment:
  default: {method: local}
  channels: {live: {method: network}, reporter: {method: none}}
learn:
  own:
    channels: [nuclei]
    crops: 6
    pretrain: nuclei
    pretrain_fields: 4
    recipe: {steps: 4, every: 2, trust: 1, widths: [4, 4, 4, 4], batch: 2, crop: 64}
"""


@dataclass
class Outcome:
    """A run on the cluster: what Snakemake said, what Slurm did, what jobs saw."""

    study: Path
    said: str
    jobs: list[Job]
    gpus: dict[int, str] = field(default_factory=dict)
    """CUDA_VISIBLE_DEVICES of each job on a GPU node."""


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """A plain study of tiny slides of all assays."""
    study = tmp_path_factory.mktemp("profile") / "study"
    new_study(study, versioning=False)
    simulate_study(study, size="tiny", versioning="off")
    (study / "config/config.yaml").write_text(CONFIG)
    slides, channels = (study / f"config/{name}.tsv" for name in ("slides", "channels"))
    cells: dict[str, Any] = {"pitch": (160, 160), "spot_size": (120, 120), "cells": 25}
    scan: dict[str, Any] = {"pitch": (100, 100), "spot_size": (70, 70), "bits": 8}
    for name, assay, looks in (("O1", Assay.OBJECTS, cells), ("C1", Assay.COLORIMETRY, scan)):
        options = PhantomOptions(
            slide=name, assay=assay, rows=3, cols=4, margin=60, files="striped", **looks
        )
        simulate_slide(options, study / "landing" / name)
        with slides.open("a") as sheet:
            sheet.write(f"{name}\t{assay.value}\t\t\t\n")
        with channels.open("a") as sheet:
            for channel, role in options.channels.items():
                sheet.write(
                    f"{name}\t{channel}\t{role}\tlanding/{name}/{name}_{channel}.tif\t0\t\n"
                )
    return study


@pytest.fixture(scope="module")
def outcome(cluster, study, repository, submit, follow, tmp_path_factory) -> Outcome:
    """The study after its run on the cluster."""
    own = Path(shutil.copytree(study, tmp_path_factory.mktemp("cluster") / "study"))
    gpus: dict[int, str] = {}

    def watch(job: Running) -> None:
        if job.node.startswith("gpu") and job.id not in gpus:
            gpus.update(devices_of(cluster, job.id))

    run = submit(own, repository / "profiles/slurm", "all", "models")
    said = follow(run, own, watch)
    assert run.returncode == 0, said[-8000:]
    return Outcome(own, said, cluster.jobs(own), gpus)


def devices_of(cluster: Cluster, job: int) -> dict[int, str]:
    """What the processes of a job have for CUDA_VISIBLE_DEVICES, if they have anything yet."""
    for process in cluster.processes(job):
        with suppress(psutil.Error):  # it ended meanwhile
            if devices := process.environ().get("CUDA_VISIBLE_DEVICES"):
                return {job: devices}
    return {}


def asked(said: str) -> dict[tuple[str, str], dict[str, str]]:
    """What each rule asks for, by the words of Snakemake: threads and resources of its jobs."""
    found = {}
    for job in re.split(r"^(?=(?:local)?rule \w+:)", said, flags=re.MULTILINE)[1:]:
        rule = re.match(r"(?:local)?rule (\w+):", job)[1]
        wildcards = re.search(r"^    wildcards: (.*)", job, re.MULTILINE)
        values = re.findall(r"\w+=([^,]+)", wildcards[1]) if wildcards else []
        resources = re.search(r"^    resources: (.*)", job, re.MULTILINE)
        threads = re.search(r"^    threads: (\d+)", job, re.MULTILINE)
        found[rule, "_".join(values)] = dict(
            pair.split("=", 1) for pair in resources[1].split(", ") if resources
        ) | {"threads": threads[1] if threads else "1"}
    return found


def test_every_job_gets_what_its_rule_asks_for(outcome):
    wanted = asked(outcome.said)
    for job in outcome.jobs:
        want = wanted[job.work]
        gpus = int(want.get("gpu", 0))
        assert job.partition == want["slurm_partition"]
        assert job.gpus == ({f"gres/gpu:{want['gpu_model']}": gpus} if gpus else {})
        assert job.mem_mb == int(want["mem_mb"])
        assert job.minutes == int(want["runtime"])
        assert job.cpus == int(want["threads"])


def test_gpu_rules_alone_run_where_gpus_are(outcome):
    places = defaultdict(set)
    for job in outcome.jobs:
        places[job.partition].add(job.rule)
        assert job.gpus == ({"gres/gpu:a100": 1} if job.partition == "accelerated" else {})
    assert places["accelerated"] == {"detect_grid", "segment", "pretrain", "train"}
    assert not places["cpuonly"] & places["accelerated"]


def test_every_rule_but_local_ones_is_a_job_of_slurm(outcome):
    rules = set(re.findall(r"^(?:local)?rule (\w+):", outcome.said, re.MULTILINE))
    assert {job.rule for job in outcome.jobs} == rules - LOCAL


def test_every_job_is_done_once(outcome):
    assert {job.state for job in outcome.jobs} == {"COMPLETED"}
    assert set(Counter(job.work for job in outcome.jobs).values()) == {1}


def test_jobs_are_few(outcome):
    slide = slide_of(outcome.study)  # the one with most channels
    assert len([job for job in outcome.jobs if job.wildcards.split("_")[0] == slide]) <= 12


def test_each_gpu_job_sees_one_gpu_of_its_own(outcome):
    on_gpus = [job for job in outcome.jobs if job.gpus]
    seen = {job.id: outcome.gpus.get(job.id) for job in on_gpus}
    if not any(seen.values()):
        pytest.skip("no device files of GPUs can be made here, so jobs are told no numbers")
    assert all(re.fullmatch(r"[0-3]", devices or "") for devices in seen.values()), seen
    together = [
        (one, other)
        for one, other in combinations(on_gpus, 2)
        if one.node == other.node and one.start < other.end and other.start < one.end
    ]
    assert together, "no two GPU jobs ran on one node at the same time"
    assert all(seen[one.id] != seen[other.id] for one, other in together)


def test_results_are_those_of_a_workstation(outcome, study, repository, tmp_path):
    own = Path(shutil.copytree(study, tmp_path / "study"))
    runner(command_of(repository), tmp_path / "home")(own, "all", "models")
    assert results_hashes(own) == results_hashes(outcome.study)
    for name in ("own.safetensors", "own.curves.csv"):
        assert (own / "models" / name).read_bytes() == (
            outcome.study / "models" / name
        ).read_bytes()

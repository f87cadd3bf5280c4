"""Networks of a study: from slides to weights, a card, and a segmentation with them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.workflow.conftest import environment
from tests.workflow.test_run import add_slide, jobs_of_dry_run, slide_of

pytestmark = [pytest.mark.workflow, pytest.mark.slow, pytest.mark.xdist_group("workflow")]

RECIPE = {"steps": 40, "every": 10, "trust": 1, "widths": [4, 4, 4, 4], "batch": 2, "crop": 64}
FIRST = {"channels": ["nuclei"], "crops": 6, "recipe": RECIPE}
SECOND = FIRST | {"labels": "both", "start": "models/first"}


@pytest.fixture(scope="module")
def study(blank_study, tmp_path_factory, run) -> Path:
    """Three slides, cut into spots, and two networks to be trained on them."""
    study = tmp_path_factory.mktemp("learn") / "study"
    shutil.copytree(blank_study, study)
    first = next((study / "landing" / slide_of(study)).glob("*brightfield*"))
    for name in ("T02", "T03"):
        add_slide(study, name, first)
    configure(study, first=FIRST, second=SECOND)
    run(study, "work/learn/first/data")
    return study


def configure(study: Path, **models: object) -> None:
    network = {"method": "network", "weights": "models/first"}
    config = {
        "versioning": "off",
        "gpu": "forbid",
        "segment": {"channels": {"nuclei": network}},
        "learn": models,
    }
    (study / "config/config.yaml").write_text(json.dumps(config, indent=2))


@pytest.fixture
def fresh(study) -> Path:
    """The study before any training; not a copy, whose images would be new files."""
    left = ("models", "annotations", "work/learn/second", "work/learn/first/training")
    for name in left:
        shutil.rmtree(study / name, ignore_errors=True)
    configure(study, first=FIRST, second=SECOND)
    return study


def test_a_network_is_trained_measured_and_used(fresh, run):
    index = pd.read_csv(fresh / "work/learn/first/data/index.tsv", sep="\t")
    assert sorted(index.split.unique()) == ["test", "train", "validation"]
    assert len(index.drop_duplicates(["source", "split"])) == index.source.nunique() == 3
    assert set(index.kind) == {"weak"}
    source = index[index.split == "test"].source.iloc[0]
    for kind in ("images", "labels"):
        (fresh / f"annotations/nuclei/{kind}").mkdir(parents=True)
        for name in [*index[index.split == "train"].name[:1], *index[index.source == source].name]:
            data = fresh / f"work/learn/first/data/{kind}/{name}.tif"
            shutil.copyfile(data, fresh / f"annotations/nuclei/{kind}/{name}.tif")

    run(fresh, "models", f"results/{source}/instances/nuclei.parquet")

    models = fresh / "models"
    for name in ("first", "second"):
        for ending in ("safetensors", "md", "curves.csv", "curves.png", "scores.csv"):
            assert (models / f"{name}.{ending}").stat().st_size > 0
    second = pd.read_csv(fresh / "work/learn/second/data/index.tsv", sep="\t").set_index("name")
    first = index.set_index("name")
    known = second.index.intersection(first.index)
    assert (second.split[known] == first.split[known]).all()
    assert set(second[second.split == "train"].kind) == {"weak", "corrected"}
    assert set(second[second.split == "test"].kind) == {"corrected"}
    assert set(second[second.kind == "weak"].weight) == {0.5}
    scores = pd.read_csv(models / "second.scores.csv")
    assert set(scores.method) == {"network", "teacher", "difference"}
    assert "going on from `models/first`" in " ".join((models / "second.md").read_text().split())
    table = pd.read_parquet(fresh / f"results/{source}/instances/nuclei.parquet")
    assert {"spot", "label", "area"} <= set(table.columns)

    assert jobs_of_dry_run(run(fresh, "models", "--dry-run")) <= {"models"}
    configure(fresh, first=FIRST | {"crops": 5})
    assert "gather_examples" in jobs_of_dry_run(run(fresh, "models", "--dry-run"))
    configure(fresh, first=FIRST | {"recipe": RECIPE | {"steps": 50}})
    assert jobs_of_dry_run(run(fresh, "models", "--dry-run")) == {
        *("train", "evaluate_model", "models")
    }
    (models / "first.safetensors").unlink()
    assert {"train", "segment"} <= jobs_of_dry_run(run(fresh, "segmentations", "--dry-run"))


def test_a_run_of_some_slides_takes_networks_as_they_are(fresh, run):
    configure(fresh, first=FIRST)
    (fresh / "models").mkdir()
    (fresh / "models/first.safetensors").write_bytes(b"trained on all slides")
    done = run(fresh, "segmentations", "--dry-run", "--config", "slides=T02")
    assert "train" not in jobs_of_dry_run(done)
    assert "segment" in jobs_of_dry_run(done)


def test_killed_and_resumed_gives_the_same_bytes(fresh, run, snakemake_command, tmp_path):
    """kill -9 of the training and of Snakemake with it; then the same command again."""
    run(fresh, "models/first.safetensors")
    names = ("first.safetensors", "first.curves.csv")
    whole = {name: (fresh / "models" / name).read_bytes() for name in names}
    for name in ("models", "work/learn/first/training"):
        shutil.rmtree(fresh / name)

    process = subprocess.Popen(
        snakemake_command(fresh, "models/first.safetensors"),
        env=environment(tmp_path / "home"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        for _ in range(30_000):
            if list((fresh / "work/learn/first/training").glob("*.checkpoint")):
                break
            assert process.poll() is None, "the run ended before it kept a state"
            time.sleep(0.004)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert not (fresh / "models/first.safetensors").exists()
    run(fresh, "models/first.safetensors")
    assert {name: (fresh / "models" / name).read_bytes() for name in names} == whole
    steps = re.findall(r"^step (\d+)", (fresh / "logs/train/first.log").read_text(), re.MULTILINE)
    assert int(steps[0]) > 10


def test_mistakes_are_told_before_any_job(fresh, run):
    configure(fresh, first={"channels": ["nucleii"]}, second=FIRST | {"recipe": {"stepz": 3}})
    done = run(fresh, "models", "--dry-run", check=False)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "Did you mean 'nuclei'" in said or "is no channel" in said


def test_slurm_profile_sends_training_to_gpus(fresh, run, repository):
    configure(fresh, first=FIRST | {"pretrain": "nuclei"})
    config = fresh / "config/config.yaml"
    config.write_text(config.read_text().replace("forbid", "allow"))
    profile = str(repository / "profiles/slurm")
    done = run(fresh, "models", "--dry-run", "--workflow-profile", profile)
    jobs = re.split(r"^(?=(?:local)?rule \w+:)", done.stdout + done.stderr, flags=re.MULTILINE)
    partitions = {
        re.match(r"(?:local)?rule (\w+):", job)[1]: re.search(r"slurm_partition=(\w+)", job)
        for job in jobs[1:]
    }
    on_gpu = {name for name, found in partitions.items() if found and found[1] == "accelerated"}
    assert on_gpu - {"detect_grid"} == {"pretrain", "train"}

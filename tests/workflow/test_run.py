"""The whole workflow on a tiny simulated slide, against its truth and its promises."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from gridwell.config.columns import column_names

from tests.workflow.conftest import environment, results_hashes

pytestmark = [pytest.mark.workflow, pytest.mark.slow, pytest.mark.xdist_group("workflow")]


def slide_of(study: Path) -> str:
    return pd.read_csv(study / "config/slides.tsv", sep="\t", comment="#").slide[0]


def test_results_agree_with_the_truth(finished_study):
    slide = slide_of(finished_study)
    results = finished_study / "results" / slide
    truth = finished_study / "landing" / slide / "truth"

    grid = pd.read_csv(results / "grid.csv").merge(
        pd.read_csv(truth / "grid.csv"), on="spot", suffixes=("", "_true"), validate="1:1"
    )
    assert json.loads((results / "grid.json").read_text())["status"] == "ok"
    assert len(grid) == len(pd.read_csv(truth / "grid.csv"))
    assert np.hypot(grid.x - grid.x_true, grid.y - grid.y_true).max() < 0.1 * grid.width.median()

    spots = pd.read_csv(results / "spots.csv").merge(
        pd.read_csv(truth / "spots.csv"), on="spot", suffixes=("", "_true")
    )
    counted = spots[spots.n_nuclei > 0]
    assert len(counted) >= 0.8 * len(spots)
    assert (counted.viability_stained - counted.viability_true).abs().mean() < 0.1


def test_tables_have_the_columns_of_the_contract(finished_study):
    slide = slide_of(finished_study)
    results = finished_study / "results"
    tables = {
        "grid.csv": pd.read_csv(results / slide / "grid.csv"),
        "spots.csv (viability)": pd.read_csv(results / slide / "spots.csv"),
        "cells.parquet": pd.read_parquet(results / slide / "cells.parquet"),
        "instances/<channel>.parquet": pd.read_parquet(
            results / slide / "instances/nuclei.parquet"
        ),
        "screen/dose_response.csv": pd.read_csv(results / "screen/dose_response.csv"),
    }
    for name, table in tables.items():
        wanted = [column for column in column_names(name) if "<" not in column]
        assert list(table.columns[: len(wanted)]) == wanted, name


def test_second_run_has_nothing_to_do(finished_study, run):
    done = run(finished_study, "--dry-run")
    assert "Nothing to be done" in done.stdout + done.stderr


def jobs_of_dry_run(done: subprocess.CompletedProcess[str]) -> set[str]:
    return set(re.findall(r"^(?:local)?rule (\w+):", done.stdout + done.stderr, re.MULTILINE))


@pytest.mark.parametrize(
    ("change", "first", "untouched"),
    [
        ("fuse={gate: 1.0}", "fuse", {"segment", "detect_grid", "tile", "ingest"}),
        ("segment={default: {threshold: 0.9}}", "segment", {"crop_spots", "detect_grid", "tile"}),
        ("report={max_spots: 3}", "report_slide", {"fuse", "screen", "segment"}),
    ],
)
def test_a_changed_option_recomputes_what_depends_on_it(
    finished_study, run, change, first, untouched
):
    jobs = jobs_of_dry_run(run(finished_study, "--dry-run", "--config", change))
    assert first in jobs
    assert "version_results" in jobs
    assert not jobs & untouched


def test_bytes_do_not_depend_on_cores(finished_study, fresh_study, run):
    run(fresh_study, cores=1)
    assert results_hashes(fresh_study) == results_hashes(finished_study)


PARTS = {
    "ingest": "raw/*/.*.part",
    "tile": "work/*/.slide.zarr.*.part",
    "segment": "results/*/labels/.*.part",
}


def test_the_landing_folder_may_be_cleared(finished_study, tmp_path, run):
    study = Path(shutil.copytree(finished_study, tmp_path / "study"))
    shutil.rmtree(study / "landing")
    planned = run(study, "--dry-run")
    assert "Nothing to be done" in planned.stdout + planned.stderr
    name = f"raw/{slide_of(study)}/slide.json"
    (study / name).unlink()
    run(study, name)
    assert (study / name).read_bytes() == (finished_study / name).read_bytes()


def wait_for_part(study: Path, pattern: str, process: subprocess.Popen[bytes]) -> int:
    """Wait until a job writes `pattern`; return the process that writes, from the name."""
    for _ in range(60_000):
        for part in study.glob(pattern):
            return int(part.name.split(".")[-2])
        assert process.poll() is None, f"the run ended before {pattern} was seen"
        time.sleep(0.002)
    raise AssertionError(f"{pattern} was not seen")


@pytest.mark.parametrize("stage", PARTS)
def test_killed_and_resumed_gives_the_same_bytes(
    stage, finished_study, fresh_study, run, snakemake_command, tmp_path
):
    """kill -9 of the job and of Snakemake with it; then the same command again."""
    process = subprocess.Popen(
        snakemake_command(fresh_study),
        env=environment(tmp_path / "home"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        writer = wait_for_part(fresh_study, PARTS[stage], process)
        os.kill(writer, signal.SIGKILL)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    run(fresh_study)
    assert results_hashes(fresh_study) == results_hashes(finished_study)
    assert not list(fresh_study.glob("results/**/*.part"))


def add_slide(study: Path, slide: str, first_image: Path) -> None:
    """Add a slide like the first one of the study, but for the image of its first channel."""
    config = study / "config"
    channels = pd.read_csv(config / "channels.tsv", sep="\t", comment="#", dtype=str)
    like = slide_of(study)
    added = channels[channels.slide == like].assign(slide=slide)
    added.loc[0, "path"] = str(first_image.relative_to(study))
    pd.concat([channels, added]).to_csv(config / "channels.tsv", sep="\t", index=False)
    slides = pd.read_csv(config / "slides.tsv", sep="\t", comment="#", dtype=str)
    pd.concat([slides, slides[slides.slide == like].assign(slide=slide)]).to_csv(
        config / "slides.tsv", sep="\t", index=False
    )


def damage(image: Path, how: str) -> Path:
    """Make a damaged copy of an image: cut off, or with wrong bytes in its compressed pixels."""
    broken = image.with_name("broken.tif")
    tifffile.imwrite(broken, tifffile.imread(image), tile=(64, 64), compression="zlib")
    data = bytearray(broken.read_bytes())
    if how == "truncated":
        data = data[: len(data) * 2 // 3]
    else:  # the header stays whole, so only decoding can tell
        middle = len(data) // 2
        data[middle : middle + 4000] = bytes(range(250)) * 16
    broken.write_bytes(data)
    return broken


@pytest.mark.parametrize(("how", "stage"), [("truncated", "ingest"), ("corrupt", "tile")])
def test_a_bad_slide_fails_alone(how, stage, fresh_study, run):
    good = slide_of(fresh_study)
    first = next((fresh_study / "landing" / good).glob("*brightfield*"))
    add_slide(fresh_study, "bad", damage(first, how))

    done = run(fresh_study, check=False)

    assert done.returncode != 0
    assert (fresh_study / f"results/{good}/report.html").exists()
    assert not (fresh_study / "work/bad").exists() or not list((fresh_study / "work/bad").iterdir())
    assert not (fresh_study / "results/bad/grid.json").exists()
    if stage == "ingest":
        assert not (fresh_study / "raw/bad").exists()
    said = done.stdout + done.stderr
    assert "broken.tif" in said
    assert "Failed jobs" in said
    assert f"logs/{stage}/bad.log" in said
    log = (fresh_study / f"logs/{stage}/bad.log").read_text()
    assert "broken.tif" in log
    assert "Traceback" not in log


def test_mistakes_stop_the_run_before_any_job(fresh_study, run):
    slides = fresh_study / "config/slides.tsv"
    slides.write_text(slides.read_text().replace("viability", "viabilty"))
    (fresh_study / "config/config.yaml").write_text("grid: {rowz: 3}\n")
    done = run(fresh_study, check=False)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "viabilty" in said
    assert "rowz" in said
    assert not list((fresh_study / "raw").iterdir())


def test_an_uncertain_grid_stops_its_slide_with_the_remedy(fresh_study, run):
    (fresh_study / "config/config.yaml").write_text(
        'versioning: "off"\ngrid: {min_confidence: 1.0}\n'
    )
    slide = slide_of(fresh_study)
    done = run(fresh_study, check=False)
    assert done.returncode != 0
    assert f"config/overrides/{slide}.yaml" in done.stdout + done.stderr
    assert (fresh_study / f"results/{slide}/grid.png").exists()

    grid = json.loads((fresh_study / f"results/{slide}/grid.json").read_text())
    overrides = fresh_study / "config/overrides"
    overrides.mkdir(exist_ok=True)
    known = {
        "rows": grid["rows"],
        "cols": grid["cols"],
        "pitch": [grid["pitch"]["x"], grid["pitch"]["y"]],
        "angle": grid["angle"],
        "origin": [grid["origin"]["x"], grid["origin"]["y"]],
        "spot": [grid["spot"]["width"], grid["spot"]["height"]],
    }
    (overrides / f"{slide}.yaml").write_text(json.dumps(known))
    run(fresh_study)
    grid = json.loads((fresh_study / f"results/{slide}/grid.json").read_text())
    assert grid["status"] == "override"


def test_grids_of_other_slides_and_of_none(fresh_study, run):
    """A black slide fails alone; a slide may have the grid of another and follows its changes."""
    slide = slide_of(fresh_study)
    first = next((fresh_study / "landing" / slide).glob("*brightfield*"))
    black = first.with_name("black.tif")
    tifffile.imwrite(black, np.zeros_like(tifffile.imread(first)))
    add_slide(fresh_study, "black", black)
    add_slide(fresh_study, "twin", first)
    overrides = fresh_study / "config/overrides"
    overrides.mkdir(exist_ok=True)
    (overrides / "twin.yaml").write_text(f"same_as: {slide}\n")

    done = run(fresh_study, check=False)

    results = fresh_study / "results"
    assert done.returncode != 0
    assert "logs/crop_spots/black.log" in done.stdout + done.stderr
    grid = json.loads((results / "black/grid.json").read_text())
    assert (grid["status"], grid["rows"]) == ("failed", 0)
    assert "blank" in grid["reason"]
    assert not (results / "black/spots.csv").exists()
    assert (results / f"{slide}/report.html").exists()
    assert (results / "twin/report.html").exists()
    grid = json.loads((results / "twin/grid.json").read_text())
    assert grid["status"] == "override"
    own, taken = (pd.read_csv(results / name / "grid.csv") for name in (slide, "twin"))
    assert np.hypot(own.x - taken.x, own.y - taken.y).max() < 0.05 * own.width.median()

    (overrides / "twin.yaml").write_text(f"same_as: {slide}\nangle: {grid['angle']}\n")
    planned = run(fresh_study, "--dry-run", "--until", "crop_spots").stdout
    assert "slide=twin" in planned
    assert f"slide={slide}" not in planned
    assert not jobs_of_dry_run(run(fresh_study, "--dry-run")) & {"ingest", "tile"}
    (overrides / f"{slide}.yaml").write_text("spot: [90, 90]\n")
    again = re.findall(
        r"rule detect_grid:.*?wildcards: slide=(\w+)",
        run(fresh_study, "--dry-run").stdout,
        re.DOTALL,
    )
    assert {slide, "twin"} <= set(again)


def test_slurm_profile_asks_for_gpus_where_they_are(blank_study, run, repository):
    done = run(blank_study, "--dry-run", "--workflow-profile", str(repository / "profiles/slurm"))
    jobs = re.split(r"^(?=(?:local)?rule \w+:)", done.stdout + done.stderr, flags=re.MULTILINE)[1:]
    seen = set()
    for job in jobs:
        name = re.match(r"(?:local)?rule (\w+):", job)[1]
        resources = re.search(r"resources: (.*)", job)
        if not resources:
            continue
        on_gpu = "slurm_partition=accelerated" in resources[1]
        assert on_gpu == (name in {"detect_grid", "segment"}), job
        if on_gpu:
            assert re.search(r"\bgpu=1\b", resources[1])
            assert "gpu_model=a100" in resources[1]
            seen.add(name)
    assert seen == {"detect_grid", "segment"}


def test_cluster_jobs_are_few(blank_study, run):
    done = run(blank_study, "--dry-run", "--quiet", "rules")
    total = re.search(r"^total\s+(\d+)", done.stdout + done.stderr, re.MULTILINE)
    assert int(total[1]) <= 14


def test_small_slides_leave_other_cores_to_each_other(fresh_study, run):
    def of_two_threads() -> set[str]:
        said = run(fresh_study, "--dry-run", cores=4).stdout
        return {
            re.match(r"(\w+):", job)[1]
            for job in re.split(r"^(?:local)?rule ", said, flags=re.MULTILINE)[1:]
            if "threads: 2" in job
        }

    assert of_two_threads() == set()
    for image in (fresh_study / "landing").glob("*/*.tif"):
        image.unlink()
        large = tifffile.memmap(image, shape=(6000, 6000), dtype=np.uint16)
        del large  # a file of zeros that takes no room
    assert of_two_threads() == {"crop_spots", "segment", "fuse"}

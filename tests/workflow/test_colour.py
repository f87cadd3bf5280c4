"""Colorimetry through the workflow: a plate that calibrates, and one that takes its calibration."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from gridwell.config.columns import column_names
from gridwell.phantom.options import PhantomOptions
from gridwell.phantom.slide import simulate_slide

pytestmark = [pytest.mark.workflow, pytest.mark.slow, pytest.mark.xdist_group("workflow")]

LEVELS = np.round(np.linspace(6.0, 8.2, 6), 2)


def plate(slide: str, seed: int, **changes: object) -> PhantomOptions:
    facts: dict[str, object] = {
        "slide": slide, "assay": "colorimetry", "shape": "round", "rows": 6, "cols": 8,
        "seed": seed, "pitch": 70.0, "spot_size": 50.0, "margin": 60, "bits": 8, "debris": 0.05,
        "exposure": 0.8, "gradient": 0.15, "dye_spread": 0.01, "patches": True, "files": "jpeg",
    }  # fmt: skip
    return PhantomOptions(**(facts | changes))


def calibration_layout() -> pd.DataFrame:
    """Two droplets of each level anywhere, three blanks, samples."""
    spots = [f"{row}{col}" for row in "ABCDEF" for col in range(1, 9)]
    layout = pd.DataFrame({"spot": spots, "role": "sample", "value": np.nan})
    at = np.random.default_rng(2).permutation(len(spots))
    layout.loc[at[:12], ["role", "value"]] = [["calibration", level] for level in [*LEVELS] * 2]
    layout.loc[at[12:15], "role"] = "blank"
    return layout


@pytest.fixture(scope="module")
def colour_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain study of three plates of one indicator; the third was scanned in other light."""
    study = tmp_path_factory.mktemp("colour") / "study"
    (study / "config/layouts").mkdir(parents=True)
    layout = calibration_layout()
    layout.to_csv(study / "config/layouts/plate.csv", index=False)
    blanks = layout[layout["role"] == "blank"]
    blanks.to_csv(study / "config/layouts/blanks.csv", index=False)
    patches = plate("x", 1).patch_places
    slides, channels = [], []
    for slide, light in (
        ("cal", {}),
        ("use", {"exposure": 0.7}),
        ("drift", {"tint": (1, 0.9, 0.7)}),
    ):
        options = plate(slide, 4, **light)
        simulate_slide(options, study / "landing" / slide, layout=layout)
        slides.append((slide, "colorimetry", "plate.csv" if slide == "cal" else "blanks.csv"))
        channels.append((slide, "scan", "colour", f"landing/{slide}/{slide}_scan.jpg"))
    for name, columns, rows in (
        ("slides", ("slide", "assay", "layout"), slides),
        ("channels", ("slide", "channel", "role", "path"), channels),
    ):
        table = pd.DataFrame(rows, columns=columns)
        table.to_csv(study / f"config/{name}.tsv", sep="\t", index=False)
    (study / "config/config.yaml").write_text(
        'versioning: "off"\n'
        f"colour: {{unit: pH, white_patch: {list(patches['white'])}, "
        f"black_patch: {list(patches['black'])}}}\n"
    )
    return study


def errors_of(study: Path, slide: str) -> pd.DataFrame:
    spots = pd.read_csv(study / f"results/{slide}/spots.csv", keep_default_na=False, na_values=[""])
    truth = pd.read_csv(study / f"landing/{slide}/truth/spots.csv")
    return spots.merge(truth[["spot", "value"]], on="spot", suffixes=("", "_true"))


def test_a_plate_calibrates_itself_and_others_that_are_scanned_alike(colour_study, tmp_path, run):
    study = Path(shutil.copytree(colour_study, tmp_path / "study"))
    result = "results/cal/spots.csv"
    run(study, "--config", "slides=cal", "--", result)
    table = errors_of(study, "cal")
    assert list(table.columns)[:-1] == column_names("spots.csv (colorimetry)")
    assert (table.value - table.value_true).abs().max() < 0.1
    colours = pd.read_parquet(study / "results/cal/colours.parquet")
    assert {"hue", "a", "delta_e", "pls", "value_lab_curve", "value_gray"} <= set(colours.columns)
    saved = json.loads((study / "results/cal/calibration.json").read_text())
    assert saved["status"] == "fitted"
    assert saved["calibration"]["light"]["source"] == "patch"
    assert list(saved["calibration"]["provenance"]["slides"]) == ["cal"]
    before = (study / result).read_bytes()
    (study / result).unlink()
    run(study, "--config", "slides=cal", "--", result, cores=1)
    assert (study / result).read_bytes() == before

    shutil.copy(study / "results/cal/calibration.json", study / "config/pH.json")
    named = "colour={calibration: config/pH.json}"
    both = [f"results/{slide}/spots.csv" for slide in ("use", "drift")]
    done = run(study, "--keep-going", "--config", named, "--", *both, check=False)
    table = errors_of(study, "use")
    assert (table.value - table.value_true).abs().max() < 0.1
    assert set(table.method) == {saved["calibration"]["metric"]}
    assert done.returncode != 0
    log = (study / "logs/measure_colour/drift.log").read_text()
    assert "config/pH.json, light: was made in light of another colour" in log
    assert "Traceback" not in log
    assert not (study / "results/drift/spots.csv").exists()


def test_a_calibration_that_is_none_stops_the_run_before_any_job(colour_study, tmp_path, run):
    study = Path(shutil.copytree(colour_study, tmp_path / "study"))
    (study / "config/pH.json").write_text("{}")
    for name, reason in (
        ("config/pH.json", "is no calibration"),
        ("nowhere.json", "does not exist"),
    ):
        done = run(study, "--dry-run", "--config", f"colour={{calibration: {name}}}", check=False)
        assert done.returncode != 0
        assert reason in done.stdout + done.stderr

"""Simulated studies: complete, valid, true to their curves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from gridwell.config.files import write_csv
from gridwell.config.layouts import read_layout
from gridwell.config.study import load_study
from gridwell.phantom.study import simulate_study, study_slides


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("demo")
    simulate_study(root, "demo")
    return root


def test_tiny_study_is_valid_and_the_same_every_time(tmp_path: Path) -> None:
    simulate_study(tmp_path / "one", "tiny")
    simulate_study(tmp_path / "two", "tiny")
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert Path("config/config.yaml") in files
    for name in files:
        if (tmp_path / "one" / name).is_file():
            assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    study = load_study(tmp_path / "one")
    assert [c.role.value for c in study.channels["T01"]] == ["grid", "nuclei", "live", "dead"]
    for channel in study.channels["T01"]:
        assert tifffile.imread(study.path_of(channel)).ndim == 2


@pytest.mark.slow
def test_demo_is_a_valid_study_of_all_assays(demo: Path) -> None:
    study = load_study(demo)
    assert {name: slide.assay.value for name, slide in study.slides.items()} == {
        "P1": "viability",
        "P2": "viability",
        "R1": "objects",
        "C1": "colorimetry",
    }
    assert all(study.path_of(c).is_file() for cs in study.channels.values() for c in cs)
    assert [c.index for c in study.channels["P2"]] == [0, 1, 2, 3]
    for name in ("P1", "P2"):
        layout = study.layouts[study.slides[name].layout]
        assert len(layout) == 96
        assert layout["role"].value_counts().to_dict() == {
            "sample": 80,
            "neg_ctrl": 8,
            "pos_ctrl": 8,
        }
        assert (layout.groupby(["agent", "concentration"]).size() == 5).all()


@pytest.mark.slow
def test_patients_answer_differently_and_as_their_curves_say(demo: Path) -> None:
    at_one = {}
    for name in ("P1", "P2"):
        truth = demo / "landing" / name / "truth"
        spots = pd.read_csv(truth / "spots.csv")
        assert (~spots["present"]).mean() == pytest.approx(0.025, abs=0.01)
        curves = pd.read_csv(truth / "dose_response.csv").set_index("agent")
        means = spots.groupby(["agent", "concentration"])[["n_live", "n_nuclei"]].sum()
        seen = means["n_live"] / means["n_nuclei"]
        for (agent, dose), value in seen.items():
            c = curves.loc[agent]
            expected = c["bottom"] + (c["top"] - c["bottom"]) / (
                1 + (dose / c["ec50"]) ** c["hill"]
            )
            assert value == pytest.approx(expected, abs=0.14)
        at_one[name] = seen["venetoclax", 1.0]
        control = spots[spots["role"] == "neg_ctrl"]["viability"].mean()
        assert control - spots[spots["role"] == "pos_ctrl"]["viability"].mean() > 0.7
    assert at_one["P2"] - at_one["P1"] > 0.3


def test_layouts_have_every_dose_once_per_replicate(tmp_path: Path) -> None:
    ((options, name, layout),) = study_slides("full")
    path = tmp_path / name
    write_csv(path, layout)
    read = read_layout(path)
    assert len(read) == 14 * 48 == len(set(read["spot"]))
    samples = read[read["role"] == "sample"]
    assert (samples.groupby(["agent", "concentration"]).size() == 10).all()
    assert samples["agent"].nunique() == 6
    assert (options.width, options.height) == (37888, 12800)
    # Randomised: a dose is not in one line of spots.
    spread = samples.groupby(["agent", "concentration"])["col"].nunique()
    assert np.median(spread) > 5


def test_samples_of_a_colour_scan_hide_their_value(demo: Path) -> None:
    layout = read_layout(demo / "config" / "layouts" / "colour.csv")
    known = layout["role"] == "calibration"
    assert layout.loc[known, "value"].nunique() == 8
    assert layout.loc[~known, "value"].isna().all()
    truth = pd.read_csv(demo / "landing" / "C1" / "truth" / "spots.csv")
    assert truth["value"].notna().all()
    np.testing.assert_allclose(truth.loc[known, "value"], layout.loc[known, "value"])
    values = truth[~known].groupby("sample")["value"]
    assert (values.min() == values.max()).all()

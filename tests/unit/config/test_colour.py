"""Mistakes in a calibration of colours are told before any job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from gridwell.config.errors import InputError
from gridwell.config.settings import slide_settings
from gridwell.config.study import load_study

from tests.unit.config.conftest import CONFIG

Write = Callable[[str, str], None]


def mistakes(root: Path, write: Write, layout: str = "", **colour: str) -> str:
    if layout:
        write("config/layouts/ph.csv", "spot,role,value\n" + layout)
    options = [f"  {name}: {value}" for name, value in colour.items()]
    write("config/config.yaml", "\n".join([*CONFIG, *(["colour:", *options] if options else [])]))
    with pytest.raises(InputError) as caught:
        load_study(root)
    assert len(caught.value.problems) == 1
    return str(caught.value)


def test_a_calibration_spot_without_a_value(root: Path, write: Write) -> None:
    said = mistakes(root, write, "A1,calibration,4\nA2,calibration,\nA3,calibration,7\n")
    assert said.startswith("config/layouts/ph.csv, row 3, value: calibration spot A2 has no known")


def test_one_level_is_no_calibration(root: Path, write: Write) -> None:
    said = mistakes(root, write, "A1,calibration,7\nA2,calibration,7\n")
    assert "row 2, value: has calibration spots of 1 known values" in said
    assert "(found '7')" in said


def test_a_learned_metric_needs_calibration_spots(root: Path, write: Write) -> None:
    said = mistakes(root, write, "A1,sample,\n", metric="pls")
    assert (
        "row 10, colour.metric: is learned from calibration spots, and slide S03 has none" in said
    )


def test_a_calibration_file(root: Path, write: Write) -> None:
    said = mistakes(root, write, calibration="nowhere.json")
    assert "config/config.yaml, row 10, colour.calibration: does not exist" in said
    write("config/pH.json", '{"format": "gridwell-colour-calibration/1"}')
    assert mistakes(root, write, calibration="config/pH.json").startswith("config/pH.json, slide:")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("metric", "huee"),
        ("white_patch", "[0, 0, 0, 10]"),
        ("reference", "[300, 0, 0]"),
        ("max_drift", "0"),
        ("chart", "{corners: [[0, 0]]}"),
    ],
)
def test_options_out_of_bounds(root: Path, write: Write, option: str, value: str) -> None:
    assert f"colour.{option}" in mistakes(root, write, **{option: value})


def test_what_a_calibration_says_bears_on_values_and_not_where_it_lies(
    root: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gridwell.config.colour.read_calibration", lambda path, name: None)

    def settings(name: str, text: str) -> object:
        write(name, text)
        write("config/config.yaml", "\n".join([*CONFIG, f"colour: {{calibration: {name}}}"]))
        return slide_settings(load_study(root), "S03", "spots")["colour"]

    assert settings("a.json", "{}") == settings("b.json", "{}")
    assert settings("a.json", "{}") != settings("a.json", "{ }")

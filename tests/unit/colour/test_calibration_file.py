"""Calibrations that are saved, taken by another study, and refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gridwell.colour.measure import spot_colours
from gridwell.config.colour_calibration import CalibrationFile, read_calibration
from gridwell.config.errors import InputError
from gridwell.config.files import write_json
from gridwell.config.models import ColourOptions

from tests.unit.colour.indicator import (
    LEVELS,
    frame,
    ph_colour,
    samples,
    scan,
    with_calibration,
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """calibration.json of a slide with calibration spots."""
    ph, _ = samples()
    layout, ph = with_calibration(ph, LEVELS)
    crops = scan(ph_colour(ph), frame(), noise=0.01, depth=8)
    options = ColourOptions(metric="lab_curve", unit="pH")
    found = spot_colours(crops, frame(), options, slide="CAL", layout=layout)
    path = tmp_path_factory.mktemp("calibration") / "calibration.json"
    write_json(path, found.calibration.model_dump(mode="json"))
    return path


def use(saved: Path, *, options: dict[str, object] | None = None, **light: object) -> object:
    """Values of samples without calibration spots, by a saved calibration."""
    ph, linear = samples()
    crops = scan(linear, frame(), noise=0.01, depth=8, **light)  # type: ignore[arg-type]
    given = ColourOptions(calibration=str(saved), **(options or {}))  # type: ignore[arg-type]
    return spot_colours(crops, frame(), given, slide="S2").spots.assign(truth=ph)


@pytest.mark.parametrize("exposure", [0.8, 1.0, 1.2])
def test_another_slide_takes_it_whatever_its_exposure(saved: Path, exposure: float) -> None:
    table = use(saved, exposure=exposure)
    assert (table["value"] - table["truth"]).abs().max() < 0.1
    assert set(table["unit"]) == {"pH"}
    assert (
        (table["value_low"] <= table["truth"]) & (table["truth"] <= table["value_high"])
    ).mean() > 0.85


def test_it_comes_back_as_it_was(saved: Path) -> None:
    text = saved.read_text()
    again = CalibrationFile.model_validate_json(text)
    assert json.loads(text) == again.model_dump(mode="json")
    assert read_calibration(saved) == again.calibration


@pytest.mark.parametrize(
    ("light", "reason"),
    [
        ({"exposure": 0.6}, "was made when white was 1.6"),
        ({"white": (0.8, 0.8, 0.6)}, "light of another colour"),
        ({"white": (1.3, 1.3, 1.3)}, "at full scale"),
    ],
)
def test_drift_of_the_light_is_an_error(saved: Path, light: dict[str, object], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        use(saved, **light)


@pytest.mark.parametrize(
    "options", [{"metric": "hue"}, {"unit": "mM"}, {"inner": 0.5}], ids=lambda own: next(iter(own))
)
def test_options_that_contradict_it_are_an_error(saved: Path, options: dict[str, object]) -> None:
    with pytest.raises(InputError, match=rf"colour\.{next(iter(options))}: is not that of"):
        use(saved, options=options)


def spoil(change: Callable[[dict], object]) -> Callable[[dict], str]:
    def spoiled(data: dict) -> str:
        change(data["calibration"])
        return json.dumps(data)

    return spoiled


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda data: "{", "cannot be read as JSON"),
        (lambda data: "[" * 100_000, "cannot be read as JSON"),
        (lambda data: "[]", "is no calibration of colours"),
        (lambda data: json.dumps(data | {"format": "x"}), "format: is no calibration"),
        (lambda data: json.dumps(data | {"calibration": None}), "holds no calibration"),
        (lambda data: " " * 5_000_001, "is larger than"),
        (spoil(lambda own: own["levels"].reverse()), "levels that do not rise"),
        (spoil(lambda own: own["knots"].pop()), "another number of levels"),
        (spoil(lambda own: own.update(noise=[[[1.0]]] * 8)), "another dimension"),
        (spoil(lambda own: own.update(noise=[(-np.eye(3)).tolist()] * 8)), "no covariance"),
        (spoil(lambda own: own.update(scale=float("nan"))), "scale: is no calibration"),
        (spoil(lambda own: own.update(metric="__import__")), "metric: is no calibration"),
        (spoil(lambda own: own.update(more=1)), "more: is no calibration"),
    ],
)
def test_a_file_that_is_none_is_refused_in_one_sentence(
    saved: Path, tmp_path: Path, write: Callable[[dict], str], reason: str
) -> None:
    path = tmp_path / "other.json"
    path.write_text(write(json.loads(saved.read_text())))
    with pytest.raises(InputError, match=reason) as caught:
        read_calibration(path, "config/other.json")
    assert str(caught.value).startswith("config/other.json")
    assert len(caught.value.problems) == 1


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_calibration(tmp_path / "nowhere.json")

"""Grids with what a person knows of them: honoured exactly, or refused with the reason."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gridwell.config.errors import InputError
from gridwell.config.models import Carrier, GridOptions, GridOverride
from gridwell.config.spots import spot_name
from gridwell.grid.find import find_grid, with_doubts
from gridwell.grid.model import Grid

from tests.unit.grid.known import grid_of
from tests.unit.grid.synth import Scene, render


def find(made: Scene, **known: Any) -> Grid:
    h, w = made.image.shape
    options = known.pop("options", GridOptions())
    return find_grid(made.image, scale=1.0, size=(w, h), options=options, **known)


def clicks(made: Scene, *places: tuple[int, int], off: float = 0.0) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {
        spot_name(r, c): tuple(float(x) for x in made.centres[r, c] + rng.normal(0, off, 2))
        for r, c in places
    }


def farthest(grid: Grid, made: Scene) -> float:
    return float(np.hypot(*(grid.nodes - made.centres).reshape(-1, 2).T).max())


@pytest.fixture(scope="module")
def made() -> Scene:
    return render(8, 12, angle=3, missing=0.05)


@pytest.fixture(scope="module")
def poor() -> Scene:
    """First row empty, a third of the rest missing: no image says how many rows there are."""
    return render(8, 12, angle=3, missing=0.3, empty_rows=(0,), seed=4)


def test_two_named_spots_and_the_size_settle(poor):
    assert find(poor).status == "ambiguous"
    for places in (((0, 0), (7, 11)), ((0, 0), (7, 0)), ((2, 3), (5, 8))):
        corners = clicks(poor, *places, off=1.5)
        grid = find(poor, override=GridOverride(rows=8, cols=12, corners=corners))
        assert grid.status == "override", grid.reason
        assert farthest(grid, poor) < 2
        assert grid.orientation["value"] == "A1 top left"
    carrier = Carrier(title="x", rows=8, cols=12, pitch_um=(9000, 9000))
    override = GridOverride(corners=clicks(poor, (0, 0), (7, 11), off=1.5))
    grid = find(poor, override=override, carrier=carrier)
    assert grid.status == "override", grid.reason
    assert farthest(grid, poor) < 2


def test_four_sloppy_corners_are_moved_onto_the_spots(made):
    corners = clicks(made, (0, 0), (0, 11), (7, 0), (7, 11), off=2)
    grid = find(made, override=GridOverride(rows=8, cols=12, corners=corners))
    assert grid.status == "override"
    assert farthest(grid, made) < 0.3


@pytest.mark.parametrize("missing", [0.7, 0.85, 0.95])
def test_a_drawn_grid_finds_the_few_spots_there_are(missing):
    few = render(8, 12, angle=3, missing=missing, seed=5)
    corners = clicks(few, (0, 0), (0, 11), (7, 0), (7, 11))
    moved = {name: (x + 2, y + 2) for name, (x, y) in corners.items()}
    grid = find(few, override=GridOverride(rows=8, cols=12, corners=moved))
    assert grid.status == "override"
    assert f"only {few.present.sum()} of 96 spots" in grid.reason
    assert farthest(grid, few) < 0.5
    assert (grid.seen == few.present).all()
    assert grid.width == pytest.approx(18, rel=0.08)


def test_four_corners_are_enough_without_any_image():
    corners = {"A1": (40, 40), "A6": (165, 40), "D1": (40, 115), "D6": (165, 115)}
    for image in (np.zeros((150, 200), np.uint8), np.random.default_rng(1).random((150, 200))):
        override = GridOverride(rows=4, cols=6, corners=corners)
        grid = find_grid(
            image, scale=1.0, size=(200, 150), options=GridOptions(), override=override
        )
        assert grid.status == "override"
        assert grid.pitch == pytest.approx((25, 25))
        assert grid.nodes[3, 5] == pytest.approx((165, 115))


@pytest.mark.parametrize(
    "given",
    [
        {"pitch": (30, 30)},
        {"pitch": (30.05, 29.95), "angle": 3.0},
        {"angle": 3.05},
        {"rows": 8, "cols": 12, "origin": (56, 44)},
        {"rows": 8, "cols": 12, "pitch": (30, 30), "angle": 3.0, "origin": (55.7, 44.5)},
        {"spot": (20.5, 21)},
        {"angle": -177.0},
    ],
    ids=str,
)
def test_given_values_are_those_of_the_grid(made, given):
    grid = find(made, override=GridOverride(**given))
    assert grid.status in {"ok", "override"}, grid.reason
    data = grid.to_json("S")
    for key, value in given.items():
        written = data[key]
        if isinstance(written, dict):
            x, y = ("width", "height") if key == "spot" else ("x", "y")
            written = written[x], written[y]
        assert written == value, key
    if "angle" in given and abs(given["angle"]) > 90:
        assert grid.table.iloc[0][["x", "y"]].tolist() == pytest.approx(made.centres[7, 11], abs=1)
    else:
        assert farthest(grid, made) < 1


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"rows": 8, "cols": 12, "angle": 1.7}, r"angle 1.7, the image shows (2.99|3.0)"),
        ({"rows": 8, "cols": 12, "origin": (62, 44)}, r"origin 62 x 44, the image shows 55"),
        ({"rows": 8, "cols": 12, "pitch": (31, 30)}, r"pitch 31 x 30, the image shows 30.00 x 30"),
    ],
    ids=str,
)
def test_values_that_the_image_contradicts_are_refused(made, given, reason):
    grid = find(made, override=GridOverride(**given))
    assert grid.status == "ambiguous"
    assert re.search(reason, grid.reason)


def test_a_drawn_grid_holds_but_says_what_does_not_show(made):
    given = {"rows": 8, "cols": 12, "pitch": (34, 34), "angle": 3.0, "origin": (56, 44)}
    grid = find(made, override=GridOverride(**given))
    assert grid.status == "override"
    assert re.search(r"only \d+ of 96 spots show", grid.reason)


def test_a_turned_carrier_is_named_by_the_clicks(made):
    corners = {
        "A1": tuple(made.centres[7, 11]),
        "A12": tuple(made.centres[7, 0]),
        "H1": tuple(made.centres[0, 11]),
    }
    override = GridOverride(rows=8, cols=12, corners=corners)
    grid = find(made, override=override)
    assert grid.orientation["value"] == "A1 bottom right"
    assert grid.nodes == pytest.approx(made.centres[::-1, ::-1], abs=0.5)
    with pytest.raises(InputError, match="Give rows and cols"):
        find(made, override=GridOverride(corners=corners))


def test_a_carrier_scanned_on_its_side(made):
    carrier = Carrier(title="x", rows=12, cols=8)
    grid = find(made, carrier=carrier)
    assert grid.status == "ambiguous"
    assert "lies on its side" in grid.reason
    grid = find(made, carrier=carrier, override=GridOverride(orientation="A1 bottom left"))
    assert grid.status in {"ok", "override"}
    assert grid.table.iloc[0][["x", "y"]].tolist() == pytest.approx(made.centres[7, 0], abs=0.5)
    assert grid.nodes[11, 0] == pytest.approx(made.centres[7, 11], abs=0.5)


def test_doubtful_positions_are_flagged(made):
    grid = grid_of(made)
    table = grid.table.copy()
    table.loc[:3, "score"] = [0.7, 0.6, 0.4, 0.3]
    table.loc[2:3, "found"] = False
    table.loc[:3, "flags"] = ["", "", "not_found", "not_found"]
    flags = list(with_doubts(replace(grid, table=table)).table["flags"])
    assert flags[:4] == ["", "doubtful", "doubtful;not_found", "not_found"]
    assert not any("doubtful" in words for words in flags[4:])


def test_a_study_may_say_where_a1_is(made):
    carrier = Carrier(title="x", rows=12, cols=8)
    options = GridOptions(orientation="A1 top right")
    grid = find(made, carrier=carrier, options=options)
    assert grid.status in {"ok", "override"}, grid.reason
    assert (grid.rows, grid.orientation["source"]) == (12, "options")
    assert grid.nodes[0, 0] == pytest.approx(made.centres[0, 11], abs=0.5)
    own = GridOverride(orientation="A1 bottom left")
    grid = find(made, carrier=carrier, options=options, override=own)
    assert (grid.orientation["value"], grid.orientation["source"]) == ("A1 bottom left", "override")
    with pytest.raises(InputError, match="it is about 90"):
        find(made, carrier=carrier, options=options, override=GridOverride(angle=3))


def test_blank_images_fail_with_the_reason():
    grid = find(Scene(np.zeros((300, 400), np.uint16), np.zeros((0, 0, 2)), np.zeros((0, 0), bool)))
    assert (grid.status, grid.rows) == ("failed", 0)
    assert "blank" in grid.reason
    assert grid.orientation["value"] == "unknown"


def test_a_spot_wider_than_the_spacing_is_refused() -> None:
    grid = find(render(8, 12), override=GridOverride(spot=(45.0, 45.0)))
    assert grid.status == "ambiguous"
    assert "spot" in grid.reason
    assert "wider" in grid.reason

"""Detection against rendered grids with known truth: right where it can be, never wrongly sure."""

from __future__ import annotations

import json
from typing import Any

import cv2
import numpy as np
import pytest
from gridwell.config.errors import InputError
from gridwell.config.models import Carrier, GridOptions, GridOverride
from gridwell.config.spots import spot_name
from gridwell.grid.detect import detect_grid
from gridwell.grid.elements import to_gray
from gridwell.grid.model import Grid

from tests.unit.grid.synth import Scene, render


def detect(scene: Scene, **more: Any) -> Grid:
    return detect_grid(scene.image, scale=1.0, options=GridOptions(), **more)


def carrier(rows: int, cols: int, **more: Any) -> Carrier:
    return Carrier(title="test", rows=rows, cols=cols, **more)


def assert_true(grid: Grid, scene: Scene, tolerance: float = 1.0) -> None:
    rows, cols = scene.present.shape
    assert (grid.rows, grid.cols) == (rows, cols), grid.reason
    where = grid.table[["x", "y"]].to_numpy().reshape(rows, cols, 2)
    assert np.hypot(*np.moveaxis(where - scene.centres, -1, 0)).max() < tolerance
    assert (grid.table["found"].to_numpy().reshape(rows, cols) == scene.present).all()


CLEAN = [
    {"rows": 3, "cols": 4, "pitch": 60, "shape": "square", "angle": -10, "missing": 0.1},
    {"rows": 3, "cols": 4, "pitch": 40, "angle": 4, "bright": False},
    {"rows": 5, "cols": 7, "pitch": 36, "shape": "square", "angle": 9, "missing": 0.2, "seed": 3},
    {"rows": 8, "cols": 12, "angle": 10, "missing": 0.2},
    {"rows": 8, "cols": 12, "angle": -7, "missing": 0.2, "shape": "square", "bright": False},
    {"rows": 12, "cols": 8, "angle": 3, "missing": 0.2, "noise": 0.15},
    {"rows": 16, "cols": 24, "pitch": 16, "angle": -10, "missing": 0.2, "shape": "square"},
    {"rows": 14, "cols": 48, "pitch": 14, "angle": 2, "missing": 0.2, "blocks": (16, 16, 16)},
    {"rows": 9, "cols": 20, "angle": -2, "blocks": (6, 6, 8), "gap": 1.7, "bright": False},
    {"rows": 6, "cols": 18, "angle": 5, "blocks": (6, 6, 6), "gap": 1.25, "missing": 0.1},
    {"rows": 10, "cols": 10, "pitch": 60, "shape": "square", "spot": 0.75, "angle": -7},
    {"rows": 8, "cols": 12, "angle": 1, "debris": 12},
]


@pytest.mark.parametrize("scene", CLEAN, ids=lambda kw: "-".join(f"{v}" for v in kw.values()))
def test_clean_grids_are_found_whole(scene: dict[str, Any]) -> None:
    made = render(**scene)
    grid = detect(made)
    assert grid.status == "ok", grid.reason
    assert_true(grid, made)
    assert grid.shape == scene.get("shape", "round")
    size = scene.get("spot", 0.6) * scene.get("pitch", 30)
    assert grid.width == pytest.approx(size, rel=0.08)
    assert grid.angle == pytest.approx(scene["angle"], abs=0.3)
    assert len(grid.blocks) == max(1, len(scene.get("blocks", ())))


@pytest.mark.slow
def test_the_largest_format_is_found() -> None:
    made = render(32, 48, pitch=22, angle=6, missing=0.2, shape="square")
    grid = detect(made)
    assert grid.status == "ok", grid.reason
    assert_true(grid, made)


DOUBTFUL = [
    {"rows": 8, "cols": 12, "empty_rows": (0,)},
    {"rows": 8, "cols": 12, "empty_rows": (6, 7), "angle": 4},
    {"rows": 5, "cols": 7, "empty_rows": (0,)},
    {"rows": 16, "cols": 24, "pitch": 16, "empty_rows": tuple(range(8, 16))},
    {"rows": 9, "cols": 11, "empty_rows": (4,)},
]


@pytest.mark.parametrize("scene", DOUBTFUL, ids=lambda kw: f"{kw['rows']}x{kw['cols']}")
def test_empty_outer_rows_are_never_called_ok(scene: dict[str, Any]) -> None:
    grid = detect(render(**scene))
    assert grid.status == "ambiguous"
    assert "rows" in grid.reason
    assert grid.confidence < 0.45


def negatives() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    h, w = 300, 420
    y, x = np.mgrid[:h, :w]
    text = np.full((h, w), 255, np.uint8)
    for top in range(25, h, 26):
        line = "".join(chr(97 + int(k)) for k in rng.integers(0, 26, 30))
        cv2.putText(text, line, (10, top), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 0, 1)
    row = np.zeros((h, w), np.float32)
    for k in range(8):
        cv2.circle(row, (40 + 48 * k, 150), 14, 1.0, -1)
    single = np.zeros((h, w), np.float32)
    cv2.circle(single, (200, 150), 20, 1.0, -1)
    random = np.zeros((h, w), np.float32)
    for cx, cy in rng.uniform((0, 0), (w, h), (90, 2)):
        cv2.circle(random, (int(cx), int(cy)), 7, 1.0, -1)
    return {
        "blank": np.full((h, w), 7, np.uint16),
        "not a number": np.full((h, w), np.nan, np.float32),
        "tiny": np.eye(5, dtype=np.float32),
        "noise": rng.normal(0, 1, (h, w)).astype(np.float32),
        "clouds": cv2.GaussianBlur(rng.normal(0, 1, (h, w)).astype(np.float32), (0, 0), 6),
        "gradient": np.broadcast_to(np.linspace(0, 1, w, dtype=np.float32), (h, w)).copy(),
        "text": text,
        "weave": (np.sin(x / 5) * np.sin(y / 5)).astype(np.float32),
        "checks": ((x // 25 + y // 25) % 2).astype(np.float32),
        "one row": row,
        "one column": row.T.copy(),
        "single spot": single,
        "random discs": random,
    }


@pytest.mark.parametrize("name", negatives())
def test_images_without_a_grid_are_never_ok(name: str) -> None:
    grid = detect_grid(negatives()[name], scale=2.0, options=GridOptions())
    assert grid.status in ("failed", "ambiguous")
    assert grid.confidence < 0.25
    assert grid.reason


def test_a_cropped_grid_is_not_taken_for_a_whole_one() -> None:
    made = render(9, 14, angle=0)
    cut = np.ascontiguousarray(made.image[:, : int(made.centres[0, 10, 0] + 15)])
    grid = detect_grid(cut, scale=1.0, options=GridOptions())
    assert grid.status == "ambiguous"
    assert "cols" in grid.reason


def test_carrier_leaves_a_shift_open_where_an_outer_row_is_empty() -> None:
    made = render(8, 12, empty_rows=(0,), margin=2.0)
    grid = detect(made, carrier=carrier(8, 12), carrier_name="plate")
    assert grid.status == "ambiguous"
    assert (grid.rows, grid.cols) == (8, 12)
    assert "7 of 8 rows" in grid.reason
    assert "origin" in grid.reason


def test_image_edge_chooses_a_shift_but_does_not_make_it_sure() -> None:
    made = render(8, 12, empty_rows=(0,), margin=2.0)
    bottom = int(made.centres[-1, 0, 1] + 15)
    cut = Scene(np.ascontiguousarray(made.image[:bottom]), made.centres, made.present)
    grid = detect(cut, carrier=carrier(8, 12))
    assert_true(grid, cut)
    assert grid.status == "ambiguous"
    assert "number 2 is the first" in grid.reason


def test_gaps_between_blocks_settle_the_shift() -> None:
    made = render(6, 15, blocks=(5, 4, 6), pitch=24)
    hidden = made.image.copy()
    hidden[:, : int(made.centres[0, 0, 0] + 12)] = np.median(made.image[:5])
    present = made.present.copy()
    present[:, 0] = False
    scene = Scene(hidden, made.centres, present)
    grid = detect(scene, carrier=carrier(6, 15, block_cols=(5, 4, 6)))
    assert grid.status == "ok", grid.reason
    assert_true(grid, scene)


def test_origin_settles_the_shift() -> None:
    made = render(8, 12, empty_rows=(0,), margin=2.0, angle=3)
    x, y = made.centres[0, 0] + 3
    grid = detect(made, carrier=carrier(8, 12), override=GridOverride(origin=(x, y)))
    assert grid.status == "override", grid.reason
    assert_true(grid, made)


def test_scale_brings_positions_to_slide_pixels() -> None:
    made = render(8, 12, angle=2)
    grid = detect_grid(made.image, scale=4.0, options=GridOptions())
    first = (made.centres[0, 0] + 0.5) * 4 - 0.5
    assert grid.origin == pytest.approx(tuple(first), abs=2)
    assert grid.pitch == pytest.approx((120, 120), rel=0.005)
    assert grid.image == (made.image.shape[1] * 4, made.image.shape[0] * 4)


def test_full_override_holds_even_on_a_blank_image() -> None:
    blank = np.zeros((300, 400), np.uint8)
    given = GridOverride(rows=3, cols=4, origin=(50, 60), pitch=(80, 70), angle=0.0)
    grid = detect_grid(blank, scale=1.0, options=GridOptions(), override=given)
    assert grid.status == "override"
    assert (grid.rows, grid.cols, grid.found) == (3, 4, 0)
    last = grid.table.iloc[-1]
    assert (last.spot, last.x, last.y) == ("C4", 290, 200)


def test_three_corners_fix_the_grid_and_spots_are_looked_up() -> None:
    made = render(8, 12, angle=5, missing=0.3, seed=2)
    corners = {
        spot_name(r, c): tuple(float(v) for v in made.centres[r, c])
        for r, c in ((0, 0), (0, 11), (7, 0))
    }
    given = GridOverride(rows=8, cols=12, corners=corners)
    grid = detect(made, override=given)
    assert grid.status == "override"
    assert_true(grid, made)


def test_positions_beyond_the_image_are_flagged() -> None:
    given = GridOverride(rows=2, cols=6, origin=(50, 50), pitch=(80, 70), angle=0.0)
    blank = np.zeros((300, 400), np.uint8)
    grid = detect_grid(blank, scale=1.0, options=GridOptions(), override=given)
    flags = dict(zip(grid.table["spot"], grid.table["flags"], strict=True))
    assert flags["A6"] == "not_found;outside"
    assert flags["A1"] == "not_found"


CONTRADICTIONS = [
    {"rows": 4, "cols": 4, "corners": {"H1": (10, 10)}},
    {"corners": {"A1": (0, 0), "A5": (100, 0), "B1": (300, 300)}, "pitch": (10, 10)},
    {"corners": {"A1": (200, 0), "A5": (0, 0), "E1": (200, 200)}},
    {"origin": (0, 0), "corners": {"A1": (90, 90)}, "pitch": (20, 20)},
    {"corners": {"7": (0, 0)}},
]


@pytest.mark.parametrize("given", CONTRADICTIONS, ids=range(len(CONTRADICTIONS)))
def test_contradictory_overrides_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        detect(render(4, 4), override=GridOverride(**given))


def test_same_image_gives_the_same_grid() -> None:
    made = render(4, 5, angle=4, missing=0.1)
    one, two = detect(made), detect(made)
    assert json.dumps(one.to_json("S")) == json.dumps(two.to_json("S"))
    assert one.table.equals(two.table)


def test_margins_name_every_one_step_change() -> None:
    margins = detect(render(8, 12)).margins
    assert len(margins) == 12
    assert all(value > 5 for value in margins.values())


def test_gray_follows_the_colour_that_contrasts() -> None:
    made = render(5, 6, noise=0.0)
    shade = (made.image.astype(np.float32) - 8000) / 8000
    rgb = np.stack([120 - 60 * shade, 60 + 60 * shade, 100 + 0 * shade], axis=-1)
    gray = to_gray(rgb.astype(np.uint8))
    assert gray.std() > 1.2 * (60 * shade).std()
    grid = detect_grid(gray, scale=1.0, options=GridOptions(rows=5, cols=6))
    assert_true(grid, made)


def test_a_grid_placed_where_nothing_shows_fails_with_a_reason() -> None:
    made = render(8, 12, margin=5.0)
    pitch = made.centres[0, 1, 0] - made.centres[0, 0, 0]
    x, y = made.centres[-1, -1] + 2 * pitch
    grid = detect(made, override=GridOverride(origin=(x, y), rows=2, cols=2))
    assert grid.status == "failed"
    assert "origin" in grid.reason


def test_a_doubt_of_rows_and_columns_alike_is_said_once() -> None:
    made = render(8, 12, margin=4.0)
    h, w = made.image.shape
    grid = detect(made, carrier=carrier(8, 12), override=GridOverride(origin=(w - 20.0, h - 20.0)))
    assert grid.status == "ambiguous"
    assert grid.reason.count("a named spot does not lie on the lattice") == 1


def test_a_given_pitch_that_no_lattice_has_is_named() -> None:
    grid = detect(render(8, 12), override=GridOverride(pitch=(21.5, 21.5)))
    assert grid.status == "failed"
    assert "pitch" in grid.reason

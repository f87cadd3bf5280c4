"""A grid taken from another slide: placed anew on the image, or refused with the reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gridwell.config.models import GridOptions, GridOverride
from gridwell.grid.model import Grid
from gridwell.grid.reference import refined, refit

from tests.unit.grid.known import grid_of
from tests.unit.grid.synth import Scene, render


def fit(made: Scene, reference: Grid, **known: Any) -> Grid:
    h, w = made.image.shape
    return refit(
        made.image, reference, "S01", scale=1.0, size=(w, h), options=GridOptions(), **known
    )


def farthest(grid: Grid, made: Scene) -> float:
    return float(np.hypot(*(grid.nodes - made.centres).reshape(-1, 2).T).max())


@pytest.fixture(scope="module")
def reference() -> Grid:
    return grid_of(render(8, 12))


@pytest.mark.parametrize(
    "scene",
    [
        {"angle": 4.0},
        {"angle": -9.0, "missing": 0.4},
        {"angle": 2.0, "shift": (0.7, -0.6), "margin": 2.5},
        {"angle": 1.0, "bright": False, "missing": 0.2},
        {"angle": 3.0, "debris": 30, "noise": 0.15},
        {"angle": 0.0, "shape": "square", "spot": 0.7},
    ],
    ids=str,
)
def test_place_and_angle_are_found(reference, scene):
    made = render(8, 12, seed=3, **scene)
    grid = fit(made, reference)
    assert grid.status == "override", grid.reason
    assert farthest(grid, made) < 1.0
    assert grid.angle == pytest.approx(scene["angle"], abs=0.05)
    assert (grid.pitch, grid.width) == (reference.pitch, reference.width)
    assert (grid.table["found"].to_numpy() == made.present.ravel()).mean() > 0.97
    assert grid.origin == pytest.approx(made.centres[0, 0], abs=0.5)


def test_bends_are_kept(reference):
    rng = np.random.default_rng(5)
    wave = 3 * np.sin(np.arange(12) / 3)[None, :, None] * np.array([0.0, 1.0])
    plain = render(8, 12)
    there = grid_of(replace(plain, centres=plain.centres + wave))
    made = render(8, 12, angle=0.0, shift=(0.5, 0.4), margin=2.5)
    bend = replace(made, centres=made.centres + wave)
    moved = Scene(_drawn(bend, rng), bend.centres, bend.present)
    grid = fit(moved, there)
    assert grid.status == "override", grid.reason
    assert farthest(grid, moved) < 0.7


def _drawn(made: Scene, rng: np.random.Generator) -> Any:
    yy, xx = np.indices(made.image.shape)
    image = np.zeros(made.image.shape)
    for x, y in made.centres.reshape(-1, 2):
        image = np.maximum(image, np.clip(9.5 - np.hypot(xx - x, yy - y), 0, 1))
    noisy = 8000 + 8000 * (image + rng.normal(0, 0.05, image.shape))
    return noisy.astype(np.uint16)


def test_a_glaring_rim_is_no_row_of_spots(reference):
    made = render(8, 12, missing=0.15, margin=2.5, seed=6)
    image = made.image.copy()
    y = int(made.centres[0, 0, 1] - 30)
    image[y - 8 : y + 8, 10:-10] = 60000
    grid = fit(replace(made, image=image), reference)
    assert grid.status == "override", grid.reason
    assert farthest(grid, made) < 1


def test_pixels_of_another_size(reference):
    made = render(8, 12, pitch=20.0, angle=2)
    there = replace(reference, pixel_size_um=2.0)
    grid = fit(made, there, pixel_size_um=3.0)
    assert grid.status == "override", grid.reason
    assert grid.pitch == pytest.approx((20, 20))
    assert farthest(grid, made) < 0.7


def test_origin_and_angle_are_kept_as_given(reference):
    made = render(8, 12, angle=3.0)
    x, y = (round(float(v), 1) for v in made.centres[0, 0])
    grid = fit(made, reference, override=GridOverride(same_as="S01", origin=(x, y), angle=3.0))
    assert grid.status == "override", grid.reason
    assert (grid.origin, grid.angle) == (pytest.approx((x, y)), pytest.approx(3.0))
    assert farthest(grid, made) < 0.5


def test_a_slide_that_was_turned(reference):
    made = render(8, 12, angle=3.0)
    override = GridOverride(same_as="S01", orientation="A1 bottom right")
    grid = fit(made, reference, override=override)
    assert grid.status == "override", grid.reason
    assert grid.orientation["value"] == "A1 bottom right"
    assert grid.nodes == pytest.approx(made.centres[::-1, ::-1], abs=0.5)
    known = replace(reference, orientation={"value": "A1 top left", "source": "marks"})
    assert fit(made, known).orientation["value"] == "A1 top left"
    assert fit(made, reference).orientation["value"] == "unknown"


OTHERS = {
    "empty": (render(8, 12, missing=1.0), "failed"),
    "black": (replace(render(8, 12), image=np.zeros((300, 400), np.uint16)), "failed"),
    "twice as dense": (render(16, 24, pitch=15.0), "failed"),
    "half as dense": (render(4, 6, pitch=60.0, spot=0.3), "failed"),
    "another pitch": (render(8, 12, pitch=34.0), "failed"),
    "more rows": (render(10, 12), "ambiguous"),
    "first row empty": (render(8, 12, empty_rows=(0,), margin=2.5), "ambiguous"),
}  # fmt: skip


@pytest.mark.parametrize("kind", OTHERS)
def test_what_does_not_fit_is_not_taken(reference, kind):
    made, status = OTHERS[kind]
    grid = fit(made, reference)
    assert grid.status == status
    assert grid.reason
    assert status == "ambiguous" or grid.rows == 0


def test_an_uncertain_grid_is_not_handed_on(reference):
    grid = fit(render(8, 12), replace(reference, status="ambiguous"))
    assert grid.status == "failed"
    assert "slide S01" in grid.reason


def test_drawn_nodes_are_moved_onto_the_spots():
    made = render(8, 12, angle=5, missing=0.2)
    image = (made.image.astype(np.float32) - 8000) / 8000
    rng = np.random.default_rng(2)
    drawn = made.centres + np.linspace(-4, 3, 12)[None, :, None] + rng.normal(0, 0.1, 2)
    better = refined(image, drawn)
    assert better is not None
    assert np.hypot(*(better - made.centres).reshape(-1, 2).T).max() < 0.3
    assert refined(np.zeros_like(image), drawn) is None
    assert refined(image, made.centres + 25) is None


def test_grids_of_many_spots_may_be_drawn():
    made = render(36, 40, pitch=12.0, missing=0.3)
    image = (made.image.astype(np.float32) - 8000) / 8000
    better = refined(image, made.centres + 1.0)
    assert better is not None
    assert np.hypot(*(better - made.centres).reshape(-1, 2).T).max() < 0.2

"""From pixels to the lattice that explains them best."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gridwell.grid.decide import Dims
from gridwell.grid.elements import Image, from_filters, from_network, normalise
from gridwell.grid.lattice import Limits
from gridwell.grid.search import Found, polarity_of, search

from tests.unit.grid.synth import Scene, render

SEARCHED = [("network", True), ("network", False), ("filters", True), ("filters", False)]


def gray_of(made: Scene) -> Image:
    gray = normalise(made.image)
    assert gray is not None
    return gray


def farthest(found: Found, made: Scene) -> float:
    """Largest distance of a node of the extent from its true place, in pixels."""
    off = found.extent.cut(found.cells.nodes) - made.centres
    return float(np.hypot(*np.moveaxis(off, -1, 0)).max())


def near(points: np.ndarray, made: Scene, reach: float) -> np.ndarray:
    """Which true spots have a candidate within `reach` pixels."""
    spots = made.centres[made.present]
    return np.hypot(*(points[None] - spots[:, None]).transpose(2, 0, 1)).min(axis=1) < reach


@pytest.mark.parametrize("bright", [True, False])
def test_the_network_gives_candidates_at_the_spots(bright):
    made = render(8, 12, angle=12, missing=0.1, bright=bright)
    gray = gray_of(made)
    sets = list(from_network(gray, "forbid"))
    best = max(sets, key=lambda one: near(one.points, made, 2.0).sum())
    assert near(best.points, made, 2.0).all()
    assert len(best.points) <= made.present.sum() + 2
    assert best.polarity == 1  # of the map, whatever the image's is
    assert best.surface.shape == gray.shape
    inner = best.surface[tuple(np.rint(made.centres[made.present]).astype(int).T[::-1])]
    assert np.median(inner) > 0.7 > 0.3 > np.median(best.surface)


def test_nothing_gives_no_candidates():
    blank = np.zeros((200, 300), np.float32)
    assert not list(from_network(blank, "forbid"))
    assert not list(from_filters(blank))


@pytest.mark.parametrize(("method", "bright"), SEARCHED)
def test_lattice_extent_and_hits_are_those_of_the_carrier(method, bright):
    made = render(7, 11, angle=-8, missing=0.15, bright=bright, seed=2)
    gray = gray_of(made)
    found = search(gray, Limits(), Dims(), method=method, gpu="forbid")
    assert found is not None
    assert (found.extent.rows, found.extent.cols) == made.present.shape
    assert farthest(found, made) < 1.0
    assert (found.extent.cut(found.hits) == made.present).all()
    assert polarity_of(gray, found) == (1 if bright else -1)
    assert found.purity > 0.9 and found.alike > 0.8 and found.beside == 0
    assert 0 <= found.rival < 0.8


@pytest.mark.parametrize("scene", [{"spot": 0.3}, {"spot": 0.85, "shape": "square"}])
def test_neither_half_nor_double_lattices_win(scene: dict[str, Any]):
    made = render(8, 12, angle=5, seed=4, **scene)
    found = search(gray_of(made), Limits(), Dims(), gpu="forbid")
    assert found is not None
    assert found.lattice.basis.pitch == pytest.approx(30, rel=0.01)
    assert farthest(found, made) < 1.0


def test_limits_are_kept():
    made = render(8, 12, angle=20)
    found = search(gray_of(made), Limits(0.0, 5.0), Dims(), gpu="forbid")
    if found is not None:
        u = found.lattice.basis.u
        assert abs(np.degrees(np.arctan2(u[1], u[0]))) < 6


def test_spots_beside_the_grid_are_counted():
    made = render(6, 8, margin=6.5, seed=1)
    image = made.image.copy()
    y, x = np.indices(image.shape)
    # A second, smaller field of the same spots, between the lines of the first.
    right, low = made.centres[-1, -1] + 1.5 * 30
    for row in range(3):
        for col in range(3):
            spot = np.hypot(x - right - 30 * col, y - low - 30 * row) < 9
            image[spot] = image[tuple(np.rint(made.centres[2, 2]).astype(int)[::-1])]
    found = search(
        gray_of(Scene(image, made.centres, made.present)), Limits(), Dims(), gpu="forbid"
    )
    assert found is not None
    assert found.beside >= 4

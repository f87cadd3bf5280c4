"""The outline of a carrier: found where it is drawn, and it settles where empty lines lie."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from gridwell.config.models import Carrier, GridOptions
from gridwell.grid.detect import detect_grid
from gridwell.grid.evidence import Extent
from gridwell.grid.frame import find_frame
from gridwell.grid.lattice import Array, Basis

PITCH = 30.0


def plate(
    empty: tuple[slice, slice] | None, offset: tuple[float, float] = (1.0, 1.0)
) -> tuple[np.ndarray, Array]:
    """Image of 8 x 12 discs in an outline, some empty, and their centres.

    `offset` is the distance, in pitches, of the outline before A1 in x and y; it is 1 behind.
    """
    rng = np.random.default_rng(3)
    image = np.full((380, 560), 0.2, np.float32)
    origin = np.array([130.0, 90.0])
    r, c = np.mgrid[:8, :12]
    nodes = np.stack([origin[0] + c * PITCH, origin[1] + r * PITCH], -1)
    low = (origin - np.array(offset) * PITCH).astype(int)
    high = (nodes[-1, -1] + PITCH).astype(int)
    cv2.rectangle(image, low.tolist(), high.tolist(), 0.35, -1)
    shown = np.ones((8, 12), bool)
    if empty is not None:
        shown[empty] = False
    for x, y in nodes[shown]:
        cv2.circle(image, (round(x), round(y)), 9, 0.9, -1)
    return image + rng.normal(0, 0.02, image.shape).astype(np.float32), nodes


def test_an_outline_is_found_on_four_sides() -> None:
    image, nodes = plate(None)
    basis = Basis(np.array([PITCH, 0.0]), np.array([0.0, PITCH]))
    frame = find_frame(image, nodes, Extent(0, 7, 0, 11), basis)
    for side in (frame.top, frame.bottom, frame.left, frame.right):
        assert side == pytest.approx(1.0, abs=0.1)


def test_no_outline_is_found_where_none_is() -> None:
    image, nodes = plate(None)
    image = np.random.default_rng(0).normal(0.2, 0.02, image.shape).astype(np.float32)
    basis = Basis(np.array([PITCH, 0.0]), np.array([0.0, PITCH]))
    frame = find_frame(image, nodes, Extent(0, 7, 0, 11), basis)
    assert frame.top is frame.bottom is frame.left is frame.right is None


@pytest.mark.parametrize(
    "empty",
    [np.s_[:1, :], np.s_[6:, :], np.s_[:, :2], np.s_[:, 11:], np.s_[:, :6], np.s_[:2, :]],
    ids=["first row", "last rows", "first columns", "last column", "left half", "first rows"],
)
def test_the_outline_tells_which_lines_are_empty(empty: tuple[slice, slice]) -> None:
    image, nodes = plate(empty)
    grid = detect_grid(image, scale=1.0, options=GridOptions(rows=8, cols=12))
    assert grid.status == "ok", grid.reason
    where = grid.table[["x", "y"]].to_numpy().reshape(8, 12, 2)
    assert np.abs(where - nodes).max() < 3


def test_a_carrier_tells_how_its_outline_lies() -> None:
    image, nodes = plate(np.s_[:2, :], offset=(1.0, 2.0))
    known = Carrier(
        title="test",
        rows=8,
        cols=12,
        pitch_um=(9000, 9000),
        footprint_um=(13 * 9000, 10 * 9000),
        a1_um=(9000, 18000),
    )
    grid = detect_grid(image, scale=1.0, options=GridOptions(), carrier=known)
    assert grid.status == "ok", grid.reason
    where = grid.table[["x", "y"]].to_numpy().reshape(8, 12, 2)
    assert np.abs(where - nodes).max() < 3

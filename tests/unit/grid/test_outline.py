"""The typical spot's outline, on drawn spots of known size."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from gridwell.grid.lattice import Basis
from gridwell.grid.outline import measure_outline

PITCH = 60.0


def draw(shape: str, size: float, *, ring: bool, sign: int, angle: float, noise: float):
    """Image of 6 x 8 spots at 2x supersampling, their centres (n, 2) and the basis."""
    turn = np.radians(angle)
    u = PITCH * np.array([np.cos(turn), np.sin(turn)])
    v = PITCH * np.array([-np.sin(turn), np.cos(turn)])
    cols, rows = np.meshgrid(np.arange(8), np.arange(6))
    centres = np.array([110.0, 60.0]) + cols[..., None] * u + rows[..., None] * v
    image = np.full((1000, 1200), 100.0, np.float32)
    for centre in centres.reshape(-1, 2):
        for part, height in ((1.0, 60.0), (0.8, 0.0 if ring else 60.0)):
            at = 2 * (centre + 0.25)
            if shape == "square":
                box = cv2.boxPoints((at.tolist(), (2 * size * part, 2 * size * part), angle))
            else:
                around = np.linspace(0, 2 * np.pi, 90)
                box = at + size * part * np.stack([np.cos(around), np.sin(around)], axis=1)
            cv2.fillPoly(image, [np.round(box * 16).astype(np.int32)], 100 + sign * height, shift=4)
    image = cv2.GaussianBlur(cv2.resize(image, None, fx=0.5, fy=0.5), (0, 0), 1.0)
    image += np.random.default_rng(1).normal(0, noise, image.shape).astype(np.float32)
    image += np.linspace(0, 30, image.shape[1], dtype=np.float32)  # uneven light
    return image, centres.reshape(-1, 2), Basis(u, v)


@pytest.mark.parametrize("shape", ["square", "round"])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("ring", [True, False])
@pytest.mark.parametrize(("size", "angle", "noise"), [(30, 0, 2), (42, 7, 8), (24, -10, 4)])
def test_shape_and_size_of_discs_squares_and_rings(shape, sign, ring, size, angle, noise):
    image, centres, basis = draw(shape, size, ring=ring, sign=sign, angle=angle, noise=noise)
    found = measure_outline(image, centres, basis)
    assert found.shape == shape
    np.testing.assert_allclose(np.array(found.size) * PITCH, size, rtol=0.07)


def test_nothing_to_measure_is_none():
    _, centres, basis = draw("round", 30, ring=False, sign=1, angle=0, noise=1)
    noise = np.random.default_rng(2).normal(100, 5, (500, 600)).astype(np.float32)
    assert measure_outline(noise, centres, basis) is None
    assert measure_outline(noise, centres[:0], basis) is None


def test_spots_that_run_together_have_no_outline():
    image, centres, basis = draw("square", 60, ring=False, sign=1, angle=0, noise=1)
    assert measure_outline(image, centres, basis) is None


def test_dense_cells_do_not_hide_the_dim_spot_around_them():
    image, centres, basis = draw("square", 44, ring=False, sign=1, angle=3, noise=1)
    rng = np.random.default_rng(4)
    for centre in np.repeat(centres, 40, axis=0):
        cell = centre + rng.uniform(-16, 16, 2)
        at = tuple(int(16 * value) for value in cell)
        cv2.circle(image, at, 3 * 16, 400, thickness=-1, shift=4)
    found = measure_outline(image, centres, basis)
    np.testing.assert_allclose(np.array(found.size) * PITCH, 44, rtol=0.1)

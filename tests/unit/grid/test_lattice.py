"""Lattices from candidate points alone: known truth, whatever the pose."""

from __future__ import annotations

import numpy as np
import pytest
from gridwell.grid.lattice import Array, Lattice, Limits, build, find_bases
from gridwell.phantom import grids
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree


def best(points: Array) -> Lattice:
    """The lattice that explains the points best."""
    built = [build(points, basis) for _, basis in find_bases(points, Limits())]
    return max((one for one in built if one is not None), key=lambda one: one.gain)


def shift(found: Lattice, truth: Array) -> tuple[np.ndarray, float]:
    """Column and row of the lattice at the first true node, and how many members agree."""
    distance, nearest = cKDTree(truth.reshape(-1, 2)).query(found.where)
    row, col = np.divmod(nearest, truth.shape[1])
    near = distance < 0.35 * found.basis.pitch
    offset, count = np.unique(
        found.index[near] - np.column_stack([col, row])[near], axis=0, return_counts=True
    )
    return offset[np.argmax(count)], float(count.max() / near.sum())


def error(found: Lattice, truth: Array) -> float:
    """Largest distance of a node from its true place, in pitches."""
    (col, row), _ = shift(found, truth)
    rows, cols = np.mgrid[: truth.shape[0], : truth.shape[1]]
    off = found.predict(cols + col, rows + row) - truth
    return float(np.hypot(off[..., 0], off[..., 1]).max() / found.basis.pitch)


def rectangle(rows: int, cols: int, pitch: tuple[float, float], angle: float) -> Array:
    a = np.radians(angle)
    r, c = np.mgrid[:rows, :cols]
    x, y = c * pitch[0], r * pitch[1]
    return np.stack([np.cos(a) * x - np.sin(a) * y, np.sin(a) * x + np.cos(a) * y], -1) + 50


@settings(deadline=None, max_examples=40)
@given(
    rows=st.integers(4, 16),
    cols=st.integers(4, 16),
    pitch=st.floats(8, 80),
    aspect=st.floats(0.65, 1.55),
    angle=st.floats(-44, 44),
    missing=st.floats(0, 0.25),
    false=st.floats(0, 0.3),
    seed=st.integers(0, 2**16),
)
def test_rows_and_columns_at_any_angle(
    rows: int,
    cols: int,
    pitch: float,
    aspect: float,
    angle: float,
    missing: float,
    false: float,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    truth = rectangle(rows, cols, (pitch, pitch * aspect), angle)
    step = min(pitch, pitch * aspect)
    kept = truth[rng.random((rows, cols)) >= missing]
    strays = rng.uniform(truth.min((0, 1)), truth.max((0, 1)), (int(false * len(kept)), 2))
    points = np.concatenate([kept + rng.normal(0, 0.03 * step, kept.shape), strays])
    found = best(points)
    assert shift(found, truth)[1] > 0.95
    assert error(found, truth) < 0.25


@pytest.mark.parametrize("level", ["L1", "L2"])
@pytest.mark.parametrize("seed", range(500, 508))
def test_simulated_carriers_are_found_whole(level: str, seed: int) -> None:
    truth = grids.scene(level, seed)
    found = best(grids.points(truth, np.random.default_rng(seed)))
    (col, row), agreed = shift(found, truth.nodes)
    assert agreed > 0.97
    rows, cols = np.mgrid[: truth.nodes.shape[0], : truth.nodes.shape[1]]
    off = found.predict(cols + col, rows + row) - truth.nodes
    near = np.hypot(off[..., 0], off[..., 1]) < 0.25 * found.basis.pitch
    assert near.mean() > 0.97


def test_the_order_of_candidates_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    points = rectangle(8, 12, (30, 30), 12).reshape(-1, 2) + rng.normal(0, 1.0, (96, 2))
    mixed = rng.permutation(len(points))
    one, other = best(points), best(points[mixed])
    assert np.allclose(sorted(one.where.tolist()), sorted(other.where.tolist()))
    assert one.rms == pytest.approx(other.rms, abs=1e-9)


@pytest.mark.parametrize("gap", [1.45, 2.4, 2.7])
def test_a_gap_of_no_whole_pitch_begins_a_block(gap: float) -> None:
    truth = rectangle(8, 12, (30, 30), -20)
    u = truth[0, 1] - truth[0, 0]
    truth[:, 6:] += (gap - 1) * u
    found = best(truth.reshape(-1, 2) + np.random.default_rng(0).normal(0, 0.6, (96, 2)))
    first = found.bounds[0]
    assert [k - first for k in found.steps_x] == [6]
    assert not found.steps_y
    assert found.bounds[1] - first + 1 == 12
    assert error(found, truth) < 0.1


def test_a_gap_of_whole_pitches_is_an_empty_column() -> None:
    truth = rectangle(8, 12, (30, 30), 7)
    shown = np.ones((8, 12), bool)
    shown[:, 5] = False
    points = truth[shown] + np.random.default_rng(0).normal(0, 0.6, (88, 2))
    found = best(points)
    assert not found.steps_x
    assert found.bounds[1] - found.bounds[0] + 1 == 12
    assert error(found, truth) < 0.1


def test_a_bent_carrier_is_followed() -> None:
    truth = rectangle(16, 24, (30, 30), 5)
    r, c = np.mgrid[:16, :24]
    truth[..., 1] += 18 * np.sin(c / 24 * np.pi) + 8 * np.cos(r / 16 * np.pi)
    points = truth.reshape(-1, 2) + np.random.default_rng(1).normal(0, 1.0, (384, 2))
    found = best(points)
    assert found.bounds[1] - found.bounds[0] + 1 == 24
    assert error(found, truth) < 0.12


def test_neither_half_nor_twice_the_lattice_wins() -> None:
    rng = np.random.default_rng(5)
    truth = rectangle(6, 8, (40, 40), 3)
    kept = truth[rng.random((6, 8)) > 0.4]
    points = kept + rng.normal(0, 3.5, kept.shape)
    found = best(points)
    assert found.basis.pitch == pytest.approx(40, rel=0.06)


def test_few_points_have_no_basis() -> None:
    assert find_bases(np.zeros((3, 2)), Limits()) == []
    assert find_bases(np.random.default_rng(0).uniform(0, 9, (3, 2)), Limits()) == []


def test_limits_keep_to_what_is_known() -> None:
    points = rectangle(8, 12, (30, 30), 30).reshape(-1, 2)
    assert find_bases(points, Limits(angle=0, tolerance=10)) == []
    assert find_bases(points, Limits(angle=28, tolerance=5, pitch=(30, 30)))
    assert find_bases(points, Limits(pitch=(52, 52))) == []

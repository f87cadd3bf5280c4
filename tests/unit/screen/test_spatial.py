"""Places on the slide: what is noise stays, what controls prove is taken off."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from gridwell.screen.spatial import (
    control_surface,
    morans_i,
    position_statistics,
    residuals,
)

ROWS, COLS = 14, 24
ROW, COL = (a.ravel().astype(float) for a in np.indices((ROWS, COLS)))


def _slide(rng: np.random.Generator, shape: np.ndarray, n_controls: int, noise: float = 0.06):
    """Values of a slide whose level follows `shape`, and which spots are controls."""
    control = np.zeros(ROWS * COLS, bool)
    control[rng.choice(ROWS * COLS, n_controls, replace=False)] = True
    level = np.where(control, 0.9, rng.uniform(0.05, 0.9, ROWS * COLS))
    return level * shape * (1 + noise * rng.normal(size=ROWS * COLS)), control


def test_slides_without_a_gradient_are_left_alone() -> None:
    rng = np.random.default_rng(1)
    flat = np.ones(ROWS * COLS)
    corrected = [
        control_surface(ROW, COL, *_slide(rng, flat, n)).order > 0
        for n in (12, 24, 48)
        for _ in range(100)
    ]
    assert np.mean(corrected) <= 0.05


@pytest.mark.parametrize("order", [1, 2])
def test_a_gradient_of_20_percent_is_taken_off(order: int) -> None:
    rng = np.random.default_rng(2)
    x, y = COL / (COL - 1).max() - 0.5, ROW / ROW.max() - 0.5
    shape = 1 + 0.2 * x if order == 1 else 1.05 - 0.4 * (x**2 + y**2)
    found, left = [], []
    for _ in range(30):
        surface = control_surface(ROW, COL, *_slide(rng, shape, 48))
        found.append(surface.order > 0)
        rest = shape / surface.factor
        left.append(rest.std() / rest.mean())
    assert np.mean(found) >= 0.85
    assert np.median(left) < 0.4 * shape.std() / shape.mean()


def test_what_samples_do_corrects_nothing() -> None:
    rng = np.random.default_rng(3)
    value, control = _slide(rng, np.ones(ROWS * COLS), 48)
    value = np.where(control, value, value * (0.2 + COL / COLS))
    assert control_surface(ROW, COL, value, control).order == 0


def test_no_surface_where_controls_do_not_reach() -> None:
    rng = np.random.default_rng(4)
    value, _ = _slide(rng, 1 + 0.5 * (COL / COLS), 48)
    corner = (ROW < 5) & (COL < 5)
    column = COL == 0
    few = np.zeros_like(corner)
    few[rng.choice(ROWS * COLS, 11, replace=False)] = True
    for control in (corner, column, few):
        surface = control_surface(ROW, COL, np.where(control, 0.9 * (1 + COL), value), control)
        assert surface.order == 0
        assert (surface.factor == 1).all()


def test_one_wild_control_makes_no_gradient() -> None:
    rng = np.random.default_rng(5)
    value, control = _slide(rng, np.ones(ROWS * COLS), 24, 0.02)
    value[np.flatnonzero(control)[0]] = 40.0
    assert control_surface(ROW, COL, value, control).order == 0


@pytest.mark.parametrize("level", [0.0, -1.0, np.nan, 1.0])
def test_controls_that_are_alike_or_no_positive_numbers(level: float) -> None:
    control = (COL % 4) == 0
    assert control_surface(ROW, COL, np.full(ROWS * COLS, level), control).order == 0


def test_the_unit_of_the_number_changes_nothing() -> None:
    rng = np.random.default_rng(6)
    value, control = _slide(rng, 1 + 0.3 * (COL / COLS - 0.5), 48)
    one, other = (control_surface(ROW, COL, value * gain, control) for gain in (1, 1e4))
    assert one.order == 1
    np.testing.assert_allclose(one.factor, other.factor)
    assert (one.p, one.gain) == pytest.approx((other.p, other.gain))


def _spots(rng: np.random.Generator, shape: np.ndarray | float = 1.0) -> pd.DataFrame:
    """Thirty conditions at random places, four spots each, and controls."""
    kind = rng.permutation(np.arange(ROWS * COLS) % 56)
    level = np.linspace(0.1, 0.9, 56)[kind]
    table = pd.DataFrame({"row0": ROW.astype(int), "col0": COL.astype(int)})
    table["role"] = np.where(kind < 6, "neg_ctrl", "sample")
    table["agent"] = np.where(kind < 6, "DMSO", [f"drug{k}" for k in kind])
    table["concentration"], table["sample"] = 1.0, None
    level = np.where(kind < 6, 0.9, level)
    table["measured"] = level * shape * (1 + 0.05 * rng.normal(size=len(table)))
    return table


def test_position_statistics_of_random_slides_are_random() -> None:
    rng = np.random.default_rng(7)
    found = pd.DataFrame([position_statistics(_spots(rng), ROWS, COLS) for _ in range(60)])
    low = (found[["edge_p", "edge_all_p", "row_p", "col_p", "morans_p"]] < 0.05).mean()
    assert (low <= 0.15).all()
    assert abs(found["morans_i"].mean()) < 0.02


@pytest.mark.parametrize(
    ("shape", "shown"),
    [
        (np.where((ROW == 0) | (ROW == 13) | (COL == 0) | (COL == 23), 0.85, 1), ("edge_p",)),
        (np.where(ROW % 2 == 0, 0.9, 1), ("row_p",)),
        (1 + 0.3 * (COL / COLS - 0.5), ("col_p", "morans_p")),
    ],
)
def test_what_is_wrong_with_a_slide_shows(shape: np.ndarray, shown: tuple[str, ...]) -> None:
    found = position_statistics(_spots(np.random.default_rng(8), shape), ROWS, COLS)
    for name in shown:
        assert found[name] < 0.02, name


def test_doses_in_columns_are_no_trouble_of_the_slide() -> None:
    rng = np.random.default_rng(9)
    table = _spots(rng)
    table["agent"] = [f"drug{col}" for col in table["col0"]]
    table["role"] = "sample"
    table["measured"] = 0.1 + 0.03 * table["col0"] + 0.02 * rng.normal(size=len(table))
    found = position_statistics(table, ROWS, COLS)
    assert found["col_p"] > 0.9
    assert found["morans_p"] > 0.01
    assert abs(residuals(table)).max() < 0.12


def test_morans_i_by_hand() -> None:
    """A chess board: rook neighbours differ, bishop neighbours are alike."""
    row, col = (pd.Series(a.ravel()) for a in np.indices((4, 4)))
    board = pd.Series((-1.0) ** (row + col))
    index, p = morans_i(board, row, col, pd.Series("", index=row.index))
    # ordered pairs: 48 of rook and 36 of bishop neighbours
    assert index == pytest.approx((36 - 48) / 84)
    assert p > 0.5


def test_the_order_of_rows_changes_nothing() -> None:
    table = _spots(np.random.default_rng(10))
    shuffled = table.sample(frac=1, random_state=1)
    assert position_statistics(table, ROWS, COLS) == position_statistics(shuffled, ROWS, COLS)

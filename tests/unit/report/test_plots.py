"""Charts: scales that hold what they show."""

from __future__ import annotations

import pytest
from gridwell.report import plots
from hypothesis import given
from hypothesis import strategies as st


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e5))
def test_ticks_are_round_and_within_the_range(low: float, span: float) -> None:
    high = low + span
    ticks = plots.ticks(low, high)
    assert 3 <= len(ticks) <= 9
    assert all(low - 1e-6 * span <= tick <= high + 1e-6 * span + 1e-9 for tick in ticks)


@pytest.mark.parametrize(
    ("doses", "ticks"),
    [((0.004, 30.0), [0.01, 0.1, 1.0, 10.0]), ((0.2, 0.8), [0.2, 0.8]), ((1.0, 10.0), [1.0, 10.0])],
)
def test_doses_have_ticks_at_powers_of_ten(doses: tuple[float, float], ticks: list[float]) -> None:
    assert plots.decades(doses) == ticks


def test_a_plate_map_fits_its_place() -> None:
    assert plots.plate_step(14, 48, 1000, 560, 34) * 48 <= 1000
    assert plots.plate_step(8, 12, 470, 440, 28) == 28
    assert plots.plate_step(400, 400, 470, 440, 28) == 5


def test_missing_positions_are_drawn_too() -> None:
    spec = plots.plate_map("d0", 2, 3, column=plots.MapColumn("m0", "t"), step=20)
    assert spec["encoding"]["x"]["scale"]["domain"] == [1, 2, 3]
    assert spec["encoding"]["y"]["scale"]["domain"] == ["A", "B"]


def test_sixty_groups_have_each_their_own_mark() -> None:
    marks = {(plots.group_colour(i), plots.group_shape(i)) for i in range(64)}
    assert len(marks) == 64
    assert set(plots.SHAPES) == set(plots.SHAPE_PATHS)


@pytest.mark.parametrize(
    ("top", "written"), [(5000, ",.0f"), (8.2, ".1f"), (0.4, ".2f"), (0.001, ".1e"), (None, ",.0f")]
)
def test_formats_fit_the_size_of_the_numbers(top: float | None, written: str) -> None:
    assert plots.axis_format([None, top]) == written

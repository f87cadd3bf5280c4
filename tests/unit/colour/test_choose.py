"""The choice of a metric, its error by levels left out, and intervals that hold it."""

from __future__ import annotations

import numpy as np
import pytest
from gridwell.colour.choose import (
    NORMAL,
    choose_metric,
    choose_nested,
    conformal_scale,
    fit_metric,
    judge,
    leave_levels_out,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.colour.indicator import LEVELS, ph_colour, spots_of, three_colours


def test_left_out_levels_of_a_two_colour_indicator_are_predicted() -> None:
    levels = np.arange(5.5, 8.6, 0.5)
    linear, value = spots_of(levels, noise=0.01)
    trial = judge("auto", value, choose_nested(linear, value))
    assert trial.r is not None
    assert trial.r > 0.99
    assert trial.rmse is not None
    assert trial.rmse < 0.3
    assert trial.missed == 0
    assert list(trial.bias) == [f"{level:g}" for level in levels[1:-1]]


def test_the_curve_is_taken_where_no_single_number_follows_the_levels() -> None:
    linear, value = spots_of(np.arange(4.5, 9.6, 0.5), noise=0.02, of=three_colours)
    trials = {trial.metric: trial for trial in choose_metric(linear, value)}
    assert next(iter(trials)) == "lab_curve"
    best = trials.pop("lab_curve").rmse
    assert best is not None
    assert best < 0.15
    assert "gray" not in trials  # the published kind of number turns back


def test_the_outermost_levels_are_not_predicted() -> None:
    linear, value = spots_of(LEVELS)
    predicted = leave_levels_out(linear, value, fit_metric(linear, value, "lab_curve"))
    outer = (value == value.min()) | (value == value.max())
    assert np.isnan(predicted.value[outer]).all()
    assert np.isfinite(predicted.value[~outer]).all()


def test_silence_is_an_error() -> None:
    linear, value = spots_of(LEVELS)
    predicted = leave_levels_out(linear, value, fit_metric(linear, value, "lab_curve"))
    predicted.value[value == LEVELS[3]] = np.nan
    trial = judge("lab_curve", value, predicted)
    assert trial.missed == 3
    assert trial.rmse is not None
    assert trial.rmse > 0.5


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(27)))
def test_the_order_of_spots_does_not_matter(order: list[int]) -> None:
    linear, value = spots_of(LEVELS)
    metric = fit_metric(linear, value, "lab_curve")
    again = fit_metric(linear[order], value[order], "lab_curve")
    expected = leave_levels_out(linear, value, metric).value[order]
    found = leave_levels_out(linear[order], value[order], again).value
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("metric", ["lab_curve", "blue_red", "pls"])
@pytest.mark.parametrize("noise", [0.005, 0.02])
def test_intervals_hold_new_samples(metric: str, noise: float) -> None:
    held = []
    for seed in range(12):
        linear, value = spots_of(LEVELS, noise=noise, seed=seed)
        fitted = fit_metric(linear, value, metric)
        scale = conformal_scale(value, leave_levels_out(linear, value, fitted))
        assert scale is not None
        rng = np.random.default_rng(1000 + seed)
        truth = rng.uniform(LEVELS[0], LEVELS[-1], 80)
        colours = ph_colour(truth) * (1 + noise * rng.normal(size=(80, 3)))
        place = fitted.place(colours, scale=scale / NORMAL)
        kept = ~place.beyond & ~place.off
        held += (np.abs(place.value - truth) <= scale * place.sd)[kept].tolist()
    assert 0.92 <= np.mean(held) <= 0.99


def test_two_levels_have_no_interval() -> None:
    linear, value = spots_of(np.array([6.0, 8.0]))
    fitted = fit_metric(linear, value, "lab_curve")
    assert conformal_scale(value, leave_levels_out(linear, value, fitted)) is None
    assert choose_metric(linear, value)[0].metric == "lab_curve"

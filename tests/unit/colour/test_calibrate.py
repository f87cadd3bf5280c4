"""Calibration: monotone, never beyond its range, honest about its error."""

from __future__ import annotations

import numpy as np
import pytest
from gridwell.colour.calibrate import fit_calibration
from hypothesis import given, settings
from hypothesis import strategies as st


def _levels(sign: float = 1.0, noise: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    value = np.repeat(np.arange(4.0, 9.01, 0.5), 4)
    metric = sign * 100 * np.tanh((value - 6.5) / 2)
    return metric + noise * np.random.default_rng(seed).normal(size=value.size), value


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_recovers_values_in_either_direction(sign: float) -> None:
    curve = fit_calibration(*_levels(sign))
    truth = np.linspace(4.0, 9.0, 51)
    np.testing.assert_allclose(
        curve.predict(sign * 100 * np.tanh((truth - 6.5) / 2)), truth, atol=0.03
    )
    assert curve.monotone


def test_never_extrapolates() -> None:
    metric, value = _levels()
    curve = fit_calibration(metric, value)
    assert np.isnan(curve.predict([metric.min() - 1, metric.max() + 1])).all()


def test_scatter_of_the_end_levels_is_still_their_level() -> None:
    metric, value = _levels(noise=1.0)
    curve = fit_calibration(metric, value)
    assert np.isfinite(curve.predict(metric)).mean() > 0.97
    assert curve.predict(curve.metric[0] - curve.slack / 2) == pytest.approx(4.0)


def test_levels_out_of_order_are_pooled_and_told() -> None:
    value = np.array([1.0, 2, 3, 4, 5])
    curve = fit_calibration([10.0, 20, 18, 30, 40], value)
    assert not curve.monotone
    assert curve.predict(19.0) == pytest.approx(2.5)
    assert (np.diff(curve.predict(np.linspace(10, 40, 99))) >= 0).all()


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ([1, 2], [7, 7]),
        ([5, 5, 5], [1, 2, 3]),
        ([], []),
        ([1, np.nan], [1, 2]),
        ([1, 5, 9, 5, 1], [1, 2, 3, 4, 5]),
    ],
)
def test_what_cannot_be_calibrated_is_refused(metric: list[float], value: list[float]) -> None:
    with pytest.raises(ValueError, match="level"):
        fit_calibration(metric, value)


def test_two_levels_have_no_interval() -> None:
    assert np.isnan(fit_calibration([1, 2], [7, 8]).half_width)


def test_the_interval_covers_new_samples_between_the_levels() -> None:
    rng = np.random.default_rng(3)
    inside = []
    for seed in range(40):
        curve = fit_calibration(*_levels(noise=3.0, seed=seed))
        truth = rng.uniform(4.25, 8.75, 50)
        found = curve.predict(100 * np.tanh((truth - 6.5) / 2) + rng.normal(size=50) * 3.0)
        inside += (np.abs(found - truth) <= curve.half_width)[np.isfinite(found)].tolist()
    assert 0.92 <= np.mean(inside) <= 1.0


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(12)), st.floats(0.1, 10), st.floats(-50, 50))
def test_order_of_spots_and_scale_of_the_metric_do_not_matter(
    order: list[int], gain: float, offset: float
) -> None:
    value = np.repeat([5.0, 6, 7, 8], 3)
    metric = value**2 + np.tile([-0.5, 0, 0.4], 4)
    at = np.array([30.0, 45.0, 60.0])
    expected = fit_calibration(metric, value)
    found = fit_calibration(gain * metric[order] + offset, value[order])
    np.testing.assert_allclose(found.predict(gain * at + offset), expected.predict(at), atol=1e-6)
    assert found.half_width == pytest.approx(expected.half_width, abs=1e-6)

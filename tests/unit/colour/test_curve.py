"""Calibration curves: the truth comes back, never beyond the range, honest about errors."""

from __future__ import annotations

import numpy as np
import pytest
from gridwell.colour.curve import fit_curve, locate
from hypothesis import given, settings
from hypothesis import strategies as st

VALUE = np.repeat(np.arange(4.0, 9.01, 0.5), 4)


def sigmoid(value: np.ndarray) -> np.ndarray:
    return 100 * np.tanh((value - 6.5) / 2)[:, None]


def noisy(sign: float = 1.0, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return sign * sigmoid(VALUE) + noise * rng.normal(size=(len(VALUE), 1))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_values_come_back_in_either_direction(sign: float) -> None:
    curve = fit_curve(noisy(sign), VALUE)
    truth = np.linspace(4.0, 9.0, 51)
    np.testing.assert_allclose(locate(curve, sign * sigmoid(truth)).value, truth, atol=0.03)
    assert not curve.pooled


def test_beyond_the_ends_is_told_and_scatter_of_the_end_levels_is_not() -> None:
    feature = noisy(noise=1.0)
    curve = fit_curve(feature, VALUE)
    assert locate(curve, feature).beyond.mean() < 0.03
    far = np.array([[feature.min() - 10], [feature.max() + 10]])
    assert locate(curve, far).beyond.all()


def test_a_curve_in_three_dimensions_knows_what_is_off_it() -> None:
    angle = np.radians(40 * VALUE)
    feature = np.stack([30 * np.cos(angle), 30 * np.sin(angle), 2 * VALUE], axis=1)
    feature += 0.3 * np.random.default_rng(0).normal(size=feature.shape)
    curve = fit_curve(feature, VALUE)
    truth = np.linspace(4.1, 8.9, 30)
    angle = np.radians(40 * truth)
    place = locate(curve, np.stack([30 * np.cos(angle), 30 * np.sin(angle), 2 * truth], axis=1))
    np.testing.assert_allclose(place.value, truth, atol=0.1)
    assert not place.off.any()
    assert locate(curve, np.array([[0.0, 0.0, 13.0]])).off.all()


def test_levels_out_of_order_are_pooled_and_told() -> None:
    curve = fit_curve(np.array([[10.0], [20], [18], [30], [40]]), np.arange(1.0, 6))
    assert curve.pooled
    assert locate(curve, np.array([[19.0]])).value == pytest.approx(2.5, abs=0.2)
    assert (np.diff(locate(curve, np.linspace(10, 40, 99)[:, None]).value) >= 0).all()


@pytest.mark.parametrize(
    ("feature", "value", "reason"),
    [
        ([1, 2], [7, 7], "fewer than two levels"),
        ([5, 5, 5], [1, 2, 3], "does not tell the levels apart"),
        ([1, 9, 2, 8, 0, 9], [1, 1, 2, 2, 3, 3], "does not tell the levels apart"),
        ([1, 5, 9, 5, 1], [1, 2, 3, 4, 5], "turns back"),
    ],
)
def test_what_cannot_be_calibrated_says_why(
    feature: list[float], value: list[float], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        fit_curve(np.array(feature, float)[:, None], np.array(value, float))


def test_a_missing_number_has_no_value() -> None:
    place = locate(fit_curve(noisy(), VALUE), np.array([[np.nan], [0.0]]))
    assert np.isnan(place.value).tolist() == [True, False]
    assert not place.beyond.any()


@settings(max_examples=25, deadline=None)
@given(
    st.permutations(range(12)),
    st.sampled_from([-3.0, 0.1, 7.0]),
    st.floats(-50, 50),
)
def test_order_of_spots_and_scale_of_the_number_do_not_matter(
    order: list[int], gain: float, offset: float
) -> None:
    value = np.repeat([5.0, 6, 7, 8], 3)
    feature = (value**2 + np.tile([-0.5, 0, 0.4], 4))[:, None]
    at = np.array([[30.0], [45.0], [60.0]])
    expected = locate(fit_curve(feature, value), at)
    found = locate(fit_curve(gain * feature[order] + offset, value[order]), gain * at + offset)
    np.testing.assert_allclose(found.value, expected.value, atol=1e-6)
    np.testing.assert_allclose(found.sd, expected.sd, rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.1, 1.0, 4.0]))
def test_a_greater_number_never_has_a_smaller_value(seed: int, noise: float) -> None:
    curve = fit_curve(noisy(noise=noise, seed=seed), VALUE)
    feature = np.linspace(curve.knots.min(), curve.knots.max(), 200)[:, None]
    assert (np.diff(locate(curve, feature).value) >= -1e-9).all()

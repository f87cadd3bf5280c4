"""Colour spaces against published values."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
from gridwell.colour.spaces import (
    colour_metric,
    hue_saturation,
    to_lab,
    to_linear,
    to_srgb,
    unwrap_hue,
)
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import rgb2lab

RGB = np.random.default_rng(0).random((200, 3))


def test_srgb_round_trip_and_known_values() -> None:
    assert to_linear(0.5) == pytest.approx(0.21404114)
    assert to_linear([0, 1]).tolist() == [0, 1]
    np.testing.assert_allclose(to_srgb(to_linear(RGB)), RGB, atol=1e-12)


def test_lab_agrees_with_skimage() -> None:
    np.testing.assert_allclose(to_lab(to_linear(RGB)), rgb2lab(RGB), atol=0.02)


def test_hue_and_saturation_agree_with_colorsys() -> None:
    hue, saturation = hue_saturation(to_linear(RGB))
    expected = np.array([colorsys.rgb_to_hsv(*rgb) for rgb in RGB])
    np.testing.assert_allclose(hue, 360 * expected[:, 0], atol=1e-6)
    np.testing.assert_allclose(saturation, expected[:, 1], atol=1e-9)


def test_a_gray_has_no_hue() -> None:
    assert np.isnan(colour_metric(np.full((1, 3), 0.5), "hue"))[0]


def test_metrics_of_pure_red() -> None:
    red = np.array([[1.0, 0.0, 0.0]])
    found = {m: float(colour_metric(red, m)[0]) for m in ("gray", "red", "blue", "lightness", "a")}
    expected = {"gray": 0.2126729, "red": 1.0, "blue": 0.0, "lightness": 53.24, "a": 80.09}
    assert found == pytest.approx(expected, abs=0.01)


@given(st.lists(st.floats(0, 359.9), min_size=2, max_size=20))
def test_unwrapping_keeps_hues_and_makes_the_range_least(hues: list[float]) -> None:
    unwrapped = unwrap_hue(hues)
    np.testing.assert_allclose(unwrapped % 360, hues, atol=1e-9)
    assert np.ptp(unwrapped) <= np.ptp(hues) + 1e-9

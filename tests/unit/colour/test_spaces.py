"""Colour spaces against published values."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
from gridwell.colour.spaces import chroma_hue, hue_saturation, to_lab, to_linear, to_srgb
from skimage.color import rgb2lab

RGB = np.random.default_rng(0).random((200, 3))


def test_srgb_round_trip_and_known_values() -> None:
    assert to_linear(0.5) == pytest.approx(0.21404114)
    assert to_linear([0, 1]).tolist() == [0, 1]
    np.testing.assert_allclose(to_srgb(to_linear(RGB)), RGB, atol=1e-12)


def test_lab_agrees_with_skimage_and_white_has_no_tint() -> None:
    np.testing.assert_allclose(to_lab(to_linear(RGB)), rgb2lab(RGB), atol=0.02)
    np.testing.assert_allclose(to_lab(np.ones(3)), [100, 0, 0], atol=1e-9)


def test_hue_and_saturation_agree_with_colorsys() -> None:
    hue, saturation = hue_saturation(to_linear(RGB))
    expected = np.array([colorsys.rgb_to_hsv(*rgb) for rgb in RGB])
    np.testing.assert_allclose(hue, 360 * expected[:, 0], atol=1e-6)
    np.testing.assert_allclose(saturation, expected[:, 1], atol=1e-9)


def test_a_gray_has_no_hue() -> None:
    gray = np.full((1, 3), 0.5)
    assert np.isnan(hue_saturation(gray)[0])[0]
    assert np.isnan(chroma_hue(to_lab(gray))[1])[0]


def test_the_hue_angle_of_lab() -> None:
    _, hue = chroma_hue(np.array([[50.0, 10, 0], [50, 0, 10], [50, -10, 0], [50, 0, -10]]))
    assert hue.tolist() == [0, 90, 180, 270]

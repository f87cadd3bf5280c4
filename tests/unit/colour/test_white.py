"""White over a slide: uneven light, blank spots, patches."""

from __future__ import annotations

import numpy as np
import pytest
from gridwell.colour.pixels import robust_colour
from gridwell.colour.spaces import to_linear
from gridwell.colour.white import find_white, light_surface

X, Y = (a.ravel().astype(float) for a in np.meshgrid(np.arange(14), np.arange(10)))
LIGHT = (1 + 0.02 * X + 0.001 * Y**2)[:, None] * np.array([0.7, 0.6, 0.5])
NONE = np.zeros(len(X), bool)


def test_the_surface_ignores_a_minority_of_wrong_margins() -> None:
    wrong = LIGHT.copy()
    wrong[::5] *= 0.3
    wrong[3] = np.nan
    np.testing.assert_allclose(light_surface(X, Y, wrong), LIGHT, rtol=0.01)


@pytest.mark.parametrize("shape", ["linear", "vignette", "corner"])
def test_nine_tenths_of_a_gradient_of_15_percent_are_removed(shape: str) -> None:
    u, v = X / X.max(), Y / Y.max()
    light = {
        "linear": 1 - 0.15 * u,
        "vignette": np.cos(np.arctan(0.43 * np.hypot(u - 0.5, v - 0.5) / 0.5)) ** 4,
        "corner": 1 - 0.15 * (u * v) ** 2,
    }[shape]
    seen = light[:, None] * np.array([0.8, 0.7, 0.6])
    even = seen / light_surface(X, Y, seen)
    assert np.ptp(even) < 0.1 * np.ptp(light)


def test_places_in_one_column_say_nothing_of_the_rows() -> None:
    seen = np.where((X == 3)[:, None], LIGHT, np.nan)
    surface = light_surface(X, Y, seen)
    assert np.ptp(surface, axis=0).max() < 0.01  # a constant, no slope to one side


def test_no_background_at_all() -> None:
    white = find_white(X, Y, np.full((len(X), 3), np.nan), LIGHT / 2, NONE)
    assert white.source == "none"
    assert (white.surface == 1).all()


def test_a_patch_tells_how_bright_white_is_and_the_background_how_even() -> None:
    paper, patch, black = 0.8, np.array([0.7, 0.6, 0.5]), np.array([0.02, 0.02, 0.02])
    light = LIGHT / np.median(LIGHT, axis=0)
    white = find_white(
        X, Y, black + paper * light * (patch - black), LIGHT / 2, NONE, patch=patch, black=black
    )
    assert white.source == "patch"
    np.testing.assert_allclose(white.surface, light * (patch - black), rtol=0.01)
    np.testing.assert_allclose(white.level, patch - black, rtol=0.01)


def test_blank_spots_are_white_in_the_light_of_the_background() -> None:
    blank = NONE.copy()
    blank[[5, 60, 100]] = True
    spots = np.where(blank[:, None], 0.9 * LIGHT, 0.2 * LIGHT)
    white = find_white(X, Y, LIGHT, spots, blank)
    assert white.source == "blank"
    np.testing.assert_allclose(white.surface, 0.9 * LIGHT, rtol=0.01)


@pytest.mark.parametrize("share", [0.2, 0.4])
@pytest.mark.parametrize("other", [3, 250])
def test_a_highlight_or_a_shadow_over_part_of_a_spot_is_rejected(share: float, other: int) -> None:
    rng = np.random.default_rng(1)
    pixels = np.clip(rng.normal([120, 140, 90], 3, (1000, 3)), 0, 255).astype(np.uint8)
    pixels[: int(share * 1000)] = other
    found = robust_colour(pixels)
    np.testing.assert_allclose(
        found.colour, to_linear(np.array([119.5, 139.5, 89.5]) / 255), rtol=0.02
    )
    assert found.kept == pytest.approx(1 - share, abs=0.06)


def test_the_same_colour_in_8_and_16_bit() -> None:
    eight = np.tile(np.array([[10, 128, 250]], np.uint8), (60, 1))
    sixteen = eight.astype(np.uint16) * 257
    np.testing.assert_allclose(robust_colour(eight).colour, robust_colour(sixteen).colour)

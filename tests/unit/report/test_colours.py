"""Colours that everyone can read and tell apart, by computation."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from gridwell.report import page, plots, quality_plots
from skimage.color import deltaE_ciede2000, rgb2lab

STYLE = page._resource("style.css")
COLOURS = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", STYLE))

# How dichromats see linear light: Machado, Oliveira and Fernandes 2009, severity 1.
SEEN = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                   [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                     [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                   [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


def rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])


def linear(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.04045, light / 12.92, ((light + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """Ratio of WCAG 2."""
    weights = np.array([0.2126, 0.7152, 0.0722])
    lights = sorted(float(weights @ linear(rgb(colour))) for colour in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def apart(one: str, other: str, seen: str) -> float:
    """CIEDE2000 of two colours as a dichromat sees them."""
    both = []
    for colour in (one, other):
        light = np.clip(np.array(SEEN[seen]) @ linear(rgb(colour)), 0, 1)
        shown = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
        both.append(rgb2lab(shown))
    return float(deltaE_ciede2000(*both))


@pytest.mark.parametrize(
    ("ink", "paper"),
    [
        *((COLOURS[name], "#ffffff") for name in ("ink", "muted", "link", "good", "care", "bad")),
        (COLOURS["muted"], COLOURS["faint"]),
        (COLOURS["care"], "#fdf5e4"),
        (COLOURS["bad"], "#fdefee"),
        (COLOURS["ink"], "#fff3c4"),
        ("#6b4600", "#fdf5e4"),
        (page.INK, "#ffffff"),
        (page.MUTED, "#ffffff"),
    ],
)
def test_text_has_the_contrast_of_wcag_aa(ink: str, paper: str) -> None:
    assert contrast(ink, paper) >= 4.5


@pytest.mark.parametrize("colour", ["#0072b2", "#6f7881", "#8b949d"])
def test_frames_and_marks_have_the_contrast_of_wcag_aa(colour: str) -> None:
    assert colour in STYLE + str(
        plots.plate_map("d", 1, 1, column=plots.MapColumn("m", ""), step=9)
    )
    assert contrast(colour, "#ffffff") >= 3


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize(
    "palette",
    [
        list(plots.STATE_COLOURS.values()),
        list(quality_plots.CONTROL_COLOURS.values()),
        list(quality_plots.STAIN_COLOURS.values()),
        list(plots.OKABE_ITO[:4]),
    ],
)
def test_colours_are_told_apart_with_any_colour_vision(palette: list[str], seen: str) -> None:
    assert min(apart(*pair, seen) for pair in itertools.combinations(palette, 2)) >= 10


def test_signs_can_be_read_on_every_colour_of_a_map() -> None:
    """Black above the middle of the scale, white below; black on the colours of names."""
    import matplotlib

    for scheme in ("viridis", "cividis"):
        shades = matplotlib.colormaps[scheme](np.linspace(0, 1, 101))[:, :3]
        hexes = ["#" + "".join(f"{round(255 * part):02x}" for part in shade) for shade in shades]
        assert min(contrast(shade, "#ffffff") for shade in hexes[:51]) >= 3
        assert min(contrast(shade, "#000000") for shade in hexes[51:]) >= 3
    assert min(contrast(colour, "#000000") for colour in plots.LIGHT_NAMES) >= 4.5

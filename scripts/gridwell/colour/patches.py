"""Patches of known colour beside the spots: their light, and whether it can be relied on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gridwell.colour.pixels import robust_colour
from gridwell.colour.white import DARKEST_WHITE
from gridwell.config.errors import InputError, Problem

if TYPE_CHECKING:
    from gridwell.images.slide import SlideImage

Floats = NDArray[np.float64]
Box = tuple[float, float, float, float]

CONFIG = "config/config.yaml"
SATURATED = 0.05
"""Share of pixels at full scale that a patch may have."""


def read_patch(slide: SlideImage, channel: str, box: Box, option: str) -> Floats:
    """Linear light (3,) of a patch, as recorded, 1 is full scale.

    Parameters
    ----------
    slide, channel
        The slide's pixels.
    box
        Left, top, width and height in pixels of the slide.
    option
        What says where it is, for messages.

    Raises
    ------
    InputError
        If it does not lie in the image.
    """
    colour, _ = _read(slide, channel, box, option)
    return colour


def read_white(slide: SlideImage, channel: str, box: Box, black: Floats | None) -> Floats:
    """As `read_patch`, of a patch that is to be white.

    Raises
    ------
    InputError
        If it does not lie in the image, is at full scale, or is dark.
    """
    option = "colour.white_patch"
    white, saturated = _read(slide, channel, box, option)
    if saturated > SATURATED:
        raise _wrong(
            slide,
            option,
            box,
            f"is at full scale in {100 * saturated:.0f} % of its pixels, so white is not known",
            "Scan with less exposure, or take a light gray patch.",
        )
    if (white - (0 if black is None else black)).min() < DARKEST_WHITE:
        raise _wrong(
            slide,
            option,
            box,
            f"is dark: {', '.join(f'{100 * v:.0f}' for v in white)} % of full scale in red, green "
            "and blue",
            "Give the place of the white patch in pixels of the scan.",
        )
    return white


def _read(slide: SlideImage, channel: str, box: Box, option: str) -> tuple[Floats, float]:
    x, y, width, height = box
    x0, y0, x1, y1 = round(x), round(y), round(x + width), round(y + height)
    if not (0 <= x0 < x1 <= slide.info["width"] and 0 <= y0 < y1 <= slide.info["height"]):
        raise _wrong(
            slide,
            option,
            box,
            f"leaves the image, which is {slide.info['width']} x {slide.info['height']} pixels",
            "Give a place inside it, in pixels.",
        )
    pixels = slide.read(channel, y0=y0, y1=y1, x0=x0, x1=x1).reshape(-1, 3)
    found = robust_colour(pixels)
    return found.colour, found.saturated


def _wrong(slide: SlideImage, option: str, box: Box, reason: str, remedy: str) -> InputError:
    shown = [float(np.round(value, 1)) for value in box]
    return InputError(
        Problem(CONFIG, f"{reason} (slide {slide.info['slide']})", remedy, None, option, shown)
    )

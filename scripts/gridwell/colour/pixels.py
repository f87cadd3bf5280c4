"""The colour of a spot and of what lies around it, from the pixels of its crop."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gridwell.colour.spaces import to_linear

if TYPE_CHECKING:
    from gridwell.images.spots import SpotFrame

Floats = NDArray[np.float64]

REJECT = 3.0
"""Robust standard deviations beyond which a pixel is dust, a highlight or meniscus."""
LEAST_SPREAD = 2 / 255  # encoded; below it the scatter is the camera's steps
OUTSIDE = 1.08  # outline, times this, beyond which a crop shows background
LEAST_PIXELS = 50


@dataclass(frozen=True)
class SpotPixels:
    """What the crops of n spots show.

    Attributes
    ----------
    colour, background
        Linear light of the inside of each spot and of the ring around it, as recorded, 1 is full
        scale; shape (n, 3), NaN where there are no pixels.
    spread
        Scatter of the pixels of a spot, as robust standard deviation of sRGB values 0..255; (n,).
    kept
        Share of the spot's pixels that its colour comes from; the rest is dust, glare or rim; (n,).
    pixels
        Pixels of the inside of each spot, (n,).
    saturated, background_saturated
        Share of pixels at full scale in some channel, (n,).
    """

    colour: Floats
    background: Floats
    spread: Floats
    kept: Floats
    pixels: NDArray[np.int64]
    saturated: Floats
    background_saturated: Floats


@dataclass(frozen=True)
class RobustColour:
    """Colour (3,) of some pixels in linear light, their scatter and the share that counted."""

    colour: Floats
    spread: float = float("nan")
    kept: float = 0.0
    saturated: float = 0.0


NOTHING = RobustColour(np.full(3, np.nan))


def measure_spots(crops: Iterable[NDArray[Any]], frame: SpotFrame, inner: float) -> SpotPixels:
    """Measure all spots of a slide.

    Parameters
    ----------
    crops
        One (h, w, 3) array of uint8 or uint16 for each position of `frame`, in its order; read
        once, one at a time.
    frame
        Where the spots lie.
    inner
        Part of a spot's width that is measured.
    """
    inner_part, ring = frame.mask(*frame.crop, inner), ~frame.mask(*frame.crop, OUTSIDE)
    spots, rings, pixels = [], [], []
    for crop in crops:
        there = crop.any(axis=-1)  # what lies outside the slide is 0
        inside, around = crop[inner_part & there], crop[ring & there]
        spots.append(robust_colour(inside) if len(inside) else NOTHING)
        rings.append(robust_colour(around) if len(around) >= LEAST_PIXELS else NOTHING)
        pixels.append(len(inside))
    return SpotPixels(
        colour=np.array([spot.colour for spot in spots]).reshape(-1, 3),
        background=np.array([ring.colour for ring in rings]).reshape(-1, 3),
        spread=np.array([spot.spread for spot in spots]),
        kept=np.array([spot.kept for spot in spots]),
        pixels=np.array(pixels, dtype=np.int64),
        saturated=np.array([spot.saturated for spot in spots]),
        background_saturated=np.array([ring.saturated for ring in rings]),
    )


def robust_colour(pixels: NDArray[Any]) -> RobustColour:
    """Mean in linear light of the pixels that look like most of them.

    The middle is the median of the shortest half: of that half of the pixels whose brightness
    lies closest together (Rousseeuw and Leroy 1987). A median of all is drawn towards a highlight
    that covers a third of a droplet; this is not. Pixels farther from it than `REJECT` robust
    standard deviations in any channel are left out.

    Parameters
    ----------
    pixels
        Shape (n, 3), uint8 or uint16, n of 1 or more.
    """
    full = np.iinfo(pixels.dtype).max
    encoded = pixels / full
    middle = np.median(encoded[_shortest_half(encoded.mean(axis=1))], axis=0)
    off = np.abs(encoded - middle)
    spread = 1.4826 * np.median(off, axis=0)
    kept = (off <= REJECT * np.maximum(spread, LEAST_SPREAD)).all(axis=1)
    return RobustColour(
        colour=to_linear(encoded[kept]).mean(axis=0) if kept.any() else to_linear(middle),
        spread=float(255 * spread.mean()),
        kept=float(kept.mean()),
        saturated=float((pixels == full).any(axis=1).mean()),
    )


def _shortest_half(values: Floats) -> NDArray[np.int64]:
    """Places of the half of the values (n,) that spans least; of equal halves the middle one."""
    order = np.argsort(values, kind="stable")
    half = len(values) // 2 + 1
    spans = values[order[half - 1 :]] - values[order[: len(values) - half + 1]]
    shortest = np.flatnonzero(spans <= spans.min() + 1e-12)
    start = int(shortest[len(shortest) // 2])
    return order[start : start + half]

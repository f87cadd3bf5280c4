"""Shift of a stain from its image alone, where it has too few bodies to tell it by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from gridwell.cells.pixels import Pixels
from gridwell.cells.shift import Shift, meeting
from gridwell.cells.stain import flattened

Array = np.ndarray[Any, np.dtype[Any]]

_SPOTS = 24
# Noises above the background from which a pixel is stained.
_STAINED = 5.0
# The peak holds the area of so many nuclei, and so many times what chance reaches elsewhere.
_LEAST_NUCLEI, _CLEAR = 1.5, 1.4
# Around the peak: pixels that belong to it, and part of its height that makes its middle.
_AROUND, _TOP = 4.0, 0.7


def correlated(
    shift: Shift,
    pixels: Pixels,
    role: str,
    *,
    nuclei: list[Array],
    bodies: list[Array],
    max_shift: float,
) -> Shift:
    """Find the shift at which the stained pixels of a channel lie on nuclei.

    The nuclei's pixels are laid on the stain's at every whole shift; the middle of the highest
    peak is the shift of all spots.

    Parameters
    ----------
    shift
        What is known; returned as it is where no peak stands out.
    pixels, role
        Images, and the role of the stain.
    nuclei, bodies
        x, y of the objects of each spot.
    max_shift
        Farthest shift to look for, in pixels.
    """
    reach = int(np.ceil(max_shift))
    count = np.array([len(own) for own in nuclei])
    some = np.flatnonzero(count)
    if some.size == 0 or reach == 0:
        return shift
    chosen = some[np.unique(np.linspace(0, some.size - 1, min(_SPOTS, some.size)).astype(int))]
    scores, area = np.zeros((2 * reach + 1,) * 2), 0.0
    for at in map(int, chosen):
        labels = pixels.labels("nuclei", at, at + 1)[0]
        image = pixels.image(role, at, at + 1)[0]
        scores += _scores(labels > 0, image, pixels.frame.mask(*image.shape), reach)
        area += float((labels > 0).sum())
    peak = _peak(scores, area / count[chosen].sum(), max_shift)
    if peak is None:
        return shift
    turn = np.deg2rad(pixels.frame.angle)
    x, y = (
        peak[0] * np.cos(turn) - peak[1] * np.sin(turn),
        peak[0] * np.sin(turn) + peak[1] * np.cos(turn),
    )
    spots = np.tile([x, y], (len(nuclei), 1))
    part, each = meeting(nuclei, bodies, spots)
    return replace(shift, dx=x, dy=y, quality=part, spots=spots, spot_quality=each)


def _scores(nuclei: Array, image: Array, mask: Array, reach: int) -> Array:
    """Stained pixels under the nuclei at every shift, (2 reach + 1, 2 reach + 1)."""
    flat, base, noise = flattened(image, mask, None)
    above = flat - np.float32(base)
    bright = above[above > _STAINED * noise]
    # Half of a bright pixel: the glow around a body would lie on its neighbours.
    least = np.quantile(bright, 0.9) / 2 if bright.size else np.inf
    stained = (above > max(_STAINED * noise, least)).astype(np.float32)
    padded = cv2.copyMakeBorder(stained, *(reach,) * 4, cv2.BORDER_CONSTANT, value=0)
    # Sums of whole numbers: rounding takes off what the Fourier transform leaves.
    return np.rint(cv2.matchTemplate(padded, nuclei.astype(np.float32), cv2.TM_CCORR))


def _peak(scores: Array, nucleus: float, max_shift: float) -> Array | None:
    """Middle of the highest peak, x and y; None where chance may have made it."""
    reach = scores.shape[0] // 2
    axis = np.arange(-reach, reach + 1)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    inside = np.hypot(x, y) <= max_shift
    top = float(scores[inside].max())
    row, col = np.argwhere(inside & (scores == top))[0]
    away = np.hypot(x - axis[col], y - axis[row])
    elsewhere = float(scores[inside & (away > _AROUND)].max(initial=0.0))
    if top < _LEAST_NUCLEI * nucleus or top < _CLEAR * elsewhere:
        return None
    weight = np.where(away <= _AROUND, np.maximum(scores - _TOP * top, 0), 0)
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()

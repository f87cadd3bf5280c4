"""One stain of a slide: how much of it lies under each nucleus, and how sharp a spot is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import pandas as pd

from gridwell.cells.calibration import Calibration
from gridwell.cells.match import Match
from gridwell.cells.shift import Shift
from gridwell.config.models import SegmentMethod
from gridwell.images.compiled import compiled
from gridwell.segment.light import flatten

Array = np.ndarray[Any, np.dtype[Any]]

# Unsmoothed: the quantile over the nucleus does the smoothing.
_LIGHT = SegmentMethod(sigma=0, background=50)

# Quantile of a nucleus' pixels that tells its stain: its own stain lies under all of it, the
# light of a neighbour falls off across it.
_LOW = 1 / 3
# Pixels beside the bodies from which a background is told.
_LEAST_FREE = 300


@dataclass
class Stain:
    """One stain on its way through the fusion. Lists hold one entry a spot."""

    role: str
    tables: list[pd.DataFrame] | None
    shift: Shift
    matches: list[Match] = field(default_factory=list)
    intensity: list[Array] = field(default_factory=list)
    covered: list[Array] = field(default_factory=list)
    noise: list[float] = field(default_factory=list)
    bleed: float = 0.0
    feigned: Array | None = None
    calibration: Calibration = field(default_factory=lambda: Calibration("none"))

    def joined(self, name: str) -> Array:
        """Return a property of the matches of all nuclei of the slide."""
        return np.concatenate([getattr(match, name) for match in self.matches])

    def facts(self) -> dict[str, Any]:
        """Return what shifts.json says of this stain."""
        return {
            "dx": round(self.shift.dx, 4),
            "dy": round(self.shift.dy, 4),
            "quality": round(self.shift.quality, 4),
            "wander": round(self.shift.wander, 4),
            "registered": self.shift.registered,
            "calibration": self.calibration.source,
            "bleed": round(self.bleed, 4),
        }


def stain_under(
    labels: Array,
    stain: Array,
    bodies: Array | None,
    *,
    held: Array,
    shift: Array,
    mask: Array,
) -> tuple[Array, Array, Array, float]:
    """Measure a stain under the nuclei of one spot, above its background.

    Parameters
    ----------
    labels
        Nuclei, 0 background, (h, w).
    stain
        Image of the stain, (h, w).
    bodies
        Objects segmented in the stain, (h, w), or None.
    held
        ``held[v]`` is the label of the body that nucleus v has or shares, 0 for none: pixels
        that belong to the body of another nucleus are left out.
    shift
        dx, dy of the stain against the nuclei, in pixels of the crop.
    mask
        Outline of the spot, bool (h, w).

    Returns
    -------
    names, intensity, covered, noise
        Labels of the nuclei in rising order; lower third of the grey values of each above the
        background;
        whether most of it lies under the body of another nucleus, and so has its brightness
        from it; standard deviation of the background.
    """
    at = np.flatnonzero(labels)
    names, index, size = _counted(labels.ravel()[at])
    flat, base, noise = flattened(stain, mask, bodies)
    seen = _moved(flat, shift, cv2.INTER_LINEAR).ravel()[at] - np.float32(base)
    own = np.ones(at.size, bool)
    if bodies is not None:
        # Labels go through float32, exact up to 2^24, as remapping knows no wider integers.
        body = _moved(bodies.astype(np.float32), shift, cv2.INTER_NEAREST).ravel()[at]
        body = body.astype(np.int64)
        taken = np.zeros(max(int(body.max(initial=0)), int(held.max(initial=0))) + 1, bool)
        taken[held] = True
        taken[0] = False
        own = ~taken[body] | (body == held[labels.ravel()[at]])
    left = np.bincount(index[own], minlength=names.size)
    covered = left < 0.5 * size
    own |= covered[index]
    lower = np.empty(names.size, seen.dtype)
    _low(index[own], seen[own], lower)
    return names, lower, covered, noise


def _counted(labels: Array) -> tuple[Array, Array, Array]:
    """Labels that occur, the index among them of each of `labels`, and how often each occurs."""
    count = np.bincount(labels)
    names = np.flatnonzero(count)
    index = np.zeros(count.size, np.int64)
    index[names] = np.arange(names.size)
    return names, index[labels], count[names]


def flattened(stain: Array, mask: Array, bodies: Array | None) -> tuple[Array, float, float]:
    """Take the background off a stain, unsmoothed: float32 (h, w), its level and its noise.

    They are measured beside the bodies, where there is room: in a confluent spot most pixels
    are cells, and the most common level is theirs.
    """
    if bodies is not None and bodies.any():
        near = cv2.dilate((bodies > 0).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        free = mask & ~near
        if free.sum() >= max(_LEAST_FREE, 0.01 * mask.sum()):
            mask = free
    return flatten(stain, _LIGHT, mask)


@compiled
def _low(index: Array, values: Array, lower: Array) -> None:
    """Quantile of the values of each group; every group has one."""
    size = np.bincount(index, minlength=lower.size)
    begin = np.cumsum(size) - size
    grouped, end = np.empty_like(values), begin.copy()
    for i in range(index.size):
        grouped[end[index[i]]] = values[i]
        end[index[i]] += 1
    for group in range(lower.size):
        ordered = np.sort(grouped[begin[group] : end[group]])
        lower[group] = ordered[int(_LOW * (size[group] - 1))]


def _moved(image: Array, shift: Array, interpolation: int) -> Array:
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float64)
    flags = interpolation | cv2.WARP_INVERSE_MAP
    size = (image.shape[1], image.shape[0])
    return cv2.warpAffine(image, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)


def sharpness(labels: Array, image: Array) -> float:
    """Steepness of the outlines of a spot's objects: gradient over height, 1/px; NaN for none.

    It does not change with the brightness of the objects, and falls as they blur.
    """
    at = np.flatnonzero(labels)
    if at.size == 0:
        return float("nan")
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.0)
    slope = cv2.magnitude(
        cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=1 / 8),
        cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=1 / 8),
    )
    background = float(np.median(smooth[labels == 0])) if (labels == 0).any() else 0.0
    names, index, size = _counted(labels.ravel()[at])
    height = np.bincount(index, smooth.ravel()[at], names.size) / size - background
    cross = np.ones((3, 3), np.uint8)
    numbers = labels.astype(np.float32)
    # Both ends: the rim towards a neighbour must not depend on which has the lower label.
    rim = (cv2.erode(numbers, cross) != numbers) | (cv2.dilate(numbers, cross) != numbers)
    rim = rim.ravel()[at]
    length = np.bincount(index[rim], minlength=names.size)
    steep = np.bincount(index[rim], slope.ravel()[at[rim]], names.size)
    usable = (length > 0) & (height > 0)
    if not usable.any():
        return float("nan")
    return float(np.median(steep[usable] / length[usable] / height[usable]))

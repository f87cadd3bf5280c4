"""What is an object and what is background: the thresholds by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from gridwell.config.models import SegmentMethod
from gridwell.segment.features import REACH
from gridwell.segment.light import RADIUS_REDUCED, Levels
from gridwell.segment.pixels import box_mean, disc, enlarge, on_grid, reduce

Array = np.ndarray[Any, np.dtype[Any]]

# Of Otsu's threshold: what no pixel of an object is below, and the mean of an object that stands
# alone. Without them, faint structure far from any object becomes objects (100 images of dsb2018,
# AP@0.5: 0.751, with them 0.769; mean over images 0.724 and 0.785; no object was lost).
_FAINTEST, _FAINTEST_MEAN = 0.15, 0.2
# Darkest pixels that count for the noise, in standard deviations of the whole image's noise.
_DEEPEST = 32.0
# Of an object's diameter: the smoothing of the difference of Gaussians, inner and outer.
_INNER, _OUTER = 0.05, 1.5
# Where it is cut, as a part of Otsu's threshold: the surroundings are dark rings, not background.
_RING_CUT = 0.3


@dataclass(frozen=True)
class Threshold:
    """A way to tell objects from background.

    Attributes
    ----------
    mark
        (image, method, levels, floor) -> bool (h, w), True in objects; nothing below the floor is.
    respond
        (flat, method, unit) -> the image that is thresholded, on the grid of `unit`; None: the
        flat image itself. The levels are measured on it.
    reach
        How far away a pixel may be that another's mark depends on, in pixels.
    reduction
        Side of the blocks that are averaged, in pixels.
    trim
        Whether objects are cut at half of their own height afterwards.
    """

    mark: Callable[[Array, SegmentMethod, Levels, Array], Array]
    respond: Callable[[Array, SegmentMethod, float], Array] | None = None
    reach: Callable[[SegmentMethod], int] = lambda method: 0
    reduction: Callable[[SegmentMethod], int] = lambda method: 1
    trim: bool = False


def typical_diameter(method: SegmentMethod) -> float:
    """Diameter of a typical object, in pixels: as given, or twice the distance of seeds."""
    return method.diameter or 2 * method.seed_distance


def longest(method: SegmentMethod) -> int:
    """Longest side of the box around an object, in pixels; what is longer is none."""
    return math.ceil(2 * method.max_diameter)


def noise_floor(flat: Array, method: SegmentMethod, levels: Levels, valid: Array) -> Array:
    """Grey values that a pixel of an object lies above, float32 (h, w); infinite off the slide.

    The noise is that of the whole image, or of the surroundings where they are noisier: light
    makes noise, and the correction of a steep rim leaves more than noise. It is measured on what
    is darker than the background, which objects do not touch.
    """
    low = np.minimum(flat - np.float32(levels.ground), 0)
    low = np.maximum(low, np.float32(-_DEEPEST * levels.noise))
    factor, size = _window(method)
    power = _local_mean(low.astype(np.float64) ** 2, valid & (low < 0), factor, size, 0.0)
    noise = np.sqrt(np.maximum(power, np.float32(levels.noise**2)))
    return np.where(valid, np.float32(levels.base) + np.float32(method.min_snr) * noise, np.inf)


def part_of_otsu(image: Array, method: SegmentMethod, levels: Levels, floor: Array) -> Array:
    """Cut at a part of Otsu's threshold of what rises above the noise, bool (h, w).

    Otsu of the pixels above the noise would split bright from faint objects; halfway between the
    background and their mean is what parts objects from the background.
    """
    part = _RING_CUT if method.method == "difference_of_gaussians" else 0.5
    cut = levels.base + method.threshold * part * (levels.otsu - levels.base)
    return np.asarray((image > floor) & (image > cut))


def at_percentile(image: Array, method: SegmentMethod, levels: Levels, floor: Array) -> Array:
    """Cut where ``method.percentile`` percent of the whole image are darker."""
    cut = levels.base + method.threshold * (levels.percentile - levels.base)
    return np.asarray((image > floor) & (image > cut))


def local(image: Array, method: SegmentMethod, levels: Levels, floor: Array) -> Array:
    """Cut halfway between the means of objects and background nearby, twice refined."""
    valid = np.isfinite(floor)
    detected = image > floor
    factor, size = _window(method)
    otsu = method.threshold * (levels.otsu - levels.base)
    faintest = np.float32(levels.base + _FAINTEST * otsu)
    inside = detected
    for _ in range(3):
        bright = _local_mean(image, inside, factor, size, levels.base)
        dark = _local_mean(image, valid & ~inside, factor, size, levels.base)
        cut = dark + np.float32(method.threshold * 0.5) * np.maximum(bright - dark, 0)
        inside = detected & (image > np.maximum(cut, faintest))
    height = image - np.float32(levels.base)
    faint = _faint(height, detected, inside, method, _FAINTEST_MEAN * otsu)
    return np.asarray(inside | faint)


def _window(method: SegmentMethod) -> tuple[int, int]:
    """Reduction of the image for local means, and side of their window after it."""
    radius = method.background or int(method.max_diameter)
    factor = max(1, min(4, radius // RADIUS_REDUCED))
    return factor, 2 * max(1, round(radius / factor)) + 1


def window_reach(method: SegmentMethod) -> int:
    """How far away a pixel may be that a local mean depends on, in pixels."""
    factor, size = _window(method)
    return factor * (size // 2 + 2)


def window_reduction(method: SegmentMethod) -> int:
    """Side of the blocks that are averaged for local means, in pixels."""
    return _window(method)[0]


def _local_mean(image: Array, members: Array, factor: int, size: int, default: float) -> Array:
    # Counts and sums of blocks, not means, are exact.
    weight = box_mean(np.rint(reduce(members, factor) * factor**2), size)
    part = reduce(np.where(members, image, np.float32(0)), factor)
    total = box_mean(part * factor**2, size)
    some = weight > 1e-6
    mean = np.where(some, total / np.where(some, weight, 1), default)
    return enlarge(mean, factor, image.shape)


def _faint(
    height: Array, detected: Array, inside: Array, method: SegmentMethod, least: float
) -> Array:
    """Give objects that stand alone, too faint for their neighbours' threshold, their own."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(
        detected.astype(np.uint8), connectivity=4
    )
    if count <= 1:
        return np.zeros_like(detected)
    taken = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(axis=1) > longest(method)
    taken[parts[inside]] = True
    taken[0] = True
    at = np.flatnonzero(~taken[parts])
    part, value = parts.ravel()[at], height.ravel()[at]
    cut = np.full(count, -np.inf)
    for _ in range(3):
        above = value > cut[part]
        size = np.bincount(part[above], minlength=count)
        mean = np.bincount(part[above], value[above], count) / np.maximum(size, 1)
        cut = method.threshold * 0.5 * mean
    cut[mean < least] = np.inf
    faint = np.zeros(height.size, bool)
    faint[at[value > cut[part]]] = True
    return faint.reshape(height.shape)


def _top_hat(flat: Array, method: SegmentMethod, unit: float) -> Array:
    """Height over the highest level that a disc wider than an object fits below."""
    factor, radius = _element(method)
    low = cv2.erode(reduce(flat, factor), disc(radius))
    return on_grid(flat - enlarge(cv2.dilate(low, disc(radius)), factor, flat.shape), unit)


def _element(method: SegmentMethod) -> tuple[int, int]:
    """Reduction and radius of a disc twice as wide as a typical object."""
    radius = typical_diameter(method)
    factor = max(1, int(radius) // RADIUS_REDUCED)
    return factor, max(1, math.ceil(radius / factor))


def _top_hat_reach(method: SegmentMethod) -> int:
    factor, radius = _element(method)
    return factor * (2 * radius + 3)


def _difference(flat: Array, method: SegmentMethod, unit: float) -> Array:
    """Difference of two Gaussians: what is brighter than its surroundings of an object's size.

    References
    ----------
    D. Marr, E. Hildreth, Proc. R. Soc. Lond. B 207 (1980) 187.
    """
    diameter = typical_diameter(method)
    inner = cv2.GaussianBlur(flat, (0, 0), max(0.5, _INNER * diameter))
    return on_grid(inner - cv2.GaussianBlur(flat, (0, 0), _OUTER * diameter), unit)


def _difference_reach(method: SegmentMethod) -> int:
    return math.ceil(4 * _OUTER * typical_diameter(method)) + 1


def _classified(image: Array, method: SegmentMethod, levels: Levels, floor: Array) -> Array:
    """Pixels that a trained classifier takes for objects, above the noise."""
    from gridwell.segment.pixel_classifier import load_classifier

    chance = load_classifier(Path(str(method.weights))).chance(image, levels)
    # Without a least height, objects may be darker than the background.
    inside = image > floor if method.min_snr > 0 else np.isfinite(floor)
    return np.asarray(inside & (chance > 0.5 * method.threshold))


def fill_holes(foreground: Array, method: SegmentMethod) -> Array:
    """Fill holes smaller than the smallest object; a gap between cells may be larger."""
    _, holes, stats, _ = cv2.connectedComponentsWithStats(
        (~foreground).astype(np.uint8), connectivity=4
    )
    small = stats[:, cv2.CC_STAT_AREA] <= np.pi / 4 * method.min_diameter**2
    sides = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]]
    small &= sides.max(axis=1) <= hole_reach(method)
    small[0] = False
    for edge in (holes[0], holes[-1], holes[:, 0], holes[:, -1]):
        small[edge] = False
    return np.asarray(foreground | small[holes])


def hole_reach(method: SegmentMethod) -> int:
    """Longest side of a hole that is filled, in pixels."""
    return math.ceil(4 * method.min_diameter)


# A newcomer: one function, one line here, its name in `config.models.SegmentMethod`.
THRESHOLDS = {
    "otsu": Threshold(part_of_otsu),
    "local": Threshold(
        local, reach=lambda method: 3 * window_reach(method) + longest(method), trim=True
    ),
    "percentile": Threshold(at_percentile),
    "top_hat": Threshold(
        part_of_otsu, _top_hat, _top_hat_reach, lambda method: _element(method)[0]
    ),
    "difference_of_gaussians": Threshold(part_of_otsu, _difference, _difference_reach),
    "pixel_classifier": Threshold(_classified, reach=lambda method: REACH),
}

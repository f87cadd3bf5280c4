"""Objects by classical image processing: correct the light, threshold, split, keep by size.

Each step is local, but for a few numbers of the whole image (`gridwell.segment.light.Levels`)
and for the decision which parts belong to one object, which is made on a table of all parts.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from gridwell.config.models import SegmentMethod
from gridwell.segment.light import (
    Levels,
    correct_light,
    least_noise,
    light_reach,
    measure_levels,
    reduction,
)
from gridwell.segment.parts import Parts, boxes, numbers
from gridwell.segment.split import basins, split_reach
from gridwell.segment.threshold import (
    THRESHOLDS,
    fill_holes,
    hole_reach,
    longest,
    noise_floor,
    window_reach,
    window_reduction,
)

Array = np.ndarray[Any, np.dtype[Any]]


def segment_spot(
    image: Array,
    method: SegmentMethod,
    mask: Array | None = None,
    *,
    valid: Array | None = None,
    levels: Levels | None = None,
) -> Array:
    """Label the bright objects of one image.

    The illumination is corrected, the image smoothed, and cut at a threshold that never lies
    below the noise. Touching objects are split along the valleys of a depth.

    Parameters
    ----------
    image
        Grey values, shape (h, w), any numeric type.
    method
        Settings of the channel; sizes in pixels of `image`.
    mask
        Outline of the spot, bool (h, w): noise is measured inside, and objects whose centroid
        lies outside are dropped. None: the whole image.
    valid
        Pixels that were imaged at all, bool (h, w); False where a crop leaves the slide.
    levels
        Levels of a larger image that `image` is a part of; None: measure them here.

    Returns
    -------
    labels
        uint32 (h, w): 0 background, 1..k objects in the raster order of their first pixels.

    References
    ----------
    N. Otsu, IEEE Trans. Syst. Man Cybern. 9 (1979) 62.
    T. W. Ridler, S. Calvard, IEEE Trans. Syst. Man Cybern. 8 (1978) 630.
    """
    if method.method == "none" or image.size == 0:
        return np.zeros(image.shape, np.uint32)
    mask = np.ones(image.shape, bool) if mask is None else mask
    valid = np.ones(image.shape, bool) if valid is None else valid
    labels, parts = find_parts(image, method, mask, valid, levels)
    return np.append(np.uint32(0), numbers(parts, method, mask))[labels]


def seen(
    image: Array,
    method: SegmentMethod,
    mask: Array,
    valid: Array,
    levels: Levels | None = None,
) -> tuple[Array, Array, Levels]:
    """Return the flat image, the one that is thresholded, float32 (h, w), and its levels."""
    flat, found = correct_light(image, method, mask, valid, levels)
    threshold = THRESHOLDS[method.method]
    if threshold.respond is None:
        return flat, flat, found
    response = threshold.respond(flat, method, found.unit)
    if levels is None:
        inside = mask & valid
        values = response[inside] if inside.any() else response
        own = measure_levels(values, method, found, least_noise(image, method, found.unit))
        # Dark rings around objects are no noise: that is measured on the flat image.
        found = replace(own, ground=found.ground, noise=found.noise)
    return flat, response, found


def find_parts(
    image: Array,
    method: SegmentMethod,
    mask: Array,
    valid: Array,
    levels: Levels | None = None,
    *,
    origin: tuple[int, int] = (0, 0),
) -> tuple[Array, Parts]:
    """Label the parts of objects, and describe each in a table.

    Parameters
    ----------
    image, method, mask, valid, levels
        As in `segment_spot`.
    origin
        Place of the first pixel in the image that these are a part of, y and x.

    Returns
    -------
    labels, parts
        int32 (h, w), 0 background, row + 1 of the part elsewhere; the table.
    """
    threshold = THRESHOLDS[method.method]
    flat, response, levels = seen(image, method, mask, valid, levels)
    floor = noise_floor(flat, method, levels, valid)
    foreground = threshold.mark(response, method, levels, floor)
    foreground = fill_holes(foreground, method)
    height = response - np.float32(levels.base)
    found = basins(foreground, height, method, origin)
    labels = found.labels
    count = len(found.top)
    box = boxes(labels, count)
    whole = np.maximum(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]) <= longest(method)
    labels = np.append(False, whole)[labels] * labels
    if threshold.trim:
        labels = _trim(labels, height, method)
    at = np.flatnonzero(labels)
    row, (y, x) = labels.ravel()[at] - 1, np.divmod(at, image.shape[1])
    y, x = y + origin[0], x + origin[1]
    start = np.zeros((count, 2), np.int64)
    start[row[::-1]] = np.stack([y, x], axis=1)[::-1]
    total = [np.bincount(row, place, count) for place in (y, x)]
    kept = whole[found.pairs].all(axis=1)
    return labels, Parts(
        first=found.first,
        seed=found.seed,
        top=found.top,
        size=np.bincount(row, minlength=count),
        total=np.stack(total, axis=1),
        box=boxes(labels, count) + np.tile(origin, 2),
        start=start,
        whole=whole,
        pairs=found.first[found.pairs[kept]],
        saddles=found.saddles[kept],
    )


def reach(method: SegmentMethod, levels: Levels) -> int:
    """How far away a pixel may be that the parts at another depend on, in pixels."""
    threshold = THRESHOLDS[method.method]
    holes = hole_reach(method) * (1 + threshold.trim)
    marks = max(threshold.reach(method), window_reach(method))
    return light_reach(method, levels) + marks + holes + split_reach(method)


def alignment(method: SegmentMethod) -> int:
    """Tiles begin at multiples of this, in pixels: blocks that are averaged fit into it."""
    own = THRESHOLDS[method.method].reduction(method)
    return math.lcm(reduction(method), window_reduction(method), own)


def _trim(labels: Array, height: Array, method: SegmentMethod) -> Array:
    """Cut the halo of bright parts: each keeps what is above half of its own mean height."""
    at = np.flatnonzero(labels)
    label, value = labels.ravel()[at], height.ravel()[at]
    size = np.bincount(label).clip(1)
    mean = np.bincount(label, value) / size
    for _ in range(2):
        above = value > 0.5 * method.threshold * mean[label]
        size = np.bincount(label[above], minlength=mean.size).clip(1)
        mean = np.bincount(label[above], value[above], mean.size) / size
    kept = np.zeros(labels.size, bool)
    kept[at[value > 0.5 * method.threshold * mean[label]]] = True
    return np.where(fill_holes(kept.reshape(labels.shape), method), labels, 0)

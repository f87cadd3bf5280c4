"""Touching objects: basins of a watershed, and which of them are one object.

Basins are found tile by tile; which of them belong together is decided once for the whole image,
so that the decision does not depend on the tiles.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from gridwell.config.models import SegmentMethod
from gridwell.segment.pixels import disc, distance
from gridwell.segment.threshold import longest

Array = np.ndarray[Any, np.dtype[Any]]

# Prominence that a second centre needs to split an object: depth, and part of its own depth.
_PROMINENCE = 0.2
_PROMINENCE_PART = 0.12
# Depths are compared in these steps, finer than any that matters.
_DEPTH_STEP = 2.0**-12


@dataclass(frozen=True)
class Basins:
    """Basins of one image, and how deep the passes between them are.

    Attributes
    ----------
    labels
        int32 (h, w): 0 background, 1..n basins.
    first
        First pixel of each seed, y and x, int64 (n, 2), in raster order: the first row is of
        basin 1.
    seed
        Centre of the seed, y and x in pixels, (n, 2).
    top
        Depth at the seed, (n,).
    pairs, saddles
        Rows of basins that touch, (m, 2), and the highest pass between them, (m,).
    """

    labels: Array
    first: Array
    seed: Array
    top: Array
    pairs: Array
    saddles: Array


def _distance(height: Array, foreground: Array, method: SegmentMethod) -> Array:
    """Distance to the background: round objects are parted at their necks."""
    padded = np.pad(foreground, 1).astype(np.uint8)
    depth = distance(padded)[1:-1, 1:-1]
    return np.asarray(np.minimum(depth, method.max_diameter))


def _brightness(height: Array, foreground: Array, method: SegmentMethod) -> Array:
    """Brightness relative to the brightest pixel nearby, as a depth in pixels."""
    return _relative(height, method) * np.float32(method.seed_distance)


def _both(height: Array, foreground: Array, method: SegmentMethod) -> Array:
    """Distance times the square of the relative brightness.

    Small cells in a clump are parted by the dark line between them more than by their outline.

    References
    ----------
    N. Malpica et al., Cytometry 28 (1997) 289 (distance and brightness combined).
    """
    return _distance(height, foreground, method) * _relative(height, method) ** 2


def _relative(height: Array, method: SegmentMethod) -> Array:
    top = cv2.dilate(height, disc(max(1, int(method.seed_distance))))
    return np.clip(height / np.maximum(top, np.float32(1e-6)), 0, 1)


# A newcomer: one function, one line here, its name in `config.models.SegmentMethod`.
SPLITS: dict[str, Callable[[Array, Array, SegmentMethod], Array]] = {
    "both": _both,
    "distance": _distance,
    "intensity": _brightness,
}


def split_reach(method: SegmentMethod) -> int:
    """How far away a pixel may be that the basin of another depends on, in pixels."""
    near = 2 * method.seed_distance + 4 * max(0.5, method.seed_distance / 5)
    # A basin, and the basins that touch it.
    return math.ceil(near + method.max_diameter) + 2 * longest(method) + 4


def basins(
    foreground: Array, height: Array, method: SegmentMethod, origin: tuple[int, int] = (0, 0)
) -> Basins:
    """Watershed of the depth of the foreground, from its maxima.

    Parameters
    ----------
    foreground
        bool (h, w).
    height
        Grey values above the background, float32 (h, w).
    method
        Settings.
    origin
        Place of the first pixel in the image that these are a part of, y and x.

    References
    ----------
    S. Beucher, F. Meyer, in: Mathematical Morphology in Image Processing (1993) 433.
    """
    from skimage.segmentation import watershed

    if method.split == "none":
        return _whole_parts(foreground, origin)
    depth = SPLITS[method.split](height, foreground, method)
    depth = cv2.GaussianBlur(depth, (0, 0), max(0.5, method.seed_distance / 5))
    depth = np.floor(depth / _DEPTH_STEP + 0.37) * _DEPTH_STEP
    depth[~foreground] = 0
    peaks = foreground & (depth >= cv2.dilate(depth, disc(max(1, int(method.seed_distance / 2)))))
    count, seeds = cv2.connectedComponents(peaks.astype(np.uint8), connectivity=8)
    labels = watershed(-depth, seeds, mask=foreground) if count > 1 else seeds
    # A small object beside a deeper one has no maximum of its own.
    missed = foreground & (labels == 0)
    rest = _components(missed)
    seeds = np.where(missed, rest + count - 1, seeds)
    labels = np.where(missed, rest + count - 1, labels)
    number, first, seed = _places(seeds, origin)
    labels = number[labels]
    top = np.zeros(len(first) + 1)
    top[number[seeds.ravel()]] = depth.ravel()
    return Basins(labels, first, seed, top[1:], *_saddles(labels, depth))


def _whole_parts(foreground: Array, origin: tuple[int, int]) -> Basins:
    labels = _components(foreground)
    number, first, seed = _places(labels, origin)
    none = np.zeros(0)
    pairs = np.zeros((0, 2), np.int64)
    return Basins(number[labels], first, seed, np.zeros(len(first)), pairs, none)


def _components(foreground: Array) -> Array:
    return cv2.connectedComponents(foreground.astype(np.uint8), connectivity=4)[1]


def _places(seeds: Array, origin: tuple[int, int]) -> tuple[Array, Array, Array]:
    """Number the seeds in raster order; return new numbers, first pixels and centres."""
    at = np.flatnonzero(seeds)
    old, start, index, size = np.unique(
        seeds.ravel()[at], return_index=True, return_inverse=True, return_counts=True
    )
    order = np.argsort(start)
    number = np.zeros(int(old.max(initial=0)) + 1, np.int32)
    number[old[order]] = np.arange(1, old.size + 1)
    # Whole numbers until the division, so that the origin does not matter.
    y, x = at // seeds.shape[1] + origin[0], at % seeds.shape[1] + origin[1]
    centre = np.stack([np.bincount(index, y), np.bincount(index, x)], axis=1) / size[:, None]
    return number, np.stack([y, x], axis=1)[start[order]], centre[order]


def _saddles(labels: Array, depth: Array) -> tuple[Array, Array]:
    """Return pairs of touching basins and the depth of the highest pass between them."""
    pairs, heights = [], []
    for one, other in (
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
    ):
        a, b = labels[one], labels[other]
        touch = (a != b) & (a > 0) & (b > 0)
        a, b = a[touch].astype(np.int64), b[touch].astype(np.int64)
        pairs.append((np.minimum(a, b) << 32) | np.maximum(a, b))
        heights.append(np.minimum(depth[one][touch], depth[other][touch]))
    key, height = np.concatenate(pairs), np.concatenate(heights)
    unique, inverse = np.unique(key, return_inverse=True)
    saddle = np.zeros(unique.size)
    np.maximum.at(saddle, inverse, height)
    return np.stack([unique >> 32, unique & 0xFFFFFFFF], axis=1) - 1, saddle


def merged(seed: Array, top: Array, pairs: Array, saddles: Array, method: SegmentMethod) -> Array:
    """Join basins that are parted by a shallow saddle or lie too near, highest saddle first.

    A round or slightly dented object stays whole: basins are one where their common saddle lies
    less than the prominence below the lower of both maxima, or where the maxima are nearer than
    ``method.seed_distance``.

    Parameters
    ----------
    seed, top, pairs, saddles
        As in `Basins`, of the whole image, in the raster order of the seeds.
    method
        Settings.

    Returns
    -------
    owner
        For each basin the one that it belongs to, (n,).
    """
    parent = np.arange(len(top))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = int(parent[index])
        return index

    first, second = pairs[:, 0], pairs[:, 1]
    for edge in np.lexsort((second, first, -saddles)):
        a, b = root(int(first[edge])), root(int(second[edge]))
        if a == b:
            continue
        if (top[a], -a) < (top[b], -b):
            a, b = b, a
        shallow = top[b] - saddles[edge] < max(_PROMINENCE, _PROMINENCE_PART * top[b])
        near = math.hypot(*(seed[a] - seed[b])) < method.seed_distance
        if shallow or near:
            parent[b] = a
    return np.array([root(index) for index in range(len(top))], np.int64)

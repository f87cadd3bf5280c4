"""Pixel operations whose results do not depend on where in an image they are computed.

Grey values lie on a grid of steps of a power of two, so that sums of them are exact in float64,
whatever their order; all else works pixel by pixel or in windows. A tile of an image therefore
gives the same bits as the image, away from the tile's edges.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from gridwell.images.compiled import compiled

Array = np.ndarray[Any, np.dtype[Any]]


def on_grid(image: Array, unit: float) -> Array:
    """Round grey values to multiples of `unit`, a power of two, as float32."""
    rounded = np.empty(image.shape, np.float32)
    _round(np.ascontiguousarray(image).reshape(-1), np.float32(unit), rounded.reshape(-1))
    return rounded


@compiled
def _round(values: Array, unit: float, rounded: Array) -> None:
    # Not half: values that exact arithmetic puts between two steps are common, these are not.
    steps, up = np.float32(1) / unit, np.float32(0.37)
    for i in range(values.size):
        rounded[i] = np.floor(values[i] * steps + up) * unit


def disc(radius: int) -> Array:
    """Disc as a structuring element, (2 radius + 1, 2 radius + 1)."""
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


def reduce(image: Array, factor: int) -> Array:
    """Mean of blocks of `factor` pixels, float64; the last blocks repeat the edge.

    Exact for values on a grid, and so the same for blocks of any tile that begins at a multiple
    of `factor`.
    """
    if factor == 1:
        return image.astype(np.float64)
    image = image.view(np.uint8) if image.dtype == bool else image
    means = np.empty((-(-image.shape[0] // factor), -(-image.shape[1] // factor)))
    _average(image, factor, means)
    return means


@compiled
def _average(image: Array, factor: int, means: Array) -> None:
    h, w = image.shape
    for i in range(means.shape[0]):
        line = np.zeros(means.shape[1] * factor)
        for y in range(i * factor, (i + 1) * factor):
            row = image[min(y, h - 1)]
            for x in range(w):
                line[x] += row[x]
        line[w:] = line[w - 1]
        for j in range(means.shape[1]):
            means[i, j] = line[j * factor : (j + 1) * factor].sum() / factor**2


def enlarge(small: Array, factor: int, shape: tuple[int, ...]) -> Array:
    """Interpolate a reduced image linearly to `shape`, float32."""
    small = small.astype(np.float32)
    if factor == 1:
        return small
    large = np.empty(shape, np.float32)
    _interpolate(small, factor, large)
    return large


@compiled
def _interpolate(small: Array, factor: int, large: Array) -> None:
    """Along x, then along y; OpenCV's weights would depend on the place in the image."""
    h, w = small.shape
    wide = np.empty((h, large.shape[1]), np.float32)
    for x in range(wide.shape[1]):
        part = np.float32((x % factor + 0.5) / factor - 0.5)
        j = x // factor
        beside = min(j + 1, w - 1) if part > 0 else max(j - 1, 0)
        for i in range(h):
            wide[i, x] = small[i, j] + abs(part) * (small[i, beside] - small[i, j])
    for y in range(large.shape[0]):
        part = np.float32((y % factor + 0.5) / factor - 0.5)
        i = y // factor
        beside = min(i + 1, h - 1) if part > 0 else max(i - 1, 0)
        for x in range(wide.shape[1]):
            large[y, x] = wide[i, x] + abs(part) * (wide[beside, x] - wide[i, x])


def box_mean(image: Array, size: int, border: int = cv2.BORDER_REFLECT_101) -> Array:
    """Mean of squares of `size` pixels, float64, exact sums for values on a grid."""
    total = cv2.boxFilter(
        image.astype(np.float64), cv2.CV_64F, (size, size), normalize=False, borderType=border
    )
    return total / size**2


def distance(mask: Array) -> Array:
    """Distance of each pixel to the nearest pixel outside of `mask`, float32 (h, w).

    The last bit of OpenCV's result differs from run to run. The square of a distance between
    pixels is a whole number: its root is the same always.
    """
    rough = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.sqrt(np.rint(rough * rough))

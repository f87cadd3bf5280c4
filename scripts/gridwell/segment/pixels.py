"""Pixel operations whose results do not depend on where in an image they are computed.

Grey values lie on a grid of steps of a power of two, so that sums of them are exact in float64,
whatever their order; all else works pixel by pixel or in windows. A tile of an image therefore
gives the same bits as the image, away from the tile's edges.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def on_grid(image: Array, unit: float) -> Array:
    """Round grey values to multiples of `unit`, a power of two, as float32."""
    # Not half: values that exact arithmetic puts between two steps are common, these are not.
    return np.asarray(
        np.floor(image * np.float32(1 / unit) + np.float32(0.37)) * np.float32(unit), np.float32
    )


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
    image = image.astype(np.uint8) if image.dtype == bool else image
    h, w = image.shape
    down, right = -h % factor, -w % factor
    if down or right:
        image = cv2.copyMakeBorder(image, 0, down, 0, right, cv2.BORDER_REPLICATE)
    h, w = image.shape
    rows = image.reshape(h // factor, factor, w).sum(axis=1, dtype=np.float64)
    return np.asarray(rows.reshape(h // factor, w // factor, factor).sum(axis=2) / factor**2)


def enlarge(small: Array, factor: int, shape: tuple[int, ...]) -> Array:
    """Interpolate a reduced image linearly to `shape`, float32."""
    small = small.astype(np.float32)
    if factor == 1:
        return small
    wide = np.ascontiguousarray(_stretch(np.ascontiguousarray(small.T), factor)[: shape[1]].T)
    return _stretch(wide, factor)[: shape[0]]


def _stretch(small: Array, factor: int) -> Array:
    """Interpolate the rows; OpenCV's weights would depend on the place in the image."""
    before = np.concatenate([small[:1], small[:-1]])
    after = np.concatenate([small[1:], small[-1:]])
    tall = np.empty((small.shape[0], factor, small.shape[1]), np.float32)
    for k in range(factor):
        part = np.float32((k + 0.5) / factor - 0.5)
        tall[:, k] = small + abs(part) * ((after if part > 0 else before) - small)
    return tall.reshape(-1, small.shape[1])


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


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a loop with numba; keep the machine code where a folder for it can be written."""
    from numba import njit

    try:
        fast: Callable[..., Any] = njit(cache=True)(function)
    except RuntimeError:
        fast = njit(function)
    return fast

"""What a pixel looks like on several scales: intensity, edges, blobs, texture, entropy."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import cv2
import numpy as np

from gridwell.segment.pixels import box_mean

Array = np.ndarray[Any, np.dtype[Any]]

# Standard deviations of the smoothing, in pixels.
SCALES = (0.7, 1.5, 3.0, 6.0)
# Sides of the windows for the entropy, in pixels, and the grey levels that it distinguishes.
_WINDOWS, _GREYS = (7, 15), 8
# Rows that are worked on at once: all features of a large image would fill the memory.
STRIP = 256
# The structure of a scale is averaged over twice that scale.
REACH = math.ceil(4 * 3 * SCALES[-1]) + 3


def names() -> list[str]:
    """Names of the features, in the order of `features`."""
    each = ["smooth", "slope", "bend_low", "bend_high", "structure_high", "structure_low"]
    found = ["grey", *(f"{name}_{scale:g}" for scale in SCALES for name in each)]
    found += [f"blob_{a:g}_{b:g}" for a, b in pairwise(SCALES)]
    return [*found, *(f"entropy_{side}" for side in _WINDOWS)]


def features(image: Array) -> Array:
    """Compute the features of each pixel; each depends on pixels within `REACH` alone.

    Parameters
    ----------
    image
        float32 (h, w), background near 0, objects near 1.

    Returns
    -------
    stack
        float32 (h, w, n), in the order of `names`.

    References
    ----------
    S. Berg et al., Nat. Methods 16 (2019) 1226 (such features and a random forest: ilastik).
    """
    maps, smooths = [image], []
    for scale in SCALES:
        smooth = cv2.GaussianBlur(image, (0, 0), scale)
        smooths.append(smooth)
        dx, dy = _derivative(smooth, 1, 0), _derivative(smooth, 0, 1)
        # Times the scale, so that a blob's values do not depend on its size.
        bends = _eigenvalues(
            _derivative(smooth, 2, 0), _derivative(dx, 0, 1), _derivative(smooth, 0, 2)
        )
        structure = _eigenvalues(
            *(cv2.GaussianBlur(one, (0, 0), 2 * scale) for one in (dx * dx, dx * dy, dy * dy))
        )
        maps += [smooth, scale * np.hypot(dx, dy)]
        maps += [np.float32(scale**2) * one for one in bends]
        # The larger first; they are sums of squares, but for rounding.
        maps += [scale * np.sqrt(np.maximum(one, 0)) for one in reversed(structure)]
    maps += [fine - coarse for fine, coarse in pairwise(smooths)]
    grey = np.clip((smooths[0] * np.float32(_GREYS - 2) + 1), 0, _GREYS - 1).astype(np.int32)
    maps += [_entropy(grey, side) for side in _WINDOWS]
    return np.stack(maps, axis=-1).astype(np.float32)


def _derivative(image: Array, x: int, y: int) -> Array:
    return cv2.Sobel(image, cv2.CV_32F, x, y, ksize=1)


def _eigenvalues(xx: Array, xy: Array, yy: Array) -> tuple[Array, Array]:
    """Eigenvalues of a symmetric matrix at each pixel, the smaller first."""
    mean = (xx + yy) / 2
    half = np.hypot((xx - yy) / 2, xy)
    return mean - half, mean + half


def _entropy(grey: Array, side: int) -> Array:
    """Entropy of the grey levels in a window, in bits."""
    total = np.zeros(grey.shape)
    for level in range(_GREYS):
        part = box_mean(grey == level, side)
        total -= part * np.log2(np.where(part > 0, part, 1))
    return total

"""Brushes that simulated images share: blur, clouds, blobs, and what a camera file loses."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.float32]
_F = np.float32


def smooth(plane: Plane, sigma: float) -> Plane:
    """Blur with a Gaussian of `sigma` pixels."""
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma), _F)


def glow(plane: Plane, sigma: float) -> Plane:
    """Blur widely: as `smooth`, on a smaller copy, so that the time does not grow with `sigma`."""
    factor = max(1, int(sigma // 3))
    if factor == 1:
        return smooth(plane, sigma)
    height, width = plane.shape
    size = max(1, -(-width // factor)), max(1, -(-height // factor))
    small = np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), _F)
    small = smooth(small, sigma / factor)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), _F)


def clouds(shape: tuple[int, int], length: float, rng: np.random.Generator) -> Plane:
    """Draw a smooth random field of about unit variance with details of `length` pixels."""
    small = [max(2, math.ceil(n / length) + 1) for n in shape]
    coarse = rng.standard_normal(small, dtype=_F)
    if small[0] >= shape[0] and small[1] >= shape[1]:
        return np.ascontiguousarray(coarse[: shape[0], : shape[1]])
    field: Plane = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_LINEAR) * _F(1.4)
    return field


def blob(x: float, y: float, radius: float, rng: np.random.Generator) -> npt.NDArray[np.int32]:
    """Draw an irregular polygon about a point, in whole pixels."""
    way = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    away = radius * rng.uniform(0.5, 1.2, 12) * (1 + 0.6 * np.cos(way - rng.uniform(0, 6.3)))
    ring = np.stack([x + away * np.cos(way), y + away * np.sin(way)], axis=1)
    return np.rint(ring).astype(np.int32)


def jpeg(pixels: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.uint8]:
    """Return what is left of an 8-bit image after JPEG compression."""
    packed = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_UNCHANGED), np.uint8)


def step(t: Plane) -> Plane:
    """Rise smoothly from 0 at t = 0 to 1 at t = 1."""
    t = np.clip(t, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), _F)

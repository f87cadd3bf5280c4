"""A small renderer of grids with known truth, for the tests of grid detection."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Scene:
    """An image (h, w) uint16, true centres (rows, cols, 2) and which spots are there."""

    image: npt.NDArray[np.uint16]
    centres: npt.NDArray[np.float64]
    present: npt.NDArray[np.bool_]


def render(
    rows: int,
    cols: int,
    *,
    pitch: float = 30.0,
    spot: float = 0.6,
    shape: str = "round",
    bright: bool = True,
    angle: float = 0.0,
    missing: float = 0.0,
    noise: float = 0.05,
    margin: float = 1.5,
    blocks: tuple[int, ...] = (),
    gap: float = 1.5,
    shift: tuple[float, float] = (0.0, 0.0),
    empty_rows: tuple[int, ...] = (),
    debris: int = 0,
    seed: int = 0,
) -> Scene:
    """Draw a grid in the middle of an image, moved by `shift` pitches."""
    rng = np.random.default_rng(seed)
    along = np.arange(cols, dtype=float)
    for first in np.cumsum(blocks)[:-1]:
        along[int(first) :] += gap - 1
    x, y = np.meshgrid(along * pitch, np.arange(rows) * pitch)
    wide, high = x.max(), y.max()
    a = np.radians(angle)
    cos, sin = np.cos(a), np.sin(a)
    w = int(wide * cos + high * abs(sin) + 2 * margin * pitch)
    h = int(high * cos + wide * abs(sin) + 2 * margin * pitch)
    x, y = x - wide / 2, y - high / 2
    centres = np.stack(
        [
            cos * x - sin * y + w / 2 + shift[0] * pitch,
            sin * x + cos * y + h / 2 + shift[1] * pitch,
        ],
        axis=-1,
    )
    present = rng.random((rows, cols)) >= missing
    present[list(empty_rows)] = False
    image = np.zeros((h, w), np.float32)
    for cx, cy in centres[present]:
        _blob(image, cx, cy, spot * pitch, a, shape)
    for _ in range(debris):
        _blob(image, rng.uniform(0, w), rng.uniform(0, h), 0.3 * spot * pitch, 0, "round")
    image = cv2.GaussianBlur(image, (0, 0), 0.8)
    if not bright:
        image = 1 - image
    noisy = image + rng.normal(0, noise, image.shape)
    return Scene(np.clip(8000 + 8000 * noisy, 0, 65535).astype(np.uint16), centres, present)


def _blob(
    image: npt.NDArray[np.float32], cx: float, cy: float, size: float, a: float, shape: str
) -> None:
    r = int(size) + 2
    x0, y0 = max(int(cx) - r, 0), max(int(cy) - r, 0)
    part = image[y0 : max(int(cy) + r, 0), x0 : max(int(cx) + r, 0)]
    yy, xx = np.mgrid[: part.shape[0], : part.shape[1]]
    dx, dy = xx + x0 - cx, yy + y0 - cy
    p, q = np.cos(a) * dx + np.sin(a) * dy, -np.sin(a) * dx + np.cos(a) * dy
    away = np.hypot(p, q) if shape == "round" else np.maximum(abs(p), abs(q))
    np.maximum(part, np.clip(size / 2 - away + 0.5, 0, 1), out=part)

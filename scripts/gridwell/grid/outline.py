"""Outline of the typical spot: its shape, width and height."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from gridwell.grid.lattice import Array, Basis

_REACH = 0.5  # of the pitch, on each side of a spot's centre
_RIM = 0.45  # beyond it lies what parts the spots
_SIDE = 120  # samples across
_LEVEL = 0.5  # of the outline's height over the surroundings
_AROUND = 0.4  # of the core, for what lies around it to be more than a blurred edge
_LEVEL_SHARE = 0.45  # of what lies around a core, for it to be a level spot
_NOISE = 5.0  # robust standard deviations of the surroundings
_MOST = 300  # spots that are enough for an average
_SQUARE = 0.89  # area over width times height; 1 for a square, 0.79 for a disc


@dataclass(frozen=True)
class Outline:
    """Shape of a spot, width and height as fractions of the pitches."""

    shape: Literal["square", "round"]
    size: tuple[float, float]


def measure_outline(image: npt.NDArray[np.float32], centres: Array, basis: Basis) -> Outline | None:
    """Measure where the typical spot ends.

    The median over all spots shows what they have in common and neither cells nor debris. A
    spot is what differs from the gaps between spots, brighter or darker, and all that such a
    line encloses: a bright rim around a dim inside is one spot of the rim's outer size.

    Parameters
    ----------
    image
        Gray image (h, w).
    centres
        Centres of spots that were seen, (n, 2), x and y in its pixels.
    basis
        Vectors of the lattice.

    Returns
    -------
    Outline or None
        None where no closed outline stands out, or spots run into each other.
    """
    if len(centres) == 0:
        return None
    typical = _typical(image, centres, basis)
    axis = np.linspace(-_REACH, _REACH, _SIDE)
    rim = np.maximum(*np.meshgrid(np.abs(axis), np.abs(axis))) > _RIM
    noise = 1.4826 * float(np.median(np.abs(typical[rim] - np.median(typical[rim]))))
    height = np.abs(typical)
    least = _NOISE * noise
    peak = float(np.percentile(height[~rim], 98))
    level = max(_LEVEL * peak, least)
    if peak <= level:
        return None
    spot = _enclosed(height > level)
    outer = _enclosed(height > least)
    if outer is not None and spot is not None and _ends(outer, rim):
        own = _plateau(height, outer & ~spot, spot)
        if own is not None:
            spot = _enclosed(height > max(_LEVEL * own, least))
    if spot is None or not _ends(spot, rim):
        return None
    middle = np.abs(axis) < 0.1
    width = float(np.median(spot[middle].sum(axis=1))) / (_SIDE - 1) * 2 * _REACH
    tall = float(np.median(spot[:, middle].sum(axis=0))) / (_SIDE - 1) * 2 * _REACH
    area = float(spot.sum()) / (_SIDE - 1) ** 2 * (2 * _REACH) ** 2
    if min(width, tall) <= 0.05:
        return None
    return Outline("square" if area > _SQUARE * width * tall else "round", (width, tall))


def _ends(spot: npt.NDArray[np.bool_], rim: npt.NDArray[np.bool_]) -> bool:
    """Say whether the spot ends before what parts the spots."""
    return bool((spot & rim).sum() <= 0.02 * spot.sum())


def _plateau(
    height: Array, around: npt.NDArray[np.bool_], core: npt.NDArray[np.bool_]
) -> float | None:
    """Height of a spot around a higher core, or None where the core only fades out.

    Where cells stand so dense that they show even in the median, half of their height is the
    outline of the cells. The spot around them is level; the blur of an edge is not.
    """
    if around.sum() < _AROUND * core.sum():
        return None
    typical = float(np.median(height[around]))
    level = np.abs(height[around] - typical) < 0.3 * typical
    return typical if level.mean() > _LEVEL_SHARE else None


def _typical(image: npt.NDArray[np.float32], centres: Array, basis: Basis) -> Array:
    """Median cell of the spots, (_SIDE, _SIDE), each one's own surroundings taken for 0."""
    if len(centres) > _MOST:
        centres = centres[np.linspace(0, len(centres) - 1, _MOST).astype(int)]
    axis = np.linspace(-_REACH, _REACH, _SIDE)
    offset = axis[None, :, None] * basis.u + axis[:, None, None] * basis.v
    rim = np.maximum(*np.meshgrid(np.abs(axis), np.abs(axis))) > _RIM
    cells = np.empty((len(centres), _SIDE, _SIDE), np.float32)
    for index, centre in enumerate(centres):
        where = (centre + offset).astype(np.float32)
        x, y = np.ascontiguousarray(where[..., 0]), np.ascontiguousarray(where[..., 1])
        cell = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        cells[index] = cell - np.median(cell[rim])
    median: Array = np.median(cells, axis=0).astype(np.float64)
    return median


def _enclosed(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_] | None:
    """The piece of `mask` around the centre with all that it encloses; None without one."""
    from scipy import ndimage

    closed = ndimage.binary_closing(np.pad(mask, 3), iterations=2)[3:-3, 3:-3] | mask
    filled = ndimage.binary_fill_holes(closed)
    pieces, count = ndimage.label(filled)
    if not count:
        return None
    middle = _SIDE // 2
    label = pieces[middle, middle]
    if not label:
        return None
    piece: npt.NDArray[np.bool_] = ndimage.binary_opening(pieces == label, iterations=2)
    return piece if piece.any() else None

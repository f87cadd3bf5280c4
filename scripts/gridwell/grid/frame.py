"""The outline of a carrier around its grid: how far it lies from the lines that show."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from gridwell.grid.elements import Image
from gridwell.grid.evidence import Extent
from gridwell.grid.lattice import Array, Basis

# Lines are drawn beside the grid at these steps and up to this distance, in pitches.
_STEP = 0.05
_FARTHEST = 14.0
_NEAREST = 0.35
# Steps on both sides of a line between which the image is compared.
_SIDE = 2
# Samples along a line, and part of them that must lie in the image.
_SAMPLES = 160
_INSIDE = 0.7
# Robust deviations of the other lines' steps from which a line is an edge.
_CLEAR = 7.0


@dataclass(frozen=True)
class Frame:
    """Pitches from the outer lines that show to the outline beside them; None where none shows."""

    top: float | None
    bottom: float | None
    left: float | None
    right: float | None


def find_frame(image: Image, nodes: Array, seen: Extent, basis: Basis) -> Frame:
    """Look for straight edges that run along the four sides of a grid.

    Parameters
    ----------
    image
        Gray image (h, w).
    nodes
        Positions (rows, cols, 2), in its pixels.
    seen
        Lines that show spots.
    basis
        Vectors of the lattice.
    """
    grid = seen.cut(nodes)
    blur = max(0.04 * basis.pitch, 0.5)
    smooth = np.asarray(cv2.GaussianBlur(image, (0, 0), blur), np.float32)
    return Frame(
        top=_edge(smooth, grid[0], -basis.v),
        bottom=_edge(smooth, grid[-1], basis.v),
        left=_edge(smooth, grid[:, 0], -basis.u),
        right=_edge(smooth, grid[:, -1], basis.u),
    )


def _edge(image: Image, line: Array, away: Array) -> float | None:
    """Distance, in lengths of `away`, of the clearest edge along a line (n, 2) of nodes."""
    if len(line) < 2:
        return None
    place = np.linspace(0, len(line) - 1, _SAMPLES)
    along = np.column_stack([np.interp(place, np.arange(len(line)), line[:, k]) for k in (0, 1)])
    steps = np.arange(_NEAREST - _SIDE * _STEP, _FARTHEST, _STEP)
    points = along[None] + steps[:, None, None] * away
    h, w = image.shape
    inside = np.asarray(np.all((points >= 0) & (points <= (w - 1, h - 1)), axis=2))
    # The image ends where too little of a line lies in it.
    ends = np.nonzero(np.mean(inside, axis=1) < _INSIDE)[0]
    end = int(ends[0]) if len(ends) else len(steps)
    points, inside, steps = points[:end], inside[:end], steps[:end]
    if len(steps) < 8 * _SIDE:
        return None
    x, y = (np.ascontiguousarray(points[..., k], dtype=np.float32) for k in (0, 1))
    values = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    level = np.ma.median(np.ma.array(values, mask=~inside), axis=1).filled(np.nan)
    change = np.abs(level[2 * _SIDE :] - level[: -2 * _SIDE])
    usual = float(np.median(change))
    spread = 1.4826 * float(np.median(np.abs(change - usual)))
    best = int(np.argmax(change))
    if change[best] < usual + _CLEAR * max(spread, 1e-4):
        return None
    return float(steps[best + _SIDE])

"""Looking at given positions: which of them show a spot, and where exactly."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from gridwell.grid import evidence
from gridwell.grid.elements import Image
from gridwell.grid.evidence import Bools, Cells, Template
from gridwell.grid.lattice import Array, Basis

# Likeness and parting of the spots below which positions show nothing in common.
_LIKENESS = 0.35
_ISOLATION = 0.3
_THRESHOLD = 0.3
# Robust standard deviations by which a spot stands out among empty positions, and how many must.
_FAR = 8.0
_FEWEST = 3
# Contrast, in that of the typical spot, from which something is no spot like the others.
_GLARING = 3.0
# Samples across a mean cell, and cells that are enough for one.
_SIDE = 31
_MOST = 600
# OpenCV remaps to fewer than 2^15 rows at once.
_BATCH = 1000


@dataclass(frozen=True)
class Look:
    """What an image shows at given positions.

    Attributes
    ----------
    spot
        Their mean cell.
    cells
        Each of them.
    threshold
        Score from which a position shows a spot.
    offset
        From the positions to the centre of the mean cell, (2,), in pixels: what they all are
        off by, which no comparison with their own mean can tell.
    """

    spot: Template
    cells: Cells
    threshold: float
    offset: Array

    @property
    def centres(self) -> Array:
        """Where the image shows the spots, (rows, cols, 2)."""
        centres: Array = self.cells.nodes + self.cells.shift + self.offset
        return centres

    @property
    def hits(self) -> Bools:
        """Positions that show a spot, (rows, cols)."""
        return (self.cells.score >= self.threshold) & self.cells.inside

    def usual(self, cells: Cells) -> Array:
        """Score of cells that are spots like the others, 0 for the rest.

        The rim of a plate and glare look like spots here and there, but much brighter.
        """
        like = (cells.score >= self.threshold) & cells.inside & (cells.contrast < _GLARING)
        return np.where(like, cells.score, 0.0)


def look(
    image: Image, nodes: Array, basis: Basis, *, polarity: str = "auto", among: Bools | None = None
) -> Look | None:
    """Compare given positions with what they have in common.

    Parameters
    ----------
    image
        Gray image (h, w), normalised.
    nodes
        Positions (rows, cols, 2) in its pixels.
    basis
        Vectors of the lattice.
    polarity
        ``bright``, ``dark``, or ``auto`` for whichever stands out.
    among
        Positions to take the typical spot from, (rows, cols); all by default.

    Returns
    -------
    Look or None
        None where the positions have no spot in common.
    """
    h, w = image.shape
    x, y = nodes[..., 0], nodes[..., 1]
    inside = (x >= 0) & (y >= 0) & (x <= w - 1) & (y <= h - 1)
    typical = inside if among is None else inside & among
    if not typical.any():
        return None
    best: tuple[float, Look] | None = None
    for sign in {"bright": (1,), "dark": (-1,)}.get(polarity, (1, -1)):
        seen = _compared(image, nodes, basis, sign, typical)
        if seen is None:
            # Where most positions are empty, those that stand out show what a spot looks like.
            few = typical & _standing_out(image, nodes, basis, sign)
            seen = _compared(image, nodes, basis, sign, few) if few.sum() >= _FEWEST else None
        if seen is not None and (best is None or seen[0] > best[0]):
            best = seen
    return None if best is None else best[1]


def _compared(
    image: Image, nodes: Array, basis: Basis, sign: int, typical: Bools
) -> tuple[float, Look] | None:
    """How well positions agree with the mean of the typical ones; None where they do not."""
    spot = evidence.template(image, nodes[typical], basis, sign)
    if spot.isolation < _ISOLATION:
        return None
    cells = evidence.weigh(image, nodes, basis, spot)
    likeness = float(np.percentile(cells.likeness[typical], 75))
    if likeness < _LIKENESS:
        return None
    clear = float(np.percentile(cells.score[typical], 75))
    offset = _offset(image, nodes[typical], basis, sign)
    seen = Look(spot, cells, max(_THRESHOLD, 0.5 * clear), offset)
    return likeness * min(spot.isolation, 1.0), seen


def _cells(image: Image, nodes: Array, basis: Basis) -> tuple[Array, Array]:
    """Cells (n, _SIDE, _SIDE) of nodes (n, 2), and where their samples lie from the node."""
    axis = np.linspace(-0.5, 0.5, _SIDE)
    steps = axis[None, :, None] * basis.u + axis[:, None, None] * basis.v
    cells = np.empty((len(nodes), _SIDE, _SIDE))
    for start in range(0, len(nodes), _BATCH):
        part = nodes[start : start + _BATCH, None, None]
        where = (part + steps).reshape(-1, _SIDE, 2).astype(np.float32)
        x, y = np.ascontiguousarray(where[..., 0]), np.ascontiguousarray(where[..., 1])
        flat = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        cells[start : start + _BATCH] = flat.reshape(-1, _SIDE, _SIDE)
    return cells, steps


def _rim(cells: Array) -> Array:
    """Level of the outermost samples of each cell (n, …)."""
    edges = (cells[:, 0], cells[:, -1], cells[:, :, 0], cells[:, :, -1])
    rim: Array = np.median(np.concatenate(edges, axis=1), axis=1)
    return rim


def _standing_out(image: Image, nodes: Array, basis: Basis, polarity: int) -> Bools:
    """Positions that differ from what lies around them by far more than most do."""
    cells, _ = _cells(image, nodes.reshape(-1, 2), basis)
    middle = slice(_SIDE // 4, _SIDE - _SIDE // 4)
    height = polarity * (cells[:, middle, middle].mean(axis=(1, 2)) - _rim(cells))
    usual = float(np.median(height))
    spread = 1.4826 * float(np.median(np.abs(height - usual)))
    out: Bools = (height > usual + _FAR * max(spread, 1e-4)).reshape(nodes.shape[:2])
    return out


def _offset(image: Image, nodes: Array, basis: Basis, polarity: int) -> Array:
    """From nodes (n, 2) to the centre of gravity of what their mean cell shows."""
    if len(nodes) > _MOST:
        nodes = nodes[np.linspace(0, len(nodes) - 1, _MOST).astype(int)]
    cells, steps = _cells(image, nodes, basis)
    mean = polarity * cells.mean(axis=0)
    height = mean - _rim(mean[None])[0]
    weight = np.clip(height - 0.3 * height.max(), 0, None)
    offset: Array = (weight[..., None] * steps).sum(axis=(0, 1)) / max(float(weight.sum()), 1e-12)
    return offset


def vectors(nodes: Array) -> Basis:
    """Typical steps from column to column and from row to row of nodes (rows, cols, 2).

    The median passes over gaps between blocks. A single row or column is taken to be spaced as
    the other way.
    """
    u = np.median(np.diff(nodes, axis=1).reshape(-1, 2), axis=0) if nodes.shape[1] > 1 else None
    v = np.median(np.diff(nodes, axis=0).reshape(-1, 2), axis=0) if nodes.shape[0] > 1 else None
    if u is None and v is None:
        raise ValueError("a single position has no spacing")
    if u is None:
        assert v is not None
        u = np.array([v[1], -v[0]])
    if v is None:
        v = np.array([-u[1], u[0]])
    return Basis(np.asarray(u, np.float64), np.asarray(v, np.float64))

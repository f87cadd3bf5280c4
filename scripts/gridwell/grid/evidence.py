"""Evidence: what the image says about every position of a lattice, and about its neighbours.

Each position is sampled in the axes of the grid, one pitch and a little more on each side.
The mean of the candidates' cells is the template of a spot; how well and how strongly a cell
repeats it is its score. A line of positions then speaks for or against being part of the grid
by a likelihood ratio, which gives the margins of every one-step shift or resize.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from scipy.special import betaln
from scipy.stats import betabinom

from gridwell.grid.elements import Image
from gridwell.grid.lattice import Array, Basis

# A cell is sampled on _SIDE x _SIDE points over _REACH pitches each way from its centre.
_SIDE = 33
_REACH = 0.64
_STEP = 2 * _REACH / (_SIDE - 1)
# The template leaves _SLIP samples on each side free for the search of the centre.
_SLIP = 4
_INNER = _SIDE - 2 * _SLIP
_CAP = 999.0
SIDES = ("first_row", "last_row", "first_col", "last_col")
# Usual agreement of lines; see Odds.
_AGREEMENT = 12.0
# Lines, and positions in them, that are too few to tell.
_FEW = 4
# Nats that a line needs to be part of the grid: most places have no line.
_LINE = 1.0

Bools = npt.NDArray[np.bool_]
Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True)
class Template:
    """The typical spot.

    Attributes
    ----------
    mean
        Mean cell, (_SIDE, _SIDE), background 0.
    size
        Width and height as fractions of the pitches.
    fill
        Area over width times height: 1 for a square, 0.79 for a disc.
    isolation
        How far the ways to the four neighbours fall back to the level of the cell's corners:
        1 for parted spots, near 0 where the gaps between spots were taken for spots or every
        second spot was left out.
    polarity
        +1 bright, -1 dark.
    """

    mean: Array
    size: tuple[float, float]
    fill: float
    isolation: float
    polarity: int

    @property
    def shape(self) -> str:
        """``square`` or ``round``."""
        return "square" if self.fill > 0.89 else "round"


@dataclass(frozen=True)
class Cells:
    """Every position of a rectangle of nodes, as the image shows it.

    Attributes
    ----------
    nodes
        Positions (rows, cols, 2), in pixels of the searched image.
    inside
        Whether the position lies in the image, (rows, cols).
    contrast
        Height over the surroundings; 1 is the typical spot.
    likeness
        Correlation with the template, -1..1.
    shift
        From the node to the best match, (rows, cols, 2), in pixels.
    """

    nodes: Array
    inside: Bools
    contrast: Array
    likeness: Array
    shift: Array

    @property
    def score(self) -> Array:
        """How much a position looks like a spot, 0..1."""
        return np.where(
            self.inside, np.clip(self.likeness, 0, 1) * np.clip(self.contrast / 0.5, 0, 1), 0.0
        )


def sample(image: Image, nodes: Array, basis: Basis) -> npt.NDArray[np.float32]:
    """Cells (n, _SIDE, _SIDE) around `nodes` (n, 2), turned so that grid axes are image axes."""
    step = basis.pitch * _STEP
    smooth = cv2.GaussianBlur(image, (0, 0), max(0.5 * step, 0.5)) if step > 0.7 else image
    axis = np.linspace(-_REACH, _REACH, _SIDE)
    offset = (
        axis[None, :, None] * basis.u[None, None, :] + axis[:, None, None] * basis.v[None, None, :]
    )
    cells = np.empty((len(nodes), _SIDE, _SIDE), np.float32)
    batch = 30_000 // _SIDE
    for start in range(0, len(nodes), batch):
        where = (nodes[start : start + batch, None, None, :] + offset).astype(np.float32)
        flat = where.reshape(-1, _SIDE, 2)
        cells[start : start + batch] = cv2.remap(
            smooth,
            np.ascontiguousarray(flat[..., 0]),
            np.ascontiguousarray(flat[..., 1]),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        ).reshape(-1, _SIDE, _SIDE)
    return cells


def _level(cells: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Take each cell's own background, the median of its rim, away."""
    rim = np.ones((_SIDE, _SIDE), bool)
    rim[_SLIP:-_SLIP, _SLIP:-_SLIP] = False
    level: npt.NDArray[np.float32] = cells - np.median(cells[:, rim], axis=1)[:, None, None]
    return level


def template(image: Image, nodes: Array, basis: Basis, polarity: int) -> Template:
    """Mean cell of the candidates' nodes (n, 2) and what it tells of a spot."""
    if len(nodes) > 600:
        nodes = nodes[np.linspace(0, len(nodes) - 1, 600).astype(int)]
    cells = _level(sample(image, nodes, basis))
    spread = cells.std(axis=(1, 2))
    typical = spread >= 0.5 * np.median(spread)
    mean = cells[typical].mean(axis=0).astype(np.float64)
    signed = mean * polarity
    axis = np.linspace(-_REACH, _REACH, _SIDE)
    x, y = np.meshgrid(axis, axis)
    core = float(np.mean(signed[np.hypot(x, y) < 0.13]))

    def at(dx: float, dy: float) -> float:
        return float(np.mean(signed[np.hypot(x - dx, y - dy) < 0.07]))

    corner = float(np.median([at(a, b) for a in (-0.5, 0.5) for b in (-0.5, 0.5)]))
    ways = max(at(0.5, 0), at(-0.5, 0), at(0, 0.5), at(0, -0.5))
    contrast = core - corner
    isolation = (core - ways) / contrast if contrast > 0 else 0.0
    cell = (np.abs(x) <= 0.5) & (np.abs(y) <= 0.5)
    top = float(np.percentile(signed[cell], 95))
    base = float(np.percentile(signed[cell], 10))
    body = np.clip((signed - base) / max(top - base, 1e-9), 0, 1) * cell
    sharp = np.clip((body - 0.25) / 0.5, 0, 1)
    width = float(sharp[np.abs(axis) < 0.1].mean(axis=0).sum()) * _STEP
    height = float(sharp[:, np.abs(axis) < 0.1].mean(axis=1).sum()) * _STEP
    area = float(sharp.sum()) * _STEP**2
    fill = area / max(width * height, 1e-9)
    size = (float(np.clip(width, 0.1, 1.0)), float(np.clip(height, 0.1, 1.0)))
    return Template(mean, size, fill, float(np.clip(isolation, -1, 1.5)), polarity)


def polarity(image: Image, nodes: Array, basis: Basis) -> int:
    """+1 if the spots at `nodes` (n, 2) are brighter than what parts them, -1 if darker."""
    if len(nodes) > 300:
        nodes = nodes[np.linspace(0, len(nodes) - 1, 300).astype(int)]
    axis = np.linspace(-_REACH, _REACH, _SIDE)
    radius = np.maximum(*np.meshgrid(np.abs(axis), np.abs(axis)))
    cells = sample(image, nodes, basis)
    inner = cells[:, radius < 0.22].mean(axis=1)
    outer = cells[:, (radius > 0.42) & (radius < 0.56)].mean(axis=1)
    return 1 if float(np.median(inner - outer)) >= 0 else -1


def alternation(image: Image, nodes: Array, basis: Basis) -> float:
    """Least likeness between the mean cells of even and odd columns, and of rows, -1..1.

    Neighbouring spots are alike. Corners of large squares, pairs of spots and gaps between
    spots also form lattices, but every second node of theirs looks different.

    Parameters
    ----------
    image
        Gray image.
    nodes
        Positions (rows, cols, 2) of the grid; NaN where no spot shows.
    basis
        Vectors of the lattice.
    """
    least = 1.0
    for axis in (0, 1):
        if nodes.shape[axis] < 2:
            continue
        means = []
        for start in (0, 1):
            part = nodes[start::2] if axis == 0 else nodes[:, start::2]
            flat = part.reshape(-1, 2)
            flat = flat[np.isfinite(flat[:, 0])]
            if len(flat) > 150:
                flat = flat[np.linspace(0, len(flat) - 1, 150).astype(int)]
            if len(flat) < 2:
                break
            means.append(_level(sample(image, flat, basis)).mean(axis=0)[2:-2, 2:-2].ravel())
        if len(means) == 2 and min(m.std() for m in means) > 0:
            least = min(least, float(np.corrcoef(means[0], means[1])[0, 1]))
    return least


def _window(dy: int, dx: int) -> tuple[slice, slice]:
    """Part of a cell that the template covers when moved by dy, dx samples."""
    return (
        slice(_SLIP + dy, _SLIP + dy + _INNER),
        slice(_SLIP + dx, _SLIP + dx + _INNER),
    )


def weigh(
    image: Image, nodes: Array, basis: Basis, spot: Template, *, coarse: bool = False
) -> Cells:
    """Compare every position with the template.

    Parameters
    ----------
    image
        Gray image (h, w).
    nodes
        Positions (rows, cols, 2) in its pixels.
    basis
        Vectors of the lattice.
    spot
        Template.
    coarse
        Search the centre on every second sample only: enough to compare lattices.
    """
    shape = nodes.shape[:2]
    flat = nodes.reshape(-1, 2)
    h, w = image.shape
    inside = (
        (flat[:, 0] >= -0.5)
        & (flat[:, 1] >= -0.5)
        & (flat[:, 0] <= w - 0.5)
        & (flat[:, 1] <= h - 0.5)
    )
    cells = _level(sample(image, flat, basis))
    inner = spot.mean[_SLIP:-_SLIP, _SLIP:-_SLIP]
    unit = inner - inner.mean()
    power = float((unit**2).sum())
    if power <= 0:
        zero = np.zeros(shape)
        return Cells(nodes, inside.reshape(shape), zero, zero, np.zeros((*shape, 2)))
    shifts = [
        (dy, dx)
        for dy in range(-_SLIP, _SLIP + 1)
        for dx in range(-_SLIP, _SLIP + 1)
        if dy * dy + dx * dx <= _SLIP**2 and (not coarse or (dy % 2 == 0 and dx % 2 == 0))
    ]
    lookup = {s: i for i, s in enumerate(shifts)}
    windows = [_window(dy, dx) for dy, dx in shifts]
    bank = np.zeros((len(shifts), _SIDE, _SIDE), np.float32)
    for placed, window in zip(bank, windows, strict=True):
        placed[window] = unit
    product = (bank.reshape(len(shifts), -1) @ cells.reshape(len(flat), -1).T).astype(np.float64)
    near = np.array([dy * dy + dx * dx <= 9 for dy, dx in shifts])
    best = np.argmax(np.where(near[:, None], product, -np.inf), axis=0)
    each = np.arange(len(flat))
    contrast = product[best, each] / power
    norm = np.ones(len(flat))
    for i in np.unique(best):
        these = best == i
        norm[these] = cells[these][:, *windows[i]].reshape(int(these.sum()), -1).std(axis=1)
    norm = np.maximum(norm * _INNER, 1e-6)
    likeness = product[best, each] / (norm * np.sqrt(power))
    where = np.array(shifts, np.float64)[best]
    sub = where[:, ::-1].copy()
    for axis, step in ((0, (0, 1)), (1, (1, 0))):
        before = np.array([lookup.get((dy - step[0], dx - step[1]), -1) for dy, dx in shifts])
        after = np.array([lookup.get((dy + step[0], dx + step[1]), -1) for dy, dx in shifts])
        left, mid, right = (
            product[before[best], each],
            product[best, each],
            product[after[best], each],
        )
        bend = left - 2 * mid + right
        usable = (before[best] >= 0) & (after[best] >= 0) & (bend < 0)
        move = (left - right) / (2 * np.where(usable, bend, -1.0))
        sub[:, axis] += np.where(usable, np.clip(move, -0.5, 0.5), 0.0)
    shift = _STEP * (sub[:, :1] * basis.u + sub[:, 1:] * basis.v)
    return Cells(
        nodes,
        inside.reshape(shape),
        contrast.reshape(shape),
        likeness.reshape(shape),
        shift.reshape(*shape, 2),
    )


@dataclass(frozen=True)
class Odds:
    """Chances that a position shows a spot: in the grid, and by accident outside it.

    Attributes
    ----------
    occupied
        Mean part of the grid's positions that show a spot.
    accident
        Chance that a position outside shows one.
    agreement
        How alike rows are in that part, and columns: the sum of the two parameters of the
        beta distribution that the parts of single lines follow. Small where spots are missing
        line by line, large where they are missing one by one.
    """

    occupied: float
    accident: float
    agreement: tuple[float, float] = (_AGREEMENT, _AGREEMENT)

    def line(self, hits: Bools, inside: Bools, axis: int) -> float:
        """Log-likelihood ratio, in nats, of a row (`axis` 0) or column being part of the grid.

        A line of the grid has a part of its own that shows spots (beta-binomial), so that a
        sparse line is still told from accidents (binomial), and an empty one is no proof.
        """
        n = int(inside.sum())
        k = int((hits & inside).sum())
        a = self.occupied * self.agreement[axis]
        b = (1 - self.occupied) * self.agreement[axis]
        own = betaln(k + a, n - k + b) - betaln(a, b)
        chance = k * np.log(self.accident) + (n - k) * np.log(1 - self.accident)
        return float(np.clip(own - chance, -_CAP, _CAP))

    def sparse(self, hits: Bools, inside: Bools, axis: int) -> float:
        """Chance that a line of the grid shows so few spots, 0..1."""
        n = int(inside.sum())
        k = int((hits & inside).sum())
        a = self.occupied * self.agreement[axis]
        return float(betabinom.cdf(k, n, a, self.agreement[axis] - a))

    @classmethod
    def seen(cls, hits: Bools, inside: Bools, accident: float) -> Odds:
        """Chances as the positions (rows, cols) of a grid show them."""
        # The outermost lines are what is to be judged: they are no evidence of how lines are.
        core = np.s_[
            1 if hits.shape[0] > 3 else 0 : -1 if hits.shape[0] > 3 else None,
            1 if hits.shape[1] > 3 else 0 : -1 if hits.shape[1] > 3 else None,
        ]
        hits, inside = hits[core], inside[core]
        rate = float(np.clip(hits.sum() / max(inside.sum(), 1), 0.3, 0.97))
        agreement = tuple(_agreement(hits, inside, axis, rate) for axis in (0, 1))
        return cls(rate, accident, (agreement[0], agreement[1]))


def _agreement(hits: Bools, inside: Bools, axis: int, rate: float) -> float:
    """How alike the lines are, by moments, drawn towards the usual where lines are few."""
    n = np.maximum(inside.sum(axis=1 - axis), 1)
    if len(n) < _FEW or n.min() < _FEW:
        return _AGREEMENT
    part = hits.sum(axis=1 - axis) / n
    spread = rate * (1 - rate)
    more = float(((part - rate) ** 2 - spread / n).sum()) + 4 * spread / (_AGREEMENT + 1)
    return float(np.clip(spread * (len(part) + 4) / max(more, 1e-6) - 1, 1.5, 40.0))


@dataclass(frozen=True)
class Extent:
    """First and last row and column of the grid within a rectangle of cells."""

    row0: int
    row1: int
    col0: int
    col1: int

    @property
    def rows(self) -> int:
        return self.row1 - self.row0 + 1

    @property
    def cols(self) -> int:
        return self.col1 - self.col0 + 1

    def cut(self, values: npt.NDArray[Value]) -> npt.NDArray[Value]:
        """The part of `values` (rows, cols, …) in the extent."""
        return values[self.row0 : self.row1 + 1, self.col0 : self.col1 + 1]


def line_evidence(hits: Bools, inside: Bools, extent: Extent, odds: Odds) -> dict[str, float]:
    """Evidence, in nats, of the outermost lines inside and the next lines outside.

    Keys ``first_row``, ``last_row``, ``first_col``, ``last_col`` and the same with
    ``outer_`` in front; lines that lie off the image say nothing: 0.
    """
    e = extent
    cols = slice(e.col0, e.col1 + 1)
    rows = slice(e.row0, e.row1 + 1)

    def row(r: int) -> float:
        if not 0 <= r < hits.shape[0]:
            return 0.0
        return odds.line(hits[r, cols], inside[r, cols], 0)

    def col(c: int) -> float:
        if not 0 <= c < hits.shape[1]:
            return 0.0
        return odds.line(hits[rows, c], inside[rows, c], 1)

    return {
        "first_row": row(e.row0),
        "last_row": row(e.row1),
        "first_col": col(e.col0),
        "last_col": col(e.col1),
        "outer_first_row": row(e.row0 - 1),
        "outer_last_row": row(e.row1 + 1),
        "outer_first_col": col(e.col0 - 1),
        "outer_last_col": col(e.col1 + 1),
    }


def margins(lines: dict[str, float]) -> dict[str, float]:
    """How much worse, in nats, each one-step change of the grid explains the image."""
    out = {
        "shift_up": lines["last_row"] - lines["outer_first_row"],
        "shift_down": lines["first_row"] - lines["outer_last_row"],
        "shift_left": lines["last_col"] - lines["outer_first_col"],
        "shift_right": lines["first_col"] - lines["outer_last_col"],
    }
    for side in ("first_row", "last_row", "first_col", "last_col"):
        out[f"add_{side}"] = -lines[f"outer_{side}"]
        out[f"remove_{side}"] = lines[side]
    return out


def trim(hits: Bools, inside: Bools, extent: Extent, odds: Odds) -> Extent:
    """Drop outer lines that speak against being part of the grid, add those that speak for it.

    Up to three lines of one side are judged together: a stray beyond an empty line does not
    hold both.
    """
    e = extent
    for _ in range(4 * sum(hits.shape)):
        worst, least = 1, 0.0
        side = ""
        for one in SIDES:
            inner = e
            total = 0.0
            for count in range(1, 4):
                if (inner.rows if "row" in one else inner.cols) <= 2:
                    break
                total += line_evidence(hits, inside, inner, odds)[one] - _LINE
                inner = moved(inner, one, inward=True)
                if total < least:
                    worst, least, side = count, total, one
        if side:
            for _ in range(worst):
                e = moved(e, side, inward=True)
            continue
        lines = line_evidence(hits, inside, e, odds)
        best = max(SIDES, key=lambda one: lines[f"outer_{one}"])
        if lines[f"outer_{best}"] <= _LINE:
            break
        e = moved(e, best, inward=False)
    return e


def moved(e: Extent, side: str, *, inward: bool) -> Extent:
    """The extent with one side (``first_row`` …) moved by one line."""
    step = 1 if inward else -1
    return {
        "first_row": Extent(e.row0 + step, e.row1, e.col0, e.col1),
        "last_row": Extent(e.row0, e.row1 - step, e.col0, e.col1),
        "first_col": Extent(e.row0, e.row1, e.col0 + step, e.col1),
        "last_col": Extent(e.row0, e.row1, e.col0, e.col1 - step),
    }[side]

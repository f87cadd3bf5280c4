"""Lattices: from candidate spots to rows and columns.

The displacement vectors between neighbouring candidates pile up at the two vectors of the
lattice, whatever is missing or false. Indices then spread from candidate to candidate along
those vectors, a smooth model is fitted robustly to the largest connected part, and the model
grows outwards node by node. Parts that stand apart by a gap that is no multiple of the pitch
become blocks of the same grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components
from scipy.spatial import cKDTree

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

# Distance at which a candidate belongs to a node, in pitches.
REACH = 0.25
# A line gap that differs from the pitch by this much parts two blocks.
_BLOCK_STEP = 0.19
_QUADRATIC_RIDGE = 2.0


@dataclass(frozen=True)
class Basis:
    """Vectors from a spot to its neighbour in the next column (u) and the next row (v)."""

    u: Array
    v: Array

    @property
    def matrix(self) -> Array:
        """Columns u and v, (2, 2)."""
        return np.column_stack([self.u, self.v])

    @property
    def pitch(self) -> float:
        """The shorter of the two spacings, in pixels."""
        return float(min(np.hypot(*self.u), np.hypot(*self.v)))


@dataclass(frozen=True)
class Limits:
    """What is known of the lattice before looking.

    Attributes
    ----------
    angle, tolerance
        Expected rotation and how far it may be off, in degrees.
    pitch
        Expected spacing of columns and rows, in pixels; None where unknown.
    slack
        How far the pitch may be off, as a fraction.
    """

    angle: float = 0.0
    tolerance: float = 15.0
    pitch: tuple[float, float] | None = None
    slack: float = 0.12


@dataclass(frozen=True)
class Lattice:
    """A lattice fitted to candidates.

    Attributes
    ----------
    index
        Column and row of each member, (m, 2).
    member
        Which candidates are members, (m,) indices.
    coef
        Coefficients of the model's terms, (k, 2).
    centre, span
        Middle and half extent of the indices, which the terms are scaled by.
    steps_x, steps_y
        Columns (rows) that begin a new block after a gap.
    offset_x, offset_y
        Displacement of single columns (rows) from the model, by index.
    rms
        Distance of the members from their nodes, root mean square in pitches.
    """

    index: Index
    member: Index
    coef: Array
    centre: Array
    span: Array
    steps_x: tuple[int, ...] = ()
    steps_y: tuple[int, ...] = ()
    rms: float = 0.0
    offset_x: dict[int, Array] = field(default_factory=dict)
    offset_y: dict[int, Array] = field(default_factory=dict)

    def predict(self, col: npt.ArrayLike, row: npt.ArrayLike) -> Array:
        """Positions (n, 2) of nodes, in pixels; indices may lie outside the members."""
        cols, rows = np.broadcast_arrays(np.asarray(col), np.asarray(row))
        shape = cols.shape
        index = np.column_stack([cols.ravel(), rows.ravel()])
        where = self._terms(index) @ self.coef
        for axis, offsets in ((0, self.offset_x), (1, self.offset_y)):
            for line, offset in offsets.items():
                where[index[:, axis] == line] += offset
        return where.reshape(*shape, 2)

    def _terms(self, index: Index) -> Array:
        return terms(index, self.centre, self.span, self.steps_x, self.steps_y)

    @property
    def bounds(self) -> tuple[int, int, int, int]:
        """First and last column, first and last row of the members."""
        low, high = self.index.min(axis=0), self.index.max(axis=0)
        return int(low[0]), int(high[0]), int(low[1]), int(high[1])

    @property
    def basis(self) -> Basis:
        """Mean step from column to column and from row to row at the middle."""
        s = self.span
        return Basis(self.coef[1] / s[0], self.coef[2] / s[1])


def terms(
    index: Index,
    centre: Array,
    span: Array,
    steps_x: Sequence[int],
    steps_y: Sequence[int],
) -> Array:
    """Design matrix (n, k): constant, column, row, three quadratic terms, block steps."""
    i = (index[:, 0] - centre[0]) / span[0]
    j = (index[:, 1] - centre[1]) / span[1]
    columns = [np.ones_like(i), i, j, i * i, i * j, j * j]
    columns += [(index[:, 0] >= k).astype(float) for k in steps_x]
    columns += [(index[:, 1] >= k).astype(float) for k in steps_y]
    return np.column_stack(columns)


# ---------------------------------------------------------------- basis


def find_bases(points: Array, limits: Limits, best: int = 3) -> list[tuple[float, Basis]]:
    """Vector pairs that many candidates agree on, best first, each with its support.

    Parameters
    ----------
    points
        Candidates, (n, 2).
    limits
        Bounds of rotation and pitch.
    best
        How many to return at most.

    Returns
    -------
    Pairs of support (mean part of the four neighbours that each candidate has, less what
    chance gives) and basis.
    """
    n = len(points)
    if n < 4:
        return []
    tree = cKDTree(points)
    k = min(14, n)
    _, near = tree.query(points, k=k)
    d = (points[near[:, 1:]] - points[:, None, :]).reshape(-1, 2)
    horizontal = _modes(d, limits, 0)
    vertical = _modes(d, limits, 1)
    extent = points.max(axis=0) - points.min(axis=0)
    density = n / max(float(extent[0] * extent[1]), 1.0)
    found = []
    for u in horizontal:
        for v in vertical:
            basis = Basis(u, v)
            lu, lv = np.hypot(*u), np.hypot(*v)
            cosine = abs(float(u @ v)) / (lu * lv)
            if cosine > np.sin(np.radians(6)) or not 1 / 3 < lu / lv < 3:
                continue
            found.append((_support(points, tree, basis, density), basis))
    found.sort(key=lambda pair: -pair[0])
    return found[:best]


def _modes(d: Array, limits: Limits, axis: int, best: int = 4) -> list[Array]:
    """Most frequent displacement vectors near an axis, by votes over length and angle."""
    if axis == 0:
        d = np.where(d[:, :1] < 0, -d, d)
        angle = np.degrees(np.arctan2(d[:, 1], d[:, 0]))
    else:
        d = np.where(d[:, 1:] < 0, -d, d)
        angle = np.degrees(np.arctan2(-d[:, 0], d[:, 1]))
    length = np.hypot(d[:, 0], d[:, 1])
    off = angle - limits.angle
    keep = (np.abs(off) <= limits.tolerance + 1.5) & (length > 2)
    if limits.pitch is not None:
        keep &= np.abs(length / limits.pitch[axis] - 1) <= limits.slack
    if keep.sum() < 2:
        return []
    d, length, off = d[keep], length[keep], off[keep]
    log = np.log(length)
    bins_l = np.arange(log.min() - 0.1, log.max() + 0.15, 0.025)
    edge = limits.tolerance + 3
    bins_a = np.arange(-edge, edge + 0.5, 0.5)
    votes, _, _ = np.histogram2d(log, off, bins=(bins_l, bins_a))
    smooth = gaussian_filter(votes, (1.5, 3.0), mode="constant")
    modes: list[Array] = []
    for _ in range(best):
        top = np.unravel_index(int(np.argmax(smooth)), smooth.shape)
        if smooth[top] <= 0:
            break
        at_l = bins_l[top[0]] + 0.0125
        at_a = bins_a[top[1]] + 0.25
        member = (np.abs(log - at_l) < 0.1) & (np.abs(off - at_a) < 5)
        if member.sum() >= 2:
            modes.append(np.median(d[member], axis=0))
        near = (np.abs(bins_l[:-1] + 0.0125 - at_l) < 0.15)[:, None]
        smooth = np.where(near & (np.abs(bins_a[:-1] + 0.25 - at_a) < 8)[None, :], 0, smooth)
    return modes


def _support(points: Array, tree: cKDTree, basis: Basis, density: float) -> float:
    reach = 0.16 * basis.pitch
    hits = 0.0
    for step in (basis.u, -basis.u, basis.v, -basis.v):
        distance, _ = tree.query(points + step, distance_upper_bound=reach)
        hits += float(np.isfinite(distance).mean()) / 4
    chance = min(density * np.pi * reach**2, 0.9)
    return (hits - chance) / (1 - chance)


# ---------------------------------------------------------------- indices

_STEPS = np.array([(1, 0), (0, 1), (1, 1), (1, -1), (2, 0), (0, 2)])


def propagate(points: Array, basis: Basis) -> tuple[Index, Index]:
    """Spread integer indices along the lattice vectors.

    Returns
    -------
    Part that each candidate belongs to, (n,), and its column and row within that part, (n, 2).
    """
    n = len(points)
    unit = np.linalg.solve(basis.matrix, points.T).T
    tree = cKDTree(unit)
    a, b, code = [], [], []
    for number, step in enumerate(_STEPS, start=1):
        distance, target = tree.query(unit + step, distance_upper_bound=REACH)
        source = np.nonzero(np.isfinite(distance))[0]
        # Of several sources for one target, the nearest is right.
        order = np.lexsort((distance[source], target[source]))
        source = source[order]
        _, first = np.unique(target[source], return_index=True)
        source = source[first]
        a.append(source)
        b.append(target[source])
        code.append(np.full(len(source), number))
    rows, cols, codes = np.concatenate(a), np.concatenate(b), np.concatenate(code)
    forward = csr_matrix((codes, (rows, cols)), shape=(n, n))
    symmetric = (forward != 0).astype(np.int8)
    graph = symmetric + symmetric.T
    count, part = connected_components(graph, directed=False)
    step_of = {(int(r), int(c)): _STEPS[k - 1] for r, c, k in zip(rows, cols, codes, strict=True)}
    index = np.zeros((n, 2), np.int64)
    degree = np.asarray(graph.sum(axis=1)).ravel()
    for label in range(count):
        members = np.nonzero(part == label)[0]
        if len(members) < 2:
            continue
        start = int(members[int(np.argmax(degree[members]))])
        order, before = breadth_first_order(graph, start, directed=False)
        for node in order[1:]:
            previous = int(before[node])
            step = step_of.get((previous, int(node)))
            if step is None:
                step = -step_of[(int(node), previous)]
            index[node] = index[previous] + step
    return part.astype(np.int64), index


# ---------------------------------------------------------------- fit


def fit(
    points: Array,
    member: Index,
    index: Index,
    steps_x: Sequence[int] = (),
    steps_y: Sequence[int] = (),
) -> Lattice:
    """Robust least squares of the model to members with known indices (Tukey weights).

    Quadratic terms, which follow perspective and lens distortion, are held back by a ridge
    unless the members speak clearly for them.
    """
    xy = points[member]
    low, high = index.min(axis=0), index.max(axis=0)
    centre = (low + high) / 2
    span = np.maximum((high - low) / 2, 1.0)
    design = terms(index, centre, span, steps_x, steps_y)
    rough = len(member) < 12 or min(high - low) < 2
    penalty = np.full(design.shape[1], 1e-9)
    penalty[3:6] = 1e6 if rough else _QUADRATIC_RIDGE
    weight = np.ones(len(member))
    coef = np.zeros((design.shape[1], 2))
    pitch = 1.0
    for _ in range(6):
        gram = design.T @ (weight[:, None] * design) + np.diag(penalty)
        coef = np.linalg.solve(gram, design.T @ (weight[:, None] * xy))
        u, v = coef[1] / span[0], coef[2] / span[1]
        pitch = max(min(np.hypot(*u), np.hypot(*v)), 1e-6)
        residual = np.hypot(*(xy - design @ coef).T) / pitch
        scale = max(4.7 * 1.2 * float(np.median(residual)), 0.04)
        weight = np.clip(1 - (residual / scale) ** 2, 0, None) ** 2 + 1e-6
    inside = residual < max(scale, 0.05)
    rms = float(np.sqrt(np.mean(residual[inside] ** 2))) if inside.any() else 1.0
    return Lattice(
        index, member, np.asarray(coef), centre, span, tuple(steps_x), tuple(steps_y), rms
    )


def grow(points: Array, lattice: Lattice, limit: int = 2, rounds: int = 30) -> Lattice:
    """Take in the candidates that lie on nodes up to `limit` lines outside, and refit.

    One candidate a node and one node a candidate: the nearest.
    """
    tree = cKDTree(points)
    previous: tuple[bytes, bytes] | None = None
    for _ in range(rounds):
        c0, c1, r0, r1 = lattice.bounds
        if (c1 - c0) * (r1 - r0) > 60_000:
            break
        cols, rows = np.meshgrid(
            np.arange(c0 - limit, c1 + limit + 1), np.arange(r0 - limit, r1 + limit + 1)
        )
        cols, rows = cols.ravel(), rows.ravel()
        nodes = lattice.predict(cols, rows)
        distance, nearest = tree.query(nodes, distance_upper_bound=REACH * lattice.basis.pitch)
        hit = np.nonzero(np.isfinite(distance))[0]
        hit = hit[np.lexsort((distance[hit], nearest[hit]))]
        _, first = np.unique(nearest[hit], return_index=True)
        hit = np.sort(hit[first])
        if len(hit) < 4:
            return lattice
        index = np.column_stack([cols[hit], rows[hit]])
        if np.ptp(index[:, 0]) == 0 or np.ptp(index[:, 1]) == 0:
            return lattice
        key = (index.tobytes(), nearest[hit].tobytes())
        if key == previous:
            break
        previous = key
        lattice = fit(points, nearest[hit], index, lattice.steps_x, lattice.steps_y)
    return lattice


def refit(lattice: Lattice, index: Index, centres: Array) -> Lattice:
    """The same lattice through measured centres (n, 2) of spots with known indices (n, 2)."""
    order = np.arange(len(centres))
    again = fit(centres, order, index, lattice.steps_x, lattice.steps_y)
    return with_offsets(centres, again)


def build(points: Array, basis: Basis) -> Lattice | None:
    """Lattice over the candidates from a basis: propagate, fit, grow, join blocks."""
    part, index = propagate(points, basis)
    sizes = np.bincount(part)
    main = int(np.argmax(sizes))
    if sizes[main] < 4:
        return None
    member = np.nonzero(part == main)[0]
    if np.ptp(index[member, 0]) == 0 or np.ptp(index[member, 1]) == 0:
        return None
    lattice = grow(points, _without_doubles(points, fit(points, member, index[member])))
    joined = _join_blocks(points, lattice, part, index)
    if joined is not None and len(joined.member) > len(lattice.member):
        lattice = joined
    split = _split_at_steps(points, lattice)
    return with_offsets(points, split)


def _without_doubles(points: Array, lattice: Lattice) -> Lattice:
    """Keep the nearest of several members on one node."""
    distance = np.hypot(*(points[lattice.member] - lattice.predict(*lattice.index.T)).T)
    order = np.lexsort((distance, lattice.index[:, 1], lattice.index[:, 0]))
    _, first = np.unique(lattice.index[order], axis=0, return_index=True)
    keep = np.sort(order[first])
    return fit(points, lattice.member[keep], lattice.index[keep])


def _join_blocks(points: Array, lattice: Lattice, part: Index, index: Index) -> Lattice | None:
    """One grid of all parts that share the vectors but stand apart by gaps."""
    rest = np.setdiff1d(np.arange(len(points)), lattice.member)
    sizes = np.bincount(part[rest], minlength=part.max() + 1)
    parts = [p for p in range(len(sizes)) if sizes[p] >= 4]
    if not parts or sum(sizes[p] for p in parts) < 0.06 * len(lattice.member):
        return None
    b = lattice.basis
    origin = lattice.predict(0, 0)
    unit = np.linalg.solve(b.matrix, (points - origin).T).T
    groups = [lattice.member] + [rest[part[rest] == p] for p in parts]
    local = [lattice.index] + [index[g] for g in groups[1:]]
    place = []
    for group, own in zip(groups, local, strict=True):
        phase = np.median(unit[group] - own, axis=0)
        fits = np.median(np.abs(unit[group] - own - phase)) <= 0.12
        place.append((group, own) if fits else (group[:0], own[:0]))
    line_of = []
    steps = []
    for axis in (0, 1):
        lines = [
            (float(np.median(unit[group[own[:, axis] == line], axis])), number, int(line))
            for number, (group, own) in enumerate(place)
            for line in np.unique(own[:, axis])
        ]
        numbered = _number_lines(lines) if lines else None
        if numbered is None:
            return None
        line_of.append(numbered[0])
        steps.append(numbered[1])
    if not steps[0] and not steps[1]:
        return None
    members, indices = [], []
    for number, (group, own) in enumerate(place):
        for point, (c, r) in zip(group, own, strict=True):
            members.append(point)
            indices.append((line_of[0][number, int(c)], line_of[1][number, int(r)]))
    joined = fit(points, np.array(members), np.array(indices), steps[0], steps[1])
    return grow(points, joined)


def _number_lines(
    lines: list[tuple[float, int, int]],
) -> tuple[dict[tuple[int, int], int], list[int]] | None:
    """Number lines by position; gaps that are no multiple of the pitch begin a block."""
    lines = sorted(lines)
    number = 0
    last = lines[0][0]
    total, weight = last, 1
    numbered = {(lines[0][1], lines[0][2]): 0}
    steps: list[int] = []
    for position, part, line in lines[1:]:
        gap = position - last
        if gap < 0.35:
            total, weight = total + position, weight + 1
            last = total / weight
        elif gap < 0.72:
            return None
        else:
            off = gap - round(gap)
            if abs(off) > _BLOCK_STEP:
                number += max(1, int(np.floor(gap - _BLOCK_STEP)))
                steps.append(number)
            else:
                number += max(1, round(gap))
            last, total, weight = position, position, 1
        numbered[(part, line)] = number
    return numbered, steps


def _split_at_steps(points: Array, lattice: Lattice) -> Lattice:
    """Make blocks where the fit had to stretch or squeeze over a gap that is no whole pitch."""
    index = lattice.index.copy()
    found: list[list[int]] = []
    for axis in (0, 1):
        gaps = _line_gaps(points, lattice, axis)
        shift = dict.fromkeys(gaps, 0)
        steps = []
        known = lattice.steps_x if axis == 0 else lattice.steps_y
        moved = 0
        lines = sorted(gaps)
        for n, line in enumerate(lines):
            gap, jump = gaps[line]
            calm = all(
                abs(gaps[m][0] - gaps[m][1]) < 0.1
                for m in lines[max(n - 1, 0) : n + 2]
                if m != line
            )
            edge = n < 1 or len(lines) - n < 2
            if line in known:
                steps.append(line + moved)
            elif abs(gap - round(gap)) > _BLOCK_STEP and gap > 1 and calm and not edge:
                moved += max(1, int(np.floor(gap - _BLOCK_STEP))) - jump
                steps.append(line + moved)
            shift[line] = moved
        found.append(steps)
        index[:, axis] += np.array([shift.get(int(k), 0) for k in lattice.index[:, axis]])
    if found[0] == list(lattice.steps_x) and found[1] == list(lattice.steps_y):
        return lattice
    better = grow(points, fit(points, lattice.member, index, found[0], found[1]))
    return better if better.rms < 0.9 * lattice.rms else lattice


def _line_gaps(points: Array, lattice: Lattice, axis: int) -> dict[int, tuple[float, int]]:
    """Gap before each line that has members, in usual spacings, and as counted by index.

    Gaps are measured between members of the same row (column), so that rotation and bends
    do not matter.
    """
    basis = lattice.basis
    vector = basis.u if axis == 0 else basis.v
    along = points[lattice.member] @ (vector / np.hypot(*vector))
    line, other = lattice.index[:, axis], lattice.index[:, 1 - axis]
    lines, at_line = np.unique(line, return_inverse=True)
    others, at_other = np.unique(other, return_inverse=True)
    position = np.full((len(others), len(lines)), np.nan)
    position[at_other, at_line] = along
    raw: dict[int, tuple[float, int]] = {}
    for n in range(1, len(lines)):
        steps = position[:, n] - position[:, n - 1]
        steps = steps[np.isfinite(steps)]
        if len(steps) >= 2:
            raw[int(lines[n])] = (float(np.median(steps)), int(lines[n] - lines[n - 1]))
    single = [gap for gap, jump in raw.values() if jump == 1]
    if len(single) < 3:
        return {}
    usual = float(np.median(single))
    return {line: (gap / usual, jump) for line, (gap, jump) in raw.items()}


def with_offsets(points: Array, lattice: Lattice) -> Lattice:
    """Add what whole columns and rows deviate from the model, shrunk where few members speak.

    Pins and cutters place whole lines a little off; the offset of a line is its mean residual
    times n / (n + 4).
    """
    residual = points[lattice.member] - lattice.predict(*lattice.index.T)
    offsets: list[dict[int, Array]] = []
    for axis in (0, 1):
        own: dict[int, Array] = {}
        for line in np.unique(lattice.index[:, axis]):
            at = lattice.index[:, axis] == line
            mean = np.median(residual[at], axis=0) * at.sum() / (at.sum() + 4)
            own[int(line)] = mean
            residual[at] -= mean
        offsets.append(own)
    distance = np.hypot(*residual.T) / lattice.basis.pitch
    rms = float(np.sqrt(np.mean(np.minimum(distance, REACH) ** 2)))
    return Lattice(
        lattice.index,
        lattice.member,
        lattice.coef,
        lattice.centre,
        lattice.span,
        lattice.steps_x,
        lattice.steps_y,
        rms,
        offsets[0],
        offsets[1],
    )

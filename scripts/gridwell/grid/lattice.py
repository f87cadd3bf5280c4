"""Lattices: from candidate spots to rows and columns.

Displacements between neighbouring candidates pile up at the two vectors of the lattice, whatever
is missing or false. From a place where they agree, a patch of the lattice grows node by node,
each node predicted from the nodes around it: rotation, perspective, bends and stitching need no
model of their own. Patches that share the vectors are joined, gaps that are no multiple of the
pitch part blocks, and a smooth model through all members places every node, seen or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, maximum_filter
from scipy.spatial import cKDTree

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# Distance at which a candidate belongs to a node, in pitches.
REACH = 0.28
# Neighbours of a candidate whose displacements vote for the vectors.
_NEIGHBOURS = 18
_MOST_PAIRS = 16_000
_SCREENED = 3000
# Rows and columns of a carrier stand upright on each other, but for shear and perspective.
_UPRIGHT = 15.0
_MOST_ANISOTROPIC = 2.2
# Width of the neighbourhood that predicts a node, in nodes, and pull towards the mean vectors.
_NEAR = 1.6
_RIDGE = 6.0
_SUPPORT = 1.25
# Widths tried for the smooth model of the whole grid; infinite is the plain polynomial.
_WIDTHS = (np.inf, 5.0, 2.8, 1.6)
# Least and largest difference of a gap from whole pitches that parts blocks: by how exact it is.
_BLOCK_STEP = (0.08, 0.14)
_WIDEST_GAP = 3.3
_WIDEST_JUMP = 30.0
# Gaps of about one width differ by less, in pitches.
_ALIKE = 0.25
# Times the least difference from whole pitches that is still a close call.
_CLOSE = 1.6
_MOST_LINES = 140
# What is left of the gain of a lattice of which every second line is empty.
_HALF = 0.4


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

    @property
    def area(self) -> float:
        """Of a cell of the lattice, in square pixels."""
        return float(abs(self.u[0] * self.v[1] - self.u[1] * self.v[0]))


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
    tolerance: float = 45.0
    pitch: tuple[float, float] | None = None
    slack: float = 0.12

    def admit(self, basis: Basis) -> bool:
        """Say whether a basis lies within the bounds."""
        lengths = (np.hypot(*basis.u), np.hypot(*basis.v))
        turned = (_angle(basis) - self.angle + 180) % 360 - 180
        if abs(turned) > self.tolerance + 1.5:
            return False
        return self.pitch is None or all(
            abs(length / told - 1) <= self.slack
            for length, told in zip(lengths, self.pitch, strict=True)
        )


def _angle(basis: Basis) -> float:
    """Rotation in degrees that both vectors agree on."""
    along = complex(*basis.u) / np.hypot(*basis.u) + complex(basis.v[1], -basis.v[0]) / np.hypot(
        *basis.v
    )
    return float(np.degrees(np.angle(along)))


@dataclass(frozen=True)
class Lattice:
    """A lattice fitted to candidates.

    Attributes
    ----------
    index
        Column and row of each member, (m, 2).
    member
        Which candidates are members, (m,) indices.
    where
        Positions of the members, (m, 2).
    coef
        Coefficients of the polynomial, (k, 2): constant, column, row, bends, block steps.
    centre, span
        Middle and half extent of the indices, which the terms are scaled by.
    bent
        Whether the polynomial has its three terms of second order.
    width
        Width of the neighbourhood, in nodes, whose deviation from the polynomial a node follows.
    steps_x, steps_y
        Columns (rows) that begin a new block after a gap.
    offset_x, offset_y
        Displacement of single columns (rows) from the model, by index.
    rms
        Distance of the members from their nodes, root mean square in pitches.
    gain
        How much better than chance the lattice explains all candidates, in nats.
    sparse
        Largest filled part of a line that was taken for strays in a gap between blocks.
    unclear
        Whether a gap that parts blocks could as well be an empty line a little off its place.
    """

    index: Index
    member: Index
    where: Array
    coef: Array
    centre: Array
    span: Array
    bent: bool = False
    width: float = np.inf
    steps_x: tuple[int, ...] = ()
    steps_y: tuple[int, ...] = ()
    rms: float = 0.0
    gain: float = 0.0
    sparse: float = 0.0
    unclear: bool = False
    offset_x: dict[int, Array] = field(default_factory=dict)
    offset_y: dict[int, Array] = field(default_factory=dict)

    def predict(self, col: npt.ArrayLike, row: npt.ArrayLike) -> Array:
        """Positions (…, 2) of nodes, in pixels; indices may lie outside the members."""
        cols, rows = np.broadcast_arrays(np.asarray(col), np.asarray(row))
        shape = cols.shape
        index = np.column_stack([cols.ravel(), rows.ravel()]).astype(np.int64)
        where = self._smooth(index)
        for axis, offsets in ((0, self.offset_x), (1, self.offset_y)):
            for line, offset in offsets.items():
                where[index[:, axis] == line] += offset
        return where.reshape(*shape, 2)

    def _smooth(self, index: Index) -> Array:
        where: Array = self._terms(index) @ self.coef
        if np.isfinite(self.width):
            bend = self.where - self._terms(self.index) @ self.coef
            where = where + _follow(self.index, bend, index, self.width)
        return where

    def _terms(self, index: Index) -> Array:
        """Design matrix (n, k): constant, column, row, three quadratic terms, block steps."""
        i, j = ((index - self.centre) / self.span).T
        columns = [np.ones_like(i), i, j]
        if self.bent:
            columns += [i * i, i * j, j * j]
        columns += [(index[:, 0] >= k).astype(float) for k in self.steps_x]
        columns += [(index[:, 1] >= k).astype(float) for k in self.steps_y]
        return np.column_stack(columns)

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


# ---------------------------------------------------------------- basis


def find_bases(points: Array, limits: Limits, best: int = 4) -> list[tuple[float, Basis]]:
    """Vector pairs that explain the displacements between neighbours, best first.

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
    Pairs of score and basis. The score is the mean log-likelihood ratio, in nats, of the
    displacements under the lattice against evenly spread points: the density of a lattice
    with small cells is small, so that half a lattice does not win over the whole one.
    """
    d = _displacements(points)
    if len(d) < 6:
        return []
    few = d[:: max(1, len(d) // _SCREENED)]
    screened = [_likelihood(few, basis, rounds=3) for basis in _pairs(_peaks(d))]
    screened.sort(key=lambda pair: -pair[0])
    found: list[tuple[float, Basis]] = []
    for _, first in screened[: best + 2]:
        if first is not None:
            _add(found, d, first)
    for _, basis in sorted(found, key=lambda pair: -pair[0])[:2]:
        for other in _relatives(basis):
            _add(found, d, other)
    found.sort(key=lambda pair: -pair[0])
    distinct: list[tuple[float, Basis]] = []
    for score, basis in found:
        turned = _upright(basis, limits.angle)
        if turned is None or not limits.admit(turned):
            continue
        if all(_differ(turned, other) for _, other in distinct):
            distinct.append((score, turned))
        if len(distinct) == best:
            break
    return distinct


def _add(found: list[tuple[float, Basis]], d: Array, basis: Basis) -> None:
    score, better = _likelihood(d, basis)
    if better is not None and score > 0.02:
        found.append((score, better))


def _displacements(points: Array) -> Array:
    """From each candidate to its neighbours, (m, 2), in the half plane x >= 0."""
    n = len(points)
    if n < 4:
        return np.empty((0, 2))
    k = min(_NEIGHBOURS + 1, n)
    _, near = cKDTree(points).query(points, k=k)
    every = max(1, n * (k - 1) // _MOST_PAIRS)
    d = (points[near[::every, 1:]] - points[::every, None, :]).reshape(-1, 2)
    flip = (d[:, 0] < 0) | ((d[:, 0] == 0) & (d[:, 1] < 0))
    return np.where(flip[:, None], -d, d)


def _peaks(d: Array, count: int = 14) -> Array:
    """Vectors (k, 2) at which displacements pile up."""
    reach = float(np.quantile(np.hypot(d[:, 0], d[:, 1]), 0.8))
    bins = 61
    both = np.concatenate([d, -d]) / reach
    both = both[np.abs(both).max(axis=1) < 1]
    votes, _, _ = np.histogram2d(both[:, 0], both[:, 1], bins=2 * bins + 1, range=[[-1, 1]] * 2)
    smooth = gaussian_filter(votes, 2.2, mode="constant")
    smooth -= gaussian_filter(votes, 9.0, mode="constant")
    axis = np.linspace(-1, 1, 4 * bins + 3)[1::2]
    radius = np.hypot(axis[:, None], axis[None, :])
    top = (smooth == maximum_filter(smooth, 7)) & (smooth > 0) & (radius > 0.12)
    x, y = np.nonzero(top)
    keep = (axis[x] > 0) | ((axis[x] == 0) & (axis[y] > 0))
    x, y = x[keep], y[keep]
    order = np.argsort(-smooth[x, y], kind="stable")[:count]
    return np.column_stack([axis[x[order]], axis[y[order]]]) * reach


def _pairs(peaks: Array) -> list[Basis]:
    """All pairs of peaks that could be the sides of a cell."""
    out = []
    for a in range(len(peaks)):
        for b in range(a + 1, len(peaks)):
            u, v = peaks[a], peaks[b]
            lu, lv = np.hypot(*u), np.hypot(*v)
            if max(lu, lv) > _MOST_ANISOTROPIC * min(lu, lv):
                continue
            if abs(float(u @ v)) < np.sin(np.radians(_UPRIGHT)) * lu * lv:
                out.append(Basis(u, v))
    return out


def _relatives(basis: Basis) -> list[Basis]:
    """Lattices of half and twice the cell, which are easily taken for the right one."""
    u, v = basis.u, basis.v
    return [
        Basis(u / 2, v),
        Basis(u, v / 2),
        Basis((u + v) / 2, (u - v) / 2),
        Basis(2 * u, v),
        Basis(u, 2 * v),
        Basis(u + v, u - v),
        Basis(u / 2, v / 2),
    ]


def _likelihood(d: Array, basis: Basis, rounds: int = 7) -> tuple[float, Basis | None]:
    """Fit vectors to displacements and return their mean log-likelihood ratio.

    A share w of the displacements scatters around whole multiples of the vectors, the rest is
    spread evenly over the cell.
    """
    matrix = basis.matrix
    x, y = d[:, 0], d[:, 1]
    score, w, spread = 0.0, 0.5, 0.15
    for _ in range(rounds):
        (a, b), (c, e) = matrix
        determinant = a * e - b * c
        shortest = min(np.hypot(a, c), np.hypot(b, e))
        if abs(determinant) < 1 or shortest < 2:
            return 0.0, None
        i = np.rint((e * x - b * y) / determinant)
        j = np.rint((a * y - c * x) / determinant)
        variance = (spread * shortest) ** 2
        square = (x - a * i - b * j) ** 2 + (y - c * i - e * j) ** 2
        peak = w * abs(determinant) / (2 * np.pi * variance)
        bell = peak * np.exp(square * (-0.5 / variance))
        far = i * i + j * j
        bell[far == 0] = 0.0
        mixed = bell + (1 - w)
        score = float(np.log(mixed).mean())
        share = bell / mixed
        total = max(float(share.sum()), 1e-9)
        w = float(np.clip(total / len(d), 0.02, 0.98))
        spread = float(np.sqrt(share @ square / (2 * total)) / shortest)
        spread = float(np.clip(spread, 0.02, 0.22))
        near = share / (1 + far)
        ni, nj = near * i, near * j
        ii, ij, jj = ni @ i, ni @ j, nj @ j
        if ii * jj - ij * ij <= 1e-8 * max(ii, jj) ** 2:
            return 0.0, None
        right = np.array([[ni @ x, ni @ y], [nj @ x, nj @ y]])
        matrix = np.linalg.solve(np.array([[ii, ij], [ij, jj]]), right).T
    u, v = matrix[:, 0], matrix[:, 1]
    lu, lv = float(np.hypot(*u)), float(np.hypot(*v))
    cosine = abs(float(u @ v)) / max(lu * lv, 1e-9)
    if cosine > np.sin(np.radians(_UPRIGHT + 2)):
        return 0.0, None
    if not 1 / _MOST_ANISOTROPIC < lu / max(lv, 1e-9) < _MOST_ANISOTROPIC:
        return 0.0, None
    # Cells are more often square than not.
    return score - 0.01 * abs(np.log(lu / lv)) - 0.02 * cosine, Basis(u, v)


def _upright(basis: Basis, about: float) -> Basis | None:
    """The same lattice with u pointing right and v down, both within 45 degrees of `about`."""
    best, least = None, np.inf
    for u, v in ((basis.u, basis.v), (basis.v, basis.u)):
        for su in (1, -1):
            for sv in (1, -1):
                turned = Basis(su * u, sv * v)
                if turned.u[0] * turned.v[1] <= turned.u[1] * turned.v[0]:
                    continue
                off = abs((_angle(turned) - about + 180) % 360 - 180)
                if off < least - 1e-9:
                    best, least = turned, off
    return best


def _differ(a: Basis, b: Basis) -> bool:
    return max(np.hypot(*(a.u - b.u)), np.hypot(*(a.v - b.v))) > 0.08 * b.pitch


# ---------------------------------------------------------------- growth


def _moments(weight: Array, value: Array, width: float) -> tuple[Array, Array]:
    """Weighted sums over the neighbourhood of each node for a local linear fit.

    Parameters
    ----------
    weight
        1 at members, else 0, (h, w).
    value
        Their deviation, (h, w, 2); 0 elsewhere.
    width
        Standard deviation of the neighbourhood's bell, in nodes.

    Returns
    -------
    Normal matrices (h, w, 3, 3) and right sides (h, w, 3, 2) of constant, column and row.
    """
    radius = int(np.ceil(2.6 * width))
    t = np.arange(-radius, radius + 1, dtype=np.float64)
    bell = np.exp(-0.5 * (t / width) ** 2)
    kernels = (bell, bell * t, bell * t * t)

    def sums(image: Array, across: int, down: int) -> Array:
        x, y = kernels[across], kernels[down]
        out = cv2.sepFilter2D(image, cv2.CV_64F, x, y, borderType=cv2.BORDER_CONSTANT)
        return np.asarray(out, np.float64)

    normal = np.empty((*weight.shape, 3, 3))
    right = np.empty((*weight.shape, 3, 2))
    powers = ((0, 0), (1, 0), (0, 1))
    for a, (xa, ya) in enumerate(powers):
        for b, (xb, yb) in enumerate(powers):
            if b >= a:
                normal[..., a, b] = normal[..., b, a] = sums(weight, xa + xb, ya + yb)
        for c in (0, 1):
            right[..., a, c] = sums(np.ascontiguousarray(value[..., c]), xa, ya)
    return normal, right


def _follow(
    member: Index, bend: Array, index: Index, width: float, *, alone: bool = False
) -> Array:
    """Deviation (n, 2) at the nodes `index` from that of the members around them.

    Parameters
    ----------
    member, bend
        Indices (m, 2) and deviations (m, 2) of the members.
    index
        Nodes, (n, 2); far from all members the deviation fades to that of wider neighbourhoods.
    width
        Of the neighbourhood, in nodes.
    alone
        Leave out of each node's neighbourhood the member on the node itself.
    """
    low = np.minimum(member.min(axis=0), index.min(axis=0))
    high = np.maximum(member.max(axis=0), index.max(axis=0))
    shape = (int(high[1] - low[1] + 1), int(high[0] - low[0] + 1))
    weight = np.zeros(shape)
    value = np.zeros((*shape, 2))
    mc, mr = (member - low).T
    weight[mr, mc] = 1.0
    value[mr, mc] = bend
    c, r = (index - low).T
    out = np.zeros((len(index), 2))
    open_ = np.ones(len(index), bool)
    while open_.any():
        normal, right = _moments(weight, value, width)
        a, b = normal[r[open_], c[open_]], right[r[open_], c[open_]]
        if alone:
            own = weight[r[open_], c[open_]]
            a[:, 0, 0] -= own
            b[:, 0] -= own[:, None] * value[r[open_], c[open_]]
        fed = a[:, 0, 0] > _SUPPORT
        if fed.any():
            solved = _solved(a[fed], b[fed], _RIDGE * (width / _NEAR) ** 2)
            out[np.nonzero(open_)[0][fed]] = solved
        open_[np.nonzero(open_)[0][fed]] = False
        width *= 2
        if width > 40:
            break
    return out


def _solved(normal: Array, right: Array, ridge: float) -> Array:
    """Constants (n, 2) of local linear fits whose slopes are held back by a ridge."""
    a = normal.copy()
    a[:, 0, 0] += 1e-9
    a[:, 1, 1] += ridge
    a[:, 2, 2] += ridge
    return np.asarray(np.linalg.solve(a, right)[:, 0])


@dataclass
class _Patch:
    """A part of the lattice that grew from one seed: indices and candidates."""

    index: Index
    member: Index


def _patches(points: Array, tree: cKDTree, basis: Basis, most: int = 60) -> list[_Patch]:
    """Grow patches one after the other over the candidates that are still free."""
    free = np.ones(len(points), bool)
    least = 4 if len(points) < 30 else 6
    out: list[_Patch] = []
    near, there = _neighbours(points, tree, basis)
    misses = 0
    while len(out) < most and free.sum() >= least and misses < 6:
        known = there & free[near]
        own = np.where(free, known.sum(axis=1), 0)
        # A seed has neighbours where the lattice wants them, and so have they.
        score = own + (known * own[near]).sum(axis=1)
        seed = int(np.argmax(score))
        if score[seed] < 2:
            break
        patch = _trimmed(_grown(points, tree, basis, seed, free))
        free[seed] = False
        free[patch.member] = False
        if len(patch.member) < max(least, 0.03 * len(out[0].member) if out else 0):
            misses += 1
            continue
        out.append(patch)
    out.sort(key=lambda p: -len(p.member))
    return out


def _trimmed(patch: _Patch) -> _Patch:
    """Drop outer lines that only strays made part of a patch."""
    index, member = patch.index, patch.member
    while len(member):
        drop = np.zeros(len(member), bool)
        for axis in (0, 1):
            lines, count = np.unique(index[:, axis], return_counts=True)
            least = 0.25 * np.median(count[count >= 0.25 * count.max()])
            for line, n in ((lines[0], count[0]), (lines[-1], count[-1])):
                if n < least:
                    drop |= index[:, axis] == line
        if not drop.any():
            break
        index, member = index[~drop], member[~drop]
    return _Patch(index, member)


def _neighbours(points: Array, tree: cKDTree, basis: Basis) -> tuple[Index, Bools]:
    """The candidate on each of the four sides of a candidate, (n, 4), and whether there is one."""
    near = np.zeros((len(points), 4), np.int64)
    there = np.zeros((len(points), 4), bool)
    for k, step in enumerate((basis.u, -basis.u, basis.v, -basis.v)):
        distance, target = tree.query(points + step, distance_upper_bound=0.22 * basis.pitch)
        there[:, k] = np.isfinite(distance)
        near[:, k] = np.where(there[:, k], target, 0)
    return near, there


def _grown(points: Array, tree: cKDTree, basis: Basis, seed: int, free: Bools) -> _Patch:
    """Grow a patch from a candidate; only free candidates are taken."""
    reach = REACH * basis.pitch
    origin = points[seed]
    unit = (points - origin) @ np.linalg.inv(basis.matrix).T
    low = np.clip(np.floor(unit.min(axis=0)).astype(int) - 3, -_MOST_LINES, -3)
    high = np.clip(np.ceil(unit.max(axis=0)).astype(int) + 3, 3, _MOST_LINES)
    cols, rows = np.meshgrid(np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1))
    regular = origin + cols[..., None] * basis.u + rows[..., None] * basis.v
    owner = np.full(cols.shape, -1, np.int64)
    owner[-low[1], -low[0]] = seed
    before = b""
    for round_ in range(80):
        taken = owner >= 0
        value = np.where(taken[..., None], points[owner] - regular, 0.0)
        normal, right = _moments(taken.astype(np.float64), value, _NEAR)
        support = normal[..., 0, 0] - taken
        least = 0.5 if round_ < 2 else _SUPPORT
        look = (support > least) | (
            (round_ == 0) & (support > 0) & (np.abs(cols) + np.abs(rows) <= 1)
        )
        r, c = np.nonzero(look)
        if not len(r):
            break
        a, b = normal[r, c].copy(), right[r, c].copy()
        own = taken[r, c].astype(np.float64)
        a[:, 0, 0] -= own
        b[:, 0] -= own[:, None] * value[r, c]
        target = regular[r, c] + _solved(a, b, _RIDGE)
        distance, nearest = tree.query(target, distance_upper_bound=reach)
        hit = np.isfinite(distance)
        hit[hit] = free[nearest[hit]]
        r, c, distance, nearest = r[hit], c[hit], distance[hit], nearest[hit]
        order = np.lexsort((distance, nearest))
        _, first = np.unique(nearest[order], return_index=True)
        chosen = order[first]
        owner[:] = -1
        owner[r[chosen], c[chosen]] = nearest[chosen]
        if owner[-low[1], -low[0]] < 0 and round_ < 3 and seed not in nearest[chosen]:
            owner[-low[1], -low[0]] = seed
        state = owner.tobytes()
        if state == before:
            break
        before = state
    r, c = np.nonzero(owner >= 0)
    return _Patch(np.column_stack([cols[r, c], rows[r, c]]).astype(np.int64), owner[r, c])


# ---------------------------------------------------------------- joining


def _joined(points: Array, patches: list[_Patch], basis: Basis) -> _Patch:
    """One patch of all that lie on the same lattice, or beside it with shared rows or columns.

    Indices across a gap that is no whole number of pitches are provisional: rounded.
    """
    main = patches[0]
    index, member = main.index, main.member
    rest = [p for p in patches[1:] if _looks_alike(p, main)]
    moved = True
    while rest and moved:
        moved = False
        tree = cKDTree(points[member])
        rest.sort(key=lambda p: float(tree.query(points[p.member])[0].min()))
        for patch in rest:
            offset = _offset(points, index, member, patch, basis)
            if offset is None:
                continue
            placed = patch.index + offset
            if _clash(index, placed):
                continue
            index = np.concatenate([index, placed])
            member = np.concatenate([member, patch.member])
            rest = [p for p in rest if p is not patch]
            moved = True
            break
    return _Patch(index, member)


def _looks_alike(patch: _Patch, main: _Patch) -> bool:
    """Whether a patch is filled about as well as the main one: chance patches are not."""

    def fill(p: _Patch) -> float:
        span = np.ptp(p.index, axis=0) + 1
        return len(p.member) / float(span[0] * span[1])

    span = np.ptp(patch.index, axis=0) + 1
    return fill(patch) > 0.5 * fill(main) and min(span) >= 2


def _offset(
    points: Array, index: Index, member: Index, patch: _Patch, basis: Basis
) -> Index | None:
    """Whole columns and rows from a patch's own indices to those of the grid, or None."""
    distance, _ = cKDTree(points[patch.member]).query(points[member])
    near = np.argsort(distance, kind="stable")[: int(np.clip(0.35 * len(member), 24, 80))]
    design = np.column_stack([np.ones(len(near)), index[near]])
    target = points[member[near]] - index[near] @ basis.matrix.T
    penalty = np.diag([1e-9, 20.0, 20.0])
    coef = np.linalg.solve(design.T @ design + penalty, design.T @ target)
    matrix = basis.matrix + coef[1:].T
    unit = (points[patch.member] - coef[0]) @ np.linalg.inv(matrix).T
    # The side that faces the grid tells; far from it the fit only guesses.
    facing = np.argsort(cKDTree(points[member]).query(points[patch.member])[0], kind="stable")
    facing = facing[: max(12, len(facing) // 3)]
    each = unit[facing] - patch.index[facing]
    off = np.median(each, axis=0)
    spread = np.median(np.abs(each - off), axis=0)
    if spread.max() > 0.25:
        return None
    whole = np.round(off)
    away = np.abs(off - whole)
    if away.max() <= 0.24:
        return np.asarray(whole, np.int64)
    placed = patch.index + off
    for axis in (0, 1):
        if away[1 - axis] > 0.33:
            continue
        # Beside the grid, in shared rows (columns): a block of its own.
        other = 1 - axis
        share = (index[:, other] >= placed[:, other].min() - 0.5) & (
            index[:, other] <= placed[:, other].max() + 0.5
        )
        if not share.any():
            continue
        lines = index[share, axis]
        after = lines[lines < placed[:, axis].mean()]
        ahead = lines[lines > placed[:, axis].mean()]
        low, high = placed[:, axis].min(), placed[:, axis].max()
        if (len(after) and low - after.max() < 0.9) or (len(ahead) and ahead.min() - high < 0.9):
            continue
        return np.asarray(np.floor(off + 0.5), np.int64)
    return None


def _clash(index: Index, placed: Index) -> bool:
    """Whether many of the nodes of a new patch are taken."""
    taken = {tuple(k) for k in index.tolist()}
    return sum(tuple(k) in taken for k in placed.tolist()) > 0.1 * len(placed)


# ---------------------------------------------------------------- blocks


def _gaps(points: Array, index: Index, member: Index, axis: int) -> tuple[Index, Array, Array]:
    """Lines that have members, the gap before each in units of the usual spacing, its error.

    The places of all lines along the axis are fitted at once with a common slope and bend
    across them, so that every member speaks for its line.
    """
    line, other = index[:, axis], index[:, 1 - axis]
    lines, at = np.unique(line, return_inverse=True)
    if len(lines) < 3:
        return lines, np.ones(max(len(lines) - 1, 0)), np.zeros(max(len(lines) - 1, 0))
    xy = points[member]
    slope = np.linalg.lstsq(
        np.column_stack([np.ones(len(xy)), line, other]).astype(float), xy, rcond=None
    )[0]
    way = slope[1] / max(np.hypot(*slope[1]), 1e-9)
    along = xy @ way
    j = (other - other.mean()) / max(float(np.ptp(other)) / 2, 1.0)
    i = (line - line.mean()) / max(float(np.ptp(line)) / 2, 1.0)
    design = np.zeros((len(xy), len(lines) + 4))
    design[np.arange(len(xy)), at] = 1.0
    design[:, -4:] = np.column_stack([j, j * j, i * j, i * j * j])
    ridge = np.zeros(design.shape[1]) + 1e-6
    ridge[-3:] = 1.0
    weight = np.ones(len(xy))
    coef = np.zeros(design.shape[1])
    for _ in range(5):
        gram = design.T @ (weight[:, None] * design) + np.diag(ridge)
        coef = np.linalg.solve(gram, design.T @ (weight * along))
        residual = np.abs(along - design @ coef)
        scale = max(3.0 * 1.4826 * float(np.median(residual)), 1e-6)
        weight = 1 / np.maximum(residual / scale, 1.0)
    gap = np.diff(coef[: len(lines)])
    jump = np.diff(lines)
    single = gap[jump == 1] if (jump == 1).any() else gap / jump
    out = np.empty(len(gap))
    for n in range(len(gap)):
        near = [
            gap[m] / jump[m] for m in range(max(0, n - 4), min(len(gap), n + 5)) if jump[m] == 1
        ]
        usual = float(np.median(near)) if len(near) >= 3 else float(np.median(single))
        out[n] = gap[n] / max(usual, 1e-6)
    scatter = 1.4826 * float(np.median(residual)) / max(float(np.median(single)), 1e-6)
    error = scatter**2 / np.bincount(at, minlength=len(lines))
    return lines, out, np.sqrt(error[1:] + error[:-1])


def _without_thin(points: Array, patch: _Patch) -> tuple[_Patch, float]:
    """Drop lines of a few strays that stand in a gap: sparse between lines that are not.

    Returns
    -------
    The patch without them, and the largest filled part of one of them.
    """
    sparse = 0.0
    for axis in (0, 1):
        lines, gap, _ = _gaps(points, patch.index, patch.member, axis)
        count = np.array([(patch.index[:, axis] == line).sum() for line in lines])
        off = np.abs(gap - np.round(gap))
        thin = []
        for n, line in enumerate(lines[1:-1], start=1):
            beside = float(np.median(count[max(n - 3, 0) : n + 4]))
            apart = max(off[n - 1], off[n]) > 0.12
            if count[n] < (0.4 if apart else 0.15) * beside:
                thin.append(line)
                sparse = max(sparse, count[n] / (np.ptp(patch.index[:, 1 - axis]) + 1))
        keep = ~np.isin(patch.index[:, axis], thin)
        patch = _Patch(patch.index[keep], patch.member[keep])
    return patch, sparse


def _parted(points: Array, patch: _Patch) -> tuple[_Patch, tuple[int, ...], tuple[int, ...], bool]:
    """Number the lines anew where gaps are no whole pitches, and say which begin a block.

    Returns
    -------
    The patch, the columns and the rows that begin a block, and whether that is unclear.
    """
    unclear = False
    index = patch.index.copy()
    steps: list[tuple[int, ...]] = []
    for axis in (0, 1):
        lines, gap, error = _gaps(points, patch.index, patch.member, axis)
        if len(gap) and not (gap.min() > 0.3 and gap.max() < _WIDEST_JUMP):
            return patch, (), (), False
        jump = np.diff(lines)
        apart, close = _parting(gap, jump, error)
        unclear |= close
        more = np.where((jump > 1) | (gap > 1.6), np.maximum(np.round(gap), 1), jump).astype(int)
        if apart.any():
            # Blocks share one gap; a wider one hides empty lines besides.
            usual = float(gap[apart].min())
            hidden = np.round(gap - usual)
            fits = np.abs(gap - usual - hidden) < 0.2
            lines_in_gap = np.where(gap < _WIDEST_GAP, 0, np.maximum(np.floor(gap - 1.2), 0))
            more[apart] = 1 + np.where(fits, hidden, lines_in_gap)[apart].astype(int)
        new = np.concatenate([[0], np.cumsum(more)])
        lookup = dict(zip(lines.tolist(), new.tolist(), strict=True))
        index[:, axis] = [lookup[int(k)] for k in patch.index[:, axis]]
        steps.append(tuple(int(k) for k in new[1:][apart]))
    return _Patch(index, patch.member), steps[0], steps[1], unclear


def _parting(gap: Array, jump: Index, error: Array) -> tuple[Bools, bool]:
    """Which gaps between lines part blocks: no whole pitches, three lines on both sides.

    The second is whether that was a close call for one of them.

    Gaps of about one width are taken together; how far one may be from whole pitches by
    accident is told by the spacing of the other lines.
    """
    apart = np.zeros(len(gap), bool)
    close = False
    single = np.abs(gap - 1)[jump == 1]
    noise = 1.4826 * float(np.median(single)) if len(single) >= 3 else 0.05
    wide = np.nonzero(gap > 1.15)[0]
    wide = wide[(wide >= 2) & (len(gap) - wide >= 3)]
    # A wide gap beside one as narrow is a line out of its place.
    shifted = [n for n in wide if gap[n] < 1.5 and min(gap[n - 1], gap[n + 1]) < 2.15 - gap[n]]
    wide = np.setdiff1d(wide, shifted)
    order = wide[np.argsort(gap[wide], kind="stable")]
    for alike in np.split(order, np.nonzero(np.diff(gap[order]) > _ALIKE)[0] + 1):
        if not len(alike):
            continue
        mean = float(gap[alike].mean())
        unsure = float(np.hypot(noise, np.median(error[alike]))) / np.sqrt(len(alike))
        least = max(
            float(np.clip(1.8 * unsure, max(_BLOCK_STEP[0], 0.04 * mean), _BLOCK_STEP[1])),
            4 * float(np.median(error[alike])) / np.sqrt(len(alike)),
            max(0.19, 3 * noise) if round(mean) <= 1 else 0.0,
        )
        off = abs(mean - round(mean))
        apart[alike] = off > least
        close |= bool(least < off < _CLOSE * least and round(mean) >= 2)
    return apart, close


# ---------------------------------------------------------------- fit


def fit(
    points: Array,
    member: Index,
    index: Index,
    steps_x: Sequence[int] = (),
    steps_y: Sequence[int] = (),
) -> Lattice:
    """Smooth model through members with known indices, as smooth as they allow.

    A polynomial is fitted by robust least squares (Tukey weights); what neighbours deviate
    from it in common is followed over the width that predicts members left out best.

    Parameters
    ----------
    points
        Candidates, (n, 2).
    member, index
        Which of them are members, (m,), and their columns and rows, (m, 2).
    steps_x, steps_y
        Columns and rows that begin a block.
    """
    where = points[member]
    low, high = index.min(axis=0), index.max(axis=0)
    centre = (low + high) / 2
    span = np.maximum((high - low) / 2, 1.0)
    lattice = Lattice(
        index,
        member,
        where,
        np.zeros((3, 2)),
        centre,
        span,
        steps_x=tuple(steps_x),
        steps_y=tuple(steps_y),
    )
    best, least = lattice, np.inf
    for bent in (False, True):
        if bent and (len(member) < 16 or min(high - low) < 2):
            break
        shaped = replace(lattice, bent=bent)
        coef, hat = _polynomial(shaped)
        shaped = replace(shaped, coef=coef)
        residual = where - shaped._terms(index) @ coef
        pitch = max(shaped.basis.pitch, 1e-6)
        for width in _WIDTHS:
            if np.isfinite(width):
                if len(member) < 24:
                    break
                left = residual - _follow(index, residual, index, width, alone=True)
            else:
                left = residual / (1 - hat)[:, None]
            error = _rms(left, pitch)
            if error < least * 0.97:
                best, least = replace(shaped, width=width), error
    return with_offsets(replace(best, rms=least))


def _rms(residual: Array, pitch: float) -> float:
    """Root mean square in pitches; what lies farther than a member may counts as that far."""
    distance = np.hypot(*residual.T) / pitch
    return float(np.sqrt(np.mean(np.minimum(distance, 0.4) ** 2)))


def _polynomial(lattice: Lattice) -> tuple[Array, Array]:
    """Coefficients by robust least squares, and how much each member decides its own fit."""
    design = lattice._terms(lattice.index)
    xy = lattice.where
    weight = np.ones(len(xy))
    penalty = np.full(design.shape[1], 1e-9)
    if lattice.bent:
        penalty[3:6] = 0.5
    gram = np.eye(design.shape[1])
    coef = np.zeros((design.shape[1], 2))
    for _ in range(6):
        gram = design.T @ (weight[:, None] * design) + np.diag(penalty)
        coef = np.linalg.lstsq(gram, design.T @ (weight[:, None] * xy), rcond=None)[0]
        residual = np.hypot(*(xy - design @ coef).T)
        scale = max(4.7 * 1.2 * float(np.median(residual)), 1e-3)
        weight = np.clip(1 - (residual / scale) ** 2, 0, None) ** 2 + 1e-6
    hat = np.einsum("ij,jk,ik->i", design, np.linalg.pinv(gram), design) * weight
    return np.asarray(coef, np.float64), np.clip(hat, 0.0, 0.9)


def refit(lattice: Lattice, index: Index, centres: Array) -> Lattice:
    """The same lattice through measured centres (n, 2) of spots with known indices (n, 2)."""
    again = fit(centres, np.arange(len(centres)), index, lattice.steps_x, lattice.steps_y)
    return replace(again, gain=lattice.gain, sparse=lattice.sparse, unclear=lattice.unclear)


def with_offsets(lattice: Lattice) -> Lattice:
    """Add what whole columns and rows deviate from the model, where that explains members.

    Pins and cutters place whole lines a little off; the offset of a line is its median
    residual, shrunk where few members speak, and kept only if members left out gain by it.
    """
    residual = lattice.where - lattice._smooth(lattice.index)
    start = residual.copy()
    alone = residual.copy()
    pitch = max(lattice.basis.pitch, 1e-6)
    offsets: list[dict[int, Array]] = []
    for axis in (0, 1):
        own: dict[int, Array] = {}
        for line in np.unique(lattice.index[:, axis]):
            at = lattice.index[:, axis] == line
            n = int(at.sum())
            mean = np.median(residual[at], axis=0) * n / (n + 4)
            own[int(line)] = mean
            residual[at] -= mean
            others = (start[at].sum(axis=0) - start[at]) / max(n - 1, 1)
            alone[at] -= others * (n - 1) / (n + 3)
        offsets.append(own)
    if _rms(alone, pitch) > 0.95 * _rms(start, pitch):
        return lattice
    return replace(lattice, rms=_rms(residual, pitch), offset_x=offsets[0], offset_y=offsets[1])


# ---------------------------------------------------------------- all together


def build(points: Array, basis: Basis) -> Lattice | None:
    """Lattice over the candidates from a basis: grow, join, part blocks, fit, judge."""
    tree = cKDTree(points)
    patches = _patches(points, tree, basis)
    if not patches:
        return None
    joined, sparse = _without_thin(points, _joined(points, patches, basis))
    patch, steps_x, steps_y, unclear = _parted(points, joined)
    if min(np.ptp(patch.index, axis=0)) == 0:
        return None
    lattice = fit(points, patch.member, patch.index, steps_x, steps_y)
    lattice = _filled(points, tree, lattice)
    gain = _gain(points, lattice)
    gain *= _HALF if is_half(lattice.index) else 1.0
    return replace(lattice, gain=gain, sparse=sparse, unclear=unclear)


def is_half(index: Index) -> bool:
    """Whether every second column, row or diagonal holds next to nothing: half a lattice."""
    for line in (index[:, 0], index[:, 1], index.sum(axis=1)):
        if np.ptp(line) >= 3:
            odd = float((line % 2).mean())
            if min(odd, 1 - odd) < 0.15:
                return True
    return False


def _filled(points: Array, tree: cKDTree, lattice: Lattice) -> Lattice:
    """Take in the candidates on nodes that growth did not reach, and fit once more."""
    for _ in range(2):
        c0, c1, r0, r1 = lattice.bounds
        if (c1 - c0 + 5) * (r1 - r0 + 5) > 20_000:
            return lattice
        cols, rows = (
            a.ravel() for a in np.meshgrid(np.arange(c0 - 2, c1 + 3), np.arange(r0 - 2, r1 + 3))
        )
        reach = float(np.clip(3.2 * lattice.rms, 0.2, 0.38)) * lattice.basis.pitch
        distance, nearest = tree.query(lattice.predict(cols, rows), distance_upper_bound=reach)
        hit = np.nonzero(np.isfinite(distance))[0]
        hit = hit[np.lexsort((distance[hit], nearest[hit]))]
        _, first = np.unique(nearest[hit], return_index=True)
        hit = np.sort(hit[first])
        index = np.column_stack([cols[hit], rows[hit]])
        if len(hit) < 4 or min(np.ptp(index, axis=0)) == 0:
            return lattice
        if len(hit) == len(lattice.member) and (index == lattice.index).all():
            return lattice
        lattice = fit(points, nearest[hit], index, lattice.steps_x, lattice.steps_y)
    return lattice


def _gain(points: Array, lattice: Lattice) -> float:
    """Log-likelihood ratio, in nats, of all candidates: lattice and chance against chance alone."""
    n = len(points)
    c0, c1, r0, r1 = _dense(lattice)
    nodes = (c1 - c0 + 1) * (r1 - r0 + 1)
    inner = (
        (lattice.index[:, 0] >= c0)
        & (lattice.index[:, 0] <= c1)
        & (lattice.index[:, 1] >= r0)
        & (lattice.index[:, 1] <= r1)
    )
    m = int(inner.sum())
    if m < 4:
        return 0.0
    p = float(np.clip(m / nodes, 0.02, 0.98))
    variance = max(lattice.rms * lattice.basis.pitch, 0.3) ** 2 / 2
    extent = np.ptp(points, axis=0) + lattice.basis.pitch
    chance = n / float(extent[0] * extent[1])
    rest = max(n - m, 0.5) / float(extent[0] * extent[1])
    return float(
        m * (np.log(p / (2 * np.pi * variance)) - 1 - np.log(chance))
        + (n - m) * np.log(rest / chance)
        + (nodes - m) * np.log(1 - p)
    )


def _dense(lattice: Lattice) -> tuple[int, int, int, int]:
    """First and last column and row with at least a fifth of the usual number of members."""
    out = []
    for axis in (0, 1):
        lines, count = np.unique(lattice.index[:, axis], return_counts=True)
        good = lines[count >= max(0.2 * np.median(count), 1)]
        out += [int(good.min()), int(good.max())]
    return out[0], out[1], out[2], out[3]

"""Which body belongs to which nucleus: three ways, of which the first is gridwell's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

Array = np.ndarray[Any, np.dtype[Any]]
Objects = tuple[Array, Array]

# Nuclei that a merged body may hold.
_MOST_HELD = 3


@dataclass(frozen=True)
class Match:
    """Bodies of the nuclei of one spot, (n,) each.

    Attributes
    ----------
    body
        Index of the nucleus' own body, -1 for none; no body is that of two nuclei.
    shared
        Index of the body of another nucleus that this one lies in as well, -1 for none.
    distance
        To either of both, in pixels, NaN for none.
    cost
        ``(d / g)^2`` with the distance d and its gate g: even from 0 to 1 for chance pairs; NaN
        for none.
    """

    body: Array
    shared: Array
    distance: Array
    cost: Array

    @classmethod
    def none(cls, count: int) -> Match:
        """No nucleus of `count` has a body."""
        nothing = np.full(count, -1, np.int64)
        return cls(nothing, nothing.copy(), np.full(count, np.nan), np.full(count, np.nan))

    @property
    def held(self) -> Array:
        """Index of the body that a nucleus has or shares, -1 for none."""
        return np.where(self.body >= 0, self.body, self.shared)


def assign(
    nuclei: Array,
    radii: Array,
    bodies: Array,
    body_radii: Array,
    gate: float,
    *,
    usual: float = np.inf,
) -> Match:
    """Pair nuclei and bodies, each at most once, at the least total cost.

    A pair costs ``(d / g)^2`` with its distance d and its gate ``g = gate * (r1 + r2)``; pairs
    farther than their gate are none. Leaving both of a possible pair alone costs 1, so that the
    sum of ``1 - (d / g)^2`` over the chosen pairs is the greatest that there is. A body of twice
    or three times the usual area is several cells that were not parted: it may take as many
    nuclei, of which the nearest owns it and the others share it.

    Parameters
    ----------
    nuclei, bodies
        x, y, (n, 2) and (m, 2).
    radii, body_radii
        Radii of discs of the objects' areas, (n,) and (m,).
    gate
        Farthest match, as a multiple of the sum of both radii.
    usual
        Radius of a usual body; infinite: none is merged.

    References
    ----------
    K. Jaqaman et al., Nature Methods 5 (2008) 695 (assignment with an explicit cost of none).
    """
    match = Match.none(len(nuclei))
    if len(nuclei) == 0 or len(bodies) == 0:
        return match
    one, other, away, gain = _candidates(nuclei, radii, bodies, body_radii, gate)
    if one.size == 0:
        return match
    holds = np.clip(np.rint((body_radii / usual) ** 2 - 0.1), 1, _MOST_HELD).astype(np.int64)
    # A merged body stands as often as it holds nuclei; copies of a body have neighbouring places.
    place = np.concatenate([[0], np.cumsum(holds)])
    copies = holds[other]
    edge = np.repeat(np.arange(one.size), copies)
    slot = place[other[edge]] + np.arange(edge.size) - np.repeat(np.cumsum(copies) - copies, copies)
    chosen = edge[_components(one[edge], slot, gain[edge], len(nuclei), int(place[-1]))]
    # The nearest nucleus owns the body.
    chosen = chosen[np.lexsort((one[chosen], -gain[chosen], other[chosen]))]
    first = np.r_[True, other[chosen][1:] != other[chosen][:-1]]
    match.body[one[chosen[first]]] = other[chosen[first]]
    match.shared[one[chosen[~first]]] = other[chosen[~first]]
    match.distance[one[chosen]] = away[chosen]
    match.cost[one[chosen]] = 1 - gain[chosen]
    return match


def nearest(nuclei: Array, bodies: Array, body_radii: Array, gate: float) -> Match:
    """Give each nucleus the nearest body within so many of its radii, whoever else has it.

    Parameters are those of `assign`. Of several nuclei with the same body the nearest owns it.
    """
    match = Match.none(len(nuclei))
    if len(nuclei) == 0 or len(bodies) == 0:
        return match
    away, body = cKDTree(bodies).query(nuclei)
    cost = (away / (gate * body_radii[body])) ** 2
    near = np.flatnonzero(cost < 1)
    return _owned(match, (near, body[near], away[near], cost[near]), -away[near])


def overlapping(labels: Array, bodies: Array, nuclei: Objects, places: Objects) -> Match:
    """Give each nucleus the body that covers most of it; of several the most covered owns it.

    Parameters
    ----------
    labels, bodies
        Label images of nuclei and bodies, (h, w).
    nuclei, places
        Labels and positions of the nuclei and of the bodies, in the order of their tables.
    """
    match = Match.none(len(nuclei[0]))
    both = np.flatnonzero((labels > 0) & (bodies > 0))
    if both.size == 0:
        return match
    pairs, pixels = np.unique(
        np.stack([labels.ravel()[both], bodies.ravel()[both]], axis=1), axis=0, return_counts=True
    )
    one, other = (_row(names, pairs[:, k]) for k, names in enumerate((nuclei[0], places[0])))
    # The largest overlap of each nucleus; of equal ones, the first body.
    best = np.lexsort((other, -pixels, one))
    best = best[np.r_[True, one[best][1:] != one[best][:-1]]]
    one, other, pixels = one[best], other[best], pixels[best]
    away = np.hypot(*(nuclei[1][one] - places[1][other]).T)
    return _owned(match, (one, other, away, np.zeros(len(one))), pixels)


def _row(names: Array, wanted: Array) -> Array:
    order = np.argsort(names, kind="stable")
    return order[np.searchsorted(names, wanted, sorter=order)]


def _owned(match: Match, pairs: tuple[Array, Array, Array, Array], rank: Array) -> Match:
    """Fill in pairs; of the nuclei with the same body that of the highest rank owns it."""
    order = np.lexsort((pairs[0], -rank, pairs[1]))
    one, other, away, cost = (part[order] for part in pairs)
    first = np.r_[True, other[1:] != other[:-1]] if one.size else np.zeros(0, bool)
    match.body[one[first]] = other[first]
    match.shared[one[~first]] = other[~first]
    match.distance[one], match.cost[one] = away, cost
    return match


def _candidates(
    nuclei: Array, radii: Array, bodies: Array, body_radii: Array, gate: float
) -> tuple[Array, Array, Array, Array]:
    reach = gate * (float(radii.max()) + float(body_radii.max()))
    near = cKDTree(bodies).query_ball_point(nuclei, reach, return_sorted=True)
    one = np.repeat(np.arange(len(nuclei)), [len(found) for found in near])
    other = np.concatenate([np.asarray(found, np.int64) for found in near])
    away = np.hypot(*(nuclei[one] - bodies[other]).T)
    gain = 1 - (away / (gate * (radii[one] + body_radii[other]))) ** 2
    possible = gain > 0
    return one[possible], other[possible], away[possible], gain[possible]


def _components(one: Array, slot: Array, gain: Array, n: int, m: int) -> Array:
    """Indices of the chosen edges: the best assignment of each connected component."""
    graph = coo_array((np.ones(one.size), (one, n + slot)), shape=(n + m,) * 2)
    _, component = connected_components(graph, directed=False)
    group = component[one]
    # Where all edges meet in one nucleus or one body, the best of them is all there is.
    star = _all_alike(group, one) | _all_alike(group, slot)
    stars = np.flatnonzero(star[group])
    best = stars[np.lexsort((-gain[stars], group[stars]))]
    chosen = [best[np.r_[True, np.diff(group[best]) != 0][: best.size]]]
    rest = np.flatnonzero(~star[group])
    order = rest[np.argsort(group[rest], kind="stable")]
    several = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    chosen += [
        edges[_best(one[edges], slot[edges], gain[edges])] for edges in several if edges.size
    ]
    return np.concatenate(chosen)


def _all_alike(group: Array, end: Array) -> Array:
    """Whether all edges of a group have the same end, for each number of a group."""
    low, high = np.full(group.max() + 1, end.max()), np.zeros(group.max() + 1, end.dtype)
    np.minimum.at(low, group, end)
    np.maximum.at(high, group, end)
    return low == high


def _best(one: Array, other: Array, gain: Array) -> Array:
    """Indices of the chosen edges of one connected component."""
    row, col = _ranks(one), _ranks(other)
    table = np.zeros((max(row) + 1, max(col) + 1))
    edge = np.full(table.shape, -1)
    table[row, col], edge[row, col] = gain, np.arange(one.size)
    chosen = edge[linear_sum_assignment(table, maximize=True)]
    return chosen[chosen >= 0]


def _ranks(values: Array) -> list[int]:
    """Rank of each among the different ones; of a handful, Python tells it faster than NumPy."""
    plain = values.tolist()
    rank = {value: at for at, value in enumerate(sorted(set(plain)))}
    return [rank[value] for value in plain]

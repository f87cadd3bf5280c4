"""One-to-one matching of objects of two channels within a gate."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

Array = np.ndarray[Any, np.dtype[Any]]


def match_objects(
    nuclei: Array, radii: Array, bodies: Array, body_radii: Array, gate: float
) -> tuple[Array, Array, Array]:
    """Pair nuclei and bodies, each at most once, at the least total cost.

    A pair costs ``(d / g)^2`` with its distance d and its gate ``g = gate * (r1 + r2)``; pairs
    farther than their gate are none. Leaving both of a possible pair alone costs 1, so that the
    sum of ``1 - (d / g)^2`` over the chosen pairs is the greatest that there is.

    Parameters
    ----------
    nuclei, bodies
        x, y, (n, 2) and (m, 2).
    radii, body_radii
        Radii of discs of the objects' areas, (n,) and (m,).
    gate
        Farthest match, as a multiple of the sum of both radii.

    Returns
    -------
    match
        (n,) index of each nucleus' body, -1 for none.
    distance
        (n,) in pixels, NaN for none.
    cost
        (n,) ``(d / g)^2`` of the pair: even from 0 to 1 for chance pairs; NaN for none.

    References
    ----------
    K. Jaqaman et al., Nature Methods 5 (2008) 695 (assignment with an explicit cost of none).
    """
    match = np.full(len(nuclei), -1, np.int64)
    distance = np.full(len(nuclei), np.nan)
    cost = np.full(len(nuclei), np.nan)
    if len(nuclei) == 0 or len(bodies) == 0:
        return match, distance, cost
    one, other, away, gain = _candidates(nuclei, radii, bodies, body_radii, gate)
    if one.size == 0:
        return match, distance, cost
    n = len(nuclei)
    graph = coo_array((np.ones(one.size), (one, n + other)), shape=(n + len(bodies),) * 2)
    _, component = connected_components(graph, directed=False)
    group = component[one]
    order = np.argsort(group, kind="stable")
    bounds = np.flatnonzero(np.r_[True, np.diff(group[order]) != 0, True])
    for start, stop in pairwise(bounds):
        edges = order[start:stop]
        if edges.size > 1:
            edges = edges[_best(one[edges], other[edges], gain[edges])]
        match[one[edges]] = other[edges]
        distance[one[edges]] = away[edges]
        cost[one[edges]] = 1 - gain[edges]
    return match, distance, cost


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


def _best(one: Array, other: Array, gain: Array) -> Array:
    """Indices of the chosen edges of one connected component."""
    rows, row = np.unique(one, return_inverse=True)
    cols, col = np.unique(other, return_inverse=True)
    table = np.zeros((rows.size, cols.size))
    edge = np.full(table.shape, -1)
    table[row, col], edge[row, col] = gain, np.arange(one.size)
    chosen = edge[linear_sum_assignment(table, maximize=True)]
    return chosen[chosen >= 0]

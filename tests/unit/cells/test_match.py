"""Matching: the best there is, one to one, whatever the order."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from gridwell.cells.match import assign, nearest, overlapping
from hypothesis import given, settings
from hypothesis import strategies as st

Points = tuple[np.ndarray, np.ndarray]


@st.composite
def points(draw: st.DrawFn, most: int) -> Points:
    count = draw(st.integers(0, most))
    seed = draw(st.integers(0, 2**31))
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 14, (count, 2)), rng.uniform(1, 3, count)


def gain(one: Points, other: Points, pairs: list[tuple[int, int]], gate: float) -> float:
    total = 0.0
    for i, j in pairs:
        away = np.hypot(*(one[0][i] - other[0][j]))
        total += 1 - (away / (gate * (one[1][i] + other[1][j]))) ** 2
    return total


def best(one: Points, other: Points, gate: float) -> float:
    """Try every assignment."""
    small, large = (one, other) if len(one[0]) <= len(other[0]) else (other, one)
    top = 0.0
    for order in permutations(range(len(large[0])), len(small[0])):
        single = [gain(small, large, [pair], gate) for pair in enumerate(order)]
        top = max(top, sum(value for value in single if value > 0))
    return top


@settings(max_examples=60, deadline=None)
@given(points(5), points(5))
def test_no_assignment_is_better(one: Points, other: Points) -> None:
    found = assign(*one, *other, 1.25)
    match, distance, cost = found.body, found.distance, found.cost
    assert (found.shared == -1).all()
    pairs = [(i, int(j)) for i, j in enumerate(match) if j >= 0]
    assert len({j for _, j in pairs}) == len(pairs), "a body is used once"
    assert np.isclose(gain(one, other, pairs, 1.25), best(one, other, 1.25))
    for i, j in pairs:
        assert np.isclose(distance[i], np.hypot(*(one[0][i] - other[0][j])))
        assert distance[i] < 1.25 * (one[1][i] + other[1][j])
        assert 0 <= cost[i] < 1
    assert np.isnan(distance[match < 0]).all()


@settings(max_examples=40, deadline=None)
@given(points(40), points(40), st.integers(0, 2**31))
def test_the_order_does_not_matter(one: Points, other: Points, seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, q = rng.permutation(len(one[0])), rng.permutation(len(other[0]))
    match = assign(*one, *other, 1.25).body
    turned = assign(one[0][p], one[1][p], other[0][q], other[1][q], 1.25).body
    expected = {(i, int(j)) for i, j in enumerate(match) if j >= 0}
    assert {(int(p[i]), int(q[j])) for i, j in enumerate(turned) if j >= 0} == expected


def test_a_merged_body_is_owned_by_the_nearest_and_shared_by_the_rest() -> None:
    nuclei = np.array([[0.0, 0.0], [7.0, 0.0], [30.0, 0.0], [37.0, 0.0]])
    radii = np.full(4, 3.0)
    bodies = np.array([[3.2, 0.0], [33.0, 0.0]])
    sizes = np.array([4 * np.sqrt(2), 4.0])  # the first holds two cells, the second one
    found = assign(nuclei, radii, bodies, sizes, 1.25, usual=4.0)
    assert found.body.tolist() == [0, -1, 1, -1]
    assert found.shared.tolist() == [-1, 0, -1, -1]
    assert found.held.tolist() == [0, 0, 1, -1]
    assert np.allclose(found.distance, [3.2, 3.8, 3.0, np.nan], equal_nan=True)


def test_the_nearest_body_may_be_that_of_several() -> None:
    nuclei = np.array([[0.0, 0.0], [3.0, 0.0], [20.0, 0.0]])
    found = nearest(nuclei, np.array([[2.0, 0.0], [26.0, 0.0]]), np.array([3.0, 3.0]), 1.25)
    assert found.body.tolist() == [-1, 0, -1]
    assert found.shared.tolist() == [0, -1, -1]
    assert np.allclose(found.distance, [2, 1, np.nan], equal_nan=True)


def test_overlaps_are_counted_in_pixels() -> None:
    labels, bodies = np.zeros((20, 40), int), np.zeros((20, 40), int)
    labels[2:8, 2:8], labels[2:8, 10:16], labels[12:18, 30:36] = 5, 2, 9
    bodies[2:8, 4:13] = 7  # 24 pixels of nucleus 5, 18 of nucleus 2
    bodies[12:14, 30:36] = 3
    bodies[14:18, 30:36] = 4
    names = np.array([2, 5, 9])
    places = np.array([[12.5, 4.5], [4.5, 4.5], [32.5, 14.5]])
    found = overlapping(
        labels,
        bodies,
        (names, places),
        (np.array([3, 4, 7]), np.array([[32.5, 12.5], [32.5, 15.5], [8.0, 4.5]])),
    )
    assert found.body.tolist() == [-1, 2, 1]
    assert found.shared.tolist() == [2, -1, -1]


def test_nothing_matches_nothing() -> None:
    none, some = np.zeros((0, 2)), np.ones((2, 2))
    for found in (
        assign(none, np.zeros(0), some, np.ones(2), 1.25),
        nearest(none, some, np.ones(2), 1.25),
    ):
        assert found.body.size == found.distance.size == 0
    assert assign(some, np.ones(2), none, np.zeros(0), 1.25).body.tolist() == [-1, -1]
    assert nearest(some, none, np.zeros(0), 1.25).held.tolist() == [-1, -1]

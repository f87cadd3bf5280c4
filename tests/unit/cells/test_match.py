"""Matching: the best there is, one to one, whatever the order."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from gridwell.cells.match import match_objects
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
    match, distance, cost = match_objects(*one, *other, 1.25)
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
    match = match_objects(*one, *other, 1.25)[0]
    turned = match_objects(one[0][p], one[1][p], other[0][q], other[1][q], 1.25)[0]
    expected = {(i, int(j)) for i, j in enumerate(match) if j >= 0}
    assert {(int(p[i]), int(q[j])) for i, j in enumerate(turned) if j >= 0} == expected

"""States and viability: what is common in a spot is learned from its cells."""

from __future__ import annotations

import numpy as np
import pytest
from gridwell.cells.states import STATES, state_probabilities
from gridwell.cells.viability import viability_intervals
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

RATIOS = arrays(float, 12, elements=st.floats(-6, 6))
SPOTS = np.repeat([0, 1, 2], 4)


@given(RATIOS, RATIOS)
def test_probabilities_sum_up_and_follow_the_evidence(live: np.ndarray, dead: np.ndarray) -> None:
    found = state_probabilities(live, dead, SPOTS, 3)
    assert np.allclose(found.sum(axis=1), 1)
    assert (found >= 0).all()
    for spot in range(3):  # more evidence of a stain never makes it less likely
        own = spot == SPOTS
        order = np.argsort(live[own], kind="stable")
        if np.ptp(dead[own]) == 0:
            assert (np.diff((found[own, 0] + found[own, 1])[order]) > -1e-9).all()


def test_clear_cells_have_their_state() -> None:
    live, dead = np.array([9.0, 9, -9, -9]), np.array([-9.0, 9, 9, -9])
    found = state_probabilities(live, dead, np.zeros(4, int), 1)
    assert found.argmax(axis=1).tolist() == [0, 1, 2, 3]
    assert STATES == ("live", "dying", "dead", "inactive")


def test_a_cell_without_evidence_is_taken_for_what_its_spot_is() -> None:
    """One spot of live cells, one of dead ones; in each a cell of which no stain tells."""
    live = np.r_[np.full(40, 6.0), 0, np.full(40, -6.0), 0]
    dead = np.r_[np.full(40, -6.0), 0, np.full(40, 6.0), 0]
    found = state_probabilities(live, dead, np.repeat([0, 1], 41), 2)
    assert found[40, 0] > 0.8
    assert found[81, 2] > 0.8


def test_a_stain_that_tells_nothing_leaves_no_states() -> None:
    found = state_probabilities(np.array([1.0, 2]), np.full(2, np.nan), np.zeros(2, int), 1)
    assert np.isnan(found).all()


def test_both_viabilities_and_their_intervals() -> None:
    counts = np.array([[30, 5, 10, 5], [0, 0, 0, 0], [0, 0, 0, 7]], float)
    states = [np.eye(4)[np.repeat(range(4), each.astype(int))] for each in counts]
    found = viability_intervals(counts, states)
    assert found["viability"] == pytest.approx([0.6, np.nan, 0], nan_ok=True)
    assert found["viability_stained"] == pytest.approx([30 / 45, np.nan, np.nan], nan_ok=True)
    # Wilson's interval of 30 of 50, as R's prop.test(correct = FALSE) has it.
    assert found["viability_low"][0] == pytest.approx(0.4618, abs=1e-4)
    assert found["viability_high"][0] == pytest.approx(0.7239, abs=1e-4)
    for name in ("viability", "viability_stained"):
        assert np.isnan([found[f"{name}_low"][1], found[f"{name}_high"][1]]).all()
    unsure = [np.array([[0.6, 0.1, 0.2, 0.1]] * 50), states[1], states[2]]
    wider = viability_intervals(counts, unsure)
    assert wider["viability_low"][0] < found["viability_low"][0]
    assert wider["viability_high"][0] > found["viability_high"][0]


def test_intervals_cover_the_share_that_cells_were_drawn_with() -> None:
    rng = np.random.default_rng(0)
    for share in (0.05, 0.5, 0.9):
        live = rng.binomial(100, share, 3000).astype(float)
        counts = np.stack([live, 0 * live, 100 - live, 0 * live], axis=1)
        found = viability_intervals(counts, [np.eye(4)[[0, 2]]] * 3000)
        held = (found["viability_low"] <= share) & (share <= found["viability_high"])
        assert 0.92 < held.mean() < 0.98

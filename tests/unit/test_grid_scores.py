"""The measure of the grid benchmark: what counts as right."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="module")
def scores(repository):
    sys.path.insert(0, str(repository / "benchmarks"))
    try:
        import grid_scores

        yield grid_scores
    finally:
        sys.path.remove(str(repository / "benchmarks"))


@pytest.fixture
def truth(scores):
    r, c = np.indices((4, 6))
    nodes = np.stack([20.0 * c, 20.0 * r], axis=-1)
    present = np.ones((4, 6), bool)
    present[0] = False
    return scores.Truth(nodes, nodes + 3.0, present, (20.0, 20.0))


def test_node_and_element_are_both_right(scores, truth):
    for places in (truth.nodes, truth.centres):
        result = scores.compare_places(places, truth)
        assert result["exact"] and result["elements"] == 1
        assert result["position %"] == 0


def test_a_shift_by_one_line_has_no_label_right(scores, truth):
    result = scores.compare_places(truth.nodes + np.array([0.0, 20.0]), truth)
    assert not result["exact"] and result["elements"] == 0


def test_a_missing_first_row_moves_all_labels(scores, truth):
    result = scores.compare_places(truth.nodes[1:], truth)
    assert not result["exact"] and result["elements"] == 0


def test_a_missing_last_row_leaves_the_other_labels(scores, truth):
    result = scores.compare_places(truth.nodes[:-1], truth)
    assert not result["exact"]
    assert result["elements"] == pytest.approx(2 / 3)


def test_positions_without_a_place_are_wrong(scores, truth):
    places = np.where(truth.present[..., None], truth.nodes, np.nan)
    result = scores.compare_places(places, truth)
    assert not result["exact"] and result["elements"] == 1


def test_a_third_of_the_pitch_is_the_right_label_but_not_the_place(scores, truth):
    result = scores.compare_places(truth.nodes - np.array([7.0, 0.0]), truth)
    assert result["exact"] and result["elements"] == 0


def test_cores_need_positions_of_their_own_and_no_empty_rim(scores, truth):
    cores = truth.nodes.reshape(-1, 2) + 2.0
    assert scores.cover_cores(truth.nodes, cores, 20.0) == (1.0, True)
    half = replace(truth, nodes=truth.nodes[:, ::2]).nodes
    assert scores.cover_cores(half, cores, 20.0)[0] == 0.5
    assert scores.cover_cores(truth.nodes, cores[6:], 20.0) == (1.0, False)
    assert scores.cover_cores(np.empty((0, 0, 2)), cores, 20.0) == (0.0, False)


def test_risk_counts_wrong_ones_above_the_confidence(scores):
    table = pd.DataFrame(
        {
            "confidence": [0.99, 0.96, 0.4, 1.0],
            "right": [True, False, True, False],
            "status": ["ok", "ok", "ambiguous", "failed"],
        }
    )
    risk = scores.risk_by_confidence(table).set_index("confidence >=")
    assert risk.loc[0.95, "wrong"] == 1
    assert risk.loc[0.95, "accepted %"] == 50
    assert risk.loc[0.98, "wrong"] == 0
    assert risk.loc[0.0, "of the right %"] == 100

"""Counting right elements."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gridwell.learn.grid_evaluate import Score, peaks, right, table


def test_peaks_lie_between_pixels():
    y, x = np.indices((40, 50), np.float32)
    true = np.array([[10.3, 12.8], [30.0, 20.5], [0.2, 39.0]])
    heat = sum(np.exp(-((x - a) ** 2 + (y - b) ** 2) / 4) for a, b in true)
    found = peaks(heat.astype(np.float32), 0.5)
    assert len(found) == 3
    assert right(found, true, 0.35) == 3


def test_nothing_is_no_peak():
    assert len(peaks(np.zeros((20, 20), np.float32))) == 0


def test_each_element_counts_once():
    true = np.array([[0.0, 0.0], [10.0, 0.0]])
    found = np.array([[0.5, 0.0], [-0.6, 0.0], [10.0, 3.0]])
    assert right(found, true, 2.0) == 1
    assert right(found, true, 4.0) == 2
    assert right(found, np.zeros((0, 2)), 4.0) == 0


def test_scores_add_up():
    both = Score(10, 8, 6, 1) + Score(10, 12, 9, 1)
    assert both.recall == pytest.approx(0.75)
    assert both.precision == pytest.approx(0.75)
    assert both.images == 2
    assert math.isnan(Score(0, 3, 0, 1).recall)
    assert "| dots | 1 | – | 0 | 3 | – | 0.000 |" in table([("dots", Score(0, 3, 0, 1))])

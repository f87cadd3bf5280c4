"""What a stain says: two classes where there are two, matches where there are not."""

from __future__ import annotations

import numpy as np
import pytest
from gridwell.cells.calibration import Calibration, calibrate, evidence


def called(
    fit: Calibration, values: np.ndarray, matched: np.ndarray | None, cost: np.ndarray
) -> np.ndarray:
    """Cells that hold the stain, by the evidence and how common it is."""
    odds = np.log(fit.part / (1 - fit.part))
    return evidence(fit, values, matched, cost, np.zeros(len(values), bool)) + odds > 0


def cells(
    n: int, part: float, seed: int = 0, *, missed: float = 0.05, chance: float = 0.05
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Truth, arcsinh intensities, matches and their costs of `n` nuclei."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < part
    values = np.where(truth, rng.normal(5, 0.4, n), rng.normal(0.3, 0.5, n))
    matched = np.where(truth, rng.random(n) > missed, rng.random(n) < chance)
    cost = np.where(truth, rng.exponential(0.01, n), rng.random(n)).clip(0, 1)
    return truth, values, matched.astype(float), np.where(matched, cost, np.nan)


@pytest.mark.parametrize("part", [0.03, 0.3, 0.7, 0.97])
@pytest.mark.parametrize("missed", [0.02, 0.3])
def test_two_classes_are_told_apart(part: float, missed: float) -> None:
    truth, values, matched, cost = cells(800, part, missed=missed)
    fit = calibrate(values, matched, cost)
    assert fit.source == "intensity+match"
    assert (called(fit, values, matched, cost) == truth).mean() > 0.99


@pytest.mark.parametrize("part", [0.0, 1.0])
def test_one_class_leaves_the_word_to_the_matches(part: float) -> None:
    _, values, matched, cost = cells(800, part)
    fit = calibrate(values, matched, cost)
    assert fit.source == "match"
    assert np.array_equal(called(fit, values, matched, cost), matched == 1)


def test_faint_bodies_that_match_do_not_make_a_class() -> None:
    truth, values, matched, cost = cells(800, 0.3)
    matched[~truth], cost[~truth] = 1.0, 0.01
    fit = calibrate(values, matched, cost)
    assert (called(fit, values, matched, cost) == truth).mean() > 0.99


def test_without_segmentation_the_intensity_decides_alone() -> None:
    truth, values, _, cost = cells(800, 0.4)
    nothing = np.full(len(cost), np.nan)
    fit = calibrate(values, None, nothing)
    assert fit.source == "intensity"
    assert (called(fit, values, None, nothing) == truth).mean() > 0.99
    one = calibrate(values[truth], None, nothing[truth])
    assert one.source == "none"
    some = np.zeros(truth.sum(), bool)
    assert np.isnan(evidence(one, values[truth], None, nothing[truth], some)).all()


def test_a_few_cells_are_told_where_they_stand_far_apart() -> None:
    truth, values, matched, cost = cells(24, 0.2, missed=0.3)
    assert 3 <= truth.sum() <= 7
    fit = calibrate(values, matched, cost)
    assert fit.source == "intensity+match"
    assert (called(fit, values, matched, cost) == truth).mean() > 0.95


def test_controls_tell_one_class_from_the_other() -> None:
    """A slide whose samples are all alike: only its controls show both classes."""
    rng = np.random.default_rng(3)
    truth = np.r_[np.ones(400, bool), np.zeros(60, bool), np.ones(60, bool)]
    truth[400:420:5] = True  # not all cells of a control are of its class
    values = np.where(truth, rng.normal(1.6, 0.4, 520), rng.normal(0.0, 0.4, 520))
    kind = np.repeat([0, 1, 2], [400, 60, 60])
    none = np.full(520, np.nan)
    assert calibrate(values, None, none).source == "none"
    fit = calibrate(values, None, none, anchors=(kind == 1, kind == 2))
    assert fit.source == "controls"
    assert fit.negative[0] == pytest.approx(0.0, abs=0.2)
    assert fit.positive[0] == pytest.approx(1.6, abs=0.2)
    assert (called(fit, values, None, none) == truth).mean() > 0.95


@pytest.mark.parametrize("turned", [False, True])
def test_controls_that_do_not_stand_apart_are_no_controls(turned: bool) -> None:
    truth, values, matched, cost = cells(800, 0.4)
    rng = np.random.default_rng(1)
    some, others = rng.random((2, 800)) < 0.1
    anchors = (truth, ~truth) if turned else (some, others)
    fit = calibrate(values, matched, cost, anchors=anchors)
    assert fit.source == "intensity+match"
    assert (called(fit, values, matched, cost) == truth).mean() > 0.99


def test_light_under_the_body_of_another_proves_nothing_and_darkness_does() -> None:
    _, values, matched, cost = cells(800, 0.5)
    fit = calibrate(values, matched, cost)
    told = np.full(2, np.nan)
    bright, dark = evidence(fit, np.array([5.0, 0.3]), told, told, np.array([True, True]))
    assert bright == 0
    assert dark < -3


def test_out_of_focus_the_match_outvotes_the_intensity() -> None:
    _, values, matched, cost = cells(800, 0.5)
    fit = calibrate(values, matched, cost)
    args = np.array([5.0]), np.array([0.0]), np.array([np.nan]), np.array([False])
    assert evidence(fit, *args)[0] > 0 > evidence(fit, *args, blurred=True)[0]

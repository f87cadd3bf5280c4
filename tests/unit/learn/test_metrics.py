"""Scores of objects: cases worked out by hand, and what must hold for any images."""

from __future__ import annotations

import numpy as np
import pytest
from gridwell.learn.metrics import (
    FIELDS,
    THRESHOLDS,
    assign,
    interval,
    match,
    meetings,
    overlap,
    overlap_of,
    scores,
    tally,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment


def row(*runs: tuple[int, int]) -> np.ndarray:
    """Image of one row: (label, length) after another."""
    return np.concatenate([np.full(n, label) for label, n in runs])[None].astype(np.int32)


def judged(truth: np.ndarray, pred: np.ndarray) -> dict[str, float]:
    return {name: float(value) for name, value in scores(tally(overlap(truth, pred))).items()}


def test_case_by_hand():
    # true   1 1 1 1 1 1 1 1 . . 2 2 2 2 . . 3 3
    # found  1 1 1 1 1 1 . . . . 5 5 9 9 9 9 . .
    truth = row((1, 8), (0, 2), (2, 4), (0, 2), (3, 2))
    pred = row((1, 6), (0, 4), (5, 2), (9, 4), (0, 2))
    found = judged(truth, pred)
    # IoU: 1-1 6/8 = 0.75; 2-5 2/4 = 0.5; 2-9 2/6. At 0.5: TP 2, FP 1 (9), FN 1 (3).
    assert found["n_true"] == found["n_pred"] == 3
    assert found["ap_50"] == pytest.approx(2 / 4)
    assert found["precision"] == found["recall"] == found["f1"] == pytest.approx(2 / 3)
    # From 0.55 to 0.75 TP 1, FP 2, FN 2: 1/5; beyond 0.
    assert found["ap_60"] == found["ap_70"] == found["ap_75"] == pytest.approx(1 / 5)
    assert found["ap_80"] == found["ap_90"] == 0
    assert found["ap_mean"] == pytest.approx((0.5 + 5 * 0.2) / 10)
    # PQ = (0.75 + 0.5) / (2 + 1/2 + 1/2), SQ = 1.25 / 2.
    assert found["pq"] == pytest.approx(1.25 / 3)
    assert found["sq"] == pytest.approx(1.25 / 2)
    # AJI+: pairs share 6 + 2; unions 8 + 4; alone are 3 (2 pixels) and 9 (4 pixels).
    assert found["aji_plus"] == pytest.approx(8 / (8 + 4 + 2 + 4))
    # Pixels: true 14, found 12, both 10.
    assert found["dice"] == pytest.approx(20 / 26)
    assert found["iou"] == pytest.approx(10 / 16)
    assert found["count_error"] == 0


def test_a_half_is_matched_once():
    # Both halves have IoU 0.5 with the whole: one is right, the other false.
    found = judged(row((1, 8)), row((1, 4), (2, 4)))
    assert found["ap_50"] == pytest.approx(1 / 2)
    assert found["count_error"] == 1
    assert found["aji_plus"] == pytest.approx(4 / (8 + 4))


def test_as_many_pairs_as_can_be():
    # 1-1: 4/8, 1-2: 4/8; 2-2 needs 2 free. IoU 1-1 = 4/8, 1-2 = 4/14, 2-2 = 6/10.
    truth = row((1, 8), (2, 6))
    pred = row((1, 4), (2, 10))
    shared = overlap(truth, pred)
    assert len(match(shared, 0.5)) == 2
    assert len(match(shared, 0.55)) == 1


def test_unlabelled_pixels_count_for_nothing():
    # true   1 1 1 1 . . ? ? ? ? ? ?      1: 4 of 4 pixels; 7: 5 of 6 are unlabelled: dropped;
    # found  1 1 1 . . 7 7 7 7 7 7 .      1: 3 pixels
    truth = row((1, 4), (0, 2), (-1, 6))
    pred = row((1, 3), (0, 2), (7, 6), (0, 1))
    found = judged(truth, pred)
    assert found["n_pred"] == found["n_true"] == 1
    assert found["ap_75"] == 1
    assert found["dice"] == pytest.approx(6 / 7)
    assert found["unlabelled"] == pytest.approx(6 / 12)


def test_an_object_is_judged_by_what_is_labelled_of_it():
    # Half of the found object lies on unlabelled ground; the other half is right.
    assert judged(row((1, 3), (-1, 3)), row((4, 6)))["ap_90"] == 1


@pytest.mark.parametrize(
    ("truth", "pred", "ap", "count_error"),
    [
        (row((0, 5)), row((0, 5)), np.nan, np.nan),
        (row((1, 5)), row((0, 5)), 0, 1),
        (row((0, 5)), row((1, 5)), 0, np.nan),
        (row((-1, 5)), row((1, 5)), np.nan, np.nan),
    ],
)
def test_nothing_there_or_nothing_found(truth, pred, ap, count_error):
    found = judged(truth, pred)
    np.testing.assert_equal([found["ap_50"], found["count_error"]], [ap, count_error])


def test_pooled_scores_are_those_of_the_sums():
    # 1 of 1 right and 0 of 3: TP 1, FN 3.
    first = tally(overlap(row((1, 4)), row((1, 4))))
    second = tally(overlap(row((1, 2), (2, 2), (3, 2)), row((0, 6))))
    pooled = scores(first + second)
    assert float(pooled["ap_50"]) == 1 / 4
    assert float(pooled["count_error"]) == 3 / 4
    each = scores(np.stack([first, second]))
    assert each["ap_50"].tolist() == [1, 0]


def test_images_of_two_sizes_are_refused():
    with pytest.raises(ValueError, match="truth is"):
        overlap(np.zeros((2, 3), int), np.zeros((3, 2), int))


images = arrays(np.int32, (7, 9), elements=st.integers(-1, 6), fill=st.nothing())


@given(images, images, st.permutations(range(1, 7)), st.integers(1, 2**28))
@settings(deadline=None)
def test_names_of_objects_do_not_matter(truth, pred, order, step):
    names = np.array([0, *order, -1]) * step
    names[-1] = -1
    changed = names[np.where(pred < 0, 7, pred)]
    names[1:7] = names[1:7][::-1]
    np.testing.assert_allclose(
        tally(overlap(names[np.where(truth < 0, 7, truth)], changed)), tally(overlap(truth, pred))
    )


@given(images)
@settings(deadline=None)
def test_truth_itself_is_perfect(truth):
    found = judged(truth, truth)
    if found["n_true"]:
        for name in ("ap_50", "ap_90", "ap_mean", "f1", "pq", "sq", "aji_plus", "dice", "iou"):
            assert found[name] == 1
        assert found["count_error"] == 0


@given(images, images)
@settings(deadline=None)
def test_who_is_the_truth_matters_only_where_it_should(truth, pred):
    one, other = judged(truth, pred), judged(pred, truth)
    for name in ("ap_50", "ap_mean", "f1", "pq", "sq", "aji_plus", "dice", "iou", "unlabelled"):
        np.testing.assert_allclose(one[name], other[name])
    assert one["n_true"] == other["n_pred"]
    np.testing.assert_equal(one["precision"], other["recall"])


@given(images, images, st.integers(1, 7))
@settings(deadline=None)
def test_bands_do_not_matter(truth, pred, step):
    parts = [(truth[y : y + step], pred[y : y + step]) for y in range(0, 7, step)]
    np.testing.assert_array_equal(tally(overlap_of(*meetings(parts))), tally(overlap(truth, pred)))


@given(arrays(np.int64, (6, 5), elements=st.integers(0, 8)))
@settings(deadline=None)
def test_assignment_is_the_hungarian_one(values):
    value = values / 8.0
    rows, cols = np.nonzero(value)
    chosen = assign(rows, cols, value[rows, cols])
    assert len(set(rows[chosen])) == len(set(cols[chosen])) == len(chosen)
    best = value[linear_sum_assignment(value, maximize=True)].sum()
    assert value[rows, cols][chosen].sum() == pytest.approx(best)


@given(images, images)
@settings(deadline=None)
def test_dice_is_that_of_scikit_learn(truth, pred):
    from sklearn.metrics import f1_score, jaccard_score

    truth, pred = truth.clip(0), pred.clip(0)
    found = judged(truth, pred)
    if (truth > 0).any() or (pred > 0).any():
        flat = (truth > 0).ravel(), (pred > 0).ravel()
        assert found["dice"] == pytest.approx(f1_score(*flat))
        assert found["iou"] == pytest.approx(jaccard_score(*flat))


def test_intervals_hold_the_truth_and_pairs_are_closer():
    rng = np.random.default_rng(0)
    at = {name: place for place, name in enumerate(FIELDS)}

    def some(share: np.ndarray) -> np.ndarray:
        counts = np.zeros((40, len(FIELDS)))
        counts[:, at["n_true"]] = counts[:, at["n_pred"]] = 100
        for threshold in THRESHOLDS:
            counts[:, at[f"matched_{100 * threshold:.0f}"]] = np.round(100 * share)
        return counts

    hard = rng.uniform(0.5, 0.9, 40)
    good, better = some(hard), some(hard + 0.05)
    low, high = interval(good)["recall"]
    assert low < hard.mean() < high
    assert 0.03 < high - low < 0.12
    low, high = interval(better, good)["recall"]
    assert 0.045 < low <= high < 0.055
    assert interval(good) == interval(good)
    assert np.isnan(interval(good)["dice"]).all()
    with pytest.raises(ValueError, match="beside"):
        interval(good, better[:3])


def plainly(truth: np.ndarray, pred: np.ndarray) -> dict[str, float]:
    """Scores as the papers define them, object by object, without any of our shortcuts."""
    ours, theirs = ([image == k for k in np.unique(image) if k > 0] for image in (truth, pred))
    if not ours or not theirs:
        return {}
    both = np.array([[(t & p).sum() for p in theirs] for t in ours], float)
    either = np.array([[(t | p).sum() for p in theirs] for t in ours], float)
    iou = both / either
    found = {}
    for threshold in (0.5, 0.75, 0.9):
        good = np.where(iou >= threshold, 1 + iou / 100, 0)
        pairs = linear_sum_assignment(good, maximize=True)
        matched = iou[pairs][iou[pairs] >= threshold]
        tp, n = len(matched), len(ours) + len(theirs)
        found[f"ap_{threshold * 100:.0f}"] = tp / (n - tp)
        if threshold == 0.5:
            found["pq"] = matched.sum() / (tp + (n - 2 * tp) / 2)
    t, p = linear_sum_assignment(iou + 1e-9 * both, maximize=True)
    t, p = t[both[t, p] > 0], p[both[t, p] > 0]
    alone = sum(ours[i].sum() for i in range(len(ours)) if i not in t)
    alone += sum(theirs[i].sum() for i in range(len(theirs)) if i not in p)
    found["aji_plus"] = both[t, p].sum() / (either[t, p].sum() + alone)
    return found


@given(images, images)
@settings(deadline=None)
def test_scores_are_those_of_the_definitions(truth, pred):
    truth, pred = truth.clip(0), pred.clip(0)
    found = judged(truth, pred)
    for name, value in plainly(truth, pred).items():
        assert found[name] == pytest.approx(value), name


@given(images, st.integers(1, 6), st.integers(0, 8))
@settings(deadline=None)
def test_scores_of_like_images_are_those_of_the_definitions(truth, shrink, shift):
    truth = truth.clip(0)
    pred = np.roll(truth, shift % 2, axis=1)
    pred[pred == shrink] = 0
    found = judged(truth, pred)
    for name, value in plainly(truth, pred).items():
        assert found[name] == pytest.approx(value), name

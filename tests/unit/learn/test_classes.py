"""Scores of classes: cases worked out by hand, published numbers, and other libraries."""

from __future__ import annotations

import numpy as np
import pytest
from gridwell.learn.classes import (
    MEASURES,
    boundary_counts,
    boundary_f1,
    class_scores,
    class_tally,
    confusion,
    flat,
    reach,
)
from gridwell.learn.metrics import interval
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays


def of(matrix: list[list[float]], boundary: tuple[float, ...] | None = None) -> dict:
    counts = np.array(matrix, float)
    edge = np.full(len(counts), np.nan) if boundary is None else np.array(boundary)
    return {name: value.tolist() for name, value in class_scores(class_tally(counts, edge)).items()}


def test_confusion_has_true_rows_and_skips_the_unlabelled():
    truth = np.array([[0, 0, 1, 1, 2, -1, 0]])
    pred = np.array([[0, 1, 1, 1, 0, 2, -1]])
    assert confusion(truth, pred, 3).tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 0]]


def test_case_by_hand():
    # 100 pixels. Class 0: TP 80, FN 5 (1) + 5 (2), FP 2 + 2; class 1: TP 4, FN 2, FP 5;
    # class 2: TP 2, FN 2, FP 5.
    found = of([[80, 5, 5], [2, 4, 0], [2, 0, 2]], (0.9, 0.5, 0.1))
    assert found["accuracy"][:3] == pytest.approx([86 / 100, 93 / 100, 93 / 100])
    assert found["precision"][:3] == pytest.approx([80 / 84, 4 / 9, 2 / 7])
    assert found["recall"][:3] == pytest.approx([80 / 90, 4 / 6, 2 / 4])
    assert found["specificity"][:3] == pytest.approx([6 / 10, 89 / 94, 91 / 96])
    assert found["iou"][:3] == pytest.approx([80 / 94, 4 / 11, 2 / 9])
    # Global: 86 of 100 pixels are right; IoU 86 / (94 + 11 + 9); specificity of 200 decisions.
    assert found["accuracy"][3] == found["recall"][3] == found["precision"][3] == 0.86
    assert found["iou"][3] == pytest.approx(86 / 114)
    assert found["specificity"][3] == pytest.approx((6 + 89 + 91) / 200)
    assert np.isnan(found["boundary_f1"][3])
    # Mean and weighted by 90, 6 and 4 true pixels.
    assert found["iou"][4] == pytest.approx((80 / 94 + 4 / 11 + 2 / 9) / 3)
    assert found["iou"][5] == pytest.approx((90 * 80 / 94 + 6 * 4 / 11 + 4 * 2 / 9) / 100)
    assert found["boundary_f1"][4:] == pytest.approx([0.5, 0.9 * 0.9 + 0.06 * 0.5 + 0.04 * 0.1])
    # Weighted recall is the share of the pixels that are right, whatever the classes.
    assert found["recall"][5] == pytest.approx(0.86)


@pytest.mark.parametrize(
    ("recalls", "mean"),
    [((0.986, 0.809, 0.934), 0.9097), ((0.9931, 0.853, 0.955), 0.9337)],
)
def test_published_mean_accuracy_is_mean_recall(recalls, mean):
    # Fig. 4B of the CDL paper (MDL, CDL), its class frequencies 0.953, 0.023 and 0.024; the
    # background's recall is what its mean leaves for it.
    pixels = 1e6 * np.array([0.953, 0.023, 0.024])
    matrix = np.diag(pixels * recalls)
    matrix[:, 0] += pixels * (1 - np.array(recalls)) * [0, 1, 1]
    matrix[0, 1] += pixels[0] * (1 - recalls[0])
    found = of(matrix.tolist())
    assert found["recall"][4] == pytest.approx(mean, abs=5e-5)
    # The paper's own formula, TP / (TP + TN), would have been far from it.
    tp, total = np.diag(matrix), matrix.sum()
    tn = total - matrix.sum(0) - matrix.sum(1) + tp
    assert abs((tp / (tp + tn)).mean() - mean) > 0.3
    assert found["accuracy"][4] > mean


@pytest.mark.parametrize(
    ("ious", "mean"),
    [((0.9551, 0.459, 0.502), 0.6387), ((0.9859, 0.804, 0.869), 0.8863)],
)
def test_published_mean_iou_is_the_unweighted_one(ious, mean):
    # Fig. 4B (CIP, CDL). Two classes of size n with symmetric errors e: IoU = (n - e) / (n + e).
    each = []
    for iou in ious:
        e = 1e6 * (1 - iou) / (1 + iou)
        each.append(of([[1e6 - e, e], [e, 1e6 - e]])["iou"][0])
    assert each == pytest.approx(ious)
    assert np.mean(each) == pytest.approx(mean, abs=5e-5)


def test_a_class_that_is_nowhere_does_not_count():
    found = of([[5, 0, 1], [0, 0, 0], [0, 0, 4]])
    assert all(np.isnan(found[name][1]) for name in MEASURES)
    assert found["recall"][4] == pytest.approx((5 / 6 + 1) / 2)


def test_a_class_that_was_never_predicted_is_not_forgiven():
    found = of([[5, 0], [5, 0]])
    assert found["precision"][:2] == [0.5, 0]
    assert found["precision"][4] == 0.25


def test_boundaries_within_reach_agree():
    truth = np.zeros((20, 20), int)
    truth[5:15, 5:15] = 1
    shifted = np.roll(truth, 2, axis=1)
    exact = boundary_counts(truth, truth, 2, 0)
    # A square of 10 x 10 has a boundary of 36 pixels.
    assert exact[1].tolist() == [36, 36, 36, 36]
    assert boundary_f1(exact).tolist() == [1, 1]
    assert boundary_f1(boundary_counts(truth, shifted, 2, 2)).tolist() == [1, 1]
    # Two to the right, none apart: of the upper and lower sides columns 7 to 14 agree, 16 of 36.
    assert boundary_f1(boundary_counts(truth, shifted, 2, 0))[1] == pytest.approx(16 / 36)


def test_boundary_of_nothing():
    empty, some = np.zeros((6, 6), int), np.zeros((6, 6), int)
    some[2:4, 2:4] = 1
    assert np.isnan(boundary_f1(boundary_counts(empty, empty, 2, 1))).all()
    assert boundary_f1(boundary_counts(empty, some, 2, 1)).tolist() == [0, 0]


def test_unlabelled_ground_has_no_boundary():
    truth, pred = np.zeros((4, 9), int), np.zeros((4, 9), int)
    truth[:, 3:6] = -1
    truth[:, 6:] = 1
    pred[:, 5:] = 1
    assert np.isnan(boundary_f1(boundary_counts(truth, pred, 2, 1))).all()


def test_reach_is_a_share_of_the_diagonal():
    assert reach(300, 400) == pytest.approx(3.75)


classes = arrays(np.int64, (12, 8), elements=st.integers(-1, 3), fill=st.nothing())


@given(classes, classes, st.floats(0, 3))
@settings(deadline=None)
def test_bands_with_a_halo_do_not_matter(truth, pred, distance):
    whole = boundary_counts(truth, pred, 4, distance)
    halo, total = int(np.ceil(distance)) + 1, np.zeros_like(whole)
    for top in range(0, 12, 5):
        first, last = max(0, top - halo), min(12, top + 5 + halo)
        rows = slice(top - first, min(top + 5, 12) - first)
        total += boundary_counts(truth[first:last], pred[first:last], 4, distance, rows)
    np.testing.assert_array_equal(total, whole)


@given(classes, classes)
@settings(deadline=None)
def test_agrees_with_scikit_learn(truth, pred):
    from sklearn import metrics

    matrix = confusion(truth, pred, 4)
    keep = (truth >= 0) & (pred >= 0)
    if not keep.any():
        return
    t, p = truth[keep], pred[keep]
    np.testing.assert_array_equal(matrix, metrics.confusion_matrix(t, p, labels=range(4)))
    found = of(matrix.tolist())
    assert found["accuracy"][4] == pytest.approx(metrics.accuracy_score(t, p))
    here = sorted({*t, *p})
    for ours, theirs in (
        ("precision", metrics.precision_score),
        ("recall", metrics.recall_score),
        ("iou", metrics.jaccard_score),
    ):
        for place, average in ((4, "micro"), (5, "macro"), (6, "weighted")):
            expected = theirs(t, p, labels=here, average=average, zero_division=0)
            assert found[ours][place] == pytest.approx(expected), (ours, average)


@given(classes)
@settings(deadline=None)
def test_truth_itself_is_perfect(truth):
    edge = boundary_f1(boundary_counts(truth, truth, 4, 1))
    found = of(confusion(truth, truth, 4).tolist(), tuple(edge))
    for name in MEASURES:
        values = np.array(found[name])
        assert set(values[np.isfinite(values)]) <= {1.0}


def test_intervals_of_classes():
    rng = np.random.default_rng(1)
    tallies = []
    for _ in range(20):
        truth = rng.integers(0, 3, (30, 30))
        pred = np.where(rng.uniform(size=truth.shape) < 0.8, truth, 0)
        edge = boundary_f1(boundary_counts(truth, pred, 3, 1))
        tallies.append(class_tally(confusion(truth, pred, 3), edge).ravel())
    pooled = flat(np.sum(tallies, axis=0))
    low, high = interval(np.stack(tallies), scores=flat)["mean_iou"]
    assert low < pooled["mean_iou"] < high
    assert high - low < 0.05
    assert "global_boundary_f1" not in pooled

"""Simulated autophagy has the published shares of classes, and its teacher the published errors."""

from __future__ import annotations

import numpy as np
import pytest
from gridwell.learn.boxes import box_scores, box_tally, boxes_of_classes
from gridwell.learn.classes import class_scores, confusion
from gridwell.phantom.autophagy import CLASSES, SHARES, autophagy, teacher
from skimage.measure import label
from skimage.segmentation import clear_border

COUNT = 60


@pytest.fixture(scope="module")
def truths():
    return [autophagy(seed) for seed in range(COUNT)]


def test_equal_seeds_give_equal_images():
    one, other = autophagy(5, 96), autophagy(5, 96)
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.classes, other.classes)
    np.testing.assert_array_equal(teacher(one, 1), teacher(other, 1))
    assert not np.array_equal(teacher(one, 1), teacher(one, 2))


def test_truth_is_consistent(truths):
    for truth in truths[:10]:
        assert truth.image.shape == (2, *truth.classes.shape)
        assert truth.image.dtype == np.uint16 and truth.image.max() <= 4095
        count = len(truth.events.kind)
        assert truth.marks.max() == count
        # The image's edge may cut a crescent in two.
        inner = clear_border(truth.marks)
        assert label(inner, connectivity=2).max() == len(np.unique(inner)) - 1
        np.testing.assert_array_equal(np.append(0, truth.events.kind)[truth.marks], truth.classes)


def test_shares_of_the_classes_are_as_published(truths):
    pixels = np.bincount(np.concatenate([truth.classes.ravel() for truth in truths]))
    assert pixels / pixels.sum() == pytest.approx(SHARES, abs=0.004)


def test_colours_tell_the_classes_apart(truths):
    green, red = np.concatenate(
        [truth.image.reshape(2, -1) / np.median(truth.image, (1, 2))[:, None] for truth in truths],
        axis=1,
    )
    kind = np.concatenate([truth.classes.ravel() for truth in truths])
    ratio = np.log((green + 0.1) / (red + 0.1))
    assert np.median(ratio[kind == 1]) > 0.3 > -0.3 > np.median(ratio[kind == 2])


def test_the_teacher_errs_as_published(truths):
    taught = [teacher(truth, seed) for seed, truth in enumerate(truths)]
    matrix = sum(
        confusion(truth.classes, given, 3) for truth, given in zip(truths, taught, strict=True)
    )
    iou = class_scores(np.column_stack([matrix, np.zeros((3, 2))]))["iou"]
    assert iou[4] == pytest.approx(0.6387, abs=0.03)  # mean of the classes
    assert iou[1:3] == pytest.approx([0.45, 0.5], abs=0.06)
    published = {"phagophore": (0.13, 0.539), "autolysosome": (0.44, 0.294)}
    for name, (false, missed) in published.items():
        tally = sum(
            box_tally(
                boxes_of_classes(truth.classes, CLASSES).of_class(name),
                boxes_of_classes(given, CLASSES).of_class(name),
            )
            for truth, given in zip(truths, taught, strict=True)
        )
        found = box_scores(tally)
        assert found["fp_ratio"] == pytest.approx(false, abs=0.06)
        assert found["fn_ratio"] == pytest.approx(missed, abs=0.06)


def test_systematic_errors_follow_from_the_events(truths):
    def faintness(systematic: float, of_image: float) -> float:
        """How much fainter missed events are than others."""
        missed, kept = [], []
        for seed, truth in enumerate(truths):
            given = teacher(truth, seed, systematic, of_image)
            seen = np.zeros(len(truth.events.kind) + 1, bool)
            seen[np.unique(truth.marks[given > 0])] = True
            real = truth.events.kind > 0
            missed.append(truth.events.faintness[real & ~seen[1:]])
            kept.append(truth.events.faintness[real & seen[1:]])
        return float(np.mean(np.concatenate(missed)) - np.mean(np.concatenate(kept)))

    assert faintness(1.0, 0.0) > faintness(0.4, 0.2) + 0.3
    assert faintness(0.4, 0.2) > 0.5
    assert faintness(0.0, 0.0) == pytest.approx(0, abs=0.15)

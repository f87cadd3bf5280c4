"""What a stain says: two classes where there are two, matches where there are not."""

from __future__ import annotations

import numpy as np
import pytest
from gridwell.cells.stain import calibrate, posterior, sharpness, stain_under


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
    assert ((posterior(fit, values, matched, cost) > 0.5) == truth).mean() > 0.99


@pytest.mark.parametrize("part", [0.0, 1.0])
def test_one_class_leaves_the_word_to_the_matches(part: float) -> None:
    _, values, matched, cost = cells(800, part)
    fit = calibrate(values, matched, cost)
    assert fit.source == "match"
    assert np.array_equal(posterior(fit, values, matched, cost) > 0.5, matched == 1)


def test_faint_bodies_that_match_do_not_make_a_class() -> None:
    truth, values, matched, cost = cells(800, 0.3)
    matched[~truth], cost[~truth] = 1.0, 0.01
    fit = calibrate(values, matched, cost)
    assert ((posterior(fit, values, matched, cost) > 0.5) == truth).mean() > 0.99


def test_without_segmentation_the_intensity_decides_alone() -> None:
    truth, values, _, cost = cells(800, 0.4)
    nothing = np.full(len(cost), np.nan)
    fit = calibrate(values, None, nothing)
    assert fit.source == "intensity"
    assert ((posterior(fit, values, None, nothing) > 0.5) == truth).mean() > 0.99
    one = calibrate(values[truth], None, nothing[truth])
    assert one.source == "none"
    assert np.isnan(posterior(one, values[truth], None, nothing[truth])).all()


def test_a_nucleus_says_nothing_of_itself_but_its_own_pixels() -> None:
    labels = np.zeros((80, 80), np.uint32)
    labels[20:30, 20:30], labels[20:30, 31:41], labels[60:70, 60:70] = 1, 2, 3
    stain = np.full(labels.shape, 100, np.uint16)
    stain[20:30, 18:36] = 900  # the body of 1, which reaches over half of 2
    bodies = np.zeros_like(labels)
    bodies[20:30, 18:36] = 7
    owner = np.zeros(8, np.int64)
    owner[7] = 1
    mask = np.ones(labels.shape, bool)
    names, value, covered, _ = stain_under(
        labels, stain, bodies, owner=owner, shift=np.zeros(2), mask=mask
    )
    assert names.tolist() == [1, 2, 3]
    assert value == pytest.approx([800, 0, 0], abs=40)
    assert covered.tolist() == [False, False, False]
    # A stain that is displaced is looked for where it is.
    shift = np.array([4.0, -3.0])
    rolled = [np.roll(image, (-3, 4), axis=(0, 1)) for image in (stain, bodies)]
    _, moved, _, _ = stain_under(labels, *rolled, owner=owner, shift=shift, mask=mask)
    assert moved == pytest.approx(value, abs=5)


def test_sharpness_falls_with_blur_and_not_with_brightness() -> None:
    import cv2

    labels = np.zeros((120, 120), np.uint32)
    image = np.zeros(labels.shape, np.float32)
    for k, (x, y) in enumerate([(30, 30), (80, 40), (50, 90)], start=1):
        cv2.circle(image, (x, y), 9, 1000, -1)
        labels[cv2.circle(np.zeros(labels.shape, np.uint8), (x, y), 9, 1, -1) > 0] = k
    focus = [sharpness(labels, cv2.GaussianBlur(image, (0, 0), s)) for s in (0.8, 2, 4)]
    assert focus[0] > 1.3 * focus[1] > 1.3 * 1.3 * focus[2]
    assert sharpness(labels, 0.1 * image + 500) == pytest.approx(sharpness(labels, image), rel=0.01)
    assert np.isnan(sharpness(np.zeros_like(labels), image))

"""How much of a stain lies under a nucleus, and how sharp a spot is."""

from __future__ import annotations

import numpy as np
import pytest
from gridwell.cells.stain import flattened, sharpness, stain_under
from gridwell.config.models import SegmentMethod
from gridwell.segment.light import correct_light


def test_a_nucleus_says_nothing_of_itself_but_its_own_pixels() -> None:
    labels = np.zeros((80, 80), np.uint32)
    labels[20:30, 20:30], labels[20:30, 31:41], labels[60:70, 60:70] = 1, 2, 3
    stain = np.full(labels.shape, 100, np.uint16)
    stain[20:30, 18:36] = 900  # the body of 1, which reaches over half of 2
    bodies = np.zeros_like(labels)
    bodies[20:30, 18:36] = 7
    held = np.array([0, 7, 0, 0])
    mask = np.ones(labels.shape, bool)
    names, value, covered, _ = stain_under(
        labels, stain, bodies, held=held, shift=np.zeros(2), mask=mask
    )
    assert names.tolist() == [1, 2, 3]
    assert value == pytest.approx([800, 0, 0], abs=40)
    assert covered.tolist() == [False, False, False]
    # A stain that is displaced is looked for where it is.
    shift = np.array([4.0, -3.0])
    rolled = [np.roll(image, (-3, 4), axis=(0, 1)) for image in (stain, bodies)]
    _, moved, _, _ = stain_under(labels, *rolled, held=held, shift=shift, mask=mask)
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


@pytest.mark.parametrize("seed", range(5))
def test_the_background_is_that_of_the_conventional_methods(seed: int) -> None:
    random = np.random.default_rng(seed)
    slope = np.add.outer(np.arange(150), 0.3 * np.arange(180))
    image = random.poisson(300 + slope).astype(np.uint16)
    image[40:60, 50:70] += 900
    mask = np.ones(image.shape, bool)
    flat, base, noise = flattened(image, mask, None)
    known, levels = correct_light(image, SegmentMethod(sigma=0, background=50), mask)
    np.testing.assert_array_equal(flat, known)
    assert (base, noise) == (levels.base, levels.noise)
    assert abs(np.median(flat[:30]) - np.median(flat[-30:])) < noise / 5


@pytest.mark.parametrize("count", [1, 2, 3, 4, 10])
def test_a_third_of_a_nucleus_is_darker_than_what_it_says(count: int) -> None:
    labels, image = np.zeros((40, 40), np.uint32), np.full((40, 40), 100, np.uint16)
    labels[20, 5 : 5 + count] = 7
    image[20, 5 : 5 + count] = 1000 + 100 * np.random.default_rng(1).permutation(count)
    names, value, _, _ = stain_under(
        labels, image, None, held=np.zeros(8, int), shift=np.zeros(2), mask=np.ones((40, 40), bool)
    )
    assert names.tolist() == [7]
    assert value[0] == pytest.approx(900 + 100 * ((count - 1) // 3), abs=20)

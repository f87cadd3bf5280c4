"""Agreement of label images against cases counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from gridwell.segment.agreement import agreement, overlaps
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays


def boxes(*places: tuple[int, int, int, int]) -> np.ndarray:
    labels = np.zeros((20, 20), np.uint32)
    for number, (y0, y1, x0, x1) in enumerate(places, start=1):
        labels[y0:y1, x0:x1] = number * 3
    return labels


def test_counts_of_common_pixels() -> None:
    shared, sizes, others = overlaps(boxes((0, 4, 0, 4)), boxes((0, 4, 2, 6), (10, 12, 0, 2)))
    assert shared.tolist() == [[8, 0]]
    assert (sizes.tolist(), others.tolist()) == ([16], [16, 4])


def test_by_hand() -> None:
    one = boxes((0, 4, 0, 4), (10, 14, 0, 4))
    assert agreement(one, one) == 1
    # One of the two at an overlap of 12 of 16, the other missed, one extra of 8 pixels.
    other = boxes((0, 3, 0, 4), (10, 12, 10, 14))
    f1, aji = 2 * 1 / 4, 12 / (16 + 16 + 8)
    assert agreement(one, other) == pytest.approx((f1 + aji) / 2)
    # An overlap of exactly one half is no match, but counts for the area.
    half = boxes((0, 4, 0, 2))
    assert agreement(boxes((0, 4, 0, 4)), half) == pytest.approx((0 + 0.5) / 2)


def test_empty_images() -> None:
    empty = boxes()
    assert agreement(empty, empty) == 1
    assert agreement(empty, boxes((0, 4, 0, 4))) == 0


@given(arrays(np.uint8, (6, 7), elements=st.integers(0, 4)), st.randoms())
def test_order_and_names_do_not_matter(labels: np.ndarray, random: object) -> None:
    other = np.roll(labels, 1, axis=1)
    assert agreement(labels, other) == pytest.approx(agreement(other, labels))
    assert agreement(labels, labels.astype(np.uint32) * 1000) == 1

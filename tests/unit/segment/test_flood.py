"""One watershed over distance maps: nothing is lost to it, and row bands leave no seams."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from gridwell.learn.metrics import overlap, scores, tally
from gridwell.learn.targets import instance_targets
from gridwell.phantom.fields import field
from gridwell.segment.flood import FloodOptions, instances, stream_instances
from gridwell.segment.pixels import distance
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

OPTIONS = FloodOptions()


def maps_of(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    maps = instance_targets(labels)
    return maps.cell, maps.neighbour, maps.inside


@pytest.mark.parametrize("kind", ["nuclei", "live", "dead"])
def test_perfect_maps_give_all_objects_back(kind):
    counts = []
    for seed in range(30):
        labels = field(kind, seed).labels
        counts.append(tally(overlap(labels, instances(*maps_of(labels), OPTIONS))))
    assert scores(np.sum(counts, 0))["ap_50"] >= 0.99


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 50),
    core=st.integers(20, 200),
    block=st.integers(1, 150),
    halo=st.integers(100, 180),
)
def test_row_bands_leave_no_seams(seed, core, block, halo):
    labels = field("nuclei", seed).labels
    if np.bincount(labels[labels > 0], minlength=1).max() > 50**2:
        return  # the halo must be larger than the objects
    maps = maps_of(labels)
    whole = instances(*maps, OPTIONS)
    rows = ((y0, *(one[y0 : y0 + block] for one in maps)) for y0 in range(0, len(labels), block))
    out = np.zeros(labels.shape, np.uint32)
    count = stream_instances(rows, OPTIONS, out, core=core, halo=halo)
    assert count == whole.max()
    np.testing.assert_array_equal(out, whole)


def test_two_touching_discs_are_two_objects_and_a_dented_one_is_one():
    y, x = np.mgrid[:60, :100]
    one, two = np.hypot(y - 30, x - 30) < 15, np.hypot(y - 30, x - 58) < 15
    labels = one + 2 * (two & ~one)
    assert instances(*maps_of(labels.astype(np.int32)), OPTIONS).max() == 2
    dented = (one | (np.hypot(y - 30, x - 38) < 14)).astype(np.int32)
    assert instances(*maps_of(dented), OPTIONS).max() == 1


def test_labels_are_numbered_in_raster_order_without_gaps():
    found = instances(*maps_of(field("nuclei", 3).labels), OPTIONS)
    names, first = np.unique(found, return_index=True)
    assert names.tolist() == list(range(len(names)))
    assert (np.diff(first[names > 0]) > 0).all()


def test_nothing_is_found_where_there_is_nothing():
    empty = np.zeros((30, 40), np.float32)
    assert instances(empty, empty, empty, OPTIONS).max() == 0


def test_distances_are_the_same_bits_every_time():
    rng = np.random.default_rng(0)
    for side in (63, 64, 97):
        mask = np.pad(cv2.GaussianBlur(rng.random((side, side)), (0, 0), 3) > 0.48, 1)
        first = distance(mask)
        np.testing.assert_allclose(first, distance_transform_edt(mask), rtol=1e-6)
        for shift in range(1, 8):
            # The same values at another place in memory, where the last bit used to differ.
            moved = np.zeros(mask.size + 64, bool)[shift : shift + mask.size].reshape(mask.shape)
            moved[:] = mask
            np.testing.assert_array_equal(distance(moved), first)

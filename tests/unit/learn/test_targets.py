"""Distance maps: what they are where the answer is known."""

from __future__ import annotations

import numpy as np
from gridwell.learn.targets import instance_targets


def test_cell_distance_is_one_in_the_middle_whatever_the_size():
    labels = np.zeros((60, 60), np.int32)
    labels[5:10, 5:10] = 1
    labels[20:51, 20:51] = 2
    maps = instance_targets(labels)
    assert maps.cell[7, 7] == 1
    assert maps.cell[35, 35] == 1
    assert maps.cell[20, 35] == np.float32(1 / 16)  # one of sixteen pixels deep
    assert maps.cell[labels == 0].max() == 0


def test_neighbour_distance_is_one_where_objects_touch_and_zero_without_neighbours():
    labels = np.zeros((40, 60), np.int32)
    labels[10:20, 10:20] = 1
    labels[10:20, 20:30] = 2
    labels[10:20, 45:55] = 3
    near = instance_targets(labels).neighbour
    assert (near[11:19, 19] == 1).all()
    assert (near[11:19, 20] == 1).all()
    assert near[15, 19] > near[15, 17] > near[15, 14]
    assert near[labels == 3].max() == 0
    assert near[labels == 0].max() == 0


def test_objects_that_are_not_known_whole_count_for_nothing():
    labels = np.zeros((40, 40), np.int32)
    labels[5:15, 5:15] = 1
    labels[20:30, 20:30] = 2
    labels[:, 14:18] = -1
    weight = instance_targets(labels).weight
    assert weight[labels == 1].max() == 0
    assert weight[labels == 2].min() == 1
    assert weight[labels == -1].max() == 0


def test_the_rim_of_the_image_is_no_outline():
    labels = np.zeros((20, 20), np.int32)
    labels[:8, 4:16] = 1
    cell = instance_targets(labels).cell
    assert cell[0, 9] == 1
    assert cell[7, 9] < 0.2

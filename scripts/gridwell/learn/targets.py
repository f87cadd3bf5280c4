"""Instances as maps that a network can learn: distances within a cell and to its neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from gridwell.images.label_files import UNLABELLED
from gridwell.segment.pixels import distance

Image = npt.NDArray[np.float32]

# How far an object looks for neighbours, beyond its own radius, in pixels.
_NEAR = 3.0


@dataclass(frozen=True)
class Targets:
    """What a network shall say of an image.

    Attributes
    ----------
    cell
        Distance to the outline over the largest in the object, float32 (h, w) in 0..1.
    neighbour
        1 where an object touches another, falling to 0 away from it, float32 (h, w) in 0..1.
    inside
        1 within objects, float32 (h, w).
    weight
        0 where nothing is known, float32 (h, w).
    """

    cell: Image
    neighbour: Image
    inside: Image
    weight: Image


def instance_targets(labels: npt.NDArray[np.int32]) -> Targets:
    """Turn instances into distance maps.

    The cell distance is normalised per object, so that small cells count as much as large ones.
    The neighbour distance is 1 at pixels that touch another object and falls with the distance
    to it, relative to the object's own radius. Objects that an unlabelled region cuts are not
    known whole and count as unlabelled; the rim of the image does not count as an outline.

    Parameters
    ----------
    labels
        int32 (h, w): 0 background, 1..k objects, -1 unlabelled.

    References
    ----------
    T. Scherr et al., PLoS ONE 15 (2020) e0243219; the contrast curve of the neighbour distance
    and the gaps between near objects are simpler here.
    """
    shape = labels.shape
    cell, neighbour = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    weight = (labels != UNLABELLED).astype(np.float32)
    cut = np.unique(
        labels[cv2.dilate((labels == UNLABELLED).astype(np.uint8), np.ones((3, 3))) > 0]
    )
    weight[np.isin(labels, cut[cut > 0])] = 0
    taken = np.maximum(labels, 0)
    for number, (rows, cols) in _boxes(taken):
        _draw(taken, number, (rows, cols), cell, neighbour)
    return Targets(cell, neighbour, (taken > 0).astype(np.float32), weight)


def _boxes(labels: npt.NDArray[np.int32]) -> list[tuple[int, tuple[slice, slice]]]:
    from scipy.ndimage import find_objects

    return [(n, box) for n, box in enumerate(find_objects(labels), start=1) if box is not None]


def _draw(
    labels: npt.NDArray[np.int32],
    number: int,
    box: tuple[slice, slice],
    cell: Image,
    neighbour: Image,
) -> None:
    """Draw the distances of one object."""
    (h, w), (rows, cols) = labels.shape, box
    size = max(rows.stop - rows.start, cols.stop - cols.start)
    around = int(size / 2 + 2 * _NEAR)
    window = np.s_[
        max(0, rows.start - around) : min(h, rows.stop + around),
        max(0, cols.start - around) : min(w, cols.stop + around),
    ]
    part = labels[window]
    own = part == number
    depth = distance(_beyond(own))[1:-1, 1:-1]
    deepest = float(depth[own].max())
    cell[window][own] = depth[own] / deepest
    others = (part > 0) & ~own
    if others.any():
        gap = distance(~others)
        near = 1 - np.clip((gap[own] - 1) / (deepest + _NEAR), 0, 1)
        # A steep curve: what counts is where objects touch.
        neighbour[window][own] = near**2


def _beyond(own: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Let an object go on beyond the window, which only the image's rim can cut."""
    return np.pad(own.astype(np.uint8), 1, mode="edge")

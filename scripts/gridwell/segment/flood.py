"""From distance maps to instances: one watershed from the prominent centres, without seams."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from gridwell.images.compiled import compiled

Array = np.ndarray[Any, np.dtype[Any]]

# Heights between -1 and 1 are flooded in so many steps; finer ones change no object.
_STEPS = 1024


@dataclass(frozen=True)
class FloodOptions:
    """Where cells begin and end in the maps of a network.

    Attributes
    ----------
    inside
        Least chance of a pixel to belong to an object.
    apart
        How much the nearness of another object lowers the height.
    prominence
        How far two centres of one object may stick out of the saddle between them; from there
        on they are two objects.
    peak
        Least height of the centre of an object.
    least_area
        Of an object, in pixels of the maps.
    """

    inside: float = 0.5
    apart: float = 0.6
    prominence: float = 0.25
    peak: float = 0.25
    least_area: int = 4


def instances(cell: Array, neighbour: Array, inside: Array, options: FloodOptions) -> Array:
    """Label the objects that maps show.

    The height of a pixel is its distance to the outline, less where another object is near. It
    is flooded from its maxima downwards; where two floods meet, the lower maximum stays an
    object of its own if it is prominent, and joins the other one if not.

    Parameters
    ----------
    cell, neighbour, inside
        float32 (h, w): normalised distance to the outline, nearness of another object, chance
        to be within an object.
    options
        Thresholds.

    Returns
    -------
    labels
        uint32 (h, w): 0 background, 1..k objects in the raster order of their first pixels.

    References
    ----------
    T. Scherr et al., PLoS ONE 15 (2020) e0243219 (the maps); L. Vincent, P. Soille, IEEE PAMI
    13 (1991) 583 (watershed by immersion); M. Grimaud, Proc. SPIE 1769 (1992) 292 (prominence).
    """
    return _in_order(_flooded(cell, neighbour, inside, options)[0])


def stream_instances(
    maps: Iterable[tuple[int, Array, Array, Array]],
    options: FloodOptions,
    out: Array,
    *,
    core: int = 512,
    halo: int = 256,
) -> int:
    """Label the objects of maps that come row by row; memory does not grow with their height.

    Rows are worked on in cores with a halo above and below. An object belongs to the core that
    its centre lies in, and is flooded together with everything in the halo: as long as objects
    are smaller than that, the cores leave no seams.

    Parameters
    ----------
    maps
        First row, and the maps of `instances`, each (rows, w), without gaps.
    options
        Thresholds.
    out
        uint32 (h, w) of zeros, such as a file in memory; gets the labels: 0 background, 1..k in
        the raster order of first pixels.
    core, halo
        Rows.

    Returns
    -------
    count
        Number of objects.
    """
    height, count, top, begin = out.shape[0], 0, 0, 0
    kept: list[Array] = []
    firsts: list[Array] = []
    for _, *blocks in maps:
        parts = zip(kept, blocks, strict=True) if kept else ((block,) for block in blocks)
        kept = [np.concatenate(part) for part in parts]
        known = top + len(kept[0])
        while begin < height and (known >= begin + core + halo or known == height):
            end = min(begin + core, height)
            window = slice(0, min(end + halo, height) - top)
            cell, neighbour, inside = (part[window] for part in kept)
            labels, centres = _flooded(cell, neighbour, inside, options)
            row = centres // labels.shape[1] + top
            owned = _chosen(labels, (row >= begin) & (row < end))
            place = _write(owned, out[top : top + len(owned)], count)
            firsts.append(place + top * out.shape[1])
            count += len(place)
            begin, first = end, max(0, end - halo)
            kept = [part[first - top :] for part in kept]
            top = first
    _renumber(out, np.concatenate(firsts) if firsts else np.zeros(0, np.int64), core)
    return count


def _write(owned: Array, out: Array, count: int) -> Array:
    """Write objects 1..n where no earlier one is, from number `count` + 1; tell first pixels."""
    free = np.where(out == 0, owned, 0)
    labels = _in_order(free)
    at = labels > 0
    out[at] = labels[at] + np.uint32(count)
    return np.unique(labels, return_index=True)[1][int(not at.all()) :]


def _renumber(out: Array, firsts: Array, rows: int) -> None:
    """Number objects in the raster order of their first pixels, in place."""
    number = np.zeros(len(firsts) + 1, np.uint32)
    number[np.argsort(firsts, kind="stable") + 1] = np.arange(1, len(firsts) + 1)
    for y in range(0, len(out), rows):
        out[y : y + rows] = number[out[y : y + rows]]


def _chosen(labels: Array, chosen: Array) -> Array:
    """Keep some of the objects 1..k."""
    return np.where(np.concatenate([[False], chosen])[labels], labels, 0)


def _flooded(
    cell: Array, neighbour: Array, inside: Array, options: FloodOptions
) -> tuple[Array, Array]:
    """Label objects 1..k, int32, and tell the flat index of the centre of each."""
    # A frame of one pixel, so that each pixel of the mask has all its neighbours.
    mask = np.pad(inside > options.inside, 1)
    height = cell - options.apart * np.clip(neighbour, 0, 1) ** 2
    height = cv2.GaussianBlur(np.clip(height, -1, 1).astype(np.float32), (0, 0), 0.7)
    steps = np.pad(((height + 1) * (_STEPS / 2 - 0.5)).astype(np.int16), 1)
    labels = np.zeros(steps.shape, np.int32)
    around = (-steps.shape[1], -1, 1, steps.shape[1])
    order = _falling(steps.ravel(), mask.ravel())
    prominence = int(options.prominence * _STEPS / 2)
    peak = int((options.peak + 1) * (_STEPS / 2 - 0.5))
    least = prominence, peak, options.least_area
    centres = _immerse(steps.ravel(), order, labels.ravel(), around, least)
    row, col = np.divmod(centres, steps.shape[1])
    return labels[1:-1, 1:-1], (row - 1) * cell.shape[1] + col - 1


@compiled
def _in_order(labels: Array) -> Array:
    """Number objects without gaps in the raster order of their first pixels."""
    number = np.zeros(labels.max() + 1, np.uint32)
    ordered = np.zeros(labels.shape, np.uint32)
    count = 0
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            label = labels[y, x]
            if label > 0 and number[label] == 0:
                count += 1
                number[label] = count
            ordered[y, x] = number[label]
    return ordered


@compiled
def _falling(steps: Array, mask: Array) -> Array:
    """Pixels of the mask by falling height, in raster order where equal: a counting sort."""
    start = np.zeros(_STEPS + 1, np.int64)
    for at in range(steps.size):
        if mask[at]:
            start[_STEPS - steps[at]] += 1
    total = 0
    for level in range(_STEPS + 1):
        start[level], total = total, total + start[level]
    order = np.empty(total, np.int64)
    for at in range(steps.size):
        if mask[at]:
            level = _STEPS - steps[at]
            order[start[level]] = at
            start[level] += 1
    return order


@compiled
def _root(parent: Array, label: int) -> int:
    while parent[label] != label:
        parent[label] = parent[parent[label]]
        label = parent[label]
    return label


@compiled
def _immerse(
    steps: Array, order: Array, labels: Array, around: tuple[int, ...], least: tuple[int, ...]
) -> Array:
    """Flood pixels in their order; return the centres of the objects left, in `labels`.

    `around` are the steps to the neighbours of a pixel, `least` the prominence and the height
    that the centre of an object has at least, and its least area.
    """
    prominence, peak, least_area = least
    # Of a mask of single pixels, each is a maximum.
    parent = np.zeros(order.size + 1, np.int32)
    centre = np.zeros(order.size + 1, np.int64)
    count = 0
    for at in order:
        own, highest = 0, -1
        for offset in around:
            if labels[at + offset] > 0 and steps[at + offset] > highest:
                own, highest = labels[at + offset], steps[at + offset]
        if own == 0:
            count += 1
            parent[count], centre[count], labels[at] = count, at, count
            continue
        labels[at] = own
        for offset in around:
            if labels[at + offset] > 0:
                one, other = _root(parent, own), _root(parent, labels[at + offset])
                # Maxima are numbered from the highest down.
                low, high = max(one, other), min(one, other)
                top = steps[centre[low]]
                if top - steps[at] < prominence or top < peak:
                    parent[low] = high
    area = np.zeros(count + 1, np.int64)
    for at in order:
        labels[at] = _root(parent, labels[at])
        area[labels[at]] += 1
    number = np.zeros(count + 1, np.int32)
    kept = 0
    for label in range(1, count + 1):
        if area[label] >= max(least_area, 1) and steps[centre[label]] >= peak:
            kept += 1
            number[label] = kept
            centre[kept] = centre[label]
    for at in order:
        labels[at] = number[labels[at]]
    return centre[1 : kept + 1].copy()

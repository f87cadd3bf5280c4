"""Features of labelled objects, all objects at once.

The definitions are those of scikit-image's ``regionprops``; the work is done by compiled loops
over runs: pixels of one object that follow each other in a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import pandas as pd

from gridwell.images.compiled import compiled

Array = np.ndarray[Any, np.dtype[Any]]

# Of each object where its runs begin; of each run the row, first column and the one behind it.
Runs = tuple[Array, Array, Array, Array]

# A way between pixels in one number, so that the least is the one to choose: its length in
# 1/65536 of a pixel, the rank of its last step, and in the last 32 bits the object it comes from.
_LENGTH, _RANK, _FAR = 2**36, 2**32, 2**62
# Steps down and to the right, as ways: those of OpenCV's DIST_MASK_5, in its order.
_STEPS = (
    (2, 1, 143976 * _LENGTH + 1 * _RANK),
    (2, -1, 143976 * _LENGTH + 2 * _RANK),
    (1, 2, 143976 * _LENGTH + 3 * _RANK),
    (1, 1, 91750 * _LENGTH + 4 * _RANK),
    (1, 0, 65536 * _LENGTH + 5 * _RANK),
    (1, -1, 91750 * _LENGTH + 6 * _RANK),
    (1, -2, 143976 * _LENGTH + 7 * _RANK),
)
_BESIDE = 65536 * _LENGTH + 8 * _RANK
# A ring begins so many pixels off its object: pixels that touch it are left out.
_GAP = 1.2


def measure(
    labels: Array,
    image: Array,
    others: Mapping[str, Array],
    ring: float,
    mask: Array | None = None,
) -> pd.DataFrame:
    """Measure every object of one spot.

    Parameters
    ----------
    labels
        Integers (h, w), 0 background; numbers need not be consecutive.
    image
        Own channel, unsigned integers of at most 32 bits, (h, w).
    others
        Other channels, (h, w) each: ``mean_<name>`` under the object and ``ring_<name>`` in
        the ring around it are added in this order.
    ring
        Width of the ring, in pixels. It begins one pixel off the object, holds no pixel of any
        object, and a pixel near two objects belongs to the nearer one.
    mask
        Outline of the spot, bool (h, w), for `edge` and the spot's background; None: all.

    Returns
    -------
    table
        One row an object, ordered by label; columns of ``instances/<channel>.parquet`` without
        the spot, x, y and orientation in the frame of the image, then those of `others`.
        ``ring_<name>`` is NaN where an object has no ring.
    """
    labels = np.asarray(labels)
    names, runs = _grouped(labels)
    area = _counts(*runs)
    near = _rings(labels.shape, _beyond(_GAP), _beyond(_GAP + ring), runs)
    _, around = _grouped(near, np.arange(names.size, dtype=np.int32) + 1)
    size = _counts(*around)
    background = _medians(image, *around)
    if (size == 0).any():
        background[size == 0] = _spot_background(labels, image, mask)
    columns = {
        "label": names.astype(np.int64),
        **_shapes(area, _moments(*runs), _hull_areas(*runs)),
        "mean": _sums(image, *runs) / area,
        "median": _medians(image, *runs),
        "max": _maxima(image, *runs),
        "background": background,
        "edge": _sums(_inner(labels.shape, mask), *runs) < area,
    }
    for name, other in others.items():
        columns[f"mean_{name}"] = _sums(other, *runs) / area
        total = _sums(other, *around)
        columns[f"ring_{name}"] = np.where(size > 0, total / np.maximum(size, 1), np.nan)
    return pd.DataFrame(columns)


def _grouped(labels: Array, names: Array | None = None) -> tuple[Array, Runs]:
    """Labels, all or the given ones, and their runs, of each in raster order.

    The runs of the i-th label are those from ``start[i]`` up to below ``start[i + 1]``; each
    has a row, a first column, and the column behind its last one.
    """
    label, y, x, end = _runs(labels)
    order = np.argsort(label, kind="stable")
    label = label[order]
    if names is None:
        names = np.unique(label)
    start = np.append(np.searchsorted(label, names), label.size)
    return names, (start, y[order], x[order], end[order])


def _counts(start: Array, y: Array, x: Array, end: Array) -> Array:
    """Count the pixels of each object."""
    return np.diff(np.append(0, np.cumsum(end - x, dtype=np.int64))[start])


def _shapes(area: Array, moments: Array, hull: Array) -> dict[str, Array]:
    """Describe each object by its moments up to the second and the area of its hull."""
    y, x, yy, xx, xy = moments
    # Eigenvalues of the covariance; noise of the last digit must not make a disc elongated.
    half = np.hypot((xx - yy) / 2, xy)
    half[half < 1e-12 * (xx + yy)] = 0
    long, short = (xx + yy) / 2 + half, np.maximum((xx + yy) / 2 - half, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        eccentricity = np.where(long > 0, np.sqrt(1 - short / long), 0.0)
    return {
        "x": x,
        "y": y,
        "area": area,
        "eccentricity": eccentricity,
        "major_axis": 4 * np.sqrt(long),
        "minor_axis": 4 * np.sqrt(short),
        "orientation": np.where(half > 0, _direction(xx, yy, xy), 0.0),
        "solidity": area / hull,
    }


def _direction(xx: Array, yy: Array, xy: Array) -> Array:
    """Angle of the long axis from the x axis towards y (clockwise on screen), (-90, 90]."""
    angle = np.degrees(np.arctan2(2 * xy, xx - yy)) / 2
    return np.where(angle <= -90, angle + 180, angle)


def _beyond(distance: float) -> int:
    """Return the least of the ways that are longer than a distance in pixels."""
    return min((int(np.float32(distance) * 65536.0) + 1) * _LENGTH, _FAR)


def _spot_background(labels: Array, image: Array, mask: Array | None) -> float:
    free = labels == 0
    if mask is not None and (free & mask).any():
        free = free & mask
    return float(np.median(image[free])) if free.any() else float("nan")


def _inner(shape: tuple[int, ...], mask: Array | None) -> Array:
    """1 where a pixel and all around it lie in the image and in `mask`, 0 elsewhere."""
    whole = np.ones(shape, np.uint8) if mask is None else mask.astype(np.uint8)
    square = np.ones((3, 3), np.uint8)
    return cv2.erode(whole, square, borderType=cv2.BORDER_CONSTANT, borderValue=0)


@compiled
def _runs(labels: Array) -> tuple[Array, Array, Array, Array]:
    """Find the runs of labels other than 0: label, row, first column, column behind the last."""
    h, w = labels.shape
    label = np.empty(labels.size, labels.dtype)
    ys, xs, ends = np.empty((3, labels.size), np.int32)
    count = 0
    for y in range(h):
        x = 0
        while x < w:
            end = x + 1
            while end < w and labels[y, end] == labels[y, x]:
                end += 1
            if labels[y, x] != 0:
                label[count], ys[count], xs[count], ends[count] = labels[y, x], y, x, end
                count += 1
            x = end
    return label[:count], ys[:count], xs[:count], ends[:count]


@compiled
def _sums(image: Array, start: Array, ys: Array, xs: Array, ends: Array) -> Array:
    """Sum of the image on the pixels of each object."""
    sums = np.zeros(start.size - 1)
    for i in range(sums.size):
        total = 0
        for k in range(start[i], start[i + 1]):
            for value in image[ys[k], xs[k] : ends[k]]:
                total += value
        sums[i] = total
    return sums


@compiled
def _maxima(image: Array, start: Array, ys: Array, xs: Array, ends: Array) -> Array:
    """Maximum of the image on the pixels of each object."""
    maxima = np.zeros(start.size - 1)
    for i in range(maxima.size):
        for k in range(start[i], start[i + 1]):
            maxima[i] = max(maxima[i], image[ys[k], xs[k] : ends[k]].max())
    return maxima


@compiled
def _medians(image: Array, start: Array, ys: Array, xs: Array, ends: Array) -> Array:
    """Median of the image on the pixels of each object, NaN without any."""
    medians = np.full(start.size - 1, np.nan)
    values = np.empty(image.size, image.dtype)
    for i in range(medians.size):
        count = 0
        for k in range(start[i], start[i + 1]):
            for value in image[ys[k], xs[k] : ends[k]]:
                values[count] = value
                count += 1
        if count:
            medians[i] = np.median(values[:count])
    return medians


@compiled
def _moments(start: Array, ys: Array, xs: Array, ends: Array) -> Array:
    """Mean y and x, and central moments yy, xx and xy, of the pixels of each object."""
    moments = np.zeros((5, start.size - 1))
    for i in range(start.size - 1):
        runs = range(start[i], start[i + 1])
        area, below, across = 0, 0, 0
        for k in runs:
            area += ends[k] - xs[k]
            below += (ends[k] - xs[k]) * ys[k]
            for x in range(xs[k], ends[k]):
                across += x
        y, x = below / area, across / area
        yy, xx, xy = 0.0, 0.0, 0.0
        for k in runs:
            dy = ys[k] - y
            for column in range(xs[k], ends[k]):
                dx = column - x
                yy += dy * dy
                xx += dx * dx
                xy += dx * dy
        moments[0, i], moments[1, i] = y, x
        moments[2, i], moments[3, i], moments[4, i] = yy / area, xx / area, xy / area
    return moments


@compiled
def _rings(shape: tuple[int, ...], begin: int, stop: int, runs: Runs) -> Array:
    """Mark pixels, `begin` up to below `stop` off the nearest object, with its place, from 1.

    The distances and the choice between equally near objects are those of OpenCV's
    ``distanceTransformWithLabels``.
    """
    h, w = shape
    start, ys, xs, ends = runs
    # Two pixels more on each side: each pixel has all its neighbours.
    ways = np.full((h + 4, w + 4), _FAR)
    for i in range(start.size - 1):
        for k in range(start[i], start[i + 1]):
            ways[ys[k] + 2, xs[k] + 2 : ends[k] + 2] = i + 1
    # From the neighbours above and left; then, all turned round, from those below and right.
    for back in (1, -1):
        for i in range(2, h + 2):
            y = i if back > 0 else h + 3 - i
            row = ways[y, 2 : w + 2]
            for down, right, step in _STEPS:
                x = 2 - back * right
                _step(ways[y - back * down, x : x + w], step, row)
            _slide(row, back)
    near = np.zeros((h, w), np.int32)
    for y in range(h):
        for x in range(w):
            way = ways[y + 2, x + 2]
            near[y, x] = way % _RANK if begin <= way < stop else 0
    return near


@compiled
def _step(near: Array, step: int, row: Array) -> None:
    """Go to each pixel of a row from one of another row, where that is the shortest way."""
    for x in range(row.size):
        row[x] = min(row[x], near[x] + step)


@compiled
def _slide(row: Array, back: int) -> None:
    """Go along a row, where that is the shortest way, and forget the ranks of last steps."""
    way = _FAR
    for i in range(row.size):
        x = i if back > 0 else row.size - 1 - i
        way = min(row[x], way + _BESIDE) & ~(15 * _RANK)
        row[x] = way


@compiled
def _hull_areas(start: Array, ys: Array, xs: Array, ends: Array) -> Array:
    """Pixels whose centres lie in the convex hull of each object's pixel squares' midpoints.

    The hull is that of the middles of the four edges of every pixel, as scikit-image has it.
    All coordinates are doubled, so that everything stays a whole number and ties are exact.
    """
    areas = np.zeros(start.size - 1, np.int64)
    for i in range(areas.size):
        top = ys[start[i]]
        height = ys[start[i + 1] - 1] - top + 1
        # The middles of edges farthest to the left and right, in every half row.
        sides = np.full((2, 2 * height + 1), _FAR, np.int64)
        for k in range(start[i], start[i + 1]):
            _reach(sides[0], 2 * (ys[k] - top) + 1, 2 * xs[k])
            _reach(sides[1], 2 * (ys[k] - top) + 1, 2 - 2 * ends[k])
        left, right = _hull_side(sides[0]), _hull_side(sides[1])
        for row in range(height):
            areas[i] += max(0, 1 - right[row] - left[row])
    return areas


@compiled
def _reach(side: Array, at: int, x: int) -> None:
    """Bring the middles of a pixel's left, upper and lower edge to the left side."""
    side[at] = min(side[at], x - 1)
    side[at - 1] = min(side[at - 1], x)
    side[at + 1] = min(side[at + 1], x)


@compiled
def _hull_side(side: Array) -> Array:
    """First whole pixel of each row within the hull of the leftmost points of the half rows."""
    corners = np.empty(side.size, np.int64)
    count = 0
    for at in range(side.size):
        if side[at] == _FAR:
            continue
        while count > 1:
            a, b = corners[count - 2], corners[count - 1]
            if (side[b] - side[a]) * (at - b) < (side[at] - side[b]) * (b - a):
                break
            count -= 1
        corners[count] = at
        count += 1
    first = np.empty(side.size // 2, np.int64)
    for corner in range(count - 1):
        a, b = corners[corner], corners[corner + 1]
        for at in range(a + 1 - a % 2, b + 1, 2):
            across = side[a] * (b - a) + (side[b] - side[a]) * (at - a)
            first[at // 2] = -(-across // (2 * (b - a)))
    return first

"""Features of labelled objects, all objects at once.

The definitions are those of scikit-image's ``regionprops``; the work is done by counting
over the foreground pixels instead of object by object.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import pandas as pd

Array = np.ndarray[Any, np.dtype[Any]]


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
    at = np.flatnonzero(labels)
    names, index, counts = np.unique(labels.ravel()[at], return_inverse=True, return_counts=True)
    table = _shapes(at, index, counts, labels.shape[1])
    table.insert(0, "label", names.astype(np.int64))
    values = image.ravel()[at]
    table["mean"] = np.bincount(index, values, names.size) / counts
    table["median"], table["max"] = _ranks(index, values, counts)
    ring_at, ring_index = _rings(labels, names, ring)
    around = image.ravel()[ring_at]
    size = np.bincount(ring_index, minlength=names.size)
    median, _ = _ranks(ring_index, around, size)
    if (size == 0).any():
        median[size == 0] = _spot_background(labels, image, mask)
    table["background"] = median
    table["edge"] = np.isin(names, _touching(labels, mask))
    for name, other in others.items():
        under = np.bincount(index, other.ravel()[at], names.size) / counts
        total = np.bincount(ring_index, other.ravel()[ring_at], names.size)
        table[f"mean_{name}"] = under
        table[f"ring_{name}"] = np.where(size > 0, total / np.maximum(size, 1), np.nan)
    return table


def _shapes(at: Array, index: Array, area: Array, width: int) -> pd.DataFrame:
    """Moments up to the second and the solidity of each object."""
    n = area.size
    ys, xs = at // width, at % width
    y, x = np.bincount(index, ys, n) / area, np.bincount(index, xs, n) / area
    dy, dx = ys - y[index], xs - x[index]
    yy, xx = np.bincount(index, dy * dy, n) / area, np.bincount(index, dx * dx, n) / area
    xy = np.bincount(index, dx * dy, n) / area
    # Eigenvalues of the covariance; noise of the last digit must not make a disc elongated.
    half = np.hypot((xx - yy) / 2, xy)
    half[half < 1e-12 * (xx + yy)] = 0
    long, short = (xx + yy) / 2 + half, np.maximum((xx + yy) / 2 - half, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        eccentricity = np.where(long > 0, np.sqrt(1 - short / long), 0.0)
    return pd.DataFrame(
        {
            "x": x,
            "y": y,
            "area": area.astype(np.int64),
            "eccentricity": eccentricity,
            "major_axis": 4 * np.sqrt(long),
            "minor_axis": 4 * np.sqrt(short),
            "orientation": np.where(half > 0, _direction(xx, yy, xy), 0.0),
            "solidity": area / _hull_areas(ys, xs, index, n) if n else np.zeros(0),
        }
    )


def _direction(xx: Array, yy: Array, xy: Array) -> Array:
    """Angle of the long axis from the x axis towards y (clockwise on screen), (-90, 90]."""
    angle = np.degrees(np.arctan2(2 * xy, xx - yy)) / 2
    return np.where(angle <= -90, angle + 180, angle)


def _ranks(index: Array, values: Array, counts: Array) -> tuple[Array, Array]:
    """Median and maximum of the values of each group; NaN for groups without any."""
    ordered = np.sort((index.astype(np.uint64) << np.uint64(32)) | values.astype(np.uint64))
    ordered = (ordered & np.uint64(0xFFFFFFFF)).astype(np.float64)
    if ordered.size == 0:
        return np.full(counts.size, np.nan), np.full(counts.size, np.nan)
    end = np.cumsum(counts)
    low = np.clip(end - counts + (counts - 1) // 2, 0, ordered.size - 1)
    high = np.clip(end - counts + counts // 2, 0, ordered.size - 1)
    none = np.where(counts > 0, 0.0, np.nan)
    return (ordered[low] + ordered[high]) / 2 + none, ordered[end.clip(1) - 1] + none


def _rings(labels: Array, names: Array, ring: float) -> tuple[Array, Array]:
    """Pixels of the rings, and for each the place of its object in `names`."""
    if names.size == 0 or ring <= 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    outside = (labels == 0).astype(np.uint8)
    distance, nearest = cv2.distanceTransformWithLabels(
        outside, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    at = np.flatnonzero((distance > 1.2) & (distance <= 1.2 + ring))
    owner = np.zeros(int(nearest.max()) + 1, np.int64)
    inside = labels.ravel() > 0
    owner[nearest.ravel()[inside]] = np.searchsorted(names, labels.ravel()[inside])
    return at, owner[nearest.ravel()[at]]


def _spot_background(labels: Array, image: Array, mask: Array | None) -> float:
    free = labels == 0
    if mask is not None and (free & mask).any():
        free = free & mask
    return float(np.median(image[free])) if free.any() else float("nan")


def _touching(labels: Array, mask: Array | None) -> Array:
    rims = [labels[0], labels[-1], labels[:, 0], labels[:, -1]]
    if mask is not None:
        inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1)
        rims.append(labels[inner == 0])
    return np.unique(np.concatenate([rim.ravel() for rim in rims]))


def _hull_areas(ys: Array, xs: Array, index: Array, n: int) -> Array:
    """Pixels whose centres lie in the convex hull of each object's pixel squares' midpoints.

    The hull is that of the middles of the four edges of every pixel, as scikit-image has it.
    All coordinates are doubled, so that everything stays a whole number and ties are exact.
    """
    height = int(ys.max()) + 1
    row = index.astype(np.int64) * height + ys
    order = np.lexsort((xs, row))
    row, xs = row[order], xs[order]
    starts = np.flatnonzero(np.r_[True, row[1:] != row[:-1]])
    left, right = 2 * xs[starts], 2 * xs[np.r_[starts[1:], row.size] - 1]
    which, y = row[starts] // height, 2 * (row[starts] % height)
    points = np.stack(
        [
            np.stack([left - 1, y], 1),
            np.stack([right + 1, y], 1),
            np.stack([left, y - 1], 1),
            np.stack([left, y + 1], 1),
            np.stack([right, y - 1], 1),
            np.stack([right, y + 1], 1),
        ],
        1,
    ).astype(np.int32)
    bounds = np.searchsorted(which, np.arange(n + 1))
    hulls = [
        cv2.convexHull(points[bounds[i] : bounds[i + 1]].reshape(-1, 2), returnPoints=True)[:, 0]
        for i in range(n)
    ]
    return _pixels_inside(hulls, height)


def _pixels_inside(hulls: list[Array], height: int) -> Array:
    """Count the whole pixels in convex polygons of doubled coordinates, border included."""
    n = len(hulls)
    of = np.repeat(np.arange(n), [len(hull) for hull in hulls])
    start = np.concatenate(hulls).astype(np.int64)
    stop = np.concatenate([np.roll(hull, -1, axis=0) for hull in hulls]).astype(np.int64)
    flat = start[:, 1] == stop[:, 1]
    start, stop, of = start[~flat], stop[~flat], of[~flat]
    down = start[:, 1] < stop[:, 1]
    upper, lower = np.where(down[:, None], start, stop), np.where(down[:, None], stop, start)
    # Even rows between both ends of each edge, and where the edge crosses them.
    first, last = -(-upper[:, 1] // 2), lower[:, 1] // 2
    rows = np.maximum(last - first + 1, 0)
    edge = np.repeat(np.arange(rows.size), rows)
    row = np.arange(edge.size) - np.repeat(np.cumsum(rows) - rows, rows) + first[edge]
    rise = (lower[:, 1] - upper[:, 1])[edge]
    across = upper[edge, 0] * rise + (lower[:, 0] - upper[:, 0])[edge] * (2 * row - upper[edge, 1])
    key = of[edge] * height + row
    groups, inverse = np.unique(key, return_inverse=True)
    smallest = np.full(groups.size, np.iinfo(np.int64).max)
    largest = np.full(groups.size, np.iinfo(np.int64).min)
    np.minimum.at(smallest, inverse, -(-across // (2 * rise)))
    np.maximum.at(largest, inverse, across // (2 * rise))
    inside = np.maximum(largest - smallest + 1, 0)
    return np.bincount(groups // height, inside, n)

"""Parts of objects as a table: what is known of each, and which of them are one object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gridwell.config.models import SegmentMethod
from gridwell.segment.split import merged
from gridwell.segment.threshold import longest

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Parts:
    """Parts of objects, one row each, in the raster order of their seeds.

    Attributes
    ----------
    first
        First pixel of the seed, y and x, int64 (n, 2).
    seed
        Centre of the seed, y and x, (n, 2).
    top
        Depth at the seed, (n,).
    size
        Number of pixels, (n,).
    total
        Sums of y and of x over the pixels, (n, 2).
    box
        y and x of the first row and column, and of those after the last, int64 (n, 4).
    start
        First pixel in raster order, y and x, int64 (n, 2).
    whole
        False for parts that are too long for an object, (n,).
    pairs, saddles
        First pixels of two seeds whose parts touch, (m, 2, 2), and the depth of the highest pass
        between them, (m,).
    """

    first: Array
    seed: Array
    top: Array
    size: Array
    total: Array
    box: Array
    start: Array
    whole: Array
    pairs: Array
    saddles: Array


def boxes(labels: Array, count: int) -> Array:
    """First row and column of each label, and those after the last, int64 (count, 4)."""
    from scipy.ndimage import find_objects

    found = np.zeros((count, 4), np.int64)
    for row, box in enumerate(find_objects(labels, count)):
        if box is not None:
            found[row] = box[0].start, box[1].start, box[0].stop, box[1].stop
    return found


def inside(places: Array, first: tuple[int, int], last: tuple[int, int]) -> Array:
    """Tell which places lie in a tile, bool (n,)."""
    return np.asarray(((places >= first) & (places < last)).all(axis=1))


def of_tile(parts: Parts, owned: Array) -> Parts:
    """Rows of the parts that a tile owns; a pair belongs to the owner of its earlier seed."""
    names = [name for name in vars(parts) if name not in ("pairs", "saddles")]
    rows = {name: getattr(parts, name)[owned] for name in names}
    pairs = np.isin(_key(parts.pairs[:, 0]), _key(rows["first"]))
    return Parts(**rows, pairs=parts.pairs[pairs], saddles=parts.saddles[pairs])


def joined(tables: Sequence[Parts]) -> tuple[Parts, Array]:
    """Join the tables of all tiles in raster order of the seeds; return the order as well."""
    every = {
        name: np.concatenate([getattr(one, name) for one in tables]) for name in vars(tables[0])
    }
    order = np.argsort(_key(every["first"]), kind="stable")
    pairs, saddles = every.pop("pairs"), every.pop("saddles")
    return Parts(**{k: v[order] for k, v in every.items()}, pairs=pairs, saddles=saddles), order


def _key(places: Array) -> Array:
    """Places, y and x, as one number that rises in raster order."""
    return np.asarray(places[..., 0] << 32 | places[..., 1])


def numbers(parts: Parts, method: SegmentMethod, mask: Array | None = None) -> Array:
    """Join the parts to objects, drop those of wrong size or outside of `mask`, and count.

    Parameters
    ----------
    parts
        All parts of the image.
    method
        Settings.
    mask
        Where centroids must lie, bool of the image's shape; None: anywhere.

    Returns
    -------
    number
        Number of the object that each part belongs to, uint32 (n,); 0 for what is dropped.
    """
    pairs = np.searchsorted(_key(parts.first), _key(parts.pairs))
    owner = merged(parts.seed, parts.top, pairs, parts.saddles, method)
    count = len(owner)
    size = np.bincount(owner, parts.size, count)
    some = parts.size > 0
    low, high = np.full((count, 2), np.iinfo(np.int64).max), np.zeros((count, 2), np.int64)
    np.minimum.at(low, owner[some], parts.box[some, :2])
    np.maximum.at(high, owner[some], parts.box[some, 2:])
    diameter = np.sqrt(4 / np.pi * size)
    kept = (size > 0) & parts.whole & ((high - low).max(axis=1, initial=0) <= longest(method))
    kept &= (diameter >= method.min_diameter) & (diameter <= method.max_diameter)
    if mask is not None:
        total = [np.bincount(owner, sums, count) for sums in parts.total.T]
        y, x = np.rint(np.stack(total) / size.clip(1)).astype(int)
        kept &= mask[np.where(kept, y, 0), np.where(kept, x, 0)]
    start = _key(parts.start)
    opening = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(opening, owner[some], start[some])
    number = np.zeros(count, np.uint32)
    order = np.argsort(opening[kept], kind="stable")
    number[np.flatnonzero(kept)[order]] = np.arange(1, order.size + 1)
    return number[owner]

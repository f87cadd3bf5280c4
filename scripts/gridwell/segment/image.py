"""Objects of a whole image of any size, in tiles that leave no seams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gridwell.config.errors import InputError, Problem
from gridwell.config.files import whole
from gridwell.config.models import SegmentMethod
from gridwell.images.reader import open_plane
from gridwell.segment.conventional import Levels, correct_light, reduction, segment_spot

Array = np.ndarray[Any, np.dtype[Any]]

_AT_ONCE = 40_000_000
_CORE = 3072
_LEVEL_TILES = 9


def segment_file(
    image: Path,
    out: Path,
    *,
    index: int = 0,
    method: SegmentMethod,
    max_gigapixels: float = 4.0,
) -> int:
    """Label the bright objects of one plane of an image file and write them as a TIFF.

    Parameters
    ----------
    image, index
        File and plane, from 0.
    out
        TIFF file of uint32 labels.
    method
        Settings.
    max_gigapixels
        Larger planes are refused.

    Returns
    -------
    count
        Number of objects.

    Raises
    ------
    InputError
        If the file cannot be read or is a colour image.
    """
    import tifffile

    with open_plane(image, index, max_gigapixels=max_gigapixels) as plane, whole(out) as part:
        info = plane.info
        if info.samples != 1:
            raise InputError(
                Problem(str(image), "is a colour image", "Give a gray image, one channel.")
            )
        shape = (info.height, info.width)
        labels = tifffile.memmap(part, shape=shape, dtype=np.uint32, photometric="minisblack")
        segment_image(plane.rows, *shape, method, out=labels)
        labels.flush()
        return int(labels.max())


def segment_image(
    read_rows: Callable[[int, int], Array],
    height: int,
    width: int,
    method: SegmentMethod,
    *,
    out: Array | None = None,
    core: int = _CORE,
    at_once: int = _AT_ONCE,
) -> Array:
    """Label the bright objects of an image.

    Large images are worked on in tiles, with so much around each that what lies in it does not
    depend on the tiling. An object belongs to the tile that holds its centroid and is written
    whole; thresholds come from levels measured on tiles all over the image.

    Parameters
    ----------
    read_rows
        ``read_rows(y0, y1)`` gives the rows y0 to y1 - 1 as an array (y1 - y0, width).
    height, width
        Size of the image.
    method
        Settings.
    out
        Where to put the labels, uint32 (height, width) of zeros, such as a file in memory;
        None: a new array.
    core
        Side of a tile, in pixels.
    at_once
        Images of at most so many pixels are worked on at once.

    Returns
    -------
    labels
        `out`: 0 background, 1..k objects in the raster order of their first pixels.
    """
    labels = np.zeros((height, width), np.uint32) if out is None else out
    if height * width <= at_once:
        labels[:] = segment_spot(read_rows(0, height), method)
        return labels
    step = reduction(method)
    core = max(step, core // step * step)
    # Opening, local planes and local means reach a few background radii, objects two diameters.
    halo = -(-int(8 * method.background + 2 * method.max_diameter) // step) * step
    levels = _image_levels(read_rows, height, width, method, core)
    firsts: list[Array] = []
    count = 0
    for y0, y1, rows in _bands(read_rows, height, core, halo):
        top = max(0, y0 - halo)
        for x0 in range(0, width, core):
            x1, left = min(x0 + core, width), max(0, x0 - halo)
            tile = segment_spot(rows[:, left : x1 + halo], method, levels=levels)
            owned = _owned(tile, (y0 - top, y1 - top, x0 - left, x1 - left))
            at_y, at_x = np.nonzero(owned)
            number = owned[at_y, at_x] + np.uint32(count)
            labels[at_y + top, at_x + left] = number
            if number.size:
                first = np.unique(number, return_index=True)[1]
                place = np.stack([at_y[first] + top, at_x[first] + left], axis=1)
                firsts.append(place)
                count += len(place)
    _renumber(labels, firsts, core)
    return labels


def _bands(
    read_rows: Callable[[int, int], Array], height: int, core: int, halo: int
) -> Iterator[tuple[int, int, Array]]:
    for y0 in range(0, height, core):
        y1 = min(y0 + core, height)
        yield y0, y1, read_rows(max(0, y0 - halo), min(height, y1 + halo))


def _image_levels(
    read_rows: Callable[[int, int], Array],
    height: int,
    width: int,
    method: SegmentMethod,
    core: int,
) -> Levels:
    """Median of the levels of a few tiles spread over the image."""
    side = int(np.sqrt(_LEVEL_TILES))
    found = []
    for y0 in np.unique(np.linspace(0, max(0, height - core), side).astype(int)):
        rows = read_rows(int(y0), min(height, int(y0) + core))
        for x0 in np.unique(np.linspace(0, max(0, width - core), side).astype(int)):
            tile = rows[:, x0 : x0 + core]
            found.append(correct_light(tile, method, np.ones(tile.shape, bool))[1])
    numbers = np.median([[*one.rough, one.base, one.noise, one.otsu] for one in found], axis=0)
    level, spread, base, noise, otsu = (float(number) for number in numbers)
    return Levels((level, spread), base, noise, otsu)


def _owned(tile: Array, core: tuple[int, int, int, int]) -> Array:
    """Objects of a tile whose centroid lies in its core, numbered from 1 without gaps."""
    y0, y1, x0, x1 = core
    at = np.flatnonzero(tile)
    label, width = tile.ravel()[at].astype(np.int64), tile.shape[1]
    size = np.bincount(label)
    some = size > 0
    # Whole numbers, so that two tiles never disagree on an object.
    y = np.bincount(label, at // width).astype(np.int64) // size.clip(1)
    x = np.bincount(label, at % width).astype(np.int64) // size.clip(1)
    mine = some & (y >= y0) & (y < y1) & (x >= x0) & (x < x1)
    number = np.zeros(max(size.size, 1), np.uint32)
    number[np.flatnonzero(mine)] = np.arange(1, int(mine.sum()) + 1)
    return number[tile]


def _renumber(labels: Array, firsts: list[Array], rows: int) -> None:
    """Number the objects in the raster order of their first pixels, in place."""
    if not firsts:
        return
    place = np.concatenate(firsts)
    order = np.lexsort((place[:, 1], place[:, 0]))
    number = np.zeros(len(place) + 1, np.uint32)
    number[order + 1] = np.arange(1, len(place) + 1)
    for y0 in range(0, labels.shape[0], rows):
        labels[y0 : y0 + rows] = number[labels[y0 : y0 + rows]]

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
from gridwell.network.device import Policy
from gridwell.segment.auto import Sample
from gridwell.segment.conventional import (
    alignment,
    find_parts,
    numbers,
    reach,
    seen,
    segment_spot,
)
from gridwell.segment.learned import learned_method, sample_windows
from gridwell.segment.light import Levels, typical
from gridwell.segment.methods import settled
from gridwell.segment.parts import Parts, inside, joined, of_tile

Array = np.ndarray[Any, np.dtype[Any]]

_AT_ONCE = 20_000_000
_CORE = 3072
# The levels of a larger image come from this many windows along each side, of so many pixels.
_WINDOWS = 3
_WINDOW = 2048
# A method is chosen on windows of this side.
_SAMPLE = 512


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
    gpu: Policy = "allow",
) -> Array:
    """Label the bright objects of an image.

    Large images are worked on in tiles, with so much around each that what lies in it does not
    depend on the tiling, pixel by pixel. A part of an object belongs to the tile that holds the
    first pixel of its seed and is written whole; which parts are one object is decided for the
    whole image at once. Thresholds come from levels measured all over the image.

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
    gpu
        Whether a network computes on a GPU.

    Returns
    -------
    labels
        `out`: 0 background, 1..k objects in the raster order of their first pixels.
    """
    labels = np.zeros((height, width), np.uint32) if out is None else out
    learned = learned_method(method, Path(), gpu)
    candidates = {"network": learned.candidate(method)} if learned else {}
    method, _ = settled(method, lambda: _samples(read_rows, height, width), learned=candidates)
    if method.method == "none" or labels.size == 0:
        return labels
    if learned and method.method == "network":
        windows = sample_windows(read_rows, height, width)
        learned.suited(windows, None, method).segment_rows(
            read_rows, height, width, method=method, out=labels
        )
        return labels
    if height * width <= min(at_once, _AT_ONCE):
        labels[:] = segment_spot(read_rows(0, height), method)
        return labels
    levels = _image_levels(read_rows, height, width, method)
    if height * width <= at_once:
        labels[:] = segment_spot(read_rows(0, height), method, levels=levels)
        return labels
    step = alignment(method)
    core = max(1, core // step) * step
    halo = -(-reach(method, levels) // step) * step
    tables: list[Parts] = []
    count = 0
    for y0, y1, rows in _bands(read_rows, height, core, halo):
        top = max(0, y0 - halo)
        for x0 in range(0, width, core):
            x1, left = min(x0 + core, width), max(0, x0 - halo)
            tile = rows[:, left : x1 + halo]
            every = np.ones(tile.shape, bool)
            found, parts = find_parts(tile, method, every, every, levels, origin=(top, left))
            owned = inside(parts.first, (y0, x0), (y1, x1))
            at_y, at_x = np.nonzero(np.append(False, owned)[found])
            row = np.cumsum(owned)[found[at_y, at_x] - 1]
            labels[at_y + top, at_x + left] = np.uint32(count) + row.astype(np.uint32)
            tables.append(of_tile(parts, owned))
            count += int(owned.sum())
    parts, order = joined(tables)
    number = np.zeros(count + 1, np.uint32)
    number[order + 1] = numbers(parts, method)
    for y0 in range(0, height, core):
        labels[y0 : y0 + core] = number[labels[y0 : y0 + core]]
    return labels


def _bands(
    read_rows: Callable[[int, int], Array], height: int, core: int, halo: int
) -> Iterator[tuple[int, int, Array]]:
    for y0 in range(0, height, core):
        y1 = min(y0 + core, height)
        yield y0, y1, read_rows(max(0, y0 - halo), min(height, y1 + halo))


def _samples(read_rows: Callable[[int, int], Array], height: int, width: int) -> list[Sample]:
    """Windows spread over the image, or all of a small one."""
    return [Sample(tile) for tile in _windows(read_rows, height, width, _SAMPLE)]


def _windows(
    read_rows: Callable[[int, int], Array], height: int, width: int, side: int
) -> Iterator[Array]:
    for y0 in np.unique(np.linspace(0, max(0, height - side), _WINDOWS).astype(int)):
        rows = read_rows(int(y0), min(height, int(y0) + side))
        for x0 in np.unique(np.linspace(0, max(0, width - side), _WINDOWS).astype(int)):
            yield rows[:, x0 : x0 + side]


def _image_levels(
    read_rows: Callable[[int, int], Array], height: int, width: int, method: SegmentMethod
) -> Levels:
    """Levels of the whole image, or of a few windows spread over a large one.

    The windows do not depend on the tiles, so that the levels do not either.
    """
    if height * width <= _AT_ONCE:
        image = read_rows(0, height)
        every = np.ones(image.shape, bool)
        return seen(image, method, every, every)[-1]
    every = np.ones((min(height, _WINDOW), min(width, _WINDOW)), bool)
    tiles = _windows(read_rows, height, width, _WINDOW)
    return typical([seen(tile, method, every, every)[-1] for tile in tiles])

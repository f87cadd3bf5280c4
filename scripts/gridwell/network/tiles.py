"""Maps of an image of any size, in overlapping tiles that leave no seams, row by row.

A network sees no farther than its reach. What lies deeper than that within a tile is the same
as if the whole image had been shown, so tiles that overlap by twice the reach agree exactly
where they are blended; with less overlap they are blended smoothly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.float32]
ReadRows = Callable[[int, int], npt.NDArray[Any]]
# Gives the maps (n, m, h, w) of images (n, c, h, w) of one size.
Compute = Callable[[Image], Image]


@dataclass(frozen=True)
class Tiling:
    """How an image is cut into tiles.

    Attributes
    ----------
    side
        Of a tile, in pixels; a multiple of the network's stride.
    overlap
        Pixels that neighbouring tiles share; a multiple of the stride, less than half of `side`.
    batch
        Tiles computed at once.
    """

    side: int
    overlap: int
    batch: int = 1

    @classmethod
    def seamless(cls, reach: int, stride: int, side: int = 1024) -> Tiling:
        """Tiles that overlap by twice the reach of a network, `side` pixels or what that needs."""
        overlap = _padded(2 * reach, stride)
        return cls(max(_padded(side, stride), 3 * overlap), overlap)

    def __post_init__(self) -> None:
        """Refuse tiles that do not move on."""
        if not 0 <= 2 * self.overlap < self.side:
            raise ValueError(f"tiles of {self.side} pixels cannot overlap by {self.overlap}")


def stream_maps(
    read_rows: ReadRows,
    height: int,
    width: int,
    compute: Compute,
    *,
    stride: int,
    reach: int,
    tiling: Tiling,
) -> Iterator[tuple[int, Image]]:
    """Compute the maps of an image from top to bottom; memory does not grow with its height.

    Parameters
    ----------
    read_rows
        ``read_rows(y0, y1)`` gives the rows y0 to y1 - 1, (c, y1 - y0, width), as the network
        is shown them.
    height, width
        Size of the image.
    compute
        The network.
    stride, reach
        Of the network, in pixels.
    tiling
        How to cut.

    Yields
    ------
    y0, maps
        First row, and maps (m, rows, width) of the rows from there on, without gaps.
    """
    if tiling.side % stride or tiling.overlap % stride:
        raise ValueError(f"tiles and overlaps must be multiples of {stride} pixels")
    rows = _starts(height, stride, tiling)
    cols = _starts(width, stride, tiling)
    tall, wide = (min(tiling.side, _padded(length, stride)) for length in (height, width))
    down = [_weights(tall, y, rows, reach, tiling.overlap) for y in rows]
    across = [_weights(wide, x, cols, reach, tiling.overlap) for x in cols]
    # Maps and weights of rows that a later tile will still add to.
    kept, kept_weight = np.zeros((0, 0, 0), np.float32), np.zeros((0, 0), np.float32)
    for index, top in enumerate(rows):
        band = _padded_rows(read_rows, top, tall, height=height, width=width, stride=stride)
        maps, weight = _band(
            band,
            cols,
            wide,
            down=down[index],
            across=across,
            compute=compute,
            batch=tiling.batch,
        )
        if index:
            maps[:, : kept.shape[1]] += kept
            weight[: kept.shape[1]] += kept_weight
        done = rows[index + 1] - top if index + 1 < len(rows) else height - top
        yield top, maps[:, :done, :width] / weight[:done, :width]
        kept, kept_weight = maps[:, done:].copy(), weight[done:].copy()


def _padded(length: int, stride: int) -> int:
    return -(-length // stride) * stride


def _starts(length: int, stride: int, tiling: Tiling) -> list[int]:
    """First pixels of the tiles along one side; the last tile ends where the image does."""
    whole = _padded(length, stride)
    if whole <= tiling.side:
        return [0]
    step = tiling.side - tiling.overlap
    starts = [*range(0, whole - tiling.side, step), whole - tiling.side]
    # The last two may lie so near to each other that one of them adds nothing.
    if len(starts) > 2 and starts[-1] - starts[-3] <= step:
        del starts[-2]
    return starts


def _weights(side: int, start: int, starts: list[int], reach: int, overlap: int) -> Image:
    """How much a tile's pixels count along one side: nothing near a cut, then rising."""
    distance = np.arange(side) + np.float32(0.5)
    trusted = reach if overlap >= 2 * reach else overlap // 4
    ramp = max(1.0, overlap - 2.0 * trusted)
    weight = np.ones(side, np.float32)
    if start != starts[0]:
        weight *= np.clip((distance - trusted) / ramp, 0, 1)
    if start != starts[-1]:
        weight *= np.clip((distance[::-1] - trusted) / ramp, 0, 1)
    return weight


def _padded_rows(
    read_rows: ReadRows, top: int, rows: int, *, height: int, width: int, stride: int
) -> Image:
    """Rows of a band of tiles; beyond the image the last ones and columns go on."""
    band = read_rows(top, min(height, top + rows))
    below, right = rows - band.shape[1], _padded(width, stride) - width
    if below or right:
        band = np.pad(band, ((0, 0), (0, below), (0, right)), mode="edge")
    return band


def _band(
    band: Image,
    cols: list[int],
    wide: int,
    *,
    down: Image,
    across: list[Image],
    compute: Compute,
    batch: int,
) -> tuple[Image, Image]:
    """Weighted sums of the maps of one row of tiles, and of the weights."""
    _, rows, width = band.shape
    total: Image | None = None
    weight = np.zeros((rows, width), np.float32)
    for first in range(0, len(cols), batch):
        part = range(first, min(first + batch, len(cols)))
        tiles = np.stack([band[:, :, cols[i] : cols[i] + wide] for i in part])
        for i, maps in zip(part, compute(tiles), strict=True):
            if total is None:
                total = np.zeros((len(maps), rows, width), np.float32)
            share = down[:, None] * across[i][None, :]
            total[:, :, cols[i] : cols[i] + wide] += maps * share
            weight[:, cols[i] : cols[i] + wide] += share
    assert total is not None
    return total, weight

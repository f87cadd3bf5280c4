"""Spots cut out of a slide, grid rotation removed, as one stack of crops per channel.

Crops are numbered row by row over the whole grid, found or not. The centre of a spot is the
centre of the middle pixel of its crop (sizes of crops are odd), the grid's rows run along x
and its columns along y, one crop pixel is one slide pixel long, and what lies outside the
slide is 0.
"""

from __future__ import annotations

import math
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import zarr
from numpy.typing import NDArray

from gridwell.config.files import whole
from gridwell.images.slide import SlideImage
from gridwell.images.stores import arrays_of, create_array, open_complete
from gridwell.runs.progress import begin, step

Pixels = NDArray[Any]

# Slide pixels held at a time while cutting a row of spots: 32 MB of uint16.
_BLOCK_PIXELS = 2**24
_REMEDY = "Remove it and run the workflow again: the rule crop_spots writes it."


@dataclass(frozen=True)
class SpotFrame:
    """Where the spots of a slide are, and how crops of them lie in it.

    Attributes
    ----------
    slide
        Name of the slide.
    rows, cols
        Size of the grid; all below have rows * cols entries, row by row.
    spots
        Names, ``A1``, ``A2``…
    x, y
        Centres in full-resolution slide pixels.
    angle
        Rotation of the grid in degrees, positive clockwise on screen.
    width, height
        Size of a spot in pixels, along the grid's rows and columns.
    shape
        ``square`` or ``round``: the outline, a rectangle or an ellipse of that size.
    found
        Whether a spot was seen at the grid position.
    pixel_size_um
        Micrometres per pixel, or None.
    margin
        What crops show around a spot on each side, as a fraction of its width and height.
    """

    slide: str
    rows: int
    cols: int
    spots: tuple[str, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]
    angle: float
    width: float
    height: float
    shape: Literal["square", "round"]
    found: tuple[bool, ...]
    pixel_size_um: float | None = None
    margin: float = 0.0

    def __post_init__(self) -> None:
        """Turn columns of tables into tuples and hold every list to the size of the grid."""
        for name, kind in (("spots", str), ("x", float), ("y", float), ("found", bool)):
            values = tuple(kind(value) for value in getattr(self, name))
            if len(values) != self.rows * self.cols:
                raise ValueError(f"{name}: {len(values)} values, {self.rows} x {self.cols} spots")
            object.__setattr__(self, name, values)

    @property
    def crop(self) -> tuple[int, int]:
        """Size (h, w) of a crop: spot and margins, rounded up to odd numbers of pixels."""
        h, w = (math.ceil(s * (1 + 2 * self.margin) - 1e-9) for s in (self.height, self.width))
        return h + 1 - h % 2, w + 1 - w % 2

    def matrix(self, index: int) -> NDArray[np.float64]:
        """Affine map (2, 3) from pixels (x, y) of crop `index` to pixels of the slide."""
        cos, sin = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        h, w = self.crop
        u, v = (w - 1) / 2, (h - 1) / 2
        return np.array(
            [
                [cos, -sin, self.x[index] - cos * u + sin * v],
                [sin, cos, self.y[index] - sin * u - cos * v],
            ]
        )

    def to_slide(self, index: Any, x: Any, y: Any) -> tuple[Any, Any]:
        """Slide pixel of the pixel (x, y) of crop `index`; numbers or arrays of one shape."""
        cos, sin = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        h, w = self.crop
        u, v = np.asarray(x) - (w - 1) / 2, np.asarray(y) - (h - 1) / 2
        return (
            np.asarray(self.x)[index] + cos * u - sin * v,
            np.asarray(self.y)[index] + sin * u + cos * v,
        )

    def to_crop(self, index: Any, x: Any, y: Any) -> tuple[Any, Any]:
        """Pixel of crop `index` of the slide pixel (x, y); the inverse of `to_slide`."""
        cos, sin = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        h, w = self.crop
        dx, dy = (
            np.asarray(x) - np.asarray(self.x)[index],
            np.asarray(y) - np.asarray(self.y)[index],
        )
        return cos * dx + sin * dy + (w - 1) / 2, -sin * dx + cos * dy + (h - 1) / 2

    def mask(self, h: int, w: int, fraction: float = 1.0) -> NDArray[np.bool_]:
        """Outline of the spot in a crop of h by w pixels, True inside.

        `fraction` shrinks the outline about its centre: 0.7 keeps 70 % of width and height.
        A pixel belongs to it when its centre does.
        """
        v = (np.arange(h) - (h - 1) / 2) / (self.height * fraction / 2)
        u = (np.arange(w) - (w - 1) / 2) / (self.width * fraction / 2)
        if self.shape == "round":
            return v[:, None] ** 2 + u[None, :] ** 2 <= 1
        return (np.abs(v) <= 1)[:, None] & (np.abs(u) <= 1)[None, :]

    def corners(self, index: int) -> NDArray[np.float64]:
        """Centres (4, 2) of the corner pixels of crop `index`, as (x, y) in the slide."""
        h, w = self.crop
        points = np.array([[0, 0, 1], [w - 1, 0, 1], [w - 1, h - 1, 1], [0, h - 1, 1]])
        return points @ self.matrix(index).T

    def inside(self, height: int, width: int) -> tuple[bool, ...]:
        """Tell for each spot whether its crop lies wholly in a slide of that size."""
        slack = 1e-6
        low, high = -slack, np.array([width - 1, height - 1]) + slack
        return tuple(
            bool(((c >= low) & (c <= high)).all())
            for c in (self.corners(i) for i in range(len(self.spots)))
        )


def crop_spots(
    slide: SlideImage, out: Path, *, grid: SpotFrame, margin: float, threads: int
) -> None:
    """Cut every spot of the grid out of every channel into ``spots.zarr``.

    One array per channel, (n, h, w) or (n, h, w, 3), of the channel's dtype; a chunk is a spot
    and a shard a row of the grid. Crops are sampled bilinearly; a spot centred on a pixel of a
    grid without rotation is copied as it is. The bytes do not depend on `threads`, the number
    of processes.
    """
    frame = replace(grid, margin=margin)
    _, height, width = slide.shape
    h, w = frame.crop
    channels = [
        {key: c[key] for key in ("channel", "role", "samples", "dtype")}
        for c in slide.info["channels"]
    ]
    with whole(out) as part:
        group = zarr.open_group(part, mode="w", zarr_format=3)
        group.attrs.update(
            {
                "gridwell": {
                    **{f.name: _plain(getattr(frame, f.name)) for f in fields(frame)},
                    "inside": list(frame.inside(height, width)),
                    "channels": channels,
                    "raw": slide.info["raw"],
                }
            }
        )
        for channel in channels:
            colour = (3,) if channel["samples"] == 3 else ()
            create_array(
                group,
                channel["channel"],
                shape=(frame.rows * frame.cols, h, w, *colour),
                chunks=(1, h, w, *colour),
                shards=(frame.cols, h, w, *colour),
                dtype=channel["dtype"],
                axes=("spot", "y", "x", "c")[: 3 + len(colour)],
            )
        jobs = [(row, channel["channel"]) for row in range(frame.rows) for channel in channels]
        _run(slide, part, frame, jobs, threads)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _run(
    slide: SlideImage, part: Path, frame: SpotFrame, jobs: Sequence[tuple[int, str]], threads: int
) -> None:
    threads = min(threads, len(jobs))
    begin(len(jobs) * frame.cols, "crops")
    if threads <= 1:
        group = zarr.open_group(part, mode="r+")
        for row, channel in jobs:
            _write_row(slide, group, frame, row, channel)
            step(frame.cols)
        return
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(
        threads, mp_context=context, initializer=_start, initargs=(slide.path, part, frame)
    ) as pool:
        # Each job owns one shard, so writers never meet.
        for _ in pool.map(_work, jobs):
            step(frame.cols)


_worker: dict[str, Any] = {}


def _start(slide: Path, part: Path, frame: SpotFrame) -> None:
    cv2.setNumThreads(1)
    # The parent has opened it with all checks.
    _worker["slide"] = SlideImage(slide, zarr.open_group(slide, mode="r"))
    _worker["group"] = zarr.open_group(part, mode="r+")
    _worker["frame"] = frame


def _work(job: tuple[int, str]) -> None:
    _write_row(_worker["slide"], _worker["group"], _worker["frame"], *job)


def _write_row(
    slide: SlideImage, group: zarr.Group, frame: SpotFrame, row: int, channel: str
) -> None:
    """Cut one grid row of one channel and write it as one shard."""
    array: Any = group[channel]
    start = row * frame.cols
    crops = np.zeros((frame.cols, *array.shape[1:]), array.dtype)
    _, height, width = slide.shape
    for spots in _blocks(frame, row):
        points = np.concatenate([frame.corners(i) for i in spots])
        # Two pixels more than the corners: neighbours for the interpolation.
        x0, y0 = np.maximum(np.floor(points.min(0)).astype(int) - 2, 0)
        x1, y1 = np.minimum(np.ceil(points.max(0)).astype(int) + 3, (width, height))
        if x0 >= x1 or y0 >= y1:
            continue
        block = slide.read(channel, y0=int(y0), y1=int(y1), x0=int(x0), x1=int(x1))
        for i in spots:
            crops[i - start] = _cut(block, int(x0), int(y0), frame, i)
    array[start : start + frame.cols] = crops


def _blocks(frame: SpotFrame, row: int) -> Iterator[list[int]]:
    """Part a grid row into runs of spots whose common bounding box fits in memory."""
    run: list[int] = []
    low, high = np.zeros(2), np.zeros(2)
    for i in range(row * frame.cols, (row + 1) * frame.cols):
        points = frame.corners(i)
        lower, upper = points.min(0), points.max(0)
        if run:
            lower, upper = np.minimum(lower, low), np.maximum(upper, high)
        if run and np.prod(upper - lower + 5) > _BLOCK_PIXELS:
            yield run
            run = []
            lower, upper = points.min(0), points.max(0)
        run.append(i)
        low, high = lower, upper
    yield run


def _cut(block: Pixels, x0: int, y0: int, frame: SpotFrame, index: int) -> Pixels:
    """Sample one crop from a block of the slide that begins at (x0, y0)."""
    h, w = frame.crop
    points = frame.corners(index) - (x0, y0)
    # Only the spot's own part of the block: the warp computes in single precision, and its
    # coordinates must not depend on what else was read.
    left, top = np.maximum(np.floor(points.min(0)).astype(int) - 2, 0)
    right, bottom = np.ceil(points.max(0)).astype(int) + 3
    source = block[top : max(bottom, 0), left : max(right, 0)]
    if source.size == 0:
        return np.zeros((h, w, *block.shape[2:]), block.dtype)
    matrix = frame.matrix(index)
    matrix[:, 2] -= (x0 + left, y0 + top)
    return cv2.warpAffine(
        np.ascontiguousarray(source),
        matrix,
        (w, h),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )


class SpotStack:
    """The crops of a slide, opened for reading.

    Attributes
    ----------
    path
        The store.
    attributes
        Everything the store says of itself: the frame's facts, ``inside`` and ``channels``.
    frame
        Where the spots are.
    channels
        Entries with ``channel``, ``role``, ``samples`` and ``dtype``, as in channels.tsv.
    names
        Names of the spots, row by row.
    inside
        Whether each crop lies wholly in the slide.
    raw
        SHA-256 of the slide's raw images, by file name.
    """

    def __init__(self, path: Path, group: zarr.Group) -> None:
        """Take an open store; `open_spots` checks it first."""
        self.path = path
        self.attributes: dict[str, Any] = dict(group.attrs["gridwell"])  # type: ignore[arg-type]
        self.frame = frame_of(self.attributes)
        self.channels: tuple[dict[str, Any], ...] = tuple(self.attributes["channels"])
        self.names = self.frame.spots
        self.inside: tuple[bool, ...] = tuple(self.attributes["inside"])
        self.raw: dict[str, str] = dict(self.attributes["raw"])
        self._arrays = arrays_of(path, group)

    def shape(self, channel: str) -> tuple[int, ...]:
        """(n, h, w), or (n, h, w, 3) for an RGB channel."""
        return tuple(self._arrays[channel].shape)

    def dtype(self, channel: str) -> np.dtype[Any]:
        """Dtype of a channel's crops, the one of its file."""
        return np.dtype(self._arrays[channel].dtype)

    def read(self, channel: str, start: int, stop: int) -> Pixels:
        """Read the crops start to stop - 1: (stop - start, h, w) or (stop - start, h, w, 3)."""
        return np.asarray(self._arrays[channel][start:stop])


def frame_of(attributes: dict[str, Any]) -> SpotFrame:
    """Make the frame again from the attributes of a store that was cut along it."""
    return SpotFrame(**{f.name: attributes[f.name] for f in fields(SpotFrame)})


def open_spots(path: str | os.PathLike[str]) -> SpotStack:
    """Open ``spots.zarr``, once all its pieces are there.

    Raises
    ------
    InputError
        If there is no such store or pieces of it are missing.
    """
    path = Path(path)
    return SpotStack(path, open_complete(path, what="stack of spots", remedy=_REMEDY))

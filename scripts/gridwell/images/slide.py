"""A slide as one OME-Zarr pyramid: all channels, read by regions at any level."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from gridwell.config.errors import InputError, Problem
from gridwell.config.files import whole
from gridwell.config.models import TileOptions
from gridwell.images import ngff
from gridwell.images.description import read_slide_json
from gridwell.images.reader import Plane, open_plane
from gridwell.images.stores import arrays_of, create_array, halve, open_complete
from gridwell.runs.progress import begin, step

Pixels = NDArray[Any]

# The pyramid ends with a level that fits on a screen.
_SMALLEST = 512
# Chunks in a shard, (y, x): few files, and a band of whole shards is some 80 MB.
_SHARD = (2, 16)
_REMEDY = "Remove it and run the workflow again: the rule tile writes it."


def write_slide(raw_dir: Path, out: Path, options: TileOptions) -> None:
    """Write the images of ``raw_dir/slide.json`` as one OME-Zarr pyramid.

    Each plane is read once, in bands of whole shards; all levels are filled on the way, so
    memory depends on the width of the slide only. `out` appears when it is complete.

    Parameters
    ----------
    raw_dir
        Folder of ``slide.json`` and the images it names.
    out
        The store, ``slide.zarr``.
    options
        NGFF version and chunk size.

    Raises
    ------
    InputError
        If an image is missing, not fetched, damaged or not the one that slide.json describes.
    """
    info = read_slide_json(raw_dir)
    planes = sum(len(channel["planes"]) for channel in info["channels"])
    height, width, dtype = info["height"], info["width"], info["dtype"]
    factors = ngff.level_factors(max(height, width), _SMALLEST)
    chunk = options.chunk
    with whole(out) as part:
        group = zarr.open_group(
            part, mode="w", zarr_format=3 if options.ngff_version == "0.5" else 2
        )
        arrays = []
        for level, factor in enumerate(factors):
            high, wide = -(-height // factor), -(-width // factor)
            shard = [
                chunk * min(n, -(-s // chunk)) for n, s in zip(_SHARD, (high, wide), strict=True)
            ]
            arrays.append(
                create_array(
                    group,
                    str(level),
                    shape=(planes, high, wide),
                    chunks=(1, chunk, chunk),
                    shards=(1, *shard),
                    dtype=dtype,
                    axes="cyx",
                )
            )
        band = _SHARD[0] * chunk
        begin(len(info["channels"]) * -(-height // band), "bands of rows")
        for channel in info["channels"]:
            _write_channel(arrays, raw_dir, channel, info, band=band)
        windows = [_window(np.asarray(arrays[-1][plane])) for plane in range(planes)]
        group.attrs.update(
            ngff.image_attributes(
                ngff.multiscale(info["slide"], factors, info["pixel_size_um"]),
                options.ngff_version,
                omero=ngff.omero(info["channels"], dtype, windows),
            )
            | {"gridwell": _kept(info)}
        )


def _kept(info: Mapping[str, Any]) -> dict[str, Any]:
    """What the store says of its slide: slide.json, of its files only name and content."""
    kept = {key: value for key, value in info.items() if key != "files"}
    return {**kept, "raw": {file["name"]: file["sha256"] for file in info["files"]}}


def _write_channel(
    arrays: list[zarr.Array], raw_dir: Path, channel: Mapping[str, Any], info: Mapping[str, Any],
    *, band: int,
) -> None:  # fmt: skip
    path = raw_dir / channel["file"]
    # No budget: the size was checked when the slide was ingested, and is compared here.
    with open_plane(path, channel["index"], max_gigapixels=float("inf")) as plane:
        found = (plane.info.width, plane.info.height, plane.info.dtype, plane.info.samples)
        known = (info["width"], info["height"], channel["dtype"], channel["samples"])
        if found != known:
            raise InputError(
                Problem(
                    str(path),
                    f"is not the image that slide.json describes ({known})",
                    "Restore the file, or remove the slide's folder and ingest it again.",
                    value=found,
                )
            )
        _write_plane(arrays, plane, channel["planes"], info["dtype"], band)


def _write_plane(
    arrays: list[zarr.Array], plane: Plane, planes: list[int], dtype: str, band: int
) -> None:
    """Stream one plane of a file into all levels; `planes` are its places on the c axis."""
    levels = [_Level(array, planes, band) for array in arrays]
    for _, rows in plane.bands(band):
        samples = [rows] if rows.ndim == 2 else [rows[..., i] for i in range(rows.shape[2])]
        _push(levels, [np.ascontiguousarray(s, dtype) for s in samples])
        step()


@dataclass
class _Level:
    """One level of the pyramid being filled: rows wait here until a shard is full."""

    array: zarr.Array
    planes: list[int]
    band: int
    done: int = 0
    waiting: list[list[Pixels]] = field(default_factory=list)

    def take(self, rows: list[Pixels]) -> list[Pixels] | None:
        """Add rows of all samples; return the rows of a whole shard once they are here."""
        self.waiting.append(rows)
        count = sum(parts[0].shape[0] for parts in self.waiting)
        if count < self.band and self.done + count < self.array.shape[1]:
            return None
        joined = (
            rows
            if len(self.waiting) == 1
            else [np.concatenate(parts) for parts in zip(*self.waiting, strict=True)]
        )
        self.waiting = []
        wide = _SHARD[1] * self.array.chunks[2]
        for plane, image in zip(self.planes, joined, strict=True):
            # One shard at a time: Zarr holds all it writes in one go three times.
            for x in range(0, image.shape[1], wide):
                part = image[:, x : x + wide]
                self.array[plane, self.done : self.done + count, x : x + wide] = part
        self.done += count
        return joined


def _push(levels: list[_Level], rows: list[Pixels]) -> None:
    """Hand rows to the finest level; what it completes goes on to the next, halved."""
    for level in levels:
        whole_shard = level.take(rows)
        if whole_shard is None:
            return
        rows = [halve(image) for image in whole_shard]


def _window(plane: Pixels) -> tuple[int, int]:
    """Darkest and brightest value worth showing, from the coarsest level."""
    low, high = np.percentile(plane, (0.1, 99.9))
    return int(low), max(int(np.ceil(high)), int(low) + 1)


class SlideImage:
    """A slide's pyramid, opened for reading.

    Attributes
    ----------
    path
        The store.
    info
        ``slide``, ``width``, ``height``, ``dtype``, ``pixel_size_um``, ``acquired`` and
        ``channels`` as in slide.json, and ``raw``: SHA-256 of its files by name.
    levels
        Factor of each level: 1, 2, 4… A pixel p of a level with factor f lies at
        (p + 0.5) * f - 0.5 of the full resolution.
    """

    def __init__(self, path: Path, group: zarr.Group) -> None:
        """Take an open store; `open_slide` checks it first."""
        self.path = path
        self.info: dict[str, Any] = dict(group.attrs["gridwell"])  # type: ignore[arg-type]
        self._channels = {c["channel"]: c for c in self.info["channels"]}
        arrays = arrays_of(path, group)
        self._arrays = [arrays[name] for name in sorted(arrays, key=int)]
        self.levels = [2**level for level in range(len(self._arrays))]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(planes, height, width) at full resolution."""
        planes, height, width = self._arrays[0].shape
        return planes, height, width

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels, in the order of channels.tsv."""
        return tuple(self._channels)

    def level_for(self, max_side: int) -> int:
        """Finest level whose longer side is at most `max_side`; the coarsest if none is."""
        for level, array in enumerate(self._arrays):
            if max(array.shape[1:]) <= max_side:
                return level
        return len(self._arrays) - 1

    def read(
        self,
        channel: str,
        level: int = 0,
        *,
        y0: int = 0,
        y1: int | None = None,
        x0: int = 0,
        x1: int | None = None,
    ) -> Pixels:
        """Read a region of a channel, in pixels of the level.

        Returns
        -------
        array
            (y1 - y0, x1 - x0) or, for an RGB channel, (y1 - y0, x1 - x0, 3), of the dtype of
            the channel's file. None means to the end; regions beyond the image are cut.
        """
        entry = self._channels[channel]
        first, last = entry["planes"][0], entry["planes"][-1]
        block = np.asarray(self._arrays[level][first : last + 1, y0:y1, x0:x1])
        block = block.astype(entry["dtype"], copy=False)
        return block[0] if entry["samples"] == 1 else np.ascontiguousarray(block.transpose(1, 2, 0))


def open_slide(path: str | os.PathLike[str]) -> SlideImage:
    """Open ``slide.zarr``, once all its pieces are there.

    Raises
    ------
    InputError
        If there is no such store or pieces of it are missing.
    """
    path = Path(path)
    return SlideImage(path, open_complete(path, what="slide image", remedy=_REMEDY))

"""Zarr stores as this room writes and checks them: same bytes each time, every chunk there."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numcodecs
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from gridwell.config.errors import InputError, Problem

# What Blosc makes of pixels: three times as fast as zstd and hardly larger, for noise cannot be
# compressed.
PIXELS = {"cname": "lz4", "clevel": 1, "shuffle": "bitshuffle"}
# … and of labels: mostly zeros, and whole bytes of them.
LABELS = {"cname": "zstd", "clevel": 1, "shuffle": "shuffle"}


def old_blosc(codec: Mapping[str, Any]) -> numcodecs.Blosc:
    """Codec of Zarr v2: the one of v3, in other words."""
    shuffle = {"bitshuffle": numcodecs.Blosc.BITSHUFFLE, "shuffle": numcodecs.Blosc.SHUFFLE}
    return numcodecs.Blosc(**{**codec, "shuffle": shuffle[codec["shuffle"]]})


def create_array(
    group: zarr.Group,
    name: str,
    *,
    shape: Sequence[int],
    chunks: Sequence[int],
    shards: Sequence[int] | None,
    dtype: str,
    axes: Sequence[str],
    codec: Mapping[str, Any] = PIXELS,
) -> zarr.Array:
    """Create an array compressed by Blosc; empty chunks are stored too.

    A chunk that is not there always means damage, since Zarr would read it as zeros.
    `shards` and `axes` go into Zarr v3 only.
    """
    options: dict[str, Any]
    if group.metadata.zarr_format == 3:
        blosc = BloscCodec(**codec, typesize=np.dtype(dtype).itemsize)
        options = {"shards": tuple(shards) if shards else None, "dimension_names": tuple(axes)}
    else:
        blosc = old_blosc(codec)
        options = {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
    return group.create_array(
        name,
        shape=tuple(shape),
        chunks=tuple(chunks),
        dtype=dtype,
        compressors=blosc,
        filters=None if group.metadata.zarr_format == 2 else "auto",
        fill_value=0,
        config={"write_empty_chunks": True},
        **options,
    )


def open_complete(path: Path, *, what: str, remedy: str) -> zarr.Group:
    """Open a store of this room for reading, once every one of its chunks is there.

    Raises
    ------
    InputError
        If there is no store, if it belongs to a dataset and was not fetched, or if chunks are
        missing. Zarr itself reads all of these as zeros.
    """
    try:
        group = zarr.open_group(path, mode="r", use_consolidated=False)
        facts = group.attrs["gridwell"]
        if not isinstance(facts, dict):
            raise KeyError("gridwell")
    except (FileNotFoundError, KeyError, ValueError):
        metadata = (path, path / "zarr.json", path / ".zgroup", path / ".zattrs")
        if any(file.is_symlink() and not file.exists() for file in metadata):
            raise _not_fetched(path, what) from None
        raise InputError(Problem(str(path), f"holds no {what} of gridwell", remedy)) from None
    for name, array in arrays_of(path, group).items():
        check_complete(path / name, array, what=what, remedy=remedy)
    return group


def arrays_of(path: Path, group: zarr.Group) -> dict[str, zarr.Array]:
    """Arrays of the group at `path` by name, sorted.

    Zarr's own listing warns of every other file, such as the time stamp that Snakemake leaves
    in a directory output.
    """
    metadata = ".zarray" if group.metadata.zarr_format == 2 else "zarr.json"
    names = sorted(file.parent.name for file in path.glob(f"*/{metadata}"))
    found = {name: group[name] for name in names}
    return {name: array for name, array in found.items() if isinstance(array, zarr.Array)}


def check_complete(path: Path, array: zarr.Array, *, what: str, remedy: str) -> None:
    """Count the stored chunks (or shards) of `array` at `path`; see `open_complete`."""
    stored = array.shards or array.chunks
    expected = math.prod(-(-n // s) for n, s in zip(array.shape, stored, strict=True))
    found = 0
    for folder, _, files in os.walk(path):
        for file in files:
            if file in ("zarr.json", ".zarray", ".zattrs"):
                continue
            # A dangling link is a file of a dataset that was not fetched.
            if not (Path(folder) / file).exists():
                raise _not_fetched(path, what)
            found += 1
    if found != expected:
        raise InputError(
            Problem(
                str(path), f"is incomplete: {found} of {expected} pieces of the {what} are there",
                remedy,
            )
        )  # fmt: skip


def _not_fetched(path: Path, what: str) -> InputError:
    return InputError(
        Problem(
            str(path),
            f"is known to the dataset, but the content of the {what} is not here",
            f"Run in the study: datalad get {path}",
        )
    )


def halve(image: NDArray[Any]) -> NDArray[Any]:
    """Halve an image (h, w) of uint8 or uint16: mean of 2 x 2 pixels, half rounded up.

    The last row or column of an odd size counts twice, so that sizes are rounded up.
    """
    height, width = image.shape
    if height % 2 or width % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2)), mode="edge")
    size = (image.shape[1] // 2, image.shape[0] // 2)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)

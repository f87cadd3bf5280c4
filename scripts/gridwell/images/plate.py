"""Spots as an OME-Zarr HCS plate, one well a spot, for viewers and other programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray

from gridwell.config.files import whole
from gridwell.config.spots import row_letters
from gridwell.images import ngff
from gridwell.images.labels import open_labels
from gridwell.images.spots import SpotStack, open_spots
from gridwell.images.stores import LABELS, create_array, halve

# Levels of a well: down to a thumbnail, and two at least.
_SMALLEST = 256


def export_plate(
    spots_zarr: Path,
    labels: Mapping[str, Path],
    out: Path,
    ngff_version: Literal["0.5", "0.4"] = "0.5",
) -> None:
    """Write the crops of a slide as a plate: wells ``A/1``…, one field ``0`` each.

    Parameters
    ----------
    spots_zarr
        The stack of spots.
    labels
        Label stacks by channel; they appear as ``labels/<channel>`` in each well.
    out
        The plate. It appears when it is complete.
    ngff_version
        Version of OME-Zarr.

    Notes
    -----
    Wells are whole crops, margins included. Channels of different depth share the deeper one.
    Every grid position has a well. Levels of labels keep every second pixel.
    """
    stack = open_spots(spots_zarr)
    masks = {channel: open_labels(path) for channel, path in labels.items()}
    frame = stack.frame
    factors = ngff.level_factors(max(frame.crop), _SMALLEST, least=2)
    with whole(out) as part:
        version: Literal[2, 3] = 3 if ngff_version == "0.5" else 2
        plate = zarr.open_group(part, mode="w", zarr_format=version)
        plate.attrs.update(_plate_attributes(stack, ngff_version))
        for row in range(frame.rows):
            plate.create_group(row_letters(row))
            first, last = row * frame.cols, (row + 1) * frame.cols
            images = _planes(stack, first, last)
            rowwise = {name: mask.read(first, last) for name, mask in masks.items()}
            for col in range(frame.cols):
                well = plate.create_group(f"{row_letters(row)}/{col + 1}")
                well.attrs.update(_well_attributes(ngff_version))
                field = well.create_group("0")
                _write_field(field, images[col], stack, factors, ngff_version)
                if masks:
                    crops = {name: block[col] for name, block in rowwise.items()}
                    _write_labels(field, crops, stack, factors, ngff_version)


def _planes(stack: SpotStack, start: int, stop: int) -> NDArray[Any]:
    """All channels of some spots as (n, c, h, w), RGB as three planes, one dtype."""
    dtype = np.result_type(*(stack.dtype(c["channel"]) for c in stack.channels))
    parts = []
    for channel in stack.channels:
        crops = stack.read(channel["channel"], start, stop)
        crops = crops[:, None] if crops.ndim == 3 else crops.transpose(0, 3, 1, 2)
        parts.append(crops.astype(dtype, copy=False))
    return np.concatenate(parts, axis=1)


def _write_field(
    field: zarr.Group,
    image: NDArray[Any],
    stack: SpotStack,
    factors: Sequence[int],
    version: str,
) -> None:
    """Write one well's image (c, h, w) with its levels."""
    for level in range(len(factors)):
        if level:
            image = np.stack([halve(plane) for plane in image])
        shape = image.shape
        array = create_array(
            field,
            str(level),
            shape=shape,
            chunks=(1, *shape[1:]),
            shards=shape if version == "0.5" else None,
            dtype=str(image.dtype),
            axes="cyx",
        )
        array[...] = image
    field.attrs.update(
        ngff.image_attributes(
            ngff.multiscale("0", factors, stack.frame.pixel_size_um),
            version,
            omero=ngff.omero(stack.channels, str(image.dtype)),
        )
    )


def _write_labels(
    field: zarr.Group,
    crops: Mapping[str, NDArray[Any]],
    stack: SpotStack,
    factors: Sequence[int],
    version: str,
) -> None:
    group = field.create_group("labels")
    listed = {"labels": list(crops)}
    group.attrs.update({"ome": {"version": "0.5", **listed}} if version == "0.5" else listed)
    for name, crop in crops.items():
        label = group.create_group(name)
        for level, factor in enumerate(factors):
            image = crop[::factor, ::factor]
            array = create_array(
                label,
                str(level),
                shape=image.shape,
                chunks=image.shape,
                shards=None,
                dtype="uint32",
                axes="yx",
                codec=LABELS,
            )
            array[...] = image
        label.attrs.update(
            ngff.image_attributes(
                ngff.multiscale(name, factors, stack.frame.pixel_size_um, channels=False),
                version,
                **{"image-label": {"source": {"image": "../../"}}},
            )
        )


def _plate_attributes(stack: SpotStack, version: str) -> dict[str, Any]:
    frame = stack.frame
    rows = [row_letters(row) for row in range(frame.rows)]
    plate: dict[str, Any] = {
        "name": frame.slide,
        "field_count": 1,
        "rows": [{"name": row} for row in rows],
        "columns": [{"name": str(col + 1)} for col in range(frame.cols)],
        "wells": [
            {"path": f"{row}/{col + 1}", "rowIndex": r, "columnIndex": col}
            for r, row in enumerate(rows)
            for col in range(frame.cols)
        ],
    }
    if version == "0.5":
        return {"ome": {"version": "0.5", "plate": plate}}
    return {"plate": {"version": "0.4", **plate}}


def _well_attributes(version: str) -> dict[str, Any]:
    well = {"images": [{"path": "0"}]}
    if version == "0.5":
        return {"ome": {"version": "0.5", "well": well}}
    return {"well": {"version": "0.4", **well}}

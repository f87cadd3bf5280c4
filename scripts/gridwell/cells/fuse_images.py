"""Fusion of single images that anybody has: three channels of one field, and their labels."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gridwell.cells.features import measure
from gridwell.cells.fuse import Fused, by_spot, fuse
from gridwell.cells.pixels import ImagePixels
from gridwell.config.errors import InputError, Problem
from gridwell.config.files import write_csv, write_parquet
from gridwell.config.models import FuseOptions
from gridwell.images.label_files import open_label_image, read_wide, wide_dtype
from gridwell.images.reader import open_plane
from gridwell.images.spots import SpotFrame

Array = np.ndarray[Any, np.dtype[Any]]

_SPOT = "A1"
_RING = 5.0
_LARGEST_LABEL = 2**24  # exact when label images are shifted as single precision numbers
_FULL = 65535.0  # of a camera of 16 bits
_log = logging.getLogger(__name__)


def fuse_images(
    images: Mapping[str, Path],
    labels: Mapping[str, Path],
    *,
    options: FuseOptions,
    cells_out: Path | None = None,
    spots_out: Path | None = None,
) -> Fused:
    """Fuse three images of one field, taken as one spot, A1.

    Parameters
    ----------
    images
        Gray images of the roles ``nuclei``, ``live`` and ``dead``, all of one size.
    labels
        Label images of the nuclei, and of the stains that were segmented.
    options
        Settings.
    cells_out, spots_out
        Parquet of the cells (CSV where it is called so) and CSV of the spot, columns as in
        `gridwell.config.columns`.

    Raises
    ------
    InputError
        If a file cannot be read, or sizes differ.
    """
    pixels = {role: _image(path) for role, path in images.items()}
    objects = {role: _labels(path) for role, path in labels.items()}
    _check_sizes(images, labels, pixels, objects)
    h, w = pixels["nuclei"].shape
    frame = _frame(h, w, images["nuclei"])
    tables = {}
    for role, own in objects.items():
        others = {name: image for name, image in pixels.items() if name != role}
        table = measure(own, pixels[role], others, _RING)
        table.insert(0, "spot", _SPOT)
        tables[role] = table.astype({"spot": "str"})
    parted = {role: by_spot(table, frame) for role, table in tables.items()}
    fused = fuse(ImagePixels(frame, pixels, objects), parted, options=options)
    if cells_out:
        write = write_csv if cells_out.suffix.lower() == ".csv" else write_parquet
        features = {role: partial(_rows, table) for role, table in tables.items()}
        write(cells_out, pd.concat(fused.with_features(features), ignore_index=True))
    if spots_out:
        write_csv(spots_out, fused.spots)
    return fused


def _rows(table: pd.DataFrame, rows: Array) -> pd.DataFrame:
    return table.iloc[rows]


def _image(path: Path) -> Array:
    wide = wide_dtype(path)
    if wide is not None:
        return _in_16_bits(read_wide(path, numbers="iubf"), path)
    with open_plane(path) as plane:
        if plane.info.samples != 1:
            remedy = "Give a gray image, one channel."
            raise InputError(Problem(str(path), "is a colour image", remedy))
        if plane.info.planes != 1:
            remedy = "Save the channel as a file of its own."
            raise InputError(Problem(str(path), f"holds {plane.info.planes} planes", remedy))
        return plane.rows(0, plane.info.height)


def _in_16_bits(image: Array, path: Path) -> Array:
    """Grey values of 32 bits or with decimals as a camera would have them: whole, 0 to 65535."""
    image = np.asarray(image, np.float64)
    if not np.isfinite(image).all():
        remedy = "Give every pixel a number."
        raise InputError(Problem(str(path), "holds pixels that are no number", remedy))
    low, high = float(image.min()), float(image.max())
    if low >= 0 and high <= _FULL and (image == np.rint(image)).all():
        return image.astype(np.uint16)
    scale = _FULL / (high - low) if high > low else 1.0
    _log.warning("%s: grey values were taken as (value - %g) x %g", path, low, scale)
    return np.rint((image - low) * scale).astype(np.uint16)


def _labels(path: Path) -> Array:
    with open_label_image(path, "instances") as image:
        # Pixels that nobody judged are no object.
        labels = np.maximum(image.rows(0, image.shape[0]), 0).astype(np.uint32)
    if labels.max(initial=0) > _LARGEST_LABEL:
        reason, remedy = "has too large a label", f"Number the objects from 1 to {_LARGEST_LABEL}."
        raise InputError(Problem(str(path), reason, remedy, value=int(labels.max())))
    return labels


def _check_sizes(
    images: Mapping[str, Path],
    labels: Mapping[str, Path],
    pixels: Mapping[str, Array],
    objects: Mapping[str, Array],
) -> None:
    h, w = pixels["nuclei"].shape
    files = [(images[role], image) for role, image in pixels.items()]
    files += [(labels[role], image) for role, image in objects.items()]
    problems = [
        Problem(
            str(path),
            f"is {image.shape[1]} x {image.shape[0]} pixels and {images['nuclei']} is {w} x {h}",
            "Give images and labels of one field, all of one size.",
        )
        for path, image in files
        if image.shape != (h, w)
    ]
    if problems:
        raise InputError(problems)


def _frame(h: int, w: int, path: Path) -> SpotFrame:
    """One spot that fills the image; pixels of its crop are pixels of the image."""
    one = SpotFrame(path.stem, 1, 1, (_SPOT,), (0.0,), (0.0,), 0.0, w, h, "square", (True,))
    crop_h, crop_w = one.crop
    centre = (crop_w - 1) / 2, (crop_h - 1) / 2
    return SpotFrame(
        path.stem, 1, 1, (_SPOT,), centre[:1], centre[1:], 0.0, w, h, "square", (True,)
    )


def in_words(fused: Fused) -> str:
    """Return what a person wants to know first."""
    spot = fused.spots.iloc[0]
    lines = [
        "{n} nuclei: {live} live, {dying} dying, {dead} dead, {inactive} without either stain; "
        "{orphans} stained bodies without a nucleus".format(
            n=spot["n_nuclei"],
            orphans=_sum(spot["n_orphan_live"], spot["n_orphan_dead"]),
            **{state: spot[f"n_{state}"] for state in ("live", "dying", "dead", "inactive")},
        )
    ]
    for name, text in (("viability", "live / nuclei"), ("viability_stained", "live / stained")):
        if np.isfinite(spot[name]):
            low, high = spot[f"{name}_low"], spot[f"{name}_high"]
            lines.append(
                f"{name} ({text}): {spot[name]:.3f}, 95 % interval {low:.3f} to {high:.3f}"
            )
        else:
            lines.append(f"{name} ({text}): none")
    for role, facts in fused.facts.items():
        if not facts["registered"]:
            lines.append(f"{role}: does not register with the nuclei; cells have no state")
            continue
        shift = f"shift {facts['dx']:+.2f}, {facts['dy']:+.2f} pixels"
        shift += f" (quality {facts['quality']:.2f})" if facts["quality"] else " (not told)"
        lines.append(f"{role}: {shift}, states by {facts['calibration'].replace('+', ' and ')}")
    if spot["flags"]:
        lines.append("flags: " + spot["flags"].replace(";", ", "))
    return "\n".join(lines)


def _sum(*counts: Any) -> Any:
    return sum(counts[1:], counts[0])

"""Grid detection on a tiled slide or on a single image, with its files."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np

from gridwell.config.errors import InputError
from gridwell.config.models import Carrier, GridOptions, GridOverride
from gridwell.grid.elements import to_gray
from gridwell.grid.find import find_grid
from gridwell.grid.model import Grid
from gridwell.grid.outputs import write_grid
from gridwell.grid.overrides import OVERRIDE
from gridwell.images.reader import inspect, overview
from gridwell.images.slide import open_slide
from gridwell.network.device import Policy


def detect_on_slide(
    slide_zarr: Path,
    channel: str,
    *,
    out_dir: Path,
    options: GridOptions,
    carrier: Carrier | None = None,
    carrier_name: str | None = None,
    override: GridOverride | None = None,
    empty: Collection[str] = (),
    reference: Grid | None = None,
    gpu: Policy = "allow",
) -> Grid:
    """Find the grid of a tiled slide and write its files.

    Parameters
    ----------
    slide_zarr
        The slide's OME-Zarr pyramid.
    channel
        Channel to look at; an RGB scan is reduced to gray.
    out_dir
        Folder for what `write_grid` writes.
    options, carrier, carrier_name, override, empty, reference, gpu
        What is known of the grid; see `find_grid`.

    Returns
    -------
    Grid
        Also when none was found: its status says so.

    Raises
    ------
    InputError
        If the override contradicts itself, or a GPU is required and there is none.
    """
    slide = open_slide(slide_zarr)
    level = slide.level_for(options.max_side)
    image = _gray(slide.read(channel, level))
    scale = float(slide.levels[level])
    try:
        grid = find_grid(
            image,
            scale=scale,
            size=(slide.info["width"], slide.info["height"]),
            options=options,
            carrier=carrier,
            carrier_name=carrier_name,
            override=override,
            pixel_size_um=slide.info["pixel_size_um"],
            empty=empty,
            reference=reference,
            gpu=gpu,
        )
    except InputError as error:
        file = f"config/overrides/{slide.info['slide']}.yaml"
        raise InputError(
            replace(p, file=file) if p.file == OVERRIDE else p for p in error.problems
        ) from None
    write_grid(grid, image, scale, out_dir, slide.info["slide"])
    return grid


def detect_on_image(
    path: Path,
    *,
    out_dir: Path,
    index: int = 0,
    options: GridOptions | None = None,
    carrier: Carrier | None = None,
    carrier_name: str | None = None,
    override: GridOverride | None = None,
    pixel_size_um: float | None = None,
    reference: Grid | None = None,
    gpu: Policy = "allow",
) -> Grid:
    """Find the grid in any single image file and write its files to `out_dir`.

    Parameters
    ----------
    path, index
        Image file, and the plane in it.
    out_dir
        Folder for what `write_grid` writes.
    options, carrier, carrier_name, override, pixel_size_um, reference, gpu
        What is known of the grid; see `find_grid`. The pixel size is the file's own by default.

    Raises
    ------
    InputError
        If the image cannot be read, the override contradicts itself, or a GPU is required and
        there is none.
    """
    options = options or GridOptions()
    info = inspect(path, index=index)
    reduced, scale = overview(path, index, options.max_side)
    image = _gray(reduced)
    grid = find_grid(
        image,
        scale=scale,
        size=(info.width, info.height),
        options=options,
        carrier=carrier,
        carrier_name=carrier_name,
        override=override,
        pixel_size_um=pixel_size_um or info.pixel_size_um,
        reference=reference,
        gpu=gpu,
    )
    write_grid(grid, image, scale, out_dir, path.stem)
    return grid


def _gray(image: np.ndarray) -> np.ndarray:
    return to_gray(image) if image.ndim == 3 else image

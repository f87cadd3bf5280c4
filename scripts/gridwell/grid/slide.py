"""Grid detection on a tiled slide or on a single image, with its files."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from gridwell.config.errors import InputError
from gridwell.config.models import Carrier, GridOptions, GridOverride
from gridwell.grid.detect import detect_grid
from gridwell.grid.elements import to_gray
from gridwell.grid.model import Grid
from gridwell.grid.outputs import write_grid
from gridwell.images.reader import inspect, overview
from gridwell.images.slide import open_slide


def detect_on_slide(
    slide_zarr: Path,
    channel: str,
    *,
    out_dir: Path,
    options: GridOptions,
    carrier: Carrier | None = None,
    carrier_name: str | None = None,
    override: GridOverride | None = None,
) -> Grid:
    """Find the grid of a tiled slide and write its four files.

    Parameters
    ----------
    slide_zarr
        The slide's OME-Zarr pyramid.
    channel
        Channel to look at; an RGB scan is reduced to gray.
    out_dir
        Folder for grid.json, grid.csv, grid.geojson and grid.png.
    options, carrier, carrier_name, override
        What is known of the grid; see `detect_grid`.

    Returns
    -------
    Grid
        Also when none was found: its status says so.
    """
    slide = open_slide(slide_zarr)
    level = slide.level_for(options.max_side)
    image = _gray(slide.read(channel, level))
    scale = float(slide.levels[level])
    pixel = slide.info["pixel_size_um"]
    detect = partial(
        detect_grid,
        image,
        scale=scale,
        options=options,
        carrier=carrier,
        carrier_name=carrier_name,
        override=override,
        size=(slide.info["width"], slide.info["height"]),
    )
    try:
        grid = detect(pixel_size_um=pixel)
    except InputError as error:  # an override that contradicts itself
        file = f"config/overrides/{slide.info['slide']}.yaml"
        raise InputError(replace(problem, file=file) for problem in error.problems) from None
    if grid.status == "failed" and carrier and carrier.pitch_um and pixel:
        grid = _of_another_size(detect(), carrier.pitch_um, pixel) or grid
    write_grid(grid, image, scale, out_dir, slide.info["slide"])
    return grid


def _of_another_size(grid: Grid, pitch_um: tuple[float, float], pixel: float) -> Grid | None:
    """Tell of a grid that fits the carrier but for its size; None where there is none."""
    if grid.status != "ok" or grid.pitch is None:
        return None
    x, y = (spacing * pixel for spacing in grid.pitch)
    reason = (
        f"with pixels of {pixel:g} um the spots are {x:.0f} x {y:.0f} um apart, those of the "
        f"carrier {pitch_um[0]:g} x {pitch_um[1]:g} um: correct pixel_size_um in "
        "config/channels.tsv, or the carrier"
    )
    return replace(grid, status="ambiguous", reason=reason, confidence=0.0)


def detect_on_image(
    path: Path,
    *,
    out_dir: Path,
    index: int = 0,
    options: GridOptions | None = None,
    carrier: Carrier | None = None,
    carrier_name: str | None = None,
    override: GridOverride | None = None,
) -> Grid:
    """Find the grid in any single image file and write its four files to `out_dir`.

    Raises
    ------
    InputError
        If the image cannot be read.
    """
    options = options or GridOptions()
    info = inspect(path, index=index)
    reduced, scale = overview(path, index, options.max_side)
    image = _gray(reduced)
    grid = detect_grid(
        image,
        scale=scale,
        options=options,
        carrier=carrier,
        carrier_name=carrier_name,
        override=override,
        size=(info.width, info.height),
    )
    write_grid(grid, image, scale, out_dir, path.stem)
    return grid


def _gray(image: np.ndarray) -> np.ndarray:
    return to_gray(image) if image.ndim == 3 else image

"""Colorimetry of a single scan, by the same steps as in a study."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from gridwell.colour.measure import measure_colour
from gridwell.config.colour_calibration import read_calibration
from gridwell.config.errors import InputError, Problem
from gridwell.config.models import (
    Carrier,
    Channel,
    ColourOptions,
    GridOptions,
    GridOverride,
    Role,
    SpotsOptions,
    TileOptions,
)
from gridwell.grid.model import is_settled
from gridwell.grid.slide import detect_on_slide
from gridwell.images.ingest import ingest_slide
from gridwell.images.reader import inspect
from gridwell.images.slide import open_slide, write_slide
from gridwell.images.spots import crop_spots


def measure_image(
    path: Path,
    *,
    out_dir: Path,
    options: ColourOptions,
    carrier: Carrier | None = None,
    carrier_name: str | None = None,
    layout: pd.DataFrame | None = None,
    layout_name: str = "layout",
    override: GridOverride | None = None,
) -> None:
    """Find the grid of an RGB scan and measure the colour of every spot.

    Parameters
    ----------
    path
        RGB image file, any that a study takes.
    out_dir
        Folder for spots.csv, colours.parquet, calibration.json and the files of the grid. Pyramid
        and crops are temporary.
    options
        What is measured.
    carrier, carrier_name, override
        What is known of the grid.
    layout, layout_name
        As `gridwell.config.layouts.read_layout` gives it, and what messages call it; its
        calibration spots turn colours into values, its blank spots are white.

    Raises
    ------
    InputError
        If the image cannot be read, is not RGB, or its grid is not certain; the grid's files
        are written in the last case, to look at.
    """
    if inspect(path).samples != 3:
        raise InputError(
            Problem(str(path), "is a gray image", "Give an RGB scan; colours are measured.")
        )
    if options.calibration is not None:  # told before the grid is looked for
        read_calibration(Path(options.calibration))
    name = "scan"
    channel = Channel(slide=name, channel=name, role=Role.COLOUR, path=str(path))
    with TemporaryDirectory(prefix="gridwell-") as folder:
        work = Path(folder)
        ingest_slide(name, [channel], {name: path}, work / "raw")
        try:
            write_slide(work / "raw", work / "slide.zarr", TileOptions())
        except InputError as error:  # of the copy, but the user knows the image
            raise InputError(replace(p, file=str(path)) for p in error.problems) from None
        slide = open_slide(work / "slide.zarr")
        grid = detect_on_slide(
            work / "slide.zarr",
            name,
            out_dir=out_dir,
            options=GridOptions(),
            carrier=carrier,
            carrier_name=carrier_name,
            override=override,
        )
        if not is_settled(grid):
            raise InputError(
                Problem(
                    file=str(path),
                    reason=f"the grid is not certain: {grid.reason}",
                    remedy=f"Look at {out_dir / 'grid.png'} and say what you know with "
                    "--carrier or --override",
                )
            )
        crop_spots(
            slide,
            work / "spots.zarr",
            grid=grid.frame(name, slide.info["pixel_size_um"]),
            margin=SpotsOptions().margin,
            threads=1,
        )
        measure_colour(
            work / "spots.zarr",
            work / "slide.zarr",
            name,
            layout,
            spots_out=out_dir / "spots.csv",
            colours_out=out_dir / "colours.parquet",
            calibration_out=out_dir / "calibration.json",
            options=options,
            slide=path.stem,
            layout_name=layout_name,
        )

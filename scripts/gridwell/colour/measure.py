"""Colorimetry of a slide: the colour of every spot, all numbers of it, and calibrated values.

A scan is taken to be sRGB-encoded, 8 or 16 bit. All arithmetic is done in linear light and
relative to white, so that exposure, lamp and uneven lighting drop out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gridwell.cells.flags import join_flags, spot_rows
from gridwell.colour.chart import read_chart
from gridwell.colour.patches import read_patch, read_white
from gridwell.colour.pixels import SpotPixels, measure_spots
from gridwell.colour.spaces import to_lab, to_srgb
from gridwell.colour.values import Valued, value_colours
from gridwell.colour.white import White, find_white
from gridwell.config.colour_calibration import CalibrationFile, Light
from gridwell.config.columns import column_names
from gridwell.config.errors import InputError, Problem
from gridwell.config.files import write_csv, write_json, write_parquet
from gridwell.config.models import ColourOptions
from gridwell.config.provenance import Provenance, of_slide

if TYPE_CHECKING:
    from gridwell.images.slide import SlideImage
    from gridwell.images.spots import SpotFrame

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

SATURATED = 0.05  # share of measured pixels at full scale that is worth a flag
WHITE_SATURATED = 0.25  # the same of the background; a robust mean bears less
EMPTY_DISTANCE = 3.0  # CIE76 from the background; an unfound spot nearer to it is not there
SPOTS, COLOURS = "spots.csv (colorimetry)", "colours.parquet"


@dataclass(frozen=True)
class Colorimetry:
    """What is known of a slide's colours: spots.csv, colours.parquet and calibration.json."""

    spots: pd.DataFrame
    colours: pd.DataFrame
    calibration: CalibrationFile

    def write(
        self,
        *,
        spots_out: Path,
        colours_out: Path,
        calibration_out: Path,
        provenance: Provenance | None = None,
    ) -> None:
        """Write the three files."""
        write_parquet(colours_out, self.colours, provenance)
        write_json(calibration_out, self.calibration.model_dump(mode="json"))
        write_csv(spots_out, self.spots, provenance)


def measure_colour(
    spots_zarr: Path,
    slide_zarr: Path,
    channel: str,
    layout: pd.DataFrame | None,
    *,
    spots_out: Path,
    colours_out: Path,
    calibration_out: Path,
    options: ColourOptions,
    slide: str,
    layout_name: str = "layout",
    provenance: Provenance | None = None,
) -> None:
    """Write the results of the colorimetry assay for one slide.

    Parameters
    ----------
    spots_zarr, slide_zarr
        Crops of the slide's spots, and the slide, for patches beside them.
    channel
        The RGB channel.
    layout
        Its rows of role calibration are the calibration, those of role blank white; None: none.
    spots_out, colours_out, calibration_out
        The files to write.
    options
        Section ``colour`` of the configuration.
    slide
        Name for the first column.
    layout_name
        What messages call the layout.
    provenance
        Code and configuration that the table is made with; the raw images are added.

    Raises
    ------
    InputError
        If the channel is not RGB, or patches, chart, layout or calibration cannot be used.
    """
    from gridwell.images.slide import open_slide
    from gridwell.images.spots import open_spots

    stack = open_spots(spots_zarr)
    if len(stack.shape(channel)) != 4:
        raise InputError(
            Problem(
                "config/channels.tsv",
                f"channel {channel} of slide {slide} is not a colour image",
                "Give an RGB file for the channel of role colour.",
                column="role",
            )
        )

    def crops() -> Iterator[NDArray[Any]]:
        for start in range(0, len(stack.names), stack.frame.cols):
            yield from stack.read(channel, start, start + stack.frame.cols)

    whole = provenance and of_slide(provenance, slide, stack.raw)
    measured = spot_colours(
        crops(),
        stack.frame,
        options,
        slide=slide,
        layout=layout,
        layout_name=layout_name,
        inside=np.asarray(stack.inside, bool),
        image=open_slide(slide_zarr),
        channel=channel,
        provenance=whole,
    )
    measured.write(
        spots_out=spots_out,
        colours_out=colours_out,
        calibration_out=calibration_out,
        provenance=whole,
    )


def spot_colours(
    crops: Iterable[NDArray[Any]],
    frame: SpotFrame,
    options: ColourOptions,
    *,
    slide: str = "",
    layout: pd.DataFrame | None = None,
    layout_name: str = "layout",
    inside: Bools | None = None,
    image: SlideImage | None = None,
    channel: str = "",
    provenance: Provenance | None = None,
) -> Colorimetry:
    """Colours and values of the spots of a scan.

    Parameters
    ----------
    crops
        One (h, w, 3) array of uint8 or uint16 for each position of `frame`, in its order; an
        (n, h, w, 3) array will do. They are read once, one at a time.
    frame
        Where the spots lie.
    options, slide, layout, layout_name, provenance
        As `measure_colour` takes them.
    inside
        Whether each crop lies wholly in the slide, shape (n,); None: all do.
    image, channel
        The whole slide, where the options name patches or a chart on it.

    Raises
    ------
    InputError
        As `measure_colour`.
    """
    pixels = measure_spots(crops, frame, options.inner)
    roles = _of_spots(frame, layout, "role")
    blank = (roles == "blank").to_numpy()
    white = _white(pixels, frame, options, blank=blank, image=image, channel=channel)
    linear = white.relative(pixels.colour)
    if options.chart is not None and image is not None:
        chart = read_chart(image, channel, options.chart, white=white.level, black=white.black)
        linear = chart.correct(linear)
    found, lit = np.asarray(frame.found, bool), white.source != "none"
    cut = np.zeros(len(found), bool) if inside is None else ~inside
    distance = np.linalg.norm(to_lab(linear) - to_lab(np.ones(3)), axis=1)
    empty = ~found & lit & (distance < EMPTY_DISTANCE)
    known = _of_spots(frame, layout, "value").astype(float).to_numpy()
    calibrating = (roles == "calibration").to_numpy()
    saturated = _white_saturated(pixels)
    light = Light(
        source=white.source,
        white=_triple(white.level),
        black=_triple(white.black),
        chart=options.chart.kind if options.chart else None,
    )
    valued = value_colours(
        np.where(empty[:, None], np.nan, linear),
        np.where(calibrating, known, np.nan),
        options,
        trusted=found & ~cut & ~empty,
        slide=slide,
        light=light,
        white_saturated=saturated,
        asked=bool(calibrating.any()),
        layout_name=layout_name,
        provenance=provenance,
    )
    words = valued.flags | {
        "empty": empty,
        "saturated": pixels.saturated > SATURATED,
        "no_white": np.full(len(found), not lit),
        "white_saturated": np.full(len(found), saturated),
    }
    flags = join_flags(frame, ~cut, words)
    rows = spot_rows(frame).assign(slide=slide)
    return Colorimetry(
        _spots(rows, linear, valued, flags),
        _colours(rows, pixels, white, linear, valued),
        valued.calibration,
    )


def _white(
    pixels: SpotPixels,
    frame: SpotFrame,
    options: ColourOptions,
    *,
    blank: Bools,
    image: SlideImage | None,
    channel: str,
) -> White:
    """White at every spot, by all that the options name."""
    patch = black = None
    if image is not None and options.black_patch is not None:
        black = read_patch(image, channel, options.black_patch, "colour.black_patch")
    if image is not None and options.white_patch is not None:
        patch = read_white(image, channel, options.white_patch, black)
    x, y = np.asarray(frame.x, float), np.asarray(frame.y, float)
    return find_white(x, y, pixels.background, pixels.colour, blank, patch=patch, black=black)


def _white_saturated(pixels: SpotPixels) -> bool:
    """Whether the background is at full scale, so that neither it nor a gradient can be seen."""
    shares = pixels.background_saturated[np.isfinite(pixels.background[:, 0])]
    return bool(len(shares)) and float(np.median(shares)) > WHITE_SATURATED


def _of_spots(frame: SpotFrame, layout: pd.DataFrame | None, column: str) -> pd.Series:
    """A column of the layout for each position of the grid, missing where it says nothing."""
    spots = pd.Series(list(frame.spots), dtype="str")
    if layout is None or column not in layout:
        return pd.Series([np.nan] * len(spots), dtype=object)
    return spots.map(layout.drop_duplicates("spot").set_index("spot")[column]).astype(object)


def _spots(rows: pd.DataFrame, linear: Floats, valued: Valued, flags: pd.Series) -> pd.DataFrame:
    encoded = np.clip(255 * to_srgb(linear), 0, 255)
    red, green, blue = encoded.T
    table = rows.assign(
        red=red,
        green=green,
        blue=blue,
        metric=valued.number,
        value=valued.value,
        value_low=valued.low,
        value_high=valued.high,
        unit=valued.unit,
        method=valued.metric,
        flags=flags,
    )
    return table[column_names(SPOTS)]


def _colours(
    rows: pd.DataFrame, pixels: SpotPixels, white: White, linear: Floats, valued: Valued
) -> pd.DataFrame:
    from skimage.color import deltaE_ciede2000

    around = white.relative(pixels.background)
    facts: dict[str, Any] = {
        "pixels": pixels.pixels,
        "kept": pixels.kept,
        "spread": pixels.spread,
        "saturated": pixels.saturated,
    }
    for name, colours in (
        ("linear", linear),
        ("background", around),
        ("white", np.broadcast_to(white.surface, linear.shape)),
    ):
        for i, channel in enumerate(("red", "green", "blue")):
            facts[f"{name}_{channel}"] = colours[:, i]
    facts["delta_background"] = deltaE_ciede2000(to_lab(linear), to_lab(around))
    return rows.assign(**facts, **valued.numbers, **valued.values)


def _triple(colour: Floats) -> tuple[float, float, float]:
    red, green, blue = (float(f"{value:.10g}") for value in colour)
    return red, green, blue

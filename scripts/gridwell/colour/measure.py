"""The colour of every spot of a scan, as a number and, with calibration spots, as a value.

A scan is taken to be sRGB-encoded, 8 or 16 bit. All arithmetic is done in linear light and
relative to the background around the spots, which is taken for white: exposure, lamp colour
and uneven lighting so drop out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gridwell.cells.flags import spot_rows
from gridwell.colour.calibrate import fit_calibration
from gridwell.colour.spaces import (
    LUMINANCE,
    colour_metric,
    to_lab,
    to_linear,
    to_srgb,
    unwrap_hue,
)
from gridwell.config.columns import column_names
from gridwell.config.errors import InputError, Problem
from gridwell.config.files import write_csv
from gridwell.config.models import ColourOptions
from gridwell.config.provenance import Provenance, of_slide

if TYPE_CHECKING:
    from gridwell.images.spots import SpotFrame

Floats = NDArray[np.float64]

REJECT = 3.0  # robust standard deviations beyond which a pixel is dust or a highlight
LEAST_SPREAD = 2 / 255  # encoded; below it the scatter is the camera's steps
OUTSIDE = 1.08  # outline, times this, beyond which a crop shows background
LEAST_BACKGROUND = 50  # pixels
DARKEST_WHITE = 0.1  # linear luminance; a darker background is no white to refer to
SATURATED = 0.05  # share of measured pixels at full scale that is worth a flag
EMPTY_DISTANCE = 3.0  # CIE76 from the background; an unfound spot nearer to it is not there


def measure_colour(
    spots_zarr: Path,
    channel: str,
    layout: pd.DataFrame | None,
    *,
    spots_out: Path,
    options: ColourOptions,
    slide: str,
    provenance: Provenance | None = None,
) -> None:
    """Write spots.csv of the colorimetry assay for one slide.

    Parameters
    ----------
    spots_zarr
        Crops of the slide's spots.
    channel
        The RGB channel.
    layout
        Its rows of role calibration with a value are the calibration; None: none.
    spots_out
        The table to write.
    options
        Section ``colour`` of the configuration.
    slide
        Name for the first column.
    provenance
        Code and configuration that the table is made with; the raw images are added.

    Raises
    ------
    InputError
        If the channel is not RGB.
    """
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

    table = spot_colours(
        crops(), stack.frame, options, layout=layout, inside=np.asarray(stack.inside, bool)
    )
    table["slide"] = slide
    write_csv(spots_out, table, provenance and of_slide(provenance, slide, stack.raw))


def spot_colours(
    crops: Iterable[NDArray[Any]],
    frame: SpotFrame,
    options: ColourOptions,
    *,
    layout: pd.DataFrame | None = None,
    inside: NDArray[np.bool_] | None = None,
) -> pd.DataFrame:
    """Colours of the spots of a scan.

    Parameters
    ----------
    crops
        One (h, w, 3) array of uint8 or uint16 for each position of `frame`, in its order; an
        (n, h, w, 3) array will do. They are read once, one at a time.
    frame
        Where the spots lie.
    options
        Section ``colour`` of the configuration.
    layout
        Layout with calibration spots, or None.
    inside
        Whether each crop lies wholly in the slide, shape (n,); None: all do.

    Returns
    -------
    DataFrame
        Columns of spots.csv (colorimetry). ``red, green, blue``: 0..255, sRGB-encoded, after
        division by the background (which is 255 on average); from there to linear light and
        back is only `gridwell.colour.spaces`. ``metric``: number asked for. ``value``: metric
        brought to the calibration's scale, never beyond its range; the metric itself where the
        layout has no calibration spots.
    """
    measured = [_measure(crop, *_masks(frame, crop.shape[:2], options.inner)) for crop in crops]
    if not measured:
        return pd.DataFrame(columns=column_names("spots.csv (colorimetry)"))
    spot, background, saturated = (np.array(part) for part in zip(*measured, strict=True))
    x, y = np.asarray(frame.x, float), np.asarray(frame.y, float)
    white, lit = white_trend(x, y, background)
    linear = spot / white
    flags: list[set[str]] = [set() for _ in frame.spots]

    def flag(word: str, where: NDArray[np.bool_]) -> None:
        for i in np.flatnonzero(where):
            flags[i].add(word)

    found = np.asarray(frame.found, bool)
    distance = np.linalg.norm(to_lab(linear) - to_lab(np.ones(3)), axis=1)
    empty = ~found & lit & (distance < EMPTY_DISTANCE)
    number = np.where(empty, np.nan, colour_metric(linear, options.metric))
    flag("not_found", ~found)
    flag("empty", empty)
    flag("edge_cut", ~(np.ones(len(x), bool) if inside is None else inside))
    flag("saturated", saturated > SATURATED)
    flag("no_white", np.full(len(x), not lit))
    flag("colourless", np.isnan(number) & ~empty & np.isfinite(linear[:, 0]))
    table = spot_rows(frame)
    encoded = np.clip(255 * to_srgb(linear), 0, 255)
    table["red"], table["green"], table["blue"] = encoded.T
    table["metric"] = number
    circular = options.metric == "hue"
    table = _with_values(table, unwrap_hue(number) if circular else number, layout, flags)
    table["flags"] = [";".join(sorted(own)) for own in flags]
    return table[column_names("spots.csv (colorimetry)")]


def white_trend(x: Floats, y: Floats, background: Floats) -> tuple[Floats, bool]:
    """Colour of the background at each spot, as a smooth surface over the slide.

    A polynomial of second degree (first below 24 spots, a constant below 6) in x and y is
    fitted to the log of each channel with Tukey's biweight, so that spots whose margin shows a
    neighbour or dirt do not bend it.

    Parameters
    ----------
    x, y
        Positions, shape (n,).
    background
        Linear light of the background of each spot, shape (n, 3), NaN where unknown.

    Returns
    -------
    white
        Shape (n, 3); ones where there is no background that could be white.
    lit
        Whether there is one.
    """
    ones = np.ones(background.shape)
    known = np.isfinite(background).all(axis=1) & (background > 0).all(axis=1)
    if not known.any() or np.median(background[known] @ LUMINANCE) < DARKEST_WHITE:
        return ones, False
    u, v = (2 * (p - p.min()) / max(np.ptp(p), 1.0) - 1 for p in (x, y))
    terms = [np.ones_like(u), u, v, u * u, u * v, v * v]
    n = int(known.sum())
    design = np.stack(terms[: 6 if n >= 24 else 3 if n >= 6 else 1], axis=1)
    logs = np.log(background[known])
    white = np.stack([design @ _robust(design[known], column) for column in logs.T], axis=1)
    return np.exp(white), True


def _robust(design: Floats, y: Floats) -> Floats:
    """Regression by iteratively reweighted least squares, Huber's weights, then Tukey's."""
    weight = np.ones(len(y))
    beta: Floats = np.zeros(design.shape[1])
    for step in range(30):
        root = np.sqrt(weight)
        beta = np.asarray(np.linalg.lstsq(design * root[:, None], y * root, rcond=None)[0])
        residual = np.abs(y - design @ beta)
        spread = max(1.4826 * float(np.median(residual)), 1e-9)
        if step < 10:
            weight = 1 / np.maximum(residual / (1.345 * spread), 1)
        else:
            weight = np.maximum(1 - (residual / (4.685 * spread)) ** 2, 0) ** 2
    return beta


def _masks(
    frame: SpotFrame, shape: tuple[int, int], inner: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    return frame.mask(*shape, inner), ~frame.mask(*shape, OUTSIDE)


def _measure(
    crop: NDArray[Any], inner: NDArray[np.bool_], margin: NDArray[np.bool_]
) -> tuple[Floats, Floats, float]:
    """Linear colour of the spot and of its background, and the share of saturated pixels."""
    full = np.iinfo(crop.dtype).max
    there = crop.any(axis=-1)  # what lies outside the slide is 0
    pixels = crop[inner & there]
    nothing = np.full(3, np.nan)
    if not len(pixels):
        return nothing, nothing, 0.0
    around = crop[margin & there] / full
    background = nothing
    if len(around) >= LEAST_BACKGROUND:
        background = _robust_colour(around)
    saturated = float((pixels == full).any(axis=1).mean())
    return _robust_colour(pixels / full), background, saturated


def _robust_colour(encoded: Floats) -> Floats:
    """Mean in linear light of the pixels (n, 3) near the median, which dust and glare are not."""
    off = np.abs(encoded - np.median(encoded, axis=0))
    spread = np.maximum(1.4826 * np.median(off, axis=0), LEAST_SPREAD)
    kept = (off <= REJECT * spread).all(axis=1)
    if not kept.any():
        return to_linear(np.median(encoded, axis=0))
    return to_linear(encoded[kept]).mean(axis=0)


def _with_values(
    table: pd.DataFrame, number: Floats, layout: pd.DataFrame | None, flags: list[set[str]]
) -> pd.DataFrame:
    """Add value, value_low and value_high, and what to say of them to `flags`."""
    table = table.assign(value=table["metric"], value_low=np.nan, value_high=np.nan)
    if layout is None:
        return table
    known = layout[(layout["role"] == "calibration") & layout["value"].notna()]
    if known.empty:
        return table
    levels = table["spot"].map(known.drop_duplicates("spot").set_index("spot")["value"])
    bad = {"edge_cut", "not_found", "empty"}
    good = np.array([not own & bad for own in flags]) & levels.notna().to_numpy()
    try:
        curve = fit_calibration(number[good], levels.to_numpy(float)[good])
    except ValueError:
        for own in flags:
            own.add("calibration_failed")
        return table.assign(value=np.nan)
    value = curve.predict(number)
    for own, metric, result in zip(flags, number, value, strict=True):
        if np.isfinite(metric) and np.isnan(result):
            own.add("out_of_range")
        if not curve.monotone:
            own.add("calibration_not_monotone")
    return table.assign(
        value=value, value_low=value - curve.half_width, value_high=value + curve.half_width
    )

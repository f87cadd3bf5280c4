"""Every column of every table that gridwell writes: its name, place and meaning.

The one owner of the column documentation: writers, reports and ``docs/columns.md`` share it.
A name such as ``n_<channel>`` stands for one column for each channel it applies to.
"""

from __future__ import annotations

_SPOT = {
    "slide": "Slide, as in slides.tsv.",
    "spot": "Spot: letters of its row and number of its column, as C7.",
    "row": "Row of the grid, in letters: A to Z, AA and on.",
    "col": "Column of the grid, from 1.",
    "x": "Centre of the spot, in full-resolution slide pixels to the right; the centre of the "
    "top-left pixel is 0.",
    "y": "Centre of the spot, in full-resolution slide pixels downwards.",
}

_FLAGS = (
    "What to know before trusting the row, sorted and joined by semicolons; empty: nothing. "
    "empty (no nuclei or objects), not_found (the grid has a place here, but no spot was seen), "
    "edge_cut (the spot reaches beyond the slide), few_cells, saturated, out_of_focus, "
    "unregistered (the shift between channels could not be measured), failed (see the log)."
)

_FEATURES = {
    "spot": "Spot that the object lies in.",
    "label": "Number of the object in labels/<channel>.zarr, from 1 in each spot.",
    "x": "Centroid, in full-resolution slide pixels to the right.",
    "y": "Centroid, in full-resolution slide pixels downwards.",
    "area": "Area, in square pixels.",
    "eccentricity": "Eccentricity of the ellipse with the same second moments: 0 for a disc, "
    "towards 1 for a line.",
    "major_axis": "Long axis of that ellipse, in pixels.",
    "minor_axis": "Short axis of that ellipse, in pixels.",
    "orientation": "Direction of the long axis, in degrees clockwise on the screen from the "
    "x axis of the slide.",
    "solidity": "Area divided by the area of the convex hull.",
    "mean": "Mean intensity in the object, as recorded (not corrected).",
    "median": "Median intensity in the object, as recorded.",
    "max": "Largest intensity in the object, as recorded.",
    "background": "Intensity of the background around the object.",
    "edge": "True where the object touches the rim of the crop or of the spot's outline.",
}

COLUMNS: dict[str, dict[str, str]] = {
    "grid.csv": {key: value for key, value in _SPOT.items() if key != "slide"}
    | {
        "width": "Width of the spot, in pixels.",
        "height": "Height of the spot, in pixels.",
        "found": "True where a spot was seen; False where only the grid says so.",
        "score": "How well the image supports a spot here, from 0 to 1.",
        "flags": "What to know about the position, sorted and joined by semicolons.",
    },
    "instances/<channel>.parquet": _FEATURES
    | {
        "mean_<channel>": "Mean intensity of another channel under the object.",
        "ring_<channel>": "Mean intensity of another channel in a ring around the object "
        "(segment.ring pixels wide).",
    },
    "cells.parquet": {
        "spot": "Spot that the cell lies in.",
        "cell": "Number of the cell in its spot, from 1.",
        "state": "live (nucleus, live stain, no dead stain), dying (all three), dead (nucleus and "
        "dead stain), inactive (nucleus alone), orphan_live or orphan_dead (a stained body "
        "without a nucleus).",
        "p_live": "Probability that the live stain belongs to this cell, from 0 to 1.",
        "p_dead": "Probability that the dead stain belongs to this cell, from 0 to 1.",
        "ambiguous": "True where p_live or p_dead is near neither 0 nor 1 (fuse.ambiguous).",
        "nuclei_label": "Label of the nucleus; empty for orphans.",
        "live_label": "Label of the matched live body; empty where there is none.",
        "dead_label": "Label of the matched dead body; empty where there is none.",
        "distance_live": "Distance from the nucleus to the live body after registration, in "
        "pixels.",
        "distance_dead": "Distance from the nucleus to the dead body after registration, in "
        "pixels.",
        "x": "Position of the nucleus, or of the orphan, in full-resolution slide pixels to the "
        "right.",
        "y": "Position of the nucleus, or of the orphan, in full-resolution slide pixels "
        "downwards.",
        "nuclei_<feature>": "Features of the nucleus, as in instances/<channel>.parquet.",
        "live_<feature>": "Features of the matched live body.",
        "dead_<feature>": "Features of the matched dead body.",
    },
    "spots.csv (viability)": _SPOT
    | {
        "n_nuclei": "Nuclei in the spot.",
        "n_live": "Cells with live stain and without dead stain.",
        "n_dying": "Cells with both stains.",
        "n_dead": "Cells with dead stain and without live stain.",
        "n_inactive": "Nuclei with neither stain.",
        "n_orphan_live": "Live bodies without a nucleus.",
        "n_orphan_dead": "Dead bodies without a nucleus.",
        "viability": "n_live divided by n_nuclei, the published definition; empty where there are "
        "no nuclei.",
        "viability_low": "Lower end of the 95 % interval of viability.",
        "viability_high": "Upper end of the 95 % interval of viability.",
        "viability_stained": "n_live divided by n_live + n_dying + n_dead, which missed or extra "
        "nuclei do not bias.",
        "flags": _FLAGS,
    },
    "spots.csv (objects)": _SPOT
    | {
        "n_<channel>": "Objects of a segmented channel in the spot.",
        "flags": _FLAGS,
    },
    "spots.csv (colorimetry)": _SPOT
    | {
        "red": "Red of the spot's colour.",
        "green": "Green of the spot's colour.",
        "blue": "Blue of the spot's colour.",
        "metric": "Number computed from the colour (colour.metric).",
        "value": "Metric brought to the scale of the calibration spots; without such spots the "
        "metric itself.",
        "value_low": "Lower end of the interval of value.",
        "value_high": "Upper end of the interval of value.",
        "flags": _FLAGS,
    },
    "screen/spots.csv": _SPOT
    | {
        "group": "Group of the slide, as in slides.tsv.",
        "agent": "Agent in the spot; agents of a combination are joined by +.",
        "concentration": "Dose of the agent.",
        "unit": "Unit of the dose.",
        "role": "What the spot is for, as in the layout.",
        "replicate": "Label of the replicate, as in the layout.",
        "sample": "Sample in the spot, as in the layout.",
        "measured": "The screened number (screen.metric) as measured.",
        "normalised": "The screened number after screen.normalise.",
        "flags": _FLAGS,
    },
    "screen/dose_response.csv": {
        "group": "Group of slides, as in slides.tsv.",
        "agent": "Agent.",
        "model": "Curve that was chosen: 4pl, or flat where no dose matters.",
        "ec50": "Dose of half the effect that the curve spans, in the unit of the layout.",
        "ec50_low": "Lower end of its interval (screen.interval).",
        "ec50_high": "Upper end of its interval.",
        "in_range": "True where ec50 lies between the smallest and the largest dose tested.",
        "hill": "Steepness of the curve.",
        "top": "Level at dose 0.",
        "bottom": "Level at doses beyond the effect.",
        "auc": "Area under the curve over the tested log-dose range, as a fraction of the area "
        "under the control level.",
        "ic50": "Dose that halves the level of the negative controls; empty where none does.",
        "dss": "Drug sensitivity score (DSS).",
        "n_spots": "Spots that the curve was fitted to.",
        "n_doses": "Distinct doses.",
        "flags": "What to know before trusting the curve, sorted and joined by semicolons.",
    },
    "screen/quality.csv": {
        "slide": "Slide, as in slides.tsv.",
        "statistic": "Name of the statistic, see below.",
        "value": "Its value; empty where it cannot be computed.",
    },
}

QUALITY: dict[str, str] = {
    "n_spots": "Spots of the slide with a value.",
    "n_neg_ctrl": "Negative controls with a value.",
    "n_pos_ctrl": "Positive controls with a value.",
    "z_prime": "Z' = 1 - 3 (sd+ + sd-) / |mean+ - mean-| of the controls; above 0.5 is good.",
    "robust_z_prime": "Z' with medians and MADs, which single bad spots do not spoil.",
    "ssmd": "Strictly standardised mean difference of the controls.",
    "edge_effect": "Mean of the outermost spots minus mean of the inner ones, of the controls.",
    "grid_confidence": "Confidence of the grid, from 0 to 1.",
}
"""Statistics of quality.csv."""

_NOT_MEASURED = {"slide", "spot", "row", "col", "x", "y", "flags", "viability_low",
                 "viability_high", "value_low", "value_high"}  # fmt: skip


def column_names(table: str) -> list[str]:
    """Columns of a table in the order in which they are written.

    Raises
    ------
    KeyError
        If `table` is none of `COLUMNS`.
    """
    return list(COLUMNS[table])


def measured_columns(assay: str) -> list[str]:
    """Columns of the assay's spots.csv that can be screened."""
    return [name for name in column_names(f"spots.csv ({assay})") if name not in _NOT_MEASURED]


def feature_names() -> list[str]:
    """Columns of instances that can be aggregated, without those of other channels."""
    return [name for name in _FEATURES if name not in ("spot", "label")]

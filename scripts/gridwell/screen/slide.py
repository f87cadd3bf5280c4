"""One slide: its spots with their layout, normalised, and how far they can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from gridwell.config.columns import column_names
from gridwell.config.layouts import off_grid
from gridwell.config.models import Slide
from gridwell.config.spots import row_index
from gridwell.screen.measured import Measured, counted_cells
from gridwell.screen.normalise import FEW_CONTROLS, Normalise, Scale, one_row_per_spot, slide_scale
from gridwell.screen.quality import slide_quality
from gridwell.screen.spatial import Surface, control_surface

# Spots that tell nothing of their agent, by role and by flag.
UNUSED_ROLES = ("blank", "empty", "excluded")
UNUSED_FLAGS = ("failed", "edge_cut")

_PLANNED = ("agent", "concentration", "unit", "role", "replicate", "sample", "doses", "parts")


@dataclass(frozen=True)
class SlideResult:
    """A slide as it enters curves and statistics.

    Attributes
    ----------
    slide
        Its row of slides.tsv.
    spots
        Its rows of screen/spots.csv with helper columns: ``used`` (may enter curves),
        ``counts`` (enters statistics by medians too), ``combination``, ``doses``, ``parts``,
        ``count`` (cells for growth), ``grows`` (may enter growth: no cell left is a result
        there), ``intercept`` and ``gain`` (of the spot: normalised =
        intercept + gain * measured), ``row0``, ``col0``, ``in_layout``.
    measured
        The screened number.
    normalise
        How it was normalised.
    flags
        Of every curve that the slide is part of.
    quality
        Statistics of quality.csv.
    unmatched
        Spots that are in the layout alone or on the grid alone.
    """

    slide: Slide
    spots: pd.DataFrame
    measured: Measured
    normalise: Normalise
    flags: tuple[str, ...]
    quality: dict[str, float]
    unmatched: pd.DataFrame

    @property
    def time_zero(self) -> bool:
        """Whether it was imaged before treatment, and so is part of no curve."""
        return self.slide.time_h == 0


def screen_slide(
    slide: Slide,
    *,
    table: pd.DataFrame,
    measured: Measured,
    layout: pd.DataFrame | None,
    grid: dict[str, Any],
    how: Normalise,
    correct: Literal["auto", "never"] = "auto",
) -> SlideResult:
    """Join a slide's spots with their layout, normalise them, judge the slide.

    Parameters
    ----------
    slide
        Row of slides.tsv.
    table
        Its spots.csv.
    measured
        The number to screen, indexed as `table`.
    layout
        As `read_layout` gives it; None: the slide has none.
    grid
        As `read_grid_facts` gives it.
    how, correct
        Options ``screen.normalise`` and ``screen.correct``.
    """
    rows = _joined_with_layout(slide, table, measured, layout)
    unmatched = _unmatched(slide, rows, layout)
    rows["used"] = _used(rows, measured.kind)
    rows["counts"] = _counts(rows, measured.kind)
    rows["grows"] = _used(rows, "count") & rows["count"].notna()
    if measured.name == "value" and how == "percent_of_control":
        how = "none"  # a pH or a hue has no true zero to be a percentage from
    surface = control_surface(
        rows["row0"].to_numpy(float),
        rows["col0"].to_numpy(float),
        rows["measured"].to_numpy(float),
        (rows["counts"] & (rows["role"] == "neg_ctrl")).to_numpy(bool),
    )
    corrected = surface.order > 0 and how != "none" and correct == "auto"
    factor = pd.Series(surface.factor if corrected else 1.0, index=rows.index)
    rows["factor"] = factor
    scale = _scale(rows, rows["measured"] / factor, how)
    rows["intercept"], rows["gain"] = scale.intercept, scale.gain / factor
    rows["normalised"] = rows["intercept"] + rows["gain"] * rows["measured"]
    quality = slide_quality(rows, grid, off_grid=int(unmatched["reason"].eq("not_on_grid").sum()))
    quality |= _correction_facts(surface, factor[rows["used"]], corrected)
    flags = list(scale.flags)
    flags += ["layout_off_grid"] if quality["layout_not_on_grid"] else []
    flags += ["gradient_corrected"] if corrected else []
    return SlideResult(slide, rows, measured, how, tuple(flags), quality, unmatched)


def _joined_with_layout(
    slide: Slide, table: pd.DataFrame, measured: Measured, layout: pd.DataFrame | None
) -> pd.DataFrame:
    """Rows of the slide in the order of the grid, with what the layout says of them."""
    rows = table[["spot", "row", "col", "x", "y", "flags"]].copy()
    rows = rows.assign(
        slide=slide.slide,
        group=slide.group or "",
        assay=slide.assay.value,
        time_h=float("nan") if slide.time_h is None else slide.time_h,
        metric=measured.name,
        measured=measured.value,
        n=measured.n,
        count=counted_cells(table, slide.assay),
    )
    if layout is not None:
        rows = rows.merge(one_row_per_spot(layout), on="spot", how="left", validate="1:1")
    else:
        rows = rows.assign(**dict.fromkeys(_PLANNED), combination=False)
    rows["in_layout"] = rows["role"].notna()
    rows["combination"] = rows["combination"].eq(True)
    rows["row0"] = rows["row"].map(row_index)
    rows["col0"] = rows["col"] - 1
    rows = rows.sort_values(["row0", "col0"], ignore_index=True)
    both = zip(rows["flags"], rows["combination"], strict=True)
    words = [joined(own, "combination" if combined else "") for own, combined in both]
    rows["flags"] = pd.Series(words, index=rows.index, dtype="str")
    return rows


def _unmatched(slide: Slide, rows: pd.DataFrame, layout: pd.DataFrame | None) -> pd.DataFrame:
    """Spots that only the layout or only the grid has; none where there is no layout."""
    columns = column_names("screen/unmatched.csv")
    if layout is None:
        return pd.DataFrame(columns=columns)
    laid_out, on_grid = off_grid(layout, rows["spot"])
    plan = one_row_per_spot(layout).set_index("spot")
    planned = plan.loc[laid_out].reset_index().assign(reason="not_on_grid")
    planned["concentration"] = planned["concentration"].astype(float)
    there = pd.DataFrame({"spot": on_grid, "reason": "not_in_layout"})
    both = [part for part in (planned, there) if len(part)]
    table = pd.concat(both) if both else pd.DataFrame(columns=columns)
    return table.assign(slide=slide.slide).reindex(columns=columns)


def has_flag(rows: pd.DataFrame, *flags: str) -> pd.Series:
    """Whether a spot has any of `flags`."""
    words = rows["flags"].str.split(";")
    return words.map(lambda own: any(flag in own for flag in flags)).astype(bool)


def _used(rows: pd.DataFrame, kind: str) -> pd.Series:
    """Whether a spot may enter curves."""
    bad = rows["role"].isin(UNUSED_ROLES) | has_flag(rows, *UNUSED_FLAGS)
    nothing = has_flag(rows, "empty") & (has_flag(rows, "not_found") if kind == "count" else True)
    return ~(bad | nothing)


def _counts(rows: pd.DataFrame, kind: str) -> pd.Series:
    """Whether a spot enters statistics that take all spots as equal.

    A share of few cells is known badly: a fit of counts weighs it for what it is, a median
    does not. Such a spot is left out wherever 8 others of its role remain; for a count, few
    cells are a result like any other.
    """
    counts = rows["used"] & rows["measured"].notna()
    if kind == "count":
        return counts
    firm = counts & ~has_flag(rows, "few_cells")
    enough = firm.groupby(rows["role"].fillna("")).transform("sum") >= FEW_CONTROLS
    return firm | (counts & ~enough)


def _scale(rows: pd.DataFrame, value: pd.Series, how: Normalise) -> Scale:
    control = {
        role: value[rows["counts"] & (rows["role"] == role)].to_numpy(float)
        for role in ("neg_ctrl", "pos_ctrl")
    }
    return slide_scale(control["neg_ctrl"], control["pos_ctrl"], how)


def _correction_facts(surface: Surface, factor: pd.Series, corrected: bool) -> dict[str, float]:
    return {
        "gradient": surface.gradient,
        "correction_gain": 100 * surface.gain,
        "correction_p": surface.p,
        "correction": float(surface.order if corrected else 0),
        "correction_range": 100 * float(factor.max() - factor.min()) if len(factor) else 0.0,
    }


def joined(*flags: str) -> str:
    """Flags of several sources as sorted words, each once."""
    return ";".join(sorted({word for flag in flags for word in flag.split(";") if word}))

"""From the spots of all slides to doses, curves and quality: the tables of results/screen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gridwell.config.columns import column_names
from gridwell.config.errors import InputError, Problem
from gridwell.config.files import write_csv
from gridwell.config.metric import Metric, parse_metric
from gridwell.config.models import Assay, ScreenOptions, Slide
from gridwell.config.spots import row_index
from gridwell.screen.curves import (
    MIN_LEVELS,
    MIN_POINTS,
    Curve,
    fit_counts,
    fit_curve,
)
from gridwell.screen.described import curve_flags, describe
from gridwell.screen.measured import Measured, measure_metric, read_spots
from gridwell.screen.normalise import (
    Normalise,
    Scale,
    common_units,
    one_row_per_spot,
    slide_scale,
)
from gridwell.screen.quality import read_grid_facts, slide_quality

POINTS = 101  # of a drawn curve

# Spots that tell nothing of their agent, by role and by flag.
UNUSED_ROLES = ("blank", "empty", "excluded")
UNUSED_FLAGS = ("failed", "edge_cut")
# Objects at which a spot's mean weighs half of what endless objects would weigh.
HALF_WEIGHT = 10.0


@dataclass(frozen=True)
class _SlideResult:
    """A slide's rows of spots.csv (with helper columns), what it was screened by, and its scale."""

    spots: pd.DataFrame
    measured: Measured
    normalise: Normalise
    scale: Scale
    flags: tuple[str, ...]
    quality: dict[str, float]


def screen_study(
    slides: Sequence[Slide],
    spots: Mapping[str, Path],
    instances: Mapping[str, Mapping[str, Path]],
    layouts: Mapping[str, pd.DataFrame],
    grids: Mapping[str, Path],
    *,
    options: ScreenOptions,
    out_dir: Path,
    roles: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """Write ``spots.csv``, ``dose_response.csv``, ``quality.csv`` and ``curves.csv``.

    Every slide is brought to percent of its own controls; spots of all slides of a group and
    assay then share a curve for each agent, with the negative controls of the slides that the
    agent is on as its dose 0. Left out of curves and statistics are spots of role blank, empty
    or excluded, combinations (curves only), and spots flagged failed, edge_cut or empty; an
    empty spot that was found stays where the metric is a count, for there 0 is a measurement.
    Fractions of cells are fitted as counts, so that spots with few cells weigh less; means over
    n objects weigh n / (n + 10).

    Parameters
    ----------
    slides
        Slides of the study.
    spots
        spots.csv of each slide.
    instances
        instances/<channel>.parquet of each slide and segmented channel.
    layouts
        By file name, as in `Slide.layout`.
    grids
        grid.json of each slide.
    options
        Section ``screen`` of the configuration.
    out_dir
        Directory to write into.
    roles
        Role of each channel, by slide and channel, for metrics that name a role.

    Raises
    ------
    InputError
        If no slide has the metric, or an agent has units that cannot be put on one axis.
    """
    metric = _parsed(options.metric)
    layouts = common_units(layouts)
    results: dict[str, _SlideResult] = {}
    any_own = False
    for slide in sorted(slides, key=lambda slide: slide.slide):
        name = slide.slide
        table = read_spots(spots[name])
        facts = (slide.assay, instances.get(name, {}), (roles or {}).get(name, {}))
        measured = measure_metric(metric, table, *facts)
        own = measured is not None
        any_own |= own
        results[name] = _screen_slide(
            slide,
            table=table,
            measured=measured or _stand_in(table, *facts),
            layout=layouts[slide.layout] if slide.layout else None,
            grid=read_grid_facts(grids[name]),
            how=options.normalise,
        )
        results[name].quality["metric_of_study"] = float(own)
    if results and not any_own and metric.column != "auto":
        raise InputError(_no_metric(options.metric, spots))
    rows = pd.concat([r.spots for r in results.values()]) if results else pd.DataFrame()
    curves = _all_curves(results, options)
    write_csv(out_dir / "spots.csv", rows.reindex(columns=column_names("screen/spots.csv")))
    write_csv(
        out_dir / "dose_response.csv",
        pd.DataFrame([row for row, _ in curves], columns=column_names("screen/dose_response.csv")),
    )
    points = [point for _, point in curves if point is not None]
    write_csv(
        out_dir / "curves.csv",
        pd.concat(points) if points else pd.DataFrame(columns=column_names("screen/curves.csv")),
    )
    write_csv(out_dir / "quality.csv", _quality_table(results))


def _stand_in(
    table: pd.DataFrame, assay: Assay, instances: Mapping[str, Path], roles: Mapping[str, str]
) -> Measured:
    """What a slide is screened by that has not the number of the study: its assay's own."""
    measured = measure_metric(Metric("column", column="auto"), table, assay, instances, roles)
    nothing = pd.Series(np.nan, table.index)
    return measured or Measured("", nothing, nothing, "other")


def _parsed(text: str) -> Metric:
    try:
        return parse_metric(text)
    except ValueError as error:
        problem = Problem(
            "config/config.yaml", "is not a metric", str(error), column="screen.metric", value=text
        )
        raise InputError(problem) from error


def _no_metric(text: str, spots: Mapping[str, Path]) -> Problem:
    columns: dict[str, None] = {}
    for path in spots.values():
        columns |= dict.fromkeys(read_spots(path).select_dtypes("number").columns)
    known = ", ".join(c for c in columns if c not in ("col", "x", "y"))
    return Problem(
        "config/config.yaml",
        "no slide has this number",
        f"Name a column of spots.csv ({known}) or an aggregate of a segmented channel, such as "
        "mean(nuclei.area).",
        column="screen.metric",
        value=text,
    )


def _screen_slide(
    slide: Slide,
    *,
    table: pd.DataFrame,
    measured: Measured,
    layout: pd.DataFrame | None,
    grid: dict[str, Any],
    how: Normalise,
) -> _SlideResult:
    """Join a slide's spots with their layout and normalise them."""
    rows = table[["spot", "row", "col", "x", "y", "flags"]].copy()
    rows = rows.assign(
        slide=slide.slide,
        group=slide.group or "",
        assay=slide.assay.value,
        metric=measured.name,
        measured=measured.value,
        n=measured.n,
    )
    off_grid = 0
    if layout is not None:
        plan = one_row_per_spot(layout)
        off_grid = int((~plan["spot"].isin(rows["spot"])).sum())
        rows = rows.merge(plan, on="spot", how="left", validate="1:1")
    else:
        empty = dict.fromkeys(("agent", "concentration", "unit", "role", "replicate", "sample"))
        rows = rows.assign(**empty, combination=False)
    rows["in_layout"] = rows["role"].notna()
    rows["combination"] = rows["combination"].eq(True)
    rows["row0"] = rows["row"].map(row_index)
    rows["col0"] = rows["col"] - 1
    rows = rows.sort_values(["row0", "col0"], ignore_index=True)
    rows["used"] = _used(rows, measured.kind)
    if measured.name == "value" and how == "percent_of_control":
        how = "none"  # a pH or a hue has no true zero to be a percentage from
    controls = rows[rows["used"] & rows["measured"].notna()]
    negative = controls.loc[controls["role"] == "neg_ctrl", "measured"].to_numpy(float)
    positive = controls.loc[controls["role"] == "pos_ctrl", "measured"].to_numpy(float)
    scale = slide_scale(negative, positive, how)
    rows["normalised"] = scale.intercept + scale.gain * rows["measured"]
    both = zip(rows["flags"], rows["combination"], strict=True)
    words = [_joined(own, "combination" if combined else "") for own, combined in both]
    rows["flags"] = pd.Series(words, index=rows.index, dtype="str")
    flags = (*scale.flags, "layout_off_grid") if off_grid else scale.flags
    quality = slide_quality(rows, grid, off_grid=off_grid)
    return _SlideResult(rows, measured, how, scale, flags, quality)


def _used(rows: pd.DataFrame, kind: str) -> pd.Series:
    """Whether a spot may enter statistics and curves."""
    words = rows["flags"].str.split(";")

    def has(*flags: str) -> pd.Series:
        return words.map(lambda own: any(flag in own for flag in flags)).astype(bool)

    bad = rows["role"].isin(UNUSED_ROLES) | has(*UNUSED_FLAGS)
    nothing = has("empty") & (has("not_found") if kind == "count" else True)
    return ~(bad | nothing)


def _joined(*flags: str) -> str:
    """Flags of several sources as sorted words, each once."""
    return ";".join(sorted({word for flag in flags for word in flag.split(";") if word}))


def _all_curves(
    results: Mapping[str, _SlideResult], options: ScreenOptions
) -> list[tuple[dict[str, Any], pd.DataFrame | None]]:
    """Row of dose_response.csv and points of curves.csv for each curve, sorted."""
    keys: dict[tuple[str, str, str, str], list[_SlideResult]] = {}
    for result in results.values():
        rows = result.spots
        samples = rows[(rows["role"] == "sample") & ~rows["combination"]]
        samples = samples[samples["agent"].notna() & (samples["concentration"] > 0)]
        for key in sorted(
            set(samples[["group", "agent", "assay", "metric"]].itertuples(index=False, name=None))
        ):
            keys.setdefault(key, []).append(result)
    return [_curve(key, keys[key], options) for key in sorted(keys)]


def _curve(
    key: tuple[str, str, str, str], slides: Sequence[_SlideResult], options: ScreenOptions
) -> tuple[dict[str, Any], pd.DataFrame | None]:
    group, agent, assay, metric = key
    points = pd.concat(list(_points(agent, slides)), ignore_index=True)
    doses = points.loc[points["dose"] > 0, "dose"]
    distinct = len({f"{dose:.9e}" for dose in doses})
    flags = [flag for slide in slides for flag in slide.flags]
    unit = points["unit"].dropna().iloc[0] if points["unit"].notna().any() else ""
    normalise = slides[0].normalise
    row: dict[str, Any] = {
        "group": group,
        "agent": agent,
        "model": "",
        "n_spots": int((points["dose"] > 0).sum()),
        "n_doses": distinct,
        "unit": unit,
        "metric": metric,
        "assay": assay,
        "normalise": normalise,
    }
    samples = points["sample"].dropna().unique()
    flags += ["several_samples"] if len(samples) > 1 else []
    levels = distinct + bool((points["dose"] == 0).any())
    if distinct < options.min_doses or levels < MIN_LEVELS:
        flags.append("few_doses")
    elif len(points) < MIN_POINTS:
        flags.append("few_spots")
    if "few_doses" in flags or "few_spots" in flags:
        return row | {"flags": _joined(*flags)}, None
    curve = _fit(points, slides[0].measured.kind, normalise, options.interval)
    row |= describe(curve, normalise)
    flags += curve_flags(curve)
    dose = np.geomspace(curve.low_dose, curve.high_dose, POINTS)
    low, high = curve.band(dose, options.interval)
    drawn = pd.DataFrame({"dose": dose, "fit": curve.predict(dose), "low": low, "high": high})
    drawn = drawn.assign(group=group, agent=agent, unit=unit, metric=metric, assay=assay)
    return row | {"flags": _joined(*flags)}, drawn[column_names("screen/curves.csv")]


def _points(agent: str, slides: Sequence[_SlideResult]) -> Iterator[pd.DataFrame]:
    """Usable spots of an agent and the negative controls beside it, the latter at dose 0."""
    for slide in slides:
        rows = slide.spots[slide.spots["used"] & slide.spots["normalised"].notna()]
        own = (rows["role"] == "sample") & (rows["agent"] == agent)
        own &= ~rows["combination"] & rows["concentration"].notna()
        control = rows["role"] == "neg_ctrl"
        kept = rows[own | control]
        yield pd.DataFrame(
            {
                "dose": kept["concentration"].where(own[kept.index], 0.0).astype(float),
                "response": kept["normalised"].astype(float),
                "measured": kept["measured"].astype(float),
                "n": kept["n"].astype(float),
                "sample": kept["sample"],
                "unit": kept["unit"].where(own[kept.index]),
                "intercept": slide.scale.intercept,
                "gain": slide.scale.gain,
            }
        )


def _fit(points: pd.DataFrame, kind: str, normalise: Normalise, interval: float) -> Curve:
    if kind == "fraction":
        return fit_counts(
            points["dose"],
            (points["measured"] * points["n"]).round(),
            points["n"],
            intercept=points["intercept"],
            gain=points["gain"],
            interval=interval,
        )
    weights = None
    if kind == "other" and points["n"].notna().all():
        weights = points["n"] / (points["n"] + HALF_WEIGHT)
    positive = normalise == "percent_of_control" and bool((points["response"] >= 0).all())
    return fit_curve(
        points["dose"],
        points["response"],
        weights=weights,
        interval=interval,
        limits=(0.0 if positive else -np.inf, np.inf),
    )


def _quality_table(results: Mapping[str, _SlideResult]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            (name, statistic, value)
            for name, result in results.items()
            for statistic, value in result.quality.items()
        ],
        columns=column_names("screen/quality.csv"),
    )

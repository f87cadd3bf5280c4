"""From the spots of all slides to doses, curves and quality: the tables of results/screen."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from gridwell.config.columns import column_names
from gridwell.config.errors import InputError, Problem
from gridwell.config.files import write_csv, write_json
from gridwell.config.layouts import off_grid_in_words
from gridwell.config.metric import Metric, parse_metric
from gridwell.config.models import Assay, ScreenOptions, Slide
from gridwell.config.provenance import Provenance, read_provenance, with_inputs
from gridwell.screen.agents import agent_table
from gridwell.screen.combinations import combination_table
from gridwell.screen.fits import curve_tables
from gridwell.screen.growth_table import growth_table
from gridwell.screen.measured import Measured, measure_metric, read_spots
from gridwell.screen.normalise import common_units
from gridwell.screen.quality import read_grid_facts
from gridwell.screen.replicates import replicate_table
from gridwell.screen.slide import SlideResult, screen_slide

_log = logging.getLogger(__name__)


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
    threads: int = 1,
    provenance: Provenance | None = None,
) -> None:
    """Write the tables of ``results/screen``.

    ``spots.csv``, ``dose_response.csv``, ``curves.csv``, ``agents.csv``, ``growth.csv``,
    ``combinations.csv``, ``quality.csv``, ``replicates.csv`` and ``unmatched.csv``. Every slide
    is brought to percent of its own controls; spots of all slides of a group and assay then
    share a curve for each agent, with the negative controls of the slides that the agent is on
    as its dose 0. Left out of curves and statistics are spots of role blank, empty or excluded,
    combinations (curves only), and spots flagged failed, edge_cut or empty; an empty spot that
    was found stays where the metric is a count, for there 0 is a measurement. Fractions of
    cells are fitted as counts, so that spots with few cells weigh less; means over n objects
    weigh n / (n + 10). Statistics that take all spots as equal (medians of controls, Z', edge,
    replicates) leave spots with few cells out.

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
    threads
        Processes to fit curves in; changes nothing but the time.
    provenance
        Code and configuration that the tables are made with; that of `spots` is added.

    Raises
    ------
    InputError
        If no slide has the metric, or an agent has units that cannot be put on one axis.
    """
    metric = _parsed(options.metric)
    layouts = common_units(layouts)
    results: dict[str, SlideResult] = {}
    any_own = False
    for slide in sorted(slides, key=lambda slide: slide.slide):
        name = slide.slide
        table = read_spots(spots[name])
        facts = (slide.assay, instances.get(name, {}), (roles or {}).get(name, {}))
        measured = measure_metric(metric, table, *facts)
        own = measured is not None
        any_own |= own
        results[name] = screen_slide(
            slide,
            table=table,
            measured=measured or _stand_in(table, *facts),
            layout=layouts[slide.layout] if slide.layout else None,
            grid=read_grid_facts(grids[name]),
            how=options.normalise,
            correct=options.correct,
        )
        results[name].quality["metric_of_study"] = float(own)
        _tell(results[name])
    if results and not any_own and metric.column != "auto":
        raise InputError(_no_metric(options.metric, spots))
    _tell_of_times(results)
    tables = screen_tables(results, options, threads)
    for name, table in tables.items():
        write_csv(out_dir / f"{name}.csv", table)
    if provenance is not None:
        whole = with_inputs(provenance, map(read_provenance, spots.values()))
        write_json(out_dir / "provenance.json", whole)


def screen_tables(
    results: Mapping[str, SlideResult], options: ScreenOptions, threads: int = 1
) -> dict[str, pd.DataFrame]:
    """All tables of the screen by name, from its slides in the order of their names."""
    rows = _together(
        [result.spots.assign(normalise=result.normalise) for result in results.values()],
        "screen/spots.csv",
    )
    fits, drawn = curve_tables(results, options, threads)
    return {
        "spots": rows.reindex(columns=column_names("screen/spots.csv")),
        "dose_response": fits,
        "curves": drawn,
        "agents": agent_table(fits, options.interval),
        "growth": growth_table(results, options),
        "combinations": combination_table(rows, options.interval),
        "quality": _quality_table(results),
        "replicates": replicate_table(rows),
        "unmatched": _together(
            [result.unmatched for result in results.values()], "screen/unmatched.csv"
        ),
    }


def _together(parts: Sequence[pd.DataFrame], table: str) -> pd.DataFrame:
    """Rows of all slides; a table with the right columns where there is none."""
    kept = [part for part in parts if len(part)]
    return pd.concat(kept, ignore_index=True) if kept else pd.DataFrame(columns=column_names(table))


def _tell(result: SlideResult) -> None:
    """Warn of what is laid out but not on the grid, and the reverse."""
    spots = result.unmatched.groupby("reason")["spot"].agg(list).to_dict()
    said = off_grid_in_words(spots.get("not_on_grid", []), spots.get("not_in_layout", []))
    if said:
        _log.warning("%s: %s", result.slide.slide, said)


def _tell_of_times(results: Mapping[str, SlideResult]) -> None:
    """Warn of groups that were imaged before treatment alone: they have no curves."""
    groups: dict[str, list[bool]] = {}
    for result in results.values():
        groups.setdefault(result.slide.group or "", []).append(result.time_zero)
    for group in sorted(name for name, zero in groups.items() if all(zero)):
        _log.warning(
            "group %s: all slides have time_h 0, before treatment, so that there are no curves; "
            "leave time_h empty where there is but one time",
            group or "(none)",
        )


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


def _quality_table(results: Mapping[str, SlideResult]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            (name, statistic, value)
            for name, result in results.items()
            for statistic, value in result.quality.items()
        ],
        columns=column_names("screen/quality.csv"),
    )

"""Growth-rate metrics of a screen: what an agent does to the growth of cells, not to their count.

Needs slides of the same group imaged before treatment (``time_h`` 0 in slides.tsv) and after.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from gridwell.config.columns import column_names
from gridwell.config.models import ScreenOptions
from gridwell.screen.growth import fit_gr, gr_values
from gridwell.screen.slide import SlideResult, joined

TABLE = "screen/growth.csv"
TRIM = 0.25  # of controls from either end before their mean, as Hafner et al. do
SLOW = 0.5  # doublings of the controls below which growth can hardly be inhibited
COUNTED_ROLES = ("sample", "neg_ctrl")


def growth_table(results: Mapping[str, SlideResult], options: ScreenOptions) -> pd.DataFrame:
    """Growth-rate inhibition per group, agent and time (Hafner et al. 2016).

    Counts are of live cells (viability) or of the objects of the slide's first segmented
    channel (objects). Controls are those of the spot's own slide; the count at time zero is
    that of all samples and negative controls of the group's slides of time 0, or of all their
    spots where these have no layout.

    Parameters
    ----------
    results
        By slide.
    options
        Section ``screen`` of the configuration.
    """
    start: dict[tuple[str, str], list[pd.Series]] = {}
    later: dict[tuple[str, str, float], list[SlideResult]] = {}
    for result in results.values():
        facts = (result.slide.group or "", result.slide.assay.value)
        if result.time_zero:
            start.setdefault(facts, []).append(_start_counts(result))
        elif result.slide.time_h is not None:
            later.setdefault((*facts, result.slide.time_h), []).append(result)
    rows: list[dict[str, Any]] = []
    for (group, assay, time), slides in sorted(later.items(), key=lambda item: item[0]):
        counts = pd.concat(start.get((group, assay), [])) if (group, assay) in start else None
        if counts is None or counts.dropna().empty:
            continue
        facts = {"group": group, "assay": assay, "time_h": time}
        rows += _of_group(facts, slides, _middle(counts), options)
    table = pd.DataFrame(rows, columns=column_names(TABLE))
    return table.sort_values(["group", "agent", "assay", "time_h"], ignore_index=True)


def _start_counts(result: SlideResult) -> pd.Series:
    """Cells of each spot of a slide of time 0."""
    rows = result.spots[result.spots["grows"]]
    known = rows[rows["role"].isin(COUNTED_ROLES)] if rows["in_layout"].any() else rows
    return known["count"]


def _middle(count: pd.Series) -> float:
    from scipy import stats

    return float(stats.trim_mean(np.sort(count.dropna().to_numpy(float)), TRIM))


def _of_group(
    facts: Mapping[str, Any], slides: list[SlideResult], zero: float, options: ScreenOptions
) -> list[dict[str, Any]]:
    """Rows of all agents of a group at one time."""
    parts = []
    for slide in slides:
        rows = slide.spots[slide.spots["grows"]]
        control = rows.loc[rows["role"] == "neg_ctrl", "count"]
        own = rows[(rows["role"] == "sample") & ~rows["combination"] & rows["agent"].notna()]
        own = own[own["concentration"] > 0]
        level = _middle(control) if len(control) else np.nan
        parts.append(own.assign(control=level))
    known = pd.concat(parts)
    return [
        dict(facts) | _row(str(agent), own, zero, options)
        for agent, own in known.groupby("agent", sort=True)
    ]


def _row(agent: str, spots: pd.DataFrame, zero: float, options: ScreenOptions) -> dict[str, Any]:
    dose = spots["concentration"].to_numpy(float)
    control = float(spots["control"].mean())
    grown = float(np.log2(control / zero)) if control > 0 and zero > 0 else np.nan
    row: dict[str, Any] = {
        "agent": agent,
        "unit": next((u for u in spots["unit"] if isinstance(u, str)), ""),
        "n_spots": len(spots),
        "n_doses": len({f"{d:.9e}" for d in dose}),
        "time_zero": zero,
        "control": control,
        "doublings": grown,
        "model": "",
        "flags": "",
    }
    if np.isnan(control):
        return row | {"flags": "no_controls"}
    if not grown > 0:
        return row | {"flags": "no_growth"}
    flags = ["slow_growth"] if grown < SLOW else []
    if row["n_doses"] < options.min_doses:
        return row | {"flags": joined(*flags, "few_doses")}
    gr = gr_values(spots["count"].to_numpy(float), spots["control"].to_numpy(float), zero)
    order = np.lexsort((gr, dose))
    fit = fit_gr(dose[order], np.asarray(gr)[order])
    low, high = float(dose.min()), float(dose.max())

    def tested(value: float) -> float:
        return value if low <= value <= high else np.nan

    return row | {
        "model": fit.model,
        "gr50": tested(fit.gr50),
        "in_range": _where(fit.gr50, low, high),
        "gr_max": fit.gr_max,
        "gr_aoc": fit.gr_aoc,
        "gr_inf": fit.gr_inf,
        "gec50": tested(fit.gec50),
        "gr_hill": fit.hill,
        "r2": fit.r2,
        "p": fit.p,
        "flags": joined(*flags),
    }


def _where(gr50: float, low: float, high: float) -> str:
    """Where GR50 lies against the doses tested: ``yes``, ``<min`` or ``>max``."""
    if np.isnan(gr50) or gr50 > high:
        return ">max"
    return "<min" if gr50 < low else "yes"

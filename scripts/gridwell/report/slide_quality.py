"""How far a slide can be trusted: its checks in words, and the pictures behind them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gridwell.config.metric import Metric, parse_metric
from gridwell.config.models import Assay, Config, Slide
from gridwell.images.spots import SpotStack
from gridwell.report import plots, quality_plots, tables, words
from gridwell.report.page import Chart, Charts
from gridwell.report.tables import Column
from gridwell.screen.measured import measure_metric, read_spots
from gridwell.screen.quality import read_grid_facts
from gridwell.screen.slide import SlideResult, screen_slide

MOST_CELLS = 2000
_MARGIN_SHOWN = math.log(1e7)  # in nats: more than ten millions to one is drawn as that
_SURE = math.log(100)


def judged(
    slide: Slide,
    spots_csv: Path,
    grid_json: Path,
    *,
    layout: pd.DataFrame | None,
    instances: Mapping[str, Path],
    stack: SpotStack,
    config: Config,
) -> SlideResult | None:
    """Judge a slide as the screen does: its screened number, spots and statistics.

    None where it has no spot or no number.
    """
    table = read_spots(spots_csv)
    if table.empty:
        return None
    roles = {channel["channel"]: channel["role"] for channel in stack.channels}
    facts = (table, Assay(slide.assay), instances, roles)
    measured = measure_metric(parse_metric(config.screen.metric), *facts)
    measured = measured or measure_metric(Metric("column", column="auto"), *facts)
    if measured is None:
        return None
    return screen_slide(
        slide,
        table=table,
        measured=measured,
        layout=layout,
        grid=read_grid_facts(grid_json),
        how=config.screen.normalise,
        correct=config.screen.correct,
    )


Check = dict[str, str]


def checks(
    grid: Mapping[str, Any],
    result: SlideResult | None,
    spots: pd.DataFrame,
    shifts: Mapping[str, Any],
) -> list[Check]:
    """One line a question: what is asked, the number, what it says and how good that is."""
    rows = [_grid_check(grid), _corner_check(grid)]
    if result is None:
        return rows
    quality = result.quality
    if (result.spots["role"] == "neg_ctrl").any():
        several = quality["n_neg_ctrl"] > 1 and quality["n_pos_ctrl"] > 1
        if several:
            rows.append(_statistic("Are the controls apart?", quality, "robust_z_prime"))
        else:
            rows.append(
                _check("Are the controls apart?", words.NOTHING, "plain",
                       "cannot be said: each kind of control needs two spots or more")
            )  # fmt: skip
        rows.append(_statistic("Does the rim differ?", quality, "edge_effect"))
    if not words.missing(quality.get("morans_p")):
        rows.append(_statistic("Do neighbours deviate alike?", quality, "morans_p"))
    if not words.missing(quality.get("replicate_icc")):
        rows.append(_statistic("Do equal spots agree?", quality, "replicate_icc"))
    rows += _focus_check(spots)
    rows += [_shift_check(role, shift, spots) for role, shift in shifts.items()
             if isinstance(shift, Mapping)]  # fmt: skip
    rows += _cells_check(quality, spots)
    return rows


def _check(question: str, value: str, tone: str, reading: str) -> Check:
    return {"question": question, "value": value, "tone": tone, "reading": reading}


def _statistic(question: str, quality: Mapping[str, float], name: str) -> Check:
    value = quality.get(name)
    tone, reading = words.quality_reading(name, value)
    shown = words.quality_value(name, value)
    label = words.quality_name(name)
    return _check(question, f"{label} {shown}" if shown != words.NOTHING else shown, tone, reading)


def _grid_check(grid: Mapping[str, Any]) -> Check:
    confidence = grid.get("confidence")
    status = str(grid.get("status", ""))
    tone, _ = words.quality_reading("grid_confidence", confidence)
    reading = {
        "ok": "found, and no other grid explains the image as well",
        "override": "set by a person",
        "ambiguous": "another grid explains the image nearly as well",
    }.get(status, "no grid was found")
    if status in ("ambiguous", "failed"):
        tone = "bad"
    if status == "override":
        tone = "plain"
    return _check("Is the grid right?", f"confidence {words.fixed(confidence)}", tone, reading)


def _corner_check(grid: Mapping[str, Any]) -> Check:
    """A slide that lies the other way round has all names wrong, and no image shows it."""
    known = grid.get("orientation")
    value = words.text(known.get("value")) if isinstance(known, Mapping) else words.text(known)
    question = "Which corner is A1?"
    if value in ("", "unknown"):
        said = "nothing on the slide tells: make sure that it was not scanned turned"
        return _check(question, "top left of the image, unproven", "care", said)
    return _check(question, value.replace("_", " "), "good", words.orientation(known))


def _focus_check(spots: pd.DataFrame) -> list[Check]:
    if "sharpness" not in spots or spots["sharpness"].isna().all():
        return []
    blurred = int(spots["flags"].map(lambda f: "out_of_focus" in words.flag_words(f)).sum())
    share = blurred / max(len(spots), 1)
    tone = "good" if not blurred else "care" if share <= 0.1 else "bad"
    reading = "sharp everywhere" if not blurred else "look at these spots before you believe them"
    value = f"{words.plural(blurred, 'spot')} of {len(spots)} out of focus"
    return [_check("Is it in focus?", value, tone, reading)]


def _shift_check(role: str, shift: Mapping[str, Any], spots: pd.DataFrame) -> Check:
    x, y, quality = shift.get("dx"), shift.get("dy"), shift.get("quality")
    lost = int(spots["flags"].map(lambda f: "unregistered" in words.flag_words(f)).sum())
    question = f"Does the {role} channel lie on the nuclei?"
    if words.missing(x) or words.missing(y):
        return _check(question, words.NOTHING, "bad", "its shift could not be estimated")
    distance = math.hypot(float(str(x)), float(str(y)))
    good = not words.missing(quality) and float(str(quality)) >= 0.5
    tone = "good" if good and not lost else "care"
    said = "the shift is sure and was undone" if good else "the shift is not sure"
    if lost:
        said += f"; not known in {words.plural(lost, 'spot')}"
    return _check(question, f"moved by {words.fixed(distance, 1)} px", tone, said)


def _cells_check(quality: Mapping[str, float], spots: pd.DataFrame) -> list[Check]:
    cells = quality.get("cells_per_spot")
    if words.missing(cells):
        return []
    few = int(spots["flags"].map(lambda f: "few_cells" in words.flag_words(f)).sum())
    tone = "good" if few <= 0.05 * len(spots) else "care"
    said = f"{words.plural(few, 'spot')} with too few for a reliable share" if few else "enough"
    return [_check("Are there enough cells?", f"median {words.plain(cells)} a spot", tone, said)]


def controls(
    charts: Charts, spots: pd.DataFrame, measure: str, share: bool, file: str
) -> Chart | None:
    """Picture of the controls of one slide or of several; None without negative ones.

    Parameters
    ----------
    spots
        ``slide, spot, role, measured``; spots that are left out are none of them.
    measure
        What was measured.
    share
        Whether it is a share, 0..1.
    """
    kinds = {"neg_ctrl": "negative", "pos_ctrl": "positive"}
    part = spots[spots["role"].isin(kinds) & spots["measured"].notna()]
    if not (part["role"] == "neg_ctrl").any():
        return None
    kind = part["role"].map(kinds)
    table = pd.DataFrame(
        {"slide": part["slide"], "spot": part["spot"], "kind": kind, "value": part["measured"]}
    )
    turn = table.groupby(["slide", "kind"], sort=False).cumcount()
    table["aside"] = (turn % 7 - 3) / 3
    slides = list(dict.fromkeys(table["slide"]))
    form = ".0%" if share else plots.axis_format(table["value"])
    spec = quality_plots.controls(charts.data(table), slides, measure=measure, form=form)
    summary = (
        table.groupby(["slide", "kind"], sort=False)["value"]
        .agg(["size", "median", "std", "min", "max"])
        .reset_index()
    )
    show = (lambda v: words.percent(v, 1)) if share else words.number
    columns = [
        Column("slide", "Slide"),
        Column("kind", "Control"),
        Column("size", "Spots", words.count),
        Column("median", "Median", show),
        Column("std", "Standard deviation", show),
        Column("min", "Lowest", show),
        Column("max", "Highest", show),
    ]
    if len(slides) == 1:
        columns = columns[1:]
    said = "; ".join(
        f"{row['slide']}, {row['kind']}: median {show(row['median'])}, {show(row['min'])} to "
        f"{show(row['max'])}"
        for row in summary.head(20).to_dict("records")
    )
    behind = tables.behind(summary, columns, caption="Control spots", file=file)
    return charts.add(spec, f"Control spots, {measure}. {said}.", behind)


def margins(charts: Charts, grid: Mapping[str, Any], file: str) -> Chart | None:
    """Picture of how much better the grid is than those one step away."""
    found = {
        str(key): float(value)
        for key, value in (grid.get("margins") or {}).items()
        if isinstance(value, int | float) and not words.beyond_the_image(key, value)
    }
    if not found:
        return None
    rows = pd.DataFrame(
        [
            {
                "name": words.margin_name(key),
                "nats": min(max(value, 0.0), _MARGIN_SHOWN),
                "margin": value,
                "odds": words.odds(key, value),
                "sure": value >= _SURE,
            }
            for key, value in sorted(found.items(), key=lambda item: (item[1], item[0]))
        ]
    )
    drawn = charts.data(rows[["name", "nats", "odds", "sure"]])
    spec = quality_plots.margins(drawn, list(rows["name"]), most=_MARGIN_SHOWN)
    columns = [
        Column("name", "The grid…"),
        Column("margin", "Margin, nats", lambda v: words.fixed(v, 1)),
        Column("odds", "Odds for this grid"),
    ]
    behind = tables.behind(rows, columns, caption="Margins of the grid", file=file)
    first = rows.iloc[0]
    said = f"The closest rival is the grid {first['name']}, odds {first['odds']}."
    return charts.add(spec, f"How sure the grid is against its neighbours. {said}", behind)


def registration(charts: Charts, spots: pd.DataFrame, file: str) -> Chart | None:
    """Picture of the shift of each stain in each spot; None where none was estimated."""
    parts = [
        pd.DataFrame(
            {
                "spot": spots["spot"],
                "channel": name,
                "x": spots[f"shift_{name}_x"],
                "y": spots[f"shift_{name}_y"],
                "quality": spots[f"shift_{name}_quality"],
            }
        ).dropna(subset=["x", "y"])
        for name in quality_plots.STAIN_COLOURS
        if f"shift_{name}_x" in spots
    ]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    if table.empty:
        return None
    reach = float(np.ceil(table[["x", "y"]].abs().to_numpy().max() + 0.5))
    channels = list(dict.fromkeys(table["channel"]))
    spec = quality_plots.shifts(charts.data(table), channels, reach=reach)
    columns = [
        Column("spot", "Spot"),
        Column("channel", "Channel"),
        Column("x", "To the right, px", words.fixed),
        Column("y", "Downwards, px", words.fixed),
        Column("quality", "Quality", words.fixed),
    ]
    behind = tables.behind(table, columns, caption="Shift of each stain in each spot", file=file)
    said = "; ".join(
        f"{name}: median {words.fixed(part['x'].median(), 1)} px to the right, "
        f"{words.fixed(part['y'].median(), 1)} px downwards"
        for name, part in table.groupby("channel", sort=False)
    )
    return charts.add(spec, f"Shift of each stain in each spot. {said}.", behind)


def fusion(charts: Charts, cells: Path | None, file: str) -> Chart | None:
    """Picture of single cells by the light of both stains; None where it was not measured."""
    if cells is None:
        return None
    names = ["spot", "state", "intensity_live", "intensity_dead", "ambiguous"]
    table = pd.read_parquet(cells, columns=names)
    table = table[table["state"].isin(["live", "dying", "dead", "inactive"])]
    table = table.dropna(subset=["intensity_live", "intensity_dead"])
    if table.empty:
        return None
    counted = table.groupby("state")
    summary = pd.DataFrame(
        {
            "cells": counted.size(),
            "live": counted["intensity_live"].median(),
            "dead": counted["intensity_dead"].median(),
            "ambiguous": counted["ambiguous"].mean(),
        }
    )
    order = [state for state in quality_plots.STATE_COLOURS if state in summary.index]
    summary = summary.loc[order].reset_index()
    # Every so-many-th cell, in the order of the table: the same for the same results.
    drawn = table.iloc[np.unique(np.linspace(0, len(table) - 1, MOST_CELLS).round().astype(int))]
    linear = max(
        1.0, float(drawn[["intensity_live", "intensity_dead"]].abs().to_numpy().mean()) / 20
    )
    data = charts.data(
        pd.DataFrame(
            {
                "spot": drawn["spot"],
                "state": drawn["state"],
                "live": drawn["intensity_live"],
                "dead": drawn["intensity_dead"],
                "sure": np.where(drawn["ambiguous"].astype(bool), "in doubt", "sure"),
            }
        )
    )
    columns = [
        Column("state", "State"),
        Column("cells", "Cells", words.count),
        Column("live", "Live stain, median", words.number),
        Column("dead", "Dead stain, median", words.number),
        Column("ambiguous", "In doubt", lambda v: words.percent(v, 1)),
    ]
    behind = tables.behind(summary, columns, caption="Cells by state", file=file)
    said = ", ".join(
        f"{words.count(row['cells'])} {row['state']}" for row in summary.to_dict("records")
    )
    alt = f"Live against dead stain of {words.count(len(drawn))} cells of {words.count(len(table))}"
    return charts.add(quality_plots.fusion(data, linear=linear), f"{alt}: {said}.", behind)


def worst(rows: Sequence[Check]) -> str:
    """Tone of the worst check."""
    tones = [row["tone"] for row in rows]
    return next((tone for tone in ("bad", "care") if tone in tones), "good")

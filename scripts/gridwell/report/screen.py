"""The report of a screen: which agent does what to whom, and can it be believed?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from gridwell.config.columns import COLUMNS, QUALITY
from gridwell.config.models import Config
from gridwell.config.spots import row_index
from gridwell.report import methods, plots, tables, words
from gridwell.report.page import Chart, Charts, write_page
from gridwell.report.tables import Column

# Above this many points in one small picture, the mean of each dose is drawn in its place.
MAX_POINTS = 600


@dataclass(frozen=True)
class Agent:
    """One agent: its picture, what the fits say, the numbers behind the picture."""

    name: str
    chart: Chart | None
    lines: Sequence[Mapping[str, str]]
    numbers: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Screen:
    """The tables of a screen."""

    spots: pd.DataFrame
    fits: pd.DataFrame
    quality: pd.DataFrame
    curves: pd.DataFrame

    @property
    def groups(self) -> list[str]:
        """All groups in the order people count; no group is an empty name."""
        return sorted(set(self.spots["group"]) | set(self.fits["group"]), key=words.natural)

    @property
    def slides(self) -> list[str]:
        """All slides, in the order of the table."""
        return list(dict.fromkeys(self.spots["slide"]))


def report_screen(
    screen_dir: Path,
    *,
    study: str,
    slide_reports: Mapping[str, str],
    out: Path,
    config: Config | None = None,
) -> None:
    """Write the report of a screen as one HTML file that needs nothing beside it.

    Parameters
    ----------
    screen_dir
        Folder with spots.csv, dose_response.csv, quality.csv and, if there, curves.csv.
    study
        Title of the study.
    slide_reports
        Relative link to the report of each slide.
    out
        The HTML file.
    config
        Configuration of the study, for the methods and the list of options.
    """
    screen = _read(Path(screen_dir))
    charts = Charts()
    measure = _measure(screen.spots, config)
    agents = _agents(charts, screen, measure)
    write_page(
        Path(out),
        "screen.html.j2",
        charts,
        study=study,
        measure=measure,
        cards=_cards(screen),
        warnings=_warnings(screen),
        groups=_legend(screen.groups) if len(screen.groups) > 1 else [],
        forests=_forests(charts, screen),
        agents=agents,
        table=_table(screen),
        help=[(c.label, c.help) for c in _columns(screen.fits) if c.help],
        plates=_plates(charts, screen, measure, slide_reports),
        quality=_quality(screen),
        slides=_slides(screen, slide_reports),
        flagged=_flagged(screen.spots, slide_reports),
        spots_link=tables.csv_link(screen.spots.drop(columns="unit_shown")),
        quality_link=tables.csv_link(screen.quality),
        methods=methods.screen_methods(config),
        options=methods.options_used(config, "screen"),
    )


def _read(folder: Path) -> Screen:
    spots = tables.read_csv(folder / "spots.csv")
    fits = tables.read_csv(folder / "dose_response.csv")
    quality = tables.read_csv(folder / "quality.csv")
    curves = folder / "curves.csv"
    lines = (
        tables.read_csv(curves)
        if curves.exists()
        else pd.DataFrame(columns=["group", "agent", "dose", "fit", "low", "high"])
    )
    for table, names in (
        (spots, ("slide", "group", "agent", "unit", "role", "flags", "spot", "row", "metric")),
        (fits, ("group", "agent", "unit", "model", "flags")),
        (lines, ("group", "agent")),
        (quality, ("slide", "statistic")),
    ):
        for name in names:
            table[name] = [words.text(v) for v in table[name]] if name in table else ""
    spots["unit_shown"] = spots["unit"]
    return Screen(spots, fits, quality, lines)


def _measure(spots: pd.DataFrame, config: Config | None) -> dict[str, str]:
    """Name of the screened number, long and short."""
    metric = next((m for m in spots["metric"] if m), "value")
    how = config.screen.normalise if config else _guess(spots)
    label = {
        "percent_of_control": f"{metric}, % of control",
        "percent_inhibition": f"{metric}, % inhibition",
        "none": metric,
    }[how]
    short = {"percent_of_control": "% of control", "percent_inhibition": "% inhibition"}
    return {"metric": metric, "how": how, "label": label, "short": short.get(how, metric)}


def _guess(spots: pd.DataFrame) -> str:
    """How values were normalised, from the medians of the negative controls."""
    controls = spots.loc[spots["role"] == "neg_ctrl", ["measured", "normalised"]].dropna()
    if controls.empty or (controls["measured"] - controls["normalised"]).abs().max() < 1e-9:
        return "none"
    return "percent_of_control" if controls["normalised"].median() > 50 else "percent_inhibition"


def _cards(screen: Screen) -> list[dict[str, str]]:
    spots = screen.spots
    usable = spots["normalised"].notna()
    flagged = int((spots["flags"] != "").sum())
    fitted = screen.fits[screen.fits["ec50"].notna()] if len(screen.fits) else screen.fits
    inside = int(sum(_is_true(value) for value in fitted.get("in_range", [])))
    agents = spots.loc[spots["role"] == "sample", "agent"]
    cards = [
        {
            "value": str(len(screen.slides)),
            "label": "slides",
            "note": words.plural(len([g for g in screen.groups if g]), "group"),
        },
        {
            "value": str(agents[agents != ""].nunique()),
            "label": "agents",
            "note": f"{words.plural(len(screen.fits), 'curve')} fitted or tried",
        },
        {
            "value": words.plain(len(spots), 9),
            "label": "spots",
            "note": f"{words.plain(int(usable.sum()), 9)} with a value",
        },
        {
            "value": str(inside),
            "label": "EC50 within the doses",
            "note": f"of {words.plural(len(screen.fits), 'curve')}",
        },
        {
            "value": words.plain(flagged, 9),
            "label": "flagged spots",
            "note": "listed below with reasons" if flagged else "nothing to look into",
        },
    ]
    return cards


def _is_true(value: Any) -> bool:
    return str(value).lower() in ("true", "1", "1.0")


def _warnings(screen: Screen) -> list[str]:
    """What must be known before the curves are read."""
    said = []
    table = screen.quality
    values = {
        (slide, statistic): value
        for slide, statistic, value in table[["slide", "statistic", "value"]].itertuples(
            index=False, name=None
        )
    }
    overlap = [
        slide for slide in screen.slides if _below(values.get((slide, "robust_z_prime")), 0.0)
    ]
    if overlap:
        said.append(
            f"The controls overlap (robust Z′ below 0) on {words.join(overlap)}: do not read "
            "single spots of these slides as hits."
        )
    unsure = [s for s in screen.slides if _below(values.get((s, "grid_confidence")), 0.5)]
    if unsure:
        said.append(
            f"The grid is uncertain on {words.join(unsure)}: spots may carry the wrong names."
        )
    bare = [s for s in screen.slides if values.get((s, "n_neg_ctrl"), 1) == 0]
    if bare:
        said.append(f"There are no negative controls on {words.join(bare)}.")
    return said


def _below(value: Any, limit: float) -> bool:
    return not words.missing(value) and float(value) < limit


def _legend(groups: Sequence[str]) -> list[dict[str, str]]:
    """Colour and shape of each group, as an SVG path in a box of 14 px."""
    return [
        {
            "name": group or "no group",
            "colour": plots.group_colour(index),
            "path": plots.SHAPE_PATHS[plots.group_shape(index)],
        }
        for index, group in enumerate(groups)
    ]


def _dose_range(spots: pd.DataFrame) -> tuple[float, float] | None:
    doses = spots["concentration"].dropna().astype(float)
    doses = doses[doses > 0]
    return (float(doses.min()), float(doses.max())) if len(doses) else None


def _samples(screen: Screen) -> pd.DataFrame:
    """Spots of the curves: samples with an agent and a dose above 0."""
    spots = screen.spots
    return spots[
        (spots["role"] == "sample")
        & (spots["agent"] != "")
        & (spots["concentration"].astype(float) > 0)
    ]


def _agent_order(screen: Screen) -> list[str]:
    """Strongest response first where there is a score, by name where there is none."""
    names = sorted(
        {*_samples(screen)["agent"], *screen.fits["agent"]} - {""}, key=words.natural
    )
    if "dss" not in screen.fits or screen.fits["dss"].isna().all():
        return names
    score = screen.fits.groupby("agent")["dss"].max()
    return sorted(names, key=lambda name: -float(score.get(name, 0) or 0))


def _agents(charts: Charts, screen: Screen, measure: Mapping[str, str]) -> list[Agent]:
    samples = _samples(screen)
    values = _value_range(screen)
    groups = screen.groups
    reference = {"percent_of_control": 100.0, "percent_inhibition": 0.0}.get(measure["how"])
    made = []
    for name in _agent_order(screen):
        part = samples[samples["agent"] == name]
        fits = screen.fits[screen.fits["agent"] == name]
        units = [u for u in dict.fromkeys([*fits["unit"], *part["unit"]]) if u]
        unit = units[0] if units else ""
        part = _in_unit(part, unit)
        doses = _dose_range(part)
        lines = [_fit_line(row, doses) for row in fits.to_dict("records")]
        if doses is None:
            made.append(Agent(name, None, lines, []))
            continue
        kept = part[part["normalised"].notna()]
        shown = _points(kept)
        curves = screen.curves[screen.curves["agent"] == name]
        halves = [
            {
                "group": row["group"],
                "ec50": row["ec50"],
                "low": row.get("ec50_low"),
                "high": row.get("ec50_high"),
                "y": values[0] + (0.02 + 0.05 * index) * (values[1] - values[0]),
                "words": _ec50_text(row, doses),
            }
            for index, row in enumerate(fits.to_dict("records"))
            if not words.missing(row["ec50"]) and _is_true(row.get("in_range", True))
        ]
        edge = 10 ** (0.04 * max(math.log10(doses[1] / doses[0]), 1))
        spec = plots.dose_curve(
            charts.data(shown),
            charts.data(curves[["group", "dose", "fit", "low", "high"]]),
            charts.data(halves),
            groups,
            title=name,
            dose_unit=words.unit(unit),
            measure=measure["short"],
            doses=(doses[0] / edge, doses[1] * edge),
            values=values,
            reference=reference,
        )
        said = "; ".join(f"{line['group'] or 'all'}: EC50 {line['ec50']}" for line in lines)
        chart = charts.add(spec, f"Dose response of {name}. {said}.")
        made.append(Agent(name, chart, lines, _numbers(kept, unit)))
    return made


def _in_unit(spots: pd.DataFrame, unit: str) -> pd.DataFrame:
    """Bring molar doses to one unit; spots whose unit cannot be converted are left out."""
    power = {"M": 0, "mM": 3, "uM": 6, "nM": 9, "pM": 12}
    factors = []
    for own in spots["unit"]:
        if own == unit or not own:
            factors.append(1.0)
        elif own in power and unit in power:
            factors.append(10.0 ** (power[unit] - power[own]))
        else:
            factors.append(float("nan"))
    doses = spots["concentration"].astype(float) * pd.Series(factors, index=spots.index)
    # Seven digits: 10 nM and 0.01 uM are one dose.
    return spots.assign(concentration=[float(f"{dose:.7g}") for dose in doses])


def _points(spots: pd.DataFrame) -> pd.DataFrame:
    """Spots to draw; the means of each slide and dose where they are too many."""
    if len(spots) > MAX_POINTS:
        by = ["group", "slide", "agent", "concentration", "unit"]
        grouped = spots.groupby(by, sort=True)["normalised"]
        spots = grouped.agg(["mean", "size"]).reset_index()
        spots = spots.rename(columns={"mean": "normalised"})
        spots["spot"] = [words.plural(int(n), "spot") + ", mean" for n in spots.pop("size")]
        spots["flags"] = ""
    return pd.DataFrame(
        {
            "group": spots["group"],
            "slide": spots["slide"],
            "spot": spots["spot"],
            "dose": spots["concentration"],
            "written": [
                words.dose(c, u) for c, u in zip(spots["concentration"], spots["unit"], strict=True)
            ],
            "value": spots["normalised"],
            "flags": [", ".join(words.flag_words(flags)) for flags in spots["flags"]],
        }
    )


def _numbers(spots: pd.DataFrame, unit: str) -> list[list[str]]:
    """Median and range of each group and dose, as a table behind the picture."""
    rows = []
    for (group, dose), part in spots.groupby(["group", "concentration"], sort=True):
        values = part["normalised"]
        rows.append(
            [
                str(group) or words.NOTHING,
                words.dose(dose, unit),
                str(len(values)),
                words.fixed(values.median(), 1),
                f"{words.fixed(values.min(), 1)} to {words.fixed(values.max(), 1)}",
            ]
        )
    return rows


def _value_range(screen: Screen) -> tuple[float, float]:
    """Range of the value axis of all curves: nearly all spots, and 0 to 100 where it fits."""
    values = screen.spots["normalised"].dropna().astype(float)
    if values.empty:
        return 0.0, 1.0
    low, high = float(values.quantile(0.003)), float(values.quantile(0.997))
    low = min(0.0, low)
    pad = 0.06 * (high - low or 1)
    return low - pad, high + pad


def _ec50_text(row: Mapping[Any, Any], doses: tuple[float, float] | None) -> str:
    lowest, highest = doses or (None, None)
    shown, note = words.ec50_words(row, lowest, highest)
    if note or words.missing(row.get("ec50_low")) or words.missing(row.get("ec50_high")):
        return f"{shown}, {note}" if note else shown
    low, high = row["ec50_low"], row["ec50_high"]
    return f"{shown} ({words.number(low)} to {words.number(high)})"


def _fit_line(row: Mapping[Any, Any], doses: tuple[float, float] | None) -> dict[str, str]:
    lowest, highest = doses or (None, None)
    shown, note = words.ec50_words(row, lowest, highest)
    interval = ""
    if not note and not words.missing(row.get("ec50_low")):
        low, high = words.number(row["ec50_low"]), words.number(row.get("ec50_high"))
        interval = f"{low} to {high}"
    return {"group": row["group"], "ec50": shown, "interval": interval, "note": note}


def _forests(charts: Charts, screen: Screen) -> list[Chart]:
    """EC50s side by side, one picture for each unit of dose."""
    fits = screen.fits
    if len(fits) < 2:
        return []
    samples = _samples(screen)
    order = _agent_order(screen)
    made = []
    for unit, part in fits.groupby("unit", sort=True):
        rows = []
        doses = _dose_range(
            _in_unit(samples[samples["agent"].isin(set(part["agent"]))], str(unit))
        )
        if doses is None:
            continue
        for row in part.to_dict("records"):
            own = _dose_range(_in_unit(samples[samples["agent"] == row["agent"]], str(unit)))
            if words.missing(row["ec50"]) or own is None:
                continue
            kind, arrow, at = "measured", "", float(row["ec50"])
            if not _is_true(row.get("in_range", True)):
                above = at >= own[1]
                kind, arrow = ("above", "▶") if above else ("below", "◀")
                at = own[1] if above else own[0]
            rows.append(
                {
                    "agent": row["agent"],
                    "group": row["group"],
                    "ec50": at,
                    "low": max(float(row.get("ec50_low") or at), doses[0]) if not arrow else at,
                    "high": min(float(row.get("ec50_high") or at), doses[1]) if not arrow else at,
                    "kind": kind,
                    "arrow": arrow,
                    "words": _ec50_text(row, own),
                }
            )
        names = [name for name in order if name in {row["agent"] for row in rows}]
        if len(rows) < 2:
            continue
        edge = 1.25
        spec = plots.forest(
            charts.data(rows),
            names,
            screen.groups,
            dose_unit=words.unit(unit),
            doses=(doses[0] / edge, doses[1] * edge),
        )
        said = "; ".join(f"{r['agent']} {r['group']} {r['words']}" for r in rows[:40])
        made.append(charts.add(spec, f"EC50 of each agent and group. {said}."))
    return made


_HEADINGS = {
    "ec50": "EC50",
    "ec50_low": "low",
    "ec50_high": "high",
    "ic50": "IC50",
    "auc": "AUC",
    "dss": "DSS",
    "n_spots": "Spots",
    "n_doses": "Doses",
    "said": "What may be said",
}
_ORDER = (
    "agent", "group", "unit", "ec50", "ec50_low", "ec50_high", "said", "ic50", "dss", "auc",
    "hill", "top", "bottom", "model", "n_spots", "n_doses",
)  # fmt: skip


def _columns(fits: pd.DataFrame) -> list[Column]:
    help_of = COLUMNS.get("screen/dose_response.csv", {})
    extra = [str(n) for n in fits.columns if n not in (*_ORDER, "in_range", "flags", "metric")]
    columns = []
    for name in (*_ORDER, *extra, "flags"):
        if name not in fits.columns:
            continue
        numeric = pd.api.types.is_numeric_dtype(fits[name]) and name != "in_range"
        counts = name in ("n_spots", "n_doses")
        show = (words.plain if counts else words.number) if numeric else None
        label = _HEADINGS.get(name, name.replace("_", " ").capitalize())
        columns.append(Column(name, label, show, help_of.get(name, "")))
    return columns


def _table(screen: Screen) -> tables.Table:
    fits = screen.fits
    samples = _samples(screen)
    said = []
    for row in fits.to_dict("records"):
        own = _dose_range(_in_unit(samples[samples["agent"] == row["agent"]], row["unit"]))
        shown, note = words.ec50_words(row, *(own or (None, None)))
        said.append(f"{shown}: {note}" if note and shown != words.NOTHING else note or "within the doses")
    order = {name: index for index, name in enumerate(_agent_order(screen))}
    shown_fits = fits.assign(said=said, unit=[words.unit(u) for u in fits["unit"]])
    outside = [not _is_true(v) for v in fits["in_range"]] if "in_range" in fits else []
    if outside:
        # A number outside the doses would be read as measured; the words say what is known.
        for name in ("ec50", "ec50_low", "ec50_high"):
            shown_fits[name] = shown_fits[name].mask(outside)
    shown_fits["flags"] = [" ".join(words.flag_words(flags)) for flags in fits["flags"]]
    shown_fits = shown_fits.iloc[
        sorted(
            range(len(fits)),
            key=lambda i: (order.get(fits["agent"].iloc[i], 0), words.natural(fits["group"].iloc[i])),
        )
    ]
    return tables.build(
        shown_fits,
        _columns(shown_fits),
        name="fits",
        caption="Dose response of each agent and group",
        file="dose_response.csv",
        download=fits,
    )


def _plates(
    charts: Charts,
    screen: Screen,
    measure: Mapping[str, str],
    links: Mapping[str, str],
) -> list[dict[str, Any]]:
    """The screened number over each slide, all on one scale."""
    spots = screen.spots
    values = spots["normalised"].dropna().astype(float)
    if values.empty:
        return []
    low, high = float(values.quantile(0.01)), float(values.quantile(0.99))
    domain = (min(0.0, low), max(100.0, high) if measure["how"] != "none" else high)
    if domain[0] >= domain[1]:
        domain = (domain[0], domain[0] + 1)
    made = []
    for slide in screen.slides:
        part = spots[spots["slide"] == slide]
        rows = max(row_index(row) for row in part["row"]) + 1
        cols = int(part["col"].max())
        flags = [words.flag_words(value) for value in part["flags"]]
        data = pd.DataFrame(
            {
                "spot": part["spot"],
                "row": part["row"],
                "col": part["col"],
                "value": part["normalised"],
                "measured": part["measured"],
                "agent": part["agent"],
                "dose": [
                    words.dose(c, u) for c, u in zip(part["concentration"], part["unit"], strict=True)
                ],
                "role": [words.ROLES.get(r, r) if r != "sample" else "" for r in part["role"]],
                "flags": [", ".join(value) for value in flags],
                "mark": ["missing" if "not_found" in f else "flag" if f else "" for f in flags],
                "sign": [{"neg_ctrl": "−", "pos_ctrl": "+"}.get(r, "") for r in part["role"]],
            }
        )
        data["slide"] = slide
        spec = plots.plate_map(
            charts.data(data),
            rows,
            cols,
            field="value",
            title=slide,
            domain=domain,
            step=plots.plate_step(rows, cols, 470, 400, 26),
            number_format=",.0f" if domain[1] >= 10 else ".2f",
            tooltip=[
                {"field": "agent", "type": "nominal", "title": "Agent"},
                {"field": "dose", "type": "nominal", "title": "Dose"},
                {"field": "role", "type": "nominal", "title": "Role"},
                {
                    "field": "value",
                    "type": "quantitative",
                    "title": measure["short"],
                    "format": ".4~g",
                },
                {
                    "field": "measured",
                    "type": "quantitative",
                    "title": f"{measure['metric']}, as measured",
                    "format": ".4~g",
                },
                {"field": "flags", "type": "nominal", "title": "Flags"},
            ],
        )
        known = part["normalised"].dropna()
        alt = f"Plate map of {slide}: {rows} rows, {cols} columns, {len(known)} spots with a value."
        cells = {
            (row, int(col)): words.fixed(value, 1)
            for row, col, value in zip(part["row"], part["col"], part["normalised"], strict=True)
        }
        letters = list(dict.fromkeys(part["row"]))
        numbers = list(range(1, cols + 1))
        made.append(
            {
                "slide": slide,
                "group": next(iter(part["group"]), ""),
                "link": links.get(slide, ""),
                "chart": charts.add(spec, alt),
                "title": f"{measure['label']} on {slide}",
                "cols": numbers,
                "grid": [
                    (row, [cells.get((row, col), words.NOTHING) for col in numbers])
                    for row in letters
                ],
            }
        )
    return made


_MAIN_QUALITY = ("z_prime", "robust_z_prime", "ssmd", "n_neg_ctrl", "n_pos_ctrl", "edge_effect",
                 "grid_confidence")  # fmt: skip


def _quality(screen: Screen) -> dict[str, Any]:
    """Statistics of each slide: those that decide in words, all of them in a table."""
    table = screen.quality
    values = {
        (slide, statistic): value
        for slide, statistic, value in table[["slide", "statistic", "value"]].itertuples(
            index=False, name=None
        )
    }
    names = list(dict.fromkeys(table["statistic"]))
    slides = list(dict.fromkeys(table["slide"]))
    main = [name for name in _MAIN_QUALITY if name in names]
    rows = []
    for slide in slides:
        cells = []
        for name in main:
            value = values.get((slide, name))
            tone, reading = words.quality_reading(name, value)
            cells.append({"value": words.quality_value(name, value), "tone": tone, "reading": reading})
        rows.append({"slide": slide, "cells": cells})
    return {
        "main": [(words.quality_name(name), QUALITY.get(name, "")) for name in main],
        "rows": rows,
        "slides": slides,
        "all": [
            (
                words.quality_name(name),
                QUALITY.get(name, ""),
                [words.quality_value(name, values.get((slide, name))) for slide in slides],
            )
            for name in names
        ],
    }


def _slides(screen: Screen, links: Mapping[str, str]) -> list[dict[str, str]]:
    rows = []
    for slide, part in screen.spots.groupby("slide", sort=False):
        rows.append(
            {
                "slide": str(slide),
                "link": links.get(str(slide), ""),
                "group": next(iter(part["group"]), ""),
                "assay": words.text(next(iter(part["assay"]), "")) if "assay" in part else "",
                "spots": words.plain(len(part), 9),
                "used": words.plain(int(part["normalised"].notna().sum()), 9),
                "flagged": words.plain(int((part["flags"] != "").sum()), 9),
            }
        )
    known = {row["slide"] for row in rows}
    rows += [
        {"slide": slide, "link": link, "group": "", "assay": "", "spots": "", "used": "", "flagged": ""}
        for slide, link in links.items()
        if slide not in known
    ]
    return rows


def _flagged(spots: pd.DataFrame, links: Mapping[str, str]) -> list[dict[str, Any]]:
    part = spots[(spots["flags"] != "") | (spots["role"] == "excluded")]
    listed = []
    for row in part.to_dict("records"):
        flags = words.flag_words(row["flags"])
        if row["role"] == "excluded":
            flags = ["excluded by the layout", *flags]
        what = (row["agent"], words.dose(row["concentration"], row["unit"]))
        link = links.get(row["slide"], "")
        listed.append(
            {
                "slide": row["slide"],
                "spot": row["spot"],
                "link": f"{link}#spot-{row['spot']}" if link else "",
                "what": " · ".join(filter(None, what)),
                "flags": flags,
            }
        )
    return listed

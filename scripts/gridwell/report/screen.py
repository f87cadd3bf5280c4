"""The report of a screen: which agent does what to whom, and can it be believed?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from gridwell.config.columns import COLUMNS, QUALITY, column_names
from gridwell.config.models import Config
from gridwell.config.provenance import Provenance, read_provenance, with_inputs
from gridwell.config.spots import row_index
from gridwell.report import methods, plots, screen_tables, tables, words
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
    agents: pd.DataFrame
    growth: pd.DataFrame
    combinations: pd.DataFrame
    replicates: pd.DataFrame
    unmatched: pd.DataFrame

    @property
    def groups(self) -> list[str]:
        """All groups in the order people count; no group is an empty name."""
        return sorted(set(self.spots["group"]) | set(self.fits["group"]), key=words.natural)

    @property
    def keys(self) -> list[tuple[str, str]]:
        """Every assay and the number screened there, in the order of the table."""
        pairs = zip(self.spots["assay"], self.spots["metric"], strict=True)
        return [key for key in dict.fromkeys(pairs) if key[1]]

    def only(self, assay: str, metric: str) -> Screen:
        """What belongs to one assay and number; statistics of slides stay."""

        def part(table: pd.DataFrame) -> pd.DataFrame:
            return table[(table["assay"] == assay) & (table["metric"] == metric)]

        return replace(self, spots=part(self.spots), fits=part(self.fits), curves=part(self.curves))

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
    provenance: Provenance | None = None,
) -> None:
    """Write the report of a screen as one HTML file that needs nothing beside it.

    Parameters
    ----------
    screen_dir
        Folder with the tables of the screen: spots.csv, dose_response.csv, quality.csv and
        curves.csv, the others if there.
    study
        Title of the study.
    slide_reports
        Relative link to the report of each slide.
    out
        The HTML file.
    config
        Configuration of the study, for the methods and the list of options.
    provenance
        Code and configuration that the report is made with; that of the tables is added.
    """
    screen = _read(Path(screen_dir))
    charts = Charts()
    parts = [_part(charts, screen, key, slide_reports) for key in screen.keys]
    write_page(
        Path(out),
        "screen.html.j2",
        charts,
        provenance=provenance
        and with_inputs(provenance, [read_provenance(Path(screen_dir) / "spots.csv")]),
        study=study,
        cards=_cards(screen),
        warnings=_warnings(screen),
        parts=parts,
        table=_table(screen),
        help=[(c.label, c.help) for c in _columns(screen.fits) if c.help],
        agents=screen_tables.agents(screen.agents),
        growth=screen_tables.growth(screen.growth),
        combinations=screen_tables.combinations(screen.combinations),
        replicates=screen_tables.replicates(screen.replicates),
        unmatched=screen_tables.unmatched(screen.unmatched, slide_reports),
        corrected=_corrected(screen),
        quality=_quality(screen),
        slides=_slides(screen, slide_reports),
        flagged=_flagged(screen.spots, slide_reports),
        flag_counts=_curve_flags(screen.fits),
        spots_link=tables.csv_link(screen.spots),
        quality_link=tables.csv_link(screen.quality),
        methods=methods.screen_methods(config),
        options=methods.options_used(config, "screen"),
    )


def _part(
    charts: Charts, screen: Screen, key: tuple[str, str], links: Mapping[str, str]
) -> dict[str, Any]:
    """Make the pictures of one number: studies that mix assays screen several."""
    assay, metric = key
    own = screen.only(assay, metric)
    alike = [name for _, name in screen.keys].count(metric) > 1 or metric == "value"
    measure = _measure(own, f"{metric} ({assay})" if alike else metric)
    drawn = set(_samples(own)["group"])
    return {
        "measure": measure,
        "groups": [group for group in _legend(screen.groups) if group["key"] in drawn],
        "controls": bool(own.spots["role"].isin(["neg_ctrl", "pos_ctrl"]).any()),
        "forests": _forests(charts, own, screen.groups),
        "agents": _agents(charts, own, screen.groups, measure),
        "ranked": _ranked(own),
        "plates": _plates(charts, own, measure, links),
    }


# Columns of names, by file, in the order of `Screen`.
_TEXTS = {
    "spots.csv": ("slide", "group", "assay", "spot", "row", "agent", "unit", "role", "flags",
                  "metric"),
    "dose_response.csv": ("group", "agent", "unit", "model", "in_range", "flags", "metric",
                          "assay", "normalise"),
    "quality.csv": ("slide", "statistic"),
    "curves.csv": ("group", "agent", "metric", "assay"),
}  # fmt: skip


def _read(folder: Path) -> Screen:
    """Read the tables of a screen; a text that is missing is an empty one."""
    tabled = []
    for file, names in (_TEXTS | screen_tables.TEXTS).items():
        if file in screen_tables.TEXTS and not (folder / file).exists():
            table = pd.DataFrame(columns=column_names(f"screen/{file}"))
        else:
            table = tables.read_csv(folder / file, (*names, "replicate", "sample"))
        for name in names:
            texts = [words.text(value) for value in table[name]]
            table[name] = pd.Series(texts, index=table.index, dtype="str")
        tabled.append(table)
    return _timed(Screen(*tabled))


def _timed(screen: Screen) -> Screen:
    """Groups imaged at several times are groups of their own here, named by the hour."""
    if "time_h" not in screen.spots or len(screen.fits["time_h"].dropna().unique()) < 2:
        return screen

    def named(table: pd.DataFrame) -> pd.DataFrame:
        pairs = zip(table["group"], table["time_h"], strict=True)
        return table.assign(
            group=[
                " · ".join(filter(None, (group, f"{words.plain(time)}\u202fh")))
                if not words.missing(time)
                else group
                for group, time in pairs
            ]
        )

    return replace(
        screen, spots=named(screen.spots), fits=named(screen.fits), curves=named(screen.curves)
    )


def _measure(screen: Screen, metric: str) -> dict[str, str]:
    """Name of a screened number, long and short, and how it was normalised."""
    fits = screen.fits
    how = next(iter(fits["normalise"]), "") if len(fits) else _guess(screen.spots)
    short = {"percent_of_control": "% of control", "percent_inhibition": "% inhibition"}
    label = f"{metric}, {short[how]}" if how in short else metric
    return {"metric": metric, "how": how, "label": label, "short": short.get(how, metric)}


def _guess(spots: pd.DataFrame) -> str:
    """How values were normalised where no curve says so: untouched, or to the controls."""
    both = spots[["measured", "normalised"]].dropna()
    same = bool((both["measured"] - both["normalised"]).abs().le(1e-6).all())
    return "none" if same else "percent_of_control"


def _cards(screen: Screen) -> list[dict[str, str]]:
    spots = screen.spots
    usable = spots["normalised"].notna()
    flagged = int((spots["flags"] != "").sum())
    inside = int((screen.fits["in_range"] == "yes").sum())
    combined = spots["flags"].str.contains(r"\bcombination\b", regex=True)
    agents = spots.loc[(spots["role"] == "sample") & ~combined, "agent"]
    return [
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
            "value": words.count(len(spots)),
            "label": "spots",
            "note": f"{words.count(int(usable.sum()))} with a value",
        },
        {
            "value": str(inside),
            "label": "EC50 within the doses",
            "note": f"of {words.plural(len(screen.fits), 'curve')}",
        },
        {
            "value": words.count(flagged),
            "label": "flagged spots",
            "note": "listed below with reasons" if flagged else "nothing to look into",
        },
    ]


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
    dosed = set(_samples(screen)["slide"])
    bare = [s for s in screen.slides if s in dosed and values.get((s, "n_neg_ctrl"), 1) == 0]
    if bare:
        said.append(f"There are no negative controls on {words.join(bare)}.")
    off = [s for s in screen.slides if (values.get((s, "layout_not_on_grid")) or 0) > 0]
    if off:
        said.append(
            f"The layout names spots that the grid does not have on {words.join(off)}: is it the "
            "right layout, and the right grid?"
        )
    apart = screen.replicates[screen.replicates["flags"].str.contains("slides_disagree")]
    if len(apart):
        pairs = [f"{a} and {b}" for a, b in zip(apart["slide_a"], apart["slide_b"], strict=True)]
        named = words.join(pairs[:5]) + (f" and {len(pairs) - 5} more pairs" if pairs[5:] else "")
        said.append(
            f"Slides of one group do not tell the same: {named}. Their common curves hide that."
        )
    return said


def _corrected(screen: Screen) -> list[str]:
    """Slides on which a gradient was taken off, and how large it was."""
    table = screen.quality
    order = table[(table["statistic"] == "correction") & (table["value"] > 0)]
    size = table[table["statistic"] == "correction_range"].set_index("slide")["value"]
    return [f"{slide} ({words.percent(size[slide] / 100)})" for slide in order["slide"]]


def _below(value: Any, limit: float) -> bool:
    return not words.missing(value) and float(value) < limit


def _legend(groups: Sequence[str]) -> list[dict[str, str]]:
    """Colour and shape of each group, as an SVG path in a box of 14 px."""
    return [
        {
            "key": group,
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
    before = spots["time_h"] == 0 if "time_h" in spots else False
    return spots[
        (spots["role"] == "sample")
        & ~pd.Series(before, index=spots.index)
        & (spots["agent"] != "")
        & (spots["concentration"].astype(float) > 0)
        & ~spots["flags"].str.contains(r"\b(?:failed|edge_cut)\b", regex=True)
    ]


def _ranked(screen: Screen) -> bool:
    return bool(screen.fits["dss"].notna().any())


def _agent_order(screen: Screen) -> list[str]:
    """Strongest response first where there is a score, by name where there is none."""
    names = sorted({*_samples(screen)["agent"], *screen.fits["agent"]} - {""}, key=words.natural)
    if not _ranked(screen):
        return names
    score = screen.fits.groupby("agent")["dss"].max().fillna(-1.0).to_dict()
    return sorted(names, key=lambda name: -float(score.get(name, -1.0)))


def _agents(
    charts: Charts, screen: Screen, groups: Sequence[str], measure: Mapping[str, str]
) -> list[Agent]:
    samples = _samples(screen)
    lowest, values = _value_range(screen)
    reference = {"percent_of_control": 100.0, "percent_inhibition": 0.0}.get(measure["how"])
    made = []
    for name in _agent_order(screen):
        part = samples[samples["agent"] == name]
        fits = screen.fits[screen.fits["agent"] == name].to_dict("records")
        unit = next((u for u in part["unit"] if u), "")
        doses = _dose_range(part)
        lines = [_fit_line(row, doses) for row in fits]
        if doses is None:
            made.append(Agent(name, None, lines, []))
            continue
        kept = part[part["normalised"].notna()]
        curves = screen.curves[screen.curves["agent"] == name]
        halves = [
            {
                "group": row["group"],
                "ec50": row["ec50"],
                "low": doses[0] if words.missing(row["ec50_low"]) else row["ec50_low"],
                "high": doses[1] if words.missing(row["ec50_high"]) else row["ec50_high"],
                "y": values[0] + (0.04 + 0.05 * index) * (values[1] - values[0]),
                "words": " ".join(filter(None, words.ec50_words(row, *doses))),
            }
            for index, row in enumerate(fits)
            if not words.missing(row["ec50"])
        ]
        edge = 10 ** (0.04 * max(math.log10(doses[1] / doses[0]), 1))
        spec = plots.dose_curve(
            charts.data(_points(kept)),
            charts.data(curves[["group", "dose", "fit", "low", "high"]]),
            charts.data(halves),
            groups,
            title=name,
            dose_unit=words.unit(unit),
            measure=measure["short"],
            doses=(doses[0] / edge, doses[1] * edge),
            values=values,
            lowest=lowest,
            reference=reference,
        )
        said = "; ".join(f"{line['group'] or 'all'}: EC50 {line['ec50']}" for line in lines)
        chart = charts.add(spec, f"Dose response of {name}. {said}.")
        made.append(Agent(name, chart, lines, _numbers(kept, unit)))
    return made


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


def _value_range(screen: Screen) -> tuple[float, tuple[float, float]]:
    """Least value to have a tick, and the range of the value axis with room for EC50 marks."""
    values = screen.spots["normalised"].dropna().astype(float)
    if values.empty:
        return 0.0, (0.0, 1.0)
    low, high = float(values.quantile(0.003)), float(values.quantile(0.997))
    low = min(0.0, low)
    span = high - low or 1.0
    marks = screen.fits[screen.fits["ec50"].notna()].groupby("agent").size().max()
    room = 0.05 + 0.06 * min(0 if words.missing(marks) else int(marks), 6)
    return low, (low - room * span, high + 0.06 * span)


def _fit_line(row: Mapping[Any, Any], doses: tuple[float, float] | None) -> dict[str, str]:
    shown, interval, note = words.ec50_words(row, *(doses or (None, None)))
    return {"group": row["group"], "ec50": shown, "interval": interval, "note": note}


def _forests(charts: Charts, screen: Screen, groups: Sequence[str]) -> list[Chart]:
    """EC50s side by side, one picture for each unit of dose."""
    samples = _samples(screen)
    order = _agent_order(screen)
    made = []
    for unit, part in screen.fits.groupby("unit", sort=True):
        doses = _dose_range(samples[samples["agent"].isin(set(part["agent"]))])
        if doses is None:
            continue
        rows = []
        for row in part.to_dict("records"):
            own = _dose_range(samples[samples["agent"] == row["agent"]])
            arrow = {">max": "▶", "<min": "◀"}.get(row["in_range"], "")
            if own is None or (words.missing(row["ec50"]) and not arrow):
                continue
            at = row["ec50"] if not arrow else own[1] if arrow == "▶" else own[0]
            rows.append(
                {
                    "agent": row["agent"],
                    "group": row["group"],
                    "ec50": at,
                    "low": own[0] if words.missing(row["ec50_low"]) else row["ec50_low"],
                    "high": own[1] if words.missing(row["ec50_high"]) else row["ec50_high"],
                    "arrow": arrow,
                    "words": " ".join(filter(None, words.ec50_words(row, *own))),
                }
            )
        if len(rows) < 2:
            continue
        named = {row["agent"] for row in rows}
        spec = plots.forest(
            charts.data(rows),
            [name for name in order if name in named],
            groups,
            dose_unit=words.unit(unit),
            doses=(doses[0] / 1.25, doses[1] * 1.25),
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
    "said": "Reading",
}
_ORDER = (
    "agent", "group", "unit", "ec50", "ec50_low", "ec50_high", "said", "ic50", "dss", "auc",
    "hill", "top", "bottom", "model", "n_spots", "n_doses", "assay", "metric",
)  # fmt: skip


def _columns(fits: pd.DataFrame) -> list[Column]:
    help_of = COLUMNS["screen/dose_response.csv"]
    extra = [str(n) for n in fits.columns if n not in (*_ORDER, "in_range", "flags", "normalise")]
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
        mine = samples[(samples["agent"] == row["agent"]) & (samples["metric"] == row["metric"])]
        shown, _, note = words.ec50_words(row, *(_dose_range(mine) or (None, None)))
        said.append(
            f"{shown}, {note}" if note and shown != words.NOTHING else note or "within the doses"
        )
    shown_fits = fits.assign(said=said, unit=[words.unit(u) for u in fits["unit"]])
    shown_fits["flags"] = [" ".join(words.flag_words(flags)) for flags in fits["flags"]]
    if len(screen.keys) == 1:
        shown_fits = shown_fits.drop(columns=["assay", "metric"])
    if len(screen.groups) == 1:
        shown_fits = shown_fits.drop(columns="group")
    order = {name: index for index, name in enumerate(_agent_order(screen))}
    ranks = [
        (order.get(agent, 0), words.natural(group))
        for agent, group in zip(fits["agent"], fits["group"], strict=True)
    ]
    shown_fits = shown_fits.iloc[sorted(range(len(fits)), key=ranks.__getitem__)]
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
    domain = (low, high) if measure["how"] == "none" else (min(0.0, low), max(100.0, high))
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
                    words.dose(c, u)
                    for c, u in zip(part["concentration"], part["unit"], strict=True)
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
                 "morans_p", "correction", "replicate_icc", "grid_confidence")  # fmt: skip


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
    dosed = set(_samples(screen)["slide"])
    spots = screen.spots
    before = set(spots.loc[spots["time_h"] == 0, "slide"]) if "time_h" in spots else set()
    rows = []
    for slide in slides:
        cells = []
        for name in main:
            value = values.get((slide, name))
            tone, reading = words.quality_reading(name, value)
            if slide not in dosed and name != "grid_confidence":
                why = "before treatment" if slide in before else "no doses on this slide"
                tone, reading = "plain", why
            cells.append(
                {"value": words.quality_value(name, value), "tone": tone, "reading": reading}
            )
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
                "assay": next(iter(part["assay"]), ""),
                "spots": words.count(len(part)),
                "used": words.count(int(part["normalised"].notna().sum())),
                "flagged": words.count(int((part["flags"] != "").sum())),
            }
        )
    known = {row["slide"] for row in rows}
    rows += [
        {
            "slide": slide,
            "link": link,
            "group": "",
            "assay": "",
            "spots": "",
            "used": "",
            "flagged": "",
        }
        for slide, link in links.items()
        if slide not in known
    ]
    return rows


def _curve_flags(fits: pd.DataFrame) -> list[tuple[str, int, str]]:
    """Flags of the curves with how often and what they mean."""
    counts: dict[str, int] = {}
    for flags in fits["flags"]:
        for word in words.flag_words(flags):
            counts[word] = counts.get(word, 0) + 1
    return [(word, counts[word], words.flag_meaning(word)) for word in sorted(counts)]


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

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
from gridwell.report import (
    left_out,
    methods,
    plots,
    quality_plots,
    references,
    screen_tables,
    slide_quality,
    summary,
    tables,
    words,
)
from gridwell.report.page import Chart, Charts, write_page
from gridwell.report.tables import Column

# Above this many points in one small picture, the mean of each dose is drawn in its place.
MAX_POINTS = 600


@dataclass(frozen=True)
class Agent:
    """One agent: its picture, and what the fits say."""

    name: str
    chart: Chart | None
    lines: Sequence[Mapping[str, str]]


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
    parts = [
        {"number": number, **_part(charts, screen, key, slide_reports)}
        for number, key in enumerate(screen.keys)
    ]
    made_from = provenance and with_inputs(
        provenance, [read_provenance(Path(screen_dir) / "spots.csv")]
    )
    said = methods.screen_methods(config, made_from)
    doses = zip(screen.spots["concentration"], screen.spots["unit"], strict=True)
    listed = screen.spots.assign(dose=[words.dose(*pair) for pair in doses])
    write_page(
        Path(out),
        "screen.html.j2",
        charts,
        provenance=made_from,
        data={
            "maps": [
                {"charts": part["maps"], "columns": part["columns"], "titled": True}
                for part in parts
            ],
            "links": dict(slide_reports),
        },
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
        left_out=left_out.left_out(listed, slide_reports, "left_out.csv"),
        flagged=left_out.flagged(listed, slide_reports, "flagged.csv"),
        flag_counts=_curve_flags(screen.fits),
        spots_link=tables.csv_link(screen.spots),
        quality_link=tables.csv_link(screen.quality),
        methods=said,
        references=references.cited(said),
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
    order = _agent_order(own)
    ranges = {name: doses for name in order if (doses := _dose_range(_tested(own, name)))}
    plates, columns = _plates(charts, own, measure, links)
    usable = own.spots[own.spots["normalised"].notna()]
    share = metric in ("viability", "viability_stained") or metric.startswith("share(")
    called = summary.metric_called(metric)
    return {
        "measure": measure,
        "short": summary.screen_in_short(own.fits, order, ranges),
        "ranking": _ranking(charts, own, screen.groups, ranges),
        "control_chart": slide_quality.controls(
            charts, usable, called, share, f"controls_{len(charts.specs)}.csv"
        ),
        "columns": columns,
        "maps": [plate["chart"].name for plate in plates],
        "groups": [group for group in _legend(screen.groups) if group["key"] in drawn],
        "controls": bool(own.spots["role"].isin(["neg_ctrl", "pos_ctrl"]).any()),
        "forests": _forests(charts, own, screen.groups),
        "agents": _agents(charts, own, screen.groups, measure),
        "ranked": _ranked(own),
        "rising": bool((own.fits["hill"] < 0).any()),
        "plates": plates,
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
            made.append(Agent(name, None, lines))
            continue
        kept = part[part["normalised"].notna()]
        curves = screen.curves[screen.curves["agent"] == name]
        halves = [
            _half(row, doses, values, index)
            for index, row in enumerate(fits)
            if not words.missing(row["ec50"]) or row["in_range"] in _ARROWS
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
        file = f"agent_{len(made) + 1}.csv"
        behind = _numbers(kept, unit, f"Dose response of {name}", file)
        made.append(
            Agent(name, charts.add(spec, f"Dose response of {name}. {said}.", behind), lines)
        )
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


_ARROWS = {">max": "▶", "<min": "◀"}


def _half(
    row: Mapping[Any, Any], doses: tuple[float, float], values: tuple[float, float], index: int
) -> dict[str, Any]:
    """Mark of an EC50 below the curves: with its interval, or an arrow where the doses end."""
    arrow = _ARROWS.get(row["in_range"], "")
    at = row["ec50"] if not arrow else doses[1] if arrow == "▶" else doses[0]
    return {
        "group": row["group"],
        "ec50": at,
        "low": doses[0] if words.missing(row["ec50_low"]) else row["ec50_low"],
        "high": doses[1] if words.missing(row["ec50_high"]) else row["ec50_high"],
        "y": values[0] + (0.04 + 0.05 * index) * (values[1] - values[0]),
        "words": " ".join(filter(None, words.ec50_words(row, *doses))),
        "arrow": arrow,
    }


def _numbers(spots: pd.DataFrame, unit: str, caption: str, file: str) -> tables.Behind:
    """Median and range of each group and dose."""
    by = spots.groupby(["group", "concentration"], sort=True)["normalised"]
    table = by.agg(["size", "median", "min", "max"]).reset_index()
    table["unit"] = words.unit(unit)
    columns = [
        Column("group", "Group", lambda group: group or words.NOTHING),
        Column("concentration", "Dose", words.plain),
        Column("unit", "Unit"),
        Column("size", "Spots", words.count),
        *(Column(name, name.capitalize(), _tenth) for name in ("median", "min", "max")),
    ]
    return tables.behind(table, columns, caption=caption, file=file)


def _tenth(value: Any) -> str:
    return words.fixed(value, 1)


def _tested(screen: Screen, agent: str) -> pd.DataFrame:
    """Spots of the curves of an agent."""
    samples = _samples(screen)
    return samples[samples["agent"] == agent]


def _ranking(
    charts: Charts,
    screen: Screen,
    groups: Sequence[str],
    doses: Mapping[str, tuple[float, float]],
) -> Chart | None:
    """Agents by their drug sensitivity score; None where there are none to compare."""
    fits = screen.fits[screen.fits["dss"].notna()]
    order = [name for name in _agent_order(screen) if name in set(fits["agent"])]
    if len(order) < 2:
        return None
    place = {name: index + 1 for index, name in enumerate(order)}
    table = fits.assign(
        rank=fits["agent"].map(place),
        words=[
            " ".join(filter(None, words.ec50_words(row, *doses.get(row["agent"], (None, None)))))
            for row in fits.to_dict("records")
        ],
    ).sort_values(["rank", "group"], kind="stable")
    drawn = charts.data(table[["agent", "group", "dss", "words"]])
    spec = quality_plots.ranking(drawn, order, *plots.group_channels(groups))
    columns = [
        Column("rank", "Rank", words.count),
        Column("agent", "Agent"),
        Column("group", "Group"),
        Column("dss", "Score", _tenth),
        Column("auc", "AUC", words.number),
        Column("words", "EC50"),
    ]
    behind = tables.behind(table, columns, caption="Ranking of agents", file="ranking.csv")
    said = "; ".join(f"{place[name]}. {name}" for name in order[:40])
    return charts.add(spec, f"Agents by drug sensitivity score, strongest first: {said}.", behind)


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
            arrow = _ARROWS.get(row["in_range"], "")
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
        table = pd.DataFrame(rows)
        columns = [Column("agent", "Agent"), Column("group", "Group"), Column("words", "EC50")]
        name = f"ec50_{len(charts.specs)}.csv"
        behind = tables.behind(table, columns, caption="EC50 of each agent and group", file=name)
        made.append(charts.add(spec, f"EC50 of each agent and group. {said}.", behind))
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


def _map_columns(screen: Screen, measure: Mapping[str, str]) -> list[plots.MapColumn]:
    """What the plate maps may show, on one scale for all slides; the screened number first."""
    spots = screen.spots
    values = spots["normalised"].dropna().astype(float)
    low, high = float(values.quantile(0.01)), float(values.quantile(0.99))
    domain = (low, high) if measure["how"] == "none" else (min(0.0, low), max(100.0, high))
    shown = [_number_column("normalised", measure["label"], domain)]
    for name, title in (
        ("measured", f"{measure['metric']}, as measured"),
        ("n", "Cells or objects it rests on"),
        ("factor", "Factor taken off for a gradient"),
    ):
        known = spots[name].dropna().astype(float) if name in spots else values[:0]
        if len(known) and known.min() < known.max():
            shown.append(_number_column(name, title, (float(known.min()), float(known.max()))))
    doses = _dose_range(spots)
    if doses:
        shown.append(plots.MapColumn("concentration", "Dose", "log", doses, format="~g"))
    for name, title in (("agent", "Agent"), ("role", "Role"), ("replicate", "Replicate")):
        names = sorted({words.text(v) for v in spots[name]} - {""}, key=words.natural)
        if name == "role":
            names = [words.ROLES.get(role, role) for role in names]
        if len(names) > 1:
            shown.append(plots.MapColumn(name, title, "names", names=names))
    return shown


def _number_column(field: str, title: str, domain: tuple[float, float]) -> plots.MapColumn:
    if domain[0] >= domain[1]:
        domain = (domain[0], domain[0] + 1)
    return plots.MapColumn(field, title, domain=domain, format=plots.axis_format(domain))


def _plates(
    charts: Charts,
    screen: Screen,
    measure: Mapping[str, str],
    links: Mapping[str, str],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The screened number over each slide, all on one scale; what may be shown in its place."""
    spots = screen.spots
    if spots["normalised"].isna().all():
        return [], []
    columns = _map_columns(screen, measure)
    sizes = [_size(spots[spots["slide"] == slide]) for slide in screen.slides]
    # Layers are shared by all slides; the size of a cell is that of the largest one.
    step = min(plots.plate_step(*size, 470, 400, 26) for size in sizes)
    widest = max(cols for _, cols in sizes)
    choice = [
        {
            "title": column.title,
            "note": f"Shown: {column.title}, all slides on one scale.",
            "layers": plots.map_layers(column, step, widest),
        }
        for column in columns
    ]
    made = []
    for slide, (rows, cols) in zip(screen.slides, sizes, strict=True):
        part = spots[spots["slide"] == slide]
        spec = plots.plate_map(
            charts.data(_mapped(part)),
            rows,
            cols,
            column=columns[0],
            title=slide,
            step=step,
            tooltip=_map_tips(measure),
        )
        known = part["normalised"].dropna()
        alt = f"Plate map of {slide}: {rows} rows, {cols} columns, {len(known)} spots with a value."
        caption = f"{measure['label']} on {slide}"
        behind = tables.plate(part, list(part["normalised"]), _tenth, caption, f"{slide}_map.csv")
        made.append(
            {
                "slide": slide,
                "group": next(iter(part["group"]), ""),
                "link": links.get(slide, ""),
                "chart": charts.add(spec, alt, behind),
            }
        )
    return made, choice


def _size(spots: pd.DataFrame) -> tuple[int, int]:
    """Rows and columns of a slide."""
    return max(row_index(row) for row in spots["row"]) + 1, int(spots["col"].max())


def _mapped(spots: pd.DataFrame) -> pd.DataFrame:
    """Spots of a slide as its plate map has them."""
    flags = [words.flag_words(value) for value in spots["flags"]]
    doses = zip(spots["concentration"], spots["unit"], strict=True)
    names = ("slide", "spot", "row", "col", "normalised", "measured", "n", "factor",
             "concentration")  # fmt: skip
    data = spots[[name for name in names if name in spots]].assign(
        dose=[words.dose(*pair) for pair in doses],
        flags=[", ".join(value) for value in flags],
        mark=["missing" if "not_found" in f else "flag" if f else "" for f in flags],
        sign=[{"neg_ctrl": "−", "pos_ctrl": "+"}.get(r, "") for r in spots["role"]],
    )
    for name in ("agent", "role", "replicate"):
        texts = [words.text(value) for value in spots[name]]
        if name == "role":
            texts = [words.ROLES.get(role, role) for role in texts]
        data[name] = pd.Series([text or None for text in texts], index=data.index, dtype=object)
    return data


def _map_tips(measure: Mapping[str, str]) -> list[dict[str, str]]:
    """What is told of a spot on hover."""
    names = [("agent", "Agent"), ("dose", "Dose"), ("role", "Role")]
    numbers = [
        ("normalised", measure["short"], ".4~g"),
        ("measured", f"{measure['metric']}, as measured", ".4~g"),
        ("n", "cells or objects", ",.0f"),
    ]
    return [
        *({"field": f, "type": "nominal", "title": t} for f, t in names),
        *({"field": f, "type": "quantitative", "title": t, "format": k} for f, t, k in numbers),
        {"field": "flags", "type": "nominal", "title": "Flags"},
    ]


_MAIN_QUALITY = ("z_prime", "robust_z_prime", "ssmd", "n_neg_ctrl", "n_pos_ctrl", "edge_effect",
                 "morans_p", "correction", "replicate_icc", "n_out_of_focus", "n_unregistered",
                 "grid_confidence")  # fmt: skip
# They say something of a slide whatever is on it.
_OF_IMAGES = ("n_out_of_focus", "n_unregistered", "grid_confidence")


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
            if tone == "good":
                reading = ""  # the mark says it; words are for what needs a look
            if slide not in dosed and name not in _OF_IMAGES:
                why = "before treatment" if slide in before else "no doses on this slide"
                tone, reading = "plain", why
            cells.append(
                {"value": words.quality_value(name, value), "tone": tone, "reading": reading}
            )
        rows.append({"slide": slide, "cells": cells})
    shown = [words.quality_name(name) for name in main]
    return {
        "short": summary.slides_in_short(shown, rows),
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

"""Charts of a slide: maps of its numbers over the plate, cell states, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from gridwell.config.columns import COLUMNS
from gridwell.config.models import Config
from gridwell.report import plots, tables, words
from gridwell.report.page import Chart, Charts
from gridwell.report.tables import Column


@dataclass(frozen=True)
class Measure:
    """A number of a spot that is mapped over the plate."""

    name: str
    title: str
    note: str
    share: bool = False
    scheme: str = "viridis"


@dataclass(frozen=True)
class Map:
    """A plate map; the first one of a slide shows any column that a person picks."""

    name: str
    chart: Chart
    note: str


def measures_of(
    assay: str, spots: pd.DataFrame, config: Config | None, screened: str
) -> list[Measure]:
    """Numbers that are mapped, the screened one first; only those that the slide has."""
    if assay == "viability":
        known = [
            Measure(
                "viability",
                "Viability: live of all nuclei",
                "The published definition. Nuclei with neither stain count as not live.",
                share=True,
            ),
            Measure(
                "viability_stained",
                "Viability: live of stained cells",
                "Live / (live + dying + dead). Missed or extra nuclei do not bias it.",
                share=True,
            ),
            Measure("n_nuclei", "Nuclei", "Nuclei counted in each spot.", scheme="cividis"),
            Measure(
                "n_dying",
                "Dying cells",
                "Cells with the live and the dead stain at once.",
                scheme="cividis",
            ),
            Measure(
                "sharpness",
                "Focus: sharpness of the nuclei",
                "Low where the image is out of focus.",
                scheme="cividis",
            ),
        ]
    elif assay == "colorimetry":
        unit = config.colour.unit if config else ""
        metric = f" ({spots['method'].iloc[0]})" if "method" in spots and len(spots) else ""
        known = [
            Measure(
                "swatch",
                "Measured colour",
                "The colour of the inside of each spot, against the background as white.",
            ),
            Measure(
                "value",
                f"Value{f' ({unit})' if unit else ''}",
                f"Computed from the colour{metric}, on the scale of the calibration spots if any.",
            ),
        ]
    else:
        known = [
            Measure(
                name, f"Objects in {name[2:]}", "Objects counted in each spot.", scheme="cividis"
            )
            for name in spots.columns
            if name.startswith("n_")
        ]
    if screened:
        known.insert(0, Measure(screened, screened, "The number that this study screens."))
    return [m for m in known if m.name in spots.columns or m.name == "swatch"]


def _marks(spots: pd.DataFrame) -> tuple[list[str], list[str]]:
    marks = []
    for found, flags in zip(spots["found"], spots["flags"], strict=True):
        marks.append("missing" if not found else "flag" if flags else "")
    signs = [{"neg_ctrl": "−", "pos_ctrl": "+"}.get(role, "") for role in spots["role"]]
    return marks, signs


def swatches(spots: pd.DataFrame) -> list[str | None]:
    """Colours of spots as hex, from their red, green and blue (0..255)."""
    return [
        None
        if any(words.missing(part) for part in rgb)
        else "#" + "".join(f"{min(255, max(0, round(part))):02x}" for part in rgb)
        for rgb in spots[["red", "green", "blue"]].itertuples(index=False, name=None)
    ]


@dataclass(frozen=True)
class Maps:
    """Plate maps of a slide.

    Attributes
    ----------
    shown
        Maps of the numbers that matter.
    columns
        What the first map may show instead, in the order of the choice: for the page.
    """

    shown: Sequence[Map]
    columns: Sequence[dict[str, Any]]


def plate_maps(
    charts: Charts,
    spots: pd.DataFrame,
    measures: Sequence[Measure],
    size: tuple[int, int],
    slide: str,
) -> Maps:
    """Map each measure over `size` (rows, cols), and every other column on demand.

    All maps share one table.
    """
    rows, cols = size
    marks, signs = _marks(spots)
    names = [measure.name for measure in measures]
    others = [
        Measure(name, _title(name), _meaning(name), share=name.startswith("viability"))
        for name in spots.columns
        if name not in (*names, *_NOT_MAPPED) and _mappable(spots[name])
    ]
    mapped = [*measures, *others]
    columns: dict[str, Any] = {
        "spot": spots["spot"],
        "row": spots["row"],
        "col": spots["col"],
        "mark": marks,
        "sign": signs,
        "agent": spots["agent"],
        "dose": spots["dose"],
        "role": [words.ROLES.get(role, role) if role != "sample" else "" for role in spots["role"]],
        "flags": [", ".join(words.flag_words(flags)) for flags in spots["flags"]],
    }
    for index, measure in enumerate(mapped):
        columns[f"m{index}"] = _values(spots, measure.name)
    table = pd.DataFrame(columns)
    data = charts.data(table)
    small = plots.plate_step(rows, cols, 470, 440, 28)
    large = plots.plate_step(rows, cols, 1040, 560, 34)
    tips = _tips(mapped, len(measures))
    made, choice = [], []
    for index, measure in enumerate(mapped):
        column = _column(f"m{index}", measure, table[f"m{index}"])
        step = large if index == 0 else small
        layers = plots.map_layers(column, large, cols)
        choice.append({"title": measure.title, "note": measure.note, "layers": layers})
        if index >= len(measures):
            continue
        spec = plots.plate_map(data, rows, cols, column=column, step=step, tooltip=tips)
        values = table[f"m{index}"]
        summary = _summary(values, measure)
        alt = f"Plate map, {measure.title}: {rows} rows, {cols} columns. {summary}"
        show = words.percent if measure.share else words.plain
        if measure.name == "swatch":
            show = words.text
        file = f"{slide}_{measure.name if measure.name.isidentifier() else 'map'}.csv"
        behind = tables.plate(spots, list(values), show, measure.title, file)
        made.append(Map(measure.name, charts.add(spec, alt, behind), measure.note))
    return Maps(made, choice)


_MOST_COUNTS = 7  # that are told on hover
_NOT_MAPPED = ("spot", "row", "col", "x", "y", "flags", "unit", "dose", "found", "red", "green",
               "blue")  # fmt: skip


def _values(spots: pd.DataFrame, name: str) -> Any:
    """What is mapped of a column: nothing where there is no spot, for a count of 0 there is no
    measurement; what was put there is known all the same.
    """
    if name == "swatch":
        return pd.Series(swatches(spots.where(spots["found"])), index=spots.index)
    if name == "replicate" or not pd.api.types.is_numeric_dtype(spots[name]):
        said = [words.text(value) for value in spots[name]]
        if name == "role":
            said = [words.ROLES.get(role, role) for role in said]
        return pd.Series([text or None for text in said], index=spots.index)
    if name in ("concentration", "known", "score"):
        return spots[name]
    return spots[name].where(spots["found"])


def _mappable(values: pd.Series) -> bool:
    """Numbers that differ, and names that do."""
    known = [words.text(value) for value in values if words.text(value)]
    return len(set(known)) > 1


def _title(name: str) -> str:
    titles = {
        "score": "Grid: how well the image supports a spot here",
        "concentration": "Dose",
        "known": "Known value",
        "metric": "Number of the colour",
    }
    return titles.get(name, _count_label(name).capitalize() if name.startswith("n_") else
                      name.replace("_", " ").capitalize())  # fmt: skip


def _meaning(name: str) -> str:
    """What a column means, from its documentation."""
    for table in ("spots.csv (viability)", "spots.csv (colorimetry)", "grid.csv"):
        if name in COLUMNS[table]:
            return COLUMNS[table][name]
    return ""


def _column(field: str, measure: Measure, values: pd.Series) -> plots.MapColumn:
    """How a column is coloured."""
    if measure.name == "swatch":
        return plots.MapColumn(field, measure.title, "colour")
    if not pd.api.types.is_numeric_dtype(values):
        names = sorted({words.text(value) for value in values} - {""}, key=words.natural)
        return plots.MapColumn(field, measure.title, "names", names=names)
    known = values.dropna().astype(float)
    if measure.name == "concentration" and len(known) and known.min() > 0:
        domain = (float(known.min()), float(known.max()))
        return plots.MapColumn(field, measure.title, "log", domain, format="~g")
    return plots.MapColumn(
        field,
        measure.title,
        domain=_domain(values, measure.share),
        scheme=measure.scheme,
        format=".0%" if measure.share else plots.axis_format(values),
    )


def _tips(mapped: Sequence[Measure], most: int) -> list[dict[str, Any]]:
    """What is told of a spot on hover: what was put there, what is mapped, counts, flags."""
    tips: list[dict[str, Any]] = [
        {"field": "agent", "type": "nominal", "title": "Agent"},
        {"field": "dose", "type": "nominal", "title": "Dose"},
        {"field": "role", "type": "nominal", "title": "Role"},
    ]
    told = 0
    for index, measure in enumerate(mapped):
        counts = measure.name.startswith("n_")
        told += counts
        if (counts and told > _MOST_COUNTS) or (index >= most and not counts):
            continue
        if measure.name in ("swatch", "sharpness"):
            continue
        form = ".1%" if measure.share else ",.0f" if counts else ".4~g"
        tips.append(
            {
                "field": f"m{index}",
                "type": "quantitative",
                "title": measure.title if not counts else _count_label(measure.name),
                "format": form,
            }
        )
    return [*tips, {"field": "flags", "type": "nominal", "title": "Flags"}]


def _domain(values: pd.Series, share: bool) -> tuple[float, float]:
    known = values.dropna().astype(float)
    if share or known.empty:
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    low = min(0.0, low) if low < high / 3 else low
    return (low, high) if high > low else (low, low + 1)


def _summary(values: pd.Series, measure: Measure) -> str:
    if measure.name == "swatch":
        return "Each spot is drawn in its measured colour."
    known = values.dropna().astype(float)
    if known.empty:
        return "No spot has a value."
    show = words.percent if measure.share else words.plain
    return (
        f"From {show(known.min())} to {show(known.max())}, median {show(known.median())}, "
        f"{len(known)} spots with a value."
    )


def _count_label(name: str) -> str:
    return name[2:].replace("_", " ")


def compositions(charts: Charts, spots: pd.DataFrame, slide: str) -> list[Chart]:
    """Shares of the states over the doses of each agent, controls beside them."""
    states = [state for state in plots.STATE_COLOURS if f"n_{state}" in spots.columns]
    if not states:
        return []
    spots = spots[spots["found"]]
    controls: list[tuple[str, pd.DataFrame]] = []
    for role, name in (("neg_ctrl", "neg."), ("pos_ctrl", "pos.")):
        part = spots[spots["role"] == role]
        if len(part):
            controls.append((name, part))
    samples = spots[~spots["role"].isin(["neg_ctrl", "pos_ctrl", "excluded", "blank", "empty"])]
    charts_made = []
    groups: list[tuple[str, list[tuple[str, pd.DataFrame]]]] = []
    if (samples["agent"] != "").any():
        agents = {str(name): part for name, part in samples.groupby("agent") if name}
        for agent in sorted(agents, key=words.natural):
            part = agents[agent]
            ladder = part.sort_values("concentration", kind="stable")
            units = {words.unit(unit) for unit in ladder["unit"] if unit}
            unit = f" ({units.pop()})" if len(units) == 1 else ""
            steps = [
                (str(dose).removesuffix("\u202f" + unit[2:-1]) if unit else str(dose), rows)
                for dose, rows in ladder.groupby("dose", sort=False)
            ]
            groups.append((f"{agent}{unit}", steps))
        if controls:
            groups.insert(0, ("Controls", controls))
    else:
        groups.append(
            ("By row", [(str(row), part) for row, part in samples.groupby("row", sort=False)])
        )
    for name, steps in groups:
        rows: list[dict[str, Any]] = []
        for label, part in steps:
            totals = [float(part[f"n_{state}"].sum()) for state in states]
            cells = sum(totals)
            for order, (state, count) in enumerate(zip(states, totals, strict=True)):
                share = count / cells if cells else None
                rows.append(
                    {"label": label, "state": state, "order": order, "share": share, "count": count}
                )
        labels = list(dict.fromkeys(row["label"] for row in rows))
        live = [row for row in rows if row["state"] == "live"]
        alt = f"Cell states, {name}: share of live cells " + ", ".join(
            f"{row['label']} {words.percent(row['share'])}" for row in live
        )
        spec = plots.composition(charts.data(rows), labels, title=name)
        counted = {(row["label"], row["state"]): row["count"] for row in rows}
        table = pd.DataFrame(
            [{"label": label} | {s: counted[label, s] for s in states} for label in labels]
        )
        columns = [Column("label", "Dose"), *(Column(s, s, words.count) for s in states)]
        caption = f"Cells by state, {name}"
        behind = tables.behind(table, columns, caption=caption, file=f"{slide}_states.csv")
        charts_made.append(charts.add(spec, alt, behind))
    return charts_made


def calibration(
    charts: Charts, spots: pd.DataFrame, config: Config | None, slide: str
) -> Chart | None:
    """Numbers computed from the colour of calibration spots over their known values."""
    if "known" not in spots:
        return None
    part = spots[spots["known"].notna() & spots["metric"].notna()]
    if len(part) < 2:
        return None
    table = pd.DataFrame(
        {
            "spot": part["spot"],
            "known": part["known"],
            "measured": part["metric"],
            "colour": swatches(part),
        }
    )
    unit = f", {config.colour.unit}" if config and config.colour.unit else ""
    metric = str(part["method"].iloc[0]) if "method" in part else "number of the colour"
    spec = plots.calibration(charts.data(table), metric=metric, known=f"known value{unit}")
    columns = [
        Column("spot", "Spot"),
        Column("known", "Known value", words.plain),
        Column("measured", "Number of the colour", words.number),
    ]
    file = f"{slide}_calibration.csv"
    behind = tables.behind(table, columns, caption="Calibration spots", file=file)
    alt = f"Number of the colour over the known value, {len(part)} spots."
    return charts.add(spec, alt, behind)

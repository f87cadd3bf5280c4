"""Charts of a slide: maps of its numbers over the plate, cell states, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from gridwell.config.models import Config
from gridwell.report import plots, words
from gridwell.report.page import Chart, Charts


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
    """A plate map with the same numbers as a table in the shape of the plate."""

    chart: Chart
    note: str
    grid: Sequence[tuple[str, Sequence[str]]]
    cols: Sequence[int]
    title: str


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
        ]
    elif assay == "colorimetry":
        unit = config.colour.unit if config else ""
        metric = f" ({config.colour.metric})" if config else ""
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


def plate_maps(
    charts: Charts,
    spots: pd.DataFrame,
    measures: Sequence[Measure],
    size: tuple[int, int],
) -> list[Map]:
    """Map each measure over `size` (rows, cols); all maps share one table."""
    rows, cols = size
    marks, signs = _marks(spots)
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
    shown = list(measures)
    for index, measure in enumerate(shown):
        if measure.name == "swatch":
            columns[f"m{index}"] = swatches(spots.where(spots["found"]))
        else:
            # A count of 0 where there is no spot is no measurement.
            columns[f"m{index}"] = spots[measure.name].where(spots["found"])
    counts = [name for name in spots.columns if name.startswith("n_")][:7]
    for index, name in enumerate(counts):
        columns[f"n{index}"] = spots[name]
    data = charts.data(pd.DataFrame(columns))
    tips: list[dict[str, Any]] = [
        {"field": "agent", "type": "nominal", "title": "Agent"},
        {"field": "dose", "type": "nominal", "title": "Dose"},
        {"field": "role", "type": "nominal", "title": "Role"},
    ]
    tips += [
        {
            "field": f"m{index}",
            "type": "quantitative",
            "title": measure.title,
            "format": ".1%" if measure.share else ".4~g",
        }
        for index, measure in enumerate(shown)
        if measure.name not in ("swatch", *counts)
    ]
    tips += [
        {
            "field": f"n{index}",
            "type": "quantitative",
            "title": _count_label(name),
            "format": ",.0f",
        }
        for index, name in enumerate(counts)
    ]
    tips.append({"field": "flags", "type": "nominal", "title": "Flags"})
    maps = []
    small = plots.plate_step(rows, cols, 470, 440, 28)
    large = plots.plate_step(rows, cols, 1000, 560, 34)
    for index, measure in enumerate(shown):
        step = large if index == 0 and (large > 1.5 * small or len(shown) == 1) else small
        colours = measure.name == "swatch"
        values = pd.Series(columns[f"m{index}"])
        spec = plots.plate_map(
            data,
            rows,
            cols,
            field=f"m{index}",
            title=measure.title,
            domain=None if colours else _domain(values, measure.share),
            step=step,
            scheme=measure.scheme,
            number_format=_axis_format(measure, values),
            tooltip=tips,
            colours=colours,
        )
        alt = (
            f"Plate map, {measure.title}: {rows} rows, {cols} columns. {_summary(values, measure)}"
        )
        show = words.percent if measure.share else words.plain
        cells = {
            (row, int(col)): words.text(value) if colours else show(value)
            for row, col, value in zip(spots["row"], spots["col"], values, strict=True)
        }
        letters = list(dict.fromkeys(spots["row"]))
        numbers = list(range(1, cols + 1))
        grid = [(row, [cells.get((row, col), words.NOTHING) for col in numbers]) for row in letters]
        maps.append(Map(charts.add(spec, alt), measure.note, grid, numbers, measure.title))
    return maps


def _axis_format(measure: Measure, values: pd.Series) -> str:
    if measure.name == "swatch":
        return ""
    return ".0%" if measure.share else plots.axis_format(values)


def _domain(values: pd.Series, share: bool) -> tuple[float, float]:
    if share:
        return 0.0, 1.0
    known = values.dropna().astype(float)
    if known.empty:
        return 0.0, 1.0
    low = (
        min(0.0, float(known.min())) if float(known.min()) < known.max() / 3 else float(known.min())
    )
    high = float(known.max())
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


def compositions(charts: Charts, spots: pd.DataFrame) -> list[Chart]:
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
        charts_made.append(charts.add(spec, alt))
    return charts_made


def calibration(charts: Charts, spots: pd.DataFrame, config: Config | None) -> Chart | None:
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
    metric = config.colour.metric if config else "number of the colour"
    spec = plots.calibration(charts.data(table), metric=metric, known=f"known value{unit}")
    return charts.add(spec, f"Number of the colour over the known value, {len(part)} spots.")

"""The report of one slide: can its numbers be trusted, and what do they say?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from gridwell.config.columns import COLUMNS
from gridwell.config.metric import parse_metric
from gridwell.config.models import Config, ReportOptions, Slide
from gridwell.report import images, methods, plots, tables, words
from gridwell.report.page import Chart, Charts, write_page
from gridwell.report.tables import Column
from gridwell.screen.measured import measure_metric


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


def report_slide(
    slide: Slide,
    *,
    study: str,
    grid_json: Path,
    grid_csv: Path,
    grid_png: Path,
    spots_csv: Path,
    spots_zarr: Path,
    labels: Mapping[str, Path],
    instances: Mapping[str, Path],
    layout: pd.DataFrame | None,
    out: Path,
    options: ReportOptions,
    shifts_json: Path | None = None,
    slide_json: Path | None = None,
    config: Config | None = None,
) -> None:
    """Write the report of one slide as one HTML file that needs nothing beside it.

    Parameters
    ----------
    slide
        The slide's row of the sample sheet.
    study
        Title of the study.
    grid_json, grid_csv, grid_png
        What grid detection found; grid_csv has one row for every position.
    spots_csv
        Numbers of the spots.
    spots_zarr
        Stacks of the spots, for their pictures.
    labels, instances
        Label stacks and tables of objects by channel.
    layout
        Layout of the slide, or None.
    out
        The HTML file.
    options
        How many spots to show.
    shifts_json
        Shifts between channels (viability), if estimated.
    slide_json
        Facts of the raw files, for the list of sources.
    config
        Configuration of the study, for the methods and the list of options.
    """
    assay = str(slide.assay)
    grid = json.loads(Path(grid_json).read_text(encoding="utf-8"))
    stack = images.Stack(Path(spots_zarr))
    spots = _spots(Path(grid_csv), Path(spots_csv), layout)
    spots, screened = _screened(spots, slide, config, instances, stack)
    charts = Charts()
    picture, width, height = images.grid_picture(Path(grid_png))
    rows = int(grid.get("rows") or 0)
    cols = int(grid.get("cols") or 0)
    measures = _measures(assay, spots, config, screened)
    raw = _read_json(slide_json)
    write_page(
        Path(out),
        "slide.html.j2",
        charts,
        slide=slide.slide,
        study=study,
        assay=assay,
        group=words.text(slide.group),
        status=words.grid_status(grid),
        grid=_grid_facts(grid, spots),
        cards=_cards(assay, spots),
        maps=_maps(charts, spots, measures, (rows, cols)) if rows and cols else [],
        compositions=_compositions(charts, spots) if assay == "viability" else [],
        states=words.STATES,
        calibration=_calibration(charts, spots, config) if assay == "colorimetry" else None,
        grid_image={"src": picture, "width": width, "height": height},
        gallery=_gallery(spots, stack, labels, assay, options.max_spots),
        stains=_stains(stack, labels),
        controls=bool(spots["role"].isin(["neg_ctrl", "pos_ctrl"]).any()),
        flagged=_flagged(spots),
        flag_counts=_flag_counts(spots),
        table=_table(spots, assay, slide.slide),
        help=_help(spots, assay),
        objects=_objects(instances),
        shifts=_shifts(_read_json(shifts_json)),
        methods=methods.slide_methods(assay, config),
        options=methods.options_used(config, assay),
        sources=raw.get("files", []),
        pixel_size=raw.get("pixel_size_um"),
    )


def _read_json(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    facts: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return facts


def _spots(grid_csv: Path, spots_csv: Path, layout: pd.DataFrame | None) -> pd.DataFrame:
    """Join every grid position with its numbers and with what was put there."""
    texts = ("slide", "spot", "row", "flags")
    grid = tables.read_csv(grid_csv, texts)[["spot", "row", "col", "found", "score", "flags"]]
    grid["found"] = grid["found"].astype(bool)
    grid = grid.rename(columns={"flags": "grid_flags"})
    spots = tables.read_csv(spots_csv, texts).drop(columns=["slide", "row", "col"])
    joined = grid.merge(spots, on="spot", how="left", validate="one_to_one")
    joined["flags"] = [
        ";".join(sorted({*words.flag_words(a), *words.flag_words(b)}))
        for a, b in zip(joined["grid_flags"], joined["flags"], strict=True)
    ]
    joined = joined.drop(columns="grid_flags")
    content = _contents(layout)
    if content is not None:
        joined = joined.merge(content, on="spot", how="left")
    else:
        joined = joined.assign(agent="", dose="", concentration=float("nan"), role="")
    for name in ("agent", "dose", "role", "unit"):
        if name in joined:
            joined[name] = joined[name].map(words.text)
    return joined


def _contents(layout: pd.DataFrame | None) -> pd.DataFrame | None:
    """One row a spot from a layout with one row a spot and agent."""
    if layout is None or layout.empty:
        return None
    rows = []
    for spot, part in layout.groupby("spot", sort=False):
        named = [row for row in part.to_dict("records") if words.text(row.get("agent"))]
        first = named[0] if named else part.iloc[0].to_dict()
        rows.append(
            {
                "spot": spot,
                "agent": " + ".join(words.text(row["agent"]) for row in named),
                "dose": " + ".join(
                    filter(None, (words.dose(r["concentration"], r.get("unit")) for r in named))
                ),
                "concentration": first.get("concentration"),
                "unit": words.text(first.get("unit")),
                "role": words.text(first.get("role")) or "sample",
                "replicate": words.text(first.get("replicate")),
                "known": first.get("value"),
                "sample": words.text(first.get("sample")),
            }
        )
    content = pd.DataFrame(rows)
    empty = [
        name
        for name in ("replicate", "known", "sample")
        if all(words.text(value) == "" for value in content[name])
    ]
    return content.drop(columns=empty)


def _screened(
    spots: pd.DataFrame,
    slide: Slide,
    config: Config | None,
    instances: Mapping[str, Path],
    stack: images.Stack,
) -> tuple[pd.DataFrame, str]:
    """Add the number that the study screens, where it is not yet a column; its name, or none."""
    if config is None or config.screen.metric == "auto":
        return spots, ""
    roles = {channel["channel"]: channel["role"] for channel in stack.channels}
    metric = parse_metric(config.screen.metric)
    measured = measure_metric(metric, spots, slide.assay, instances, roles)
    if measured is None or measured.name in spots:
        return spots, ""
    return spots.assign(**{measured.name: measured.value}), measured.name


def _measures(
    assay: str, spots: pd.DataFrame, config: Config | None, screened: str
) -> list[Measure]:
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


def _maps(
    charts: Charts,
    spots: pd.DataFrame,
    measures: Sequence[Measure],
    size: tuple[int, int],
) -> list[Map]:
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


def _cards(assay: str, spots: pd.DataFrame) -> list[dict[str, str]]:
    found = int(spots["found"].sum())
    flagged = int(((spots["flags"] != "") & spots["found"]).sum())
    cards = [
        {
            "value": f"{found}",
            "label": "spots found",
            "note": f"of {len(spots)} grid positions" if len(spots) else "",
        }
    ]
    if assay == "viability" and "viability" in spots:
        cards.append(
            {
                "value": words.count(spots["n_nuclei"].sum()),
                "label": "nuclei counted",
                "note": f"median {words.plain(spots['n_nuclei'].median())} a spot",
            }
        )
        cards += _control_cards(spots, "viability", "viability", True)
    elif assay == "colorimetry" and "value" in spots:
        cards += _control_cards(spots, "value", "value", False)
    else:
        for name in [n for n in spots.columns if n.startswith("n_")][:3]:
            cards.append(
                {
                    "value": words.count(spots[name].sum()),
                    "label": f"objects in {name[2:]}",
                    "note": f"median {words.plain(spots[name].median())} a spot",
                }
            )
    cards.append(
        {
            "value": f"{flagged}",
            "label": "flagged spots",
            "note": "listed below with reasons" if flagged else "nothing to look into",
        }
    )
    return cards


def _control_cards(
    spots: pd.DataFrame, column: str, label: str, share: bool
) -> list[dict[str, str]]:
    show = words.percent if share else words.number
    cards = []
    for role, name in (("neg_ctrl", "negative"), ("pos_ctrl", "positive")):
        values = spots.loc[spots["role"] == role, column].dropna()
        if len(values):
            low, high = values.quantile(0.25), values.quantile(0.75)
            cards.append(
                {
                    "value": show(values.median()),
                    "label": f"{label}, {name} controls",
                    "note": f"median of {len(values)}; middle half {show(low)} to {show(high)}",
                }
            )
    if not cards:
        values = spots[column].dropna()
        cards.append(
            {
                "value": show(values.median()) if len(values) else words.NOTHING,
                "label": f"median {label}",
                "note": f"of {words.plural(len(values), 'spot')} with a value",
            }
        )
    return cards


def _compositions(charts: Charts, spots: pd.DataFrame) -> list[Chart]:
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


def _calibration(charts: Charts, spots: pd.DataFrame, config: Config | None) -> Chart | None:
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


def _gallery(
    spots: pd.DataFrame, stack: images.Stack, labels: Mapping[str, Path], assay: str, most: int
) -> list[dict[str, Any]]:
    value = {"viability": "viability", "colorimetry": "value"}.get(assay, "")
    if not value or value not in spots:
        value = next((name for name in spots.columns if name.startswith("n_")), "score")
    listed: list[dict[str, Any]] = [
        {
            "name": row["spot"],
            "found": bool(row["found"]),
            "flags": words.flag_words(row["flags"]),
            "role": row["role"],
            "agent": row["agent"],
            "concentration": row["concentration"],
            "value": row[value],
        }
        for row in spots.to_dict("records")
    ]
    picks = images.choose(listed, most)
    if not picks:
        return []
    position = {name: index for index, name in enumerate(stack.names)}
    picks = [pick for pick in picks if listed[pick]["name"] in position]
    limits = {channel: images.contrast(stack, channel) for channel in stack.colours()}
    opened = images.open_labels(labels)
    records = spots.to_dict("records")
    cards = []
    for pick in picks:
        spot, row = listed[pick], records[pick]
        picture = images.spot_picture(stack, position[spot["name"]], limits=limits, labels=opened)
        what = " · ".join(filter(None, (row["agent"], row["dose"])))
        cards.append(
            {
                "spot": spot["name"],
                "picture": picture,
                "what": what or words.ROLES.get(spot["role"], spot["role"]),
                "role": words.ROLES.get(spot["role"], "") if spot["role"] != "sample" else "",
                "numbers": _numbers(row, assay),
                "flags": spot["flags"],
            }
        )
    return cards


def _numbers(row: Mapping[Any, Any], assay: str) -> list[tuple[str, str]]:
    if assay == "viability":
        shown = [("viability", words.percent(row.get("viability")))]
        names = ("n_nuclei", "n_live", "n_dying", "n_dead", "n_inactive")
        return shown + [(n[2:], words.plain(row[n])) for n in names if n in row]
    if assay == "colorimetry":
        return [("value", words.number(row.get("value")))]
    return [(str(n)[2:], words.plain(v)) for n, v in row.items() if str(n).startswith("n_")]


def _stains(stack: images.Stack, labels: Mapping[str, Path]) -> list[dict[str, str]]:
    """Legend of the pictures: channels, their colours and whether they carry outlines."""
    if stack.rgb() is not None and not labels:
        return []
    return [
        {
            "name": channel,
            "colour": "#" + "".join(f"{round(255 * part):02x}" for part in colour),
            "outlined": "outlined" if channel in labels else "",
        }
        for channel, colour in stack.colours().items()
    ]


def _flagged(spots: pd.DataFrame) -> list[dict[str, Any]]:
    part = spots[spots["flags"] != ""]
    return [
        {
            "spot": row["spot"],
            "what": " · ".join(filter(None, (row["agent"], row["dose"]))),
            "flags": words.flag_words(row["flags"]),
        }
        for row in part.to_dict("records")
    ]


def _flag_counts(spots: pd.DataFrame) -> list[tuple[str, int, str]]:
    counts: dict[str, int] = {}
    for flags in spots["flags"]:
        for word in words.flag_words(flags):
            counts[word] = counts.get(word, 0) + 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [(word, count, words.flag_meaning(word)) for word, count in ordered]


_SHARES = ("viability", "viability_low", "viability_high", "viability_stained")
_SHOWN_FIRST = (
    "spot",
    "agent",
    "dose",
    "role",
    *_SHARES,
    "value",
    "value_low",
    "value_high",
)
_SHOWN_LAST = ("replicate", "sample", "known", "flags")
_NOT_SHOWN = ("row", "col", "x", "y", "concentration", "unit", "found", "score")
_HEADINGS = {
    "viability_low": "low",
    "viability_high": "high",
    "viability_stained": "of stained",
    "value_low": "low",
    "value_high": "high",
    "known": "Known value",
    "metric": "Number of the colour",
    "n_orphan_live": "Live, no nucleus",
    "n_orphan_dead": "Dead, no nucleus",
}


def _columns(spots: pd.DataFrame, assay: str) -> list[Column]:
    """Columns of the table of spots: what and where, the result, its parts, the rest."""
    help_of = COLUMNS[f"spots.csv ({assay})"]
    between = [
        str(name)
        for name in spots.columns
        if name not in (*_SHOWN_FIRST, *_SHOWN_LAST, *_NOT_SHOWN)
    ]
    columns = []
    for name in (*_SHOWN_FIRST, *between, *_SHOWN_LAST):
        if name not in spots.columns:
            continue
        if name in _SHARES:
            show: Any = words.percent
        elif pd.api.types.is_numeric_dtype(spots[name]):
            show = words.plain
        else:
            show = None
        columns.append(Column(name, _heading(name, assay), show, help_of.get(name, "")))
    return columns


def _heading(name: str, assay: str) -> str:
    if name in _HEADINGS:
        return _HEADINGS[name]
    if name.startswith("n_"):
        return name[2:].capitalize() if assay == "viability" else name[2:]
    return name.capitalize() if name.isidentifier() else name


def _has_content(spots: pd.DataFrame, name: str) -> bool:
    return any(words.text(value) != "" for value in spots[name])


def _table(spots: pd.DataFrame, assay: str, slide: str) -> tables.Table:
    shown = spots.drop(columns=[n for n in ("agent", "dose", "role") if not _has_content(spots, n)])
    shown = shown.assign(flags=[" ".join(words.flag_words(flags)) for flags in shown["flags"]])
    if "role" in shown:
        shown["role"] = [words.ROLES.get(role, role) for role in shown["role"]]
    download = spots.drop(columns="dose")
    download.insert(0, "slide", slide)
    return tables.build(
        shown,
        _columns(shown, assay),
        name="spots",
        caption=f"All spots of {slide}",
        key="spot",
        file=f"{slide}_spots.csv",
        download=download,
    )


def _help(spots: pd.DataFrame, assay: str) -> list[tuple[str, str]]:
    return [(column.label, column.help) for column in _columns(spots, assay) if column.help]


def _objects(instances: Mapping[str, Path]) -> list[dict[str, str]]:
    """Objects of each channel in a few numbers."""
    rows = []
    for channel, path in instances.items():
        table = pd.read_parquet(path, columns=["area", "mean", "edge"])
        if table.empty:
            rows.append(
                {
                    "channel": channel,
                    "count": "0",
                    "area": words.NOTHING,
                    "mean": words.NOTHING,
                    "edge": words.NOTHING,
                }
            )
            continue
        rows.append(
            {
                "channel": channel,
                "count": words.count(len(table)),
                "area": f"{words.plain(table['area'].median())} "
                f"({words.plain(table['area'].quantile(0.05))} to "
                f"{words.plain(table['area'].quantile(0.95))})",
                "mean": words.plain(table["mean"].median()),
                "edge": words.percent(table["edge"].astype(float).mean(), 1),
            }
        )
    return rows


def _shifts(shifts: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {
            "channel": str(role),
            "dx": words.fixed(shift.get("dx")),
            "dy": words.fixed(shift.get("dy")),
            "quality": words.fixed(shift.get("quality")),
        }
        for role, shift in shifts.items()
        if isinstance(shift, Mapping)
    ]


def _grid_facts(grid: Mapping[str, Any], spots: pd.DataFrame) -> dict[str, Any]:
    pitch = grid.get("pitch") or {}
    margins = {
        str(key): value
        for key, value in (grid.get("margins") or {}).items()
        if isinstance(value, int | float)
    }
    shown = [key for key in margins if not words.beyond_the_image(key, margins[key])]
    nearest = min(shown, key=lambda key: margins[key]) if shown else None
    orientation = grid.get("orientation")
    if isinstance(orientation, Mapping):
        known = [words.text(orientation.get(key)) for key in ("value", "source")]
        orientation = ", ".join(dict.fromkeys(word for word in known if word))
    return {
        "confidence": words.confidence(grid.get("confidence")),
        "facts": [
            ("Rows × columns", f"{grid.get('rows') or '?'} × {grid.get('cols') or '?'}"),
            ("Spots seen", f"{int(spots['found'].sum())} of {len(spots)}"),
            ("Pitch", f"{words.fixed(pitch.get('x'), 1)} × {words.fixed(pitch.get('y'), 1)} px"),
            ("Rotation", f"{words.fixed(grid.get('angle'), 2)}°"),
            ("Carrier", words.text(grid.get("carrier")) or "inferred"),
            ("Orientation", words.text(orientation) or "unknown"),
        ],
        "margins": [
            (words.margin_name(key), words.fixed(value, 1), words.odds(key, value))
            for key, value in sorted(margins.items(), key=lambda item: (item[1], item[0]))
        ],
        "nearest": nearest and (words.margin_name(nearest), words.odds(nearest, margins[nearest])),
    }

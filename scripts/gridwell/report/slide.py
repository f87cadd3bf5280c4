"""The report of one slide: can its numbers be trusted, and what do they say?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from gridwell.config.models import Config, ReportOptions, Slide
from gridwell.config.provenance import Provenance, read_provenance, with_inputs
from gridwell.config.spots import row_letters
from gridwell.images.spots import open_spots
from gridwell.report import (
    crops,
    images,
    left_out,
    methods,
    references,
    slide_quality,
    summary,
    tables,
    words,
)
from gridwell.report.gallery import gallery, stains
from gridwell.report.page import Chart, Charts, write_page
from gridwell.report.slide_charts import (
    Maps,
    calibration,
    compositions,
    measures_of,
    plate_maps,
)
from gridwell.report.slide_quality import judged
from gridwell.report.spot_table import column_help, spot_table
from gridwell.screen.slide import SlideResult

_BLOCKS_NAMED = 6


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
    cells_parquet: Path | None = None,
    slide_json: Path | None = None,
    config: Config | None = None,
    provenance: Provenance | None = None,
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
    cells_parquet
        Single cells (viability), for the picture of their stains.
    slide_json
        Facts of the raw files: the size of a pixel.
    config
        Configuration of the study, for the methods and the list of options.
    provenance
        Code and configuration that the report is made with; that of `spots_csv` is added.
    """
    assay = str(slide.assay)
    own = config or Config()
    grid = json.loads(Path(grid_json).read_text(encoding="utf-8"))
    stack = open_spots(spots_zarr)
    result = judged(
        slide,
        Path(spots_csv),
        Path(grid_json),
        layout=layout,
        instances=instances,
        stack=stack,
        config=own,
    )
    spots = _spots(Path(grid_csv), Path(spots_csv), layout)
    spots, screened = _screened(spots, result)
    charts = Charts()
    name = slide.slide
    size = (int(grid.get("rows") or 0), int(grid.get("cols") or 0))
    measures = measures_of(assay, spots, config, screened)
    maps = plate_maps(charts, spots, measures, size, name) if all(size) else Maps([], [])
    shifts = _read_json(shifts_json)
    tested = slide_quality.checks(grid, result, spots, shifts)
    listed = _listed(spots, result, name)
    here = {name: ""}
    picture, width, height = images.grid_picture(Path(grid_png))
    made_from = provenance and with_inputs(provenance, [read_provenance(Path(spots_csv))])
    said = methods.slide_methods(
        assay, config, made_from, [channel["channel"] for channel in stack.channels]
    )
    write_page(
        Path(out),
        "slide.html.j2",
        charts,
        provenance=made_from,
        crops=partial(crops.crops, stack, labels),
        data={
            "maps": [{"charts": ["c0"], "columns": maps.columns}] if maps.columns else [],
            "flags": _flag_meanings(spots),
        },
        slide=name,
        study=study,
        assay=assay,
        group=words.text(slide.group),
        status=words.grid_status(grid),
        short=summary.slide_in_short(result),
        grid=_grid_facts(grid, spots),
        cards=_cards(assay, spots),
        maps=[one for one in maps.shown if one.name != "sharpness"],
        columns=maps.columns,
        compositions=compositions(charts, spots, name) if assay == "viability" else [],
        states=words.STATES,
        calibration=calibration(charts, spots, config, name) if assay == "colorimetry" else None,
        checks=tested,
        worst=slide_quality.worst(tested),
        control_chart=_control_chart(charts, result, name),
        margins=slide_quality.margins(charts, grid, f"{name}_grid_margins.csv"),
        focus=next((one for one in maps.shown if one.name == "sharpness"), None),
        registration=slide_quality.registration(charts, spots, f"{name}_shifts.csv"),
        fusion=slide_quality.fusion(charts, cells_parquet, f"{name}_states.csv"),
        grid_image={"src": picture, "width": width, "height": height},
        grid_csv=tables.csv_link(tables.read_csv(Path(grid_csv), ("spot", "row", "flags"))),
        gallery=gallery(spots, stack, labels, assay, options.max_spots),
        stains=stains(stack, labels),
        controls=bool(spots["role"].isin(["neg_ctrl", "pos_ctrl"]).any()),
        left_out=left_out.left_out(listed, here, f"{name}_left_out.csv"),
        flagged=left_out.flagged(listed, here, f"{name}_flagged.csv"),
        table=spot_table(spots, assay, name),
        help=column_help(spots, assay),
        objects=_objects(instances),
        shifts=_shifts(shifts),
        methods=said,
        references=references.cited(said),
        options=methods.options_used(config, assay),
        pixel_size=_read_json(slide_json).get("pixel_size_um"),
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


def _screened(spots: pd.DataFrame, result: SlideResult | None) -> tuple[pd.DataFrame, str]:
    """Add the number that the study screens, where it is not yet a column; its name, or none."""
    if result is None or result.measured.name in spots:
        return spots, ""
    name = result.measured.name
    own = result.spots.set_index("spot")["measured"]
    return spots.assign(**{name: spots["spot"].map(own)}), name


def _listed(spots: pd.DataFrame, result: SlideResult | None, slide: str) -> pd.DataFrame:
    """Spots as they are told apart into used, flagged and left out."""
    if result is None:
        return spots.assign(slide=slide, measured=float("nan"))
    own = result.spots.set_index("spot")
    flags = [
        ";".join(sorted({*words.flag_words(a), *words.flag_words(b)}))
        for a, b in zip(spots["flags"], spots["spot"].map(own["flags"]), strict=True)
    ]
    return spots.assign(slide=slide, measured=spots["spot"].map(own["measured"]), flags=flags)


def _flag_meanings(spots: pd.DataFrame) -> dict[str, str]:
    """What the flags of this slide mean, by word."""
    found = sorted({word for flags in spots["flags"] for word in words.flag_words(flags)})
    return {word: words.flag_meaning(word) for word in found}


def _control_chart(charts: Charts, result: SlideResult | None, slide: str) -> Chart | None:
    if result is None:
        return None
    used = result.spots[result.spots["used"]]
    share = result.measured.kind == "fraction"
    called = summary.metric_called(result.measured.name)
    return slide_quality.controls(charts, used, called, share, f"{slide}_controls.csv")


def _cards(assay: str, spots: pd.DataFrame) -> list[dict[str, str]]:
    found = int(spots["found"].sum())
    flagged = int((spots["flags"] != "").sum())
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


# What the states of cells rest on, by `calibration` in shifts.json.
_BASES = {
    "intensity+match": "intensity and match",
    "controls+match": "intensity of the controls, and match",
    "intensity": "intensity",
    "controls": "intensity of the controls",
    "match": "match (one class of cells only)",
}


def _shifts(shifts: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {
            "channel": str(role),
            "dx": words.fixed(shift.get("dx")),
            "dy": words.fixed(shift.get("dy")),
            "quality": words.fixed(shift.get("quality")),
            "wander": words.fixed(shift.get("wander")),
            "basis": _BASES.get(str(shift.get("calibration")), "nothing"),
            "bleed": words.percent(shift["bleed"], 1) if shift.get("bleed") else "",
        }
        for role, shift in shifts.items()
        if isinstance(shift, Mapping)
    ]


def _spacing(pitch: Mapping[str, Any], pixel: Any) -> str:
    """Spacing of columns and rows in pixels, and in micrometres where their size is known."""
    said = f"{words.fixed(pitch.get('x'), 1)} × {words.fixed(pitch.get('y'), 1)} px"
    if not isinstance(pixel, int | float) or not pitch:
        return said
    x, y = (words.fixed(pitch[axis] * pixel, 0) for axis in ("x", "y"))
    return f"{said}, {x} × {y} µm"


def _blocks(grid: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name the blocks of a grid that is parted by gaps."""
    blocks = grid.get("blocks") or []
    if len(blocks) < 2:
        return []
    named = [
        f"{row_letters(int(b['first_row']) - 1)}{int(b['first_col'])} to "
        f"{row_letters(int(b['last_row']) - 1)}{int(b['last_col'])}"
        for b in blocks
    ]
    shown = "; ".join(named[:_BLOCKS_NAMED]) + ("; …" if len(named) > _BLOCKS_NAMED else "")
    return [("Blocks", f"{len(blocks)}: {shown}")]


def _grid_facts(grid: Mapping[str, Any], spots: pd.DataFrame) -> dict[str, Any]:
    pitch = grid.get("pitch") or {}
    margins = {
        str(key): value
        for key, value in (grid.get("margins") or {}).items()
        if isinstance(value, int | float)
    }
    shown = [key for key in margins if not words.beyond_the_image(key, margins[key])]
    nearest = min(shown, key=lambda key: margins[key]) if shown else None
    return {
        "confidence": words.confidence(grid.get("confidence")),
        "facts": [
            ("Rows × columns", f"{grid.get('rows') or '?'} × {grid.get('cols') or '?'}"),
            ("Spots seen", f"{int(spots['found'].sum())} of {len(spots)}"),
            ("Pitch", _spacing(pitch, grid.get("pixel_size_um"))),
            ("Rotation", f"{words.fixed(grid.get('angle'), 2)}°"),
            ("Carrier", words.text(grid.get("carrier")) or "inferred"),
            *_blocks(grid),
            ("Orientation", words.orientation(grid.get("orientation"))),
        ],
        "nearest": nearest and (words.margin_name(nearest), words.odds(nearest, margins[nearest])),
    }

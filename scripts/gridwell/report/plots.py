"""Charts as Vega-Lite specifications. Strings of users enter as data or titles only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gridwell.config.spots import row_letters
from gridwell.report import words
from gridwell.report.page import INK

# Okabe and Ito's palette, told apart with any colour vision (jfly.uni-koeln.de/color, 2008).
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
# Lighter ones for areas under black signs.
LIGHT_NAMES = (
    "#56B4E9",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#F0E442",
    "#9fb4c7",
    "#D55E00",
    "#BBBBBB",
)
SHAPES = (
    "circle",
    "square",
    "triangle-up",
    "diamond",
    "cross",
    "triangle-down",
    "triangle-right",
    "triangle-left",
)
# The shapes in a box of 14 px around 0, for legends outside a chart.
SHAPE_PATHS = {
    "circle": "M-4,0A4,4 0 1,1 4,0A4,4 0 1,1 -4,0Z",
    "square": "M-3.6,-3.6H3.6V3.6H-3.6Z",
    "triangle-up": "M0,-4.4L4.4,3.6H-4.4Z",
    "diamond": "M0,-5L4,0L0,5L-4,0Z",
    "cross": "M-1.5,-4.5H1.5V-1.5H4.5V1.5H1.5V4.5H-1.5V1.5H-4.5V-1.5H-1.5Z",
    "triangle-down": "M0,4.4L4.4,-3.6H-4.4Z",
    "triangle-right": "M4.4,0L-3.6,4.4V-4.4Z",
    "triangle-left": "M-4.4,0L3.6,4.4V-4.4Z",
}
STATE_COLOURS = {"live": "#009E73", "dying": "#E69F00", "dead": "#CC4C8B", "inactive": "#B4BBC2"}

Spec = dict[str, Any]


def group_colour(index: int) -> str:
    """Colour of a screen's group."""
    return OKABE_ITO[index % len(OKABE_ITO)]


def group_shape(index: int) -> str:
    """Shape of a screen's group; colour and shape together repeat after 64 groups."""
    return SHAPES[(index + index // len(OKABE_ITO)) % len(SHAPES)]


def group_channels(groups: Sequence[str]) -> tuple[Spec, Spec]:
    """Encode the group in colour and in shape, the same in every chart of a screen."""
    at = range(len(groups))
    return kind_channels("group", groups, map(group_colour, at), map(group_shape, at), legend=None)


def kind_channels(
    name: str,
    kinds: Sequence[str],
    colours: Iterable[str],
    shapes: Iterable[str],
    *,
    legend: Spec | None,
) -> tuple[Spec, Spec]:
    """Encode a column in colour and in shape: neither the colour-blind nor print lose it."""
    common = {"field": name, "type": "nominal", "legend": legend}
    colour = {"domain": list(kinds), "range": list(colours)}
    shape = {"domain": list(kinds), "range": list(shapes)}
    return {**common, "scale": colour}, {**common, "scale": shape}


def agent_axis(agents: Sequence[str]) -> Spec:
    """Encode agents as lines of a chart, the first on top."""
    return {
        "field": "agent",
        "type": "nominal",
        "scale": {"domain": list(agents)},
        "axis": {
            "title": None,
            "labelLimit": 150,
            "labelFontSize": 12,
            "grid": True,
            "ticks": False,
        },
    }


def plate_step(rows: int, cols: int, width: int, height: int, largest: int) -> int:
    """Side of a cell of a plate map, in pixels, so that the map fits width × height."""
    return max(5, min(largest, width // max(cols, 1), height // max(rows, 1)))


def axis_format(values: Any) -> str:
    """Format of an axis or legend that fits the size of the numbers."""
    known = [abs(float(value)) for value in values if not words.missing(value)]
    top = max(known, default=0.0)
    if top == 0 or top >= 10:
        return ",.0f"
    return ".1f" if top >= 1 else ".2f" if top >= 0.05 else ".1e"


@dataclass(frozen=True)
class MapColumn:
    """A column of a table as it is mapped over a plate.

    Attributes
    ----------
    field
        Its name in the embedded table.
    title
        What stands above the map.
    kind
        ``number``; ``log`` of a number; ``names``, told apart by colour; ``colour``: it is
        itself a colour (hex).
    domain
        Range of the colours of numbers.
    names
        All names, in the order of their colours.
    format
        Of the numbers in the legend.
    """

    field: str
    title: str
    kind: Literal["number", "log", "names", "colour"] = "number"
    domain: tuple[float, float] = (0.0, 1.0)
    names: Sequence[str] = ()
    scheme: str = "viridis"
    format: str = ".2f"


def plate_map(
    data: str,
    rows: int,
    cols: int,
    *,
    column: MapColumn,
    step: int,
    tooltip: Sequence[Mapping[str, Any]] = (),
    title: str = "",
) -> Spec:
    """Map a column over the grid; missing spots, empty values and flags have own signs.

    Parameters
    ----------
    data
        Name of the embedded table with spot, row, col, mark, sign and the column's field.
    rows, cols
        Size of the grid; positions without a value are drawn too.
    step
        Side of a cell in px.
    title
        In place of the column's.
    """
    tips = [{"field": "spot", "type": "nominal", "title": "Spot"}, *tooltip]
    x, y = _plate_axes(rows, cols, step)
    dot = max(2.0, step * 0.16)
    layers: list[Spec] = [
        {
            "mark": {"type": "rect", "color": "#f1f3f5", "stroke": "#d5dade", "strokeWidth": 0.5},
            "encoding": {"tooltip": tips},
        },
        {"name": "values", **map_layers(column, step, cols)["values"]},
        {
            "transform": [{"filter": {"field": "mark", "equal": "missing"}}],
            "mark": {
                "type": "point",
                "shape": "M-1,-1L1,1M-1,1L1,-1",
                "size": (step * 0.5) ** 2,
                "stroke": "#6f7881",
                "strokeWidth": 1,
            },
        },
        {
            "transform": [{"filter": {"field": "mark", "equal": "flag"}}],
            "mark": {
                "type": "point",
                "shape": "circle",
                "filled": True,
                "size": 3.14 * dot**2,
                "fill": "white",
                "stroke": "black",
                "strokeWidth": max(0.7, step * 0.06),
                "xOffset": step * 0.27,
                "yOffset": -step * 0.27,
                "opacity": 1,
            },
        },
    ]
    if step >= _STEP_OF_SIGNS:
        layers.append({"name": "signs", **map_layers(column, step, cols)["signs"]})
    return {
        "data": {"name": data},
        "title": {"text": title or column.title},
        "width": step * cols,
        "height": step * rows,
        "encoding": {"x": x, "y": y, "tooltip": tips},
        "layer": layers,
    }


_STEP_OF_SIGNS = 12


def _plate_axes(rows: int, cols: int, step: int) -> tuple[Spec, Spec]:
    letters = [row_letters(row) for row in range(rows)]
    every = 1 if step >= 17 else 2 if step >= 10 else 4
    letter_every = 1 if step >= 10 else 2 if step >= 6 else 4
    numbers = list(range(1, cols + 1))
    bare = {
        "title": None,
        "ticks": False,
        "domain": False,
        "labelFontSize": 10,
        "labelOverlap": False,
    }
    gaps = {"paddingInner": 0.08, "paddingOuter": 0.04}
    x = {
        "field": "col",
        "type": "ordinal",
        "scale": {"domain": numbers, **gaps},
        "axis": {
            "orient": "top",
            "labelAngle": 0,
            "values": [col for col in numbers if col == 1 or col % every == 0],
            **bare,
        },
    }
    y = {
        "field": "row",
        "type": "ordinal",
        "scale": {"domain": letters, **gaps},
        "axis": {"values": letters[::letter_every], **bare},
    }
    return x, y


def map_layers(column: MapColumn, step: int, cols: int) -> dict[str, Spec]:
    """Layers of a plate map that change with its column: the page puts one in place of another."""
    there = {"filter": f"isValid(datum.{column.field})"}
    conditions: list[Spec] = [{"test": f"!isValid(datum.{column.field})", "value": INK}]
    if column.kind == "number":
        middle = sum(column.domain) / 2
        conditions.append({"test": {"field": column.field, "gt": middle}, "value": "black"})
    ink: Spec = {"condition": conditions, "value": "white"}
    if column.kind in ("names", "colour"):
        ink = {"value": "black"}
    signs: Spec = {
        "transform": [
            {"filter": {"field": "sign", "oneOf": ["+", "−"]}},
            {"filter": {"not": {"field": "mark", "equal": "missing"}}},
        ],
        "mark": {"type": "text", "fontSize": round(step * 0.72), "fontWeight": "bold"},
        "encoding": {"text": {"field": "sign", "type": "nominal"}, "color": ink},
    }
    values: Spec = {
        "transform": [there],
        "mark": {"type": "rect"},
        "encoding": {"color": _map_colour(column, step * cols)},
    }
    return {"values": values, "signs": signs}


def _map_colour(column: MapColumn, width: int) -> Spec:
    if column.kind == "colour":
        return {"field": column.field, "type": "nominal", "scale": None}
    below = {"title": None, "orient": "bottom", "direction": "horizontal", "offset": 8}
    if column.kind == "names":
        few = len(column.names) <= len(LIGHT_NAMES)
        scale = (
            {"domain": list(column.names), "range": list(LIGHT_NAMES[: len(column.names)])}
            if few
            else {"domain": list(column.names), "scheme": "viridis"}
        )
        legend = {**below, "symbolType": "square", "columns": max(1, width // 130)} if few else None
        return {"field": column.field, "type": "nominal", "scale": scale, "legend": legend}
    return {
        "field": column.field,
        "type": "quantitative",
        "scale": {
            "scheme": column.scheme,
            "clamp": True,
            "domain": list(column.domain),
            **({"type": "log"} if column.kind == "log" else {}),
        },
        "legend": {
            **below,
            "gradientLength": min(max(width // 2, 120), 240),
            "gradientThickness": 8,
            "format": column.format,
            "tickCount": 3,
        },
    }


def composition(data: str, labels: Sequence[str], *, title: str) -> Spec:
    """Stack the shares of cell states over the doses of one agent.

    `data` holds label (the dose as written), state, order, share and count.
    """
    states = list(STATE_COLOURS)
    return {
        "data": {"name": data},
        "title": {"text": title},
        "width": max(15 * len(labels), 36),
        "height": 120,
        "mark": {"type": "bar", "stroke": "white", "strokeWidth": 0.5},
        "encoding": {
            "x": {
                "field": "label",
                "type": "ordinal",
                "scale": {"domain": list(labels), "paddingInner": 0.15},
                "axis": {"title": None, "labelAngle": -90, "labelFontSize": 10, "ticks": False},
            },
            "y": {
                "field": "share",
                "type": "quantitative",
                "stack": "zero",
                "scale": {"domain": [0, 1]},
                "axis": {"format": ".0%", "title": None, "values": [0, 0.5, 1]},
            },
            "order": {"field": "order", "type": "quantitative"},
            "color": {
                "field": "state",
                "type": "nominal",
                "scale": {"domain": states, "range": [STATE_COLOURS[state] for state in states]},
                "legend": None,
            },
            "tooltip": [
                {"field": "label", "type": "nominal", "title": "Dose"},
                {"field": "state", "type": "nominal", "title": "State"},
                {"field": "share", "type": "quantitative", "title": "Share", "format": ".1%"},
                {"field": "count", "type": "quantitative", "title": "Cells", "format": ",.0f"},
            ],
        },
    }


def dose_curve(
    points: str,
    fits: str,
    halves: str,
    groups: Sequence[str],
    *,
    title: str,
    dose_unit: str,
    measure: str,
    doses: tuple[float, float],
    values: tuple[float, float],
    lowest: float,
    reference: float | None,
) -> Spec:
    """Draw spots, fitted curve with its band and EC50 with its interval for one agent.

    Parameters
    ----------
    points
        Name of the table group, dose, value, spot, slide, flags (shown: `kept` or not).
    fits
        Name of the table group, dose, fit, low, high.
    halves
        Name of the table group, ec50, low, high, y, words, arrow (empty where the EC50 lies
        within the doses tested; else the way in which it lies).
    groups
        All groups of the screen, so that each has one colour and shape everywhere.
    doses, values
        Ranges of the axes.
    lowest
        Least value measured; the marks of EC50s stand below it.
    reference
        Level of the untreated controls, drawn as a dashed line.
    """
    colour, shape = group_channels(groups)
    x = {
        "field": "dose",
        "type": "quantitative",
        "scale": {"type": "log", "domain": list(doses), "nice": False, "clamp": True},
        "axis": {
            "title": f"Dose ({dose_unit})" if dose_unit else "Dose",
            "format": "~g",
            "values": decades(doses),
            "grid": False,
        },
    }
    y = {
        "field": "value",
        "type": "quantitative",
        "scale": {"domain": list(values), "nice": False, "clamp": True, "zero": False},
        "axis": {"title": measure, "values": ticks(lowest, values[1]), "labelOverlap": False},
    }
    inside = {"filter": {"field": "arrow", "equal": ""}}
    tips = [
        {"field": "group", "type": "nominal", "title": "Group"},
        {"field": "words", "type": "nominal", "title": "EC50"},
    ]
    layers: list[Spec] = []
    if reference is not None:
        layers.append(
            {
                "data": {"name": points},
                "transform": [{"sample": 1}],
                "mark": {"type": "rule", "strokeDash": [3, 3], "color": "#9aa3ab"},
                "encoding": {
                    "y": {"datum": reference} | {k: y[k] for k in ("type", "scale", "axis")}
                },
            }
        )
    layers += [
        {
            "data": {"name": fits},
            "mark": {"type": "area", "opacity": 0.16},
            "encoding": {
                "x": x,
                "y": {**y, "field": "low"},
                "y2": {"field": "high"},
                "color": colour,
            },
        },
        {
            "data": {"name": fits},
            "mark": {"type": "line", "strokeWidth": 2},
            "encoding": {"x": x, "y": {**y, "field": "fit"}, "color": colour},
        },
        {
            "data": {"name": points},
            "mark": {"type": "point", "filled": True, "size": 26, "opacity": 0.75},
            "encoding": {
                "x": x,
                "y": y,
                "color": colour,
                "shape": shape,
                "tooltip": [
                    {"field": "group", "type": "nominal", "title": "Group"},
                    {"field": "slide", "type": "nominal", "title": "Slide"},
                    {"field": "spot", "type": "nominal", "title": "Spot"},
                    {"field": "written", "type": "nominal", "title": "Dose"},
                    {"field": "value", "type": "quantitative", "title": measure, "format": ".3~g"},
                    {"field": "flags", "type": "nominal", "title": "Flags"},
                ],
            },
        },
        {
            "data": {"name": halves},
            "transform": [inside],
            "mark": {"type": "rule", "strokeWidth": 3, "opacity": 0.55},
            "encoding": {
                "x": {**x, "field": "low"},
                "x2": {"field": "high"},
                "y": {**y, "field": "y"},
                "color": colour,
            },
        },
        {
            "data": {"name": halves},
            "transform": [inside],
            "mark": {"type": "tick", "orient": "vertical", "thickness": 2, "size": 14},
            "encoding": {
                "x": {**x, "field": "ec50"},
                "y": {**y, "field": "y"},
                "color": colour,
                "tooltip": tips,
            },
        },
        {
            "data": {"name": halves},
            "transform": [{"filter": {"not": inside["filter"]}}],
            "mark": {"type": "text", "fontSize": 11, "fontWeight": "bold", "baseline": "middle"},
            "encoding": {
                "x": {**x, "field": "ec50"},
                "y": {**y, "field": "y"},
                "color": colour,
                "text": {"field": "arrow", "type": "nominal"},
                "tooltip": tips,
            },
        },
    ]
    return {
        "title": {"text": title},
        "width": 248,
        "height": 168,
        "layer": layers,
        "resolve": {"scale": {"x": "shared", "y": "shared", "color": "shared"}},
    }


def decades(doses: tuple[float, float]) -> list[float]:
    """Powers of ten within a range, thinned to at most six; the range itself where none is."""
    first, last = math.ceil(math.log10(doses[0])), math.floor(math.log10(doses[1]))
    if last < first:
        return list(doses)
    step = (last - first) // 6 + 1
    return [float(f"1e{power}") for power in range(first, last + 1, step)]


def ticks(low: float, high: float) -> list[float]:
    """Round numbers from `low` to `high`, four to eight of them."""
    rough = (high - low) / 5
    size = 10.0 ** math.floor(math.log10(rough))
    step = size * min((1, 2, 5, 10), key=lambda factor: abs(factor * size - rough))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]


def forest(
    data: str,
    agents: Sequence[str],
    groups: Sequence[str],
    *,
    dose_unit: str,
    doses: tuple[float, float],
) -> Spec:
    """Compare EC50s: one line an agent, one mark a group, arrows where the doses end first.

    `data` holds agent, group, ec50, low, high, arrow (empty where measured), words.
    """
    colour, shape = group_channels(groups)
    x = {
        "field": "ec50",
        "type": "quantitative",
        "scale": {"type": "log", "domain": list(doses), "nice": False, "clamp": True},
        "axis": {
            "title": f"EC50 ({dose_unit}), line: interval",
            "format": "~g",
            "values": decades(doses),
            "orient": "top",
        },
    }
    y = agent_axis(agents)
    offset = {"field": "group", "type": "nominal", "scale": {"domain": list(groups)}}
    tips = [
        {"field": "agent", "type": "nominal", "title": "Agent"},
        {"field": "group", "type": "nominal", "title": "Group"},
        {"field": "words", "type": "nominal", "title": "EC50"},
    ]
    common = {"y": y, "yOffset": offset, "tooltip": tips}
    step = max(16, 7 * len(groups) + 8)
    return {
        "data": {"name": data},
        "width": 430,
        "height": {"step": step, "for": "position"},
        "layer": [
            {
                "transform": [{"filter": {"field": "arrow", "equal": ""}}],
                "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.6},
                "encoding": {
                    **common,
                    "x": {**x, "field": "low"},
                    "x2": {"field": "high"},
                    "color": colour,
                },
            },
            {
                "transform": [{"filter": {"field": "arrow", "equal": ""}}],
                "mark": {"type": "point", "filled": True, "size": 54, "opacity": 1},
                "encoding": {**common, "x": x, "color": colour, "shape": shape},
            },
            {
                "transform": [{"filter": {"not": {"field": "arrow", "equal": ""}}}],
                "mark": {
                    "type": "text",
                    "fontSize": 13,
                    "fontWeight": "bold",
                    "baseline": "middle",
                },
                "encoding": {
                    **common,
                    "x": x,
                    "color": colour,
                    "text": {"field": "arrow", "type": "nominal"},
                },
            },
        ],
    }


def calibration(data: str, *, metric: str, known: str) -> Spec:
    """Plot measured colour numbers of calibration spots over their known values."""
    return {
        "data": {"name": data},
        "width": 280,
        "height": 200,
        "mark": {"type": "point", "size": 60, "opacity": 1, "strokeWidth": 0.7},
        "encoding": {
            "x": {
                "field": "known",
                "type": "quantitative",
                "scale": {"zero": False},
                "axis": {"title": known, "tickCount": 6, "labelOverlap": True},
            },
            "y": {
                "field": "measured",
                "type": "quantitative",
                "scale": {"zero": False},
                "axis": {"title": metric},
            },
            "fill": {"field": "colour", "type": "nominal", "scale": None},
            "stroke": {"value": INK},
            "tooltip": [
                {"field": "spot", "type": "nominal", "title": "Spot"},
                {"field": "known", "type": "quantitative", "title": known},
                {"field": "measured", "type": "quantitative", "title": metric, "format": ".3f"},
            ],
        },
    }

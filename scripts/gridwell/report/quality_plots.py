"""Charts that say how far a slide can be trusted, as Vega-Lite specifications."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gridwell.report.plots import STATE_COLOURS, Spec, agent_axis, kind_channels

CONTROL_COLOURS = {"negative": "#0072B2", "positive": "#D55E00"}
STAIN_COLOURS = {"live": "#009E73", "dead": "#CC4C8B"}
_LEGEND = {"title": None, "orient": "top", "symbolOpacity": 1}
_CONTROL_SHAPES = ["circle", "square"]
_STATE_SHAPES = ["circle", "square", "triangle-up", "diamond"]


def controls(data: str, slides: Sequence[str], *, measure: str, form: str) -> Spec:
    """Draw every control spot of each slide, negative beside positive ones.

    `data` holds slide, kind (negative or positive), value, spot, aside (-1 to 1, so that
    points do not cover each other).
    """
    kinds = list(CONTROL_COLOURS)
    several = len(slides) > 1
    colour, shape = kind_channels(
        "kind",
        kinds,
        CONTROL_COLOURS.values(),
        _CONTROL_SHAPES,
        legend=_LEGEND if several else None,
    )
    return {
        "data": {"name": data},
        "width": {"step": 30 if several else 46},
        "height": 190,
        "mark": {"type": "point", "filled": True, "size": 34, "opacity": 0.8},
        "encoding": {
            "x": {
                "field": "slide" if several else "kind",
                "type": "nominal",
                "scale": {"domain": list(slides) if several else kinds, "paddingInner": 0.3},
                "axis": {
                    "title": None,
                    "ticks": False,
                    "labelAngle": -45 if several else 0,
                    "labelLimit": 120,
                    "grid": False,
                },
            },
            "xOffset": {
                "field": "aside",
                "type": "quantitative",
                "scale": {"domain": [-1.6, 1.6]},
            },
            "y": {
                "field": "value",
                "type": "quantitative",
                "scale": {"zero": True},
                "axis": {"title": measure, "format": form, "tickCount": 5},
            },
            "color": colour,
            "shape": shape,
            "tooltip": [
                {"field": "slide", "type": "nominal", "title": "Slide"},
                {"field": "spot", "type": "nominal", "title": "Spot"},
                {"field": "kind", "type": "nominal", "title": "Control"},
                {"field": "value", "type": "quantitative", "title": measure, "format": ".4~g"},
            ],
        },
    }


def margins(data: str, names: Sequence[str], *, most: float) -> Spec:
    """Draw how much better the grid is than each grid one step away.

    `data` holds name, nats (cut at `most`), odds (in words), sure.
    """
    return {
        "data": {"name": data},
        "width": 260,
        "height": {"step": 17},
        "mark": {"type": "bar", "height": 10},
        "encoding": {
            "x": {
                "field": "nats",
                "type": "quantitative",
                "scale": {"domain": [0, most]},
                "axis": {
                    "title": "odds for this grid, to 1",
                    "values": [0, 4.60517, 9.21034, 13.81551],
                    "labelExpr": "datum.value < 1 ? 'even' : datum.value < 5 ? '100' : "
                    "datum.value < 10 ? '10 000' : 'a million'",
                    "labelFlush": True,
                },
            },
            "y": {
                "field": "name",
                "type": "nominal",
                "scale": {"domain": list(names)},
                "axis": {"title": None, "ticks": False, "labelLimit": 220, "grid": False},
            },
            "color": {
                "field": "sure",
                "type": "nominal",
                "scale": {"domain": [True, False], "range": ["#5b8db8", "#D55E00"]},
                "legend": None,
            },
            "tooltip": [
                {"field": "name", "type": "nominal", "title": "The grid"},
                {"field": "odds", "type": "nominal", "title": "Odds for this one"},
            ],
        },
    }


def shifts(data: str, channels: Sequence[str], *, reach: float) -> Spec:
    """Draw the shift of each channel in each spot.

    `data` holds spot, channel, x, y, quality.
    """
    colours = [STAIN_COLOURS[name] for name in channels]
    axis = {"tickCount": 5, "grid": True}
    scale = {"domain": [-reach, reach], "nice": False}
    colour, shape = kind_channels(
        "channel", channels, colours, _CONTROL_SHAPES[: len(channels)], legend=_LEGEND
    )
    return {
        "data": {"name": data},
        "width": 220,
        "height": 220,
        "mark": {"type": "point", "filled": True, "size": 26, "opacity": 0.6},
        "encoding": {
            "x": {
                "field": "x",
                "type": "quantitative",
                "scale": scale,
                "axis": {"title": "to the right, px", **axis},
            },
            "y": {
                "field": "y",
                "type": "quantitative",
                "scale": {**scale, "reverse": True},
                "axis": {"title": "downwards, px", **axis},
            },
            "color": colour,
            "shape": shape,
            "tooltip": [
                {"field": "spot", "type": "nominal", "title": "Spot"},
                {"field": "channel", "type": "nominal", "title": "Channel"},
                {"field": "x", "type": "quantitative", "title": "Right, px", "format": ".2f"},
                {"field": "y", "type": "quantitative", "title": "Down, px", "format": ".2f"},
                {"field": "quality", "type": "quantitative", "title": "Quality", "format": ".2f"},
            ],
        },
    }


def fusion(data: str, *, linear: float) -> Spec:
    """Draw single cells by the light of both stains under the nucleus, by state.

    `data` holds spot, state, live, dead, sure (in words). The axes are logarithmic beyond
    `linear`, so that cells without a stain, around 0, are seen too.
    """
    states: list[str] = list(STATE_COLOURS)
    # The gray of bars would be too faint for single points.
    colours = [*list(STATE_COLOURS.values())[:3], "#6f7881"]

    colour, shape = kind_channels("state", states, colours, _STATE_SHAPES, legend=_LEGEND)

    def axis(field: str) -> dict[str, Any]:
        return {
            "field": field,
            "type": "quantitative",
            "scale": {"type": "symlog", "constant": linear, "nice": False},
            "axis": {"title": f"{field} stain, grey values", "format": ",.0f", "tickCount": 5},
        }

    return {
        "data": {"name": data},
        "width": 380,
        "height": 320,
        "mark": {"type": "point", "filled": True, "size": 16, "opacity": 0.55},
        "encoding": {
            "x": axis("live"),
            "y": axis("dead"),
            "color": colour,
            "shape": shape,
            "tooltip": [
                {"field": "spot", "type": "nominal", "title": "Spot"},
                {"field": "state", "type": "nominal", "title": "State"},
                {"field": "live", "type": "quantitative", "title": "Live stain", "format": ",.0f"},
                {"field": "dead", "type": "quantitative", "title": "Dead stain", "format": ",.0f"},
                {"field": "sure", "type": "nominal", "title": "State is"},
            ],
        },
    }


def ranking(data: str, agents: Sequence[str], colour: Spec, shape: Spec) -> Spec:
    """Rank agents by their drug sensitivity score, one mark a group.

    `data` holds agent, group, dss, words.
    """
    return {
        "data": {"name": data},
        "width": 430,
        "height": {"step": 24},
        "encoding": {
            "x": {
                "field": "dss",
                "type": "quantitative",
                "scale": {"domainMin": 0, "zero": True},
                "axis": {"title": "drug sensitivity score", "orient": "top", "tickCount": 6},
            },
            "y": agent_axis(agents),
            "tooltip": [
                {"field": "agent", "type": "nominal", "title": "Agent"},
                {"field": "group", "type": "nominal", "title": "Group"},
                {"field": "dss", "type": "quantitative", "title": "Score", "format": ".1f"},
                {"field": "words", "type": "nominal", "title": "EC50"},
            ],
        },
        "layer": [
            {
                "mark": {"type": "bar", "color": "#e4e8ec", "height": 10, "tooltip": False},
                "encoding": {"x": {"aggregate": "max", "field": "dss"}, "tooltip": None},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
                "encoding": {"color": colour, "shape": shape},
            },
        ],
    }

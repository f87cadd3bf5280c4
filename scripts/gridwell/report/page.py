"""One self-contained HTML file: template, style, script, charts and pictures in it.

The page asks for nothing outside itself. A Content-Security-Policy forbids every request and
every script or style but the ones whose hashes it names, so that no text of a user can run.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, StrictUndefined
from jinja2.loaders import FunctionLoader
from markupsafe import Markup

from gridwell import __version__
from gridwell.config.files import whole
from gridwell.config.provenance import Provenance
from gridwell.report import words

# Metric-compatible fonts: a chart drawn on one machine has the same sizes on another.
FONT = "Arial, 'Liberation Sans', Helvetica, sans-serif"
INK, MUTED, RULE = "#1c2126", "#5a646e", "#dfe3e7"

THEME: dict[str, Any] = {
    "font": FONT,
    "background": "white",
    "view": {"stroke": None},
    "axis": {
        "labelColor": MUTED,
        "titleColor": INK,
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "titlePadding": 6,
        "domainColor": "#9aa3ab",
        "tickColor": "#9aa3ab",
        "gridColor": "#eef0f2",
        "tickSize": 4,
    },
    "legend": {
        "labelColor": MUTED,
        "titleColor": INK,
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
    },
    "title": {
        "anchor": "start",
        "color": INK,
        "fontSize": 13,
        "fontWeight": "bold",
        "subtitleColor": MUTED,
        "subtitleFontSize": 11,
        "offset": 8,
    },
}


@dataclass(frozen=True)
class Chart:
    """A chart of a page: its name there, its static drawing and what it shows in words."""

    name: str
    svg: str
    alt: str
    width: int
    height: int


@dataclass
class Charts:
    """Charts of one page and the tables they draw, each table embedded once."""

    specs: dict[str, dict[str, Any]] = field(default_factory=dict)
    datasets: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def data(self, table: pd.DataFrame | Sequence[Mapping[str, Any]]) -> str:
        """Embed a table; returns the name by which specs refer to it."""
        rows = table.to_dict("records") if isinstance(table, pd.DataFrame) else table
        name = f"d{len(self.datasets)}"
        self.datasets[name] = [
            {str(key): _plain(value) for key, value in row.items()} for row in rows
        ]
        return name

    def add(self, spec: Mapping[str, Any], alt: str) -> Chart:
        """Embed a Vega-Lite specification whose data are names given by `data`."""
        name = f"c{len(self.specs)}"
        whole_spec = {
            "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
            "config": THEME,
            "padding": {"left": 0, "top": 4, "right": 4, "bottom": 4},
            **spec,
        }
        self.specs[name] = whole_spec
        used = {key: self.datasets[key] for key in _names_of_data(whole_spec)}
        svg = draw({**whole_spec, "datasets": used})
        width, height = (
            round(float(x)) for x in re.findall(r' (?:width|height)="([\d.]+)"', svg)[:2]
        )
        return Chart(name, data_uri(svg.encode(), "image/svg+xml"), alt, width, height)


def _names_of_data(spec: Any) -> list[str]:
    """Names of the tables in a specification, in order, each once."""
    found: dict[str, None] = {}
    if isinstance(spec, Mapping):
        for key, value in spec.items():
            if key == "data":
                found[value["name"]] = None
            else:
                found.update(dict.fromkeys(_names_of_data(value)))
    elif isinstance(spec, list):
        for value in spec:
            found.update(dict.fromkeys(_names_of_data(value)))
    return list(found)


def _plain(value: Any) -> Any:
    """Make a table's cell a JSON value; nothing stays nothing."""
    if words.missing(value):
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.7g}") if np.isfinite(value) else None
    return value


def draw(spec: Mapping[str, Any]) -> str:
    """Draw a Vega-Lite specification as SVG, same bytes for the same specification."""
    import vl_convert

    svg = vl_convert.vegalite_to_svg(dict(spec), vl_version="6.4")
    # The drawer counts gradients and clips over its process's life; count them per picture.
    seen: dict[str, str] = {}
    for name in re.findall(r'\bid="([^"]+)"', svg):
        seen.setdefault(name, f"g{len(seen)}")
    for name, short in seen.items():
        svg = svg.replace(f'id="{name}"', f'id="{short}"').replace(
            f"url(#{name})", f"url(#{short})"
        )
    return re.sub(r' (?:aria-[a-z]+|role|class)="[^"]*"', "", svg)


def data_uri(content: bytes, kind: str) -> str:
    """Write bytes as a data URI."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def embed_json(value: Any) -> Markup:
    """Write JSON so that no string in it can end the script element that holds it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Markup(text)  # noqa: S704 - the loop above leaves nothing that HTML could read


@functools.cache
def _resource(name: str) -> str:
    return (files("gridwell.report") / name).read_text(encoding="utf-8")


@functools.cache
def _vega() -> str:
    """Vega, Vega-Lite and their embedder as one script that leaks one name only."""
    import vl_convert

    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version="6.4")
    return "(()=>{" + bundle + "})();"


def _hash(content: str) -> str:
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return f"'sha256-{digest}'"


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(lambda name: _resource(f"templates/{name}")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=words.count,
        plain=words.plain,
        flag_meaning=words.flag_meaning,
    )
    environment.globals.update(plural=words.plural, version=__version__)
    return environment


def write_page(
    out: Path,
    template: str,
    charts: Charts | None = None,
    *,
    script: str = "page.js",
    style: Sequence[str] = ("style.css",),
    data: Mapping[str, Any] | None = None,
    provenance: Provenance | None = None,
    **context: Any,
) -> None:
    """Fill a template and write the page to `out`, whole or not at all.

    Parameters
    ----------
    out
        The HTML file.
    template
        Its name in ``templates/``.
    charts
        Charts that the page shows; Vega is embedded only where there are some.
    script, style
        Files with the page's script and with its style.
    data
        What the script reads beside the charts.
    provenance
        What the page was made from: shown at its foot, and kept for programs to read.
    context
        What the template needs.
    """
    charts = charts or Charts()
    rules = "".join(map(_resource, style))
    code = _resource(script)
    vega = _vega() if charts.specs else ""
    scripts = " ".join(_hash(content) for content in (vega, code) if content)
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(rules)}; script-src {scripts}; "
        "base-uri 'none'; form-action 'none'"
    )
    html = (
        _environment()
        .get_template(template)
        .render(
            policy=policy,
            style=Markup(rules),  # noqa: S704 - our own files, no user's text in them
            script=Markup(code),  # noqa: S704
            vega=Markup(vega),  # noqa: S704
            embedded=embed_json(
                {"charts": charts.specs, "datasets": charts.datasets, **(data or {})}
            ),
            provenance=provenance,
            traced=embed_json(provenance),
            **context,
        )
    )
    with whole(out) as part:
        part.write_text(html, encoding="utf-8", newline="\n")

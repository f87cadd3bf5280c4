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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jinja2 import Environment, StrictUndefined
from jinja2.loaders import FunctionLoader
from markupsafe import Markup

from gridwell import __version__
from gridwell.config.files import whole
from gridwell.config.provenance import Provenance
from gridwell.report import words

if TYPE_CHECKING:
    from gridwell.report.tables import Behind

# Metric-compatible fonts: a chart drawn on one machine has the same sizes on another.
FONT = "Arial, 'Liberation Sans', Helvetica, sans-serif"
INK, MUTED, RULE = "#1c2126", "#5a646e", "#dfe3e7"

# A report stays below 15 MB, so that it can be mailed and opens on a phone.
MOST_BYTES = 14_500_000
_CROPS = '<script type="application/json" id="crops">'
# A picture of thousands of points is smaller as pixels.
_MOST_SVG = 120_000

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
    behind: Behind | None = None


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

    def add(self, spec: Mapping[str, Any], alt: str, behind: Behind | None) -> Chart:
        """Embed a Vega-Lite specification whose data are names given by `data`.

        Parameters
        ----------
        alt
            What it shows, for those who do not see it.
        behind
            Its numbers; None: they stand in a table beside it.
        """
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
        return Chart(name, _still(svg), alt, width, height, behind)


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


def _still(svg: str) -> str:
    """Embed a drawing as it is, or as pixels where that is smaller by far."""
    if len(svg) <= _MOST_SVG:
        return data_uri(svg.encode(), "image/svg+xml")
    import cv2
    import vl_convert

    drawn = np.frombuffer(vl_convert.svg_to_png(svg, scale=2), np.uint8)
    pixels, lossless = cv2.imdecode(drawn, cv2.IMREAD_COLOR), 101
    assert pixels is not None, "just drawn"
    _, small = cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, lossless])
    return data_uri(small.tobytes(), "image/webp")


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
    scripts: Sequence[str] = ("page.js", "spots.js"),
    style: Sequence[str] = ("style.css",),
    data: Mapping[str, Any] | None = None,
    crops: Callable[[int], Mapping[str, Any] | None] | None = None,
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
    scripts, style
        Files with the page's scripts and with its style.
    data
        What the scripts read beside the charts.
    crops
        Makes the pictures of spots, given the bytes that the page has left for them; they are
        read only when one is asked for.
    provenance
        What the page was made from: shown at its foot, and kept for programs to read.
    context
        What the template needs.
    """
    charts = charts or Charts()
    rules = "".join(map(_resource, style))
    code = "\n".join(map(_resource, scripts))
    vega = _vega() if charts.specs else ""
    hashes = " ".join(_hash(content) for content in (vega, code) if content)
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(rules)}; script-src {hashes}; "
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
            crops=crops is not None,
            provenance=provenance,
            traced=embed_json(provenance),
            **context,
        )
    )
    if crops:
        # No text of a user can look like the place: its quotes and brackets are escaped.
        left = MOST_BYTES - len(html.encode())
        html = html.replace(_CROPS, f"{_CROPS}{embed_json(crops(left))}", 1)
    with whole(out) as part:
        part.write_text(html, encoding="utf-8", newline="\n")

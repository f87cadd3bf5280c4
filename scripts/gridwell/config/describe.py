"""Templates, schemas and pages that say every option and column, made from the models.

``python -m gridwell.config.describe`` writes them into the repository; nobody edits them.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gridwell.config.carriers import carrier_names, load_carrier
from gridwell.config.columns import COLUMNS, FLAGS, QUALITY
from gridwell.config.models import (
    Carrier,
    Channel,
    Config,
    GridOverride,
    LayoutRow,
    LearnModel,
    Options,
    SegmentMethod,
    Slide,
)

_WIDTH = 96
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MADE = "<!-- Made by python -m gridwell.config.describe; edit {source} instead. -->"
# Instead of `spot`, a layout may have these two.
_ROW_AND_COL = {
    "row": "Row of the spot in letters, or as a number from 1; with `col` instead of `spot`.",
    "col": "Column of the spot, from 1.",
}
# What stands, commented out, below an option that is a mapping of sections.
_EXAMPLES = {
    "channels": """\
#   hoechst:
#     min_diameter: 8
#   gfp:
#     method: none
""",
    "learn": """\
#   hoechst-net:
#     channels: [hoechst]
#     labels: teacher
#     teacher: {method: local, min_diameter: 8}
""",
}
_PER = {SegmentMethod: "a section for each channel", LearnModel: "a section for each network"}
# Lists that are longer than a point.
_LISTS = {3: "[red, green, blue]", 4: "[x, y, width, height]"}
_EXAMPLE_LAYOUT = """\
spot,agent,concentration,unit,role,replicate
A1,,,,neg_ctrl,
A2,,,,neg_ctrl,
A3,staurosporine,10,uM,pos_ctrl,
A4,staurosporine,10,uM,pos_ctrl,
B1,doxorubicin,0.01,uM,sample,1
B2,doxorubicin,0.1,uM,sample,1
B3,doxorubicin,1,uM,sample,1
B4,doxorubicin,10,uM,sample,1
C1,doxorubicin,0.01,uM,sample,2
C2,doxorubicin,0.1,uM,sample,2
C3,doxorubicin,1,uM,sample,2
C4,doxorubicin,10,uM,sample,2
D1,doxorubicin,0.1,uM,sample,1
D1,cisplatin,5,uM,sample,1
D2,,,,empty,
"""


def config_yaml() -> str:
    """config/config.yaml: every option with its default, and what it means above it."""
    head = (
        "Options of this study. Each stands at its default: change what you need, delete what you "
        "do not; a line that is missing has its default. docs/options.md says the same in tables."
    )
    return _comment(head) + "\n" + "\n".join(_yaml_options(Config(), 0)) + "\n"


def _yaml_options(options: BaseModel, depth: int) -> Iterable[str]:
    pad = "  " * depth
    for index, (name, field) in enumerate(type(options).model_fields.items()):
        value = getattr(options, name)
        if depth == 0 or isinstance(value, BaseModel):
            yield ""
        elif index:
            yield pad.rstrip()
        if isinstance(value, BaseModel):
            title = field.description or str(type(value).__doc__)
            if depth == 0:
                yield "# " + "-" * (_WIDTH - 2)
            yield _comment(title, pad).rstrip("\n")
            yield f"{pad}{name}:"
            yield from _yaml_options(value, depth + 1)
            continue
        if depth == 0 and isinstance(value, dict):
            yield "# " + "-" * (_WIDTH - 2)
        yield _comment(f"{field.description} ({_kind(field, type(options))})", pad).rstrip("\n")
        yield f"{pad}{name}: {_yaml_value(value)}".rstrip()
        if name in _EXAMPLES:
            yield textwrap.indent(_EXAMPLES[name], pad).rstrip("\n")


def _comment(text: str, pad: str = "") -> str:
    lines = textwrap.wrap(text, _WIDTH - len(pad) - 2, break_on_hyphens=False)
    return "".join(f"{pad}# {line}\n" for line in lines)


def _yaml_value(value: object) -> str:
    """A default as it stands in YAML, also for readers that take `off` or `0.5` otherwise."""
    if value is None or value == {}:
        return ""
    if isinstance(value, str) and (not value or value[0].isdigit()):
        return json.dumps(value)
    if isinstance(value, float):
        return f"{value:g}" if "e" not in f"{value:g}" else repr(value)
    return value if isinstance(value, str) else json.dumps(value)


def slides_tsv() -> str:
    """config/slides.tsv: the header, and above it what to write into each column."""
    example = ("S01", "viability", "dma-672", "example.csv", "patient 1")
    return _sheet("Slides of this study, one row each", Slide, example)


def channels_tsv() -> str:
    """config/channels.tsv: the header, and above it what to write into each column."""
    example = ("S01", "hoechst", "nuclei", "/microscope/2026-01-31/S01.ome.tif", "0", "")
    return _sheet("Channels of all slides, one row each", Channel, example)


def _sheet(title: str, model: type[Options], example: Sequence[str]) -> str:
    lines = _comment(f"{title}; columns are separated by tabs. Lines like this one are skipped.")
    width = max(map(len, model.model_fields)) + 2
    for name, field in model.model_fields.items():
        wrapped = textwrap.wrap(str(field.description), _WIDTH - width - 2)
        for index, line in enumerate(wrapped):
            lines += f"# {(name if not index else '').ljust(width)}{line}\n"
    lines += "# As an example:\n#\t" + "\t".join(example).rstrip() + "\n"
    return lines + "\t".join(model.model_fields) + "\n"


def example_layout_csv() -> str:
    """config/layouts/example.csv: two controls, a dose series in replicates, a combination."""
    return _EXAMPLE_LAYOUT


def schemas() -> dict[str, dict[str, Any]]:
    """JSON Schemas of all files in config/, by name; of tables, the schema of a row."""
    models: dict[str, type[Options]] = {
        "config": Config,
        "slides": Slide,
        "channels": Channel,
        "layout": LayoutRow,
        "carrier": Carrier,
        "override": GridOverride,
    }
    made = {}
    for name, model in models.items():
        schema = model.model_json_schema()
        if model is LayoutRow:
            schema = _with_row_and_col(schema)
        if model is Config:
            _allow_empty_sections(schema)
        made[name] = {"$schema": _DIALECT, **schema}
    return made


def _with_row_and_col(schema: dict[str, Any]) -> dict[str, Any]:
    """A layout names spots by `spot`, or by `row` and `col`."""
    places = {
        name: {"title": name.capitalize(), "description": text, "type": ["string", "integer"]}
        for name, text in _ROW_AND_COL.items()
    }
    properties = schema["properties"]
    schema["properties"] = {"spot": properties["spot"], **places, **properties}
    del schema["required"]
    schema["anyOf"] = [{"required": ["spot"]}, {"required": ["row", "col"]}]
    return schema


def _allow_empty_sections(schema: dict[str, Any]) -> None:
    """A section whose options are all commented out is null in YAML, and means the defaults."""
    for model in (schema, *schema["$defs"].values()):
        for value in model["properties"].values():
            if "$ref" in value:
                value["anyOf"] = [{"$ref": value.pop("$ref")}, {"type": "null"}]
            elif "additionalProperties" in value:
                value["type"] = ["object", "null"]
                inner = value["additionalProperties"]
                value["additionalProperties"] = {"anyOf": [inner, {"type": "null"}]}


def options_md() -> str:
    """docs/options.md: tables of all options, and of what stands in the other files."""
    parts = [
        _MADE.format(source="scripts/gridwell/config/models.py"),
        "# Options",
        "All of them have a default, and stand with it in the `config/config.yaml` that a new "
        "study gets. A line that is missing has its default. A run can change options for once: "
        "`snakemake … --config gpu=forbid 'grid={max_angle: 5}'`. `--config slides=S01,S02` "
        "restricts a run to some slides; it is no option of the file.",
        "[study.md](study.md) explains how to prepare a study.",
        "## General",
        _options_table(Config, ""),
    ]
    parts += _sections(Config, "")
    parts += [
        "## learn.&lt;name&gt;",
        _escaped(str(LearnModel.__doc__)),
        _options_table(LearnModel, ""),
        "## config/slides.tsv",
        "One row for each slide; columns separated by tabs. Lines that begin with `#` are skipped "
        "in all tables.",
        _columns_table(Slide),
        "## config/channels.tsv",
        "One row for each channel of each slide. One file with many channels (`index` says which) "
        "and one file for each channel both work. The grid is looked for in the channel of role "
        "`grid`, or in the slide's first channel where none has it.",
        _columns_table(Channel),
        "## config/layouts/*.csv",
        "One row for each spot and agent; a combination has a row for each of its agents. "
        "Columns separated by commas, semicolons or tabs; decimal points, no decimal commas. "
        "[layouts.md](layouts.md) shows the other kinds of files that are read as well.",
        _columns_table(LayoutRow, {"row": _ROW_AND_COL["row"], "col": _ROW_AND_COL["col"]}),
        "## config/overrides/&lt;slide&gt;.yaml",
        "What a person knows of a slide's grid, where it was not found rightly. Any subset will "
        "do. With a carrier, rows and columns are those of the carrier.",
        _options_table(GridOverride, ""),
        "## Carriers",
        "Names for the column `carrier` of slides.tsv, from `resources/carriers`.",
        _carriers_table(),
        "A carrier of your own is a file `config/carriers/<name>.yaml` in the study; it wins over "
        "one of the same name here. [carriers.md](carriers.md) shows how.",
        _options_table(Carrier, ""),
    ]
    return "\n\n".join(parts) + "\n"


def _sections(model: type[BaseModel], above: str) -> list[str]:
    parts = []
    for name, field in model.model_fields.items():
        below = field.annotation
        if isinstance(below, type) and issubclass(below, BaseModel):
            title = field.description or str(below.__doc__)
            parts += [
                f"## {above}{name}",
                _escaped(title),
                _options_table(below, f"{above}{name}."),
            ]
            parts += _sections(below, f"{above}{name}.")
    return parts


def _options_table(model: type[BaseModel], above: str) -> str:
    rows = []
    for name, field in model.model_fields.items():
        below = field.annotation
        if below is SegmentMethod and model is LearnModel:
            rows.append((f"`{above}{name}`", "a section", "", str(field.description)))
            continue
        if isinstance(below, type) and issubclass(below, BaseModel):
            continue
        default = "required" if field.is_required() else _default(field.default)
        rows.append((f"`{above}{name}`", _kind(field, model), default, str(field.description)))
    return _table(("option", "value", "default", "meaning"), rows)


def _columns_table(model: type[BaseModel], also: Mapping[str, str] | None = None) -> str:
    rows = []
    for name, field in model.model_fields.items():
        needed = "yes" if field.is_required() else "no"
        rows.append((f"`{name}`", _kind(field, model), needed, str(field.description)))
        if name == "spot" and also:
            rows[-1] = (f"`{name}`", _kind(field, model), "or row, col", str(field.description))
            rows += [(f"`{key}`", "text or number", "no", text) for key, text in also.items()]
    return _table(("column", "value", "needed", "meaning"), rows)


def _carriers_table() -> str:
    rows = []
    for name in carrier_names():
        carrier = load_carrier(name)
        pitch = _millimetres(carrier.pitch_um)
        size = f"{carrier.rows} × {carrier.cols}"
        spot = f"{carrier.shape or ''} {_millimetres(carrier.spot_um)}".strip()
        rows.append((f"`{name}`", carrier.title, size, pitch, spot, carrier.source))
    return _table(("name", "", "rows × columns", "pitch (mm)", "spot (mm)", "source"), rows)


def _millimetres(size: tuple[float, float] | None) -> str:
    return "" if size is None else " × ".join(f"{value / 1000:g}" for value in size)


def columns_md() -> str:
    """docs/columns.md: every column of every table that is written."""
    parts = [
        _MADE.format(source="scripts/gridwell/config/columns.py"),
        "# Columns",
        "Tables in `results/<slide>/` and `results/screen/`, and those that `gridwell evaluate` "
        "(scores, classes, confusion) and `gridwell rate` (ratings) write. CSV files have commas, "
        "decimal points and a header; a cell is empty where there is no value. `<channel>` stands "
        "for the name of a channel: one column for each.",
    ]
    for table, columns in COLUMNS.items():
        rows = [(f"`{name}`", text) for name, text in columns.items()]
        parts += [f"## {_escaped(table)}", _table(("column", "meaning"), rows)]
    rows = [(f"`{name}`", text) for name, text in QUALITY.items()]
    parts += ["### Statistics", _table(("statistic", "meaning"), rows)]
    rows = [(f"`{name}`", text) for name, text in FLAGS.items()]
    parts += ["## Flags", _table(("flag", "meaning"), rows)]
    return "\n\n".join(parts) + "\n"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(text: str) -> str:
    if text.startswith("`"):
        return text.replace("|", "\\|")
    return _escaped(" ".join(text.split())).replace("|", "\\|").replace("*", "\\*")


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;").replace(">", "&gt;")


def _default(value: object) -> str:
    if value is None or value in ("", {}, ()):
        return ""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _kind(field: FieldInfo, model: type[BaseModel]) -> str:
    """What may be written as the value of a field, in words."""
    if get_origin(field.annotation) is dict:
        below = get_args(field.annotation)[-1]
        return _PER.get(below, "a section: name, value")
    schema = model.model_json_schema()
    name = next(key for key, item in model.model_fields.items() if item is field)
    return _in_words(schema["properties"][name], schema.get("$defs", {}))


def _in_words(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rsplit("/", 1)[-1]]
    if len(schema.get("prefixItems", [])) in _LISTS:
        return _LISTS[len(schema["prefixItems"])]
    if schema.get("type") == "array" and "prefixItems" not in schema:
        return f"[{_plural(_in_words(schema['items'], definitions))}]"
    if "anyOf" in schema:
        return ", or ".join(_in_words(item, definitions) for item in schema["anyOf"])
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    kind = schema["type"]
    if kind in ("integer", "number"):
        return _number_in_words(schema)
    words = {
        "null": "empty",
        "boolean": "true or false",
        "array": "[x, y]",
        "object": "a section, a line each",
        "string": "text",
    }
    return words[kind]


def _plural(words: str) -> str:
    kind, comma, bounds = words.partition(",")
    if kind.startswith("["):
        return f"{words}, …"
    if words.startswith("one of "):
        return words.replace("one of", "some of", 1)
    return {"text": "texts"}.get(kind, f"{kind}s") + comma + bounds


def _number_in_words(schema: Mapping[str, Any]) -> str:
    bounds = {
        "minimum": "from {:g}",
        "exclusiveMinimum": "above {:g}",
        "maximum": "to {:g}",
        "exclusiveMaximum": "and below {:g}",
    }
    words = "whole number" if schema["type"] == "integer" else "number"
    said = [text.format(schema[key]) for key, text in bounds.items() if key in schema]
    if said:
        words += ", " + " ".join(said)
    if "multipleOf" in schema:
        words += f", a multiple of {schema['multipleOf']:g}"
    return words


def files() -> dict[str, str]:
    """Everything that is made, by its path in the repository."""
    made = {
        "config/config.yaml": config_yaml(),
        "config/slides.tsv": slides_tsv(),
        "config/channels.tsv": channels_tsv(),
        "config/layouts/example.csv": example_layout_csv(),
        "docs/options.md": options_md(),
        "docs/columns.md": columns_md(),
    }
    for name, schema in schemas().items():
        text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        made[f"config/schemas/{name}.schema.json"] = text
    return made


def write_all(repository: Path) -> None:
    """Write all templates, schemas and pages into `repository`."""
    for name, text in files().items():
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_all(Path(__file__).resolve().parents[3])

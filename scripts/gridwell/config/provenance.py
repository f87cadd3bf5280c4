"""What a result says of its own making: raw images, code, networks, configuration.

It travels with the file: in the schema metadata of Parquet, beside a CSV as
``<name>.csv.provenance.json`` (or ``provenance.json`` for all tables of a folder), in the
footer of an HTML report. The same fields everywhere, in this order:

``format``
    ``gridwell-provenance/1``.
``slides``
    For each slide its raw images, ``{"raw": {file name: sha256}}``.
``code``
    ``commit``: the last one that changed the code that made the result, ``+changes`` behind it
    where that code was edited and not committed; null outside a git clone. ``hash``: of that
    code's content.
``models``
    SHA-256 of the weights of each network that found the grid or the objects, by name.
``config``
    SHA-256 of all that config/ says that bears on the result.
``device``
    Where networks computed: ``cpu`` or the name of the GPU; several where slides differ.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gridwell.config.errors import InputError, Problem

FORMAT = "gridwell-provenance/1"
KEY = b"gridwell"
"""Key of the schema metadata of Parquet files."""

SUFFIX = ".provenance.json"
_PAGE = re.compile(r'<script type="application/json" id="provenance">(.*?)</script>', re.DOTALL)

Provenance = dict[str, Any]


def settings_hash(settings: Mapping[str, Any]) -> str:
    """SHA-256 of plain data, whatever the order of its keys."""
    text = json.dumps(settings, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def made(
    code: Mapping[str, Any],
    settings: Mapping[str, Any],
    models: Mapping[str, str] | None = None,
) -> Provenance:
    """Provenance of what a rule makes, before its inputs are known.

    Parameters
    ----------
    code
        ``commit`` and ``hash``.
    settings
        All that config/ says that bears on it, as plain data.
    models
        SHA-256 of the networks asked so far, by name.
    """
    return {
        "format": FORMAT,
        "slides": {},
        "code": dict(code),
        "models": dict(models or {}),
        "config": settings_hash(settings),
        "device": [],
    }


def with_inputs(own: Provenance, inputs: Iterable[Provenance]) -> Provenance:
    """Add the raw images, networks and devices that the inputs of a result name."""
    whole = {**own, **{name: dict(own[name]) for name in ("slides", "models")}}
    devices = set(own["device"])
    for given in inputs:
        whole["slides"] |= given["slides"]
        whole["models"] |= given["models"]
        devices |= set(given["device"])
    whole["models"] = dict(sorted(whole["models"].items()))
    whole["device"] = sorted(devices)
    return whole


def of_slide(own: Provenance, slide: str, raw: Mapping[str, str]) -> Provenance:
    """Add the raw images of a slide: SHA-256 by file name."""
    return {**own, "slides": {**own["slides"], slide: {"raw": dict(raw)}}}


def side_file(table: Path) -> Path:
    """Where the provenance of a CSV stands."""
    return table.with_name(table.name + SUFFIX)


def read_provenance(path: Path) -> Provenance:
    """Read what a result says of its own making.

    Parameters
    ----------
    path
        A Parquet file, a CSV (its side file is read), an HTML report, or a side file itself.

    Raises
    ------
    InputError
        If it says nothing, or nothing that can be understood.
    """
    try:
        said = json.loads(_text(path))
        if said["format"] == FORMAT:
            return dict(said)
        reason = f"says of its making what this version does not know ({said['format']})"
    except FileNotFoundError as error:
        reason = (
            f"does not say what it was made from: there is no {Path(error.filename or path).name}"
        )
    except (OSError, ValueError, KeyError, TypeError, LookupError):
        reason = "does not say what it was made from"
    raise InputError(
        Problem(str(path), reason, "Name a table or report that a run of gridwell wrote")
    )


def _text(path: Path) -> str:
    """The JSON of a result's provenance."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        return str((pq.read_schema(path).metadata or {})[KEY].decode())
    if path.suffix == ".html":
        found = _PAGE.search(path.read_text(encoding="utf-8"))
        if found is None:
            raise LookupError(path)
        return found[1]
    if path.suffix == ".csv":
        own = side_file(path)
        path.stat()
        return (own if own.exists() else path.with_name("provenance.json")).read_text("utf-8")
    return path.read_text(encoding="utf-8")

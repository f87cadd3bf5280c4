"""Compare what results say they were made from: raw images, code, networks, configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from gridwell.config.errors import InputError
from gridwell.config.provenance import read_provenance
from gridwell.versions.compare_json import leaves
from gridwell.versions.compare_reading import Judgement, Status, both
from gridwell.versions.compare_words import NAMED, few, written_otherwise

# What decides what a result says, as far as its making does.
_DECISIVE = {"slides", "models", "config"}


def compare_makings(path: str, expected: Path, found: Path) -> Judgement:
    """Compare files that only tell what others were made from."""
    told = _told_makings(*both(_read_making, expected, found))
    if not told:
        return "within tolerance", "the same making, written otherwise"
    status: Status = "different" if told.keys() & _DECISIVE else "within tolerance"
    return status, f"made {', '.join(told.values())}"


def with_making(
    status: Status, detail: str, other: Mapping[str, str], same: str = "the same values"
) -> Judgement:
    """Add to a verdict what was different in the making; from other images is another result."""
    if not other:
        return status, written_otherwise(detail, same)
    status = "different" if "slides" in other else status
    return status, f"{detail or same}; made {', '.join(other.values())}"


def made_otherwise(expected: Path, found: Path) -> dict[str, str]:
    """Tell what was different in the making of two results, which need not say anything of it."""
    said = {}
    for which, path in (("published", expected), ("recomputed", found)):
        with suppress(InputError):
            said[which] = _read_making(path)
    if len(said) == 1:
        return {"said": f"from what only the {next(iter(said))} one says"}
    return _told_makings(*said.values()) if said else {}


def _read_making(path: Path) -> dict[str, Any]:
    """What a result was made from, by dotted keys."""
    return leaves(read_provenance(path))


def _told_makings(expected: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, str]:
    """Tell what differs in the making, by the first part of its key."""
    names: dict[str, list[str]] = {}
    for key in {**expected, **found}:
        if expected.get(key) != found.get(key):
            first, _, rest = key.partition(".")
            names.setdefault(first, []).append(rest)
    return {first: _told_making(first, names[first], expected, found) for first in names}


def _told_making(
    what: str, names: Sequence[str], expected: Mapping[str, Any], found: Mapping[str, Any]
) -> str:
    """Tell what differs in one part of the making: `names` are its keys that do."""
    inner = [name for name in names if name]
    named = few(inner[:NAMED], len(inner), what.removesuffix("s"))
    if what == "slides":
        return f"from other raw images ({named.replace('.raw.', '/')})"
    if what == "models":
        return f"with other model {named}"
    if what == "code":
        part = "commit" if "commit" in names else "hash"
        a, b = (_short(making.get(f"code.{part}")) for making in (expected, found))
        code = "other code" if "hash" in names else "the same code"
        return f"with {code} ({part} {b} instead of {a})"
    if what == "device":
        a, b = (_devices(making) for making in (expected, found))
        return f"on another device ({b} instead of {a})"
    return f"with other {'configuration' if what == 'config' else what}"


def _short(commit: str | None) -> str:
    """Shorten a hash; what tells of changes stays."""
    return re.sub(r"(?<=^[0-9a-f]{7})[0-9a-f]+", "", str(commit or "none"))


def _devices(making: Mapping[str, Any]) -> str:
    names = [str(name) for key, name in making.items() if key.split(".")[0] == "device" and name]
    return " and ".join(names) or "none"

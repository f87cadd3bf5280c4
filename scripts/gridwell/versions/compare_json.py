"""Compare JSON by the dotted keys of its values."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gridwell.versions.compare_reading import Judgement, both
from gridwell.versions.compare_words import NAMED, few, instead, not_in_both, written_otherwise
from gridwell.versions.tolerances import tolerance_of


def compare_json(path: str, expected: Path, found: Path) -> Judgement:
    """Compare two files of JSON by the dotted keys of their values."""
    first, second = both(_read_json, expected, found)
    status, detail = compare_leaves(path, first, second)
    return status, written_otherwise(detail)


def _read_json(path: Path) -> dict[str, Any]:
    return leaves(json.loads(path.read_text(encoding="utf-8")))


def leaves(data: Any) -> dict[str, Any]:
    """Values by their dotted keys; of lists by their numbers."""
    items = (
        data.items()
        if isinstance(data, dict)
        else enumerate(data if isinstance(data, list) else [])
    )
    found: dict[str, Any] = {}
    for key, value in items:
        inner = leaves(value)
        found |= {f"{key}.{rest}" if rest else str(key): leaf for rest, leaf in inner.items()}
    return found or {"": data}


def compare_leaves(path: str, expected: Mapping[str, Any], found: Mapping[str, Any]) -> Judgement:
    """Compare values by their dotted keys; no detail where all are the same."""
    if expected.keys() != found.keys():
        return "different", not_in_both("key", expected.keys(), found.keys())
    times = {
        key: _times(path, key, value, found[key])
        for key, value in expected.items()
        if not _alike(value, found[key])
    }
    beyond = [key for key in times if times[key] > 1]
    told = sorted(beyond or times, key=lambda key: -times[key])
    first = [f"{key}: {instead(found[key], expected[key])}" for key in told[:NAMED]]
    detail = few(first, len(told), "key", join="; ")
    return "different" if beyond else "within tolerance", detail


def _alike(a: Any, b: Any) -> bool:
    # 1, 1.0 and True are equal in Python, and NaN is not; their texts are as they should.
    return repr(a) == repr(b)


def _times(path: str, key: str, expected: Any, found: Any) -> float:
    """How far two values are apart, in tolerances; whole numbers must be the same."""
    rule = tolerance_of(path, key)
    kinds = {type(expected), type(found)}
    if float in kinds and kinds <= {float, int}:
        return float(rule.measure(*np.array([[expected], [found]], float))[1][0])
    return 0.0 if math.isinf(rule.absolute) else math.inf

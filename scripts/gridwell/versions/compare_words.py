"""Words for differences: the first of many, counts, and values in few characters."""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from typing import Any

NAMED = 4
"""How many of many are named."""

# Characters of a value that are shown.
_LONGEST = 60


def not_in_both(what: str, expected: Set[Any], found: Set[Any]) -> str:
    """Tell which names only one of two results has."""
    told = []
    for state, names in (("missing", expected - found), ("extra", found - expected)):
        first = [shown(str(name)) for name in sorted(names, key=str)[:NAMED]]
        if names:
            told.append(f"{counted(len(names), what)} {state}: {few(first, len(names), what)}")
    return "; ".join(told)


def few(first: Sequence[str], total: int, what: str, join: str = ", ") -> str:
    """Join the first of many, and count the rest."""
    rest = total - len(first)
    return join.join(first) + (
        f"{join.rstrip()} and {counted(rest, f'more {what}')}" if rest else ""
    )


def counted(number: int, what: str) -> str:
    """Count things: ``1 row``, ``2 rows``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def instead(found: Any, expected: Any) -> str:
    """Tell two values that differ; with all digits, or in quotes, where they would look alike."""
    values = [shown(found), shown(expected)]
    if values[0] == values[1]:
        values = [str(v) if isinstance(v, float) else repr(v) for v in (found, expected)]
    return f"{values[0]} instead of {values[1]}"


def shown(value: Any) -> str:
    """One value in few characters."""
    if isinstance(value, float):
        return "nothing" if math.isnan(value) else f"{value:.6g}"
    text = "nothing" if value in (None, "") else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def written_otherwise(detail: str, same: str = "the same values") -> str:
    """Tell how results differ; where there is nothing to tell, that only their bytes do."""
    return detail or f"{same}, written otherwise"

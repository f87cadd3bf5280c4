"""The table of all spots of a slide."""

from __future__ import annotations

from typing import Any

import pandas as pd

from gridwell.config.columns import COLUMNS
from gridwell.report import tables, words
from gridwell.report.tables import Column

_SHARES = ("viability", "viability_low", "viability_high", "viability_stained",
           "viability_stained_low", "viability_stained_high")  # fmt: skip

_SHOWN_FIRST = (
    "spot",
    "agent",
    "dose",
    "role",
    *_SHARES,
    "value",
    "value_low",
    "value_high",
)

_SHOWN_LAST = ("replicate", "sample", "known", "flags")

_NOT_SHOWN = ("row", "col", "x", "y", "concentration", "unit", "found", "score")

_HEADINGS = {
    "viability_low": "low",
    "viability_high": "high",
    "viability_stained": "of stained",
    "viability_stained_low": "low",
    "viability_stained_high": "high",
    "value_low": "low",
    "value_high": "high",
    "known": "Known value",
    "metric": "Number of the colour",
    "n_orphan_live": "Live, no nucleus",
    "n_orphan_dead": "Dead, no nucleus",
}


def _columns(spots: pd.DataFrame, assay: str) -> list[Column]:
    """Columns of the table of spots: what and where, the result, its parts, the rest."""
    help_of = COLUMNS[f"spots.csv ({assay})"]
    between = [
        str(name)
        for name in spots.columns
        if name not in (*_SHOWN_FIRST, *_SHOWN_LAST, *_NOT_SHOWN)
    ]
    columns = []
    for name in (*_SHOWN_FIRST, *between, *_SHOWN_LAST):
        if name not in spots.columns:
            continue
        if name in _SHARES:
            show: Any = words.percent
        elif pd.api.types.is_numeric_dtype(spots[name]):
            show = words.plain
        else:
            show = None
        columns.append(Column(name, _heading(name, assay), show, help_of.get(name, "")))
    return columns


def _heading(name: str, assay: str) -> str:
    if name in _HEADINGS:
        return _HEADINGS[name]
    if name.startswith("n_"):
        said = name[2:].replace("_", " ")
        return said.capitalize() if assay == "viability" else name[2:]
    return name.replace("_", " ").capitalize() if name.isidentifier() else name


def _has_content(spots: pd.DataFrame, name: str) -> bool:
    return any(words.text(value) != "" for value in spots[name])


def spot_table(spots: pd.DataFrame, assay: str, slide: str) -> tables.Table:
    """All spots with what was put there and what was measured; the CSV holds every column."""
    shown = spots.drop(columns=[n for n in ("agent", "dose", "role") if not _has_content(spots, n)])
    shown = shown.assign(flags=[" ".join(words.flag_words(flags)) for flags in shown["flags"]])
    if "role" in shown:
        shown["role"] = [words.ROLES.get(role, role) for role in shown["role"]]
    download = spots.drop(columns="dose")
    download.insert(0, "slide", slide)
    return tables.build(
        shown,
        _columns(shown, assay),
        name="spots",
        caption=f"All spots of {slide}",
        key="spot",
        file=f"{slide}_spots.csv",
        download=download,
        links={"spot": [f"#spot-{spot}" for spot in shown["spot"]]},
    )


def column_help(spots: pd.DataFrame, assay: str) -> list[tuple[str, str]]:
    """Heading and meaning of each column of the table."""
    return [(column.label, column.help) for column in _columns(spots, assay) if column.help]

"""Layouts: which agent and dose is in which spot."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import pandas as pd
from pydantic import ValidationError

from gridwell.config.errors import InputError, Problem
from gridwell.config.explain import closest, problems_of, short
from gridwell.config.layouts_told import off_grid, off_grid_in_words
from gridwell.config.models import LayoutRow, SpotRole, Unit
from gridwell.config.spots import parse_spot, row_index, spot_name
from gridwell.config.tables import read_table

__all__ = [
    "COLUMNS",
    "MOLAR",
    "UNITS",
    "ParsedLayout",
    "off_grid",
    "off_grid_in_words",
    "parse_layout",
    "read_layout",
    "unit_family",
]

COLUMNS = (
    "spot",
    "row",
    "col",
    "agent",
    "concentration",
    "unit",
    "role",
    "replicate",
    "value",
    "sample",
)
UNITS: tuple[str, ...] = get_args(Unit)
MOLAR = {"M": 0, "mM": -3, "uM": -6, "nM": -9, "pM": -12}
"""Molar units, as powers of ten of a mole per litre."""
_SAME_UNIT = {
    "mol/l": "M",
    "mmol/l": "mM",
    "umol/l": "uM",
    "nmol/l": "nM",
    "pmol/l": "pM",
    "ug/ml": "ug/mL",
    "mg/l": "ug/mL",
    "percent": "%",
}
# What holds for the spot as a whole, whichever agent a row is about.
_OF_THE_SPOT = ("role", "replicate", "value", "sample")
_NUMBER_OF_ROW = re.compile(r"^[0-9]+(\.0+)?$")


@dataclass
class ParsedLayout:
    """A layout with the line of each of its rows, and everything that is wrong with it."""

    table: pd.DataFrame
    lines: list[int]
    problems: list[Problem] = field(default_factory=list)


def read_layout(path: Path) -> pd.DataFrame:
    """Read a layout, one row per spot and agent.

    Parameters
    ----------
    path
        CSV with commas, semicolons or tabs; UTF-8, UTF-16 or Latin-1.

    Returns
    -------
    DataFrame
        ``spot`` (as C7), ``row`` and ``col`` (from 0), ``agent``, ``concentration``, ``unit``
        (one of `UNITS`), ``role``, ``replicate``, ``value``, ``sample``; in the order of the
        file, missing values as NaN.

    Raises
    ------
    InputError
        With all mistakes of the file, each with its line.
    """
    parsed = parse_layout(Path(path), Path(path).name)
    if parsed.problems:
        raise InputError(parsed.problems)
    return parsed.table


def parse_layout(path: Path, name: str) -> ParsedLayout:
    """As `read_layout`, but with the line of each row, and problems told instead of raised."""
    if not (path.exists() or path.is_symlink()):
        problem = Problem(
            file=name, reason="does not exist", remedy="Put the layout there, or correct its name."
        )
        return ParsedLayout(_frame([]), [], [problem])
    table = read_table(path, name, known=COLUMNS, required=(), separators=",;\t")
    problems = table.problems
    if not table.columns:
        if not problems:
            problems.append(_no_spots(name, table.line, "spot"))
        return ParsedLayout(_frame([]), [], problems)
    missing = _missing_columns(table.columns, name, table.line)
    if missing:
        return ParsedLayout(_frame([]), [], problems + missing)
    if not table.rows and not problems:
        problems.append(
            Problem(
                file=name,
                row=table.line + 1,
                reason="has a header but no rows",
                remedy="Write one row for each spot and agent.",
            )
        )
    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    for line, cells in table.rows:
        row, found = _read_row(cells, name, line)
        problems += found
        if row is not None:
            rows.append(row)
            lines.append(line)
    problems += _contradictions(rows, lines, name)
    problems.sort(key=lambda problem: problem.row or 0)
    return ParsedLayout(_frame(rows), lines, problems)


def _missing_columns(columns: list[str], name: str, line: int) -> list[Problem]:
    problems = []
    if "spot" not in columns:
        missing = [column for column in ("row", "col") if column not in columns]
        problems += (
            [
                _no_spots(name, line, column)
                for column in (missing if len(missing) == 1 else ["spot"])
            ]
            if missing
            else []
        )
    if not set(columns) & {"agent", "role", "value", "sample", "replicate"}:
        problems.append(
            Problem(
                file=name,
                row=line,
                reason="says nothing about the spots",
                remedy="Add at least one of the columns agent, role, value, sample.",
            )
        )
    return problems


def _no_spots(name: str, line: int, column: str) -> Problem:
    return Problem(
        file=name,
        row=line,
        column=column,
        reason="is missing from the header",
        remedy="Name the spots in a column spot (as C7), or in two columns row and col.",
    )


def _read_row(
    cells: Mapping[str, str], name: str, line: int
) -> tuple[dict[str, Any] | None, list[Problem]]:
    """One row as values, or None and what is wrong with it."""
    cells = dict(cells)
    problems: list[Problem] = []

    def wrong(column: str, reason: str, remedy: str, value: object = None) -> None:
        problems.append(Problem(name, reason, remedy, row=line, column=column, value=short(value)))

    position = _position(cells, wrong)
    for column in ("row", "col", "spot"):
        cells.pop(column, None)
    if "unit" in cells:
        unit = _unit(cells["unit"])
        if unit is None:
            meant = closest(cells["unit"], UNITS)
            wrong(
                "unit",
                "is no known unit",
                (f"Did you mean {meant!r}? " if meant else "")
                + f"Units: {', '.join(UNITS)}; convert others to one of them.",
                cells.pop("unit"),
            )
        else:
            cells["unit"] = unit
    for column in ("concentration", "value"):
        if column in cells:
            cells[column] = cells[column].replace("\u2212", "-")
    row = None
    try:
        row = LayoutRow.model_validate({"spot": "A1", **cells})
    except ValidationError as error:
        for _, problem in problems_of(error, LayoutRow, file=name, row=line):
            problems.append(_negative(problem))
    if row is not None and not any(problem.column == "unit" for problem in problems):
        _check_dose(row, wrong)
    if problems or row is None or position is None:
        return None, problems
    values = row.model_dump() | {"role": row.role.value}
    values |= {"spot": spot_name(*position), "row": position[0], "col": position[1]}
    return values, problems


def _negative(problem: Problem) -> Problem:
    if problem.column == "concentration" and problem.reason == "is too small":
        return Problem(
            problem.file,
            "is negative",
            "A concentration is 0 or more; write it as it is, not as its logarithm.",
            row=problem.row,
            column=problem.column,
            value=problem.value,
        )
    return problem


def _position(cells: Mapping[str, str], wrong: Callable[..., None]) -> tuple[int, int] | None:
    """Row and column from 0, from `spot`, or `row` and `col`, or both where they agree."""
    named = lined = None
    if "spot" in cells:
        try:
            named = parse_spot(cells["spot"])
        except ValueError:
            wrong(
                "spot",
                "is no spot",
                "Write the letters of the row and the number of the column, as C7.",
                cells["spot"],
            )
            return None
    given = [column for column in ("row", "col") if column in cells]
    if len(given) == 1 or not (given or named):
        missing = ({"row", "col"} - set(given)).pop() if given else "spot"
        wrong(missing, "is empty", "Name the spot of this row, as C7, or by its row and column.")
        return None
    if given:
        lined = _row_and_col(cells["row"], cells["col"], wrong)
        if lined is None:
            return None
    if named and lined and named != lined:
        wrong(
            "spot",
            f"is not the spot of row {cells['row']} and column {cells['col']}, "
            f"which is {spot_name(*lined)}",
            "Correct one of them, or delete the columns row and col.",
            cells["spot"],
        )
        return None
    return named or lined


def _row_and_col(row: str, col: str, wrong: Callable[..., None]) -> tuple[int, int] | None:
    if _NUMBER_OF_ROW.match(row):
        row_at = int(float(row)) - 1
    else:
        try:
            row_at = row_index(row)
        except ValueError:
            row_at = -1
    if not 0 <= row_at < 10_000:
        wrong("row", "is no row", "Write letters (A, B, …, AA) or a number from 1.", row)
        return None
    if not _NUMBER_OF_ROW.match(col) or not 1 <= int(float(col)) < 10_000:
        wrong("col", "is no column", "Write a whole number from 1.", col)
        return None
    return row_at, int(float(col)) - 1


def _unit(text: str) -> str | None:
    """The unit in our spelling, or None: ``µM`` (either micro sign) -> ``uM``."""
    plain = text.replace("\u00b5", "u").replace("\u03bc", "u").replace(" ", "")
    if plain in UNITS:
        return plain
    return _SAME_UNIT.get(plain.lower())


def _check_dose(row: LayoutRow, wrong: Callable[..., None]) -> None:
    if row.concentration and row.unit is None:
        wrong("unit", "is empty although a concentration is given", f"Write {', '.join(UNITS)}.")
    if row.role is not SpotRole.SAMPLE:
        return
    if row.agent and row.concentration is None:
        wrong(
            "concentration",
            f"is empty although the spot is a sample with agent {row.agent}",
            "Write the dose; for an untreated spot give the role neg_ctrl instead.",
        )
    if row.concentration and not row.agent:
        wrong("agent", "is empty although a concentration is given", "Write the agent's name.")


def _contradictions(rows: list[dict[str, Any]], lines: list[int], name: str) -> list[Problem]:
    """Rows that are right alone and wrong together."""
    problems = []
    first: dict[tuple[str, str | None], int] = {}
    of_spot: dict[str, tuple[int, dict[str, Any]]] = {}
    families: dict[str, tuple[int, str]] = {}
    for line, row in zip(lines, rows, strict=True):
        spot, agent, unit = row["spot"], row["agent"], row["unit"]
        if (spot, agent) in first:
            what = f"and agent {agent} " if agent else ""
            problems.append(
                Problem(
                    file=name,
                    row=line,
                    column="spot",
                    reason=f"spot {spot} {what}stands in row {first[spot, agent]} already",
                    remedy="Keep one of the two rows; a combination has a row for each agent.",
                    value=spot,
                )
            )
            continue
        first[spot, agent] = line
        line_before, before = of_spot.setdefault(spot, (line, row))
        problems += [
            Problem(
                file=name,
                row=line,
                column=column,
                reason=f"spot {spot} has another {column} in row {line_before}: "
                f"{before[column] if before[column] is not None else 'empty'}",
                remedy=f"Give all rows of a spot the same {column}.",
                value=row[column],
            )
            for column in _OF_THE_SPOT
            if row[column] != before[column]
        ]
        if agent and unit:
            family = unit_family(unit)
            line_before, family_before = families.setdefault(agent, (line, family))
            if family != family_before:
                problems.append(
                    Problem(
                        file=name,
                        row=line,
                        column="unit",
                        reason=f"doses of {agent} are in another unit in row {line_before}, and "
                        "cannot be converted into this one",
                        remedy="Use one unit for all doses of an agent.",
                        value=unit,
                    )
                )
    return problems


def unit_family(unit: str) -> str:
    """What a unit can be converted within: all molar units are one family."""
    return "molar" if unit in MOLAR else unit


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    kinds = dict.fromkeys(COLUMNS, "str") | {
        "row": "int64",
        "col": "int64",
        "concentration": "float64",
        "value": "float64",
    }
    return table.astype(kinds)

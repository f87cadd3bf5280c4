"""Rows of a layout: what a file says of each spot and agent, checked and in our words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
from pydantic import ValidationError

from gridwell.config.errors import Problem
from gridwell.config.explain import closest, problems_of, short
from gridwell.config.layouts_words import (
    COLUMNS,
    MOLAR,
    NOT_THERE,
    UNITS,
    Scaled,
    is_vehicle,
    read_role,
    read_unit,
    role_meant,
    role_of_agent,
    scaled,
    split_agent,
    split_quantity,
)
from gridwell.config.models import LayoutRow, SpotRole
from gridwell.config.spots import parse_spot, row_index, spot_name

# What holds for the spot as a whole, whichever agent a row is about.
_OF_THE_SPOT = ("role", "replicate", "value", "sample")
_NUMBER_OF_ROW = re.compile(r"^[0-9]+(\.0+)?$")
_NO_UNIT = "Write {} in a column unit, in the title as concentration (uM), or once as # unit: uM."

Wrong = Callable[..., None]


@dataclass
class Entry:
    """What a file says of one agent in one spot.

    Attributes
    ----------
    line
        Line of the file.
    cells
        What is written, by column of `COLUMNS`; empty cells are absent.
    unit
        Unit of the concentration where the row has none: that of the title.
    where
        Where else a cell stands: line, and what the place is called.
    """

    line: int
    cells: dict[str, str]
    unit: Scaled | None = None
    where: Mapping[str, tuple[int, str]] = field(default_factory=dict)


@dataclass
class Source:
    """What a reader made of a file, before it is checked.

    Attributes
    ----------
    kind
        What the file is, in words.
    columns
        Columns of `COLUMNS` that the file has.
    line
        Line of the header.
    unit
        Unit of all doses without one, as the file or its user says.
    assumed
        What was taken for granted, in sentences.
    """

    kind: str
    entries: list[Entry] = field(default_factory=list)
    columns: set[str] = field(default_factory=set)
    line: int = 1
    unit: Scaled | None = None
    problems: list[Problem] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)


@dataclass
class ParsedLayout:
    """A layout with the line of each of its rows, and everything that is wrong with it.

    Attributes
    ----------
    table
        As `gridwell.config.layouts.read_layout` gives it, of all plates.
    lines
        Line of the file that each row of the table stands in.
    problems
        All mistakes, in the order of the file.
    kind
        What kind of file it is, in words.
    assumed
        What was taken for granted, in sentences.
    files
        By plate, the file that `lines` count in, where it is not the one that was named.
    """

    table: pd.DataFrame
    lines: list[int]
    problems: list[Problem] = field(default_factory=list)
    kind: str = "table"
    assumed: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)

    @property
    def plates(self) -> list[str]:
        """Names of the plates, as they first appear."""
        return list(dict.fromkeys(self.table["plate"].dropna()))

    def of_plate(self, plate: str) -> ParsedLayout:
        """The rows of one plate; the mistakes are still those of the file."""
        own = (self.table["plate"] == plate).to_numpy()
        lines = [line for line, kept in zip(self.lines, own, strict=True) if kept]
        files = {plate: self.files[plate]} if plate in self.files else {}
        table = self.table[own].reset_index(drop=True)
        return replace(self, table=table, lines=lines, files=files)


def checked(source: Source, name: str) -> ParsedLayout:
    """Check all entries of a file, and bring them to our units, roles and names of spots."""
    problems = list(source.problems)
    rows: list[dict[str, Any]] = []
    kept: list[Entry] = []
    for entry in _with_doses(source):
        row, found = _read_entry(entry, name, source)
        problems += found
        if row is not None:
            rows.append(row)
            kept.append(entry)
    _settle_vehicles(rows)
    rows, kept = _without_vehicles(rows, kept, source)
    problems += _samples_of_vehicle(rows, kept, name)
    problems = _once(problems, source)
    problems += _contradictions(rows, kept, name)
    problems.sort(key=lambda problem: problem.row or 0)
    lines = [entry.line for entry in kept]
    return ParsedLayout(frame(rows), lines, problems, source.kind, source.assumed)


def _with_doses(source: Source) -> list[Entry]:
    """Entries; those of a file without doses with the doses that its agents' names hold."""
    if "concentration" in source.columns:
        return source.entries
    entries: list[Entry] = []
    read = False
    for entry in source.entries:
        names = re.split(r"\s+\+\s+", entry.cells.get("agent", ""))
        parts = [part for part in map(split_agent, names) if part]
        if len(parts) < len(names):
            entries.append(entry)
            continue
        read = True
        for agent, dose, unit in parts:
            own = {"agent": agent, "concentration": dose, "unit": unit}
            entries.append(replace(entry, cells=entry.cells | own))
    if read:
        source.assumed.append("doses and units are those beside the names of agents")
    return entries


def _settle_vehicles(rows: Iterable[dict[str, Any]]) -> None:
    """A vehicle with one share all over, and without a role, is the control's, no series."""
    shares: dict[str, set[float]] = {}
    named = [row for row in rows if row["unit"] == "%" and is_vehicle(row["agent"] or "")]
    for row in named:
        shares.setdefault(row["agent"], set()).add(row["concentration"])
    for row in named:
        if len(shares[row["agent"]]) == 1:
            row["vehicle"] = True
            if not row["role_given"]:
                row["role"] = SpotRole.NEG_CTRL.value


def _once(problems: Iterable[Problem], source: Source) -> list[Problem]:
    """What is missing from all rows is told once."""
    told: list[Problem] = []
    for column, reason, remedy in (
        ("unit", "no unit is given for the doses", _NO_UNIT.format(" or ".join(UNITS[2:4]))),
        ("concentration", "no doses are given for the agents", "Add a column concentration."),
    ):
        missing = [
            problem
            for problem in problems
            if str(problem.column).split(" of ")[0] == column
            and problem.reason.startswith("is empty")
        ]
        if column not in source.columns and (len(missing) > 1 or source.problems):
            problems = [p for p in problems if p not in missing]
            if source.problems or not missing:
                continue  # a title that is wrong, most likely that of this column
            told.append(Problem(missing[0].file, reason, remedy, source.line, column))
    return [*problems, *told]


def _read_entry(
    entry: Entry, name: str, source: Source
) -> tuple[dict[str, Any] | None, list[Problem]]:
    """One entry as values, or None and what is wrong with it."""
    cells = dict(entry.cells)
    problems: list[Problem] = []

    def wrong(column: str, reason: str, remedy: str, value: object = None) -> None:
        line, title = entry.where.get(column, (entry.line, column))
        problems.append(Problem(name, reason, remedy, row=line, column=title, value=short(value)))

    for column, text in list(cells.items()):
        if any(ord(mark) < 32 or ord(mark) == 127 for mark in text):
            remedy = "Delete it; check that every quote that opens is closed."
            wrong(column, "holds a line break, tab or control character", remedy, cells.pop(column))
    for column in ("concentration", "unit", "role", "value"):
        if cells.get(column, "").lower() in NOT_THERE:
            del cells[column]
    position = _position(cells, wrong)
    for column in ("row", "col", "spot"):
        cells.pop(column, None)
    for column in ("concentration", "value"):
        if column in cells:
            cells[column] = cells[column].replace("\u2212", "-")
    unit_is_wrong = _settle_unit(cells, entry.unit, source.unit, wrong)
    role = _settle_role(cells, wrong)
    vehicle = _settle_agent(cells)
    row = None
    try:
        row = LayoutRow.model_validate({"spot": "A1", **cells})
    except ValidationError as error:
        for _, problem in problems_of(error, LayoutRow, file=name, row=entry.line):
            line, title = entry.where.get(problem.column or "", (entry.line, problem.column))
            problems.append(replace(_negative(problem), row=line, column=title))
    if row is not None and not (unit_is_wrong or vehicle):
        _check_dose(row, wrong)
    if problems or row is None or position is None:
        return None, problems
    values = row.model_dump() | {"role": row.role.value}
    values |= {"spot": spot_name(*position), "row": position[0], "col": position[1]}
    values["vehicle"], values["role_given"] = vehicle, role
    return values, problems


def _settle_unit(
    cells: dict[str, str], of_title: Scaled | None, of_file: Scaled | None, wrong: Wrong
) -> bool:
    """Bring the dose to a unit of ours; tell whether its unit is wrong."""
    unit = of_file or of_title
    if "unit" in cells:
        unit = read_unit(cells["unit"])
        if unit is None:
            meant = closest(cells["unit"], UNITS)
            wrong(
                "unit",
                "is no known unit",
                (f"Did you mean {meant!r}? " if meant else "")
                + f"Units: {', '.join(UNITS)}; convert others to one of them.",
                cells.pop("unit"),
            )
            return True
    dose = split_quantity(cells.get("concentration", ""))
    beside = read_unit(dose[1]) if dose else None
    if dose and beside and unit is None:
        cells["concentration"], unit = dose[0], beside
    if unit is not None and ("unit" in cells or "concentration" in cells):
        cells["unit"] = unit[0]
        if "concentration" in cells:
            cells["concentration"] = scaled(cells["concentration"], unit[1])
    return False


def _settle_role(cells: dict[str, str], wrong: Wrong) -> bool:
    """Bring the role to our word; tell whether there is one."""
    if "role" not in cells:
        return False
    role = read_role(cells["role"])
    if role is None:
        meant = role_meant(cells["role"])
        known = ", ".join(kind.value for kind in SpotRole)
        if cells["role"].lower() in ("control", "controls", "ctrl"):
            asked = "Is it neg_ctrl or pos_ctrl? "
        elif cells["role"].lower() in ("media", "medium"):
            asked = "With cells it is neg_ctrl, without cells blank. "
        else:
            asked = f"Did you mean {meant!r}? " if meant else ""
        remedy = f"{asked}One of: {known}."
        wrong("role", "is not one of the values known here", remedy, cells.pop("role"))
        return True
    cells["role"] = role.value
    return True


def _settle_agent(cells: dict[str, str]) -> bool:
    """Take names such as DMSO or untreated for what they are; tell whether it is a vehicle."""
    if "agent" not in cells or cells.get("concentration", "0").strip("0.") != "":
        return False
    role, keep = role_of_agent(cells["agent"])
    if role is None:
        return False
    if not keep and cells.get("role", role.value) in (role.value, SpotRole.SAMPLE.value):
        del cells["agent"]
    cells.setdefault("role", role.value)
    return role is SpotRole.NEG_CTRL


def _without_vehicles(
    rows: list[dict[str, Any]], entries: list[Entry], source: Source
) -> tuple[list[dict[str, Any]], list[Entry]]:
    """A vehicle beside an agent in a spot fills it up, and is no agent of its own."""
    treated = {(row["plate"], row["spot"]) for row in rows if row["agent"] and not row["vehicle"]}
    kept = [
        (row, entry)
        for row, entry in zip(rows, entries, strict=True)
        if not (row["vehicle"] and (row["plate"], row["spot"]) in treated)
    ]
    if len(kept) < len(rows):
        left_out = number_of(len(rows) - len(kept), "row")
        source.assumed.append(f"what fills up a spot beside its agent is left out, in {left_out}")
    vehicles = {row["agent"] for row, _ in kept if row["vehicle"] and not row["role_given"]}
    if vehicles:
        names = ", ".join(sorted(str(agent or "no agent") for agent in vehicles))
        source.assumed.append(f"spots with {names} alone are negative controls")
    return [row for row, _ in kept], [entry for _, entry in kept]


def _samples_of_vehicle(
    rows: Iterable[dict[str, Any]], entries: Iterable[Entry], name: str
) -> list[Problem]:
    """A spot with a vehicle alone, and without a dose of it, is no sample."""
    problems = []
    for row, entry in zip(rows, entries, strict=True):
        empty = row["agent"] and row["concentration"] is None
        if row["vehicle"] and empty and row["role"] == SpotRole.SAMPLE.value:
            line, title = entry.where.get("role", (entry.line, "role"))
            reason = f"is sample although the spot holds {row['agent']} alone, without a dose"
            remedy = "Write neg_ctrl, or the dose."
            problems.append(Problem(name, reason, remedy, line, title, row["role"]))
    return problems


def _negative(problem: Problem) -> Problem:
    if problem.column == "concentration" and problem.reason == "is too small":
        return replace(
            problem,
            reason="is negative",
            remedy="A concentration is 0 or more; write it as it is, not as its logarithm.",
        )
    return problem


def _position(cells: Mapping[str, str], wrong: Wrong) -> tuple[int, int] | None:
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


def _row_and_col(row: str, col: str, wrong: Wrong) -> tuple[int, int] | None:
    row_at = row_label(row)
    if row_at is None:
        wrong("row", "is no row", "Write letters (A, B, …, AA) or a number from 1.", row)
        return None
    if not _NUMBER_OF_ROW.match(col) or not 1 <= int(float(col)) < 10_000:
        wrong("col", "is no column", "Write a whole number from 1.", col)
        return None
    return row_at, int(float(col)) - 1


def row_label(text: str) -> int | None:
    """Row from 0 of its letters, or of its number from 1; None where it is neither."""
    if _NUMBER_OF_ROW.match(text):
        row = int(float(text)) - 1
    else:
        try:
            row = row_index(text)
        except ValueError:
            return None
    return row if 0 <= row < 10_000 else None


def _check_dose(row: LayoutRow, wrong: Wrong) -> None:
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


def _contradictions(
    rows: Sequence[dict[str, Any]], entries: Sequence[Entry], name: str
) -> list[Problem]:
    """Rows that are right alone and wrong together."""
    problems = []
    first: dict[tuple[str, str, str | None], int] = {}
    of_spot: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {}
    families: dict[str, tuple[int, str]] = {}
    several_plates = any(row["plate"] for row in rows)
    for entry, row in zip(entries, rows, strict=True):
        line, spot, agent, unit = entry.line, row["spot"], row["agent"], row["unit"]
        plate = row["plate"]

        def wrong(
            column: str, reason: str, remedy: str, value: object, entry: Entry = entry
        ) -> None:
            at, title = entry.where.get(column, (entry.line, column))
            problems.append(Problem(name, reason, remedy, at, title, value))

        if several_plates and not plate:
            wrong("plate", "is empty although other rows name a plate", "Fill it in.", None)
        if (plate, spot, agent) in first:
            what = f"and agent {agent} " if agent else ""
            on = f" of plate {plate}" if plate else ""
            wrong(
                "spot",
                f"spot {spot}{on} {what}stands in row {first[plate, spot, agent]} already",
                "Keep one of the two rows; a combination has a row for each agent.",
                spot,
            )
            continue
        first[plate, spot, agent] = line
        line_before, before = of_spot.setdefault((plate, spot), (line, row))
        for column in _OF_THE_SPOT:
            if row[column] != before[column]:
                there = before[column] if before[column] is not None else "empty"
                wrong(
                    column,
                    f"spot {spot} has another {column} in row {line_before}: {there}",
                    f"Give all rows of a spot the same {column}.",
                    row[column],
                )
        if agent and unit:
            family = unit_family(unit)
            line_before, family_before = families.setdefault(agent, (line, family))
            if family != family_before:
                wrong(
                    "unit",
                    f"doses of {agent} are in another unit in row {line_before}, and "
                    "cannot be converted into this one",
                    "Use one unit for all doses of an agent.",
                    unit,
                )
    return problems


def number_of(count: int, thing: str) -> str:
    """A number of things in words: ``1 row``, ``2 rows``."""
    return f"{count} {thing}{'' if count == 1 else 's'}"


def unit_family(unit: str) -> str:
    """What a unit can be converted within: all molar units are one family."""
    return "molar" if unit in MOLAR else unit


def frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows of a layout as a table with the columns and types that `read_layout` promises."""
    table = pd.DataFrame(list(rows), columns=list(COLUMNS))
    kinds = dict.fromkeys(COLUMNS, "str") | {
        "row": "int64",
        "col": "int64",
        "concentration": "float64",
        "value": "float64",
    }
    return table.astype(kinds)

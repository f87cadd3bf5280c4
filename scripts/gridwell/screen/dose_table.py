"""Any long table of doses and responses, read and checked: every mistake at once."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from gridwell.config.errors import InputError, Problem
from gridwell.config.explain import explain_comma, short, suggest
from gridwell.config.tables import Records, read_records

_SEPARATORS = ",;\t"
_NUMBER = re.compile(r"^[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?$")
_MISSING = {"", "na", "n/a", "#n/a", "-"}
_NOT_FINITE = {"nan", "inf", "-inf", "+inf", "infinity", "-infinity"}
_FORMULA = ("=", "+", "-", "@")


@dataclass
class DoseTable:
    """Rows of a table that can be fitted.

    Attributes
    ----------
    rows
        The columns of `by` as text, ``dose``, ``response`` and, of counts, ``total``.
    by
        Columns that tell groups apart.
    missing
        Rows left out because response or total is missing.
    groups
        Values of `by` of all groups of the table, those without any row left among them.
    """

    rows: pd.DataFrame
    by: list[str]
    missing: int = 0
    groups: tuple[tuple[str, ...], ...] = ()


@dataclass
class _Reader:
    """One pass over the cells, gathering problems."""

    name: str
    header: list[str]
    line: int
    decimal_comma: bool
    problems: list[Problem] = field(default_factory=list)

    def add(
        self, reason: str, remedy: str, row: int, column: str | None = None, value: object = None
    ) -> None:
        self.problems.append(Problem(self.name, reason, remedy, row, column, short(value)))

    def place(self, wanted: str, option: str) -> int | None:
        """Where a column stands; case and outer blanks do not count."""
        title = wanted.strip()
        same = [i for i, own in enumerate(self.header) if own == title]
        if not same:
            same = [i for i, own in enumerate(self.header) if own.lower() == title.lower()]
        if len(same) == 1:
            return same[0]
        if same:
            self.add("is there more than once", "Rename one of them.", self.line, title)
        else:
            known = [own for own in self.header if own]
            remedy = f"{suggest(title, known, 'columns')} Give it with {option}."
            self.add("is missing from the header", remedy, self.line, title)
        return None

    def number(self, text: str, row: int, column: str) -> float | None:
        """A number, None where it is missing; NaN after telling what is wrong with it."""
        plain = text.replace("\u2212", "-").replace("\xa0", "").strip()
        if plain.lower() in _MISSING:
            return None
        if plain.lower() in _NOT_FINITE:
            self.add(
                "is not finite",
                "Leave the cell empty, or write NA, where nothing was measured.",
                row,
                column,
                text,
            )
            return math.nan
        comma = None if self.decimal_comma else explain_comma(plain)
        if comma:
            self.add(*comma, row, column, text)
            return math.nan
        if not _NUMBER.match(plain):
            remedy = "Write a number alone, such as 0.5; units belong into the header."
            self.add("is not a number", remedy, row, column, text)
            return math.nan
        value = float(plain.replace(",", "."))
        if not math.isfinite(value):
            self.add("is too large a number", "Use another unit.", row, column, text)
            return math.nan
        return value


def read_dose_table(
    path: Path, *, dose: str, response: str, total: str | None = None, by: Sequence[str] = ()
) -> DoseTable:
    """Read a long table: a row per measurement, its columns parted by comma, semicolon or tab.

    Parameters
    ----------
    path
        File in UTF-8, UTF-16 or Latin-1. Decimal commas are read where the columns are parted
        otherwise.
    dose, response
        Columns. Doses are 0 (controls) or more; response any number, or a count of `total`.
    total
        Column of how many were counted in all.
    by
        Columns that tell groups apart; one name may hold several, parted by commas.

    Raises
    ------
    InputError
        With every mistake, its row and column.
    """
    name = str(path)
    wanted = [own for own in (dose, response, total, *by) if own]
    read = _read(path, name, wanted)
    records, problems = read.rows, read.problems
    if not problems and not records:
        problems = [Problem(name, "is empty", "Write a header line and a row a measurement.", 1)]
    if problems:
        raise InputError(problems)
    line, header = records[0]
    reader = _Reader(name, header, line, _decimal_comma(records))
    by_names = [own for text in by for own in _split(text, header)]
    columns = {"dose": (dose, "--dose"), "response": (response, "--response")}
    if total is not None:
        columns["total"] = (total, "--total")
    places = {key: reader.place(*wanted) for key, wanted in columns.items()}
    by_places = [reader.place(own, "--by") for own in by_names]
    if not records[1:]:
        reader.add("has a header and no rows", "Add a row for each measurement.", line)
    if reader.problems:
        raise InputError(reader.problems)
    by_titles = list(dict.fromkeys(header[i] for i in by_places if i is not None))
    groups: dict[tuple[str, ...], None] = {}
    rows, missing = _rows(reader, records[1:], places, by_titles, groups)
    if not reader.problems and not rows:
        reader.add("has no row with dose and response", "Fill the columns.", line)
    if reader.problems:
        raise InputError(reader.problems)
    return DoseTable(pd.DataFrame(rows), by_titles, missing, tuple(groups))


def _rows(
    reader: _Reader,
    records: Sequence[tuple[int, list[str]]],
    places: dict[str, int | None],
    by: Sequence[str],
    groups: dict[tuple[str, ...], None],
) -> tuple[list[dict[str, object]], int]:
    """Rows with all that a fit needs, and how many have not; the groups of all are filled in."""
    rows: list[dict[str, object]] = []
    missing = 0
    titles = {key: reader.header[at] for key, at in places.items() if at is not None}
    for row, cells in records:
        if any(cells[len(reader.header) :]):
            reader.add(
                f"has {len(cells)} cells where the header has {len(reader.header)}",
                "Put a text that holds the separator in quotes, and write decimals with a point.",
                row,
                value=",".join(cells),
            )
            continue
        padded = [*cells, *[""] * (len(reader.header) - len(cells))]
        found = {
            key: reader.number(padded[at], row, titles[key])
            for key, at in places.items()
            if at is not None
        }
        if found["dose"] is None and any(found[key] is not None for key in found):
            reader.add("has no dose", "Write 0 for controls.", row, titles["dose"])
        _check(reader, row, found, titles)
        values = list(found.values())
        own = tuple(padded[reader.header.index(title)] for title in by)
        groups.setdefault(own)
        if any(value is None for value in values):
            missing += 1
        elif not any(value is not None and math.isnan(value) for value in values):
            rows.append({"by": own, **found})
    return rows, missing


def _check(
    reader: _Reader, row: int, found: dict[str, float | None], titles: dict[str, str]
) -> None:
    """What single numbers cannot be: doses below 0, counts that are none."""
    dose, response, total = found["dose"], found["response"], found.get("total")
    if dose is not None and dose < 0:
        remedy = "Write the dose itself, not its logarithm; 0 is a control."
        reader.add("is a dose below 0", remedy, row, titles["dose"], dose)
    if "total" not in found:
        return
    for key, value in (("response", response), ("total", total)):
        if value is None or math.isnan(value):
            continue
        if value < 0:
            reader.add("is a count below 0", "Count again.", row, titles[key], value)
        elif value != round(value):
            remedy = "Give the count itself, not a share; without counts leave out --total."
            reader.add("is not a whole number", remedy, row, titles[key], value)
    if response is not None and total is not None and response > total:
        reader.add(
            f"is more than {titles['total']} ({total:g})",
            "Check that the two columns are not swapped.",
            row,
            titles["response"],
            response,
        )


def _read(path: Path, name: str, wanted: Sequence[str]) -> Records:
    """Cells of the table, parted by the mark that shows the most of the columns wanted."""
    best = read_records(path, name, separators=_SEPARATORS)
    shown = _shown(best, wanted)
    for mark in _SEPARATORS:
        read = read_records(path, name, separators=mark)
        if _shown(read, wanted) > shown:
            best, shown = read, _shown(read, wanted)
    return best


def _shown(records: Records, wanted: Sequence[str]) -> int:
    """How many of the columns wanted the header has."""
    header = {cell.lower() for cell in records.rows[0][1]} if records.rows else set()
    return len(header & {own.strip().lower() for own in wanted})


def _split(text: str, header: Sequence[str]) -> list[str]:
    """Names in one --by; a column whose own name has a comma is taken whole."""
    if text.strip() in header:
        return [text]
    return [own for own in (part.strip() for part in text.split(",")) if own]


def _decimal_comma(records: Sequence[tuple[int, list[str]]]) -> bool:
    """Whether commas stand for the point: one must, no point does, and none may part thousands."""
    cells = [cell for _, row in records[1:] for cell in row if _NUMBER.match(cell)]
    said = [explain_comma(cell) for cell in cells if "," in cell]
    surely = any(found is None or found[0] == "has a decimal comma" for found in said)
    return surely and not any("." in cell for cell in cells)


def plain_title(title: str) -> str:
    """A column's name that no spreadsheet runs as a formula."""
    return "'" + title if title.startswith(_FORMULA) else title

"""Tables as people save them: encodings, separators, spreadsheets' habits."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gridwell.config.errors import Problem
from gridwell.config.explain import DECIMAL_COMMA, short, suggest

MAX_BYTES = 50_000_000
# Columns in which a number may have decimals.
_DECIMAL_COLUMNS = ("concentration", "value", "pixel_size_um")
_SEPARATOR_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs"}


@dataclass
class Table:
    """Cells of a text table, trimmed, with the line on which each row begins.

    Attributes
    ----------
    rows
        (line in the file, cells that are not empty by column name) of each row.
    columns
        Known columns in the order of the file.
    problems
        What is wrong with the table as such.
    """

    rows: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read_table(
    path: Path,
    name: str,
    *,
    known: Sequence[str],
    required: Sequence[str],
    separators: str,
) -> Table:
    """Read a table with a header line; empty lines and lines that begin with # are skipped.

    Parameters
    ----------
    path
        File in UTF-8 (with or without BOM), UTF-16 with BOM, or Latin-1.
    name
        What problems call the file.
    known, required
        Columns that may and that must be there; case and outer blanks do not count.
    separators
        Characters that may part the columns; the header decides among them.

    Notes
    -----
    Never raises for what the file holds: `Table.problems` has all mistakes.
    """
    table = Table()
    text = _decode(path, name, table.problems)
    if text is None:
        return table
    lines = _records(text, separators)
    if not lines:
        table.problems.append(
            Problem(
                file=name,
                row=1,
                reason="is empty",
                remedy=f"Write a header line with the columns {', '.join(required)} first.",
            )
        )
        return table
    header_line, header = lines[0]
    positions = _header(header, header_line, name, known, required, separators, table)
    if positions is None:
        return table
    for line, cells in lines[1:]:
        row = _row(cells, line, header, positions, name, table.problems)
        if row is not None:
            table.rows.append((line, row))
    return table


def _decode(path: Path, name: str, problems: list[Problem]) -> str | None:
    if path.is_dir():
        problems.append(
            Problem(file=name, reason="is a folder, not a table", remedy="Put the file here.")
        )
        return None
    size = path.stat().st_size
    if size > MAX_BYTES:
        problems.append(
            Problem(
                file=name,
                reason=f"is {size} bytes long, {MAX_BYTES} at most are read",
                remedy="Check that it is the right file.",
            )
        )
        return None
    data = path.read_bytes()
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        problems.append(
            Problem(
                file=name,
                reason="is a spreadsheet workbook, not a text table",
                remedy="Open it in the spreadsheet program and save the sheet as text "
                "(CSV UTF-8, or tab separated).",
            )
        )
        return None
    encodings = ("utf-16",) if data.startswith((b"\xff\xfe", b"\xfe\xff")) else ("utf-8-sig",)
    for encoding in (*encodings, "latin-1"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        break
    if "\0" in text:
        problems.append(
            Problem(
                file=name,
                row=text[: text.index("\0")].count("\n") + 1,
                reason="is not a text file",
                remedy="Save the table as text (CSV UTF-8, or tab separated).",
            )
        )
        return None
    return text


def _records(text: str, separators: str) -> list[tuple[int, list[str]]]:
    """Lines that hold something: (line number from 1, cells)."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    first = 0
    separator = None
    while first < len(lines) and _skipped(lines[first]):
        first += 1
    if first < len(lines) and lines[first].strip().lower().startswith("sep="):
        separator = lines[first].strip()[4:5] or None  # a spreadsheet's own hint
        first += 1
        while first < len(lines) and _skipped(lines[first]):
            first += 1
    if first == len(lines):
        return []
    if separator not in list(separators):
        counts = {mark: lines[first].count(mark) for mark in separators}
        separator = max(separators, key=lambda mark: counts[mark])
    reader = csv.reader(io.StringIO("\n".join(lines[first:])), delimiter=separator)
    records = []
    begin = first
    for raw in reader:
        line, begin = begin + 1, first + reader.line_num
        cells = [cell.strip().lstrip("\ufeff") for cell in raw]
        if any(cells) and not cells[0].startswith("#"):
            records.append((line, cells))
    return records


def _skipped(line: str) -> bool:
    return not line.strip(" \t,;\ufeff\xa0") or line.lstrip().startswith("#")


def _header(
    header: Sequence[str],
    line: int,
    name: str,
    known: Sequence[str],
    required: Sequence[str],
    separators: str,
    table: Table,
) -> Mapping[str, int] | None:
    """Where each known column stands, or None where the columns are not told apart."""
    whole = " ".join(header)
    if len(header) == 1 and len(known) > 1:
        for mark in ",;\t":
            if mark in whole and mark not in separators:
                table.problems.append(_wrong_separator(name, line, _SEPARATOR_NAMES[mark], whole))
                return None
        if " " in whole and any(word.lower() in known for word in whole.split()):
            table.problems.append(_wrong_separator(name, line, "blanks", whole))
            return None
    positions: dict[str, int] = {}
    unknown = False
    for index, title in enumerate(header):
        column = title.lower()
        if not column:
            continue  # empty columns at the end, as spreadsheets add them
        if column not in known:
            unknown = True
            table.problems.append(
                Problem(
                    file=name,
                    row=line,
                    column=title,
                    reason="is no known column",
                    remedy=suggest(title, list(known), "columns")
                    + " Rename it, or delete the column.",
                    value=short(title),
                )
            )
        elif column in positions:
            table.problems.append(
                Problem(
                    file=name,
                    row=line,
                    column=column,
                    reason="is a column twice",
                    remedy="Keep one of the two.",
                )
            )
        else:
            positions[column] = index
    for column in required:
        if column not in positions:
            table.problems.append(
                Problem(
                    file=name,
                    row=line,
                    column=column,
                    reason="is missing from the header",
                    remedy="Add the column"
                    + (", or rename the one that is meant." if unknown else "."),
                )
            )
    table.columns = list(positions)
    return positions if all(column in positions for column in required) else None


def _wrong_separator(name: str, line: int, found: str, header: str) -> Problem:
    return Problem(
        file=name,
        row=line,
        reason=f"has its columns separated by {found}, not by tabs",
        remedy="Save it as tab-separated text (TSV); in an editor, press the Tab key between "
        "columns.",
        value=short(header),
    )


def _row(
    cells: Sequence[str],
    line: int,
    header: Sequence[str],
    positions: Mapping[str, int],
    name: str,
    problems: list[Problem],
) -> dict[str, str] | None:
    """Cells that are not empty, by column; None where they cannot be told apart."""
    extra = [cell for cell in cells[len(header) :] if cell]
    if extra:
        remedy = "Delete what is too much; put a text that holds the separator in quotes."
        column = _cut_number(cells, header) if len(cells) == len(header) + 1 else None
        if column:
            reason, remedy = "has a decimal comma", "Write it with a point: 1.5, not 1,5."
        else:
            reason = f"has {len(cells)} cells where the header has {len(header)}"
        problems.append(
            Problem(
                file=name,
                row=line,
                column=column,
                reason=reason,
                remedy=remedy,
                value=short(",".join(cells)),
            )
        )
        return None
    row = {}
    for cell in cells:
        if any(ord(mark) < 32 or ord(mark) == 127 for mark in cell):
            problems.append(
                Problem(
                    file=name,
                    row=line,
                    reason="holds a line break, tab or control character inside a cell",
                    remedy="Delete it; check that every quote that opens is closed.",
                    value=short(cell),
                )
            )
            return None
    for column, index in positions.items():
        if index < len(cells) and cells[index]:
            row[column] = cells[index]
    return row


def _cut_number(cells: Sequence[str], header: Sequence[str]) -> str | None:
    """Column of a number that its decimal comma has cut in two, if that is what happened."""
    for index, title in enumerate(header):
        pair = ",".join(cells[index : index + 2])
        if title.lower() in _DECIMAL_COLUMNS and DECIMAL_COMMA.match(pair):
            return title.lower()
    return None

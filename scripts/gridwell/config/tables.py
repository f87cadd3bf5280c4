"""Tables as people save them: encodings, separators, spreadsheets' habits."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gridwell.config.errors import Problem
from gridwell.config.explain import DECIMAL_COMMA, closest, short, suggest, unreadable

MAX_BYTES = 50_000_000
# Columns in which a number may have decimals, and in which there are none.
_DECIMAL_COLUMNS = ("concentration", "value", "pixel_size_um")
_WORD_COLUMNS = ("unit", "role", "agent")
_LINES_THAT_TELL = 20  # which character parts the columns
_SEPARATOR_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs"}


@dataclass
class Table:
    """Cells of a text table, trimmed, with the line on which each row begins.

    Attributes
    ----------
    line
        Line of the header.
    rows
        (line in the file, cells that are not empty by column name) of each row.
    columns
        Known columns in the order of the file.
    problems
        What is wrong with the table as such.
    """

    line: int = 1
    rows: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


@dataclass
class Records:
    """Cells of a text table, trimmed, before it is known what they mean.

    Attributes
    ----------
    rows
        (line in the file, from 1, cells) of each line that holds something.
    notes
        (line in the file, text) of each line that begins with #.
    problems
        Why the file could not be read, if it could not.
    """

    rows: list[tuple[int, list[str]]] = field(default_factory=list)
    notes: list[tuple[int, str]] = field(default_factory=list)
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
    records = read_records(path, name, separators=separators)
    table = Table(problems=records.problems)
    if not records.rows:
        if not table.problems:
            table.problems.append(
                Problem(
                    file=name,
                    row=1,
                    reason="is empty",
                    remedy=f"Write a header line with the columns {', '.join(required)} first.",
                )
            )
        return table
    read_rows(table, records, name, known=known, required=required, separators=separators)
    return table


def read_rows(
    table: Table,
    records: Records,
    name: str,
    *,
    known: Sequence[str],
    required: Sequence[str],
    separators: str,
) -> None:
    """Take the first record for the header and the others for rows; see `read_table`."""
    table.line, header = records.rows[0]
    positions = _header(header, name, known, required, table, separators=separators)
    if positions is None:
        return
    for line, cells in records.rows[1:]:
        try:
            row = _row(cells, header, positions)
        except ValueError as error:
            column, reason, remedy = error.args
            table.problems.append(
                Problem(name, reason, remedy, line, column, short(",".join(cells)))
            )
            continue
        table.rows.append((line, row))


def read_records(path: Path, name: str, *, separators: str) -> Records:
    """Cells of a text table, whatever they mean; what cannot be read is told as a problem."""
    records = Records()
    text = _decode(path, name, records.problems)
    if text is None:
        return records
    try:
        _split(text, separators, records)
    except csv.Error:
        records.problems.append(
            Problem(
                file=name,
                reason="has a cell of more than 100000 characters",
                remedy="Check that every quote that opens is closed.",
            )
        )
    return records


def _decode(path: Path, name: str, problems: list[Problem]) -> str | None:
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= MAX_BYTES else b""
    except OSError as error:
        problems.append(unreadable(name, error))
        return None
    if size > MAX_BYTES:
        problems.append(
            Problem(
                file=name,
                reason=f"is {size} bytes long, {MAX_BYTES} at most are read",
                remedy="Check that it is the right file.",
            )
        )
        return None
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


def _split(text: str, separators: str, records: Records) -> None:
    """Fill `records` with the lines that hold something."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    records.notes = [
        (number, line.strip(' "\t,;\ufeff\xa0'))
        for number, line in enumerate(lines, 1)
        if line.lstrip(' "\t').startswith("#")
    ]
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
        return
    if separator not in list(separators):
        separator = _separator(lines[first:], separators)
    reader = csv.reader(io.StringIO("\n".join(lines[first:])), delimiter=separator)
    begin = first
    for raw in reader:
        line, begin = begin + 1, first + reader.line_num
        cells = [cell.strip().lstrip("\ufeff") for cell in raw]
        if any(cells) and not cells[0].startswith("#"):
            records.rows.append((line, cells))


def _separator(lines: Sequence[str], separators: str) -> str:
    """What parts the columns: the header tells, or the lines below where it is but a title."""
    for part in (lines[:1], lines[:_LINES_THAT_TELL]):
        counts = {mark: sum(line.count(mark) for line in part) for mark in separators}
        if max(counts.values()) > 1:
            break
    return max(separators, key=lambda mark: counts[mark])


def _skipped(line: str) -> bool:
    return not line.strip(" \t,;\ufeff\xa0") or line.lstrip(' "\t').startswith("#")


def _header(
    header: Sequence[str],
    name: str,
    known: Sequence[str],
    required: Sequence[str],
    table: Table,
    *,
    separators: str,
) -> Mapping[str, int] | None:
    """Where each known column stands, or None where the columns are not told apart.

    A column with a wrong name is taken for the one that was meant, so that its cells are
    checked as well.
    """
    found = _other_separator(header, known, separators)
    if found:
        table.problems.append(_wrong_separator(name, table.line, found, " ".join(header)))
        return None

    def wrong(column: str, reason: str, remedy: str, value: object = None) -> None:
        table.problems.append(Problem(name, reason, remedy, table.line, column, short(value)))

    titles = [title.lower() for title in header]
    positions: dict[str, int] = {}
    for index, title in enumerate(titles):
        if title in positions:
            wrong(header[index], "is there twice", "Keep one of the two columns.")
        elif title in known:
            positions[title] = index
    for index, title in enumerate(titles):
        if not title or title in known:
            continue  # spreadsheets add empty columns at the end
        meant = closest(title, known)
        remedy = suggest(title, list(known), "columns") + " Rename it, or delete the column."
        wrong(str(short(header[index])), "is no known column", remedy, header[index])
        if meant and meant not in titles:
            positions.setdefault(meant, index)
    missing = [column for column in required if column not in positions]
    for column in missing:
        wrong(column, "is missing from the header", "Add the column.")
    table.columns = list(positions)
    return None if missing else positions


def _other_separator(header: Sequence[str], known: Sequence[str], separators: str) -> str | None:
    """What parts the columns, where it is none of the separators meant."""
    if len(header) > 1:
        return None
    for mark, found in _SEPARATOR_NAMES.items():
        if mark in header[0] and mark not in separators:
            return found
    words = header[0].lower().split()
    return "blanks" if len(words) > 1 and any(word in known for word in words) else None


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
    cells: Sequence[str], header: Sequence[str], positions: Mapping[str, int]
) -> dict[str, str]:
    """Cells that are not empty, by column.

    Raises
    ------
    ValueError
        Where the cells cannot be told apart; with column, reason and remedy.
    """
    column = _cut_number(cells, header)
    if column:
        raise ValueError(column, "has a decimal comma", "Write it with a point: 1.5, not 1,5.")
    if any(cells[len(header) :]):
        raise ValueError(
            None,
            f"has {len(cells)} cells where the header has {len(header)}",
            "Delete what is too much; put a text that holds the separator in quotes.",
        )
    if len(cells) == 1 and len(positions) > 1 and re.search(r"[\s,;]", cells[0]):
        raise ValueError(
            None,
            f"has one cell where the header has {len(header)}",
            "Separate the cells as in the header (blanks are no separator).",
        )
    if any(ord(mark) < 32 or ord(mark) == 127 for cell in cells for mark in cell):
        raise ValueError(
            None,
            "holds a line break, tab or control character inside a cell",
            "Delete it; check that every quote that opens is closed.",
        )
    return {
        column: cells[index]
        for column, index in positions.items()
        if index < len(cells) and cells[index]
    }


def _cut_number(cells: Sequence[str], header: Sequence[str]) -> str | None:
    """Column of a number that its decimal comma has cut in two, if that is what happened.

    It has where a cell is left over, and where digits stand in a column of words.
    """
    left_over = len(cells) == len(header) + 1 and bool(cells[-1])
    titles = [title.lower() for title in header] + [""]
    for index, title in enumerate(titles[:-1]):
        cut = left_over or titles[index + 1] in _WORD_COLUMNS
        if title in _DECIMAL_COLUMNS and cut:
            pair = ",".join(cells[index : index + 2])
            if DECIMAL_COMMA.match(pair):
                return title
    return None

"""Layouts drawn as the plate: a block for each of agent, concentration, role and so on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from gridwell.config.errors import Problem
from gridwell.config.explain import short, suggest
from gridwell.config.layouts_rows import Entry, Source, row_label
from gridwell.config.layouts_words import (
    COLUMNS,
    NUMBERED,
    Title,
    read_block_title,
    read_title,
    title_meant,
)
from gridwell.config.spots import spot_name
from gridwell.config.tables import Records

_HOLDS = tuple(column for column in COLUMNS if column not in ("spot", "row", "col", "plate"))
_NUMBER = re.compile(r"^0*([1-9][0-9]{0,3})(\.0+)?$")
_ROW = re.compile(r"^(?!ph$)([A-Z]{1,2}|[0-9]{1,3})$", re.IGNORECASE)
# Words that people write into the corner, and that say nothing.
_CORNER = {"", "row", "rows", "well", "wells", "row/col", "row\\col", "<>", "plate", "layout"}


@dataclass
class Block:
    """A drawing of the plate.

    Attributes
    ----------
    line
        Line of its header.
    corner
        Index of the cell above the letters.
    columns
        Number of the plate's column, from 1, of each cell to the right of the corner.
    title, title_line
        What it holds, as the file says, and where.
    rows
        (line, row from 0, cells below `columns`) of each row.
    """

    line: int
    corner: int
    columns: list[int]
    title: str = ""
    title_line: int = 0
    rows: list[tuple[int, int, list[str]]] = field(default_factory=list)


def has_blocks(records: Records) -> bool:
    """Whether any part of a file is drawn as the plate."""
    rows = records.rows
    return any(_headers(rows, index) for index in range(len(rows) - 1))


def _headers(rows: Sequence[tuple[int, list[str]]], index: int) -> list[Block]:
    """Blocks that begin in a record: numbers that count up, and a row's letter below the corner."""
    line, cells = rows[index]
    below = rows[index + 1][1] if index + 1 < len(rows) else []
    blocks: list[Block] = []
    at = 1
    while at < len(cells):
        columns: list[int] = []
        while at + len(columns) < len(cells):
            number = _NUMBER.match(cells[at + len(columns)])
            if not number or (columns and int(number[1]) <= columns[-1]):
                break
            columns.append(int(number[1]))
        corner = at - 1
        letter = below[corner] if corner < len(below) else ""
        starts = (
            bool(columns)
            and not _ROW.match(cells[corner])
            and _ROW.match(letter) is not None
            and (letter.isalpha() or letter == "1")
            # Blocks beside each other show the same rows; anything else is what is in a cell.
            and (not blocks or letter == below[blocks[0].corner])
        )
        # Only a grid of its own has one column; another would be taken for any number.
        alone = corner == 0 and (cells[0].lower() in _CORNER or read_title(cells[0]) is not None)
        if starts and (len(columns) > 1 or alone):
            blocks.append(Block(line, corner, columns, cells[corner], line))
            at += len(columns) + 1
        else:
            at += max(len(columns), 1)
    return blocks


def read_grid(records: Records, name: str) -> Source:
    """Read blocks drawn as the plate: numbers of columns above, letters of rows to the left.

    What a block holds stands in its corner or in the line above it: ``agent``, ``concentration
    (uM)``, ``role``, ``agent 2`` and so on. ``plate, P1`` in a line of its own begins the blocks
    of another plate.
    """
    source = Source(kind="plate grid, one block for each attribute", line=records.rows[0][0])
    cells: dict[tuple[str | None, int, int], dict[str, tuple[str, int, str]]] = {}
    titles: dict[tuple[str | None, str], Title] = {}
    for plate, block in _blocks(records, name, source):
        title = _title(block, name, source)
        if title is None:
            continue
        titles[plate, title.key] = title
        source.columns.add(title.column)
        for line, row, texts in block.rows:
            for column, text in zip(block.columns, texts, strict=False):
                own = cells.setdefault((plate, row, column - 1), {})
                place = f"column {column}, {title.key} of {spot_name(row, column - 1)}"
                if not text:
                    continue
                if title.key in own:
                    source.problems.append(
                        Problem(
                            file=name,
                            row=line,
                            column=place,
                            reason=f"stands in row {own[title.key][1]} already",
                            remedy="Keep one of the two blocks, or give one another title.",
                            value=short(text),
                        )
                    )
                    continue
                own[title.key] = (text, line, place)
    plates = list(dict.fromkeys(plate for plate, _, _ in cells))
    order = sorted(cells, key=lambda place: (plates.index(place[0]), place[1:]))
    for plate, row, col in order:
        own = cells[plate, row, col]
        source.entries += _entries(plate, spot_name(row, col), own, titles)
    if not source.entries and not source.problems:
        source.problems.append(
            Problem(name, "has no filled cell", "Fill the blocks.", row=source.line)
        )
    return source


def _blocks(records: Records, name: str, source: Source) -> list[tuple[str | None, Block]]:
    """All blocks, each with the plate it is about; what belongs to no block is a mistake."""
    rows = records.rows
    blocks: list[tuple[str | None, Block]] = []
    plate: str | None = None
    stray: tuple[int, list[str]] | None = None  # a line that may be the title of a block
    at = 0
    while at < len(rows):
        found = _headers(rows, at)
        if not found:
            line, cells = rows[at]
            named = _named_plate(cells)
            if named:
                plate = named
            else:
                if stray:
                    source.problems.append(_outside(name, *stray))
                stray = (line, cells)
            at += 1
            continue
        if stray and not _entitle(found, stray):
            source.problems.append(_outside(name, *stray))
        stray = None
        _entitle_by_note(found[0], rows[at - 1][0] if at else 0, records.notes)
        at = _fill(found, rows, at + 1, name, source)
        blocks += [(plate, block) for block in found]
    if stray:
        source.problems.append(_outside(name, *stray))
    return blocks


def _named_plate(cells: Sequence[str]) -> str | None:
    filled = [cell for cell in cells if cell]
    if len(filled) == 1 and ":" in filled[0]:
        filled = [part.strip() for part in filled[0].split(":", 1)]
    if len(filled) != 2 or not all(filled) or filled[0] != cells[0].split(":")[0].strip():
        return None
    title = read_title(filled[0])
    return filled[1] if title and title.column == "plate" else None


def _entitle(blocks: Sequence[Block], above: tuple[int, list[str]]) -> bool:
    """Take the line above for the titles of blocks; tell whether it is one."""
    line, cells = above
    filled = [index for index, cell in enumerate(cells) if cell]
    if len(filled) > len(blocks):
        return False
    for index in filled:
        # Merged cells keep their text in the first one, which may lie right of the corner.
        under = [block for block in blocks if block.corner <= index]
        block = under[-1] if under else blocks[0]
        if read_block_title(block.title) is None:
            if block.title.lower() not in _CORNER:
                return False
            block.title, block.title_line = cells[index], line
    return True


def _entitle_by_note(block: Block, line_before: int, notes: Sequence[tuple[int, str]]) -> None:
    """A line ``# agent`` just above a block without a title is its title."""
    if block.title.lower() not in _CORNER:
        return
    for line, text in notes:
        if line_before < line < block.line and read_block_title(text) is not None:
            block.title, block.title_line = text, line


def _fill(
    blocks: Sequence[Block],
    rows: Sequence[tuple[int, list[str]]],
    at: int,
    name: str,
    source: Source,
) -> int:
    """Add the rows below the headers to their blocks; return where they end."""
    end = max(block.corner + len(block.columns) for block in blocks) + 1
    while at < len(rows):
        line, cells = rows[at]
        labels = [cells[block.corner] if block.corner < len(cells) else "" for block in blocks]
        if not any(_ROW.match(label) for label in labels):
            break
        for block, label in zip(blocks, labels, strict=True):
            row = row_label(label) if _ROW.match(label) else None
            values = cells[block.corner + 1 : block.corner + 1 + len(block.columns)]
            if row is None:
                if any(values):
                    source.problems.append(
                        Problem(
                            name,
                            "is no row",
                            "Write the letters of the row.",
                            line,
                            f"column {block.corner + 1}",
                            short(label),
                        )
                    )
                continue
            twice = [before for before, other, _ in block.rows if other == row]
            if twice:
                source.problems.append(
                    Problem(
                        name,
                        f"row {label} of the plate stands in row {twice[0]} already",
                        "Keep one, or begin another block with a header of its own.",
                        line,
                    )
                )
                continue
            block.rows.append((line, row, values))
        if any(cells[end:]):
            source.problems.append(
                Problem(
                    name,
                    "has more cells than the header of its block",
                    "Add the numbers of the columns, or delete what is too much; put a text "
                    "that holds the separator in quotes.",
                    line,
                    value=short(",".join(cell for cell in cells[end:] if cell)),
                )
            )
        at += 1
    return at


def _title(block: Block, name: str, source: Source) -> Title | None:
    """What a block holds, or None where that is not clear."""
    title = read_block_title(block.title)
    if title is not None and title.column in _HOLDS and title.wrong_unit is None:
        return title
    if title is not None and title.wrong_unit is not None:
        reason, remedy = "is no known unit of concentrations", "Write it as concentration (uM)."
    elif block.title.lower() in _CORNER:
        reason = "has a block that does not say what it holds"
        remedy = f"Write one of {', '.join(_HOLDS)} into its corner or the line above."
    else:
        meant = title_meant(block.title)
        reason = "is no known attribute of spots"
        remedy = (f"Did you mean {meant!r}? " if meant in _HOLDS else "") + suggest(
            "", _HOLDS, "attributes"
        )
    source.problems.append(
        Problem(name, reason, remedy, block.title_line, None, short(block.title) or None)
    )
    return None


def _outside(name: str, line: int, cells: Sequence[str]) -> Problem:
    return Problem(
        file=name,
        row=line,
        reason="belongs to no block: it is no row of a plate and no title of one",
        remedy="Begin the line with the letters of the row, or with # if it is a note.",
        value=short(",".join(cells).strip(",")),
    )


def _entries(
    plate: str | None,
    spot: str,
    own: dict[str, tuple[str, int, str]],
    titles: dict[tuple[str | None, str], Title],
) -> list[Entry]:
    """One spot as one entry for each of its agents."""
    if not own:
        return []
    of_spot = {key: text for key, (text, _, _) in own.items() if key.split(" ")[0] not in NUMBERED}
    of_spot["spot"] = spot
    if plate:
        of_spot["plate"] = plate
    agents: dict[int, dict[str, str]] = {}
    for key, (text, _, _) in own.items():
        column, _, number = key.partition(" ")
        if column in NUMBERED:
            agents.setdefault(int(number or 1), {})[column] = text
    filled = sorted(number for number, cells in agents.items() if set(cells) - {"unit"})
    entries = []
    for number in filled or [1]:
        suffix = "" if number == 1 else f" {number}"
        title = titles.get((plate, f"concentration{suffix}"))
        where = {
            column: own[key][1:]
            for column in _HOLDS
            for key in (f"{column}{suffix}" if column in NUMBERED else column,)
            if key in own
        }
        first = own.get(f"agent{suffix}") or next(iter(own.values()))
        missing = {
            column: (first[1], f"{column} of {spot}") for column in COLUMNS if column not in where
        }
        cells = of_spot | agents.get(number, {})
        entries.append(Entry(first[1], cells, title.unit if title else None, missing | where))
    return entries

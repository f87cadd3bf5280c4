"""Layouts with one row for each spot and agent, whatever their columns are called."""

from __future__ import annotations

from gridwell.config.errors import Problem
from gridwell.config.explain import short
from gridwell.config.layouts_rows import Entry, Source
from gridwell.config.layouts_words import (
    COLUMNS,
    NUMBERED,
    UNITS,
    Title,
    rank,
    read_title,
    title_meant,
)
from gridwell.config.tables import Records, Table, read_rows

_FALLBACK = "role otherwise"  # pert_type, where control_type is empty
_PLATE_MAP = "broad sample"


def read_long(records: Records, name: str) -> Source:
    """Read a table with one row for each spot and agent, or with ``agent 2`` beside ``agent``.

    Titles may be those of the design, or others that people use (``well``, ``drug``,
    ``Concentration [µM]``, ``control_type``). A table that has the titles of the design only may
    have no other column; of another one, columns that mean nothing here are left out.
    """
    line, header = records.rows[0]
    titles = [read_title(cell) for cell in header]
    source = Source(kind="table, one row for each spot and agent", line=line)
    keys, names = _columns(header, titles, name, source)
    phrases = {title.phrase for title in titles if title}
    if phrases & {_PLATE_MAP, "well position"} and "spot" not in phrases:
        source.kind = "plate map, one row for each spot"
    table = Table()
    numbered = [key for key in keys if key.split(" ")[0] in NUMBERED]
    also = [_FALLBACK] if _FALLBACK in keys else []
    known = list(dict.fromkeys([*COLUMNS, *numbered, *also]))
    read_rows(
        table,
        Records(rows=[(line, keys), *records.rows[1:]]),
        name,
        known=known if any(keys) else COLUMNS,
        required=(),
        separators=",;\t",
    )
    source.problems += table.problems
    source.columns = {key.split(" ")[0] for key in table.columns}
    if not table.columns:
        if not source.problems:
            source.problems.append(_no_spots(name, line, "spot"))
        return source
    missing = _missing(table.columns, name, line)
    source.problems += missing
    if missing:
        return source
    if not table.rows and not source.problems:
        source.problems.append(
            Problem(
                file=name,
                row=line + 1,
                reason="has a header but no rows",
                remedy="Write one row for each spot and agent.",
            )
        )
    of_key = {title.key: title for title in titles if title}
    for row_line, cells in table.rows:
        source.entries += _entries(row_line, cells, of_key, names, _PLATE_MAP in phrases)
    if "mmoles_per_liter" in (cell.lower() for cell in header):
        source.assumed.append(
            "doses are in mM, as mmoles_per_liter says; if they are in uM, say so: # unit: uM"
        )
    if _PLATE_MAP in phrases:
        source.assumed.append("spots without a broad_sample are negative controls")
    return source


def _columns(
    header: list[str], titles: list[Title | None], name: str, source: Source
) -> tuple[list[str], dict[str, str]]:
    """Our name of each column, empty for those left out; and what the file calls ours."""
    placed = {title.column for title in titles if title} & {"spot", "row", "col"}
    own = bool(placed) and all(
        title is None or (title.column == cell.strip().lower() and title.unit is None)
        for title, cell in zip(titles, header, strict=True)
    )
    best: dict[str, int] = {}
    keys = [""] * len(header)
    for index, title in enumerate(titles):
        if title is None:
            continue
        if title.wrong_unit is not None:
            source.problems.append(_wrong_unit(name, source.line, header[index], title.wrong_unit))
        before = best.get(title.key)
        if before is None:
            best[title.key], keys[index] = index, title.key
            continue
        other = titles[before]
        if other is None or header[index].lower() == header[before].lower():
            keys[index] = title.key  # told as a column that is there twice
            continue
        ranks = rank(title), rank(other)
        if ranks[0] is None and ranks[1] is None:
            source.problems.append(
                Problem(
                    file=name,
                    row=source.line,
                    column=header[index],
                    reason=f"says the same as column {header[before]}: {title.column}",
                    remedy="Keep one of the two columns.",
                )
            )
            continue
        loser = index
        if ranks[1] is None or (ranks[0] is not None and ranks[0] < ranks[1]):
            loser, best[title.key], keys[index] = before, index, title.key
        lost = titles[loser]
        keys[loser] = _FALLBACK if lost and lost.phrase == "pert type" else ""
    for index, (cell, title) in enumerate(zip(header, titles, strict=True)):
        if title is None and cell and (own or _looks_meant(cell, best)):
            keys[index] = cell  # told as an unknown column
    unused = [cell for cell, key in zip(header, keys, strict=True) if cell and not key]
    if unused:
        source.assumed.append(f"columns that are not used: {', '.join(unused)}")
    return keys, {key: header[index] for key, index in best.items()}


def _looks_meant(cell: str, found: dict[str, int]) -> bool:
    meant = title_meant(cell)
    return meant is not None and meant not in found


def _entries(
    line: int,
    cells: dict[str, str],
    titles: dict[str, Title],
    names: dict[str, str],
    plate_map: bool,
) -> list[Entry]:
    """A row as one entry, or as one for each agent of the spot."""
    otherwise = cells.pop(_FALLBACK, None)
    if otherwise and "role" not in cells:
        cells["role"] = otherwise
    of_spot = {key: text for key, text in cells.items() if key.split(" ")[0] not in NUMBERED}
    agents: dict[int, dict[str, str]] = {}
    for key, text in cells.items():
        column, _, number = key.partition(" ")
        if column in NUMBERED:
            agents.setdefault(int(number or 1), {})[column] = text
    filled = {number: own for number, own in agents.items() if set(own) - {"unit"}}
    if plate_map and not any("agent" in own for own in filled.values()):
        if of_spot.get("role", "control").lower() == "control":
            of_spot["role"] = "neg_ctrl"
        filled = {}
    entries = []
    for number in sorted(filled) or [1]:
        suffix = "" if number == 1 else f" {number}"
        title = titles.get(f"concentration{suffix}")
        where = {
            column: (line, names[key])
            for column in COLUMNS
            for key in (f"{column}{suffix}" if column in NUMBERED else column,)
            if key in names
        }
        own = filled.get(number, {} if filled else agents.get(1, {}))
        entries.append(Entry(line, of_spot | own, title.unit if title else None, where))
    return entries


def _wrong_unit(name: str, line: int, title: str, unit: str) -> Problem:
    return Problem(
        file=name,
        row=line,
        column=title,
        reason="is no known unit",
        remedy=f"Units: {', '.join(UNITS)}, mg/mL, ng/mL and the like; convert others.",
        value=short(unit),
    )


def _missing(columns: list[str], name: str, line: int) -> list[Problem]:
    problems = []
    if "spot" not in columns:
        missing = [column for column in ("row", "col") if column not in columns]
        if missing:
            problems.append(_no_spots(name, line, missing[0] if len(missing) == 1 else "spot"))
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
        remedy="Name the spots in a column spot (as C7), or in two columns row and col; "
        "docs/layouts.md shows what other files are read.",
    )

"""Layouts of many plates as JUMP keeps them: a table of barcodes, and a plate map for each kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from gridwell.config.errors import Problem
from gridwell.config.layouts_rows import ParsedLayout, frame, number_of
from gridwell.config.tables import Records

_TITLES = ("assay_plate_barcode", "plate_map_name")
_FOLDERS = ("", "platemap")
_ENDINGS = (".txt", ".tsv", ".csv", "")

Parse = Callable[[Path, str], ParsedLayout]


def names_plate_maps(records: Records) -> bool:
    """Whether a table tells which plate map each barcode has."""
    return _columns(records) is not None


def _columns(records: Records) -> tuple[int, int] | None:
    """Indices of the barcode and of the name of its plate map."""
    header = records.rows[0][1] if records.rows else []
    titles = [cell.strip().lower().replace(" ", "_") for cell in header]
    if not all(title in titles for title in _TITLES):
        return None
    return titles.index(_TITLES[0]), titles.index(_TITLES[1])


def plate_map_files(records: Records, path: Path, barcode: str | None) -> list[Path]:
    """Files of the plate maps of one barcode, or of all, as far as they are there."""
    columns = _columns(records)
    files: list[Path] = []
    for _, cells in records.rows[1:] if columns else []:
        if columns and max(columns) < len(cells) and barcode in (None, cells[columns[0]]):
            file = _find(path, cells[columns[1]])
            if file is not None and file not in files:
                files.append(file)
    return files


def _find(path: Path, plate_map: str) -> Path | None:
    """File of a plate map, beside the table of barcodes; never one outside its folder."""
    if "/" in plate_map or "\\" in plate_map or plate_map.startswith("."):
        return None
    for folder in _FOLDERS:
        for ending in _ENDINGS:
            file = path.parent / folder / f"{plate_map}{ending}"
            if file.is_file() and file != path:
                return file
    return None


@dataclass
class _Plates:
    """What was read so far."""

    tables: list[pd.DataFrame] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    maps: dict[str, ParsedLayout] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)


def read_plate_maps(records: Records, path: Path, name: str, parse: Parse) -> ParsedLayout:
    """Read the plate maps that a table of barcodes names; each barcode is a plate.

    Parameters
    ----------
    parse
        Reads one plate map, from its file and what problems call it.
    """
    columns = _columns(records) or (0, 1)
    titles = [records.rows[0][1][index] for index in columns]
    found = _Plates()
    for line, cells in records.rows[1:]:
        pair = [cells[index] if index < len(cells) else "" for index in columns]
        wrong = [
            Problem(name, "is empty", "Fill it in.", line, title)
            for title, text in zip(titles, pair, strict=True)
            if not text
        ]
        found.problems += wrong
        if wrong:
            continue
        barcode, plate_map = pair
        if barcode in found.seen:
            reason = f"stands in row {found.seen[barcode]} already"
            remedy = "Keep one of the two."
            found.problems.append(Problem(name, reason, remedy, line, titles[0], barcode))
            continue
        found.seen[barcode] = line
        if plate_map not in found.maps and not _read_map(found, path, name, plate_map, parse):
            reason = "has no plate map beside it"
            remedy = f"Put {plate_map}.txt beside this file, or into a folder platemap there."
            found.problems.append(Problem(name, reason, remedy, line, titles[1], plate_map))
            continue
        parsed = found.maps[plate_map]
        found.files[barcode] = parsed.files[plate_map]
        found.tables.append(parsed.table.assign(plate=barcode))
        found.lines += parsed.lines
    if not found.seen and not found.problems:
        remedy = "Write one row for each plate."
        found.problems.append(Problem(name, "has a header but no rows", remedy, row=2))
    table = pd.concat(found.tables, ignore_index=True) if found.tables else frame([])
    return ParsedLayout(
        table.astype(frame([]).dtypes),
        found.lines,
        found.problems,
        f"table of barcodes with {number_of(len(found.maps), 'plate map')}",
        list(dict.fromkeys(said for parsed in found.maps.values() for said in parsed.assumed)),
        found.files,
    )


def _read_map(found: _Plates, path: Path, name: str, plate_map: str, parse: Parse) -> bool:
    """Add a plate map to those that were read; tell whether there is one."""
    file = _find(path, plate_map)
    if file is None:
        return False
    shown = file.relative_to(path.parent).as_posix()
    folder = name.rpartition("/")[0]
    parsed = parse(file, f"{folder}/{shown}" if folder else shown)
    if plate_map in parsed.plates:  # a file of several plate maps
        parsed = parsed.of_plate(plate_map)
    elif len(parsed.plates) > 1:
        reason, remedy = "holds several plate maps, and not this one", "Correct the name."
        parsed.problems.append(Problem(f"{folder}/{shown}", reason, remedy, value=plate_map))
    parsed.files = {plate_map: shown}
    found.maps[plate_map] = parsed
    found.problems += parsed.problems
    return True

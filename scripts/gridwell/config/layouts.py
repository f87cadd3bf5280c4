"""Layouts: which agent and dose is in which spot, in the kinds of files that people have."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pandas as pd

from gridwell.config.errors import InputError, Problem
from gridwell.config.explain import suggest
from gridwell.config.files import write_csv
from gridwell.config.layouts_barcodes import names_plate_maps, plate_map_files, read_plate_maps
from gridwell.config.layouts_echo import Facts, find_transfers, in_common_unit, read_transfers
from gridwell.config.layouts_grid import has_blocks, read_grid
from gridwell.config.layouts_long import read_long
from gridwell.config.layouts_rows import ParsedLayout, Source, checked, frame, unit_family
from gridwell.config.layouts_told import layout_in_words, off_grid, off_grid_in_words
from gridwell.config.layouts_words import (
    COLUMNS,
    MOLAR,
    UNITS,
    convert_molar,
    read_number,
    read_title,
    read_unit,
    read_volume,
    split_quantity,
)
from gridwell.config.tables import Records, read_records

__all__ = [
    "COLUMNS",
    "FACTS",
    "MOLAR",
    "UNITS",
    "ParsedLayout",
    "convert_molar",
    "layout_files",
    "layout_in_words",
    "off_grid",
    "off_grid_in_words",
    "parse_layout",
    "plate_of",
    "read_layout",
    "read_layouts",
    "split_plate",
    "unit_family",
    "write_layout",
]

FACTS = ("unit", "volume", "stock")
"""What a line ``# unit: uM`` of a file, or an option of ``gridwell layout``, may say."""

_FACT = re.compile(r"^#\s*(unit|volume|stock)s?\s*[:=]\s*(.*)$", re.IGNORECASE)


def read_layout(path: Path, plate: str | None = None) -> pd.DataFrame:
    """Read a layout, one row per spot and agent.

    Parameters
    ----------
    path
        Text table with commas, semicolons or tabs; UTF-8, UTF-16 or Latin-1: one row for each
        spot and agent, blocks drawn as the plate, a pick list of an acoustic dispenser, a plate
        map, or a table of barcodes and plate maps. ``layout.csv#P1`` is plate P1 of layout.csv.
    plate
        Plate to read, where the file lays out several.

    Returns
    -------
    DataFrame
        ``spot`` (as C7), ``row`` and ``col`` (from 0), ``agent``, ``concentration``, ``unit``
        (one of `UNITS`), ``role``, ``replicate``, ``value``, ``sample``, ``plate``; in the order
        of the file, missing values as NaN.

    Raises
    ------
    InputError
        With all mistakes of the file, each with its line; or where the file lays out several
        plates and none is named.
    """
    path, named = split_plate(Path(path))
    return _chosen(_without_mistakes(path), plate or named, path.name)


def read_layouts(folder: Path, names: Iterable[str]) -> dict[str, pd.DataFrame]:
    """Read several layouts by their names in slides.tsv, each file once; see `read_layout`."""
    parsed: dict[Path, ParsedLayout] = {}
    tables: dict[str, pd.DataFrame] = {}
    for name in sorted(set(names)):
        path, plate = split_plate(Path(folder) / name)
        if path not in parsed:
            parsed[path] = _without_mistakes(path)
        tables[name] = _chosen(parsed[path], plate, path.name)
    return tables


def _without_mistakes(path: Path) -> ParsedLayout:
    parsed = parse_layout(path, path.name)
    if parsed.problems:
        raise InputError(parsed.problems)
    return parsed


def _chosen(parsed: ParsedLayout, plate: str | None, name: str) -> pd.DataFrame:
    chosen = plate_of(parsed, plate, name)
    if isinstance(chosen, Problem):
        raise InputError(chosen)
    return chosen.table


def write_layout(path: Path, table: pd.DataFrame) -> None:
    """Write a layout as a CSV that `read_layout` reads as the same table.

    Parameters
    ----------
    table
        As `read_layout` gives it. Columns that say nothing are left out.
    """
    named = [name for name in COLUMNS if name not in ("row", "col")]
    always = ("spot", "agent", "concentration", "unit", "role")
    shown = table[[name for name in named if name in always or table[name].notna().any()]].copy()
    for name in ("concentration", "value"):
        if name in shown:
            shown[name] = shown[name].map(_digits, na_action="ignore").astype("str")
    write_csv(path, shown)


def _digits(number: float) -> str:
    """All digits of a number, so that it comes back as it was: 10.0 -> 10."""
    return repr(float(number)).removesuffix(".0")


def split_plate(path: Path) -> tuple[Path, str | None]:
    """File and plate of ``layout.csv#P1``; a file of that very name is the file."""
    if "#" not in path.name or path.exists():
        return path, None
    file, _, plate = path.name.partition("#")
    return path.with_name(file), plate.strip()


def plate_of(parsed: ParsedLayout, plate: str | None, name: str) -> ParsedLayout | Problem:
    """The rows of one plate, or what is wrong with the choice.

    Parameters
    ----------
    plate
        Its name, or None where the file has one plate only.
    name
        What the problem calls the file.
    """
    plates = parsed.plates
    if plate is None:
        if len(plates) < 2:
            return parsed
        return Problem(
            file=name,
            reason=f"lays out {len(plates)} plates, and it is not said which is meant",
            remedy=f"Write it as {Path(name).name}#{plates[0]}. {suggest('', plates, 'plates')}",
            value=Path(name).name,
        )
    if plate in plates:
        return parsed.of_plate(plate)
    file = Path(name).name.removesuffix(f"#{plate}")
    remedy = suggest(plate, plates, "plates") if plates else f"Write {file} alone."
    reason = "is no plate of this layout" if plates else "lays out no plates by name"
    return Problem(file=name, reason=reason, remedy=remedy, value=f"#{plate}")


def parse_layout(path: Path, name: str, said: Mapping[str, str] | None = None) -> ParsedLayout:
    """As `read_layout`, but all plates, the line of each row, and problems told, not raised.

    Parameters
    ----------
    path
        The file, without a plate.
    name
        What problems call the file.
    said
        What the file does not say: ``unit``, ``volume`` (of a spot, as 50 uL) and ``stock``
        (concentration of all sources, as 10 mM). It wins over lines ``# unit: uM`` in the file.
    """
    if not (path.exists() or path.is_symlink()):
        problem = Problem(
            file=name, reason="does not exist", remedy="Put the layout there, or correct its name."
        )
        return ParsedLayout(frame([]), [], [problem])
    records = read_records(path, name, separators=",;\t")
    words = dict(said or {})
    if names_plate_maps(records):
        words = {key: text for key, (_, text) in _words(records).items()} | words

        def parse(file: Path, shown: str) -> ParsedLayout:
            return _parse(read_records(file, shown, separators=",;\t"), shown, words)

        return read_plate_maps(records, path, name, parse)
    return _parse(records, name, words)


def _parse(records: Records, name: str, said: Mapping[str, str]) -> ParsedLayout:
    """Read and check a layout that is one file."""
    if not records.rows:
        columns = "spot, agent, concentration, unit, role"
        remedy = f"Write a header line with the columns {columns} first."
        problems = records.problems or [Problem(name, "is empty", remedy, row=1)]
        return ParsedLayout(frame([]), [], problems)
    records.rows = [(line, [_as_text(cell) for cell in cells]) for line, cells in records.rows]
    facts, wrong = _facts(records, name, said)
    if wrong:  # what they are about would be wrong as well
        return ParsedLayout(frame([]), [], wrong)
    return checked(_read(records, name, facts), name)


def _as_text(cell: str) -> str:
    """Undo what keeps spreadsheets from running a text or changing it: ``="A1"``, ``'=x``."""
    text = re.fullmatch(r'="([^"]*)"', cell)
    if text:
        return text[1]
    return cell[1:] if re.match(r"'[=+\-@]", cell) else cell


def _read(records: Records, name: str, facts: Facts) -> Source:
    """Read a file by the reader of its kind, which its content tells."""
    if find_transfers(records) is not None:
        return read_transfers(records, name, facts)
    blocks = has_blocks(records)
    titles = [read_title(cell) for cell in records.rows[0][1]]
    columns = {title.column for title in titles if title}
    table = bool(columns & {"spot"}) or columns >= {"row", "col"}
    if blocks and table:
        reason = "begins as a table of spots and has blocks drawn as the plate as well"
        problem = Problem(name, reason, "Keep one of the two in this file.", records.rows[0][0])
        return Source(kind="not clear", problems=[problem])
    source = read_grid(records, name) if blocks else read_long(records, name)
    source.unit = facts.unit
    if facts.unit is not None:
        source.assumed.append(f"doses without a unit of their own are in {facts.unit[0]}")
    return source


def _words(records: Records) -> dict[str, tuple[int, str]]:
    """Line and text of what lines ``# unit: uM`` say, by key."""
    matches = [(line, _FACT.match(text)) for line, text in records.notes]
    return {match[1].lower(): (line, match[2].strip()) for line, match in matches if match}


def _facts(records: Records, name: str, said: Mapping[str, str]) -> tuple[Facts, list[Problem]]:
    """What lines ``# unit: uM`` and the user say of the whole file."""
    words: dict[str, tuple[int | None, str]] = {**_words(records)}
    words |= {key: (None, text) for key, text in said.items()}
    values: dict[str, Any] = {}
    problems = []
    for key, (line, text) in words.items():
        read, example = _FACT_READERS[key]
        values[key] = read(text)
        if values[key] is None:
            where, column = (name, key) if line else ("command line", f"--{key}")
            reason = "is no known unit" if key == "unit" else "is no number with a known unit"
            problems.append(Problem(where, reason, f"Write {example}.", line, column, text))
    return Facts(**values), problems


def _read_stock(text: str) -> tuple[Fraction, str] | None:
    parts = split_quantity(text)
    number = read_number(parts[0]) if parts else None
    scale = read_unit(parts[1]) if parts else None
    return in_common_unit(number, scale) if number and scale else None


_FACT_READERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "unit": (read_unit, f"one of {', '.join(UNITS)}"),
    "volume": (read_volume, "a number and its unit, as 50 uL or 120 nL"),
    "stock": (_read_stock, "a number and its unit, as 10 mM"),
}


def layout_files(path: Path) -> list[Path]:
    """All files that a layout consists of: it, and the plate maps that it names.

    Parameters
    ----------
    path
        As `read_layout` takes it, also with a plate. What is wrong with the file is not told.
    """
    path, plate = split_plate(Path(path))
    if not path.is_file():
        return [path]
    records = read_records(path, path.name, separators=",;\t")
    return [path, *plate_map_files(records, path, plate)]

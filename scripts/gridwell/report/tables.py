"""Tables of a report: typed columns, aligned numbers, a CSV to take away."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from gridwell.config.files import write_csv
from gridwell.report import words
from gridwell.report.page import data_uri


@dataclass(frozen=True)
class Column:
    """A column: name in the data, heading, how a cell is written, what the number means."""

    name: str
    label: str
    show: Callable[[Any], str] | None = None
    help: str = ""

    @property
    def numeric(self) -> bool:
        """Numbers stand on the right."""
        return self.show is not None


@dataclass(frozen=True)
class Cell:
    """A cell as shown, the value to sort by where the two differ, and where it leads."""

    text: str
    sort: str = ""
    link: str = ""


@dataclass(frozen=True)
class Table:
    """A table ready for the template."""

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    keys: Sequence[str]
    csv: str = ""
    file: str = ""


@dataclass(frozen=True)
class Behind:
    """The numbers of a picture: a plain table that stands behind it, and its CSV."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    csv: str
    file: str


def behind(table: pd.DataFrame, columns: Sequence[Column], *, caption: str, file: str) -> Behind:
    """Make the table behind a picture of those `columns` that `table` has."""
    shown = [column for column in columns if column.name in table.columns]
    values = table[[column.name for column in shown]]
    rows = [
        [_cell(column, value).text for column, value in zip(shown, row, strict=True)]
        for row in values.itertuples(index=False, name=None)
    ]
    return Behind(caption, [column.label for column in shown], rows, csv_link(values), file)


def plate(
    spots: pd.DataFrame, values: Sequence[Any], show: Callable[[Any], str], caption: str, file: str
) -> Behind:
    """Make the table behind a plate map, in the shape of the plate.

    Parameters
    ----------
    spots
        Rows with row and col.
    values
        What is mapped, in their order.
    show
        How a value is written.
    """
    at = dict(zip(zip(spots["row"], spots["col"], strict=True), values, strict=True))
    letters = list(dict.fromkeys(spots["row"]))
    numbers = range(1, int(spots["col"].max()) + 1)
    cells = [[at.get((row, col)) for col in numbers] for row in letters]
    raw = pd.DataFrame(cells, columns=list(map(str, numbers)))
    raw.insert(0, "row", letters)
    rows = [[letter, *map(show, line)] for letter, line in zip(letters, cells, strict=True)]
    return Behind(caption, ["", *map(str, numbers)], rows, csv_link(raw), file)


def build(
    table: pd.DataFrame,
    columns: Sequence[Column],
    *,
    name: str,
    caption: str,
    key: str | None = None,
    file: str = "",
    download: pd.DataFrame | None = None,
    links: Mapping[str, Sequence[str]] | None = None,
) -> Table:
    """Make a table of those `columns` that `table` has.

    Parameters
    ----------
    key
        Column whose value names a row, for links to it.
    file
        Name of the CSV to take away; empty: none.
    download
        What the CSV holds where it is more than what is shown.
    links
        Where the cells of a column lead, by the column's name; empty: nowhere.
    """
    shown = [column for column in columns if column.name in table.columns]
    rows = [
        [_cell(column, value) for column, value in zip(shown, values, strict=True)]
        for values in table[[column.name for column in shown]].itertuples(index=False, name=None)
    ]
    for column, to in (links or {}).items():
        at = [one.name for one in shown].index(column)
        for row, link in zip(rows, to, strict=True):
            row[at] = replace(row[at], link=link)
    keys = [words.text(value) for value in table[key]] if key else [""] * len(table)
    csv = csv_link(table if download is None else download) if file else ""
    return Table(name, caption, shown, rows, keys, csv, file)


def _cell(column: Column, value: Any) -> Cell:
    if column.show is None:
        return Cell(words.text(value))
    return Cell(column.show(value), "" if words.missing(value) else str(value))


def csv_link(table: pd.DataFrame) -> str:
    """Write a table as a CSV in a data URI, defused as every CSV of a study."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write_csv(path, table)
        return data_uri(path.read_bytes(), "text/csv;charset=utf-8")


def read_csv(path: Path, texts: Sequence[str]) -> pd.DataFrame:
    """Read a table of the study. Only an empty cell is missing: an agent may be called NA.

    Parameters
    ----------
    texts
        Columns that hold names, whatever they look like: a slide may be called 007, an
        agent 1500.
    """
    names = dict.fromkeys(texts, "str")
    table = pd.read_csv(path, dtype=names, keep_default_na=False, na_values=[""])  # type: ignore[arg-type]
    for name in table.columns:
        if table[name].isna().all() and not pd.api.types.is_numeric_dtype(table[name]):
            table[name] = table[name].astype("float64")
    return table

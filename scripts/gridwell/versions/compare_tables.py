"""Compare tables row by row; objects that were numbered anew are found by where they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gridwell.versions.compare_reading import Judgement, both
from gridwell.versions.compare_words import NAMED, counted, few, instead, not_in_both, shown
from gridwell.versions.makings import made_otherwise, with_making
from gridwell.versions.tolerances import OBJECTS_BEYOND, OBJECTS_OTHER, PARTNER_PIXELS, tolerance_of

if TYPE_CHECKING:
    import pandas as pd

Rows = NDArray[np.intp]

# What names a row: in tables of spots and objects, and in others.
_OF_SPOTS = ("slide", "spot", "label", "cell")
_OF_OTHERS = (
    "slide", "statistic", "slide_a", "slide_b", "group", "agent", "agents", "doses", "metric",
    "time_h", "FieldIndex",
)  # fmt: skip


@dataclass(frozen=True)
class _Change:
    """What differs in a column of rows that belong together.

    Attributes
    ----------
    column
        Name of the column.
    expected, found
        Its values, numbers or texts.
    gap, times
        How far they are apart, in the unit of the column and in tolerances; infinite for texts.
    """

    column: str
    expected: NDArray[Any]
    found: NDArray[Any]
    gap: NDArray[np.float64]
    times: NDArray[np.float64]

    @property
    def beyond(self) -> NDArray[np.bool_]:
        """Rows beyond tolerance."""
        return self.times > 1


def compare_tables(path: str, expected: Path, found: Path) -> Judgement:
    """Compare two tables, and what they were made from where they tell it themselves."""
    first, second = both(_read_table, expected, found)
    if set(first) != set(second):
        return "different", not_in_both("column", set(first), set(second))
    other = made_otherwise(expected, found) if path.endswith(".parquet") else {}
    return with_making(*_compare_rows(path, first, second), other)


def _read_table(path: Path) -> pd.DataFrame:
    import pandas as pd

    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    # An agent may be called NA; missing values are empty.
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def _compare_rows(path: str, expected: pd.DataFrame, found: pd.DataFrame) -> Judgement:
    """Compare two tables of the same columns; no detail where all values are the same."""
    objects = path.endswith(".parquet") and _has_places(expected) and _has_places(found)
    partner = _partners(expected, found, objects=objects)
    rows = np.flatnonzero(partner >= 0)
    first, second = expected.iloc[rows], found.iloc[partner[rows]]
    changes = [_change(path, str(column), first, second) for column in expected]
    changes = [change for change in changes if change.gap.any()]
    missing = np.flatnonzero(partner < 0)
    extra = np.setdiff1d(np.arange(len(found)), partner)
    # An object that moved away is missing in one place and extra in another.
    unpaired = max(missing.size, extra.size)
    most = max(len(expected), len(found)) * objects
    other = max((int(np.isinf(change.gap).sum()) for change in changes), default=0)
    beyond = max((int(change.beyond.sum()) for change in changes), default=0)
    fits = unpaired + other <= OBJECTS_OTHER * most and unpaired + beyond <= OBJECTS_BEYOND * most
    told = [_told_unpaired("missing", expected, missing), _told_unpaired("extra", found, extra)]
    told += [_told_within(changes), _told_few(changes)] if fits else [_told_beyond(first, changes)]
    return "within tolerance" if fits else "different", "; ".join(filter(None, told))


def _has_places(table: pd.DataFrame) -> bool:
    return {"spot", "x", "y"} <= set(table) and _is_number(table["x"]) and _is_number(table["y"])


def _is_number(values: pd.Series) -> bool:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    return is_numeric_dtype(values) and not is_bool_dtype(values)


def _partners(expected: pd.DataFrame, found: pd.DataFrame, *, objects: bool) -> Rows:
    """Find the row of `found` that belongs to each one of `expected`; -1: there is none."""
    partner = _row_names(found).get_indexer(_row_names(expected))
    if objects and not _in_place(expected, found, partner):
        return _nearest(expected, found)
    return partner


def _row_names(table: pd.DataFrame) -> pd.MultiIndex:
    """Names of the rows; rows of one name are numbered."""
    import pandas as pd

    names = _naming(table)
    number = table.groupby(names, dropna=False).cumcount() if names else range(len(table))
    return pd.MultiIndex.from_frame(_texts(table[names]).assign(number=number))


def _naming(table: pd.DataFrame) -> list[str]:
    """Columns that name the rows."""
    return [name for name in (_OF_SPOTS if "spot" in table else _OF_OTHERS) if name in table]


def _texts(values: Any) -> Any:
    """Values of a column or table as texts; an empty one where nothing is."""
    return values.astype("string").fillna("")


def _in_place(expected: pd.DataFrame, found: pd.DataFrame, partner: Rows) -> bool:
    """Tell whether rows of one name are the same object, all of them."""
    if len(expected) != len(found) or (partner < 0).any():
        return False
    apart = _positions(expected) - _positions(found)[partner]
    return bool((np.hypot(*apart.T) <= PARTNER_PIXELS).all())


def _positions(table: pd.DataFrame) -> NDArray[np.float64]:
    """Positions (n, 2); those that nobody knows are together, far away."""
    return np.nan_to_num(table[["x", "y"]].to_numpy(float, na_value=np.nan), nan=-1e9)


def _nearest(expected: pd.DataFrame, found: pd.DataFrame) -> Rows:
    """Find for each object the nearest in its spot, if it is the nearest to that one too."""
    from scipy.spatial import cKDTree

    partner = np.full(len(expected), -1)
    here, there = _positions(expected), _positions(found)
    spots = found.groupby("spot").indices
    for spot, mine in expected.groupby("spot").indices.items():
        theirs = spots.get(spot, [])
        if not len(theirs):
            continue
        distance, nearest = cKDTree(there[theirs]).query(here[mine])
        back = cKDTree(here[mine]).query(there[theirs])[1]
        pairs = (distance <= PARTNER_PIXELS) & (back[nearest] == np.arange(len(mine)))
        partner[mine[pairs]] = theirs[nearest[pairs]]
    return partner


def _change(path: str, column: str, expected: pd.DataFrame, found: pd.DataFrame) -> _Change:
    """Compare a column of rows that belong together."""
    a, b = expected[column], found[column]
    if not (_is_number(a) and _is_number(b)):
        a, b = (_texts(values).to_numpy(object) for values in (a, b))
        gap = np.where(a == b, 0.0, np.inf)
        return _Change(column, a, b, gap, gap)
    a, b = (values.to_numpy(float, na_value=np.nan) for values in (a, b))
    # A table of statistics has a number of another kind in each row.
    statistics = column == "value" and "statistic" in expected
    kinds = _texts(expected["statistic"]).to_numpy() if statistics else np.full(len(a), column)
    gap, times = np.zeros(len(a)), np.zeros(len(a))
    for kind in np.unique(kinds):
        rows = kinds == kind
        gap[rows], times[rows] = tolerance_of(path, kind).measure(a[rows], b[rows])
    return _Change(column, a, b, gap, times)


def _told_unpaired(what: str, table: pd.DataFrame, rows: Rows) -> str:
    """Tell which rows have no partner."""
    if not rows.size:
        return ""
    places = [_place(table, int(row)) for row in rows[:NAMED]]
    return f"{rows.size} of {counted(len(table), 'row')} {what} ({few(places, rows.size, 'row')})"


def _told_beyond(rows: pd.DataFrame, changes: Sequence[_Change]) -> str:
    """Tell of the columns beyond tolerance, and where each is worst."""
    told, beyond = [], _beyond(changes)
    for change in beyond[:NAMED]:
        at, count = int(np.argmax(change.times)), int(change.beyond.sum())
        verb = "differs, at" if count == 1 else "differ, most at"
        told.append(
            f"{change.column}: {count} of {counted(len(rows), 'row')} {verb} {_place(rows, at)}: "
            f"{instead(change.found[at], change.expected[at])}"
        )
    return few(told, len(beyond), "column", join="; ")


def _beyond(changes: Sequence[_Change]) -> list[_Change]:
    """Columns that are beyond tolerance, first that with most rows."""
    beyond = [change for change in changes if change.beyond.any()]
    return sorted(
        beyond, key=lambda change: (change.beyond.sum(), change.times.max()), reverse=True
    )


def _told_few(changes: Sequence[_Change]) -> str:
    """Tell of the columns beyond tolerance in so few rows that it does not count."""
    beyond = _beyond(changes)
    told = [f"{change.column} {change.beyond.sum()}" for change in beyond[:NAMED]]
    rows = few(told, len(beyond), "column")
    return f"beyond in few of {counted(beyond[0].times.size, 'row')}: {rows}" if beyond else ""


def _told_within(changes: Sequence[_Change]) -> str:
    """Tell of the largest differences within tolerance, by column."""
    largest = {
        change.column: (change.times[~change.beyond].max(initial=0), gap)
        for change in changes
        if (gap := change.gap[~change.beyond].max(initial=0)) > 0
    }
    first = sorted(largest, key=lambda column: largest[column], reverse=True)[:NAMED]
    told = [f"{column} by up to {largest[column][1]:.2g}" for column in first]
    return few(told, len(largest), "column")


def _place(table: pd.DataFrame, row: int) -> str:
    """Name a row by what tells it from others."""
    texts = _texts(table[_naming(table)])
    values = {name: texts[name].iloc[row] for name in texts}
    telling = [name for name in texts if (texts[name] != values[name]).any()] or [*texts][-1:]
    return (
        " ".join(
            f"{name} {values[name]}" if name in ("label", "cell") else shown(values[name])
            for name in telling
        )
        or f"row {row + 1}"
    )

"""What a layout says, in words a person can check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import pandas as pd

from gridwell.config.layouts_words import MOLAR, convert_molar
from gridwell.config.spots import parse_spot, spot_name

_RANGES_NAMED = 6


def off_grid(layout: pd.DataFrame, spots: Iterable[str]) -> tuple[list[str], list[str]]:
    """Where a layout and the grid of its slide do not meet.

    Parameters
    ----------
    layout
        As `gridwell.config.layouts.read_layout` gives it.
    spots
        Names of all spots of the grid, as in ``grid.csv``.

    Returns
    -------
    laid_out, on_grid : list of str
        Spots of the layout that the grid does not have, and spots of the grid that no row of
        the layout names; both row by row.
    """
    planned = {parse_spot(name) for name in layout["spot"]}
    there = {parse_spot(name) for name in spots}
    return (
        [spot_name(*spot) for spot in sorted(planned - there)],
        [spot_name(*spot) for spot in sorted(there - planned)],
    )


def off_grid_in_words(laid_out: Sequence[str], on_grid: Sequence[str]) -> str:
    """Say what `off_grid` found, in one sentence; empty where the two meet."""
    parts = []
    if laid_out:
        parts.append(f"{_count(laid_out)} of the layout not on the grid ({spot_ranges(laid_out)})")
    if on_grid:
        parts.append(f"{_count(on_grid)} of the grid not in the layout ({spot_ranges(on_grid)})")
    return "; ".join(parts)


def _count(spots: Sequence[str]) -> str:
    return f"{len(spots)} spot{'' if len(spots) == 1 else 's'}"


def spot_ranges(spots: Iterable[str], most: int | None = _RANGES_NAMED) -> str:
    """Names of spots, rectangles of them by their corners: ``A1-B12, D3``.

    Parameters
    ----------
    spots
        Names, in any order.
    most
        So many ranges are named, of the others only their number is told; None: all.
    """
    columns: dict[int, list[int]] = {}
    for row, col in sorted({parse_spot(name) for name in spots}):
        columns.setdefault(row, []).append(col)
    # [first row, last row, first column, last column], grown downwards by equal runs.
    ranges: list[list[int]] = []
    for row, cols in columns.items():
        for first, last in _runs(cols):
            above = [item for item in ranges if item[1:] == [row - 1, first, last]]
            if above:
                above[0][1] = row
            else:
                ranges.append([row, row, first, last])
    named = [_range(*item) for item in ranges[:most]]
    if len(ranges) > len(named):
        more = len(ranges) - len(named)
        named.append(f"and {more} more place{'' if more == 1 else 's'}")
    return ", ".join(named)


def _range(top: int, bottom: int, left: int, right: int) -> str:
    first, last = spot_name(top, left), spot_name(bottom, right)
    return first if first == last else f"{first}-{last}"


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each run of consecutive numbers, which are sorted."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def layout_in_words(table: pd.DataFrame, kind: str, assumed: Sequence[str] = ()) -> list[str]:
    """Lines that say what a layout holds, for a person to check.

    Parameters
    ----------
    table
        As `gridwell.config.layouts.read_layout` gives it, of one plate or of several.
    kind
        What kind of file it was.
    assumed
        What was taken for granted.
    """
    lines = [kind]
    plates = list(dict.fromkeys(table["plate"].dropna()))
    if len(plates) > 1:
        shown = ", ".join(plates[:12]) + (" and on" if len(plates) > 12 else "")
        lines.append(f"{len(plates)} plates: {shown}")
    spots = table.drop_duplicates(["plate", "spot"])
    lines.append(f"{_count(list(spots['spot']))}: {spot_ranges(spots['spot'])}")
    for role, own in spots.groupby("role", sort=True):
        if role != "sample":
            where = spot_ranges(own["spot"])
            lines.append(f"{role}: {_count(list(own['spot']))} ({where})")
    bare = spots[(spots["role"] == "sample") & spots["agent"].isna()]
    if len(bare):
        where = spot_ranges(bare["spot"])
        lines.append(f"sample without an agent: {_count(list(bare['spot']))} ({where})")
    treated = table[(table["role"] == "sample") & table["agent"].notna()]
    for agent, own in treated.groupby("agent", sort=True):
        lines.append(f"agent {agent}: {_doses(own)}, {_count(list(own['spot']))}")
    together = treated[treated["concentration"].fillna(0) > 0]
    per_spot = together.groupby(["plate", "spot"], sort=False, dropna=False)["agent"]
    pairs = per_spot.agg(lambda names: " + ".join(sorted(names)))[per_spot.size() > 1]
    for pair, count in sorted(Counter(pairs.astype("str").to_list()).items()):
        lines.append(f"combination {pair}: {count} spot{'' if count == 1 else 's'}")
    if not (spots["role"] == "neg_ctrl").any():
        lines.append("no negative controls")
    return lines + [f"assumed: {sentence}" for sentence in assumed]


def _doses(rows: pd.DataFrame) -> str:
    """Doses of an agent with their units: ``5 doses, 0.1 to 10 uM``."""
    parts = []
    rows = _one_molar_unit(rows.dropna(subset=["concentration"]))
    for unit, own in rows.groupby("unit", dropna=False):
        doses = sorted({float(f"{dose:.9e}") for dose in own["concentration"]})
        name = "" if pd.isna(unit) else " " + str(unit)
        if len(doses) <= 3:
            parts.append(", ".join(f"{dose:g}" for dose in doses) + name)
        else:
            parts.append(f"{len(doses)} doses, {doses[0]:g} to {doses[-1]:g}{name}")
    return "; ".join(parts) or "no doses"


def _one_molar_unit(rows: pd.DataFrame) -> pd.DataFrame:
    """Doses in several molar units in one, uM: 1000 nM and 1 uM are one dose."""
    molar = rows["unit"].isin(list(MOLAR))
    if rows.loc[molar, "unit"].nunique() < 2:
        return rows
    told = rows[["concentration", "unit"]].copy()
    pairs = told[molar].itertuples(index=False)
    told.loc[molar, "concentration"] = [convert_molar(dose, unit, "uM") for dose, unit in pairs]
    told.loc[molar, "unit"] = "uM"
    return told

"""Tables of fused cells and of their spots."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from gridwell.cells.flags import is_blurred, is_saturated, join_flags, spot_rows
from gridwell.cells.pixels import STAINS, Pixels
from gridwell.cells.stain import Stain
from gridwell.cells.states import STATES
from gridwell.cells.viability import viability_intervals
from gridwell.config.columns import column_names
from gridwell.config.models import FuseOptions
from gridwell.images.spots import SpotFrame

Array = np.ndarray[Any, np.dtype[Any]]
Tables = Mapping[str, list[pd.DataFrame]]
Features = Callable[[Array], pd.DataFrame]

# Rows of cells whose features are in memory together.
_AT_ONCE = 2**14

# Part of a spot's nuclei in bodies that hold several, above which its bodies count as merged.
_MERGED_PART = 0.2


def cell_table(
    frame: SpotFrame,
    tables: Tables,
    stains: list[Stain],
    states: list[Array],
    options: FuseOptions,
) -> tuple[pd.DataFrame, dict[str, Array]]:
    """One row per nucleus and per body that no nucleus took; columns of ``cells.parquet``.

    Parameters
    ----------
    frame, tables, stains
        Spots, features of the objects of each spot by role, and the live and the dead stain.
    states
        Probabilities of the states of the nuclei of each spot, (k, 4).
    options
        Settings.

    Returns
    -------
    cells, objects
        The table without the features of the objects; for each role the row of each cell's
        object in the table of all features, -1 for none.
    """
    starts = {role: np.cumsum([0, *map(len, own)]) for role, own in tables.items()}
    rows = [_rows_of_spot(at, tables, stains, starts) for at in range(len(states))]
    taken = {role: np.concatenate([own[role] for own, _ in rows]) for role in rows[0][0]}
    orphan = np.concatenate([kind for _, kind in rows])
    nucleus = orphan == ""
    count = np.array([len(kind) for _, kind in rows])
    spot = np.repeat(np.arange(len(rows)), count)
    whole = np.concatenate(states)
    live, dead = whole[:, 0] + whole[:, 1], whole[:, 1] + whole[:, 2]
    state = orphan.copy()
    state[nucleus] = _names(live, dead)
    place = _positions(spot, taken, tables, stains)
    columns: dict[str, Any] = {
        "spot": pd.Series(np.array(frame.spots, dtype=object)[spot], dtype="str"),
        "cell": np.arange(1, len(spot) + 1) - np.repeat(np.cumsum(count) - count, count),
        "state": pd.Series(state, dtype="str"),
        "p_live": _of_nuclei(live, nucleus),
        "p_dead": _of_nuclei(dead, nucleus),
        "x": place[:, 0],
        "y": place[:, 1],
    }
    between = [
        (p > options.ambiguous) & (p < 1 - options.ambiguous)
        for p in (columns["p_live"], columns["p_dead"])
    ]
    columns["ambiguous"] = between[0] | between[1]
    for stain in stains:
        role = stain.role
        columns[f"distance_{role}"] = _of_nuclei(stain.joined("distance"), nucleus)
        columns[f"{role}_shared"] = _shared(stain, nucleus)
        columns[f"intensity_{role}"] = _of_nuclei(np.concatenate(stain.intensity), nucleus)
    objects = {
        role: _rows_in_file(tables[role], own) for role, own in taken.items() if role in tables
    }
    return pd.DataFrame(columns, copy=False), objects


def _rows_in_file(tables: list[pd.DataFrame], taken: Array) -> Array:
    """Rows of the objects that were taken from all spots' tables put together."""
    rows = np.concatenate([[-1], *(table["row"].to_numpy() for table in tables)])
    return rows[taken + 1].astype(np.int64)


def with_features(
    cells: pd.DataFrame, objects: Mapping[str, Array], features: Mapping[str, Features]
) -> Iterator[pd.DataFrame]:
    """Add the features of their objects to cells, some spots at a time.

    Parameters
    ----------
    cells, objects
        As `cell_table` makes them.
    features
        Reads rows of the tables of features, by role.

    Yields
    ------
    Rows with all columns of ``cells.parquet``; at least once.
    """
    first = column_names("cells.parquet")
    begins = np.flatnonzero(cells["cell"].to_numpy() == 1)
    for start, stop in pairwise(_cuts(begins, len(cells))):
        part = cells.iloc[start:stop].reset_index(drop=True)
        own = [_features(features[role], rows[start:stop], role) for role, rows in objects.items()]
        whole = pd.concat([part, *own], axis=1)
        for role in STAINS:
            if role not in objects:
                whole[f"{role}_label"] = pd.array([None] * len(part), dtype="Int64")
        yield whole[[*first, *(name for name in whole if name not in first)]]


def _cuts(begins: Array, count: int) -> list[int]:
    """Where to cut rows: at the first beginning of a spot after so many rows, and at the ends."""
    cuts = [0]
    for begin in begins:
        if begin - cuts[-1] >= _AT_ONCE:
            cuts.append(int(begin))
    return [*cuts, count]


def _rows_of_spot(
    at: int, tables: Tables, stains: list[Stain], starts: Mapping[str, Array]
) -> tuple[dict[str, Array], Array]:
    """Rows of one spot: its nuclei, then the bodies that no nucleus took.

    Returns the place of each row's object in the slide's table of each role, -1 for none, and
    what kind of orphan it is, empty for nuclei.
    """
    nuclei = tables["nuclei"][at]
    taken = {"nuclei": np.arange(len(nuclei))} | {s.role: s.matches[at].body for s in stains}
    kinds = [np.full(len(nuclei), "", dtype=object)]
    for stain in stains:
        if stain.tables is None or not stain.shift.registered:
            continue
        alone = np.setdiff1d(np.arange(len(stain.tables[at])), stain.matches[at].held)
        for role in taken:
            own = alone if role == stain.role else np.full(len(alone), -1)
            taken[role] = np.concatenate([taken[role], own])
        kinds.append(np.full(len(alone), f"orphan_{stain.role}", dtype=object))
    placed = {
        role: np.where(own < 0, -1, own + starts[role][at]) if role in starts else own
        for role, own in taken.items()
    }
    return placed, np.concatenate(kinds)


def _positions(
    spot: Array, taken: Mapping[str, Array], tables: Tables, stains: list[Stain]
) -> Array:
    """Where each row is: its nucleus, or its body with the shift undone, (n, 2)."""
    place = np.full((len(spot), 2), np.nan)
    for role in ("nuclei", *(stain.role for stain in stains)):
        rows = np.flatnonzero(np.isnan(place[:, 0]) & (taken[role] >= 0))
        if rows.size == 0:
            continue
        own = np.concatenate([table[["x", "y"]].to_numpy(np.float64) for table in tables[role]])
        shift = [stain.shift.spots for stain in stains if stain.role == role]
        moved = shift[0][spot[rows]] if shift else 0.0
        place[rows] = own[taken[role][rows]] - moved
    return place


def _of_nuclei(values: Array, nucleus: Array) -> Array:
    """Values of nuclei on all rows, NaN for orphans."""
    spread = np.full(len(nucleus), np.nan)
    spread[nucleus] = values
    return spread


def _shared(stain: Stain, nucleus: Array) -> Any:
    """Label of the body of another nucleus that each nucleus shares."""
    labels = [np.full(len(match.shared), np.nan) for match in stain.matches]
    for at, match in enumerate(stain.matches):
        if stain.tables is not None and (match.shared >= 0).any():
            names = stain.tables[at]["label"].to_numpy(np.float64)
            labels[at][match.shared >= 0] = names[match.shared[match.shared >= 0]]
    return pd.array(_of_nuclei(np.concatenate(labels), nucleus), dtype="Int64")


def _names(live: Array, dead: Array) -> Array:
    names = np.array([["inactive", "dead"], ["live", "dying"]], dtype=object)
    states: Array = names[(live > 0.5).astype(int), (dead > 0.5).astype(int)]
    states[~(np.isfinite(live) & np.isfinite(dead))] = None
    return states


def _features(read: Features, rows: Array, role: str) -> pd.DataFrame:
    """Rows of a role's features, empty for -1, with the role as prefix."""
    table = read(rows[rows >= 0]).drop(columns=["spot", "x", "y"])
    whole = dict.fromkeys(("label", "area"), "Int64") | {"edge": "boolean"}
    table = table.astype({name: kind for name, kind in whole.items() if name in table})
    return (
        table.set_axis(np.flatnonzero(rows >= 0)).reindex(range(len(rows))).add_prefix(f"{role}_")
    )


def spot_table(
    pixels: Pixels,
    cells: pd.DataFrame,
    tables: Tables,
    stains: list[Stain],
    states: list[Array],
    *,
    focus: Array,
    options: FuseOptions,
) -> pd.DataFrame:
    """One row per grid position; columns of ``spots.csv (viability)``.

    Parameters
    ----------
    pixels
        Tells where the spots are, and which could not be segmented.
    cells
        As `cell_table` makes it.
    tables, stains, states, options
        As there.
    focus
        Sharpness of each spot.
    """
    spots = spot_rows(pixels.frame)
    count = len(spots)
    n_nuclei = np.array([len(table) for table in tables["nuclei"]])
    known = ~np.isin(spots["spot"], sorted(pixels.failed))
    registered = all(stain.shift.registered for stain in stains)
    fused = registered and all(stain.calibration.source != "none" for stain in stains)
    spots["n_nuclei"] = pd.array(n_nuclei, "Int64")
    for state in (*STATES, "orphan_live", "orphan_dead"):
        number = cells["spot"][cells["state"] == state].value_counts()
        spots[f"n_{state}"] = number.reindex(spots["spot"], fill_value=0).astype("Int64").array
        spots.loc[~known | (not fused), f"n_{state}"] = pd.NA
    spots.loc[~known, "n_nuclei"] = pd.NA
    numbers = spots[[f"n_{state}" for state in STATES]].to_numpy(np.float64, na_value=np.nan)
    for name, values in viability_intervals(numbers, states).items():
        spots[name] = values
    ambiguous = cells["spot"][cells["ambiguous"]].value_counts()
    spots["n_ambiguous"] = ambiguous.reindex(spots["spot"], fill_value=0).astype("Int64").array
    spots.loc[~known | (not fused), "n_ambiguous"] = pd.NA
    merged = np.array([_merged(stains, at) for at in range(count)])
    spots["n_merged"] = pd.array(merged, "Int64")
    for stain in stains:
        told = stain.tables is not None and stain.shift.registered
        for axis, name in enumerate(("x", "y")):
            spots[f"shift_{stain.role}_{name}"] = stain.shift.spots[:, axis] if told else np.nan
        spots[f"shift_{stain.role}_quality"] = stain.shift.spot_quality
    spots["sharpness"] = focus
    words = {
        "empty": known & (n_nuclei == 0),
        "few_cells": known & (n_nuclei > 0) & (n_nuclei < options.min_cells),
        "saturated": np.any([is_saturated(each) for each in tables.values()], axis=0),
        "out_of_focus": is_blurred(focus, n_nuclei),
        "unregistered": np.full(count, not registered) & (n_nuclei > 0),
        "undecided": np.full(count, registered and not fused) & (n_nuclei > 0),
        "merged_bodies": merged > _MERGED_PART * n_nuclei,
        "failed": ~known,
    }
    spots["flags"] = join_flags(pixels.frame, pixels.inside, words)
    return spots[column_names("spots.csv (viability)")]


def _merged(stains: list[Stain], at: int) -> int:
    """Nuclei of a spot that lie in a body with others."""
    merged = np.zeros(len(stains[0].matches[at].body), bool)
    for stain in stains:
        match = stain.matches[at]
        several = np.unique(match.shared[match.shared >= 0])
        merged |= np.isin(match.held, several)
    return int(merged.sum())

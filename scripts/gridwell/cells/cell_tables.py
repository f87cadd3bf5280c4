"""Tables of fused cells and of their spots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from gridwell.cells.flags import is_blurred, is_saturated, join_flags, spot_rows
from gridwell.cells.pixels import Pixels
from gridwell.cells.stain import Stain
from gridwell.cells.states import STATES
from gridwell.cells.viability import viability_intervals
from gridwell.config.columns import column_names
from gridwell.config.models import FuseOptions
from gridwell.images.spots import SpotFrame

Array = np.ndarray[Any, np.dtype[Any]]
Tables = Mapping[str, list[pd.DataFrame]]

# Part of a spot's nuclei in bodies that hold several, above which its bodies count as merged.
_MERGED_PART = 0.2


def cell_table(
    frame: SpotFrame,
    tables: Tables,
    stains: list[Stain],
    states: list[Array],
    options: FuseOptions,
) -> pd.DataFrame:
    """One row per nucleus and per body that no nucleus took; columns of ``cells.parquet``.

    Parameters
    ----------
    frame, tables, stains
        Spots, features of the objects of each spot by role, and the live and the dead stain.
    states
        Probabilities of the states of the nuclei of each spot, (k, 4).
    options
        Settings.
    """
    spots = [_cells_of_spot(frame, at, tables, stains, states[at]) for at in range(len(states))]
    cells = pd.concat(spots, ignore_index=True)
    probabilities = cells[["p_live", "p_dead"]].to_numpy(np.float64)
    between = (probabilities > options.ambiguous) & (probabilities < 1 - options.ambiguous)
    cells["ambiguous"] = np.any(between, axis=1)
    first = column_names("cells.parquet")
    return cells[[*first, *(name for name in cells if name not in first)]]


def _cells_of_spot(
    frame: SpotFrame, at: int, tables: Tables, stains: list[Stain], states: Array
) -> pd.DataFrame:
    """Rows of one spot: its nuclei, then the bodies that no nucleus took."""
    nuclei = tables["nuclei"][at]
    # For each row, the place of its object in the table of each role, -1 for none.
    taken = {"nuclei": np.arange(len(nuclei))} | {s.role: s.matches[at].body for s in stains}
    places = [nuclei[["x", "y"]].to_numpy(np.float64)]
    orphans: list[str] = []
    for stain in stains:
        bodies = stain.tables[at] if stain.tables is not None else None
        if bodies is None or not stain.shift.registered:
            continue
        alone = np.setdiff1d(np.arange(len(bodies)), stain.matches[at].held)
        for role in taken:
            own = alone if role == stain.role else np.full(len(alone), -1)
            taken[role] = np.concatenate([taken[role], own])
        places.append(bodies[["x", "y"]].to_numpy(np.float64)[alone] - stain.shift.spots[at])
        orphans += [f"orphan_{stain.role}"] * len(alone)
    place = np.concatenate(places)
    live, dead = states[:, 0] + states[:, 1], states[:, 1] + states[:, 2]
    count = len(place)
    columns: dict[str, Any] = {
        "spot": pd.Series([frame.spots[at]] * count, dtype="str"),
        "cell": np.arange(1, count + 1),
        "state": pd.Series([*_names(live, dead), *orphans], dtype="str"),
        "p_live": _fill(live, count),
        "p_dead": _fill(dead, count),
        "ambiguous": False,
        "x": place[:, 0],
        "y": place[:, 1],
    }
    for stain in stains:
        columns[f"distance_{stain.role}"] = _fill(stain.matches[at].distance, count)
        columns[f"{stain.role}_shared"] = _labels(stain, at, count)
        columns[f"intensity_{stain.role}"] = _fill(stain.intensity[at], count)
    parts = [pd.DataFrame(columns)]
    for role, index in taken.items():
        if role in tables:
            parts.append(_features(tables[role][at], index, role))
        else:
            parts[0][f"{role}_label"] = pd.array([None] * count, dtype="Int64")
    return pd.concat(parts, axis=1)


def _fill(values: Array, length: int) -> Array:
    return np.concatenate([values, np.full(length - len(values), np.nan)])


def _labels(stain: Stain, at: int, length: int) -> Any:
    """Label of the body of another nucleus that each nucleus shares."""
    shared = stain.matches[at].shared
    labels = np.full(length, np.nan)
    if stain.tables is not None and (shared >= 0).any():
        names = stain.tables[at]["label"].to_numpy(np.float64)
        labels[np.flatnonzero(shared >= 0)] = names[shared[shared >= 0]]
    return pd.array(labels, dtype="Int64")


def _names(live: Array, dead: Array) -> list[str | None]:
    names = np.array([["inactive", "dead"], ["live", "dying"]], dtype=object)
    states = names[(live > 0.5).astype(int), (dead > 0.5).astype(int)]
    told = np.isfinite(live) & np.isfinite(dead)
    return [str(state) if yes else None for state, yes in zip(states, told, strict=True)]


def _features(table: pd.DataFrame, index: Array, role: str) -> pd.DataFrame:
    """Rows `index` of a role's table, empty for -1, with the role as prefix."""
    kept = table.drop(columns=["spot", "x", "y"])
    whole = dict.fromkeys(("label", "area"), "Int64") | {"edge": "boolean"}
    kept = kept.astype({name: kind for name, kind in whole.items() if name in kept})
    return (
        kept.reindex(np.where(index < 0, len(table), index))
        .reset_index(drop=True)
        .add_prefix(f"{role}_")
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

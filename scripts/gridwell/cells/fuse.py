"""Nuclei, live and dead bodies of a slide fused to cells with states, and spots with viability."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gridwell.cells.flags import is_blurred, is_saturated, join_flags, spot_rows
from gridwell.cells.match import match_objects
from gridwell.cells.shift import Shift, estimate_shift, refine_spot
from gridwell.cells.stain import Calibration, calibrate, posterior, sharpness, stain_under
from gridwell.config.columns import column_names
from gridwell.config.errors import InputError, Problem
from gridwell.config.files import write_csv, write_json, write_parquet
from gridwell.config.models import FuseOptions
from gridwell.images.labels import open_labels
from gridwell.images.spots import SpotFrame, SpotStack, open_spots

Array = np.ndarray[Any, np.dtype[Any]]

STAINS = ("live", "dead")
STATES = ("live", "dying", "dead", "inactive")
# Spots read at once: enough to read whole parts of a shard, few enough for little memory.
_BLOCK = 8
# Intensity over the noise of a pixel below which a body is no proof of a stain by itself.
_FAINT = 3.0


def fuse_slide(
    spots_zarr: Path,
    instances: Mapping[str, Path],
    labels: Mapping[str, Path],
    *,
    cells_out: Path,
    spots_out: Path,
    shifts_out: Path,
    options: FuseOptions,
) -> None:
    """Fuse the channels of a slide: one row a cell, one row a grid position.

    The stage shift of each stain against the nuclei is found from the positions of all objects
    of the slide. Bodies are matched with nuclei one to one within a gate. The stain under each
    nucleus is a second witness, and both together give the probability that a cell holds the
    stain. A stain that does not register is not fused: its cells have no state.

    Parameters
    ----------
    spots_zarr
        Stack of crops.
    instances, labels
        Feature tables and label stacks by role: ``nuclei``, ``live``, ``dead``. A stain that was
        not segmented may be missing here as long as the stack holds its channel.
    cells_out
        Parquet file, columns as in `gridwell.config.columns`.
    spots_out
        CSV file, columns as in `gridwell.config.columns`, a row for every grid position.
    shifts_out
        JSON file: shift, quality and calibration of each stain.
    options
        Settings.

    Raises
    ------
    InputError
        If a role is missing.
    """
    stack = open_spots(spots_zarr)
    channels = _channels(stack, instances, spots_zarr)
    tables = {role: _by_spot(path, stack.frame) for role, path in instances.items()}
    stains = [_Stain(role, channels[role], tables.get(role)) for role in STAINS]
    for stain in stains:
        _match(stain, tables["nuclei"], options)
    focus = _measure_pixels(stack, channels, tables["nuclei"], stains, labels)
    _correct_bleed(*stains)
    for stain in stains:
        _judge(stain)
    failed = {
        spot for path in labels.values() for spot in open_labels(path).attributes.get("failed", {})
    }
    cells = _cell_table(stack.frame, tables, stains, options)
    spots = _spot_table(stack, cells, tables, stains, focus=focus, failed=failed, options=options)
    write_parquet(cells_out, cells)
    write_csv(spots_out, spots)
    write_json(shifts_out, {stain.role: stain.facts() for stain in stains})


@dataclass
class _Stain:
    """One stain on its way through the fusion. Lists hold one entry a spot."""

    role: str
    channel: str
    tables: list[pd.DataFrame] | None
    shift: Shift = field(default_factory=lambda: Shift(0.0, 0.0, 0.0, registered=True))
    shifts: list[Array] = field(default_factory=list)
    match: list[Array] = field(default_factory=list)
    distance: list[Array] = field(default_factory=list)
    cost: list[Array] = field(default_factory=list)
    intensity: list[Array] = field(default_factory=list)
    covered: list[Array] = field(default_factory=list)
    feigned: list[Array] = field(default_factory=list)
    noise: list[float] = field(default_factory=list)
    bleed: float = 0.0
    calibration: Calibration = field(default_factory=lambda: Calibration("none"))
    probability: list[Array] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """Return what shifts.json says of this stain."""
        return {
            "dx": round(self.shift.dx, 4),
            "dy": round(self.shift.dy, 4),
            "quality": round(self.shift.quality, 4),
            "registered": self.shift.registered,
            "calibration": self.calibration.source,
            "bleed": round(self.bleed, 4),
        }


def _channels(stack: SpotStack, instances: Mapping[str, Path], spots_zarr: Path) -> dict[str, str]:
    channels = {channel["role"]: channel["channel"] for channel in reversed(stack.channels)}
    missing = [role for role in ("nuclei", *STAINS) if role not in channels]
    if "nuclei" not in instances and "nuclei" not in missing:
        missing.append("nuclei")
    if missing:
        raise InputError(
            Problem(
                str(spots_zarr),
                f"fusion needs a {role} channel and there is none",
                "give a channel this role in channels.tsv, and segment it if it is the nuclei",
                column="role",
            )
            for role in missing
        )
    return channels


def _by_spot(path: Path, frame: SpotFrame) -> list[pd.DataFrame]:
    """Objects of each spot from the top of the slide: an order that labels do not change."""
    table = pd.read_parquet(path).sort_values(["y", "x", "label"], kind="stable")
    groups = dict(iter(table.groupby("spot", sort=False)))
    nothing = table.iloc[:0]
    return [groups.get(spot, nothing).reset_index(drop=True) for spot in frame.spots]


def _places(table: pd.DataFrame) -> Array:
    return table[["x", "y"]].to_numpy(np.float64)


def _radii(table: pd.DataFrame) -> Array:
    return np.sqrt(table["area"].to_numpy(np.float64) / np.pi)


def _match(stain: _Stain, nuclei: list[pd.DataFrame], options: FuseOptions) -> None:
    """Find the shift of a stain and match its bodies with the nuclei, spot by spot."""
    places = [_places(table) for table in nuclei]
    if stain.tables is None:
        found = [_unmatched(len(place)) for place in places]
        stain.match, stain.distance, stain.cost = (list(part) for part in zip(*found, strict=True))
        stain.shifts = [np.zeros(2) for _ in places]
        return
    bodies = [_places(table) for table in stain.tables]
    stain.shift = estimate_shift(places, bodies, options.max_shift)
    for place, body, nucleus, table in zip(places, bodies, nuclei, stain.tables, strict=True):
        farthest = 2 * float(np.median(_radii(nucleus))) if len(nucleus) else 0.0
        shift = refine_spot(place, body, stain.shift, farthest)
        if stain.shift.registered:
            found = match_objects(place, _radii(nucleus), body - shift, _radii(table), options.gate)
        else:
            found = _unmatched(len(place))
        stain.shifts.append(shift)
        stain.match.append(found[0])
        stain.distance.append(found[1])
        stain.cost.append(found[2])


def _unmatched(count: int) -> tuple[Array, Array, Array]:
    return np.full(count, -1), np.full(count, np.nan), np.full(count, np.nan)


def _measure_pixels(
    stack: SpotStack,
    channels: Mapping[str, str],
    nuclei: list[pd.DataFrame],
    stains: list[_Stain],
    labels: Mapping[str, Path],
) -> Array:
    """Fill in the stains' intensities under the nuclei; return the sharpness of each spot."""
    opened = {role: open_labels(path) for role, path in labels.items()}
    count = len(stack.frame.spots)
    focus = np.full(count, np.nan)
    mask = stack.frame.mask(*stack.shape(channels["nuclei"])[1:3])
    for start in range(0, count, _BLOCK):
        stop = min(start + _BLOCK, count)
        images = {role: stack.read(channels[role], start, stop) for role in ("nuclei", *STAINS)}
        blocks = {role: label.read(start, stop) for role, label in opened.items()}
        for at in range(start, stop):
            focus[at] = sharpness(blocks["nuclei"][at - start], images["nuclei"][at - start])
            for stain in stains:
                body = blocks[stain.role][at - start] if stain.tables is not None else None
                names, intensity, covered, noise = stain_under(
                    blocks["nuclei"][at - start],
                    images[stain.role][at - start],
                    body,
                    owner=_owners(stain, nuclei[at], at, body),
                    shift=_in_crop(stack.frame, at, stain.shifts[at]),
                    mask=mask,
                )
                order = np.searchsorted(names, nuclei[at]["label"].to_numpy())
                stain.intensity.append(intensity[order])
                stain.covered.append(covered[order])
                stain.noise.append(noise)
    return focus


def _owners(stain: _Stain, nuclei: pd.DataFrame, at: int, body: Array | None) -> Array:
    owner = np.zeros(1 if body is None else int(body.max()) + 1, np.int64)
    if stain.tables is not None:
        match = stain.match[at]
        names = stain.tables[at]["label"].to_numpy()
        owner[names[match[match >= 0]]] = nuclei["label"].to_numpy()[match >= 0]
    return owner


def _in_crop(frame: SpotFrame, at: int, shift: Array) -> Array:
    """Turn a vector of the slide into the crop of a spot."""
    x, y = frame.to_slide(at, np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0]))
    basis = np.array([[x[1] - x[0], y[1] - y[0]], [x[2] - x[0], y[2] - y[0]]])
    return basis @ shift


def _correct_bleed(live: _Stain, dead: _Stain) -> None:
    """Take from the dead stain what of the live stain shows through in its channel.

    Where the live stain is bright, the lower quartile of the ratio of both is the part that
    shines through, as long as less than three quarters of those cells hold both stains.
    """
    if not (live.shift.registered and dead.shift.registered) or not live.intensity:
        return
    one, other = np.concatenate(live.intensity), np.concatenate(dead.intensity)
    known = np.isfinite(one) & np.isfinite(other)
    bright = known & (one > 10 * max(float(np.median(live.noise)), 1e-6))
    if bright.sum() < 30:
        return
    slope = float(np.quantile(other[bright] / one[bright], 0.25))
    if not 0.003 < slope < 0.3:
        return
    dead.bleed = slope
    for at, above in enumerate(live.intensity):
        shone = slope * np.maximum(np.nan_to_num(above), 0)
        dead.intensity[at] = dead.intensity[at] - shone
        # A body that is no more than the live stain shining through is no sign of death.
        dead.feigned.append((dead.match[at] >= 0) & (dead.intensity[at] < shone))


def _judge(stain: _Stain) -> None:
    """Calibrate a stain over the slide and give each nucleus its probability."""
    if not stain.shift.registered:
        stain.probability = [np.full(len(match), np.nan) for match in stain.match]
        return
    intensity = np.concatenate(stain.intensity)
    noise = max(float(np.median(stain.noise)), 1e-6)
    values = np.arcsinh(intensity / noise)
    matched = _witness(stain) if stain.tables is not None else None
    cost = np.concatenate(stain.cost)
    stain.calibration = calibrate(values, matched, cost)
    if stain.calibration.source == "match" and matched is not None:
        # One class only: two nuclei that share a body are as bright as those that have their
        # own, and a body that hardly rises above the noise of a pixel proves nothing.
        own = intensity[matched == 1]
        usual = float(np.median(own)) if own.size else np.inf
        matched = np.where(np.isnan(matched), intensity > usual / 2, matched)
        matched[(matched == 1) & (intensity < _FAINT * noise)] = np.nan
    probability = posterior(stain.calibration, values, matched, cost)
    stain.probability = np.split(probability, np.cumsum([len(match) for match in stain.match])[:-1])


def _witness(stain: _Stain) -> Array:
    """What matching says of every nucleus of the slide: 1 stained, 0 not, NaN no telling."""
    match, covered = np.concatenate(stain.match), np.concatenate(stain.covered)
    # A nucleus under the body of another may share it: that it has none of its own says nothing.
    witness = np.where(match >= 0, 1.0, np.where(covered, np.nan, 0.0))
    if stain.feigned:
        witness[np.concatenate(stain.feigned)] = 0.0
    return witness


def _cell_table(
    frame: SpotFrame,
    tables: Mapping[str, list[pd.DataFrame]],
    stains: list[_Stain],
    options: FuseOptions,
) -> pd.DataFrame:
    spots = [_cells_of_spot(frame.spots[at], at, tables, stains) for at in range(len(frame.spots))]
    cells = pd.concat(spots, ignore_index=True)
    probabilities = cells[["p_live", "p_dead"]].to_numpy(np.float64)
    between = (probabilities > options.ambiguous) & (probabilities < 1 - options.ambiguous)
    cells["ambiguous"] = np.any(between, axis=1)
    first = column_names("cells.parquet")
    return cells[[*first, *(name for name in cells if name not in first)]]


def _cells_of_spot(
    spot: str, at: int, tables: Mapping[str, list[pd.DataFrame]], stains: list[_Stain]
) -> pd.DataFrame:
    """Rows of one spot: its nuclei, then the bodies that no nucleus took."""
    nuclei = tables["nuclei"][at]
    # For each row, the place of its object in the table of each role, -1 for none.
    taken = {"nuclei": np.arange(len(nuclei))} | {s.role: s.match[at] for s in stains}
    places = [_places(nuclei)]
    orphans: list[str] = []
    for stain in stains:
        bodies = stain.tables[at] if stain.tables is not None else None
        if bodies is None or not stain.shift.registered:
            continue
        alone = np.setdiff1d(np.arange(len(bodies)), stain.match[at])
        for role in taken:
            own = alone if role == stain.role else np.full(len(alone), -1)
            taken[role] = np.concatenate([taken[role], own])
        places.append(_places(bodies)[alone] - stain.shifts[at])
        orphans += [f"orphan_{stain.role}"] * len(alone)
    place = np.concatenate(places)
    live, dead = (stain.probability[at] for stain in stains)
    rows = pd.DataFrame(
        {
            "spot": pd.Series([spot] * len(place), dtype="str"),
            "cell": np.arange(1, len(place) + 1),
            "state": pd.Series([*_states(live, dead), *orphans], dtype="str"),
            "p_live": _fill(live, len(place)),
            "p_dead": _fill(dead, len(place)),
            "ambiguous": False,
            "x": place[:, 0],
            "y": place[:, 1],
        }
    )
    for stain in stains:
        rows[f"distance_{stain.role}"] = _fill(stain.distance[at], len(place))
    for role, index in taken.items():
        if role in tables:
            rows = pd.concat([rows, _features(tables[role][at], index, role)], axis=1)
        else:
            rows[f"{role}_label"] = pd.array([None] * len(rows), dtype="Int64")
    return rows


def _fill(values: Array, length: int) -> Array:
    return np.concatenate([values, np.full(length - len(values), np.nan)])


def _states(live: Array, dead: Array) -> list[str | None]:
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


def _spot_table(
    stack: SpotStack,
    cells: pd.DataFrame,
    tables: Mapping[str, list[pd.DataFrame]],
    stains: list[_Stain],
    *,
    focus: Array,
    failed: set[str],
    options: FuseOptions,
) -> pd.DataFrame:
    frame = stack.frame
    spots = spot_rows(frame)
    count = len(spots)
    n_nuclei = np.array([len(table) for table in tables["nuclei"]])
    known = ~np.isin(spots["spot"], sorted(failed))
    registered = all(stain.shift.registered for stain in stains)
    fused = registered and all(stain.calibration.source != "none" for stain in stains)
    spots["n_nuclei"] = pd.array(n_nuclei, "Int64")
    for state in (*STATES, "orphan_live", "orphan_dead"):
        number = cells["spot"][cells["state"] == state].value_counts()
        spots[f"n_{state}"] = number.reindex(spots["spot"], fill_value=0).astype("Int64").array
        spots.loc[~known | (not fused), f"n_{state}"] = pd.NA
    spots.loc[~known, "n_nuclei"] = pd.NA
    usable = known & fused & (n_nuclei > 0)
    live = spots["n_live"].to_numpy(np.float64, na_value=np.nan)
    stained = spots[["n_live", "n_dying", "n_dead"]].sum(axis=1).to_numpy(np.float64)
    doubt = [_doubt(stains[0].probability[at], stains[1].probability[at]) for at in range(count)]
    low, high = wilson(live, n_nuclei, np.array(doubt))
    with np.errstate(invalid="ignore", divide="ignore"):
        spots["viability"] = np.where(usable, live / n_nuclei, np.nan)
        spots["viability_low"] = np.where(usable, low, np.nan)
        spots["viability_high"] = np.where(usable, high, np.nan)
        spots["viability_stained"] = np.where(usable & (stained > 0), live / stained, np.nan)
    words = {
        "empty": known & (n_nuclei == 0),
        "few_cells": known & (n_nuclei > 0) & (n_nuclei < options.min_cells),
        "saturated": np.any([is_saturated(each) for each in tables.values()], axis=0),
        "out_of_focus": is_blurred(focus, n_nuclei),
        "unregistered": np.full(count, not registered) & (n_nuclei > 0),
        "failed": ~known,
    }
    spots["flags"] = join_flags(stack, words)
    return spots[column_names("spots.csv (viability)")]


def _doubt(live: Array, dead: Array) -> float:
    """Mean variance of a spot's cells being live, from their probabilities."""
    if len(live) == 0:
        return 0.0
    is_live = live * (1 - dead)
    return float((is_live * (1 - is_live)).mean())


def wilson(successes: Array, trials: Array, doubt: Array) -> tuple[Array, Array]:
    """95 % interval of a proportion whose single outcomes are themselves in doubt.

    Wilson's score interval, with the number of trials lowered so that the variance is that of
    the sample plus that of the outcomes (Poisson binomial).

    Parameters
    ----------
    successes, trials
        Counts, (n,).
    doubt
        Mean of ``p (1 - p)`` of the outcomes' probabilities, (n,).

    References
    ----------
    E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209.
    """
    z = 1.959963984540054
    with np.errstate(invalid="ignore", divide="ignore"):
        smooth = (successes + 0.5) / (trials + 1)
        sample = smooth * (1 - smooth)
        n = trials * sample / (sample + np.nan_to_num(doubt))
        share = successes / trials
        centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)

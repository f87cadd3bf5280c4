"""Nuclei, live and dead bodies of a slide fused to cells with states, and spots with viability."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from gridwell.cells.calibration import Calibration, calibrate, evidence
from gridwell.cells.cell_tables import Features, cell_table, spot_table, with_features
from gridwell.cells.flags import is_blurred
from gridwell.cells.locate import locate
from gridwell.cells.pixels import STAINS, Pixels, SlidePixels
from gridwell.cells.stain import Stain, sharpness, stain_under
from gridwell.cells.states import state_probabilities
from gridwell.config.errors import InputError, Problem
from gridwell.config.files import ParquetRows, read_columns, write_csv, write_json, write_parquet
from gridwell.config.models import FuseOptions, SpotRole
from gridwell.config.provenance import Provenance, read_provenance, with_inputs
from gridwell.images.spots import SpotFrame
from gridwell.runs.progress import begin, step

Array = np.ndarray[Any, np.dtype[Any]]

# Of a spot: sharpness, and for each stain intensity, cover and noise.
_Measured = tuple[float, list[tuple[Array, Array, float]]]
NEEDED = ["spot", "label", "x", "y", "area", "max"]
"""Features that the fusion itself looks at; all others are handed through."""
# Spots read at once: enough to read whole parts of a shard, few enough for little memory.
_BLOCK = 4
# Intensity over the noise of a pixel below which a body is no proof of a stain by itself.
_FAINT = 3.0
# Cells with the live stain from which its bleed-through is told, and how bright (noises).
_BRIGHT_CELLS, _BRIGHT = 12, 10.0


def fuse_slide(
    spots_zarr: Path,
    instances: Mapping[str, Path],
    labels: Mapping[str, Path],
    *,
    cells_out: Path,
    spots_out: Path,
    shifts_out: Path,
    options: FuseOptions,
    controls: Mapping[str, str] | None = None,
    threads: int = 1,
    provenance: Provenance | None = None,
) -> None:
    """Fuse the channels of a slide: one row a cell, one row a grid position.

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
    controls
        Role of the control spots, ``neg_ctrl`` or ``pos_ctrl``, which may anchor the calibration.
    threads
        Spots measured at a time; the results do not depend on it.
    provenance
        Code and configuration that the tables are made with; that of `instances` is added.

    Raises
    ------
    InputError
        If a role is missing.
    """
    if provenance is not None:
        provenance = with_inputs(provenance, map(read_provenance, instances.values()))
    pixels = SlidePixels(spots_zarr, labels)
    tables = {
        role: by_spot(read_columns(path, NEEDED), pixels.frame) for role, path in instances.items()
    }
    fused = fuse(pixels, tables, options=options, controls=controls, threads=threads)
    features = {role: ParquetRows(path) for role, path in instances.items()}
    write_parquet(cells_out, fused.with_features(features), provenance)
    write_csv(spots_out, fused.spots, provenance)
    write_json(shifts_out, fused.facts)


@dataclass(frozen=True)
class Fused:
    """What comes out of a fusion.

    Attributes
    ----------
    cells
        Table as ``cells.parquet``, without the features of the objects.
    objects
        Row of each cell's object in the table of each role, -1 for none.
    spots
        Table as ``spots.csv``.
    facts
        For each stain: shift, quality, calibration, bleed-through.
    """

    cells: pd.DataFrame
    objects: Mapping[str, Array]
    spots: pd.DataFrame
    facts: dict[str, Any]

    def with_features(self, features: Mapping[str, Features]) -> Iterator[pd.DataFrame]:
        """Return ``cells.parquet`` in parts; see `gridwell.cells.cell_tables.with_features`."""
        return with_features(self.cells, self.objects, features)


def fuse(
    pixels: Pixels,
    tables: Mapping[str, list[pd.DataFrame]],
    *,
    options: FuseOptions,
    controls: Mapping[str, str] | None = None,
    threads: int = 1,
) -> Fused:
    """Fuse nuclei with live and dead bodies.

    The shift of each stain against the nuclei is found from the positions of all objects.
    ``posterior`` matches bodies with nuclei one to one within a gate; the stain under each
    nucleus is a second witness, and both stains together give the probability of each state.
    ``knn`` (the nearest body within the gate) and ``overlap`` (the body that covers most of the
    nucleus) take the match alone for a proof, unshifted. A stain that does not register is not
    fused: its cells have no state.

    Parameters
    ----------
    pixels
        Images and labels.
    tables
        Features of the objects by role, as `by_spot` parts them.
    options, controls, threads
        As in `fuse_slide`.

    Raises
    ------
    InputError
        If a stain was not segmented and the method needs it.
    """
    _check_method(tables, options)
    nuclei = tables["nuclei"]
    stains = [locate(role, pixels, tables, options) for role in STAINS]
    focus = _measure_pixels(pixels, nuclei, stains, threads)
    spot = np.repeat(np.arange(len(nuclei)), [len(table) for table in nuclei])
    roles = np.array([(controls or {}).get(name, "") for name in pixels.frame.spots])[spot]
    if options.method == "posterior":
        _correct_bleed(*stains)
    blurred = is_blurred(focus, np.bincount(spot, minlength=len(nuclei)))[spot]
    ratios = [_judge(stain, roles, blurred, options) for stain in stains]
    states = state_probabilities(ratios[0], ratios[1], spot, len(nuclei))
    if options.method != "posterior" and np.isfinite(ratios).all():
        states = _taken_at_its_word(*(ratio > 0 for ratio in ratios))
    parts = np.split(states, np.cumsum([len(table) for table in nuclei])[:-1])
    if options.method == "posterior":
        for stain, columns in zip(stains, ((0, 1), (1, 2)), strict=True):
            _drop_unstained(stain, [each[:, columns].sum(axis=1) for each in parts])
    cells, objects = cell_table(pixels.frame, tables, stains, parts, options)
    spots = spot_table(pixels, cells, tables, stains, parts, focus=focus, options=options)
    return Fused(cells, objects, spots, {stain.role: stain.facts() for stain in stains})


def _check_method(tables: Mapping[str, list[pd.DataFrame]], options: FuseOptions) -> None:
    """Matching alone needs something to match."""
    missing = [role for role in STAINS if role not in tables]
    if missing and options.method != "posterior":
        raise InputError(
            Problem(
                "fuse.method",
                f"{options.method} matches objects, and of {' and '.join(missing)} there are none: "
                "the channel was not segmented",
                "Segment it, or use posterior, which judges by intensity as well.",
                value=options.method,
            )
        )


def by_spot(table: pd.DataFrame, frame: SpotFrame) -> list[pd.DataFrame]:
    """Part objects by their spots.

    Parameters
    ----------
    table
        Features, columns `NEEDED` of ``instances/<channel>.parquet``.
    frame
        The spots.

    Returns
    -------
    For each spot its objects from the top of the slide, an order that labels do not change, with
    the column ``row`` that tells where in `table` they are, and without ``spot``.
    """
    spot = pd.Index(frame.spots).get_indexer(pd.Index(table["spot"]))
    table = table[NEEDED[1:]].assign(row=np.arange(len(table)))
    order = np.lexsort((*(table[name].to_numpy() for name in ("label", "x", "y")), spot))
    table, begins = table.iloc[order], np.arange(len(frame.spots) + 1)
    # Parts of one table: hundreds of small ones would take as much memory again.
    return [
        table.iloc[begin:end].reset_index(drop=True)
        for begin, end in pairwise(np.searchsorted(spot[order], begins))
    ]


def _drop_unstained(stain: Stain, probabilities: list[Array]) -> None:
    """A nucleus in a large body that does not hold the stain after all shares nothing."""
    for match, probability in zip(stain.matches, probabilities, strict=True):
        wrong = (match.shared >= 0) & ~(probability > 0.5)
        match.shared[wrong], match.distance[wrong] = -1, np.nan


def _measure_pixels(
    pixels: Pixels, nuclei: list[pd.DataFrame], stains: list[Stain], threads: int
) -> Array:
    """Fill in the stains' intensities under the nuclei; return the sharpness of each spot."""
    cv2.setNumThreads(1)
    starts = range(0, len(nuclei), _BLOCK)
    measured: list[_Measured] = []
    begin(len(nuclei), "spots")
    with ThreadPoolExecutor(threads) as pool:
        for block in pool.map(lambda at: _measure_block(pixels, nuclei, stains, at), starts):
            measured += block
            step(len(block))
    for at, stain in enumerate(stains):
        own = [under[at] for _, under in measured]
        stain.intensity = [intensity for intensity, _, _ in own]
        stain.covered = [covered for _, covered, _ in own]
        stain.noise = [noise for _, _, noise in own]
    return np.array([focus for focus, _ in measured])


def _measure_block(
    pixels: Pixels, nuclei: list[pd.DataFrame], stains: list[Stain], start: int
) -> list[_Measured]:
    """Of some spots: sharpness, and for each stain intensity, cover and noise."""
    stop = min(start + _BLOCK, len(nuclei))
    images = {role: pixels.image(role, start, stop) for role in ("nuclei", *STAINS)}
    own = pixels.labels("nuclei", start, stop)
    bodies = {
        stain.role: pixels.labels(stain.role, start, stop) for stain in stains if stain.tables
    }
    mask = pixels.frame.mask(*own.shape[1:])
    measured = []
    for at in range(start, stop):
        labels = own[at - start]
        under = []
        for stain in stains:
            names, intensity, covered, noise = stain_under(
                labels,
                images[stain.role][at - start],
                bodies[stain.role][at - start] if stain.tables else None,
                held=_held(stain, nuclei[at], at, int(labels.max(initial=0))),
                shift=_in_crop(pixels.frame, stain.shift.spots[at]),
                mask=mask,
            )
            order = np.searchsorted(names, nuclei[at]["label"].to_numpy())
            under.append((intensity[order], covered[order], noise))
        measured.append((sharpness(labels, images["nuclei"][at - start]), under))
    return measured


def _held(stain: Stain, nuclei: pd.DataFrame, at: int, most: int) -> Array:
    """Label of the body that each nucleus has or shares, by the label of the nucleus."""
    held = np.zeros(most + 1, np.int64)
    if stain.tables is not None:
        body = stain.matches[at].held
        names = stain.tables[at]["label"].to_numpy()
        held[nuclei["label"].to_numpy()[body >= 0]] = names[body[body >= 0]]
    return held


def _in_crop(frame: SpotFrame, shift: Array) -> Array:
    """Turn a vector of the slide into the crops' frame."""
    turn = np.deg2rad(frame.angle)
    basis = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return basis @ shift


def _correct_bleed(live: Stain, dead: Stain) -> None:
    """Take from the dead stain what of the live stain shows through in its channel.

    Where the live stain is bright and no dead body was found, the lower quartile of the ratio of
    both is the part that shines through. Where every live body shines through so strongly that
    it was found as a dead one too, all bright cells tell it.
    """
    if not (live.shift.registered and dead.shift.registered):
        return
    one, other = np.concatenate(live.intensity), np.concatenate(dead.intensity)
    known = np.isfinite(one) & np.isfinite(other)
    bright = known & (one > _BRIGHT * max(float(np.median(live.noise)), 1e-6))
    alone = bright & (dead.joined("held") < 0)
    bright = alone if alone.sum() >= _BRIGHT_CELLS else bright
    if bright.sum() < _BRIGHT_CELLS:
        return
    slope = float(np.quantile(other[bright] / one[bright], 0.25))
    if not 0.003 < slope < 0.3:
        return
    dead.bleed = slope
    shone = [slope * np.maximum(np.nan_to_num(above), 0) for above in live.intensity]
    dead.intensity = [above - part for above, part in zip(dead.intensity, shone, strict=True)]
    # A body that is no more than the live stain shining through is no sign of death.
    dead.feigned = np.concatenate(dead.intensity) < np.concatenate(shone)


def _judge(stain: Stain, roles: Array, blurred: Array, options: FuseOptions) -> Array:
    """Log ratio of the likelihoods of every nucleus with and without a stain, (n,).

    Spots out of focus spread their light and are calibrated by themselves.
    """
    intensity, covered = np.concatenate(stain.intensity), np.concatenate(stain.covered)
    unknown = np.full(len(intensity), np.nan)
    if not stain.shift.registered:
        return unknown
    if options.method != "posterior":
        stain.calibration = Calibration("none" if stain.tables is None else "match")
        return unknown if stain.tables is None else np.where(stain.joined("held") >= 0, 1.0, -1.0)
    noise = max(float(np.median(stain.noise)), 1e-6)
    seen = _Seen(
        np.arcsinh(intensity / noise),
        covered,
        _witness(stain, covered) if stain.tables is not None else None,
        np.where(stain.joined("body") >= 0, stain.joined("cost"), np.nan),
        stain.joined("shared") >= 0,
    )
    ratio = unknown
    for group in (blurred, ~blurred):
        if group.any() or not blurred.any():
            stain.calibration, ratio[group] = _judged(
                seen.of(group),
                _anchors(stain.role, roles[group]),
                blurred=bool(blurred[group].any()),
            )
    return ratio


@dataclass(frozen=True)
class _Seen:
    """What is seen of a stain at each nucleus: arcsinh of the intensity over the noise, (n,)."""

    level: Array
    covered: Array
    matched: Array | None
    cost: Array
    shared: Array

    @property
    def uneven(self) -> bool:
        """Whether the stain has any light and shade: a blank image says nothing of a cell."""
        return self.level.size > 0 and float(np.ptp(self.level)) > 0

    def of(self, group: Array) -> _Seen:
        """Return some of them."""
        matched = None if self.matched is None else self.matched[group]
        rest = (part[group] for part in (self.cost, self.shared))
        return _Seen(self.level[group], self.covered[group], matched, *rest)


def _judged(
    seen: _Seen, anchors: tuple[Array, Array] | None, *, blurred: bool
) -> tuple[Calibration, Array]:
    """Calibrate and judge cells that look alike."""
    clear = np.where(seen.covered, np.nan, seen.level)
    calibration = calibrate(clear, seen.matched, seen.cost, anchors=anchors)
    matched = seen.matched
    if calibration.source == "match" and matched is not None and seen.uneven:
        # One class only: a body that hardly rises above the noise of a pixel proves nothing.
        matched = np.where(seen.shared, 1.0, matched)
        matched[(matched == 1) & (seen.level < np.arcsinh(_FAINT))] = np.nan
    return calibration, evidence(
        calibration, seen.level, matched, seen.cost, seen.covered, blurred=blurred
    )


def _witness(stain: Stain, covered: Array) -> Array:
    """What matching says of every nucleus of the slide: 1 stained, 0 not, NaN no telling."""
    # A nucleus under the body of another may share it: that it has none of its own says nothing.
    unsure = covered | (stain.joined("shared") >= 0)
    witness = np.where(stain.joined("body") >= 0, 1.0, np.where(unsure, np.nan, 0.0))
    if stain.feigned is not None:
        witness[stain.feigned & (witness == 1)] = 0.0
    return witness


def _anchors(role: str, roles: Array) -> tuple[Array, Array] | None:
    """Nuclei of controls that mostly lack and mostly have a stain: untreated cells live."""
    negative, positive = roles == SpotRole.NEG_CTRL.value, roles == SpotRole.POS_CTRL.value
    if not (negative.any() and positive.any()):
        return None
    return (positive, negative) if role == "live" else (negative, positive)


def _taken_at_its_word(live: Array, dead: Array) -> Array:
    """Probabilities of states, of a match alone: 1 or 0."""
    return np.stack([live & ~dead, live & dead, ~live & dead, ~live & ~dead], axis=1).astype(float)

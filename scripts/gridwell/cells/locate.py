"""Where a stain's bodies are: their shift against the nuclei, and whose they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gridwell.cells.correlate import correlated
from gridwell.cells.match import Match, assign, nearest, overlapping
from gridwell.cells.pixels import Pixels
from gridwell.cells.shift import Shift, estimate_shift
from gridwell.cells.stain import Stain
from gridwell.config.models import FuseOptions

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class _Objects:
    """Objects of one role, an entry a spot: labels, places and radii of discs of their areas."""

    labels: list[Array]
    places: list[Array]
    radii: list[Array]

    @classmethod
    def of(cls, tables: list[pd.DataFrame]) -> _Objects:
        """Take what matching needs from tables of features."""
        return cls(
            [table["label"].to_numpy() for table in tables],
            [table[["x", "y"]].to_numpy(np.float64) for table in tables],
            [np.sqrt(table["area"].to_numpy(np.float64) / np.pi) for table in tables],
        )

    @property
    def typical(self) -> float:
        """Median radius, 0 where there are none."""
        radii = np.concatenate(self.radii)
        return float(np.median(radii)) if radii.size else 0.0


def locate(
    role: str,
    pixels: Pixels,
    tables: Mapping[str, list[pd.DataFrame]],
    options: FuseOptions,
) -> Stain:
    """Find the shift of a stain and match its bodies with the nuclei, spot by spot.

    Parameters
    ----------
    role
        ``live`` or ``dead``.
    pixels, options
        As in `gridwell.cells.fuse.fuse`.
    tables
        Features of the objects of each spot by role; a stain that was not segmented is missing.
    """
    own = tables.get(role)
    nuclei = _Objects.of(tables["nuclei"])
    bodies = _Objects.of(own if own is not None else [table.iloc[:0] for table in tables["nuclei"]])
    shift = _shift(role, pixels, nuclei, bodies, options)
    stain = Stain(role, own, shift, [Match.none(len(place)) for place in nuclei.places])
    if own is None or not shift.registered:
        return stain
    if options.method == "overlap":
        stain.matches = [_overlap(pixels, role, nuclei, bodies, at) for at in range(len(own))]
    elif options.method == "knn":
        stain.matches = [
            nearest(*spot, options.gate)
            for spot in zip(nuclei.places, bodies.places, bodies.radii, strict=True)
        ]
    else:
        stain.matches = _assigned(nuclei, bodies, shift, options.gate)
    return stain


def _shift(
    role: str, pixels: Pixels, nuclei: _Objects, bodies: _Objects, options: FuseOptions
) -> Shift:
    frame = pixels.frame
    shift = estimate_shift(
        nuclei.places,
        bodies.places,
        options.max_shift,
        centres=np.column_stack([frame.x, frame.y]),
        radius=nuclei.typical,
    )
    if shift.quality > 0 or not shift.registered:
        return shift
    return correlated(
        shift,
        pixels,
        role,
        nuclei=nuclei.places,
        bodies=bodies.places,
        max_shift=options.max_shift,
    )


def _assigned(nuclei: _Objects, bodies: _Objects, shift: Shift, gate: float) -> list[Match]:
    """Match one to one, then again where bodies are larger than those of single nuclei."""

    def match(usual: float) -> list[Match]:
        spots = zip(
            nuclei.places, nuclei.radii, bodies.places, bodies.radii, shift.spots, strict=True
        )
        return [
            assign(place, radii, body - moved, own, gate, usual=usual)
            for place, radii, body, own, moved in spots
        ]

    matches = match(np.inf)
    held = np.concatenate(
        [own[one.body[one.body >= 0]] for own, one in zip(bodies.radii, matches, strict=True)]
    )
    return match(float(np.median(held))) if held.size else matches


def _overlap(pixels: Pixels, role: str, nuclei: _Objects, bodies: _Objects, at: int) -> Match:
    labels = [pixels.labels(each, at, at + 1)[0] for each in ("nuclei", role)]
    objects = [(each.labels[at], each.places[at]) for each in (nuclei, bodies)]
    return overlapping(labels[0], labels[1], objects[0], objects[1])

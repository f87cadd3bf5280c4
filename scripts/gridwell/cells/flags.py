"""What every spot table says of a grid position, and the words that warn of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from gridwell.config.spots import parse_spot, row_letters
from gridwell.images.spots import SpotFrame

Array = np.ndarray[Any, np.dtype[Any]]

# Full scales of cameras, in grey values.
_FULL_SCALES = (255, 1023, 4095, 16383, 65535)
_SATURATED_PART = 0.05
_BLURRED_PART = 0.65
_BLURRED_DEVIATIONS = 5.0
_LEAST_SHARP = 5


def spot_rows(frame: SpotFrame) -> pd.DataFrame:
    """Columns slide, spot, row (letters), col (from 1), x, y of every grid position."""
    places = [parse_spot(spot) for spot in frame.spots]
    return pd.DataFrame(
        {
            "slide": pd.Series([frame.slide] * len(places), dtype="str"),
            "spot": pd.Series(list(frame.spots), dtype="str"),
            "row": pd.Series([row_letters(row) for row, _ in places], dtype="str"),
            "col": [col + 1 for _, col in places],
            "x": np.asarray(frame.x, np.float64),
            "y": np.asarray(frame.y, np.float64),
        }
    )


def join_flags(frame: SpotFrame, inside: Array, words: Mapping[str, Array]) -> pd.Series:
    """Join the words that hold for each spot, with those that its place tells.

    Parameters
    ----------
    frame
        Where the spots are.
    inside
        Whether each lies wholly in the slide, (n,).
    words
        For each word, whether it holds, bool (n,).
    """
    known = dict(words) | {
        "not_found": ~np.asarray(frame.found, bool),
        "edge_cut": ~np.asarray(inside, bool),
    }
    names = sorted(known)
    holds = np.stack([np.asarray(known[name], bool) for name in names], axis=1)
    return pd.Series(
        [";".join(name for name, yes in zip(names, row, strict=True) if yes) for row in holds],
        dtype="str",
    )


def is_saturated(tables: list[pd.DataFrame]) -> Array:
    """Whether over a twentieth of a spot's objects reach the camera's full scale, (n,).

    The full scale is known only where the brightest object of the slide is exactly at one.
    """
    tops = [float(table["max"].max()) for table in tables if len(table)]
    if not tops or max(tops) not in _FULL_SCALES:
        return np.zeros(len(tables), bool)
    top = max(tops)
    return np.array(
        [len(table) > 0 and (table["max"] >= top).mean() > _SATURATED_PART for table in tables]
    )


def is_blurred(focus: Array, count: Array) -> Array:
    """Whether a spot's outlines are much less steep than those of the slide's other spots, (n,).

    Parameters
    ----------
    focus
        Sharpness of each spot, NaN for none, (n,).
    count
        Objects of each spot: a few tell nothing, (n,).
    """
    usable = np.isfinite(focus) & (count >= _LEAST_SHARP)
    if usable.sum() < _LEAST_SHARP:
        return np.zeros(len(focus), bool)
    usual = float(np.median(focus[usable]))
    spread = 1.4826 * float(np.median(np.abs(focus[usable] - usual)))
    limit = min(_BLURRED_PART * usual, usual - _BLURRED_DEVIATIONS * spread)
    return usable & (np.nan_to_num(focus, nan=np.inf) < limit)

"""How far a grid is from the truth: small pure functions, no files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

NEAR = 0.25  # of the pitch: an element is where the grid says
LIKE = 0.5  # of the pitch: a label belongs to no other position


@dataclass(frozen=True)
class Truth:
    """What is known of a grid; arrays have one entry for each position, (rows, cols, ...).

    Attributes
    ----------
    nodes, centres
        Place of each position, and of its element where there is one, pixels.
    present
        Whether there is an element.
    pitch, angle, size
        Spacing and spot size along rows and columns, pixels; degrees; NaN where unknown.
    """

    nodes: np.ndarray
    centres: np.ndarray
    present: np.ndarray
    pitch: tuple[float, float]
    angle: float = np.nan
    size: tuple[float, float] = (np.nan, np.nan)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.nodes.shape[:2]


def compare(grid, truth: Truth) -> dict:
    """Score a detected grid.

    Parameters
    ----------
    grid
        A `gridwell.grid.model.Grid`.
    truth
        What is known.

    Returns
    -------
    `exact`: rows, columns and every label right; `elements`: share of the elements whose label is
    right and whose place is within `NEAR`; errors of pitch and spot size in percent, angle in
    degrees, position (median) in percent of the pitch.
    """
    places = positions(grid)
    scores = compare_places(places, truth)
    if not grid.rows:
        return scores
    pitch = np.abs(np.divide(grid.pitch, truth.pitch) - 1)
    size = np.abs(np.divide((grid.width, grid.height), truth.size) - 1)
    return scores | {
        "pitch %": 100 * pitch.mean(),
        "angle": abs(grid.angle - truth.angle),
        "size %": 100 * size.mean(),
    }


def positions(grid) -> np.ndarray:
    """Places of all positions, (rows, cols, 2)."""
    places = grid.table[["x", "y"]].to_numpy(float)
    return places.reshape(grid.rows, grid.cols, 2)


def compare_places(places: np.ndarray, truth: Truth) -> dict:
    """Score places by label alone; see `compare`. NaN: the position has none."""
    rows, cols = np.minimum(places.shape[:2], truth.shape)
    distance = np.full(truth.shape, np.inf)
    found = places[:rows, :cols]
    # Either is right: where the pattern says, and where the element lies.
    for target in (truth.nodes[:rows, :cols], truth.centres[:rows, :cols]):
        apart = np.hypot(*(found - target).transpose(2, 0, 1)) / min(truth.pitch)
        distance[:rows, :cols] = np.fmin(distance[:rows, :cols], apart)
    exact = places.shape[:2] == truth.shape and (distance < LIKE).mean() >= 0.99
    near = distance[truth.present]
    return {
        "exact": bool(exact),
        "elements": float((near < NEAR).mean()),
        "position %": 100 * float(np.median(near)) if exact else np.nan,
    }


def cover_cores(places: np.ndarray, cores: np.ndarray, pitch: float) -> tuple[float, bool]:
    """How well a grid covers elements of which only the places are known.

    Parameters
    ----------
    places
        (rows, cols, 2), pixels.
    cores
        (n, 2): centres of elements, pixels.
    pitch
        Smaller spacing, pixels.

    Returns
    -------
    Share of elements that have a position of their own within half a pitch, and whether all
    four outer lines of the grid hold one.
    """
    if not places.size:
        return 0.0, False
    distance, node = cKDTree(places.reshape(-1, 2)).query(cores)
    used = np.zeros(places.shape[:2], bool)
    used.flat[node[distance < LIKE * pitch]] = True
    rims = used[0], used[-1], used[:, 0], used[:, -1]
    return float(used.sum()) / len(cores), all(rim.any() for rim in rims)


def risk_by_confidence(table: pd.DataFrame) -> pd.DataFrame:
    """Share of images and of right grids above a confidence, and share of wrong ones there.

    Parameters
    ----------
    table
        Columns `confidence` and `right`, and `status`; failed ones are below any confidence.
    """
    confidence = table["confidence"].where(~table["status"].isin(("failed", "crashed")), -1.0)
    rows = []
    for least in (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99):
        above = table[confidence >= least]
        rows.append(
            {
                "confidence >=": least,
                "accepted %": 100 * len(above) / max(len(table), 1),
                "of the right %": 100 * above["right"].sum() / max(table["right"].sum(), 1),
                "wrong": int((~above["right"]).sum()),
                "wrong %": 100 * float((~above["right"]).mean()) if len(above) else 0.0,
            }
        )
    return pd.DataFrame(rows)

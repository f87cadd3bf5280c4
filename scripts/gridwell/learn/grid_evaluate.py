"""How well the network finds elements, against known truth."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from gridwell.learn.grid_crops import Example
from gridwell.network.elements import ElementMaps, ElementNetwork, Image, Policy

Array = npt.NDArray[np.float64]

THRESHOLD = 0.3
"""Height from which a peak of the centre map counts as an element."""

NEAR = 0.25
"""A found element is right within this many spacings of a true one."""

GOOD = 0.95
"""Share of an image's elements from which the lattice stage has all it needs."""

# Spacing at which the maps are judged, in map pixels: the middle of what the network knows.
_BEST_PITCH = 8.0


@dataclass(frozen=True)
class Score:
    """Counts of elements.

    Attributes
    ----------
    true, found, right
        How many there are, how many peaks the network gave, and how many of these are at a
        true element of their own.
    images, good
        Number of images, and of those with at least `GOOD` of their elements found.
    """

    true: int = 0
    found: int = 0
    right: int = 0
    images: int = 0
    good: int = 0

    def __add__(self, other: Score) -> Score:
        """Counts of both together."""
        return Score(*(getattr(self, name) + getattr(other, name) for name in vars(self)))

    @property
    def recall(self) -> float:
        """Share of the true elements that were found; NaN if there are none."""
        return self.right / self.true if self.true else math.nan

    @property
    def precision(self) -> float:
        """Share of the found elements that are true; NaN if none was found."""
        return self.right / self.found if self.found else math.nan


def peaks(centre: Image, threshold: float = THRESHOLD) -> Array:
    """Local maxima of a centre map, to a fraction of a pixel.

    Parameters
    ----------
    centre
        Map (h, w) of 0..1.
    threshold
        Least height.

    Returns
    -------
    (n, 2) as x, y in map pixels.
    """
    before = np.array([[1, 1, 1], [1, 0, 0], [0, 0, 0]], np.uint8)
    # Of equal neighbours one alone is the peak.
    peak = (centre > cv2.dilate(centre, before)) & (
        centre >= cv2.dilate(centre, before[::-1, ::-1])
    )
    rows, cols = np.nonzero(peak & (centre >= threshold))
    padded = np.pad(centre.astype(np.float64), 1, mode="reflect")
    y, x = rows + 1, cols + 1
    dx = _vertex(padded[y, x - 1], padded[y, x], padded[y, x + 1])
    dy = _vertex(padded[y - 1, x], padded[y, x], padded[y + 1, x])
    return np.column_stack([cols + dx, rows + dy])


def _vertex(before: Array, at: Array, after: Array) -> Array:
    """Where the parabola through three neighbours is highest, -0.5..0.5 about the middle."""
    bend = 2 * at - before - after
    return np.clip((after - before) / (2 * np.maximum(bend, 1e-9)), -0.5, 0.5)


def right(found: Array, true: Array, reach: float) -> int:
    """Count pairs of one found and one true point, each the other's nearest, within `reach`."""
    from scipy.spatial import cKDTree

    if not len(found) or not len(true):
        return 0
    distance, nearest = cKDTree(true).query(found)
    _, back = cKDTree(found).query(true)
    mutual = back[nearest] == np.arange(len(found))
    return int((mutual & (distance < reach)).sum())


def best_size(maps: Sequence[ElementMaps], pitch: float) -> ElementMaps:
    """Of the sizes of an image, the one in which the spacing suits the network best."""
    return min(maps, key=lambda m: abs(math.log(pitch / m.scale / _BEST_PITCH)))


def score(network: ElementNetwork, example: Example, policy: Policy = "forbid") -> Score:
    """Judge the network on one image.

    Without a grid, the size with most peaks counts; each of them is wrong.
    """
    maps = network.maps(example.image, policy)
    if not len(example.centres):
        return Score(0, max(len(peaks(m.centre)) for m in maps), 0, 1)
    shown = best_size(maps, example.pitch)
    found = (peaks(shown.centre) + 0.5) * shown.scale - 0.5
    hits = right(found, example.centres, NEAR * example.pitch)
    true = len(example.centres)
    return Score(true, len(found), hits, 1, int(hits >= GOOD * true))


def table(scores: Iterable[tuple[str, Score]]) -> str:
    """Lay scores out as a table in Markdown."""
    lines = [
        f"| images | number | with {GOOD:.0%} found | elements | peaks | recall | precision |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, s in scores:
        good = s.good if s.true else "–"
        recall, precision = (
            "–" if math.isnan(value) else f"{value:.3f}" for value in (s.recall, s.precision)
        )
        lines.append(
            f"| {name} | {s.images} | {good} | {s.true} | {s.found} | {recall} | {precision} |"
        )
    return "\n".join(lines)

"""Compare label images by their objects, whatever the numbers of these."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gridwell.versions.compare_json import compare_leaves, leaves
from gridwell.versions.compare_reading import Judgement, both
from gridwell.versions.compare_words import NAMED, counted, few
from gridwell.versions.tolerances import LABELS_IOU, LABELS_MATCHED, SPOT_FREE, SPOT_UNMATCHED

if TYPE_CHECKING:
    from gridwell.images.labels import LabelStack

# Spots of a label image held in memory at a time.
_SPOTS_AT_ONCE = 8


@dataclass(frozen=True)
class _Spot:
    """How the objects of a spot agree.

    Attributes
    ----------
    name
        The spot.
    objects
        How many there are, in that of the two images that has more.
    matched
        How many are matched one to one.
    iou
        Sum of the intersections over union of those.
    changed
        Share of the pixels that became background, or were.
    """

    name: str
    objects: int
    matched: int
    iou: float
    changed: float

    @property
    def differs(self) -> bool:
        """Whether any object has other pixels."""
        return self.iou < self.objects

    @property
    def fits(self) -> bool:
        """Whether few enough objects are unmatched."""
        return self.objects - self.matched <= max(SPOT_FREE, SPOT_UNMATCHED * self.objects)

    def __str__(self) -> str:
        """Tell by how much the spot differs."""
        if self.matched < self.objects:
            return f"{self.name} ({self.matched} of {counted(self.objects, 'object')} matched)"
        return f"{self.name} (mean IoU {self.iou / self.objects:.3f})"


def compare_labels(path: str, expected: Path, found: Path) -> Judgement:
    """Compare two label images: their objects, whatever their numbers, and their facts."""
    from gridwell.images.labels import open_labels

    stacks = both(open_labels, expected, found)
    if stacks[0].shape != stacks[1].shape:
        sizes = [" x ".join(map(str, stack.shape)) for stack in stacks]
        return "different", f"spots and pixels: {sizes[1]} instead of {sizes[0]}"
    facts = both(leaves, stacks[0].attributes, stacks[1].attributes)
    status, told = compare_leaves(path, *facts)
    spots = list(_matched_spots(*stacks))
    fits = status != "different" and _labels_fit(spots)
    detail = "; ".join(filter(None, [_told_spots(spots), told]))
    return "within tolerance" if fits else "different", detail


def _matched_spots(expected: LabelStack, found: LabelStack) -> Iterator[_Spot]:
    """Match the objects of one spot after the other; few spots are in memory at a time."""
    names = expected.frame.spots
    for start in range(0, len(names), _SPOTS_AT_ONCE):
        stop = start + _SPOTS_AT_ONCE
        blocks = both(methodcaller("read", start, stop), expected, found)
        for name, *labels in zip(names[start:stop], *blocks, strict=True):
            yield _matched(name, *labels)


def _matched(name: str, expected: NDArray[np.uint32], found: NDArray[np.uint32]) -> _Spot:
    from gridwell.learn.metrics import match, overlap

    shared = overlap(expected, found)
    pairs = match(shared, 0.5)
    return _Spot(
        name,
        objects=max(len(shared.area_true), len(shared.area_pred)),
        matched=len(pairs),
        iou=float(shared.iou[pairs].sum()),
        changed=float(((expected > 0) != (found > 0)).mean()),
    )


def _labels_fit(spots: Sequence[_Spot]) -> bool:
    """Tell whether label images agree well enough, together and in each spot."""
    matched = sum(spot.matched for spot in spots)
    return (
        all(spot.fits for spot in spots)
        and matched >= LABELS_MATCHED * sum(spot.objects for spot in spots)
        and sum(spot.iou for spot in spots) >= LABELS_IOU * matched
    )


def _told_spots(spots: Sequence[_Spot]) -> str:
    """Tell how many spots differ, which most, and how well objects agree on the whole."""
    differ = [spot for spot in spots if spot.differs]
    if not differ:
        return "the same objects, numbered or stored otherwise"
    differ.sort(key=lambda spot: (spot.matched - spot.objects, spot.iou - spot.objects))
    most = few([str(spot) for spot in differ[:NAMED]], len(differ), "spot")
    objects, matched = (
        sum(getattr(spot, name) for spot in spots) for name in ("objects", "matched")
    )
    iou = sum(spot.iou for spot in spots) / matched if matched else math.nan
    changed = sum(spot.changed for spot in spots) / len(spots)
    return (
        f"{len(differ)} of {counted(len(spots), 'spot')} differ, most {most}; {matched} of "
        f"{counted(objects, 'object')} matched, mean IoU {iou:.3f}, {100 * changed:.2g} % of the "
        "pixels changed"
    )

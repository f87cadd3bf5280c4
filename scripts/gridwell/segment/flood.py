"""From distance maps to instances: seeds where the maps agree, and one flood from all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from pydantic import Field

from gridwell.config.models import Options

Array = np.ndarray[Any, np.dtype[Any]]

# Heights are flooded in so many steps; finer ones change no object.
_STEPS = 255


class FloodOptions(Options):
    """Where cells begin and end in the maps of a network."""

    inside: float = Field(
        default=0.5, gt=0, lt=1, description="Least chance of a pixel to belong to an object."
    )
    seed: float = Field(
        default=0.4,
        gt=0,
        lt=1,
        description="Least cell distance, less the neighbour distance, of the middle of an object.",
    )
    least_area: float = Field(default=12, ge=1, description="Of an object, in pixels of the map.")


def instances(cell: Array, neighbour: Array, inside: Array, options: FloodOptions) -> Array:
    """Label the objects that maps show.

    Parameters
    ----------
    cell, neighbour, inside
        float32 (h, w): normalised distance to the outline, nearness of another object, chance
        to be within an object.
    options
        Thresholds.

    Returns
    -------
    labels
        int32 (h, w): 0 background, 1..k objects in the raster order of their seeds.

    References
    ----------
    T. Scherr et al., PLoS ONE 15 (2020) e0243219 (seeds from both distances); S. Beucher,
    F. Meyer, in: Mathematical Morphology in Image Processing (1993) 433 (flood from seeds).
    """
    mask = inside > options.inside
    height = cv2.GaussianBlur(cell, (0, 0), 0.7)
    apart = np.clip(neighbour, 0, 1)
    certain = mask & (height - apart**2 > options.seed)
    seeds = cv2.connectedComponents(certain.astype(np.uint8), connectivity=8)[1]
    return flood(height, seeds, mask)


def flood(height: Array, seeds: Array, mask: Array) -> Array:
    """Let labelled seeds grow from high to low over a mask.

    Parameters
    ----------
    height
        float (h, w); what lies higher is taken first. Values beyond 0..1 count as 0 and 1.
    seeds
        int (h, w): 0 none, 1..k.
    mask
        bool (h, w): where seeds may grow.

    Returns
    -------
    labels
        int32 (h, w): each pixel of the mask that a seed reaches has its number. Of seeds that
        reach a pixel at the same height, the first to come has it; pixels touch by their sides.
    """
    steps = np.pad((np.clip(height, 0, 1) * _STEPS).astype(np.uint8), 1)
    labels = np.pad(np.where(mask, seeds, 0).astype(np.int32), 1)
    _flood(steps.ravel(), labels.ravel(), np.pad(mask, 1).ravel(), steps.shape[1])
    return labels[1:-1, 1:-1]


def _compiled(function: Callable[..., None]) -> Callable[..., None]:
    """Compile a loop, and keep the machine code where a folder for it can be written."""
    from numba import njit

    try:
        compiled: Callable[..., None] = njit(cache=True)(function)
    except RuntimeError:
        compiled = njit(function)
    return compiled


@_compiled
def _flood(steps: Array, labels: Array, mask: Array, width: int) -> None:
    """Take pixels from one queue per height, highest first (Vincent, Soille: PAMI 13 (1991))."""
    following = np.full(steps.size, -1, np.int32)
    first = np.full(_STEPS + 1, -1, np.int32)
    last = np.full(_STEPS + 1, -1, np.int32)
    around = (-width, -1, 1, width)
    for at in range(steps.size):
        if labels[at] > 0:
            level = steps[at]
            if first[level] < 0:
                first[level] = at
            else:
                following[last[level]] = at
            last[level] = at
    for current in range(_STEPS, -1, -1):
        while first[current] >= 0:
            at = first[current]
            first[current] = following[at]
            for offset in around:
                near = at + offset
                if mask[near] and labels[near] == 0:
                    labels[near] = labels[at]
                    level = min(current, steps[near])
                    following[near] = -1
                    if first[level] < 0:
                        first[level] = near
                    else:
                        following[last[level]] = near
                    last[level] = near

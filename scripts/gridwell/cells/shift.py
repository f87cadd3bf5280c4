"""Stage shift between two channels, from the positions of their objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from scipy.spatial import cKDTree

Array = np.ndarray[Any, np.dtype[Any]]
Points = list[Array]

# Side of a bin of the density of differences, and its smoothing, in pixels.
_BIN = 0.5
_SMOOTH = 1.25
# Fewer bodies than this, or than this part of the nuclei, cannot accuse a channel.
_FEW = 30
_FEW_PART = 0.15
# Height of a mode over chance, in standard deviations, and part of the bodies in it.
_CLEAR_DEVIATIONS = 6.0
_CLEAR_PART = 0.15


@dataclass(frozen=True)
class Shift:
    """Displacement of a channel against the nuclei: a body seen at p belongs at p - (dx, dy).

    Attributes
    ----------
    dx, dy
        In pixels of the slide.
    quality
        Part of the bodies that meet a nucleus at this shift, beyond chance: 0 none, 1 all.
    registered
        False where there are bodies enough and yet no shift at which they meet the nuclei.
    """

    dx: float
    dy: float
    quality: float
    registered: bool


def estimate_shift(nuclei: Points, bodies: Points, max_shift: float) -> Shift:
    """Find the shift at which most bodies meet a nucleus, over all spots together.

    The differences of all pairs of one spot pile up at the shift, above an even floor of chance
    pairs. The highest place of their smoothed density is refined by mean shift.

    Parameters
    ----------
    nuclei, bodies
        One array (n, 2) of x, y for each spot, in the same order.
    max_shift
        Farthest shift to look for, in pixels.

    Returns
    -------
    shift
        Zero, with quality 0, where no mode stands out.

    References
    ----------
    Y. Cheng, IEEE Trans. Pattern Anal. Mach. Intell. 17 (1995) 790 (mean shift).
    """
    count = sum(len(body) for body in bodies)
    few = count < max(_FEW, _FEW_PART * sum(len(nucleus) for nucleus in nuclei))
    nothing = Shift(0.0, 0.0, 0.0, registered=few)
    if count == 0:
        return nothing
    reach = max_shift + 4 * _SMOOTH
    differences = [
        _differences(one, other, reach) for one, other in zip(nuclei, bodies, strict=True)
    ]
    pairs = np.concatenate(differences) if differences else np.zeros((0, 2))
    if len(pairs) == 0:
        return nothing
    peak = _mode(pairs, max_shift, reach)
    peak = _mean_shift(pairs, peak)
    near = np.hypot(*(pairs - peak).T)
    inner = int((near <= 2 * _SMOOTH).sum())
    # Chance pairs, from the ring around the mode, of four times its area.
    ring = (near > 3 * _SMOOTH) & (near <= np.sqrt(25.0) * _SMOOTH)
    chance = float(ring.sum()) * 4 / (25 - 9)
    beyond = inner - chance
    part = float(np.clip(beyond / count, 0, 1))
    if beyond < _CLEAR_DEVIATIONS * np.sqrt(max(chance, 1.0)) or part < _CLEAR_PART:
        return nothing
    return Shift(float(peak[0]), float(peak[1]), part, registered=True)


def refine_spot(nuclei: Array, bodies: Array, shift: Shift, farthest: float) -> Array:
    """Shift of one spot: the slide's, moved only where the spot's own pairs clearly say so.

    Parameters
    ----------
    nuclei, bodies
        x, y of the spot's objects, (n, 2) and (m, 2).
    shift
        Shift of the slide.
    farthest
        How far a spot may differ from the slide, in pixels.

    Returns
    -------
    shift
        dx, dy.
    """
    own = np.array([shift.dx, shift.dy])
    if not shift.registered or shift.quality == 0 or len(nuclei) < 20 or len(bodies) < 20:
        return own
    pairs = _differences(nuclei, bodies - own, farthest + 2 * _SMOOTH)
    if len(pairs) == 0:
        return own
    residual = _mean_shift(pairs, np.zeros(2))
    near = pairs[np.hypot(*(pairs - residual).T) <= 2 * _SMOOTH] - residual
    if len(near) < 20 or np.hypot(*residual) > farthest:
        return own
    error = np.sqrt((near**2).sum(axis=1).mean() / len(near))
    return own + residual if np.hypot(*residual) > max(5 * error, 0.5) else own


def _differences(nuclei: Array, bodies: Array, reach: float) -> Array:
    """All vectors from a nucleus to a body, up to `reach` long, in the order of the bodies."""
    if len(nuclei) == 0 or len(bodies) == 0:
        return np.zeros((0, 2))
    near = cKDTree(nuclei).query_ball_point(bodies, reach, return_sorted=True)
    which = np.repeat(np.arange(len(bodies)), [len(found) for found in near])
    found = np.concatenate([np.asarray(one, np.int64) for one in near])
    return bodies[which] - nuclei[found]


def _mode(pairs: Array, max_shift: float, reach: float) -> Array:
    size = 2 * int(np.ceil(reach / _BIN)) + 1
    at = np.rint(pairs / _BIN).astype(int) + size // 2
    at = at[((at >= 0) & (at < size)).all(axis=1)]
    density = np.bincount(at[:, 1] * size + at[:, 0], minlength=size * size)
    density = density.reshape(size, size).astype(np.float64)
    smooth = cv2.GaussianBlur(density, (0, 0), _SMOOTH / _BIN)
    axis = (np.arange(size) - size // 2) * _BIN
    # Clumps make a broad hill of chance pairs: what counts is the height above it.
    hill = cv2.GaussianBlur(density, (0, 0), 4 * _SMOOTH / _BIN)
    contrast = np.where(np.hypot(axis[:, None], axis) <= max_shift, smooth - hill, -np.inf)
    row, col = np.unravel_index(int(np.argmax(contrast)), contrast.shape)
    return np.array([axis[col], axis[row]])


def _mean_shift(pairs: Array, start: Array) -> Array:
    centre = start
    for _ in range(50):
        near = pairs[np.hypot(*(pairs - centre).T) <= 3 * _SMOOTH]
        weight = np.exp(-((near - centre) ** 2).sum(axis=1) / (2 * _SMOOTH**2))
        if weight.sum() == 0:
            return start
        moved = (near * weight[:, None]).sum(axis=0) / weight.sum()
        if np.abs(moved - centre).max() < 1e-4:
            return moved
        centre = moved
    return centre

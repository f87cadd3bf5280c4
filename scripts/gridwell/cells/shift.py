"""Stage shift between two channels, from the positions of their objects.

Each spot is asked first, then the slide: a stage that wanders gives every spot a shift of its own,
an optic that magnifies gives one that grows across the slide, and both leave few objects in one
spot to tell it from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from scipy.spatial import cKDTree
from scipy.stats import poisson

Array = np.ndarray[Any, np.dtype[Any]]
Points = list[Array]

# Side of a bin of the density of differences, in smoothings.
_BIN = 0.4
# Least smoothing, in pixels: centroids of nuclei and bodies differ by about one.
_LEAST_SMOOTH = 1.25
# Differences this near to a mode (in smoothings) are its pairs; those in the ring out to the
# other are chance.
_INNER, _RING = 2.0, (3.0, 5.0)
# Fewer bodies than this, or than this part of the nuclei, cannot accuse a channel.
_FEW = 30
_FEW_PART = 0.15
# Fewer nuclei cannot be missed.
_FEW_CELLS = 10
# A mode is one whose pairs chance would not bring together anywhere, and of this part of the
# bodies.
_P_CHANCE = 1e-3
_RING_SHARE = 1 / 3
_LEAST_PAIRS = 3
_CLEAR_PART = 0.15
# A spot's own mode displaces that of the slide where it holds so many times the pairs.
_BETTER = 1.5
# Spots with a shift of their own from which a plane is fitted, and a mean.
_PLANE, _MEAN = 8, 3


@dataclass(frozen=True)
class Shift:
    """Displacement of a channel against the nuclei: a body seen at p belongs at p - shift.

    Attributes
    ----------
    dx, dy
        Median over the spots, in pixels of the slide.
    quality
        Part of the bodies that meet a nucleus at the shift of their spot, beyond chance: 0 none,
        1 all.
    registered
        False where there are bodies enough and yet no shift at which they meet the nuclei.
    spots
        Shift of each spot, (n, 2).
    spot_quality
        `quality` of each spot, (n,); NaN where a spot has no bodies.
    wander
        Standard deviation by which spots differ from the smooth part of the shift, in pixels.
    """

    dx: float
    dy: float
    quality: float
    registered: bool
    spots: Array
    spot_quality: Array
    wander: float = 0.0


@dataclass(frozen=True)
class _Mode:
    """A place where differences pile up: how many beyond chance, and its variance per axis."""

    place: Array
    beyond: float
    variance: float


def estimate_shift(
    nuclei: Points,
    bodies: Points,
    max_shift: float,
    *,
    centres: Array | None = None,
    radius: float = 0.0,
) -> Shift:
    """Find the shift at which most bodies meet a nucleus, spot by spot.

    The differences of all pairs of a spot pile up at the shift, above an even floor of chance
    pairs. The mode of all spots together is found first, and in each spot the nearest mode to
    it, or the spot's own where that is clearly another. Over the slide the spots' shifts are
    smoothed: by a plane fitted robustly, towards which each is drawn the more, the surer the
    plane and the less sure the spot (empirical Bayes).

    Parameters
    ----------
    nuclei, bodies
        One array (n, 2) of x, y for each spot, in the same order.
    max_shift
        Farthest shift to look for, in pixels.
    centres
        Centres of the spots, (n, 2), for the plane; None: a mean only.
    radius
        Of a typical nucleus, in pixels: centroids of larger ones scatter more.

    Returns
    -------
    shift
        Zero, with quality 0, where no mode stands out.

    References
    ----------
    Y. Cheng, IEEE Trans. Pattern Anal. Mach. Intell. 17 (1995) 790 (mean shift).
    R. DerSimonian, N. Laird, Control. Clin. Trials 7 (1986) 177 (variance between spots).
    """
    smooth = max(_LEAST_SMOOTH, 0.3 * radius)
    count = np.array([len(body) for body in bodies])
    cells = sum(len(nucleus) for nucleus in nuclei)
    few = cells < _FEW_CELLS or count.sum() < max(_FEW, _FEW_PART * cells)
    quality = np.where(count > 0, 0.0, np.nan)
    nothing = Shift(0.0, 0.0, 0.0, registered=bool(few), spots=_zeros(nuclei), spot_quality=quality)
    reach = max_shift + _RING[1] * smooth
    pairs = [_differences(one, other, reach) for one, other in zip(nuclei, bodies, strict=True)]
    if not sum(map(len, pairs)):
        return nothing
    whole = _mode(np.concatenate(pairs), max_shift, smooth)
    own = [_mode(each, max_shift, smooth) for each in pairs]
    modes = [_of_spot(each, mode, whole, smooth) for each, mode in zip(pairs, own, strict=True)]
    known = np.array([mode is not None for mode in modes])
    if whole is None and not (known.sum() >= _MEAN and known[count >= _FEW].mean() > 0.5):
        return nothing
    start = whole.place if whole is not None else None
    shifts, wander = _smoothed(modes, start, centres if centres is not None else _zeros(nuclei))
    part, quality = _meeting(pairs, shifts, count, smooth)
    if part < _CLEAR_PART:
        return nothing
    dx, dy = np.median(shifts, axis=0)
    return Shift(float(dx), float(dy), part, True, shifts, quality, wander)


def meeting(
    nuclei: Points, bodies: Points, shifts: Array, radius: float = 0.0
) -> tuple[float, Array]:
    """Part of the bodies that meet a nucleus at the spots' shifts: of all, and of each spot (n,).

    Parameters
    ----------
    nuclei, bodies, radius
        As in `estimate_shift`.
    shifts
        Shift of each spot, (n, 2).
    """
    smooth = max(_LEAST_SMOOTH, 0.3 * radius)
    reach = float(np.hypot(*shifts.T).max(initial=0.0)) + _RING[1] * smooth
    pairs = [_differences(one, other, reach) for one, other in zip(nuclei, bodies, strict=True)]
    return _meeting(pairs, shifts, np.array([len(body) for body in bodies]), smooth)


def _meeting(pairs: Points, shifts: Array, count: Array, smooth: float) -> tuple[float, Array]:
    near = np.array([_beyond(*each, smooth) for each in zip(pairs, shifts, strict=True)])
    each = np.where(count > 0, np.clip(near / np.maximum(count, 1), 0, 1), np.nan)
    return float(np.clip(near.sum() / max(count.sum(), 1), 0, 1)), each


def _zeros(spots: Points) -> Array:
    return np.zeros((len(spots), 2))


def _of_spot(pairs: Array, own: _Mode | None, whole: _Mode | None, smooth: float) -> _Mode | None:
    """Mode of a spot: the one near that of the slide, unless its own holds clearly more pairs."""
    if whole is None:
        return own
    near = _refined(pairs, whole.place, smooth)
    if own is None:
        return near
    if near is None or own.beyond > _BETTER * near.beyond:
        return own
    return near


def _smoothed(
    modes: list[_Mode | None], start: Array | None, centres: Array
) -> tuple[Array, float]:
    """Shift of every spot, and how far spots differ from the smooth part."""
    known = [at for at, mode in enumerate(modes) if mode is not None]
    if len(known) < _MEAN:
        common = start if start is not None else np.zeros(2)
        if len(known) == 1 and len(modes) == 1:
            common = modes[known[0]].place  # type: ignore[union-attr]
        return np.tile(common, (len(modes), 1)), 0.0
    place = np.stack([modes[at].place for at in known])  # type: ignore[union-attr]
    variance = np.array([modes[at].variance for at in known])  # type: ignore[union-attr]
    centred = centres - centres.mean(axis=0)
    scale = max(float(np.abs(centred).max()), 1.0)
    design = np.column_stack([np.ones(len(modes)), centred / scale])
    plane = len(known) >= _PLANE and np.linalg.matrix_rank(design[known]) == 3
    columns = design if plane else design[:, :1]
    between = 0.0
    weight = 1 / variance
    for _ in range(20):
        root = np.sqrt(weight)[:, None]
        fit = np.linalg.lstsq(columns[known] * root, place * root, rcond=None)[0]
        rest = place - columns[known] @ fit
        size = np.hypot(*rest.T)
        # Median of squares of a normal pair is 2 ln 2 times its variance.
        typical = float(np.median(size**2)) / (2 * np.log(2))
        between = max(typical - float(np.median(variance)), 0.0)
        total = variance + between
        # Huber's weights: a spot that is far off does not tilt the plane.
        weight = np.minimum(1.0, 2.5 * np.sqrt(total) / np.maximum(size, 1e-9)) / total
    shifts = columns @ fit
    share = between / (between + variance)
    # A spot that is off by far more than others wander has moved by itself.
    share = np.where(size > 5 * np.sqrt(total), 1.0, share)
    shifts[known] += share[:, None] * rest
    return shifts, float(np.sqrt(between))


def _mode(pairs: Array, max_shift: float, smooth: float) -> _Mode | None:
    """Highest place of the density of differences; None where chance may have piled it up."""
    if len(pairs) < _LEAST_PAIRS:
        return None
    found = _refined(pairs, _highest(pairs, max_shift, smooth), smooth)
    if found is None:
        return None
    away = np.hypot(*(pairs - found.place).T)
    near = float((away <= _INNER * smooth).sum())
    # Neighbours in clumps fill the ring around the mode too: it is not all chance.
    reach = (max_shift + _RING[1] * smooth) / (_INNER * smooth)
    even = float((away > _RING[1] * smooth).sum()) / max(reach**2 - _RING[1] ** 2 / _INNER**2, 1.0)
    chance = max(even, _RING_SHARE * (near - found.beyond), 1e-3)
    # As many places as fit into the search area.
    places = (1 + max_shift / (_INNER * smooth)) ** 2
    return found if poisson.sf(near - 1, chance) * places < _P_CHANCE else None


def _refined(pairs: Array, start: Array, smooth: float) -> _Mode | None:
    """Mean shift from `start`; None where too few pairs are there."""
    place = _mean_shift(pairs, start, smooth)
    if np.hypot(*(place - start)) > _RING[1] * smooth:
        return None
    near = pairs[np.hypot(*(pairs - place).T) <= _INNER * smooth] - place
    beyond = _beyond(pairs, place, smooth)
    if beyond <= _LEAST_PAIRS - 1:
        return None
    scatter = float((near**2).sum(axis=1).mean() / 2) + 1e-6
    # A mode of a density varies more than a mean, the more the less it was smoothed.
    wide = scatter / smooth**2
    return _Mode(place, beyond, scatter * (1 + wide) ** 4 / (1 + 2 * wide) ** 2 / beyond)


def _beyond(pairs: Array, place: Array, smooth: float) -> float:
    """Pairs at `place` beyond those that chance brings, judged by the ring around it."""
    away = np.hypot(*(pairs - place).T) / smooth
    ring = float(((away > _RING[0]) & (away <= _RING[1])).sum())
    chance = ring * _INNER**2 / (_RING[1] ** 2 - _RING[0] ** 2)
    return float((away <= _INNER).sum()) - chance


def _differences(nuclei: Array, bodies: Array, reach: float) -> Array:
    """All vectors from a nucleus to a body, up to `reach` long, in the order of the bodies."""
    if len(nuclei) == 0 or len(bodies) == 0:
        return np.zeros((0, 2))
    near = cKDTree(nuclei).query_ball_point(bodies, reach, return_sorted=True)
    which = np.repeat(np.arange(len(bodies)), [len(found) for found in near])
    found = np.concatenate([np.asarray(one, np.int64) for one in near])
    return bodies[which] - nuclei[found]


def _highest(pairs: Array, max_shift: float, smooth: float) -> Array:
    step = _BIN * smooth
    half = int(np.ceil((max_shift + _RING[1] * smooth) / step))
    size = 2 * half + 1
    at = np.rint(pairs / step).astype(int) + half
    at = at[((at >= 0) & (at < size)).all(axis=1)]
    density = np.bincount(at[:, 1] * size + at[:, 0], minlength=size * size)
    density = density.reshape(size, size).astype(np.float64)
    heap = cv2.GaussianBlur(density, (0, 0), 1 / _BIN)
    axis = (np.arange(size) - half) * step
    # Clumps make a broad hill of chance pairs: what counts is the height above it.
    hill = cv2.GaussianBlur(density, (0, 0), 4 / _BIN)
    contrast = np.where(np.hypot(axis[:, None], axis) <= max_shift, heap - hill, -np.inf)
    row, col = np.unravel_index(int(np.argmax(contrast)), contrast.shape)
    return np.array([axis[col], axis[row]])


def _mean_shift(pairs: Array, start: Array, smooth: float) -> Array:
    centre = start
    for _ in range(50):
        near = pairs[np.hypot(*(pairs - centre).T) <= 3 * smooth]
        weight = np.exp(-((near - centre) ** 2).sum(axis=1) / (2 * smooth**2))
        if weight.sum() == 0:
            return start
        moved = (near * weight[:, None]).sum(axis=0) / weight.sum()
        if np.abs(moved - centre).max() < 1e-4:
            return moved
        centre = moved
    return centre

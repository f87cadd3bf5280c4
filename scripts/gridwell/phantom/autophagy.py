"""Simulated autophagy: two channels, three classes of pixels, and a teacher that errs as published.

Phagophores are puncta and crescents that shine green, autolysosomes rounder ones that shine red
and weakly green. Granules that shine in both colours by themselves are neither. Every pixel's
class is known, and `teacher` gives the labels that conventional image processing would: it misses
events, takes one for another, and draws them incompletely, as often as published. Part of that
follows from the events and their image, part is chance: see `SYSTEMATIC` and `OF_IMAGE`.

The shares of the classes and the ratios of the errors are those of the study in which conventional
image processing taught a network that surpassed it (Scientific Reports, 2022).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import cv2
import numpy as np
import numpy.typing as npt

from gridwell.phantom.outlines import Shape, cover, draw_outlines, pile, scatter
from gridwell.phantom.painting import Plane, clouds, glow, smooth, step

CLASSES = ("background", "phagophore", "autolysosome")
"""Names of the classes, by number."""

CHANNELS = ("green", "red")
"""Names of the channels, in their order."""

SHARES = (0.953, 0.023, 0.024)
"""Mean shares of the classes in the pixels, as published."""

SYSTEMATIC = 0.25
"""Share of the teacher's errors (of the variance behind them) that the events explain: faint and
small ones are missed, those of a mixed colour taken for the other class, bright granules for
events."""

OF_IMAGE = 0.25
"""Share that the image explains: of some, the teacher misses more. The rest is chance."""

Latent = npt.NDArray[np.float64]

_F = np.float32
_TOP = 4095  # of the camera's 12 bits
_GRANULE, _PHAGOPHORE, _AUTOLYSOSOME = range(3)
_PER_PIXEL = {_PHAGOPHORE: 3.3e-4, _AUTOLYSOSOME: 2.7e-4, _GRANULE: 1.8e-4}  # events

# What the teacher does, as shares of the events of a class: together they give the published ratios
# (autolysosomes: 0.44 of those it finds are none, 0.294 are missed; phagophores: 0.13 and 0.539).
_MISSED = {_PHAGOPHORE: 0.225, _AUTOLYSOSOME: 0.24}
_SWAPPED = {_PHAGOPHORE: 0.305, _AUTOLYSOSOME: 0.045}
_TAKEN = {_PHAGOPHORE: 0.065, _AUTOLYSOSOME: 0.25}  # of the granules
_CUT, _SHRUNK = 0.2, 0.12  # of the events found


@dataclass(frozen=True)
class Events:
    """Everything that shines as a spot; arrays of equal length.

    Attributes
    ----------
    kind
        Number of the class; 0 for granules.
    faintness, mixture
        How faint and small it is, and how far its colour is from that of its class; both with
        mean 0 and variance 1 over all images. Systematic errors come from them.
    """

    kind: npt.NDArray[np.int16]
    faintness: Latent
    mixture: Latent


@dataclass(frozen=True)
class Autophagy:
    """A simulated image and what is known of it.

    Attributes
    ----------
    image : (2, height, width) uint16
        Green and red, 12 bits.
    classes : (height, width) int16
        Class of each pixel, see `CLASSES`.
    marks : (height, width) int32
        Which event each pixel belongs to, from 1; 0 none.
    events
        What is known of each: entry i - 1 of number i.
    """

    image: npt.NDArray[np.uint16]
    classes: npt.NDArray[np.int16]
    marks: npt.NDArray[np.int32]
    events: Events


def autophagy(seed: int, side: int = 256) -> Autophagy:
    """Simulate an image.

    Parameters
    ----------
    seed
        0 or more; equal seeds give equal bytes.
    side
        Height and width in pixels.
    """
    rng = np.random.default_rng([seed, 11])
    shape = (side, side)
    cytoplasm, light = _cells(shape, rng)
    marks, events = _spots(cytoplasm, light, rng)
    light += _out_of_focus(cytoplasm, rng)
    classes = np.append(0, events.kind).astype(np.int16)[marks]
    return Autophagy(_expose(light, rng), classes, marks, events)


def _cells(shape: tuple[int, int], rng: np.random.Generator) -> tuple[npt.NDArray[np.bool_], Plane]:
    """Draw cells with a dim cytoplasm and a darker nucleus: where events may lie, and the light."""
    count = max(2, int(rng.poisson(shape[0] * shape[1] / 6500)))
    radius = rng.uniform(34, 56, count)
    x, y = scatter(radius, shape, 0.5, 0.95, rng)
    bodies = draw_outlines(x, y, radius, Shape((0.5, 1.0), 0.1), rng)
    covered = cover(bodies, shape)
    cytoplasm = (covered.near > 0.45) & (covered.near < 0.95)
    heights = np.exp(0.35 * rng.standard_normal(count))
    flat = pile(bodies, heights, shape, 0.3) - 0.7 * pile(bodies.larger(0.42), heights, shape, 0.3)
    rough = 1 + _F(0.2) * clouds(shape, 9, rng) + _F(0.15) * clouds(shape, 3, rng)
    light = np.stack([flat * rough * _F(rng.uniform(0.08, 0.3)) for _ in CHANNELS])
    return cytoplasm, np.asarray(np.maximum(light, 0), _F)


def _spots(
    cytoplasm: npt.NDArray[np.bool_], light: Plane, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int32], Events]:
    """Draw events and granules into the light, none over another."""
    marks = np.zeros(cytoplasm.shape, np.int32)
    busy = math.exp(0.35 * rng.standard_normal() - 0.06)
    kinds = np.repeat(
        list(_PER_PIXEL), [rng.poisson(busy * share * marks.size) for share in _PER_PIXEL.values()]
    )
    kinds = rng.permutation(kinds)
    faint, small, mixture = rng.standard_normal((3, len(kinds))).clip(-2.5, 2.5)
    places = np.flatnonzero(cytoplasm)
    at = rng.choice(places, (len(kinds), 6)) if places.size else np.zeros((len(kinds), 0), int)
    drawn = []
    for i, kind in enumerate(kinds.tolist()):
        size = math.exp(-0.28 * small[i])
        away = _crescent(size, rng) if kind == _PHAGOPHORE and rng.random() < 0.6 else None
        away = _disc(size, kind, rng) if away is None else away
        window = _free(marks, away, at[i])
        if window is None:
            continue
        drawn.append(i)
        seen, part = window
        marks[seen][part < 1] = len(drawn)
        colour = _colour(kind, mixture[i]) * math.exp(-0.35 * faint[i])
        soft = step((1 - part) * _F(1.5) + _F(0.5)) * (1 - _F(0.3) * np.minimum(part, 1) ** 2)
        light[:, seen[0], seen[1]] += colour[:, None, None] * soft
    events = Events(
        kinds[drawn].astype(np.int16), (faint + small)[drawn] / math.sqrt(2), mixture[drawn]
    )
    return marks, events


def _grid(half: int, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """Distance from a centre near the middle of a patch, and direction from a random one."""
    dy, dx = np.mgrid[-half : half + 1, -half : half + 1] - rng.uniform(-0.5, 0.5, (2, 1, 1))
    way = np.arctan2(dy, dx) - rng.uniform(0, 2 * np.pi)
    way = np.abs((way + np.pi) % (2 * np.pi) - np.pi)
    return np.hypot(dy, dx).astype(_F), way.astype(_F)


def _crescent(size: float, rng: np.random.Generator) -> Plane:
    """Distance from the middle of an open ring's line, below 1 on it."""
    away, way = _grid(14, rng)
    radius, thick = size * rng.uniform(4.0, 6.5), size * rng.uniform(1.6, 2.4)
    half = rng.uniform(1.0, 2.4)
    beyond = np.maximum(way - _F(half), 0) * _F(radius)
    return np.asarray(np.hypot(away - _F(radius), beyond) / _F(thick), _F)


def _disc(size: float, kind: int, rng: np.random.Generator) -> Plane:
    """Distance from the middle of a punctum in units of its outline."""
    away, way = _grid(14, rng)
    low, high = {_PHAGOPHORE: (2.8, 5.0), _AUTOLYSOSOME: (3.6, 7.0), _GRANULE: (2.4, 5.2)}[kind]
    long = 0.05 if kind == _AUTOLYSOSOME else 0.2
    outline = _F(size * rng.uniform(low, high)) * (1 + _F(rng.uniform(0, long)) * np.cos(2 * way))
    return np.asarray(away / outline, _F)


def _free(
    marks: npt.NDArray[np.int32], away: Plane, at: npt.NDArray[np.int64]
) -> tuple[tuple[slice, slice], Plane] | None:
    """Find the first place where a patch lies on no other event, a pixel apart."""
    height, width = marks.shape
    half = away.shape[0] // 2
    for row, col in zip(*np.unravel_index(at, marks.shape), strict=True):
        y0, x0 = max(row - half, 0), max(col - half, 0)
        y1, x1 = min(row + half + 1, height), min(col + half + 1, width)
        part = away[y0 - row + half : y1 - row + half, x0 - col + half : x1 - col + half]
        if np.count_nonzero(part < 1) > 4 and not marks[y0:y1, x0:x1][part < 1.5].any():
            return (slice(y0, y1), slice(x0, x1)), part
    return None


def _colour(kind: int, mixture: float) -> npt.NDArray[np.float32]:
    """Light of an event in green and red; the more mixed, the more of the other colour."""
    other = 0.2 * math.exp(0.4 * mixture)
    if kind == _PHAGOPHORE:
        return np.array([1.0, other], _F)
    if kind == _AUTOLYSOSOME:
        return np.array([other, 1.0], _F)
    return np.array([0.8, 0.8 * math.exp(0.12 * mixture)], _F)


def _out_of_focus(cytoplasm: npt.NDArray[np.bool_], rng: np.random.Generator) -> Plane:
    """Draw spots above and below the focus, and light of the medium."""
    shape = cytoplasm.shape[0], cytoplasm.shape[1]
    planes = []
    for _ in CHANNELS:
        plane = np.zeros(shape, _F)
        rows, cols = np.nonzero(cytoplasm)
        if rows.size:
            for i in rng.integers(0, rows.size, rng.poisson(cytoplasm.size / 4000)).tolist():
                at = (int(cols[i]), int(rows[i]))
                cv2.circle(plane, at, int(rng.integers(2, 6)), rng.uniform(0.2, 0.6), -1)
        medium = _F(rng.uniform(0.02, 0.2)) * (1 + _F(0.3) * clouds(shape, 90, rng))
        planes.append(glow(plane, rng.uniform(4, 8)) + glow(np.asarray(medium, _F), 30))
    return np.stack(planes)


def _expose(light: Plane, rng: np.random.Generator) -> npt.NDArray[np.uint16]:
    """Turn light into grey values: crosstalk, optics, illumination, exposure, noise."""
    green, red = light
    light = np.stack([green, red + _F(rng.uniform(0, 0.12)) * green])
    side = light.shape[1:]
    y, x = (np.linspace(-1, 1, n, dtype=_F) for n in side)
    slope = rng.normal(0, 0.15, 2).astype(_F)
    corner = _F(rng.uniform(0, 0.25))
    field = 1 + slope[0] * x + slope[1] * y[:, None] - corner * (x * x + (y * y)[:, None])
    photons = _F(math.exp(rng.uniform(math.log(60), math.log(600))))
    grey = []
    for plane in light:
        expected = smooth(plane, rng.uniform(0.6, 1.0)) * np.maximum(field, 0.3) * photons
        noise = rng.standard_normal(side, dtype=_F) * np.sqrt(np.maximum(expected, 0) + 4)
        gain = _TOP * math.exp(rng.uniform(math.log(0.06), math.log(0.35)))
        grey.append(100 + (expected + noise) * _F(gain / photons))
    return np.asarray(np.rint(np.clip(grey, 0, _TOP)), np.uint16)


# --- the teacher ------------------------------------------------------------------------------


def teacher(
    truth: Autophagy, seed: int, systematic: float = SYSTEMATIC, of_image: float = OF_IMAGE
) -> npt.NDArray[np.int16]:
    """Label an image as a conventional method would, with the published kinds of error.

    Parameters
    ----------
    truth
        The image with its truth.
    seed
        Decides on what is chance.
    systematic, of_image
        Shares of the errors that the events and the image explain; together at most 1.

    Returns
    -------
    (height, width) int16, classes as of `CLASSES`.
    """
    from scipy.ndimage import find_objects

    rng = np.random.default_rng([seed, 13])
    given = _given(truth.events, (systematic, of_image), rng)
    labels = np.zeros(truth.marks.shape, np.int16)
    light = smooth(truth.image.max(axis=0).astype(_F), 1.0)
    places = find_objects(truth.marks)
    for i in np.flatnonzero(given).tolist():
        seen = places[i]
        kept = _incomplete(truth.marks[seen] == i + 1, light[seen], rng)
        labels[seen][kept] = given[i]
    return labels


def _given(
    events: Events, shares: tuple[float, float], rng: np.random.Generator
) -> npt.NDArray[np.int16]:
    """Class that the teacher gives to each event; 0 if it misses it."""
    # One image is hard in one way for both classes: stained weakly, or with colours that mix.
    weak, mixed, dirty = rng.standard_normal(3)
    missed = _chance(events.faintness, weak, shares, rng)
    swapped = _chance(-events.mixture, -mixed, shares, rng)
    taken = _chance(events.faintness, -dirty, shares, rng)
    given = events.kind.copy()
    for kind, other in ((_PHAGOPHORE, _AUTOLYSOSOME), (_AUTOLYSOSOME, _PHAGOPHORE)):
        of_kind = events.kind == kind
        # Chances run from the faintest (or most mixed) down: those beyond the share are hit.
        given[of_kind & (swapped < _SWAPPED[kind] / (1 - _MISSED[kind]))] = other
        given[of_kind & (missed > 1 - _MISSED[kind])] = 0
    granule = events.kind == _GRANULE
    given[granule & (taken < _TAKEN[_AUTOLYSOSOME])] = _AUTOLYSOSOME
    given[granule & (taken > 1 - _TAKEN[_PHAGOPHORE])] = _PHAGOPHORE
    return given


def _chance(
    feature: Latent, of_image: float, shares: tuple[float, float], rng: np.random.Generator
) -> Latent:
    """Numbers uniform from 0 to 1 over all images, higher for a higher feature."""
    systematic, image = shares
    chance = max(1 - systematic - image, 0.0)
    value = math.sqrt(systematic) * feature + math.sqrt(image) * of_image
    value = value + math.sqrt(chance) * rng.standard_normal(len(feature))
    rank = NormalDist().cdf
    return np.array([rank(one) for one in value.tolist()], np.float64)


def _incomplete(
    event: npt.NDArray[np.bool_], light: Plane, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Which pixels of an event the teacher draws: all, the brighter ones, or those of one side."""
    how = rng.random()
    rows, cols = np.nonzero(event)
    if how < _CUT:
        way = rng.uniform(0, 2 * np.pi)
        value = rows * math.sin(way) + cols * math.cos(way)
    elif how < _CUT + _SHRUNK:
        value = light[rows, cols]
    else:
        return event
    enough = value >= np.quantile(value, rng.uniform(0.1, 0.45))
    left = np.zeros(event.shape, np.uint8)
    left[rows[enough], cols[enough]] = 1
    # What falls apart counts as one event: its largest part.
    parts, stats = cv2.connectedComponentsWithStats(left)[1:3]
    return np.asarray(parts == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])))

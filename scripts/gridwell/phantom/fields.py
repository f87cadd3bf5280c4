"""Simulated fields of cells with the exact truth of each instance.

Networks learn from them before they see a real image, and tests measure on them. A field is one
fluorescence channel of `nuclei`, of `live` cells (Calcein: bodies with protrusions) or of `dead`
ones (PI: small, condensed or broken nuclei, beside debris and a faint trace of the living). Size,
density, clumps, brightness, background, optics, noise and file are drawn from the seed, from empty
to confluent and from clean to hardly visible. What is no cell has no label.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from gridwell.phantom.outlines import (
    Cover,
    Numbers,
    Outlines,
    Shape,
    cover,
    crowd,
    draw_outlines,
    pile,
    scatter,
)
from gridwell.phantom.painting import Plane, blob, clouds, glow, jpeg, smooth, step

KINDS = ("nuclei", "live", "dead")
"""Kinds of fields."""

DIAMETERS = (7.0, 70.0)
"""Typical diameter of the objects of a field in pixels, least and largest."""

_F = np.float32
_MOST = 1200  # objects of a field
_LEAST = 3.0  # radius in pixels: what is smaller is a speck


@dataclass(frozen=True)
class Field:
    """A simulated image and what is known of it.

    Attributes
    ----------
    image : (height, width) uint16
        Grey values as in a file of 8, 12 or 16 bits.
    labels : (height, width) int32
        Instances 1..k, each connected; 0 background.
    kind
        One of `KINDS`.
    """

    image: npt.NDArray[np.uint16]
    labels: npt.NDArray[np.int32]
    kind: str


@dataclass(frozen=True)
class Look:
    """Conditions of a field; lengths in pixels, light in units of a typical object.

    Attributes
    ----------
    diameter, sizes
        Typical diameter, and the spread of its logarithm.
    share
        Of the image that objects cover; 0 for an empty one.
    crowded, clumped, close
        Whether the layer is confluent; else the share of objects beside another one and their
        distance in sums of radii.
    shape, special
        Of most outlines, and the share of mitotic or condensed ones.
    spread
        Of the logarithm of the brightness.
    dome, core, gap, piled
        How much light falls to the edge, how much more (or less) the middle has, how deep the
        valley between touching objects is, and how far objects lie on each other.
    texture, grain, spots
        Depth of the chromatin or cytoplasm, its size as a share of the diameter, and how strong
        nucleoli (below 0) or granules (above 0) are.
    uneven
        Stain that changes over the image.
    bodies
        Light of bodies that have no label: cytoplasm, or a trace of the living.
    haze, halo, above
        Background, share of light scattered widely, number of objects out of focus.
    blur
        Sigma of the optics.
    debris
        Specks, fibres and dust on 256 x 256 pixels.
    well
        Whether the rim of a droplet or well is in sight.
    light
        Strength of gradient and vignetting.
    photons, read
        Photons of a typical object, and noise of the camera in photons.
    bits, fill, dark, packed
        Depth of the file, share of its range that a typical object fills, grey value of
        darkness as a share of the range, quality of a JPEG it was (0: none).
    """

    diameter: float
    sizes: float
    share: float
    crowded: bool
    clumped: float
    close: float
    shape: Shape
    special: float
    spread: float
    dome: float
    core: float
    gap: float
    piled: float
    texture: float
    grain: float
    spots: float
    uneven: float
    bodies: float
    haze: float
    halo: float
    above: int
    blur: float
    debris: float
    well: bool
    light: float
    photons: float
    read: float
    bits: int
    fill: float
    dark: float
    packed: int


def field(kind: str, seed: int, side: int = 256) -> Field:
    """Simulate a field.

    Parameters
    ----------
    kind
        One of `KINDS`.
    seed
        0 or more; equal seeds give equal bytes.
    side
        Height and width in pixels.
    """
    rng = np.random.default_rng([seed, KINDS.index(kind), 7])
    return paint(kind, draw_look(kind, rng), side, rng)


def paint(kind: str, look: Look, side: int, rng: np.random.Generator) -> Field:
    """Paint a field under given conditions."""
    shape = (side, side)
    # Distance from the outline of the spot or well; all of the image lies deep inside a large one.
    well = _well(shape, rng) if look.well else np.full(shape, _F(-1e4))
    outlines, heights = _grow(kind, look, well, rng)
    covered = cover(outlines, shape)
    haze = _haze(look, well, rng)
    heights = _visible(heights, outlines, look, float(haze.mean()) + look.bodies) * covered.kept
    light = _stain(look, outlines, heights, covered, rng)
    light += _bodies(kind, look, outlines, well, rng)
    light += _debris(look, shape, rng)
    light = smooth(light, look.blur)
    light += _above(look, shape, rng)
    if look.halo:
        light = (1 - look.halo) * light + look.halo * glow(light, look.diameter * 1.2)
    image = _expose(light + haze, look, rng)
    return Field(image, covered.labels, kind)


# --- conditions -------------------------------------------------------------------------------


def draw_look(kind: str, rng: np.random.Generator) -> Look:
    """Draw the conditions of a field of a kind."""
    own: dict[str, Any] = _OWN[kind](rng)
    usual = rng.random() < 0.72
    diameter = _between(rng, *((8.0, 30.0) if usual else DIAMETERS))
    diameter = float(np.clip(diameter * own.pop("size"), *DIAMETERS))
    how = rng.random()
    # Layers of the smallest objects would hold thousands.
    crowded = how > 0.84 and diameter > 11
    share = 0.0 if how < 0.06 else 0.01 if how < 0.12 else _between(rng, 0.03, 0.5)
    bits = int(rng.choice([8, 12, 16], p=[0.6, 0.12, 0.28]))
    saturated = rng.random() < 0.1
    fill = _between(rng, 0.9, 2.5) if saturated else _between(rng, 0.06 if bits == 8 else 0.01, 0.7)
    haze = _between(rng, 0.004, 0.6)
    return Look(
        diameter=diameter,
        sizes=rng.uniform(0.06, 0.32),
        share=share,
        crowded=crowded,
        clumped=rng.choice([0.0, 1.0]) * rng.uniform(0.2, 0.95),
        close=rng.uniform(0.78, 1.0),
        spread=_between(rng, 0.08, 0.75),
        gap=rng.uniform(0.05, 0.6),
        piled=max(0.0, rng.uniform(-0.6, 1.0)),
        uneven=_some(rng, 0.4, 0.1, 0.5),
        haze=haze,
        halo=_some(rng, 0.7, 0.03, 0.3),
        above=int(rng.poisson(2.5)) if rng.random() < 0.18 else 0,
        blur=min(_between(rng, 0.5, 3.0), 0.12 * diameter),
        debris=_some(rng, 0.5, 1.0, 12.0),
        well=bool(rng.random() < 0.2),
        light=_some(rng, 0.6, 0.05, 0.6),
        photons=_between(rng, 60, 15000),
        read=_between(rng, 0.5, 8),
        bits=bits,
        fill=min(fill, 0.3 / haze),  # a background that saturates hides everything
        dark=float(rng.uniform(-0.004, 0.06)) if bits == 8 else rng.uniform(0.001, 0.02),
        packed=int(rng.integers(50, 95)) if bits == 8 and rng.random() < 0.15 else 0,
        **own,
    )


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number whose logarithm is uniform."""
    return float(np.exp(rng.uniform(math.log(low), math.log(high))))


def _some(rng: np.random.Generator, chance: float, low: float, high: float) -> float:
    """Draw a number as `_between` with a chance, else 0."""
    drawn = _between(rng, low, high)
    return drawn if rng.random() < chance else 0.0


def _nuclei(rng: np.random.Generator) -> dict[str, Any]:
    """What is special to nuclei."""
    low = rng.uniform(0.45, 0.9)
    return {
        "size": 1.0,
        "shape": Shape(
            aspect=(low, rng.uniform(low, 1.0)),
            rough=_between(rng, 0.01, 0.08),
            dented=_some(rng, 0.4, 0.05, 0.4),
        ),
        "special": _some(rng, 0.5, 0.02, 0.2),
        "dome": rng.uniform(-0.3, 0.55),
        "core": 0.0,
        "texture": _between(rng, 0.03, 0.3),
        "grain": _between(rng, 0.12, 0.5),
        "spots": rng.choice([-1.0, 0.0, 1.0]) * rng.uniform(0.15, 0.8),
        "bodies": _some(rng, 0.35, 0.02, 0.2),
    }


def _live(rng: np.random.Generator) -> dict[str, Any]:
    """What is special to bodies of living cells."""
    low = rng.uniform(0.25, 0.9)
    return {
        "size": rng.uniform(1.1, 2.1),
        "shape": Shape(
            aspect=(low, rng.uniform(low, 1.0)),
            rough=_between(rng, 0.03, 0.18),
            dented=_some(rng, 0.3, 0.05, 0.3),
            spiky=_some(rng, 0.75, 0.2, 1.0),
            spike=(0.3, rng.uniform(0.5, 2.0)),
        ),
        "special": _some(rng, 0.5, 0.03, 0.4),
        "dome": rng.uniform(0.0, 0.8),
        "core": rng.choice([0.0, 1.0]) * rng.uniform(-0.5, 0.7),
        "texture": _between(rng, 0.05, 0.4),
        "grain": _between(rng, 0.08, 0.4),
        "spots": rng.choice([-1.0, 0.0, 1.0]) * rng.uniform(0.15, 0.9),
        "bodies": 0.0,
    }


def _dead(rng: np.random.Generator) -> dict[str, Any]:
    """What is special to nuclei of dead cells."""
    low = rng.uniform(0.55, 0.95)
    return {
        "size": 0.8,
        "shape": Shape(
            aspect=(low, rng.uniform(low, 1.0)),
            rough=_between(rng, 0.01, 0.12),
            dented=_some(rng, 0.3, 0.05, 0.3),
        ),
        "special": _some(rng, 0.7, 0.05, 0.8),
        "dome": rng.uniform(-0.2, 0.6),
        "core": 0.0,
        "texture": _between(rng, 0.03, 0.4),
        "grain": _between(rng, 0.15, 0.5),
        "spots": rng.choice([0.0, 1.0]) * rng.uniform(0.15, 0.9),
        "bodies": _some(rng, 0.5, 0.02, 0.25),
    }


_OWN = {"nuclei": _nuclei, "live": _live, "dead": _dead}


# --- objects ----------------------------------------------------------------------------------


def _grow(kind: str, look: Look, well: Plane, rng: np.random.Generator) -> tuple[Outlines, Numbers]:
    """Draw the outlines of a field and how bright each is."""
    x, y, radius = _places(look, well, rng)
    special = rng.random(len(x)) < look.special
    heights = np.exp(look.spread * rng.standard_normal(len(x)).clip(-2, 2))
    if rng.random() < 0.3:  # a second population, weakly stained
        heights *= np.where(rng.random(len(x)) < rng.uniform(0.1, 0.6), rng.uniform(0.15, 0.5), 1)
    plain = draw_outlines(x, y, radius, look.shape, rng)
    if not special.any():
        return plain, heights
    odd, gain = _SPECIAL[kind](x[special], y[special], radius[special], rng)
    rest = plain.only(~special)
    both = Outlines(*(np.concatenate([getattr(rest, name), getattr(odd, name)]) for name in _PARTS))
    return both, np.concatenate([heights[~special], heights[special][gain[0]] * gain[1]])


_PARTS = ("x", "y", "radius", "reach")


def _places(look: Look, well: Plane, rng: np.random.Generator) -> tuple[Numbers, Numbers, Numbers]:
    """Draw centres and radii, all in the well."""
    middle = look.diameter / 2
    shape = well.shape[0], well.shape[1]
    if look.crowded:
        x, y = crowd(middle * rng.uniform(0.92, 1.15), shape, rng.uniform(0.05, 0.5), rng)
        radius = middle * np.exp(0.6 * look.sizes * rng.standard_normal(len(x)).clip(-2, 2))
    else:
        count = int(rng.poisson(look.share * well.size / (math.pi * middle**2)))
        count = min(max(count, int(look.share > 0)), _MOST)
        radius = middle * np.exp(look.sizes * rng.standard_normal(count).clip(-2, 2))
        x, y = scatter(radius, shape, look.clumped, look.close, rng)
    row = np.clip(np.rint(y).astype(int), 0, shape[0] - 1)
    col = np.clip(np.rint(x).astype(int), 0, shape[1] - 1)
    inside = well[row, col] < -1.2 * middle
    return x[inside], y[inside], np.maximum(radius[inside], _LEAST)


def _mitotic(
    x: Numbers, y: Numbers, radius: Numbers, rng: np.random.Generator
) -> tuple[Outlines, tuple[npt.NDArray[np.intp], Numbers]]:
    """Draw dividing nuclei: plates, and pairs of them that are two objects."""
    n = len(x)
    pair = rng.random(n) < 0.4
    angle = rng.uniform(0, np.pi, n)
    aspect = rng.uniform(0.25, 0.6, n)
    size = radius * rng.uniform(0.55, 0.8, n)
    apart = np.where(pair, size * rng.uniform(0.75, 1.5, n), 0)
    whose = np.concatenate([np.arange(n), np.flatnonzero(pair)])
    sign = np.concatenate([np.ones(n), -np.ones(int(pair.sum()))])
    # Daughters lie across the axis of the plates.
    dx, dy = -np.sin(angle) * apart, np.cos(angle) * apart
    outlines = draw_outlines(
        x[whose] + sign * dx[whose],
        y[whose] + sign * dy[whose],
        size[whose] * np.where(pair, 0.8, 1.0)[whose],
        Shape((0.5, 1.0), 0.06),
        rng,
        aspect=aspect[whose],
        angle=angle[whose],
    )
    return outlines, (whose, rng.uniform(1.3, 4.0, n)[whose])


def _rounded(
    x: Numbers, y: Numbers, radius: Numbers, rng: np.random.Generator
) -> tuple[Outlines, tuple[npt.NDArray[np.intp], Numbers]]:
    """Draw cells that have rounded up: smaller and brighter."""
    n = len(x)
    outlines = draw_outlines(
        x, y, radius * rng.uniform(0.5, 0.8, n), Shape((0.85, 1.0), 0.015), rng
    )
    return outlines, (np.arange(n), rng.uniform(0.8, 3.0, n))


def _condensed(
    x: Numbers, y: Numbers, radius: Numbers, rng: np.random.Generator
) -> tuple[Outlines, tuple[npt.NDArray[np.intp], Numbers]]:
    """Draw dying nuclei: condensed to bright discs, or breaking up into lobes."""
    n = len(x)
    broken = rng.random(n) < 0.4
    size = np.where(broken, rng.uniform(0.7, 1.0, n), rng.uniform(0.45, 0.75, n))
    whole = draw_outlines(x, y, radius * size, Shape((0.8, 1.0), 0.02), rng)
    lobed = draw_outlines(x, y, radius * size, Shape((0.6, 1.0), 0.22), rng)
    reach = np.where(broken[:, None], lobed.reach, whole.reach)
    # What is small is so as a whole: a speck is no nucleus.
    grow = np.maximum(1, _LEAST / (radius * size))
    outlines = replace(whole, radius=whole.radius * grow, reach=reach * grow[:, None])
    return outlines, (np.arange(n), rng.uniform(0.8, 3.0, n))


_SPECIAL = {"nuclei": _mitotic, "live": _rounded, "dead": _condensed}


def _visible(heights: Numbers, outlines: Outlines, look: Look, haze: float) -> Numbers:
    """Raise what nobody could see to just above noise and grey steps, as it would have no label."""
    noise = math.sqrt(look.photons * (haze + 0.02) + look.read**2) / look.photons
    least = noise * np.maximum(0.9, 9 / (1.77 * outlines.radius))
    grey, steps = look.fill * (2**look.bits - 1), (8 if look.packed else 3)
    # What is below black in the file has to be overcome too.
    below = max(0.0, -look.dark / look.fill - haze)
    return np.maximum(
        heights, np.maximum(np.maximum(least, steps / grey + below), heights.max(initial=0) / 20)
    )


# --- light ------------------------------------------------------------------------------------


def _stain(
    look: Look, outlines: Outlines, heights: Numbers, covered: Cover, rng: np.random.Generator
) -> Plane:
    """Draw the light of the objects: profile, texture, valleys, overlaps."""
    shape = covered.labels.shape
    if not len(outlines):
        return np.zeros(shape, _F)
    near = np.minimum(covered.near, 1)
    size = np.append(outlines.radius, 1.0).astype(_F)[covered.owner]
    inside = step((1 - covered.near) * size / _F(1.5) + _F(0.5))
    profile = 1 - _F(look.dome) * near * near
    if look.core:
        profile *= 1 + _F(look.core) * step((_F(0.6) - near) / _F(0.25))
    valley = 1 - _F(look.gap) * step(1 - covered.valley / _F(1 + 0.08 * look.diameter))
    light = np.append(heights, 0).astype(_F)[covered.owner] * inside * profile * valley
    if look.piled:
        piled = pile(outlines, heights, shape, look.dome)
        light = _F(1 - look.piled) * light + _F(look.piled) * np.maximum(piled, light)
    return np.asarray(light * _texture(look, shape, rng), _F)


def _texture(look: Look, shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    """Draw chromatin or cytoplasm at three scales, nucleoli or granules, and uneven stain."""
    length = look.grain * look.diameter
    rough = clouds(shape, max(length, 1.5), rng) * _F(0.6)
    rough += clouds(shape, max(length / 2.5, 1.2), rng) * _F(0.5)
    rough += clouds(shape, look.diameter, rng) * _F(0.5)
    factor = 1 + _F(look.texture) * rough
    if look.spots:
        size = max(0.22 * look.diameter, 2.0)
        spots = step((clouds(shape, size, rng) - _F(1.1)) / _F(0.6))
        factor *= 1 + _F(look.spots if look.spots < 0 else 2 * look.spots) * spots
    if look.uneven:
        factor *= np.exp(_F(look.uneven) * _drift(shape, max(shape) / 3, rng))
    return np.asarray(np.clip(factor, 0.3, 4.0), _F)


def _bodies(
    kind: str,
    look: Look,
    outlines: Outlines,
    well: Plane,
    rng: np.random.Generator,
) -> Plane:
    """Draw what shines faintly and is no object: cytoplasm of nuclei, the living among the dead."""
    shape = well.shape[0], well.shape[1]
    if not look.bodies:
        return np.zeros(shape, _F)
    if kind == "nuclei":
        x, y, radius = outlines.x, outlines.y, outlines.radius * rng.uniform(1.6, 3.0)
        radius = np.minimum(radius, 60.0)
    else:
        size = min(look.diameter * rng.uniform(1.5, 2.5), 80.0)
        share = _between(rng, 0.05, 0.5)
        other = replace(look, diameter=size, share=share, clumped=0.5, crowded=False)
        x, y, radius = _places(other, well, rng)
    wild = Shape((rng.uniform(0.15, 0.7), 0.9), 0.1, spiky=rng.choice([0.0, 0.6]))
    # Alone in a field they are fainter still: else nothing would tell them from objects.
    most = look.bodies if len(outlines) else 0.3 * look.bodies
    heights = most * np.exp(0.4 * rng.standard_normal(len(x)).clip(-2, 2))
    faint = pile(draw_outlines(x, y, radius, wild, rng), heights, shape, rng.uniform(0.3, 0.9))
    # Their outline is soft: nobody would take it for that of a nucleus.
    return smooth(faint, max(1.0, 0.1 * look.diameter))


def _debris(look: Look, shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    """Draw specks, fibres and dust, all much smaller or thinner than an object."""
    light = np.zeros(shape, _F)
    count = int(rng.poisson(look.debris * shape[0] * shape[1] / 65536)) if look.debris else 0
    for _ in range(count):
        x, y = rng.uniform(0, shape[1]), rng.uniform(0, shape[0])
        height = _between(rng, 0.15, 4.0)
        dirt = np.zeros(shape, _F) if (kind := rng.random()) > 0.9 else light
        at = (round(x), round(y))
        if kind < 0.7:  # a speck
            radius = min(rng.uniform(0.3, max(0.15 * look.diameter, 0.6)), 2.0)
            cv2.circle(dirt, at, round(radius), height, -1)
        elif kind < 0.9:  # a fibre
            thick = 1 if look.diameter < 20 else int(rng.integers(1, 3))
            cv2.polylines(dirt, [_fibre(x, y, max(shape), rng)], False, 0.4 * height, thick)
        else:  # dust, out of focus
            polygon = blob(x, y, look.diameter * rng.uniform(0.15, 0.9), rng)
            cv2.fillPoly(dirt, [polygon], 0.5 * height)
            light += glow(dirt, look.diameter * rng.uniform(0.3, 0.8))
    return light


def _fibre(x: float, y: float, side: float, rng: np.random.Generator) -> npt.NDArray[np.int32]:
    """Draw a bent line from a point, in whole pixels."""
    way = rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.25, 24).cumsum()
    pace = rng.uniform(0.1, 0.6) * side / 24
    line = np.stack([x + pace * np.cos(way).cumsum(), y + pace * np.sin(way).cumsum()], axis=1)
    return np.rint(line).astype(np.int32)


def _above(look: Look, shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    """Draw objects above or below the focus: a wide soft glow each, without a label."""
    light = np.zeros(shape, _F)
    if not look.above:
        return light
    for _ in range(look.above):
        at = (int(rng.integers(0, shape[1])), int(rng.integers(0, shape[0])))
        radius = round(look.diameter * rng.uniform(0.4, 0.7))
        cv2.circle(light, at, radius, rng.uniform(0.1, 0.7), -1)
    return glow(light, look.diameter * rng.uniform(0.45, 0.9))


def _well(shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    """Distance from the outline of a spot or well in pixels, negative inside."""
    side = max(shape)
    x0, y0 = rng.uniform(0.2, 0.8, 2) * side
    half = side * rng.uniform(0.35, 0.9)
    y, x = np.indices(shape, dtype=_F)
    turn = rng.normal(0, 0.06)
    u = (x - _F(x0)) * _F(math.cos(turn)) + (y - _F(y0)) * _F(math.sin(turn))
    v = (y - _F(y0)) * _F(math.cos(turn)) - (x - _F(x0)) * _F(math.sin(turn))
    if rng.random() < 0.5:
        away = np.hypot(u, v) - _F(half)
    else:
        corner = _F(half * rng.uniform(0.05, 0.3))
        u, v = np.abs(u) - _F(half) + corner, np.abs(v) - _F(half) + corner
        outer = np.hypot(np.maximum(u, 0), np.maximum(v, 0))
        away = outer + np.minimum(np.maximum(u, v), 0) - corner
    return np.asarray(away + _F(0.01 * side) * _drift(shape, side / 6, rng), _F)


def _haze(look: Look, well: Plane, rng: np.random.Generator) -> Plane:
    """Draw the background: medium, clouds, gradient, a droplet with its rim."""
    shape = well.shape[0], well.shape[1]
    haze = np.ones(shape, _F)
    if rng.random() < 0.5:
        haze += _F(rng.uniform(0.02, 0.4)) * _drift(shape, max(shape) * rng.uniform(0.15, 0.7), rng)
    if rng.random() < 0.3:
        haze += _F(rng.uniform(0.02, 0.15)) * clouds(shape, rng.uniform(3, 12), rng)
    y, x = (np.linspace(-1, 1, n, dtype=_F) for n in shape)
    slope = rng.normal(0, 0.25, 2).astype(_F)
    haze += slope[0] * x + slope[1] * y[:, None]
    haze = np.maximum(haze, 0.1) * _F(look.haze)
    if look.well:
        wide = _F(rng.uniform(2, 12))
        outside = _F(rng.uniform(0.1, 1.2))
        haze *= outside + (1 - outside) * step(-well / wide)
        away: Plane = np.abs(well + wide * _F(rng.uniform(-1, 1)))
        haze *= 1 - _F(rng.uniform(0, 0.9)) * step(1 - away / wide)
        if rng.random() < 0.4:  # the rim catches light
            haze += _F(_between(rng, 0.05, 1.0)) * step(np.asarray(1 - np.abs(well) / wide, _F))
    return np.asarray(haze, _F)


def _drift(shape: tuple[int, int], length: float, rng: np.random.Generator) -> Plane:
    """Draw clouds without the creases that large ones have."""
    return glow(clouds(shape, length, rng), 0.35 * length)


def _expose(light: Plane, look: Look, rng: np.random.Generator) -> npt.NDArray[np.uint16]:
    """Turn light into grey values: illumination, shot noise, camera, file.

    Shot noise is drawn from the normal distribution of the same variance, as in `render`.
    """
    shape = light.shape[0], light.shape[1]
    if look.light:
        light = light * _illumination(shape, look.light, rng)
    photons = _F(look.photons)
    expected = np.maximum(light, 0) * photons
    grains = rng.standard_normal(shape, dtype=_F)
    if rng.random() < 0.25:  # an image that was enlarged
        sigma = rng.uniform(0.4, 0.8)
        grains = smooth(grains, sigma)
        grains /= max(float(grains.std()), 1e-6)
    counts = expected + grains * np.sqrt(expected + _F(look.read**2))
    top = 2**look.bits - 1
    grey = np.clip(np.rint((counts / photons * _F(look.fill) + _F(look.dark)) * _F(top)), 0, top)
    if look.packed:
        return jpeg(grey.astype(np.uint8), look.packed).astype(np.uint16)
    return grey.astype(np.uint16)


def _illumination(shape: tuple[int, int], strength: float, rng: np.random.Generator) -> Plane:
    """Gradient and darker corners, 1 in the middle."""
    y, x = (np.linspace(-1, 1, n, dtype=_F) for n in shape)
    slope = rng.normal(0, 0.35 * strength, 2).astype(_F)
    corner = _F(strength * rng.uniform(0, 0.5))
    light = 1 + slope[0] * x + slope[1] * y[:, None] - corner * (x * x + (y * y)[:, None])
    return np.asarray(np.clip(light, 0.2, 2.0), _F)

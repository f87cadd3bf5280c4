"""Outlines of simulated cells: shapes, places, and whose each pixel is.

An outline is star-shaped: a distance from a centre in each of `WAYS` directions. Where outlines
overlap, a pixel belongs to the one whose centre is closer in units of its own size, as with cells
that press against each other; so instances are exact, and touch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from gridwell.phantom.painting import Plane, step

WAYS = 256
"""Directions in which an outline is known."""

_TURN = np.linspace(0, 2 * np.pi, WAYS, endpoint=False)
_FAR = np.float32(9.0)  # as good as infinitely far from an outline
_F = np.float32

Numbers = npt.NDArray[np.float64]
Window = tuple[int, tuple[slice, slice], Plane]


@dataclass(frozen=True)
class Shape:
    """What outlines of one population look like.

    Attributes
    ----------
    aspect
        Range of the short axis over the long one.
    rough
        Depth of the lobes, as a share of the radius.
    dented
        Share of outlines with a dent, as kidneys have.
    spiky
        Share of outlines with protrusions.
    spike
        Range of the length of protrusions in radii.
    """

    aspect: tuple[float, float]
    rough: float
    dented: float = 0.0
    spiky: float = 0.0
    spike: tuple[float, float] = (0.3, 1.2)


@dataclass(frozen=True)
class Outlines:
    """Outlines in an image.

    Attributes
    ----------
    x, y : (n,)
        Centres in pixels; any may lie outside of the image.
    radius : (n,)
        Of a disc of the same area, in pixels.
    reach : (n, WAYS)
        Distance from the centre to the outline in each direction, in pixels.
    """

    x: Numbers
    y: Numbers
    radius: Numbers
    reach: Numbers

    def __len__(self) -> int:
        return len(self.x)

    def only(self, keep: npt.NDArray[np.bool_]) -> Outlines:
        """Return the outlines chosen by a bool array."""
        return Outlines(self.x[keep], self.y[keep], self.radius[keep], self.reach[keep])

    def larger(self, factor: float) -> Outlines:
        """Return the same outlines, `factor` times as large about their centres."""
        return replace(self, radius=self.radius * factor, reach=self.reach * factor)


def draw_outlines(
    x: Numbers,
    y: Numbers,
    radius: Numbers,
    shape: Shape,
    rng: np.random.Generator,
    *,
    aspect: Numbers | None = None,
    angle: Numbers | None = None,
) -> Outlines:
    """Draw an outline about each centre.

    Parameters
    ----------
    x, y, radius : (n,)
        Centres and radii in pixels.
    shape
        What the outlines look like.
    rng
        Draws what differs between them.
    aspect, angle : (n,)
        Short axis over the long one, and direction of the long one in radians, where they are
        known; else they are drawn.
    """
    n = len(x)
    drawn = rng.uniform(*shape.aspect, n), rng.uniform(0, np.pi, n)
    short = np.sqrt(drawn[0] if aspect is None else aspect)[:, None]
    way = _TURN - (drawn[1] if angle is None else angle)[:, None]
    away = 1 / np.hypot(np.cos(way) * short, np.sin(way) / short)
    for lobes in range(2, 8):
        depth = shape.rough * rng.standard_normal((n, 1)) * (2 / lobes) ** 1.2
        away *= 1 + depth.clip(-0.3, 0.3) * np.cos(
            lobes * (_TURN + rng.uniform(0, 2 * np.pi, (n, 1)))
        )
    dent = (rng.random((n, 1)) < shape.dented) * rng.uniform(0.2, 0.45, (n, 1))
    # Dents of kidneys are on a long side.
    away *= 1 - dent * _bump(way - np.pi / 2, rng.uniform(0.4, 0.7, (n, 1)))
    if shape.spiky:
        away += _spikes(n, shape, rng)
    away = away.clip(0.25, 3.0)
    return Outlines(x, y, radius, away * (radius / np.sqrt((away**2).mean(axis=1)))[:, None])


def _spikes(n: int, shape: Shape, rng: np.random.Generator) -> Numbers:
    """Length of protrusions in each direction: up to three per outline."""
    spiky = rng.random((n, 1)) < shape.spiky
    length = np.zeros((n, WAYS))
    for chance in (1.0, 0.7, 0.4):
        there = spiky & (rng.random((n, 1)) < chance)
        size = there * rng.uniform(*shape.spike, (n, 1))
        width = rng.uniform(0.12, 0.4, (n, 1))
        length += size * _bump(_TURN - rng.uniform(0, 2 * np.pi, (n, 1)), width)
    return length


def _bump(way: Numbers, width: Numbers) -> Numbers:
    """One where an angle is 0, falling to 0 within about twice the width."""
    apart = np.abs((way + np.pi) % (2 * np.pi) - np.pi)
    bump: Numbers = np.exp(-((apart / width) ** 2))
    return bump


# --- places -----------------------------------------------------------------------------------


def scatter(
    radius: Numbers, shape: tuple[int, int], clumped: float, close: float, rng: np.random.Generator
) -> tuple[Numbers, Numbers]:
    """Drop discs on an image: some touch an earlier one, others keep their distance.

    Parameters
    ----------
    radius : (n,)
        In pixels.
    shape
        Height and width of the image in pixels; centres may lie just outside of it.
    clumped
        Share of discs that are put beside an earlier one.
    close
        Distance between clumped discs in units of the sum of their radii; below 1 they overlap.

    Returns
    -------
    x, y : (n,)
        Centres. A disc that finds no place overlaps others as little as it can.
    """
    n, tries = len(radius), 10
    height, width = shape
    x, y = np.zeros(n), np.zeros(n)
    pad = float(radius.mean()) if n else 0.0
    dropped = rng.random((n, tries, 2)) * (width + 2 * pad, height + 2 * pad) - pad
    way = rng.uniform(0, 2 * np.pi, (n, tries))
    joins = rng.random(n) < clumped
    anchors = (rng.random((n, tries)) * np.arange(n)[:, None]).astype(int)
    for i in range(n):
        tx, ty = dropped[i, :, 0], dropped[i, :, 1]
        if joins[i] and i:
            j = anchors[i]
            beside = close * (radius[i] + radius[j])
            tx, ty = x[j] + beside * np.cos(way[i]), y[j] + beside * np.sin(way[i])
        apart = np.hypot(tx[:, None] - x[:i], ty[:, None] - y[:i])
        room = (apart / (radius[:i] + radius[i])).min(axis=1, initial=np.inf)
        room[
            (abs(tx - width / 2) > width / 2 + pad) | (abs(ty - height / 2) > height / 2 + pad)
        ] = -1
        enough = room >= (close - 1e-6 if joins[i] and i else 1.05)
        # The first try with room, else the one that overlaps least.
        best = int(np.argmax(enough)) if enough.any() else int(np.argmax(room))
        x[i], y[i] = tx[best], ty[best]
    return x, y


def crowd(
    radius: float, shape: tuple[int, int], loose: float, rng: np.random.Generator
) -> tuple[Numbers, Numbers]:
    """Fill an image with centres about two radii apart, as in a confluent layer.

    Parameters
    ----------
    radius
        In pixels.
    shape
        Height and width of the image in pixels.
    loose
        Spread of the centres about a lattice in radii.
    """
    height, width = shape
    across = 2 * radius * np.sqrt(np.pi / np.sqrt(12))
    half = int(np.hypot(height, width) / (2 * across * 0.866)) + 3
    row, col = (c.ravel().astype(float) for c in np.mgrid[-half : half + 1, -half : half + 1])
    u = (col + 0.5 * (row % 2)) * across + loose * radius * rng.standard_normal(row.size)
    v = row * across * np.sqrt(3) / 2 + loose * radius * rng.standard_normal(row.size)
    turn, shift = rng.uniform(0, np.pi / 3), rng.uniform(-across, across, 2)
    x = width / 2 + shift[0] + u * np.cos(turn) - v * np.sin(turn)
    y = height / 2 + shift[1] + u * np.sin(turn) + v * np.cos(turn)
    seen = (x > -radius) & (x < width + radius) & (y > -radius) & (y < height + radius)
    order = rng.permutation(int(seen.sum()))
    return x[seen][order], y[seen][order]


# --- pixels -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cover:
    """Whose each pixel is; arrays of the shape of the image.

    Attributes
    ----------
    labels
        Instances 1..k, each connected; 0 background.
    owner
        Number of the outline that is nearest, -1 far from all.
    near
        Distance from its centre in units of the outline: below 1 inside.
    valley
        By how much the next outline is farther, in pixels: 0 where two meet.
    kept : (n,) bool
        Outlines that have an instance, in the order of the labels.
    """

    labels: npt.NDArray[np.int32]
    owner: npt.NDArray[np.int32]
    near: Plane
    valley: Plane
    kept: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Patches:
    """Distances from the centres, in units of the outlines, on a square about each centre.

    Attributes
    ----------
    away : (n, side, side)
        The distances.
    left, top : (n,)
        Corner of each square in the image.
    shape
        Height and width of the image.
    """

    away: npt.NDArray[np.float32]
    left: npt.NDArray[np.intp]
    top: npt.NDArray[np.intp]
    shape: tuple[int, int]

    def windows(self) -> list[Window]:
        """List the numbers of the outlines seen, their windows of the image, and distances."""
        height, width = self.shape
        side = self.away.shape[1]
        found = []
        for i, (x, y) in enumerate(zip(self.left.tolist(), self.top.tolist(), strict=True)):
            x0, x1, y0, y1 = max(x, 0), min(x + side, width), max(y, 0), min(y + side, height)
            if x0 < x1 and y0 < y1:
                part = self.away[i, y0 - y : y1 - y, x0 - x : x1 - x]
                found.append((i, (slice(y0, y1), slice(x0, x1)), part))
        return found


def stamp(outlines: Outlines, shape: tuple[int, int], margin: float = 2.0) -> Patches:
    """Measure every outline on a square that holds it and `margin` pixels about it."""
    half = int(np.ceil(outlines.reach.max(initial=1.0) + margin))
    steps = np.arange(-half, half + 1)
    distance = np.hypot(steps[:, None], steps).astype(_F)
    way = np.arctan2(steps[:, None], steps) % (2 * np.pi)
    index = np.rint(way * (WAYS / (2 * np.pi))).astype(np.intp) % WAYS
    inverse = (1 / outlines.reach).astype(_F)
    # Centres are those of pixels, so that all outlines share distances and directions.
    left = np.rint(outlines.x).astype(np.intp) - half
    top = np.rint(outlines.y).astype(np.intp) - half
    return Patches(distance * inverse[:, index], left, top, shape)


def cover(outlines: Outlines, shape: tuple[int, int], least: float = 0.3) -> Cover:
    """Tell whose each pixel is.

    Parameters
    ----------
    outlines
        Any number of them.
    shape
        Height and width of the image.
    least
        Outlines of which less than this share of what the image holds is left by others are
        dropped, and so are those of which the image shows next to nothing.
    """
    windows = stamp(outlines, shape).windows()
    whole = np.zeros(len(outlines))
    for i, _, away in windows:
        whole[i] = np.count_nonzero(away < 1)
    # An image that cuts off all but a sliver shows nothing that could be told.
    enough = np.maximum(np.maximum(6, 0.06 * np.pi * outlines.radius**2), least * whole)
    kept = np.ones(len(outlines), bool)
    for _ in range(2):
        made = _cover(outlines, windows, shape, kept)
        lost = (np.bincount(made.labels.ravel(), minlength=len(kept) + 1)[1:] < enough) & kept
        if not lost.any():
            break
        kept = kept & ~lost
    labels, there = _instances(made.labels, len(outlines))
    owner = np.where((made.near < 1) & (labels == 0), -1, made.owner)
    number = np.zeros(len(outlines) + 1, np.int32)
    number[1:][there] = np.arange(1, there.sum() + 1)
    return replace(made, labels=number[labels], owner=owner, kept=there)


def _cover(
    outlines: Outlines,
    windows: list[Window],
    shape: tuple[int, int],
    kept: npt.NDArray[np.bool_],
) -> Cover:
    best, second = np.full(shape, _FAR), np.full(shape, _FAR)
    owner = np.full(shape, -1, np.int32)
    for i, window, away in windows:
        if not kept[i]:
            continue
        before = best[window]
        owner[window][away < before] = i
        second[window] = np.minimum(second[window], np.maximum(before, away))
        best[window] = np.minimum(before, away)
    size = np.append(outlines.radius, 1.0).astype(_F)[owner]
    labels = np.where(best < 1, owner + 1, 0).astype(np.int32)
    return Cover(labels, owner, best, (second - best) * size, kept)


def _instances(
    labels: npt.NDArray[np.int32], count: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """Keep the largest connected part of each instance, and tell which there are."""
    from skimage.measure import label

    parts, found = label(labels, connectivity=1, return_num=True)
    size = np.bincount(parts.ravel(), minlength=found + 1)
    whose = np.zeros(found + 1, np.int64)
    whose[parts.ravel()] = labels.ravel()
    order = np.argsort(size, kind="stable")
    largest = np.zeros(count + 1, np.int64)
    largest[whose[order]] = order  # the last one written is the largest
    largest[0] = 0
    main = (parts == largest[labels]) & (labels > 0)
    kept = np.where(main, labels, 0).astype(np.int32)
    there = np.bincount(kept.ravel(), minlength=count + 1)[1:] > 0
    return kept, there


def pile(outlines: Outlines, heights: Numbers, shape: tuple[int, int], dome: float) -> Plane:
    """Add up the light of outlines that may lie on each other.

    Parameters
    ----------
    outlines
        n outlines.
    heights : (n,)
        Light in the middle of each.
    shape
        Height and width of the image.
    dome
        How much the light falls from the middle to the edge, as a share.
    """
    light = np.zeros(shape, _F)
    tops = heights.astype(_F)
    for i, window, away in stamp(outlines, shape).windows():
        inside = step((1 - away) * _F(max(outlines.radius[i], 1.0) / 1.5) + _F(0.5))
        light[window] += inside * (1 - _F(dome) * np.minimum(away, 1) ** 2) * tops[i]
    return light

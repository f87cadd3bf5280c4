"""A calibration curve: from a number, or from a whole colour, to the value it stands for.

The curve runs through the medians of the levels, as a shape-preserving cubic of the value (PCHIP,
Fritsch and Carlson 1980). Where a colour lies on it is the mean of the posterior over the
calibrated range, every gap between levels being as likely. Noise is Gaussian: what replicates of
a level have, and at each place what the curve may miss of a bend there, which levels tell that are
left out. A number is the case of one dimension; there the curve must rise or fall throughout.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

STEPS = 64
"""Places on the curve that are looked at between two levels."""
LEAST_NOISE = 0.001
"""Smallest standard deviation to believe in, as a share of the distance that the curve spans."""
TURN, TURN_UNKNOWN = 0.03, 0.1
"""How far levels may be out of order, as a share of the range: with and without replicates."""
BEYOND = 3.0
"""Standard deviations beyond an end of the curve, or away from it, where its colours end."""
LEAST_SPAN = 3.0
"""Standard deviations that the levels must lie apart, end to end."""
MISSED_BY_CHANCE = 1.5
"""Variance by which neighbours miss a level where only medians are uncertain, in that of one."""
OF_A_BEND, OF_A_LEVEL, DOUBLED = 1 / 30, 0.5, 4.0
"""What of the variance of a left-out level a sample between two levels has, see `_nearer`."""


@dataclass(frozen=True)
class Curve:
    """Levels and what is expected of a spot of each.

    Attributes
    ----------
    levels
        Known values, ascending, shape (k,).
    knots
        Feature expected at each level, shape (k, d).
    noise
        Covariance of a new spot around the curve in each gap between levels, (k - 1, d, d).
    noise_between
        The same of the spots of a level in that gap which the curve was not fitted to.
    missed
        By how much inner levels are missed by a curve through the others, (m, d).
    pooled
        Whether neighbouring levels were out of order and were made equal (d = 1 only).
    """

    levels: Floats
    knots: Floats
    noise: Floats
    noise_between: Floats
    missed: Floats
    pooled: bool = False


@dataclass(frozen=True)
class Place:
    """Where n features lie on a curve.

    Attributes
    ----------
    value, sd
        Mean and standard deviation of the posterior, shape (n,); NaN for missing features.
    beyond, off
        Whether a feature lies beyond an end of the curve, or away from it, (n,).
    """

    value: Floats
    sd: Floats
    beyond: Bools
    off: Bools


def fit_curve(feature: Floats, value: Floats, missed: Floats | None = None) -> Curve:
    """Fit a curve to calibration spots.

    Parameters
    ----------
    feature
        Shape (n, d), all finite.
    value
        Known values, shape (n,).
    missed
        By how much levels are missed by curves through the others, (m, d), where that is known
        better than from these spots.

    Raises
    ------
    ValueError
        If there are fewer than two levels, they cannot be told apart, or a number turns back on
        its way from one end to the other. The message ends a sentence about the metric.
    """
    levels, level, counts = np.unique(value, return_inverse=True, return_counts=True)
    if len(levels) < 2:
        raise ValueError("has fewer than two levels to rest on")
    knots = np.stack([np.median(feature[level == i], axis=0) for i in range(len(levels))])
    within = _covariance(feature - knots[level], len(feature) - len(levels))
    pooled = False
    if feature.shape[1] == 1:
        knots, pooled = _in_order(knots[:, 0], counts, within)
    span = float(np.linalg.norm(np.ptp(knots, axis=0)))
    least = np.eye(feature.shape[1]) * max(LEAST_NOISE * span, 1e-9) ** 2
    # What is told from outside is for a curve that is only asked between its levels.
    nearer = _nearer(levels, knots) if missed is None else 1.0
    missed = _missed(levels, knots, 1) if missed is None else missed
    between = bends = _bends(missed, knots)
    if within is None:  # no replicates: of what neighbours usually miss, two thirds are noise
        one = spot = _usual(missed) / MISSED_BY_CHANCE + least
    else:
        one, spot = within + least, within * (1 + 1 / counts.mean()) + least
        bends = _without(bends, within * MISSED_BY_CHANCE / counts.mean())
    curve = Curve(levels, knots, spot + bends * nearer, one + between, missed, pooled)
    if span == 0 or _span(knots, spot) < LEAST_SPAN:
        raise ValueError("does not tell the levels apart")
    return curve


def locate(curve: Curve, feature: Floats, *, between: bool = False, scale: float = 1.0) -> Place:
    """Find features on a curve.

    Parameters
    ----------
    feature
        Shape (n, d).
    between
        Whether the features are those of a level between two of the curve's: the noise is then
        `Curve.noise_between`.
    scale
        How many times greater errors are than `noise` says; the ends reach that much farther.
    """
    known: Bools = np.asarray(np.isfinite(feature).all(axis=1))
    seen = np.where(known[:, None], feature, curve.knots[0])
    at, way, noise = _draw(curve, curve.noise_between if between else curve.noise)
    squares = _squares(seen, way, noise)
    chance = squares + np.linalg.slogdet(noise)[1]
    weight = np.exp((chance.min(axis=1, keepdims=True) - chance) / 2)
    weight /= weight.sum(axis=1, keepdims=True)
    value = weight @ at
    nearest = squares.argmin(axis=1)
    step = np.gradient(at)[nearest] / 2
    sd = np.sqrt(np.maximum(weight @ at**2 - value**2, 0) + step**2)
    limit = BEYOND * max(scale, 1.0)
    beyond = known & (
        _beyond(seen, curve.knots[0], curve.knots[1], noise[0], limit) & (nearest == 0)
        | _beyond(seen, curve.knots[-1], curve.knots[-2], noise[-1], limit)
        & (nearest == len(at) - 1)
    )
    away = known & ~beyond & (squares.min(axis=1) > (2 * limit) ** 2)
    missing = np.where(known, 1.0, np.nan)
    single = feature.shape[1] == 1  # no number is off a line
    return Place(value * missing, sd * missing, beyond, np.zeros_like(away) if single else away)


def _squares(seen: Floats, way: Floats, noise: Floats) -> Floats:
    """Squared distance (n, g) of features (n, d) from places (g, d) with noise (g, d, d)."""
    whiten = np.linalg.inv(np.linalg.cholesky(noise))
    drawn = np.einsum("gij,gj->gi", whiten, way)
    axes = range(way.shape[1])
    return np.sum([(seen @ whiten[:, i].T - drawn[:, i]) ** 2 for i in axes], axis=0)


def _beyond(seen: Floats, end: Floats, before: Floats, noise: Floats, limit: float) -> Bools:
    """Whether features (n, d) lie on from an end of the curve, where its noise is (d, d)."""
    whiten = np.linalg.inv(np.linalg.cholesky(noise)).T
    ahead = (end - before) @ whiten
    length = max(float(np.linalg.norm(ahead)), 1e-12)
    return np.asarray((seen - end) @ whiten @ ahead / length > limit)


def _draw(curve: Curve, noise: Floats) -> tuple[Floats, Floats, Floats]:
    """Values (g,), features (g, d) and noise (g, d, d) of places along the curve."""
    from scipy.interpolate import PchipInterpolator

    gaps = len(curve.levels) - 1
    steps = np.arange(gaps * STEPS + 1) / STEPS
    at = np.interp(steps, np.arange(gaps + 1), curve.levels)
    drawn = np.asarray(PchipInterpolator(curve.levels, curve.knots)(at))
    return at, drawn, noise[np.minimum(steps.astype(int), gaps - 1)]


def _span(knots: Floats, spot: Floats) -> float:
    """Greatest distance between two levels in standard deviations of a spot."""
    noise = np.broadcast_to(spot, (len(knots), *spot.shape))
    return float(np.sqrt(_squares(knots, knots, noise).max()))


def _bends(missed: Floats, knots: Floats) -> Floats:
    """Covariance (k - 1, d, d) of what a curve misses in each gap between levels.

    Levels that are left out tell it. In a gap lies no colour that is farther from the curve than
    its two levels are from each other: all of that at most, anywhere, is 1/12 of its square.
    """
    usual = _covariance(missed, len(missed))
    if usual is None:
        return np.zeros((len(knots) - 1, *knots.shape[1:] * 2))
    most = (np.diff(knots, axis=0) ** 2).sum(axis=1) / 12
    return np.minimum(1, most / max(float(np.trace(usual)), 1e-300))[:, None, None] * usual


def _usual(missed: Floats) -> Floats:
    """Covariance (d, d) of what levels are usually missed by; one that is missed by far counts as
    one that is missed by twice the median.
    """
    if not len(missed):
        return np.zeros((missed.shape[1], missed.shape[1]))
    size = np.linalg.norm(missed, axis=1, keepdims=True)
    held = missed * np.minimum(1, 2 * np.median(size) / np.maximum(size, 1e-12))
    covariance = _covariance(held, len(held))
    assert covariance is not None
    return covariance


def _without(bends: Floats, chance: Floats) -> Floats:
    """What is left of covariances (g, d, d) once that of chance (d, d) is taken from their mean."""
    total = float(np.trace(bends.mean(axis=0)))
    left = max(total - float(np.trace(chance)), 0.0) / total if total > 0 else 0.0
    return bends * left


def _covariance(residual: Floats, free: int) -> Floats | None:
    """Covariance (d, d) of residuals (n, d) with `free` degrees of freedom; None without any."""
    if free < 1:
        return None
    covariance = residual.T @ residual / free
    # A little is spread evenly over all directions: less, the more there is to rest on.
    d, even = len(covariance), 1 / (1 + 2 * free)
    return (1 - even) * covariance + even * np.eye(d) * np.trace(covariance) / d


def _missed(levels: Floats, knots: Floats, count: int) -> Floats:
    """By how much runs of `count` inner levels are missed by a curve through the others, (m, d)."""
    from scipy.interpolate import PchipInterpolator

    missed: list[Floats] = []
    for first in range(1, len(levels) - count):
        out = slice(first, first + count)
        curve = PchipInterpolator(np.delete(levels, out), np.delete(knots, out, axis=0))
        missed.extend(knots[out] - curve(levels[out]))
    return np.array(missed).reshape(-1, knots.shape[1])


def _nearer(levels: Floats, knots: Floats) -> float:
    """Variance of a sample between two levels, in that of a level that was left out.

    What a curve misses of a bend is x (h - x) / 2 of it at x of a gap h: of a sample anywhere in
    the gap 1/30 of the square for a level that was left out of two gaps, and four times the square
    of that where two neighbours are left out. Where it grows faster than so, it falls faster too.
    A level that is off itself is off in any gap.
    """
    one, two = (_missed(levels, knots, count) ** 2 for count in (1, 2))
    growth = max(two.mean() / one.mean(), 1.0) if len(two) and one.any() else 1.0
    bend = min((growth - 1) / (DOUBLED - 1), 1.0)
    return float(bend * OF_A_BEND * min(DOUBLED / growth, 1) ** 2 + (1 - bend) * OF_A_LEVEL)


def _in_order(
    medians: Floats, counts: NDArray[np.int64], within: Floats | None
) -> tuple[Floats, bool]:
    """Levels made to rise or to fall (isotonic regression), and whether that changed them."""
    from scipy.optimize import isotonic_regression

    fits = [isotonic_regression(medians, weights=counts, increasing=up).x for up in (True, False)]
    ordered = min(fits, key=lambda fit: float(np.sum(counts * (fit - medians) ** 2)))
    moved = float(np.abs(ordered - medians).max())
    scatter = 0.0 if within is None else float(np.sqrt(within[0, 0]))
    slack = max((TURN_UNKNOWN if within is None else TURN) * np.ptp(ordered), 2 * scatter)
    if moved > slack:
        raise ValueError("turns back between the levels")
    return ordered[:, None], moved > 0

"""Weighted least squares over a whole family of curves, from no start at all.

Two of the parameters of a log-logistic curve, its levels, are linear: for any (ec50, slope,
asymmetry) their best values have a closed form (variable projection, Golub and Pereyra 1973), so
that the plane of the others can be searched whole, no start is ever missed, and the profile of
ec50 is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage, optimize

from gridwell.screen.models import LN10, Floats, Variant, log10, share

SLOPES = (0.1, 10.0)  # steeper is a step, shallower a straight line over most dose ranges
ASYMMETRIES = (0.02, 50.0)
BEYOND = 2.0  # decades outside the tested doses in which ec50 is looked for
_STEPS = 150  # of ec50, at most
_VALLEYS = 4  # from which the search descends


@dataclass(frozen=True)
class Data:
    """Points collapsed to their distinct doses; nothing that a fit needs is lost by it."""

    dose: Floats  # (d,) ascending
    mean: Floats  # (d,) weighted mean response
    weight: Floats  # (d,) summed weight
    scatter: float  # weighted squares of the points around their dose's mean
    n: int  # points

    @cached_property
    def log_dose(self) -> Floats:
        """Log10 of the doses, -inf for 0."""
        return log10(self.dose)

    @property
    def low_dose(self) -> float:
        """Lowest dose above 0."""
        return float(self.dose[self.dose > 0][0])

    @property
    def high_dose(self) -> float:
        """Highest dose."""
        return float(self.dose[-1])


def same_dose(dose: Floats) -> Floats:
    """Doses without what unit conversion leaves in the last digits."""
    return np.array([float(f"{d:.9e}") for d in dose])


def collapse(dose: ArrayLike, response: ArrayLike, weights: ArrayLike | None) -> Data:
    """Points of one dose as one, without those that are missing or have no weight.

    Raises
    ------
    ValueError
        On a dose below 0.
    """
    dose, response = np.asarray(dose, dtype=float), np.asarray(response, dtype=float)
    weight = np.ones(dose.shape) if weights is None else np.asarray(weights, dtype=float)
    kept = np.isfinite(dose) & np.isfinite(response) & np.isfinite(weight) & (weight > 0)
    dose, response, weight = dose[kept], response[kept], weight[kept]
    if np.any(dose < 0):
        raise ValueError("doses are 0 or more")
    dose = same_dose(dose)
    # sums in a fixed order, so that the order of rows cannot change the last digit
    order = np.lexsort((weight, response, dose))
    dose, response, weight = dose[order], response[order], weight[order]
    levels, which = np.unique(dose, return_inverse=True)
    total: Floats = np.bincount(which, weight, minlength=len(levels)).astype(float)
    mean = np.bincount(which, weight * response, minlength=len(levels)) / total
    scatter = float(np.sum(weight * (response - mean[which]) ** 2))
    return Data(levels, mean, total, scatter, len(dose))


@dataclass(frozen=True)
class Bounds:
    """Ranges of log10 ec50, ln slope and ln asymmetry that a search looks through."""

    log_ec50: tuple[float, float]
    log_slope: tuple[float, float]
    log_f: tuple[float, float]

    @classmethod
    def of(cls, dose: Floats, *, asymmetric: bool) -> Bounds:
        """Bounds for the distinct doses `dose`, ascending.

        Slopes beyond `SLOPES` are looked at where the doses are so wide or so narrow that they
        can be told apart.
        """
        tested = dose[dose > 0]
        low, high = np.log10(tested[0]), np.log10(tested[-1])
        width = max(high - low, 0.1) * LN10
        shallow = min(SLOPES[0], 1 / width)
        steep = max(SLOPES[1], 7 * (len(tested) - 1) / width)
        if asymmetric:  # where f is small, b has to be large for the same steepness
            shallow, steep = shallow / 4, steep * 10
        f = ASYMMETRIES if asymmetric else (1.0, 1.0)
        return cls(
            (float(low - BEYOND), float(high + BEYOND)),
            (float(np.log(shallow)), float(np.log(steep))),
            (float(np.log(f[0])), float(np.log(f[1]))),
        )

    def axes(self) -> tuple[Floats, Floats, Floats]:
        """Grid of the search along each parameter."""
        low, high = self.log_ec50
        steps = min(round((high - low) * 10) + 1, _STEPS)
        asymmetric = self.log_f[0] < self.log_f[1]
        return (
            np.linspace(low, high, steps),
            np.linspace(*self.log_slope, 31),
            np.linspace(*self.log_f, 9) if asymmetric else np.zeros(1),
        )

    def touched(self, log_slope: float, log_f: float) -> tuple[str, ...]:
        """Names of the parameters that lie at an end of their range."""
        near = {
            "slope": (log_slope, self.log_slope),
            "asymmetry": (log_f, self.log_f),
        }
        return tuple(
            name
            for name, (value, ends) in near.items()
            if ends[0] < ends[1] and min(abs(value - end) for end in ends) < 1e-5
        )


class Search:
    """Least squares over (log10 ec50, ln slope, ln f), the two levels solved within."""

    def __init__(self, data: Data, variant: Variant, bounds: Bounds | None = None) -> None:
        self.data = data
        self.variant = variant
        self.bounds = bounds or Bounds.of(data.dose, asymmetric=variant.asymmetric)
        self.axes = self.bounds.axes()

    def share(self, log_ec50: Floats, log_slope: Floats, log_f: Floats) -> Floats:
        """Share of the way still to go at each distinct dose, shape (g, d)."""
        f: Floats | float = log_f[:, None] if self.variant.asymmetric else 0.0
        x = self.data.log_dose[None, :]
        return share(x, log_ec50[:, None], log_slope[:, None], f, rising=self.variant.rising)

    def solve(
        self, log_ec50: Floats, log_slope: Floats, log_f: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Best (zero, end) within their ranges and their RSS, for arrays of one shape (g,)."""
        y, w = self.data.mean, self.data.weight
        s = self.share(log_ec50, log_slope, log_f)
        t = 1 - s
        ss, st, tt = (w * s * s).sum(1), (w * s * t).sum(1), (w * t * t).sum(1)
        sy, ty = (w * s * y).sum(1), (w * t * y).sum(1)
        tiny = 1e-12 * w.sum()
        zero, end = _inverse2(ss + tiny, st, tt + tiny, sy + tiny * y.mean(), ty + tiny * y.mean())
        zeros, ends = self.variant.zero, self.variant.end
        inside = (zero >= zeros[0]) & (zero <= zeros[1]) & (end >= ends[0]) & (end <= ends[1])
        if not inside.all():
            # the best point of a box lies within it or on one of its four sides
            sides = [(np.clip(zero, *zeros), np.clip(end, *ends))]
            sides += [
                (np.full_like(zero, edge), _ratio(ty - st * edge, tt, ends)) for edge in zeros
            ]
            sides += [(_ratio(sy - st * edge, ss, zeros), np.full_like(end, edge)) for edge in ends]
            zero, end = self._best_side(sides, s)
        rss = (w * (y - end[:, None] - (zero - end)[:, None] * s) ** 2).sum(1)
        return zero, end, rss + self.data.scatter

    def _best_side(self, sides: list[tuple[Floats, Floats]], s: Floats) -> tuple[Floats, Floats]:
        zeros, ends = (np.stack(part) for part in zip(*sides, strict=True))
        off = self.data.mean - ends[..., None] - (zeros - ends)[..., None] * s
        best = (self.data.weight * off**2).sum(-1).argmin(0)[None]
        zero, end = (np.take_along_axis(a, best, 0)[0] for a in (zeros, ends))
        return zero, end

    def levels(self, theta: ArrayLike) -> tuple[float, float, float]:
        """`solve` for one (log10 ec50, ln slope, ln f)."""
        zero, end, rss = self.solve(*(np.array([t]) for t in np.asarray(theta, dtype=float)))
        return float(zero[0]), float(end[0]), float(rss[0])

    @cached_property
    def grid(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Points of the grid, shape (g, 3), with zero, end and RSS of each, shape (g,)."""
        points = np.stack(np.meshgrid(*self.axes, indexing="ij"), axis=-1).reshape(-1, 3)
        zero, end, rss = self.solve(*points.T)
        return points, zero, end, rss

    def valleys(self, value: Floats) -> list[int]:
        """Indices into the grid of the lowest places of `value`, shape (g,), deepest first."""
        plane = value.reshape([len(axis) for axis in self.axes])
        around = ndimage.minimum_filter(plane, size=3, mode="constant", cval=np.inf)
        # a valley that is not even half-way down from the ridge is no rival of the deepest
        low = (plane <= around) & (plane <= (plane.min() + plane.max()) / 2)
        found = np.flatnonzero(low)
        return [int(i) for i in found[np.argsort(value[found], kind="stable")][:_VALLEYS]]

    def best(self) -> Floats:
        """Best (log10 ec50, ln slope, ln f): from every valley of the grid downhill."""
        points, _, _, rss = self.grid
        fits = [self._descend(points[i], fixed=0) for i in self.valleys(rss)]
        return min(fits, key=lambda fit: self.levels(fit)[2])

    def _descend(self, start: Floats, fixed: int) -> Floats:
        """Go downhill over all but the first `fixed` parameters."""
        last = 3 if self.variant.asymmetric else 2
        b = self.bounds
        ends = np.array([b.log_ec50, b.log_slope, b.log_f])[fixed:last]
        held = start.copy()

        def residual(free: Floats) -> Floats:
            theta = held.copy()
            theta[fixed:last] = free
            zero, end, _ = self.levels(theta)
            left = self.share(*theta[:, None])[0]
            return np.sqrt(self.data.weight) * (self.data.mean - end - (zero - end) * left)

        found = optimize.least_squares(
            residual,
            np.clip(start[fixed:last], ends[:, 0] + 1e-9, ends[:, 1] - 1e-9),
            jac="3-point",
            bounds=(ends[:, 0], ends[:, 1]),
            xtol=1e-13,
            ftol=1e-14,
            gtol=1e-13,
            max_nfev=300,
        )
        held[fixed:last] = found.x
        return held

    def profile(self, log_ec50: float) -> float:
        """Least RSS at a given ec50, over everything else."""
        _, slopes, fs = self.axes
        s, f = (a.ravel() for a in np.meshgrid(slopes, fs, indexing="ij"))
        rss = self.solve(np.full(s.shape, log_ec50), s, f)[2]
        at = int(rss.argmin())
        if self.variant.asymmetric:
            found = self._descend(np.array([log_ec50, s[at], f[at]]), fixed=1)
            return min(self.levels(found)[2], float(rss[at]))
        around = (slopes[max(at - 1, 0)], slopes[min(at + 1, len(slopes) - 1)])
        least = optimize.minimize_scalar(
            lambda slope: self.levels((log_ec50, slope, 0.0))[2],
            bounds=around,
            method="bounded",
            options={"xatol": 1e-7},
        )
        return min(float(least.fun), float(rss[at]))

    def interval(self, best: float, bound: float) -> tuple[float, float]:
        """Outermost log10 ec50 on both sides whose profile is within `bound`, NaN if none.

        The hull is taken where the profile has several valleys: wide rather than wrong.
        """
        axis = self.axes[0]
        profile = self.grid[3].reshape(len(axis), -1).min(1)
        inside = axis[profile <= bound]
        low, high = (
            outer_end(self.profile, best, inside, axis, bound=bound, side=side) for side in (-1, 1)
        )
        return low, high


def outer_end(
    profile: Callable[[float], float],
    best: float,
    inside: Floats,
    axis: Floats,
    *,
    bound: float,
    side: int,
) -> float:
    """Where `profile` leaves `bound` on one side of `best`; NaN where it does not on `axis`.

    Parameters
    ----------
    profile
        Function of a position on `axis`.
    best
        Position of the least value.
    inside
        Positions that are known to be within the bound.
    axis
        Ascending positions to step along.
    bound
        Value to cross.
    side
        -1 for below, 1 for above.
    """
    inner = max([best, *inside], key=lambda x: side * x)
    beyond = axis[side * axis > side * inner + 1e-12]
    edge = axis[0] if side < 0 else axis[-1]
    if not beyond.size or profile(edge) <= bound:
        return float(np.nan)
    outer = beyond[0] if side > 0 else beyond[-1]
    step = side * float(axis[1] - axis[0])
    while profile(outer) <= bound:
        inner, outer = outer, outer + step
        if side * (outer - edge) > 1e-9:
            return float(np.nan)
    if profile(inner) >= bound:
        return float(inner)
    return float(optimize.brentq(lambda x: profile(x) - bound, inner, outer, xtol=1e-9))


def _inverse2(a: Floats, b: Floats, c: Floats, u: Floats, v: Floats) -> tuple[Floats, Floats]:
    """Solve [[a, b], [b, c]] (x, y) = (u, v), elementwise."""
    det = a * c - b * b
    return (c * u - b * v) / det, (a * v - b * u) / det


def _ratio(numerator: Floats, denominator: Floats, ends: tuple[float, float]) -> Floats:
    ratio = np.divide(
        numerator, denominator, out=np.full_like(numerator, ends[0]), where=denominator > 0
    )
    return np.clip(ratio, *ends)

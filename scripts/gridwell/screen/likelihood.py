"""What a fit minimises, for profiles of any dose, and the beta-binomial likelihood of counts.

Cells of one spot resemble each other more than cells of several: live cells among n are
beta-binomial with variance ``n p (1 - p) (1 + (n - 1) rho)``. Mean curve and `rho` are fitted
together by maximum likelihood, started from every valley of the weighted least squares.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy import optimize, special

from gridwell.screen.models import Floats, Variant, gradient, log_distance, share
from gridwell.screen.search import Bounds, Data, Search

_EC50 = 2  # place of log10 ec50 in (zero, end, log10 ec50, ln slope, ln f)
_NU = 5  # place of ln(rho / (1 - rho)), behind them
_LEAST_P = 1e-9  # an impossible count costs much, not everything
_NU_RANGE = (np.log(1e-5), np.log(10.0))
_STEP = 0.1  # decades, of a walk along a profile
_XTOL = 1e-6


@dataclass
class Objective:
    """A function of the curve's parameters to be minimised, and its profiles.

    Attributes
    ----------
    variant
        Which parameters are free and within what.
    best
        Parameters at the least value: zero, end, log10 ec50, ln slope, ln f, and any others.
    bounds
        Ranges of the shape.
    """

    variant: Variant
    best: Floats
    bounds: Bounds

    def value(self, theta: Floats) -> tuple[float, Floats]:
        """Value at `theta`, and its derivatives."""
        raise NotImplementedError

    def ranges(self) -> Floats:
        """Least and greatest value of each parameter, shape (m, 2)."""
        b = self.bounds
        return np.array([self.variant.zero, self.variant.end, b.log_ec50, b.log_slope, b.log_f])

    def minimise(
        self, start: Floats, ranges: Floats, tied: Callable[[Floats], Floats] | None = None
    ) -> tuple[float, Floats]:
        """Least value from `start`, and where.

        Parameters
        ----------
        start
            Shape (m,).
        ranges
            Shape (m, 2); a parameter without width is held.
        tied
            Sets log10 ec50 from the others in place, and gives its derivatives by them.
        """
        theta = np.clip(start, ranges[:, 0], ranges[:, 1])
        free = np.flatnonzero(ranges[:, 0] < ranges[:, 1])
        unit = np.ones(len(theta))
        unit[:2] = max(abs(self.best[0] - self.best[1]), 1e-12)

        def value(x: Floats) -> tuple[float, Floats]:
            own = theta.copy()
            own[free] = x * unit[free]
            by = tied(own) if tied else None
            found, slope = self.value(own)
            if by is not None:
                slope = slope + slope[_EC50] * by
            if not np.isfinite(found):
                return 1e30, np.zeros(len(free))
            return found, slope[free] * unit[free]

        if not len(free):
            return value(np.empty(0))[0], theta
        ends = ranges[free] / unit[free, None]
        result = optimize.minimize(
            value,
            theta[free] / unit[free],
            jac=True,
            method="SLSQP",
            bounds=optimize.Bounds(ends[:, 0], ends[:, 1]),
            options={"ftol": 1e-11, "maxiter": 200},
        )
        theta[free] = np.clip(result.x, ends[:, 0], ends[:, 1]) * unit[free]
        if tied:
            tied(theta)
        return self.value(theta)[0], theta

    def interval_at(self, level: float, dose: float, rise: float) -> tuple[float, float]:
        """Interval of the dose at which the curve passes `level`, NaN where it is open.

        Parameters
        ----------
        level
            Response.
        dose
            Where the best curve passes it.
        rise
            Rise of the value at the ends of the interval.
        """
        zero, end = self.best[:2]
        ranges = self.ranges()
        way = 1 if zero > end else -1
        gap = 1e-6 * abs(zero - end)
        for i, side in ((0, way), (1, -way)):
            if ranges[i, 0] == ranges[i, 1]:
                continue
            if side > 0:
                ranges[i, 0] = max(ranges[i, 0], level + gap)
            else:
                ranges[i, 1] = min(ranges[i, 1], level - gap)
        ranges[_EC50] = self.best[_EC50]  # held; it follows from the others

        def profile(log_dose: float, start: Floats) -> tuple[float, Floats]:
            def tied(theta: Floats) -> Floats:
                left = (level - theta[1]) / (theta[0] - theta[1])
                left = float(np.clip(left, 1e-12, 1 - 1e-12))
                away = log_distance(left, theta[3], theta[4], rising=way < 0)
                theta[_EC50] = log_dose - away
                by = gradient(np.array([log_dose]), theta[:5])[0]
                steep = by[_EC50] if abs(by[_EC50]) > 1e-300 else 1e-300
                along = np.zeros(len(theta))
                along[:5] = -by / steep
                along[_EC50] = 0.0
                return along

            return self.minimise(start, ranges, tied)

        bound = self.value(self.best)[0] + rise
        low, high = self.bounds.log_ec50
        log_dose = float(np.log10(dose))
        ends = [
            self._walk(profile, log_dose, self.best, bound=bound, side=side, edge=edge)
            for side, edge in ((-1, low), (1, high))
        ]
        return float(10 ** ends[0]), float(10 ** ends[1])

    def interval_of_ec50(self, rise: float, inside: Floats, starts: Floats) -> tuple[float, float]:
        """Profile interval of log10 ec50, NaN where it is open.

        Parameters
        ----------
        rise
            Rise of the value at its ends.
        inside
            Positions that are believed to be within it, shape (g,).
        starts
            Parameters to start from at each, shape (g, m).
        """
        bound = self.value(self.best)[0] + rise
        low, high = self.bounds.log_ec50

        def profile(log_ec50: float, start: Floats) -> tuple[float, Floats]:
            ranges = self.ranges()
            ranges[_EC50] = log_ec50
            return self.minimise(start, ranges)

        ends = []
        for side, edge in ((-1, low), (1, high)):
            inner, start = float(self.best[_EC50]), self.best
            # the hull, where the profile has several valleys
            order = np.argsort(-side * inside, kind="stable")
            for i in order:
                if side * (inside[i] - inner) <= 2 * _STEP:
                    break
                value, found = profile(float(inside[i]), starts[i])
                if value <= bound:
                    inner, start = float(inside[i]), found
                    break
            ends.append(self._walk(profile, inner, start, bound=bound, side=side, edge=edge))
        return ends[0], ends[1]

    @staticmethod
    def _walk(
        profile: Callable[[float, Floats], tuple[float, Floats]],
        inner: float,
        start: Floats,
        *,
        bound: float,
        side: int,
        edge: float,
    ) -> float:
        """Step away from `inner` until the profile passes `bound`; NaN at the edge."""
        step = _STEP
        while side * (edge - inner) > 1e-9:
            outer = inner + side * min(step, side * (edge - inner))
            value, found = profile(outer, start)
            if value > bound:
                nearest = start

                def excess(x: float, nearest: Floats = nearest) -> float:
                    return profile(x, nearest)[0] - bound

                if excess(inner) >= 0:
                    return inner
                return float(optimize.brentq(excess, inner, outer, xtol=_XTOL))
            inner, start, step = outer, found, step * 1.3
        return float(np.nan)


@dataclass
class Squares(Objective):
    """Weighted residual sum of squares of points collapsed to distinct doses."""

    log_dose: Floats
    mean: Floats
    weight: Floats
    scatter: float

    def value(self, theta: Floats) -> tuple[float, Floats]:
        """RSS at `theta`, and its derivatives."""
        rising = bool(self.best[0] < self.best[1])
        left = share(self.log_dose, *theta[2:5], rising=rising)
        off = self.mean - theta[1] - (theta[0] - theta[1]) * left
        by = gradient(self.log_dose, theta)
        return (
            float(np.sum(self.weight * off**2)) + self.scatter,
            -2 * (self.weight * off) @ by,
        )


@dataclass
class Counts(Objective):
    """-2 log-likelihood of counts; the sixth parameter is ln(rho / (1 - rho)), -inf: binomial.

    `impossible` is what is added for counts that a fixed level leaves out.
    """

    log_dose: Floats
    successes: Floats
    trials: Floats
    intercept: Floats
    gain: Floats
    binomial: bool
    impossible: float = 0.0
    constant: float = field(init=False)

    def __post_init__(self) -> None:
        self.constant = _constant(self.successes, self.trials) + self.impossible

    def ranges(self) -> Floats:
        """Least and greatest value of each parameter, shape (6, 2)."""
        nu = (-np.inf, -np.inf) if self.binomial else _NU_RANGE
        return np.vstack([super().ranges(), nu])

    def value(self, theta: Floats) -> tuple[float, Floats]:
        """-2 log-likelihood at `theta`, and its derivatives."""
        by = gradient(self.log_dose, theta[:5])
        rising = bool(theta[0] < theta[1])
        left = share(self.log_dose, *theta[2:5], rising=rising)
        raw = (theta[1] + (theta[0] - theta[1]) * left - self.intercept) / self.gain
        p = np.clip(raw, _LEAST_P, 1 - _LEAST_P)
        k, n = self.successes, self.trials
        slope = np.zeros(6)
        if np.isneginf(theta[_NU]):
            found = special.xlogy(k, p) + special.xlogy(n - k, 1 - p)
            by_p = k / p - (n - k) / (1 - p)
        else:
            phi = float(np.exp(-theta[_NU]))
            a, b = p * phi, (1 - p) * phi
            found = (
                special.gammaln(k + a) - special.gammaln(a)
                + special.gammaln(n - k + b) - special.gammaln(b)
                - special.gammaln(n + phi) + special.gammaln(phi)
            )  # fmt: skip
            up = special.digamma(k + a) - special.digamma(a)
            down = special.digamma(n - k + b) - special.digamma(b)
            by_p = phi * (up - down)
            by_phi = p * up + (1 - p) * down - special.digamma(n + phi) + special.digamma(phi)
            slope[_NU] = 2 * phi * by_phi.sum()
        by_p = np.where(p == raw, by_p, 0.0)
        slope[:5] = -2 * (by_p / self.gain) @ by
        return float(-2 * found.sum()) + self.constant, slope

    def expected(self, theta: Floats) -> Floats:
        """Expected fraction of each spot, kept half a cell away from 0 and 1."""
        left = share(self.log_dose, *theta[2:5], rising=bool(theta[0] < theta[1]))
        p = (theta[1] + (theta[0] - theta[1]) * left - self.intercept) / self.gain
        return shrunk(p, self.trials)

    def rho(self, theta: Floats) -> float:
        """Intra-spot correlation."""
        nu = float(np.exp(theta[_NU]))
        return nu / (1 + nu)


def binomial_deviance(p: Floats, successes: Floats, trials: Floats) -> float:
    """-2 log-likelihood of counts of known fractions."""
    p = np.clip(p, _LEAST_P, 1 - _LEAST_P)
    found = special.xlogy(successes, p) + special.xlogy(trials - successes, 1 - p)
    return float(-2 * found.sum()) + _constant(successes, trials)


def _constant(successes: Floats, trials: Floats) -> float:
    """-2 ln of the ways in which the counts can come about."""
    ways = special.gammaln(trials + 1) - special.gammaln(successes + 1)
    return float(-2 * np.sum(ways - special.gammaln(trials - successes + 1)))


def shrunk(p: Floats, trials: Floats) -> Floats:
    """Fractions half a cell towards 1/2, so that none weighs endlessly."""
    return np.asarray((np.clip(p, 0, 1) * trials + 0.5) / (trials + 1))


def fit_likelihood(counts: Counts, data: Data, rho: float) -> tuple[float, Floats]:
    """Least -2 log-likelihood of a curve, and its parameters.

    Parameters
    ----------
    counts
        The likelihood; its `best` is set.
    data
        The same counts collapsed, with weights 1 / variance, to find the valleys by.
    rho
        First guess of the intra-spot correlation.
    """
    search = Search(data, counts.variant)
    points, zeros, ends, rss = search.grid
    ranges = counts.ranges()
    guess = max(rho, 1e-3)
    nu = -np.inf if counts.binomial else float(np.log(guess / (1 - guess)))
    fits = []
    for i in search.valleys(rss)[:3]:
        start = np.array([zeros[i], ends[i], *points[i], nu])
        counts.best = start
        fits.append(counts.minimise(start, ranges))
    least = min(fits, key=lambda fit: fit[0])
    counts.best = least[1]
    return least


def fit_level(counts: Counts, level: float, rho: float) -> tuple[float, Floats]:
    """Least -2 log-likelihood of a flat line, and its parameters."""
    low, high = counts.variant.zero
    fits = []
    for guess in [0.0] if counts.binomial else [max(rho, 1e-3), 0.1]:
        nu = -np.inf if counts.binomial else float(np.log(guess / (1 - guess)))
        unit = max(high - low, 1e-12)

        def value(x: Floats, unit: float = unit) -> tuple[float, Floats]:
            theta = np.array([x[0] * unit, x[0] * unit, 0.0, 0.0, 0.0, -np.inf])
            if len(x) > 1:
                theta[_NU] = x[1]
            found, by = counts.value(theta)
            return found, np.array([(by[0] + by[1]) * unit, by[_NU]])[: len(x)]

        start = np.array([np.clip(level, low, high) / unit, nu])
        ends = [(low / unit, high / unit), _NU_RANGE]
        m = 1 if counts.binomial else 2
        found = optimize.minimize(
            value, start[:m], jac=True, method="SLSQP", bounds=ends[:m], options={"ftol": 1e-11}
        )
        y = float(np.clip(found.x[0], *ends[0])) * unit
        theta = np.array([y, y, 0.0, 0.0, 0.0, -np.inf if m == 1 else found.x[1]])
        fits.append((counts.value(theta)[0], theta))
    return min(fits, key=lambda fit: fit[0])

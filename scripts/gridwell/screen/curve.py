"""A fitted curve and what can be read from it.

The curve is ``f(dose) = end + (zero - end) * share(dose)``: `zero` is the response without the
agent, `end` that at an endless dose (`gridwell.screen.models`). Controls enter as dose 0 and so
inform `zero` alone.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import integrate, stats

from gridwell.screen.likelihood import Objective
from gridwell.screen.models import (
    Floats,
    Model,
    Variant,
    gradient,
    log10,
    log_distance,
    share,
)
from gridwell.screen.search import Data


@dataclass(frozen=True)
class Curve:
    """A fitted curve.

    Attributes
    ----------
    model
        ``2pl`` to ``5pl``, or ``flat`` when the data do not support a slope.
    zero, end
        Response at dose 0 and at an endless dose, in units of the response; equal when flat.
    ec50
        Dose half-way between `zero` and `end`; NaN when flat. May lie outside the tested doses:
        see `in_range`.
    slope
        Steepness, > 0; NaN when flat.
    ec50_low, ec50_high
        Profile-likelihood interval of `ec50`, NaN where it has no end within the search range.
    low_dose, high_dose
        Lowest and highest tested dose above 0.
    rss, df, scale
        Weighted residual sum of squares, its degrees of freedom, variance of weight 1.
    p_slope, p_lack_of_fit
        Tests of the curve against flat, and of the replicates' scatter against the curve (NaN
        without replicates or candidates to compare with).
    covariance
        Of (zero, end, log10 ec50, ln slope), with 5pl also ln asymmetry; 0 for what is fixed.
        Of (level,) when flat.
    asymmetry
        f of the generalised log-logistic; 1 for symmetric curves.
    rho
        Intra-spot correlation of counts; 0 for a binomial, NaN for a continuous response.
    log_likelihood
        Natural logarithm, at the fit.
    n
        Points.
    at_bound
        Names of shape parameters (``slope``, ``asymmetry``) at an end of their range.
    objective
        What was minimised, for further profiles; None when flat.
    rise
        How far `objective` rises to the ends of an interval.
    interval
        Level of the intervals.
    dispersion
        Pearson's X2 over its degrees of freedom where counts without replicates scatter more
        than a binomial, else 1.
    """

    model: Model
    zero: float
    end: float
    ec50: float
    slope: float
    ec50_low: float
    ec50_high: float
    low_dose: float
    high_dose: float
    rss: float
    df: int
    scale: float
    p_slope: float
    p_lack_of_fit: float
    covariance: NDArray[Any] = field(repr=False, compare=False)
    asymmetry: float = 1.0
    rho: float = np.nan
    log_likelihood: float = field(default=np.nan, compare=False)
    n: int = 0
    at_bound: tuple[str, ...] = ()
    objective: Objective | None = field(default=None, repr=False, compare=False)
    rise: float = field(default=np.nan, repr=False, compare=False)
    interval: float = 0.95
    dispersion: float = 1.0

    @property
    def top(self) -> float:
        """Upper of the two levels."""
        return max(self.zero, self.end)

    @property
    def bottom(self) -> float:
        """Lower of the two levels."""
        return min(self.zero, self.end)

    @property
    def hill(self) -> float:
        """Slope with a sign: positive where the response falls with dose, else negative."""
        return self.slope if self.zero >= self.end else -self.slope

    @property
    def in_range(self) -> str:
        """Where ec50 lies against the tested doses: ``yes``, ``<min``, ``>max`` or ``flat``."""
        if self.model == "flat":
            return "flat"
        if self.ec50 < self.low_dose:
            return "<min"
        return ">max" if self.ec50 > self.high_dose else "yes"

    @property
    def _shape(self) -> tuple[float, float, float]:
        """(log10 ec50, ln slope, ln asymmetry)."""
        f = 0.0 if self.asymmetry == 1.0 else float(np.log(self.asymmetry))
        return float(np.log10(self.ec50)), float(np.log(self.slope)), f

    def _share(self, log_dose: ArrayLike) -> Floats:
        return share(log_dose, *self._shape, rising=self.zero < self.end)

    def predict(self, dose: ArrayLike) -> Floats:
        """Fitted response at `dose` (any shape, >= 0, in the unit of the fit)."""
        dose = np.asarray(dose, dtype=float)
        if self.model == "flat":
            return np.full(dose.shape, self.zero)
        return np.asarray(self.end + (self.zero - self.end) * self._share(log10(dose)))

    def band(self, dose: ArrayLike, interval: float) -> tuple[Floats, Floats]:
        """Pointwise confidence band of the curve at `dose`, by the delta method."""
        dose = np.asarray(dose, dtype=float)
        if self.model == "flat":
            by = np.ones((dose.size, 1))
        else:
            by = gradient(log10(dose), (self.zero, self.end, *self._shape))
            by = by[:, : len(self.covariance)]
        variance = np.einsum("ni,ij,nj->n", by, self.covariance, by)
        half = stats.t.ppf(0.5 + interval / 2, max(self.df, 1)) * np.sqrt(np.maximum(variance, 0))
        fit = self.predict(dose)
        return fit - half, fit + half

    def mean(self) -> float:
        """Mean of the curve over the tested doses on the log scale: area / width."""
        if self.model == "flat" or self.low_dose == self.high_dose:
            return float(self.predict(self.low_dose))
        low, high = np.log10(self.low_dose), np.log10(self.high_dose)
        left = self.share_integral(float(low), float(high)) / (high - low)
        return float(self.end + (self.zero - self.end) * left)

    def share_integral(self, low: float, high: float) -> float:
        """Integral of the share still to go over log10 dose from `low` to `high`."""
        log_ec50, log_slope, log_f = self._shape
        if log_f == 0.0:
            rate = np.exp(log_slope) * np.log(10)
            ends = np.logaddexp(0, rate * (np.array([low, high]) - log_ec50))
            return float(high - low - (ends[1] - ends[0]) / rate)
        # pieces, so that no steep part is stepped over
        edges = np.unique(np.clip(log_ec50 + np.array([-np.inf, -0.3, 0, 0.3, np.inf]), low, high))
        return float(
            sum(
                integrate.quad(lambda x: float(self._share(x)), a, b, epsabs=1e-10, limit=200)[0]
                for a, b in itertools.pairwise(edges)
            )
        )

    def crossing(self, level: float) -> float:
        """Dose at which the curve passes `level`, tested or not; NaN if it never does."""
        if self.model == "flat" or not self.bottom < level < self.top:
            return np.nan
        left = (level - self.end) / (self.zero - self.end)
        _, log_slope, log_f = self._shape
        distance = log_distance(left, log_slope, log_f, rising=self.zero < self.end)
        with np.errstate(over="ignore"):
            return float(self.ec50 * np.power(10.0, distance))

    def dose_at(self, level: float) -> float:
        """Dose at which the curve passes `level`; NaN unless within the tested doses."""
        dose = self.crossing(level)
        return dose if self.low_dose <= dose <= self.high_dose else np.nan

    def absolute(self, level: float) -> tuple[float, float, float]:
        """Dose at which the curve passes `level`, with its profile interval.

        With `level` half of that of the controls this is the (absolute) IC50.

        Parameters
        ----------
        level
            Response, in units of the fit.

        Returns
        -------
        dose, low, high
            Each NaN outside the tested doses, as in `dose_at`.
        """
        dose = self.crossing(level)
        low = high = np.nan
        if np.isfinite(dose) and self.objective is not None:
            low, high = self.objective.interval_at(level, dose, self.rise)

        def tested(x: float) -> float:
            return x if self.low_dose <= x <= self.high_dose else np.nan

        return tested(dose), tested(low), tested(high)

    def drc(self) -> dict[str, float]:
        """Parameters b, c, d, e, f as R's drc has them, and their standard errors.

        ``f(x) = c + (d - c) / (1 + exp(b (log x - log e))) ** f``, with c the lower and d the
        upper level. The errors are NaN for what was fixed.

        Returns
        -------
        dict
            b, c, d, e, f and b_se to f_se.
        """
        nothing = dict.fromkeys("bcdef", np.nan)
        errors = {f"{name}_se": np.nan for name in "bcdef"}
        if self.model == "flat":
            error = float(np.sqrt(self.covariance[0, 0]))
            return nothing | {"c": self.zero, "d": self.zero} | errors | {"c_se": error}
        theta = np.array([self.zero, self.end, *self._shape])
        values = _drc(theta)
        k = len(self.covariance)
        by = np.zeros((5, k))
        for i in range(k):
            step = 1e-6 * max(
                abs(theta[i]), 1e-3 * (i < 2) * abs(self.zero - self.end), 1.0 * (i > 1)
            )
            up, down = theta.copy(), theta.copy()
            up[i], down[i] = up[i] + step, down[i] - step
            by[:, i] = (_drc(up) - _drc(down)) / (2 * step)
        variance = np.einsum("ji,ik,jk->j", by, self.covariance, by)
        found = np.where(variance > 0, np.sqrt(np.maximum(variance, 0)), np.nan)
        return dict(zip("bcdef", map(float, values), strict=True)) | {
            f"{name}_se": float(error) for name, error in zip("bcdef", found, strict=True)
        }


def _drc(theta: Floats) -> Floats:
    """(b, c, d, e, f) of (zero, end, log10 ec50, ln slope, ln asymmetry)."""
    zero, end, log_ec50, log_slope, log_f = theta
    rising = zero < end
    b = np.exp(log_slope) * (-1 if rising else 1)
    # e is where 2 ** -f of the way is left to the upper level
    up = 2.0 ** -np.exp(log_f)
    left = 1 - up if rising else up
    distance = log_distance(float(left), float(log_slope), float(log_f), rising=bool(rising))
    return np.array([b, min(zero, end), max(zero, end), 10 ** (log_ec50 + distance), np.exp(log_f)])


def flat_curve(data: Data, least_scale: float) -> Curve:
    total = float(data.weight.sum())
    level = float(np.sum(data.weight * data.mean) / total)
    rss = float(np.sum(data.weight * (data.mean - level) ** 2)) + data.scatter
    df = data.n - 1
    scale = max(rss / df, least_scale)
    n = data.n
    return Curve(
        model="flat",
        zero=level,
        end=level,
        ec50=np.nan,
        slope=np.nan,
        ec50_low=np.nan,
        ec50_high=np.nan,
        low_dose=data.low_dose,
        high_dose=data.high_dose,
        rss=rss,
        df=df,
        scale=scale,
        p_slope=np.nan,
        p_lack_of_fit=p_lack_of_fit(rss, data, 1),
        covariance=np.array([[scale / total]]),
        log_likelihood=float(-n / 2 * (np.log(2 * np.pi * rss / n) + 1)) if rss > 0 else np.inf,
        n=n,
    )


def inverse(information: Floats, variant: Variant) -> Floats:
    """Covariance of what is free, 0 for the rest; 5 x 5 with asymmetry, else 4 x 4."""
    size = 5 if variant.asymmetric else 4
    free = [i for i in range(size) if i > 1 or variant.free_levels[i]]
    covariance = np.zeros((size, size))
    inverse = np.linalg.pinv(information[np.ix_(free, free)], hermitian=True)
    covariance[np.ix_(free, free)] = inverse
    return covariance


def p_lack_of_fit(rss: float, data: Data, parameters: int, least: float = 0.0) -> float:
    """F-test of what the curve leaves against the replicates, whose variance is `least` or more."""
    between, within = len(data.dose) - parameters, data.n - len(data.dose)
    rounding = 1e-18 * float(np.sum(data.weight * data.mean**2))
    if between < 1 or within < 1 or data.scatter <= 0 or rss <= rounding:
        return np.nan
    ratio = max(rss - data.scatter, 0) / between / max(data.scatter / within, least)
    return float(stats.f.sf(ratio, between, within))

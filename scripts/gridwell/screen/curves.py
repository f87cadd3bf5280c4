"""Dose-response curves: log-logistic fits that say when they know nothing.

The curve is ``f(dose) = end + (zero - end) * share(dose)``: `zero` is the response without the
agent, `end` that at an endless dose (`gridwell.screen.models`). Controls enter as dose 0 and so
inform `zero` alone. Candidates are a flat line and curves with 2 to 5 free parameters; which one
is taken is decided by the data.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import integrate, optimize, stats

from gridwell.screen.likelihood import (
    Counts,
    Objective,
    Squares,
    binomial_deviance,
    fit_level,
    fit_likelihood,
    shrunk,
)
from gridwell.screen.models import (
    Floats,
    Model,
    Variant,
    gradient,
    log10,
    log_distance,
    share,
    variants,
)
from gridwell.screen.search import SLOPES, Bounds, Data, Search, collapse, same_dose

__all__ = ["MIN_LEVELS", "MIN_POINTS", "P_LACK", "SLOPES", "Curve", "fit_counts", "fit_curve"]

P_SLOPE = 0.05  # the flat model is left only below this p
P_MORE = 0.05  # a curve with one more parameter is taken only below this p, with choose f_test
P_LACK = 0.01  # below this p the replicates contradict the curve
P_BINOMIAL = 0.05  # below this p counts without replicates scatter more than a binomial
CONTROL_RESPONSE = 0.05  # share of the controls that a model without any may overlook
MIN_REPEATS = 3  # spots beyond one a dose, to tell how spots scatter
MIN_LEVELS = 4  # distinct doses, the controls' 0 among them
MIN_POINTS = 7  # fewer, and AICc of four parameters has no meaning
CANDIDATES: tuple[Model, ...] = ("flat", "4pl")

Choose = Literal["aicc", "f_test"]


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


def fit_curve(
    dose: ArrayLike,
    response: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    interval: float = 0.95,
    limits: tuple[float, float] = (-np.inf, np.inf),
    least_scale: float = 0.0,
    models: Sequence[Model] = CANDIDATES,
    choose: Choose = "f_test",
    lower: float | None = None,
    upper: float | None = None,
    small: bool = False,
) -> Curve:
    """Fit a log-logistic curve by weighted least squares, or a flat line.

    The slope must earn its place: a curve is chosen over flat when an F-test has p < 0.05 and
    AICc agrees. The interval of ec50 is the set of values that an F-test of the profile does not
    refuse (Bates and Watts 1988), so it may be lopsided or open.

    Parameters
    ----------
    dose
        Shape (n,), >= 0; 0 is a control.
    response
        Shape (n,), any unit.
    weights
        Shape (n,), proportional to 1 / variance; 0 leaves a point out. None: all equal.
    interval
        Level of the interval, such as 0.95.
    limits
        Least and greatest value that either level may take. Levels are also kept within twice
        the range of the data around it, which only stops a runaway.
    least_scale
        The variance of weight 1 is taken to be at least this (1 where weights are 1 / variance).
    models
        Candidates: flat, 2pl (both levels fixed), 3pl (lower level fixed), 4pl, 5pl (asymmetric).
        Without flat among them a curve is fitted whatever the data.
    choose
        How the curve is chosen among several: ``aicc``, or ``f_test`` (one more parameter where
        p < 0.05).
    lower, upper
        Fix a level in every candidate. 3pl has its lower level at 0 if none is given, 2pl its
        levels at 0 and 1.
    small
        Also fit tables of any size that leave a degree of freedom.

    Returns
    -------
    Curve

    Raises
    ------
    ValueError
        On fewer than 4 distinct doses (0 among them), fewer than 7 points or no dose above 0;
        with `small`, where no candidate leaves a degree of freedom.

    Examples
    --------
    >>> curve = fit_curve([0, 1, 2, 4, 8, 16, 32], [100, 99, 94, 50, 6, 1, 0])
    >>> round(curve.ec50, 1), curve.in_range
    (4.0, 'yes')
    """
    data = _checked(collapse(dose, response, weights), small)
    box = _level_limits(data, limits)

    def ways(model: Model, rising: bool | None = None) -> list[Variant]:
        return variants(model, box, lower, upper, rising=rising)

    def fitted(variant: Variant) -> _Fit:
        search = Search(data, variant)
        shape = search.best()
        zero, end, rss = search.levels(shape)
        return _Fit(variant, np.array([zero, end, *shape]), rss, search=search)

    rule = _Rule(data.n, counts=False, scatter=data.scatter)
    flat = _flat(data, least_scale)
    if data.low_dose == data.high_dose and not small:
        return flat
    fits = _candidates(models, ways, data, fitted, small=small)
    chosen, p_slope = _choose(fits, flat.rss, rule, choose, with_flat="flat" in models, data=data)
    if chosen is None:
        return replace(flat, p_slope=p_slope)
    return _squares_curve(chosen, data, least_scale, p_slope, interval)


def fit_counts(
    dose: ArrayLike,
    successes: ArrayLike,
    trials: ArrayLike,
    *,
    intercept: ArrayLike = 0.0,
    gain: ArrayLike = 1.0,
    interval: float = 0.95,
    models: Sequence[Model] = CANDIDATES,
    choose: Choose = "f_test",
    lower: float | None = None,
    upper: float | None = None,
    small: bool = False,
) -> Curve:
    """Fit a curve to counts, such as live cells among all cells of each spot.

    The fitted response is ``intercept + gain * successes / trials`` (normalisation of each
    spot's slide). Spots scatter more than a binomial: counts are beta-binomial with an
    intra-spot correlation `rho` >= 0, fitted with the curve by maximum likelihood. Where fewer
    than 3 spots repeat a dose, that scatter cannot be told from a wrong curve: counts are then
    binomial, and the interval is widened where they contradict it (p < 0.05).

    Intervals are profile-likelihood intervals. The cut-off is that which gives the exact
    interval of a normal response with unknown variance, n log(1 + F / df), not the chi-squared
    of endless data.

    Parameters
    ----------
    dose, successes, trials
        Shape (n,); spots without trials are left out.
    intercept, gain
        Scalars or shape (n,): normalisation of each spot.
    interval
        Level of the interval of ec50.
    models, choose, lower, upper, small
        As `fit_curve`; levels in units of the normalised response. 2pl has its upper level at
        the greatest response there can be if none is given.

    Returns
    -------
    Curve
        In units of the normalised response; `rss` is Pearson's X2 of the fit.

    Raises
    ------
    ValueError
        As `fit_curve`.
    """
    dose, successes, trials, intercept, gain = np.broadcast_arrays(
        *(np.asarray(a, dtype=float) for a in (dose, successes, trials, intercept, gain))
    )
    kept = np.flatnonzero(np.isfinite(dose) & (trials > 0))
    # in one order, so that the order of rows cannot change the last digit
    kept = kept[np.lexsort([a[kept] for a in (gain, intercept, trials, successes, dose)])]
    table = _Table(*(a[kept].copy() for a in (dose, successes, trials, intercept, gain)))
    response = table.intercept + table.gain * table.successes / table.trials
    raw = _checked(collapse(table.dose, response, table.trials / table.gain**2), small)
    ends = np.stack([table.intercept, table.intercept + table.gain])
    box = (float(ends.min()), float(ends.max()))
    if "2pl" in models and upper is None and tuple(models) == ("2pl",):
        upper = box[1]
    repeats = raw.n - len(raw.dose)
    binomial = repeats < MIN_REPEATS
    p_mean = np.interp(table.dose, raw.dose, raw.mean)
    p = shrunk((p_mean - table.intercept) / table.gain, table.trials)
    rho = 0.0 if binomial else _moment(table, p, repeats)
    data = table.collapsed(response, p, rho)

    def likelihood(variant: Variant) -> Counts:
        return table.likelihood(variant, raw, binomial)

    def ways(model: Model, rising: bool | None = None) -> list[Variant]:
        return variants(model, box, lower, upper, rising=rising)

    def fitted(variant: Variant) -> _Fit:
        counts = likelihood(variant)
        value, theta = fit_likelihood(counts, data, rho)
        return _Fit(variant, theta[:5], value, counts=counts, rho=counts.rho(theta))

    line = likelihood(Variant("flat", box, box))
    middle = float(np.sum(raw.weight * raw.mean) / raw.weight.sum())
    flat, level = fit_level(line, middle, rho)
    rule = _Rule(raw.n, counts=True)
    fits = _candidates(models, ways, raw, fitted, small=small)
    chosen, p_slope = _choose(fits, flat, rule, choose, with_flat="flat" in models, data=raw)
    if chosen is None:
        own_rho = line.rho(level)
        data = table.collapsed(response, line.expected(level), own_rho)
        weight = float(data.weight.sum())
        curve = _flat(data, 1.0)
        return replace(
            curve,
            zero=float(level[0]),
            end=float(level[0]),
            scale=1.0,
            covariance=np.array([[max(curve.rss / curve.df, 1.0) / weight]]),
            p_slope=p_slope,
            rho=own_rho,
            log_likelihood=-flat / 2,
        )
    return _counts_curve(chosen, table, response, p_slope, interval)


@dataclass(frozen=True)
class _Fit:
    """A candidate fitted: value is RSS, or -2 log-likelihood of counts."""

    variant: Variant
    theta: Floats  # (zero, end, log10 ec50, ln slope, ln f)
    value: float
    search: Search | None = None
    counts: Counts | None = None
    rho: float = np.nan


@dataclass(frozen=True)
class _Rule:
    """How fits of one table are compared."""

    n: int
    counts: bool
    scatter: float = 0.0

    def aicc(self, value: float, parameters: int) -> float:
        """Akaike's criterion for small samples (Hurvich and Tsai 1989), variance counted."""
        k = parameters + 1
        if self.n - k - 1 <= 0:
            return np.inf
        if self.counts:
            deviance = value
        else:
            deviance = self.n * np.log(value / self.n) if value > 0 else -np.inf
        return float(deviance + 2 * k + 2 * k * (k + 1) / (self.n - k - 1))

    def p_value(self, less: float, more: float, q: int, df: int) -> float:
        """p of `q` parameters that bring the value from `less` to `more`.

        Counts: the likelihood ratio, as the F it would be for a normal response, which keeps
        its level in small tables.
        """
        if df < 1:
            return 1.0
        if self.counts:
            gain = np.expm1(max(less - more, 0.0) / self.n) * df / q
        elif more <= 0:
            return 0.0 if less > 0 else 1.0
        else:
            gain = max(less - more, 0.0) / q / (more / df)
        return float(stats.f.sf(gain, q, df))


def _candidates(
    models: Sequence[Model],
    ways: Callable[..., list[Variant]],
    data: Data,
    fitted: Callable[[Variant], _Fit],
    *,
    small: bool,
) -> list[_Fit]:
    """Best fit of each candidate that the table is large enough for, simplest first."""
    fits: list[_Fit] = []
    seen: set[int] = set()
    for model in ("2pl", "3pl", "4pl", "5pl"):
        if model not in models:
            continue
        own = ways(model)
        k = own[0].n_parameters
        levels = len(data.dose) - (data.dose[0] == 0 and not any(v.free_levels[0] for v in own))
        if k in seen or data.n - k < 1 or (small and levels < k):
            continue
        if model == "5pl":
            # which way it goes is seen from its symmetric sister
            sister = [fitted(v) for v in ways("4pl")]
            best = min(sister, key=lambda fit: fit.value)
            rising = bool(best.theta[0] < best.theta[1])
            own = ways(model, rising=rising)
        seen.add(k)
        fits.append(min((fitted(v) for v in own), key=lambda fit: fit.value))
    return fits


def _choose(
    fits: Sequence[_Fit],
    flat: float,
    rule: _Rule,
    choose: Choose,
    *,
    with_flat: bool,
    data: Data,
) -> tuple[_Fit | None, float]:
    """The candidate to take, None for flat, and p of the slope."""
    if not fits:
        if not with_flat:
            raise ValueError("too few points or distinct doses for this curve")
        return None, np.nan
    chosen = fits[0]
    for fit in fits[1:]:
        k, more = chosen.variant.n_parameters, fit.variant.n_parameters
        p = rule.p_value(chosen.value, fit.value, more - k, rule.n - more)
        better = rule.aicc(fit.value, more) < rule.aicc(chosen.value, k)
        if (p < P_MORE) if choose == "f_test" else better:
            chosen = fit
    k = chosen.variant.n_parameters
    q = max(k - 1, 1)
    p_slope = rule.p_value(flat, chosen.value, q, rule.n - k)
    if not with_flat:
        return chosen, p_slope
    # noise-free data: what is left is rounding, and there is nothing to test
    nothing = not rule.counts and flat <= 1e-18 * float(np.sum(data.weight * data.mean**2))
    if nothing:
        return None, 1.0
    own = rule.aicc(chosen.value, k)
    if p_slope >= P_SLOPE or (np.isfinite(own) and rule.aicc(flat, 1) <= own):
        return None, p_slope
    return chosen, p_slope


def _squares_curve(
    fit: _Fit, data: Data, least_scale: float, p_slope: float, interval: float
) -> Curve:
    """Curve of a least-squares fit, with its interval."""
    assert fit.search is not None
    k = fit.variant.n_parameters
    df = data.n - k
    scale = max(fit.value / df, least_scale)
    zero, end, log_ec50, log_slope, log_f = fit.theta
    by = gradient(data.log_dose, fit.theta)
    information = by.T @ (data.weight[:, None] * by)

    rise = float(scale * stats.f.ppf(interval, 1, df))
    objective = Squares(
        fit.variant,
        fit.theta,
        fit.search.bounds,
        data.log_dose,
        data.mean,
        data.weight,
        data.scatter,
    )
    low, high = fit.search.interval(float(log_ec50), fit.value + rise)
    n = data.n
    likelihood = -n / 2 * (np.log(2 * np.pi * fit.value / n) + 1) if fit.value > 0 else np.inf
    return Curve(
        model=fit.variant.model,
        zero=float(zero),
        end=float(end),
        ec50=float(10**log_ec50),
        slope=float(np.exp(log_slope)),
        ec50_low=float(10**low),
        ec50_high=float(10**high),
        low_dose=data.low_dose,
        high_dose=data.high_dose,
        rss=fit.value,
        df=df,
        scale=scale,
        p_slope=p_slope,
        p_lack_of_fit=_p_lack_of_fit(fit.value, data, k),
        covariance=scale * _inverse(information, fit.variant),
        asymmetry=float(np.exp(log_f)),
        log_likelihood=float(likelihood),
        n=n,
        at_bound=fit.search.bounds.touched(float(log_slope), float(log_f)),
        objective=objective,
        rise=rise,
        interval=interval,
    )


def _inverse(information: Floats, variant: Variant) -> Floats:
    """Covariance of what is free, 0 for the rest; 5 x 5 with asymmetry, else 4 x 4."""
    size = 5 if variant.asymmetric else 4
    free = [i for i in range(size) if i > 1 or variant.free_levels[i]]
    covariance = np.zeros((size, size))
    inverse = np.linalg.pinv(information[np.ix_(free, free)], hermitian=True)
    covariance[np.ix_(free, free)] = inverse
    return covariance


def _checked(data: Data, small: bool) -> Data:
    if small:
        if data.n < 2 or data.dose[-1] <= 0:
            raise ValueError("a curve needs distinct doses above 0 and 2 points")
    elif len(data.dose) < MIN_LEVELS or data.n < MIN_POINTS or data.dose[-1] <= 0:
        raise ValueError("a curve needs 4 distinct doses (0 among them) and 7 points")
    return data


def _level_limits(data: Data, limits: tuple[float, float]) -> tuple[float, float]:
    low, high = float(data.mean.min()), float(data.mean.max())
    room = 2 * (high - low)
    return max(low - room, min(limits[0], low)), min(high + room, max(limits[1], high))


def _flat(data: Data, least_scale: float) -> Curve:
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
        p_lack_of_fit=_p_lack_of_fit(rss, data, 1),
        covariance=np.array([[scale / total]]),
        log_likelihood=float(-n / 2 * (np.log(2 * np.pi * rss / n) + 1)) if rss > 0 else np.inf,
        n=n,
    )


def _p_lack_of_fit(rss: float, data: Data, parameters: int, least: float = 0.0) -> float:
    """F-test of what the curve leaves against the replicates, whose variance is `least` or more."""
    between, within = len(data.dose) - parameters, data.n - len(data.dose)
    rounding = 1e-18 * float(np.sum(data.weight * data.mean**2))
    if between < 1 or within < 1 or data.scatter <= 0 or rss <= rounding:
        return np.nan
    ratio = max(rss - data.scatter, 0) / between / max(data.scatter / within, least)
    return float(stats.f.sf(ratio, between, within))


@dataclass(frozen=True)
class _Table:
    """Counted spots in one order, each shape (n,)."""

    dose: Floats
    successes: Floats
    trials: Floats
    intercept: Floats
    gain: Floats

    def collapsed(self, response: Floats, p: Floats, rho: float) -> Data:
        """Distinct doses, weights 1 / variance of a spot whose fraction is `p`."""
        variance = p * (1 - p) * (1 + (self.trials - 1) * rho) / self.trials
        return collapse(self.dose, response, 1 / (self.gain**2 * variance))

    def likelihood(self, variant: Variant, data: Data, binomial: bool) -> Counts:
        """The likelihood, without controls that a fixed level leaves nothing to say.

        What they cost is added, so that models can be compared.
        """
        kept = np.ones(len(self.dose), dtype=bool)
        cost = 0.0
        if variant.model != "flat" and not variant.free_levels[0]:
            p = (variant.zero[0] - self.intercept) / self.gain
            kept = (self.dose > 0) | ((p > 0) & (p < 1))
            cost = self._left_out(~kept, p)
        return Counts(
            variant,
            np.zeros(6),
            Bounds.of(data.dose, asymmetric=variant.asymmetric),
            log10(same_dose(self.dose[kept])),
            self.successes[kept],
            self.trials[kept],
            self.intercept[kept],
            self.gain[kept],
            binomial,
            cost,
        )

    def _left_out(self, rows: NDArray[np.bool_], p: Floats) -> float:
        """What the controls of a model cost whose level `p` there is fixed at 0 or 1.

        A response of the controls below 5 % is let pass, as is usual before Abbott's correction.
        """
        k, n = self.successes[rows], self.trials[rows]
        seen = float(k.sum() / n.sum()) if len(n) else 0.0
        own = p[rows]
        passed = np.where(np.abs(own - seen) < CONTROL_RESPONSE, seen, own)
        return binomial_deviance(passed, k, n)


def _counts_curve(
    fit: _Fit, table: _Table, response: Floats, p_slope: float, interval: float
) -> Curve:
    """Curve of a fit to counts, with its interval."""
    counts = fit.counts
    assert counts is not None
    n = len(counts.trials)
    k = fit.variant.n_parameters
    df = n - k
    theta = counts.best
    p = replace_dose(counts, table).expected(theta)
    data = table.collapsed(response, p, fit.rho)
    squares = (counts.successes - counts.trials * counts.expected(theta)) ** 2
    own = counts.expected(theta)
    spread = counts.trials * own * (1 - own) * (1 + (counts.trials - 1) * fit.rho)
    pearson = float(np.sum(squares / spread))
    surprising = counts.binomial and stats.chi2.sf(pearson, df) < P_BINOMIAL
    dispersion = max(pearson / df, 1.0) if surprising else 1.0

    if surprising:
        rise = float(dispersion * stats.f.ppf(interval, 1, df))
    elif counts.binomial:
        rise = float(stats.chi2.ppf(interval, 1))
    else:
        rise = float(n * np.log1p(stats.f.ppf(interval, 1, df) / df))
    by = gradient(data.log_dose, theta[:5])
    information = by.T @ (data.weight[:, None] * by)
    small_sample = 1.0 if counts.binomial else n / df
    low, high = _counts_interval(counts, data, rise)
    _, _, log_ec50, log_slope, log_f = theta[:5]
    return Curve(
        model=fit.variant.model,
        zero=float(theta[0]),
        end=float(theta[1]),
        ec50=float(10**log_ec50),
        slope=float(np.exp(log_slope)),
        ec50_low=float(10**low),
        ec50_high=float(10**high),
        low_dose=data.low_dose,
        high_dose=data.high_dose,
        rss=pearson,
        df=df,
        scale=dispersion,
        dispersion=dispersion,
        p_slope=p_slope,
        p_lack_of_fit=float(stats.chi2.sf(pearson, df))
        if counts.binomial
        else _p_lack_of_fit(_weighted(data, theta), data, k, least=1.0),
        covariance=small_sample * _inverse(information, fit.variant),
        asymmetry=float(np.exp(log_f)),
        rho=fit.rho,
        log_likelihood=-(fit.value - counts.impossible) / 2,
        n=n,
        at_bound=counts.bounds.touched(float(log_slope), float(log_f)),
        objective=counts,
        rise=rise,
        interval=interval,
    )


def replace_dose(counts: Counts, table: _Table) -> Counts:
    """The same likelihood over every spot, those that tell nothing too."""
    return replace(
        counts,
        log_dose=log10(same_dose(table.dose)),
        successes=table.successes,
        trials=table.trials,
        intercept=table.intercept,
        gain=table.gain,
    )


def _weighted(data: Data, theta: Floats) -> float:
    """Weighted residual sum of squares of a curve."""
    left = share(data.log_dose, *theta[2:5], rising=bool(theta[0] < theta[1]))
    off = data.mean - theta[1] - (theta[0] - theta[1]) * left
    return float(np.sum(data.weight * off**2)) + data.scatter


def _counts_interval(counts: Counts, data: Data, rise: float) -> tuple[float, float]:
    """Profile interval of log10 ec50; the weighted least squares tell where it may reach."""
    search = Search(data, counts.variant)
    points, zeros, ends, rss = search.grid
    axis = search.axes[0]
    plane = rss.reshape(len(axis), -1)
    at = plane.argmin(1) + np.arange(len(axis)) * plane.shape[1]
    near = np.flatnonzero(rss[at] <= rss.min() + rise)
    own = at[near]
    nu = np.full(len(own), counts.best[5])
    starts = np.column_stack([zeros[own], ends[own], points[own], nu])
    return counts.interval_of_ec50(rise, axis[near], starts)


def _moment(table: _Table, p: Floats, df: int) -> float:
    """Rho at which Pearson's X2 of replicates equals its degrees of freedom (Williams 1982)."""
    squares = (table.successes - table.trials * p) ** 2 / (table.trials * p * (1 - p))

    def excess(rho: float) -> float:
        return float(np.sum(squares / (1 + (table.trials - 1) * rho)) - df)

    if excess(0.0) <= 0:
        return 0.0
    return float(optimize.brentq(excess, 0.0, 0.9, xtol=1e-9)) if excess(0.9) < 0 else 0.9

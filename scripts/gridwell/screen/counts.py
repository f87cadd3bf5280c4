"""Curves of counts, such as live cells among all, by beta-binomial likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

from gridwell.screen.choice import (
    CANDIDATES,
    Choose,
    Fit,
    Rule,
    candidates,
    checked,
    choose_fit,
)
from gridwell.screen.curve import Curve, flat_curve, inverse, p_lack_of_fit
from gridwell.screen.likelihood import (
    Counts,
    binomial_deviance,
    fit_level,
    fit_likelihood,
    shrunk,
)
from gridwell.screen.models import Floats, Model, Variant, gradient, log10, share, variants
from gridwell.screen.search import Bounds, Data, Search, collapse, same_dose

P_BINOMIAL = 0.05  # below this p counts without replicates scatter more than a binomial
CONTROL_RESPONSE = 0.05  # share of the controls that a model without any may overlook
MIN_REPEATS = 3  # spots beyond one a dose, to tell how spots scatter


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
    raw = checked(collapse(table.dose, response, table.trials / table.gain**2), small)
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

    def fitted(variant: Variant) -> Fit:
        counts = likelihood(variant)
        value, theta = fit_likelihood(counts, data, rho)
        return Fit(variant, theta[:5], value, counts=counts, rho=counts.rho(theta))

    line = likelihood(Variant("flat", box, box))
    middle = float(np.sum(raw.weight * raw.mean) / raw.weight.sum())
    flat, level = fit_level(line, middle, rho)
    rule = Rule(raw.n, counts=True)
    fits = candidates(models, ways, raw, fitted, small=small)
    chosen, p_slope = choose_fit(fits, flat, rule, choose, with_flat="flat" in models, data=raw)
    if chosen is None:
        own_rho = line.rho(level)
        data = table.collapsed(response, line.expected(level), own_rho)
        weight = float(data.weight.sum())
        curve = flat_curve(data, 1.0)
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
    fit: Fit, table: _Table, response: Floats, p_slope: float, interval: float
) -> Curve:
    """Curve of a fit to counts, with its interval."""
    counts = fit.counts
    assert counts is not None
    n = len(counts.trials)
    k = fit.variant.n_parameters
    df = n - k
    theta = counts.best
    p = _all_spots(counts, table).expected(theta)
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
        else p_lack_of_fit(_weighted(data, theta), data, k, least=1.0),
        covariance=small_sample * inverse(information, fit.variant),
        asymmetry=float(np.exp(log_f)),
        rho=fit.rho,
        log_likelihood=-(fit.value - counts.impossible) / 2,
        n=n,
        at_bound=counts.bounds.touched(float(log_slope), float(log_f)),
        objective=counts,
        rise=rise,
        interval=interval,
    )


def _all_spots(counts: Counts, table: _Table) -> Counts:
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

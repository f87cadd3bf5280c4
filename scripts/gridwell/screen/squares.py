"""Curves of continuous responses, by weighted least squares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from gridwell.screen.choice import (
    CANDIDATES,
    Choose,
    Fit,
    Rule,
    candidates,
    checked,
    choose_fit,
    level_limits,
)
from gridwell.screen.curve import Curve, flat_curve, inverse, p_lack_of_fit
from gridwell.screen.likelihood import Squares
from gridwell.screen.models import Model, Variant, gradient, variants
from gridwell.screen.search import Data, Search, collapse


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

    The slope must earn its place: a curve is chosen over flat when an F-test has p < 0.05.
    The interval of ec50 is the set of values that an F-test of the profile does not
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
    data = checked(collapse(dose, response, weights), small)
    box = level_limits(data, limits)

    def ways(model: Model, rising: bool | None = None) -> list[Variant]:
        return variants(model, box, lower, upper, rising=rising)

    def fitted(variant: Variant) -> Fit:
        search = Search(data, variant)
        shape = search.best()
        zero, end, rss = search.levels(shape)
        return Fit(variant, np.array([zero, end, *shape]), rss, search=search)

    rule = Rule(data.n, counts=False, scatter=data.scatter)
    flat = flat_curve(data, least_scale)
    if data.low_dose == data.high_dose and not small:
        return flat
    fits = candidates(models, ways, data, fitted, small=small)
    chosen, p_slope = choose_fit(
        fits, flat.rss, rule, choose, with_flat="flat" in models, data=data
    )
    if chosen is None:
        return replace(flat, p_slope=p_slope)
    return _squares_curve(chosen, data, least_scale, p_slope, interval)


def _squares_curve(
    fit: Fit, data: Data, least_scale: float, p_slope: float, interval: float
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
        p_lack_of_fit=p_lack_of_fit(fit.value, data, k),
        covariance=scale * inverse(information, fit.variant),
        asymmetry=float(np.exp(log_f)),
        log_likelihood=float(likelihood),
        n=n,
        at_bound=fit.search.bounds.touched(float(log_slope), float(log_f)),
        objective=objective,
        rise=rise,
        interval=interval,
    )

"""Several estimates of one EC50, from slides or from groups, as one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

LEAST = 2  # estimates to pool


@dataclass(frozen=True)
class Pooled:
    """Random-effects mean of EC50s.

    Attributes
    ----------
    ec50, low, high
        Mean on the log scale and its interval, in the unit of the estimates.
    i2
        Share of the variance of the estimates that is between them, 0 to 100 percent.
    n
        Estimates that went in.
    """

    ec50: float = np.nan
    low: float = np.nan
    high: float = np.nan
    i2: float = np.nan
    n: int = 0


def pool_ec50(ec50: ArrayLike, low: ArrayLike, high: ArrayLike, interval: float) -> Pooled:
    """Pool EC50s as random effects on the log scale.

    The variance between the estimates is that of Paule and Mandel (1982). The interval is the
    wider of the normal one and that of Hartung, Knapp, Sidik and Jonkman with its t quantile
    (Rover, Knapp and Friede 2015), for few estimates say little about how much they vary.

    Parameters
    ----------
    ec50, low, high
        Estimates and their intervals, shape (k,). An estimate without any end of its interval
        is left out; one end alone gives its error.
    interval
        Level of the given and of the returned intervals.
    """
    from scipy import stats
    from statsmodels.stats.meta_analysis import combine_effects

    with np.errstate(divide="ignore", invalid="ignore"):
        middle, ends = np.log10(np.array(ec50, float)), np.log10(np.array([low, high], float))
    halves = np.abs(ends - middle)
    known = np.isfinite(middle) & np.isfinite(halves).any(0)
    middle, halves = middle[known], halves[:, known]
    if len(middle) < LEAST:
        return Pooled(n=len(middle))
    half = np.where(np.isfinite(halves), halves, -np.inf).max(0)
    error = np.maximum(half, 1e-6) / stats.norm.ppf(0.5 + interval / 2)
    # in a fixed order, so that the order of slides or groups cannot change the last digit
    order = np.lexsort((error, middle))
    middle, error = middle[order], error[order]
    with np.errstate(divide="ignore", invalid="ignore"):  # estimates that are all the same
        result = combine_effects(middle, error**2, method_re="pm", use_t=True, alpha=1 - interval)
    mean = float(result.mean_effect_re)
    normal = stats.norm.ppf(0.5 + interval / 2) * float(result.sd_eff_w_re)
    student = stats.t.ppf(0.5 + interval / 2, len(middle) - 1) * float(result.sd_eff_w_re_hksj)
    room = float(max(normal, student))
    df = len(middle) - 1
    i2 = 100 * max(0.0, 1 - df / float(result.q)) if result.q > 0 else 0.0
    return Pooled(10**mean, 10 ** (mean - room), 10 ** (mean + room), i2, len(middle))

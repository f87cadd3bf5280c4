"""Growth-rate inhibition: effects per division, which do not depend on how fast cells grow.

References
----------
.. [1] Hafner, Niepel, Chung and Sorger, Growth rate inhibition metrics correct for confounders in
   measuring sensitivity to cancer drugs. Nature Methods 13:521-527, 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from gridwell.screen.models import Floats, Variant
from gridwell.screen.search import BEYOND, Bounds, Search, collapse

SLOPES = (0.1, 5.0)
P_FLAT = 0.05  # the sigmoid is left for a flat line from this p on
_PARAMETERS = 3


def gr_values(count: ArrayLike, control: ArrayLike, time_zero: ArrayLike) -> Floats:
    """GR value of cell counts: 1 grows as the control, 0 stands still, below 0 dies.

    ``2 ** (log2(count / time_zero) / log2(control / time_zero)) - 1``; NaN where the control has
    not grown, for then there is no rate to compare with.

    Parameters
    ----------
    count
        Cells at the end, with the agent; any shape.
    control
        Cells at the end without it; broadcasts.
    time_zero
        Cells at the start; broadcasts.
    """
    count, control, time_zero = (np.asarray(a, dtype=float) for a in (count, control, time_zero))
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.log2(count / time_zero) / np.log2(control / time_zero)
        values = np.exp2(rate) - 1
    return np.where((control > time_zero) & (time_zero > 0) & (count >= 0), values, np.nan)


@dataclass(frozen=True)
class GrowthFit:
    """Metrics of a growth-rate curve ``gr_inf + (1 - gr_inf) / (1 + (c / gec50) ** hill)``.

    Attributes
    ----------
    gr50
        Concentration at which GR is 0.5; inf where it never falls so low, -inf where a flat line
        lies below.
    gr_max
        Lower of the mean GR at the two highest concentrations: the effect seen.
    gr_aoc
        Mean of 1 - GR over log10 concentration (trapezoids through the means).
    gec50
        Concentration of half the effect; NaN when flat.
    gr_inf
        GR at an endless concentration, in -1 to 1; the mean when flat.
    hill
        Steepness; NaN when flat.
    r2
        Share of the variance that the sigmoid explains.
    p
        F-test of sigmoid against flat.
    model
        ``sigmoid`` or ``flat``.
    """

    gr50: float
    gr_max: float
    gr_aoc: float
    gec50: float
    gr_inf: float
    hill: float
    r2: float
    p: float
    model: Literal["sigmoid", "flat"]


def fit_gr(concentration: ArrayLike, gr: ArrayLike) -> GrowthFit:
    """Fit a growth-rate curve with the bounds and the test of the published method [1]_.

    Parameters
    ----------
    concentration
        Shape (n,), > 0; others and missing values are left out.
    gr
        Shape (n,), GR values.

    Raises
    ------
    ValueError
        On fewer than 4 values or a single concentration.
    """
    dose, gr = np.asarray(concentration, dtype=float), np.asarray(gr, dtype=float)
    kept = dose > 0
    data = collapse(dose[kept], gr[kept], None)
    if data.n <= _PARAMETERS or len(data.dose) < 2:
        raise ValueError("a growth-rate curve needs 4 values at 2 concentrations")
    low, high = float(data.log_dose[0]), float(data.log_dose[-1])
    search = Search(
        data,
        Variant("3pl", (1.0, 1.0), (-1.0, 1.0)),
        Bounds(
            (low - BEYOND, high + BEYOND),
            (float(np.log(SLOPES[0])), float(np.log(SLOPES[1]))),
            (0.0, 0.0),
        ),
    )
    shape = search.best()
    _, gr_inf, rss = search.levels(shape)
    mean = float(np.sum(data.weight * data.mean) / data.weight.sum())
    flat = float(np.sum(data.weight * (data.mean - mean) ** 2)) + data.scatter
    df = data.n - _PARAMETERS + 1  # as published
    p = float(stats.f.sf((flat - rss) / 2 / (rss / df), 2, df)) if rss > 0 else 0.0
    sigmoid = p < P_FLAT and flat > 0
    gec50, hill = float(10 ** shape[0]), float(np.exp(shape[1]))
    if not sigmoid:
        gr50 = np.inf if mean > 0.5 else -np.inf
    elif gr_inf < 0.5:
        gr50 = gec50 * ((1 - gr_inf) / (0.5 - gr_inf) - 1) ** (1 / hill)
    else:
        gr50 = np.inf
    return GrowthFit(
        gr50=float(gr50),
        gr_max=float(data.mean[-2:].min()),
        gr_aoc=float(np.trapezoid(1 - data.mean, data.log_dose) / (high - low)),
        gec50=gec50 if sigmoid else np.nan,
        gr_inf=gr_inf if sigmoid else mean,
        hill=hill if sigmoid else np.nan,
        r2=float(1 - rss / flat) if flat > 0 else np.nan,
        p=p if flat > 0 else 1.0,
        model="sigmoid" if sigmoid else "flat",
    )

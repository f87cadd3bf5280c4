"""Which metric a calibration takes, and how far its values are from the truth.

Every level but the outermost two is left out in turn and predicted by a calibration of the others.
Leaving out single spots would flatter: their siblings stay, and a metric that only knows levels by
heart looks as good as one that knows what lies between them. The choice among metrics is made
likewise, and made again without each level to tell how good values chosen so are (nested
cross-validation, Varma and Simon 2006).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gridwell.colour.curve import Curve, Place, fit_curve, locate
from gridwell.colour.metrics import METRICS, Learned, feature, learn
from gridwell.config.colour_calibration import Trial
from gridwell.config.models import ColourMetric

Floats = NDArray[np.float64]

LEVEL = 0.95
NORMAL = 1.959964
"""Standard deviations on each side that hold `LEVEL` of a normal distribution."""
BETTER = 0.8
"""A number takes the place of the curve in L*a*b* only where its error is below this part: so far
apart, errors of half a dozen levels are not by chance."""


@dataclass(frozen=True)
class Fitted:
    """A metric and the curve that calibrates it."""

    metric: ColourMetric
    learned: Learned
    curve: Curve

    def place(self, linear: Floats, *, between: bool = False, scale: float = 1.0) -> Place:
        """Where colours (n, 3) lie on the curve."""
        found = feature(linear, self.metric, self.learned)
        return locate(self.curve, found, between=between, scale=scale)


@dataclass(frozen=True)
class Predicted:
    """Calibration spots as a calibration without their level sees them; NaN where none does."""

    value: Floats
    sd: Floats


def fit_metric(
    linear: Floats,
    value: Floats,
    metric: ColourMetric,
    reference: Floats | None = None,
    missed: Floats | None = None,
) -> Fitted:
    """Calibrate one metric with colours (n, 3) of known values (n,).

    Raises
    ------
    ValueError
        If it cannot be calibrated with them; the message ends a sentence about the metric.
    """
    learned = learn(linear, value, metric, reference)
    if learned is None:
        raise ValueError("needs more calibration spots than levels")
    found = feature(linear, metric, learned)
    known = np.isfinite(found).all(axis=1)
    if len(np.unique(value[known])) < len(np.unique(value)):
        raise ValueError("has no number at some levels")
    return Fitted(metric, learned, fit_curve(found[known], value[known], missed))


def leave_levels_out(
    linear: Floats, value: Floats, whole: Fitted, reference: Floats | None = None
) -> Predicted:
    """Predict the spots of each inner level by a calibration without it.

    Parameters
    ----------
    linear, value, reference
        As `fit_metric` takes them.
    whole
        The metric, calibrated with all of them.
    """
    predicted = Predicted(np.full(len(value), np.nan), np.full(len(value), np.nan))
    for i, level in enumerate(np.unique(value)[1:-1]):
        own = value == level
        # Without the level its neighbours would lie in wider gaps than it did itself.
        others = np.delete(whole.curve.missed, i, axis=0)
        try:
            fitted = fit_metric(linear[~own], value[~own], whole.metric, reference, others)
        except ValueError:
            continue
        place = fitted.place(linear[own], between=True)
        predicted.value[own] = np.where(place.beyond | place.off, np.nan, place.value)
        predicted.sd[own] = place.sd
    return predicted


def judge(metric: ColourMetric | Literal["auto"], value: Floats, predicted: Predicted) -> Trial:
    """How well the inner levels were predicted.

    A spot that got no value counts as wrong by half of the calibrated range: metrics are not
    better for being silent.
    """
    inner = (value > value.min()) & (value < value.max())
    known = inner & np.isfinite(predicted.value)
    error = np.where(known, predicted.value - value, np.ptp(value) / 2)[inner]
    levels = np.unique(value[known])
    return Trial(
        metric=metric,
        rmse=_digits(np.sqrt(np.mean(error**2))) if inner.any() else None,
        r=_correlation(value[known], predicted.value[known]),
        bias={
            f"{level:g}": _digits(np.mean((predicted.value - value)[known & (value == level)]))
            for level in levels
        },
        spots=int(known.sum()),
        missed=int(inner.sum() - known.sum()),
    )


def choose_metric(linear: Floats, value: Floats, reference: Floats | None = None) -> list[Trial]:
    """Judge every metric, the best one first; those that cannot be calibrated are left out.

    With two levels none can be left out: the curve in L*a*b* comes first then, which sees most.
    """
    trials = []
    for metric in METRICS:
        try:
            whole = fit_metric(linear, value, metric, reference)
        except ValueError:
            continue
        trials.append(judge(metric, value, leave_levels_out(linear, value, whole, reference)))

    def error(trial: Trial) -> float:
        own = 0.0 if trial.rmse is None else trial.rmse
        return own * BETTER - 1e-12 if trial.metric == "lab_curve" else own

    return sorted(trials, key=error)


def named(trial: Trial) -> ColourMetric:
    """The metric of a trial that was made of one metric."""
    assert trial.metric != "auto"
    return trial.metric


def choose_nested(linear: Floats, value: Floats, reference: Floats | None = None) -> Predicted:
    """Predict the spots of each inner level by the metric that is chosen without it."""
    predicted = Predicted(np.full(len(value), np.nan), np.full(len(value), np.nan))
    for level in np.unique(value)[1:-1]:
        own = value == level
        trials = choose_metric(linear[~own], value[~own], reference)
        if not trials:
            continue
        place = fit_metric(linear[~own], value[~own], named(trials[0]), reference).place(
            linear[own], between=True
        )
        predicted.value[own] = np.where(place.beyond | place.off, np.nan, place.value)
        predicted.sd[own] = place.sd
    return predicted


def conformal_scale(value: Floats, predicted: Predicted) -> float | None:
    """Half of an interval in standard deviations, so that it would have held left-out levels.

    The conformal quantile of errors in units of their own standard deviation (Lei et al. 2018,
    locally weighted), the largest where they are fewer than 19, and never fewer than those of
    Student's distribution with the replicates' degrees of freedom: a dozen spots may agree by luck.
    None without any.
    """
    from scipy.stats import t

    scores = np.abs(predicted.value - value) / predicted.sd
    scores = np.sort(scores[np.isfinite(scores)])
    if not len(scores):
        return None
    rank = min(int(np.ceil((len(scores) + 1) * LEVEL)), len(scores))
    free = len(value) - len(np.unique(value))
    least = t.ppf((1 + LEVEL) / 2, free) if free else NORMAL
    return _digits(max(scores[rank - 1], least))


def _correlation(one: Floats, other: Floats) -> float | None:
    if len(one) < 3 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return _digits(np.corrcoef(one, other)[0, 1])


def _digits(number: float) -> float:
    return float(f"{number:.10g}")

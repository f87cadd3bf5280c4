"""From a colour number to the scale of calibration spots, such as pH."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

LEVEL = 0.95
# How far levels may be out of order, as a share of their range, before the metric is held to
# turn back: more where no replicates tell their scatter.
TURN, TURN_UNKNOWN = 0.03, 0.1
BEYOND = 2.0  # scatter of a level, in standard deviations, that still counts as its end
OWN_SLACK = 0.005  # of the calibrated span, within which spots of an end level widen it


@dataclass(frozen=True)
class Calibration:
    """A monotone curve from metric to value.

    Attributes
    ----------
    metric, value
        Knots, metric ascending; shape (k,).
    half_width
        Half the width of the 95 % interval of a value, NaN with fewer than 3 levels.
    slack
        How far beyond the outermost knots a metric is still taken for theirs.
    monotone
        Whether the levels were in order; if not, neighbours were pooled.
    """

    metric: Floats
    value: Floats
    half_width: float
    slack: float
    monotone: bool

    def predict(self, metric: ArrayLike) -> Floats:
        """Value at each metric, NaN outside the calibrated range; any shape."""
        from scipy.interpolate import PchipInterpolator

        metric = np.asarray(metric, dtype=float)
        low, high = self.metric[0] - self.slack, self.metric[-1] + self.slack
        inside = (metric >= low) & (metric <= high)
        clipped = np.clip(metric, self.metric[0], self.metric[-1])
        curve = PchipInterpolator(self.metric, self.value)
        return np.where(inside, curve(np.where(inside, clipped, self.metric[0])), np.nan)


def fit_calibration(metric: ArrayLike, value: ArrayLike) -> Calibration:
    """Fit a monotone calibration curve through the medians of the levels.

    Levels out of order are pooled (isotonic regression, weighted by spots); between the knots
    a shape-preserving cubic (PCHIP, Fritsch and Carlson 1980) runs. The interval comes from
    leaving out each inner level and predicting its spots, as a new sample would be: the
    conformal 95 % quantile of those errors, or the largest where they are fewer than 19.
    Leaving out single spots would flatter, for their siblings would stay.

    Parameters
    ----------
    metric, value
        Of the calibration spots, shape (n,); missing metrics are left out.

    Raises
    ------
    ValueError
        If fewer than two levels can be told apart, or the metric turns back: to be in order,
        levels would have to move by more than their scatter explains.
    """
    metric, value = np.asarray(metric, dtype=float), np.asarray(value, dtype=float)
    kept = np.isfinite(metric) & np.isfinite(value)
    metric, value = metric[kept], value[kept]
    distinct = np.unique(value)
    scatter = _scatter(metric, value)
    knots, levels, monotone, moved = _knots(metric, value)
    span = knots[-1] - knots[0]
    own = max(knots[0] - metric.min(), metric.max() - knots[-1])
    slack = max(BEYOND * scatter if np.isfinite(scatter) else 0.0, min(own, OWN_SLACK * span))
    turn = (TURN if np.isfinite(scatter) else TURN_UNKNOWN) * span
    if moved > max(turn, slack):
        raise ValueError("the metric turns back between the levels of the calibration")
    errors: list[float] = []
    for level in distinct[1:-1]:
        rest = value != level
        try:
            x, y, _, _ = _knots(metric[rest], value[rest])
        except ValueError:
            continue
        curve = Calibration(x, y, np.nan, np.inf, True)
        errors += np.abs(curve.predict(metric[~rest]) - level).tolist()
    return Calibration(knots, levels, _conformal(errors), slack, monotone)


def _knots(metric: Floats, value: Floats) -> tuple[Floats, Floats, bool, float]:
    """Level medians made monotone: (metric ascending, value, whether they were, farthest move)."""
    from scipy.optimize import isotonic_regression

    levels = np.unique(value)
    if len(levels) < 2:
        raise ValueError("a calibration needs two levels or more")
    medians = np.array([np.median(metric[value == level]) for level in levels])
    weights = np.array([float((value == level).sum()) for level in levels])
    fits = [isotonic_regression(medians, weights=weights, increasing=up) for up in (True, False)]
    errors = [float(np.sum(weights * (fit.x - medians) ** 2)) for fit in fits]
    best = fits[int(errors[1] < errors[0])]
    fitted = np.asarray(best.x)
    starts = np.flatnonzero(np.append(True, np.diff(fitted) != 0))
    x = fitted[starts]
    pooled = np.add.reduceat(weights * levels, starts) / np.add.reduceat(weights, starts)
    if len(x) < 2:
        raise ValueError("the levels of the calibration cannot be told apart by the metric")
    order = np.argsort(x)
    moved = float(np.abs(fitted - medians).max())
    return x[order], pooled[order], len(x) == len(levels), moved


def _scatter(metric: Floats, value: Floats) -> float:
    """Standard deviation within levels, by the pooled MAD; NaN without replicates."""
    off = [metric[value == v] - np.median(metric[value == v]) for v in np.unique(value)]
    pooled = np.abs(np.concatenate([part for part in off if len(part) > 1] or [np.zeros(0)]))
    free = len(pooled) - sum(len(part) > 1 for part in off)
    if free < 1:
        return np.nan
    return float(1.4826 * np.median(pooled) * np.sqrt(len(pooled) / free))


def _conformal(errors: list[float]) -> float:
    if not errors:
        return np.nan
    rank = min(int(np.ceil((len(errors) + 1) * LEVEL)), len(errors))
    return float(np.sort(errors)[rank - 1])

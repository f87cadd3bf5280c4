"""The family of log-logistic curves, its derivatives, and what each model leaves free.

Every curve is ``end + (zero - end) * share(dose)``; `share` falls from 1 at dose 0 to 0. With
asymmetry f it is the generalised log-logistic [1]_, written as R's drc does: the way from the
lower to the upper level is ``(1 + (dose / e) ** b) ** -f``, with b < 0 where the response rises.
Its place is told by the dose of the half effect (the relative ec50), not by e.

References
----------
.. [1] Ritz, Baty, Streibig and Gerhard, Dose-Response Analysis Using R. PLoS ONE 10:e0146021,
   2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Model = Literal["flat", "2pl", "3pl", "4pl", "5pl"]
MODELS: tuple[Model, ...] = ("flat", "2pl", "3pl", "4pl", "5pl")

LN10 = float(np.log(10))


def log10(dose: ArrayLike) -> Floats:
    """Log10 of doses; -inf for 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log10(np.asarray(dose, dtype=float)))


def _half(log_f: ArrayLike) -> Floats:
    """ln(2 ** (1 / f) - 1): where on the logit axis half of the way is gone."""
    with np.errstate(over="ignore"):
        x = np.log(2) * np.exp(-np.asarray(log_f, dtype=float))
    # for tiny f, expm1 overflows where its logarithm is x itself
    return np.where(x > 30, x, np.log(np.expm1(np.minimum(x, 30))))


def share(
    log_dose: ArrayLike,
    log_ec50: ArrayLike,
    log_slope: ArrayLike,
    log_f: ArrayLike = 0.0,
    *,
    rising: bool = False,
) -> Floats:
    """How much of the way from `zero` to `end` is still to go; 1 at dose 0.

    Parameters
    ----------
    log_dose, log_ec50
        Log10 of doses; any shapes that broadcast.
    log_slope, log_f
        Natural logarithms of slope and asymmetry.
    rising
        Whether the response rises with dose, which mirrors an asymmetric curve.
    """
    slope = np.exp(np.asarray(log_slope, dtype=float)) * LN10
    z = slope * (np.asarray(log_dose, dtype=float) - log_ec50)
    if isinstance(log_f, float) and log_f == 0.0:
        return np.asarray(0.5 * (1 - np.tanh(z / 2)))
    up = np.exp(-np.exp(log_f) * np.logaddexp(0, _half(log_f) + (-z if rising else z)))
    return 1 - up if rising else up


def gradient(log_dose: ArrayLike, theta: Sequence[float] | Floats) -> Floats:
    """Derivatives of the curve by (zero, end, log10 ec50, ln slope, ln f), shape (n, 5)."""
    log_dose = np.asarray(log_dose, dtype=float)
    zero, end, log_ec50, log_slope, log_f = (float(t) for t in theta)
    rising = zero < end
    way = -1.0 if rising else 1.0
    slope, f = np.exp(log_slope) * LN10, np.exp(log_f)
    tested = np.isfinite(log_dose)  # nothing but `zero` matters at dose 0
    z = slope * (np.where(tested, log_dose, log_ec50) - log_ec50)
    u = _half(log_f) + way * z
    soft = np.logaddexp(0, u)
    up = np.exp(-f * soft)
    by_u = -f * up * np.exp(u - soft)
    half_by_f = -(np.log(2) / f) / -np.expm1(-np.log(2) / f)
    by_f = -f * soft * up + by_u * half_by_f
    left = np.where(tested, 1 - up if rising else up, 1.0)
    # `up` is the share of the upper level, whichever of the two that is
    steep = abs(zero - end) * tested
    return np.stack(
        [
            left,
            1 - left,
            -steep * by_u * way * slope,
            steep * by_u * way * z,
            steep * by_f,
        ],
        axis=1,
    )


def log_distance(share_left: float, log_slope: float, log_f: float, *, rising: bool) -> float:
    """Log10 of the dose, over ec50, at which `share_left` (in 0 to 1) is left."""
    up = 1 - share_left if rising else share_left
    x = -np.log(up) * np.exp(-log_f)
    u = x if x > 30 else np.log(np.expm1(x))
    z = u - float(_half(log_f))
    return float((-z if rising else z) / (np.exp(log_slope) * LN10))


@dataclass(frozen=True)
class Variant:
    """A model with the range of each level; a fixed level has a range of no width.

    Attributes
    ----------
    model
        Its name.
    zero, end
        Least and greatest value of each level.
    rising
        Way of the response; matters for asymmetric curves alone.
    """

    model: Model
    zero: tuple[float, float]
    end: tuple[float, float]
    rising: bool = False

    @property
    def asymmetric(self) -> bool:
        """Whether the asymmetry is free."""
        return self.model == "5pl"

    @property
    def free_levels(self) -> tuple[bool, bool]:
        """Whether `zero` and `end` are free."""
        return self.zero[0] < self.zero[1], self.end[0] < self.end[1]

    @property
    def n_parameters(self) -> int:
        """Free parameters of the curve."""
        return 2 + sum(self.free_levels) + self.asymmetric


def variants(
    model: Model,
    limits: tuple[float, float],
    lower: float | None,
    upper: float | None,
    *,
    rising: bool | None = None,
) -> list[Variant]:
    """The ways in which a curve of `model` can lie: falling, rising, or either at once.

    Parameters
    ----------
    model
        Any but ``flat``.
    limits
        Least and greatest value of a free level.
    lower, upper
        Values of fixed levels; 3pl has its lower level at 0 and 2pl its levels at 0 and 1
        where they are not given.
    rising
        Only this way, where it is known.
    """
    if model in ("2pl", "3pl") and lower is None:
        lower = 0.0
    if model == "2pl" and upper is None:
        upper = 1.0
    low, high = limits
    bottom = (low, high) if lower is None else (lower, lower)
    top = (low, high) if upper is None else (upper, upper)
    if lower is None and upper is None:
        ways = [False] if rising is None and model != "5pl" else [False, True]
        return [Variant(model, top, bottom, way) for way in ways if rising in (None, way)]
    # a level beyond the fixed one would turn the curve round
    if upper is None and lower is not None:
        top = (max(low, lower), max(high, lower))
    if lower is None and upper is not None:
        bottom = (min(low, upper), min(high, upper))
    both = [Variant(model, top, bottom, False), Variant(model, bottom, top, True)]
    return [v for v in both if rising in (None, v.rising)]

"""Which of several curves a table supports, and whether it supports any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from gridwell.screen.likelihood import Counts
from gridwell.screen.models import Floats, Model, Variant
from gridwell.screen.search import Data, Search

P_SLOPE = 0.05  # the flat model is left only below this p
P_MORE = 0.05  # a curve with one more parameter is taken only below this p, with choose f_test
MIN_LEVELS = 4  # distinct doses, the controls' 0 among them
MIN_POINTS = 7  # fewer hardly tell a curve of four parameters from chance
CANDIDATES: tuple[Model, ...] = ("flat", "4pl")

Choose = Literal["aicc", "f_test"]


@dataclass(frozen=True)
class Fit:
    """A candidate fitted: value is RSS, or -2 log-likelihood of counts."""

    variant: Variant
    theta: Floats  # (zero, end, log10 ec50, ln slope, ln f)
    value: float
    search: Search | None = None
    counts: Counts | None = None
    rho: float = np.nan


@dataclass(frozen=True)
class Rule:
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


def candidates(
    models: Sequence[Model],
    ways: Callable[..., list[Variant]],
    data: Data,
    fitted: Callable[[Variant], Fit],
    *,
    small: bool,
) -> list[Fit]:
    """Best fit of each candidate that the table is large enough for, simplest first."""
    fits: list[Fit] = []
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


def choose_fit(
    fits: Sequence[Fit],
    flat: float,
    rule: Rule,
    choose: Choose,
    *,
    with_flat: bool,
    data: Data,
) -> tuple[Fit | None, float]:
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
    # AICc has no say here: its correction would call any curve of eight points flat.
    return (None if p_slope >= P_SLOPE else chosen), p_slope


def checked(data: Data, small: bool) -> Data:
    if small:
        if data.n < 2 or data.dose[-1] <= 0:
            raise ValueError("a curve needs distinct doses above 0 and 2 points")
    elif len(data.dose) < MIN_LEVELS or data.n < MIN_POINTS or data.dose[-1] <= 0:
        raise ValueError("a curve needs 4 distinct doses (0 among them) and 7 points")
    return data


def level_limits(data: Data, limits: tuple[float, float]) -> tuple[float, float]:
    low, high = float(data.mean.min()), float(data.mean.max())
    room = 2 * (high - low)
    return max(low - room, min(limits[0], low)), min(high + room, max(limits[1], high))

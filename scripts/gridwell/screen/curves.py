"""Dose-response curves: a log-logistic fit that says when it knows nothing.

The curve is ``f(dose) = end + (zero - end) / (1 + (dose / ec50) ** slope)``: `zero` is the
response without the agent, `end` that at an endless dose. Controls enter as dose 0 and so
inform `zero` alone. With the dose taken as log10, two of the four parameters (`zero`, `end`)
are linear: for any (ec50, slope) their best values have a closed form (variable projection,
Golub and Pereyra 1973), so that the whole plane of the two others can be searched, no start is
ever missed, and the profile of ec50 is exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

Floats = NDArray[np.float64]

SLOPES = (0.1, 10.0)  # steeper is a step, shallower a straight line over any real dose range
BEYOND = 2.0  # decades outside the tested doses in which ec50 is looked for
P_SLOPE = 0.05  # the flat model is left only below this p
P_LACK = 0.01  # below this p the replicates contradict the curve
N_PARAMETERS = 4
MIN_LEVELS = 4  # distinct doses, the controls' 0 among them
MIN_POINTS = 7  # fewer, and AICc of four parameters has no meaning
MIN_ACTIVITY = 10.0  # percent inhibition that counts as activity, Yadav et al. 2014


@dataclass(frozen=True)
class Curve:
    """A fitted curve.

    Attributes
    ----------
    model
        ``4pl``, or ``flat`` when the data do not support a slope.
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
        F-tests of 4pl against flat, and of the replicates' scatter against the curve (NaN
        without replicates).
    covariance
        Of (zero, end, log10 ec50, ln slope), or of (level,) when flat.
    """

    model: Literal["4pl", "flat"]
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

    def predict(self, dose: ArrayLike) -> Floats:
        """Fitted response at `dose` (any shape, >= 0, in the unit of the fit)."""
        dose = np.asarray(dose, dtype=float)
        if self.model == "flat":
            return np.full(dose.shape, self.zero)
        share = _share(_log10(dose), np.log10(self.ec50), np.log(self.slope))
        return self.end + (self.zero - self.end) * share

    def band(self, dose: ArrayLike, interval: float) -> tuple[Floats, Floats]:
        """Pointwise confidence band of the curve at `dose`, by the delta method."""
        dose = np.asarray(dose, dtype=float)
        if self.model == "flat":
            gradient = np.ones((dose.size, 1))
        else:
            parameters = (np.log10(self.ec50), np.log(self.slope))
            gradient = _gradient(_log10(dose), self.zero, self.end, *parameters)
        variance = np.einsum("ni,ij,nj->n", gradient, self.covariance, gradient)
        half = stats.t.ppf(0.5 + interval / 2, self.df) * np.sqrt(np.maximum(variance, 0))
        fit = self.predict(dose)
        return fit - half, fit + half

    def mean(self) -> float:
        """Mean of the curve over the tested doses on the log scale: area / width."""
        if self.model == "flat" or self.low_dose == self.high_dose:
            return float(self.predict(self.low_dose))
        low, high = np.log10(self.low_dose), np.log10(self.high_dose)
        share = _share_integral(low, high, np.log10(self.ec50), self.slope) / (high - low)
        return float(self.end + (self.zero - self.end) * share)

    def dose_at(self, level: float) -> float:
        """Dose at which the curve passes `level`; NaN unless within the tested doses."""
        if self.model == "flat" or not self.bottom < level < self.top:
            return np.nan
        share = (level - self.end) / (self.zero - self.end)
        dose = self.ec50 * (1 / share - 1) ** (1 / self.slope)
        return float(dose) if self.low_dose <= dose <= self.high_dose else np.nan


def fit_curve(
    dose: ArrayLike,
    response: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    interval: float = 0.95,
    limits: tuple[float, float] = (-np.inf, np.inf),
    least_scale: float = 0.0,
) -> Curve:
    """Fit a four-parameter log-logistic curve by weighted least squares, or a flat line.

    The slope must earn its place: 4pl is chosen when an F-test against the flat line has
    p < 0.05 and AICc agrees. The interval of ec50 is the set of values that an F-test of the
    profile does not refuse (Bates and Watts 1988), so it may be lopsided or open.

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

    Returns
    -------
    Curve

    Raises
    ------
    ValueError
        On fewer than 4 distinct doses (0 among them), fewer than 7 points or no dose above 0.

    Examples
    --------
    >>> curve = fit_curve([0, 1, 2, 4, 8, 16, 32], [100, 99, 94, 50, 6, 1, 0])
    >>> round(curve.ec50, 1), curve.in_range
    (4.0, 'yes')
    """
    data = _checked(dose, response, weights)
    problem = _Problem(data, _level_limits(data, limits))
    curve = _choose(problem, least_scale)
    if curve.model == "flat":
        return curve
    bound = curve.rss + curve.scale * stats.f.ppf(interval, 1, curve.df)
    low, high = problem.profile_interval(np.log10(curve.ec50), float(bound))
    return replace(curve, ec50_low=float(10**low), ec50_high=float(10**high))


def _choose(problem: _Problem, least_scale: float) -> Curve:
    """The better of 4pl and flat, without the interval."""
    data = problem.data
    log_ec50, log_slope = problem.best()
    zero, end, rss = problem.levels(log_ec50, log_slope)
    flat = _flat(data, least_scale)
    df = data.n - N_PARAMETERS
    scale = max(rss / df, least_scale)
    p_slope = _p_slope(flat.rss, rss, data)
    # noise-free data: what is left is rounding, and there is nothing to test
    nothing = flat.rss <= 1e-18 * float(np.sum(data.weight * data.mean**2))
    if nothing or p_slope >= P_SLOPE or _aicc(flat.rss, 1, data.n) <= _aicc(rss, 4, data.n):
        return replace(flat, p_slope=1.0 if nothing else p_slope)
    gradient = _gradient(data.log_dose, zero, end, log_ec50, log_slope)
    information = gradient.T @ (data.weight[:, None] * gradient)
    return Curve(
        model="4pl",
        zero=zero,
        end=end,
        ec50=float(10**log_ec50),
        slope=float(np.exp(log_slope)),
        ec50_low=np.nan,
        ec50_high=np.nan,
        low_dose=data.low_dose,
        high_dose=data.high_dose,
        rss=rss,
        df=df,
        scale=scale,
        p_slope=p_slope,
        p_lack_of_fit=_p_lack_of_fit(rss, data, N_PARAMETERS),
        covariance=scale * np.linalg.pinv(information, hermitian=True),
    )


def fit_counts(
    dose: ArrayLike,
    successes: ArrayLike,
    trials: ArrayLike,
    *,
    intercept: ArrayLike = 0.0,
    gain: ArrayLike = 1.0,
    interval: float = 0.95,
) -> Curve:
    """Fit a curve to counts, such as live cells among all cells of each spot.

    The fitted response is ``intercept + gain * successes / trials`` (normalisation of each
    spot's slide). Spots scatter more than a binomial: variance of the fraction is
    ``p (1 - p) (1 + (n - 1) rho) / n``, as in a beta-binomial, with `rho` estimated by the
    method of moments (Williams 1982, model II) in turns with the curve. Spots with few cells
    so weigh less, and none decides alone.

    Parameters
    ----------
    dose, successes, trials
        Shape (n,); spots without trials are left out.
    intercept, gain
        Scalars or shape (n,): normalisation of each spot.
    interval
        Level of the interval of ec50.

    Returns
    -------
    Curve
        In units of the normalised response.

    Raises
    ------
    ValueError
        As `fit_curve`.
    """
    dose, successes, trials, intercept, gain = np.broadcast_arrays(
        *(np.asarray(a, dtype=float) for a in (dose, successes, trials, intercept, gain))
    )
    kept = np.flatnonzero(trials > 0)
    if not kept.size:
        raise ValueError("no spot has cells")
    # sums in a fixed order, so that the order of rows cannot change the last digit
    kept = kept[np.lexsort([a[kept] for a in (gain, intercept, trials, successes, dose)])]
    dose, successes, trials, intercept, gain = (
        a[kept] for a in (dose, successes, trials, intercept, gain)
    )
    response = intercept + gain * successes / trials
    ends = np.stack([intercept, intercept + gain])
    limits = (float(ends.min()), float(ends.max()))

    weights = trials / gain**2
    rho = np.inf
    for _ in range(20):
        data = _checked(dose, response, weights)
        curve = _choose(_Problem(data, _level_limits(data, limits)), 1.0)
        expected = (curve.predict(dose) - intercept) / gain
        # half a cell keeps a fitted 0 % or 100 % from weighing endlessly
        p = (np.clip(expected, 0, 1) * trials + 0.5) / (trials + 1)
        last, rho = rho, _overdispersion(successes, trials, p, curve)
        weights = 1 / (gain**2 * p * (1 - p) * (1 + (trials - 1) * rho) / trials)
        if abs(rho - last) <= 1e-6:
            break
    return fit_curve(
        dose, response, weights=weights, interval=interval, limits=limits, least_scale=1.0
    )


def drug_sensitivity_score(curve: Curve, *, inhibition: bool) -> float:
    """Drug sensitivity score, type 2 (DSS2): the area of activity, 0 to 50.

    Area between the inhibition curve and 10 % over the tested log doses, as a share of the
    greatest such area, in percent, over log10 of the greatest inhibition [1]_. As published, a
    drug whose ec50 is not below the highest tested dose scores 0. The published curve starts at
    0 % inhibition; ours starts where the fit does.

    Parameters
    ----------
    curve
        Fit of percent of control, or of percent inhibition.
    inhibition
        Whether the response is percent inhibition.

    References
    ----------
    .. [1] Yadav et al., Quantitative scoring of differential drug sensitivity for individually
       optimized anticancer therapies. Scientific Reports 4:5193, 2014.
    """
    start, end = (curve.zero, curve.end) if inhibition else (100 - curve.zero, 100 - curve.end)
    start, end = min(start, 100.0), min(end, 100.0)
    low, high = np.log10(curve.low_dose), np.log10(curve.high_dose)
    greatest = max(start, end)
    if high <= low or greatest <= MIN_ACTIVITY or curve.in_range == ">max":
        return 0.0
    if curve.model == "flat":
        area = (start - MIN_ACTIVITY) * (high - low)
    else:
        left, right = low, high
        if min(start, end) < MIN_ACTIVITY:
            share = (MIN_ACTIVITY - end) / (start - end)
            crossing = np.log10(curve.ec50) + np.log10(1 / share - 1) / curve.slope
            left, right = (max(crossing, low), high) if end > start else (low, min(crossing, high))
            if right <= left:
                return 0.0
        share = _share_integral(left, right, np.log10(curve.ec50), curve.slope)
        area = (end - MIN_ACTIVITY) * (right - left) + (start - end) * share
    return float(100 * area / ((100 - MIN_ACTIVITY) * (high - low)) / np.log10(greatest))


@dataclass(frozen=True)
class _Data:
    """Points collapsed to their distinct doses; nothing that a fit needs is lost by it."""

    dose: Floats  # (d,) ascending
    log_dose: Floats  # (d,) -inf for 0
    mean: Floats  # (d,) weighted mean response
    weight: Floats  # (d,) summed weight
    scatter: float  # weighted squares of the points around their dose's mean
    n: int  # points

    @property
    def low_dose(self) -> float:
        return float(self.dose[self.dose > 0][0])

    @property
    def high_dose(self) -> float:
        return float(self.dose[-1])


def _collapse(dose: ArrayLike, response: ArrayLike, weights: ArrayLike | None) -> _Data:
    dose, response = np.asarray(dose, dtype=float), np.asarray(response, dtype=float)
    weight = np.ones(dose.shape) if weights is None else np.asarray(weights, dtype=float)
    kept = np.isfinite(dose) & np.isfinite(response) & np.isfinite(weight) & (weight > 0)
    dose, response, weight = dose[kept], response[kept], weight[kept]
    if np.any(dose < 0):
        raise ValueError("doses are 0 or more")
    # doses that differ by rounding (unit conversion) are one dose
    rounded = np.array([float(f"{d:.9e}") for d in dose])
    # sums in a fixed order, so that the order of rows cannot change the last digit
    order = np.lexsort((weight, response, rounded))
    dose, response, weight = rounded[order], response[order], weight[order]
    levels, which = np.unique(dose, return_inverse=True)
    total: Floats = np.bincount(which, weight, minlength=len(levels)).astype(float)
    mean = np.bincount(which, weight * response, minlength=len(levels)) / total
    scatter = float(np.sum(weight * (response - mean[which]) ** 2))
    return _Data(levels, _log10(levels), mean, total, scatter, len(dose))


def _checked(dose: ArrayLike, response: ArrayLike, weights: ArrayLike | None) -> _Data:
    data = _collapse(dose, response, weights)
    if len(data.dose) < MIN_LEVELS or data.n < MIN_POINTS or data.dose[-1] <= 0:
        raise ValueError("a curve needs 4 distinct doses (0 among them) and 7 points")
    return data


def _level_limits(data: _Data, limits: tuple[float, float]) -> tuple[float, float]:
    low, high = float(data.mean.min()), float(data.mean.max())
    room = 2 * (high - low)
    return max(low - room, min(limits[0], low)), min(high + room, max(limits[1], high))


class _Problem:
    """Least squares over (log10 ec50, ln slope), the two levels solved within."""

    def __init__(self, data: _Data, limits: tuple[float, float]) -> None:
        self.data = data
        self.limits = limits
        self.ec50s = (np.log10(data.low_dose) - BEYOND, np.log10(data.high_dose) + BEYOND)
        self.slopes = (np.log(SLOPES[0]), np.log(SLOPES[1]))
        steps = round((self.ec50s[1] - self.ec50s[0]) * 10) + 1
        self.ec50_grid = np.linspace(*self.ec50s, steps)
        self.slope_grid = np.linspace(*self.slopes, 31)

    def solve(self, log_ec50: Floats, log_slope: Floats) -> tuple[Floats, Floats, Floats]:
        """Best (zero, end) within the limits and their RSS, for arrays of any one shape (g,)."""
        x, y, w = self.data.log_dose, self.data.mean, self.data.weight
        s = _share(x[None, :], log_ec50[:, None], log_slope[:, None])
        t = 1 - s
        ss, st, tt = (w * s * s).sum(1), (w * s * t).sum(1), (w * t * t).sum(1)
        sy, ty = (w * s * y).sum(1), (w * t * y).sum(1)
        tiny = 1e-12 * w.sum()
        zero, end = _inverse2(ss + tiny, st, tt + tiny, sy + tiny * y.mean(), ty + tiny * y.mean())
        low, high = self.limits
        if (
            (zero >= low).all()
            and (zero <= high).all()
            and (end >= low).all()
            and (end <= high).all()
        ):
            rss = (w * (y - end[:, None] - (zero - end)[:, None] * s) ** 2).sum(1)
            return zero, end, rss + self.data.scatter
        candidates = [(np.clip(zero, low, high), np.clip(end, low, high))]
        for edge in (low, high):
            candidates.append((np.full_like(zero, edge), _edge(ty - st * edge, tt, low, high)))
            candidates.append((_edge(sy - st * edge, ss, low, high), np.full_like(zero, edge)))
        zeros, ends = (np.stack(part) for part in zip(*candidates, strict=True))
        rss = (w * (y - ends[..., None] - (zeros - ends)[..., None] * s) ** 2).sum(-1)
        best = rss.argmin(0)[None]
        zero, end, rss = (np.take_along_axis(a, best, 0)[0] for a in (zeros, ends, rss))
        return zero, end, rss + self.data.scatter

    def levels(self, log_ec50: float, log_slope: float) -> tuple[float, float, float]:
        """`solve` for one pair."""
        zero, end, rss = self.solve(np.array([log_ec50]), np.array([log_slope]))
        return float(zero[0]), float(end[0]), float(rss[0])

    def best(self) -> tuple[float, float]:
        """Best (log10 ec50, ln slope): every valley of the plane, then least squares from it."""
        e, s = np.meshgrid(self.ec50_grid, self.slope_grid, indexing="ij")
        rss = self.solve(e.ravel(), s.ravel())[2].reshape(e.shape)
        padded = np.pad(rss, 1, constant_values=np.inf)
        around = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).min((-2, -1))
        # a valley that is not even half-way down from the ridge is no rival of the deepest
        valleys = np.argwhere((rss <= around) & (rss <= (rss.min() + rss.max()) / 2))
        valleys = valleys[np.argsort(rss[tuple(valleys.T)], kind="stable")][:4]
        fits = [self._descend(e[i, j], s[i, j]) for i, j in valleys]
        return min(fits, key=lambda fit: self.levels(*fit)[2])

    def _descend(self, log_ec50: float, log_slope: float) -> tuple[float, float]:
        def residual(theta: Floats) -> Floats:
            zero, end, _ = self.levels(*theta)
            fit = end + (zero - end) * _share(self.data.log_dose, *theta)
            return np.sqrt(self.data.weight) * (self.data.mean - fit)

        found = optimize.least_squares(
            residual,
            (log_ec50, log_slope),
            jac="3-point",
            bounds=tuple(zip(self.ec50s, self.slopes, strict=True)),
            xtol=1e-13,
            ftol=1e-14,
            gtol=1e-13,
        )
        return float(found.x[0]), float(found.x[1])

    def profile(self, log_ec50: float) -> float:
        """Least RSS at a given ec50, over slope and levels."""
        grid = self.slope_grid
        rss = self.solve(np.full(grid.shape, log_ec50), grid)[2]
        at = int(rss.argmin())
        around = (grid[max(at - 1, 0)], grid[min(at + 1, len(grid) - 1)])
        found = optimize.minimize_scalar(
            lambda slope: self.levels(log_ec50, slope)[2],
            bounds=around,
            method="bounded",
            options={"xatol": 1e-7},
        )
        return min(float(found.fun), float(rss[at]))

    def profile_interval(self, best: float, bound: float) -> tuple[float, float]:
        """Outermost log10 ec50 on both sides whose profile is within `bound`, NaN if none.

        The hull is taken where the profile has several valleys: wide rather than wrong.
        """
        grid = self.ec50_grid
        e, s = np.meshgrid(grid, self.slope_grid, indexing="ij")
        profile = self.solve(e.ravel(), s.ravel())[2].reshape(e.shape).min(1)
        inside = grid[profile <= bound]
        ends = []
        for side, edge in ((-1, grid[0]), (1, grid[-1])):
            inner = max([best, *inside], key=lambda x: side * x)
            beyond = grid[side * grid > side * inner + 1e-12]
            if not beyond.size or self.profile(edge) <= bound:
                ends.append(np.nan)
                continue
            outer = beyond[0] if side > 0 else beyond[-1]
            while self.profile(outer) <= bound:
                inner, outer = outer, outer + side * (grid[1] - grid[0])
            ends.append(
                optimize.brentq(lambda x: self.profile(x) - bound, inner, outer, xtol=1e-9)
                if self.profile(inner) < bound
                else inner
            )
        return float(ends[0]), float(ends[1])


def _log10(dose: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.log10(dose)


def _share(log_dose: Floats, log_ec50: Floats | float, log_slope: Floats | float) -> Floats:
    """1 / (1 + (dose / ec50) ** slope): how much of the way is still to go; 1 at dose 0."""
    exponent = np.exp(log_slope) * np.log(10) * (log_dose - log_ec50)
    return 0.5 * (1 - np.tanh(exponent / 2))


def _share_integral(low: float, high: float, log_ec50: float, slope: float) -> float:
    """Integral of `_share` over log10 dose from `low` to `high`."""
    rate = slope * np.log(10)
    rise = np.logaddexp(0, rate * (high - log_ec50)) - np.logaddexp(0, rate * (low - log_ec50))
    return float(high - low - rise / rate)


def _gradient(
    log_dose: Floats, zero: float, end: float, log_ec50: float, log_slope: float
) -> Floats:
    """Derivatives of the curve by (zero, end, log10 ec50, ln slope), shape (n, 4)."""
    s = _share(log_dose, log_ec50, log_slope)
    slope = np.exp(log_slope) * np.log(10)
    distance = np.where(np.isfinite(log_dose), log_dose - log_ec50, 0)
    steep = (zero - end) * s * (1 - s)
    return np.stack([s, 1 - s, steep * slope, -steep * slope * distance], axis=1)


def _inverse2(a: Floats, b: Floats, c: Floats, u: Floats, v: Floats) -> tuple[Floats, Floats]:
    """Solve [[a, b], [b, c]] (x, y) = (u, v), elementwise."""
    det = a * c - b * b
    return (c * u - b * v) / det, (a * v - b * u) / det


def _edge(numerator: Floats, denominator: Floats, low: float, high: float) -> Floats:
    ratio = np.divide(
        numerator, denominator, out=np.full_like(numerator, low), where=denominator > 0
    )
    return np.clip(ratio, low, high)


def _flat(data: _Data, least_scale: float) -> Curve:
    total = float(data.weight.sum())
    level = float(np.sum(data.weight * data.mean) / total)
    rss = float(np.sum(data.weight * (data.mean - level) ** 2)) + data.scatter
    df = data.n - 1
    scale = max(rss / df, least_scale)
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
    )


def _p_slope(flat: float, curve: float, data: _Data) -> float:
    df = data.n - N_PARAMETERS
    gain = max(flat - curve, 0.0) / (N_PARAMETERS - 1)
    if curve <= 0:
        return 0.0 if gain > 0 else 1.0
    return float(stats.f.sf(gain / (curve / df), N_PARAMETERS - 1, df))


def _p_lack_of_fit(rss: float, data: _Data, parameters: int) -> float:
    between, within = len(data.dose) - parameters, data.n - len(data.dose)
    if between < 1 or within < 1 or data.scatter <= 0:
        return np.nan
    ratio = max(rss - data.scatter, 0) / between / (data.scatter / within)
    return float(stats.f.sf(ratio, between, within))


def _aicc(rss: float, parameters: int, n: int) -> float:
    """Akaike's criterion for small samples (Hurvich and Tsai 1989), variance counted."""
    k = parameters + 1
    if rss <= 0:
        return -np.inf
    return float(n * np.log(rss / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1))


def _overdispersion(successes: Floats, trials: Floats, p: Floats, curve: Curve) -> float:
    """Intra-spot correlation rho at which Pearson's X2 equals its degrees of freedom."""
    squares = (successes - trials * p) ** 2 / (trials * p * (1 - p))

    def excess(rho: float) -> float:
        return float(np.sum(squares / (1 + (trials - 1) * rho)) - curve.df)

    if excess(0.0) <= 0:
        return 0.0
    return float(optimize.brentq(excess, 0.0, 1.0, xtol=1e-9)) if excess(1.0) < 0 else 1.0

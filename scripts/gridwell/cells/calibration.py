"""What a stain's intensity and its matches say of a cell, learned on one slide."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import expit

Array = np.ndarray[Any, np.dtype[Any]]

# Odds of a match with and without the stain, where a slide cannot tell them itself.
_MATCHED, _MATCHED_BY_CHANCE = 0.9, 0.03
# Neither the intensity nor a lack of data may be surer than this.
_SUREST = float(np.log(0.998 / 0.002))
_BLURRED_SUREST = float(np.log(0.9 / 0.1))
# A match weighs less than a clear intensity: bodies of something else may lie on a nucleus.
_MATCH_SUREST = float(np.log(_MATCHED / _MATCHED_BY_CHANCE))
_LEAST_CELLS = 16
# Cells of the smaller class; so few only where it is far from the other.
_LEAST_CLASS, _FEWEST = 8, 3
# Ashman's D below which two components are not two classes.
_LEAST_SEPARATION = 2.5
# The same where intensities alone decide, and where the smaller class has few cells.
_CLEAR_SEPARATION = 3.5
_FAR_SEPARATION = 5.0
# Nuclei of a kind of control that make an anchor.
_LEAST_ANCHOR = 30


@dataclass(frozen=True)
class Calibration:
    """What a stain's intensity and a match say of a cell, learned on one slide.

    Attributes
    ----------
    source
        What it rests on: ``intensity+match`` or ``intensity`` (two classes of cells stand apart),
        ``controls+match`` or ``controls`` (the classes are those of the controls), ``match``
        (the slide does not show two classes) or ``none`` (nothing can be told).
    matched, matched_by_chance
        Part of the cells with and without the stain that have a body.
    reach
        Mean squared distance of true matches in units of their gate; 1: distance tells nothing.
    negative, positive
        Mean and standard deviation of both classes, in arcsinh of the intensity over the noise.
    part
        Part of the cells that have the stain.
    """

    source: str
    matched: float = _MATCHED
    matched_by_chance: float = _MATCHED_BY_CHANCE
    reach: float = 1.0
    negative: tuple[float, float] = (0.0, 1.0)
    positive: tuple[float, float] = (0.0, 1.0)
    part: float = 0.5

    @property
    def by_intensity(self) -> bool:
        """Whether the intensity has a say."""
        return self.source.startswith(("intensity", "controls"))


def calibrate(
    values: Array,
    matched: Array | None,
    cost: Array,
    *,
    anchors: tuple[Array, Array] | None = None,
) -> Calibration:
    """Learn from all cells of a slide what tells cells with a stain from cells without.

    A mixture of two classes is fitted by expectation maximisation. In each, the intensity is
    normal, a match has its own probability, and the squared distance of a match in units of
    its gate is exponential (cells with the stain) or even (chance). It is believed only where
    it shows two separate classes that the matches agree with. Where the layout names controls
    that stand apart, the mixture starts from them, and their own classes hold where it fails.
    Else matches alone decide, with odds fixed beforehand.

    Parameters
    ----------
    values
        arcsinh of intensity over noise of each cell, (n,); NaN where it is not its own.
    matched
        1 with a body, 0 without, NaN where that cannot be told, (n,); None where the stain
        was not segmented.
    cost
        Squared distance of each match in units of its gate, NaN without, (n,).
    anchors
        Cells of controls that mostly lack the stain, and of those that mostly have it, bool (n,).

    References
    ----------
    A. P. Dempster, N. M. Laird, D. B. Rubin, J. R. Stat. Soc. B 39 (1977) 1.
    K. M. Ashman, C. M. Bird, S. E. Zepf, Astron. J. 108 (1994) 2348 (separation D).
    """
    alone = Calibration("none" if matched is None else "match")
    known = np.isfinite(values)
    match = np.full(len(values), np.nan) if matched is None else matched
    values, match, cost = values[known], match[known], cost[known]
    if anchors is not None:
        controls = _anchored(values, (anchors[0][known], anchors[1][known]))
        if controls is not None:
            fit = _from_controls(controls, values, match, cost)
            return replace(fit, source="controls" if matched is None else "controls+match")
    if len(values) < _LEAST_CELLS:
        return alone
    fit = _mixture(values, match, cost)
    if fit is None:
        return alone
    return replace(fit, source="intensity" if matched is None else "intensity+match")


def _mixture(values: Array, match: Array, cost: Array) -> Calibration | None:
    """The two classes of the slide's own cells, or None."""
    # Where intensities alone fall into two clear heaps they lead: faint bodies of cells without
    # the stain can match just as well. Else matches give the first guess.
    nothing = np.full(len(values), np.nan)
    share, apart = _fit(values, nothing, cost, _two_heaps(values))
    fit = _maximise(values, match, cost, share)
    if apart and _separation(fit) >= _CLEAR_SEPARATION and _agrees(fit, match):
        return fit
    if not np.isfinite(match).any():
        return None
    guess = np.select([(match == 1) & (cost < 0.1), match == 0], [0.9, 0.05], 0.4)
    share, apart = _fit(values, match, cost, guess)
    fit = _maximise(values, match, cost, share)
    return fit if apart and _agrees(fit, match) else None


def _anchored(values: Array, anchors: tuple[Array, Array]) -> Calibration | None:
    """Classes of the controls' cells; None where these do not stand apart as they should."""
    heaps = [values[one] for one in anchors]
    if min(map(len, heaps)) < _LEAST_ANCHOR:
        return None
    # Most cells of a control are of its class, not all: medians do not see the others.
    middle = [float(np.median(heap)) for heap in heaps]
    spread = [
        1.4826 * float(np.median(np.abs(heap - centre)))
        for heap, centre in zip(heaps, middle, strict=True)
    ]
    least = max(0.15 * (middle[1] - middle[0]), 0.1)
    (m0, m1), (s0, s1) = middle, (max(one, least) for one in spread)
    fit = Calibration("controls", negative=(m0, s0), positive=(m1, s1))
    return fit if m1 > m0 and _separation(fit) >= _LEAST_SEPARATION else None


def _from_controls(controls: Calibration, values: Array, match: Array, cost: Array) -> Calibration:
    """The slide's mixture from the controls' classes on, unless it drifts away from them."""
    nothing = np.full(len(values), np.nan)
    share = expit(_log_odds(controls, values, nothing, cost, sure=np.inf))
    share, apart = _fit(values, match, cost, share)
    fit = _maximise(values, match, cost, share)
    middle = (controls.negative[0] + controls.positive[0]) / 2
    if apart and fit.negative[0] < middle < fit.positive[0] and _agrees(fit, match):
        return fit
    return replace(
        _maximise(values, match, cost, expit(_log_odds(controls, values, nothing, cost, sure=9.0))),
        negative=controls.negative,
        positive=controls.positive,
    )


def _fit(values: Array, match: Array, cost: Array, share: Array) -> tuple[Array, bool]:
    """Fit the mixture from a first guess: each cell's share, and whether there are two classes."""
    fit = _maximise(values, match, cost, share)
    for _ in range(200):
        last = share
        share = expit(_log_odds(fit, values, match, cost, sure=np.inf))
        fit = _maximise(values, match, cost, share)
        if np.abs(share - last).max() < 1e-6:
            break
    smaller = min(float(share.sum()), float((1 - share).sum()))
    least = _LEAST_CLASS if _separation(fit) < _FAR_SEPARATION else _FEWEST - 0.5
    return share, _separation(fit) >= _LEAST_SEPARATION and smaller >= least


def _agrees(fit: Calibration, match: Array) -> bool:
    told = np.isfinite(match).any()
    return not told or fit.matched > fit.matched_by_chance + 0.2


def _separation(fit: Calibration) -> float:
    (m0, s0), (m1, s1) = fit.negative, fit.positive
    return float(np.sqrt(2) * (m1 - m0) / np.hypot(s0, s1))


def evidence(
    calibration: Calibration,
    values: Array,
    matched: Array | None,
    cost: Array,
    covered: Array,
    *,
    blurred: bool = False,
) -> Array:
    """Log of how much more likely what is seen of a cell is with the stain than without, (n,).

    Parameters
    ----------
    calibration, values, matched, cost
        As in `calibrate`.
    covered
        Cells that lie under the body of another: light there is no sign of their own stain,
        darkness is one that there is none.
    blurred
        The cells' spots are out of focus: neighbours shine on each other, and the intensity
        must not outvote the match.

    Returns
    -------
    log_ratio
        NaN for all where nothing can be told.
    """
    if calibration.source == "none":
        return np.full(len(values), np.nan)
    match = np.full(len(values), np.nan) if matched is None else matched
    own = _by_intensity(calibration, np.nan_to_num(values), _BLURRED_SUREST if blurred else _SUREST)
    own = np.where(covered, np.minimum(own, 0.0), own)
    return np.where(np.isfinite(values), own, 0.0) + _by_match(calibration, match, cost)


def _two_heaps(value: Array) -> Array:
    from skimage.filters import threshold_otsu

    if value.min() == value.max():
        return np.full(value.size, 0.5)
    return np.where(value > threshold_otsu(value), 0.99, 0.01)


def _maximise(value: Array, match: Array, cost: Array, share: Array) -> Calibration:
    other = 1 - share
    (m0, s0), (m1, s1) = _facing(value, other, 1), _facing(value, share, -1)
    # No class is so narrow that all between both of them must belong to the wider one.
    least = max(0.15 * abs(m1 - m0), 0.1)
    told, yes = np.isfinite(match), match == 1
    with_match = _mean(yes[told], share[told]) if told.any() else 0.5
    by_chance = _mean(yes[told], other[told]) if told.any() else 0.5
    reach = _mean(cost[yes], share[yes]) if yes.any() else 1.0
    return Calibration(
        source="intensity+match",
        matched=float(np.clip(with_match, 0.5, 0.95)),
        matched_by_chance=float(np.clip(by_chance, 0.03, 0.4)),
        reach=float(np.clip(reach, 0.001, 1.0)),
        negative=(m0, max(s0, least)),
        positive=(m1, max(s1, least)),
        part=float(np.clip(share.mean(), 1e-3, 1 - 1e-3)),
    )


def _mean(value: Array, weight: Array) -> float:
    return float((weight * value).sum()) / max(float(weight.sum()), 1e-9)


def _normal(value: Array, weight: Array) -> tuple[float, float]:
    mean = _mean(value, weight)
    return mean, _mean((value - mean) ** 2, weight) ** 0.5


def _log_odds(fit: Calibration, value: Array, match: Array, cost: Array, *, sure: float) -> Array:
    prior = np.log(fit.part / (1 - fit.part))
    return prior + _by_intensity(fit, value, sure) + _by_match(fit, match, cost)


def _by_intensity(fit: Calibration, value: Array, sure: float) -> Array:
    if not fit.by_intensity:
        return np.zeros(len(value))
    (m0, s0), (m1, s1) = fit.negative, fit.positive
    # Beyond the means nothing speaks against a class: the wider one must not win both ends.
    v = np.clip(value, min(m0, m1), max(m0, m1))
    ratio = np.log(s0 / s1) + ((v - m0) / s0) ** 2 / 2 - ((v - m1) / s1) ** 2 / 2
    return np.clip(ratio, -sure, sure)


def _by_match(fit: Calibration, match: Array, cost: Array) -> Array:
    near = -np.log(fit.reach) - np.nan_to_num(cost) / fit.reach
    yes = np.clip(np.log(fit.matched / fit.matched_by_chance) + near, -_MATCH_SUREST, _MATCH_SUREST)
    no = np.log((1 - fit.matched) / (1 - fit.matched_by_chance))
    return np.select([match == 1, match == 0], [yes, no], 0.0)


def _facing(value: Array, weight: Array, side: int) -> tuple[float, float]:
    """Weighted median of a class, and its spread on the side of the other one.

    What lies beyond (debris, or a third heap such as the residue of a stain) speaks for neither
    class, and must not widen the one that it is in.
    """
    centre = _weighted_median(value, weight)
    facing = side * (value - centre) > 0
    if weight[facing].sum() < 1:
        return _normal(value, weight)
    return centre, _mean((value - centre)[facing] ** 2, weight[facing]) ** 0.5


def _weighted_median(value: Array, weight: Array) -> float:
    order = np.argsort(value, kind="stable")
    total = np.cumsum(weight[order])
    return float(value[order][min(np.searchsorted(total, total[-1] / 2), len(value) - 1)])

"""How much of a stain lies under each nucleus, and what that says of the cell."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from scipy.special import expit

from gridwell.config.models import SegmentMethod
from gridwell.segment.light import correct_light

Array = np.ndarray[Any, np.dtype[Any]]

# Unsmoothed: the mean over the nucleus does the smoothing.
_LIGHT = SegmentMethod(sigma=0, background=50)
# Odds of a match with and without the stain, where a slide cannot tell them itself.
_MATCHED, _MATCHED_BY_CHANCE = 0.9, 0.03
# Neither the intensity nor a lack of data may be surer than this.
_SUREST = float(np.log(0.998 / 0.002))
# A match weighs less than a clear intensity: bodies of something else may lie on a nucleus.
_MATCH_SUREST = float(np.log(_MATCHED / _MATCHED_BY_CHANCE))
_LEAST_CELLS = 40
_LEAST_CLASS = 8
# Ashman's D below which two components are not two classes.
_LEAST_SEPARATION = 2.5
# The same where intensities alone decide.
_CLEAR_SEPARATION = 3.5


def stain_under(
    labels: Array,
    stain: Array,
    bodies: Array | None,
    *,
    owner: Array,
    shift: Array,
    mask: Array,
) -> tuple[Array, Array, Array, float]:
    """Measure a stain under the nuclei of one spot, above its background.

    Parameters
    ----------
    labels
        Nuclei, 0 background, (h, w).
    stain
        Image of the stain, (h, w).
    bodies
        Objects segmented in the stain, (h, w), or None.
    owner
        ``owner[b]`` is the label of the nucleus that body b is matched with, 0 for none: pixels
        that belong to the body of another nucleus are left out.
    shift
        dx, dy of the stain against the nuclei, in pixels of the crop.
    mask
        Outline of the spot, bool (h, w).

    Returns
    -------
    names, intensity, covered, noise
        Labels of the nuclei in rising order; mean grey value of each above the background;
        whether most of it lies under the body of another nucleus, and so has its brightness
        from it or shares it (two cells in one body); standard deviation of the background.
    """
    at = np.flatnonzero(labels)
    names, index = np.unique(labels.ravel()[at], return_inverse=True)
    flat, levels = correct_light(stain, _LIGHT, mask)
    seen = _moved(flat, shift, cv2.INTER_LINEAR).ravel()[at] - levels.base
    size = np.bincount(index, minlength=names.size)
    own = np.ones(at.size, bool)
    if bodies is not None:
        # Labels go through float32, exact up to 2^24, as remapping knows no wider integers.
        body = _moved(bodies.astype(np.float32), shift, cv2.INTER_NEAREST).ravel()[at]
        holder = owner[body.astype(np.int64)]
        own = (holder == 0) | (holder == labels.ravel()[at])
    left = np.bincount(index[own], minlength=names.size)
    covered = left < 0.5 * size
    own |= covered[index]
    left = np.where(covered, size, left)
    return names, np.bincount(index[own], seen[own], names.size) / left, covered, levels.noise


def _moved(image: Array, shift: Array, interpolation: int) -> Array:
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float64)
    flags = interpolation | cv2.WARP_INVERSE_MAP
    size = (image.shape[1], image.shape[0])
    return cv2.warpAffine(image, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)


def sharpness(labels: Array, image: Array) -> float:
    """Steepness of the outlines of a spot's objects: gradient over height, 1/px; NaN for none.

    It does not change with the brightness of the objects, and falls as they blur.
    """
    at = np.flatnonzero(labels)
    if at.size == 0:
        return float("nan")
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.0)
    slope = np.hypot(
        cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=1 / 8),
        cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=1 / 8),
    )
    background = float(np.median(smooth[labels == 0])) if (labels == 0).any() else 0.0
    names, index, size = np.unique(labels.ravel()[at], return_inverse=True, return_counts=True)
    height = np.bincount(index, smooth.ravel()[at], names.size) / size - background
    cross = np.ones((3, 3), np.uint8)
    rim = (cv2.erode(labels.astype(np.float32), cross) != labels).ravel()[at]
    length = np.bincount(index[rim], minlength=names.size)
    steep = np.bincount(index[rim], slope.ravel()[at[rim]], names.size)
    usable = (length > 0) & (height > 0)
    if not usable.any():
        return float("nan")
    return float(np.median(steep[usable] / length[usable] / height[usable]))


@dataclass(frozen=True)
class Calibration:
    """What a stain's intensity and a match say of a cell, learned on one slide.

    Attributes
    ----------
    source
        ``intensity+match``, ``intensity``, ``match`` (the slide does not show two classes) or
        ``none`` (neither can be told).
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


def calibrate(values: Array, matched: Array | None, cost: Array) -> Calibration:
    """Learn from all cells of a slide what tells cells with a stain from cells without.

    A mixture of two classes is fitted by expectation maximisation. In each, the intensity is
    normal, a match has its own probability, and the squared distance of a match in units of
    its gate is exponential (cells with the stain) or even (chance). It is believed only where
    it shows two separate classes that the matches agree with; else matches alone decide, with
    odds fixed beforehand.

    Parameters
    ----------
    values
        arcsinh of intensity over noise of each cell, (n,).
    matched
        1 with a body, 0 without, NaN where that cannot be told, (n,); None where the stain
        was not segmented.
    cost
        Squared distance of each match in units of its gate, NaN without, (n,).

    References
    ----------
    A. P. Dempster, N. M. Laird, D. B. Rubin, J. R. Stat. Soc. B 39 (1977) 1.
    K. M. Ashman, C. M. Bird, S. E. Zepf, Astron. J. 108 (1994) 2348 (separation D).
    """
    alone = Calibration("none" if matched is None else "match")
    if len(values) < _LEAST_CELLS:
        return alone
    match = np.full(len(values), np.nan) if matched is None else matched
    # Where intensities alone fall into two clear heaps they lead: faint bodies of cells without
    # the stain can match just as well. Else matches give the first guess.
    nothing = np.full(len(values), np.nan)
    share, apart = _fit(values, nothing, cost, _two_heaps(values))
    fit = _maximise(values, match, cost, share)
    if not (apart and _separation(fit) >= _CLEAR_SEPARATION and _agrees(fit, matched)):
        if matched is None:
            return alone
        guess = np.select([(match == 1) & (cost < 0.1), match == 0], [0.9, 0.05], 0.4)
        share, apart = _fit(values, match, cost, guess)
        fit = _maximise(values, match, cost, share)
        if not (apart and _agrees(fit, matched)):
            return alone
    return replace(fit, source="intensity" if matched is None else "intensity+match")


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
    return share, _separation(fit) >= _LEAST_SEPARATION and smaller >= _LEAST_CLASS


def _agrees(fit: Calibration, matched: Array | None) -> bool:
    return matched is None or fit.matched > fit.matched_by_chance + 0.2


def _separation(fit: Calibration) -> float:
    (m0, s0), (m1, s1) = fit.negative, fit.positive
    return float(np.sqrt(2) * (m1 - m0) / np.hypot(s0, s1))


def posterior(calibration: Calibration, values: Array, matched: Array | None, cost: Array) -> Array:
    """Probability that each cell has the stain, from its intensity and its match, (n,)."""
    if calibration.source == "none":
        return np.full(len(values), np.nan)
    match = np.full(len(values), np.nan) if matched is None else matched
    return expit(_log_odds(calibration, values, match, cost, sure=_SUREST))


def _two_heaps(value: Array) -> Array:
    from skimage.filters import threshold_otsu

    if value.min() == value.max():
        return np.full(value.size, 0.5)
    return np.where(value > threshold_otsu(value), 0.99, 0.01)


def _maximise(value: Array, match: Array, cost: Array, share: Array) -> Calibration:
    other = 1 - share
    (m0, s0), (m1, s1) = _normal(value, other), _normal(value, share)
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
    intensity = np.zeros(len(value))
    if fit.source.startswith("intensity"):
        (m0, s0), (m1, s1) = fit.negative, fit.positive
        # Beyond the means nothing speaks against a class: the wider one must not win both ends.
        v = np.clip(value, min(m0, m1), max(m0, m1))
        ratio = np.log(s0 / s1) + ((v - m0) / s0) ** 2 / 2 - ((v - m1) / s1) ** 2 / 2
        intensity = np.clip(ratio + np.log(fit.part / (1 - fit.part)), -sure, sure)
    near = -np.log(fit.reach) - np.nan_to_num(cost) / fit.reach
    yes = np.clip(np.log(fit.matched / fit.matched_by_chance) + near, -_MATCH_SUREST, _MATCH_SUREST)
    no = np.log((1 - fit.matched) / (1 - fit.matched_by_chance))
    return intensity + np.select([match == 1, match == 0], [yes, no], 0.0)

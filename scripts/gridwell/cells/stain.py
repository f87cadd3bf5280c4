"""How much of a stain lies under each nucleus, and what that says of the cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from scipy.special import expit

from gridwell.config.models import SegmentMethod
from gridwell.segment.conventional import correct_light

Array = np.ndarray[Any, np.dtype[Any]]

# Unsmoothed: the mean over the nucleus does the smoothing.
_LIGHT = SegmentMethod(sigma=0, background=50)
# Odds of a match with and without the stain, where a slide cannot tell them itself.
_MATCHED, _MATCHED_BY_CHANCE = 0.9, 0.03
# Neither the intensity nor a lack of data may be surer than this.
_SUREST = float(np.log(0.98 / 0.02))
_LEAST_CELLS = 40
_LEAST_CLASS = 8
# Ashman's D below which two components are not two classes.
_LEAST_SEPARATION = 2.5


def stain_under(
    labels: Array,
    stain: Array,
    bodies: Array | None,
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
    negative, positive
        Mean and standard deviation of both classes, in arcsinh of the intensity over the noise.
    part
        Part of the cells that have the stain.
    """

    source: str
    matched: float = _MATCHED
    matched_by_chance: float = _MATCHED_BY_CHANCE
    negative: tuple[float, float] = (0.0, 1.0)
    positive: tuple[float, float] = (0.0, 1.0)
    part: float = 0.5


def calibrate(values: Array, matched: Array | None) -> Calibration:
    """Learn from all cells of a slide what tells cells with a stain from cells without.

    A mixture of two classes is fitted by expectation maximisation: in each, the intensity is
    normal and a match has its own probability, independent of the intensity. It is believed
    only where it shows two separate classes that the matches agree with; else matches alone
    decide, with odds fixed beforehand.

    Parameters
    ----------
    values
        arcsinh of intensity over noise of each cell, NaN where unknown, (n,).
    matched
        1 with a body, 0 without, NaN where that cannot be told, (n,); None where the stain
        was not segmented.

    References
    ----------
    A. P. Dempster, N. M. Laird, D. B. Rubin, J. R. Stat. Soc. B 39 (1977) 1.
    K. M. Ashman, C. M. Bird, S. E. Zepf, Astron. J. 108 (1994) 2348 (separation D).
    """
    alone = Calibration("none" if matched is None else "match")
    known = np.isfinite(values)
    value = values[known]
    if value.size < _LEAST_CELLS:
        return alone
    match = np.full(value.size, np.nan) if matched is None else matched[known]
    if matched is None:
        share = _first_guess(value)
    else:
        share = np.select([match == 1, match == 0], [0.9, 0.05], 0.5)
    fit = alone
    for _ in range(200):
        last = share
        fit = _maximise(value, match, share, segmented=matched is not None)
        share = expit(_log_odds(fit, value, match, sure=np.inf))
        if np.abs(share - last).max() < 1e-6:
            break
    return fit if _two_classes(fit, share, segmented=matched is not None) else alone


def posterior(calibration: Calibration, values: Array, matched: Array | None) -> Array:
    """Probability that each cell has the stain, from its intensity and its match, (n,)."""
    if calibration.source == "none":
        return np.full(len(values), np.nan)
    match = np.full(len(values), np.nan) if matched is None else matched
    return expit(_log_odds(calibration, values, match, sure=_SUREST))


def _first_guess(value: Array) -> Array:
    from skimage.filters import threshold_otsu

    if value.min() == value.max():
        return np.full(value.size, 0.5)
    return np.where(value > threshold_otsu(value), 0.9, 0.1)


def _maximise(value: Array, match: Array, share: Array, *, segmented: bool) -> Calibration:
    def normal(weight: Array) -> tuple[float, float]:
        total = max(float(weight.sum()), 1e-9)
        mean = float((weight * value).sum()) / total
        variance = float((weight * (value - mean) ** 2).sum()) / total
        return mean, max(variance, 0.01) ** 0.5

    other = 1 - share
    told = np.isfinite(match)
    yes = np.where(told, match, 0)
    with_match = float((share * yes).sum()) / max(float(share[told].sum()), 1e-9)
    by_chance = float((other * yes).sum()) / max(float(other[told].sum()), 1e-9)
    return Calibration(
        source="intensity+match" if segmented else "intensity",
        matched=float(np.clip(with_match, 0.5, 0.98)),
        matched_by_chance=float(np.clip(by_chance, 0.01, 0.4)),
        negative=normal(other),
        positive=normal(share),
        part=float(np.clip(share.mean(), 1e-3, 1 - 1e-3)),
    )


def _log_odds(fit: Calibration, value: Array, match: Array, *, sure: float) -> Array:
    intensity = np.zeros(len(value))
    if fit.source.startswith("intensity"):
        (m0, s0), (m1, s1) = fit.negative, fit.positive
        # Beyond the means nothing speaks against a class: the wider one must not win both ends.
        v = np.clip(value, min(m0, m1), max(m0, m1))
        ratio = np.log(s0 / s1) + ((v - m0) / s0) ** 2 / 2 - ((v - m1) / s1) ** 2 / 2
        odds = ratio + np.log(fit.part / (1 - fit.part))
        intensity = np.where(np.isfinite(value), np.clip(odds, -sure, sure), 0.0)
    yes = np.log(fit.matched / fit.matched_by_chance)
    no = np.log((1 - fit.matched) / (1 - fit.matched_by_chance))
    return intensity + np.select([match == 1, match == 0], [yes, no], 0.0)


def _two_classes(fit: Calibration, share: Array, *, segmented: bool) -> bool:
    (m0, s0), (m1, s1) = fit.negative, fit.positive
    separation = np.sqrt(2) * (m1 - m0) / np.hypot(s0, s1)
    smaller = min(float(share.sum()), float((1 - share).sum()))
    agree = fit.matched > fit.matched_by_chance + 0.2 if segmented else True
    return bool(separation >= _LEAST_SEPARATION and smaller >= _LEAST_CLASS and agree)

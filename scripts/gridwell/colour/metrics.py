"""The registry of metrics: every number that a colour can be turned into.

Colours are linear sRGB relative to white, shape (n, 3). A metric gives two things: the *number*
that is reported, shape (n,), and the *feature* that is calibrated, shape (n, d). They are the same
but for hues, whose circle is cut where no calibration spot lies, and for the curve in L*a*b*, whose
feature is the whole colour.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from gridwell.colour.spaces import LUMINANCE, chroma_hue, hue_saturation, to_lab
from gridwell.config.models import ColourMetric

Floats = NDArray[np.float64]
Triple = tuple[float, float, float]

DARKEST = 1e-4
"""Linear light below which an absorbance is not told any more: 4, darker than any scanner sees."""

CIRCULAR = ("hue", "lab_hue")
UNITS = {"hue": "degrees", "lab_hue": "degrees"}
"""Units of metrics that have one."""


class Learned(BaseModel):
    """What a metric took from calibration spots; plain numbers, for a calibration's JSON.

    Attributes
    ----------
    reference
        L*a*b* of the colour that delta_e is the distance from.
    direction
        Direction in L*a*b* of pca, lda or pls.
    cut
        Where the circle of a hue is cut, degrees.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    reference: Triple | None = None
    direction: Triple | None = None
    cut: Annotated[float, Field(ge=0, lt=360)] | None = None


def _absorbance(channel: int) -> Callable[[Floats], Floats]:
    return lambda linear: absorbance(linear)[:, channel]


def _ratio(one: int, other: int) -> Callable[[Floats], Floats]:
    return lambda linear: absorbance(linear)[:, other] - absorbance(linear)[:, one]


def absorbance(linear: Floats) -> Floats:
    """Absorbance of each channel against white, -log10 of linear light; any shape."""
    return np.asarray(-np.log10(np.maximum(linear, DARKEST)))


# What needs nothing but the colours.
PLAIN: dict[str, Callable[[Floats], Floats]] = {
    "gray": lambda linear: linear @ LUMINANCE,
    "red": lambda linear: linear[:, 0],
    "green": lambda linear: linear[:, 1],
    "blue": lambda linear: linear[:, 2],
    "absorbance_red": _absorbance(0),
    "absorbance_green": _absorbance(1),
    "absorbance_blue": _absorbance(2),
    "red_green": _ratio(0, 1),
    "green_blue": _ratio(1, 2),
    "blue_red": _ratio(2, 0),
    "hue": lambda linear: hue_saturation(linear)[0],
    "saturation": lambda linear: hue_saturation(linear)[1],
    "lightness": lambda linear: to_lab(linear)[:, 0],
    "a": lambda linear: to_lab(linear)[:, 1],
    "b": lambda linear: to_lab(linear)[:, 2],
    "chroma": lambda linear: chroma_hue(to_lab(linear))[0],
    "lab_hue": lambda linear: chroma_hue(to_lab(linear))[1],
}
METRICS: tuple[ColourMetric, ...] = get_args(ColourMetric)


def number(linear: Floats, metric: str, learned: Learned) -> Floats:
    """Number of each colour, shape (n,); NaN where it has none, as a gray has no hue.

    That of ``lab_curve`` is the calibrated value itself: `gridwell.colour.curve` gives it.
    """
    if metric in PLAIN:
        return np.asarray(PLAIN[metric](linear))
    lab = to_lab(linear)
    if metric == "delta_e":
        from skimage.color import deltaE_ciede2000

        return np.asarray(
            deltaE_ciede2000(lab, np.zeros_like(lab) + np.asarray(learned.reference, dtype=float))
        )
    return np.asarray(lab @ np.asarray(learned.direction))


def feature(linear: Floats, metric: str, learned: Learned) -> Floats:
    """What is calibrated of each colour, shape (n, d)."""
    if metric == "lab_curve":
        return to_lab(linear)
    value = number(linear, metric, learned)
    if metric in CIRCULAR:
        value = (value - learned.cut) % 360 if learned.cut is not None else value
    return value[:, None]


def learn(
    linear: Floats, value: Floats, metric: str, reference: Floats | None = None
) -> Learned | None:
    """Take from calibration spots what a metric needs to know.

    Parameters
    ----------
    linear, value
        Colours (n, 3) and known values (n,) of the spots.
    metric
        Name of the metric.
    reference
        Linear colour (3,) that delta_e is the distance from; None: the lowest level's.

    Returns
    -------
    Learned or None
        None where these spots cannot teach it: lda needs replicates.
    """
    if metric == "delta_e":
        own = np.median(linear[value == value.min()], axis=0) if reference is None else reference
        return Learned(reference=_triple(to_lab(own)))
    if metric in CIRCULAR:
        return Learned(cut=widest_gap(PLAIN[metric](linear)))
    if metric in ("pca", "lda", "pls"):
        direction = _direction(to_lab(linear), value, metric)
        return None if direction is None else Learned(direction=_triple(direction))
    return Learned()


def without_calibration(reference: Floats | None = None) -> Learned:
    """What metrics know where nothing was calibrated: the colour to compare with, else white."""
    return Learned(reference=_triple(to_lab(np.ones(3) if reference is None else reference)))


def _triple(values: Floats) -> Triple:
    # Ten digits: more are noise, and would make a calibration differ between kinds of CPU.
    a, b, c = (float(f"{v:.10g}") for v in values)
    return a, b, c


def widest_gap(hues: Floats) -> float | None:
    """Middle of the widest gap between hues on the circle, degrees; None without any.

    >>> widest_gap(np.array([350.0, 10.0, 20.0]))
    185.0
    """
    known = np.unique(hues[np.isfinite(hues)])
    if not len(known):
        return None
    gaps = np.diff(np.append(known, known[0] + 360))
    widest = int(gaps.argmax())
    return float(f"{(known[widest] + gaps[widest] / 2) % 360:.10g}") % 360


def _direction(lab: Floats, value: Floats, metric: str) -> Floats | None:
    """Direction in L*a*b* that a learned metric looks along; its number rises with the value."""
    from sklearn.cross_decomposition import PLSRegression
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    _, level = np.unique(value, return_inverse=True)
    if metric == "lda" and len(value) < level.max() + 4:
        return None
    if metric == "pca":
        found = PCA(1, svd_solver="full").fit(lab).components_[0]
    elif metric == "lda":
        found = LinearDiscriminantAnalysis(solver="eigen", shrinkage=0.05).fit(lab, level)
        found = found.scalings_[:, 0]
    else:
        found = PLSRegression(2, scale=False).fit(lab, value).coef_[0]
    rises = np.dot((lab - lab.mean(axis=0)) @ found, value - value.mean()) >= 0
    return np.asarray(found if rises else -found, dtype=float)

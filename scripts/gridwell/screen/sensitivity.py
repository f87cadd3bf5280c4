"""Drug sensitivity scores: how much of the tested dose range an agent is active over."""

from __future__ import annotations

from typing import Literal

import numpy as np

from gridwell.screen.curve import Curve

MIN_ACTIVITY = 10.0  # percent inhibition that counts as activity


def drug_sensitivity_score(curve: Curve, *, inhibition: bool, kind: Literal[1, 2, 3] = 2) -> float:
    """Drug sensitivity score (DSS) of type 1, 2 or 3.

    Type 1 is the area between the inhibition curve and 10 % over the tested log doses, as a
    percentage of the greatest such area [1]_. Type 2 divides it by log10 of the greatest
    inhibition (0 to 50). Type 3 multiplies type 2 by 2 and by the share of the dose range in
    which the agent is active. As published, a drug whose ec50 is not below the highest tested
    dose scores 0. The published curve starts at 0 % inhibition; ours starts where the fit does.

    Parameters
    ----------
    curve
        Fit of percent of control, or of percent inhibition.
    inhibition
        Whether the response is percent inhibition.
    kind
        Type of the score.

    References
    ----------
    .. [1] Yadav et al., Quantitative scoring of differential drug sensitivity for individually
       optimized anticancer therapies. Scientific Reports 4:5193, 2014.
    """
    start, end = (curve.zero, curve.end) if inhibition else (100 - curve.zero, 100 - curve.end)
    start, end = min(start, 100.0), min(end, 100.0)
    low, high = float(np.log10(curve.low_dose)), float(np.log10(curve.high_dose))
    greatest = max(start, end)
    if high <= low or greatest <= MIN_ACTIVITY or curve.in_range == ">max":
        return 0.0
    left, right = low, high
    if curve.model == "flat":
        area = (start - MIN_ACTIVITY) * (high - low)
    else:
        if min(start, end) < MIN_ACTIVITY:
            level = MIN_ACTIVITY if inhibition else 100 - MIN_ACTIVITY
            crossing = float(np.log10(curve.crossing(level)))
            left, right = (max(crossing, low), high) if end > start else (low, min(crossing, high))
            if not right > left:
                return 0.0
        area = (end - MIN_ACTIVITY) * (right - left)
        area += (start - end) * curve.share_integral(left, right)
    score = 100 * area / ((100 - MIN_ACTIVITY) * (high - low))
    if kind == 1:
        return float(score)
    score /= np.log10(greatest)
    return float(score if kind == 2 else 2 * score * (right - left) / (high - low))

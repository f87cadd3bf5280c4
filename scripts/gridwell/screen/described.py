"""What a fitted curve says of itself: the columns and the flags of its row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gridwell.screen.curve import Curve
from gridwell.screen.normalise import Normalise
from gridwell.screen.sensitivity import drug_sensitivity_score

P_LACK = 0.01  # below this p the replicates contradict the curve
COMPLETE = 0.8  # share of its span that a curve must show within the tested doses


def describe(curve: Curve, normalise: Normalise) -> dict[str, Any]:
    """Columns of dose_response.csv that follow from a fitted curve.

    What lies outside the tested doses is not told as a number: `ec50` is empty unless
    `in_range` is ``yes``, and an empty end of its interval lies beyond the tested doses.
    """

    def tested(dose: float) -> float:
        return dose if curve.low_dose <= dose <= curve.high_dose else np.nan

    percent = normalise != "none"
    inhibition = normalise == "percent_inhibition"
    mean = (100 - curve.mean() if inhibition else curve.mean()) / 100
    # Half of the controls' level: 50 % of control, and 50 % inhibition.
    half = curve.absolute(50.0) if percent else (np.nan,) * 3
    scores = [
        drug_sensitivity_score(curve, inhibition=inhibition, kind=kind) if percent else np.nan
        for kind in (1, 2, 3)
    ]
    return {
        "model": curve.model,
        "ec50": tested(curve.ec50),
        "ec50_low": tested(curve.ec50_low),
        "ec50_high": tested(curve.ec50_high),
        "in_range": curve.in_range,
        "hill": curve.hill if curve.model != "flat" else np.nan,
        "top": curve.top,
        "bottom": curve.bottom,
        "auc": mean if percent else np.nan,
        "ic50": half[0],
        "dss": scores[1],
        "ic50_low": half[1],
        "ic50_high": half[2],
        "dss1": scores[0],
        "dss3": scores[2],
        "asymmetry": curve.asymmetry if curve.model == "5pl" else np.nan,
    }


def range_flags(row: Mapping[str, Any]) -> list[str]:
    """Say where an EC50 is no number to rely on.

    ``extrapolated``: it lies outside the tested doses. ``open_interval``: it lies within, and an
    end of its interval does not.

    Parameters
    ----------
    row
        With the columns model, in_range, ec50_low and ec50_high of a fitted curve.
    """
    if row["model"] == "flat":
        return []
    if row["in_range"] != "yes":
        return ["extrapolated"]
    ends = np.isfinite([row["ec50_low"], row["ec50_high"]])
    return [] if ends.all() else ["open_interval"]


def curve_flags(curve: Curve) -> list[str]:
    """What to know of a fitted curve.

    ``incomplete``: within the tested doses the curve shows less than 80 % of its span, so that
    ec50 rests on a level nobody saw. ``slope_at_bound``, ``asymmetry_at_bound``: as steep,
    shallow or lopsided as may be. ``overdispersed``: counts without replicates scatter more than
    a binomial about the curve; the interval is widened.
    ``lack_of_fit``: replicates agree with each other better than with the curve (p < 0.01).
    """
    flags = []
    if curve.model != "flat":
        shown = abs(curve.zero - float(curve.predict(curve.high_dose)))
        unseen = curve.covariance[1, 1] > 0  # a fixed level need not be seen
        if unseen and shown < COMPLETE * abs(curve.zero - curve.end):
            flags.append("incomplete")
        flags += [f"{name}_at_bound" for name in curve.at_bound]
    if curve.dispersion > 1:
        flags.append("overdispersed")
    elif curve.p_lack_of_fit < P_LACK:
        flags.append("lack_of_fit")
    return flags

"""Do spots that were treated alike tell the same, on one slide and between slides?"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gridwell.config.columns import column_names
from gridwell.screen.spatial import condition_key

Floats = NDArray[np.float64]

LEAST_SHARED = 5  # conditions on both slides, fewer make no correlation
P_DISAGREE = 0.01
# Slides differ in earnest by this share of the scale: 10 points of 100 percent.
EARNEST = 0.1


def within_slide(spots: pd.DataFrame, scale: float) -> dict[str, float]:
    """Agreement of replicate spots of a slide: samples of one agent, dose and sample.

    Parameters
    ----------
    spots
        Spots that count, with ``role, agent, concentration, sample`` and ``measured``.
    scale
        What brings `measured` to the normalised number, its sign left out; NaN: as measured.

    Returns
    -------
    dict
        ``n_replicated`` (conditions with two spots or more), ``replicate_sd`` (pooled standard
        deviation, normalised), ``replicate_cv`` (the same over the mean of these spots, in
        percent) and ``replicate_icc`` (intraclass correlation ICC(1) of Shrout and Fleiss 1979:
        the share of the variance that is between conditions).
    """
    known = spots[(spots["role"] == "sample") & spots["measured"].notna()]
    value = known["measured"].astype(float)
    groups = value.groupby(condition_key(known), sort=True)
    n = groups.size()
    several = n[n > 1]
    if several.empty:
        names = ("replicate_sd", "replicate_cv", "replicate_icc")
        return {"n_replicated": 0.0} | dict.fromkeys(names, np.nan)
    part = groups.agg(["mean", "var"]).loc[several.index]
    df = several - 1
    within = float((part["var"] * df).sum() / df.sum())
    mean = float((part["mean"] * several).sum() / several.sum())
    icc = np.nan
    if len(several) > 1:
        between = float((several * (part["mean"] - mean) ** 2).sum() / (len(several) - 1))
        size = float(several.sum() - (several**2).sum() / several.sum()) / (len(several) - 1)
        total = between + (size - 1) * within
        icc = (between - within) / total if total > 0 else np.nan
    sd = float(np.sqrt(within))
    return {
        "n_replicated": float(len(several)),
        "replicate_sd": sd * (scale if np.isfinite(scale) else 1.0),
        "replicate_cv": 100 * sd / abs(mean) if mean else np.nan,
        "replicate_icc": icc,
    }


def replicate_table(spots: pd.DataFrame) -> pd.DataFrame:
    """Compare every two slides that should tell the same: one group, assay, number and time.

    Slides are compared by the means of their conditions (agent, dose and sample). They disagree
    where these differ by more than the scatter of replicate spots allows (F-test, p < 0.01)
    and by more than a tenth of the scale: 10 points of percent, or of the range where the
    number is as measured.

    Parameters
    ----------
    spots
        Of all slides, as in screen/spots.csv, with ``counts``, ``normalise`` and ``doses``.

    Returns
    -------
    DataFrame
        As screen/replicates.csv.
    """
    columns = column_names("screen/replicates.csv")
    by = ["group", "assay", "metric", "normalise", "time_h"]
    if spots.empty:
        return pd.DataFrame(columns=columns)
    known = spots[spots["counts"] & (spots["role"] == "sample") & spots["normalised"].notna()]
    known = known[known["time_h"] != 0]
    rows = []
    for key, part in known.groupby(by, sort=True, dropna=False):
        facts = dict(zip(by, key, strict=True))
        rows += [facts | pair for pair in _pairs(part, facts["normalise"] != "none")]
    return pd.DataFrame(rows, columns=columns)


def _pairs(spots: pd.DataFrame, percent: bool) -> list[dict[str, Any]]:
    """Rows of all pairs of slides among `spots` that share conditions."""
    if spots["slide"].nunique() < 2:
        return []
    table = spots.assign(key=condition_key(spots), value=spots["normalised"].astype(float))
    mean, var, size = (
        table.pivot_table("value", "key", "slide", aggfunc=name, dropna=False, sort=True)
        for name in ("mean", "var", "size")
    )
    scale = 100.0 if percent else float(np.nanmax(mean) - np.nanmin(mean))
    slides = [str(name) for name in mean.columns]
    tables = [part.reindex_like(mean).to_numpy(float) for part in (mean, var, size)]
    rows = []
    for a, b in combinations(range(len(slides)), 2):
        both = np.isfinite(tables[0][:, [a, b]]).all(1)
        if both.any():
            names = {"slide_a": slides[a], "slide_b": slides[b]}
            mean_of, var_of, size_of = (part[both][:, [a, b]] for part in tables)
            rows.append(names | _pair(mean_of, var_of, size_of, scale))
    return rows


def _pair(mean: Floats, var: Floats, size: Floats, scale: float) -> dict[str, Any]:
    """Agreement of two slides over the conditions they share, shape (conditions, 2) each."""
    from scipy import stats

    n = len(mean)
    x, y = mean.T
    result: dict[str, Any] = dict.fromkeys(
        ("pearson", "spearman", "concordance", "excess", "p"), np.nan
    )
    result |= {"n": n, "flags": "", "difference": float((y - x).mean())}
    if n < LEAST_SHARED:
        return result | {"flags": "few_doses"}
    if np.ptp(x) > 0 and np.ptp(y) > 0:
        # not pearsonr and spearmanr, whose p-values cost ten times as much
        result["pearson"] = float(np.corrcoef(x, y)[0, 1])
        result["spearman"] = float(np.corrcoef(stats.rankdata(x), stats.rankdata(y))[0, 1])
        result["concordance"] = concordance(x, y)
    several = size > 1
    df = float((size[several] - 1).sum())
    within = float((var[several] * (size[several] - 1)).sum()) / df if df else 0.0
    if df >= LEAST_SHARED and within > 0:
        share = (1 / size).sum(1)  # of a spot's variance in a difference of two means
        ratio = float(((y - x) ** 2 / share).mean()) / within
        result["p"] = float(stats.f.sf(ratio, n, df))
        beyond = float(((y - x) ** 2).mean() - within * share.mean())
        result["excess"] = float(np.sqrt(max(beyond, 0.0)))
        if result["p"] < P_DISAGREE and result["excess"] > EARNEST * scale:
            result["flags"] = "slides_disagree"
    return result


def concordance(x: Iterable[float], y: Iterable[float]) -> float:
    """Lin's concordance correlation coefficient: 1 where `y` is `x`, shift and gain count.

    Parameters
    ----------
    x, y
        Shape (n,) each.

    References
    ----------
    .. [1] Lin, A concordance correlation coefficient to evaluate reproducibility. Biometrics
       45:255, 1989.
    """
    a: Floats = np.asarray(x, dtype=float)
    b: Floats = np.asarray(y, dtype=float)
    total = a.var() + b.var() + (a.mean() - b.mean()) ** 2
    return float(2 * ((a - a.mean()) * (b - b.mean())).mean() / total) if total > 0 else np.nan

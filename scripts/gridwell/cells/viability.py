"""Viability of spots and its interval, from the cells' states."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def viability_intervals(counts: Array, states: list[Array]) -> dict[str, Array]:
    """Both viabilities of spots with their 95 % intervals.

    Parameters
    ----------
    counts
        Cells in each state, columns live, dying, dead, inactive, (n, 4); NaN where unknown.
    states
        Probabilities of the same states of the cells of each spot, (k, 4).

    Returns
    -------
    columns
        ``viability`` (live / all), ``viability_stained`` (live / (live + dying + dead)) and
        ``_low`` and ``_high`` of each, (n,) with NaN where there are no cells.
    """
    live, stained, nuclei = counts[:, 0], counts[:, :3].sum(axis=1), counts.sum(axis=1)
    columns = {}
    for name, of, total in (("viability", 4, nuclei), ("viability_stained", 3, stained)):
        doubt = np.array([_doubt(each[:, :of]) for each in states])
        with np.errstate(invalid="ignore", divide="ignore"):
            columns[name] = np.where(total > 0, live / total, np.nan)
        low, high = wilson(live, total, doubt)
        columns[f"{name}_low"] = np.where(total > 0, low, np.nan)
        columns[f"{name}_high"] = np.where(total > 0, high, np.nan)
    return columns


def _doubt(states: Array) -> float:
    """Mean variance of being live, of the cells that are in one of the states of the columns."""
    weight = states.sum(axis=1)
    if len(states) == 0 or not weight.sum() > 0:
        return 0.0
    live = states[:, 0] / np.maximum(weight, 1e-12)
    return float((weight * live * (1 - live)).sum() / weight.sum())


def wilson(successes: Array, trials: Array, doubt: Array) -> tuple[Array, Array]:
    """95 % interval of a proportion whose single outcomes are themselves in doubt.

    Wilson's score interval, with the number of trials lowered so that the variance is that of
    the sample plus that of the outcomes (Poisson binomial).

    Parameters
    ----------
    successes, trials
        Counts, (n,).
    doubt
        Mean of ``p (1 - p)`` of the outcomes' probabilities, (n,).

    References
    ----------
    E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209.
    """
    z = 1.959963984540054
    with np.errstate(invalid="ignore", divide="ignore"):
        smooth = (successes + 0.5) / (trials + 1)
        sample = smooth * (1 - smooth)
        n = trials * sample / (sample + np.nan_to_num(doubt))
        share = successes / trials
        centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)

"""Several agents in a spot: what they do, against what each of them does alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd

from gridwell.config.columns import column_names
from gridwell.screen.normalise import dose_text

LEAST_SPOTS = 2  # for an interval
TABLE = "screen/combinations.csv"


def combination_table(spots: pd.DataFrame, interval: float) -> pd.DataFrame:
    """Mean of each combination and dose, and what two rules of no interaction expect.

    Bliss independence: what each agent leaves (as a share of the negative controls) multiplies.
    Highest single agent (HSA): the combination does what the agent that does more alone does.
    Both need every agent alone at the same dose, in the same group. `excess_bliss` is positive
    where the combination does more than expected.

    Parameters
    ----------
    spots
        Of all slides, with the columns of screen/spots.csv, ``counts``, ``combination``,
        ``normalise``, ``doses`` and ``parts`` as `one_row_per_spot` gives them.
    interval
        Level of the intervals.

    Returns
    -------
    DataFrame
        As screen/combinations.csv, sorted.

    References
    ----------
    .. [1] Bliss, The toxicity of poisons applied jointly. Annals of Applied Biology 26:585, 1939.
    """
    if spots.empty:
        return pd.DataFrame(columns=column_names(TABLE))
    known = spots[spots["counts"] & (spots["role"] == "sample") & spots["normalised"].notna()]
    known = known[known["time_h"] != 0]
    by = ["group", "assay", "metric", "normalise", "time_h"]
    rows: list[dict[str, Any]] = []
    for key, part in known.groupby(by, sort=True, dropna=False):
        mixed = part[part["combination"]]
        if mixed.empty:
            continue
        single = _single(part[~part["combination"]])
        facts: dict[str, Any] = dict(zip(by, key, strict=True))
        for _, own in mixed.groupby("parts", sort=False):
            agents, doses, parts = (own[name].iloc[0] for name in ("agent", "doses", "parts"))
            alone = [single.get(pair) for pair in parts]
            value = own["normalised"].to_numpy(float)
            rows.append(
                facts
                | {"agents": agents, "doses": doses, "n_spots": len(own)}
                | {"n_slides": own["slide"].nunique()}
                | _compared(value, alone, facts["normalise"], interval)
            )
    rows.sort(key=_order)
    return pd.DataFrame(rows, columns=column_names(TABLE))


def _order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    doses = tuple(float(dose.split()[0]) for dose in str(row["doses"]).split(" + "))
    time = -1.0 if pd.isna(row["time_h"]) else float(row["time_h"])
    return (row["group"], row["assay"], row["metric"], time, row["agents"], doses)


def _single(spots: pd.DataFrame) -> dict[tuple[str, str], np.ndarray]:
    """Normalised values of single agents by (agent, dose as text)."""
    dosed = spots[spots["agent"].notna() & (spots["concentration"] > 0)]
    texts = list(map(dose_text, dosed["concentration"], dosed["unit"]))
    groups = dosed.assign(text=texts).groupby(["agent", "text"], sort=True)["normalised"]
    return {(str(a), str(t)): values.to_numpy(float) for (a, t), values in groups}


def _compared(
    value: np.ndarray,
    alone: list[np.ndarray | None],
    normalise: Literal["percent_of_control", "percent_inhibition", "none"],
    interval: float,
) -> dict[str, Any]:
    """Mean of a combination with its interval, and the two expectations."""
    from scipy import stats

    mean, error, df = _mean(value)
    half = stats.t.ppf(0.5 + interval / 2, df) * error if df else np.nan
    result = {"mean": mean, "mean_low": mean - half, "mean_high": mean + half}
    result |= dict.fromkeys(("bliss", "hsa", "excess_bliss", "excess_low", "excess_high"), np.nan)
    if normalise == "none":
        return result | {"flags": "no_percent"}
    if any(part is None for part in alone):
        return result | {"flags": "no_single"}
    parts = [_mean(part) for part in alone if part is not None]
    inhibition = normalise == "percent_inhibition"
    left = np.array([(100 - m if inhibition else m) / 100 for m, _, _ in parts])
    bliss = float(np.prod(left)) * 100
    # the agent that is further from the untreated controls, whichever way the number moves
    hsa = float(left[np.argmax(np.abs(left - 1))]) * 100
    observed = 100 - mean if inhibition else mean
    # what each mean adds to the variance of the excess, and its degrees of freedom
    spread = [(error, df)]
    spread += [(e * np.prod(np.delete(left, i)), d) for i, (_, e, d) in enumerate(parts)]
    squares = np.array([size**2 for size, _ in spread])
    with np.errstate(invalid="ignore"):  # spots that do not scatter at all
        free = squares.sum() ** 2 / np.sum(squares**2 / [max(d, 1) for _, d in spread])
    room = float(np.sqrt(squares.sum()))
    room *= float(stats.t.ppf(0.5 + interval / 2, free)) if room > 0 else 1.0
    excess = bliss - observed
    return result | {
        "bliss": 100 - bliss if inhibition else bliss,
        "hsa": 100 - hsa if inhibition else hsa,
        "excess_bliss": excess,
        "excess_low": excess - room,
        "excess_high": excess + room,
        "flags": "" if np.isfinite(room) else "few_spots",
    }


def _mean(value: np.ndarray) -> tuple[float, float, int]:
    """Mean, its standard error (NaN from one spot) and degrees of freedom."""
    n = len(value)
    error = float(np.std(value, ddof=1) / np.sqrt(n)) if n >= LEAST_SPOTS else np.nan
    return float(value.mean()), error, n - 1

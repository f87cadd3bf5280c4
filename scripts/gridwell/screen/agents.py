"""One row for each agent over all groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from gridwell.config.columns import column_names
from gridwell.screen.pooling import pool_ec50

TABLE = "screen/agents.csv"
UNEVEN = 75.0  # I2 in percent from which groups are considerably heterogeneous (Higgins 2003)
WIDEST = 1e4  # ratio of the ends of an interval that still tells something


def agent_table(fits: pd.DataFrame, interval: float) -> pd.DataFrame:
    """What is known of each agent over all groups.

    Parameters
    ----------
    fits
        As dose_response.csv.
    interval
        Level of the interval of the pooled EC50.

    Returns
    -------
    DataFrame
        As agents.csv, sorted by agent.
    """
    by = ["agent", "assay", "metric", "normalise", "time_h"]
    rows = [
        dict(zip(by, key, strict=True)) | _row(part, interval)
        for key, part in fits.groupby(by, sort=True, dropna=False)
    ]
    return pd.DataFrame(rows, columns=column_names(TABLE))


def _row(fits: pd.DataFrame, interval: float) -> dict[str, Any]:
    fitted = fits[fits["model"] != ""]
    inside = fits[fits["in_range"] == "yes"]
    outside = fitted["in_range"].isin(["<min", ">max"])
    ec50, low, high = (inside[name].astype(float) for name in ("ec50", "ec50_low", "ec50_high"))
    pooled = pool_ec50(ec50, low, high, interval)
    # Two groups that differ have an interval of endless width, which tells nothing.
    told = bool(pooled.high < WIDEST * pooled.low)
    flags = ["censored"] if len(inside) and outside.any() else []
    flags += ["heterogeneous"] if pooled.i2 > UNEVEN else []
    row: dict[str, Any] = {
        "unit": next((unit for unit in fits["unit"] if unit), ""),
        "n_groups": fits["group"].nunique(),
        "n_fitted": len(fitted),
        "n_in_range": len(inside),
        "n_below": int((fitted["in_range"] == "<min").sum()),
        "n_above": int((fitted["in_range"] == ">max").sum()),
        "n_flat": int((fitted["in_range"] == "flat").sum()),
        "ec50": pooled.ec50,
        "ec50_low": pooled.low if told else np.nan,
        "ec50_high": pooled.high if told else np.nan,
        "i2": pooled.i2,
        "flags": ";".join(sorted(flags)),
    }
    return row | _spread(fits, "auc") | _spread(fits, "dss") | _most_selective(fits)


def _spread(fits: pd.DataFrame, name: str) -> dict[str, float]:
    """Median, least and greatest over the groups."""
    known = fits[name].dropna().astype(float)
    if known.empty:
        return dict.fromkeys((f"{name}_median", f"{name}_min", f"{name}_max"), np.nan)
    return {
        f"{name}_median": float(known.median()),
        f"{name}_min": float(known.min()),
        f"{name}_max": float(known.max()),
    }


def _most_selective(fits: pd.DataFrame) -> dict[str, Any]:
    """The group that the agent hits most beyond the others."""
    known = fits["sdss"].astype(float)
    if known.notna().sum() == 0:
        return {"sdss_max": np.nan, "sdss_group": ""}
    at = int(known.fillna(-np.inf).to_numpy().argmax())
    return {"sdss_max": float(known.iloc[at]), "sdss_group": fits["group"].iloc[at]}

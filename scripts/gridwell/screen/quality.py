"""How far a slide can be trusted: control separation, edges, counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gridwell.config.columns import SPOT_FLAGS
from gridwell.screen.replicates import within_slide
from gridwell.screen.spatial import MAD, position_statistics


def read_grid_facts(path: Path) -> dict[str, Any]:
    """``rows, cols, confidence, found`` of a grid.json; found as a number of spots."""
    grid = json.loads(path.read_text(encoding="utf-8"))
    found = grid.get("found")
    if isinstance(found, list):
        found = sum(map(bool, found))
    return {key: grid.get(key) for key in ("rows", "cols", "confidence")} | {"found": found}


def control_statistics(negative: np.ndarray, positive: np.ndarray) -> dict[str, float]:
    """Separation of the controls.

    Z' (Zhang, Chung and Oldenburg 1999), SSMD of negative minus positive controls, whose sign
    is kept (Zhang 2007), their robust forms with medians and MAD * 1.4826, and the signal
    window (Sittampalam et al. 1997): the room between both controls' three standard deviations,
    in standard deviations of the negative ones. Each needs two spots of both kinds, and is NaN
    without.

    Parameters
    ----------
    negative, positive
        Measured values of the controls, shape (n,), without missing values.
    """
    result = {"n_neg_ctrl": float(len(negative)), "n_pos_ctrl": float(len(positive))}
    moments = {}
    for name, values in (("neg", negative), ("pos", positive)):
        some, several = len(values) > 0, len(values) > 1
        median = float(np.median(values)) if some else np.nan
        moments[name] = {
            "mean": float(np.mean(values)) if some else np.nan,
            "sd": float(np.std(values, ddof=1)) if several else np.nan,
            "median": median,
            "mad": MAD * float(np.median(np.abs(values - median))) if several else np.nan,
        }
    neg, pos = moments["neg"], moments["pos"]
    result |= {
        "neg_ctrl_median": neg["median"],
        "neg_ctrl_sd": neg["sd"],
        "neg_ctrl_cv": 100 * _ratio(neg["sd"], abs(neg["mean"])),
        "pos_ctrl_median": pos["median"],
        "pos_ctrl_sd": pos["sd"],
        "z_prime": _z(neg["mean"], neg["sd"], pos["mean"], pos["sd"]),
        "robust_z_prime": _z(neg["median"], neg["mad"], pos["median"], pos["mad"]),
        "ssmd": _ratio(neg["mean"] - pos["mean"], float(np.hypot(neg["sd"], pos["sd"]))),
        "robust_ssmd": _ratio(
            neg["median"] - pos["median"], float(np.hypot(neg["mad"], pos["mad"]))
        ),
        "signal_window": _ratio(
            abs(neg["mean"] - pos["mean"]) - 3 * (neg["sd"] + pos["sd"]), neg["sd"]
        ),
    }
    return result


def _z(mean_a: float, sd_a: float, mean_b: float, sd_b: float) -> float:
    return 1 - _ratio(3 * (sd_a + sd_b), abs(mean_a - mean_b))


def _ratio(above: float, below: float) -> float:
    return above / below if below else np.nan


def edge_effect(value: pd.Series, row: pd.Series, col: pd.Series, rows: int, cols: int) -> float:
    """Median of the outermost spots minus that of the inner ones, in percent of the inner's.

    NaN unless both have two spots or more.

    Parameters
    ----------
    value, row, col
        Of the spots to compare; `row` and `col` from 0.
    rows, cols
        Of the whole grid.
    """
    edge = row.isin((0, rows - 1)) | col.isin((0, cols - 1))
    value = value.astype(float)
    outer, inner = value[edge].dropna(), value[~edge].dropna()
    if len(outer) < 2 or len(inner) < 2:
        return np.nan
    return 100 * _ratio(float(outer.median() - inner.median()), abs(float(inner.median())))


def slide_quality(spots: pd.DataFrame, grid: dict[str, Any], *, off_grid: int) -> dict[str, float]:
    """All statistics of a slide, in the order in which they are written.

    Parameters
    ----------
    spots
        The slide's rows of screen/spots.csv, with ``row0`` and ``col0`` from 0, ``used`` (may
        enter curves), ``counts`` (enters statistics), ``gain``, ``doses`` and ``in_layout``.
    grid
        As `read_grid_facts` gives it.
    off_grid
        Spots of the layout that the grid does not have.
    """
    enters = spots["used"] & spots["measured"].notna()
    used = spots[spots["counts"]]
    negative = used.loc[used["role"] == "neg_ctrl"]
    positive = used.loc[used["role"] == "pos_ctrl", "measured"]
    rows, cols = int(grid["rows"] or 0), int(grid["cols"] or 0)
    words = spots["flags"].str.split(";")
    result = {
        "n_spots": float(len(spots)),
        "n_found": np.nan if grid["found"] is None else float(grid["found"]),
        "n_measured": float(spots["measured"].notna().sum()),
        "n_used": float(enters.sum()),
        "n_left_out": float(enters.sum() - len(used)),
        "n_flagged": float(spots["flags"].ne("").sum()),
    }
    result |= {f"n_{flag}": float(words.map(lambda w, f=flag: f in w).sum()) for flag in SPOT_FLAGS}
    result |= {
        "n_combination": float(words.map(lambda w: "combination" in w).sum()),
        "layout_not_on_grid": float(off_grid),
        "grid_not_in_layout": float((~spots["in_layout"]).sum()),
        "grid_confidence": np.nan if grid["confidence"] is None else float(grid["confidence"]),
        "cells_per_spot": float(used["n"].median()) if used["n"].notna().any() else np.nan,
    }
    result |= control_statistics(negative["measured"].to_numpy(float), positive.to_numpy(float))
    result["edge_effect"] = edge_effect(
        negative["measured"], negative["row0"], negative["col0"], rows, cols
    )
    result["edge_effect_all"] = edge_effect(
        used["measured"], used["row0"], used["col0"], rows, cols
    )
    result |= position_statistics(used, rows, cols)
    return result | within_slide(used, abs(float(spots["gain"].median())))

"""Curves of any long table: fits.csv of ``gridwell dose``, and the same in words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from gridwell.config.columns import column_names
from gridwell.config.errors import InputError, Problem
from gridwell.screen.choice import CANDIDATES, MIN_LEVELS, MIN_POINTS, Choose
from gridwell.screen.counts import MIN_REPEATS, fit_counts
from gridwell.screen.curve import Curve
from gridwell.screen.described import curve_flags, range_flags
from gridwell.screen.dose_table import DoseTable, plain_title
from gridwell.screen.models import MODELS, Model
from gridwell.screen.squares import fit_curve

FITS = "fits.csv (gridwell dose)"
P_EFFECT = 0.05
FEW_DF = 3  # fewer degrees of freedom, and an interval says little
# Simple curves are tried first where a table is too small for more, or has one count a dose.
SMALL: tuple[Model, ...] = ("flat", "3pl", "4pl")
SMALL_COUNTS: tuple[Model, ...] = ("flat", "2pl", "3pl", "4pl")
_SEPARATED = "\x1f"
_WHOLE = re.compile(r"^(0|-?[1-9]\d{0,15})$")
_DRC = {"ll.2": "2pl", "ll.3": "3pl", "ll.4": "4pl", "ll.5": "5pl"}


def model_named(name: str) -> Model | None:
    """The model of a name, drc's (LL.4) among them; None for auto.

    Raises
    ------
    InputError
        For any other name.
    """
    plain = name.strip().lower()
    plain = _DRC.get(plain, plain)
    if plain == "auto":
        return None
    for model in MODELS:
        if plain == model:
            return model
    known = ", ".join(("auto", *MODELS))
    raise InputError(
        Problem("command line", "is no model", f"Known: {known}.", column="--model", value=name)
    )


def fit_table(
    table: DoseTable,
    *,
    model: Model | None = None,
    choose: Choose = "f_test",
    lower: float | None = None,
    upper: float | None = None,
    interval: float = 0.95,
) -> pd.DataFrame:
    """Fit a curve to each group of a table.

    Parameters
    ----------
    table
        As `read_dose_table` gives it.
    model
        The only candidate; None lets the data choose.
    choose, lower, upper, interval
        As `gridwell.screen.squares.fit_curve`.

    Returns
    -------
    pandas.DataFrame
        The columns that tell groups apart, then those of ``fits.csv`` (docs/columns.md).

    Raises
    ------
    InputError
        If a model with fixed levels is asked for and they are not given.
    """
    counts = "total" in table.rows
    if model == "2pl" and not counts and (lower is None or upper is None):
        raise InputError(
            Problem(
                "command line",
                "2pl has both levels fixed, and they are not given",
                "Give --lower and --upper, or --total where the response is a count.",
                column="--model",
                value=model,
            )
        )
    columns = column_names(FITS)
    clash = [title for title in table.by if title in columns]
    if clash:
        raise InputError(
            Problem(
                "command line", "is a column of fits.csv", "Rename it.", column="--by", value=own
            )
            for own in clash
        )
    how = {"choose": choose, "lower": lower, "upper": upper, "interval": interval, "small": True}
    rows = []
    names = table.rows["by"].map(_SEPARATED.join)
    places = table.rows.groupby(names, sort=False).indices
    for key in sorted(table.groups, key=_order):
        own = table.rows.iloc[places.get(_SEPARATED.join(key), [])]
        candidates = [model] if model else _auto(own["dose"].to_numpy(float), counts)
        row = _fitted(own, models=candidates, **how)
        rows.append(dict(zip(table.by, key, strict=True)) | row)
    fits = pd.DataFrame(rows, columns=[*table.by, *columns])
    for title in table.by:
        fits[title] = _numbers(fits[title])
    return fits.rename(columns={title: plain_title(title) for title in table.by})


def _numbers(texts: pd.Series) -> pd.Series:
    """Texts as numbers where each is a whole number: -1 is no formula then."""
    whole = texts.map(lambda text: bool(_WHOLE.match(text)))
    return texts.astype("int64") if len(texts) and whole.all() else texts


def _order(key: Sequence[str]) -> list[tuple[int, float, str]]:
    """Groups in order: numbers by size, then texts."""
    parts = []
    for text in key:
        try:
            parts.append((0, float(text), text))
        except ValueError:
            parts.append((1, 0.0, text))
    return parts


def _fitted(rows: pd.DataFrame, **how: Any) -> dict[str, Any]:
    """Row of fits.csv of one group, fitted as `how` says."""
    counts = "total" in rows
    used = rows[rows["total"] > 0] if counts else rows
    dose = used["dose"].to_numpy(float)
    response = used["response"].to_numpy(float)
    doses = len({f"{d:.9e}" for d in dose if d > 0})
    facts: dict[str, Any] = {"model": "", "n": len(used), "n_doses": doses}
    flags = ["no_cells"] if len(used) < len(rows) else []
    levels = doses + bool((dose == 0).any())
    flags += ["few_doses"] if levels < MIN_LEVELS else []
    if levels < 3 or doses < 2:
        return facts | {"flags": _joined(*flags, "few_doses")}
    try:
        if counts:
            curve = fit_counts(dose, response, used["total"].to_numpy(float), **how)
        else:
            curve = fit_curve(dose, response, **how)
    except ValueError:
        return facts | {"flags": _joined(*flags, "few_doses")}
    fraction = response / used["total"].to_numpy(float) if counts else response
    return facts | _told(curve, flags, counts=counts, dose=dose, response=fraction)


def _auto(dose: np.ndarray[Any, Any], counts: bool) -> Sequence[Model]:
    """Candidates for a table."""
    distinct = len({f"{d:.9e}" for d in dose})
    single = len(dose) - distinct < MIN_REPEATS
    if len(dose) >= MIN_POINTS and distinct > MIN_LEVELS and not (counts and single):
        return CANDIDATES
    return SMALL_COUNTS if counts else SMALL


def _told(
    curve: Curve,
    flags: Sequence[str],
    *,
    counts: bool,
    dose: np.ndarray[Any, Any],
    response: np.ndarray[Any, Any],
) -> dict[str, Any]:
    """What a curve says of itself."""

    def tested(x: float) -> float:
        return x if curve.low_dose <= x <= curve.high_dose else np.nan

    level = _half_of_control(curve, counts)
    half = curve.absolute(level) if np.isfinite(level) else (np.nan,) * 3
    flat = curve.model == "flat"
    words = [*flags, *curve_flags(curve)]
    if not flat and curve.p_slope >= P_EFFECT:
        words.append("no_effect")
    if curve.df < FEW_DF:
        words.append("few_points")
    control = dose == 0
    if counts and not flat and control.any() and curve.zero in (0.0, 1.0):
        seen = abs(float(response[control].mean()) - curve.zero)
        words += ["control_response"] if seen > 0 else []
    row = {
        "model": curve.model,
        "ec50": tested(curve.ec50),
        "ec50_low": tested(curve.ec50_low),
        "ec50_high": tested(curve.ec50_high),
        "in_range": curve.in_range,
        "hill": np.nan if flat else curve.hill,
        "top": curve.top,
        "bottom": curve.bottom,
        "auc": curve.mean(),
        "ic50": half[0],
        "ic50_low": half[1],
        "ic50_high": half[2],
        **curve.drc(),
        "rss": float(np.sum((response - curve.predict(dose)) ** 2)),
        "log_likelihood": curve.log_likelihood,
        "df": curve.df,
        "rho": curve.rho,
        "p_slope": curve.p_slope,
        "p_lack_of_fit": curve.p_lack_of_fit,
    }
    return row | {"flags": _joined(*words, *range_flags(row))}


def _half_of_control(curve: Curve, counts: bool) -> float:
    """Response at the IC50: half of that at dose 0; of rising counts, half of the rest."""
    if curve.model == "flat":
        return np.nan
    if curve.zero > curve.end:
        return curve.zero / 2 if curve.zero > 0 else np.nan
    return (1 + curve.zero) / 2 if counts else np.nan


def _joined(*flags: str) -> str:
    return ";".join(sorted(set(flags)))


def fits_in_words(fits: pd.DataFrame, interval: float) -> list[str]:
    """A short table to read on a terminal."""
    by = list(fits.columns[: fits.columns.get_loc("model")])
    head = [*by, "model", "ec50", f"{interval:.0%} interval", "where", "top", "bottom", "flags"]
    lines = [head]
    for row in fits.to_dict("records"):
        where = str(row["in_range"]) if row["model"] else ""
        interval_text = ""
        if row["model"] not in ("", "flat"):
            ends = (_short(row[end], "open") for end in ("ec50_low", "ec50_high"))
            interval_text = " to ".join(ends)
        lines.append(
            [
                *(str(row[name]) for name in by),
                str(row["model"]) or "none",
                _short(row["ec50"]),
                interval_text,
                where,
                _short(row["top"]),
                _short(row["bottom"]),
                str(row["flags"]),
            ]
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]


def _short(value: float, missing: str = "-") -> str:
    return missing if pd.isna(value) else f"{value:.4g}"

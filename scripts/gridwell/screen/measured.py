"""The screened number of every spot of a slide."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from gridwell.config.metric import Metric
from gridwell.config.models import Assay

# Fractions of counted cells, and what they are fractions of: fitted as counts.
FRACTIONS = {
    "viability": ("n_nuclei",),
    "viability_stained": ("n_live", "n_dying", "n_dead"),
}
_COMPARED = {">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le}


@dataclass(frozen=True)
class Measured:
    """One number per spot.

    Attributes
    ----------
    name
        The metric as the user would write it.
    value
        Indexed as the spots' table, NaN where there is none.
    n
        Cells or objects that it rests on; NaN where it rests on pixels.
    kind
        ``fraction`` (of n cells), ``count``, or ``other``.
    """

    name: str
    value: pd.Series
    n: pd.Series
    kind: str


def read_spots(path: Path) -> pd.DataFrame:
    """Read a spots.csv; texts stay texts (a row of spots may be called NA)."""
    texts = dict.fromkeys(("slide", "spot", "row", "flags"), "str")
    table = pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=[""])  # type: ignore[arg-type]
    table["flags"] = table["flags"].fillna("")
    return table


def measure_metric(
    metric: Metric,
    spots: pd.DataFrame,
    assay: Assay,
    instances: Mapping[str, Path],
    roles: Mapping[str, str],
) -> Measured | None:
    """Compute `metric` for every row of `spots`; None where the slide cannot have it.

    Parameters
    ----------
    metric
        Column or aggregate; column ``auto`` is the assay's own.
    spots
        The slide's spots.csv.
    assay
        The slide's assay.
    instances
        Parquet of each segmented channel.
    roles
        Role of each channel, by name.
    """
    if metric.kind == "aggregate":
        return _aggregate(metric, spots, instances, roles)
    column = auto_column(assay, spots) if metric.column == "auto" else str(metric.column)
    if column not in spots or not pd.api.types.is_numeric_dtype(spots[column]):
        return None
    value = spots[column].astype(float)
    if column in FRACTIONS and set(FRACTIONS[column]) <= set(spots):
        return Measured(column, value, spots[list(FRACTIONS[column])].sum(axis=1), "fraction")
    if column.startswith("n_"):
        return Measured(column, value, value, "count")
    counts = [name for name in spots.columns.astype(str) if name.startswith("n_")]
    n = spots[counts[0]].astype(float) if counts else pd.Series(np.nan, index=spots.index)
    return Measured(column, value, n, "other")


def auto_column(assay: Assay, spots: pd.DataFrame) -> str:
    """Column that is screened when the study names none."""
    if assay is Assay.VIABILITY:
        return "viability"
    if assay is Assay.COLORIMETRY:
        return "value"
    return next((name for name in spots.columns.astype(str) if name.startswith("n_")), "n_")


def counted_cells(spots: pd.DataFrame, assay: Assay) -> pd.Series:
    """Cells of each spot whose growth is of interest: live ones, or the objects of a channel."""
    column = "n_live" if assay is Assay.VIABILITY else auto_column(assay, spots)
    if assay is Assay.COLORIMETRY or column not in spots:
        return pd.Series(np.nan, index=spots.index)
    return spots[column].astype(float)


def _aggregate(
    metric: Metric, spots: pd.DataFrame, instances: Mapping[str, Path], roles: Mapping[str, str]
) -> Measured | None:
    channel = metric.channel
    if channel not in instances:
        of_role = [name for name in instances if roles.get(name) == channel]
        if not of_role:
            return None
        channel = of_role[0]
    path = instances[str(channel)]
    import pyarrow.parquet as pq

    wanted = [name for name in (metric.numerator, metric.denominator) if name]
    if not path.exists() or not set(wanted) <= set(pq.read_schema(path).names):
        return None
    table = pd.read_parquet(path, columns=list(dict.fromkeys(["spot", *wanted])))
    value = table[metric.numerator].astype(float)
    if metric.denominator:
        below = table[metric.denominator].astype(float)
        value = value / below.where(below != 0)
    value = value.where(np.isfinite(value))
    groups = value.groupby(table["spot"])
    names = spots["spot"]
    n = groups.count().reindex(names).fillna(0).astype(float).set_axis(spots.index)
    if metric.aggregate == "share":
        assert metric.comparison and metric.threshold is not None  # the grammar's
        above = _COMPARED[metric.comparison](value, metric.threshold).astype(float)
        share = above.where(value.notna()).groupby(table["spot"]).mean()
        return Measured(str(metric), share.reindex(names).set_axis(spots.index), n, "fraction")
    if metric.aggregate == "count":
        return Measured(str(metric), n, n, "count")
    result = groups.agg(metric.aggregate).reindex(names).set_axis(spots.index).astype(float)
    if metric.aggregate == "sum":
        return Measured(str(metric), result.fillna(0.0), n, "count")
    return Measured(str(metric), result, n, "other")

"""The screened number: a column of spots.csv, or an aggregate over the objects of a spot.

Grammar: ``column``, ``aggregate(channel.feature)`` or
``aggregate(channel.feature / channel.feature)`` with the same channel on both sides;
``share(channel.feature > number)`` is the share of the objects of which this is true.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from gridwell.config.explain import suggest

AGGREGATES = ("mean", "median", "sum", "std", "count", "share")
COMPARISONS = (">=", "<=", ">", "<")
_COLUMN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_CALL = re.compile(r"([A-Za-z]+)\s*\(([^()]*)\)")
_TERM = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]*)\s*\.\s*([A-Za-z][A-Za-z0-9_-]*)")


@dataclass(frozen=True)
class Metric:
    """What ``screen.metric`` asks for.

    Attributes
    ----------
    kind
        ``column``: `column` of spots.csv. ``aggregate``: `aggregate` of `numerator`, or of
        `numerator` divided by `denominator` object by object, over the objects of `channel`.
    column
        Column of spots.csv; ``auto`` leaves the choice to the assay.
    aggregate
        ``mean``, ``median``, ``sum``, ``std``, ``count`` or ``share``.
    channel
        Name of a channel, or a role; a name wins where both exist.
    numerator, denominator
        Columns of ``instances/<channel>.parquet``.
    comparison, threshold
        Of a share: the objects whose number compares so with the threshold.
    """

    kind: Literal["column", "aggregate"]
    column: str | None = None
    aggregate: str | None = None
    channel: str | None = None
    numerator: str | None = None
    denominator: str | None = None
    comparison: str | None = None
    threshold: float | None = None

    def __str__(self) -> str:
        if self.kind == "column":
            return str(self.column)
        term = f"{self.channel}.{self.numerator}"
        if self.denominator:
            term += f" / {self.channel}.{self.denominator}"
        if self.comparison:
            term += f" {self.comparison} {str(self.threshold).removesuffix('.0')}"
        return f"{self.aggregate}({term})"


def parse_metric(text: str) -> Metric:
    """Read a metric such as ``viability`` or ``mean(nuclei.mean_gfp / nuclei.ring_gfp)``.

    Raises
    ------
    ValueError
        If `text` does not follow the grammar; the message says what to write.
    """
    text = text.strip()
    if _COLUMN.fullmatch(text):
        return Metric("column", column=text)
    call = _CALL.fullmatch(text)
    if not call:
        raise ValueError(
            "Write a column of spots.csv, as viability, or an aggregate of a feature, as "
            "mean(nuclei.area)."
        )
    aggregate, inside = call[1], call[2]
    if aggregate not in AGGREGATES:
        raise ValueError(suggest(aggregate, AGGREGATES, "aggregates"))
    inside, comparison, threshold = _threshold(aggregate, inside)
    terms = [_TERM.fullmatch(term.strip()) for term in inside.split("/")]
    if len(terms) > 2 or None in terms:
        raise ValueError(
            f"Write channel.feature in the brackets, as {aggregate}(nuclei.area), or the ratio "
            f"of two, as {aggregate}(nuclei.mean_gfp / nuclei.ring_gfp)."
        )
    pairs = [(term[1], term[2]) for term in terms if term]
    if len({channel for channel, _ in pairs}) > 1:
        raise ValueError(
            "Both sides of / must be features of one channel, for they are divided object by "
            f"object: write {pairs[0][0]}.… on both sides."
        )
    return Metric(
        "aggregate",
        aggregate=aggregate,
        channel=pairs[0][0],
        numerator=pairs[0][1],
        denominator=pairs[1][1] if len(pairs) == 2 else None,
        comparison=comparison,
        threshold=threshold,
    )


def _threshold(aggregate: str, inside: str) -> tuple[str, str | None, float | None]:
    """What stands in the brackets without its threshold; the comparison; the threshold."""
    sign = next((sign for sign in COMPARISONS if sign in inside), None)
    if (sign is None) == (aggregate != "share"):
        if sign is None:
            return inside, None, None
        term, _, number = inside.partition(sign)
        try:
            threshold = float(number)
        except ValueError:
            threshold = math.nan
        if math.isfinite(threshold):
            return term, sign, threshold
    if aggregate != "share":
        raise ValueError(
            "A threshold makes a share of the objects: write share(nuclei.mean_gfp > 500)."
        )
    raise ValueError(
        "A share needs one threshold, a number: write share(nuclei.mean_gfp > 500) or "
        "share(nuclei.mean_gfp / nuclei.ring_gfp >= 1.5)."
    )

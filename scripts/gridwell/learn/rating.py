"""Blind ratings of two segmentations: what they say.

People who do not know which is which score each from 1 to 10. The two-sample Kolmogorov-Smirnov
test asks whether the scores of both could be of one kind; scores that are equal for many make its
exact p-value too large, never too small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gridwell.config.columns import column_names
from gridwell.config.errors import InputError, Problem

if TYPE_CHECKING:
    import pandas as pd

LOWEST, HIGHEST = 1, 10
_NEEDED = ("image", "method", "score")


def read_ratings(paths: Sequence[Path]) -> pd.DataFrame:
    """Read tables of ratings, one or several raters each.

    Parameters
    ----------
    paths
        CSV files with the columns of ``ratings.csv``; ``rater``, ``side`` and ``order`` may be
        missing.

    Returns
    -------
    One row for each score, with the columns of ``ratings.csv``.

    Raises
    ------
    InputError
        If a file cannot be read, a score is none, or something was scored twice by one rater; all
        such rows are named.
    """
    import pandas as pd

    tables, problems = [], []
    for path in paths:
        try:
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
        except (OSError, ValueError) as error:
            problems.append(Problem(str(path), f"cannot be read ({error})", "Correct the path."))
            continue
        if missing := [name for name in _NEEDED if name not in table]:
            reason = f"has no column {', '.join(missing)}"
            remedy = "Give the table that the rating page saved."
            problems.append(Problem(str(path), reason, remedy))
            continue
        given = table["score"]
        score = pd.to_numeric(given, errors="coerce")
        wrong = ~(score.between(LOWEST, HIGHEST) & (score % 1 == 0))
        table = table.assign(score=score, rater=table.get("rater", ""))
        again = table.duplicated(["rater", "image", "method"])
        problems += [
            Problem(
                str(path), "is no score" if wrong[row] else "was scored before",
                f"Write one whole number from {LOWEST} to {HIGHEST} for each image and method.",
                row=int(row) + 2, column="score", value=given[row],
            )
            for row in table.index[wrong | again]
        ]  # fmt: skip
        tables.append(table)
    if problems:
        raise InputError(problems)
    ratings = pd.concat(tables, ignore_index=True)
    ratings = ratings.reindex(columns=column_names("ratings.csv"))
    if ratings.duplicated(["rater", "image", "method"]).any():
        twice = ratings[ratings.duplicated(["rater", "image", "method"])].iloc[0]
        raise InputError(
            Problem(
                ", ".join(map(str, paths)),
                f"hold two scores of {twice['rater'] or 'one rater'} for {twice['image']}",
                "Give each table once, and each rater a name.",
            )
        )
    methods = sorted(ratings["method"].unique())
    if len(methods) != 2:
        raise InputError(
            Problem(
                ", ".join(map(str, paths)),
                f"hold scores of {len(methods)} methods ({', '.join(methods[:5])})",
                "Give scores of two.",
            )
        )
    return ratings


def compare_ratings(ratings: pd.DataFrame) -> pd.DataFrame:
    """Compare the scores of two methods, for each rater and of all together.

    Parameters
    ----------
    ratings
        As `read_ratings` gives them.

    Returns
    -------
    Columns `rater` (empty: all), `n_first` and `n_second` (scores), `mean_first`,
    `mean_second`, `median_first`, `median_second`, `better_first`, `better_second`, `alike` (images
    on which one got the higher score), `ks` (largest distance of the distributions) and `p` (exact,
    two-sided). First and second are the methods in the order of their names.
    """
    import pandas as pd

    names = sorted(ratings["method"].unique())
    raters = sorted(ratings["rater"].unique())
    rows = [_compared(rater, ratings[ratings["rater"] == rater], names) for rater in raters]
    if len(raters) != 1:
        rows.append(_compared("", ratings, names))
    return pd.DataFrame(rows)


def _compared(rater: str, ratings: pd.DataFrame, names: Sequence[str]) -> dict[str, object]:
    from scipy.stats import ks_2samp

    first, second = (ratings[ratings["method"] == name] for name in names)
    both = first.merge(second, on=["rater", "image"], suffixes=("_first", "_second"))
    gap = both["score_first"] - both["score_second"]
    distance = p = math.nan
    if len(first) and len(second):
        distance, p = ks_2samp(first["score"], second["score"], method="exact")
    return {
        "rater": rater,
        "n_first": len(first),
        "n_second": len(second),
        "mean_first": first["score"].mean(),
        "mean_second": second["score"].mean(),
        "median_first": first["score"].median(),
        "median_second": second["score"].median(),
        "better_first": int((gap > 0).sum()),
        "better_second": int((gap < 0).sum()),
        "alike": int((gap == 0).sum()),
        "ks": float(distance),
        "p": float(p),
    }


def ratings_in_words(ratings: pd.DataFrame) -> str:
    """Say in a few lines how two methods were rated."""
    first, second = (name[:12] for name in sorted(ratings["method"].unique()))
    lines = [
        f"{ratings['image'].nunique()} images; {first} and {second}: mean, median, on how many "
        "images it is the better one",
        f"{'rater':14} {first:>20} {second:>20}  alike  KS distance         p",
    ]
    lines += [
        f"{row['rater'] or 'all':14} "
        f"{row['mean_first']:9.1f} {row['median_first']:5.1f} {row['better_first']:4d} "
        f"{row['mean_second']:9.1f} {row['median_second']:5.1f} {row['better_second']:4d}  "
        f"{row['alike']:5d}  {row['ks']:11.2f}  {row['p']:.2e}"
        for row in compare_ratings(ratings).to_dict("records")
    ]
    return "\n".join(lines)

"""How well two label images of the same field agree."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def overlaps(first: Array, second: Array) -> tuple[Array, Array, Array]:
    """Pixels that the objects of two label images share.

    Parameters
    ----------
    first, second
        Labels (h, w), 0 background; numbers may be missing.

    Returns
    -------
    shared, sizes, others
        int64 (n, m) counts of common pixels; sizes of the n and of the m objects.
    """
    names, one = np.unique(first, return_inverse=True)
    also, other = np.unique(second, return_inverse=True)
    table = np.bincount(
        one.ravel() * also.size + other.ravel(), minlength=names.size * also.size
    ).reshape(names.size, also.size)
    rows, columns = names > 0, also > 0
    sizes, others = table.sum(axis=1)[rows], table.sum(axis=0)[columns]
    return table[rows][:, columns], sizes, others


def agreement(first: Array, second: Array) -> float:
    """Mean of F1 at an intersection over union of one half and of AJI+; 1: equal, 0: nothing.

    F1 tells whether the same objects were found, AJI+ how well their outlines fit. Two empty
    images agree; which of the two comes first does not matter.

    References
    ----------
    N. Kumar et al., IEEE Trans. Med. Imaging 36 (2017) 1550 (aggregated Jaccard index);
    S. Graham et al., Med. Image Anal. 58 (2019) 101563 (AJI+, each object matched once).
    """
    from scipy.optimize import linear_sum_assignment

    shared, sizes, others = overlaps(first, second)
    if sizes.size + others.size == 0:
        return 1.0
    union = sizes[:, None] + others[None] - shared
    score = shared / np.maximum(union, 1)
    row, column = linear_sum_assignment(score, maximize=True)
    # Objects that share nothing are no match.
    some = shared[row, column] > 0
    row, column = row[some], column[some]
    f1 = 2 * int((score[row, column] > 0.5).sum()) / (sizes.size + others.size)
    common = int(shared[row, column].sum())
    alone = int(sizes.sum() + others.sum()) - int((sizes[row] + others[column]).sum())
    return (f1 + common / (int(union[row, column].sum()) + alone)) / 2

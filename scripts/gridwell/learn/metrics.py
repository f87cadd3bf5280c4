"""How well predicted objects agree with true ones: pure functions over label images.

Everything rests on one table, how many pixels each true object shares with each predicted one. It
is counted band by band, so that memory does not grow with the image, and turned into a *tally*: a
vector of counts that may be summed over images before scores are computed from it.

>>> import numpy as np
>>> truth = np.array([[1, 1, 1, 1, 0, 2, 2, 2]])
>>> pred = np.array([[1, 1, 1, 0, 0, 0, 0, 7]])
>>> found = scores(tally(overlap(truth, pred)))
>>> float(found["ap_50"]), float(found["ap_90"]), float(found["dice"])  # IoU 3/4 and 1/3
(0.3333333333333333, 0.0, 0.7272727272727273)

References
----------
AP as TP / (TP + FP + FN) of pooled images: Schmidt et al. 2018, https://arxiv.org/abs/1806.03535.
Panoptic quality: Kirillov et al. 2019, https://arxiv.org/abs/1801.00868. AJI+: Graham et al. 2019,
https://arxiv.org/abs/1812.06499.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridwell.images.label_files import UNLABELLED

Array = NDArray[np.float64]
Labels = NDArray[Any]
Whole = NDArray[np.int64]

THRESHOLDS = tuple(step / 20 for step in range(10, 20))
"""Intersections over union from which two objects count as one: 0.5, 0.55 … 0.95."""

FIELDS = (
    "n_true",
    "n_pred",
    "count_gap",
    *(f"matched_{100 * threshold:.0f}" for threshold in THRESHOLDS),
    "iou_of_matched",
    "shared_of_pairs",
    "area_true",
    "area_pred",
    "shared",
    "pixels",
    "unlabelled",
)
"""Counts of a tally, all of which may be summed over images; see `tally`."""

SHOWN = (50, 60, 70, 75, 80, 90)
"""Percent of intersection over union at which the average precision is told."""

# Pixels counted at once.
_BAND = 2**22


@dataclass(frozen=True)
class Overlap:
    """What the objects of two label images share.

    Attributes
    ----------
    area_true, area_pred
        Pixels of each true object (n,) and of each predicted one (m,), unlabelled ones left out.
    true, pred, shared
        Pairs of objects that share pixels: their places in the two arrays above and the number
        of these pixels (k,).
    pixels, unlabelled
        Pixels of the image, and those of them that one of the two leaves unlabelled.
    """

    area_true: Whole
    area_pred: Whole
    true: Whole
    pred: Whole
    shared: Whole
    pixels: int
    unlabelled: int

    @property
    def iou(self) -> Array:
        """Intersection over union of each pair, (k,)."""
        union = self.area_true[self.true] + self.area_pred[self.pred] - self.shared
        return self.shared / union


def overlap(truth: Labels, pred: Labels) -> Overlap:
    """Count what the objects of two label images (h, w) share.

    An object counts if at most half of it lies where either image is unlabelled (-1), and then
    with the rest of its pixels.

    Parameters
    ----------
    truth, pred
        Labels in any order: 0 background, 1 and above objects, -1 unlabelled.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if truth.shape != pred.shape:
        raise ValueError(f"truth is {truth.shape}, prediction is {pred.shape}")
    return overlap_of(*meetings(bands(truth, pred)))


def bands(*images: Labels) -> Iterator[tuple[Labels, ...]]:
    """Cut images of one shape into the same bands of rows."""
    height, width = images[0].shape
    step = max(1, _BAND // max(width, 1))
    for top in range(0, height, step):
        yield tuple(image[top : top + step] for image in images)


def meetings(parts: Iterable[tuple[Labels, ...]]) -> tuple[Whole, Whole, Whole]:
    """Count in how many pixels each true label meets each predicted one.

    Parameters
    ----------
    parts
        Truth and prediction in bands of rows. Labels are from -1 to 2**31 - 2.

    Returns
    -------
    True label, predicted label and number of pixels of each pair that is there.
    """
    counted = [_pairs(*part) for part in parts]
    empty = np.zeros(0, np.int64)
    key = np.concatenate([empty, *(pairs for pairs, _ in counted)])
    pixels = np.concatenate([empty, *(count for _, count in counted)])
    pairs, where = np.unique(key, return_inverse=True)
    total = np.bincount(where, pixels, minlength=len(pairs)).astype(np.int64)
    return (pairs >> 32) - 1, (pairs & 0xFFFFFFFF) - 1, total


def overlap_of(true: Whole, pred: Whole, pixels: Whole) -> Overlap:
    """Count what objects share from what `meetings` counted; see `overlap`."""
    judged = (true != UNLABELLED) & (pred != UNLABELLED)
    true, kept_true, area_true = _objects(true, pixels, judged)
    pred, kept_pred, area_pred = _objects(pred, pixels, judged)
    both = kept_true & kept_pred
    return Overlap(
        area_true=area_true,
        area_pred=area_pred,
        true=true[both],
        pred=pred[both],
        shared=pixels[both],
        pixels=int(pixels.sum()),
        unlabelled=int(pixels[~judged].sum()),
    )


def _pairs(truth: Labels, pred: Labels) -> tuple[Whole, Whole]:
    """Pairs of labels that meet in a pixel, as one number each, and in how many they do."""
    key = (truth.astype(np.int64) + 1 << 32 | pred.astype(np.int64) + 1).ravel()
    if not key.size:
        return key, key
    # Few runs of equal neighbours are sorted, not many pixels.
    start = np.concatenate([[0], np.flatnonzero(key[1:] != key[:-1]) + 1])
    length = np.diff(start, append=key.size)
    pairs, where = np.unique(key[start], return_inverse=True)
    return pairs, np.bincount(where, length).astype(np.int64)


def _objects(
    labels: Whole, pixels: Whole, judged: NDArray[np.bool_]
) -> tuple[Whole, NDArray[np.bool_], Whole]:
    """Number the objects that count from 0.

    Returns
    -------
    Number of each pair's object, whether it is one that counts in pixels that count, and the
    area of each object.
    """
    names, where = np.unique(labels, return_inverse=True)
    whole = np.bincount(where, pixels, minlength=len(names))
    area = np.bincount(where, pixels * judged, minlength=len(names))
    counts = (names > 0) & (2 * area >= whole)
    number = np.cumsum(counts) - 1
    return number[where], counts[where] & judged, area[counts].astype(np.int64)


def assign(rows: Whole, cols: Whole, value: Array) -> Whole:
    """Choose pairs one to one such that the sum of their values is largest.

    Parameters
    ----------
    rows, cols
        What each possible pair (k,) joins, numbered from 0.
    value
        What it is worth, above 0 and at most 2.

    Returns
    -------
    Places of the chosen pairs, sorted.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    if not rows.size:
        return np.zeros(0, np.int64)
    row, col = np.unique(rows, return_inverse=True)[1], np.unique(cols, return_inverse=True)[1]
    n, m = int(row.max()) + 1, int(col.max()) + 1
    # A column of its own for each row that stays alone; costs are above 0, which is no entry.
    alone = np.arange(n)
    cost = np.concatenate([3.0 - value, np.full(n, 3.0)])
    at = np.concatenate([row, alone]), np.concatenate([col, m + alone])
    chosen = min_weight_full_bipartite_matching(csr_array((cost, at), shape=(n, m + n)))
    partner = np.full(n, -1)
    partner[chosen[0]] = chosen[1]
    return np.flatnonzero(partner[row] == col)


def match(shared: Overlap, threshold: float) -> Whole:
    """Pair objects one to one: as many as can be, of these choices the one of largest IoU.

    Parameters
    ----------
    shared
        What the objects share.
    threshold
        Least intersection over union of a pair.

    Returns
    -------
    Places of the pairs in `shared`, sorted.
    """
    iou = shared.iou
    good = np.flatnonzero(iou >= threshold)
    if threshold > 0.5:  # no object can have two such partners
        return good
    most = max(1, min(len(shared.area_true), len(shared.area_pred)))
    return good[assign(shared.true[good], shared.pred[good], 1 + iou[good] / (2 * most))]


def tally(shared: Overlap) -> Array:
    """Count all that scores are computed from.

    Parameters
    ----------
    shared
        What the objects of an image share.

    Returns
    -------
    One number for each of `FIELDS`: true and predicted objects, difference of their
    numbers, pairs at each of `THRESHOLDS`, sum of the IoU of pairs of at least 0.5, pixels shared
    by pairs of AJI+, pixels of true objects, of predicted objects, of both, of the image, and
    unlabelled ones.
    """
    iou = shared.iou
    pairs = [match(shared, threshold) for threshold in THRESHOLDS]
    # Of equally good pairings the one that shares more pixels.
    worth = iou + 1e-9 * shared.shared / max(1, int(shared.shared.sum()))
    best = assign(shared.true, shared.pred, worth)
    n_true, n_pred = len(shared.area_true), len(shared.area_pred)
    return np.array(
        [
            n_true,
            n_pred,
            abs(n_true - n_pred),
            *map(len, pairs),
            iou[pairs[0]].sum(),
            shared.shared[best].sum(),
            shared.area_true.sum(),
            shared.area_pred.sum(),
            shared.shared.sum(),
            shared.pixels,
            shared.unlabelled,
        ],
        np.float64,
    )


def scores(tallies: Array) -> dict[str, Array]:
    """Compute scores from counts, those of one image or sums over images.

    Parameters
    ----------
    tallies
        Counts (…, `FIELDS`).

    Returns
    -------
    By name, each of shape (…): `n_true`, `n_pred`, `count_error` (sum of the images' differences
    over the number of true objects), `ap_50` … `ap_90` (TP / (TP + FP + FN)), `ap_mean` (of all
    `THRESHOLDS`), `precision`, `recall`, `f1`, `pq`, `sq` (panoptic and segmentation quality, at
    0.5; the recognition quality is `f1`), `aji_plus`, `dice` and `iou` of all object pixels,
    `unlabelled` (share of the pixels). NaN where there is nothing to judge.
    """
    of = dict(zip(FIELDS, np.moveaxis(np.asarray(tallies, np.float64), -1, 0), strict=True))
    both = of["n_true"] + of["n_pred"]
    matched = {name: of[name] for name in FIELDS if name.startswith("matched_")}
    precisions = {name[8:]: ratio(tp, both - tp) for name, tp in matched.items()}
    tp, area = of["matched_50"], of["area_true"] + of["area_pred"]
    found = {
        "n_true": of["n_true"],
        "n_pred": of["n_pred"],
        "count_error": ratio(of["count_gap"], of["n_true"]),
        **{f"ap_{percent}": precisions[str(percent)] for percent in SHOWN},
        "ap_mean": np.mean(list(precisions.values()), axis=0),
        "precision": ratio(tp, of["n_pred"]),
        "recall": ratio(tp, of["n_true"]),
        "f1": ratio(2 * tp, both),
        "pq": ratio(2 * of["iou_of_matched"], both),
        "sq": ratio(of["iou_of_matched"], tp),
        "aji_plus": ratio(of["shared_of_pairs"], area - of["shared_of_pairs"]),
        "dice": ratio(2 * of["shared"], area),
        "iou": ratio(of["shared"], area - of["shared"]),
        "unlabelled": ratio(of["unlabelled"], of["pixels"]),
    }
    return {name: np.asarray(value) for name, value in found.items()}


def ratio(part: Any, whole: Any) -> Array:
    """Divide; NaN where there is nothing to divide by (`whole` is 0)."""
    part, whole = np.broadcast_arrays(np.asarray(part, float), np.asarray(whole, float))
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def interval(
    tallies: Array,
    other: Array | None = None,
    *,
    scores: Callable[[Array], Mapping[str, Array]] = scores,
    level: float = 0.95,
    draws: int = 5000,
    seed: int = 1,
) -> dict[str, tuple[float, float]]:
    """Bootstrap intervals of pooled scores, images drawn with replacement.

    Parameters
    ----------
    tallies
        Counts of each image, (n, k).
    other
        Counts of the same images by another method: intervals of the difference, the first minus
        the other, the same images drawn for both.
    scores
        Computes scores from counts (…, k).
    level
        Share of the draws within the interval.
    draws, seed
        How many sets of images are drawn, and what decides which.

    Returns
    -------
    Lower and upper end by name of the score; NaN where there is no score. They tell what other
    images of the kind would do, not what another training would.

    Raises
    ------
    ValueError
        If `other` is of other images.
    """
    tallies = np.asarray(tallies, np.float64)
    n = len(tallies)
    weight = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws)
    drawn = dict(scores(weight @ tallies))
    if other is not None:
        if np.shape(other) != tallies.shape:
            raise ValueError(f"{np.shape(other)} counts beside {tallies.shape}")
        drawn = {name: drawn[name] - value for name, value in scores(weight @ other).items()}
    return {name: _middle(value, level) for name, value in drawn.items()}


def _middle(values: Array, level: float) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    if not values.size:
        return np.nan, np.nan
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)

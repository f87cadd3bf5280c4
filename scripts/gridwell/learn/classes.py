"""How well a predicted class of each pixel agrees with the true one.

The definitions of accuracy are the textbook's: of a class, (TP + TN) / all. MATLAB's
``evaluateSemanticSegmentation`` calls recall, TP / (TP + FN), the accuracy of a class, and so do
papers that used it (one prints it as TP / (TP + TN), which is neither); look for their numbers
under `recall`. Its BF score is `boundary_f1` here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridwell.images.label_files import UNLABELLED
from gridwell.learn.metrics import Array, Labels, ratio

TOLERANCE = 0.0075
"""How far apart boundaries may lie and still agree, as a share of the image's diagonal."""

MEASURES = ("accuracy", "precision", "recall", "specificity", "iou", "boundary_f1")
"""What is told of each class and of all."""

AGGREGATES = ("global", "mean", "weighted")
"""How classes are put together; see `class_scores`."""

Mask = NDArray[np.bool_]


def confusion(truth: Labels, pred: Labels, classes: int) -> Array:
    """Count pixels by their true class (rows) and the predicted one (columns).

    Parameters
    ----------
    truth, pred
        Class of each pixel, 0 to `classes` - 1; pixels of -1 in either are left out.
    classes
        Number of classes, K.

    Returns
    -------
    (K, K)
    """
    judged = (truth != UNLABELLED) & (pred != UNLABELLED)
    key = truth[judged].astype(np.int64) * classes + pred[judged]
    return np.bincount(key, minlength=classes**2).reshape(classes, classes).astype(np.float64)


def reach(height: int, width: int, tolerance: float = TOLERANCE) -> float:
    """Pixels that boundaries in an image of this size may lie apart and still agree."""
    return tolerance * math.hypot(height, width)


def boundary_counts(
    truth: Labels, pred: Labels, classes: int, distance: float, rows: slice | None = None
) -> Array:
    """Count boundary pixels of each class and those with a partner in the other image.

    The boundary of a class is its pixels beside (left, right, above, below) another class. The
    rim of the image and of unlabelled ground is none.

    Parameters
    ----------
    truth, pred
        Class of each pixel (h, w); -1 is unlabelled.
    classes
        Number of classes, K.
    distance
        Pixels a partner may lie away.
    rows
        Rows that are counted; all others are there to look for partners.

    Returns
    -------
    (K, 4): predicted boundary pixels with a partner, all predicted ones, true boundary pixels with
    a partner, all true ones.
    """
    judged = (truth != UNLABELLED) & (pred != UNLABELLED)
    truth, pred = (np.where(judged, image, UNLABELLED) for image in (truth, pred))
    edges = _edge(truth), _edge(pred)
    part = rows or slice(None)
    counts = np.zeros((classes, 4))
    for index in range(classes):
        true, found = (
            edge & (image == index) for edge, image in zip(edges, (truth, pred), strict=True)
        )
        counts[index] = (
            np.count_nonzero((found & _near(true, distance))[part]),
            np.count_nonzero(found[part]),
            np.count_nonzero((true & _near(found, distance))[part]),
            np.count_nonzero(true[part]),
        )
    return counts


def _edge(image: Labels) -> Mask:
    """Pixels beside another class; unlabelled ones are nobody's neighbours."""
    edge = np.zeros(image.shape, bool)
    for one, other in (
        (np.s_[1:], np.s_[:-1]),
        (np.s_[:, 1:], np.s_[:, :-1]),
    ):
        differ = image[one] != image[other]
        differ &= (image[one] != UNLABELLED) & (image[other] != UNLABELLED)
        edge[one] |= differ
        edge[other] |= differ
    return edge


def _near(mask: Mask, distance: float) -> Mask:
    """Pixels at most `distance` from a pixel of the mask."""
    import cv2

    if not mask.any():
        return np.zeros(mask.shape, bool)
    far = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Distances are exact but for the rounding of a square root.
    return np.asarray(far <= distance + 1e-4)


def boundary_f1(counts: Array) -> Array:
    """F1 of boundaries from counts (…, 4) of one image; see `boundary_counts`.

    0 where only one image has the class, NaN where neither has a boundary of it.
    """
    near, found, hit, true = np.moveaxis(counts, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = near / found, hit / true
        f1 = 2 * precision * recall / (precision + recall)
    return np.where(found + true == 0, np.nan, np.nan_to_num(f1))


def class_tally(matrix: Array, boundary: Array) -> Array:
    """Put together what may be summed over images: see `class_scores`.

    Parameters
    ----------
    matrix
        Confusion of one image (K, K).
    boundary
        Its boundary F1 by class (K,), NaN where there is none.

    Returns
    -------
    (K, K + 2): the matrix, sums of boundary F1, images that have it.
    """
    there = np.isfinite(boundary)
    return np.column_stack([matrix, np.where(there, boundary, 0), there])


def class_scores(tallies: Array) -> dict[str, Array]:
    """Compute scores from counts, those of one image or sums over images.

    Parameters
    ----------
    tallies
        Counts (…, K, K + 2); see `class_tally`.

    Returns
    -------
    For each of `MEASURES`, (…, K + 3): of each class, then global, mean and weighted. *Global*
    counts all decisions of all classes alike (accuracy: the share of the pixels that are right,
    which is global recall and precision too). *Mean* is the unweighted mean of the classes,
    *weighted* the one by true pixels of each class; a class that neither image has is left out of
    both. Of a class that is there but was never predicted the precision is 0, as is the recall of
    one that was predicted but is not there. Boundary F1 of a class is the mean of its images,
    and has no global one.
    """
    tallies = np.asarray(tallies, np.float64)
    matrix, edge_sum, edge_images = tallies[..., :-2], tallies[..., -2], tallies[..., -1]
    tp = np.diagonal(matrix, axis1=-2, axis2=-1)
    fn = matrix.sum(-1) - tp
    fp = matrix.sum(-2) - tp
    tn = matrix.sum((-2, -1))[..., None] - tp - fn - fp
    there = tp + fn + fp > 0
    parts = {
        "accuracy": (tp + tn, tp + tn + fp + fn),
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "iou": (tp, tp + fp + fn),
    }
    found = {}
    for name, (part, whole) in parts.items():
        each = ratio(part, whole)
        if name in ("precision", "recall"):
            each = np.where(there, np.nan_to_num(each), np.nan)
        together = (tp, tp + fn) if name == "accuracy" else (part, whole)
        micro = ratio(*(count.sum(-1) for count in together))
        found[name] = _aggregated(np.where(there, each, np.nan), micro, tp + fn)
    edge = ratio(edge_sum, edge_images)
    found["boundary_f1"] = _aggregated(edge, np.full(edge.shape[:-1], np.nan), tp + fn)
    return found


def _aggregated(each: Array, micro: Array, pixels: Array) -> Array:
    """Scores of classes (…, K), then global, mean and weighted by their pixels."""
    there = np.isfinite(each)
    value, weight = np.where(there, each, 0), np.where(there, pixels, 0)
    mean = ratio(value.sum(-1), there.sum(-1))
    weighted = ratio((value * weight).sum(-1), weight.sum(-1))
    return np.concatenate([each, np.stack([micro, mean, weighted], axis=-1)], axis=-1)


def class_names(count: int, given: Sequence[str] = ()) -> list[str]:
    """Name classes 0 to `count` - 1, by number where no names are given."""
    return [given[index] if index < len(given) else str(index) for index in range(count)]


def flat(tallies: Any) -> dict[str, Array]:
    """Scores over all classes as ``mean_iou`` and so on, for `gridwell.learn.metrics.interval`.

    Parameters
    ----------
    tallies
        Counts (…, K * (K + 2)), those of `class_scores` in a row.
    """
    tallies = np.asarray(tallies)
    count = math.isqrt(tallies.shape[-1] + 1) - 1
    found = class_scores(tallies.reshape(*tallies.shape[:-1], count, count + 2))
    return {
        f"{aggregate}_{measure}": found[measure][..., count + place]
        for measure in MEASURES
        for place, aggregate in enumerate(AGGREGATES)
        if (aggregate, measure) != ("global", "boundary_f1")
    }

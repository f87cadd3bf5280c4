"""How good a trained network is on sources that it never saw, beside its teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gridwell.config.models import SegmentMethod
from gridwell.learn.classes import boundary_counts, boundary_f1, class_tally, confusion, flat, reach
from gridwell.learn.dataset import Item, Levels
from gridwell.learn.examples import Example
from gridwell.learn.metrics import interval, overlap, scores, tally
from gridwell.learn.predict import levels_of, predict
from gridwell.learn.teach import classes_of, teach
from gridwell.network.cells import Brightness, CellNetwork

Array = npt.NDArray[np.float64]

# What the card and the learning curve tell; the first decides which state is best.
INSTANCE_SCORES = ("aji_plus", "ap_50", "ap_75", "f1", "count_error")
CLASS_SCORES = ("mean_iou", "global_accuracy", "mean_boundary_f1")


def tally_of(example: Example, found: npt.NDArray[np.int32], classes: Sequence[str]) -> Array:
    """Count how labels of an image agree with what is known of it.

    Parameters
    ----------
    example
        The image and its labels, or its classes.
    found
        Instances or classes (h, w).
    classes
        Names of the classes; none: instances.

    Returns
    -------
    A vector that may be summed over images, see `totals`.
    """
    if not classes:
        assert example.labels is not None
        return tally(overlap(example.labels, found))
    assert example.classes is not None
    truth, count = example.classes, len(classes)
    matrix = confusion(truth, found, count)
    boundary = boundary_f1(boundary_counts(truth, found, count, reach(*truth.shape)))
    return np.asarray(class_tally(matrix, boundary), np.float64).reshape(-1)


def totals(tallies: Sequence[Array], classes: Sequence[str]) -> dict[str, float]:
    """Scores of all images together; NaN counts as 0, for a network that finds nothing."""
    found = flat(np.sum(tallies, 0)) if classes else scores(np.sum(tallies, 0))
    names = CLASS_SCORES if classes else INSTANCE_SCORES
    return {name: float(np.nan_to_num(found[name])) for name in names}


def measure_network(
    network: CellNetwork,
    items: Sequence[Item],
    levels: Levels,
    *,
    classes: Sequence[str],
    teacher: SegmentMethod | None,
) -> pd.DataFrame:
    """Measure a network on test images, and its teacher on the same.

    Parameters
    ----------
    network
        The network.
    items
        Test images.
    levels
        Brightness of their sources.
    classes
        Names of the classes; none: instances.
    teacher
        The conventional method that the network learned from; None, or where the labels of the
        test are the teacher's own: it is not measured.

    Returns
    -------
    table
        A row for each image and method (``network``, ``teacher``), then all images of each pooled,
        with the ends of a 95 % interval; ``difference`` is network minus teacher. Columns as
        `gridwell.config.columns` says; empty where there are no items.
    """
    if not items:
        return pd.DataFrame(columns=["method", "what", "image"])
    found = {
        "network": [
            predict(network, item.example, levels_of(item.example, levels)) for item in items
        ]
    }
    if teacher is not None and any(item.kind != "weak" for item in items):
        found["teacher"] = [_by_teacher(item.example, teacher, levels, classes) for item in items]
    counted = {
        method: np.array(
            [
                tally_of(item.example, labels, classes)
                for item, labels in zip(items, images, strict=True)
            ]
        )
        for method, images in found.items()
    }
    names = [item.example.name for item in items]
    parts = [_table(method, names, tallies, classes) for method, tallies in counted.items()]
    if "teacher" in counted:
        parts.append(_differences(counted["network"], counted["teacher"], classes))
    return pd.concat(parts, ignore_index=True)


def _by_teacher(
    example: Example, teacher: SegmentMethod, levels: Levels, classes: Sequence[str]
) -> npt.NDArray[np.int32]:
    known: Sequence[Brightness | None] = levels_of(example, levels) or [None] * len(example.image)
    labels = [
        teach(channel, teacher, level=level)
        for channel, level in zip(example.image, known, strict=True)
    ]
    return classes_of(labels).astype(np.int32) if classes else labels[0]


def _scores(tallies: Array, classes: Sequence[str]) -> Mapping[str, Any]:
    return flat(tallies) if classes else scores(tallies)


def _table(
    method: str, names: Sequence[str], tallies: Array, classes: Sequence[str]
) -> pd.DataFrame:
    each = pd.DataFrame(dict(_scores(tallies, classes)))
    each.insert(0, "image", list(names))
    each.insert(0, "what", "image")
    pooled = dict(_scores(tallies.sum(0), classes))
    ends = interval(tallies, scores=lambda counts: _scores(counts, classes))
    rows = [
        {"what": "pooled"} | {name: float(value) for name, value in pooled.items()},
        {"what": "pooled_low"} | {name: end[0] for name, end in ends.items()},
        {"what": "pooled_high"} | {name: end[1] for name, end in ends.items()},
    ]
    table = pd.concat([each, pd.DataFrame(rows)], ignore_index=True)
    table.insert(0, "method", method)
    return table


def _differences(one: Array, other: Array, classes: Sequence[str]) -> pd.DataFrame:
    ends = interval(one, other, scores=lambda counts: _scores(counts, classes))
    both = [_scores(tallies.sum(0), classes) for tallies in (one, other)]
    rows = [
        {"what": "pooled"} | {name: float(both[0][name] - both[1][name]) for name in both[0]},
        {"what": "pooled_low"} | {name: end[0] for name, end in ends.items()},
        {"what": "pooled_high"} | {name: end[1] for name, end in ends.items()},
    ]
    table = pd.DataFrame(rows)
    table.insert(0, "method", "difference")
    return table

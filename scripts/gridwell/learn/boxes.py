"""Agreement of bounding boxes: what can be said where people drew boxes and no outlines.

A predicted and a true box whose intersection over union is at least 0.1 show the same event. One
box has one partner at most (as many pairs as can be, then the largest overlap); beside it stands
the laxer count of a paper, in which any overlap of 0.1 will do, however often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridwell.config.errors import InputError, Problem
from gridwell.learn.metrics import Array, assign, ratio

SAME_EVENT = 0.1
"""Least intersection over union of boxes of the same event."""

HIGHER = 0.5
"""Intersection over union from which their overlap is the higher one."""

BOX_FIELDS = ("n_true", "n_pred", "matched", "higher", "true_any", "pred_any")
"""Counts of a tally of boxes, all of which may be summed."""

_CORNERS = ("x0", "y0", "x1", "y1")
_MAX_BYTES = 50_000_000
# True boxes compared at a time.
_STRIP = 256


@dataclass(frozen=True)
class Boxes:
    """Boxes of one image.

    Attributes
    ----------
    corners
        (n, 4) as x0, y0, x1, y1 in pixels, x to the right and y down; a box of one pixel is 1 x 1.
    classes
        Class of each, empty text where it has none.
    """

    corners: Array
    classes: tuple[str, ...]

    def of_class(self, name: str) -> Array:
        """Corners of the boxes of a class, (k, 4)."""
        return self.corners[np.array([own == name for own in self.classes], bool)]

    def unclassed(self) -> Boxes:
        """Return the same boxes without classes."""
        return Boxes(self.corners, ("",) * len(self.classes))


NONE = Boxes(np.zeros((0, 4)), ())
"""No boxes."""


def box_iou(one: Array, other: Array) -> Array:
    """Intersection over union of each of n with each of m boxes, (n, m)."""
    shared = np.ones((len(one), len(other)))
    for low, high in ((0, 2), (1, 3)):
        end = np.minimum(one[:, None, high], other[None, :, high])
        start = np.maximum(one[:, None, low], other[None, :, low])
        shared *= (end - start).clip(0)
    first, second = ((box[:, 2:] - box[:, :2]).prod(1) for box in (one, other))
    return np.asarray(shared / (first[:, None] + second - shared))


def box_tally(truth: Array, pred: Array) -> Array:
    """Count boxes and their partners.

    Parameters
    ----------
    truth, pred
        Corners (n, 4) and (m, 4) of one class in one image.

    Returns
    -------
    One number for each of `BOX_FIELDS`: true and predicted boxes, pairs one to one, those of the
    higher overlap, true and predicted boxes with any partner at all.
    """
    rows, cols, iou = _pairs(truth, pred)
    most = max(1, min(len(truth), len(pred)))
    chosen = assign(rows, cols, 1 + iou / (2 * most))
    return np.array(
        [
            len(truth),
            len(pred),
            len(chosen),
            (iou[chosen] >= HIGHER).sum(),
            len(np.unique(rows)),
            len(np.unique(cols)),
        ],
        np.float64,
    )


def _pairs(truth: Array, pred: Array) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Pairs of boxes of the same event and their intersection over union."""
    if not len(truth) or not len(pred):
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    # From left to right, so that few predictions can touch the boxes of a strip.
    order, others = np.argsort(truth[:, 0], kind="stable"), np.argsort(pred[:, 0], kind="stable")
    left, widest = pred[others, 0], (pred[:, 2] - pred[:, 0]).max()
    found = []
    for start in range(0, len(truth), _STRIP):
        strip = order[start : start + _STRIP]
        low, high = np.searchsorted(left, [truth[strip, 0].min() - widest, truth[strip, 2].max()])
        near = others[low:high]
        iou = box_iou(truth[strip], pred[near])
        row, col = np.nonzero(iou >= SAME_EVENT)
        found.append((strip[row], near[col], iou[row, col]))
    rows, cols, values = (np.concatenate(part) for part in zip(*found, strict=True))
    return rows, cols, values


def box_scores(tallies: Array) -> dict[str, Array]:
    """Compute ratios from counts, those of one image or sums over images.

    Parameters
    ----------
    tallies
        Counts (…, `BOX_FIELDS`).

    Returns
    -------
    By name, each of shape (…): `n_true`, `n_pred`, `matched`, of these `lower` (overlap below 0.5)
    and `higher`, `fp_ratio` (predicted boxes without a partner / predicted boxes), `fn_ratio`
    (true boxes without a partner / true boxes), and both where any overlap counts, `fp_ratio_any`
    and `fn_ratio_any`. NaN where there is no box to divide by.
    """
    of = dict(zip(BOX_FIELDS, np.moveaxis(np.asarray(tallies, np.float64), -1, 0), strict=True))
    return {
        "n_true": of["n_true"],
        "n_pred": of["n_pred"],
        "matched": of["matched"],
        "lower": of["matched"] - of["higher"],
        "higher": of["higher"],
        "fp_ratio": ratio(of["n_pred"] - of["matched"], of["n_pred"]),
        "fn_ratio": ratio(of["n_true"] - of["matched"], of["n_true"]),
        "fp_ratio_any": ratio(of["n_pred"] - of["pred_any"], of["n_pred"]),
        "fn_ratio_any": ratio(of["n_true"] - of["true_any"], of["n_true"]),
    }


def boxes_of_labels(labels: NDArray[Any]) -> Boxes:
    """Boxes around the objects of a label image (h, w); 0 and -1 are none."""
    width = labels.shape[1]
    flat = labels.ravel()
    # Few runs of equal neighbours in a row are sorted, not many pixels.
    turns = flat[1:] != flat[:-1]
    turns[width - 1 :: width] = True
    start = np.concatenate([[0], np.flatnonzero(turns) + 1]) if flat.size else np.zeros(0, int)
    length = np.diff(start, append=flat.size)
    inside = flat[start] > 0
    start, length = start[inside], length[inside]
    order = np.argsort(flat[start], kind="stable")
    start, length = start[order], length[order]
    first = np.unique(flat[start], return_index=True)[1]
    if not first.size:
        return NONE
    x, y = start % width, start // width
    corners = [
        np.minimum.reduceat(x, first),
        np.minimum.reduceat(y, first),
        np.maximum.reduceat(x + length, first),
        np.maximum.reduceat(y + 1, first),
    ]
    return Boxes(np.column_stack(corners).astype(np.float64), ("",) * len(first))


def boxes_of_classes(classes: NDArray[Any], names: Sequence[str]) -> Boxes:
    """Boxes around connected regions (with corners) of each class of an image (h, w).

    Class 0 is background and -1 unlabelled: they have none.
    """
    import cv2

    corners, of = [], []
    for index in range(1, int(classes.max(initial=0)) + 1):
        stats = cv2.connectedComponentsWithStats((classes == index).astype(np.uint8))[2][1:]
        corners += [(x, y, x + width, y + height) for x, y, width, height, _ in stats.tolist()]
        of += [names[index] if index < len(names) else str(index)] * len(stats)
    return _boxes(corners, of)


def _boxes(corners: Sequence[Sequence[float]], classes: Sequence[str]) -> Boxes:
    return Boxes(np.array(corners, np.float64).reshape(-1, 4), tuple(classes))


def read_boxes(path: Path) -> dict[str, Boxes]:
    """Read boxes from a CSV table or a Pascal VOC annotation (XML).

    A table has the columns ``x0,y0,x1,y1`` (or ``xmin,ymin,xmax,ymax``) in pixels, and may have
    ``class`` and ``image``. An annotation counts pixels from 1 and names the last one within.

    Returns
    -------
    Boxes by image; the name of the file where a table does not name images.

    Raises
    ------
    InputError
        If the file cannot be read or a box has no size.
    """
    try:
        data = path.read_bytes() if path.stat().st_size <= _MAX_BYTES else b""
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
        raise InputError(Problem(str(path), reason, "Correct the path.")) from None
    if not data:
        reason = f"is empty, or longer than {_MAX_BYTES} bytes"
        raise InputError(Problem(str(path), reason, "Check that it is the right file."))
    read = _read_voc if path.suffix.lower() == ".xml" else _read_csv
    found = read(path, data)
    flat = [
        f"{name}: box {place + 1}"
        for name, boxes in found.items()
        for place in np.flatnonzero(~((boxes.corners[:, 2:] - boxes.corners[:, :2]) > 0).all(1))
    ]
    if flat:
        reason = f"has boxes without a size ({'; '.join(flat[:3])})"
        raise InputError(Problem(str(path), reason, "x1 and y1 must lie beyond x0 and y0."))
    return found


def _read_voc(path: Path, data: bytes) -> dict[str, Boxes]:
    from xml.etree import ElementTree

    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise InputError(Problem(str(path), "declares entities", "Take the declaration out."))
    try:
        root = ElementTree.fromstring(data)  # noqa: S314 (no entities, see above)
        corners, classes = [], []
        for item in root.iter("object"):
            box = {side: float(item.findtext(f"bndbox/{side}", "")) for side in _VOC}
            corners.append((box["xmin"] - 1, box["ymin"] - 1, box["xmax"], box["ymax"]))
            classes.append((item.findtext("name") or "").strip())
    except (ElementTree.ParseError, ValueError) as error:
        reason = f"is no Pascal VOC annotation ({error})"
        raise InputError(Problem(str(path), reason, "Export the boxes again.")) from None
    return {path.stem: _boxes(corners, classes)}


_VOC = ("xmin", "ymin", "xmax", "ymax")


def _read_csv(path: Path, data: bytes) -> dict[str, Boxes]:
    import io

    import pandas as pd

    try:
        table = pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False)
    except (ValueError, UnicodeDecodeError) as error:
        reason = f"is no table ({error})"
        raise InputError(Problem(str(path), reason, "Save it as CSV, with commas.")) from None
    names = {old: new for old, new in zip(_VOC, _CORNERS, strict=True) if new not in table}
    table = table.rename(columns=names)
    if missing := [name for name in _CORNERS if name not in table]:
        reason = f"has no column {', '.join(missing)}"
        raise InputError(Problem(str(path), reason, "The header is image,class,x0,y0,x1,y1."))
    numbers = table[list(_CORNERS)].apply(pd.to_numeric, errors="coerce")
    if len(wrong := np.flatnonzero(~np.isfinite(numbers.to_numpy(float)).all(1))):
        raise InputError(
            Problem(
                str(path),
                "has a corner that is no number",
                "Write numbers with a decimal point.",
                row=int(wrong[0]) + 2,
            )
        )
    image = table["image"] if "image" in table else pd.Series(path.stem, index=table.index)
    of = table["class"] if "class" in table else pd.Series("", index=table.index)
    found = {
        str(name): _boxes(numbers.to_numpy(float)[rows], of.iloc[rows].tolist())
        for name, rows in image.groupby(image).indices.items()
    }
    return found if found or "image" in table else {path.stem: _boxes([], [])}

"""Predictions beside the truth, file by file: tables of scores, for ``gridwell evaluate``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gridwell.config.columns import column_names
from gridwell.config.errors import InputError, Problem
from gridwell.config.files import write_csv
from gridwell.images.label_files import UNLABELLED, Content, LabelImage, ignored, open_label_image
from gridwell.learn import boxes as box_room
from gridwell.learn import classes as class_room
from gridwell.learn import metrics
from gridwell.learn.labels import SUFFIXES, open_pair, partners
from gridwell.learn.metrics import Array, Labels

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["instances", "classes", "boxes", "class-boxes"]
KINDS: tuple[Kind, ...] = ("instances", "classes", "boxes", "class-boxes")

# Class images hold few classes; more are the numbers of objects.
_MOST_CLASSES = 255
_BAND = 2**22

Scores = Callable[[Array], Mapping[str, Array]]


@dataclass
class Comparison:
    """What was found.

    Attributes
    ----------
    kind
        What was compared.
    scores
        A row for each image (and class of boxes), then all images pooled with an interval:
        ``scores.csv``.
    classes, confusion
        ``classes.csv`` and ``confusion.csv``, for classes.
    notes
        What to know before trusting the numbers.
    """

    kind: Kind
    scores: pd.DataFrame
    classes: pd.DataFrame | None = None
    confusion: pd.DataFrame | None = None
    notes: list[str] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        """Write the tables into a folder."""
        write_csv(folder / "scores.csv", self.scores)
        if self.classes is not None and self.confusion is not None:
            write_csv(folder / "classes.csv", self.classes)
            write_csv(folder / "confusion.csv", self.confusion)

    def as_dict(self) -> dict[str, Any]:
        """Pooled scores, classes and notes as plain numbers and texts, None where there is none."""
        told: dict[str, Any] = {
            "kind": self.kind,
            "images": int(self.scores.loc[self.scores.what == "image", "image"].nunique()),
        }
        for what in self.scores.what.unique()[1:]:
            rows = self.scores[self.scores.what == what].to_dict("records")
            told[what] = [_plain(row) for row in rows] if "boxes" in self.kind else _plain(rows[0])
        told["notes"] = self.notes
        for name, table in (("classes", self.classes), ("confusion", self.confusion)):
            if table is not None:
                told[name] = [_plain(row) for row in table.to_dict("records")]
        return told


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Leave out what is empty text; NaN becomes None."""
    return {
        str(name): None if isinstance(value, float) and math.isnan(value) else value
        for name, value in row.items()
        if name not in ("what", "image")
    }


def compare(
    pred: Path,
    truth: Path,
    kind: Kind = "instances",
    *,
    names: Sequence[str] = (),
    tolerance: float = class_room.TOLERANCE,
) -> Comparison:
    """Compare predictions with the truth.

    Parameters
    ----------
    pred, truth
        Two label images (TIFF or PNG, 8 to 32 bit), two label stores of a slide
        (``labels/<channel>.zarr``), or two folders, paired by the stems of the files. Boxes may be
        tables or Pascal VOC annotations as well.
    kind
        `instances` (numbers of objects), `classes` (class of each pixel), `boxes` (around objects,
        or as in the file), or `class-boxes` (around connected regions of a class).
    names
        Names of the classes from 0.
    tolerance
        How far apart boundaries may lie and agree, as a share of the diagonal.

    Raises
    ------
    InputError
        If files are missing, cannot be read, or do not fit together; all of them are named.
    """
    suffixes = (*SUFFIXES, ".csv", ".xml") if kind == "boxes" else SUFFIXES
    pairs, rest = partners(pred, truth, suffixes)
    if kind == "instances":
        found = _instances(pairs)
    elif kind == "classes":
        found = _classes(pairs, names, tolerance)
    else:
        found = _boxes(pairs, kind, names)
    if rest:
        found.notes.append(f"without truth, left out: {_some(rest)}")
    return found


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")


# -- objects -----------------------------------------------------------------------------------


def _each(
    pairs: Sequence[tuple[str, Path, Path]], content: Content
) -> Iterator[tuple[str, LabelImage, LabelImage]]:
    """Open one pair of images after the other: name, prediction, truth.

    What is wrong with any of them is told at the end, all at once.
    """
    problems: list[Problem] = []
    for _, pred, truth in pairs:
        try:
            with open_pair(pred, truth, content) as images:
                for found, true in images:
                    yield true.name, found, true
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)


def _instances(pairs: Sequence[tuple[str, Path, Path]]) -> Comparison:
    images, tallies, alone = [], [], []
    for name, found, true in _each(pairs, "instances"):
        one, other, pixels = metrics.meetings(_bands(true, found))
        one = np.where(one == ignored(true, one), UNLABELLED, one)
        other = np.where(other == ignored(found, other), UNLABELLED, other)
        images.append(name)
        tallies.append(metrics.tally(metrics.overlap_of(one, other, pixels)))
        alone.append([_only(one), _only(other)])
    table = _table("instances", images, np.stack(tallies), metrics.scores)
    return Comparison("instances", table, notes=_doubts(table, alone))


def _only(labels: Labels) -> int:
    """Label of the only object; 0 without objects, -1 with several."""
    found = np.unique(labels[labels > 0])
    return int(found.sum()) if len(found) < 2 else -1


def _doubts(table: pd.DataFrame, alone: Sequence[Sequence[int]]) -> list[str]:
    """Say where labels look like something else, and whether pixels were left out."""
    notes = []
    for what, found in zip(("true", "predicted"), zip(*alone, strict=True), strict=True):
        if not any(found):
            notes.append(f"there are no {what} objects at all")
        elif set(found) <= {0, 1, 255}:
            notes.append(
                f"each {what} image holds one object: if these are masks, number their objects "
                "first, or use --kind classes"
            )
    return notes + _left_out(table)


def _left_out(table: pd.DataFrame) -> list[str]:
    share = table.loc[table.what == "pooled", "unlabelled"].item()
    return [f"{100 * share:.3g} % of the pixels are unlabelled and left out"] if share else []


def _bands(*images: LabelImage) -> Iterator[tuple[Labels, ...]]:
    height, width = images[0].shape
    step = max(1, _BAND // max(width, 1))
    for top in range(0, height, step):
        yield tuple(image.rows(top, min(top + step, height)) for image in images)


def _table(kind: str, images: Sequence[str], tallies: Array, scores: Scores) -> pd.DataFrame:
    """Rows of the images, then of all with an interval."""
    import pandas as pd

    each = pd.DataFrame(dict(scores(tallies)))
    rows = [each.assign(what="image", image=list(images)), *_pooled(tallies, scores)]
    return pd.concat(rows, ignore_index=True)[column_names(f"scores.csv ({kind})")]


def _pooled(tallies: Array, scores: Scores) -> list[pd.DataFrame]:
    """All images as one, and if there are several, the ends of the interval."""
    import pandas as pd

    rows = {"pooled": {name: float(value) for name, value in scores(tallies.sum(0)).items()}}
    if len(tallies) > 1:
        ends = metrics.interval(tallies, scores=scores)
        for end, what in enumerate(("pooled_low", "pooled_high")):
            rows[what] = {name: both[end] for name, both in ends.items()}
    return [pd.DataFrame([values]).assign(what=what, image="") for what, values in rows.items()]


# -- classes -----------------------------------------------------------------------------------


def _classes(
    pairs: Sequence[tuple[str, Path, Path]], names: Sequence[str], tolerance: float
) -> Comparison:
    import pandas as pd

    images, parts, shares, reaches, hidden = [], [], [], [], []
    for name, found, true in _each(pairs, "classes"):
        height, width = true.shape
        reaches.append(class_room.reach(height, width, tolerance))
        matrix, edges, unlabelled = _count_classes(found, true, reaches[-1])
        images.append(name)
        parts.append((matrix, class_room.boundary_f1(edges)))
        shares.append((height * width - matrix.sum(), height * width))
        hidden.append(unlabelled)
    _refuse_masks(pairs[0], [matrix for matrix, _ in parts], np.sum(hidden, axis=0))
    count = max(len(names), *(len(matrix) for matrix, _ in parts))
    tallies = np.stack([_widened(*part, count) for part in parts])
    flat = tallies.reshape(len(tallies), -1)
    # What was left out rides along with the counts.
    table = _table("classes", images, np.column_stack([flat, shares]), _with_unlabelled)
    named = class_room.class_names(count, names)
    scores = class_room.class_scores(tallies.sum(0))
    confusion = tallies.sum(0)[:, :count]
    per_class = pd.DataFrame(
        {
            "what": ["class"] * count + list(class_room.AGGREGATES),
            "class": named + [""] * len(class_room.AGGREGATES),
            "pixels": [*confusion.sum(1).astype(int), *[int(confusion.sum())] * 3],
            **scores,
        }
    )[column_names("classes.csv")]
    matrix_table = pd.DataFrame(
        confusion.astype(np.int64), columns=[f"predicted_{name}" for name in named]
    )
    matrix_table.insert(0, "true", named)
    low, high = min(reaches), max(reaches)
    size = f"{low:.1f}" if low == high else f"{low:.1f} to {high:.1f}"
    note = f"boundaries agree within {100 * tolerance:g} % of the diagonal, {size} pixels"
    return Comparison("classes", table, per_class, matrix_table, [note, *_left_out(table)])


def _with_unlabelled(tallies: Array) -> dict[str, Array]:
    found = class_room.flat(tallies[..., :-2])
    return found | {"unlabelled": metrics.ratio(tallies[..., -2], tallies[..., -1])}


def _widened(matrix: Array, boundary: Array, count: int) -> Array:
    """The counts of an image in as many classes as there are anywhere."""
    more = count - len(matrix)
    return class_room.class_tally(
        np.pad(matrix, (0, more)), np.pad(boundary, (0, more), constant_values=np.nan)
    )


def _count_classes(
    pred: LabelImage, truth: LabelImage, distance: float
) -> tuple[Array, Array, Array]:
    """Count an image band by band.

    Returns
    -------
    Confusion (K, K), boundary pixels (K, 4), and unlabelled pixels of truth and prediction (2,).
    """
    height, width = truth.shape
    step = max(1, _BAND // max(width, 1))
    halo = math.ceil(distance) + 1
    matrix, edges, hidden = np.zeros((1, 1)), np.zeros((1, 4)), np.zeros(2)
    for top in range(0, height, step):
        first, last = max(0, top - halo), min(height, top + step + halo)
        true, found = (_class_rows(image, first, last) for image in (truth, pred))
        count = int(max(true.max(initial=0), found.max(initial=0))) + 1
        rows = slice(top - first, min(top + step, height) - first)
        more = max(0, count - len(matrix))
        matrix, edges = np.pad(matrix, (0, more)), np.pad(edges, ((0, more), (0, 0)))
        matrix[:count, :count] += class_room.confusion(true[rows], found[rows], count)
        edges[:count] += class_room.boundary_counts(true, found, count, distance, rows)
        hidden += [np.count_nonzero(side[rows] == UNLABELLED) for side in (true, found)]
    return matrix, edges, hidden


def _refuse_masks(
    example: tuple[str, Path, Path], matrices: Sequence[Array], hidden: Array
) -> None:
    """Refuse masks of 0 and 255, whose foreground would pass for unlabelled."""
    for path, axis, unlabelled in ((example[2], 1, hidden[0]), (example[1], 0, hidden[1])):
        classes = max(int(np.flatnonzero(m.sum(axis)).max(initial=0)) for m in matrices)
        if classes == 0 and unlabelled:
            raise InputError(
                Problem(
                    str(path),
                    "holds nothing but background and unlabelled pixels (255)",
                    "Write a mask as 0 and 1; 255 means that nobody judged the pixel.",
                )
            )


def _class_rows(image: LabelImage, first: int, last: int) -> Labels:
    rows = image.rows(first, last).astype(np.int64)
    rows[rows == image.ignore] = UNLABELLED
    if rows.max(initial=0) >= _MOST_CLASSES:
        raise InputError(
            Problem(
                str(image.path),
                f"holds the class {rows.max()}, and {_MOST_CLASSES} at most are read",
                "Use --kind instances if these are numbers of objects; write a mask as 0 and 1.",
            )
        )
    return rows


# -- boxes -------------------------------------------------------------------------------------

Boxed = dict[str, tuple[box_room.Boxes, box_room.Boxes]]


def _boxes(pairs: Sequence[tuple[str, Path, Path]], kind: Kind, names: Sequence[str]) -> Comparison:
    images: Boxed = {}
    problems: list[Problem] = []
    for name, pred, truth in pairs:
        try:
            found, true = (_boxes_in(path, kind, names) for path in (pred, truth))
        except InputError as error:
            problems += error.problems
            continue
        if len(found) == len(true) == 1:
            ((_, ours),), ((_, theirs),) = found.items(), true.items()
            images[name] = theirs, ours
            continue
        for image in sorted(found.keys() | true.keys()):
            images[image] = true.get(image, box_room.NONE), found.get(image, box_room.NONE)
    if problems:
        raise InputError(problems)
    images, notes = _with_common_classes(images, pairs[0])
    for side, what in enumerate(("true", "predicted")):
        if not any(both[side].classes for both in images.values()):
            notes.append(f"there are no {what} boxes at all")
    return Comparison(kind, _box_table(images), notes=notes)


def _boxes_in(path: Path, kind: Kind, names: Sequence[str]) -> dict[str, box_room.Boxes]:
    """Boxes of a file by image."""
    if path.suffix.lower() in (".csv", ".xml"):
        return box_room.read_boxes(path)
    if kind == "class-boxes":
        with open_label_image(path, "classes") as image:
            classes = _class_rows(image, 0, image.shape[0])
        return {image.name: box_room.boxes_of_classes(classes, names)}
    with open_label_image(path, "instances") as image:
        labels = image.rows(0, image.shape[0]).astype(np.int64)
    labels[labels == ignored(image, labels)] = UNLABELLED
    return {image.name: box_room.boxes_of_labels(labels)}


def _with_common_classes(images: Boxed, example: tuple[str, Path, Path]) -> tuple[Boxed, list[str]]:
    """Leave the classes out where one side has none; refuse classes of other names."""
    true, found = (
        {name for both in images.values() for name in both[side].classes} for side in (0, 1)
    )
    if not true or not found or true & found:
        return images, []
    if "" not in true | found:
        words = [_some(sorted(names)) for names in (found, true)]
        raise InputError(
            Problem(
                str(example[1]),
                f"has the classes {words[0]}, but {example[2]} has {words[1]}",
                "Name the classes alike.",
            )
        )
    bare = {name: (both[0].unclassed(), both[1].unclassed()) for name, both in images.items()}
    return bare, ["one side has no classes: boxes are compared whatever their class"]


def _box_table(images: Boxed) -> pd.DataFrame:
    """Rows of each image and class, then of the classes over all images, then of all."""
    import pandas as pd

    classes = sorted({name for both in images.values() for side in both for name in side.classes})
    counts = np.array(
        [
            [box_room.box_tally(true.of_class(name), found.of_class(name)) for name in classes]
            for true, found in images.values()
        ]
    ).reshape(len(images), len(classes), len(box_room.BOX_FIELDS))
    several = [name for name in classes if name or len(classes) > 1]
    parts = [(name, counts[:, classes.index(name)]) for name in several]
    parts.append(("", counts.sum(1)))
    rows = []
    for name, tallies in parts:
        each = pd.DataFrame(box_room.box_scores(tallies))
        spread = [
            pd.DataFrame([each.mean()]).assign(what="mean", image=""),
            pd.DataFrame([each.std()]).assign(what="sd", image=""),
        ]
        images_rows = each.assign(what="image", image=list(images))
        rows += [
            part.assign(**{"class": name})
            for part in [images_rows, *_pooled(tallies, box_room.box_scores), *spread]
        ]
    return pd.concat(rows, ignore_index=True)[column_names("scores.csv (boxes)")]

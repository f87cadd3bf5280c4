"""Data sets of labelled images: a folder that people, editors and programs can read.

``images/<name>.tif`` holds grey values, one plane a channel; ``labels/<name>.tif`` the number of
the object at each pixel and ``classes/<name>.tif`` its class, one of the two or both; 65535 (255 in
8-bit class images) is a pixel of which nothing is said. ``index.tsv`` says of each image which
source it is from, and more; without it, ``<source>.<anything>.tif`` tells the source.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from gridwell.config.columns import column_names
from gridwell.config.errors import InputError, Problem
from gridwell.config.explain import suggest
from gridwell.config.files import whole, write_json
from gridwell.config.tables import read_table
from gridwell.images.label_files import UNLABELLED, Content, ignored, open_label_image
from gridwell.learn.examples import Example

Split = Literal["train", "validation", "test"]
Kind = Literal["weak", "corrected", "phantom"]
Levels = dict[str, list[tuple[float, float]]]

INDEX = "index.tsv"
COLUMNS = tuple(column_names("index.tsv (data set)"))
NOTHING = 65535
"""A pixel of which nothing is said, in files of 16 bits and more."""
_NOTHING_8 = 255
_FACTS = "facts.json"
_SUFFIXES = (".tif", ".tiff", ".png")


@dataclass(frozen=True)
class Item:
    """An example and its part in a data set.

    Attributes
    ----------
    example
        Image and labels.
    split
        ``train``, ``validation`` or ``test``; None: not decided yet.
    kind
        Whose labels these are: ``weak`` (a conventional method's), ``corrected`` (a person's) or
        ``phantom`` (known exactly).
    """

    example: Example
    split: Split | None = None
    kind: Kind = "corrected"


@dataclass(frozen=True)
class Facts:
    """What is known of a data set beside its images.

    Attributes
    ----------
    levels
        Brightness of sources, (base, span) of each channel.
    notes
        Sentences on how it was made.
    teacher
        Options of the method that drew the weak labels, or None.
    """

    levels: Levels = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    teacher: dict[str, Any] | None = None


def write_dataset(
    folder: Path,
    items: Iterable[Item],
    *,
    facts: Facts | None = None,
) -> None:
    """Write a data set, whole or not at all; same bytes for the same examples.

    Parameters
    ----------
    folder
        Replaced, if it is there.
    items
        Images of whole numbers below 65536; at most 65534 objects each.
    facts
        What else is known of it.
    """
    rows = ["\t".join(COLUMNS)]
    with whole(folder) as part:
        for name in ("images", "labels", "classes"):
            (part / name).mkdir(parents=True)
        for item in items:
            one = item.example
            _write_example(part, one)
            cells = (one.name, one.source, item.split or "", item.kind, f"{one.weight:g}")
            rows.append("\t".join(cells))
        for name in ("labels", "classes"):
            if not any((part / name).iterdir()):
                (part / name).rmdir()
        (part / INDEX).write_text("\n".join(rows) + "\n", encoding="utf-8")
        write_json(part / _FACTS, asdict(facts or Facts()))


def _write_example(folder: Path, example: Example) -> None:
    import tifffile

    image = example.image
    if image.min() < 0 or image.max() > NOTHING or (image != np.round(image)).any():
        raise ValueError(f"{example.name}: grey values are whole numbers from 0 to 65535")
    pixels = {"images": image.astype(np.uint16)}
    if example.labels is not None:
        if example.labels.max(initial=0) >= NOTHING:
            raise ValueError(f"{example.name}: more objects than a label image can number")
        pixels["labels"] = _stored(example.labels, np.uint16, NOTHING)
    if example.classes is not None:
        pixels["classes"] = _stored(example.classes, np.uint8, _NOTHING_8)
    for name, values in pixels.items():
        path = folder / name / f"{example.name}.tif"
        plain = values[0] if name == "images" and len(values) == 1 else values
        tifffile.imwrite(path, plain, photometric="minisblack", compression="zlib")


def _stored(values: npt.NDArray[Any], dtype: type[np.unsignedinteger[Any]], nothing: int) -> Any:
    return np.where(values == UNLABELLED, nothing, values).astype(dtype)


def read_facts(folder: Path) -> Facts:
    """Read what is known of a data set that `write_dataset` wrote; of others, nothing."""
    path = folder / _FACTS
    if not path.is_file():
        return Facts()
    told = json.loads(path.read_text(encoding="utf-8"))
    levels = {name: [(a, b) for a, b in pairs] for name, pairs in told["levels"].items()}
    return Facts(levels, told["notes"], told["teacher"])


def dataset_hash(folder: Path) -> str:
    """SHA-256 of the names and contents of a data set's files, in hex."""
    digest = hashlib.sha256()
    # Snakemake leaves its own time stamps in folders, under names that begin with a dot.
    for path in sorted(folder.rglob("[!.]*")):
        if path.is_file():
            digest.update(str(path.relative_to(folder)).encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def items_hash(items: Iterable[Item], levels: Levels) -> str:
    """SHA-256 of all that can be learned from items and the brightness of their sources."""
    digest = hashlib.sha256()
    for item in items:
        one = item.example
        facts = [one.name, one.source, item.split, item.kind, one.weight, levels.get(one.source)]
        digest.update(json.dumps(facts).encode())
        for array in (one.image, one.labels, one.classes):
            digest.update(b"-" if array is None else f"{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def sides_of(folders: Iterable[Path]) -> dict[str, Split]:
    """Side of each source in data sets that were learned from before.

    A source that one of them was trained on is no test any more, whatever the others say.
    """
    sides: dict[str, Split] = {}
    order = get_args(Split)
    for folder in folders:
        for item in _read_index(folder, [*_files(folder / "images")], []).values():
            source, side = item.example.source, item.split
            if side is not None:
                sides[source] = min(side, sides.get(source, side), key=order.index)
    return sides


def read_dataset(folder: Path, *, instance: bool = True, classes: int = 0) -> list[Item]:
    """Read a data set into memory.

    Parameters
    ----------
    folder
        The data set.
    instance
        Instances are needed of each image, from ``labels/``; else classes, from ``classes/``.
    classes
        Number of classes, if not `instance`.

    Returns
    -------
    items
        In the order of their names.

    Raises
    ------
    InputError
        With everything that is wrong: files that are missing or cannot be read, sizes or
        channels that differ, wrong kinds of labels, rows of the index that fit no image, a source
        that is on both sides of a split.
    """
    items: list[Item] = []
    images = _files(folder / "images")
    partner = "labels" if instance else "classes"
    labels, drawn = _files(folder / "labels"), _files(folder / "classes")
    partners = labels if instance else drawn
    if not images:
        raise InputError(
            Problem(
                str(folder),
                "holds no images",
                "Put images/<name>.tif and labels/<name>.tif (or classes/<name>.tif) there.",
            )
        )
    problems = [
        _without_partner(folder, partner, name, images.get(name))
        for name in sorted({*images} ^ {*partners})
    ]
    facts = _read_index(folder, [*images], problems)
    for name, path in images.items():
        if name not in partners or name not in facts:
            continue
        try:
            item = _read_item(facts[name], path, labels.get(name), drawn.get(name))
            _check_needed(item, folder / partner, None if instance else classes)
            items.append(item)
        except InputError as error:
            problems += error.problems
    problems += _uneven(folder, items)
    problems += _on_both_sides(folder, items)
    if problems:
        raise InputError(problems)
    return items


def _files(folder: Path) -> dict[str, Path]:
    """Image files of a folder by name, in the order of the names."""
    if not folder.is_dir():
        return {}
    return {
        path.stem: path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")
    }


def _without_partner(folder: Path, partner: str, name: str, image: Path | None) -> Problem:
    if image is None:
        return Problem(
            f"{folder / partner / name}.tif",
            "is of no image",
            f"Put the image of the same name into {folder / 'images'}, or take the file away.",
        )
    what = "labels" if partner == "labels" else "classes"
    return Problem(
        str(image),
        f"has no {what}",
        f"Put {name}.tif into {folder / partner}, or take the image away.",
    )


def _read_index(folder: Path, names: list[str], problems: list[Problem]) -> dict[str, Item]:
    """What is said of each image: items without pixels."""
    path = folder / INDEX
    if not path.exists():
        return {name: _item(name, name.rsplit(".", 1)[0]) for name in names}
    file = str(path)
    table = read_table(path, file, known=COLUMNS, required=COLUMNS[:2], separators="\t")
    problems += table.problems
    told: dict[str, Item] = {}
    for line, cells in table.rows:
        name = cells.get("name", "")
        wrong = _wrong_cell(cells, names, [*told])
        if wrong is not None:
            column, reason, remedy = wrong
            problems.append(Problem(file, reason, remedy, line, column, cells.get(column)))
            continue
        split: Any = cells.get("split")
        kind: Any = cells.get("kind", "corrected")
        told[name] = _item(name, cells["source"], split, kind, float(cells.get("weight", 1)))
    missing = [name for name in names if name not in told]
    if missing and not table.problems:
        problems.append(
            Problem(
                file,
                f"has no row for {len(missing)} of the images",
                "Add a row for each, or delete index.tsv where names begin with the source.",
                value=", ".join(missing[:3]),
            )
        )
    return told


def _item(
    name: str,
    source: str,
    split: Split | None = None,
    kind: Kind = "corrected",
    weight: float = 1.0,
) -> Item:
    return Item(Example(name, source, np.zeros((1, 0, 0), np.float32), weight=weight), split, kind)


def _wrong_cell(
    cells: Mapping[str, str], names: Sequence[str], seen: Collection[str]
) -> tuple[str, str, str] | None:
    """Column, reason and remedy of the first mistake in a row of the index."""
    name = cells.get("name", "")
    if name not in names:
        return "name", "is of no image", suggest(name, names, "images")
    if name in seen:
        return "name", "stands twice", "Keep one of the two rows."
    if not cells.get("source"):
        return "source", "is empty", "Name the slide, plate or acquisition that the image is from."
    for column, choices in (("split", get_args(Split)), ("kind", get_args(Kind))):
        given = cells.get(column)
        if given is not None and given not in choices:
            return column, "is not one of the values known here", suggest(given, choices, "one of")
    try:
        weight = float(cells.get("weight", "1"))
    except ValueError:
        weight = 0.0
    if not 0 < weight <= 1:
        return "weight", "is no number above 0 and up to 1", "Write 1, or 0.5 for half of it."
    return None


def _read_item(told: Item, image: Path, labels: Path | None, classes: Path | None) -> Item:
    pixels = read_image(image)
    shape = pixels.shape[1:]
    example = replace(told.example, image=pixels)
    if labels is not None:
        example = replace(example, labels=read_labels(labels, shape, "instances").astype(np.int32))
    if classes is not None:
        example = replace(example, classes=read_labels(classes, shape, "classes").astype(np.int16))
    return replace(told, example=example)


def _check_needed(item: Item, folder: Path, classes: int | None) -> None:
    """Something is labelled, and no class is beyond those that are named."""
    example = item.example
    needed = example.labels if classes is None else example.classes
    file = f"{folder / example.name}.tif"
    if needed is None or (needed == UNLABELLED).all():
        raise InputError(
            Problem(file, "labels nothing", "Label a part of it, or take the image away.")
        )
    if classes is not None and needed.max(initial=0) >= classes:
        raise InputError(
            Problem(
                file,
                f"has classes beyond the {classes} that are named",
                "Number them from 0 (background), and name each in classes.",
                value=int(needed.max()),
            )
        )


def read_image(path: Path) -> npt.NDArray[np.float32]:
    """Read all planes of an image file as float32 (c, h, w), grey values as stored.

    Raises
    ------
    InputError
        If it cannot be read or is a colour image.
    """
    from gridwell.images.reader import inspect, open_plane

    planes = []
    for index in range(inspect(path).planes):
        with open_plane(path, index) as plane:
            if plane.info.samples != 1:
                raise InputError(
                    Problem(str(path), "is a colour image", "Give gray images, a plane a channel.")
                )
            planes.append(plane.rows(0, plane.info.height).astype(np.float32))
    if len({plane.shape for plane in planes}) > 1:
        raise InputError(
            Problem(str(path), "has planes of several sizes", "Export it again, one size only.")
        )
    return np.stack(planes)


def read_labels(path: Path, shape: tuple[int, ...], content: Content) -> npt.NDArray[np.int64]:
    """Read the labels of an image.

    Parameters
    ----------
    path
        TIFF or PNG of whole numbers.
    shape
        (h, w) of the image that is labelled.
    content
        What the numbers mean: objects, or the class of each pixel.

    Returns
    -------
    labels
        (h, w); -1 where the file says that nothing is known.

    Raises
    ------
    InputError
        If the file cannot be read, is of another size, or holds no labels.
    """
    with open_label_image(path, content) as image:
        if image.shape != shape:
            sizes = [" x ".join(map(str, size[::-1])) for size in (image.shape, shape)]
            raise InputError(
                Problem(
                    str(path),
                    f"is {sizes[0]} pixels large, its image {sizes[1]}",
                    "Label the image itself, not a part or an enlargement of it.",
                )
            )
        values = np.asarray(image.rows(0, shape[0]), np.int64)
    nothing = image.ignore if content == "classes" else ignored(image, np.unique(values))
    return values if nothing is None else np.where(values == nothing, UNLABELLED, values)


def _uneven(folder: Path, items: Sequence[Item]) -> Iterator[Problem]:
    """Images with another number of channels than the first."""
    for item in items[1:]:
        first, count = items[0].example, len(item.example.image)
        if count != len(first.image):
            yield Problem(
                f"{folder / 'images' / item.example.name}.tif",
                f"has {count} channels, {first.name}.tif has {len(first.image)}",
                "Give every image the same channels, in the same order.",
            )


def _on_both_sides(folder: Path, items: Sequence[Item]) -> Iterator[Problem]:
    """Sources that are, by the index, on more than one side of the split."""
    sides: dict[str, Split] = {}
    told: set[str] = set()
    for item in items:
        source = item.example.source
        if item.split is None or source in told:
            continue
        if sides.setdefault(source, item.split) != item.split:
            told.add(source)
            yield Problem(
                str(folder / INDEX),
                f"has images of the same source under {sides[source]} and {item.split}",
                "Put all images of a source on one side; else the test tells nothing.",
                column="split",
                value=source,
            )

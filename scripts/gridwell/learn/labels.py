"""Label images on disk, read by rows, and which of them belong together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from gridwell.config.errors import InputError, Problem
from gridwell.images.label_files import Content, LabelImage, open_label_image, stem

Labels = NDArray[Any]

SUFFIXES = (".tif", ".tiff", ".png", ".zarr")


@contextmanager
def open_pair(
    pred: Path, truth: Path, content: Content
) -> Iterator[Iterator[tuple[LabelImage, LabelImage]]]:
    """Open predicted and true labels that belong together: one image, or the spots of a slide.

    Gives pairs of prediction and truth; of a slide, one for each spot.

    Raises
    ------
    InputError
        If they cannot be read or their sizes or spots differ.
    """
    if truth.suffix == ".zarr":
        yield _spots(pred, truth)
        return
    with open_label_image(pred, content) as found, open_label_image(truth, content) as true:
        if found.shape != true.shape:
            sizes = [" x ".join(map(str, image.shape[::-1])) for image in (found, true)]
            raise InputError(
                Problem(
                    str(pred),
                    f"is {sizes[0]} pixels large, but {truth} is {sizes[1]}",
                    "Give predictions of the same images in the same size.",
                )
            )
        yield iter([(found, true)])


def _spots(pred: Path, truth: Path) -> Iterator[tuple[LabelImage, LabelImage]]:
    """Labels of each spot of a slide's channel."""
    from gridwell.images.labels import open_labels as open_stack

    stacks = [open_stack(path) for path in (pred, truth)]
    names = [stack.frame.spots for stack in stacks]
    shapes = [stack.shape for stack in stacks]
    if list(names[0]) != list(names[1]) or shapes[0] != shapes[1]:
        raise InputError(
            Problem(
                str(pred),
                f"has other spots than {truth} ({shapes[0]} and {shapes[1]})",
                "Compare labels of the same slide and the same grid.",
            )
        )
    step = stacks[0].frame.cols
    for start in range(0, len(names[0]), step):
        both = [stack.read(start, min(start + step, len(names[0]))) for stack in stacks]
        for place in range(len(both[0])):
            name = f"{stem(truth)}/{names[0][start + place]}"
            yield (
                _in_memory(name, pred, both[0][place]),
                _in_memory(name, truth, both[1][place]),
            )


def _in_memory(name: str, path: Path, labels: Labels) -> LabelImage:
    height, width = labels.shape
    return LabelImage(name, path, (height, width), lambda y0, y1: labels[y0:y1])


def partners(
    pred: Path, truth: Path, suffixes: Sequence[str] = SUFFIXES
) -> tuple[list[tuple[str, Path, Path]], list[str]]:
    """Find which files belong together: two files, or those of two folders by their stems.

    Parameters
    ----------
    pred, truth
        Two files (or Zarr stores), or two folders of them.
    suffixes
        Endings of the files that count in a folder.

    Returns
    -------
    pairs
        Name, prediction and truth of each image.
    rest
        Predictions without truth, which are left out.

    Raises
    ------
    InputError
        If one is missing, both are the same, or a true image has no prediction.
    """
    if pred.exists() and truth.exists() and pred.samefile(truth):
        raise InputError(
            Problem(str(pred), f"is {truth} itself", "Name the predictions first, then the truth.")
        )
    found, true = images_of(pred, suffixes), images_of(truth, suffixes)
    if is_folder(pred) != is_folder(truth):
        raise InputError(
            Problem(str(pred), f"and {truth} are a file and a folder", "Give two of a kind.")
        )
    if not is_folder(truth):
        (name,), (one,), (other,) = true, found.values(), true.values()
        return [(name, one, other)], []
    if missing := sorted(true.keys() - found.keys()):
        raise InputError(
            Problem(
                str(true[name]),
                f"has no partner in {pred}",
                f"Put {name} with any of {', '.join(suffixes)} there, or take its truth away.",
            )
            for name in missing
        )
    return [(name, found[name], true[name]) for name in sorted(true)], sorted(
        found.keys() - true.keys()
    )


def is_folder(path: Path) -> bool:
    """Tell a folder of images from one image; a Zarr store is one."""
    return path.is_dir() and path.suffix != ".zarr"


def images_of(path: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    """Files of a folder by their stems; a single file is alone.

    Raises
    ------
    InputError
        If there are none, or two of the same stem.
    """
    if not is_folder(path):
        if not path.exists() and not path.is_symlink():
            raise InputError(Problem(str(path), "is not there", "Correct the path."))
        return {stem(path): path}
    images: dict[str, Path] = {}
    problems = []
    for file in sorted(path.iterdir()):
        if file.suffix.lower() not in suffixes or file.name.startswith("."):
            continue
        if stem(file) in images:
            reason = f"has the name of {images[stem(file)].name}"
            problems.append(Problem(str(file), reason, "Keep one of the two in this folder."))
        images[stem(file)] = file
    if not images:
        reason, kinds = "holds no images", ", ".join(suffixes)
        problems.append(Problem(str(path), reason, f"Name a folder of files {kinds}."))
    if problems:
        raise InputError(problems)
    return images

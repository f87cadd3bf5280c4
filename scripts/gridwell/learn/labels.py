"""Label images on disk, read by rows, and which of them belong together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gridwell.config.errors import InputError, Problem
from gridwell.images.reader import open_plane
from gridwell.learn.metrics import UNLABELLED

Labels = NDArray[Any]
Content = Literal["instances", "classes"]

# What unlabelled pixels are in a file; in signed integers it is -1 as well.
IGNORED: dict[Content, dict[str, int]] = {
    "instances": {"uint16": 65535, "uint32": 65535},
    "classes": {"uint8": 255, "uint16": 65535},
}
SUFFIXES = (".tif", ".tiff", ".png", ".zarr")
_NARROW = ("uint8", "uint16")
_MAX_GIGAPIXELS = 4.0
_LARGEST = 2**31 - 2


@dataclass(frozen=True)
class LabelImage:
    """A label image that is read by rows.

    Attributes
    ----------
    name
        What tables call it.
    path
        The file or store, as the user named it.
    shape
        (h, w).
    rows
        ``rows(y0, y1)`` gives the labels of these rows (y1 - y0, w), integers; -1 is unlabelled.
    ignore
        Label that means unlabelled as well, unless objects are numbered through it.
    """

    name: str
    path: Path
    shape: tuple[int, int]
    rows: Callable[[int, int], Labels]
    ignore: int | None = None


@contextmanager
def open_labels(path: Path, content: Content) -> Iterator[LabelImage]:
    """Open a TIFF or PNG file of labels (8, 16 or 32 bit) or a mask.

    Parameters
    ----------
    path
        The file.
    content
        What the numbers mean: objects, or the class of each pixel.

    Raises
    ------
    InputError
        If it cannot be read or is no label image.
    """
    name = stem(path)
    dtype = _wide_dtype(path)
    if dtype is None:
        with open_plane(path, max_gigapixels=_MAX_GIGAPIXELS) as plane:
            info = plane.info
            if info.samples != 1:
                raise _no_labels(path, "is a colour picture")
            if info.planes != 1:
                raise _no_labels(path, f"holds {info.planes} planes")
            ignore = IGNORED[content].get(info.dtype)
            yield LabelImage(name, path, (info.height, info.width), plane.rows, ignore)
    else:
        labels = _read_wide(path)
        ignore = IGNORED[content].get(str(labels.dtype))

        def rows(y0: int, y1: int) -> Labels:
            return _checked(labels[y0:y1], path)

        yield LabelImage(name, path, labels.shape, rows, ignore)


def _no_labels(path: Path, reason: str) -> InputError:
    remedy = "Save the labels as one gray plane of whole numbers (TIFF or PNG)."
    return InputError(Problem(str(path), reason, remedy))


def _wide_dtype(path: Path) -> str | None:
    """Type of the pixels of a TIFF that the reader of raw images does not take."""
    import tifffile

    if path.suffix.lower() not in (".tif", ".tiff") or not path.is_file():
        return None
    try:
        with tifffile.TiffFile(path, _multifile=False) as tif:
            dtype = str(tif.pages.first.dtype)
    except Exception:  # the reader of raw images says what is wrong with it
        return None
    return None if dtype in _NARROW else dtype


def _read_wide(path: Path) -> Labels:
    """Pixels of a TIFF of whole numbers, mapped where the file allows."""
    import tifffile

    with tifffile.TiffFile(path, _multifile=False) as tif:
        pages: Any = tif.pages
        page = pages[0]
        shape = tuple(length for length in page.shape if length != 1) or (1,)
        planes = sum(not other.is_reduced for other in pages)
        if planes != 1 or len(page.shape) != 2:
            raise _no_labels(path, f"holds {planes} planes of {' x '.join(map(str, shape))}")
        if np.dtype(page.dtype).kind not in "iub":
            raise _no_labels(path, f"holds numbers with decimals ({page.dtype})")
        if page.size > _MAX_GIGAPIXELS * 1e9:
            raise _no_labels(path, f"declares {page.size / 1e9:.3g} gigapixels")
        try:
            pixels: Labels = page.asarray(out="memmap")
        except Exception as error:
            raise _no_labels(path, f"cannot be decoded ({error})") from None
    return pixels


def _checked(block: Labels, path: Path) -> Labels:
    """Labels as integers of 64 bit, -1 where they are below 0."""
    block = block.astype(np.int64)
    if block.size and block.max() > _LARGEST:
        raise _no_labels(path, f"holds the label {block.max()}, more than objects can have")
    return np.maximum(block, UNLABELLED)


def ignored(image: LabelImage, found: Labels) -> int | None:
    """Label that means unlabelled in an image of objects.

    Parameters
    ----------
    image
        The image.
    found
        Its labels, each at least once. Where both neighbours of the number that means unlabelled
        are objects, these are simply so many, and it is one of them.
    """
    if image.ignore is None:
        return None
    so_many = all((found == image.ignore + step).any() for step in (-1, 1))
    return None if so_many else image.ignore


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
    with open_labels(pred, content) as found, open_labels(truth, content) as true:
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


def stem(path: Path) -> str:
    """Name of a file without its endings: what files of the same image share."""
    name = path.stem
    return name.removesuffix(".ome")


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

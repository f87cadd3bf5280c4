"""Label images in files: TIFF or PNG of whole numbers, one for each object or class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gridwell.config.errors import InputError, Problem
from gridwell.images.reader import open_plane

Labels = NDArray[Any]
Content = Literal["instances", "classes"]

UNLABELLED = -1
"""What nobody judged, in memory."""

# What unlabelled pixels are in a file; in signed integers it is -1 as well.
IGNORED: dict[Content, dict[str, int]] = {
    "instances": {"uint16": 65535, "uint32": 65535},
    "classes": {"uint8": 255, "uint16": 65535},
}
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
def open_label_image(path: Path, content: Content) -> Iterator[LabelImage]:
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
    dtype = wide_dtype(path)
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
        labels = read_wide(path)
        ignore = IGNORED[content].get(str(labels.dtype))

        def rows(y0: int, y1: int) -> Labels:
            return _checked(labels[y0:y1], path)

        yield LabelImage(name, path, labels.shape, rows, ignore)


def _no_labels(path: Path, reason: str) -> InputError:
    remedy = "Save it as one gray plane (TIFF or PNG), labels as whole numbers."
    return InputError(Problem(str(path), reason, remedy))


def wide_dtype(path: Path) -> str | None:
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


def read_wide(path: Path, numbers: str = "iub") -> Labels:
    """Pixels of a TIFF of one plane, mapped where the file allows.

    Parameters
    ----------
    path
        The file.
    numbers
        Kinds of numbers that it may hold, as letters of NumPy's dtypes: whole ones.

    Raises
    ------
    InputError
        If it holds something else, is too large or cannot be decoded.
    """
    import tifffile

    with tifffile.TiffFile(path, _multifile=False) as tif:
        pages: Any = tif.pages
        page = pages[0]
        shape = tuple(length for length in page.shape if length != 1) or (1,)
        planes = sum(not other.is_reduced for other in pages)
        if planes != 1 or len(page.shape) != 2:
            raise _no_labels(path, f"holds {planes} planes of {' x '.join(map(str, shape))}")
        if np.dtype(page.dtype).kind not in numbers:
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


def stem(path: Path) -> str:
    """Name of a file without its endings: what files of the same image share."""
    name = path.stem
    return name.removesuffix(".ome")

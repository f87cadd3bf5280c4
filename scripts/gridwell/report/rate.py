"""A page on which people rate two segmentations without knowing which is which."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from gridwell.config.errors import InputError, Problem
from gridwell.images.label_files import open_label_image
from gridwell.images.reader import open_plane
from gridwell.learn.labels import images_of
from gridwell.report.images import rim, webp
from gridwell.report.page import write_page

# Longer side of the pictures: small images are enlarged, so that outlines stay thin.
_MAX_SIDE = 1400
_MIN_SIDE = 900
# Outlines are a pixel wide where a picture of so many pixels fills half of a screen.
_LINE = 500
_IMAGE_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg")
_LABEL_SUFFIXES = (".tif", ".tiff", ".png")
_OUTLINE = (255, 128, 0)


def write_rating_page(
    images: Path,
    segmentations: tuple[Path, Path],
    out: Path,
    *,
    names: tuple[str, str] = ("A", "B"),
    seed: int = 1,
) -> int:
    """Write one HTML file that shows, image by image, two segmentations side by side.

    The order of the images, and which of the two is on the left, are drawn at random; the page
    does not show them before all is rated. It saves a table, ``ratings.csv``.

    Parameters
    ----------
    images
        An image, or a folder of them.
    segmentations
        The two label images, or folders of them, paired with the images by their stems.
    out
        The page.
    names
        Names of the two for the table.
    seed
        Decides the order.

    Returns
    -------
    Number of images.

    Raises
    ------
    InputError
        If files are missing, cannot be read, or differ in size.
    """
    shown = images_of(images, _IMAGE_SUFFIXES)
    pairs = [images_of(path, _LABEL_SUFFIXES) for path in segmentations]
    if not images.is_dir():  # one image: its partners may be called anything
        pairs = [dict.fromkeys(shown, path) for found in pairs for path in found.values()]
    _check_partners(shown, segmentations, pairs)
    rng = np.random.default_rng(seed % 2**32)
    order = [sorted(shown)[index] for index in rng.permutation(len(shown))]
    swapped = rng.permutation(np.arange(len(order)) % 2 == 1)
    cards = []
    for name, swap in zip(order, swapped.tolist(), strict=True):
        picture, outlines = _drawn(shown[name], [found[name] for found in pairs])
        sides = (1, 0) if swap else (0, 1)
        height, width = picture.shape[:2]
        cards.append(
            {
                "picture": webp(picture, 88),
                "outlines": [webp(outlines[side], 101) for side in sides],
                "width": width,
                "height": height,
                "secret": _hidden([name, *(names[side] for side in sides)]),
            }
        )
    key = hashlib.sha256(json.dumps([seed, cards]).encode()).hexdigest()[:16]
    data = {"cards": cards, "page": key, "names": _hidden(sorted(names))}
    write_page(
        out,
        "rate.html.j2",
        scripts=("rate.js",),
        style=("style.css", "rate.css"),
        data=data,
        count=len(cards),
    )
    return len(cards)


def _check_partners(
    shown: dict[str, Path], folders: Sequence[Path], pairs: Sequence[dict[str, Path]]
) -> None:
    problems = [
        Problem(
            str(shown[name]),
            f"has no partner in {folder}",
            f"Put {name} with any of {', '.join(_LABEL_SUFFIXES)} there, or take the image away.",
        )
        for folder, found in zip(folders, pairs, strict=True)
        for name in sorted(shown.keys() - found.keys())
    ]
    if problems:
        raise InputError(problems)


def _drawn(image: Path, labels: Sequence[Path]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Picture of an image (h, w, 3), and outlines of its segmentations (h, w, 4)."""
    with open_plane(image) as plane:
        pixels = plane.rows(0, plane.info.height)
    height, width = pixels.shape[:2]
    side = max(height, width)
    factor = _MAX_SIDE / side if side > _MAX_SIDE else float(-(-_MIN_SIDE // side))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    picture = cv2.resize(_eight_bit(pixels), size, interpolation=how)
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, axis=2)
    return picture, [_outlined(path, image, (height, width), size) for path in labels]


def _outlined(path: Path, image: Path, shape: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    with open_label_image(path, "instances") as found:
        if found.shape != shape:
            sizes = [f"{width} x {height}" for height, width in (found.shape, shape)]
            raise InputError(
                Problem(
                    str(path),
                    f"is {sizes[0]} pixels large, but {image} is {sizes[1]}",
                    "Give segmentations of the same images in the same size.",
                )
            )
        labels = found.rows(0, shape[0])
    rows, cols = (np.arange(n) * m // n for n, m in ((size[1], shape[0]), (size[0], shape[1])))
    labels = labels[np.ix_(rows, cols)]
    wide = np.ones((max(1, 2 * round(max(size) / _LINE) - 1),) * 2, np.uint8)
    line = cv2.dilate(rim(labels).astype(np.uint8), wide).astype(bool) & (labels > 0)
    overlay = np.zeros((*labels.shape, 4), np.uint8)
    overlay[line] = (*_OUTLINE, 255)
    return overlay


def _eight_bit(pixels: np.ndarray) -> np.ndarray:
    """Gray values between black and white for the eye; colours as they are."""
    if pixels.ndim == 3:
        return pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
    black, white = np.percentile(pixels, [0.5, 99.8])
    light = (pixels.astype(np.float32) - black) / max(white - black, 1.0)
    return np.round(255 * np.clip(light, 0, 1) ** 0.8).astype(np.uint8)


def _hidden(value: Any) -> str:
    """Write so that nobody reads it in passing, in the page's source either."""
    return base64.b64encode(json.dumps(value).encode()).decode()[::-1]

"""Training crops for the network that finds elements: what it is shown and what it shall say."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gridwell.config.files import whole
from gridwell.network.elements import Image, local_contrast, resized

# Side of a crop in pixels: more than the network can see from any one of them.
SIDE = 256
# Spacing of the spots in a crop, in pixels: what the network is for (8 to 40), and a little beyond.
_PITCH = (7.0, 56.0)
# An image without a grid is shown in any size in which a whole image may be.
_SIDES = (128, 1024)
# A centre is a Gaussian of this width, in spacings, but wide enough to be drawn.
_SIGMA = 0.12
_MIN_SIGMA = 0.7
# Contrast of about -5..5 in 8 bits.
GRAY_STEPS = 25.0

Draw = Callable[[int], "Example"]


@dataclass(frozen=True)
class Example:
    """An image with known truth.

    Attributes
    ----------
    image
        Gray image (h, w) of about 0..1.
    centres
        Centres of the elements that are there, (n, 2) as x, y in pixels; none on an image
        without a grid.
    pitch
        Smallest spacing of neighbours, in pixels; NaN without a grid.
    foreground
        (h, w) in 0..1, how much of each pixel elements cover.
    """

    image: Image
    centres: npt.NDArray[np.float64]
    pitch: float
    foreground: Image


@dataclass(frozen=True)
class Crops:
    """Crops of many images.

    Attributes
    ----------
    image
        Local contrast (n, 256, 256), int8 in steps of 1 / 25.
    centre, foreground
        Targets (n, 128, 128), uint8 in steps of 1 / 255.
    """

    image: npt.NDArray[np.int8]
    centre: npt.NDArray[np.uint8]
    foreground: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.image)


def crop_example(example: Example, rng: np.random.Generator) -> Crops:
    """Cut crops from an image in one random size.

    Parameters
    ----------
    example
        The image and its truth.
    rng
        Decides on size and places.

    Returns
    -------
    One to three crops, more of a larger image.
    """
    factor = _factor(example, rng)
    image = local_contrast(resized(example.image, factor))
    foreground = resized(example.foreground, 2 * factor)
    centre = _heat(example, factor, foreground.shape)
    count = int(np.clip(round(image.size / SIDE**2), 1, 3))
    cuts = [_cut((image, centre, foreground), rng) for _ in range(count)]
    shown, heat, covered = (np.stack(part) for part in zip(*cuts, strict=True))
    return Crops(
        np.round(shown * GRAY_STEPS).astype(np.int8),
        np.round(heat * 255).astype(np.uint8),
        np.round(np.clip(covered, 0, 1) * 255).astype(np.uint8),
    )


def _factor(example: Example, rng: np.random.Generator) -> float:
    """Pixels of the image per pixel of the crop."""
    if math.isfinite(example.pitch):
        pitch = math.exp(rng.uniform(*np.log(_PITCH)))
        return max(example.pitch / pitch, 0.5)
    side = math.exp(rng.uniform(*np.log(_SIDES)))
    return max(max(example.image.shape) / side, 0.5)


def _heat(example: Example, factor: float, shape: tuple[int, ...]) -> Image:
    """Draw a Gaussian of height 1 at each centre, at half the size of the crop."""
    heat = np.zeros(shape, np.float32)
    if not len(example.centres):
        return heat
    sigma = max(_SIGMA * example.pitch / (2 * factor), _MIN_SIGMA)
    reach = math.ceil(3 * sigma)
    for x, y in (example.centres + 0.5) / (2 * factor) - 0.5:
        left, top = max(0, round(x) - reach), max(0, round(y) - reach)
        patch = heat[top : max(0, round(y) + reach + 1), left : max(0, round(x) + reach + 1)]
        rows, cols = np.ogrid[top : top + patch.shape[0], left : left + patch.shape[1]]
        np.maximum(patch, np.exp(-((cols - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2)), out=patch)
    return heat


def _cut(planes: Sequence[Image], rng: np.random.Generator) -> list[Image]:
    """Cut the same square from the image and, at half the size, from its targets.

    Where the image is smaller than a crop it lies somewhere in it, on flat ground.
    """
    places = []
    for length in planes[0].shape:
        room = (length - SIDE) // 2
        shift = int(rng.integers(0, abs(room) + 1))
        places.append((shift, 0) if room > 0 else (0, shift))
    cuts = []
    for plane, size in zip(planes, (SIDE, SIDE // 2, SIDE // 2), strict=True):
        step = 2 * size // SIDE
        (top, above), (left, before) = ((a * step, b * step) for a, b in places)
        part = plane[top : top + size, left : left + size]
        out = np.zeros((size, size), np.float32)
        out[above : above + part.shape[0], before : before + part.shape[1]] = part[
            : size - above, : size - before
        ]
        cuts.append(out)
    return cuts


def make_crops(draw: Draw, seeds: Iterable[int]) -> Crops:
    """Draw images and cut crops from them; the same for the same seeds.

    Parameters
    ----------
    draw
        Gives the image of a seed.
    seeds
        One for each image.
    """
    parts = [crop_example(draw(seed), np.random.default_rng([seed, 1])) for seed in seeds]
    return joined(parts)


def joined(parts: Sequence[Crops]) -> Crops:
    """Put crops together."""
    return Crops(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("image", "centre", "foreground")
        )
    )


def cached_crops(folder: Path, draw: Draw, seeds: Sequence[int], chunk: int = 100) -> Crops:
    """Crops of many images, kept on disk so that another training need not draw them again.

    Parameters
    ----------
    folder
        Where they are kept, `chunk` images in a file. To be removed when `draw` changes.
    draw, seeds
        As of `make_crops`.
    chunk
        Images in a file.
    """
    parts = []
    for start in range(0, len(seeds), chunk):
        some = seeds[start : start + chunk]
        path = folder / f"{some[0]}-{some[-1]}.npz"
        if not path.exists():
            crops = make_crops(draw, some)
            with whole(path) as part, part.open("wb") as file:
                np.savez(file, **vars(crops))
        with np.load(path, allow_pickle=False) as stored:
            parts.append(Crops(**stored))
    return joined(parts)

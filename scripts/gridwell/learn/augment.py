"""Crops of examples, changed as other microscopes and other cells would change them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from gridwell.images.label_files import UNLABELLED
from gridwell.learn.examples import Example
from gridwell.learn.targets import instance_targets
from gridwell.network.cells import Brightness, brightness, with_curve

Image = npt.NDArray[np.float32]
_KNOTS = 24


@dataclass(frozen=True)
class Augmentation:
    """How far crops are changed.

    Attributes
    ----------
    scale
        Smallest and largest magnification.
    diameters
        Objects are not magnified beyond these diameters, in pixels.
    rotate
        Turn by any angle; without, by quarters only.
    elastic
        Largest displacement of a crop's parts against each other, in pixels.
    intensity
        Whether gain, offset, response, blur and noise are changed.
    """

    scale: tuple[float, float] = (0.5, 2.2)
    diameters: tuple[float, float] = (8.0, 60.0)
    rotate: bool = True
    elastic: float = 3.0
    intensity: bool = True


@dataclass(frozen=True)
class Prepared:
    """An example with what the network shall say of it.

    Attributes
    ----------
    image
        float32 (c, h, w), background at 0 and bright objects at 1.
    targets
        float32 (m, h, w): cell distance, neighbour distance and inside of instances; or the
        class of each pixel.
    weight
        float32 (h, w), 0 where nothing is known.
    diameter
        Of a disc of the median area of the objects, in pixels; None: not known.
    """

    image: Image
    targets: Image
    weight: Image
    diameter: float | None = None


def prepare(
    example: Example, *, instance: bool, levels: list[Brightness] | None = None
) -> Prepared:
    """Bring an example to what the network is shown and shall say.

    Parameters
    ----------
    example
        With labels, or classes where `instance` is false.
    instance
        Learn instances; else the classes of pixels.
    levels
        Brightness of the example's source, per channel; None: measured on the example.
    """
    levels = levels or [brightness(channel) for channel in example.image]
    base = np.array([level.base for level in levels], np.float32)[:, None, None]
    span = np.array([level.span for level in levels], np.float32)[:, None, None]
    image = np.clip((example.image - base) / span, -1, 8).astype(np.float32)
    if instance:
        assert example.labels is not None
        maps = instance_targets(example.labels)
        targets = np.stack([maps.cell, maps.neighbour, maps.inside])
        weight, diameter = maps.weight, _diameter(example.labels)
    else:
        assert example.classes is not None
        targets = np.maximum(example.classes, 0).astype(np.float32)[None]
        weight, diameter = (example.classes != UNLABELLED).astype(np.float32), None
    return Prepared(image, targets, weight * np.float32(example.weight), diameter)


def _diameter(labels: npt.NDArray[np.int32]) -> float | None:
    area = np.bincount(labels[labels > 0])
    area = area[area > 0]
    return float(np.sqrt(4 / np.pi * np.median(area))) if area.size else None


@dataclass(frozen=True)
class Change:
    """How a crop is changed: all that is left to chance, before anything is computed.

    Attributes
    ----------
    zoom, angle, flip
        Magnification; in radians; -1 where it is mirrored, else 1.
    centre
        Of the crop in the image: row, column.
    bent
        Displacements at knots, (2, knots, knots); None: not bent.
    exposures
        Of each channel; none: the intensity stays.
    """

    zoom: float
    angle: float
    flip: int
    centre: tuple[float, float]
    bent: Image | None
    exposures: tuple[Exposure, ...]


@dataclass(frozen=True)
class Exposure:
    """How a channel is changed, as by another exposure, camera and focus.

    Attributes
    ----------
    gain, offset, power, blur
        Of the brightness, its response, and the focus in pixels; None: not changed.
    uneven
        Background at 3 x 3 places.
    noise, coarse
        float32 (side, side); and whether neighbours share it.
    """

    gain: np.float32
    offset: np.float32
    uneven: Image | None
    unevenness: np.float32
    power: np.float32 | None
    blur: float | None
    noise: Image | None
    coarse: bool
    noisiness: np.float32


def decide(prepared: Prepared, side: int, how: Augmentation, rng: np.random.Generator) -> Change:
    """Decide how a crop is changed.

    Parameters
    ----------
    prepared
        What to crop from.
    side
        Of the crop, in pixels.
    how
        How far to change.
    rng
        Decides.
    """
    zoom = float(np.exp(rng.uniform(*np.log(how.scale))))
    if prepared.diameter:
        low, high = how.diameters
        zoom = min(max(zoom, low / prepared.diameter), high / prepared.diameter)
    angle = rng.uniform(0, 2 * np.pi) if how.rotate else rng.integers(4) * np.pi / 2
    flip = 1 - 2 * int(rng.integers(2))
    reach = side / zoom / 2
    row, column = (
        rng.uniform(min(reach, length / 2), max(length - reach, length / 2))
        for length in prepared.weight.shape
    )
    bent: Image | None = None
    if how.elastic:
        knots = side // _KNOTS + 2
        amount = how.elastic * rng.uniform(0, 1) ** 2
        bent = rng.normal(0, 0.5 * amount, (2, knots, knots)).astype(np.float32)
    channels = prepared.image if how.intensity else ()
    exposures = tuple(_exposure(side, rng) for _ in channels)
    return Change(zoom, angle, flip, (row, column), bent, exposures)


def make_crop(prepared: Prepared, side: int, change: Change) -> tuple[Image, Image, Image]:
    """Make a changed crop.

    The whole change of place is one resampling: bilinear for images and distances, which have
    no scale, nearest for classes. Beyond the image it is mirrored and counts as unlabelled.

    Parameters
    ----------
    prepared, side
        As of `decide`.
    change
        What it decided.

    Returns
    -------
    image, targets, weight
        float32 (2 c, side, side), (m, side, side), (side, side).
    """
    x, y = _places(side, change)
    linear = cv2.INTER_LINEAR
    image: Image = np.stack(
        [cv2.remap(one, x, y, linear, borderMode=cv2.BORDER_REFLECT_101) for one in prepared.image],
        dtype=np.float32,
    )
    classes = len(prepared.targets) == 1
    targets: Image = np.stack(
        [
            cv2.remap(
                one,
                x,
                y,
                cv2.INTER_NEAREST if classes or index == 2 else linear,
                borderMode=cv2.BORDER_REFLECT_101,
            )
            for index, one in enumerate(prepared.targets)
        ],
        dtype=np.float32,
    )
    weight = cv2.remap(
        prepared.weight, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=0
    )
    if change.exposures:
        exposed = zip(image, change.exposures, strict=True)
        image = np.stack([_exposed(one, exposure) for one, exposure in exposed])
    return with_curve(np.clip(image, -0.5, 4)), targets, weight.astype(np.float32)


def _places(side: int, change: Change) -> tuple[Image, Image]:
    """Where each pixel of a crop comes from."""
    middle = (side - 1) / 2
    v, u = (np.mgrid[:side, :side] - middle) / change.zoom
    u = change.flip * u
    cos, sin = np.cos(change.angle), np.sin(change.angle)
    x, y = cos * u - sin * v, sin * u + cos * v
    if change.bent is not None:
        x = x + cv2.resize(change.bent[0], (side, side), interpolation=cv2.INTER_CUBIC)
        y = y + cv2.resize(change.bent[1], (side, side), interpolation=cv2.INTER_CUBIC)
    row, column = change.centre
    return np.asarray(x + column, np.float32), np.asarray(y + row, np.float32)


def _exposure(side: int, rng: np.random.Generator) -> Exposure:
    gain = np.float32(np.exp(rng.normal(0, 0.3)))
    offset = np.float32(rng.normal(0, 0.04))
    uneven, unevenness = None, np.float32(0)
    if rng.random() < 0.3:
        uneven = rng.normal(0, 1, (3, 3)).astype(np.float32)
        unevenness = np.float32(abs(rng.normal(0, 0.1)))
    power = np.float32(np.exp(rng.normal(0, 0.3))) if rng.random() < 0.5 else None
    blur = rng.uniform(0.5, 2.0) if rng.random() < 0.25 else None
    noise, coarse, noisiness = None, False, np.float32(0)
    if rng.random() < 0.5:
        noise, coarse = rng.standard_normal((side, side), np.float32), rng.random() < 0.3
        noisiness = np.float32(0.12 * rng.uniform(0, 1) ** 2)
    return Exposure(gain, offset, uneven, unevenness, power, blur, noise, coarse, noisiness)


def _exposed(image: Image, exposure: Exposure) -> Image:
    """Change a channel."""
    side = image.shape[0]
    image = image * exposure.gain + exposure.offset
    if exposure.uneven is not None:
        image = image + exposure.unevenness * cv2.resize(
            exposure.uneven, (side, side), interpolation=cv2.INTER_CUBIC
        )
    if exposure.power is not None:
        image = np.sign(image) * np.abs(image).astype(np.float32) ** exposure.power
    if exposure.blur is not None:
        image = cv2.GaussianBlur(image, (0, 0), exposure.blur)
    if exposure.noise is not None:
        noise = exposure.noise
        if exposure.coarse:
            noise = 2 * cv2.GaussianBlur(noise, (0, 0), 0.8)
        image = image + exposure.noisiness * noise
    return np.asarray(image, np.float32)

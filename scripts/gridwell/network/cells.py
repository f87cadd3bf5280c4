"""Cells by a network: where their centres are, where they touch, which class a pixel has.

Brightness is taken from the whole image or slide, never from a crop alone: an empty spot that
is stretched to full contrast is full of cells made of noise. PyTorch is imported only when maps
are computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gridwell.config.errors import InputError, Problem
from gridwell.network.device import Numbers, Policy, Precision, device, numbers, one_thread
from gridwell.network.tiles import ReadRows, Tiling, stream_maps

if TYPE_CHECKING:
    from gridwell.network.eight_bits import EightBits
    from gridwell.network.unet import UNet

Image = npt.NDArray[np.float32]

# What the facts of such a network say that it is.
KIND = "cells"

# Noise of the background above which a pixel belongs to something bright.
_BRIGHT = 6.0
# What is bright is scaled to 1, but never less than this many times the noise.
_LEAST_RANGE = 20.0
_SAMPLE = 250_000
LIMITS = (-0.5, 4.0)
"""Between which a network is shown anything."""
# Faint objects, 30 times fainter than the bright ones, are shown by a curve of their own.
_STEEPNESS = 30.0


@dataclass(frozen=True)
class Brightness:
    """Grey values of one channel that a network is shown as 0 and 1.

    Attributes
    ----------
    base
        Level of the background.
    span
        Height of bright objects above it.
    """

    base: float
    span: float


def brightness(values: npt.NDArray[np.generic]) -> Brightness:
    """Measure the brightness of a channel.

    Independent of how many objects there are: the background is the mode of the lower values,
    the span what nine tenths of the pixels well above the noise stay below.

    Parameters
    ----------
    values
        Grey values of an image or of a sample of a slide, any shape.
    """
    flat = values.reshape(-1)
    flat = np.sort(flat[:: max(1, flat.size // _SAMPLE)].astype(np.float32))
    if flat.size == 0:
        return Brightness(0.0, 1.0)
    base, noise = _background(flat)
    bright = flat[flat > base + _BRIGHT * noise]
    # A handful of hot pixels is no object.
    span = float(np.quantile(bright, 0.9)) - base if bright.size > 1e-4 * flat.size else 0.0
    return Brightness(base, max(span, _LEAST_RANGE * noise))


def _background(ordered: Image) -> tuple[float, float]:
    """Level and noise of the background: the mode, and the spread of what lies below it."""
    lower = ordered[: max(1, int(0.9 * ordered.size))]
    part = max(1, lower.size // 4)
    widths = lower[part - 1 :] - lower[: lower.size - part + 1]
    start = int(np.argmin(widths))
    base = float(np.median(lower[start : start + part]))
    below = base - ordered[ordered < base]
    spread = 1.4826 * float(np.median(below)) if below.size else 0.0
    # Whole grey values are never less noisy than their rounding.
    least = 0.3 if np.all(lower[:100] == np.round(lower[:100])) else 1e-6
    return base, max(spread, least)


def shown(image: npt.NDArray[np.generic], levels: Sequence[Brightness]) -> Image:
    """Bring an image to what the network is shown.

    Parameters
    ----------
    image
        Grey values (c, h, w).
    levels
        Of each channel.

    Returns
    -------
    float32 (2 c, h, w): each channel with its background at 0 and its bright objects at 1, and
    then each once more on a curve that lifts faint objects.
    """
    base = np.array([level.base for level in levels], np.float32)[:, None, None]
    span = np.array([level.span for level in levels], np.float32)[:, None, None]
    return with_curve(np.clip((image.astype(np.float32) - base) / span, *LIMITS))


def with_curve(linear: Image) -> Image:
    """Add to channels (c, …) the same on a curve that is steep for what is faint."""
    curve = np.arcsinh(_STEEPNESS * linear) / np.float32(np.arcsinh(_STEEPNESS))
    return np.concatenate([linear, curve.astype(np.float32)])


@dataclass(frozen=True)
class Maps:
    """What a network sees in an image.

    Attributes
    ----------
    cell, neighbour
        float32 (h, w), about 0..1: distance to the outline of the object over its largest, and
        nearness of another object. None for a network of classes.
    chance
        float32 (k, h, w): chance of each class, background first. For instances the classes are
        background and object.
    """

    cell: Image | None
    neighbour: Image | None
    chance: Image


class CellNetwork:
    """A trained network of cells, on one device.

    Attributes
    ----------
    facts
        What was written with the weights: ``classes`` (names, background first), ``instance``
        (whether it knows instances), and ``ranges`` of its layers, where they were measured.
    channels
        Number of channels of an image.
    numbers
        What it multiplies: ``int8``, ``bfloat16`` or ``float32``.

    Raises
    ------
    ValueError
        If whole numbers are asked for and it has no ranges or is on a GPU, or as `EightBits`.
    """

    def __init__(
        self,
        network: UNet,
        facts: dict[str, Any],
        *,
        policy: Policy = "allow",
        precision: Precision = "auto",
    ) -> None:
        self.facts = facts
        self.channels = network.inputs // 2
        self._place = device(policy)
        ranges = facts.get("ranges")
        self.numbers: Numbers = numbers(self._place, precision, whole=ranges is not None)
        self._network: UNet | EightBits
        if self.numbers != "int8":
            self._network = network.to(self._place)
        elif self.on_gpu:
            raise ValueError("a GPU does not; with gpu: forbid a CPU does")
        elif ranges is None:
            raise ValueError("it was trained without ranges; a new training measures them")
        else:
            from gridwell.network.eight_bits import EightBits

            self._network = EightBits(network, ranges)

    @classmethod
    def load(
        cls, path: Path, *, policy: Policy = "allow", precision: Precision = "auto"
    ) -> CellNetwork:
        """Read weights, once per process, file and device.

        Raises
        ------
        InputError
            If the file is missing, holds no network of cells or none for the precision that is
            asked for, or a GPU is required and there is none.
        """
        return _load(path, policy, precision)

    @property
    def reach(self) -> int:
        """Pixels beyond which no input changes an output, in each direction."""
        return self._network.reach

    @property
    def on_gpu(self) -> bool:
        """Whether maps are computed on a GPU."""
        return self._place.type == "cuda"

    def compute(self, images: Image) -> Image:
        """Compute the maps (n, m, h, w) of images (n, 2 c, h, w) as `shown` gives them.

        The sides must be multiples of the network's stride.
        """
        import torch

        batch = torch.from_numpy(images)
        if self.on_gpu:
            batch = batch.pin_memory()
        with (
            one_thread(),
            torch.inference_mode(),
            torch.autocast(self._place.type, torch.bfloat16, enabled=self.numbers == "bfloat16"),
        ):
            placed = batch.to(self._place, memory_format=torch.channels_last, non_blocking=True)
            maps = self._network(placed).float()
            first = 2 if self.facts["instance"] else 0
            maps[:, first:] = torch.softmax(maps[:, first:], 1)
            return maps.cpu().numpy()

    def maps(self, image: npt.NDArray[Any], levels: Sequence[Brightness] | None = None) -> Maps:
        """Compute the maps of one image that fits into memory.

        Parameters
        ----------
        image
            Grey values (h, w) or (c, h, w).
        levels
            Brightness of each channel; None: measured on the image.
        """
        return self.maps_of([image], None if levels is None else [levels])[0]

    def maps_of(
        self,
        images: Sequence[npt.NDArray[Any]],
        levels: Sequence[Sequence[Brightness]] | None = None,
    ) -> list[Maps]:
        """Compute the maps of images of any sizes in one batch.

        Parameters
        ----------
        images
            Grey values, (h, w) or (c, h, w) each.
        levels
            Brightness of each channel of each image; None: measured.
        """
        from gridwell.network.unet import STRIDE

        stacks = [image if image.ndim == 3 else image[None] for image in images]
        tall, wide = (
            -(-max(stack.shape[axis] for stack in stacks) // STRIDE) * STRIDE for axis in (1, 2)
        )
        batch = np.stack(
            [
                _enlarged(shown(stack, own or [brightness(c) for c in stack]), tall, wide)
                for stack, own in zip(stacks, levels or [()] * len(stacks), strict=True)
            ]
        )
        return [
            self._named(maps[:, : stack.shape[1], : stack.shape[2]])
            for maps, stack in zip(self.compute(batch), stacks, strict=True)
        ]

    def stream(
        self,
        read_rows: ReadRows,
        height: int,
        width: int,
        levels: Sequence[Brightness],
        tiling: Tiling | None = None,
    ) -> Iterator[tuple[int, Maps]]:
        """Compute the maps of an image of any size, see `gridwell.network.tiles.stream_maps`.

        Parameters
        ----------
        read_rows
            ``read_rows(y0, y1)`` gives grey values (y1 - y0, width) or (c, y1 - y0, width).
        height, width
            Size of the image.
        levels
            Brightness of each channel.
        tiling
            How to cut; None: so that no seams are left.
        """
        from gridwell.network.unet import STRIDE

        tiling = tiling or Tiling.seamless(self.reach, STRIDE)

        def rows(y0: int, y1: int) -> Image:
            band = read_rows(y0, y1)
            return shown(band if band.ndim == 3 else band[None], levels)

        for y0, maps in stream_maps(
            rows, height, width, self.compute, stride=STRIDE, reach=self.reach, tiling=tiling
        ):
            yield y0, self._named(maps)

    def _named(self, maps: Image) -> Maps:
        if self.facts["instance"]:
            return Maps(maps[0], maps[1], maps[2:])
        return Maps(None, None, maps)


def _enlarged(image: Image, height: int, width: int) -> Image:
    """Let the last rows and columns of an image (c, h, w) go on."""
    below, right = height - image.shape[1], width - image.shape[2]
    return np.pad(image, ((0, 0), (0, below), (0, right)), mode="edge")


def facts_of(path: Path) -> dict[str, Any]:
    """Read what was written with the weights of a network of cells, and not the weights.

    Raises
    ------
    InputError
        As `CellNetwork.load`, but for the GPU.
    """
    from gridwell.network.weights import load_facts

    facts = load_facts(path)
    right = facts.get("kind") == KIND and isinstance(facts.get("instance"), bool)
    if not (right and _are_ranges(facts.get("ranges", []))):
        raise InputError(
            Problem(
                file=str(path),
                reason="these are not the weights of a network of cells",
                remedy="Name a network of cells that comes with gridwell, or one of the study "
                "(models/…)",
            )
        )
    return facts


def _are_ranges(ranges: object) -> bool:
    """Whether something is a list of sizes."""
    return isinstance(ranges, list) and all(
        isinstance(value, float | int) and 0 < value < math.inf for value in ranges
    )


@lru_cache(maxsize=4)
def _load(path: Path, policy: Policy, precision: Precision) -> CellNetwork:
    from gridwell.network.weights import load_network

    facts, network = facts_of(path), load_network(path)
    try:
        return CellNetwork(network, facts, policy=policy, precision=precision)
    except ValueError as error:
        reason = f"this network cannot compute in whole numbers of 8 bits: {error}"
        remedy = "Set precision: auto"
        raise InputError(Problem(str(path), reason, remedy)) from error

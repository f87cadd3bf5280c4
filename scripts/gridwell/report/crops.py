"""Every spot of a slide in every channel, small enough to be embedded in one page.

A spot is two pictures: its channels side by side in gray, and the outlines of the objects of
each channel, laid out alike. The page tints, mixes and overlays them.
"""

from __future__ import annotations

import base64
import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray

from gridwell.images.labels import LabelStack, open_labels
from gridwell.images.spots import SpotFrame, SpotStack
from gridwell.report import images

SIDES = (320, 256, 224, 208, 192, 176, 160, 144, 128, 120, 112, 104, 96, 64, 48)
_SAMPLE = 32
# All are drawn again, smaller, where the sample told too little: a costly surprise.
_SPARE = 1.05
# Spots in memory together, in all channels and with labels: 6 MB a spot of 576 pixels.
_AT_ONCE = 8
# Of WebP: half of the usual effort, for 8 % more bytes.
_LIGHT = {"lossless": False, "level": 30, "method": 2}
_OUTLINES = {"lossless": True, "level": 20, "method": 1}
# Shown around a spot, as a share of its width and height: less than what was cut out.
_MARGIN = 0.04

Pixels = NDArray[np.uint8]
Spot = tuple[str, str]


def crops(stack: SpotStack, labels: Mapping[str, Path], most_bytes: int) -> dict[str, Any] | None:
    """Pictures of all spots for the page, as large as `most_bytes` allows; None: none would fit.

    Returns
    -------
    dict
        ``width`` and ``height`` of a panel, ``bar`` (length of the scale bar as a share of the
        width, and in micrometres), ``panels`` (name, colour in the mixed picture or None,
        whether outlined) and ``spots``: for each name both pictures as base64 of WebP, the
        second one empty where there is no object.
    """
    strips = _Strips(stack, labels)
    count = len(stack.names)
    # Single spots spread over the slide tell how large all will be, nearly.
    picks = sorted({round(k) for k in np.linspace(0, count - 1, min(_SAMPLE, count))})
    sample = [next(iter(strips.read(at, at + 1))) for at in picks]

    def fits(side: int) -> bool:
        drawn = _bytes(strips.draw(spot, strips.panel(side)) for spot in sample)
        return _SPARE * drawn * count <= most_bytes * len(sample)

    for side in SIDES[bisect_left(SIDES, True, key=fits) :]:
        size = strips.panel(side)
        made = [
            strips.draw(spot, size)
            for start in range(0, count, _AT_ONCE)
            for spot in strips.read(start, min(start + _AT_ONCE, count))
        ]
        if _bytes(made) > most_bytes:
            continue
        cols = strips.window[1]
        bar = images.scale_bar(cols.stop - cols.start, stack.frame.pixel_size_um)
        return {
            "width": size[0],
            "height": size[1],
            "bar": bar,
            "panels": strips.panels,
            "spots": dict(zip(stack.names, made, strict=True)),
        }
    return None


def _bytes(spots: Iterable[Spot]) -> int:
    return sum(len(picture) for spot in spots for picture in spot)


class _Strips:
    """Draws spots as strips of one panel a channel, all with the same contrast.

    Attributes
    ----------
    panels
        Facts of the panels, for the page.
    window
        Rows and columns of a crop that are shown.
    """

    def __init__(self, stack: SpotStack, labels: Mapping[str, Path]) -> None:
        self._stack = stack
        self._labels: dict[str, LabelStack] = {
            channel: open_labels(path) for channel, path in labels.items()
        }
        self._limits = {
            channel["channel"]: _limits(stack, channel)
            for channel in stack.channels
            if channel["samples"] == 1
        }
        self._outlines = images.outline_colours(stack)
        self.window = _window(stack.frame)
        mixed = images.colours(stack) if images.rgb(stack) is None else {}
        self.panels = [
            {
                "name": channel["channel"],
                "colour": images.hex_colour(mixed[channel["channel"]])
                if len(mixed) > 1 and channel["channel"] in mixed
                else None,
                "outlined": channel["channel"] in self._labels,
            }
            for channel in stack.channels
        ]

    def read(self, start: int, stop: int) -> Iterator[tuple[list[np.ndarray], list[Any]]]:
        """Pixels and labels of the spots start to stop - 1, one entry a channel."""
        names = [panel["name"] for panel in self.panels]
        rows, cols = self.window
        pixels = [self._stack.read(name, start, stop)[:, rows, cols] for name in names]
        found = [
            self._labels[name].read(start, stop)[:, rows, cols] if name in self._labels else None
            for name in names
        ]
        for at in range(len(pixels[0])):
            yield (
                [plane[at] for plane in pixels],
                [None if plane is None else plane[at] for plane in found],
            )

    def panel(self, side: int) -> tuple[int, int]:
        """Width and height of a panel whose longer side is `side`, or that of the spot."""
        height, width = (axis.stop - axis.start for axis in self.window)
        factor = min(1.0, side / max(height, width))
        return max(1, round(width * factor)), max(1, round(height * factor))

    def draw(self, spot: tuple[Sequence[np.ndarray], Sequence[Any]], size: tuple[int, int]) -> Spot:
        """Both pictures of a spot."""
        pixels, labels = spot
        names = [panel["name"] for panel in self.panels]
        shown = [self._shown(*both, size) for both in zip(names, pixels, strict=True)]
        rims = [self._rims(*both, size) for both in zip(names, labels, strict=True)]
        over = np.hstack(rims)
        return (
            _encode(np.hstack(shown), _LIGHT),
            _encode(over, _OUTLINES) if over.any() else "",
        )

    def _shown(self, channel: str, pixels: np.ndarray, size: tuple[int, int]) -> Pixels:
        """Pixels (h, w, 3) as they are shown."""
        small = cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA)
        if small.ndim == 3:
            return images.eight_bit(small)
        light = images.lightness(small, self._limits[channel])
        gray = np.round(light * 255).astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=2)

    def _rims(self, channel: str, labels: Any, size: tuple[int, int]) -> Pixels:
        """Outlines (h, w, 4) of a channel's objects in its colour."""
        over = np.zeros((size[1], size[0], 4), np.uint8)
        if labels is not None and labels.any():
            edge = images.outlined(labels, size)
            over[edge] = (*self._outlines[channel], 255)
        return over


def _window(frame: SpotFrame) -> tuple[slice, slice]:
    """Rows and columns of a crop that are shown."""
    height, width = frame.crop
    cut = [
        max(0, math.floor((whole - size * (1 + 2 * _MARGIN)) / 2))
        for whole, size in ((height, frame.height), (width, frame.width))
    ]
    return slice(cut[0], height - cut[0]), slice(cut[1], width - cut[1])


def _limits(stack: SpotStack, channel: Mapping[str, Any]) -> tuple[float, float]:
    """Black and white point; a channel of the grid may be light all over."""
    if channel["role"] == "grid":
        return images.contrast(stack, channel["channel"], full=True)
    return images.contrast(stack, channel["channel"])


def _encode(picture: Pixels, effort: Mapping[str, Any]) -> str:
    """WebP of an RGB or RGBA picture in base64."""
    return base64.b64encode(imagecodecs.webp_encode(picture, **effort)).decode()

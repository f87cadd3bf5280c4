"""A U-Net in whole numbers of 8 bits: on CPUs several times as fast as in single precision.

Each layer says whole numbers from 0 to 255, scaled by a range that was measured on images
beforehand; weights are whole numbers from -127 to 127, scaled for each output channel (B. Jacob et
al., CVPR 2018, 2704). Sums of them are exact; what CPUs differ in is how they scale sums, which
hardly ever turns a number. The image has finer steps; the maps stay in single precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from gridwell.images.compiled import compiled
from gridwell.network.unet import UNet

Array = np.ndarray[Any, np.dtype[Any]]
Layer = Callable[[torch.Tensor], torch.Tensor]

_LARGEST, _LARGEST_WEIGHT = 255, 127
# Step of the image: fine enough for what is faint, and sums of the first layer are exact still.
_SHOWN = 1 / 512


class EightBits(nn.Module):
    """The function of a folded U-Net, but for rounding; nearly the same numbers on all CPUs.

    Parameters
    ----------
    network
        As `gridwell.network.unet.fold` gives it.
    ranges
        Of its layers, as `measure_ranges` tells them; larger values are cut.

    Raises
    ------
    ValueError
        If there are not as many ranges as layers.
    """

    def __init__(self, network: UNet, ranges: Sequence[float]) -> None:
        super().__init__()
        first, *layers = convolutions(network)
        if len(ranges) != len(layers):
            raise ValueError(f"{len(ranges)} ranges, {len(layers)} layers")
        self.reach = network.reach
        self._side = 2 if network.fine else 1
        self._deepest = 1 + len(network.dilations)
        make = _in_8_bits if in_hardware() else _in_single_precision
        kind = np.uint8 if in_hardware() else np.float32
        steps = [value / _LARGEST for value in ranges]
        # What each layer reads: the one before; where the network goes up, a finer one as well.
        reads = [[at] for at in range(len(layers))]
        up = 4 + self._deepest
        for at, fine in ((up + 1, 5), (up + 3, 3), (up + 5, 1)):
            reads[at].append(fine)
        says = [layer.out_channels for layer in (first, *layers)]
        weight, scale = _weights(first, torch.full((first.in_channels,), _SHOWN))
        self._first = _in_single_precision(first, weight, scale, steps[0], kind)
        self._layers = []
        for at, layer in enumerate(layers):
            read = torch.cat([torch.full((says[i],), steps[i]) for i in reads[at]])
            self._layers.append(make(layer, *_weights(layer, read), said=(*steps, None)[at + 1]))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Compute maps as `UNet` does."""
        layers = iter(self._layers)
        one = _through(layers, 1, self._first(torch.round(image / _SHOWN)))
        two = _through(layers, 2, one)
        three = _through(layers, 2, two)
        deep = _through(layers, self._deepest, three)
        for fine in (three, two, one):
            deep = _through(layers, 2, _joined(deep, fine))
        return _unfolded(_through(layers, 1, deep), self._side)


def convolutions(network: UNet) -> list[nn.Conv2d]:
    """The layers of a network, in the order in which they compute."""
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)]


def measure_ranges(network: UNet, images: Sequence[torch.Tensor]) -> list[float]:
    """Measure what the layers of a network say.

    Parameters
    ----------
    network
        As `gridwell.network.unet.fold` gives it.
    images
        As the network is shown them, each (1, inputs, h, w).

    Returns
    -------
    For each layer but the last the median over the images of its largest value: the rare larger
    ones are cut, so that all others are told more finely.
    """
    *layers, _ = convolutions(network)
    largest: list[list[float]] = [[] for _ in layers]

    def hear(at: int) -> Callable[[nn.Module, object, torch.Tensor], None]:
        return lambda _, __, said: largest[at].append(float(said.max()))

    hooks = [layer.register_forward_hook(hear(at)) for at, layer in enumerate(layers)]
    try:
        with torch.inference_mode():
            for image in images:
                network(image.contiguous(memory_format=torch.channels_last))
    finally:
        for hook in hooks:
            hook.remove()
    # A layer that says nothing must still have a step.
    return [max(float(np.median(values)), 1e-3) for values in largest]


@cache
def in_hardware() -> bool:
    """Whether this CPU has instructions (VNNI) that sum products of 8 bits, and they are used.

    Without them products are summed in 16 bits, which are too few. So it is tried: that also tells
    of a library that is kept from using them.
    """
    if not torch.cpu._is_vnni_supported():
        return False
    channels, side = 32, 8
    image = torch.full((1, channels, side, side), _LARGEST, dtype=torch.uint8)
    layer = nn.Conv2d(channels, channels, 3, bias=False)
    nn.init.constant_(layer.weight, 1.0)
    summed = _in_8_bits(layer, *_weights(layer, torch.ones(channels)), said=None)(image)
    return bool((summed == 9.0 * channels * _LARGEST).all())


def _through(layers: Iterator[Layer], count: int, said: torch.Tensor) -> torch.Tensor:
    for _ in range(count):
        said = next(layers)(said)
    return said


def _rows(image: torch.Tensor) -> Array:
    """Rows of images (n, c, h, w), one below the other, (n h, w, c), in the same memory."""
    return image.permute(0, 2, 3, 1).flatten(0, 1).numpy()


def _image(rows: Array, count: int) -> torch.Tensor:
    """Images of the rows."""
    return torch.from_numpy(rows).unflatten(0, (count, -1)).permute(0, 3, 1, 2)


def _joined(coarse: torch.Tensor, fine: torch.Tensor) -> torch.Tensor:
    """Each pixel of the coarse image four times, and behind its channels those of the fine one."""
    small, large = _rows(coarse), _rows(fine)
    joined = np.empty((*large.shape[:2], small.shape[2] + large.shape[2]), large.dtype)
    _join(small, large, joined)
    return _image(joined, len(fine))


def _unfolded(maps: torch.Tensor, side: int) -> torch.Tensor:
    """Lay out the channels of each pixel as a square of `side` pixels, as PyTorch's shuffle."""
    n, channels, h, w = maps.shape
    unfolded = np.empty((n, channels // side**2, h * side, w * side), np.float32)
    _unfold(maps.permute(0, 2, 3, 1).numpy(), side, unfolded)
    return torch.from_numpy(unfolded)


@compiled
def _say(sums: Array, scale: Array, bias: Array, said: Array) -> None:
    """Round what sums mean to whole numbers; PyTorch would do so in five passes."""
    h, w, channels = sums.shape
    for y in range(h):
        for x in range(w):
            for c in range(channels):
                value = np.rint(sums[y, x, c] * scale[c] + bias[c])
                said[y, x, c] = min(max(value, np.float32(0)), np.float32(_LARGEST))


@compiled
def _join(small: Array, large: Array, joined: Array) -> None:
    h, w, more = large.shape
    channels = small.shape[2]
    for y in range(h):
        for x in range(w):
            for c in range(channels):
                joined[y, x, c] = small[y // 2, x // 2, c]
            for c in range(more):
                joined[y, x, channels + c] = large[y, x, c]


@compiled
def _unfold(maps: Array, side: int, unfolded: Array) -> None:
    n, h, w, _ = maps.shape
    for i in range(n):
        for y in range(h):
            for c in range(unfolded.shape[1]):
                for place in range(side * side):
                    row = unfolded[i, c, y * side + place // side]
                    for x in range(w):
                        row[x * side + place % side] = maps[i, y, x, c * side * side + place]


def _weights(layer: nn.Conv2d, steps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Whole weights, and the scale of each output channel; the inputs' steps are in it."""
    weight = layer.weight.detach() * steps[None, :, None, None]
    scale = weight.abs().amax((1, 2, 3)).clamp_min(1e-30) / _LARGEST_WEIGHT
    return torch.round(weight / scale[:, None, None, None]), scale


def _bias(layer: nn.Conv2d) -> torch.Tensor:
    return torch.zeros(layer.out_channels) if layer.bias is None else layer.bias.detach()


def _in_8_bits(
    layer: nn.Conv2d, weight: torch.Tensor, scale: torch.Tensor, said: float | None
) -> Layer:
    """A layer by the CPU's instructions for whole numbers."""
    ops = torch.ops.onednn
    place = list(layer.stride), list(layer.padding), list(layer.dilation), layer.groups
    packed = ops.qconv_prepack(weight.to(torch.int8), scale, 1.0, 0, *place)
    bias = _bias(layer)
    zeros = torch.zeros(len(scale), dtype=torch.int32)
    out = (said, 0, torch.uint8, "relu") if said else (1.0, 0, torch.float32, "none")

    def run(read: torch.Tensor) -> torch.Tensor:
        told: torch.Tensor = ops.qconv2d_pointwise(
            read, 1.0, 0, packed, scale, zeros, bias, *place, *out, [], ""
        )
        return told

    return run


def _in_single_precision(
    layer: nn.Conv2d,
    weight: torch.Tensor,
    scale: torch.Tensor,
    said: float | None,
    kind: type[np.generic] = np.float32,
) -> Layer:
    """The same in single precision, in which sums of whole numbers are exact up to 2^24."""
    step = said or 1.0
    weight = weight.contiguous(memory_format=torch.channels_last)
    factor, bias = scale / step, _bias(layer) / step
    place: Any = layer.stride, layer.padding, layer.dilation, layer.groups

    def run(read: torch.Tensor) -> torch.Tensor:
        sums = functional.conv2d(read, weight, None, *place)
        if not said:
            return sums.mul_(factor[:, None, None]).add_(bias[:, None, None])
        rows = _rows(sums)
        whole = np.empty(rows.shape, kind)
        _say(rows, factor.numpy(), bias.numpy(), whole)
        return _image(whole, len(sums))

    return run

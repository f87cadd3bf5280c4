"""A U-Net in whole numbers of 8 bits: on CPUs several times as fast as in single precision.

Each layer says whole numbers from 0 to 255, scaled by a range that was measured on images
beforehand; weights are whole numbers from -127 to 127, scaled for each output channel (B. Jacob et
al., CVPR 2018, 2704). Sums of them are exact, so that all CPUs say the same. The image has finer
steps; the maps stay in single precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from gridwell.network.unet import UNet

Layer = Callable[[torch.Tensor], torch.Tensor]

_LARGEST, _LARGEST_WEIGHT = 255, 127
# Step of the image: fine enough for what is faint, and sums of the first layer are exact still.
_SHOWN = 1 / 512


class EightBits(nn.Module):
    """The function of a folded U-Net, but for rounding; the same numbers on all CPUs.

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
        self.inputs, self.reach, self._fine = network.inputs, network.reach, network.fine
        self._deepest = 1 + len(network.dilations)
        device = first.weight.device
        fast = device.type == "cpu" and in_hardware()
        make = _in_8_bits if fast else _in_single_precision
        self._kind = torch.uint8 if fast else torch.float32
        steps = [value / _LARGEST for value in ranges]
        # What each layer reads: the one before; where the network goes up, a finer one as well.
        reads = [[at] for at in range(len(layers))]
        up = 4 + self._deepest
        for at, fine in ((up + 1, 5), (up + 3, 3), (up + 5, 1)):
            reads[at].append(fine)
        says = [layer.out_channels for layer in (first, *layers)]
        shown = torch.full((first.in_channels,), _SHOWN, device=device)
        self._first = _in_single_precision(first, *_weights(first, shown), steps[0])
        self._layers = []
        for at, layer in enumerate(layers):
            read = [torch.full((says[i],), steps[i], device=device) for i in reads[at]]
            weights = _weights(layer, torch.cat(read))
            self._layers.append(make(layer, *weights, said=(*steps, None)[at + 1]))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Compute maps as `UNet` does."""
        layers = iter(self._layers)
        one = _through(layers, 1, self._first((image / _SHOWN).round_()).to(self._kind))
        two = _through(layers, 2, one)
        three = _through(layers, 2, two)
        deep = _through(layers, self._deepest, three)
        for fine in (three, two, one):
            joined = torch.cat([functional.interpolate(deep, scale_factor=2.0), fine], 1)
            deep = _through(layers, 2, joined)
        maps = _through(layers, 1, deep)
        return functional.pixel_shuffle(maps, 2) if self._fine else maps


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


def _weights(layer: nn.Conv2d, steps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Whole weights, and the scale of each output channel; the inputs' steps are in it."""
    weight = layer.weight.detach() * steps[None, :, None, None]
    scale = weight.abs().amax((1, 2, 3)).clamp_min(1e-30) / _LARGEST_WEIGHT
    return torch.round(weight / scale[:, None, None, None]), scale


def _in_8_bits(
    layer: nn.Conv2d, weight: torch.Tensor, scale: torch.Tensor, said: float | None
) -> Layer:
    """Whole numbers by the CPU's instructions for them."""
    ops = torch.ops.onednn
    place = list(layer.stride), list(layer.padding), list(layer.dilation), layer.groups
    packed = ops.qconv_prepack(weight.to(torch.int8), scale, 1.0, 0, *place)
    bias = None if layer.bias is None else layer.bias.detach()
    zeros = torch.zeros(len(scale), dtype=torch.int32)
    out = (said, 0, torch.uint8, "relu") if said else (1.0, 0, torch.float32, "none")

    def run(read: torch.Tensor) -> torch.Tensor:
        told: torch.Tensor = ops.qconv2d_pointwise(
            read, 1.0, 0, packed, scale, zeros, bias, *place, *out, [], ""
        )
        return told

    return run


def _in_single_precision(
    layer: nn.Conv2d, weight: torch.Tensor, scale: torch.Tensor, said: float | None
) -> Layer:
    """The same in single precision, in which sums of whole numbers are exact up to 2^24."""
    step = said or 1.0
    weight = weight.contiguous(memory_format=torch.channels_last)
    factor = (scale / step)[:, None, None]
    bias = None if layer.bias is None else (layer.bias.detach() / step)[:, None, None]
    place = layer.stride, layer.padding, layer.dilation, layer.groups

    def run(read: torch.Tensor) -> torch.Tensor:
        told = functional.conv2d(read, weight, None, *place).mul_(factor)
        told = told if bias is None else told.add_(bias)
        return told.round_().clamp_(0, _LARGEST) if said else told

    return run

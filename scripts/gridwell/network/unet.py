"""A small U-Net that sees far and computes at half resolution.

The first convolution halves the image at once, so that the costly levels have a quarter of
the pixels; three more levels follow. Dilated convolutions at the deepest let every output see
farther: whether a blob is one of a lattice is told by its neighbours. Maps come out at half
resolution or, for the outlines of cells, at full: each of the four pixels of a block has
channels of its own in the last layer (Shi et al., CVPR 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn import functional

# The input's sides must be multiples of this.
STRIDE = 16
_DILATIONS = (1, 2, 3, 1)

Kind = TypeVar("Kind", bound=nn.Module)


class UNet(nn.Module):
    """U-Net (Ronneberger et al., MICCAI 2015) from channels of an image to maps.

    Parameters
    ----------
    widths
        Channels of the four levels, at 1/2, 1/4, 1/8 and 1/16 of the input.
    maps
        Number of output maps.
    inputs
        Number of input channels.
    dilations
        Of the convolutions at the deepest level.
    fine
        Maps at full resolution, not at half.
    norm
        Kind of batch normalisation, for training; None: without, for weights that `fold` made.
    """

    def __init__(
        self,
        widths: Sequence[int],
        maps: int = 2,
        *,
        inputs: int = 1,
        dilations: Sequence[int] = _DILATIONS,
        fine: bool = False,
        norm: type[nn.BatchNorm2d] | None = None,
    ) -> None:
        super().__init__()
        a, b, c, d = widths
        self.widths, self.maps, self.inputs = tuple(widths), maps, inputs
        self.dilations, self.fine = tuple(dilations), fine

        def layer(inputs: int, outputs: int, **options: int) -> nn.Sequential:
            return _layer(inputs, outputs, norm=norm, **options)

        self.down1 = nn.Sequential(layer(inputs, a, size=5, stride=2), layer(a, a))
        self.down2 = nn.Sequential(layer(a, b, stride=2), layer(b, b))
        self.down3 = nn.Sequential(layer(b, c, stride=2), layer(c, c))
        self.middle = nn.Sequential(
            layer(c, d, stride=2), *(layer(d, d, dilation=k) for k in dilations)
        )
        self.up3 = nn.Sequential(layer(d + c, c), layer(c, c))
        self.up2 = nn.Sequential(layer(c + b, b), layer(b, b))
        self.up1 = nn.Sequential(layer(b + a, a), layer(a, a))
        self.head = nn.Conv2d(a, 4 * maps if fine else maps, 1)
        # CPUs and GPUs convolve faster where a pixel's channels lie together.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Compute maps (n, maps, h, w), or half that size, of images (n, inputs, h, w).

        The sides h and w must be multiples of `STRIDE`.
        """
        one = self.down1(image)
        two = self.down2(one)
        three = self.down3(two)
        deep = self.up3(_joined(self.middle(three), three))
        deep = self.up2(_joined(deep, two))
        maps = self.head(self.up1(_joined(deep, one)))
        return functional.pixel_shuffle(maps, 2) if self.fine else maps

    @property
    def shape(self) -> dict[str, Any]:
        """What `UNet` must be told to be made again, all but `norm`."""
        names = ("widths", "maps", "inputs", "dilations", "fine")
        return {name: getattr(self, name) for name in names}

    @property
    def reach(self) -> int:
        """Pixels beyond which no input changes an output, in each direction."""
        # Half the width of each convolution, in pixels of its level; an enlarged pixel depends
        # on all that the block which it lies in depends on.
        down = (2 + 2 + 4 + 8) + (2 + 4 + 8)
        deep = STRIDE * sum(self.dilations)
        up = 2 * (2 + 4 + 8)
        return down + deep + up + STRIDE - 1


def _layer(
    inputs: int,
    outputs: int,
    *,
    norm: type[nn.BatchNorm2d] | None,
    size: int = 3,
    stride: int = 1,
    dilation: int = 1,
) -> nn.Sequential:
    convolution = nn.Conv2d(
        inputs,
        outputs,
        size,
        stride,
        padding=dilation * (size // 2),
        dilation=dilation,
        bias=not norm,
    )
    between = [norm(outputs)] if norm else []
    return nn.Sequential(convolution, *between, nn.ReLU(inplace=True))


def _joined(coarse: torch.Tensor, fine: torch.Tensor) -> torch.Tensor:
    return torch.cat([functional.interpolate(coarse, scale_factor=2.0), fine], 1)


def fold(trained: UNet) -> UNet:
    """Give the same function without normalisation: its statistics move into the convolutions.

    What remains has nothing that depends on the batch, and half as many steps.

    Parameters
    ----------
    trained
        A network made with `norm`, or one already folded; it is not changed.
    """
    norms = _all(trained, nn.BatchNorm2d)
    if not norms:
        return deepcopy(trained).eval()
    # Its first weights are overwritten; drawing them must not move the training's random numbers.
    with torch.random.fork_rng(devices=[]):
        folded = UNet(**trained.shape).eval()
    *sources, head = _all(trained, nn.Conv2d)
    *targets, out = _all(folded, nn.Conv2d)
    for source, norm, target in zip(sources, norms, targets, strict=True):
        assert norm.running_mean is not None and norm.running_var is not None
        assert target.bias is not None
        with torch.no_grad():
            factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            target.weight.copy_(source.weight * factor[:, None, None, None])
            target.bias.copy_(norm.bias - norm.running_mean * factor)
    out.load_state_dict(head.state_dict())
    return folded


def _all(network: UNet, kind: type[Kind]) -> list[Kind]:
    """The modules of a kind, in the order in which they were made."""
    return [module for module in network.modules() if isinstance(module, kind)]

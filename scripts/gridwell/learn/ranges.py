"""What the layers of a trained network say, so that it can compute in whole numbers of 8 bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from gridwell.learn.augment import Prepared
from gridwell.network.cells import LIMITS, with_curve
from gridwell.network.device import one_thread
from gridwell.network.eight_bits import measure_ranges
from gridwell.network.unet import STRIDE, UNet

# Examples that are looked at, and the side of what is looked at of each, in pixels.
_EXAMPLES, _SIDE = 128, 512


def ranges_of(network: UNet, examples: Sequence[Prepared]) -> list[float]:
    """Measure the ranges of a network's layers on examples, evenly spread among all.

    Parameters
    ----------
    network
        Folded, on the CPU.
    examples
        What it has learned from.
    """
    chosen = np.linspace(0, len(examples) - 1, min(len(examples), _EXAMPLES)).astype(int)
    with one_thread():
        return measure_ranges(network, [_shown(examples[at]) for at in chosen])


def _shown(example: Prepared) -> torch.Tensor:
    """The middle of an example as the network is shown it, (1, 2 c, h, w)."""
    height, width = example.image.shape[1:]
    top, left = (max(0, length - _SIDE) // 2 for length in (height, width))
    image = example.image[:, top : top + _SIDE, left : left + _SIDE]
    below, right = (-length % STRIDE for length in image.shape[1:])
    image = np.pad(image, ((0, 0), (0, below), (0, right)), mode="edge")
    return torch.from_numpy(with_curve(np.clip(image, *LIMITS)))[None]

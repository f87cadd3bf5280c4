"""What the training of every network shares: the pace, and a mean of its states."""

from __future__ import annotations

import math

import torch

from gridwell.network.unet import UNet


def pace(done: float) -> float:
    """Share of the highest learning rate when this share of the training is done."""
    return min(1.0, done / 0.05) * (0.5 + 0.5 * math.cos(math.pi * done))


def follow(mean: UNet, network: UNet, keep: float) -> None:
    """Move a running mean towards the network's weights, and its statistics with them."""
    with torch.no_grad():
        for old, new in zip(mean.parameters(), network.parameters(), strict=True):
            old.lerp_(new, 1 - keep)
        for old, new in zip(mean.buffers(), network.buffers(), strict=True):
            if old.is_floating_point():
                old.lerp_(new, 1 - keep)

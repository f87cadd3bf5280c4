"""Training of the network that finds elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from gridwell.learn.grid_crops import GRAY_STEPS, SIDE, Crops
from gridwell.learn.optimise import follow, pace
from gridwell.network.device import half_precision
from gridwell.network.unet import UNet, fold

Tensor = torch.Tensor
# Called after a number of steps with the step, the mean loss since the last call, and the
# network as it would be used.
Report = Callable[[int, float, UNet], None]


@dataclass(frozen=True)
class Recipe:
    """How long and how fast to train.

    Attributes
    ----------
    widths
        Channels of the network's levels.
    steps
        Number of batches.
    batch
        Crops in a batch.
    rate
        Highest learning rate; it rises over the first twentieth and falls as a cosine.
    seed
        Decides on the first weights, the order of crops and their changes.
    """

    widths: tuple[int, int, int, int] = (16, 32, 48, 80)
    steps: int = 8000
    batch: int = 16
    rate: float = 3e-3
    seed: int = 0


def train(
    crops: Crops,
    recipe: Recipe,
    report: Report | None = None,
    every: int = 500,
    start: UNet | None = None,
) -> UNet:
    """Train a network on crops.

    Parameters
    ----------
    crops
        What it learns from.
    recipe
        How it learns.
    report
        Told how it goes, after each `every` steps and at the end.
    every
        Steps between reports.
    start
        A network to go on from, folded or not, in place of a new one.

    Returns
    -------
    The running mean of the network's states, folded, ready for use.
    """
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    network = deepcopy(start) if start else _new(recipe)
    mean = deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=1e-2)
    half = half_precision(torch.device("cpu"))
    losses: list[float] = []
    for step in range(1, recipe.steps + 1):
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate * pace(step / recipe.steps)
        image, target = batch(crops, rng.integers(0, len(crops), recipe.batch))
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = network.train()(image)
        loss = loss_of(logits.float(), target)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        follow(mean, network, min(0.998, step / (step + 20)))
        losses.append(loss.item())
        if report and (step % every == 0 or step == recipe.steps):
            report(step, float(np.mean(losses)), fold(mean))
            losses.clear()
    return fold(mean)


def _new(recipe: Recipe) -> UNet:
    network = UNet(recipe.widths, norm=torch.nn.BatchNorm2d)
    # Few pixels are centres; a network that starts by saying so does not begin with a jump.
    network.head.bias = torch.nn.Parameter(torch.tensor([-4.0, -1.5]))
    return network


def batch(crops: Crops, chosen: Sequence[int] | np.ndarray) -> tuple[Tensor, Tensor]:
    """Take crops and change them as microscopes and scanners would.

    Parameters
    ----------
    crops
        All crops.
    chosen
        Which to take. Random changes follow PyTorch's seed.

    Returns
    -------
    Images (n, 1, 256, 256) and targets (n, 2, 128, 128): centres and foreground.
    """
    image = torch.from_numpy(crops.image[chosen]).float()[:, None] / GRAY_STEPS
    target = torch.from_numpy(np.stack([crops.centre[chosen], crops.foreground[chosen]], 1))
    target = target.float() / 255
    turns = torch.randint(0, 8, (len(image),)).tolist()
    image = torch.stack([_turned(one, turn) for one, turn in zip(image, turns, strict=True)])
    target = torch.stack([_turned(one, turn) for one, turn in zip(target, turns, strict=True)])
    return _changed(image).contiguous(memory_format=torch.channels_last), target


def _turned(image: Tensor, turn: int) -> Tensor:
    """One of the eight ways to lay a square."""
    image = torch.rot90(image, turn % 4, (-2, -1))
    return image.flip(-1) if turn >= 4 else image


def _changed(image: Tensor) -> Tensor:
    """Contrast, its reversal, curved response, uneven light, blur and noise."""
    n = len(image)

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(n, 1, 1, 1).uniform_(low, high)

    gain = torch.exp(uniform(-0.5, 0.3)) * torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    field = functional.interpolate(torch.randn(n, 1, 4, 4), size=SIDE, mode="bicubic")
    image = image * gain * torch.exp(0.25 * field * uniform(0, 1))
    curve = uniform(-0.35, 0.35)
    image = torch.expm1(curve * image.clamp(-5, 5)) / (curve + 1e-3 * (curve == 0))
    soft = torch.rand(n) < 0.3
    image[soft] = _blurred(image[soft])
    fine = torch.randn_like(image)
    coarse = functional.interpolate(torch.randn(n, 1, SIDE // 2, SIDE // 2), scale_factor=2.0)
    image = image + 0.5 * uniform(0, 1) ** 3 * fine + 0.4 * uniform(0, 1) ** 3 * coarse
    return image.clamp(-5, 5)


def _blurred(image: Tensor) -> Tensor:
    line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    image = functional.conv2d(image, line[None, None, None, :], padding=(0, 2))
    return functional.conv2d(image, line[None, None, :, None], padding=(2, 0))


def loss_of(logits: Tensor, target: Tensor) -> Tensor:
    """Measure how wrong the maps are.

    Centres by the quality focal loss (Li et al., NeurIPS 2020), which lets the few pixels that
    matter weigh; foreground by cross-entropy and the overlap of Dice.

    Parameters
    ----------
    logits, target
        (n, 2, h, w): centres and foreground.
    """
    centre, covered = logits[:, 0], logits[:, 1]
    heat, area = target[:, 0], target[:, 1]
    miss = (torch.sigmoid(centre) - heat).abs() ** 2
    focal = miss * functional.binary_cross_entropy_with_logits(centre, heat, reduction="none")
    entropy = functional.binary_cross_entropy_with_logits(covered, area)
    chance = torch.sigmoid(covered)
    overlap = (2 * (chance * area).sum() + 1) / ((chance**2).sum() + (area**2).sum() + 1)
    return 10 * focal.sum() / (heat.sum() + 100) + entropy + 0.5 * (1 - overlap)

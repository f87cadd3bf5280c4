"""Train a network of cells on examples: instances, classes or both."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch.nn.parallel import DistributedDataParallel

from gridwell.config.files import whole
from gridwell.learn.augment import Prepared, decide, make_crop
from gridwell.learn.losses import class_loss, distance_loss
from gridwell.learn.optimise import follow, pace
from gridwell.learn.parallel import Norm, from_first, processes, rank
from gridwell.learn.recipe import Recipe
from gridwell.network.device import Policy, device, half_precision, one_thread
from gridwell.network.unet import UNet, fold
from gridwell.network.weights import load_network
from gridwell.runs.progress import begin, step

_log = logging.getLogger(__name__)

Tensor = torch.Tensor
Scores = dict[str, float]
# Scores a network on clean validation images, by name; the first entry decides which is best.
Score = Callable[[UNet], Scores]
Report = Callable[[dict[str, float]], None]


def fit(
    examples: Sequence[Prepared],
    recipe: Recipe,
    *,
    shares: Sequence[float] | None = None,
    start: Path | None = None,
    score: Score | None = None,
    choose: bool = True,
    report: Report | None = None,
    checkpoint: Path | None = None,
    policy: Policy = "forbid",
) -> tuple[UNet, pd.DataFrame]:
    """Train a network.

    On a CPU one thread computes, and the same seed gives the same weights. Where several
    processes train together (`gridwell.learn.launch`), each of them calls this with the same.

    Parameters
    ----------
    examples
        What it learns from.
    recipe
        How it learns.
    shares
        How often each example is drawn, relative to the others; None: by the root of its area.
    start
        Weights to go on from; tensors of another shape are left new.
    score
        Measures a network on validation images; called in the first process.
    choose
        Keep the state with the best first score; else, and without `score`, the last.
    report
        Told each line of the learning curve, in the first process.
    checkpoint
        File that holds the state of an unfinished training, every `recipe.every` batches. Where
        it is there, the training goes on from it; where the training ends, it is removed.
    policy
        Whether to compute on a GPU.

    Returns
    -------
    network, curve
        Folded, on the CPU; and one row a validation: step, loss and the scores.

    Raises
    ------
    InputError
        If a GPU is required and there is none, or `start` is no network.
    """
    place = device(policy)
    with one_thread():
        run = _Run(examples, recipe, shares, start, place)
        if checkpoint is not None and checkpoint.is_file():
            run.restore(checkpoint)
        begin(run.total - run.step, "steps")
        while not run.finished:
            line = run.advance(score, choose)
            if report and rank() == 0:
                report(line)
            if checkpoint is not None and rank() == 0:
                run.keep(checkpoint)
        if checkpoint is not None and rank() == 0:
            checkpoint.unlink(missing_ok=True)
        return run.result(), pd.DataFrame(run.curve)


class _Run:
    """A training under way: everything that a checkpoint must hold."""

    def __init__(
        self,
        examples: Sequence[Prepared],
        recipe: Recipe,
        shares: Sequence[float] | None,
        start: Path | None,
        place: torch.device,
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.examples, self.recipe, self.place = examples, recipe, place
        self.rng = np.random.default_rng(recipe.seed)
        weights = shares or [math.sqrt(one.weight.size) for one in examples]
        self.chance = np.asarray(weights, np.float64) / np.sum(weights)
        self.network = _new(recipe)
        if start is not None:
            begin = np.random.default_rng(recipe.seed)
            first = torch.from_numpy(self._draw(begin, slice(None))[0])
            _take_over(self.network, load_network(start), first)
        self.network.to(place)
        self.mean = deepcopy(self.network)
        # The same network; what several processes learn from their parts is brought together.
        self.learner: torch.nn.Module = self.network
        if processes() > 1:
            self.learner = DistributedDataParallel(self.network)
        self.best: dict[str, Tensor] | None = None
        self.best_score, self.since = -math.inf, 0
        self.optimiser = _optimiser(self.network, recipe)
        self.total = recipe.total(len(examples))
        self.step = 0
        self.curve: list[dict[str, float]] = []

    @property
    def finished(self) -> bool:
        stopped = 0 < self.recipe.patience <= self.since
        return self.step >= self.total or stopped

    def advance(self, score: Score | None, choose: bool) -> dict[str, float]:
        """Train until the next validation."""
        until = min(self.total, self.step + self.recipe.every)
        losses = []
        while self.step < until:
            self.step += 1
            losses.append(self._learn())
            step()
        line = {"step": float(self.step), "loss": float(np.mean(losses))}
        if score is not None:
            scores = from_first(lambda: score(fold(self._current()).to("cpu")))
            line |= scores
            first = next(iter(scores.values()))
            self.since += choose
            if choose and first > self.best_score:
                self.best_score, self.since = first, 0
                self.best = deepcopy(self._current().state_dict())
        self.curve.append(line)
        return line

    def _learn(self) -> float:
        recipe = self.recipe
        for group in self.optimiser.param_groups:
            group["lr"] = recipe.rate * self._pace()
        image, target, weight = (
            torch.from_numpy(part).to(self.place)
            for part in self._draw(self.rng, slice(rank(), None, processes()))
        )
        image = image.contiguous(memory_format=torch.channels_last)
        half = half_precision(self.place)
        with torch.autocast(self.place.type, torch.bfloat16, enabled=half):
            maps = self.learner.train()(image)
        loss = loss_of(maps.float(), target, weight, recipe)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        follow(self.mean, self.network, min(0.998, self.step / (self.step + 20)))
        return loss.item()

    def _draw(self, rng: np.random.Generator, part: slice) -> list[npt.NDArray[np.float32]]:
        """Images, targets and weights of a part of a batch; all of it is decided on."""
        recipe = self.recipe
        decided = []
        for index in rng.choice(len(self.examples), recipe.batch, p=self.chance):
            one = self.examples[index]
            decided.append((one, decide(one, recipe.crop, recipe.augmentation, rng)))
        crops = [make_crop(one, recipe.crop, change) for one, change in decided[part]]
        return [np.stack(part) for part in zip(*crops, strict=True)]

    def _pace(self) -> float:
        if self.recipe.optimiser == "adamw":
            return pace(self.step / self.total)
        epoch = (self.step - 1) * self.recipe.batch // len(self.examples)
        return self.recipe.drop ** (epoch // self.recipe.drop_every)

    def _current(self) -> UNet:
        return self.mean if self.recipe.optimiser == "adamw" else self.network

    def result(self) -> UNet:
        network = self._current()
        if self.best is not None:
            network.load_state_dict(self.best)
        return fold(network).to("cpu")

    def keep(self, path: Path) -> None:
        """Write the state, whole."""
        state = {
            "recipe": _described(self.recipe, len(self.examples)),
            "numbers": json.dumps(self.rng.bit_generator.state),
            "torch": torch.get_rng_state(),
            "network": self.network.state_dict(),
            "mean": self.mean.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "best": self.best,
            "progress": [self.step, self.best_score, self.since],
            "curve": json.dumps(self.curve),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as part:
            torch.save(state, part)

    def restore(self, path: Path) -> None:
        """Go on from a state, if it is of the same recipe."""
        state: dict[str, Any] = torch.load(path, map_location=self.place, weights_only=True)
        if state["recipe"] != _described(self.recipe, len(self.examples)):
            return
        self.rng.bit_generator.state = json.loads(state["numbers"])
        torch.set_rng_state(state["torch"].cpu())
        self.network.load_state_dict(state["network"])
        self.mean.load_state_dict(state["mean"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.best = state["best"]
        self.step, self.best_score, self.since = state["progress"]
        self.curve = json.loads(state["curve"])


def _described(recipe: Recipe, examples: int) -> str:
    return json.dumps([asdict(recipe), examples])


def _optimiser(network: UNet, recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    return torch.optim.SGD(
        network.parameters(), lr=recipe.rate, momentum=0.9, weight_decay=recipe.decay
    )


def _new(recipe: Recipe) -> UNet:
    return UNet(
        recipe.widths,
        recipe.maps,
        inputs=2 * recipe.inputs,
        dilations=recipe.dilations,
        fine=True,
        norm=Norm,
    )


def _take_over(network: UNet, start: UNet, image: Tensor) -> None:
    """Take what fits from a folded network, so that the new one begins with the same function.

    The normalisation of each layer is set so that it undoes itself on a first batch, and gets
    the folded bias.

    Parameters
    ----------
    network
        A new one, with normalisation.
    start
        A folded one; layers of another shape are left as they are in `network`.
    image
        A first batch.
    """
    *convolutions, head = (m for m in network.modules() if isinstance(m, torch.nn.Conv2d))
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    *sources, out = (m for m in start.modules() if isinstance(m, torch.nn.Conv2d))
    hooks = []
    with torch.no_grad():
        for source, target, norm in zip(sources, convolutions, norms, strict=True):
            if source.weight.shape == target.weight.shape:
                target.weight.copy_(source.weight)
                hooks.append(norm.register_forward_pre_hook(_undoing(source)))
        if out.weight.shape == head.weight.shape:
            head.load_state_dict(out.state_dict())
        network.train()(image)
    for hook in hooks:
        hook.remove()
    if len(hooks) < len(norms):
        _log.warning("%d of %d layers fit and are taken over", len(hooks), len(norms))


def _undoing(source: torch.nn.Conv2d) -> Callable[..., None]:
    """Hook that sets a normalisation to change nothing but to add the bias of `source`."""

    def hook(norm: torch.nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
        values = inputs[0].float()
        assert source.bias is not None
        norm.weight.copy_((values.var((0, 2, 3), unbiased=False) + norm.eps).sqrt())
        norm.bias.copy_(values.mean((0, 2, 3)) + source.bias)

    return hook


def loss_of(maps: Tensor, target: Tensor, weight: Tensor, recipe: Recipe) -> Tensor:
    """Measure how wrong maps are.

    Parameters
    ----------
    maps
        (n, m, h, w): of instances, cell distance, neighbour distance and logits of background
        and object; of classes, logits.
    target, weight
        (n, t, h, w) and (n, h, w), as of `gridwell.learn.augment.make_crop`.
    recipe
        What is learnt.
    """
    classes = target[:, -1].long()
    if not recipe.instance:
        return class_loss(maps, classes, weight, entropy=recipe.entropy)
    logits = maps[:, 2:]
    distances = distance_loss(maps[:, :2], target[:, :2], weight)
    return 5 * distances + 0.5 * class_loss(logits, classes, weight, entropy=recipe.entropy)

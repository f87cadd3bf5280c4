"""Training: the loss falls, and the same seed gives the same network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gridwell.grid.elements import normalise, to_gray
from gridwell.learn.grid_crops import Crops, Example, make_crops
from gridwell.learn.grid_train import Recipe, batch, loss_of, train
from gridwell.network.device import one_thread
from gridwell.phantom.grid_images import sample

RECIPE = Recipe(widths=(8, 12, 16, 24), steps=30, batch=4, seed=5)


@pytest.fixture(scope="module", autouse=True)
def threads():
    with one_thread():
        yield


def draw(seed: int) -> Example:
    drawn = sample("L1", seed)
    image = normalise(to_gray(drawn.image) if drawn.image.ndim == 3 else drawn.image)
    assert image is not None
    assert drawn.scene is not None
    centres = drawn.scene.centres[drawn.scene.present]
    return Example(image, centres, min(drawn.scene.pitch), drawn.foreground)


@pytest.fixture(scope="module")
def crops() -> Crops:
    return make_crops(draw, range(12))


def test_loss_falls_on_phantoms_and_a_seed_gives_one_network(crops):
    losses: list[float] = []
    first = train(crops, RECIPE, lambda step, loss, network: losses.append(loss), every=10)
    assert len(losses) == 3
    assert losses[-1] < 0.8 * losses[0]
    again = train(crops, RECIPE)
    for one, two in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two)


def test_truth_costs_nothing_and_its_opposite_much(crops):
    torch.manual_seed(0)
    _, target = batch(crops, np.arange(4))
    sure = 20 * (target > 0.5).float() - 10
    assert float(loss_of(torch.logit(target, 1e-6), target)) < float(loss_of(-sure, target)) / 20


def test_image_and_truth_are_turned_together():
    n = 16
    image = np.zeros((n, 256, 256), np.int8)
    target = np.zeros((n, 128, 128), np.uint8)
    image[:, 60:70, 20:30] = 100
    target[:, 30:35, 10:15] = 255
    torch.manual_seed(1)
    shown, truth = batch(Crops(image, target, target), np.arange(n))
    small = torch.nn.functional.avg_pool2d(shown, 4)[:, 0].abs()
    where = torch.nn.functional.avg_pool2d(truth, 2)[:, 0]
    for one, two in zip(small, where, strict=True):
        strongest = torch.topk((one - one.median()).abs().flatten(), 4).indices
        assert (two.flatten()[strongest] > 0).any()

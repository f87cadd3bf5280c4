"""Losses where they could go wrong: sparse maps, absent classes, nothing known."""

from __future__ import annotations

import pytest
import torch
from gridwell.learn.losses import class_loss, distance_loss, generalised_dice


def test_the_best_constant_for_a_sparse_map_is_not_zero():
    # A robust loss is least at the median, which is 0: the neighbour map would collapse.
    target = torch.zeros(1, 2, 10, 10)
    target[0, 1, :, :1] = 1
    weight = torch.ones(1, 10, 10)
    guess = torch.linspace(0, 1, 101)
    maps = torch.zeros(1, 2, 10, 10)
    losses = []
    for value in guess:
        maps[:, 1] = value
        losses.append(distance_loss(maps, target, weight).item())
    assert guess[torch.tensor(losses).argmin()] == pytest.approx(
        5 * 0.1 / (5 * 0.1 + 0.9), abs=0.02
    )


def test_a_class_that_is_absent_from_the_batch_makes_no_trouble():
    logits = torch.zeros(1, 3, 4, 4, requires_grad=True)
    classes = torch.zeros(1, 4, 4, dtype=torch.long)
    classes[0, :2] = 1
    loss = class_loss(logits, classes, torch.ones(1, 4, 4))
    loss.backward()
    assert torch.isfinite(logits.grad).all()
    assert 0 < loss.item() < 3


def test_generalised_dice_by_hand():
    # Two pixels, one of each class, predicted with certainty: one right, one wrong.
    logits = torch.tensor([[[[50.0, 50.0]], [[-50.0, -50.0]]]])
    classes = torch.tensor([[[0, 1]]])
    # Overlap 1 of class 0, 0 of class 1; sizes 1 + 2 and 1 + 0: 1 - 2 * 1 / 4.
    assert generalised_dice(logits, classes, torch.ones(1, 1, 2)).item() == pytest.approx(0.5)
    # The wrong pixel unknown: no error left.
    weight = torch.tensor([[[1.0, 0.0]]])
    assert generalised_dice(logits, classes, weight).item() == pytest.approx(0, abs=1e-6)


def test_rare_classes_weigh_as_much_as_common_ones():
    classes = torch.zeros(1, 1, 100, dtype=torch.long)
    classes[0, 0, :2] = 1
    blind = torch.stack([torch.full((1, 1, 100), 9.0), torch.full((1, 1, 100), -9.0)], 1)
    assert generalised_dice(blind, classes, torch.ones(1, 1, 100)).item() > 0.9


def test_what_is_unlabelled_does_not_count():
    maps, target = torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4)
    target[:, :, :2] = 1
    weight = torch.ones(1, 4, 4)
    weight[:, :2] = 0
    assert distance_loss(maps, target, weight).item() == 0
    nothing = torch.zeros(1, 4, 4)
    assert distance_loss(maps, target, nothing).item() == 0
    logits = torch.zeros(1, 2, 4, 4, requires_grad=True)
    class_loss(logits, torch.zeros(1, 4, 4, dtype=torch.long), nothing).backward()
    assert logits.grad.abs().max() == 0

"""Training: it goes on from where another network was, and it learns."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from gridwell.learn.augment import Augmentation, prepare
from gridwell.learn.examples import Example
from gridwell.learn.fit import _new, _take_over, fit
from gridwell.learn.metrics import overlap, scores, tally
from gridwell.learn.predict import facts_of, predict
from gridwell.learn.recipe import Recipe
from gridwell.network.cells import CellNetwork
from gridwell.network.unet import UNet

TINY = Recipe(widths=(8, 12, 16, 16), steps=250, batch=4, crop=96, every=250, rate=5e-3)
TINY = Recipe(**(vars(TINY) | {"augmentation": Augmentation(scale=(0.8, 1.2), elastic=0)}))


def discs(seed: int) -> Example:
    """A field of discs on noise, some of them in touch."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((128, 128), np.int32)
    y, x = np.mgrid[:128, :128]
    for number in range(1, 16):
        row, col, radius = rng.uniform(8, 120), rng.uniform(8, 120), rng.uniform(6, 9)
        labels[(np.hypot(y - row, x - col) < radius) & (labels == 0)] = number
    image = rng.normal(100, 5, labels.shape) + 300 * cv2.GaussianBlur(
        (labels > 0).astype(np.float32), (0, 0), 1
    )
    return Example(str(seed), "drawn", image[None].astype(np.float32), labels)


def test_a_network_that_goes_on_begins_as_the_one_before():
    torch.manual_seed(1)
    start = UNet(TINY.widths, 4, inputs=2, dilations=TINY.dilations, fine=True).eval()
    image = torch.randn(3, 2, 64, 64)
    network = _new(TINY)
    _take_over(network, start, image)
    with torch.no_grad():
        np.testing.assert_allclose(network.train()(image), start(image), atol=1e-4)


def test_layers_of_another_shape_are_left_new_and_told(caplog):
    torch.manual_seed(1)
    start = UNet((8, 12, 16, 24), 4, inputs=2, dilations=TINY.dilations, fine=True).eval()
    _take_over(_new(TINY), start, torch.randn(2, 2, 64, 64))
    assert "layers fit" in caplog.text


def test_it_learns_to_tell_cells_apart():
    fields = [discs(seed) for seed in range(20)]
    examples = [prepare(one, instance=True) for one in fields]
    lines = []
    network, curve = fit(examples, TINY, report=lines.append)
    assert len(curve) == len(lines) == 1
    trained = CellNetwork(network, facts_of(TINY), policy="forbid")
    new = CellNetwork(fit(examples, Recipe(**(vars(TINY) | {"steps": 1})))[0], facts_of(TINY))
    unseen = [discs(seed) for seed in range(100, 110)]
    found = [
        scores(np.sum([tally(overlap(one.labels, predict(net, one, None))) for one in unseen], 0))[
            "ap_50"
        ]
        for net in (new, trained)
    ]
    assert found[0] < 0.2
    assert found[1] > 0.6

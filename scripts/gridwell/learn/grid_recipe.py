"""The whole recipe of the network that finds elements: crops, training, weights, model card."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gridwell.config.files import whole
from gridwell.learn.grid_card import HELD_OUT, HELD_OUT_IMAGES, Scores, card
from gridwell.learn.grid_crops import SIDE, Draw, Example, cached_crops
from gridwell.learn.grid_evaluate import Score, score, table
from gridwell.learn.grid_real import read_real
from gridwell.learn.grid_train import Recipe, train
from gridwell.network.device import one_thread
from gridwell.network.elements import ElementNetwork
from gridwell.network.unet import UNet
from gridwell.network.weights import load_network, save_network

_REPORTS = 20


def train_and_measure(
    draw: Draw,
    held_out: Callable[[str, int], Example],
    kinds: Sequence[str],
    *,
    steps: int,
    images: int,
    rate: float,
    start: Path | None,
    note: str,
    cache: Path,
    real: Path | None,
    out: Path,
) -> None:
    """Train, write the weights as they get better, and write the card of the last.

    Parameters
    ----------
    draw
        Gives the training image of a seed.
    held_out
        Gives the test image of a kind and a seed.
    kinds
        Kinds of test images.
    steps, images, rate
        Batches of the training, images to draw for it, and the highest learning rate.
    start
        Weights to go on from, or None for new ones.
    note
        For the card: what the recipe does not know of how the weights are made.
    cache
        Folder for drawn crops.
    real
        Folder of real images with known elements, or None.
    out
        Weights to write; the card goes beside them.
    """
    begun = time.monotonic()
    recipe = Recipe(steps=steps, rate=rate)
    first = load_network(start) if start else None
    crops = cached_crops(cache, draw, range(images))
    print(f"{len(crops)} crops after {_minutes(begun)}", flush=True)

    def report(step: int, loss: float, network: UNet) -> None:
        save_network(out, network)
        print(f"step {step}: loss {loss:.4f} after {_minutes(begun)}", flush=True)

    with one_thread():
        train(crops, recipe, report, every=max(1, steps // _REPORTS), start=first)
    data = f"{len(crops)} crops of {SIDE} x {SIDE} pixels from {images} simulated images"
    phantoms, known = measure(out, held_out, kinds, real)
    text = card(out, recipe, data=data, start=start, note=note, phantoms=phantoms, known=known)
    with whole(out.with_suffix(".md")) as part:
        part.write_text(text, encoding="utf-8")
    print(table(phantoms + known))


def measure(
    weights: Path,
    held_out: Callable[[str, int], Example],
    kinds: Sequence[str],
    real: Path | None,
) -> tuple[Scores, Scores]:
    """Score weights on images that nobody trained on: simulated ones by kind, and real ones.

    Parameters
    ----------
    weights
        What to score.
    held_out, kinds, real
        As of `train_and_measure`.
    """
    network = ElementNetwork.load(weights)
    seeds = range(HELD_OUT, HELD_OUT + HELD_OUT_IMAGES)
    phantoms = [
        (kind, sum((score(network, held_out(kind, seed)) for seed in seeds), Score()))
        for kind in kinds
    ]
    known = [] if real is None else [(name, score(network, e)) for name, e in read_real(real)]
    return phantoms, known


def _minutes(begun: float) -> str:
    return f"{(time.monotonic() - begun) / 60:.1f} min"

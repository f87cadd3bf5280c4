"""The whole recipe of the network that finds elements: crops, training, weights, model card."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gridwell.config.files import whole
from gridwell.learn.crops import Draw, Example, cached_crops
from gridwell.learn.evaluate import NEAR, THRESHOLD, Score, score, table
from gridwell.learn.real import read_real
from gridwell.learn.train import Recipe, train
from gridwell.network.device import one_thread
from gridwell.network.elements import ElementNetwork
from gridwell.network.unet import UNet
from gridwell.network.weights import save_network

# No image is trained on and measured on: their seeds lie far apart.
_HELD_OUT = 10_000_000
_HELD_OUT_IMAGES = 40
_REPORTS = 20


def train_and_measure(
    draw: Draw,
    held_out: Callable[[str, int], Example],
    kinds: Sequence[str],
    *,
    steps: int,
    images: int,
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
    steps, images
        Batches of the training and images to draw for it.
    cache
        Folder for drawn crops.
    real
        Folder of real images with known elements, or None.
    out
        Weights to write; the card goes beside them.
    """
    begun = time.monotonic()
    recipe = Recipe(steps=steps)
    crops = cached_crops(cache, draw, range(images))
    print(f"{len(crops)} crops after {_minutes(begun)}", flush=True)

    def report(step: int, loss: float, network: UNet) -> None:
        save_network(out, network)
        print(f"step {step}: loss {loss:.4f} after {_minutes(begun)}", flush=True)

    with one_thread():
        train(crops, recipe, report, every=max(1, steps // _REPORTS))
    network = ElementNetwork.load(out)
    phantoms = [(kind, _measured(network, held_out, kind)) for kind in kinds]
    known = [] if real is None else [(name, score(network, e)) for name, e in read_real(real)]
    with whole(out.with_suffix(".md")) as part:
        part.write_text(
            _card(out, recipe, images=images, crops=len(crops), phantoms=phantoms, known=known),
            encoding="utf-8",
        )
    print(table(phantoms + known))


def _minutes(begun: float) -> str:
    return f"{(time.monotonic() - begun) / 60:.1f} min"


def _measured(network: ElementNetwork, held_out: Callable[[str, int], Example], kind: str) -> Score:
    seeds = range(_HELD_OUT, _HELD_OUT + _HELD_OUT_IMAGES)
    return sum((score(network, held_out(kind, seed)) for seed in seeds), Score())


def _card(
    weights: Path,
    recipe: Recipe,
    *,
    images: int,
    crops: int,
    phantoms: list[tuple[str, Score]],
    known: list[tuple[str, Score]],
) -> str:
    widths = "-".join(str(width) for width in recipe.widths)
    content = weights.read_bytes()
    parts = [
        "# grid-elements",
        "Finds the elements of a grid (spots, wells, colonies, cores) on a gray image: one map "
        "with a peak at each centre, one with the share of foreground, both at half the resolution "
        "that the network is shown. Written by `make train-grid`; do not edit.",
        f"- file: `{weights.name}`, {len(content) / 1e6:.2f} MB, half precision\n"
        f"- sha256: `{hashlib.sha256(content).hexdigest()}`\n"
        f"- licence: MIT, as all of gridwell; no image of others was trained on",
        "## Network",
        f"U-Net of four levels ({widths} channels), the first at half resolution; batch "
        "normalisation folded into the convolutions; every output sees about 300 pixels. Input: "
        "one channel, the local contrast of the image in windows of 40 pixels, in four sizes "
        "(longer side 1024, 512, 256, 128 pixels), of which one has spots 8 to 40 pixels apart.",
        "## Data and recipe",
        f"{crops} crops of 256 x 256 pixels from {images} simulated carriers (`gridwell.phantom."
        "grids`, `gridwell.phantom.grid_images`): four levels of difficulty and images without a "
        "grid, each in a random size. Turned, mirrored, inverted, with changed contrast, response, "
        f"light, blur and noise. {recipe.steps} batches of {recipe.batch}, AdamW, cosine from "
        f"{recipe.rate:g}, running mean of the weights, seed {recipe.seed}, one CPU core. Loss: "
        "quality focal loss of the centres, cross-entropy and Dice of the foreground.",
        "## How good it is",
        f"Peaks of at least {THRESHOLD} against true centres; right is one within {NEAR} spacings, "
        "one to one, in the size whose spacing is nearest 16 pixels. Before any lattice: what is "
        f"missed or false here the lattice stage still mends. Simulated images: {_HELD_OUT_IMAGES} "
        "of a kind, with seeds never trained on; on those without a grid, every peak is wrong.",
        table(phantoms),
    ]
    if known:
        parts += [
            "Real images, never trained on, elements marked by hand or by the authors' own tools "
            "(of plates with faint colonies not all are marked, of torn tissue not all are cores):",
            table(known),
        ]
    parts += [
        "## Limits",
        "Spots closer than about 7 pixels or wider apart than about 45 are not known in that size "
        "of the image; of carriers with very few elements (2 x 3) the neighbours say little. "
        "Elements much fainter than the noise are missed. A peak is a suggestion: rows, columns "
        "and doubt are the lattice stage's.",
    ]
    return "\n\n".join(parts) + "\n"

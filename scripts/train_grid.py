"""Train the network that finds elements on simulated carriers, and measure it: make train-grid.

--start names weights to go on from, --cache a folder that keeps drawn crops (of this code alone by
default), --real one of real images (gridwell.learn.grid_real), --note what else the card shall say.
"""

import argparse
from pathlib import Path

import numpy as np
from gridwell.config.carriers import resources
from gridwell.grid.elements import normalise, to_gray
from gridwell.learn.grid_crops import Example
from gridwell.network.elements import WEIGHTS
from gridwell.phantom.grid_images import NEGATIVES, Sample, negative, sample
from gridwell.phantom.grids import LEVELS
from gridwell.versions.code import code_hash

SHARES = {"negative": 0.15, "L1": 0.1, "L2": 0.17, "L3": 0.35, "L4": 0.23}
CACHE = Path(".cache/train-grid", code_hash(Path(__file__).resolve()))


def example(drawn: Sample) -> Example:
    """Show a phantom as a real image would be shown."""
    image = normalise(to_gray(drawn.image) if drawn.image.ndim == 3 else drawn.image)
    if image is None:
        image = np.zeros(drawn.image.shape[:2], np.float32)
    scene = drawn.scene
    if scene is None:  # dots that lie on no lattice are no elements
        return Example(image, np.zeros((0, 2)), float("nan"), np.zeros_like(image))
    return Example(image, scene.centres[scene.present], min(scene.pitch), drawn.foreground)


def draw(seed: int) -> Example:
    """Draw the image of a seed, of a random kind."""
    rng = np.random.default_rng([seed, 2])
    kind = str(rng.choice(list(SHARES), p=list(SHARES.values())))
    if kind == "negative":
        return example(negative(str(rng.choice(NEGATIVES)), seed))
    return example(sample(kind, seed))


def held_out(kind: str, seed: int) -> Example:
    """Draw a test image of a level or of a kind of negative."""
    return example(sample(kind, seed) if kind in LEVELS else negative(kind, seed))


if __name__ == "__main__":
    from gridwell.learn.grid_recipe import train_and_measure

    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--steps", type=int, default=8000)
    options.add_argument("--images", type=int, default=5000)
    options.add_argument("--rate", type=float, default=3e-3)
    options.add_argument("--start", type=Path)
    options.add_argument("--note", default="")
    options.add_argument("--cache", type=Path, default=CACHE)
    options.add_argument("--real", type=Path)
    options.add_argument("--out", type=Path, default=resources() / WEIGHTS)
    train_and_measure(draw, held_out, (*LEVELS, *NEGATIVES), **vars(options.parse_args()))

"""Train the networks of cells that come with gridwell, and measure them: make train-cells.

NAMES are those of gridwell.learn.cells_recipe.SHIPPED, all in their order by default. --data names
a folder of real fields (see read_fields there) for networks that learn from some, --out where the
weights and cards go, --note what else the cards shall say.
"""

import argparse
from pathlib import Path

import numpy as np
from gridwell.config.carriers import resources
from gridwell.learn.cells_recipe import SHIPPED, read_fields, train_shipped
from gridwell.phantom.fields import field


def draw(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a simulated field of a kind."""
    drawn = field(kind, seed)
    return drawn.image, drawn.labels


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("names", nargs="*", choices=[*SHIPPED, []], default=list(SHIPPED))
    options.add_argument("--data", type=Path)
    options.add_argument("--out", type=Path, default=resources() / "models")
    options.add_argument("--gpu", choices=["require", "allow", "forbid"], default="forbid")
    options.add_argument("--note", default="")
    given = options.parse_args()
    real = read_fields(given.data) if given.data else []
    for name in given.names:
        first = SHIPPED[name].start
        train_shipped(
            name,
            draw,
            out=given.out / f"{name}.safetensors",
            start=given.out / f"{first}.safetensors" if first else None,
            real=real,
            policy=given.gpu,
            note=given.note,
        )

"""What a network that was trained here says of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gridwell.learn.dataset import Levels
from gridwell.learn.examples import Example
from gridwell.learn.recipe import Recipe
from gridwell.network.cells import KIND, Brightness, CellNetwork
from gridwell.segment.flood import FloodOptions, instances


def facts_of(recipe: Recipe) -> dict[str, Any]:
    """What whoever uses the network must know; it is written with the weights."""
    classes = recipe.classes or ("background", "object")
    return {"kind": KIND, "instance": recipe.instance, "classes": list(classes)}


def levels_of(example: Example, levels: Levels) -> list[Brightness] | None:
    """Brightness of the channels of an example's source; None where it is not known."""
    pairs = levels.get(example.source)
    return None if pairs is None else [Brightness(base, span) for base, span in pairs]


def predict(
    network: CellNetwork, example: Example, levels: Sequence[Brightness] | None
) -> npt.NDArray[np.int32]:
    """Label an image by a network.

    Parameters
    ----------
    network
        Trained for images of this kind.
    example
        The image.
    levels
        Brightness of its source; None: measured on the image.

    Returns
    -------
    labels
        int32 (h, w): instances, or the likeliest class of each pixel.
    """
    maps = network.maps(example.image, levels)
    if maps.cell is None or maps.neighbour is None:
        return np.argmax(maps.chance, 0).astype(np.int32)
    options = FloodOptions()
    return np.asarray(instances(maps.cell, maps.neighbour, maps.chance[1], options), np.int32)


def labelled(example: Example, labels: npt.NDArray[np.int32], classes: Sequence[str]) -> Example:
    """Give an example the labels of a network, instances or classes, in place of its own."""
    if classes:
        return replace(example, labels=None, classes=labels.astype(np.int16))
    return replace(example, labels=labels, classes=None)

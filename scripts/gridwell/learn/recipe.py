"""How a network of cells is trained: one set of numbers, which a study may change one by one."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from gridwell.learn.augment import Augmentation


@dataclass(frozen=True)
class Recipe:
    """How a network of cells is trained.

    Attributes
    ----------
    instance
        Learn instances: cell distance, neighbour distance, and object against background.
    classes
        Names of the classes of pixels to learn instead, background first.
    inputs
        Channels of the images.
    widths, dilations
        Of the network, see `gridwell.network.unet.UNet`.
    steps
        Number of batches; 0: `epochs` passes over the examples.
    epochs
        Passes over the examples, where `steps` is 0.
    batch, crop
        Crops in a batch, and their side in pixels.
    optimiser
        `adamw` on a cosine with a running mean of the states, or `sgd` with momentum 0.9.
    rate, decay
        Highest learning rate; weight decay (of `sgd`: the factor of the L2 penalty).
    drop, drop_every
        Of `sgd`: the rate is multiplied by `drop` every so many epochs.
    entropy
        Factor of the cross-entropy beside the generalised Dice.
    augmentation
        How crops are changed.
    patience
        Stop after so many validations without a better one; 0: never.
    trust
        Where a teacher alone drew the labels, and no person those of the validation, nothing tells
        when a network begins to learn its teacher's errors: only this share of the batches is
        learned, and the last state is kept, not the one that the teacher likes best.
    every
        Batches between two validations.
    seed
        Decides on the first weights, the order of crops and their changes.
    """

    instance: bool = True
    classes: tuple[str, ...] = ()
    inputs: int = 1
    widths: tuple[int, int, int, int] = (24, 48, 80, 128)
    dilations: tuple[int, ...] = (1, 1)
    steps: int = 4000
    epochs: int = 0
    batch: int = 8
    crop: int = 160
    optimiser: Literal["adamw", "sgd"] = "adamw"
    rate: float = 3e-3
    decay: float = 1e-2
    drop: float = 0.8
    drop_every: int = 3
    entropy: float = 1.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    patience: int = 0
    trust: float = 0.5
    every: int = 500
    seed: int = 0

    @property
    def maps(self) -> int:
        """Number of maps that the network gives."""
        return 4 if self.instance else len(self.classes)

    def total(self, examples: int) -> int:
        """Number of batches of a training on so many examples."""
        return self.steps or self.epochs * max(1, math.ceil(examples / self.batch))

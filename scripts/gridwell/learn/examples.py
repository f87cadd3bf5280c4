"""What a network of cells learns from: an image, and what somebody or something said of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Example:
    """An image and its labels.

    Attributes
    ----------
    name
        Unique in its data set.
    source
        Slide, plate or acquisition: what is never split between training and test.
    image
        Grey values as the camera gave them, float32 (c, h, w).
    labels
        Instances, int32 (h, w): 0 background, 1..k objects, -1 unlabelled; None: not known.
    classes
        Class of each pixel, int16 (h, w): 0..k - 1, -1 unlabelled; None: not known.
    weight
        How much it counts against others, such as 0.5 for weak labels beside corrected ones.
    """

    name: str
    source: str
    image: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int32] | None = None
    classes: npt.NDArray[np.int16] | None = None
    weight: float = 1.0

"""Elements by a network: which pixels belong to spots, and where their centres are.

The network knows spots whose spacing is about 8 to 40 pixels. The image is therefore shown to
it in several sizes, each half the one before; the lattice stage takes the size that it can
explain best. PyTorch is imported only when maps are computed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from gridwell.config.carriers import resources
from gridwell.network.device import Policy, device, one_thread

if TYPE_CHECKING:
    import torch

    from gridwell.network.unet import UNet

Image = npt.NDArray[np.float32]

WEIGHTS = "models/grid-elements.safetensors"
# Longer sides, in pixels, at which the network sees an image.
SIDES = (1024, 512, 256, 128)
# Enlarging shows nothing new; twice is enough to bring a small picture into the range.
_MAX_ENLARGED = 2.0
# Gaussian window of the local contrast, in pixels of the network's input: about the largest
# spacing it knows, so that a window always holds spots and what lies between them.
_WINDOW = 40.0
_REDUCED = 8
# Where an image is nearly flat its noise is not blown up to full contrast.
_FLOOR = 0.35
_LIMIT = 5.0


@dataclass(frozen=True)
class ElementMaps:
    """What the network sees in one size of an image.

    Attributes
    ----------
    centre
        (h, w) float32 in 0..1, a peak at the centre of each element.
    foreground
        (h, w) float32 in 0..1, the probability that an element covers the pixel.
    scale
        Pixels of the given image per map pixel: ``full = (p + 0.5) * scale - 0.5``.
    """

    centre: Image
    foreground: Image
    scale: float


def weights_path() -> Path:
    """The weights that come with gridwell."""
    return resources() / WEIGHTS


class ElementNetwork:
    """The trained network of `resources/models/grid-elements.safetensors`."""

    def __init__(self, network: UNet) -> None:
        self._network = network

    @classmethod
    def load(cls, path: Path | None = None) -> ElementNetwork:
        """Read weights, once per process and file.

        Parameters
        ----------
        path
            Weights to read; those that come with gridwell by default.

        Raises
        ------
        InputError
            If the file is missing or does not hold such a network.
        """
        return _load(path or weights_path())

    def maps(self, image: Image, policy: Policy = "allow") -> list[ElementMaps]:
        """Find elements in every size of an image, largest first.

        Parameters
        ----------
        image
            Gray image (h, w) of about 0..1, as `gridwell.grid.elements.normalise` gives it.
        policy
            Whether to compute on a GPU. On a CPU one thread computes, which is fast enough:
            the sums of several would differ in their last bits with the number of threads.

        Returns
        -------
        Maps of the sizes with longer sides of 1024, 512, 256 and 128 pixels, but of those that
        enlarge the image at most twice; none of an image below 64 pixels.

        Raises
        ------
        InputError
            If a GPU is required and there is none.
        """
        place = device(policy)
        network = self._network.to(place)
        factors = (max(image.shape) / side for side in SIDES)
        with one_thread():
            return [
                _maps(network, image, factor, place)
                for factor in factors
                if factor * _MAX_ENLARGED >= 1
            ]


def _maps(network: UNet, image: Image, factor: float, place: torch.device) -> ElementMaps:
    """Show the network one size of an image."""
    import torch

    shown = torch.from_numpy(local_contrast(resized(image, factor)))[None, None]
    with torch.inference_mode():
        logits = network(shown.to(place, memory_format=torch.channels_last))
        values = torch.sigmoid(logits)[0].cpu().numpy()
    h, w = (math.ceil(length / (2 * factor)) for length in image.shape)
    centre, foreground = (np.ascontiguousarray(m[:h, :w]) for m in values)
    return ElementMaps(centre, foreground, 2 * factor)


@lru_cache(maxsize=2)
def _load(path: Path) -> ElementNetwork:
    from gridwell.network.weights import load_network

    return ElementNetwork(load_network(path))


def resized(image: Image, factor: float) -> Image:
    """Reduce an image by exactly `factor` in both directions, and pad it for the network.

    Parameters
    ----------
    image
        Gray image (h, w).
    factor
        Pixels of `image` per pixel of the result, 0.5 or more.

    Returns
    -------
    Image whose sides are multiples of the network's stride; beyond the image its edge goes on.
    """
    from gridwell.network.unet import STRIDE

    if factor > 1:
        # What a reduced pixel covers; with it, linear interpolation leaves no moiré.
        image = cv2.GaussianBlur(image, (0, 0), 0.42 * factor, borderType=cv2.BORDER_REPLICATE)
    height, width = (STRIDE * math.ceil(length / factor / STRIDE) for length in image.shape)
    middle = (factor - 1) / 2
    return cv2.warpAffine(
        image,
        np.array([[factor, 0, middle], [0, factor, middle]], np.float64),
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    ).astype(np.float32, copy=False)


def local_contrast(image: Image) -> Image:
    """Take the broad background away and divide by the local spread.

    What remains is about -5..5 whatever the brightness, contrast and shading of the image, and
    it is the same for a part of an image as for the whole, away from the cut.

    Parameters
    ----------
    image
        Gray image (h, w), sides multiples of 8 pixels.
    """
    detail = image - _wide(image)
    spread = np.sqrt(_wide(detail**2))
    # The mean, not the rms: a plate's glaring rim must not hide what is faint within.
    floor = _FLOOR * float(spread.mean()) + 1e-4
    return np.clip(detail / np.hypot(spread, floor), -_LIMIT, _LIMIT).astype(np.float32)


def _wide(image: Image) -> Image:
    """Gaussian mean in a wide window, computed where it is cheap."""
    h, w = image.shape
    small = cv2.resize(image, (w // _REDUCED, h // _REDUCED), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), _WINDOW / _REDUCED, borderType=cv2.BORDER_REPLICATE)
    wide = cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR)
    return wide.astype(np.float32, copy=False)

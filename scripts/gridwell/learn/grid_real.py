"""Real images with known elements, for validation: they are never trained on.

The images and their truth lie in folders of their own, as the folder's README.txt describes;
see `read_real`.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from gridwell.grid.elements import normalise, to_gray
from gridwell.learn.grid_crops import Example
from gridwell.network.elements import Image

# Masks in which neighbouring cores touch, so that regions are no cores.
_TOUCHING = {"158867", "158868", "158869", "158870"}
# Specks at the rim of a hand-drawn mask are no cores.
_MIN_CORE = 0.2


def read_real(folder: Path) -> Iterator[tuple[str, Example]]:
    """Yield the real images whose elements are known, with their names.

    Parameters
    ----------
    folder
        Holds truth/ (points placed by hand), pyphe_1536/ (colonies of 32 x 48 plates, measured
        by pyphe) and tma_aaronge/ (masks of tissue cores).
    """
    index = json.loads((folder / "truth/index.json").read_text(encoding="utf-8"))
    for name, facts in sorted(index.items()):
        points = pd.read_csv(folder / f"truth/{name}.csv")
        seen = points[points["seen"] == 1]
        if len(seen):
            centres = seen[["x_obs", "y_obs"]].to_numpy(float)
            pitch = min(facts["pitch_x"], facts["pitch_y"])
            yield name, _example(folder.parent / facts["image"], centres, pitch)
    for path in sorted(folder.glob("pyphe_1536/*.jpg")):
        cells = pd.read_csv(path.with_name(f"{path.name}.csv"))["centroid"]
        centres = np.array([ast.literal_eval(cell)[::-1] for cell in cells], float)
        yield f"pyphe_1536 {path.stem}", _example(path, centres, _spacing(centres))
    for path in sorted(folder.glob("tma_aaronge/image_labels/*.png")):
        if path.stem in _TOUCHING:
            continue
        centres = _cores(_pixels(path))
        image = folder / "tma_aaronge/TMA_WSI_Padded_PNGs" / path.name
        yield f"tma {path.stem}", _example(image, centres, _spacing(centres))


def _example(path: Path, centres: npt.NDArray[np.float64], pitch: float) -> Example:
    image = gray_of(path)
    return Example(image, centres, pitch, np.zeros_like(image))


def gray_of(path: Path) -> Image:
    """Read an image as the network is shown it: gray, about 0..1."""
    pixels = _pixels(path)
    image = normalise(to_gray(pixels) if pixels.ndim == 3 else pixels)
    assert image is not None, f"{path} is blank"
    return image


def _pixels(path: Path) -> npt.NDArray[np.generic]:
    """Read (h, w) or (h, w, 3), channels in the order red, green, blue."""
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise FileNotFoundError(f"no image that can be read: {path}")
    return np.asarray(pixels if pixels.ndim == 2 else pixels[..., 2::-1])


def _cores(mask: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """Centres of the separate regions of a mask."""
    _, _, stats, centres = cv2.connectedComponentsWithStats((np.asarray(mask) > 0).astype(np.uint8))
    areas = stats[1:, cv2.CC_STAT_AREA]
    return centres[1:][areas > _MIN_CORE * np.median(areas)]


def _spacing(centres: npt.NDArray[np.float64]) -> float:
    """Median distance of an element to its nearest neighbour."""
    from scipy.spatial import cKDTree

    return float(np.median(cKDTree(centres).query(centres, k=2)[0][:, 1]))

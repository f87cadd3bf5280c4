"""Elements: from pixels to candidate spots.

A network that learnt what elements of carriers look like maps them in several sizes of the
image. As a second opinion, and where the network sees nothing, the image is searched with
differences of Gaussians over a ladder of scales and for both polarities. The peaks of each size
or each (scale, polarity, threshold) are one hypothesis of where the spots are. Which hypothesis
is right is settled later, by how well a lattice explains it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from gridwell.network.device import Policy
from gridwell.network.elements import ElementMaps, ElementNetwork

Array = npt.NDArray[np.float64]
Image = npt.NDArray[np.float32]

# Ratio of neighbouring scales; a blob answers to a scale that is wrong by a third.
_LADDER = 1.45
# Peaks on ridges (plate rims, scratches, rulers) have one flat direction.
_MAX_CURVATURE_RATIO = 6.0
_MAX_PEAKS = 8000
_GRAY_SIDE = 600
# Height from which a peak of the network's map of centres is a candidate.
_SEEN = 0.25


@dataclass(frozen=True)
class Candidates:
    """Places that may be spots, as one hypothesis sees them.

    Attributes
    ----------
    points
        Centres, (n, 2) as x, y in pixels of the searched image.
    strength
        Contrast of each with its surroundings, (n,), in units of the image.
    sigma
        Scale of the hypothesis, in pixels.
    polarity
        +1 for spots brighter than their surroundings, -1 for darker.
    surface
        Image (h, w) in which spots stand out: the searched image itself, or the probability
        that a pixel is covered by an element.
    """

    points: Array
    strength: Array
    sigma: float
    polarity: int
    surface: Image


def to_gray(rgb: npt.NDArray[np.generic]) -> Image:
    """Project a colour image on the axis along which its details contrast most.

    The axis is the first principal component of what remains after a broad background is
    taken away, so that neither a tinted background nor a gradient decides.

    Parameters
    ----------
    rgb
        Image (h, w, 3) of any integer or float type.

    Returns
    -------
    Image (h, w), float32, in the units of the input; brighter colours are larger.
    """
    colour = np.nan_to_num(np.asarray(rgb, np.float32))[..., :3]
    # The axis shows as well in a reduced image, where a broad background is cheap to tell.
    factor = max(1.0, max(colour.shape[:2]) / _GRAY_SIDE)
    size = tuple(max(1, round(side / factor)) for side in colour.shape[1::-1])
    small = cv2.resize(colour, size, interpolation=cv2.INTER_AREA) if factor > 1 else colour
    detail = small - cv2.GaussianBlur(small, (0, 0), max(max(size) / 20, 1.0))
    flat = detail.reshape(-1, 3).astype(np.float64)
    limit = np.percentile(np.abs(flat), 99, axis=0)
    flat = np.clip(flat, -limit, limit)
    values, vectors = np.linalg.eigh(flat.T @ flat)
    axis = vectors[:, int(np.argmax(values))]
    if axis.sum() < 0:
        axis = -axis
    return (colour @ axis.astype(np.float32)).astype(np.float32)


def normalise(image: npt.NDArray[np.generic]) -> Image | None:
    """Scale a gray image to about 0..1 between its extreme percentiles; None if it is blank.

    The outermost thousandth on each side is clipped: hot pixels and glare say nothing.
    """
    gray = np.nan_to_num(np.asarray(image, np.float32), posinf=0.0, neginf=0.0)
    if gray.ndim != 2 or min(gray.shape) < 16:
        return None
    low, high = (float(v) for v in np.percentile(gray, (0.1, 99.9)))
    if not high > low:
        low, high = float(gray.min()), float(gray.max())
    if not high > low:
        return None
    return np.clip((gray - low) / (high - low), 0.0, 1.0).astype(np.float32)


def from_network(image: Image, policy: Policy) -> Iterator[Candidates]:
    """Yield the candidates that the network sees in each size of the image.

    Parameters
    ----------
    image
        Gray image (h, w) as `normalise` gives it.
    policy
        Whether to compute on a GPU.

    Raises
    ------
    InputError
        If a GPU is required and there is none, or the weights cannot be read.
    """
    for maps in ElementNetwork.load().maps(image, policy):
        points, strength = _centres(maps)
        if 4 <= len(points) <= _MAX_PEAKS:
            yield Candidates(points, strength, maps.scale, 1, _as_large(maps, image))


def _centres(maps: ElementMaps) -> tuple[Array, Array]:
    """Peaks of the map of centres, in pixels of the image, and their heights."""
    smooth = cv2.GaussianBlur(maps.centre, (0, 0), 0.7)
    top = cv2.dilate(smooth, np.ones((3, 3), np.uint8))
    peak = (smooth >= top) & (smooth > _SEEN)
    padded = np.pad(smooth, 1, mode="edge").astype(np.float64)
    y, x = np.nonzero(peak)
    height = padded[y + 1, x + 1]

    def between(before: Array, after: Array) -> Array:
        bend = before + after - 2 * height
        return np.clip(
            np.where(bend < 0, (before - after) / (2 * np.minimum(bend, -1e-9)), 0), -0.5, 0.5
        )

    at_x = x + between(padded[y + 1, x], padded[y + 1, x + 2])
    at_y = y + between(padded[y, x + 1], padded[y + 2, x + 1])
    return (np.column_stack([at_x, at_y]) + 0.5) * maps.scale - 0.5, height


def _as_large(maps: ElementMaps, image: Image) -> Image:
    """The map of elements at the size of the image."""
    step = 1 / maps.scale
    return cv2.warpAffine(
        maps.foreground,
        np.array([[step, 0, (step - 1) / 2], [0, step, (step - 1) / 2]], np.float64),
        (image.shape[1], image.shape[0]),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    ).astype(np.float32, copy=False)


def from_filters(image: Image, polarity: str = "auto") -> Iterator[Candidates]:
    """Yield the candidates of every scale, polarity and threshold.

    Parameters
    ----------
    image
        Gray image (h, w) as `normalise` gives it.
    polarity
        ``bright``, ``dark`` or ``auto`` for both.
    """
    signs = {"bright": (1,), "dark": (-1,)}.get(polarity, (1, -1))
    side = min(image.shape)
    sigma, factor, reduced = 1.2, 1, image
    while sigma < max(side / 11, 2.0):
        while sigma / factor >= 3.0 and min(reduced.shape) >= 32:
            factor *= 2
            size = (max(1, image.shape[1] // factor), max(1, image.shape[0] // factor))
            clipped = image[: size[1] * factor, : size[0] * factor]
            reduced = cv2.resize(clipped, size, interpolation=cv2.INTER_AREA)
        scale = sigma / factor
        fine = cv2.GaussianBlur(reduced, (0, 0), scale)
        response = fine - cv2.GaussianBlur(reduced, (0, 0), 1.6 * scale)
        for sign in signs:
            points, strength = _peaks(sign * response, scale)
            points = (points + 0.5) * factor - 0.5
            for threshold in _thresholds(strength):
                keep = strength >= threshold
                if 4 <= keep.sum() <= _MAX_PEAKS:
                    yield Candidates(points[keep], strength[keep], sigma, sign, image)
        sigma *= _LADDER


def _peaks(response: Image, scale: float) -> tuple[Array, Array]:
    """Local maxima that curve down in every direction, to a fraction of a pixel."""
    radius = max(1, round(1.3 * scale))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    top = cv2.dilate(response, kernel)
    peak = (response >= top) & (response > 1e-4)
    peak[[0, -1], :] = False
    peak[:, [0, -1]] = False
    y, x = np.nonzero(peak)
    if len(x) > 4 * _MAX_PEAKS:
        order = np.argsort(-response[y, x], kind="stable")[: 4 * _MAX_PEAKS]
        y, x = y[order], x[order]
    r = response.astype(np.float64)
    c = r[y, x]
    dxx = r[y, x + 1] + r[y, x - 1] - 2 * c
    dyy = r[y + 1, x] + r[y - 1, x] - 2 * c
    dxy = (r[y + 1, x + 1] + r[y - 1, x - 1] - r[y + 1, x - 1] - r[y - 1, x + 1]) / 4
    trace, det = dxx + dyy, dxx * dyy - dxy**2
    k = _MAX_CURVATURE_RATIO
    round_enough = (det > 0) & (trace**2 * k < det * (k + 1) ** 2)
    y, x, c = y[round_enough], x[round_enough], c[round_enough]
    dxx, dyy = dxx[round_enough], dyy[round_enough]
    dx = np.clip(-(r[y, x + 1] - r[y, x - 1]) / (2 * dxx), -0.5, 0.5)
    dy = np.clip(-(r[y + 1, x] - r[y - 1, x]) / (2 * dyy), -0.5, 0.5)
    return np.column_stack([x + dx, y + dy]), c


def _thresholds(strength: Array) -> list[float]:
    """Split the peaks into weak and strong, at one to three levels."""
    if len(strength) < 4:
        return []
    logs = np.log(np.maximum(strength, 1e-6))
    levels = [_otsu(logs)]
    strong = logs[logs >= levels[0]]
    if len(strong) >= 8:
        levels.append(_otsu(strong))
        levels.append(float(np.percentile(strong, 75)) + np.log(0.35))
    if len(strength) <= 2 * len(strong):
        levels.append(float(logs.min()))
    return sorted({float(np.exp(level)) for level in levels})


def _otsu(values: Array) -> float:
    """Threshold with the largest variance between the two sides (Otsu 1979)."""
    ordered = np.sort(values)
    n = len(ordered)
    left = np.cumsum(ordered)[:-1] / np.arange(1, n)
    right = (ordered.sum() - np.cumsum(ordered)[:-1]) / np.arange(n - 1, 0, -1)
    weight = np.arange(1, n) * np.arange(n - 1, 0, -1)
    cut = int(np.argmax(weight * (left - right) ** 2))
    return float((ordered[cut] + ordered[cut + 1]) / 2)

"""The light of an image: sharpen, smooth, take the background away, measure what is left."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from gridwell.config.models import SegmentMethod
from gridwell.images.compiled import compiled
from gridwell.segment.pixels import box_mean, disc, enlarge, on_grid, reduce

Array = np.ndarray[Any, np.dtype[Any]]

# The background is smooth, so it is searched on an image this many times finer than its radius.
RADIUS_REDUCED = 6
# Most passes of the second correction; without slopes one or two do.
_PASSES = 6
# Flat-field correction brightens and dims by this factor at most.
_MOST_GAIN = 4.0
# Grey values of up to 16 bits are computed in steps of 1/256, exact in float32.
_STEP_BITS = 8


@dataclass(frozen=True)
class Levels:
    """What thresholds take from the whole image, in grey values above the local background.

    Attributes
    ----------
    unit
        Step of the grey values in computations, a power of two.
    lamp
        Typical grey value of the background before any correction.
    rough
        Level and standard deviation of the background after the first correction.
    passes
        How often the second correction was repeated.
    ground, noise
        Level and standard deviation of the background after the whole correction.
    base
        Level of the background in the image that is thresholded: that one, or a response to it.
    otsu
        Otsu's threshold of the pixels above the noise.
    percentile
        The percentile asked for of all pixels.
    """

    unit: float
    lamp: float
    rough: tuple[float, float]
    passes: int
    ground: float
    base: float
    noise: float
    otsu: float
    percentile: float


@dataclass(frozen=True)
class Light:
    """A way to take the background away.

    Attributes
    ----------
    flatten
        (image, background, lamp) -> image without its background.
    smooth
        Whether the background is smooth: then the opening is smoothed, and what the first
        correction leaves of it is fitted and taken away as well.
    """

    flatten: Callable[[Array, Array, float], Array]
    smooth: bool = True


def _subtracted(image: Array, background: Array, lamp: float) -> Array:
    return np.asarray(image - background)


def _divided(image: Array, background: Array, lamp: float) -> Array:
    """Take the background as a map of the lamp: objects in its dark corners are brightened."""
    gain = np.float32(lamp) / np.maximum(background, np.float32(1e-6))
    return np.asarray((image - background) * np.clip(gain, 1 / _MOST_GAIN, _MOST_GAIN), np.float32)


# A newcomer: one function, one line here, its name in `config.models.SegmentMethod`.
LIGHTS = {
    "opening": Light(_subtracted),
    "flat_field": Light(_divided),
    "top_hat": Light(_subtracted, smooth=False),
}


def correct_light(
    image: Array,
    method: SegmentMethod,
    mask: Array,
    valid: Array | None = None,
    levels: Levels | None = None,
) -> tuple[Array, Levels]:
    """Smooth an image and take away its background.

    A first background is the opening by a disc of radius ``method.background`` of the image
    reduced by area mean. What is left where nothing rises above the noise is fitted by local
    planes and taken away as well: the opening alone stays below a slope at the image's rim.

    Parameters
    ----------
    image, method, mask, valid, levels
        As in `gridwell.segment.conventional.segment_spot`.

    Returns
    -------
    flat, levels
        float32 (h, w), and the levels that were given or measured within `mask`.
    """
    flat, start, inside = _corrected(image, method, mask, valid, levels)
    if levels is None:
        rounding = least_noise(image, method, start.unit)
        levels = measure_levels(flat[inside], method, start, rounding)
    return flat, levels


def flatten(image: Array, method: SegmentMethod, mask: Array) -> tuple[Array, float, float]:
    """Return the image as `correct_light` does, and the level and noise of what is left."""
    flat, start, inside = _corrected(image, method, mask, None, None)
    return flat, *background_level(flat[inside], least_noise(image, method, start.unit))


def _corrected(
    image: Array, method: SegmentMethod, mask: Array, valid: Array | None, levels: Levels | None
) -> tuple[Array, Levels, Array]:
    """The image without its background, what was measured on the way, and where."""
    valid = np.ones(image.shape, bool) if valid is None else valid
    inside = mask & valid
    inside = inside if inside.any() else np.ones(image.shape, bool)
    unit = levels.unit if levels else grey_step(image)
    smooth = _smoothed(image, method, inside, valid, unit)
    light = LIGHTS.get(method.illumination) if method.background > 0 else None
    lamp = levels.lamp if levels else 0.0
    if light:
        background = _opening(smooth, method, valid, unit, light.smooth)
        lamp = levels.lamp if levels else float(np.median(_sample(background[inside])))
        smooth = on_grid(light.flatten(smooth, background, lamp), unit)
    rounding = least_noise(image, method, unit)
    rough = levels.rough if levels else background_level(smooth[inside], rounding)
    passes = levels.passes if levels else None
    done = 0
    if light and light.smooth:
        smooth, done = _without_slopes(smooth, method, valid, rough, unit, passes=passes)
    return smooth, Levels(unit, lamp, rough, done, 0.0, 0.0, 0.0, 0.0, 0.0), inside


def grey_step(image: Array) -> float:
    """Step of grey values to compute in: fine enough for the image's type or range."""
    if image.dtype.kind in "ui" and image.dtype.itemsize <= 2:
        return 2.0**-_STEP_BITS
    values = _sample(image)
    largest = float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
    return 2.0 ** (math.frexp(largest or 1.0)[1] - 16 - _STEP_BITS)


def least_noise(image: Array, method: SegmentMethod, unit: float) -> float:
    """Noise to assume at least: a camera's is never below the rounding of its grey values."""
    step = 1.0 if image.dtype.kind in "ui" else 8 * unit
    return 0.3 * step / (1 + 2 * method.sigma)


def _smoothed(
    image: Array, method: SegmentMethod, inside: Array, valid: Array, unit: float
) -> Array:
    smooth = image.astype(np.float32)
    if not valid.all():
        smooth[~valid] = np.median(smooth[inside])
    if method.psf > 0 and method.iterations > 0:
        smooth = deconvolved(smooth, method.psf, method.iterations)
    if method.sigma > 0:
        smooth = cv2.GaussianBlur(smooth, (0, 0), method.sigma)
    return on_grid(smooth, unit)


def deconvolved(image: Array, psf: float, iterations: int) -> Array:
    """Sharpen an image that was blurred by a Gaussian (Richardson-Lucy).

    Parameters
    ----------
    image
        Grey values from 0, (h, w).
    psf
        Standard deviation of the blur, in pixels.
    iterations
        More sharpen more, and raise the noise.

    Returns
    -------
    sharp
        float32 (h, w); flat areas keep their grey value.

    References
    ----------
    W. H. Richardson, J. Opt. Soc. Am. 62 (1972) 55. L. B. Lucy, Astron. J. 79 (1974) 745.
    """
    # In space, not by FFT as scikit-image does it: there each pixel depends on all others.
    seen = np.maximum(image.astype(np.float64), 0)
    sharp = np.full(seen.shape, 1.0)
    for _ in range(iterations):
        blurred = cv2.GaussianBlur(sharp, (0, 0), psf)
        sharp *= cv2.GaussianBlur(seen / np.maximum(blurred, 1e-12), (0, 0), psf)
    return sharp.astype(np.float32)


def _without_slopes(
    smooth: Array,
    method: SegmentMethod,
    valid: Array,
    rough: tuple[float, float],
    unit: float,
    *,
    passes: int | None,
) -> tuple[Array, int]:
    """Take away local planes through what lies in the noise, `passes` times or until it is done.

    Returns the image, and how often it was done.
    """
    level, spread = rough
    # Along a steep slope the rim clears step by step, each from the planes inside of it.
    last = -1
    for done in range(_PASSES if passes is None else passes):
        free = (valid & (smooth < level + max(method.min_snr, 2.0) * spread)).astype(np.uint8)
        count = cv2.countNonZero(free)
        if passes is None and count - last < 1e-4 * free.size:
            return smooth, done
        planes = _planes(smooth, cv2.erode(free, np.ones((3, 3))), method)
        smooth = on_grid(smooth - planes, unit)
        level, last = 0.0, count
    return smooth, _PASSES if passes is None else passes


def reduction(method: SegmentMethod) -> int:
    """Factor by which the image is reduced to search its background."""
    return max(1, method.background // RADIUS_REDUCED)


def light_reach(method: SegmentMethod, levels: Levels) -> int:
    """How far away a pixel may be that the correction of another depends on, in pixels."""
    reach = math.ceil(4 * method.sigma + 8 * method.psf * method.iterations) + 2
    light = LIGHTS.get(method.illumination)
    if method.background > 0 and light:
        factor, smooth = reduction(method), light.smooth
        radius = max(1, round(method.background / factor))
        reach += factor * (2 * radius + smooth * (radius // 2) + 2)
        reach += levels.passes * (factor * (2 * radius + 2) + 2)
    return reach


def _opening(image: Array, method: SegmentMethod, valid: Array, unit: float, smooth: bool) -> Array:
    """Opening by a disc within the valid pixels; `smooth`: averaged over half its size."""
    factor = reduction(method)
    small, ok = reduce(image, factor), reduce(valid, factor) > 0.5
    radius = max(1, round(method.background / factor))
    low = cv2.erode(np.where(ok, small, np.inf), disc(radius))
    opened = cv2.dilate(np.where(ok, low, -np.inf), disc(radius))
    opened = np.where(np.isfinite(opened), opened, small)
    if smooth:
        # Sums of blocks, not means, are on the grid of grey values.
        total = np.rint(opened * factor**2 / unit) * unit
        opened = box_mean(total, radius // 2 * 2 + 1, cv2.BORDER_REPLICATE) / factor**2
    return enlarge(opened, factor, image.shape)


def _planes(rest: Array, free: Array, method: SegmentMethod) -> Array:
    """Local planes through the free pixels of `rest`; 0 where there are none nearby.

    References
    ----------
    H. Knutsson, C.-F. Westin, CVPR (1993) 515 (normalised convolution).
    """
    factor = reduction(method)
    weight = reduce(free, factor)
    value = reduce(np.where(free > 0, rest, np.float32(0)), factor)
    radius = max(1, round(method.background / factor))
    offset = np.arange(-2 * radius, 2 * radius + 1) / radius
    bell = np.exp(-2 * offset**2)
    kernels = [bell, bell * offset, bell * offset**2]

    def moment(image: Array, x: int, y: int) -> Array:
        # Correlation with 0 beyond the rim: no pixels there, so no weight.
        return cv2.sepFilter2D(
            image, cv2.CV_64F, kernels[x], kernels[y], borderType=cv2.BORDER_CONSTANT
        )

    moments = np.stack([moment(weight, x, y) for x, y in _POWERS])
    # A weak pull to 0 decides where free pixels are few or lie in a line.
    pull = np.array([1e-3, 0.05, 0.05]) * bell.sum() ** 2
    moments[[0, 3, 5]] += pull[:, None, None]
    vector = np.stack([moment(value, x, y) for x, y in _POWERS[:3]])
    fitted = np.empty(value.shape)
    _fit(moments.reshape(6, -1), vector.reshape(3, -1), fitted.reshape(-1))
    return enlarge(fitted, factor, rest.shape)


# Of x and y in the sums of a plane's normal equations: the first row, then what the others add.
_POWERS = ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))


@compiled
def _fit(moments: Array, vector: Array, fitted: Array) -> None:
    """Height of each plane where it is centred, by elimination; the matrices are definite."""
    for i in range(fitted.size):
        n, x, y, xx, xy, yy = moments[:, i]
        v, vx, vy = vector[:, i]
        # Without y, then without x.
        n, x, v = n - y * y / yy, x - y * xy / yy, v - vy * y / yy
        xx, vx = xx - xy * xy / yy, vx - vy * xy / yy
        fitted[i] = (v - vx * x / xx) / (n - x * x / xx)


def measure_levels(values: Array, method: SegmentMethod, levels: Levels, rounding: float) -> Levels:
    """Measure the background, Otsu's threshold and the percentile of corrected grey values.

    Parameters
    ----------
    values
        Corrected grey values, any shape.
    levels
        What is known of the steps before; kept.
    rounding
        Least noise to assume, in grey values.
    """
    base, noise = background_level(values, rounding)
    values = _sample(values)
    above = values[values > base + method.min_snr * noise]
    return replace(
        levels,
        ground=base,
        base=base,
        noise=noise,
        otsu=_otsu(above) if above.size >= 16 else base,
        percentile=float(np.percentile(values, method.percentile)) if values.size else base,
    )


def typical(found: Sequence[Levels]) -> Levels:
    """Median of the levels of several parts of an image; the most passes, the coarsest step."""

    def middle(values: Sequence[float]) -> float:
        return float(np.median(values))

    return Levels(
        unit=max(one.unit for one in found),
        lamp=middle([one.lamp for one in found]),
        rough=(middle([one.rough[0] for one in found]), middle([one.rough[1] for one in found])),
        passes=max(one.passes for one in found),
        ground=middle([one.ground for one in found]),
        base=middle([one.base for one in found]),
        noise=middle([one.noise for one in found]),
        otsu=middle([one.otsu for one in found]),
        percentile=middle([one.percentile for one in found]),
    )


def background_level(values: Array, rounding: float) -> tuple[float, float]:
    """Level and noise of the background.

    The level is the mode of the values; the noise comes from the values below the mode,
    which objects do not touch, so that spots full of cells and empty ones are judged alike.
    """
    ordered = np.sort(_sample(values))
    base = _mode(ordered)
    below = base - ordered[: np.searchsorted(ordered, ordered.dtype.type(base))]
    spread = 1.4826 * _middle(below) if below.size else 0.0
    return base, max(spread, rounding)


def _sample(values: Array) -> Array:
    return values.ravel()[:: max(1, values.size // 250_000)]


def _mode(ordered: Array) -> float:
    """Centre of the narrowest interval that holds a third of the lower nine tenths."""
    ordered = ordered[: max(1, int(0.9 * ordered.size))]
    span = max(1, ordered.size // 3)
    widths = ordered[span - 1 :] - ordered[: ordered.size - span + 1]
    start = int(np.argmin(widths))
    return _middle(ordered[start : start + span])


def _middle(ordered: Array) -> float:
    """Median of ordered values."""
    return float(ordered[(ordered.size - 1) // 2 : ordered.size // 2 + 1].mean())


def _otsu(values: Array) -> float:
    from skimage.filters import threshold_otsu

    if float(values.max()) == float(values.min()):
        return float(values.min())
    return float(threshold_otsu(values, nbins=256))

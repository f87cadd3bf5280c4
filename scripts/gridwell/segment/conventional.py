"""Objects by classical image processing: correct the light, threshold, split, keep by size.

Each step is local, but for three numbers of the whole image (`Levels`): the level and the
noise of its background, and Otsu's threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from gridwell.config.models import SegmentMethod

Array = np.ndarray[Any, np.dtype[Any]]

# The background is smooth, so it is searched on an image this many times finer than its radius.
_RADIUS_REDUCED = 6
# Prominence that a second centre needs to split an object: depth, and part of its own depth.
_PROMINENCE = 0.2
_PROMINENCE_PART = 0.12
# Most passes of the second correction; without slopes one or two do.
_PASSES = 6
# An object that stands alone is real from this part of Otsu's threshold on.
_FAINTEST = 0.2


@dataclass(frozen=True)
class Levels:
    """What thresholds take from the whole image, in grey values above the local background.

    Attributes
    ----------
    rough
        Level and standard deviation of the background after the opening alone.
    base, noise
        Level and standard deviation of the background after the whole correction.
    otsu
        Otsu's threshold of the pixels above the noise.
    """

    rough: tuple[float, float]
    base: float
    noise: float
    otsu: float


def segment_spot(
    image: Array,
    method: SegmentMethod,
    mask: Array | None = None,
    *,
    valid: Array | None = None,
    levels: Levels | None = None,
) -> Array:
    """Label the bright objects of one image.

    The illumination is corrected by a morphological opening, the image smoothed, and cut at
    a threshold: Otsu's, or a local one halfway between the mean of the objects and of the
    background nearby (a local form of Ridler and Calvard's), never below the noise. Touching
    objects are split along the valleys of the distance to the background.

    Parameters
    ----------
    image
        Grey values, shape (h, w), any numeric type.
    method
        Settings of the channel; sizes in pixels of `image`.
    mask
        Outline of the spot, bool (h, w): noise is measured inside, and objects whose centroid
        lies outside are dropped. None: the whole image.
    valid
        Pixels that were imaged at all, bool (h, w); False where a crop leaves the slide.
    levels
        Levels of a larger image that `image` is a part of; None: measure them here.

    Returns
    -------
    labels
        uint32 (h, w): 0 background, 1..k objects in the raster order of their first pixels.

    References
    ----------
    N. Otsu, IEEE Trans. Syst. Man Cybern. 9 (1979) 62.
    T. W. Ridler, S. Calvard, IEEE Trans. Syst. Man Cybern. 8 (1978) 630.
    """
    if method.method == "none" or image.size == 0:
        return np.zeros(image.shape, np.uint32)
    mask = np.ones(image.shape, bool) if mask is None else mask
    valid = np.ones(image.shape, bool) if valid is None else valid
    flat, levels = correct_light(image, method, mask, valid, levels)
    foreground = _threshold(flat, method, levels, valid)
    foreground = _fill_holes(foreground, method)
    labels = (
        _split(foreground, flat - levels.base, method) if method.split else _components(foreground)
    )
    if method.method == "local":
        labels = _trim(labels, flat - levels.base, method)
    return _keep(labels, method, mask)


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
        As in `segment_spot`.

    Returns
    -------
    flat, levels
        float32 (h, w), and the levels that were given or measured within `mask`.
    """
    valid = np.ones(image.shape, bool) if valid is None else valid
    inside = mask & valid
    inside = inside if inside.any() else np.ones(image.shape, bool)
    smooth = image.astype(np.float32)
    if not valid.all():
        smooth[~valid] = np.median(smooth[inside])
    if method.sigma > 0:
        smooth = cv2.GaussianBlur(smooth, (0, 0), method.sigma)
    if method.background > 0:
        smooth -= _opening(smooth, method, valid)
    rough = levels.rough if levels else _background_level(smooth[inside], method)
    level, spread = rough
    # Along a steep slope the rim clears step by step, each from the planes inside of it.
    last = -1
    for _ in range(_PASSES if method.background > 0 else 0):
        free = (valid & (smooth < level + max(method.min_snr, 2.0) * spread)).astype(np.uint8)
        count = cv2.countNonZero(free)
        if count - last < 1e-4 * free.size:
            break
        smooth -= _planes(smooth, cv2.erode(free, np.ones((3, 3))), method)
        level, last = 0.0, count
    return smooth, levels or measure_levels(smooth[inside], method, rough)


def reduction(method: SegmentMethod) -> int:
    """Factor by which the image is reduced to search its background."""
    return max(1, method.background // _RADIUS_REDUCED)


def _opening(smooth: Array, method: SegmentMethod, valid: Array) -> Array:
    """Opening by a disc within the valid pixels, smoothed by half its size."""
    factor = reduction(method)
    small, ok = _reduce(smooth, factor), _reduce(valid.astype(np.float32), factor) > 0.5
    radius = max(1, round(method.background / factor))
    disc = _disc(radius)
    low = cv2.erode(np.where(ok, small, np.float32(np.inf)), disc)
    opened = cv2.dilate(np.where(ok, low, np.float32(-np.inf)), disc)
    opened = np.where(np.isfinite(opened), opened, small)
    size = (radius // 2 * 2 + 1,) * 2
    opened = cv2.blur(opened, size, borderType=cv2.BORDER_REPLICATE)
    return _enlarge(opened, factor, smooth.shape)


def _planes(rest: Array, free: Array, method: SegmentMethod) -> Array:
    """Local planes through the free pixels of `rest`; 0 where there are none nearby.

    References
    ----------
    H. Knutsson, C.-F. Westin, CVPR (1993) 515 (normalised convolution).
    """
    factor = reduction(method)
    weight = _reduce(free.astype(np.float32), factor).astype(np.float64)
    value = _reduce(np.where(free > 0, rest, np.float32(0)), factor).astype(np.float64)
    radius = max(1, round(method.background / factor))
    offset = np.arange(-2 * radius, 2 * radius + 1) / radius
    bell = np.exp(-2 * offset**2)
    kernels = [bell, bell * offset, bell * offset**2]

    def moment(image: Array, x: int, y: int) -> Array:
        # Correlation with 0 beyond the rim: no pixels there, so no weight.
        return cv2.sepFilter2D(
            image, cv2.CV_64F, kernels[x], kernels[y], borderType=cv2.BORDER_CONSTANT
        )

    powers = [(0, 0), (1, 0), (0, 1)]
    matrix = np.stack(
        [np.stack([moment(weight, a + c, b + d) for c, d in powers], axis=-1) for a, b in powers],
        axis=-2,
    )
    # A weak pull to 0 decides where free pixels are few or lie in a line.
    matrix += np.diag([1e-3, 0.05, 0.05]) * bell.sum() ** 2
    vector = np.stack([moment(value, a, b) for a, b in powers], axis=-1)
    fitted = np.linalg.solve(matrix, vector[..., None])[..., 0, 0]
    return _enlarge(fitted.astype(np.float32), factor, rest.shape)


def measure_levels(values: Array, method: SegmentMethod, rough: tuple[float, float]) -> Levels:
    """Measure the background and Otsu's threshold of corrected grey values.

    Parameters
    ----------
    values
        Corrected grey values, any shape.
    rough
        Passed on.
    """
    base, noise = _background_level(values, method)
    values = _sample(values)
    above = values[values > base + method.min_snr * noise]
    return Levels(rough, base, noise, _otsu(above) if above.size >= 16 else base)


def _background_level(values: Array, method: SegmentMethod) -> tuple[float, float]:
    """Level and noise of the background.

    The level is the mode of the values; the noise comes from the values below the mode,
    which objects do not touch, so that spots full of cells and empty ones are judged alike.
    """
    values = _sample(values)
    base = _mode(values)
    below = base - values[values < base]
    spread = 1.4826 * float(np.median(below)) if below.size else 0.0
    # A camera's noise is never below the rounding of its grey values, smoothed.
    return base, max(spread, 0.3 / (1 + 2 * method.sigma))


def _sample(values: Array) -> Array:
    return values.ravel()[:: max(1, values.size // 250_000)]


def _mode(values: Array) -> float:
    """Centre of the narrowest interval that holds a third of the lower nine tenths."""
    ordered = np.sort(values)
    ordered = ordered[: max(1, int(0.9 * ordered.size))]
    span = max(1, ordered.size // 3)
    widths = ordered[span - 1 :] - ordered[: ordered.size - span + 1]
    start = int(np.argmin(widths))
    return float(np.median(ordered[start : start + span]))


def _otsu(values: Array) -> float:
    from skimage.filters import threshold_otsu

    if float(values.max()) == float(values.min()):
        return float(values.min())
    return float(threshold_otsu(values, nbins=256))


def _threshold(flat: Array, method: SegmentMethod, levels: Levels, valid: Array) -> Array:
    floor = levels.base + method.min_snr * levels.noise
    detected = (flat > floor) & valid
    if method.method == "otsu":
        # Otsu of the pixels above the noise would split bright from faint objects; halfway
        # between the background and their mean is what parts objects from the background.
        cut = levels.base + method.threshold * 0.5 * (levels.otsu - levels.base)
        return detected & (flat > max(cut, floor))
    return _local(flat, detected, method, levels, valid)


def _local(
    flat: Array, detected: Array, method: SegmentMethod, levels: Levels, valid: Array
) -> Array:
    """Cut halfway between the means of objects and background nearby, twice refined."""
    radius = method.background or int(method.max_diameter)
    factor = max(1, min(4, radius // _RADIUS_REDUCED))
    size = 2 * max(1, round(radius / factor)) + 1
    inside = detected
    cut = flat
    for _ in range(3):
        bright = _local_mean(flat, inside, factor, size, levels.base)
        dark = _local_mean(flat, valid & ~inside, factor, size, levels.base)
        cut = dark + method.threshold * 0.5 * np.maximum(bright - dark, 0)
        inside = detected & (flat > cut)
    return inside | _faint(flat, detected, inside, method, levels)


def _local_mean(flat: Array, members: Array, factor: int, size: int, default: float) -> Array:
    weight = _reduce(members.astype(np.float32), factor)
    total = _reduce(np.where(members, flat, np.float32(0)), factor)
    border = cv2.BORDER_REFLECT_101
    weight = cv2.blur(weight, (size, size), borderType=border)
    total = cv2.blur(total, (size, size), borderType=border)
    some = weight > 1e-6
    mean = np.where(some, total / np.where(some, weight, 1), np.float32(default))
    return _enlarge(mean.astype(np.float32), factor, flat.shape)


def _faint(
    flat: Array, detected: Array, inside: Array, method: SegmentMethod, levels: Levels
) -> Array:
    """Give objects that stand alone, too faint for their neighbours' threshold, their own."""
    least = levels.base + _FAINTEST * method.threshold * (levels.otsu - levels.base)
    count, parts = cv2.connectedComponents(detected.astype(np.uint8), connectivity=4)
    if count <= 1:
        return np.zeros_like(detected)
    taken = np.zeros(count, bool)
    taken[parts[inside]] = True
    taken[0] = True
    at = np.flatnonzero(~taken[parts])
    part, value = parts.ravel()[at], flat.ravel()[at]
    cut = np.full(count, -np.inf)
    for _ in range(3):
        above = value > cut[part]
        size = np.bincount(part[above], minlength=count)
        mean = np.bincount(part[above], value[above], count) / np.maximum(size, 1)
        cut = levels.base + method.threshold * 0.5 * (mean - levels.base)
    cut[mean < least] = np.inf
    faint = np.zeros(flat.size, bool)
    faint[at[value > cut[part]]] = True
    return faint.reshape(flat.shape)


def _fill_holes(foreground: Array, method: SegmentMethod) -> Array:
    """Fill holes smaller than the smallest object; a gap between cells may be larger."""
    _, holes, stats, _ = cv2.connectedComponentsWithStats(
        (~foreground).astype(np.uint8), connectivity=4
    )
    small = stats[:, cv2.CC_STAT_AREA] <= np.pi / 4 * method.min_diameter**2
    small[0] = False
    for edge in (holes[0], holes[-1], holes[:, 0], holes[:, -1]):
        small[edge] = False
    return foreground | small[holes]


def _components(foreground: Array) -> Array:
    return cv2.connectedComponents(foreground.astype(np.uint8), connectivity=4)[1]


def _split(foreground: Array, height: Array, method: SegmentMethod) -> Array:
    """Watershed of the depth of the foreground, from its prominent maxima.

    The depth is the distance to the background, times the square of the brightness relative to
    the brightest pixel nearby: small cells in a clump are parted by the dark line between them
    more than by their outline. Maxima nearer than ``method.seed_distance`` count as one, and so
    do basins whose common saddle lies less than the prominence below the lower of both maxima:
    a round or slightly dented object stays whole.

    References
    ----------
    S. Beucher, F. Meyer, in: Mathematical Morphology in Image Processing (1993) 433.
    N. Malpica et al., Cytometry 28 (1997) 289 (distance and brightness combined).
    """
    from skimage.segmentation import watershed

    padded = np.pad(foreground, 1).astype(np.uint8)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    top = cv2.dilate(height, _disc(max(1, int(method.seed_distance))))
    depth = depth * np.clip(height / np.maximum(top, 1e-6), 0, 1) ** 2
    depth = cv2.GaussianBlur(depth, (0, 0), max(0.5, method.seed_distance / 5))
    depth[~foreground] = 0
    peaks = foreground & (depth >= cv2.dilate(depth, _disc(max(1, int(method.seed_distance / 2)))))
    count, seeds = cv2.connectedComponents(peaks.astype(np.uint8), connectivity=8)
    if count <= 1:
        return _components(foreground)
    basins = watershed(-depth, seeds, mask=foreground)
    # A small object beside a deeper one has no maximum of its own.
    missed = foreground & (basins == 0)
    basins = np.where(missed, _components(missed) + count, basins)
    return _merge_shallow(basins, depth, seeds, method.seed_distance)


def _merge_shallow(basins: Array, depth: Array, seeds: Array, seed_distance: float) -> Array:
    """Join basins that are parted by a shallow saddle or lie too near, highest saddle first."""
    first, second, saddle = _saddles(basins, depth)
    if first.size == 0:
        return basins
    count = int(basins.max()) + 1
    ys, xs = np.nonzero(seeds)
    seed = seeds[ys, xs]
    size = np.bincount(seed, minlength=count).clip(1)
    at_y, at_x = np.bincount(seed, ys, count) / size, np.bincount(seed, xs, count) / size
    top = np.zeros(count)
    top[seed] = depth[ys, xs]
    parent = np.arange(count)

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = int(parent[index])
        return index

    for edge in np.lexsort((second, first, -saddle)):
        a, b = root(int(first[edge])), root(int(second[edge]))
        if a == b:
            continue
        if (top[a], -a) < (top[b], -b):
            a, b = b, a
        shallow = top[b] - saddle[edge] < max(_PROMINENCE, _PROMINENCE_PART * top[b])
        near = np.hypot(at_y[a] - at_y[b], at_x[a] - at_x[b]) < seed_distance
        if shallow or near:
            parent[b] = a
    return np.array([root(index) for index in range(count)])[basins]


def _saddles(basins: Array, depth: Array) -> tuple[Array, Array, Array]:
    """Return pairs of touching basins and the depth of the highest pass between them."""
    pairs, heights = [], []
    for one, other in (
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
    ):
        a, b = basins[one], basins[other]
        touch = (a != b) & (a > 0) & (b > 0)
        a, b = a[touch].astype(np.int64), b[touch].astype(np.int64)
        pairs.append((np.minimum(a, b) << 32) | np.maximum(a, b))
        heights.append(np.minimum(depth[one][touch], depth[other][touch]))
    key, height = np.concatenate(pairs), np.concatenate(heights)
    unique, inverse = np.unique(key, return_inverse=True)
    saddle = np.zeros(unique.size)
    np.maximum.at(saddle, inverse, height)
    return unique >> 32, unique & 0xFFFFFFFF, saddle


def _trim(labels: Array, height: Array, method: SegmentMethod) -> Array:
    """Cut the halo of bright objects: each keeps what is above half of its own mean height."""
    at = np.flatnonzero(labels)
    label, value = labels.ravel()[at], height.ravel()[at]
    size = np.bincount(label).clip(1)
    mean = np.bincount(label, value) / size
    for _ in range(2):
        above = value > 0.5 * method.threshold * mean[label]
        size = np.bincount(label[above], minlength=mean.size).clip(1)
        mean = np.bincount(label[above], value[above], mean.size) / size
    kept = np.zeros(labels.size, bool)
    kept[at[value > 0.5 * method.threshold * mean[label]]] = True
    return np.where(_fill_holes(kept.reshape(labels.shape), method), labels, 0)


def _disc(radius: int) -> Array:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


def _keep(labels: Array, method: SegmentMethod, mask: Array) -> Array:
    """Drop objects of wrong size or outside of `mask`; number the others in raster order."""
    at = np.flatnonzero(labels)
    if at.size == 0:
        return np.zeros(labels.shape, np.uint32)
    width = labels.shape[1]
    label = labels.ravel()[at]
    names, first, index, area = np.unique(
        label, return_index=True, return_inverse=True, return_counts=True
    )
    y = np.rint(np.bincount(index, at // width) / area).astype(int)
    x = np.rint(np.bincount(index, at % width) / area).astype(int)
    diameter = np.sqrt(4 / np.pi * area)
    kept = (diameter >= method.min_diameter) & (diameter <= method.max_diameter) & mask[y, x]
    number = np.zeros(names.size, np.uint32)
    order = np.argsort(first[kept], kind="stable")
    number[np.flatnonzero(kept)[order]] = np.arange(1, order.size + 1)
    result = np.zeros(labels.size, np.uint32)
    result[at] = number[index]
    return result.reshape(labels.shape)


def _reduce(image: Array, factor: int) -> Array:
    """Area mean of blocks of `factor` pixels; the last blocks repeat the edge."""
    if factor == 1:
        return image
    h, w = image.shape
    down, right = -h % factor, -w % factor
    if down or right:
        image = cv2.copyMakeBorder(image, 0, down, 0, right, cv2.BORDER_REPLICATE)
    return cv2.resize(image, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)


def _enlarge(small: Array, factor: int, shape: tuple[int, ...]) -> Array:
    if factor == 1:
        return small
    size = (small.shape[1] * factor, small.shape[0] * factor)
    return cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)[: shape[0], : shape[1]]

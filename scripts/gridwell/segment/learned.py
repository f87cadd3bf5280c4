"""Objects by a network: its maps, and one flood over what they say."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gridwell.config.errors import InputError, Problem
from gridwell.config.models import SegmentMethod
from gridwell.config.weights import weights_of
from gridwell.images.compiled import compiled
from gridwell.network.cells import Brightness, CellNetwork, Maps, brightness, facts_of
from gridwell.network.device import Policy, Precision, device, device_name
from gridwell.network.tiles import ReadRows, Tiling
from gridwell.segment.auto import Candidate, Sample
from gridwell.segment.flood import FloodOptions, instances, stream_instances
from gridwell.segment.pixels import reduce

Array = np.ndarray[Any, np.dtype[Any]]

# Objects wider than this, in pixels, are better looked at from farther away.
_WIDEST = 62.0
# Where the width of objects is told, they are brought to about this.
_BEST = 30.0
_MOST_REDUCED = 8
# Rows of an image that its brightness is measured on, in bands all over it.
_BANDS, _BAND_ROWS = 8, 128
# Windows of an image that the width of its objects is measured on, and their side.
_WINDOWS, _WINDOW = 3, 1024


class LearnedMethod:
    """A network as a method of segmentation.

    Parameters
    ----------
    weights
        The network's file.
    policy
        Whether to compute on a GPU.
    precision
        Of the multiplications.
    factor
        How many times smaller than it is the network is shown an image; see `suited`.

    Raises
    ------
    InputError
        If the file holds no network of cells, or a GPU is required and there is none.
    """

    def __init__(
        self,
        weights: Path,
        *,
        policy: Policy = "allow",
        precision: Precision = "auto",
        factor: int = 1,
    ) -> None:
        self._weights, self._policy, self._precision = weights, policy, precision
        self.factor = factor
        facts = facts_of(weights)
        if facts["inputs"] != 2:  # each channel is shown twice, see `gridwell.network.cells.shown`
            raise InputError(
                Problem(
                    file=str(weights),
                    reason=f"this network looks at {facts['inputs'] // 2} channels together, and "
                    "each channel is segmented by itself",
                    remedy="Name a network that was trained on one channel",
                )
            )

    @property
    def _network(self) -> CellNetwork:
        """The network, read once in each process that computes maps."""
        return CellNetwork.load(self._weights, policy=self._policy, precision=self._precision)

    @property
    def on_gpu(self) -> bool:
        """Whether maps are computed on a GPU: then in batches, by one process."""
        return device(self._policy).type == "cuda"

    @property
    def device_name(self) -> str:
        """Name of the device that maps are computed on: cpu, or what the GPU is called."""
        return device_name(self._policy)

    def maps(self, images: Sequence[Array], levels: Brightness | None = None) -> list[Maps]:
        """Compute the maps of gray images of any sizes, (h, w) each, in one batch.

        Parameters
        ----------
        images
            Grey values.
        levels
            Brightness of the slide that they are of; None: each is measured by itself.
        """
        known = [levels or brightness(image) for image in images]
        reduced = [_reduced(image, self.factor) for image in images]
        shown = self._network.maps_of(reduced, [[one] for one in known])
        return [
            _enlarged(maps, self.factor, image.shape)
            for maps, image in zip(shown, images, strict=True)
        ]

    def suited(
        self, samples: Sequence[Array], levels: Brightness | None, method: SegmentMethod
    ) -> LearnedMethod:
        """Choose how far away the network looks from, by how wide the objects are.

        Where `method` tells the diameter of an object, that decides. Else the image is halved
        as long as what is found is wider than the network knows, and objects become clearer.

        Parameters
        ----------
        samples
            Gray images (h, w) of the slide, or windows of the image.
        levels
            Brightness of the slide; None: of each image.
        method
            Settings.
        """
        if method.diameter is not None:
            near = method.diameter <= _WIDEST
            return self._from(1 if near else min(_MOST_REDUCED, round(method.diameter / _BEST)))
        best, (width, clearness) = self, self._look(samples, levels)
        while width > _WIDEST and best.factor < _MOST_REDUCED:
            farther = self._from(2 * best.factor)
            width, clearer = farther._look(samples, levels)
            if clearer <= clearness:
                break
            best, clearness = farther, clearer
        return best

    def _from(self, factor: int) -> LearnedMethod:
        return LearnedMethod(
            self._weights, policy=self._policy, precision=self._precision, factor=factor
        )

    def _look(self, samples: Sequence[Array], levels: Brightness | None) -> tuple[float, float]:
        """Width in pixels of what the network is shown, and clearness, of the larger objects.

        Half of all pixels of objects belong to objects at least so wide; clear is an object
        whose centre is as deep as it should be, 1.
        """
        areas, peaks = [], []
        for image in samples:
            level = levels or brightness(image)
            (maps,) = self._network.maps_of([_reduced(image, self.factor)], [[level]])
            if maps.cell is None or maps.neighbour is None:
                return 0.0, 0.0
            labels = instances(maps.cell, maps.neighbour, maps.chance[1], FloodOptions())
            peak = np.zeros(int(labels.max()) + 1)
            np.maximum.at(peak, labels.ravel(), maps.cell.ravel())
            areas.append(np.bincount(labels.ravel(), minlength=len(peak))[1:])
            peaks.append(peak[1:])
        area, peak = np.concatenate(areas), np.concatenate(peaks)
        if not area.size:
            return 0.0, 0.0
        order = np.argsort(-area, kind="stable")
        middle = int(np.searchsorted(np.cumsum(area[order]), area.sum() / 2))
        width = float(np.sqrt(4 / np.pi * area[order][middle]))
        return width, float((area * peak).sum() / area.sum())

    def labels(self, maps: Maps, method: SegmentMethod, mask: Array | None = None) -> Array:
        """Turn maps into labels.

        Parameters
        ----------
        maps
            Of one image.
        method
            Sizes of objects, in pixels, and the factor on the least chance to be inside of one.
        mask
            Where centroids must lie, bool (h, w); None: anywhere.

        Returns
        -------
        uint32 (h, w): 0 background, 1..k objects in the raster order of their first pixels. Of
        a network of classes, the connected parts of every class but the background.
        """
        if maps.cell is None or maps.neighbour is None:
            labels = _parts(np.argmax(maps.chance, 0))
        else:
            flood = _flood_of(method)
            labels = instances(maps.cell, maps.neighbour, maps.chance[1], flood)
        return _sized(labels, method, mask)

    def window(self, mask: Array) -> tuple[slice, slice]:
        """Rows and columns that hold the objects with their centroids in `mask`.

        Half of the widest object that the network knows lies around the mask, or what there is.
        Of a wider one at the rim of the mask, the part beyond is not seen.

        Parameters
        ----------
        mask
            Where centroids must lie, bool (h, w).
        """
        beyond = math.ceil(_WIDEST / 2 * self.factor)
        rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        return _around(rows, beyond), _around(columns, beyond)

    def candidate(self, method: SegmentMethod, levels: Brightness | None = None) -> Candidate:
        """The network as one of the methods to choose from, see `gridwell.segment.auto`."""

        def run(sample: Sample, factor: float) -> Array:
            own = method.model_copy(update={"threshold": method.threshold * factor})
            return self.labels(self.maps([sample.image], levels)[0], own, sample.mask)

        return run

    def segment_rows(
        self,
        read_rows: ReadRows,
        height: int,
        width: int,
        *,
        method: SegmentMethod,
        out: Array,
        tiling: Tiling | None = None,
    ) -> int:
        """Label the objects of an image of any size; memory does not grow with its height.

        Parameters
        ----------
        read_rows
            ``read_rows(y0, y1)`` gives the rows y0 to y1 - 1, (y1 - y0, width).
        height, width
            Size of the image.
        method
            Sizes of objects, in pixels.
        out
            uint32 (height, width) of zeros, such as a file in memory; gets the labels.
        tiling
            How the network is shown it; None: so that no seams are left.

        Returns
        -------
        Number of objects.
        """
        levels = sample_brightness(read_rows, height)
        factor = self.factor

        def reduced(y0: int, y1: int) -> Array:
            return _reduced(read_rows(y0 * factor, min(height, y1 * factor)), factor)

        stream = self._network.stream(
            reduced, -(-height // factor), -(-width // factor), [levels], tiling
        )
        maps = (
            (y0 * factor, _enlarged(one, factor, (height - y0 * factor, width)))
            for y0, one in stream
        )
        stream_instances(
            _distances(maps), _flood_of(method), out, core=512 * factor, halo=256 * factor
        )
        return _resize_out(out, method)


def learned_method(
    method: SegmentMethod, study: Path, gpu: Policy, precision: Precision = "auto"
) -> LearnedMethod | None:
    """The network of a channel, where its method is one or may become one.

    Parameters
    ----------
    method
        Settings of the channel.
    study
        The study's folder, where its own networks are.
    gpu, precision
        Whether to compute on a GPU, and with which numbers.

    Raises
    ------
    InputError
        As `LearnedMethod`.
    """
    if method.method not in {"network", "auto"}:
        return None
    return LearnedMethod(weights_of(method.weights, study), policy=gpu, precision=precision)


def sample_brightness(read_rows: ReadRows, height: int) -> Brightness:
    """Measure the brightness of an image on bands of rows all over it."""
    starts = np.linspace(0, max(0, height - _BAND_ROWS), _BANDS).astype(int)
    bands = [read_rows(int(y), min(height, int(y) + _BAND_ROWS)) for y in np.unique(starts)]
    return brightness(np.concatenate([band.reshape(-1) for band in bands]))


def sample_windows(read_rows: ReadRows, height: int, width: int) -> list[Array]:
    """Windows along the diagonal of an image, to see how wide its objects are."""
    places = [
        [int(start) for start in np.linspace(0, max(0, length - _WINDOW), _WINDOWS)]
        for length in (height, width)
    ]
    corners = dict.fromkeys(zip(*places, strict=True))
    return [
        read_rows(y, min(height, y + _WINDOW))[:, x : min(width, x + _WINDOW)] for y, x in corners
    ]


def _around(places: Array, beyond: int) -> slice:
    if not places.size:
        return slice(None)
    return slice(max(0, int(places[0]) - beyond), int(places[-1]) + 1 + beyond)


def _reduced(image: Array, factor: int) -> Array:
    """Mean of blocks; the image itself where they are single pixels."""
    return image if factor == 1 else reduce(image, factor).astype(np.float32)


def _enlarged(maps: Maps, factor: int, shape: tuple[int, ...]) -> Maps:
    """Repeat the pixels of maps, down to at most `shape`."""
    if factor == 1:
        return maps

    def enlarged(map_: Array) -> Array:
        large = map_.repeat(factor, -2).repeat(factor, -1)
        return large[..., : shape[0], : shape[1]]

    if maps.cell is None or maps.neighbour is None:
        return Maps(None, None, enlarged(maps.chance))
    return Maps(enlarged(maps.cell), enlarged(maps.neighbour), enlarged(maps.chance))


def _flood_of(method: SegmentMethod) -> FloodOptions:
    return FloodOptions(inside=min(0.99, FloodOptions.inside * method.threshold))


def _distances(stream: Iterator[tuple[int, Maps]]) -> Iterator[tuple[int, Array, Array, Array]]:
    for y0, maps in stream:
        if maps.cell is None or maps.neighbour is None:
            # Classes touch as they lie: the chance itself is the height, nothing is apart.
            inside = 1 - maps.chance[0]
            yield y0, inside, np.zeros_like(inside), inside
        else:
            yield y0, maps.cell, maps.neighbour, maps.chance[1]


def _sized(labels: Array, method: SegmentMethod, mask: Array | None) -> Array:
    """Drop objects of wrong size or with their centroid outside of `mask`; number the others."""
    area, *sums = _area_and_sums(labels)
    kept = _fitting(area, method)
    if mask is not None:
        y, x = (np.rint(total / area.clip(1)).astype(int) for total in sums)
        kept &= mask[y, x]
    return (np.cumsum(kept) * kept).astype(np.uint32)[labels]


def _fitting(area: Array, method: SegmentMethod) -> Array:
    """Which labels, by their area in pixels, are objects of the right size."""
    diameter = np.sqrt(4 / np.pi * area)
    kept = (diameter >= method.min_diameter) & (diameter <= method.max_diameter) & (area > 0)
    if kept.size:
        kept[0] = False
    return np.asarray(kept)


def _resize_out(out: Array, method: SegmentMethod) -> int:
    """Drop objects of wrong size from labels on disk, band by band; tell how many are left."""
    bands = range(0, len(out), _BAND_ROWS)
    count = 1 + max((int(out[y : y + _BAND_ROWS].max(initial=0)) for y in bands), default=0)
    area = np.zeros(count, np.int64)
    for y in bands:
        area += np.bincount(out[y : y + _BAND_ROWS].ravel(), minlength=count)
    kept = _fitting(area, method)
    number = (np.cumsum(kept) * kept).astype(np.uint32)
    for y in bands:
        out[y : y + _BAND_ROWS] = number[out[y : y + _BAND_ROWS]]
    return int(kept.sum())


def _parts(classes: Array) -> Array:
    """Connected parts of each class but 0, in the raster order of their first pixels."""
    from skimage.measure import label

    return label(classes, background=0, connectivity=1).astype(np.uint32)


@compiled
def _area_and_sums(labels: Array) -> Array:
    """Number of pixels of each label, the background left out, and sums of their rows, columns."""
    sums = np.zeros((3, labels.max() + 1), np.int64)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            label = labels[y, x]
            if label > 0:
                sums[0, label] += 1
                sums[1, label] += y
                sums[2, label] += x
    return sums

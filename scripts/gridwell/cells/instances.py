"""Objects of one channel on all spots of a slide, and their features in one table."""

from __future__ import annotations

import logging
import math
import multiprocessing
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from gridwell.cells.features import measure
from gridwell.config.errors import InputError
from gridwell.config.files import write_parquet
from gridwell.config.hashes import sha256
from gridwell.config.models import SegmentMethod, SegmentOptions
from gridwell.config.provenance import Provenance, of_slide
from gridwell.config.weights import weights_of
from gridwell.images.labels import LabelWriter
from gridwell.images.spots import SpotFrame, SpotStack, open_spots
from gridwell.network.cells import Brightness, Maps, brightness
from gridwell.network.device import Policy, Precision
from gridwell.runs.progress import begin, step
from gridwell.segment.auto import Sample
from gridwell.segment.conventional import segment_spot
from gridwell.segment.learned import LearnedMethod, learned_method
from gridwell.segment.methods import settled

Array = np.ndarray[Any, np.dtype[Any]]
Result = tuple[Array, pd.DataFrame, str]

_log = logging.getLogger(__name__)

# Spots on which the method of a channel is chosen.
_SAMPLES = 12
_UNMEASURED_ROLES = ("grid", "colour")
# Pixels of a channel that are read at once: one by one, spots take three times as long.
_READ = 2**23
# Objects from which on a row of spots begins a new row group of the table.
_GROUP = 2**14
# Spots that the brightness of a slide is measured on.
_MEASURED = 96


def segment_channel(
    spots_zarr: Path,
    channel: str,
    *,
    labels_out: Path,
    instances_out: Path,
    options: SegmentOptions,
    threads: int,
    gpu: Policy = "allow",
    precision: Precision = "auto",
    study: Path = Path(),
    provenance: Provenance | None = None,
) -> None:
    """Segment one channel of every spot and measure what was found.

    Spots are worked on one grid row after the other, so that memory holds one row of spots.
    Every position of the grid is segmented, found or not: the flags of the spot table tell
    which to trust. A spot that raises is left without objects; its reason is kept with the
    labels, under ``failed``.

    Parameters
    ----------
    spots_zarr
        Stack of crops of the slide.
    channel
        Channel to segment.
    labels_out
        Zarr directory of the labels, (spot, y, x).
    instances_out
        Parquet file of the features, one row an object, ordered by spot and label; columns as
        in `gridwell.config.columns`.
    options
        Settings of all channels.
    threads
        Worker processes. The results do not depend on it.
    gpu
        Whether a network computes on a GPU.
    precision
        Of a network's multiplications.
    study
        The study's folder, where its own networks are.
    provenance
        Code and configuration that the features are made with; raw images, network and device
        are added.
    """
    stack = open_spots(spots_zarr)
    frame = stack.frame
    work = _Worker.of_channel(
        Path(spots_zarr), channel, options, gpu=gpu, precision=precision, study=study
    )
    tables: list[pd.DataFrame] = []
    found: list[pd.DataFrame] = []
    failed: dict[str, str] = {}
    shape = stack.shape(channel)
    rows = [range(start, start + frame.cols) for start in range(0, shape[0], frame.cols)]
    begin(shape[0], "spots")
    with (
        closing(_results(work, rows, threads)) as results,
        LabelWriter(labels_out, frame, shape, stack.attributes) as writer,
    ):
        for spots, row in zip(rows, results, strict=True):
            writer.write(spots.start, np.stack([labels for labels, _, _ in row]))
            found.append(_on_slide([table for _, table, _ in row], frame, spots))
            for index, (_, _, reason) in zip(spots, row, strict=True):
                if reason:
                    failed[frame.spots[index]] = reason
                    _log.warning("%s, channel %s: %s", frame.spots[index], channel, reason)
            step(len(spots))
            if spots.stop == shape[0] or sum(map(len, found)) >= _GROUP:
                tables.append(pd.concat(found, ignore_index=True))
                found.clear()
        writer.note(channel=channel, failed=failed, **work.chosen)
    write_parquet(instances_out, tables, _whole(provenance, stack, work, study))


def _whole(
    provenance: Provenance | None, stack: SpotStack, work: _Worker, study: Path
) -> Provenance | None:
    """Add to the provenance what only the run knows: raw images, weights, device."""
    if provenance is None:
        return None
    whole = of_slide(provenance, stack.frame.slide, stack.raw)
    weights = work.weights(study)
    return {
        **whole,
        "models": {**whole["models"], **weights},
        "device": [work.learned.device_name if work.learned else "cpu"],
    }


def _samples(stack: SpotStack, channel: str) -> list[Sample]:
    """Return some spots, to choose a method on."""
    mask = stack.frame.mask(*stack.shape(channel)[1:3])
    return [
        Sample(stack.read(channel, at, at + 1)[0], mask) for at in _spread(stack, channel, _SAMPLES)
    ]


def _spread(stack: SpotStack, channel: str, count: int) -> list[int]:
    """At most `count` spots all over the slide, of those that lie on it wholly, if any do."""
    whole = np.flatnonzero(stack.inside)
    whole = whole if whole.size else np.arange(stack.shape(channel)[0])
    places = np.linspace(0, whole.size - 1, min(count, whole.size)).astype(int)
    return [int(at) for at in whole[np.unique(places)]]


def measured_beside(stack: SpotStack, channel: str) -> list[str]:
    """Names of the other gray channels that are measured under the objects of `channel`."""
    return [
        other["channel"]
        for other in stack.channels
        if other["channel"] != channel
        and other["samples"] == 1
        and other["role"] not in _UNMEASURED_ROLES
    ]


@dataclass
class _Worker:
    """Segments one spot; what a worker process gets to know once, pickled with the call.

    Attributes
    ----------
    spots_zarr, channel, others
        The stack, the channel, and the channels that are measured under its objects.
    method, ring
        Settings.
    learned, levels
        The network that segments, and the brightness of the whole slide; None: a conventional
        method.
    chosen
        What the choice of the method was made on; empty where it was given.
    named
        Weights as the study names them.
    """

    spots_zarr: Path
    channel: str
    others: list[str]
    method: SegmentMethod
    ring: float
    learned: LearnedMethod | None = None
    levels: Brightness | None = None
    chosen: dict[str, Any] = field(default_factory=dict)
    named: str = "nuclei"

    @classmethod
    def of_channel(
        cls,
        spots_zarr: Path,
        channel: str,
        options: SegmentOptions,
        *,
        gpu: Policy,
        precision: Precision,
        study: Path,
    ) -> _Worker:
        """Make the worker of a channel, whatever its method needs to know first."""
        stack = open_spots(spots_zarr)
        role = next(one["role"] for one in stack.channels if one["channel"] == channel)
        method = options.of(channel, role)
        named = method.weights or "nuclei"
        others = measured_beside(stack, channel)
        network = learned_method(method, study, gpu, precision)
        levels = slide_brightness(stack, channel) if network else None
        learned = {"network": network.candidate(method, levels)} if network else {}
        method, chosen = settled(
            method, lambda: _samples(stack, channel), learned=learned, study=study
        )
        work = cls(spots_zarr, channel, others, method, options.ring, chosen=chosen, named=named)
        if network and method.method == "network":
            samples = [sample.image for sample in _samples(stack, channel)]
            work.learned = network.suited(samples, levels, method)
            work.levels = levels
        return work

    def weights(self, study: Path) -> dict[str, str]:
        """SHA-256 of the weights that segment the channel, by name; empty where none do."""
        if self.learned is None and self.method.method != "pixel_classifier":
            return {}
        return {self.named: sha256(weights_of(self.named, study))}

    def maps(self, spots: range) -> list[Maps]:
        """Maps of spots and what their objects reach into, in one batch on the GPU."""
        assert self.learned is not None
        crops = self._stack.read(self.channel, *_ends(spots))
        window = self.learned.window(self._stack.frame.mask(*crops.shape[1:3]))
        return self.learned.maps([crop[window] for crop in crops], self.levels)

    def parts(self, count: int, processes: int) -> list[slice]:
        """Part a grid row into spots that are read and worked on at once, two parts a process."""
        most = max(1, _READ // math.prod(self._stack.shape(self.channel)[1:3]))
        size = min(-(-count // (2 * processes)), most)
        return [slice(start, start + size) for start in range(0, count, size)]

    def __call__(self, spots: range, maps: Sequence[Maps] | None = None) -> list[Result]:
        """Segment and measure spots, whose crops are read at once."""
        cv2.setNumThreads(1)
        try:
            crops = {
                name: self._stack.read(name, *_ends(spots)) for name in (self.channel, *self.others)
            }
        except InputError:  # what the user must mend is no matter of a spot
            raise
        except Exception as error:  # one that cannot be read must not take its neighbours with it
            if len(spots) == 1:
                return [self._failed(error)]
            ones = [slice(at, at + 1) for at in range(len(spots))]
            return [self(spots[one], maps[one] if maps else None)[0] for one in ones]
        return [
            self._one(
                index,
                {name: own[at] for name, own in crops.items()},
                maps[at] if maps else None,
            )
            for at, index in enumerate(spots)
        ]

    def _one(self, index: int, crops: dict[str, Array], maps: Maps | None) -> Result:
        image = crops.pop(self.channel)
        mask = self._stack.frame.mask(*image.shape[:2])
        try:
            labels = self._label(index, image, crops, mask, maps)
            return labels, measure(labels, image, crops, self.ring, mask), ""
        except InputError:
            raise
        except Exception as error:  # a spot that fails must not take the slide with it
            return self._failed(error)

    def _failed(self, error: Exception) -> Result:
        """No objects, and the reason."""
        shape = self._stack.shape(self.channel)[1:3]
        nothing = np.zeros(shape, np.uint8)
        others = dict.fromkeys(self.others, nothing)
        empty = np.zeros(shape, np.uint32)
        return empty, measure(empty, nothing, others, self.ring), f"{type(error).__name__}: {error}"

    def _label(
        self, index: int, image: Array, beside: dict[str, Array], mask: Array, maps: Maps | None
    ) -> Array:
        if self.learned is not None:
            window = self.learned.window(mask)
            maps = maps or self.learned.maps([image[window]], self.levels)[0]
            labels = np.zeros(image.shape, np.uint32)
            labels[window] = self.learned.labels(maps, self.method, mask[window])
            return labels
        valid = None if self._stack.inside[index] else _imaged(image, *beside.values())
        return segment_spot(image, self.method, mask, valid=valid)

    @cached_property
    def _stack(self) -> SpotStack:
        return open_spots(self.spots_zarr)

    def __getstate__(self) -> dict[str, Any]:
        """Let each process open the stack itself."""
        return {name: value for name, value in vars(self).items() if name != "_stack"}


def _ends(spots: range) -> tuple[int, int]:
    return spots.start, spots.stop


def slide_brightness(stack: SpotStack, channel: str) -> Brightness:
    """Measure a channel within spots all over the slide, empty ones among them.

    A network is shown the slide's spots by this brightness when it segments and when it learns.
    """
    mask = stack.frame.mask(*stack.shape(channel)[1:3])
    chosen = _spread(stack, channel, _MEASURED)
    return brightness(np.concatenate([stack.read(channel, i, i + 1)[0][mask] for i in chosen]))


def _imaged(*images: Array) -> Array:
    """Pixels of a crop that lie on the slide: outside, it is 0 in all channels.

    Only where the zeros reach the rim: a camera's black within the slide stays.
    """
    some = np.logical_or.reduce([image > 0 for image in images])
    _, parts = cv2.connectedComponents((~some).astype(np.uint8), connectivity=4)
    rim = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
    return ~np.isin(parts, rim[rim > 0])


def _results(
    work: _Worker, rows: list[range], processes: int
) -> Generator[list[Result], None, None]:
    """Results of the spots of each grid row, whatever the number of processes."""
    on_gpu = work.learned is not None and work.learned.on_gpu
    if processes <= 1:
        for spots in rows:
            maps = work.maps(spots) if on_gpu else None
            parts = work.parts(len(spots), 1)
            yield [one for at in parts for one in work(spots[at], maps[at] if maps else None)]
        return
    context = multiprocessing.get_context("forkserver")
    # What takes seconds to import is imported once, before the workers are made.
    network = ["gridwell.network.unet"] if work.learned and not on_gpu else []
    context.set_forkserver_preload(["__main__", __name__, *network])
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        # One row is worked on ahead: no process waits for the last spot of a row, and while the
        # GPU computes the maps of one, processes flood and measure the one before.
        before: list[Future[list[Result]]] = []
        for spots in rows:
            maps = work.maps(spots) if on_gpu else None
            now = [
                pool.submit(work, spots[at], maps[at] if maps else None)
                for at in work.parts(len(spots), processes)
            ]
            if before:
                yield [one for done in before for one in done.result()]
            before = now
        yield [one for done in before for one in done.result()]


def _on_slide(tables: Sequence[pd.DataFrame], frame: SpotFrame, spots: range) -> pd.DataFrame:
    """Join tables of spots; move positions and directions to the slide, and name the spots."""
    table = pd.concat(tables, ignore_index=True)
    index = np.repeat(spots, [len(own) for own in tables])
    x, y = frame.to_slide(index, table["x"].to_numpy(), table["y"].to_numpy())
    turned = 90 - (90 - table["orientation"].to_numpy() - frame.angle) % 180
    return pd.DataFrame(
        {"spot": np.array(frame.spots, dtype=object)[index]}
        | dict(table.items())
        | {"x": x, "y": y, "orientation": turned},
        index=table.index,
    ).astype({"spot": "str"})

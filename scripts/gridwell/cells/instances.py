"""Objects of one channel on all spots of a slide, and their features in one table."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from gridwell.cells.features import measure
from gridwell.config.files import write_parquet
from gridwell.config.models import SegmentMethod, SegmentOptions
from gridwell.images.labels import LabelWriter
from gridwell.images.spots import SpotFrame, SpotStack, open_spots
from gridwell.segment.conventional import segment_spot

Array = np.ndarray[Any, np.dtype[Any]]
Result = tuple[Array, pd.DataFrame, str]

_log = logging.getLogger(__name__)

_UNMEASURED_ROLES = ("grid", "colour")


def segment_channel(
    spots_zarr: Path,
    channel: str,
    *,
    labels_out: Path,
    instances_out: Path,
    options: SegmentOptions,
    threads: int,
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
    """
    stack = open_spots(spots_zarr)
    frame = stack.frame
    others = measured_beside(stack, channel)
    work = _Worker(Path(spots_zarr), channel, others, options.of(channel), options.ring)
    tables: list[pd.DataFrame] = []
    failed: dict[str, str] = {}
    shape = stack.shape(channel)
    with (
        _ordered_map(threads) as run,
        LabelWriter(labels_out, frame, shape, stack.attributes) as writer,
    ):
        for start in range(0, shape[0], frame.cols):
            block = np.zeros((frame.cols, *shape[1:3]), np.uint32)
            spots = range(start, start + frame.cols)
            for index, (labels, table, reason) in zip(spots, run(work, spots), strict=True):
                block[index - start] = labels
                if reason:
                    failed[frame.spots[index]] = reason
                    _log.warning("%s, channel %s: %s", frame.spots[index], channel, reason)
                tables.append(_on_slide(table, frame, index))
            writer.write(start, block)
        writer.note(channel=channel, failed=failed)
    write_parquet(instances_out, pd.concat(tables, ignore_index=True))


def measured_beside(stack: SpotStack, channel: str) -> list[str]:
    """Names of the other gray channels that are measured under the objects of `channel`."""
    return [
        other["channel"]
        for other in stack.channels
        if other["channel"] != channel
        and other["samples"] == 1
        and other["role"] not in _UNMEASURED_ROLES
    ]


class _Worker:
    """Segments one spot; what a worker process gets to know once, pickled with the call."""

    def __init__(
        self, spots_zarr: Path, channel: str, others: list[str], method: SegmentMethod, ring: float
    ) -> None:
        self.spots_zarr, self.channel, self.others = spots_zarr, channel, others
        self.method, self.ring = method, ring
        self._stack: SpotStack | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_stack": None}

    def __call__(self, index: int) -> Result:
        cv2.setNumThreads(1)
        if self._stack is None:
            self._stack = open_spots(self.spots_zarr)
        stack = self._stack
        shape = stack.shape(self.channel)[1:3]
        try:
            image = stack.read(self.channel, index, index + 1)[0]
            beside = {name: stack.read(name, index, index + 1)[0] for name in self.others}
            mask = stack.frame.mask(*shape)
            valid = None if stack.inside[index] else _imaged(image, *beside.values())
            labels = segment_spot(image, self.method, mask, valid=valid)
            return labels, measure(labels, image, beside, self.ring, mask), ""
        except Exception as error:  # a spot that fails must not take the slide with it
            empty = np.zeros(shape, np.uint32)
            nothing = {name: np.zeros(shape, np.uint8) for name in self.others}
            table = measure(empty, np.zeros(shape, np.uint8), nothing, self.ring)
            return empty, table, f"{type(error).__name__}: {error}"


def _imaged(*images: Array) -> Array:
    """Pixels of a crop that lie on the slide: outside, it is 0 in all channels.

    Only where the zeros reach the rim: a camera's black within the slide stays.
    """
    some = np.logical_or.reduce([image > 0 for image in images])
    _, parts = cv2.connectedComponents((~some).astype(np.uint8), connectivity=4)
    rim = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
    return ~np.isin(parts, rim[rim > 0])


@contextmanager
def _ordered_map(
    threads: int,
) -> Iterator[Callable[[Callable[[int], Result], range], Iterator[Result]]]:
    if threads <= 1:
        yield map
        return
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(threads, mp_context=context) as pool:
        # A chunk shares one copy of the worker, and with it the open stack.
        yield lambda work, spots: pool.map(work, spots, chunksize=-(-len(spots) // (2 * threads)))


def _on_slide(table: pd.DataFrame, frame: SpotFrame, index: int) -> pd.DataFrame:
    """Move positions and directions from the crop to the slide, and name the spot."""
    x, y = frame.to_slide(index, table["x"].to_numpy(), table["y"].to_numpy())
    turned = 90 - (90 - table["orientation"].to_numpy() - frame.angle) % 180
    return pd.DataFrame(
        {"spot": frame.spots[index]}
        | dict(table.items())
        | {"x": x, "y": y, "orientation": turned},
        index=table.index,
    ).astype({"spot": "str"})

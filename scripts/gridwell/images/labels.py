"""Label images of the spots of one channel, in the frame of ``spots.zarr``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import zarr
from numpy.typing import NDArray

from gridwell.config.files import whole
from gridwell.images.spots import SpotFrame, frame_of
from gridwell.images.stores import LABELS, create_array, open_complete

_REMEDY = "Remove it and run the workflow again: the rule segment writes it."


class LabelWriter:
    """Write a stack of label images, whole grid rows at a time; it appears when complete.

    >>> with LabelWriter(path, frame, (n, h, w), stack.attributes) as writer:  # doctest: +SKIP
    ...     for start in range(0, n, frame.cols):
    ...         writer.write(start, labels[start : start + frame.cols])

    Parameters
    ----------
    path
        The store, ``<channel>.zarr``.
    frame
        Frame of the spots; a shard is one of its rows.
    shape
        (n, h, w) of the stack.
    attrs
        Attributes of the spots, stored again under ``gridwell``.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        frame: SpotFrame,
        shape: Sequence[int],
        attrs: Mapping[str, Any],
    ) -> None:
        """Take the facts; nothing is written before the ``with`` block is entered."""
        self._path = Path(path)
        self._shape = tuple(int(s) for s in shape[:3])
        self._cols = frame.cols
        self._attrs = dict(attrs)
        self._written: set[int] = set()
        self._stack = ExitStack()
        self._array: Any = None
        self._group: Any = None

    def __enter__(self) -> Self:
        """Create the store under a temporary name."""
        part = self._stack.enter_context(whole(self._path))
        group = zarr.open_group(part, mode="w", zarr_format=3)
        group.attrs.update({"gridwell": self._attrs})
        self._group = group
        _, h, w = self._shape
        self._array = create_array(
            group,
            "labels",
            shape=self._shape,
            chunks=(1, h, w),
            shards=(self._cols, h, w),
            dtype="uint32",
            axes=("spot", "y", "x"),
            codec=LABELS,
        )
        return self

    def write(self, start: int, block: NDArray[Any]) -> None:
        """Write the label images (k, h, w) of the spots from `start`: one or more grid rows."""
        if start % self._cols or len(block) % self._cols:
            raise ValueError(f"spots {start} to {start + len(block)} are not whole grid rows")
        self._array[start : start + len(block)] = block
        self._written.update(range(start // self._cols, (start + len(block)) // self._cols))

    def note(self, **facts: Any) -> None:
        """Add facts to the attributes that are known only once spots were worked on."""
        self._attrs |= facts
        self._group.attrs.update({"gridwell": self._attrs})

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        """Move the store into place if every row was written, else remove it."""
        rows = self._shape[0] // self._cols
        if error is None and len(self._written) != rows:
            error = RuntimeError(f"{self._path}: {len(self._written)} of {rows} rows written")
            self._stack.__exit__(RuntimeError, error, None)
            raise error
        return self._stack.__exit__(kind, error, trace)


class LabelStack:
    """Label images of a channel, opened for reading.

    Attributes
    ----------
    path
        The store.
    frame
        Frame of the spots.
    shape
        (n, h, w).
    """

    def __init__(self, path: Path, group: zarr.Group) -> None:
        """Take an open store; `open_labels` checks it first."""
        self.path = path
        self.attributes: dict[str, Any] = dict(group.attrs["gridwell"])  # type: ignore[arg-type]
        self.frame = frame_of(self.attributes)
        labels: Any = group["labels"]
        self._array = labels
        self.shape: tuple[int, ...] = tuple(labels.shape)

    def read(self, start: int, stop: int) -> NDArray[np.uint32]:
        """Read the label images start to stop - 1, (stop - start, h, w); 0 is background."""
        return np.asarray(self._array[start:stop])


def open_labels(path: str | os.PathLike[str]) -> LabelStack:
    """Open a stack of labels, once all its pieces are there.

    Raises
    ------
    InputError
        If there is no such store or pieces of it are missing or were not fetched.
    """
    path = Path(path)
    return LabelStack(path, open_complete(path, what="label images", remedy=_REMEDY))

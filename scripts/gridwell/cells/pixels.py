"""Where the pixels of a fusion come from: a slide's stack of spots, or single images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gridwell.config.errors import InputError, Problem
from gridwell.images.labels import open_labels
from gridwell.images.spots import SpotFrame, SpotStack, open_spots

Array = np.ndarray[Any, np.dtype[Any]]

STAINS = ("live", "dead")


class Pixels(Protocol):
    """Images and labels of the spots by role: ``nuclei``, ``live``, ``dead``."""

    @property
    def frame(self) -> SpotFrame:
        """Where the spots are."""

    @property
    def inside(self) -> Array:
        """Whether each lies wholly in the slide, (n,)."""

    @property
    def failed(self) -> frozenset[str]:
        """Spots that could not be segmented."""

    def image(self, role: str, start: int, stop: int) -> Array:
        """Crops of the spots start to stop - 1, (k, h, w)."""

    def labels(self, role: str, start: int, stop: int) -> Array:
        """Label images of the same."""


class SlidePixels:
    """Pixels of a slide, from ``spots.zarr`` and the label stores.

    Parameters
    ----------
    spots_zarr
        Stack of crops.
    labels
        Label stacks by role.

    Raises
    ------
    InputError
        If a channel of a role is missing.
    """

    def __init__(self, spots_zarr: Path, labels: Mapping[str, Path]) -> None:
        """Open the stores."""
        self._stack: SpotStack = open_spots(spots_zarr)
        self._channels = _channels(self._stack, labels, spots_zarr)
        self._labels = {role: open_labels(path) for role, path in labels.items()}
        self.frame = self._stack.frame
        self.inside = np.asarray(self._stack.inside, bool)
        self.failed = frozenset(
            spot for each in self._labels.values() for spot in each.attributes.get("failed", {})
        )

    def image(self, role: str, start: int, stop: int) -> Array:
        """Crops of the spots start to stop - 1, (k, h, w)."""
        return self._stack.read(self._channels[role], start, stop)

    def labels(self, role: str, start: int, stop: int) -> Array:
        """Label images of the same."""
        return self._labels[role].read(start, stop)


def _channels(stack: SpotStack, labels: Mapping[str, Path], path: Path) -> dict[str, str]:
    channels = {channel["role"]: channel["channel"] for channel in reversed(stack.channels)}
    missing = [role for role in ("nuclei", *STAINS) if role not in channels]
    if "nuclei" not in labels and "nuclei" not in missing:
        missing.append("nuclei")
    if missing:
        raise InputError(
            Problem(
                str(path),
                f"fusion needs a {role} channel and there is none",
                "give a channel this role in channels.tsv, and segment it if it is the nuclei",
                column="role",
            )
            for role in missing
        )
    return channels


@dataclass(frozen=True)
class ImagePixels:
    """Single images, each taken as one spot that fills it.

    Attributes
    ----------
    frame
        Frame of the one spot.
    images, label_images
        By role, (h, w) each.
    """

    frame: SpotFrame
    images: Mapping[str, Array]
    label_images: Mapping[str, Array]
    failed: frozenset[str] = frozenset()

    @property
    def inside(self) -> Array:
        """The spot is all there is."""
        return np.ones(1, bool)

    def image(self, role: str, start: int, stop: int) -> Array:
        """Return the image of a role, (1, h, w)."""
        return self.images[role][None][start:stop]

    def labels(self, role: str, start: int, stop: int) -> Array:
        """Return the label image of a role, (1, h, w)."""
        return self.label_images[role][None][start:stop]

"""Labels by another method: what a network can learn from when nobody has drawn anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from gridwell.cells.features import measure
from gridwell.config.models import SegmentMethod
from gridwell.config.weights import weights_of
from gridwell.images.label_files import UNLABELLED
from gridwell.images.spots import SpotFrame
from gridwell.network.cells import Brightness
from gridwell.segment.auto import Sample
from gridwell.segment.conventional import segment_spot
from gridwell.segment.learned import LearnedMethod
from gridwell.segment.methods import settled

Labels = npt.NDArray[np.int32]

# An outline more ragged than this is rarely one cell.
_LEAST_SOLIDITY = 0.88
# Areas of one cell, relative to the median of the slide.
_AREAS = (0.2, 3.0)
# The outline of a doubtful object is doubtful too, so many pixels around it.
_AROUND = 2


def teach(
    image: npt.NDArray[Any],
    method: SegmentMethod,
    frame: SpotFrame | None = None,
    level: Brightness | None = None,
) -> Labels:
    """Label an image by a method that is there already.

    Parameters
    ----------
    image
        Grey values (h, w).
    method
        The teacher: a conventional method, or another network (self-training).
    frame
        Of the spot that the image shows; None: the whole image counts.
    level
        Brightness of the slide, for a network; None: measured on the image.

    Returns
    -------
    labels
        int32 (h, w): 0 background, 1..k objects; outside of the spot, where objects are dropped,
        -1.
    """
    mask = None if frame is None else frame.mask(*image.shape)
    if method.method == "network":
        network = LearnedMethod(weights_of(method.weights), policy="forbid")
        labels = network.labels(network.maps([image], level)[0], method, mask).astype(np.int32)
    else:
        labels = segment_spot(image, method, mask).astype(np.int32)
    if mask is not None:
        labels[~mask & (labels == 0)] = UNLABELLED
    return labels


def settled_teacher(
    method: SegmentMethod, samples: Callable[[], Sequence[Sample]]
) -> tuple[SegmentMethod, str]:
    """Choose the teacher on some spots, where the study leaves it to measurement.

    Parameters
    ----------
    method
        The teacher; one that is named stays.
    samples
        Gives some spots of the slides that are learned from.

    Returns
    -------
    method, reason
        Ready for `teach`; the reason is empty where nothing was chosen.
    """
    if method.method == "network":
        return method, ""
    method, facts = settled(method, samples)
    return method, facts.get("auto", {}).get("reason", "")


def doubtful(images: Sequence[Labels]) -> list[Labels]:
    """Take back what a teacher said of objects that are hardly one cell each.

    Parameters
    ----------
    images
        Labels of images of one slide; sizes are compared with the median of all of them.

    Returns
    -------
    labels
        The same, objects of a solidity below 0.88 or an area outside of 0.2 to 3 medians, and two
        pixels around them, unlabelled.
    """
    tables = [
        measure(np.maximum(one, 0), np.zeros(one.shape, np.uint8), {}, ring=0)[
            ["label", "area", "solidity"]
        ]
        for one in images
    ]
    areas = np.concatenate([table["area"] for table in tables]) if tables else np.zeros(0)
    if not areas.size:
        return list(images)
    low, high = np.multiply(_AREAS, np.median(areas))
    cleaned = []
    for one, table in zip(images, tables, strict=True):
        wrong = (table["solidity"] < _LEAST_SOLIDITY) | ~table["area"].between(low, high)
        cleaned.append(_without(one, table["label"][wrong].to_numpy()))
    return cleaned


def classes_of(labels: Sequence[Labels]) -> npt.NDArray[np.int16]:
    """Make one class of the objects of each channel.

    Parameters
    ----------
    labels
        Of each channel, as of `teach`.

    Returns
    -------
    classes
        int16 (h, w): 0 background, then the channels in their order; where objects of two channels
        overlap, the later one's. -1 where a channel is unlabelled and no other has an object.
    """
    classes = np.zeros(labels[0].shape, np.int16)
    for number, own in enumerate(labels, start=1):
        classes[own > 0] = number
    unknown = np.any([own < 0 for own in labels], axis=0)
    classes[unknown & (classes == 0)] = UNLABELLED
    return classes


def _without(labels: Labels, objects: npt.NDArray[np.int64]) -> Labels:
    if not objects.size:
        return labels
    gone = np.isin(labels, objects)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _AROUND + 1,) * 2)
    around = cv2.dilate(gone.astype(np.uint8), disc) > 0
    return np.where(gone | (around & (labels == 0)), UNLABELLED, labels).astype(np.int32)

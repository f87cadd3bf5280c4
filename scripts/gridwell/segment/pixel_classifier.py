"""Objects learned from scribbles: a random forest on features of each pixel."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from gridwell.config.errors import InputError, Problem
from gridwell.config.files import whole
from gridwell.config.models import SegmentMethod
from gridwell.images.reader import open_plane
from gridwell.segment.features import REACH, STRIP, features, names
from gridwell.segment.forest import Forest, from_sklearn
from gridwell.segment.light import Levels, correct_light

Array = np.ndarray[Any, np.dtype[Any]]

_FORMAT = "gridwell-pixels/1"
# A larger file is none of ours; it is refused before anything is allocated.
_MAX_BYTES = 64 * 2**20
# Classes in scribbles: 0 is not drawn.
BACKGROUND, OBJECTS = 1, 2
# Settings that the features depend on; a model brings those that it was trained with.
LIGHT = ("illumination", "background", "psf", "iterations", "sigma")
_TREES, _LEAST_IN_LEAF, _MOST_PIXELS = 60, 3, 20_000


@dataclass(frozen=True)
class PixelClassifier:
    """A trained classifier.

    Attributes
    ----------
    forest
        The trees.
    light
        Settings of the illumination that it was trained with.
    """

    forest: Forest
    light: dict[str, Any]

    def chance(self, flat: Array, levels: Levels) -> Array:
        """How likely each pixel is one of an object.

        Parameters
        ----------
        flat
            Grey values with the light corrected, float32 (h, w).
        levels
            Levels of the image that it is a part of.

        Returns
        -------
        chance
            float64 (h, w), 0 to 1.
        """
        image = _scaled(flat, levels)
        found = np.empty(image.shape)
        for y0 in range(0, image.shape[0], STRIP):
            top, y1 = max(0, y0 - REACH), min(y0 + STRIP, image.shape[0])
            values = features(image[top : y1 + REACH])[y0 - top : y1 - top]
            flatly = values.reshape(-1, values.shape[-1])
            found[y0:y1] = self.forest.predict(flatly).reshape(values.shape[:2])
        return found


def train_pixels(
    images: Sequence[Array], scribbles: Sequence[Array], method: SegmentMethod
) -> PixelClassifier:
    """Train a classifier on images of which some pixels are drawn.

    Parameters
    ----------
    images
        Grey values, (h, w) each.
    scribbles
        Class of each pixel, (h, w) each: 0 not drawn, 1 background, 2 objects; further classes,
        such as the borders between objects, count as background but are learned apart.
    method
        Settings; those of the illumination count.

    Returns
    -------
    classifier
        The same for the same input.

    Raises
    ------
    ValueError
        If sizes differ, or no pixel of background or of an object is drawn.
    """
    from sklearn.ensemble import RandomForestClassifier

    values, classes = [], []
    for image, drawn in zip(images, scribbles, strict=True):
        if image.shape != drawn.shape:
            raise ValueError(f"an image of {image.shape} has scribbles of {drawn.shape}")
        at = drawn > 0
        values.append(features(_scaled(*_flat(image, method)))[at])
        classes.append(drawn[at].astype(np.int64))
    x, y = np.concatenate(values), np.concatenate(classes)
    for wanted, what in ((BACKGROUND, "background"), (OBJECTS, "objects")):
        if not (y == wanted).any():
            raise ValueError(f"no pixel of class {wanted} ({what}) is drawn")
    some = np.random.default_rng(0).permutation(y.size)[:_MOST_PIXELS]
    model = RandomForestClassifier(
        _TREES, min_samples_leaf=_LEAST_IN_LEAF, class_weight="balanced", random_state=0
    )
    model.fit(x[some], y[some])
    light = {name: getattr(method, name) for name in LIGHT}
    return PixelClassifier(from_sklearn(model, OBJECTS), light)


def train_files(pairs: Sequence[tuple[Path, Path]], out: Path, method: SegmentMethod) -> None:
    """Train on image files and files of scribbles of the same size, and save the classifier.

    Raises
    ------
    InputError
        If a file cannot be read or the scribbles do not fit.
    """
    images, scribbles = ([_gray(path) for path in paths] for paths in zip(*pairs, strict=True))
    try:
        save_classifier(out, train_pixels(images, scribbles, method))
    except ValueError as error:
        raise InputError(
            Problem(
                file=", ".join(str(drawn) for _, drawn in pairs),
                reason=str(error),
                remedy="Draw background as 1 and objects as 2, 0 elsewhere, on an image of the "
                "same size",
            )
        ) from None


def _gray(path: Path) -> Array:
    with open_plane(path, 0) as plane:
        if plane.info.samples != 1:
            raise InputError(
                Problem(str(path), "is a colour image", "Give a gray image, one channel")
            )
        return np.asarray(plane.rows(0, plane.info.height))


def _flat(image: Array, method: SegmentMethod) -> tuple[Array, Levels]:
    return correct_light(image, method, np.ones(image.shape, bool))


def _scaled(flat: Array, levels: Levels) -> Array:
    """Background at 0, what is brighter than the noise near 1: exposure does not matter."""
    # An image without objects has no such brightness: its noise must not become objects.
    span = max(levels.otsu - levels.base, 10 * levels.noise)
    return np.asarray((flat - np.float32(levels.base)) / np.float32(span), np.float32)


def save_classifier(path: Path, classifier: PixelClassifier) -> None:
    """Write a classifier as safetensors; the same bytes for the same classifier."""
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(one) for name, one in vars(classifier.forest).items()}
    about = {"features": names(), "light": classifier.light}
    with whole(path) as part:
        part.write_bytes(save(arrays, {_FORMAT: json.dumps(about, sort_keys=True)}))


@lru_cache(maxsize=2)
def load_classifier(path: Path) -> PixelClassifier:
    """Read a classifier.

    Raises
    ------
    InputError
        If the file is missing, too large, damaged, or holds no pixel classifier.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise _refused(path, "there is no such file")
    if path.stat().st_size > _MAX_BYTES:
        raise _refused(path, f"larger than the {_MAX_BYTES >> 20} MB that a classifier may have")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if _FORMAT not in metadata:
                raise ValueError(f"not of the format {_FORMAT}")
            forest = Forest(**{name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        about = json.loads(metadata[_FORMAT])
        if about["features"] != names():
            raise ValueError("made by another version, with other features")
        forest.check(len(names()))
        light = SegmentMethod(**{name: about["light"][name] for name in LIGHT})
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise _refused(path, f"no pixel classifier ({reason})") from error
    return PixelClassifier(forest, {name: getattr(light, name) for name in LIGHT})


def _refused(path: Path, reason: str) -> InputError:
    return InputError(
        Problem(
            file=str(path),
            reason=reason,
            remedy="Make one with gridwell train-pixels, and name it under weights",
        )
    )

"""The pixel classifier: learned from scribbles, kept as numbers, refused when it is none."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from gridwell.cli import main
from gridwell.config.errors import InputError
from gridwell.config.models import SegmentMethod
from gridwell.segment.conventional import segment_spot
from gridwell.segment.features import REACH, features, names
from gridwell.segment.forest import from_sklearn
from gridwell.segment.light import correct_light
from gridwell.segment.methods import settled
from gridwell.segment.pixel_classifier import (
    PixelClassifier,
    load_classifier,
    save_classifier,
    train_pixels,
)
from safetensors.numpy import load_file, save_file

from tests.unit.segment.test_conventional import DISCS, centres, scene

local = partial(SegmentMethod, method="local")
METHOD = local()


def scribbles() -> np.ndarray:
    drawn = np.zeros((160, 160), np.uint8)
    for x, y, radius, _ in DISCS:
        cv2.circle(drawn, (x, int(y)), int(radius) - 2, 2, -1)
    drawn[60:64, 5:150] = 1
    drawn[5:150, 145:149] = 1
    return drawn


@pytest.fixture(scope="module")
def classifier() -> PixelClassifier:
    return train_pixels([scene(DISCS)], [scribbles()], METHOD)


@pytest.fixture(scope="module")
def weights(classifier: PixelClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "discs.safetensors"
    save_classifier(path, classifier)
    return path


def use(weights: Path, **options: object) -> SegmentMethod:
    method = local(method="pixel_classifier", weights=str(weights), **options)
    return settled(method, list)[0]


def test_features_have_names_and_a_reach() -> None:
    image = np.random.default_rng(0).normal(0.3, 0.2, (220, 90)).astype(np.float32)
    whole = features(image)
    assert whole.shape == (220, 90, len(names()))
    assert len(set(names())) == len(names())
    part = features(image[150 - REACH :])
    assert np.array_equal(part[REACH:], whole[150:])


def test_chances_are_those_of_scikit_learn() -> None:
    from sklearn.ensemble import RandomForestClassifier

    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(600, 9)).astype(np.float32), rng.integers(1, 4, 600)
    model = RandomForestClassifier(12, random_state=0, class_weight="balanced").fit(x, y)
    fresh = rng.normal(size=(500, 9)).astype(np.float32)
    assert np.array_equal(from_sklearn(model, 2).predict(fresh), model.predict_proba(fresh)[:, 1])


def test_other_discs_are_found(weights: Path) -> None:
    places = [(40, 50, 6, 400), (110, 60, 7, 350), (70, 120, 5, 600)]
    labels = segment_spot(scene(places, seed=9), use(weights))
    assert labels.max() == 3
    for x, y, _, _ in places:
        assert np.hypot(*(centres(labels) - (x, y)).T).min() < 1
    assert segment_spot(scene([], seed=3), use(weights)).max() == 0


def test_the_light_is_that_of_the_training(weights: Path) -> None:
    assert use(weights, background=7, sigma=3.0) == use(weights)


def test_a_file_gives_the_same_numbers(classifier: PixelClassifier, weights: Path) -> None:
    again = load_classifier(weights)
    assert again.light == classifier.light
    for name, value in vars(classifier.forest).items():
        assert np.array_equal(getattr(again.forest, name), value)
    first = weights.read_bytes()
    save_classifier(weights, train_pixels([scene(DISCS)], [scribbles()], METHOD))
    assert weights.read_bytes() == first


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        ({"left": lambda a: a * 0}, "lead nowhere"),
        ({"feature": lambda a: a + 1000}, "features that there are not"),
        ({"chance": lambda a: a + 7}, "no chances"),
        ({"threshold": lambda a: a * np.nan}, "no chances"),
        ({"right": lambda a: a[:-1]}, "do not fit together"),
        ({"roots": lambda a: a.astype(np.int64)}, "other types"),
        ({"more": lambda a: np.zeros(3)}, "unexpected"),
    ],
)
def test_damaged_files_are_refused(weights: Path, tmp_path: Path, harm: dict, reason: str) -> None:
    arrays = load_file(weights)
    for name, change in harm.items():
        arrays[name] = change(arrays.get(name))
    about = {"features": names(), "light": load_classifier(weights).light}
    path = tmp_path / "harmed.safetensors"
    save_file(arrays, path, {"gridwell-pixels/1": json.dumps(about)})
    with pytest.raises(InputError, match=reason):
        load_classifier(path)


def test_other_files_are_refused(tmp_path: Path, repository: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_classifier(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(InputError, match="no pixel classifier"):
        load_classifier(tmp_path / "text.safetensors")
    with pytest.raises(InputError, match="not of the format"):
        load_classifier(repository / "resources/models/grid-elements.safetensors")
    with (tmp_path / "large.safetensors").open("wb") as file:
        file.truncate(2**27)
    with pytest.raises(InputError, match="larger than the 64 MB"):
        load_classifier(tmp_path / "large.safetensors")


def test_scribbles_that_do_not_do_are_refused() -> None:
    with pytest.raises(ValueError, match=r"class 2 \(objects\)"):
        train_pixels([scene(DISCS)], [np.minimum(scribbles(), 1)], METHOD)
    with pytest.raises(ValueError, match="has scribbles of"):
        train_pixels([scene(DISCS)], [scribbles()[:50]], METHOD)


def test_from_files_to_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tifffile.imwrite(tmp_path / "image.tif", scene(DISCS))
    tifffile.imwrite(tmp_path / "drawn.tif", scribbles())
    image, drawn, model, out = (
        str(tmp_path / name) for name in ("image.tif", "drawn.tif", "m.safetensors", "labels.tif")
    )
    assert main(["train-pixels", image, drawn, "--out", model]) == 0
    how = ["--method", "pixel_classifier", "--weights", model]
    assert main(["segment", image, "--out", out, *how]) == 0
    assert tifffile.imread(out).max() == len(DISCS)
    assert main(["train-pixels", image, "--out", model]) == 1
    assert "an image has no scribbles" in capsys.readouterr().err


@pytest.mark.shared
def test_scribbles_of_people(shared: Path) -> None:
    folder = shared / "cells" / "bbbc007_notebooks" / "BBBC007"
    paths = sorted((folder / "images").glob("*.tif"))
    images = [tifffile.imread(path) for path in paths]
    drawn = [tifffile.imread(folder / "masks" / path.name).astype(np.uint8) for path in paths]
    method = local(min_diameter=6, seed_distance=7, background=40)
    right = []
    for at in range(4):
        # Learned from the three other fields, a few hundred pixels each.
        rest = [k for k in range(4) if k != at]
        model = train_pixels([images[k] for k in rest], [drawn[k] for k in rest], method)
        flat, levels = correct_light(images[at], method, np.ones(images[at].shape, bool))
        found = model.chance(flat, levels) > 0.5
        right.append((found[drawn[at] == 2].mean() + (~found)[drawn[at] == 1].mean()) / 2)
    assert np.mean(right) > 0.8

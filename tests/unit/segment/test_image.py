"""Whole images in tiles: the same objects as in one piece."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from gridwell.config.errors import InputError
from gridwell.config.models import SegmentMethod
from gridwell.segment.conventional import segment_spot
from gridwell.segment.image import segment_file, segment_image
from gridwell.segment.light import LIGHTS
from gridwell.segment.pixel_classifier import save_classifier, train_pixels
from gridwell.segment.split import SPLITS
from gridwell.segment.threshold import THRESHOLDS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

local = partial(SegmentMethod, method="local")
METHOD = local(background=18, max_diameter=30)


def cells(
    size: int = 700,
    seed: int = 0,
    *,
    count: int = 350,
    radii: tuple[float, float] = (3, 8),
) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = np.zeros((size, size + 90), np.float32)
    for _ in range(count):
        x, y = rng.uniform(0, image.shape[1]), rng.uniform(0, size)
        radius, height = rng.uniform(*radii), rng.uniform(200, 900)
        cv2.circle(image, (round(x * 16), round(y * 16)), round(radius * 16), height, -1, shift=4)
    ramp = 50 * np.linspace(0, 1, size)[:, None]
    image = cv2.GaussianBlur(image, (0, 0), 1.1) + 200 + ramp + rng.normal(0, 8, image.shape)
    return np.rint(image).astype(np.uint16)


def labelled(image: np.ndarray, method: SegmentMethod, **how: int) -> np.ndarray:
    return segment_image(lambda y0, y1: image[y0:y1], *image.shape, method, **how)


# Small sizes, so that what a tile depends on is small against the image.
SMALL = {"background": 9, "max_diameter": 16, "min_diameter": 3, "seed_distance": 3}


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = cells(200, 9, count=25)
    drawn = np.where(image > 450, 2, np.where(image < 260, 1, 0))
    path = tmp_path_factory.mktemp("models") / "cells.safetensors"
    save_classifier(path, train_pixels([image], [drawn], local(**SMALL)))
    return path


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    threshold=st.sampled_from(sorted(THRESHOLDS)),
    split=st.sampled_from([*SPLITS, "none"]),
    light=st.sampled_from([*LIGHTS, "none"]),
    psf=st.sampled_from([0.0, 0.0, 1.1]),
    core=st.integers(40, 700),
    seed=st.integers(0, 3),
    kind=st.sampled_from(["uint8", "uint16", "float32"]),
)
def test_tiles_leave_no_seams(
    classifier: Path,
    threshold: str,
    split: str,
    light: str,
    psf: float,
    core: int,
    seed: int,
    kind: str,
) -> None:
    method = local(
        **SMALL,
        method=threshold,
        split=split,
        illumination=light,
        psf=psf,
        iterations=2,
        weights=str(classifier),
    )
    image = cells(640, seed, radii=(2, 5))
    image = (image >> 3).astype(kind) if kind == "uint8" else (image / 7).astype(kind)
    whole = labelled(image, method)
    tiled = labelled(image, method, core=max(core, 160), at_once=0)
    assert whole.max() > 50
    assert np.array_equal(tiled, whole)


def test_crowds_and_slabs_leave_no_seams() -> None:
    # Confluent cells, a slab far larger than an object, a saturated patch.
    image = cells(500, 5, count=3500, radii=(2, 6)).astype(np.int64)
    image[100:380, 200:420] += 900
    image[430:, :150] = 4000
    method = local(**SMALL)
    whole = labelled(np.minimum(image, 4000).astype(np.uint16), method)
    tiled = labelled(np.minimum(image, 4000).astype(np.uint16), method, core=100, at_once=0)
    assert whole.max() > 300
    assert np.array_equal(tiled, whole)


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    image = cells(200)
    tifffile.imwrite(tmp_path / "in.tif", image)
    count = segment_file(tmp_path / "in.tif", tmp_path / "out.tif", method=METHOD)
    labels = tifffile.imread(tmp_path / "out.tif")
    assert labels.dtype == np.uint32
    assert labels.shape == image.shape
    assert count == labels.max() == segment_spot(image, METHOD).max()
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []


def test_a_colour_image_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "in.tif", np.zeros((40, 50, 3), np.uint8), photometric="rgb")
    with pytest.raises(InputError, match="colour"):
        segment_file(tmp_path / "in.tif", tmp_path / "out.tif", method=METHOD)
    assert not (tmp_path / "out.tif").exists()

"""Whole images in tiles: the same objects as in one piece."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from gridwell.config.errors import InputError
from gridwell.config.models import SegmentMethod
from gridwell.segment.conventional import Levels, segment_spot
from gridwell.segment.image import segment_file, segment_image

METHOD = SegmentMethod(background=18, max_diameter=30)


def cells(size: int = 700, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = np.zeros((size, size + 90), np.float32)
    for _ in range(350):
        x, y = rng.uniform(0, image.shape[1]), rng.uniform(0, size)
        radius, height = rng.uniform(3, 8), rng.uniform(200, 900)
        cv2.circle(image, (round(x * 16), round(y * 16)), round(radius * 16), height, -1, shift=4)
    ramp = 50 * np.linspace(0, 1, size)[:, None]
    image = cv2.GaussianBlur(image, (0, 0), 1.1) + 200 + ramp + rng.normal(0, 8, image.shape)
    return np.rint(image).astype(np.uint16)


@pytest.mark.parametrize("core", [130, 300])
def test_tiles_leave_no_seams(monkeypatch: pytest.MonkeyPatch, core: int) -> None:
    image = cells()
    levels = Levels((3.0, 4.0), 0.0, 3.0, 300.0)
    monkeypatch.setattr("gridwell.segment.image._image_levels", lambda *_: levels)
    whole = segment_spot(image, METHOD, levels=levels)
    tiled = segment_image(lambda y0, y1: image[y0:y1], *image.shape, METHOD, core=core, at_once=0)
    assert whole.max() > 200
    assert tiled.max() == whole.max()
    # One to one, and but for single pixels at a threshold the same.
    pairs = np.unique(np.stack([whole.ravel(), tiled.ravel()])[:, (whole.ravel() > 0)], axis=1)
    assert (whole != tiled).mean() < 1e-4
    assert np.array_equal(np.unique(pairs[0]), np.arange(1, whole.max() + 1))


def test_levels_of_the_parts_are_those_of_the_whole() -> None:
    image = cells(seed=3)
    whole = segment_spot(image, METHOD)
    tiled = segment_image(lambda y0, y1: image[y0:y1], *image.shape, METHOD, core=240, at_once=0)
    assert abs(int(tiled.max()) - int(whole.max())) <= 0.02 * whole.max()


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

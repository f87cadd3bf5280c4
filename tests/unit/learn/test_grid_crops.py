"""Training crops: their truth lies where their image shows it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gridwell.learn.grid_crops import Example, cached_crops, crop_example, make_crops
from gridwell.learn.grid_evaluate import peaks


def example(seed: int, pitch: float = 30.0, shape: tuple[int, int] = (600, 700)) -> Example:
    """Bright square spots on a dark ground."""
    rng = np.random.default_rng(seed)
    rows, cols = (np.arange(pitch, length - pitch, pitch) for length in shape)
    centres = np.array([(x, y) for y in rows for x in cols]) + rng.uniform(-2, 2, 2)
    foreground = np.zeros(shape, np.float32)
    half = round(0.2 * pitch)
    for x, y in np.round(centres).astype(int):
        foreground[y - half : y + half + 1, x - half : x + half + 1] = 1
    return Example(0.2 + 0.5 * foreground, centres, pitch, foreground)


def negative(seed: int) -> Example:
    image = np.random.default_rng(seed).uniform(size=(300, 500)).astype(np.float32)
    return Example(image, np.zeros((0, 2)), math.nan, np.zeros_like(image))


@pytest.mark.parametrize("seed", range(8))
def test_centres_and_foreground_lie_on_the_spots(seed):
    pitch = (30.0, 60.0)[seed % 2]
    crops = crop_example(example(seed, pitch), np.random.default_rng(seed))
    assert crops.image.shape[1:] == (256, 256)
    assert crops.centre.shape == crops.foreground.shape == (len(crops), 128, 128)
    for image, centre, foreground in zip(
        crops.image, crops.centre / 255, crops.foreground / 255, strict=True
    ):
        found = np.round(peaks(centre.astype(np.float32), 0.5)).astype(int)
        assert len(found) > 4
        inner = found[((found > 2) & (found < 125)).all(1)]
        assert (foreground[inner[:, 1], inner[:, 0]] > 0.5).all()
        bright = image.reshape(128, 2, 128, 2).mean((1, 3))
        assert bright[foreground > 0.9].mean() > bright[foreground < 0.1].mean() + 20


def test_small_image_lies_whole_in_its_crop():
    small = example(1, 20.0, (100, 140))
    crops = crop_example(small, np.random.default_rng(0))
    assert len(crops) == 1
    assert len(peaks(crops.centre[0] / np.float32(255), 0.5)) == len(small.centres)


def test_images_without_a_grid_have_empty_targets():
    crops = crop_example(negative(0), np.random.default_rng(0))
    assert crops.image.any()
    assert not crops.centre.any()
    assert not crops.foreground.any()


def test_kept_crops_are_those_that_were_drawn(tmp_path):
    drawn = []

    def draw(seed):
        drawn.append(seed)
        return example(seed)

    first = cached_crops(tmp_path, draw, range(5), chunk=2)
    again = cached_crops(tmp_path, draw, range(5), chunk=2)
    assert drawn == [0, 1, 2, 3, 4]
    fresh = make_crops(example, range(5))
    for name in vars(fresh):
        assert np.array_equal(getattr(first, name), getattr(fresh, name))
        assert np.array_equal(getattr(again, name), getattr(fresh, name))

"""What the network is shown, and the maps it gives."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from gridwell.config.carriers import resources
from gridwell.config.errors import InputError
from gridwell.learn.grid_evaluate import best_size, peaks, right
from gridwell.network.elements import WEIGHTS, ElementNetwork, local_contrast, resized

PITCH = 40.0


def spots(shape: str = "disc", pitch: float = PITCH) -> tuple[np.ndarray, np.ndarray]:
    """An image of 8 x 12 spots, turned by 5 degrees, and their centres."""
    rng = np.random.default_rng(3)
    turn = np.deg2rad(5)
    rows, cols = np.mgrid[:8, :12]
    at = np.stack([cols - 5.5, rows - 3.5], -1).reshape(-1, 2) * pitch
    at = at @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    size = (round(10 * pitch), round(14.3 * pitch))
    centres = at + np.array(size)[::-1] / 2
    y, x = np.indices(size, np.float32)
    image = np.full(size, 0.3, np.float32) + 0.2 * x / size[1]
    for cx, cy in centres:
        distance = np.hypot(x - cx, y - cy) / pitch
        inside = distance < 0.3 if shape == "disc" else (distance < 0.33) & (distance > 0.22)
        image[inside] += 0.3
    image = cv2.GaussianBlur(image, (0, 0), 1) + rng.normal(0, 0.02, size).astype(np.float32)
    return image.astype(np.float32), centres


@pytest.fixture(scope="module")
def network() -> ElementNetwork:
    return ElementNetwork.load()


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.37, 5.5])
def test_resizing_keeps_places(factor):
    y, x = np.indices((300, 400), np.float32)
    small = resized(x + 1000 * y, factor)
    assert not (small.shape[0] % 16 or small.shape[1] % 16)
    r, c = 12, 17
    assert small[r, c] == pytest.approx(
        ((c + 0.5) * factor - 0.5) + 1000 * ((r + 0.5) * factor - 0.5), abs=1.0
    )


def test_contrast_does_not_see_brightness_or_shading():
    image, _ = spots()
    image = image[:384, :544]
    x = np.linspace(0, 1, image.shape[1], dtype=np.float32)
    plain, shaded = local_contrast(image), local_contrast(0.1 * image + 0.5 + 0.05 * x)
    inner = np.s_[48:-48, 48:-48]
    assert np.corrcoef(plain[inner].ravel(), shaded[inner].ravel())[0, 1] > 0.99
    assert 0.5 < plain.std() < 1.5


def test_blank_image_has_no_contrast():
    assert not local_contrast(np.full((64, 64), 0.5, np.float32)).any()


@pytest.mark.parametrize("polarity", [1, -1])
@pytest.mark.parametrize("shape", ["disc", "ring"])
def test_spots_are_found_where_they_are(network, shape, polarity):
    image, centres = spots(shape)
    shown = best_size(network.maps(0.5 + polarity * (image - 0.5), "forbid"), PITCH)
    found = (peaks(shown.centre) + 0.5) * shown.scale - 0.5
    assert right(found, centres, 0.1 * PITCH) >= 94
    assert len(found) <= 98
    covered = cv2.resize(shown.foreground, image.shape[::-1]) > 0.5
    assert covered.mean() == pytest.approx(96 * np.pi * 0.31**2 * PITCH**2 / image.size, rel=0.25)


def test_sizes_halve_and_small_images_are_enlarged_at_most_twice(network):
    image, _ = spots()
    maps = network.maps(image, "forbid")
    assert [round(572 / m.scale) for m in maps] == [512, 256, 128, 64]
    assert all(m.centre.shape == m.foreground.shape for m in maps)
    assert all(m.centre.dtype == m.foreground.dtype == np.float32 for m in maps)
    assert [round(300 / m.scale) for m in network.maps(image[:200, :300], "forbid")] == [
        256,
        128,
        64,
    ]


def test_maps_cover_the_image_and_no_more(network):
    image, _ = spots()
    for shown in network.maps(image[:333, :501], "forbid"):
        for length, size in zip(shown.centre.shape, (333, 501), strict=True):
            assert 0 <= length * shown.scale - size < shown.scale


@pytest.mark.parametrize("shape", [(20, 3000), (3000, 20), (64, 64), (97, 131)])
def test_odd_shapes_and_blank_images_have_maps(network, shape):
    for image in (np.zeros(shape, np.float32), np.full(shape, 0.5, np.float32)):
        maps = network.maps(image, "forbid")
        assert maps
        assert all(np.isfinite(m.centre).all() and np.isfinite(m.foreground).all() for m in maps)
        assert not any(len(peaks(m.centre)) for m in maps)


def test_an_image_too_small_to_show_a_grid_has_no_maps(network):
    assert network.maps(np.zeros((40, 60), np.float32), "forbid") == []


def test_number_of_threads_changes_no_bit(network):
    image, _ = spots()
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(network.maps(image, "forbid"))
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        assert one.centre.tobytes() == two.centre.tobytes()
        assert one.foreground.tobytes() == two.foreground.tobytes()


def test_weights_are_read_once(network):
    assert ElementNetwork.load() is network


def test_missing_weights_are_told(tmp_path):
    with pytest.raises(InputError, match="not there"):
        ElementNetwork.load(tmp_path / "none.safetensors")


def test_card_names_these_weights():
    import hashlib

    weights = resources() / WEIGHTS
    assert (
        hashlib.sha256(weights.read_bytes()).hexdigest() in weights.with_suffix(".md").read_text()
    )

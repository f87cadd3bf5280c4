"""A network as the engine: the same objects however the image is shown to it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from gridwell.config.errors import InputError
from gridwell.config.models import SegmentMethod
from gridwell.config.weights import weights_of
from gridwell.learn.metrics import match, overlap, scores, tally
from gridwell.network.tiles import Tiling
from gridwell.phantom.fields import field
from gridwell.segment.image import segment_image
from gridwell.segment.learned import LearnedMethod, sample_brightness
from hypothesis import given, settings
from hypothesis import strategies as st

METHOD = SegmentMethod(method="network")


@pytest.fixture(scope="module")
def nuclei() -> LearnedMethod:
    return LearnedMethod(weights_of("nuclei"), policy="forbid")


def mosaic(side: int, seed: int = 0) -> np.ndarray:
    """Many fields side by side, one large image with cells of all sizes and brightnesses."""
    count = -(-side // 256)
    rows = [
        np.concatenate(
            [_levelled(field("nuclei", seed + count * y + x).image) for x in range(count)], axis=1
        )
        for y in range(count)
    ]
    return np.concatenate(rows)[:side, :side]


def _levelled(image: np.ndarray) -> np.ndarray:
    low, high = np.percentile(image, [5, 99.9])
    return np.clip(200 + 3000 * (image - low) / max(high - low, 1), 0, 65535).astype(np.uint16)


def same_objects(one: np.ndarray, other: np.ndarray) -> None:
    """One to one, each pair with an IoU of at least 0.99."""
    shared = overlap(one.astype(np.int64), other.astype(np.int64))
    assert len(match(shared, 0.99)) == len(shared.area_true) == len(shared.area_pred)


@settings(max_examples=6, deadline=None)
@given(
    height=st.integers(60, 700),
    width=st.integers(60, 700),
    side=st.integers(29, 44),
    batch=st.integers(1, 4),
    seed=st.integers(0, 20),
)
def test_any_tiling_gives_the_same_instances(nuclei, height, width, side, batch, seed):
    image = mosaic(768, seed)[:height, :width]
    rows = lambda y0, y1: image[y0:y1]  # noqa: E731
    maps = nuclei.maps([image], sample_brightness(rows, height))[0]
    whole = nuclei.labels(maps, METHOD)
    tiled = np.zeros(image.shape, np.uint32)
    count = nuclei.segment_rows(
        rows, height, width, method=METHOD, out=tiled, tiling=Tiling(16 * side, 224, batch)
    )
    assert count == tiled.max()
    same_objects(whole, tiled)


@pytest.mark.slow
def test_a_large_field_has_no_seams(nuclei):
    image = mosaic(4096)
    rows = lambda y0, y1: image[y0:y1]  # noqa: E731
    whole = nuclei.labels(nuclei.maps([image], sample_brightness(rows, 4096))[0], METHOD)
    tiled = segment_image(rows, 4096, 4096, METHOD, gpu="forbid")
    assert whole.max() > 5000
    same_objects(whole, tiled)


def test_nuclei_are_found_and_nothing_in_an_empty_field(nuclei):
    counts = []
    for seed in range(40):
        drawn = field("nuclei", seed)
        if drawn.labels.max() and 8 < np.sqrt(np.bincount(drawn.labels.ravel())[1:].mean()) < 40:
            found = nuclei.labels(nuclei.maps([drawn.image])[0], METHOD)
            counts.append(tally(overlap(drawn.labels, found.astype(np.int64))))
    assert len(counts) > 10
    assert scores(np.sum(counts, 0))["ap_50"] > 0.4
    noise = np.random.default_rng(0).normal(400, 12, (300, 300)).astype(np.uint16)
    assert nuclei.labels(nuclei.maps([noise])[0], METHOD).max() == 0


def test_sizes_outlines_and_the_threshold_are_obeyed(nuclei):
    image = mosaic(512, 7)
    maps = nuclei.maps([image])[0]
    every = nuclei.labels(maps, METHOD)
    area = np.bincount(every.ravel())[1:]
    cut = float(np.sqrt(4 / np.pi * np.median(area)))
    large = nuclei.labels(maps, METHOD.model_copy(update={"min_diameter": cut}))
    assert large.max() == (area >= np.pi / 4 * cut**2).sum()
    mask = np.zeros(image.shape, bool)
    mask[:, :256] = True
    left = nuclei.labels(maps, METHOD, mask)
    assert 0 < left.max() < every.max()
    assert np.unique(left[:, 330:]).tolist() == [0]
    strict = nuclei.labels(maps, METHOD.model_copy(update={"threshold": 1.8}))
    assert 0 < (strict > 0).sum() < (every > 0).sum()


def test_the_window_of_a_spot_holds_its_objects(nuclei):
    image = mosaic(512, seed=3)
    levels = sample_brightness(lambda y0, y1: image[y0:y1], len(image))
    spot = np.zeros(image.shape, bool)
    spot[143:383, 159:351] = True
    window = nuclei.window(spot)
    assert window == (slice(112, 414), slice(128, 382))
    whole = nuclei.labels(nuclei.maps([image], levels)[0], METHOD, spot)
    shown = np.zeros_like(whole)
    shown[window] = nuclei.labels(nuclei.maps([image[window]], levels)[0], METHOD, spot[window])
    assert whole.max() > 20
    shared = overlap(whole.astype(np.int64), shown.astype(np.int64))
    assert len(match(shared, 0.9)) == len(shared.area_true) == len(shared.area_pred)


def test_the_window_ends_with_the_image_and_grows_with_the_objects(nuclei):
    spot = np.zeros((300, 200), bool)
    spot[10:100, 90:195] = True
    image = np.zeros(spot.shape)
    assert image[nuclei.window(spot)].shape == (131, 141)
    told = METHOD.model_copy(update={"diameter": 90.0})
    farther = nuclei.suited([image], None, told)
    assert image[farther.window(spot)].shape == (193, 200)
    assert image[nuclei.window(spot & False)].shape == image.shape


def test_a_gpu_that_is_required_and_absent_is_said():
    import torch

    if torch.cuda.is_available():
        pytest.skip("a GPU is there")
    method = LearnedMethod(weights_of("nuclei"), policy="require")
    with pytest.raises(InputError, match="a GPU is required"):
        method.maps([np.zeros((64, 64), np.uint16)])


def test_weights_of_another_kind_are_refused():
    with pytest.raises(InputError, match="not the weights of a network of cells"):
        LearnedMethod(weights_of("grid-elements"))


def test_large_objects_are_looked_at_from_farther_away(nuclei):
    small = np.concatenate([_levelled(field("nuclei", seed, 128).image) for seed in (2, 5, 12)], 1)
    assert nuclei.suited([small], None, METHOD).factor == 1
    for factor in (1, 2):
        discs, labels = discs_of(24 * factor)
        suited = nuclei.suited([discs], None, METHOD)
        assert suited.factor == factor
    discs, labels = discs_of(70)  # 140 pixels across
    suited = nuclei.suited([discs], None, METHOD)
    assert suited.factor > 1
    large = METHOD.model_copy(update={"max_diameter": 500.0})
    maps = suited.maps([discs])[0]
    whole = suited.labels(maps, large)
    found = scores(tally(overlap(labels, whole.astype(np.int64))))
    assert found["ap_75"] == 1
    tiled = np.zeros(discs.shape, np.uint32)
    suited.segment_rows(
        lambda y0, y1: discs[y0:y1], *discs.shape, method=large, out=tiled, tiling=Tiling(464, 224)
    )
    same_objects(whole, tiled)


def test_the_diameter_that_is_told_decides(nuclei):
    noise = np.random.default_rng(0).normal(400, 12, (64, 64))
    for diameter, factor in ((20, 1), (60, 1), (90, 3), (900, 8)):
        told = METHOD.model_copy(update={"diameter": float(diameter)})
        assert nuclei.suited([noise], None, told).factor == factor


def discs_of(radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Sixteen discs with soft rims, two of a row in touch."""
    step = int(2.6 * radius)
    y, x = np.mgrid[: 4 * step, : 4 * step]
    labels = np.zeros(y.shape, np.int64)
    for row in range(4):
        for col in range(4):
            centre = (col + 0.5) * step - (0.55 * radius if col == 1 else 0)
            inside = np.hypot(y - (row + 0.5) * step, x - centre) < radius
            labels[inside & (labels == 0)] = 4 * row + col + 1
    rng = np.random.default_rng(1)
    light = 200 + 800 * cv2.GaussianBlur((labels > 0).astype(np.float32), (0, 0), radius / 12)
    return (light + rng.normal(0, 10, y.shape)).astype(np.float32), labels


def test_a_network_of_several_channels_is_refused(tmp_path):
    from gridwell.network.unet import UNet
    from gridwell.network.weights import save_network

    network = UNet((4, 4, 4, 4), 3, inputs=4, dilations=(1,), fine=True)
    facts = {"kind": "cells", "instance": False, "classes": ["background", "a", "b"]}
    save_network(tmp_path / "two.safetensors", network, facts)
    with pytest.raises(InputError, match="looks at 2 channels together"):
        LearnedMethod(tmp_path / "two.safetensors")

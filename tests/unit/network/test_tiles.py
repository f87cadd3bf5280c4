"""Tiles of any size, batch and overlap give the maps of the whole image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gridwell.network.cells import CellNetwork, brightness, shown
from gridwell.network.tiles import Tiling, stream_maps
from gridwell.network.unet import STRIDE, UNet
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture(scope="module")
def network() -> CellNetwork:
    """Random weights: every output depends on all that is within its reach."""
    torch.manual_seed(3)
    unet = UNet((4, 6, 6, 8), 4, inputs=2, dilations=(1, 1), fine=True).eval()
    return CellNetwork(unet, {"instance": True}, policy="forbid", precision="float32")


def test_reach_is_how_far_the_network_sees(network):
    unet = network._network
    for module in unet.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.constant_(module.weight, 0.02)
            torch.nn.init.constant_(module.bias, 0.01)
    image = torch.zeros(1, 2, 512, 512, requires_grad=True)
    farthest = 0
    for at in range(256, 256 + STRIDE):
        (seen,) = torch.autograd.grad(unet(image)[0, :, at, 256].sum(), image)
        rows = torch.nonzero(seen.abs().sum((0, 1, 3)))
        farthest = max(farthest, at - int(rows.min()), int(rows.max()) - at)
    assert farthest <= unet.reach < farthest + STRIDE


@settings(max_examples=12, deadline=None)
@given(
    height=st.integers(40, 900),
    width=st.integers(40, 900),
    side=st.integers(30, 50),
    more=st.integers(0, 3),
    batch=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_tiled_maps_are_the_untiled_ones(network, height, width, side, more, batch, seed):
    image = np.random.default_rng(seed).normal(100, 30, (height, width)).astype(np.float32)
    level = brightness(image)
    overlap = -(-2 * network.reach // STRIDE) * STRIDE
    tiling = Tiling(side * STRIDE, min(overlap + more * STRIDE, (side - 1) // 2 * STRIDE), batch)
    assert tiling.overlap >= overlap
    whole = network.maps(image, [level])
    rows = list(network.stream(lambda y0, y1: image[y0:y1], height, width, [level], tiling))
    tops = [y0 for y0, _ in rows]
    assert tops == list(np.cumsum([0, *(maps.cell.shape[0] for _, maps in rows[:-1])]))
    for name in ("cell", "neighbour"):
        tiled = np.concatenate([getattr(maps, name) for _, maps in rows])
        np.testing.assert_allclose(tiled, getattr(whole, name), atol=2e-6)
    chance = np.concatenate([maps.chance for _, maps in rows], axis=1)
    np.testing.assert_allclose(chance, whole.chance, atol=2e-6)


def test_blending_keeps_what_tiles_agree_on():
    image = np.random.default_rng(0).random((1, 300, 200), np.float32)
    stream = stream_maps(
        lambda y0, y1: image[:, y0:y1],
        300,
        200,
        lambda tiles: 2 * tiles,
        stride=16,
        reach=10,
        tiling=Tiling(96, 32, 4),
    )
    parts = [maps for _, maps in stream]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), 2 * image, rtol=1e-6)


@pytest.mark.parametrize(("side", "overlap"), [(64, 32), (64, 48)])
def test_tiles_that_would_not_move_on_are_refused(side, overlap):
    with pytest.raises(ValueError, match="cannot overlap"):
        Tiling(side, overlap)


def test_images_of_different_sizes_share_a_batch(network):
    rng = np.random.default_rng(1)
    images = [rng.normal(50, 9, shape) for shape in ((70, 90), (64, 64), (33, 120))]
    level = [brightness(np.concatenate([image.ravel() for image in images]))]
    together = network.maps_of(images, [level] * 3)
    for image, maps in zip(images, together, strict=True):
        assert maps.cell.shape == image.shape
        # Away from the right and lower rim nothing depends on what the batch was padded with.
        alone = network.maps(image, level)
        if image.shape == (70, 90):
            np.testing.assert_allclose(maps.cell[:8, :8], alone.cell[:8, :8], atol=0.2)


def test_an_empty_image_is_not_stretched_to_full_contrast():
    noise = np.random.default_rng(2).normal(300, 5, (200, 200))
    flat = shown(noise[None], [brightness(noise)])
    assert np.abs(flat[0]).max() < 0.3


def test_brightness_does_not_depend_on_how_many_objects_there_are():
    rng = np.random.default_rng(4)
    found = []
    for share in (0.01, 0.3):
        image = rng.normal(100, 4, 200_000)
        image[: int(share * image.size)] += rng.uniform(400, 600, int(share * image.size))
        found.append(brightness(image))
    assert found[0].base == pytest.approx(100, abs=2)
    assert found[0].span == pytest.approx(found[1].span, rel=0.05)


@pytest.mark.parametrize("dilations", [(1,), (1, 1), (1, 2, 3, 1), (8, 8, 8)])
def test_tiles_leave_no_seams_however_far_a_network_sees(dilations):
    reach = UNet((4, 4, 4, 4), dilations=dilations, fine=True).reach
    tiling = Tiling.seamless(reach, STRIDE)
    assert tiling.overlap >= 2 * reach
    assert tiling.side % STRIDE == tiling.overlap % STRIDE == 0

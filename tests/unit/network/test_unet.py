"""The U-Net, and the same function without its normalisation."""

from __future__ import annotations

import pytest
import torch
from gridwell.network.unet import STRIDE, UNet, fold


@pytest.fixture
def trained() -> UNet:
    """A network whose normalisation has seen something."""
    torch.manual_seed(1)
    network = UNet((4, 6, 8, 10), norm=torch.nn.BatchNorm2d)
    with torch.no_grad():
        for _ in range(3):
            network.train()(2 * torch.randn(2, 1, 64, 64) + 1)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 2)
                module.bias.uniform_(-1, 1)
    return network.eval()


def test_maps_have_half_the_resolution(trained):
    with torch.inference_mode():
        assert trained(torch.zeros(1, 1, 3 * STRIDE, 5 * STRIDE)).shape == (1, 2, 24, 40)


def test_folded_network_computes_the_same(trained):
    image = torch.randn(1, 1, 64, 96)
    folded = fold(trained)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    with torch.inference_mode():
        torch.testing.assert_close(folded(image), trained(image), rtol=1e-4, atol=1e-4)


def test_sees_the_neighbours_of_the_neighbours(trained):
    side = 512
    image = torch.zeros(1, 1, side, side, requires_grad=True)
    trained(image)[0, 0, side // 4, side // 4].backward()
    touched = image.grad[0, 0].abs().sum(0).nonzero().flatten()
    # Four spacings of 36 pixels on either side.
    assert touched[0] <= side // 2 - 4 * 36
    assert touched[-1] >= side // 2 + 4 * 36

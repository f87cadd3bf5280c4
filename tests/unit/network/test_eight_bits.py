"""Networks in whole numbers of 8 bits: near to single precision, and alike on all CPUs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from gridwell.config.errors import InputError
from gridwell.config.weights import weights_of
from gridwell.network import eight_bits as module
from gridwell.network.cells import CellNetwork, brightness, facts_of, shown
from gridwell.network.eight_bits import EightBits, convolutions, in_hardware, measure_ranges
from gridwell.network.unet import UNet
from gridwell.network.weights import load_facts, load_network, save_network
from gridwell.phantom.fields import field
from gridwell.segment.agreement import agreement
from gridwell.segment.flood import FloodOptions, instances

NETWORKS = {"nuclei": "nuclei", "stained-cells": "live"}


def see(kind: str, seed: int = 5) -> torch.Tensor:
    image = field(kind, seed).image[None].astype(np.float32)
    return torch.from_numpy(shown(image, [brightness(image[0])]))[None]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_objects_as_in_single_precision(name):
    found: dict[str, list[np.ndarray]] = {"float32": [], "int8": []}
    for precision, labels in found.items():
        network = CellNetwork.load(weights_of(name), policy="forbid", precision=precision)
        assert network.numbers == precision
        for seed in range(8):
            maps = network.maps(field(NETWORKS[name], seed).image)
            labels.append(instances(maps.cell, maps.neighbour, maps.chance[1], FloodOptions()))
    assert sum(labels.max() for labels in found["float32"]) > 200
    pairs = list(zip(*found.values(), strict=True))
    assert np.mean([agreement(*pair) for pair in pairs]) > 0.97
    assert not all(np.array_equal(*pair) for pair in pairs)  # something was rounded at all


@pytest.mark.parametrize("name", NETWORKS)
def test_what_ships_computes_in_whole_numbers_on_a_cpu(name):
    assert CellNetwork.load(weights_of(name), policy="forbid").numbers == "int8"


@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("dilations", [(), (1, 1), (1, 2, 3)])
@torch.inference_mode()
def test_any_shape_of_network_says_what_it_says_in_single_precision(fine, dilations):
    torch.manual_seed(1)
    network = UNet((8, 12, 8, 16), 3, inputs=2, dilations=dilations, fine=fine).eval()
    image = see("nuclei")
    ranges = measure_ranges(network, [image])
    assert len(ranges) == 12 + 1 + len(dilations)
    exact, rounded = network(image), EightBits(network, ranges)(image)
    assert rounded.shape == exact.shape
    assert (exact - rounded).abs().max() < 0.05 * (exact.max() - exact.min())


@pytest.mark.skipif(not in_hardware(), reason="this CPU has no instructions for 8 bits")
@torch.inference_mode()
def test_a_cpu_without_the_instructions_says_the_same(monkeypatch):
    network = load_network(weights_of("nuclei"))
    ranges, image = load_facts(weights_of("nuclei"))["ranges"], see("nuclei")
    fast = EightBits(network, ranges)(image)
    monkeypatch.setattr(module, "in_hardware", lambda: False)
    slow = EightBits(network, ranges)(image)
    assert (fast == slow).float().mean() > 0.999
    assert (fast - slow).abs().max() < 0.1


@pytest.mark.parametrize("isa", ["AVX2", "AVX512_CORE"])
def test_instructions_that_sum_in_16_bits_are_not_taken(isa):
    code = "from gridwell.network.eight_bits import in_hardware; print(in_hardware())"
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": isa}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_ranges_are_the_middle_of_what_images_show_and_never_nothing():
    network = UNet((4, 4, 4, 4), inputs=2, dilations=()).eval()
    first = convolutions(network)[0]
    with torch.no_grad():
        first.weight.zero_()
        first.weight[0, 0, 2, 2] = 1.0
        first.bias.zero_()
    images = [torch.full((1, 2, 16, 16), value) for value in (1.0, 2.0, 9.0)]
    assert measure_ranges(network, images)[0] == 2.0
    assert measure_ranges(network, [torch.zeros(1, 2, 16, 16)])[0] > 0


def saved(folder: Path, **facts: object) -> Path:
    path = folder / "own.safetensors"
    network = UNet((4, 4, 4, 4), 4, inputs=2, dilations=(1,), fine=True).eval()
    kind = {"kind": "cells", "instance": True, "classes": ["background", "object"]}
    save_network(path, network, {**kind, **facts})
    return path


def test_a_network_without_ranges_is_not_asked_for_whole_numbers(tmp_path):
    path = saved(tmp_path)
    assert CellNetwork.load(path, policy="forbid").numbers != "int8"
    with pytest.raises(InputError, match="trained without ranges") as told:
        CellNetwork.load(path, policy="forbid", precision="int8")
    assert "precision: auto" in told.value.problems[0].remedy


def test_a_gpu_is_not_asked_for_whole_numbers(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(InputError, match="a GPU does not") as told:
        CellNetwork.load(weights_of("nuclei"), policy="allow", precision="int8")
    assert "precision: auto" in told.value.problems[0].remedy


@pytest.mark.parametrize(
    "ranges", ["all", [1.0, "a"], [1.0] * 13 + [-1.0], [float("inf")] * 14, {"a": 1.0}]
)
def test_ranges_that_are_none_are_refused(tmp_path, ranges):
    path = saved(tmp_path, ranges=ranges)
    with pytest.raises(InputError, match="not the weights of a network of cells"):
        facts_of(path)


def test_too_few_ranges_are_refused(tmp_path):
    path = saved(tmp_path, ranges=[1.0, 2.0])
    with pytest.raises(InputError, match="2 ranges, 14 layers"):
        CellNetwork.load(path, policy="forbid")

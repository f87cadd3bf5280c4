"""Weights on disk: the same network back, and nothing else."""

from __future__ import annotations

import json

import pytest
import torch
from gridwell.config.errors import InputError
from gridwell.network.unet import UNet
from gridwell.network.weights import load_network, save_network
from safetensors.torch import load_file, save_file


@pytest.fixture
def stored(tmp_path):
    torch.manual_seed(2)
    path = tmp_path / "net.safetensors"
    save_network(path, UNet((4, 6, 8, 10)))
    return path


def test_same_network_after_a_round_trip(stored, tmp_path):
    network = load_network(stored)
    again = tmp_path / "again.safetensors"
    save_network(again, network)
    assert again.read_bytes() == stored.read_bytes()
    assert not network.training
    assert next(network.parameters()).dtype == torch.float32


def test_missing_file_is_told_with_its_remedy(tmp_path):
    with pytest.raises(InputError, match="not there") as told:
        load_network(tmp_path / "none.safetensors")
    assert "make train-grid" in told.value.problems[0].remedy


def facts(widths: object = (4, 6, 8, 10), maps: int = 2) -> dict[str, str]:
    return {"gridwell-unet/1": json.dumps({"widths": widths, "maps": maps})}


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def no_safetensors(path):
    path.write_bytes(b"\x80\x04 this would be a pickle")


def huge_header(path):
    path.write_bytes(b"\xff" * 8 + path.read_bytes()[8:])


def other_widths(path):
    save_file(load_file(path), path, facts([4, 6, 8, 12]))


def absurd_widths(path):
    save_file(load_file(path), path, facts([4, 6, 8, 1000000]))


def words_for_widths(path):
    save_file(load_file(path), path, facts(["four", "six", "eight", "ten"]))


def no_facts(path):
    save_file(load_file(path), path)


def tensor_missing(path):
    tensors = load_file(path)
    tensors.pop("head.bias")
    save_file(tensors, path, facts())


def not_finite(path):
    tensors = load_file(path)
    tensors["head.bias"][0] = float("nan")
    save_file(tensors, path, facts())


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        no_safetensors,
        huge_header,
        other_widths,
        absurd_widths,
        words_for_widths,
        no_facts,
        tensor_missing,
        not_finite,
    ],
)
def test_damaged_weights_are_one_message(stored, damage):
    damage(stored)
    with pytest.raises(InputError) as told:
        load_network(stored)
    (problem,) = told.value.problems
    assert problem.file == str(stored)
    assert "\n" not in problem.reason


def test_a_file_too_large_is_not_read(stored):
    with stored.open("r+b") as file:
        file.truncate(2**30)
    with pytest.raises(InputError, match="larger"):
        load_network(stored)

"""The GPU policy: what is asked for is given, or its absence is told."""

from __future__ import annotations

import pytest
import torch
from gridwell.config.errors import InputError
from gridwell.network import device as module
from gridwell.network.device import device, half_precision, numbers, require_gpu


@pytest.fixture(params=[False, True], ids=["no GPU", "GPU"])
def gpu(request, monkeypatch) -> bool:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: request.param)
    return request.param


def test_allow_takes_a_gpu_where_there_is_one(gpu):
    assert device("allow").type == ("cuda" if gpu else "cpu")


def test_forbid_never_takes_one(gpu):
    assert device("forbid").type == "cpu"


@pytest.mark.parametrize("ask", [device, require_gpu])
def test_required_and_absent_is_one_message(gpu, ask):
    if gpu:
        ask("require")
        return
    with pytest.raises(InputError, match="a GPU is required") as told:
        ask("require")
    assert "gpu: allow" in told.value.problems[0].remedy


@pytest.mark.parametrize("has_it", [False, True])
@pytest.mark.parametrize("slow", [False, True])
def test_half_precision_where_a_cpu_has_it_and_is_not_slowed_by_it(monkeypatch, has_it, slow):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_it)
    monkeypatch.setattr(module, "_half_is_slow", lambda: slow)
    assert half_precision(torch.device("cpu")) == (has_it and not slow)
    assert numbers(torch.device("cpu"), "auto", whole=False) == (
        "bfloat16" if has_it and not slow else "float32"
    )


def test_cpus_multiply_whole_numbers_where_they_can_and_what_is_asked_for_else():
    cpu = torch.device("cpu")
    assert numbers(cpu, "auto", whole=True) == "int8"
    assert numbers(cpu, "float32", whole=True) == "float32"
    assert numbers(cpu, "bfloat16", whole=False) == "bfloat16"


def test_a_gpu_has_bfloat16_or_single_precision(monkeypatch):
    for has_it, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has_it=has_it, **_: has_it)
        assert numbers(torch.device("cuda"), "auto", whole=True) == expected


@pytest.mark.parametrize(("half", "slow"), [(0.4, False), (1.2, False), (3.0, True)])
def test_half_precision_is_slow_where_its_best_trial_is(monkeypatch, half, slow):
    clock, trials = [0.0], []

    def convolve(image, weight, padding):
        trials.append(image.dtype)
        # The first of each kind is slow: the library prepares itself.
        ready = trials.count(image.dtype) > 1
        clock[0] += (half if image.dtype == torch.bfloat16 else 1.0) if ready else 50.0

    monkeypatch.setattr(torch, "conv2d", convolve)
    monkeypatch.setattr(module.time, "process_time", lambda: clock[0])
    assert module._half_is_slow.__wrapped__() == slow

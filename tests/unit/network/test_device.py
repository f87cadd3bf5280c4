"""The GPU policy: what is asked for is given, or its absence is told."""

from __future__ import annotations

import pytest
import torch
from gridwell.config.errors import InputError
from gridwell.network.device import device, require_gpu


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

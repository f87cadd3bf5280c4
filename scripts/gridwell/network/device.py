"""Which device a stage computes on, by the study's GPU policy."""

from __future__ import annotations

from typing import Literal

from gridwell.config.errors import InputError, Problem

Policy = Literal["require", "allow", "forbid"]


def require_gpu(policy: Policy) -> None:
    """Stop with one message where a GPU is required and none is there.

    The conventional methods of this version compute on the CPU under every policy; asking
    for a GPU that is absent must still never pass unnoticed. PyTorch is imported only when
    the answer depends on it.

    Raises
    ------
    InputError
        If `policy` is ``require`` and PyTorch sees no CUDA device.
    """
    if policy != "require":
        return
    import torch

    if not torch.cuda.is_available():
        raise InputError(
            Problem(
                file="config/config.yaml",
                column="gpu",
                value=policy,
                reason="a GPU is required and PyTorch finds none on this machine",
                remedy="Run on a GPU node (profiles/slurm asks for one), install a CUDA build of "
                "PyTorch, or set gpu: allow",
            )
        )

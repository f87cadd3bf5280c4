"""Which device a stage computes on, by the study's GPU policy."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Literal

from gridwell.config.errors import InputError, Problem

if TYPE_CHECKING:
    import torch

Policy = Literal["require", "allow", "forbid"]
Numbers = Literal["float32", "bfloat16", "int8"]
Precision = Literal["auto"] | Numbers


def require_gpu(policy: Policy) -> None:
    """Stop with one message where a GPU is required and none is there.

    For stages whose method computes on the CPU under every policy: asking for a GPU that is
    absent must still never pass unnoticed. PyTorch is imported only when the answer depends
    on it.

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


def numbers(place: torch.device, precision: Precision, *, whole: bool) -> Numbers:
    """Choose the numbers that a network multiplies.

    Parameters
    ----------
    place
        CPU or GPU.
    precision
        What the study asks for. ``auto``: whole numbers of 8 bits on a CPU, so that CPUs say
        nearly the same, bfloat16 where a GPU has it, and else single precision.
    whole
        Whether the network can multiply whole numbers; where not, `half_precision` decides.
    """
    if precision != "auto":
        return precision
    if whole and place.type == "cpu":
        return "int8"
    return "bfloat16" if half_precision(place) else "float32"


def half_precision(place: torch.device) -> bool:
    """Whether a device has bfloat16 in hardware; elsewhere it would be slower, not faster.

    A CPU that says so is tried as well: a library that is kept from using its instructions takes
    three to nine times as long as in float32.
    """
    import torch

    if place.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported()) and not _half_is_slow()


@cache
def _half_is_slow() -> bool:
    """Whether this CPU convolves more slowly in bfloat16 than in float32; the best of some trials.

    The line lies at 1.5 times, far from what either kind of CPU does, so that all processes of
    a run decide alike.
    """
    import torch

    best = {}
    with one_thread(), torch.inference_mode():
        for kind in (torch.float32, torch.bfloat16):
            image, weight = (
                torch.zeros(1, 32, 64, 64, dtype=kind),
                torch.zeros(32, 32, 3, 3, dtype=kind),
            )
            times = []
            for _ in range(6):
                start = time.process_time()
                torch.conv2d(image, weight, padding=1)
                times.append(time.process_time() - start)
            best[kind] = min(times)
    return best[torch.bfloat16] > 1.5 * best[torch.float32]


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch compute on one CPU thread inside, so that sums have one order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def device(policy: Policy) -> torch.device:
    """Choose the device of a network.

    Parameters
    ----------
    policy
        ``require`` a GPU, ``allow`` one where there is one, or ``forbid`` it.

    Returns
    -------
    The first CUDA device, or the CPU.

    Raises
    ------
    InputError
        If `policy` is ``require`` and PyTorch sees no CUDA device.
    """
    require_gpu(policy)
    import torch

    use_gpu = policy != "forbid" and torch.cuda.is_available()
    return torch.device("cuda:0" if use_gpu else "cpu")


def device_name(policy: Policy) -> str:
    """Name the device of a network: ``cpu``, or what the GPU is called."""
    place = device(policy)
    if place.type == "cpu":
        return "cpu"
    import torch

    return str(torch.cuda.get_device_name(place))

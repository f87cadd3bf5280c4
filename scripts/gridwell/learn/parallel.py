"""What processes that train one network together tell each other; one alone says nothing.

Each learns from its part of the same batch. What is measured over a batch (losses, the statistics
of the normalisation) is summed over the parts, so that the network learns as one process would
have it learn: only the order of sums differs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import distributed, nn

Tensor = torch.Tensor
Value = TypeVar("Value")


def processes() -> int:
    """Number of processes that train together; 1 in the ordinary case."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0. The first alone measures, writes and tells."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def from_first(measure: Callable[[], Value]) -> Value:
    """Measure in the first process, and tell the others."""
    if processes() == 1:
        return measure()
    told = [measure() if rank() == 0 else None]
    distributed.broadcast_object_list(told)
    return told[0]  # type: ignore[return-value]


def summed(part: Tensor) -> Tensor:
    """Sum a tensor over the processes; its gradient is the sum of theirs."""
    return part if processes() == 1 else _Sum.apply(part)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, part: Tensor) -> Tensor:
        return _total(part)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return _total(gradient)


def _total(part: Tensor) -> Tensor:
    total = part.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total


class Norm(nn.BatchNorm2d):
    """Batch normalisation by the statistics of the whole batch, not of a process's part.

    PyTorch's SyncBatchNorm is for GPUs alone: what tests on CPUs measure would be another.
    """

    def forward(self, image: Tensor) -> Tensor:
        """Normalise (n, c, h, w)."""
        if not self.training or processes() == 1:
            return super().forward(image)
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        values = image.float()
        axes = (0, 2, 3)
        pixels = values.new_full((1,), values[:, 0].numel())
        total = summed(torch.cat([values.sum(axes), pixels]))
        count = total[-1]
        mean = total[:-1] / count
        centred = values - mean[:, None, None]
        variance = summed(centred.square().sum(axes)) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        factor = self.weight / torch.sqrt(variance + self.eps)
        return (centred * factor[:, None, None] + self.bias[:, None, None]).to(image.dtype)

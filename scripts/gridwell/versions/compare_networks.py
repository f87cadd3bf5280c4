"""Compare the weights of networks, tensor by tensor."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridwell.versions.compare_reading import Judgement, both
from gridwell.versions.compare_words import counted, not_in_both


def compare_networks(path: str, expected: Path, found: Path) -> Judgement:
    """Compare the weights of two networks; none may differ."""
    from safetensors.numpy import load_file

    first, second = both(load_file, expected, found)
    if first.keys() != second.keys():
        return "different", not_in_both("tensor", first.keys(), second.keys())
    apart = {name: _apart(first[name], second[name]) for name in first}
    changed = [name for name in apart if apart[name] > 0]
    if not changed:
        return "different", "the same tensors, but not the same metadata"
    worst = max(changed, key=lambda name: apart[name])
    much = f"by up to {apart[worst]:.3g}" if math.isfinite(apart[worst]) else "in shape or by NaN"
    return (
        "different",
        f"{len(changed)} of {counted(len(first), 'tensor')} differ, most {worst}: {much}",
    )


def _apart(expected: NDArray[Any], found: NDArray[Any]) -> float:
    """Largest difference of two tensors; infinite where they cannot be compared."""
    if expected.shape != found.shape:
        return math.inf
    gap = np.abs(expected.astype(np.float64) - found.astype(np.float64)).max(initial=0)
    return math.inf if np.isnan(gap) else float(gap)

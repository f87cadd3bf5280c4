"""Loops over pixels as machine code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a loop with numba; keep the machine code where a folder for it can be written.

    Other threads go on meanwhile.
    """
    from numba import njit

    try:
        fast: Callable[..., Any] = njit(cache=True, nogil=True)(function)
    except RuntimeError:
        fast = njit(nogil=True)(function)
    return fast

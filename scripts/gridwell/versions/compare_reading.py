"""Read the published and the recomputed result, and the type of what comparing them says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeVar

Status = Literal["identical", "within tolerance", "different", "missing", "extra"]
"""How a recomputed result compares with the published one."""
Judgement = tuple[Status, str]
"""What comparing two results says: the status, and where and by how much they differ."""
S = TypeVar("S")
T = TypeVar("T")


class UnreadableError(Exception):
    """One of the two results cannot be read; says which and why."""


def both(read: Callable[[S], T], expected: S, found: S) -> tuple[T, T]:
    """Read the published and the recomputed result."""
    with _reading("published"):
        first = read(expected)
    with _reading("recomputed"):
        second = read(found)
    return first, second


@contextmanager
def _reading(which: str) -> Iterator[None]:
    """Tell of whatever goes wrong while a result is read."""
    try:
        yield
    except Exception as error:  # readers of broken files raise whatever they like
        why = str(error) or type(error).__name__
        raise UnreadableError(f"the {which} one cannot be read: {why}") from error

"""How far a long computation is: told by the library, heard by whoever listens, else by nobody.

A function that works through many spots says so with `begin` and `step`. In a notebook that does
nothing; in a job of the workflow a `gridwell.runs.reporter.Reporter` listens.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

_UNITS = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


class Listener(Protocol):
    """Hears how far a computation is."""

    def begin(self, total: int, unit: str) -> None:
        """Hear that `total` pieces of a kind are to be worked on; whatever was before is over."""

    def step(self, count: int) -> None:
        """Hear that `count` more are done."""


_listener: Listener | None = None


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Let `listener` hear all of this process, whatever the depth of the call."""
    global _listener  # noqa: PLW0603 - one process is one job
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before


def begin(total: int, unit: str) -> None:
    """Say that `total` pieces are to be worked on; `unit` is their name, such as ``spots``.

    Bytes are told as MB or GB where they are shown.
    """
    if _listener is not None:
        _listener.begin(total, unit)


def step(count: int = 1) -> None:
    """Say that `count` more pieces are done."""
    if _listener is not None:
        _listener.step(count)


def in_words(done: int, total: int, unit: str, left: float | None) -> str:
    """Return such as ``128 of 672 spots, 19 %, 2 min left``; `left` in seconds, None: unknown."""
    if unit == "bytes":
        size, unit = next(((n, name) for n, name in _UNITS if total >= n), (1, "bytes"))
        amount = f"{done / size:.1f} of {total / size:.1f} {unit}"
    else:
        amount = f"{done} of {total} {unit}"
    words = f"{amount}, {percent(done, total)} %"
    return words if left is None else f"{words}, {duration(left)} left"


def percent(done: int, total: int) -> int:
    """Whole per cent, rounded down: 100 is said of what is complete alone."""
    return 100 * done // total if total else 100


def duration(seconds: float) -> str:
    """Return a time span in its two largest units, such as ``2 h 05 min``."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min" if minutes else f"{seconds} s"

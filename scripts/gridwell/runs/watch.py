"""A run watched: its state drawn anew until it ends."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from gridwell.runs.slurm import SlurmState, states_of
from gridwell.runs.status import Status, status_of
from gridwell.runs.words import status_in_words

# Seconds between two questions to Slurm, which many people ask.
_SLURM = 30.0
_TO_THE_TOP, _TO_THE_END_OF_LINE, _TO_THE_END = "\033[H", "\033[K", "\033[J"


def watch(
    study: Path, seconds: float, *, every_slide: bool = False, out: TextIO | None = None
) -> Status:
    """Show how a study's run stands, again and again until it ends.

    In a terminal one picture takes the place of the one before; elsewhere they follow each other.

    Parameters
    ----------
    study
        Folder of the study.
    seconds
        Between two pictures.
    every_slide
        Show all slides, also of many.
    out
        Where to. Default: standard output.

    Returns
    -------
    status
        The last one shown.

    Raises
    ------
    InputError
        If the study never had a run.
    """
    out = out or sys.stdout
    slurm = _AskedSeldom()
    while True:
        status = status_of(study, slurm)
        words = status_in_words(status, every_slide=every_slide)
        out.write(_drawn(words, last=not status.alive) if out.isatty() else f"{words}\n\n")
        out.flush()
        if not status.alive:
            return status
        time.sleep(max(seconds, 0.1))


def _drawn(words: str, *, last: bool) -> str:
    """Control characters and text for a terminal; the last picture is shown whole."""
    lines = words.split("\n")
    wide, high = shutil.get_terminal_size()
    if not last:
        lines = [line[: wide - 1] for line in lines]
        if len(lines) > high - 1:
            lines = [*lines[: high - 2], f"… {len(lines) - high + 2} lines more: gridwell status"]
    body = "".join(f"{line}{_TO_THE_END_OF_LINE}\n" for line in lines)
    return f"{_TO_THE_TOP}{body}{_TO_THE_END}"


class _AskedSeldom:
    """Slurm's answers, remembered for a while."""

    def __init__(self) -> None:
        self._next = 0.0
        self._known: dict[str, SlurmState] = {}

    def __call__(self, ids: Sequence[str]) -> dict[str, SlurmState]:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _SLURM
            self._known = states_of(ids)
        return self._known

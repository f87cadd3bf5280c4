"""What a job tells of how far it is: lines in its log, and a small file beside it."""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TextIO

from gridwell.runs.progress import in_words

# Seconds between two lines in the log, and between two states of the file.
_LINES, _FILES = 10.0, 1.0


def progress_file(log: str | os.PathLike[str]) -> Path:
    """File that says how far the job with this log is; it is there while the job runs."""
    return Path(log).with_suffix(".progress")


class Reporter:
    """Tells how far a job is, seldom enough to cost nothing.

    A disk that is full or away makes it fall silent; the job itself does not notice.

    Parameters
    ----------
    log
        Path of the job's log.
    file
        The log, open for writing.
    """

    def __init__(self, log: Path, file: TextIO) -> None:
        self._path = progress_file(log)
        self._file = file
        self._done = self._total = 0
        self._unit = ""
        self._started = datetime.now(UTC)
        self._begun = self._next_line = self._next_file = 0.0

    def __enter__(self) -> Reporter:
        self._remove()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._remove()

    def begin(self, total: int, unit: str) -> None:
        """Count from 0 to `total`."""
        self._done, self._total, self._unit = 0, total, unit
        self._started = datetime.now(UTC)
        self._begun = time.monotonic()
        self._next_line, self._next_file = self._begun + _LINES, self._begun + _FILES
        self._write_file()

    def step(self, count: int) -> None:
        """Count on; without a `begin` there is nothing to count."""
        if not self._total:
            return
        self._done = min(self._done + count, self._total)
        now = time.monotonic()
        if now >= self._next_file:
            self._next_file = now + _FILES
            self._write_file()
        if now >= self._next_line:
            self._next_line = now + _LINES
            left = (now - self._begun) * (self._total - self._done) / max(self._done, 1)
            with suppress(OSError):
                self._file.write(in_words(self._done, self._total, self._unit, left) + "\n")
                self._file.flush()

    def _write_file(self) -> None:
        state = {
            "done": self._done,
            "total": self._total,
            "unit": self._unit,
            "started": self._started.isoformat(timespec="milliseconds"),
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }
        part = self._path.with_suffix(".progress.part")
        with suppress(OSError):
            part.write_text(json.dumps(state) + "\n", encoding="utf-8")
            part.replace(self._path)

    def _remove(self) -> None:
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

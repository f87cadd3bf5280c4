"""The writer of a run's log: a handler of Snakemake's logger that keeps what matters.

It reads attributes of the log records alone, so that the library knows nothing of Snakemake.
What it cannot write it warns of once; the run goes on, and its last words are right all the same,
since they come from memory.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from gridwell.runs.records import (
    LOGS,
    AnyRecord,
    JobEvent,
    JobFailed,
    JobFinished,
    JobRetried,
    JobStarted,
    JobSubmitted,
    RunEnded,
    now,
)
from gridwell.runs.run import Run

_log = logging.getLogger(__name__)

# Logs of runs that a study keeps.
_KEPT = 20
_RESOURCES = ("mem_mb", "runtime", "gpu", "gpu_model", "slurm_account", "slurm_partition")
# What is told in words alone, by Snakemake and its plugin for Slurm.
_SUBMITTED = re.compile(r"Job (\d+) has been submitted with SLURM jobid (\S+) \(log: (.+)\)\.$")
_RETRIED = re.compile(r"Trying to restart job (\d+)\.$")
_NO_OUTPUT = re.compile(r"Job (\d+)\s+completed successfully, but some output files are missing")
_STOPPED = ("Terminating processes on user request", "Will exit after finishing currently")


class RunLog(logging.Handler):
    """Writes the log of one run.

    Attributes
    ----------
    run
        What the run has come to.
    """

    def __init__(self) -> None:
        """Make a log that takes no part in anything until it is opened."""
        super().__init__(logging.INFO)
        self.run = Run()
        self._file: int | None = None
        self._stopped = False

    def open(self, study: Path, records: Iterable[AnyRecord]) -> None:
        """Begin a file in the study with `records`: the start of the run and its plan."""
        folder = study / LOGS
        path = folder / f"{now():%Y%m%dT%H%M%S.%f}Z.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)
            for old in sorted(folder.glob("*.jsonl"))[:-_KEPT]:
                old.unlink(missing_ok=True)
        except OSError as error:
            self._warn(error)
        self._take(*records)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what a record of Snakemake's logger tells, if it tells anything of a job."""
        try:
            self._stopped |= record.getMessage().startswith(_STOPPED)
            told = self._translated(record)
            # Targets finish too, but have nothing to do.
            if told is not None and told.job in self.run.jobs:
                self._take(told)
        except Exception:  # a record of a shape that we do not know must not end the run
            self.handleError(record)

    def end(self, *, success: bool) -> None:
        """Write the end; only the first counts."""
        if self.run.started is None or self.run.ended is not None:
            return
        outcome: Literal["success", "failure", "stopped"] = "success" if success else "failure"
        with self.lock:  # type: ignore[union-attr]
            self._take(RunEnded(outcome="stopped" if self._stopped and not success else outcome))

    def close(self) -> None:
        """End the run, if nothing has told how it ended, and let go of the file."""
        self.end(success=False)
        if self._file is not None:
            os.close(self._file)
            self._file = None
        super().close()

    def _translated(self, record: logging.LogRecord) -> JobEvent | None:
        facts = vars(record)
        match facts.get("event"):
            case "job_info":
                return self._started(facts)
            case "job_finished":
                return JobFinished(job=facts["job_id"])
            case "job_error":
                return JobFailed(job=facts["jobid"], message=facts["rule_msg"] or "")
            case None | "error":
                return _from_words(record.getMessage())
        return None

    def _started(self, facts: dict[str, Any]) -> JobStarted:
        number = facts["jobid"]
        known = self.run.jobs.get(number)
        asked = {name: value for name, value in facts["resources"].items() if name in _RESOURCES}
        return JobStarted(
            job=number,
            attempt=known.attempt + 1 if known else 1,
            threads=facts["threads"],
            resources={
                name: value if isinstance(value, int) else str(value)
                for name, value in asked.items()
            },
        )

    def _take(self, *records: AnyRecord) -> None:
        for record in records:
            self.run.take(record)
        if self._file is None:
            return
        lines = "".join(record.model_dump_json() + "\n" for record in records)
        try:
            # One write, at the end of the file: lines of two threads do not mix.
            os.write(self._file, lines.encode())
        except OSError as error:
            os.close(self._file)
            self._file = None
            self._warn(error)

    def _warn(self, error: OSError) -> None:
        said = "The log of the run cannot be written (%s); gridwell status will not know of it."
        _log.warning(said, error)


def _from_words(message: str) -> JobEvent | None:
    """Read what has no event of its own."""
    if found := _SUBMITTED.search(message):
        return JobSubmitted(job=int(found[1]), slurm_id=found[2], slurm_log=found[3])
    if found := _RETRIED.search(message):
        return JobRetried(job=int(found[1]))
    if found := _NO_OUTPUT.search(message):
        return JobFailed(job=int(found[1]), message=message[found.start() :])
    return None

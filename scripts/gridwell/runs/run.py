"""What a run has come to, put together from its records, one after the other."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from gridwell.runs.records import (
    AnyRecord,
    JobEvent,
    JobFailed,
    JobFinished,
    JobKept,
    JobPlanned,
    JobRetried,
    JobStarted,
    JobSubmitted,
    RunEnded,
    RunStarted,
)

_SLURM_SAYS = re.compile(r"SLURM status is: '(\w+)'")


@dataclass
class Job:
    """A job of a run.

    Attributes
    ----------
    plan
        What it is.
    state
        ``waiting``: not begun, or to be tried again.
    attempt
        How often it was begun.
    since
        When it came into its state; None: it was never begun.
    slurm_id, slurm_log
        Of its last attempt, where Slurm runs it.
    message
        What Snakemake or Slurm said of its last failure.
    """

    plan: JobPlanned
    state: Literal["waiting", "running", "done", "failed"] = "waiting"
    attempt: int = 0
    since: datetime | None = None
    slurm_id: str | None = None
    slurm_log: str | None = None
    message: str = ""

    def take(self, record: JobEvent) -> None:
        """Go on by an event of this job."""
        self.since = record.time
        match record:
            case JobStarted():
                self.state, self.attempt = "running", record.attempt
                self.slurm_id = self.slurm_log = None
            case JobSubmitted():
                self.slurm_id, self.slurm_log = record.slurm_id, record.slurm_log
            case JobFinished():
                self.state = "done"
            case JobFailed():
                self.state, self.message = "failed", record.message
            case JobRetried():
                self.state = "waiting"

    @property
    def name(self) -> str:
        """Stage, and what of: ``segment S01 nuclei``."""
        return " ".join([self.plan.rule, *self.plan.wildcards.values()])

    @property
    def slurm_state(self) -> str | None:
        """State in which Slurm ended it when it failed, such as ``TIMEOUT``."""
        said = _SLURM_SAYS.search(self.message)
        return said[1] if said else None

    def reason(self, study: Path) -> str:
        """Why it failed: the last line of its log, else what Snakemake said."""
        log = study / self.plan.log
        lines = log.read_text(errors="replace").split("\n") if log.is_file() else []
        lines = [line.strip() for line in (*self.message.splitlines()[:1], *lines)]
        last = next((line for line in reversed(lines) if line), "no message")
        return last.removeprefix(f"{self.plan.rule}: ")


@dataclass
class Run:
    """A run, as far as its records tell.

    Attributes
    ----------
    started
        Its beginning; None: that line was lost.
    kept
        Jobs that earlier runs have done.
    jobs
        Jobs of this run by number.
    ended
        Its end; None: it goes on, or was killed.
    """

    started: RunStarted | None = None
    kept: list[JobKept] = field(default_factory=list)
    jobs: dict[int, Job] = field(default_factory=dict)
    ended: RunEnded | None = None

    @classmethod
    def of(cls, records: Iterable[AnyRecord]) -> Run:
        """Put a run together."""
        run = cls()
        for record in records:
            run.take(record)
        return run

    def take(self, record: AnyRecord) -> None:
        """Go on by an event. One of a job that was not planned is left out."""
        match record:
            case RunStarted():
                self.started = record
            case JobKept():
                self.kept.append(record)
            case JobPlanned():
                self.jobs[record.job] = Job(record)
            case RunEnded():
                self._end(record)
            case _ if record.job in self.jobs:
                self.jobs[record.job].take(record)

    def _end(self, record: RunEnded) -> None:
        """End; of a job whose outputs did not appear, Snakemake tells no failure."""
        self.ended = record
        for job in self.jobs.values():
            if job.state == "running" and record.outcome == "failure":
                job.state = "failed"

    @property
    def failed(self) -> list[Job]:
        """Jobs that failed and are not tried again, in the order of the plan."""
        return [job for job in self.jobs.values() if job.state == "failed"]

    def held_up(self) -> set[int]:
        """Jobs that cannot begin because one before them failed."""
        later = defaultdict(list)
        for number, job in self.jobs.items():
            for first in job.plan.after:
                later[first].append(number)
        held: set[int] = set()
        todo = [job.plan.job for job in self.failed]
        while todo:
            new = [number for number in later[todo.pop()] if number not in held]
            held.update(new)
            todo.extend(new)
        return {number for number in held if self.jobs[number].state == "waiting"}

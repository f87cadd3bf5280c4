"""The structured log of a run: one JSON object a line, each an event of a kind of its own.

A run is written by `gridwell.runs.log` and read by everyone else. A reader takes what it
understands: a line that is torn by a kill or garbled, or of a kind that it does not know, is
left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, Field, TypeAdapter, ValidationError

LOGS = Path("logs/runs")
"""Folder of a study with the logs of its runs; their names sort by time."""


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


class Record(BaseModel):
    """Any event.

    Attributes
    ----------
    time
        When it happened, or was noticed, UTC.
    """

    time: AwareDatetime = Field(default_factory=now)


class RunStarted(Record):
    """First line: a run begins its work; the study was found without mistakes before.

    Attributes
    ----------
    host, pid
        Where Snakemake runs, and the number of its process there.
    command
        Shell command that started it.
    executor
        ``local``, ``slurm`` or another executor of Snakemake.
    versions
        Of gridwell, Snakemake and Python.
    """

    event: Literal["run_started"] = "run_started"
    host: str
    pid: int
    command: str
    executor: str
    versions: dict[str, str] = {}


class JobKept(Record):
    """A job of the plan that an earlier run has done: its results stay.

    Attributes
    ----------
    rule, wildcards
        Stage, and what of: ``slide``, ``channel``, ``model``.
    """

    event: Literal["job_kept"] = "job_kept"
    rule: str
    wildcards: dict[str, str] = {}


class JobPlanned(Record):
    """A job that is to be done.

    Attributes
    ----------
    job
        Number of the job in this run.
    rule, wildcards
        Stage, and what of: ``slide``, ``channel``, ``model``.
    log
        The job's log, relative to the study.
    after
        Jobs of this run that must be done before.
    attempts
        How often it is tried at most.
    """

    event: Literal["job_planned"] = "job_planned"
    job: int
    rule: str
    wildcards: dict[str, str] = {}
    log: str
    after: list[int] = []
    attempts: int = 1


class JobStarted(Record):
    """A job begins, or is handed to Slurm.

    Attributes
    ----------
    job
        Number of the job.
    attempt
        1, and more after failures.
    threads
        Processors that it may use.
    resources
        What it asks for: ``mem_mb`` (MB), ``runtime`` (minutes), ``gpu``, ``slurm_partition``…
    """

    event: Literal["job_started"] = "job_started"
    job: int
    attempt: int
    threads: int = 1
    resources: dict[str, int | str] = {}


class JobSubmitted(Record):
    """Slurm has taken a job.

    Attributes
    ----------
    job
        Number of the job.
    slurm_id
        Number that Slurm gave it.
    slurm_log
        What Slurm writes of it; Snakemake removes it when the job succeeds.
    """

    event: Literal["job_submitted"] = "job_submitted"
    job: int
    slurm_id: str
    slurm_log: str


class JobFinished(Record):
    """A job is done and its results are there."""

    event: Literal["job_finished"] = "job_finished"
    job: int


class JobFailed(Record):
    """An attempt at a job failed.

    Attributes
    ----------
    job
        Number of the job.
    message
        What Snakemake or Slurm say of it; the reason stands in the job's log.
    """

    event: Literal["job_failed"] = "job_failed"
    job: int
    message: str = ""


class JobRetried(Record):
    """A job that failed will be tried again."""

    event: Literal["job_retried"] = "job_retried"
    job: int


class RunEnded(Record):
    """Last line; a run that was killed leaves none.

    Attributes
    ----------
    outcome
        ``stopped``: by Ctrl-C or a signal.
    """

    event: Literal["run_ended"] = "run_ended"
    outcome: Literal["success", "failure", "stopped"]


JobEvent = JobStarted | JobSubmitted | JobFinished | JobFailed | JobRetried
AnyRecord = RunStarted | JobKept | JobPlanned | JobEvent | RunEnded
_ADAPTER: TypeAdapter[AnyRecord] = TypeAdapter(Annotated[AnyRecord, Field(discriminator="event")])


def read_records(path: Path) -> Iterator[AnyRecord]:
    """Read a log, leaving out lines that are torn, garbled or of an unknown kind.

    Raises
    ------
    OSError
        If there is no such file.
    """
    with path.open("rb") as file:
        for line in file:
            try:
                yield _ADAPTER.validate_json(line)
            except ValidationError:
                continue


def newest_log(study: Path) -> Path | None:
    """Log of the study's last run; None: there was none."""
    return max((study / LOGS).glob("*.jsonl"), default=None)

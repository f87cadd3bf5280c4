"""How a study's last run stands: its log, whether it is alive, how far its jobs are."""

from __future__ import annotations

import fcntl
import json
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, NonNegativeInt, ValidationError

from gridwell.config.errors import InputError, Problem
from gridwell.runs.records import JobKept, JobPlanned, newest_log, now, read_records
from gridwell.runs.reporter import progress_file
from gridwell.runs.run import Job, Run
from gridwell.runs.slurm import SlurmState, states_of

LOCK = Path(".snakemake/gridwell.run.lock")
"""File of a study that its run holds locked; says which run."""
STATES = ("done", "running", "queued", "waiting", "held up", "failed", "cut off")
"""States of jobs. ``queued``: Slurm has it and has not begun; ``held up``: something before it
failed; ``cut off``: it ran when the run ended."""
RunState = Literal[
    "starting", "running", "finished", "failed", "stopped", "killed", "not known from here"
]
AskSlurm = Callable[[Sequence[str]], dict[str, SlurmState]]
# Seconds by which the clocks of two machines may differ.
_CLOCKS = 5


class Progress(BaseModel):
    """How far a job is, as its reporter wrote it.

    Attributes
    ----------
    done, total, unit
        Such as 128 of 672 ``spots``.
    started, time
        When it began to count, and when it wrote this.
    """

    done: NonNegativeInt
    total: NonNegativeInt
    unit: str
    started: AwareDatetime
    time: AwareDatetime

    def left(self, at: datetime) -> float | None:
        """Seconds from `at` to the end at the pace so far; None: too early to tell."""
        if not self.done:
            return None
        pace = (self.time - self.started).total_seconds() / self.done
        return max(pace * (self.total - self.done) - (at - self.time).total_seconds(), 0.0)


@dataclass(frozen=True)
class JobStatus:
    """A job of the run.

    Attributes
    ----------
    job
        As the log has it.
    state
        One of `STATES`.
    progress
        How far it is, if it runs and tells.
    slurm
        What Slurm says of it now, if it has it.
    """

    job: Job
    state: str
    progress: Progress | None = None
    slurm: SlurmState | None = None


@dataclass(frozen=True)
class Status:
    """How a study's last run stands.

    Attributes
    ----------
    study
        Folder.
    at
        When it was looked at.
    state
        Of the run. ``starting``: another run is being prepared, and this is the one before it.
    run
        As its log tells.
    jobs
        Jobs of the run, in the order of the plan.
    """

    study: Path
    at: datetime
    state: RunState
    run: Run
    jobs: tuple[JobStatus, ...]

    @property
    def alive(self) -> bool:
        """Whether a run is at work, as far as can be told from here."""
        return self.state in ("starting", "running", "not known from here")

    @property
    def well(self) -> bool:
        """Whether nothing failed, and all is done or being done."""
        left = any(one.state != "done" for one in self.jobs)
        return self.state == "starting" or not (self.run.failed or (left and not self.alive))

    def stages(self) -> dict[str, Counter[str]]:
        """Count the jobs of each stage by state, stages in the order of the plan."""
        return self._counted(lambda rule, _: rule)

    def slides(self) -> dict[str, Counter[str]]:
        """Count the jobs of each slide by state."""
        slides = self._counted(lambda _, wildcards: wildcards.get("slide", ""))
        return {slide: counts for slide, counts in sorted(slides.items()) if slide}

    def having(self, *states: str) -> list[JobStatus]:
        """Jobs in some states."""
        return [one for one in self.jobs if one.state in states]

    def _counted(self, key: Callable[[str, dict[str, str]], str]) -> dict[str, Counter[str]]:
        plans: list[tuple[JobKept | JobPlanned, str]] = [(kept, "done") for kept in self.run.kept]
        plans += [(one.job.plan, one.state) for one in self.jobs]
        counts: dict[str, Counter[str]] = {}
        for plan, state in plans:
            counts.setdefault(key(plan.rule, plan.wildcards), Counter())[state] += 1
        return counts


def status_of(study: Path, ask_slurm: AskSlurm = states_of) -> Status:
    """Find out how a study's last run stands.

    Raises
    ------
    InputError
        If the study never had a run.
    """
    if not study.is_dir():
        raise InputError(Problem(str(study), "is no folder", "Name the folder of a study"))
    path = newest_log(study)
    holder = _holder(study)
    if path is None:
        begins = "A run is being prepared" if holder is not None else "No run has begun yet"
        remedy = "Look again when its first jobs have begun, or run: snakemake --directory STUDY"
        raise InputError(Problem(str(study), f"has no log of a run. {begins}", remedy))
    run = Run.of(read_records(path))
    at, state = now(), _run_state(run, holder)
    going = [job for job in run.jobs.values() if job.state == "running"]
    slurm = ask_slurm([job.slurm_id for job in going if job.slurm_id])
    held = run.held_up()
    jobs = []
    for number, job in run.jobs.items():
        own = slurm.get(job.slurm_id or "") if job.state == "running" else None
        shown = "held up" if number in held else job.state
        if shown == "running":
            alive = state in ("running", "not known from here")
            queued = own is not None and own.state == "PENDING"
            shown = ("queued" if queued else "running") if alive else "cut off"
        progress = _progress(study, job) if shown == "running" else None
        jobs.append(JobStatus(job, shown, progress, own))
    return Status(study, at, state, run, tuple(jobs))


def _progress(study: Path, job: Job) -> Progress | None:
    """How far a job is; what an attempt before it left says nothing."""
    try:
        text = progress_file(study / job.plan.log).read_text(encoding="utf-8")
        progress = Progress.model_validate_json(text)
    except (OSError, ValueError, ValidationError):
        return None
    old = job.since is None or (job.since - progress.started).total_seconds() > _CLOCKS
    return None if old else progress


def _holder(study: Path) -> dict[str, Any] | None:
    """What the lock says of the run that holds it; None: no run of this machine holds it."""
    try:
        with (study / LOCK).open(encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                said = json.loads(file.read() or "{}")
                return said if isinstance(said, dict) else {}
            return None
    except ValueError:
        return {}
    except OSError:
        return None


def _run_state(run: Run, holder: dict[str, Any] | None) -> RunState:
    started, ended = run.started, run.ended
    same = started is None or (holder or {}).get("pid", started.pid) == started.pid
    if holder is not None and not same:
        return "starting"
    if ended is not None:
        ends: dict[str, RunState] = {"success": "finished", "failure": "failed"}
        return ends.get(ended.outcome, "stopped")
    if holder is not None:
        return "running"
    # Locks are not seen from every machine that shares the disk.
    here = started is None or started.host == socket.gethostname()
    return "killed" if here else "not known from here"


def as_json(status: Status) -> dict[str, Any]:
    """All that is known as plain data, for other programs."""
    started, ended = status.run.started, status.run.ended
    return {
        "study": str(status.study),
        "time": status.at.isoformat(),
        "well": status.well,
        "run": {
            "state": status.state,
            **(started.model_dump(mode="json", exclude={"event", "time"}) if started else {}),
            "started": started.time.isoformat() if started else None,
            "ended": ended.time.isoformat() if ended else None,
        },
        "stages": {name: dict(counts) for name, counts in status.stages().items()},
        "slides": {name: dict(counts) for name, counts in status.slides().items()},
        "jobs": [_job_as_json(one, status) for one in status.jobs],
    }


def _job_as_json(one: JobStatus, status: Status) -> dict[str, Any]:
    job, progress, slurm = one.job, one.progress, one.slurm
    return {
        "stage": job.plan.rule,
        **job.plan.wildcards,
        "state": one.state,
        "attempt": job.attempt,
        "attempts": job.plan.attempts,
        "since": job.since.isoformat() if job.since else None,
        "log": job.plan.log,
        "reason": job.reason(status.study) if one.state == "failed" else None,
        "progress": progress
        and {
            **progress.model_dump(include={"done", "total", "unit"}),
            "left_s": progress.left(status.at),
        },
        "slurm": job.slurm_id
        and {
            "id": job.slurm_id,
            "state": slurm.state if slurm else job.slurm_state,
            "reason": slurm.reason if slurm else "",
            "log": job.slurm_log,
        },
    }

"""The state of a run in words and bars, for a terminal, a mail or the end of a run."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from gridwell.runs.progress import duration, in_words
from gridwell.runs.run import Job, Run
from gridwell.runs.status import STATES, JobStatus, Status

# A study with more slides shows those alone that run or fail.
_FEW_SLIDES = 30
_BAR = 20


def status_in_words(status: Status, *, every_slide: bool = False) -> str:
    """Return the whole state: the run, its stages, slides, running jobs and failures."""
    stages = status.stages()
    total = sum(stages.values(), Counter[str]())
    parts = [
        _head(status),
        _counted({**stages, "all": total}, "stage"),
        _slides(status, every_slide),
        _running(status),
        failures_in_words(status.run, status.study),
        _orphans(status),
    ]
    return "\n\n".join(part for part in parts if part)


def _head(status: Status) -> str:
    run, started = status.run, status.run.started
    begun = f" of {_when(started.time)}" if started else ""
    where = f" ({started.executor}, process {started.pid} on {started.host})" if started else ""
    head = f"{status.study.resolve().name}: run{begun}{where} "
    if run.ended is not None and started is not None:
        took = duration((run.ended.time - started.time).total_seconds())
        ends = {"finished": "finished", "failed": "ended with failures", "stopped": "was stopped"}
        return f"{head}{ends.get(status.state, 'ended')} after {took}{_next(status)}"
    if status.state == "running" and started is not None:
        return f"{head}has been running for {duration((status.at - started.time).total_seconds())}"
    if status.state in ("killed", "starting"):
        return f"{head}was killed{_next(status)}"
    return f"{head}may still be at work: from this machine it cannot be told"


def _next(status: Status) -> str:
    if status.state == "starting":
        return "; another run is being prepared"
    unfinished = any(one.state != "done" for one in status.jobs)
    return "; the same command goes on with what is left" if unfinished else ""


def _counted(rows: dict[str, Counter[str]], title: str) -> str:
    """One line each: a bar, how many are done, and what of the others."""
    wide = max(map(len, [title, *rows]))
    lines = []
    for name, counts in rows.items():
        total, done = counts.total(), counts["done"]
        number = f"{done} of {total}"
        others = ", ".join(f"{counts[state]} {state}" for state in STATES[1:] if counts[state])
        lines.append(f"{name:<{wide}}  {bar(done, total)}  {number:<12}{others}".rstrip())
    return "\n".join([f"{title:<{wide}}  done", *lines])


def bar(done: int, total: int) -> str:
    """Return a bar of fixed length; it is full when all is done and not before."""
    full = _BAR * done // total if total else _BAR
    return "█" * full + "░" * (_BAR - full)


def _slides(status: Status, every: bool) -> str:
    slides = status.slides()
    if len(slides) > _FEW_SLIDES and not every:
        moving = {"running", "queued", "failed", "cut off"}
        slides = {name: counts for name, counts in slides.items() if moving & counts.keys()}
    return _counted(slides, "slide") if slides else ""


def _running(status: Status) -> str:
    jobs = status.having("running", "queued", "cut off")
    if not jobs:
        return ""
    wide = max(len(one.job.name) for one in jobs)
    return "\n".join(_job_line(one, wide, status.at) for one in jobs)


def _job_line(one: JobStatus, wide: int, at: datetime) -> str:
    job, progress = one.job, one.progress
    words = []
    if progress is not None:
        left = progress.left(at)
        told = in_words(progress.done, progress.total, progress.unit, left)
        words.append(f"{bar(progress.done, progress.total)}  {told}")
    elif one.state == "cut off":
        words.append(one.state)
    elif job.since is not None:
        words.append(f"{one.state} for {duration((at - job.since).total_seconds())}")
    if job.attempt > 1:
        words.append(f"attempt {job.attempt} of {job.plan.attempts}")
    if job.slurm_id:
        words.append(f"Slurm job {job.slurm_id}{_slurm_says(one)}")
    return f"{job.name:<{wide}}  {'; '.join(words)}"


def _slurm_says(one: JobStatus) -> str:
    if one.slurm is None:
        return ""
    reason = f" ({one.slurm.reason})" if one.slurm.reason else ""
    unnoticed = one.slurm.ended and one.state != "cut off"
    late = ", which Snakemake has not noticed yet" if unnoticed else ""
    return f" {one.slurm.state}{reason}{late}"


def _orphans(status: Status) -> str:
    """Say what becomes of jobs of Slurm that nobody looks after."""
    orphans = [one.job.slurm_id for one in status.having("cut off") if _lives(one)]
    if not orphans:
        return ""
    return (
        f"Slurm still has {_listed('job', orphans)} of this run, which is over. "
        "The same command cancels what is left there and goes on."
    )


def _lives(one: JobStatus) -> bool:
    return one.slurm is not None and not one.slurm.ended


def _listed(noun: str, items: Sequence[object]) -> str:
    return f"{noun}{'s' if len(items) > 1 else ''} {', '.join(map(str, items))}"


def failures_in_words(run: Run, study: Path) -> str:
    """Name each job that failed, why, and where its logs are; empty where none did.

    Parameters
    ----------
    run
        The run, ended or not.
    study
        Folder of the study; logs are named from there.
    """
    if not run.failed:
        return ""
    held = run.held_up()
    unfinished = [
        number
        for number, job in run.jobs.items()
        if job.state in ("waiting", "running") and number not in held
    ]
    rest = "" if unfinished else "; everything that does not depend on them was finished"
    lines = [f"Failed jobs{rest}:", *_each(run.failed, study)]
    if held:
        lines.append(f"  {len(held)} more {'need' if len(held) > 1 else 'needs'} their results")
    return "\n".join(lines)


def _each(jobs: Iterable[Job], study: Path) -> Iterable[str]:
    for job in jobs:
        tried = f", {job.attempt} attempts" if job.attempt > 1 else ""
        yield f"  {job.name}{tried}: {job.reason(study)}"
        yield f"    log: {job.plan.log}"
        if job.slurm_id:
            log = os.path.relpath(job.slurm_log, study.resolve()) if job.slurm_log else "none"
            yield f"    Slurm job {job.slurm_id}: {job.slurm_state or 'FAILED'}, log: {log}"


def _when(time: datetime) -> str:
    return f"{time.astimezone():%d %b %Y, %H:%M}"

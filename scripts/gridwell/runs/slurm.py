"""What Slurm says of the jobs of a run: asked once for all of them, and only where it is."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from getpass import getuser
from pathlib import Path
from typing import Any

# Seconds that Slurm has for an answer.
_PATIENCE = 30
_FINAL = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
    "PREEMPTED", "TIMEOUT",
}  # fmt: skip


@dataclass(frozen=True)
class SlurmState:
    """State of a job.

    Attributes
    ----------
    state
        As Slurm calls it: ``PENDING``, ``RUNNING``, ``TIMEOUT``…
    reason
        Why it is pending, such as ``Resources``; empty for other states.
    """

    state: str
    reason: str = ""

    @property
    def ended(self) -> bool:
        """Whether Slurm is through with the job."""
        return self.state in _FINAL


def states_of(ids: Sequence[str]) -> dict[str, SlurmState]:
    """Ask Slurm for the states of jobs by their numbers.

    Returns
    -------
    states
        By number. Empty where Slurm is not on this machine or does not answer; of jobs that it
        has forgotten there is none.
    """
    if not ids:
        return {}
    found = {}
    for line in _ask("squeue", "--noheader", "--jobs", ",".join(ids), "--format=%i|%T|%r") or []:
        number, state, reason = [*line.split("|", 2), "", ""][:3]
        found[number] = SlurmState(state, reason if state == "PENDING" else "")
    gone = [number for number in ids if number not in found]
    if gone:
        columns = "--format=JobIDRaw,State"
        lines = _ask("sacct", "-n", "-X", "-P", "--jobs", ",".join(gone), columns)
        for number, _, state in (line.partition("|") for line in lines or []):
            found[number] = SlurmState(state.split(" ", maxsplit=1)[0])
    return found


Answer = tuple[dict[str, str] | None, float | None]
Query = Callable[[str, Any], Awaitable[Answer]]

# States of a job that Slurm may put back into its queue, which takes it two minutes and more.
_MAY_COME_BACK = {"NODE_FAIL", "PREEMPTED"}


def plain_states(query: Query, patience: float = 300.0) -> Query:
    """Wrap the question of Snakemake's Slurm executor, which misreads some answers.

    Version 2.8 takes ``CANCELLED by 1000``, as sacct has it, for no end. It waits for ever for a
    job that was preempted and not requeued; and when a node fails it excludes, from all later
    submissions, what sacct calls the node of a job that is back in the queue: ``None assigned``.

    Parameters
    ----------
    query
        The executor's function: a command and a logger to states by job, and seconds.
    patience
        Seconds for a job that was preempted or lost its node to come back by itself.

    Returns
    -------
    query
        The same with states of one word: ``PENDING`` for what may come back, ``CANCELLED``, to be
        submitted again, for what does not.
    """
    since: dict[str, float] = {}

    def plain(job: str, state: str) -> str:
        word = state.split(" ", maxsplit=1)[0]
        if word not in _MAY_COME_BACK:
            since.pop(job, None)
            return word
        now = time.monotonic()
        return "PENDING" if now - since.setdefault(job, now) < patience else "CANCELLED"

    async def ask(command: str, logger: Any) -> Answer:
        states, seconds = await query(command, logger)
        if states is not None:
            states = {job: plain(job, state) for job, state in states.items()}
        return states, seconds

    return ask


def queued_from(folder: Path) -> list[str] | None:
    """Numbers of the jobs in the queue that Snakemake submitted from a folder.

    Its executor gives jobs the folder as working directory and the rule as comment. None where
    Slurm is on this machine and does not answer: no answer must not pass for no job.
    """
    asked = _ask("squeue", "--noheader", f"--user={getuser()}", "--format=%A|%k|%Z")
    if asked is None:
        return None
    jobs = [[*line.split("|", 2), "", ""][:3] for line in asked]
    here = folder.resolve()
    return [
        number
        for number, comment, place in jobs
        if comment.startswith(("rule_", "group_")) and Path(place).resolve() == here
    ]


def cancel(ids: Sequence[str]) -> None:
    """Cancel jobs by their numbers."""
    _ask("scancel", *ids)


def _ask(command: str, *arguments: str) -> list[str] | None:
    """Lines that a command of Slurm prints; none where it is missing, None where it is slow or
    refuses.
    """
    program = shutil.which(command)
    if program is None:
        return []
    try:
        done = subprocess.run(  # noqa: S603 - fixed words and numbers of jobs
            [program, *arguments], capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.split("\n")[:-1] if done.returncode == 0 else None

"""A Slurm cluster as the tests see it: what its accounting says, and how to disturb it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil

_STEP = re.compile(r"slurmstepd: \[(\d+)\.")
_FIELDS = (
    "JobIDRaw,Comment,Partition,NodeList,State,AllocTRES,ReqMem,TimelimitRaw,Start,End,WorkDir"
)


@dataclass(frozen=True)
class Job:
    """One attempt of Slurm at a job, as sacct tells it."""

    id: int
    rule: str
    wildcards: str
    partition: str
    node: str
    state: str
    cpus: int
    gpus: dict[str, int]
    mem_mb: int
    minutes: int
    start: datetime | None
    end: datetime | None

    @property
    def work(self) -> tuple[str, str]:
        """What it computes: the rule and its wildcards."""
        return self.rule, self.wildcards


@dataclass(frozen=True)
class Running:
    """A job that runs now, as squeue tells it."""

    id: int
    rule: str
    wildcards: str
    node: str

    @property
    def work(self) -> tuple[str, str]:
        """What it computes: the rule and its wildcards."""
        return self.rule, self.wildcards


@dataclass(frozen=True)
class Cluster:
    """The cluster of slurm_up.sh whose folder is `state`."""

    state: Path

    def jobs(self, study: Path) -> list[Job]:
        """Every attempt at every job of a study, in the order of submission."""
        said = slurm("sacct", "-X", "-D", "-P", "-n", "--units=M", "-S", "now-1day", "-o", _FIELDS)
        rows = [line.split("|") for line in said.splitlines()]
        return [_job(row) for row in rows if row[-1] == str(study)]

    def queue(self, study: Path, state: str) -> list[Running]:
        """The jobs of a study that are in a state: RUNNING, PENDING."""
        rows = slurm("squeue", "-h", "-t", state, "-o", "%A|%k|%N|%Z").splitlines()
        found = []
        for row in rows:
            number, comment, node, folder = row.split("|")
            if folder == str(study):
                found.append(Running(int(number), *_named(comment), node))
        return found

    def processes(self, *jobs: int) -> Iterator[psutil.Process]:
        """The processes of jobs, those of Slurm that watch over them first."""
        for process in psutil.process_iter(["cmdline"]):
            step = _STEP.match(" ".join(process.info["cmdline"] or ()))
            if step and int(step[1]) in jobs:
                yield process
                with suppress(psutil.NoSuchProcess):
                    yield from process.children(recursive=True)

    def signal(self, job: int, number: signal.Signals) -> None:
        """Send a signal to all that a job computes with, not to Slurm's own processes."""
        for process in self.processes(job):
            with suppress(psutil.NoSuchProcess):
                if not _STEP.match(" ".join(process.cmdline())):
                    process.send_signal(number)

    def kill_node(self, node: str) -> None:
        """Let a node vanish: its daemon and all its jobs end at once and tell nobody."""
        here = slurm("squeue", "-h", "-t", "RUNNING,COMPLETING", "-w", node, "-o", "%A").split()
        daemon = int((self.state / f"run/slurmd-{node}.pid").read_text())
        os.kill(daemon, signal.SIGKILL)
        for process in list(self.processes(*map(int, here))):
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def start_node(self, node: str) -> None:
        """Start a node that vanished, and wait until it takes jobs."""
        # Beside the file of this variable lies the one that says which GPUs the node has.
        conf = {"SLURM_CONF": str(self.state / "etc/slurm.conf")}
        subprocess.run(["slurmd", "-N", node], check=True, env=os.environ | conf)
        wait_for(lambda: slurm("sinfo", "-h", "-n", node, "-o", "%t"), r"idle|mix|alloc")


def slurm(*command: str) -> str:
    """Run a command of Slurm; returns what it says."""
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def wait_for(question: Callable[[], str], answer: str, seconds: float = 60) -> None:
    """Ask until the answer matches a pattern."""
    end = time.monotonic() + seconds
    while not re.search(answer, said := question()):
        assert time.monotonic() < end, f"waited in vain for {answer}: {said}"
        time.sleep(0.3)


def _named(comment: str) -> tuple[str, str]:
    """Rule and wildcards, as the plugin writes them into the comment of a job."""
    rule, _, wildcards = comment.removeprefix("rule_").partition("_wildcards_")
    return rule, wildcards


def _job(row: Sequence[str]) -> Job:
    number, comment, partition, node, state, tres, memory, minutes, start, end, _ = row
    allocated = dict(pair.split("=") for pair in tres.split(",") if pair)
    return Job(
        int(number),
        *_named(comment),
        partition,
        node,
        state.split()[0],  # CANCELLED by 0
        cpus=int(allocated.get("cpu", 0)),
        gpus={name: int(n) for name, n in allocated.items() if name.startswith("gres/gpu:")},
        mem_mb=int(float(memory.rstrip("M"))),
        minutes=int(minutes),
        start=_time(start),
        end=_time(end),
    )


def _time(said: str) -> datetime | None:
    return datetime.fromisoformat(said) if said[:1].isdigit() else None

"""Watch a Snakemake run from outside: what each of its jobs takes, without asking the jobs.

Every tenth of a second all processes below Snakemake are looked at in /proc. A process belongs
to the job that it or an ancestor is; a job is told by the script that Snakemake runs for it.
What a process does in its last tenth of a second is not seen.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_EVERY = 0.1
# Snakemake copies a rule's script to such a name before it runs it.
_SCRIPT = re.compile(r"/scripts/tmp[^/]*\.(\w+)\.py$")


@dataclass
class _Process:
    rule: str
    job: int
    cpu: float = 0.0
    read: int = 0
    written: int = 0


@dataclass
class Job:
    """What a job took.

    Attributes
    ----------
    rule
        Its rule, which has the name of its script.
    begun, ended
        Seconds since the run began.
    cpu
        CPU seconds of all its processes.
    memory
        Most bytes that all its processes had resident together; shared pages count twice.
    read, written
        Bytes that it read and wrote by system calls, from and to the page cache too.
    """

    rule: str
    begun: float
    ended: float
    cpu: float = 0.0
    memory: int = 0
    read: int = 0
    written: int = 0


@dataclass
class Watcher:
    """Watches the processes below one process until it is stopped.

    Attributes
    ----------
    jobs
        Every job that was seen, by the number of its process.
    own
        CPU seconds of the root process itself, without children.
    """

    root: psutil.Process
    jobs: dict[int, Job] = field(default_factory=dict)
    own: float = 0.0

    def __post_init__(self) -> None:
        self._seen: dict[int, _Process] = {}
        self._start = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> list[Job]:
        """End; return the jobs in the order of their beginning."""
        self._stop.set()
        self._thread.join()
        for process in self._seen.values():
            job = self.jobs[process.job]
            job.cpu += process.cpu
            job.read += process.read
            job.written += process.written
        return sorted(self.jobs.values(), key=lambda job: job.begun)

    def _watch(self) -> None:
        while not self._stop.wait(_EVERY):
            try:
                times = self.root.cpu_times()
                self.own = times.user + times.system
                below = self.root.children(recursive=True)
            except psutil.Error:
                continue
            resident: dict[int, int] = {}
            for process in below:
                self._look(process, resident)
            for job, size in resident.items():
                self.jobs[job].memory = max(self.jobs[job].memory, size)

    def _look(self, process: psutil.Process, resident: dict[int, int]) -> None:
        try:
            known = self._seen.get(process.pid) or self._of_job(process)
            if known is None:
                return
            times, moved = process.cpu_times(), process.io_counters()
            # Without what its children took, who are looked at themselves.
            known.cpu = times.user + times.system
            known.read, known.written = moved.read_chars, moved.write_chars
            resident[known.job] = resident.get(known.job, 0) + process.memory_info().rss
            self.jobs[known.job].ended = time.monotonic() - self._start
        except psutil.Error:
            return

    def _of_job(self, process: psutil.Process) -> _Process | None:
        found = next(filter(None, map(_SCRIPT.search, process.cmdline())), None)
        if found:
            job, rule = process.pid, found[1]
            now = time.monotonic() - self._start
            self.jobs[job] = Job(rule, now, now)
        else:
            parent = self._seen.get(process.ppid())
            if parent is None:
                return None
            job, rule = parent.job, parent.rule
        self._seen[process.pid] = _Process(rule, job)
        return self._seen[process.pid]


def run_watched(command: list[str | Path], **options: object) -> tuple[float, float, list[Job]]:
    """Run a command of Snakemake; return wall seconds, its own CPU seconds, and its jobs.

    Raises
    ------
    RuntimeError
        With the end of what it printed, if it fails.
    """
    started = time.monotonic()
    with psutil.Popen(  # type: ignore[no-untyped-call]
        [str(part) for part in command], stdout=-1, stderr=-2, text=True, **options
    ) as process:
        watcher = Watcher(process)
        printed, _ = process.communicate()
    jobs = watcher.stop()
    if process.returncode:
        raise RuntimeError(printed[-3000:])
    return time.monotonic() - started, watcher.own, jobs

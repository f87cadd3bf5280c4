"""Works done in turn, peers in processes of their own among them, and the bars on their ratios."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

PEERS = Path(__file__).with_name("peers")

Line = tuple[str, float, str]
"""What is measured, the number, and its bar: ">= 3", "<= 2", or nothing."""
Work = Callable[[], object]


@dataclass
class Options:
    """How much to measure, and where the peers are."""

    rounds: int
    rows: int
    peers: list[Path]


def verdict(measured: float, bar: str) -> str:
    """Whether a bar is met: yes, no, or nothing without one."""
    if not bar:
        return ""
    sign, limit = bar.split()
    met = measured >= float(limit) if sign == ">=" else measured <= float(limit)
    return "yes" if met else "no"


def medians(rounds: int, *works: Work) -> list[float]:
    """CPU seconds of each work, all in turn; a work may tell its seconds itself."""
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(rounds + 1):
        for work, own in zip(works, seconds, strict=True):
            start = time.process_time()
            told = work()
            own.append(told if isinstance(told, float) else time.process_time() - start)
    return [float(np.median(own[1:])) for own in seconds]


class Peer:
    """A peer in a process of its own, that works once at every call and tells its CPU seconds."""

    def __init__(self, python: Path, script: str, *arguments: object) -> None:
        command = [python, PEERS / f"{script}.py", *map(str, arguments)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("again\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("{"):
                return float(json.loads(line)["seconds"])
        raise RuntimeError(f"{self._process.args} ended with {self._process.wait()}")

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()


def python_with(package: str, options: Options) -> Path | None:
    """Return the Python that a peer is installed for, or say that there is none."""
    code = f"import importlib.util as u, sys; sys.exit(u.find_spec({package!r}) is None)"
    for python in options.peers:
        if subprocess.run([python, "-c", code], check=False).returncode == 0:
            return python
    print(f"left out: no Python of --peers has {package}", flush=True)
    return None

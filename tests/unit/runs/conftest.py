"""A small workflow of Snakemake that writes the log of its runs as the real one does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

SNAKEFILE = """
import fcntl, json, os
from pathlib import Path
from gridwell.runs.log import RunLog
from gridwell.runs.plan import planned
from gridwell.runs.words import failures_in_words
from snakemake.logging import logger

if workflow.is_main_process:
    Path(".snakemake").mkdir(exist_ok=True)
    lock = open(".snakemake/gridwell.run.lock", "a+")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    lock.truncate(0)
    lock.write(json.dumps({"host": os.uname().nodename, "pid": os.getpid()}))
    lock.flush()
run_log = RunLog()

onstart:
    run_log.open(Path.cwd(), planned(workflow))
    logger.addHandler(run_log)
onsuccess:
    run_log.end(success=True)
onerror:
    run_log.end(success=False)
    print(failures_in_words(run_log.run, Path.cwd()))

SLIDES = ["S01", "S02"]

rule all:
    input: expand("work/{slide}.report", slide=SLIDES)

# What a slide's file says is what its `make` does.
rule make:
    input: "{slide}.sh"
    output: "work/{slide}.made"
    log: "logs/make/{slide}.log"
    threads: 1
    resources: mem_mb=100, runtime=5
    shell: "(touch work/{wildcards.slide}.tried; . ./{input}; touch {output}) > {log} 2>&1"

rule report:
    input: "work/{slide}.made"
    output: "work/{slide}.report"
    log: "logs/report/{slide}.log"
    shell: "touch {output}"
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The toy's study, whose two slides succeed."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    for slide in ("S01", "S02"):
        (tmp_path / f"{slide}.sh").write_text("true\n")
    return tmp_path


@pytest.fixture
def start(study: Path, repository: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the toy on its study, in a process group of its own, which ends with the test."""
    started = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        command = [Path(sys.executable).with_name("snakemake"), "--cores", "2", "--keep-going"]
        process = subprocess.Popen(
            [*command, "--latency-wait", "1", "--rerun-incomplete", "--nolock", *arguments],
            cwd=study,
            env=os.environ | {"PYTHONPATH": str(repository / "scripts")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # Whoever runs the tests in the background has them ignore Ctrl-C.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
        )
        started.append(process)
        return process

    yield run
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

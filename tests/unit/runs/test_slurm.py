"""Slurm is asked once for all jobs, and does without an answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from gridwell.runs import watch
from gridwell.runs.slurm import SlurmState, states_of


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Make programs that print what they are told, and note how they were called."""

    def make(**programs: str) -> Path:
        for name, body in programs.items():
            program = tmp_path / name
            program.write_text(f'#!/bin/sh\necho "$0 $*" >> {tmp_path}/calls\n{body}\n')
            program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        return tmp_path / "calls"

    monkeypatch.setenv("PATH", "/nowhere")
    return make


def test_those_that_left_the_queue_are_looked_up(slurm):
    calls = slurm(
        squeue="echo '12|PENDING|Resources'; echo '13|RUNNING|None'",
        sacct="echo '14|CANCELLED by 1000'; echo '15|PREEMPTED'",
    )
    assert states_of(["12", "13", "14", "15", "16"]) == {
        "12": SlurmState("PENDING", "Resources"),
        "13": SlurmState("RUNNING"),
        "14": SlurmState("CANCELLED"),
        "15": SlurmState("PREEMPTED"),
    }
    squeue, sacct = calls.read_text().splitlines()
    assert "12,13,14,15,16" in squeue
    assert "14,15,16" in sacct
    assert "12" not in sacct.split("--jobs")[1]


def test_none_is_asked_about_no_job(slurm):
    calls = slurm(squeue="true", sacct="true")
    assert states_of([]) == {}
    assert not calls.exists()


def test_no_slurm_or_one_that_refuses_is_no_answer(slurm):
    assert states_of(["12"]) == {}
    slurm(squeue="exit 1", sacct="exit 1")
    assert states_of(["12"]) == {}


def test_one_that_hangs_is_not_waited_for(slurm, monkeypatch):
    monkeypatch.setattr("gridwell.runs.slurm._PATIENCE", 0.2)
    slurm(squeue="exec sleep 60", sacct="echo '12|RUNNING'")
    assert states_of(["12"]) == {"12": SlurmState("RUNNING")}


def test_watching_asks_seldom(slurm):
    calls = slurm(squeue="echo '12|RUNNING|None'")
    ask = watch._AskedSeldom()
    for _ in range(5):
        assert ask(["12"])["12"].state == "RUNNING"
    assert len(calls.read_text().splitlines()) == 1


def test_a_picture_fits_the_terminal(monkeypatch):
    monkeypatch.setattr(watch.shutil, "get_terminal_size", lambda: (10, 5))
    drawn = watch._drawn("\n".join(["long line, too long"] * 9), last=False)
    lines = drawn.removeprefix("\033[H").removesuffix("\033[J").split("\n")
    assert lines[0] == "long line\033[K"
    assert lines[3].startswith("… 6 lines more")
    assert len(lines) == 5  # the cursor stands in the last, empty one
    whole = watch._drawn("\n".join(["long line, too long"] * 9), last=True)
    assert whole.count("too long") == 9

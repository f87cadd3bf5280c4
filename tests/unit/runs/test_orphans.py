"""Jobs that a dead run left, where there is no Slurm and where it does not answer."""

from __future__ import annotations

import stat

import pytest
from gridwell.config.errors import InputError
from gridwell.runs.orphans import SLURM_LOGS, cancel_orphans


@pytest.fixture
def no_answer(tmp_path, monkeypatch):
    """A squeue that ends as Slurm's does when its controller is down."""
    squeue = tmp_path / "bin/squeue"
    squeue.parent.mkdir()
    squeue.write_text("#!/bin/sh\nexit 1\n")
    squeue.chmod(squeue.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(squeue.parent))


def test_without_slurm_there_are_none(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / SLURM_LOGS).mkdir(parents=True)
    assert cancel_orphans(tmp_path) == []


def test_no_answer_is_no_reason_to_begin_beside_them(tmp_path, no_answer):
    (tmp_path / SLURM_LOGS).mkdir(parents=True)
    with pytest.raises(InputError, match="Slurm does not answer"):
        cancel_orphans(tmp_path)


def test_a_study_that_never_ran_there_begins(tmp_path, no_answer):
    assert cancel_orphans(tmp_path) == []

"""How far a job is: heard by whoever listens, written seldom, gone when the job is."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from gridwell.runs import reporter
from gridwell.runs.progress import begin, duration, heard_by, in_words, step
from gridwell.runs.reporter import Reporter, progress_file
from gridwell.runs.status import Progress


def test_nobody_needs_to_listen():
    begin(3, "spots")
    step()


def test_the_log_and_a_file_tell_how_far_it_is(tmp_path, monkeypatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(reporter.time, "monotonic", lambda: clock.now)
    log = tmp_path / "S01.nuclei.log"
    with log.open("w") as file, Reporter(log, file) as listener, heard_by(listener):
        step(5)  # before it began: nothing
        begin(672, "spots")
        written = Progress.model_validate_json(progress_file(log).read_text())
        assert (written.done, written.total, written.unit) == (0, 672, "spots")
        for _ in range(64):
            clock.now += 0.5
            step(2)
        seen = json.loads((tmp_path / "S01.nuclei.progress").read_text())
        assert seen["done"] >= 124
        step(1000)
    assert not list(tmp_path.glob("*.progress*"))
    lines = log.read_text().splitlines()
    assert lines[0] == "40 of 672 spots, 5 %, 2 min left"
    assert len(lines) == 3


@pytest.mark.parametrize("left_before", [True, False])
def test_the_file_goes_when_the_job_fails_and_when_another_begins(tmp_path, left_before):
    log = tmp_path / "a.log"
    if left_before:
        progress_file(log).write_text("{}")
    with pytest.raises(ZeroDivisionError), log.open("w") as file, Reporter(log, file) as listener:
        assert not progress_file(log).exists()
        with heard_by(listener):
            begin(2, "spots")
            raise ZeroDivisionError
    assert not progress_file(log).exists()


def test_a_disk_that_is_away_is_no_failure(tmp_path):
    log = tmp_path / "a.log"
    away = tmp_path / "away/a.log"
    with log.open("w") as file, Reporter(away, file) as listener, heard_by(listener):
        begin(2, "spots")
        step()


def test_amounts_and_times_in_words():
    assert in_words(0, 4, "bands of rows", None) == "0 of 4 bands of rows, 0 %"
    assert in_words(1_200_000_000, 3_700_000_000, "bytes", 7_500) == (
        "1.2 of 3.7 GB, 32 %, 2 h 05 min left"
    )
    assert in_words(671, 672, "spots", 0) == "671 of 672 spots, 99 %, 0 s left"
    assert in_words(0, 0, "spots", None).endswith("100 %")
    assert duration(3 * 86400 + 7200) == "3 d 2 h"


def test_time_left_shrinks_between_two_steps():
    start = datetime(2026, 7, 14, tzinfo=UTC)
    after = start + timedelta(seconds=60)
    progress = Progress(done=20, total=80, unit="spots", started=start, time=after)
    assert progress.left(after) == 180
    assert progress.left(after + timedelta(seconds=30)) == 150
    assert progress.left(after + timedelta(hours=1)) == 0
    nothing = progress.model_copy(update={"done": 0})
    assert nothing.left(after) is None

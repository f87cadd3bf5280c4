"""The log is read whatever a kill or a disk did to it."""

from __future__ import annotations

import json
import logging

import pytest
from gridwell.runs.log import RunLog
from gridwell.runs.records import (
    LOGS,
    JobFailed,
    JobFinished,
    JobPlanned,
    JobRetried,
    JobStarted,
    JobSubmitted,
    RunEnded,
    RunStarted,
    newest_log,
    read_records,
)
from gridwell.runs.run import Run
from gridwell.runs.status import as_json, status_of
from gridwell.runs.words import status_in_words
from hypothesis import given
from hypothesis import strategies as st

RECORDS = [
    RunStarted(host="login1", pid=7, command="snakemake", executor="slurm"),
    JobPlanned(job=1, rule="tile", wildcards={"slide": "S01"}, log="logs/tile/S01.log"),
    JobPlanned(job=2, rule="fuse", wildcards={"slide": "S01"}, log="logs/fuse/S01.log", after=[1]),
    JobStarted(job=1, attempt=1, resources={"mem_mb": 600}),
    JobSubmitted(job=1, slurm_id="19", slurm_log="/x/19.log"),
    JobFailed(job=1, message="SLURM status is: 'TIMEOUT'"),
    JobRetried(job=1),
    JobStarted(job=1, attempt=2),
    JobFinished(job=1),
    RunEnded(outcome="stopped"),
]
LINES = [record.model_dump_json().encode() + b"\n" for record in RECORDS]
NAMES = ["job", "event", "time", "rule", "wildcards", "log", "after", "attempt", "outcome"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(), inner, max_size=5)
    ),
)
GARBAGE = st.binary() | JSON.map(lambda value: json.dumps(value).encode() + b"\n")


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"".join(LINES))
    assert list(read_records(path)) == RECORDS


@given(cut=st.integers(0, sum(map(len, LINES))), garbage=st.lists(GARBAGE), at=st.integers(0, 10))
def test_torn_and_garbled_lines_are_left_out(tmp_path_factory, cut, garbage, at):
    study = tmp_path_factory.mktemp("study")
    (study / LOGS).mkdir(parents=True)
    path = study / LOGS / "1.jsonl"
    whole = b"".join(LINES)
    path.write_bytes(whole[:cut])
    read = list(read_records(path))
    # All lines but the torn one; the last is whole without its line end, too.
    assert read == RECORDS[: whole[: cut + 1].count(b"\n")]

    mixed = [*LINES[:at], *(b"\n" + line + b"\n" for line in garbage), *LINES[at:]]
    path.write_bytes(b"".join(mixed))
    status = status_of(study, lambda _: {})
    assert json.loads(json.dumps(as_json(status)))["run"]["state"]
    assert status_in_words(status)
    assert [record for record in read_records(path) if record in RECORDS] == RECORDS


def test_a_log_without_its_first_lines_is_told_all_the_same(tmp_path):
    (tmp_path / LOGS).mkdir(parents=True)
    (tmp_path / LOGS / "1.jsonl").write_bytes(b"".join(LINES[1:-1]))
    status = status_of(tmp_path)
    assert status.state == "killed"
    assert status.stages() == {"tile": {"done": 1}, "fuse": {"waiting": 1}}


def test_what_waits_for_a_failed_job_is_held_up_whatever_the_order():
    plans = [
        JobPlanned(job=job, rule="r", log="l", after=after)
        for job, after in ((3, [2]), (2, [1]), (1, []), (4, []), (5, [4]))
    ]
    run = Run.of([*plans, JobStarted(job=1, attempt=1), JobFailed(job=1)])
    assert run.held_up() == {2, 3}
    run.take(JobRetried(job=1))
    assert run.held_up() == set()


@pytest.mark.parametrize("facts", [{}, {"event": "job_info"}, {"event": "job_error", "jobid": "x"}])
def test_no_record_of_the_logger_raises(tmp_path, facts, capsys):
    log = RunLog()
    log.open(tmp_path, RECORDS[:2])
    log.handle(logging.makeLogRecord({"msg": "Trying to restart job 99.", **facts}))
    log.close()
    read = list(read_records(newest_log(tmp_path)))
    assert read[:-1] == RECORDS[:2]
    assert read[-1].outcome == "failure"


def test_few_logs_are_kept(tmp_path):
    for _ in range(25):
        log = RunLog()
        log.open(tmp_path, RECORDS[:1])
        log.close()
    assert len(list((tmp_path / LOGS).iterdir())) == 20


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"done": -1}', '{"done": 1, "total": 2, "unit": "spots"}', "\udcff"],
)
def test_a_garbled_progress_file_is_no_progress(tmp_path, text):
    (tmp_path / LOGS).mkdir(parents=True)
    (tmp_path / "logs/tile").mkdir()
    (tmp_path / LOGS / "1.jsonl").write_bytes(b"".join(LINES[:5]))
    (tmp_path / "logs/tile/S01.progress").write_bytes(text.encode(errors="surrogateescape"))
    (one, _) = status_of(tmp_path, lambda _: {}).jobs
    assert (one.state, one.progress) == ("running", None)

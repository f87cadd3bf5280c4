"""Runs of a real, small workflow: what their logs hold and what is told of them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from gridwell.cli import main
from gridwell.runs.records import newest_log, read_records
from gridwell.runs.run import Run
from gridwell.runs.slurm import SlurmState
from gridwell.runs.status import Status, status_of
from gridwell.runs.words import status_in_words

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

FOR_LONG = "while [ ! -e go ]; do sleep 0.1; done\n"


def wait_for(study: Path, wanted: Callable[[Status], bool]) -> Status:
    for _ in range(600):
        if newest_log(study) and wanted(status := status_of(study)):
            return status
        time.sleep(0.05)
    raise AssertionError("the run did not come so far")


def events(study: Path) -> Counter[str]:
    return Counter(record.event for record in read_records(newest_log(study)))


def test_failure_retry_and_missing_output(study, start, capsys):
    (study / "S01.sh").write_text("[ -e once ] || { touch once; echo out of luck; exit 3; }")
    (study / "S02.sh").write_text("echo first line; echo image is damaged; exit 3")
    said, _ = start("--retries", "1").communicate(timeout=60)

    assert "Failed jobs; everything that does not depend on them was finished:" in said
    assert "make S02, 2 attempts: image is damaged\n    log: logs/make/S02.log" in said
    assert "1 more needs their results" in said
    seen = events(study)
    assert (seen["job_planned"], seen["job_started"], seen["job_retried"]) == (4, 5, 2)
    assert (seen["job_failed"], seen["job_finished"], seen["run_ended"]) == (3, 2, 1)

    assert main(["status", str(study), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["run"]["state"] == "failed"
    assert told["run"]["host"] == socket.gethostname()
    assert told["stages"] == {"make": {"done": 1, "failed": 1}, "report": {"done": 1, "held up": 1}}
    assert told["slides"]["S02"] == {"failed": 1, "held up": 1}
    (failed,) = [job for job in told["jobs"] if job["state"] == "failed"]
    assert (failed["slide"], failed["attempt"], failed["attempts"]) == ("S02", 2, 2)
    assert (failed["reason"], failed["log"]) == ("image is damaged", "logs/make/S02.log")

    assert main(["status", str(study)]) == 1
    assert "ended with failures" in capsys.readouterr().out

    # The same again, mended: of S01 nothing is left to do.
    (study / "S02.sh").write_text("exit 0")  # and no output
    said, _ = start().communicate(timeout=60)
    status = status_of(study)
    assert status.stages()["make"] == {"done": 1, "failed": 1}
    assert "output files are missing" in status_in_words(status)
    assert events(study)["job_kept"] == 2
    (study / "S02.sh").write_text("true")
    start().communicate(timeout=60)
    assert main(["status", str(study)]) == 0
    assert "finished after" in capsys.readouterr().out


def test_killed_while_running_and_started_again(study, start, capsys):
    (study / "S01.sh").write_text(FOR_LONG)
    process = start()
    status = wait_for(study, lambda status: status.stages()["report"]["done"] == 1)
    assert (status.state, status.alive, status.well) == ("running", True, True)
    assert status.slides() == {"S01": {"running": 1, "waiting": 1}, "S02": {"done": 2}}
    (running,) = status.having("running")
    assert (running.job.name, running.job.attempt) == ("make S01", 1)
    assert main(["status", str(study)]) == 0

    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert main(["status", str(study)]) == 1
    said = capsys.readouterr().out
    assert "was killed; the same command goes on" in said
    assert re.search(r"^make S01 +cut off$", said, re.MULTILINE)

    process = start()
    wait_for(study, lambda status: status.state == "running" and status.having("running"))
    (study / "go").touch()
    process.communicate(timeout=60)
    status = status_of(study)
    assert (status.state, status.well) == ("finished", True)
    assert status.stages() == {"make": {"done": 2}, "report": {"done": 2}}


def test_stopped_by_a_signal(study, start):
    (study / "S01.sh").write_text(FOR_LONG)
    process = start()
    wait_for(study, lambda status: status.having("running"))
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
    process.communicate(timeout=60)
    status = status_of(study)
    assert (status.state, status.well) == ("stopped", False)


def test_watch_ends_with_the_run(study, start, capsys):
    (study / "S01.sh").write_text("sleep 1")
    process = start()
    wait_for(study, lambda status: status.having("running"))
    assert main(["status", str(study), "--watch", "0.2"]) == 0
    process.communicate(timeout=60)
    pictures = capsys.readouterr().out.split("\n\n\n")
    assert "has been running" in pictures[0]


def test_a_full_disk_stops_no_run(study, start):
    (study / "logs").mkdir()
    (study / "logs/runs").symlink_to("/dev/full")  # no folder, and never will be
    (study / "S02.sh").write_text("echo image is damaged; exit 3")
    said, _ = start().communicate(timeout=60)
    assert said.count("The log of the run cannot be written") == 1
    assert "make S02: image is damaged" in said
    assert (study / "work/S01.report").exists()


def test_dry_runs_leave_no_log(study, start):
    start("--dry-run").communicate(timeout=60)
    assert newest_log(study) is None


def test_jobs_of_slurm_are_told_with_its_words(study, start):
    (study / "S01.sh").write_text(FOR_LONG)
    (study / "S02.sh").write_text(FOR_LONG)
    process = start()
    status = wait_for(study, lambda status: len(status.having("running")) == 2)
    numbers = [one.job.plan.job for one in status.having("running")]
    with newest_log(study).open("a") as file:
        for number, slurm_id in zip(numbers, ("71", "72"), strict=True):
            record = {"event": "job_submitted", "time": "2026-07-14T10:11:12Z", "job": number}
            file.write(json.dumps(record | {"slurm_id": slurm_id, "slurm_log": "s.log"}) + "\n")
    asked = []

    def slurm(ids):
        asked.append(ids)
        return {"71": SlurmState("PENDING", "Resources"), "72": SlurmState("PREEMPTED")}

    status = status_of(study, slurm)
    said = status_in_words(status)
    assert asked == [["71", "72"]]
    assert status.stages()["make"] == {"queued": 1, "running": 1}
    assert "Slurm job 71 PENDING (Resources)" in said
    assert "Slurm job 72 PREEMPTED, which Snakemake has not noticed yet" in said
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    alive = {"71": SlurmState("RUNNING"), "72": SlurmState("PREEMPTED")}
    said = status_in_words(status_of(study, lambda _: alive))
    assert "Slurm still has job 71 of this run, which is over" in said


def test_what_slurm_said_of_a_failure_is_told(study):
    study.joinpath("logs/make").mkdir(parents=True)
    (study / "logs/make/S01.log").write_text("128 of 672 spots, 19 %, 2 min left\n")
    plan = {"event": "job_planned", "job": 1, "rule": "make", "wildcards": {"slide": "S01"}}
    message = "SLURM-job '19' failed, SLURM status is: 'TIMEOUT'. Reason: Unknown."
    log = str(study / "slurm/19.log")
    lines = [
        plan | {"log": "logs/make/S01.log"},
        {"event": "job_started", "job": 1, "attempt": 3},
        {"event": "job_submitted", "job": 1, "slurm_id": "19", "slurm_log": log},
        {"event": "job_failed", "job": 1, "message": message},
        {"event": "run_ended", "outcome": "failure"},
    ]
    folder = study / "logs/runs"
    folder.mkdir()
    (folder / "1.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    said = status_in_words(status_of(study))
    assert "make S01, 3 attempts: 128 of 672 spots" in said
    assert "Slurm job 19: TIMEOUT, log: slurm/19.log" in said
    assert Run.of(read_records(folder / "1.jsonl")).failed[0].slurm_state == "TIMEOUT"


def test_no_run_yet_is_one_message(tmp_path, capsys):
    assert main(["status", str(tmp_path)]) == 1
    assert "No run has begun yet" in capsys.readouterr().err

"""What `gridwell status` says of a real run, while it is at work and afterwards."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path

import pytest
from gridwell.cli import main
from gridwell.runs.records import newest_log

from tests.workflow.conftest import environment
from tests.workflow.test_run import add_slide, damage, slide_of

pytestmark = [pytest.mark.workflow, pytest.mark.slow, pytest.mark.xdist_group("workflow")]


def test_status_during_and_after_a_run_with_a_bad_slide(
    fresh_study, snakemake_command, tmp_path, capsys
):
    good = slide_of(fresh_study)
    image = next((fresh_study / "landing" / good).glob("*brightfield*"))
    add_slide(fresh_study, "bad", damage(image, "corrupt"))
    wanted = [f"work/{good}/spots.zarr", "work/bad/slide.zarr"]
    process = subprocess.Popen(
        snakemake_command(fresh_study, *wanted),
        env=environment(tmp_path / "home"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    def told() -> dict:
        main(["status", str(fresh_study), "--json"])
        return json.loads(capsys.readouterr().out)

    counted: dict[str, dict] = {}
    while process.poll() is None:
        if newest_log(fresh_study):
            seen = told()
            for job in seen["jobs"]:
                if job["progress"]:
                    assert job["state"] == "running"
                    counted[job["stage"]] = job["progress"]
        time.sleep(0.1)
    said = process.stdout.read()

    assert seen["run"]["executor"] == "local"
    # Twelve spots in four channels.
    assert (counted["crop_spots"]["unit"], counted["crop_spots"]["total"]) == ("crops", 48)
    assert re.search(r"^  tile bad: \S+broken.tif: is damaged", said, re.MULTILINE)
    assert "log: logs/tile/bad.log" in said
    assert main(["status", str(fresh_study)]) == 1
    words = capsys.readouterr().out
    assert "ended with failures" in words
    assert "broken.tif" in words
    after = told()
    assert after["stages"]["crop_spots"] == {"done": 1}
    assert after["slides"]["bad"] == {"done": 2, "failed": 1}
    assert not list(Path(fresh_study, "logs").rglob("*.progress*"))

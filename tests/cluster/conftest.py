"""A real Slurm cluster on this machine, and runs of the workflow on it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.slurm import Cluster, Running, slurm
from tests.workflow.conftest import SNAKEMAKE, environment

HERE = Path(__file__).parent
STATE = Path("/var/tmp/gridwell-slurm")  # noqa: S108 - sockets want a short path
Watch = Callable[[Running], None]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster of GRIDWELL_SLURM, or one that is started here and stopped in the end."""
    if given := os.environ.get("GRIDWELL_SLURM"):
        yield Cluster(Path(given))
        return
    install = os.environ.get("GRIDWELL_SLURM_INSTALL")
    if install is None:
        pytest.skip("a cluster is started for `make test-cluster` alone")
    with Path(f"{STATE}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pytest.skip("Slurm cannot be started here: other tests have it running")
        try:
            # What a killed run of the tests left would be in the way.
            subprocess.run([HERE / "slurm_down.sh", STATE], check=True, capture_output=True)
            started = subprocess.run(
                [HERE / "slurm_up.sh", STATE],
                check=False,
                capture_output=True,
                text=True,
                env=os.environ | {"INSTALL": install},
            )
            if started.returncode:
                said = started.stderr.strip() or "no message"
                pytest.skip(f"Slurm cannot be started here: {said.splitlines()[-1]}")
            yield Cluster(STATE)
        finally:
            subprocess.run([HERE / "slurm_down.sh", STATE], check=True)


@pytest.fixture(scope="session")
def submit(repository, tmp_path_factory) -> Callable[..., subprocess.Popen[str]]:
    """Start the workflow with a profile; its words go into a file beside the study."""
    home = tmp_path_factory.mktemp("home")

    def submit(study: Path, profile: Path, *arguments: str) -> subprocess.Popen[str]:
        command = [
            SNAKEMAKE,
            *("--snakefile", str(repository / "Snakefile")),
            *("--directory", str(study)),
            *("--workflow-profile", str(profile)),
            # Jobs of a test take seconds: look for their end more often than the profile does.
            *("--slurm-init-seconds-before-status-checks", "3"),
            *("--seconds-between-status-checks", "3"),
            # Snakemake ends only when its last span of this limit is over.
            *("--max-jobs-per-timespan", "5/5s"),
            *arguments,
        ]
        with words_of(study).open("w") as words:
            return subprocess.Popen(
                command,
                stdout=words,
                stderr=subprocess.STDOUT,
                text=True,
                env=environment(home),
                start_new_session=True,
            )

    return submit


def words_of(study: Path) -> Path:
    """File with what the last run of a study said."""
    return study.with_name(f"{study.name}.txt")


@pytest.fixture(scope="session")
def follow(cluster) -> Callable[..., str]:
    """Show each running job of a run to `watch`, again and again until the run ends."""

    def follow(run: subprocess.Popen[str], study: Path, watch: Watch, seconds: int = 600) -> str:
        end = time.monotonic() + seconds
        try:
            while run.poll() is None:
                assert time.monotonic() < end, words_of(study).read_text()[-8000:]
                for job in cluster.queue(study, "RUNNING"):
                    watch(job)
                time.sleep(0.4)
        finally:
            if run.poll() is None:
                run.kill()
                for job in cluster.queue(study, "RUNNING,PENDING"):
                    slurm("scancel", str(job.id))
        return words_of(study).read_text()

    return follow

"""Real runs of the workflow on simulated studies."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from gridwell.config.hashes import content_hash
from gridwell.phantom.study import simulate_study
from gridwell.versions.new import new_study

SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))
IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "A. Author"), ("EMAIL", "author@example.org"))
}
Run = Callable[..., subprocess.CompletedProcess[str]]


def environment(home: Path) -> dict[str, str]:
    """An environment where git knows nothing but who commits."""
    home.mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return kept | IDENTITY | {"HOME": str(home), "GIT_CONFIG_GLOBAL": os.devnull}


@pytest.fixture(scope="session")
def snakemake_command(repository) -> Callable[..., list[str]]:
    """Build the command line that runs the workflow on a study."""
    return command_of(repository)


def command_of(clone: Path) -> Callable[..., list[str]]:
    """Make the function that builds the command line of a clone of gridwell."""

    def command(study: Path, *arguments: str, cores: int = 2) -> list[str]:
        return [
            SNAKEMAKE,
            *("--snakefile", str(clone / "Snakefile")),
            *("--directory", str(study)),
            *("--cores", str(cores)),
            *arguments,
        ]

    return command


@pytest.fixture(scope="session")
def run(snakemake_command, tmp_path_factory) -> Run:
    """Run the workflow on a study; returns what subprocess.run returns."""
    return runner(snakemake_command, tmp_path_factory.mktemp("home"))


def runner(command: Callable[..., list[str]], home: Path) -> Run:
    """Make the function that runs the workflow by a command line."""

    def run(study: Path, *arguments: str, cores: int = 2, check: bool = True):
        done = subprocess.run(
            command(study, *arguments, cores=cores),
            check=False,
            capture_output=True,
            text=True,
            timeout=600,
            env=environment(home),
        )
        if check:
            assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
        return done

    return run


@pytest.fixture(scope="session")
def blank_study(tmp_path_factory) -> Path:
    """A plain study of one tiny viability slide, simulated and not yet run."""
    study = tmp_path_factory.mktemp("blank") / "study"
    new_study(study, versioning=False)
    simulate_study(study, size="tiny", versioning="off")
    return study


@pytest.fixture
def fresh_study(blank_study, tmp_path) -> Path:
    """A copy of the blank study of its own."""
    return Path(shutil.copytree(blank_study, tmp_path / "study"))


@pytest.fixture(scope="session")
def finished_study(blank_study, tmp_path_factory, run) -> Path:
    """The tiny study after an undisturbed run; tests must not change it."""
    study = tmp_path_factory.mktemp("finished") / "study"
    shutil.copytree(blank_study, study)
    run(study)
    return study


def results_hashes(study: Path) -> dict[str, str]:
    """Hash of every file of raw/ and results/."""
    return {
        str(path.relative_to(study)): content_hash(path)
        for folder in ("raw", "results")
        for path in sorted((study / folder).rglob("*"))
        if path.is_file() and path.name != ".snakemake_timestamp"
    }

"""The study as a DataLad dataset: made once, saved by one committer at a time.

Dangers that this module exists for: git-annex must be on PATH and not only in the
environment; parallel saves lose records; a missing git identity makes git-annex commit as
whoever is logged in.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridwell.config.errors import InputError, Problem
from gridwell.config.files import write_json
from gridwell.images.description import read_slide_json

if TYPE_CHECKING:
    from gridwell.config.study import Study

ATTRIBUTES = """\
* annex.backend=SHA256E
* annex.largefiles=nothing
**/*.zarr/c/** annex.largefiles=anything
**/*.zarr/**/c/** annex.largefiles=anything
**/*.parquet annex.largefiles=(largerthan=1mb)
**/*.png annex.largefiles=(largerthan=1mb)
**/*.html annex.largefiles=(largerthan=10mb)
"""
RAW_ATTRIBUTES = """\
* annex.backend=SHA256E
* annex.largefiles=anything
*.json annex.largefiles=nothing
.git* annex.largefiles=nothing
"""
IGNORE = """\
.snakemake/
.snakemake_timestamp
*.part
work/
logs/
benchmarks/
landing/
report.zip
truth/
"""


def prepare_environment() -> None:
    """Make git-annex reachable and name a committer where git knows none.

    Raises
    ------
    InputError
        If git or git-annex cannot be found.
    """
    here = str(Path(sys.executable).parent)
    if here not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = here + os.pathsep + os.environ.get("PATH", os.defpath)
    for program in ("git", "git-annex"):
        if shutil.which(program) is None:
            raise InputError(
                Problem(
                    file="config/config.yaml",
                    column="versioning",
                    value="datalad",
                    reason=f"{program} is not on PATH",
                    remedy=f"Install {program}, or set versioning: off for a plain folder",
                )
            )
    if not _git_says("config", "user.email"):
        for who in ("AUTHOR", "COMMITTER"):
            os.environ.setdefault(f"GIT_{who}_NAME", "gridwell")
            os.environ.setdefault(f"GIT_{who}_EMAIL", "gridwell@localhost")


def _git_says(*arguments: str, cwd: Path | None = None) -> str:
    done = subprocess.run(  # noqa: S603
        ["git", *arguments],  # noqa: S607
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else ""


@contextmanager
def committing(study: Path) -> Iterator[None]:
    """Hold the study's only commit lock; a second committer waits. Freed even by a kill."""
    lock = study / ".snakemake" / "gridwell.commit.lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_dataset(path: Path) -> bool:
    """Say whether `path` is the root of a DataLad dataset."""
    return (path / ".datalad").is_dir() and (path / ".git").exists()


def create_dataset(study: Path) -> None:
    """Turn an existing folder into a study: superdataset, raw/ as a subdataset.

    Files that stand there already are saved with it, those of raw/ in the subdataset.
    """
    prepare_environment()
    import datalad.api as datalad

    with _quiet_datalad():
        (study / ".gitignore").write_text(IGNORE)
        datalad.create(path=str(study), force=True, result_renderer="disabled")
        (study / ".gitattributes").write_text(ATTRIBUTES)
        raw = study / "raw"
        datalad.create(path=str(raw), dataset=str(study), force=True, result_renderer="disabled")
        (raw / ".gitattributes").write_text(RAW_ATTRIBUTES)
    save(study, ["."], "study: new")


def pin_workflow(study: Path, repository: Path) -> bool:
    """Add `repository` as the study's subdataset workflow/, pinned at its present commit.

    Returns False, and does nothing, where the repository is no git clone or has no commit.
    """
    if not _git_says("rev-parse", "HEAD", cwd=repository):
        return False
    prepare_environment()
    import datalad.api as datalad

    with _quiet_datalad(), committing(study):
        datalad.clone(
            source=str(repository),
            path=str(study / "workflow"),
            dataset=str(study),
            result_renderer="disabled",
        )
    return True


def save(study: Path, paths: Sequence[str], message: str, *, within: str = ".") -> None:
    """Save `paths` in the study's dataset, or in its subdataset `within`; all relative to it."""
    prepare_environment()
    import datalad.api as datalad

    dataset = study / within
    with _quiet_datalad(), committing(study):
        datalad.save(
            path=[str(dataset / path) for path in paths],
            dataset=str(dataset),
            message=message,
            recursive=True,
            result_renderer="disabled",
        )


@contextmanager
def _quiet_datalad() -> Iterator[None]:
    """Keep DataLad's own progress off the terminal; its errors are raised."""
    import logging

    logger = logging.getLogger("datalad")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def version_raw(study: Path, slide: str, *, versioning: str, out: Path) -> None:
    """Save raw/<slide> in the raw subdataset and write which version that is.

    Parameters
    ----------
    study
        Root of the study.
    slide
        Name of the slide; its files and slide.json are in raw/<slide>.
    versioning
        ``datalad`` or ``off``; with ``off`` only names, sizes and hashes are written.
    out
        version.json: dataset id and commit (null without DataLad), and for each file its
        name, annex key, sha256 and size.

    Raises
    ------
    InputError
        If the study is no dataset though versioning asks for one, or DataLad cannot save.
    """
    folder = study / "raw" / slide
    description = read_slide_json(folder)
    commit = dataset = None
    if versioning == "datalad":
        if not is_dataset(study / "raw"):
            raise InputError(not_a_dataset())
        save(study, [slide], f"raw: {slide}", within="raw")
        commit = _git_says("log", "-1", "--format=%H", "--", slide, cwd=study / "raw")
        dataset = _git_says(
            "config", "-f", ".datalad/config", "datalad.dataset.id", cwd=study / "raw"
        )
    files = [
        {
            "name": file["name"],
            "key": _annex_key(folder / file["name"]),
            "sha256": file["sha256"],
            "size": file["size"],
        }
        for file in description["files"]
    ]
    write_json(
        out,
        {"slide": slide, "dataset": dataset or None, "commit": commit or None, "files": files},
    )


def _annex_key(path: Path) -> str | None:
    """Key of an annexed file: the name of what its link points to; None for a plain file."""
    return path.readlink().name if path.is_symlink() else None


def check_dataset(study: Study) -> list[Problem]:
    """Check before a run that the study is a dataset where its configuration wants one."""
    if study.config.versioning == "datalad" and not is_dataset(study.root / "raw"):
        return [not_a_dataset()]
    return []


def not_a_dataset() -> Problem:
    """Tell that versioning is on in a folder that is no dataset."""
    return Problem(
        file="config/config.yaml",
        column="versioning",
        value="datalad",
        reason="the study is not a DataLad dataset with raw/ as its subdataset",
        remedy="Turn the folder into one with: gridwell new STUDY (files that are there are kept), "
        "or set versioning: off",
    )


def record(study: Path, *, message: str, command: str, facts: Mapping[str, Any]) -> None:
    """Commit config/, results/ and the pointer to raw/ with a record that can be rerun."""
    prepare_environment()
    from datalad.api import Dataset
    from datalad.core.local.run import run_command

    # Labels that people corrected, and networks that learned from them, where there are some.
    corrected, networks = (
        [name] if (study / name).is_dir() else [] for name in ("annotations", "models")
    )
    save(
        study,
        ["config", "raw", ".gitignore", ".gitattributes", *corrected],
        "study: configuration and raw data",
    )
    with _quiet_datalad(), committing(study):
        steps = run_command(
            command,
            dataset=Dataset(str(study)),  # paths count from its root, not from where we are
            inputs=["config", "raw", "workflow", *corrected],
            outputs=["results", *networks],
            explicit=True,
            inject=True,
            message=message,
            extra_info={"gridwell": dict(facts)},
        )
        for step in steps:  # a generator: nothing is saved before it is drained
            if step["status"] not in {"ok", "notneeded"}:
                raise RuntimeError(f"DataLad could not save {step['path']}: {step['message']}")

"""What would break a study's history, found before the first job and told with its remedy.

Each of these was seen to lose or to forge something: git-annex missing on PATH, commits by
nobody, branches on which files that are elsewhere look like files that are here, folders of
another user, file systems without links or locks.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gridwell.config.errors import InputError, Problem
from gridwell.versions.git import git, git_says

if TYPE_CHECKING:
    from gridwell.config.study import Study

_CONFIG = "config/config.yaml"
# More than these are counted, not named.
_NAMED = 5


def prepare_environment() -> None:
    """Make the git-annex that came with gridwell reachable, whatever PATH says.

    Raises
    ------
    InputError
        If git or git-annex cannot be found.
    """
    here = str(Path(sys.executable).parent)
    if here not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = here + os.pathsep + os.environ.get("PATH", os.defpath)
    missing = [program for program in ("git", "git-annex") if shutil.which(program) is None]
    if missing:
        raise InputError(_not_installed(program) for program in missing)


def _not_installed(program: str) -> Problem:
    how = "pip install git-annex" if program == "git-annex" else "your system's packages"
    return Problem(
        _CONFIG,
        f"{program} is not on PATH",
        f"Install {program} ({how}), or set versioning: off for a plain folder",
        column="versioning",
        value="datalad",
    )


def not_a_dataset() -> Problem:
    """Tell that versioning is on in a folder that is no dataset."""
    return Problem(
        _CONFIG,
        "the study is not a DataLad dataset with raw/ as its subdataset",
        "Turn the folder into one with: gridwell new STUDY (files that are there are kept), "
        "or set versioning: off",
        column="versioning",
        value="datalad",
    )


def is_dataset(path: Path) -> bool:
    """Say whether `path` is the root of a DataLad dataset."""
    return (path / ".datalad").is_dir() and (path / ".git").exists()


def check_dataset(study: Study, repository: Path) -> list[Problem]:
    """Check before a run that a study's history can be written, where its configuration wants one.

    Parameters
    ----------
    study
        The study.
    repository
        Where the workflow runs from: its commit is what the record names.
    """
    if study.config.versioning != "datalad":
        return []
    if not is_dataset(study.root) or not is_dataset(study.root / "raw"):
        return [not_a_dataset()]
    try:
        prepare_environment()
    except InputError as error:
        return list(error.problems)
    return [
        *check_identity(study.root),
        *check_repositories(study.root),
        *_check_clone(repository),
        *check_fetched(study.root),
    ]


def check_identity(folder: Path) -> list[Problem]:
    """Check that git knows who commits; it would else be whoever is logged in, or nobody."""
    known = git_says("config", "user.email", cwd=folder) and git_says(
        "config", "user.name", cwd=folder
    )
    told = all(
        os.environ.get(f"GIT_{who}_{what}")
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    )
    if known or told:
        return []
    return [
        Problem(
            "git",
            "does not know who you are, and every version of a study has an author",
            'Run: git config --global user.name "Your Name"; '
            "git config --global user.email you@example.org",
        )
    ]


def check_place(study: Path) -> None:
    """Check that a dataset can be made in a folder, or where it is to be; nothing is left there.

    Raises
    ------
    InputError
        If git or git-annex is missing, git does not know who commits, or the file system does
        not carry a dataset.
    """
    prepare_environment()
    there = next(folder for folder in (study, *study.absolute().parents) if folder.is_dir())
    if problems := [*check_identity(there), *check_file_system(there)]:
        raise InputError(problems)


def check_repositories(study: Path) -> list[Problem]:
    """Check that the study and raw/ belong to this user and hold files as links."""
    problems = []
    for folder in (study, study / "raw"):
        told = git("rev-parse", "--git-dir", cwd=folder)
        if "dubious ownership" in told.stderr:
            remedy = f"Run: git config --global --add safe.directory {folder.absolute()}"
            problems.append(Problem(str(folder), "belongs to another user", remedy))
            continue
        branch = git_says("branch", "--show-current", cwd=folder)
        if branch.startswith("adjusted/"):
            plain = branch.removeprefix("adjusted/").partition("(")[0]
            problems.append(
                Problem(
                    str(folder),
                    "is on an adjusted branch of git-annex, where files that are elsewhere look "
                    "like files that are here",
                    f"Run: git -C {folder} checkout {plain}; on a file system without links, "
                    "move the study to another one",
                    value=branch,
                )
            )
        elif git_says("config", "--bool", "annex.crippledfilesystem", cwd=folder) == "true":
            problems.append(_broken_system(folder, "git-annex found it without links or modes"))
    return problems


def _check_clone(repository: Path) -> list[Problem]:
    """Check that the code has a commit that a record can name."""
    if git_says("rev-parse", "HEAD", cwd=repository):
        return []
    return [
        Problem(
            str(repository),
            "gridwell does not run from a git clone, so that a record could not name its code",
            "Clone gridwell with git, or set versioning: off",
        )
    ]


def check_fetched(study: Path) -> list[Problem]:
    """Find results whose content is elsewhere: Snakemake cannot plan with them.

    Zarr stores are left out: what reads them looks at their pieces itself.
    """
    lost = [
        str(path.relative_to(study))
        for name in ("results", "models")
        for path in links_below(study / name)
        if not path.exists() and ".zarr/" not in path.as_posix()
    ]
    more = len(lost) - _NAMED
    return [
        Problem(
            path,
            "is known to the dataset, but its content is not here",
            f"Run in the study: datalad get {path}"
            + (f" (and {more} more such files)" if more > 0 and path == lost[0] else ""),
        )
        for path in lost[:_NAMED]
    ]


def links_below(folder: Path) -> Iterator[Path]:
    """Symbolic links in a folder and all folders in it, in a fixed order."""
    for here, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            path = Path(here, name)
            if path.is_symlink():
                yield path


def check_file_system(folder: Path) -> list[Problem]:
    """Try what git-annex needs of a file system: links, modes that hold, locks, a database."""
    trials: dict[str, Callable[[Path], bool]] = {
        "it has no symbolic links": _links,
        "it has no hard links": _hard_links,
        "files on it cannot be made read-only": _modes,
        "it has no locks": _locks,
        "databases on it break (no working locks)": _database,
    }
    try:
        with tempfile.TemporaryDirectory(prefix=".gridwell-", dir=folder) as name:
            for reason, works in trials.items():
                try:
                    fine = works(Path(name))
                except (OSError, sqlite3.Error):
                    fine = False
                if not fine:
                    return [_broken_system(folder, reason)]
    except OSError as error:
        remedy = "See to its permissions, or choose another folder"
        return [Problem(str(folder), f"cannot be written to ({error.strerror})", remedy)]
    return []


def _broken_system(folder: Path, reason: str) -> Problem:
    return Problem(
        str(folder),
        f"lies on a file system that git-annex does not work on: {reason}",
        "Make the study on a local disk or a cluster's workspace, and push it to the data server "
        "(gridwell push); or use versioning: off",
        value=file_system_of(folder),
    )


def file_system_of(folder: Path) -> str | None:
    """Kind of the file system that holds a folder, as ext4 or cifs; None where nothing tells."""
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    place = folder.absolute()
    found = {
        Path(line.split()[1].replace("\\040", " ")): line.split()[2]
        for line in lines
        if len(line.split()) > 2
    }
    inside = [mount for mount in found if place.is_relative_to(mount)]
    return found[max(inside, key=lambda mount: len(mount.parts))] if inside else None


def _links(folder: Path) -> bool:
    (folder / "link").symlink_to("nowhere")
    return (folder / "link").is_symlink()


def _hard_links(folder: Path) -> bool:
    (folder / "one").write_bytes(b"1")
    (folder / "two").hardlink_to(folder / "one")
    return (folder / "one").samefile(folder / "two")


def _modes(folder: Path) -> bool:
    file = folder / "mode"
    file.write_bytes(b"1")
    file.chmod(0o444)
    kept = stat.S_IMODE(file.stat().st_mode) == 0o444
    file.chmod(0o644)
    return kept


def _locks(folder: Path) -> bool:
    with (folder / "lock").open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return True


def _database(folder: Path) -> bool:
    database = sqlite3.connect(folder / "trial.db")
    try:
        with database:
            database.execute("create table trial (number integer)")
            database.execute("insert into trial values (1)")
        return database.execute("select number from trial").fetchone() == (1,)
    finally:
        database.close()

"""Asking git: one place that starts it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path


def git(*arguments: str | os.PathLike[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run git in a folder; the caller looks at the exit status."""
    return subprocess.run(  # noqa: S603
        ["git", *arguments],  # noqa: S607
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        errors="surrogateescape",
    )


def git_says(*arguments: str | os.PathLike[str], cwd: Path) -> str:
    """What git prints, without the line end; empty where it fails or is not there."""
    try:
        done = git(*arguments, cwd=cwd)
    except FileNotFoundError:
        return ""
    return done.stdout.rstrip("\n") if done.returncode == 0 else ""


def git_does(*arguments: str | os.PathLike[str], cwd: Path) -> str:
    """Have git do something that must succeed; return what it prints, without the line end.

    Raises
    ------
    RuntimeError
        With what git says, if it fails.
    """
    done = git(*arguments, cwd=cwd)
    if done.returncode:
        raise RuntimeError(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.rstrip("\n")


def changed_files(*paths: str | os.PathLike[str], cwd: Path) -> list[str]:
    """Files below `paths` that differ from the last commit, or are new, as git names them.

    Raises
    ------
    RuntimeError
        If git cannot tell: no answer must not pass for no change.
    """
    said = git_does("status", "--porcelain", "--", *paths, cwd=cwd)
    return [line[3:] for line in said.splitlines()]


def blob_ids(files: Sequence[Path], cwd: Path) -> list[str]:
    """What git calls the content of files, their bytes as they stand; nothing is stored.

    Names with line ends are asked for one by one: git reads a name a line.
    """
    plain = [path for path in files if "\n" not in str(path)]
    done = subprocess.run(
        ["git", "hash-object", "--no-filters", "--stdin-paths"],  # noqa: S607
        cwd=cwd,
        input="".join(f"{path.absolute()}\n" for path in plain),
        capture_output=True,
        text=True,
        check=True,
    )
    found = dict(zip(plain, done.stdout.split(), strict=True))
    return [
        found.get(path) or git_does("hash-object", "--no-filters", path.absolute(), cwd=cwd)
        for path in files
    ]

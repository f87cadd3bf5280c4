"""Naming a version of a study, so that papers can cite it."""

from __future__ import annotations

from pathlib import Path

from gridwell.config.errors import InputError, Problem
from gridwell.versions.checks import (
    check_identity,
    check_repositories,
    is_dataset,
    not_a_dataset,
    prepare_environment,
)
from gridwell.versions.git import changed_files, git, git_does, git_says
from gridwell.versions.record import RECORD, read_record


def tag_study(study: Path, name: str) -> str:
    """Tag the present version of a study and of its raw images.

    Returns
    -------
    commit
        The commit that the study's tag names.

    Raises
    ------
    InputError
        If there is no record, anything was changed since it was made, or the tag is not new.
    """
    if not is_dataset(study):
        raise InputError(not_a_dataset())
    prepare_environment()
    problems = [*check_identity(study), *check_repositories(study)]
    if not problems:
        read_record(study)
        problems = [*_unclean(study), *_taken(study, name)]
    if problems:
        raise InputError(problems)
    for part in (study, study / "raw"):
        done = git("tag", "--annotate", "--message", name, name, cwd=part)
        if done.returncode:
            raise InputError(Problem(str(part), done.stderr.strip(), "Choose another name"))
    return git_says("rev-parse", "HEAD", cwd=study)


def _unclean(study: Path) -> list[Problem]:
    """Tell what is not in the last record's version."""
    problems = [
        Problem(path, "is not in the history as it stands", "Run the workflow to its end first")
        for path in changed_files(cwd=study)
    ]
    last = git_does("log", "-1", "--format=%H", "--", str(RECORD), cwd=study)
    since = git_does("diff", "--name-only", last, "HEAD", "--", "config", "raw", cwd=study)
    return problems + [
        Problem(path, "was changed after the last run", "Run the workflow to its end first")
        for path in since.splitlines()
    ]


def _taken(study: Path, name: str) -> list[Problem]:
    if git("check-ref-format", f"refs/tags/{name}", cwd=study).returncode:
        return [Problem("command line", "is no name for a tag", "Take one as v1.0", value=name)]
    if any(git_says("tag", "--list", name, cwd=part) for part in (study, study / "raw")):
        return [Problem("command line", "is a tag already", "Choose another name", value=name)]
    return []

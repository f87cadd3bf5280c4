"""The study as a DataLad dataset: made once, saved by one committer at a time.

Dangers that this module exists for: parallel saves lose records; annexed files that are no
links; a checksum that nobody compared.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gridwell.config.errors import InputError, Problem
from gridwell.config.files import write_json
from gridwell.config.hashes import sha256
from gridwell.images.description import read_slide_json
from gridwell.versions.checks import (
    check_place,
    is_dataset,
    not_a_dataset,
    prepare_environment,
)
from gridwell.versions.git import git_does, git_says

ATTRIBUTES = """\
* annex.backend=SHA256E
* annex.largefiles=nothing
**/*.zarr/c/** annex.largefiles=anything
**/*.zarr/**/c/** annex.largefiles=anything
**/*.parquet annex.largefiles=(largerthan=1mb)
**/*.png annex.largefiles=(largerthan=1mb)
**/*.html annex.largefiles=(largerthan=10mb)
annotations/** annex.largefiles=(largerthan=1mb)
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
work
logs/
benchmarks/
landing/
report.zip
ro-crate-metadata.json
truth/
"""
STARTED_FROM = ("config", "annotations", "workflow", ".gitignore", ".gitattributes", ".gitmodules")
"""What the results of a run depend on beside the raw images; not all of it is in every study."""


@contextmanager
def committing(study: Path) -> Iterator[None]:
    """Hold the study's only commit lock; a second committer waits. Freed even by a kill."""
    lock = study / ".snakemake" / "gridwell.commit.lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def create_dataset(study: Path) -> None:
    """Turn an existing folder into a study: superdataset, raw/ as a subdataset.

    Files that stand there already are saved with it, those of raw/ in the subdataset.

    Raises
    ------
    InputError
        If git or git-annex is missing, git does not know who commits, or the file system does
        not carry a dataset. Nothing was changed then.
    """
    check_place(study)
    import datalad.api as datalad

    with quiet_datalad():
        (study / ".gitignore").write_text(IGNORE)
        datalad.create(path=str(study), force=True, result_renderer="disabled")
        (study / ".gitattributes").write_text(ATTRIBUTES)
        raw = study / "raw"
        datalad.create(path=str(raw), dataset=str(study), force=True, result_renderer="disabled")
        (raw / ".gitattributes").write_text(RAW_ATTRIBUTES)
    save(study, ["."], "study: new", recursive=True)


def pin_workflow(study: Path, repository: Path) -> None:
    """Make the study's subdataset workflow/ a clone of `repository` at its present commit.

    Where the workflow runs from there, it is pinned already. The commit is held by a branch of
    its own, so that it is never lost and every clone has it.
    """
    commit = git_says("rev-parse", "HEAD", cwd=repository)
    pinned = study / "workflow"
    if not commit:
        return
    if pinned.resolve() != repository.resolve():
        _bring_to(study, pinned, repository, commit)
    git_does("update-ref", f"refs/heads/pinned/{commit[:12]}", commit, cwd=pinned)


def _bring_to(study: Path, pinned: Path, repository: Path, commit: str) -> None:
    """Clone `repository` to `pinned`, or fetch from it, and check out the commit."""
    if not (pinned / ".git").exists():
        import datalad.api as datalad

        with quiet_datalad(), committing(study):
            datalad.clone(
                source=str(repository.resolve()),
                path=str(pinned),
                dataset=str(study),
                result_renderer="disabled",
            )
    if git_says("rev-parse", "HEAD", cwd=pinned) != commit:
        git_does("fetch", "--quiet", str(repository.resolve()), commit, cwd=pinned)
        git_does("checkout", "--quiet", "--detach", commit, cwd=pinned)
    _name_source(study, public_url(repository))


def _name_source(study: Path, url: str | None) -> None:
    """Say in .gitmodules where clones find workflow/: beside the study, or at its public URL.

    The folder that it was cloned from here is no place for others, and may lack the commit.
    """
    entry = ("config", "--file", ".gitmodules")
    git_does(*entry, "submodule.workflow.url", "./workflow", cwd=study)
    if url:
        git_does(*entry, "submodule.workflow.datalad-url", url, cwd=study)
    else:
        git_says(*entry, "--unset", "submodule.workflow.datalad-url", cwd=study)


def public_url(repository: Path) -> str | None:
    """Where others can clone `repository` from; None where it was cloned from a folder here."""
    url = git_says("config", "remote.origin.url", cwd=repository)
    if url.startswith(("https://", "http://")):
        scheme, _, rest = url.partition("://")
        host, slash, path = rest.partition("/")
        return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"  # no name, no password
    return url if url.startswith(("ssh://", "git@")) else None


def save(
    study: Path,
    paths: Sequence[str],
    message: str,
    *,
    within: str = ".",
    recursive: bool = False,
) -> None:
    """Save `paths` in the study's dataset, or in its subdataset `within`; all relative to it.

    What is changed within a subdataset is saved there only if `recursive`.

    Raises
    ------
    InputError
        If DataLad cannot save: a full disk, permissions, a lock that a killed git left.
    """
    prepare_environment()
    import datalad.api as datalad

    dataset = study / within
    remedy = (
        "See to the disk and its permissions, and run again; a lock that git names and that no "
        "running git holds is left from a killed one: remove it"
    )
    with quiet_datalad(), telling(dataset, "could not be saved", remedy), committing(study):
        datalad.save(
            path=[str(dataset / path) for path in paths],
            dataset=str(dataset),
            message=message,
            recursive=recursive,
            result_renderer="disabled",
        )


@contextmanager
def telling(folder: Path, reason: str, remedy: str) -> Iterator[None]:
    """Tell what DataLad raises where the system or git-annex could not do something."""
    from datalad.support.exceptions import CommandError, IncompleteResultsError

    try:
        yield
    except (OSError, CommandError, IncompleteResultsError) as error:
        said = " ".join((getattr(error, "stderr", "") or str(error)).split())
        raise InputError(Problem(str(folder), f"{reason}: {said}", remedy)) from error


@contextmanager
def quiet_datalad() -> Iterator[None]:
    """Keep DataLad's own words off the terminal; what it could not do is raised or returned."""
    import io
    import logging

    import datalad.api  # noqa: F401 - sets its own level when it is imported first
    from datalad.ui import ui

    logger, out = logging.getLogger("datalad"), ui.ui.out
    before = logger.level
    logger.setLevel(logging.ERROR)
    ui.ui.out = io.StringIO()
    try:
        yield
    finally:
        logger.setLevel(before)
        ui.ui.out = out


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
        If the study is no dataset though versioning asks for one, DataLad cannot save, or a
        file differs from what was read when it was brought in.
    """
    folder = study / "raw" / slide
    description = read_slide_json(folder)
    commit = dataset = None
    if versioning == "datalad":
        if not is_dataset(study / "raw"):
            raise InputError(not_a_dataset())
        save(study, [slide], f"raw: {slide}", within="raw")
        commit = git_says("log", "-1", "--format=%H", "--", slide, cwd=study / "raw")
        dataset = git_says(
            "config", "-f", ".datalad/config", "datalad.dataset.id", cwd=study / "raw"
        )
        _register_urls(folder, description["files"])
    for file in description["files"]:
        _compare(folder / file["name"], file["sha256"])
    files = [
        {
            "name": file["name"],
            "key": annex_key(folder / file["name"]),
            "sha256": file["sha256"],
            "size": file["size"],
        }
        for file in description["files"]
    ]
    write_json(
        out,
        {"slide": slide, "dataset": dataset or None, "commit": commit or None, "files": files},
    )


def _compare(path: Path, expected: str) -> None:
    """Compare a copy with what was read from its source.

    The dataset has just read an annexed copy to name it; any other is read here.
    """
    key = annex_key(path)
    found = hash_in_key(key) if key else None
    if (found or sha256(path)) != expected:
        raise InputError(
            Problem(
                str(path),
                "differs from what was read from its source when it was brought in",
                "See to the disk; then remove the file and run again",
                value=found,
            )
        )


def _register_urls(folder: Path, files: Sequence[Mapping[str, Any]]) -> None:
    """Tell the dataset which images can be had from a URL again."""
    for file in files:
        key = annex_key(folder / file["name"])
        if key and "url" in file:
            git_does("annex", "registerurl", key, file["url"], cwd=folder)


def annex_key(path: Path) -> str | None:
    """Key of an annexed file: the name of what its link points to; None for a plain file."""
    return path.readlink().name if path.is_symlink() else None


def hash_in_key(key: str) -> str | None:
    """The SHA-256 that a key of git-annex names; None for keys of another kind."""
    kind, _, rest = key.partition("-")
    return rest.partition("--")[2].partition(".")[0] if kind in ("SHA256E", "SHA256") else None


def record(study: Path, *, message: str, command: str, facts: Mapping[str, Any]) -> None:
    """Commit the pointer to raw/, then the results with a record that can be rerun."""
    prepare_environment()
    from datalad.api import Dataset
    from datalad.core.local.run import run_command

    inputs, networks = (
        [name for name in names if (study / name).exists()]
        for names in (("config", "raw", "workflow", "annotations"), ("models",))
    )
    save(study, ["raw"], "study: raw images")
    with quiet_datalad(), committing(study):
        steps = run_command(
            command,
            dataset=Dataset(str(study)),  # paths count from its root, not from where we are
            inputs=inputs,
            outputs=["results", *networks],
            explicit=True,
            inject=True,
            message=message,
            extra_info={"gridwell": dict(facts)},
        )
        for step in steps:  # a generator: nothing is saved before it is drained
            if step["status"] not in {"ok", "notneeded"}:
                raise RuntimeError(f"DataLad could not save {step['path']}: {step['message']}")

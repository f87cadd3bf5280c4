"""The data server: a RIA store that holds content, history and tags of a study, and its care.

The study, raw/ and workflow/ each have the sibling ``store``; annexed content goes to its
special remote ``store-storage``. Every version of every file is pushed, not only the present
ones, so that a study can be dropped from the machine it was made on.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gridwell.config.errors import InputError, Problem
from gridwell.versions.checks import (
    check_identity,
    check_repositories,
    is_dataset,
    not_a_dataset,
    prepare_environment,
)
from gridwell.versions.dataset import committing, quiet_datalad, telling
from gridwell.versions.git import blob_ids, git, git_does, git_says

STORE = "store"
_STORAGE = "store-storage"
# Annexed content: the study's large results, the raw images.
_ANNEXED = (".", "raw")
_BROKEN = "its history is damaged"


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a copy of a file.

    Attributes
    ----------
    path
        The file, from the study's root; of an older version its key.
    place
        ``here`` or ``store``.
    wrong
        What is wrong with it.
    mended
        What was done about it; empty where nothing could be.
    """

    path: str
    place: str
    wrong: str
    mended: str = ""


def push(study: Path, url: str | None = None, alias: str | None = None) -> str:
    """Push data, history and tags of a study to its store; make the store if need be.

    Parameters
    ----------
    study
        Root of the study.
    url
        The store: ``ria+file:///…``, ``ria+ssh://…`` or a folder. Needed the first time.
    alias
        Name of the study in the store; by default that of its folder.

    Returns
    -------
    url
        From which the study can be cloned: ``ria+…#~alias``.

    Raises
    ------
    InputError
        If the study is no dataset or not on a branch, no store is known, it is another one than
        before, or something could not be pushed.
    """
    _check_study(study)
    known = git_says("config", f"remote.{STORE}.gridwell-url", cwd=study)
    if url is None and not known:
        reason = "is pushed to no store yet"
        remedy = f"Say where: gridwell push {study} ria+file:///path/of/the/store"
        raise InputError(Problem(str(study), reason, remedy))
    given = _ria(url) if url else known
    if known and given != known:
        reason, remedy = "has another store already", f"Leave the URL out, or give {known}"
        raise InputError(Problem(str(study), reason, remedy, value=given))
    alias = git_says("config", f"remote.{STORE}.gridwell-alias", cwd=study) or alias
    alias = alias or study.resolve().name
    remedy = "See to the store's path, its permissions and the room there, and push again"
    reason = f"cannot be pushed to {given}"
    with quiet_datalad(), telling(study, reason, remedy), committing(study):
        if not known:
            _make_siblings(study, given, alias)
        for part in _ANNEXED:
            _push_part(study / part)
        _push_code(study / "workflow")
    return f"{given}#~{alias}"


def _check_study(study: Path) -> None:
    if not is_dataset(study):
        raise InputError(not_a_dataset())
    prepare_environment()
    problems = [*check_identity(study), *check_repositories(study)]
    for part in _ANNEXED:
        if not problems and not git_says("branch", "--show-current", cwd=study / part):
            reason = "is not on a branch, so that its history has no name in the store"
            remedy = f"Run: git -C {study / part} switch --create my-branch"
            problems.append(Problem(str(study / part), reason, remedy))
    if problems:
        raise InputError(problems)


def _ria(url: str) -> str:
    """Write a store as DataLad wants it, a folder too."""
    if url.startswith(("ria+file://", "ria+ssh://")):
        return url.rstrip("/")
    if "://" in url:
        reason = "is no store that can be written to"
        remedy = "Give ria+file:///folder, ria+ssh://host/folder, or a folder"
        raise InputError(Problem("command line", reason, remedy, value=url))
    return f"ria+file://{Path(url).resolve()}"


def _make_siblings(study: Path, url: str, alias: str) -> None:
    """Make the siblings in the store; that of gridwell is shared by all its studies."""
    import datalad.api as datalad

    for part in (*_ANNEXED, "workflow"):
        if not (study / part / ".git").exists():
            continue
        _checked(
            datalad.create_sibling_ria(
                url,
                name=STORE,
                dataset=str(study / part),
                alias=alias if part == "." else None,
                new_store_ok=True,
                post_update_hook=True,
                existing="reconfigure",
                result_renderer="disabled",
                on_failure="ignore",
                return_type="list",
            ),
            f"cannot be pushed to {url}",
        )
    for key, value in (("gridwell-url", url), ("gridwell-alias", alias)):
        git("config", f"remote.{STORE}.{key}", value, cwd=study)


def _push_part(part: Path) -> None:
    """Push content of all versions, branches, what git-annex knows, and tags."""
    import datalad.api as datalad

    _annex(part, "copy", "--all", "--to", _STORAGE)
    _checked(
        datalad.push(
            dataset=str(part),
            to=STORE,
            result_renderer="disabled",
            on_failure="ignore",
            return_type="list",
        ),
        "could not be pushed",
    )
    _run_git(part, "push", "--quiet", STORE, "--tags")
    left = git_does("annex", "find", "--not", "--in", _STORAGE, cwd=part).splitlines()
    if left:
        reason = f"{len(left)} files have no content here and none in the store, as {left[0]}"
        remedy = f"Run in {part}: datalad get {left[0]}, then push again"
        raise InputError(Problem(str(part), reason, remedy))


def _push_code(workflow: Path) -> None:
    """Push all commits that the study was ever pinned at."""
    if (workflow / ".git").exists():
        # Studies of other commits share this repository: the branch main is the newest push.
        references = ["refs/heads/pinned/*:refs/heads/pinned/*", "+HEAD:refs/heads/main"]
        _run_git(workflow, "push", "--quiet", STORE, *references)


def _run_git(where: Path, *arguments: str) -> None:
    done = git(*arguments, cwd=where)
    if done.returncode:
        remedy = "See to the store's path and its permissions, and push again"
        raise InputError(Problem(str(where), f"git {arguments[0]}: {done.stderr.strip()}", remedy))


def _checked(results: Sequence[dict[str, Any]], reason: str) -> None:
    """Raise what DataLad could not do."""
    failed = [r for r in results if r["status"] not in ("ok", "notneeded")]
    remedy = "See to the store's path, its permissions and the room there"
    if failed:
        raise InputError(Problem(str(r["path"]), f"{reason}: {told(r)}", remedy) for r in failed)


def told(result: dict[str, Any]) -> str:
    """What DataLad says of a result, as text."""
    message = result.get("message") or result.get("error_message") or result["status"]
    if isinstance(message, tuple | list):
        message = message[0] % tuple(message[1:])
    return " ".join(str(message).split())


def _annex(part: Path, *arguments: str) -> list[dict[str, Any]]:
    """Run git-annex in a dataset; return one record a file."""
    done = subprocess.run(  # noqa: S603
        ["git", "annex", *arguments, "--json", "--json-error-messages"],  # noqa: S607
        cwd=part,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode and not lines:
        raise InputError(
            Problem(
                str(part),
                f"git annex {arguments[0]}: {' '.join(done.stderr.split())}",
                "See to the store's path and its permissions",
            )
        )
    return [json.loads(line) for line in lines]


def fsck(study: Path) -> list[Finding]:
    """Read all content here and in the store; mend what is damaged from the other copy.

    Annexed content is compared with the checksum in its key, files of git with their commit.
    Damaged content is moved away by git-annex (``.git/annex/bad``), never lost.

    Raises
    ------
    InputError
        If the study is no dataset, or git-annex cannot work.
    """
    if not is_dataset(study):
        raise InputError(not_a_dataset())
    prepare_environment()
    if problems := check_repositories(study):
        raise InputError(problems)
    history: list[Finding] = []
    for part in (*_ANNEXED, "workflow"):
        if (study / part / ".git").exists():
            history += _fsck_git(study, part)
    # git-annex needs a history that can be read to know what there is.
    broken = {one.path for one in history if one.place == "here" and one.wrong.startswith(_BROKEN)}
    content: list[Finding] = []
    for part in _ANNEXED:
        if part not in broken:
            content += _fsck_annex(study, part)
    return content + history


def _fsck_annex(study: Path, part: str) -> Iterator[Finding]:
    """Compare annexed content with its keys, first here, then in the store."""
    where = study / part
    stored = bool(git_says("config", f"remote.{STORE}.url", cwd=where))
    files = _files_of_keys(where)
    for bad in _failed(_annex(where, "fsck", "--all")):
        back = _annex(where, "get", "--key", bad["key"])
        restored = any(one["success"] for one in back)
        mended = f"restored from {_from(back)}" if restored else ""
        yield Finding(_named(part, files, bad), "here", _reason(bad), mended)
    if not stored:
        return
    folder = _folder_in_store(where)
    if folder and not folder.is_dir():
        yield Finding(part, "store", f"nothing is there: {folder} (is the server mounted?)")
        return
    for bad in _failed(_annex(where, "fsck", "--all", "--from", _STORAGE)):
        sent = _annex(where, "copy", "--key", bad["key"], "--to", _STORAGE)
        restored = any(one["success"] for one in sent)
        mended = "restored from the copy here" if restored else ""
        yield Finding(_named(part, files, bad), "store", _reason(bad), mended)


def _failed(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for one in records if not one["success"]]


def _from(records: Sequence[dict[str, Any]]) -> str:
    """Which remote content came from, as git-annex says it."""
    for one in records:
        for note in one.get("note", "").splitlines():
            if note.startswith("from "):
                return note.removeprefix("from ").strip(". ")
    return "another copy"


def _files_of_keys(where: Path) -> dict[str, str]:
    """Files of the present version by key."""
    said = git_says("annex", "find", "--anything", "--format", "${key}\\t${file}\\n", cwd=where)
    return dict(line.split("\t", 1) for line in said.splitlines() if "\t" in line)


def _named(part: str, files: dict[str, str], bad: dict[str, Any]) -> str:
    file = files.get(bad["key"])
    return (Path(part) / file).as_posix() if file else f"{part}: older version {bad['key']}"


def _reason(bad: dict[str, Any]) -> str:
    said = " ".join([*bad.get("error-messages", []), bad.get("note", "")]).lower()
    if "bad file content" in said or "verification of content failed" in said:
        return "its content is damaged"
    if "no known copies" in said or "not found" in said or "does not exist" in said:
        return "its content is nowhere"
    return " ".join([*bad.get("error-messages", []), bad.get("note", "")]).strip()


def _fsck_git(study: Path, part: str) -> Iterator[Finding]:
    """Compare files of git with their commit, and check git's own objects here and in the store."""
    where = study / part
    for path, wrong in _changed_files(where):
        name = (Path(part) / path).as_posix()
        # Where its time is the old one, git would leave a damaged file as it is.
        first = f"rm {shlex.quote(str(where / path))}; " if wrong != "is missing" else ""
        again = shlex.join(["git", "-C", str(where), "checkout", "--", path])
        yield Finding(name, "here", f"{wrong}; {first}{again} brings it back")
    places = {"here": where}
    stored = _folder_in_store(where)
    if stored and stored.is_dir():
        places["store"] = stored
    for place, folder in places.items():
        done = git("fsck", "--full", "--no-dangling", cwd=folder)
        told = [line for line in done.stderr.splitlines() if line.startswith(("error", "fatal"))]
        if done.returncode or told:
            wrong = f"{_BROKEN} ({told[0] if told else done.stdout.strip()})"
            yield Finding(part, place, wrong)


def _folder_in_store(where: Path) -> Path | None:
    """Folder of a dataset in the store; None where it is in none, or in one that ssh reaches."""
    url = git_says("config", f"remote.{STORE}.url", cwd=where)
    folder = Path(urlsplit(url).path if url.startswith("file:") else url)
    return folder if url and folder.is_absolute() else None


def _changed_files(where: Path) -> Iterator[tuple[str, str]]:
    """Files of git whose bytes are not those of the commit, whatever their times say."""
    entries = [
        entry.split("\t", 1) for entry in git_says("ls-tree", "-rz", "HEAD", cwd=where).split("\0")
    ]
    plain = {e[1]: e[0].split()[2] for e in entries if len(e) > 1 and e[0].startswith("100")}
    there = [path for path in plain if (where / path).is_file()]
    yield from ((path, "is missing") for path in plain if path not in set(there))
    digests = blob_ids([where / path for path in there], cwd=where)
    for path, digest in zip(there, digests, strict=True):
        if digest != plain[path]:
            yield path, "differs from what was recorded"

"""Walking a result back to what it was made from."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gridwell.config.errors import InputError, Problem
from gridwell.config.hashes import sha256
from gridwell.config.provenance import Provenance, read_provenance, settings_hash
from gridwell.config.settings import Stage, screen_settings, slide_settings
from gridwell.config.study import load_study
from gridwell.config.weights import is_of_study, weights_of
from gridwell.versions.checks import prepare_environment
from gridwell.versions.dataset import annex_key, hash_in_key
from gridwell.versions.git import git, git_says
from gridwell.versions.record import read_record, status_of


@dataclass(frozen=True)
class Step:
    """One thing that a result was made from, and whether it is still that.

    Attributes
    ----------
    what
        ``result``, ``raw``, ``code``, ``model`` or ``configuration``.
    name
        Which.
    status
        ``identical``, ``different``, ``missing`` or ``not fetched``.
    detail
        The hash or commit that the result names, and what was found instead.
    """

    what: str
    name: str
    status: str
    detail: str


def trace(file: Path, repository: Path) -> list[Step]:
    """Compare what a result says it was made from with what the study holds.

    Parameters
    ----------
    file
        A table or report in the results of a study.
    repository
        A clone of gridwell, for studies without workflow/.

    Raises
    ------
    InputError
        If the file does not say what it was made from or is in no study.
    """
    prepare_environment()
    file = file.absolute()
    said = read_provenance(file)
    inside = (p for p in file.parents if file.is_relative_to(p / "results"))
    study = next((p for p in inside if (p / "config").is_dir()), None)
    if study is None:
        remedy = "Name the file where it is in the study's results"
        raise InputError(Problem(str(file), "is in no study", remedy))
    return [
        *_recorded(study, file),
        *_raw(study, said),
        _code(study, said, repository),
        *_models(study, said),
        _configuration(study, file, said),
    ]


def _recorded(study: Path, file: Path) -> list[Step]:
    """The file itself, compared with the record of the last run."""
    name = file.relative_to(study).as_posix()
    expected = read_record(study)["results"].get(name)
    if expected is None:
        return [Step("result", name, "missing", "the record of the last run does not name it")]
    commit = git_says("log", "-1", "--format=%H", "--", name, cwd=study)
    detail = f"sha256 {expected}" + (f", recorded in commit {commit}" if commit else "")
    return [Step("result", name, status_of(file, expected), detail)]


def _raw(study: Path, said: Provenance) -> list[Step]:
    steps = []
    for slide, facts in said["slides"].items():
        for name, expected in facts["raw"].items():
            path = study / "raw" / slide / name
            status = status_of(path, expected)
            key = annex_key(path)
            if status == "not fetched" and key and hash_in_key(key) != expected:
                status = "different"
            detail = f"sha256 {expected}"
            if status == "not fetched":
                detail += f"; bring it in the study: datalad get raw/{slide}/{name}"
            steps.append(Step("raw", f"raw/{slide}/{name}", status, detail))
    return steps


def _code(study: Path, said: Provenance, repository: Path) -> Step:
    commit = said["code"]["commit"]
    if commit is None:
        return Step("code", "gridwell", "missing", "was not run from a git clone")
    plain, _, changed = commit.partition("+")
    if changed:
        detail = f"commit {plain} with changes that no commit holds"
        return Step("code", "gridwell", "different", detail)
    for clone in (study / "workflow", repository):
        if (clone / ".git").exists() and not git("cat-file", "-e", plain, cwd=clone).returncode:
            subject = git_says("log", "-1", "--format=%s", plain, cwd=clone)
            return Step("code", "gridwell", "identical", f"commit {plain}: {subject}")
    return Step("code", "gridwell", "missing", f"commit {plain} is in no clone of gridwell here")


def _models(study: Path, said: Provenance) -> list[Step]:
    steps = []
    for name, expected in said["models"].items():
        path = weights_of(name, study)
        pinned = study / "workflow/resources/models" / path.name
        if not is_of_study(name) and pinned.exists():
            path = pinned
        found = sha256(path) if path.exists() else None
        status = "missing" if found is None else "identical" if found == expected else "different"
        steps.append(Step("model", name, status, f"sha256 {expected}"))
    return steps


def _configuration(study: Path, file: Path, said: Provenance) -> Step:
    """The configuration as it is now, with the options that the last run was given."""
    loaded = load_study(study, config_of(read_record(study)["command"]))
    parts = file.relative_to(study / "results").parts
    settings: dict[str, Any]
    if parts[0] == "screen":
        settings = screen_settings(loaded, report=file.suffix == ".html")
    elif parts[0] in loaded.slides:
        stages: dict[str, Stage] = {"instances": "segment", "report.html": "report"}
        settings = slide_settings(loaded, parts[0], stages.get(parts[1], "spots"))
    else:
        return Step("configuration", "config/", "missing", f"has no slide {parts[0]} any more")
    found = settings_hash(settings)
    same = found == said["config"]
    detail = f"sha256 {said['config']}" + ("" if same else f"; config/ now gives {found}")
    return Step("configuration", "config/", "identical" if same else "different", detail)


def config_of(command: str) -> dict[str, Any]:
    """Options of config/ that a recorded command gives (Snakemake's ``--config``)."""
    words = shlex.split(command)
    if "--config" not in words:
        return {}
    given = words[words.index("--config") + 1 :]
    pairs = [word.partition("=") for word in given[: given.index("--cores")]]
    return {key: json.loads(value) for key, _, value in pairs}

"""What was computed from what, with which versions: results/record.json and its verification."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gridwell import __version__
from gridwell.config.errors import InputError, Problem
from gridwell.config.files import write_json
from gridwell.config.hashes import content_hash, sha256
from gridwell.config.provenance import SUFFIX
from gridwell.versions.checks import is_dataset, not_a_dataset, prepare_environment
from gridwell.versions.code import changed_code
from gridwell.versions.dataset import STARTED_FROM, public_url, record
from gridwell.versions.git import changed_files, git_says

RECORD = Path("results/record.json")
FORMAT = "gridwell-record/2"
# Libraries whose version can change a number.
_LIBRARIES = (
    "datalad",
    "git-annex",
    "imagecodecs",
    "matplotlib",
    "numba",
    "numpy",
    "opencv-python-headless",
    "pandas",
    "pyarrow",
    "scikit-image",
    "scikit-learn",
    "scipy",
    "snakemake",
    "statsmodels",
    "tifffile",
    "torch",
    "vl-convert-python",
    "zarr",
)


def write_record(
    study: Path,
    results: Iterable[Path],
    raw: Iterable[Path],
    *,
    versioning: str,
    command: str,
    repository: Path,
) -> None:
    """Write results/record.json, and with DataLad commit it with all results.

    Parameters
    ----------
    study
        Root of the study.
    results
        Files and Zarr directories of the results, relative to the study.
    raw
        The version.json of every slide, relative to the study.
    versioning
        ``datalad`` or ``off``.
    command
        The shell command that computes the results anew from the study's root.
    repository
        The clone of gridwell that computed them.

    Raises
    ------
    InputError
        If versioning is ``datalad`` and the study is no dataset, or if code or configuration
        are not as a commit has them: a record would name what cannot be had again.
    """
    if versioning == "datalad":
        if not is_dataset(study):
            raise InputError(not_a_dataset())
        if problems := [*_changed_code(repository), *_changed_study(study)]:
            raise InputError(problems)
    results = sorted(results)
    versions = [json.loads((study / path).read_text(encoding="utf-8")) for path in raw]
    facts = _facts(study, results, command, repository)
    write_json(
        study / RECORD,
        {
            "format": FORMAT,
            **facts,
            "config": {
                path.relative_to(study).as_posix(): sha256(path)
                for path in sorted((study / "config").rglob("*"))
                if path.is_file()
            },
            "raw": {
                entry["slide"]: {file["name"]: file["sha256"] for file in entry["files"]}
                for entry in versions
            },
            "results": {path.as_posix(): content_hash(study / path) for path in results},
        },
    )
    if versioning == "datalad":
        slides = ", ".join(entry["slide"] for entry in versions)
        record(study, message=f"results: {slides}", command=command, facts=facts)


def _facts(study: Path, results: Sequence[Path], command: str, repository: Path) -> dict[str, Any]:
    """What the results were computed with."""
    made = [
        json.loads((study / path).read_text(encoding="utf-8"))
        for path in results
        if path.name.endswith(SUFFIX)
    ]
    models = {name: digest for each in made for name, digest in each["models"].items()}
    return {
        "command": command,
        "gridwell": __version__,
        "code": {
            "commit": git_says("rev-parse", "HEAD", cwd=repository) or None,
            "url": public_url(repository),
        },
        "python": platform.python_version(),
        "libraries": libraries(),
        "device": {
            "cpu": _processor(),
            "used": sorted({device for each in made for device in each["device"]}),
        },
        "models": dict(sorted(models.items())),
    }


def _changed_code(repository: Path) -> list[Problem]:
    """Tell of code that no commit holds."""
    return [
        Problem(
            str(repository / path),
            "was changed and not committed, so that no record can name the code of these results",
            "The results are kept. Commit the code (git commit), or undo the change, and run again",
        )
        for path in changed_code(repository)
    ]


def _changed_study(study: Path) -> list[Problem]:
    """Tell of a configuration that was changed while the run was going on."""
    prepare_environment()  # git asks git-annex about files that changed
    there = [name for name in STARTED_FROM if (study / name).exists()]
    return [
        Problem(
            path,
            "was changed while the run was going on, and the results are those of before",
            "Run again: it starts from the file as it is now",
        )
        for path in changed_files(*there, cwd=study)
    ]


def _processor() -> str:
    """Name of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def libraries() -> dict[str, str]:
    """Versions of the libraries that can change a number."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # another distribution of the same library
            continue
    return found


def read_record(study: Path) -> dict[str, Any]:
    """Read results/record.json.

    Raises
    ------
    InputError
        If the study has no record, or one that cannot be read.
    """
    try:
        recorded = json.loads((study / RECORD).read_text(encoding="utf-8"))
        if recorded["format"] != FORMAT:
            raise ValueError(f"its format is {recorded['format']}")
        return dict(recorded)
    except FileNotFoundError:
        reason = "the study has no record of a finished run"
        remedy = "Run the workflow to its end first"
    except (ValueError, KeyError, TypeError) as error:
        reason = f"the record cannot be read ({error})"
        remedy = "Restore it from the study's history, or run the workflow again"
    raise InputError(Problem(str(RECORD), reason, remedy))


def recorded_files(record: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of every file that a record names, by path from the study."""
    raw = {
        f"raw/{slide}/{name}": digest
        for slide, files in record["raw"].items()
        for name, digest in files.items()
    }
    return raw | record["config"] | record["results"]


def verify(study: Path) -> list[dict[str, str]]:
    """Compare a study's raw files, configuration and results with its record.

    Returns
    -------
    list of dict
        One per recorded file: ``path`` and ``status``, which is ``identical``,
        ``different``, ``missing`` or ``not fetched`` (an annexed file whose content is
        elsewhere).

    Raises
    ------
    InputError
        If the study has no record, or one that cannot be read.
    """
    return [
        {"path": name, "status": status_of(study / name, digest)}
        for name, digest in sorted(recorded_files(read_record(study)).items())
    ]


def status_of(path: Path, expected: str) -> str:
    """Compare a file or Zarr directory with its recorded hash; see `verify`."""
    if path.is_symlink() and not path.exists():
        return "not fetched"
    if not path.exists():
        return "missing"
    if path.is_dir() and any(p.is_symlink() and not p.exists() for p in path.rglob("*")):
        return "not fetched"
    return "identical" if content_hash(path) == expected else "different"

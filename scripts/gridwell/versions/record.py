"""What was computed from what, with which versions: results/record.json and its verification."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gridwell import __version__
from gridwell.config.errors import InputError, Problem
from gridwell.config.files import write_json
from gridwell.versions.dataset import is_dataset, not_a_dataset, record
from gridwell.versions.hashes import content_hash, sha256

RECORD = Path("results/record.json")
# Libraries whose version can change a number.
_LIBRARIES = (
    "imagecodecs",
    "numpy",
    "opencv-python-headless",
    "pandas",
    "pyarrow",
    "scikit-image",
    "scipy",
    "snakemake",
    "tifffile",
    "zarr",
)


def write_record(
    study: Path, results: Iterable[Path], raw: Iterable[Path], *, versioning: str, command: str
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

    Raises
    ------
    InputError
        If versioning is ``datalad`` and the study is no dataset.
    """
    if versioning == "datalad" and not is_dataset(study):
        raise InputError(not_a_dataset())
    facts = {"gridwell": __version__, "python": platform.python_version(), "libraries": _versions()}
    versions = [json.loads((study / path).read_text(encoding="utf-8")) for path in raw]
    write_json(
        study / RECORD,
        {
            "format": "gridwell-record/1",
            **facts,
            "config": {
                str(path.relative_to(study)): sha256(path)
                for path in sorted((study / "config").rglob("*"))
                if path.is_file()
            },
            "raw": {
                entry["slide"]: {file["name"]: file["sha256"] for file in entry["files"]}
                for entry in versions
            },
            "results": {str(path): content_hash(study / path) for path in sorted(results)},
        },
    )
    if versioning == "datalad":
        slides = ", ".join(entry["slide"] for entry in versions)
        record(study, message=f"results: {slides}", command=command, facts=facts)


def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # another distribution of the same library
            continue
    return found


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
    path = study / RECORD
    try:
        recorded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        expected = {
            f"raw/{slide}/{name}": hash_
            for slide, files in recorded["raw"].items()
            for name, hash_ in files.items()
        }
        expected |= recorded["config"] | recorded["results"]
    except FileNotFoundError:
        raise InputError(
            Problem(
                file=str(RECORD),
                reason="the study has no record of a finished run",
                remedy="Run the workflow to its end first",
            )
        ) from None
    except (ValueError, KeyError, AttributeError) as error:
        raise InputError(
            Problem(
                file=str(RECORD),
                reason=f"the record cannot be read ({error})",
                remedy="Restore it from the study's history, or run the workflow again",
            )
        ) from error
    return [
        {"path": name, "status": _status(study / name, hash_)}
        for name, hash_ in sorted(expected.items())
    ]


def _status(path: Path, expected: str) -> str:
    if path.is_symlink() and not path.exists():
        return "not fetched"
    if not path.exists():
        return "missing"
    if path.is_dir() and any(p.is_symlink() and not p.exists() for p in path.rglob("*")):
        return "not fetched"
    return "identical" if content_hash(path) == expected else "different"

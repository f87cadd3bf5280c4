"""Compare a recomputed result with the published one, and say how they differ.

The same bytes are identical. Other files are read as what they are (tables, label images, JSON,
pictures, pages, networks) and compared by what they say, within the tolerances of
`gridwell.versions.tolerances`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from gridwell.config.hashes import IGNORED, content_hash
from gridwell.config.provenance import SUFFIX
from gridwell.versions.compare_drawn import compare_pages, compare_pictures
from gridwell.versions.compare_json import compare_json
from gridwell.versions.compare_labels import compare_labels
from gridwell.versions.compare_networks import compare_networks
from gridwell.versions.compare_reading import Judgement, Status, UnreadableError, both
from gridwell.versions.compare_tables import compare_tables
from gridwell.versions.compare_words import NAMED, few, not_in_both
from gridwell.versions.makings import compare_makings

_DRAWN = (".html", ".png")


@dataclass(frozen=True)
class Verdict:
    """How a recomputed result compares with the published one.

    Attributes
    ----------
    path
        The result, as ``results/S01/spots.csv``.
    status
        ``identical``, ``within tolerance``, ``different``, ``missing`` or ``extra``.
    detail
        Where and by how much they differ, in one line; empty where they do not.
    """

    path: str
    status: Status
    detail: str


def compare_result(path: str, expected: Path, found: Path) -> Verdict:
    """Compare a recomputed result with the published one.

    Parameters
    ----------
    path
        Its place in the study, as ``results/S01/spots.csv``; decides what is allowed.
    expected, found
        The published and the recomputed file or Zarr directory; both are there.

    Returns
    -------
    Verdict
        ``different`` too where one of them cannot be read.
    """
    if content_hash(expected) == content_hash(found):
        return Verdict(path, "identical", "")
    try:
        status, detail = _comparison(path)(path, expected, found)
    except UnreadableError as error:
        status, detail = "different", str(error)
    return Verdict(path, status, " ".join(detail.split()))


def judge_pages(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Judge pages and pictures by what they are drawn from: the other files of their folder.

    One that differs is within tolerance if these are, and not all of them are identical.
    """
    return [
        _judged(verdict, verdicts)
        if verdict.status == "different" and verdict.path.endswith(_DRAWN)
        else verdict
        for verdict in verdicts
    ]


def _judged(page: Verdict, verdicts: Sequence[Verdict]) -> Verdict:
    folder = f"{PurePosixPath(page.path).parent}/"
    sources = {
        other.status
        for other in verdicts
        if other.path.startswith(folder)
        and not other.path.endswith((*_DRAWN, "provenance.json"))  # the page tells its own
    }
    if sources <= {"identical"}:
        return page
    if sources <= {"identical", "within tolerance"}:
        return Verdict(page.path, "within tolerance", "shows tables that are within tolerance")
    return replace(page, detail="shows what differs above")


def _comparison(path: str) -> Callable[[str, Path, Path], Judgement]:
    """Choose how a result is compared."""
    place = PurePosixPath(path)
    if place.name == "provenance.json" or place.name.endswith(SUFFIX):
        return compare_makings
    if place.suffix == ".zarr" and place.parent.name == "labels":
        return compare_labels
    return {
        ".csv": compare_tables,
        ".parquet": compare_tables,
        ".json": compare_json,
        ".geojson": compare_json,
        ".png": compare_pictures,
        ".html": compare_pages,
        ".safetensors": compare_networks,
        ".zarr": _compare_folders,
    }.get(place.suffix, _compare_sizes)


def _compare_folders(path: str, expected: Path, found: Path) -> Judgement:
    """Compare the files in a Zarr directory, each as what it is."""
    first, second = both(_files, expected, found)
    if first.keys() != second.keys():
        return "different", not_in_both("file", first.keys(), second.keys())
    inner = [compare_result(f"{path}/{name}", file, second[name]) for name, file in first.items()]
    told = [verdict for verdict in inner if verdict.status != "identical"]
    told.sort(key=lambda verdict: verdict.status)  # different before within tolerance
    files = [f"{v.path.removeprefix(path)[1:]}: {v.detail}" for v in told[:NAMED]]
    return told[0].status, few(files, len(told), "file", join="; ")


def _files(folder: Path) -> dict[str, Path]:
    """Files of a folder by their names in it."""
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder.name} is no folder")
    return {
        file.relative_to(folder).as_posix(): file
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name not in IGNORED
    }


def _compare_sizes(path: str, expected: Path, found: Path) -> Judgement:
    sizes = [file.stat().st_size for file in (expected, found)]
    if sizes[0] == sizes[1]:
        return "different", f"{sizes[0]} bytes both, but not the same"
    return "different", f"{sizes[1]} bytes instead of {sizes[0]}"

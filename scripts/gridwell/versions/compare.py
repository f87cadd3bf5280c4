"""Compare a recomputed result with the published one, and say how they differ.

The same bytes are identical. Other files are read as what they are (tables, label images, JSON,
pictures, pages, networks) and compared by what they say, within the tolerances of
`gridwell.versions.tolerances`.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from operator import methodcaller
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from gridwell.config.errors import InputError
from gridwell.config.hashes import IGNORED, content_hash
from gridwell.config.provenance import SUFFIX, read_provenance
from gridwell.versions.tolerances import (
    LABELS_IOU,
    LABELS_MATCHED,
    OBJECTS_BEYOND,
    PARTNER_PIXELS,
    PICTURE_LEVELS,
    PICTURE_SHARE,
    SPOT_FREE,
    SPOT_UNMATCHED,
    tolerance_of,
)

if TYPE_CHECKING:
    import pandas as pd

    from gridwell.images.labels import LabelStack

Status = Literal["identical", "within tolerance", "different", "missing", "extra"]
Judgement = tuple[Status, str]
Rows = NDArray[np.intp]
S = TypeVar("S")
T = TypeVar("T")

# How many of many are named.
_NAMED = 4
# Spots of a label image held in memory at a time.
_SPOTS_AT_ONCE = 8
# Characters of a value that are shown.
_LONGEST = 60
# What decides what a result says, as far as its making does.
_DECISIVE = {"slides", "models", "config"}
# What names a row: in tables of spots and objects, and in others.
_OF_SPOTS = ("slide", "spot", "label", "cell")
_OF_OTHERS = (
    "slide", "statistic", "slide_a", "slide_b", "group", "agent", "agents", "doses", "metric",
    "time_h", "FieldIndex",
)  # fmt: skip
# Where a page tells what it was made from, for programs and for people.
_MADE_FROM = re.compile(
    r'<script type="application/json" id="provenance">.*?</script>'
    r'|<footer id="provenance-shown">.*?</footer>',
    re.DOTALL,
)
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


class _UnreadableError(Exception):
    """One of the two results cannot be read; says which and why."""


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
    except _UnreadableError as error:
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
        if other.path.startswith(folder) and not other.path.endswith(_DRAWN)
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
        return _compare_makings
    if place.suffix == ".zarr" and place.parent.name == "labels":
        return _compare_labels
    return {
        ".csv": _compare_tables,
        ".parquet": _compare_tables,
        ".json": _compare_json,
        ".geojson": _compare_json,
        ".png": _compare_pictures,
        ".html": _compare_pages,
        ".safetensors": _compare_networks,
        ".zarr": _compare_folders,
    }.get(place.suffix, _compare_sizes)


@contextmanager
def _reading(which: str) -> Iterator[None]:
    """Tell of whatever goes wrong while a result is read."""
    try:
        yield
    except Exception as error:  # readers of broken files raise whatever they like
        why = str(error) or type(error).__name__
        raise _UnreadableError(f"the {which} one cannot be read: {why}") from error


def _both(read: Callable[[S], T], expected: S, found: S) -> tuple[T, T]:
    """Read the published and the recomputed result."""
    with _reading("published"):
        first = read(expected)
    with _reading("recomputed"):
        second = read(found)
    return first, second


# ---------------------------------------------------------------- tables


@dataclass(frozen=True)
class _Change:
    """What differs in a column of rows that belong together.

    Attributes
    ----------
    column
        Name of the column.
    expected, found
        Its values, numbers or texts.
    gap, times
        How far they are apart, in the unit of the column and in tolerances; infinite for texts.
    """

    column: str
    expected: NDArray[Any]
    found: NDArray[Any]
    gap: NDArray[np.float64]
    times: NDArray[np.float64]

    @property
    def beyond(self) -> NDArray[np.bool_]:
        """Rows beyond tolerance."""
        return self.times > 1


def _compare_tables(path: str, expected: Path, found: Path) -> Judgement:
    first, second = _both(_read_table, expected, found)
    if set(first) != set(second):
        return "different", _not_in_both("column", set(first), set(second))
    other = _made_otherwise(expected, found) if path.endswith(".parquet") else {}
    return _with_making(*_compare_rows(path, first, second), other)


def _read_table(path: Path) -> pd.DataFrame:
    import pandas as pd

    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    # An agent may be called NA; missing values are empty.
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


def _compare_rows(path: str, expected: pd.DataFrame, found: pd.DataFrame) -> Judgement:
    """Compare two tables of the same columns; no detail where all values are the same."""
    objects = path.endswith(".parquet") and _has_places(expected) and _has_places(found)
    partner = _partners(expected, found, objects=objects)
    rows = np.flatnonzero(partner >= 0)
    first, second = expected.iloc[rows], found.iloc[partner[rows]]
    changes = [_change(path, str(column), first, second) for column in expected]
    changes = [change for change in changes if change.gap.any()]
    missing = np.flatnonzero(partner < 0)
    extra = np.setdiff1d(np.arange(len(found)), partner)
    beyond = max((int(change.beyond.sum()) for change in changes), default=0)
    # An object that moved away is missing in one place and extra in another.
    worse = beyond + max(missing.size, extra.size)
    fits = worse <= OBJECTS_BEYOND * max(len(expected), len(found)) * objects
    told = [_told_unpaired("missing", expected, missing), _told_unpaired("extra", found, extra)]
    told += [_told_within(changes), _told_few(changes)] if fits else [_told_beyond(first, changes)]
    return "within tolerance" if fits else "different", "; ".join(filter(None, told))


def _has_places(table: pd.DataFrame) -> bool:
    return {"spot", "x", "y"} <= set(table) and _is_number(table["x"]) and _is_number(table["y"])


def _is_number(values: pd.Series) -> bool:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    return is_numeric_dtype(values) and not is_bool_dtype(values)


def _partners(expected: pd.DataFrame, found: pd.DataFrame, *, objects: bool) -> Rows:
    """Find the row of `found` that belongs to each one of `expected`; -1: there is none."""
    partner = _row_names(found).get_indexer(_row_names(expected))
    if objects and not _in_place(expected, found, partner):
        return _nearest(expected, found)
    return partner


def _row_names(table: pd.DataFrame) -> pd.MultiIndex:
    """Names of the rows; rows of one name are numbered."""
    import pandas as pd

    names = _naming(table)
    number = table.groupby(names, dropna=False).cumcount() if names else range(len(table))
    return pd.MultiIndex.from_frame(_texts(table[names]).assign(number=number))


def _naming(table: pd.DataFrame) -> list[str]:
    """Columns that name the rows."""
    return [name for name in (_OF_SPOTS if "spot" in table else _OF_OTHERS) if name in table]


def _texts(values: Any) -> Any:
    """Values of a column or table as texts; an empty one where nothing is."""
    return values.astype("string").fillna("")


def _in_place(expected: pd.DataFrame, found: pd.DataFrame, partner: Rows) -> bool:
    """Tell whether rows of one name are the same object, all of them."""
    if len(expected) != len(found) or (partner < 0).any():
        return False
    apart = _positions(expected) - _positions(found)[partner]
    return bool((np.hypot(*apart.T) <= PARTNER_PIXELS).all())


def _positions(table: pd.DataFrame) -> NDArray[np.float64]:
    """Positions (n, 2); those that nobody knows are together, far away."""
    return np.nan_to_num(table[["x", "y"]].to_numpy(float, na_value=np.nan), nan=-1e9)


def _nearest(expected: pd.DataFrame, found: pd.DataFrame) -> Rows:
    """Find for each object the nearest in its spot, if it is the nearest to that one too."""
    from scipy.spatial import cKDTree

    partner = np.full(len(expected), -1)
    here, there = _positions(expected), _positions(found)
    spots = found.groupby("spot").indices
    for spot, mine in expected.groupby("spot").indices.items():
        theirs = spots.get(spot, [])
        if not len(theirs):
            continue
        distance, nearest = cKDTree(there[theirs]).query(here[mine])
        back = cKDTree(here[mine]).query(there[theirs])[1]
        pairs = (distance <= PARTNER_PIXELS) & (back[nearest] == np.arange(len(mine)))
        partner[mine[pairs]] = theirs[nearest[pairs]]
    return partner


def _change(path: str, column: str, expected: pd.DataFrame, found: pd.DataFrame) -> _Change:
    """Compare a column of rows that belong together."""
    a, b = expected[column], found[column]
    if not (_is_number(a) and _is_number(b)):
        a, b = (_texts(values).to_numpy(object) for values in (a, b))
        gap = np.where(a == b, 0.0, np.inf)
        return _Change(column, a, b, gap, gap)
    a, b = (values.to_numpy(float, na_value=np.nan) for values in (a, b))
    # A table of statistics has a number of another kind in each row.
    statistics = column == "value" and "statistic" in expected
    kinds = _texts(expected["statistic"]).to_numpy() if statistics else np.full(len(a), column)
    gap, times = np.zeros(len(a)), np.zeros(len(a))
    for kind in np.unique(kinds):
        rows = kinds == kind
        gap[rows], times[rows] = tolerance_of(path, kind).measure(a[rows], b[rows])
    return _Change(column, a, b, gap, times)


def _told_unpaired(what: str, table: pd.DataFrame, rows: Rows) -> str:
    """Tell which rows have no partner."""
    if not rows.size:
        return ""
    places = [_place(table, int(row)) for row in rows[:_NAMED]]
    return f"{rows.size} of {_count(len(table), 'row')} {what} ({_few(places, rows.size, 'row')})"


def _told_beyond(rows: pd.DataFrame, changes: Sequence[_Change]) -> str:
    """Tell of the columns beyond tolerance, and where each is worst."""
    told, beyond = [], _beyond(changes)
    for change in beyond[:_NAMED]:
        at, count = int(np.argmax(change.times)), int(change.beyond.sum())
        verb = "differs, at" if count == 1 else "differ, most at"
        told.append(
            f"{change.column}: {count} of {_count(len(rows), 'row')} {verb} {_place(rows, at)}: "
            f"{_instead(change.found[at], change.expected[at])}"
        )
    return _few(told, len(beyond), "column", join="; ")


def _beyond(changes: Sequence[_Change]) -> list[_Change]:
    """Columns that are beyond tolerance, first that with most rows."""
    beyond = [change for change in changes if change.beyond.any()]
    return sorted(
        beyond, key=lambda change: (change.beyond.sum(), change.times.max()), reverse=True
    )


def _told_few(changes: Sequence[_Change]) -> str:
    """Tell of the columns beyond tolerance in so few rows that it does not count."""
    beyond = _beyond(changes)
    told = [f"{change.column} {change.beyond.sum()}" for change in beyond[:_NAMED]]
    rows = _few(told, len(beyond), "column")
    return f"beyond in few of {_count(beyond[0].times.size, 'row')}: {rows}" if beyond else ""


def _told_within(changes: Sequence[_Change]) -> str:
    """Tell of the largest differences within tolerance, by column."""
    largest = {
        change.column: (change.times[~change.beyond].max(initial=0), gap)
        for change in changes
        if (gap := change.gap[~change.beyond].max(initial=0)) > 0
    }
    first = sorted(largest, key=lambda column: largest[column], reverse=True)[:_NAMED]
    told = [f"{column} by up to {largest[column][1]:.2g}" for column in first]
    return _few(told, len(largest), "column")


def _place(table: pd.DataFrame, row: int) -> str:
    """Name a row by what tells it from others."""
    texts = _texts(table[_naming(table)])
    values = {name: texts[name].iloc[row] for name in texts}
    telling = [name for name in texts if (texts[name] != values[name]).any()] or [*texts][-1:]
    return (
        " ".join(
            f"{name} {values[name]}" if name in ("label", "cell") else _value(values[name])
            for name in telling
        )
        or f"row {row + 1}"
    )


# ---------------------------------------------------------------- label images


@dataclass(frozen=True)
class _Spot:
    """How the objects of a spot agree.

    Attributes
    ----------
    name
        The spot.
    objects
        How many there are, in that of the two images that has more.
    matched
        How many are matched one to one.
    iou
        Sum of the intersections over union of those.
    changed
        Share of the pixels that became background, or were.
    """

    name: str
    objects: int
    matched: int
    iou: float
    changed: float

    @property
    def differs(self) -> bool:
        """Whether any object has other pixels."""
        return self.iou < self.objects

    @property
    def fits(self) -> bool:
        """Whether few enough objects are unmatched."""
        return self.objects - self.matched <= max(SPOT_FREE, SPOT_UNMATCHED * self.objects)

    def __str__(self) -> str:
        """Tell by how much the spot differs."""
        if self.matched < self.objects:
            return f"{self.name} ({self.matched} of {_count(self.objects, 'object')} matched)"
        return f"{self.name} (mean IoU {self.iou / self.objects:.3f})"


def _compare_labels(path: str, expected: Path, found: Path) -> Judgement:
    from gridwell.images.labels import open_labels

    stacks = _both(open_labels, expected, found)
    if stacks[0].shape != stacks[1].shape:
        sizes = [" x ".join(map(str, stack.shape)) for stack in stacks]
        return "different", f"spots and pixels: {sizes[1]} instead of {sizes[0]}"
    facts = _both(_leaves, stacks[0].attributes, stacks[1].attributes)
    status, told = _compare_leaves(path, *facts)
    spots = list(_matched_spots(*stacks))
    fits = status != "different" and _labels_fit(spots)
    detail = "; ".join(filter(None, [_told_spots(spots), told]))
    return "within tolerance" if fits else "different", detail


def _matched_spots(expected: LabelStack, found: LabelStack) -> Iterator[_Spot]:
    """Match the objects of one spot after the other; few spots are in memory at a time."""
    names = expected.frame.spots
    for start in range(0, len(names), _SPOTS_AT_ONCE):
        stop = start + _SPOTS_AT_ONCE
        blocks = _both(methodcaller("read", start, stop), expected, found)
        for name, *labels in zip(names[start:stop], *blocks, strict=True):
            yield _matched(name, *labels)


def _matched(name: str, expected: NDArray[np.uint32], found: NDArray[np.uint32]) -> _Spot:
    from gridwell.learn.metrics import match, overlap

    shared = overlap(expected, found)
    pairs = match(shared, 0.5)
    return _Spot(
        name,
        objects=max(len(shared.area_true), len(shared.area_pred)),
        matched=len(pairs),
        iou=float(shared.iou[pairs].sum()),
        changed=float(((expected > 0) != (found > 0)).mean()),
    )


def _labels_fit(spots: Sequence[_Spot]) -> bool:
    """Tell whether label images agree well enough, together and in each spot."""
    matched = sum(spot.matched for spot in spots)
    return (
        all(spot.fits for spot in spots)
        and matched >= LABELS_MATCHED * sum(spot.objects for spot in spots)
        and sum(spot.iou for spot in spots) >= LABELS_IOU * matched
    )


def _told_spots(spots: Sequence[_Spot]) -> str:
    """Tell how many spots differ, which most, and how well objects agree on the whole."""
    differ = [spot for spot in spots if spot.differs]
    if not differ:
        return "the same objects, numbered or stored otherwise"
    differ.sort(key=lambda spot: (spot.matched - spot.objects, spot.iou - spot.objects))
    most = _few([str(spot) for spot in differ[:_NAMED]], len(differ), "spot")
    objects, matched = (
        sum(getattr(spot, name) for spot in spots) for name in ("objects", "matched")
    )
    iou = sum(spot.iou for spot in spots) / matched if matched else math.nan
    changed = sum(spot.changed for spot in spots) / len(spots)
    return (
        f"{len(differ)} of {_count(len(spots), 'spot')} differ, most {most}; {matched} of "
        f"{_count(objects, 'object')} matched, mean IoU {iou:.3f}, {100 * changed:.2g} % of the "
        "pixels changed"
    )


# ---------------------------------------------------------------- JSON


def _compare_json(path: str, expected: Path, found: Path) -> Judgement:
    first, second = _both(_read_json, expected, found)
    return _with_making(*_compare_leaves(path, first, second), {})


def _read_json(path: Path) -> dict[str, Any]:
    return _leaves(json.loads(path.read_text(encoding="utf-8")))


def _leaves(data: Any) -> dict[str, Any]:
    """Values by their dotted keys; of lists by their numbers."""
    items = (
        data.items()
        if isinstance(data, dict)
        else enumerate(data if isinstance(data, list) else [])
    )
    found: dict[str, Any] = {}
    for key, value in items:
        inner = _leaves(value)
        found |= {f"{key}.{rest}" if rest else str(key): leaf for rest, leaf in inner.items()}
    return found or {"": data}


def _compare_leaves(path: str, expected: Mapping[str, Any], found: Mapping[str, Any]) -> Judgement:
    """Compare values by their dotted keys; no detail where all are the same."""
    if expected.keys() != found.keys():
        return "different", _not_in_both("key", expected.keys(), found.keys())
    times = {
        key: _times(path, key, value, found[key])
        for key, value in expected.items()
        if not _alike(value, found[key])
    }
    beyond = [key for key in times if times[key] > 1]
    told = sorted(beyond or times, key=lambda key: -times[key])
    first = [f"{key}: {_instead(found[key], expected[key])}" for key in told[:_NAMED]]
    detail = _few(first, len(told), "key", join="; ")
    return "different" if beyond else "within tolerance", detail


def _alike(a: Any, b: Any) -> bool:
    # 1, 1.0 and True are equal in Python, and NaN is not; their texts are as they should.
    return repr(a) == repr(b)


def _times(path: str, key: str, expected: Any, found: Any) -> float:
    """How far two values are apart, in tolerances; whole numbers must be the same."""
    rule = tolerance_of(path, key)
    kinds = {type(expected), type(found)}
    if float in kinds and kinds <= {float, int}:
        return float(rule.measure(*np.array([[expected], [found]], float))[1][0])
    return 0.0 if math.isinf(rule.absolute) else math.inf


# ---------------------------------------------------------------- other files


def _compare_pictures(path: str, expected: Path, found: Path) -> Judgement:
    import cv2

    first, second = _both(_read_picture, expected, found)
    if (first.shape, first.dtype) != (second.shape, second.dtype):
        kinds = [f"{' x '.join(map(str, image.shape))} {image.dtype}" for image in (first, second)]
        return "different", f"{kinds[1]} instead of {kinds[0]}"
    apart = cv2.absdiff(first, second).reshape(*first.shape[:2], -1).max(axis=2)
    if not apart.any():
        return "within tolerance", "the same picture, written otherwise"
    share = float((apart > PICTURE_LEVELS).mean())
    detail = f"{100 * share:.2g} % of the pixels differ by more than {PICTURE_LEVELS} levels"
    fits = share < PICTURE_SHARE
    return "within tolerance" if fits else "different", f"{detail}, at most by {apart.max()}"


def _read_picture(path: Path) -> NDArray[Any]:
    import cv2

    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError("it is no picture")
    return image


def _compare_pages(path: str, expected: Path, found: Path) -> Judgement:
    first, second = _both(_read_page, expected, found)
    a, b = Counter(first), Counter(second)
    changed = max((a - b).total(), (b - a).total())
    detail = f"{changed} of {_count(max(len(first), len(second)), 'line')} differ"
    if first == second:
        detail = ""
    elif not changed:
        detail = "lines stand in another order"
    status: Status = "different" if detail else "within tolerance"
    return _with_making(status, detail, _made_otherwise(expected, found), "the same page")


def _read_page(path: Path) -> list[str]:
    """Lines of a page, without those that tell what it was made from."""
    return _MADE_FROM.sub("", path.read_text(encoding="utf-8")).split("\n")


def _compare_networks(path: str, expected: Path, found: Path) -> Judgement:
    from safetensors.numpy import load_file

    first, second = _both(load_file, expected, found)
    if first.keys() != second.keys():
        return "different", _not_in_both("tensor", first.keys(), second.keys())
    apart = {name: _apart(first[name], second[name]) for name in first}
    changed = [name for name in apart if apart[name] > 0]
    if not changed:
        return "different", "the same tensors, but not the same metadata"
    worst = max(changed, key=lambda name: apart[name])
    much = f"by up to {apart[worst]:.3g}" if math.isfinite(apart[worst]) else "in shape or by NaN"
    return (
        "different",
        f"{len(changed)} of {_count(len(first), 'tensor')} differ, most {worst}: {much}",
    )


def _apart(expected: NDArray[Any], found: NDArray[Any]) -> float:
    """Largest difference of two tensors; infinite where they cannot be compared."""
    if expected.shape != found.shape:
        return math.inf
    gap = np.abs(expected.astype(np.float64) - found.astype(np.float64)).max(initial=0)
    return math.inf if np.isnan(gap) else float(gap)


def _compare_folders(path: str, expected: Path, found: Path) -> Judgement:
    """Compare the files in a Zarr directory, each as what it is."""
    first, second = _both(_files, expected, found)
    if first.keys() != second.keys():
        return "different", _not_in_both("file", first.keys(), second.keys())
    inner = [compare_result(f"{path}/{name}", file, second[name]) for name, file in first.items()]
    told = [verdict for verdict in inner if verdict.status != "identical"]
    told.sort(key=lambda verdict: verdict.status)  # different before within tolerance
    files = [f"{v.path.removeprefix(path)[1:]}: {v.detail}" for v in told[:_NAMED]]
    return told[0].status, _few(files, len(told), "file", join="; ")


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


# ---------------------------------------------------------------- what results were made from


def _compare_makings(path: str, expected: Path, found: Path) -> Judgement:
    """Compare files that only tell what others were made from."""
    told = _told_makings(*_both(_read_making, expected, found))
    if not told:
        return "within tolerance", "the same making, written otherwise"
    status: Status = "different" if told.keys() & _DECISIVE else "within tolerance"
    return status, f"made {', '.join(told.values())}"


def _read_making(path: Path) -> dict[str, Any]:
    """What a result was made from, by dotted keys."""
    return _leaves(read_provenance(path))


def _with_making(
    status: Status, detail: str, other: Mapping[str, str], same: str = "the same values"
) -> Judgement:
    """Add to a verdict what was different in the making; from other images is another result."""
    if not other:
        return status, detail or f"{same}, written otherwise"
    status = "different" if "slides" in other else status
    return status, f"{detail or same}; made {', '.join(other.values())}"


def _made_otherwise(expected: Path, found: Path) -> dict[str, str]:
    """Tell what was different in the making of two results, which need not say anything of it."""
    said = {}
    for which, path in (("published", expected), ("recomputed", found)):
        with suppress(InputError):
            said[which] = _read_making(path)
    if len(said) == 1:
        return {"said": f"from what only the {next(iter(said))} one says"}
    return _told_makings(*said.values()) if said else {}


def _told_makings(expected: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, str]:
    """Tell what differs in the making, by the first part of its key."""
    names: dict[str, list[str]] = {}
    for key in {**expected, **found}:
        if expected.get(key) != found.get(key):
            first, _, rest = key.partition(".")
            names.setdefault(first, []).append(rest)
    return {first: _told_making(first, names[first], expected, found) for first in names}


def _told_making(
    what: str, names: Sequence[str], expected: Mapping[str, Any], found: Mapping[str, Any]
) -> str:
    """Tell what differs in one part of the making: `names` are its keys that do."""
    inner = [name for name in names if name]
    named = _few(inner[:_NAMED], len(inner), what.removesuffix("s"))
    if what == "slides":
        return f"from other raw images ({named.replace('.raw.', '/')})"
    if what == "models":
        return f"with other model {named}"
    if what == "code":
        part = "commit" if "commit" in names else "hash"
        a, b = (_short(making.get(f"code.{part}")) for making in (expected, found))
        code = "other code" if "hash" in names else "the same code"
        return f"with {code} ({part} {b} instead of {a})"
    if what == "device":
        a, b = (_devices(making) for making in (expected, found))
        return f"on another device ({b} instead of {a})"
    return f"with other {'configuration' if what == 'config' else what}"


def _short(commit: str | None) -> str:
    """Shorten a hash; what tells of changes stays."""
    return re.sub(r"(?<=^[0-9a-f]{7})[0-9a-f]+", "", str(commit or "none"))


def _devices(making: Mapping[str, Any]) -> str:
    names = [str(name) for key, name in making.items() if key.split(".")[0] == "device" and name]
    return " and ".join(names) or "none"


# ---------------------------------------------------------------- words


def _not_in_both(what: str, expected: Set[Any], found: Set[Any]) -> str:
    """Tell which names only one of two results has."""
    told = []
    for state, names in (("missing", expected - found), ("extra", found - expected)):
        first = [_value(str(name)) for name in sorted(names, key=str)[:_NAMED]]
        if names:
            told.append(f"{_count(len(names), what)} {state}: {_few(first, len(names), what)}")
    return "; ".join(told)


def _few(first: Sequence[str], total: int, what: str, join: str = ", ") -> str:
    """Join the first of many, and count the rest."""
    rest = total - len(first)
    return join.join(first) + (
        f"{join.rstrip()} and {_count(rest, f'more {what}')}" if rest else ""
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _instead(found: Any, expected: Any) -> str:
    """Tell two values that differ; with all digits, or in quotes, where they would look alike."""
    values = [_value(found), _value(expected)]
    if values[0] == values[1]:
        values = [str(v) if isinstance(v, float) else repr(v) for v in (found, expected)]
    return f"{values[0]} instead of {values[1]}"


def _value(value: Any) -> str:
    """One value in few characters."""
    if isinstance(value, float):
        return "nothing" if math.isnan(value) else f"{value:.6g}"
    text = "nothing" if value in (None, "") else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"

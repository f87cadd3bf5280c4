"""Which sources are learned from, and which only tell how good a network is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from gridwell.config.errors import InputError, Problem
from gridwell.config.explain import suggest
from gridwell.learn.dataset import Split


def split_sources(
    sources: Iterable[str],
    *,
    validation: float,
    test: float,
    known: Mapping[str, Split] | None = None,
    named: Mapping[str, Split] | None = None,
) -> dict[str, Split]:
    """Decide which sources are learned from, and which only tell how good the network is.

    The order of the sources is that of a hash of their names: the same in every data set and on
    every machine, and unrelated to the order of acquisition.

    Parameters
    ----------
    sources
        Slides, plates or acquisitions.
    validation, test
        Parts of them, 0..0.5. A part above 0 is at least one source, but one is always left to
        learn from: of two sources one is the test, of a single one there is none.
    known
        Sides that were decided before, such as in the data that the first weights come from.
    named
        Sides that a person chose; a side that is named gets no others.

    Raises
    ------
    InputError
        If a named source is not there, or none is left to learn from.
    """
    ordered = sorted({*sources}, key=lambda source: (_hash(source), source))
    named = named or {}
    absent = sorted(source for source in named if source not in ordered)
    if absent:
        raise InputError(
            Problem(
                "config/config.yaml",
                "names a source that has no images to learn from or test on",
                suggest(absent[0], sorted(ordered), "sources"),
                column="learn",
                value=absent[0],
            )
        )
    split: dict[str, Split] = {s: side for s, side in (known or {}).items() if s in ordered}
    split |= named
    free = [source for source in ordered if source not in split]
    spare = len(free) - ("train" not in split.values())
    wanted: list[tuple[Split, float]] = [("test", test), ("validation", validation)]
    for side, part in wanted:
        if not part or side in named.values():
            continue
        have = sum(other == side for other in split.values())
        count = max(0, min(max(1, round(part * len(ordered))) - have, spare))
        split |= dict.fromkeys(free[:count], side)
        free, spare = free[count:], spare - count
    split |= dict.fromkeys(free, "train")
    if "train" not in split.values():
        raise InputError(
            Problem(
                "config/config.yaml",
                "leaves no source to learn from",
                "Name fewer for validation and test.",
                column="learn",
                value=", ".join(sorted(split)),
            )
        )
    return {source: split[source] for source in sorted(split)}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

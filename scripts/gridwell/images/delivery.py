"""What was delivered for a slide, and whether it changed since it was brought into the study.

Once a slide is in raw/, its copies there are the study's truth and the landing folder is only
watched: a delivery of the same content is nothing new, whatever its times; other content under
the same name is a mistake, or, where the study says so, a replacement. A file is read again
only when its size or time differ from what they were when it was last seen.

What was seen is kept in ``.snakemake``, with Snakemake's own memory of what was computed: it
belongs to this copy of the study and is no part of it. A clone has none, and looks at raw/ alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridwell.config.errors import InputError, Problem
from gridwell.config.files import write_json
from gridwell.config.hashes import sha256
from gridwell.images.copies import find_copies
from gridwell.images.description import read_slide_json

if TYPE_CHECKING:
    from gridwell.config.models import Channel
    from gridwell.config.study import Study

_MEMORY = Path(".snakemake/gridwell/delivered")


def note_delivery(study: Path, slide: str, files: Iterable[Path]) -> None:
    """Keep in mind how the files of a slide, named as in channels.tsv, look now."""
    seen = {str(path): _looks(study / path) for path in files if (study / path).exists()}
    write_json(_memory(study, slide), {**_recall(study, slide), "seen": seen, "waits": False})


def replaced(study: Path, slide: str) -> dict[str, str]:
    """SHA-256 of the copies of a slide that a later delivery took the place of, by name."""
    found: dict[str, str] = _recall(study, slide).get("replaces", {})
    return found


def copies_in_place(study: Study, slide: str) -> dict[str, Path]:
    """Files of a slide by channel, where all are in raw/<slide> and are what it is made from.

    They are where this copy of the study brought them in itself, where they are saved in its
    history (links into the annex), or where the landing folder was cleared. Empty where the
    slide was not brought in yet, and while a changed delivery waits to replace them.
    """
    channels = study.channels[slide]
    sources = sources_of(study, slide)
    copies = find_copies(channels, sources, study.root / "raw" / slide)
    known = _recall(study.root, slide)
    if not copies or known.get("waits"):
        return {}
    cleared = not all(path.exists() for path in sources.values())
    saved = all(path.is_symlink() for path in copies.values())
    return copies if cleared or saved or "seen" in known else {}


def sources_of(study: Study, slide: str) -> dict[str, Path]:
    """File of each channel of a slide as channels.tsv names it."""
    return {channel.channel: study.path_of(channel) for channel in study.channels[slide]}


def check_deliveries(study: Study) -> list[Problem]:
    """Find files that changed since they were brought in.

    With ``ingest.replace`` they are kept in mind as replacements, for the rule ``ingest``;
    without it each is a mistake.
    """
    problems = []
    for slide in study.slides:
        known = _recall(study.root, slide)
        if "seen" not in known:
            continue
        try:
            changed = _changed(study, slide, known["seen"])
        except InputError:  # no slide.json: the slide is about to be brought in again
            continue
        if not study.config.ingest.replace:
            problems += [problem for problem, _, _ in changed]
        elif changed:
            replaces = {name: digest for _, name, digest in changed}
            memory = {**_recall(study.root, slide), "replaces": replaces, "waits": True}
            write_json(_memory(study.root, slide), memory)
    return problems


def _changed(
    study: Study, slide: str, seen: Mapping[str, list[int]]
) -> list[tuple[Problem, str, str]]:
    """Files with other content than their copies: how to tell it, name and SHA-256 of the copy."""
    described = read_slide_json(study.root / "raw" / slide)
    copy_of = {channel["channel"]: channel["file"] for channel in described["channels"]}
    digests = {file["name"]: file["sha256"] for file in described["files"]}
    found: dict[Path, tuple[Problem, str, str]] = {}
    same: dict[str, list[int]] = {}
    for channel in study.channels[slide]:
        source = study.path_of(channel)
        name, key = copy_of.get(channel.channel), str(Path(channel.path))
        if name is None or not source.exists() or source in found or key in same:
            continue
        if _is_copy(source, study.root / "raw" / slide / name):
            continue
        looks = _looks(source)
        if seen.get(key) == looks or sha256(source) == digests[name]:
            same[key] = looks
        else:
            found[source] = (_problem(study, channel, source, name), name, digests[name])
    if {**seen, **same} != dict(seen):
        with suppress(OSError):  # a study that may only be read is looked at again next time
            memory = {**_recall(study.root, slide), "seen": {**seen, **same}}
            write_json(_memory(study.root, slide), memory)
    return list(found.values())


def _problem(study: Study, channel: Channel, source: Path, name: str) -> Problem:
    return Problem(
        "config/channels.tsv",
        f"{channel.slide}/{channel.channel}: {source.name} changed since it was copied to "
        f"raw/{channel.slide}/{name}",
        "Raw images never change: give the new image a new slide name in slides.tsv and "
        "channels.tsv; or set ingest.replace: true, and the history keeps both.",
        study.lines.get((channel.slide, channel.channel)),
        "path",
        channel.path,
    )


def _is_copy(source: Path, copy: Path) -> bool:
    """Whether a file is the copy itself: taken in place, or its second name."""
    try:
        return source.samefile(copy)
    except OSError:
        return False


def _memory(study: Path, slide: str) -> Path:
    return study / _MEMORY / f"{slide}.json"


def _recall(study: Path, slide: str) -> dict[str, Any]:
    try:
        known = json.loads(_memory(study, slide).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _looks(path: Path) -> list[int]:
    facts = path.stat()
    return [facts.st_size, facts.st_mtime_ns]

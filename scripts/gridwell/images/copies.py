"""What the copies of raw images are called in ``raw/<slide>``, and whether they are there."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from gridwell.config.errors import InputError, Problem
from gridwell.config.models import Channel
from gridwell.images.description import NAME


def find_copies(
    channels: Sequence[Channel], files: Mapping[str, Path], folder: Path
) -> dict[str, Path]:
    """Find the copy of each channel's file.

    The sample sheet alone tells, not slide.json: a workflow takes that away before it makes it
    anew, and the copies are then all that is left of the slide.

    Returns
    -------
    copies
        By channel; empty where not all are there, or where names clash.
    """
    try:
        names = name_copies(channels, files)
    except InputError:  # `ingest` tells it
        return {}
    copies = {channel: folder / names[real_path(path)] for channel, path in files.items()}
    return copies if all(os.path.lexists(path) for path in copies.values()) else {}


def real_path(path: Path) -> Path:
    """Resolve links as far as they lead."""
    return Path(os.path.realpath(path))


def name_copies(channels: Sequence[Channel], files: Mapping[str, Path]) -> dict[Path, str]:
    """Name the copy of each source file (by its real path), in the order of first use.

    Sources of the same name are told apart by the channel that uses them first.
    """
    first_use: dict[Path, str] = {}
    given: dict[Path, str] = {}
    for channel in channels:
        path = files[channel.channel]
        first_use.setdefault(real_path(path), channel.channel)
        # The name that the user wrote, not that of the annex object behind a link.
        given.setdefault(real_path(path), path.name)
    # File systems that ignore case hold two names for one.
    counts = Counter(name.lower() for name in given.values())
    names = {
        source: f"{first_use[source]}_{name}" if counts[name.lower()] > 1 else name
        for source, name in given.items()
    }
    used = Counter(name.lower() for name in names.values())
    for source, name in names.items():
        if used[name.lower()] > 1 or name == NAME:
            raise InputError(
                Problem(str(source), "has a name that is taken in the slide", "Rename the file.")
            )
    return names

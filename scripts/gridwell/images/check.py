"""Whether the raw images of a study can be used, from their headers alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gridwell.config.errors import InputError, Problem
from gridwell.config.models import Channel, Role
from gridwell.images.reader import ImageInfo, inspect

if TYPE_CHECKING:
    from gridwell.config.study import Study

_TABLE = "config/channels.tsv"
# Roles that need one kind of image; grid and other take both.
_SAMPLES = {Role.NUCLEI: 1, Role.LIVE: 1, Role.DEAD: 1, Role.COLOUR: 3}


def check_images(study: Study) -> list[Problem]:
    """Check the headers of all raw images that the study names; no pixel is decoded.

    A slide that was ingested before and whose sources are gone since is not checked: its
    images are in the study.

    Returns
    -------
    problems
        Every image that is missing, unreadable, too large, of the wrong kind for its role, or
        of another size than its slide; empty where all is well.
    """
    problems: list[Problem] = []
    for slide in study.slides:
        channels = study.channels.get(slide, ())
        files = {channel.channel: study.path_of(channel) for channel in channels}
        ingested = (study.root / "raw" / slide / "slide.json").exists()
        if ingested and not all(path.exists() for path in files.values()):
            continue
        _, found = inspect_channels(channels, files, study.config.ingest.max_gigapixels)
        problems.extend(found)
    return problems


def inspect_channels(
    channels: Sequence[Channel], files: Mapping[str, Path], max_gigapixels: float
) -> tuple[dict[str, ImageInfo], list[Problem]]:
    """Read the headers of one slide's channels and compare them with each other.

    Returns
    -------
    infos
        By channel, those that could be read.
    problems
        What stands in the way of using them together.
    """
    infos: dict[str, ImageInfo] = {}
    problems: list[Problem] = []
    seen: set[Problem] = set()
    for channel in channels:
        path = files[channel.channel]
        try:
            infos[channel.channel] = inspect(path, max_gigapixels, index=channel.index)
        except InputError as error:
            # One broken file that several channels share is one problem.
            fresh = [p for p in error.problems if p not in seen]
            seen.update(fresh)
            problems.extend(fresh)
    for channel in channels:
        if channel.channel in infos:
            problems.extend(_fits(channel, infos))
    return infos, problems


def _fits(channel: Channel, infos: Mapping[str, ImageInfo]) -> list[Problem]:
    """Compare a channel's image with its role and with the slide's first image."""
    info = infos[channel.channel]
    name = f"{channel.slide}/{channel.channel}"
    problems = []
    samples = _SAMPLES.get(channel.role, info.samples)
    if info.samples != samples:
        found, needed = ("RGB", "gray") if samples == 1 else ("gray", "RGB")
        remedy = (
            "Give one gray plane of the stain, or the role colour, grid or other."
            if samples == 1
            else "Give an RGB scan, or another role."
        )
        problems.append(
            Problem(
                _TABLE,
                f"{name}: {info.path.name} is {found}, the role {channel.role} needs {needed}",
                remedy,
                column="role",
                value=str(channel.role),
            )
        )
    first_name, first = next(iter(infos.items()))
    if (info.width, info.height) != (first.width, first.height):
        problems.append(
            Problem(
                _TABLE,
                f"{name}: {info.path.name} is not of the size of channel {first_name}, "
                f"{first.width} x {first.height}",
                "All channels of a slide must cover the same field: correct path or index, or "
                "export them at the same size.",
                column="path",
                value=f"{info.width} x {info.height}",
            )
        )
    return problems

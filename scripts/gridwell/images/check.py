"""Whether the raw images of a study can be used, from their headers alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gridwell.config.errors import InputError, Problem
from gridwell.config.models import Channel, Role
from gridwell.images.delivery import check_deliveries, copies_in_place, sources_of
from gridwell.images.reader import ImageInfo, inspect

if TYPE_CHECKING:
    from gridwell.config.study import Study

TABLE = "config/channels.tsv"
# Roles that need one kind of image; grid and other take both.
_SAMPLES = {Role.NUCLEI: 1, Role.LIVE: 1, Role.DEAD: 1, Role.COLOUR: 3}


def check_images(study: Study) -> list[Problem]:
    """Check the headers of all raw images that the study names; no pixel is decoded.

    A slide whose images are in the study already is checked for changed deliveries only, and
    one at a URL when it is fetched.

    Returns
    -------
    problems
        Every image that is missing, unreadable, too large, of the wrong kind for its role, or
        of another size than its slide; empty where all is well. What can be mended in
        channels.tsv names that file and its row; damage names the image.
    """
    problems = check_deliveries(study)
    for slide in study.slides:
        channels = study.channels.get(slide, ())
        if copies_in_place(study, slide):
            continue
        files = sources_of(study, slide)
        if any(channel.url and not files[channel.channel].exists() for channel in channels):
            continue
        rows = {name: study.lines.get((slide, name)) for name in files}
        budget = study.config.ingest.max_gigapixels
        problems.extend(inspect_channels(channels, files, budget, rows)[1])
    return problems


def inspect_channels(
    channels: Sequence[Channel],
    files: Mapping[str, Path],
    max_gigapixels: float,
    rows: Mapping[str, int | None] | None = None,
) -> tuple[dict[str, ImageInfo], list[Problem]]:
    """Read the headers of one slide's channels and compare them with each other.

    Parameters
    ----------
    channels
        Channels of the slide.
    files
        Image file of each channel, by name.
    max_gigapixels
        Largest declared size of a plane, in 10⁹ pixels.
    rows
        Line of each channel in channels.tsv, if known.

    Returns
    -------
    infos
        By channel, those that could be read.
    problems
        What stands in the way of using them together.
    """
    infos: dict[str, ImageInfo] = {}
    problems: list[Problem] = []
    rows = rows or {}
    seen: set[Problem] = set()
    for channel in channels:
        path = files[channel.channel]
        try:
            infos[channel.channel] = inspect(path, max_gigapixels, index=channel.index)
        except InputError as error:
            # One broken file that several channels share is one problem.
            told = [_placed(p, channel, path, rows.get(channel.channel)) for p in error.problems]
            fresh = [problem for problem in told if problem not in seen]
            seen.update(fresh)
            problems.extend(fresh)
    for channel in channels:
        if channel.channel in infos:
            row = rows.get(channel.channel)
            problems.extend(replace(problem, row=row) for problem in _fits(channel, infos))
    try:
        agreed_pixel_size(channels, infos)
    except InputError as error:
        first = next((rows[name] for name in infos if name in rows), None)
        problems.extend(replace(problem, row=first) for problem in error.problems)
    # A channel that stands twice in the table has the mistakes of its image once.
    return infos, list(dict.fromkeys(problems))


def agreed_pixel_size(channels: Sequence[Channel], infos: Mapping[str, ImageInfo]) -> float | None:
    """Pixel size of the slide in micrometres: what channels.tsv says, else what the files say.

    Raises
    ------
    InputError
        If the channels, or their files, say different ones.
    """
    table = {c.channel: c.pixel_size_um for c in channels if c.pixel_size_um is not None}
    said = table or {
        name: info.pixel_size_um for name, info in infos.items() if info.pixel_size_um is not None
    }
    if not said:
        return None
    if max(said.values()) > 1.01 * min(said.values()):
        raise InputError(
            Problem(
                TABLE,
                f"{channels[0].slide}: the channels have different pixel sizes",
                "Write the true one into the column pixel_size_um of channels.tsv, the same for "
                "all channels of the slide.",
                column="pixel_size_um",
                value=", ".join(f"{name}: {size:g}" for name, size in said.items()),
            )
        )
    return next(iter(said.values()))


def _placed(problem: Problem, channel: Channel, path: Path, row: int | None) -> Problem:
    """Name the row of channels.tsv where that is what has to be mended, not the image."""
    name = f"{channel.slide}/{channel.channel}"
    if problem.column == "index":
        reason = f"{name}: {path.name} {problem.reason}"
        return Problem(TABLE, reason, problem.remedy, row, "index", channel.index)
    if not (path.is_file() or path.is_symlink()):
        reason = f"{name}: the image {problem.reason}"
        return Problem(TABLE, reason, problem.remedy, row, "path", channel.path)
    return problem


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
                TABLE,
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
                TABLE,
                f"{name}: {info.path.name} is not of the size of channel {first_name}, "
                f"{first.width} x {first.height}",
                "All channels of a slide must cover the same field: correct path or index, or "
                "export them at the same size.",
                column="path",
                value=f"{info.width} x {info.height}",
            )
        )
    return problems

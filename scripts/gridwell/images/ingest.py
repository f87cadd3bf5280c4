"""Raw images come into the study: copied once, hashed on the way, described in slide.json."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from gridwell.config.errors import InputError, Problem
from gridwell.config.files import whole, write_json
from gridwell.config.models import Channel
from gridwell.images.check import agreed_pixel_size, inspect_channels
from gridwell.images.copies import name_copies, real_path
from gridwell.images.description import FORMAT, NAME
from gridwell.images.reader import ImageInfo, inspect, not_fetched

_BUFFER = 2**22


def ingest_slide(
    slide: str,
    channels: Sequence[Channel],
    files: Mapping[str, Path],
    out_dir: Path,
    max_gigapixels: float = 4.0,
) -> dict[str, Any]:
    """Copy the images of a slide into `out_dir` and write its ``slide.json`` last.

    A file that several channels share is copied once. A file that is there already, with the
    same content, is left untouched, also where it is a link into a dataset's annex. On any
    failure, whatever this call brought is taken away again.

    Parameters
    ----------
    slide
        Name of the slide.
    channels
        Its channels, in the order of channels.tsv.
    files
        Source file of each channel, by the channel's name.
    out_dir
        ``raw/<slide>``.
    max_gigapixels
        Largest declared size of a plane, in 10⁹ pixels.

    Returns
    -------
    info
        What slide.json holds.

    Raises
    ------
    InputError
        If an image is missing, damaged, too large or does not fit the others, if the copy
        differs from what was there under its name, or cannot be written.
    """
    infos, problems = inspect_channels(channels, files, max_gigapixels)
    if problems:
        raise InputError(problems)
    pixel_size = agreed_pixel_size(channels, infos)
    names = name_copies(channels, files)
    fresh_folder = not out_dir.exists()
    brought: list[Path] = []
    try:
        entries = []
        for source, name in names.items():
            entries.append(_bring(source, out_dir / name, brought))
        for channel in channels:
            copy = out_dir / names[real_path(files[channel.channel])]
            copied = inspect(copy, max_gigapixels, index=channel.index)
            infos[channel.channel] = copied
        info = _describe(slide, channels, infos, pixel_size, entries)
        if not _same_json(out_dir / NAME, info):
            write_json(out_dir / NAME, info)
    except BaseException:
        for path in brought:
            path.unlink(missing_ok=True)
        if fresh_folder:
            with suppress(OSError):  # another process may have put files there
                out_dir.rmdir()
        raise
    return info


def _bring(source: Path, target: Path, brought: list[Path]) -> dict[str, Any]:
    """Copy one file unless the same is there; return its entry for slide.json."""
    try:
        if os.path.lexists(target):
            if target.is_symlink() and not target.exists():
                raise not_fetched(target)
            size, digest = _read(source)
            if real_path(source) != real_path(target) and _read(target) != (size, digest):
                raise InputError(
                    Problem(
                        str(target),
                        f"is there already and differs from {source}",
                        "Raw images never change: give the new image a new slide name in "
                        "slides.tsv and channels.tsv.",
                    )
                )
        else:
            before = source.stat()
            with whole(target) as part:
                size, digest = _read(source, part)
                after = source.stat()
                if (before.st_size, before.st_mtime_ns) != (size, after.st_mtime_ns):
                    raise InputError(
                        Problem(
                            str(source),
                            "changed while it was copied",
                            "Wait until the microscope has written it, then run again.",
                        )
                    )
            brought.append(target)
    except OSError as error:
        raise InputError(
            Problem(
                str(source),
                f"could not be copied to {target}: {error.strerror}",
                "Make room, or see to the permissions of both folders.",
            )
        ) from error
    return {"name": target.name, "size": size, "sha256": digest}


def _read(source: Path, copy: Path | None = None) -> tuple[int, str]:
    """Return size and sha256 of a file; write it to `copy` on the way."""
    digest = hashlib.sha256()
    size = 0
    with source.open("rb") as file, (copy or Path(os.devnull)).open("wb") as out:
        while block := file.read(_BUFFER):
            digest.update(block)
            out.write(block)
            size += len(block)
    return size, digest.hexdigest()


def _describe(
    slide: str,
    channels: Sequence[Channel],
    infos: Mapping[str, ImageInfo],
    pixel_size: float | None,
    entries: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    described = []
    planes = 0
    for channel in channels:
        info = infos[channel.channel]
        described.append(
            {
                "channel": channel.channel,
                "role": str(channel.role),
                "file": info.path.name,
                "index": channel.index,
                "samples": info.samples,
                "dtype": info.dtype,
                "planes": list(range(planes, planes + info.samples)),
            }
        )
        planes += info.samples
    first = infos[channels[0].channel]
    dates = [infos[c.channel].acquired for c in channels]
    return {
        "format": FORMAT,
        "slide": slide,
        "width": first.width,
        "height": first.height,
        "dtype": "uint16" if any(i.dtype == "uint16" for i in infos.values()) else "uint8",
        "pixel_size_um": pixel_size,
        "acquired": next((date for date in dates if date), None),
        "channels": described,
        "files": list(entries),
    }


def _same_json(path: Path, info: Mapping[str, Any]) -> bool:
    try:
        return bool(json.loads(path.read_text(encoding="utf-8")) == info)
    except (OSError, ValueError):
        return False

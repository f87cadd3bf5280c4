"""Raw images come into the study: copied once, hashed on the way, described in slide.json."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from gridwell.config.errors import InputError, Problem
from gridwell.config.files import whole, write_json
from gridwell.config.models import Channel, IngestOptions
from gridwell.images.check import TABLE, agreed_pixel_size, inspect_channels
from gridwell.images.copies import name_copies, real_path
from gridwell.images.description import FORMAT, NAME
from gridwell.images.reader import ImageInfo, inspect, not_fetched
from gridwell.runs.progress import begin, step

_BUFFER = 2**22
# A file that is about to be replaced; one job brings a slide in at a time.
_ASIDE = ".replaced.part"


def ingest_slide(
    slide: str,
    channels: Sequence[Channel],
    files: Mapping[str, Path],
    out_dir: Path,
    options: IngestOptions | None = None,
) -> dict[str, Any]:
    """Bring the images of a slide into `out_dir` and write its ``slide.json`` last.

    A file that several channels share is brought once. A file that is there already, with the
    same content, is left untouched, also where it is a link into a dataset's annex. On any
    failure, whatever this call brought is taken away again, and what it replaced is put back.

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
    options
        Section ``ingest`` of the configuration.

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
    options = options or IngestOptions()
    fresh_folder = not out_dir.exists()
    brought = _Brought()
    _mend(out_dir)
    try:
        _fetch(channels, files, brought)
        infos, problems = inspect_channels(channels, files, options.max_gigapixels)
        if problems:
            raise InputError(problems)
        pixel_size = agreed_pixel_size(channels, infos)
        names = name_copies(channels, files)
        entries = []
        begin(_bytes_to_read(names, out_dir), "bytes")
        for source, name in names.items():
            entries.append(_bring(source, out_dir / name, brought, options))
        urls = {names[real_path(files[c.channel])]: c.url for c in channels if c.url}
        for entry in entries:
            if entry["name"] in urls:
                entry["url"] = urls[entry["name"]]
        for channel in channels:
            copy = out_dir / names[real_path(files[channel.channel])]
            copied = inspect(copy, options.max_gigapixels, index=channel.index)
            infos[channel.channel] = copied
        info = _describe(slide, channels, infos, pixel_size, entries)
        if not _same_json(out_dir / NAME, info):
            write_json(out_dir / NAME, info)
    except BaseException:
        brought.take_back()
        if fresh_folder:
            with suppress(OSError):  # another process may have put files there
                out_dir.rmdir()
        raise
    brought.settle()
    return info


def _bytes_to_read(names: Mapping[Path, str], out_dir: Path) -> int:
    """Size of all sources, and of copies that are there already and are compared with them."""
    files = {*names, *(real_path(out_dir / name) for name in names.values())}
    return sum(path.stat().st_size for path in files if path.is_file())


def _fetch(channels: Sequence[Channel], files: Mapping[str, Path], brought: _Brought) -> None:
    """Fetch images at a URL to where their copies belong, those that are there already left."""
    urls: dict[Path, str] = {}
    for channel in channels:
        target = files[channel.channel]
        if channel.url is None or os.path.lexists(target):
            continue
        name = target.name.lower()
        others = [str(path) for path in files.values() if path.name.lower() == name]
        others = [urls.setdefault(target, channel.url), *others]
        taken = [other for other in others if other not in (channel.url, str(target))]
        if taken:
            reason = f"ends with the same file name as {taken[0]}"
            remedy = "Fetch one of them yourself, and name the file."
            raise InputError(Problem(TABLE, reason, remedy, None, "path", channel.url))
    for target, url in urls.items():
        try:
            with whole(target) as part, urlopen(url, timeout=60) as answer, part.open("wb") as out:  # noqa: S310 - http and https alone
                shutil.copyfileobj(answer, out, _BUFFER)
                expected = answer.headers.get("Content-Length")
                if expected is not None and int(expected) != out.tell():
                    raise OSError(f"the connection ended after {out.tell()} of {expected} bytes")
        except (OSError, ValueError, HTTPException) as error:
            remedy = "See whether the URL opens in a browser on this machine, and run again."
            raise InputError(
                Problem(TABLE, f"could not be fetched ({error})", remedy, None, "path", url)
            ) from error
        brought.fresh.append(target)


def _mend(folder: Path) -> None:
    """Bring back what a killed replacement put aside, unless the new file is in its place."""
    for aside in folder.glob(f".*{_ASIDE}"):
        target = aside.with_name(aside.name.removesuffix(_ASIDE)[1:])
        if os.path.lexists(target):
            aside.unlink()
        else:
            aside.rename(target)


@dataclass
class _Brought:
    """What a call brought, so that all of it can be taken back."""

    fresh: list[Path] = field(default_factory=list)
    replaced: dict[Path, Path] = field(default_factory=dict)

    def put_aside(self, target: Path) -> None:
        """Keep what is to be replaced until all is well."""
        aside = target.with_name(f".{target.name}{_ASIDE}")
        target.rename(aside)
        self.replaced[target] = aside

    def take_back(self) -> None:
        """Undo everything."""
        for path in self.fresh:
            path.unlink(missing_ok=True)
        for target, aside in self.replaced.items():
            aside.replace(target)

    def settle(self) -> None:
        """Let go of what was replaced; a dataset keeps its content in the history."""
        for aside in self.replaced.values():
            aside.unlink()


def _bring(source: Path, target: Path, brought: _Brought, options: IngestOptions) -> dict[str, Any]:
    """Copy or link one file unless the same is there; return its entry for slide.json."""
    try:
        if os.path.lexists(target):
            if target.is_symlink() and not target.exists():
                raise not_fetched(target)
            size, digest = _read(source)
            if real_path(source) == real_path(target) or _read(target) == (size, digest):
                return {"name": target.name, "size": size, "sha256": digest}
            if not options.replace:
                raise InputError(
                    Problem(
                        str(target),
                        f"is there already and differs from {source}",
                        "Raw images never change: give the new image a new slide name in "
                        "slides.tsv and channels.tsv; or set ingest.replace: true, and the "
                        "history keeps both.",
                    )
                )
            brought.put_aside(target)
        before = source.stat()
        with whole(target) as part:
            if options.by == "hard_link":
                part.hardlink_to(real_path(source))
                size, digest = _read(source)
            else:
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
        brought.fresh.append(target)
    except OSError as error:
        linked = options.by == "hard_link" and error.errno in (errno.EXDEV, errno.EPERM)
        raise InputError(
            Problem(
                str(source),
                f"could not be {'linked' if linked else 'copied'} to {target}: {error.strerror}",
                "Set ingest.by: copy; hard links work within one file system only."
                if linked
                else "Make room, or see to the permissions of both folders.",
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
            step(len(block))
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

"""Images, slides and spot stacks for the tests of this room."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import tifffile
from gridwell.config.models import Channel, IngestOptions, TileOptions
from gridwell.config.spots import spot_name
from gridwell.images.ingest import ingest_slide
from gridwell.images.slide import SlideImage, open_slide, write_slide
from gridwell.images.spots import SpotFrame
from numpy.typing import NDArray


def noise(height: int, width: int, dtype: str = "uint16", samples: int = 1) -> NDArray[Any]:
    """Random pixels, so that any pixel in the wrong place shows."""
    shape = (height, width) if samples == 1 else (height, width, samples)
    rng = np.random.default_rng(height * width)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def channel(name: str, path: Path, **facts: Any) -> Channel:
    """Make a row of channels.tsv."""
    role = facts.pop("role", name if name in ("nuclei", "live", "dead", "grid") else "other")
    return Channel(slide="S1", channel=name, role=role, path=str(path), **facts)


def ingest(folder: Path, *channels: Channel, **options: Any) -> dict[str, Any]:
    """Ingest a slide into ``folder/raw/S1``."""
    raw = folder / "raw" / "S1"
    files = {c.channel: raw / file_name(c) if c.url else Path(c.path) for c in channels}
    return ingest_slide("S1", channels, files, raw, IngestOptions(**options))


def file_name(row: Channel) -> str:
    """Name of the file at a channel's URL."""
    return unquote(PurePosixPath(urlsplit(row.path).path).name)


def tiled_slide(folder: Path, *images: NDArray[Any], chunk: int = 64, **options: Any) -> SlideImage:
    """Write images as channels nuclei, live, … of a slide and open its pyramid."""
    rows = []
    for name, image in zip(("nuclei", "live", "scan"), images, strict=False):
        path = folder / f"{name}.tif"
        photometric = "rgb" if image.ndim == 3 else "minisblack"
        tifffile.imwrite(
            path, image, tile=(48, 80), compression="zlib", photometric=photometric,
            resolution=(1e4 / 2, 1e4 / 2), resolutionunit="CENTIMETER",
        )  # fmt: skip
        rows.append(channel(name, path, role="colour" if image.ndim == 3 else "other"))
    ingest(folder, *rows)
    out = folder / "slide.zarr"
    write_slide(folder / "raw" / "S1", out, TileOptions(chunk=chunk, **options))
    return open_slide(out)


def frame(rows: int, cols: int, **facts: Any) -> SpotFrame:
    """Make a grid: centre of A1 at `origin`, spacing `pitch`, turned by `angle` degrees."""
    angle = facts.pop("angle", 0.0)
    x0, y0 = facts.pop("origin", (60.0, 50.0))
    pitch = facts.pop("pitch", 90.0)
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    r, c = (i.ravel() for i in np.indices((rows, cols)))
    return SpotFrame(
        slide="S1",
        rows=rows,
        cols=cols,
        spots=tuple(spot_name(int(i), int(j)) for i, j in zip(r, c, strict=True)),
        x=x0 + pitch * (c * cos - r * sin),
        y=y0 + pitch * (c * sin + r * cos),
        angle=angle,
        width=facts.pop("width", 40.0),
        height=facts.pop("height", 32.0),
        shape=facts.pop("shape", "square"),
        found=facts.pop("found", [True] * (rows * cols)),
        **facts,
    )


def tree_hash(folder: Path) -> str:
    """Hash of the names and bytes of all files below a folder."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(str(path.relative_to(folder)).encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()

"""Files as microscopes and scanners write them, streamed band by band."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np

from gridwell.config.files import whole
from gridwell.phantom.options import PhantomOptions
from gridwell.phantom.render import Renderer

TILE = 512
STRIP = 64
ACQUIRED = "2026-01-31T10:00:00"
"""Every simulated slide was taken then, so that equal seeds give equal bytes."""

_SUFFIX = {
    "per_channel": ".ome.tif",
    "multi_channel": ".ome.tif",
    "bigtiff": ".tif",
    "striped": ".tif",
    "png": ".png",
    "jpeg": ".jpg",
}


def file_names(options: PhantomOptions) -> dict[str, tuple[str, int]]:
    """File of each channel and the index of its plane there, without writing anything."""
    suffix = _SUFFIX[options.files]
    if options.files == "multi_channel":
        return {c: (f"{options.slide}{suffix}", i) for i, c in enumerate(options.channels)}
    return {c: (f"{options.slide}_{c}{suffix}", 0) for c in options.channels}


def write_images(renderer: Renderer, out_dir: Path, band: int | None = None) -> None:
    """Write the images of a slide.

    Parameters
    ----------
    renderer
        The slide.
    out_dir
        Folder of the files.
    band
        Rows rendered at a time, a multiple of the tile (strip) height; None: one tile (strip).
        The bytes do not depend on it.
    """
    options = renderer.options
    by_file: dict[str, list[str]] = {}
    for channel, (name, _) in file_names(options).items():
        by_file.setdefault(name, []).append(channel)
    for name, channels in by_file.items():
        with whole(out_dir / name) as part:
            if options.files in ("png", "jpeg"):
                _write_scan(renderer, channels[0], part)
            else:
                _write_tiff(renderer, channels, part, band)


def _write_tiff(renderer: Renderer, channels: list[str], path: Path, band: int | None) -> None:
    import tifffile

    options, geometry = renderer.options, renderer.geometry
    ome = options.files in ("per_channel", "multi_channel")
    striped = options.files == "striped"
    colour = options.channels[channels[0]] == "colour"
    shape = (geometry.height, geometry.width, 3) if colour else (geometry.height, geometry.width)
    layout: dict[str, Any] = {"rowsperstrip": STRIP} if striped else {"tile": (TILE, TILE)}
    unit = STRIP if striped else TILE
    # A classic TIFF ends at 4 GiB.
    large = math.prod(shape) * options.bits // 8 * len(channels) > 3.9 * 2**30
    with tifffile.TiffWriter(
        path, bigtiff=options.files == "bigtiff" or large, byteorder="<"
    ) as file:
        for number, channel in enumerate(channels):
            description = _ome_xml(renderer, channels) if ome and number == 0 else None
            file.write(
                _encoded(renderer.bands(channel, band or unit), options, unit, striped),
                shape=shape,
                dtype=np.uint8 if options.bits == 8 else np.uint16,
                photometric="rgb" if colour else "minisblack",
                planarconfig="contig" if colour else None,
                compression=None if options.compression == "none" else options.compression,
                resolution=(1e4 / options.pixel_size_um, 1e4 / options.pixel_size_um),
                resolutionunit="CENTIMETER",
                description=description,
                metadata=None,
                software=False,
                contiguous=False,
                maxworkers=1,
                **layout,
            )


def _encoded(
    bands: Iterator[np.ndarray], options: PhantomOptions, unit: int, striped: bool
) -> Iterator[bytes]:
    """Cut bands into strips or tiles, the last tiles padded, and encode each."""
    encode = _encoder(options)
    for band in bands:
        for y in range(0, len(band), unit):
            rows = band[y : y + unit]
            if striped:
                yield encode(np.ascontiguousarray(rows))
                continue
            for x in range(0, rows.shape[1], TILE):
                part = rows[:, x : x + TILE]
                tile = np.zeros((TILE, TILE, *part.shape[2:]), part.dtype)
                tile[: part.shape[0], : part.shape[1]] = part
                yield encode(tile)


def _encoder(options: PhantomOptions) -> Callable[[np.ndarray], bytes]:
    if options.compression == "none":
        return lambda array: array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    if options.compression == "zlib":
        return lambda array: zlib.compress(array.tobytes(), 6)
    import imagecodecs

    encode = imagecodecs.lzw_encode if options.compression == "lzw" else imagecodecs.zstd_encode
    return lambda array: bytes(encode(array.tobytes()))


def _ome_xml(renderer: Renderer, channels: list[str]) -> bytes:
    options, geometry = renderer.options, renderer.geometry
    colour = options.channels[channels[0]] == "colour"
    samples = 3 if colour else 1
    size = f'"{options.pixel_size_um:.6g}"'
    planes = "".join(
        f'<Channel ID="Channel:0:{i}" Name={quoteattr(channel)} SamplesPerPixel="{samples}"/>'
        for i, channel in enumerate(channels)
    )
    data = "".join(
        f'<TiffData FirstC="{i}" IFD="{i}" PlaneCount="1"/>' for i in range(len(channels))
    )
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xsi:schemaLocation="http://www.openmicroscopy.org/Schemas/OME/2016-06 '
        'http://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd" Creator="gridwell">'
        f'<Image ID="Image:0" Name={quoteattr(options.slide)}>'
        f"<AcquisitionDate>{ACQUIRED}</AcquisitionDate>"
        f'<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint{options.bits}" '
        f'SizeX="{geometry.width}" SizeY="{geometry.height}" SizeC="{len(channels) * samples}" '
        f'SizeZ="1" SizeT="1" PhysicalSizeX={size} PhysicalSizeXUnit="µm" '
        f'PhysicalSizeY={size} PhysicalSizeYUnit="µm" BigEndian="false" '
        f'Interleaved="{"true" if colour else "false"}">'
        f"{planes}{data}</Pixels></Image></OME>"
    )
    return xml.encode()


def _write_scan(renderer: Renderer, channel: str, path: Path) -> None:
    """PNG or JPEG: whole in memory, as their encoders want it; meant for small slides."""
    import cv2

    options = renderer.options
    image = renderer.band(channel, 0, renderer.geometry.height)
    if image.ndim == 3:
        image = np.ascontiguousarray(image[:, :, ::-1])
    quality = [cv2.IMWRITE_JPEG_QUALITY, 95] if options.files == "jpeg" else []
    done, encoded = cv2.imencode(_SUFFIX[options.files], image, quality)
    if not done:
        raise RuntimeError(f"{options.files} encoder failed")
    path.write_bytes(encoded.tobytes())

"""One lazy reader for raw images: TIFF of all kinds, PNG and JPEG.

A *plane* is what one channel needs: a gray or an RGB image. Planes of a file are counted from
0 in the order in which the file stores them; the reduced copies of a pyramid do not count.
Values are given as stored: nothing is scaled, inverted or turned (the EXIF orientation of a
photograph too is left alone, so that a pixel keeps its place in every program).

>>> with open_plane("scan.ome.tif", 1) as plane:  # doctest: +SKIP
...     for y0, rows in plane.bands(1024):
...         print(y0, rows.shape)
"""

from __future__ import annotations

import io
import os
import re
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from gridwell.config.errors import InputError, Problem
from gridwell.images.ome import OmeFacts, iso_date, read_ome

Pixels = NDArray[Any]

# Threads that decode tiles. Fixed, so that memory does not depend on the machine.
_WORKERS = 2
# No writer makes larger tiles; a header that declares them is broken or hostile.
_MAX_TILE_PIXELS = 2**26
# Resolutions outside this are a printer's or a screen's, not a microscope's or a scanner's.
_PLAUSIBLE_UM = (0.05, 100.0)
_UNIT_UM = {2: 25_400.0, 3: 10_000.0}  # TIFF ResolutionUnit: inch, centimetre
_JPEG_CODECS = (6, 7, 33007, 34892)

_VENDORS = {
    b"ZISRAWFILE": "a Zeiss CZI file",
    b"\xda\xce\xbe\x0a": "a Nikon ND2 file",
    b"\x70\x00\x00\x00": "a Leica LIF file",
    b"\xd0\xcf\x11\xe0": "an Olympus OIB or Zeiss ZVI file",
}


@dataclass(frozen=True)
class ImageInfo:
    """What the header of an image file says about one of its planes.

    Attributes
    ----------
    path
        The file.
    format
        ``tiff``, ``bigtiff``, ``ome-tiff``, ``png`` or ``jpeg``.
    width, height
        Size of the plane in pixels.
    dtype
        ``uint8`` or ``uint16``.
    planes
        Planes in the file.
    samples
        1 for gray, 3 for RGB.
    pixel_size_um
        Size of a pixel in micrometres, None where the file does not say or says nonsense.
    channel_names
        Channel name of each plane, where the file has names; else empty.
    acquired
        Date of acquisition in ISO 8601, or None.
    """

    path: Path
    format: str
    width: int
    height: int
    dtype: str
    planes: int
    samples: int
    pixel_size_um: float | None
    channel_names: tuple[str, ...]
    acquired: str | None


def inspect(
    path: str | os.PathLike[str], max_gigapixels: float = 4.0, *, index: int = 0
) -> ImageInfo:
    """Read the header of an image; no pixel is decoded.

    Parameters
    ----------
    path
        A TIFF, BigTIFF, OME-TIFF, PNG or JPEG file.
    max_gigapixels
        Largest declared size of a plane, in 10⁹ pixels.
    index
        The plane that is described.

    Raises
    ------
    InputError
        If the file is missing, not fetched, empty, cut off, of a kind that is not read, larger
        than the budget, or has no plane `index`.
    """
    with open_plane(path, index, max_gigapixels) as plane:
        return plane.info


@contextmanager
def open_plane(
    path: str | os.PathLike[str], index: int = 0, max_gigapixels: float = 4.0
) -> Iterator[Plane]:
    """Open plane `index` of an image file for reading by rows; see `inspect`."""
    path = Path(path)
    kind = _kind(path)
    if kind == "tiff":
        with _open_tiff(path) as tif:
            yield _tiff_plane(tif, path, index, max_gigapixels)
    else:
        yield _photo_plane(path, kind, index, max_gigapixels)


def overview(
    path: str | os.PathLike[str], index: int = 0, max_side: int = 2048
) -> tuple[Pixels, float]:
    """Reduce a plane by the least integer factor that brings it within `max_side`.

    Streams the plane once. Each output pixel is the mean of a square of pixels, of those that
    exist at the right and lower rim, rounded half up.

    Returns
    -------
    image
        Array (h, w) or (h, w, 3) of the plane's dtype.
    scale
        The factor: full = (p + 0.5) * scale - 0.5.
    """
    with open_plane(path, index) as plane:
        factor = -(-max(plane.info.width, plane.info.height) // max_side)
        rows = factor * max(1, 64 // factor)
        return np.concatenate([_area_mean(b, factor) for _, b in plane.bands(rows)]), float(factor)


def _area_mean(image: Pixels, factor: int) -> Pixels:
    """Mean over squares of `factor` pixels, integer arithmetic, half rounded up."""
    if factor == 1:
        return image
    ys = np.arange(0, image.shape[0], factor)
    xs = np.arange(0, image.shape[1], factor)
    sums = np.add.reduceat(image, ys, axis=0, dtype=np.uint64)
    sums = np.add.reduceat(sums, xs, axis=1)
    high = np.minimum(ys + factor, image.shape[0]) - ys
    wide = np.minimum(xs + factor, image.shape[1]) - xs
    count = (high[:, None] * wide[None, :]).astype(np.uint64)
    count = count.reshape(count.shape + (1,) * (image.ndim - 2))
    return ((sums + count // 2) // count).astype(image.dtype)


class Plane:
    """A gray or RGB image read by rows, without decoding it whole where the file allows.

    Reading rows from top to bottom decodes each tile once.
    """

    def __init__(self, info: ImageInfo, step: int, read: Callable[[int, int], Pixels]) -> None:
        """Take the reader of blocks of `step` rows: ``read(first, last)`` decodes blocks."""
        self.info = info
        self._step = step
        self._read = read
        self._kept: tuple[int, Pixels] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width), or (height, width, 3) for RGB."""
        size = (self.info.height, self.info.width)
        return size if self.info.samples == 1 else (*size, self.info.samples)

    def rows(self, y0: int, y1: int) -> Pixels:
        """Return the rows y0 to y1 - 1 as an array (y1 - y0, width) or (y1 - y0, width, 3).

        Raises
        ------
        InputError
            If a tile or strip cannot be decoded; names the file and the rows.
        """
        if not 0 <= y0 < y1 <= self.info.height:
            raise ValueError(f"rows {y0} to {y1} of {self.info.height}")
        step = self._step
        first, last = y0 // step, -(-y1 // step)
        start = first
        parts = []
        if self._kept is not None and self._kept[0] == first:
            parts.append(self._kept[1])
            start += 1
        if start < last:
            parts.append(self._read(start, last))
        block = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if step > 1 and y1 % step and y1 < self.info.height:
            rest = block[(last - 1 - first) * step :]
            self._kept = (last - 1, rest if rest.size == block.size else rest.copy())
        else:
            self._kept = None
        return block[y0 - first * step : y1 - first * step]

    def bands(self, height: int) -> Iterator[tuple[int, Pixels]]:
        """Yield (y0, rows) from top to bottom, `height` rows each, the rest in the last."""
        for y0 in range(0, self.info.height, height):
            yield y0, self.rows(y0, min(y0 + height, self.info.height))


# -- which kind of file ------------------------------------------------------------------------


def _problem(path: Path, reason: str, remedy: str, value: object = None) -> InputError:
    return InputError(Problem(str(path), reason, remedy, value=value))


def _kind(path: Path) -> str:
    """Return ``tiff``, ``png`` or ``jpeg`` by the first bytes; refuse all else."""
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for without end
            what = "a folder" if path.is_dir() else "a device or pipe"
            raise _problem(path, f"is {what}, not an image", "Name an image file.")
        with path.open("rb") as file:
            head = file.read(32)
    except FileNotFoundError:
        if path.is_symlink():
            raise _dangling(path) from None
        raise _problem(
            path, "is not there", "Correct the path, or put the file where it says."
        ) from None
    except PermissionError:
        raise _problem(
            path, "may not be read", "Give yourself permission to read the file."
        ) from None
    except OSError as error:
        raise _problem(
            path, f"cannot be opened: {error.strerror or error}", "Correct the path."
        ) from None
    if not head:
        raise _problem(path, "is empty (0 bytes)", "Copy the file again from the microscope.")
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "tiff"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith((b"/annex/objects/", b"version https://git-lfs")):
        raise not_fetched(path)
    for magic, name in _VENDORS.items():
        if head.startswith(magic):
            raise _problem(
                path,
                f"is {name}, which is not read yet",
                "Export it as OME-TIFF with the microscope's software or bfconvert.",
            )
    raise _problem(path, "is not an image", "Give a TIFF, OME-TIFF, PNG or JPEG file.")


def _dangling(path: Path) -> InputError:
    """Return the error for a link to nothing: of an annex, or any other."""
    target = path.readlink().as_posix()
    if "annex/objects" in target:
        return not_fetched(path)
    return _problem(
        path, "is a link to a file that is not there", "Correct the link, or the path.", target
    )


def not_fetched(path: Path) -> InputError:
    """Return the error for a file of a DataLad dataset whose content is not here."""
    return _problem(
        path,
        "is known to the dataset, but its content is not here",
        f"Run in the study: datalad get {path}",
    )


def _check_size(path: Path, width: int, height: int, max_gigapixels: float) -> None:
    if width < 1 or height < 1:
        raise _problem(path, "has no pixels", "Export the image again.", f"{width} x {height}")
    if width * height > max_gigapixels * 1e9:
        raise _problem(
            path,
            f"declares {width * height / 1e9:.3g} gigapixels, more than the {max_gigapixels:g} "
            "allowed",
            "If that is its real size, raise ingest.max_gigapixels in config.yaml.",
            f"{width} x {height}",
        )


def _check_index(path: Path, index: int, planes: int, others: Sequence[str] = ()) -> None:
    if not 0 <= index < planes:
        last = "index 0" if planes == 1 else f"index 0 to {planes - 1}"
        remedy = f"Use {last}."
        if others:
            remedy += f" Other planes of the set are in {', '.join(others[:5])}: name those files."
        reason = f"holds {planes} plane{'s' * (planes > 1)}"
        raise InputError(Problem(str(path), reason, remedy, column="index", value=index))


# -- PNG and JPEG ------------------------------------------------------------------------------


def _photo_plane(path: Path, kind: str, index: int, max_gigapixels: float) -> Plane:
    """Open a PNG or JPEG; it is decoded whole when the first rows are asked for."""
    width, height, dtype, samples = _png_header(path) if kind == "png" else _jpeg_header(path)
    _check_size(path, width, height, max_gigapixels)
    _check_index(path, index, 1)
    info = ImageInfo(path, kind, width, height, dtype, 1, samples, None, (), None)
    decoded: list[Pixels] = []

    def read(first: int, last: int) -> Pixels:
        if not decoded:
            decoded.append(_decode_photo(info))
        return decoded[0][first:last]

    return Plane(info, 1, read)


def _png_header(path: Path) -> tuple[int, int, str, int]:
    with path.open("rb") as file:
        head = file.read(33)
        file.seek(-min(12, path.stat().st_size), os.SEEK_END)
        tail = file.read()
    if len(head) < 33 or head[12:16] != b"IHDR" or tail[4:8] != b"IEND":
        raise _cut_off(path)
    width, height, bits, colour = struct.unpack(">IIBB", head[16:26])
    return width, height, "uint16" if bits == 16 else "uint8", 1 if colour in (0, 4) else 3


def _jpeg_header(path: Path) -> tuple[int, int, str, int]:
    """Walk the markers of a JPEG to its start of frame."""
    with path.open("rb") as file:
        file.seek(2)
        while True:
            byte = file.read(1)
            if not byte:
                raise _cut_off(path)
            if byte != b"\xff":
                raise _problem(path, "is a broken JPEG file", "Export the image again.")
            while byte == b"\xff":
                byte = file.read(1)
            head = file.read(2)
            if not byte or len(head) < 2:
                raise _cut_off(path)
            marker, length = byte[0], int.from_bytes(head, "big")
            # SOF0 to SOF15, less the three that are tables of other kinds.
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                frame = file.read(6)
                if len(frame) < 6:
                    raise _cut_off(path)
                bits, height, width, samples = struct.unpack(">BHHB", frame)
                break
            file.seek(length - 2, os.SEEK_CUR)
    if bits != 8 or samples not in (1, 3):
        raise _problem(
            path,
            f"is a JPEG of {samples} samples of {bits} bits",
            "Save it as gray or RGB with 8 bits, better as PNG or TIFF.",
        )
    return width, height, "uint8", samples


def _cut_off(path: Path) -> InputError:
    return _problem(path, "is cut off: the file ends before its image does", "Copy the file again.")


def _decode_photo(info: ImageInfo) -> Pixels:
    data = info.path.read_bytes()
    try:
        image = imagecodecs.png_decode(data) if info.format == "png" else _decode_jpeg(data)
    except Exception as error:
        raise _corrupt(info.path, "it", error) from None
    if image.ndim == 3 and image.shape[2] in (2, 4):
        image = _drop_alpha(info.path, image)
    shape = (info.height, info.width) if info.samples == 1 else (info.height, info.width, 3)
    if image.dtype != info.dtype or image.size != np.prod(shape):
        raise _corrupt(info.path, "it", f"it decodes to {image.shape} {image.dtype}")
    return image.reshape(shape)


def _decode_jpeg(data: bytes) -> Pixels:
    # Pillow, because it alone refuses a JPEG that ends early.
    from PIL.JpegImagePlugin import JpegImageFile

    with JpegImageFile(io.BytesIO(data)) as image:
        image.load()
        return np.asarray(image)


def _drop_alpha(path: Path, image: Pixels) -> Pixels:
    """Return the colours of an image whose last sample is an opaque alpha."""
    if (image[..., -1] != np.iinfo(image.dtype).max).any():
        raise _problem(
            path,
            "is transparent in places, so its colours are not defined",
            "Save it without an alpha channel.",
        )
    return np.ascontiguousarray(image[..., :-1])


def _corrupt(path: Path, what: str, error: object) -> InputError:
    detail = " ".join(str(error).split())[:200]
    return _problem(
        path,
        f"is damaged: {what} cannot be decoded ({detail})",
        "Copy the file again from where it was made, or export it again.",
    )


# -- TIFF --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Slot:
    """Where a plane lies in a TIFF: an IFD, its samples, and how far after the IFD's image."""

    page: Any
    ifd: int
    samples: tuple[int, ...]
    offset: int = 0


@contextmanager
def _open_tiff(path: Path) -> Iterator[Any]:
    try:
        # _multifile=False: no file is opened that the user did not name.
        tif = tifffile.TiffFile(path, _multifile=False)
    except OSError as error:
        raise _problem(
            path, f"cannot be read: {error.strerror or error}", "Check the disk."
        ) from None
    except Exception as error:
        raise _unreadable(path, error) from None
    with tif:
        yield tif


def _unreadable(path: Path, error: object) -> InputError:
    detail = " ".join(str(error).split())[:200]
    return _problem(
        path,
        f"is cut off or not a valid TIFF file ({detail})",
        "Copy the file again from where it was made, or export it again.",
    )


def _tiff_plane(tif: Any, path: Path, index: int, max_gigapixels: float) -> Plane:
    try:
        return _described_plane(tif, path, index, max_gigapixels)
    except InputError:
        raise
    except Exception as error:  # a broken header breaks arithmetic in many ways
        raise _unreadable(path, error) from error


def _described_plane(tif: Any, path: Path, index: int, max_gigapixels: float) -> Plane:
    slots = _slots(tif)
    if not slots:
        raise _unreadable(path, "it has no image")
    facts = _facts(tif, path, slots)
    _check_index(path, index, len(slots), facts.others)
    slot = slots[index]
    _check_size(path, slot.page.imagewidth, slot.page.imagelength, max_gigapixels)
    _check_layout(tif, path, slot)
    for other in slots:
        _check_ranges(path, other)
    info = ImageInfo(
        path=path,
        format="ome-tiff" if tif.is_ome else "bigtiff" if tif.is_bigtiff else "tiff",
        width=slot.page.imagewidth,
        height=slot.page.imagelength,
        dtype=str(slot.page.dtype),
        planes=len(slots),
        samples=1 if len(slot.samples) < 3 else 3,
        pixel_size_um=facts.pixel_size_um,
        channel_names=facts.channel_names,
        acquired=facts.acquired,
    )
    if slot.page.is_final:
        return Plane(info, 1, _RawRows(slot, info).read)
    blocks = _Segments(slot, info)
    return Plane(info, blocks.step, blocks.read)


def _slots(tif: Any) -> list[_Slot]:
    """List the planes of a TIFF in file order, without the reduced copies of a pyramid."""
    slots: list[_Slot] = []
    for ifd, page in enumerate(tif.pages):
        if page.is_reduced:
            continue
        count = page.samplesperpixel
        colour = page.photometric in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR)
        alpha = page.extrasamples in ((1,), (2,))
        if (colour and count in (3, 4)) or (alpha and count == 2):
            slots.append(_Slot(page, ifd, tuple(range(count))))
        else:  # each sample is a gray image of its own
            slots.extend(_Slot(page, ifd, (sample,)) for sample in range(count))
    # ImageJ writes stacks of more than 4 GB as one IFD and the planes after each other.
    if len(slots) == 1 and tif.is_imagej and slots[0].page.is_final:
        images = int((tif.imagej_metadata or {}).get("images", 1))
        page = slots[0].page
        if images > 1 and page.dataoffsets[0] + images * page.nbytes <= tif.filehandle.size:
            slots = [replace(slots[0], offset=i * page.nbytes) for i in range(images)]
    return slots


def _check_layout(tif: Any, path: Path, slot: _Slot) -> None:
    """Refuse what the rest of this module does not read right."""
    page = slot.page
    if str(page.dtype) not in ("uint8", "uint16"):
        found = "1-bit" if page.dtype == bool else str(page.dtype)
        raise _problem(
            path, "has pixels that are not 8- or 16-bit unsigned integers",
            "Export the raw image as uint8 or uint16.", found,
        )  # fmt: skip
    if page.imagedepth != 1:
        raise _problem(path, "stores a volume in one image", "Export single planes.")
    if page.is_tiled and page.tilewidth * page.tilelength > _MAX_TILE_PIXELS:
        raise _problem(
            path, "declares impossible tiles", "Export the image again.",
            f"{page.tilewidth} x {page.tilelength}",
        )  # fmt: skip
    photometric = page.photometric
    if photometric == tifffile.PHOTOMETRIC.PALETTE:
        ramp = page.colormap is not None and (np.diff(page.colormap.astype(int)) >= 0).all()
        # A lookup table for display leaves the values as intensities; a palette does not.
        if not (ramp or tif.is_ome or tif.is_imagej):
            raise _problem(path, "stores colours by a palette", "Save it as gray or RGB.")
    elif photometric == tifffile.PHOTOMETRIC.YCBCR and page.compression not in _JPEG_CODECS:
        raise _problem(path, "stores colours as YCbCr", "Save it as RGB.")
    elif photometric not in (
        tifffile.PHOTOMETRIC.MINISBLACK,
        tifffile.PHOTOMETRIC.MINISWHITE,
        tifffile.PHOTOMETRIC.RGB,
        tifffile.PHOTOMETRIC.YCBCR,
    ):
        name = getattr(photometric, "name", str(photometric))
        raise _problem(path, "has colours of a kind that is not read", "Save it as RGB.", name)


def _check_ranges(path: Path, slot: _Slot) -> None:
    """Refuse a file whose tiles or strips do not all lie inside it."""
    page = slot.page
    offsets, counts = page.dataoffsets, page.databytecounts
    expected = int(np.prod(page.chunked))
    if page.is_final and len(offsets) == 1:
        end = offsets[0] + slot.offset + page.nbytes
    elif not len(offsets) == len(counts) >= expected:
        raise _unreadable(path, f"{len(counts)} of {expected} tiles or strips are listed")
    else:
        end = max((o + c for o, c in zip(offsets, counts, strict=True)), default=0)
    if end > page.parent.filehandle.size:
        raise _cut_off(path)


def _facts(tif: Any, path: Path, slots: Sequence[_Slot]) -> OmeFacts:
    """Collect pixel size, date and names from OME-XML, else from the tags."""
    page = slots[0].page
    ome = OmeFacts(None, None, (), ())
    if tif.is_ome:
        try:
            ome = read_ome(page.description, path.name, max(s.ifd for s in slots) + 1)
        except ValueError as error:
            raise _problem(path, str(error), "Export the image again as OME-TIFF.") from None
    names = tuple(ome.channel_names[s.ifd] for s in slots) if ome.channel_names else ()
    return OmeFacts(
        pixel_size_um=ome.pixel_size_um or _tag_pixel_size(tif, page),
        acquired=ome.acquired or iso_date(str(page.tags.valueof("DateTime", "") or "")),
        channel_names=names,
        others=ome.others,
    )


def _tag_pixel_size(tif: Any, page: Any) -> float | None:
    """Pixel size in micrometres from the resolution tags, None where not plausible."""
    sizes = []
    for name in ("XResolution", "YResolution"):
        value = page.tags.valueof(name)
        if not isinstance(value, tuple) or len(value) < 2 or not value[0] or not value[1]:
            return None
        sizes.append(value[1] / value[0])
    unit = _UNIT_UM.get(int(page.tags.valueof("ResolutionUnit", 2) or 0))
    if tif.is_imagej:
        # ImageJ keeps the unit in its description; resolution is pixels per unit.
        name = str((tif.imagej_metadata or {}).get("unit", ""))
        micro = re.fullmatch(r"micron|um|µm|μm|\\u00B5m", name)
        unit = 1.0 if micro else {"nm": 1e-3, "mm": 1e3, "cm": 1e4, "inch": 25.4e3}.get(name)
    if unit is None or abs(sizes[0] - sizes[1]) > 0.01 * sizes[0]:
        return None
    size = float(sizes[0] * unit)
    # Eight digits: the tags are fractions of 32-bit integers and carry no more.
    return float(f"{size:.8g}") if _PLAUSIBLE_UM[0] <= size <= _PLAUSIBLE_UM[1] else None


class _RawRows:
    """Rows of an uncompressed plane that lies in one piece: any row without the others."""

    def __init__(self, slot: _Slot, info: ImageInfo) -> None:
        self._slot = slot
        self._info = info
        page = slot.page
        planar = int(page.planarconfig) == 2
        self._contig = 1 if planar else page.samplesperpixel
        self._dtype = np.dtype(page.parent.byteorder + page.dtype.char)
        self._start = page.dataoffsets[0] + slot.offset
        self._planar = planar

    def read(self, first: int, last: int) -> Pixels:
        info, samples = self._info, self._slot.samples
        if self._planar:
            planes = [self._rows(first, last, sample)[..., 0] for sample in samples]
            image = planes[0] if len(planes) == 1 else np.stack(planes, axis=-1)
        else:
            image = self._rows(first, last, 0)[..., list(samples)]
            image = image[..., 0] if len(samples) == 1 else image
        image = np.ascontiguousarray(image).astype(info.dtype, copy=False)
        return _without_alpha(info.path, image, samples)

    def _rows(self, first: int, last: int, sample: int) -> Pixels:
        info = self._info
        row = info.width * self._contig * self._dtype.itemsize
        handle = self._slot.page.parent.filehandle
        handle.seek(self._start + (sample * info.height + first) * row)
        data = handle.read((last - first) * row)
        if len(data) < (last - first) * row:
            raise _cut_off(info.path)
        return np.frombuffer(data, self._dtype).reshape(last - first, info.width, self._contig)


class _Segments:
    """Rows of tiles, or strips, decoded in a few threads."""

    def __init__(self, slot: _Slot, info: ImageInfo) -> None:
        page = slot.page
        self._slot = slot
        self._info = info
        self._lock = threading.Lock()
        self._planar = int(page.planarconfig) == 2
        self.step = min(page.tilelength if page.is_tiled else page.rowsperstrip, info.height)
        self._across = -(-info.width // page.tilewidth) if page.is_tiled else 1
        self._down = -(-info.height // self.step)
        self._options: dict[str, Any] = {}
        if page.compression in _JPEG_CODECS:
            self._options = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}

    def read(self, first: int, last: int) -> Pixels:
        """Decode the block rows first to last - 1."""
        info, samples = self._info, self._slot.samples
        top, bottom = first * self.step, min(last * self.step, info.height)
        out = np.empty((bottom - top, info.width, len(samples)), info.dtype)
        per_sample = self._across * self._down
        layers = samples if self._planar else (0,)
        segments = [
            layer * per_sample + block * self._across + column
            for layer in layers
            for block in range(first, last)
            for column in range(self._across)
        ]

        def place(segment: int) -> None:
            self._place(out, top, segment, self._bytes(segment))

        if len(segments) == 1 or out.size < 2**16:
            for segment in segments:
                place(segment)
        else:
            with ThreadPoolExecutor(_WORKERS) as pool:
                for _ in pool.map(place, segments):
                    pass
        image = out[..., 0] if len(samples) == 1 else out
        return _without_alpha(info.path, image, samples)

    def _bytes(self, segment: int) -> bytes | None:
        page = self._slot.page
        count = page.databytecounts[segment]
        if count == 0:
            return None
        handle = page.parent.filehandle
        with self._lock:  # a file has one position
            handle.seek(page.dataoffsets[segment])
            data = handle.read(count)
        if len(data) < count:
            raise _cut_off(self._info.path)
        return bytes(data)

    def _place(self, out: Pixels, top: int, segment: int, data: bytes | None) -> None:
        page, samples = self._slot.page, self._slot.samples
        try:
            tile, (layer, _, y, x, _), shape = page.decode(data, segment, **self._options)
        except Exception as error:  # every codec has its own
            row = segment // self._across % self._down
            y0 = row * self.step
            y1 = min(y0 + self.step, self._info.height) - 1
            kind = "tile" if page.is_tiled else "strip"
            raise _corrupt(
                self._info.path, f"{kind} row {row} (pixel rows {y0} to {y1})", error
            ) from None
        y -= top
        high = min(shape[1], out.shape[0] - y)
        wide = min(shape[2], out.shape[1] - x)
        target = out[y : y + high, x : x + wide]
        if tile is None:  # a tile without bytes is background, by convention
            target[...] = page.nodata
            return
        tile = tile[0, :high, :wide]
        if self._planar:
            target[: tile.shape[0], : tile.shape[1], samples.index(layer)] = tile[..., 0]
        else:
            chosen = tile if len(samples) == tile.shape[-1] else tile[..., list(samples)]
            target[: tile.shape[0], : tile.shape[1]] = chosen


def _without_alpha(path: Path, image: Pixels, samples: tuple[int, ...]) -> Pixels:
    if len(samples) not in (2, 4):
        return image
    image = _drop_alpha(path, image)
    return image[..., 0] if image.shape[-1] == 1 else image

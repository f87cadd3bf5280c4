"""What an OME-XML header says about the planes of one file, read without trusting it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from xml.etree import ElementTree

# Micrometres in one unit, for the lengths that OME allows and that a pixel can have.
_MICROMETRES = {
    "\u00b5m": 1.0,  # micro sign, the default of OME
    "\u03bcm": 1.0,  # greek mu
    "um": 1.0,
    "pm": 1e-6,
    "\u00c5": 1e-4,  # angstrom, as a letter
    "\u212b": 1e-4,  # angstrom, as a sign
    "nm": 1e-3,
    "mm": 1e3,
    "cm": 1e4,
    "dm": 1e5,
    "m": 1e6,
    "thou": 25.4,
    "li": 25.4e3 / 12,
    "in": 25.4e3,
}


@dataclass(frozen=True)
class OmeFacts:
    """Metadata of one file of an OME-TIFF set.

    Attributes
    ----------
    pixel_size_um
        Size of a pixel in micrometres, None where absent or not square.
    acquired
        Acquisition date in ISO 8601, or None.
    channel_names
        Name of the channel of each plane in the file, by IFD; "" where unknown.
    others
        Names of other files of the set, in the order of the header.
    """

    pixel_size_um: float | None
    acquired: str | None
    channel_names: tuple[str, ...]
    others: tuple[str, ...]


def read_ome(text: str, file_name: str, planes: int) -> OmeFacts:
    """Read the facts about the file `file_name` with `planes` IFDs from its OME-XML.

    Raises
    ------
    ValueError
        If the text is not XML, or declares entities: a header has no use for them, an attack
        has.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("the OME-XML declares a document type or entities")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 (no entities, see above)
    except ElementTree.ParseError as error:
        raise ValueError(f"the OME-XML cannot be parsed: {error}") from None
    own_uuid = root.get("UUID", "")
    names = [""] * planes
    others: list[str] = []
    first_ifd = 0
    pixel_size: float | None = None
    for pixels in _all(root, "Pixels"):
        pixel_size = pixel_size or _pixel_size(pixels)
        blocks = list(_all(pixels, "TiffData"))
        for ifd, file, channel in _plane_channels(pixels, blocks, first_ifd):
            own = file is None or file_name in file or (own_uuid and own_uuid in file)
            if file is not None and not own:
                if file[1] and file[1] not in others:
                    others.append(file[1])
            elif ifd < planes:
                names[ifd] = channel
                first_ifd = max(first_ifd, ifd + 1)
    date = next(_all(root, "AcquisitionDate"), None)
    return OmeFacts(
        pixel_size_um=pixel_size,
        acquired=iso_date(date.text if date is not None else None),
        channel_names=tuple(names) if any(names) else (),
        others=tuple(others),
    )


def iso_date(text: str | None) -> str | None:
    """Return a date and time as ISO 8601 to the second, None where it is not one.

    Understands ISO 8601 and the form of TIFF and EXIF, ``2026:01:31 10:00:00``.
    """
    text = (text or "").strip().rstrip("\0")
    if text[4:5] == ":" and text[7:8] == ":":
        text = text[:10].replace(":", "-") + text[10:]
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return None
    return date.replace(microsecond=0).isoformat()


def _all(parent: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    """Give the descendants called `name` in any namespace (each year of OME has its own)."""
    return (e for e in parent.iter() if isinstance(e.tag, str) and e.tag.split("}")[-1] == name)


def _integer(element: ElementTree.Element, name: str, default: int) -> int:
    try:
        return max(int(element.get(name, default)), 0)
    except ValueError:
        return default


def _pixel_size(pixels: ElementTree.Element) -> float | None:
    sizes = []
    for axis in "XY":
        unit = _MICROMETRES.get(pixels.get(f"PhysicalSize{axis}Unit", "um").strip())
        try:
            value = float(pixels.get(f"PhysicalSize{axis}", ""))
        except ValueError:
            return None
        if unit is None or not 0 < value < 1e9:
            return None
        sizes.append(value * unit)
    # A pixel that is not square has no single size.
    return sizes[0] if abs(sizes[0] - sizes[1]) <= 0.01 * sizes[0] else None


def _plane_channels(
    pixels: ElementTree.Element, blocks: list[ElementTree.Element], first_ifd: int
) -> Iterator[tuple[int, tuple[str, str] | None, str]]:
    """Yield IFD, file (UUID and name, None: this file) and channel name of each plane."""
    # Channels are counted by their elements: one of RGB counts three times in SizeC.
    names = [channel.get("Name", "") for channel in _all(pixels, "Channel")]
    channels = len(names) or _integer(pixels, "SizeC", 1)
    order = pixels.get("DimensionOrder", "XYCZT")[2:]
    sizes = {"C": channels, "Z": _integer(pixels, "SizeZ", 1), "T": _integer(pixels, "SizeT", 1)}
    total = sizes["C"] * sizes["Z"] * sizes["T"]
    if total > 1_000_000 or sorted(order) != ["C", "T", "Z"]:
        return

    def name_of(plane: int) -> str:
        for axis in order:
            if axis == "C":
                index = plane % sizes["C"]
                return names[index] if index < len(names) else ""
            plane //= max(sizes[axis], 1)
        return ""

    def plane_of(block: ElementTree.Element) -> int:
        plane, step = 0, 1
        for axis in order:
            plane += step * _integer(block, f"First{axis}", 0)
            step *= sizes[axis]
        return plane

    if not blocks:
        yield from ((first_ifd + i, None, name_of(i)) for i in range(total))
    for block in blocks:
        plane = plane_of(block)
        given = "IFD" in block.attrib
        ifd = _integer(block, "IFD", first_ifd)
        # Without a count: one plane where an IFD is named, else all that are left.
        count = _integer(block, "PlaneCount", 1 if given else max(total - plane, 1))
        uuid = next(_all(block, "UUID"), None)
        file = None if uuid is None else ((uuid.text or "").strip(), uuid.get("FileName", ""))
        for i in range(min(count, total)):
            yield ifd + i, file, name_of(plane + i)

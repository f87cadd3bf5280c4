"""OME-Zarr metadata, versions 0.4 and 0.5: written by hand, checked by ome-zarr-models in tests.

Kept to what readers agree on. Version 0.5 nests all of it under ``ome``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_COLOURS = {"nuclei": "0000FF", "live": "00FF00", "dead": "FF0000"}
_RGB = (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"))


def multiscale(
    name: str, factors: Sequence[int], pixel_size_um: float | None, *, channels: bool = True
) -> dict[str, Any]:
    """Describe a pyramid with axes (c,) y, x whose levels are shrunk by `factors`.

    Without a pixel size, lengths are in pixels and carry no unit. A level's first pixel is
    centred half its extra size further in; the translation says so.
    """
    unit = {} if pixel_size_um is None else {"unit": "micrometer"}
    size = 1.0 if pixel_size_um is None else pixel_size_um
    lead: list[float] = [1.0] if channels else []
    axes: list[dict[str, str]] = [{"name": "c", "type": "channel"}] if channels else []
    axes += [{"name": axis, "type": "space", **unit} for axis in "yx"]
    datasets = []
    for level, factor in enumerate(factors):
        shift = (factor - 1) / 2 * size
        datasets.append(
            {
                "path": str(level),
                "coordinateTransformations": [
                    {"type": "scale", "scale": [*lead, factor * size, factor * size]},
                    {"type": "translation", "translation": [0.0] * len(lead) + [shift, shift]},
                ],
            }
        )
    return {"name": name, "axes": axes, "datasets": datasets}


def omero(
    channels: Sequence[Mapping[str, Any]],
    dtype: str,
    windows: Sequence[tuple[int, int]] | None = None,
) -> dict[str, Any]:
    """Describe how viewers show the planes: one entry a plane, three for an RGB channel.

    Parameters
    ----------
    channels
        Entries with ``channel``, ``role`` and ``samples``.
    dtype
        ``uint8`` or ``uint16``.
    windows
        Darkest and brightest value to show, for each plane; the whole range if None.
    """
    top = 255 if dtype == "uint8" else 65535
    entries: list[dict[str, Any]] = []
    for channel in channels:
        name = str(channel["channel"])
        if channel["samples"] == 3:
            shown = [(f"{name} {part}", colour) for part, colour in _RGB]
        else:
            shown = [(name, _COLOURS.get(str(channel["role"]), "FFFFFF"))]
        for label, colour in shown:
            low, high = windows[len(entries)] if windows else (0, top)
            entries.append(
                {
                    "label": label,
                    "color": colour,
                    "active": True,
                    "window": {"min": 0, "max": top, "start": low, "end": high},
                }
            )
    return {"channels": entries, "rdefs": {"model": "color"}}


def image_attributes(
    scales: Mapping[str, Any], version: str, **others: Mapping[str, Any]
) -> dict[str, Any]:
    """Assemble the attributes of an image or label group (`others`: omero, image-label)."""
    if version == "0.5":
        return {"ome": {"version": "0.5", "multiscales": [dict(scales)], **others}}
    return {"multiscales": [{"version": "0.4", **scales}], **others}


def level_factors(side: int, smallest: int, least: int = 1) -> list[int]:
    """Factors 1, 2, 4… until `side` is at most `smallest`, at least `least` of them."""
    factors = [1]
    while -(-side // factors[-1]) > smallest or len(factors) < least:
        factors.append(factors[-1] * 2)
    return factors

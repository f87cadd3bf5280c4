"""Pictures of a report: the grid on its slide, single spots with their outlines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from gridwell.images.spots import SpotStack
from gridwell.report.page import data_uri

# What a channel is shown in, by role; channels of no known role take the spare colours.
ROLE_COLOURS: dict[str, tuple[float, float, float]] = {
    "nuclei": (0.25, 0.45, 1.0),
    "live": (0.10, 0.90, 0.35),
    "dead": (1.0, 0.15, 0.65),
}
SPARE_COLOURS = ((1.0, 0.75, 0.1), (0.1, 0.85, 0.95), (1.0, 0.4, 0.2), (0.85, 0.85, 0.85))

# Outlines are lighter than the stain below them, so that both are seen.
OUTLINES = {"nuclei": (150, 185, 255), "live": (130, 255, 160), "dead": (255, 140, 215)}
SPARE_OUTLINE = (255, 255, 255)

SIDES = (480, 400, 320, 240, 180, 120, 80)
GRID_SIDE = 1600
GRID_BYTES = 300_000


@dataclass(frozen=True)
class SpotPicture:
    """A spot: picture, outlines on top, size in pixels; length and colour of its scale bar."""

    image: str
    outlines: str
    width: int
    height: int
    bar: float
    bar_um: float
    ink: str


def colours(stack: SpotStack) -> dict[str, tuple[float, float, float]]:
    """Colours of a composite's channels; the grid's own is shown only if it is alone."""
    gray = [channel for channel in stack.channels if channel["samples"] == 1]
    shown = [channel for channel in gray if channel["role"] != "grid"] or gray
    spare = 0
    chosen: dict[str, tuple[float, float, float]] = {}
    for channel in shown:
        colour = ROLE_COLOURS.get(channel["role"])
        if colour is None or colour in chosen.values():
            colour = SPARE_COLOURS[spare % len(SPARE_COLOURS)]
            spare += 1
        chosen[channel["channel"]] = colour
    return chosen


def rgb(stack: SpotStack) -> str | None:
    """Name of the RGB channel, if there is one."""
    return next((c["channel"] for c in stack.channels if c["samples"] == 3), None)


def _pixels(stack: SpotStack, channel: str, index: int) -> np.ndarray:
    """Pixels (h, w) or (h, w, 3) of one spot."""
    return stack.read(channel, index, index + 1)[0]


def fitting_side(
    sides: Sequence[int], times: float, most_bytes: float, size: Callable[[int], int]
) -> int:
    """Find the largest of `sides` at which all pictures stay within `most_bytes`; 0: none does.

    Parameters
    ----------
    times
        How many times a sample stands in the whole.
    size
        Bytes that the sample takes at a side.
    """
    # Pictures that were not in the sample may be larger.
    return next((side for side in sides if 1.04 * times * size(side) <= most_bytes), 0)


def hex_colour(colour: Sequence[float]) -> str:
    """Write a colour of parts 0..1 as hex."""
    return "#" + "".join(f"{round(255 * part):02x}" for part in colour)


def outline_colours(stack: SpotStack) -> dict[str, tuple[int, int, int]]:
    """Colour of the outlines of each channel."""
    return {c["channel"]: OUTLINES.get(c["role"], SPARE_OUTLINE) for c in stack.channels}


def contrast(
    stack: SpotStack, channel: str, most: int = 32, *, full: bool = False
) -> tuple[float, float]:
    """Black and white point of a channel for all spots of a slide.

    The black point is the slide's usual background. The white point is its 99.7th percentile,
    but never closer to black than ten times the spread of the background: noise of a channel
    without objects stays dark.

    Parameters
    ----------
    most
        How many spots, spread evenly over the slide, are looked at.
    full
        Show the whole range of the pixels instead: of a bright field, which has no dark
        background.
    """
    inside = [i for i, whole in enumerate(stack.inside) if whole] or list(range(len(stack.names)))
    picks = sorted({inside[round(k)] for k in np.linspace(0, len(inside) - 1, most)})
    pixels = np.concatenate(
        [_pixels(stack, channel, index)[::3, ::3].ravel() for index in picks]
    ).astype(np.float32)
    if full:
        low, high = (float(p) for p in np.percentile(pixels, (0.5, 99.5)))
        return low, max(high, low + 1)
    black = float(np.percentile(pixels, 20))
    middle = float(np.median(pixels))
    spread = 1.4826 * float(np.median(np.abs(pixels - middle)))
    white = max(float(np.percentile(pixels, 99.7)), black + 10 * spread, black + 1)
    return black, white


def spot_picture(
    stack: SpotStack,
    index: int,
    *,
    limits: Mapping[str, tuple[float, float]],
    labels: Mapping[str, np.ndarray],
    side: int = SIDES[0],
) -> SpotPicture:
    """Compose one spot from its channels and draw the outlines of its objects.

    Parameters
    ----------
    limits
        Black and white point of each channel shown.
    labels
        Label images (h, w) of the spot by channel.
    side
        Longer side of the picture at most.
    """
    scan = rgb(stack)
    if scan is not None and not labels:
        picture = eight_bit(_pixels(stack, scan, index))
    else:
        picture = _composite(stack, index, limits)
    height, width = picture.shape[:2]
    factor = min(1.0, side / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    if factor < 1:
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    else:
        # Small spots are enlarged by whole pixels; the browser would blur them.
        times = max(1, min(240, side) // max(height, width))
        size = (width * times, height * times)
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST)
    roles = {channel["channel"]: channel["role"] for channel in stack.channels}
    overlay = np.zeros((size[1], size[0], 4), np.uint8)
    for channel in sorted(labels, key=lambda name: roles.get(name) == "nuclei", reverse=True):
        edge = outlined(labels[channel], size)
        overlay[edge] = (*OUTLINES.get(roles.get(channel, ""), SPARE_OUTLINE), 255)
    bar, length = scale_bar(width, stack.frame.pixel_size_um)
    return SpotPicture(
        image=webp(picture, 82),
        outlines=webp(overlay, 101) if overlay.any() else "",
        width=size[0],
        height=size[1],
        bar=bar,
        bar_um=length,
        ink="#000" if picture[-size[1] // 8 :, : size[0] // 3].mean() > 110 else "#fff",
    )


def _composite(
    stack: SpotStack, index: int, limits: Mapping[str, tuple[float, float]]
) -> np.ndarray:
    shown: np.ndarray | None = None
    for channel, colour in colours(stack).items():
        light = lightness(_pixels(stack, channel, index), limits[channel])
        layer = light[..., None] * np.asarray(colour, np.float32)
        # Screen blending: two stains in one place stay apart from white for longer.
        shown = layer if shown is None else 1 - (1 - shown) * (1 - layer)
    assert shown is not None, "a stack has at least one gray channel or an RGB one"
    return np.round(shown * 255).astype(np.uint8)


def lightness(pixels: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Light 0..1 of gray pixels between the black and the white point, faint light lifted."""
    black, white = limits
    light = (pixels.astype(np.float32) - black) / (white - black)
    return np.clip(light, 0, 1) ** np.float32(0.8)


def outlined(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Outermost pixels of objects once their labels are resized to `size` (w, h)."""
    found = cv2.resize(labels.astype(np.float32), size, interpolation=cv2.INTER_NEAREST)
    return rim(found.astype(np.int32))


def eight_bit(scan: np.ndarray) -> np.ndarray:
    """RGB pixels of a scan as bytes."""
    return scan if scan.dtype == np.uint8 else (scan >> 8).astype(np.uint8)


def rim(labels: np.ndarray) -> np.ndarray:
    """Outermost pixels of each object (h, w)."""
    edge = np.zeros(labels.shape, bool)
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edge[:, :-1] |= labels[:, 1:] != labels[:, :-1]
    edge[1:] |= labels[1:] != labels[:-1]
    edge[:-1] |= labels[1:] != labels[:-1]
    return edge & (labels > 0)


def scale_bar(width: int, pixel_size_um: float | None) -> tuple[float, float]:
    """Length of a round scale bar as a share of the picture's width, and in micrometres."""
    if not pixel_size_um:
        return 0.0, 0.0
    across = width * pixel_size_um
    rounds = [m * 10.0**e for e in range(-1, 5) for m in (1, 2, 5)]
    length = max((r for r in rounds if r <= across / 4), default=rounds[0])
    return length / across, length


def webp(picture: np.ndarray, quality: int) -> str:
    """Encode RGB or RGBA as WebP; a quality above 100 is lossless."""
    order = cv2.COLOR_RGBA2BGRA if picture.shape[2] == 4 else cv2.COLOR_RGB2BGR
    done, encoded = cv2.imencode(
        ".webp", cv2.cvtColor(picture, order), [cv2.IMWRITE_WEBP_QUALITY, quality]
    )
    assert done, "WebP is part of the OpenCV wheel"
    return data_uri(encoded.tobytes(), "image/webp")


def grid_picture(path: Path) -> tuple[str, int, int]:
    """Embed the drawing of the grid, made smaller where it is large: (data URI, width, height)."""
    content = path.read_bytes()
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{path} is not a picture")
    height, width = picture.shape[:2]
    factor = GRID_SIDE / max(height, width)
    if factor >= 1 and len(content) <= GRID_BYTES:
        return data_uri(content, "image/png"), width, height
    if factor < 1:
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        width, height = size
    return webp(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), 85), width, height

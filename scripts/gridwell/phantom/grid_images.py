"""Images of random carriers, painted from their geometry, and of things that are none.

Elements are computed all at once on small patches about their centres: as many pixels as the
elements cover, without a loop over them. Everything is deterministic in the seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from gridwell.phantom.grids import LEVELS, Scene, scene
from gridwell.phantom.painting import Plane, blob, clouds, jpeg, smooth

Image = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Pattern = Callable[[Scene, np.random.Generator], Plane]
_F = np.float32


@dataclass(frozen=True)
class Sample:
    """An image and what is known of it.

    Attributes
    ----------
    image
        (height, width) or (height, width, 3); uint8 or uint16.
    scene
        Truth; None for an image without a grid.
    foreground
        (height, width): share of each pixel that elements cover, without what joins them, and
        with the inside of rings.
    kind
        The level, or the kind of a negative.
    style
        What the elements look like; empty without elements.
    """

    image: Image
    scene: Scene | None
    foreground: Plane
    kind: str
    style: str = ""


@dataclass(frozen=True)
class Faults:
    """How far the images of a level go.

    The contrast is a share of full scale, texture one of the contrast, and `snr` the rms signal
    of the elements over the noise of a pixel.
    """

    contrast: tuple[float, float]
    snr: tuple[float, float]
    amplitude_sd: float
    texture: float
    gradient: float
    blur: float  # sigma, of the element's smaller side
    chips: float
    rough: float
    tiles: float
    extras: float  # probability of each of: frame, labels, ruler, scratches
    jpeg: float  # probability


FAULTS = {
    "L1": Faults((0.2, 0.7), (8, 15), 0.1, 0.05, 0.15, 0.06, 0.0, 0.02, 0.0, 0.0, 0.0),
    "L2": Faults((0.12, 0.6), (4, 8), 0.3, 0.15, 0.3, 0.10, 0.1, 0.05, 0.02, 0.12, 0.2),
    "L3": Faults((0.06, 0.5), (2, 5), 0.6, 0.25, 0.5, 0.14, 0.2, 0.08, 0.05, 0.35, 0.3),
    "L4": Faults((0.04, 0.5), (1, 2.5), 0.9, 0.40, 0.7, 0.18, 0.3, 0.12, 0.08, 0.4, 0.4),
}

STYLES = {
    "round": {
        "disc": 0.27,
        "dome": 0.15,
        "gauss": 0.12,
        "ring": 0.09,
        "well": 0.10,
        "tissue": 0.12,
        "droplet": 0.10,
        "mesh": 0.05,
    },
    "square": {
        "disc": 0.42,
        "ring": 0.08,
        "well": 0.10,
        "tissue": 0.05,
        "droplet": 0.25,
        "mesh": 0.10,
    },
}
"""Looks of elements by shape, and how often each is drawn."""

# Faint inside and thin: what remains of them in so few pixels is noise.
_NEEDS_PIXELS = {"ring": 9.0, "well": 9.0, "droplet": 10.0, "tissue": 9.0}


@dataclass(frozen=True)
class Look:
    """What was drawn for one image; see `Faults`."""

    style: str
    sign: int
    contrast: float
    snr: float
    amplitude_sd: float
    texture: float
    gradient: float
    blur: float
    chips: float
    rough: float
    tiles: float
    frame: bool
    labels: bool
    ruler: bool
    scratches: int
    jpeg: bool
    colour: bool
    bits: int
    grain: float  # correlation length of the noise, pixels
    noise: float = 0.0  # sd, full scale


def sample(level: str, seed: int) -> Sample:
    """Draw a carrier of a level and paint it.

    Parameters
    ----------
    level
        One of `gridwell.phantom.grids.LEVELS`.
    seed
        0 or more; equal seeds give equal bytes.
    """
    return render(scene(level, seed), seed)


def render(truth: Scene, seed: int, *, frame: bool | None = None) -> Sample:
    """Paint a scene.

    Parameters
    ----------
    truth
        What is there; its level decides how bad the image is.
    seed
        Decides what the scene leaves open: how elements, carrier and light look.
    frame
        Whether the outline of the carrier shows, at equal distance from the grid on all sides;
        None: as the level has it.
    """
    rng = np.random.default_rng([seed, LEVELS.index(truth.level), 3])
    look = _look(truth, rng)
    return _paint(truth, look if frame is None else replace(look, frame=frame), rng)


def _paint(
    truth: Scene, look: Look, rng: np.random.Generator, pattern: Pattern | None = None
) -> Sample:
    signal, cover = _elements(truth, look, rng)
    if pattern is not None:
        signal += pattern(truth, rng)
    _bridges(truth, look, signal, rng)
    _debris(truth.false, truth.spot_size, signal, rng)
    if look.style == "mesh":
        signal -= 0.5 * _plate(truth, 0.75, signal.shape)
    if look.scratches:
        _scratches(look.scratches, signal, rng)
    surround = _surround(truth, look, rng)
    if look.blur > 0.3:
        signal = smooth(signal, look.blur)
    noise = look.contrast * _strength(signal, cover) / look.snr
    image = _develop(signal, surround, replace(look, noise=noise), truth, rng)
    return Sample(image, truth, cover, truth.level, look.style)


def _strength(signal: Plane, cover: Plane) -> float:
    """Rms of the signal inside elements: thin rims and faint drops are hard to see as it is."""
    inside = signal[cover > 0.5]
    return float(np.sqrt(np.mean(inside**2))) if inside.size else 1.0


def _look(truth: Scene, rng: np.random.Generator) -> Look:
    faults = FAULTS[truth.level]
    side = min(truth.spot_size)
    share = {
        style: weight
        for style, weight in STYLES[truth.shape].items()
        if side >= _NEEDS_PIXELS.get(style, 0.0)
    }
    weights = np.array(list(share.values()))
    low, high = faults.contrast
    extra = rng.random(4) < faults.extras
    return Look(
        style=str(rng.choice(list(share), p=weights / weights.sum())),
        sign=1 if rng.random() < 0.5 else -1,
        contrast=math.exp(rng.uniform(math.log(low), math.log(high))),
        snr=rng.uniform(*faults.snr),
        amplitude_sd=rng.uniform(0, faults.amplitude_sd),
        texture=rng.uniform(0, faults.texture),
        gradient=rng.uniform(0, faults.gradient),
        blur=max(rng.uniform(0, faults.blur) * side, rng.uniform(0, 0.8)),
        chips=rng.uniform(0, faults.chips),
        rough=rng.uniform(0, faults.rough) if rng.random() < 0.6 else 0.0,
        tiles=rng.uniform(0, faults.tiles) if rng.random() < 0.4 else 0.0,
        frame=bool(extra[0]),
        labels=bool(extra[1]),
        ruler=bool(extra[2]),
        scratches=int(rng.integers(1, 4)) if extra[3] else 0,
        jpeg=rng.random() < faults.jpeg,
        colour=rng.random() < 0.3,
        bits=8 if rng.random() < 0.6 else 16,
        grain=rng.uniform(0.5, 0.9) if rng.random() < 0.25 else 0.0,
    )


# --- elements ---------------------------------------------------------------------------------


def _elements(truth: Scene, look: Look, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """Signal of all elements, about 1 inside them, and the share of each pixel they cover."""
    width, height = truth.size
    amplitude = np.exp(np.clip(rng.standard_normal(truth.present.shape), -1.8, 1.8))
    amplitude = (amplitude**look.amplitude_sd).astype(_F)
    profile = _profile(look.style, truth, rng)
    noise = clouds((height, width), max(min(truth.spot_size) * 0.35, 1.5), rng)
    tissue = clouds((height, width), max(min(truth.spot_size) * 0.12, 0.8), rng)
    signal, cover = np.zeros((2, height, width), _F)
    if not truth.present.any():
        return signal, cover
    outline = _outlines(truth)
    bites = _bites(truth.present.shape, look.chips, rng)
    cells = _cells(truth, rng) if look.style == "droplet" else None
    row, col = np.nonzero(truth.present)
    for parity in range(4):  # patches of one pass do not meet
        chosen = (row % 2 * 2 + col % 2) == parity
        for part in _in_parts(np.flatnonzero(chosen), outline.side):
            r, c = row[part], col[part]
            at, s, t = outline.patches(r, c)
            inside = np.take(noise, at)
            rho = _distance(s, t, truth.shape) + _F(look.rough) * inside
            edge = np.clip(0.5 + (1 - rho) * outline.half[r, c, None, None], 0, 1)
            if look.chips:
                x, y, radius = bites[r, c, :, None, None].transpose(1, 0, 2, 3)
                edge = edge * np.clip(0.5 + (np.hypot(s - x, t - y) - radius) * 4, 0, 1)
            value = profile(rho, edge, np.take(tissue, at)) * amplitude[r, c, None, None]
            # Rims and tails may reach beyond the outline: the larger deviation stays.
            old = np.take(signal, at)
            np.put(signal, at, np.where(np.abs(value) > np.abs(old), value, old))
            np.put(cover, at, np.maximum(np.take(cover, at), edge))
    if cells is not None:
        signal += cells * cover
    return signal, cover


@dataclass(frozen=True)
class _Outlines:
    """Patches about the elements, with coordinates in which an outline lies at distance 1."""

    centres: npt.NDArray[np.float64]
    inverse: Plane  # (rows, cols, 2, 2): from pixels to half sizes
    half: Plane  # (rows, cols): smaller half size in pixels
    side: int  # of a patch, odd
    size: tuple[int, int]

    def patches(
        self, row: npt.NDArray[np.intp], col: npt.NDArray[np.intp]
    ) -> tuple[npt.NDArray[np.intp], Plane, Plane]:
        """Flat pixel indices and element coordinates, each (n, side, side).

        Beyond the image's edge indices are those of the edge, with coordinates to match, so
        that a pixel written twice gets the same value.
        """
        width, height = self.size
        step = np.arange(self.side) - self.side // 2
        centre = self.centres[row, col]
        middle = np.rint(centre).astype(np.intp)
        x = np.clip(middle[:, 0, None] + step, 0, width - 1)
        y = np.clip(middle[:, 1, None] + step, 0, height - 1)
        dx = (x - centre[:, 0, None]).astype(_F)[:, None, :]
        dy = (y - centre[:, 1, None]).astype(_F)[:, :, None]
        m = self.inverse[row, col][..., None, None]
        s, t = m[:, 0, 0] * dx + m[:, 0, 1] * dy, m[:, 1, 0] * dx + m[:, 1, 1] * dy
        return y[:, :, None] * width + x[:, None, :], s, t


def _outlines(truth: Scene) -> _Outlines:
    half = np.array(truth.spot_size) / np.array(truth.pitch) / 2
    axes = truth.frames * half * truth.sizes[..., None, None]
    sides = np.hypot(axes[..., 0, :], axes[..., 1, :])
    # Tails and rims reach a third beyond the outline; corners of squares by the diagonal.
    reach = np.abs(axes[truth.present]).sum(axis=2).max() * 1.35 + 1.5
    return _Outlines(
        truth.centres,
        np.linalg.inv(axes).astype(_F),
        sides.min(axis=2).astype(_F),
        2 * math.ceil(reach) + 1,
        truth.size,
    )


def _in_parts(chosen: npt.NDArray[np.intp], side: int) -> list[npt.NDArray[np.intp]]:
    """Split the work into pieces that stay in the processor's cache."""
    count = max(1, math.ceil(len(chosen) * side * side / 120_000))
    return [part for part in np.array_split(chosen, count) if len(part)]


def _distance(s: Plane, t: Plane, shape: str) -> Plane:
    """Distance from the centre in half sizes; squares have slightly rounded corners."""
    round_: Plane = np.hypot(s, t)
    if shape == "round":
        return round_
    square: Plane = np.maximum(np.maximum(np.abs(s), np.abs(t)), round_ * _F(1 / 1.33))
    return square


Profile = Callable[[Plane, Plane, Plane], Plane]


def _profile(style: str, truth: Scene, rng: np.random.Generator) -> Profile:
    """Signal from the distance, the cover, and a cloudy field of unit variance."""
    a, b = (_F(x) for x in rng.random(2))
    # Tails of large spots must not run into each other.
    power = _F(2.0 if max(np.array(truth.spot_size) / truth.pitch) < 0.5 else 4.0)

    def rimmed(inner: float, width: float) -> Profile:
        return lambda rho, edge, _: edge * np.where(rho > _F(1 - width), _F(1), _F(inner))

    profiles: dict[str, Profile] = {
        "disc": lambda rho, edge, cloud: edge * (1 + _F(0.1) * a * cloud),
        "mesh": lambda rho, edge, cloud: edge * (1 + _F(0.1) * a * cloud),
        "dome": lambda rho, edge, _: (
            edge * (_F(0.35) + _F(0.65) * np.sqrt(np.clip(1 - rho * rho, 0, 1)))
        ),
        # At the outline half of the signal is left.
        "gauss": lambda rho, edge, _: np.exp2(-(np.maximum(rho, 0) ** power)) * (rho < 1.33),
        "ring": rimmed(0.15 + 0.4 * float(a), 0.2 + 0.2 * float(b)),
        "well": rimmed(-0.3 - 0.6 * float(a), 0.12 + 0.15 * float(b)),
        "tissue": lambda rho, edge, cloud: (
            edge * np.clip(_F(0.85) + (_F(0.2) + _F(0.4) * a) * cloud, 0.05, 1.8)
        ),
        "droplet": lambda rho, edge, _: (
            edge * (_F(0.25) + _F(0.35) * a + _F(0.3) * b * (rho > _F(0.85)))
        ),
    }
    return profiles[style]


def _bites(shape: tuple[int, ...], share: float, rng: np.random.Generator) -> Plane:
    """Centre and radius of what is broken off each element, in its own coordinates."""
    way = rng.uniform(0, 2 * np.pi, shape)
    away, radius = rng.uniform(0.8, 1.1, shape), rng.uniform(0.3, 0.7, shape)
    radius = np.where(rng.random(shape) < share, radius, -9.0)
    return np.stack([away * np.cos(way), away * np.sin(way), radius], axis=-1).astype(_F)


def _cells(truth: Scene, rng: np.random.Generator) -> Plane:
    """Bright dots in and beside the elements."""
    width, height = truth.size
    mean = rng.uniform(3, 30)
    count = rng.poisson(mean, truth.present.shape) * truth.present
    owner = np.repeat(np.arange(truth.present.size), count.ravel())
    half = np.array(truth.spot_size) / np.array(truth.pitch) / 2
    offset = rng.uniform(-0.9, 0.9, (len(owner), 2)) * half
    at = truth.centres.reshape(-1, 2)[owner] + np.einsum(
        "nij,nj->ni", truth.frames.reshape(-1, 2, 2)[owner], offset
    )
    x, y = np.clip(np.rint(at).astype(np.intp), 0, (width - 1, height - 1)).T
    dots = np.bincount(y * width + x, minlength=width * height).reshape(height, width)
    sigma = max(min(truth.spot_size) * rng.uniform(0.025, 0.05), 0.6)
    spread = smooth(dots.astype(_F), sigma)
    return np.minimum(spread * _F(2 * np.pi * sigma**2 * rng.uniform(0.5, 1.0)), 1.5)


# --- what else lies on a carrier --------------------------------------------------------------


def _bridges(truth: Scene, look: Look, signal: Plane, rng: np.random.Generator) -> None:
    """Join the elements that ran into each other."""
    joined = np.zeros(signal.shape, np.uint8)
    thick = max(1, round(min(truth.spot_size) * rng.uniform(0.4, 0.8)))
    for a, b in truth.merged:
        ends = [tuple(np.rint(truth.centres[r, c]).astype(int).tolist()) for r, c in (a, b)]
        cv2.line(joined, ends[0], ends[1], 255, thick, cv2.LINE_AA)
    if len(truth.merged):
        level = 0.4 if look.style in ("droplet", "well", "ring") else 0.9
        np.maximum(signal, joined * _F(level / 255), out=signal)


def _debris(
    centres: npt.NDArray[np.float64],
    spot: tuple[float, float],
    signal: Plane,
    rng: np.random.Generator,
) -> None:
    """Draw blobs, fibres and dots; some as large and as bright as an element."""
    side = min(spot)
    kinds = rng.choice(4, len(centres), p=[0.35, 0.2, 0.25, 0.2])
    dirt = np.zeros(signal.shape, np.uint8)
    for (x, y), kind in zip(centres.tolist(), kinds.tolist(), strict=True):
        level = int(rng.integers(60, 256))
        at = (round(x), round(y))
        if kind == 0:  # an irregular blob
            polygon = blob(x, y, side * rng.uniform(0.15, 0.8), rng)
            cv2.fillPoly(dirt, [polygon], level, cv2.LINE_AA)
        elif kind == 1:  # a fibre
            bends = np.array([x, y]) + rng.normal(0, side * 0.5, (5, 2)).cumsum(axis=0)
            thick = max(1, round(side * 0.06))
            cv2.polylines(dirt, [np.rint(bends).astype(np.int32)], False, level, thick, cv2.LINE_AA)
        elif kind == 2:  # a speck
            cv2.circle(dirt, at, max(1, round(side * 0.1)), level, -1, cv2.LINE_AA)
        else:  # like an element
            cv2.circle(
                dirt, at, max(1, round(side * rng.uniform(0.3, 0.6))), level, -1, cv2.LINE_AA
            )
    sign = _F(-1 if len(centres) and rng.random() < 0.2 else 1)
    drawn = dirt > 0
    signal[drawn] = sign * _F(1.2 / 255) * dirt[drawn]


def _scratches(count: int, signal: Plane, rng: np.random.Generator) -> None:
    size = np.array(signal.shape[::-1])
    lines = np.zeros(signal.shape, np.uint8)
    for _ in range(count):
        start, end = np.rint(rng.uniform(-0.1, 1.1, (2, 2)) * size).astype(int).tolist()
        cv2.line(lines, start, end, int(rng.integers(80, 256)), 1, cv2.LINE_AA)
    signal += lines * _F(rng.choice([-1, 1]) / 255)


def _plate(truth: Scene, margin: float, shape: tuple[int, ...]) -> Plane:
    """Mark the carrier: the grid and `margin` pitches about it, with round corners, as 0..1."""
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [_rim(truth, margin)], 255, cv2.LINE_AA)
    return mask * _F(1 / 255)


def _rim(truth: Scene, margin: float) -> npt.NDArray[np.int32]:
    """Outline of the carrier as a polygon with round corners."""
    u, v = truth.basis.T * margin
    nodes = truth.nodes
    corners = np.array(
        [nodes[0, 0] - u - v, nodes[0, -1] + u - v, nodes[-1, -1] + u + v, nodes[-1, 0] - u + v]
    )
    t = np.linspace(0, 1, 7)[:, None]
    outline = []
    for i in range(4):
        before, here, after = corners[i - 1], corners[i], corners[(i + 1) % 4]
        a = here + (before - here) * 0.08
        b = here + (after - here) * 0.08
        outline.append((1 - t) ** 2 * a + 2 * t * (1 - t) * here + t**2 * b)
    return np.rint(np.concatenate(outline)).astype(np.int32)


def _surround(truth: Scene, look: Look, rng: np.random.Generator) -> Plane | None:
    """Paint frame, labels and ruler; None if there are none."""
    if not (look.frame or look.labels or look.ruler):
        return None
    width, height = truth.size
    scenery = np.full((height, width), _NEUTRAL, np.uint8)
    pitch = float(np.mean(truth.pitch))
    if look.frame:
        margin = rng.uniform(0.8, 1.5)
        scenery[:] = _tone(rng.uniform(-0.8, 0.8))
        cv2.fillPoly(scenery, [_rim(truth, margin)], _NEUTRAL, cv2.LINE_AA)
        for _ in range(int(rng.integers(1, 4))):
            thick = max(1, round(pitch * rng.uniform(0.02, 0.15)))
            tone = _tone(rng.uniform(-1, 1))
            cv2.polylines(scenery, [_rim(truth, margin)], True, tone, thick, cv2.LINE_AA)
            margin += rng.uniform(0.1, 0.3)
    if look.labels:
        _write(scenery, pitch, rng)
    if look.ruler:
        _rule(scenery, pitch, rng)
    return (scenery.astype(_F) - _NEUTRAL) * _F(1 / 127)


_NEUTRAL = 128  # of 8 bits: as bright as the background


def _tone(level: float) -> int:
    """Brightness for drawing from -1 (darker than the background) to 1 (brighter)."""
    return round(_NEUTRAL + 127 * level)


def _write(scenery: npt.NDArray[np.uint8], pitch: float, rng: np.random.Generator) -> None:
    """Write a line or two of text close to an edge of the image."""
    height, width = scenery.shape
    scale = float(np.clip(pitch * rng.uniform(0.015, 0.035), 0.3, 3))
    for _ in range(int(rng.integers(1, 3))):
        text = "".join(rng.choice(list("ABCDEFGHKLMNPRS0123456789 -"), int(rng.integers(3, 12))))
        y = int(rng.choice([0.04, 0.97]) * height) + int(scale * 8)
        at = (int(rng.uniform(0, 0.7) * width), min(y, height - 2))
        tone = _tone(rng.choice([-0.9, 0.9]))
        cv2.putText(scenery, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, tone, 1, cv2.LINE_AA)


def _rule(scenery: npt.NDArray[np.uint8], pitch: float, rng: np.random.Generator) -> None:
    """Draw the ticks of a ruler along an edge of the image."""
    height, width = scenery.shape
    across = rng.random() < 0.5
    step = max(3.0, pitch * rng.uniform(0.1, 0.4))
    depth = max(3, round(pitch * 0.3))
    far = rng.random() < 0.5
    edge = ((height if across else width) - 1 - depth) if far else 0
    tone = _tone(rng.choice([-0.8, 0.8]))
    for i, place in enumerate(np.arange(step, width if across else height, step)):
        length = depth if i % 5 == 0 else depth // 2 + 1
        a, b = (round(place), edge), (round(place), edge + length)
        if not across:
            a, b = a[::-1], b[::-1]
        cv2.line(scenery, a, b, tone, 1, cv2.LINE_AA)


# --- light, camera, file ----------------------------------------------------------------------


def _light(shape: tuple[int, int], look: Look, rng: np.random.Generator) -> Plane:
    """Illumination, 1 in the mean: gradient, darker corners, brightness of camera fields."""
    height, width = shape
    y, x = np.linspace(-1, 1, height, dtype=_F)[:, None], np.linspace(-1, 1, width, dtype=_F)
    slope = rng.standard_normal(2).astype(_F)
    slope *= _F(look.gradient * rng.uniform(0, 0.5) / max(float(np.hypot(*slope)), 0.1))
    vignette = _F(look.gradient * rng.uniform(0, 0.5))
    light: Plane = 1 + slope[0] * x + slope[1] * y - vignette * (x * x + y * y - 0.67)
    if look.tiles:
        fields = 1 + _F(look.tiles) * rng.standard_normal(rng.integers(2, 9, 2), dtype=_F)
        light = light * cv2.resize(fields, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.clip(light, 0.2, 2.0)


def _develop(
    signal: Plane, surround: Plane | None, look: Look, truth: Scene, rng: np.random.Generator
) -> Image:
    """Turn signal and surroundings into the file that a camera or scanner would write."""
    shape = signal.shape[0], signal.shape[1]
    ground, ink = _colours(look, rng)
    # Coarser than the grid for the most part, but not always.
    length = float(np.mean(truth.pitch)) * 2 ** rng.uniform(-0.5, 2.5)
    texture = clouds(shape, length, rng) + _F(0.3) * clouds(shape, length / 4, rng)
    texture *= _F(look.texture)
    if surround is not None:
        texture += surround * _F(rng.uniform(0.3, 1.5))
    light = _light(shape, look, rng)
    planes = []
    for back, difference in zip(ground, ink, strict=True):
        plane = (_F(back) + _F(look.contrast) * texture + _F(difference) * signal) * light
        planes.append(plane + _noise(shape, look, rng))
    return _digitise(np.clip(planes, 0, 1), look, rng)


def _colours(
    look: Look, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Level of the background, and what an element adds, in each channel."""
    channels = 3 if look.colour else 1
    # Hues differ, but a gray version keeps a good part of the contrast.
    tint = rng.uniform(0.2, 1.0, 3) if look.colour else np.ones(1)
    ink = look.sign * look.contrast * tint / tint.max()
    # Walls and dark insides deviate to the other side as well.
    other = 0.55 * ink if look.style in ("mesh", "well") else 0.0 * ink
    low = 0.03 + np.maximum(0, -ink) + np.maximum(0, other)
    high = 0.97 - np.maximum(0, ink) + np.minimum(0, other)
    high = np.maximum(high, low)
    place = rng.uniform(0, 1) ** (1.6 if look.sign > 0 else 0.7)
    hue = rng.uniform(-0.3, 0.3, channels) if look.colour else np.zeros(1)
    return low + (high - low) * np.clip(place + hue, 0, 1), ink


def _noise(shape: tuple[int, int], look: Look, rng: np.random.Generator) -> Plane:
    grains: Plane = rng.standard_normal(shape, dtype=_F)
    sigma = look.noise
    if look.grain:
        grains = smooth(grains, look.grain)
        sigma *= 2 * math.sqrt(math.pi) * look.grain
    return grains * _F(sigma)


def _digitise(planes: Plane, look: Look, rng: np.random.Generator) -> Image:
    """Round to 8 or 16 bits; some files were a JPEG before."""
    picture = planes[0] if len(planes) == 1 else np.ascontiguousarray(planes.transpose(1, 2, 0))
    if look.bits == 16 and not look.colour:
        # Cameras of 12 to 16 bits, more or less exposed, above a dark level.
        full = float(rng.choice([4095, 16383, 65535])) * rng.uniform(0.3, 0.95)
        return np.rint(100 + picture * _F(full - 100)).astype(np.uint16)
    pixels = np.rint(picture * _F(255)).astype(np.uint8)
    if look.jpeg:
        pixels = jpeg(pixels, int(rng.integers(50, 95)))
    return pixels


# --- images without a grid --------------------------------------------------------------------


def negative(kind: str, seed: int) -> Sample:
    """Paint an image on which there is no grid.

    Parameters
    ----------
    kind
        One of `NEGATIVES`: an ``empty`` carrier; ``texture`` of cloth or tissue; ``stripes``;
        ``dots`` thrown at random; ``cells``, crowded things that keep their distance; one
        ``row`` of elements.
    seed
        0 or more.
    """
    rng = np.random.default_rng([seed, NEGATIVES.index(kind), 4])
    level = LEVELS[int(rng.integers(0, 3))]
    carrier = scene(level, int(rng.integers(2**31)))
    # A disc is the one look that is right for elements without a carrier about them.
    look = replace(_look(carrier, rng), style="disc")
    made = _paint(_NEGATIVE[kind](carrier, rng), look, rng, _PATTERN.get(kind))
    return Sample(made.image, None, made.foreground, kind, made.style)


def _empty(truth: Scene, rng: np.random.Generator) -> Scene:
    """Leave the carrier as it is before use."""
    return _thrown(truth, np.empty((0, 2)), rng)


def _dots(truth: Scene, rng: np.random.Generator) -> Scene:
    """Throw as many elements as there were, more or less."""
    count = max(8, round(truth.present.size * rng.uniform(0.2, 1.0)))
    return _thrown(truth, rng.uniform(0, 1, (count, 2)) * truth.size, rng)


def _cells_in_dish(truth: Scene, rng: np.random.Generator) -> Scene:
    """Crowd elements that keep their distance, as cells in a dish or bubbles do."""
    spacing = float(np.mean(truth.pitch))
    x, y = (np.arange(0, n, spacing * 0.9) for n in truth.size)
    at = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    # Half a spacing of scatter leaves no lattice.
    at = at + rng.uniform(-0.5, 0.5, at.shape) * spacing + rng.uniform(0, spacing, 2)
    return _thrown(truth, at[(at < truth.size).all(axis=1)], rng)


def _one_row(truth: Scene, rng: np.random.Generator) -> Scene:
    """Keep one row."""
    present = np.zeros_like(truth.present)
    present[int(rng.integers(len(present)))] = True
    return replace(truth, present=present, merged=truth.merged[:0])


def _thrown(truth: Scene, at: npt.NDArray[np.float64], rng: np.random.Generator) -> Scene:
    """Put elements somewhere else than on the nodes."""
    return replace(
        truth,
        centres=at[None],
        present=np.ones((1, len(at)), bool),
        frames=np.broadcast_to(truth.basis, (1, len(at), 2, 2)),
        sizes=np.exp(0.15 * rng.standard_normal((1, len(at)))),
        merged=truth.merged[:0],
        false=truth.false[: len(at) // 4],
    )


def _cloth(truth: Scene, rng: np.random.Generator) -> Plane:
    """Draw coarse and fine texture without a period."""
    shape = truth.size[1], truth.size[0]
    length = float(np.mean(truth.pitch)) * rng.uniform(0.2, 1.0)
    fine = _F(rng.uniform(0, 1)) * clouds(shape, length / 3, rng)
    return _F(0.5) * (clouds(shape, length, rng) + fine)


def _stripes(truth: Scene, rng: np.random.Generator) -> Plane:
    """Draw parallel lines, a pitch apart."""
    y, x = np.indices((truth.size[1], truth.size[0]), dtype=_F)
    way = rng.uniform(0, np.pi)
    across = x * _F(math.cos(way)) + y * _F(math.sin(way))
    wave: Plane = np.sin(across * _F(2 * np.pi / np.mean(truth.pitch)))
    return np.clip(wave * _F(rng.uniform(0.6, 3)), -0.5, 0.5)


_NEGATIVE: dict[str, Callable[[Scene, np.random.Generator], Scene]] = {
    "empty": _empty,
    "texture": _empty,
    "stripes": _empty,
    "dots": _dots,
    "cells": _cells_in_dish,
    "row": _one_row,
}
_PATTERN = {"texture": _cloth, "stripes": _stripes}

NEGATIVES = tuple(_NEGATIVE)
"""Kinds of images without a grid."""

"""From the scene to pixels, a band of rows at a time.

Only additions, multiplications, divisions, square roots and table look-ups are done per pixel,
in an order that does not depend on the band: these are exact to the last bit on any machine, so
the bytes are as well. Profiles are polynomials (smoothstep) for the same reason; the few
tables that need an exponential are rounded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from gridwell.phantom.options import PhantomOptions
from gridwell.phantom.scene import (
    DEAD,
    DYING,
    Cells,
    Debris,
    Geometry,
    Stream,
    Treatment,
    grow_cells,
    scatter_debris,
    stream,
)

NOISE_ROWS = 64
"""Rows that share a stream of noise."""

PAPER = 0.88
"""Reflectance of the paper under a colour scan."""
_PATCHES = {"white": 0.95, "black": 0.03}  # reflectance

_STEPS = 16  # entries of a profile's table per pixel
_KEPT_SPOTS = 128  # spots whose cells stay in memory, unless a band needs more
_F = np.float32


@dataclass(frozen=True)
class Shapes:
    """Objects to draw in one channel, as ellipses with a lobed outline and a soft edge.

    Arrays of equal length: centre in slide pixels, half axes, angle of the long one in radians,
    depth of the three lobes, height, and how much the height falls from the middle to the edge.
    """

    x: np.ndarray
    y: np.ndarray
    long: np.ndarray
    short: np.ndarray
    angle: np.ndarray
    lobe: np.ndarray
    height: np.ndarray
    dome: float

    def __len__(self) -> int:
        return len(self.x)

    def only(self, keep: np.ndarray) -> Shapes:
        """Return the shapes chosen by a bool array or numbers."""
        return Shapes(
            x=self.x[keep],
            y=self.y[keep],
            long=self.long[keep],
            short=self.short[keep],
            angle=self.angle[keep],
            lobe=self.lobe[keep],
            height=self.height[keep],
            dome=self.dome,
        )


def nuclei_shapes(cells: Cells, height: np.ndarray, shift: tuple[float, float]) -> Shapes:
    """Nuclei of `cells` as they show in a channel with that stage shift."""
    long = cells.radius / np.sqrt(cells.aspect)
    return Shapes(
        cells.x + shift[0], cells.y + shift[1], long, long * cells.aspect, cells.angle,
        cells.lobe * 0.5, height, dome=0.3,
    )  # fmt: skip


def body_shapes(cells: Cells, height: np.ndarray, shift: tuple[float, float]) -> Shapes:
    """Bodies of `cells` as they show in a channel with that stage shift."""
    aspect = np.sqrt(cells.aspect)
    long = cells.body / np.sqrt(aspect)
    return Shapes(
        cells.x + shift[0], cells.y + shift[1], long, long * aspect, cells.angle,
        cells.lobe, height, dome=0.55,
    )  # fmt: skip


def channel_objects(
    options: PhantomOptions, cells: Cells, channel: str
) -> tuple[np.ndarray, Shapes]:
    """Return the objects that a perfect segmentation of `channel` finds.

    Returns
    -------
    numbers : (k,) int
        Which cells have an object there.
    shapes
        Their outlines.
    """
    height = cells.brightness[channel]
    outline = body_shapes if channel == "live" else nuclei_shapes
    numbers = np.flatnonzero(height > 0)
    return numbers, outline(cells, height, options.shift(channel)).only(numbers)


def stamp(shapes: Shapes, blur: float, left: np.ndarray, top: np.ndarray, side: int) -> np.ndarray:
    """Draw every shape in a square of its own.

    Parameters
    ----------
    shapes
        n shapes.
    blur
        Half width of the soft edge in pixels.
    left, top : (n,) int
        Slide pixel of each square's corner.
    side
        Of the squares, in pixels.

    Returns
    -------
    (n, side, side) float32
    """
    away = rho(shapes, left, top, side)
    size = np.sqrt(shapes.long * shapes.short)
    # What the blur spreads out is lost in height, so that the light is conserved.
    kept = size**2 / (size**2 + blur**2 / 5)
    edge = _column(size / (2 * blur))
    t = np.clip((1 - away) * edge + _F(0.5), 0, 1)
    soft = t * t * (3 - 2 * t)
    inner = np.minimum(away, 1)
    result: np.ndarray = (
        soft * (1 - _F(shapes.dome) * inner * inner) * _column(shapes.height * kept)
    )
    return result


def rho(shapes: Shapes, left: np.ndarray, top: np.ndarray, side: int) -> np.ndarray:
    """Distance from the centre in units of the outline: below 1 inside, (n, side, side)."""
    steps = np.arange(side)
    dx = (left[:, None] + steps - shapes.x[:, None]).astype(_F)[:, None, :]
    dy = (top[:, None] + steps - shapes.y[:, None]).astype(_F)[:, :, None]
    cos, sin = np.cos(shapes.angle), np.sin(shapes.angle)
    u = dx * _column(cos / shapes.long) + dy * _column(sin / shapes.long)
    v = dy * _column(cos / shapes.short) - dx * _column(sin / shapes.short)
    square = u * u + v * v
    away: np.ndarray = np.sqrt(square)
    if np.any(shapes.lobe):
        # cos(3 a) of the angle a about the centre, without trigonometry.
        wave = (u * u - 3 * v * v) * u / np.maximum(square * away, _F(1e-6))
        away = away / (1 + _column(shapes.lobe) * wave)
    return away


def _column(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, _F)[:, None, None]


def squares(shapes: Shapes, blur: float) -> tuple[np.ndarray, np.ndarray, int]:
    """Corner and side of squares that hold every shape with its soft edge."""
    size = np.sqrt(shapes.long * shapes.short)
    reach = shapes.long * (1 + shapes.lobe) * (1 + blur / size)
    half = math.ceil(float(reach.max())) + 1
    left = np.rint(shapes.x).astype(int) - half
    top = np.rint(shapes.y).astype(int) - half
    return left, top, 2 * half + 1


@dataclass
class Renderer:
    """Draws any band of rows of any channel of a slide.

    The cells of the last spots drawn are kept, those of others grown anew: memory depends on
    the width of the slide and the height of the bands, not on the height of the slide.
    """

    options: PhantomOptions
    geometry: Geometry
    treatments: tuple[Treatment, ...]
    _kept: dict[int, tuple[Cells, Debris]] = field(default_factory=dict)

    def cells(self, spot: int) -> Cells:
        """Return the cells of a spot."""
        if len(self._kept) > _KEPT_SPOTS:
            self._kept.clear()
        return self._content(spot)[0]

    def _content(self, spot: int) -> tuple[Cells, Debris]:
        if spot not in self._kept:
            self._kept[spot] = (
                grow_cells(self.options, self.geometry, self.treatments[spot], spot),
                scatter_debris(self.options, self.geometry, spot),
            )
        return self._kept[spot]

    def bands(self, channel: str, height: int) -> Iterator[np.ndarray]:
        """Yield the channel from top to bottom in bands of `height` rows, ready to write."""
        for y0 in range(0, self.geometry.height, height):
            yield self.band(channel, y0, min(y0 + height, self.geometry.height))

    def band(self, channel: str, y0: int, y1: int) -> np.ndarray:
        """Render rows `y0` to `y1` of a channel.

        Returns
        -------
        (y1 - y0, width) or (y1 - y0, width, 3) uint8 or uint16
        """
        role = self.options.channels[channel]
        light = {
            "grid": self._brightfield,
            "colour": self._scan,
        }.get(role, self._fluorescence)(channel, y0, y1)
        out = np.empty(light.shape, np.uint8 if self.options.bits == 8 else np.uint16)
        # Noise belongs to fixed blocks of rows, whatever the band.
        for block in range(y0 // NOISE_ROWS, (y1 - 1) // NOISE_ROWS + 1):
            top = block * NOISE_ROWS
            a, b = max(top, y0), min(top + NOISE_ROWS, y1)
            out[a - y0 : b - y0] = self._expose(channel, light[a - y0 : b - y0], a, block)
        return out

    # -- what each kind of channel shows, as light: 1 is a typical bright object

    def _brightfield(self, channel: str, y0: int, y1: int) -> np.ndarray:
        options = self.options
        light = np.full((y1 - y0, self.geometry.width), 0.62, _F)
        light += _F(0.62 * options.texture) * self._texture(channel, y0, y1, 48)
        light += _F(0.25 * options.texture) * self._texture(channel, y0, y1, 5)
        for spot in self._touching(y0, y1):
            blurred = bool(self.geometry.out_of_focus[spot])
            shift = options.shift(channel)
            if self.geometry.present[spot]:
                for window, at in self._outline(spot, shift, y0, light.shape):
                    light[window] += _outline_table(options, blurred)[at]
            cells, debris = self._content(spot)
            edge = self._edge(spot)
            if len(cells):
                flat = np.full(len(cells), 1.0)
                self._draw(light, y0, body_shapes(cells, -0.1 * flat, shift), edge)
                self._draw(light, y0, nuclei_shapes(cells, 0.09 * flat, shift), edge)
            if len(debris.x):
                shapes = _debris_shapes(debris, -0.25 * debris.brightness, shift)
                self._draw(light, y0, shapes, self._edge(None))
        return light

    def _fluorescence(self, channel: str, y0: int, y1: int) -> np.ndarray:
        options = self.options
        light = np.full((y1 - y0, self.geometry.width), 0.012, _F)
        number = list(options.channels).index(channel)
        shift = options.shift(channel)
        for spot in self._touching(y0, y1):
            cells, debris = self._content(spot)
            edge = self._edge(spot)
            if self.geometry.present[spot] and options.haze:
                table = _haze_table(options)
                for window, at in self._outline(spot, shift, y0, light.shape):
                    light[window] += table[at]
            for shapes in self._glow(channel, cells, shift):
                self._draw(light, y0, shapes, edge)
            shining = debris.channel == number
            if shining.any():
                shapes = _debris_shapes(debris, debris.brightness, shift).only(shining)
                self._draw(light, y0, shapes, self._edge(None))
        return light

    def _glow(self, channel: str, cells: Cells, shift: tuple[float, float]) -> Iterator[Shapes]:
        """Yield what shines of the cells of one spot in a fluorescence channel."""
        if not len(cells):
            return
        if channel in ("live", "dead"):
            calcein = cells.brightness["live"]
            # Esterases leave a trace in every cell that has a body.
            trace = 0.02 * cells.brightness["nuclei"]
            part = 1.0 if channel == "live" else self.options.bleed_through
            if part:
                yield body_shapes(cells, part * np.maximum(calcein, trace), shift)
        if channel == "dead":
            shown = np.isin(cells.state, (DYING, DEAD))
            yield nuclei_shapes(cells, cells.brightness["dead"], shift).only(shown)
        if channel == "nuclei":
            yield nuclei_shapes(cells, cells.brightness["nuclei"], shift)
        if channel == "reporter":
            yield body_shapes(cells, 0.25 * cells.brightness["reporter"], shift)
            yield nuclei_shapes(cells, cells.brightness["reporter"], shift)

    def _scan(self, channel: str, y0: int, y1: int) -> np.ndarray:
        options = self.options
        paper = np.full((y1 - y0, self.geometry.width), PAPER, _F)
        paper += _F(0.3 * options.texture) * self._texture(channel, y0, y1, 40)
        paper += _F(0.2 * options.texture) * self._texture(channel, y0, y1, 3)
        light = np.repeat(paper[:, :, None], 3, axis=2)
        for spot in self._touching(y0, y1):
            if self.geometry.present[spot]:
                absorbed = dye(options, self.treatments[spot], spot)
                table = _droplet_table(options, absorbed)
                for window, at in self._outline(spot, options.shift(channel), y0, light.shape):
                    light[window] *= table[at]
                self._highlight(light, spot, y0)
            debris = self._content(spot)[1]
            if len(debris.x):
                shapes = _debris_shapes(debris, -0.2 * debris.brightness, options.shift(channel))
                for plane in range(3):
                    self._draw(light[:, :, plane], y0, shapes, self._edge(None))
        for name, (x, y, width, height) in options.patch_places.items():
            top, bottom = max(y - y0, 0), max(y + height - y0, 0)
            light[top:bottom, x : x + width] = _PATCHES[name]
        return np.maximum(light, 0) * np.asarray(options.tint, _F) * _F(options.exposure)

    def _highlight(self, light: np.ndarray, spot: int, y0: int) -> None:
        """The lamp of the scanner mirrored in the droplet."""
        geometry = self.geometry
        size = min(geometry.half_x[spot], geometry.half_y[spot])
        one = Shapes(
            x=np.array([geometry.x[spot] - 0.38 * size]),
            y=np.array([geometry.y[spot] - 0.42 * size]),
            long=np.array([0.16 * size]),
            short=np.array([0.07 * size]),
            angle=np.array([2.4]),
            lobe=np.zeros(1),
            height=np.array([0.3]),
            dome=0.2,
        )
        for plane in range(3):
            self._draw(light[:, :, plane], y0, one, 0.05 * size)

    # -- parts

    def _touching(self, y0: int, y1: int) -> list[int]:
        """Spots of which anything may lie in the rows, in the order of their numbers."""
        y = self.geometry.y
        found: list[int] = np.flatnonzero((y > y0 - self._reach) & (y < y1 + self._reach)).tolist()
        if len(self._kept) > _KEPT_SPOTS:
            self._kept = {spot: self._kept[spot] for spot in found if spot in self._kept}
        return found

    @cached_property
    def _reach(self) -> float:
        """How far from the centre of a spot anything of it is drawn, at most."""
        options, geometry = self.options, self.geometry
        half = max(
            float(np.hypot(geometry.half_x, geometry.half_y).max()),
            options.pitch[1] / 2,
            *(
                math.hypot(geometry.x[a] - geometry.x[b], geometry.y[a] - geometry.y[b]) / 2
                for a, b in geometry.bridges
            ),
        )
        shift = max((abs(shift[1]) for shift in options.shifts.values()), default=0.0)
        cell = 1.5 * options.body * options.cell_radius[1]
        return half + shift + cell + 4 * _rim(options) + 72 + 12 * options.blur

    def _edge(self, spot: int | None) -> float:
        """Half width of soft edges: of the optics, wider where the spot is out of focus."""
        sharp = 1.7 * self.options.blur
        blurred = spot is not None and bool(self.geometry.out_of_focus[spot])
        return sharp + 6.0 if blurred else sharp

    def _draw(self, light: np.ndarray, y0: int, shapes: Shapes, edge: float) -> None:
        if not len(shapes):
            return
        left, top, side = squares(shapes, edge)
        height, width = light.shape
        seen = (top < y0 + height) & (top + side > y0) & (left < width) & (left + side > 0)
        if not seen.any():
            return
        left, top = left[seen], top[seen]
        for image, x, y in zip(
            stamp(shapes.only(seen), edge, left, top, side),
            left.tolist(),
            (top - y0).tolist(),
            strict=True,
        ):
            x0, x1, y2, y3 = max(x, 0), min(x + side, width), max(y, 0), min(y + side, height)
            light[y2:y3, x0:x1] += image[y2 - y : y3 - y, x0 - x : x1 - x]

    def _outline(
        self, spot: int, shift: tuple[float, float], y0: int, shape: tuple[int, ...]
    ) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
        """Yield the window of a band of `shape` that holds a spot, if any does, and each of its
        pixels' entry in a profile.

        The profile is read by the distance from the spot's outline; merged spots share one
        outline, and each of them draws its own side of the bridge.
        """
        geometry = self.geometry
        cx, cy = geometry.x[spot] + shift[0], geometry.y[spot] + shift[1]
        pad = _rim(self.options) * 4 + 8
        turn = math.radians(geometry.turn[spot])
        cos, sin = math.cos(turn), math.sin(turn)
        hx, hy = geometry.half_x[spot], geometry.half_y[spot]
        reach_x = hx if self.options.shape == "round" else abs(hx * cos) + abs(hy * sin)
        reach_y = hx if self.options.shape == "round" else abs(hx * sin) + abs(hy * cos)
        bridges = []
        for other in geometry.neighbours.get(spot, ()):
            dx = (geometry.x[other] - geometry.x[spot]) / 2
            dy = (geometry.y[other] - geometry.y[spot]) / 2
            bridges.append((dx, dy))
            reach_x, reach_y = max(reach_x, abs(dx)), max(reach_y, abs(dy))
        left = max(math.floor(cx - reach_x - pad), 0)
        right = min(math.ceil(cx + reach_x + pad) + 1, shape[1])
        top = max(math.floor(cy - reach_y - pad), y0)
        bottom = min(math.ceil(cy + reach_y + pad) + 1, y0 + shape[0])
        if left >= right or top >= bottom:
            return
        x = (np.arange(left, right) - cx).astype(_F)[None, :]
        y = (np.arange(top, bottom) - cy).astype(_F)[:, None]
        distance = self._distance(x, y, spot)
        for dx, dy in bridges:
            half = math.hypot(dx, dy)
            t = x * _F(dx / half) + y * _F(dy / half)
            across = np.abs(y * _F(dx / half) - x * _F(dy / half)) - _F(0.55 * min(hx, hy))
            distance = np.minimum(distance, np.maximum(across, -t))
            distance = np.where(t > half, _F(1e6), distance)
        low, high = _table_range(self.options)
        at = np.clip(distance * _STEPS, low * _STEPS, high * _STEPS).astype(np.int32)
        yield (slice(top - y0, bottom - y0), slice(left, right)), at - low * _STEPS

    def _distance(self, x: np.ndarray, y: np.ndarray, spot: int) -> np.ndarray:
        """Signed distance from the outline of a spot, negative inside."""
        geometry = self.geometry
        hx, hy = geometry.half_x[spot], geometry.half_y[spot]
        if self.options.shape == "round":
            return np.sqrt(x * x + y * y) - _F(hx)
        turn = math.radians(geometry.turn[spot])
        cos, sin = _F(math.cos(turn)), _F(math.sin(turn))
        corner = _F(0.14 * min(hx, hy))
        u = np.abs(x * cos + y * sin) - (_F(hx) - corner)
        v = np.abs(y * cos - x * sin) - (_F(hy) - corner)
        out_u, out_v = np.maximum(u, 0), np.maximum(v, 0)
        return np.sqrt(out_u * out_u + out_v * out_v) + np.minimum(np.maximum(u, v), 0) - corner

    def _texture(self, channel: str, y0: int, y1: int, grain: int) -> np.ndarray:
        """Smooth random unevenness of rows y0 to y1, about -2 to 2; `grain` is its size."""
        number = list(self.options.channels).index(channel)
        width = self.geometry.width
        columns = np.arange(width)
        knot, part = columns // grain, ((columns % grain) / grain).astype(_F)
        lines = {}
        for line in range(y0 // grain, (y1 - 1) // grain + 2):
            rng = stream(self.options.seed, Stream.TEXTURE, line * 64 + grain, number)
            value = rng.standard_normal(width // grain + 2).astype(_F)
            lines[line] = value[knot] + (value[knot + 1] - value[knot]) * part
        out = np.empty((y1 - y0, width), _F)
        for y in range(y0, y1):
            line, rest = divmod(y, grain)
            out[y - y0] = lines[line] + (lines[line + 1] - lines[line]) * _F(rest / grain)
        return out

    def _expose(self, channel: str, light: np.ndarray, y: int, block: int) -> np.ndarray:
        """Turn light into pixel values: illumination, shot noise, camera, quantisation.

        Shot noise is drawn from the normal distribution of the same variance, which it is close
        to from some ten photons on.
        """
        options = self.options
        number = list(options.channels).index(channel)
        colour = light.ndim == 3
        photons = options.photons * (8 if options.channels[channel] in ("grid", "colour") else 1)
        rng = stream(options.seed, Stream.NOISE, block, number)
        shape = (NOISE_ROWS, *light.shape[1:])
        skip = y - block * NOISE_ROWS
        noise = rng.standard_normal(shape)[skip : skip + len(light)].astype(_F)
        field_ = self._illumination(y, y + len(light), number)
        expected = light * (field_[:, :, None] if colour else field_) * _F(photons)
        expected = np.maximum(expected, 0)
        counts = expected + noise * np.sqrt(expected + _F(options.read_noise**2))
        top = 2**options.bits - 1
        if colour:
            at = np.clip(counts * _F(65535 / photons) + _F(0.5), 0, 65535).astype(np.int32)
            return _encode_table(options.bits)[at]
        full, offset = camera(options, channel)
        values = np.clip(counts * _F(full / photons) + _F(offset + 0.5), 0, top)
        return values.astype(np.uint8 if options.bits == 8 else np.uint16)

    def _illumination(self, y0: int, y1: int, number: int) -> np.ndarray:
        """Share of light that each pixel gets; its middle lies elsewhere in each channel."""
        width, height = self.geometry.width, self.geometry.height
        x = (2 * np.arange(width) - width) / width - (0.18, -0.12, 0.25, -0.2)[number]
        y = (2 * np.arange(y0, y1) - height) / height - (-0.15, 0.1, 0.2, -0.22)[number]
        loss = self.options.illumination / 2.4
        bowl = 1 - loss * (x * x)[None, :] - loss * (y * y)[:, None]
        if self.options.gradient:
            bowl = bowl * (1 - self.options.gradient * np.arange(width) / width)[None, :]
        return bowl.astype(_F)


def camera(options: PhantomOptions, channel: str) -> tuple[float, float]:
    """Pixel value that light of 1 adds in a gray channel, and the value of darkness.

    A typical cell fills a fifth of a 16-bit camera, 0.45 of an 8-bit one.
    """
    bright = options.channels[channel] == "grid"
    if options.bits == 16:
        return (42000.0 if bright else 12000.0), 100.0
    return (250.0 if bright else 110.0), 4.0


def _debris_shapes(debris: Debris, height: np.ndarray, shift: tuple[float, float]) -> Shapes:
    return Shapes(
        debris.x + shift[0], debris.y + shift[1], debris.long, debris.short, debris.angle,
        np.zeros(len(debris.x)), height, dome=0.3,
    )  # fmt: skip


# -- profiles across the outline of a spot, as tables over the distance from it


def _rim(options: PhantomOptions) -> float:
    """Width of the dark rim of a droplet; grows more slowly than the droplet."""
    return max(1.5, 0.24 * math.sqrt(min(options.spot_size)))


def _table_range(options: PhantomOptions) -> tuple[int, int]:
    """Distances from the outline that profiles cover, in whole pixels."""
    pad = math.ceil(_rim(options) * 4 + 8)
    return -math.ceil(0.75 * max(options.spot_size)), pad


def _distances(options: PhantomOptions) -> np.ndarray:
    low, high = _table_range(options)
    return np.arange(low * _STEPS, high * _STEPS + 1) / _STEPS


def _step(t: np.ndarray) -> np.ndarray:
    t = np.clip(t, 0, 1)
    result: np.ndarray = t * t * (3 - 2 * t)
    return result


def _bump(d: np.ndarray, at: float, width: float) -> np.ndarray:
    return _step(1 - np.abs(d - at) / width)


def _outline_table(options: PhantomOptions, blurred: bool) -> np.ndarray:
    """Bright field: a rim, the lens of the droplet inside it, a faint halo outside."""
    d = _distances(options)
    rim = _rim(options)
    soft = rim * (2.2 if blurred else 1.0)
    strength = rim / soft
    dome = _step(-d / (0.5 * min(options.spot_size)))
    profile = -0.085 * _step(-d / (2 * soft)) + 0.03 * dome
    profile -= 0.2 * strength * _bump(d, -0.3 * soft, 1.7 * soft)
    profile += 0.07 * strength * _bump(d, -2.6 * soft, 1.6 * soft)
    profile += 0.03 * strength * _bump(d, 1.6 * soft, 1.6 * soft)
    if options.polarity == "bright":
        profile = -profile
    return np.round(profile, 6).astype(_F)


def _haze_table(options: PhantomOptions) -> np.ndarray:
    """Fluorescence of the medium: as thick as the droplet."""
    d = _distances(options)
    size = 0.5 * min(options.spot_size)
    thick = 0.4 * _step(-d / (3 * _rim(options))) + 0.6 * _step(-d / size)
    return np.round(options.haze * thick, 6).astype(_F)


def indicator(options: PhantomOptions, value: float) -> np.ndarray:
    """Absorbance (red, green, blue) of the indicator at a pH, by Henderson and Hasselbalch."""
    acid, base = np.array(options.acid), np.array(options.base)
    first = 10 ** (value - options.pka)
    if options.middle is None:
        return np.asarray(acid + (base - acid) * first / (1 + first))
    second = first * 10 ** (value - options.pka2)
    mixed = acid + first * np.array(options.middle) + second * base
    return np.asarray(mixed / (1 + first + second))


def dye(options: PhantomOptions, treatment: Treatment, spot: int) -> np.ndarray:
    """Absorbance (red, green, blue) of what is in a spot; blanks have none."""
    if treatment.role == "blank" or treatment.value is None:
        return np.zeros(3)
    scatter = stream(options.seed, Stream.VALUE, spot, channel=3).standard_normal()
    absorbance: np.ndarray = indicator(options, treatment.value)
    return absorbance * max(1 + options.dye_spread * scatter, 0.0)


def _droplet_table(options: PhantomOptions, dyed: np.ndarray) -> np.ndarray:
    """Transmission (red, green, blue) of a coloured droplet on paper."""
    d = _distances(options)
    rim = _rim(options)
    depth = _step((1 - d) / (2 * rim)) * (0.9 + 0.1 * _step(-d / (0.5 * min(options.spot_size))))
    ring = 0.12 * _bump(d, -0.5 * rim, 1.5 * rim)
    absorbed = depth[:, None] * dyed + ring[:, None]
    shadow = 0.03 * _bump(d, 1.5 * rim, 2.5 * rim)
    return np.round(10.0**-absorbed - shadow[:, None], 6).astype(_F)


def srgb(linear: np.ndarray) -> np.ndarray:
    """Encode linear light, 0 to 1, as sRGB (IEC 61966-2-1)."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _encode_table(bits: int) -> np.ndarray:
    top = 2**bits - 1
    values = np.rint(np.round(srgb(np.arange(65536) / 65535) * top, 3))
    return values.astype(np.uint8 if bits == 8 else np.uint16)

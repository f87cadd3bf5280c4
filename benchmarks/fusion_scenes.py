"""Spots of stained cells with known states, for benchmarks/fusion.py.

Written from the assay, not from gridwell: nothing here is shared with ``gridwell.phantom`` nor with
the tests. Cells are ellipses with a nucleus and a body that is larger and off its centre; what
the three channels show of them goes through a lens, a shifted stage, uneven light and a camera.
The labels are those of a good segmentation with the faults that are asked for: objects missed,
debris taken for objects, outlines a little off, neighbours taken for one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import zarr
from gridwell.cells.features import measure
from gridwell.config.files import write_parquet
from gridwell.config.models import SegmentOptions
from gridwell.config.spots import spot_name
from gridwell.images.labels import LabelWriter
from gridwell.images.spots import SpotFrame, frame_of

Array = np.ndarray[Any, np.dtype[Any]]
Pair = tuple[float, float]
Three = tuple[float, float, float]

ROLES = ("nuclei", "live", "dead")
STATES = ("live", "dying", "dead", "inactive")
LIVE, DYING, DEAD, INACTIVE = range(4)


@dataclass(frozen=True)
class Scene:
    """A simulated slide. Lengths in pixels; triples are for nuclei, live, dead.

    Attributes
    ----------
    rows, cols, side, margin, shape, angle
        Grid and size of its spots, as in `gridwell.images.spots.SpotFrame`.
    cells, spread
        Mean number of cells of a spot, and its scatter as a fraction.
    viability
        Probability that a stained cell is live; the spots take turns through these.
    dying, inactive
        Share of dying cells among stained cells that are not live; of unstained ones among all.
    nucleus, body
        Radii, from and to. Dead nuclei are smaller, dying bodies too.
    clumps
        Share of cells that were put beside another one.
    offset
        Scatter of a body's centre about its nucleus, in radii of the body, on each axis.
    jitter
        Scatter of the labels about the objects, in pixels, on each axis.
    missed, debris
        Share of objects without a label, and labelled debris per true object.
    merged
        Share of touching pairs of live bodies that share a label, of three at most.
    live, dead
        Shift of these channels against the nuclei on the slide.
    drift, wander
        Change of both shifts over the slide, and scatter from spot to spot on each axis.
    levels
        Median brightness of an object above the background.
    scatter
        Standard deviation of the logarithm of the brightness.
    uneven
        The same between spots: one takes up more stain than another, in each channel anew.
    bleed, crosstalk, residue
        Part of the live stain seen in the dead channel, of nuclei in the live one, and of the
        live stain that dead cells keep.
    glow
        Light of the medium in the live channel of every third spot, as of a drug.
    blur, photons
        Of the lens, Gaussian sigma; photons per grey value.
    ceiling
        Largest grey value of the camera.
    blurred
        Share of spots that are out of focus.
    stranger
        A channel that shows another slide, or none.
    """

    name: str = "typical"
    seed: int = 1
    rows: int = 3
    cols: int = 8
    side: int = 421
    margin: float = 0.1
    shape: str = "round"
    angle: float = 0.8
    pixel_size_um: float = 2.0
    cells: float = 150
    spread: float = 0.15
    viability: tuple[float, ...] = (0.05, 0.2, 0.4, 0.6, 0.8, 0.95)
    dying: float = 0.12
    inactive: float = 0.03
    nucleus: Pair = (2.0, 2.9)
    body: Pair = (3.2, 5.0)
    clumps: float = 0.3
    offset: float = 0.12
    jitter: float = 0.35
    missed: Three = (0.02, 0.04, 0.04)
    debris: Three = (0.02, 0.04, 0.04)
    merged: float = 0.0
    live: Pair = (1.0, -0.6)
    dead: Pair = (-0.8, 1.3)
    drift: float = 0.0
    wander: float = 0.0
    levels: Three = (900.0, 1100.0, 800.0)
    scatter: Three = (0.25, 0.4, 0.35)
    uneven: float = 0.0
    bleed: float = 0.03
    crosstalk: float = 0.005
    residue: float = 0.02
    glow: float = 0.0
    blur: float = 0.9
    photons: float = 0.5
    ceiling: int = 65535
    blurred: float = 0.0
    stranger: str = ""


@dataclass(frozen=True)
class Truth:
    """What was simulated.

    Attributes
    ----------
    cells
        One row a cell: spot, state, and its label in each channel, 0 where it has none.
    false
        One row a label of debris: spot, role, label.
    spots
        One row a spot: spot, the probabilities `viability` (of stained cells) and `live` (of all
        nuclei, debris among them), and the shift of both channels on the slide.
    """

    cells: pd.DataFrame
    false: pd.DataFrame
    spots: pd.DataFrame


@dataclass
class _Objects:
    """Ellipses of one channel: centres, half axes, turns, brightness."""

    xy: Array
    axes: Array
    turn: Array
    height: Array

    def __add__(self, other: _Objects) -> _Objects:
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return _Objects(*(np.concatenate(pair) for pair in pairs))

    def __getitem__(self, chosen: Array) -> _Objects:
        return _Objects(*(values[chosen] for values in vars(self).values()))

    def moved(self, by: Array) -> _Objects:
        return _Objects(self.xy + by, self.axes, self.turn, self.height)


def simulate(scene: Scene, folder: Path, *, distinct: int | None = None) -> Truth:
    """Write ``spots.zarr``, and ``<role>.zarr`` and ``<role>.parquet`` of each role.

    Of a large slide only `distinct` grid rows are drawn, and then repeated.
    """
    rng = np.random.default_rng(scene.seed)
    attrs = _attributes(scene)
    frame = frame_of(attrs)
    count = scene.rows * scene.cols
    shape = (count, *frame.crop)
    shifts = _shifts(rng, scene, frame)
    blurred = rng.random(count) < scene.blurred
    drawn = []
    for at in range(min(distinct or scene.rows, scene.rows) * scene.cols):
        goal = scene.viability[(at * 7 + at // scene.cols) % len(scene.viability)]
        drawn.append(_Spot.draw(rng, scene, frame, goal, shifts[at], blurred=bool(blurred[at])))
    spots = [drawn[at % len(drawn)] for at in range(count)]
    group = zarr.open_group(folder / "spots.zarr", mode="w")
    group.attrs["gridwell"] = attrs
    for role in ROLES:
        array = group.create_array(
            role, shape=shape, chunks=(1, *shape[1:]), shards=(scene.cols, *shape[1:]),
            dtype="uint16", config={"write_empty_chunks": True},
        )  # fmt: skip
        with LabelWriter(folder / f"{role}.zarr", frame, shape, attrs) as writer:
            for start in range(0, count, scene.cols):
                row = spots[start : start + scene.cols]
                array[start : start + scene.cols] = np.stack([one.images[role] for one in row])
                writer.write(start, np.stack([one.labels[role] for one in row]))
        write_parquet(folder / f"{role}.parquet", _instances(spots, frame, role))
    return _truth(spots, scene, frame, shifts)


def _attributes(scene: Scene) -> dict[str, Any]:
    turn = np.deg2rad(scene.angle)
    row, col = np.divmod(np.arange(scene.rows * scene.cols), scene.cols)
    pitch = 1.45 * scene.side
    count = scene.rows * scene.cols
    return {
        "slide": "bench",
        "rows": scene.rows,
        "cols": scene.cols,
        "spots": [spot_name(int(r), int(c)) for r, c in zip(row, col, strict=True)],
        "x": (pitch * (1 + col * np.cos(turn) - row * np.sin(turn))).tolist(),
        "y": (pitch * (1 + col * np.sin(turn) + row * np.cos(turn))).tolist(),
        "angle": scene.angle,
        "width": scene.side,
        "height": scene.side,
        "shape": scene.shape,
        "found": [True] * count,
        "inside": [True] * count,
        "pixel_size_um": scene.pixel_size_um,
        "margin": scene.margin,
        "channels": [
            {"channel": role, "role": role, "samples": 1, "dtype": "uint16"} for role in ROLES
        ],
    }


def _shifts(rng: np.random.Generator, scene: Scene, frame: SpotFrame) -> Array:
    """Shift on the slide of each spot and stain, (spots, 2, 2)."""
    place = np.column_stack([frame.x, frame.y])
    extent = np.maximum(np.ptp(place, axis=0), 1)
    place = (place - place.mean(axis=0)) / extent.max()
    shifts = np.zeros((len(place), 2, 2))
    for at, base in enumerate((scene.live, scene.dead)):
        slope = rng.normal(0, 1, (2, 2))
        slope *= scene.drift / np.linalg.norm(slope)
        wander = rng.normal(0, scene.wander, (len(place), 2))
        shifts[:, at] = np.asarray(base) + place @ slope + wander
    return shifts


@dataclass
class _Spot:
    """One spot: its images and labels, and what is true of its cells."""

    images: dict[str, Array]
    labels: dict[str, Array]
    state: Array
    names: dict[str, Array]
    false: dict[str, Array]
    goal: float

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        scene: Scene,
        frame: SpotFrame,
        goal: float,
        shifts: Array,
        *,
        blurred: bool,
    ) -> _Spot:
        size = frame.crop[0]
        state, objects, has = _cells(rng, scene, size, goal)
        if scene.stranger:
            _, others, theirs = _cells(rng, scene, size, goal)
            shown = {**objects, scene.stranger: others[scene.stranger]}
            seen = {**has, scene.stranger: theirs[scene.stranger]}
        else:
            shown, seen = objects, has
        turn = np.deg2rad(frame.angle)
        basis = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        moves = {"nuclei": np.zeros(2), "live": shifts[0] @ basis, "dead": shifts[1] @ basis}
        blur = 3.5 * scene.blur if blurred else scene.blur
        gain = {role: np.float32(rng.lognormal(0, scene.uneven)) for role in ROLES}
        paints, labels, names, false = {}, {}, {}, {}
        for at, role in enumerate(ROLES):
            true = shown[role][seen[role]].moved(moves[role])
            junk = _junk(rng, scene, size, at, len(true.xy)).moved(moves[role])
            paints[role] = gain[role] * _paint(size, true + junk)
            own = np.arange(1, len(true.xy) + 1)
            if role == "live" and scene.merged:
                own = _merge(rng, true, own, scene.merged)
            kept = np.isin(own, own[~_missed(rng, true, scene.missed[at])])
            every = np.concatenate([np.where(kept, own, 0), len(own) + 1 + np.arange(len(junk.xy))])
            # Numbers of labels mean nothing.
            shuffled = np.concatenate([[0], 1 + rng.permutation(len(every) + 3)])
            every = shuffled[every]
            labels[role] = _outline(rng, size, true + junk, every, scene.jitter)
            there = np.isin(every, labels[role]) & (every > 0)
            every = np.where(there, every, 0)
            names[role] = np.zeros(len(state), np.int64)
            if role != scene.stranger:
                names[role][seen[role]] = every[: len(own)]
            false[role] = every[len(own) :][every[len(own) :] > 0]
        live = shown["live"][seen["live"]].moved(moves["dead"])
        paints["dead"] = paints["dead"] + gain["live"] * scene.bleed * _paint(size, live)
        shine = objects["nuclei"].moved(moves["live"])
        paints["live"] = paints["live"] + gain["nuclei"] * scene.crosstalk * _paint(size, shine)
        if scene.residue:
            kept = objects["live"][(state == DEAD)].moved(moves["live"])
            paints["live"] = paints["live"] + gain["live"] * scene.residue * _paint(size, kept)
        glow = {"live": scene.glow if rng.random() < 1 / 3 else 0.0} if scene.glow else {}
        images = {
            role: _camera(rng, scene, paint, blur, glow.get(role, 0.0))
            for role, paint in paints.items()
        }
        return cls(images, labels, state, names, false, goal)


def _cells(
    rng: np.random.Generator, scene: Scene, size: int, goal: float
) -> tuple[Array, dict[str, _Objects], dict[str, Array]]:
    """States, the objects of every channel for every cell, and which cells have them."""
    count = rng.poisson(max(0.0, scene.cells * rng.normal(1, scene.spread)))
    stained = rng.random(count) >= scene.inactive
    alive = rng.random(count) < goal
    dying = rng.random(count) < scene.dying
    state = np.where(alive, LIVE, np.where(dying, DYING, DEAD))
    state[~stained] = INACTIVE
    small = rng.uniform(*scene.nucleus, count) * np.select(
        [state == DEAD, state == DYING], [0.85, 0.95], 1.0
    )
    large = rng.uniform(*scene.body, count) * np.where(state == DYING, 0.9, 1.0)
    large = np.maximum(large, 1.15 * small)
    has_body = state <= DYING
    xy = _places(rng, scene, size, np.where(has_body, large, small))
    count = len(xy)
    state, small, large, has_body = (each[:count] for each in (state, small, large, has_body))
    level, scatter = scene.levels, scene.scatter
    dim = np.select([state == DEAD, state == DYING, state == INACTIVE], [0.6, 0.8, 0.8], 1.0)
    nuclei = _ellipses(rng, xy, small, dim * level[0], scatter[0], 0.85)
    off = rng.normal(0, scene.offset, (count, 2)) * large[:, None]
    fade = np.where(state == DYING, 0.55, 1.0)
    bodies = _ellipses(rng, xy + off, large, fade * level[1], scatter[1], 0.75)
    part = np.where(state == DYING, 0.75, 1.0)
    red = _ellipses(rng, xy + rng.normal(0, 0.15, (count, 2)), small * 1.05, part * level[2],
                    scatter[2], 0.85)  # fmt: skip
    has = {
        "nuclei": np.ones(count, bool),
        "live": has_body,
        "dead": (state == DYING) | (state == DEAD),
    }
    return state, {"nuclei": nuclei, "live": bodies, "dead": red}, has


def _ellipses(
    rng: np.random.Generator, xy: Array, radius: Array, level: Array | float, scatter: float,
    roundest: float,
) -> _Objects:  # fmt: skip
    """Ellipses of the areas of discs, axes no more unequal than `roundest`."""
    count = len(xy)
    ratio = np.sqrt(rng.uniform(roundest, 1, count))
    axes = np.column_stack([radius / ratio, radius * ratio])
    height = np.broadcast_to(level, count) * rng.lognormal(0, scatter, count)
    return _Objects(xy, axes, rng.uniform(0, np.pi, count), height)


def _places(rng: np.random.Generator, scene: Scene, size: int, radius: Array) -> Array:
    """Centres of cells of these radii that hardly overlap; fewer where there is no more room."""
    middle, reach = (size - 1) / 2, 0.46 * scene.side
    xy = np.zeros((len(radius), 2))
    placed = 0
    for r in radius:
        for _ in range(60):
            if placed and rng.random() < scene.clumps:
                other = rng.integers(placed)
                angle = rng.uniform(0, 2 * np.pi)
                step = 1.02 * (r + radius[other]) * np.array([np.cos(angle), np.sin(angle)])
                new = xy[other] + step
            else:
                new = middle + rng.uniform(-reach, reach, 2)
            away = new - middle
            inside = np.abs(away).max() if scene.shape == "square" else np.hypot(*away)
            if inside > reach:
                continue
            gap = np.hypot(*(xy[:placed] - new).T) - 0.9 * (radius[:placed] + r)
            if placed == 0 or gap.min() > 0:
                xy[placed] = new
                placed += 1
                break
        else:
            break
    return xy[:placed]


def _junk(rng: np.random.Generator, scene: Scene, size: int, channel: int, count: int) -> _Objects:
    """Debris of a channel: of any brightness, round or long, anywhere in the spot."""
    number = rng.poisson(scene.debris[channel] * count)
    reach = 0.46 * scene.side / (1 if scene.shape == "square" else np.sqrt(2))
    xy = (size - 1) / 2 + rng.uniform(-reach, reach, (number, 2))
    typical = scene.body if channel == 1 else scene.nucleus
    radius = rng.uniform(0.6, 1.1, number) * np.mean(typical)
    return _ellipses(rng, xy, radius, 0.7 * scene.levels[channel], 0.6, 0.4)


def _merge(rng: np.random.Generator, bodies: _Objects, names: Array, share: float) -> Array:
    """Give touching bodies one name: `share` of the pairs, at most three in one."""
    radius = np.sqrt(bodies.axes.prod(axis=1))
    away = np.hypot(*(bodies.xy[:, None] - bodies.xy[None]).transpose(2, 0, 1))
    one, other = np.nonzero(np.triu(away < 1.15 * (radius[:, None] + radius), 1))
    names = names.copy()
    for a, b in zip(one, other, strict=True):
        both = np.isin(names, [names[a], names[b]])
        if rng.random() < share and both.sum() <= 3:
            names[both] = names[a]
    return names


def _missed(rng: np.random.Generator, objects: _Objects, share: float) -> Array:
    """Which objects the segmentation misses: faint ones sooner."""
    count = len(objects.height)
    lost = np.zeros(count, bool)
    if count and share:
        weight = objects.height**-0.5
        number = min(count, int(rng.binomial(count, share)))
        lost[rng.choice(count, number, replace=False, p=weight / weight.sum())] = True
    return lost


def _windows(size: int, objects: _Objects) -> tuple[Array, Array, Array]:
    """Pixels about each object: their index, their distance in radii, and whose they are."""
    if len(objects.xy) == 0:
        nothing = np.zeros(0, np.int64)
        return nothing, np.zeros(0), nothing
    half = int(np.ceil(objects.axes.max() + 1.5))
    step = np.arange(-half, half + 1)
    base = np.rint(objects.xy).astype(np.int64)
    x = (base[:, 0, None, None] + step[None, None, :]) + 0 * step[None, :, None]
    y = (base[:, 1, None, None] + step[None, :, None]) + 0 * step[None, None, :]
    u, v = x - objects.xy[:, 0, None, None], y - objects.xy[:, 1, None, None]
    cos, sin = np.cos(objects.turn)[:, None, None], np.sin(objects.turn)[:, None, None]
    along, across = u * cos + v * sin, v * cos - u * sin
    rho = np.hypot(along / objects.axes[:, 0, None, None], across / objects.axes[:, 1, None, None])
    inside = (x >= 0) & (x < size) & (y >= 0) & (y < size)
    who = np.broadcast_to(np.arange(len(base))[:, None, None], rho.shape)
    return (y * size + x)[inside], rho[inside], who[inside]


def _paint(size: int, objects: _Objects) -> Array:
    """Light of the objects, a little more in the middle; overlapping light adds up."""
    at, rho, who = _windows(size, objects)
    radius = np.sqrt(objects.axes.prod(axis=1))
    cover = np.clip((1 - rho) * radius[who] + 0.5, 0, 1)
    light = cover * (1.15 - 0.3 * np.minimum(rho, 1) ** 2) * objects.height[who]
    return np.bincount(at, light, size * size).reshape(size, size).astype(np.float32)


def _outline(
    rng: np.random.Generator, size: int, objects: _Objects, names: Array, jitter: float
) -> Array:
    """Label image of the objects with a name above 0; a pixel belongs to the nearest."""
    count = len(names)
    off = rng.normal(0, jitter, (count, 2))
    scale = rng.lognormal(0, 0.06, (count, 1))
    drawn = _Objects(objects.xy + off, objects.axes * scale, objects.turn, objects.height)
    at, rho, who = _windows(size, drawn)
    labels = np.zeros(size * size, np.uint32)
    own = (rho <= 1) & (names[who] > 0)
    order = np.argsort(-rho[own], kind="stable")
    labels[at[own][order]] = names[who[own][order]]
    return labels.reshape(size, size)


def _camera(
    rng: np.random.Generator, scene: Scene, paint: Array, blur: float, medium: float
) -> Array:
    """What the camera makes of a channel: lens, uneven light, glow of the rim, noise."""
    size = paint.shape[0]
    soft = cv2.GaussianBlur(paint, (0, 0), blur)
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    direction = rng.uniform(0, 2 * np.pi)
    tilt = axis[None, :] * np.cos(direction) + axis[:, None] * np.sin(direction)
    far = np.hypot(axis[None, :], axis[:, None])
    if scene.shape == "square":
        far = np.maximum(np.abs(axis[None, :]), np.abs(axis[:, None]))
    rim = scene.side / size
    glow = rng.uniform(10, 60) * np.exp(-(((far - rim) / 0.06) ** 2))
    haze = (medium + rng.uniform(10, 40)) * (far < rim)
    base = 180 * (1 + 0.2 * tilt)
    light = base + glow + haze + soft * (1 + 0.1 * tilt)
    seen = rng.poisson(light * scene.photons) / scene.photons + rng.normal(0, 6, light.shape)
    return np.clip(np.rint(seen), 0, scene.ceiling).astype(np.uint16)


def _instances(spots: list[_Spot], frame: SpotFrame, role: str) -> pd.DataFrame:
    mask = frame.mask(*frame.crop)
    tables = []
    for at, spot in enumerate(spots):
        others = {other: spot.images[other] for other in ROLES if other != role}
        ring = SegmentOptions().ring
        table = measure(spot.labels[role], spot.images[role], others, ring, mask)
        table["x"], table["y"] = frame.to_slide(at, table["x"].to_numpy(), table["y"].to_numpy())
        table["orientation"] = 90 - (90 - table["orientation"] - frame.angle) % 180
        table.insert(0, "spot", frame.spots[at])
        tables.append(table.astype({"spot": "str"}))
    return pd.concat(tables, ignore_index=True)


def _truth(spots: list[_Spot], scene: Scene, frame: SpotFrame, shifts: Array) -> Truth:
    cells, false = [], []
    for name, spot in zip(frame.spots, spots, strict=True):
        columns = {role: spot.names[role] for role in ROLES}
        states = np.array(STATES, dtype=object)[spot.state]
        cells.append(pd.DataFrame({"spot": name, "state": states} | columns))
        false += [
            pd.DataFrame({"spot": name, "role": role, "label": spot.false[role]}) for role in ROLES
        ]
    goals = np.array([spot.goal for spot in spots])
    table = pd.DataFrame(
        {
            "spot": list(frame.spots),
            "viability": goals,
            "live": goals * (1 - scene.inactive) / (1 + scene.debris[0]),
            "live_dx": shifts[:, 0, 0],
            "live_dy": shifts[:, 0, 1],
            "dead_dx": shifts[:, 1, 0],
            "dead_dy": shifts[:, 1, 1],
        }
    )
    return Truth(pd.concat(cells, ignore_index=True), pd.concat(false, ignore_index=True), table)

"""What is on a simulated slide: the places of its spots and the cells in each of them.

Everything random comes from counter-based streams (Philox), one per spot and purpose, so that
the content of a spot depends on the seed and its number alone: not on the order in which spots
are asked for, nor on how many there are. Positions and brightnesses are rounded when they are
drawn; the tables of truth hold the very numbers that are rendered.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from gridwell.config.errors import InputError, Problem
from gridwell.config.models import Assay
from gridwell.config.spots import spot_name
from gridwell.phantom.options import Curve, PhantomOptions

STATES = ("live", "dying", "dead", "inactive")
LIVE, DYING, DEAD, INACTIVE = range(len(STATES))


class Stream(IntEnum):
    """Purposes of random streams; the numbers are part of what a seed means."""

    PLACE = 1
    RESPONSE = 2
    CELLS = 3
    DEBRIS = 4
    TEXTURE = 5
    NOISE = 6
    VALUE = 7


def stream(seed: int, purpose: Stream, index: int, channel: int = 0) -> np.random.Generator:
    """Return the random stream of one thing: the same numbers whatever was drawn before."""
    return np.random.Generator(
        np.random.Philox(key=[seed, (int(purpose) << 56) | (channel << 48) | index])
    )


@dataclass(frozen=True)
class Geometry:
    """Where the spots are. Arrays have one entry per grid position, row by row.

    Attributes
    ----------
    width, height
        Of the image in pixels.
    x, y
        Centres in slide pixels.
    half_x, half_y
        Half width and height of each spot along the grid's axes.
    turn
        Own rotation of each spot in degrees, grid included.
    present, out_of_focus
        Whether a spot was printed, and whether it is blurred.
    bridges
        Pairs of numbers of spots that ran into each other.
    origin
        Nominal centre of A1.
    """

    width: int
    height: int
    x: np.ndarray
    y: np.ndarray
    half_x: np.ndarray
    half_y: np.ndarray
    turn: np.ndarray
    present: np.ndarray
    out_of_focus: np.ndarray
    bridges: tuple[tuple[int, int], ...]
    origin: tuple[float, float]
    names: tuple[str, ...]
    rows: int
    cols: int

    @cached_property
    def neighbours(self) -> dict[int, tuple[int, ...]]:
        """Spots that each merged spot ran into."""
        found: dict[int, tuple[int, ...]] = {}
        for one, other in self.bridges:
            found[one] = (*found.get(one, ()), other)
            found[other] = (*found.get(other, ()), one)
        return found


def place_spots(options: PhantomOptions) -> Geometry:
    """Lay out the grid: rotation, blocks, scatter, missing and merged spots."""
    rows, cols = options.rows, options.cols
    along = _offsets(cols, options.pitch[0], options.block_cols, options.block_gap[0])
    down = _offsets(rows, options.pitch[1], options.block_rows, options.block_gap[1])
    cos, sin = _turned(options.angle)
    span_x = along[-1] + options.pitch[0]
    span_y = down[-1] + options.pitch[1]
    width = options.width or math.ceil(abs(span_x * cos) + abs(span_y * sin) + 2 * options.margin)
    height = options.height or math.ceil(abs(span_x * sin) + abs(span_y * cos) + 2 * options.margin)
    u = np.tile(along - along[-1] / 2, rows)
    v = np.repeat(down - down[-1] / 2, cols)
    n = rows * cols
    drawn = [stream(options.seed, Stream.PLACE, i) for i in range(n)]
    normal = np.array([rng.standard_normal(5) for rng in drawn])
    uniform = np.array([rng.random(4) for rng in drawn])
    u = u + normal[:, 0] * options.jitter * options.pitch[0]
    v = v + normal[:, 1] * options.jitter * options.pitch[1]
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    present = ~_share_of(uniform[:, 0], options.missing)
    size = 1 + options.size_jitter * normal[:, 2:4].clip(-3, 3)
    if options.shape == "round":
        size[:, 1] = size[:, 0]
    first_u, first_v = -along[-1] / 2, -down[-1] / 2
    bridges = _bridges(options, present, uniform[:, 2], uniform[:, 3])
    out_of_focus = _share_of(uniform[:, 1], options.out_of_focus)
    for one, other in bridges:
        out_of_focus[other] = out_of_focus[one]
    return Geometry(
        width=width,
        height=height,
        x=np.round(middle_x + u * cos - v * sin, 3),
        y=np.round(middle_y + u * sin + v * cos, 3),
        half_x=np.round(options.spot_size[0] / 2 * size[:, 0], 3),
        half_y=np.round(options.spot_size[1] / 2 * size[:, 1], 3),
        turn=np.round(options.angle + 0.4 * normal[:, 4], 3),
        present=present,
        out_of_focus=out_of_focus,
        bridges=bridges,
        origin=(
            round(middle_x + first_u * cos - first_v * sin, 3),
            round(middle_y + first_u * sin + first_v * cos, 3),
        ),
        names=tuple(spot_name(i // cols, i % cols) for i in range(n)),
        rows=rows,
        cols=cols,
    )


def _offsets(count: int, pitch: float, blocks: tuple[int, ...], gap: float) -> np.ndarray:
    offsets: np.ndarray = np.arange(count) * pitch + _block_of(count, blocks) * gap
    return offsets


def _block_of(count: int, blocks: tuple[int, ...]) -> np.ndarray:
    """Block that each row (or column) lies in, from 0."""
    return np.repeat(np.arange(len(blocks)), blocks) if blocks else np.zeros(count, int)


def _share_of(chance: np.ndarray, share: float) -> np.ndarray:
    """Choose exactly that share, rounded to whole spots: those with the least chance."""
    chosen = np.zeros(len(chance), bool)
    chosen[np.argsort(chance, kind="stable")[: round(share * len(chance))]] = True
    return chosen


def _turned(degrees: float) -> tuple[float, float]:
    return math.cos(math.radians(degrees)), math.sin(math.radians(degrees))


def _bridges(
    options: PhantomOptions, present: np.ndarray, chance: np.ndarray, way: np.ndarray
) -> tuple[tuple[int, int], ...]:
    """Pairs of merged neighbours in a block; half as many as merged spots, each spot in one."""
    row_block = _block_of(options.rows, options.block_rows)
    col_block = _block_of(options.cols, options.block_cols)
    taken: set[int] = set()
    pairs = []
    for i in np.flatnonzero(present & (chance < options.merged / 2)).tolist():
        row, col = divmod(i, options.cols)
        right, below = (row, col + 1), (row + 1, col)
        for r, c in (right, below) if way[i] < 0.5 else (below, right):
            j = r * options.cols + c
            if r >= options.rows or c >= options.cols or not present[j] or {i, j} & taken:
                continue
            if row_block[r] == row_block[row] and col_block[c] == col_block[col]:
                taken |= {i, j}
                pairs.append((i, j))
                break
    return tuple(pairs)


@dataclass(frozen=True)
class Treatment:
    """What was done to one spot, and what its cells answer."""

    role: str = "sample"
    agent: str = ""
    concentration: float | None = None
    unit: str = ""
    replicate: str = ""
    sample: str = ""
    value: float | None = None
    response: float = 0.0


def treat(
    options: PhantomOptions, geometry: Geometry, layout: pd.DataFrame | None
) -> tuple[Treatment, ...]:
    """Expected response of every spot (or its pH) from the layout and the known curves.

    Parameters
    ----------
    layout
        Columns of config/layouts (`spot`, `agent`, `concentration`, `unit`, `role`, `replicate`,
        `value`, `sample`), any but `spot` may be absent. None: every spot untreated. Several
        agents in a spot act independently (Bliss).

    Raises
    ------
    InputError
        If an agent has no curve, a unit differs from its curve's, or a spot is not on the grid.
    """
    number = {name: i for i, name in enumerate(geometry.names)}
    treatments = [_untreated(options, i) for i in number.values()]
    curves = {curve.agent: curve for curve in options.curves}
    treated: set[int] = set()
    problems = []
    for line, row in enumerate(_records(layout), start=2):
        problem = _misfit(options, row, number, curves, line)
        if problem:
            problems.append(problem)
            continue
        i = number[row["spot"]]
        treatment = _treatment(options, row, curves, i)
        treatments[i] = _together(options, treatments[i], treatment) if i in treated else treatment
        treated.add(i)
    if problems:
        raise InputError(problems)
    return tuple(treatments)


def _records(layout: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Rows of a layout with None for what is missing."""
    if layout is None:
        return []
    names = ("spot", "agent", "concentration", "unit", "role", "replicate", "value", "sample")
    table = layout.reindex(columns=list(names)).astype(object)
    table = table.where(table.notna(), None)
    return [dict(zip(names, row, strict=True)) for row in table.itertuples(index=False)]


def _misfit(
    options: PhantomOptions,
    row: dict[str, Any],
    number: dict[str, int],
    curves: dict[str, Curve],
    line: int,
) -> Problem | None:
    """What keeps a row of the layout from being simulated."""
    if row["spot"] not in number:
        remedy = f"Name a spot of the {options.rows} x {options.cols} grid."
        return Problem("layout", "spot is not on the grid", remedy, line, "spot", row["spot"])
    if not _has_curve(options, row):
        return None
    curve = curves.get(row["agent"])
    if curve is None:
        remedy = "Give options.curves a curve for each agent."
        return Problem("layout", "agent has no curve", remedy, line, "agent", row["agent"])
    if row["unit"] and row["unit"] != curve.unit:
        remedy = f"Write doses of {curve.agent} in {curve.unit}, the unit of its curve."
        return Problem("layout", "unit is not the curve's", remedy, line, "unit", row["unit"])
    return None


def _has_curve(options: PhantomOptions, row: dict[str, Any]) -> bool:
    sample = (row["role"] or "sample") == "sample"
    dosed = bool(row["agent"]) and bool(row["concentration"])
    return sample and dosed and options.assay != Assay.COLORIMETRY


def _untreated(options: PhantomOptions, spot: int) -> Treatment:
    if options.assay == Assay.COLORIMETRY:
        return Treatment(value=_unknown_value(options, "", spot))
    return Treatment(response=options.negative)


def _treatment(
    options: PhantomOptions, row: dict[str, Any], curves: dict[str, Curve], spot: int
) -> Treatment:
    response = options.positive if row["role"] == "pos_ctrl" else options.negative
    if _has_curve(options, row):
        response = curves[row["agent"]].response(float(row["concentration"]))
    value = None if row["value"] is None else float(row["value"])
    if value is None and options.assay == Assay.COLORIMETRY and row["role"] != "blank":
        value = _unknown_value(options, str(row["sample"] or ""), spot)
    return Treatment(
        role=str(row["role"] or "sample"),
        agent=str(row["agent"] or ""),
        concentration=None if row["concentration"] is None else float(row["concentration"]),
        unit=str(row["unit"] or ""),
        replicate="" if row["replicate"] is None else str(row["replicate"]),
        sample=str(row["sample"] or ""),
        value=value,
        response=response,
    )


def _together(options: PhantomOptions, one: Treatment, other: Treatment) -> Treatment:
    """Two agents in one spot."""
    share = other.response / options.negative if options.negative else 1.0
    agents = "+".join(agent for agent in (one.agent, other.agent) if agent)
    return replace(one, agent=agents, response=one.response * share)


def _unknown_value(options: PhantomOptions, sample: str, spot: int) -> float:
    """Draw the pH of a sample: the same in all its spots, whatever they are."""
    index = zlib.crc32(sample.encode()) if sample else spot
    low, high = options.value_range
    draw = stream(options.seed, Stream.VALUE, index, channel=1 if sample else 0).random()
    return round(low + (high - low) * draw, 3)


@dataclass(frozen=True)
class Cells:
    """Cells of one spot; arrays of equal length, in slide pixels and radians.

    `x`, `y` are in the frame of the nuclei; each channel adds its stage shift.
    `brightness` is the height of a cell's object in each channel, relative to a typical one;
    0 where it has none.
    """

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    body: np.ndarray
    aspect: np.ndarray
    angle: np.ndarray
    lobe: np.ndarray
    state: np.ndarray
    brightness: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.x)


def grow_cells(
    options: PhantomOptions, geometry: Geometry, treatment: Treatment, spot: int
) -> Cells:
    """Fill one spot with cells: how many, where, in which state, how bright."""
    rng = stream(options.seed, Stream.CELLS, spot)
    effect = _effect(options, treatment.response)
    count = options.cells * (1 + options.cells_spread * rng.standard_normal())
    n = max(round(count * (1 - options.loss * effect)), 0)
    if not geometry.present[spot] or treatment.role == "empty":
        n = 0
    low, high = options.cell_radius
    radius = np.round(low + (high - low) * rng.beta(2.0, 2.0, n), 3)
    u, v = _scatter(options, geometry, spot, radius, rng)
    cos, sin = _turned(float(geometry.turn[spot]))
    state = _states(options, treatment.response, n, spot, rng)
    # Dead nuclei shrink and condense.
    radius = np.where(state == DEAD, np.round(radius * 0.85, 3), radius)
    brightness = _brightness(options, treatment, state, rng)
    return Cells(
        x=np.round(geometry.x[spot] + u * cos - v * sin, 3),
        y=np.round(geometry.y[spot] + u * sin + v * cos, 3),
        radius=radius,
        body=np.round(radius * options.body * (1 + 0.08 * rng.standard_normal(n)), 3),
        aspect=np.round(rng.uniform(0.78, 1.0, n), 3),
        angle=np.round(rng.uniform(0, math.pi, n), 3),
        lobe=np.round(rng.uniform(0, 0.09, n), 3),
        state=state,
        brightness={name: np.round(value, 4) for name, value in brightness.items()},
    )


def _effect(options: PhantomOptions, response: float) -> float:
    """How far a response is from that of untreated spots: 0, to that of the positive: 1."""
    span = options.positive - options.negative
    return min(max((response - options.negative) / span, 0.0), 1.0) if span else 0.0


def _scatter(
    options: PhantomOptions,
    geometry: Geometry,
    spot: int,
    radius: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Positions along the axes of the spot: apart where there is room, clumps touching."""
    n = len(radius)
    rim = options.body * options.cell_radius[1] + 0.03 * options.spot_size[0]
    half_x = max(float(geometry.half_x[spot]) - rim, 1.0)
    half_y = max(float(geometry.half_y[spot]) - rim, 1.0)
    u, v = np.zeros(n), np.zeros(n)
    tries = 8
    clumped = rng.random(n) < options.clumps
    for i in range(n):
        drawn = rng.random((2, tries))
        if clumped[i] and i:
            anchor = min(int(drawn[0, 0] * i), i - 1)
            turn = 2 * math.pi * drawn[1]
            apart = 0.95 * (radius[anchor] + radius[i])
            du, dv = u[anchor] + apart * np.cos(turn), v[anchor] + apart * np.sin(turn)
        elif options.shape == "round":
            away, turn = np.sqrt(drawn[0]), 2 * math.pi * drawn[1]
            du, dv = half_x * away * np.cos(turn), half_y * away * np.sin(turn)
        else:
            du, dv = half_x * (2 * drawn[0] - 1), half_y * (2 * drawn[1] - 1)
        if options.shape == "round":
            inside = (du / half_x) ** 2 + (dv / half_y) ** 2 <= 1
        else:
            inside = (np.abs(du) <= half_x) & (np.abs(dv) <= half_y)
        reach = (radius[:i] + radius[i]) * (0.95 if clumped[i] else options.body)
        gap = (du[:, None] - u[:i]) ** 2 + (dv[:, None] - v[:i]) ** 2 - reach**2
        room = np.where(inside, gap.min(axis=1, initial=1.0), -np.inf)
        # The first try with room, else the one that overlaps least.
        best = int(np.argmax(room >= -1e-6)) if (room >= -1e-6).any() else int(np.argmax(room))
        u[i] = min(max(du[best], -half_x), half_x)
        v[i] = min(max(dv[best], -half_y), half_y)
    return u, v


def _states(
    options: PhantomOptions, response: float, n: int, spot: int, rng: np.random.Generator
) -> np.ndarray:
    if options.assay != Assay.VIABILITY:
        return np.zeros(n, np.int8)
    noise = stream(options.seed, Stream.RESPONSE, spot).standard_normal()
    alive = min(max(response, 0.0), 1.0)
    if 0 < alive < 1:
        odds = alive / (1 - alive) * math.exp(options.spot_spread * noise)
        alive = odds / (1 + odds)
    fallen = 1 - alive
    bounds = alive + fallen * np.cumsum(
        [0, options.dying, max(1 - options.dying - options.inactive, 0)]
    )
    states: np.ndarray = np.searchsorted(bounds, rng.random(n), side="right").astype(np.int8)
    return states


def _brightness(
    options: PhantomOptions, treatment: Treatment, state: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Height of each cell's object in the fluorescence channels, 1 for a typical one."""
    n = len(state)
    nuclei = 0.8 * np.exp(0.15 * rng.standard_normal(n)) * np.array([1, 1, 1.2, 0.75])[state]
    if options.assay == Assay.OBJECTS:
        reporter = treatment.response * np.exp(0.25 * rng.standard_normal(n))
        return {"nuclei": nuclei, "reporter": reporter}
    live = np.exp(0.25 * rng.standard_normal(n)) * np.array([0.9, 0.55, 0, 0])[state]
    dead = np.exp(0.2 * rng.standard_normal(n)) * np.array([0, 0.7, 1.0, 0])[state]
    return {"nuclei": nuclei, "live": live, "dead": dead}


@dataclass(frozen=True)
class Debris:
    """Particles and fibres within the pitch cell of one spot; `channel` is a number or -1."""

    x: np.ndarray
    y: np.ndarray
    long: np.ndarray
    short: np.ndarray
    angle: np.ndarray
    channel: np.ndarray
    brightness: np.ndarray


def scatter_debris(options: PhantomOptions, geometry: Geometry, spot: int) -> Debris:
    """Drop specks and fibres around one spot, present or not.

    All of them show in the first channel; most shine in one fluorescence channel as well.
    """
    rng = stream(options.seed, Stream.DEBRIS, spot)
    n = int(rng.poisson(options.debris))
    fibre = rng.random(n) < 0.25
    long = np.where(fibre, rng.uniform(12, 40, n), rng.uniform(1.5, 5, n))
    short = np.where(fibre, rng.uniform(0.8, 1.5, n), long * rng.uniform(0.5, 1, n))
    offset = (rng.random((2, n)) - 0.5) * np.array(options.pitch)[:, None]
    return Debris(
        x=np.round(geometry.x[spot] + offset[0], 3),
        y=np.round(geometry.y[spot] + offset[1], 3),
        long=np.round(long, 3),
        short=np.round(short, 3),
        angle=np.round(rng.uniform(0, math.pi, n), 3),
        channel=np.floor(rng.uniform(0, max(len(options.channels), 2), n)).astype(int),
        brightness=np.round(rng.uniform(0.3, 1.3, n), 4),
    )

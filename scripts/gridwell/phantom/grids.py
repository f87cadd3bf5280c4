"""Carriers of every kind as geometry: where the elements of a random grid are, and where not.

A `Recipe` holds the exact amount of every disturbance, so that one of them can be varied alone; a
`Scene` is what follows from it, in pixels of an image. `gridwell.phantom.grid_images` paints it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

LEVELS = ("L1", "L2", "L3", "L4")

FORMATS = ((2, 3), (3, 4), (4, 6), (6, 8), (8, 12), (16, 24), (32, 48), (14, 48))
"""Rows and columns of the common carriers; other sizes are drawn beside them."""

SHORTEST_SIDE, LONGEST_SIDE = 96.0, 1560.0
"""Of the longer side of an image, pixels; between them the pitch is free."""

SMALLEST_PITCH, LARGEST_PITCH = 6.0, 120.0
SMALLEST_SPOT = 3.0  # pixels: less than that is no element on any image
STEEPEST_WARP = 0.06  # pitch per cell: what stitching and bent carriers show

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Warp = Callable[[Array], Array]


@dataclass(frozen=True)
class Limits:
    """The most of each disturbance at a level; see `Recipe` for the units."""

    rotation: float
    missing: float
    jitter: float
    perspective: float = 0.0
    shear: float = 0.0
    warp: float = 0.0
    tile: float = 0.0
    lines: float = 0.0
    false: float = 0.0
    merged: float = 0.0
    blocks: float = 0.0  # probability


LIMITS = {
    "L1": Limits(rotation=3, missing=0.05, jitter=0.015),
    "L2": Limits(10, 0.20, 0.04, 0.05, 0.5, 0.0, 0.02, 0.08, 0.03, 0.01, 0.15),
    "L3": Limits(44, 0.40, 0.08, 0.12, 2.0, 0.3, 0.05, 0.08, 0.12, 0.05, 0.35),
    "L4": Limits(44, 0.60, 0.11, 0.20, 4.0, 0.6, 0.08, 0.08, 0.40, 0.15, 0.35),
}


@dataclass(frozen=True)
class Recipe:
    """What a scene is made of. Lengths are fractions of the pitch, angles degrees.

    Attributes
    ----------
    block_rows, block_cols
        Lines of each block, top to bottom and left to right.
    gaps
        Distance of the last row (column) of a block and the first of the next, in pitches; 1
        where there is one block.
    aspect
        Spacing of rows over spacing of columns.
    spot
        Width and height of an element, in spacings of columns.
    shape
        ``square`` or ``round``.
    size_sd
        Spread of the logarithm of the elements' sizes.
    pitch
        Wanted spacing of columns in pixels; bounded by the size of the image.
    margin
        Free space beyond the outer elements: left, top, right, bottom.
    rotation, shear
        Clockwise on screen; deviation of the axes from a right angle.
    perspective
        Change of scale from one side of the grid to the other.
    warp, steepest
        Rms of a smooth displacement; its slope stays below `steepest`, in pitches per cell.
    tile, tile_size
        Sd of the shifts of stitched camera fields, and their size.
    lines
        Sd of the offset of whole rows and columns.
    jitter
        Sd of the offset of single elements.
    missing, pattern
        Share of positions without element, and where: ``random``, ``hole`` (a round region),
        ``half`` (one side), ``line`` (whole inner lines first).
    false, merged, split
        False elements, elements that ran into a neighbour, elements seen as two (points only);
        shares of the number of positions.
    """

    block_rows: tuple[int, ...]
    block_cols: tuple[int, ...]
    gaps: tuple[float, float] = (1.0, 1.0)
    aspect: float = 1.0
    spot: tuple[float, float] = (0.6, 0.6)
    shape: str = "round"
    size_sd: float = 0.0
    pitch: float = 30.0
    margin: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    rotation: float = 0.0
    shear: float = 0.0
    perspective: float = 0.0
    warp: float = 0.0
    steepest: float = STEEPEST_WARP
    tile: float = 0.0
    tile_size: float = 5.0
    lines: float = 0.0
    jitter: float = 0.0
    missing: float = 0.0
    pattern: str = "random"
    false: float = 0.0
    merged: float = 0.0
    split: float = 0.0


@dataclass(frozen=True)
class Scene:
    """The truth of an image, in its pixels: x right, y down, the first pixel's centre at 0, 0.

    Attributes
    ----------
    level, seed
        What the scene was drawn from.
    nodes
        (rows, cols, 2): true centre of every position, missing ones included, through all
        distortions but the jitter of single elements.
    centres
        (rows, cols, 2): where the element really is, or would be.
    present
        (rows, cols): whether there is an element.
    frames
        (rows, cols, 2, 2): local spacing vectors, columns u (along the row) and v.
    sizes
        (rows, cols): size of each element relative to `spot_size`, whose median is 1.
    basis
        (2, 2): columns u and v of the plane that fits the nodes best.
    pitch
        Lengths of u and v.
    angle
        Of the rows, degrees clockwise on screen.
    block_rows, block_cols, gaps
        As in `Recipe`.
    spot_size, shape
        Width and height of the median element in pixels along u and v; ``square`` or ``round``.
    merged
        (n, 2, 2): pairs of positions (row, column) whose elements ran into each other.
    false
        (n, 2): centres of false elements.
    size
        Width and height of the image.
    identifiable
        Whether the image tells rows and columns: at least 15 % and two elements on the outer
        lines of each block, and no inner line without any.
    split
        Share of elements that `points` reports twice.
    """

    level: str
    seed: int
    nodes: Array
    centres: Array
    present: Flags
    frames: Array
    sizes: Array
    basis: Array
    pitch: tuple[float, float]
    angle: float
    block_rows: tuple[int, ...]
    block_cols: tuple[int, ...]
    gaps: tuple[float, float]
    spot_size: tuple[float, float]
    shape: str
    merged: npt.NDArray[np.int64]
    false: Array
    size: tuple[int, int]
    identifiable: bool
    split: float = field(default=0.0, repr=False)

    @property
    def rows(self) -> int:
        """Number of rows, all blocks together."""
        return sum(self.block_rows)

    @property
    def cols(self) -> int:
        """Number of columns, all blocks together."""
        return sum(self.block_cols)


def scene(level: str, seed: int) -> Scene:
    """Draw a carrier of a level.

    Parameters
    ----------
    level
        One of `LEVELS`.
    seed
        0 or more; equal seeds give equal scenes.
    """
    return build(recipe(level, seed), level, seed)


def recipe(level: str, seed: int) -> Recipe:
    """Draw what a carrier of a level is made of; see `scene`."""
    limits = LIMITS[level]
    rng = np.random.default_rng([seed, LEVELS.index(level), 1])
    block_rows, block_cols, gaps = _layout(limits, rng)
    aspect = 1.0 if rng.random() < 0.65 else _log_uniform(rng, 0.6, 1.67)
    shear = rng.uniform(-1, 1) * limits.shear
    # Beyond it rows and columns would be equally far from the horizontal.
    rotation = rng.uniform(-1, 1) * min(limits.rotation, 43.5 - limits.shear)
    count = sum(block_rows) * sum(block_cols)
    shape = "square" if rng.random() < 0.35 else "round"
    return Recipe(
        block_rows,
        block_cols,
        gaps,
        aspect=aspect,
        spot=_spot(aspect, shape, limits, rng),
        shape=shape,
        size_sd=_size_spread(level, shape, rng),
        pitch=_log_uniform(rng, SMALLEST_PITCH, LARGEST_PITCH),
        margin=_margin(level, rng),
        rotation=rotation,
        shear=shear,
        perspective=rng.uniform(0, limits.perspective),
        warp=rng.uniform(0, limits.warp),
        tile=rng.uniform(0, limits.tile),
        tile_size=rng.uniform(3, 9),
        lines=rng.uniform(0, limits.lines) if rng.random() < 1 / 3 else 0.0,
        jitter=rng.uniform(0, limits.jitter),
        # A single one of few elements is more than the level's share.
        missing=math.floor(rng.uniform(0, limits.missing) * count) / count,
        pattern=_pattern(level, rng),
        false=rng.uniform(0, limits.false),
        merged=rng.uniform(0, limits.merged),
        split=rng.uniform(0, limits.merged),
    )


def build(made_of: Recipe, level: str, seed: int) -> Scene:
    """Build the scene of a recipe.

    Parameters
    ----------
    made_of
        Amounts of all disturbances.
    level, seed
        Noted in the scene; `seed` decides everything that the recipe leaves open.
    """
    rng = np.random.default_rng([seed, LEVELS.index(level), 2])
    x, y = _lines(made_of.block_cols, made_of.gaps[1]), _lines(made_of.block_rows, made_of.gaps[0])
    ideal = np.stack(np.meshgrid(x, y), axis=-1)
    placed = ideal + _line_offsets(made_of, ideal.shape[:2], rng)
    warp, turn = _warp(made_of, ideal, rng), _projection(made_of, ideal, rng)

    def lay(points: Array) -> Array:
        return turn((points + warp(points)) * (1.0, made_of.aspect))

    nodes = lay(placed)
    frames = np.stack([lay(placed + step) - nodes for step in 0.01 * np.eye(2)], axis=-1) / 0.01
    nodes = nodes + _stitching(made_of, nodes, rng)
    offset = np.clip(rng.standard_normal(nodes.shape), -2.5, 2.5) * made_of.jitter
    centres = nodes + np.einsum("rcij,rcj->rci", frames, offset)
    sizes = np.exp(np.clip(rng.standard_normal(nodes.shape[:2]), -2.5, 2.5) * made_of.size_sd)
    # The largest stop growing where they would touch.
    room = min(1 / made_of.spot[0], made_of.aspect / made_of.spot[1])
    sizes = np.minimum(sizes, 0.98 * room)
    present = _occupied(made_of, rng)

    scale, origin, size = _canvas(made_of, nodes, frames)
    nodes, centres, frames = nodes * scale + origin, centres * scale + origin, frames * scale
    basis = _plane(ideal, nodes)
    pitch = np.hypot(*basis)
    spot = np.array(made_of.spot) / (1.0, made_of.aspect) * pitch
    sizes = sizes / np.median(sizes[present])
    return Scene(
        level=level,
        seed=seed,
        nodes=nodes,
        centres=centres,
        present=present,
        frames=frames,
        sizes=sizes,
        basis=basis,
        pitch=(float(pitch[0]), float(pitch[1])),
        angle=math.degrees(math.atan2(basis[1, 0], basis[0, 0])),
        block_rows=made_of.block_rows,
        block_cols=made_of.block_cols,
        gaps=made_of.gaps,
        spot_size=(float(spot[0]), float(spot[1])),
        shape=made_of.shape,
        merged=_neighbours(made_of, present, rng),
        false=_false(made_of, present.size, size, rng),
        size=size,
        identifiable=_identifiable(made_of, present),
        split=made_of.split,
    )


def points(truth: Scene, rng: np.random.Generator) -> Array:
    """Centres as a segmentation of the scene would report them.

    Parameters
    ----------
    truth
        The scene.
    rng
        Source of the measurement's noise.

    Returns
    -------
    Array
        (n, 2), pixels, in random order: elements, false ones, merged pairs as one point, split
        elements as two.
    """
    alone = truth.present.copy()
    a, b = truth.merged[:, 0], truth.merged[:, 1]
    alone[a[:, 0], a[:, 1]] = alone[b[:, 0], b[:, 1]] = False
    pairs = (truth.centres[a[:, 0], a[:, 1]] + truth.centres[b[:, 0], b[:, 1]]) / 2
    broken = alone & (rng.random(alone.shape) < truth.split)
    half = 0.22 * min(truth.spot_size)
    way = rng.uniform(0, 2 * np.pi, int(broken.sum()))
    step = half * np.stack([np.cos(way), np.sin(way)], axis=1)
    parts = [truth.centres[broken] - step, truth.centres[broken] + step]
    found = np.concatenate([truth.centres[alone & ~broken], pairs, *parts, truth.false])
    noise = rng.uniform(0.005, 0.03) * min(truth.pitch)
    found = found + noise * rng.standard_normal(found.shape)
    return found[rng.permutation(len(found))]


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _layout(
    limits: Limits, rng: np.random.Generator
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[float, float]]:
    """Lines of the blocks down and across, and the gaps between them."""
    if rng.random() < 0.7:
        rows, cols = FORMATS[rng.integers(len(FORMATS))]
    else:
        rows, cols = (round(_log_uniform(rng, 4, 40)) for _ in range(2))
    if rng.random() < 0.1:
        rows, cols = cols, rows
    block_rows, block_cols = (rows,), (cols,)
    if rng.random() < limits.blocks:
        which = rng.choice(3, p=[0.3, 0.45, 0.25])  # down, across, both
        block_rows = _parts(rows, 4, rng) if which != 1 else block_rows
        block_cols = _parts(cols, 12, rng) if which != 0 else block_cols
    gap_rows, gap_cols = (_gap(rng) if len(b) > 1 else 1.0 for b in (block_rows, block_cols))
    return block_rows, block_cols, (gap_rows, gap_cols)


def _parts(lines: int, most: int, rng: np.random.Generator) -> tuple[int, ...]:
    """Split lines into blocks of three or more, most often equal ones."""
    counts = [n for n in range(2, most + 1) if lines // n >= 3]
    if not counts:
        return (lines,)
    weight = 1 / np.array(counts) ** 1.5
    n = int(rng.choice(counts, p=weight / weight.sum()))
    even = lines // n
    parts = [even] * n
    parts[-1] = max(lines - even * (n - 1), 3) if rng.random() < 0.3 else even
    return tuple(parts)


def _gap(rng: np.random.Generator) -> float:
    """Return a gap that is no whole number of pitches: such a gap is an empty line."""
    while abs((gap := rng.uniform(1.2, 3.0)) - round(gap)) < 0.1:
        pass
    return float(gap)


def _spot(
    aspect: float, shape: str, limits: Limits, rng: np.random.Generator
) -> tuple[float, float]:
    """Width and height that leave neighbours apart in spite of the jitter."""
    largest = 0.9 - 2.0 * limits.jitter
    share = rng.uniform(0.3, largest)
    if aspect != 1.0 and shape == "square" and rng.random() < 0.4:
        return share, share * aspect
    side = share * min(1.0, aspect)
    return side, side


def _size_spread(level: str, shape: str, rng: np.random.Generator) -> float:
    """Return the spread of log sizes; colonies differ much more than printed spots."""
    if level != "L1" and shape == "round" and rng.random() < 0.2:
        return float(rng.uniform(0.15, 0.35))
    return float(rng.uniform(0, 0.05 if level == "L1" else 0.12))


def _margin(level: str, rng: np.random.Generator) -> tuple[float, float, float, float]:
    most = {"L1": 1.5, "L2": 2.5}.get(level, 4.0)
    common = rng.uniform(0.3, most)
    left, top, right, bottom = np.clip(common * rng.uniform(0.4, 1.6, 4), 0.15, most)
    return float(left), float(top), float(right), float(bottom)


def _pattern(level: str, rng: np.random.Generator) -> str:
    share = {"L1": (1, 0, 0, 0), "L2": (0.75, 0.2, 0.05, 0)}.get(level, (0.6, 0.22, 0.1, 0.08))
    return str(rng.choice(["random", "hole", "half", "line"], p=share))


def _lines(blocks: tuple[int, ...], gap: float) -> Array:
    """Place lines on an axis in pitches, the first at 0."""
    steps = np.ones(sum(blocks))
    steps[0] = 0.0
    steps[np.cumsum(blocks)[:-1]] = gap
    return np.cumsum(steps)


def _line_offsets(made_of: Recipe, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    across = np.clip(rng.standard_normal(shape[1]), -2, 2) * made_of.lines
    down = np.clip(rng.standard_normal(shape[0]), -2, 2) * made_of.lines
    return np.stack(np.broadcast_arrays(across[None, :], down[:, None]), axis=-1)


def _warp(made_of: Recipe, ideal: Array, rng: np.random.Generator) -> Warp:
    """Return a displacement of a few long waves, in pitches."""
    extent = np.ptp(ideal.reshape(-1, 2), axis=0).max() + 1.0
    way, phase = rng.uniform(0, 2 * np.pi, (2, 2, 4))
    wave = 2 * np.pi / (extent * rng.uniform(0.7, 2.5, (2, 4)))
    weight = rng.standard_normal((2, 4))
    kx, ky = wave * np.cos(way), wave * np.sin(way)

    def raw(points: Array) -> Array:
        x, y = points[..., 0, None, None], points[..., 1, None, None]
        moved: Array = (weight * np.sin(kx * x + ky * y + phase)).sum(axis=-1)
        return moved

    field_ = raw(ideal)
    field_ = field_ - field_.mean(axis=(0, 1))
    rms = math.sqrt(float((field_**2).sum(axis=-1).mean()))
    amount = made_of.warp / max(rms, 1e-9)
    slope = max(float(np.abs(np.diff(field_, axis=axis)).max(initial=0.0)) for axis in (0, 1))
    amount = min(amount, made_of.steepest / max(slope, 1e-9))
    return lambda points: amount * raw(points)


def _projection(made_of: Recipe, ideal: Array, rng: np.random.Generator) -> Warp:
    """Return the turn of the carrier: shear, rotation and perspective about its middle."""
    aspect = np.array([1.0, made_of.aspect])
    middle = (ideal[0, 0] + ideal[-1, -1]) / 2 * aspect
    extent = max(float(np.hypot(*(np.ptp(ideal.reshape(-1, 2), axis=0) * aspect))), 1.0)
    angle, shear = math.radians(made_of.rotation), math.radians(made_of.shear)
    turn = np.array(
        [
            [math.cos(angle - shear / 2), -math.sin(angle + shear / 2)],
            [math.sin(angle - shear / 2), math.cos(angle + shear / 2)],
        ]
    )
    way = rng.uniform(0, 2 * np.pi)
    tilt = made_of.perspective / extent * np.array([math.cos(way), math.sin(way)])

    def project(points: Array) -> Array:
        turned = (points - middle) @ turn.T
        seen: Array = turned / (1.0 + turned @ tilt)[..., None]
        return seen

    return project


def _stitching(made_of: Recipe, nodes: Array, rng: np.random.Generator) -> Array:
    """Shift of each node with the camera field that it lies in."""
    tiles = np.floor((nodes - nodes.min(axis=(0, 1))) / made_of.tile_size).astype(int)
    shifts = np.clip(rng.standard_normal((*(tiles.max(axis=(0, 1)) + 1), 2)), -2, 2) * made_of.tile
    moved: Array = shifts[tiles[..., 0], tiles[..., 1]]
    return moved


def _occupied(made_of: Recipe, rng: np.random.Generator) -> Flags:
    """Which positions hold an element; four at least."""
    shape = sum(made_of.block_rows), sum(made_of.block_cols)
    gone = min(round(made_of.missing * shape[0] * shape[1]), shape[0] * shape[1] - 4)
    row, col = np.indices(shape)
    order = rng.random(shape)
    if made_of.pattern == "hole":
        r, c = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        order = np.hypot(row - r, col - c) / math.hypot(*shape) + 0.06 * order
    elif made_of.pattern == "half":
        axis, place = (row, shape[0]) if rng.random() < 0.5 else (col, shape[1])
        depth = axis / place if rng.random() < 0.5 else 1 - (axis + 1) / place
        order = np.where(order < 0.8, depth + 0.1 * order, 0.2 + order)
    elif made_of.pattern == "line" and min(shape) > 4:
        inner = int(rng.integers(1, shape[0] - 1))
        order = np.where(row == inner, order - 1, order)
    present = np.ones(shape, bool)
    present.flat[np.argsort(order, axis=None)[:gone]] = False
    return present


def _canvas(made_of: Recipe, nodes: Array, frames: Array) -> tuple[float, Array, tuple[int, int]]:
    """Pixels per pitch, place of the coordinates' origin, and size of an image with it all."""
    # Half the diagonal of an element, and what jitter may add.
    reach = np.abs(frames).max(axis=(0, 1)) @ (np.array(made_of.spot) / (1.0, made_of.aspect)) / 2
    reach = reach + 3 * made_of.jitter
    low = nodes.min(axis=(0, 1)) - reach - made_of.margin[:2]
    high = nodes.max(axis=(0, 1)) + reach + made_of.margin[2:]
    extent = high - low
    least = max(SMALLEST_PITCH / min(1.0, made_of.aspect), SMALLEST_SPOT / min(made_of.spot))
    scale = max(made_of.pitch, least, SHORTEST_SIDE / extent.max())
    scale = min(scale, LONGEST_SIDE / extent.max())
    width, height = np.ceil(extent * scale).astype(int)
    return float(scale), -low * scale - 0.5, (int(width), int(height))


def _plane(ideal: Array, nodes: Array) -> Array:
    """Spacing vectors of the plane through all nodes, as columns."""
    flat = ideal.reshape(-1, 2)
    design = np.column_stack([flat, np.ones(len(flat))])
    return np.asarray(np.linalg.lstsq(design, nodes.reshape(-1, 2), rcond=None)[0][:2].T, float)


def _neighbours(made_of: Recipe, present: Flags, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Pairs of neighbours that ran into each other; no position twice, no gap between them."""
    wanted = round(made_of.merged * present.size / 2)
    pairs: list[tuple[tuple[int, int], tuple[int, int]]] = []
    used: set[tuple[int, int]] = set()
    cut_rows = set(np.cumsum(made_of.block_rows).tolist())
    cut_cols = set(np.cumsum(made_of.block_cols).tolist())
    for place in rng.permutation(present.size)[: 6 * wanted].tolist():
        a = divmod(place, present.shape[1])
        across = rng.random() < 0.5
        b = (a[0], a[1] + 1) if across else (a[0] + 1, a[1])
        gap = b[1] in cut_cols if across else b[0] in cut_rows
        if len(pairs) < wanted and not gap and not used & {a, b} and present[a] and present[b]:
            pairs.append((a, b))
            used |= {a, b}
    return np.array(pairs, np.int64).reshape(-1, 2, 2)


def _false(made_of: Recipe, count: int, size: tuple[int, int], rng: np.random.Generator) -> Array:
    """Centres of debris: anywhere, in heaps, or along a scratch."""
    n = round(made_of.false * count)
    anywhere = rng.uniform(0, 1, (n, 2)) * size
    style = rng.choice(["anywhere", "heap", "scratch"], p=[0.6, 0.25, 0.15])
    if n < 4 or style == "anywhere":
        return anywhere
    start, end = rng.uniform(0, 1, (2, 2)) * size
    t = rng.random((n, 1))
    together = start + (end - start) * t if style == "scratch" else start
    spread = min(size) * (0.01 if style == "scratch" else 0.12)
    together = together + rng.standard_normal((n, 2)) * spread
    chosen = np.where(rng.random((n, 1)) < 0.6, together, anywhere)
    return np.clip(chosen, 0, np.array(size) - 1.0)


def _identifiable(made_of: Recipe, present: Flags) -> bool:
    """Whether every line that limits a block is visible, and no inner line is empty."""
    rows, cols = np.cumsum((0, *made_of.block_rows)), np.cumsum((0, *made_of.block_cols))
    for top, bottom in itertools.pairwise(rows):
        for left, right in itertools.pairwise(cols):
            block = present[top:bottom, left:right]
            for lines in (block, block.T):
                seen = lines.sum(axis=1)
                least = min(max(math.ceil(0.15 * lines.shape[1]), 2), lines.shape[1])
                if seen[0] < least or seen[-1] < least or not seen.all():
                    return False
    return True

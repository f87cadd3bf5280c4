"""Which corner of the image spot A1 is in, and a grid whose names are turned with it.

A grid is found as the image stands: A1 at the top left. The carrier may lie otherwise. What
tells is, in this order, a person, marks off the grid, and spots that stay empty; where none of
them does, the orientation is unknown and the names follow the image.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gridwell.config.models import Carrier, GridOptions, GridOverride
from gridwell.config.overrides import CORNERS, quarter
from gridwell.config.spots import parse_spot, row_letters, spot_name
from gridwell.grid.elements import Image
from gridwell.grid.evidence import weigh
from gridwell.grid.lattice import Array
from gridwell.grid.look import look, vectors
from gridwell.grid.model import Grid

# Nats by which the pattern of empty spots must prefer one turn to any other.
_DECISIVE = 6.0
# Part of the spots that should be empty and are, at least.
_EMPTY = 0.7
# Chance that a spot which stays empty by design shows something all the same.
_SOILED = 0.1
# Part of a typical spot's score by which marks must be clearer at one turn than at another.
_CLEARER = 0.25

UNKNOWN = {
    "value": "unknown",
    "source": "unknown",
    "reason": "nothing tells which corner A1 is in; the names follow the image as it stands, with "
    "A1 at the top left",
}


@dataclass(frozen=True)
class Frame:
    """Rows and columns of a carrier, and where its spots come to lie when it is turned.

    Attributes
    ----------
    rows, cols
        Of the carrier with A1 at the top left.
    turn
        Clockwise quarter turns of the carrier, 0 to 3.
    """

    rows: int
    cols: int
    turn: int

    def place(self, row: Any, col: Any) -> tuple[Any, Any]:
        """Row and column in the image of a row and column of the carrier, all from 0."""
        last_row, last_col = self.rows - 1, self.cols - 1
        return (
            (row, col),
            (col, last_row - row),
            (last_row - row, last_col - col),
            (last_col - col, row),
        )[self.turn]


def turned(grid: Grid, turn: int) -> Grid:
    """Rename a grid found with A1 at the top left for a carrier that was turned.

    Parameters
    ----------
    grid
        As found.
    turn
        Clockwise quarter turns of the carrier, 0 to 3.

    Returns
    -------
    Grid
        The same positions; rows, columns, names, origin, pitch, angle (above -180 to 180),
        blocks, margins and alternatives as the carrier has them.
    """
    if turn == 0 or not grid.rows:
        return grid
    odd = turn % 2 == 1
    rows, cols = (grid.cols, grid.rows) if odd else (grid.rows, grid.cols)
    frame = Frame(rows, cols, turn)
    c, r = (k.ravel() for k in np.meshgrid(np.arange(cols), np.arange(rows)))
    i, j = frame.place(r, c)
    table = grid.table.iloc[i * grid.cols + j].reset_index(drop=True)
    table["spot"] = [spot_name(int(a), int(b)) for a, b in zip(r, c, strict=True)]
    table["row"] = [row_letters(int(a)) for a in r]
    table["col"] = c.astype(np.int64) + 1
    if odd:
        table["width"], table["height"] = table["height"].copy(), table["width"].copy()
    return replace(
        grid,
        rows=rows,
        cols=cols,
        pitch=_swapped(grid.pitch) if odd else grid.pitch,
        angle=None if grid.angle is None else _within(grid.angle + 90 * turn),
        origin=_origin(grid, frame),
        width=grid.height if odd else grid.width,
        height=grid.width if odd else grid.height,
        blocks=_turned_blocks(grid, frame, table[["x", "y"]].to_numpy(np.float64)),
        margins={_turned_key(key, turn): value for key, value in grid.margins.items()},
        alternatives=tuple(_turned_alternative(other, turn) for other in grid.alternatives),
        table=table,
    )


def _within(angle: float) -> float:
    """The same direction, above -180 to 180 degrees."""
    return -((-angle + 180) % 360 - 180)


def _swapped(pair: tuple[Any, Any] | None) -> tuple[Any, Any] | None:
    return None if pair is None else (pair[1], pair[0])


def _origin(grid: Grid, frame: Frame) -> tuple[float, float]:
    """Centre of the position that is A1 now."""
    i, j = frame.place(0, 0)
    x, y = grid.nodes[i, j]
    return float(x), float(y)


def _turned_blocks(grid: Grid, frame: Frame, nodes: Array) -> tuple[dict[str, float], ...]:
    """Blocks counted from the carrier's A1, in its reading order."""
    back = Frame(grid.rows, grid.cols, (-frame.turn) % 4)
    blocks = []
    for block in grid.blocks:
        corners = [
            back.place(block[f"{end}_row"] - 1, block[f"{side}_col"] - 1)
            for end in ("first", "last")
            for side in ("first", "last")
        ]
        (r0, c0), (r1, c1) = np.min(corners, axis=0), np.max(corners, axis=0)
        x, y = nodes[int(r0 * frame.cols + c0)]
        place = {"first_row": r0, "last_row": r1, "first_col": c0, "last_col": c1}
        counted = {key: float(value + 1) for key, value in place.items()}
        blocks.append({**counted, "x": float(x), "y": float(y)})
    return tuple(sorted(blocks, key=lambda b: (b["first_row"], b["first_col"])))


_WAYS = ("up", "right", "down", "left")
_SIDES = ("first_row", "last_col", "last_row", "first_col")


def _turned_key(key: str, turn: int) -> str:
    """A margin's name: what is up in the image is another side of a turned carrier."""
    for words in (_WAYS, _SIDES):
        for number, word in enumerate(words):
            if key.endswith(f"_{word}"):
                return key.removesuffix(word) + words[(number - turn) % 4]
    return key


def _turned_alternative(other: dict[str, Any], turn: int) -> dict[str, Any]:
    sizes = (other["cols"], other["rows"]) if turn % 2 else (other["rows"], other["cols"])
    corners = [*other["corners"][turn:], *other["corners"][:turn]]
    return {**other, "rows": sizes[0], "cols": sizes[1], "corners": corners}


def upright_carrier(carrier: Carrier, turn: int) -> Carrier:
    """Describe a turned carrier as the image shows it, A1 taken to be at the top left."""
    back_rows, back_cols = carrier.block_rows[::-1], carrier.block_cols[::-1]
    blocks = (
        (carrier.block_rows, carrier.block_cols),
        (carrier.block_cols, back_rows),
        (back_rows, back_cols),
        (back_cols, carrier.block_rows),
    )[turn]
    update: dict[str, Any] = {"block_rows": blocks[0], "block_cols": blocks[1]}
    if turn % 2:
        update |= {"rows": carrier.cols, "cols": carrier.rows}
        for name in ("pitch_um", "spot_um", "gap_um", "footprint_um"):
            update[name] = _swapped(getattr(carrier, name))
    if turn:
        # Places on the carrier that are no longer where the file says.
        update |= {"a1_um": None, "marks": (), "empty": ()}
    return carrier.model_copy(update=update)


def upright_options(options: GridOptions, turn: int) -> GridOptions:
    """Options for looking at a turned carrier as the image shows it."""
    if turn % 2 == 0:
        return options
    return options.model_copy(update={"rows": options.cols, "cols": options.rows})


def upright_override(
    override: GridOverride, turn: int, rows: int | None, cols: int | None
) -> GridOverride:
    """Say an override of a turned carrier as the image shows it.

    Parameters
    ----------
    override
        As a person wrote it, with the carrier's own names.
    turn
        Clockwise quarter turns of the carrier.
    rows, cols
        Of the carrier; named spots cannot be renamed without them.

    Raises
    ------
    ValueError
        If spots are named and `rows` or `cols` is not known.
    """
    if turn == 0:
        return override
    corners = dict(override.corners or {})
    if override.origin is not None:
        corners["A1"] = override.origin
    if corners and (rows is None or cols is None):
        raise ValueError("spots of a turned grid need rows and cols")
    update: dict[str, Any] = {"orientation": None, "origin": None, "corners": None}
    if corners:
        frame = Frame(rows or 0, cols or 0, turn)
        update["corners"] = {
            spot_name(*frame.place(*parse_spot(name))): xy for name, xy in corners.items()
        }
    if override.angle is not None:
        update["angle"] = _within(override.angle - 90 * turn)
    if turn % 2:
        update |= {"rows": override.cols, "cols": override.rows}
        update |= {name: _swapped(getattr(override, name)) for name in ("pitch", "spot")}
    return override.model_copy(update=update)


def orient(
    grid: Grid,
    image: Image | None,
    scale: float,
    *,
    given: int | None,
    carrier: Carrier | None,
    empty: Collection[str] = (),
    sideways: bool = False,
) -> Grid:
    """Settle which corner A1 is in, and turn the names with it.

    Parameters
    ----------
    grid
        As found, with A1 at the top left of the image.
    image
        Gray overview (h, w) that it was found on, normalised; None where it is blank.
    scale
        Slide pixels per image pixel.
    given
        Quarter turns that a person gave; None where nobody did.
    carrier
        The carrier as its file describes it, for its marks and empty spots.
    empty
        Further spots that stay empty, by the layout.
    sideways
        Whether rows and columns of the carrier are exchanged in the image.

    Returns
    -------
    Grid
        With `orientation` said; ``ambiguous`` where the carrier lies on its side and nothing
        tells which side is up.
    """
    if not grid.rows:
        return replace(grid, orientation=dict(UNKNOWN))
    if given is not None:
        return _named(grid, given, "override", "said in the override of the slide")
    turns = _possible(grid, carrier, sideways)
    marks = () if carrier is None else carrier.marks
    spots = {*(() if carrier is None else carrier.empty), *empty}
    for source, told in (
        ("marks", _by_marks(grid, image, scale, turns, marks)),
        ("empty spots", _by_empty_spots(grid, turns, spots)),
    ):
        if told is not None:
            return _named(grid, told[0], source, told[1])
    if not sideways:
        return replace(grid, orientation=dict(UNKNOWN))
    return replace(
        turned(grid, 1),
        status="ambiguous",
        confidence=0.0,
        orientation=dict(UNKNOWN) | {"reason": "the carrier lies on its side"},
        reason=f"the image shows {grid.rows} rows of {grid.cols}: the carrier lies on its side; "
        "give orientation, A1 top right or A1 bottom left, in an override",
    )


def _named(grid: Grid, turn: int, source: str, reason: str) -> Grid:
    orientation = {"value": CORNERS[turn], "source": source, "reason": reason}
    return replace(turned(grid, turn), orientation=orientation)


def _possible(grid: Grid, carrier: Carrier | None, sideways: bool) -> list[int]:
    """Turns at which the carrier would look like the grid that was found."""
    if sideways:
        return [1, 3]
    if grid.rows != grid.cols or grid.pitch is None:
        return [0, 2]
    if carrier is None or carrier.pitch_um is None:
        return [0, 1, 2, 3]
    stretched = carrier.pitch_um[1] / carrier.pitch_um[0]
    return [0, 2] if abs(stretched - 1) > 0.03 else [0, 1, 2, 3]


def _frame(grid: Grid, turn: int) -> Frame:
    rows, cols = (grid.cols, grid.rows) if turn % 2 else (grid.rows, grid.cols)
    return Frame(rows, cols, turn)


def _by_marks(
    grid: Grid,
    image: Image | None,
    scale: float,
    turns: Sequence[int],
    marks: Sequence[tuple[float, float]],
) -> tuple[int, str] | None:
    """The one turn at which every mark shows."""
    if not marks or image is None or not grid.seen.any():
        return None
    nodes = (grid.nodes + 0.5) / scale - 0.5
    basis = vectors(nodes)
    seen = look(image, nodes, basis, among=grid.seen)
    if seen is None:
        return None
    column, row = np.array(marks, np.float64).T
    shown: dict[int, Array] = {}
    for turn in turns:
        i, j = _frame(grid, turn).place(row, column)
        near_i = np.clip(np.rint(i), 0, grid.rows - 1).astype(int)
        near_j = np.clip(np.rint(j), 0, grid.cols - 1).astype(int)
        where = (
            nodes[near_i, near_j]
            + (j - near_j)[:, None] * basis.u
            + (i - near_i)[:, None] * basis.v
        )
        shown[turn] = weigh(image, where[None], basis, seen.spot).score[0]
    typical = float(np.median(seen.cells.score[grid.seen]))
    ranked = sorted(turns, key=lambda turn: -float(shown[turn].mean()))
    best, others = shown[ranked[0]], [shown[turn] for turn in ranked[1:]]
    clear = all(
        (other < seen.threshold).any() and best.mean() - other.mean() > _CLEARER * typical
        for other in others
    )
    if not (clear and (best >= seen.threshold).all()):
        return None
    count = "the mark shows" if len(marks) == 1 else f"all {len(marks)} marks show"
    return ranked[0], f"{count} beside the grid at this turn and at no other"


def _by_empty_spots(
    grid: Grid, turns: Sequence[int], names: Collection[str]
) -> tuple[int, str] | None:
    """The one turn at which the spots that do not show are those that stay empty."""
    seen = grid.seen
    inside = ~grid.table["flags"].str.contains("outside").to_numpy(bool).reshape(seen.shape)
    likely: dict[int, float] = {}
    agree: dict[int, tuple[int, int]] = {}
    for turn in turns:
        frame = _frame(grid, turn)
        wanted = np.zeros_like(seen)
        for row, col in map(parse_spot, names):
            if row < frame.rows and col < frame.cols:
                wanted[frame.place(row, col)] = True
        wanted &= inside
        if not wanted.any():
            return None
        filled = inside & ~wanted
        missing = float(np.clip((filled & ~seen).sum() + 1, 1, None) / (filled.sum() + 2))
        likely[turn] = float(
            (wanted & ~seen).sum() * np.log(1 - _SOILED)
            + (wanted & seen).sum() * np.log(_SOILED)
            + (filled & ~seen).sum() * np.log(missing)
            + (filled & seen).sum() * np.log(1 - missing)
        )
        agree[turn] = int((wanted & ~seen).sum()), int(wanted.sum())
    best, second = sorted(turns, key=lambda turn: -likely[turn])[:2]
    margin = likely[best] - likely[second]
    empty, of = agree[best]
    if margin < _DECISIVE or empty < _EMPTY * of:
        return None
    return (
        best,
        f"{empty} of {of} spots that stay empty do; {margin:.1f} nats better than any other",
    )


def told(override: GridOverride | None, turn: int | None) -> int | None:
    """Quarter turns that a person meant to give, or None.

    An angle of a few degrees is how a carrier lies, not where its A1 is.
    """
    if override is None or turn is None:
        return None
    named = override.orientation is not None or override.origin is not None or override.corners
    return turn if named or quarter(override.angle or 0.0) else None

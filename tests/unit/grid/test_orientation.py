"""Where A1 is: told by people, marks and empty spots, and never guessed."""

from __future__ import annotations

import numpy as np
import pytest
from gridwell.config.models import Carrier, GridOptions, GridOverride
from gridwell.config.overrides import CORNERS
from gridwell.config.spots import spot_name
from gridwell.grid.elements import normalise
from gridwell.grid.model import Grid
from gridwell.grid.orientation import (
    Frame,
    orient,
    told,
    turned,
    upright_carrier,
    upright_options,
    upright_override,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.grid.known import grid_of
from tests.unit.grid.synth import Scene, render

TURNS = range(4)


def at(grid: Grid, name: str) -> tuple[float, float]:
    spot = grid.table.set_index("spot").loc[name]
    return float(spot.x), float(spot.y)


@pytest.mark.parametrize(
    ("turn", "a1", "a_last", "angle"),
    [
        (0, (0, 0), (0, 5), 4),
        (1, (0, 5), (3, 5), 94),
        (2, (3, 5), (3, 0), -176),
        (3, (3, 0), (0, 0), -86),
    ],
)
def test_names_turn_with_the_carrier(turn, a1, a_last, angle):
    made = render(4, 6, angle=4)
    grid = turned(grid_of(made), turn)
    assert (grid.rows, grid.cols) == ((4, 6) if turn % 2 == 0 else (6, 4))
    assert at(grid, "A1") == pytest.approx(made.centres[a1])
    assert at(grid, f"A{grid.cols}") == pytest.approx(made.centres[a_last])
    assert grid.origin == pytest.approx(made.centres[a1])
    assert grid.angle == pytest.approx(angle)
    assert list(grid.table["spot"][:2]) == ["A1", "A2"]
    assert grid.table["row"].iloc[-1] == "ABCDEF"[grid.rows - 1]
    along = np.array(at(grid, "A2")) - at(grid, "A1")
    assert np.degrees(np.arctan2(along[1], along[0])) == pytest.approx(grid.angle)
    assert (grid.width, grid.height) == ((18, 19) if turn % 2 == 0 else (19, 18))
    for block in grid.blocks:
        name = spot_name(int(block["first_row"]) - 1, int(block["first_col"]) - 1)
        assert (block["x"], block["y"]) == pytest.approx(at(grid, name))
    assert sum(
        (b["last_row"] - b["first_row"] + 1) * (b["last_col"] - b["first_col"] + 1)
        for b in grid.blocks
    ) == pytest.approx(24)


def test_margins_and_alternatives_turn_too():
    grid = grid_of(render(4, 6))
    corners = [[0, 0], [9, 0], [9, 5], [0, 5]]
    grid = Grid(**{**vars(grid), "alternatives": ({"rows": 4, "cols": 7, "corners": corners},)})
    half = turned(grid, 2)
    assert half.margins == {
        "shift_down": 1.0, "shift_left": 2.0, "add_last_row": 3.0, "remove_first_col": 4.0,
    }  # fmt: skip
    assert half.alternatives[0] == {"rows": 4, "cols": 7, "corners": corners[2:] + corners[:2]}
    quarter = turned(grid, 1)
    assert quarter.margins == {
        "shift_left": 1.0, "shift_up": 2.0, "add_first_col": 3.0, "remove_first_row": 4.0,
    }  # fmt: skip
    assert (quarter.alternatives[0]["rows"], quarter.alternatives[0]["cols"]) == (7, 4)


@given(turn=st.sampled_from(TURNS), rows=st.integers(1, 9), cols=st.integers(1, 9))
def test_every_place_is_taken_once(turn, rows, cols):
    frame = Frame(rows, cols, turn)
    places = {frame.place(r, c) for r in range(rows) for c in range(cols)}
    high, wide = (rows, cols) if turn % 2 == 0 else (cols, rows)
    assert places == {(i, j) for i in range(high) for j in range(wide)}


@pytest.mark.parametrize("turn", TURNS)
def test_what_is_known_turns_as_the_grid_does(turn):
    """Detecting upright and turning the names is the same as naming the turned carrier."""
    made = render(4, 6, angle=2)
    grid = turned(grid_of(made), turn)
    corners = {name: at(grid, name) for name in ("A1", "B2")}
    override = GridOverride(
        rows=grid.rows, cols=grid.cols, angle=grid.angle, pitch=grid.pitch, corners=corners
    )
    upright = upright_override(override, turn, grid.rows, grid.cols)
    assert (upright.rows, upright.cols) == (4, 6)
    assert upright.angle == pytest.approx(2)
    plain = grid_of(made)
    for name, xy in upright.corners.items():
        assert at(plain, name) == pytest.approx(xy)
    carrier = Carrier(
        title="x", rows=grid.rows, cols=grid.cols, pitch_um=(10, 20),
        block_rows=(1, grid.rows - 1), block_cols=(2, grid.cols - 2),
    )  # fmt: skip
    seen = upright_carrier(carrier, turn)
    assert (seen.rows, seen.cols) == (4, 6)
    assert seen.pitch_um == ((10, 20) if turn % 2 == 0 else (20, 10))
    r, c = (k.ravel() for k in np.indices((grid.rows, grid.cols)))
    i, j = Frame(grid.rows, grid.cols, turn).place(r, c)
    own = block_of(carrier)[r, c]
    shown = block_of(seen)[i, j]
    assert np.array_equal(own[:, None] == own, shown[:, None] == shown)
    options = upright_options(GridOptions(rows=grid.rows, cols=grid.cols), turn)
    assert (options.rows, options.cols) == (4, 6)


def block_of(carrier: Carrier) -> np.ndarray:
    """Number of the block that each spot lies in."""
    rows = np.repeat(range(len(carrier.block_rows)), carrier.block_rows)
    cols = np.repeat(range(len(carrier.block_cols)), carrier.block_cols)
    return 10 * rows[:, None] + cols


def test_named_spots_of_a_turned_grid_need_its_size():
    with pytest.raises(ValueError, match="rows and cols"):
        upright_override(GridOverride(origin=(5, 5)), 2, None, 6)


@pytest.mark.parametrize(
    ("override", "turn", "wanted"),
    [
        (None, None, None),
        (GridOverride(angle=2), 0, None),
        (GridOverride(angle=178), 2, 2),
        (GridOverride(origin=(1, 1)), 0, 0),
        (GridOverride(orientation="A1 top left"), 0, 0),
        (GridOverride(rows=4), None, None),
    ],
)
def test_an_angle_of_a_few_degrees_says_nothing_of_a1(override, turn, wanted):
    assert told(override, turn) == wanted


def with_dots(made: Scene, where: list[tuple[float, float]]) -> np.ndarray:
    """Draw spots at columns and rows of the image's grid."""
    image = made.image.copy()
    u, v = made.centres[0, 1] - made.centres[0, 0], made.centres[1, 0] - made.centres[0, 0]
    yy, xx = np.indices(image.shape)
    for column, row in where:
        x, y = made.centres[0, 0] + column * u + row * v
        image[np.hypot(xx - x, yy - y) < 9] = 16000
    return image


@pytest.mark.parametrize(
    ("dots", "wanted"),
    [
        ([(-1, 0), (-1, 1)], "A1 top left"),
        ([(12, 7), (12, 6)], "A1 bottom right"),
        ([(-1, 0), (-1, 1), (12, 7), (12, 6)], "unknown"),
        ([(-1, 0)], "unknown"),
        ([], "unknown"),
    ],
)
def test_marks_beside_the_grid(dots, wanted):
    made = render(8, 12, angle=3, margin=2.5, missing=0.1)
    carrier = Carrier(title="x", rows=8, cols=12, marks=((-1, 0), (-1, 1)))
    image = normalise(with_dots(made, dots))
    grid = orient(grid_of(made), image, 1.0, given=None, carrier=carrier)
    assert grid.orientation["value"] == wanted
    assert grid.orientation["source"] == ("unknown" if wanted == "unknown" else "marks")
    first = made.centres[7, 11] if wanted == "A1 bottom right" else made.centres[0, 0]
    assert at(grid, "A1") == pytest.approx(first)


def emptied(made: Scene, empty: list[tuple[int, int]]) -> Grid:
    made.present[:] = True
    for place in empty:
        made.present[place] = False
    return grid_of(made)


@pytest.mark.parametrize(
    ("missing", "wanted"),
    [
        ([(0, 0), (0, 1), (0, 2)], "A1 top left"),
        ([(7, 11), (7, 10), (7, 9)], "A1 bottom right"),
        ([(7, 11), (7, 10), (7, 9), (3, 3)], "A1 bottom right"),
        ([(0, 0), (7, 11)], "unknown"),
        ([], "unknown"),
    ],
)
def test_empty_spots_of_carrier_and_layout(missing, wanted):
    grid = emptied(render(8, 12), missing)
    carrier = Carrier(title="x", rows=8, cols=12, empty=("A1",))
    grid = orient(grid, None, 1.0, given=None, carrier=carrier, empty={"A2", "A3"})
    assert grid.orientation["value"] == wanted
    if wanted != "unknown":
        assert not grid.table["found"].iloc[:3].any()


def test_a_symmetric_pattern_tells_nothing():
    grid = emptied(render(8, 12), [(0, 0), (7, 11)])
    grid = orient(grid, None, 1.0, given=None, carrier=None, empty={"A1", "H12"})
    assert grid.orientation["value"] == "unknown"
    assert "follow the image" in grid.orientation["reason"]


def test_square_grids_have_four_turns():
    grid = emptied(render(8, 8), [(0, 7), (1, 7), (2, 7)])
    names = {"A1", "A2", "A3"}
    grid = orient(grid, None, 1.0, given=None, carrier=None, empty=names)
    assert grid.orientation["value"] == "A1 top right"
    assert list(grid.table["found"][:4]) == [False, False, False, True]
    stretched = Carrier(title="x", rows=8, cols=8, pitch_um=(10, 15))
    grid = emptied(render(8, 8), [(0, 7), (1, 7), (2, 7)])
    grid = orient(grid, None, 1.0, given=None, carrier=stretched, empty=names)
    assert grid.orientation["value"] == "unknown"


def test_a_person_wins():
    grid = emptied(render(8, 12), [(0, 0), (0, 1), (0, 2)])
    grid = orient(grid, None, 1.0, given=2, carrier=None, empty={"A1", "A2", "A3"})
    assert grid.orientation == {
        "value": CORNERS[2],
        "source": "override",
        "reason": "said in the override of the slide",
    }


def test_a_carrier_on_its_side_stays_open_until_something_tells():
    grid = emptied(render(8, 12), [(0, 11), (1, 11), (2, 11)])
    open_ = orient(grid, None, 1.0, given=None, carrier=None, sideways=True)
    assert (open_.status, open_.rows, open_.cols) == ("ambiguous", 12, 8)
    assert "A1 top right or A1 bottom left" in open_.reason
    known = orient(
        grid, None, 1.0, given=None, carrier=None, empty=("A1", "A2", "A3"), sideways=True
    )
    assert (known.status, known.orientation["value"]) == ("ok", "A1 top right")
    assert not known.table["found"].iloc[:3].any()

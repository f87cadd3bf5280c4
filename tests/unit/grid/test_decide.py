"""Decisions from what an image shows, without an image: doubts, alternatives, confidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from gridwell.config.models import Carrier, GridOptions, GridOverride
from gridwell.grid import decide
from gridwell.grid.decide import Dims, Verdict, View
from gridwell.grid.evidence import Cells, Extent, Odds, Template
from gridwell.grid.lattice import Array, Basis

PITCH = 20.0
RING = 3
ROOM = (2.0, 2.0, 2.0, 2.0)


def view_of(
    shown: npt.NDArray[np.bool_],
    room: tuple[float, float, float, float] = ROOM,
    strays: tuple[tuple[int, int], ...] = (),
) -> View:
    """A clear lattice of which `shown` lines were seen.

    `room` are the spacings from the outer centres to the left, upper, right and lower border of
    the image; `strays` are positions, counted from the first line seen, that show a spot besides.
    """
    rows, cols = shown.shape
    left, top, right, bottom = room
    w, h = (
        round((a + n - 1 + b) * PITCH) for a, n, b in ((left, cols, right), (top, rows, bottom))
    )
    r, c = np.indices((rows + 2 * RING, cols + 2 * RING)) - RING
    nodes = np.stack([(c + left) * PITCH, (r + top) * PITCH], axis=-1)
    x, y = nodes[..., 0], nodes[..., 1]
    inside = (x >= 0) & (y >= 0) & (x <= w - 1) & (y <= h - 1)
    hits = np.pad(shown, RING)
    for row, col in strays:
        hits[row + RING, col + RING] = True
    seen = Extent(RING, RING + rows - 1, RING, RING + cols - 1)
    return View(
        cells=Cells(nodes, inside, hits * 1.0, hits * 0.95, np.zeros_like(nodes)),
        hits=hits,
        seen=seen,
        odds=Odds.seen(shown, np.ones_like(shown), 0.01),
        basis=Basis(np.array([PITCH, 0.0]), np.array([0.0, PITCH])),
        spot=Template(np.zeros((3, 3)), (0.6, 0.6), 0.79, 1.0, 1),
        rms=0.01,
        purity=1.0,
        alike=1.0,
        gain=6.0 * shown.sum(),
        rival=0.1,
        beside=0,
        strays=len(strays),
        sparse=0.0,
        unclear=False,
        steps=((), ()),
        image_shape=(h, w),
    )


def full(rows: int, cols: int) -> npt.NDArray[np.bool_]:
    return np.ones((rows, cols), bool)


def decided(
    view: View,
    dims: Dims | None = None,
    anchors: dict[tuple[int, int], Array] | None = None,
    carrier: Carrier | None = None,
) -> Verdict:
    return decide.decide(view, dims=dims or Dims(), anchors=anchors or {}, carrier=carrier)


def serious(verdict: Verdict) -> list[str]:
    """What speaks against a grid by more than a tenth."""
    return [doubt.text for doubt in verdict.doubts if doubt.chance > 0.1]


@pytest.mark.parametrize(("rows", "cols"), [(8, 12), (9, 11), (5, 7)])
def test_a_whole_grid_with_room_around_it_is_sure(rows, cols):
    view = view_of(full(rows, cols))
    verdict = decided(view)
    assert verdict.extent == view.seen
    assert verdict.confidence > 0.9
    assert not serious(verdict)
    assert not verdict.open and not verdict.fixed
    assert set(verdict.margins) == {
        *(f"shift_{way}" for way in ("up", "down", "left", "right")),
        *(f"{what}_{end}_{line}" for what in ("add", "remove") for end in ("first", "last")
          for line in ("row", "col")),
    }  # fmt: skip
    assert min(verdict.margins.values()) > 0


def test_each_number_is_from_who_knows_best():
    plate = Carrier(title="plate", rows=8, cols=12)
    options = GridOptions(rows=3, cols=4)
    assert decide.dims(GridOptions(), None, None) == Dims(None, None, "")
    assert decide.dims(options, None, None) == Dims(3, 4, "options")
    assert decide.dims(options, plate, None) == Dims(8, 12, "carrier")
    both = decide.dims(options, plate, GridOverride(rows=7))
    assert both == Dims(7, 12, "override and carrier")


# ---------------------------------------------------------------- size not known


def test_one_line_short_of_a_common_format_is_a_doubt():
    view = view_of(full(7, 12), room=(2, 3, 2, 2))
    verdict = decided(view)
    assert verdict.confidence < 0.9
    assert any("common format 8 x 12" in text for text in serious(verdict))
    e = view.seen
    assert {replace(e, row0=e.row0 - 1), replace(e, row1=e.row1 + 1)} <= set(verdict.alternatives)
    assert e not in verdict.alternatives


def test_an_image_that_ends_right_at_the_grid_is_a_doubt():
    verdict = decided(view_of(full(7, 9), room=(0.45, 2, 2, 2)))
    assert any("ends at the left" in text for text in serious(verdict))
    assert verdict.confidence < 0.9


def test_an_empty_line_inside_is_a_doubt_of_the_outer_ones():
    shown = full(7, 9)
    shown[3] = False
    verdict = decided(view_of(shown))
    assert any("a row inside is empty" in text for text in serious(verdict))
    assert not any("a column inside" in text for text in serious(verdict))


def test_spots_beyond_the_outer_line_are_a_doubt():
    view = view_of(full(7, 9), strays=((7, 1), (7, 6)))
    verdict = decided(view)
    assert any("2 spots show beyond the last row, at the bottom" in t for t in serious(verdict))
    assert replace(view.seen, row1=view.seen.row1 + 1) in verdict.alternatives


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"beside": 20}, "beside the grid"),
        ({"sparse": 0.3}, "in a gap between blocks"),
        ({"unclear": True}, "could be an empty line"),
    ],
)
def test_what_the_search_saw_besides_is_a_doubt(change, said):
    verdict = decided(replace(view_of(full(7, 9)), **change))
    assert any(said in text for text in serious(verdict))
    assert verdict.confidence < 0.9


# ---------------------------------------------------------------- size known


def test_a_missing_edge_line_leaves_the_place_open():
    view = view_of(full(7, 12), room=(2, 3, 2, 3))
    verdict = decided(view, Dims(8, 12, "carrier"))
    e = view.seen
    places = {replace(e, row0=e.row0 - 1), replace(e, row1=e.row1 + 1)}
    assert verdict.open
    assert verdict.confidence < 0.9
    assert "7 of 8 rows show" in verdict.reason
    assert verdict.extent in places
    assert {verdict.extent, *verdict.alternatives} == places


@pytest.mark.parametrize(("named", "before"), [((0, 0), 0), ((1, 0), 1)])
def test_a_named_spot_settles_the_place(named, before):
    view = view_of(full(7, 12), room=(2, 3, 2, 3))
    first = view.cells.nodes[RING, RING] + np.array([2.0, -1.0])
    verdict = decided(view, Dims(8, 12, "override"), {named: first})
    assert verdict.extent is not None
    assert (verdict.extent.row0, verdict.extent.rows) == (RING - before, 8)
    assert verdict.fixed and not verdict.open
    assert verdict.confidence > 0.9


def test_a_named_spot_between_the_spots_is_told():
    view = view_of(full(7, 12))
    between = view.cells.nodes[RING, RING] + PITCH / 2
    verdict = decided(view, Dims(7, 12, "override"), {(0, 0): between})
    assert any("does not lie on the lattice" in text for text in serious(verdict))


def test_lines_that_cannot_be_in_the_image_are_told():
    verdict = decided(view_of(full(7, 12), room=(2, 0.6, 2, 0.6)), Dims(16, 12, "carrier"))
    assert verdict.open
    assert "16 rows do not fit into the image (7 show)" in verdict.reason


def test_more_lines_than_are_known_are_told():
    verdict = decided(view_of(full(8, 12)), Dims(7, 12, "carrier"))
    assert verdict.extent is not None and verdict.extent.rows == 7
    assert any("8 rows show, 7 are expected" in text for text in serious(verdict))


def test_gaps_between_blocks_tell_where_the_grid_begins():
    carrier = Carrier(title="blocks", rows=7, cols=12, block_cols=(4, 4, 4))
    view = replace(view_of(full(7, 11)), steps=((RING + 3, RING + 7), ()))
    verdict = decided(view, Dims(7, 12, "carrier"), carrier=carrier)
    assert verdict.extent == replace(view.seen, col0=view.seen.col0 - 1)
    assert not verdict.open
    assert verdict.confidence > 0.9


# ---------------------------------------------------------------- is it a lattice


@pytest.mark.parametrize("change", [{"purity": 0.3}, {"alike": 0.0}])
def test_what_fits_worse_is_less_likely_a_lattice(change):
    view = view_of(full(7, 9))
    worse = replace(view, **change)
    assert decide.chance_of_lattice(worse) < decide.chance_of_lattice(view)
    assert decided(worse).confidence < decided(view).confidence


def test_accidents_are_no_grid():
    rng = np.random.default_rng(0)
    view = view_of(rng.random((4, 4)) < 0.35)
    view = replace(view, purity=0.1, alike=0.0, gain=1.0, rms=0.2, rival=1.0)
    view = replace(view, spot=replace(view.spot, isolation=0.0))
    view = replace(view, cells=replace(view.cells, likeness=0.2 * view.hits))
    verdict = decided(view)
    assert verdict.extent is None
    assert verdict.confidence == 0
    assert verdict.reason == decide.NOT_FOUND


def test_traits_are_parts_of_one():
    for view in (view_of(full(8, 12)), view_of(full(2, 3)), view_of(~full(4, 4))):
        traits = decide.traits(view)
        assert all(0 <= value <= 1 for value in traits.values()), traits

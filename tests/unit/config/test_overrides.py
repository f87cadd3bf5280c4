"""What an override fixes without an image, against lattices whose numbers are known."""

from __future__ import annotations

import numpy as np
import pytest
from gridwell.config.models import GridOverride
from gridwell.config.overrides import CORNERS, quarter, settle
from gridwell.config.spots import spot_name
from hypothesis import given
from hypothesis import strategies as st


def clicks(places, *, pitch=(100.0, 80.0), angle=3.0, origin=(500.0, 400.0)):
    """Named spots of a lattice, where they really are."""
    a = np.radians(angle)
    u = pitch[0] * np.array([np.cos(a), np.sin(a)])
    v = pitch[1] * np.array([-np.sin(a), np.cos(a)])
    return {
        spot_name(r, c): tuple(float(x) for x in np.array(origin) + c * u + r * v)
        for r, c in places
    }


ALL = [(0, 0), (0, 11), (7, 0), (7, 11)]
#: What is given of an 8 x 12 grid, and whether that fixes it without an image.
GIVEN = {
    "four corners": (GridOverride(corners=clicks(ALL)), None, True),
    "three corners": (GridOverride(corners=clicks(ALL[:3])), None, True),
    "two corners": (GridOverride(corners=clicks(ALL[1:3])), None, False),
    "two corners and the carrier": (GridOverride(corners=clicks(ALL[1:3])), 0.8, True),
    "two corners and the pitch": (GridOverride(corners=clicks(ALL[1:3]), pitch=(100, 80)), 0, True),
    "two corners and the angle": (GridOverride(corners=clicks(ALL[1:3]), angle=3), 0, True),
    "one row": (GridOverride(corners=clicks(ALL[:2])), None, False),
    "one row and the carrier": (GridOverride(corners=clicks(ALL[:2])), 0.8, True),
    "numbers": (GridOverride(origin=(500, 400), pitch=(100, 80), angle=3), None, True),
    "no place": (GridOverride(pitch=(100, 80), angle=3), None, False),
    "spots in one corner": (
        GridOverride(corners=clicks([(0, 0), (0, 1), (1, 0)])), None, False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", GIVEN)
def test_what_is_fixed_without_an_image(kind):
    override, ratio, fixed = GIVEN[kind]
    said = settle(override, extent=(8, 12), ratio=ratio or None)
    assert not said.wrong
    assert (said.lines is not None) == fixed
    if said.lines is not None:
        truth = np.array(list(clicks(ALL).values()))
        assert said.lines.at(*np.array(ALL).T) == pytest.approx(truth, abs=1e-6)


@given(
    angle=st.floats(-179, 179),
    pitch=st.tuples(st.floats(20, 300), st.floats(20, 300)),
    offset=st.floats(-0.15, 0.15),
)
def test_any_turn_is_understood_from_clicks_that_are_a_little_off(angle, pitch, offset):
    corners = clicks(ALL, pitch=pitch, angle=angle)
    x, y = corners["A12"]
    corners["A12"] = (x + offset * min(pitch), y)
    said = settle(GridOverride(corners=corners, rows=8, cols=12))
    assert not said.wrong
    assert said.lines is not None
    assert said.turn == quarter(said.lines.angle)
    off = np.hypot(*(said.lines.at(7, 11) - np.array(corners["H12"])))
    assert off < 0.1 * min(pitch)


def test_given_numbers_are_kept_exactly():
    corners = clicks(ALL[:3], pitch=(100.2, 79.9), angle=3.02)
    said = settle(GridOverride(corners=corners, pitch=(100, 80), origin=(500, 400)))
    assert not said.wrong
    assert said.lines.pitch == pytest.approx((100, 80), abs=1e-9)
    assert tuple(said.lines.origin) == (500, 400)
    said = settle(GridOverride(corners=corners, angle=3))
    assert said.lines.angle == pytest.approx(3, abs=1e-9)
    assert said.lines.pitch == pytest.approx((100.2, 79.9), abs=0.1)


@pytest.mark.parametrize("turn", range(4))
def test_orientation_is_what_the_clicks_show(turn):
    corners = clicks(ALL[1:3], angle=90 * turn - 2)
    assert settle(GridOverride(corners=corners)).turn == turn
    for other, corner in enumerate(CORNERS):
        said = settle(GridOverride(corners=corners, orientation=corner))
        assert bool(said.wrong) == (other != turn)


def test_mirrored_names_are_no_grid():
    corners = clicks(ALL)
    corners["A1"], corners["A12"] = corners["A12"], corners["A1"]
    corners["H1"], corners["H12"] = corners["H12"], corners["H1"]
    assert settle(GridOverride(corners=corners)).wrong

"""What a layout says, in words."""

from __future__ import annotations

import pandas as pd
from gridwell.config.layouts import off_grid, off_grid_in_words
from gridwell.config.layouts_told import spot_ranges
from gridwell.config.spots import spot_name


def test_spots_off_the_grid_and_off_the_layout():
    layout = pd.DataFrame({"spot": ["B1", "A1", "A1", "C2", "A10", "A9"]})
    grid = ["A1", "A2", "B1", "B2"]
    assert off_grid(layout, grid) == (["A9", "A10", "C2"], ["A2", "B2"])
    assert off_grid_in_words(*off_grid(layout, grid)) == (
        "3 spots of the layout not on the grid (A9-A10, C2); "
        "2 spots of the grid not in the layout (A2-B2)"
    )


def test_where_they_meet_nothing_is_said():
    layout = pd.DataFrame({"spot": ["A1", "A2"]})
    assert off_grid(layout, ["A2", "A1"]) == ([], [])
    assert off_grid_in_words([], []) == ""


def test_ranges_are_rectangles():
    plate = [spot_name(row, col) for row in range(8) for col in range(12)]
    assert spot_ranges(plate) == "A1-H12"
    assert spot_ranges([spot for spot in plate if spot != "B3"]) == (
        "A1-A12, B1-B2, B4-B12, C1-H12"
    )
    assert spot_ranges(reversed(plate[:3])) == "A1-A3"
    assert spot_ranges(plate[::2][:3], most=2) == "A1, A3, and 1 more place"

"""What a layout says, in words."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from gridwell.cli import main
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


def test_doses_in_several_molar_units_are_told_in_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "units.csv"
    path.write_text("spot,agent,concentration,unit\nA1,x,1000,nM\nA2,x,1,uM\nA3,x,0.002,mM\n")
    assert main(["layout", str(path)]) == 0
    assert "agent x: 1, 2 uM, 3 spots" in capsys.readouterr().out

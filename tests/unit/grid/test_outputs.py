"""The files of a grid: read back, by QuPath's rules, and the same bytes twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from gridwell.config.columns import column_names
from gridwell.config.errors import InputError
from gridwell.config.models import GridOptions
from gridwell.grid.detect import detect_grid
from gridwell.grid.model import Grid, read_grid
from gridwell.grid.outputs import geojson, regions, write_grid, write_regions
from gridwell.grid.picture import draw

from tests.unit.grid.known import grid_of
from tests.unit.grid.synth import render

ROI_COLUMNS = [f"{name}{axis}_micrometer" for name in ("", "len_") for axis in ("x", "y", "z")]
FILES = ("grid.json", "grid.csv", "grid.geojson", "grid.png")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Grid, Path]:
    out = tmp_path_factory.mktemp("grid")
    made = render(6, 8, angle=4, missing=0.2, shape="square")
    grid = detect_grid(made.image, scale=2.0, options=GridOptions())
    for folder in ("one", "two"):
        write_grid(grid, made.image, 2.0, out / folder, "S01")
    return grid, out


def test_same_bytes_twice(written: tuple[Grid, Path]) -> None:
    _, out = written
    for name in FILES:
        assert (out / "one" / name).read_bytes() == (out / "two" / name).read_bytes()


def test_grid_is_read_back(written: tuple[Grid, Path]) -> None:
    grid, out = written
    again = read_grid(out / "one" / "grid.json", out / "one" / "grid.csv")
    assert again.to_json("S01") == grid.to_json("S01")
    assert list(again.table.columns) == column_names("grid.csv")
    assert (again.table["found"] == grid.table["found"]).all()
    assert again.table["x"].to_numpy() == pytest.approx(grid.table["x"].to_numpy(), abs=0.001)
    assert list(again.table["spot"][:9]) == [f"A{k}" for k in range(1, 9)] + ["B1"]


def test_frame_holds_every_position(written: tuple[Grid, Path]) -> None:
    grid, _ = written
    frame = grid.frame("S01", 1.5)
    assert (frame.rows, frame.cols, len(frame.x)) == (6, 8, 48)
    assert frame.spots[9] == "B2"
    assert sum(frame.found) == grid.found


def test_geojson_follows_qupath(written: tuple[Grid, Path]) -> None:
    grid, out = written
    data = json.loads((out / "one" / "grid.geojson").read_text())
    assert data["type"] == "FeatureCollection"
    assert len(data["features"]) == 48
    for feature, spot in zip(data["features"], grid.table.itertuples(), strict=True):
        assert feature["properties"]["objectType"] == "annotation"
        assert feature["properties"]["name"] == spot.spot
        assert feature["properties"]["isMissing"] is not bool(spot.found)
        assert len(feature["properties"]["classification"]["color"]) == 3
        ring = np.array(feature["geometry"]["coordinates"][0])
        assert (ring[0] == ring[-1]).all()
        assert ring[:-1].mean(axis=0) == pytest.approx((spot.x + 0.5, spot.y + 0.5), abs=0.01)


def test_picture_shows_found_and_not_found(written: tuple[Grid, Path]) -> None:
    _, out = written
    picture = cv2.imread(str(out / "one" / "grid.png"))
    assert picture is not None
    assert 1000 <= max(picture.shape) < 1800
    near = np.abs(picture.astype(int) - (115, 158, 0)).max(axis=-1) < 40
    far = np.abs(picture.astype(int) - (0, 94, 213)).max(axis=-1) < 40
    assert near.sum() > 500
    assert far.sum() > 50


def test_regions_enclose_the_spots(written: tuple[Grid, Path]) -> None:
    grid, out = written
    table = regions(replace(grid, pixel_size_um=2.0)).set_index("FieldIndex")
    assert list(table.columns[:6]) == ROI_COLUMNS
    spot = grid.table.set_index("spot").loc["C5"]
    centre_x = table.loc["C5", "x_micrometer"] + table.loc["C5", "len_x_micrometer"] / 2
    assert centre_x == pytest.approx((spot.x + 0.5) * 2)
    turned = grid.width * np.cos(np.radians(grid.angle)) + grid.height * np.sin(
        np.radians(grid.angle)
    )
    assert table.loc["C5", "len_x_micrometer"] == pytest.approx(2 * turned)
    files = [path for path in (out / "one/tables.zarr").rglob("*") if path.is_file()]
    assert len(files) == 3
    assert regions(Grid("failed", "", 0.0)).empty


def test_ngio_reads_the_regions(tmp_path: Path) -> None:
    tables = pytest.importorskip("ngio.tables", reason="ngio is not installed")
    grid = replace(grid_of(render(4, 6)), pixel_size_um=2.0)
    write_regions(grid, tmp_path / "tables.zarr")
    container = tables.open_tables_container(str(tmp_path / "tables.zarr"))
    assert container.list() == ["spots"]
    table = container.get("spots")
    assert table.table_type() == "roi_table"
    assert [roi.name for roi in table.rois()] == list(grid.table["spot"])
    wanted = (grid.table["x"].iloc[7] + 0.5 - grid.width / 2) * 2
    assert table.get("B2").get("x").start == pytest.approx(wanted)


def picture_of(grid: Grid, image: np.ndarray, path: Path, scale: float = 1.0) -> np.ndarray:
    draw(grid, image, scale, path)
    picture = cv2.imread(str(path))
    assert picture is not None
    return picture


def test_doubtful_spots_have_a_colour_of_their_own(tmp_path: Path) -> None:
    made = render(6, 8)
    grid = grid_of(made)
    table = grid.table.copy()
    table.loc[:11, "flags"] = "doubtful"
    doubtful = replace(grid, table=table)
    yellow = [
        (
            np.abs(picture_of(g, made.image, tmp_path / "g.png").astype(int) - (66, 228, 240)).max(
                -1
            )
            < 40
        ).sum()
        for g in (grid, doubtful)
    ]
    assert yellow[1] > yellow[0] + 500
    kinds = {f["properties"]["classification"]["name"] for f in geojson(doubtful)["features"]}
    assert kinds == {"found", "doubtful"}


def test_other_grids_are_drawn_and_read_back(tmp_path: Path) -> None:
    made = render(6, 8, margin=2.5)
    grid = grid_of(made)
    c = made.centres
    corners = [c[0, 0], c[0, -1], c[-1, -1], c[-1, 0]]
    other = {
        "rows": 6,
        "cols": 8,
        "corners": [[float(v) for v in xy] for xy in corners],
        "what": "x",
    }
    grid = replace(grid, status="ambiguous", reason="why", alternatives=(other,))
    write_grid(grid, made.image, 1.0, tmp_path, "S01")
    again = read_grid(tmp_path / "grid.json", tmp_path / "grid.csv")
    assert again.to_json("S01") == grid.to_json("S01")
    assert again.alternatives[0]["what"] == "x"
    picture = cv2.imread(str(tmp_path / "grid.png"))
    assert (np.abs(picture.astype(int) - (167, 121, 204)).max(-1) < 30).sum() > 500


@pytest.mark.parametrize(("rows", "cols"), [(48, 14), (4, 30), (2, 3)])
def test_pictures_have_no_wide_white_margins(rows: int, cols: int, tmp_path: Path) -> None:
    made = render(rows, cols, pitch=20, margin=0.8)
    picture = picture_of(grid_of(made), made.image, tmp_path / "g.png")
    white = (picture == 255).all(axis=-1)
    # A strip for the legend on top, and room for a name on each side.
    assert white[80:].all(axis=1).mean() < 0.08
    assert white[80:].all(axis=0).mean() < 0.08
    assert max(picture.shape) >= 1000


def test_failed_grids_are_written_too(tmp_path: Path) -> None:
    blank = np.zeros((200, 300), np.uint8)
    grid = detect_grid(blank, scale=1.0, options=GridOptions())
    write_grid(grid, blank, 1.0, tmp_path, "S02")
    again = read_grid(tmp_path / "grid.json", tmp_path / "grid.csv")
    assert (again.status, again.rows, again.found) == ("failed", 0, 0)
    with pytest.raises(InputError, match="no grid"):
        again.frame("S02")


def test_files_that_do_not_belong_together_are_refused(
    written: tuple[Grid, Path], tmp_path: Path
) -> None:
    _, out = written
    table = (out / "one" / "grid.csv").read_text().splitlines()
    (tmp_path / "grid.csv").write_text("\n".join(table[:-1]) + "\n")
    with pytest.raises(InputError, match="every position"):
        read_grid(out / "one" / "grid.json", tmp_path / "grid.csv")
    (tmp_path / "grid.json").write_text("[]")
    with pytest.raises(InputError, match="not a grid"):
        read_grid(tmp_path / "grid.json", out / "one" / "grid.csv")

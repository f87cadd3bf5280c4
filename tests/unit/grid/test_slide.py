"""Grid detection on a tiled slide: what it writes, and what it tells when in doubt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gridwell.config.errors import InputError
from gridwell.config.models import Carrier, Channel, GridOptions, GridOverride, Role, TileOptions
from gridwell.grid.model import is_settled, settled_frame
from gridwell.grid.slide import detect_on_slide
from gridwell.images.ingest import ingest_slide
from gridwell.images.slide import open_slide, write_slide
from gridwell.images.spots import crop_spots, open_spots
from gridwell.phantom.options import PhantomOptions
from gridwell.phantom.slide import simulate_slide


@pytest.fixture(scope="module")
def slide(tmp_path_factory) -> Path:
    """A tiled slide of 4 x 6 spots, 140 px or 277.2 um apart."""
    folder = tmp_path_factory.mktemp("slide")
    options = PhantomOptions(rows=4, cols=6, pitch=140, spot_size=100, cells=5, labels=False)
    simulate_slide(options, folder)
    (image,) = folder.glob("*brightfield*")
    channel = Channel(slide="S1", channel="light", role=Role.GRID, path=str(image))
    ingest_slide("S1", [channel], {"light": image}, folder / "raw")
    write_slide(folder / "raw", folder / "slide.zarr", TileOptions())
    return folder / "slide.zarr"


def test_a_clear_grid_is_settled(slide, tmp_path):
    grid = detect_on_slide(slide, "light", out_dir=tmp_path, options=GridOptions())
    assert is_settled(grid)
    frame = settled_frame(grid, "S1", 1.98)
    assert (frame.rows, frame.cols) == (4, 6)
    assert frame.width == pytest.approx(100, rel=0.06)
    assert {path.name for path in tmp_path.iterdir()} == {
        "grid.json",
        "grid.csv",
        "grid.geojson",
        "grid.png",
        "tables.zarr",
    }


def test_an_unsettled_grid_names_the_remedy(slide, tmp_path):
    options = GridOptions(min_confidence=1.0)
    grid = detect_on_slide(slide, "light", out_dir=tmp_path, options=options)
    assert grid.status == "ambiguous"
    with pytest.raises(InputError, match=r"config/overrides/S1\.yaml"):
        settled_frame(grid, "S1", None)


def test_a_carrier_of_another_size_is_told(slide, tmp_path):
    plate = Carrier(title="24 wells", rows=4, cols=6, pitch_um=(19300, 19300))
    grid = detect_on_slide(
        slide,
        "light",
        out_dir=tmp_path,
        options=GridOptions(),
        carrier=plate,
        carrier_name="sbs-24",
    )
    assert grid.status == "ambiguous"
    assert "277 x 277 um apart" in grid.reason
    assert "pixel_size_um" in grid.reason


def test_an_override_that_contradicts_itself_names_its_file(slide, tmp_path):
    override = GridOverride(
        corners={"A1": (100, 100), "A6": (100, 900), "D1": (100, 1500)}, angle=0, pitch=(140, 140)
    )
    with pytest.raises(InputError) as wrong:
        detect_on_slide(slide, "light", out_dir=tmp_path, options=GridOptions(), override=override)
    assert {problem.file for problem in wrong.value.problems} == {"config/overrides/S1.yaml"}
    assert not list(tmp_path.iterdir())


def test_a_missing_gpu_is_no_mistake_of_the_override(slide, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    override = GridOverride(rows=4, cols=6)
    with pytest.raises(InputError, match="a GPU is required") as wrong:
        detect_on_slide(
            slide,
            "light",
            out_dir=tmp_path,
            options=GridOptions(),
            override=override,
            gpu="require",
        )
    assert "overrides" not in str(wrong.value)


@pytest.mark.parametrize(
    ("corner", "spot", "turns"),
    [("A1 bottom right", "D6", 2), ("A1 top right", "A6", 1), ("A1 bottom left", "D1", 3)],
)
def test_spots_of_a_turned_carrier_are_cut_upright(slide, tmp_path, corner, spot, turns):
    """The first spot is another one of the image, and its crop is turned with the carrier."""
    crops = {}
    for name, override in (("plain", None), ("turned", GridOverride(orientation=corner))):
        grid = detect_on_slide(
            slide, "light", out_dir=tmp_path / name, options=GridOptions(), override=override
        )
        frame = settled_frame(grid, "S1", None)
        square = replace(frame, width=100.0, height=100.0)
        crop_spots(open_slide(slide), tmp_path / f"{name}.zarr", grid=square, margin=0.1, threads=1)
        stack = open_spots(tmp_path / f"{name}.zarr")
        crops[name] = dict(
            zip(square.spots, stack.read("light", 0, len(square.spots)), strict=True)
        )
    image, upright = crops["plain"][spot].astype(float), crops["turned"]["A1"].astype(float)
    turned_back = np.rot90(image, turns)  # counter-clockwise, as the carrier was turned clockwise
    assert np.corrcoef(turned_back.ravel(), upright.ravel())[0, 1] > 0.99

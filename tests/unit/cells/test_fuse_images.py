"""Single images through the command: cells, words, and every mistake told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from gridwell.cells.instances import segment_channel
from gridwell.cli import main
from gridwell.config.columns import column_names
from gridwell.config.models import SegmentMethod, SegmentOptions

from tests.unit.cells.simulate import CHANNELS, Scene, draw


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images and labels of one spot, and its truth."""
    path = tmp_path_factory.mktemp("images")
    scene = Scene(rows=1, cols=1, cells=80, angle=0, shift_live=(3, -2), shift_dead=(-2, 4))
    draw(scene, path / "spots.zarr").to_csv(path / "truth.csv", index=False)
    stack = zarr.open_group(path / "spots.zarr", mode="r")
    for channel in CHANNELS:
        segment_channel(
            path / "spots.zarr",
            channel,
            labels_out=path / f"{channel}.zarr",
            instances_out=path / f"{channel}.parquet",
            options=SegmentOptions(default=SegmentMethod(method="local")),
            threads=1,
        )
        labels = zarr.open_group(path / f"{channel}.zarr", mode="r")["labels"][0]
        tifffile.imwrite(path / f"{channel}.tif", np.asarray(stack[channel][0]))
        tifffile.imwrite(path / f"{channel}_labels.tif", np.asarray(labels))
    return path


def arguments(folder: Path, **changed: list[str]) -> list[str]:
    given = {
        channel: [str(folder / f"{channel}.tif"), str(folder / f"{channel}_labels.tif")]
        for channel in CHANNELS
    } | changed
    return ["fuse", *(word for role, files in given.items() for word in (f"--{role}", *files))]


def test_cells_of_single_images(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, spots = tmp_path / "cells.parquet", tmp_path / "spots.csv"
    assert main([*arguments(folder), "--out", str(out), "--spots", str(spots)]) == 0
    cells, spot = pd.read_parquet(out), pd.read_csv(spots).iloc[0]
    first = column_names("cells.parquet")
    assert list(cells.columns[: len(first)]) == first
    truth = pd.read_csv(folder / "truth.csv")
    viable = (truth["live"] & ~truth["dead"]).mean()
    assert spot["viability"] == pytest.approx(viable, abs=0.03)
    assert (spot["shift_live_x"], spot["shift_live_y"]) == pytest.approx((3, -2), abs=0.2)
    assert set(cells["nuclei_label"].dropna()) == set(
        np.unique(tifffile.imread(folder / "nuclei_labels.tif"))[1:]
    )
    # Positions are pixels of the image.
    labels = tifffile.imread(folder / "nuclei_labels.tif")
    nuclei = cells.dropna(subset=["nuclei_label"])
    under = labels[nuclei["y"].round().astype(int), nuclei["x"].round().astype(int)]
    assert (under == nuclei["nuclei_label"]).mean() > 0.95
    said = capsys.readouterr().out
    assert f"{spot['n_nuclei']} nuclei: {spot['n_live']} live" in said
    assert "95 % interval" in said
    assert "live: shift +3." in said or "live: shift +2.9" in said


def test_a_stain_without_labels_is_judged_by_its_intensity(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "cells.parquet"
    given = arguments(folder, live=[str(folder / "live.tif")])
    assert main([*given, "--out", str(out), "--max-shift", "3"]) == 0
    assert pd.read_parquet(out)["live_label"].isna().all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"nuclei": ["{0}/nuclei.tif"]}, "--nuclei: takes an image and its labels, not 1 files"),
        ({"live": ["{0}/none.tif", "{0}/live_labels.tif"]}, "none.tif"),
        ({"live": ["{0}/small.tif", "{0}/live_labels.tif"]}, "is 20 x 30 pixels and"),
        ({"dead": ["{0}/dead.tif", "{0}/float.tif"]}, "numbers with decimals"),
        ({"dead": ["{0}/rgb.tif", "{0}/dead_labels.tif"]}, "is a colour image"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, list[str]],
    said: str,
) -> None:
    tifffile.imwrite(folder / "small.tif", np.zeros((30, 20), np.uint16))
    tifffile.imwrite(folder / "float.tif", np.zeros((30, 20), np.float32))
    tifffile.imwrite(folder / "rgb.tif", np.zeros((30, 20, 3), np.uint8), photometric="rgb")
    given = {role: [file.format(folder) for file in files] for role, files in change.items()}
    assert main([*arguments(folder, **given), "--out", str(tmp_path / "cells.parquet")]) == 1
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())

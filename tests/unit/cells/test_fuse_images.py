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
from scipy.ndimage import gaussian_filter

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


@pytest.mark.parametrize("option", ["--out", "--spots"])
def test_no_image_is_overwritten(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    image = folder / "nuclei_labels.tif"
    before = image.read_bytes()
    out = {"--out": tmp_path / "cells.parquet"} | {option: image}
    assert main([*arguments(folder), *(str(word) for pair in out.items() for word in pair)]) == 1
    assert "is one of the images" in capsys.readouterr().err
    assert image.read_bytes() == before


def test_a_table_that_is_called_csv_is_one(folder: Path, tmp_path: Path) -> None:
    assert main([*arguments(folder), "--out", str(tmp_path / "cells.csv")]) == 0
    assert "p_live" in pd.read_csv(tmp_path / "cells.csv")


def fused(folder: Path, **changed: np.ndarray) -> tuple[pd.DataFrame, pd.Series]:
    """Cells and spot with some files replaced: ``live`` is an image, ``live_labels`` its labels."""
    for name, image in changed.items():
        tifffile.imwrite(folder / f"new_{name}.tif", image)
    given = {
        role: [
            str(folder / (f"new_{name}.tif" if name in changed else f"{name}.tif"))
            for name in (role, f"{role}_labels")
        ]
        for role in CHANNELS
    }
    out, spots = folder / "out.parquet", folder / "out.csv"
    assert main([*arguments(folder, **given), "--out", str(out), "--spots", str(spots)]) == 0
    return pd.read_parquet(out), pd.read_csv(spots).iloc[0]


def test_bodies_without_any_nucleus_stay_as_orphans(folder: Path) -> None:
    labels = tifffile.imread(folder / "nuclei_labels.tif")
    cells, spot = fused(folder, nuclei_labels=np.zeros_like(labels))
    for role in ("live", "dead"):
        count = len(np.unique(tifffile.imread(folder / f"{role}_labels.tif"))) - 1
        assert spot[f"n_orphan_{role}"] == count == (cells["state"] == f"orphan_{role}").sum()
    assert spot["flags"] == "empty"
    assert np.isnan(spot["viability"])


def test_a_blank_stain_leaves_the_word_to_its_labels(folder: Path) -> None:
    image = tifffile.imread(folder / "live.tif")
    cells, _ = fused(folder, live=np.full_like(image, 300))
    held = cells.loc[cells["live_label"].notna() & cells["nuclei_label"].notna(), "p_live"]
    assert (held > 0.5).mean() > 0.95


def test_a_stain_of_one_class_without_labels_is_told_undecided(
    folder: Path, tmp_path: Path
) -> None:
    blank = np.full_like(tifffile.imread(folder / "live.tif"), 300)
    tifffile.imwrite(folder / "blank.tif", blank)
    given = arguments(folder, live=[str(folder / "blank.tif")])
    spots = tmp_path / "s.csv"
    assert main([*given, "--out", str(tmp_path / "c.parquet"), "--spots", str(spots)]) == 0
    spot = pd.read_csv(spots).iloc[0]
    assert spot["flags"] == "undecided"
    assert np.isnan(spot["viability"])
    assert main([*given, "--out", str(tmp_path / "d.parquet"), "--method", "knn"]) == 1


def test_confluent_live_cells_are_not_taken_for_background(tmp_path: Path) -> None:
    """Live bodies cover most of the image; every tenth was not segmented."""
    rng = np.random.default_rng(0)
    yy, xx = np.mgrid[:240, :240]
    nuclei, live, dead = (np.full((240, 240), 200.0) for _ in CHANNELS)
    labels = {role: np.zeros((240, 240), np.uint16) for role in CHANNELS}
    state = []
    for number, (y, x) in enumerate(
        ((y, x) for y in range(8, 236, 12) for x in range(8, 236, 12)), start=1
    ):
        away = np.hypot(yy - y - rng.uniform(-1, 1), xx - x - rng.uniform(-1, 1))
        state.append(rng.random() < 0.85)
        nuclei[away < 4] = 1500
        labels["nuclei"][away < 4] = number
        image, role, radius = (live, "live", 7.0) if state[-1] else (dead, "dead", 4.5)
        image[away < radius] = np.maximum(image[away < radius], 1200 * rng.lognormal(0, 0.3))
        if rng.random() < 0.9:
            labels[role][(away < radius) & (labels[role] == 0)] = number
    for role, image in zip(CHANNELS, (nuclei, live, dead), strict=True):
        noisy = gaussian_filter(image, 1.2) + rng.normal(0, 12, image.shape)
        tifffile.imwrite(tmp_path / f"{role}.tif", noisy.clip(0).astype(np.uint16))
        tifffile.imwrite(tmp_path / f"{role}_labels.tif", labels[role])
    out = tmp_path / "cells.parquet"
    assert main([*arguments(tmp_path), "--out", str(out)]) == 0
    cells = pd.read_parquet(out).dropna(subset=["nuclei_label"]).set_index("nuclei_label")
    expected = np.where(state, "live", "dead")
    assert (cells["state"].reindex(range(1, len(state) + 1)) == expected).mean() > 0.97


def test_grey_values_of_other_kinds_tell_the_same(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = tifffile.imread(folder / "live.tif")
    plain, _ = fused(folder)
    whole, _ = fused(folder, live=image.astype(np.int32))
    pd.testing.assert_frame_equal(whole, plain)
    assert not caplog.records
    decimals, _ = fused(folder, live=(image / 1000).astype(np.float32))
    assert (decimals["state"] == plain["state"]).mean() > 0.99
    assert "grey values were taken as" in caplog.text
    broken = (image / 1000).astype(np.float32)
    broken[3, 4] = np.nan
    tifffile.imwrite(folder / "broken.tif", broken)
    given = arguments(folder, live=[str(folder / "broken.tif"), str(folder / "live_labels.tif")])
    assert main([*given, "--out", str(folder / "never.parquet")]) == 1
    assert not (folder / "never.parquet").exists()

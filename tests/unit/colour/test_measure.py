"""Colour of spots on simulated scans with a known colour under every flaw."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr
from gridwell.colour.measure import Colorimetry, measure_colour, spot_colours
from gridwell.colour.metrics import Learned, number
from gridwell.colour.spaces import to_srgb
from gridwell.config.columns import column_names
from gridwell.config.errors import InputError
from gridwell.config.models import ColourOptions
from gridwell.config.provenance import made, read_provenance
from gridwell.images.spots import SpotFrame

from tests.unit.colour.indicator import (
    ACID,
    COLS,
    LEVELS,
    ROWS,
    frame,
    ph_colour,
    samples,
    scan,
    with_calibration,
)


def metric_of(linear: np.ndarray, metric: str) -> np.ndarray:
    return number(linear, metric, Learned())


def measured(crops: np.ndarray, f: SpotFrame | None = None, **options: object) -> pd.DataFrame:
    return spot_colours(crops, f or frame(), ColourOptions(**options)).spots  # type: ignore[arg-type]


def calibrated(
    crops: np.ndarray, layout: pd.DataFrame, metric: str = "lab_curve", **options: object
) -> Colorimetry:
    return spot_colours(
        crops,
        frame(),
        ColourOptions(metric=metric, unit="pH", **options),  # type: ignore[arg-type]
        layout=layout,
    )


def test_a_clean_scan_gives_the_colour_back() -> None:
    _, linear = samples()
    table = measured(scan(linear, frame()), metric="hue")
    assert list(table.columns) == column_names("spots.csv (colorimetry)")
    np.testing.assert_allclose(table[["red", "green", "blue"]] / 255, to_srgb(linear), atol=2e-4)
    np.testing.assert_allclose(table["metric"], metric_of(linear, "hue"), atol=0.1)
    assert (table["value"] == table["metric"]).all()
    assert table["value_low"].isna().all()
    assert (table["unit"] == "degrees").all()
    assert (table["flags"] == "").all()
    assert table["row"].iloc[COLS] == "B"
    assert table["col"].iloc[COLS] == 1


def test_uneven_light_is_removed() -> None:
    linear = np.tile(ph_colour(np.array(7.0)), (ROWS * COLS, 1))
    table = measured(scan(linear, frame(), gradient=0.15), metric="gray")
    true = float(metric_of(linear[:1], "gray")[0])
    assert np.abs(table["metric"] / true - 1).max() < 0.1 * 0.15


@pytest.mark.parametrize("metric", ["gray", "hue", "a", "green"])
def test_glare_dust_and_noise_do_not_matter(metric: str) -> None:
    _, linear = samples()
    table = measured(scan(linear, frame(), gradient=0.15, noise=0.01, dirt=True), metric=metric)
    clean = metric_of(linear, metric)
    assert np.abs(table["metric"] - clean).max() < 0.02 * np.ptp(clean)


@pytest.mark.parametrize("exposure", [0.8, 1.2])
def test_exposure_and_lamp_do_not_change_the_metric(exposure: float) -> None:
    _, linear = samples()
    plain = measured(scan(linear, frame()), metric="b")
    other = scan(linear, frame(), exposure=exposure, white=(0.8, 0.7, 0.6))
    np.testing.assert_allclose(measured(other, metric="b")["metric"], plain["metric"], atol=0.1)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("metric", ["hue", "b", "pls", "lab_curve"])
def test_ph_is_found_with_calibration_spots(metric: str, depth: int) -> None:
    ph, _ = samples()
    layout, ph = with_calibration(ph, LEVELS)
    crops = scan(ph_colour(ph), frame(), gradient=0.15, noise=0.01, dirt=True, depth=depth)
    found = calibrated(crops, layout, metric)
    table = found.spots
    error = (table["value"] - ph)[layout["role"] == "sample"].dropna()
    assert len(error) > 0.9 * (layout["role"] == "sample").sum()
    assert np.sqrt((error**2).mean()) < (0.2 if metric == "hue" else 0.1)
    inside = (table["value_low"] <= ph) & (ph <= table["value_high"])
    assert inside[table["value"].notna()].mean() > 0.85
    assert set(table["unit"]) == {"pH"}
    assert set(table["method"]) == {metric}
    assert {"value_lab_curve", "value_pls", "pls", "delta_e"} <= set(found.colours.columns)
    assert found.colours["kept"].between(0.5, 0.99).all()


def test_beyond_the_calibration_nothing_is_claimed() -> None:
    ph, _ = samples()
    layout, ph = with_calibration(ph, np.array([6.5, 6.8, 7.1, 7.5]))
    table = calibrated(scan(ph_colour(ph), frame()), layout).spots
    far = (ph < 6.3) | (ph > 7.7)
    assert table.loc[far, "value"].isna().all()
    assert table.loc[far, "flags"].str.contains("out_of_range|off_curve").all()
    near = (ph >= 6.5) & (ph <= 7.5)
    assert table.loc[near, "value"].notna().all()
    assert table["value_low"].min() >= 6.5
    assert table["value_high"].max() <= 7.5


def test_a_metric_that_turns_back_gives_no_values_and_the_file_says_why() -> None:
    ph, _ = samples()
    layout, ph = with_calibration(ph, LEVELS)
    found = calibrated(scan(ph_colour(ph), frame()), layout, "a")
    assert found.spots["flags"].str.contains("calibration_failed").all()
    assert found.spots["value"].isna().all()
    assert found.spots["metric"].notna().all()
    assert found.calibration.status == "failed"
    assert "a turns back" in str(found.calibration.reason)


def test_a_calibration_needs_levels_and_learned_metrics_a_calibration() -> None:
    ph, linear = samples()
    layout, ph = with_calibration(ph, np.array([7.0]))
    with pytest.raises(InputError, match=r"layout, value: has calibration spots of 1 known"):
        calibrated(scan(linear, frame()), layout)
    with pytest.raises(InputError, match=r"colour\.metric: is learned from calibration spots"):
        measured(scan(linear, frame()), metric="pls")


def test_flags_of_odd_spots() -> None:
    _, linear = samples()
    linear[0] = 1.0  # nothing there
    linear[1] = 0.4  # gray
    found = (False, True, False) + (True,) * (ROWS * COLS - 3)
    inside = np.ones(ROWS * COLS, bool)
    inside[3] = False
    f = frame(found=found)
    crops = scan(linear, f)
    crops[3, :20] = 0
    crops[4] = 0
    crops[5][f.mask(*f.crop)] = 65535
    table = spot_colours(crops, f, ColourOptions(metric="hue"), inside=inside).spots
    assert table["flags"].iloc[:6].tolist() == [
        "empty;not_found", "colourless", "not_found", "edge_cut", "", "colourless;saturated",
    ]  # fmt: skip
    assert np.isnan(table["value"].iloc[[0, 1, 4]]).all()
    assert table["red"].isna().tolist()[4]
    np.testing.assert_allclose(
        table["metric"].iloc[[2, 3]], metric_of(linear[[2, 3]], "hue"), atol=0.2
    )


def test_without_a_light_background_the_colours_stay_as_recorded_and_say_so() -> None:
    _, linear = samples()
    crops = scan(linear, frame(), white=(1.0, 1.0, 1.0))
    h, w = frame().crop
    crops[:, ~frame().mask(h, w)] = 300
    table = measured(crops, metric="a")
    assert (table["flags"] == "no_white").all()
    np.testing.assert_allclose(table["metric"], metric_of(linear, "a"), atol=0.1)


def test_blank_spots_are_white_even_between_dark_walls() -> None:
    _, linear = samples()
    blank = np.arange(0, ROWS * COLS, 6)
    linear[blank] = 1.0
    crops = scan(linear, frame(), gradient=0.15, white=(0.7, 0.65, 0.5))
    h, w = frame().crop
    crops[:, ~frame().mask(h, w)] = 300
    layout = pd.DataFrame({"spot": frame().spots, "role": "sample"})
    layout.loc[blank, "role"] = "blank"
    found = spot_colours(crops, frame(), ColourOptions(metric="b"), layout=layout)
    assert found.calibration.light.source == "blank"
    np.testing.assert_allclose(found.spots["metric"], metric_of(linear, "b"), atol=1.0)


def test_white_at_full_scale_is_told() -> None:
    _, linear = samples()
    table = measured(scan(linear, frame(), white=(1.2, 1.2, 1.2)), metric="b")
    assert table["flags"].str.contains("white_saturated").all()


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (1, 5), (3, 3)])
def test_small_grids(rows: int, cols: int) -> None:
    f = frame(rows, cols)
    linear = np.tile(ACID, (rows * cols, 1))
    h, w = f.crop
    crops = np.where(f.mask(h, w)[..., None], linear[:, None, None, :], 1.0)
    crops = np.rint(to_srgb(crops * 0.9) * 255).astype(np.uint8)
    np.testing.assert_allclose(measured(crops, f, metric="red")["metric"], ACID[0], atol=0.01)


def test_the_order_of_a_layout_does_not_matter() -> None:
    ph, _ = samples()
    layout, ph = with_calibration(ph, LEVELS)
    crops = scan(ph_colour(ph), frame(), noise=0.01, depth=8)
    turned = layout.sample(frac=1, random_state=3).reset_index(drop=True)
    pd.testing.assert_frame_equal(
        calibrated(crops, layout).spots, calibrated(crops, turned).spots, check_exact=True
    )


# -- files


def _stores(folder: Path, crops: np.ndarray, f: SpotFrame) -> tuple[Path, Path]:
    """A stack of spots, and a slide that nothing is read from."""
    group = zarr.open_group(folder / "spots.zarr", mode="w", zarr_format=3)
    facts = {k.name: getattr(f, k.name) for k in fields(f)}
    facts = {k: list(v) if isinstance(v, tuple) else v for k, v in facts.items()}
    channel = {"channel": "scan", "role": "colour", "samples": 3, "dtype": str(crops.dtype)}
    facts |= {"inside": [True] * len(crops), "channels": [channel], "raw": {"a.tif": "ab" * 32}}
    group.attrs["gridwell"] = facts
    array = group.create_array(
        "scan", shape=crops.shape, chunks=(1, *crops.shape[1:]), dtype=crops.dtype
    )
    array[:] = crops
    slide = zarr.open_group(folder / "slide.zarr", mode="w", zarr_format=3)
    slide.attrs["gridwell"] = {"slide": "S7", "width": 8, "height": 8, "channels": []}
    slide.create_array("0", data=np.ones((3, 8, 8), np.uint8))
    return folder / "spots.zarr", folder / "slide.zarr"


def _measure(folder: Path, layout: pd.DataFrame | None, **options: object) -> None:
    measure_colour(
        folder / "spots.zarr",
        folder / "slide.zarr",
        "scan",
        layout,
        spots_out=folder / "spots.csv",
        colours_out=folder / "colours.parquet",
        calibration_out=folder / "calibration.json",
        options=ColourOptions(**options),  # type: ignore[arg-type]
        slide="S7",
        provenance=made({"commit": None, "hash": "1" * 64}, {"colour": {}}),
    )


def test_the_files_of_a_slide_hold_the_same_and_are_the_same_again(tmp_path: Path) -> None:
    ph, _ = samples()
    layout, ph = with_calibration(ph, LEVELS)
    crops = scan(ph_colour(ph), frame(), depth=8)
    _stores(tmp_path, crops, frame())
    _measure(tmp_path, layout, metric="hue")
    names = ("spots.csv", "colours.parquet", "calibration.json")
    first = [(tmp_path / name).read_bytes() for name in names]
    for name in ("spots.csv", "colours.parquet"):
        said = read_provenance(tmp_path / name)
        assert said["slides"] == {"S7": {"raw": {"a.tif": "ab" * 32}}}
    saved = json.loads(first[2])
    assert saved["status"] == "fitted"
    assert saved["calibration"]["provenance"]["slides"] == said["slides"]
    table = pd.read_csv(tmp_path / "spots.csv", keep_default_na=False, na_values={"value": ""})
    expected = spot_colours(crops, frame(), ColourOptions(metric="hue"), layout=layout).spots
    assert (table["slide"] == "S7").all()
    np.testing.assert_allclose(table["value"], expected["value"], rtol=1e-6)
    _measure(tmp_path, layout, metric="hue")
    assert [(tmp_path / name).read_bytes() for name in names] == first


def test_a_gray_channel_is_a_mistake_with_a_remedy(tmp_path: Path) -> None:
    _, linear = samples()
    _stores(tmp_path, scan(linear, frame())[..., 0], frame())
    with pytest.raises(InputError, match="RGB"):
        _measure(tmp_path, None)
    assert not (tmp_path / "spots.csv").exists()

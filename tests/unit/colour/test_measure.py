"""Colour of spots on simulated scans with a known colour under every flaw."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr
from gridwell.colour.measure import measure_colour, spot_colours, white_trend
from gridwell.colour.spaces import colour_metric, to_srgb
from gridwell.config.columns import column_names
from gridwell.config.errors import InputError
from gridwell.config.models import ColourOptions
from gridwell.config.provenance import made, read_provenance
from gridwell.config.spots import spot_name
from gridwell.images.spots import SpotFrame

ROWS, COLS, SIZE = 6, 9, 30
ACID, BASE = np.array([0.75, 0.55, 0.05]), np.array([0.15, 0.2, 0.6])


def frame(rows: int = ROWS, cols: int = COLS, **changes: object) -> SpotFrame:
    n = rows * cols
    col, row = np.meshgrid(np.arange(cols), np.arange(rows))
    facts: dict[str, object] = {
        "slide": "S1",
        "rows": rows,
        "cols": cols,
        "spots": tuple(spot_name(i // cols, i % cols) for i in range(n)),
        "x": tuple(100.0 + 45 * col.ravel()),
        "y": tuple(100.0 + 45 * row.ravel()),
        "angle": 0.0,
        "width": float(SIZE),
        "height": float(SIZE),
        "shape": "round",
        "found": (True,) * n,
        "margin": 0.2,
    }
    return SpotFrame(**(facts | changes))  # type: ignore[arg-type]


def ph_colour(ph: np.ndarray) -> np.ndarray:
    """Linear colour of an indicator with pKa 7 (Henderson-Hasselbalch)."""
    share = 1 / (1 + 10 ** (7 - np.asarray(ph, float)))[..., None]
    return np.exp((1 - share) * np.log(ACID) + share * np.log(BASE))


def scan(
    linear: np.ndarray,
    f: SpotFrame,
    *,
    gradient: float = 0.0,
    exposure: float = 1.0,
    noise: float = 0.0,
    dirt: bool = False,
    depth: int = 16,
    white: tuple[float, float, float] = (0.8, 0.8, 0.8),
) -> np.ndarray:
    """Crops of a scan with spots of those linear colours (relative to white) on white."""
    rng = np.random.default_rng(7)
    h, w = f.crop
    inside = f.mask(h, w)[..., None]
    x, y = np.asarray(f.x), np.asarray(f.y)
    light = (
        exposure
        * (1 + gradient * (x - x.mean()) / np.ptp(x))
        * (1 + gradient / 2 * ((y - y.mean()) / np.ptp(y)) ** 2)
    )
    crops = np.where(inside, linear[:, None, None, :], 1.0) * light[:, None, None, None] * white
    if dirt:
        crops[:, h // 2 : h // 2 + 4, w // 2 : w // 2 + 3] = 1.0  # glare
        crops[:, h // 2 - 6 : h // 2 - 3, w // 2 - 5 : w // 2] = 0.01  # dust
        crops[::4, :3] = 0.02  # the margin shows something else
    encoded = to_srgb(crops) + rng.normal(size=crops.shape) * noise
    full = 2**depth - 1
    return np.clip(np.rint(encoded * full), 1, full).astype(f"uint{depth}")


def truth() -> tuple[np.ndarray, np.ndarray]:
    ph = np.random.default_rng(1).uniform(5.2, 8.8, ROWS * COLS)
    return ph, ph_colour(ph)


def test_a_clean_scan_gives_the_colour_back() -> None:
    _, linear = truth()
    table = spot_colours(scan(linear, frame()), frame(), ColourOptions(metric="hue"))
    assert list(table.columns) == column_names("spots.csv (colorimetry)")
    np.testing.assert_allclose(table[["red", "green", "blue"]] / 255, to_srgb(linear), atol=2e-4)
    np.testing.assert_allclose(table["metric"], colour_metric(linear, "hue"), atol=0.1)
    assert (table["value"] == table["metric"]).all()
    assert table["value_low"].isna().all()
    assert (table["flags"] == "").all()
    assert table["row"].iloc[COLS] == "B"
    assert table["col"].iloc[COLS] == 1


def test_uneven_light_is_removed() -> None:
    linear = np.tile(ph_colour(np.array(7.0)), (ROWS * COLS, 1))
    table = spot_colours(
        scan(linear, frame(), gradient=0.15), frame(), ColourOptions(metric="gray")
    )
    true = float(colour_metric(linear[:1], "gray")[0])
    assert np.abs(table["metric"] / true - 1).max() < 0.1 * 0.15


@pytest.mark.parametrize("metric", ["gray", "hue", "a", "green"])
def test_glare_dust_and_noise_do_not_matter(metric: str) -> None:
    _, linear = truth()
    options = ColourOptions(metric=metric)
    table = spot_colours(
        scan(linear, frame(), gradient=0.15, noise=0.01, dirt=True), frame(), options
    )
    clean = colour_metric(linear, metric)
    assert np.abs(table["metric"] - clean).max() < 0.02 * np.ptp(clean)


@pytest.mark.parametrize("exposure", [0.8, 1.2])
def test_exposure_and_lamp_do_not_change_the_metric(exposure: float) -> None:
    _, linear = truth()
    options = ColourOptions(metric="b")
    plain = spot_colours(scan(linear, frame()), frame(), options)
    other = spot_colours(
        scan(linear, frame(), exposure=exposure, white=(0.8, 0.7, 0.6)), frame(), options
    )
    np.testing.assert_allclose(other["metric"], plain["metric"], atol=0.1)


def _layout(ph: np.ndarray, levels: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    """The first spots become calibration spots, two of each level."""
    known = np.repeat(levels, 2)
    ph = ph.copy()
    ph[: len(known)] = known
    layout = pd.DataFrame({"spot": frame().spots, "role": "sample", "value": np.nan})
    layout.loc[: len(known) - 1, "role"] = "calibration"
    layout.loc[: len(known) - 1, "value"] = known
    return layout, ph


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("metric", ["hue", "b"])
def test_ph_is_found_with_calibration_spots(metric: str, depth: int) -> None:
    ph, _ = truth()
    layout, ph = _layout(ph, np.arange(5.0, 9.01, 0.5))
    crops = scan(ph_colour(ph), frame(), gradient=0.15, noise=0.01, dirt=True, depth=depth)
    table = spot_colours(crops, frame(), ColourOptions(metric=metric), layout=layout)
    error = (table["value"] - ph)[layout["role"] == "sample"].dropna()
    assert len(error) > 0.9 * (layout["role"] == "sample").sum()
    assert np.sqrt((error**2).mean()) < 0.2
    inside = (table["value_low"] <= ph) & (ph <= table["value_high"])
    assert inside[table["value"].notna()].mean() > 0.9


def test_beyond_the_calibration_nothing_is_claimed() -> None:
    ph, _ = truth()
    layout, ph = _layout(ph, np.array([6.5, 7.0, 7.5]))
    table = spot_colours(
        scan(ph_colour(ph), frame()), frame(), ColourOptions(metric="hue"), layout=layout
    )
    far = (ph < 6.4) | (ph > 7.6)
    assert table.loc[far, "value"].isna().all()
    assert (table.loc[far, "flags"] == "out_of_range").all()
    near = (ph >= 6.5) & (ph <= 7.5)
    assert table.loc[near, "value"].notna().all()


def test_a_metric_that_turns_back_gives_no_values() -> None:
    ph, _ = truth()
    layout, ph = _layout(ph, np.arange(5.0, 9.01, 0.5))
    table = spot_colours(
        scan(ph_colour(ph), frame()), frame(), ColourOptions(metric="a"), layout=layout
    )
    assert table["flags"].str.contains("calibration_failed").all()
    assert table["value"].isna().all()
    assert table["metric"].notna().all()


def test_one_level_is_no_calibration() -> None:
    ph, _ = truth()
    layout, ph = _layout(ph, np.array([7.0]))
    table = spot_colours(
        scan(ph_colour(ph), frame()), frame(), ColourOptions(metric="hue"), layout=layout
    )
    assert table["value"].isna().all()
    assert table["flags"].str.contains("calibration_failed").all()


def test_flags_of_odd_spots() -> None:
    _, linear = truth()
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
    table = spot_colours(crops, f, ColourOptions(metric="hue"), inside=inside)
    assert table["flags"].iloc[:6].tolist() == [
        "empty;not_found", "colourless", "not_found", "edge_cut", "", "colourless;saturated",
    ]  # fmt: skip
    assert np.isnan(table["value"].iloc[[0, 1, 4]]).all()
    assert table["red"].isna().tolist()[4]
    np.testing.assert_allclose(
        table["metric"].iloc[[2, 3]], colour_metric(linear[[2, 3]], "hue"), atol=0.2
    )


def test_without_a_light_background_the_colours_stay_as_recorded_and_say_so() -> None:
    _, linear = truth()
    crops = scan(linear, frame(), white=(1.0, 1.0, 1.0))
    h, w = frame().crop
    crops[:, ~frame().mask(h, w)] = 300
    table = spot_colours(crops, frame(), ColourOptions(metric="a"))
    assert (table["flags"] == "no_white").all()
    np.testing.assert_allclose(table["metric"], colour_metric(linear, "a"), atol=0.1)


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (1, 5), (3, 3)])
def test_small_grids(rows: int, cols: int) -> None:
    f = frame(rows, cols)
    linear = np.tile(ACID, (rows * cols, 1))
    h, w = f.crop
    crops = np.where(f.mask(h, w)[..., None], linear[:, None, None, :], 1.0)
    crops = np.rint(to_srgb(crops * 0.9) * 255).astype(np.uint8)
    table = spot_colours(crops, f, ColourOptions(metric="red"))
    np.testing.assert_allclose(table["metric"], ACID[0], atol=0.01)


def test_the_trend_ignores_a_minority_of_wrong_margins() -> None:
    x, y = (a.ravel().astype(float) for a in np.meshgrid(np.arange(14), np.arange(10)))
    light = (1 + 0.02 * x + 0.001 * y**2)[:, None] * np.array([0.7, 0.6, 0.5])
    wrong = light.copy()
    wrong[::5] *= 0.3
    wrong[3] = np.nan
    white, lit = white_trend(x, y, wrong)
    assert lit
    np.testing.assert_allclose(white, light, rtol=0.01)


def test_no_background_at_all() -> None:
    white, lit = white_trend(np.arange(4.0), np.zeros(4), np.full((4, 3), np.nan))
    assert not lit
    assert (white == 1).all()


def _stack(path: Path, crops: np.ndarray, f: SpotFrame) -> Path:
    group = zarr.open_group(path, mode="w", zarr_format=3)
    facts = {k.name: getattr(f, k.name) for k in fields(f)}
    facts = {k: list(v) if isinstance(v, tuple) else v for k, v in facts.items()}
    channel = {"channel": "scan", "role": "colour", "samples": 3, "dtype": str(crops.dtype)}
    facts |= {"inside": [True] * len(crops), "channels": [channel], "raw": {"a.tif": "ab" * 32}}
    group.attrs["gridwell"] = facts
    array = group.create_array(
        "scan", shape=crops.shape, chunks=(1, *crops.shape[1:]), dtype=crops.dtype
    )
    array[:] = crops
    return path


def test_measure_colour_writes_the_same_table_from_a_stack(tmp_path: Path) -> None:
    ph, _ = truth()
    layout, ph = _layout(ph, np.arange(5.0, 9.01, 0.5))
    crops = scan(ph_colour(ph), frame(), depth=8)
    stack = _stack(tmp_path / "spots.zarr", crops, frame())
    options = ColourOptions(metric="hue")
    measure_colour(
        stack,
        "scan",
        layout,
        spots_out=tmp_path / "spots.csv",
        options=options,
        slide="S7",
        provenance=made({"commit": None, "hash": "1" * 64}, {"colour": {}}),
    )
    said = read_provenance(tmp_path / "spots.csv")
    assert said["slides"] == {"S7": {"raw": {"a.tif": "ab" * 32}}}
    assert said["device"] == []
    table = pd.read_csv(tmp_path / "spots.csv", keep_default_na=False, na_values={"value": ""})
    expected = spot_colours(crops, frame(), options, layout=layout)
    assert (table["slide"] == "S7").all()
    np.testing.assert_allclose(table["value"], expected["value"], rtol=1e-6)


def test_a_gray_channel_is_a_mistake_with_a_remedy(tmp_path: Path) -> None:
    _, linear = truth()
    stack = _stack(tmp_path / "spots.zarr", scan(linear, frame())[..., 0], frame())
    with pytest.raises(InputError, match="RGB"):
        measure_colour(
            stack, "scan", None, spots_out=tmp_path / "s.csv", options=ColourOptions(), slide="S"
        )

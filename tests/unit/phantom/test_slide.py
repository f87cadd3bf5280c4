"""Simulated slides against their own truth."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from gridwell.config.errors import InputError
from gridwell.config.models import Assay
from gridwell.phantom.files import file_names
from gridwell.phantom.options import Curve, PhantomOptions
from gridwell.phantom.render import Renderer, camera
from gridwell.phantom.scene import grow_cells, place_spots, treat
from gridwell.phantom.slide import simulate_slide
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

SMALL = PhantomOptions(
    slide="S",
    rows=3,
    cols=4,
    pitch=(160, 160),
    spot_size=(120, 120),
    margin=40,
    cells=25,
    angle=3.0,
    missing=0.17,
    debris=0.0,
    shifts={"live": (3.0, -2.0), "dead": (-4.0, 1.0)},
)


def changed(options: PhantomOptions, **changes: object) -> PhantomOptions:
    return PhantomOptions(**{**options.model_dump(), **changes})


def renderer(options: PhantomOptions, layout: pd.DataFrame | None = None) -> Renderer:
    geometry = place_spots(options)
    return Renderer(options, geometry, treat(options, geometry, layout))


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slide")
    simulate_slide(SMALL, folder)
    return folder


def image(folder: Path, channel: str) -> np.ndarray:
    return tifffile.imread(folder / f"S_{channel}.ome.tif").astype(float)


# -- same bytes


def test_same_seed_same_bytes_whatever_the_band(slide: Path, tmp_path: Path) -> None:
    simulate_slide(SMALL, tmp_path / "again", band=1024)
    assert digests(tmp_path / "again") == digests(slide)
    simulate_slide(changed(SMALL, seed=2), tmp_path / "other")
    other = digests(tmp_path / "other")
    assert other.keys() == digests(slide).keys()
    assert not set(other.values()) & {
        digest for name, digest in digests(slide).items() if name.endswith(".tif")
    }


@settings(max_examples=12, deadline=None)
@given(
    channel=st.sampled_from(["brightfield", "nuclei", "live", "dead"]),
    cuts=st.lists(st.integers(1, 519), max_size=3),
    seed=st.integers(0, 3),
)
def test_any_cut_into_bands_gives_the_same_pixels(channel: str, cuts: list[int], seed: int) -> None:
    options = changed(
        SMALL, seed=seed, merged=0.3, out_of_focus=0.3, debris=1.0, rows=2, cols=2, missing=0
    )
    whole = renderer(options)
    height = whole.geometry.height
    edges = [0, *sorted({cut for cut in cuts if cut < height}), height]
    fresh = renderer(options)
    parts = [fresh.band(channel, a, b) for a, b in itertools.pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate(parts), whole.band(channel, 0, height))


def test_large_spots_do_not_break_at_the_edges_of_bands() -> None:
    options = changed(
        SMALL, rows=1, cols=1, spot_size=(900, 900), pitch=(960, 960), angle=45, missing=0,
        out_of_focus=1.0,
    )  # fmt: skip
    whole = renderer(options)
    height = whole.geometry.height
    for channel in ("brightfield", "live"):
        parts = np.concatenate(list(renderer(options).bands(channel, 64)))
        np.testing.assert_array_equal(parts, whole.band(channel, 0, height))


def test_a_spot_does_not_depend_on_the_others() -> None:
    more = changed(SMALL, rows=5, missing=0)
    less = changed(SMALL, rows=2, missing=0)
    a, b = renderer(more), renderer(less)
    one, other = a.cells(5), b.cells(5)
    np.testing.assert_array_equal(one.state, other.state)
    moved = b.geometry.x[5] - a.geometry.x[5], b.geometry.y[5] - a.geometry.y[5]
    np.testing.assert_allclose(one.x + moved[0], other.x, atol=2e-3)
    np.testing.assert_allclose(one.y + moved[1], other.y, atol=2e-3)


# -- truth against pixels


def test_nuclei_shine_where_truth_says(slide: Path) -> None:
    cells = pd.read_parquet(slide / "truth" / "cells.parquet")
    nuclei = image(slide, "nuclei")
    x, y = cells["x"].round().astype(int), cells["y"].round().astype(int)
    at = nuclei[y, x]
    background = np.median(nuclei)
    assert len(cells) > 150
    assert (at > background + 0.3 * cells["intensity_nuclei"]).all()
    # Nothing shines elsewhere.
    dark = np.ones(nuclei.shape, bool)
    yy, xx = np.mgrid[: nuclei.shape[0], : nuclei.shape[1]]
    for cx, cy in zip(cells["x"], cells["y"], strict=True):
        dark &= (xx - cx) ** 2 + (yy - cy) ** 2 > 14**2
    assert nuclei[dark].max() < background + 0.1 * cells["intensity_nuclei"].median()


@pytest.mark.parametrize(
    ("channel", "states"), [("live", ("live", "dying")), ("dead", ("dying", "dead"))]
)
def test_stains_show_states_and_stage_shifts(channel: str, states: tuple[str, ...]) -> None:
    options = changed(SMALL, negative=0.5, missing=0, clumps=0.0, seed=4)
    drawn = renderer(options)
    plane = drawn.band(channel, 0, drawn.geometry.height).astype(float)
    cells = [drawn.cells(i) for i in range(12)]
    names = np.array(["live", "dying", "dead", "inactive"])
    state = names[np.concatenate([c.state for c in cells])]
    x, y = np.concatenate([c.x for c in cells]), np.concatenate([c.y for c in cells])
    stained = np.isin(state, states)

    def mean_at(dx: float, dy: float, chosen: np.ndarray) -> np.ndarray:
        return plane[np.rint(y + dy).astype(int), np.rint(x + dx).astype(int)][chosen]

    dx, dy = options.shift(channel)
    assert np.median(mean_at(dx, dy, stained)) > 5 * np.median(mean_at(dx, dy, ~stained))
    steps = range(-6, 7)
    found = max(((a, b) for a in steps for b in steps), key=lambda s: mean_at(*s, stained).mean())
    assert math.dist(found, (dx, dy)) <= 1.5


@pytest.mark.parametrize("channel", ["nuclei", "live", "dead"])
def test_intensities_are_those_of_the_pixels(channel: str, tmp_path: Path) -> None:
    options = changed(
        SMALL, negative=0.5, clumps=0, cells=12, illumination=0, haze=0, bleed_through=0, shifts={}
    )
    simulate_slide(options, tmp_path)
    cells = pd.read_parquet(tmp_path / "truth" / "cells.parquet")
    cells = cells[cells[f"intensity_{channel}"] > 0]
    plane = image(tmp_path, channel)
    at = plane[cells["y"].round().astype(int), cells["x"].round().astype(int)]
    share = (at - np.median(plane)) / cells[f"intensity_{channel}"]
    assert share.median() == pytest.approx(0.95, abs=0.05)
    assert share.std() < 0.1


@pytest.mark.parametrize("shape", ["square", "round"])
def test_cells_fill_the_spot_evenly(shape: str) -> None:
    options = changed(SMALL, shape=shape, cells=60, missing=0, angle=20)
    drawn = renderer(options)
    cells = [drawn.cells(i) for i in range(12)]
    x = np.concatenate([c.x - drawn.geometry.x[i] for i, c in enumerate(cells)])
    y = np.concatenate([c.y - drawn.geometry.y[i] for i, c in enumerate(cells)])
    for offset in (x, y):
        assert abs(offset.mean()) < 4
        assert 20 < offset.std() < 32
    if shape == "round":
        assert np.hypot(x, y).max() < 62


def test_bleed_through_is_the_stated_share() -> None:
    options = changed(SMALL, negative=1.0, bleed_through=0.2, illumination=0, haze=0, missing=0)
    drawn = renderer(options)
    height = drawn.geometry.height
    live = drawn.band("live", 0, height).astype(float) - 100
    dead = drawn.band("dead", 0, height).astype(float) - 100
    # Move the dead channel back onto the live one: whole pixels.
    moved = np.roll(dead, (-3, 7), axis=(0, 1))
    bright = live > 4000
    slope = np.polyfit(live[bright], moved[bright], 1)[0]
    assert slope == pytest.approx(0.2, abs=0.02)


def test_missing_spots_cannot_be_seen(slide: Path) -> None:
    grid = pd.read_csv(slide / "truth" / "grid.csv")
    assert len(grid) == 12
    assert (~grid["present"]).sum() == 2
    plane = image(slide, "brightfield")
    spread = [
        plane[int(y) - 70 : int(y) + 70, int(x) - 70 : int(x) + 70].std()
        for x, y in zip(grid["x"], grid["y"], strict=True)
    ]
    assert max(np.array(spread)[~grid["present"]]) < 0.5 * min(np.array(spread)[grid["present"]])
    cells = pd.read_parquet(slide / "truth" / "cells.parquet")
    assert not set(cells["spot"]) & set(grid.loc[~grid["present"], "spot"])


def test_grid_is_rotated_clockwise_about_the_middle(slide: Path) -> None:
    grid = pd.read_csv(slide / "truth" / "grid.csv")
    assert list(grid["spot"][:5]) == ["A1", "A2", "A3", "A4", "B1"]
    first, last = grid.iloc[0], grid.iloc[3]
    angle = math.degrees(math.atan2(last["y"] - first["y"], last["x"] - first["x"]))
    assert angle == pytest.approx(3.0, abs=0.9)  # each spot scatters by 1 % of the pitch
    exact = place_spots(changed(SMALL, jitter=0, angle=30))
    assert exact.origin == (exact.x[0], exact.y[0])
    step = math.dist((exact.x[0], exact.y[0]), (exact.x[1], exact.y[1]))
    assert step == pytest.approx(160, abs=2e-3)
    assert exact.y[1] - exact.y[0] == pytest.approx(80, abs=2e-3)


def test_spots_darken_or_brighten_within_their_outline() -> None:
    for polarity, sign in (("dark", -1), ("bright", 1)):
        for shape in ("square", "round"):
            options = changed(
                SMALL, polarity=polarity, shape=shape, cells=0, illumination=0, missing=0
            )
            drawn = renderer(options)
            geometry = drawn.geometry
            plane = drawn.band("brightfield", 0, geometry.height).astype(float)
            outside = np.median(plane[:20])
            x, y = round(float(geometry.x[5])), round(float(geometry.y[5]))
            assert sign * (plane[y - 20 : y + 20, x - 20 : x + 20].mean() - outside) > 1000
            edge = x - math.floor(geometry.half_x[5]) + 1
            assert sign * (plane[y - 5 : y + 5, edge].mean() - outside) > 4000
            assert abs(plane[y - 5 : y + 5, edge - 12].mean() - outside) < 1500


def test_blocks_and_merged_spots() -> None:
    options = changed(
        SMALL, rows=4, block_rows=(1, 3), block_cols=(2, 2), block_gap=(50, 30), jitter=0, angle=0,
        merged=0.5, missing=0,
    )  # fmt: skip
    geometry = place_spots(options)
    np.testing.assert_allclose(np.diff(geometry.x[:4]), [160, 210, 160])
    np.testing.assert_allclose(np.diff(geometry.y[::4]), [190, 160, 160])
    assert geometry.bridges
    drawn = renderer(changed(options, cells=0, illumination=0))
    plane = drawn.band("brightfield", 0, geometry.height).astype(float)
    outside = np.median(plane[:20])
    for one, other in geometry.bridges:
        x = round((geometry.x[one] + geometry.x[other]) / 2)
        y = round((geometry.y[one] + geometry.y[other]) / 2)
        assert plane[y - 3 : y + 4, x - 3 : x + 4].mean() < outside - 1000


def test_out_of_focus_spots_are_blurred_and_keep_their_light() -> None:
    sharp = renderer(changed(SMALL, missing=0, illumination=0))
    soft = renderer(changed(SMALL, missing=0, illumination=0, out_of_focus=1.0))
    a = sharp.band("nuclei", 0, sharp.geometry.height).astype(float)
    b = soft.band("nuclei", 0, soft.geometry.height).astype(float)
    assert np.abs(np.diff(b, axis=0)).max() < 0.6 * np.abs(np.diff(a, axis=0)).max()
    dark = np.median(a)
    assert (b - dark).sum() == pytest.approx((a - dark).sum(), rel=0.35)


def test_labels_lie_on_the_objects(slide: Path) -> None:
    cells = pd.read_parquet(slide / "truth" / "cells.parquet")
    grid = pd.read_csv(slide / "truth" / "grid.csv")
    for channel in ("nuclei", "live", "dead"):
        group = zarr.open_group(slide / "truth" / "labels" / f"{channel}.zarr", mode="r")
        facts, labels = group.attrs["gridwell"], group["labels"][:]
        assert labels.shape == (12, 144, 144)
        assert labels.dtype == np.uint32
        plane = image(slide, channel)
        inside, outside = [], []
        for i, spot in enumerate(facts["spots"]):
            x0, y0 = facts["x0"][i], facts["y0"][i]
            crop = plane[y0 : y0 + 144, x0 : x0 + 144]
            mine = cells[(cells["spot"] == spot) & (cells[f"intensity_{channel}"] > 0)]
            assert set(np.unique(labels[i])) == {0, *mine["cell"]}
            if grid["present"][i] and len(mine):
                inside.append(crop[labels[i] > 0])
                outside.append(crop[labels[i] == 0])
        assert np.median(np.concatenate(inside)) > 5 * np.median(np.concatenate(outside))
        areas = np.bincount(labels[0].ravel())[1:]
        if channel == "nuclei":
            radius = cells.loc[cells["spot"] == facts["spots"][0], "radius"].to_numpy()
            assert np.median(areas / (np.pi * radius**2)) == pytest.approx(1, abs=0.08)


def test_noise_is_that_of_photons_and_camera() -> None:
    options = changed(SMALL, cells=0, illumination=0, texture=0, missing=1.0, photons=5000)
    drawn = renderer(options)
    full, offset = camera(options, "live")
    plane = drawn.band("live", 0, drawn.geometry.height).astype(float)
    photons = (plane - offset) * options.photons / full
    assert photons.mean() == pytest.approx(60, rel=0.02)
    assert photons.std() == pytest.approx(math.sqrt(60 + 4**2), rel=0.03)


def test_illumination_falls_off_as_much_as_stated() -> None:
    drawn = renderer(changed(SMALL, cells=0, texture=0, missing=1.0, illumination=0.4))
    plane = drawn.band("brightfield", 0, drawn.geometry.height).astype(float)
    height, width = plane.shape
    boxes = plane[: height // 20 * 20, : width // 20 * 20].reshape(
        height // 20, 20, width // 20, 20
    )
    means = boxes.mean(axis=(1, 3)) - 100
    assert 1 - means.min() / means.max() == pytest.approx(0.4, abs=0.08)


# -- cells and doses


def dose_layout(doses: list[float]) -> pd.DataFrame:
    spots = [f"{'ABCDEFGH'[i]}{j + 1}" for i in range(len(doses)) for j in range(12)]
    return pd.DataFrame(
        {
            "spot": spots,
            "agent": "drug",
            "concentration": np.repeat(doses, 12),
            "unit": "uM",
            "role": "sample",
        }
    )


def test_states_follow_the_dose_curve(tmp_path: Path) -> None:
    curve = Curve(agent="drug", ec50=1.0, hill=1.5, top=0.9, bottom=0.1)
    options = PhantomOptions(
        rows=5, cols=12, curves=(curve,), cells=150, clumps=0, negative=0.9, spot_spread=0.0,
        positive=0.1,
    )  # fmt: skip
    doses = [0.01, 0.3, 1.0, 3.0, 100.0]
    geometry = place_spots(options)
    treatments = treat(options, geometry, dose_layout(doses))
    for row, dose in enumerate(doses):
        spots = range(row * 12, row * 12 + 12)
        grown = [grow_cells(options, geometry, treatments[i], i) for i in spots]
        state = np.concatenate([cells.state for cells in grown])
        expected = 0.1 + 0.8 / (1 + dose**1.5)
        assert treatments[row * 12].response == pytest.approx(expected)
        sd = math.sqrt(expected * (1 - expected) / len(state))
        assert abs((state == 0).mean() - expected) < 4 * sd
        fallen = state[state > 0]
        assert (fallen == 1).mean() == pytest.approx(options.dying, abs=0.08)
        assert (fallen == 3).mean() == pytest.approx(options.inactive, abs=0.08)


def test_equal_spots_scatter() -> None:
    def scatter(spread: float) -> float:
        options = changed(SMALL, cells=400, negative=0.5, spot_spread=spread, missing=0, clumps=0)
        drawn = renderer(options)
        return float(np.std([(drawn.cells(i).state == 0).mean() for i in range(12)]))

    assert scatter(0.0) < 0.05
    assert scatter(0.8) > 0.1


def test_spots_table_counts_the_cells(slide: Path) -> None:
    spots = pd.read_csv(slide / "truth" / "spots.csv")
    cells = pd.read_parquet(slide / "truth" / "cells.parquet")
    counted = pd.crosstab(cells["spot"], cells["state"])
    for _, row in spots.iterrows():
        if not row["present"]:
            assert row["n_nuclei"] == 0
            assert math.isnan(row["viability"])
            continue
        for state in ("live", "dying", "dead", "inactive"):
            assert row[f"n_{state}"] == counted.loc[row["spot"]].get(state, 0)
        assert row["viability"] == pytest.approx(row["n_live"] / row["n_nuclei"])


def test_controls_and_empty_spots() -> None:
    layout = pd.DataFrame({"spot": ["A1", "A2", "A3"], "role": ["neg_ctrl", "pos_ctrl", "empty"]})
    drawn = renderer(changed(SMALL, missing=0, cells=200, clumps=0), layout)
    assert (drawn.cells(0).state == 0).mean() > 0.8
    assert (drawn.cells(1).state == 0).mean() < 0.2
    assert len(drawn.cells(2)) == 0
    assert drawn.treatments[11].response == SMALL.negative


def test_two_agents_in_a_spot_act_independently() -> None:
    options = changed(
        SMALL,
        curves=(
            Curve(agent="a", ec50=1, top=0.93, bottom=0.0).model_dump(),
            Curve(agent="b", ec50=2, top=0.93, bottom=0.0).model_dump(),
        ),
    )
    layout = pd.DataFrame(
        {"spot": ["A1", "A1"], "agent": ["a", "b"], "concentration": [1.0, 2.0], "unit": "uM"}
    )
    treatment = renderer(options, layout).treatments[0]
    assert treatment.response == pytest.approx(0.93 / 4)
    assert treatment.agent == "a+b"


def test_layout_that_does_not_fit_is_told_row_by_row() -> None:
    curve = Curve(agent="a", ec50=1)
    layout = pd.DataFrame(
        {
            "spot": ["A1", "Z1", "A2", "A3"],
            "agent": ["a", "a", "unheard", "a"],
            "concentration": 1.0,
            "unit": ["uM", "uM", "uM", "nM"],
        }
    )
    with pytest.raises(InputError) as caught:
        renderer(changed(SMALL, curves=(curve.model_dump(),)), layout)
    assert [(p.row, p.column) for p in caught.value.problems] == [
        (3, "spot"),
        (4, "agent"),
        (5, "unit"),
    ]


def test_reporter_rises_with_the_dose() -> None:
    curve = Curve(agent="drug", ec50=1.0, hill=-1.2, top=0.9, bottom=0.1)
    options = PhantomOptions(
        assay=Assay.OBJECTS, rows=3, cols=12, curves=(curve,), negative=0.1, positive=0.9,
        illumination=0, loss=0.5,
    )  # fmt: skip
    drawn = renderer(options, dose_layout([0.01, 1.0, 100.0]))
    plane = drawn.band("reporter", 0, drawn.geometry.height).astype(float)
    means, counts = [], []
    for row in range(3):
        cells = [drawn.cells(i) for i in range(row * 12, row * 12 + 12)]
        x, y = np.concatenate([c.x for c in cells]), np.concatenate([c.y for c in cells])
        means.append(plane[np.rint(y).astype(int), np.rint(x).astype(int)].mean())
        counts.append(len(x))
    assert 3 < means[1] / means[0] < 6
    assert 6 < means[2] / means[0] < 10
    assert counts[2] == pytest.approx(counts[0] / 2, rel=0.15)


# -- colour


def test_colours_of_droplets_follow_the_ph() -> None:
    values = [6.0, 6.5, 7.1, 7.7, 8.2, 6.5]
    layout = pd.DataFrame(
        {"spot": [f"A{i + 1}" for i in range(6)], "role": "calibration", "value": values}
    )
    options = PhantomOptions(
        assay=Assay.COLORIMETRY, rows=1, cols=6, shape="round", pitch=(80, 80), spot_size=(60, 60),
        bits=8, illumination=0, texture=0, debris=0,
    )  # fmt: skip
    drawn = renderer(options, layout)
    geometry = drawn.geometry
    scan = drawn.band("scan", 0, geometry.height)
    assert scan.shape == (geometry.height, geometry.width, 3)
    assert scan.dtype == np.uint8
    middle = np.array(
        [
            np.median(scan[int(y) - 5 : int(y) + 15, int(x) - 10 : int(x) + 10], axis=(0, 1))
            for x, y in zip(geometry.x, geometry.y, strict=True)
        ]
    )
    assert (np.diff(middle[:5, 0]) < 0).all()  # less red from yellow to blue
    assert (np.diff(middle[:5, 2]) > 0).all()
    np.testing.assert_allclose(middle[1], middle[5], atol=2)
    assert (scan[:10] > 220).all()


def test_samples_of_one_name_share_their_value(tmp_path: Path) -> None:
    options = PhantomOptions(assay=Assay.COLORIMETRY, rows=2, cols=2, shape="round", bits=8)
    layout = pd.DataFrame(
        {"spot": ["A1", "A2", "B1", "B2"], "sample": ["one", "two", "one", None], "role": "sample"}
    )
    simulate_slide(options, tmp_path, layout=layout)
    value = pd.read_csv(tmp_path / "truth" / "spots.csv")["value"]
    assert value[0] == value[2]
    assert value.nunique() == 3
    assert value.between(*options.value_range).all()


# -- files


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("files", ["per_channel", "multi_channel", "bigtiff", "striped", "png"])
def test_every_kind_of_file_holds_the_same_pixels(files: str, bits: int, tmp_path: Path) -> None:
    options = changed(SMALL, files=files, bits=bits, rows=2, cols=2, labels=False, missing=0)
    simulate_slide(options, tmp_path)
    drawn = renderer(options)
    height, width = drawn.geometry.height, drawn.geometry.width
    for channel, (name, index) in file_names(options).items():
        expected = drawn.band(channel, 0, height)
        assert expected.dtype == (np.uint8 if bits == 8 else np.uint16)
        if files == "png":
            import cv2

            found = cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED)
            np.testing.assert_array_equal(found, expected)
            continue
        with tifffile.TiffFile(tmp_path / name) as file:
            page = file.pages[index]
            np.testing.assert_array_equal(page.asarray(), expected)
            assert file.is_bigtiff == (files == "bigtiff")
            assert page.is_tiled == (files != "striped")
            assert file.is_ome == ("channel" in files)
            assert page.get_resolution("MICROMETER")[0] == pytest.approx(1 / 1.98, rel=1e-4)
            if file.is_ome:
                series = file.series[0]
                shape = (4, height, width) if files == "multi_channel" else (height, width)
                assert series.shape == shape
                planes = series.asarray()
                np.testing.assert_array_equal(
                    planes if planes.ndim == 2 else planes[index], expected
                )
                pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
                assert pixels["PhysicalSizeX"] == pytest.approx(1.98)
                names = np.atleast_1d(pixels["Channel"])
                assert names[index]["Name"] == channel


@pytest.mark.parametrize("compression", ["lzw", "zlib", "zstd"])
def test_compressed_files(compression: str, tmp_path: Path) -> None:
    options = changed(SMALL, rows=1, cols=2, labels=False, compression=compression)
    for files in ("per_channel", "striped"):
        simulate_slide(changed(options, files=files), tmp_path / files)
        name = file_names(changed(options, files=files))["nuclei"][0]
        drawn = renderer(options)
        found = tifffile.imread(tmp_path / files / name)
        np.testing.assert_array_equal(found, drawn.band("nuclei", 0, drawn.geometry.height))


@pytest.mark.parametrize("files", ["per_channel", "bigtiff", "striped", "png", "jpeg"])
def test_colour_scans(files: str, tmp_path: Path) -> None:
    options = PhantomOptions(
        slide="C", assay=Assay.COLORIMETRY, rows=2, cols=3, shape="round", bits=8, files=files,
        pitch=(80, 80), spot_size=(60, 60),
    )  # fmt: skip
    simulate_slide(options, tmp_path)
    drawn = renderer(options)
    expected = drawn.band("scan", 0, drawn.geometry.height)
    path = tmp_path / file_names(options)["scan"][0]
    if files in ("png", "jpeg"):
        import cv2

        found = cv2.imread(str(path))[:, :, ::-1]
    else:
        found = tifffile.imread(path)
    assert found.shape == expected.shape
    error = np.abs(found.astype(int) - expected).mean()
    assert error < 2 if files == "jpeg" else error == 0


def test_summary_tells_everything(slide: Path) -> None:
    summary = json.loads((slide / "truth" / "phantom.json").read_text())
    assert PhantomOptions(**summary["options"]) == SMALL
    plane = image(slide, "nuclei")
    assert (summary["height"], summary["width"]) == plane.shape
    assert [c["channel"] for c in summary["channels"]] == ["brightfield", "nuclei", "live", "dead"]


_MEMORY = """
import resource, sys
from pathlib import Path
from gridwell.phantom.options import PhantomOptions
from gridwell.phantom.slide import simulate_slide
options = PhantomOptions(
    assay="objects", rows=int(sys.argv[1]), cols=12, cells=10, files="bigtiff", labels=False
)
simulate_slide(options, Path(sys.argv[2]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_slide(tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        done = subprocess.run(
            [sys.executable, "-c", _MEMORY, str(rows), str(tmp_path / str(rows))],
            check=True,
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[3] / "scripts",
        )
        return int(done.stdout)

    assert peak(40) < 1.2 * peak(10)


# -- any options


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.integers(1, 3),
    cols=st.integers(1, 3),
    angle=st.floats(-180, 180),
    shape=st.sampled_from(["square", "round"]),
    polarity=st.sampled_from(["bright", "dark"]),
    cells=st.integers(0, 30),
    spot=st.integers(30, 110),
    bits=st.sampled_from([8, 16]),
    missing=st.sampled_from([0.0, 0.4, 1.0]),
    merged=st.sampled_from([0.0, 1.0]),
    blur=st.floats(0.3, 4.0),
    assay=st.sampled_from(list(Assay)),
    margin=st.sampled_from([0.0, 30.0]),
)
def test_any_slide_is_drawn_with_its_truth_inside(
    rows: int, cols: int, angle: float, spot: int, margin: float, tmp_path_factory, **rest: object
) -> None:  # fmt: skip
    options = PhantomOptions(
        rows=rows, cols=cols, angle=angle, spot_size=(spot, 0.8 * spot), pitch=(120, 110),
        margin=margin, **rest,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("any")
    simulate_slide(options, folder)
    grid = pd.read_csv(folder / "truth" / "grid.csv")
    summary = json.loads((folder / "truth" / "phantom.json").read_text())
    assert grid["x"].between(0, summary["width"] - 1).all()
    assert grid["y"].between(0, summary["height"] - 1).all()
    for channel in summary["channels"]:
        plane = tifffile.imread(folder / channel["file"])
        assert plane.shape[:2] == (summary["height"], summary["width"])
    spots = pd.read_csv(folder / "truth" / "spots.csv")
    assert list(spots["spot"]) == list(grid["spot"])
    if options.assay == Assay.VIABILITY:
        cells = pd.read_parquet(folder / "truth" / "cells.parquet")
        assert len(cells) == spots["n_nuclei"].sum()
        centre = grid.set_index("spot").loc[cells["spot"]].reset_index(drop=True)
        away = np.hypot(cells["x"] - centre["x"], cells["y"] - centre["y"])
        assert (away <= np.hypot(centre["width"], centre["height"]) / 2 + 2).all()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"block_rows": (1, 1)}, "sum up to 3"),
        ({"shifts": {"red": (1, 1)}}, "does not have"),
        ({"files": "jpeg"}, "8-bit colour scans"),
        ({"pitch": 0}, "above 0"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_options_that_cannot_be(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        changed(SMALL, **wrong)

"""Recomputed results against published ones: every kind of file, and what a reviewer reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import zarr
from gridwell.config.columns import COLUMNS
from gridwell.config.files import write_csv, write_json, write_parquet
from gridwell.images.labels import LabelWriter
from gridwell.images.spots import SpotFrame
from gridwell.versions.compare import Verdict, compare_result, judge_pages
from gridwell.versions.tolerances import TOLERANCES, described, tolerance_of, tolerances_md
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

SPOTS = "results/S01/spots.csv"
CELLS = "results/S01/cells.parquet"
LABELS = "results/S01/labels/nuclei.zarr"
PAGE = "results/S01/report.html"
NUMBER = count()

quick = settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def compare(tmp_path: Path) -> Callable[..., Verdict]:
    """Write two versions of a result and compare them."""

    def compared(name: str, write: Callable[[Path, Any], Any], *contents: Any) -> Verdict:
        paths = [tmp_path / f"{next(NUMBER)}" / Path(name).name for _ in contents]
        for path, content in zip(paths, contents, strict=True):
            path.parent.mkdir()
            write(path, content)
        verdict = compare_result(name, *paths)
        assert verdict.path == name
        assert "\n" not in verdict.detail
        assert (verdict.status == "identical") == (verdict.detail == "")
        return verdict

    return compared


def spots_table(slides: int = 1) -> pd.DataFrame:
    names = [f"{row}{col}" for row in "ABCDEFGH" for col in range(1, 13)]
    table = pd.DataFrame(
        {
            "slide": np.repeat([f"S{slide:02}" for slide in range(1, slides + 1)], 96),
            "spot": names * slides,
            "x": np.tile(np.arange(96) * 100 + 0.25, slides),
            "n_live": 200,
            "viability": 0.81,
            "flags": None,
        }
    )
    return table.astype({"flags": "str"})


def cells_table(spots: int = 10, each: int = 100) -> pd.DataFrame:
    """Cells a few pixels apart, some in no state."""
    at = np.arange(spots * each)
    return pd.DataFrame(
        {
            "spot": [f"A{1 + i // each}" for i in at],
            "cell": at % each + 1,
            "state": np.where(at % 7 == 0, "dead", "live"),
            "live_label": pd.array(np.where(at % 7 == 0, 0, at + 1), "Int64"),
            "x": at % each % 10 * 9.0 + at // each * 200,
            "y": at % each // 10 * 9.0,
            "nuclei_area": pd.array(80 + at % 11, "Int64"),
            "nuclei_mean": 1000.0 + at,
            "nuclei_orientation": 89.9,
        }
    ).replace({"live_label": {0: pd.NA}})


def changed(table: pd.DataFrame, row: int, **values: Any) -> pd.DataFrame:
    """Copy a table with other values in one row."""
    table = table.copy()
    for column, value in values.items():
        table.loc[row, column] = value
    return table


# ---------------------------------------------------------------- tables of spots


def test_same_bytes_are_identical(compare):
    assert compare(SPOTS, write_csv, spots_table(), spots_table()).status == "identical"
    assert compare(CELLS, write_parquet, cells_table(), cells_table()).status == "identical"


def test_same_values_in_other_bytes_are_within_tolerance(compare):
    texts = ["spot,n_live,viability\nA1,5,0.50\n", "spot,viability,n_live\nA1,0.5,5\n"]
    verdict = compare(SPOTS, Path.write_text, *texts)
    assert verdict == Verdict(SPOTS, "within tolerance", "the same values, written otherwise")


def test_changed_value_names_column_row_and_both_values(compare):
    table = changed(spots_table(), 30, viability=0.842, n_live=230)
    table = changed(table, 31, n_live=205)
    verdict = compare(SPOTS, write_csv, spots_table(), table)
    assert verdict.status == "different"
    assert verdict.detail == (
        "n_live: 2 of 96 rows differ, most at C7: 230 instead of 200; "
        "viability: 1 of 96 rows differs, at C7: 0.842 instead of 0.81"
    )


def test_rows_of_several_slides_are_named_with_their_slide(compare):
    name = "results/screen/spots.csv"
    verdict = compare(name, write_csv, spots_table(2), changed(spots_table(2), 126, viability=0.5))
    assert verdict.detail.startswith("viability: 1 of 192 rows differs, at S02 C7: 0.5")


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"viability": 0.785}, "within tolerance"),
        ({"viability": 0.7849}, "different"),
        ({"n_live": 202}, "within tolerance"),
        ({"n_live": 203}, "different"),
        ({"x": 3000.3}, "within tolerance"),
        ({"x": 3000.4}, "different"),
        ({"flags": "empty"}, "different"),
        ({"viability": None}, "different"),
    ],
)
def test_tolerances_of_spots(compare, values, status):
    verdict = compare(SPOTS, write_csv, spots_table(), changed(spots_table(), 30, **values))
    assert verdict.status == status
    assert next(iter(values)) in verdict.detail


def test_number_against_nothing_differs_either_way(compare):
    tables = spots_table(), changed(spots_table(), 30, viability=None)
    assert "at C7: nothing instead of 0.81" in compare(SPOTS, write_csv, *tables).detail
    assert "at C7: 0.81 instead of nothing" in compare(SPOTS, write_csv, *tables[::-1]).detail


def test_nothing_equals_nothing(compare):
    tables = [changed(spots_table(), 30, viability=None, n_live=n) for n in (200, 201)]
    assert compare(SPOTS, write_csv, *tables).detail == "n_live by up to 1"


def test_largest_differences_within_tolerance_are_told(compare):
    table = changed(spots_table(), 30, viability=0.814, n_live=201)
    detail = compare(SPOTS, write_csv, spots_table(), table).detail
    assert detail == "n_live by up to 1, viability by up to 0.004"


def test_text_of_a_column_of_numbers_is_told(compare):
    table = changed(spots_table().astype({"viability": object}), 30, viability="much")
    detail = compare(SPOTS, write_csv, spots_table(), table).detail
    assert detail == "viability: 1 of 96 rows differs, at C7: much instead of 0.81"


def test_dropped_and_added_rows_are_told(compare):
    tables = spots_table(), spots_table().drop(index=30)
    verdict = compare(SPOTS, write_csv, *tables)
    assert verdict == Verdict(SPOTS, "different", "1 of 96 rows missing (C7)")
    assert compare(SPOTS, write_csv, *tables[::-1]).detail == "1 of 96 rows extra (C7)"
    detail = compare(SPOTS, write_csv, spots_table(), spots_table().iloc[10:]).detail
    assert detail == "10 of 96 rows missing (A1, A2, A3, A4, and 6 more rows)"


def test_renamed_column_is_told(compare):
    table = spots_table().rename(columns={"viability": "vitality"})
    verdict = compare(SPOTS, write_csv, spots_table(), table)
    assert verdict.status == "different"
    assert verdict.detail == "1 column missing: viability; 1 column extra: vitality"


def test_only_the_worst_columns_are_named(compare):
    table = pd.DataFrame({"spot": ["A1", "A2"], **{f"c{i}": [1.0, 1.0] for i in range(9)}})
    other = table.copy()
    other[[f"c{i}" for i in range(9)]] = 2.0
    other.loc[0, [f"c{i}" for i in range(8)]] = 1.0
    detail = compare("results/S01/grid.csv", write_csv, table, other).detail
    assert detail.startswith("c8: 2 of 2 rows differ, most at A1: 2 instead of 1; c0: 1 of 2 rows")
    assert detail.endswith("; and 5 more columns")


def test_values_that_look_alike_are_told_with_all_digits(compare):
    name = "results/S01/other.csv"
    texts = ["a\n1.00000001\n", "a\n1.00001\n", "a\n1.000010009\n"]
    assert "at row 1: 1.00001 instead of 1" in compare(name, Path.write_text, *texts[:2]).detail
    detail = compare(name, Path.write_text, "a\n100000.01\n", "a\n100000.2\n").detail
    assert detail == "a: 1 of 1 row differs, at row 1: 100000.2 instead of 100000.01"


def test_statistics_have_tolerances_of_their_own(compare):
    name = "results/screen/quality.csv"
    table = pd.DataFrame(
        {"slide": "P1", "statistic": ["n_spots", "z_prime", "edge_p"], "value": [96, 0.5, np.nan]}
    )
    fine = compare(name, write_csv, table, changed(table, 1, value=0.51))
    assert fine == Verdict(name, "within tolerance", "value by up to 0.01")
    counted = compare(name, write_csv, table, changed(table, 0, value=95))
    assert counted.status == "different"
    assert "at n_spots: 95 instead of 96" in counted.detail


def test_agent_called_na_is_text(compare):
    name = "results/screen/agents.csv"
    detail = compare(name, Path.write_text, "agent,ec50\nNA,1\n", "agent,ec50\n,1\n").detail
    assert detail == "1 of 1 row missing (NA); 1 of 1 row extra (nothing)"


@quick
@given(
    st.lists(
        st.tuples(st.floats(allow_infinity=True), st.floats(), st.text("ab", max_size=2)),
        max_size=8,
    ),
    st.randoms(use_true_random=False),
)
def test_table_in_another_order_says_the_same(compare, rows, random):
    table = pd.DataFrame(rows, columns=["viability", "value", "flags"])
    table.insert(0, "spot", [f"A{i}" for i in range(len(table))])
    order = list(range(len(table)))
    random.shuffle(order)
    verdict = compare("results/S01/x.parquet", write_parquet, table, table.iloc[order])
    if order == sorted(order):
        assert verdict.status == "identical"
    else:
        assert verdict.detail == "the same values, written otherwise"
        assert verdict.status == "within tolerance"


# ---------------------------------------------------------------- tables of objects


def test_few_objects_may_move(compare):
    cells = cells_table()
    verdict = compare(CELLS, write_parquet, cells, changed(cells, 555, x=5000.0))
    assert verdict.status == "within tolerance"
    assert verdict.detail == (
        "1 of 1000 rows missing (A6 cell 56); 1 of 1000 rows extra (A6 cell 56)"
    )
    far = cells.assign(x=cells["x"].where(cells.index >= 11, cells["x"] + 3))
    assert compare(CELLS, write_parquet, cells, far).status == "different"
    moved = cells.assign(x=cells["x"].where(cells.index >= 30, cells["x"] + 0.5))
    verdict = compare(CELLS, write_parquet, cells, moved)
    assert verdict == Verdict(CELLS, "within tolerance", "beyond in few of 1000 rows: x 30")
    moved = cells.assign(x=cells["x"].where(cells.index >= 31, cells["x"] + 0.5))
    assert compare(CELLS, write_parquet, cells, moved).status == "different"


def test_objects_numbered_anew_are_the_same(compare):
    cells = cells_table()
    fewer = cells.drop(index=200).reset_index(drop=True)
    fewer["cell"] = fewer.groupby("spot").cumcount() + 1
    fewer["live_label"] += 1
    verdict = compare(CELLS, write_parquet, cells, fewer)
    assert verdict.status == "within tolerance"
    assert verdict.detail.startswith("1 of 1000 rows missing (A3 cell 1); ")
    assert "beyond" not in verdict.detail


def test_lost_partner_of_an_object_is_no_renumbering(compare):
    cells = cells_table()
    verdict = compare(CELLS, write_parquet, cells, cells.assign(live_label=pd.NA))
    assert verdict.status == "different"
    assert "at A1 cell 2: nothing instead of 2" in verdict.detail


def test_few_objects_may_be_of_another_state(compare):
    cells = cells_table()
    few = cells.assign(state=cells["state"].mask(cells.index < 10, "dying"))
    verdict = compare(CELLS, write_parquet, cells, few)
    assert verdict == Verdict(CELLS, "within tolerance", "beyond in few of 1000 rows: state 10")
    more = cells.assign(state=cells["state"].mask(cells.index < 11, "dying"))
    verdict = compare(CELLS, write_parquet, cells, more)
    assert verdict.status == "different"
    assert "state: 11 of 1000 rows differ, most at A1 cell 1: dying instead of d" in verdict.detail


def test_angles_go_round(compare):
    cells = cells_table()
    assert (
        compare(CELLS, write_parquet, cells, cells.assign(nuclei_orientation=-89.9)).detail
        == "nuclei_orientation by up to 0.2"
    )


def test_no_objects_against_many(compare):
    cells = cells_table()
    for tables in ((cells, cells.iloc[:0]), (cells.iloc[:0], cells)):
        assert compare(CELLS, write_parquet, *tables).status == "different"


@quick
@given(st.integers(0, 2**32 - 1))
def test_jittered_and_shuffled_objects_are_found_again(compare, seed):
    rng = np.random.default_rng(seed)
    cells = cells_table(spots=3, each=40)
    other = cells.assign(x=cells["x"] + rng.uniform(-0.09, 0.09, len(cells)))
    other = other.sample(frac=1, random_state=seed)
    other["cell"] = other.groupby("spot").cumcount() + 1
    verdict = compare(CELLS, write_parquet, cells, other)
    assert verdict.status == "within tolerance"
    assert "missing" not in verdict.detail


# ---------------------------------------------------------------- label images

FRAME = SpotFrame(
    slide="S01",
    rows=2,
    cols=3,
    spots=tuple(f"{row}{col}" for row in "AB" for col in (1, 2, 3)),
    x=(50, 150, 250) * 2,
    y=(50,) * 3 + (150,) * 3,
    angle=0.5,
    width=60,
    height=60,
    shape="square",
    found=(True,) * 6,
)


def write_labels(path: Path, labels: np.ndarray, **facts: Any) -> None:
    with LabelWriter(path, FRAME, labels.shape, asdict(FRAME) | facts) as writer:
        writer.write(0, labels)


def labels_of_squares() -> np.ndarray:
    """Thirty-six squares of 7 by 7 pixels in each of six spots."""
    cell = np.pad(np.ones((7, 7), int), ((0, 3), (0, 3)))
    numbers = np.arange(1, 37).reshape(6, 6)
    return np.repeat(np.kron(numbers, cell)[None], 6, axis=0).astype(np.uint32)


@quick
@given(st.integers(0, 2**32 - 1), st.integers(0, 5))
def test_objects_may_have_any_numbers(compare, seed, spot):
    labels = labels_of_squares()
    other = labels.copy()
    numbers = np.random.default_rng(seed).permutation(36) + 1
    other[spot] = np.concatenate([[0], numbers])[other[spot]]
    verdict = compare(LABELS, write_labels, labels, other)
    assert verdict.status in ("within tolerance", "identical")
    assert "the same objects, numbered" in verdict.detail or (numbers == range(1, 37)).all()


def test_emptied_spot_is_named(compare):
    other = labels_of_squares()
    other[4] = 0
    verdict = compare(LABELS, write_labels, labels_of_squares(), other)
    assert verdict.status == "different"
    assert verdict.detail.startswith(
        "1 of 6 spots differ, most B2 (0 of 36 objects matched); 180 of 216 objects matched, "
    )


def test_emptied_spot_does_not_drown_in_a_large_slide(compare):
    """Though 99 % of all objects are matched."""
    labels = np.concatenate([labels_of_squares(), labels_of_squares()], axis=2)
    sparse = labels.copy()
    sparse[0][sparse[0] > 3] = 0
    other = sparse.copy()
    other[0] = 0
    assert compare(LABELS, write_labels, sparse, other).status == "different"


def test_a_few_pixels_more_are_within_tolerance(compare):
    other = labels_of_squares()
    other[1, 7, :5] = 1
    other[2, 7, :2] = 1
    verdict = compare(LABELS, write_labels, labels_of_squares(), other)
    assert verdict.status == "within tolerance"
    assert verdict.detail.startswith(
        "2 of 6 spots differ, most A2 (mean IoU 0.997), A3 (mean IoU 0.999); 216 of 216 objects"
    )


def test_outlines_that_are_wider_everywhere_differ(compare):
    labels = labels_of_squares()
    wider = np.maximum(labels, np.roll(labels, 1, axis=1))
    verdict = compare(LABELS, write_labels, labels, wider)
    assert verdict.status == "different"
    assert "216 of 216 objects matched, mean IoU 0.875" in verdict.detail


def test_label_images_of_other_spots_differ(compare):
    labels = labels_of_squares()
    verdict = compare(LABELS, write_labels, labels, labels[:, :-2])
    assert verdict.detail == "spots and pixels: 6 x 58 x 60 instead of 6 x 60 x 60"


@pytest.mark.parametrize(
    ("x", "status"), [(50.05, "within tolerance"), (51.0, "different")], ids=["near", "far"]
)
def test_frame_of_label_images_counts(compare, x, status):
    def write(path: Path, first: float) -> None:
        write_labels(path, labels_of_squares(), x=[first, *FRAME.x[1:]])

    verdict = compare(LABELS, write, 50.0, x)
    assert verdict.status == status
    assert f"x.0: {x:g} instead of 50" in verdict.detail


def test_broken_label_image_is_told(compare):
    def write(path: Path, size: int) -> None:
        write_labels(path, labels_of_squares())
        shard = path / "labels/c/0/0/0"
        shard.write_bytes(shard.read_bytes()[:size])

    verdict = compare(LABELS, write, None, 100)
    assert verdict.status == "different"
    assert verdict.detail.startswith("the recomputed one cannot be read: ")


def test_other_zarr_directories_name_the_files(compare):
    def write(path: Path, x: float) -> None:
        zarr.open_group(path, mode="w").create_group("spots")
        table = pd.DataFrame({"FieldIndex": ["A1", "A2"], "x_micrometer": [100.0, x]})
        write_csv(path / "spots/table.csv", table)
        (path / ".snakemake_timestamp").write_text(str(x))
        if x < 0:
            (path / "chunk").write_bytes(b"x")

    name = "results/S01/tables.zarr"
    assert compare(name, write, 200.0, 200.0).status == "identical"
    near = compare(name, write, 200.0, 200.1)
    assert near == Verdict(
        name, "within tolerance", "spots/table.csv: x_micrometer by up to 0.1"
    )  # fmt: skip
    far = compare(name, write, 200.0, 205.0)
    assert far.status == "different"
    assert far.detail.startswith("spots/table.csv: x_micrometer: 1 of 2 rows differs, at A2: 205")
    assert compare(name, write, 200.0, -1.0).detail == "1 file extra: chunk"


# ---------------------------------------------------------------- JSON

GRID = {
    "rows": 8,
    "confidence": 0.99,
    "pitch": {"x": 160.1, "y": 160.3},
    "angle": 1.19,
    "carrier": None,
    "alternatives": [],
}


@pytest.mark.parametrize(
    ("change", "status", "detail"),
    [
        ({"pitch": {"x": 160.15, "y": 160.3}}, "within tolerance", "160.15 instead of 160.1"),
        ({"pitch": {"x": 160.25, "y": 160.3}}, "different", "pitch.x: 160.25 instead of 160.1"),
        ({"angle": 1.195}, "within tolerance", "angle: 1.195 instead of 1.19"),
        ({"angle": 1.21}, "different", "angle: 1.21 instead of 1.19"),
        ({"confidence": 0.985}, "within tolerance", "confidence: 0.985 instead of 0.99"),
        ({"rows": 9}, "different", "rows: 9 instead of 8"),
        ({"rows": "8"}, "different", "rows: '8' instead of 8"),
        ({"rows": True}, "different", "rows: True instead of 8"),
        ({"carrier": "slide"}, "different", "carrier: slide instead of nothing"),
        ({"alternatives": [{"score": 1.0}]}, "different", "1 key extra: alternatives.0.score"),
        ({"more": 1}, "different", "1 key extra: more"),
        ({"two\nlines": 1}, "different", "1 key extra: two lines"),
    ],
)
def test_json_is_compared_by_keys(compare, change, status, detail):
    verdict = compare("results/S01/grid.json", write_json, GRID, GRID | change)
    assert verdict.status == status
    assert detail in verdict.detail


def test_json_elsewhere_has_rounding_only(compare):
    name = "results/S01/facts.json"
    assert compare(name, write_json, {"a": 1.0}, {"a": 1 + 1e-7}).status == "within tolerance"
    assert compare(name, write_json, {"a": 1.0}, {"a": 1 + 1e-5}).status == "different"
    same = compare(name, Path.write_text, '{"a": 1}', '{ "a": 1 }')
    assert same == Verdict(name, "within tolerance", "the same values, written otherwise")


def test_outlines_may_move_by_a_tenth_of_a_pixel(compare):
    def outline(x: float, name: str = "A1") -> dict[str, Any]:
        geometry = {"type": "Polygon", "coordinates": [[[x, 1.0], [2.0, 3.0], [x, 1.0]]]}
        return {"features": [{"geometry": geometry, "properties": {"name": name}}]}

    name = "results/S01/grid.geojson"
    assert compare(name, write_json, outline(5.0), outline(5.1)).status == "within tolerance"
    far = compare(name, write_json, outline(5.0), outline(5.2))
    assert far.status == "different"
    assert far.detail.startswith("features.0.geometry.coordinates.0.0.0: 5.2 instead of 5")
    assert compare(name, write_json, outline(5.0), outline(5.0, "A2")).status == "different"


def test_version_of_raw_images_is_what_they_are(compare):
    def version(commit: str | None, sha256: str) -> dict[str, Any]:
        return {"commit": commit, "files": [{"name": "a.tif", "key": commit, "sha256": sha256}]}

    name = "results/S01/version.json"
    assert compare(name, write_json, version("a", "1"), version(None, "1")).status != "different"
    assert compare(name, write_json, version("a", "1"), version("a", "2")).status == "different"


@quick
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_json_written_otherwise_is_the_same(compare, data):
    texts = [json.dumps(data), json.dumps(data, indent=1, ensure_ascii=False) + "\n"]
    verdict = compare("results/S01/x.json", lambda path, text: path.write_text(text), *texts)
    assert verdict.status == "within tolerance"
    assert verdict.detail == "the same values, written otherwise"


# ---------------------------------------------------------------- pictures, networks, others


def write_picture(path: Path, image: np.ndarray) -> None:
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())


def test_pictures_may_differ_in_few_pixels(compare):
    name = "results/S01/grid.png"
    image = np.full((100, 100, 3), 100, np.uint8)
    near, few, many = image + 8, image.copy(), image.copy()
    few[0, :99] = 200
    many[0, :] = 200
    for other, status in ((near, "within tolerance"), (few, "within tolerance")):
        assert compare(name, write_picture, image, other).status == status
    verdict = compare(name, write_picture, image, many)
    assert verdict.status == "different"
    assert verdict.detail == "1 % of the pixels differ by more than 8 levels, at most by 100"
    sizes = compare(name, write_picture, image, image[:50])
    assert sizes.detail == "50 x 100 x 3 uint8 instead of 100 x 100 x 3 uint8"


def test_networks_name_the_tensor_that_differs_most(compare):
    def write(path: Path, b: Any) -> None:
        tensors = {"a": np.ones(3, np.float32), "b": np.asarray(b, np.float32)}
        save_file(tensors, path, metadata={"b": str(b)})

    name = "models/nuclei.safetensors"
    verdict = compare(name, write, [1, 2, 3], [1, 2, 3.5])
    assert verdict == Verdict(
        name, "different", "1 of 2 tensors differ, most b: by up to 0.5"
    )  # fmt: skip
    assert "in shape" in compare(name, write, [1, 2, 3], [1, 2]).detail
    assert "metadata" in compare(name, write, [1, 2], [1.0, 2.0]).detail


def test_sizes_of_other_files_are_told(compare):
    verdict = compare("results/methods.md", Path.write_text, "some", "other")
    assert verdict.detail == "5 bytes instead of 4"
    verdict = compare("results/methods.md", Path.write_text, "some", "tome")
    assert verdict.detail == "4 bytes both, but not the same"


@pytest.mark.parametrize(
    "name",
    [
        SPOTS,
        CELLS,
        LABELS,
        PAGE,
        "results/S01/tables.zarr",
        "results/S01/grid.json",
        "results/S01/grid.png",
        "results/S01/spots.csv.provenance.json",
        "models/nuclei.safetensors",
    ],
)
def test_broken_files_are_told_not_raised(compare, name):
    broken = [b"\xff\x00\xfe", b"\xfe\x00\xff\x00"]
    verdict = compare(name, Path.write_bytes, *broken)
    assert verdict.status == "different"
    assert verdict.detail.startswith("the published one cannot be read: ")


@quick
@given(st.data())
def test_flipped_byte_never_raises_nor_is_identical(compare, data):
    good = spots_table().iloc[:3].to_csv(index=False).encode()
    at = data.draw(st.integers(0, len(good) - 1))
    flipped = good[:at] + bytes([good[at] ^ data.draw(st.integers(1, 255))]) + good[at + 1 :]
    assert compare(SPOTS, Path.write_bytes, good, flipped).status != "identical"


def test_flipped_byte_of_parquet(compare, tmp_path):
    write_parquet(tmp_path / "cells.parquet", cells_table())
    good = (tmp_path / "cells.parquet").read_bytes()
    for at in range(0, len(good), 499):
        flipped = good[:at] + bytes([good[at] ^ 255]) + good[at + 1 :]
        assert compare(CELLS, Path.write_bytes, good, flipped).status != "identical"


# ---------------------------------------------------------------- pages


def page(text: str, making: dict[str, Any] | None = None) -> str:
    shown = json.dumps(making)
    end = (
        f'<script type="application/json" id="provenance">{shown}</script>\n'
        f'<footer id="provenance-shown">\n<p>{shown}</p>\n</footer>'
    )
    return f"<h1>S01</h1>\n<p>{text}</p>\n{end if making else ''}</html>\n"


def test_lines_of_pages_are_counted(compare):
    verdict = compare(PAGE, Path.write_text, page("a"), page("b"))
    assert verdict == Verdict(PAGE, "different", "1 of 4 lines differ")
    verdict = compare(PAGE, Path.write_text, "a\nb\n", "b\na\n")
    assert verdict == Verdict(PAGE, "different", "lines stand in another order")


@pytest.mark.parametrize(
    ("tables", "status", "detail"),
    [
        (["identical", "identical"], "different", "lines differ"),
        (["identical", "within tolerance"], "within tolerance", "shows tables that are within t"),
        (["within tolerance", "different"], "different", "shows what differs above"),
        (["within tolerance", "missing"], "different", "shows what differs above"),
    ],
)
@pytest.mark.parametrize("drawn", ["report.html", "grid.png"])
def test_pages_are_judged_by_what_they_show(tables, status, detail, drawn):
    verdicts = [
        Verdict("results/S01/spots.csv", tables[0], ""),
        Verdict("results/S01/instances/nuclei.parquet", tables[1], ""),
        Verdict("results/S02/spots.csv", "different", ""),
        Verdict("results/S010/spots.csv", "different", ""),
        Verdict("results/S01/other.html", "different", "lines differ"),
        Verdict(f"results/S01/{drawn}", "different", "lines differ"),
    ]
    *others, judged = judge_pages(verdicts)
    assert others[:4] == verdicts[:4]
    assert judged.path == verdicts[-1].path
    assert judged.status == status
    assert judged.detail.startswith(detail)


def test_page_of_the_screen_shows_the_screen():
    verdicts = [
        Verdict("results/S01/spots.csv", "different", ""),
        Verdict("results/screen/agents.csv", "within tolerance", ""),
        Verdict("results/screen/report.html", "different", ""),
    ]
    assert judge_pages(verdicts)[-1].status == "within tolerance"


# ---------------------------------------------------------------- provenance

MAKING = {
    "format": "gridwell-provenance/1",
    "slides": {"S01": {"raw": {"a.tif": "11", "b.tif": "22"}}},
    "code": {"commit": "9f8e7d6" + 33 * "0", "hash": "aaaabbbbccccdddd"},
    "models": {"nuclei": "44"},
    "config": "55",
    "device": ["NVIDIA H200"],
}
CODE = {"commit": "a1b2c3d" + 33 * "0" + "+changes", "hash": "eeeeffff00001111"}
CHANGES = {
    "code": ({"code": CODE}, "with other code (commit a1b2c3d+changes instead of 9f8e7d6)"),
    "hash": (
        {"code": MAKING["code"] | {"hash": "eeeeffff00001111"}},
        "with other code (hash eeeefff instead of aaaabbb)",
    ),
    "commit": (
        {"code": MAKING["code"] | {"commit": None}},
        "with the same code (commit none instead of 9f8e7d6)",
    ),
    "config": ({"config": "66"}, "with other configuration"),
    "model": ({"models": {"nuclei": "77"}}, "with other model nuclei"),
    "device": ({"device": ["cpu"]}, "on another device (cpu instead of NVIDIA H200)"),
    "device as text": ({"device": "cpu"}, "on another device (cpu instead of NVIDIA H200)"),
    "raw": (
        {"slides": {"S01": {"raw": {"a.tif": "11", "b.tif": "33"}}}},
        "from other raw images (S01/b.tif)",
    ),
    "slide": ({"slides": {}}, "from other raw images (S01/a.tif, S01/b.tif)"),
}
by_change = pytest.mark.parametrize(("change", "words"), CHANGES.values(), ids=CHANGES)


@by_change
def test_same_values_made_otherwise(compare, change, words):
    def write(path: Path, making: dict[str, Any]) -> None:
        write_parquet(path, cells_table(), making)

    status = "different" if "slides" in change else "within tolerance"
    expected = Verdict(CELLS, status, f"the same values; made {words}")
    assert compare(CELLS, write, MAKING, MAKING | change) == expected
    pages = [page("a", making) for making in (MAKING, MAKING | change)]
    expected = Verdict(PAGE, status, f"the same page; made {words}")
    assert compare(PAGE, Path.write_text, *pages) == expected


@by_change
@pytest.mark.parametrize(
    "name", ["results/S01/spots.csv.provenance.json", "results/screen/provenance.json"]
)
def test_side_files_tell_what_was_made_otherwise(compare, change, words, name):
    harmless = change.keys() <= {"code", "device"}
    status = "within tolerance" if harmless else "different"
    verdict = compare(name, write_json, MAKING, MAKING | change)
    assert verdict == Verdict(name, status, f"made {words}")


def test_side_file_written_otherwise(compare):
    name = "results/screen/provenance.json"
    verdict = compare(name, Path.write_text, json.dumps(MAKING), json.dumps(MAKING, indent=2))
    assert verdict.status == "within tolerance"


def test_values_decide_and_the_making_is_added(compare):
    def write(path: Path, live: bool) -> None:
        table = cells_table()
        making = MAKING if live else MAKING | {"code": CODE, "device": ["cpu"]}
        write_parquet(path, table if live else table.assign(state="dead"), making)

    verdict = compare(CELLS, write, True, False)
    assert verdict.status == "different"
    assert verdict.detail.startswith("state: 857 of 1000 rows differ")
    assert verdict.detail.endswith(
        "; made with other code (commit a1b2c3d+changes instead of 9f8e7d6), "
        "on another device (cpu instead of NVIDIA H200)"
    )


def test_making_that_only_one_tells(compare):
    def write(path: Path, making: dict[str, Any] | None) -> None:
        write_parquet(path, cells_table(), making)

    verdict = compare(CELLS, write, None, MAKING)
    assert verdict.status == "within tolerance"
    assert verdict.detail == "the same values; made from what only the recomputed one says"


# ---------------------------------------------------------------- tolerances


@quick
@given(st.floats(), st.floats(allow_infinity=False, allow_nan=False), st.sampled_from(TOLERANCES))
def test_numbers_equal_themselves_and_distance_counts(a, b, rule):
    numbers = np.array([a, b])
    gap, times = rule.measure(numbers, numbers)
    assert not gap.any()
    assert not times.any()
    gap, times = rule.measure(numbers, np.array([b, np.nan]))
    assert np.isinf(times[1])
    assert not np.isnan(times).any()


@pytest.mark.parametrize(
    ("table", "path"),
    [
        ("cells.parquet", CELLS),
        ("instances/<channel>.parquet", "results/S01/instances/nuclei.parquet"),
        ("grid.csv", "results/S01/grid.csv"),
        ("spots.csv (viability)", SPOTS),
        ("spots.csv (colorimetry)", SPOTS),
        ("screen/dose_response.csv", "results/screen/dose_response.csv"),
    ],
)
def test_every_measured_column_has_more_than_rounding(table, path):
    exact = {"col", "n_spots", "n_doses", "n_slides", "time_h"}
    texts = {"slide", "spot", "row", "flags", "found", "state", "ambiguous", "unit", "method"}
    for column in COLUMNS[table].keys() - exact - texts:
        assert tolerance_of(path, column).relative != 1e-6, column


def test_committed_page_of_tolerances_is_up_to_date(repository):
    page = repository / "docs/tolerances.md"
    assert page.read_text(encoding="utf-8") == tolerances_md(), "run: make docs"


def test_described_tolerances_make_a_table():
    rows = described()
    assert all(text for row in rows for text in row)
    lines = [line for line in tolerances_md().splitlines() if line.startswith("|")]
    assert len(lines) == len(rows) + 2
    assert {line.count(" | ") for line in lines} == {2}
    assert "| `viability*` of `*/spots.csv` | 0.025 |" in tolerances_md()

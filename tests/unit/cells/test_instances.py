"""A channel's objects: on the slide, in order, whatever the number of processes."""

from __future__ import annotations

from pathlib import Path

import gridwell.cells.instances as module
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from gridwell.cells.instances import segment_channel
from gridwell.cells.objects import summarise_objects
from gridwell.config.columns import column_names
from gridwell.config.errors import InputError
from gridwell.config.models import SegmentMethod, SegmentOptions
from gridwell.config.weights import weights_of
from gridwell.images.labels import open_labels
from gridwell.images.spots import open_spots
from gridwell.network.cells import facts_of
from gridwell.network.weights import load_network, save_network
from scipy.spatial import cKDTree

from tests.unit.cells.simulate import Scene, draw

SCENE = Scene(rows=2, cols=3, cells=30, angle=4.0, empty=(4,))


def segment(folder: Path, channel: str = "nuclei", threads: int = 1, name: str = "") -> Path:
    out = folder / f"{channel}{name}.parquet"
    segment_channel(
        folder / "spots.zarr",
        channel,
        labels_out=folder / f"{channel}{name}.zarr",
        instances_out=out,
        options=SegmentOptions(
            default=SegmentMethod(method="local"), channels={"dead": SegmentMethod(method="none")}
        ),
        threads=threads,
    )
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slide")
    draw(SCENE, folder / "spots.zarr").to_parquet(folder / "truth.parquet")
    segment(folder)
    return folder


def test_cells_are_found_where_they_are_on_the_slide(folder: Path) -> None:
    table = pd.read_parquet(folder / "nuclei.parquet")
    truth = pd.read_parquet(folder / "truth.parquet")
    other = ["mean_live", "ring_live", "mean_dead", "ring_dead"]
    assert list(table.columns) == [*column_names("instances/<channel>.parquet"), *other]
    assert table["label"].dtype == np.int64
    assert table["edge"].dtype == bool
    assert abs(len(table) - len(truth)) <= 3
    for spot, found in table.groupby("spot"):
        true = truth[truth["spot"] == spot]
        away, _ = cKDTree(true[["x", "y"]]).query(found[["x", "y"]])
        assert np.median(away) < 0.3
        assert found["label"].tolist() == list(range(1, len(found) + 1))


def test_labels_and_table_agree(folder: Path) -> None:
    table = pd.read_parquet(folder / "nuclei.parquet")
    labels = open_labels(folder / "nuclei.zarr")
    stack = open_spots(folder / "spots.zarr")
    assert labels.shape == stack.shape("nuclei")
    assert labels.attributes["failed"] == {}
    for at, spot in enumerate(stack.names):
        rows = table[table["spot"] == spot]
        areas = np.bincount(labels.read(at, at + 1).ravel())[1:]
        assert areas.tolist() == rows["area"].tolist()


def test_directions_are_those_of_the_slide(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def bar(image: np.ndarray, *_: object, **__: object) -> np.ndarray:
        labels = np.zeros(image.shape, np.uint32)
        labels[100:104, 80:130] = 1
        return labels

    monkeypatch.setattr(module, "segment_spot", bar)
    table = pd.read_parquet(segment(folder, name="-bar"))
    assert table["orientation"].to_numpy() == pytest.approx(SCENE.angle, abs=1e-6)


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_number_of_processes(folder: Path) -> None:
    segment(folder, threads=2, name="-two")
    one, two = (folder / f"nuclei{name}.parquet" for name in ("", "-two"))
    assert one.read_bytes() == two.read_bytes()
    stores = [folder / f"nuclei{name}.zarr" for name in ("", "-two")]
    files = [sorted(p.relative_to(s) for p in s.rglob("*") if p.is_file()) for s in stores]
    assert files[0] == files[1]
    assert all((stores[0] / f).read_bytes() == (stores[1] / f).read_bytes() for f in files[0])


def test_a_spot_that_fails_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    draw(SCENE, tmp_path / "spots.zarr")
    honest, calls = module.segment_spot, []

    def fails_once(image: np.ndarray, *args: object, **options: object) -> np.ndarray:
        calls.append(1)
        if len(calls) == 2:
            raise FloatingPointError("no such luck")
        return honest(image, *args, **options)

    monkeypatch.setattr(module, "segment_spot", fails_once)
    table = pd.read_parquet(segment(tmp_path))
    assert set(table["spot"]) == {"A1", "A3", "B1", "B3"}
    labels = open_labels(tmp_path / "nuclei.zarr")
    assert labels.attributes["failed"] == {"A2": "FloatingPointError: no such luck"}
    assert labels.read(1, 2).max() == 0
    assert "A2" in caplog.text
    summarise_objects(
        tmp_path / "spots.zarr",
        {"nuclei": tmp_path / "nuclei.parquet"},
        {"nuclei": tmp_path / "nuclei.zarr"},
        spots_out=tmp_path / "spots.csv",
        min_cells=10,
    )
    spots = pd.read_csv(tmp_path / "spots.csv").set_index("spot")
    assert spots["flags"].fillna("").to_dict() == {
        "A1": "", "A2": "failed", "A3": "", "B1": "", "B2": "empty", "B3": "",
    }  # fmt: skip
    assert spots["n_nuclei"].isna().tolist() == [False, True, False, False, False, False]
    assert spots.loc["B2", "n_nuclei"] == 0


def test_a_spot_that_cannot_be_read_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(SCENE, tmp_path / "spots.zarr")
    read = module.SpotStack.read

    def damaged(stack: module.SpotStack, channel: str, start: int, stop: int) -> np.ndarray:
        if channel == "live" and start <= 1 < stop:
            raise OSError("damaged")
        return read(stack, channel, start, stop)

    monkeypatch.setattr(module.SpotStack, "read", damaged)
    table = pd.read_parquet(segment(tmp_path))
    assert set(table["spot"]) == {"A1", "A3", "B1", "B3"}
    labels = open_labels(tmp_path / "nuclei.zarr")
    assert labels.attributes["failed"] == {"A2": "OSError: damaged"}


def test_large_spots_are_read_one_by_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = segment(folder).read_bytes()
    monkeypatch.setattr(module, "_READ", 1)
    assert segment(folder, name="-single").read_bytes() == together


def test_tables_have_row_groups_of_whole_rows_of_spots(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_GROUP", 1)
    path = segment(folder, name="-groups")
    file = pq.ParquetFile(path)
    groups = [file.read_row_group(at).to_pandas()["spot"] for at in range(file.num_row_groups)]
    assert [set(spots.str[0]) for spots in groups] == [{"A"}, {"B"}]
    pd.testing.assert_frame_equal(pd.read_parquet(path), pd.read_parquet(segment(folder)))


def test_a_channel_that_is_not_segmented_has_a_table_without_rows(folder: Path) -> None:
    table = pd.read_parquet(segment(folder, "dead"))
    assert len(table) == 0
    first = column_names("instances/<channel>.parquet")
    assert list(table.columns[: len(first)]) == first


def test_counts_of_objects(folder: Path) -> None:
    for channel in ("live", "nuclei"):
        segment(folder, channel)
    paths = {
        kind: {name: folder / f"{name}.{kind}" for name in ("live", "nuclei")}
        for kind in ("parquet", "zarr")
    }
    summarise_objects(
        folder / "spots.zarr",
        paths["parquet"],
        paths["zarr"],
        spots_out=folder / "spots.csv",
        min_cells=20,
    )
    spots = pd.read_csv(folder / "spots.csv")
    head = ["slide", "spot", "row", "col", "x", "y", "n_nuclei", "n_live", "flags"]
    assert list(spots.columns) == head
    for channel in ("live", "nuclei"):
        table = pd.read_parquet(paths["parquet"][channel])
        assert spots[f"n_{channel}"].sum() == len(table)
    assert spots["flags"].fillna("").tolist() == ["", "", "", "", "empty", ""]


NETWORK = SegmentOptions(default=SegmentMethod(method="network"))


def by_network(folder: Path, name: str, threads: int) -> tuple[np.ndarray, pd.DataFrame]:
    out = folder / f"{name}.parquet"
    segment_channel(
        folder / "spots.zarr",
        "nuclei",
        labels_out=folder / f"{name}.zarr",
        instances_out=out,
        options=NETWORK,
        threads=threads,
        gpu="forbid",
    )
    return open_labels(folder / f"{name}.zarr").read(0, 6), pd.read_parquet(out)


def test_a_network_finds_the_cells_whatever_the_number_of_processes(folder: Path) -> None:
    labels, table = by_network(folder, "one", 1)
    again, same = by_network(folder, "two", 2)
    np.testing.assert_array_equal(labels, again)
    pd.testing.assert_frame_equal(table, same)
    truth = pd.read_parquet(folder / "truth.parquet")
    assert abs(len(table) - len(truth)) <= 0.05 * len(truth)
    away, _ = cKDTree(truth[["x", "y"]]).query(table[["x", "y"]])
    assert np.median(away) < 0.6
    assert labels[4].max() == 0  # the empty spot


@pytest.mark.parametrize("threads", [1, 2])
def test_a_network_that_cannot_compute_so_stops_the_slide(
    folder: Path, tmp_path: Path, threads: int
) -> None:
    known = weights_of("nuclei")
    facts = {name: facts_of(known)[name] for name in ("kind", "instance", "classes")}
    save_network(tmp_path / "models/own.safetensors", load_network(known), facts)
    # Where the diameter is told, only those that segment compute with the network.
    own = SegmentMethod(method="network", weights="models/own", diameter=12)
    with pytest.raises(InputError, match="trained without ranges"):
        segment_channel(
            folder / "spots.zarr",
            "nuclei",
            labels_out=tmp_path / "nuclei.zarr",
            instances_out=tmp_path / "nuclei.parquet",
            options=SegmentOptions(default=own),
            threads=threads,
            gpu="forbid",
            precision="int8",
            study=tmp_path,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_behind_a_gpu_the_same_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Maps of a row of spots in one batch, floods of the row before in other processes.
    labels, _ = by_network(folder, "one", 1)
    monkeypatch.setattr(module.LearnedMethod, "on_gpu", True)
    for threads in (1, 2):
        batched, _ = by_network(folder, f"gpu{threads}", threads)
        assert (batched != labels).mean() < 1e-3
        assert batched.max() == labels.max()

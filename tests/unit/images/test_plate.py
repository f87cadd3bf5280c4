"""The plate: valid OME-Zarr of both versions, opened by ome-zarr-py, with the pixels we cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import ome_zarr_models
import pytest
import zarr
from gridwell.images.labels import LabelWriter
from gridwell.images.plate import export_plate
from gridwell.images.spots import SpotStack, crop_spots, open_spots
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader

from tests.unit.images.make_images import frame, noise, tiled_slide, tree_hash


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> SpotStack:
    folder = tmp_path_factory.mktemp("plate")
    slide = tiled_slide(
        folder, noise(300, 400), noise(300, 400, "uint8"), noise(300, 400, "uint8", 3)
    )
    crop_spots(
        slide, folder / "spots.zarr", grid=frame(2, 3, pixel_size_um=2.0), margin=0.1, threads=1
    )
    return open_spots(folder / "spots.zarr")


@pytest.fixture(scope="module")
def labels(stack: SpotStack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    paths = {}
    for i, name in enumerate(("nuclei", "live")):
        paths[name] = tmp_path_factory.mktemp("labels") / f"{name}.zarr"
        crops = (stack.read("nuclei", 0, 6) % (3 + i)).astype(np.uint32)
        with LabelWriter(paths[name], stack.frame, crops.shape, stack.attributes) as writer:
            writer.write(0, crops)
    return paths


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_plate_is_valid_and_whole(
    tmp_path: Path, stack: SpotStack, labels: dict[str, Path], version: Any
) -> None:
    out = tmp_path / "plate.zarr"
    export_plate(stack.path, labels, out, version)
    group = zarr.open_group(out, mode="r")
    plate = ome_zarr_models.open_ome_zarr(group)
    assert type(plate).__name__ == "HCS"
    assert plate.ome_zarr_version == version
    wells = list(plate.well_groups)
    assert len(wells) == 6

    well = ome_zarr_models.open_ome_zarr(zarr.open_group(out / "B" / "3", mode="r"))
    assert type(well).__name__ == "Well"
    image = ome_zarr_models.open_ome_zarr(zarr.open_group(out / "B" / "3" / "0", mode="r"))
    assert type(image).__name__ == "Image"
    assert image.labels is not None
    for name in labels:
        label = zarr.open_group(out / "B" / "3" / "0" / "labels" / name, mode="r")
        model = ome_zarr_models.open_ome_zarr(label)
        assert type(model).__name__ == "ImageLabel"
        assert sorted(label.array_keys()) == ["0", "1"]

    field = zarr.open_group(out / "B" / "3" / "0", mode="r")
    pixels = np.asarray(field["0"])
    assert pixels.dtype == np.uint16  # of the deepest channel
    assert pixels.shape == (5, *stack.frame.crop)
    np.testing.assert_array_equal(pixels[0], stack.read("nuclei", 5, 6)[0])
    np.testing.assert_array_equal(pixels[1], stack.read("live", 5, 6)[0])
    np.testing.assert_array_equal(pixels[2:].transpose(1, 2, 0), stack.read("scan", 5, 6)[0])
    mask = np.asarray(zarr.open_group(out / "A" / "2" / "0" / "labels" / "live", mode="r")["0"])
    np.testing.assert_array_equal(mask, stack.read("nuclei", 1, 2)[0] % 4)


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_ome_zarr_py_opens_plate_and_well(
    tmp_path: Path, stack: SpotStack, labels: dict[str, Path], version: Any
) -> None:
    out = tmp_path / "plate.zarr"
    export_plate(stack.path, labels, out, version)
    location = parse_url(out)
    assert location is not None
    h, w = stack.frame.crop
    node = next(iter(Reader(location)()))
    assert node.data[0].shape == (5, 2 * h, 3 * w)
    whole = np.asarray(node.data[0])
    np.testing.assert_array_equal(whole[0, h:, 2 * w :], stack.read("nuclei", 5, 6)[0])
    field = parse_url(out / "A" / "1" / "0")
    assert field is not None
    nodes = list(Reader(field)())
    shapes = [tuple(node.data[0].shape) for node in nodes if node.data]
    assert shapes == [(5, h, w), (h, w), (h, w)]
    assert nodes[0].metadata["channel_names"][:3] == ["nuclei", "live", "scan red"]


def test_same_bytes_and_no_labels(tmp_path: Path, stack: SpotStack) -> None:
    export_plate(stack.path, {}, tmp_path / "a.zarr")
    export_plate(stack.path, {}, tmp_path / "b.zarr")
    assert tree_hash(tmp_path / "a.zarr") == tree_hash(tmp_path / "b.zarr")
    assert not list((tmp_path / "a.zarr").rglob("labels"))

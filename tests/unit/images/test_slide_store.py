"""slide.zarr: levels, versions, bytes, and nothing where a job was killed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from gridwell.config.errors import InputError
from gridwell.config.models import TileOptions
from gridwell.images.slide import open_slide, write_slide
from gridwell.images.stores import halve
from numpy.typing import NDArray

from tests.unit.images.make_images import channel, ingest, noise, tiled_slide, tree_hash

H, W = 1203, 1317


def halved(image: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Mean of 2 x 2 pixels in integers, half rounded up; odd rims repeated."""
    wide = np.pad(image, [(0, s % 2) for s in image.shape], mode="edge").astype(np.uint32)
    total = wide[::2, ::2] + wide[1::2, ::2] + wide[::2, 1::2] + wide[1::2, 1::2]
    return ((total + 2) // 4).astype(image.dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("shape", [(64, 64), (37, 51), (1, 1), (1, 9), (8, 3)])
def test_halving_rounds_half_up(shape: tuple[int, int], dtype: str) -> None:
    for image in (noise(*shape, dtype), noise(*shape, dtype) % 4, noise(*shape, dtype) | 0xFC):
        np.testing.assert_array_equal(halve(image), halved(image))


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_levels_hold_the_slide(tmp_path: Path, version: str) -> None:
    gray, scan = noise(H, W), noise(H, W, "uint8", 3)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, gray, tile=(96, 112), compression="zlib")
    tifffile.imwrite(tmp_path / "scan.tif", scan, photometric="rgb", rowsperstrip=5)
    ingest(
        tmp_path,
        channel("scan", tmp_path / "scan.tif", role="colour"),
        channel("nuclei", path, pixel_size_um=2.0),
    )
    write_slide(
        tmp_path / "raw" / "S1", tmp_path / "s.zarr", TileOptions(chunk=64, ngff_version=version)
    )
    slide = open_slide(tmp_path / "s.zarr")
    assert slide.shape == (4, H, W)
    assert slide.levels == [1, 2, 4]
    assert slide.channels == ("scan", "nuclei")
    np.testing.assert_array_equal(slide.read("nuclei"), gray)
    np.testing.assert_array_equal(slide.read("scan"), scan)
    assert slide.read("scan").dtype == np.uint8  # the dtype of its file, not of the slide
    np.testing.assert_array_equal(
        slide.read("nuclei", y0=700, y1=900, x0=60, x1=70), gray[700:900, 60:70]
    )
    np.testing.assert_array_equal(slide.read("nuclei", 1), halved(gray))
    np.testing.assert_array_equal(slide.read("nuclei", 2), halved(halved(gray)))
    np.testing.assert_array_equal(slide.read("scan", 2)[..., 1], halved(halved(scan[..., 1])))
    assert [slide.level_for(s) for s in (4096, 1000, 400, 10)] == [0, 1, 2, 2]
    assert slide.info["pixel_size_um"] == 2.0
    assert slide.info["channels"][0]["planes"] == [0, 1, 2]


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_other_programs_read_it(tmp_path: Path, version: str) -> None:
    import ome_zarr_models
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    image = noise(700, 500)
    slide = tiled_slide(tmp_path, image, noise(700, 500, "uint8", 3)[..., 0], ngff_version=version)
    group = zarr.open_group(slide.path, mode="r")
    model = ome_zarr_models.open_ome_zarr(group)
    assert type(model).__name__ == "Image"
    assert model.ome_zarr_version == version
    location = parse_url(slide.path)
    assert location is not None
    node = next(iter(Reader(location)()))
    assert [tuple(level.shape) for level in node.data] == [(2, 700, 500), (2, 350, 250)]
    np.testing.assert_array_equal(np.asarray(node.data[0][0]), image)
    assert node.metadata["channel_names"] == ["nuclei", "live"]
    scale, shift = node.metadata["coordinateTransformations"][1]
    assert scale["scale"] == [1.0, 4.0, 4.0]  # 2 um pixels, halved
    assert shift["translation"] == [0.0, 1.0, 1.0]  # centre of the first 2 x 2 pixels
    assert [axis.get("unit") for axis in node.metadata["axes"]] == [None, *["micrometer"] * 2]


def test_without_a_pixel_size_there_is_no_unit(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise(300, 200))
    ingest(tmp_path, channel("nuclei", tmp_path / "a.tif"))
    write_slide(tmp_path / "raw" / "S1", tmp_path / "s.zarr", TileOptions())
    attributes = zarr.open_group(tmp_path / "s.zarr", mode="r").attrs["ome"]
    assert attributes["multiscales"][0]["axes"][1] == {"name": "y", "type": "space"}


def test_bytes_depend_on_the_pixels_alone(tmp_path: Path) -> None:
    """Tiled or striped, whatever the codec, one run or another: the same store.

    What it says of its raw file alone is another file's.
    """
    image = noise(H, W)
    hashes = set()
    for i, options in enumerate(
        ({"tile": (96, 112), "compression": "zlib"}, {"rowsperstrip": 7}, {"tile": (512, 512)})
    ):
        folder = tmp_path / str(i)
        folder.mkdir()
        tifffile.imwrite(folder / "a.tif", image, **options)
        ingest(folder, channel("nuclei", folder / "a.tif"))
        write_slide(folder / "raw" / "S1", folder / "s.zarr", TileOptions(chunk=64))
        metadata = json.loads((folder / "s.zarr" / "zarr.json").read_text())
        digest = hashlib.sha256((folder / "a.tif").read_bytes()).hexdigest()
        assert metadata["attributes"]["gridwell"].pop("raw") == {"a.tif": digest}
        (folder / "s.zarr" / "zarr.json").write_text(json.dumps(metadata))
        hashes.add(tree_hash(folder / "s.zarr"))
    assert len(hashes) == 1


def test_blank_slide_is_complete(tmp_path: Path) -> None:
    slide = tiled_slide(tmp_path, np.zeros((700, 900), np.uint16))
    assert not slide.read("nuclei").any()


def test_incomplete_stores_are_refused(tmp_path: Path) -> None:
    slide = tiled_slide(tmp_path, noise(700, 1500))
    shard = next(p for p in sorted((slide.path / "1" / "c").rglob("*")) if p.is_file())
    kept = shard.read_bytes()
    shard.unlink()
    with pytest.raises(InputError, match=r"is incomplete: \d of \d pieces .* Remove it and run"):
        open_slide(slide.path)
    shard.symlink_to("../../../../.git/annex/objects/gone")
    with pytest.raises(InputError, match="datalad get"):
        open_slide(slide.path)
    shard.unlink()
    shard.write_bytes(kept)
    open_slide(slide.path)
    with pytest.raises(InputError, match="holds no slide image"):
        open_slide(tmp_path / "nothing.zarr")
    (slide.path / "zarr.json").unlink()
    with pytest.raises(InputError, match="holds no slide image"):
        open_slide(slide.path)
    (slide.path / "zarr.json").symlink_to("../.git/annex/objects/gone")
    with pytest.raises(InputError, match="datalad get"):
        open_slide(slide.path)


def test_raw_file_must_be_the_one_of_slide_json(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise(300, 200))
    ingest(tmp_path, channel("nuclei", tmp_path / "a.tif"))
    raw = tmp_path / "raw" / "S1"
    tifffile.imwrite(raw / "a.tif", noise(300, 201))
    with pytest.raises(InputError, match=r"not the image that slide\.json describes"):
        write_slide(raw, tmp_path / "s.zarr", TileOptions())
    (raw / "a.tif").unlink()
    (raw / "a.tif").symlink_to(".git/annex/objects/gone")
    with pytest.raises(InputError, match="datalad get"):
        write_slide(raw, tmp_path / "s.zarr", TileOptions())
    (raw / "slide.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(InputError, match="gridwell-slide/1"):
        write_slide(raw, tmp_path / "s.zarr", TileOptions())
    (raw / "slide.json").unlink()
    with pytest.raises(InputError, match="is not there"):
        write_slide(raw, tmp_path / "s.zarr", TileOptions())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tif", "raw"]


def test_damaged_raw_file_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(1300, 1300), tile=(256, 256), compression="zlib")
    data = bytearray(path.read_bytes())
    data[-2000:-100] = bytes(1900)  # in the last tile, after the first bands were written
    path.write_bytes(data)
    ingest(tmp_path, channel("nuclei", path))
    with pytest.raises(InputError, match=r"a\.tif: is damaged: tile row 5"):
        write_slide(tmp_path / "raw" / "S1", tmp_path / "work" / "s.zarr", TileOptions(chunk=64))
    assert list((tmp_path / "work").iterdir()) == []


CODE = """
import sys
from pathlib import Path
from gridwell.config.models import TileOptions
from gridwell.images.slide import write_slide
write_slide(Path(sys.argv[1]), Path(sys.argv[2]), TileOptions(chunk=64))
"""


def test_a_killed_job_leaves_no_slide_and_the_next_one_is_the_same(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise(6000, 1500), tile=(256, 256), compression="zlib")
    raw, work = tmp_path / "raw" / "S1", tmp_path / "work"
    ingest(tmp_path, channel("nuclei", tmp_path / "a.tif"))
    command = [sys.executable, "-c", CODE, str(raw), str(work / "slide.zarr")]
    environment = {**os.environ, "PYTHONPATH": "scripts"}
    job = subprocess.Popen(command, env=environment)
    deadline = time.monotonic() + 60
    while job.poll() is None and time.monotonic() < deadline:
        shards = [p for p in work.rglob("*") if p.is_file() and p.name.isdigit()]
        if len(shards) >= 8:
            break
        time.sleep(0.005)
    job.send_signal(signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL  # it was in the midst of writing
    assert not (work / "slide.zarr").exists()
    assert any(work.iterdir())  # a hidden temporary, which the next run removes
    subprocess.run(command, env=environment, check=True)
    assert [p.name for p in work.iterdir()] == ["slide.zarr"]
    write_slide(raw, tmp_path / "undisturbed.zarr", TileOptions(chunk=64))
    assert tree_hash(work / "slide.zarr") == tree_hash(tmp_path / "undisturbed.zarr")
    shutil.rmtree(work)

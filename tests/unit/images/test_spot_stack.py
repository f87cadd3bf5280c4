"""Crops: where they come from, to the fraction of a pixel, and the same bytes every time."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gridwell.config.errors import InputError, Problem
from gridwell.images import spots
from gridwell.images.labels import LabelWriter, open_labels
from gridwell.images.spots import SpotFrame, crop_spots, open_spots
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.unit.images.make_images import frame, noise, tiled_slide, tree_hash


def crop(folder: Path, slide: Any, grid: SpotFrame, margin: float = 0.1, threads: int = 1) -> Any:
    out = folder / f"spots{threads}.zarr"
    crop_spots(slide, out, grid=grid, margin=margin, threads=threads)
    return open_spots(out)


def bilinear(image: NDArray[Any], x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    """Sample an image in double precision; 0 outside."""
    wide = np.pad(image.astype(float), 1)
    x, y = np.clip(x + 1, 0, wide.shape[1] - 1.001), np.clip(y + 1, 0, wide.shape[0] - 1.001)
    i, j = np.floor(y).astype(int), np.floor(x).astype(int)
    v, u = y - i, x - j
    top = wide[i, j] * (1 - u) + wide[i, j + 1] * u
    return top * (1 - v) + (wide[i + 1, j] * (1 - u) + wide[i + 1, j + 1] * u) * v


def test_spot_on_a_pixel_is_copied_bit_for_bit(tmp_path: Path) -> None:
    gray, scan = noise(400, 500), noise(400, 500, "uint8", 3)
    slide = tiled_slide(tmp_path, gray, gray // 2, scan)
    grid = frame(3, 4, pixel_size_um=2.0)
    stack = crop(tmp_path, slide, grid)
    h, w = stack.frame.crop
    assert (h, w) == (39, 49)  # 32 x 1.2 = 38.4 and 40 x 1.2 = 48, rounded up to odd
    assert stack.shape("nuclei") == (12, h, w)
    assert stack.shape("scan") == (12, h, w, 3)
    assert stack.dtype("scan") == np.uint8
    assert stack.names == grid.spots
    assert [c["channel"] for c in stack.channels] == ["nuclei", "live", "scan"]
    assert all(stack.inside)
    assert stack.raw == slide.info["raw"]
    assert list(stack.raw) == ["nuclei.tif", "live.tif", "scan.tif"]
    for i, (x, y) in enumerate(zip(grid.x, grid.y, strict=True)):
        part = np.s_[int(y) - h // 2 : int(y) + h // 2 + 1, int(x) - w // 2 : int(x) + w // 2 + 1]
        np.testing.assert_array_equal(stack.read("nuclei", i, i + 1)[0], gray[part])
        np.testing.assert_array_equal(stack.read("scan", i, i + 1)[0], scan[part])
    assert stack.frame == replace(grid, margin=0.1)


@pytest.mark.parametrize("angle", [0.0, 0.37, -8.0, 44.0])
def test_crops_are_sampled_where_the_frame_says(tmp_path: Path, angle: float) -> None:
    image = noise(700, 800)
    slide = tiled_slide(tmp_path, image)
    grid = frame(3, 5, angle=angle, origin=(330.25, 160.6), pitch=71.3)
    stack = crop(tmp_path, slide, grid)
    h, w = stack.frame.crop
    v, u = np.mgrid[0:h, 0:w].astype(float)
    for i in range(15):
        x, y = stack.frame.to_slide(i, u, v)
        expected = bilinear(image, x, y)
        error = np.abs(stack.read("nuclei", i, i + 1)[0] - expected)
        assert error.max() < 10  # of 65535, on white noise: a thousandth of a pixel is 65


@pytest.mark.parametrize("angle", [0.0, 3.3, -10.0])
def test_rotation_is_removed(tmp_path: Path, angle: float) -> None:
    """Squares drawn on a turned grid come out upright and centred in every crop."""
    grid = frame(3, 4, angle=angle, origin=(150.3, 140.8), pitch=90.0)
    yy, xx = np.mgrid[0:450, 0:520]
    image = np.zeros((450, 520), np.uint16)
    for i in range(12):
        u, v = grid.to_crop(i, xx, yy)
        h, w = grid.crop
        du, dv = np.abs(u - (w - 1) / 2), np.abs(v - (h - 1) / 2)
        # A rim of 8 pixels without kinks, which interpolation would blunt.
        soft = [
            np.sin(np.clip((s + 4 - d) / 8, 0, 1) * np.pi / 2) ** 2 for s, d in ((20, du), (16, dv))
        ]
        inside = soft[0] * soft[1]
        image = np.maximum(image, (60000 * inside).astype(np.uint16))
    stack = crop(tmp_path, tiled_slide(tmp_path, image), grid, margin=0.25)
    h, w = stack.frame.crop
    for i in range(12):
        spot = stack.read("nuclei", i, i + 1)[0].astype(float)
        rows, cols = spot.sum(1), spot.sum(0)
        assert (rows * np.arange(h)).sum() / rows.sum() == pytest.approx((h - 1) / 2, abs=0.02)
        assert (cols * np.arange(w)).sum() / cols.sum() == pytest.approx((w - 1) / 2, abs=0.02)
        # Upright: every row through the middle has the same profile.
        middle = spot[h // 2 - 10 : h // 2 + 11]
        assert np.abs(middle - middle.mean(0)).max() < 0.015 * 60000
        # Clockwise is positive, and rows are not columns: the spot is wider than high.
        assert cols.astype(bool).sum() > rows.astype(bool).sum()


def test_a1_is_top_left_and_columns_run_clockwise_of_x(tmp_path: Path) -> None:
    grid = frame(2, 2, angle=10.0)
    assert grid.y[1] > grid.y[0]  # y is down: A2 lies lower for a clockwise turn
    assert grid.x[2] < grid.x[0]
    x, y = grid.to_slide(0, (grid.crop[1] - 1) / 2 + 90, (grid.crop[0] - 1) / 2)
    assert (x, y) == pytest.approx((grid.x[1], grid.y[1]))


def test_outside_the_slide_is_zero(tmp_path: Path) -> None:
    image = noise(200, 220) | 1
    slide = tiled_slide(tmp_path, image)
    grid = frame(2, 3, origin=(5.0, 5.0), pitch=100.0)
    grid = replace(grid, x=(5.0, 105.0, 215.0, -500.0, 105.0, 105.5), y=(5.0, 50, 50, 0, 196, 99))
    stack = crop(tmp_path, slide, grid)
    h, w = stack.frame.crop
    assert stack.inside == (False, True, False, False, False, True)
    first = stack.read("nuclei", 0, 1)[0]
    assert not first[: h // 2 - 5].any()
    assert not first[:, : w // 2 - 5].any()
    np.testing.assert_array_equal(first[h // 2 - 5 :, w // 2 - 5 :], image[:25, :30])
    assert not stack.read("nuclei", 3, 4).any()
    last = stack.read("nuclei", 4, 5)[0]
    np.testing.assert_array_equal(last[: h // 2 + 4], image[196 - h // 2 :, 81:130])
    assert not last[h // 2 + 4 :].any()


def test_bytes_do_not_depend_on_processes_or_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slide = tiled_slide(tmp_path, noise(400, 500), noise(400, 500, "uint8", 3))
    grid = frame(3, 4, angle=2.0, origin=(80.4, 60.7))
    one, two = (crop(tmp_path, slide, grid, threads=n).path for n in (1, 2))
    assert tree_hash(one) == tree_hash(two)
    monkeypatch.setattr(spots, "_BLOCK_PIXELS", 5000)
    crop(tmp_path, slide, grid, threads=1)
    assert tree_hash(one) == tree_hash(two)


def test_a_tall_row_is_read_in_pieces() -> None:
    grid = frame(1, 48, angle=10.0, pitch=758.0, width=505.0, height=505.0)
    runs = list(spots._blocks(grid, 0))
    assert [i for run in runs for i in run] == list(range(48))
    assert len(runs) > 1
    for run in runs:
        points = np.concatenate([grid.corners(i) for i in run])
        assert np.prod(points.max(0) - points.min(0)) <= spots._BLOCK_PIXELS


def test_problems_survive_the_way_between_processes() -> None:
    error = InputError([Problem("a.tif", "is damaged", "Copy it again.", value=i) for i in (1, 2)])
    back = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert back.problems == error.problems
    assert str(back) == str(error)


@given(
    angle=st.floats(-45, 45),
    index=st.integers(0, 11),
    x=st.floats(-100, 600),
    y=st.floats(-100, 600),
)
def test_to_slide_and_back(angle: float, index: int, x: float, y: float) -> None:
    grid = frame(3, 4, angle=angle, origin=(431.2, 77.7), margin=0.15)
    back = grid.to_crop(index, *grid.to_slide(index, x, y))
    assert back == pytest.approx((x, y), abs=1e-9)
    matrix = grid.matrix(index)
    assert matrix @ (x, y, 1) == pytest.approx(grid.to_slide(index, x, y), abs=1e-9)


def test_mask_is_the_outline() -> None:
    square = frame(1, 1, width=40.0, height=32.0)
    mask = square.mask(39, 49)
    assert mask.sum() == 41 * 33  # pixel centres at -20…20 and -16…16
    assert mask[19, 24]
    assert not mask[0].any()
    assert square.mask(39, 49, 0.5).sum() == 21 * 17
    disc = frame(1, 1, width=200.0, height=200.0, shape="round").mask(241, 241)
    assert disc.sum() == pytest.approx(np.pi * 100**2, rel=0.01)
    assert disc[120, 20]
    assert not disc[20 + 5, 20 + 5]


def test_frame_refuses_lists_of_another_size() -> None:
    with pytest.raises(ValueError, match="found: 1 values"):
        frame(2, 2, found=[True])


def test_labels_come_back_in_the_frame_of_the_spots(tmp_path: Path) -> None:
    stack = crop(tmp_path, tiled_slide(tmp_path, noise(400, 500)), frame(3, 4))
    shape = stack.shape("nuclei")
    labels = np.arange(np.prod(shape), dtype=np.uint32).reshape(shape) * 100
    path = tmp_path / "labels.zarr"
    with LabelWriter(path, stack.frame, shape, stack.attributes) as writer:
        writer.write(4, labels[4:])
        assert not path.exists()
        writer.write(0, labels[:4])
    opened = open_labels(path)
    assert opened.shape == shape
    assert opened.frame == stack.frame
    assert opened.read(0, 12).dtype == np.uint32
    np.testing.assert_array_equal(opened.read(3, 7), labels[3:7])
    files = [p for p in path.rglob("*") if p.is_file()]
    assert len(files) == 2 + 3  # two of metadata, one a grid row


def test_labels_are_whole_or_not_there(tmp_path: Path) -> None:
    grid = frame(3, 4)
    path = tmp_path / "labels.zarr"
    block = np.zeros((4, 5, 5), np.uint32)
    with pytest.raises(RuntimeError, match="1 of 3 rows"), \
         LabelWriter(path, grid, (12, 5, 5), {}) as writer:  # fmt: skip
        writer.write(0, block)
    with pytest.raises(ValueError, match="whole grid rows"), \
         LabelWriter(path, grid, (12, 5, 5), {}) as writer:  # fmt: skip
        writer.write(2, block)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="holds no label images"):
        open_labels(path)


def test_labels_that_were_not_fetched_are_refused(tmp_path: Path) -> None:
    grid = frame(2, 2)
    path = tmp_path / "labels.zarr"
    facts = crop(tmp_path, tiled_slide(tmp_path, noise(300, 300)), grid).attributes
    with LabelWriter(path, grid, (4, 5, 5), facts) as writer:
        writer.write(0, np.zeros((4, 5, 5), np.uint32))
    shard = path / "labels" / "c" / "1" / "0" / "0"
    shard.unlink()
    with pytest.raises(InputError, match="1 of 2 pieces"):
        open_labels(path)
    shard.symlink_to("/nowhere/.git/annex/objects/key")
    with pytest.raises(InputError, match=f"datalad get {path}"):
        open_labels(path)

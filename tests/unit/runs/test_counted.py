"""The long stages count to their end, neither short of it nor beyond."""

from __future__ import annotations

from pathlib import Path

import pytest
from gridwell.images.spots import crop_spots
from gridwell.runs.progress import heard_by

from tests.unit.cells.simulate import Scene
from tests.unit.cells.test_fuse import make
from tests.unit.images.make_images import channel, frame, ingest, noise, tiled_slide


class Counter:
    """Keeps what it hears: [total, unit, done] of each count."""

    def __init__(self) -> None:
        self.counts: list[list] = []

    def begin(self, total: int, unit: str) -> None:
        self.counts.append([total, unit, 0])

    def step(self, count: int) -> None:
        self.counts[-1][2] += count


def test_ingest_tile_and_crop(tmp_path: Path) -> None:
    heard = Counter()
    with heard_by(heard):
        slide = tiled_slide(tmp_path, noise(400, 500), noise(400, 500, "uint8", 3))
        crop_spots(slide, tmp_path / "one.zarr", grid=frame(3, 4), margin=0.1, threads=1)
        crop_spots(slide, tmp_path / "two.zarr", grid=frame(3, 4), margin=0.1, threads=2)
    size = sum(path.stat().st_size for path in tmp_path.glob("*.tif"))
    # Bands of two chunks of 64 rows, of two channels.
    assert heard.counts == [
        [size, "bytes", size],
        [8, "bands of rows", 8],
        [24, "crops", 24],
        [24, "crops", 24],
    ]


def test_ingest_of_what_is_there_reads_both(tmp_path: Path) -> None:
    heard = Counter()
    slide = tiled_slide(tmp_path, noise(90, 120))
    assert slide.shape == (1, 90, 120)
    with heard_by(heard):
        ingest(tmp_path, channel("nuclei", tmp_path / "nuclei.tif", role="other"))
    size = (tmp_path / "nuclei.tif").stat().st_size
    assert heard.counts == [[2 * size, "bytes", 2 * size]]


@pytest.mark.slow
def test_segment_and_fuse(tmp_path: Path) -> None:
    heard = Counter()
    with heard_by(heard):
        make(tmp_path, Scene(rows=2, cols=3, cells=20))
    assert heard.counts == 4 * [[6, "spots", 6]]

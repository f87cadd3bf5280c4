"""Tables of cells say what they were made from, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from gridwell.cells.fuse import fuse_slide
from gridwell.cells.instances import segment_channel
from gridwell.cells.objects import summarise_objects
from gridwell.config.errors import InputError
from gridwell.config.hashes import sha256
from gridwell.config.models import FuseOptions, SegmentMethod, SegmentOptions
from gridwell.config.provenance import made, read_provenance, with_inputs
from gridwell.config.weights import weights_of

from tests.unit.cells.simulate import CHANNELS, Scene, draw

RAW = {"scene.tif": "ab" * 32}
GRID = {"grid-elements": "cd" * 32}
OWN = made({"commit": None, "hash": "1" * 64}, {"segment": {}}, GRID)
METHODS = {"nuclei": "network", "live": "local", "dead": "none"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slide")
    draw(Scene(rows=1, cols=2, cells=12), folder / "spots.zarr")
    for channel in CHANNELS:
        segment(folder, channel, OWN)
    return folder


def segment(folder: Path, channel: str, provenance: Any, name: str = "") -> Path:
    out = folder / f"{channel}{name}.parquet"
    segment_channel(
        folder / "spots.zarr",
        channel,
        labels_out=out.with_suffix(".zarr"),
        instances_out=out,
        options=SegmentOptions(
            channels={key: SegmentMethod(method=method) for key, method in METHODS.items()}
        ),
        threads=1,
        gpu="forbid",
        provenance=provenance,
    )
    return out


def paths(folder: Path, kind: str) -> dict[str, Path]:
    return {channel: folder / f"{channel}.{kind}" for channel in CHANNELS}


def test_objects_name_the_network_that_found_them(folder: Path) -> None:
    nuclei = {"nuclei": sha256(weights_of("nuclei", Path()))}
    for channel in CHANNELS:
        said = read_provenance(folder / f"{channel}.parquet")
        networks = nuclei if channel == "nuclei" else {}
        assert said == {
            **OWN,
            "slides": {"S01": {"raw": RAW}},
            "models": {**GRID, **networks},
            "device": ["cpu"],
        }
    assert OWN["slides"] == {}  # which the next channel takes


def test_what_it_says_changes_no_row(folder: Path) -> None:
    plain = segment(folder, "live", None, "-plain")
    pd.testing.assert_frame_equal(pd.read_parquet(plain), pd.read_parquet(folder / "live.parquet"))
    with pytest.raises(InputError, match="does not say"):
        read_provenance(plain)


def test_tables_add_what_their_channels_say(folder: Path, tmp_path: Path) -> None:
    own = made({"commit": "2" * 40, "hash": "3" * 64}, {"fuse": {}}, GRID)
    expected = with_inputs(
        own, [read_provenance(path) for path in paths(folder, "parquet").values()]
    )
    assert set(expected["models"]) == {"grid-elements", "nuclei"}
    given = folder / "spots.zarr", paths(folder, "parquet"), paths(folder, "zarr")
    fuse_slide(
        *given,
        cells_out=tmp_path / "cells.parquet",
        spots_out=tmp_path / "spots.csv",
        shifts_out=tmp_path / "shifts.json",
        options=FuseOptions(),
        provenance=own,
    )
    assert read_provenance(tmp_path / "cells.parquet") == expected
    assert read_provenance(tmp_path / "spots.csv") == expected
    summarise_objects(*given, spots_out=tmp_path / "n.csv", min_cells=3, provenance=own)
    assert read_provenance(tmp_path / "n.csv") == expected

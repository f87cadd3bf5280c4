"""Ingest: copies are the sources, descriptions are true, failures leave nothing."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from gridwell.config.errors import InputError
from gridwell.config.models import Channel, Config
from gridwell.images.check import check_images

from tests.unit.images.make_images import channel, ingest, noise


def write(path: Path, image: Any = None, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, noise(90, 120) if image is None else image, **options)
    return path


def problems(*args: Any, **options: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        ingest(*args, **options)
    assert all(p.remedy for p in caught.value.problems)
    return [str(p) for p in caught.value.problems]


def test_slide_json_describes_the_copies(tmp_path: Path) -> None:
    two = write(
        tmp_path / "in" / "two.ome.tif",
        np.stack([noise(90, 120), noise(90, 120)[::-1]]),
        metadata={"axes": "CYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5},
        ome=True,
        datetime="2026:02:03 04:05:06",
    )
    scan = write(tmp_path / "in" / "scan.tif", noise(90, 120, "uint8", 3), photometric="rgb")
    info = ingest(
        tmp_path,
        channel("nuclei", two),
        channel("scan", scan, role="colour"),
        channel("live", two, index=1),
    )
    raw = tmp_path / "raw" / "S1"
    assert json.loads((raw / "slide.json").read_text()) == info
    assert sorted(p.name for p in raw.iterdir()) == ["scan.tif", "slide.json", "two.ome.tif"]
    assert {key: info[key] for key in list(info)[:7]} == {
        "format": "gridwell-slide/1",
        "slide": "S1",
        "width": 120,
        "height": 90,
        "dtype": "uint16",
        "pixel_size_um": 0.5,
        "acquired": "2026-02-03T04:05:06",
    }
    assert [(c["channel"], c["file"], c["index"], c["planes"]) for c in info["channels"]] == [
        ("nuclei", "two.ome.tif", 0, [0]),
        ("scan", "scan.tif", 0, [1, 2, 3]),
        ("live", "two.ome.tif", 1, [4]),
    ]
    assert info["channels"][1] | {"file": ""} == {
        "channel": "scan", "role": "colour", "file": "", "index": 0, "samples": 3,
        "dtype": "uint8", "planes": [1, 2, 3],
    }  # fmt: skip
    for entry, source in zip(info["files"], (two, scan), strict=True):
        data = source.read_bytes()
        assert (raw / entry["name"]).read_bytes() == data
        assert entry["size"] == len(data)
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()


def test_same_name_in_two_folders(tmp_path: Path) -> None:
    blue = write(tmp_path / "blue" / "Image.tif")
    green = write(tmp_path / "green" / "image.tif", noise(90, 120)[::-1])
    red = write(tmp_path / "red.tif")
    info = ingest(tmp_path, channel("nuclei", blue), channel("live", green), channel("dead", red))
    names = [c["file"] for c in info["channels"]]
    assert names == ["nuclei_Image.tif", "live_image.tif", "red.tif"]
    assert (tmp_path / "raw" / "S1" / names[1]).read_bytes() == green.read_bytes()


def test_second_ingest_touches_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif")
    rows = [channel("nuclei", path)]
    ingest(tmp_path, *rows)
    raw = tmp_path / "raw" / "S1"
    # As DataLad leaves it: the content in the annex, read-only, a link in its place.
    store = tmp_path / "annex"
    store.mkdir()
    (raw / "a.tif").rename(store / "key")
    (store / "key").chmod(0o444)
    (raw / "a.tif").symlink_to(store / "key")
    before = {p: p.lstat().st_mtime_ns for p in (*raw.iterdir(), store / "key")}
    ingest(tmp_path, *rows)
    assert {p: p.lstat().st_mtime_ns for p in (*raw.iterdir(), store / "key")} == before
    assert (raw / "a.tif").is_symlink()
    # Without slide.json, as after a killed run, it is written again.
    (raw / "slide.json").unlink()
    ingest(tmp_path, *rows)
    assert (raw / "a.tif").is_symlink()
    (store / "key").unlink()
    assert "datalad get" in problems(tmp_path, *rows)[0]


def test_another_image_under_the_same_name_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif")
    ingest(tmp_path, channel("nuclei", path))
    raw = tmp_path / "raw" / "S1"
    kept = (raw / "a.tif").read_bytes()
    write(path, noise(90, 120)[::-1])
    (found,) = problems(tmp_path, channel("nuclei", path))
    assert "is there already and differs" in found
    assert "new slide name" in found
    assert (raw / "a.tif").read_bytes() == kept
    assert sorted(p.name for p in raw.iterdir()) == ["a.tif", "slide.json"]


def test_sources_in_place_are_not_copied(tmp_path: Path) -> None:
    path = write(tmp_path / "raw" / "S1" / "a.tif")
    before = path.stat()
    assert ingest(tmp_path, channel("nuclei", path))["files"][0]["name"] == "a.tif"
    assert path.stat() == before


def test_failures_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = write(tmp_path / "good.tif")
    cut = write(tmp_path / "cut.tif")
    cut.write_bytes(cut.read_bytes()[:-100])
    found = problems(
        tmp_path,
        channel("nuclei", good),
        channel("live", cut),
        channel("dead", tmp_path / "gone.tif"),
        channel("grid", good, index=3),
    )
    assert len(found) == 3
    assert "cut off" in found[0]
    assert "S1/dead: the image is not there" in found[1]
    assert "holds 1 plane (found 3)" in found[2]
    assert not (tmp_path / "raw" / "S1").exists()

    # A disk that fills up while the second file is copied.
    other = write(tmp_path / "other.tif")
    real = Path.open

    def full(self: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        if ".other.tif." in self.name and "w" in mode:
            raise OSError(28, "No space left on device")
        return real(self, mode, *args, **options)

    monkeypatch.setattr(Path, "open", full)
    (text,) = problems(tmp_path, channel("nuclei", good), channel("live", other))
    assert "No space left" in text
    assert not (tmp_path / "raw" / "S1").exists()


def test_source_that_is_still_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.tif")
    from gridwell.images import ingest as module

    read = module._read

    def growing(source: Path, copy: Path | None = None) -> tuple[int, str]:
        found = read(source, copy)
        os.utime(source, ns=(1, 1))
        return found

    monkeypatch.setattr(module, "_read", growing)
    assert "changed while it was copied" in problems(tmp_path, channel("nuclei", path))[0]
    assert not (tmp_path / "raw" / "S1").exists()


def test_channels_must_fit_each_other(tmp_path: Path) -> None:
    a = write(tmp_path / "a.tif")
    b = write(tmp_path / "b.tif", noise(90, 121))
    scan = write(tmp_path / "scan.tif", noise(90, 120, "uint8", 3), photometric="rgb")
    found = problems(
        tmp_path,
        channel("grid", scan),
        channel("nuclei", a),
        channel("live", b),
        channel("dead", scan),
        channel("colour", a, role="colour"),
    )
    assert len(found) == 3
    assert "S1/live: b.tif is not of the size of channel grid, 120 x 90" in found[0]
    assert "S1/dead: scan.tif is RGB, the role dead needs gray" in found[1]
    assert "S1/colour: a.tif is gray, the role colour needs RGB" in found[2]
    assert "more than" in problems(tmp_path, channel("nuclei", a), budget=1e-6)[0]


def test_pixel_sizes(tmp_path: Path) -> None:
    size = {"resolutionunit": "CENTIMETER"}
    a = write(tmp_path / "a.tif", resolution=(5000, 5000), **size)
    b = write(tmp_path / "b.tif", resolution=(4000, 4000), **size)
    c = write(tmp_path / "c.tif")
    assert (
        "different pixel sizes" in problems(tmp_path, channel("nuclei", a), channel("live", b))[0]
    )
    info = ingest(tmp_path, channel("nuclei", c), channel("live", a))
    assert info["pixel_size_um"] == 2.0
    info = ingest(tmp_path, channel("nuclei", a, pixel_size_um=1.98), channel("live", b))
    assert info["pixel_size_um"] == 1.98


def study(root: Path, **slides: list[Channel]) -> Any:
    return SimpleNamespace(
        root=root,
        config=Config(),
        slides=dict.fromkeys(slides),
        channels={name: tuple(rows) for name, rows in slides.items()},
        path_of=lambda row: root / row.path,
        lines={
            (name, row.channel): line
            for name, rows in slides.items()
            for line, row in enumerate(rows, start=2)
        },
    )


def test_check_images_lists_everything_at_once(tmp_path: Path) -> None:
    good = write(tmp_path / "good.tif")
    text = tmp_path / "text.tif"
    text.write_text("not an image at all")
    found = check_images(
        study(
            tmp_path,
            S1=[channel("nuclei", good), channel("live", Path("text.tif"))],
            S2=[channel("nuclei", Path("gone.tif")), channel("live", Path("gone.tif"))],
            S3=[channel("nuclei", good)],
        )
    )
    assert [p.reason for p in found] == [
        "is not an image",
        "S1/nuclei: the image is not there",
        "S1/live: the image is not there",
    ]
    assert [p.file for p in found] == [str(text), *["config/channels.tsv"] * 2]
    assert [(p.row, p.column, p.value) for p in found[1:]] == [
        (2, "path", "gone.tif"),
        (3, "path", "gone.tif"),
    ]


def test_check_images_tells_what_ingest_would_refuse(tmp_path: Path) -> None:
    good = write(tmp_path / "good.tif")
    twice = [channel("nuclei", good, pixel_size_um=size) for size in (1.0, 2.0)]
    (folder := tmp_path / "folder").mkdir()
    other = [channel("nuclei", good, pixel_size_um=1.0), channel("live", good, pixel_size_um=2.0)]
    found = check_images(study(tmp_path, S1=other, S2=[channel("nuclei", folder)], S3=twice))
    assert [(p.file, p.column) for p in found] == [
        ("config/channels.tsv", "pixel_size_um"),
        ("config/channels.tsv", "path"),
    ]
    assert "is a folder" in found[1].reason


def test_check_images_skips_what_is_in_the_study(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif")
    rows = [channel("nuclei", path)]
    ingest(tmp_path, *rows)
    path.unlink()
    assert check_images(study(tmp_path, S1=rows)) == []
    (tmp_path / "raw" / "S1" / "slide.json").unlink()
    assert check_images(study(tmp_path, S1=rows)) == []
    (tmp_path / "raw" / "S1" / "a.tif").unlink()
    assert len(check_images(study(tmp_path, S1=rows))) == 1

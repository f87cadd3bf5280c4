"""Ingest: copies are the sources, descriptions are true, failures leave nothing."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

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


def test_a_changed_image_takes_the_place_of_the_old_one_where_asked(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif")
    before = ingest(tmp_path, channel("nuclei", path))
    write(path, noise(90, 120)[::-1])
    info = ingest(tmp_path, channel("nuclei", path), replace=True)
    raw = tmp_path / "raw" / "S1"
    assert (raw / "a.tif").read_bytes() == path.read_bytes()
    assert info["files"][0]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert info["files"] != before["files"]
    assert json.loads((raw / "slide.json").read_text()) == info
    assert sorted(p.name for p in raw.iterdir()) == ["a.tif", "slide.json"]


@pytest.mark.parametrize("annexed", [False, True])
def test_a_failed_replacement_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, annexed: bool
) -> None:
    first, second = write(tmp_path / "a.tif"), write(tmp_path / "b.tif", noise(90, 120)[:, ::-1])
    rows = [channel("nuclei", first), channel("live", second)]
    ingest(tmp_path, *rows)
    raw = tmp_path / "raw" / "S1"
    if annexed:
        (raw / "a.tif").rename(tmp_path / "key")
        (raw / "a.tif").symlink_to("../../key")
    kept = {p.name: p.read_bytes() for p in raw.iterdir()}
    write(first, noise(90, 120)[::-1])
    write(second, noise(90, 120)[::-1, ::-1])
    real = Path.open

    def full(self: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        if ".b.tif." in self.name and "w" in mode:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, mode, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        (text,) = problems(tmp_path, *rows, replace=True)
    assert "No space left" in text
    assert {p.name: p.read_bytes() for p in raw.iterdir()} == kept
    assert (raw / "a.tif").is_symlink() == annexed
    ingest(tmp_path, *rows, replace=True)
    assert (raw / "a.tif").read_bytes() == first.read_bytes()
    assert (raw / "b.tif").read_bytes() == second.read_bytes()


def test_a_killed_replacement_loses_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif")
    ingest(tmp_path, channel("nuclei", path))
    raw = tmp_path / "raw" / "S1"
    old = (raw / "a.tif").read_bytes()
    (raw / "a.tif").rename(raw / ".a.tif.replaced.part")  # killed here
    ingest(tmp_path, channel("nuclei", path))
    assert (raw / "a.tif").read_bytes() == old
    assert sorted(p.name for p in raw.iterdir()) == ["a.tif", "slide.json"]


def test_a_hard_link_takes_no_second_room(tmp_path: Path) -> None:
    path = write(tmp_path / "in" / "a.tif")
    link = tmp_path / "in" / "link.tif"
    link.symlink_to("a.tif")
    info = ingest(tmp_path, channel("nuclei", link), by="hard_link")
    copy = tmp_path / "raw" / "S1" / "link.tif"
    assert copy.samefile(path)
    assert not copy.is_symlink()
    assert copy.stat().st_nlink == 2
    assert info["files"] == [
        {
            "name": "link.tif",
            "size": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
    ]
    before = copy.stat()
    assert ingest(tmp_path, channel("nuclei", link), by="hard_link") == info
    assert copy.stat() == before


def test_a_changed_image_is_linked_in_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif")
    ingest(tmp_path, channel("nuclei", path), by="hard_link")
    path.unlink()
    write(path, noise(90, 120)[::-1])
    found = problems(tmp_path, channel("nuclei", path), by="hard_link")
    assert "is there already and differs" in found[0]
    ingest(tmp_path, channel("nuclei", path), by="hard_link", replace=True)
    assert (tmp_path / "raw" / "S1" / "a.tif").samefile(path)
    assert path.stat().st_nlink == 2


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on another file system, or one that answers as if it were."""
    shared = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a folder of our own there
    if shared.is_dir() and shared.stat().st_dev != tmp_path.stat().st_dev:
        folder = Path(tempfile.mkdtemp(dir=shared))
        yield folder
        shutil.rmtree(folder)
        return

    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    yield tmp_path / "elsewhere"


def test_a_hard_link_stays_in_one_file_system(tmp_path: Path, elsewhere: Path) -> None:
    path = write(elsewhere / "a.tif")
    (text,) = problems(tmp_path, channel("nuclei", path), by="hard_link")
    assert text.startswith(f"{path}: could not be linked to {tmp_path / 'raw/S1/a.tif'}")
    assert "Set ingest.by: copy" in text
    assert not (tmp_path / "raw" / "S1").exists()
    assert ingest(tmp_path, channel("nuclei", path))["files"][0]["name"] == "a.tif"


@dataclass
class Server:
    """Images at URLs, and what was asked for."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    too_long: int = 0

    def row(self, name: str, path: str) -> Channel:
        """Row of channels.tsv."""
        return channel(name, Path(), role="other").model_copy(update={"path": self.url + path})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    here = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            here.asked.append(self.path)
            content = here.files.get(unquote(self.path.partition("?")[0]))
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content) + here.too_long))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        here.url = f"http://127.0.0.1:{serving.server_port}"
        thread = Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield here
        serving.shutdown()
        thread.join()


def test_an_image_at_a_url_is_fetched_once(tmp_path: Path, server: Server) -> None:
    path = write(tmp_path / "source.tif", np.stack([noise(90, 120)] * 2), photometric="minisblack")
    server.files["/a b.tif"] = path.read_bytes()
    row = server.row("nuclei", "/a%20b.tif")
    rows = [row, row.model_copy(update={"channel": "live", "index": 1})]
    info = ingest(tmp_path, *rows)
    raw = tmp_path / "raw" / "S1"
    assert (raw / "a b.tif").read_bytes() == path.read_bytes()
    assert sorted(p.name for p in raw.iterdir()) == ["a b.tif", "slide.json"]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert info["files"] == [
        {"name": "a b.tif", "size": path.stat().st_size, "sha256": digest, "url": row.path}
    ]
    assert [c["file"] for c in info["channels"]] == ["a b.tif"] * 2
    # Neither a second run nor one with a file alone in its place asks again.
    before = (raw / "slide.json").stat()
    assert ingest(tmp_path, *rows) == info
    assert (raw / "slide.json").stat() == before
    (raw / "slide.json").unlink()
    assert ingest(tmp_path, *rows) == info
    assert server.asked == ["/a%20b.tif"]


def test_an_image_at_a_url_beside_one_in_a_folder(tmp_path: Path, server: Server) -> None:
    path = write(tmp_path / "b.tif")
    server.files["/a.tif"] = path.read_bytes()
    info = ingest(tmp_path, server.row("live", "/a.tif?key=1"), channel("nuclei", path))
    assert [file.get("url") for file in info["files"]] == [f"{server.url}/a.tif?key=1", None]


def test_what_cannot_be_fetched_leaves_nothing(tmp_path: Path, server: Server) -> None:
    good = write(tmp_path / "good.tif").read_bytes()
    server.files |= {"/a.tif": good, "/x/b.tif": good, "/y/b.tif": good, "/z/B.tif": good}
    server.files["/page.tif"] = b"<html>Please log in</html>"
    a = server.row("nuclei", "/a.tif")
    here = channel("nuclei", write(tmp_path / "here" / "b.tif"))
    for rows, said in (
        ([a, server.row("live", "/gone.tif")], "could not be fetched (HTTP Error 404"),
        ([a, server.row("live", "/page.tif")], "is not an image"),
        ([server.row("live", "/x/b.tif"), server.row("dead", "/y/b.tif")], "same file name as"),
        ([server.row("live", "/x/b.tif"), server.row("dead", "/z/B.tif")], "same file name as"),
        ([here, server.row("live", "/x/b.tif")], f"same file name as {here.path}"),
    ):
        (text,) = problems(tmp_path, *rows)
        assert said in text
        assert not (tmp_path / "raw" / "S1").exists(), said
    server.too_long = 100
    (text,) = problems(tmp_path, a)
    assert f"the connection ended after {len(good)} of {len(good) + 100} bytes" in text
    assert a.path in text
    assert not (tmp_path / "raw" / "S1").exists()
    server.too_long = 0
    assert ingest(tmp_path, a)["files"][0]["name"] == "a.tif"


def test_a_server_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    row = Server("http://127.0.0.1:1").row("nuclei", "/a.tif")
    (text,) = problems(tmp_path, row)
    assert text.startswith("config/channels.tsv, path: could not be fetched")
    assert not (tmp_path / "raw" / "S1").exists()


def test_a_failed_fetch_leaves_a_slide_as_it_was(tmp_path: Path, server: Server) -> None:
    path = write(tmp_path / "b.tif")
    ingest(tmp_path, channel("nuclei", path))
    raw = tmp_path / "raw" / "S1"
    before = {p.name: p.read_bytes() for p in raw.iterdir()}
    server.files["/a.tif"] = path.read_bytes()
    rows = [server.row("live", "/a.tif"), server.row("dead", "/gone.tif")]
    assert "404" in problems(tmp_path, channel("nuclei", path), *rows)[0]
    assert {p.name: p.read_bytes() for p in raw.iterdir()} == before


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
    assert "more than" in problems(tmp_path, channel("nuclei", a), max_gigapixels=1e-6)[0]


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

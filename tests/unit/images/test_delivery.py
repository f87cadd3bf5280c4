"""Deliveries are watched by content: the copies in raw/ are the study's truth."""

from __future__ import annotations

import os
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import pytest
import tifffile
from gridwell.config.study import Study, load_study
from gridwell.images import delivery
from gridwell.images.check import check_images
from gridwell.images.delivery import (
    check_deliveries,
    copies_in_place,
    note_delivery,
    replaced,
    sources_of,
)
from gridwell.images.ingest import ingest_slide

from tests.unit.images.make_images import noise

SLIDES = "slide\tassay\nS1\tobjects\n"
CHANNELS = (
    "slide\tchannel\trole\tpath\nS1\tdapi\tnuclei\tlanding/a.tif\nS1\tgfp\tother\t./landing/b.tif\n"
)
REPLACE = {"ingest": {"replace": True}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A study with one slide, delivered and not brought in yet."""
    root = tmp_path / "study"
    (root / "config").mkdir(parents=True)
    (root / "config/slides.tsv").write_text(SLIDES)
    (root / "config/channels.tsv").write_text(CHANNELS)
    (root / "config/config.yaml").write_text("versioning: off\n")
    (root / "landing").mkdir()
    deliver(root, "a", 1)
    deliver(root, "b", 2)
    return root


def deliver(root: Path, name: str, shift: int) -> None:
    path = root / "landing" / f"{name}.tif"
    path.unlink(missing_ok=True)
    tifffile.imwrite(path, noise(40, 50) // 4 + shift)


def bring(root: Path, **options: Any) -> Study:
    """Do what the rule ingest does."""
    study = load_study(root, options)
    files = copies_in_place(study, "S1") or sources_of(study, "S1")
    channels = study.channels["S1"]
    ingest_slide("S1", channels, files, root / "raw/S1", study.config.ingest)
    note_delivery(root, "S1", [Path(channel.path) for channel in channels])
    return study


def names(copies: dict[str, Path]) -> dict[str, str]:
    return {channel: path.name for channel, path in copies.items()}


COPIES = {"dapi": "a.tif", "gfp": "b.tif"}


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose content was looked at."""
    seen: list[str] = []
    real = delivery.sha256

    def sha256(path: Path) -> str:
        seen.append(path.name)
        return real(path)

    monkeypatch.setattr(delivery, "sha256", sha256)
    return seen


def test_nothing_is_in_place_before_it_was_brought(root: Path) -> None:
    study = load_study(root)
    assert copies_in_place(study, "S1") == {}
    assert check_deliveries(study) == []
    assert replaced(root, "S1") == {}
    assert names(copies_in_place(bring(root), "S1")) == COPIES


def test_unchanged_files_are_not_read_again(root: Path, hashed: list[str]) -> None:
    study = bring(root)
    assert check_deliveries(study) == []
    assert hashed == []


@pytest.mark.parametrize("time", [1, 2_000_000_000])
def test_the_same_content_with_another_time_is_nothing_new(
    root: Path, hashed: list[str], time: int
) -> None:
    study = bring(root)
    os.utime(root / "landing/b.tif", (time, time))
    assert check_deliveries(study) == []
    assert hashed == ["b.tif"]
    assert check_deliveries(study) == []  # and that is kept in mind
    assert hashed == ["b.tif"]
    assert names(copies_in_place(study, "S1")) == COPIES


@pytest.mark.parametrize("time", [1, None, 2_000_000_000])
@pytest.mark.parametrize("longer", [False, True])
def test_other_content_is_a_mistake(root: Path, time: int | None, longer: bool) -> None:
    study = bring(root)
    deliver(root, "b", 3)
    if longer:
        with (root / "landing/b.tif").open("ab") as file:
            file.write(b"more")
    if time is not None:
        os.utime(root / "landing/b.tif", (time, time))
    for _ in range(2):  # it stays one until somebody does something about it
        (problem,) = check_deliveries(study)
        assert (problem.file, problem.row, problem.column) == ("config/channels.tsv", 3, "path")
        assert "S1/gfp: b.tif changed since it was copied to raw/S1/b.tif" in problem.reason
        assert "new slide name" in problem.remedy
        assert "ingest.replace: true" in problem.remedy
        assert check_images(study) == [problem]
        assert replaced(root, "S1") == {}
        assert names(copies_in_place(study, "S1")) == COPIES


def test_a_replacement_waits_until_it_is_brought_in(root: Path, hashed: list[str]) -> None:
    before = {file["name"]: file["sha256"] for file in slide_json(bring(root))["files"]}
    deliver(root, "b", 3)
    os.utime(root / "landing/a.tif", (1, 1))
    study = load_study(root, REPLACE)
    assert check_images(study) == []
    assert replaced(root, "S1") == {"b.tif": before["b.tif"]}
    assert copies_in_place(study, "S1") == {}
    hashed.clear()
    assert check_deliveries(study) == []
    assert hashed == ["b.tif"]  # what is the same stays known beside what waits
    study = bring(root, **REPLACE)
    after = {file["name"]: file["sha256"] for file in slide_json(study)["files"]}
    assert (root / "raw/S1/b.tif").read_bytes() == (root / "landing/b.tif").read_bytes()
    assert after["a.tif"] == before["a.tif"]
    assert after["b.tif"] != before["b.tif"]
    assert names(copies_in_place(study, "S1")) == COPIES
    # The rule's parameter stays what it was, so that nothing is computed again.
    assert check_deliveries(study) == []
    assert replaced(root, "S1") == {"b.tif": before["b.tif"]}
    assert check_deliveries(load_study(root)) == []


def slide_json(study: Study) -> dict[str, Any]:
    return delivery.read_slide_json(study.root / "raw/S1")


def test_a_cleared_landing_folder_leaves_the_copies(root: Path) -> None:
    study = bring(root)
    rmtree(root / "landing")
    assert names(copies_in_place(study, "S1")) == COPIES
    rmtree(root / ".snakemake")
    (root / "raw/S1/slide.json").unlink()  # as Snakemake does before it makes it anew
    assert names(copies_in_place(study, "S1")) == COPIES
    assert check_images(study) == []
    (root / "raw/S1/b.tif").unlink()
    assert copies_in_place(study, "S1") == {}
    assert [problem.row for problem in check_images(study)] == [2, 3]


def test_a_clone_looks_at_its_own_images_alone(root: Path) -> None:
    bring(root)
    store = root / ".git/annex/objects"
    store.mkdir(parents=True)
    for name in COPIES.values():
        (root / "raw/S1" / name).rename(store / name)
        (root / "raw/S1" / name).symlink_to(Path("../../.git/annex/objects", name))
    clone = root.with_name("clone")
    copytree(root, clone, symlinks=True, ignore=lambda *_: {".snakemake"})
    deliver(clone, "b", 3)
    study = load_study(clone)
    assert names(copies_in_place(study, "S1")) == COPIES
    assert check_images(study) == []
    # Links whose content was not fetched yet are as good: what is missing is told later.
    rmtree(clone / ".git")
    assert names(copies_in_place(study, "S1")) == COPIES


def test_plain_copies_that_nobody_remembers_are_not_trusted(root: Path) -> None:
    """Killed while it copied, or before slide.json: the files of the delivery are taken."""
    study = bring(root)
    rmtree(root / ".snakemake")
    (root / "raw/S1/slide.json").unlink()
    assert copies_in_place(study, "S1") == {}
    bring(root)
    assert names(copies_in_place(study, "S1")) == COPIES


def test_a_killed_ingest_keeps_the_waiting_replacement(root: Path) -> None:
    bring(root)
    deliver(root, "b", 3)
    study = load_study(root, REPLACE)
    assert check_images(study) == []
    (root / "raw/S1/slide.json").unlink()
    assert check_images(study) == []
    assert copies_in_place(study, "S1") == {}
    assert len(replaced(root, "S1")) == 1


def test_files_taken_in_place_are_their_own_copies(root: Path, hashed: list[str]) -> None:
    table = root / "config/channels.tsv"
    table.write_text(table.read_text().replace("./landing/b.tif", "raw/S1/b.tif"))
    (root / "raw/S1").mkdir(parents=True)
    (root / "landing/b.tif").rename(root / "raw/S1/b.tif")
    study = bring(root)
    os.utime(root / "raw/S1/b.tif", (1, 1))
    assert check_deliveries(study) == []
    assert hashed == []


def test_a_second_name_of_the_copy_is_the_copy(root: Path, hashed: list[str]) -> None:
    study = bring(root, ingest={"by": "hard_link"})
    assert (root / "raw/S1/a.tif").samefile(root / "landing/a.tif")
    os.utime(root / "landing/a.tif", (1, 1))
    assert check_deliveries(study) == []
    assert hashed == []
    deliver(root, "a", 9)  # another file under the same name
    assert [problem.row for problem in check_deliveries(study)] == [2]


def test_a_damaged_memory_is_none(root: Path) -> None:
    study = bring(root)
    (memory,) = (root / ".snakemake/gridwell/delivered").iterdir()
    for text in ("", "[]", "{"):
        memory.write_text(text)
        assert check_deliveries(study) == []
        assert copies_in_place(study, "S1") == {}


def test_the_slides_of_a_study_are_watched_each_for_itself(root: Path) -> None:
    with (root / "config/slides.tsv").open("a") as file:
        file.write("S2\tobjects\n")
    with (root / "config/channels.tsv").open("a") as file:
        file.write("S2\tdapi\tnuclei\tlanding/c.tif\n")
    deliver(root, "c", 5)
    study = bring(root)
    deliver(root, "c", 6)
    assert check_images(study) == []
    assert copies_in_place(study, "S2") == {}
    assert names(copies_in_place(study, "S1")) == COPIES

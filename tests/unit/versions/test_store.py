"""The data server: all of a study is there; damage is found and mended from the other copy."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from gridwell.config.errors import InputError
from gridwell.versions.dataset import annex_key, save
from gridwell.versions.new import new_study
from gridwell.versions.record import verify
from gridwell.versions.store import Finding, fsck, push
from gridwell.versions.tags import tag_study

from tests.unit.versions.studies import (
    CHUNK,
    CODE_ID,
    add_slide,
    edit_code,
    flip,
    git,
    save_slide,
)

pytestmark = [pytest.mark.datalad, pytest.mark.usefixtures("somebody")]

IMAGE = Path("raw/S01/a.tif")
DAMAGED = "its content is damaged"


def in_store(store: Path, dataset: Path) -> Path:
    """Repository of a dataset in the store."""
    dataset_id = git(dataset, "config", "--file", ".datalad/config", "datalad.dataset.id")
    return store / dataset_id[:3] / dataset_id[3:]


def stored(study: Path, store: Path, file: Path) -> Path:
    """The store's copy of an annexed file."""
    dataset = study / "raw" if file.parts[0] == "raw" else study
    key = annex_key(study / file)
    (content,) = (in_store(store, dataset) / "annex/objects").glob(f"*/*/{key}/{key}")
    return content


def clone(url: str, out: Path) -> Path:
    """Clone a study with raw/ and workflow/, as one who has nothing but its URL."""
    import datalad.api as datalad

    quiet = {"result_renderer": "disabled"}
    datalad.clone(source=url, path=str(out), **quiet)
    for part in ("raw", "workflow"):
        datalad.get(path=str(out / part), dataset=str(out), get_data=False, **quiet)
    return out


@pytest.mark.slow
def test_data_history_and_tags_are_in_the_store(pushed, pushed_template, store, tmp_path):
    tag_study(pushed, "v1.0")
    parts = (".", "raw", "workflow")
    state = [git(pushed / part, "rev-parse", "HEAD") for part in parts]
    url = f"ria+file://{pushed_template}/link#~screen"
    assert push(pushed) == url
    assert push(pushed, url.partition("#")[0] + "/") == url  # nothing to do
    assert state == [git(pushed / part, "rev-parse", "HEAD") for part in parts]
    for part in (".", "raw"):
        there = in_store(store, pushed / part)
        for name in ("HEAD", "v1.0", "git-annex"):
            assert git(there, "rev-parse", name) == git(pushed / part, "rev-parse", name)
    for file in (IMAGE, CHUNK):
        assert stored(pushed, store, file).read_bytes() == (pushed / file).read_bytes()
    assert fsck(pushed) == []

    copy = clone(f"ria+file://{store}#~screen", tmp_path / "copy")
    assert state == [git(copy / part, "rev-parse", "HEAD") for part in parts]
    assert {one["status"] for one in verify(copy) if one["path"] == str(IMAGE)} == {"not fetched"}
    git(copy, "annex", "get", ".")
    git(copy / "raw", "annex", "get", ".")
    assert {one["status"] for one in verify(copy)} == {"identical"}


def test_all_versions_are_pushed_and_dropped_content_comes_back(pushed, store):
    versions = [(pushed / IMAGE).read_bytes(), b"II*\0never pushed", b"II*\0another image"]
    for content in versions[1:]:
        add_slide(pushed, "S01", content)
        save_slide(pushed, "S01")
    add_slide(pushed, "S02", b"II*\0a second slide")
    save_slide(pushed, "S02")
    push(pushed)
    objects = in_store(store, pushed / "raw") / "annex/objects"
    there = [path.read_bytes() for path in objects.rglob("*.tif") if path.is_file()]
    assert sorted(there) == sorted([*versions, b"II*\0a second slide"])
    git(pushed / "raw", "annex", "drop", "--all")
    git(pushed, "annex", "drop", "--all")
    assert not (pushed / IMAGE).exists()
    assert not [one for one in fsck(pushed) if one.path.startswith("raw")]
    git(pushed / "raw", "checkout", "--quiet", "HEAD~2")
    git(pushed / "raw", "annex", "get", "S01/a.tif")
    assert (pushed / IMAGE).read_bytes() == versions[1]


@pytest.mark.slow
def test_studies_share_the_store_and_the_code_each_at_its_commit(pushed, code, store, tmp_path):
    old = git(pushed / "workflow", "rev-parse", "HEAD")
    new = edit_code(code)
    new_study(tmp_path / "other")
    push(tmp_path / "other", str(store))
    push(pushed)  # the older pin is pushed last
    there = store / CODE_ID[:3] / CODE_ID[3:]
    pins = git(there, "branch", "--list", "pinned/*", "--format=%(objectname)")
    assert set(pins.split()) == {old, new}
    for alias, commit in (("screen", old), ("other", new)):
        copy = clone(f"ria+file://{store}#~{alias}", tmp_path / f"copy of {alias}")
        assert git(copy / "workflow", "rev-parse", "HEAD") == commit
        assert git(copy, "status", "--porcelain") == ""


def test_study_without_a_store_is_told(recorded):
    with pytest.raises(InputError, match=r"is pushed to no store yet.*Say where: gridwell push"):
        push(recorded)


def test_another_store_is_told(pushed, tmp_path):
    with pytest.raises(InputError, match=r"has another store.*Leave the URL out, or give ria\+"):
        push(pushed, str(tmp_path / "elsewhere"))
    assert not (tmp_path / "elsewhere").exists()


def test_store_that_cannot_be_written_to_is_told(recorded, tmp_path):
    with pytest.raises(InputError, match=r"no store that can be written to.*ria\+ssh"):
        push(recorded, "https://example.org/store")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="cannot be pushed to"):
        push(recorded, str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "mine"
    assert git(recorded, "remote") == ""  # no trace of the failure is in the way


@pytest.mark.parametrize("part", [".", "raw"])
def test_history_without_a_branch_is_told(pushed, store, part):
    git(pushed / part, "checkout", "--quiet", "--detach")
    with pytest.raises(InputError, match="is not on a branch") as told:
        push(pushed)
    (problem,) = told.value.problems
    git(pushed, *problem.remedy.removeprefix("Run: git ").split())
    push(pushed)
    assert git(in_store(store, pushed / part), "branch", "--list", "my-branch")


def test_content_that_is_nowhere_is_told_by_push(pushed):
    add_slide(pushed, "S02", b"II*\0lost")
    save_slide(pushed, "S02")
    git(pushed / "raw", "annex", "drop", "--force", "S02/a.tif")
    with pytest.raises(InputError, match=r"1 files have no content here.*S02/a\.tif"):
        push(pushed)


def test_store_that_is_not_there_is_told_and_not_forgotten(pushed, store):
    store.rename(store.with_name("elsewhere"))
    found = fsck(pushed)
    assert [(one.path, one.place) for one in found] == [(".", "store"), ("raw", "store")]
    assert all("is the server mounted?" in one.wrong for one in found)
    with pytest.raises(InputError, match="cannot be pushed to"):
        push(pushed)
    store.with_name("elsewhere").rename(store)
    assert fsck(pushed) == []
    git(pushed / "raw", "annex", "drop", "--all")


def test_fsck_without_history_is_told(tmp_path):
    with pytest.raises(InputError, match="not a DataLad dataset"):
        fsck(tmp_path)


def test_flipped_bits_are_found_and_mended_in_both_places(pushed, store):
    files = (IMAGE, CHUNK)
    before = [flip(pushed / file) for file in files]
    found = fsck(pushed)
    assert {(one.path, one.place, one.wrong) for one in found} == {
        (file.as_posix(), "here", DAMAGED) for file in files
    }
    assert {one.mended for one in found} == {"restored from store-storage"}
    assert [(pushed / file).read_bytes() for file in files] == before

    assert [flip(stored(pushed, store, file)) for file in files] == before
    mended = "restored from the copy here"
    found = fsck(pushed)
    assert len(found) == 2
    assert set(found) == {Finding(file.as_posix(), "store", DAMAGED, mended) for file in files}
    assert [stored(pushed, store, file).read_bytes() for file in files] == before
    assert fsck(pushed) == []


def test_older_version_is_found_by_its_key(pushed, store):
    old = stored(pushed, store, IMAGE)
    add_slide(pushed, "S01", b"II*\0another image")
    save_slide(pushed, "S01")
    save(pushed, ["results"], "study: results")
    flip(old)
    (found,) = fsck(pushed)
    assert found.path == f"raw: older version {old.name}"
    assert (found.place, found.mended) == ("store", "restored from the copy here")


def test_damage_in_both_places_is_named_and_nothing_is_thrown_away(pushed, store):
    flip(stored(pushed, store, IMAGE))
    flip(pushed / IMAGE)
    damaged = (pushed / IMAGE).read_bytes()
    found = fsck(pushed)
    assert {(one.path, one.mended) for one in found} == {(str(IMAGE), "")}
    assert "here" in {one.place for one in found}
    kept = [path for path in (pushed / "raw/.git/annex/bad").iterdir() if path.is_file()]
    assert damaged in [path.read_bytes() for path in kept]
    again = fsck(pushed)
    assert {one.path for one in again} == {str(IMAGE)}  # it does not become silent
    assert kept == [path for path in (pushed / "raw/.git/annex/bad").iterdir() if path.is_file()]


def test_damaged_text_is_named_and_its_remedy_mends_it(recorded):
    # A disk that flips a bit changes no time that git could notice.
    git(recorded, "config", "core.trustctime", "false")
    git(recorded, "update-index", "--refresh")
    before = flip(recorded / "results/S01/spots.csv")
    assert git(recorded, "status", "--porcelain") == ""
    (found,) = fsck(recorded)
    assert (found.path, found.place, found.mended) == ("results/S01/spots.csv", "here", "")
    wrong, _, remedy = found.wrong.partition("; ")
    assert wrong == "differs from what was recorded"
    subprocess.run(remedy.removesuffix(" brings it back"), shell=True, check=True)  # noqa: S602
    assert (recorded / "results/S01/spots.csv").read_bytes() == before
    assert fsck(recorded) == []


@pytest.mark.parametrize("part", [".", "raw", "workflow"])
def test_damaged_history_in_the_store_is_named(pushed, store, part):
    objects = in_store(store, pushed / part) / "objects"
    flip(max(objects.rglob("*/*"), key=lambda path: path.stat().st_size if path.is_file() else 0))
    (found,) = fsck(pushed)
    assert (found.path, found.place) == (part, "store")
    assert found.wrong.startswith("its history is damaged (")


def test_damaged_history_here_is_named(pushed):
    objects = pushed / "raw/.git/objects"
    flip(next(path for path in objects.rglob("??/*") if path.is_file()))
    found = fsck(pushed)
    assert {(one.path, one.place) for one in found} == {("raw", "here")}

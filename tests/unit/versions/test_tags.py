"""A tag names one version of a study and its raw images, whole and recorded, or is refused."""

from __future__ import annotations

import pytest
from gridwell.config.errors import InputError
from gridwell.versions.dataset import save
from gridwell.versions.tags import tag_study

from tests.unit.versions.studies import add_slide, finish, git, save_slide

pytestmark = [pytest.mark.datalad, pytest.mark.usefixtures("somebody")]


def tags(study) -> list[str]:
    return [git(part, "tag", "--list") for part in (study, study / "raw")]


def test_tag_names_the_study_and_its_raw_images(recorded):
    commit = tag_study(recorded, "v1.0")
    assert commit == git(recorded, "rev-parse", "HEAD")
    for part in (recorded, recorded / "raw"):
        assert git(part, "rev-parse", "v1.0^{commit}") == git(part, "rev-parse", "HEAD")
        assert git(part, "cat-file", "-t", "v1.0") == "tag"
    assert git(recorded, "ls-tree", "v1.0", "raw").split()[2] == git(
        recorded / "raw", "rev-parse", "v1.0^{commit}"
    )


@pytest.mark.parametrize("file", ["results/S01/spots.csv", "config/slides.tsv", "notes.txt"])
def test_changed_files_are_told(recorded, file):
    (recorded / file).write_text("edited")
    with pytest.raises(InputError, match=f"{file}: is not in the history as it stands"):
        tag_study(recorded, "v1.0")
    assert tags(recorded) == ["", ""]


def test_raw_images_after_the_record_are_told(recorded):
    add_slide(recorded, "S02")
    with pytest.raises(InputError, match="raw: is not in the history as it stands"):
        tag_study(recorded, "v1.0")
    save_slide(recorded, "S02")
    (recorded / "results/S02/version.json").unlink()
    with pytest.raises(InputError, match="raw: is not in the history as it stands"):
        tag_study(recorded, "v1.0")
    save(recorded, ["raw"], "study: raw images")
    with pytest.raises(InputError, match="raw: was changed after the last run"):
        tag_study(recorded, "v1.0")
    assert tags(recorded) == ["", ""]


def test_configuration_after_the_record_is_told(recorded, code):
    (recorded / "config/slides.tsv").write_text("slide\tassay\n")
    save(recorded, ["config"], "study: configuration")
    with pytest.raises(InputError, match=r"config/slides\.tsv: was changed after the last run"):
        tag_study(recorded, "v1.0")
    assert tags(recorded) == ["", ""]
    finish(recorded, code)
    tag_study(recorded, "v1.0")


def test_another_description_does_not_need_a_new_run(recorded):
    (recorded / "README.md").write_text("What this study is about.")
    save(recorded, ["README.md"], "study: README")
    assert tag_study(recorded, "v1.0") == git(recorded, "rev-parse", "HEAD")


@pytest.mark.parametrize("part", [".", "raw"])
def test_taken_names_are_told(recorded, part):
    git(recorded / part, "tag", "v1.0")
    with pytest.raises(InputError, match="is a tag already"):
        tag_study(recorded, "v1.0")
    tag_study(recorded, "v1.1")


@pytest.mark.parametrize("name", ["", "version 1", "v1..2", "v*", "-x", "--delete", "v1.lock"])
def test_bad_names_are_told(recorded, name):
    with pytest.raises(InputError):
        tag_study(recorded, name)
    assert tags(recorded) == ["", ""]


def test_study_without_a_record_is_told(study, tmp_path):
    with pytest.raises(InputError, match="no record of a finished run"):
        tag_study(study, "v1.0")
    with pytest.raises(InputError, match="not a DataLad dataset"):
        tag_study(tmp_path, "v1.0")

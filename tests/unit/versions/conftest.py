"""Studies with a history, made once and copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from gridwell.versions import new
from gridwell.versions.new import new_study
from gridwell.versions.store import push

from tests.unit.versions.studies import add_slide, be, finish, make_code


@pytest.fixture
def nobody(tmp_path, monkeypatch) -> None:
    """No git identity and no git-annex on PATH, as where nobody set up anything."""
    be(monkeypatch, tmp_path / "home")


@pytest.fixture
def somebody(tmp_path, monkeypatch) -> None:
    """As `nobody`, but git is told who commits."""
    be(monkeypatch, tmp_path / "home", "Ada")


@pytest.fixture(scope="session")
def templates(tmp_path_factory) -> Path:
    """Folder with code, a new study and a recorded one; left as they are."""
    folder = tmp_path_factory.mktemp("templates")
    with pytest.MonkeyPatch.context() as monkeypatch:
        be(monkeypatch, folder / "home", "Ada")
        monkeypatch.setattr(new, "REPOSITORY", make_code(folder / "code"))
        new_study(folder / "new")
        shutil.copytree(folder / "new", folder / "recorded", symlinks=True)
        add_slide(folder / "recorded", "S01")
        finish(folder / "recorded", folder / "code")
    return folder


@pytest.fixture
def code(templates, tmp_path, monkeypatch) -> Path:
    """A small clone of gridwell that new studies are pinned at."""
    shutil.copytree(templates / "code", tmp_path / "code")
    monkeypatch.setattr(new, "REPOSITORY", tmp_path / "code")
    return tmp_path / "code"


@pytest.fixture
def study(templates, code, tmp_path) -> Path:
    """A new study, pinned at `code`."""
    return Path(shutil.copytree(templates / "new", tmp_path / "study", symlinks=True))


@pytest.fixture
def recorded(templates, code, tmp_path) -> Path:
    """A study with slide S01, results and a record, made by `code`."""
    return Path(shutil.copytree(templates / "recorded", tmp_path / "study", symlinks=True))


@pytest.fixture(scope="session")
def pushed_template(templates) -> Path:
    """Folder with a recorded study that was pushed to ``link``, and its store; left as it is."""
    folder = templates / "pushed"
    with pytest.MonkeyPatch.context() as monkeypatch:
        be(monkeypatch, templates / "home", "Ada")
        shutil.copytree(templates / "recorded", folder / "study", symlinks=True)
        push(folder / "study", str(folder / "link"), alias="screen")
    (folder / "link").rename(folder / "store")
    return folder


@pytest.fixture
def store(tmp_path) -> Path:
    """Where studies are pushed to."""
    return tmp_path / "a store"


@pytest.fixture
def pushed(pushed_template, code, tmp_path, store) -> Iterator[Path]:
    """A recorded study with its data in the store."""
    shutil.copytree(pushed_template / "store", store, symlinks=True)
    (pushed_template / "link").symlink_to(store)  # the place that the study knows
    yield Path(shutil.copytree(pushed_template / "study", tmp_path / "study", symlinks=True))
    (pushed_template / "link").unlink()

"""Studies as DataLad datasets: made on a bare machine, saved, verified."""

from __future__ import annotations

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from gridwell.config.errors import InputError
from gridwell.config.hashes import sha256
from gridwell.config.models import Config
from gridwell.images.description import FORMAT, NAME
from gridwell.versions.dataset import (
    check_dataset,
    committing,
    is_dataset,
    prepare_environment,
    version_raw,
)
from gridwell.versions.new import new_study
from gridwell.versions.record import verify, write_record

pytestmark = pytest.mark.datalad


@pytest.fixture(autouse=True)
def bare_machine(tmp_path, monkeypatch):
    """No git identity and no git-annex on PATH, as where nobody set up anything."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("PATH", "/usr/local/bin:/usr/bin:/bin")
    for name in list(os.environ):
        if name.startswith(("GIT_AUTHOR", "GIT_COMMITTER")):
            monkeypatch.delenv(name)
    yield
    for name in list(os.environ):
        if name.startswith(("GIT_AUTHOR", "GIT_COMMITTER")):
            del os.environ[name]


def git(study: Path, *arguments: str) -> str:
    prepare_environment()
    done = subprocess.run(
        ["git", "-C", study, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def add_slide(study: Path, slide: str, content: bytes = b"II*\0" * 1000) -> None:
    folder = study / "raw" / slide
    folder.mkdir(parents=True)
    (folder / "a.tif").write_bytes(content)
    files = [{"name": "a.tif", "size": len(content), "sha256": sha256(folder / "a.tif")}]
    description = {"format": FORMAT, "files": files}
    (folder / NAME).write_text(json.dumps(description))


@pytest.mark.parametrize(("versioning", "mistakes"), [("datalad", 1), ("off", 0)])
def test_folder_without_history_is_told_before_a_run(tmp_path, versioning, mistakes):
    study = SimpleNamespace(root=tmp_path, config=Config(versioning=versioning))
    assert len(check_dataset(study)) == mistakes


def test_new_study_is_a_dataset_with_raw_inside(tmp_path):
    study = tmp_path / "study"
    new_study(study)
    assert check_dataset(SimpleNamespace(root=study, config=Config())) == []
    assert is_dataset(study)
    assert is_dataset(study / "raw")
    assert git(study, "status", "--porcelain") == ""
    assert git(study, "log", "-1", "--format=%an") == "gridwell"
    for name in ("config.yaml", "slides.tsv", "channels.tsv", "layouts/example.csv"):
        assert (study / "config" / name).stat().st_size > 0


def test_raw_images_are_annexed_with_checkable_keys(tmp_path):
    study = tmp_path / "study"
    new_study(study)
    add_slide(study, "S01")
    out = study / "results/S01/version.json"
    version_raw(study, "S01", versioning="datalad", out=out)
    version = json.loads(out.read_text())
    (file,) = version["files"]
    assert file["key"] == f"SHA256E-s{file['size']}--{file['sha256']}.tif"
    assert (study / "raw/S01/a.tif").is_symlink()
    assert not (study / "raw/S01/slide.json").is_symlink()
    assert version["commit"] == git(study / "raw", "rev-parse", "HEAD")
    # The same content again is the same version.
    version_raw(study, "S01", versioning="datalad", out=out)
    assert json.loads(out.read_text()) == version


def test_parallel_saves_lose_nothing(tmp_path):
    study = tmp_path / "study"
    new_study(study)
    slides = [f"S{number}" for number in range(6)]
    for slide in slides:
        add_slide(study, slide, slide.encode() * 500)

    def save(slide: str) -> None:
        out = study / f"results/{slide}/version.json"
        version_raw(study, slide, versioning="datalad", out=out)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(save, slides))
    assert git(study / "raw", "status", "--porcelain") == ""
    messages = git(study / "raw", "log", "--format=%s").splitlines()
    assert {f"raw: {slide}" for slide in slides} <= set(messages)


def test_record_is_rerunnable_and_verified(tmp_path, monkeypatch):
    study = tmp_path / "study"
    new_study(study)
    monkeypatch.chdir(tmp_path)  # not the study: nothing may depend on where we are
    add_slide(study, "S01")
    version = study / "results/S01/version.json"
    version_raw(study, "S01", versioning="datalad", out=version)
    (study / "results/S01/spots.csv").write_text("spot\nA1\n")
    for name in ("models/net.safetensors", "annotations/dapi/labels/S01.A1.tif"):
        (study / name).parent.mkdir(parents=True)
        (study / name).write_bytes(b"content of " + name.encode())
    write_record(
        study,
        [Path("results/S01/spots.csv"), Path("models/net.safetensors")],
        [Path("results/S01/version.json")],
        versioning="datalad",
        command="snakemake --forceall",
    )
    message = git(study, "log", "-1", "--format=%B")
    assert message.startswith("[DATALAD RUNCMD] results: S01")
    assert '"cmd": "snakemake --forceall"' in message
    assert git(study, "status", "--porcelain") == ""
    assert {entry["status"] for entry in verify(study)} == {"identical"}

    (study / "results/S01/spots.csv").unlink()
    (study / "results/S01/spots.csv").write_text("spot\nA2\n")
    annexed = (study / "raw/S01/a.tif").resolve()
    annexed.parent.chmod(0o755)
    annexed.unlink()
    found = {entry["path"]: entry["status"] for entry in verify(study)}
    assert found["results/S01/spots.csv"] == "different"
    assert found["raw/S01/a.tif"] == "not fetched"


def test_plain_study_says_versioning_off(tmp_path):
    study = tmp_path / "study"
    new_study(study, versioning=False)
    assert not is_dataset(study)
    assert 'versioning: "off"' in (study / "config/config.yaml").read_text()


def test_plain_study_becomes_a_dataset_and_keeps_its_files(tmp_path):
    study = tmp_path / "study"
    new_study(study, versioning=False)
    (study / "config/slides.tsv").write_text("slide\tassay\nS1\tobjects\n")
    new_study(study)
    assert is_dataset(study)
    assert (study / "config/slides.tsv").read_text() == "slide\tassay\nS1\tobjects\n"
    assert git(study, "status", "--porcelain") == ""


def test_new_study_refuses_what_is_in_the_way(tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.doc").write_text("mine")
    for path in (file, full):
        with pytest.raises(InputError, match="Choose"):
            new_study(path)
    assert (full / "thesis.doc").read_text() == "mine"
    assert [path.name for path in full.iterdir()] == ["thesis.doc"]


def test_versioning_in_a_plain_folder_is_told(tmp_path):
    study = tmp_path / "study"
    new_study(study, versioning=False)
    add_slide(study, "S01")
    with pytest.raises(InputError, match="versioning: off"):
        version_raw(study, "S01", versioning="datalad", out=study / "results/S01/version.json")


def test_missing_git_annex_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("gridwell.versions.dataset.sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with pytest.raises(InputError, match="git-annex is not on PATH"):
        prepare_environment()


def test_commit_lock_is_freed_by_kill(tmp_path):
    study = tmp_path / "study"
    study.mkdir()
    with committing(study):
        pass
    child = os.fork()
    if child == 0:
        with committing(study):
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    with committing(study):
        pass

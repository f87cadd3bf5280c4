"""Studies as DataLad datasets: made on a bare machine, saved, verified."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import gridwell
import pytest
from gridwell.config.errors import InputError
from gridwell.config.hashes import sha256
from gridwell.versions.checks import check_dataset, is_dataset
from gridwell.versions.dataset import committing, save
from gridwell.versions.new import new_study
from gridwell.versions.record import verify, write_record
from gridwell.versions.store import fsck

from tests.unit.versions.studies import (
    COMMAND,
    add_slide,
    as_study,
    describe,
    edit_code,
    finish,
    git,
    save_slide,
)

pytestmark = [pytest.mark.datalad, pytest.mark.usefixtures("somebody")]

SAVE = """\
import sys
from pathlib import Path
import datalad.api
from gridwell.versions.dataset import version_raw
print("begins", flush=True)
study, slide = Path(sys.argv[1]), sys.argv[2]
version_raw(study, slide, versioning="datalad", out=study / f"results/{slide}/version.json")
"""


def start_saving(study: Path, slide: str, **options: object) -> subprocess.Popen[bytes]:
    """Save a slide in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", SAVE, study, slide],
        env=os.environ | {"PYTHONPATH": str(Path(gridwell.__file__).parents[1])},
        stdout=subprocess.PIPE,
        **options,
    )


def test_new_study_is_a_dataset_with_raw_inside(tmp_path, code):
    study = tmp_path / "study"
    assert new_study(study)
    assert check_dataset(as_study(study), code) == []
    assert is_dataset(study)
    assert is_dataset(study / "raw")
    assert git(study, "status", "--porcelain") == ""
    assert git(study, "log", "-1", "--format=%an %ae") == "Ada Ada@example.org"
    assert git(study / "workflow", "rev-parse", "HEAD") == git(code, "rev-parse", "HEAD")
    for name in ("config.yaml", "slides.tsv", "channels.tsv", "layouts/example.csv"):
        assert (study / "config" / name).stat().st_size > 0


def test_raw_images_are_annexed_with_checkable_keys(study):
    add_slide(study, "S01")
    out = save_slide(study, "S01")
    version = json.loads(out.read_text())
    (file,) = version["files"]
    assert file["key"] == f"SHA256E-s{file['size']}--{file['sha256']}.tif"
    assert (study / "raw/S01/a.tif").is_symlink()
    assert not (study / "raw/S01/slide.json").is_symlink()
    assert version["commit"] == git(study / "raw", "rev-parse", "HEAD")
    # The same content again is the same version.
    save_slide(study, "S01")
    assert json.loads(out.read_text()) == version


@pytest.mark.slow
def test_eight_processes_at_once_lose_nothing(study):
    slides = [f"S{number}" for number in range(8)]
    for slide in slides:
        add_slide(study, slide, slide.encode() * 500)
    running = [start_saving(study, slide) for slide in slides]
    assert [process.wait() for process in running] == [0] * 8
    assert git(study / "raw", "status", "--porcelain", "--untracked-files=all") == ""
    messages = git(study / "raw", "log", "--format=%s").splitlines()
    assert sorted(message for message in messages if message.startswith("raw: ")) == [
        f"raw: {slide}" for slide in slides
    ]
    for slide in slides:
        (version,) = json.loads((study / f"results/{slide}/version.json").read_text())["files"]
        assert version["sha256"] == sha256(study / "raw" / slide / "a.tif")


def save_again(study: Path, slide: str, *, nothing_runs: bool) -> None:
    """Save a slide, doing as the message says where a killed git is in the way."""
    for _ in range(50):
        try:
            save_slide(study, slide)
            return
        except InputError as error:
            assert "run again" in str(error)
            if nothing_runs:
                (study / "raw/.git/index.lock").unlink()
            time.sleep(0.2)
    pytest.fail("cannot be saved any more")


@pytest.mark.slow
@pytest.mark.parametrize("whole", [True, False], ids=["with git-annex", "alone"])
def test_save_that_was_killed_is_saved_by_the_next(study, whole):
    contents = {}
    for number, delay in enumerate((0.1, 0.25, 0.45)):
        slide = f"S{number}"
        contents[slide] = os.urandom(1 << 16) * 960
        image = add_slide(study, slide, contents[slide])
        process = start_saving(study, slide, start_new_session=True)
        assert process.stdout.readline() == b"begins\n"
        time.sleep(delay)
        # Killed alone, it leaves a git-annex behind that goes on for a while.
        (os.killpg if whole else os.kill)(process.pid, 9)
        process.wait()
        assert image.is_symlink() or image.stat().st_size == len(contents[slide])
        save_again(study, slide, nothing_runs=whole)
    assert git(study / "raw", "status", "--porcelain", "--untracked-files=all") == ""
    for slide, content in contents.items():
        assert (study / f"raw/{slide}/a.tif").is_symlink()
        assert (study / f"raw/{slide}/a.tif").read_bytes() == content
    git(study / "raw", "annex", "fsck", "--quiet")
    git(study / "raw", "fsck")


def test_lock_of_a_killed_git_is_told(study):
    add_slide(study, "S01")
    (study / "raw/.git/index.lock").touch()
    with pytest.raises(InputError, match=r"index\.lock"):
        save_slide(study, "S01")
    (study / "raw/.git/index.lock").unlink()
    save_slide(study, "S01")
    assert git(study / "raw", "status", "--porcelain") == ""


@pytest.mark.parametrize("versioning", ["datalad", "off"])
def test_copy_that_differs_from_its_source_is_refused(study, versioning):
    image = add_slide(study, "S01")
    describe(image, sha256(image)[::-1])
    with pytest.raises(InputError, match="differs from what was read from its source"):
        save_slide(study, "S01", versioning)
    assert not (study / "results/S01/version.json").exists()
    # The remedy: the file is removed and brought in again.
    add_slide(study, "S01", b"II*\0another")
    save_slide(study, "S01", versioning)


def test_image_comes_again_from_the_url_it_came_from(study, tmp_path, monkeypatch):
    for number, (key, value) in enumerate(
        {
            "annex.security.allowed-ip-addresses": "127.0.0.1",
            "annex.security.allowed-url-schemes": "http",
        }.items()
    ):
        monkeypatch.setenv(f"GIT_CONFIG_KEY_{number}", key)
        monkeypatch.setenv(f"GIT_CONFIG_VALUE_{number}", value)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "2")
    (tmp_path / "www").mkdir()
    (tmp_path / "www/an image.tif").write_bytes(b"II*\0" * 1000)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=tmp_path / "www")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/an%20image.tif"
            image = add_slide(study, "S01", url=url)
            save_slide(study, "S01")
            save_slide(study, "S01")  # told once more, it is still one URL
            raw = study / "raw"
            whereis = json.loads(git(raw, "annex", "whereis", "--json", "S01/a.tif"))
            web = [copy for copy in whereis["whereis"] if copy["description"] == "web"]
            assert [copy["urls"] for copy in web] == [[url]]
            git(raw, "annex", "drop", "S01/a.tif")
            assert not image.exists()
            git(raw, "annex", "get", "--from", "web", "S01/a.tif")
        finally:
            server.shutdown()
    assert image.read_bytes() == b"II*\0" * 1000


def test_hard_linked_image_is_annexed_by_its_content(study, tmp_path):
    """git-annex keeps the link, and what it protects is protected under both names.

    Whoever makes the delivered file writable again and writes into it damages the dataset's
    copy with it; only fsck tells.
    """
    delivered = tmp_path / "a.tif"
    delivered.write_bytes(b"II*\0" * 1000)
    image = study / "raw/S01/a.tif"
    image.parent.mkdir()
    image.hardlink_to(delivered)
    describe(image, sha256(image))
    (file,) = json.loads(save_slide(study, "S01").read_text())["files"]
    assert file["key"] == f"SHA256E-s4000--{sha256(delivered)}.tif"
    assert image.read_bytes() == delivered.read_bytes() == b"II*\0" * 1000
    assert image.resolve().samefile(delivered)
    assert delivered.stat().st_mode & 0o222 == 0
    git(study / "raw", "annex", "fsck", "--quiet")


def test_what_root_writes_through_a_link_is_seen_by_fsck_alone(recorded):
    if os.geteuid() != 0:
        pytest.skip("only root can write into a locked file")
    with (recorded / "raw/S01/a.tif").open("r+b") as file:
        file.write(b"MM")
    assert git(recorded / "raw", "status", "--porcelain") == ""
    assert git(recorded, "status", "--porcelain") == ""
    (found,) = fsck(recorded)
    assert (found.path, found.place, found.wrong) == (
        "raw/S01/a.tif",
        "here",
        "its content is damaged",
    )
    assert found.mended == ""  # it was pushed nowhere


def test_record_is_rerunnable_and_verified(study, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # not the study: nothing may depend on where we are
    add_slide(study, "S01")
    version = save_slide(study, "S01").relative_to(study)
    (study / "results/S01/spots.csv").write_text("spot\nA1\n")
    for name in ("models/net.safetensors", "annotations/dapi/labels/S01.A1.tif"):
        (study / name).parent.mkdir(parents=True)
        (study / name).write_bytes(b"content of " + name.encode())
    save(study, ["annotations"], "study: annotations")
    results = [Path("results/S01/spots.csv"), Path("models/net.safetensors")]
    options = {"versioning": "datalad", "command": COMMAND, "repository": code}
    write_record(study, results, [version], **options)
    message = git(study, "log", "-1", "--format=%B")
    assert message.startswith("[DATALAD RUNCMD] results: S01")
    assert f'"cmd": "{COMMAND}"' in message
    assert git(study, "status", "--porcelain") == ""
    recorded = json.loads((study / "results/record.json").read_text())
    assert recorded["code"] == {"commit": git(code, "rev-parse", "HEAD"), "url": None}
    assert {entry["status"] for entry in verify(study)} == {"identical"}

    (study / "results/S01/spots.csv").unlink()
    (study / "results/S01/spots.csv").write_text("spot\nA2\n")
    annexed = (study / "raw/S01/a.tif").resolve()
    annexed.parent.chmod(0o755)
    annexed.unlink()
    found = {entry["path"]: entry["status"] for entry in verify(study)}
    assert found["results/S01/spots.csv"] == "different"
    assert found["raw/S01/a.tif"] == "not fetched"


@pytest.mark.parametrize("file", ["Snakefile", "scripts/gridwell/new.py"])
def test_no_record_of_code_that_no_commit_holds(study, code, file):
    add_slide(study, "S01")
    with (code / file).open("a") as edited:
        edited.write("# edited\n")
    with pytest.raises(InputError, match=f"{file}: was changed and not committed"):
        finish(study, code)
    assert not (study / "results/record.json").exists()
    assert (study / "results/S01/spots.csv").exists()
    git(code, "add", ".")
    git(code, "commit", "--quiet", "--message", "edited")
    finish(study, code)


def test_words_of_the_code_may_be_edited(study, code):
    add_slide(study, "S01")
    (code / "README.md").write_text("other words\n")
    finish(study, code)
    assert (study / "results/record.json").exists()


def test_no_record_of_a_configuration_that_changed_meanwhile(study, code):
    add_slide(study, "S01")
    (study / "config/slides.tsv").write_text("slide\tassay\n")
    with pytest.raises(InputError, match=r"config/slides\.tsv: was changed while the run"):
        finish(study, code)


def test_new_code_is_pinned_and_the_old_stays_reachable(recorded, code):
    from gridwell.versions.begin import begin_run

    old = git(code, "rev-parse", "HEAD")
    new = edit_code(code)
    begin_run(recorded, code)
    assert git(recorded / "workflow", "rev-parse", "HEAD") == new
    assert git(recorded, "ls-tree", "HEAD", "workflow").split()[2] == new
    assert git(recorded, "status", "--porcelain") == ""
    branches = git(recorded / "workflow", "branch", "--list", "pinned/*", "--format=%(objectname)")
    assert set(branches.split()) == {old, new}
    before = git(recorded, "rev-parse", "HEAD")
    begin_run(recorded, code)
    assert git(recorded, "rev-parse", "HEAD") == before


def test_plain_study_says_versioning_off(tmp_path):
    study = tmp_path / "study"
    new_study(study, versioning=False)
    assert not is_dataset(study)
    assert 'versioning: "off"' in (study / "config/config.yaml").read_text()


def test_plain_study_becomes_a_dataset_and_keeps_its_files(tmp_path, code):
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
        save_slide(study, "S01")


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

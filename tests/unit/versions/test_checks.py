"""What would break a history is told before the first job, with the remedy that mends it."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from gridwell.config.errors import InputError
from gridwell.versions.checks import (
    check_dataset,
    check_file_system,
    file_system_of,
    prepare_environment,
)
from gridwell.versions.new import new_study

from tests.unit.versions.studies import CHUNK, as_study, git

pytestmark = [pytest.mark.datalad, pytest.mark.usefixtures("somebody")]


def run_remedy(remedy: str) -> None:
    """Do as a person who reads the message would."""
    command = remedy.removeprefix("Run: ").partition(";")[0]
    subprocess.run(command.split(), check=True, capture_output=True)


@pytest.mark.parametrize(("versioning", "mistakes"), [("datalad", 1), ("off", 0)])
def test_folder_without_history_is_told(tmp_path, code, versioning, mistakes):
    assert len(check_dataset(as_study(tmp_path, versioning), code)) == mistakes


def test_all_is_well(recorded, code):
    assert check_dataset(as_study(recorded), code) == []


def test_missing_git_annex_is_told(study, code, tmp_path, monkeypatch):
    monkeypatch.setattr("gridwell.versions.checks.sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    if shutil.which("git-annex"):
        pytest.skip("the system has a git-annex of its own")
    with pytest.raises(InputError, match=r"git-annex is not on PATH.*pip install git-annex"):
        prepare_environment()
    (problem,) = check_dataset(as_study(study), code)
    assert "git-annex is not on PATH" in str(problem)


def test_missing_identity_is_told_before_anything_is_made(tmp_path, code, nobody):
    with pytest.raises(InputError, match=r'git config --global user\.name "Your Name"'):
        new_study(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_missing_identity_is_told_before_a_run(study, code, nobody):
    (problem,) = check_dataset(as_study(study), code)
    assert "does not know who you are" in problem.reason
    git(study, "config", "user.name", "Ada")
    assert check_dataset(as_study(study), code) == [problem]
    git(study, "config", "user.email", "ada@example.org")
    assert check_dataset(as_study(study), code) == []


@pytest.mark.parametrize("part", [".", "raw"])
def test_adjusted_branch_is_told(recorded, code, part):
    git(recorded / part, "annex", "adjust", "--unlock")
    (problem,) = check_dataset(as_study(recorded), code)
    assert problem.file == str(recorded / part)
    assert str(problem.value).startswith("adjusted/")
    assert "adjusted branch of git-annex" in problem.reason
    run_remedy(problem.remedy)
    assert check_dataset(as_study(recorded), code) == []
    assert (recorded / "raw/S01/a.tif").is_symlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_folder_of_another_user_is_told(recorded, code, tmp_path, monkeypatch):
    subprocess.run(["chown", "--recursive", "--no-dereference", "12345", recorded], check=True)
    problems = check_dataset(as_study(recorded), code)
    assert [problem.file for problem in problems] == [str(recorded), str(recorded / "raw")]
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    for problem in problems:
        assert problem.reason == "belongs to another user"
        assert "git config --global --add safe.directory" in problem.remedy
        run_remedy(problem.remedy)
    assert check_dataset(as_study(recorded), code) == []


def test_code_without_a_clone_is_told(recorded, tmp_path):
    (problem,) = check_dataset(as_study(recorded), tmp_path)
    assert "does not run from a git clone" in problem.reason
    assert "versioning: off" in problem.remedy


def test_results_that_are_elsewhere_are_told_but_for_pieces_of_zarr(recorded, code):
    results = recorded / "results"
    for number in range(7):
        (results / f"{number}.png").write_bytes(bytes([number]) * (1 << 20) + b"more than 1 MB")
    git(recorded, "annex", "add", "results")
    git(recorded, "annex", "drop", "--force", "results")
    assert not (recorded / CHUNK).exists()
    problems = check_dataset(as_study(recorded), code)
    assert [problem.file for problem in problems] == [f"results/{n}.png" for n in range(5)]
    assert problems[0].remedy == (
        "Run in the study: datalad get results/0.png (and 2 more such files)"
    )
    assert problems[1].remedy == "Run in the study: datalad get results/1.png"


def test_file_system_of_the_tests_is_fine(tmp_path):
    assert check_file_system(tmp_path) == []
    assert list(tmp_path.iterdir()) == [tmp_path / "home"]


def test_file_system_of_a_folder():
    assert file_system_of(Path("/proc/self")) == "proc"
    assert file_system_of(Path("/proc/nowhere/at/all")) == "proc"
    assert file_system_of(Path("/nowhere")) == file_system_of(Path("/"))


def test_folder_that_cannot_be_written_to_is_told():
    (problem,) = check_file_system(Path("/proc/self"))
    assert "cannot be written to" in problem.reason


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("symlink_to", "no symbolic links"),
        ("hardlink_to", "no hard links"),
        ("chmod", "cannot be made read-only"),
    ],
)
def test_file_system_that_lacks_something_is_told(tmp_path, monkeypatch, method, reason):
    def refuse(*_: object) -> None:
        if method != "chmod":  # which a file system without modes takes and forgets
            raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, method, refuse)
    (problem,) = check_file_system(tmp_path)
    assert reason in problem.reason
    assert problem.value == file_system_of(tmp_path)


# Ways to make and to mount a file system of USB sticks; a kernel may lack the one or the other.
STICKS = {
    "vfat": ("mkfs.vfat", ["mount", "-t", "vfat"]),
    "exfat": ("mkfs.exfat", ["mount.exfat-fuse"]),
}


@pytest.fixture
def stick(tmp_path) -> Iterator[Path]:
    """Mount a file system of USB sticks, of whichever kind this machine can."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    run = functools.partial(
        subprocess.run,
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"},
    )
    image, folder = tmp_path / "stick.img", tmp_path / "a stick"
    folder.mkdir()
    tried = []
    for make, mount in STICKS.values():
        with image.open("wb") as file:
            file.truncate(16 << 20)
        try:
            run([make, image])
            device = run(["losetup", "--find", "--show", image]).stdout.strip()
        except (OSError, subprocess.CalledProcessError) as error:
            tried.append(str(error))
            continue
        try:
            run([*mount, device, folder])
        except (OSError, subprocess.CalledProcessError) as error:
            tried.append(str(error))
        else:
            yield folder
            run(["umount", folder])
            return
        finally:
            run(["losetup", "--detach", device])
    pytest.skip(f"no such file system can be mounted here: {'; '.join(tried)}")


def test_stick_is_told(stick, code):
    (problem,) = check_file_system(stick)
    assert "no symbolic links" in problem.reason
    assert problem.value in {"vfat", "exfat", "fuseblk"}
    with pytest.raises(InputError, match="gridwell push"):
        new_study(stick / "study")
    assert not (stick / "study").exists()


def test_broken_file_system_that_git_annex_found_is_told(recorded, code):
    git(recorded / "raw", "config", "annex.crippledfilesystem", "true")
    (problem,) = check_dataset(as_study(recorded), code)
    assert "git-annex found it without links or modes" in problem.reason

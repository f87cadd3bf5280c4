"""Small studies with a real history, made by hand."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from gridwell.config.hashes import sha256
from gridwell.config.models import Config
from gridwell.images.description import FORMAT, NAME
from gridwell.versions.checks import prepare_environment
from gridwell.versions.dataset import version_raw
from gridwell.versions.record import write_record

CODE_ID = "12345678-1234-4234-8234-123456789abc"
COMMAND = "snakemake --forceall --config --cores all -- analysis"
CHUNK = Path("results/S01/labels.zarr/c/0")
"""The annexed result of a study."""


def be(monkeypatch: pytest.MonkeyPatch, home: Path, name: str | None = None) -> None:
    """Be on a machine where nobody set up anything, under a name or under none."""
    home.mkdir(exist_ok=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.setenv("PATH", "/usr/local/bin:/usr/bin:/bin")
    monkeypatch.delenv("SUDO_UID", raising=False)
    for role in ("AUTHOR", "COMMITTER"):
        for what, value in (("NAME", name), ("EMAIL", f"{name}@example.org")):
            if name is None:
                monkeypatch.delenv(f"GIT_{role}_{what}", raising=False)
            else:
                monkeypatch.setenv(f"GIT_{role}_{what}", value)


def git(folder: Path, *arguments: str | Path) -> str:
    prepare_environment()
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def as_study(root: Path, versioning: str = "datalad") -> SimpleNamespace:
    """What the check before a run needs of a study."""
    return SimpleNamespace(root=root, config=Config(versioning=versioning))


def make_code(folder: Path) -> Path:
    """Make a repository as gridwell's own is, with one commit."""
    for name, content in {
        "Snakefile": "rule all:\n",
        "scripts/gridwell/__init__.py": "",
        "README.md": "words\n",
        ".datalad/config": f'[datalad "dataset"]\n\tid = {CODE_ID}\n',
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "code")
    return folder


def edit_code(folder: Path) -> str:
    """Commit other code; return the commit."""
    with (folder / "Snakefile").open("a") as file:
        file.write("# more\n")
    git(folder, "commit", "--quiet", "--all", "--message", "more code")
    return git(folder, "rev-parse", "HEAD")


def add_slide(study: Path, slide: str, content: bytes = b"II*\0" * 1000, **facts: str) -> Path:
    """Bring in an image by hand; `facts` go into its entry of slide.json."""
    image = study / "raw" / slide / "a.tif"
    image.parent.mkdir(parents=True, exist_ok=True)
    image.unlink(missing_ok=True)
    image.write_bytes(content)
    describe(image, sha256(image), **facts)
    return image


def describe(image: Path, digest: str, **facts: str) -> None:
    """Write slide.json for an image."""
    files = [{"name": image.name, "size": image.stat().st_size, "sha256": digest, **facts}]
    image.with_name(NAME).write_text(json.dumps({"format": FORMAT, "files": files}))


def save_slide(study: Path, slide: str, versioning: str = "datalad") -> Path:
    """Save a slide; return its version.json."""
    out = study / f"results/{slide}/version.json"
    version_raw(study, slide, versioning=versioning, out=out)
    return out


def finish(study: Path, code: Path, slide: str = "S01") -> None:
    """Leave results and a record, as a run does: text in git, a Zarr chunk annexed."""
    version = save_slide(study, slide).relative_to(study)
    (study / "results/S01/spots.csv").write_text("spot\nA1\n")
    (study / CHUNK).parent.mkdir(parents=True, exist_ok=True)
    (study / CHUNK).write_bytes(b"labels" * 100)
    results = [version, Path("results/S01/spots.csv"), CHUNK.parent.parent]
    write_record(study, results, [version], versioning="datalad", command=COMMAND, repository=code)


def flip(path: Path) -> bytes:
    """Flip a bit in the middle of a file as a disk does: size and time stay. Return what was."""
    path = path.resolve()
    before, times = path.read_bytes(), path.stat()
    damaged = bytearray(before)
    damaged[len(damaged) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(damaged)
    path.chmod(0o444)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    return before

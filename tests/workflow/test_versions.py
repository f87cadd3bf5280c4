"""A study from raw pixels to a record that others rerun: real DataLad, git-annex and runs."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from gridwell.config.errors import InputError
from gridwell.config.hashes import content_hash
from gridwell.config.provenance import read_provenance
from gridwell.phantom.study import simulate_study
from gridwell.versions.record import verify, write_record

from tests.workflow.conftest import (
    SNAKEMAKE,
    Run,
    command_of,
    environment,
    runner,
)

# One worker runs them all: they share a study that takes a minute to make.
pytestmark = [
    pytest.mark.datalad,
    pytest.mark.workflow,
    pytest.mark.slow,
    pytest.mark.xdist_group("versions"),
]
SLIDE = "T01"
OWN = "+clone"
Gridwell = Callable[..., subprocess.CompletedProcess[str]]


def programs() -> str:
    """PATH with the environment's programs first, git-annex and Snakemake among them."""
    return str(Path(SNAKEMAKE).parent) + os.pathsep + os.environ["PATH"]


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", folder, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=environment(folder.parent / "home") | {"PATH": programs()},
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def clone(repository, tmp_path_factory) -> Path:
    """A clone of gridwell with the working tree as its newest commit: records need one.

    It has a version of its own, to tell its library from the one that is installed here.
    """
    clone = tmp_path_factory.mktemp("code") / "gridwell"
    git(clone.parent, "clone", "--quiet", str(repository), str(clone))
    changed = git(repository, "ls-files", "-z", "--modified", "--others", "--exclude-standard")
    for name in filter(None, changed.split("\0")):
        target = clone / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (repository / name).exists():
            shutil.copy2(repository / name, target)
        else:
            target.unlink(missing_ok=True)
    own = clone / "scripts/gridwell/__init__.py"
    own.write_text(re.sub('__version__ = "(.*)"', rf'__version__ = "\1{OWN}"', own.read_text()))
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--allow-empty", "--message", "the working tree")
    return clone


@pytest.fixture(scope="module")
def gridwell(tmp_path_factory) -> Gridwell:
    """Run the command ``gridwell`` as a person without any setting would."""
    home = tmp_path_factory.mktemp("home")

    def gridwell(*arguments: str | Path, identity: bool = True, before: tuple[str, ...] = ()):
        own = environment(home)
        if not identity:
            own = {
                name: value for name, value in own.items() if not name.endswith(("_NAME", "_EMAIL"))
            }
        return subprocess.run(
            [*before, sys.executable, "-m", "gridwell", *map(str, arguments)],
            check=False,
            capture_output=True,
            text=True,
            timeout=600,
            env=own | {"PATH": "/usr/local/bin:/usr/bin:/bin"},
        )

    return gridwell


@pytest.fixture(scope="module")
def run_at(clone, tmp_path_factory) -> Run:
    """Run the workflow of the clone on a study."""
    return runner(command_of(clone), tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def recorded(gridwell, run_at, tmp_path_factory) -> Path:
    """A study that was run, tagged v1.0 and pushed to the store beside it; left as it is."""
    study = tmp_path_factory.mktemp("recorded") / "study"
    made = gridwell("new", study)
    assert made.returncode == 0, made.stderr
    simulate_study(study, size="tiny")
    run_at(study)
    for command in (("tag", study, "v1.0"), ("push", study, study.with_name("store"))):
        done = gridwell(*command)
        assert done.returncode == 0, done.stderr
    return study


@pytest.fixture
def own(recorded, tmp_path) -> Iterator[Path]:
    """A copy of the recorded study that a test may change."""
    study = tmp_path / "study"
    shutil.copytree(recorded, study, symlinks=True)
    yield study
    for folder in [path for path in study.rglob("objects") if path.is_dir()]:
        subprocess.run(["chmod", "-R", "u+w", folder], check=True)


def said(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


def test_run_leaves_one_record_with_everything_in_it(recorded, run_at, clone, finished_study):
    assert git(recorded, "status", "--porcelain") == ""
    message = git(recorded, "log", "-1", "--format=%B")
    assert "[DATALAD RUNCMD] results: T01" in message
    assert "--forceall" in message
    assert git(recorded, "log", "-1", "--format=%an") == "A. Author"
    commit = git(clone, "rev-parse", "HEAD")
    assert git(recorded / "workflow", "rev-parse", "HEAD") == commit
    record = json.loads((recorded / "results/record.json").read_text())
    assert record["code"]["commit"] == commit
    assert {"torch", "snakemake", "numpy", "zarr"} <= set(record["libraries"])
    assert record["device"]["used"] == ["cpu"]
    assert set(record["models"]) == {"grid-elements", "nuclei", "stained-cells"}
    version = json.loads((recorded / f"results/{SLIDE}/version.json").read_text())
    assert version["commit"] == git(recorded / "raw", "log", "-1", "--format=%H", "--", SLIDE)
    assert all(file["key"].startswith("SHA256E-") for file in version["files"])
    assert {entry["status"] for entry in verify(recorded)} == {"identical"}
    # The same numbers as in a plain folder.
    for name in ("grid.csv", "spots.csv", "labels/nuclei.zarr"):
        assert content_hash(recorded / f"results/{SLIDE}/{name}") == content_hash(
            finished_study / f"results/{SLIDE}/{name}"
        ), name
    assert "Nothing to be done" in said(run_at(recorded))


RESULTS = [
    f"results/{SLIDE}/spots.csv",
    f"results/{SLIDE}/cells.parquet",
    f"results/{SLIDE}/instances/nuclei.parquet",
    f"results/{SLIDE}/report.html",
    "results/screen/dose_response.csv",
    "results/screen/report.html",
]


@pytest.mark.parametrize("name", RESULTS)
def test_results_say_what_they_were_made_from(recorded, gridwell, name):
    record = json.loads((recorded / "results/record.json").read_text())
    made = read_provenance(recorded / name)
    assert made["slides"] == {SLIDE: {"raw": record["raw"][SLIDE]}}
    assert re.fullmatch("[0-9a-f]{40}", made["code"]["commit"])
    assert set(made["models"].items()) <= set(record["models"].items())
    walked = gridwell("verify", recorded / name)
    assert walked.returncode == 0, walked.stdout
    whats = [line.split()[0] for line in walked.stdout.splitlines()]
    assert {"result", "raw", "code", "model", "configuration"} == set(whats)


def test_the_library_of_the_clone_computes_and_not_the_installed_one(recorded):
    """A record that names one commit while another one computes would be a lie."""
    record = json.loads((recorded / "results/record.json").read_text())
    assert record["gridwell"].endswith(OWN)
    for name in (f"results/{SLIDE}/report.html", "results/screen/report.html"):
        assert f"gridwell {record['gridwell']}" in (recorded / name).read_text()


def test_reports_show_it_too(recorded):
    page = (recorded / f"results/{SLIDE}/report.html").read_text()
    shown = page[page.index('<footer id="provenance-shown">') :]
    for digest in json.loads((recorded / "results/record.json").read_text())["raw"][SLIDE].values():
        assert digest in shown


def nothing_to_do(done: subprocess.CompletedProcess[str]) -> bool:
    return "Nothing to be done" in said(done)


def test_the_same_delivery_again_changes_nothing(own, run_at):
    for image in (own / "landing" / SLIDE).glob("*.tif"):
        shutil.copy(image, image.with_suffix(".new"))
        image.with_suffix(".new").replace(image)
    assert nothing_to_do(run_at(own, "--dry-run"))
    shutil.rmtree(own / "landing")
    assert nothing_to_do(run_at(own, "--dry-run"))
    assert git(own, "status", "--porcelain") == ""


def test_a_changed_delivery_is_a_mistake_or_a_replacement(own, run_at):
    image = next((own / "landing" / SLIDE).glob("*nuclei*.tif"))
    times = image.stat()
    before = git(own / "raw", "rev-parse", "HEAD")
    key = (own / "raw" / SLIDE / image.name).readlink().name
    data = bytearray(image.read_bytes())
    data[len(data) // 2] ^= 1
    image.write_bytes(data)
    # An instrument's own time is older than the run's.
    os.utime(image, ns=(times.st_atime_ns, times.st_mtime_ns - 10**9))

    done = run_at(own, "--dry-run", check=False)
    assert done.returncode != 0
    assert image.name in said(done)
    assert "ingest.replace: true" in said(done)
    assert git(own, "status", "--porcelain") == ""

    run_at(own, "--until", "version_raw", "--config", "ingest={replace: true}")
    raw = own / "raw" / SLIDE / image.name
    assert raw.read_bytes() == bytes(data)
    assert git(own / "raw", "log", "--format=%H").split()[1] == before
    old = git(own / "raw", "annex", "contentlocation", key)
    assert (own / "raw" / old).exists(), "the history keeps both"
    planned = run_at(own, "--dry-run", "--config", "ingest={replace: true}")
    assert "rule ingest" not in said(planned)
    assert "rule tile" in said(planned)


def test_dropped_raw_images_keep_every_plan_working(own, run_at, gridwell):
    git(own / "raw", "annex", "drop", SLIDE)
    shutil.rmtree(own / "landing")
    shutil.rmtree(own / "work")
    assert nothing_to_do(run_at(own, "--dry-run"))
    walked = gridwell("verify", own / f"results/{SLIDE}/spots.csv")
    assert walked.returncode == 0
    assert "datalad get" in walked.stdout

    git(own / "raw", "annex", "get", SLIDE)  # with new times, from the store
    assert nothing_to_do(run_at(own, "--dry-run"))

    git(own / "raw", "annex", "drop", SLIDE)
    done = run_at(own, "--config", "tile={chunk: 256}", "--until", "tile", check=False)
    assert done.returncode != 0
    assert f"datalad get raw/{SLIDE}" in said(done)


def test_labels_that_are_elsewhere_are_no_zeros(own, run_at):
    """Zarr reads pieces that are missing as 0, without a word."""
    for piece in (own / f"results/{SLIDE}/labels/live.zarr").rglob("c/*/*/*"):
        assert piece.is_symlink()
        content = piece.resolve()
        content.parent.chmod(0o755)
        content.unlink()
    before = (own / f"results/{SLIDE}/spots.csv").read_bytes()
    assert nothing_to_do(run_at(own, "--dry-run"))
    done = run_at(own, "--config", "fuse={gate: 1.1}", "--until", "fuse", check=False)
    assert done.returncode != 0
    assert "datalad get" in said(done)
    assert "live.zarr" in said(done)
    git(own, "checkout", "--", "results")
    assert (own / f"results/{SLIDE}/spots.csv").read_bytes() == before


def test_results_that_are_elsewhere_are_told_before_the_plan(own, run_at):
    table = own / f"results/{SLIDE}/cells.parquet"
    table.unlink()
    table.symlink_to("../../.git/annex/objects/aa/bb/SHA256E-s1--00.parquet/SHA256E-s1--00.parquet")
    done = run_at(own, "--dry-run", check=False)
    assert done.returncode != 0
    assert f"datalad get results/{SLIDE}/cells.parquet" in said(done)


def test_code_that_no_commit_holds_is_not_recorded(own, clone, run_at, tmp_path):
    """The rules' text is no part of a rule's hash, so that nothing is computed again here."""
    rules = clone / "rules/report.smk"
    text = rules.read_text()
    (own / "results/record.json").unlink()
    before = git(own, "rev-parse", "HEAD")
    try:
        rules.write_text(text + "# changed\n")
        done = run_at(own, check=False)
    finally:
        rules.write_text(text)
    assert done.returncode != 0
    assert "rules/report.smk" in said(done)
    assert "No record will be made" in said(done)
    assert git(own, "rev-parse", "HEAD") == before
    assert (own / f"results/{SLIDE}/spots.csv").exists()
    run_at(own)
    assert git(own, "status", "--porcelain") == ""


def test_configuration_is_committed_before_and_refused_when_changed_meanwhile(own, clone, run_at):
    config = own / "config/config.yaml"
    config.write_text(config.read_text() + "# a note\n")
    with pytest.raises(InputError, match=r"config/config.yaml.*while the run was going on"):
        write_record(
            own, [], [], versioning="datalad", command="snakemake --cores 1", repository=clone
        )
    (own / "results/record.json").unlink()
    run_at(own)
    assert "# a note" in git(own, "show", "HEAD~1:config/config.yaml")
    assert git(own, "status", "--porcelain") == ""


class Silent(SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder over http on this machine."""
    handler = functools.partial(Silent, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def statuses(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Status of each result in the verdict."""
    lines = re.findall(r"^([a-z ]+):\s+((?:results|models)/\S+)", done.stdout, re.MULTILINE)
    return {path: status for status, path in lines}


def test_reproduced_from_the_store_over_http_elsewhere(recorded, gridwell, tmp_path):
    """The study is gone, the machine knows nobody, folder and number of cores are others."""
    gone = recorded.rename(recorded.with_name("gone"))
    try:
        with served(recorded.parent) as url:
            done = gridwell(
                *("reproduce", f"ria+{url}/store#~study", "--tag", "v1.0", "--cores", "1"),
                *("--out", tmp_path / "elsewhere"),
                identity=False,
            )
    finally:
        gone.rename(recorded)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    found = statuses(done)
    assert set(found.values()) == {"identical"}, done.stdout
    record = json.loads((recorded / "results/record.json").read_text())
    assert set(record["results"]) <= set(found)


def read_only(folder: Path) -> tuple[str, ...]:
    """Words before a command that make it see a folder without the right to write, as root too."""
    script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    words = ("unshare", "--mount", "sh", "-c", script, str(folder))
    tried = subprocess.run([*words, "true"], capture_output=True, check=False)
    return words if tried.returncode == 0 else ()


def test_one_option_changed_is_told_file_by_file(recorded, gridwell, tmp_path):
    """Cloned from a folder that may only be read, one slide, another method of fusion."""
    out = tmp_path / "review"
    done = gridwell(
        *("reproduce", recorded, "--slide", SLIDE, "--config", "fuse={method: knn}"),
        *("--out", out),
        before=read_only(recorded),
    )
    assert done.returncode == 1, done.stdout + done.stderr[-3000:]
    found = statuses(done)
    assert found, done.stderr[-3000:]
    changed = {path for path, status in found.items() if status == "different"}
    folder = f"results/{SLIDE}"
    tables = ("cells.parquet", "spots.csv", "spots.csv.provenance.json", "shifts.json")
    dependent = (*tables, "report.html")
    assert changed == {f"{folder}/{name}" for name in dependent}
    assert {found[path] for path in found.keys() - changed} == {"identical"}
    assert re.search(r"viability: \d+ of 12 rows differ, most at [A-C]\d: ", done.stdout)
    assert not any(path.startswith("results/screen") for path in found)


def test_rerun_by_datalad_computes_and_finds_the_same(recorded, tmp_path, clone):
    """With all results there, a record without --forceall would say ok and compute nothing."""
    own = environment(tmp_path / "home") | {"PATH": programs()}
    run = functools.partial(subprocess.run, check=True, capture_output=True, text=True, env=own)
    review = tmp_path / "review"
    run(["datalad", "clone", f"ria+file://{recorded.with_name('store')}#~study", review])
    run(["datalad", "get", "--no-data", "workflow"], cwd=review)
    run(["datalad", "get", "results"], cwd=review)
    assert git(review / "workflow", "rev-parse", "HEAD") == git(clone, "rev-parse", "HEAD")
    run(["datalad", "rerun", "v1.0"], cwd=review)
    log = (review / "logs" / "fuse" / f"{SLIDE}.log").exists()
    assert log, "the fusion was computed"
    assert git(review, "status", "--porcelain") == ""
    assert git(review, "diff", "--stat", "v1.0") == ""

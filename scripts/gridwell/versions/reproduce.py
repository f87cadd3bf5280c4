"""The reviewer's command: clone a published study, compute it again, compare file by file."""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gridwell.config.errors import InputError, Problem
from gridwell.config.explain import suggest
from gridwell.config.hashes import IGNORED, sha256
from gridwell.versions.checks import check_identity, prepare_environment
from gridwell.versions.compare import Verdict, compare_result, judge_pages
from gridwell.versions.dataset import hash_in_key, quiet_datalad
from gridwell.versions.git import blob_ids, git, git_does, git_says
from gridwell.versions.record import RECORD, libraries, read_record
from gridwell.versions.store import told
from gridwell.versions.trace import config_of


@dataclass(frozen=True)
class Reproduced:
    """What a reproduction found.

    Attributes
    ----------
    commit
        Version of the study that was computed again.
    verdicts
        One for each published file, and for each file that was not published; by path.
    finished
        Whether the workflow ran to its end.
    versions
        Libraries of other versions than in the record: name, then, now.
    """

    commit: str
    verdicts: list[Verdict]
    finished: bool
    versions: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether there are results, and all are identical or within tolerance."""
        good = {"identical", "within tolerance"}
        found = {verdict.status for verdict in self.verdicts}
        return self.finished and bool(found) and found <= good


def reproduce(
    source: str,
    out: Path,
    *,
    repository: Path,
    tag: str | None = None,
    slide: str | None = None,
    cores: int | None = None,
    config: Sequence[str] = (),
) -> Reproduced:
    """Clone a study, compute all its results again, and compare them with the published ones.

    Nothing is written to the source.

    Parameters
    ----------
    source
        What `datalad clone` takes: a path, ``ria+…#~alias``, an ssh or http URL.
    out
        Folder for the clone; must not exist.
    repository
        The clone of gridwell that runs; its commits serve where the study's code is among them.
    tag
        Version to reproduce; None: the newest.
    slide
        One slide only; the statistics of the screen are then left out.
    cores
        Processors to use; None: all.
    config
        Options to set differently, as ``fuse={gate: 1.2}``: to see what depends on them.

    Raises
    ------
    InputError
        If the study cannot be cloned, has no such version, record or slide, or something that
        the computation needs cannot be fetched.
    """
    prepare_environment()
    out = out.absolute()
    _be_someone(Path.cwd())
    if out.exists():
        raise InputError(Problem(str(out), "is there already", "Choose a new folder with --out"))
    _allow_host(source)
    _say(f"cloning {source}")
    _clone(source, out)
    commit = _check_out(out, tag)
    record = read_record(out)
    if slide is not None and slide not in record["raw"]:
        remedy = suggest(slide, list(record["raw"]), "slides")
        raise InputError(Problem("command line", "is no slide of the study", remedy, value=slide))
    _say("fetching code and raw images")
    _get_code(out, repository)
    _get_inputs(out, [slide] if slide else list(record["raw"]))
    published = published_files(out, commit, slide)
    _remove_results(out, published, slide)
    _say("computing everything again")
    finished = _run(out, record, slide, cores, config)
    then, now = record["libraries"], libraries()
    return Reproduced(
        commit,
        compare_all(out, published, slide),
        finished,
        [(name, then[name], now.get(name, "none")) for name in then if now.get(name) != then[name]],
    )


def _say(text: str) -> None:
    """Tell how far it is; verdicts alone go to standard output."""
    print(f"gridwell reproduce: {text}", file=sys.stderr, flush=True)


def _be_someone(folder: Path) -> None:
    """Name a committer where git knows none: git-annex keeps notes in every clone."""
    if check_identity(folder):
        for who in ("AUTHOR", "COMMITTER"):
            os.environ[f"GIT_{who}_NAME"] = "gridwell reproduce"
            os.environ[f"GIT_{who}_EMAIL"] = "reproduce@localhost"


def _allow_host(source: str) -> None:
    """Let git-annex fetch from the host that the user named, also where its address is private.

    git-annex refuses private addresses, lest a URL in a history reaches into one's network.
    """
    parts = urlsplit(source)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return
    with suppress(OSError):
        address = socket.gethostbyname(parts.hostname)
        if not ipaddress.ip_address(address).is_global:
            number = int(os.environ.get("GIT_CONFIG_COUNT", "0"))
            os.environ[f"GIT_CONFIG_KEY_{number}"] = "annex.security.allowed-ip-addresses"
            os.environ[f"GIT_CONFIG_VALUE_{number}"] = address
            os.environ["GIT_CONFIG_COUNT"] = str(number + 1)


def _clone(source: str, out: Path) -> None:
    import datalad.api as datalad

    with quiet_datalad():
        results = datalad.clone(
            source=source,
            path=str(out),
            result_renderer="disabled",
            on_failure="ignore",
            return_type="list",
            result_xfm=None,
        )
    for result in results:
        if result["status"] not in ("ok", "notneeded"):
            said = told(result)
            remedy = "See to the URL, and whether it opens on this machine"
            if "dubious ownership" in said:
                remedy = "Run: git config --global --add safe.directory, with the path above"
            raise InputError(Problem(source, f"could not be cloned: {said}", remedy))


def _check_out(out: Path, tag: str | None) -> str:
    """Go to the version asked for; return its commit."""
    if tag is not None:
        commit = git_says("rev-parse", "--verify", "--quiet", f"{tag}^{{commit}}", cwd=out)
        if not commit:
            tags = git_says("tag", "--list", cwd=out).split()
            remedy = suggest(tag, tags, "tags") if tags else "The study has no tags; leave it out"
            raise InputError(Problem("command line", "is no version of the study", remedy, None,
                                     "--tag", tag))  # fmt: skip
        git_does("checkout", "--quiet", "--detach", commit, cwd=out)
    return git_says("rev-parse", "HEAD", cwd=out)


def _get_code(out: Path, repository: Path) -> None:
    """Bring workflow/ to the commit that the study is pinned at."""
    entry = git_says("ls-tree", "HEAD", "workflow", cwd=out).split()
    if len(entry) < 3 or entry[1] != "commit":
        reason = "has no workflow/, so that its record cannot be computed again"
        raise InputError(Problem(str(out), reason, "Ask the authors for a study with its code"))
    commit, workflow = entry[2], out / "workflow"
    if not git("cat-file", "-e", f"{commit}^{{commit}}", cwd=repository).returncode:
        git_does("clone", "--quiet", "--no-checkout", repository, workflow, cwd=out)
        git_does("checkout", "--quiet", "--detach", commit, cwd=workflow)
    else:
        _get(out, ["workflow"], data=False)
    if git_says("rev-parse", "HEAD", cwd=workflow) != commit:
        reason = f"commit {commit} of gridwell is not where the study says"
        remedy = "Fetch it into this clone of gridwell (git fetch), and try again in a new folder"
        raise InputError(Problem(str(workflow), reason, remedy))


def _get_inputs(out: Path, slides: Sequence[str]) -> None:
    """Fetch the raw images of slides, and labels that people drew; nothing else is needed."""
    _get(out, ["raw"], data=False)
    _get(out, [f"raw/{slide}" for slide in slides])
    if (out / "annotations").is_dir():
        _get(out, ["annotations"])


def _get(out: Path, paths: Sequence[str], *, data: bool = True) -> None:
    import datalad.api as datalad

    with quiet_datalad():
        results = datalad.get(
            path=[str(out / path) for path in paths],
            dataset=str(out),
            get_data=data,
            result_renderer="disabled",
            on_failure="ignore",
            return_type="list",
        )
    failed = [one for one in results if one["status"] not in ("ok", "notneeded")]
    if failed:
        remedy = "Ask the authors to push it (gridwell push), then try again in a new folder"
        raise InputError(
            Problem(str(one["path"]), f"could not be fetched: {told(one)}", remedy)
            for one in failed[:5]
        )


# A published result by its files, in a Zarr store by their paths there, else ``.`` alone: the
# object of git, and the key of annexed content.
Published = Mapping[str, tuple[str, str | None]]


def published_files(out: Path, commit: str, slide: str | None) -> dict[str, Published]:
    """Results in a version of a study, by path; those of one slide, or all but the record."""
    folders = [f"results/{slide}"] if slide else ["results", "models"]
    found: dict[str, dict[str, tuple[str, str | None]]] = defaultdict(dict)
    for entry in git_does("ls-tree", "-rz", commit, "--", *folders, cwd=out).split("\0"):
        if not entry:
            continue
        facts, path = entry.split("\t", 1)
        mode, _, blob = facts.split()
        if path == str(RECORD):
            continue
        key = None
        if mode == "120000":
            key = git_does("cat-file", "blob", blob, cwd=out).rpartition("/")[2]
        whole, inside = _unit(path)
        found[whole][inside] = (blob, key)
    recorded = read_record(out)["results"]
    return {
        path: files
        for path, files in found.items()
        if not path.startswith("models/") or path in recorded
    }


def _unit(path: str) -> tuple[str, str]:
    """Split a path into the result it belongs to and where it is in that."""
    head, store, inside = path.partition(".zarr/")
    return (head + ".zarr", inside) if store else (path, ".")


def _remove_results(out: Path, published: Mapping[str, Published], slide: str | None) -> None:
    """Take the published results away, so that nothing of them can pass for a new one."""
    shutil.rmtree(out / "results" / slide if slide else out / "results", ignore_errors=True)
    models = [path for path in published if path.startswith("models/")]
    for path in models:
        (out / path).unlink(missing_ok=True)
    if slide and (out / "models").is_dir():
        _get(out, ["models"])


def _run(
    out: Path,
    record: Mapping[str, Any],
    slide: str | None,
    cores: int | None,
    config: Sequence[str],
) -> bool:
    """Compute everything again; say whether the workflow ran to its end."""
    given = config_of(record["command"]) | ({"slides": slide} if slide else {})
    options = [f"{key}={json.dumps(value)}" for key, value in given.items()]
    options += config
    command = [
        *(sys.executable, "-m", "snakemake"),
        *("--snakefile", "workflow/Snakefile", "--directory", "."),
        *("--cores", str(cores or "all"), "--forceall"),
        *(("--config", *options) if options else ()),
        *("--", "slides" if slide else "analysis"),
    ]
    done = subprocess.run(command, cwd=out, check=False, stdout=sys.stderr.fileno())  # noqa: S603
    return done.returncode == 0


def compare_all(out: Path, published: Mapping[str, Published], slide: str | None) -> list[Verdict]:
    """Compare each published result with the one in the folder."""
    verdicts = [_verdict(out, path, published[path]) for path in sorted(published)]
    folder = out / "results" / slide if slide else out / "results"
    new = {
        _unit(path.relative_to(out).as_posix())[0]
        for path in folder.rglob("*")
        if path.is_file() and path.name not in IGNORED
    }
    verdicts += [
        Verdict(path, "extra", "is not among the published results")
        for path in new - set(published) - {str(RECORD)}
    ]
    return judge_pages(sorted(verdicts, key=lambda verdict: verdict.path))


def _verdict(out: Path, path: str, published: Published) -> Verdict:
    found = out / path
    if not found.exists():
        return Verdict(path, "missing", "was not computed")
    if _is_identical(out, found, published):
        return Verdict(path, "identical", "")
    with tempfile.TemporaryDirectory(prefix="gridwell-") as folder:
        expected = Path(folder, found.name)
        if lost := _restore(out, published, expected):
            return Verdict(path, "different", f"in a way unknown: the published {lost} is nowhere")
        return compare_result(path, expected, found)


def _is_identical(out: Path, found: Path, published: Published) -> bool:
    """Whether all bytes are the published ones; tells without fetching any of those."""
    if found.is_dir():
        there = {path.relative_to(found).as_posix(): path for path in _files_below(found)}
    else:
        there = {".": found}
    if set(there) != set(published):
        return False
    blobs = [name for name, (_, key) in published.items() if key is None]
    found_blobs = dict(zip(blobs, blob_ids([there[name] for name in blobs], cwd=out), strict=True))
    return all(
        found_blobs[name] == blob if key is None else sha256(there[name]) == hash_in_key(key)
        for name, (blob, key) in published.items()
    )


def _files_below(folder: Path) -> Iterator[Path]:
    return (p for p in folder.rglob("*") if p.is_file() and p.name not in IGNORED)


def _restore(out: Path, published: Published, expected: Path) -> str:
    """Lay out a published result as it was; return the name of a file that cannot be had."""
    for name, (blob, key) in published.items():
        target = expected / name if name != "." else expected
        target.parent.mkdir(parents=True, exist_ok=True)
        if key is None:
            with target.open("wb") as file:
                subprocess.run(  # noqa: S603
                    ["git", "cat-file", "blob", blob],  # noqa: S607
                    cwd=out,
                    stdout=file,
                    check=True,
                )
            continue
        git("annex", "get", "--key", key, cwd=out)
        content = git_says("annex", "contentlocation", key, cwd=out)
        if not content:
            return name if name != "." else expected.name
        target.symlink_to((out / content).absolute())
    return ""

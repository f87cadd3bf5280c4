"""A hash of the code that a rule runs, so that an edited algorithm recomputes what used it.

Snakemake notices a changed script but not a changed library. The workflow therefore hands
each rule the hash of its script and of every gridwell module that the script imports,
directly or through others, as a parameter.
"""

from __future__ import annotations

import ast
import hashlib
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from gridwell.config.errors import InputError, Problem
from gridwell.versions.git import changed_files, git_says

# Option values reach a rule as parameters of their own; a new option elsewhere, or a better
# description of one, is no reason to compute again; nor is how a job tells how far it is.
_NOT_HASHED = {
    "gridwell.config.models",
    "gridwell.config.study",
    "gridwell.runs.progress",
    "gridwell.runs.reporter",
}
# What a result depends on; profiles, tests and words are none of it.
_COMPUTING = ("Snakefile", "rules", "scripts", "resources", "envs")


def code_hash(*scripts: Path) -> str:
    """Hash `scripts` and the gridwell modules they reach by imports, wherever they stand.

    Parameters
    ----------
    scripts
        Files in scripts/; the library is the folder gridwell beside them.

    Returns
    -------
    str
        The first 16 hex digits of a SHA-256 over names and contents, in sorted order.
        Data files of the library's rooms (templates, styles) count with their room.
    """
    root = scripts[0].parent
    digest = hashlib.sha256()
    for path in _reached(scripts):
        digest.update(str(path.relative_to(root)).encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def code_state(*scripts: Path) -> dict[str, str | None]:
    """Name the code that `scripts` run: commit and hash.

    Returns
    -------
    state
        ``commit``: the last one that changed any of that code, so that commits of other things
        leave it as it is; with ``+changes`` behind it where some of it is edited and not
        committed; None outside a git clone. ``hash``: as `code_hash`.

    Raises
    ------
    InputError
        If this is a clone and there is no git, as on a node of a cluster: results would differ
        from those of other machines.
    """
    files = [str(path) for path in _reached(scripts)]
    here = scripts[0].parent
    if (here.parent / ".git").exists() and shutil.which("git") is None:
        reason = "git is not on the PATH of this machine, and results name the commit of the code"
        remedy = "Load it, on a cluster with precommand in the profile"
        raise InputError(Problem("PATH", reason, remedy))
    commit = git_says("log", "-1", "--format=%H", "--", *files, cwd=here) or None
    if commit and changed_files(*files, cwd=here):
        commit += "+changes"
    return {"commit": commit, "hash": code_hash(*scripts)}


def changed_code(repository: Path) -> list[str]:
    """Files that results depend on and that are edited and not committed, as git names them."""
    if not git_says("rev-parse", "HEAD", cwd=repository):
        return []
    return changed_files(*_COMPUTING, cwd=repository)


def _reached(scripts: Sequence[Path]) -> list[Path]:
    """List the scripts, the modules that they reach and the data files beside those."""
    root = scripts[0].parent
    todo, seen = list(scripts), set[Path]()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        todo.extend(_imported(path, root))
    rooms = {path.parent for path in seen if path.parent.parent == root / "gridwell"}
    return sorted(seen.union(*map(_assets, rooms)))


@cache
def _imported(path: Path, root: Path) -> list[Path]:
    """List the gridwell modules and helpers beside the script that `path` imports."""
    found = []
    for node in ast.walk(ast.parse(path.read_bytes(), filename=str(path))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            module = root / Path(*name.split(".")).with_suffix(".py")
            if name not in _NOT_HASHED and module.is_file():
                found.append(module)
    return found


def _assets(room: Path) -> frozenset[Path]:
    """List the data files of a room: not caches, which are made by running the code."""
    return frozenset(
        path
        for path in room.rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    )

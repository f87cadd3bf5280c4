"""A hash of the code that a rule runs, so that an edited algorithm recomputes what used it.

Snakemake notices a changed script but not a changed library. The workflow therefore hands
each rule the hash of its script and of every gridwell module that the script imports,
directly or through others, as a parameter.
"""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

# Option values reach a rule as parameters of their own; a new option elsewhere, or a better
# description of one, is no reason to compute again.
_NOT_HASHED = {"gridwell.config.models", "gridwell.config.study"}


def code_hash(script: Path) -> str:
    """Hash `script` and the gridwell modules it reaches by imports, wherever they stand.

    Parameters
    ----------
    script
        A file in scripts/; the library is the folder gridwell beside it.

    Returns
    -------
    str
        The first 16 hex digits of a SHA-256 over names and contents, in sorted order.
        Data files of the library's rooms (templates, styles) count with their room.
    """
    root = script.parent
    todo, seen = [script], set[Path]()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        todo.extend(_imported(path, root))
    assets = {
        asset
        for path in seen
        for asset in path.parent.rglob("*")
        if path.parent.parent.name == "gridwell" and _is_asset(asset)
    }
    digest = hashlib.sha256()
    for path in sorted(seen | assets):
        digest.update(str(path.relative_to(root)).encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


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


def _is_asset(path: Path) -> bool:
    # Caches are made by running the code, those of numba too.
    return path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts

"""Content hashes of files and of Zarr directories."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

# What Snakemake leaves inside a directory output; not content.
IGNORED = {".snakemake_timestamp"}


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file, or of a directory's names and file hashes in sorted order."""
    if not path.is_dir():
        return sha256(path)
    entries = {
        str(file.relative_to(path)): sha256(file)
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name not in IGNORED
    }
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()

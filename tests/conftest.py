"""Fixtures for all tests."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest group; skip what needs git-annex where that is not, and only there."""
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)
    places = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    missing = [name for name in ("git", "git-annex") if not shutil.which(name, path=places)]
    if missing:
        skip = pytest.mark.skip(reason=f"{' and '.join(missing)}: not installed")
        for item in items:
            if item.get_closest_marker("datalad"):
                item.add_marker(skip)


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of this repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real images and tables with truth; a test that needs them is skipped without."""
    path = Path(os.environ.get("GRIDWELL_SHARED", REPOSITORY.parent / "shared")) / "data"
    if not path.is_dir():
        pytest.skip(f"no real images: {path} is not there (set GRIDWELL_SHARED)")
    return path

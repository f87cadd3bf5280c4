"""Fixtures for all tests."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window; closed with each module, since its driver holds the event loop."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    found = os.environ.get("GRIDWELL_CHROMIUM") or next(
        filter(None, map(shutil.which, names)), None
    )
    if not found:
        pytest.skip("no Chromium: install it, or set GRIDWELL_CHROMIUM to its path")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield chromium
        chromium.close()

"""Snakemake's own report of a run: the same items with captions, in groups, and how it ran."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("workflow")]


@pytest.fixture(scope="module")
def snakemake_report(finished_study: Path, run: Any, tmp_path_factory: Any) -> Path:
    """The report, unpacked."""
    folder = tmp_path_factory.mktemp("report")
    run(finished_study, "--report", str(folder / "report.zip"))
    with zipfile.ZipFile(folder / "report.zip") as packed:
        packed.extractall(folder)
    return folder / "report" / "report.html"


def test_it_opens_offline_with_items_in_groups(browser: Any, snakemake_report: Path) -> None:
    page = browser.new_page()
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(snakemake_report.as_uri())
    page.get_by_text("from raw images to doses").wait_for()
    for name in ("Workflow", "Statistics"):
        page.get_by_text(name, exact=True).first.click()
        page.wait_for_selector("svg.marks, canvas.marks")
    page.get_by_text("Screen", exact=True).first.click()
    for item in ("report", "dose response", "quality", "agents", "spots"):
        page.get_by_text(item, exact=True).first.wait_for()
    assert errors == []
    assert [url for url in asked if url.startswith("http")] == []


def test_every_item_has_a_caption(snakemake_report: Path) -> None:
    text = snakemake_report.read_text(encoding="utf-8")
    for words in (
        "The report of the whole screen",
        "The report of slide T01",
        "The grid found on slide T01",
        "One row for every spot of slide T01",
        "EC50 with its interval",
        "Statistics of each slide",
    ):
        assert words in text, words

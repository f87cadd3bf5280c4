"""Reports made once and read by many tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from gridwell.config.models import Config, ReportOptions, Slide
from gridwell.report.screen import report_screen
from gridwell.report.slide import report_slide

from tests.unit.report.fake import HOSTILE, FakeSlide, fake_screen, fake_slide


@pytest.fixture(scope="session")
def viability(tmp_path_factory: pytest.TempPathFactory) -> FakeSlide:
    """Results of a small viability slide."""
    return fake_slide(tmp_path_factory.mktemp("viability"), rows=4, cols=10, side=64)


def write_slide_report(fake: FakeSlide, out: Path, assay: str = "viability", most: int = 6) -> Path:
    """Report of a hand-made slide."""
    extra = {}
    if assay == "viability":
        extra = {
            "shifts_json": fake.folder / "shifts.json",
            "slide_json": fake.folder / "slide.json",
        }
    report_slide(
        Slide(slide="S01", assay=assay, group=f"patient {HOSTILE}"),
        study=f"Study {HOSTILE}",
        out=out,
        options=ReportOptions(max_spots=most),
        config=Config(),
        **fake.arguments(),
        **extra,
    )
    return out


@pytest.fixture(scope="session")
def slide_report(viability: FakeSlide, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Report of the small viability slide."""
    return write_slide_report(viability, tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="session")
def screen_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of a small screen with three agents and two groups."""
    return fake_screen(
        tmp_path_factory.mktemp("screen"),
        agents=("Venetoclax", "Ibrutinib", HOSTILE),
        groups=("patient 1", f"patient {HOSTILE}"),
        rows=6,
        cols=10,
    )


@pytest.fixture(scope="session")
def screen_report(screen_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Report of the small screen."""
    out = tmp_path_factory.mktemp("report") / "screen.html"
    report_screen(
        screen_dir,
        study=f"Study {HOSTILE}",
        slide_reports={"S01": "../S01/report.html", "S02": "../S02/report.html"},
        out=out,
        config=Config(),
    )
    return out

"""What a report was made from stands at its foot, for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gridwell.config.errors import InputError
from gridwell.config.files import write_json
from gridwell.config.models import ReportOptions, Slide
from gridwell.config.provenance import Provenance, made, of_slide, read_provenance, with_inputs
from gridwell.report.page import Charts, write_page
from gridwell.report.screen import report_screen
from gridwell.report.slide import report_slide

from tests.unit.report.fake import HOSTILE, FakeSlide
from tests.unit.report.html import Page

RAW = {"<b>&.tif": "ab" * 32, f"{HOSTILE}.tif": "cd" * 32}
CODE = {"commit": "1" * 40, "hash": "2" * 64}


@pytest.fixture
def table() -> Provenance:
    """Provenance of spots.csv."""
    said = of_slide(made(CODE, {"fuse": {}}, {"nuclei": "3" * 64}), "S01", RAW)
    return {**said, "device": [f"GPU {HOSTILE}", "cpu"]}


@pytest.fixture
def report() -> Provenance:
    """Provenance of the report itself."""
    return made({**CODE, "commit": "4" * 40 + "+changes"}, {"report": {}}, {"grid": "5" * 64})


def script(page: Page) -> Provenance:
    """What programs read at the foot of a page."""
    (text,) = (text for text in page.scripts if text.startswith('{"format":"gridwell-provenance'))
    found: Provenance = json.loads(text)
    return found


def test_names_of_files_are_text(table: Provenance, tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", "base.html.j2", Charts(), provenance=table)
    page = Page(tmp_path / "page.html")
    assert not page.all("b")
    assert {"id": "provenance-shown"} in page.all("footer")
    for name, digest in RAW.items():
        assert f"S01: {name} {digest}" in page.text
    assert f"networks computed on GPU {HOSTILE}, cpu" in page.text
    assert "network nuclei " + "3" * 64 in page.text
    assert "code, commit " + "1" * 40 in page.text
    assert f"configuration {table['config']}" in page.text
    assert script(page) == read_provenance(tmp_path / "page.html") == table


def test_code_outside_a_clone_and_no_networks(tmp_path: Path) -> None:
    said = made({**CODE, "commit": None}, {})
    write_page(tmp_path / "page.html", "base.html.j2", Charts(), provenance=said)
    text = Page(tmp_path / "page.html").text
    assert "code, commit not from a git clone" in text
    assert "computed on" not in text
    write_page(tmp_path / "page.html", "base.html.j2", Charts())
    assert "Made from" not in Page(tmp_path / "page.html").text


def test_slides_and_networks_of_any_name_are_shown(tmp_path: Path) -> None:
    """Also of names that mappings have methods of."""
    said = made(CODE, {}, {"items": "6" * 64})
    for slide in ("items", "keys", "raw"):
        said = of_slide(said, slide, {"items": "7" * 64, "values": "8" * 64})
    write_page(tmp_path / "page.html", "base.html.j2", Charts(), provenance=said)
    text = Page(tmp_path / "page.html").text
    for slide in ("items", "keys", "raw"):
        assert f"{slide}: items " + "7" * 64 in text
        assert f"{slide}: values " + "8" * 64 in text
    assert "network items " + "6" * 64 in text


def test_the_report_of_a_slide_adds_that_of_its_table(
    viability: FakeSlide, table: Provenance, report: Provenance, tmp_path: Path
) -> None:
    arguments = viability.arguments()
    spots = tmp_path / "spots.csv"
    spots.write_bytes(Path(str(arguments["spots_csv"])).read_bytes())
    arguments |= {"spots_csv": spots}

    def write(provenance: Provenance | None) -> Page:
        report_slide(
            Slide(slide="S01", assay="viability"),
            study="Study",
            out=tmp_path / "report.html",
            options=ReportOptions(max_spots=2),
            provenance=provenance,
            **arguments,
        )
        return Page(tmp_path / "report.html")

    with pytest.raises(InputError, match="does not say what it was made from"):
        write(report)
    assert not (tmp_path / "report.html").exists()
    write_json(tmp_path / "spots.csv.provenance.json", table)
    page = write(report)
    assert script(page) == with_inputs(report, [table])
    assert f"S01: {HOSTILE}.tif {RAW[f'{HOSTILE}.tif']}" in page.text
    assert "4" * 40 + "+changes" in page.text
    assert read_provenance(tmp_path / "report.html")["slides"] == {"S01": {"raw": RAW}}
    assert "provenance-shown" not in {a.get("id") for _, a in write(None).elements}


def test_the_report_of_a_screen_adds_that_of_its_tables(
    screen_dir: Path, table: Provenance, report: Provenance, tmp_path: Path
) -> None:
    folder = tmp_path / "screen"
    folder.mkdir()
    for path in screen_dir.iterdir():
        (folder / path.name).symlink_to(path)
    other = of_slide(table, "S02", {"b.tif": "9" * 64})
    write_json(folder / "provenance.json", other)
    out = tmp_path / "report.html"
    report_screen(folder, study="Study", slide_reports={}, out=out, provenance=report)
    page = Page(out)
    assert script(page) == read_provenance(out) == with_inputs(report, [other])
    assert "S02: b.tif " + "9" * 64 in page.text


def test_a_page_that_names_the_script_in_its_text(table: Provenance, tmp_path: Path) -> None:
    """No text of a user comes before the true one."""
    fake = '<script type="application/json" id="provenance">{"format": "x"}</script>'
    said = of_slide(table, "S02", {fake: "9" * 64})
    write_page(tmp_path / "page.html", "base.html.j2", Charts(), data={"x": fake}, provenance=said)
    assert read_provenance(tmp_path / "page.html") == said

"""Reports in a real browser: offline, quiet, usable by mouse, keyboard, phone and printer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from gridwell.config.models import Config, ReportOptions, Slide
from gridwell.report.screen import report_screen
from gridwell.report.slide import report_slide

from tests.unit.report.fake import HOSTILE, fake_screen, fake_slide

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@dataclass
class Visit:
    """A page opened, with everything it complained about or asked for."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports of a viability slide, a colour scan and a screen."""
    folder = tmp_path_factory.mktemp("reports")
    written = {}
    for assay in ("viability", "colorimetry"):
        fake = fake_slide(folder / assay, rows=8, cols=12, side=64, assay=assay)
        written[assay] = folder / f"{assay}.html"
        report_slide(
            Slide(slide="S01", assay=assay, group=HOSTILE),
            study=HOSTILE,
            out=written[assay],
            options=ReportOptions(max_spots=8),
            config=Config(),
            **fake.arguments(),
        )
    agents = ("Venetoclax", "Ibrutinib", HOSTILE, *(f"Drug {i}" for i in range(5)))
    tables = fake_screen(folder / "t", agents=agents, groups=("patient 1", "patient 2"))
    written["screen"] = folder / "screen.html"
    report_screen(
        tables, study=HOSTILE, slide_reports={"S01": "viability.html"}, out=written["screen"]
    )
    return written


@pytest.fixture
def visit(browser: Any, reports: dict[str, Path]) -> Iterator[Any]:
    """Open a report and wait for its charts."""
    pages = []

    def open_report(name: str, width: int = 1280, height: int = 900, **context: Any) -> Visit:
        viewport = {"width": width, "height": height}
        page = browser.new_page(viewport=viewport, **context)
        pages.append(page)
        seen = Visit(page)
        page.on("console", lambda message: seen.complaints.append(message.text))
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        page.on("request", lambda request: seen.requests.append(request.url))
        page.on("dialog", lambda dialog: seen.complaints.append(dialog.message))
        page.goto(reports[name].as_uri())
        if context.get("java_script_enabled", True):
            page.wait_for_selector("html[data-ready=yes]", state="attached")
        return seen

    yield open_report
    for page in pages:
        page.close()


ALL = pytest.mark.parametrize("name", ["viability", "colorimetry", "screen"])


@ALL
def test_no_complaints_and_no_requests(visit: Any, name: str) -> None:
    seen = visit(name)
    assert seen.complaints == []
    asked = [url for url in seen.requests if not url.startswith("data:")]
    assert len(asked) == 1
    assert asked[0].startswith("file:")
    assert seen.page.locator(".evil").count() == 0


@ALL
def test_every_chart_comes_alive(visit: Any, name: str) -> None:
    page = visit(name).page
    charts = page.locator("figure[data-chart]").count()
    assert charts > 0
    assert page.locator("figure[data-chart] svg.marks").count() == charts
    assert page.locator("figure[data-chart] svg.marks[aria-label]").count() == charts


@ALL
@pytest.mark.parametrize("width", [390, 320])
def test_a_phone_scrolls_down_only(visit: Any, name: str, width: int) -> None:
    seen = visit(name, width, 844, is_mobile=True, has_touch=True)
    root = seen.page.locator("html")
    assert root.evaluate("e => e.scrollWidth") == width
    assert seen.complaints == []


@ALL
def test_without_scripts_the_same_is_there_to_read(visit: Any, name: str) -> None:
    page = visit(name, java_script_enabled=False).page
    images = page.locator("figure[data-chart] img")
    assert images.count() > 0
    box = images.first.bounding_box()
    assert box["width"] > 200
    assert page.locator("table tbody tr").count() > 5


@ALL
def test_printing_gives_a_document(visit: Any, name: str) -> None:
    page = visit(name).page
    page.emulate_media(media="print")
    for hidden in ("nav", ".tools", "select", "#tip", "button[data-copy]"):
        assert not page.locator(hidden).first.is_visible(), hidden
    assert page.locator("#methods").is_visible()
    assert page.locator("figure[data-chart] svg.marks").first.is_visible()
    pdf = page.pdf(format="A4")
    assert pdf.startswith(b"%PDF")
    assert len(pdf) > 30_000


def cell(page: Any, spot: str, chart: str = "c0") -> Any:
    """The cell of a plate map that stands for a spot."""
    handle = page.evaluate_handle(
        """([chart, spot]) => [...document.querySelectorAll(
        `figure[data-chart=${chart}] g.mark-rect.role-mark path`)]
        .filter((path) => path.__data__.datum.spot === spot).pop()""",
        [chart, spot],
    )
    return handle.as_element()


def test_the_plate_is_drawn_and_tells_its_spots(visit: Any) -> None:
    page = visit("viability").page
    plate = page.locator("figure[data-chart=c0]")
    cells = plate.locator("g.mark-rect.role-mark path")
    assert cells.count() == 96 + 95  # every position, and every value on top
    colours = {cells.nth(i).get_attribute("fill") for i in range(100, 180)}
    assert len(colours) > 10
    cell(page, "B5").hover(force=True)
    tip = page.locator("#tip")
    tip.wait_for(state="visible")
    told = tip.inner_text()
    for word in ("B5", "Agent", "Dose", "Viability: live of all nuclei", "%", "nuclei"):
        assert word in told, word
    flagged = page.evaluate("report.embedded.datasets.d0.find((row) => row.mark === 'flag').spot")
    cell(page, flagged).hover(force=True)
    page.wait_for_function("document.getElementById('tip').innerText.includes('Flags')")


def test_missing_numbers_read_as_missing(visit: Any) -> None:
    page = visit("viability").page
    missing = page.evaluate(
        "report.embedded.datasets.d0.find((row) => row.mark === 'missing').spot"
    )
    cell(page, missing).hover(force=True)
    page.locator("#tip").wait_for(state="visible")
    told = page.locator("#tip").inner_text()
    assert "no value" in told
    assert "null" not in told
    assert "NaN" not in told


def lit(page: Any, index: int) -> int:
    """Brightest pixel of a panel of the opened spot."""
    return int(
        page.locator("#spot-panels canvas")
        .nth(index)
        .evaluate(
            "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data"
            ".reduce((most, value, k) => (k % 4 < 3 && value > most ? value : most), 0)"
        )
    )


def test_a_click_on_the_plate_opens_the_spot_in_every_channel(visit: Any) -> None:
    seen = visit("viability")
    page = seen.page
    cell(page, "A4").click(force=True)
    page.wait_for_selector("#spot-panels canvas")
    names = page.locator("#spot-panels figcaption").all_inner_texts()
    assert names == ["all stains", "nuclei", "live", "dead"]
    assert page.inner_text("#spot-name") == "A4"
    assert all(lit(page, index) > 150 for index in range(2))
    with_lines = page.locator("#spot-panels canvas").nth(1).evaluate("c => c.toDataURL()")
    page.locator("#spot-outlines").uncheck()
    page.wait_for_function(
        "before => document.querySelectorAll('#spot-panels canvas')[1].toDataURL() !== before",
        arg=with_lines,
    )
    page.locator("[data-row]").click()
    row = page.locator("tr.here")
    assert row.get_attribute("id") == "spot-A4"
    assert row.evaluate("e => e === document.activeElement")
    assert seen.complaints == []


def test_a_colour_scan_is_opened_in_its_colours(visit: Any) -> None:
    page = visit("colorimetry").page
    cell(page, "C3").click(force=True)
    page.wait_for_selector("#spot-panels canvas")
    assert page.locator("#spot-panels figcaption").all_inner_texts() == ["scan"]


def test_the_plate_is_walked_with_the_arrow_keys(visit: Any) -> None:
    page = visit("viability").page
    page.locator("figure[data-chart=c0] .stage").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)
    tip = page.locator("#tip")
    assert "B2" in tip.inner_text()
    assert page.locator("figure[data-chart=c0] .frame").is_visible()
    page.keyboard.press("Enter")
    page.wait_for_selector("#spot-panels canvas")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.getElementById('spot-name').textContent === 'B3'")
    page.keyboard.press("Escape")
    assert not page.locator("#spot").evaluate("e => e.open")
    assert page.locator("figure[data-chart=c0] .stage").evaluate(
        "e => e === document.activeElement"
    )


@pytest.mark.parametrize("name", ["viability", "screen"])
def test_the_plate_shows_any_column(visit: Any, name: str) -> None:
    seen = visit(name)
    page = seen.page
    pick = page.locator("select[data-maps='0']")
    titles = pick.locator("option").all_inner_texts()
    assert {"Agent", "Dose", "Role"} <= set(titles)
    (chart, *_) = page.evaluate("report.embedded.maps[0].charts")
    paths = page.locator(f"figure[data-chart={chart}] g.mark-rect.role-mark path")

    def fills() -> list[str]:
        return list(paths.evaluate_all("all => all.map((one) => one.getAttribute('fill'))"))

    drawn = {tuple(fills())}
    for title in titles[1:]:
        pick.select_option(label=title)
        page.wait_for_timeout(150)
        drawn.add(tuple(fills()))
    assert len(drawn) > len(titles) / 2
    assert seen.complaints == []


def test_a_click_on_the_screen_leads_to_the_spot_in_its_slide(visit: Any) -> None:
    page = visit("screen").page
    chart = page.evaluate("report.embedded.maps[0].charts[0]")
    spot = cell(page, "B4", chart)
    with page.expect_navigation(wait_until="commit"):
        spot.click(force=True)
    assert page.url.endswith("viability.html#spot-B4")
    page.wait_for_selector("#spot-panels canvas")
    assert page.inner_text("#spot-name") == "B4"


def column(page: Any, table: str, index: int) -> list[str]:
    cells = page.locator(f"#{table} tbody tr:not([hidden]) td:nth-child({index})")
    return list(cells.all_inner_texts())


def test_tables_sort_by_number_and_by_name_with_empty_cells_last(visit: Any) -> None:
    page = visit("viability").page
    heads = page.locator("#spots thead th").all_inner_texts()
    names = [head.strip() for head in heads]
    at = names.index("Viability") + 1
    button = page.locator(f"#spots thead th:nth-child({at}) button")
    for down in (False, True):
        button.focus()
        page.keyboard.press("Enter")
        shown = [text.strip("\u202f% ") for text in column(page, "spots", at)]
        values = [float(text) for text in shown if text != "–"]
        assert values == sorted(values, reverse=down)
        assert shown.index("–") == len(values), "empty cells stay last"
        head = page.locator(f"#spots thead th:nth-child({at})")
        assert head.get_attribute("aria-sort") == ("descending" if down else "ascending")
    page.locator("#spots thead th:nth-child(1) button").click()
    assert column(page, "spots", 1)[:12] == [f"A{col}" for col in range(1, 13)]


def test_tables_and_agents_are_filtered_by_words(visit: Any) -> None:
    page = visit("viability").page
    page.locator("input[data-filter=spots]").fill("ibrutinib 10")
    shown = column(page, "spots", 2)
    assert shown
    assert set(shown) == {"Ibrutinib"}
    assert page.locator("#spots-count").inner_text() == f"{len(shown)} of 96 shown"
    page = visit("screen").page
    page.locator("input[data-filter=agents-1]").fill("veneto")
    assert page.locator("article.agent:not([hidden])").count() == 1


def test_pictures_of_the_gallery_are_opened_with_the_keyboard(visit: Any) -> None:
    page = visit("viability").page
    look = page.locator("#gallery .look").first
    look.focus()
    page.keyboard.press("Enter")
    assert page.locator("#spot").evaluate("e => e.open")
    assert page.inner_text("#spot-name") == look.get_attribute("data-spot")
    page.keyboard.press("o")
    assert not page.locator("#spot-outlines").is_checked()
    page.keyboard.press("Escape")
    page.locator("#outlines").uncheck()
    assert not page.locator("#gallery img.over").first.is_visible()


def test_reasons_lead_to_the_spot(visit: Any) -> None:
    page = visit("viability").page
    page.locator("#left-out a").first.click()
    assert page.locator("#spot").evaluate("e => e.open")
    assert page.inner_text("#spot-name") == page.locator("#left-out a").first.inner_text()


def test_the_csv_is_taken_away(visit: Any, tmp_path: Path) -> None:
    page = visit("screen").page
    with page.expect_download() as download:
        page.locator("a[download='dose_response.csv']").click()
    download.value.save_as(tmp_path / "d.csv")
    text = (tmp_path / "d.csv").read_text()
    assert text.startswith("group,agent,model,ec50")


@ALL
def test_every_control_is_reached_with_the_tabulator(visit: Any, name: str) -> None:
    page = visit(name).page
    page.keyboard.press("Tab")
    assert page.locator("a.skip").evaluate("e => e === document.activeElement")
    unnamed = page.locator("button, a[href], input, summary").evaluate_all(
        "all => all.filter(e => !(e.innerText || e.ariaLabel || e.labels?.length"
        " || e.textContent).toString().trim()).length"
    )
    assert unnamed == 0

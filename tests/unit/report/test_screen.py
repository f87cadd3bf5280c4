"""What a screen's report says."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from gridwell.report.screen import report_screen

from tests.unit.report.fake import fake_screen
from tests.unit.report.html import Page
from tests.unit.screen.simulated import Screen, layout, viability_spots


def write(folder: Path, out: Path, slides: int = 2) -> Page:
    links = {f"S{i + 1:02d}": f"../S{i + 1:02d}/report.html" for i in range(slides)}
    report_screen(folder, study="Study", slide_reports=links, out=out)
    return Page(out)


def test_each_agent_has_a_picture_and_a_table_behind_it(screen_report: Path) -> None:
    page = Page(screen_report)
    titles = [
        spec["title"]["text"] for spec in page.embedded()["charts"].values() if "title" in spec
    ]
    assert {"Venetoclax", "Ibrutinib"} <= set(titles)
    agents = [a for a in page.all("article") if a.get("class") == "agent"]
    assert len(agents) == 3
    charts = len(page.embedded()["charts"])
    assert page.source.count("<summary>Numbers of this picture") == charts


def test_groups_differ_in_colour_and_shape(screen_report: Path) -> None:
    charts = Page(screen_report).embedded()["charts"].values()
    scales = str([spec for spec in charts if "forest" not in spec])
    assert "'#0072B2', '#D55E00'" in scales
    assert "'circle', 'square'" in scales


def test_an_ec50_beyond_the_doses_is_a_bound_everywhere(
    screen_report: Path, screen_dir: Path
) -> None:
    fits = pd.read_csv(screen_dir / "dose_response.csv")
    assert (fits["in_range"] == ">max").any()
    page = Page(screen_report)
    assert "> 10\u202fµM" in page.source.replace("&gt;", ">")
    assert "beyond the highest dose tested" in page.text
    halves = [row for table in page.embedded()["datasets"].values() for row in table if "y" in row]
    measured = [row for row in halves if not row["arrow"]]
    assert len(measured) == (fits["in_range"] == "yes").sum()
    beyond = [row for row in halves if row["arrow"] == "▶"]
    assert len(beyond) == (fits["in_range"] == ">max").sum()
    assert all(row["ec50"] == 10.0 for row in beyond)


def test_points_of_excluded_spots_are_not_drawn(tmp_path: Path) -> None:
    folder = fake_screen(tmp_path / "t", agents=("A",), groups=("g",), rows=4, cols=10)
    table = pd.read_csv(folder / "spots.csv").astype({"flags": object})
    table.loc[table["spot"] == "A2", ["role", "normalised"]] = ["excluded", 777.0]
    table.loc[table["spot"] == "A3", ["flags", "normalised"]] = ["edge_cut", 888.0]
    table.to_csv(folder / "spots.csv", index=False)
    page = write(folder, tmp_path / "r.html", 1)
    points = next(
        rows for rows in page.embedded()["datasets"].values() if rows and "written" in rows[0]
    )
    assert {row["spot"] for row in points}.isdisjoint({"A2", "A3"})
    assert "excluded by the layout" in page.text


def test_overlapping_controls_are_said_first(tmp_path: Path) -> None:
    folder = fake_screen(tmp_path / "t", agents=("A",), groups=("g",), rows=4, cols=10)
    table = pd.read_csv(folder / "quality.csv")
    table.loc[table["statistic"] == "robust_z_prime", "value"] = -0.3
    table.to_csv(folder / "quality.csv", index=False)
    page = write(folder, tmp_path / "r.html", 1)
    assert "Read this first" in page.text
    assert "The controls overlap (robust Z′ below 0) on S01" in page.text


def test_several_assays_are_told_apart(tmp_path: Path) -> None:
    folder = fake_screen(tmp_path / "t", agents=("A", "B"), groups=("g", "h"), rows=4, cols=10)
    for name in ("spots", "dose_response", "curves"):
        table = pd.read_csv(folder / f"{name}.csv")
        other = table["group"] == "h"
        table.loc[other, ["assay", "metric"]] = ["objects", "n_nuclei"]
        table.to_csv(folder / f"{name}.csv", index=False)
    page = write(folder, tmp_path / "r.html")
    for what in ("Dose response · viability", "Dose response · n_nuclei"):
        assert what in page.text
    points = [
        rows for rows in page.embedded()["datasets"].values() if rows and "written" in rows[0]
    ]
    assert all(len({row["group"] for row in rows}) == 1 for rows in points)


def test_a_screen_without_curves_or_layout(tmp_path: Path) -> None:
    folder = fake_screen(tmp_path / "t", agents=("A",), groups=("",), rows=3, cols=10)
    for name in ("dose_response", "curves", "quality"):
        table = pd.read_csv(folder / f"{name}.csv")
        table.iloc[:0].to_csv(folder / f"{name}.csv", index=False)
    table = pd.read_csv(folder / "spots.csv")
    table[["agent", "concentration", "unit", "role", "replicate", "normalised"]] = None
    table.to_csv(folder / "spots.csv", index=False)
    page = write(folder, tmp_path / "r.html", 1)
    assert "Dose response" not in page.text
    assert "30 spots" in page.text or "30" in page.texts


def test_links_go_to_the_spot_in_the_report_of_its_slide(screen_report: Path) -> None:
    links = [a["href"] or "" for a in Page(screen_report).all("a")]
    assert any(link.startswith("../S01/report.html#spot-") for link in links)


def test_agents_are_ordered_by_the_strength_of_their_response(screen_report: Path) -> None:
    names = [a["data-item"] for a in Page(screen_report).all("article")]
    assert names[0] == "Venetoclax"
    assert names[-1] == "Ibrutinib"


def test_forty_agents_and_three_groups(tmp_path: Path) -> None:
    folder = fake_screen(
        tmp_path / "t",
        agents=tuple(f"Drug {i + 1}" for i in range(40)),
        groups=("P1", "P2", "P3"),
        rows=20,
        cols=18,
    )
    page = write(folder, tmp_path / "r.html", 3)
    assert len(page.all("article")) == 40
    assert (tmp_path / "r.html").stat().st_size < 15e6
    assert page.source.count('data-filter="agents-1"') == 1


def test_names_that_look_like_numbers_stay_as_they_are(tmp_path: Path) -> None:
    folder = fake_screen(tmp_path / "t", agents=("1500", "007"), groups=("01",), rows=4, cols=10)
    names = {"slide": "str", "agent": "str", "group": "str"}
    for file in ("spots.csv", "quality.csv"):
        table = pd.read_csv(folder / file, dtype=names)
        table.assign(slide="012").to_csv(folder / file, index=False)
    report_screen(folder, study="Study", slide_reports={"012": "012.html"}, out=tmp_path / "r.html")
    page = Page(tmp_path / "r.html")
    assert len([a for a in page.all("article") if a.get("class") == "agent"]) == 2
    tables = page.embedded()["datasets"].values()
    groups = {row["group"] for rows in tables for row in rows if "group" in row}
    assert groups == {"01"}
    assert any(link.get("href") == "012.html#spot-B4" for link in page.all("a"))


# Tables beside the fits, from a simulated screen.


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """Two groups; slides of one disagree; a layout off the grid; times 0 and 72 h."""
    screen = Screen(tmp_path_factory.mktemp("screen"))
    plan = layout()
    weak = plan.assign(concentration=plan["concentration"] / 20)
    for name, group, drawn, seed in (
        ("S1", "P1", plan, 1), ("S2", "P1", weak, 2), ("S3", "P2", plan, 3), ("S4", "P3", plan, 4),
    ):  # fmt: skip
        screen.add(name, viability_spots(name, drawn, seed), plan, group=group)
    off = plan.copy()
    off.loc[off["spot"] == "A1", ["spot", "row", "col"]] = ["Z9", 25, 8]
    extra = off[off["spot"] == off.loc[off["agent"] == "alpha", "spot"].iloc[-1]]
    off = pd.concat([off, extra.assign(agent="beta")])
    screen.add("S5", viability_spots("S5", plan, 5), off, group="P3")
    for name, time, seed in (("T0", 0.0, 6), ("T72", 72.0, 7)):
        table = viability_spots(name, plan, seed)
        table["n_live"] = (table["n_live"] * (0.2 if time == 0 else 1)).round()
        screen.add(name, table, plan, group="P9")
        screen.slides[-1] = screen.slides[-1].model_copy(update={"time_h": time})
    screen.run()
    out = screen.root / "report.html"
    links = {slide.slide: f"../{slide.slide}/report.html" for slide in screen.slides}
    report_screen(screen.root / "screen", study="Study", slide_reports=links, out=out)
    return Page(out)


def test_agents_over_groups_are_shown(whole: Page) -> None:
    assert "Agents over all groups" in whole.text
    assert "3 in range" in whole.text


def test_slides_that_disagree_are_said_first(whole: Page) -> None:
    assert "Slides of one group do not tell the same: S1 and S2." in whole.text
    assert "Concordance (Lin)" in whole.text


def test_layout_and_grid_that_do_not_meet_are_said(whole: Page) -> None:
    assert "1 spot of the layout not on the grid (Z9)" in whole.text
    assert "1 spot of the grid not in the layout (A1)" in whole.text
    assert "The layout names spots that the grid does not have on S5" in whole.text


def test_growth_and_combinations_are_shown(whole: Page) -> None:
    assert "Growth rates" in whole.text
    assert "GR_AOC" in whole.text
    assert "alpha + beta" in whole.text
    assert "Expected (Bliss)" in whole.text


def test_every_id_is_unique(whole: Page) -> None:
    ids = [attributes["id"] for _, attributes in whole.elements if "id" in attributes]
    assert "all-agents" in ids
    assert len(ids) == len(set(ids))


def test_a_combination_is_no_agent(whole: Page) -> None:
    cards = whole.source[whole.source.index("<dt>agents</dt>") :]
    assert cards.startswith('<dt>agents</dt><dd class="big">2</dd>')


def test_spots_before_treatment_are_no_points_of_a_curve(whole: Page) -> None:
    points = [
        rows for rows in whole.embedded()["datasets"].values() if rows and "written" in rows[0]
    ]
    slides = {row["slide"] for rows in points for row in rows}
    assert "T72" in slides
    assert "T0" not in slides
    assert "before treatment" in whole.text


def test_times_of_a_group_are_told_apart(tmp_path: Path) -> None:
    screen = Screen(tmp_path)
    for name, time in (("S1", 24.0), ("S2", 72.0)):
        screen.add(name, viability_spots(name, layout(), int(time)), layout(), group="P1")
        screen.slides[-1] = screen.slides[-1].model_copy(update={"time_h": time})
    screen.run()
    out = tmp_path / "report.html"
    report_screen(tmp_path / "screen", study="Study", slide_reports={}, out=out)
    rows = [row for rows in Page(out).embedded()["datasets"].values() for row in rows]
    assert {row["group"] for row in rows if "written" in row} == {
        "P1 · 24\u202fh",
        "P1 · 72\u202fh",
    }

"""What a screen's report says."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from gridwell.report.screen import report_screen

from tests.unit.report.fake import fake_screen
from tests.unit.report.html import Page


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
    assert page.source.count("Numbers of this picture") == 3 + 2


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
    assert len(halves) == (fits["in_range"] == "yes").sum()


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

"""What a slide's report says."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from gridwell.config.models import Config, ReportOptions, ScreenOptions, Slide
from gridwell.report.slide import report_slide
from gridwell.report.slide_charts import swatches

from tests.unit.report.conftest import write_slide_report
from tests.unit.report.fake import FakeSlide, fake_slide
from tests.unit.report.html import Page


def test_every_grid_position_is_in_the_table_and_in_the_maps(slide_report: Path) -> None:
    page = Page(slide_report)
    rows = [a["id"] for a in page.all("tr") if (a.get("id") or "").startswith("spot-")]
    assert rows == [f"spot-{letter}{col}" for letter in "ABCD" for col in range(1, 11)]
    maps = page.embedded()["datasets"]["d0"]
    assert [row["spot"] for row in maps] == [row.removeprefix("spot-") for row in rows]


def test_the_numbers_are_those_of_the_results(slide_report: Path, viability: FakeSlide) -> None:
    page = Page(slide_report)
    table = pd.read_csv(viability.folder / "spots.csv").set_index("spot")
    shown = {row["spot"]: row for row in page.embedded()["datasets"]["d0"]}
    assert shown["A1"]["m0"] == pytest.approx(table.loc["A1", "viability"], rel=1e-6)
    total = f"{int(table['n_nuclei'].sum()):,}".replace(",", "\u202f")
    assert total in page.texts


def test_a_position_without_a_spot_has_no_value(slide_report: Path) -> None:
    rows = {row["spot"]: row for row in Page(slide_report).embedded()["datasets"]["d0"]}
    missing = rows["A6"]
    assert missing["mark"] == "missing"
    assert missing["m0"] is None
    assert missing["m2"] is None, "a count of 0 where there is no spot is no measurement"


def test_flagged_spots_stand_with_their_reasons(slide_report: Path) -> None:
    text = Page(slide_report).text
    assert "the image is blurred, cells may be missed" in text
    assert "too few cells for a reliable share" in text


def test_the_csv_holds_all_spots_with_what_was_in_them(slide_report: Path) -> None:
    links = [a for a in Page(slide_report).all("a") if "download" in a]
    link = next(a for a in links if a["download"] == "S01_spots.csv")
    raw = base64.b64decode((link["href"] or "").split(",", 1)[1])
    table = pd.read_csv(io.BytesIO(raw))
    assert len(table) == 40
    assert {"slide", "spot", "viability", "agent", "concentration", "unit"} <= set(table)


@pytest.mark.parametrize(("status", "loud"), [("ok", False), ("ambiguous", True), ("failed", True)])
def test_a_grid_in_doubt_is_said_loudly(tmp_path: Path, status: str, loud: bool) -> None:
    fake = fake_slide(tmp_path / "s", rows=3, cols=4, side=48, status=status)
    page = Page(write_slide_report(fake, tmp_path / "report.html", most=2))
    alerts = [a for a in page.all("section") if a.get("role") == "alert"]
    assert bool(alerts) is loud
    assert all("bad" in (alert["class"] or "") for alert in alerts)


def test_a_slide_without_layout_segments_or_spots_to_show(tmp_path: Path) -> None:
    fake = fake_slide(tmp_path / "s", rows=3, cols=4, side=48)
    bare = replace(fake, layout=None, channels=())
    page = Page(write_slide_report(bare, tmp_path / "report.html", most=0))
    assert "Look for yourself" not in page.text
    assert "By row" in str(page.embedded()["charts"])


def test_a_failed_grid_has_no_maps_and_no_error(tmp_path: Path) -> None:
    fake = fake_slide(tmp_path / "s", rows=3, cols=4, side=48)
    grid = fake.folder / "grid.json"
    grid.write_text('{"status": "failed", "reason": "no spots", "rows": 0, "cols": 0, '
                    '"pitch": null, "angle": null, "confidence": 0, "margins": {}}')  # fmt: skip
    for name in ("grid.csv", "spots.csv"):
        table = pd.read_csv(fake.folder / name)
        table.iloc[:0].to_csv(fake.folder / name, index=False)
    page = Page(write_slide_report(replace(fake, channels=()), tmp_path / "report.html"))
    assert "No grid was found" in page.text
    assert "Plate maps" not in page.text


def test_objects_are_counted_by_channel(tmp_path: Path) -> None:
    fake = fake_slide(tmp_path / "s", rows=3, cols=4, side=48)
    table = pd.read_csv(fake.folder / "spots.csv")
    table[["slide", "spot", "row", "col", "x", "y", "n_nuclei", "flags"]].to_csv(
        fake.folder / "spots.csv", index=False
    )
    page = Page(write_slide_report(fake, tmp_path / "report.html", assay="objects", most=2))
    assert "Objects in nuclei" in str(page.embedded()["charts"])
    assert "viability" not in page.text.lower()


def test_colours_are_shown_as_measured(tmp_path: Path) -> None:
    fake = fake_slide(tmp_path / "s", rows=3, cols=8, side=48, assay="colorimetry")
    page = Page(write_slide_report(fake, tmp_path / "report.html", assay="colorimetry", most=4))
    table = pd.read_csv(fake.folder / "spots.csv")
    first = next(row for row in page.embedded()["datasets"]["d0"] if row["spot"] == "A1")
    rgb = [int(first["m0"][k : k + 2], 16) for k in (1, 3, 5)]
    assert np.abs(rgb - table.loc[0, ["red", "green", "blue"]].to_numpy(float)).max() <= 0.5
    assert "Calibration" in page.text


def test_swatches_are_hex_colours() -> None:
    table = pd.DataFrame({"red": [255.0, None], "green": [-0.2, 1.0], "blue": [127.6, 1.0]})
    assert swatches(table) == ["#ff0080", None]


@pytest.mark.slow
def test_a_full_droplet_slide_stays_below_15_mb(tmp_path: Path) -> None:
    fake = fake_slide(
        tmp_path / "s", rows=14, cols=48, side=160, agents=tuple(f"Drug {i}" for i in range(20))
    )
    out = write_slide_report(fake, tmp_path / "report.html", most=24)
    assert out.stat().st_size < 15e6


def test_the_number_that_is_screened_is_mapped_first(tmp_path: Path) -> None:
    fake = fake_slide(tmp_path / "s", rows=3, cols=4, side=48)
    table = pd.read_csv(fake.folder / "spots.csv")
    table[["slide", "spot", "row", "col", "x", "y", "n_nuclei", "flags"]].to_csv(
        fake.folder / "spots.csv", index=False
    )
    report_slide(
        Slide(slide="S01", assay="objects"),
        study="Study",
        out=tmp_path / "report.html",
        options=ReportOptions(max_spots=0),
        config=Config(screen=ScreenOptions(metric="mean(nuclei.area)")),
        **fake.arguments(),
    )
    embedded = Page(tmp_path / "report.html").embedded()
    assert embedded["charts"]["c0"]["title"]["text"] == "mean(nuclei.area)"
    objects = pd.read_parquet(fake.folder / "instances" / "nuclei.parquet")
    mean = objects.groupby("spot")["area"].mean()
    shown = {row["spot"]: row["m0"] for row in embedded["datasets"]["d0"]}
    assert shown["A1"] == pytest.approx(mean["A1"], rel=1e-6)


# What the slide means, how sure it is, which spots are left out.


def test_meaning_comes_before_doubt_and_making(slide_report: Path) -> None:
    text = Page(slide_report).text
    places = [text.index(part) for part in (
        "Living cells, median: ", "Where it happened", "Are the controls apart?", "Spots left out",
        "Look for yourself", "Methods, ready for a paper",
    )]  # fmt: skip
    assert places == sorted(places)


def test_checks_answer_in_words(slide_report: Path) -> None:
    text = Page(slide_report).text
    assert "Are the controls apart?" in text
    assert "robust Z′" in text
    assert "Which corner is A1? ! top left of the image, unproven" in text


def test_a_position_without_a_spot_is_left_out_with_its_reason(slide_report: Path) -> None:
    page = Page(slide_report)
    csv = {a["download"]: a["href"] for a in page.all("a") if "download" in a}
    raw = base64.b64decode(str(csv["S01_left_out.csv"]).split(",", 1)[1])
    table = pd.read_csv(io.BytesIO(raw))
    assert list(table["spot"]) == ["A6"]
    assert "the image does not show one" in table["reason"][0]
    raw = base64.b64decode(str(csv["S01_flagged.csv"]).split(",", 1)[1])
    assert "A6" not in set(pd.read_csv(io.BytesIO(raw))["spot"])


def test_every_column_can_be_mapped(slide_report: Path, viability: FakeSlide) -> None:
    (choice,) = Page(slide_report).embedded()["maps"]
    titles = [column["title"] for column in choice["columns"]]
    assert titles[0] == "Viability: live of all nuclei"
    assert {"Agent", "Dose", "Role", "Viability low", "Orphan live"} <= set(titles)
    assert choice["charts"] == ["c0"]
    for column in choice["columns"]:
        assert set(column["layers"]) == {"values", "signs"}


def test_raw_files_are_named_once(
    viability: FakeSlide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gridwell.config.files import write_json
    from gridwell.config.provenance import made, of_slide

    digest = "ab" * 32
    code = {"commit": "1" * 40, "hash": "2" * 16}
    said = of_slide(made(code, {}, {"nuclei": "3" * 64}), "S01", {"a.tif": digest})
    spots = tmp_path / "spots.csv"
    spots.write_bytes((viability.folder / "spots.csv").read_bytes())
    write_json(tmp_path / "spots.csv.provenance.json", said)
    report_slide(
        Slide(slide="S01", assay="viability"),
        study="Study",
        out=tmp_path / "r.html",
        options=ReportOptions(max_spots=0),
        config=Config(),
        slide_json=viability.folder / "slide.json",
        provenance=made(code, {}),
        **viability.arguments() | {"spots_csv": spots},
    )
    page = Page(tmp_path / "r.html")
    assert page.text.count(digest) == 1
    assert "gridwell 0.1.0, commit 111111111111," in page.text
    assert "nuclei (SHA-256 333333333333…)" in page.text
    assert "doi:10.1177/108705719900400206" in page.text


def test_cells_are_drawn_by_their_stains(viability: FakeSlide, tmp_path: Path) -> None:
    cells = pd.DataFrame(
        {
            "spot": "A1",
            "state": ["live", "dying", "dead", "inactive", "orphan_live"] * 1000,
            "intensity_live": [900.0, 800.0, -3.0, 2.0, np.nan] * 1000,
            "intensity_dead": [1.0, 700.0, 800.0, -2.0, np.nan] * 1000,
            "ambiguous": [False, True, False, False, False] * 1000,
        }
    )
    cells.to_parquet(tmp_path / "cells.parquet")
    report_slide(
        Slide(slide="S01", assay="viability"),
        study="Study",
        out=tmp_path / "r.html",
        options=ReportOptions(max_spots=0),
        cells_parquet=tmp_path / "cells.parquet",
        **viability.arguments(),
    )
    page = Page(tmp_path / "r.html")
    assert "Cells by their stains" in page.text
    drawn = [
        rows for rows in page.embedded()["datasets"].values() if rows and "sure" in rows[0]
        and "state" in rows[0]
    ]  # fmt: skip
    assert [len(rows) for rows in drawn] == [2000]

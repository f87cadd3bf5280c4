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
    link = next(a for a in Page(slide_report).all("a") if "download" in a)
    assert link["download"] == "S01_spots.csv"
    raw = base64.b64decode((link["href"] or "").split(",", 1)[1])
    table = pd.read_csv(io.BytesIO(raw))
    assert len(table) == 40
    assert {"slide", "spot", "viability", "agent", "concentration", "unit"} <= set(table)


@pytest.mark.parametrize(("status", "loud"), [("ok", False), ("ambiguous", True), ("failed", True)])
def test_a_grid_in_doubt_is_said_loudly(tmp_path: Path, status: str, loud: bool) -> None:
    fake = fake_slide(tmp_path / "s", rows=3, cols=4, side=48, status=status)
    page = Page(write_slide_report(fake, tmp_path / "report.html", most=2))
    banner = next(a for a in page.all("section") if "status" in (a.get("class") or ""))
    assert (banner["role"] == "alert") is loud
    assert ("bad" in (banner["class"] or "")) is loud


def test_a_slide_without_layout_segments_or_spots_to_show(tmp_path: Path) -> None:
    fake = fake_slide(tmp_path / "s", rows=3, cols=4, side=48)
    bare = replace(fake, layout=None, channels=())
    page = Page(write_slide_report(bare, tmp_path / "report.html", most=0))
    assert "A look at the spots" not in page.text
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

"""What bears on a result, and what does not: a result says the hash of the former."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from gridwell.config.models import Config
from gridwell.config.provenance import settings_hash
from gridwell.config.settings import (
    carrier_of,
    controls_of,
    empty_spots_of,
    override_of,
    screen_settings,
    slide_settings,
)
from gridwell.config.study import load_study

from tests.unit.config.conftest import CHANNELS, CONFIG, DRUGS, PH, SLIDES

ASSAYS = {"S01": "viability", "S02": "objects", "S03": "colorimetry"}
STAGES = ("segment", "spots", "report")
ALL = {(slide, stage) for slide in ASSAYS for stage in STAGES}
REPORTS = {(slide, "report") for slide in ASSAYS}
Write = Callable[[str, str], None]


def hashes(root: Path) -> dict[tuple[str, str], str]:
    """Hash of what bears on each stage of each slide, on the screen and on its report."""
    study = load_study(root)
    found = {key: settings_hash(slide_settings(study, *key)) for key in sorted(ALL)}
    found["screen", "tables"] = settings_hash(screen_settings(study))
    found["screen", "report"] = settings_hash(screen_settings(study, report=True))
    return found


SCREEN = {("screen", "tables"), ("screen", "report")}


def changed(root: Path, change: Callable[[], object]) -> set[tuple[str, str]]:
    before = hashes(root)
    change()
    after = hashes(root)
    return {key for key in before if before[key] != after[key]}


def of(*slides: str, stages: tuple[str, ...] = STAGES) -> set[tuple[str, str]]:
    return {(slide, stage) for slide in slides for stage in stages}


CELLS = of("S01", "S02") | SCREEN
TABLES = ("spots", "report")
SHOWN = REPORTS | {("screen", "report")}
BEARS: dict[str, set[tuple[str, str]]] = {
    "study: Another": SHOWN,
    "gpu: forbid": ALL | SCREEN,
    "precision: float32": CELLS | SHOWN,
    "export: plate": SHOWN,
    "ingest: {by: hard_link}": set(),
    "ingest: {replace: true}": set(),
    "ingest: {max_gigapixels: 1}": set(),
    "tile: {chunk: 256}": ALL | SCREEN,
    "grid: {max_angle: 20}": ALL | SCREEN,
    "spots: {margin: 0.2}": ALL | SCREEN,
    "segment: {ring: 7}": CELLS | SHOWN,
    "segment: {default: {method: otsu}}": CELLS | SHOWN,
    "fuse: {max_shift: 4}": of("S01", stages=TABLES) | SCREEN | SHOWN,
    "fuse: {min_cells: 3}": of("S01", "S02", stages=TABLES) | SCREEN | SHOWN,
    "colour: {inner: 0.5}": of("S03", stages=TABLES) | SCREEN | SHOWN,
    "screen: {metric: n_nuclei}": SCREEN | SHOWN,
    "report: {max_spots: 3}": SHOWN,
}


@pytest.mark.parametrize("option", BEARS)
def test_options_bear_on_the_stages_that_take_them(root: Path, write: Write, option: str) -> None:
    values = yaml.safe_load("\n".join(CONFIG)) | {"versioning": "off"}
    for key, value in yaml.safe_load(option).items():
        values[key] = {**values.get(key, {}), **value} if isinstance(value, dict) else value
    text = yaml.safe_dump(values)
    assert changed(root, lambda: write("config/config.yaml", text)) == BEARS[option]


def test_each_section_of_the_configuration_is_tried() -> None:
    tried = {option.partition(":")[0] for option in BEARS}
    assert set(Config.model_fields) - tried <= {"versioning", "learn", "resources"}


def rewrite(write: Write, name: str, lines: list[str], old: str, new: str) -> Callable[[], None]:
    text = "\n".join(lines) + "\n"
    assert old in text
    return lambda: write(name, text.replace(old, new))


def in_channels(write: Write, old: str, new: str) -> Callable[[], None]:
    return rewrite(write, "config/channels.tsv", CHANNELS, old, new)


def test_where_an_image_lies_bears_on_nothing(root: Path, write: Write) -> None:
    there = "/elsewhere/s02.tif"
    assert changed(root, in_channels(write, "images/s02_dapi.tif", there)) == set()
    there = "https://example.org/s02.tif"
    assert changed(root, in_channels(write, "images/s02_dapi.tif", there)) == set()


def test_what_an_image_shows_bears_on_all_of_its_slide(root: Path, write: Write) -> None:
    expected = of("S02") | SCREEN
    other = in_channels(write, "s02_gfp.tif\t\t", "s02_gfp.tif\t1\t")
    assert changed(root, other) == expected
    other = in_channels(write, "s02_gfp.tif\t\t", "s02_gfp.tif\t1\t0.5")
    assert changed(root, other) == expected


def test_control_spots_bear_on_the_calibration_of_cells(root: Path, write: Write) -> None:
    drugs = "config/layouts/drugs.csv"
    expected = of("S01", stages=TABLES) | SCREEN
    assert changed(root, rewrite(write, drugs, DRUGS, "A1,,,,neg_ctrl", "A1,,,,pos_ctrl")) == (
        expected
    )
    # Other doses: the cells are the same, what they mean in the screen and the report is not.
    write(drugs, "\n".join(DRUGS))
    doses = rewrite(write, drugs, DRUGS, "A3,doxorubicin,1,", "A3,doxorubicin,2,")
    assert changed(root, doses) == of("S01", stages=("report",)) | SCREEN


def test_empty_spots_bear_on_the_grid(root: Path, write: Write) -> None:
    write("config/layouts/drugs.csv", "\n".join([*DRUGS, "C1,,,,empty,"]))
    study = load_study(root)
    assert empty_spots_of(study, "S01") == ["C1"]
    assert empty_spots_of(study, "S02") == []
    more = rewrite(write, "config/layouts/drugs.csv", [*DRUGS, "C2,,,,empty,"], "C2", "C1")
    write("config/layouts/drugs.csv", "\n".join([*DRUGS, "C2,,,,empty,"]))
    assert changed(root, more) == of("S01") | SCREEN


def test_colours_take_the_whole_layout(root: Path, write: Write) -> None:
    other = rewrite(write, "config/layouts/ph.csv", PH, "A2,calibration,7.0", "A2,calibration,7.5")
    assert changed(root, other) == of("S03", stages=TABLES) | SCREEN


def test_how_a_layout_is_written_bears_on_nothing(root: Path, write: Write) -> None:
    other = rewrite(
        write, "config/layouts/drugs.csv", DRUGS, "doxorubicin,0.1,", "doxorubicin,.10,"
    )
    assert changed(root, other) == set()


def test_an_override_bears_on_all_of_its_slide(root: Path, write: Write) -> None:
    name = "config/overrides/S02.yaml"
    assert changed(root, lambda: write(name, "angle: 3\n")) == of("S02") | SCREEN
    assert changed(root, lambda: write(name, "angle: 4\n")) == of("S02") | SCREEN
    assert override_of(load_study(root), "S02")["angle"] == 4
    assert override_of(load_study(root), "S01") is None


def test_a_carrier_bears_on_all_of_its_slide(root: Path, write: Write) -> None:
    other = rewrite(write, "config/slides.tsv", SLIDES, "sbs-96", "sbs-384")
    assert changed(root, other) == of("S02") | SCREEN
    study = load_study(root)
    assert carrier_of(study, "S02")["rows"] == 16
    assert carrier_of(study, "S03") is None


def test_the_group_of_a_slide_bears_on_the_screen_and_the_report(root: Path, write: Write) -> None:
    other = rewrite(write, "config/slides.tsv", SLIDES, "patient 1", "patient 2")
    assert changed(root, other) == of("S01", stages=("report",)) | SCREEN


def test_control_spots_and_those_without_a_layout(root: Path) -> None:
    study = load_study(root)
    assert controls_of(study, "S01") == {"A1": "neg_ctrl"}
    assert controls_of(study, "S02") == controls_of(study, "S03") == {}


@pytest.mark.parametrize("stage", STAGES)
def test_settings_are_plain_data(root: Path, stage: Any) -> None:
    """So that the same study has the same hash in any process."""
    study = load_study(root)
    for slide in ASSAYS:
        again = slide_settings(load_study(root), slide, stage)
        assert yaml.safe_load(yaml.safe_dump(again)) == slide_settings(study, slide, stage)

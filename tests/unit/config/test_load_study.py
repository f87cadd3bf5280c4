"""A whole study: what is read, and every kind of mistake with its place and its remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from gridwell.config.errors import InputError
from gridwell.config.models import Assay, Config, Role
from gridwell.config.study import load_study

SLIDES = "config/slides.tsv"
CHANNELS = "config/channels.tsv"
CONFIG = "config/config.yaml"
DRUGS = "config/layouts/drugs.csv"
PH = "config/layouts/ph.csv"


def test_everything_is_read(root):
    study = load_study(root)
    assert list(study.slides) == ["S01", "S02", "S03"]
    assert study.slides["S01"].assay is Assay.VIABILITY
    assert study.slides["S01"].group == "patient 1"
    assert study.slides["S02"].layout is None
    assert [channel.channel for channel in study.channels["S01"]] == ["hoechst", "calcein", "pi"]
    assert study.channels["S01"][2].index == 2
    assert study.channels["S01"][0].pixel_size_um == 1.98
    assert study.channels["S02"][1].role is Role.OTHER
    assert study.path_of(study.channels["S03"][0]) == root / "images/s03.png"
    assert set(study.layouts) == {"drugs.csv", "ph.csv"}
    assert set(study.carriers) == {"dma-672", "sbs-96"}
    assert study.config.versioning == "off"
    assert study.overrides == {}


def test_which_channels_are_segmented(root):
    study = load_study(root)
    names = {
        slide: [channel.channel for channel in study.segmented(slide)] for slide in study.slides
    }
    assert names == {"S01": ["hoechst", "calcein", "pi"], "S02": ["dapi"], "S03": []}


def test_config_is_optional(root):
    (root / CONFIG).unlink()
    assert load_study(root).config == Config()


def test_absolute_paths_stay(root):
    spoil(root, CHANNELS, 7, "S03\tscan\tcolour\t/scans/s03.png\t\t")
    study = load_study(root)
    assert study.path_of(study.channels["S03"][0]) == Path("/scans/s03.png")


def test_command_line_wins_section_by_section(root):
    spoil(root, CONFIG, 1, "grid:\n  rows: 4\n  max_angle: 5\nstudy: A test")
    config = load_study(root, {"grid": {"rows": "6"}, "gpu": "forbid", "report": None}).config
    assert (config.grid.rows, config.grid.max_angle, config.gpu) == (6, 5.0, "forbid")


@pytest.mark.parametrize("off", ["off", False])
def test_off_means_off(root, off):
    assert load_study(root, {"versioning": off}).config.versioning == "off"


@pytest.mark.parametrize("wanted", ["S02,S03", " S03 , S02 ", ["S02", "S03"]])
def test_restricted_to_slides(root, write, wanted):
    write("config/overrides/S01.yaml", "angle: 1.5\n")
    study = load_study(root, {"slides": wanted})
    assert list(study.slides) == ["S02", "S03"]
    assert list(study.channels) == ["S02", "S03"]
    assert set(study.layouts) == {"ph.csv"}
    assert set(study.carriers) == {"sbs-96"}
    assert study.overrides == {}


def test_a_slide_may_be_called_by_a_number(root):
    for name in (SLIDES, CHANNELS):
        path = root / name
        path.write_text(path.read_text().replace("S03", "3"))
    assert list(load_study(root, {"slides": 3}).slides) == ["3"]


def test_override_is_read(root, write):
    write(
        "config/overrides/S02.yaml",
        "# seen by hand\nangle: -1.5\npitch: [100, 101.5]\n"
        "corners:\n  A1: [10, 20]\n  H12: [1128, 701]\n",
    )
    write("config/overrides/S01.yaml", "# nothing yet\nrows:\n")
    overrides = load_study(root).overrides
    assert set(overrides) == {"S02"}
    assert overrides["S02"].pitch == (100.0, 101.5)
    assert overrides["S02"].corners == {"A1": (10.0, 20.0), "H12": (1128.0, 701.0)}


def test_sheets_from_a_spreadsheet(root):
    path = root / SLIDES
    lines = path.read_text().splitlines()
    text = "# how to fill this in\r\n\r\n" + "\r\n".join(f"{line}\t\t" for line in lines)
    path.write_bytes("\ufeff".encode() + text.encode() + b"\r\n\t\t\t\t\t\t\r\n")
    assert list(load_study(root).slides) == ["S01", "S02", "S03"]


def test_channel_settings_start_from_the_default(root):
    given = {"default": {"sigma": 2.5}, "channels": {"dapi": {"min_diameter": 9}}}
    method = load_study(root, {"segment": given}).config.segment.of("dapi", "nuclei")
    assert (method.sigma, method.min_diameter, method.max_diameter) == (2.5, 9.0, 100.0)


def spoil(root: Path, name: str, line: int, text: str | None) -> None:
    """Put `text` in place of a line; one line beyond the end appends."""
    path = root / name
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[line - 1 : line] = [] if text is None else [text]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


# file, line, what stands there instead; then the file, row and column that are named, a part
# of the reason and a part of the remedy.
MISTAKES = {
    "two slides of one name": (
        (SLIDES, 5, "S01\tobjects"),
        (SLIDES, 5, "slide", "row 2 already", "name of its own"),
    ),
    "slides that differ in case": (
        (SLIDES, 5, "s01\tobjects"),
        (SLIDES, 5, "slide", "only in case from S01", "name of its own"),
    ),
    "slide called as a folder of results": (
        (SLIDES, 5, "Screen\tobjects"),
        (SLIDES, 5, "slide", "another folder", "another name"),
    ),
    "slide name with a blank": (
        (SLIDES, 5, "slide 5\tobjects"),
        (SLIDES, 5, "slide", "cannot be used", "letters, digits"),
    ),
    "slide name that leaves the folder": (
        (SLIDES, 5, "../S05\tobjects"),
        (SLIDES, 5, "slide", "cannot be used", "letters, digits"),
    ),
    "no name": ((SLIDES, 5, "\tobjects"), (SLIDES, 5, "slide", "empty", "Fill it in")),
    "unknown assay": (
        (SLIDES, 3, "S02\tobject\tsbs-96"),
        (SLIDES, 3, "assay", "not one of", "Did you mean 'objects'"),
    ),
    "no assay": ((SLIDES, 3, "S02"), (SLIDES, 3, "assay", "empty", "Fill it in")),
    "unknown carrier": (
        (SLIDES, 3, "S02\tobjects\tsbs96"),
        (SLIDES, 3, "carrier", "no known carrier", "Did you mean 'sbs-96'"),
    ),
    "layout that is not there": (
        (SLIDES, 2, "S01\tviability\tdma-672\tdrug.csv"),
        (SLIDES, 2, "layout", "no file in config/layouts", "Did you mean 'drugs.csv'"),
    ),
    "layout as a path": (
        (SLIDES, 2, "S01\tviability\tdma-672\tconfig/layouts/drugs.csv"),
        (SLIDES, 2, "layout", "is a path", "alone"),
    ),
    "slide without channels": (
        (SLIDES, 5, "S04\tobjects"),
        (SLIDES, 5, "slide", "has no row in", "Add a row"),
    ),
    "column with another name": (
        (SLIDES, 1, "slide\tassays\tcarrier\tlayout\tgroup"),
        (SLIDES, 1, "assays", "no known column", "Did you mean 'assay'"),
    ),
    "column missing": (
        (SLIDES, 1, "slide\t\tcarrier\tlayout\tgroup"),
        (SLIDES, 1, "assay", "missing from the header", "Add the column"),
    ),
    "column twice": (
        (SLIDES, 1, "slide\tassay\tcarrier\tlayout\tcarrier"),
        (SLIDES, 1, "carrier", "twice", "Keep one"),
    ),
    "commas in a sample sheet": (
        (SLIDES, 1, "slide,assay,carrier,layout,group"),
        (SLIDES, 1, None, "separated by commas", "Tab"),
    ),
    "semicolons in a sample sheet": (
        (CHANNELS, 1, "slide;channel;role;path;index"),
        (CHANNELS, 1, None, "separated by semicolons", "Tab"),
    ),
    "blanks in a sample sheet": (
        (SLIDES, 1, "slide  assay  carrier"),
        (SLIDES, 1, None, "separated by blanks", "Tab"),
    ),
    "a row with blanks": (
        (SLIDES, 5, "S04  objects"),
        (SLIDES, 5, None, "one cell where the header has 5", "Separate"),
    ),
    "too many cells": (
        (SLIDES, 5, "S04\tobjects\t\t\t\t\tnote"),
        (SLIDES, 5, None, "7 cells where the header has 5", "Delete"),
    ),
    "two channels of one name": (
        (CHANNELS, 8, "S03\tscan\tother\timages/x.png"),
        (CHANNELS, 8, "channel", "row 7 already", "name of its own"),
    ),
    "channels that differ in case": (
        (CHANNELS, 8, "S02\tDAPI\tother\timages/x.png"),
        (CHANNELS, 8, "channel", "only in case from dapi", "name of its own"),
    ),
    "channel of an unknown slide": (
        (CHANNELS, 8, "S3\tscan\tcolour\timages/x.png"),
        (CHANNELS, 8, "slide", "no slide of", "Did you mean 'S0"),
    ),
    "unknown role": (
        (CHANNELS, 2, "S01\thoechst\tnucleus\ts.tif\t0"),
        (CHANNELS, 2, "role", "not one of", "Did you mean 'nuclei'"),
    ),
    "no path": (
        (CHANNELS, 2, "S01\thoechst\tnuclei\t\t0"),
        (CHANNELS, 2, "path", "empty", "Fill it in"),
    ),
    "channel name with a dot": (
        (CHANNELS, 2, "S01\tho.echst\tnuclei\ts.tif\t0"),
        (CHANNELS, 2, "channel", "cannot be used", "letters, digits"),
    ),
    "index that is no number": (
        (CHANNELS, 2, "S01\thoechst\tnuclei\ts.tif\tfirst"),
        (CHANNELS, 2, "index", "not a whole number", "as 12"),
    ),
    "index below zero": (
        (CHANNELS, 2, "S01\thoechst\tnuclei\ts.tif\t-1"),
        (CHANNELS, 2, "index", "too small", "Write 0 or more"),
    ),
    "decimal comma in a pixel size": (
        (CHANNELS, 2, "S01\thoechst\tnuclei\ts.tif\t0\t1,98"),
        (CHANNELS, 2, "pixel_size_um", "decimal comma", "1.98"),
    ),
    "pixel size with a unit": (
        (CHANNELS, 2, "S01\thoechst\tnuclei\ts.tif\t0\t1.98 µm"),
        (CHANNELS, 2, "pixel_size_um", "a unit beside", "alone"),
    ),
    "one plane as two channels": (
        (CHANNELS, 3, "S01\tcalcein\tlive\timages/s01.ome.tif\t0"),
        (CHANNELS, 3, "index", "same plane of the same file as in row 2", "index"),
    ),
    "viability without dead": (
        (CHANNELS, 4, "S01\tpi\tother\timages/s01.ome.tif\t2"),
        (SLIDES, 2, "assay", "no channel of role dead", "correct the role"),
    ),
    "viability with two nuclei": (
        (CHANNELS, 8, "S01\th2\tnuclei\timages/x.tif"),
        (CHANNELS, 8, "role", "this role in row 2", "Correct one"),
    ),
    "two channels for the grid": (
        (CHANNELS, 8, "S02\tg1\tgrid\timages/x.tif\t0\nS02\tg2\tgrid\timages/x.tif\t1"),
        (CHANNELS, 9, "role", "this role in row 8", "Correct one"),
    ),
    "colorimetry without colour": (
        (CHANNELS, 7, "S03\tscan\tother\timages/s03.png"),
        (SLIDES, 4, "assay", "no channel of role colour", "Add it"),
    ),
    "objects with nothing to segment": (
        (CONFIG, 6, "      method: none\n    dapi: {method: none}"),
        (SLIDES, 3, "assay", "no channel of slide S02 is segmented", "a method other than none"),
    ),
    "viability with a channel left out": (
        (CONFIG, 6, "      method: none\n    pi:\n      method: none"),
        (CONFIG, 8, "segment.channels.pi.method", "leaves out channel pi", "another method"),
    ),
    "unknown option": (
        (CONFIG, 1, "grid:\n  min_confidense: 0.2"),
        (CONFIG, 2, "grid.min_confidense", "no known option", "Did you mean 'min_confidence'"),
    ),
    "option outside its section": (
        (CONFIG, 1, "min_confidence: 0.2"),
        (CONFIG, 1, "min_confidence", "no option of this section", "grid.min_confidence"),
    ),
    "option of a channel unknown": (
        (CONFIG, 6, "      methods: none"),
        (CONFIG, 6, "segment.channels.gfp.methods", "no known option", "'method'"),
    ),
    "option twice": (
        (CONFIG, 2, "versioning: off\nstudy: Again"),
        (CONFIG, 3, "study", "stands twice, first in row 1", "Keep one"),
    ),
    "tab in YAML": (
        (CONFIG, 6, "\t  method: none"),
        (CONFIG, 6, None, "a tab", "Indent with spaces"),
    ),
    "no blank after the colon": (
        (CONFIG, 1, "study:A test"),
        (CONFIG, 2, None, "not valid YAML", "a space after the colon"),
    ),
    "option out of bounds": (
        (CONFIG, 1, "spots:\n  margin: 10"),
        (CONFIG, 2, "spots.margin", "too large", "Write 1 or less"),
    ),
    "option that needs a multiple": (
        (CONFIG, 1, "tile: {chunk: 500}"),
        (CONFIG, 1, "tile.chunk", "does not fit", "multiple of 16"),
    ),
    "option that is not a choice": (
        (CONFIG, 1, "gpu: required"),
        (CONFIG, 1, "gpu", "not one of", "Did you mean 'require'"),
    ),
    "decimal comma in an option": (
        (CONFIG, 1, "spots:\n  margin: 0,2"),
        (CONFIG, 2, "spots.margin", "decimal comma", "0.2"),
    ),
    "true for a number": (
        (CONFIG, 1, "grid:\n  rows: true"),
        (CONFIG, 2, "grid.rows", "true or false", "value itself"),
    ),
    "option without a value": (
        (CONFIG, 1, "spots:\n  margin:"),
        (CONFIG, 2, "spots.margin", "no value", "delete the line"),
    ),
    "value for a section": (
        (CONFIG, 1, "grid: 14"),
        (CONFIG, 1, "grid", "is a section", "below it"),
    ),
    "anchors": (
        (CONFIG, 1, "grid: &g {rows: 14}"),
        (CONFIG, 1, None, "anchors", "Write the values out"),
    ),
    "code in YAML": (
        (CONFIG, 1, "study: !!python/object/apply:os.getcwd []"),
        (CONFIG, 1, None, "could run code", "without tags"),
    ),
    "diameters exchanged": (
        (CONFIG, 6, "      min_diameter: 50\n      max_diameter: 20"),
        (CONFIG, 7, "segment.channels.gfp.max_diameter", "below min_diameter, 50", "Exchange"),
    ),
    "settings of an unknown channel": (
        (CONFIG, 5, "    gfpp:"),
        (CONFIG, 5, "segment.channels.gfpp", "no channel of", "Did you mean 'gfp'"),
    ),
    "metric that cannot be read": (
        (CONFIG, 8, "  metric: average of nuclei"),
        (CONFIG, 8, "screen.metric", "no number of a spot", "mean(nuclei.area)"),
    ),
    "metric with an unknown aggregate": (
        (CONFIG, 8, "  metric: avg(nuclei.area)"),
        (CONFIG, 8, "screen.metric", "no number of a spot", "median"),
    ),
    "metric of an unknown channel": (
        (CONFIG, 8, "  metric: mean(hoescht.area)"),
        (CONFIG, 8, "screen.metric", "no segmented channel", "Did you mean 'hoechst'"),
    ),
    "metric of an unknown feature": (
        (CONFIG, 8, "  metric: mean(nuclei.areas)"),
        (CONFIG, 8, "screen.metric", "areas is no feature", "Did you mean 'area'"),
    ),
    "metric that no slide has": (
        (CONFIG, 8, "  metric: viabilty"),
        (CONFIG, 8, "screen.metric", "no column", "Did you mean 'viability'"),
    ),
    "metric of two channels": (
        (CONFIG, 8, "  metric: mean(dapi.mean / hoechst.mean)"),
        (CONFIG, 8, "screen.metric", "no number of a spot", "one channel"),
    ),
    "spot outside the carrier": (
        (DRUGS, 3, "O1,doxorubicin,0.1,uM,sample,1"),
        (DRUGS, 3, "spot", "outside carrier dma-672 of slide S01 (A1 to N48)", "Correct the spots"),
    ),
    "spot outside the grid given": (
        (CONFIG, 1, "grid: {cols: 2}"),
        (PH, 4, "spot", "outside grid.rows and grid.cols", "Correct the spots"),
    ),
    "decimal comma in a layout": (
        (DRUGS, 3, "A2,doxorubicin,0,1,uM,sample,1"),
        (DRUGS, 3, "concentration", "decimal comma", "with a point"),
    ),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistake(root, kind):
    (name, line, text), expected = MISTAKES[kind]
    spoil(root, name, line, text)
    with pytest.raises(InputError) as caught:
        load_study(root)
    says(caught.value, *expected)
    # One mistake is one message: nothing follows from it that confuses.
    assert len(caught.value.problems) == 1, str(caught.value)


def says(error, file, row, column, reason, remedy):
    """Some problem names the place, the reason and the remedy."""
    for problem in error.problems:
        if (problem.file, problem.row, problem.column) == (file, row, column):
            assert reason in problem.reason
            assert remedy in problem.remedy
            return
    raise AssertionError(f"none at {file}, row {row}, {column}:\n{error}")


def problems_of(root, overrides=None):
    with pytest.raises(InputError) as caught:
        load_study(root, overrides)
    return caught.value


def test_all_mistakes_are_told_at_once(root, write):
    spoil(root, SLIDES, 3, "S02\tobjects\tsbs-97")
    spoil(root, CHANNELS, 2, "S01\thoechst\tnukleus\ts.tif\t0")
    spoil(root, DRUGS, 3, "A2,doxorubicin,-1,uM,sample,1")
    spoil(root, DRUGS, 4, "A3,doxorubicin,1,,sample,1")
    spoil(root, CONFIG, 1, "gpu: maybe")
    write("config/overrides/S09.yaml", "angle: 200\n")
    error = problems_of(root, {"report": {"max_spots": -1}, "slides": "S77"})
    places = [(problem.file, problem.row, problem.column) for problem in error.problems]
    assert set(places) == {
        (SLIDES, 3, "carrier"),
        (CHANNELS, 2, "role"),
        (DRUGS, 3, "concentration"),
        (DRUGS, 4, "unit"),
        (CONFIG, 1, "gpu"),
        ("config/overrides/S09.yaml", None, None),
        ("config/overrides/S09.yaml", 1, "angle"),
        ("--config", None, "report.max_spots"),
        ("--config", None, "slides"),
    }
    assert len(places) == len(set(places))
    assert len(str(error).splitlines()) == len(places)


def test_no_study(tmp_path):
    error = problems_of(tmp_path / "nowhere")
    assert "no study" in error.problems[0].reason
    assert "make study" in error.problems[0].remedy


@pytest.mark.parametrize("name", [SLIDES, CHANNELS])
def test_missing_and_empty_sheets(root, name):
    (root / name).write_text("")
    assert [(p.file, p.row) for p in problems_of(root).problems] == [(name, 1)]
    header = {"slides": "slide\tassay", "channels": "slide\tchannel\trole\tpath"}
    (root / name).write_text(header[Path(name).stem] + "\n# nothing yet\n")
    error = problems_of(root)
    says(error, name, 2, None, "lists no", "Write one row")
    (root / name).unlink()
    says(problems_of(root), name, None, None, "does not exist", "separated by tabs")


def test_workbook_in_place_of_a_table(root):
    (root / SLIDES).write_bytes(b"PK\x03\x04" + bytes(100))
    says(problems_of(root), SLIDES, None, None, "workbook", "save the sheet as text")


def test_config_with_the_wrong_ending(root):
    (root / CONFIG).rename(root / "config/config.yml")
    says(problems_of(root), "config/config.yml", None, None, "not read", "Rename it")


def test_config_that_is_no_mapping(root, write):
    write(CONFIG, "- study\n")
    says(problems_of(root), CONFIG, 1, None, "does not consist of options", "name: value")


def test_config_that_is_not_text(root, write):
    write(CONFIG, b"study: caf\xe9\n")
    says(problems_of(root), CONFIG, 1, None, "not UTF-8", "Save the file as UTF-8")
    write(CONFIG, b"study: a\x00b\n")
    says(problems_of(root), CONFIG, None, None, "does not allow", "plain UTF-8")


def test_config_that_attacks(root, write):
    write(CONFIG, "x" * 2_000_000)
    says(problems_of(root), CONFIG, None, None, "bytes long", "options only")
    write(CONFIG, "a: " + "[" * 100_000)
    says(problems_of(root), CONFIG, None, None, "nested too deeply", "options only")


def test_first_of_many_spots_outside_is_named_with_the_others(root):
    lines = [f"A{col},,,,neg_ctrl," for col in range(50, 60)]
    spoil(root, DRUGS, 2, "\n".join(lines))
    (problem,) = problems_of(root).problems
    assert (problem.row, problem.value) == (2, "A50")
    assert "9 more (rows 3, 4, 5, 6, 7 and on)" in problem.reason


OVERRIDE = "config/overrides/S02.yaml"
OVERRIDE_MISTAKES = {
    "unknown slide": (
        ("config/overrides/S2.yaml", "angle: 1\n"),
        ("config/overrides/S2.yaml", None, None, "after no slide", "Did you mean 'S0"),
    ),
    "wrong ending": (
        ("config/overrides/S02.yml", "angle: 1\n"),
        ("config/overrides/S02.yml", None, None, "not read", "Rename it to S02.yaml"),
    ),
    "unknown key": (
        (OVERRIDE, "angel: 1\n"),
        (OVERRIDE, 1, "angel", "no known option", "Did you mean 'angle'"),
    ),
    "one pitch": (
        (OVERRIDE, "pitch: 100\n"),
        (OVERRIDE, 1, "pitch", "not a list", "in brackets"),
    ),
    "pitch of zero": (
        (OVERRIDE, "pitch: [100, 0]\n"),
        (OVERRIDE, 1, "pitch", "too small", "above 0"),
    ),
    "no spot": (
        (OVERRIDE, "corners:\n  1A: [1, 2]\n"),
        (OVERRIDE, 2, "corners.1A", "is no spot", "as A1"),
    ),
    "spot twice": (
        (OVERRIDE, "corners:\n  A1: [1, 2]\n  a01: [1, 2]\n"),
        (OVERRIDE, 3, "corners.a01", "same spot as A1", "Keep one"),
    ),
    "spot outside": (
        (OVERRIDE, "corners: {Z1: [1, 2]}\n"),
        (OVERRIDE, 1, "corners.Z1", "outside carrier sbs-96 (A1 to H12)", "Correct"),
    ),
    "clicks not on one grid": (
        (OVERRIDE, "corners:\n  A1: [10, 10]\n  A12: [1110, 10]\n  H1: [900, 900]\n"),
        (OVERRIDE, 1, "corners", "do not lie on one grid", "Check their names"),
    ),
    "clicks and pitch": (
        (OVERRIDE, "pitch: [90, 90]\ncorners: {A1: [10, 10], A12: [1110, 10]}\n"),
        (OVERRIDE, 1, "pitch", "does not fit the clicked spots", "Leave pitch out"),
    ),
    "clicks and angle": (
        (OVERRIDE, "angle: 9\ncorners: {A1: [10, 10], A12: [1110, 10]}\n"),
        (OVERRIDE, 1, "angle", "does not fit the clicked spots, which show 0.00", "Leave angle"),
    ),
    "clicks and orientation": (
        (OVERRIDE, "orientation: A1 bottom right\ncorners: {A1: [10, 10], H12: [1110, 710]}\n"),
        (OVERRIDE, 1, "orientation", "which show A1 top left", "correct the spots"),
    ),
    "two places of A1": (
        (OVERRIDE, "origin: [10, 10]\npitch: [100, 100]\ncorners: {A1: [90, 10]}\n"),
        (OVERRIDE, 1, "origin", "different points of the same spot", "Leave one"),
    ),
    "two spots in one place": (
        (OVERRIDE, "corners:\n  A1: [10, 10]\n  B2: [10, 10]\n"),
        (OVERRIDE, 3, "corners.B2", "same place as A1", "Click each"),
    ),
    "angle and orientation": (
        (OVERRIDE, "angle: 1.5\norientation: A1 top right\n"),
        (OVERRIDE, 1, "angle", "does not fit orientation A1 top right", "about 90"),
    ),
    "spot larger than pitch": (
        (OVERRIDE, "pitch: [100, 100]\nspot: [120, 80]\n"),
        (OVERRIDE, 2, "spot", "overlap at a pitch of 100 x 100", "Correct"),
    ),
    "pitch unlike the carrier's": (
        (OVERRIDE, "pitch: [100, 130]\n"),
        (OVERRIDE, 1, "pitch", "not spaced as on carrier sbs-96", "carrier"),
    ),
    "grid of no slide": (
        (OVERRIDE, "same_as: S4\n"),
        (OVERRIDE, 1, "same_as", "is no slide", "S01, S03"),
    ),
    "grid of itself": (
        (OVERRIDE, "same_as: S02\n"),
        (OVERRIDE, 1, "same_as", "circle: S02 -> S02", "of its own"),
    ),
    "grid of another carrier": (
        (OVERRIDE, "same_as: S01\n"),
        (OVERRIDE, 1, "same_as", "slide S01 is on carrier dma-672", "same carrier"),
    ),
    "grid of another slide and its rows": (
        (OVERRIDE, "same_as: S03\nrows: 8\n"),
        (OVERRIDE, 2, "rows", "together with same_as", "origin, angle and orientation"),
    ),
    "not the carrier's rows": (
        (OVERRIDE, "rows: 9\n"),
        (OVERRIDE, 1, "rows", "differs from carrier sbs-96, which has 8", "carrier"),
    ),
}


@pytest.mark.parametrize("kind", OVERRIDE_MISTAKES)
def test_override_mistake(root, write, kind):
    file, expected = OVERRIDE_MISTAKES[kind]
    write(*file)
    error = problems_of(root)
    says(error, *expected)
    assert len(error.problems) == 1, str(error)


def test_grids_taken_from_each_other(root, write):
    write("config/overrides/S02.yaml", "same_as: S03\n")
    write("config/overrides/S03.yaml", "same_as: S02\n")
    assert [problem.file for problem in problems_of(root).problems] == [
        "config/overrides/S02.yaml",
        "config/overrides/S03.yaml",
    ]


def test_an_override_against_the_orientation_of_the_study(root, write):
    spoil(root, CONFIG, 1, "grid:\n  orientation: A1 top right\nstudy: A test")
    write(OVERRIDE, "angle: 2\n")
    (problem,) = problems_of(root).problems
    assert (problem.file, problem.column) == (OVERRIDE, "angle")
    assert "about 90" in problem.remedy
    write(OVERRIDE, "angle: 2\norientation: A1 top left\n")
    assert load_study(root).config.grid.orientation == "A1 top right"


def test_a_chosen_slide_needs_the_grid_that_it_shares(root, write):
    write("config/overrides/S03.yaml", "same_as: S02\n")
    (problem,) = problems_of(root, {"slides": "S03"}).problems
    assert (problem.file, problem.column) == ("--config", "slides")
    assert "Name S02 as well" in problem.remedy
    assert load_study(root, {"slides": "S02,S03"}).overrides["S03"].same_as == "S02"
    write("results/S02/grid.json", "{}")
    assert set(load_study(root, {"slides": "S03"}).slides) == {"S03"}


@pytest.mark.parametrize(
    ("overrides", "column", "remedy"),
    [
        ({"grids": {"rows": 3}}, "grids", "Did you mean 'grid'"),
        ({"grid": {"row": 3}}, "grid.row", "Did you mean 'rows'"),
        ({"grid": {"rows": "many"}}, "grid.rows", "whole number"),
        ({"screen": {"metric": "mean(x.area)"}}, "screen.metric", "hoechst"),
        ({"slides": "S1"}, "slides", "Did you mean 'S0"),
    ],
)
def test_mistake_on_the_command_line(root, overrides, column, remedy):
    (problem,) = problems_of(root, overrides).problems
    assert (problem.file, problem.row, problem.column) == ("--config", None, column)
    assert remedy in problem.remedy


@pytest.mark.parametrize("name", [CONFIG, SLIDES, DRUGS])
def test_files_that_were_not_fetched(root, name):
    (root / name).unlink()
    (root / name).symlink_to(".git/annex/objects/nowhere")
    says(problems_of(root), name, None, None, "cannot be read", "datalad get")


@pytest.mark.parametrize("name", [CONFIG, CHANNELS])
def test_folders_in_place_of_files(root, name):
    (root / name).unlink()
    (root / name).mkdir()
    says(problems_of(root), name, None, None, "cannot be read", "permissions")


def test_broken_config_hides_no_mistake_of_other_files(root):
    spoil(root, CONFIG, 1, "\tstudy: x")
    spoil(root, SLIDES, 2, "S01\tviability\tsbs-96\tdrugs.csv")
    spoil(root, DRUGS, 2, "J1,,,,neg_ctrl,")
    files = {problem.file for problem in problems_of(root).problems}
    assert files == {CONFIG, DRUGS}

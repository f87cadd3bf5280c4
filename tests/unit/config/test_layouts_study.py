"""Layouts of a study: the plate of a slide, and spots that its carrier does not have."""

from __future__ import annotations

import pytest
from gridwell.config.errors import InputError
from gridwell.config.study import load_study

PICKS = (
    "# volume: 1 uL\nSample Name,Source Concentration (mM),Destination Plate Name,"
    "Destination Well,Transfer Volume\nx,10,D1,A1,1\nx,10,D1,A2,2\nx,10,D2,A3,1\n"
    "DMSO,,D2,B1,1\n"
)


def use(root, write, layout, carrier="dma-672"):
    path = root / "config/slides.tsv"
    text = path.read_text(encoding="utf-8")
    write("config/slides.tsv", text.replace("dma-672\tdrugs.csv", f"{carrier}\t{layout}"))


def mistakes(root):
    with pytest.raises(InputError) as caught:
        load_study(root)
    return [(p.file, p.row, p.column, p.reason) for p in caught.value.problems]


def test_a_slide_names_its_plate(root, write):
    write("config/layouts/picks.csv", PICKS)
    use(root, write, "picks.csv#D2")
    study = load_study(root)
    table = study.layouts[study.slides["S01"].layout]
    assert list(table["spot"]) == ["A3", "B1"]
    assert list(table["concentration"].dropna()) == [10]


@pytest.mark.parametrize(
    ("layout", "reason"),
    [
        ("picks.csv", "lays out 2 plates, and it is not said which is meant"),
        ("picks.csv#D3", "is no plate of this layout"),
        ("pick.csv#D1", "is no file in config/layouts"),
        ("drugs.csv#D1", "lays out no plates by name"),
    ],
)
def test_a_plate_that_is_not_clear_is_a_mistake_of_the_sheet(root, write, layout, reason):
    write("config/layouts/picks.csv", PICKS)
    use(root, write, layout)
    assert mistakes(root) == [("config/slides.tsv", 2, "layout", reason)]


def test_mistakes_of_a_file_are_told_once_however_many_slides_use_it(root, write):
    write("config/layouts/picks.csv", PICKS.replace("A2", "Q"))
    use(root, write, "picks.csv#D1")
    text = (root / "config/slides.tsv").read_text(encoding="utf-8")
    write("config/slides.tsv", text.replace("sbs-96\t\t", "sbs-96\tpicks.csv#D2\t"))
    assert mistakes(root) == [("config/layouts/picks.csv", 4, "Destination Well", "is no spot")]


def test_spots_beyond_the_carrier_are_told_with_the_file_that_holds_them(root, write):
    write("config/layouts/plate.csv", "role,24\nO,blank\nP,empty\n")
    use(root, write, "plate.csv", carrier="sbs-96")
    ((file, row, column, reason),) = mistakes(root)
    assert (file, row, column) == ("config/layouts/plate.csv", 2, "spot")
    assert "lies outside carrier sbs-96 of slide S01 (A1 to H12), and so do 1 more" in reason
    write("config/layouts/platemap/H1.txt", "well_position\tbroad_sample\nA01\t\nP24\t\n")
    write("config/layouts/b.csv", "Assay_Plate_Barcode,Plate_Map_Name\nB1,H1\n")
    use(root, write, "b.csv#B1", carrier="sbs-96")
    text = (root / "config/slides.tsv").read_text(encoding="utf-8")
    write("config/slides.tsv", text.replace("plate.csv", "b.csv#B1"))
    ((file, row, column, reason),) = mistakes(root)
    assert (file, row) == ("config/layouts/platemap/H1.txt", 3)

"""Plate grids, pick lists, plate maps and tables of others all end in the same table."""

from __future__ import annotations

import csv
import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from gridwell.cli import main
from gridwell.config.errors import InputError
from gridwell.config.layouts import (
    COLUMNS,
    layout_files,
    parse_layout,
    read_layout,
    read_layouts,
    write_layout,
)
from gridwell.config.layouts_words import read_role, read_title, read_unit, read_volume
from gridwell.config.spots import row_letters, spot_name
from hypothesis import given, settings
from hypothesis import strategies as st

ROWS, COLS = 5, 7
AGENTS = ["doxorubicin", "5-FU", "NA", "=x", "a, b", "µ-drug (1)", "A", "+y"]
WORDS = ("agent", "unit", "role", "replicate", "sample", "plate")


@pytest.fixture
def file(tmp_path):
    """Write a file, and give its path."""

    def file(text, name="layout.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return file


def rows(table: pd.DataFrame) -> list[tuple]:
    """Spot, agent, dose, unit and role of each row, sorted; None where there is none."""
    columns = ["spot", "agent", "concentration", "unit", "role"]
    plain = table[columns].astype(object).where(table[columns].notna(), None)
    return sorted(plain.itertuples(index=False, name=None), key=lambda row: (row[0], str(row[1])))


def problems(path, **said):
    return [
        (problem.row, problem.column, problem.reason)
        for problem in parse_layout(path, path.name, said).problems
    ]


GRID = """Agent,1,2,3
A,DMSO,x,x
B,untreated,y,x

Concentration (uM),1,2,3
A,,0.1,1
B,0,2,10

Role,1,2,3
A,negative control,,
B,,pos ctrl,
"""
GRID_ROWS = [
    ("A1", "DMSO", None, None, "neg_ctrl"),
    ("A2", "x", 0.1, "uM", "sample"),
    ("A3", "x", 1.0, "uM", "sample"),
    ("B1", None, 0.0, "uM", "neg_ctrl"),
    ("B2", "y", 2.0, "uM", "pos_ctrl"),
    ("B3", "x", 10.0, "uM", "sample"),
]


def test_blocks_drawn_as_the_plate(file):
    assert rows(read_layout(file(GRID))) == GRID_ROWS


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_grids_as_spreadsheets_save_them(file, separator, encoding):
    """Titles in merged cells above the blocks, empty columns at the end, Windows' line ends."""
    lines = []
    for line in GRID.splitlines():
        cells = line.split(",")
        if len(cells) > 1 and cells[1] == "1":
            lines += [f"{cells[0].replace('uM', 'µM')},,,,,", ",1,2,3,,"]
        else:
            lines.append(f"{line.lower() if len(cells) < 2 else line},,".lstrip(" "))
    text = "\r\n".join(lines).replace(",", separator)
    assert rows(read_layout(file(text.encode(encoding)))) == GRID_ROWS


def test_grids_side_by_side_with_lower_case_rows(file):
    text = "Agent,1,2,,conc_nM,1,2\na,x,y,,a,1,2\nb,DMSO,y,,b,,3\n"
    assert rows(read_layout(file(text))) == [
        ("A1", "x", 1.0, "nM", "sample"),
        ("A2", "y", 2.0, "nM", "sample"),
        ("B1", "DMSO", None, None, "neg_ctrl"),
        ("B2", "y", 3.0, "nM", "sample"),
    ]


def test_rows_of_a_grid_may_be_numbers_and_its_values_count_up(file):
    text = (
        "agent,1,2,3\n1,x,x,x\n2,x,x,x\nconc_uM,1,2,3\n1,1,2,3\n2,4,5,6\nrep,1,2,3\n1,,1,2\n2,1,2,3"
    )
    table = read_layout(file(text))
    assert list(table["concentration"]) == [1, 2, 3, 4, 5, 6]
    assert list(table["replicate"].fillna("")) == ["", "1", "2", "1", "2", "3"]


def test_part_of_a_plate(file):
    table = read_layout(file("Roles,8,11,12\nO,blank,,\nP,,,empty\n"))
    assert list(table["spot"]) == ["O8", "P12"]


@pytest.mark.parametrize(
    "titles",
    [
        ("# agent", "# Concentration [uM]"),
        ("[Agent]", "Plate layout: concentration (uM)"),
        ("Drug names", "Concentrations in uM"),
        ("AGENT:", "conc_uM:"),
    ],
)
def test_titles_of_blocks_as_people_write_them(file, titles):
    text = f"{titles[0]}\n,1,2\nA,x,DMSO\n\n{titles[1]}\n,1,2\nA,3,NA\n"
    assert rows(read_layout(file(text))) == [
        ("A1", "x", 3.0, "uM", "sample"),
        ("A2", "DMSO", None, None, "neg_ctrl"),
    ]


def test_a_wrong_title_is_told_once(file):
    text = "agent,1,2\nA,x,y\nconcentraton,1,2\nA,1,2\n"
    assert problems(file(text)) == [(3, None, "is no known attribute of spots")]
    text = "well,drug,log10_conc\nA1,x,-6\nA2,x,-7\n"
    assert problems(file(text)) == [(1, "log10_conc", "is no known column")]


def test_names_of_one_letter_begin_no_block(file):
    assert "has more cells than" in problems(file("agent,1,2,,4,5\nA,x,x,x,x,x\n"))[0][2]


def test_cells_with_line_breaks(file):
    text = 'agent,1,2\nA,"doxo\n10 uM","doxo\n1 uM"\n'
    assert list(read_layout(file(text))["concentration"]) == [10, 1]
    text = 'agent,1,2\nA,"do\nxo",x\nconc_uM,1,2\nA,1,1\n'
    assert "line break" in problems(file(text))[0][2]


def test_combinations_of_a_grid(file):
    text = (
        "agent,1,2\nA,x,x\nconcentration (uM),1,2\nA,1,10\n"
        "agent 2,1,2\nA,y,DMSO\nconcentration 2 [nM],1,2\nA,5,\n"
    )
    assert rows(read_layout(file(text))) == [
        ("A1", "x", 1.0, "uM", "sample"),
        ("A1", "y", 5.0, "nM", "sample"),
        ("A2", "x", 10.0, "uM", "sample"),
    ]


def test_every_mistake_of_a_grid(file):
    text = (
        "agent,1,2,3\nA,x,x,x\nB,x,x,x,z\n"
        'conc_uM,1,2,3\nA,1,two,3\nB,4,"0,5",-6\n'
        "foo,1,2\nA,1,2\n"
        "role,1,2,3\nA,sampel,control,\nA,,,\n"
        "nonsense line,3\n"
    )
    assert problems(file(text)) == [
        (3, None, "has more cells than the header of its block"),
        (5, "column 2, concentration of A2", "is not a number"),
        (6, "column 2, concentration of B2", "has a decimal comma"),
        (6, "column 3, concentration of B3", "is negative"),
        (7, None, "is no known attribute of spots"),
        (10, "column 1, role of A1", "is not one of the values known here"),
        (10, "column 2, role of A2", "is not one of the values known here"),
        (11, None, "row A of the plate stands in row 10 already"),
        (12, None, "belongs to no block: it is no row of a plate and no title of one"),
    ]


@pytest.mark.parametrize(
    ("text", "row", "reason"),
    [
        (",1,2\nA,x,y\n", 1, "has a block that does not say what it holds"),
        ("agent,1,2\nA,x,y\nconc (ng),1,2\nA,1,2\n", 3, "is no known unit of concentrations"),
        ("agent,1,2\nA,x,y\nconc,1,2\nA,1,2\n", 1, "no unit is given for the doses"),
        ("agent,1,2\nA,x,y\n", 1, "no doses are given for the agents"),
        ("agent,1,2\nA,x,y\nagent,1,2\nA,z,\nuM,1,2\nA,1,1\n", 4, "stands in row 2 already"),
        ("spot,agent,role\nA1,x,blank\nagent,1,2\nA,x,y\n", 1, "begins as a table of spots"),
        ("agent,1,2\n", 1, "is missing from the header"),
    ],
)
def test_grids_that_are_not_clear(file, text, row, reason):
    found = problems(file(text))
    assert (row, reason) in [(line, said[: len(reason)]) for line, _, said in found], found


ECHO = (
    "Source Plate Name,Source Well,Sample Name,Source Concentration (mM),"
    "Destination Plate Name,Destination Well,Transfer Volume\n"
)


def test_transfers_become_doses(file):
    text = ECHO + (
        "S,A1,drug,10,D1,A1,2.5\nS,A1,drug,10,D1,A01,2.5\nS,A2,drug,1,D1,a1,25\n"
        "S,A3,other,0.3,D1,A1,7.5\nS,B1,DMSO,,D1,A1,2.5\nS,B1,DMSO,,D1,B1,42.5\n"
    )
    assert rows(read_layout(file(f"# volume: 50 µL\n{text}"))) == [
        ("A1", "drug", 1.5, "uM", "sample"),
        ("A1", "other", 0.045, "uM", "sample"),
        ("B1", "DMSO", None, None, "neg_ctrl"),
    ]


def test_volumes_and_units_of_transfers_are_read_never_guessed(file):
    head = "Compound,Source Concentration,Source Concentration Units,Destination Well,"
    text = head + "Transfer Volume (uL),Assay Volume [mL]\nx,2,mg/mL,C3,0.5,0.1\n"
    assert rows(read_layout(file(text))) == [("C3", "x", 10.0, "ug/mL", "sample")]
    assert "Assay Volume" in problems(file(text.replace(" [mL]", "")))[0][1]
    assert "is no known unit" in problems(file(text.replace("mg/mL", "mg")))[0][2]
    ((row, column, reason),) = problems(file(ECHO + "S,A1,x,10,D,A1,2.5\nS,A1,x,10,D,A2,5\n"))
    assert (row, column) == (1, None)
    assert "does not say how much is in a spot" in reason
    bare = "Sample Name,Destination Well,Transfer Volume\nx,A1,2.5\nx,A2,2.5\n"
    found = problems(file(bare), volume="1 uL")
    assert found == [(1, "Source Concentration", "is missing from the header")]
    parsed = parse_layout(file(bare), "p.csv", {"volume": "1uL", "stock": "10 mM"})
    assert rows(parsed.table)[0] == ("A1", "x", 25.0, "uM", "sample")


def test_every_mistake_of_a_pick_list(file):
    text = ECHO + (
        'S,A1,x,10,D,Q,2.5\nS,A1,x,ten,D,A1,2.5\nS,A1,x,10,D,A2,"2,5"\n'
        "S,A1,,10,D,A3,2.5\nS,A1,x,10,D,A4,-1\nS,A1,x,,D,A5,5\n"
    )
    assert problems(file(text), volume="1 uL") == [
        (2, "Destination Well", "is no spot"),
        (3, "Source Concentration (mM)", "is not a number"),
        (4, "Transfer Volume", "has a decimal comma"),
        (5, "Sample Name", "is empty"),
        (6, "Transfer Volume", "is too small"),
        (7, "Source Concentration (mM)", "is empty"),
    ]
    text = ECHO + "S,A1,x,10,D,A1,800\nS,A1,DMSO,,D,A1,300\nS,A1,DMSO,,D,A1,300\n"
    ((row, column, reason),) = problems(file(text), volume="1 uL")
    assert (row, column) == (3, "Transfer Volume")
    assert reason == "more is transferred into spot A1 than the 1 uL that it holds"
    head = ECHO.replace("Sample Name", "Sample Comment")
    assert problems(file(head + "S,A1,x,10,D,A1,2\n")) == [
        (1, "Sample Name", "is missing from the header")
    ]


def test_a_report_of_transfers_has_lines_before_its_table(file):
    text = f"Run ID,7\nDate,today\n\n[DETAILS]\n{ECHO}S,A1,x,10,D,A1,2.5\n\nInstrument Name,E\n"
    assert rows(parse_layout(file(text), "r.csv", {"volume": "1 uL"}).table) == [
        ("A1", "x", 25.0, "uM", "sample")
    ]
    text = f"[EXCEPTIONS]\n{ECHO}S,A1,x,10,D,A1,2.5\n"
    assert problems(file(text), volume="1 uL") == [(1, None, "lists transfers that failed")]


PLATE_MAP = (
    "plate_map_name\twell_position\tbroad_sample\tmmoles_per_liter\tsolvent\tpert_type\t"
    "control_type\nH1\tA01\tBRD-1\t0.005\tDMSO\ttrt\t\nH1\tA02\t\t\tDMSO\tcontrol\tnegcon\n"
    "H1\tB01\tBRD-2\t0.01\tDMSO\tcontrol\tposcon\nH1\tB02\t\t\tDMSO\tcontrol\t\n"
)
PLATE_MAP_ROWS = [
    ("A1", "BRD-1", 0.005, "mM", "sample"),
    ("A2", None, None, None, "neg_ctrl"),
    ("B1", "BRD-2", 0.01, "mM", "pos_ctrl"),
    ("B2", None, None, None, "neg_ctrl"),
]


def test_plate_map_alone_and_named_by_its_barcode(file):
    plate_map = file(PLATE_MAP, "platemap/H1.txt")
    assert rows(read_layout(plate_map)) == PLATE_MAP_ROWS
    barcodes = file("Assay_Plate_Barcode,Plate_Map_Name\nB1,H1\nB2,H1\n", "barcode_platemap.csv")
    with pytest.raises(InputError, match="lays out 2 plates"):
        read_layout(barcodes)
    named = barcodes.with_name("barcode_platemap.csv#B2")
    table = read_layout(named)
    assert rows(table) == PLATE_MAP_ROWS
    assert set(table["plate"]) == {"B2"}
    assert layout_files(named) == [barcodes, plate_map]


def test_plate_maps_in_one_file_and_what_is_said_of_all(file):
    both = PLATE_MAP + "H2\tA01\tBRD-9\t5\tDMSO\ttrt\t\n"
    file(both, "H1.txt")
    barcodes = file("# unit: uM\nAssay_Plate_Barcode,Plate_Map_Name\nB1,H1\nb,b\n", "b.csv")
    parsed = parse_layout(barcodes, "b.csv")
    assert [problem.value for problem in parsed.problems] == ["b"]  # never itself
    assert rows(parsed.table) == [(*row[:3], row[3] and "uM", row[4]) for row in PLATE_MAP_ROWS]


def test_mistakes_of_plate_maps(file):
    file("well_position\tbroad_sample\tsolvent\nA01\tBRD\tDMSO\nA02\tBRD\tDMSO\n", "H2.txt")
    barcodes = "Assay_Plate_Barcode,Plate_Map_Name\nB1,H2\nB1,H2\nB3,H9\nB4,../H2\n,H2\n"
    parsed = parse_layout(file(barcodes, "b.csv"), "config/layouts/b.csv")
    found = [(p.file, p.row, p.column, p.reason) for p in parsed.problems]
    assert found == [
        (
            "config/layouts/H2.txt",
            1,
            "concentration",
            "no doses are given for the agents",
        ),
        ("config/layouts/b.csv", 3, "Assay_Plate_Barcode", "stands in row 2 already"),
        ("config/layouts/b.csv", 4, "Plate_Map_Name", "has no plate map beside it"),
        ("config/layouts/b.csv", 5, "Plate_Map_Name", "has no plate map beside it"),
        ("config/layouts/b.csv", 6, "Assay_Plate_Barcode", "is empty"),
    ]


def test_tables_under_the_titles_people_use(file):
    text = (
        "Well,Drug,Concentration [µM],Type,Cell line\na01,doxo,1e-1,Treated,X\nA2,DMSO,,vehicle,X\n"
        "A3,,,empty,X\nA4,doxo,1E+01,trt,X\nA5,doxo,10,poscon,X\nA6,-,0,,X\n"
    )
    assert rows(read_layout(file(text))) == [
        ("A1", "doxo", 0.1, "uM", "sample"),
        ("A2", "DMSO", None, None, "neg_ctrl"),
        ("A3", None, None, None, "empty"),
        ("A4", "doxo", 10.0, "uM", "sample"),
        ("A5", "doxo", 10.0, "uM", "pos_ctrl"),
        ("A6", None, 0.0, "uM", "neg_ctrl"),
    ]


def test_several_agents_beside_each_other(file):
    text = "well,drug1,conc1_uM,drug2,conc2_nM\nA1,x,1,y,2\nA2,x,1,,\nA3,,,y,5\n"
    assert rows(read_layout(file(text))) == [
        ("A1", "x", 1.0, "uM", "sample"),
        ("A1", "y", 2.0, "nM", "sample"),
        ("A2", "x", 1.0, "uM", "sample"),
        ("A3", "y", 5.0, "nM", "sample"),
    ]


def test_a_unit_beside_its_number(file):
    text = "row,column,Compound,Concentration,Category\nB,2,x,1uM,t\nB,3,x,333 nM,t\nB,4,DMSO,0,c\n"
    assert rows(read_layout(file(text))) == [
        ("B2", "x", 1.0, "uM", "sample"),
        ("B3", "x", 333.0, "nM", "sample"),
        ("B4", "DMSO", 0.0, None, "neg_ctrl"),
    ]


def test_one_block_with_agent_and_dose_in_each_cell(file):
    text = "agent,1,2,3\nA,x 10 uM,x 10 uM + y-2 5nM,DMSO 0.5%\nB,x 1e-3 mM,untreated,pos ctrl\n"
    assert rows(read_layout(file(text))) == [
        ("A1", "x", 10.0, "uM", "sample"),
        ("A2", "x", 10.0, "uM", "sample"),
        ("A2", "y-2", 5.0, "nM", "sample"),
        ("A3", "DMSO", 0.5, "%", "neg_ctrl"),
        ("B1", "x", 0.001, "mM", "sample"),
        ("B2", None, None, None, "neg_ctrl"),
        ("B3", None, None, None, "pos_ctrl"),
    ]


@pytest.mark.parametrize("filling", ["DMSO,,", "DMSO,0.5,%", "vehicle,0,uM", "none,,"])
@pytest.mark.parametrize("role", ["", "sample", "pos_ctrl"])
def test_what_fills_up_a_spot_is_no_agent(file, filling, role):
    text = f"spot,agent,concentration,unit,role\nA1,x,1,uM,{role}\nA1,{filling},{role}\n"
    assert rows(read_layout(file(text))) == [("A1", "x", 1.0, "uM", role or "sample")]


def test_a_vehicle_alone_is_no_sample(file):
    text = "spot,agent,role\nA1,DMSO,sample\nA2,DMSO,neg_ctrl\nA3,DMSO,excluded\n"
    assert [(row, column) for row, column, _ in problems(file(text))] == [(2, "role")]


def test_a_vehicle_with_one_share_is_a_control_and_with_several_a_series(file):
    text = "spot,agent,concentration,unit\nA1,DMSO,0.5,%\nA2,x,1,uM\nA2,DMSO,0.5,%\n"
    assert rows(read_layout(file(text))) == [
        ("A1", "DMSO", 0.5, "%", "neg_ctrl"),
        ("A2", "x", 1.0, "uM", "sample"),
    ]
    text = "spot,agent,concentration,unit\nA1,DMSO,0.5,%\nA2,DMSO,1,%\n"
    assert set(read_layout(file(text))["role"]) == {"sample"}


def test_what_spreadsheets_do_to_texts(file):
    text = 'spot,agent,concentration,unit\n"=""A1""",\'-x,1,uM\n'
    assert rows(read_layout(file(text))) == [("A1", "-x", 1.0, "uM", "sample")]


@pytest.mark.parametrize(
    ("text", "row", "column", "reason"),
    [
        ("well,drug,log10_conc\nA1,x,-6\n", 1, "log10_conc", "is no known column"),
        ("well,drug,konzentration_uM\nA1,x,1\n", 1, "konzentration_uM", "is no known column"),
        ("well,drug,dose (ng)\nA1,x,1\n", 1, "dose (ng)", "is no known unit"),
        ("well,drug,dose\nA1,x,1\nA2,x,2\n", 1, "unit", "no unit is given for the doses"),
        ("well,type\nA1,media\n", 2, "type", "is not one of the values known here"),
        ("plate,spot,role\nP,A1,blank\n,A1,blank\n", 3, "plate", "is empty although"),
        ("# unit: ng\nspot,role\nA1,blank\n", 1, "unit", "is no known unit"),
        ('well,drug,dose_uM\nA1,x,"1,000"\n', 2, "dose_uM", "has a comma"),
        ('well,drug,dose_uM\nA1,x,"1,000.5"\n', 2, "dose_uM", "has commas between thousands"),
    ],
)
def test_mistakes_of_tables(file, text, row, column, reason):
    found = problems(file(text))
    assert (row, column, reason) in [
        (line, title, said[: len(reason)]) for line, title, said in found
    ], found


def test_a_plate_of_several(file):
    path = file("barcode,plate,well,role\nP1,q,A1,blank\nP2,q,A1,neg\nP2,q,A2,pos\n")
    assert list(read_layout(path, "P2")["role"]) == ["neg_ctrl", "pos_ctrl"]
    assert list(read_layouts(path.parent, {"layout.csv#P1"})["layout.csv#P1"]["spot"]) == ["A1"]
    with pytest.raises(InputError, match=r"write it as layout.csv#P1|Write it as layout.csv#P1"):
        read_layout(path)
    with pytest.raises(InputError, match="is no plate of this layout"):
        read_layout(path, "P3")
    with pytest.raises(InputError, match="lays out no plates"):
        read_layout(file("spot,role\nA1,blank\n", "one.csv"), "P3")


UNITS = {
    "µmol/L": ("uM", 0),
    "umol l-1": ("uM", 0),
    "micromolar": ("uM", 0),
    "fM": ("pM", -3),
    "mg/ml": ("ug/mL", 3),
    "g/L": ("ug/mL", 3),
    "ng/mL": ("ug/mL", -3),
    "ng/µL": ("ug/mL", 0),
    "% (v/v)": ("%", 0),
    "% w/v": None,
    "um": None,
    "mg/kg": None,
    "IU/mL": None,
    "x": None,
}


@pytest.mark.parametrize("text", UNITS)
def test_units(text):
    assert read_unit(text) == UNITS[text]


def test_mass_is_converted_exactly(file):
    text = "well,drug,dose (ng/mL)\nA1,x,0.3\nA2,x,7e-3\n"
    assert list(read_layout(file(text))["concentration"]) == [0.0003, 7e-06]
    text = "spot,agent,concentration,unit\nA1,x,0.1,mg/mL\n"
    assert list(read_layout(file(text))["concentration"]) == [100]


def test_words():
    assert read_volume("50 µL") == 50_000
    assert read_volume("120nL") == 120
    assert read_volume("1.5") is read_volume("5 uM") is read_volume("uL") is None
    assert read_role("Neg. Control") == "neg_ctrl"
    assert read_role("control") is read_role("medium") is None
    assert read_title("concentration (uM) 2").key == "concentration 2"
    assert read_title("timepoint") is read_title("cell_line") is None


@pytest.mark.parametrize(
    ("name", "plate", "spots", "controls"),
    [
        ("datarail_layouts/metadata.csv", "schema1", 240, 20),
        ("datarail_layouts/single_agent_design_layout.csv", "041018_1", 384, None),
        ("dyedrop_au565_metadata/au565_metadata.csv", "190412_39I_366", 308, None),
    ],
)
def test_published_layouts(shared, name, plate, spots, controls):
    path = shared / "tables" / name
    parsed = parse_layout(path, path.name)
    assert [problem.column for problem in parsed.problems] == ["unit"]
    parsed = parse_layout(path, path.name, {"unit": "uM"})
    assert not parsed.problems
    table = parsed.of_plate(plate).table
    assert len(table) == table["spot"].nunique() == spots
    assert set(table["role"]) <= {"sample", "neg_ctrl", "pos_ctrl"}
    source = pd.read_csv(path)
    key = "barcode" if "barcode" in source else "plate"
    own = source[source[key] == plate]
    assert (table["role"] == "neg_ctrl").sum() == (own["role"] == "negative_control").sum()
    np.testing.assert_array_equal(table["concentration"], own["concentration"])
    if controls:
        assert (table["role"] == "neg_ctrl").sum() == controls


def test_command(file, tmp_path, capsys):
    text = ECHO + "S,A1,x,10,D1,A1,2.5\nS,B1,DMSO,,D1,A2,5\nS,A1,x,10,D2,A1,2.5\n"
    path, out = file(text, "pick.csv"), tmp_path / "out.csv"
    assert main(["layout", f"{path}#D1", "--volume", "50uL", "--out", str(out)]) == 0
    assert rows(read_layout(out)) == [
        ("A1", "x", 0.5, "uM", "sample"),
        ("A2", "DMSO", None, None, "neg_ctrl"),
    ]
    said = capsys.readouterr().out
    for part in ("pick list", "2 spots: A1-A2", "agent x: 0.5 uM, 1 spot", "in nL", "50 uL"):
        assert part in said
    assert main(["layout", str(path), "--volume", "50"]) == 1
    assert "--volume: is no number with a known unit" in capsys.readouterr().err
    assert main(["layout", str(path), "--plate", "D3", "--volume", "1uL"]) == 1
    assert "Plates: D1, D2" in capsys.readouterr().err
    assert main(["layout", str(out), "--out", str(out)]) == 1


# A layout as any of the kinds of files, and back.

DOSES = st.floats(1e-6, 1e6).map(lambda dose: float(f"{dose:.6g}"))


@st.composite
def layouts(draw, most_agents=2, roles=("sample", "neg_ctrl", "pos_ctrl", "blank", "excluded")):
    """Rows of a layout, as `read_layout` would give them, in the order of the plate."""
    units = {
        agent: draw(st.sampled_from([("uM", "nM", "mM"), ("ug/mL",), ("%",)])) for agent in AGENTS
    }
    made = []
    places = draw(
        st.sets(st.tuples(st.integers(0, ROWS - 1), st.integers(0, COLS - 1)), min_size=1)
    )
    for row, col in sorted(places):
        of_spot = {
            "spot": spot_name(row, col),
            "row": row,
            "col": col,
            "role": draw(st.sampled_from(roles)),
            "replicate": draw(st.sampled_from([None, "1", "b"])),
            "value": draw(st.sampled_from([None, 7.4, 1e-3])),
            "sample": draw(st.sampled_from([None, "liver 2", "=z"])),
        }
        agents = draw(st.lists(st.sampled_from(AGENTS), unique=True, max_size=most_agents))
        made += [
            of_spot
            | {"agent": agent, "concentration": draw(DOSES)}
            | {"unit": draw(st.sampled_from(units[agent]))}
            for agent in agents
        ] or [of_spot]
    return pd.DataFrame(made, columns=list(COLUMNS))


def same(found: pd.DataFrame, given: pd.DataFrame) -> None:
    assert found.shape == given.shape
    for name in COLUMNS:
        left = found[name].astype(object).where(found[name].notna(), None)
        right = given[name].astype(object).where(given[name].notna(), None)
        assert list(left) == list(right), name


def saved(folder: Path, lines: list[list[object]], separator: str = ",") -> Path:
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows(
        [["" if cell is None or cell != cell else cell for cell in line] for line in lines]
    )
    path = folder / "layout.csv"
    path.write_text(text.getvalue(), encoding="utf-8")
    return path


@settings(max_examples=60, deadline=None)
@given(layouts())
def test_what_is_written_as_a_table_comes_back(tmp_path_factory, layout):
    path = tmp_path_factory.mktemp("long") / "layout.csv"
    write_layout(path, layout)
    same(read_layout(path), layout)


@settings(max_examples=60, deadline=None)
@given(layouts(), st.sampled_from(",;\t"), st.booleans())
def test_what_is_drawn_as_the_plate_comes_back(tmp_path_factory, layout, separator, above):
    lines: list[list[object]] = []
    number = layout.groupby("spot").cumcount() + 1
    for attribute in ("agent", "concentration", "unit", "role", "replicate", "value", "sample"):
        numbered = attribute in ("agent", "concentration", "unit")
        for agent in (1, 2) if numbered else (1,):
            own = layout[number == agent].set_index("spot")[attribute]
            title = attribute if agent == 1 else f"{attribute} {agent}"
            lines += [[title], ["", *range(1, COLS + 1)]] if above else []
            lines += [] if above else [[title, *range(1, COLS + 1)]]
            for row in range(ROWS):
                cells = [own.get(spot_name(row, col)) for col in range(COLS)]
                lines.append([row_letters(row), *cells])
            lines.append([])
    path = saved(tmp_path_factory.mktemp("grid"), lines, separator)
    same(read_layout(path), layout)


SPOILED = {"concentration": "1,5", "unit": "uN", "role": "sampel", "value": "acid"}


@settings(max_examples=40, deadline=None)
@given(layouts(most_agents=1), st.sampled_from(sorted(SPOILED)), st.data())
def test_a_spoiled_cell_is_told_with_its_row_and_well(tmp_path_factory, layout, column, data):
    filled = layout[layout[column].notna()]
    if filled.empty:
        return
    row = data.draw(st.sampled_from(list(filled.itertuples())))
    lines: list[list[object]] = []
    where = 0
    for attribute in ("agent", "concentration", "unit", "role", "replicate", "value", "sample"):
        own = layout.set_index("spot")[attribute].astype(object)
        if attribute == column:
            own[row.spot] = SPOILED[column]
            where = len(lines) + 2 + row.row
        lines.append([attribute, *range(1, COLS + 1)])
        lines += [
            [row_letters(at), *(own.get(spot_name(at, col)) for col in range(COLS))]
            for at in range(ROWS)
        ]
    path = saved(tmp_path_factory.mktemp("spoiled"), lines)
    place = f"column {row.col + 1}, {column} of {row.spot}"
    assert [(line, title) for line, title, _ in problems(path)] == [(where, place)]


@settings(max_examples=60, deadline=None)
@given(layouts(roles=("sample",)), st.data())
def test_what_is_dispensed_comes_back(tmp_path_factory, layout, data):
    volume = Fraction(20_000)
    lines: list[list[object]] = [["Source Well", "Sample Name", "Source Concentration"]]
    lines[0] += ["Source Concentration Unit", "Destination Well", "Transfer Volume (nL)"]
    expected = []
    for row in layout.itertuples():
        if not isinstance(row.agent, str):
            lines.append(["B1", "DMSO", "", "", row.spot, 50])
            expected.append((row.spot, "DMSO", None, None, "neg_ctrl"))
            continue
        molar = row.unit in ("uM", "nM", "mM")
        stock, unit = (10, "mM") if molar else (30, row.unit)
        steps = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=3))
        source = ["A1", row.agent, stock, unit, row.spot]
        lines += [[*source, step * 2.5] for step in steps]
        dose = Fraction(stock) * (1000 if molar else 1) * sum(steps) * Fraction(5, 2) / volume
        expected.append((row.spot, row.agent, float(dose), "uM" if molar else unit, "sample"))
        if data.draw(st.booleans()):
            lines.append(["B1", "DMSO", "", "", row.spot, 10])
    path = saved(tmp_path_factory.mktemp("echo"), lines)
    parsed = parse_layout(path, path.name, {"volume": "20 uL"})
    assert not parsed.problems
    assert rows(parsed.table) == sorted(expected, key=lambda row: (row[0], str(row[1])))


@settings(max_examples=60, deadline=None)
@given(layouts(most_agents=1, roles=("sample", "pos_ctrl")))
def test_what_is_a_plate_map_comes_back(tmp_path_factory, layout):
    lines: list[list[object]] = [["well_position", "broad_sample", "mmoles_per_liter"]]
    lines[0] += ["pert_type", "control_type"]
    expected = []
    for row in layout.itertuples():
        named = isinstance(row.agent, str)
        control = "poscon" if row.role == "pos_ctrl" else ""
        kind = ["control" if control else "trt", control] if named else ["control", "negcon"]
        dose = row.concentration if named else None
        lines.append([f"{row_letters(row.row)}{row.col + 1:02}", row.agent, dose, *kind])
        role = row.role if named else "neg_ctrl"
        agent = row.agent if named else None
        expected.append((row.spot, agent, dose, "mM" if named else None, role))
    path = saved(tmp_path_factory.mktemp("map"), lines, "\t")
    assert rows(read_layout(path)) == sorted(expected, key=lambda row: (row[0], str(row[1])))


TOKENS = [
    *["", "1", "2", "3", "A", "B", "x", "DMSO", "0,5", "1e-3", "uM", "nM", "a1", "A01", "#", "-"],
    *["agent", "concentration (uM)", "role", "well", "spot", "row", "col", "plate", "agent 2"],
    *["Destination Well", "Transfer Volume", "Sample Name", "Source Concentration (mM)", '"', "="],
    *["Assay_Plate_Barcode", "Plate_Map_Name", "broad_sample", "10 uM", "x 1 uM + y 2 nM", "neg"],
    *["# unit: uM", "# volume: 5", "conc1_uM", "drug1", "pert_type", "control_type", "P1", "\x07"],
]


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(TOKENS), min_size=1, max_size=6), max_size=8),
    st.sampled_from(",;\t"),
)
def test_whatever_stands_in_a_file_is_read_or_told(tmp_path_factory, lines, separator):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text("\n".join(separator.join(line) for line in lines), encoding="utf-8")
    parsed = parse_layout(path, "any.csv", {"volume": "1 uL"})
    assert len(parsed.table) == len(parsed.lines)
    assert parsed.problems or len(parsed.table)
    if not parsed.problems:
        write_layout(path, parsed.table)
        same(read_layout(path) if len(parsed.plates) < 2 else parsed.table, parsed.table)

"""Layouts as people save them, and every mistake in them with its row and its remedy."""

from __future__ import annotations

import numpy as np
import pytest
from gridwell.config.errors import InputError
from gridwell.config.layouts import COLUMNS, read_layout, unit_family
from gridwell.config.models import SpotRole
from gridwell.config.spots import parse_spot, row_index, row_letters, spot_name
from hypothesis import given
from hypothesis import strategies as st

LINES = [
    "spot,agent,concentration,unit,role,replicate,value,sample",
    "A1,,,,neg_ctrl,,,",
    "B12,doxorubicin,0.1,uM,sample,r1,,liver",
    "AF48,cisplatin,5,ug/mL,sample,,7.4,",
]


@pytest.fixture
def read(tmp_path):
    """Read a layout given as text or bytes."""

    def read(text):
        path = tmp_path / "layout.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_layout(path)

    return read


@pytest.fixture
def problems(read):
    """Problems of a layout given as text or bytes."""

    def problems(text):
        with pytest.raises(InputError) as caught:
            read(text)
        return list(caught.value.problems)

    return problems


def test_columns_types_and_values(read):
    table = read("\n".join(LINES))
    assert list(table.columns) == list(COLUMNS)
    assert list(table["spot"]) == ["A1", "B12", "AF48"]
    assert list(table["row"]) == [0, 1, 31]
    assert list(table["col"]) == [0, 11, 47]
    assert list(table["role"]) == ["neg_ctrl", "sample", "sample"]
    assert list(table["unit"])[1:] == ["uM", "ug/mL"]
    assert table["agent"].isna().tolist() == [True, False, False]
    np.testing.assert_array_equal(table["concentration"], [np.nan, 0.1, 5])
    np.testing.assert_array_equal(table["value"], [np.nan, np.nan, 7.4])
    kinds = {str(table[name].dtype) for name in ("spot", "agent", "unit", "role", "sample")}
    assert kinds == {"str"}
    assert (table["row"].dtype, table["concentration"].dtype) == (np.int64, np.float64)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_way_of_saving_reads_the_same(read, separator, encoding, end):
    lines = [line.replace("doxorubicin", "Mæt").replace("uM", "µM") for line in LINES]
    text = end.join(line.replace(",", separator) for line in lines) + end
    table = read(text.encode(encoding))
    assert table["agent"][1] == "Mæt"
    assert table["unit"][1] == "uM"
    assert table["concentration"][1] == 0.1


def test_spreadsheet_habits(read):
    text = "sep=;\n;;;\n Spot ;AGENT;Concentration;Unit;;\n# a note\nA01; x ;1e1;µM;;\n;;;;;\n"
    table = read(text)
    assert (table["spot"][0], table["agent"][0], table["concentration"][0]) == ("A1", "x", 10.0)
    assert len(table) == 1


@pytest.mark.parametrize(
    ("unit", "plain"),
    [
        ("µM", "uM"),
        ("μM", "uM"),
        ("uM", "uM"),
        ("µg/ml", "ug/mL"),
        ("ug/mL", "ug/mL"),
        ("nmol/L", "nM"),
        ("mM", "mM"),
        ("M", "M"),
        ("%", "%"),
    ],
)
def test_units_have_one_spelling(read, unit, plain):
    assert read(f"spot,agent,concentration,unit\nA1,x,1,{unit}\n")["unit"][0] == plain


@pytest.mark.parametrize("row", ["B", "b", "2", "2.0"])
@pytest.mark.parametrize("col", ["3", "03", "3.0"])
def test_row_and_col(read, row, col):
    table = read(f"row,col,role\n{row},{col},blank\n")
    assert (table["spot"][0], table["row"][0], table["col"][0]) == ("B3", 1, 2)


def test_spot_beside_row_and_col_that_agree(read):
    assert read("spot,row,col,role\nB03,B,3,blank\n")["spot"][0] == "B3"


def test_combination_is_several_rows(read):
    table = read("spot,agent,concentration,unit\nA1,x,1,uM\nA1,y,2,nM\n")
    assert list(table["agent"]) == ["x", "y"]


def test_an_agent_may_be_called_na_or_like_a_formula(read):
    table = read('spot,agent,concentration,unit\nA1,NA,1,uM\nA2,=x,1,uM\nA3,"a, b",1,uM\n')
    assert list(table["agent"]) == ["NA", "=x", "a, b"]


def test_dose_zero_needs_no_unit(read):
    assert read("spot,agent,concentration,unit,role\nA1,x,0,,neg_ctrl\n")["concentration"][0] == 0


@pytest.mark.parametrize(
    ("family", "units"), [("molar", ("M", "mM", "uM", "nM", "pM")), ("%", ("%",))]
)
def test_unit_families(family, units):
    assert {unit_family(unit) for unit in units} == {family}


HEAD = "spot,agent,concentration,unit,role\n"
# text; row, column, part of the reason, part of the remedy
MISTAKES = {
    "empty file": ("", (1, None, "is empty", "header line")),
    "only blanks": ("\n  \n,,,\n", (1, None, "is empty", "header line")),
    "header only": (HEAD, (2, None, "no rows", "one row for each spot")),
    "no spots": ("agent,role\nx,blank\n", (1, "spot", "missing", "a column spot (as C7)")),
    "row without col": ("row,role\nA,blank\n", (1, "col", "missing", "row and col")),
    "nothing said of spots": ("spot\nA1\n", (1, None, "says nothing", "agent, role")),
    "unknown column": (HEAD[:-1] + ",note\nA1,x,1,uM,,q\n", (1, "note", "no known", "Columns")),
    "misspelt column": (
        "spot,agent,concentratoin,unit\nA1,x,1,uM\n",
        (1, "concentratoin", "no known", "Did you mean 'concentration'"),
    ),
    "two names of one column": (
        "well,drug,compound,dose,unit\nA1,x,x,1,uM\n",
        (1, "compound", "says the same as column drug", "Keep one"),
    ),
    "column twice": ("spot,role,role\nA1,blank,\n", (1, "role", "twice", "Keep one")),
    "no spot": (HEAD + "Q,x,1,uM,\n", (2, "spot", "is no spot", "as C7")),
    "numbered spot": (HEAD + "13,x,1,uM,\n", (2, "spot", "is no spot", "as C7")),
    "spot empty": (HEAD + ",x,1,uM,\n", (2, "spot", "is empty", "as C7")),
    "col of zero": ("row,col,role\nA,0,blank\n", (2, "col", "no column", "from 1")),
    "row of zero": ("row,col,role\n0,1,blank\n", (2, "row", "no row", "from 1")),
    "row without its col": ("row,col,role\nA,,blank\n", (2, "col", "is empty", "Name the spot")),
    "spot against row and col": (
        "spot,row,col,role\nA1,B,2,blank\n",
        (2, "spot", "which is B2", "Correct one"),
    ),
    "decimal comma, semicolons": (
        HEAD.replace(",", ";") + "A1;x;0,5;uM;\n",
        (2, "concentration", "decimal comma", "0.5"),
    ),
    "decimal comma, commas": (HEAD + "A1,x,0,5,uM,\n", (2, "concentration", "comma", "point")),
    "decimal comma, last cell left out": (
        HEAD + "A1,x,0,5,uM\n",
        (2, "concentration", "comma", "point"),
    ),
    "decimal comma, last cell filled": (
        HEAD + "A1,x,0,5,uM,sample\n",
        (2, "concentration", "comma", "point"),
    ),
    "decimal comma in quotes": (HEAD + 'A1,x,"0,5",uM,\n', (2, "concentration", "comma", "0.5")),
    "not a number": (HEAD + "A1,x,high,uM,\n", (2, "concentration", "not a number", "as 0.5")),
    "not finite": (HEAD + "A1,x,inf,uM,\n", (2, "concentration", "not a number", "as 0.5")),
    "number with unit": (HEAD + "A1,x,1 uM,uM,\n", (2, "concentration", "unit beside", "alone")),
    "thousands": (HEAD + 'A1,x,"1,000.5",uM,\n', (2, "concentration", "thousands", "1000.5")),
    "thousands or decimals": (
        HEAD + 'A1,x,"1,000",uM,\n',
        (2, "concentration", "comma", "1000 if"),
    ),
    "negative": (HEAD + "A1,x,-1,uM,\n", (2, "concentration", "negative", "0 or more")),
    "unicode minus": (HEAD + "A1,x,−1,uM,\n", (2, "concentration", "negative", "0 or more")),
    "no unit": (HEAD + "A1,x,1,,\n", (2, "unit", "empty although", "uM")),
    "unknown unit": (HEAD + "A1,x,1,IU/mL,\n", (2, "unit", "no known unit", "convert")),
    "unit in another case": (HEAD + "A1,x,1,um,\n", (2, "unit", "no known unit", "Did you mean")),
    "no concentration": (HEAD + "A1,x,,uM,\n", (2, "concentration", "a sample with", "neg_ctrl")),
    "dose of nothing": (HEAD + "A1,,1,uM,\n", (2, "agent", "empty although", "name")),
    "unknown role": (HEAD + "A1,x,1,uM,control\n", (2, "role", "not one of", "neg_ctrl")),
    "same spot and agent": (
        HEAD + "A1,x,1,uM,\nA01,x,2,uM,\n",
        (3, "spot", "in row 2 already", "Keep one"),
    ),
    "untreated twice": (
        HEAD + "A1,,,,blank\nA1,,,,blank\n",
        (3, "spot", "in row 2 already", "Keep one"),
    ),
    "two roles of a spot": (
        HEAD + "A1,x,1,uM,sample\nA1,y,1,uM,pos_ctrl\n",
        (3, "role", "another role in row 2: sample", "same role"),
    ),
    "units that do not convert": (
        HEAD + "A1,x,1,uM,\nA2,x,1,ug/mL,\n",
        (3, "unit", "another unit in row 2", "one unit"),
    ),
    "too many cells": (HEAD + "A1,x,1,uM,,,,z\n", (2, None, "8 cells", "Delete")),
    "quote that stays open": (
        HEAD + 'A1,"x,1,uM,\nA2,x,1,uM,\n',
        (2, None, "line break", "every quote that opens"),
    ),
    "workbook": (b"PK\x03\x04" + bytes(50), (None, None, "workbook", "save the sheet")),
    "not text": (b"spot,role\nA1,\x00\n", (2, None, "not a text file", "as text")),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistake(problems, kind):
    text, (row, column, reason, remedy) = MISTAKES[kind]
    (problem,) = problems(text)
    assert (problem.file, problem.row, problem.column) == ("layout.csv", row, column)
    assert reason in problem.reason
    assert remedy in problem.remedy


def test_rows_are_lines_of_the_file(problems):
    text = "\n# note\nspot,role\n\nA1,blank\n\n# more\nZZ,blank\n"
    (problem,) = problems(text)
    assert problem.row == 8


def test_all_mistakes_are_told_in_the_order_of_the_file(problems):
    text = HEAD + "A1,x,1,,\nQ,x,a,uM,role\nA2,x,1,uM,\nA2,x,1,uM,\n"
    assert [(p.row, p.column) for p in problems(text)] == [
        (2, "unit"),
        (3, "spot"),
        (3, "role"),
        (3, "concentration"),
        (5, "spot"),
    ]


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_layout(tmp_path / "none.csv")


def test_a_whole_plate_is_fast_enough(read):
    rows = [f"{spot_name(r, c)},x,1,uM,sample" for r in range(32) for c in range(48)]
    assert len(read(HEAD + "\n".join(rows))) == 1536


@given(st.integers(0, 800), st.integers(0, 9_999))
def test_spot_names_come_back(row, col):
    name = spot_name(row, col)
    assert parse_spot(name) == (row, col)
    assert parse_spot(name.lower()) == (row, col)
    letters = row_letters(row)
    assert parse_spot(f" {letters}00{col + 1} ") == (row, col)
    assert row_index(letters) == row


@given(
    st.lists(
        st.tuples(
            st.tuples(st.integers(0, 40), st.integers(0, 60)),
            st.floats(1e-6, 1e6),
            st.sampled_from(list(SpotRole)),
        ),
        unique_by=lambda row: row[0],
        min_size=1,
        max_size=12,
    ),
    st.sampled_from(",;\t"),
)
def test_what_is_written_is_read(tmp_path_factory, rows, separator):
    path = tmp_path_factory.mktemp("layout") / "layout.csv"
    lines = ["spot,agent,concentration,unit,role"]
    lines += [f"{spot_name(*place)},x,{dose!r},nM,{role}" for place, dose, role in rows]
    path.write_text("\n".join(lines).replace(",", separator))
    table = read_layout(path)
    assert list(zip(table["row"], table["col"], strict=True)) == [place for place, _, _ in rows]
    assert list(table["concentration"]) == [dose for _, dose, _ in rows]
    assert list(table["role"]) == [role.value for _, _, role in rows]

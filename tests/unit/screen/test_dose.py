"""gridwell dose: any table in, fits.csv out, every mistake told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from gridwell.cli import main
from gridwell.config.columns import column_names
from gridwell.config.errors import InputError
from gridwell.screen.dose_fits import FITS, fit_table, fits_in_words, model_named
from gridwell.screen.dose_table import read_dose_table

# Selenium and waterfleas, types 1 and 2 (Jeske et al. 2009), and R drc's LL.2 of them.
SELENIUM = """type,conc,total,dead
1,0,151,3
1,100,146,40
1,200,116,31
1,300,159,85
1,400,150,102
1,500,140,112
2,0,141,2
2,100,153,30
2,200,142,59
2,300,139,82
2,400,154,62
2,500,155,85
"""
DRC = {1: (-1.5035, 252.25555, 13.826825), 2: (-0.8432, 378.46048, 39.370701)}


def falling(dose: np.ndarray) -> np.ndarray:
    return 5 + 95 / (1 + (dose / 3) ** 1.5)


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    dose = np.repeat([0.0, 0.1, 0.3, 1, 3, 10, 30, 100], 3)
    noise = np.random.default_rng(3).normal(size=dose.size)
    return pd.DataFrame({"Dose": dose, "Signal": np.round(falling(dose) + noise, 3)})


def run(path: Path, *more: str, dose: str = "Dose", response: str = "Signal") -> pd.DataFrame:
    out = path.parent / "fits.csv"
    arguments = ["dose", str(path), "--dose", dose, "--response", response, "--out", str(out)]
    assert main([*arguments, *more]) == 0
    numbers = dict.fromkeys(("ec50", "ec50_low", "ec50_high", "ic50"), "")
    return pd.read_csv(out, keep_default_na=False, na_values=numbers)


def problems(text: str, tmp_path: Path, **columns: object) -> list[str]:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(InputError) as raised:
        read_dose_table(path, **({"dose": "dose", "response": "y"} | columns))  # type: ignore[arg-type]
    return [str(problem).removeprefix(f"{path}, ") for problem in raised.value.problems]


# What is read.


@pytest.mark.parametrize(
    ("separator", "decimal", "encoding"),
    [(",", ".", "utf-8"), (";", ",", "utf-16"), ("\t", ".", "utf-8-sig"), ("\t", ",", "latin-1"),
     (";", ".", "utf-8")],
)  # fmt: skip
def test_however_a_table_was_saved(
    table: pd.DataFrame, tmp_path: Path, separator: str, decimal: str, encoding: str
) -> None:
    plain, other = tmp_path / "plain.csv", tmp_path / "other.csv"
    table.to_csv(plain, index=False)
    table.to_csv(other, sep=separator, decimal=decimal, encoding=encoding, index=False)
    pd.testing.assert_frame_equal(run(plain), run(other, dose="dose"))


def test_the_order_of_rows_and_groups_changes_nothing(table: pd.DataFrame, tmp_path: Path) -> None:
    both = pd.concat([table.assign(drug=10), table.assign(drug=9, Signal=100 - table["Signal"])])
    written = []
    for name, rows in (("a", both), ("b", both.sample(frac=1, random_state=1))):
        rows.to_csv(tmp_path / f"{name}.csv", index=False)
        fits = run(tmp_path / f"{name}.csv", "--by", "drug")
        assert fits["drug"].tolist() == [9, 10]
        assert fits["b"].iloc[0] < 0 < fits["b"].iloc[1]
        written.append((tmp_path / "fits.csv").read_bytes())
    assert written[0] == written[1]


def test_groups_by_several_columns(table: pd.DataFrame, tmp_path: Path) -> None:
    parts = [table.assign(line=line, drug=drug) for line in "AB" for drug in ("x", "=1+1")]
    pd.concat(parts).to_csv(tmp_path / "t.csv", index=False)
    once = run(tmp_path / "t.csv", "--by", "line,drug")
    pd.testing.assert_frame_equal(once, run(tmp_path / "t.csv", "--by", "line", "--by", "DRUG"))
    assert list(once.columns) == ["line", "drug", *column_names(FITS)]
    assert once["drug"].tolist() == ["'=1+1", "x"] * 2  # no formula for a spreadsheet to run


def test_missing_responses_are_left_out(
    table: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table.to_csv(tmp_path / "t.csv", index=False)
    expected = run(tmp_path / "t.csv")
    with (tmp_path / "t.csv").open("a") as file:
        file.write("3,NA\n10,\n")
    assert "were left out" not in capsys.readouterr().out
    pd.testing.assert_frame_equal(run(tmp_path / "t.csv"), expected)
    assert "2 rows without a response were left out" in capsys.readouterr().out


def test_every_mistake_at_once(tmp_path: Path) -> None:
    text = "dose,y,n\n-2,1,5\nten,1,5\n1,8,5\n1,2.5,5\n1,inf,5\n,3,5\n1,2,3,4\n0,1,5\n"
    found = problems(text, tmp_path, total="n")
    assert [text.split(":")[0] for text in found] == [
        "row 2, dose", "row 3, dose", "row 4, y", "row 5, y", "row 6, y", "row 7, dose", "row 8",
    ]  # fmt: skip
    assert "logarithm" in found[0]
    assert "'ten'" in found[1]
    assert "swapped" in found[2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "row 1: is empty"),
        ("dose,y\n", "has a header and no rows"),
        ("Doses,y\n1,2\n", "Did you mean 'Doses'?"),
        ("dose,y,dose\n1,2,3\n", "more than once"),
        ("dose;y\n1,5;2.5\n", "decimal comma"),
        ("dose;y\n1,000;2\n", "1000 if it parts thousands, 1.000 if it is decimal"),
        ("dose,y\n1,\n", "no row with dose and response"),
    ],
)
def test_tables_that_cannot_be_read(text: str, said: str, tmp_path: Path) -> None:
    assert said in problems(text, tmp_path)[0]


def test_a_model_that_needs_levels_and_one_that_is_none(
    table: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.csv"
    table.to_csv(path, index=False)
    for model, said in (("2pl", "--lower and --upper"), ("6pl", "Known: auto, flat")):
        arguments = ["--dose", "Dose", "--response", "Signal", "--out", str(tmp_path / "f.csv")]
        assert main(["dose", str(path), *arguments, "--model", model]) == 1
        assert said in capsys.readouterr().err
    assert not (tmp_path / "f.csv").exists()
    assert model_named("LL.4") == "4pl"


# What is told.


def test_selenium_as_drc(tmp_path: Path) -> None:
    path = tmp_path / "selenium.csv"
    path.write_text(SELENIUM)
    columns = {"dose": "conc", "response": "dead"}
    for model in ("LL.2", "auto"):
        fits = run(path, "--total", "total", "--by", "type", "--model", model, **columns)
        for row in fits.to_dict("records"):
            b, e, error = DRC[row["type"]]
            assert row["model"] == "2pl"
            assert row["b"] == pytest.approx(b, abs=6e-5)
            assert row["e"] == pytest.approx(e, rel=1e-5)
            assert row["e_se"] == pytest.approx(error, rel=3e-3)
            assert row["rho"] == 0
            words = set(row["flags"].split(";"))
            assert words - {"open_interval"} == {"control_response", "overdispersed"}
            assert ("open_interval" in words) == np.isnan([row["ec50_low"], row["ec50_high"]]).any()


@pytest.mark.shared
def test_ryegrass_as_drc(shared: Path, tmp_path: Path) -> None:
    rows = pd.read_csv(shared / "tables/drc_classic/ryegrass.csv")
    rows.to_csv(tmp_path / "ryegrass.csv", index=False)
    row = run(tmp_path / "ryegrass.csv", dose="conc", response="rootl").iloc[0]
    expected = {"b": 2.98222, "c": 0.48141, "d": 7.79296, "e": 3.05795, "rss": 5.4002146}
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, rel=1e-5)
    assert (row["model"], row["df"], row["n"], row["n_doses"]) == ("4pl", 20, 24, 6)
    assert row["flags"] == ""


def test_groups_too_small_to_fit_are_rows_with_a_flag(table: pd.DataFrame, tmp_path: Path) -> None:
    controls, few = table[table["Dose"] == 0], table[table["Dose"].isin([0, 1])]
    own = [table.assign(g="a"), controls.assign(g="b"), few.assign(g="c")]
    pd.concat(own).to_csv(tmp_path / "t.csv", index=False)
    fits = run(tmp_path / "t.csv", "--by", "g")
    assert fits["model"].tolist() == ["4pl", "", ""]
    assert fits["flags"].tolist() == ["", "few_doses", "few_doses"]
    assert fits["n"].tolist() == [24, 3, 6]


def test_nothing_beyond_the_doses_goes_without_a_flag(table: pd.DataFrame, tmp_path: Path) -> None:
    table[table["Dose"] <= 1].to_csv(tmp_path / "t.csv", index=False)
    row = run(tmp_path / "t.csv", "--model", "4pl").iloc[0]
    assert row["in_range"] == ">max"
    assert np.isnan(row["ec50"])
    assert {"extrapolated", "incomplete"} <= set(row["flags"].split(";"))


def test_half_of_the_control_is_the_ic50(table: pd.DataFrame, tmp_path: Path) -> None:
    table.to_csv(tmp_path / "t.csv", index=False)
    row = run(tmp_path / "t.csv").iloc[0]
    half = row["d"] / 2
    share = (half - row["c"]) / (row["d"] - row["c"])
    assert row["ic50"] == pytest.approx(row["e"] * (1 / share - 1) ** (1 / row["b"]), rel=1e-6)
    assert float(row["ic50_low"]) < row["ic50"] < float(row["ic50_high"])
    assert row["ic50"] > row["ec50"]


def test_a_flat_table_says_so_and_an_order_is_obeyed(tmp_path: Path) -> None:
    dose = np.repeat([0.0, 1, 2, 4, 8, 16], 4)
    y = 10 + np.random.default_rng(0).normal(size=dose.size)
    pd.DataFrame({"Dose": dose, "Signal": y}).to_csv(tmp_path / "t.csv", index=False)
    row = run(tmp_path / "t.csv").iloc[0]
    assert (row["model"], row["in_range"]) == ("flat", "flat")
    asked = run(tmp_path / "t.csv", "--model", "LL.4").iloc[0]
    assert asked["model"] == "4pl"
    assert "no_effect" in asked["flags"]


def test_rows_without_cells_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(SELENIUM + "1,300,0,0\n")
    table = read_dose_table(path, dose="conc", response="dead", total="total", by=["type"])
    fits = fit_table(table)
    assert fits["n"].tolist() == [6, 6]
    assert fits["flags"].str.contains("no_cells").tolist() == [True, False]


def test_words_for_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(SELENIUM)
    table = read_dose_table(path, dose="conc", response="dead", total="total", by=["type"])
    words = fits_in_words(fit_table(table, interval=0.9), 0.9)
    assert words[0].split()[:4] == ["type", "model", "ec50", "90%"]
    assert words[1].split()[:3] == ["1", "2pl", "252.3"]
    assert len(words) == 3


@pytest.mark.parametrize("seed", range(6))
def test_a_middle_beyond_the_doses_never_comes_without_a_flag(seed: int, tmp_path: Path) -> None:
    """An EC50 of 100 where doses end at 30: what is seen of the fall does not tell it."""
    rng = np.random.default_rng(seed)
    dose = np.repeat([0, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30], 3)
    live = rng.binomial(80, 0.05 + 0.85 / (1 + (dose / 100) ** 1.2))
    path = tmp_path / "partial.csv"
    pd.DataFrame({"dose": dose, "live": live, "n": 80}).to_csv(path, index=False)
    row = run(path, "--total", "n", dose="dose", response="live").iloc[0]
    words = set(str(row["flags"]).split(";"))
    assert row["in_range"] == "flat" or words & {"extrapolated", "open_interval", "incomplete"}
    if row["in_range"] == "yes":
        assert np.isnan(row["ec50_high"]), "the true one lies beyond the doses"
    else:
        assert pd.isna(row["ec50"])


def test_a_group_without_any_response_keeps_its_row(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [f"x,{dose},{100 - 10 * k}" for k, dose in enumerate([0, 1, 2, 4, 8, 16, 32, 64])]
    path.write_text("\n".join(["drug,dose,y", *rows, "empty,1,NA", "empty,2,"]) + "\n")
    fits = run(path, "--by", "drug", dose="dose", response="y").set_index("drug")
    assert fits.loc["empty", ["model", "n", "flags"]].tolist() == ["", 0, "few_doses"]
    assert fits.loc["x", "n"] == 8


@pytest.mark.parametrize("seed", range(4))
def test_eight_single_points_are_enough_for_a_clear_curve(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    dose = np.geomspace(0.01, 30, 8)
    path = tmp_path / "t.csv"
    noise = rng.normal(0, 6, 8)
    pd.DataFrame({"dose": dose, "y": 5 + 95 / (1 + (dose / 0.5) ** 1.3) + noise}).to_csv(path)
    row = run(path, dose="dose", response="y").iloc[0]
    assert row["model"] == "4pl"
    assert row["ec50"] == pytest.approx(0.5, rel=0.6)

"""Numbers and states in words."""

from __future__ import annotations

import math
from typing import get_args

import pandas as pd
import pytest
from gridwell.report import words
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0104321, "0.0104"),
        (6.3096, "6.31"),
        (123456.0, "123\u202f456"),
        (-0.5, "−0.500"),
        (0, "0"),
        (2.5e-7, "2.50 × 10⁻⁷"),
        (float("nan"), "–"),
        (None, "–"),
        (float("inf"), "∞"),
    ],
)
def test_number(value: float | None, written: str) -> None:
    assert words.number(value) == written


@given(st.floats(1e-4, 9e5))
def test_number_keeps_three_digits(value: float) -> None:
    read = float(words.number(value).replace("\u202f", ""))
    assert math.isclose(read, value, rel_tol=0.0051)


@pytest.mark.parametrize(
    ("value", "written"), [(10.0, "10"), (0.0010, "0.001"), (100.0, "100"), (2.68, "2.68")]
)
def test_doses_have_no_trailing_zeros(value: float, written: str) -> None:
    assert words.plain(value) == written
    assert words.dose(value, "uM") == f"{written}\u202fµM"


def test_columns_of_fixed_decimals_have_no_minus_zero() -> None:
    assert words.fixed(-0.001) == "0.00"
    assert words.fixed(-1.234) == "−1.23"
    assert words.percent(0.834) == "83\u202f%"
    assert words.percent(pd.NA) == "–"


def test_names_sort_as_people_count() -> None:
    assert sorted(["Drug 10", "drug 2", "Drug 1", "5-FU"], key=words.natural) == [
        "5-FU", "Drug 1", "drug 2", "Drug 10",
    ]  # fmt: skip


def test_defused_text_is_shown_as_the_user_wrote_it() -> None:
    assert words.text("'=SUM(A1)") == "=SUM(A1)"
    assert words.text("'quoted'") == "'quoted'"
    assert words.text(float("nan")) == ""


def fit(**changes: object) -> dict[str, object]:
    return {
        "model": "4pl", "ec50": 0.158, "ec50_low": 0.0991, "ec50_high": 0.254,
        "in_range": "yes", "unit": "uM", "flags": "",
    } | changes  # fmt: skip


def test_an_ec50_within_the_doses_is_a_number_with_its_interval() -> None:
    assert words.ec50_words(fit(), 0.001, 10.0) == ("0.158\u202fµM", "0.0991 to 0.254", "")


def test_an_open_end_of_an_interval_is_a_bound() -> None:
    _, interval, _ = words.ec50_words(fit(ec50_high=float("nan")), 0.001, 10.0)
    assert interval == "0.0991 to more than 10"


@pytest.mark.parametrize(
    ("in_range", "value", "note"),
    [
        (">max", "> 10\u202fµM", "beyond the highest dose tested"),
        ("<min", "< 0.001\u202fµM", "below the lowest dose tested"),
        ("flat", "–", "no effect of the dose shows"),
    ],
)
def test_an_ec50_outside_the_doses_is_never_a_number(in_range: str, value: str, note: str) -> None:
    row = fit(ec50=float("nan"), in_range=in_range)
    assert words.ec50_words(row, 0.001, 10.0) == (value, "", note)


def test_no_curve_says_why() -> None:
    row = fit(ec50=float("nan"), in_range="", model="", flags="few_doses")
    assert words.ec50_words(row, None, None)[2] == "no curve; too few doses for a curve"


@pytest.mark.parametrize(
    ("statistic", "value", "tone", "word"),
    [
        ("z_prime", 0.72, "good", "excellent"),
        ("z_prime", 0.5, "good", "excellent"),
        ("robust_z_prime", 0.2, "care", "with care"),
        ("z_prime", -0.1, "bad", "overlap"),
        ("z_prime", float("nan"), "plain", "could not"),
        ("ssmd", -6.0, "good", "very strong"),
        ("ssmd", 1.0, "bad", "weak"),
        ("edge_effect", -25.0, "bad", "strongly"),
        ("edge_effect", 4.0, "good", "agree"),
        ("n_neg_ctrl", 0, "bad", "none"),
        ("n_neg_ctrl", 5, "care", "few"),
        ("grid_confidence", 0.6, "care", "fair"),
        ("n_found", 5, "plain", ""),
    ],
)
def test_quality_in_words(statistic: str, value: float, tone: str, word: str) -> None:
    said = words.quality_reading(statistic, value)
    assert said[0] == tone
    assert word in said[1]


@pytest.mark.parametrize(
    ("status", "tone", "word"),
    [
        ("ok", "good", "found"),
        ("override", "care", "by a person"),
        ("ambiguous", "bad", "Do not use"),
        ("failed", "bad", "No grid"),
        ("something new", "bad", "No grid"),
    ],
)
def test_only_a_grid_that_is_ok_looks_good(status: str, tone: str, word: str) -> None:
    said = words.grid_status({"status": status, "rows": 8, "cols": 12})
    assert said["tone"] == tone
    assert word in said["title"]


def test_orientation_says_who_knows() -> None:
    known = {"value": "A1 bottom right", "source": "marks", "reason": "both show"}
    assert words.orientation(known) == "A1 bottom right (marks: both show)"
    unknown = {"value": "unknown", "source": "unknown", "reason": "nothing tells"}
    assert words.orientation(unknown) == "unknown: nothing tells"
    assert words.orientation({"value": "unknown", "source": "unknown"}) == "unknown"
    assert words.orientation(None) == "unknown"


def test_margins_are_told_as_rival_grids() -> None:
    assert words.margin_name("shift_left") == "moved left by a column"
    assert words.margin_name("remove_last_row") == "one row fewer at the bottom"
    assert words.odds("shift_up", 0.0) == "even, or worse"
    assert words.odds("add_first_row", 0.0) == "beyond the image"
    assert words.odds("shift_up", math.log(1500)) == "1\u202f500 to 1"
    assert words.odds("shift_up", 40) == "more than a million to 1"


def test_lists_of_words() -> None:
    assert words.join(["S01"]) == "S01"
    assert words.join(["S01", "S02", "S03"]) == "S01, S02 and S03"
    assert words.join([]) == ""
    assert words.plural(1, "spot") == "1 spot"
    assert words.plural(1200, "spot") == "1\u202f200 spots"


def test_the_methods_say_how_objects_were_found():
    from gridwell.config.models import Config, SegmentMethod
    from gridwell.report.methods import _FOUND_BY, slide_methods

    assert set(_FOUND_BY) == set(get_args(SegmentMethod.model_fields["method"].annotation))
    own = {"segment": {"channels": {"gfp": {"method": "otsu"}}}}
    (text,) = [one for one in slide_methods("objects", Config(**own)) if "segmented" in one]
    assert "U-Net" in text
    assert "in channel gfp after illumination correction, by a global (Otsu 1979)" in text

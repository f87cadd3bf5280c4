"""Layouts brought to one unit and one row per spot; scales of slides."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from gridwell.config.errors import InputError
from gridwell.screen.normalise import Scale, common_units, one_row_per_spot, slide_scale

COLUMNS = ["spot", "agent", "concentration", "unit", "role", "replicate", "sample"]


def _layout(*rows: tuple[object, ...]) -> pd.DataFrame:
    padded = [(*row, "sample", None, None)[:7] if len(row) == 4 else row for row in rows]
    table = pd.DataFrame(padded, columns=COLUMNS)
    return table.astype({"concentration": float, "agent": "str", "unit": "str"})


def test_molar_units_become_micromolar_and_others_stay() -> None:
    layout = _layout(
        ("A1", "x", 2.0, "mM"), ("A2", "x", 30.0, "nM"), ("A3", "y", 5.0, "ug/mL"),
        ("A4", None, np.nan, None), ("A5", "z", 0.7, "pM"), ("A6", "z", 1e-6, "M"),
    )  # fmt: skip
    table = common_units({"l.csv": layout})["l.csv"]
    assert table["concentration"].tolist()[:3] == [2000.0, 0.03, 5.0]
    assert table["concentration"].tolist()[4:] == pytest.approx([7e-7, 1.0])
    assert table["unit"].tolist()[:3] == ["uM", "uM", "ug/mL"]
    assert layout["unit"].iloc[0] == "mM"


def test_an_agent_with_units_of_two_kinds_is_refused() -> None:
    one = _layout(("A1", "x", 2.0, "mM"), ("A2", "y", 1.0, "%"))
    two = _layout(("A1", "x", 5.0, "ug/mL"), ("A2", "y", 1.0, "%"))
    with pytest.raises(InputError, match=r"two.csv, unit: agent x is given in ug/mL here") as error:
        common_units({"one.csv": one, "two.csv": two})
    assert len(error.value.problems) == 1


def test_combinations() -> None:
    table = one_row_per_spot(
        _layout(
            ("A1", "x", 2.0, "uM"), ("A2", "y", 3.0, "uM"), ("A2", "x", 1.0, "uM"),
            ("A3", "x", 4.0, "uM"), ("A3", "y", 0.0, "uM"),
            ("A4", "x", 0.0, "uM"), ("A4", "y", 0.0, "uM"),
        )
    ).set_index("spot")  # fmt: skip
    assert table["agent"].to_dict() == {"A1": "x", "A2": "x + y", "A3": "x", "A4": "x"}
    assert table["combination"].to_dict() == {"A1": False, "A2": True, "A3": False, "A4": False}
    assert np.isnan(table.loc["A2", "concentration"])
    assert pd.isna(table.loc["A2", "unit"])
    assert table.loc["A3", "concentration"] == 4
    assert table.loc["A4", "concentration"] == 0


def _scale(negative: list[float], positive: list[float], how: str) -> Scale:
    return slide_scale(np.array(negative), np.array(positive), how)  # type: ignore[arg-type]


def test_percent_of_control() -> None:
    scale = _scale([1.0, 2.0, 9.0] * 3, [], "percent_of_control")
    assert scale == Scale(0.0, 50.0)


def test_percent_inhibition() -> None:
    scale = _scale([10.0] * 8, [2.0] * 8, "percent_inhibition")
    assert [scale.intercept + scale.gain * v for v in (10, 2, 6)] == [0, 100, 50]
    rising = _scale([2.0] * 8, [10.0] * 8, "percent_inhibition")
    assert [rising.intercept + rising.gain * v for v in (2, 10)] == [0, 100]


@pytest.mark.parametrize(
    ("negative", "positive", "how", "flags", "usable"),
    [
        ([], [1.0], "percent_of_control", ("no_controls",), False),
        ([5.0], [], "percent_of_control", ("one_control",), True),
        ([5.0] * 7, [], "percent_of_control", ("few_controls",), True),
        ([5.0] * 8, [], "percent_of_control", (), True),
        ([0.0] * 8, [], "percent_of_control", ("controls_alike",), False),
        ([-1.0] * 8, [], "percent_of_control", ("controls_alike",), False),
        ([5.0] * 8, [], "percent_inhibition", ("no_pos_controls",), False),
        ([5.0] * 8, [1.0], "percent_inhibition", ("one_control",), True),
        ([5.0] * 8, [5.0] * 8, "percent_inhibition", ("controls_alike",), False),
        ([], [], "none", (), True),
    ],
)
def test_controls_that_do_not_do(
    negative: list[float], positive: list[float], how: str, flags: tuple[str, ...], usable: bool
) -> None:
    scale = _scale(negative, positive, how)
    assert scale.flags == flags
    assert np.isfinite(scale.gain) == usable

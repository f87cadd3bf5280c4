"""Growth rates of a screen with slides before and after treatment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from gridwell.config.columns import column_names

from tests.unit.screen.simulated import EC50, Screen, layout, viability_spots

PLAN = layout()


def _grown(name: str, hours: float, seed: int, days_to_double: float = 1.0) -> pd.DataFrame:
    """Live cells that begin at 40 a spot and double every so many days; agents slow this."""
    rng = np.random.default_rng(seed)
    rate = np.ones(len(PLAN))
    own = PLAN["role"] == "sample"
    half = PLAN.loc[own, "agent"].map(EC50)
    rate[own] = 1 / (1 + (PLAN.loc[own, "concentration"] / half) ** 1.5)
    rate[PLAN["role"] == "pos_ctrl"] = -1.0
    cells = 40 * 2 ** (rate * hours / 24 / days_to_double)
    table = viability_spots(name, PLAN, seed)
    table["n_live"] = rng.poisson(cells)
    table["n_nuclei"] = table["n_live"] + 3
    return table.assign(viability=table["n_live"] / table["n_nuclei"], flags="")


def _screen(root: Path, hours: tuple[float, ...] = (0.0, 72.0), **more: float) -> Screen:
    screen = Screen(root)
    for at, time in enumerate(hours):
        name = f"S{at}"
        screen.add(name, _grown(name, time, at + 1, **more), PLAN, group="P1")
        screen.slides[-1] = screen.slides[-1].model_copy(update={"time_h": time})
    return screen


def _numbers(table: pd.DataFrame) -> pd.DataFrame:
    texts = ("group", "agent", "model", "in_range", "flags", "unit", "assay")
    return table.assign(**{n: pd.to_numeric(table[n]) for n in table if n not in texts})


@pytest.mark.parametrize("days", [0.75, 1.5])
def test_gr50_does_not_depend_on_how_fast_cells_divide(tmp_path: Path, days: float) -> None:
    growth = _numbers(_screen(tmp_path, days_to_double=days).run()["growth"]).set_index("agent")
    assert list(growth.index) == ["alpha", "beta"]
    assert growth["doublings"].to_numpy() == pytest.approx([3 / days] * 2, rel=0.05)
    assert growth["time_zero"].to_numpy() == pytest.approx([40] * 2, rel=0.05)
    # the rate is 2 ** share - 1 of the controls' growth, half of it at a share of log2(1.5)
    for agent, ec50 in EC50.items():
        expected = ec50 * (1 / np.log2(1.5) - 1) ** (1 / 1.5)
        assert growth.loc[agent, "gr50"] == pytest.approx(expected, rel=0.25)
        assert growth.loc[agent, "in_range"] == "yes"
        assert growth.loc[agent, "model"] == "sigmoid"
    assert growth.loc["alpha", "gr_max"] == pytest.approx(0, abs=0.12)
    assert growth.loc["alpha", "gr_aoc"] > growth.loc["beta", "gr_aoc"]
    assert (growth["flags"] == "").all()


def test_each_later_time_has_its_rates(tmp_path: Path) -> None:
    growth = _numbers(_screen(tmp_path, (0.0, 48.0, 72.0)).run()["growth"])
    assert growth[["agent", "time_h"]].to_numpy().tolist() == [
        ["alpha", 48],
        ["alpha", 72],
        ["beta", 48],
        ["beta", 72],
    ]


def test_without_time_zero_there_are_no_rates(tmp_path: Path) -> None:
    for hours in ((72.0,), (24.0, 72.0)):
        table = _screen(tmp_path / str(len(hours)), hours).run()["growth"]
        assert table.empty
        assert list(table.columns) == column_names("screen/growth.csv")


def test_time_zero_of_another_group_does_not_count(tmp_path: Path) -> None:
    screen = _screen(tmp_path)
    screen.slides[0] = screen.slides[0].model_copy(update={"group": "P2"})
    assert screen.run()["growth"].empty


def test_controls_that_do_not_grow_are_told(tmp_path: Path) -> None:
    growth = _screen(tmp_path, days_to_double=-3.0).run()["growth"]
    assert set(growth["flags"]) == {"no_growth"}
    assert not pd.to_numeric(growth["gr50"]).notna().any()
    slow = _screen(tmp_path / "slow", days_to_double=9.0).run()["growth"]
    assert set(slow["flags"]) == {"slow_growth"}


def test_an_agent_that_does_nothing_has_no_gr50(tmp_path: Path) -> None:
    screen = _screen(tmp_path)
    rng = np.random.default_rng(1)
    table = pd.read_csv(screen.spots["S1"], keep_default_na=False)
    own = PLAN["agent"] == "beta"
    table.loc[own, "n_live"] = rng.poisson(40 * 8, own.sum())
    table.to_csv(screen.spots["S1"], index=False)
    row = screen.run()["growth"].set_index("agent").loc["beta"]
    assert (row["model"], row["in_range"]) == ("flat", ">max")
    assert float(row["gr_max"]) == pytest.approx(1, abs=0.1)


def test_time_zero_without_a_layout_counts_all_its_spots(tmp_path: Path) -> None:
    screen = _screen(tmp_path)
    screen.slides[0] = screen.slides[0].model_copy(update={"layout": None})
    growth = _numbers(screen.run()["growth"])
    assert growth["time_zero"].to_numpy() == pytest.approx([40] * 2, rel=0.05)


def test_a_screen_of_time_zero_alone_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tables = _screen(tmp_path, (0.0,)).run()
    assert tables["dose_response"].empty
    assert "group P1: all slides have time_h 0" in caplog.text


def test_spots_in_which_no_cell_is_left_count_as_dead(tmp_path: Path) -> None:
    screen = _screen(tmp_path)
    table = pd.read_csv(screen.spots["S1"], keep_default_na=False)
    top = (PLAN["agent"] == "beta") & (PLAN["concentration"] > 1)
    table.loc[top, ["n_live", "n_nuclei", "viability", "flags"]] = [0, 0, np.nan, "empty"]
    table.to_csv(screen.spots["S1"], index=False)
    row = _numbers(screen.run()["growth"]).set_index("agent").loc["beta"]
    assert row["gr_max"] == pytest.approx(-1)
    assert row["n_spots"] == 28

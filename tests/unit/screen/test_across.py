"""Across slides, groups and agents: disagreement, pooled agents, selectivity, combinations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from gridwell.config.columns import column_names
from gridwell.config.spots import spot_name

from tests.unit.screen.simulated import DOSES, EC50, Screen, layout, viability_spots

PLAN = layout()


@pytest.fixture
def screen(tmp_path: Path) -> Screen:
    return Screen(tmp_path)


def _moved(factor: float) -> pd.DataFrame:
    """The layout as if the agents were `factor` times less potent."""
    plan = PLAN.copy()
    plan.loc[plan["role"] == "sample", "concentration"] /= factor
    return plan


def _add(screen: Screen, name: str, group: str, seed: int, factor: float = 1.0) -> None:
    """A slide whose agents have their EC50 times `factor`."""
    table = viability_spots(name, _moved(factor), seed)
    screen.add(name, table, PLAN, group=group)


def test_slides_that_agree_share_a_curve_in_peace(screen: Screen) -> None:
    for seed in (1, 2, 3):
        _add(screen, f"S{seed}", "P1", seed)
    tables = screen.run()
    assert not tables["dose_response"]["flags"].str.contains("disagree").any()
    assert set(tables["dose_response"]["n_slides"]) == {3}
    assert len(tables["replicates"]) == 3
    assert (tables["replicates"]["flags"] == "").all()


def test_slides_that_disagree_widen_the_intervals(screen: Screen, tmp_path: Path) -> None:
    alike = Screen(tmp_path / "alike")
    for seed, factor in ((1, 1.0), (2, 1.0), (3, 5.0)):
        _add(screen, f"S{seed}", "P1", seed, factor)
        _add(alike, f"S{seed}", "P1", seed)
    tables, peaceful = screen.run(), alike.run()
    curves, calm = (t["dose_response"].set_index("agent") for t in (tables, peaceful))
    bands = [(t["curves"]["high"] - t["curves"]["low"]).mean() for t in (tables, peaceful)]
    assert bands[0] > 2 * bands[1]
    assert curves["flags"].str.contains("slides_disagree").all()
    for name in ("ec50", "ic50"):
        wide, narrow = (
            pd.to_numeric(t.loc["beta", [f"{name}_low", f"{name}_high"]]) for t in (curves, calm)
        )
        assert np.isnan(wide).any() or np.log(wide.iloc[1] / wide.iloc[0]) > 3 * np.log(
            narrow.iloc[1] / narrow.iloc[0]
        )


def test_false_alarms_of_slides(screen: Screen) -> None:
    for group in range(12):
        for slide in range(2):
            _add(screen, f"S{group}_{slide}", f"P{group}", 100 * group + slide)
    curves = screen.run()["dose_response"]
    assert curves["flags"].str.contains("slides_disagree").sum() <= 1


def test_agents_over_groups(screen: Screen) -> None:
    for seed, factor in ((1, 1.0), (2, 1.5), (3, 0.7), (4, 1.2)):
        _add(screen, f"S{seed}", f"P{seed}", seed, factor)
    tables = screen.run()
    agents, curves = tables["agents"].set_index("agent"), tables["dose_response"]
    for agent, true in EC50.items():
        row = agents.loc[agent]
        assert (row["n_groups"], row["n_fitted"], row["n_in_range"]) == (4, 4, 4)
        assert row["ec50_low"] < true * 1.06 < row["ec50_high"]
        assert row["unit"] == "uM"
        own = curves[curves["agent"] == agent]
        assert row["auc_median"] == pytest.approx(own["auc"].median())
        assert (row["dss_min"], row["dss_max"]) == (own["dss"].min(), own["dss"].max())
        best = own.loc[own["sdss"].idxmax()]
        assert row["sdss_group"] == best["group"]
        others = own.loc[own["group"] != best["group"], "dss"]
        assert best["sdss"] == pytest.approx(best["dss"] - others.median(), abs=1e-6)
    assert agents.loc["alpha", "i2"] >= 0


def test_two_groups_have_no_selective_score(screen: Screen) -> None:
    for seed in (1, 2):
        _add(screen, f"S{seed}", f"P{seed}", seed)
    tables = screen.run()
    assert (
        tables["dose_response"]["sdss"].eq("").all() or tables["dose_response"]["sdss"].isna().all()
    )
    assert (tables["agents"]["n_groups"] == 2).all()


def test_groups_out_of_range_are_counted_and_not_pooled(screen: Screen) -> None:
    for seed, factor in ((1, 1.0), (2, 1.0), (3, 1e4)):
        _add(screen, f"S{seed}", f"P{seed}", seed, factor)
    agents = screen.run()["agents"].set_index("agent")
    assert agents.loc["beta", "n_in_range"] == 2
    assert agents.loc["beta", "n_above"] + agents.loc["beta", "n_flat"] == 1
    assert agents.loc["beta", "ec50"] == pytest.approx(EC50["beta"], rel=0.5)


# Combinations.


def _combined(joint: float, seed: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Layout and spots: agents a (leaves 60 %), b (leaves 50 %) and both (leave `joint`)."""
    kinds = [("neg_ctrl", None)] * 16 + [("a", 1.0)] * 8 + [("b", 1.0)] * 8 + [("a+b", joint)] * 8
    left = {"neg_ctrl": 1.0, "a": 0.6, "b": 0.5, "a+b": joint}
    rng = np.random.default_rng(seed)
    rows, live = [], []
    for i, (kind, _) in enumerate(kinds):
        row, col = divmod(i, 12)
        fixed = {"spot": spot_name(row, col), "row": row, "col": col, "replicate": None}
        fixed |= {"value": np.nan, "sample": None}
        for agent, dose in (("a", 2.0), ("b", 0.3)):
            if agent in kind.split("+"):
                rows.append(
                    fixed | {"agent": agent, "concentration": dose, "unit": "uM", "role": "sample"}
                )
        if kind == "neg_ctrl":
            rows.append(
                fixed | {"agent": None, "concentration": np.nan, "unit": None, "role": kind}
            )
        live.append(0.9 * left[kind])
    plan = pd.DataFrame(rows)
    table = viability_spots("S1", plan.drop_duplicates("spot").reset_index(drop=True))
    table["n_nuclei"] = 100
    table["viability"] = rng.binomial(100, live) / 100
    table["flags"] = ""
    return table, plan


@pytest.mark.parametrize(("joint", "sign"), [(0.3, 0), (0.1, 1), (0.55, -1)])
def test_combinations_against_independence(screen: Screen, joint: float, sign: int) -> None:
    table, plan = _combined(joint)
    screen.add("S1", table, plan, group="P1")
    row = screen.run()["combinations"].iloc[0]
    assert (row["agents"], row["doses"], row["n_spots"]) == ("a + b", "2 uM + 0.3 uM", 8)
    assert row["mean_low"] < row["mean"] < row["mean_high"]
    assert row["mean"] == pytest.approx(100 * joint, abs=6)
    assert row["bliss"] == pytest.approx(30, abs=5)
    assert row["hsa"] == pytest.approx(50, abs=5)
    assert row["excess_bliss"] == pytest.approx(row["bliss"] - row["mean"])
    assert int(row["excess_low"] > 0) - int(row["excess_high"] < 0) == sign


def test_percent_inhibition_expects_the_same_excess(screen: Screen) -> None:
    table, plan = _combined(0.1)
    dead = pd.DataFrame(
        {"spot": [f"H{c}" for c in range(1, 9)], "row": 7, "col": range(8), "agent": "kill"}
    ).assign(concentration=9.0, unit="uM", role="pos_ctrl", replicate=None, value=None, sample=None)
    dead_spots = viability_spots("S1", dead)
    dead_spots["viability"], dead_spots["flags"] = 0.0, ""
    screen.add("S1", pd.concat([table, dead_spots]), pd.concat([plan, dead]), group="P1")
    percent = screen.run()["combinations"].iloc[0]
    inhibition = screen.run(normalise="percent_inhibition")["combinations"].iloc[0]
    assert inhibition["bliss"] == pytest.approx(100 - percent["bliss"])
    assert inhibition["excess_bliss"] == pytest.approx(percent["excess_bliss"])


def test_what_was_not_tested_alone_expects_nothing(screen: Screen) -> None:
    table, plan = _combined(0.3)
    alone = ~plan["spot"].duplicated(keep=False) & (plan["agent"] == "b")
    plan = plan[~alone]
    screen.add("S1", table, plan)
    row = screen.run()["combinations"].iloc[0]
    assert row["flags"] == "no_single"
    assert row["bliss"] in ("", None) or np.isnan(row["bliss"])
    assert row["mean"] == pytest.approx(30, abs=6)


def test_no_combinations_no_rows(screen: Screen) -> None:
    _add(screen, "S1", "P1", 1)
    table = screen.run()["combinations"]
    assert table.empty
    assert list(table.columns) == column_names("screen/combinations.csv")


# Layout against grid, few cells, gradients, times.


def test_spots_that_do_not_match_are_listed(
    screen: Screen, caplog: pytest.LogCaptureFixture
) -> None:
    plan = PLAN.copy()
    plan.loc[plan["spot"] == "A1", ["spot", "row", "col"]] = ["Z9", 25, 8]
    screen.add("S1", viability_spots("S1", PLAN), plan)
    table = screen.run()["unmatched"]
    assert table[["spot", "reason"]].to_numpy().tolist() == [
        ["Z9", "not_on_grid"],
        ["A1", "not_in_layout"],
    ]
    assert table["role"].iloc[0] == plan.loc[plan["spot"] == "Z9", "role"].iloc[0]
    assert "Z9" in caplog.text
    assert "A1" in caplog.text


def test_few_cells_do_not_move_the_controls(screen: Screen) -> None:
    table = viability_spots("S1", PLAN).set_index("spot")
    controls = PLAN[PLAN["role"] == "neg_ctrl"]["spot"].tolist()
    wild = controls[:10]
    table.loc[wild, ["n_nuclei", "n_live", "viability", "flags"]] = [1, 0, 0.0, "few_cells"]
    screen.add("S1", table.reset_index(), PLAN)
    quality = screen.run()["quality"].set_index("statistic")["value"]
    assert quality["n_neg_ctrl"] == 14
    assert quality["n_left_out"] == 10
    assert quality["neg_ctrl_median"] > 0.8


def test_few_cells_everywhere_are_all_there_is(screen: Screen) -> None:
    table = viability_spots("S1", PLAN).assign(flags="few_cells")
    screen.add("S1", table, PLAN)
    tables = screen.run()
    assert tables["quality"].set_index("statistic")["value"]["n_neg_ctrl"] == 24
    assert (tables["dose_response"]["model"] != "").all()


def _tilted(name: str, by: float, seed: int = 3) -> pd.DataFrame:
    """Viability falling from left to right; enough cells to see it."""
    table = viability_spots(name, PLAN, seed)
    rng = np.random.default_rng(seed)
    live = np.full(len(PLAN), 0.9)
    live[PLAN["role"] == "pos_ctrl"] = 0.05
    own = PLAN["role"] == "sample"
    half = PLAN.loc[own, "agent"].map(EC50)
    live[own] = 0.05 + 0.85 / (1 + (PLAN.loc[own, "concentration"] / half) ** 1.5)
    live *= 1 + by * (PLAN["col"] / 11 - 0.5)
    n = 150
    table["n_nuclei"], table["n_live"] = n, rng.binomial(n, live)
    return table.assign(viability=table["n_live"] / n, n_dead=n - table["n_live"], flags="")


def test_a_gradient_is_corrected_and_said(screen: Screen) -> None:
    screen.add("S1", _tilted("S1", 0.2), PLAN)
    tables, never = screen.run(), screen.run("never", correct="never")
    quality = tables["quality"].set_index("statistic")["value"]
    assert quality["correction"] >= 1
    assert quality["correction_p"] < 0.03
    assert quality["gradient"] == pytest.approx(20, abs=7)
    assert never["quality"].set_index("statistic")["value"]["correction"] == 0
    assert set(tables["dose_response"]["flags"]) == {"gradient_corrected"}
    spots, plain = tables["spots"], never["spots"]
    pd.testing.assert_series_equal(spots["measured"], plain["measured"])
    control = spots["role"] == "neg_ctrl"
    assert spots.loc[control, "normalised"].std() < 0.8 * plain.loc[control, "normalised"].std()
    assert spots.loc[control, "normalised"].median() == pytest.approx(100, abs=0.5)
    error = [abs(np.log10(t["dose_response"]["ec50"] / [0.3, 3.0])).max() for t in (tables, never)]
    assert error[0] < 0.1
    scale = 100 / (spots["measured"] / spots["factor"])[control].median()
    np.testing.assert_allclose(spots["normalised"], spots["measured"] / spots["factor"] * scale)
    assert (plain["factor"] == 1).all()
    level = tables["curves"].groupby("agent")["fit"].first()
    assert level.to_numpy() == pytest.approx([100, 100], abs=4)


def test_an_even_slide_is_not_touched(screen: Screen) -> None:
    screen.add("S1", _tilted("S1", 0.0), PLAN)
    tables, never = screen.run(), screen.run("never", correct="never")
    pd.testing.assert_frame_equal(tables["spots"], never["spots"])
    assert (tables["dose_response"]["flags"] == "").all()


def test_each_time_has_its_own_curves_and_time_zero_none(screen: Screen) -> None:
    for name, seed in (("S0", 1), ("S1", 2), ("S2", 3)):
        _add(screen, name, "P1", seed)
    for at, time in enumerate((0.0, 24.0, 72.0)):
        screen.slides[at] = screen.slides[at].model_copy(update={"time_h": time})
    curves = screen.run()["dose_response"]
    assert curves["agent"].tolist() == ["alpha", "alpha", "beta", "beta"]
    assert [float(t) for t in curves["time_h"]] == [24, 72, 24, 72]
    assert set(curves["n_spots"]) == {28}
    assert len(DOSES) == 7

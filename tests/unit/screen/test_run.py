"""Whole screens on disk: the tables, what enters them, and what changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from gridwell.config.columns import column_names
from gridwell.config.errors import InputError
from gridwell.config.layouts import read_layout
from gridwell.config.spots import row_letters, spot_name

from tests.unit.screen.simulated import DOSES, EC50, Screen, layout, viability_spots

PLAN = layout()


@pytest.fixture
def screen(tmp_path: Path) -> Screen:
    return Screen(tmp_path)


def _viability(screen: Screen, name: str = "S1", group: str | None = "P1", seed: int = 1) -> Screen:
    screen.add(name, viability_spots(name, PLAN, seed), PLAN, group=group)
    return screen


def _statistics(tables: dict[str, pd.DataFrame], slide: str = "S1") -> dict[str, float]:
    own = tables["quality"]
    return own[own["slide"] == slide].set_index("statistic")["value"].to_dict()


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_viability_screen(screen: Screen) -> None:
    tables = _viability(screen).run()
    for name, table in tables.items():
        assert list(table.columns) == column_names(f"screen/{name}.csv"), name
    assert {"agents", "growth", "combinations", "replicates", "unmatched"} < set(tables)
    assert len(tables["spots"]) == 96
    curves = tables["dose_response"].set_index("agent")
    assert curves.index.tolist() == ["alpha", "beta"]
    for agent, ec50 in EC50.items():
        curve = curves.loc[agent]
        assert (curve["group"], curve["model"], curve["in_range"]) == ("P1", "4pl", "yes")
        assert (curve["n_spots"], curve["n_doses"], curve["unit"]) == (28, 7, "uM")
        assert curve["metric"] == "viability"
        assert curve["ec50_low"] < ec50 < curve["ec50_high"]
        assert curve["top"] == pytest.approx(100, abs=4)
        assert curve["bottom"] < 15
        assert curve["flags"] == ""
    assert curves.loc["alpha", "auc"] < curves.loc["beta", "auc"]
    assert curves.loc["alpha", "dss"] > curves.loc["beta", "dss"]
    quality = _statistics(tables)
    assert quality["n_neg_ctrl"] == 24
    assert quality["n_pos_ctrl"] == 16
    assert 0 < quality["z_prime"] < 1
    assert quality["grid_confidence"] == 0.9
    points = tables["curves"]
    assert (points["low"] <= points["fit"]).all()
    assert (points["fit"] <= points["high"]).all()
    drawn = points[points["agent"] == "alpha"]
    assert drawn["dose"].iloc[[0, -1]].tolist() == pytest.approx([DOSES[0], DOSES[-1]])


def test_normalised_is_percent_of_the_slides_own_controls(screen: Screen) -> None:
    tables = _viability(screen).run()
    spots = tables["spots"]
    controls = spots.loc[spots["role"] == "neg_ctrl", "normalised"]
    assert controls.median() == pytest.approx(100)
    np.testing.assert_allclose(
        spots["normalised"], spots["measured"] * 100 / _statistics(tables)["neg_ctrl_median"]
    )


def test_order_of_rows_units_and_slides_change_no_byte(tmp_path: Path) -> None:
    first = _viability(_viability(Screen(tmp_path / "a")), "S2", seed=2)
    second = Screen(tmp_path / "b")
    nano = PLAN.copy()
    nano["concentration"] *= 1000
    nano.loc[nano["unit"].notna(), "unit"] = "nM"
    for name, seed in (("S2", 2), ("S1", 1)):
        shuffled = viability_spots(name, PLAN, seed).sample(frac=1, random_state=3)
        second.add(name, shuffled, nano.sample(frac=1, random_state=4), group="P1")
    first.run()
    second.run()
    assert _bytes(tmp_path / "a/screen") == _bytes(tmp_path / "b/screen")


def test_groups_have_their_own_curves_and_slides_of_a_group_share_one(screen: Screen) -> None:
    for name, group in (("S1", "P2"), ("S2", "P1"), ("S3", "P1"), ("S4", None)):
        _viability(screen, name, group, seed=int(name[1]))
    curves = screen.run()["dose_response"]
    assert curves["group"].tolist() == ["", "", "P1", "P1", "P2", "P2"]
    assert curves["n_spots"].tolist() == [28, 28, 56, 56, 28, 28]
    width = np.log(curves["ec50_high"] / curves["ec50_low"])
    assert width[3] < width[5]


def test_percent_inhibition(screen: Screen) -> None:
    tables = _viability(screen).run(normalise="percent_inhibition")
    spots = tables["spots"]
    assert spots.loc[spots["role"] == "neg_ctrl", "normalised"].median() == pytest.approx(0)
    assert spots.loc[spots["role"] == "pos_ctrl", "normalised"].median() == pytest.approx(100)
    curve = tables["dose_response"].iloc[0]
    assert curve["hill"] < 0
    assert curve["ec50_low"] < EC50["alpha"] < curve["ec50_high"]
    # Positive controls kill nearly all: half of the way to them is about half of the cells.
    assert curve["ic50_low"] < curve["ic50"] < curve["ic50_high"]
    assert curve["ic50"] == pytest.approx(curve["ec50"], rel=0.35)
    assert 0 < curve["auc"] < 1
    assert curve["dss"] > 0


def test_as_measured(screen: Screen) -> None:
    tables = _viability(screen).run(normalise="none")
    spots, curve = tables["spots"], tables["dose_response"].iloc[0]
    assert (spots["normalised"] == spots["measured"]).all()
    assert curve["top"] == pytest.approx(0.9, abs=0.05)
    assert np.isnan(curve[["auc", "ic50", "dss"]].astype(float)).all()


def test_scale_of_ec50_does_not_depend_on_normalisation(screen: Screen) -> None:
    _viability(screen)
    found = [
        screen.run(normalise=how)["dose_response"]["ec50"].tolist()
        for how in ("percent_of_control", "percent_inhibition", "none")
    ]
    np.testing.assert_allclose(found[1], found[0], rtol=0.02)
    np.testing.assert_allclose(found[2], found[0], rtol=0.02)


def test_candidates_of_the_curves_are_options(screen: Screen) -> None:
    plan = layout()
    screen.add("s1", viability_spots("s1", plan), plan)
    fits = screen.run(curves=["5pl"])["dose_response"]
    assert (fits["model"] == "5pl").all()
    assert fits["asymmetry"].astype(float).gt(0).all()
    simple = screen.run("simple", curves=["flat", "3pl", "4pl"], choose="aicc")["dose_response"]
    assert set(simple["model"]) <= {"3pl", "4pl"}


def test_without_a_layout_spots_are_listed_and_nothing_is_fitted(screen: Screen) -> None:
    screen.add("S1", viability_spots("S1", PLAN), None)
    tables = screen.run()
    assert len(tables["spots"]) == 96
    assert tables["spots"]["normalised"].isna().all()
    assert tables["dose_response"].empty
    assert list(tables["dose_response"].columns) == column_names("screen/dose_response.csv")
    assert tables["curves"].empty
    assert _statistics(tables)["grid_not_in_layout"] == 96


def test_without_controls_no_percent_is_invented(screen: Screen) -> None:
    plan = PLAN[PLAN["role"] != "neg_ctrl"]
    screen.add("S1", viability_spots("S1", PLAN), plan)
    tables = screen.run()
    assert tables["spots"]["normalised"].isna().all()
    assert set(tables["dose_response"]["flags"]) == {"few_doses;no_controls"}
    assert (tables["dose_response"]["model"] == "").all()
    assert tables["curves"].empty
    fitted = screen.run(normalise="none")["dose_response"]
    assert (fitted["model"] == "4pl").all()


def test_few_doses(screen: Screen) -> None:
    plan = PLAN[~PLAN["concentration"].isin(DOSES[2:])]
    screen.add("S1", viability_spots("S1", PLAN), plan)
    curves = screen.run()["dose_response"]
    assert set(curves["flags"]) == {"few_doses"}
    assert curves["n_doses"].tolist() == [2, 2]
    assert curves["ec50"].isna().all()


def test_doses_beyond_the_effect_are_censored(screen: Screen) -> None:
    plan = PLAN.copy()
    plan.loc[plan["agent"] == "alpha", "concentration"] *= 1e-3
    plan.loc[plan["agent"] == "beta", "concentration"] *= 1e3
    table = viability_spots("S1", plan)
    screen.add("S1", table, plan)
    curves = screen.run()["dose_response"].set_index("agent")
    assert curves.loc["alpha", "in_range"] in ("flat", ">max")
    assert curves.loc["beta", "in_range"] == "<min"
    assert curves["ec50"].isna().all()
    assert np.isnan(curves.loc["beta", "ec50_low"])
    assert curves.loc["alpha", "dss"] < 1
    assert curves.loc["beta", "auc"] < 0.15


def test_flagged_excluded_and_combined_spots_stay_out_of_curves(screen: Screen) -> None:
    table = viability_spots("S1", PLAN).set_index("spot")
    own = PLAN[(PLAN["agent"] == "alpha") & (PLAN["concentration"] == DOSES[0])]["spot"].tolist()
    plan = PLAN.copy()
    table.loc[own[0], ["viability", "flags"]] = [0.01, "failed"]
    table.loc[own[1], ["viability", "flags"]] = [0.01, "edge_cut;few_cells"]
    plan.loc[plan["spot"] == own[2], "role"] = "excluded"
    extra = plan[plan["spot"] == own[3]].assign(agent="beta")
    plan = pd.concat([plan, extra], ignore_index=True)
    screen.add("S1", table.reset_index(), plan)
    tables = screen.run()
    curves = tables["dose_response"].set_index("agent")
    assert curves["n_spots"].to_dict() == {"alpha": 24, "beta": 28}
    assert curves["n_doses"].to_dict() == {"alpha": 6, "beta": 7}
    spots = tables["spots"].set_index("spot")
    assert len(spots) == 96
    assert spots.loc[own[3], "agent"] == "alpha + beta"
    assert spots.loc[own[3], "flags"] == "combination"
    assert np.isnan(spots.loc[own[3], "concentration"])
    assert spots.loc[own[1], "flags"] == "edge_cut;few_cells"
    quality = _statistics(tables)
    assert (quality["n_failed"], quality["n_edge_cut"], quality["n_combination"]) == (1, 1, 1)


def test_layout_and_grid_that_do_not_match_are_told(screen: Screen) -> None:
    plan = PLAN.copy()
    plan.loc[plan["spot"] == "A1", ["spot", "row", "col"]] = ["Z9", 25, 8]
    screen.add("S1", viability_spots("S1", PLAN), plan)
    tables = screen.run()
    quality = _statistics(tables)
    assert (quality["layout_not_on_grid"], quality["grid_not_in_layout"]) == (1, 1)
    assert set(tables["dose_response"]["flags"]) == {"layout_off_grid"}


def test_several_samples_under_one_curve_are_told(screen: Screen) -> None:
    plan = PLAN.assign(sample=np.where(PLAN["row"] < 4, "x", "y"))
    screen.add("S1", viability_spots("S1", PLAN), plan)
    assert set(screen.run()["dose_response"]["flags"]) == {"several_samples"}


def test_a_failed_slide_without_spots_spoils_nothing(screen: Screen) -> None:
    _viability(screen)
    screen.add("S2", viability_spots("S2", PLAN).iloc[:0], PLAN, group="P1")
    tables = screen.run()
    assert tables["dose_response"]["n_spots"].tolist() == [28, 28]
    assert _statistics(tables, "S2")["n_spots"] == 0


def test_units_that_do_not_match_stop_the_screen(screen: Screen) -> None:
    _viability(screen)
    other = PLAN.copy()
    other.loc[other["agent"] == "alpha", "unit"] = "ug/mL"
    screen.add("S2", viability_spots("S2", PLAN), other)
    with pytest.raises(InputError, match="alpha"):
        screen.run()


# Metrics.


def _objects(screen: Screen, name: str = "S2") -> None:
    """A slide of the objects assay, its number of objects falling with dose, and instances."""
    rng = np.random.default_rng(9)
    viability = viability_spots(name, PLAN)
    n = np.maximum((viability["n_live"] + 1).to_numpy(), 1)
    table = viability[["slide", "spot", "row", "col", "x", "y"]].assign(n_dna=n, flags="")
    screen.add(name, table, PLAN, assay="objects")
    spot = np.repeat(table["spot"].to_numpy(), n)
    true = np.repeat(viability["viability"].to_numpy(), n)
    ring = rng.uniform(50, 100, len(spot))
    instances = pd.DataFrame({"spot": spot, "area": rng.normal(50, 5, len(spot)), "ring_gfp": ring})
    instances["mean_gfp"] = ring * (2 - true)
    path = screen.root / name / "dna.parquet"
    instances.sample(frac=1, random_state=1).to_parquet(path)
    screen.instances[name] = {"dna": path}
    screen.roles[name] = {"dna": "nuclei"}


def test_objects_are_counted_by_default(screen: Screen) -> None:
    _objects(screen)
    tables = screen.run()
    assert set(tables["spots"]["metric"]) == {"n_dna"}
    assert (tables["spots"]["measured"] == tables["spots"]["n"]).all()


@pytest.mark.parametrize("channel", ["dna", "nuclei"])
def test_aggregates_of_features(screen: Screen, channel: str) -> None:
    _objects(screen)
    text = f"mean({channel}.mean_gfp / {channel}.ring_gfp)"
    tables = screen.run(metric=text)
    spots = tables["spots"]
    true = viability_spots("S2", PLAN).set_index("spot")["viability"]
    np.testing.assert_allclose(spots["measured"], 2 - true[spots["spot"]], rtol=1e-6)
    assert set(spots["metric"]) == {text}
    curve = tables["dose_response"].iloc[0]
    assert curve["hill"] < 0
    assert curve["top"] > curve["bottom"] > 90


def test_a_share_of_objects_is_fitted_as_counts(screen: Screen) -> None:
    _objects(screen)
    path = screen.instances["S2"]["dna"]
    instances = pd.read_parquet(path)
    ratio = instances["mean_gfp"] / instances["ring_gfp"]
    rng = np.random.default_rng(3)
    # bright objects: as many as the cells that live
    instances["mean_gfp"] = np.where(rng.random(len(ratio)) < 2 - ratio, 900.0, 100.0)
    instances.to_parquet(path)
    tables = screen.run(metric="share(nuclei.mean_gfp > 500)")
    spots = tables["spots"].set_index("spot")
    own = instances.loc[instances["spot"] == "C5", "mean_gfp"]
    assert spots.loc["C5", "measured"] == pytest.approx((own > 500).mean())
    assert spots.loc["C5", "n"] == len(own)
    assert set(spots["metric"]) == {"share(nuclei.mean_gfp > 500)"}
    below = screen.run("below", metric="share(nuclei.mean_gfp <= 500)")["spots"].set_index("spot")
    assert below.loc["C5", "measured"] == pytest.approx((own <= 500).mean())
    curves = tables["dose_response"].set_index("agent")
    for agent, ec50 in EC50.items():
        assert curves.loc[agent, "ec50"] == pytest.approx(ec50, rel=0.4)
        assert 0 <= curves.loc[agent, "bottom"] < 15


@pytest.mark.parametrize("aggregate", ["mean", "median", "sum", "std", "count"])
def test_every_aggregate(screen: Screen, aggregate: str) -> None:
    _objects(screen)
    spots = screen.run(metric=f"{aggregate}(dna.area)")["spots"].set_index("spot")
    instances = pd.read_parquet(screen.instances["S2"]["dna"])
    own = instances.loc[instances["spot"] == "C5", "area"]
    expected = len(own) if aggregate == "count" else getattr(own, aggregate)()
    assert spots.loc["C5", "measured"] == pytest.approx(expected)


def test_a_spot_without_objects_counts_none_and_has_no_mean(screen: Screen) -> None:
    _objects(screen)
    path = screen.instances["S2"]["dna"]
    instances = pd.read_parquet(path)
    instances[instances["spot"] != "C5"].to_parquet(path)
    for aggregate, expected in (("count", 0.0), ("sum", 0.0), ("mean", np.nan)):
        spots = screen.run(metric=f"{aggregate}(dna.area)")["spots"].set_index("spot")
        assert spots.loc["C5", "measured"] == pytest.approx(expected, nan_ok=True)


def test_a_found_spot_without_objects_is_a_count_of_none(screen: Screen) -> None:
    _objects(screen)
    table = pd.read_csv(screen.spots["S2"], keep_default_na=False).set_index("spot")
    own = PLAN[(PLAN["agent"] == "alpha") & (PLAN["concentration"] == DOSES[-1])]["spot"].tolist()
    table.loc[own[0], ["n_dna", "flags"]] = [0, "empty"]
    table.loc[own[1], ["n_dna", "flags"]] = [0, "empty;not_found"]
    table.reset_index().to_csv(screen.spots["S2"], index=False)
    curves = screen.run()["dose_response"].set_index("agent")
    assert curves.loc["alpha", "n_spots"] == 27


def _colour(screen: Screen, name: str = "S3") -> None:
    viability = viability_spots(name, PLAN)
    table = viability[["slide", "spot", "row", "col", "x", "y"]].assign(
        red=1.0, green=1.0, blue=1.0, metric=120.0, value=5 + 3 * viability["viability"]
    )
    table = table.assign(value_low=np.nan, value_high=np.nan, flags="")
    screen.add(name, table, PLAN, assay="colorimetry")


def test_assays_of_one_study_are_kept_apart(screen: Screen) -> None:
    _viability(screen, group=None)
    _objects(screen)
    _colour(screen)
    tables = screen.run()
    curves = tables["dose_response"]
    assert curves["agent"].tolist() == ["alpha"] * 3 + ["beta"] * 3
    assert curves["assay"].tolist() == ["colorimetry", "objects", "viability"] * 2
    assert curves["metric"].tolist() == ["value", "n_dna", "viability"] * 2
    colour = curves[curves["assay"] == "colorimetry"].iloc[0]
    assert colour["normalise"] == "none"
    assert colour["top"] == pytest.approx(7.7, abs=0.2)


def test_slides_without_the_metric_keep_their_own_and_say_so(screen: Screen) -> None:
    _viability(screen)
    _colour(screen)
    tables = screen.run(metric="n_live")
    assert _statistics(tables, "S1")["metric_of_study"] == 1
    assert _statistics(tables, "S3")["metric_of_study"] == 0
    metrics = tables["spots"].groupby("slide")["metric"].first().to_dict()
    assert metrics == {"S1": "n_live", "S3": "value"}


@pytest.mark.parametrize("metric", ["speed", "flags", "mean(dna.speed)", "mean(gfp.area)"])
def test_a_metric_that_no_slide_has_is_refused(screen: Screen, metric: str) -> None:
    _viability(screen)
    with pytest.raises(InputError, match=r"screen.metric.*no slide has this number"):
        screen.run(metric=metric)


def test_a_text_that_is_no_metric_is_refused(screen: Screen) -> None:
    _viability(screen)
    with pytest.raises(InputError, match=r"screen.metric"):
        screen.run(metric="mean(")


def test_a_row_of_spots_may_be_called_na(screen: Screen) -> None:
    plan = PLAN.copy()
    plan["row"] += 365 - 8
    plan["spot"] = [spot_name(r, c) for r, c in zip(plan["row"], plan["col"], strict=True)]
    assert row_letters(364) == "NA"
    screen.add("S1", viability_spots("S1", plan), plan, rows=365)
    tables = screen.run()
    assert "NA" in set(tables["spots"]["row"])
    assert _statistics(tables)["grid_not_in_layout"] == 0


@pytest.mark.shared
def test_the_layout_of_a_real_plate(screen: Screen, shared: Path) -> None:
    """BBBC013: two drugs in nM and uM; a response simulated on its layout is found again."""
    real = pd.read_csv(shared / "cells/bbbc013_plate/layout.csv")
    role = {"negative": "neg_ctrl", "positive": "pos_ctrl", "dose": "sample"}
    ours = real.rename(columns={"well": "spot", "compound": "agent", "dose": "concentration"})
    ours = ours.drop(columns=["row", "col"]).assign(role=real["role"].map(role))
    path = screen.root / "layout.csv"
    ours[["spot", "agent", "concentration", "unit", "role", "replicate"]].to_csv(path, index=False)
    plan = read_layout(path)
    true = {"Wortmannin": 20.0, "LY294002": 3.0}
    rng = np.random.default_rng(0)
    dose = plan["concentration"].to_numpy()
    half = plan["agent"].map(true).to_numpy(float)
    value = 1 + 0.8 / (1 + (half / np.maximum(dose, 1e-12)) ** 1.3) + rng.normal(size=96) * 0.03
    table = pd.DataFrame(
        {
            "slide": "plate",
            "spot": plan["spot"],
            "row": plan["row"].map(row_letters),
            "col": plan["col"] + 1,
            "x": 0.0,
            "y": 0.0,
            "n_dna": 200,
            "ratio": value,
            "flags": "",
        }
    )
    screen.add("plate", table, plan, assay="objects")
    tables = screen.run(metric="ratio")
    curves = tables["dose_response"].set_index("agent")
    assert curves["n_doses"].tolist() == [9, 9]
    assert curves["n_spots"].tolist() == [36, 36]
    assert set(curves["unit"]) == {"uM"}
    assert curves.loc["LY294002", "ec50"] == pytest.approx(3.0, rel=0.3)
    assert curves.loc["Wortmannin", "ec50"] == pytest.approx(0.02, rel=0.3)
    quality = _statistics(tables, "plate")
    assert (quality["n_neg_ctrl"], quality["n_pos_ctrl"]) == (16, 8)
    assert quality["z_prime"] > 0.5

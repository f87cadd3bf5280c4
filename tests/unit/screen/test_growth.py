"""Growth-rate metrics against the published programs' own output, and by their definition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from gridwell.screen.growth import fit_gr, gr_values
from hypothesis import given, settings
from hypothesis import strategies as st

KEYS = ["cell_line", "agent", "perturbation", "replicate", "time"]
DOSE = 10 ** np.linspace(-3, 1, 9)


def sigmoid(gr_inf: float, gec50: float, hill: float) -> np.ndarray:
    return gr_inf + (1 - gr_inf) / (1 + (DOSE / gec50) ** hill)


@pytest.mark.shared
def test_as_the_published_programs(shared: Path) -> None:
    folder = shared / "tables/gr_metrics"
    values = pd.read_csv(folder / "R_input1_GRvalues.tsv", sep="\t")
    expected = pd.read_csv(folder / "R_input1_GRmetrics.tsv", sep="\t").set_index(KEYS)
    counts = (values[f"cell_count{which}"] for which in ("", "__ctrl", "__time0"))
    np.testing.assert_allclose(gr_values(*counts), values["GR"], atol=1e-12)
    flat = 0
    for key, own in values.groupby(KEYS):
        fit, published = fit_gr(own["concentration"], own["GR"]), expected.loc[key]
        assert fit.model == published["fit"]
        assert fit.gr_max == pytest.approx(published["GRmax"], abs=1e-12)
        assert fit.gr_aoc == pytest.approx(published["GR_AOC"], abs=1e-12)
        if fit.model == "flat":
            flat += 1
            assert fit.gr50 == published["GR50"]
            assert np.isnan([fit.gec50, fit.hill]).all()
            continue
        assert fit.p <= published["pval"] * (1 + 1e-6)
        assert fit.r2 >= published["r2"] - 1e-9
        if np.isinf(published["GR50"]):  # a bottom that nobody saw is anyone's guess
            assert fit.gr50 == np.inf
            continue
        assert fit.p == pytest.approx(published["pval"], rel=1e-6)
        assert fit.gr_inf == pytest.approx(published["GRinf"], rel=1e-3, abs=1e-4)
        for name, column in (("gr50", "GR50"), ("gec50", "GEC50"), ("hill", "Hill")):
            assert getattr(fit, name) == pytest.approx(published[column], rel=1e-3)
    assert flat == 12


def test_values_by_definition() -> None:
    """Two doublings in the control: as it, half as often, still, half left, none left."""
    found = gr_values([400, 200, 100, 50, 0], 400, 100)
    np.testing.assert_allclose(found, [1, np.sqrt(2) - 1, 0, -0.29289322, -1])


@pytest.mark.parametrize(("control", "start"), [(100, 100), (90, 100), (100, 0)])
def test_no_growth_gives_no_value(control: float, start: float) -> None:
    assert np.isnan(gr_values(50, control, start))


def test_a_sigmoid_is_found_again() -> None:
    fit = fit_gr(DOSE, sigmoid(-0.4, 0.1, 1.3))
    assert fit.model == "sigmoid"
    assert (fit.gr_inf, fit.gec50, fit.hill) == pytest.approx((-0.4, 0.1, 1.3), rel=1e-5)
    assert np.interp(np.log10(fit.gr50), np.log10(DOSE), sigmoid(-0.4, 0.1, 1.3)) == pytest.approx(
        0.5, abs=0.03
    )


@pytest.mark.parametrize(("level", "gr50"), [(0.9, np.inf), (0.1, -np.inf)])
def test_flat_lines(level: float, gr50: float) -> None:
    wobble = 0.02 * np.array([1, -1, 1, -1, 1, -1, 1, -1, 1])
    fit = fit_gr(DOSE, level + wobble)
    assert (fit.model, fit.gr50) == ("flat", gr50)
    assert fit_gr(DOSE, np.full(9, level)).model == "flat"


def test_an_effect_that_stops_above_half_has_no_gr50() -> None:
    fit = fit_gr(DOSE, sigmoid(0.7, 0.1, 1.0))
    assert (fit.model, fit.gr50) == ("sigmoid", np.inf)


def test_too_few_values_are_refused() -> None:
    with pytest.raises(ValueError, match="4 values"):
        fit_gr([1, 2, 3], [1, 0.5, 0])


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(18)))
def test_order_changes_nothing(order: list[int]) -> None:
    dose = np.repeat(DOSE, 2)
    gr = np.repeat(sigmoid(0.1, 0.2, 1.0), 2) + 0.05 * np.sin(np.arange(18) ** 2)
    assert fit_gr(dose[order], gr[order]) == fit_gr(dose, gr)

"""The curve fit against published fits, against a second method, and against simulated truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest
from gridwell.screen.counts import fit_counts
from gridwell.screen.curve import Curve
from gridwell.screen.models import Model
from gridwell.screen.sensitivity import drug_sensitivity_score
from gridwell.screen.squares import fit_curve
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

DOSE = np.repeat([0.0, 0.01, 0.03, 0.1, 0.3, 1, 3, 10], 3)


def sigmoid(dose: np.ndarray, zero: float, end: float, ec50: float, slope: float) -> np.ndarray:
    return end + (zero - end) / (1 + (dose / ec50) ** slope)


def noisy(seed: int = 0, sd: float = 4.0, ec50: float = 0.4, end: float = 10.0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=DOSE.size) * sd
    return sigmoid(DOSE, 100, end, ec50, 1.5) + noise


# Published fits. Reference: R package drc 3.2-0, model LL.4, run on its own data sets.


@pytest.mark.shared
def test_ryegrass_as_drc(shared: Path) -> None:
    data = pd.read_csv(shared / "tables/drc_classic/ryegrass.csv")
    curve = fit_curve(data["conc"], data["rootl"])
    assert curve.rss <= 5.4002146 * (1 + 1e-6)
    reference = {"hill": 2.9822190713, "bottom": 0.4814131884, "top": 7.7929582937}
    errors = {"hill": 0.4650623257, "bottom": 0.2121924383, "top": 0.1885672117}
    for name, expected in (reference | {"ec50": 3.0579549665}).items():
        error = (errors | {"ec50": 0.1857313269})[name]
        assert getattr(curve, name) == pytest.approx(expected, abs=0.01 * error)
    assert np.sqrt(curve.scale) == pytest.approx(0.5196255685, rel=1e-6)
    assert curve.df == 20
    assert curve.p_lack_of_fit == pytest.approx(0.86648, abs=1e-5)
    assert curve.dose_at(4) == pytest.approx(3.135926157, rel=1e-5)
    # the delta method's interval, 2.670526 to 3.445384, is symmetric; a profile need not be
    assert curve.ec50_low == pytest.approx(2.670526, abs=0.05)
    assert curve.ec50_high == pytest.approx(3.445384, abs=0.05)
    log_error = np.sqrt(curve.covariance[2, 2])
    assert log_error * np.log(10) * curve.ec50 == pytest.approx(0.1857313269, rel=1e-3)


@pytest.mark.shared
def test_white_mustard_as_drc(shared: Path) -> None:
    data = pd.read_csv(shared / "tables/drc_classic/S.alba.csv")
    references = {
        "Glyphosate": (2.7154086, 0.8912382, 3.8757588, 62.0876063, 6.6114444),
        "Bentazone": (5.1348097, 0.6818450, 3.8057906, 29.2684443, 2.2370898),
    }
    rss = 0.0
    for herbicide, (hill, bottom, top, ec50, error) in references.items():
        own = data[data["Herbicide"] == herbicide]
        curve = fit_curve(own["Dose"], own["DryMatter"])
        rss += curve.rss
        assert curve.ec50 == pytest.approx(ec50, abs=0.05 * error)
        assert curve.hill == pytest.approx(hill, rel=5e-3)
        assert (curve.bottom, curve.top) == pytest.approx((bottom, top), rel=2e-3)
    assert rss <= 8.347949399 * (1 + 1e-6)


@pytest.mark.shared
def test_published_curves_of_real_nuclei_counts(shared: Path) -> None:
    """Two cell lines, real counts: half of the control is passed where the table shows it."""
    path = shared / "tables/cellpyability_ic50/example_gda_ViabilityMatrix.csv"
    table = pd.read_csv(path, index_col=0)
    dose = table.columns.astype(float).to_numpy()
    for line, low, high in (("A", 3.70e-8, 1.11e-7), ("B", 1.37e-9, 1.24e-8)):
        own = table[table.index.str.contains(f"Line {line}")]
        curve = fit_curve(np.tile(dose, len(own)), 100 * own.to_numpy().ravel(), limits=(0, np.inf))
        assert curve.in_range == "yes"
        assert low <= curve.dose_at(50) <= high


# The same answers by a second method.


def test_least_squares_agrees_with_curve_fit_on_all_four_parameters() -> None:
    y = noisy(3)
    curve = fit_curve(DOSE, y)

    def model(x: np.ndarray, zero: float, end: float, log_ec50: float, log_slope: float) -> object:
        return sigmoid(x, zero, end, 10**log_ec50, np.exp(log_slope))

    best, covariance = optimize.curve_fit(model, DOSE, y, p0=(100, 10, -0.5, 0.4))
    found = (curve.zero, curve.end, np.log10(curve.ec50), np.log(curve.slope))
    np.testing.assert_allclose(found, best, rtol=1e-4)
    np.testing.assert_allclose(curve.covariance, covariance, rtol=1e-2, atol=1e-6)


def test_the_interval_is_where_the_profile_meets_its_bound() -> None:
    y = noisy(4)
    curve = fit_curve(DOSE, y, interval=0.9)
    bound = curve.rss + curve.scale * stats.f.ppf(0.9, 1, curve.df)
    for end in (curve.ec50_low, curve.ec50_high):
        found = optimize.least_squares(
            lambda p, end=end: y - sigmoid(DOSE, p[0], p[1], end, np.exp(p[2])),
            (curve.zero, curve.end, np.log(curve.slope)),
        )
        assert 2 * found.cost == pytest.approx(bound, rel=1e-4)
    assert curve.ec50_low < curve.ec50 < curve.ec50_high


def test_counts_agree_with_the_likelihood_of_a_binomial() -> None:
    rng = np.random.default_rng(2)
    n = rng.integers(80, 200, DOSE.size)
    k = rng.binomial(n, sigmoid(DOSE, 0.9, 0.1, 0.4, 1.5))
    curve = fit_counts(DOSE, k, n)

    def loss(theta: np.ndarray) -> float:
        p = sigmoid(DOSE, theta[0], theta[1], 10 ** theta[2], np.exp(theta[3]))
        return -float(np.sum(k * np.log(p) + (n - k) * np.log(1 - p)))

    start = (0.9, 0.1, np.log10(0.4), np.log(1.5))
    options = {"xatol": 1e-7, "fatol": 1e-9, "maxiter": 4000}
    best = optimize.minimize(loss, start, method="Nelder-Mead", options=options).x
    found = (curve.zero, curve.end, np.log10(curve.ec50), np.log(curve.slope))
    np.testing.assert_allclose(found, best, atol=0.01)


@pytest.mark.parametrize(
    ("ec50", "slope", "top", "expected"),
    [
        (100, 0.8, 60, 13.4554),
        (100, 2, 100, 24.0199),
        (10, 2, 60, 22.5155),
        (2000, 0.8, 100, 8.1234),
    ],
)
def test_drug_sensitivity_score_as_published(
    ec50: float, slope: float, top: float, expected: float
) -> None:
    """Values of the authors' own R function, type 2, doses 1 to 10000."""
    curve = Curve("4pl", 0, top, ec50, slope, 0, 0, 1, 10000, 0, 1, 1, 0, 0, np.eye(4))
    assert drug_sensitivity_score(curve, inhibition=True) == pytest.approx(expected, abs=5e-5)
    percent = replace(curve, zero=100, end=100 - top)
    assert drug_sensitivity_score(percent, inhibition=False) == pytest.approx(expected, abs=5e-5)


def test_drug_sensitivity_score_is_the_area_it_says() -> None:
    curve = fit_curve(DOSE, noisy())
    x = np.linspace(-2, 1, 20001)
    above = np.maximum(100 - curve.predict(10**x) - 10, 0)
    area = np.trapezoid(above, x) / (3 * 90) * 100 / np.log10(100 - curve.end)
    assert drug_sensitivity_score(curve, inhibition=False) == pytest.approx(area, rel=1e-4)


def test_mean_is_the_integral_over_log_dose() -> None:
    curve = fit_curve(DOSE, noisy())
    x = np.linspace(-2, 1, 20001)
    assert curve.mean() == pytest.approx(np.trapezoid(curve.predict(10**x), x) / 3, rel=1e-6)


# Simulated truth.


def test_noise_free_data_give_the_truth() -> None:
    curve = fit_curve(DOSE, sigmoid(DOSE, 100, 10, 0.4, 1.5))
    assert (curve.top, curve.bottom, curve.ec50, curve.hill) == pytest.approx((100, 10, 0.4, 1.5))


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(11)
    dose = np.r_[np.zeros(12), np.repeat(10 ** np.linspace(-2, 1.5, 8), 3)]
    hits = []
    for _ in range(60):
        ec50, slope = 10 ** rng.uniform(-1.3, 0.8), rng.uniform(0.8, 2.5)
        p = sigmoid(dose, rng.uniform(0.7, 0.95), rng.uniform(0, 0.3), ec50, slope)
        n = rng.negative_binomial(5, 5 / 70, dose.size)
        k = rng.binomial(n, rng.beta(25 * p, 25 * (1 - p)))
        curve = fit_counts(dose, k, n, gain=100 / 0.9)
        # an open end holds everything beyond
        low, high = np.nan_to_num([curve.ec50_low, curve.ec50_high], nan=np.inf)
        hits.append((low == np.inf or low <= ec50) and ec50 <= high)
    assert np.mean(hits) >= 0.88  # 95 % less two and a half standard errors of 60 trials


def test_a_slope_is_seldom_seen_in_noise() -> None:
    rng = np.random.default_rng(12)
    curves = [fit_curve(DOSE, 100 + 5 * rng.normal(size=DOSE.size)) for _ in range(60)]
    assert sum(curve.model != "flat" for curve in curves) <= 8  # 5 % nominal


@pytest.mark.parametrize(("ec50", "where"), [(1e-4, "<min"), (0.4, "yes"), (60.0, ">max")])
def test_where_ec50_lies(ec50: float, where: str) -> None:
    curve = fit_curve(DOSE, sigmoid(DOSE, 100, 0, ec50, 1.5) + noisy(1, 1.0) - noisy(1, 0.0))
    assert curve.in_range == where


def test_rising_responses_have_a_negative_hill() -> None:
    curve = fit_curve(DOSE, 110 - noisy())
    falling = fit_curve(DOSE, noisy())
    assert curve.hill == pytest.approx(-falling.hill, rel=1e-4)
    assert curve.ec50 == pytest.approx(falling.ec50, rel=1e-5)
    assert curve.top > curve.bottom


@pytest.mark.parametrize("level", [0.0, 1.0, 87.3, -5.0])
def test_equal_responses_are_flat(level: float) -> None:
    curve = fit_curve(DOSE, np.full(DOSE.size, level))
    assert (curve.model, curve.in_range) == ("flat", "flat")
    assert curve.top == curve.bottom == pytest.approx(level)
    assert np.isnan([curve.ec50, curve.ec50_low, curve.ec50_high, curve.slope]).all()


def test_all_dead_or_all_alive_spots_can_be_fitted() -> None:
    n = np.full(DOSE.size, 50)
    curve = fit_counts(DOSE, np.where(DOSE < 0.2, 50, 0), n)
    assert curve.in_range == "yes"
    assert 0.1 <= curve.ec50 <= 0.3
    assert fit_counts(DOSE, n, n).model == "flat"


def test_missing_and_weightless_points_are_left_out() -> None:
    y = noisy()
    expected = fit_curve(DOSE, y)
    more = np.r_[y, np.nan, 500.0]
    found = fit_curve(np.r_[DOSE, 0.1, 0.1], more, weights=np.r_[np.ones(DOSE.size + 1), 0])
    assert found == expected


def test_spots_without_cells_are_left_out() -> None:
    n = np.full(DOSE.size, 60)
    k = np.rint(n * np.clip(noisy(), 0, 100) / 100)
    found = fit_counts(np.r_[DOSE, 1.0], np.r_[k, 0], np.r_[n, 0])
    assert found == fit_counts(DOSE, k, n)


def test_a_spot_with_few_cells_decides_less() -> None:
    n = np.full(DOSE.size, 100)
    k = np.rint(n * sigmoid(DOSE, 0.9, 0.1, 0.4, 1.5))
    clean = fit_counts(DOSE, k, n).end

    def end(cells: int) -> float:
        return fit_counts(np.r_[DOSE, 10.0], np.r_[k, cells], np.r_[n, cells]).end

    assert abs(end(3) - clean) < 0.3 * abs(end(100) - clean)


@pytest.mark.parametrize(
    ("dose", "response"),
    [([], []), ([1.0] * 8, range(8)), ([0, 1, 2] * 4, range(12)), ([0, 1, 2, 3, 4], range(5)),
     ([1, 2, 3, 4, 5, 6, 7], [np.nan] * 7)],
)  # fmt: skip
def test_too_little_to_fit_is_refused(dose: list[float], response: list[float]) -> None:
    with pytest.raises(ValueError, match="distinct doses"):
        fit_curve(dose, list(response))


def test_negative_doses_are_refused() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        fit_curve(-DOSE, noisy())


# Properties.


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(DOSE.size)))
def test_order_of_points_changes_no_bit(order: list[int]) -> None:
    y = noisy(5)
    assert fit_curve(DOSE[order], y[order]) == fit_curve(DOSE, y)


@settings(max_examples=5, deadline=None)
@given(st.permutations(range(DOSE.size)))
def test_order_of_counted_spots_changes_no_bit(order: list[int]) -> None:
    n = np.random.default_rng(1).integers(5, 90, DOSE.size)
    k = np.rint(n * np.clip(noisy(5), 0, 100) / 100)
    gain = np.linspace(100, 130, DOSE.size)
    found = fit_counts(DOSE[order], k[order], n[order], gain=gain[order])
    assert found == fit_counts(DOSE, k, n, gain=gain)


@settings(max_examples=10, deadline=None)
@given(st.floats(-6, 6))
def test_another_unit_of_dose_scales_ec50(power: float) -> None:
    factor = 10**power
    plain, scaled = fit_curve(DOSE, noisy(6)), fit_curve(DOSE * factor, noisy(6))
    for name in ("ec50", "ec50_low", "ec50_high"):
        assert getattr(scaled, name) == pytest.approx(factor * getattr(plain, name), rel=1e-4)
    assert scaled.hill == pytest.approx(plain.hill, rel=1e-4)
    assert scaled.rss == pytest.approx(plain.rss, rel=1e-9)


@settings(max_examples=10, deadline=None)
@given(st.floats(0.01, 100), st.floats(-100, 100))
def test_another_scale_of_the_response_leaves_ec50(gain: float, offset: float) -> None:
    plain, scaled = fit_curve(DOSE, noisy(7)), fit_curve(DOSE, gain * noisy(7) + offset)
    assert scaled.ec50 == pytest.approx(plain.ec50, rel=1e-4)
    assert scaled.top == pytest.approx(gain * plain.top + offset, abs=1e-3 * gain)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 150), min_size=8, max_size=8), st.integers(0, 99))
def test_any_data_give_an_honest_answer(levels: list[float], seed: int) -> None:
    y = np.repeat(levels, 3) + np.random.default_rng(seed).normal(size=DOSE.size)
    curve = fit_curve(DOSE, y, limits=(0, np.inf))
    assert curve.in_range in ("yes", "<min", ">max", "flat")
    assert np.isfinite([curve.top, curve.bottom, curve.mean()]).all()
    if curve.model == "4pl":
        assert 0.0999 <= curve.slope <= 10.001
        assert not curve.ec50_low > curve.ec50 * (1 + 1e-9)
        assert not curve.ec50_high < curve.ec50 * (1 - 1e-9)
        low, high = curve.band(DOSE, 0.95)
        assert (low <= curve.predict(DOSE)).all()
        assert (high >= curve.predict(DOSE)).all()
    assert 0 <= drug_sensitivity_score(curve, inhibition=False) <= 50


# More models than one.


RAT43 = [16.08, 33.83, 65.80, 97.20, 191.55, 326.20, 386.87, 520.53, 590.03, 651.92, 724.93,
         699.56, 689.96, 637.56, 717.41]  # fmt: skip


def test_rat43_as_nist_certifies() -> None:
    """y = b1 / (1 + exp(b2 - b3 x)) ** (1 / b4) is 5pl of dose exp(x) with its lower level at 0."""
    curve = fit_curve(np.exp(np.arange(1.0, 16)), RAT43, models=("5pl",), lower=0, small=True)
    own = curve.drc()
    b3 = -own["b"]
    found = (own["d"], np.log(own["e"]) * b3, b3, 1 / own["f"], curve.rss)
    expected = (699.64151270, 5.2771253025, 0.75962938329, 1.2792483859, 8786.4049080)
    assert found == pytest.approx(expected, rel=1e-7)
    assert np.sqrt(curve.scale) == pytest.approx(28.262414662, rel=1e-7)
    assert (own["d_se"], own["b_se"]) == pytest.approx((16.302297817, 0.19566123451), rel=1e-5)
    assert np.isnan(own["c_se"])
    assert curve.predict(curve.ec50) == pytest.approx(own["d"] / 2)  # the half effect, not e
    assert curve.ec50 < own["e"]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("model", "expected", "aic"),
    [
        ("5pl", {"b": 3.92870, "c": 0.32165, "d": 7.76054, "e": 2.21539, "f": 0.46831}, None),
        ("4pl", {"b": 2.98222, "c": 0.48141, "d": 7.79296, "e": 3.05795, "f": 1}, 42.31028644),
        ("3pl", {"c": 0}, 45.208),
    ],
)
def test_models_of_ryegrass_as_drc(
    shared: Path, model: Model, expected: dict[str, float], aic: float | None
) -> None:
    data = pd.read_csv(shared / "tables/drc_classic/ryegrass.csv")
    curve = fit_curve(data["conc"], data["rootl"], models=(model,))
    own = curve.drc()
    for name, value in expected.items():
        assert own[name] == pytest.approx(value, rel=1e-3 if model == "5pl" else 1e-5)
    if aic is not None:
        k = curve.n - curve.df + 1
        assert 2 * k - 2 * curve.log_likelihood == pytest.approx(aic, abs=6e-4)
    if model == "5pl":
        assert curve.rss <= 5.277047 * (1 + 1e-6)


@pytest.mark.shared
@pytest.mark.parametrize("choose", ["aicc", "f_test"])
def test_ryegrass_takes_four_parameters(shared: Path, choose: str) -> None:
    data = pd.read_csv(shared / "tables/drc_classic/ryegrass.csv")
    models = ("flat", "3pl", "4pl", "5pl")
    curve = fit_curve(data["conc"], data["rootl"], models=models, choose=choose)
    assert curve.model == "4pl"


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "dose", "response", "by", "falls"),
    [
        ("lettuce", "conc", "weight", None, True),
        ("M.bahia", "conc", "dryweight", None, True),
        ("terbuthylazin", "dose", "rgr", None, True),
        ("acidiq", "dose", "rgr", "pct", True),
        ("glymet", "dose", "rgr", "pct", True),
        ("vinclozolin", "conc", "effect", "exper", True),
    ],
)
def test_no_second_method_fits_the_classic_tables_better(
    shared: Path, name: str, dose: str, response: str, by: str | None, falls: bool
) -> None:
    rows = pd.read_csv(shared / f"tables/drc_classic/{name}.csv")
    for _, own in rows.groupby(by) if by else [(0, rows)]:
        x, y = own[dose].to_numpy(float), own[response].to_numpy(float)
        if len(np.unique(x)) < 5:
            continue  # controls that several mixtures share
        curve = fit_curve(x, y, models=("4pl",))
        assert (curve.hill > 0) == falls

        def off(p: np.ndarray, x: np.ndarray = x, y: np.ndarray = y) -> np.ndarray:
            return y - sigmoid(x, p[0], p[1], np.exp(p[2]), np.exp(p[3]))

        starts = [(y.max(), y.min(), np.log(d), b) for d in x[x > 0] for b in (-0.7, 0.4, 1.2)]
        low = (-np.inf, -np.inf, np.log(curve.low_dose / 100), np.log(0.1))
        high = (np.inf, np.inf, np.log(curve.high_dose * 100), np.log(10))
        room = 2 * np.ptp([y[x == d].mean() for d in np.unique(x)])
        for start in starts[::5]:
            found = optimize.least_squares(off, start, bounds=(low, high))
            inside = y.min() - room <= found.x[:2].min() and found.x[:2].max() <= y.max() + room
            assert not inside or curve.rss <= 2 * found.cost * (1 + 1e-6)


def test_selenium_and_finney_as_drc() -> None:
    """LL.2 of counts, each dose once: binomial, and the controls' few dead do not disturb."""
    dose = np.arange(0, 600, 100.0)
    total, dead = [151, 146, 116, 159, 150, 140], [3, 40, 31, 85, 102, 112]
    curve = fit_counts(dose, dead, total, models=("2pl",), small=True)
    own = curve.drc()
    assert (own["b"], own["e"]) == pytest.approx((-1.5035, 252.25555), rel=5e-5)
    assert own["e_se"] == pytest.approx(13.826825, rel=2e-3)
    assert (curve.rho, curve.top, curve.bottom) == (0, 1, 0)
    without = fit_counts(dose[1:], dead[1:], total[1:], models=("2pl",), small=True)
    assert without.ec50 == pytest.approx(curve.ec50, rel=1e-8)
    assert without.log_likelihood == pytest.approx(curve.log_likelihood)


def test_an_asymmetric_curve_is_found_and_earns_its_place() -> None:
    rng = np.random.default_rng(8)
    dose = np.repeat(np.r_[0, 10 ** np.linspace(-2, 2, 12)], 4)
    f, slope, ec50 = 0.15, 4.0, 0.5
    z = slope * np.log(np.maximum(dose, 1e-300) / ec50) + np.log(2 ** (1 / f) - 1)
    y = 10 + 90 * np.where(dose > 0, np.exp(-f * np.logaddexp(0, z)), 1)
    noisy_y = y + rng.normal(size=dose.size)
    models = ("flat", "3pl", "4pl", "5pl")
    for choose in ("aicc", "f_test"):
        curve = fit_curve(dose, noisy_y, models=models, choose=choose)
        assert curve.model == "5pl"
        assert curve.ec50_low < ec50 < curve.ec50_high
    clean = fit_curve(dose, y, models=("5pl",))
    assert (clean.ec50, clean.slope, clean.asymmetry) == pytest.approx((ec50, slope, f), rel=1e-4)
    x = np.linspace(-2, 2, 40001)
    assert clean.mean() == pytest.approx(np.trapezoid(clean.predict(10**x), x) / 4, rel=1e-6)
    own = clean.drc()
    again = own["c"] + (own["d"] - own["c"]) / (1 + (dose / own["e"]) ** own["b"]) ** own["f"]
    np.testing.assert_allclose(again, clean.predict(dose))
    mirror = fit_curve(dose, 100 - y, models=("5pl",))  # another family: it need not fit as well
    assert mirror.zero < mirror.end


def test_a_bottom_well_above_nothing_is_not_forced_there() -> None:
    y = sigmoid(DOSE, 100, 40, 0.4, 1.5) + np.random.default_rng(1).normal(size=DOSE.size) * 3
    for choose in ("aicc", "f_test"):
        curve = fit_curve(DOSE, y, models=("flat", "3pl", "4pl"), choose=choose)
        assert (curve.model, curve.bottom) == ("4pl", pytest.approx(40, abs=4))
    gone = fit_curve(DOSE, y - 40, models=("flat", "3pl", "4pl"), choose="f_test")
    assert (gone.model, gone.bottom) == ("3pl", 0)


@pytest.mark.parametrize("fixed", [{"lower": 10.0}, {"upper": 100.0}, {"lower": 10, "upper": 100}])
def test_levels_that_are_fixed_stay(fixed: dict[str, float]) -> None:
    for y in (noisy(), 110 - noisy()):
        curve = fit_curve(DOSE, y, models=("4pl",), **fixed)
        assert curve.bottom == fixed.get("lower", curve.bottom)
        assert curve.top == fixed.get("upper", curve.top)
        assert curve.df == DOSE.size - 4 + len(fixed)
        assert curve.ec50 == pytest.approx(0.4, rel=0.2)
        assert curve.ec50_low < curve.ec50 < curve.ec50_high


@pytest.mark.parametrize("counted", [False, True])
def test_the_interval_of_a_level_is_where_its_profile_meets_the_bound(counted: bool) -> None:
    """By a second method: the curve is made to pass the level at the end, and fitted again."""
    y = noisy(4)
    if counted:
        n = np.full(DOSE.size, 100)
        k = np.rint(np.clip(y, 0, 100))
        curve, level = fit_counts(DOSE, k, n), 0.5
    else:
        curve, level = fit_curve(DOSE, y), 50.0
    dose, low, high = curve.absolute(level)
    assert low < dose < high
    assert curve.predict(dose) == pytest.approx(level)
    assert curve.objective is not None
    bound = curve.objective.value(curve.objective.best)[0] + curve.rise
    for end in (low, high):

        def loss(p: np.ndarray, end: float = end) -> float:
            share = (level - p[1]) / (p[0] - p[1])
            if not 0 < share < 1:
                return 1e9
            ec50 = np.log10(end) - np.log10(1 / share - 1) / np.exp(p[2])
            assert curve.objective is not None
            theta = np.array([p[0], p[1], ec50, p[2], 0.0, *p[3:]])
            return curve.objective.value(theta)[0]

        start = [curve.zero, curve.end, np.log(curve.slope)]
        start += [curve.objective.best[5]] if counted else []
        options = {"xatol": 1e-9, "fatol": 1e-9, "maxiter": 6000, "maxfev": 6000}
        found = optimize.minimize(loss, start, method="Nelder-Mead", options=options)
        assert found.fun == pytest.approx(bound, abs=2e-3)


def test_spots_that_scatter_more_have_wider_intervals_and_a_larger_rho() -> None:
    rng = np.random.default_rng(5)
    dose = np.r_[np.zeros(12), np.repeat(10 ** np.linspace(-2, 1.5, 8), 3)]
    p = sigmoid(dose, 0.9, 0.1, 0.4, 1.5)
    n = np.full(dose.size, 120)
    calm = fit_counts(dose, rng.binomial(n, p), n)
    wild = fit_counts(dose, rng.binomial(n, rng.beta(10 * p, 10 * (1 - p))), n)
    assert calm.rho < 0.01
    assert 0.04 < wild.rho < 0.2  # truth: 1 / 11
    widths = [np.log(c.ec50_high / c.ec50_low) for c in (calm, wild)]
    assert widths[1] > 1.7 * widths[0]


def test_the_likelihood_is_that_of_a_beta_binomial() -> None:
    n = np.full(DOSE.size, 60)
    k = np.rint(n * np.clip(noisy(2, sd=9), 0, 100) / 100).astype(int)
    curve = fit_counts(DOSE, k, n)
    phi = 1 / curve.rho - 1
    p = curve.predict(DOSE)
    expected = stats.betabinom.logpmf(k, n, p * phi, (1 - p) * phi).sum()
    assert curve.log_likelihood == pytest.approx(expected, rel=1e-8)


def test_small_tables_are_fitted_on_request() -> None:
    dose, y = [1.0, 3, 10, 30], [98.0, 80, 25, 4]
    with pytest.raises(ValueError, match="distinct doses"):
        fit_curve(dose, y)
    curve = fit_curve(dose, y, models=("3pl",), small=True)
    assert (curve.model, curve.df) == ("3pl", 1)
    assert 3 < curve.ec50 < 10
    with pytest.raises(ValueError, match="too few"):
        fit_curve(dose, y, models=("4pl",), small=True)


@pytest.mark.parametrize(
    ("kind", "scores"),
    [
        (1, (23.9257, 48.0397, 40.0360, 16.2468)),
        (2, (13.4554, 24.0199, 22.5155, 8.1234)),
        (3, (19.3334, 29.7501, 37.7077, 7.6838)),
    ],
)
def test_scores_of_all_types_as_published(
    kind: Literal[1, 2, 3], scores: tuple[float, ...]
) -> None:
    parameters = [(100, 0.8, 60), (100, 2, 100), (10, 2, 60), (2000, 0.8, 100)]
    for (ec50, slope, top), expected in zip(parameters, scores, strict=True):
        curve = Curve("4pl", 0, top, ec50, slope, 0, 0, 1, 10000, 0, 1, 1, 0, 0, np.eye(4))
        found = drug_sensitivity_score(curve, inhibition=True, kind=kind)
        assert found == pytest.approx(expected, abs=5e-5)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=8, max_size=8),
    st.integers(1, 150),
    st.integers(0, 99),
    st.booleans(),
)
def test_any_counts_give_an_honest_answer(
    levels: list[float], cells: int, seed: int, small: bool
) -> None:
    rng = np.random.default_rng(seed)
    n = rng.integers(0, cells + 1, DOSE.size)
    k = rng.binomial(n, np.repeat(levels, 3))
    if (n > 0).sum() < 20:
        return
    curve = fit_counts(DOSE, k, n, small=small, models=("flat", "3pl", "4pl"))
    assert curve.in_range in ("yes", "<min", ">max", "flat")
    assert 0 <= curve.bottom <= curve.top <= 1
    assert 0 <= curve.rho < 1
    if curve.model != "flat":
        assert not curve.ec50_low > curve.ec50 * (1 + 1e-6)
        assert not curve.ec50_high < curve.ec50 * (1 - 1e-6)
        dose, low, high = curve.absolute(curve.zero / 2)
        assert np.isnan(dose) or not (low > dose * (1 + 1e-6) or high < dose * (1 - 1e-6))

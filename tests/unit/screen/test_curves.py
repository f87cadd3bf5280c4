"""The curve fit against published fits, against a second method, and against simulated truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from gridwell.screen.curves import Curve, fit_counts, fit_curve
from gridwell.screen.sensitivity import drug_sensitivity_score
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

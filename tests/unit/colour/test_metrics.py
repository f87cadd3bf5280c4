"""The registry of metrics."""

from __future__ import annotations

import numpy as np
import pytest
from gridwell.colour.metrics import (
    METRICS,
    PLAIN,
    Learned,
    absorbance,
    feature,
    learn,
    number,
    widest_gap,
)
from gridwell.colour.spaces import to_lab
from gridwell.config.colour_calibration import LEARNED
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.colour.indicator import LEVELS, spots_of


def test_every_name_of_the_option_is_a_metric() -> None:
    assert {*PLAIN, "delta_e", *LEARNED} == set(METRICS)
    linear, value = spots_of(LEVELS)
    for metric in METRICS:
        learned = learn(linear, value, metric)
        assert learned is not None
        found = feature(linear, metric, learned)
        assert found.shape == (len(value), 3 if metric == "lab_curve" else 1)
        assert np.isfinite(found).all(), metric


def test_metrics_of_pure_red() -> None:
    red = np.array([[1.0, 0.0, 0.0]])
    expected = {
        "gray": 0.2126729, "red": 1.0, "blue": 0.0, "lightness": 53.24, "a": 80.09, "hue": 0.0,
        "lab_hue": 40.0, "saturation": 1.0, "absorbance_red": 0.0, "absorbance_green": 4.0,
        "red_green": 4.0, "blue_red": -4.0,
    }  # fmt: skip
    found = {metric: float(number(red, metric, Learned())[0]) for metric in expected}
    assert found == pytest.approx(expected, abs=0.02)


def test_delta_e_is_ciede2000_of_the_reference() -> None:
    # Sharma, Wu and Dalal (2005), first pair of their table.
    one, other = np.array([50, 2.6772, -79.7751]), np.array([50, 0, -82.7485])
    linear = _linear_of(other)
    learned = Learned(reference=tuple(one))
    assert number(linear[None], "delta_e", learned)[0] == pytest.approx(2.0425, abs=2e-3)


def _linear_of(lab: np.ndarray) -> np.ndarray:
    from scipy.optimize import root

    return root(lambda linear: to_lab(linear) - lab, np.array([0.1, 0.2, 0.9])).x


@given(st.lists(st.floats(0, 359.9), min_size=2, max_size=20), st.floats(0, 360))
def test_a_hue_is_cut_in_its_widest_gap_wherever_the_circle_begins(
    hues: list[float], turn: float
) -> None:
    known = np.array(hues)
    cut = widest_gap(known)
    assert cut is not None
    spread = np.ptp((known - cut) % 360)
    turned = (known + turn) % 360
    again = widest_gap(turned)
    assert again is not None
    assert np.ptp((turned - again) % 360) == pytest.approx(spread, abs=1e-6)
    assert spread <= np.ptp(known) + 1e-9


def test_reds_on_both_sides_of_zero_are_neighbours() -> None:
    linear = np.array([[0.8, 0.1, 0.2], [0.8, 0.15, 0.15], [0.8, 0.2, 0.1]])
    learned = learn(linear, np.array([1.0, 2, 3]), "hue")
    assert learned is not None
    assert (np.diff(feature(linear, "hue", learned)[:, 0]) > 0).all()
    assert number(linear, "hue", learned)[0] > 300
    assert number(linear, "hue", learned)[2] < 60


@settings(max_examples=25)
@given(st.floats(0.2, 3.0))
def test_ratios_and_hues_do_not_depend_on_exposure(exposure: float) -> None:
    linear, _ = spots_of(LEVELS)
    for metric in ("red_green", "green_blue", "blue_red", "lab_hue"):
        np.testing.assert_allclose(
            number(exposure * linear, metric, Learned()),
            number(linear, metric, Learned()),
            atol=0.02 if metric != "lab_hue" else 3.0,
        )


def test_absorbance_follows_beer_and_lambert() -> None:
    np.testing.assert_allclose(absorbance(np.array([1.0, 0.1, 0.01])), [0, 1, 2])
    assert absorbance(np.array(0.0)) == 4


@pytest.mark.parametrize("metric", ["pca", "lda", "pls"])
def test_learned_numbers_rise_with_the_value(metric: str) -> None:
    linear, value = spots_of(LEVELS)
    learned = learn(linear, value, metric)
    assert learned is not None
    assert np.corrcoef(number(linear, metric, learned), value)[0, 1] > 0.8


def test_lda_needs_replicates() -> None:
    linear, value = spots_of(LEVELS, count=1)
    assert learn(linear, value, "lda") is None

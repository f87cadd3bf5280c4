"""Agreement of replicate spots and of slides; EC50s pooled."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from gridwell.screen.pooling import pool_ec50
from gridwell.screen.replicates import concordance, replicate_table, within_slide


def _spots(slide: str, level: np.ndarray, rng: np.random.Generator, sd: float) -> pd.DataFrame:
    """Three spots of each of some doses of an agent."""
    dose = np.repeat(2.0 ** np.arange(len(level)), 3)
    value = np.repeat(level, 3) + sd * rng.normal(size=len(dose))
    return pd.DataFrame(
        {
            "slide": slide,
            "group": "g",
            "assay": "viability",
            "metric": "viability",
            "normalise": "percent_of_control",
            "time_h": np.nan,
            "role": "sample",
            "agent": "a",
            "sample": None,
            "doses": None,
            "concentration": dose,
            "measured": value / 100,
            "normalised": value,
            "counts": True,
        }
    )


LEVEL = np.linspace(100, 10, 12)


def test_replicates_within_a_slide_by_hand() -> None:
    table = _spots("s", np.array([10.0, 20.0]), np.random.default_rng(0), 0)
    table["measured"] = [9, 10, 11, 18, 20, 22]
    found = within_slide(table, 2.0)
    assert found["n_replicated"] == 2
    assert found["replicate_sd"] == pytest.approx(2 * np.sqrt(2.5))
    assert found["replicate_cv"] == pytest.approx(100 * np.sqrt(2.5) / 15)
    # mean squares: between 3 * (5^2 + 5^2) / 1 = 150, within 2.5
    assert found["replicate_icc"] == pytest.approx((150 - 2.5) / (150 + 2 * 2.5))


def test_no_replicates_no_numbers() -> None:
    table = _spots("s", LEVEL, np.random.default_rng(0), 1).iloc[::3]
    found = within_slide(table, 1.0)
    assert found.pop("n_replicated") == 0
    assert np.isnan(list(found.values())).all()


def test_lins_concordance() -> None:
    x = np.array([1.0, 2.0, 3.0])
    assert concordance(x, x) == pytest.approx(1)
    assert concordance(x, x + 1) == pytest.approx(2 * (2 / 3) / (4 / 3 + 1))
    assert concordance(x, x[::-1]) == pytest.approx(-1)


def test_slides_that_tell_the_same_agree() -> None:
    rng = np.random.default_rng(1)
    flagged = 0
    for _ in range(50):
        slides = pd.concat([_spots(name, LEVEL, rng, 8) for name in ("s1", "s2")])
        pair = replicate_table(slides).iloc[0]
        flagged += pair["flags"] != ""
        assert pair["n"] == 12
        assert pair["concordance"] > 0.9
    assert flagged <= 1


def test_slides_that_differ_are_told() -> None:
    rng = np.random.default_rng(2)
    bad = LEVEL[::-1] * 0.4 + LEVEL * 0.6
    slides = pd.concat([_spots(*s, rng, 5) for s in (("s1", LEVEL), ("s2", LEVEL), ("s3", bad))])
    pairs = replicate_table(slides).set_index(["slide_a", "slide_b"])
    assert pairs["flags"].tolist() == ["", "slides_disagree", "slides_disagree"]
    assert pairs.loc[("s1", "s3"), "excess"] > 10
    assert pairs.loc[("s1", "s2"), "excess"] < 5


def test_a_small_shift_is_shown_and_not_flagged() -> None:
    rng = np.random.default_rng(3)
    slides = pd.concat([_spots("s1", LEVEL, rng, 2), _spots("s2", LEVEL - 6, rng, 2)])
    pair = replicate_table(slides).iloc[0]
    assert pair["p"] < 0.01
    assert pair["difference"] == pytest.approx(-6, abs=1.5)
    assert pair["flags"] == ""


def test_slides_that_share_little_or_nothing() -> None:
    rng = np.random.default_rng(4)
    one, other = _spots("s1", LEVEL[:3], rng, 2), _spots("s2", LEVEL[:3], rng, 2)
    assert replicate_table(pd.concat([one, other]))["flags"].tolist() == ["few_doses"]
    assert replicate_table(pd.concat([one, other.assign(agent="b")])).empty
    assert replicate_table(pd.concat([one, other.assign(group="h")])).empty


# Pooled EC50s.


def test_pooled_ec50_of_alike_estimates_is_theirs() -> None:
    pooled = pool_ec50([1.0, 1.0], [0.8, 0.8], [1.25, 1.25], 0.95)
    assert pooled.ec50 == pytest.approx(1)
    assert 0.8 < pooled.low < 1 < pooled.high < 1.25
    assert pooled.i2 == 0


def test_pooled_ec50_covers_the_centre_of_the_groups() -> None:
    rng = np.random.default_rng(5)
    covered = []
    for _ in range(200):
        true = rng.normal(0, 0.2, 6)
        se = rng.uniform(0.05, 0.15, 6)
        log = true + se * rng.normal(size=6)
        low, high = 10 ** (log - 1.96 * se), 10 ** (log + 1.96 * se)
        pooled = pool_ec50(10**log, low, high, 0.95)
        covered.append(pooled.low < 1 < pooled.high)
    assert 0.9 <= np.mean(covered) <= 0.99


def test_an_open_interval_still_counts_and_none_does_not() -> None:
    open_end = pool_ec50([1.0, 2.0], [0.5, 1.0], [2.0, np.nan], 0.95)
    assert open_end.n == 2
    assert pool_ec50([1.0, 2.0], [0.5, np.nan], [2.0, np.nan], 0.95).n == 1
    assert np.isnan(pool_ec50([1.0], [0.5], [2.0], 0.95).ec50)
    assert pool_ec50([], [], [], 0.95).n == 0


def test_the_order_of_groups_changes_nothing() -> None:
    values = [1.0, 2.1, 0.7], [0.5, 1.2, 0.4], [2.0, 4.0, 1.1]
    backwards = [part[::-1] for part in values]
    assert pool_ec50(*values, 0.95) == pool_ec50(*backwards, 0.95)

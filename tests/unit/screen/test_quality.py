"""Statistics of controls and edges against worked numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from gridwell.screen.quality import control_statistics, edge_effect, read_grid_facts
from hypothesis import given
from hypothesis import strategies as st


def test_control_statistics_by_hand() -> None:
    found = control_statistics(np.array([9.0, 10, 11]), np.array([0.0, 2.0]))
    sd = np.sqrt(2)
    assert found["z_prime"] == pytest.approx(1 - 3 * (1 + sd) / 9)
    assert found["robust_z_prime"] == pytest.approx(1 - 3 * 1.4826 * 2 / 9)
    assert found["ssmd"] == pytest.approx(9 / np.sqrt(3))
    assert (found["n_neg_ctrl"], found["n_pos_ctrl"]) == (3, 2)
    assert (found["neg_ctrl_median"], found["pos_ctrl_median"]) == (10, 1)
    assert (found["neg_ctrl_sd"], found["pos_ctrl_sd"]) == pytest.approx((1, sd))


@pytest.mark.parametrize(("neg", "pos"), [([], []), ([1.0], [0.0]), ([1.0, 2.0], [])])
def test_too_few_controls_give_no_number(neg: list[float], pos: list[float]) -> None:
    found = control_statistics(np.array(neg), np.array(pos))
    assert np.isnan([found["z_prime"], found["robust_z_prime"], found["ssmd"]]).all()


def test_controls_that_are_all_alike_give_no_number() -> None:
    found = control_statistics(np.ones(4), np.ones(4))
    assert np.isnan([found["z_prime"], found["ssmd"]]).all()


@given(st.floats(0.01, 100), st.floats(-100, 100))
def test_scale_and_offset_do_not_change_separation(gain: float, offset: float) -> None:
    rng = np.random.default_rng(0)
    neg, pos = rng.normal(100, 5, 12), rng.normal(10, 3, 9)
    plain = control_statistics(neg, pos)
    scaled = control_statistics(gain * neg + offset, gain * pos + offset)
    for name in ("z_prime", "robust_z_prime", "ssmd"):
        assert scaled[name] == pytest.approx(plain[name], rel=1e-6)


def test_edge_effect() -> None:
    row, col = (pd.Series(a.ravel()) for a in np.indices((5, 6)))
    value = pd.Series(100.0, index=row.index)
    value[row.isin((0, 4)) | col.isin((0, 5))] = 80.0
    assert edge_effect(value, row, col, 5, 6) == pytest.approx(-20)
    assert edge_effect(value, row + 1, col + 1, 7, 8) != edge_effect(value, row, col, 5, 6)
    assert np.isnan(edge_effect(value[:3], row[:3], col[:3], 5, 6))


@pytest.mark.parametrize("found", [7, [True, False, True]])
def test_grid_facts(tmp_path: Path, found: object) -> None:
    path = tmp_path / "grid.json"
    path.write_text(json.dumps({"rows": 2, "cols": 3, "confidence": 0.5, "found": found}))
    expected = {"rows": 2, "cols": 3, "confidence": 0.5}
    assert read_grid_facts(path) == expected | {"found": 7 if found == 7 else 2}

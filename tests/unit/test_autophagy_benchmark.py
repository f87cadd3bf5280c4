"""What the benchmark of simulated autophagy compares and prints."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from gridwell.phantom.autophagy import Autophagy, Events


@pytest.fixture(scope="module")
def benchmark(repository):
    sys.path.insert(0, str(repository / "benchmarks"))
    try:
        import autophagy

        yield autophagy
    finally:
        sys.path.remove(str(repository / "benchmarks"))


def image_of(classes: np.ndarray) -> Autophagy:
    """Two spots on an even background, one of each colour."""
    image = np.full((2, *classes.shape), 100, np.uint16)
    image[0][classes == 1] = 2000
    image[1][classes == 2] = 2000
    none = np.zeros(0)
    return Autophagy(image, classes, classes.astype(np.int32), Events(none, none, none))


@pytest.fixture
def classes():
    found = np.zeros((64, 64), np.int16)
    found[10:18, 10:18] = 1
    found[40:48, 40:48] = 2
    return found


def test_the_conventional_teacher_goes_by_the_stronger_channel(benchmark, classes):
    labels = benchmark.by_ratio(image_of(classes), 0)
    assert labels[14, 14] == 1 and labels[44, 44] == 2
    assert np.count_nonzero(labels != classes) < 0.02 * classes.size


def test_a_student_is_compared_with_its_own_teacher(benchmark):
    rows = [
        benchmark.Row(name, 0, np.zeros((1, 15))) for name in ("CIP", "CIP, by ratio", "CDL", "MDL")
    ]
    rows.append(benchmark.Row("CDL, by ratio", 8, np.zeros((1, 15))))
    assert benchmark.teacher_of(rows[-1], rows).name == "CIP, by ratio"
    assert benchmark.teacher_of(rows[2], rows).name == "CIP"
    assert benchmark.teacher_of(rows[3], rows).name == "CIP"
    assert benchmark.teacher_of(rows[1], rows) is rows[1]


def test_a_row_tells_scores_and_gain(benchmark, classes):
    half = np.where(classes == 2, 0, classes)
    right = benchmark.Row("CDL", 8, np.stack([benchmark.tally(classes, classes)] * 3))
    wrong = benchmark.Row("CIP", 0, np.stack([benchmark.tally(classes, half)] * 3))
    told = benchmark.describe(right, wrong)
    background = 64 * 64 - 128
    expected = 100 * (1 + background / (background + 64) + 0) / 3
    assert told["mean_iou"] == pytest.approx(100)
    assert told["gain"] == pytest.approx(100 - expected)
    assert told["gain_interval"] == pytest.approx([100 - expected] * 2)
    assert "| CDL | 8 | 100.0 (100.0 to 100.0) |" in benchmark.markdown([told])

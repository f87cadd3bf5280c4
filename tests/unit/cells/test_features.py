"""Features against scikit-image and against counting by hand."""

from __future__ import annotations

import warnings

import cv2
import numpy as np
import pandas as pd
import pytest
from gridwell.cells.features import measure
from gridwell.config.columns import column_names
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage.measure import label, regionprops_table

SAME = {
    "area": "area",
    "x": "centroid-1",
    "y": "centroid-0",
    "eccentricity": "eccentricity",
    "major_axis": "axis_major_length",
    "minor_axis": "axis_minor_length",
    "solidity": "solidity",
    "mean": "intensity_mean",
    "median": "intensity_median",
    "max": "intensity_max",
}


def blobs(seed: int, size: int = 220, sigma: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rough = cv2.GaussianBlur(rng.random((size, size + 13)), (0, 0), sigma)
    return label(rough > 0.52), rng.integers(0, 65536, rough.shape).astype(np.uint16)


def reference(labels: np.ndarray, image: np.ndarray) -> pd.DataFrame:
    names = ("label", "centroid", "orientation", *(v for v in SAME.values() if "-" not in v))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pd.DataFrame(regionprops_table(labels, image, properties=names))


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_scikit_image(seed: int) -> None:
    labels, image = blobs(seed, sigma=1.0 + seed)
    found, known = measure(labels, image, {}, 5.0), reference(labels, image)
    assert ["spot", *found.columns] == column_names("instances/<channel>.parquet")
    assert found["label"].tolist() == known["label"].tolist()
    for ours, theirs in SAME.items():
        scale = np.maximum(known[theirs].abs(), 1)
        assert ((found[ours] - known[theirs]).abs() / scale).max() < 1e-6, ours
    # scikit-image turns from the row axis; ours from x, clockwise on screen.
    angle = np.degrees(np.arctan2(np.cos(known["orientation"]), np.sin(known["orientation"])))
    apart = (found["orientation"] - angle + 90) % 180 - 90
    elongated = found["eccentricity"] > 1e-6
    assert (
        apart[elongated & ((known["orientation"].abs() - np.pi / 4).abs() > 1e-9)].abs().max()
        < 1e-6
    )
    assert found["orientation"].between(-90, 90, inclusive="right").all()


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.uint8,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=3, max_side=12),
        elements=st.integers(0, 3),
    )
)
def test_any_labels_equal_scikit_image(labels: np.ndarray) -> None:
    image = (np.arange(labels.size).reshape(labels.shape) * 7 % 251).astype(np.uint8)
    found = measure(labels, image, {}, 2.0)
    names = np.unique(labels[labels > 0])
    assert found["label"].tolist() == names.tolist()
    if len(names) == 0:
        return
    known = reference(labels.astype(int), image)
    for ours, theirs in SAME.items():
        # Its hull fails on single pixels and lines of some versions; ours counts them as 1.
        assert np.allclose(found[ours], known[theirs], rtol=1e-6, atol=1e-6), ours


@pytest.mark.parametrize("angle", [-80, -30, 0, 20, 45, 90])
def test_orientation_is_clockwise_on_screen(angle: float) -> None:
    labels = np.zeros((120, 120), np.uint8)
    cv2.ellipse(labels, (60, 60), (40, 12), angle, 0, 360, 1, -1)  # clockwise, as y points down
    found = measure(labels, labels, {}, 3.0)["orientation"][0]
    assert (found - angle + 90) % 180 - 90 == pytest.approx(0, abs=0.6)


def test_rings_and_background_by_hand() -> None:
    labels = np.zeros((60, 60), np.uint32)
    labels[20:30, 20:30] = 4
    labels[20:30, 33:40] = 9
    rng = np.random.default_rng(5)
    image = rng.integers(0, 1000, labels.shape).astype(np.uint16)
    other = rng.integers(0, 1000, labels.shape).astype(np.uint16)
    table = measure(labels, image, {"gfp": other}, 4.0)
    assert list(table.columns[-2:]) == ["mean_gfp", "ring_gfp"]
    away, (iy, ix) = ndimage.distance_transform_edt(labels == 0, return_indices=True)
    for row in table.itertuples():
        mine = (labels[iy, ix] == row.label) & (away > 1.2) & (away <= 4.6)
        # The fast distance is within some percent of the true one.
        assert row.background == pytest.approx(np.median(image[mine]), rel=0.15)
        assert row.ring_gfp == pytest.approx(other[mine].mean(), rel=0.1)
        assert row.mean_gfp == pytest.approx(other[labels == row.label].mean())


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.uint8,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24),
        elements=st.integers(0, 3),
        fill=st.just(0),
    ),
    st.floats(0, 30, width=16),
)
def test_rings_are_those_of_opencv(labels: np.ndarray, ring: float) -> None:
    image = np.random.default_rng(labels.size).integers(0, 2**16, labels.shape, np.uint16)
    table = measure(labels, image, {"own": image}, ring)
    if labels.any():
        away, nearest = cv2.distanceTransformWithLabels(
            (labels == 0).astype(np.uint8),
            cv2.DIST_L2,
            cv2.DIST_MASK_5,
            labelType=cv2.DIST_LABEL_PIXEL,
        )
        owner = labels[labels > 0][nearest - 1]
        for row in table.itertuples():
            mine = image[(owner == row.label) & (away > 1.2) & (away <= 1.2 + ring)]
            assert np.isnan(row.ring_own) if mine.size == 0 else row.ring_own == mine.mean()
            assert mine.size == 0 or row.background == np.median(mine)


def test_rings_hold_no_other_object_and_no_rim_of_their_own() -> None:
    labels = np.zeros((40, 40), np.uint8)
    labels[10:20, 10:20], labels[10:20, 22:30] = 1, 2
    image = np.where(labels == 2, 200, 10).astype(np.uint8)
    image[9, :] = 255  # touches the object: no part of its ring
    table = measure(labels, image, {}, 3.0)
    assert table["background"].tolist() == [10, 10]


def test_without_a_ring_the_background_is_that_of_the_spot() -> None:
    labels = np.ones((20, 20), np.uint8)
    labels[5:15, 5:15] = 2
    labels[0, 0] = 0
    image = np.full((20, 20), 50, np.uint8)
    image[0, 0] = 7
    table = measure(labels, image, {"b": image}, 3.0)
    assert table["background"].tolist() == [7, 7]
    assert table["ring_b"].isna().all()


def test_edges_are_those_of_the_crop_and_of_the_outline() -> None:
    labels = np.zeros((50, 50), np.uint8)
    labels[0:4, 20:24], labels[20:24, 8:12], labels[30:34, 30:34] = 1, 2, 3
    mask = np.zeros(labels.shape, bool)
    mask[:, 10:] = True
    assert measure(labels, labels, {}, 3.0, mask)["edge"].tolist() == [True, True, False]
    assert measure(labels, labels, {}, 3.0)["edge"].tolist() == [True, False, False]


def test_no_objects() -> None:
    nothing = np.zeros((20, 20), np.uint32)
    table = measure(nothing, nothing.astype(np.uint16), {"b": nothing}, 3.0)
    assert len(table) == 0
    assert list(table.columns)[-2:] == ["mean_b", "ring_b"]
    assert table["label"].dtype == np.int64
    assert table["edge"].dtype == bool

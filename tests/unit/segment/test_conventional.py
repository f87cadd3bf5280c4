"""The conventional segmentation against discs, noise and real nuclei with known outlines."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
from gridwell.config.models import SegmentMethod
from gridwell.segment.conventional import segment_spot
from gridwell.segment.light import LIGHTS, correct_light, deconvolved
from gridwell.segment.split import SPLITS
from gridwell.segment.threshold import THRESHOLDS
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.optimize import linear_sum_assignment

local = partial(SegmentMethod, method="local")
METHOD = local()


def scene(
    places: list[tuple[float, float, float, float]],
    *,
    size: int = 160,
    seed: int = 0,
    noise: float = 8.0,
    slope: float = 60.0,
) -> np.ndarray:
    """Discs (x, y, radius, height), blurred, on a slanted background with noise."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[:size, :size]
    image = np.zeros((size, size), np.float32)
    for x, y, radius, height in places:
        disc = height * np.clip(radius + 0.5 - np.hypot(xx - x, yy - y), 0, 1)
        image = np.maximum(image, disc)
    image = cv2.GaussianBlur(image, (0, 0), 1.0) + 200 + slope * (xx + yy) / (2 * size)
    noisy = image + rng.normal(0, noise, image.shape)
    return np.clip(np.rint(noisy), 0, 65535).astype(np.uint16)


def centres(labels: np.ndarray) -> np.ndarray:
    count = int(labels.max())
    yy, xx = np.indices(labels.shape)
    size = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    x = np.bincount(labels.ravel(), xx.ravel(), count + 1)[1:] / size
    y = np.bincount(labels.ravel(), yy.ravel(), count + 1)[1:] / size
    return np.stack([x, y], axis=1)


DISCS = [(30, 30, 5, 500), (80, 40, 8, 300), (120, 120, 6, 900), (40, 110, 4.5, 250)]


@pytest.mark.parametrize("method", ["local", "otsu"])
def test_discs_are_found_with_their_places_and_areas(method: str) -> None:
    labels = segment_spot(scene(DISCS), local(method=method))
    assert labels.dtype == np.uint32
    assert labels.max() == len(DISCS)
    found = centres(labels)
    for x, y, radius, _ in DISCS:
        away = np.hypot(*(found - (x, y)).T)
        assert away.min() < 0.3
        # One threshold for all makes faint objects small and bright ones large.
        area = (labels == away.argmin() + 1).sum()
        assert area == pytest.approx(np.pi * radius**2, rel=0.25 if method == "local" else 0.6)


@pytest.mark.parametrize("method", ["local", "otsu"])
@pytest.mark.parametrize("seed", range(6))
def test_spots_without_cells_stay_empty(method: str, seed: int) -> None:
    image = scene([], seed=seed, size=220, slope=150)
    assert segment_spot(image, local(method=method)).max() == 0


def test_flat_images_stay_empty() -> None:
    for value in (0, 7, 65535):
        assert segment_spot(np.full((60, 70), value, np.uint16), METHOD).max() == 0


def test_eight_bit_images_with_a_black_background() -> None:
    image = np.zeros((100, 100), np.uint8)
    cv2.circle(image, (50, 50), 8, 90, -1)
    assert segment_spot(image, METHOD).max() == 1


def test_labels_count_in_raster_order() -> None:
    labels = segment_spot(scene(DISCS), METHOD)
    first = [np.flatnonzero(labels.ravel() == k)[0] for k in range(1, labels.max() + 1)]
    assert first == sorted(first)


@settings(max_examples=15, deadline=None)
@given(offset=st.integers(0, 30_000), gain=st.integers(1, 20))
def test_brightness_and_black_level_do_not_matter(offset: int, gain: int) -> None:
    image = scene(DISCS).astype(np.int64)
    expected = segment_spot(image.astype(np.uint16), METHOD)
    found = segment_spot((image * gain + offset).astype(np.uint16), METHOD)
    assert found.max() == expected.max()
    assert (found != expected).mean() < 1e-3


def test_touching_discs_are_split_and_long_ones_are_not() -> None:
    pair = [(60, 80, 6, 500), (72, 80, 6, 500)]
    assert segment_spot(scene(pair), METHOD).max() == 2
    assert segment_spot(scene(pair), local(split="none")).max() == 1
    ellipse = np.zeros((160, 160), np.float32)
    cv2.ellipse(ellipse, (80, 80), (22, 9), 30, 0, 360, 600, -1)
    noise = np.random.default_rng(1).normal(0, 8, ellipse.shape)
    image = (cv2.GaussianBlur(ellipse, (0, 0), 1) + 200 + noise).astype(np.uint16)
    assert segment_spot(image, METHOD).max() == 1


def test_a_faint_object_beside_a_bright_one_keeps_its_size() -> None:
    labels = segment_spot(scene([(50, 80, 6, 3000), (90, 80, 6, 500)]), METHOD)
    areas = np.bincount(labels.ravel())[1:]
    assert len(areas) == 2
    assert areas.min() > 0.8 * areas.max()


def test_sizes_are_limits() -> None:
    image = scene([(40, 40, 3, 600), (100, 100, 12, 600)])
    assert segment_spot(image, METHOD).max() == 2
    assert segment_spot(image, local(min_diameter=10)).max() == 1
    assert segment_spot(image, local(max_diameter=10)).max() == 1


def test_only_objects_with_their_centre_in_the_mask_are_kept_whole() -> None:
    image = scene([(40, 80, 8, 600), (84, 80, 8, 600), (130, 80, 8, 600)])
    mask = np.zeros(image.shape, bool)
    mask[:, :86] = True
    labels = segment_spot(image, METHOD, mask)
    assert labels.max() == 2
    assert (labels[:, 86:] > 0).any(), "an object over the outline is not cut"


def test_pixels_off_the_slide_are_no_objects_and_no_background() -> None:
    image = scene(DISCS)
    image[:, :20] = 0
    valid = np.ones(image.shape, bool)
    valid[:, :20] = False
    labels = segment_spot(image, METHOD, valid=valid)
    assert labels.max() == len(DISCS)
    assert (labels[:, :20] == 0).all()


def test_holes_are_filled_and_gaps_between_cells_are_not() -> None:
    ring = scene([(80, 80, 9, 600)])
    ring[79:82, 79:82] = 230
    labels = segment_spot(ring, local(sigma=0))
    assert labels.max() == 1
    assert (labels[79:82, 79:82] == 1).all()
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    wreath = [(80 + 22 * np.cos(a), 80 + 22 * np.sin(a), 6, 600) for a in angles]
    assert segment_spot(scene(wreath), METHOD)[80, 80] == 0


def test_none_finds_nothing() -> None:
    assert segment_spot(scene(DISCS), local(method="none")).max() == 0


def test_every_name_of_the_options_has_its_function_and_no_other() -> None:
    fields = SegmentMethod.model_fields
    learned = {"network", "auto", "none"}
    assert set(get_args(fields["method"].annotation)) - learned == set(THRESHOLDS)
    assert set(get_args(fields["illumination"].annotation)) - {"none"} == set(LIGHTS)
    assert set(get_args(fields["split"].annotation)) - {"none"} == set(SPLITS)
    with pytest.raises(ValidationError, match="'difference_of_gaussians'"):
        local(method="watershed")


@pytest.mark.parametrize("method", ["percentile", "top_hat", "difference_of_gaussians"])
@pytest.mark.parametrize("light", [*LIGHTS, "none"])
def test_each_threshold_finds_the_discs_in_each_light(method: str, light: str) -> None:
    options = {"method": method, "illumination": light, "percentile": 97, "diameter": 12}
    slope = 0.0 if light == "none" else 60.0
    labels = segment_spot(scene(DISCS, slope=slope), local(**options))
    assert labels.max() == len(DISCS)
    for x, y, _, _ in DISCS:
        assert np.hypot(*(centres(labels) - (x, y)).T).min() < 1


@pytest.mark.parametrize("method", ["top_hat", "difference_of_gaussians", "percentile"])
@pytest.mark.parametrize("seed", range(3))
def test_new_methods_leave_empty_spots_empty(method: str, seed: int) -> None:
    image = scene([], seed=seed, size=220, slope=150)
    assert segment_spot(image, local(method=method)).max() == 0


def test_a_larger_percentile_finds_less() -> None:
    areas = [
        (segment_spot(scene(DISCS), local(method="percentile", percentile=p)) > 0).sum()
        for p in (97, 98, 99)
    ]
    assert areas[0] > areas[1] > areas[2] > 0


def test_a_flat_field_gives_objects_in_dark_corners_their_brightness() -> None:
    places = [(30, 30, 6, 600), (130, 130, 6, 600)]
    lamp = np.linspace(1, 0.3, 160)[None] * np.linspace(1, 0.6, 160)[:, None]
    image = (scene(places, slope=0).astype(np.float64) * lamp).astype(np.uint16)
    mask = np.ones(image.shape, bool)
    ratio = {}
    for light in ("opening", "flat_field"):
        flat, _ = correct_light(image, local(illumination=light), mask)
        ratio[light] = flat[128:133, 128:133].mean() / flat[28:33, 28:33].mean()
    assert ratio["opening"] < 0.5
    assert ratio["flat_field"] == pytest.approx(1, abs=0.15)


def test_a_background_with_a_step_is_no_object() -> None:
    places = [(40, 40, 6, 600), (40, 110, 6, 600), (130, 80, 6, 600)]
    image = scene(places, slope=0)
    image[:, 85:] += 300
    labels = segment_spot(image, local(illumination="top_hat", method="otsu"))
    found = [labels[y, x] for x, y, _, _ in places]
    assert 0 not in found
    assert len(set(found)) == 3
    assert (labels > 0).mean() < 0.03


def test_deconvolution_is_that_of_scikit_image() -> None:
    from skimage.restoration import richardson_lucy

    image = scene(DISCS, slope=0).astype(np.float64)
    axis = np.arange(-8, 9)
    bell = np.exp(-(axis**2) / (2 * 1.5**2))
    kernel = np.outer(bell, bell) / bell.sum() ** 2
    expected = richardson_lucy(image, kernel, num_iter=8, clip=False)
    found = deconvolved(image.astype(np.float32), 1.5, 8)
    inner = np.s_[25:-25, 25:-25]
    # They differ by the tails that OpenCV cuts from the Gaussian, and by the first guess.
    assert np.abs(found - expected)[inner].max() < 0.02 * expected[inner].max()


def test_deconvolution_deepens_what_the_blur_joined() -> None:
    pair = [(70, 80, 4, 900), (79, 80, 4, 900)]
    image = cv2.GaussianBlur(scene(pair, noise=0.0, slope=0), (0, 0), 2.5)
    rng = np.random.default_rng(0)
    image = np.rint(image + rng.normal(0, 2, image.shape)).astype(np.uint16)
    depth = {}
    for psf in (0.0, 2.5):
        options = local(psf=psf, iterations=30, sigma=0.5)
        flat, _ = correct_light(image, options, np.ones(image.shape, bool))
        depth[psf] = 1 - flat[80, 74:76].min() / flat[80, 68:82].max()
    assert depth[0.0] < 0.2
    assert depth[2.5] > 2 * depth[0.0]


@pytest.mark.parametrize("split", ["both", "distance", "intensity"])
def test_each_way_of_splitting_parts_two_discs(split: str) -> None:
    pair = cv2.GaussianBlur(scene([(60, 80, 7, 500), (74, 80, 7, 500)]), (0, 0), 2)
    assert segment_spot(pair, local(split=split, seed_distance=7)).max() == 2


@settings(max_examples=8, deadline=None)
@given(power=st.integers(-14, 20))
def test_images_of_any_range_of_floating_point(power: int) -> None:
    image = (scene(DISCS).astype(np.float64) * 2.0**power).astype(np.float32)
    assert segment_spot(image, METHOD).max() == len(DISCS)


def test_faint_structure_far_from_any_object_is_none() -> None:
    image = scene([(40, 40, 8, 2000), (60, 60, 8, 2000)], size=300, slope=0)
    smear = cv2.GaussianBlur(scene([(220, 220, 20, 130)], size=300, noise=0, slope=0), (0, 0), 5)
    image = (image + (smear - 200)).astype(np.uint16)
    assert segment_spot(image, METHOD).max() == 2


@pytest.mark.parametrize("method", ["local", "otsu", "top_hat", "difference_of_gaussians"])
def test_the_dark_rim_of_a_well_is_no_object(method: str) -> None:
    # Light makes noise: bright medium is noisier than the dark around it.
    rng = np.random.default_rng(4)
    away = np.hypot(*(np.indices((300, 300)) - 150.0))
    well = 80 + 320 / (1 + np.exp((away - 125) / 5))
    assert segment_spot(rng.poisson(well).astype(np.uint16), local(method=method)).max() == 0
    places = [(150 + 80 * np.cos(a), 150 + 80 * np.sin(a)) for a in range(6)]
    for x, y in places:
        cv2.circle(well, (round(x), round(y)), 7, 900, -1)
    image = rng.poisson(cv2.GaussianBlur(well, (0, 0), 1)).astype(np.uint16)
    assert segment_spot(image, local(method=method)).max() == len(places)


def average_precision(truth: np.ndarray, found: np.ndarray) -> tuple[int, int, int]:
    """Matches, extra and missed objects at an intersection over union of one half."""
    truth = np.unique(truth, return_inverse=True)[1].reshape(truth.shape)
    n, m = int(truth.max()) + 1, int(found.max()) + 1
    both = np.bincount(truth.ravel() * m + found.ravel().astype(np.int64), minlength=n * m)
    both = both.reshape(n, m)
    union = both.sum(1)[1:, None] + both.sum(0)[None, 1:] - both[1:, 1:]
    overlap = both[1:, 1:] / np.maximum(union, 1)
    row, col = linear_sum_assignment(overlap > 0.5, maximize=True)
    hits = int((overlap[row, col] > 0.5).sum())
    return hits, m - 1 - hits, n - 1 - hits


@pytest.mark.shared
def test_real_nuclei_with_drawn_outlines(shared: Path) -> None:
    folder = shared / "cells" / "dsb2018"
    total = np.zeros(3)
    for path in sorted(folder.glob("images/520x696_*.png"))[::8]:
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        truth = cv2.imread(str(folder / "masks" / path.name), cv2.IMREAD_UNCHANGED)
        # As a user would set it who knows how large the nuclei are.
        size = float(np.sqrt(4 / np.pi * np.median(np.bincount(truth.ravel())[1:])))
        method = local(
            background=round(3 * size),
            min_diameter=0.4 * size,
            max_diameter=4 * size,
            seed_distance=size / 2,
        )
        total += average_precision(truth, segment_spot(image, method))
    assert total[0] > 100
    assert total[0] / total.sum() > 0.8


@pytest.mark.shared
def test_wells_of_a_real_plate(shared: Path) -> None:
    import tifffile

    method = local(min_diameter=8, max_diameter=60, seed_distance=8)
    for path in sorted(shared.glob("cells/bbbc013_plate/Channel2-*.tif"))[::16]:
        labels = segment_spot(tifffile.imread(path), method)
        assert 120 < labels.max() < 340
        assert 13 < np.sqrt(4 / np.pi * np.median(np.bincount(labels.ravel())[1:])) < 18

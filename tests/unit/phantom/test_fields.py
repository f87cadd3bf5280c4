"""Simulated fields of cells: the truth is exact, and agrees with the picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gridwell.phantom.fields import DIAMETERS, KINDS, draw_look, field, paint
from gridwell.phantom.outlines import Shape, cover, crowd, draw_outlines, pile, scatter
from skimage.measure import label
from skimage.segmentation import expand_labels

SEEDS = range(25)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_seeds_give_equal_fields(kind):
    one, other = field(kind, 3, 96), field(kind, 3, 96)
    assert one.kind == kind
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.labels, other.labels)
    assert not np.array_equal(one.image, field(kind, 4, 96).image)


@pytest.mark.parametrize("kind", KINDS)
def test_every_label_is_one_connected_object(kind):
    for seed in SEEDS:
        made = field(kind, seed, 160)
        assert made.image.dtype == np.uint16 and made.labels.dtype == np.int32
        assert made.image.shape == made.labels.shape == (160, 160)
        count = made.labels.max()
        assert set(np.unique(made.labels)) | {0} == set(range(count + 1))
        assert label(made.labels, connectivity=1).max() == count


@pytest.mark.parametrize("kind", KINDS)
def test_objects_are_brighter_than_what_is_around_them(kind):
    higher = []
    for seed in SEEDS:
        made = field(kind, seed, 160)
        near = expand_labels(made.labels, 6)
        near[expand_labels(made.labels, 2) > 0] = 0
        for i in range(1, made.labels.max() + 1):
            if np.count_nonzero(near == i) > 10:
                inside, outside = made.image[made.labels == i], made.image[near == i]
                higher.append(inside.mean() > outside.mean())
    assert len(higher) > 200
    assert np.mean(higher) > 0.98


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_field_has_no_labels(kind):
    rng = np.random.default_rng(1)
    look = replace(draw_look(kind, rng), share=0.0, crowded=False, debris=5.0, bodies=0.1)
    made = paint(kind, look, 128, rng)
    assert not made.labels.any()
    assert made.image.std() > 0


def test_conditions_span_what_they_promise():
    looks = [draw_look(kind, np.random.default_rng(i)) for kind in KINDS for i in range(200)]
    diameters = np.array([look.diameter for look in looks])
    assert diameters.min() >= DIAMETERS[0] and diameters.max() <= DIAMETERS[1]
    assert np.mean((diameters > 8) & (diameters < 30)) > 0.6
    assert {look.bits for look in looks} == {8, 12, 16}
    for flag in ("crowded", "well", "packed", "above", "bodies", "debris", "halo"):
        assert 0.03 < np.mean([bool(getattr(look, flag)) for look in looks]) < 0.9, flag
    assert 0.02 < np.mean([look.share == 0 for look in looks]) < 0.15


def test_an_outline_has_the_area_of_its_disc():
    rng = np.random.default_rng(0)
    radius = np.array([12.0, 20.0])
    shape = Shape((0.4, 0.9), 0.1, dented=1.0, spiky=1.0)
    outlines = draw_outlines(np.array([60.0, 150.0]), np.array([60.0, 60.0]), radius, shape, rng)
    made = cover(outlines, (120, 220))
    areas = np.bincount(made.labels.ravel())[1:]
    assert areas == pytest.approx(np.pi * radius**2, rel=0.05)


def test_touching_discs_share_a_straight_border():
    at, radius = np.array([20.0, 36.0]), np.array([10.0, 10.0])
    discs = draw_outlines(at, np.full(2, 20.0), radius, Shape((1, 1), 0), np.random.default_rng(0))
    made = cover(discs, (41, 57))
    assert made.labels.max() == 2
    border = made.valley[20, 28]
    assert border == pytest.approx(0, abs=0.1)
    np.testing.assert_array_equal(made.labels[20, 22:28], 1)
    np.testing.assert_array_equal(made.labels[20, 29:35], 2)


def test_what_others_cover_is_dropped():
    at, radius = np.array([20.0, 20.0]), np.array([5.0, 10.0])
    discs = draw_outlines(at, at, radius, Shape((1, 1), 0), np.random.default_rng(0))
    made = cover(discs, (41, 41))
    assert made.kept.tolist() == [False, True]
    assert np.count_nonzero(made.labels) == pytest.approx(np.pi * 100, rel=0.03)


def test_piled_light_adds_up():
    at, radius = np.array([20.0, 28.0]), np.array([10.0, 10.0])
    discs = draw_outlines(at, np.full(2, 20.0), radius, Shape((1, 1), 0), np.random.default_rng(0))
    light = pile(discs, np.array([1.0, 2.0]), (41, 49), dome=0.0)
    assert light[20, 13] == pytest.approx(1)
    assert light[20, 24] == pytest.approx(3)
    assert light[20, 35] == pytest.approx(2)


def test_scattered_discs_keep_apart_and_clumped_ones_touch():
    rng = np.random.default_rng(2)
    radius = np.full(30, 4.0)
    apart, together = (
        np.stack(scatter(radius, (256, 256), clumped, 0.9, rng), axis=1) for clumped in (0.0, 1.0)
    )
    nearest = []
    for at in (apart, together):
        gaps = np.hypot(*(at[:, None] - at).T) + 1e9 * np.eye(30)
        nearest.append(gaps.min(axis=1))
    assert nearest[0].min() >= 8.4 - 1e-6
    assert np.median(nearest[1]) == pytest.approx(7.2, abs=0.5)


def test_a_crowd_fills_the_image():
    x, _ = crowd(8.0, (200, 200), 0.1, np.random.default_rng(3))
    assert np.pi * 64 * len(x) == pytest.approx(216 * 216, rel=0.1)

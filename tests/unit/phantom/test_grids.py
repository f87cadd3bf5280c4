"""Random carriers: the truth agrees with itself and with the pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gridwell.phantom.grid_images import NEGATIVES, STYLES, negative, render, sample
from gridwell.phantom.grids import LEVELS, LIMITS, build, points, recipe, scene

SEEDS = range(12)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("seed", SEEDS)
def test_truth_is_consistent(level, seed):
    truth = scene(level, seed)
    shape = (truth.rows, truth.cols)
    assert truth.nodes.shape == truth.centres.shape == (*shape, 2)
    assert truth.present.shape == truth.sizes.shape == shape
    assert truth.present.sum() >= 4
    assert (truth.centres >= 0).all() and (truth.centres <= np.array(truth.size) - 1).all()
    assert max(truth.size) <= 1600
    assert abs(truth.angle) < 45
    assert np.linalg.det(truth.basis) > 0  # columns to the right, rows down
    assert truth.pitch == pytest.approx(np.hypot(*truth.basis))
    assert np.median(truth.sizes[truth.present]) == pytest.approx(1)
    assert 1 - truth.present.mean() <= LIMITS[level].missing
    off = np.hypot(*(truth.centres - truth.nodes).reshape(-1, 2).T)
    assert off.max() < 5 * LIMITS[level].jitter * max(truth.pitch)


def test_without_disturbance_the_nodes_are_a_lattice():
    plain = replace(recipe("L1", 3), jitter=0.0, rotation=7.0, aspect=1.0)
    truth = build(plain, "L1", 3)
    r, c = np.indices(truth.present.shape)
    lattice = truth.nodes[0, 0] + np.stack([c, r], axis=-1) @ truth.basis.T
    assert np.abs(truth.nodes - lattice).max() < 1e-6
    assert truth.angle == pytest.approx(7.0)
    assert truth.pitch[0] == pytest.approx(truth.pitch[1])


def test_blocks_are_apart_by_their_gap():
    plain = replace(
        recipe("L1", 1), block_rows=(3, 4), block_cols=(5, 5), gaps=(1.6, 2.5), rotation=0.0
    )
    truth = build(plain, "L1", 1)
    x, y = np.diff(truth.nodes[0, :, 0]), np.diff(truth.nodes[:, 0, 1])
    assert x[4] == pytest.approx(2.5 * x[0])
    assert y[2] == pytest.approx(1.6 * y[0])


def test_warp_is_no_steeper_than_a_carrier_bends():
    bent = replace(recipe("L1", 5), warp=5.0, rotation=0.0, aspect=1.0, jitter=0.0)
    truth = build(bent, "L1", 5)
    steps = np.diff(truth.nodes, axis=1)[..., 0] / truth.pitch[0]
    assert np.ptp(steps) < 0.13


def test_an_empty_edge_or_inner_line_cannot_be_identified():
    full = replace(recipe("L1", 2), block_rows=(8,), block_cols=(12,), missing=0.0)
    assert build(full, "L1", 2).identifiable
    assert not build(replace(full, missing=0.5, pattern="half"), "L1", 2).identifiable
    assert not build(replace(full, missing=0.15, pattern="line"), "L1", 2).identifiable


def test_points_hold_elements_and_false_ones_but_neither_missing_nor_merged():
    mix = replace(recipe("L2", 4), missing=0.1, false=0.2, merged=0.1, split=0.05, pattern="random")
    truth = build(mix, "L2", 4)
    found = points(truth, np.random.default_rng(0))
    distance = np.hypot(*(found[None] - truth.centres.reshape(-1, 1, 2)).transpose(2, 0, 1))
    alone = truth.present.copy()
    for pair in truth.merged:
        for r, c in pair:
            assert alone[r, c]
            alone[r, c] = False
    assert (distance.min(axis=1)[alone.ravel()] < 0.35 * min(truth.pitch)).all()
    least = alone.sum() + len(truth.merged) + len(truth.false)
    assert least <= len(found) <= least + 0.15 * alone.sum()


@pytest.mark.parametrize("level", LEVELS)
def test_same_seed_same_bytes(level):
    one, two, other = sample(level, 6), sample(level, 6), sample(level, 7)
    assert one.image.tobytes() == two.image.tobytes()
    assert one.foreground.tobytes() == two.foreground.tobytes()
    assert one.image.tobytes() != other.image.tobytes()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("seed", SEEDS)
def test_picture_and_truth_agree(level, seed):
    made = sample(level, seed)
    truth = made.scene
    assert made.image.dtype in (np.uint8, np.uint16)
    assert made.image.shape[:2] == made.foreground.shape == truth.size[::-1]
    assert made.foreground.dtype == np.float32
    assert made.foreground.min() >= 0 and made.foreground.max() <= 1
    assert made.style in STYLES[truth.shape]
    x, y = np.rint(truth.centres).astype(int).transpose(2, 0, 1)
    middle = made.foreground[y, x]
    whole = (middle > 0.5)[truth.present].mean()
    assert whole > 0.9  # a chip may take the middle
    assert middle[~truth.present].mean() < 0.05 if (~truth.present).any() else True


@pytest.mark.parametrize("shape", ["round", "square"])
def test_foreground_covers_what_the_sizes_say(shape):
    plain = replace(recipe("L1", 8), block_rows=(6,), block_cols=(8,), shape=shape, missing=0.0)
    truth = build(replace(plain, spot=(0.6, 0.6), pitch=30.0), "L1", 8)
    made = render(truth, 8)
    full = truth.spot_size[0] * truth.spot_size[1] * (np.pi / 4 if shape == "round" else 1.0)
    area = made.foreground.sum() / (truth.sizes**2).sum()
    assert area == pytest.approx(full, rel=0.03)


def test_elements_stand_out_from_the_background():
    for seed in range(20):
        made = sample("L1", seed)
        gray = made.image.astype(float)
        gray = gray.mean(axis=2) if gray.ndim == 3 else gray
        inside, outside = gray[made.foreground > 0.9], gray[made.foreground == 0]
        difference = abs(inside.mean() - np.median(outside))
        assert difference + inside.std() > 1.5 * outside.std(), seed


@pytest.mark.parametrize("kind", NEGATIVES)
def test_negatives_have_no_grid(kind):
    made = negative(kind, 3)
    assert made.scene is None and made.kind == kind
    assert made.image.tobytes() == negative(kind, 3).image.tobytes()
    assert np.ptp(made.image) > 0
    if kind in ("empty", "texture", "stripes"):
        assert not made.foreground.any()

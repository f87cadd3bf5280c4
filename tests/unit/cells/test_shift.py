"""Stage shift: found to a fraction of a pixel, or said not to be there."""

from __future__ import annotations

import numpy as np
import pytest
from gridwell.cells.shift import estimate_shift


def spots(
    seed: int, count: int = 12, cells: int = 80, side: float = 400.0
) -> tuple[list[np.ndarray], np.random.Generator]:
    rng = np.random.default_rng(seed)
    return [rng.uniform(0, side, (cells, 2)) for _ in range(count)], rng


def bodies(
    nuclei: list[np.ndarray],
    rng: np.random.Generator,
    shift: tuple[float, float],
    *,
    kept: float = 0.6,
    extra: int = 10,
    jitter: float = 0.5,
) -> list[np.ndarray]:
    result = []
    for place in nuclei:
        own = place[rng.random(len(place)) < kept] + shift
        junk = rng.uniform(0, 400, (extra, 2))
        result.append(np.vstack([own + rng.normal(0, jitter, own.shape), junk]))
    return result


@pytest.mark.parametrize("shift", [(0, 0), (3.3, -2.6), (-5, 4.5), (11, 0.4)])
@pytest.mark.parametrize("cells", [40, 500])
def test_shifts_are_found_to_a_fraction_of_a_pixel(shift: tuple[float, float], cells: int) -> None:
    nuclei, rng = spots(1, cells=cells)
    found = estimate_shift(nuclei, bodies(nuclei, rng, shift), 12.0)
    assert found.registered
    assert np.hypot(found.dx - shift[0], found.dy - shift[1]) < 0.3
    assert 0.4 < found.quality <= 1


@pytest.mark.parametrize("seed", range(8))
def test_a_channel_of_another_place_does_not_register(seed: int) -> None:
    nuclei, rng = spots(seed, cells=120)
    strange = [rng.uniform(0, 400, (90, 2)) for _ in nuclei]
    found = estimate_shift(nuclei, strange, 12.0)
    assert not found.registered
    assert (found.dx, found.dy, found.quality) == (0, 0, 0)


def test_a_shift_out_of_reach_does_not_register() -> None:
    nuclei, rng = spots(2)
    assert not estimate_shift(nuclei, bodies(nuclei, rng, (30, 0)), 12.0).registered


def test_a_few_bodies_accuse_nobody() -> None:
    nuclei, rng = spots(3)
    none = [np.zeros((0, 2)) for _ in nuclei]
    debris = [rng.uniform(0, 400, (2, 2)) for _ in nuclei]
    for few in (none, debris):
        found = estimate_shift(nuclei, few, 12.0)
        assert found.registered
        assert (found.dx, found.dy, found.quality) == (0, 0, 0)


def test_a_rare_stain_registers() -> None:
    nuclei, rng = spots(4, count=60)
    found = estimate_shift(nuclei, bodies(nuclei, rng, (2, 3), kept=0.03, extra=1), 12.0)
    assert np.hypot(found.dx - 2, found.dy - 3) < 0.5


def centres(count: int) -> np.ndarray:
    """Centres of spots in rows of six."""
    at = np.arange(count)
    return 500.0 * np.column_stack([at % 6, at // 6])


def test_spots_that_stand_still_share_one_shift() -> None:
    nuclei, rng = spots(5, cells=30)
    seen = bodies(nuclei, rng, (2, 1))
    found = estimate_shift(nuclei, seen, 12.0, centres=centres(12))
    assert np.hypot(*(found.spots - (2, 1)).T).max() < 0.25
    assert found.wander < 0.3


@pytest.mark.parametrize("wander", [1.0, 4.0])
def test_each_spot_may_have_a_shift_of_its_own(wander: float) -> None:
    nuclei, rng = spots(6)
    true = rng.normal((2, 1), wander, (12, 2))
    seen = [bodies([one], rng, tuple(by))[0] for one, by in zip(nuclei, true, strict=True)]
    found = estimate_shift(nuclei, seen, 14.0, centres=centres(12))
    assert found.registered
    assert np.hypot(*(found.spots - true).T).max() < 0.4
    assert wander / 2 < found.wander < 2 * wander


def test_a_shift_that_grows_over_the_slide_is_followed_by_spots_of_few_cells() -> None:
    nuclei, rng = spots(7, count=48, cells=14)
    places = centres(48)
    true = (1, -1) + 0.001 * places
    seen = [bodies([one], rng, tuple(by))[0] for one, by in zip(nuclei, true, strict=True)]
    found = estimate_shift(nuclei, seen, 12.0, centres=places)
    assert np.quantile(np.hypot(*(found.spots - true).T), 0.95) < 0.4


def test_the_order_of_objects_does_not_matter() -> None:
    nuclei, rng = spots(8)
    seen = bodies(nuclei, rng, (1, 2))
    found = estimate_shift(nuclei, seen, 12.0, centres=centres(12))
    turned = [rng.permutation(one) for one in nuclei], [rng.permutation(one) for one in seen]
    again = estimate_shift(*turned, 12.0, centres=centres(12))
    assert np.allclose(found.spots, again.spots, atol=1e-3)


def test_large_nuclei_scatter_more() -> None:
    nuclei, rng = spots(9)
    seen = bodies(nuclei, rng, (4, -6), jitter=1.8)
    found = estimate_shift(nuclei, seen, 12.0, radius=8.0)
    assert found.quality > 0.75 > estimate_shift(nuclei, seen, 12.0).quality
    assert np.hypot(found.dx - 4, found.dy + 6) < 0.3

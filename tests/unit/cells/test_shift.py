"""Stage shift: found to a fraction of a pixel, or said not to be there."""

from __future__ import annotations

import numpy as np
import pytest
from gridwell.cells.shift import estimate_shift, refine_spot


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


def test_a_spot_moves_only_where_it_clearly_does() -> None:
    nuclei, rng = spots(5)
    seen = bodies(nuclei, rng, (2, 1))
    shift = estimate_shift(nuclei, seen, 12.0)
    assert np.allclose(refine_spot(nuclei[0], seen[0], shift, 4.0), (shift.dx, shift.dy))
    moved = seen[1] + (1.5, -1.0)
    assert np.allclose(refine_spot(nuclei[1], moved, shift, 4.0), (3.5, 0.0), atol=0.3)
    assert np.allclose(refine_spot(nuclei[1][:5], moved[:5], shift, 4.0), (shift.dx, shift.dy))

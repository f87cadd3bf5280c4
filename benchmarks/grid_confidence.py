"""The chance of a lattice, fitted: logistic regression of right and wrong on what they look like.

    python benchmarks/grid_confidence.py [--images N] [--first-seed S] [--workers N]

Runs the search on N simulated carriers of each level and N images without a grid (seeds of their
own, neither training's nor the benchmark's), fits `_INTERCEPT` and `_WEIGHTS` of
gridwell/grid/decide.py, prints them, and what they do: the part of the right grids above a
confidence, and the wrong ones among them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.spatial import cKDTree

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "scripts"))

from gridwell.grid import decide  # noqa: E402
from gridwell.grid.detect import view_of  # noqa: E402
from gridwell.grid.elements import normalise, to_gray  # noqa: E402
from gridwell.grid.lattice import Limits  # noqa: E402
from gridwell.grid.search import search  # noqa: E402
from gridwell.phantom.grid_images import NEGATIVES, negative, sample  # noqa: E402
from gridwell.phantom.grids import LEVELS, Scene  # noqa: E402

NONE = "no grid"
RIDGE = 0.02


@dataclass(frozen=True)
class Case:
    """One image: what was seen, whether the lattice is right, and whether its lines are too."""

    level: str
    view: decide.View | None
    lattice: bool = False
    lines: bool = False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=150)
    parser.add_argument("--first-seed", type=int, default=800_000)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    jobs = [
        (level, options.first_seed + n) for level in (*LEVELS, NONE) for n in range(options.images)
    ]
    with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
        cases = pool.starmap(look, jobs, chunksize=8)
    intercept, weights = fitted([case for case in cases if case.view is not None])
    print(f"_INTERCEPT = {intercept:.2f}\n_WEIGHTS = {{")
    print("".join(f'    "{name}": {value:.2f},\n' for name, value in weights.items()) + "}")
    decide._INTERCEPT, decide._WEIGHTS = intercept, weights
    report(cases)


def look(level: str, seed: int) -> Case:
    """Search one image of which nothing is known."""
    made = (
        negative(NEGATIVES[seed % len(NEGATIVES)], seed) if level == NONE else sample(level, seed)
    )
    gray = normalise(to_gray(made.image) if made.image.ndim == 3 else made.image)
    found = None if gray is None else search(gray, Limits(), decide.Dims(), gpu="forbid")
    if found is None or gray is None:
        return Case(level, None)
    view = view_of(found, gray.shape)
    if made.scene is None:
        return Case(level, view)
    return Case(level, view, *agreement(made.scene, view))


def agreement(truth: Scene, view: decide.View) -> tuple[bool, bool]:
    """Whether what shows lies on true nodes, equally spaced, and whether all lines are right."""
    nodes = view.seen.cut(view.cells.nodes)
    rows, cols = nodes.shape[:2]
    distance, nearest = cKDTree(truth.nodes.reshape(-1, 2)).query(nodes.reshape(-1, 2))
    near = distance < 0.35 * min(truth.pitch)
    area = abs(float(np.linalg.det(truth.basis)))
    shown = near[view.inner.ravel()]
    lattice = bool(shown.mean() > 0.85 and abs(view.basis.area / area - 1) < 0.3)
    if (rows, cols) != truth.nodes.shape[:2]:
        return lattice, False
    own = np.arange(rows * cols)
    return lattice, lattice and bool((nearest[near] == own[near]).mean() > 0.97)


def fitted(cases: list[Case]) -> tuple[float, dict[str, float]]:
    """Intercept and weights by maximum likelihood with a small ridge; no weight is negative."""
    seen = [decide.traits(case.view) for case in cases if case.view is not None]
    names = list(seen[0])
    traits = np.array([list(one.values()) for one in seen])
    sign = np.array([1.0 if case.lattice else -1.0 for case in cases])

    def loss(w: np.ndarray) -> float:
        z = w[0] + traits @ w[1:]
        return float(np.logaddexp(0, -z * sign).sum() + RIDGE * (w[1:] ** 2).sum())

    bounds = [(None, None)] + [(0.0, None)] * len(names)
    best = minimize(loss, np.zeros(len(names) + 1), method="L-BFGS-B", bounds=bounds).x
    return float(best[0]), dict(zip(names, best[1:].tolist(), strict=True))


def report(cases: list[Case]) -> None:
    """Accepted, and wrong among them, above some confidences."""
    sure = np.array(
        [
            decide.decide(case.view, dims=decide.Dims(), anchors={}, carrier=None).confidence
            if case.view is not None
            else 0.0
            for case in cases
        ]
    )
    right = np.array([case.lines for case in cases])
    levels = np.array([case.level for case in cases])
    for least in (0.5, 0.8, 0.9, 0.95, 0.99):
        accepted = sure >= least
        wrong = {
            level: int((accepted & ~right & (levels == level)).sum()) for level in (*LEVELS, NONE)
        }
        print(
            f"confidence >= {least}: {accepted.sum()} of {len(cases)} accepted, "
            f"{(accepted & right).sum() / max(right.sum(), 1):.1%} of the right, wrong {wrong}"
        )


if __name__ == "__main__":
    main()

"""The conventional methods, measured: each alone, what `auto` picks, and the best for each image.

    python benchmarks/methods.py [--images N] [--seeds S ...]

N fluorescence images of data/cells/dsb2018 (GRIDWELL_SHARED) are drawn for each seed, from all
conditions as often as they occur. Sizes are set as a person would who knows how large the nuclei
of a condition are: from the median area in it. Prints average precision at an IoU of 0.5, of all
objects together and as the mean over images, and how often `auto` picked what.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "scripts"))

from gridwell.config.models import SegmentMethod  # noqa: E402
from gridwell.learn.metrics import overlap  # noqa: E402
from gridwell.segment.auto import Sample, choose, conventional_candidates  # noqa: E402
from gridwell.segment.conventional import segment_spot  # noqa: E402

Counts = tuple[int, int, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=30)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    shared = Path(os.environ.get("GRIDWELL_SHARED", REPOSITORY.parent / "shared"))
    folder = shared / "data/cells/dsb2018"
    index = pd.read_csv(folder / "index.csv").query("background == 'dark'")
    diameters = np.sqrt(4 / np.pi * index.groupby("condition")["mean_area"].median())
    for seed in options.seeds:
        drawn = index.sample(options.images, random_state=seed)
        print(f"\nseed {seed}, {len(drawn)} images")
        report(folder, drawn, diameters)


def report(folder: Path, drawn: pd.DataFrame, diameters: pd.Series) -> None:
    """Print the scores of one draw of images."""
    counts: dict[str, list[Counts]] = defaultdict(list)
    seconds: Counter[str] = Counter()
    picks = []
    for name, condition in zip(drawn["file"], drawn["condition"], strict=True):
        image, truth = (
            cv2.imread(str(folder / kind / name), cv2.IMREAD_UNCHANGED)
            for kind in ("images", "masks")
        )
        method = sized(float(diameters[condition]))
        sample, candidates = Sample(image), conventional_candidates(method)
        own = {}
        for candidate, run in candidates.items():
            start = time.perf_counter()
            own[candidate] = counted(truth, run(sample, 1.0))
            seconds[candidate] += time.perf_counter() - start
        best = max(own, key=lambda one: precision(own[one]))
        for percent in (80, 90):
            plain = method.model_copy(update={"method": "percentile", "percentile": percent})
            own[f"percentile {percent}"] = counted(truth, segment_spot(image, plain))
        picks.append(choose([sample], candidates).method)
        for row, value in own.items():
            counts[row].append(value)
        counts["auto"].append(own[picks[-1]])
        counts["best of each image"].append(own[best])
    for row, values in counts.items():
        total = precision(tuple(np.sum(values, axis=0)))
        mean = np.mean([precision(one) for one in values])
        cost = f"{1000 * seconds[row] / len(values):4.0f} ms" if seconds[row] else ""
        print(f"{row:26s} {total:.3f}  {mean:.3f}  {cost}")
    print("auto picked", dict(Counter(picks)))


def sized(diameter: float) -> SegmentMethod:
    """Settings for nuclei of a diameter, in pixels."""
    return SegmentMethod(
        background=round(3 * diameter),
        min_diameter=0.4 * diameter,
        max_diameter=4 * diameter,
        seed_distance=diameter / 2,
    )


def counted(truth: np.ndarray, found: np.ndarray) -> Counts:
    """Matches at an IoU above one half, extra and missed objects."""
    both = overlap(truth.astype(np.int64), found.astype(np.int64))
    union = both.area_true[both.true] + both.area_pred[both.pred] - both.shared
    hits = int((2 * both.shared > union).sum())
    return hits, both.area_pred.size - hits, both.area_true.size - hits


def precision(counts: Counts) -> float:
    """Average precision: matches among all objects, true or found."""
    return counts[0] / max(1, sum(counts))


if __name__ == "__main__":
    main()

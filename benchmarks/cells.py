"""How well cells are told apart, by what the method has learned from: CIP, CDL, MDL.

CIP is conventional image processing, CDL a network that learned from what CIP labelled and from
simulated fields (nobody drew anything), MDL one that learned from labels drawn by hand. All are
trained on the same images and measured on the same others, of sources that no training saw.

    python benchmarks/cells.py [--data FOLDER] [--steps 800] [--rows cdl mdl8] [--sweep]

FOLDER holds images/, masks/ and index.csv with file, condition and cluster. Writes a table, a plot
and the learning curves to benchmarks/out/cells. Takes about 25 minutes of one core; --steps 200
shows the order of the rows in a quarter of that.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "scripts"))

from gridwell.cells.features import measure  # noqa: E402
from gridwell.config.models import SegmentMethod  # noqa: E402
from gridwell.config.weights import weights_of  # noqa: E402
from gridwell.learn.cells_recipe import HELD_OUT, prepared_fields, read_fields  # noqa: E402
from gridwell.learn.examples import Example  # noqa: E402
from gridwell.learn.fit import fit  # noqa: E402
from gridwell.learn.metrics import interval, overlap, scores, tally  # noqa: E402
from gridwell.learn.predict import facts_of  # noqa: E402
from gridwell.learn.recipe import Recipe  # noqa: E402
from gridwell.learn.targets import instance_targets  # noqa: E402
from gridwell.learn.teach import doubtful, teach  # noqa: E402
from gridwell.network.cells import CellNetwork, Maps  # noqa: E402
from gridwell.segment.conventional import segment_spot  # noqa: E402
from gridwell.segment.flood import FloodOptions, instances  # noqa: E402

SHARED = Path(os.environ.get("GRIDWELL_SHARED", REPOSITORY.parent / "shared"))
Array = np.ndarray
Method = Callable[[Array], Array]
KIND = "520x696"
SHOWN = ["ap_50", "ap_75", "ap_mean", "aji_plus", "dice", "count_error"]
"""Scores of the table, see docs/columns.md."""
TEACHERS = [
    SegmentMethod(method=name, seed_distance=distance, min_diameter=8)
    for name in ("local", "otsu")
    for distance in (4.0, 8.0, 12.0, 16.0)
]
ROWS = ["cdl-alone", "cdl", "mdl2", "mdl8", "mdl", "cdl+8", "cdl+all"]
DRAWN = {"mdl2": 2, "mdl8": 8, "mdl": None}
"""How many images drawn by hand each row learns from; None: all."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=SHARED / "data/cells/dsb2018")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/out/cells")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument(
        "--rows", nargs="*", default=["cdl-alone", "cdl", *DRAWN, "cdl+8", "cdl+all"]
    )
    parser.add_argument("--sweep", action="store_true", help="CDL by images and steps as well")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(read_fields(options.data, KIND), options.out, options.steps)
    bench.conventional()
    for row in options.rows:
        bench.train(row)
    bench.finish()
    speed(bench.test_set)
    if options.sweep:
        bench.sweep()


class Bench:
    """The images, and what has been measured on them so far."""

    def __init__(self, fields: Sequence[Example], out: Path, steps: int) -> None:
        self.train_set = [one for one in fields if one.source not in HELD_OUT]
        self.test_set = [one for one in fields if one.source in HELD_OUT]
        self.out, self.steps = out, steps
        self.tallies: dict[str, Array] = {}
        self.seconds: dict[str, float] = {}
        self.curves: dict[str, pd.DataFrame] = {}
        self.weak: list[Example] = []
        print(f"{len(self.train_set)} images to learn from, {len(self.test_set)} to measure on")

    def conventional(self) -> None:
        """Rows without a network, and the labels that the tuned teacher gives."""
        self.measure("oracle maps", _oracle, by_truth=True)
        self.measure("Otsu + watershed", plain)
        best = max(TEACHERS, key=self._on_training)
        self.measure("CIP, tuned on 8 drawn images", lambda image: segment_spot(image, best))
        self.teacher = f"CIP, tuned on 8 drawn images: {best.method}, {best.seed_distance:g}"
        labels = doubtful([teach(one.image[0], best) for one in self.train_set])
        self.weak = [
            replace(one, labels=label) for one, label in zip(self.train_set, labels, strict=True)
        ]
        self.measure("phantoms alone", network_method(CellNetwork.load(phantom_weights())))

    def _on_training(self, teacher: SegmentMethod) -> float:
        few = drawn(self.train_set, 8)
        tallies = [tally(overlap(one.labels, segment_spot(one.image[0], teacher))) for one in few]
        return float(scores(np.sum(tallies, 0))["ap_50"])

    def train(self, row: str) -> None:
        """Train the network of a row and measure it."""
        weights = self.out / f"{row}.safetensors"
        start: Path | None = phantom_weights() if row in ("cdl",) else None
        if row.startswith("cdl+"):
            start = self.out / "cdl.safetensors"
        if row.startswith("cdl") and "+" not in row:
            examples = self.weak
        else:
            examples = drawn(self.train_set, DRAWN.get(row, 8 if row == "cdl+8" else None))
        self._fit(row, examples, start, weights, self.steps)

    def _fit(
        self, row: str, examples: Sequence[Example], start: Path | None, weights: Path, steps: int
    ) -> None:
        from gridwell.network.weights import save_network

        begun = time.process_time()
        rate = 3e-3 if start is None else 1e-3
        recipe = Recipe(steps=steps, rate=rate, every=max(1, steps // 4))
        network, curve = fit(prepared_fields(examples), recipe, start=start)
        self.seconds[row] = time.process_time() - begun
        self.curves[row] = curve
        save_network(weights, network, facts_of(recipe))
        self.measure(row, network_method(CellNetwork(network, facts_of(recipe), policy="forbid")))

    def measure(self, row: str, method: Method, *, by_truth: bool = False) -> None:
        """Measure a method on all test images."""
        self.tallies[row] = np.array(
            [
                tally(overlap(one.labels, method(one.labels if by_truth else one.image[0])))
                for one in self.test_set
            ]
        )
        found = scores(self.tallies[row].sum(0))
        print(f"{row:30}", *(f"{name} {float(found[name]):.3f}" for name in SHOWN), flush=True)

    def finish(self) -> None:
        """Write the table with intervals, the differences that matter, and the plot."""
        lines = []
        for row, counts in self.tallies.items():
            found, ends = scores(counts.sum(0)), interval(counts)
            line: dict[str, object] = {"row": row} | {k: float(found[k]) for k in SHOWN}
            line |= {"ap_50_low": ends["ap_50"][0], "ap_50_high": ends["ap_50"][1]}
            lines.append(line | {"cpu_s": self.seconds.get(row)})
        table = pd.DataFrame(lines)
        table.to_csv(self.out / "cells.csv", index=False)
        print(table.round(3).to_string(index=False))
        for one, other in (
            ("cdl", "Otsu + watershed"),
            ("cdl", "CIP, tuned on 8 drawn images"),
            ("cdl-alone", "CIP, tuned on 8 drawn images"),
            ("mdl", "cdl+8"),
        ):
            if one in self.tallies and other in self.tallies:
                gap = difference(self.tallies[one], self.tallies[other])
                print(f"{one} - {other}: AP@0.5 {gap[0]:+.3f} [{gap[1]:+.3f}, {gap[2]:+.3f}]")
        print(self.teacher)
        plot(table, self.out / "cells.png")
        curves = {row: curve.to_dict("list") for row, curve in self.curves.items()}
        (self.out / "curves.json").write_text(json.dumps(curves, indent=1))

    def sweep(self) -> None:
        """CDL by the number of weak images and of batches: does it trust its teacher too far?"""
        for images in (8, 20, len(self.weak)):
            for steps in (self.steps // 4, self.steps // 2, self.steps):
                row = f"cdl, {images} images, {steps} batches"
                weights = self.out / "sweep.safetensors"
                self._fit(row, drawn(self.weak, images), phantom_weights(), weights, steps)
        self.finish()


def phantom_weights() -> Path:
    """The network that has seen simulated fields only."""
    return weights_of("simulated-nuclei")


def network_method(network: CellNetwork) -> Method:
    """Label images by a network."""

    return lambda image: _labels(network.maps(image))


def _oracle(labels: Array) -> Array:
    """What perfect maps become: the limit that the flood sets."""
    maps = instance_targets(labels)
    return instances(maps.cell, maps.neighbour, maps.inside, FloodOptions())


def drawn(examples: Sequence[Example], count: int | None) -> list[Example]:
    """Some images, the same each time, as many from each source as can be."""
    if count is None or count >= len(examples):
        return list(examples)
    rank = np.random.default_rng(5).permutation(len(examples))
    order: dict[str, int] = {}
    keyed = []
    for index in rank:
        source = examples[index].source
        order[source] = order.get(source, 0) + 1
        keyed.append((order[source], index))
    return [examples[index] for _, index in sorted(keyed)[:count]]


def plain(image: Array) -> Array:
    """Otsu's threshold and a watershed of the distance, as a scikit-image tutorial has it."""
    from scipy.ndimage import distance_transform_edt
    from skimage.feature import peak_local_max
    from skimage.filters import threshold_otsu
    from skimage.measure import label
    from skimage.segmentation import watershed

    smooth = cv2.GaussianBlur(image, (0, 0), 1)
    mask = smooth > threshold_otsu(smooth)
    depth = distance_transform_edt(mask)
    peaks = peak_local_max(depth, min_distance=7, labels=label(mask))
    seeds = np.zeros(image.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return watershed(-depth, seeds, mask=mask)


def difference(one: Array, other: Array) -> tuple[float, float, float]:
    """Difference of AP@0.5 and its 95 % interval over the images."""
    low, high = interval(one, other)["ap_50"]
    gap = scores(one.sum(0))["ap_50"] - scores(other.sum(0))["ap_50"]
    return float(gap), low, high


def speed(fields: Sequence[Example]) -> None:
    """Mpx per CPU second of one core, the steps in turn on the same images, medians of three."""
    from skimage.measure import regionprops_table

    network = CellNetwork.load(weights_of("nuclei"), policy="forbid")
    images = [one.image[0] for one in fields]
    images = [image for image in images if image.shape == images[0].shape]
    maps = [network.maps(image) for image in images]
    labels = [_labels(one) for one in maps]
    steps: dict[str, Callable[[int], object]] = {
        "network": lambda i: network.maps(images[i]),
        "watershed": lambda i: _labels(maps[i]),
        "features": lambda i: measure(labels[i], images[i], {}, ring=5.0),
        "plain Otsu + watershed": lambda i: plain(images[i]),
        "plain regionprops_table": lambda i: regionprops_table(
            labels[i].astype(np.int64), images[i], properties=PROPERTIES
        ),
    }
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(3):
        for name, step in steps.items():
            begun = time.process_time()
            for index in range(len(images)):
                step(index)
            taken[name].append(time.process_time() - begun)
    pixels = sum(image.size for image in images) / 1e6
    cells = sum(int(one.max()) for one in labels) / pixels
    print(f"Mpx per CPU second, {cells:.0f} cells in a Mpx:")
    for name, seconds in taken.items():
        print(f"  {name:26} {pixels / float(np.median(seconds)):.1f}")


def _labels(maps: Maps) -> Array:
    return instances(maps.cell, maps.neighbour, maps.chance[1], FloodOptions())


PROPERTIES = ["label", "centroid", "area", "eccentricity", "axis_major_length", "solidity"]
PROPERTIES += ["axis_minor_length", "orientation", "intensity_mean", "intensity_max"]


def plot(table: pd.DataFrame, path: Path) -> None:
    """Draw AP@0.5 of all rows with its intervals."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 0.4 * len(table) + 1), layout="constrained")
    rows = np.arange(len(table))[::-1]
    away = [table.ap_50 - table.ap_50_low, table.ap_50_high - table.ap_50]
    axes.errorbar(table.ap_50, rows, xerr=away, fmt="o", color="#0072b2")
    axes.set_yticks(rows, table.row)
    axes.set_xlabel("AP at IoU 0.5 on sources that no training saw, 95 % interval over images")
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()

"""A student and its teacher on simulated autophagy: CIP, CDL and MDL on the same unseen images.

    python benchmarks/autophagy.py [--quick] [--sweep] [--seeds N] [--out FOLDER]

CIP are the labels that conventional image processing gives, with the published kinds and ratios of
error (`gridwell.phantom.autophagy.teacher`); CDL is a network that learned from nothing else, from
images other than those it is measured on; MDL one that learned from exact labels, of a few images
or of all. "4 exact to weigh" also knows the exact labels of four more images, by which its classes
are weighed; "then 4 exact" goes on learning from these, as from corrected ones. Rows "by ratio"
have a real conventional method as their teacher: spots by a top-hat, classes by the ratio of the
channels. "published" is the recipe of the published study, which had 4000 images and 15000 batches.
`--sweep` trains on teachers whose errors are chance alone, and systematic throughout, as the gain
depends on that.

Intervals are of the bootstrap over images, paired where they are of a difference. Prints a table,
writes it with every number as JSON, and a plot. Ends with an error if the gain over the teacher is
less than 15 points of mean IoU.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "scripts"))

from gridwell.config.files import write_json  # noqa: E402
from gridwell.learn.augment import Augmentation, prepare  # noqa: E402
from gridwell.learn.classes import (  # noqa: E402
    boundary_counts,
    boundary_f1,
    class_scores,
    class_tally,
    confusion,
    flat,
    reach,
)
from gridwell.learn.examples import Example  # noqa: E402
from gridwell.learn.fit import fit  # noqa: E402
from gridwell.learn.metrics import interval  # noqa: E402
from gridwell.learn.presets import PRESETS  # noqa: E402
from gridwell.learn.recipe import Recipe  # noqa: E402
from gridwell.network.cells import CellNetwork  # noqa: E402
from gridwell.network.unet import UNet  # noqa: E402
from gridwell.network.weights import save_network  # noqa: E402
from gridwell.phantom.autophagy import (  # noqa: E402
    CLASSES,
    Autophagy,
    autophagy,
    teacher,
)

BAR = 15.0
"""Points of mean IoU by which the student must surpass its teacher."""

FIRST_TEST, FIRST_EXACT = 900_000, 950_000
"""Seeds of test images, and of those that the "4 exact" rows see; training is below."""

PUBLISHED = {"CIP": 63.87, "MDL": 82.07, "CDL": 88.63}
"""Mean IoU in per cent, as published, of other images."""

Labels = np.ndarray
Judge = Callable[[Autophagy, int], Labels]


@dataclass(frozen=True)
class Effort:
    """How much is trained and measured."""

    test: int
    steps: int
    weak: tuple[int, ...]
    exact: tuple[int, ...]
    more: bool


FULL = Effort(test=64, steps=1500, weak=(16, 64, 400), exact=(4, 400), more=True)
QUICK = Effort(test=32, steps=1200, weak=(256,), exact=(), more=False)


@dataclass(frozen=True)
class Row:
    """One method, measured; `tallies` are counts of each test image, those of seeds added."""

    name: str
    images: int
    tallies: np.ndarray
    seconds: float = 0.0
    curve: list[dict] = field(default_factory=list)


def main() -> int:
    options = parse()
    one_thread()
    effort = QUICK if options.quick else FULL
    started = time.process_time()
    rows = measure(effort, range(options.seeds))
    if options.sweep:
        rows += sweep(effort)
    table = [describe(row, teacher_of(row, rows)) for row in rows]
    print(markdown(table))
    name = "quick" if options.quick else "full"
    options.out.mkdir(parents=True, exist_ok=True)
    facts = {"effort": vars(effort), "published": PUBLISHED, "rows": table}
    write_json(options.out / f"{name}.json", facts)
    plot(table, options.out / f"{name}.png")
    few = max(line["gain"] for line in table if line["method"] == "CDL, then 4 exact")
    plain = max(line["gain"] for line in table if line["method"] == "CDL")
    print(
        f"\nCDL - CIP: {plain:+.1f} points of mean IoU, {few:+.1f} after 4 exact images; "
        f"the bar is {BAR:+.0f}. {time.process_time() - started:.0f} CPU seconds."
    )
    return int(plain < BAR)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one student, two minutes")
    parser.add_argument("--sweep", action="store_true", help="teachers of other kinds as well")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each network")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/out/autophagy")
    return parser.parse_args()


def one_thread() -> None:
    """Times of a busy machine are comparable, and training the same, on one thread."""
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


# --- what is compared -------------------------------------------------------------------------


def measure(effort: Effort, seeds: Sequence[int]) -> list[Row]:
    """Measure teachers, students and networks of exact labels."""
    most = max(effort.weak)
    rows = [Row("CIP", 0, judged(teacher, effort))]
    for count in effort.weak:
        rows += student("CDL", teacher, count, effort, seeds, more=count == most)
    if effort.more:
        rows += student("CDL, published", teacher, 96, effort, seeds[:1], published=True)
        rows.append(Row("CIP, by ratio", 0, judged(by_ratio, effort)))
        rows += student("CDL, by ratio", by_ratio, most, effort, seeds[:1])
    for count in effort.exact:
        rows += student("MDL", exact, count, effort, seeds)
    return rows


def sweep(effort: Effort) -> list[Row]:
    """Measure students of teachers whose errors are chance, and systematic."""
    rows = []
    for share in (0.0, 1.0):

        def judge(truth: Autophagy, seed: int, share: float = share) -> Labels:
            return teacher(truth, seed, systematic=share, of_image=0.0)

        kind = f"{share:.0%} systematic"
        rows.append(Row(f"CIP, {kind}", 0, judged(judge, effort)))
        rows += student(f"CDL, {kind}", judge, max(effort.weak), effort, [0])
    return rows


def teacher_of(row: Row, rows: Sequence[Row]) -> Row:
    """Find what a row is compared with: CIP of the same kind, or CIP; a teacher with itself."""
    if row.name.startswith("CIP"):
        return row
    return next((one for one in rows if one.name == "CIP" + row.name.removeprefix("CDL")), rows[0])


def student(
    name: str,
    judge: Judge,
    count: int,
    effort: Effort,
    seeds: Sequence[int],
    *,
    published: bool = False,
    more: bool = False,
) -> list[Row]:
    """Train on labels of a judge, and measure on exact ones."""
    examples = [
        prepare(example(truth, judge(truth, seed), str(seed)), instance=False)
        for seed, truth in enumerate(images(0, count))
    ]
    plain, chosen, corrected, seconds, curve = 0.0, 0.0, 0.0, 0.0, []
    for seed in seeds:
        started = time.process_time()
        recipe = recipe_of(effort, published, seed)
        network, table = fit(examples, recipe, policy="forbid")
        seconds += time.process_time() - started
        curve += table.to_dict("records")
        plain = plain + scored(network, np.ones(3), effort)
        if more:
            chosen = chosen + scored(network, weights(network), effort)
            corrected = corrected + scored(go_on(network, recipe), np.ones(3), effort)
        print(f"{name}, {count} images: {seconds:.0f} s", file=sys.stderr, flush=True)
    rows = [Row(name, count, plain, seconds, curve)]
    if more:
        rows.append(Row(f"{name}, 4 exact to weigh", count, chosen))
        rows.append(Row(f"{name}, then 4 exact", count, corrected))
    return rows


def go_on(network: UNet, recipe: Recipe) -> UNet:
    """Train further on four exact images, briefly and gently."""
    examples = [
        prepare(example(truth, truth.classes, str(seed)), instance=False)
        for seed, truth in enumerate(images(FIRST_EXACT, 4))
    ]
    with tempfile.TemporaryDirectory() as folder:
        start = Path(folder) / "student.safetensors"
        save_network(start, network)
        gentle = replace(recipe, steps=recipe.steps // 5, rate=recipe.rate / 3)
        return fit(examples, gentle, start=start, policy="forbid")[0]


def example(truth: Autophagy, classes: Labels, name: str) -> Example:
    return Example(name, name, truth.image.astype(np.float32), classes=classes)


def recipe_of(effort: Effort, published: bool, seed: int) -> Recipe:
    common = {"instance": False, "classes": CLASSES, "inputs": 2, "seed": seed}
    small = {"widths": (16, 32, 48, 64), "dilations": (1,)}
    if published:
        named = dict(PRESETS["published"])
        how = Augmentation(
            **{one.name: named.pop(one.name) for one in fields(Augmentation) if one.name in named}
        )
        return Recipe(**common | small | named, crop=256, every=90, augmentation=how)
    how = Augmentation(scale=(0.8, 1.25), elastic=1.0, intensity=False)
    return Recipe(
        **common, **small, steps=effort.steps, batch=8, crop=128, entropy=0.0, every=100,
        augmentation=how,
    )  # fmt: skip


def weights(network: UNet) -> np.ndarray:
    """Weigh the classes so that the mean IoU of four exact images is highest.

    Teachers miss more than they invent; what they missed makes background too likely.
    """
    truths = images(FIRST_EXACT, 4)
    chances = [chance(network, truth) for truth in truths]
    best, found = -1.0, np.ones(3)
    for one in (1, 1.5, 2, 3, 4, 6):
        for two in (1, 1.5, 2, 3, 4, 6):
            factors = np.array([1, one, two])
            tallies = [
                tally(truth.classes, weighed(seen, factors))
                for truth, seen in zip(truths, chances, strict=True)
            ]
            value = float(flat(np.sum(tallies, axis=0))["mean_iou"])
            if value > best:
                best, found = value, factors
    return found


def scored(network: UNet, factors: np.ndarray, effort: Effort) -> np.ndarray:
    return judged(lambda truth, _: weighed(chance(network, truth), factors), effort)


def chance(network: UNet, truth: Autophagy) -> np.ndarray:
    return CellNetwork(network, {"instance": False}, policy="forbid").maps(truth.image).chance


def weighed(seen: np.ndarray, factors: np.ndarray) -> Labels:
    return (seen * factors[:, None, None]).argmax(0).astype(np.int16)


def exact(truth: Autophagy, _: int) -> Labels:
    return truth.classes


def by_ratio(truth: Autophagy, _: int) -> Labels:
    """Label spots that a top-hat finds by the stronger channel, background taken off."""
    spots = []
    for plane in truth.image.astype(np.float32):
        soft = cv2.GaussianBlur(plane, (0, 0), 1.0)
        flat_ = cv2.morphologyEx(soft, cv2.MORPH_TOPHAT, DISC)
        spots.append(flat_ / max(float(np.quantile(flat_, 0.99)), 1e-6))
    green, red = spots
    strongest = np.maximum(green, red).astype(np.float32)
    level = cv2.threshold(
        np.clip(strongest * 100, 0, 255).astype(np.uint8), 0, 255, cv2.THRESH_OTSU
    )[0]
    found = cv2.morphologyEx(
        (strongest * 100 > level).astype(np.uint8), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8)
    )
    labels = np.zeros(green.shape, np.int16)
    count, parts = cv2.connectedComponents(found)
    light = [np.bincount(parts.ravel(), one.ravel(), count) for one in (green, red)]
    kind = np.where(light[0] > light[1], 1, 2).astype(np.int16)
    labels[parts > 0] = kind[parts[parts > 0]]
    return labels


DISC = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (21, 21))


# --- numbers ----------------------------------------------------------------------------------


@cache
def images(first: int, count: int) -> tuple[Autophagy, ...]:
    return tuple(autophagy(first + i) for i in range(count))


def judged(judge: Judge, effort: Effort) -> np.ndarray:
    """Counts of each test image, (n, K (K + 2))."""
    truths = images(FIRST_TEST, effort.test)
    return np.stack([tally(truth.classes, judge(truth, i)) for i, truth in enumerate(truths)])


def tally(truth: Labels, pred: Labels) -> np.ndarray:
    edges = boundary_counts(truth, pred, len(CLASSES), reach(*truth.shape))
    return class_tally(confusion(truth, pred, len(CLASSES)), boundary_f1(edges)).ravel()


def describe(row: Row, base: Row) -> dict:
    """Scores of a row in per cent, and points above its teacher."""
    own = row.tallies.sum(0)
    share = class_scores(own.reshape(len(CLASSES), -1))
    value, low_high = flat(own), interval(row.tallies, scores=flat)["mean_iou"]
    line = {
        "method": row.name,
        "images": row.images,
        "mean_iou": 100 * float(value["mean_iou"]),
        "interval": [100 * end for end in low_high],
        "iou": {name: 100 * float(share["iou"][i]) for i, name in enumerate(CLASSES)},
        "mean_recall": 100 * float(value["mean_recall"]),
        "mean_boundary_f1": 100 * float(value["mean_boundary_f1"]),
        "gain": 0.0,
        "gain_interval": [0.0, 0.0],
        "seconds": row.seconds,
        "curve": row.curve,
    }
    if row is not base:
        seeds = row.tallies.sum() / base.tallies.sum()
        line["gain"] = line["mean_iou"] - 100 * float(flat(base.tallies.sum(0))["mean_iou"])
        ends = interval(row.tallies, base.tallies * round(seeds), scores=flat)["mean_iou"]
        line["gain_interval"] = [100 * end for end in ends]
    return line


def markdown(table: Sequence[dict]) -> str:
    lines = [
        "| method | images | mean IoU | of " + " | of ".join(CLASSES) + " | over its teacher "
        "| recall | boundary F1 | s |",
        "|---|" + 8 * "---:|",
    ]
    for line in table:
        low, high = line["interval"]
        less, more = line["gain_interval"]
        gain = f"{line['gain']:+.1f} ({less:+.1f} to {more:+.1f})" if line["gain"] else ""
        lines.append(
            f"| {line['method']} | {line['images'] or ''} "
            f"| {line['mean_iou']:.1f} ({low:.1f} to {high:.1f}) | "
            + " | ".join(f"{line['iou'][name]:.1f}" for name in CLASSES)
            + f" | {gain} | {line['mean_recall']:.1f} | {line['mean_boundary_f1']:.1f} "
            f"| {line['seconds']:.0f} |"
        )
    return "\n".join(lines)


def plot(table: Sequence[dict], path: Path) -> None:
    """Draw the mean IoU of each method with its interval, beside the published ones."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    names = [f"{line['method']} ({line['images']})" if line["images"] else line["method"]
             for line in table]  # fmt: skip
    value = np.array([line["mean_iou"] for line in table])
    ends = np.array([line["interval"] for line in table])
    place = np.arange(len(table))[::-1]
    colours = {"CIP": "tab:gray", "CDL": "tab:blue", "MDL": "tab:green"}
    figure, axes = plt.subplots(figsize=(7, 0.38 * len(table) + 1.3), layout="constrained")
    axes.barh(place, value, color=[colours[line["method"][:3]] for line in table])
    axes.errorbar(value, place, xerr=np.abs(ends.T - value), fmt="none", ecolor="black", capsize=2)
    for name, level in PUBLISHED.items():
        axes.axvline(level, color=colours[name], linestyle=":", linewidth=1)
    axes.set_yticks(place, names)
    axes.set_xlabel("mean IoU, % (dotted: as published, of other images)")
    axes.set_xlim(0, 100)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        part = Path(folder) / path.name
        figure.savefig(part, dpi=110)
        part.replace(path)
    plt.close(figure)


if __name__ == "__main__":
    raise SystemExit(main())

"""Fusion measured: states, viability, intervals and shifts on simulated slides of known truth.

    python benchmarks/fusion.py [--quick] [--only NAME ...] [--seed N] [--out scores.csv]
    python benchmarks/fusion.py --pixels [--seed N]

Every case is simulated by benchmarks/fusion_scenes.py, with labels of a good but imperfect
segmentation, and fused by each method. Rows `published` (the nearest body within 1.25 of its
radius) and `relate` (the body of the largest overlap) are computed here, without gridwell;
`assigned` takes a nucleus for stained where `posterior` matched it with a body. Scores:

  right      share of the nuclei with their true state; worst: mean of the worst tenth of spots
  bias, mae  of viability_stained against the truth of the spot's cells, in points; v_bias: of
             viability, whose truth counts false nuclei as its definition does
  cover      share of spots whose 95 % interval holds the probability that states were drawn
             with / the true share of the spot's cells; s_: those of viability_stained
  unsure     share of ambiguous nuclei; ece: expected calibration error of p_live
  shift      largest error of a stain's shift over the slide, and the 95th percentile over spots
             with 20 cells or more, in pixels
  ms         a spot
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "scripts"))
sys.path.insert(0, str(REPOSITORY / "benchmarks"))

from fusion_pixels import pixels  # noqa: E402
from fusion_scenes import ROLES, STATES, Scene, Truth, simulate  # noqa: E402
from gridwell.cells.fuse import fuse_slide  # noqa: E402
from gridwell.config.models import FuseOptions  # noqa: E402
from gridwell.images.labels import open_labels  # noqa: E402

Array = np.ndarray[Any, np.dtype[Any]]

TYPICAL = Scene()
DENSE = replace(TYPICAL, cells=600, clumps=0.5)
FAR = {"live": (4.0, -3.0), "dead": (-2.5, 4.3)}
MISSED_15 = {"missed": (0.02, 0.15, 0.15)}
LOW, HIGH = (0.0, 0.02, 0.05, 0.1), (0.9, 0.95, 0.98, 1.0)
FINE = {
    "pixel_size_um": 0.65, "cells": 60, "nucleus": (6.0, 8.0), "body": (9.0, 13.0), "blur": 1.4,
    "jitter": 0.7,
}  # fmt: skip


def single(cells: int) -> list[Scene]:
    """Slides of one spot, as a single image is."""
    middle = [0.1, 0.3, 0.5, 0.7, 0.9]
    return [
        replace(TYPICAL, rows=1, cols=1, cells=cells, viability=(middle[k % 5],), spread=0.05)
        for k in range(20)
    ]


CASES: dict[str, list[Scene]] = {
    "typical": [TYPICAL],
    "perfect labels": [replace(TYPICAL, missed=(0, 0, 0), debris=(0, 0, 0), jitter=0.2)],
    "n=5": [replace(TYPICAL, rows=6, cols=16, side=181, cells=5)],
    "n=20": [replace(TYPICAL, rows=6, cols=16, side=181, cells=20)],
    "n=60": [replace(TYPICAL, rows=4, cols=12, side=301, cells=60)],
    "dense n=600": [DENSE],
    "square spots": [replace(TYPICAL, shape="square", angle=-2.5)],
    "10x": [replace(TYPICAL, **FINE)],
    "10x, shift, missed": [
        replace(TYPICAL, **FINE, **MISSED_15, live=(9.0, -6.0), dead=(-5.0, 7.0))
    ],
    "shift 5": [replace(TYPICAL, **FAR)],
    "shift 11": [replace(TYPICAL, live=(9.0, -6.3), dead=(-7.5, -8.0))],
    "shift 5, dense": [replace(DENSE, **FAR)],
    "shift drifts by 4": [replace(TYPICAL, **FAR, drift=4.0)],
    "shift wanders by 0.7": [replace(TYPICAL, wander=0.7)],
    "shift wanders, n=20": [replace(TYPICAL, rows=6, cols=16, side=181, cells=20, wander=0.7)],
    "missed 15 %": [replace(TYPICAL, **MISSED_15)],
    "missed 30 %": [replace(TYPICAL, missed=(0.05, 0.3, 0.3))],
    "dense, shift, missed 15 %": [replace(DENSE, **FAR, **MISSED_15)],
    "dense, shift, missed, debris": [
        replace(DENSE, **FAR, **MISSED_15, debris=(0.05, 0.15, 0.15), bleed=0.06)
    ],
    "debris 30 %": [replace(TYPICAL, debris=(0.02, 0.3, 0.3))],
    "false nuclei 15 %": [replace(TYPICAL, debris=(0.15, 0.04, 0.04))],
    "bleed 0": [replace(TYPICAL, bleed=0.0, crosstalk=0.0)],
    "bleed 10 %": [replace(TYPICAL, bleed=0.1)],
    "dying 25 %": [replace(TYPICAL, viability=(0.3, 0.5, 0.6), dying=0.5)],
    "inactive 20 %": [replace(TYPICAL, inactive=0.2)],
    "low viability": [replace(TYPICAL, viability=LOW)],
    "high viability": [replace(TYPICAL, viability=HIGH)],
    "all live": [replace(TYPICAL, viability=(1.0,), inactive=0.0)],
    "all dead": [replace(TYPICAL, viability=(0.0,), inactive=0.0, dying=0.0)],
    "all inactive": [replace(TYPICAL, inactive=1.0)],
    "merged bodies 50 %": [replace(DENSE, cells=300, merged=0.5)],
    "merged bodies, missed": [replace(DENSE, cells=300, merged=0.7, **MISSED_15)],
    "faint stains": [replace(TYPICAL, levels=(250.0, 160.0, 120.0))],
    "faint live, bright dead": [replace(TYPICAL, levels=(600.0, 150.0, 2000.0))],
    "broad stains": [replace(TYPICAL, scatter=(0.4, 0.8, 0.7))],
    "saturated": [replace(TYPICAL, levels=(4000.0, 6000.0, 4000.0), ceiling=4095)],
    "out of focus 30 %": [replace(TYPICAL, blurred=0.3)],
    "uneven stain": [replace(TYPICAL, uneven=0.5)],
    "dead keep 15 % live stain": [replace(TYPICAL, residue=0.15)],
    "drug glows": [replace(TYPICAL, glow=400.0)],
    "few photons": [replace(TYPICAL, levels=(150.0, 180.0, 130.0), photons=0.15)],
    "spots without margin": [replace(TYPICAL, margin=0.0)],
    "shift wanders by 3": [replace(TYPICAL, wander=3.0)],
    "shift wanders by 3, n=20": [replace(TYPICAL, rows=6, cols=16, side=181, cells=20, wander=3.0)],
    "shift beyond the limit": [replace(TYPICAL, live=(14.0, -12.0))],
    "loose labels": [replace(TYPICAL, jitter=0.7, offset=0.2)],
    "foreign live": [replace(TYPICAL, stranger="live")],
    "foreign dead": [replace(TYPICAL, stranger="dead")],
    "image, n=20": single(20),
    "image, n=60": single(60),
    "image, n=150": single(150),
    "image, missed 15 %, n=60": [replace(one, **MISSED_15) for one in single(60)],
}
QUICK = [
    "typical", "n=20", "shift 5", "missed 15 %", "dense, shift, missed 15 %", "low viability",
    "debris 30 %", "image, n=60",
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="eight cases of fewer spots, no speed")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="cases whose name begins so")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other slides")
    parser.add_argument("--out", type=Path, help="CSV file for the scores")
    parser.add_argument("--pixels", action="store_true", help="only from pixels to EC50 (minutes)")
    options = parser.parse_args()
    if options.pixels:
        pixels(options.seed)
        return
    names = QUICK if options.quick else list(CASES)
    if options.only:
        names = [name for name in CASES if name.startswith(tuple(options.only))]
    print(f"{'case':30s} {'method':10s} " + " ".join(f"{key:>7s}" for key in COLUMNS))
    rows = []
    for name in names:
        scenes = CASES[name]
        if options.quick:
            scenes = [replace(one, rows=min(one.rows, 2), cols=min(one.cols, 6)) for one in scenes]
        for row in measure_case(name, scenes, options.seed):
            rows.append(row)
            print(line(row), flush=True)
    pooled(rows)
    if options.out:
        pd.DataFrame(rows).to_csv(options.out, index=False)
    if "speed".startswith(tuple(options.only or ["speed"])) and not options.quick:
        speed()


COLUMNS = {
    "right": "{:.4f}", "worst": "{:.3f}", "bias": "{:+.2f}", "mae": "{:.2f}", "v_bias": "{:+.2f}",
    "cover_p": "{:.3f}", "cover_n": "{:.3f}", "s_cov_p": "{:.3f}", "s_cov_n": "{:.3f}",
    "unsure": "{:.3f}", "ece": "{:.3f}", "shift": "{:.2f}", "sh_spot": "{:.2f}", "ms": "{:.0f}",
}  # fmt: skip


def pooled(rows: Sequence[dict[str, Any]]) -> None:
    """Print what holds over all cases: coverage, and where another method does better."""
    table = pd.DataFrame(rows)
    # A slide that does not register is left without states, as it should be.
    table = table[~table["said"].str.contains("!").groupby(table["case"]).transform("any")]
    own = table[table["method"] == "posterior"].set_index("case")
    for end, what in (("p", "the probability drawn with"), ("n", "the true share of the cells")):
        shares = [
            f"{name} {np.average(own[key].dropna(), weights=own['spots'][own[key].notna()]):.3f}"
            for name, key in (("viability", f"cover_{end}"), ("stained", f"s_cov_{end}"))
            if key in own
        ]
        print(f"95 % intervals hold {what}: {', '.join(shares)}")
    for score in ("right", "worst"):
        others = table[table["method"] != "posterior"]
        best = others.loc[others.groupby("case")[score].idxmax()].set_index("case")[
            ["method", score]
        ]
        for case, gap in (best[score] - own[score].reindex(best.index)).items():
            if gap > 1e-9:
                print(f"below {best['method'][case]} by {gap:.4f} ({score}): {case}")


def line(row: dict[str, Any]) -> str:
    shown = [
        (form.format(row[key]) if np.isfinite(row.get(key, np.nan)) else "").rjust(7)
        for key, form in COLUMNS.items()
    ]
    return f"{row['case']:30s} {row['method']:10s} {' '.join(shown)} {row.get('said', '')}"


@dataclass
class Fused:
    """What one method made of a slide; tables as fuse_slide writes them."""

    nuclei: pd.DataFrame
    spots: pd.DataFrame
    shifts: dict[str, Any]
    seconds: float


def measure_case(name: str, scenes: Sequence[Scene], seed: int) -> list[dict[str, Any]]:
    """Scores of every method on the slides of a case, taken together."""
    parts: dict[str, list[dict[str, Any]]] = {}
    # What gridwell offers besides is the same as `published` and `relate`: seen in a few cases.
    tried = methods() if name in QUICK else ["posterior"]
    for at, scene in enumerate(scenes):
        with tempfile.TemporaryDirectory() as folder:
            truth = simulate(replace(scene, seed=1000 * seed + at), Path(folder))
            for method, fused in every_method(Path(folder), truth, tried).items():
                parts.setdefault(method, []).append(judged(truth, fused))
    return [{"case": name, "method": method} | summed(own) for method, own in parts.items()]


def methods() -> list[str]:
    """Methods that fuse_slide offers."""
    return list(get_args(FuseOptions.model_fields["method"].annotation))


def every_method(folder: Path, truth: Truth, tried: Sequence[str]) -> dict[str, Fused]:
    fused = {"published": nearest(folder, truth), "relate": overlapped(folder, truth)}
    for method in tried:
        fused[method] = fuse(folder, truth, method)
    fused["assigned"] = stated(truth, *(held(fused["posterior"], role) for role in ROLES[1:]), 0.0)
    return fused


def held(fused: Fused, role: str) -> Array:
    """Nuclei that have a body or share one."""
    own = fused.nuclei[[f"{role}_label", f"{role}_shared"]]
    return own.notna().any(axis=1).to_numpy(bool)


def run_fuse(folder: Path, options: FuseOptions) -> float:
    """Seconds that fuse_slide takes for the slide in a folder."""
    start = time.perf_counter()
    fuse_slide(
        folder / "spots.zarr",
        {role: folder / f"{role}.parquet" for role in ROLES},
        {role: folder / f"{role}.zarr" for role in ROLES},
        cells_out=folder / "cells.parquet",
        spots_out=folder / "spots.csv",
        shifts_out=folder / "shifts.json",
        options=options,
    )
    return time.perf_counter() - start


def fuse(folder: Path, truth: Truth, method: str) -> Fused:
    """Run fuse_slide and bring its nuclei into the order of the truth."""
    seconds = run_fuse(folder, FuseOptions(method=method))
    cells = pd.read_parquet(folder / "cells.parquet")
    nuclei = cells[cells["nuclei_label"].notna()].astype({"nuclei_label": "int64"})
    order = labelled(truth)[["spot", "nuclei"]].rename(columns={"nuclei": "nuclei_label"})
    shifts = json.loads((folder / "shifts.json").read_text())
    return Fused(
        order.merge(nuclei, on=["spot", "nuclei_label"], how="left", validate="1:1"),
        pd.read_csv(folder / "spots.csv"),
        shifts,
        seconds,
    )


def labelled(truth: Truth) -> pd.DataFrame:
    """Nuclei that have a label: those of cells with their state, then the false ones."""
    real = truth.cells[truth.cells["nuclei"] > 0][["spot", "nuclei", "state"]]
    false = truth.false[truth.false["role"] == "nuclei"][["spot", "label"]]
    return pd.concat([real, false.rename(columns={"label": "nuclei"})], ignore_index=True)


def nearest(folder: Path, truth: Truth) -> Fused:
    """The published method: the nearest body within 1.25 of its radius; no shift."""
    start = time.perf_counter()
    tables = {role: pd.read_parquet(folder / f"{role}.parquet") for role in ROLES}
    order = labelled(truth)
    found = {}
    for role in ROLES[1:]:
        hits = set()
        bodies = dict(iter(tables[role].groupby("spot")))
        for spot, nuclei in tables["nuclei"].groupby("spot"):
            if spot not in bodies:
                continue
            body = bodies[spot]
            away, at = cKDTree(body[["x", "y"]]).query(nuclei[["x", "y"]])
            near = away <= 1.25 * np.sqrt(body["area"].to_numpy()[at] / np.pi)
            hits |= {(spot, label) for label in nuclei["label"][near]}
        found[role] = np.array(
            [key in hits for key in zip(order["spot"], order["nuclei"], strict=True)], bool
        )
    seconds = time.perf_counter() - start
    return stated(truth, found["live"], found["dead"], seconds)


def overlapped(folder: Path, truth: Truth) -> Fused:
    """Nuclei that any body of a stain overlaps have this stain, as CellProfiler relates them."""
    start = time.perf_counter()
    order = labelled(truth)
    nuclei = open_labels(folder / "nuclei.zarr")
    spots = nuclei.frame.spots
    found = {}
    for role in ROLES[1:]:
        bodies = open_labels(folder / f"{role}.zarr")
        hits = set()
        for at, spot in enumerate(spots):
            one, other = nuclei.read(at, at + 1)[0], bodies.read(at, at + 1)[0]
            hits |= {(spot, int(label)) for label in np.unique(one[other > 0])}
        found[role] = np.array(
            [key in hits for key in zip(order["spot"], order["nuclei"], strict=True)], bool
        )
    seconds = time.perf_counter() - start
    return stated(truth, found["live"], found["dead"], seconds)


def stated(truth: Truth, live: Array, dead: Array, seconds: float) -> Fused:
    """States and viabilities from yes or no for each nucleus."""
    order = labelled(truth)[["spot"]]
    state = np.array([["inactive", "dead"], ["live", "dying"]], dtype=object)
    nuclei = order.assign(state=state[live.astype(int), dead.astype(int)])
    counts = pd.crosstab(nuclei["spot"], nuclei["state"])
    counts = counts.reindex(index=truth.spots["spot"], columns=list(STATES), fill_value=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        spots = pd.DataFrame(
            {
                "spot": counts.index,
                "viability": (counts["live"] / counts.sum(axis=1)).to_numpy(),
                "viability_stained": (
                    counts["live"] / counts[["live", "dying", "dead"]].sum(axis=1)
                ).to_numpy(),
            }
        )
    return Fused(nuclei, spots, {}, seconds)


def judged(truth: Truth, fused: Fused) -> dict[str, Any]:
    """Raw outcomes of one slide, to be summed up over slides."""
    order = labelled(truth)
    real = order["state"].notna().to_numpy()
    nuclei = fused.nuclei[real]
    true = order["state"][real].to_numpy()
    right = nuclei["state"].fillna("").to_numpy() == true
    result: dict[str, Any] = {
        "right": right,
        "by_spot": pd.Series(right).groupby(nuclei["spot"].to_numpy()).agg(["mean", "size"]),
        "ms": 1000 * fused.seconds / len(truth.spots),
    }
    if "ambiguous" in nuclei:
        result["unsure"] = nuclei["ambiguous"].fillna(False).to_numpy(bool)
        result["p_live"] = nuclei["p_live"].to_numpy(np.float64)
        result["has_live"] = np.isin(true, ["live", "dying"])
    counts = pd.crosstab(truth.cells["spot"], truth.cells["state"])
    counts = counts.reindex(index=truth.spots["spot"], columns=list(STATES), fill_value=0)
    stained = counts[["live", "dying", "dead"]].sum(axis=1).to_numpy()
    spots = truth.spots.merge(fused.spots, on="spot", suffixes=("_true", ""), validate="1:1")
    false = truth.false["spot"][truth.false["role"] == "nuclei"].value_counts()
    nuclei_of = counts.sum(axis=1) + false.reindex(counts.index, fill_value=0)
    spots["live_share"] = counts["live"].to_numpy() / np.maximum(nuclei_of.to_numpy(), 1)
    spots["stained_share"] = np.where(
        stained > 0, counts["live"].to_numpy() / np.maximum(stained, 1), np.nan
    )
    result["spots"] = spots
    result["shift"], result["sh_spot"] = shift_errors(truth, fused, counts.sum(axis=1))
    result["said"] = ";".join(
        ("" if facts["registered"] else "!") + facts["calibration"]
        for role, facts in fused.shifts.items()
        if role in ROLES
    )
    return result


def shift_errors(truth: Truth, fused: Fused, count: pd.Series) -> tuple[float, list[float]]:
    """Largest error of the slide's shifts, and that of every spot of 20 cells or more."""
    if not fused.shifts:
        return float("nan"), []
    slide, spots = [], []
    enough = count.reindex(fused.spots["spot"]).to_numpy() >= 20
    for role in ROLES[1:]:
        true = truth.spots[[f"{role}_dx", f"{role}_dy"]].to_numpy()
        facts = fused.shifts[role]
        slide.append(float(np.hypot(*(np.array([facts["dx"], facts["dy"]]) - true.mean(axis=0)))))
        columns = [f"shift_{role}_{axis}" for axis in "xy"]
        if set(columns) <= set(fused.spots):
            off = np.hypot(*(fused.spots[columns].to_numpy(np.float64) - true).T)
            spots += list(off[enough & np.isfinite(off)])
    return max(slide), spots


def summed(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Scores of a case from the outcomes of its slides."""
    by_spot = pd.concat([part["by_spot"] for part in parts])
    by_spot = by_spot[by_spot["size"] >= 10] if (by_spot["size"] >= 10).any() else by_spot
    accuracy = np.sort(by_spot["mean"].to_numpy())
    spots = pd.concat([part["spots"] for part in parts], ignore_index=True)
    error = 100 * (spots["viability_stained"] - spots["stained_share"]).dropna()
    row: dict[str, Any] = {
        "spots": len(spots),
        "right": float(np.concatenate([part["right"] for part in parts]).mean()),
        "worst": float(accuracy[: max(1, -(-len(accuracy) // 10))].mean()),
        "bias": float(error.mean()),
        "mae": float(error.abs().mean()),
        "v_bias": float(100 * (spots["viability"] - spots["live_share"]).mean()),
        "shift": float(np.max([part["shift"] for part in parts])),
        "ms": float(np.mean([part["ms"] for part in parts])),
        "said": ", ".join(sorted({part["said"] for part in parts})),
    }
    off = np.concatenate([part["sh_spot"] for part in parts])
    row["sh_spot"] = float(np.quantile(off, 0.95)) if off.size else float("nan")
    row |= covered(spots, "viability", "live", "live_share", "cover")
    row |= covered(spots, "viability_stained", "viability_true", "stained_share", "s_cov")
    if "unsure" in parts[0]:
        row["unsure"] = float(np.concatenate([part["unsure"] for part in parts]).mean())
        told = [np.concatenate([part[key] for part in parts]) for key in ("p_live", "has_live")]
        row["ece"] = calibration_error(*told)
    return row


def covered(spots: pd.DataFrame, of: str, drawn: str, share: str, name: str) -> dict[str, float]:
    """How often the intervals of a number hold what is true of the spots."""
    if f"{of}_low" not in spots:
        return {}
    known = spots[spots[f"{of}_low"].notna()]
    low, high = known[f"{of}_low"] - 1e-9, known[f"{of}_high"] + 1e-9
    return {
        f"{name}_{end}": float(known[column].between(low, high).mean()) if len(known) else np.nan
        for end, column in (("p", drawn), ("n", share))
    }


def calibration_error(probability: Array, outcome: Array) -> float:
    """Expected calibration error over ten bins of equal width."""
    known = np.isfinite(probability)
    if not known.any():
        return float("nan")
    p, y = probability[known], outcome[known]
    at = np.minimum((p * 10).astype(int), 9)
    gaps = np.abs(np.bincount(at, p, 10) - np.bincount(at, y, 10))
    return float(gaps.sum() / len(p))


def speed() -> None:
    """The whole stage on a full slide, beside region properties and nearest bodies alone."""
    scene = replace(TYPICAL, rows=14, cols=48, cells=200)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulate(scene, folder, distinct=1)
        context = multiprocessing.get_context("spawn")
        print("\n672 spots of 200 cells, 3 channels, one process")
        for work in (run_peer, run_stage):
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                seconds, megabytes = pool.submit(work, folder).result()
            print(f"{work.__doc__.splitlines()[0]:60s} {seconds:6.1f} s {megabytes:6.0f} MB")


def run_stage(folder: Path) -> tuple[float, float]:
    """gridwell: fuse_slide, from labels and pixels to spots.csv"""
    return run_fuse(folder, FuseOptions()), peak_memory()


def run_peer(folder: Path) -> tuple[float, float]:
    """peer: scikit-image regionprops_table and scipy cKDTree"""
    from gridwell.images.spots import open_spots
    from skimage.measure import regionprops_table

    start = time.perf_counter()
    stack = open_spots(folder / "spots.zarr")
    labels = {role: open_labels(folder / f"{role}.zarr") for role in ROLES}
    for at in range(len(stack.names)):
        places = []
        for role in ROLES:
            table = regionprops_table(
                labels[role].read(at, at + 1)[0].astype(np.int64),
                np.stack([stack.read(other, at, at + 1)[0] for other in ROLES], axis=-1),
                properties=("label", "centroid", "area", "intensity_mean"),
            )
            places.append(np.column_stack([table["centroid-0"], table["centroid-1"]]))
        for bodies in places[1:]:
            if len(bodies):
                cKDTree(bodies).query(places[0])
    return time.perf_counter() - start, peak_memory()


def peak_memory() -> float:
    """Megabytes; unlike getrusage, without what the parent process held when it forked."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return float(next(each for each in status.splitlines() if "VmHWM" in each).split()[1]) / 1024


if __name__ == "__main__":
    main()

"""Grid detection, measured: simulated carriers of four levels, real images, and other tools.

    python benchmarks/grid.py [--images N] [--curves] [--peers] [--only PART ...] [--workers N]

Parts are `levels` (N carriers each of L1 easy to L4 extreme, of which nothing is told to the
detector), `negatives` (N / 5 images of each kind without a grid), `carrier` (rows and columns
known, but edge lines, a half or a round region of the grid empty), `real` (the images of
data/grids of GRIDWELL_SHARED), and on demand `curves` (one disturbance after the other, up to
where detection breaks) and `peers` (dearrayer and phenotypic, in environments of their own).
Every image is a row of a table in the output folder; Markdown tables are printed. Ends with an
error if any grid is `ok` and wrong.

A silent error is a grid that is `ok` and wrong. Where lines at the rim of a block are so empty
that no image can tell (`identifiable`), a wrong grid that is not `ok` counts as flagged.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import grid_peers
import grid_scores
import numpy as np
import pandas as pd

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "scripts"))

import grid_real  # noqa: E402
from gridwell.config.models import Carrier, GridOptions  # noqa: E402
from gridwell.grid.detect import detect_grid  # noqa: E402
from gridwell.grid.elements import to_gray  # noqa: E402
from gridwell.grid.model import Grid  # noqa: E402
from gridwell.phantom.grid_images import NEGATIVES, Sample, negative, render, sample  # noqa: E402
from gridwell.phantom.grids import LEVELS, Recipe, Scene, build, recipe  # noqa: E402

PARTS = ("levels", "negatives", "carrier", "real")
FIRST_SEED = 900_000
"""Seeds from here on are the benchmark's: training stays below."""

LARGE = 96  # elements from which geometry is held to the bars


def main() -> int:
    options = parse()
    shared = Path(os.environ.get("GRIDWELL_SHARED", REPOSITORY.parent / "shared"))
    work: dict[str, Callable[[], list[Case]]] = {
        "levels": lambda: level_cases(options.images),
        "negatives": lambda: negative_cases(max(options.images // 5, 1)),
        "carrier": lambda: carrier_cases(max(options.images // 20, 1)),
        "curves": lambda: curve_cases(max(options.images // 20, 2)),
        "real": lambda: real_cases(shared / "data/grids", options.out / "real"),
    }
    tables = {}
    for part in options.parts:
        if part == "peers":
            show_peers(options)
            continue
        tables[part] = run(work[part](), options.workers)
        save(tables[part], options.out / f"{part}.csv")
        print(f"\n## {part}\n\n{SUMMARY[part](tables[part])}", flush=True)
    if {"levels", "negatives"} <= tables.keys():
        print(f"\n## confidence\n\n{confidence_summary(tables)}")
    silent = sum(int(table["silent"].sum()) for table in tables.values())
    print(f"\n{silent} silent errors")
    return int(silent > 0)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100, help="carriers of each level")
    parser.add_argument("--only", nargs="+", choices=(*PARTS, "curves", "peers"), default=[])
    parser.add_argument("--curves", action="store_true", help="break points as well")
    parser.add_argument("--peers", action="store_true", help="other tools as well")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/out/grid")
    options = parser.parse_args()
    more = [name for name in ("curves", "peers") if getattr(options, name)]
    options.parts = options.only or [*PARTS, *more]
    return options


# --- cases ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One image to measure: `look` makes a row of the table, `facts` stand before it."""

    facts: dict
    look: Callable[[], dict]

    def __call__(self) -> dict:
        return self.facts | self.look()


def run(cases: list[Case], workers: int) -> pd.DataFrame:
    """Measure all cases."""
    if workers == 1:
        cv2.setNumThreads(1)
        return pd.DataFrame(_counted((case() for case in cases), len(cases)))
    with multiprocessing.get_context("spawn").Pool(workers, cv2.setNumThreads, (1,)) as pool:
        return pd.DataFrame(_counted(pool.imap(_call, cases, chunksize=1), len(cases)))


def _call(case: Case) -> dict:
    return case()


def _counted(rows: Iterable[dict], count: int) -> list[dict]:
    done = []
    for row in rows:
        done.append(row)
        if sys.stderr.isatty():
            print(f"\r{len(done)} of {count} ", end="", file=sys.stderr, flush=True)
    return done


def level_cases(images: int) -> list[Case]:
    return [
        Case(
            {"level": level, "seed": seed},
            partial(measure, partial(sample, level, seed), GridOptions()),
        )
        for level in LEVELS
        for seed in range(FIRST_SEED, FIRST_SEED + images)
    ]


def negative_cases(images: int) -> list[Case]:
    return [
        Case(
            {"kind": kind, "seed": seed},
            partial(measure, partial(negative, kind, seed), GridOptions()),
        )
        for kind in NEGATIVES
        for seed in range(FIRST_SEED, FIRST_SEED + images)
    ]


EMPTY = {
    "nothing": lambda r, c: r < 0,
    "first row": lambda r, c: r == 0,
    "last two rows": lambda r, c: r >= r.max() - 1,
    "first two columns": lambda r, c: c < 2,
    "last column": lambda r, c: c == c.max(),
    "left half": lambda r, c: c < c.max() / 2,
    "lower half": lambda r, c: r > r.max() / 2,
    "hole of 40 %": lambda r, c: (r / r.max() - 0.45) ** 2 + (c / c.max() - 0.45) ** 2 < 0.13,
}
"""What is empty on carriers whose rows and columns are known."""

PLACES = {"centred": (1.0, 1.0, 1.0, 1.0), "framed": (2.5, 1.5, 1.5, 3.0), "off": (0.3, 2.0, 3, 1)}
"""Free space left, above, right and below, in pitches; off the centre, only a frame tells where."""


def carrier_cases(seeds: int) -> list[Case]:
    cases = []
    for rows, cols in ((8, 12), (16, 24), (14, 48)):
        told = Carrier(title="known", rows=rows, cols=cols)
        for empty in EMPTY:
            for place in PLACES:
                for seed in range(FIRST_SEED, FIRST_SEED + seeds):
                    make = partial(emptied, rows, cols, empty, place, seed)
                    facts = {"carrier": f"{rows}x{cols}", "empty": empty, "place": place}
                    look = partial(measure, make, GridOptions(), told)
                    cases.append(Case(facts | {"seed": seed}, look))
    return cases


def emptied(rows: int, cols: int, empty: str, place: str, seed: int) -> Sample:
    """Paint a carrier of which a part is empty by design."""
    base = recipe("L2", seed)
    made = replace(
        base,
        block_rows=(rows,),
        block_cols=(cols,),
        gaps=(1.0, 1.0),
        aspect=1.0,
        margin=PLACES[place],
        missing=min(base.missing, 0.05),
        pattern="random",
        perspective=0.0,
        rotation=base.rotation / 5,
        pitch=max(base.pitch, 12.0),
    )
    scene = build(made, "L2", seed)
    r, c = np.indices(scene.present.shape)
    there = scene.present & ~EMPTY[empty](r, c)
    return render(
        replace(scene, present=there, merged=scene.merged[:0]), seed, frame=place == "framed"
    )


SWEEPS: dict[str, tuple[float, ...]] = {
    "missing": (0.2, 0.4, 0.5, 0.6, 0.7, 0.8),
    "hole": (0.2, 0.4, 0.6),
    "false": (0.25, 0.5, 1.0, 1.5, 2.0),
    "jitter": (0.05, 0.08, 0.1, 0.12, 0.15),
    "steepest": (0.03, 0.06, 0.09, 0.12),
    "lines": (0.04, 0.08, 0.12, 0.16),
    "tile": (0.05, 0.1, 0.15),
    "perspective": (0.1, 0.2, 0.4),
    "merged": (0.1, 0.3, 0.5),
}
"""Amounts of one disturbance at a time; the last ones are meant to fail."""


def curve_cases(seeds: int) -> list[Case]:
    return [
        Case(
            {"factor": factor, "amount": amount, "grid": f"{rows}x{cols}", "seed": seed},
            partial(measure, partial(disturbed, rows, cols, factor, amount, seed), GridOptions()),
        )
        for factor, amounts in SWEEPS.items()
        for amount in amounts
        for rows, cols in ((8, 12), (16, 24))
        for seed in range(FIRST_SEED, FIRST_SEED + seeds)
    ]


def disturbed(rows: int, cols: int, factor: str, amount: float, seed: int) -> Sample:
    """Paint an easy carrier with one disturbance."""
    plain = replace(
        recipe("L1", seed), block_rows=(rows,), block_cols=(cols,), aspect=1.0, pitch=24.0
    )
    made: Recipe
    if factor == "hole":
        made = replace(plain, missing=amount, pattern="hole")
    elif factor == "steepest":  # as much warp as its slope allows
        made = replace(plain, warp=9.0, steepest=amount)
    else:
        made = replace(plain, **{factor: amount})
    return render(build(made, "L1", seed), seed)


def real_cases(folder: Path, out: Path) -> list[Case]:
    return [Case({}, partial(measure_real, real, out)) for real in grid_real.find_images(folder)]


# --- measuring --------------------------------------------------------------------------------


def measure(
    make: Callable[[], Sample], options: GridOptions, carrier: Carrier | None = None
) -> dict:
    """Detect the grid of one simulated image and compare it with the truth."""
    made = make()
    start = time.process_time()
    gray = to_gray(made.image) if made.image.ndim == 3 else made.image
    try:
        grid = detect_grid(gray, scale=1.0, options=options, carrier=carrier)
    except Exception as error:
        grid = Grid(status="crashed", reason=repr(error), confidence=0.0)
    row = {
        "cpu s": time.process_time() - start,
        "status": grid.status,
        "confidence": grid.confidence,
        "found": f"{grid.rows}x{grid.cols}",
        "reason": grid.reason,
        "style": made.style,
        "width": made.image.shape[1],
        "height": made.image.shape[0],
    }
    if made.scene is None:
        wrong = grid.status == "ok"
        return row | {"true": "none", "right": not wrong, "silent": wrong}
    scores = grid_scores.compare(grid, truth_of(made.scene))
    return row | scores | facts_of(made.scene) | verdict(grid.status, scores["exact"])


def verdict(status: str, exact: bool) -> dict:
    return {"right": exact, "silent": status == "ok" and not exact}


def truth_of(scene: Scene) -> grid_scores.Truth:
    return grid_scores.Truth(
        nodes=scene.nodes,
        centres=scene.centres,
        present=scene.present,
        pitch=scene.pitch,
        angle=scene.angle,
        size=scene.spot_size,
    )


def facts_of(scene: Scene) -> dict:
    return {
        "true": f"{scene.rows}x{scene.cols}",
        "elements there": int(scene.present.sum()),
        "blocks": len(scene.block_rows) * len(scene.block_cols),
        "pitch": min(scene.pitch),
        "identifiable": scene.identifiable,
    }


def measure_real(real: grid_real.Real, out: Path) -> dict:
    row = grid_real.look(real, out)
    wrong = row["verdict"] == "wrong"
    return row | {"right": not wrong, "silent": row["status"] == "ok" and wrong}


# --- tables -----------------------------------------------------------------------------------


def levels_summary(table: pd.DataFrame) -> str:
    rows = [_level_row(level, part) for level, part in table.groupby("level")]
    errors = [_error_row(level, part) for level, part in table.groupby("level")]
    return "\n\n".join(
        [
            markdown(rows),
            f"Errors where the grid is right and has {LARGE} positions or more, medians "
            "(sizes of all right grids):",
            markdown(errors),
        ]
    )


def confidence_summary(tables: dict[str, pd.DataFrame]) -> str:
    """Weigh risk against coverage: of all images, and of those that a person could tell."""
    levels, negatives = tables["levels"], tables["negatives"].assign(right=False)
    told = levels[levels["identifiable"]]
    return "\n\n".join(
        [
            "All carriers and negatives:",
            markdown(grid_scores.risk_by_confidence(pd.concat([levels, negatives]))),
            "Without the carriers that cannot be identified:",
            markdown(grid_scores.risk_by_confidence(pd.concat([told, negatives]))),
        ]
    )


def _level_row(level: str, part: pd.DataFrame) -> dict:
    known = part[part["identifiable"]]
    accepted = part[part["status"] == "ok"]
    return {
        "level": level,
        "images": len(part),
        "rows x cols and labels exact %": 100 * part["right"].mean(),
        "identifiable": len(known),
        "exact of these %": 100 * known["right"].mean(),
        "right or flagged %": 100 * (~part["silent"]).mean(),
        "elements right %": 100 * part["elements"].mean(),
        "ok %": 100 * (part["status"] == "ok").mean(),
        "crashed": int((part["status"] == "crashed").sum()),
        "ok of the right %": 100 * accepted["right"].sum() / max(part["right"].sum(), 1),
        "silent": int(part["silent"].sum()),
        "silent, identifiable": int(known["silent"].sum()),
        "cpu s": part["cpu s"].median(),
        "cpu s max": part["cpu s"].max(),
    }


def _error_row(level: str, part: pd.DataFrame) -> dict:
    right = part[part["right"]]
    sizes = [int(np.prod([int(n) for n in true.split("x")])) for true in right["true"]]
    large = right[np.array(sizes, int) >= LARGE]
    names = ("pitch %", "angle", "position %")
    row = {"level": level, "grids": len(large)}
    row |= {name: large[name].median() for name in names}
    row |= {f"{name} p95": large[name].quantile(0.95) for name in names}
    return row | {"size %": right["size %"].median(), "size % p95": right["size %"].quantile(0.95)}


def negatives_summary(table: pd.DataFrame) -> str:
    return markdown(
        {
            "kind": kind,
            "images": len(part),
            "called ok": int(part["silent"].sum()),
            "failed %": 100 * (part["status"] == "failed").mean(),
            "highest confidence": part["confidence"].max(),
            "cpu s": part["cpu s"].median(),
        }
        for kind, part in table.groupby("kind")
    )


def carrier_summary(table: pd.DataFrame) -> str:
    return markdown(_outcomes(table, ["place", "empty"]))


def curves_summary(table: pd.DataFrame) -> str:
    return markdown(_outcomes(table, ["factor", "amount", "grid"]))


def _outcomes(table: pd.DataFrame, by: list[str]) -> list[dict]:
    """Count what became of the images, by some columns."""
    rows = []
    for key, part in table.groupby(by, sort=False):
        ok = part["status"] == "ok"
        rows.append(
            dict(zip(by, key, strict=True))
            | {
                "images": len(part),
                "right %": 100 * part["right"].mean(),
                "right and ok %": 100 * (part["right"] & ok).mean(),
                "wrong, flagged %": 100 * (~part["right"] & ~ok).mean(),
                "silent": int(part["silent"].sum()),
                "elements right %": 100 * part["elements"].mean(),
                "cpu s": part["cpu s"].median(),
            }
        )
    return rows


def real_summary(table: pd.DataFrame) -> str:
    known = table[table["verdict"] != ""]
    right = known["verdict"] == "right"
    words = (
        f"{len(table)} images, {len(known)} with truth: {right.sum()} right, of these "
        f"{(right & (known['status'] == 'ok')).sum()} ok; {known['silent'].sum()} ok and wrong."
    )
    shown = table.drop(columns=["reason", "right", "silent"])
    shown["image"] = shown["image"].str.split("/").str[-1]
    return markdown(shown) + "\n\n" + words


SUMMARY = {
    "levels": levels_summary,
    "negatives": negatives_summary,
    "carrier": carrier_summary,
    "curves": curves_summary,
    "real": real_summary,
}


def show_peers(options: argparse.Namespace) -> None:
    """Let the other tools work on the same images, rows and columns given."""
    seeds = range(FIRST_SEED, FIRST_SEED + max(options.images // 10, 2))
    samples = {f"{level}, {i}": sample(level, i) for level in ("L1", "L2") for i in seeds}
    for empty in ("first row", "first two columns", "left half", "hole of 40 %"):
        for i in seeds:
            samples[f"8x12 {empty} empty, {i}"] = emptied(8, 12, empty, "centred", i)
    truths = {name: truth_of(made.scene) for name, made in samples.items() if made.scene}
    table = grid_peers.compare(samples, truths, options.out / "environments")
    own = run([Case({"case": n}, partial(_own, m)) for n, m in samples.items()], options.workers)
    table = pd.concat([own.assign(tool="gridwell"), table], ignore_index=True)
    save(table, options.out / "peers.csv")
    print("\n## peers\n")
    print(markdown(grid_peers.summary(table)), flush=True)


def _own(made: Sample) -> dict:
    """Measure gridwell as the others are: rows and columns given."""
    rows, cols = made.scene.present.shape
    options = GridOptions(rows=rows, cols=cols)
    row = measure(lambda: made, options)
    return {name: row[name] for name in ("elements", "exact", "status", "cpu s")}


def markdown(rows: pd.DataFrame | Iterable[dict]) -> str:
    """Write a table in Markdown; numbers with three digits."""
    table = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    cells = [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    lines = [list(table.columns), ["---"] * len(table.columns), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return str(value)


def save(table: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, float_format="%.6g")


if __name__ == "__main__":
    sys.exit(main())

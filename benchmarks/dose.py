"""Dose-response curves, measured: against published fits, against simulated truth, for time.

    python benchmarks/dose.py [--quick] [--curves N]

Prints (1) parameters of published fits beside ours: R's drc 3.2-0 and NIST's certified values;
(2) growth-rate metrics beside those of the authors' program, where GRIDWELL_SHARED has the tables;
(3) how often the 95 % interval of EC50 holds the truth, its median error and width, for counts
that are beta-binomial (8 doses x 3 spots and 12 controls, 30 to 200 cells a spot, phi 25), for
each way of choosing a curve; (4) the time of a fit as a ratio to scipy.optimize.curve_fit.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "scripts"))

from gridwell.screen.counts import fit_counts  # noqa: E402
from gridwell.screen.curve import Curve  # noqa: E402
from gridwell.screen.growth import fit_gr, gr_values  # noqa: E402
from gridwell.screen.squares import fit_curve  # noqa: E402

PHI = 25.0
DOSES = np.r_[np.zeros(12), np.repeat(10 ** np.linspace(-2, 1.5, 8), 3)]
SCENES = ("typical", "to nothing", "high plateau", "at the ends", "asymmetric", "few cells",
          "binomial", "flat")  # fmt: skip
WAYS: dict[str, dict[str, Any]] = {
    "flat, 4pl (default)": {},
    "flat, 4pl, 5pl": {"models": ("flat", "4pl", "5pl")},
    "all, F-test": {"models": ("flat", "3pl", "4pl", "5pl")},
    "all, AICc": {"models": ("flat", "3pl", "4pl", "5pl"), "choose": "aicc"},
}

# R drc 3.2-0: (table, columns, model, fixed levels, parameters).
DRC: list[tuple[str, str, str, str, str, dict[str, float]]] = [
    ("ryegrass", "conc", "rootl", "", "4pl",
     {"b": 2.98222, "c": 0.48141, "d": 7.79296, "e": 3.05795, "rss": 5.4002146}),
    ("ryegrass", "conc", "rootl", "", "5pl",
     {"b": 3.92870, "c": 0.32165, "d": 7.76054, "e": 2.21539, "f": 0.46831, "rss": 5.277047}),
    ("S.alba", "Dose", "DryMatter", "Herbicide=Glyphosate", "4pl",
     {"b": 2.7154086, "c": 0.8912382, "d": 3.8757588, "e": 62.0876063}),
    ("S.alba", "Dose", "DryMatter", "Herbicide=Bentazone", "4pl",
     {"b": 5.1348097, "c": 0.6818450, "d": 3.8057906, "e": 29.2684443}),
]  # fmt: skip

# NIST StRD, Rat43: y = b1 / (1 + exp(b2 - b3 x)) ** (1 / b4), certified.
RAT43 = [16.08, 33.83, 65.80, 97.20, 191.55, 326.20, 386.87, 520.53, 590.03, 651.92, 724.93,
         699.56, 689.96, 637.56, 717.41]  # fmt: skip
RAT43_CERTIFIED = {"b1": 699.64151270, "b2": 5.2771253025, "b3": 0.75962938329,
                   "b4": 1.2792483859, "rss": 8786.4049080}  # fmt: skip

# Selenium and waterfleas (Jeske et al. 2009), types 1 and 2: dead of total, drc's LL.2.
SELENIUM = {
    1: ([151, 146, 116, 159, 150, 140], [3, 40, 31, 85, 102, 112], {"b": -1.5035, "e": 252.25555}),
    2: ([141, 153, 142, 139, 154, 155], [2, 30, 59, 82, 62, 85], {"b": -0.8432, "e": 378.46048}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="40 curves a scene, default way only")
    parser.add_argument("--curves", type=int, default=300, help="curves a scene. Default: 300")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    tables = Path(os.environ.get("GRIDWELL_SHARED", REPOSITORY.parent / "shared")) / "data/tables"
    references(tables)
    growth(tables)
    curves = 40 if options.quick else options.curves
    ways = dict(list(WAYS.items())[:1]) if options.quick else WAYS
    coverage(curves, ways, options.seed)
    speed(5 if options.quick else 30, options.seed)


def references(tables: Path) -> None:
    """Print published parameters beside ours."""
    print("\n1. published fits")
    print("table              model  name        published           ours  relative")
    for name, dose, response, group, model, expected in DRC:
        path = tables / f"drc_classic/{name}.csv"
        if not path.exists():
            print(f"{name:18} {model:6} {path} is not there")
            continue
        rows = pd.read_csv(path)
        if group:
            column, value = group.split("=")
            rows = rows[rows[column] == value]
        curve = fit_curve(rows[dose], rows[response], models=(model,))
        label = f"{name} {group.split('=')[-1]}".strip()
        compare(label, model, expected, curve.drc() | {"rss": curve.rss})
    curve = fit_curve(np.exp(np.arange(1.0, 16.0)), RAT43, models=("5pl",), lower=0, small=True)
    own = curve.drc()
    b3 = -own["b"]
    found = {"b1": own["d"], "b2": np.log(own["e"]) * b3, "b3": b3, "b4": 1 / own["f"]}
    compare("NIST Rat43", "5pl", RAT43_CERTIFIED, found | {"rss": curve.rss})
    dose = np.arange(0.0, 600.0, 100.0)
    for kind, (total, dead, expected) in SELENIUM.items():
        curve = fit_counts(dose, dead, total, models=("2pl",), small=True)
        compare(f"selenium {kind}", "2pl", expected, curve.drc())


def compare(label: str, model: str, expected: dict[str, float], found: dict[str, float]) -> None:
    """Print one fit, a line a parameter."""
    for name, value in expected.items():
        off = found[name] / value - 1
        print(f"{label:18} {model:6} {name:4} {value:16.8f} {found[name]:14.8f}  {off:8.1e}")


def growth(tables: Path) -> None:
    """Print how far growth-rate metrics are from the authors' own."""
    print("\n2. growth-rate metrics against gr_metrics")
    path = tables / "gr_metrics/R_input1_GRvalues.tsv"
    if not path.exists():
        print(f"{path} is not there")
        return
    keys = ["cell_line", "agent", "perturbation", "replicate", "time"]
    values = pd.read_csv(path, sep="\t")
    published = pd.read_csv(path.with_name("R_input1_GRmetrics.tsv"), sep="\t").set_index(keys)
    gr = gr_values(values["cell_count"], values["cell_count__ctrl"], values["cell_count__time0"])
    print(f"GR values: largest difference {np.abs(gr - values['GR']).max():.1e}")
    same, off = 0, []
    for key, own in values.assign(own=gr).groupby(keys):
        fit, other = fit_gr(own["concentration"], own["own"]), published.loc[key]
        same += fit.model == other["fit"]
        if fit.model == "sigmoid" and np.isfinite([fit.gr50, other["GR50"]]).all():
            off.append(
                (
                    abs(fit.gr50 / other["GR50"] - 1),
                    abs(fit.hill / other["Hill"] - 1),
                    abs(fit.gr_max - other["GRmax"]),
                    abs(fit.gr_aoc - other["GR_AOC"]),
                )
            )
    worst = np.max(off, axis=0)
    print(f"sigmoid or flat: {same} of {len(published)} agree; largest difference of GR50 "
          f"{worst[0]:.1e} and Hill {worst[1]:.1e} (relative), GRmax {worst[2]:.1e}, "
          f"GR_AOC {worst[3]:.1e} ({len(off)} curves)")  # fmt: skip


def scene(name: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """Live cells and cells of each spot of a simulated agent, and its EC50."""
    ec50, slope = 10 ** rng.uniform(-1.3, 0.8), rng.uniform(0.8, 2.5)
    top, bottom, f = rng.uniform(0.75, 0.95), rng.uniform(0, 0.1), 1.0
    if name == "to nothing":
        bottom = rng.uniform(0, 0.02)
    elif name == "high plateau":
        bottom = rng.uniform(0.2, 0.5)
    elif name == "at the ends":
        ec50 = 10 ** rng.choice([rng.uniform(-2, -1.5), rng.uniform(1, 1.5)])
    elif name == "asymmetric":
        f = 10 ** rng.uniform(-0.5, 0.5)
    elif name == "flat":
        bottom = top
    with np.errstate(divide="ignore"):
        z = slope * np.log(DOSES / ec50) + np.log(2 ** (1 / f) - 1)
    p = bottom + (top - bottom) * np.exp(-f * np.logaddexp(0, z))
    n = rng.integers(30, 201, DOSES.size)
    if name == "few cells":
        n = np.maximum(rng.poisson(8, DOSES.size), 1)
    if name != "binomial":
        p = rng.beta(np.maximum(PHI * p, 1e-6), np.maximum(PHI * (1 - p), 1e-6))
    return rng.binomial(n, p), n, float(ec50)


def holds(curve: Curve, ec50: float) -> bool:
    """Whether the interval holds the truth; an open end holds everything beyond."""
    low = -np.inf if np.isnan(curve.ec50_low) else curve.ec50_low
    high = np.inf if np.isnan(curve.ec50_high) else curve.ec50_high
    return bool(low <= ec50 <= high)


def coverage(curves: int, ways: dict[str, dict[str, Any]], seed: int) -> None:
    """Print how intervals do, a line a scene and way of choosing."""
    print(f"\n3. {curves} curves a scene; coverage has a standard error of "
          f"{100 * np.sqrt(0.05 * 0.95 / curves):.1f} %")  # fmt: skip
    print("scene         candidates           coverage  error  width  called flat  models")
    for name in SCENES:
        for way, arguments in ways.items():
            rng = np.random.default_rng([seed, SCENES.index(name)])
            hits, errors, widths = [], [], []
            models: Counter[str] = Counter()
            for _ in range(curves):
                k, n, ec50 = scene(name, rng)
                curve = fit_counts(DOSES, k, n, **arguments)
                models[curve.model] += 1
                if curve.model != "flat":
                    hits.append(holds(curve, ec50))
                    errors.append(abs(np.log10(curve.ec50 / ec50)))
                    widths.append(np.log10(curve.ec50_high / curve.ec50_low))
            known = name != "flat"
            held = f"{np.mean(hits):8.1%}" if known else " " * 8
            off = f"{np.median(errors):6.3f} {np.nanmedian(widths):6.2f}" if known else " " * 13
            said = ", ".join(f"{m} {c}" for m, c in sorted(models.items()))
            print(f"{name:13} {way:20} {held} {off} {models['flat'] / curves:12.1%}  {said}",
                  flush=True)  # fmt: skip


def speed(repeats: int, seed: int) -> None:
    """Print times of a fit of 36 spots, and their ratio to curve_fit's of the same spots."""
    rng = np.random.default_rng(seed)
    tables = [scene("typical", rng)[:2] for _ in range(repeats)]

    def peer(k: np.ndarray, n: np.ndarray) -> object:
        def f(x: np.ndarray, c: float, d: float, e: float, b: float) -> np.ndarray:
            return c + (d - c) / (1 + (x / np.exp(e)) ** np.exp(b))

        return optimize.curve_fit(f, DOSES, k / n, p0=(0.1, 0.9, np.log(0.5), 0.3), maxfev=10000)

    ways: dict[str, Callable[[np.ndarray, np.ndarray], object]] = {
        "scipy.optimize.curve_fit, one start, no interval": peer,
        "least squares, every valley, profile interval": lambda k, n: fit_curve(DOSES, k / n),
        "beta-binomial, every valley, profile interval": lambda k, n: fit_counts(DOSES, k, n),
        "the same with 3pl and 5pl as candidates": lambda k, n: fit_counts(
            DOSES, k, n, models=("flat", "3pl", "4pl", "5pl")
        ),
    }
    print("\n4. time of a curve of 36 spots")
    first = 0.0
    for name, fit in ways.items():
        start = time.perf_counter()
        for k, n in tables:
            fit(k, n)
        each = (time.perf_counter() - start) / repeats
        first = first or each
        print(f"{name:50} {1000 * each:8.1f} ms  x {each / first:.0f}")


if __name__ == "__main__":
    main()

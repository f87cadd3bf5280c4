"""EC50 from pixels: a simulated slide through the whole workflow, for benchmarks/fusion.py."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from gridwell.config.files import write_csv
from gridwell.config.spots import spot_name
from gridwell.phantom.files import file_names
from gridwell.phantom.options import Curve, PhantomOptions
from gridwell.phantom.slide import simulate_slide
from gridwell.screen.counts import fit_counts

REPOSITORY = Path(__file__).resolve().parents[1]
DOSES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
ROWS, COLS, REPLICATES, CONTROLS = 12, 14, 3, 12
CURVES = (
    Curve(agent="early", ec50=0.06),
    Curve(agent="middle", ec50=0.5, hill=1.5),
    Curve(agent="late", ec50=4.0),
    Curve(agent="partial", ec50=0.3, bottom=0.4),
    Curve(agent="beyond", ec50=100.0),
    Curve(agent="inactive", ec50=1.0, top=0.93, bottom=0.93),
)
TOLD = 0.1
"""Largest error of an EC50 in range, in log10."""


def pixels(seed: int) -> None:
    """Print the EC50 of six drugs, 8 doses x 3 spots each, found from the raw images of a slide."""
    with tempfile.TemporaryDirectory() as name:
        study = Path(name)
        options = _simulate(study, seed)
        start = time.perf_counter()
        run = subprocess.run(
            [
                sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"),
                "--directory", str(study), "--cores", "1", "--quiet", "all", "--", "analysis",
            ],
            check=False, cwd=REPOSITORY, capture_output=True, text=True,
        )  # fmt: skip
        if run.returncode:
            raise SystemExit(f"the workflow failed:\n{run.stderr}")
        seconds = time.perf_counter() - start
        fits = pd.read_csv(study / "results/screen/dose_response.csv").set_index("agent")
        spots = pd.read_csv(study / f"results/{options.slide}/spots.csv")
        truth = pd.read_csv(study / f"landing/{options.slide}/truth/spots.csv")
    print(f"\nfrom pixels, seed {seed}: {len(spots)} spots through the workflow in {seconds:.0f} s")
    error = 100 * (spots["viability_stained"] - _stained(truth)).dropna()
    print(f"viability_stained: bias {error.mean():+.2f}, MAE {error.abs().mean():.2f} points")
    for curve in CURVES:
        print(_judged(curve, fits.loc[curve.agent]), f"(true counts: {_known(curve, truth):.4g})")


def _judged(curve: Curve, fit: pd.Series) -> str:
    """One line: the truth, what was found, and whether it is right or at least flagged."""
    told = str(fit["in_range"]) in ("True", "true", "yes") and pd.isna(fit["flags"])
    real = DOSES[0] < curve.ec50 < DOSES[-1] and curve.top != curve.bottom
    off = abs(np.log10(fit["ec50"] / curve.ec50)) if pd.notna(fit["ec50"]) else np.nan
    right = (told and off <= TOLD) if real else not told
    return (
        f"{curve.agent:9s} true {curve.ec50 if real else 'none'!s:6} found {fit['ec50']:<8.4g} "
        f"[{fit['ec50_low']:.3g}, {fit['ec50_high']:.3g}] off {off:.3f} {fit['model']} "
        f"in_range {fit['in_range']} flags {fit['flags']} {'right' if right else 'WRONG'}"
    )


def _known(curve: Curve, truth: pd.DataFrame) -> float:
    """EC50 that the true counts of the spots give: what of the error is chance of the cells."""
    control = (truth["role"] == "neg_ctrl") & truth["present"]
    own = truth[((truth["agent"] == curve.agent) | control) & (truth["n_nuclei"] > 0)]
    dose = own["concentration"].where(own["role"] == "sample", 0.0)
    return float(fit_counts(dose, own["n_live"], own["n_nuclei"]).ec50)


def _stained(truth: pd.DataFrame) -> pd.Series:
    stained = truth[["n_live", "n_dying", "n_dead"]].sum(axis=1)
    return truth["n_live"] / stained.where(stained > 0)


def _simulate(study: Path, seed: int) -> PhantomOptions:
    """Write a study of one slide: images, sheets, layout, configuration."""
    layout = _layout(seed)
    options = PhantomOptions(
        slide="P1",
        group="bench",
        seed=seed,
        rows=ROWS,
        cols=COLS,
        angle=0.9,
        cells=120,
        spot_spread=0.1,
        shifts={"live": (3.0, -2.0), "dead": (-1.5, 2.5)},
        curves=CURVES,
        labels=False,
    )
    write_csv(study / "config/layouts/bench.csv", layout)
    simulate_slide(options, study / "landing/P1", layout=layout)
    sheets = {
        "slides": [
            ("slide", "assay", "carrier", "layout", "group"),
            ("P1", "viability", "", "bench.csv", "bench"),
        ],
        "channels": [
            ("slide", "channel", "role", "path", "index", "pixel_size_um"),
            *(
                ("P1", channel, options.channels[channel], f"landing/P1/{name}", index, "")
                for channel, (name, index) in file_names(options).items()
            ),
        ],
    }
    for sheet, rows in sheets.items():
        text = "".join("\t".join(map(str, row)) + "\n" for row in rows)
        (study / f"config/{sheet}.tsv").write_text(text, encoding="utf-8")
    (study / "config/config.yaml").write_text('study: bench\nversioning: "off"\n', encoding="utf-8")
    return options


def _layout(seed: int) -> pd.DataFrame:
    wells: list[tuple[object, ...]] = [
        (curve.agent, dose, "uM", "sample", replicate)
        for curve in CURVES
        for dose in DOSES
        for replicate in range(1, REPLICATES + 1)
    ]
    for replicate in range(1, CONTROLS + 1):
        wells += [(None, None, None, role, replicate) for role in ("neg_ctrl", "pos_ctrl")]
    wells += [(None, None, None, "empty", None)] * (ROWS * COLS - len(wells))
    columns = ["agent", "concentration", "unit", "role", "replicate"]
    table = pd.DataFrame(wells, columns=columns).astype({"replicate": "Int64"})
    order = np.random.default_rng(seed).permutation(ROWS * COLS)
    table.insert(0, "spot", [spot_name(int(at) // COLS, int(at) % COLS) for at in order])
    return table.assign(value=None, sample=None)

"""What a slide costs in a study of many: the cost of each must not grow.

    python benchmarks/screen.py [--slides 1 4 16] [--cores 2]

Studies of copies of one simulated tiny slide (12 spots), run whole. Then as many slides as there
are cores against one slide on one core. One line each:

  wall, cpu   seconds of the run, and CPU seconds of all its processes
  a_slide     CPU seconds a slide, without those of the jobs of the whole screen
  screen      CPU seconds of the jobs of the whole screen
  own         CPU seconds of Snakemake's own process, a slide
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import pandas as pd
from cluster import make_study
from watch_jobs import run_watched

REPOSITORY = Path(__file__).resolve().parents[1]
WHOLE = {"screen", "report_screen", "version_results"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slides", type=int, nargs="*", default=[1, 4, 16])
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    lines = [run(slides, options.cores) for slides in options.slides]
    side_by_side = run(options.cores, options.cores)
    alone = run(1, 1)
    print(pd.DataFrame([*lines, side_by_side, alone]).to_string(index=False, float_format="%.1f"))
    times = side_by_side["wall"] / alone["wall"]
    print(
        f"{options.cores} slides on {options.cores} cores: {times:.2f} times one slide on one core"
    )


def run(slides: int, cores: int) -> dict[str, float]:
    """Run a study of so many slides."""
    with tempfile.TemporaryDirectory() as folder:
        study = make_study(Path(folder), slides)
        snakemake = [sys.executable, "-m", "snakemake", "--snakefile", REPOSITORY / "Snakefile"]
        wall, own, jobs = run_watched([*snakemake, "--directory", study, "--cores", str(cores)])
    screen = sum(job.cpu for job in jobs if job.rule in WHOLE)
    own_jobs = sum(job.cpu for job in jobs) - screen
    return {
        "slides": slides,
        "cores": cores,
        "wall": wall,
        "cpu": own + screen + own_jobs,
        "a_slide": own_jobs / slides,
        "screen": screen,
        "own": own / slides,
    }


if __name__ == "__main__":
    main()

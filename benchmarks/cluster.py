"""What a run costs a cluster: jobs, submissions and calls of the scheduler, by number of slides.

    python benchmarks/cluster.py [--slides 1 10 100 500] [--run N ...] [--stub N ...]

For each number of slides a study of simulated tiny slides is made and planned with
profiles/slurm (a dry run, which needs no Slurm). Those after --run are run on the Slurm of this
machine; those after --stub too, but each job only makes its output files, since what is
measured there is the traffic. One line each:

  jobs        of the whole study, and those that go to the cluster; a_slide: cluster jobs a slide
  plan        CPU seconds of the dry run and peak memory of Snakemake
  submitted   jobs that sbatch was given, in so many calls a minute at most
  asked       calls of sacct and squeue while it ran; others: scancel, scontrol, sinfo, sacctmgr
  wall        seconds of the run; own: CPU seconds of Snakemake itself, without local rules

The account and partitions are those of the profile.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pandas as pd

REPOSITORY = Path(__file__).resolve().parents[1]
CALLS = ("sbatch", "sacct", "squeue", "scancel", "scontrol", "sinfo", "sacctmgr")
SNAKEMAKE = [
    *(sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")),
    *("--workflow-profile", str(REPOSITORY / "profiles/slurm")),
]
# Everything but the record, which reads what stubs do not write.
TARGETS = ["slides", "results/screen/report.html"]


def make_study(folder: Path, slides: int) -> Path:
    """Make a study of copies of one tiny slide, the images as hard links."""
    study = folder / f"{slides}-slides"
    gridwell = [sys.executable, "-m", "gridwell"]
    subprocess.run([*gridwell, "new", "--plain", study], check=True, capture_output=True)
    subprocess.run(
        [*gridwell, "simulate", "--study", study, "--size", "tiny"], check=True, capture_output=True
    )
    for name in ("slides", "channels"):
        path = study / f"config/{name}.tsv"
        head, *rows = path.read_text().splitlines()
        many = [row.replace("T01", slide) for slide in names(slides) for row in rows]
        path.write_text("\n".join([head, *many]) + "\n")
    for slide in names(slides):
        (study / "landing" / slide).mkdir()
        for image in (study / "landing/T01").glob("*.tif"):
            os.link(image, study / "landing" / slide / image.name.replace("T01", slide))
    return study


def names(slides: int) -> list[str]:
    return [f"S{number:03d}" for number in range(1, slides + 1)]


def plan(study: Path) -> tuple[dict[str, float], dict[str, list[str]]]:
    """Plan a study; return the line of it, and the outputs of each cluster job by its target."""
    command = [*SNAKEMAKE, "--directory", str(study), "--dry-run", *TARGETS]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    found = re.findall(r"^(local)?rule (\w+):\n((?:    .*\n)+)", text, re.MULTILINE)
    outputs, local = {}, {"ingest", "version_raw", "version_results", "slides", "all"}
    for _, rule, block in found:
        facts = dict(re.findall(r"^    (\w+): (.*)$", block, re.MULTILINE))
        if rule in local:
            continue
        wildcards = facts.get("wildcards", "").replace(", ", ",")
        files = [facts["output"], facts.get("benchmark")]
        outputs[f"{rule}:{wildcards}"] = ", ".join(filter(None, files)).split(", ")
    slides = int(study.name.split("-")[0])
    shared = sum(name.startswith(("screen:", "report_screen:")) for name in outputs)
    line = {
        "slides": slides,
        "jobs": len(found),
        "cluster_jobs": len(outputs),
        "a_slide": (len(outputs) - shared) / slides,
        "plan_cpu_s": round(seconds, 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000),
    }
    return line, outputs


def counting(folder: Path, stub: Path | None) -> Path:
    """Make commands that count their calls and go on to Slurm's own; sbatch may get a stub."""
    shims = folder / "bin"
    shims.mkdir(exist_ok=True)
    (folder / "calls").write_text("")
    for name in CALLS:
        real = shutil.which(name)
        if real is None:
            sys.exit(f"{name} is not here: --run and --stub need Slurm")
        body = f'exec {real} "$@"'
        if name == "sbatch" and stub is not None:
            body = f'exec {sys.executable} {__file__} --submit {stub} {real} "$@"'
        shim = shims / name
        shim.write_text(f"#!/bin/sh\necho {name} >>{folder / 'calls'}\n{body}\n")
        shim.chmod(0o755)
    return shims


def submit(outputs: Path, real: str, arguments: list[str]) -> None:
    """Give sbatch a job that only makes the output files of the one that it was to run."""
    (wrapped,) = (word for word in arguments if word.startswith("--wrap="))
    target = re.search(r"--target-jobs '?\"?([^'\" ]+)", wrapped)
    assert target, wrapped
    files = json.loads(outputs.read_text())[target[1]]
    makes = " ".join(
        f"mkdir -p {file};" if file.endswith((".zarr", "/")) else f"touch {file};" for file in files
    )
    folders = " ".join(f"mkdir -p {Path(file).parent};" for file in files)
    kept = [word for word in arguments if word != wrapped]
    os.execv(real, [real, *kept, f"--wrap={folders} {makes}"])  # noqa: S606


def run(
    study: Path, folder: Path, outputs: dict[str, list[str]], *, stub: bool
) -> dict[str, float]:
    """Run a study on the cluster and count."""
    known = folder / "outputs.json"
    known.write_text(json.dumps(outputs))
    shims = counting(folder, known if stub else None)
    # A minute is no measure of traffic where jobs take a second.
    pace = ["--max-jobs-per-timespan", "600/1m"] if stub else []
    command = [*SNAKEMAKE, *pace, "--directory", str(study), "--", *TARGETS]
    environment = {**os.environ, "PATH": f"{shims}:{os.environ['PATH']}"}
    begin = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    calls = Counter((folder / "calls").read_text().split())
    return {
        "submissions": calls["sbatch"],
        "asked": calls["sacct"] + calls["squeue"],
        "others": sum(calls[name] for name in CALLS[3:]),
        "wall_s": round(time.monotonic() - begin),
        "stub": stub,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--slides", type=int, nargs="*", default=[1, 10, 100, 500])
    parser.add_argument("--run", type=int, nargs="*", default=[])
    parser.add_argument("--stub", type=int, nargs="*", default=[])
    if sys.argv[1:2] == ["--submit"]:
        submit(Path(sys.argv[2]), sys.argv[3], sys.argv[4:])
    options = parser.parse_args()
    lines = []
    for slides in options.slides:
        with tempfile.TemporaryDirectory() as name:
            study = make_study(Path(name), slides)
            line, outputs = plan(study)
            if slides in {*options.run, *options.stub}:
                line |= run(study, Path(name), outputs, stub=slides in options.stub)
        lines.append(line)
        print(json.dumps(line), flush=True)
    print(pd.DataFrame(lines).to_string(index=False))


if __name__ == "__main__":
    main()

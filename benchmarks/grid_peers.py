"""Other tools on the same images: dearrayer and phenotypic, each in an environment of its own.

Both want bright spots, rows and columns: images are turned bright on dark and reduced to 8-bit
gray, and rows, columns and (dearrayer) the diameter of the spots are the true ones.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import grid_scores
import numpy as np
import pandas as pd

TOOLS = {"dearrayer": "dearrayer==0.1.0", "phenotypic": "phenotypic==0.20.2"}
RUNNERS = Path(__file__).with_name("peers")
MOST_SECONDS = 120  # for one image


def compare(
    samples: dict, truths: dict[str, grid_scores.Truth], environments: Path
) -> pd.DataFrame:
    """Run every tool on every image.

    Parameters
    ----------
    samples
        `gridwell.phantom.grid_images.Sample` by name.
    truths
        What is known of each.
    environments
        Folder of the tools' virtual environments; those it lacks are made.

    Returns
    -------
    Columns `tool`, `case`, `status`, `elements`, `exact`, `cpu s`; one row for each tool and
    image.
    """
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for case, made in samples.items():
            _write(made, truths[case], folder / f"{case}.npz")
        for tool, requirement in TOOLS.items():
            python = _environment(environments / tool, requirement)
            for case, truth in truths.items():
                found = _run(python, RUNNERS / f"{tool}_places.py", folder / f"{case}.npz")
                rows.append({"tool": tool, "case": case} | _score(found, truth))
    return pd.DataFrame(rows)


def summary(table: pd.DataFrame) -> Iterable[dict]:
    """One line for each tool and kind of case, which stands before the comma."""
    kind = table["case"].str.split(",").str[0]
    for (tool, name), part in table.groupby(["tool", kind], sort=False):
        yield {
            "tool": tool,
            "images of": name,
            "images": len(part),
            "elements right %": 100 * part["elements"].mean(),
            "all labels right %": 100 * part["exact"].mean(),
            "crashed %": 100 * (part["status"] == "crashed").mean(),
            "wrong and not said %": 100 * (~part["exact"] & (part["status"] == "ok")).mean(),
            "cpu s": part["cpu s"].median(),
        }


def _write(made, truth: grid_scores.Truth, path: Path) -> None:
    gray = np.asarray(made.image, float)
    gray = gray.mean(axis=2) if gray.ndim == 3 else gray
    if gray[made.foreground > 0.5].mean() < gray[made.foreground == 0].mean():
        gray = -gray
    low, high = np.percentile(gray, (0.1, 99.9))
    pixels = np.rint(255 * np.clip((gray - low) / (high - low), 0, 1)).astype(np.uint8)
    rows, cols = truth.shape
    np.savez(path, image=pixels, rows=rows, cols=cols, diameter=np.mean(truth.size))


def _environment(folder: Path, requirement: str) -> Path:
    python = folder / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install = [python, "-m", "pip", "install", "--quiet", requirement]
    subprocess.run(install, check=True, capture_output=True)
    return python


def _run(python: Path, script: Path, image: Path) -> dict:
    """Places of all positions and the seconds it took; what went wrong, otherwise."""
    try:
        done = subprocess.run(
            [python, script, image],
            capture_output=True,
            text=True,
            timeout=MOST_SECONDS,
            check=True,
        )
        return json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"status": "too slow", "seconds": float(MOST_SECONDS)}
    except (subprocess.CalledProcessError, ValueError, IndexError):
        return {"status": "crashed", "seconds": np.nan}


def _score(found: dict, truth: grid_scores.Truth) -> dict:
    row = {"status": found.get("status", "ok"), "cpu s": found["seconds"]}
    places = np.array(found.get("places", np.full((*truth.shape, 2), np.nan)), float)
    scores = grid_scores.compare_places(places, truth)
    return row | {"elements": scores["elements"], "exact": scores["exact"]}

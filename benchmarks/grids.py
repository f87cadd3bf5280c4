"""Grid detection on real images: what comes out, against what is known.

Runs the grid detector on every image below data/grids of GRIDWELL_SHARED and prints status,
size and confidence beside the truth: rows and columns, and the largest distance of a spot from
its true place where places are known. Ends with an error if any grid that is `ok` is wrong.

    python benchmarks/grids.py [--out FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "scripts"))

from gridwell.config.errors import InputError  # noqa: E402
from gridwell.grid.slide import detect_on_image  # noqa: E402

# Sizes by the sources' own descriptions, for images without a truth file; others are unknown.
SIZES = {"pyphe_1536": (32, 48)}
SKIPPED = ("image_labels", "Mask_")


def main() -> int:
    shared = Path(os.environ.get("GRIDWELL_SHARED", REPOSITORY.parent / "shared"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, default=shared / "data/grids")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/out/grids")
    options = parser.parse_args()
    truth = read_truth(options.images)
    suffixes = {".png", ".jpg", ".jpeg", ".tif", ".tiff"}
    rows = []
    for path in sorted(options.images.rglob("*")):
        name = str(path.relative_to(options.images))
        if path.suffix.lower() in suffixes and not any(part in name for part in SKIPPED):
            rows.append(look(path, name, truth.get(name), options.out / name.replace("/", "_")))
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    wrong = table[(table.status == "ok") & (table.verdict == "wrong")]
    print(f"{len(table)} images, {(table.status == 'ok').sum()} ok, {len(wrong)} of them wrong")
    return int(len(wrong) > 0)


def read_truth(images: Path) -> dict[str, tuple[dict, pd.DataFrame]]:
    """Truth by image: facts of the lattice and the places of its spots."""
    folder = images / "truth"
    index = json.loads((folder / "index.json").read_text())
    return {
        facts["image"].removeprefix("grids/"): (facts, pd.read_csv(folder / f"{name}.csv"))
        for name, facts in index.items()
    }


def look(path: Path, name: str, truth: tuple[dict, pd.DataFrame] | None, out: Path) -> dict:
    """Detect the grid of one image and compare it with the truth."""
    start = time.process_time()
    try:
        grid = detect_on_image(path, out_dir=out)
    except InputError as error:
        return {"image": name, "status": "refused", "verdict": str(error)[:60]}
    seconds = time.process_time() - start
    known = (truth[0]["rows"], truth[0]["cols"]) if truth else SIZES.get(Path(name).parts[0])
    size = (grid.rows, grid.cols)
    error = np.nan
    if truth and size == known:
        places = truth[1].assign(col=truth[1]["col"].astype(int))
        found = grid.table.reset_index(drop=True)
        ordered = places.sort_values(["row", "col"]).reset_index(drop=True)
        distance = np.hypot(found.x - ordered.x, found.y - ordered.y)
        error = distance.max() / min(grid.pitch)
    right = None if known is None else size == known and not error > 0.5
    return {
        "image": name,
        "status": grid.status,
        "found": f"{grid.rows}x{grid.cols}",
        "true": f"{known[0]}x{known[1]}" if known else "?",
        "verdict": {None: "", True: "right", False: "wrong"}[right],
        "confidence": round(grid.confidence, 3),
        "largest error / pitch": None if np.isnan(error) else round(float(error), 3),
        "cpu s": round(seconds, 1),
    }


if __name__ == "__main__":
    sys.exit(main())

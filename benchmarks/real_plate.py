"""A real 96-well plate through the whole workflow: BBBC013, FKHR-GFP translocation.

Lays the wells of the plate (two channels, two drugs, nine doses, four replicates) out on one
canvas as a scanned slide would show them, turned by one degree, and runs the workflow on it.
Pixel values are the camera's own, 8 bit in 16-bit files; the transmitted-light channel that
shows the wells' rims is drawn, since the plate has none. Prints whether the grid is exact, the
nuclei in each well, the dose response of both drugs and the quality of the controls.

    python benchmarks/real_plate.py [--plate FOLDER] [--out FOLDER]

FOLDER holds Channel1-*.tif (FKHR-GFP), Channel2-*.tif (DNA) and layout.csv; any rows of the
plate will do.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import tifffile

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "scripts"))

from gridwell.config.spots import spot_name  # noqa: E402
from gridwell.versions.new import new_study  # noqa: E402

WELL, RIM, MARGIN, ANGLE = 640, 40, 200, 1.0
PITCH = WELL + 2 * RIM
CHANNELS = {"gfp": ("Channel1", "other"), "dna": ("Channel2", "nuclei")}
ROLES = {"negative": "neg_ctrl", "positive": "pos_ctrl", "dose": "sample"}
CONFIG = """\
study: BBBC013, FKHR-GFP translocation
versioning: "off"
segment:
  channels:
    gfp: {method: none}
    dna: {min_diameter: 8, max_diameter: 60, seed_distance: 7}
screen:
  metric: mean(nuclei.mean_gfp / nuclei.ring_gfp)
  normalise: percent_inhibition
"""


def main() -> None:
    shared = Path(os.environ.get("GRIDWELL_SHARED", REPOSITORY.parent / "shared"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plate", type=Path, default=shared / "data/cells/bbbc013_plate")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks/out/real_plate")
    options = parser.parse_args()

    layout = read_plate_layout(options.plate)
    truth, rotation, size = place(layout)
    make_study(options.out, options.plate, layout, rotation, size)
    snakemake = Path(sys.executable).with_name("snakemake")
    subprocess.run(
        [snakemake, "--snakefile", REPOSITORY / "Snakefile", "--directory", options.out],
        check=True,
    )
    tell(options.out, layout, truth)


def read_plate_layout(plate: Path) -> pd.DataFrame:
    """Read the wells that are there; `row` and `col` count from 0 on the canvas."""
    layout = pd.read_csv(plate / "layout.csv")
    files = {path.name[-8:-4].replace("-", ""): path for path in plate.glob("Channel1-*.tif")}
    layout = layout[layout.well.isin(files)].reset_index(drop=True)
    letters = sorted(layout.row.unique())
    layout["canvas_row"] = layout.row.map(letters.index)
    layout["canvas_col"] = layout["col"] - 1
    layout["spot"] = [
        spot_name(r, c) for r, c in zip(layout.canvas_row, layout.canvas_col, strict=True)
    ]
    return layout


def place(layout: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray, tuple[int, int]]:
    """Centre of every well on the turned canvas, the affine map, and the canvas size (w, h)."""
    rows, cols = layout.canvas_row.max() + 1, layout.canvas_col.max() + 1
    width, height = cols * PITCH + 2 * MARGIN, rows * PITCH + 2 * MARGIN
    # cv2 counts angles counter-clockwise; ours are clockwise on screen.
    rotation = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -ANGLE, 1.0)
    truth = layout[["spot"]].copy()
    x = MARGIN + layout.canvas_col * PITCH + (PITCH - 1) / 2
    y = MARGIN + layout.canvas_row * PITCH + (PITCH - 1) / 2
    turned = rotation @ np.stack([x, y, np.ones(len(x))])
    truth["x"], truth["y"] = turned
    return truth, rotation, (width, height)


def make_study(
    out: Path, plate: Path, layout: pd.DataFrame, rotation: np.ndarray, size: tuple[int, int]
) -> None:
    """Write the slide's three OME-TIFFs, the sample sheets, the layout and the configuration."""
    if out.exists():
        shutil.rmtree(out)
    new_study(out, versioning=False)
    (out / "landing").mkdir()
    numbers = {
        re.sub(r"Channel\d-(\d+)-(\w)-(\d+)\.tif", r"\2\3", path.name): path.name[8:]
        for path in plate.glob("Channel1-*.tif")
    }
    transmitted = np.full(size[::-1], 9000, np.uint16)
    for name, (prefix, _) in CHANNELS.items():
        canvas = np.zeros(size[::-1], np.uint16)
        for well in layout.itertuples():
            x = MARGIN + well.canvas_col * PITCH + RIM
            y = MARGIN + well.canvas_row * PITCH + RIM
            image = tifffile.imread(plate / f"{prefix}{numbers[well.well]}")
            canvas[y : y + WELL, x : x + WELL] = image
            transmitted[y - 24 : y + WELL + 24, x - 24 : x + WELL + 24] = 2000
            transmitted[y : y + WELL, x : x + WELL] = 12000 - 8 * image.astype(np.uint16)
        write(out / "landing" / f"plate_{name}.ome.tif", canvas, rotation)
    write(out / "landing" / "plate_light.ome.tif", transmitted, rotation)

    config = out / "config"
    (config / "config.yaml").write_text(CONFIG)
    (config / "slides.tsv").write_text(
        "slide\tassay\tcarrier\tlayout\tgroup\nbbbc013\tobjects\t\tplate.csv\tU2OS\n"
    )
    roles = {"light": "grid"} | {name: role for name, (_, role) in CHANNELS.items()}
    (config / "channels.tsv").write_text(
        "slide\tchannel\trole\tpath\tindex\n"
        + "".join(
            f"bbbc013\t{name}\t{role}\tlanding/plate_{name}.ome.tif\t0\n"
            for name, role in roles.items()
        )
    )
    sample = layout.role == "dose"
    positive = layout.role == "positive"
    pd.DataFrame(
        {
            "spot": layout.spot,
            "agent": layout.compound.where(sample | positive, ""),
            "concentration": layout.dose.where(sample | positive),
            "unit": layout.unit.where(sample | positive, ""),
            "role": layout.role.map(ROLES).fillna("empty"),
            "replicate": layout.replicate,
        }
    ).to_csv(config / "layouts/plate.csv", index=False)


def write(path: Path, canvas: np.ndarray, rotation: np.ndarray) -> None:
    turned = cv2.warpAffine(canvas, rotation, canvas.shape[::-1], flags=cv2.INTER_LINEAR)
    tifffile.imwrite(
        path, turned, ome=True, tile=(512, 512), compression="zlib", metadata={"axes": "YX"}
    )


def tell(out: Path, layout: pd.DataFrame, truth: pd.DataFrame) -> None:
    """Print what came out against what is known."""
    results = out / "results"
    grid = pd.read_csv(results / "bbbc013/grid.csv").merge(
        truth, on="spot", suffixes=("", "_true"), how="outer"
    )
    error = np.hypot(grid.x - grid.x_true, grid.y - grid.y_true)
    exact = bool(error.notna().all() and error.max() < 0.1 * PITCH)
    print(f"grid exact: {exact}; largest error {error.max():.1f} px of a pitch of {PITCH}")

    spots = pd.read_csv(results / "bbbc013/spots.csv").merge(layout[["spot", "well"]], on="spot")
    counts = spots.assign(row=spots.well.str[0], col=spots.well.str[1:].astype(int))
    print("nuclei per well:")
    print(counts.pivot_table(index="row", columns="col", values="n_dna").to_string())
    print("dose response:")
    print(pd.read_csv(results / "screen/dose_response.csv").T.to_string(header=False))
    quality = pd.read_csv(results / "screen/quality.csv")
    print(quality[quality.statistic.isin(["z_prime", "robust_z_prime", "ssmd"])].to_string())
    print(f"reports: {results / 'bbbc013/report.html'} {results / 'screen/report.html'}")


if __name__ == "__main__":
    main()

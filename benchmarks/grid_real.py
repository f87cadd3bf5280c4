"""Real images with grids, and what is known of each."""

from __future__ import annotations

import ast
import json
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import grid_scores
import numpy as np
import pandas as pd
from gridwell.grid.slide import detect_on_image

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff"}
NO_SUBJECTS = ("image_labels", "Mask_")
SIZES = {"plantcv_tray": (3, 6), "dotblot_chemokine_goedhart": (7, 20)}
"""Rows and columns by the sources' own descriptions, where places are not known."""

ENOUGH = 0.95  # of a tissue array's cores on nodes of their own


@dataclass(frozen=True)
class Real:
    """One image; of `lattice`, `cores` and `shape` as much as is known."""

    path: Path
    name: str
    lattice: grid_scores.Truth | None = None
    cores: np.ndarray | None = None
    shape: tuple[int, int] | None = None


def find_images(folder: Path) -> list[Real]:
    """List the images of a folder with their truth."""
    lattices = _read_lattices(folder)
    images = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix.lower() not in SUFFIXES or any(part in name for part in NO_SUBJECTS):
            continue
        lattice = lattices.get(name) or _read_pyphe(path)
        shape = lattice.shape if lattice else SIZES.get(name.split("/")[0])
        images.append(Real(path, name, lattice, _read_cores(path), shape))
    return images


def look(real: Real, out: Path) -> dict:
    """Detect the grid of one image and compare it with what is known."""
    start = time.process_time()
    try:
        grid = detect_on_image(real.path, out_dir=out / real.name.replace("/", "_"))
    except Exception as error:
        return {"image": real.name, "status": "crashed", "reason": repr(error), "verdict": "wrong"}
    row = {
        "image": real.name,
        "status": grid.status,
        "found": f"{grid.rows}x{grid.cols}",
        "true": "{}x{}".format(*real.shape) if real.shape else "",
        "confidence": grid.confidence,
        "cpu s": time.process_time() - start,
        "reason": grid.reason,
    }
    return row | _judge(real, grid)


def _judge(real: Real, grid) -> dict:
    """Whether the grid is right, by the best that is known of the image."""
    if real.lattice is not None:
        scores = grid_scores.compare(grid, real.lattice)
        kept = {k: v for k, v in scores.items() if k in ("elements", "position %", "pitch %")}
        return kept | {"verdict": _word(scores["exact"])}
    if real.cores is not None:
        pitch = min(grid.pitch) if grid.pitch else 1.0
        share, tight = grid_scores.cover_cores(grid_scores.positions(grid), real.cores, pitch)
        return {"elements": share, "verdict": _word(share >= ENOUGH and tight)}
    if real.shape is not None:
        return {"verdict": _word((grid.rows, grid.cols) == real.shape)}
    return {"verdict": ""}


def _word(right: bool) -> str:
    return "right" if right else "wrong"


def _read_lattices(folder: Path) -> dict[str, grid_scores.Truth]:
    """Truth of the folder truth/, by name of the image."""
    index = json.loads((folder / "truth/index.json").read_text())
    lattices = {}
    for name, facts in index.items():
        table = pd.read_csv(folder / "truth" / f"{name}.csv").sort_values(["row", "col"])
        shape = facts["rows"], facts["cols"]
        nodes = table[["x", "y"]].to_numpy(float).reshape(*shape, 2)
        observed = table[["x_obs", "y_obs"]].to_numpy(float).reshape(*shape, 2)
        # Where nobody looked for single elements, all positions count.
        seen = table["seen"].fillna(1).to_numpy(float).reshape(shape) > 0
        lattices[facts["image"].removeprefix("grids/")] = grid_scores.Truth(
            nodes=nodes,
            centres=np.where(np.isfinite(observed), observed, nodes),
            present=seen,
            pitch=_pitch(nodes),
        )
    return lattices


def _pitch(nodes: np.ndarray) -> tuple[float, float]:
    rows, cols = nodes.shape[:2]
    u = (nodes[:, -1] - nodes[:, 0]).mean(axis=0) / (cols - 1)
    v = (nodes[-1] - nodes[0]).mean(axis=0) / (rows - 1)
    return float(np.hypot(*u)), float(np.hypot(*v))


def _read_pyphe(path: Path) -> grid_scores.Truth | None:
    """Colonies as pyphe-quantify found them on a 1536 plate."""
    beside = path.with_name(path.name + ".csv")
    if not beside.exists():
        return None
    table = pd.read_csv(beside)
    y, x = np.array([ast.literal_eval(text) for text in table["centroid"]]).T
    nodes = np.full((32, 48, 2), np.nan)
    nodes[table["row"] - 1, table["column"] - 1] = np.column_stack([x, y])
    present = np.isfinite(nodes[..., 0])
    filled = np.where(present[..., None], nodes, _plane(nodes, present))
    return grid_scores.Truth(filled, filled, present, _pitch(filled))


def _plane(nodes: np.ndarray, present: np.ndarray) -> np.ndarray:
    r, c = np.indices(present.shape)
    design = np.stack([np.ones_like(r), r, c, r * c], axis=-1).astype(float)
    fit = np.linalg.lstsq(design[present], nodes[present], rcond=None)[0]
    return design @ fit


def _read_cores(path: Path) -> np.ndarray | None:
    """Centres of the cores of a labelled tissue array; touching ones are parted."""
    beside = path.parent.parent / "image_labels" / path.name
    if not beside.exists():
        return None
    mask = cv2.imread(str(beside), cv2.IMREAD_GRAYSCALE) > 0
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    count, labels, stats, centres = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    radius = np.percentile(depth[mask], 99)
    whole = stats[1:, cv2.CC_STAT_AREA] < 1.7 * np.pi * radius**2
    specks = stats[1:, cv2.CC_STAT_AREA] < 0.15 * np.pi * radius**2
    parted = [
        _peaks(np.where(labels == number, depth, 0), radius)
        for number in np.flatnonzero(~whole) + 1
    ]
    return np.concatenate([centres[1:count][whole & ~specks], *parted])


def _peaks(depth: np.ndarray, radius: float) -> np.ndarray:
    """Centres of discs that touch: summits of the distance from their rim."""
    smooth = cv2.GaussianBlur(depth, (0, 0), radius / 5)
    size = 2 * int(0.7 * radius) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    summit = (smooth == cv2.dilate(smooth, disc)) & (smooth > 0.45 * radius)
    y, x = np.nonzero(summit)
    return np.column_stack([x, y]).astype(float)

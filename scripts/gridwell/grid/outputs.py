"""A grid as files: grid.json, grid.csv, grid.geojson for QuPath, and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gridwell.config.files import write_csv, write_json
from gridwell.grid.model import Grid
from gridwell.grid.picture import STATES, draw, outline, states


def write_grid(
    grid: Grid, image: npt.NDArray[np.generic], scale: float, out_dir: Path, slide_name: str
) -> None:
    """Write grid.json, grid.csv, grid.geojson and grid.png to `out_dir`.

    Parameters
    ----------
    grid
        What was detected.
    image
        The overview it was detected on, (h, w) gray or (h, w, 3) colour.
    scale
        Slide pixels per pixel of `image`.
    out_dir
        Folder; made if missing.
    slide_name
        Name of the slide.
    """
    out = Path(out_dir)
    write_csv(out / "grid.csv", grid.table)
    write_json(out / "grid.geojson", geojson(grid))
    draw(grid, image, scale, out / "grid.png")
    write_json(out / "grid.json", grid.to_json(slide_name))


def geojson(grid: Grid) -> dict[str, Any]:
    """The grid as QuPath reads it: one polygon annotation per position.

    QuPath puts the corner of the first pixel, not its centre, at 0, 0: half a pixel is added.
    """
    features = []
    columns = (grid.table[name].tolist() for name in ("spot", "x", "y", "found"))
    for name, x, y, found, state in zip(*columns, states(grid).tolist(), strict=True):
        ring = outline(grid, x + 0.5, y + 0.5)
        features.append(
            {
                "type": "Feature",
                "geometry": {
                    "type": "Polygon",
                    "coordinates": [[[round(float(a), 3), round(float(b), 3)] for a, b in ring]],
                },
                "properties": {
                    "objectType": "annotation",
                    "name": name,
                    "classification": {"name": state, "color": _rgb(STATES[state][0])},
                    "isLocked": False,
                    "isMissing": not found,
                    "found": bool(found),
                },
            }
        )
    return {"type": "FeatureCollection", "features": features}


def _rgb(colour: str) -> list[int]:
    """Red, green and blue, 0 to 255, of ``#rrggbb``."""
    return [int(colour[k : k + 2], 16) for k in (1, 3, 5)]

"""A grid as files: numbers, a table, outlines for QuPath, regions for OME-Zarr, a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gridwell.config.files import whole, write_csv, write_json
from gridwell.grid.model import Grid
from gridwell.grid.picture import STATES, draw, outline, states


def write_grid(
    grid: Grid, image: npt.NDArray[np.generic], scale: float, out_dir: Path, slide_name: str
) -> None:
    """Write grid.json, grid.csv, grid.geojson, tables.zarr and grid.png to `out_dir`.

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
    write_regions(grid, out / "tables.zarr")
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


def regions(grid: Grid) -> pd.DataFrame:
    """Bounding boxes of all positions in the units of the slide's OME-Zarr.

    These are micrometres; pixels where the size of a pixel is not known. 0, 0 is the corner of
    the first pixel. Columns as in version 1 of Fractal's ROI tables.
    """
    size = grid.pixel_size_um or 1.0
    rings = [
        outline(grid, x + 0.5, y + 0.5)
        for x, y in zip(grid.table["x"], grid.table["y"], strict=True)
    ]
    low = np.array([ring.min(axis=0) for ring in rings]).reshape(-1, 2) * size
    high = np.array([ring.max(axis=0) for ring in rings]).reshape(-1, 2) * size
    return pd.DataFrame(
        {
            "FieldIndex": grid.table["spot"],
            "x_micrometer": low[:, 0],
            "y_micrometer": low[:, 1],
            "z_micrometer": 0.0,
            "len_x_micrometer": (high - low)[:, 0],
            "len_y_micrometer": (high - low)[:, 1],
            "len_z_micrometer": 1.0,
            "row": grid.table["row"],
            "column": grid.table["col"],
        }
    )


def write_regions(grid: Grid, path: Path) -> None:
    """Write the positions as the ROI table ``spots`` of an OME-Zarr image.

    The Zarr group is what the image's group ``tables`` is to hold: a copy of it there, or
    ``ngio.tables.open_table`` on it as it stands. Nothing is written into the image itself,
    which another rule owns.

    Parameters
    ----------
    grid
        What was detected.
    path
        Zarr group to write.
    """
    import zarr

    about = {
        "type": "roi_table",
        "table_version": "1",
        "backend": "csv",
        "index_key": "FieldIndex",
        "index_type": "str",
    }
    with whole(path) as part:
        root = zarr.create_group(part, zarr_format=3, attributes={"tables": ["spots"]})
        root.create_group("spots", attributes=about)
        write_csv(part / "spots" / "table.csv", regions(grid))


def _rgb(colour: str) -> list[int]:
    """Red, green and blue, 0 to 255, of ``#rrggbb``."""
    return [int(colour[k : k + 2], 16) for k in (1, 3, 5)]

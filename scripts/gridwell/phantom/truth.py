"""The truth beside a simulated slide."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from gridwell.config.files import whole, write_csv, write_json
from gridwell.config.models import Assay
from gridwell.config.spots import row_letters
from gridwell.phantom.files import file_names
from gridwell.phantom.render import (
    PAPER,
    Renderer,
    camera,
    channel_objects,
    dye,
    rho,
    squares,
    srgb,
)
from gridwell.phantom.scene import STATES, Cells

LABEL_MARGIN = 0.1
"""Labels reach this far beyond a spot, as a fraction of its size."""


def write_truth(renderer: Renderer, out_dir: Path) -> None:
    """Write all truth of a slide into ``out_dir/truth``.

    - ``phantom.json``: every option, the size of the image, the files.
    - ``grid.csv``: ``spot,row,col,x,y,width,height,present``, one row per grid position.
    - ``cells.parquet``: one row per cell: ``spot,cell,state,x,y,radius,body_radius`` and
      ``intensity_<channel>`` (height of its object over the background, in pixel values at
      full illumination and in focus; 0 where it has none). ``x,y`` are those in the nuclei
      channel; another channel shows the cell at ``x,y`` plus its shift (phantom.json).
    - ``spots.csv``: counts, shares and treatment of every grid position; for colour scans the
      pH and the sRGB colour of the droplet's middle (0 to 1).
    - ``dose_response.csv``: the curves.
    - ``labels/<channel>.zarr``: array ``labels`` (spot, y, x), uint32, 0 background, else
      ``cell`` of cells.parquet. Not rotated: pixel (0, 0) of spot i is pixel (``x0[i]``,
      ``y0[i]``) of the channel's image (attribute ``gridwell``), stage shift included.
    """
    options = renderer.options
    truth = out_dir / "truth"
    write_json(truth / "phantom.json", _summary(renderer))
    grid = _grid_table(renderer)
    write_csv(truth / "grid.csv", grid)
    counts = _write_cells(renderer, truth / "cells.parquet")
    write_csv(truth / "spots.csv", _spots_table(renderer, grid, counts))
    if options.curves:
        write_csv(truth / "dose_response.csv", _curves_table(renderer))
    if options.labels:
        for channel, role in options.channels.items():
            if role in ("nuclei", "live", "dead"):
                _write_labels(renderer, channel, truth / "labels" / f"{channel}.zarr")


def _summary(renderer: Renderer) -> dict[str, object]:
    options, geometry = renderer.options, renderer.geometry
    return {
        "format": "gridwell-phantom/1",
        "width": geometry.width,
        "height": geometry.height,
        "origin": {"x": geometry.origin[0], "y": geometry.origin[1]},
        "channels": [
            {
                "channel": channel,
                "role": role,
                "file": file_names(options)[channel][0],
                "index": file_names(options)[channel][1],
                "shift": list(options.shift(channel)),
            }
            for channel, role in options.channels.items()
        ],
        "patches": {name: list(place) for name, place in options.patch_places.items()},
        "merged": [[geometry.names[a], geometry.names[b]] for a, b in geometry.bridges],
        "options": json.loads(options.model_dump_json()),
    }


def _grid_table(renderer: Renderer) -> pd.DataFrame:
    geometry = renderer.geometry
    n = len(geometry.names)
    return pd.DataFrame(
        {
            "spot": geometry.names,
            "row": [row_letters(i // geometry.cols) for i in range(n)],
            "col": [i % geometry.cols + 1 for i in range(n)],
            "x": geometry.x,
            "y": geometry.y,
            "width": 2 * geometry.half_x,
            "height": 2 * geometry.half_y,
            "present": geometry.present,
        }
    )


def _write_cells(renderer: Renderer, path: Path) -> np.ndarray:
    """Write cells.parquet, a row of spots at a time; return counts (spot, state)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    options, geometry = renderer.options, renderer.geometry
    names = [name for name, role in options.channels.items() if role not in ("grid", "colour")]
    schema = pa.schema(
        [("spot", pa.string()), ("cell", pa.int64()), ("state", pa.string())]
        + [(name, pa.float64()) for name in ("x", "y", "radius", "body_radius")]
        + [(f"intensity_{name}", pa.float64()) for name in names]
    )
    counts = np.zeros((len(geometry.names), len(STATES)), int)
    with whole(path) as part, pq.ParquetWriter(part, schema, compression="zstd") as writer:
        for row in range(geometry.rows):
            tables = []
            for spot in range(row * geometry.cols, (row + 1) * geometry.cols):
                if options.assay == Assay.COLORIMETRY:
                    continue
                cells = renderer.cells(spot)
                counts[spot] = np.bincount(cells.state, minlength=len(STATES))
                rows = _cell_rows(renderer, geometry.names[spot], cells, names)
                tables.append(pa.table(rows, schema=schema))
            if tables:
                writer.write_table(pa.concat_tables(tables).combine_chunks())
    return counts


def _cell_rows(
    renderer: Renderer, spot: str, cells: Cells, names: Sequence[str]
) -> dict[str, object]:
    columns: dict[str, object] = {
        "spot": [spot] * len(cells),
        "cell": np.arange(1, len(cells) + 1),
        "state": [STATES[state] for state in cells.state],
        "x": cells.x,
        "y": cells.y,
        "radius": cells.radius,
        "body_radius": cells.body,
    }
    for name in names:
        full, _ = camera(renderer.options, name)
        columns[f"intensity_{name}"] = np.round(cells.brightness[name] * full, 2)
    return columns


def _spots_table(renderer: Renderer, grid: pd.DataFrame, counts: np.ndarray) -> pd.DataFrame:
    options, geometry = renderer.options, renderer.geometry
    table = grid[["spot", "row", "col", "x", "y", "present"]].copy()
    table.insert(0, "slide", options.slide)
    merged = np.isin(np.arange(len(table)), np.array(geometry.bridges, int))
    table["merged"] = merged
    table["out_of_focus"] = geometry.out_of_focus
    for name in ("role", "agent", "concentration", "unit", "replicate", "sample"):
        table[name] = [getattr(treatment, name) for treatment in renderer.treatments]
    if options.assay == Assay.COLORIMETRY:
        table["value"] = [treatment.value for treatment in renderer.treatments]
        colours = np.round([_colour(renderer, i) for i in range(len(table))], 5)
        table[["red", "green", "blue"]] = colours
        return table
    table["response"] = [round(treatment.response, 6) for treatment in renderer.treatments]
    n = counts.sum(axis=1)
    table["n_nuclei"] = n
    if options.assay == Assay.VIABILITY:
        for state, name in enumerate(STATES):
            table[f"n_{name}"] = counts[:, state]
        stained = counts[:, :3].sum(axis=1)
        table["viability"] = _share(counts[:, 0], n)
        table["viability_stained"] = _share(counts[:, 0], stained)
    return table


def _share(part: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Share, missing where there is nothing to take it of."""
    share: np.ndarray = np.where(of > 0, part / np.maximum(of, 1), np.nan)
    return share


def _colour(renderer: Renderer, spot: int) -> np.ndarray:
    """sRGB colour in the middle of a droplet on white paper, before illumination."""
    if renderer.treatments[spot].value is None or not renderer.geometry.present[spot]:
        return np.full(3, np.nan)
    return srgb(PAPER * 10.0 ** -dye(renderer.options, renderer.treatments[spot], spot))


def _curves_table(renderer: Renderer) -> pd.DataFrame:
    table = pd.DataFrame([curve.model_dump() for curve in renderer.options.curves])
    table.insert(0, "group", renderer.options.group)
    table.insert(0, "slide", renderer.options.slide)
    return table


def _write_labels(renderer: Renderer, channel: str, path: Path) -> None:
    import zarr

    options, geometry = renderer.options, renderer.geometry
    width = math.ceil(options.spot_size[0] * (1 + 2 * LABEL_MARGIN))
    height = math.ceil(options.spot_size[1] * (1 + 2 * LABEL_MARGIN))
    left = np.rint(geometry.x).astype(int) - width // 2
    top = np.rint(geometry.y).astype(int) - height // 2
    n, cols = len(geometry.names), geometry.cols
    with whole(path) as part:
        group = zarr.create_group(part, zarr_format=3)
        group.attrs["gridwell"] = {
            "slide": options.slide,
            "channel": channel,
            "spots": list(geometry.names),
            "x0": left.tolist(),
            "y0": top.tolist(),
        }
        array = group.create_array(
            "labels",
            shape=(n, height, width),
            chunks=(1, height, width),
            shards=(cols, height, width),
            dtype="uint32",
        )
        for start in range(0, n, cols):
            array[start : start + cols] = np.stack(
                [
                    spot_labels(
                        renderer,
                        channel,
                        spot,
                        corner=(int(left[spot]), int(top[spot])),
                        shape=(height, width),
                    )
                    for spot in range(start, start + cols)
                ]
            )


def spot_labels(
    renderer: Renderer,
    channel: str,
    spot: int,
    *,
    corner: tuple[int, int],
    shape: tuple[int, int],
) -> np.ndarray:
    """Objects of one spot in the window of `shape` (height, width) whose first pixel is
    `corner` (x, y) of the channel's image.

    Where two objects overlap, a pixel belongs to the one whose middle is nearer in units of
    its own size.

    Returns
    -------
    (height, width) uint32
        0 background, else the number of the cell from 1.
    """
    left, top = corner
    labels = np.zeros(shape, np.uint32)
    nearest = np.ones(shape, np.float32)
    numbers, shapes = channel_objects(renderer.options, renderer.cells(spot), channel)
    if not len(numbers):
        return labels
    lefts, tops, side = squares(shapes, 0.0)
    away = rho(shapes, lefts, tops, side)
    for number, box, x, y in zip(
        numbers.tolist(), away, (lefts - left).tolist(), (tops - top).tolist(), strict=True
    ):
        x0, x1, y0, y1 = max(x, 0), min(x + side, shape[1]), max(y, 0), min(y + side, shape[0])
        if x0 >= x1 or y0 >= y1:
            continue
        near = box[y0 - y : y1 - y, x0 - x : x1 - x]
        inside = near < nearest[y0:y1, x0:x1]
        labels[y0:y1, x0:x1][inside] = number + 1
        nearest[y0:y1, x0:x1][inside] = near[inside]
    return labels

"""A grid as files: grid.json, grid.csv, grid.geojson for QuPath, and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from gridwell.config.files import whole, write_csv, write_json
from gridwell.config.spots import row_letters
from gridwell.grid.elements import normalise
from gridwell.grid.model import Grid

_FOUND = {"name": "found", "color": [0, 158, 115]}
_MISSING = {"name": "not found", "color": [213, 94, 0]}
_ROUND_CORNERS = 24
# Longer side of grid.png, in pixels.
_PICTURE = 1500


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
    draw(grid, image, scale, out / "grid.png", slide_name)
    write_json(out / "grid.json", grid.to_json(slide_name))


def outline(grid: Grid, x: float, y: float) -> npt.NDArray[np.float64]:
    """Closed ring (n, 2) around a spot at x, y, in slide pixels."""
    width, height = float(grid.width or 0), float(grid.height or 0)
    if grid.shape == "square":
        ring = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)], float)
    else:
        turn = np.linspace(0, 2 * np.pi, _ROUND_CORNERS + 1)
        turn[-1] = 0
        ring = np.column_stack([np.cos(turn), np.sin(turn)])
    ring = ring * (width / 2, height / 2)
    a = np.radians(grid.angle or 0.0)
    turned = np.column_stack(
        [
            np.cos(a) * ring[:, 0] - np.sin(a) * ring[:, 1],
            np.sin(a) * ring[:, 0] + np.cos(a) * ring[:, 1],
        ]
    )
    return turned + np.array([x, y])


def geojson(grid: Grid) -> dict[str, Any]:
    """The grid as QuPath reads it: one polygon annotation per position.

    QuPath puts the corner of the first pixel, not its centre, at 0, 0: half a pixel is added.
    """
    features = []
    columns = (grid.table[name].tolist() for name in ("spot", "x", "y", "found"))
    for name, x, y, found in zip(*columns, strict=True):
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
                    "classification": dict(_FOUND if found else _MISSING),
                    "isLocked": False,
                    "isMissing": not found,
                    "found": bool(found),
                },
            }
        )
    return {"type": "FeatureCollection", "features": features}


def draw(
    grid: Grid, image: npt.NDArray[np.generic], scale: float, path: Path, slide_name: str
) -> None:
    """Draw the outlines on the image: found solid and green, not found dashed and orange."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    shown, factor = _shown(image)
    h, w = shown.shape[:2]
    step = scale * factor
    side = _PICTURE / 100
    head = 0.9 if grid.reason else 0.45
    ratio = w / h
    size = (side, side / ratio + head) if ratio >= 1 else (max(side * ratio, 5.0), side + head)
    figure = Figure(figsize=size, dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.02, 0.01, 0.96, 0.98 - head / size[1]))
    axes.imshow(shown, cmap="gray", interpolation="nearest")

    def place(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return (points + 0.5) / step - 0.5

    table = grid.table
    rings = [place(outline(grid, x, y)) for x, y in zip(table["x"], table["y"], strict=True)]
    found = table["found"].to_numpy(bool)
    spots = np.column_stack([table["x"], table["y"]]).astype(float)
    thick = 1.4 if len(table) < 500 else 0.9
    for these, colour, style in ((found, "#009e73", "solid"), (~found, "#d55e00", (0, (2, 2)))):
        chosen = [ring for ring, on in zip(rings, these, strict=True) if on]
        if chosen:
            axes.add_collection(
                LineCollection(chosen, colors=colour, linestyles=[style], linewidths=thick)
            )
    if grid.rows and grid.pitch is not None:
        _label(axes, grid, place(spots).reshape(grid.rows, grid.cols, 2), step)
        low, high = place(spots).min(axis=0), place(spots).max(axis=0)
        room = 1.3 * max(grid.pitch) / step
        axes.set_xlim(min(-0.5, low[0] - room), max(w - 0.5, high[0] + room))
        axes.set_ylim(max(h - 0.5, high[1] + room), min(-0.5, low[1] - room))
    axes.set_axis_off()
    figure.text(0.02, 1 - 0.1 / size[1], _title(grid, slide_name), va="top", fontsize=12)
    if grid.reason:
        figure.text(0.02, 1 - 0.4 / size[1], _wrapped(grid.reason, size[0]), va="top", fontsize=9)
    with whole(path) as part:
        figure.savefig(part, format="png", metadata={"Software": None})


def _shown(image: npt.NDArray[np.generic]) -> tuple[npt.NDArray[np.generic], float]:
    """The image at the size of the picture, stretched to 8 bits; and how much it shrank."""
    if image.ndim == 2:
        gray = normalise(image)
        flat = gray if gray is not None else np.zeros(image.shape, np.float32)
        stretched = np.asarray(255 * flat**0.7).astype(np.uint8)
    else:
        colour = np.nan_to_num(np.asarray(image, np.float32))[..., :3]
        top = 255.0 if image.dtype == np.uint8 else max(float(np.percentile(colour, 99.9)), 1e-9)
        stretched = (np.clip(colour / top, 0, 1) * 255).astype(np.uint8)
    h, w = stretched.shape[:2]
    factor = max(1.0, max(h, w) / _PICTURE)
    small = (max(1, round(w / factor)), max(1, round(h / factor)))
    if factor > 1:
        stretched = np.asarray(cv2.resize(stretched, small, interpolation=cv2.INTER_AREA), np.uint8)
    return stretched, max(w / small[0], h / small[1]) if factor > 1 else 1.0


def _label(axes: Any, grid: Grid, spots: npt.NDArray[np.float64], step: float) -> None:
    """Row letters to the left and column numbers above, as many as can be read."""
    assert grid.pitch is not None
    u = spots[:, -1] - spots[:, 0] if grid.cols > 1 else np.tile([1.0, 0.0], (grid.rows, 1))
    v = spots[-1] - spots[0] if grid.rows > 1 else np.tile([0.0, 1.0], (grid.cols, 1))
    for count, lines, way, pitch, name in (
        (grid.rows, spots[:, 0], u, grid.pitch[0], row_letters),
        (grid.cols, spots[0], v, grid.pitch[1], lambda k: str(k + 1)),
    ):
        unit = way / np.maximum(np.hypot(way[:, :1], way[:, 1:]), 1e-9)
        at = lines - unit * 0.85 * pitch / step
        spacing = (grid.pitch[1] if name is row_letters else grid.pitch[0]) / step
        every = max(1, int(np.ceil(16 / max(spacing, 1e-6))))
        for k in range(0, count, every):
            axes.text(
                at[k, 0],
                at[k, 1],
                name(k),
                ha="center",
                va="center",
                fontsize=9,
                color="black",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.8},
            )


def _title(grid: Grid, slide_name: str) -> str:
    if not grid.rows:
        return f"{slide_name}: {grid.status}"
    return (
        f"{slide_name}: {grid.status}, {grid.rows} rows x {grid.cols} columns, "
        f"{grid.found} of {grid.rows * grid.cols} found, confidence {grid.confidence:.2f}"
    )


def _wrapped(text: str, inches: float) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, max(40, int(inches * 14)))[:3])

"""grid.png: the grid drawn over the slide, to see at a glance whether it is right."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from gridwell.config.files import whole
from gridwell.config.spots import row_letters
from gridwell.grid.elements import normalise
from gridwell.grid.model import Grid

Array = npt.NDArray[np.float64]

#: What a position is: name, colour (Okabe and Ito's, told apart by the colour-blind), line.
STATES: dict[str, tuple[str, Any]] = {
    "found": ("#009e73", "solid"),
    "doubtful": ("#f0e442", (0, (5, 1.5))),
    "not found": ("#d55e00", (0, (2, 2))),
}
_OTHER = "#cc79a7"
_DASHED = (0, (6, 3))
# Longer side of the picture, pixels, and what it may grow to for spots to be told apart.
_SIDE = 1500
_LARGEST = 2400
_SMALLEST = 1000
_PITCH = 22
_DPI = 100
# Sizes in pixels: text, a line of the legend, the room of a label, the average letter.
_TEXT = 9
_LINE = 18
_LABEL = 15
_LETTER = 6.6
_ITEM = 130
_FEWEST_BOTH = 12
_MOST_OTHERS = 3
_ROUND_CORNERS = 24


def states(grid: Grid) -> npt.NDArray[np.str_]:
    """What each position is, in the words of `STATES`; doubtful wins."""
    doubtful = grid.table["flags"].str.split(";").map(lambda words: "doubtful" in words)
    seen = np.where(grid.table["found"].to_numpy(bool), "found", "not found")
    return np.where(doubtful.to_numpy(bool), "doubtful", seen)


def outline(grid: Grid, x: float, y: float) -> Array:
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


def draw(grid: Grid, image: npt.NDArray[np.generic], scale: float, path: Path) -> None:
    """Draw outlines, names of rows and columns, and what else the grid could be.

    Parameters
    ----------
    grid
        What was detected.
    image
        The overview it was detected on, (h, w) gray or (h, w, 3) colour.
    scale
        Slide pixels per pixel of `image`.
    path
        PNG file to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown, factor = _shown(image, _side(grid, image, scale))
    step = scale * factor
    labels = _labels(grid, step) if grid.rows else []
    left, top, right, bottom = _bounds(grid, labels, shown.shape, step)
    width = right - left
    legend, rows = _legend(grid, width)
    head = _LINE * rows + 8 if rows else 0
    tall = bottom - top + head
    figure = Figure(figsize=(width / _DPI, tall / _DPI), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, (bottom - top) / tall))
    axes.imshow(shown, cmap="gray", interpolation="nearest", vmin=0, vmax=255)
    if grid.rows:
        _outlines(axes, grid, step)
        for label in labels:
            axes.text(float(label.place[0]), float(label.place[1]), label.text, **_TAG)
        for number, other in enumerate(grid.alternatives[:_MOST_OTHERS], 1):
            _alternative(axes, other, number, step)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_axis_off()
    _write_legend(figure, legend, tall, width)
    with whole(path) as part:
        figure.savefig(part, format="png", metadata={"Software": None})


_TAG: dict[str, Any] = {
    "ha": "center",
    "va": "center",
    "fontsize": _TEXT,
    "color": "black",
    "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.8},
}


def _place(points: Array, step: float) -> Array:
    """Pixels of the picture of slide pixels."""
    return (points + 0.5) / step - 0.5


def _side(grid: Grid, image: npt.NDArray[np.generic], scale: float) -> float:
    """Longer side of the picture at which spots can be told apart and names do not hide them."""
    longest = max(image.shape[:2])
    wanted = _SIDE if grid.pitch is None else longest * scale / min(grid.pitch) * _PITCH
    return float(max(min(longest, np.clip(wanted, _SIDE, _LARGEST)), _SMALLEST))


def _shown(image: npt.NDArray[np.generic], side: float) -> tuple[npt.NDArray[np.generic], float]:
    """The image at the size of the picture, in 8 bits; and image pixels per its pixel."""
    if image.ndim == 2:
        gray = normalise(image)
        flat = gray if gray is not None else np.zeros(image.shape, np.float32)
        stretched = np.asarray(255 * flat**0.7).astype(np.uint8)
    else:
        colour = np.nan_to_num(np.asarray(image, np.float32))[..., :3]
        top = 255.0 if image.dtype == np.uint8 else max(float(np.percentile(colour, 99.9)), 1e-9)
        stretched = (np.clip(colour / top, 0, 1) * 255).astype(np.uint8)
    h, w = stretched.shape[:2]
    factor = max(h, w) / side
    size = (max(1, round(w / factor)), max(1, round(h / factor)))
    way = cv2.INTER_AREA if factor > 1 else cv2.INTER_LINEAR
    stretched = np.asarray(cv2.resize(stretched, size, interpolation=way), np.uint8)
    return stretched, w / size[0]


def _outlines(axes: Any, grid: Grid, step: float) -> None:
    """All spots, with a dark line below each that shows on light ground."""
    from matplotlib.collections import LineCollection

    table = grid.table
    kinds = states(grid)
    thick = 1.4 if len(table) < 500 else 0.9
    rings = [_place(outline(grid, x, y), step) for x, y in zip(table["x"], table["y"], strict=True)]
    for state, (colour, line) in STATES.items():
        chosen = [ring for ring, kind in zip(rings, kinds, strict=True) if kind == state]
        if not chosen:
            continue
        below = LineCollection(chosen, colors="black", linewidths=thick + 1, alpha=0.35)
        axes.add_collection(below)
        axes.add_collection(
            LineCollection(chosen, colors=colour, linestyles=[line], linewidths=thick)
        )


def _frame(other: dict[str, Any], step: float) -> Array:
    """Corners (4, 2) of another grid, half a spacing outside the centres of its outer spots."""
    corners = np.array(other["corners"], np.float64)
    along = (corners[1] - corners[0]) / max(other["cols"] - 1, 1) / 2
    down = (corners[3] - corners[0]) / max(other["rows"] - 1, 1) / 2
    away = np.array([-along - down, along - down, along + down, down - along])
    return _place(corners + away, step)


def _alternative(axes: Any, other: dict[str, Any], number: int, step: float) -> None:
    """Frame another grid; its number stands at a corner of its own."""
    frame = _frame(other, step)
    ring = np.concatenate([frame, frame[:1]])
    axes.plot(*ring.T, color="black", linewidth=3, alpha=0.35)
    axes.plot(*ring.T, color=_OTHER, linewidth=1.6, linestyle=_DASHED)
    tag = _TAG | {"bbox": _TAG["bbox"] | {"facecolor": _OTHER, "alpha": 1.0}}
    axes.text(*frame[(number - 1) % 4], str(number), clip_on=True, **tag)


@dataclass(frozen=True)
class _Label:
    text: str
    place: Array


def _labels(grid: Grid, step: float) -> list[_Label]:
    """Names of rows and columns beside their first spots, and of many also beside the last."""
    nodes = _place(grid.nodes, step)
    pitch = grid.pitch or (1.0, 1.0)
    size = (float(grid.width or 0) / step, float(grid.height or 0) / step)
    u = nodes[:, -1] - nodes[:, 0] if grid.cols > 1 else _along(grid, 0)[None]
    v = nodes[-1] - nodes[0] if grid.rows > 1 else _along(grid, 90)[None]
    labels = []
    for axis, count, way, name in (
        (0, grid.rows, u, row_letters),
        (1, grid.cols, v, lambda k: str(k + 1)),
    ):
        unit = way / np.maximum(np.hypot(way[:, :1], way[:, 1:]), 1e-9)
        spacing = pitch[1 - axis] / step
        every = max(1, int(np.ceil((_LABEL + 2) / max(spacing, 1e-6))))
        away = size[axis] / 2 + _LABEL / 2 + 3
        ends = ((0, -1), (-1, 1)) if count > _FEWEST_BOTH else ((0, -1),)
        for line, sign in ends:
            spots = nodes[:, line] if axis == 0 else nodes[line]
            labels += [
                _Label(name(k), spots[k] + sign * away * unit[min(k, len(unit) - 1)])
                for k in range(0, count, every)
            ]
    return labels


def _along(grid: Grid, more: float) -> Array:
    a = np.radians((grid.angle or 0.0) + more)
    return np.array([np.cos(a), np.sin(a)])


def _bounds(
    grid: Grid, labels: list[_Label], shape: tuple[int, ...], step: float
) -> tuple[float, float, float, float]:
    """What the picture shows: the image, and no more around it than spots and names need."""
    points = [label.place + np.array([dx, dy]) for label in labels for dx in (-_LABEL, _LABEL)
              for dy in (-_LABEL / 2 - 2, _LABEL / 2 + 2)]  # fmt: skip
    for other in grid.alternatives[:_MOST_OTHERS]:
        points += list(_frame(other, step))
    corners = np.array([*points, (-0.5, -0.5), (shape[1] - 0.5, shape[0] - 0.5)])
    # A grid that a person put far outside would make the image too small to see.
    limit = 0.5 * max(shape[:2])
    low = np.maximum(corners.min(axis=0), -limit)
    high = np.minimum(corners.max(axis=0), np.array(shape[1::-1]) + limit)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


@dataclass(frozen=True)
class _Entry:
    """A part of the legend: text, the line it explains, and where it begins."""

    text: str
    row: int
    x: float = 6
    colour: str | None = None
    line: Any = None


def _legend(grid: Grid, width: float) -> tuple[list[_Entry], int]:
    """What the colours mean and what is wrong, and how many rows of text that takes."""
    letters = max(int((width - 12) / _LETTER), 20)
    entries = []
    row = 0
    if grid.status in {"failed", "ambiguous"}:
        said = textwrap.wrap(f"{grid.status}: {grid.reason}", letters, max_lines=6)
        entries = [_Entry(line, number) for number, line in enumerate(said)]
        row = len(said)
    if not grid.rows:
        return entries, row
    kinds = states(grid)
    abreast = width >= len(STATES) * _ITEM
    for number, (state, (colour, line)) in enumerate(STATES.items()):
        text = f"{state} {(kinds == state).sum()}"
        x = 6 + (number * _ITEM if abreast else 0)
        entries.append(_Entry(text, row if abreast else row + number, x, colour, line))
    row += 1 if abreast else len(STATES)
    for number, other in enumerate(grid.alternatives[:_MOST_OTHERS], 1):
        text = f"or {number}: {other['rows']} x {other['cols']}, {other['what']}"
        for k, said_line in enumerate(textwrap.wrap(text, letters - 5, max_lines=3)):
            colour, line = (_OTHER, _DASHED) if k == 0 else ("white", "solid")
            entries.append(_Entry(said_line, row, 6, colour, line))
            row += 1
    return entries, row


def _write_legend(figure: Any, legend: list[_Entry], tall: float, width: float) -> None:
    from matplotlib.lines import Line2D

    for entry in legend:
        middle = 1 - (4 + (entry.row + 0.5) * _LINE) / tall
        if entry.colour is not None:
            at = [entry.x / width, (entry.x + 24) / width]
            style: Any = entry.line
            line = Line2D(at, [middle] * 2, color=entry.colour, linewidth=2.5, linestyle=style)
            figure.add_artist(line)
        x = (entry.x + (32 if entry.colour else 0)) / width
        figure.text(x, middle, entry.text, va="center", fontsize=_TEXT)

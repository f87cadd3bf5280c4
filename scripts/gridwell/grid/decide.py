"""Decisions: which rows and columns the grid has, and what else it could be.

A grid is never called ok while another one explains the image about as well: lines that may
lie off the image, empty outer lines, formats that are one line larger, spots just outside.
Each such doubt lowers the confidence and names what would settle it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.stats import binom, poisson

from gridwell.config.models import Carrier, GridOptions, GridOverride
from gridwell.grid import evidence
from gridwell.grid.evidence import Cells, Extent, Odds, Template
from gridwell.grid.lattice import Array, Basis

#: Formats so common that seeing one whole is evidence by itself (SLAS plates, 672-spot slides).
FORMATS = ((4, 6), (6, 8), (8, 12), (16, 24), (32, 48), (14, 48))
_SMALLEST_SURE = 48
# Nats between two placements of a grid of known size that settle it.
_DECISIVE = 6.0
_DOUBT = 0.4
# Where only the border of the image speaks against a shift.
_EDGE_DOUBT = 0.45
# Chance below which a thinly filled edge is no accident.
_CHANCE = 1e-3
# Quality of fit below which there is no lattice to speak of.
_NO_LATTICE = 0.05


NOT_FOUND = "no lattice of spots was found; give rows, cols and three corners in an override"


@dataclass(frozen=True)
class Dims:
    """Rows and columns as far as they are known, and who says so."""

    rows: int | None = None
    cols: int | None = None
    source: str = ""


def dims(options: GridOptions, carrier: Carrier | None, override: GridOverride | None) -> Dims:
    """Override before carrier before options, each number for itself."""
    rows = cols = None
    sources = []
    for name, who in (("override", override), ("carrier", carrier), ("options", options)):
        if who is None:
            continue
        if (rows is None and who.rows is not None) or (cols is None and who.cols is not None):
            sources.append(name)
        rows = rows if rows is not None else who.rows
        cols = cols if cols is not None else who.cols
    return Dims(rows, cols, " and ".join(sources))


@dataclass
class Verdict:
    """Outcome of a decision.

    Attributes
    ----------
    extent
        Chosen lines, in the indices of the cells; may reach beyond them. None: no grid.
    confidence
        0..1.
    reason
        All doubts in one sentence.
    open
        Whether several placements are equally good, however good the fit.
    fixed
        Whether a person named the size or the place.
    margins
        Nats by which each one-step change explains the image worse.
    """

    extent: Extent | None
    confidence: float = 0.0
    reason: str = ""
    open: bool = False
    fixed: bool = False
    margins: dict[str, float] = field(default_factory=dict)


def ramp(value: float, low: float, high: float) -> float:
    """0 at `low`, 1 at `high`, straight between; `low` may be the larger."""
    return float(np.clip((value - low) / (high - low), 0.0, 1.0))


def decide(
    cells: Cells,
    extent: Extent,
    odds: Odds,
    *,
    dims: Dims,
    threshold: float,
    image_shape: tuple[int, ...],
    anchors: dict[tuple[int, int], Array],
    pitch: Basis,
    spot: Template,
    rms: float,
    purity: float,
    alike: float,
    strays: tuple[int, int],
    steps: tuple[tuple[int, ...], tuple[int, ...]],
    carrier: Carrier | None,
) -> Verdict:
    """Choose the lines of the grid and weigh the alternatives.

    Parameters
    ----------
    cells
        Positions with a ring around the visible grid.
    extent
        Lines that show spots.
    odds
        Chances of a hit inside and outside.
    dims
        Rows and columns as far as known.
    threshold
        Score from which a position shows a spot.
    image_shape
        Height and width of the searched image.
    anchors
        Named spots and where they were clicked.
    pitch
        Vectors of the lattice.
    spot, rms, purity, alike
        Template, scatter around the nodes (pitches), part of the candidates explained, likeness
        of every second spot to the others.
    strays
        Things that look like spots but lie on no node: beside the grid, and inside it.
    steps
        Columns and rows that begin a block, in the indices of the cells.
    carrier
        Known carrier, for its blocks.
    """
    hits = (cells.score >= threshold) & cells.inside
    doubts: list[tuple[float, str]] = []
    seen = extent
    wide = _Sides(cells, extent, pitch, spot, image_shape)
    standard = _standard(seen.rows, seen.cols)
    row_range, rows_open = _axis(
        0,
        hits,
        cells=cells,
        seen=seen,
        odds=odds,
        wanted=dims.rows,
        steps=steps[1],
        sizes=_sizes(carrier, 0),
        anchors=anchors,
        doubts=doubts,
    )
    col_range, cols_open = _axis(
        1,
        hits,
        cells=cells,
        seen=seen,
        odds=odds,
        wanted=dims.cols,
        steps=steps[0],
        sizes=_sizes(carrier, 1),
        anchors=anchors,
        doubts=doubts,
    )
    extent = Extent(row_range[0], row_range[1], col_range[0], col_range[1])
    if extent.rows < 1 or extent.cols < 1:
        return Verdict(None, reason="the named spots do not fit the image")
    free_rows = dims.rows is None
    free_cols = dims.cols is None
    if free_rows or free_cols:
        _free_doubts(
            hits,
            cells,
            seen=seen,
            sides=wide,
            standard=standard,
            dims=dims,
            anchors=anchors,
            doubts=doubts,
        )
        _outer_spots(hits, seen, odds, dims, doubts)
    # Beside a common format seen whole, a few things that look like spots are debris.
    beside, between = strays
    few = standard and beside < 0.05 * seen.rows * seen.cols
    if beside >= 2 and (free_rows or free_cols) and not few:
        doubts.append(
            (_DOUBT, f"{beside} spots show beside the grid: give rows and cols, or the carrier")
        )
    if between >= 0.25 * max(seen.cut(hits).sum(), 8):
        doubts.append(
            (_DOUBT, f"{between} things between the spots look just like them: give pitch")
        )
    lines = _clipped_evidence(hits, cells, extent, odds)
    quality = _quality(
        hits, cells, seen=seen, spot=spot, rms=rms, purity=purity, alike=alike, doubts=doubts
    )
    if quality < _NO_LATTICE and not anchors:
        return Verdict(None, reason=NOT_FOUND)
    free_axes = [a for a, n in (("row", dims.rows), ("col", dims.cols)) if n is None]
    sure = _edges_sure(lines, free_axes, anchors, doubts)
    confidence = quality * sure
    for factor, _ in doubts:
        confidence *= factor
    reason = "; ".join(text for _, text in doubts)
    if not reason and confidence < 0.999:
        reason = "the fit is weak"
    return Verdict(
        extent,
        confidence=round(float(np.clip(confidence, 0, 1)), 4),
        reason=reason,
        open=rows_open or cols_open,
        fixed="override" in dims.source or bool(anchors),
        margins=evidence.margins(lines),
    )


def _sizes(carrier: Carrier | None, axis: int) -> tuple[int, ...]:
    if carrier is None:
        return ()
    return carrier.block_rows if axis == 0 else carrier.block_cols


_NAMES = (("row", "rows", "top", "bottom"), ("column", "cols", "left", "right"))


def _axis(
    axis: int,
    hits: npt.NDArray[np.bool_],
    *,
    cells: Cells,
    seen: Extent,
    odds: Odds,
    wanted: int | None,
    steps: Sequence[int],
    sizes: tuple[int, ...],
    anchors: dict[tuple[int, int], Array],
    doubts: list[tuple[float, str]],
) -> tuple[tuple[int, int], bool]:
    """First and last line along one axis, and whether that remains open."""
    low, high = (seen.row0, seen.row1) if axis == 0 else (seen.col0, seen.col1)
    word, option, _, _ = _NAMES[axis]
    start = _anchored(axis, cells, anchors, doubts)
    count = high - low + 1
    if start is not None:
        last = start + wanted - 1 if wanted else high
        if (start > low or last < high) and last >= start:
            doubts.append((_DOUBT, f"spots show outside the {option} that the named spots leave"))
        return (start, last), False
    if wanted is None:
        return (low, high), False

    gain = float(np.log(odds.occupied / odds.accident))

    def value(first: int) -> float:
        # Empty lines cost nothing: where fewer lines show than there are, some are empty for a
        # reason, and lines half outside the image must not win by having fewer positions.
        spots = (_count(axis, k, hits, seen) for k in range(first, first + wanted))
        return gain * sum(spots)

    if count > wanted:
        starts = list(range(low, high - wanted + 2))
    else:
        starts = [
            s
            for s in range(high - wanted + 1, low + 1)
            if all(
                _in_image(axis, k, cells, seen)
                for k in range(s, s + wanted)
                if not low <= k <= high
            )
        ]
    anywhere = range(high - wanted + 1, low + 1)
    fitting = [s for s in anywhere if steps and sizes and _fits_blocks(s, steps, sizes)]
    if count <= wanted and fitting:
        # The gaps between blocks tell where the grid begins, in the image or not.
        starts = fitting
    by_blocks = len(fitting) == 1
    if not starts:
        doubts.append(
            (_DOUBT, f"{wanted} {option} do not fit into the image ({count} show): check the size")
        )
        first = (low + high - wanted + 1) // 2
        return (first, first + wanted - 1), True
    values = [value(s) for s in starts]
    min_value = gain * sum(_count(axis, k, hits, seen) for k in range(low, high + 1))
    middle = (hits.shape[axis] - wanted) / 2
    ranked = sorted(
        range(len(starts)), key=lambda i: (-round(values[i], 6), abs(starts[i] - middle))
    )
    best = starts[ranked[0]]
    if count > wanted:
        dropped = [k for k in range(low, high + 1) if not best <= k < best + wanted]
        if any(_line(axis, k, hits, cells=cells, seen=seen, odds=odds) > 3 for k in dropped):
            doubts.append((_DOUBT, f"{count} {option} show, {wanted} are expected: check {option}"))
    close = [s for s, v in zip(starts, values, strict=True) if v > max(values) - _DECISIVE]
    if len(close) > 1:
        side = " or ".join(sorted({f"{max(close) - s + 1}" for s in close}))
        doubts.append(
            (
                _DOUBT,
                f"{count} of {wanted} {option} show: the first {word} that shows could be "
                f"number {side}; give origin or one corner in an override",
            )
        )
        return (best, best + wanted - 1), True
    if (
        count < wanted
        and not by_blocks
        and len(starts) < wanted - count + 1
        and max(values) < _DECISIVE + min_value
    ):
        # A scan of the whole carrier would settle it, but a cropped image looks the same.
        doubts.append(
            (
                _EDGE_DOUBT,
                f"{count} of {wanted} {option} show: number {low - best + 1} is the first if the "
                f"image shows the whole carrier; give origin or one corner if it was cropped",
            )
        )
    return (best, best + wanted - 1), False


def _anchored(
    axis: int,
    cells: Cells,
    anchors: dict[tuple[int, int], Array],
    doubts: list[tuple[float, str]],
) -> int | None:
    """Line of the cells that is line 0 of the grid by the named spots."""
    starts = []
    for place, xy in anchors.items():
        distance = np.hypot(*np.moveaxis(cells.nodes - xy, -1, 0))
        at = np.unravel_index(int(np.argmin(distance)), distance.shape)
        step = np.hypot(*(cells.nodes[0, 1] - cells.nodes[0, 0]))
        if distance[at] > 0.45 * step:
            doubts.append((_DOUBT, "a named spot does not lie on the lattice that shows"))
            continue
        starts.append(int(at[axis]) - place[axis])
    if not starts:
        return None
    if len(set(starts)) > 1:
        doubts.append((_DOUBT, "the named spots do not fit the lattice that shows"))
    return int(np.median(starts))


def _line(
    axis: int, k: int, hits: npt.NDArray[np.bool_], *, cells: Cells, seen: Extent, odds: Odds
) -> float:
    if not 0 <= k < hits.shape[axis]:
        return 0.0
    part = slice(seen.col0, seen.col1 + 1) if axis == 0 else slice(seen.row0, seen.row1 + 1)
    at = (k, part) if axis == 0 else (part, k)
    return odds.line(hits[at], cells.inside[at])


def _count(axis: int, k: int, hits: npt.NDArray[np.bool_], seen: Extent) -> int:
    if not 0 <= k < hits.shape[axis]:
        return 0
    part = slice(seen.col0, seen.col1 + 1) if axis == 0 else slice(seen.row0, seen.row1 + 1)
    return int(hits[(k, part) if axis == 0 else (part, k)].sum())


def _in_image(axis: int, k: int, cells: Cells, seen: Extent) -> bool:
    """Whether at least half of a line's centres lie in the image."""
    if not 0 <= k < cells.inside.shape[axis]:
        return False
    part = slice(seen.col0, seen.col1 + 1) if axis == 0 else slice(seen.row0, seen.row1 + 1)
    at = (k, part) if axis == 0 else (part, k)
    return bool(cells.inside[at].mean() >= 0.5)


def _fits_blocks(start: int, steps: Sequence[int], sizes: tuple[int, ...]) -> bool:
    edges = set(np.cumsum(sizes)[:-1].tolist())
    return all(k - start in edges for k in steps)


# ---------------------------------------------------------------- size not known


class _Sides:
    """Room between the outer lines and the image's border, in pitches."""

    def __init__(
        self,
        cells: Cells,
        extent: Extent,
        basis: Basis,
        spot: Template,
        image_shape: tuple[int, ...],
    ) -> None:
        e = extent
        n = cells.nodes
        mid_row, mid_col = (e.row0 + e.row1) // 2, (e.col0 + e.col1) // 2
        self.top = _room(n[e.row0, mid_col], -basis.v, image_shape)
        self.bottom = _room(n[e.row1, mid_col], basis.v, image_shape)
        self.left = _room(n[mid_row, e.col0], -basis.u, image_shape)
        self.right = _room(n[mid_row, e.col1], basis.u, image_shape)
        self.spot = spot.size
        h, w = image_shape[:2]

        def closed(nodes: Array, inward: Array) -> bool:
            near = nodes + inward
            good = (
                (near[:, 0] >= 0)
                & (near[:, 1] >= 0)
                & (near[:, 0] <= w - 1)
                & (near[:, 1] <= h - 1)
            )
            return bool(good.mean() >= 0.6)

        rows, cols = slice(e.row0, e.row1 + 1), slice(e.col0, e.col1 + 1)
        dx, dy = 0.25 * spot.size[0] * basis.u, 0.25 * spot.size[1] * basis.v
        self.closed = {
            "top": closed(n[e.row0, cols] - basis.v, dy),
            "bottom": closed(n[e.row1, cols] + basis.v, -dy),
            "left": closed(n[rows, e.col0] - basis.u, dx),
            "right": closed(n[rows, e.col1] + basis.u, -dx),
        }

    @property
    def framed(self) -> bool:
        """Whether the image was made for this grid: alike on opposite sides, no cell cut."""
        return (
            abs(self.top - self.bottom) < 0.15
            and abs(self.left - self.right) < 0.15
            and min(self.top, self.bottom, self.left, self.right) > 0.48
        )


def _room(start: Array, step: Array, image_shape: tuple[int, ...]) -> float:
    h, w = image_shape[:2]
    best = np.inf
    for x, d, top in ((start[0], step[0], w - 0.5), (start[1], step[1], h - 0.5)):
        if d > 1e-9:
            best = min(best, (top - x) / d)
        elif d < -1e-9:
            best = min(best, (x + 0.5) / -d)
    return float(max(best, 0.0))


def _standard(rows: int, cols: int) -> bool:
    return (rows, cols) in FORMATS or (cols, rows) in FORMATS


def _larger_format(rows: int, cols: int) -> tuple[int, int] | None:
    """A common format that the grid would be with one or two more empty lines on one side."""
    for a, b in FORMATS:
        for r, c in ((a, b), (b, a)):
            extra = (r - rows, c - cols)
            if sorted(extra) in ([0, 1], [0, 2]):
                return r, c
    return None


def _larger_fits(seen: Extent, sides: _Sides) -> bool:
    """Whether a larger common format, partly empty, would fit into the image."""
    rows = seen.rows + int(sides.top + 0.2) + int(sides.bottom + 0.2)
    cols = seen.cols + int(sides.left + 0.2) + int(sides.right + 0.2)
    return any(
        seen.rows <= r <= rows and seen.cols <= c <= cols and (r, c) != (seen.rows, seen.cols)
        for a, b in FORMATS
        for r, c in ((a, b), (b, a))
    )


def _free_doubts(
    hits: npt.NDArray[np.bool_],
    cells: Cells,
    *,
    seen: Extent,
    sides: _Sides,
    standard: bool,
    dims: Dims,
    anchors: dict[tuple[int, int], Array],
    doubts: list[tuple[float, str]],
) -> None:
    """Doubts that only arise where rows or columns are inferred."""
    inner: npt.NDArray[np.bool_] = seen.cut(hits).astype(bool)
    total = seen.rows * seen.cols
    missing = float((total - inner.sum() + 1) / (total + 2))
    sure_format = standard and total >= _SMALLEST_SURE and dims.rows is None and dims.cols is None
    spare = _larger_format(seen.rows, seen.cols)
    # An empty line more on one side would move a grid that lies in the middle out of it.
    if spare and not standard and not sides.framed and dims.rows is None and dims.cols is None:
        doubts.append(
            (
                _DOUBT,
                f"{seen.rows} x {seen.cols} spots show; with empty outer lines it would be the "
                f"common format {spare[0]} x {spare[1]}: give rows and cols, or the carrier",
            )
        )
    if inner.sum() < 7:
        doubts.append((_DOUBT, "fewer than 7 spots show: give rows and cols, or the carrier"))
    for axis, free in ((0, dims.rows is None), (1, dims.cols is None)):
        if not free:
            continue
        word, option, low_side, high_side = _NAMES[axis]
        across = seen.cols if axis == 0 else seen.rows
        if (seen.rows if axis == 0 else seen.cols) < 3:
            doubts.append((_DOUBT, f"fewer than 3 {option} show: give {option}"))
        if not inner.any(axis=1 - axis).all() and not standard:
            doubts.append(
                (_DOUBT, f"a {word} inside is empty, so that outer ones may be: give {option}")
            )
        if not standard and _thin_edge(inner if axis == 0 else inner.T):
            doubts.append(
                (
                    _DOUBT,
                    f"an outer {word} is only partly filled, so that further ones may be empty: "
                    f"give {option}",
                )
            )
        if 2 * missing**across > 0.06:
            doubts.append(
                (_DOUBT, f"so many spots are missing that a whole {word} may be: give {option}")
            )
        doubts += [
            (
                _DOUBT,
                f"the image ends at the {side} of the grid, where more {option} may follow: "
                f"give {option}, or the carrier",
            )
            for side in (low_side, high_side)
            if not sides.closed[side] and not sure_format and not sides.framed
        ]
        a, b = getattr(sides, low_side), getattr(sides, high_side)
        if (
            abs(a - b) >= 0.7
            and not (sure_format and not _larger_fits(seen, sides))
            and not anchors
        ):
            large = low_side if a > b else high_side
            doubts.append(
                (
                    _DOUBT,
                    f"the grid lies off the middle, with room for more {option} at the {large}: "
                    f"give {option}, or the carrier",
                )
            )


def _outer_spots(
    hits: npt.NDArray[np.bool_],
    seen: Extent,
    odds: Odds,
    dims: Dims,
    doubts: list[tuple[float, str]],
) -> None:
    """Doubt a border beyond which single spots show on the lattice, unless debris explains them."""
    rows, cols = slice(seen.row0, seen.row1 + 1), slice(seen.col0, seen.col1 + 1)
    lines = (
        (dims.rows, "above the first row", hits[max(seen.row0 - 2, 0) : seen.row0, cols]),
        (dims.rows, "below the last row", hits[seen.row1 + 1 : seen.row1 + 3, cols]),
        (dims.cols, "left of the first column", hits[rows, max(seen.col0 - 2, 0) : seen.col0]),
        (dims.cols, "right of the last column", hits[rows, seen.col1 + 1 : seen.col1 + 3]),
    )
    for known, where, line in lines:
        count = int(line.sum())
        if known is None and count and poisson.sf(count - 1, odds.accident * line.size) < 0.05:
            option = "rows" if "row" in where else "cols"
            doubts.append((_DOUBT, f"a spot shows {where}: give {option}, or the carrier"))


def _thin_edge(inner: npt.NDArray[np.bool_]) -> bool:
    """Whether the first or last row shows fewer spots than chance explains, given the others."""
    n = inner.shape[1]
    for edge in (0, -1):
        rest = np.delete(inner, edge, axis=0)
        rate = (rest.sum() + 1) / (rest.size + 2)
        if binom.cdf(int(inner[edge].sum()), n, float(rate)) < _CHANCE:
            return True
    return False


def _clipped_evidence(
    hits: npt.NDArray[np.bool_], cells: Cells, extent: Extent, odds: Odds
) -> dict[str, float]:
    """Evidence of the outer lines, for an extent that may reach beyond the cells."""
    pad = [
        max(0, -extent.row0) + 1,
        max(0, extent.row1 - hits.shape[0] + 1) + 1,
        max(0, -extent.col0) + 1,
        max(0, extent.col1 - hits.shape[1] + 1) + 1,
    ]
    width = ((pad[0], pad[1]), (pad[2], pad[3]))
    moved = Extent(
        extent.row0 + pad[0], extent.row1 + pad[0], extent.col0 + pad[2], extent.col1 + pad[2]
    )
    return evidence.line_evidence(np.pad(hits, width), np.pad(cells.inside, width), moved, odds)


def _quality(
    hits: npt.NDArray[np.bool_],
    cells: Cells,
    *,
    seen: Extent,
    spot: Template,
    rms: float,
    purity: float,
    alike: float,
    doubts: list[tuple[float, str]],
) -> float:
    """How well the lattice explains what shows, 0..1."""
    inner = seen.cut(hits)
    likeness = float(np.median(seen.cut(cells.likeness)[inner])) if inner.any() else 0.0
    parts = {
        "the spots scatter around the lattice": ramp(rms, 0.18, 0.05),
        "the spots do not look alike": ramp(likeness, 0.2, 0.7),
        "many positions show no spot": ramp(float(inner.mean()), 0.2, 0.6),
        "much in the image is not explained by the grid": ramp(purity, 0.3, 0.8),
        "every second spot looks different": ramp(alike, 0.3, 0.8),
        "spots and gaps are hard to tell apart": ramp(spot.isolation, 0.1, 0.5),
    }
    for text, part in parts.items():
        if part < 0.75:
            doubts.append((1.0, text))
    return float(np.prod(list(parts.values())))


def _edges_sure(
    lines: dict[str, float],
    free: list[str],
    anchors: dict[tuple[int, int], Array],
    doubts: list[tuple[float, str]],
) -> float:
    """How clearly the outer lines belong to the grid and the next ones do not, 0..1."""
    if anchors:
        return 1.0
    sure = 1.0
    for axis in free:
        for side in ("first", "last"):
            inner = lines[f"{side}_{axis}"]
            outer = -lines[f"outer_{side}_{axis}"]
            part = 1 - float(np.exp(-max(inner, 0.0) / 3))
            if part < 0.75:
                doubts.append((1.0, f"few spots show in the {side} {_word(axis)}"))
            # An outer line that lies off the image says nothing; its side is doubted elsewhere.
            if outer != 0:
                rest = 1 - float(np.exp(-max(outer, 0.0) / 2))
                if rest < 0.75:
                    doubts.append((1.0, f"spots show outside the {side} {_word(axis)}"))
                part *= rest
            sure = min(sure, part)
    return sure


def _word(axis: str) -> str:
    return "row" if axis == "row" else "column"

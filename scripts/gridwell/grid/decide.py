"""Decisions: which rows and columns the grid has, and how sure that is.

A grid is never called ok while another one explains the image about as well. Every way in which
it could be wrong is a doubt: a chance, and the option that would settle it. The confidence is the
chance that the lattice is right, times the chances that each doubt is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.stats import binom

from gridwell.config.models import Carrier, GridOptions, GridOverride
from gridwell.grid import evidence
from gridwell.grid.evidence import Bools, Cells, Extent, Odds, Template
from gridwell.grid.frame import Frame
from gridwell.grid.lattice import Array, Basis

# Formats so common that seeing one whole is evidence by itself (SLAS plates, 672-spot slides).
_FORMATS = ((2, 3), (3, 4), (4, 6), (6, 8), (8, 12), (16, 24), (32, 48), (14, 48))
# Nats between two placements of a grid of known size that settle it.
_DECISIVE = 6.0

# Chances that the grid is another one, where …
_OPEN = 0.6  # … several placements of a grid of known size are equally good
_CROPPED = 0.55  # … only the border of the image speaks against a shift
_NEXT_FORMAT = 0.6  # … one or two more lines would make it a common format
_OFF_MIDDLE = 0.6  # … it would lie in the middle of the image with a few more lines
_CUT = 0.6  # … the image ends right at the grid, on one side only
_BORDER = 0.01  # … the image ends before the next line
_HOLLOW = 0.6  # … a line inside is empty, so that outer ones may be
_UNCLEAR = 0.15  # … a gap between blocks could be an empty line
_STRAYS = 0.3  # … single spots lie on the lattice just outside it
_FEW_SHOW = 0.2  # … fewer spots show than lines can be told from
_THIN = 0.15  # … an outer line shows fewer spots than lines of this grid do
_FILLED = 0.8  # … the pattern goes on to all borders of the image
_BESIDE = 0.5  # … spots beside it form a lattice of their own
# Pitches between a grid and the image's border that may hide a line.
_NARROW = 0.62
# Spots that are too few, unless they fill a common format.
_FEW = 8
# Filled part of an outer line, of that of the whole grid, below which it is sparse.
_SPARSE_LINE = 0.55
# Pitches by which an outline may be off its place, and least distance of it from a line.
_FRAME_AGREES = 0.2
_FRAME_NEAREST = 0.35
# Pitches by which room on opposite sides may differ for a grid in the middle of its image.
_CENTRED = 0.5
# Filled part from which a line in a gap is more than strays.
_SPARSE = 0.12
# Chance that a line of the grid shows so few spots, below which it is rare.
_RARE = 0.006
# Nats by which an outer line that was taken in is likelier than not.
_KEPT = 2.0
# Lines beyond an outer one in which single spots are looked for; chance of that many by accident.
_BEYOND = 3
_BY_ACCIDENT = 0.02
# Odds, before looking, of one more line on a side: of any format, of one more common than it.
_ONE_MORE = 0.5
_ONE_MORE_COMMON = 0.03
_EMPTY_BY_DESIGN = 0.002
# Doubts below this chance are not worth a word.
_WORTH_SAYING = 0.02
# Doubts from this chance have their grids drawn, so many at most.
_WORTH_DRAWING = 0.05
_MOST_OTHERS = 4
# Chance of a lattice below which there is none to speak of.
_NO_LATTICE = 0.08

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


@dataclass(frozen=True)
class Doubt:
    """A way in which the grid could be wrong: how likely it is, and what would settle it.

    Attributes
    ----------
    chance
        0..1.
    text
        For people.
    others
        What it would be instead, where that is known: 0 for rows or 1 for columns, and the first
        and last of them in the indices of the cells.
    """

    chance: float
    text: str
    others: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True)
class View:
    """What the image shows of a lattice.

    Attributes
    ----------
    cells
        Positions with a ring around the visible grid.
    hits
        Which of them show a spot.
    seen
        Lines that show spots.
    odds
        Chances of a hit inside and outside.
    basis
        Vectors of the lattice.
    spot, rms, purity, alike
        Template, scatter around the nodes (pitches), part of the candidates explained, likeness
        of every second spot to the others.
    gain
        How much better than chance the lattice explains the candidates, in nats.
    rival
        Quality of the best other lattice as a fraction of this one's.
    beside
        Spots off the grid that form a lattice of their own.
    strays
        Candidates that lie on no node of the grid.
    sparse
        Filled part of a line that was taken for strays in a gap between blocks.
    unclear
        Whether a gap that parts blocks could as well be an empty line.
    steps
        Columns and rows that begin a block, in the indices of the cells.
    image_shape
        Height and width of the searched image.
    frame
        Where the carrier's outline lies, if it was looked for.
    """

    cells: Cells
    hits: Bools
    seen: Extent
    odds: Odds
    basis: Basis
    spot: Template
    rms: float
    purity: float
    alike: float
    gain: float
    rival: float
    beside: int
    strays: int
    sparse: float
    unclear: bool
    steps: tuple[tuple[int, ...], tuple[int, ...]]
    image_shape: tuple[int, ...]
    frame: Frame | None = None

    @property
    def inner(self) -> Bools:
        """Hits of the lines that show spots."""
        return self.seen.cut(self.hits)


@dataclass(frozen=True)
class Verdict:
    """Outcome of a decision.

    Attributes
    ----------
    extent
        Chosen lines, in the indices of the cells; may reach beyond them. None: no grid.
    confidence
        0..1.
    doubts
        Why it is not 1, worst first.
    open
        Whether several placements are equally good, however good the fit.
    fixed
        Whether a person named the size or the place.
    margins
        Nats by which each one-step change explains the image worse.
    alternatives
        Other grids that it could be, in the indices of the cells, likeliest first.
    """

    extent: Extent | None
    confidence: float = 0.0
    doubts: tuple[Doubt, ...] = ()
    open: bool = False
    fixed: bool = False
    margins: dict[str, float] = field(default_factory=dict)
    alternatives: tuple[Extent, ...] = ()

    @property
    def reason(self) -> str:
        """All doubts in one sentence."""
        if self.extent is None and not self.doubts:
            return NOT_FOUND
        return "; ".join(doubt.text for doubt in self.doubts) or "the fit is weak"


def decide(
    view: View,
    *,
    dims: Dims,
    anchors: dict[tuple[int, int], Array],
    carrier: Carrier | None,
) -> Verdict:
    """Choose the lines of the grid and weigh the alternatives.

    Parameters
    ----------
    view
        What the image shows.
    dims
        Rows and columns as far as known.
    anchors
        Named spots and where they were clicked.
    carrier
        Known carrier, for its blocks.
    """
    doubts: list[Doubt] = []
    if not anchors and dims.rows is None and dims.cols is None:
        view, doubt = _common_within(view)
        doubts += [doubt] if doubt else []
    framed = _framed(view, dims, carrier)
    (rows, rows_open), (cols, cols_open) = (
        _axis(
            axis,
            view,
            wanted,
            framed=framed[axis],
            sizes=_sizes(carrier, axis),
            anchors=anchors,
            doubts=doubts,
        )
        for axis, wanted in ((0, dims.rows), (1, dims.cols))
    )
    extent = Extent(*rows, *cols)
    if extent.rows < 1 or extent.cols < 1:
        return Verdict(None, doubts=(Doubt(1.0, "the named spots do not fit the image"),))
    right = chance_of_lattice(view)
    if right < _NO_LATTICE and not anchors:
        return Verdict(None)
    if not anchors:
        doubts += _size_doubts(view, dims)
    doubts += _fit_doubts(view)
    # What holds for rows and for columns alike is said, and counts, once.
    each = {d.text: d for d in doubts if d.chance >= _WORTH_SAYING}
    doubts = sorted(each.values(), key=lambda d: -d.chance)
    confidence = right * float(np.prod([1 - d.chance for d in doubts]))
    lines = _clipped_evidence(view.hits, view.cells, extent, view.odds)
    return Verdict(
        extent,
        confidence=round(float(np.clip(confidence, 0, 1)), 4),
        doubts=tuple(doubts),
        open=rows_open or cols_open,
        fixed="override" in dims.source or bool(anchors),
        margins=evidence.margins(lines),
        alternatives=_alternatives(extent, doubts),
    )


def _common_within(view: View) -> tuple[View, Doubt | None]:
    """Without a sparse outer line that alone keeps the grid from being of a common format."""
    e, inner = view.seen, view.inner
    for axis, last in ((0, False), (0, True), (1, False), (1, True)):
        part = inner if axis == 0 else inner.T
        if len(part) < 3 or part[-1 if last else 0].mean() > _SPARSE_LINE * part.mean():
            continue
        _, first, end = _resized(e, axis, last, -1)
        smaller = (
            Extent(first, end, e.col0, e.col1) if axis == 0 else Extent(e.row0, e.row1, first, end)
        )
        if _standard(smaller.rows, smaller.cols):
            word, option, _, _ = _NAMES[axis]
            text = (
                f"a few spots show {'after the last' if last else 'before the first'} {word} of a "
                f"{smaller.rows} x {smaller.cols} grid: give {option}, or the carrier"
            )
            whole = (axis, e.row0, e.row1) if axis == 0 else (axis, e.col0, e.col1)
            return replace(view, seen=smaller), Doubt(_STRAYS, text, (whole,))
    return view, None


def _alternatives(extent: Extent, doubts: Sequence[Doubt]) -> tuple[Extent, ...]:
    """The grids that the serious doubts would have instead, each once."""
    out: list[Extent] = []
    for doubt in doubts:
        for axis, first, last in doubt.others if doubt.chance >= _WORTH_DRAWING else ():
            rows = (first, last) if axis == 0 else (extent.row0, extent.row1)
            cols = (first, last) if axis == 1 else (extent.col0, extent.col1)
            other = Extent(*rows, *cols)
            if other not in (extent, *out):
                out.append(other)
    return tuple(out[:_MOST_OTHERS])


# ---------------------------------------------------------------- is it a lattice


def traits(view: View) -> dict[str, float]:
    """What tells a right lattice from a wrong one, each about 0..1, 1 is good."""
    inner = view.inner
    likeness = float(np.median(view.seen.cut(view.cells.likeness)[inner])) if inner.any() else 0.0
    return {
        "tight": float(np.clip(1 - view.rms / 0.2, 0, 1)),
        "likeness": float(np.clip(likeness, 0, 1)),
        "fill": float(inner.mean()),
        "purity": view.purity,
        "alike": float(np.clip(view.alike, 0, 1)),
        "isolation": float(np.clip(view.spot.isolation, 0, 1)),
        "count": float(np.clip(np.log(max(inner.sum(), 1) / 4) / np.log(25), 0, 1)),
        "gain": float(np.clip(np.log(max(view.gain, 1.0)) / np.log(1000), 0, 1)),
        "gain each": float(np.clip(view.gain / max(inner.sum(), 1) / 6, 0, 1)),
        "rival": float(np.clip(1 - view.rival, 0, 1)),
    }


# Logistic regression of "the lattice is right" on simulated carriers of all four levels and on
# images without a grid; `benchmarks/grid_confidence.py` fits it anew.
_INTERCEPT = -29.89
_WEIGHTS = {
    "likeness": 9.18,
    "fill": 4.97,
    "purity": 6.23,
    "alike": 4.49,
    "isolation": 5.72,
    "count": 1.79,
    "gain": 6.77,
    "gain each": 0.83,
    "rival": 0.75,
}


def chance_of_lattice(view: View) -> float:
    """Chance, 0..1, that the lattice is the carrier's own."""
    seen = traits(view)
    z = _INTERCEPT + sum(weight * seen[name] for name, weight in _WEIGHTS.items())
    return float(1 / (1 + np.exp(-z)))


def _fit_doubts(view: View) -> list[Doubt]:
    """What of the fit is weak, for people; the chance of the lattice holds most of its weight."""
    words = {
        "tight": (0.3, "the spots scatter around the lattice"),
        "likeness": (0.4, "the spots do not look alike"),
        "fill": (0.4, "many positions show no spot"),
        "purity": (0.5, "much in the image is not explained by the grid"),
        "alike": (0.5, "every second spot looks different"),
        "count": (0.15, "few spots show"),
    }
    seen = traits(view)
    out = [
        Doubt(_WORTH_SAYING, f"{text}: give rows and cols, or pitch")
        for name, (least, text) in words.items()
        if seen[name] < least
    ]
    if view.beside >= max(4, 0.06 * view.inner.sum()):
        text = f"{view.beside} spots show beside the grid: give rows and cols, or the carrier"
        out.append(Doubt(_BESIDE, text))
    if view.unclear:
        text = "a gap between blocks could be an empty line: give rows and cols, or the carrier"
        out.append(Doubt(_UNCLEAR, text))
    if view.sparse > _SPARSE:
        text = "a sparse line lies in a gap between blocks: give rows and cols, or the carrier"
        out.append(Doubt(_STRAYS, text))
    return out


# ---------------------------------------------------------------- size known


def _sizes(carrier: Carrier | None, axis: int) -> tuple[int, ...]:
    if carrier is None:
        return ()
    return carrier.block_rows if axis == 0 else carrier.block_cols


_NAMES = (("row", "rows", "top", "bottom"), ("column", "cols", "left", "right"))


def _axis(
    axis: int,
    view: View,
    wanted: int | None,
    *,
    framed: int | None,
    sizes: tuple[int, ...],
    anchors: dict[tuple[int, int], Array],
    doubts: list[Doubt],
) -> tuple[tuple[int, int], bool]:
    """First and last line along one axis, and whether that remains open."""
    hits, cells, seen, odds = view.hits, view.cells, view.seen, view.odds
    steps = view.steps[1 - axis]
    low, high = (seen.row0, seen.row1) if axis == 0 else (seen.col0, seen.col1)
    word, option, _, _ = _NAMES[axis]
    start = _anchored(axis, cells, anchors, doubts)
    count = high - low + 1
    if start is not None:
        last = start + wanted - 1 if wanted else high
        if (start > low or last < high) and last >= start:
            doubts.append(
                Doubt(_OPEN, f"spots show outside the {option} that the named spots leave")
            )
        return (start, last), False
    if wanted is None:
        return (low, high), False
    if framed is not None:
        return (framed, framed + wanted - 1), False

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
            Doubt(
                _OPEN, f"{wanted} {option} do not fit into the image ({count} show): check the size"
            )
        )
        first = (low + high - wanted + 1) // 2
        return (first, first + wanted - 1), True
    values = [value(s) for s in starts]
    min_value = gain * sum(_count(axis, k, hits, seen) for k in range(low, high + 1))
    sides = _Sides(cells, seen, view.basis, view.spot, view.image_shape)
    off = (sides.top - sides.bottom, sides.left - sides.right)[axis]

    def off_middle(first: int) -> float:
        # Pitches by which the grid would lie nearer to one border of the image.
        return abs(off - (low - first) + (first + wanted - 1 - high))

    ranked = sorted(range(len(starts)), key=lambda i: (-round(values[i], 6), off_middle(starts[i])))
    best = starts[ranked[0]]
    if count > wanted:
        dropped = [k for k in range(low, high + 1) if not best <= k < best + wanted]
        if any(_line(axis, k, hits, cells=cells, seen=seen, odds=odds) > 3 for k in dropped):
            doubts.append(
                Doubt(_OPEN, f"{count} {option} show, {wanted} are expected: check {option}")
            )
    close = [s for s, v in zip(starts, values, strict=True) if v > max(values) - _DECISIVE]
    if len(close) > 1:
        side = " or ".join(sorted({f"{max(close) - s + 1}" for s in close}))
        doubts.append(
            Doubt(
                _OPEN,
                f"{count} of {wanted} {option} show: the first {word} that shows could be "
                f"number {side}; give origin or one corner in an override",
                tuple((axis, s, s + wanted - 1) for s in close),
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
            Doubt(
                _CROPPED,
                f"{count} of {wanted} {option} show: number {low - best + 1} is the first if the "
                f"image shows the whole carrier; give origin or one corner if it was cropped",
            )
        )
    return (best, best + wanted - 1), False


def _framed(view: View, dims: Dims, carrier: Carrier | None) -> tuple[int | None, int | None]:
    """First row and column of a grid of known size by the carrier's outline around it.

    Of a carrier that tells where A1 lies in it, the outline must lie there; of others, equally
    far on opposite sides. All four sides must agree, or none is believed.
    """
    f, e = view.frame, view.seen
    if f is None or dims.rows is None or dims.cols is None:
        return None, None
    out: list[int] = []
    sides = (
        (f.top, f.bottom, dims.rows, e.row0, e.rows),
        (f.left, f.right, dims.cols, e.col0, e.cols),
    )
    for axis, (before, after, wanted, low, count) in enumerate(sides):
        spare = wanted - count
        if before is None or after is None or spare < 0:
            return None, None
        # Each empty line before the first that shows takes a pitch there and gives one behind.
        empty = (before - after - _uneven(carrier, axis, wanted) + spare) / 2
        fits = -0.3 < empty < spare + 0.3 and abs(empty - round(empty)) < _FRAME_AGREES
        if not fits or min(before - empty, after - spare + empty) < _FRAME_NEAREST:
            return None, None
        out.append(low - round(empty))
    return out[0], out[1]


def _uneven(carrier: Carrier | None, axis: int, wanted: int) -> float:
    """Pitches by which the outline is farther before the first line than after the last."""
    if carrier is None or not (carrier.a1_um and carrier.footprint_um and carrier.pitch_um):
        return 0.0
    k = 1 - axis
    before = carrier.a1_um[k]
    after = carrier.footprint_um[k] - before - (wanted - 1) * carrier.pitch_um[k]
    return (before - after) / carrier.pitch_um[k]


def _anchored(
    axis: int,
    cells: Cells,
    anchors: dict[tuple[int, int], Array],
    doubts: list[Doubt],
) -> int | None:
    """Line of the cells that is line 0 of the grid by the named spots."""
    starts = []
    for place, xy in anchors.items():
        distance = np.hypot(*np.moveaxis(cells.nodes - xy, -1, 0))
        at = np.unravel_index(int(np.argmin(distance)), distance.shape)
        step = np.hypot(*(cells.nodes[0, 1] - cells.nodes[0, 0]))
        if distance[at] > 0.45 * step:
            doubts.append(Doubt(_OPEN, "a named spot does not lie on the lattice that shows"))
            continue
        starts.append(int(at[axis]) - place[axis])
    if not starts:
        return None
    if len(set(starts)) > 1:
        doubts.append(Doubt(_OPEN, "the named spots do not fit the lattice that shows"))
    return int(np.median(starts))


def _across(axis: int, k: int, seen: Extent) -> tuple[int | slice, int | slice]:
    """Where a line lies in the cells, as far as the grid reaches."""
    if axis == 0:
        return k, slice(seen.col0, seen.col1 + 1)
    return slice(seen.row0, seen.row1 + 1), k


def _line(axis: int, k: int, hits: Bools, *, cells: Cells, seen: Extent, odds: Odds) -> float:
    if not 0 <= k < hits.shape[axis]:
        return 0.0
    at = _across(axis, k, seen)
    return odds.line(hits[at], cells.inside[at], axis)


def _count(axis: int, k: int, hits: Bools, seen: Extent) -> int:
    return int(hits[_across(axis, k, seen)].sum()) if 0 <= k < hits.shape[axis] else 0


def _in_image(axis: int, k: int, cells: Cells, seen: Extent) -> bool:
    """Whether at least half of a line's centres lie in the image."""
    if not 0 <= k < cells.inside.shape[axis]:
        return False
    return bool(cells.inside[_across(axis, k, seen)].mean() >= 0.5)


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
        dx, dy = 0.4 * spot.size[0] * basis.u, 0.4 * spot.size[1] * basis.v
        # Whether the next line's spots would at least peep into the image.
        self.closed = {
            "top": closed(n[e.row0, cols] - basis.v, dy),
            "bottom": closed(n[e.row1, cols] + basis.v, -dy),
            "left": closed(n[rows, e.col0] - basis.u, dx),
            "right": closed(n[rows, e.col1] + basis.u, -dx),
        }

    def cut(self, side: str) -> bool:
        """Whether the image ends right at this side of the grid but not at the opposite one."""
        opposite = {"top": "bottom", "bottom": "top", "left": "right", "right": "left"}[side]
        room = getattr(self, side)
        return bool(room < _NARROW and room < getattr(self, opposite) - 0.3)

    def lines_to_the_middle(self, axis: int) -> int:
        """Lines that would bring the grid into the middle of an image framed for it, or 0."""
        own = (self.top - self.bottom, self.left - self.right)[axis]
        other = (self.left - self.right, self.top - self.bottom)[axis]
        lines = round(abs(own))
        apart = abs(abs(own) - lines)
        return lines if lines >= 1 and apart < 0.2 and abs(other) < 0.2 else 0

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


def _size_doubts(view: View, dims: Dims) -> list[Doubt]:
    """Doubts that only arise where rows or columns are inferred."""
    if dims.rows is not None and dims.cols is not None:
        return []
    sides = _Sides(view.cells, view.seen, view.basis, view.spot, view.image_shape)
    seen = view.seen
    free = dims.rows is None and dims.cols is None
    standard = free and _standard(seen.rows, seen.cols) and view.inner.sum() >= 5
    out = []
    shown = int(view.inner.sum())
    if shown < _FEW and not (standard and view.inner.all()):
        text = f"only {shown} spots show: give rows and cols, or the carrier"
        out.append(Doubt(_FEW_SHOW, text))
    middle = _middle_format(seen, sides) if free else None
    if middle is not None:
        (rows, cols), others = middle
        text = (
            f"with empty lines a {rows} x {cols} grid would lie in the middle of the image: give "
            "rows and cols, or the carrier"
        )
        out.append(Doubt(_NEXT_FORMAT, text, others))
    spare = _larger_format(seen.rows, seen.cols) if free and not standard else None
    # An empty line more on one side would move a grid that lies in the middle out of it.
    if spare and not sides.framed:
        text = (
            f"{seen.rows} x {seen.cols} spots show; with empty outer lines it would be the "
            f"common format {spare[0]} x {spare[1]}: give rows and cols, or the carrier"
        )
        others = [
            _resized(seen, axis, last, more)
            for axis, more in ((0, spare[0] - seen.rows), (1, spare[1] - seen.cols))
            for last in (False, True)
            if more
        ]
        out.append(Doubt(_NEXT_FORMAT, text, tuple(others)))
    if not standard and sum(sides.closed.values()) <= 1:
        text = "the pattern goes on to the borders of the image: give rows and cols, or the carrier"
        out.append(Doubt(_FILLED, text))
    for axis, known in ((0, dims.rows), (1, dims.cols)):
        if known is None:
            out += _axis_doubts(view, axis, sides, standard)
    return out


def _axis_doubts(view: View, axis: int, sides: _Sides, standard: bool) -> list[Doubt]:
    word, option, low_side, high_side = _NAMES[axis]
    out = []
    if not view.inner.any(axis=1 - axis).all() and not standard:
        text = f"a {word} inside is empty, so that outer ones may be: give {option}"
        out.append(Doubt(_HOLLOW, text))
    for last, side in ((False, low_side), (True, high_side)):
        out.append(_less_doubt(view, axis, last))
        if sides.closed[side]:
            out.append(_more_doubt(view, axis, last, standard))
        elif not standard:
            chance = _CUT if sides.cut(side) else _BORDER
            text = (
                f"the image ends at the {side} of the grid, where more {option} may follow: "
                f"give {option}, or the carrier"
            )
            out.append(Doubt(chance, text, (_resized(view.seen, axis, last, 1),)))
        out += _outer_doubts(view, axis, last)
    extra = sides.lines_to_the_middle(axis)
    if extra and not standard:
        large = low_side if getattr(sides, low_side) > getattr(sides, high_side) else high_side
        text = (
            f"with {extra} more {option} at the {large} the grid would lie in the middle of the "
            f"image: give {option}, or the carrier"
        )
        more = _resized(view.seen, axis, large == high_side, extra)
        out.append(Doubt(_OFF_MIDDLE, text, (more,)))
    return out


def _less_doubt(view: View, axis: int, last: bool) -> Doubt:
    """The outer line may not be part of the grid: what shows there are strays."""
    e = view.seen
    line = (e.row1 if last else e.row0) if axis == 0 else (e.col1 if last else e.col0)
    speaks = _line(axis, line, view.hits, cells=view.cells, seen=e, odds=view.odds)
    at = _across(axis, line, e)
    few = view.odds.sparse(view.hits[at], view.cells.inside[at], axis)
    chance = max(
        float(1 / (1 + np.exp(np.clip(speaks + _KEPT, -50, 50)))), _THIN if few < _RARE else 0.0
    )
    word, option, _, _ = _NAMES[axis]
    text = f"few spots show in the {'last' if last else 'first'} {word}: give {option}"
    return Doubt(chance, text, (_resized(e, axis, last, -1),))


def _more_doubt(view: View, axis: int, last: bool, standard: bool) -> Doubt:
    """One more line may be there, of which little or nothing shows.

    A line is empty by chance the more often, the fewer spots show in the lines before it.
    """
    e = view.seen
    inner = view.inner if axis == 0 else view.inner.T
    outer = inner[-2:] if last else inner[:2]
    rate = float(inner.mean())
    filled = float((outer.sum() + 4 * rate) / (outer.size + 4))
    odds = replace(view.odds, occupied=float(np.clip(filled, 0.05, 0.97)))
    line = (
        (e.row1 + 1 if last else e.row0 - 1) if axis == 0 else (e.col1 + 1 if last else e.col0 - 1)
    )
    speaks = _line(axis, line, view.hits, cells=view.cells, seen=e, odds=odds)
    prior = _ONE_MORE_COMMON if standard else _ONE_MORE
    chance = prior * float(np.exp(np.clip(speaks, -50, 5))) + _EMPTY_BY_DESIGN
    if not _in_image(axis, line, view.cells, e):
        chance = _BORDER
    word, option, _, _ = _NAMES[axis]
    where = "after the last" if last else "before the first"
    text = f"there may be another {word} {where}, of which too little shows: give {option}"
    return Doubt(chance / (1 + chance), text, (_resized(e, axis, last, 1),))


def _outer_doubts(view: View, axis: int, last: bool) -> list[Doubt]:
    """Single spots on the lattice beyond an outer line, more than accident explains."""
    e = view.seen
    hits, inside = (
        (view.hits, view.cells.inside) if axis == 0 else (view.hits.T, view.cells.inside.T)
    )
    low, high, first, end = (
        (e.row0, e.row1, e.col0, e.col1) if axis == 0 else (e.col0, e.col1, e.row0, e.row1)
    )
    beyond = slice(high + 1, high + 1 + _BEYOND) if last else slice(max(low - _BEYOND, 0), low)
    shown = int(hits[beyond, first : end + 1].sum())
    places = int(inside[beyond, first : end + 1].sum())
    if not shown:
        return []
    # A stray of the image comes to lie on a node there by this chance.
    image = float(np.prod(view.image_shape))
    share = min(0.25 * places * view.basis.area / image, 1.0)
    by_accident = float(binom.sf(shown - 1, max(view.strays, shown), share))
    if by_accident > _BY_ACCIDENT:
        return []
    word, option, low_side, high_side = _NAMES[axis]
    text = (
        f"{shown} spots show beyond the {'last' if last else 'first'} {word}, at the "
        f"{high_side if last else low_side}: give {option}, or the carrier"
    )
    return [Doubt(_STRAYS, text, (_resized(e, axis, last, 1),))]


def _resized(e: Extent, axis: int, last: bool, by: int) -> tuple[int, int, int]:
    """The lines of one axis with `by` more at one end."""
    low, high = (e.row0, e.row1) if axis == 0 else (e.col0, e.col1)
    return axis, low - (0 if last else by), high + (by if last else 0)


def _standard(rows: int, cols: int) -> bool:
    return (rows, cols) in _FORMATS or (cols, rows) in _FORMATS


def _middle_format(
    seen: Extent, sides: _Sides
) -> tuple[tuple[int, int], tuple[tuple[int, int, int], ...]] | None:
    """A larger common format that would lie in the middle of the image, and its own lines."""
    off = (sides.top - sides.bottom, sides.left - sides.right)
    for a, b in _FORMATS:
        for r, c in ((a, b), (b, a)):
            extra = (r - seen.rows, c - seen.cols)
            if min(extra) < 0 or max(extra) < 3:
                continue
            if all(abs(abs(o) - e) < _CENTRED for o, e in zip(off, extra, strict=True)):
                lines = [_resized(seen, axis, off[axis] < 0, extra[axis]) for axis in (0, 1)]
                return (r, c), tuple(line for line, e in zip(lines, extra, strict=True) if e)
    return None


def _larger_format(rows: int, cols: int) -> tuple[int, int] | None:
    """A common format that the grid would be with one or two more empty lines on one side."""
    for a, b in _FORMATS:
        for r, c in ((a, b), (b, a)):
            extra = (r - rows, c - cols)
            if r * c >= 24 and sorted(extra) in ([0, 1], [0, 2], [1, 1]):
                return r, c
    return None


def _clipped_evidence(hits: Bools, cells: Cells, extent: Extent, odds: Odds) -> dict[str, float]:
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

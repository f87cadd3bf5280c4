"""Search: of all candidates and lattices, the one that explains the image best."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy.spatial import cKDTree

from gridwell.grid import elements, evidence, lattice
from gridwell.grid.decide import Dims
from gridwell.grid.elements import Candidates, Image
from gridwell.grid.evidence import Bools, Cells, Extent, Odds, Template
from gridwell.grid.lattice import Array, Basis, Lattice, Limits
from gridwell.network.device import Policy

# Bases of one set of candidates whose lattices are grown, and lattices that are weighed.
_GROWN = 3
_WEIGHED = 2
# The same for all sets of the filters together.
_GROWN_FILTERS = 16
_WEIGHED_FILTERS = 6
# Lines beyond the members' that are looked at.
RING = 3
_MOST_NODES = 20_000
# Lattices that scatter more are none.
_LOOSEST = 0.24
# Quality from which the network's lattice needs no second opinion.
_CONVINCING = 0.3
# What is left of the quality of a lattice of which every second line shows nothing, and of one
# whose size cannot be the one that is known.
_HALF = 0.3
_OTHER_SIZE = 0.5
# Least likeness and contrast, as fractions of the typical spot's, of a spot in a line that only
# the image shows; nats and spots from which such a line is part of the grid.
_ALIKE = 0.75
_FAINTEST = 0.15
_CLEAR = 8.0
_ENOUGH = 8


@dataclass(frozen=True)
class Found:
    """A lattice with what the image says of it.

    Attributes
    ----------
    cells
        All nodes from RING lines before the first member to RING lines after the last.
    first
        Column and row index of the first of these lines.
    extent
        Lines that show spots, in `cells`.
    odds
        Chances of a hit in the grid and by accident.
    threshold
        Score from which a position shows a spot.
    purity
        Part of the strong candidates within the grid's outline that lie on nodes.
    alike
        Likeness of every second spot to the others, -1..1.
    quality
        How well all this fits together; 0 is worst.
    rival
        Quality of the best lattice of another kind, as a fraction of this one's.
    beside
        Candidates off the nodes that form a lattice of the same vectors by themselves.
    strays
        Candidates off the nodes.
    """

    candidates: Candidates
    lattice: Lattice
    template: Template
    cells: Cells
    first: tuple[int, int]
    extent: Extent
    odds: Odds
    threshold: float
    purity: float
    alike: float
    quality: float
    rival: float = 0.0
    beside: int = 0
    strays: int = 0

    @property
    def hits(self) -> Bools:
        """Positions of `cells` that show a spot."""
        return (self.cells.score >= self.threshold) & self.cells.inside


def search(
    image: Image,
    limits: Limits,
    dims: Dims,
    *,
    method: str = "network",
    polarity: str = "auto",
    gpu: Policy = "allow",
) -> Found | None:
    """The lattice that explains the image best; None where there is none.

    Parameters
    ----------
    image
        Gray image (h, w), normalised.
    limits
        Bounds of rotation and pitch.
    dims
        Rows and columns as far as they are known.
    method
        ``network``, with filters where it does not convince, or ``filters`` alone.
    polarity
        ``bright``, ``dark`` or ``auto``; the network sees both in any case.
    gpu
        Whether the network may compute on a GPU.
    """
    found: list[Found] = []
    if method == "network":
        for candidates in elements.from_network(image, gpu):
            found += _weighed([candidates], limits, dims, _GROWN, _WEIGHED)
    if max((f.quality for f in found), default=0.0) < _CONVINCING:
        sets = elements.from_filters(image, polarity)
        found += _weighed(sets, limits, dims, _GROWN_FILTERS, _WEIGHED_FILTERS)
    if not found:
        return None
    best = max(found, key=lambda f: f.quality)
    others = [f.quality for f in found if not _same(f, best)]
    rival = max(others, default=0.0) / max(best.quality, 1e-9)
    return replace(_polished(image, best), rival=rival)


def _weighed(
    sets: Iterable[Candidates], limits: Limits, dims: Dims, grown: int, weighed: int
) -> list[Found]:
    """Lattices of the most promising bases of several sets of candidates, weighed."""
    ranked = [
        (score * len(candidates.points) ** 0.15, number, candidates, basis)
        for number, candidates in enumerate(sets)
        for score, basis in lattice.find_bases(candidates.points, limits)
    ]
    ranked.sort(key=lambda item: (-item[0], item[1]))
    built: list[tuple[float, Candidates, Lattice]] = []
    for _, _, candidates, basis in ranked[:grown]:
        one = lattice.build(candidates.points, basis)
        if one is not None and one.rms < _LOOSEST:
            built.append((one.gain * len(candidates.points) ** -0.5, candidates, one))
    built.sort(key=lambda item: -item[0])
    found = (weigh(candidates, one, dims) for _, candidates, one in built[:weighed])
    return [f for f in found if f is not None]


def _same(one: Found, other: Found) -> bool:
    """Whether two lattices have the same vectors and size."""
    a, b = one.lattice.basis, other.lattice.basis
    near = max(np.hypot(*(a.u - b.u)), np.hypot(*(a.v - b.v))) < 0.12 * b.pitch
    return bool(
        near and (one.extent.rows, one.extent.cols) == (other.extent.rows, other.extent.cols)
    )


# ---------------------------------------------------------------- weighing


def weigh(candidates: Candidates, built: Lattice, dims: Dims) -> Found | None:
    """Compare a lattice with the image: extent, odds, quality."""
    surface = candidates.surface
    bounds = built.bounds
    basis = built.basis
    members = built.predict(*built.index.T)
    spot = evidence.template(surface, members, basis, candidates.polarity)
    accident = _accident(candidates, built)
    threshold = 0.0
    odds = Odds(0.7, accident)
    for _ in range(6):
        ring = (_ring(dims.rows, bounds[3] - bounds[2]), _ring(dims.cols, bounds[1] - bounds[0]))
        first = (bounds[0] - ring[1], bounds[2] - ring[0])
        cols = np.arange(first[0], bounds[1] + ring[1] + 1)
        rows = np.arange(first[1], bounds[3] + ring[0] + 1)
        if len(cols) * len(rows) > _MOST_NODES:
            return None
        nodes = built.predict(*np.meshgrid(cols, rows))
        cells = evidence.weigh(surface, nodes, basis, spot, coarse=True)
        if not threshold:
            at = built.index - first
            threshold = max(0.2, 0.5 * float(np.median(cells.score[at[:, 1], at[:, 0]])))
        hits = (cells.score >= threshold) & cells.inside
        extent = Extent(ring[0], len(rows) - 1 - ring[0], ring[1], len(cols) - 1 - ring[1])
        for _ in range(3):
            extent = evidence.trim(hits, cells.inside, extent, odds)
            odds = Odds.seen(extent.cut(hits), extent.cut(cells.inside), accident)
        bounds = (
            extent.col0 + first[0],
            extent.col1 + first[0],
            extent.row0 + first[1],
            extent.row1 + first[1],
        )
        if min(extent.row0, extent.col0) > 0 and (
            extent.row1 < len(rows) - 1 and extent.col1 < len(cols) - 1
        ):
            break
    if extent.rows < 2 or extent.cols < 2:
        return None
    found = Found(candidates, built, spot, cells, first, extent, odds, threshold, 0.0, 0.0, 0.0)
    return _judged(found, dims)


def _ring(wanted: int | None, span: int) -> int:
    """Lines to look at beyond the members: enough for every place of a grid of known size."""
    return RING if wanted is None else int(np.clip(wanted - span, RING, 60))


def _judged(found: Found, dims: Dims) -> Found:
    """The same with purity, likeness and quality."""
    e, cells = found.extent, found.cells
    kept = e.cut(found.hits)
    inner = e.cut(cells.nodes)
    explained, within = _explained(found.candidates, inner, found.lattice.basis)
    purity = float(explained[within].mean()) if within.any() else 0.0
    likeness = float(np.median(e.cut(cells.likeness)[kept])) if kept.any() else 0.0
    centres = np.where(kept[..., None], inner, np.nan)
    alike = evidence.alternation(found.candidates.surface, centres, found.lattice.basis)
    quality = (
        purity
        * (float(explained.mean()) if explained.size else 0.0) ** 0.3
        * float(kept.mean()) ** 0.5
        * max(0.0, 1 - found.lattice.rms / 0.3)
        * max(likeness, 0.0)
        * float(np.clip(alike, 0.05, 1.0))
        * float(np.clip(found.template.isolation, 0.05, 0.6))
        * float(kept.sum()) ** 0.15
    )
    if kept.any() and lattice.is_half(np.argwhere(kept)):
        quality *= _HALF
    for n, wanted in ((e.rows, dims.rows), (e.cols, dims.cols)):
        if wanted and not wanted / 2 <= n <= wanted + 1:
            quality *= _OTHER_SIZE
    return replace(found, purity=purity, alike=alike, quality=quality)


def _strong(candidates: Candidates, like: Array) -> Bools:
    strong: Bools = candidates.strength >= 0.4 * np.median(like)
    return strong


def _accident(candidates: Candidates, built: Lattice) -> float:
    """Chance that a node shows a spot by accident, from the candidates that are no members.

    Members of sparse outer lines count as strays as well: they are what is to be judged.
    """
    strong = _strong(candidates, candidates.strength[built.member])
    sure = np.ones(len(built.member), bool)
    for axis in (0, 1):
        lines, at, count = np.unique(built.index[:, axis], return_inverse=True, return_counts=True)
        outer = (lines == lines[0]) | (lines == lines[-1])
        sure &= ~(outer & (count < 0.4 * np.median(count)))[at]
    strong[built.member[sure]] = False
    nodes_in_image = max(candidates.surface.size / built.basis.area, 20.0)
    return float(np.clip(0.25 * (strong.sum() + 1.0) / nodes_in_image, 0.004, 0.3))


def _explained(candidates: Candidates, inner: Array, basis: Basis) -> tuple[Bools, Bools]:
    """Which strong candidates lie on a node, and which lie in the grid's outline at all."""
    distance, _ = cKDTree(inner.reshape(-1, 2)).query(candidates.points)
    on = distance < lattice.REACH * basis.pitch
    strong = _strong(candidates, candidates.strength[on]) if on.any() else on
    points = candidates.points[strong]
    hull = cv2.convexHull(inner.reshape(-1, 2).astype(np.float32))
    depth = np.array([cv2.pointPolygonTest(hull, (float(x), float(y)), True) for x, y in points])
    return on[strong], depth > -0.4 * basis.pitch


# ---------------------------------------------------------------- polish


def _polished(image: Image, found: Found) -> Found:
    """Fit the lattice to the centres measured on the image, and look once more around it."""
    e, nodes = found.extent, found.cells.nodes
    core = e.cut(nodes)[e.cut(found.hits)]
    basis = found.lattice.basis
    spot = evidence.template(image, core, basis, polarity_of(image, found))
    fine = evidence.weigh(image, nodes, basis, spot)
    found = _refitted(found, fine)
    if found.candidates.surface is not image:
        between = e.cut(nodes) + 0.5 * basis.u + 0.5 * basis.v
        found = _widened(found, fine, evidence.weigh(image, between, basis, spot, coarse=True))
    strays = _strays(found)
    return replace(found, beside=_beside(strays, found.lattice.basis), strays=len(strays))


def _refitted(found: Found, fine: Cells) -> Found:
    """The same with the lattice through the measured centres, if they scatter no more."""
    inside = np.zeros_like(found.hits)
    e = found.extent
    inside[e.row0 : e.row1 + 1, e.col0 : e.col1 + 1] = True
    row, col = np.nonzero(found.hits & inside & (fine.likeness > 0.4))
    if len(row) < 6 or np.ptp(row) == 0 or np.ptp(col) == 0:
        return found
    index = np.column_stack([col + found.first[0], row + found.first[1]])
    again = lattice.refit(found.lattice, index, (fine.nodes + fine.shift)[row, col])
    if again.rms > 1.1 * found.lattice.rms:
        return found
    rows, cols = found.hits.shape
    moved = again.predict(
        *np.meshgrid(np.arange(cols) + found.first[0], np.arange(rows) + found.first[1])
    )
    return replace(found, lattice=again, cells=replace(found.cells, nodes=moved))


def _widened(found: Found, fine: Cells, between: Cells) -> Found:
    """Take in outer lines that the network missed but the image itself shows clearly.

    What the spots have in common is looked for in the image, in the lines around the grid; how
    often it shows by accident is told by the places between the spots.
    """
    e = found.extent
    hits = e.cut(found.hits)
    inner = e.cut(fine.likeness)[hits]
    least = max(0.5 * float(np.percentile(between.likeness, 95) + np.percentile(inner, 25)), _ALIKE)
    shows = (fine.likeness > least) & (fine.contrast > _FAINTEST) & fine.inside
    chance = float(np.mean((between.likeness > least) & (between.contrast > _FAINTEST)))
    odds = Odds.seen(e.cut(shows), e.cut(fine.inside), float(np.clip(2 * chance, 0.03, 0.3)))
    score = found.cells.score
    while True:
        lines = evidence.line_evidence(shows, fine.inside, e, odds)
        best = max(evidence.SIDES, key=lambda side: lines[f"outer_{side}"])
        if lines[f"outer_{best}"] < _CLEAR:
            break
        wider = evidence.moved(e, best, inward=False)
        if wider.cut(shows).sum() - e.cut(shows).sum() < _ENOUGH:
            break
        e = wider
        added = np.zeros_like(shows)
        line = {"first_row": e.row0, "last_row": e.row1, "first_col": e.col0, "last_col": e.col1}
        if "row" in best:
            added[line[best], e.col0 : e.col1 + 1] = True
        else:
            added[e.row0 : e.row1 + 1, line[best]] = True
        score = np.where(added & shows, np.maximum(score, found.threshold), score)
    if e == found.extent:
        return found
    cells = replace(found.cells, likeness=score, contrast=np.ones_like(score))
    return replace(found, extent=e, cells=cells)


def polarity_of(image: Image, found: Found) -> int:
    """+1 if spots of an image are brighter than what lies between them, -1 if darker."""
    if found.candidates.surface is image:
        return found.candidates.polarity
    e, b = found.extent, found.lattice.basis
    nodes = e.cut(found.cells.nodes)[e.cut(found.hits)]
    return evidence.polarity(image, nodes, b)


def _strays(found: Found) -> Array:
    """Strong candidates off the grid's nodes, (n, 2)."""
    basis = found.lattice.basis
    inner = found.extent.cut(found.cells.nodes).reshape(-1, 2)
    distance, _ = cKDTree(inner).query(found.candidates.points)
    on = distance < 0.3 * basis.pitch
    strong = _strong(found.candidates, found.candidates.strength[on])
    strays: Array = found.candidates.points[strong & (distance > 0.4 * basis.pitch)]
    return strays


def _beside(strays: Array, basis: Basis) -> int:
    """How many of them have neighbours of their own at the lattice's vectors."""
    if len(strays) < 4:
        return 0
    tree = cKDTree(strays)
    friends = sum(
        np.isfinite(tree.query(strays + step, distance_upper_bound=0.2 * basis.pitch)[0]).astype(
            int
        )
        for step in (basis.u, -basis.u, basis.v, -basis.v)
    )
    return int((np.asarray(friends) >= 2).sum())

"""Grid detection: image in, grid and how sure it is out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree
from scipy.stats import poisson

from gridwell.config.models import Carrier, GridOptions, GridOverride
from gridwell.config.spots import row_letters, spot_name
from gridwell.grid import decide, elements, evidence, lattice
from gridwell.grid.decide import Dims
from gridwell.grid.elements import Candidates, Image
from gridwell.grid.evidence import Cells, Extent, Odds, Template
from gridwell.grid.lattice import Array, Basis, Lattice, Limits
from gridwell.grid.model import Grid
from gridwell.grid.outline import Outline, measure_outline
from gridwell.grid.overrides import Known, understand

# Hypotheses whose lattice is fitted in full, and of those whose cells are compared.
_FITTED = 36
_WEIGHED = 12
# Of one spacing, at most.
_ALIKE_FITTED = 5
_ALIKE_WEIGHED = 3
# Lines beyond the members' that are looked at.
RING = 3
_MOST_NODES = 20_000


def detect_grid(
    image: npt.NDArray[np.generic],
    *,
    scale: float,
    options: GridOptions,
    carrier: Carrier | None = None,
    carrier_name: str | None = None,
    override: GridOverride | None = None,
    pixel_size_um: float | None = None,
    size: tuple[int, int] | None = None,
) -> Grid:
    """Find the grid of spots in a gray image.

    Candidate spots of many scales and both polarities are explained by a lattice each; the
    lattice that explains the image best is taken, its extent is decided by evidence, and what
    cannot be decided is said. A position that shows no spot is kept and marked.

    Parameters
    ----------
    image
        Gray overview (h, w), any number type.
    scale
        Slide pixels per image pixel: full = (p + 0.5) * scale - 0.5.
    options
        Options of the study; ``max_angle``, ``polarity``, ``rows``, ``cols``, ``min_confidence``.
    carrier, carrier_name
        Known carrier of the slide.
    override
        What a person fixed; wins over the carrier, which wins over the options.
    pixel_size_um
        Size of a slide pixel; with the carrier's pitch it narrows the search.
    size
        Width and height of the slide in pixels, where the overview was rounded.

    Returns
    -------
    The grid; its status is ``failed`` where none is found.

    Raises
    ------
    InputError
        If the override contradicts itself.
    """
    known = understand(override, scale)
    dims = decide.dims(options, carrier, override)
    h, w = image.shape[:2]
    full = size or (round(w * scale), round(h * scale))
    job = _Job(scale, full, carrier, carrier_name, override, pixel_size_um, dims, known)
    gray = elements.normalise(image) if image.ndim == 2 else None
    if dims.rows and dims.cols:
        nodes = known.nodes(dims.rows, dims.cols)
        if nodes is not None and known.basis is not None:
            return _taken(job, gray, nodes, known.basis, options)
    if gray is None:
        return job.failed("the image is blank")
    found = search(gray, job.limits(options), options.polarity, dims)
    if found is None:
        return job.failed(decide.NOT_FOUND)
    return _judged(job, gray, found, options)


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
        Of the grid, in `cells`.
    threshold
        Score from which a position shows a spot.
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
    strays: tuple[int, int] = (0, 0)


def search(image: Image, limits: Limits, polarity: str, dims: Dims) -> Found | None:
    """The lattice that explains the image best, of all scales and both polarities."""
    ranked: list[tuple[float, int, Candidates, Basis]] = []
    for number, candidates in enumerate(elements.hypotheses(image, polarity)):
        for support, basis in lattice.find_bases(candidates.points, limits):
            if support > 0.1:
                rank = support * len(candidates.points) ** 0.1
                ranked.append((rank, number, candidates, basis))
    ranked.sort(key=lambda item: (-item[0], item[1]))
    fitted: list[tuple[float, int, Candidates, Lattice]] = []
    crowd: dict[tuple[int, ...], int] = {}
    seen: set[tuple[int, ...]] = set()
    for _, number, candidates, basis in ranked:
        if len(fitted) >= _FITTED:
            break
        key = (candidates.polarity, *(round(float(x)) for x in (*basis.u, *basis.v)))
        key = (*key, len(candidates.points) // 20)
        if key in seen:
            continue
        seen.add(key)
        if not _admitted(crowd, candidates.polarity, basis, _ALIKE_FITTED):
            continue
        built = lattice.build(candidates.points, basis)
        if built is None or built.rms > 0.2:
            continue
        share = len(built.member) / len(candidates.points)
        c0, c1, r0, r1 = built.bounds
        full = len(built.member) / ((c1 - c0 + 1) * (r1 - r0 + 1))
        worth = share**0.5 * full**0.5 * (1 - built.rms / 0.25) * len(built.member) ** 0.15
        fitted.append((worth, number, candidates, built))
    fitted.sort(key=lambda item: (-item[0], item[1]))
    weighed: list[Found] = []
    crowd = {}
    for _, _, candidates, built in fitted:
        if len(weighed) >= _WEIGHED:
            break
        if not _admitted(crowd, candidates.polarity, built.basis, _ALIKE_WEIGHED):
            continue
        found = weigh(image, candidates, built, dims)
        if found is not None:
            weighed.append(found)
    best = max(weighed, key=lambda f: f.quality, default=None)
    return None if best is None else polish(image, best, dims)


def _admitted(crowd: dict[tuple[int, ...], int], polarity: int, basis: Basis, most: int) -> bool:
    """Let only so many lattices of about the same spacing compete."""
    key = (
        polarity,
        round(float(np.log(np.hypot(*basis.u))) * 8),
        round(float(np.log(np.hypot(*basis.v))) * 8),
    )
    crowd[key] = crowd.get(key, 0) + 1
    return crowd[key] <= most


def weigh(
    image: Image, candidates: Candidates, built: Lattice, dims: Dims, *, coarse: bool = True
) -> Found | None:
    """Compare a lattice with the image: extent, odds, quality."""
    bounds = built.bounds
    basis = built.basis
    members = built.predict(*built.index.T)
    spot = evidence.template(image, members, basis, candidates.polarity)
    accident = _accident(image, candidates, built)
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
        cells = evidence.weigh(image, nodes, basis, spot, coarse=coarse)
        if not threshold:
            at = built.index - first
            threshold = max(0.2, 0.5 * float(np.median(cells.score[at[:, 1], at[:, 0]])))
        hits = (cells.score >= threshold) & cells.inside
        extent = Extent(ring[0], len(rows) - 1 - ring[0], ring[1], len(cols) - 1 - ring[1])
        for _ in range(3):
            extent = evidence.trim(hits, cells.inside, extent, odds)
            rate = extent.cut(hits).sum() / max(extent.cut(cells.inside).sum(), 1)
            odds = Odds(float(np.clip(rate, 0.35, 0.97)), accident)
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
    kept = extent.cut(hits)
    inner = extent.cut(nodes).astype(np.float64)
    explained, within = _explained(candidates, inner, basis)
    purity = float(explained[within].mean()) if within.any() else 0.0
    likeness = float(np.median(extent.cut(cells.likeness)[kept])) if kept.any() else 0.0
    alike = evidence.alternation(image, np.where(kept[..., None], inner, np.nan), basis)
    quality = (
        purity
        * float(explained.mean()) ** 0.3
        * float(kept.mean()) ** 0.5
        * max(0.0, 1 - built.rms / 0.25)
        * max(likeness, 0.0)
        * float(np.clip(alike, 0.05, 1.0))
        * float(np.clip(spot.isolation, 0.05, 0.6))
        * float(kept.sum()) ** 0.15
    )
    for n, wanted in ((extent.rows, dims.rows), (extent.cols, dims.cols)):
        if wanted and not wanted / 2 <= n <= wanted + 1:
            quality *= 0.5
    return Found(
        candidates, built, spot, cells, first, extent, odds, threshold, purity, alike, quality
    )


def _ring(wanted: int | None, span: int) -> int:
    """Lines to look at beyond the members: enough for every place of a grid of known size."""
    return RING if wanted is None else int(np.clip(wanted - span, RING, 60))


def _strong(candidates: Candidates, like: Array) -> npt.NDArray[np.bool_]:
    strong: npt.NDArray[np.bool_] = candidates.strength >= 0.4 * np.median(like)
    return strong


def _accident(image: Image, candidates: Candidates, built: Lattice) -> float:
    """Chance that a node shows a spot by accident, from the candidates that are no members."""
    strong = _strong(candidates, candidates.strength[built.member])
    strong[built.member] = False
    nodes_in_image = max(image.size / built.basis.pitch**2, 20.0)
    return float(np.clip(0.25 * (strong.sum() + 0.5) / nodes_in_image, 1e-4, 0.3))


def _explained(
    candidates: Candidates, inner: Array, basis: Basis
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which strong candidates lie on a node, and which lie in the grid's outline at all."""
    distance, _ = cKDTree(inner.reshape(-1, 2)).query(candidates.points)
    on = distance < lattice.REACH * basis.pitch
    strong = _strong(candidates, candidates.strength[on]) if on.any() else on
    points = candidates.points[strong]
    hull = cv2.convexHull(inner.reshape(-1, 2).astype(np.float32))
    depth = np.array([cv2.pointPolygonTest(hull, (float(x), float(y)), True) for x, y in points])
    return on[strong], depth > -0.4 * basis.pitch


def polish(image: Image, found: Found, dims: Dims) -> Found:
    """Fit the lattice to the centres measured on the image, and judge it anew."""
    found = weigh(image, found.candidates, found.lattice, dims, coarse=False) or found
    hits = (found.cells.score >= found.threshold) & found.cells.inside
    inside = np.zeros_like(hits)
    e = found.extent
    inside[e.row0 : e.row1 + 1, e.col0 : e.col1 + 1] = True
    row, col = np.nonzero(hits & inside & (found.cells.likeness > 0.4))
    if len(row) < 6 or np.ptp(row) == 0 or np.ptp(col) == 0:
        return found
    centres = (found.cells.nodes + found.cells.shift)[row, col]
    index = np.column_stack([col + found.first[0], row + found.first[1]])
    again = lattice.refit(found.lattice, index, centres)
    measured = Candidates(
        centres, np.ones(len(centres)), found.candidates.sigma, found.candidates.polarity
    )
    better = weigh(image, measured, again, dims, coarse=False)
    if better is None or better.extent.rows < e.rows or better.extent.cols < e.cols:
        return found
    explained, within = _explained(
        found.candidates, better.extent.cut(better.cells.nodes).astype(np.float64), again.basis
    )
    purity = float(explained[within].mean()) if within.any() else 0.0
    accident = found.odds.accident
    return replace(
        better,
        candidates=found.candidates,
        purity=purity,
        odds=Odds(better.odds.occupied, accident),
        strays=_strays(image, found.candidates, better),
    )


def _strays(image: Image, candidates: Candidates, found: Found) -> tuple[int, int]:
    """Things that look just like spots but lie on no node: beside the grid, and inside it.

    Debris lies between the spots as well; beside the grid, only what is clearly more than
    that counts.
    """
    inner = found.extent.cut(found.cells.nodes)
    basis = found.lattice.basis
    distance, _ = cKDTree(inner.reshape(-1, 2)).query(candidates.points)
    reach = 3.2 * max(np.hypot(*basis.u), np.hypot(*basis.v))
    near = (distance > 0.3 * basis.pitch) & (distance < reach)
    points = candidates.points[near]
    if not len(points):
        return 0, 0
    cells = evidence.weigh(image, points[None], basis, found.template)
    hits = (found.cells.score >= found.threshold) & found.cells.inside
    likeness = float(np.median(found.extent.cut(found.cells.likeness)[found.extent.cut(hits)]))
    alike = (
        cells.inside
        & (cells.likeness > 0.75 * likeness)
        & (cells.contrast > 0.4)
        & (cells.contrast < 2.5)
    )[0]
    hull = cv2.convexHull(inner.reshape(-1, 2).astype(np.float32))
    depth = np.array([cv2.pointPolygonTest(hull, (float(x), float(y)), True) for x, y in points])
    beside = int((alike & (depth < -0.45 * basis.pitch)).sum())
    between = int((alike & (depth > 0)).sum())
    grown = cv2.contourArea(
        cv2.convexHull(
            np.concatenate([hull + np.array([dx, dy]) * reach for dx in (-1, 1) for dy in (-1, 1)])
            .clip(0, (image.shape[1], image.shape[0]))
            .astype(np.float32)
        )
    )
    area = max(cv2.contourArea(hull), basis.pitch**2)
    # About half of the debris between the spots runs into them and goes unseen.
    expected = (between + 0.1) * 2 * max(grown - area, 0.0) / area
    return beside if poisson.sf(beside - 1, expected) < 0.02 else 0, between


@dataclass(frozen=True)
class _Job:
    """What is known before looking, and how to make a Grid of positions."""

    scale: float
    size: tuple[int, int]
    carrier: Carrier | None
    carrier_name: str | None
    override: GridOverride | None
    pixel_size_um: float | None
    dims: Dims
    known: Known

    def limits(self, options: GridOptions) -> Limits:
        pitch = self.known.pitch
        slack = 0.06
        told = self.carrier.pitch_um if self.carrier is not None else None
        if pitch is None and told is not None and self.pixel_size_um is not None:
            unit = self.pixel_size_um * self.scale
            pitch = (told[0] / unit, told[1] / unit)
            slack = 0.15
        if self.known.angle is not None:
            return Limits(self.known.angle, 1.5, pitch, slack)
        return Limits(0.0, options.max_angle, pitch, slack)

    def full(self, xy: Array) -> Array:
        """Slide pixels of image pixels."""
        return (xy + 0.5) * self.scale - 0.5

    def failed(self, reason: str) -> Grid:
        return Grid("failed", reason, 0.0, carrier=self.carrier_name, image=self.size)

    def spot_size(self, basis: Basis, spot: Outline | Template | None) -> tuple[str, float, float]:
        """Outline, width and height of a spot in slide pixels: as told, else as measured."""
        pitch = np.array([np.hypot(*basis.u), np.hypot(*basis.v)]) * self.scale
        size = pitch * (spot.size if spot is not None else (0.66, 0.66))
        shape = spot.shape if spot is not None else "round"
        if self.carrier is not None:
            shape = self.carrier.shape or shape
            told, apart = self.carrier.spot_um, self.carrier.pitch_um
            if spot is None and told is not None and apart is not None:
                size = pitch * np.array(told) / np.array(apart)
        if self.override is not None and self.override.spot is not None:
            size = np.array(self.override.spot)
        return shape, float(size[0]), float(size[1])

    def grid(
        self,
        *,
        status: str,
        reason: str,
        confidence: float,
        nodes: Array,
        basis: Basis,
        spot: Outline | Template | None,
        score: Array,
        found: npt.NDArray[np.bool_],
        merged: npt.NDArray[np.bool_],
        margins: dict[str, float],
        steps: tuple[tuple[int, ...], tuple[int, ...]],
        origin: Array,
    ) -> Grid:
        rows, cols = nodes.shape[:2]
        where = self.full(nodes)
        shape, width, height = self.spot_size(basis, spot)
        table = _table(
            where,
            width=width,
            height=height,
            found=found,
            score=score,
            merged=merged,
            size=self.size,
        )
        a1 = self.full(origin)
        u, v = basis.u * self.scale, basis.v * self.scale
        known = self.carrier is not None or bool(self.known.anchors)
        source = "override" if self.known.anchors else "carrier" if self.carrier else "unknown"
        return Grid(
            status=status,
            reason=reason,
            confidence=confidence,
            rows=rows,
            cols=cols,
            pitch=(float(np.hypot(*u)), float(np.hypot(*v))),
            angle=float(np.degrees(np.arctan2(u[1], u[0]))),
            origin=(float(a1[0]), float(a1[1])),
            shape=shape,
            width=width,
            height=height,
            blocks=_blocks(where, steps),
            carrier=self.carrier_name,
            margins=margins,
            orientation={"value": "A1 top left" if known else "unknown", "source": source},
            image=self.size,
            table=table,
        )


def _judged(job: _Job, gray: Image, found: Found, options: GridOptions) -> Grid:
    verdict = decide.decide(
        found.cells,
        found.extent,
        found.odds,
        dims=job.dims,
        threshold=found.threshold,
        image_shape=gray.shape,
        anchors=job.known.anchors,
        pitch=found.lattice.basis,
        spot=found.template,
        rms=found.lattice.rms,
        purity=found.purity,
        alike=found.alike,
        strays=found.strays,
        steps=_local_steps(found),
        carrier=job.carrier,
    )
    e = verdict.extent
    if e is None:
        return job.failed(verdict.reason)
    cols, rows = np.meshgrid(
        np.arange(e.col0, e.col1 + 1) + found.first[0],
        np.arange(e.row0, e.row1 + 1) + found.first[1],
    )
    nodes = found.lattice.predict(cols, rows)
    cells = evidence.weigh(gray, nodes, found.lattice.basis, found.template)
    score = cells.score
    seen = (score >= found.threshold) & cells.inside
    if verdict.confidence < options.min_confidence or verdict.open:
        status = "ambiguous"
    else:
        status = "override" if job.override is not None and verdict.fixed else "ok"
    shifted = nodes + _trusted(cells, seen, found.lattice.basis)[..., None] * cells.shift
    steps_x, steps_y = _local_steps(found)
    steps = (
        tuple(k - e.col0 for k in steps_x if e.col0 < k <= e.col1),
        tuple(k - e.row0 for k in steps_y if e.row0 < k <= e.row1),
    )
    return job.grid(
        status=status,
        reason="" if status in ("ok", "override") else verdict.reason,
        confidence=verdict.confidence,
        nodes=shifted,
        basis=found.lattice.basis,
        spot=measure_outline(gray, shifted[seen], found.lattice.basis) or found.template,
        score=score,
        found=seen,
        merged=_merged(gray, nodes, seen, found),
        margins=verdict.margins,
        steps=steps,
        origin=nodes[0, 0],
    )


def _local_steps(found: Found) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """First columns and rows of later blocks, counted in `cells`."""
    return (
        tuple(k - found.first[0] for k in found.lattice.steps_x),
        tuple(k - found.first[1] for k in found.lattice.steps_y),
    )


def _trusted(cells: Cells, seen: npt.NDArray[np.bool_], basis: Basis) -> Array:
    """1 where the measured centre is better than the lattice's, else 0."""
    far = np.hypot(cells.shift[..., 0], cells.shift[..., 1]) / basis.pitch
    good = seen & (cells.likeness >= 0.6) & (far <= 0.11)
    return good.astype(np.float64)


def _merged(
    gray: Image, nodes: Array, seen: npt.NDArray[np.bool_], found: Found
) -> npt.NDArray[np.bool_]:
    """Spots that touch a neighbour: the way between them stays at the spots' level."""
    b = found.lattice.basis
    sign = found.template.polarity
    smooth = cv2.GaussianBlur(gray, (0, 0), max(0.06 * b.pitch, 0.5))

    def level(points: Array) -> Array:
        values: Array = map_coordinates(
            smooth, (points[..., 1], points[..., 0]), np.float64, order=1, mode="nearest"
        )
        return sign * values

    merged = np.zeros(seen.shape, bool)
    core = level(nodes)
    ground = level(nodes + 0.5 * b.u + 0.5 * b.v)
    base = float(np.median(ground))
    for axis in (0, 1):
        one = (slice(None), slice(None, -1)) if axis == 0 else (slice(None, -1), slice(None))
        two = (slice(None), slice(1, None)) if axis == 0 else (slice(1, None), slice(None))
        if nodes[one].size == 0:
            continue
        way = level((nodes[one] + nodes[two]) / 2)
        high = np.minimum(core[one], core[two])
        touch = seen[one] & seen[two] & (way - base > 0.6 * (high - base)) & (high > base)
        merged[one] |= touch
        merged[two] |= touch
    return merged


def _taken(job: _Job, gray: Image | None, nodes: Array, basis: Basis, options: GridOptions) -> Grid:
    """A grid as a person fixed it, looked at only to see which spots show."""
    rows, cols = nodes.shape[:2]
    score = np.zeros((rows, cols))
    found = np.zeros((rows, cols), bool)
    spot = None
    if gray is not None:
        signs = {"bright": (1,), "dark": (-1,)}.get(options.polarity, (1, -1))
        best = 0.0
        h, w = gray.shape
        inside = (
            (nodes[..., 0] >= 0) & (nodes[..., 1] >= 0) & (nodes[..., 0] < w) & (nodes[..., 1] < h)
        )
        if inside.any():
            for sign in signs:
                one = evidence.template(gray, nodes[inside], basis, sign)
                cells = evidence.weigh(gray, nodes, basis, one)
                value = float(np.median(cells.likeness[inside])) * np.clip(one.isolation, 0, 1)
                if value > best and one.isolation > 0.3:
                    best, spot, score = value, one, cells.score
        threshold = max(0.3, 0.5 * float(np.median(score[inside]))) if inside.any() else 1.0
        found = (score >= threshold) & (best > 0.35)
    return job.grid(
        status="override",
        reason="",
        confidence=1.0,
        nodes=nodes,
        basis=basis,
        spot=spot,
        score=score,
        found=found,
        merged=np.zeros((rows, cols), bool),
        margins={},
        steps=((), ()),
        origin=nodes[0, 0],
    )


def _table(
    where: Array,
    *,
    width: float,
    height: float,
    found: npt.NDArray[np.bool_],
    score: Array,
    merged: npt.NDArray[np.bool_],
    size: tuple[int, int],
) -> pd.DataFrame:
    rows, cols = where.shape[:2]
    c, r = np.meshgrid(np.arange(cols), np.arange(rows))
    x, y = where[..., 0].ravel(), where[..., 1].ravel()
    outside = (x < -0.5) | (y < -0.5) | (x > size[0] - 0.5) | (y > size[1] - 0.5)
    found = found.ravel() & ~outside
    flags = []
    for f, o, m in zip(found, outside, merged.ravel(), strict=True):
        words = [w for w, on in (("merged", m), ("not_found", not f), ("outside", o)) if on]
        flags.append(";".join(words))
    return pd.DataFrame(
        {
            "spot": [spot_name(int(i), int(j)) for i, j in zip(r.ravel(), c.ravel(), strict=True)],
            "row": [row_letters(int(i)) for i in r.ravel()],
            "col": c.ravel().astype(np.int64) + 1,
            "x": np.round(x, 4),
            "y": np.round(y, 4),
            "width": np.full(rows * cols, round(width, 4)),
            "height": np.full(rows * cols, round(height, 4)),
            "found": found,
            "score": np.round(score.ravel(), 4) + 0.0,
            "flags": flags,
        }
    )


def _blocks(
    where: Array, steps: tuple[tuple[int, ...], tuple[int, ...]]
) -> tuple[dict[str, float], ...]:
    rows, cols = where.shape[:2]
    edges_x = [0, *steps[0], cols]
    edges_y = [0, *steps[1], rows]
    return tuple(
        {
            "first_row": r0 + 1,
            "last_row": r1,
            "first_col": c0 + 1,
            "last_col": c1,
            "x": float(where[r0, c0, 0]),
            "y": float(where[r0, c0, 1]),
        }
        for r0, r1 in pairwise(edges_y)
        for c0, c1 in pairwise(edges_x)
    )

"""Grid detection: image in, grid and how sure it is out."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.ndimage import map_coordinates

from gridwell.config.models import Carrier, GridOptions, GridOverride
from gridwell.config.spots import row_letters, spot_name
from gridwell.grid import decide, elements, evidence
from gridwell.grid.decide import Dims, View
from gridwell.grid.elements import Image
from gridwell.grid.evidence import Cells, Extent, Template
from gridwell.grid.frame import Frame, find_frame
from gridwell.grid.lattice import Array, Basis, Limits
from gridwell.grid.look import look
from gridwell.grid.model import Grid
from gridwell.grid.outline import Outline, measure_outline
from gridwell.grid.overrides import Known, understand
from gridwell.grid.search import Found, polarity_of, search
from gridwell.network.device import Policy


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
    gpu: Policy = "allow",
) -> Grid:
    """Find the grid of spots in a gray image.

    Candidate spots, found by a network in several sizes of the image or by filters of many
    scales and both polarities, are explained by a lattice each; the lattice that explains the
    image best is taken, its extent is decided by evidence, and what cannot be decided is said.
    A position that shows no spot is kept and marked.

    Parameters
    ----------
    image
        Gray overview (h, w), any number type.
    scale
        Slide pixels per image pixel: full = (p + 0.5) * scale - 0.5.
    options
        Options of the study: section ``grid``.
    carrier, carrier_name
        Known carrier of the slide.
    override
        What a person fixed; wins over the carrier, which wins over the options.
    pixel_size_um
        Size of a slide pixel; with the carrier's pitch it narrows the search.
    size
        Width and height of the slide in pixels, where the overview was rounded.
    gpu
        Whether the network may compute on a GPU.

    Returns
    -------
    The grid; its status is ``failed`` where none is found.

    Raises
    ------
    InputError
        If the override contradicts itself, a GPU is required and there is none, or the
        weights of the network cannot be read.
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
    found = search(
        gray,
        job.limits(options),
        dims,
        method=options.elements,
        polarity=options.polarity,
        gpu=gpu,
    )
    if found is None and known.pitch is not None:
        return job.failed("no lattice of the given pitch was found: check pitch, or leave it out")
    if found is None:
        return job.failed(decide.NOT_FOUND)
    return _judged(job, gray, found, options)


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
        alternatives: tuple[dict[str, Any], ...] = (),
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
            image=self.size,
            alternatives=alternatives,
            table=table,
        )


def view_of(found: Found, image_shape: tuple[int, ...], frame: Frame | None = None) -> View:
    """What decides of a lattice that was found in an image of a shape."""
    return View(
        cells=found.cells,
        hits=found.hits,
        seen=found.extent,
        odds=found.odds,
        basis=found.lattice.basis,
        spot=found.template,
        rms=found.lattice.rms,
        purity=found.purity,
        alike=found.alike,
        gain=found.lattice.gain,
        rival=found.rival,
        beside=found.beside,
        strays=found.strays,
        sparse=found.lattice.sparse,
        unclear=found.lattice.unclear,
        steps=_local_steps(found),
        image_shape=image_shape,
        frame=frame,
    )


def _judged(job: _Job, gray: Image, found: Found, options: GridOptions) -> Grid:
    frame = None
    if job.dims.rows and job.dims.cols and not job.known.anchors:
        basis = found.lattice.basis
        frame = find_frame(gray, found.cells.nodes, found.extent, basis)
    view = view_of(found, gray.shape, frame)
    verdict = decide.decide(view, dims=job.dims, anchors=job.known.anchors, carrier=job.carrier)
    e = verdict.extent
    if e is None:
        return job.failed(verdict.reason)
    cols, rows = np.meshgrid(
        np.arange(e.col0, e.col1 + 1) + found.first[0],
        np.arange(e.row0, e.row1 + 1) + found.first[1],
    )
    nodes = found.lattice.predict(cols, rows)
    basis = found.lattice.basis
    score = _cut(found.cells.score, e)
    seen = score >= found.threshold
    if not seen.any():
        return job.failed("no spot shows where the grid would lie: check origin, corners and size")
    if verdict.confidence < options.min_confidence or verdict.open:
        status = "ambiguous"
    else:
        status = "override" if job.override is not None and verdict.fixed else "ok"
    sign = polarity_of(gray, found)
    fine = evidence.weigh(gray, nodes, basis, evidence.template(gray, nodes[seen], basis, sign))
    shifted = nodes + _trusted(fine, seen, basis)[..., None] * fine.shift
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
        basis=_mean_basis(nodes, steps),
        spot=measure_outline(gray, shifted[seen], basis) or found.template,
        score=score,
        found=seen,
        merged=_merged(gray, nodes, seen, basis, sign),
        margins=verdict.margins,
        steps=steps,
        origin=shifted[0, 0],
        alternatives=tuple(_alternative(job, found, e, other) for other in verdict.alternatives)
        if status == "ambiguous"
        else (),
    )


def _alternative(job: _Job, found: Found, extent: Extent, other: Extent) -> dict[str, Any]:
    """Another grid that it could be: rows, cols, its four corners in slide pixels, in words."""
    cols = np.array([other.col0, other.col1, other.col1, other.col0]) + found.first[0]
    rows = np.array([other.row0, other.row0, other.row1, other.row1]) + found.first[1]
    corners = job.full(found.lattice.predict(cols, rows))
    sides = (
        (extent.row0 - other.row0, "at the top", "row"),
        (other.row1 - extent.row1, "at the bottom", "row"),
        (extent.col0 - other.col0, "at the left", "column"),
        (other.col1 - extent.col1, "at the right", "column"),
    )
    words = [
        f"{abs(n)} {word}{'s' if abs(n) > 1 else ''} {'more' if n > 0 else 'less'} {where}"
        for n, where, word in sides
        if n
    ]
    return {
        "rows": other.rows,
        "cols": other.cols,
        "corners": [[round(float(x), 3), round(float(y), 3)] for x, y in corners],
        "what": ", ".join(words),
    }


def _cut(score: Array, e: Extent) -> Array:
    """Scores of an extent that may reach beyond the cells that were looked at: 0 there."""
    low = max(0, -e.row0), max(0, -e.col0)
    high = max(0, e.row1 + 1 - score.shape[0]), max(0, e.col1 + 1 - score.shape[1])
    padded = np.pad(score, ((low[0], high[0]), (low[1], high[1])))
    return padded[e.row0 + low[0] :, e.col0 + low[1] :][: e.rows, : e.cols]


def _mean_basis(nodes: Array, steps: tuple[tuple[int, ...], tuple[int, ...]]) -> Basis:
    """Vectors that the nodes (rows, cols, 2) follow in the mean, gaps between blocks left out."""
    r, c = (a.ravel() for a in np.mgrid[: nodes.shape[0], : nodes.shape[1]])
    gaps = [(c >= k) for k in steps[0]] + [(r >= k) for k in steps[1]]
    design = np.column_stack([np.ones(r.size), c, r, *gaps]).astype(np.float64)
    coef = np.linalg.lstsq(design, nodes.reshape(-1, 2), rcond=None)[0]
    return Basis(coef[1], coef[2])


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
    gray: Image, nodes: Array, seen: npt.NDArray[np.bool_], b: Basis, sign: int
) -> npt.NDArray[np.bool_]:
    """Spots that touch a neighbour: the way between them stays at the spots' level."""
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
    shape = nodes.shape[:2]
    seen = None if gray is None else look(gray, nodes, basis, polarity=options.polarity)
    return job.grid(
        status="override",
        reason="",
        confidence=1.0,
        nodes=nodes,
        basis=basis,
        spot=seen.spot if seen else None,
        score=seen.cells.score if seen else np.zeros(shape),
        found=seen.hits if seen else np.zeros(shape, bool),
        merged=np.zeros(shape, bool),
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

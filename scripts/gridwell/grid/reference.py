"""A grid of known shape on another image: only its place and angle are to be found.

Slides of one series have the same grid. The nodes of one are laid over the image of another:
first everywhere, by correlation of the nodes with what looks like a spot; then finely, by the
centres that the image shows. What the image does not confirm is not taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates

from gridwell.config.models import GridOptions, GridOverride
from gridwell.config.overrides import CORNERS, quarter
from gridwell.grid import evidence
from gridwell.grid.elements import Image, normalise
from gridwell.grid.evidence import Extent, Odds
from gridwell.grid.lattice import Array, Basis
from gridwell.grid.look import Look, look, vectors
from gridwell.grid.model import Grid, is_settled
from gridwell.grid.orientation import UNKNOWN

# The search goes on at about this spacing, in pixels.
_COARSE = 8.0
# Spacings by which the farthest spot may be off between two angles that are tried.
_ANGLE_STEP = 0.3
_TRIED = 4
_ROUNDS = 5
_STEPS = 3
# Part of the positions that must show a spot for the grid to be that of the image.
_SHOWN = 0.3
# Part of those that may be matched by what lies between the positions.
_BETWEEN = 0.4
# Spots that must show for a drawn grid to be moved, turned, and bent at its corners.
_FEWEST = 4
_TURNED = 10
_SKEWED = 20
# Nats that settle the place against a shift by one row or column.
_DECISIVE = 6.0


def refit(
    image: npt.NDArray[np.generic],
    reference: Grid,
    name: str,
    *,
    scale: float,
    size: tuple[int, int],
    options: GridOptions,
    override: GridOverride | None = None,
    pixel_size_um: float | None = None,
) -> Grid:
    """Find the place and angle of a grid that is known from another slide.

    Parameters
    ----------
    image
        Gray overview (h, w), any number type.
    reference
        Grid of the other slide.
    name
        Name of the other slide, for messages.
    scale
        Slide pixels per image pixel.
    size
        Width and height of this slide, pixels.
    options
        ``max_angle``, ``polarity`` and ``min_confidence``.
    override
        May fix origin, angle or orientation.
    pixel_size_um
        Size of this slide's pixels; where both are known, the grid is scaled by the ratio.

    Returns
    -------
    Grid
        The reference's rows, columns, spacing, spot size and bends; ``override`` where the
        image confirms it, ``ambiguous`` where it may be off by a row or column, ``failed``
        where the image shows another grid or none.
    """
    blank = Grid("failed", "", 0.0, carrier=reference.carrier, image=size)
    if not is_settled(reference):
        reason = f"the grid of slide {name}, which is to be taken, is not certain itself"
        return replace(blank, reason=reason)
    gray = normalise(image)
    if gray is None:
        return replace(blank, reason="the image is blank")
    override = override or GridOverride()
    reference = _scaled(reference, pixel_size_um)
    known = _Pose.of(reference, override, scale)
    best = max(
        (_fine(gray, pose, known, options.polarity) for pose in known.search(gray, options)),
        key=lambda fit: fit.worth,
        default=None,
    )
    if best is not None and not known.placed:
        best = _stepped(gray, best, known, options.polarity)
    if best is None or best.seen is None:
        return replace(blank, reason=f"no spots show where the grid of slide {name} could lie")
    grid = _judged(gray, best, reference, name, blank=blank, scale=scale, options=options)
    return replace(grid, orientation=_orientation(grid, reference, name, override))


def _orientation(grid: Grid, reference: Grid, name: str, override: GridOverride) -> dict[str, str]:
    """Where A1 is, which is only known where it is known of the reference or was given."""
    unknown = reference.orientation["value"] == "unknown"
    if override.orientation is None and (unknown or grid.angle is None):
        return dict(UNKNOWN) | {"reason": f"as on slide {name}: {UNKNOWN['reason']}"}
    source, reason = f"slide {name}", "taken from that slide with the grid"
    if override.orientation is not None:
        source, reason = "override", "said in the override of the slide"
    return {"value": CORNERS[quarter(grid.angle or 0.0)], "source": source, "reason": reason}


def _scaled(reference: Grid, pixel_size_um: float | None) -> Grid:
    """The reference in pixels of this slide."""
    if pixel_size_um is None or reference.pixel_size_um is None:
        return reference
    factor = reference.pixel_size_um / pixel_size_um
    if abs(factor - 1) < 1e-9:
        return reference
    table = reference.table.copy()
    for column in ("x", "y"):
        table[column] = (table[column] + 0.5) * factor - 0.5
    for column in ("width", "height"):
        table[column] *= factor
    assert reference.pitch is not None and reference.origin is not None
    x, y = ((k + 0.5) * factor - 0.5 for k in reference.origin)
    return replace(
        reference,
        table=table,
        pitch=(reference.pitch[0] * factor, reference.pitch[1] * factor),
        origin=(x, y),
        width=(reference.width or 0) * factor,
        height=(reference.height or 0) * factor,
    )


@dataclass(frozen=True)
class _Pose:
    """Nodes of the reference about a pivot, in image pixels, and how they lie.

    Attributes
    ----------
    shape
        Nodes (rows, cols, 2) minus the pivot, as the reference has them.
    spot
        Size of a spot.
    pivot
        Where the pivot lies.
    turn
        Degrees, clockwise, by which they are turned from how the reference has them.
    placed, angled
        Whether a person fixed the pivot, the turn.
    """

    shape: Array
    spot: float
    pivot: Array
    turn: float
    placed: bool
    angled: bool

    @classmethod
    def of(cls, reference: Grid, override: GridOverride, scale: float) -> _Pose:
        nodes = (reference.nodes + 0.5) / scale - 0.5
        angle = reference.angle or 0.0
        turn = 0.0
        if override.angle is not None:
            turn = override.angle - angle
        elif override.orientation is not None:
            turn = 90.0 * (CORNERS.index(override.orientation) - quarter(angle))
        if override.origin is not None:
            assert reference.origin is not None
            a1 = (np.array(reference.origin) + 0.5) / scale - 0.5
            pivot = (np.array(override.origin) + 0.5) / scale - 0.5
        else:
            a1 = pivot = nodes.reshape(-1, 2).mean(axis=0)
        spot = min(reference.width or 0, reference.height or 0) / scale
        placed, angled = override.origin is not None, override.angle is not None
        return cls(nodes - a1, spot, pivot, turn, placed, angled)

    @property
    def nodes(self) -> Array:
        """Nodes (rows, cols, 2) on the image."""
        return self.shape @ _rotation(self.turn).T + self.pivot

    @property
    def basis(self) -> Basis:
        return vectors(self.nodes)

    def moved(self, pivot: Array, turn: float) -> _Pose:
        return replace(self, pivot=pivot, turn=turn)

    def search(self, image: Image, options: GridOptions) -> Iterator[_Pose]:
        """Poses that are worth a closer look, the most likely first."""
        pitch = vectors(self.shape).pitch
        if self.placed and self.angled:
            yield self
            return
        reach = float(np.hypot(*self.shape.reshape(-1, 2).T).max())
        step = float(np.degrees(_ANGLE_STEP * pitch / max(reach, pitch)))
        count = 0 if self.angled else int(np.ceil(options.max_angle / step))
        found: list[tuple[float, _Pose]] = []
        response = _Response.of(image, self.spot, pitch)
        for number in range(-count, count + 1):
            posed = replace(self, turn=self.turn + number * step)
            if self.placed:
                value = response.mean(posed.nodes)
                found.append((abs(value), posed))
                continue
            for value, pivot in response.best(posed.nodes - self.pivot):
                found.append((value, posed.moved(pivot, posed.turn)))
        found.sort(key=lambda item: -item[0])
        yield from (pose for _, pose in found[:_TRIED])


def _rotation(degrees: float) -> Array:
    a = np.radians(degrees)
    return np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])


@dataclass(frozen=True)
class _Response:
    """How much each place looks like a spot, at a spacing of a few pixels."""

    field: npt.NDArray[np.float32]
    factor: float

    @classmethod
    def of(cls, image: Image, spot: float, pitch: float) -> _Response:
        factor = max(1.0, pitch / _COARSE)
        h, w = image.shape
        size = (max(8, round(w / factor)), max(8, round(h / factor)))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if factor > 1 else image
        sigma = max(0.35 * spot / factor, 0.8)
        blobs = cv2.GaussianBlur(small, (0, 0), sigma) - cv2.GaussianBlur(small, (0, 0), 2 * sigma)
        # A speck of dust must not outweigh a row of spots.
        around = cv2.GaussianBlur(blobs**2, (0, 0), 3 * pitch / factor)
        local = blobs / np.sqrt(around + 1e-8 + 0.05 * float(np.mean(blobs**2)))
        return cls(np.clip(local, -3, 3).astype(np.float32), factor)

    def mean(self, nodes: Array) -> float:
        """Mean response at nodes (…, 2) of the image."""
        at = (nodes.reshape(-1, 2) + 0.5) / self.factor - 0.5
        return float(map_coordinates(self.field, at.T[::-1], np.float64, order=1).mean())

    def best(self, nodes: Array) -> Iterator[tuple[float, Array]]:
        """Strength and place of the best move of nodes (…, 2) about a pivot; both polarities."""
        at = nodes.reshape(-1, 2) / self.factor
        low = np.floor(at.min(axis=0)).astype(int)
        span = np.ceil(at.max(axis=0)).astype(int) - low + 2
        h, w = self.field.shape
        # Room for nodes that lie outside on either side, where nothing answers.
        size = [cv2.getOptimalDFTSize(int(n + k)) for n, k in ((h, span[1]), (w, span[0]))]
        stamp = np.zeros(size, np.float32)
        x, y = (at - low).T
        for dx, wx in ((0, 1 - x % 1), (1, x % 1)):
            for dy, wy in ((0, 1 - y % 1), (1, y % 1)):
                np.add.at(stamp, (y.astype(int) + dy, x.astype(int) + dx), wx * wy)
        field = np.zeros(size, np.float32)
        field[:h, :w] = self.field
        product = np.fft.rfft2(field) * np.conj(np.fft.rfft2(stamp))
        match = np.fft.irfft2(product, s=size) / len(at)
        for sign in (1, -1):
            row, col = np.unravel_index(int(np.argmax(sign * match)), match.shape)
            # Moves to the left or upwards stand at the far end.
            dx = col if col < w else col - size[1]
            dy = row if row < h else row - size[0]
            pivot = (np.array([dx, dy], np.float64) - low + 0.5) * self.factor - 0.5
            yield float(sign * match[row, col]), pivot


@dataclass(frozen=True)
class _Fit:
    pose: _Pose
    seen: Look | None

    @property
    def worth(self) -> float:
        """How well the image confirms the pose."""
        if self.seen is None:
            return 0.0
        return float(self.seen.usual(self.seen.cells).sum())


def _fine(image: Image, pose: _Pose, known: _Pose, polarity: str) -> _Fit:
    """Move a pose onto the centres that the image shows (rigid least squares)."""
    seen = look(image, pose.nodes, pose.basis, polarity=polarity)
    for _ in range(_ROUNDS):
        if seen is None or seen.hits.sum() < 2:
            return _Fit(pose, None)
        trusted = seen.hits & (seen.cells.likeness > 0.5)
        if trusted.sum() < 2:
            break
        pose = _onto(pose, seen.centres[trusted], trusted, known)
        seen = look(image, pose.nodes, pose.basis, polarity=polarity)
    return _Fit(pose, seen)


def _stepped(image: Image, fit: _Fit, known: _Pose, polarity: str) -> _Fit:
    """Move a fit by whole rows and columns to where more spots show.

    The steps of a lattice look alike to a correlation; what is bright beside it decides there.
    """
    for _ in range(_ROUNDS):
        if fit.seen is None:
            break
        rows, cols = fit.pose.shape.shape[:2]
        basis = fit.pose.basis
        cells = evidence.weigh(image, _ringed(fit.pose.nodes, basis, _STEPS), basis, fit.seen.spot)
        value = fit.seen.usual(cells)
        steps = {
            (i, j): float(value[i + _STEPS :, j + _STEPS :][:rows, :cols].sum())
            for i in range(-_STEPS, _STEPS + 1)
            for j in range(-_STEPS, _STEPS + 1)
        }
        i, j = max(steps, key=lambda step: (round(steps[step], 6), -abs(step[0]) - abs(step[1])))
        if (i, j) == (0, 0):
            break
        pivot = fit.pose.pivot + i * basis.v + j * basis.u
        other = _fine(image, fit.pose.moved(pivot, fit.pose.turn), known, polarity)
        if other.worth <= fit.worth:
            break
        fit = other
    return fit


def _onto(pose: _Pose, centres: Array, which: npt.NDArray[np.bool_], known: _Pose) -> _Pose:
    shape = pose.shape[which]
    at = np.zeros(2) if known.placed else shape.mean(axis=0)
    where = known.pivot if known.placed else centres.mean(axis=0)
    turn = known.turn
    if not known.angled:
        a, b = shape - at, centres - where
        cross = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum())
        turn = float(np.degrees(np.arctan2(cross, float((a * b).sum()))))
    return pose.moved(where - _rotation(turn) @ at, turn)


def _judged(
    image: Image,
    fit: _Fit,
    reference: Grid,
    name: str,
    *,
    blank: Grid,
    scale: float,
    options: GridOptions,
) -> Grid:
    """Say whether the image confirms the grid, and not another one besides."""
    seen, pose = fit.seen, fit.pose
    assert seen is not None
    inside = seen.cells.inside
    shown = float(seen.hits.sum()) / seen.hits.size
    if shown < _SHOWN or inside.sum() < _SHOWN * inside.size:
        reason = (
            f"the grid of slide {name} does not fit: {seen.hits.sum()} of its {seen.hits.size} "
            "spots show at best"
        )
        return replace(blank, reason=reason)
    between = _between(image, seen, pose.nodes)
    if between > _BETWEEN * shown:
        reason = f"spots show between those of the grid of slide {name}: it is another carrier"
        return replace(blank, reason=reason)
    margins, doubts = _neighbours(image, fit, shown=shown, between=between, name=name)
    moves = min((value for key, value in margins.items() if key.startswith("shift")), default=0.0)
    sure = float(np.clip(moves / (2 * _DECISIVE), 0, 1) * np.clip((shown - 0.2) / 0.3, 0, 1))
    confidence = 0.0 if doubts else round(sure, 4)
    settled = not doubts and confidence >= options.min_confidence
    reason = "; ".join(doubts) or ("" if settled else "the fit is weak: few spots show")
    grid = _on_slide(reference, pose, seen, scale, blank.image)
    status = "override" if settled else "ambiguous"
    return replace(grid, status=status, reason=reason, confidence=confidence, margins=margins)


def _between(image: Image, seen: Look, nodes: Array) -> float:
    """Part of the places halfway between nodes (rows, cols, 2) that look like a spot."""
    basis = vectors(nodes)
    shares = [0.0]
    for move in (0.5 * basis.u, 0.5 * basis.v, 0.5 * (basis.u + basis.v)):
        cells = evidence.weigh(image, nodes + move, basis, seen.spot)
        if cells.inside.any():
            shares.append(float((cells.score >= seen.threshold)[cells.inside].mean()))
    return max(shares)


_MOVES = {
    "shift_up": "one row up",
    "shift_down": "one row down",
    "shift_left": "one column to the left",
    "shift_right": "one column to the right",
}


def _neighbours(
    image: Image, fit: _Fit, *, shown: float, between: float, name: str
) -> tuple[dict[str, float], list[str]]:
    """Margins of every one-step change, and the doubts they raise."""
    pose, seen = fit.pose, fit.seen
    assert seen is not None
    nodes = _ringed(pose.nodes, pose.basis, 1)
    cells = evidence.weigh(image, nodes, pose.basis, seen.spot)
    hits = seen.usual(cells) > 0
    odds = Odds(float(np.clip(shown, 0.35, 0.97)), float(np.clip(between, 0.01, 0.3)))
    extent = Extent(1, nodes.shape[0] - 2, 1, nodes.shape[1] - 2)
    lines = evidence.line_evidence(hits, cells.inside, extent, odds)
    margins = evidence.margins(lines)
    doubts = []
    close = [key for key in _MOVES if margins[key] < _DECISIVE]
    if close and not pose.placed:
        moves = " or ".join(_MOVES[key] for key in close)
        doubts.append(f"the grid could lie {moves} as well: give origin in an override")
    beyond = [key for key in lines if key.startswith("outer_") and lines[key] > _DECISIVE]
    if beyond:
        doubts.append(f"spots show beside the grid of slide {name}: check that it is the same")
    return margins, doubts


def _ringed(nodes: Array, basis: Basis, lines: int) -> Array:
    """Nodes with so many more lines on each side, spaced as within a block."""
    for _ in range(lines):
        tall = np.concatenate([nodes[:1] - basis.v, nodes, nodes[-1:] + basis.v])
        nodes = np.concatenate([tall[:, :1] - basis.u, tall, tall[:, -1:] + basis.u], axis=1)
    return nodes


def _on_slide(
    reference: Grid, pose: _Pose, seen: Look, scale: float, size: tuple[int, int]
) -> Grid:
    """The reference's grid at its new place, with what this image shows of each spot."""
    flat = ((pose.nodes + 0.5) * scale - 0.5).reshape(-1, 2)
    x, y = flat.T
    outside = (x < -0.5) | (y < -0.5) | (x > size[0] - 0.5) | (y > size[1] - 0.5)
    found = seen.hits.ravel() & ~outside
    table = reference.table.copy()
    table["x"], table["y"] = np.round(x, 4), np.round(y, 4)
    table["found"] = found
    table["score"] = np.round(seen.cells.score.ravel(), 4) + 0.0
    table["flags"] = [
        ";".join(word for word, on in (("not_found", not f), ("outside", o)) if on)
        for f, o in zip(found, outside, strict=True)
    ]
    assert reference.origin is not None and reference.angle is not None
    turn = _rotation(pose.turn)
    first = reference.nodes[0, 0]
    origin = turn @ (np.array(reference.origin) - first) + flat[0]
    angle = -((-(reference.angle + pose.turn) + 180) % 360 - 180)
    corners = [
        int((b["first_row"] - 1) * reference.cols + b["first_col"] - 1) for b in reference.blocks
    ]
    blocks = tuple(
        {**block, "x": float(flat[k, 0]), "y": float(flat[k, 1])}
        for block, k in zip(reference.blocks, corners, strict=True)
    )
    return replace(
        reference,
        angle=angle,
        origin=(float(origin[0]), float(origin[1])),
        blocks=blocks,
        image=size,
        alternatives=(),
        table=table,
    )


def refined(image: Image, nodes: Array, polarity: str = "auto") -> Array | None:
    """Move nodes that a person drew onto the spots that the image shows.

    Parameters
    ----------
    image
        Gray image (h, w), normalised.
    nodes
        Positions (rows, cols, 2) in its pixels.
    polarity
        Of the spots.

    Returns
    -------
    Array or None
        The nodes after a correction by less than half a spacing, bilinear where many spots show
        and a mere move where few do; None where none can be trusted.
    """
    row, col = np.indices(nodes.shape[:2]) / max(nodes.shape[:2])
    terms = [np.ones_like(row), col, row, col * row]
    moved = nodes
    for _ in range(_ROUNDS):
        seen = look(image, moved, vectors(moved), polarity=polarity)
        if seen is None or seen.hits.sum() < _FEWEST:
            return None
        hits = seen.hits
        shown = float(hits.mean())
        if shown < 0.5 and _between(image, seen, moved) > _BETWEEN * shown:
            return None
        free = 1 if hits.sum() < _TURNED else 3 if hits.sum() < _SKEWED else 4
        design = np.stack(terms[:free], axis=-1)
        if np.linalg.matrix_rank(design[hits]) < free:
            return None
        off = (seen.centres - moved)[hits]
        moved = moved + design @ np.linalg.lstsq(design[hits], off, rcond=None)[0]
    far = float(np.hypot(*(moved - nodes).reshape(-1, 2).T).max())
    return moved if far < 0.5 * vectors(nodes).pitch else None

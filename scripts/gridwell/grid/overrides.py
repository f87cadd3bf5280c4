"""What a person knows of a grid, and where it settles the grid without the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gridwell.config.errors import InputError, Problem
from gridwell.config.models import GridOverride
from gridwell.config.spots import parse_spot
from gridwell.grid.lattice import Array, Basis

_FILE = "override"


@dataclass(frozen=True)
class Known:
    """An override in pixels of the searched image.

    Attributes
    ----------
    anchors
        Row and column (from 0) of named spots and where they were clicked.
    pitch, angle
        As given, or as three anchors fix them; None where open.
    basis
        Lattice vectors where they are fully fixed.
    origin
        Centre of A1 where the geometry is fully fixed.
    skew
        Change of position per row and column, (2,), where four anchors show one.
    """

    anchors: dict[tuple[int, int], Array]
    pitch: tuple[float, float] | None = None
    angle: float | None = None
    basis: Basis | None = None
    origin: Array | None = None
    skew: Array | None = None

    def nodes(self, rows: int, cols: int) -> Array | None:
        """Positions (rows, cols, 2) where the geometry is fully fixed."""
        if self.basis is None or self.origin is None:
            return None
        c, r = np.meshgrid(np.arange(cols), np.arange(rows))
        nodes = self.origin + c[..., None] * self.basis.u + r[..., None] * self.basis.v
        if self.skew is not None:
            nodes = nodes + (c * r)[..., None] * self.skew
        return np.asarray(nodes, np.float64)


def understand(override: GridOverride | None, scale: float) -> Known:
    """Bring an override to pixels of an image reduced by `scale`, and check it in itself.

    Raises
    ------
    InputError
        If its parts contradict each other.
    """
    if override is None:
        return Known({})
    anchors = _anchors(override, scale)
    pitch = override.pitch and (override.pitch[0] / scale, override.pitch[1] / scale)
    if pitch is not None and min(pitch) <= 0:
        raise _wrong(
            "pitch", "must be larger than 0", "Write the spacing in pixels", override.pitch
        )
    angle = override.angle
    affine = _affine(anchors)
    if affine is not None:
        origin, basis, skew = affine
        _check_basis(basis, pitch, angle)
        return Known(anchors, _lengths(basis), _angle(basis), basis, origin, skew)
    if len(anchors) == 2:
        pitch, angle = _from_two(anchors, pitch, angle)
    fixed = None
    start = None
    if pitch is not None and angle is not None:
        a = np.radians(angle)
        fixed = Basis(
            pitch[0] * np.array([np.cos(a), np.sin(a)]),
            pitch[1] * np.array([-np.sin(a), np.cos(a)]),
        )
        starts = [xy - c * fixed.u - r * fixed.v for (r, c), xy in anchors.items()]
        if starts:
            start = np.mean(starts, axis=0)
            far = max(float(np.hypot(*(s - start))) for s in starts)
            if far > 0.3 * fixed.pitch:
                raise _wrong(
                    "corners",
                    "the clicked spots do not fit the pitch and angle given",
                    "Check their names, or leave pitch and angle out",
                )
    return Known(anchors, pitch, angle, fixed, start)


def _anchors(override: GridOverride, scale: float) -> dict[tuple[int, int], Array]:
    points = dict(override.corners or {})
    anchors: dict[tuple[int, int], Array] = {}
    for name, xy in points.items():
        try:
            row, col = parse_spot(name)
        except ValueError as error:
            raise _wrong("corners", str(error), "Name the spot as C7", name) from error
        for what, value, count in (("rows", row, override.rows), ("cols", col, override.cols)):
            if count is not None and value >= count:
                raise _wrong("corners", f"spot {name} lies outside the grid", f"Check {what}", name)
        anchors[row, col] = (np.array(xy, np.float64) + 0.5) / scale - 0.5
    if override.origin is not None:
        origin = (np.array(override.origin, np.float64) + 0.5) / scale - 0.5
        clicked = anchors.get((0, 0))
        reach = 3.0 if override.pitch is None else 0.3 * min(override.pitch) / scale
        if clicked is not None and np.hypot(*(clicked - origin)) > reach:
            raise _wrong("origin", "origin and the corner A1 are different points", "Leave one out")
        anchors[0, 0] = origin
    return anchors


def _affine(anchors: dict[tuple[int, int], Array]) -> tuple[Array, Basis, Array | None] | None:
    """Lattice through three or more named spots that are not on one line."""
    if len(anchors) < 3:
        return None
    index = np.array(list(anchors), float)[:, ::-1]
    xy = np.array(list(anchors.values()))
    design = np.column_stack([np.ones(len(index)), index])
    if np.linalg.matrix_rank(design) < 3:
        return None
    full = np.column_stack([design, index[:, 0] * index[:, 1]])
    skewed = len(index) >= 4 and np.linalg.matrix_rank(full) == 4
    coef = np.linalg.lstsq(full if skewed else design, xy, rcond=None)[0]
    basis = Basis(coef[1], coef[2])
    off = xy - (full if skewed else design) @ coef
    span = max(float(np.ptp(index[:, 0])), float(np.ptp(index[:, 1])))
    bent = skewed and float(np.hypot(*coef[3])) * span > 0.25 * basis.pitch
    determinant = float(basis.u[0] * basis.v[1] - basis.u[1] * basis.v[0])
    if (
        basis.pitch < 1
        or bent
        or float(np.hypot(*off.T).max()) > 0.3 * basis.pitch
        or determinant < 0.5 * np.hypot(*basis.u) * np.hypot(*basis.v)
    ):
        raise _wrong(
            "corners",
            "the clicked spots do not lie on one grid",
            "Check their names: rows are letters from the top, columns numbers from the left",
        )
    return coef[0], basis, coef[3] if skewed else None


def _from_two(
    anchors: dict[tuple[int, int], Array],
    pitch: tuple[float, float] | None,
    angle: float | None,
) -> tuple[tuple[float, float] | None, float | None]:
    """Two named spots tell pitch and angle, for a grid with equal spacing of rows and columns."""
    (r0, c0), (r1, c1) = anchors
    a, b = anchors.values()
    if pitch is None and (r0 == r1 or c0 == c1):
        # Along one line only its own spacing and the angle are known.
        return None, angle
    px, py = pitch or (1.0, 1.0)
    ideal = np.array([(c1 - c0) * px, (r1 - r0) * py])
    real = b - a
    turned = np.degrees(np.arctan2(real[1], real[0]) - np.arctan2(ideal[1], ideal[0]))
    turned = float((turned + 180) % 360 - 180)
    if abs(turned) > 50:
        raise _wrong("corners", "the clicked spots do not fit their names", "Check the names")
    factor = float(np.hypot(*real) / np.hypot(*ideal))
    if pitch is not None and not 0.9 < factor < 1.1:
        raise _wrong("pitch", "does not fit the clicked spots", "Leave pitch out", pitch)
    if angle is not None and abs(turned - angle) > 5:
        raise _wrong("angle", "does not fit the clicked spots", "Leave angle out", angle)
    if pitch is None:
        return None, turned if abs(turned) < 20 and angle is None else angle
    return pitch, turned if angle is None else angle


def _check_basis(basis: Basis, pitch: tuple[float, float] | None, angle: float | None) -> None:
    measured = _lengths(basis)
    if pitch is not None and any(
        not 0.9 < m / p < 1.1 for m, p in zip(measured, pitch, strict=True)
    ):
        raise _wrong("pitch", "does not fit the clicked spots", "Leave pitch or corners out")
    if angle is not None and abs(_angle(basis) - angle) > 3:
        raise _wrong("angle", "does not fit the clicked spots", "Leave angle or corners out", angle)


def _lengths(basis: Basis) -> tuple[float, float]:
    return float(np.hypot(*basis.u)), float(np.hypot(*basis.v))


def _angle(basis: Basis) -> float:
    return float(np.degrees(np.arctan2(basis.u[1], basis.u[0])))


def _wrong(column: str, reason: str, remedy: str, value: object = None) -> InputError:
    return InputError(Problem(_FILE, reason, remedy, column=column, value=value))

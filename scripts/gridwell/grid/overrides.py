"""What a person knows of a grid: brought to the searched image, and honoured in the result."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gridwell.config.errors import InputError, Problem
from gridwell.config.models import GridOverride
from gridwell.config.overrides import Said, settle
from gridwell.grid.lattice import Array, Basis
from gridwell.grid.model import Grid

#: Stands for the override's file in messages, until whoever knows its name puts that in.
OVERRIDE = "override"
# Spacings by which given numbers may move a spot that the image shows.
_TOLERANCE = 0.12


@dataclass(frozen=True)
class Known:
    """An override in pixels of the searched image.

    Attributes
    ----------
    anchors
        Row and column (from 0) of named spots and where they were clicked.
    pitch, angle
        As given, or as clicks tell them; None where open.
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
    said = checked(settle(override))
    anchors = {place: _reduced(xy, scale) for place, xy in said.anchors.items()}
    pitch = said.pitch and (said.pitch[0] / scale, said.pitch[1] / scale)
    lines = said.lines
    if lines is None:
        return Known(anchors, pitch, said.angle)
    skew = lines.skew / scale if lines.skew.any() else None
    basis = Basis(lines.u / scale, lines.v / scale)
    return Known(anchors, pitch, said.angle, basis, _reduced(lines.origin, scale), skew)


def checked(said: Said) -> Said:
    """Return what an override says.

    Raises
    ------
    InputError
        With every contradiction in it.
    """
    if said.wrong:
        raise InputError(
            Problem(OVERRIDE, w.reason, w.remedy, column=".".join(w.keys), value=w.value)
            for w in said.wrong
        )
    return said


def _reduced(xy: Array, scale: float) -> Array:
    return (xy + 0.5) / scale - 0.5


# Pitches that a spot may be wide: touching spots are a little wider than their spacing.
_WIDEST_SPOT = 1.2


def honour(grid: Grid, override: GridOverride) -> Grid:
    """Give a grid exactly the pitch, angle and origin that a person wrote.

    The grid that was found is stretched and turned by the little that is missing, bends and all,
    about the place where that moves its spots least.

    Parameters
    ----------
    grid
        As found, A1 where the override has it.
    override
        What a person wrote.

    Returns
    -------
    Grid
        Its values equal those given; ``ambiguous``, unchanged and with the reason where that
        would move spots off the places where the image shows them.
    """
    given = {
        name: getattr(override, name)
        for name in ("pitch", "angle", "origin")
        if getattr(override, name) is not None
    }
    if not grid.rows or grid.pitch is None or grid.origin is None:
        return grid
    if override.spot is not None and any(
        size > _WIDEST_SPOT * step for size, step in zip(override.spot, grid.pitch, strict=True)
    ):
        reason = (
            f"spot: [{override.spot[0]:g}, {override.spot[1]:g}] is wider than the spots are apart "
            f"({grid.pitch[0]:.1f} x {grid.pitch[1]:.1f} px): correct it"
        )
        return replace(grid, status="ambiguous", confidence=0.0, reason=reason)
    if not given:
        return grid
    pitch = override.pitch or grid.pitch
    angle = grid.angle if override.angle is None else override.angle
    nodes = grid.table[["x", "y"]].to_numpy(np.float64)
    pivot = np.array(grid.origin)
    map_ = _vectors(pitch, angle or 0.0) @ np.linalg.inv(_vectors(grid.pitch, grid.angle or 0.0))
    moved = (nodes - pivot) @ map_.T
    seen = grid.table["found"].to_numpy(bool)
    if override.origin is not None:
        origin = np.array(override.origin)
    else:
        least = seen if seen.any() else np.ones(len(nodes), bool)
        origin = (nodes - moved)[least].mean(axis=0)
    moved = moved + origin
    off = np.hypot(*(moved - nodes)[seen].T)
    if len(off) and off.max() > _TOLERANCE * min(grid.pitch):
        reason = "; ".join(part for part in (_refusal(grid, given, off), grid.reason) if part)
        return replace(grid, status="ambiguous", confidence=0.0, reason=reason)
    table = grid.table.copy()
    table["x"], table["y"] = np.round(moved[:, 0], 4), np.round(moved[:, 1], 4)
    return replace(
        grid,
        status="override" if grid.status == "ok" else grid.status,
        pitch=pitch,
        angle=angle,
        origin=(float(origin[0]), float(origin[1])),
        table=table,
        blocks=_placed(grid, moved),
    )


def _vectors(pitch: tuple[float, float], angle: float) -> Array:
    """Steps to the next column and row as columns of a matrix (2, 2)."""
    a = np.radians(angle)
    along = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    vectors: Array = along * np.array(pitch)
    return vectors


def _refusal(grid: Grid, given: dict[str, Any], off: Array) -> str:
    """Say which given value the image contradicts."""
    assert grid.pitch is not None and grid.origin is not None
    shown = {
        "pitch": f"{grid.pitch[0]:.2f} x {grid.pitch[1]:.2f}",
        "angle": f"{grid.angle:.3f}",
        "origin": f"{grid.origin[0]:.1f}, {grid.origin[1]:.1f}",
    }
    written = {
        name: " x ".join(f"{v:g}" for v in value) if isinstance(value, tuple) else f"{value:g}"
        for name, value in given.items()
    }
    said = "; ".join(f"{name} {written[name]}, the image shows {shown[name]}" for name in given)
    return (
        f"what the override gives would put spots up to {off.max():.1f} px beside where they show "
        f"({said}): correct it or leave it out"
    )


def _placed(grid: Grid, nodes: Array) -> tuple[dict[str, float], ...]:
    """Blocks with the new place of their first spots."""
    placed = []
    for block in grid.blocks:
        first = int((block["first_row"] - 1) * grid.cols + block["first_col"] - 1)
        x, y = nodes[first]
        placed.append({**block, "x": float(x), "y": float(y)})
    return tuple(placed)

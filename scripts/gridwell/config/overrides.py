"""What an override says of a grid: its geometry, and where its parts contradict each other.

Everything here is in slide pixels and needs no image, so that mistakes are told before a run.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from gridwell.config.errors import InputError
from gridwell.config.explain import problems_of
from gridwell.config.models import Corner, GridOverride
from gridwell.config.spots import parse_spot
from gridwell.config.yamls import Document, read_yaml

Array = npt.NDArray[np.float64]
Place = tuple[int, int]

#: Corner of the image that A1 is in after each clockwise quarter turn of the carrier.
CORNERS = ("A1 top left", "A1 top right", "A1 bottom right", "A1 bottom left")
# Farthest that a click may be from its spot, in spacings.
_REACH = 0.3
# Spacings that clicks must span for a grid to be drawn through them alone, as a part of it.
_SPAN = 0.4
# Spacings between clicks that tell angle and pitch well enough to search with.
_TELLING = 5
_TURN_SLACK = 20.0
# Sine of the least angle between rows and columns: no carrier is so oblique.
_SQUARE = 0.94


@dataclass(frozen=True)
class Contradiction:
    """Parts of an override that cannot both be right.

    Attributes
    ----------
    keys
        Path of the option that is told, as ``("corners", "A1")``.
    reason, remedy
        What is wrong, and what to do.
    value
        What was found there.
    """

    keys: tuple[str, ...]
    reason: str
    remedy: str
    value: object = None


@dataclass(frozen=True)
class Lines:
    """A lattice: centre of A1, vectors to the next column (u) and row (v), and its skew.

    `skew` is the change of both vectors per row and column, (2,), where four clicks show one.
    """

    origin: Array
    u: Array
    v: Array
    skew: Array

    def at(self, row: npt.ArrayLike, col: npt.ArrayLike) -> Array:
        """Centres (..., 2) of spots, rows and columns from 0."""
        r, c = (np.asarray(k, np.float64)[..., None] for k in np.broadcast_arrays(row, col))
        where: Array = self.origin + c * self.u + r * self.v + c * r * self.skew
        return where

    @property
    def pitch(self) -> tuple[float, float]:
        """Spacing of columns and of rows."""
        return float(np.hypot(*self.u)), float(np.hypot(*self.v))

    @property
    def angle(self) -> float:
        """Direction from A1 to A2, degrees clockwise on screen."""
        return float(np.degrees(np.arctan2(self.u[1], self.u[0])))


@dataclass(frozen=True)
class Said:
    """What an override says of the lattice.

    Attributes
    ----------
    anchors
        Named spots and where they are; the origin is one of them.
    pitch, angle
        As given, or as clicks tell them well; None where open.
    lines
        The whole lattice, where it is fixed without the image; None where it is not.
    turn
        Clockwise quarter turns of the carrier from A1 at the top left; None where open.
    wrong
        All contradictions.
    """

    anchors: dict[Place, Array] = field(default_factory=dict)
    pitch: tuple[float, float] | None = None
    angle: float | None = None
    lines: Lines | None = None
    turn: int | None = None
    wrong: tuple[Contradiction, ...] = ()


def read_override(path: Path, file: str | None = None) -> tuple[GridOverride | None, Document]:
    """Read what a person knows of a grid.

    Parameters
    ----------
    path
        A YAML file with fields of `GridOverride`.
    file
        Its name in messages; the path by default.

    Returns
    -------
    override
        None where the file says nothing.
    document
        The file, for the lines of its options.

    Raises
    ------
    InputError
        If it cannot be read or is wrong.
    """
    name = file or str(path)
    document = read_yaml(path, name)
    values = {key: value for key, value in document.options.items() if value is not None}
    try:
        return (GridOverride.model_validate(values) if values else None), document
    except ValidationError as error:
        raise InputError(
            replace(problem, row=document.line(keys))
            for keys, problem in problems_of(error, GridOverride, file=name)
        ) from error


def settle(
    override: GridOverride,
    *,
    extent: tuple[int | None, int | None] = (None, None),
    ratio: float | None = None,
) -> Said:
    """Find out what an override fixes, and what in it cannot be.

    Parameters
    ----------
    override
        What a person wrote.
    extent
        Rows and columns as others tell them, where the override does not.
    ratio
        Spacing of rows over spacing of columns, where the carrier tells it: two clicks then
        fix the whole lattice.

    Returns
    -------
    Said
        With all contradictions found; the rest is then what could be understood.
    """
    wrong = [*_wrong_reference(override), *_wrong_spot(override)]
    anchors, wrong_names = _anchors(override)
    wrong += wrong_names
    pitch, angle = override.pitch, override.angle
    points = _Points(anchors, override.origin is not None, pitch, angle, ratio)
    lines = points.lines()
    if lines is not None:
        wrong += _misfits(override, points, lines)
    elif angle is not None:
        wrong += _wrong_line(angle, points)
    if angle is None and lines is not None and points.span >= _TELLING:
        angle = lines.angle
    elif angle is None:
        angle = points.along_a_line()
    if pitch is None and lines is not None and points.span >= _TELLING:
        pitch = lines.pitch
    turn, wrong_turn = _turn(override, points, lines)
    wrong += wrong_turn
    rows, cols = override.rows or extent[0], override.cols or extent[1]
    enough = lines is not None and points.covers(rows, cols)
    return Said(anchors, pitch, angle, lines if enough else None, turn, tuple(wrong))


def _wrong_reference(override: GridOverride) -> list[Contradiction]:
    """What a grid that is taken from another slide leaves no room for."""
    if override.same_as is None:
        return []
    return [
        Contradiction(
            (key,),
            f"cannot be given together with same_as: it is that of slide {override.same_as}",
            "Leave one of the two out; origin, angle and orientation may stay",
            getattr(override, key),
        )
        for key in ("rows", "cols", "pitch", "spot", "corners")
        if getattr(override, key) is not None
    ]


def _wrong_spot(override: GridOverride) -> list[Contradiction]:
    pitch, spot = override.pitch, override.spot
    if pitch is None or spot is None or all(s <= p for s, p in zip(spot, pitch, strict=True)):
        return []
    return [
        Contradiction(
            ("spot",),
            f"spots of this size overlap at a pitch of {pitch[0]:g} x {pitch[1]:g}",
            "Correct spot or pitch",
            list(spot),
        )
    ]


def _anchors(override: GridOverride) -> tuple[dict[Place, Array], list[Contradiction]]:
    """Named spots; the origin is A1, whatever was clicked there."""
    anchors: dict[Place, Array] = {}
    names: dict[Place, str] = {}
    wrong: list[Contradiction] = []
    for name, xy in (override.corners or {}).items():
        key = ("corners", name)
        try:
            place = parse_spot(name)
        except ValueError:
            remedy = "Write the name of a spot and its centre, as A1: [512, 480]"
            wrong.append(Contradiction(key, "is no spot", remedy, name))
            continue
        if place in names:
            reason = f"is the same spot as {names[place]}"
            wrong.append(Contradiction(key, reason, "Keep one of them", name))
            continue
        names[place] = name
        for what, value, count in zip(
            ("rows", "cols"), place, (override.rows, override.cols), strict=True
        ):
            if count is not None and value >= count:
                reason = f"lies outside the grid, which has {count} {what}"
                wrong.append(Contradiction(key, reason, f"Correct the name or {what}", name))
        anchors[place] = np.array(xy, np.float64)
    wrong += [
        Contradiction(
            ("corners", names[b]),
            f"is at the same place as {names[a]}",
            "Click each spot at its own centre",
            names[b],
        )
        for a, b in combinations(anchors, 2)
        if np.hypot(*(anchors[a] - anchors[b])) < 1
    ]
    if override.origin is not None:
        origin = np.array(override.origin, np.float64)
        wrong += _wrong_origin(override, origin, anchors.get((0, 0)), names.get((0, 0), ""))
        anchors[0, 0] = origin
    return anchors, wrong


def _wrong_origin(
    override: GridOverride, origin: Array, clicked: Array | None, name: str
) -> list[Contradiction]:
    reach = 3.0 if override.pitch is None else _REACH * min(override.pitch)
    if clicked is None or np.hypot(*(clicked - origin)) <= reach:
        return []
    return [
        Contradiction(
            ("origin",),
            f"origin and the corner {name} are different points of the same spot",
            "Leave one of the two out",
            list(override.origin or ()),
        )
    ]


@dataclass(frozen=True)
class _Points:
    """Named spots and the numbers given beside them, to draw a lattice through."""

    anchors: dict[Place, Array]
    pinned: bool
    pitch: tuple[float, float] | None
    angle: float | None
    ratio: float | None

    @property
    def index(self) -> Array:
        """Column and row of each, (n, 2)."""
        return np.array([(c, r) for r, c in self.anchors], np.float64).reshape(-1, 2)

    @property
    def xy(self) -> Array:
        return np.array(list(self.anchors.values()), np.float64).reshape(-1, 2)

    @property
    def span(self) -> float:
        """Widest distance between two named spots, in rows or columns."""
        return float(np.ptp(self.index, axis=0).max()) if self.anchors else 0.0

    def covers(self, rows: int | None, cols: int | None) -> bool:
        """Whether the named spots lie far enough apart to draw the whole grid through them."""
        if self.pitch is not None and self.angle is not None:
            return True
        span = np.ptp(self.index, axis=0)
        if rows is None or cols is None:
            return True
        wide = float(np.hypot(*span)) >= _SPAN * float(np.hypot(rows - 1, cols - 1))
        if self.pitch is not None or self.angle is not None or self.ratio is not None:
            return wide
        return wide and span[0] >= _SPAN * (cols - 1) and span[1] >= _SPAN * (rows - 1)

    def lines(self) -> Lines | None:
        """The lattice that the named spots and the numbers fix, or None."""
        pitch, angle = self.pitch, self.angle
        if not self.anchors:
            return None
        if pitch is None and angle is None:
            return self._clicked()
        if pitch is not None and angle is None:
            angle = self.direction(pitch)
        elif pitch is None and angle is not None:
            pitch = self._spacing(angle)
        return None if pitch is None or angle is None else self._placed(pitch, angle)

    def _clicked(self) -> Lines | None:
        """The lattice that named spots alone fix."""
        free = self._free()
        angle = None if self.ratio is None else self.direction((1.0, self.ratio))
        if free is not None or self.ratio is None or angle is None:
            return free
        size = self._size(angle, self.ratio)
        return self._placed((size, size * self.ratio), angle)

    def along_a_line(self) -> float | None:
        """Angle that spots of one row or one column tell, where they lie far apart."""
        index = self.index
        if len(index) < 2 or self.span < _TELLING or not (np.ptp(index, axis=0) == 0).any():
            return None
        return self.direction((1.0, 1.0))

    def likely_angle(self) -> float | None:
        """Angle as two or more named spots tell it, if rows and columns are equally spaced."""
        if self.angle is not None:
            return self.angle
        return self.direction(self.pitch or (1.0, self.ratio or 1.0))

    def direction(self, pitch: tuple[float, float]) -> float | None:
        """Angle of best fit for a known spacing (Procrustes)."""
        if len(self.anchors) < 2:
            return None
        at, where = self._centres()
        ideal, real = (self.index - at) * pitch, self.xy - where
        cross = float((ideal[:, 0] * real[:, 1] - ideal[:, 1] * real[:, 0]).sum())
        dot = float((ideal * real).sum())
        return float(np.degrees(np.arctan2(cross, dot)))

    def _centres(self) -> tuple[Array, Array]:
        """Index and position that the others are taken from: the origin, or the mean."""
        if self.pinned:
            return np.zeros(2), self.anchors[0, 0]
        return self.index.mean(axis=0), self.xy.mean(axis=0)

    def _placed(self, pitch: tuple[float, float], angle: float) -> Lines:
        along = _unit(angle)
        u, v = pitch[0] * along, pitch[1] * _across(along)
        at, where = self._centres()
        return Lines(where - at[0] * u - at[1] * v, u, v, np.zeros(2))

    def _size(self, angle: float, ratio: float) -> float:
        at, where = self._centres()
        ideal = (self.index - at) * (1.0, ratio)
        along = _unit(angle)
        turned = ideal[:, :1] * along + ideal[:, 1:] * _across(along)
        return float((turned * (self.xy - where)).sum() / (ideal**2).sum())

    def _spacing(self, angle: float) -> tuple[float, float] | None:
        """Pitches of best fit for a known angle, where the spots differ in row and column."""
        at, where = self._centres()
        along = _unit(angle)
        found = []
        for axis, way in enumerate((along, _across(along))):
            steps = self.index[:, axis] - at[axis]
            power = float((steps**2).sum())
            if power == 0:
                break
            found.append(float((steps * ((self.xy - where) @ way)).sum()) / power)
        if not found:
            return None
        if len(found) == 1:
            if self.ratio is None or (self.index[:, 0] == at[0]).all():
                return None
            found.append(found[0] * self.ratio)
        return max(found[0], 1e-6), max(found[1], 1e-6)

    def _free(self) -> Lines | None:
        """Lattice through three or more spots that are not on one line; skewed through four."""
        index, xy = self.index, self.xy
        if len(index) < 3 or np.linalg.matrix_rank(index - index[0]) < 2:
            return None
        product = index[:, :1] * index[:, 1:]
        design = np.column_stack([np.ones(len(index)), index, product])
        skewed = len(index) >= 4 and np.linalg.matrix_rank(design) == 4
        design = design if skewed else design[:, :3]
        weight = np.ones(len(index))
        if self.pinned:
            weight[list(self.anchors).index((0, 0))] = 1e6
        coef = np.linalg.lstsq(design * weight[:, None], xy * weight[:, None], rcond=None)[0]
        origin = self.anchors[0, 0] if self.pinned else coef[0]
        return Lines(origin, coef[1], coef[2], coef[3] if skewed else np.zeros(2))


def _unit(angle: float) -> Array:
    # Whole quarter turns exactly: a pitch given as 140 must not become 139.99999999.
    turn = round(angle / 90)
    if angle == 90 * turn:
        return np.array([(1, 0), (0, 1), (-1, 0), (0, -1)][turn % 4], np.float64)
    return np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])


def _across(along: Array) -> Array:
    return np.array([-along[1], along[0]])


def _misfits(override: GridOverride, points: _Points, lines: Lines) -> list[Contradiction]:
    """Clicks that do not lie on the lattice that is drawn through them."""
    rows, cols = points.index[:, 1], points.index[:, 0]
    off = np.hypot(*(points.xy - lines.at(rows, cols)).T)
    u, v = lines.u, lines.v
    pitch = min(lines.pitch)
    span = max(points.span, 1.0)
    upright = u[0] * v[1] - u[1] * v[0] >= _SQUARE * np.hypot(*u) * np.hypot(*v)
    bent = np.hypot(*lines.skew) * span > 0.25 * pitch
    if upright and not bent and pitch >= 1 and off.max() <= _REACH * pitch:
        return []
    given = [key for key in ("pitch", "angle") if getattr(override, key) is not None]
    if not given:
        return [
            Contradiction(
                ("corners",),
                "the clicked spots do not lie on one grid",
                "Check their names: rows are letters from the top, columns numbers from the left "
                "of the carrier",
            )
        ]
    named = " and ".join(given)
    return [
        Contradiction(
            (given[0],),
            f"does not fit the clicked spots: with {named} as given they lie up to "
            f"{off.max():.0f} px off the grid",
            f"Leave {named} out, or correct the spots",
            getattr(override, given[0]),
        )
    ]


def _wrong_line(angle: float, points: _Points) -> list[Contradiction]:
    """An angle that clicks in one row or one column do not show."""
    if len(points.anchors) < 2 or not (np.ptp(points.index, axis=0) == 0).any():
        return []
    shown = points.direction((1.0, 1.0))
    away = 0.0 if shown is None else (angle - shown + 180) % 360 - 180
    if abs(np.radians(away)) * points.span <= 2 * _REACH:
        return []
    reason = f"does not fit the clicked spots, which show {shown:.2f}"
    return [Contradiction(("angle",), reason, "Leave angle out, or correct the spots", angle)]


def _turn(
    override: GridOverride, points: _Points, lines: Lines | None
) -> tuple[int | None, list[Contradiction]]:
    """Quarter turn that was given or clicked, and whether all that was given agrees."""
    angle = lines.angle if lines is not None else points.likely_angle()
    named = None if override.orientation is None else CORNERS.index(override.orientation)
    if angle is None:
        # A single named spot places the grid as the image stands, if nothing else is said.
        return named if named is not None or not points.anchors else 0, []
    if named is None:
        return quarter(angle), []
    slack = 0.0 if lines is not None else _TURN_SLACK
    away = (angle - 90 * named + 180) % 360 - 180
    if abs(away) <= 45 + slack:
        return named, []
    middle = (90 * named + 180) % 360 - 180
    if override.angle is not None:
        remedy = f"With {override.orientation} it is about {middle or 0:g}: correct one of the two"
        reason = f"does not fit orientation {override.orientation}"
        return named, [Contradiction(("angle",), reason, remedy, override.angle)]
    reason = f"does not fit the clicked spots, which show {CORNERS[quarter(angle)]}"
    remedy = "Leave orientation out, or correct the spots"
    return named, [Contradiction(("orientation",), reason, remedy, override.orientation)]


def with_orientation(override: GridOverride | None, corner: Corner | None) -> GridOverride | None:
    """Add the study's orientation to an override that says nothing of its own.

    Two clicked spots or more show the orientation, and a grid that is taken from another slide
    brings its own.
    """
    if corner is None:
        return override
    if override is None:
        return GridOverride(orientation=corner)
    if override.orientation or override.same_as or len(override.corners or {}) > 1:
        return override
    return override.model_copy(update={"orientation": corner})


def quarter(angle: float) -> int:
    """Clockwise quarter turns, 0 to 3, nearest to an angle in degrees."""
    return round(angle / 90) % 4


def likely_angle(override: GridOverride) -> float | None:
    """Angle that named spots show, if rows and columns are about equally spaced."""
    anchors, _ = _anchors(override)
    points = _Points(anchors, override.origin is not None, override.pitch, override.angle, None)
    return points.likely_angle()

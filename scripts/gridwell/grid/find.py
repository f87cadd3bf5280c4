"""The grid of an image with all that is known of it: carrier, override, another slide's grid."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from gridwell.config.errors import InputError, Problem
from gridwell.config.models import Carrier, GridOptions, GridOverride
from gridwell.config.overrides import CORNERS, Said, likely_angle, settle, with_orientation
from gridwell.config.spots import spot_name
from gridwell.grid import orientation
from gridwell.grid.decide import dims
from gridwell.grid.detect import detect_grid
from gridwell.grid.elements import Image, normalise
from gridwell.grid.look import look, vectors
from gridwell.grid.model import Grid, is_settled
from gridwell.grid.outline import measure_outline
from gridwell.grid.overrides import OVERRIDE, checked, honour
from gridwell.grid.reference import refined, refit
from gridwell.network.device import Policy

# Part of the positions of a drawn grid that must show a spot to confirm what was assumed.
_CONFIRMED = 0.5
# Confidence from which a carrier is taken to lie on its side.
_SURE = 0.9
# Scores, as parts of the typical one, between which a position neither shows a spot nor none.
_DOUBTFUL = (0.35, 0.65)


def find_grid(
    image: npt.NDArray[np.generic],
    *,
    scale: float,
    size: tuple[int, int],
    options: GridOptions,
    carrier: Carrier | None = None,
    carrier_name: str | None = None,
    override: GridOverride | None = None,
    pixel_size_um: float | None = None,
    empty: Collection[str] = (),
    reference: Grid | None = None,
    gpu: Policy = "allow",
) -> Grid:
    """Find the grid of spots, give it what a person fixed, and settle where A1 is.

    Parameters
    ----------
    image
        Gray overview (h, w), any number type.
    scale
        Slide pixels per image pixel.
    size
        Width and height of the slide, pixels.
    options, carrier, carrier_name, override, pixel_size_um
        What is known; see `gridwell.grid.detect.detect_grid`. The override wins.
    empty
        Spots that stay empty, by the layout.
    reference
        Grid of the slide that the override names in `same_as`; needed where it names one.
    gpu
        Whether the network may compute on a GPU.

    Returns
    -------
    Grid
        Named as the carrier is, with its orientation; its status is ``failed`` where no grid
        was found.

    Raises
    ------
    InputError
        If the override contradicts itself or the grid that it names is not given; if a GPU is
        required and there is none, or the weights of the network cannot be read.
    """
    of_study = override is None or override.orientation is None
    override = with_orientation(override, options.orientation)
    job = _Job(image, scale, size, options, carrier, carrier_name, override, pixel_size_um, gpu)
    said = job.said()
    if override is not None and override.same_as is not None:
        if reference is None:
            what = f"the grid of {override.same_as} is not at hand"
            remedy = "Name the folder it is in (--same-as), or leave same_as out"
            raise InputError(Problem(OVERRIDE, what, remedy, column="same_as"))
        grid = refit(
            image,
            reference,
            override.same_as,
            scale=scale,
            size=size,
            options=options,
            override=override,
            pixel_size_um=pixel_size_um,
        )
    else:
        grid = _named(job, said, empty)
        pitch_um = carrier.pitch_um if carrier is not None else None
        if grid.status == "failed" and pitch_um and pixel_size_um:
            free = _named(replace(job, pixel_size_um=None), said, empty)
            grid = _of_another_size(free, pitch_um, pixel_size_um) or grid
    if override is not None:
        grid = honour(grid, override)
        if of_study and override.orientation is not None and grid.rows:
            said_by = {"source": "options", "reason": "grid.orientation of the study"}
            grid = replace(grid, orientation=grid.orientation | said_by)
    return with_doubts(replace(grid, pixel_size_um=pixel_size_um))


def _of_another_size(grid: Grid, pitch_um: tuple[float, float], pixel: float) -> Grid | None:
    """Tell of a grid that fits the carrier but for its size; None where there is none."""
    if not is_settled(grid) or grid.pitch is None:
        return None
    x, y = (spacing * pixel for spacing in grid.pitch)
    reason = (
        f"with pixels of {pixel:g} um the spots are {x:.0f} x {y:.0f} um apart, those of the "
        f"carrier {pitch_um[0]:g} x {pitch_um[1]:g} um: correct pixel_size_um in "
        "config/channels.tsv, or the carrier"
    )
    return replace(grid, status="ambiguous", reason=reason, confidence=0.0)


@dataclass(frozen=True)
class _Job:
    """An image, and what is known of its grid in the carrier's own names."""

    image: npt.NDArray[np.generic]
    scale: float
    size: tuple[int, int]
    options: GridOptions
    carrier: Carrier | None
    carrier_name: str | None
    override: GridOverride | None
    pixel_size_um: float | None
    gpu: Policy

    @property
    def extent(self) -> tuple[int | None, int | None]:
        """Rows and columns as far as anyone tells."""
        known = dims(self.options, self.carrier, self.override)
        return known.rows, known.cols

    @property
    def ratio(self) -> float | None:
        """Spacing of rows over spacing of columns, where the carrier tells."""
        pitch = self.carrier.pitch_um if self.carrier is not None else None
        return None if pitch is None else pitch[1] / pitch[0]

    def said(self) -> Said:
        return checked(
            settle(self.override or GridOverride(), extent=self.extent, ratio=self.ratio)
        )

    def upright(self, turn: int) -> _Job:
        """The same with the names that the image as it stands would give."""
        override = self.override
        if override is not None:
            try:
                override = orientation.upright_override(override, turn, *self.extent)
            except ValueError:
                raise InputError(
                    Problem(
                        OVERRIDE,
                        f"a named spot places a grid with {CORNERS[turn]} only where its rows and "
                        "columns are known",
                        "Give rows and cols",
                        column="corners" if override.corners else "origin",
                    )
                ) from None
        return replace(
            self,
            options=orientation.upright_options(self.options, turn),
            carrier=self.carrier and orientation.upright_carrier(self.carrier, turn),
            override=override,
        )

    def detect(self, override: GridOverride | None = None) -> Grid:
        """Look for the grid as the image stands."""
        override = override or self.override
        options = self.options
        angle = None if override is None else likely_angle(override)
        if angle is not None and abs(angle) + 3 > options.max_angle:
            options = options.model_copy(update={"max_angle": min(45.0, abs(angle) + 3)})
        return detect_grid(
            self.image,
            scale=self.scale,
            options=options,
            carrier=self.carrier,
            carrier_name=self.carrier_name,
            override=override,
            pixel_size_um=self.pixel_size_um,
            size=self.size,
            gpu=self.gpu,
        )

    def gray(self) -> Image | None:
        return normalise(self.image)


def _named(job: _Job, said: Said, empty: Collection[str]) -> Grid:
    """The grid as the image shows it, with the names of the carrier."""
    upright = job.upright(said.turn or 0)
    grid = _drawn_or_found(upright)
    given = orientation.told(job.override, said.turn)
    sideways = False
    if not is_settled(grid) and given is None:
        other = _sideways(job)
        if other is not None:
            grid, sideways = other, True
    return orientation.orient(
        grid,
        job.gray() if job.carrier is not None and job.carrier.marks else None,
        job.scale,
        given=given,
        carrier=job.carrier,
        empty=empty,
        sideways=sideways,
    )


def _sideways(job: _Job) -> Grid | None:
    """The grid of a carrier that lies on its side, where that is what the image shows."""
    rows, cols = job.extent
    known = job.override or GridOverride()
    placed = known.corners or known.origin or known.angle is not None
    if rows is None or cols is None or rows == cols or placed:
        return None
    grid = job.upright(1).detect()
    return grid if is_settled(grid) and grid.confidence >= _SURE else None


def _drawn_or_found(job: _Job) -> Grid:
    """Detect the grid; draw it through clicked spots where those are enough or nothing else is."""
    override = job.override
    if override is None:
        return job.detect()
    override = _complete(job, override)
    said = settle(override, extent=job.extent, ratio=job.ratio)
    if said.lines is not None and None not in job.extent:
        return _drawn(job, override, said)
    grid = job.detect(override)
    if is_settled(grid) or None in job.extent or len(said.anchors) < 2:
        return grid
    # Two clicks fix a grid whose rows and columns are equally spaced; the image must agree.
    assumed = settle(override, extent=job.extent, ratio=1.0)
    if assumed.lines is None or assumed.wrong:
        return grid
    drawn = _drawn(job, override, assumed)
    return drawn if drawn.found >= _CONFIRMED * drawn.rows * drawn.cols else grid


def _complete(job: _Job, override: GridOverride) -> GridOverride:
    """Give clicked spots the rows and columns that others tell, to draw the grid with."""
    rows, cols = job.extent
    if not (override.corners or override.origin) or (override.rows and override.cols):
        return override
    return override.model_copy(update={"rows": rows, "cols": cols})


def _drawn(job: _Job, override: GridOverride, said: Said) -> Grid:
    """The grid through clicked spots, moved onto the spots of the image where those show."""
    rows, cols = job.extent
    lines = said.lines
    assert lines is not None and rows is not None and cols is not None
    nodes = lines.at(*np.indices((rows, cols)))
    gray = job.gray() if min(rows, cols) > 1 else None
    if gray is not None:
        at = (nodes + 0.5) / job.scale - 0.5
        better = refined(gray, at, job.options.polarity)
        nodes = nodes if better is None else (better + 0.5) * job.scale - 0.5
    corners = {
        spot_name(r, c): (float(nodes[r, c, 0]), float(nodes[r, c, 1]))
        for r in sorted({0, rows - 1})
        for c in sorted({0, cols - 1})
    }
    exact = {"corners": corners, "origin": None, "pitch": None, "angle": None}
    if min(rows, cols) == 1:  # clicks on one line leave the other way open
        exact = {"pitch": lines.pitch, "angle": lines.angle}
    grid = job.detect(override.model_copy(update=exact))
    if gray is not None:
        grid = _with_spots(grid, gray, job)
    if gray is not None and grid.status == "override" and grid.found < _CONFIRMED * rows * cols:
        # A person's word holds, but nobody should have to count the spots to see that it may not.
        where = f"only {grid.found} of {rows * cols} spots show where the override puts them"
        return replace(grid, reason=where)
    return grid


def _with_spots(grid: Grid, image: Image, job: _Job) -> Grid:
    """Mark the spots of a drawn grid most of whose positions are empty."""
    nodes = (grid.nodes + 0.5) / job.scale - 0.5
    basis = vectors(nodes)
    seen = look(image, nodes, basis, polarity=job.options.polarity)
    if seen is None or seen.hits.sum() <= grid.found:
        return grid
    outside = grid.table["flags"].str.contains("outside").to_numpy(bool)
    found = seen.hits.ravel() & ~outside
    flags = [
        ";".join(word for word, on in (("not_found", not f), ("outside", o)) if on)
        for f, o in zip(found, outside, strict=True)
    ]
    score = np.round(seen.cells.score.ravel(), 4) + 0.0
    table = grid.table.assign(found=found, score=score, flags=flags)
    grid = replace(grid, table=table)
    told = job.override is not None and job.override.spot is not None
    typical = measure_outline(image, nodes[seen.hits], basis)
    if told or typical is None or grid.pitch is None:
        return grid
    width, height = (p * s for p, s in zip(grid.pitch, typical.size, strict=True))
    known = job.carrier.shape if job.carrier is not None else None
    table = table.assign(width=round(width, 4), height=round(height, 4))
    return replace(grid, table=table, width=width, height=height, shape=known or typical.shape)


def with_doubts(grid: Grid) -> Grid:
    """Flag the positions that neither show a spot nor clearly none."""
    table = grid.table
    if not table["found"].any():
        return grid
    typical = float(table.loc[table["found"], "score"].median())
    low, high = (part * typical for part in _DOUBTFUL)
    doubtful = table["score"].between(low, high)
    flags = [
        ";".join(sorted({*filter(None, words.split(";")), "doubtful"})) if on else words
        for words, on in zip(table["flags"], doubtful, strict=True)
    ]
    return replace(grid, table=table.assign(flags=flags))

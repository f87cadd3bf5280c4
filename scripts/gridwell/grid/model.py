"""The grid of a slide, and its two files: grid.json and grid.csv."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gridwell.config.columns import column_names
from gridwell.config.errors import InputError, Problem

if TYPE_CHECKING:
    from gridwell.images.spots import SpotFrame

FORMAT = "gridwell-grid/1"


def empty_table() -> pd.DataFrame:
    """grid.csv of a grid without positions."""
    return pd.DataFrame(
        {
            "spot": pd.Series(dtype="str"),
            "row": pd.Series(dtype="str"),
            "col": pd.Series(dtype="int64"),
            "x": pd.Series(dtype="float64"),
            "y": pd.Series(dtype="float64"),
            "width": pd.Series(dtype="float64"),
            "height": pd.Series(dtype="float64"),
            "found": pd.Series(dtype="bool"),
            "score": pd.Series(dtype="float64"),
            "flags": pd.Series(dtype="str"),
        }
    )


@dataclass(frozen=True)
class Grid:
    """Where the spots of a slide are, and how sure that is.

    Attributes
    ----------
    status
        ``ok``; ``ambiguous`` (a grid is given, but another explains the image nearly as well:
        `reason` says which option would settle it); ``failed`` (no grid); ``override`` (a
        person fixed what decides it).
    reason
        One sentence for people; empty when ok.
    confidence
        0..1.
    rows, cols
        0 when failed.
    pitch
        Spacing of columns and of rows, slide pixels.
    angle
        Of the rows, degrees clockwise on screen.
    origin
        Centre of A1, slide pixels.
    shape, width, height
        Of a spot; ``square`` or ``round``.
    blocks
        Parts between gaps: first_row, last_row, first_col, last_col (from 1), x, y (centre of
        the block's first spot).
    margins
        How much worse each one-step shift or resize explains the image, in nats.
    orientation
        Corner of the image that A1 is in or is taken to be in, who says so (``source``;
        ``unknown`` where nobody does), and why.
    image
        Width and height of the slide, pixels.
    pixel_size_um
        Size of a pixel, micrometres; None where unknown.
    alternatives
        Other grids that explain the image about as well: rows, cols, corners (centres of the
        first and last spot of the first row, then of the last and first spot of the last row)
        and what each is, in words.
    table
        Columns of grid.csv, one row for every position, row-major.
    """

    status: str
    reason: str
    confidence: float
    rows: int = 0
    cols: int = 0
    pitch: tuple[float, float] | None = None
    angle: float | None = None
    origin: tuple[float, float] | None = None
    shape: str | None = None
    width: float | None = None
    height: float | None = None
    blocks: tuple[dict[str, float], ...] = ()
    carrier: str | None = None
    margins: dict[str, float] = field(default_factory=dict)
    orientation: dict[str, str] = field(
        default_factory=lambda: {"value": "unknown", "source": "unknown"}
    )
    image: tuple[int, int] = (0, 0)
    pixel_size_um: float | None = None
    alternatives: tuple[dict[str, Any], ...] = ()
    table: pd.DataFrame = field(default_factory=empty_table)

    @property
    def nodes(self) -> npt.NDArray[np.float64]:
        """Centres of all positions, (rows, cols, 2), slide pixels."""
        flat = self.table[["x", "y"]].to_numpy(np.float64)
        return flat.reshape(self.rows, self.cols, 2)

    @property
    def seen(self) -> npt.NDArray[np.bool_]:
        """Positions where a spot shows, (rows, cols)."""
        return self.table["found"].to_numpy(bool).reshape(self.rows, self.cols)

    @property
    def found(self) -> int:
        """Number of positions where a spot shows."""
        return int(self.table["found"].sum())

    def to_json(self, slide: str) -> dict[str, Any]:
        """Content of grid.json."""
        point = _xy(self.origin)
        return {
            "format": FORMAT,
            "slide": slide,
            "status": self.status,
            "reason": self.reason,
            "confidence": _short(self.confidence),
            "rows": self.rows,
            "cols": self.cols,
            "found": self.found,
            "orientation": self.orientation,
            "pitch": _xy(self.pitch),
            "angle": _short(self.angle),
            "origin": point,
            "spot": {
                "shape": self.shape,
                "width": _short(self.width),
                "height": _short(self.height),
            },
            "blocks": [
                {k: (int(v) if k not in "xy" else _short(v)) for k, v in block.items()}
                for block in self.blocks
            ],
            "carrier": self.carrier,
            "margins": {k: _short(v) for k, v in self.margins.items()},
            "image": {"width": self.image[0], "height": self.image[1]},
            "pixel_size_um": self.pixel_size_um,
            "alternatives": [
                {**other, "corners": [[_short(v) for v in xy] for xy in other["corners"]]}
                for other in self.alternatives
            ],
        }

    def frame(self, slide: str, pixel_size_um: float | None = None) -> SpotFrame:
        """What cropping needs to know.

        Raises
        ------
        InputError
            If the grid has no positions.
        """
        from gridwell.images.spots import SpotFrame

        if not self.rows or self.angle is None or self.shape is None:
            raise InputError(
                Problem(
                    "grid.json",
                    f"slide {slide} has no grid ({self.reason})",
                    f"Write what is known of it to config/overrides/{slide}.yaml",
                )
            )
        return SpotFrame(
            slide=slide,
            rows=self.rows,
            cols=self.cols,
            spots=tuple(self.table["spot"]),
            x=tuple(self.table["x"].tolist()),
            y=tuple(self.table["y"].tolist()),
            angle=self.angle,
            width=float(self.width or 0.0),
            height=float(self.height or 0.0),
            shape="square" if self.shape == "square" else "round",
            found=tuple(self.table["found"].tolist()),
            pixel_size_um=pixel_size_um,
        )


def _short(value: float | None) -> float | None:
    """Six decimals: the last bits of a fit are noise; never minus zero."""
    return None if value is None else round(float(value), 6) + 0.0


def _xy(point: tuple[float, float] | None) -> dict[str, float | None] | None:
    return None if point is None else {"x": _short(point[0]), "y": _short(point[1])}


def read_grid(json_path: Path, csv_path: Path) -> Grid:
    """Read grid.json and grid.csv.

    Raises
    ------
    InputError
        If they cannot be read, are not of this format, or do not belong together.
    """
    try:
        data = json.loads(Path(json_path).read_text(encoding="utf-8"))
        table = pd.read_csv(
            csv_path, dtype={"spot": "str", "row": "str", "flags": "str"}, keep_default_na=False
        )
    except (OSError, ValueError) as error:
        raise InputError(
            Problem(str(json_path), f"cannot be read: {error}", "Run detect_grid again")
        ) from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(Problem(str(json_path), "is not a grid", f"Its format must be {FORMAT}"))
    columns = column_names("grid.csv")
    missing = [name for name in columns if name not in table.columns]
    if missing or len(table) != data["rows"] * data["cols"]:
        raise InputError(
            Problem(
                str(csv_path),
                "does not hold one row for every position of grid.json",
                "Run detect_grid again",
            )
        )
    if table.empty:
        table = empty_table()
    else:
        table = table[columns]
        table["found"] = table["found"].astype("str").str.lower().eq("true")
        for name in ("x", "y", "width", "height", "score"):
            table[name] = table[name].astype("float64")
    spot = data["spot"]
    return Grid(
        status=data["status"],
        reason=data["reason"],
        confidence=data["confidence"],
        rows=data["rows"],
        cols=data["cols"],
        pitch=_pair(data["pitch"]),
        angle=data["angle"],
        origin=_pair(data["origin"]),
        shape=spot["shape"],
        width=spot["width"],
        height=spot["height"],
        blocks=tuple(data["blocks"]),
        carrier=data["carrier"],
        margins=dict(data["margins"]),
        orientation=dict(data["orientation"]),
        image=(data["image"]["width"], data["image"]["height"]),
        pixel_size_um=data.get("pixel_size_um"),
        alternatives=tuple(data.get("alternatives", ())),
        table=table,
    )


def _pair(point: dict[str, float] | None) -> tuple[float, float] | None:
    return None if point is None else (point["x"], point["y"])


def is_settled(grid: Grid) -> bool:
    """Say whether spots may be cut by this grid: it was found beyond doubt, or given."""
    return grid.status in {"ok", "override"}


def settled_frame(grid: Grid, slide: str, pixel_size_um: float | None) -> SpotFrame:
    """Return the frame to cut spots by, only of a grid that leaves no doubt.

    Raises
    ------
    InputError
        If the grid is ambiguous or was not found. A grid that could be off by one row
        would give every spot the wrong drug.
    """
    if is_settled(grid):
        return grid.frame(slide, pixel_size_um)
    raise InputError(
        Problem(
            file=f"results/{slide}/grid.json",
            column="status",
            value=grid.status,
            reason=f"the grid of slide {slide} is not certain: {grid.reason}",
            remedy=f"Look at results/{slide}/grid.png and write what you know of the grid into "
            f"config/overrides/{slide}.yaml (rows and cols, or corners with their names), or name "
            "the carrier in config/slides.tsv",
        )
    )

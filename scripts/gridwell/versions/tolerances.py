"""How far a recomputed result may be from the published one, and why.

Bytes are the same on the same kind of CPU, and networks of cells nearly the same on all kinds
(41 of 7.9 million pixels of simulated fields differed, no count). A GPU multiplies other numbers,
so that now and then a pixel at the rim of a cell changes sides. What follows from that is allowed,
and little more: the tolerances of objects were chosen on the slides of the demo, segmented once in
float32 and once in int8. 0.03 % of the pixels changed there, 14 of 28 485 objects were in one of
the two only, and two of 192 spots had one live cell more or less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

OBJECTS_OTHER = 0.01
"""Share of the objects of a table that may be unpaired or decided otherwise: of another state, or
with a body where there was none."""
OBJECTS_BEYOND = 0.03
"""Share of the objects of a table that may be unpaired or beyond the tolerance of a column."""
PARTNER_PIXELS = 2.0
"""Farthest that the positions of one object may be apart, in pixels."""
LABELS_MATCHED = 0.99
"""Least share of the objects of a label image that must be matched one to one."""
LABELS_IOU = 0.98
"""Least mean intersection over union of matched objects."""
SPOT_UNMATCHED = 0.1
"""Share of the objects of one spot that may be unmatched; `SPOT_FREE` may always be."""
SPOT_FREE = 2
"""Objects of a spot that may always be unmatched, as where one was split."""
PICTURE_LEVELS = 8
"""Levels of brightness by which a pixel of a picture may differ."""
PICTURE_SHARE = 0.01
"""Share of the pixels of a picture that may differ by more."""

# Decimal fractions are not exact in binary: 0.82 - 0.81 is a little more than 0.01.
_ROUNDING = 1 + 1e-9


@dataclass(frozen=True)
class Tolerance:
    """How far numbers of some columns may be apart.

    Attributes
    ----------
    files, columns
        Patterns of paths, and of names of columns or dotted keys of JSON, as of fnmatch.
    absolute, relative
        What is allowed: the greater of the two, the second as a share of the published number.
        An infinite one allows every value, but not one where there was none.
    unit
        Unit of `absolute`.
    of_largest
        Allowed as well: this share of the largest published number of the column.
    reason
        Why this much.
    turn
        Period of what goes round, as angles do.
    """

    files: tuple[str, ...]
    columns: tuple[str, ...]
    absolute: float
    relative: float
    reason: str
    unit: str = ""
    of_largest: float = 0
    turn: float = math.inf

    def covers(self, path: str, column: str) -> bool:
        """Tell whether this is about a column of a file."""
        return any(fnmatchcase(path, file) for file in self.files) and any(
            fnmatchcase(column, name) for name in self.columns
        )

    def measure(self, expected: Array, found: Array) -> tuple[Array, Array]:
        """Measure how far numbers are apart, and how many times what is allowed that is.

        NaN equals NaN; both are infinite where only one of two numbers is NaN.
        """
        with np.errstate(all="ignore"):
            gap = np.abs(found - expected)
            gap = np.minimum(gap, self.turn - gap)
            gap = np.where(np.isnan(gap), np.inf, gap)
            same = (expected == found) | (np.isnan(expected) & np.isnan(found))
            gap = np.where(same, 0.0, gap)
            times = np.where(np.isinf(gap) | same, gap, gap / self._allowed(np.abs(expected)))
        return gap, times

    def _allowed(self, expected: Array) -> Array:
        """How far numbers of these sizes may be off."""
        largest = expected[np.isfinite(expected)].max(initial=0)
        allowed = np.maximum(self.absolute, self.relative * expected)
        return np.maximum(allowed, self.of_largest * largest) * _ROUNDING

    @property
    def words(self) -> str:
        """What is allowed, in words."""
        if math.isinf(self.absolute):
            return "any value"
        amounts = [f"{self.absolute:g} {self.unit}".strip()] if self.absolute else []
        amounts += [f"{100 * self.relative:g} %"] if self.relative else []
        if self.of_largest:
            amounts.append(f"{100 * self.of_largest:g} % of the largest in the column")
        return " or ".join(amounts)


_ALL = ("*",)
_OBJECTS = ("*.parquet",)
_COLOURS = ("*/colours.parquet",)
_SPOTS = ("*/spots.csv",)
_GRID = ("*/grid.json", "*/labels/*.zarr")
_SCREEN = ("*/screen/*.csv",)
_RIM = "a pixel at the rim of an object changes sides"
_WHOLE = "what follows from one cell more or less"
_FIT = "fits end where they improve no more, and follow the cells that they are of"


def _of_body(*names: str) -> tuple[str, ...]:
    """Columns of features: of an object, and of a cell's nucleus and bodies."""
    return (*names, *(f"*_{name}" for name in names))


TOLERANCES = (
    Tolerance(_COLOURS, ("x", "y"), 0.1, 0, "a thousandth of a spot", "px"),
    Tolerance(
        _COLOURS, _ALL, 0.02, 0.02, "a grid that is moved by a tenth of a pixel shows other pixels"
    ),
    Tolerance(
        ("*/calibration.json",), _ALL, 0.02, 0.05, "what follows from colours of calibration spots"
    ),
    Tolerance(
        _OBJECTS, ("label", "cell", "*_label", "*_shared"), math.inf, 0,
        "objects are numbered from the top of a spot, so that one more renumbers the rest; which "
        "object is meant shows in its features",
    ),
    Tolerance(_OBJECTS, ("x", "y"), 0.1, 0, _RIM, "px"),
    Tolerance(_OBJECTS, ("distance_*",), 0.2, 0, "two positions", "px"),
    Tolerance(_OBJECTS, _of_body("area"), 2, 0.02, _RIM, "px²"),
    Tolerance(_OBJECTS, _of_body("major_axis", "minor_axis"), 0.3, 0.03, _RIM, "px"),
    Tolerance(
        _OBJECTS, _of_body("eccentricity"), 0.1, 0,
        f"{_RIM}, which shows most where an object is round",
    ),
    Tolerance(_OBJECTS, _of_body("solidity"), 0.04, 0, _RIM),
    Tolerance(
        _OBJECTS, _of_body("orientation"), 30, 0, "a round object has none", "°", turn=180
    ),
    Tolerance(_OBJECTS, ("p_live", "p_dead"), 0.01, 0, "what follows from a cell's intensities"),
    Tolerance(
        _OBJECTS, _ALL, 0, 0.05,
        f"intensities: {_RIM}, where stains and what lies around end", of_largest=0.01,
    ),
    Tolerance(_SPOTS, ("n_merged",), 2, 0.01, "one body more that two nuclei share", "cell"),
    Tolerance(
        _SPOTS, ("n", "n_*"), 1, 0.01, "a cell at the limit of what counts as one", "cell"
    ),
    Tolerance(_SPOTS, ("viability*",), 0.025, 0, f"{_WHOLE}, in a spot of forty"),
    Tolerance(_SPOTS, ("shift_*_quality",), 0.1, 0, "one body more or less of ten"),
    Tolerance(_SPOTS, ("measured",), 0.025, 0.01, _WHOLE),
    Tolerance(_SPOTS, ("normalised",), 2.5, 0.01, _WHOLE, "point of percent"),
    Tolerance(_SPOTS, ("shift_*",), 0.1, 0, "a hundredth of a cell", "px"),
    Tolerance(_SPOTS, ("red", "green", "blue"), 0.1, 0, "far less than an eye sees", "level"),
    Tolerance(
        _SPOTS, ("metric", "value", "value_*", "sharpness", "factor"), 0, 0.01,
        "less than replicate spots differ by",
    ),
    Tolerance(
        ("*/spots.csv", "*/grid.csv"), ("x", "y", "width", "height"), 0.1, 0,
        "a thousandth of a spot", "px",
    ),
    Tolerance(("*/grid.csv",), ("score",), 0.01, 0, "the network's last bits"),
    Tolerance(
        ("*/tables.zarr/*",), ("*_micrometer",), 0.2, 0.001, "as positions in grid.csv", "µm"
    ),
    Tolerance(
        _SCREEN,
        ("concentration", "dose", "time_h", "col", "replicate", "n", "n_*", "*_not_*",
         "correction", "metric_of_study"), 1e-9, 1e-6,
        "as the layout says, or what was counted or decided",
    ),
    Tolerance(_SCREEN, ("ec50", "ic50", "gr50", "gec50"), 0, 0.02, _FIT),
    Tolerance(
        _SCREEN, ("*50_low", "*50_high", "hill", "gr_hill", "asymmetry"), 0, 0.05,
        f"{_FIT}; the data tell less of these",
    ),
    Tolerance(
        _SCREEN,
        ("top", "bottom", "fit", "low", "high", "mean", "mean_*", "bliss", "hsa", "excess*",
         "difference"), 1, 0.01, _FIT, "point of percent",
    ),
    Tolerance(
        _SCREEN, ("dss*", "sdss*"), 0.5, 0.02, f"{_FIT}; the scores are areas under them"
    ),
    Tolerance(
        _SCREEN, ("i2", "*_cv", "*_range", "edge_effect*", "gradient", "correction_gain"), 1, 0.02,
        _WHOLE, "point of percent",
    ),
    Tolerance(_SCREEN, ("cells_per_spot", "control", "time_zero"), 1, 0.01, _WHOLE, "cell"),
    Tolerance(_SCREEN, ("*_p",), 0.05, 0.02, f"{_WHOLE}, which moves chances most"),
    Tolerance(_SCREEN, _ALL, 0.02, 0.02, f"{_WHOLE}: areas, correlations, chances, Z'"),
    Tolerance(_GRID, ("angle",), 0.01, 0, "half a pixel at the end of a slide", "°"),
    Tolerance(
        _GRID, ("pitch.*", "origin.*", "spot.*", "blocks.*", "x.*", "y.*", "width", "height"),
        0.1, 0, "a thousandth of a spot", "px",
    ),
    Tolerance(_GRID, ("pixel_size_um", "margin"), 1e-9, 1e-6, "as the slide says"),
    Tolerance(_GRID, _ALL, 0, 0.01, "evidence that is weighed, not what is decided"),
    Tolerance(("*.geojson",), ("*coordinates*",), 0.1, 0, "a thousandth of a spot", "px"),
    Tolerance(
        ("*/shifts.json",), ("*.dx", "*.dy", "*.wander"), 0.1, 0, "a hundredth of a cell", "px"
    ),
    Tolerance(("*/shifts.json",), _ALL, 0.01, 0, _WHOLE),
    Tolerance(
        ("*/version.json",), ("dataset", "commit", "files.*.key"), math.inf, 0,
        "where the raw images are kept, not what they are",
    ),
    Tolerance(_ALL, _ALL, 1e-9, 1e-6, "sums in another order"),
)  # fmt: skip
"""The first that covers a column counts. Text, truth values and ids are compared exactly."""


def tolerance_of(path: str, column: str) -> Tolerance:
    """Find what is allowed of a column of a table, or of a key of JSON."""
    return next(rule for rule in TOLERANCES if rule.covers(path, column))


def described() -> list[tuple[str, str, str]]:
    """List every tolerance: of what it is, how much is allowed, and why."""
    columns = [
        (f"{_code(rule.columns)} of {_code(rule.files)}", rule.words, rule.reason)
        for rule in TOLERANCES
    ]
    return [
        ("text, truth values, names and whole numbers of JSON", "none", "they are decisions"),
        *columns,
        (
            "rows of a table of objects (`*.parquet`)",
            f"{100 * OBJECTS_OTHER:g} % of another state or without a partner within "
            f"{PARTNER_PIXELS:g} px, {100 * OBJECTS_BEYOND:g} % beyond the tolerance of a column; "
            "of other tables none",
            "objects at the limit of what counts as one",
        ),
        (
            "label images (`labels/*.zarr`)",
            f"{100 * LABELS_MATCHED:g} % of the objects matched one to one (IoU of at least 0.5) "
            f"with a mean IoU of at least {LABELS_IOU:g}; in each spot at most {SPOT_FREE} "
            f"objects or {100 * SPOT_UNMATCHED:g} % unmatched; any numbers of objects",
            f"{_RIM}, and objects at the limit of what counts as one",
        ),
        (
            "pictures (`*.png`)",
            f"{100 * PICTURE_SHARE:g} % of the pixels by more than {PICTURE_LEVELS} levels",
            "lines drawn a fraction of a pixel beside",
        ),
        (
            "pages (`*.html`) and pictures",
            "as the tables that they show",
            "they are drawn from them",
        ),
        (
            "what a result says it was made from",
            "code and device; where a table or page says the same, also networks and "
            "configuration; raw images never",
            "what counts is whether the same images give the same values",
        ),
    ]


_WORDS = """\
The same inputs, configuration and versions give the same bytes on the same kind of CPU; on another
kind a few pixels differ: networks multiply whole numbers there (`precision` in
[options](options.md)). A GPU multiplies others and rounds otherwise, and a few pixels at the rims
of objects change sides. `gridwell reproduce` calls what then differs *within tolerance* by this
table; the first row that covers a column holds. The numbers were set on simulated slides,
segmented in float32 and in int8 on one CPU; they have not been measured on a GPU.
"""


def tolerances_md() -> str:
    """docs/tolerances.md: what may differ between two computations of the same."""
    rows = [("what", "may differ by", "why"), ("---",) * 3, *described()]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"# Tolerances\n\n{_WORDS}\n{table}\n"


def _code(patterns: tuple[str, ...]) -> str:
    """Patterns in Markdown; the widest in words."""
    return "anything else" if patterns == _ALL else ", ".join(f"`{name}`" for name in patterns)


if __name__ == "__main__":
    page = Path(__file__).resolve().parents[3] / "docs/tolerances.md"
    page.write_text(tolerances_md(), encoding="utf-8")

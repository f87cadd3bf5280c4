"""A calibration of colours as it is saved: calibration.json, written by one slide, read by others.

The file may come from anywhere; these models are what it is held to.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gridwell.config.errors import InputError, Problem
from gridwell.config.models import ColourMetric

LARGEST = 5_000_000
"""Bytes; a calibration of a thousand levels is smaller."""

LEARNED: tuple[ColourMetric, ...] = ("pca", "lda", "pls", "lab_curve")
"""Metrics that exist only with calibration spots."""
LEAST_LEVELS = 2
"""Known values that calibration spots must have; with two there are no intervals, for none can be
left out to see how well others predict it."""

Triple = tuple[float, float, float]
Row = Annotated[list[float], Field(min_length=1, max_length=3)]


class _Saved(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Trial(_Saved):
    """How well a metric predicted levels that it was not calibrated with.

    Attributes
    ----------
    rmse
        Root mean square error of the inner levels, in the unit of the values; a spot without a
        value counts as wrong by half of the range. None: there are no inner levels.
    r
        Pearson correlation of predicted and known values.
    bias
        Mean error by level.
    spots, missed
        Spots of inner levels with and without a value.
    """

    metric: Literal["auto", ColourMetric]
    rmse: Annotated[float, Field(ge=0)] | None
    r: Annotated[float, Field(ge=-1.001, le=1.001)] | None
    bias: dict[str, float]
    spots: Annotated[int, Field(ge=0)]
    missed: Annotated[int, Field(ge=0)]


class Light(_Saved):
    """White and black of a slide in linear light as recorded, 1 is full scale.

    Attributes
    ----------
    source
        What was taken for white.
    white, black
        Red, green, blue; white above black.
    chart
        Name of the colour chart that corrected the colours; None: none did.
    """

    source: Literal["patch", "blank", "background", "none"]
    white: Triple
    black: Triple
    chart: str | None = None


class Calibration(_Saved):
    """All that turns the colour of a spot into a value.

    Attributes
    ----------
    slide, unit
        Where it was made; unit of the values.
    metric, reference, direction, cut
        The metric and what it learned; see `gridwell.colour.metrics.Learned`.
    levels, knots, noise
        The curve; see `gridwell.colour.curve.Curve`. Values rise from level to level.
    scale
        Half of a 95 % interval in standard deviations of the posterior; None: no intervals.
    pooled
        Whether neighbouring levels were made equal.
    spots
        Calibration spots that it rests on.
    inner
        Part of each spot that was measured.
    light
        White and black of the slide.
    chosen
        Whether the metric was chosen by its error (``auto``), not by name.
    trials
        All metrics that could be calibrated, each by leaving levels out.
    nested
        The same of the choice itself, made again without each level; None where it was not made.
    provenance
        What it was made from.
    """

    slide: Annotated[str, Field(max_length=200)]
    unit: Annotated[str, Field(max_length=40)]
    metric: ColourMetric
    reference: Triple | None = None
    direction: Triple | None = None
    cut: Annotated[float, Field(ge=0, lt=360)] | None = None
    levels: Annotated[list[float], Field(min_length=2, max_length=1000)]
    knots: Annotated[list[Row], Field(min_length=2, max_length=1000)]
    noise: Annotated[
        list[Annotated[list[Row], Field(min_length=1, max_length=3)]],
        Field(min_length=1, max_length=1000),
    ]
    scale: Annotated[float, Field(ge=0)] | None
    pooled: bool
    spots: Annotated[int, Field(ge=2)]
    inner: Annotated[float, Field(gt=0, le=1)]
    light: Light
    chosen: bool
    trials: list[Trial]
    nested: Trial | None
    provenance: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        d = 3 if self.metric == "lab_curve" else 1
        if not len(self.levels) == len(self.knots) == len(self.noise) + 1:
            raise ValueError("has another number of levels than of knots, or of gaps than of noise")
        if any(a >= b for a, b in zip(self.levels, self.levels[1:], strict=False)):
            raise ValueError("has levels that do not rise")
        rows = [row for noise in self.noise for row in noise]
        own = [len(row) for row in (*self.knots, *rows)] + [len(noise) for noise in self.noise]
        if any(length != d for length in own):
            raise ValueError(f"has a curve of another dimension than {self.metric}")
        if not all(map(_is_covariance, self.noise)):
            raise ValueError("has a noise that is no covariance")
        needed = {"delta_e": self.reference, "hue": self.cut, "lab_hue": self.cut}
        needed |= dict.fromkeys(("pca", "lda", "pls"), self.direction)
        if needed.get(self.metric, True) is None:
            raise ValueError(f"lacks what {self.metric} learned")
        return self


class CalibrationFile(_Saved):
    """calibration.json of a slide.

    Attributes
    ----------
    status
        ``fitted`` to the slide's own calibration spots, ``taken`` from the file that the option
        ``calibration`` names, ``none``: there is none, ``failed``: its spots allow none.
    reason
        Why there is none.
    light
        White and black of this slide.
    calibration
        What gave the values; None: nothing did, they are the metric itself or missing.
    """

    format: Literal["gridwell-colour-calibration/1"] = "gridwell-colour-calibration/1"
    slide: str
    status: Literal["fitted", "taken", "none", "failed"]
    reason: str | None = None
    light: Light
    calibration: Calibration | None = None


def read_calibration(path: Path, shown: str | None = None) -> Calibration:
    """Read the calibration out of a calibration.json.

    Parameters
    ----------
    path
        The file.
    shown
        What problems call it.

    Raises
    ------
    InputError
        If it is no such file, or holds no calibration.
    """
    name = shown or str(path)
    remedy = "Name the calibration.json of a slide whose calibration spots worked"

    def wrong(reason: str, column: str | None = None, value: object = None) -> InputError:
        return InputError(Problem(name, reason, remedy, column=column, value=value))

    try:
        if path.stat().st_size > LARGEST:
            raise wrong(f"is larger than {LARGEST} bytes", value=path.stat().st_size)
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise wrong("does not exist") from None
    except (OSError, ValueError, RecursionError):
        raise wrong("cannot be read as JSON") from None
    try:
        saved = CalibrationFile.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or None
        message = first["msg"].removeprefix("Value error, ")
        raise wrong(f"is no calibration of colours: {message}", where) from None
    if saved.calibration is None:
        raise wrong(f"holds no calibration: {saved.reason or 'its slide had none'}")
    return saved.calibration


def _is_covariance(noise: list[list[float]]) -> bool:
    import numpy as np

    matrix = np.array(noise)
    return bool(np.allclose(matrix, matrix.T) and np.linalg.eigvalsh(matrix).min() > 0)

"""From colours to values: by a calibration, or without one the number asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gridwell.colour.calibrate import (
    apply_calibration,
    fitted_of,
    make_calibration,
    take_calibration,
)
from gridwell.colour.choose import Fitted, fit_metric, named
from gridwell.colour.metrics import PLAIN, UNITS, number, without_calibration
from gridwell.colour.spaces import to_linear
from gridwell.config.colour import too_few_levels
from gridwell.config.colour_calibration import (
    LEARNED,
    LEAST_LEVELS,
    Calibration,
    CalibrationFile,
    Light,
)
from gridwell.config.errors import InputError, Problem
from gridwell.config.models import ColourOptions
from gridwell.config.provenance import Provenance

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

UNCALIBRATED = "delta_e"
"""What ``auto`` is where nothing was calibrated: how far a colour is from white."""


@dataclass(frozen=True)
class Valued:
    """Values of n colours.

    Attributes
    ----------
    metric, unit
        What the numbers are, and the unit of the values.
    number, value, low, high
        The metric and the value with its 95 % interval, shape (n,), NaN where there is none.
    numbers, values
        Columns of colours.parquet: every metric, and the value that each would have given.
    flags
        Words and the colours that they hold for, (n,).
    calibration
        What turned numbers into values.
    """

    metric: str
    unit: str
    number: Floats
    value: Floats
    low: Floats
    high: Floats
    numbers: dict[str, Floats]
    values: dict[str, Floats]
    calibration: CalibrationFile
    flags: dict[str, Bools] = field(default_factory=dict)


def value_colours(
    linear: Floats,
    known: Floats,
    options: ColourOptions,
    *,
    trusted: Bools,
    slide: str,
    light: Light,
    white_saturated: bool = False,
    asked: bool = True,
    layout_name: str = "layout",
    provenance: Provenance | None = None,
) -> Valued:
    """Turn colours into values.

    Parameters
    ----------
    linear
        Colours relative to white, shape (n, 3), NaN where there is none.
    known
        Known values of calibration spots, (n,), NaN for all others.
    options
        Section ``colour`` of the configuration.
    trusted
        Which spots may calibrate, (n,).
    slide, light, provenance
        What the calibration says of its origin.
    white_saturated
        Whether white is at full scale: no calibration of another slide holds then.
    asked
        Whether there are calibration spots, with values or not.
    layout_name
        What messages call the layout.

    Raises
    ------
    InputError
        If the layout has too few levels, the metric needs a calibration and there is none, or the
        one named cannot be used.
    """
    reference = None if options.reference is None else to_linear(np.array(options.reference) / 255)
    fitted: dict[str, Fitted] = {}
    if options.calibration is not None:
        if white_saturated:
            raise InputError(_saturated(slide, options.calibration))
        taken = take_calibration(Path(options.calibration), options, light, slide)
        told = CalibrationFile(status="taken", slide=slide, light=light, calibration=taken)
        fitted[taken.metric] = fitted_of(taken)
    elif asked:
        _check_levels(known, layout_name)
        good = trusted & np.isfinite(known) & np.isfinite(linear).all(axis=1)
        own = (linear[good], known[good])
        try:
            made = make_calibration(
                *own,
                options,
                slide=slide,
                light=light,
                reference=reference,
                provenance=provenance,
            )
        except ValueError as error:
            told = CalibrationFile(status="failed", reason=str(error), slide=slide, light=light)
        else:
            told = CalibrationFile(status="fitted", slide=slide, light=light, calibration=made)
            metrics = [named(trial) for trial in made.trials]
            fitted = {metric: fit_metric(*own, metric, reference) for metric in metrics}
            fitted[made.metric] = fitted_of(made)
    else:
        _check_uncalibrated(options, slide)
        reason = "there are no spots of role calibration, and colour.calibration is empty"
        told = CalibrationFile(status="none", reason=reason, slide=slide, light=light)
    numbers = _numbers(linear, fitted, reference)
    if told.calibration is None:
        return _uncalibrated(linear, options, numbers, told)
    return _calibrated(linear, numbers, _values(linear, fitted), told.calibration, told)


def _numbers(
    linear: Floats, fitted: Mapping[str, Fitted], reference: Floats | None
) -> dict[str, Floats]:
    """Every metric of the colours; learned ones where there is a calibration."""
    learned = {metric: one.learned for metric, one in fitted.items()}
    learned.setdefault("delta_e", without_calibration(reference))
    names = [*PLAIN, *(name for name in learned if name not in PLAIN and name != "lab_curve")]
    plain = without_calibration(reference)
    return {name: number(linear, name, learned.get(name, plain)) for name in names}


def _values(linear: Floats, fitted: Mapping[str, Fitted]) -> dict[str, Floats]:
    """The value that each calibrated metric gives, within its range."""
    values = {}
    for metric, one in fitted.items():
        place = one.place(linear)
        outside = place.beyond | place.off
        values[f"value_{metric}"] = np.where(outside, np.nan, place.value)
    return values


def _calibrated(
    linear: Floats,
    numbers: dict[str, Floats],
    values: dict[str, Floats],
    calibration: Calibration,
    told: CalibrationFile,
) -> Valued:
    found = apply_calibration(calibration, linear)
    metric = calibration.metric
    own = found.value if metric == "lab_curve" else numbers[metric]
    pooled = np.full(len(linear), calibration.pooled)
    return Valued(
        metric=metric,
        unit=calibration.unit,
        number=own,
        value=found.value,
        low=found.low,
        high=found.high,
        numbers=numbers,
        values=values | {f"value_{metric}": found.value},
        calibration=told,
        flags={
            "out_of_range": found.place.beyond,
            "off_curve": found.place.off,
            "calibration_not_monotone": pooled,
            "colourless": _colourless(linear, numbers.get(metric, linear[:, 0])),
        },
    )


def _uncalibrated(
    linear: Floats, options: ColourOptions, numbers: dict[str, Floats], told: CalibrationFile
) -> Valued:
    """Without a calibration the value is the number; where one failed, there is none."""
    metric = options.metric if options.metric in numbers else UNCALIBRATED
    failed = told.status == "failed"
    nothing = np.full(len(linear), np.nan)
    return Valued(
        metric=metric,
        unit="" if failed else UNITS.get(metric, ""),
        number=numbers[metric],
        value=nothing if failed else numbers[metric],
        low=nothing,
        high=nothing,
        numbers=numbers,
        values={},
        calibration=told,
        flags={
            "calibration_failed": np.full(len(linear), failed),
            "colourless": _colourless(linear, numbers[metric]),
        },
    )


def _colourless(linear: Floats, own: Floats) -> Bools:
    return np.isnan(own) & np.isfinite(linear).all(axis=1)


def _check_levels(known: Floats, layout_name: str) -> None:
    levels = np.unique(known[np.isfinite(known)]).tolist()
    if len(levels) < LEAST_LEVELS:
        raise InputError(too_few_levels(layout_name, levels))


def _check_uncalibrated(options: ColourOptions, slide: str) -> None:
    if options.metric not in LEARNED:
        return
    raise InputError(
        Problem(
            "config/config.yaml",
            f"is learned from calibration spots, and slide {slide} has none",
            "Give its layout spots of role calibration, name a colour.calibration, or take another "
            "metric.",
            column="colour.metric",
            value=options.metric,
        )
    )


def _saturated(slide: str, calibration: str) -> Problem:
    return Problem(
        calibration,
        f"cannot be used for slide {slide}, whose background is at full scale: white is not known",
        "Scan it with less exposure, or put calibration spots on it.",
        column="light",
    )

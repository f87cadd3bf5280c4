"""A slide's calibration: made from its own spots or taken from a file, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gridwell.colour.choose import (
    NORMAL,
    Fitted,
    choose_metric,
    choose_nested,
    conformal_scale,
    fit_metric,
    judge,
    leave_levels_out,
    named,
)
from gridwell.colour.curve import Curve, Place
from gridwell.colour.metrics import Learned
from gridwell.config.colour_calibration import (
    LEAST_LEVELS,
    Calibration,
    Light,
    read_calibration,
)
from gridwell.config.errors import InputError, Problem
from gridwell.config.models import ColourOptions
from gridwell.config.provenance import Provenance

Floats = NDArray[np.float64]

MAX_TINT = 0.1
"""How much the tint of white may differ between a calibration and a slide that uses it."""
MAX_BLACK = 0.02
"""The same of black, as a share of full scale."""


@dataclass(frozen=True)
class Values:
    """Calibrated values of n spots, NaN where there is none; what lies beyond is told apart."""

    place: Place
    value: Floats
    low: Floats
    high: Floats


def make_calibration(
    linear: Floats,
    value: Floats,
    options: ColourOptions,
    *,
    slide: str,
    light: Light,
    reference: Floats | None = None,
    provenance: Provenance | None = None,
) -> Calibration:
    """Calibrate with spots of known value.

    Parameters
    ----------
    linear, value
        Colours relative to white, shape (n, 3), and known values (n,), of spots that can be
        trusted.
    options
        Section ``colour`` of the configuration.
    slide, light, provenance
        What the calibration says of its origin.
    reference
        Linear colour (3,) that delta_e is the distance from; None: the lowest level's.

    Raises
    ------
    ValueError
        If there are too few levels, or no metric, or not the one asked for, can be calibrated;
        the message is a sentence.
    """
    if len(np.unique(value)) < LEAST_LEVELS:
        raise ValueError(
            f"fewer than {LEAST_LEVELS} levels of the calibration have a spot that was found and "
            "measured"
        )
    trials = choose_metric(linear, value, reference)
    if options.metric == "auto" and not trials:
        raise ValueError("no metric of the colours follows the levels of the calibration")
    chosen = options.metric == "auto"
    metric = named(trials[0]) if options.metric == "auto" else options.metric
    try:
        fitted = fit_metric(linear, value, metric, reference)
    except ValueError as error:
        raise ValueError(f"the metric {metric} {error}") from None
    left_out = [leave_levels_out(linear, value, fitted, reference)]
    if chosen:  # the choice may go wrong as well, and intervals know it
        left_out.append(choose_nested(linear, value, reference))
    scales = [conformal_scale(value, predicted) for predicted in left_out]
    curve, learned = fitted.curve, fitted.learned
    return Calibration(
        slide=slide,
        unit=options.unit,
        metric=metric,
        **learned.model_dump(),
        levels=_digits(curve.levels),
        knots=[_digits(knot) for knot in curve.knots],
        noise=[[_digits(row) for row in noise] for noise in curve.noise],
        scale=max((scale for scale in scales if scale is not None), default=None),
        pooled=curve.pooled,
        spots=len(value),
        inner=options.inner,
        light=light,
        chosen=chosen,
        # In the order of their names: two that do equally well may change places.
        trials=sorted(trials, key=lambda trial: trial.metric),
        nested=judge("auto", value, left_out[1]) if chosen else None,
        provenance=provenance,
    )


def take_calibration(path: Path, options: ColourOptions, light: Light, slide: str) -> Calibration:
    """Take the calibration that another study made, if it holds for this slide.

    Raises
    ------
    InputError
        If the file is no calibration, contradicts the options, or white and black differ between
        the two slides by more than `ColourOptions.max_drift` and its companions allow.
    """
    name = str(options.calibration)
    taken = read_calibration(path, name)
    problems = [*_contradictions(taken, options), *_drift(taken, options, light, slide)]
    if problems:
        raise InputError(problems)
    return taken


def fitted_of(calibration: Calibration) -> Fitted:
    """Metric and curve of a calibration."""
    learned = Learned(
        reference=calibration.reference, direction=calibration.direction, cut=calibration.cut
    )
    noise = np.array(calibration.noise)
    levels, knots = np.array(calibration.levels), np.array(calibration.knots)
    return Fitted(calibration.metric, learned, Curve(levels, knots, noise, noise, knots[:0]))


def apply_calibration(calibration: Calibration, linear: Floats) -> Values:
    """Values of colours (n, 3) relative to white, with 95 % intervals within the range."""
    fitted = fitted_of(calibration)
    scale = calibration.scale
    place = fitted.place(linear, scale=1.0 if scale is None else scale / NORMAL)
    outside = place.beyond | place.off
    value = np.where(outside, np.nan, place.value)
    half = place.sd * (np.nan if scale is None else scale)
    low, high = calibration.levels[0], calibration.levels[-1]
    return Values(place, value, np.maximum(value - half, low), np.minimum(value + half, high))


def _contradictions(taken: Calibration, options: ColourOptions) -> list[Problem]:
    """Options that say otherwise than a calibration."""
    given: dict[str, tuple[object, object]] = {
        "metric": (options.metric, taken.metric),
        "unit": (options.unit, taken.unit),
        "inner": (options.inner, taken.inner),
    }
    free = {"metric": "auto", "unit": ""}
    return [
        Problem(
            "config/config.yaml",
            f"is not that of the calibration {options.calibration}, which has {there!r}",
            f"Write {there!r}, or leave out the calibration.",
            column=f"colour.{name}",
            value=here,
        )
        for name, (here, there) in given.items()
        if here not in (there, free.get(name))
    ]


def _drift(taken: Calibration, options: ColourOptions, light: Light, slide: str) -> list[Problem]:
    """What differs between the light of a calibration and that of a slide."""
    name, then = str(options.calibration), taken.light

    def problem(reason: str, remedy: str, value: object) -> Problem:
        return Problem(name, reason, remedy, column="light", value=value)

    again = "Scan both in the same way, or put calibration spots on this slide."
    if then.source != light.source or then.chart != light.chart:
        seen = [f"{one.source}{' and a chart' if one.chart else ''}" for one in (then, light)]
        return [
            problem(
                f"took white from {seen[0]}, and slide {slide} from {seen[1]}",
                f"Give both the same references. {again}",
                light.source,
            )
        ]
    ratio = np.array(light.white) / np.array(then.white)
    tint = ratio / ratio.mean()
    black = np.abs(np.array(light.black) - np.array(then.black))
    problems = []
    if then.source == "none":
        problems.append(
            problem(
                f"has no white to compare slide {slide} with, so that drift would not be seen",
                "Give both a white patch, blank spots or a light background.",
                then.source,
            )
        )
    elif abs(ratio.mean() - 1) > options.max_drift:
        reason = f"was made when white was {1 / ratio.mean():.2f} times as bright as on {slide}"
        problems.append(problem(reason, again, _shown(light.white)))
    elif np.abs(tint - 1).max() > MAX_TINT:
        reason = f"was made in light of another colour than that of {slide}: red, green and blue "
        reason += f"of white are {', '.join(f'{v:.2f}' for v in ratio)} times what they were"
        problems.append(problem(reason, again, _shown(light.white)))
    if black.max() > MAX_BLACK:
        reason = (
            f"was made when black was {black.max():.2f} of full scale away from that of {slide}"
        )
        problems.append(problem(reason, again, _shown(light.black)))
    return problems


def _shown(colour: tuple[float, float, float]) -> list[float]:
    return [round(value, 4) for value in colour]


def _digits(values: Floats) -> list[float]:
    """Numbers of ten digits: more are noise."""
    return [float(f"{value:.10g}") for value in values]

"""What was done, in sentences for a methods section, and the options it was done with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from gridwell import __version__
from gridwell.config.models import Config, SegmentOptions

_SECTIONS = {
    "viability": ("grid", "spots", "segment", "fuse", "report"),
    "objects": ("grid", "spots", "segment", "report"),
    "colorimetry": ("grid", "spots", "colour", "report"),
    "screen": ("screen",),
}
_THRESHOLD = "after illumination correction, by a {} threshold and a watershed"
_FOUND_BY = {
    "network": "by a U-Net (Ronneberger et al. 2015) that draws the distance within a cell and the "
    "nearness of the next one (after Scherr et al. 2020), and one watershed over its maps",
    "auto": "by the method that agreed best with the others on some spots of the slide",
    "otsu": _THRESHOLD.format("global (Otsu 1979)"),
    "local": _THRESHOLD.format("local"),
    "percentile": _THRESHOLD.format("percentile"),
    "top_hat": _THRESHOLD.format("top-hat"),
    "difference_of_gaussians": _THRESHOLD.format("difference-of-Gaussians"),
    "pixel_classifier": "by a random forest that classifies pixels, and a watershed",
    "none": "not at all: they were measured under the objects of other channels",
}


def slide_methods(assay: str, config: Config | None) -> list[str]:
    """Sentences about one slide."""
    said = [
        f"Images were analysed with gridwell {__version__}. The grid of spots was located on a "
        "reduced image of the grid channel by fitting a lattice to candidate spots; every grid "
        "position has a row here, found or not. Spots were cut out with the slide's rotation "
        "removed."
    ]
    if assay == "colorimetry":
        metric = f" as {config.colour.metric}" if config else ""
        said.append(
            f"The colour of each spot was averaged over its inside and made a number{metric}; "
            "where the layout names known values, the number was calibrated with them."
        )
        return said
    said.append(_segmentation(config))
    if assay == "viability":
        said.append(
            f"{_matching(config)} A nucleus is live (live stain only), dying (both), dead (dead "
            "stain only) or inactive (neither). Viability is live / all nuclei; viability of "
            "stained cells is live / (live + dying + dead). Intervals are 95 %. A spot without "
            "cells has no viability, not one of 0."
        )
    return said


def _matching(config: Config | None) -> str:
    """How nuclei were matched with stained bodies."""
    method = config.fuse.method if config else "posterior"
    if method == "knn":
        return "Nuclei were matched with the nearest live- and dead-stained body within a gate."
    if method == "overlap":
        return "Nuclei were matched with the live- and dead-stained body that covers most of them."
    return (
        "Channels were registered by a shift for each spot, smoothed over the slide. Nuclei were "
        "matched one to one with live- and dead-stained bodies; the match and the stain's "
        "intensity under the nucleus together gave the probability of each state."
    )


def _segmentation(config: Config | None) -> str:
    """How objects were found, channels with a method of their own named."""
    options = config.segment if config else SegmentOptions()
    by = {name: _FOUND_BY[method.method] for name, method in options.channels.items()}
    default = _FOUND_BY[options.default.method]
    own = "".join(f"; in channel {name} {how}" for name, how in by.items() if how != default)
    return (
        f"Objects were segmented in each channel {default}{own}. Size, shape and intensity were "
        "measured for each object."
    )


def screen_methods(config: Config | None) -> list[str]:
    """Sentences about a screen."""
    how = {
        "percent_of_control": "Values are per cent of the median of the slide's negative controls.",
        "percent_inhibition": "Values are per cent inhibition: 0 at the negative, 100 at the "
        "positive controls of the slide.",
        "none": "Values are as measured, not normalised.",
    }
    level = f"{100 * config.screen.interval:g} %" if config else "95 %"
    curves = config.screen.curves if config else ("flat", "4pl")
    by = "AICc" if config and config.screen.choose == "aicc" else "F-test"
    candidates = f"{', '.join(curves)}; chosen by {by}" if len(curves) > 1 else curves[0]
    said = [f"Spots were joined with their layouts and analysed with gridwell {__version__}."]
    if config:
        said.append(how[config.screen.normalise])
    said.append(
        f"Dose-response curves are log-logistic, per group and agent ({candidates}): shares of "
        "cells or objects are fitted by beta-binomial likelihood, other numbers by least squares; "
        f"intervals are profile-likelihood intervals, {level}. Dose 0 is a control, not a small "
        "dose. An EC50 outside the tested doses is reported as a bound, not as a number. "
        "Z′ = 1 − 3 (sd₊ + sd₋) / |mean₊ − mean₋| (Zhang et al. 1999); the robust Z′ uses medians "
        "and MADs; SSMD = "
        "(mean₋ − mean₊) / √(sd₊² + sd₋²) (Zhang 2007); + and − stand for the positive and the "
        "negative controls."
    )
    said.append(
        "Places on the slide were compared within spots of the same agent and dose (rim, rows, "
        "columns, Moran’s I with permutations). A plane or a quadratic surface through the "
        "negative controls was taken off, as a factor, only where leave-one-out prediction of the "
        "controls proves it better than their mean (permutations, p < 0.03)."
        if config is None or config.screen.correct == "auto"
        else "Places on the slide were compared within spots of the same agent and dose (rim, "
        "rows, columns, Moran’s I with permutations); no gradient was taken off."
    )
    said.append(
        "Slides of a group share a curve; where they differ by more than the scatter of their "
        "spots, the intervals of EC50 and IC50 are widened by that. EC50s are pooled over groups "
        "as random effects (Paule and Mandel 1982; Hartung and Knapp 2001). "
        "Selective drug sensitivity scores are differences from the median of the other groups "
        "(Yadav et al. 2014). Combinations are compared with Bliss independence and the highest "
        "single agent. Growth rates are those of Hafner et al. (2016)."
    )
    return said


def options_used(config: Config | None, part: str) -> list[tuple[str, str, str]]:
    """Every option that bears on this report: name, value, meaning."""
    if config is None:
        return []
    rows: list[tuple[str, str, str]] = []
    for section in _SECTIONS[part]:
        rows += _walk(section, getattr(config, section))
    return rows


def _walk(path: str, options: BaseModel) -> Iterator[tuple[str, str, str]]:
    for name, facts in type(options).model_fields.items():
        value = getattr(options, name)
        if isinstance(value, BaseModel):
            yield from _walk(f"{path}.{name}", value)
        elif isinstance(value, dict):
            for key, inner in value.items():
                if isinstance(inner, BaseModel):
                    yield from _walk(f"{path}.{name}.{key}", inner)
        else:
            yield f"{path}.{name}", _written(value), facts.description or ""


def _written(value: Any) -> str:
    if value is None:
        return "(empty)"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)

"""What was done, in sentences for a methods section, and the options it was done with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import Any

from pydantic import BaseModel

from gridwell import __version__
from gridwell.config.models import Config
from gridwell.config.provenance import Provenance
from gridwell.report import words

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


# Libraries that numbers depend on; those with other versions on a GPU stand in the record.
_LIBRARIES = ("numpy", "scipy", "pandas", "scikit-image", "opencv-python-headless", "zarr")


def slide_methods(
    assay: str,
    config: Config | None,
    provenance: Provenance | None = None,
    channels: Sequence[str] | None = None,
) -> list[str]:
    """Paragraphs about one slide, ready for a paper; `channels`: of the slide, None: any."""
    own = config or Config()
    said = [
        f"{_software(provenance)} Raw images were copied with their SHA-256 and tiled into "
        "OME-Zarr (Moore et al. 2021). The grid of spots was located "
        f"{_elements(own)} and a lattice fitted through them, on the channel of the grid reduced "
        f"to at most {own.grid.max_side} pixels a "
        "side; a grid of a confidence below "
        f"{own.grid.min_confidence:g} stops the analysis until a person has looked. Every grid "
        "position has a row here, found or not. Spots were cut out with the slide's rotation "
        "removed."
    ]
    if assay == "colorimetry":
        metric = "" if own.colour.metric == "auto" else f" ({own.colour.metric})"
        said.append(
            f"The colour of each spot was averaged over the inner {100 * own.colour.inner:g} % of "
            f"its width, in linear light against the white of the slide, and made one number"
            f"{metric}; where the layout names known values, the number was calibrated with them."
        )
    else:
        said.append(_segmentation(own, provenance, channels))
    if assay == "viability":
        said.append(
            f"{_matching(own)} A nucleus is live (live stain only), dying (both), dead (dead "
            "stain only) or inactive (neither). Viability is live / all nuclei; viability of "
            "stained cells is live / (live + dying + dead). Intervals are 95 % (Wilson 1927), "
            "widened for cells whose state is in doubt. A spot without cells has no viability, not "
            "one of 0; spots of fewer than "
            f"{own.fuse.min_cells} nuclei are flagged."
        )
    said.append(_controls())
    return said


def _software(provenance: Provenance | None) -> str:
    """Name program, versions and commit."""
    versions = []
    for name in _LIBRARIES:
        try:
            versions.append(f"{name.removesuffix('-python-headless')} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    commit = provenance["code"].get("commit") if provenance else None
    at = f", commit {commit[:12]}{'+changes' if '+' in commit else ''}" if commit else ""
    return (
        f"Images were analysed with gridwell {__version__}{at}, a workflow in Snakemake (Mölder et "
        f"al. 2021) with {words.join(versions)}."
    )


def _elements(config: Config) -> str:
    if config.grid.elements == "network":
        return "by a small U-Net that marks candidate spots (network grid-elements)"
    return "by filters that mark candidate spots"


def _controls() -> str:
    return (
        "Controls were compared by Z′ = 1 − 3 (sd₊ + sd₋) / |mean₊ − mean₋| (Zhang et al. 1999), "
        "by its robust form with medians and MADs, and by SSMD = (mean₋ − mean₊) / √(sd₊² + sd₋²) "
        "(Zhang 2007); + and − stand for the positive and the negative controls. Neighbouring "
        "spots of the same agent and dose were compared by Moran’s I (Moran 1950) with "
        "permutations."
    )


def _matching(config: Config) -> str:
    """How nuclei were matched with stained bodies."""
    gate = f"{config.fuse.gate:g} times the sum of both radii"
    if config.fuse.method == "knn":
        return "Nuclei were matched with the nearest live- and dead-stained body within a gate."
    if config.fuse.method == "overlap":
        return "Nuclei were matched with the live- and dead-stained body that covers most of them."
    return (
        "Channels were registered by a shift for each spot of at most "
        f"{config.fuse.max_shift:g} pixels, smoothed over the slide. Nuclei were matched one to "
        f"one with live- and dead-stained bodies within {gate}; the match and the stain's "
        "intensity under the nucleus together gave the probability of each state. A cell whose "
        f"probability lies between {config.fuse.ambiguous:g} and {1 - config.fuse.ambiguous:g} "
        "is counted as ambiguous."
    )


def _segmentation(
    config: Config, provenance: Provenance | None, channels: Sequence[str] | None
) -> str:
    """How objects were found, by which networks, channels with a method of their own named."""
    options = config.segment
    by = {
        name: _FOUND_BY[method.method]
        for name, method in options.channels.items()
        if channels is None or name in channels
    }
    default = _FOUND_BY[options.default.method]
    own = "".join(f"; in channel {name} {how}" for name, how in by.items() if how != default)
    models = provenance["models"] if provenance else {}
    named = [f"{name} (SHA-256 {digest[:12]}…)" for name, digest in models.items()]
    networks = f" Networks, by name and weights: {words.join(named)}." if named else ""
    return (
        f"Objects were segmented in each channel {default}{own}. Size, shape and intensity were "
        f"measured for each object.{networks}"
    )


def screen_methods(config: Config | None, provenance: Provenance | None = None) -> list[str]:
    """Paragraphs about a screen, ready for a paper."""
    own = config or Config()
    how = {
        "percent_of_control": "Values are per cent of the median of the slide's negative controls.",
        "percent_inhibition": "Values are per cent inhibition: 0 at the negative, 100 at the "
        "positive controls of the slide.",
        "none": "Values are as measured, not normalised.",
    }
    curves = own.screen.curves
    by = "AICc" if own.screen.choose == "aicc" else "F-test"
    candidates = f"{', '.join(curves)}; chosen by {by}" if len(curves) > 1 else curves[0]
    spots = "Spots were joined with their layouts."
    said = [
        f"{_software(provenance)} {spots} {how[own.screen.normalise] if config else ''}".strip()
    ]
    said.append(
        f"Dose-response curves are log-logistic, per group and agent ({candidates}), for agents "
        f"with at least {own.screen.min_doses} doses: shares of cells or objects are fitted by "
        "beta-binomial likelihood, other numbers by least squares; intervals are "
        f"profile-likelihood intervals, {100 * own.screen.interval:g} %. Dose 0 is a control, not "
        "a small dose. An EC50 outside the tested doses is reported as a bound, not as a number. "
        "Agents are ranked by the drug sensitivity score (Yadav et al. 2014). " + _controls()
    )
    said.append(
        "Places on the slide were compared within spots of the same agent and dose (rim, rows, "
        "columns). A plane or a quadratic surface through the negative controls was taken off, as "
        "a factor, only where leave-one-out prediction of the controls proves it better than "
        "their mean (permutations, p < 0.03)."
        if own.screen.correct == "auto"
        else "Places on the slide were compared within spots of the same agent and dose (rim, "
        "rows, columns); no gradient was taken off."
    )
    said.append(
        "Slides of a group share a curve; where they differ by more than the scatter of their "
        "spots, the intervals of EC50 and IC50 are widened by that; pairs of slides are compared "
        "by concordance (Lin 1989). EC50s are pooled over groups as random effects (Paule and "
        "Mandel 1982; Hartung and Knapp 2001). Selective drug sensitivity scores are differences "
        "from the median of the other groups (Yadav et al. 2014). Combinations are compared with "
        "Bliss independence (Bliss 1939) and the highest single agent. Growth rates are those of "
        "Hafner et al. 2016."
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

"""What config/ says that bears on a result: the options of the stages it passed through."""

from __future__ import annotations

from typing import Any, Literal

from gridwell.config.hashes import content_hash
from gridwell.config.models import Assay, SpotRole
from gridwell.config.study import Study

Stage = Literal["segment", "spots", "report"]

_CONTROLS = (SpotRole.NEG_CTRL.value, SpotRole.POS_CTRL.value)


def controls_of(study: Study, slide: str) -> dict[str, str]:
    """Role of each control spot of a slide's layout: they tell what stained cells look like."""
    spots = _spots_by_role(study, slide)
    return dict(sorted((spot, role) for role in _CONTROLS for spot in spots.get(role, [])))


def empty_spots_of(study: Study, slide: str) -> list[str]:
    """Spots that stay empty by a slide's layout: they tell which way up the slide lies."""
    return list(_spots_by_role(study, slide).get(SpotRole.EMPTY.value, []))


def _spots_by_role(study: Study, slide: str) -> dict[str, list[str]]:
    return study.spots_by_role.get(study.slides[slide].layout or "", {})


def override_of(study: Study, slide: str) -> dict[str, Any] | None:
    """What people know of a slide's grid."""
    override = study.overrides.get(slide)
    return override.model_dump(mode="json") if override else None


def carrier_of(study: Study, slide: str) -> dict[str, Any] | None:
    """A slide's carrier."""
    name = study.slides[slide].carrier
    return study.carriers[name].model_dump(mode="json") if name else None


def slide_settings(study: Study, slide: str, stage: Stage) -> dict[str, Any]:
    """All that bears on a slide's results up to a stage.

    Parameters
    ----------
    study, slide
        The study and the name of the slide.
    stage
        ``segment``: objects of each channel. ``spots``: spots.csv and cells.parquet.
        ``report``: the slide's report, which shows the whole configuration.

    Returns
    -------
    settings
        Plain data. Where files lie and how they are copied is no part of it, nor is what the
        rules of other stages and other assays take.
    """
    config, assay = study.options, study.slides[slide].assay
    settings = {
        "gpu": config["gpu"],
        **{section: config[section] for section in ("tile", "grid", "spots")},
        "channels": [
            channel.model_dump(mode="json", exclude={"path"}) for channel in study.channels[slide]
        ],
        "carrier": carrier_of(study, slide),
        "override": override_of(study, slide),
        "empty": empty_spots_of(study, slide),
    }
    if assay is not Assay.COLORIMETRY:
        settings |= {"segment": config["segment"], "precision": config["precision"]}
    if stage == "segment":
        return settings
    if assay is Assay.VIABILITY:
        settings |= {"fuse": config["fuse"], "controls": controls_of(study, slide)}
    elif assay is Assay.OBJECTS:
        settings |= {"min_cells": config["fuse"]["min_cells"]}
    else:
        settings |= {"colour": _colour(study), "layout": _layout(study, slide)}
    if stage == "report":
        row = study.slides[slide].model_dump(mode="json")
        settings |= {"slide": row, "layout": _layout(study, slide), "config": _shown(config)}
    return settings


def screen_settings(study: Study, *, report: bool = False) -> dict[str, Any]:
    """All that bears on the tables of the screen, or on its report."""
    config = study.options
    return {
        "slides": {name: slide_settings(study, name, "spots") for name in study.slides},
        "rows": [slide.model_dump(mode="json") for slide in study.slides.values()],
        "layouts": {name: _layout(study, name) for name in study.slides},
        **({"config": _shown(config)} if report else {"screen": config["screen"]}),
    }


def _colour(study: Study) -> dict[str, Any]:
    """Options of colorimetry; of a calibration what it says, not where it lies."""
    options = dict(study.options["colour"])
    if study.config.colour.calibration is not None:
        options["calibration"] = content_hash(study.root / study.config.colour.calibration)
    return options


def _layout(study: Study, slide: str) -> str | None:
    return study.layout_texts.get(study.slides[slide].layout or "")


def _shown(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration as reports take it: how images were brought in does not show."""
    return {name: value for name, value in config.items() if name != "ingest"}

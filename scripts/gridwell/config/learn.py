"""What is right in each option of a network to be trained and wrong across them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gridwell.config.draft import CHANNELS, SLIDES, Draft
from gridwell.config.explain import suggest
from gridwell.config.models import MODEL_PATTERN, Config, LearnModel, SegmentMethod
from gridwell.config.weights import MODELS, own_model, shipped

ANNOTATIONS = "annotations"
"""Folder of labels that people corrected, one folder a channel."""


def check_learn(draft: Draft, config: Config) -> None:
    """Add the mistakes of the section ``learn`` to the draft."""
    for name, model in config.learn.items():
        told = _Told(draft, name)
        if not re.fullmatch(MODEL_PATTERN, name):
            told.wrong((), "cannot be used as a name", "Use letters, digits, _ and -.", name)
        _check_origin(told, model)
        _check_classes(told, model)
        _check_slides(told, model)
        _check_start(told, name, config.learn)


class _Told:
    """Mistakes of one network's options."""

    def __init__(self, draft: Draft, name: str) -> None:
        self.draft, self.name = draft, name

    def wrong(self, keys: tuple[str, ...], reason: str, remedy: str, value: object) -> None:
        self.draft.wrong_option(("learn", self.name, *keys), reason, remedy, value)


def _check_origin(told: _Told, model: LearnModel) -> None:
    """Where images and labels come from."""
    if model.labels == "folder":
        if not model.folder:
            told.wrong(("folder",), "is missing", "Name the folder of the data set.", None)
        for key in ("channels", "slides"):
            if getattr(model, key):
                remedy = "Delete it; a folder holds what is learned from."
                told.wrong((key,), "does not go with labels: folder", remedy, None)
        return
    if model.folder:
        remedy = "Delete it, or write labels: folder."
        told.wrong(("folder",), f"does not go with labels: {model.labels}", remedy, model.folder)
    if not model.channels:
        remedy = f"Name the channels that the network is shown, as in {CHANNELS}."
        told.wrong(("channels",), "is missing", remedy, None)
    if model.labels != "corrected" and model.teacher.method == "none":
        remedy = "Choose a method that finds objects."
        told.wrong(("teacher", "method"), "teaches nothing", remedy, "none")
    if model.labels != "corrected" and _lacks_weights(model.teacher):
        remedy = "Name them, as weights: models/<name>, or nuclei."
        told.wrong(("teacher", "weights"), "is missing", remedy, None)
    known = list(dict.fromkeys(channel.channel for _, channel in told.draft.channels.items))
    if not told.draft.channels.readable or told.draft.lines_with_problems(CHANNELS):
        return
    for channel in model.channels:
        if channel not in known:
            remedy = suggest(channel, known, "channels")
            told.wrong(("channels",), f"is no channel of {CHANNELS}", remedy, channel)


def _lacks_weights(method: SegmentMethod) -> bool:
    return method.method in ("network", "pixel_classifier") and method.weights is None


def _check_classes(told: _Told, model: LearnModel) -> None:
    if model.kind == "instance":
        if model.classes:
            remedy = "Delete it, or write kind: semantic."
            told.wrong(("classes",), "does not go with kind: instance", remedy, None)
        return
    if model.pretrain != "none":
        remedy = "Delete it: simulated fields have objects and no classes."
        told.wrong(("pretrain",), "does not go with kind: semantic", remedy, model.pretrain)
    if len(set(model.classes)) != len(model.classes):
        remedy = "Give each class a name of its own."
        told.wrong(("classes",), "names a class twice", remedy, ", ".join(model.classes))
    taught = model.labels in ("teacher", "both")
    if taught and model.classes and len(model.classes) != len(model.channels) + 1:
        remedy = "Name background and one class for each channel, or leave classes out."
        told.wrong(("classes",), "does not fit the channels", remedy, ", ".join(model.classes))
    if not taught and len(model.classes) < 2:
        remedy = "Name them all, background first, as [background, cell]."
        told.wrong(("classes",), "is missing", remedy, None)


def _check_slides(told: _Told, model: LearnModel) -> None:
    both = sorted({*model.validation_slides} & {*model.test_slides})
    if both:
        remedy = "Name a slide for one of the two only."
        told.wrong(("test_slides",), "names slides of validation_slides", remedy, ", ".join(both))
    draft = told.draft
    if model.labels == "folder" or not draft.slides.readable:
        return
    known = draft.slide_names()
    for key in ("slides", "validation_slides", "test_slides"):
        for slide in getattr(model, key):
            if slide not in known:
                told.wrong((key,), f"is no slide of {SLIDES}", suggest(slide, known), slide)
            elif key != "slides" and model.slides and slide not in model.slides:
                told.wrong((key,), "names a slide that slides does not", "Add it there.", slide)
    if draft.lines_with_problems(CHANNELS) or not model.channels:
        return
    having = {
        slide: {*model.channels} <= {channel.channel for _, channel in draft.channels_of(slide)}
        for slide in known
    }
    for slide in model.slides:
        if not having.get(slide, True):
            remedy = "Name slides that have all of the channels."
            told.wrong(("slides",), "does not have the channels", remedy, slide)
    used = {channel.channel for _, channel in draft.channels.items}
    if {*model.channels} <= used and not any(having.values()):
        remedy = "Name channels that one slide has together."
        told.wrong(("channels",), "are on no slide together", remedy, ", ".join(model.channels))


def _check_start(told: _Told, name: str, models: Mapping[str, LearnModel]) -> None:
    start = models[name].start
    if name in _before(name, models):
        remedy = "Begin with a network that does not go on or learn from this one."
        told.wrong(("start",), "leads back to itself", remedy, start)
        return
    if start is None:
        return
    if models[name].pretrain != "none":
        remedy = "Choose one of the two."
        told.wrong(("start",), "does not go with pretrain", remedy, start)
    is_file = start.endswith(".safetensors")
    if not is_file and (start.startswith(f"{MODELS}/") or "/" not in start):
        known = [*(f"{MODELS}/{other}" for other in models if other != name), *shipped()]
        if own_model(start, models) is None and start not in shipped():
            told.wrong(("start",), "is no known network", suggest(start, known, "networks"), start)


def _before(name: str, models: Mapping[str, LearnModel]) -> set[str]:
    """All networks of the study that must be there before the network `name`."""
    found: set[str] = set()
    todo = [name]
    while todo:
        new = {*needed(models[todo.pop()], models)} - found
        found |= new
        todo += new
    return found


def needed(model: LearnModel, models: Mapping[str, LearnModel]) -> list[str]:
    """Networks of the study that a network goes on from or has for a teacher."""
    said = [model.start]
    if model.labels in ("teacher", "both") and model.teacher.method == "network":
        said.append(model.teacher.weights)
    own = [own_model(one, models) for one in said]
    return [one for one in own if one is not None]


def class_names(model: LearnModel) -> tuple[str, ...]:
    """Classes of a semantic network, background first; none of one for instances."""
    if model.kind == "instance":
        return ()
    return model.classes or ("background", *model.channels)

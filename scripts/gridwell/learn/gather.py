"""From slides and corrected labels to the data set that a network learns from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gridwell.cells.instances import slide_brightness
from gridwell.config.errors import InputError, Problem
from gridwell.config.learn import class_names
from gridwell.config.models import LearnModel, SegmentMethod
from gridwell.images.spots import SpotStack, open_spots
from gridwell.learn.dataset import Facts, Item, Levels, Split, read_dataset, write_dataset
from gridwell.learn.examples import Example
from gridwell.learn.split import split_sources
from gridwell.learn.teach import classes_of, doubtful, settled_teacher, teach
from gridwell.network.cells import Brightness
from gridwell.segment.auto import Sample

# Spots that methods are tried on where the teacher is chosen by measurement.
_TRIED = 8


def gather_examples(
    out: Path,
    model: LearnModel,
    *,
    spots: Mapping[str, Path],
    labelled: Path | None,
    known: Mapping[str, Split] | None = None,
) -> None:
    """Write the data set of a network.

    Where corrected labels are on a side of the split, validation and test are on them alone: what
    a teacher drew tells how well a network agrees with it, not how good the network is.

    Parameters
    ----------
    out
        Folder to write, see `gridwell.learn.dataset`.
    model
        What the study says of the network.
    spots
        ``spots.zarr`` of each slide.
    labelled
        Folder of corrected labels, or of the data set that the model names; None: there is none.
    known
        Sides on which sources were when the first weights were trained.

    Raises
    ------
    InputError
        If labels are missing or wrong, the split cannot be made, or the teacher finds nothing.
    """
    instance = model.kind == "instance"
    given = (
        read_dataset(labelled, instance=instance, classes=len(class_names(model)))
        if labelled is not None
        else []
    )
    stacks = {slide: open_spots(path) for slide, path in spots.items()}
    _check_gray(stacks, model.channels)
    taught = stacks if model.labels in ("teacher", "both") else {}
    named: dict[str, Split] = dict.fromkeys(model.validation_slides, "validation")
    named |= dict.fromkeys(model.test_slides, "test")
    decided = {item.example.source: item.split for item in given if item.split is not None}
    split = split_sources(
        [*taught, *(item.example.source for item in given)],
        validation=model.validation,
        test=model.test,
        known={**(known or {}), **decided},
        named=named,
    )
    seen = {slide: _brightness(stack, model) for slide, stack in stacks.items()}
    levels: Levels = {s: [(one.base, one.span) for one in own] for s, own in seen.items()}
    teacher, reason = _teacher(model, taught)
    # A network that the teacher alone teaches sees what it saw before somebody corrected it.
    corrected = {
        item.example.name
        for item in given
        if model.labels != "teacher" or split[item.example.source] != "train"
    }
    weak = _taught(model.model_copy(update={"teacher": teacher}), taught, corrected, seen)
    items = [replace(item, split=split[item.example.source]) for item in (*given, *weak)]
    items, notes = _chosen(items, model)
    _check_enough(items, model)
    notes += [f"The teacher was chosen by measurement: {reason}"] if reason else []
    # The choice alone: what else was settled holds paths of this machine.
    chosen = model.teacher.model_copy(update={"method": teacher.method})
    plain = chosen.model_dump(mode="json") if taught else None
    write_dataset(out, items, facts=Facts(levels, [*notes, *_split_notes(items)], plain))


def _check_gray(stacks: Mapping[str, SpotStack], channels: Sequence[str]) -> None:
    problems = [
        Problem(
            "config/config.yaml",
            f"channel {entry['channel']} of slide {slide} is a colour image",
            "Name gray channels.",
            column="learn",
        )
        for slide, stack in stacks.items()
        for entry in stack.channels
        if entry["channel"] in channels and entry["samples"] != 1
    ]
    if problems:
        raise InputError(problems)


def _brightness(stack: SpotStack, model: LearnModel) -> list[Brightness]:
    return [slide_brightness(stack, channel) for channel in model.channels]


def _teacher(model: LearnModel, stacks: Mapping[str, SpotStack]) -> tuple[SegmentMethod, str]:
    """The method that teaches, and why where it was chosen by measurement."""

    def samples() -> list[Sample]:
        share = -(-_TRIED // len(stacks))
        found = []
        for slide, stack in sorted(stacks.items()):
            for index in _choose(stack, slide, share, model.seed):
                image = stack.read(model.channels[0], index, index + 1)[0]
                found.append(Sample(image, stack.frame.mask(*image.shape)))
        return found[:_TRIED]

    return settled_teacher(model.teacher, samples) if stacks else (model.teacher, "")


def _taught(
    model: LearnModel,
    stacks: Mapping[str, SpotStack],
    corrected: set[str],
    seen: Mapping[str, list[Brightness]],
) -> list[Item]:
    """Examples that the teacher labels, for spots that nobody corrected."""
    weight = model.teacher_weight if model.labels == "both" else 1.0
    items = []
    for at, (slide, stack) in enumerate(sorted(stacks.items())):
        share = model.crops // len(stacks) + (at < model.crops % len(stacks))
        examples = []
        for index in _choose(stack, slide, share, model.seed):
            name = f"{slide}.{stack.names[index]}"
            if name in corrected:
                continue
            image = np.concatenate([stack.read(c, index, index + 1) for c in model.channels])
            labels = [
                teach(one, model.teacher, stack.frame, level)
                for one, level in zip(image, seen[slide], strict=True)
            ]
            examples.append((name, image, labels))
        items += _items(slide, examples, model, weight)
    return items


def _choose(stack: SpotStack, slide: str, count: int, seed: int) -> list[int]:
    """Draw spots of a slide that were found and lie wholly in the image."""
    whole = [
        index
        for index, good in enumerate(zip(stack.frame.found, stack.inside, strict=True))
        if all(good)
    ]
    named = int.from_bytes(hashlib.sha256(slide.encode()).digest()[:8])
    drawn = np.random.default_rng([seed, named]).permutation(whole)
    return sorted(int(index) for index in drawn[:count])


def _items(
    slide: str,
    examples: Sequence[tuple[str, npt.NDArray[Any], list[npt.NDArray[np.int32]]]],
    model: LearnModel,
    weight: float,
) -> list[Item]:
    """Turn a slide's taught spots into examples; what is doubtful is known of the slide."""
    if model.suspicious == "ignore":
        for channel in range(len(model.channels)):
            cleaned = doubtful([labels[channel] for _, _, labels in examples])
            for (_, _, labels), own in zip(examples, cleaned, strict=True):
                labels[channel] = own
    items = []
    for name, image, labels in examples:
        example = Example(name, slide, image.astype(np.float32), weight=weight)
        if model.kind == "instance":
            example = replace(example, labels=labels[0])
        else:
            example = replace(example, classes=classes_of(labels))
        items.append(Item(example, kind="weak"))
    return items


def _chosen(items: list[Item], model: LearnModel) -> tuple[list[Item], list[str]]:
    """Leave out what does not serve: corrected labels in teaching, weak ones beside corrected."""
    notes = []
    if model.labels == "teacher":
        unused = [one for one in items if (one.kind, one.split) == ("corrected", "train")]
        items = [one for one in items if (one.kind, one.split) != ("corrected", "train")]
        if unused:
            sources = ", ".join(sorted({one.example.source for one in unused}))
            notes.append(
                f"{len(unused)} corrected images of {sources} are not used: the network learns "
                "from the teacher on these sources. Name them in test_slides to measure on them."
            )
    for side in ("validation", "test"):
        own = [one for one in items if one.split == side]
        if any(one.kind == "corrected" for one in own):
            weak = {one.example.name for one in own if one.kind == "weak"}
            items = [one for one in items if one.example.name not in weak]
    return sorted(items, key=lambda one: one.example.name), notes


def _check_enough(items: Sequence[Item], model: LearnModel) -> None:
    training = [item.example for item in items if item.split == "train"]
    if any(_shows_something(one) for one in training):
        return
    weak = model.labels in ("teacher", "both")
    raise InputError(
        Problem(
            "config/config.yaml" if weak else "the data set",
            f"nothing to learn: no object on any of the {len(training)} training images",
            "Try the teacher's options on one image with gridwell segment, or name other slides."
            if weak
            else "Label objects on images of the sources that are learned from.",
            column="learn",
        )
    )


def _shows_something(example: Example) -> bool:
    return any(
        known is not None and bool((known > 0).any()) for known in (example.labels, example.classes)
    )


def _split_notes(items: Sequence[Item]) -> list[str]:
    """Say who is on which side, and what cannot be told for want of sources."""
    table = pd.DataFrame(
        [(item.example.source, item.split, item.kind) for item in items],
        columns=["source", "split", "kind"],
    )
    notes = []
    for side, missing in (
        ("validation", "No validation: no source is left for it; the training runs to its end."),
        ("test", "No test: no source is left for it; how good the network is cannot be said."),
    ):
        own = table[table["split"] == side]
        if own.empty:
            notes.append(missing)
        elif (own["kind"] == "weak").all():
            notes.append(
                f"The {side} has the teacher's labels only: it tells agreement with the teacher."
            )
    return notes

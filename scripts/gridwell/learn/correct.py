"""Images for a person to correct: chosen, labelled by a network, laid where a study looks."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from gridwell.config.errors import InputError, Problem
from gridwell.config.learn import ANNOTATIONS, class_names
from gridwell.config.models import LearnModel
from gridwell.config.weights import MODELS
from gridwell.learn.dataset import Item, read_dataset, read_facts, write_dataset
from gridwell.learn.measure import tally_of, totals
from gridwell.learn.predict import labelled, levels_of, predict
from gridwell.network.cells import CellNetwork


def lay_out(study: Path, name: str, model: LearnModel, *, count: int, side: str) -> list[Path]:
    """Copy images and what a network says of them to where a person corrects them.

    Of the images that are learned from, those on which network and teacher differ most: there a
    correction teaches most. Of the test images any: a test of the hardest alone would be no fair
    one. What lies there already is never touched, and counts.

    Parameters
    ----------
    study
        Folder of the study.
    name, model
        A network that was trained, and what the study says of it.
    count
        Number of images of that side that shall lie there.
    side
        ``train`` or ``test``.

    Returns
    -------
    files
        The label images to correct, which are new.

    Raises
    ------
    InputError
        If the network is not trained, or learns from a folder, where there is no such place.
    """
    data, weights = study / "work/learn" / name / "data", study / MODELS / f"{name}.safetensors"
    if model.labels == "folder":
        raise InputError(
            Problem(
                "config/config.yaml",
                "learns from a folder",
                "Correct the labels in the folder itself.",
                column=f"learn.{name}.labels",
            )
        )
    if not data.is_dir() or not weights.is_file():
        raise InputError(
            Problem(str(weights), "is not there yet", "Train it first: snakemake … models")
        )
    instance = model.kind == "instance"
    items = read_dataset(data, instance=instance, classes=len(class_names(model)))
    items = [item for item in items if item.split == side]
    folder = study / ANNOTATIONS / model.channels[0]
    there = {path.stem for path in (folder / "images").glob("*.tif")}
    missing = count - sum(item.example.name in there for item in items)
    new = _predicted(
        CellNetwork.load(weights, policy="forbid"),
        [item for item in items if item.example.name not in there],
        data,
        model,
    )
    ordered = sorted(new, key=lambda pair: pair[0] if side == "train" else _hash(pair[1]))
    return [_lay(folder, item, instance) for _, item in ordered[: max(0, missing)]]


def _predicted(
    network: CellNetwork, items: list[Item], data: Path, model: LearnModel
) -> list[tuple[float, Item]]:
    """Items with the labels of the network, and how well these agree with the ones before."""
    levels, classes = read_facts(data).levels, class_names(model)
    found = []
    for item in items:
        labels = predict(network, item.example, levels_of(item.example, levels))
        agreement = next(iter(totals([tally_of(item.example, labels, classes)], classes).values()))
        found.append((agreement, Item(labelled(item.example, labels, classes), kind="corrected")))
    return found


def _hash(item: Item) -> str:
    return hashlib.sha256(item.example.name.encode()).hexdigest()


def _lay(folder: Path, item: Item, instance: bool) -> Path:
    """Put one image and its labels into the folder; the labels last, so that none lack one."""
    name, kind = f"{item.example.name}.tif", "labels" if instance else "classes"
    made = folder / f".{item.example.name}"
    write_dataset(made, [item])
    for part in ("images", kind):
        (folder / part).mkdir(parents=True, exist_ok=True)
        (made / part / name).replace(folder / part / name)
    shutil.rmtree(made)
    return folder / kind / name

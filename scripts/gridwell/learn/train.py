"""From a data set to the weights of a network, with its learning curve."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from gridwell.config.files import whole, write_csv
from gridwell.config.learn import class_names
from gridwell.config.models import LearnModel
from gridwell.learn.augment import Prepared, prepare
from gridwell.learn.curves import draw_curve
from gridwell.learn.dataset import Item, Levels, items_hash, read_dataset, read_facts
from gridwell.learn.measure import tally_of, totals
from gridwell.learn.predict import facts_of, levels_of, predict
from gridwell.learn.presets import recipe_of
from gridwell.learn.recipe import Recipe
from gridwell.network.cells import CellNetwork
from gridwell.network.device import Policy

if TYPE_CHECKING:
    from gridwell.learn.fit import Score
    from gridwell.network.unet import UNet


def train_network(
    name: str,
    model: LearnModel,
    *,
    data: Path,
    weights: Path,
    curve: Path,
    picture: Path,
    start: Path | None,
    work: Path,
    code: str = "",
    policy: Policy = "forbid",
) -> None:
    """Train a network on a data set.

    Parameters
    ----------
    name, model
        The network, and what the study says of it.
    data
        The data set, see `gridwell.learn.dataset`.
    weights, curve, picture
        Files to write: the network, and its learning curve as a table and as a PNG.
    start
        Weights to go on from, or None.
    work, code
        Folder for what is unfinished, see `trained`, and what stands for the code that trains.
    policy
        Whether to compute on a GPU.

    Raises
    ------
    InputError
        If the data set or `start` cannot be used, or GPUs are required and not there.
    """
    items = read_dataset(data, instance=model.kind == "instance", classes=len(class_names(model)))
    facts = read_facts(data)
    recipe = recipe_of(name, model, inputs=len(items[0].example.image))
    recipe = shaped_as(recipe, start, model.recipe)
    used = [item for item in items if item.split in ("train", "validation")]
    validation = [item for item in used if item.split == "validation"]
    examples = prepared((item for item in used if item.split == "train"), facts.levels, recipe)
    for note in (
        *facts.notes,
        f"{len(examples)} images to learn from, {len(validation)} for validation",
    ):
        print(note, flush=True)
    recipe, chosen = trusting(recipe, items)
    if not chosen:
        print(f"no label is a person's: {recipe.steps} batches, and the last state is kept")
    kept, told = trained(
        examples,
        recipe,
        of=f"{code} {items_hash(used, facts.levels)}",
        name=name,
        gpus=model.gpus,
        start=start,
        score=validation_score(validation, facts.levels, recipe) if validation else None,
        choose=chosen,
        work=work,
        policy=policy,
    )
    for source, target in ((kept, weights), (told, curve)):
        with whole(target) as part:
            shutil.copyfile(source, part)
    draw_curve(picture, pd.read_csv(curve), chosen=chosen)


def shaped_as(recipe: Recipe, start: Path | None, said: Collection[str]) -> Recipe:
    """Give a network the shape of the one that it goes on from, where the study says no other.

    Parameters
    ----------
    recipe
        As the study has it.
    start
        Weights to go on from, or None.
    said
        Settings that the study names.

    Raises
    ------
    InputError
        If `start` is no network.
    """
    if start is None:
        return recipe
    from gridwell.network.weights import load_network

    shape = load_network(start).shape
    taken = {key: shape[key] for key in ("widths", "dilations") if key not in said}
    return replace(recipe, **taken)


def trusting(recipe: Recipe, items: Sequence[Item]) -> tuple[Recipe, bool]:
    """Say how far a teacher is trusted.

    Parameters
    ----------
    recipe
        As the study has it.
    items
        The data set.

    Returns
    -------
    recipe, chosen
        With fewer batches where the teacher alone drew the labels of training and validation;
        and whether the best state on validation is kept, not the last.
    """
    used = [item for item in items if item.split in ("train", "validation")]
    if any(item.kind != "weak" for item in used):
        return recipe, True
    count = sum(item.split == "train" for item in used)
    return replace(recipe, steps=math.ceil(recipe.trust * recipe.total(count))), False


def pretrain_network(
    items: Iterable[Item],
    weights: Path,
    *,
    name: str,
    model: LearnModel,
    work: Path,
    code: str = "",
    policy: Policy = "forbid",
) -> None:
    """Train a network on simulated fields, with the recipe of the network itself.

    Parameters
    ----------
    items
        The fields, one channel each; each channel of the network learns from the same.
    weights
        File to write.
    name, model
        The network, and what the study says of it.
    work, code, policy
        As of `train_network`.
    """
    recipe = recipe_of(name, model)
    if recipe.inputs > 1:
        items = (_repeated(item, recipe.inputs) for item in items)
    of = f"{code} {model.pretrain_fields} {model.pretrain} {model.seed}"
    examples = prepared(items, {}, recipe)
    kept, _ = trained(
        examples,
        recipe,
        of=of,
        name=name,
        gpus=model.gpus,
        start=None,
        score=None,
        work=work,
        policy=policy,
    )
    with whole(weights) as part:
        shutil.copyfile(kept, part)


def trained(
    examples: Sequence[Prepared],
    recipe: Recipe,
    *,
    of: str,
    name: str,
    gpus: int,
    start: Path | None,
    score: Score | None,
    choose: bool = True,
    work: Path,
    policy: Policy,
) -> tuple[Path, Path]:
    """Train, go on with a training that was killed, or find it done.

    What is in `work` has a name of its own for each recipe, start and examples: a training goes
    on where it was, and one of other data begins anew. What is done stays there, so that another
    test does not train again. The number of GPUs is no part of the name: it changes the order of
    sums alone, and a training goes on with another.

    Parameters
    ----------
    examples, recipe, start, score, choose, policy
        As of `gridwell.learn.fit.fit`.
    of
        What the examples are, in a word that is another for others.
    name, gpus
        Of the network, and how many GPUs train it; see `gridwell.learn.launch.processes_for`.
    work
        Folder; what others left in it is removed.

    Returns
    -------
    weights, curve
        Files in `work`.
    """
    key = _key(of, recipe, start)
    kept, told = work / f"{key}.safetensors", work / f"{key}.csv"
    for old in work.glob("*"):
        if not old.name.startswith(key):
            old.unlink()
    if kept.is_file() and told.is_file():
        return kept, told
    from gridwell.learn.launch import processes_for, run

    learn = partial(
        _learn,
        kept,
        told,
        examples,
        recipe,
        start=start,
        score=score,
        choose=choose,
        report=_report,
        checkpoint=work / f"{key}.checkpoint",
        policy=policy,
    )
    processes = processes_for(gpus, policy, name=name)
    if processes == 1:
        learn()
    else:
        run(learn, processes, work / f"{key}.task")
    return kept, told


def _learn(
    kept: Path, told: Path, examples: Sequence[Prepared], recipe: Recipe, **how: Any
) -> None:
    """Train, and write weights and curve; one of several processes, where several train."""
    from gridwell.learn.fit import fit
    from gridwell.learn.parallel import rank
    from gridwell.learn.ranges import ranges_of
    from gridwell.network.weights import save_network

    network, curve = fit(examples, recipe, **how)
    if rank() == 0:
        write_csv(told, curve)
        save_network(kept, network, facts_of(recipe) | {"ranges": ranges_of(network, examples)})


def _key(of: str, recipe: Recipe, start: Path | None) -> str:
    first = b"" if start is None else start.read_bytes()
    parts = (of.encode(), json.dumps(asdict(recipe), sort_keys=True).encode(), first)
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _report(line: dict[str, float]) -> None:
    print(", ".join(f"{name} {value:.4g}" for name, value in line.items()), flush=True)


def _repeated(item: Item, channels: int) -> Item:
    return replace(
        item, example=replace(item.example, image=item.example.image.repeat(channels, 0))
    )


def prepared(items: Iterable[Item], levels: Levels, recipe: Recipe) -> list[Prepared]:
    """Bring items to what a network is shown, by the brightness of their source."""
    return [
        prepare(item.example, instance=recipe.instance, levels=levels_of(item.example, levels))
        for item in items
    ]


def validation_score(items: Sequence[Item], levels: Levels, recipe: Recipe) -> Score:
    """Make the score by which the best state is kept.

    Parameters
    ----------
    items
        Validation images.
    levels
        Brightness of their sources.
    recipe
        What is learned.

    Returns
    -------
    score
        Of a network: AJI+ and others of instances, or the mean IoU of classes; see
        `gridwell.learn.measure.totals`.
    """
    return partial(_score, items, levels, recipe)


def _score(
    items: Sequence[Item], levels: Levels, recipe: Recipe, network: UNet
) -> dict[str, float]:
    cells = CellNetwork(network, facts_of(recipe), policy="forbid")
    tallies = []
    for item in items:
        found = predict(cells, item.example, levels_of(item.example, levels))
        tallies.append(tally_of(item.example, found, recipe.classes))
    return totals(tallies, recipe.classes)

"""From a data set to the weights of a network, with its learning curve."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from gridwell.config.files import whole, write_csv
from gridwell.learn.augment import Prepared, prepare
from gridwell.learn.dataset import Item, Levels, levels_and_notes, read_dataset
from gridwell.learn.measure import tally_of, totals
from gridwell.learn.predict import facts_of, levels_of, predict
from gridwell.learn.recipe import Recipe
from gridwell.network.cells import CellNetwork
from gridwell.network.device import Policy

if TYPE_CHECKING:
    from gridwell.learn.fit import Score
    from gridwell.network.unet import UNet


def train_network(
    data: Path,
    weights: Path,
    *,
    curve: Path,
    recipe: Recipe,
    start: Path | None,
    work: Path,
    policy: Policy = "forbid",
) -> None:
    """Train a network on a data set.

    What is unfinished lies in `work`, under a name of its own for each recipe, data set and
    start: a training that was killed goes on where it was, and one of other data begins anew.

    Parameters
    ----------
    data
        The data set, see `gridwell.learn.dataset`.
    weights, curve
        Files to write: the network, and its learning curve as a table.
    recipe
        How it is trained.
    start
        Weights to go on from, or None.
    work
        Folder for what is unfinished; nothing is left in it when all is done.
    policy
        Whether to compute on a GPU.

    Raises
    ------
    InputError
        If the data set or `start` cannot be used, or a GPU is required and there is none.
    """
    items = read_dataset(data, instance=recipe.instance, classes=len(recipe.classes))
    levels, notes = levels_and_notes(data)
    for note in notes:
        print(note)
    key = _key(data, recipe, start)
    kept, told = work / f"{key}.safetensors", work / f"{key}.csv"
    for old in work.glob("*") if work.is_dir() else ():
        if not old.name.startswith(key):
            old.unlink()
    if not (kept.is_file() and told.is_file()):
        network, table = _trained(
            items,
            levels,
            recipe,
            start=start,
            checkpoint=work / f"{key}.checkpoint",
            policy=policy,
        )
        _save(kept, network, recipe)
        write_csv(told, table)
    for source, target in ((kept, weights), (told, curve)):
        with whole(target) as part:
            shutil.copyfile(source, part)
    shutil.rmtree(work)


def _trained(
    items: Sequence[Item],
    levels: Levels,
    recipe: Recipe,
    *,
    start: Path | None,
    checkpoint: Path,
    policy: Policy,
) -> tuple[UNet, pd.DataFrame]:
    from gridwell.learn.fit import fit

    train = [item for item in items if item.split == "train"]
    validation = [item for item in items if item.split == "validation"]
    print(f"{len(train)} images to learn from, {len(validation)} for validation", flush=True)
    return fit(
        prepared(train, levels, recipe),
        recipe,
        start=start,
        score=validation_score(validation, levels, recipe) if validation else None,
        report=_report,
        checkpoint=checkpoint,
        policy=policy,
    )


def _report(line: dict[str, float]) -> None:
    said = ", ".join(f"{name} {value:.4g}" for name, value in line.items())
    print(said, flush=True)


def _key(data: Path, recipe: Recipe, start: Path | None) -> str:
    """Name of this training: the same only for the same data, recipe and first weights."""
    digest = hashlib.sha256(json.dumps(asdict(recipe), sort_keys=True).encode())
    files = sorted(path for path in data.rglob("*") if path.is_file())
    # Snakemake puts its own time stamps into folders.
    for path in (*(file for file in files if not file.name.startswith(".")), start):
        if path is not None:
            digest.update(path.name.encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _save(path: Path, network: UNet, recipe: Recipe) -> None:
    from gridwell.network.weights import save_network

    save_network(path, network, facts_of(recipe))


def prepared(items: Sequence[Item], levels: Levels, recipe: Recipe) -> list[Prepared]:
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
        Of a network: AJI+ and AP at 0.5 of instances, or the mean IoU of classes; see
        `gridwell.learn.metrics` and `gridwell.learn.classes`.
    """

    def score(network: UNet) -> dict[str, float]:
        cells = CellNetwork(network, facts_of(recipe), policy="forbid")
        tallies = [
            tally_of(
                item.example,
                predict(cells, item.example, levels_of(item.example, levels)),
                recipe.classes,
            )
            for item in items
        ]
        return totals(tallies, recipe.classes)

    return score

"""From weights and their data set to scores on held-out sources and a model card."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from gridwell.config.files import whole, write_csv
from gridwell.config.learn import class_names
from gridwell.config.models import LearnModel, SegmentMethod
from gridwell.learn.dataset import Facts, dataset_hash, read_dataset, read_facts
from gridwell.learn.measure import measure_network
from gridwell.learn.model_card import card
from gridwell.learn.presets import recipe_of
from gridwell.learn.recipe import Recipe
from gridwell.learn.teach import settled_teacher
from gridwell.learn.train import shaped_as, trusting
from gridwell.network.cells import CellNetwork


def evaluate_network(
    name: str,
    model: LearnModel,
    *,
    data: Path,
    weights: Path,
    curve: Path,
    start: Path | None,
    scores: Path,
    card_out: Path,
) -> None:
    """Measure a network on its test sources, and write its card.

    Parameters
    ----------
    name, model
        The network, and what the study says of it.
    data, weights, curve, start
        Its data set, file, learning curve, and the weights that it went on from.
    scores, card_out
        Files to write: a table, and the card in Markdown.

    Raises
    ------
    InputError
        If one of the files cannot be used.
    """
    items = read_dataset(data, instance=model.kind == "instance", classes=len(class_names(model)))
    recipe = recipe_of(name, model, inputs=len(items[0].example.image))
    recipe = shaped_as(recipe, start, model.recipe)
    facts = read_facts(data)
    table = measure_network(
        CellNetwork.load(weights, policy="forbid"),
        [item for item in items if item.split == "test"],
        facts.levels,
        classes=recipe.classes,
        teacher=_teacher(model, recipe, facts),
    )
    write_csv(scores, table)
    recipe, chosen = trusting(recipe, items)
    text = card(
        name,
        model,
        recipe,
        weights=weights,
        items=items,
        data_hash=dataset_hash(data),
        notes=facts.notes,
        start=start,
        curve=pd.read_csv(curve),
        chosen=chosen,
        scores=table,
    )
    with whole(card_out) as part:
        part.write_text(text, encoding="utf-8")


def _teacher(model: LearnModel, recipe: Recipe, facts: Facts) -> SegmentMethod | None:
    """The method to compare with; None where it does not draw such labels."""
    method = SegmentMethod(**facts.teacher) if facts.teacher else model.teacher
    fits = model.kind == "instance" or len(recipe.classes) == recipe.inputs + 1
    if not fits or method.method in ("none", "auto"):
        return None
    return settled_teacher(method, list)[0]

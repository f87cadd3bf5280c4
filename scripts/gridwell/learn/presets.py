"""Named recipes, and the single settings that a study may change in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from gridwell.config.errors import InputError, Problem
from gridwell.config.explain import suggest
from gridwell.config.learn import class_names
from gridwell.config.models import LearnModel
from gridwell.learn.augment import Augmentation
from gridwell.learn.recipe import Recipe

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    # The U-Net of the published CIP-to-CDL study: three poolings, Dice alone, images reflected
    # and turned, the rate 0.8 times lower after every three of fifteen epochs.
    "published": {
        "dilations": (1,),
        "steps": 0,
        "epochs": 15,
        "batch": 4,
        "optimiser": "sgd",
        "rate": 0.002,
        "decay": 0.001,
        "drop": 0.8,
        "drop_every": 3,
        "entropy": 0.0,
        "scale": (1.0, 1.0),
        "diameters": (0.0, 1e6),
        "rotate": True,
        "elastic": 0.0,
        "intensity": False,
    },
    # To see that everything is in place; not to be used.
    "quick": {"widths": (16, 32, 48, 64), "steps": 200, "every": 100, "batch": 4, "crop": 128},
}

# What a network knows already is not to be thrown over by the first batches.
_RATE_FROM_START = 1e-3
# Said elsewhere: by what is learned and from what.
_NOT_CHANGED = {"instance", "classes", "inputs", "seed", "augmentation"}
_HOW = {field.name for field in fields(Augmentation)}
# Of these, 0 or less makes no training.
_POSITIVE = ("widths", "dilations", "batch", "crop", "every", "rate", "scale", "trust")
# A batch is cut to whole blocks of the deepest level.
_BLOCK = 16


def recipe_names() -> list[str]:
    """Settings that a study may change."""
    own = [field.name for field in fields(Recipe) if field.name not in _NOT_CHANGED]
    return own + sorted(_HOW)


def recipe_of(name: str, model: LearnModel, *, inputs: int = 1) -> Recipe:
    """Make the recipe of a network from its preset and its own settings.

    Parameters
    ----------
    name
        Of the network, to tell of mistakes.
    model
        What the study says of it.
    inputs
        Channels of the images, where the model does not say (a folder of images).

    Raises
    ------
    InputError
        If a setting is unknown or has a value that it cannot have.
    """
    problems = [
        _problem(name, key, "is no setting of a recipe", suggest(key, recipe_names(), "settings"))
        for key in model.recipe
        if key not in recipe_names()
    ]
    base = dict(PRESETS[model.preset])
    if model.start is not None and model.preset != "published":
        base["rate"] = _RATE_FROM_START
    values = {
        **base,
        **{key: value for key, value in model.recipe.items() if key in recipe_names()},
    }
    how = {key: values.pop(key) for key in list(values) if key in _HOW}
    values |= {
        "instance": model.kind == "instance",
        "classes": class_names(model),
        "inputs": len(model.channels) or inputs,
        "seed": model.seed,
        "augmentation": how,
    }
    try:
        recipe = TypeAdapter(Recipe).validate_python(values)
    except ValidationError as error:
        raise InputError([*problems, *_wrong_kinds(name, error)]) from None
    problems += _wrong_values(name, recipe)
    if 0 < recipe.batch < model.gpus:
        problems.append(
            Problem(
                file="config/config.yaml",
                column=f"learn.{name}.gpus",
                value=model.gpus,
                reason=f"a batch of {recipe.batch} crops has no part for each of so many GPUs",
                remedy="Write a smaller number, or a larger batch in the recipe.",
            )
        )
    if problems:
        raise InputError(problems)
    return recipe


def wrong_recipes(models: Mapping[str, LearnModel]) -> list[Problem]:
    """List the mistakes in the recipes of a study's networks, those of `recipe_of`."""
    problems: list[Problem] = []
    for name, model in models.items():
        try:
            recipe_of(name, model)
        except InputError as error:
            problems += error.problems
    return problems


def _wrong_kinds(name: str, error: ValidationError) -> list[Problem]:
    told: dict[str, Problem] = {}
    for found in error.errors(include_url=False):
        where = [str(part) for part in found["loc"] if part != "augmentation"]
        key = where[0] if where else ""
        told.setdefault(key, _problem(name, key, "has a value that it cannot have", found["msg"]))
    return list(told.values())


def _wrong_values(name: str, recipe: Recipe) -> list[Problem]:
    problems = []
    flat = vars(recipe) | vars(recipe.augmentation)
    for key in recipe_names():
        numbers = flat[key] if isinstance(flat[key], tuple) else (flat[key],)
        least = [number for number in numbers if isinstance(number, int | float)]
        if key in _POSITIVE and least and min(least) <= 0:
            problems.append(_problem(name, key, "is too small", "Write a number above 0."))
        elif least and min(least) < 0:
            problems.append(_problem(name, key, "is too small", "Write 0 or more."))
    if recipe.crop % _BLOCK:
        problems.append(_problem(name, "crop", "does not fit", f"Write a multiple of {_BLOCK}."))
    if not recipe.steps and not recipe.epochs:
        problems.append(_problem(name, "steps", "trains nothing", "Give steps or epochs."))
    return problems


def _problem(name: str, key: str, reason: str, remedy: str) -> Problem:
    column = ".".join(part for part in ("learn", name, "recipe", key) if part)
    return Problem("config/config.yaml", reason, remedy, column=column)

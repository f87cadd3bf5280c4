"""Recipes: the published one is as published, and single settings are checked."""

from __future__ import annotations

import subprocess
import sys

import pytest
from gridwell.config.errors import InputError
from gridwell.config.models import LearnModel
from gridwell.learn.presets import PRESETS, recipe_names, recipe_of
from gridwell.learn.recipe import Recipe


def model(**options: object) -> LearnModel:
    return LearnModel(channels=("dapi",), **options)


def test_the_published_recipe():
    recipe = recipe_of("net", model(kind="semantic", preset="published"))
    assert (recipe.optimiser, recipe.rate, recipe.decay) == ("sgd", 0.002, 0.001)
    assert (recipe.drop, recipe.drop_every) == (0.8, 3)
    assert (recipe.batch, recipe.epochs, recipe.total(400)) == (4, 15, 1500)
    assert recipe.entropy == 0  # Dice alone
    assert len(recipe.widths) == 4  # three poolings
    how = recipe.augmentation
    assert how.rotate
    assert how.scale == (1.0, 1.0)
    assert not how.elastic
    assert not how.intensity
    assert recipe.classes == ("background", "dapi")


def test_the_default_is_the_recipe_itself():
    assert recipe_of("net", model(seed=3)) == Recipe(seed=3)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_name_settings_only(preset):
    assert set(PRESETS[preset]) <= set(recipe_names())
    recipe_of("net", model(preset=preset))


def test_single_settings():
    recipe = recipe_of("net", model(recipe={"steps": 7, "widths": [8, 8, 8, 8], "elastic": 0}))
    assert (recipe.steps, recipe.widths, recipe.augmentation.elastic) == (7, (8, 8, 8, 8), 0)
    assert recipe_of("net", LearnModel(labels="folder", folder="x"), inputs=3).inputs == 3


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({"stepz": 3}, "learn.net.recipe.stepz: is no setting of a recipe. Did you mean 'steps'?"),
        ({"classes": 3}, "learn.net.recipe.classes: is no setting"),
        ({"batch": 0}, "learn.net.recipe.batch: is too small"),
        ({"decay": -1}, "learn.net.recipe.decay: is too small"),
        ({"crop": 100}, "learn.net.recipe.crop: does not fit. Write a multiple of 16."),
        ({"steps": 0}, "learn.net.recipe.steps: trains nothing"),
        ({"steps": "many"}, "learn.net.recipe.steps: has a value that it cannot have"),
        ({"optimiser": "adam"}, "learn.net.recipe.optimiser: has a value that it cannot have"),
        ({"scale": [1]}, "learn.net.recipe.scale: has a value that it cannot have"),
    ],
)
def test_mistakes(recipe, said):
    with pytest.raises(InputError) as caught:
        recipe_of("net", model(recipe=recipe))
    assert len(caught.value.problems) == 1
    assert said in str(caught.value)


def test_settings_are_checked_without_pytorch():
    program = "import sys, gridwell.learn.presets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

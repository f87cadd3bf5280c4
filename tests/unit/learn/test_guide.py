"""What the user guide says of networks is true."""

from __future__ import annotations

import re

import pytest
import yaml
from gridwell.config.models import Config
from gridwell.learn.presets import PRESETS, recipe_names


@pytest.fixture
def guide(repository):
    return (repository / "docs/learning.md").read_text(encoding="utf-8")


def test_the_examples_are_right(guide):
    blocks = re.findall(r"```yaml\n(.*?)```", guide, flags=re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        Config.model_validate(yaml.safe_load(block))


def test_every_setting_and_preset_is_told(guide):
    table = guide.split("## Recipes")[1]
    for name in (*recipe_names(), *PRESETS):
        assert f"`{name}`" in table or f"`preset: {name}`" in table, name

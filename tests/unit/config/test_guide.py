"""The example of the user guide is a study, and its messages are the real ones."""

from __future__ import annotations

import re

import pytest
from gridwell.config.errors import InputError
from gridwell.config.models import GridOverride
from gridwell.config.overrides import settle
from gridwell.config.study import load_study
from gridwell.config.yamls import read_yaml

SPOILED = (
    ("config/slides.tsv", "dma-672", "dma672"),
    ("config/slides.tsv", "ph.csv", "pH.csv"),
    ("config/channels.tsv", "live", "alive"),
    ("config/channels.tsv", "\t0.65\n", "\t0,65\n"),
    ("config/layouts/drugs.csv", "B3,doxorubicin,1,uM", "B3,doxorubicin,1,"),
    ("config/layouts/drugs.csv", "B4,doxorubicin,10", "B4,doxorubicin,-5"),
    ("config/config.yaml", "metric: hue", "metrik: hue"),
)


@pytest.fixture
def guide(repository):
    return (repository / "docs/study.md").read_text(encoding="utf-8")


@pytest.fixture
def example(guide, tmp_path):
    """The files of the guide, as a reader would copy them."""
    blocks = re.findall(r"`(config/[\w./]+)`:\n\n```\w+\n(.*?)```", guide, flags=re.DOTALL)
    assert len(blocks) == 5
    for name, text in blocks:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def test_the_example_is_a_study(example):
    study = load_study(example)
    assert {slide: len(own) for slide, own in study.channels.items()} == {
        "S01": 3,
        "S02": 2,
        "S03": 1,
    }
    assert [channel.channel for channel in study.segmented("S02")] == ["dapi"]
    assert list(study.layouts["ph.csv"]["spot"]) == ["A1", "A2", "A3", "B1", "B2"]
    assert study.config.versioning == "off"


def test_the_override_is_read(guide, tmp_path):
    text = re.search(r"will do:\n\n```yaml\n(.*?)```", guide, flags=re.DOTALL)
    path = tmp_path / "S01.yaml"
    path.write_text(text[1], encoding="utf-8")
    override = GridOverride.model_validate(read_yaml(path, path.name).options)
    assert override.corners["A48"] == (36010, 1224)
    assert not settle(override).wrong


def test_the_messages_are_the_real_ones(guide, example):
    for name, right, wrong in SPOILED:
        path = example / name
        text = path.read_text(encoding="utf-8")
        assert right in text
        path.write_text(text.replace(right, wrong, 1), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_study(example)
    shown = re.search(r"```text\n(.*?)```", guide, flags=re.DOTALL)
    assert shown[1].splitlines() == str(caught.value).splitlines()

"""The examples of docs/layouts.md are layouts, and what is said of them is the real thing."""

from __future__ import annotations

import re

import pytest
from gridwell.cli import main
from gridwell.config.layouts import read_layout


@pytest.fixture
def guide(repository):
    return (repository / "docs/layouts.md").read_text(encoding="utf-8")


@pytest.fixture
def example(guide, tmp_path):
    """The files of the guide, as a reader would copy them."""
    for name, text in re.findall(r"`([\w.]+)`:\n\n```csv\n(.*?)```", guide, flags=re.DOTALL):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_the_examples_are_layouts(example):
    table, grid = read_layout(example / "table.csv"), read_layout(example / "grid.csv")
    assert len(table) == len(grid) == 5
    assert list(grid["role"]) == ["neg_ctrl", "pos_ctrl", "sample", "sample", "sample"]
    picked = read_layout(example / "picklist.csv#D2")
    assert list(picked["concentration"]) == [1.0]


def test_what_is_said_of_one_is_the_real_thing(guide, example, capsys):
    said = re.search(r"example above:\n\n```text\n(.*?)```", guide, flags=re.DOTALL)
    assert main(["layout", str(example / "picklist.csv"), "--plate", "D1"]) == 0
    assert capsys.readouterr().out == said[1]

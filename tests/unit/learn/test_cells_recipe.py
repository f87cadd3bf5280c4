"""The recipe of the shipped networks, in small: data, both stages, the card."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import cv2
import gridwell.learn.cells_recipe as module
import numpy as np
import pytest
from gridwell.config.errors import InputError
from gridwell.config.weights import shipped, weights_of
from gridwell.learn.cells_recipe import SHIPPED, read_fields, shares, simulated, train_shipped
from gridwell.learn.recipe import Recipe
from gridwell.network.cells import facts_of
from gridwell.network.weights import load_network
from gridwell.phantom.fields import field


def draw(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    drawn = field(kind, seed, 128)
    return drawn.image, drawn.labels


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Fields of two sources, one of them never to be trained on, and one on bright ground."""
    lines = ["file,condition,cluster,background"]
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for name, condition, cluster, ground in (
        ("a.png", "360x360", "0", "dark"),
        ("b.png", "360x360", "6", "dark"),
        ("c.png", "1024x1024", "0", "light"),
    ):
        image, labels = draw("nuclei", 12 + len(lines))
        cv2.imwrite(str(tmp_path / "images" / name), (image / 257).astype(np.uint8))
        cv2.imwrite(str(tmp_path / "masks" / name), labels.astype(np.uint16))
        lines.append(f"{name},{condition},{cluster},{ground}")
    (tmp_path / "index.csv").write_text("\n".join(lines))
    return tmp_path


def test_fields_know_their_source(data):
    assert [one.source for one in read_fields(data)] == ["360x360-0", "360x360-6"]
    assert read_fields(data, "256x256") == []
    with pytest.raises(InputError, match="is missing"):
        read_fields(data / "images")


def test_every_source_has_its_share():
    fields = simulated(draw, ("nuclei", "live"), 4)
    assert [one.source for one in fields] == ["nuclei", "live", "nuclei", "live"]
    odds = shares([*fields, *simulated(draw, ("live",), 4)])
    assert sum(odds) == pytest.approx(1)
    assert sum(odds[1::2][:2]) + sum(odds[4:]) == pytest.approx(3**0.5 / (1 + 3**0.5))


def test_both_stages_and_the_card(data, tmp_path, monkeypatch):
    tiny = Recipe(widths=(4, 4, 4, 4), steps=4, batch=2, crop=64, every=2)
    small = replace(SHIPPED["nuclei"], fields=4, recipe=tiny, finish=2)
    monkeypatch.setitem(SHIPPED, "nuclei", small)
    monkeypatch.setattr(module, "_HELD_OUT_FIELDS", 2)
    written = []
    for name in ("one", "two"):
        out = tmp_path / name / "nuclei.safetensors"
        train_shipped(
            "nuclei", draw, out=out, start=None, real=read_fields(data), policy="forbid", note="So."
        )
        written.append(out.read_bytes())
    assert written[0] == written[1]  # the same seed, the same bytes
    text = " ".join(out.with_suffix(".md").read_text().split())
    assert hashlib.sha256(written[0]).hexdigest() in text
    assert "| 360x360 | 1 |" in text
    assert "| all real | 1 |" in text
    assert "went on for 2 batches" in text
    assert not list(out.parent.glob("*.checkpoint"))


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_is_what_its_card_says(name):
    assert name in shipped()
    path = weights_of(name)
    assert hashlib.sha256(path.read_bytes()).hexdigest() in path.with_suffix(".md").read_text()
    assert facts_of(path)["instance"]
    count = sum(tensor.numel() for tensor in load_network(path).parameters())
    assert 0.4e6 < count < 2e6

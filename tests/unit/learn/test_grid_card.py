"""The whole recipe, small: weights, and a card that tells the truth about them."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from gridwell.learn import grid_recipe
from gridwell.learn.grid_crops import Example
from gridwell.network.weights import load_network


def draw(seed: int) -> Example:
    image = np.random.default_rng(seed).uniform(size=(256, 256)).astype(np.float32)
    centres = np.array([(x, y) for x in range(16, 256, 32) for y in range(16, 256, 32)], float)
    if seed % 2:
        return Example(image, np.zeros((0, 2)), math.nan, np.zeros_like(image))
    return Example(image, centres, 32.0, np.zeros_like(image))


@pytest.mark.slow
def test_recipe_writes_weights_and_their_card(tmp_path, monkeypatch):
    monkeypatch.setattr(grid_recipe, "HELD_OUT_IMAGES", 2)
    out = tmp_path / "net.safetensors"

    def make(start):
        grid_recipe.train_and_measure(
            draw,
            lambda kind, seed: draw(seed),
            ("any",),
            steps=2,
            images=4,
            rate=1e-3,
            start=start,
            note="Half of the crops are from elsewhere." if start else "",
            cache=tmp_path / "cache",
            real=None,
            out=out,
        )
        return hashlib.sha256(out.read_bytes()).hexdigest()

    first = make(None)
    assert "elsewhere" not in out.with_suffix(".md").read_text()
    load_network(out)
    kept = out.rename(tmp_path / "first.safetensors")
    second = make(kept)
    card = " ".join(out.with_suffix(".md").read_text().split())
    assert first != second
    assert f"- sha256: `{second}`" in card
    assert f"going on from the weights with sha256 `{first}`" in card
    assert "Half of the crops are from elsewhere." in card
    assert "| any | 2 |" in card

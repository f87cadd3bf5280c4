"""The recipes of the networks of cells that come with gridwell: data, training, model card."""

from __future__ import annotations

import csv
import hashlib
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from gridwell.config.errors import InputError, Problem
from gridwell.config.files import whole
from gridwell.learn.augment import Augmentation, Prepared, prepare
from gridwell.learn.dataset import read_image, read_labels
from gridwell.learn.examples import Example
from gridwell.learn.metrics import overlap, scores, tally
from gridwell.learn.predict import facts_of, predict
from gridwell.learn.recipe import Recipe
from gridwell.network.cells import CellNetwork
from gridwell.network.device import Policy

# Draws the image and the instances of a kind and a seed.
Draw = Callable[[str, int], tuple[npt.NDArray[np.generic], npt.NDArray[np.int32]]]

HELD_OUT = frozenset({"256x256-2", "256x320-0", "260x347-0", "360x360-6", "520x696-2", "520x696-4"})
"""Sources of real fields that no training whose scores are told has seen: two whole conditions,
and of each other condition fields that look otherwise than the rest."""

# Fields that are measured on have seeds far from those that are trained on.
_HELD_OUT_SEED = 10_000_000
_HELD_OUT_FIELDS = 40


_SCALES = Augmentation(scale=(0.6, 1.8))


@dataclass(frozen=True)
class Shipped:
    """A network that comes with gridwell.

    Attributes
    ----------
    about
        What it is for, in a sentence or two.
    kinds
        Kinds of simulated fields, in turn.
    fields
        Number of simulated fields.
    real
        Share of the crops that come from real fields.
    start
        Network that comes with gridwell and that it goes on from.
    recipe
        How it is trained.
    finish
        Batches at the end on all real fields, those too that the scores were measured on; 0: none.
    """

    about: str
    kinds: tuple[str, ...]
    fields: int
    real: float
    start: str | None
    recipe: Recipe
    finish: int = 0


SHIPPED = {
    "simulated-nuclei": Shipped(
        "Finds fluorescent nuclei and has seen simulated fields only: what a network of your own "
        "goes on from when nobody has drawn anything (`start: simulated-nuclei`).",
        kinds=("nuclei",),
        fields=1500,
        real=0.0,
        start=None,
        recipe=Recipe(steps=3000, batch=10, rate=3e-3, augmentation=_SCALES),
    ),
    "nuclei": Shipped(
        "Finds nuclei in fluorescence, from many microscopes and cell types.",
        kinds=("nuclei",),
        fields=1500,
        real=0.75,
        start=None,
        recipe=Recipe(
            widths=(32, 64, 96, 128), steps=8000, batch=10, rate=3e-3, augmentation=_SCALES
        ),
        finish=1500,
    ),
    "stained-cells": Shipped(
        "Finds bodies of live cells (Calcein and the like) and nuclei of dead ones (PI and the "
        "like). No public images of these with drawn cells were at hand: it has learned from "
        "simulated fields and, so that it does not forget them, from some real nuclei.",
        kinds=("live", "dead"),
        fields=1500,
        real=0.1,
        start="simulated-nuclei",
        recipe=Recipe(steps=3000, batch=10, rate=2e-3, augmentation=_SCALES),
    ),
}


def read_fields(folder: Path, condition: str | None = None) -> list[Example]:
    """Read real fields with instances drawn by hand.

    Parameters
    ----------
    folder
        images/, masks/ and index.csv with the columns file, condition, cluster, background.
    condition
        Only fields of this condition.

    Returns
    -------
    Fields of bright objects on a dark background; a source is a condition and a cluster.

    Raises
    ------
    InputError
        If the folder holds no such data.
    """
    index = folder / "index.csv"
    if not index.is_file():
        raise InputError(
            Problem(str(index), "is missing", "Name a folder with images/, masks/ and index.csv.")
        )
    with index.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["background"] == "dark"]
    return [
        _field(folder, row) for row in rows if condition is None or row["condition"] == condition
    ]


def _field(folder: Path, row: dict[str, str]) -> Example:
    image = read_image(folder / "images" / row["file"])
    labels = read_labels(folder / "masks" / row["file"], image.shape[1:], "instances")
    source = f"{row['condition']}-{row['cluster']}"
    return Example(row["file"], source, image, labels.astype(np.int32))


def simulated(draw: Draw, kinds: Sequence[str], count: int, first: int = 0) -> list[Example]:
    """Draw simulated fields, the kinds in turn."""
    fields = []
    for index in range(count):
        kind = kinds[index % len(kinds)]
        image, labels = draw(kind, first + index)
        fields.append(
            Example(f"{kind}-{first + index}", kind, image[None].astype(np.float32), labels)
        )
    return fields


def prepared_fields(examples: Sequence[Example]) -> list[Prepared]:
    """Bring fields to what a network of instances learns from."""
    return [prepare(one, instance=True) for one in examples]


def shares(examples: Sequence[Example]) -> list[float]:
    """How often each field is drawn: a source by the root of its pixels, its fields alike."""
    pixels: Counter[str] = Counter()
    fields: Counter[str] = Counter()
    for one in examples:
        pixels[one.source] += one.image[0].size
        fields[one.source] += 1
    each = np.array([np.sqrt(pixels[one.source]) / fields[one.source] for one in examples])
    return list(each / each.sum())


def train_shipped(
    name: str,
    draw: Draw,
    *,
    out: Path,
    start: Path | None,
    real: Sequence[Example],
    policy: Policy,
    note: str = "",
) -> None:
    """Train a network that comes with gridwell, measure it, and write its card.

    Parameters
    ----------
    name
        One of `SHIPPED`.
    draw
        Draws simulated fields.
    out
        Weights to write; the card goes beside them.
    start
        Weights to go on from, or None.
    real
        Real fields; may be empty where the network learns from none.
    policy
        Whether to compute on a GPU.
    note
        For the card.
    """
    from gridwell.learn.fit import fit
    from gridwell.learn.ranges import ranges_of
    from gridwell.network.weights import save_network

    shipped, facts = SHIPPED[name], facts_of(SHIPPED[name].recipe)
    drawn = simulated(draw, shipped.kinds, shipped.fields)
    seen = [one for one in real if one.source not in HELD_OUT] if shipped.real else []

    def trained(fields: Sequence[Example], recipe: Recipe, first: Path | None) -> None:
        odds = [shipped.real * share for share in shares(fields)] if fields else []
        odds += [(1 - shipped.real) / len(drawn)] * len(drawn)
        learned = prepared_fields([*fields, *drawn])
        network, _ = fit(
            learned,
            recipe,
            shares=odds,
            start=first,
            report=_tell,
            checkpoint=out.with_suffix(".checkpoint"),
            policy=policy,
        )
        save_network(out, network, facts | {"ranges": ranges_of(network, learned)})

    trained(seen, shipped.recipe, start)
    unseen = [one for one in real if one.source in HELD_OUT or not shipped.real]
    unseen += simulated(draw, shipped.kinds, _HELD_OUT_FIELDS, _HELD_OUT_SEED)
    measured = measure_fields(out, unseen)
    if shipped.finish:
        last = replace(shipped.recipe, steps=shipped.finish, rate=shipped.recipe.rate / 3, seed=1)
        trained(real, last, out)
    with whole(out.with_suffix(".md")) as part:
        part.write_text(shipped_card(name, out, measured, start, note), encoding="utf-8")


def _tell(line: dict[str, float]) -> None:
    print(", ".join(f"{name} {value:.4g}" for name, value in line.items()), flush=True)


def measure_fields(weights: Path, fields: Sequence[Example]) -> pd.DataFrame:
    """Score a network on fields, by condition (real) or kind (simulated), and on all real ones.

    Returns
    -------
    One row a condition: `fields`, `n_true` and the scores of `gridwell.learn.metrics.scores`.
    """
    network = CellNetwork.load(weights, policy="forbid")
    tallies: dict[str, list[npt.NDArray[np.float64]]] = {}
    for one in fields:
        assert one.labels is not None
        counts = tally(overlap(one.labels, predict(network, one, None)))
        names = [one.source.split("-")[0]]
        names += ["all real"] if one.source not in {"nuclei", "live", "dead"} else []
        for name in names:
            tallies.setdefault(name, []).append(counts)
    rows = [
        {"condition": name, "fields": len(counts)}
        | {key: float(value) for key, value in scores(np.sum(counts, 0)).items()}
        for name, counts in sorted(tallies.items())
    ]
    return pd.DataFrame(rows)


_CARD = """\
# {name}

{about} Written by `scripts/train_cells.py`; do not edit.

- file: `{name}.safetensors`, {size:.2f} MB, half precision, {count:.2f} million parameters
- sha256: `{hash}`
- licence: MIT, as all of gridwell. Real fields: BBBC038 (Data Science Bowl 2018, stage 1), CC0.

## Network

U-Net of four levels ({widths} channels) that computes at half resolution and writes at full; batch
normalisation folded into the convolutions. Maps: normalised distance to the outline of the cell
and nearness of the next cell (after Scherr et al. 2020), chance of background and object. Input:
one gray channel, bright objects on a dark background, 8 to 60 pixels across.

On a CPU it computes in whole numbers of 8 bits, by ranges of its layers that were measured on 128
of the fields and stand with the weights (`precision` in docs/options.md).

## Data and recipe

{data}
{steps} batches of {batch} crops of {crop} pixels, AdamW, cosine from {rate:g}, running mean of the
weights, seed {seed}{start}. Crops are turned, mirrored, scaled by {low:g} to {high:g}, bent, and
changed in gain, offset, response, background, focus and noise.{finish}{note}

## How good it is

{how}

{table}

## Limits

Trained for fluorescence; bright-field, histology and dark objects on a bright background are not
known. Clumps in several layers, and objects beyond the sizes above, are split or joined wrongly:
scale such images first. Hand-drawn truth of these fields is itself uneven (faint or blurred nuclei
are drawn in some fields and not in others), which bounds what any score can be.
"""


def shipped_card(
    name: str, weights: Path, measured: pd.DataFrame, start: Path | None, note: str
) -> str:
    """Write in Markdown what a shipped network is, how it was made and how good it is."""
    from gridwell.network.weights import load_network

    shipped, content = SHIPPED[name], weights.read_bytes()
    recipe = shipped.recipe
    count = sum(tensor.numel() for tensor in load_network(weights).parameters()) / 1e6
    data = (
        f"{shipped.fields} simulated fields of 256 x 256 pixels ({', '.join(shipped.kinds)}; "
        "`gridwell.phantom.fields`)"
    )
    held = ", ".join(sorted(HELD_OUT))
    if shipped.real:
        data += (
            f"; {shipped.real:.0%} of the crops from real fields, all but the sources {held} "
            "(condition and cluster of the index)"
        )
    finish = (
        f" The shipped weights went on for {shipped.finish} batches, from a third of the rate, on "
        "all real fields; the scores below are of the weights before that, so that no field was "
        "seen."
        if shipped.finish
        else ""
    )
    shown = measured[["condition", "fields", "n_true", "ap_50", "ap_75", "aji_plus", "count_error"]]
    text = _CARD.format(
        name=name,
        about=shipped.about,
        size=len(content) / 1e6,
        count=count,
        hash=hashlib.sha256(content).hexdigest(),
        widths="-".join(map(str, recipe.widths)),
        data=data + ".",
        steps=recipe.steps,
        batch=recipe.batch,
        crop=recipe.crop,
        rate=recipe.rate,
        seed=recipe.seed,
        start=f", going on from `{start.stem}`" if start else "",
        low=recipe.augmentation.scale[0],
        high=recipe.augmentation.scale[1],
        finish=finish,
        note=f"\n\n{note}" if note else "",
        how="On fields that the network never saw, in the sizes that the camera gave them (scores: "
        "docs/evaluate.md).",
        table=_markdown(shown.round(3)),
    )
    return wrapped(text)


def wrapped(text: str) -> str:
    """Break the lines of the paragraphs of Markdown anew; headings, lists and tables stay."""
    paragraphs = text.strip().split("\n\n")
    return "\n\n".join(p if p[0] in "#-|" else textwrap.fill(p, 100) for p in paragraphs) + "\n"


def _markdown(table: pd.DataFrame) -> str:
    rows: list[list[object]] = [list(table.columns), ["---"] * table.shape[1]]
    rows += table.to_numpy().tolist()
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)

"""The model card of a study's network: what it is, what it learned from, how good it is."""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from gridwell.config.models import LearnModel
from gridwell.learn.dataset import Item
from gridwell.learn.measure import CLASS_SCORES, INSTANCE_SCORES
from gridwell.learn.recipe import Recipe

_WHO = {"weak": "the teacher's", "corrected": "corrected", "phantom": "known exactly (simulated)"}
_ORIGIN = {
    "teacher": "The labels that it learned from were drawn by a conventional method, its teacher; "
    "nobody drew any.",
    "corrected": "The labels that it learned from were corrected by a person.",
    "both": "The labels that it learned from were corrected by a person, and drawn by a "
    "conventional method, its teacher, on other spots.",
    "folder": "It learned from a folder of labelled images.",
}
_AGREEMENT = (
    "**Measured against the labels of the teacher itself**, for want of others: this tells how "
    "well the network agrees with its teacher, not how good it is. Corrected labels of test slides "
    "tell that (docs/learning.md)."
)
_LAST = (
    "The teacher alone drew the labels: the training stops early (`trust`), and the last state is "
    "kept, not the one that the teacher likes best."
)
_SCORE_WORDS = {
    "aji_plus": "AJI+",
    "ap_50": "AP at IoU 0.5",
    "ap_75": "AP at IoU 0.75",
    "f1": "F1",
    "count_error": "count error",
    "mean_iou": "mean IoU",
    "global_accuracy": "pixels right",
    "mean_boundary_f1": "mean boundary F1",
}


def card(
    name: str,
    model: LearnModel,
    recipe: Recipe,
    *,
    weights: Path,
    items: Sequence[Item],
    data_hash: str,
    notes: Sequence[str],
    start: Path | None,
    curve: pd.DataFrame,
    chosen: bool,
    scores: pd.DataFrame,
) -> str:
    """Write in Markdown what a network is.

    Parameters
    ----------
    name, model
        The network and what the study says of it.
    recipe
        How it was trained.
    weights
        Its file.
    items, data_hash, notes
        Its data set, the hash of it, and what is to be known of how it was made.
    start
        Weights that it went on from.
    curve, chosen
        Its learning curve, and whether the best state on validation was kept, not the last.
    scores
        How good it is, as of `gridwell.learn.measure.measure_network`.
    """
    parts = [
        f"# {name}",
        "Trained by the rules of `rules/learn.smk`; do not edit.",
        "\n".join(_facts(model, weights)),
        "## Data",
        _ORIGIN[model.labels],
        _data_table(items),
        f"sha256 of the data set: `{data_hash}`",
        *notes,
        "## Recipe",
        _recipe(model, recipe, start),
        "## How good it is",
        *_measured(scores, recipe, items),
        "## Learning curve",
        *_curve(name, curve, chosen),
    ]
    return "\n\n".join(_wrapped(part) for part in parts) + "\n"


def _facts(model: LearnModel, weights: Path) -> list[str]:
    content = weights.read_bytes()
    what = "objects" if model.kind == "instance" else "classes of pixels"
    channels = f" in channels {', '.join(model.channels)}" if model.channels else ""
    return [
        f"- finds {what}{channels}",
        f"- file: `{weights.name}`, {len(content) / 1e6:.2f} MB, half precision",
        f"- sha256: `{hashlib.sha256(content).hexdigest()}`",
        "- licence: that of the images and labels it learned from; gridwell adds no condition",
    ]


def _data_table(items: Sequence[Item]) -> str:
    lines = ["| side | labels | sources | images | objects |", "|---|---|---|---|---|"]
    for side in ("train", "validation", "test"):
        for kind, words in _WHO.items():
            own = [item.example for item in items if (item.split, item.kind) == (side, kind)]
            if not own:
                continue
            sources = sorted({example.source for example in own})
            known = [example.labels for example in own if example.labels is not None]
            objects = sum(len(set(labels[labels > 0].tolist())) for labels in known)
            cells = (side, words, _some(sources), len(own), objects if known else "–")
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def _some(names: Sequence[str], most: int = 6) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _recipe(model: LearnModel, recipe: Recipe, start: Path | None) -> str:
    settings = {key: value for key, value in asdict(recipe).items() if key != "augmentation"}
    settings |= asdict(recipe.augmentation)
    begun = "from scratch"
    if model.pretrain != "none":
        fields = f"{model.pretrain_fields} simulated fields of {model.pretrain}"
        begun = f"first on {fields}, then on the data set"
    elif start is not None:
        digest = hashlib.sha256(start.read_bytes()).hexdigest()
        begun = f"going on from `{model.start}`, sha256 `{digest}`"
    listed = ", ".join(f"{key} {_plain(value)}" for key, value in settings.items())
    return f"Preset {model.preset}, {begun}. {listed}."


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_plain, value)) + ")"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _measured(scores: pd.DataFrame, recipe: Recipe, items: Sequence[Item]) -> list[str]:
    pooled = scores[scores["what"].astype(str).str.startswith("pooled")]
    if pooled.empty:
        return ["Not measured: there is no test."]
    names = CLASS_SCORES if recipe.classes else INSTANCE_SCORES
    head = [_SCORE_WORDS[name] for name in names]
    lines = ["| | " + " | ".join(head) + " |", "|" + "---|" * (len(names) + 1)]
    for method in pooled["method"].unique():
        own = pooled[pooled["method"] == method].set_index("what")
        cells = [_with_ends(own[name], signed=method == "difference") for name in names]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    weak = all(item.kind == "weak" for item in items if item.split == "test")
    images = int((scores[scores["method"] == "network"]["what"] == "image").sum())
    told = (
        f"On the {images} test images, of sources that it never learned from; in brackets the 95 % "
        "interval, images drawn with replacement. An interval of few images is wide, and one of a "
        "single source says nothing of other slides."
    )
    return [*([_AGREEMENT] if weak else []), told, "\n".join(lines)]


def _with_ends(values: pd.Series[float], *, signed: bool) -> str:
    sign = "+" if signed else ""
    middle, low, high = (values[f"pooled{end}"] for end in ("", "_low", "_high"))
    if pd.isna(middle):
        return "–"
    return f"{middle:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


def _curve(name: str, curve: pd.DataFrame, chosen: bool) -> list[str]:
    first, last = curve.iloc[0], curve.iloc[-1]
    parts = [
        f"![Learning curve]({name}.curves.png)",
        f"Loss {first['loss']:.3f} after {first['step']:.0f} batches, {last['loss']:.3f} after "
        f"{last['step']:.0f}.",
    ]
    scores = [column for column in curve.columns if column not in ("step", "loss")]
    if not chosen:
        parts.append(_LAST)
    if scores:
        best = curve.iloc[int(curve[scores[0]].argmax()) if chosen else -1]
        words = ", ".join(f"{_SCORE_WORDS[score]} {best[score]:.3f}" for score in scores)
        parts.append(f"Kept is the state after {best['step']:.0f} batches: {words} on validation.")
    return parts


def _wrapped(part: str) -> str:
    """Break the lines of a paragraph; headings, lists, tables and pictures stay."""
    return part if part[0] in "#-|!" else textwrap.fill(part, 100, break_long_words=False)

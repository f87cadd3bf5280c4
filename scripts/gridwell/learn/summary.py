"""A comparison of predictions with the truth in a few lines of text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gridwell.learn.compare import Comparison

if TYPE_CHECKING:
    import pandas as pd

# Images named as those with the lowest score.
_WORST = 3
_SHORT = {
    "instances": (
        "ap_50", "ap_75", "ap_90", "ap_mean", "f1", "pq", "aji_plus", "dice", "count_error",
    ),
    "classes": ("global_accuracy", "mean_recall", "mean_iou", "weighted_iou", "mean_boundary_f1"),
}  # fmt: skip


def in_words(found: Comparison) -> str:
    """Say in a few lines how well the two agree."""
    if found.kind in ("boxes", "class-boxes"):
        lines = _box_words(found.scores)
    else:
        lines = _score_words(found)
    return "\n".join([*lines, *(f"note: {note}" for note in found.notes)])


def _score_words(found: Comparison) -> list[str]:
    table = found.scores.set_index("what")
    pooled, each = table.loc["pooled"], table.loc[["image"]]
    lines = ["1 image" if len(each) == 1 else f"{len(each)} images"]
    if found.kind == "instances":
        lines[0] += f", {pooled.n_true:.0f} true objects, {pooled.n_pred:.0f} predicted"
    sure = "pooled_low" in table.index
    lines.append(f"{'':18}  pooled" + ("  95 % interval" if sure else ""))
    for name in _SHORT[found.kind]:
        line = f"{name:18}  {_number(pooled[name])}"
        if sure:
            line += f"   {_number(table[name]['pooled_low'])} {_number(table[name]['pooled_high'])}"
        lines.append(line)
    if found.classes is not None:
        lines += ["", f"{'class':18}  recall precision  iou   boundary_f1"]
        for row in found.classes[found.classes.what == "class"].to_dict("records"):
            numbers = (row[name] for name in ("recall", "precision", "iou", "boundary_f1"))
            lines.append(f"{row['class']:18}  " + "  ".join(map(_number, numbers)))
    main = _SHORT[found.kind][0 if found.kind == "instances" else 2]
    if len(each) > _WORST:
        worst = each.dropna(subset=[main]).sort_values([main, "image"]).head(_WORST)
        told = (f"{row['image']} {row[main]:.2f}" for row in worst.to_dict("records"))
        lines.append(f"lowest {main}: " + ", ".join(told))
    return lines


def _box_words(table: pd.DataFrame) -> list[str]:
    lines = [f"{'class':18}    true    pred  matched  higher  fp_ratio  fn_ratio"]
    lines += [
        f"{row['class'] or 'all':18}  {row['n_true']:6.0f}  {row['n_pred']:6.0f}  "
        f"{row['matched']:7.0f}  {row['higher']:6.0f}    {_number(row['fp_ratio'])}    "
        f"{_number(row['fn_ratio'])}"
        for row in table[table.what == "pooled"].to_dict("records")
    ]
    return lines


def _number(value: Any) -> str:
    return "   -  " if math.isnan(value) else f"{value:6.3f}"

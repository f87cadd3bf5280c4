"""The learning curve of a network, drawn."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from gridwell.config.files import whole

# Told apart with any colour vision (Okabe and Ito).
_LOSS, *_SCORES = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")


def draw_curve(path: Path, curve: pd.DataFrame, *, chosen: bool = True) -> None:
    """Draw loss and validation scores against the number of batches, as a PNG.

    Parameters
    ----------
    path
        File to write.
    curve
        ``step``, ``loss`` and, if there was validation, a column for each score, 0..1.
    chosen
        The state with the highest first score is kept, and marked by a line; else the last is.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    scores = [name for name in curve.columns if name not in ("step", "loss")]
    figure = Figure(figsize=(6.4, 3.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    left = figure.add_subplot()
    left.plot(curve["step"], curve["loss"], color=_LOSS, label="loss (training)")
    left.set(xlabel="batches", ylabel="loss")
    left.set_ylim(bottom=0)
    lines = list(left.lines)
    if scores:
        right = left.twinx()
        for name, colour in zip(scores, _SCORES, strict=False):
            label = f"{name} (validation)"
            lines += right.plot(curve["step"], curve[name], color=colour, marker=".", label=label)
        right.set(ylabel="score", ylim=(0, 1))
        kept = curve["step"].iloc[-1]
        if chosen:
            kept = curve["step"].iloc[int(curve[scores[0]].argmax())]
        lines.append(left.axvline(kept, color="#999999", linestyle=":", label="kept"))
    left.legend(handles=lines, loc="center right", fontsize=8)
    with whole(path) as part:
        figure.savefig(part, format="png", metadata={"Software": None})

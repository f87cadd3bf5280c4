"""Grids made from the truth of a rendered scene, without any detection."""

from __future__ import annotations

import numpy as np
import pandas as pd
from gridwell.config.spots import row_letters, spot_name
from gridwell.grid.model import Grid

from tests.unit.grid.synth import Scene


def grid_of(made: Scene, *, size: float = 18.0, angle: float = 0.0) -> Grid:
    """The true grid of a scene at scale 1, named as the image stands."""
    rows, cols = made.present.shape
    r, c = (k.ravel() for k in np.indices((rows, cols)))
    flat = made.centres.reshape(-1, 2)
    found = made.present.ravel()
    table = pd.DataFrame(
        {
            "spot": [spot_name(int(a), int(b)) for a, b in zip(r, c, strict=True)],
            "row": [row_letters(int(a)) for a in r],
            "col": c.astype(np.int64) + 1,
            "x": flat[:, 0],
            "y": flat[:, 1],
            "width": np.full(len(flat), size),
            "height": np.full(len(flat), size + 1),
            "found": found,
            "score": np.where(found, 1.0, 0.0),
            "flags": np.where(found, "", "not_found").astype(str),
        }
    )
    h, w = made.image.shape
    step = made.centres[0, 1] - made.centres[0, 0], made.centres[1, 0] - made.centres[0, 0]
    return Grid(
        status="ok",
        reason="",
        confidence=1.0,
        rows=rows,
        cols=cols,
        pitch=(float(np.hypot(*step[0])), float(np.hypot(*step[1]))),
        angle=float(np.degrees(np.arctan2(step[0][1], step[0][0]))),
        origin=(float(flat[0, 0]), float(flat[0, 1])),
        shape="round",
        width=size,
        height=size + 1,
        blocks=(
            {"first_row": 1, "last_row": rows, "first_col": 1, "last_col": 2,
             "x": float(flat[0, 0]), "y": float(flat[0, 1])},
            {"first_row": 1, "last_row": rows, "first_col": 3, "last_col": cols,
             "x": float(flat[2, 0]), "y": float(flat[2, 1])},
        ),
        margins={"shift_up": 1.0, "shift_right": 2.0, "add_first_row": 3.0, "remove_last_col": 4.0},
        image=(w, h),
        table=table,
    )  # fmt: skip

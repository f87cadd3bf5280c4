"""Print where dearrayer sees every position of a grid; runs in dearrayer's own environment."""

import json
import sys
import time

import numpy as np
from dearrayer.models import GridCell, TissueMicroarray
from dearrayer.services import GridDetectingService, GridDetectingServiceParameters

given = np.load(sys.argv[1])
rows = [f"{i}" for i in range(int(given["rows"]))]
cols = [f"{i}" for i in range(int(given["cols"]))]
start = time.process_time()
grid = GridDetectingService()(
    TissueMicroarray(given["image"]),
    GridDetectingServiceParameters(
        core_diameter=max(round(float(given["diameter"])), 1),
        column_labels=cols,
        row_labels=rows,
    ),
)
side = max(given["image"].shape)


def place(row, col):
    core = grid.get_or_predict(GridCell(col_label=col, row_label=row))
    return [np.nan] * 2 if core is None else [core.position.x * side, core.position.y * side]


places = [[place(row, col) for col in cols] for row in rows]
print(json.dumps({"places": places, "seconds": time.process_time() - start}))

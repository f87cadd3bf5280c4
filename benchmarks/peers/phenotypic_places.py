"""Print where PhenoTypic sees every position of a grid; runs in its own environment."""

import json
import sys
import time

import numpy as np
from phenotypic import GridImage
from phenotypic.detect import OtsuDetector
from phenotypic.grid import AutoGridFinder

given = np.load(sys.argv[1])
shape = int(given["rows"]), int(given["cols"])
start = time.process_time()
finder = AutoGridFinder(nrows=shape[0], ncols=shape[1])
image = GridImage(arr=given["image"], nrows=shape[0], ncols=shape[1], grid_finder=finder)
image = OtsuDetector().apply(image)
edges = image.grid.get_row_edges(), image.grid.get_col_edges()
y, x = ((np.asarray(e[:-1], float) + np.asarray(e[1:], float)) / 2 for e in edges)
places = np.stack(np.meshgrid(x, y), axis=-1)
# A colony lies where it is; only positions without one are in the middle of their cell.
table = image.grid.info()
for row, col, cy, cx in table[
    ["Grid_RowNum", "Grid_ColNum", "Bbox_CenterRR", "Bbox_CenterCC"]
].to_numpy():
    places[int(row), int(col)] = cx, cy
print(json.dumps({"places": places.tolist(), "seconds": time.process_time() - start}))

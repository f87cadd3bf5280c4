"""Write an image as a pyramid with ome-zarr-py, print CPU seconds; runs in its own environment.

Arguments: the image, where to write, the number of levels. Works once for each line of the
standard input.
"""

import json
import shutil
import sys
import time

import dask
import ome_zarr.writer
import tifffile
import zarr

dask.config.set(scheduler="synchronous")
source, out, levels = sys.argv[1], sys.argv[2], int(sys.argv[3])
for _ in sys.stdin:
    start = time.process_time()
    image = tifffile.imread(source, maxworkers=1)
    ome_zarr.writer.write_image(
        image,
        zarr.open_group(out, mode="w"),
        axes="yx",
        scale_factors=[2**level for level in range(1, levels)],
        storage_options={"chunks": (512, 512)},
    )
    seconds = time.process_time() - start
    shutil.rmtree(out)
    print(json.dumps({"seconds": seconds}), flush=True)

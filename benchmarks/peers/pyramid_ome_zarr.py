"""Write an image as a pyramid with ome-zarr-py, print CPU seconds; runs in its own environment."""

import json
import sys
import time

import dask
import ome_zarr.writer
import tifffile
import zarr

dask.config.set(scheduler="synchronous")
source, out, levels = sys.argv[1], sys.argv[2], int(sys.argv[3])
start = time.process_time()
image = tifffile.imread(source, maxworkers=1)
group = zarr.open_group(out, mode="w")
ome_zarr.writer.write_image(
    image,
    group,
    axes="yx",
    scale_factors=[2**level for level in range(1, levels)],
    storage_options={"chunks": (512, 512)},
)
print(json.dumps({"seconds": time.process_time() - start}))

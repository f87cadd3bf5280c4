"""Print CPU seconds of Cellpose 3's network and masks on images; runs in its own environment.

The weights are random, so only its cost is measured; flows for the masks are those of given
labels, since random ones lead nowhere. Images are looked at as large as they are.
"""

import json
import sys
import time

import numpy as np
import torch
from cellpose import dynamics
from cellpose.resnet_torch import CPnet

torch.set_num_threads(1)
given = np.load(sys.argv[1])
network = CPnet(nbase=[2, 32, 64, 128, 256], nout=3, sz=3).eval()
seconds = []
for image, labels in zip(given["images"], given["labels"], strict=True):
    flow = dynamics.labels_to_flows([labels.astype(np.int32)], device=torch.device("cpu"))[0]
    shown = torch.from_numpy(np.stack([image, np.zeros_like(image)])[None].astype(np.float32))
    start = time.process_time()
    with torch.inference_mode():
        network(shown)
    dynamics.compute_masks(5 * flow[2:4], np.where(flow[1] > 0, 6.0, -6.0), niter=200)
    seconds.append(time.process_time() - start)
print(json.dumps({"seconds": float(np.median(seconds))}))

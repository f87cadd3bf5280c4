"""Print CPU seconds of Cellpose 3's network and masks on images; runs in its own environment.

The weights are random, so only its cost is measured; flows for the masks are those of given
labels, since random ones lead nowhere. Images are looked at as large as they are and whole, not
in overlapping tiles. Works once on all images for each line of the standard input.
"""

import json
import sys
import time

import numpy as np
import torch
from cellpose import core, dynamics
from cellpose.resnet_torch import CPnet

torch.set_num_threads(1)
CPU = torch.device("cpu")
given = np.load(sys.argv[1])
# As CellposeModel makes it on a CPU.
network = CPnet(nbase=[2, 32, 64, 128, 256], nout=3, sz=3, mkldnn=core.check_mkl()).eval()
shown, flows = [], []
for image, labels in zip(given["images"], given["labels"], strict=True):
    h, w = (length - length % 16 for length in image.shape)
    (flow,) = dynamics.labels_to_flows([labels[:h, :w].astype(np.int32)], device=CPU)
    # The network learns five times the flow, which is what masks are made from.
    flows.append((5 * flow[2:4], np.where(flow[1] > 0, 6.0, -6.0)))
    both = np.stack([image, np.zeros_like(image)])[None, :, :h, :w]
    shown.append((both / image.max()).astype(np.float32))
for _ in sys.stdin:
    start = time.process_time()
    for image, (flow, inside) in zip(shown, flows, strict=True):
        core._forward(network, image)
        dynamics.compute_masks(flow, inside, niter=200, device=CPU)
    print(json.dumps({"seconds": time.process_time() - start}), flush=True)

"""Print CPU seconds of a network by OpenVINO on one image; runs in OpenVINO's own environment.

Reads a file of torch.save: the network as traced by torch, its input, and the precision. Works
once for each line of the standard input.
"""

import io
import json
import sys
import time

import openvino
import torch

given = torch.load(sys.argv[1], weights_only=True)
network = torch.jit.load(io.BytesIO(given["network"].numpy().tobytes()))
model = openvino.convert_model(network, example_input=given["image"])
model.reshape(list(given["image"].shape))
settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": given["precision"]}
request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
image = given["image"].numpy()
for _ in sys.stdin:
    start = time.process_time()
    request.infer([image])
    print(json.dumps({"seconds": time.process_time() - start}), flush=True)

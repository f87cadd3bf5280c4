"""Print CPU seconds of StarDist's network and objects on images; runs in its own environment.

The weights are random, so only its cost is measured; the distances that objects are made from are
those of given labels. Configuration and thresholds are those of 2D_versatile_fluo. Works once on
all images for each line of the standard input.
"""

import json
import os
import sys
import time

os.environ.update({"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"})
os.environ.update({"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "2"})

import numpy as np
import tensorflow as tf
from stardist.geometry import star_dist
from stardist.models import Config2D, StarDist2D
from stardist.utils import edt_prob

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
STEP = 2
given = np.load(sys.argv[1])
model = StarDist2D(Config2D(n_rays=32, grid=(STEP, STEP), n_channel_in=1), name=None, basedir=None)
shown, maps = [], []
for image, whole in zip(given["images"], given["labels"], strict=True):
    h, w = (length - length % 16 for length in image.shape)
    labels = whole[:h, :w].astype(np.int32)
    shown.append((image[None, :h, :w, None] / image.max()).astype(np.float32))
    probability = edt_prob(labels)[::STEP, ::STEP].astype(np.float32)
    maps.append((labels.shape, probability, star_dist(labels, 32, grid=(STEP, STEP))))
for _ in sys.stdin:
    start = time.process_time()
    for image, (shape, probability, distances) in zip(shown, maps, strict=True):
        model.keras_model.predict_on_batch(image)
        model._instances_from_prediction(
            shape, probability, distances, prob_thresh=0.479, nms_thresh=0.3
        )
    print(json.dumps({"seconds": time.process_time() - start}), flush=True)

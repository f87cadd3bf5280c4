"""Maps of an untrained network: a mask of single pixels, each of which is a maximum."""

from __future__ import annotations

import numpy as np
from gridwell.segment.flood import FloodOptions, instances


def test_every_pixel_of_a_checkerboard_is_an_object():
    inside = (np.indices((64, 64)).sum(0) % 2).astype(np.float32)
    cell = np.ones((64, 64), np.float32)
    found = instances(cell, np.zeros_like(cell), inside, FloodOptions(least_area=1))
    assert found.max() == 64 * 32
    assert instances(cell, np.zeros_like(cell), inside, FloodOptions()).max() == 0

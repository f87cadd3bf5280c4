"""Patches and a colour chart beside the spots of a scan."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gridwell.colour.chart import read_chart
from gridwell.colour.patches import read_patch, read_white
from gridwell.colour.spaces import to_lab, to_srgb
from gridwell.config.errors import InputError
from gridwell.config.models import ColourChart

colour = pytest.importorskip("colour", reason="colour-science is not installed")

SIDE = 20


class Picture:
    """A slide that shows one 8-bit RGB image."""

    def __init__(self, linear: np.ndarray) -> None:
        self.pixels = np.clip(np.rint(255 * to_srgb(linear)), 0, 255).astype(np.uint8)
        self.info = {"slide": "S1", "width": linear.shape[1], "height": linear.shape[0]}

    def read(self, channel: str, *, y0: int, y1: int, x0: int, x1: int) -> np.ndarray:
        return self.pixels[y0:y1, x0:x1]


def picture(linear: np.ndarray) -> Any:
    return Picture(linear)


def known(kind: str = ColourChart.model_fields["kind"].default) -> np.ndarray:
    """Linear sRGB of the chart's patches, white under D65."""
    chart = colour.CCS_COLOURCHECKERS[kind]
    xyz = colour.xyY_to_XYZ(np.array(list(chart.data.values())))
    return np.clip(colour.XYZ_to_sRGB(xyz, chart.illuminant, apply_cctf_encoding=False), 0, 1)


def drawn(patches: np.ndarray) -> tuple[Any, ColourChart]:
    """A scan of a chart, 10 pixels from the corner, and where it is."""
    image = np.full((4 * SIDE + 20, 6 * SIDE + 20, 3), 0.2)
    for i, patch in enumerate(patches):
        y, x = 10 + i // 6 * SIDE, 10 + i % 6 * SIDE
        image[y : y + SIDE, x : x + SIDE] = patch
    first, last_x, last_y = 10 + SIDE / 2, 10 + 5.5 * SIDE, 10 + 3.5 * SIDE
    corners = ((first, first), (last_x, first), (first, last_y), (last_x, last_y))
    return picture(image), ColourChart(corners=corners)


# What a camera makes of colours: its channels see parts of each other's.
MIX = np.array([[0.8, 0.15, 0.05], [0.1, 0.75, 0.15], [0.02, 0.2, 0.7]])


@pytest.mark.parametrize("exposure", [0.5, 0.9])
def test_a_chart_undoes_the_colours_of_a_camera(exposure: float) -> None:
    white = exposure * MIX.sum(axis=1)
    image, chart = drawn(known() @ MIX.T * exposure)
    found = read_chart(image, "scan", chart, white=white, black=np.zeros(3))
    colours = np.random.default_rng(0).uniform(0.05, 0.9, (50, 3))
    seen = colours @ MIX.T / MIX.sum(axis=1)
    corrected = found.correct(np.vstack([np.ones(3), seen, np.full(3, np.nan)]))
    np.testing.assert_allclose(corrected[0], 1)
    assert np.isnan(corrected[-1]).all()
    before = np.linalg.norm(to_lab(seen) - to_lab(colours), axis=1).mean()
    after = np.linalg.norm(to_lab(corrected[1:-1]) - to_lab(colours), axis=1).mean()
    assert after < 0.3 * before


def test_what_is_no_chart_is_refused() -> None:
    image, chart = drawn(known()[::-1])  # upside down
    with pytest.raises(InputError, match=r"colour\.chart\.corners: does not lead to a chart"):
        read_chart(image, "scan", chart, white=np.ones(3), black=np.zeros(3))
    outside = ColourChart(corners=((0, 0), (500, 0), (0, 300), (500, 300)))
    with pytest.raises(InputError, match="leaves the image, which is 140 x 100 pixels"):
        read_chart(image, "scan", outside, white=np.ones(3), black=np.zeros(3))


def test_a_patch_is_read_where_it_lies() -> None:
    image = np.full((40, 60, 3), 0.1)
    image[5:15, 20:40] = [0.8, 0.7, 0.6]
    found = read_patch(picture(image), "scan", (20, 5, 20, 10), "colour.white_patch")
    np.testing.assert_allclose(found, [0.8, 0.7, 0.6], rtol=0.01)


@pytest.mark.parametrize(
    ("light", "box", "reason"),
    [
        (0.8, (-1, 0, 10, 10), "leaves the image"),
        (0.8, (0, 0, 10, 100), "leaves the image"),
        (1.0, (0, 0, 10, 10), "is at full scale"),
        (0.05, (0, 0, 10, 10), "is dark"),
    ],
)
def test_a_white_patch_that_cannot_be_white_is_refused(
    light: float, box: tuple[float, float, float, float], reason: str
) -> None:
    with pytest.raises(InputError, match=rf"colour\.white_patch: {reason}"):
        read_white(picture(np.full((40, 60, 3), light)), "scan", box, None)

"""Colours corrected by a colour chart, so that scanners and cameras agree.

The correction is a root-polynomial of second degree (Finlayson, Mackiewicz and Hurlbert 2015), by
colour-science: it does not depend on exposure.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gridwell.colour.patches import CONFIG, read_patch
from gridwell.colour.spaces import to_lab
from gridwell.config.errors import InputError, Problem

if TYPE_CHECKING:
    from gridwell.config.models import ColourChart
    from gridwell.images.slide import SlideImage

Floats = NDArray[np.float64]

ROWS, COLS = 4, 6
PART = 0.4
"""Part of the distance between two patches that is looked at of each."""
WORST = 8.0
"""Mean CIEDE2000 of the corrected patches beyond which it is no such chart."""
METHOD, DEGREE = "Finlayson 2015", 2


@dataclass(frozen=True)
class Chart:
    """A chart as a slide shows it.

    Attributes
    ----------
    seen, known
        Colours of the patches relative to white, and as they are: linear sRGB, shape (24, 3).
    """

    seen: Floats
    known: Floats

    def correct(self, linear: Floats) -> Floats:
        """Correct colours (n, 3) relative to white; white stays white."""
        from colour.characterisation import colour_correction

        known = np.isfinite(linear).all(axis=1)
        given = np.vstack([np.ones(3), np.maximum(linear[known], 0)])
        found = colour_correction(given, self.seen, self.known, METHOD, degree=DEGREE)
        corrected = np.full(linear.shape, np.nan)
        corrected[known] = np.maximum(found[1:] / found[0], 0)
        return corrected


def read_chart(
    slide: SlideImage, channel: str, chart: ColourChart, *, white: Floats, black: Floats
) -> Chart:
    """Read the patches of a chart on a slide.

    Parameters
    ----------
    slide, channel
        The slide's pixels.
    chart
        Which chart, and where.
    white, black
        Of the slide, linear light as recorded, (3,).

    Raises
    ------
    InputError
        If it does not lie in the image, or its colours are not those of the chart.
    """
    from skimage.color import deltaE_ciede2000

    seen = (
        np.array([read_patch(slide, channel, box, "colour.chart") for box in _boxes(chart)]) - black
    ) / white
    known = _known(chart.kind)
    found = Chart(np.maximum(seen, 1e-6), known)
    corrected = found.correct(found.seen)
    scale = known[:, 1].mean() / corrected[:, 1].mean()
    error = float(np.mean(deltaE_ciede2000(to_lab(corrected * scale), to_lab(known))))
    if not error <= WORST:
        raise InputError(
            Problem(
                CONFIG,
                f"does not lead to a chart on slide {slide.info['slide']}: its colours are off by "
                f"{error:.0f} CIEDE2000 after the correction",
                "Give the centres of dark skin, bluish green, white and black, in this order, as "
                "they lie in the scan, or leave the chart out.",
                column="colour.chart.corners",
                value=[list(corner) for corner in chart.corners],
            )
        )
    return found


def _boxes(chart: ColourChart) -> list[tuple[float, float, float, float]]:
    """Inside of each patch as x, y, width, height in pixels, row by row."""
    import cv2

    corners = np.array(chart.corners, np.float32)
    ends = np.array([[0, 0], [COLS - 1, 0], [0, ROWS - 1], [COLS - 1, ROWS - 1]], np.float32)
    places = np.array([[[col, row]] for row, col in product(range(ROWS), range(COLS))], np.float32)
    centres = cv2.perspectiveTransform(places, cv2.getPerspectiveTransform(ends, corners))[:, 0]
    side = PART * float(np.linalg.norm(corners[1] - corners[0])) / (COLS - 1)
    return [(float(x) - side / 2, float(y) - side / 2, side, side) for x, y in centres]


def _known(kind: str) -> Floats:
    """Colours of a chart's patches in linear sRGB under D65, shape (24, 3)."""
    import colour

    chart = colour.CCS_COLOURCHECKERS[kind]
    xyz = colour.xyY_to_XYZ(np.array(list(chart.data.values())))
    return np.asarray(
        np.maximum(colour.XYZ_to_sRGB(xyz, chart.illuminant, apply_cctf_encoding=False), 1e-6)
    )

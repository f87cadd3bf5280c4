"""What is white on a slide, and at each spot of it: uneven light, white, black.

All in linear light. Light falls unevenly, so white is a smooth surface over the slide, seen on the
background around the spots, or on blank spots where the background is dark. How bright and of which
tint white is, is told by a white patch, by blank spots or by the background itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gridwell.colour.spaces import LUMINANCE

Floats = NDArray[np.float64]
Source = Literal["patch", "blank", "background", "none"]

DARKEST_WHITE = 0.1
"""Linear luminance; what is darker is no white to refer to."""
# Degree of the surface by the places that it rests on.
DEGREES = ((96, 4), (48, 3), (24, 2), (6, 1), (0, 0))
WORST_CONDITION = 10.0
"""Condition number of a fit beyond which places lie too much in a line for its degree."""


@dataclass(frozen=True)
class White:
    """White over a slide.

    Attributes
    ----------
    surface
        White at each spot, linear light above black, shape (n, 3).
    level
        White of the slide as a whole, (3,): what a later slide is compared with.
    black
        Stray light that is in every pixel, (3,).
    source
        What is taken for white; ``none``: nothing is, colours stay as recorded.
    """

    surface: Floats
    level: Floats
    black: Floats
    source: Source

    def relative(self, recorded: Floats) -> Floats:
        """Colours (n, 3) of the spots as seen in even light, white is 1."""
        return np.asarray((recorded - self.black) / self.surface)


def find_white(
    x: Floats,
    y: Floats,
    background: Floats,
    spots: Floats,
    blank: NDArray[np.bool_],
    *,
    patch: Floats | None = None,
    black: Floats | None = None,
) -> White:
    """Find white at every spot.

    Parameters
    ----------
    x, y
        Positions of the spots, shape (n,).
    background, spots
        Linear light around and inside the spots as recorded, shape (n, 3), NaN where unknown.
    blank
        Which spots hold no dye, shape (n,).
    patch, black
        Linear light of a white and a black patch, (3,); None: there is none.
    """
    dark = np.zeros(3) if black is None else black
    around, blanks = background - dark, np.where(blank[:, None], spots - dark, np.nan)
    shape = np.ones_like(background)
    source: Source = "none"
    if _is_light(around):
        shape, source = light_surface(x, y, around), "background"
    elif _is_light(blanks):
        shape = light_surface(x, y, blanks)
    if patch is not None:
        shape, source = shape / np.median(shape, axis=0) * (patch - dark), "patch"
    elif _is_light(blanks):
        shape, source = shape * np.nanmedian(blanks / shape, axis=0), "blank"
    return White(shape, np.median(shape, axis=0), dark, source)


def _is_light(seen: Floats) -> bool:
    known = seen[(seen > 0).all(axis=1)]
    return len(known) > 0 and float(np.median(known @ LUMINANCE)) >= DARKEST_WHITE


def light_surface(x: Floats, y: Floats, seen: Floats) -> Floats:
    """Colour of something white at each spot, as a smooth surface over the slide.

    A polynomial in x and y is fitted to the log of each channel, of fourth degree from 96 places
    on, second from 24, first from 6, less where they lie in a line. Tukey's biweight keeps places
    that show a neighbour or dirt from bending it.

    Parameters
    ----------
    x, y
        Positions, shape (n,).
    seen
        Linear light of what is white there, shape (n, 3), NaN where unknown; not all may be.

    Returns
    -------
    surface
        Shape (n, 3).
    """
    known: NDArray[np.bool_] = np.asarray((seen > 0).all(axis=1))
    u, v = (2 * (p - p.min()) / max(np.ptp(p), 1.0) - 1 for p in (x, y))
    design = _design(u, v, known)
    logs = np.log(seen[known])
    return np.exp(np.stack([design @ _robust(design[known], column) for column in logs.T], axis=1))


def _design(u: Floats, v: Floats, known: NDArray[np.bool_]) -> Floats:
    """Legendre polynomials of (n,) places, of the highest degree that the known ones settle."""
    highest = next(degree for least, degree in DEGREES if known.sum() >= least)
    for degree in range(highest, 0, -1):
        terms = np.polynomial.legendre.legvander2d(u, v, [degree, degree])
        total = np.add.outer(np.arange(degree + 1), np.arange(degree + 1)).ravel()
        design = terms[:, total <= degree]
        if np.linalg.cond(design[known]) < WORST_CONDITION:
            return np.asarray(design)
    return np.ones((len(u), 1))


def _robust(design: Floats, y: Floats) -> Floats:
    """Regression by iteratively reweighted least squares, Huber's weights, then Tukey's."""
    weight = np.ones(len(y))
    beta: Floats = np.zeros(design.shape[1])
    for step in range(30):
        root = np.sqrt(weight)
        beta = np.asarray(np.linalg.lstsq(design * root[:, None], y * root, rcond=None)[0])
        residual = np.abs(y - design @ beta)
        spread = max(1.4826 * float(np.median(residual)), 1e-9)
        if step < 10:
            weight = 1 / np.maximum(residual / (1.345 * spread), 1)
        else:
            weight = np.maximum(1 - (residual / (4.685 * spread)) ** 2, 0) ** 2
    return beta

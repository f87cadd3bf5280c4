"""Colour spaces: sRGB as recorded, linear light, HSV and CIE L*a*b*."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

LUMINANCE = np.array([0.2126729, 0.7151522, 0.0721750])
"""Share of red, green and blue light in luminance (IEC 61966-2-1)."""

LEAST_SATURATION = 0.02
"""Below it, a hue is noise."""
LEAST_CHROMA = 2.0
"""The same in CIE L*a*b*."""


def to_linear(encoded: ArrayLike) -> Floats:
    """Linear light of sRGB values 0..1 (IEC 61966-2-1); any shape."""
    v = np.asarray(encoded, dtype=float)
    return np.where(v <= 0.04045, v / 12.92, ((np.maximum(v, 0) + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: ArrayLike) -> Floats:
    """sRGB of linear light, the inverse of `to_linear`; above 1 it goes on."""
    v = np.asarray(linear, dtype=float)
    return np.where(v <= 0.0031308, v * 12.92, 1.055 * np.maximum(v, 0) ** (1 / 2.4) - 0.055)


def to_lab(linear: ArrayLike) -> Floats:
    """CIE L*a*b* (D65, 2 degrees) of linear sRGB, white at (100, 0, 0); shape (..., 3)."""
    from skimage.color import xyz2lab
    from skimage.color.colorconv import xyz_from_rgb

    # Rows that sum to the white point that xyz2lab divides by: white has no tint at all.
    to_xyz = xyz_from_rgb * (np.array([0.95047, 1.0, 1.08883]) / xyz_from_rgb.sum(axis=1))[:, None]
    return np.asarray(xyz2lab(np.asarray(linear, dtype=float) @ to_xyz.T), dtype=float)


def hue_saturation(linear: ArrayLike) -> tuple[Floats, Floats]:
    """HSV hue (degrees, 0..360, NaN for a gray) and saturation (0..1) of (..., 3) colours."""
    from skimage.color import rgb2hsv

    hsv = rgb2hsv(np.maximum(to_srgb(linear), 0))
    hue, saturation = hsv[..., 0], hsv[..., 1]
    return np.where(saturation >= LEAST_SATURATION, 360 * hue, np.nan), saturation


def chroma_hue(lab: Floats) -> tuple[Floats, Floats]:
    """CIE chroma and hue angle (degrees, 0..360, NaN for a gray) of (..., 3) L*a*b*."""
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    hue = np.degrees(np.arctan2(lab[..., 2], lab[..., 1])) % 360
    return chroma, np.where(chroma >= LEAST_CHROMA, hue, np.nan)

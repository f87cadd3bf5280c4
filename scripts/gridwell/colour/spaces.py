"""Colour spaces: sRGB as recorded, linear light, HSV and CIE L*a*b*, and the metrics in them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

# Linear sRGB (D65) to XYZ with white at (1, 1, 1) after division by WHITE; IEC 61966-2-1.
_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_WHITE = _TO_XYZ.sum(axis=1)
LUMINANCE = _TO_XYZ[1]

LEAST_SATURATION = 0.02  # below it, a hue is noise


def to_linear(encoded: ArrayLike) -> Floats:
    """Linear light of sRGB values 0..1 (IEC 61966-2-1); any shape."""
    v = np.asarray(encoded, dtype=float)
    return np.where(v <= 0.04045, v / 12.92, ((np.maximum(v, 0) + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: ArrayLike) -> Floats:
    """sRGB of linear light, the inverse of `to_linear`; above 1 it goes on."""
    v = np.asarray(linear, dtype=float)
    return np.where(v <= 0.0031308, v * 12.92, 1.055 * np.maximum(v, 0) ** (1 / 2.4) - 0.055)


def to_lab(linear: ArrayLike) -> Floats:
    """CIE L*a*b* (D65) of linear sRGB; shape (..., 3) to (..., 3)."""
    xyz = np.asarray(linear, dtype=float) @ _TO_XYZ.T / _WHITE
    edge = 6 / 29
    f = np.where(xyz > edge**3, np.cbrt(xyz), xyz / (3 * edge**2) + 4 / 29)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def hue_saturation(linear: ArrayLike) -> tuple[Floats, Floats]:
    """HSV hue (degrees, 0..360, NaN below a saturation of 0.02) and saturation (0..1)."""
    v = to_srgb(linear)
    r, g, b = v[..., 0], v[..., 1], v[..., 2]
    high, low = v.max(axis=-1), v.min(axis=-1)
    chroma = high - low
    with np.errstate(divide="ignore", invalid="ignore"):
        saturation = np.where(high > 0, chroma / high, 0.0)
        sector = np.select(
            [high == r, high == g], [(g - b) / chroma, 2 + (b - r) / chroma], 4 + (r - g) / chroma
        )
    hue = np.where(saturation >= LEAST_SATURATION, 60 * sector % 360, np.nan)
    return hue, saturation


def colour_metric(linear: ArrayLike, metric: str) -> Floats:
    """Number of each colour; shape (n, 3) of linear sRGB to (n,).

    ``gray`` (luminance), ``red``, ``green``, ``blue``: linear light, 1 is white. ``hue``: HSV, in
    degrees. ``saturation``: HSV, 0..1. ``lightness``, ``a``, ``b``: CIE L*, a*, b*.
    """
    linear = np.asarray(linear, dtype=float)
    if metric == "gray":
        return linear @ LUMINANCE
    if metric in ("red", "green", "blue"):
        return linear[..., ("red", "green", "blue").index(metric)]
    if metric in ("hue", "saturation"):
        return hue_saturation(linear)[metric == "saturation"]
    return to_lab(linear)[..., ("lightness", "a", "b").index(metric)]


def unwrap_hue(hue: ArrayLike) -> Floats:
    """Hues with the circle cut in their widest gap, so that neighbours stay neighbours.

    >>> unwrap_hue([350.0, 10.0, 20.0]).tolist()
    [350.0, 370.0, 380.0]
    """
    hue = np.asarray(hue, dtype=float)
    known = np.unique(hue[np.isfinite(hue)])
    if len(known) < 2:
        return hue
    gaps = np.diff(np.append(known, known[0] + 360))
    first = known[(int(gaps.argmax()) + 1) % len(known)]
    return np.where(hue < first, hue + 360, hue)

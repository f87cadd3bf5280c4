"""An indicator of two or three colours, as colours and as crops of a scan."""

from __future__ import annotations

import numpy as np
import pandas as pd
from gridwell.colour.spaces import to_srgb
from gridwell.config.spots import spot_name
from gridwell.images.spots import SpotFrame

ROWS, COLS, SIZE = 6, 9, 30
ACID, BASE = np.array([0.75, 0.55, 0.05]), np.array([0.15, 0.2, 0.6])
YELLOW, PURPLE, LIME = (np.array(c) for c in ([0.8, 0.6, 0.1], [0.5, 0.1, 0.5], [0.6, 0.8, 0.3]))
LEVELS = np.arange(5.0, 9.01, 0.5)


def frame(rows: int = ROWS, cols: int = COLS, **changes: object) -> SpotFrame:
    n = rows * cols
    col, row = np.meshgrid(np.arange(cols), np.arange(rows))
    facts: dict[str, object] = {
        "slide": "S1",
        "rows": rows,
        "cols": cols,
        "spots": tuple(spot_name(i // cols, i % cols) for i in range(n)),
        "x": tuple(100.0 + 45 * col.ravel()),
        "y": tuple(100.0 + 45 * row.ravel()),
        "angle": 0.0,
        "width": float(SIZE),
        "height": float(SIZE),
        "shape": "round",
        "found": (True,) * n,
        "margin": 0.2,
    }
    return SpotFrame(**(facts | changes))  # type: ignore[arg-type]


def ph_colour(ph: np.ndarray) -> np.ndarray:
    """Linear colour of an indicator with pKa 7 (Henderson-Hasselbalch)."""
    share = 1 / (1 + 10 ** (7 - np.asarray(ph, float)))[..., None]
    return np.exp((1 - share) * np.log(ACID) + share * np.log(BASE))


def three_colours(ph: np.ndarray) -> np.ndarray:
    """Linear colour of an indicator with steps at pH 6 and 8: every channel turns back."""
    first = 10 ** (np.asarray(ph, float) - 6)[..., None]
    second = first * 10 ** (np.asarray(ph, float) - 8)[..., None]
    logs = np.log(YELLOW) + first * np.log(PURPLE) + second * np.log(LIME)
    return np.exp(logs / (1 + first + second))


def spots_of(levels: np.ndarray, count: int = 3, noise: float = 0.01, seed: int = 0, of=ph_colour):
    """Colours (n, 3) and values (n,) of calibration spots."""
    value = np.repeat(levels, count)
    scatter = 1 + noise * np.random.default_rng(seed).normal(size=(len(value), 3))
    return of(value) * scatter, value


def scan(
    linear: np.ndarray,
    f: SpotFrame,
    *,
    gradient: float = 0.0,
    exposure: float = 1.0,
    noise: float = 0.0,
    dirt: bool = False,
    depth: int = 16,
    white: tuple[float, float, float] = (0.8, 0.8, 0.8),
) -> np.ndarray:
    """Crops of a scan with spots of those linear colours (relative to white) on white."""
    rng = np.random.default_rng(7)
    h, w = f.crop
    inside = f.mask(h, w)[..., None]
    x, y = np.asarray(f.x), np.asarray(f.y)
    light = (
        exposure
        * (1 + gradient * (x - x.mean()) / np.ptp(x))
        * (1 + gradient / 2 * ((y - y.mean()) / np.ptp(y)) ** 2)
    )
    crops = np.where(inside, linear[:, None, None, :], 1.0) * light[:, None, None, None] * white
    if dirt:
        crops[:, h // 2 : h // 2 + 4, w // 2 : w // 2 + 3] = 1.0  # glare
        crops[:, h // 2 - 6 : h // 2 - 3, w // 2 - 5 : w // 2] = 0.01  # dust
        crops[::4, :3] = 0.02  # the margin shows something else
    encoded = to_srgb(crops) + rng.normal(size=crops.shape) * noise
    full = 2**depth - 1
    return np.clip(np.rint(encoded * full), 1, full).astype(f"uint{depth}")


def samples() -> tuple[np.ndarray, np.ndarray]:
    """pH and colour of as many samples as the frame has spots."""
    ph = np.random.default_rng(1).uniform(5.2, 8.8, ROWS * COLS)
    return ph, ph_colour(ph)


def with_calibration(ph: np.ndarray, levels: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    """Every other spot becomes a calibration spot until each level has two."""
    known = np.tile(levels, 2)
    at = 2 * np.arange(len(known))
    ph = ph.copy()
    ph[at] = known
    layout = pd.DataFrame({"spot": frame().spots, "role": "sample", "value": np.nan})
    layout.loc[at, "role"] = "calibration"
    layout.loc[at, "value"] = known
    return layout, ph

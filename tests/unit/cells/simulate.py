"""Cells with known states, drawn straight into a stack of spots (independent of the phantom)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import zarr
from gridwell.config.spots import spot_name

CHANNELS = ("nuclei", "live", "dead")


@dataclass(frozen=True)
class Scene:
    """Lengths in pixels; shares of states in the order live, dying, dead, inactive."""

    rows: int = 3
    cols: int = 4
    side: int = 180
    margin: float = 0.1
    angle: float = 1.5
    cells: float = 60
    shares: tuple[float, float, float, float] = (0.6, 0.08, 0.27, 0.05)
    radius: float = 4.0
    body: float = 1.4
    clumps: float = 0.0
    shift_live: tuple[float, float] = (0.0, 0.0)
    shift_dead: tuple[float, float] = (0.0, 0.0)
    bleed: float = 0.03
    noise: float = 12.0
    level: float = 900.0
    debris: float = 0.0
    empty: tuple[int, ...] = ()
    blurred: tuple[int, ...] = ()
    seed: int = 1


def draw(scene: Scene, path: Path) -> pd.DataFrame:
    """Write the stack at `path`; return the truth: spot, x, y (slide), live, dead."""
    rng = np.random.default_rng(scene.seed)
    n = scene.rows * scene.cols
    size = int(np.ceil(scene.side * (1 + 2 * scene.margin)))
    size += 1 - size % 2
    pitch = scene.side * 1.4
    turn = np.deg2rad(scene.angle)
    col, row = np.arange(n) % scene.cols, np.arange(n) // scene.cols
    axis = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    centre = 400 + pitch * (col[:, None] * axis[0] + row[:, None] * axis[1])
    names = [spot_name(int(r), int(c)) for r, c in zip(row, col, strict=True)]
    group = zarr.open_group(path, mode="w")
    for channel in CHANNELS:
        group.create_array(
            channel,
            shape=(n, size, size),
            chunks=(1, size, size),
            shards=(scene.cols, size, size),
            dtype="uint16",
            config={"write_empty_chunks": True},
        )
    truth = []
    for spot in range(n):
        count = 0 if spot in scene.empty else rng.poisson(scene.cells)
        xy = _places(rng, scene, size, count)
        state = rng.choice(4, count, p=scene.shares)
        live, dead = state < 2, (state == 1) | (state == 2)
        images = _images(rng, scene, size, xy, live, dead, blurred=spot in scene.blurred)
        for channel, image in images.items():
            group[channel][spot] = image
        inner = xy - (size - 1) / 2
        slide = centre[spot] + inner[:, :1] * axis[0] + inner[:, 1:] * axis[1]
        truth.append(
            pd.DataFrame(
                {
                    "spot": names[spot],
                    "x": slide[:, 0],
                    "y": slide[:, 1],
                    "live": live,
                    "dead": dead,
                }
            )
        )
    group.attrs["gridwell"] = {
        "slide": "S01",
        "rows": scene.rows,
        "cols": scene.cols,
        "spots": names,
        "x": centre[:, 0].tolist(),
        "y": centre[:, 1].tolist(),
        "angle": scene.angle,
        "width": scene.side,
        "height": scene.side,
        "shape": "square",
        "found": [True] * n,
        "inside": [True] * n,
        "pixel_size_um": 2.0,
        "margin": scene.margin,
        "raw": {"scene.tif": "ab" * 32},
        "channels": [
            {"channel": name, "role": name, "samples": 1, "dtype": "uint16"} for name in CHANNELS
        ],
    }
    return pd.concat(truth, ignore_index=True)


def _places(rng: np.random.Generator, scene: Scene, size: int, count: int) -> np.ndarray:
    rim = size * scene.margin + 3 * scene.radius
    xy = np.zeros((0, 2))
    while len(xy) < count:
        new = rng.uniform(rim, size - 1 - rim, 2)
        if len(xy) and rng.random() < scene.clumps:
            angle = rng.uniform(0, 2 * np.pi)
            step = 2.2 * scene.radius * np.array([np.cos(angle), np.sin(angle)])
            new = np.clip(xy[rng.integers(len(xy))] + step, rim, size - 1 - rim)
        if len(xy) == 0 or np.hypot(*(xy - new).T).min() > 2 * scene.radius:
            xy = np.vstack([xy, new])
    return xy


def _images(
    rng: np.random.Generator,
    scene: Scene,
    size: int,
    xy: np.ndarray,
    live: np.ndarray,
    dead: np.ndarray,
    *,
    blurred: bool,
) -> dict[str, np.ndarray]:
    n = len(xy)
    height = scene.level * rng.lognormal(0, 0.25, n)
    stain = scene.level * 1.5 * rng.lognormal(0, 0.35, n)
    other = scene.level * rng.lognormal(0, 0.3, n)
    radius = scene.radius * rng.uniform(0.85, 1.15, n)
    nuclei = _discs(size, xy, radius, height)
    body = radius * scene.body
    lit = _discs(size, xy + scene.shift_live, body[live], stain[live], live)
    red = _discs(size, xy + scene.shift_dead, radius[dead] * 1.05, other[dead], dead)
    # What bleeds through is seen through the filters of the dead channel, so it is shifted too.
    bleed = _discs(size, xy + scene.shift_dead, body[live], stain[live], live)
    junk = rng.uniform(20, size - 20, (rng.poisson(scene.debris), 2))
    red += _discs(size, junk, np.full(len(junk), 3.0), np.full(len(junk), scene.level))
    result = {}
    for name, image in (("nuclei", nuclei), ("live", lit), ("dead", red + scene.bleed * bleed)):
        soft = cv2.GaussianBlur(image, (0, 0), 5.0 if blurred else 1.1)
        light = 200 + 60 * np.linspace(0, 1, size)[None, :] + soft
        noisy = light + rng.normal(0, 1, light.shape) * np.hypot(scene.noise, np.sqrt(soft) * 0.8)
        result[name] = np.clip(np.rint(noisy), 0, 65535).astype(np.uint16)
    return result


def _discs(
    size: int,
    xy: np.ndarray,
    radius: np.ndarray,
    height: np.ndarray,
    only: np.ndarray | None = None,
) -> np.ndarray:
    image = np.zeros((size, size), np.float32)
    yy, xx = np.mgrid[:size, :size]
    places = xy if only is None else xy[only]
    for (x, y), r, h in zip(places, radius, height, strict=True):
        top, left = max(0, int(y - r - 3)), max(0, int(x - r - 3))
        part = np.s_[top : int(y + r + 4), left : int(x + r + 4)]
        away = np.hypot(xx[part] - x, yy[part] - y)
        image[part] = np.maximum(image[part], h * np.clip(r + 0.5 - away, 0, 1))
    return image

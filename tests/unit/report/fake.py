"""Hand-made results of a study in the layout that other rooms write, small and with known truth."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import zarr
from gridwell.config.spots import row_letters, spot_name

# A chunk that is not there means damage, so that empty ones are stored too.
ALL = {"config": {"write_empty_chunks": True}}
HOSTILE = "</script><b class=evil>x\"&'"


@dataclass(frozen=True)
class FakeSlide:
    """Paths of one slide's results."""

    folder: Path
    layout: pd.DataFrame
    channels: tuple[str, ...]

    def arguments(self) -> dict[str, object]:
        """Arguments of report_slide that name files."""
        f = self.folder
        return {
            "grid_json": f / "grid.json",
            "grid_csv": f / "grid.csv",
            "grid_png": f / "grid.png",
            "spots_csv": f / "spots.csv",
            "spots_zarr": f / "spots.zarr",
            "labels": {name: f / "labels" / f"{name}.zarr" for name in self.channels},
            "instances": {name: f / "instances" / f"{name}.parquet" for name in self.channels},
            "layout": self.layout,
        }


def logistic(dose: np.ndarray | float, ec50: float, hill: float = 1.3) -> np.ndarray | float:
    """Share that survives a dose."""
    return 1 / (1 + (dose / ec50) ** hill)


def plate_layout(rows: int, cols: int, agents: list[str], unit: str = "uM") -> pd.DataFrame:
    """Controls in the first and last column, agents by rows, doses along the columns."""
    lines = []
    inner = cols - 2
    for row in range(rows):
        for col in range(cols):
            line = {
                "spot": spot_name(row, col),
                "row": row,
                "col": col,
                "agent": None,
                "concentration": np.nan,
                "unit": None,
                "role": "sample",
                "replicate": None,
                "value": np.nan,
                "sample": None,
            }
            if col == 0:
                line["role"] = "neg_ctrl"
            elif col == cols - 1:
                line |= {
                    "role": "pos_ctrl",
                    "agent": "Staurosporine",
                    "concentration": 10.0,
                    "unit": unit,
                }
            else:
                doses = min(inner, 8)
                line |= {
                    "agent": agents[(row * (inner // doses) + (col - 1) // doses) % len(agents)],
                    "concentration": float(
                        f"{1e-3 * 10 ** ((col - 1) % doses * 4 / (doses - 1)):.3g}"
                    ),
                    "unit": unit,
                    "replicate": str(row // len(agents) + 1),
                }
            lines.append(line)
    return pd.DataFrame(lines)


def fake_slide(
    folder: Path,
    *,
    slide: str = "S01",
    rows: int = 8,
    cols: int = 12,
    side: int = 96,
    agents: tuple[str, ...] = ("Venetoclax", "Ibrutinib", HOSTILE),
    assay: str = "viability",
    status: str = "ok",
    seed: int = 5,
) -> FakeSlide:
    """Write everything report_slide reads."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    layout = plate_layout(rows, cols, list(agents))
    names = list(layout["spot"])
    n = len(names)
    missing, blurred, few = n // 7, n // 3, n // 2
    pitch = side * 1.4
    frame = pd.DataFrame(
        {
            "spot": names,
            "row": [row_letters(r) for r in layout["row"]],
            "col": layout["col"] + 1,
            "x": 100 + layout["col"] * pitch,
            "y": 100 + layout["row"] * pitch,
            "width": float(side),
            "height": float(side),
            "found": [i != missing for i in range(n)],
            "score": rng.uniform(0.6, 1, n).round(4),
            "flags": ["not_found" if i == missing else "" for i in range(n)],
        }
    )
    frame.to_csv(folder / "grid.csv", index=False)
    grid = {
        "status": status,
        "reason": "" if status == "ok" else f"two grids fit {HOSTILE}",
        "confidence": 0.97 if status == "ok" else 0.31,
        "rows": rows,
        "cols": cols,
        "orientation": {"value": "unknown", "source": "unknown"},
        "pitch": {"x": pitch, "y": pitch},
        "angle": 0.8,
        "origin": {"x": 100.0, "y": 100.0},
        "spot": {"shape": "square", "width": side, "height": side},
        "blocks": [],
        "found": n - 1,
        "carrier": None,
        "margins": {
            "shift_up": 41.5,
            "shift_left": 38.2,
            "add_last_row": 44.0,
            "remove_first_col": 7.1 if status == "ok" else 0.4,
        },
    }
    (folder / "grid.json").write_text(json.dumps(grid))
    picture = np.full((rows * 40 + 40, cols * 40 + 40, 3), 30, np.uint8)
    for r in range(rows):
        for c in range(cols):
            cv2.rectangle(
                picture, (30 + 40 * c, 30 + 40 * r), (58 + 40 * c, 58 + 40 * r), (120, 160, 90), 1
            )
    cv2.imwrite(str(folder / "grid.png"), picture)

    ec50 = {agent: 10.0 ** (-1.5 + i) for i, agent in enumerate(agents)}
    share = []
    for agent, dose, role in zip(
        layout["agent"], layout["concentration"], layout["role"], strict=True
    ):
        if role == "pos_ctrl":
            share.append(0.04)
        elif isinstance(agent, str):
            share.append(float(0.05 + 0.87 * logistic(dose, ec50[agent])))
        else:
            share.append(0.92)
    facts = {
        "slide": slide,
        "rows": rows,
        "cols": cols,
        "spots": names,
        "x": list(frame["x"]),
        "y": list(frame["y"]),
        "angle": 0.8,
        "width": side,
        "height": side,
        "shape": "square",
        "found": list(map(bool, frame["found"])),
        "inside": [True] * n,
        "pixel_size_um": 2.0,
        "margin": 0.0,
        "raw": {f"{HOSTILE}.tif": "ab" * 32},
    }
    if assay == "colorimetry":
        return _colours(folder, slide, layout, frame, facts, rng)
    roles = {"nuclei": "nuclei", "live": "live", "dead": "dead"}
    facts["channels"] = [
        {"channel": c, "role": r, "samples": 1, "dtype": "uint16"} for c, r in roles.items()
    ]
    stack = zarr.open_group(folder / "spots.zarr", mode="w")
    stack.attrs["gridwell"] = facts
    pixels = {c: rng.normal(200, 12, (n, side, side)).clip(0).astype(np.uint16) for c in roles}
    labels = {c: np.zeros((n, side, side), np.uint32) for c in roles}
    counts = {state: np.zeros(n, int) for state in ("live", "dying", "dead", "inactive")}
    for i in range(n):
        if i == missing:
            continue
        cells = 3 if i == few else int(rng.integers(25, 45)) * side // 96
        for k in range(cells):
            x, y = rng.uniform(6, side - 6, 2)
            if rng.random() < share[i]:
                state = "live"
            else:
                state = str(rng.choice(["dying", "dead", "dead", "dead", "inactive"]))
            counts[state][i] += 1
            at = (round(x), round(y))
            for channel, radius, shown in (
                ("nuclei", 2, True),
                ("live", 4, state in ("live", "dying")),
                ("dead", 3, state in ("dying", "dead")),
            ):
                if shown:
                    disc = np.zeros((side, side), np.uint8)
                    cv2.circle(disc, at, radius, 1, -1)
                    inside = disc > 0
                    pixels[channel][i][inside] = np.maximum(
                        pixels[channel][i][inside], int(rng.integers(1500, 4000))
                    )
                    labels[channel][i][inside] = k + 1
        for channel in roles:
            sigma = 4.0 if i == blurred else 0.9
            pixels[channel][i] = cv2.GaussianBlur(pixels[channel][i], (0, 0), sigma)
    for channel in roles:
        stack.create_array(channel, data=pixels[channel], chunks=(1, side, side), **ALL)
        group = zarr.open_group(folder / "labels" / f"{channel}.zarr", mode="w")
        group.attrs["gridwell"] = facts
        group.create_array("labels", data=labels[channel], chunks=(1, side, side), **ALL)
        (folder / "instances").mkdir(exist_ok=True)
        m = 200
        pd.DataFrame(
            {
                "spot": rng.choice(names, m),
                "label": range(1, m + 1),
                "area": rng.gamma(9, 3, m),
                "mean": rng.normal(2000, 300, m),
                "edge": rng.random(m) < 0.03,
            }
        ).to_parquet(folder / "instances" / f"{channel}.parquet")
    total = sum(counts.values())
    stained = counts["live"] + counts["dying"] + counts["dead"]
    with np.errstate(invalid="ignore"):
        viability = counts["live"] / total
        table = pd.DataFrame(
            {
                "slide": slide,
                "spot": names,
                "row": frame["row"],
                "col": frame["col"],
                "x": frame["x"],
                "y": frame["y"],
                "n_nuclei": total,
                **{f"n_{s}": v for s, v in counts.items()},
                "n_orphan_live": rng.integers(0, 3, n),
                "n_orphan_dead": rng.integers(0, 3, n),
                "viability": viability,
                "viability_low": (viability - 0.1).clip(0),
                "viability_high": (viability + 0.1).clip(max=1),
                "viability_stained": counts["live"] / stained,
                "flags": [
                    "not_found"
                    if i == missing
                    else "out_of_focus"
                    if i == blurred
                    else "few_cells;saturated"
                    if i == few
                    else ""
                    for i in range(n)
                ],
            }
        )
    table.to_csv(folder / "spots.csv", index=False)
    (folder / "shifts.json").write_text(
        json.dumps(
            {
                "live": {"dx": 1.52, "dy": -0.31, "quality": 0.94},
                "dead": {"dx": -0.4, "dy": 2.05, "quality": 0.88},
            }
        )
    )
    (folder / "slide.json").write_text(
        json.dumps(
            {
                "slide": slide,
                "pixel_size_um": 2.0,
                "files": [{"name": f"{HOSTILE}.tif", "size": 123456789, "sha256": "ab" * 32}],
            }
        )
    )
    return FakeSlide(folder, layout, tuple(roles))


def _colours(
    folder: Path,
    slide: str,
    layout: pd.DataFrame,
    frame: pd.DataFrame,
    facts: dict[str, object],
    rng: np.random.Generator,
) -> FakeSlide:
    n, side = len(layout), int(facts["width"])  # type: ignore[call-overload]
    ph = 4 + 5 * rng.random(n)
    rgb = np.stack([250 - 30 * (ph - 4), 90 + 15 * (ph - 4), 60 + 25 * (ph - 4)], axis=1)
    facts["channels"] = [{"channel": "scan", "role": "colour", "samples": 3, "dtype": "uint8"}]
    stack = zarr.open_group(folder / "spots.zarr", mode="w")
    stack.attrs["gridwell"] = facts
    pixels = rgb[:, None, None, :] + rng.normal(0, 4, (n, side, side, 3))
    scan = pixels.clip(0, 255).astype(np.uint8)
    stack.create_array("scan", data=scan, chunks=(1, side, side, 3), **ALL)
    pd.DataFrame(
        {
            "slide": slide,
            "spot": frame["spot"],
            "row": frame["row"],
            "col": frame["col"],
            "x": frame["x"],
            "y": frame["y"],
            "red": rgb[:, 0],
            "green": rgb[:, 1],
            "blue": rgb[:, 2],
            "metric": 20 * ph,
            "value": ph + rng.normal(0, 0.1, n),
            "value_low": ph - 0.2,
            "value_high": ph + 0.2,
            "flags": frame["flags"],
        }
    ).to_csv(folder / "spots.csv", index=False)
    known = layout.assign(value=[p if i % 9 == 0 else np.nan for i, p in enumerate(ph)])
    known["role"] = ["calibration" if i % 9 == 0 else r for i, r in enumerate(known["role"])]
    return FakeSlide(folder, known, ())


def fake_screen(
    folder: Path,
    *,
    agents: tuple[str, ...],
    groups: tuple[str, ...],
    rows: int = 8,
    cols: int = 12,
    seed: int = 3,
) -> Path:
    """Write spots.csv, dose_response.csv, quality.csv and curves.csv of a screen."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    spots, fits, curves, quality = [], [], [], []
    for g, group in enumerate(groups):
        slide = f"S{g + 1:02d}"
        layout = plate_layout(rows, cols, list(agents))
        ec50 = {a: 10.0 ** (-2 + 4 * ((i * 7 + g * 2) % 11) / 10) for i, a in enumerate(agents)}
        for line in layout.to_dict("records"):
            role, agent = line["role"], line["agent"]
            level = 6.0 if role == "pos_ctrl" else 100.0
            if role == "sample":
                level = float(5 + 95 * logistic(line["concentration"], ec50[agent]))
            value = level + rng.normal(0, 5)
            spots.append(
                {
                    "slide": slide,
                    "group": group,
                    "assay": "viability",
                    "spot": line["spot"],
                    "row": row_letters(line["row"]),
                    "col": line["col"] + 1,
                    "x": 0.0,
                    "y": 0.0,
                    "agent": agent,
                    "concentration": line["concentration"],
                    "unit": line["unit"],
                    "role": role,
                    "replicate": line["replicate"],
                    "sample": None,
                    "metric": "viability",
                    "measured": value * 0.0092,
                    "normalised": value,
                    "n": int(rng.integers(30, 90)),
                    "flags": "out_of_focus" if rng.random() < 0.02 or line["spot"] == "B4" else "",
                }
            )
        doses = sorted({s["concentration"] for s in spots if s["role"] == "sample"})
        for agent in agents:
            e = ec50[agent]
            inside = doses[0] < e < doses[-1]
            used = [
                s
                for s in spots
                if s["agent"] == agent and s["group"] == group and s["role"] == "sample"
            ]
            if not used:
                continue
            fits.append(
                {
                    "group": group,
                    "agent": agent,
                    "model": "4pl",
                    "ec50": e if inside else np.nan,
                    "ec50_low": e / 1.6 if e / 1.6 > doses[0] else np.nan,
                    "ec50_high": e * 1.6 if e * 1.6 < doses[-1] else np.nan,
                    "in_range": "yes" if inside else ">max" if e >= doses[-1] else "<min",
                    "hill": 1.3,
                    "top": 100.0,
                    "bottom": 5.0,
                    "auc": 0.5 + 0.03 * g,
                    "ic50": e * 1.04,
                    "dss": 40 - 12 * np.log10(e),
                    "n_spots": len(used),
                    "n_doses": len(doses),
                    "flags": "" if inside else "incomplete",
                    "unit": "uM",
                    "metric": "viability",
                    "assay": "viability",
                    "normalise": "percent_of_control",
                }
            )
            for dose in np.geomspace(doses[0], doses[-1], 40):
                fit = float(5 + 95 * logistic(dose, e))
                curves.append(
                    {
                        "group": group,
                        "agent": agent,
                        "dose": float(f"{dose:.6g}"),
                        "fit": fit,
                        "low": fit - 6,
                        "high": fit + 6,
                        "unit": "uM",
                        "metric": "viability",
                        "assay": "viability",
                    }
                )
        for statistic, value in (
            ("z_prime", 0.72 - 0.4 * g),
            ("robust_z_prime", 0.7 - 0.35 * g),
            ("ssmd", 11.0 - 4 * g),
            ("edge_effect", 0.03),
            ("n_neg_ctrl", rows),
            ("n_pos_ctrl", rows - 2),
            ("grid_confidence", 0.97),
        ):
            quality.append({"slide": slide, "statistic": statistic, "value": value})
    pd.DataFrame(spots).to_csv(folder / "spots.csv", index=False)
    pd.DataFrame(fits).to_csv(folder / "dose_response.csv", index=False)
    pd.DataFrame(quality).to_csv(folder / "quality.csv", index=False)
    pd.DataFrame(curves).to_csv(folder / "curves.csv", index=False)
    return folder

"""Small screens with known truth, as the files that screen_study reads."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from gridwell.config.models import ScreenOptions, Slide
from gridwell.config.spots import row_letters, spot_name
from gridwell.screen.run import screen_study

DOSES = [0.01, 0.04, 0.16, 0.64, 2.56, 10.24, 40.96]
EC50 = {"alpha": 0.3, "beta": 3.0}


def layout(rows: int = 8, cols: int = 12) -> pd.DataFrame:
    """Two agents at 7 doses with 4 replicates, 24 negative and 16 positive controls, mixed."""
    plan = [("neg_ctrl", "DMSO", None)] * 24 + [("pos_ctrl", "kill", 100.0)] * 16
    plan += [("sample", a, d) for a in EC50 for d in DOSES for _ in range(4)]
    order = np.random.default_rng(5).permutation(rows * cols)
    table = pd.DataFrame(plan, columns=["role", "agent", "concentration"])
    table["row"], table["col"] = order // cols, order % cols
    table["spot"] = [spot_name(r, c) for r, c in zip(table["row"], table["col"], strict=True)]
    table["unit"] = np.where(table["concentration"].notna(), "uM", None)
    table["replicate"] = table["value"] = table["sample"] = None
    table["concentration"] = table["concentration"].astype(float)
    return table.sort_values(["row", "col"], ignore_index=True)


def viability_spots(slide: str, plan: pd.DataFrame, seed: int = 1) -> pd.DataFrame:
    """spots.csv of the viability assay for a layout: 90 % live falling to 5 %."""
    rng = np.random.default_rng(seed)
    records = []
    for spot in plan.itertuples():
        live = 0.9
        if spot.role == "pos_ctrl":
            live = 0.05
        elif spot.agent in EC50:
            live = 0.05 + 0.85 / (1 + (spot.concentration / EC50[spot.agent]) ** 1.5)
        n = int(rng.negative_binomial(6, 6 / 66))
        n_live = int(rng.binomial(n, rng.beta(25 * live, 25 * (1 - live))))
        dead = n - n_live
        records.append(
            {
                "slide": slide,
                "spot": spot.spot,
                "row": row_letters(spot.row),
                "col": spot.col + 1,
                "x": 100.0 * spot.col,
                "y": 100.0 * spot.row,
                "n_nuclei": n,
                "n_live": n_live,
                "n_dying": 0,
                "n_dead": dead,
                "n_inactive": 0,
                "n_orphan_live": 0,
                "n_orphan_dead": 0,
                "viability": n_live / n if n else np.nan,
                "viability_low": np.nan,
                "viability_high": np.nan,
                "viability_stained": n_live / n if n else np.nan,
                "flags": "" if n else "empty",
            }
        )
    return pd.DataFrame(records)


@dataclass
class Screen:
    """A screen on disk; `run` gives its four tables by name."""

    root: Path
    slides: list[Slide] = field(default_factory=list)
    spots: dict[str, Path] = field(default_factory=dict)
    grids: dict[str, Path] = field(default_factory=dict)
    layouts: dict[str, pd.DataFrame] = field(default_factory=dict)
    instances: dict[str, dict[str, Path]] = field(default_factory=dict)
    roles: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(
        self,
        name: str,
        table: pd.DataFrame,
        plan: pd.DataFrame | None,
        *,
        assay: str = "viability",
        group: str | None = None,
        rows: int = 8,
        cols: int = 12,
    ) -> None:
        """Add a slide with its spots.csv and layout."""
        file = None if plan is None else f"{name}.csv"
        self.slides.append(Slide(slide=name, assay=assay, layout=file, group=group))
        if file and plan is not None:
            self.layouts[file] = plan
        folder = self.root / name
        folder.mkdir(parents=True)
        self.spots[name], self.grids[name] = folder / "spots.csv", folder / "grid.json"
        table.to_csv(self.spots[name], index=False)
        grid = {"status": "ok", "confidence": 0.9, "rows": rows, "cols": cols, "found": len(table)}
        self.grids[name].write_text(json.dumps(grid))

    def run(self, out: str = "screen", **options: object) -> dict[str, pd.DataFrame]:
        """Screen and read back the tables."""
        folder = self.root / out
        screen_study(
            self.slides,
            self.spots,
            self.instances,
            self.layouts,
            self.grids,
            options=ScreenOptions(**options),  # type: ignore[arg-type]
            out_dir=folder,
            roles=self.roles,
        )
        texts = ["group", "agent", "model", "in_range", "flags", "role", "unit", "metric"]
        return {
            path.stem: pd.read_csv(
                path,
                dtype=dict.fromkeys(texts, "str"),
                keep_default_na=False,
                na_values=dict.fromkeys(
                    [
                        *(
                            [
                                "value",
                                "measured",
                                "normalised",
                                "n",
                                "concentration",
                                "ec50",
                                "ec50_low",
                            ]
                        ),
                        *(
                            [
                                "ec50_high",
                                "hill",
                                "top",
                                "bottom",
                                "auc",
                                "ic50",
                                "dss",
                                "fit",
                                "low",
                                "high",
                            ]
                        ),
                    ],
                    "",
                ),
            )
            for path in sorted(folder.glob("*.csv"))
        }

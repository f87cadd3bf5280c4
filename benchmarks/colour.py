"""Colorimetry, measured: simulated indicator plates, the published kind of metric, real images.

    python benchmarks/colour.py [--plates N] [--real] [--table FILE]

Each plate is a JPEG of 8 x 12 droplets of an indicator of two or three end colours, with noise,
2 % of scatter in the dye, a 15 % gradient from left to right and darker corners. Three droplets of
each of eight or nine levels lie anywhere on it; the others are samples of random pH. The grid is
taken as known, so that only colours are measured. Rows:

- gray, linear: the published kind: 0.299 R + 0.587 G + 0.114 B of the pixels as recorded, no
  reference, and a straight line. It was reported with r = 0.894 on data that nobody has.
- gray, red_green, hue, lab_curve: these metrics by gridwell.
- auto: the metric that gridwell chooses, its error by nested leave-one-level-out.

`LOLO`: each inner level predicted by a calibration without it. `samples`: all other droplets.
`--real` adds photographs of plates (data/grids of GRIDWELL_SHARED), where uneven light is known
only by what is left of it. `--table` takes a CSV of colours (red, green, blue from 0 to 255,
value), such as those of test strips, one spot each.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "scripts"))

from gridwell.colour.choose import (  # noqa: E402
    choose_metric,
    choose_nested,
    conformal_scale,
    fit_metric,
    judge,
    leave_levels_out,
    named,
)
from gridwell.colour.image import measure_image  # noqa: E402
from gridwell.colour.measure import Colorimetry, spot_colours  # noqa: E402
from gridwell.colour.spaces import to_linear  # noqa: E402
from gridwell.config.errors import InputError  # noqa: E402
from gridwell.config.models import ColourOptions  # noqa: E402
from gridwell.images.spots import SpotFrame  # noqa: E402
from gridwell.phantom.options import PhantomOptions  # noqa: E402
from gridwell.phantom.render import Renderer  # noqa: E402
from gridwell.phantom.scene import place_spots, treat  # noqa: E402
from gridwell.phantom.slide import simulate_slide  # noqa: E402

ROWS, COLS, SIZE, REPLICATES = 8, 12, 42, 3
INDICATORS = {
    "two colours": (np.round(np.linspace(6.0, 8.2, 8), 2), {}),
    "three colours": (
        np.round(np.linspace(5.6, 9.2, 9), 2),
        {
            "pka": 6.6,
            "pka2": 8.4,
            "acid": (0.05, 0.15, 0.8),
            "middle": (0.2, 0.45, 0.35),
            "base": (0.8, 0.35, 0.1),
        },
    ),
}
METRICS = ("gray", "red_green", "hue", "lab_curve", "auto")
REAL = (
    "eliza_96/BlankFar.jpg",
    "cp_yeast_patches_96/1832-48hours-gal-1.JPG",
    "gitter_1536/sample.jpg",
    "colonyzer/96/*.jpg",
    "colonyzer/384/*.jpg",
    "tma_aaronge/TMA_WSI_Padded_PNGs/*.png",
)


@dataclass(frozen=True)
class Plate:
    """A simulated plate: its crops, where they lie, what is in them."""

    crops: np.ndarray
    frame: SpotFrame
    layout: pd.DataFrame
    truth: np.ndarray

    @property
    def sample(self) -> np.ndarray:
        return (self.layout["role"] == "sample").to_numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plates", type=int, default=8, help="of each indicator")
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    if options.table:
        report_table(options.table)
        return
    for name in INDICATORS:
        report_indicator(name, options.plates)
    report_light()
    if options.real:
        report_real(Path(os.environ.get("GRIDWELL_SHARED", REPOSITORY.parent / "shared")))


# -- simulated plates


def simulate(name: str, seed: int, **changes: object) -> Plate:
    """Draw a plate, compress it as JPEG and cut its spots out where they are."""
    levels, colours = INDICATORS[name]
    frame_rng = np.random.default_rng(seed)
    names = [f"{'ABCDEFGH'[i // COLS]}{i % COLS + 1}" for i in range(ROWS * COLS)]
    layout = pd.DataFrame({"spot": names, "role": "sample", "value": np.nan})
    known = np.repeat(levels, REPLICATES)
    at = frame_rng.permutation(len(names))[: len(known)]
    layout.loc[at, "role"], layout.loc[at, "value"] = "calibration", known
    facts: dict[str, object] = {
        "assay": "colorimetry", "shape": "round", "rows": ROWS, "cols": COLS, "seed": seed,
        "pitch": 60.0, "spot_size": float(SIZE), "margin": 60, "bits": 8, "debris": 0.1,
        "exposure": 0.8, "gradient": 0.15, "dye_spread": 0.02, "patches": True,
        "value_range": (levels[0], levels[-1]),
    }  # fmt: skip
    options = PhantomOptions(**(facts | colours | changes))
    geometry = place_spots(options)
    drawn = Renderer(options, geometry, treat(options, geometry, layout))
    image = drawn.band("scan", 0, geometry.height)
    _, jpeg = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    image = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)[..., ::-1]
    frame = SpotFrame(
        slide="P", rows=ROWS, cols=COLS, spots=geometry.names, x=tuple(geometry.x),
        y=tuple(geometry.y), angle=options.angle, width=SIZE, height=SIZE, shape="round",
        found=tuple(geometry.present), margin=0.1,
    )  # fmt: skip
    h, w = frame.crop
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crops = [cv2.warpAffine(image, frame.matrix(i), (w, h), flags=how) for i in range(len(names))]
    truth = np.array([treatment.value for treatment in drawn.treatments], float)
    return Plate(np.stack(crops), frame, layout, truth)


def measure(plate: Plate, metric: str) -> Colorimetry:
    options = ColourOptions(metric=metric, unit="pH")  # type: ignore[arg-type]
    return spot_colours(plate.crops, plate.frame, options, layout=plate.layout)


def report_indicator(name: str, plates: int) -> None:
    """Print errors of all metrics on plates of one indicator."""
    rows: dict[str, list[dict[str, float]]] = defaultdict(list)
    chosen = []
    for seed in range(plates):
        plate = simulate(name, seed)
        rows["gray, linear"].append(published(plate))
        for metric in METRICS:
            found = measure(plate, metric)
            rows[metric].append(scores(found, plate, metric))
            if metric == "auto" and found.calibration.calibration:
                chosen.append(found.calibration.calibration.metric)
    print(f"\n{name}, {plates} plates      LOLO r    RMSE | samples RMSE  no value  95 % holds")
    for row, values in rows.items():
        print(f"{row:27s}" + _line(pd.DataFrame(values)))
    print("auto chose", pd.Series(chosen).value_counts().to_dict())


def _line(values: pd.DataFrame) -> str:
    if values["rmse"].isna().all():
        return " refused: it turns back between the levels"
    r = values["r"].min()
    mean = values.mean()
    held = "" if np.isnan(mean["held"]) else f"{100 * mean['held']:9.1f} %"
    first = f"{r:8.4f}  {mean['rmse']:6.3f} | {mean['error']:12.3f}"
    return f"{first}  {100 * mean['none']:6.1f} %  {held}"


def scores(found: Colorimetry, plate: Plate, metric: str) -> dict[str, float]:
    """How well a plate was measured: by levels left out, and on its samples."""
    calibration = found.calibration.calibration
    if calibration is None:
        return {"r": np.nan, "rmse": np.nan, "error": np.nan, "none": 1.0, "held": np.nan}
    trials = {trial.metric: trial for trial in calibration.trials}
    trial = calibration.nested if metric == "auto" else trials[metric]
    table = found.spots[plate.sample]
    truth = plate.truth[plate.sample]
    held = (table["value_low"] <= truth) & (truth <= table["value_high"])
    known = table["value"].notna()
    return {
        "r": trial.r,
        "rmse": trial.rmse,
        "error": float(np.sqrt(((table["value"] - truth)[known] ** 2).mean())),
        "none": float(1 - known.mean()),
        "held": float(held[known].mean()),
    }


def published(plate: Plate) -> dict[str, float]:
    """A weighted sum of red, green and blue as recorded, and a straight line to the pH."""
    inside = plate.frame.mask(*plate.frame.crop, 0.7)
    gray = plate.crops[:, inside].mean(axis=1) @ [0.299, 0.587, 0.114]
    known = ~plate.sample
    value, levels = plate.truth[known], np.unique(plate.truth[known])
    predicted = np.full(len(value), np.nan)
    for level in levels[1:-1]:
        own = value == level
        predicted[own] = np.polyval(np.polyfit(gray[known][~own], value[~own], 1), gray[known][own])
    inner = np.isfinite(predicted)
    line = np.polyfit(gray[known], value, 1)
    error = np.polyval(line, gray[~known]) - plate.truth[~known]
    return {
        "r": float(np.corrcoef(predicted[inner], value[inner])[0, 1]),
        "rmse": float(np.sqrt(np.mean((predicted - value)[inner] ** 2))),
        "error": float(np.sqrt(np.mean(error**2))),
        "none": 0.0,
        "held": np.nan,
    }


def report_light() -> None:
    """Print what is left of a gradient, and of other exposures with a saved calibration."""
    even = {"dye_spread": 0.0, "value_range": (7.0, 7.0), "debris": 0.0}
    left = []
    for seed in range(3):
        plate = simulate("two colours", seed, illumination=0.0, **even)
        known = plate.sample
        recorded = to_linear(plate.crops[:, plate.frame.mask(*plate.frame.crop, 0.5)] / 255)
        before = np.median(recorded[known][..., 1], axis=1)
        after = measure(plate, "gray").colours["linear_green"][known]
        x = np.asarray(plate.frame.x)[known]
        slopes = [np.polyfit(x, v / np.mean(v), 1)[0] * np.ptp(x) for v in (before, after)]
        left.append([100 * abs(slope) for slope in slopes])
    before, after = np.mean(left, axis=0)
    print(f"\ngradient over the plate: {before:.1f} % before, {after:.2f} % after "
          f"({100 * (1 - after / before):.1f} % removed)")  # fmt: skip
    report_exposure()


def report_exposure() -> None:
    """Print how values change with exposure: a white patch, a calibration of exposure 1."""
    base = 0.8  # so that paper is below full scale at 1.2 times as much
    with tempfile.TemporaryDirectory() as folder:
        values = {}
        for factor in (1.0, 0.8, 1.2):
            plate = simulate("two colours", 0)
            options = PhantomOptions(
                slide=f"E{factor}", assay="colorimetry", shape="round", seed=4, bits=8,
                pitch=100.0, spot_size=70.0, margin=60, exposure=base * factor, patches=True,
                files="jpeg", gradient=0.1,
            )  # fmt: skip
            out = Path(folder, str(factor))
            layout = plate.layout if factor == 1.0 else None
            # Samples are the same on all three: calibration spots lie on the first only.
            samples = plate.layout.assign(value=plate.truth, role="calibration")
            simulate_slide(options, out, layout=samples)
            white, black = options.patch_places["white"], options.patch_places["black"]
            calibration = None if factor == 1.0 else str(Path(folder, "calibration.json"))
            measure_image(
                next(out.glob("*.jpg")),
                out_dir=out / "colours",
                options=ColourOptions(
                    unit="pH", white_patch=white, black_patch=black, calibration=calibration
                ),
                layout=layout,
            )
            if factor == 1.0:
                shutil.copy(out / "colours/calibration.json", folder)
            values[factor] = pd.read_csv(out / "colours/spots.csv")["value"]
    for factor in (0.8, 1.2):
        change = (values[factor] - values[1.0]).abs()
        print(f"exposure x {factor}: values change by {change.median():.3f} (median), "
              f"{change.max():.3f} (most)")  # fmt: skip


# -- real images and tables


def report_real(shared: Path) -> None:
    """Print what is known of the light on photographs of plates."""
    print("\nreal images            white from   light over plate   left   no spot  saturated")
    for pattern in REAL:
        for path in sorted((shared / "data/grids").glob(pattern))[:2]:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    measure_image(path, out_dir=Path(folder), options=ColourOptions())
                except InputError as error:
                    print(f"{path.name[:24]:24s} {error.problems[0].reason[:60]}")
                    continue
                print(f"{path.name[:24]:24s}" + _of_real(Path(folder)))


def _of_real(folder: Path) -> str:
    """How much the light varies over a plate, and how much of that is left after correction."""
    spots = pd.read_csv(folder / "spots.csv", keep_default_na=False)
    colours = pd.read_parquet(folder / "colours.parquet")
    white, around = colours["white_green"], colours["background_green"]
    x, y = (colours[name] / colours[name].max() for name in ("x", "y"))
    design = np.stack([np.ones(len(x)), x, y, x * x, x * y, y * y], axis=1)
    known = np.isfinite(around)
    smooth = design @ np.linalg.lstsq(design[known], np.log(around[known]), rcond=None)[0]
    flags = spots["flags"]
    return (
        f"{'none' if flags.str.contains('no_white').all() else 'background':>11s} "
        f"{100 * (np.ptp(white) / np.median(white)):15.1f} % {100 * np.ptp(smooth):7.2f} %"
        f"{100 * flags.str.contains('not_found').mean():8.1f} %"
        f"{100 * flags.str.contains('saturated').mean():8.1f} %"
    )


def report_table(path: Path) -> None:
    """Print how well each metric predicts levels of a table of colours."""
    table = pd.read_csv(path)
    linear = to_linear(table[["red", "green", "blue"]].to_numpy(float) / 255)
    value = table["value"].to_numpy(float)
    print(f"{len(table)} colours, {table['value'].nunique()} levels     LOLO r    RMSE  missed")
    gray = linear @ [0.299, 0.587, 0.114]
    straight = np.polyval(np.polyfit(gray, value, 1), gray)
    print(f"gray, linear, no level left out {np.corrcoef(straight, value)[0, 1]:6.3f}")
    trials = choose_metric(linear, value)
    nested = judge("auto", value, choose_nested(linear, value))
    for trial in (nested, *trials):
        print(f"{trial.metric:27s} {trial.r or np.nan:8.3f}  {trial.rmse:6.3f}  {trial.missed}")
    best = fit_metric(linear, value, named(trials[0]))
    left_out = leave_levels_out(linear, value, best)
    held = np.abs(left_out.value - value) <= (conformal_scale(value, left_out) or 0) * left_out.sd
    print(f"95 % intervals hold {100 * held[np.isfinite(left_out.value)].mean():.0f} % of them")


if __name__ == "__main__":
    main()

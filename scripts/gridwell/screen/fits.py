"""Curves of the screen: one for each group, agent and time."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gridwell.config.columns import column_names
from gridwell.config.models import ScreenOptions
from gridwell.screen.curves import MIN_LEVELS, MIN_POINTS, Curve, fit_counts, fit_curve
from gridwell.screen.described import curve_flags, describe
from gridwell.screen.normalise import Normalise
from gridwell.screen.pooling import pool_ec50
from gridwell.screen.slide import SlideResult, joined

POINTS = 101  # of a drawn curve
FEW_CURVES = 32  # are fitted sooner than processes start
# Objects at which a spot's mean weighs half of what endless objects would weigh.
HALF_WEIGHT = 10.0
P_DISAGREE = 0.01
LEAST_FREE = 5  # degrees of freedom left to judge the scatter of spots by
LEAST_GROUPS = 3  # with a score, for a selective one

_NO_POINTS = pd.DataFrame(
    columns=["dose", "response", "measured", "n", "intercept", "gain", "sample", "unit", "slide"]
)
FIT, DRAWN = "screen/dose_response.csv", "screen/curves.csv"


@dataclass(frozen=True)
class Key:
    """What a curve is of."""

    group: str
    agent: str
    assay: str
    metric: str
    time_h: float | None

    @property
    def order(self) -> tuple[str, str, str, str, float]:
        """Sorted so: curves without a time first."""
        time = -1.0 if self.time_h is None else self.time_h
        return (self.group, self.agent, self.assay, self.metric, time)


@dataclass(frozen=True)
class _Task:
    """A curve to fit: its points, and what holds for all of its slides."""

    key: Key
    points: pd.DataFrame
    kind: str
    normalise: Normalise
    flags: tuple[str, ...]


def curve_tables(
    results: Mapping[str, SlideResult], options: ScreenOptions, threads: int = 1
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fit every curve: dose_response.csv and curves.csv.

    Slides imaged before treatment (``time_h`` 0) are part of no curve; slides of a group that
    were imaged at several later times have a curve for each. Curves know nothing of each
    other, so that the number of processes changes nothing.
    """
    tasks = _tasks(results)
    fit = partial(_curve, options=options)
    if threads > 1 and len(tasks) >= FEW_CURVES:
        context = multiprocessing.get_context("forkserver")
        with ProcessPoolExecutor(threads, mp_context=context) as pool:
            made = list(pool.map(fit, tasks, chunksize=8))
    else:
        made = list(map(fit, tasks))
    fits = pd.DataFrame([row for row, _ in made], columns=column_names(FIT))
    drawn = [points for _, points in made if points is not None]
    empty = pd.DataFrame(columns=column_names(DRAWN))
    return fits.assign(sdss=selective_scores(fits)), pd.concat(drawn) if drawn else empty


def _tasks(results: Mapping[str, SlideResult]) -> list[_Task]:
    """All curves in the order of their rows."""
    slides: dict[Key, list[SlideResult]] = {}
    for result in results.values():
        if result.time_zero:
            continue
        rows = result.spots
        samples = rows[(rows["role"] == "sample") & ~rows["combination"]]
        samples = samples[samples["agent"].notna() & (samples["concentration"] > 0)]
        names = samples[["group", "agent", "assay", "metric"]].drop_duplicates()
        for group, agent, assay, metric in names.itertuples(index=False, name=None):
            key = Key(group, agent, assay, metric, result.slide.time_h)
            slides.setdefault(key, []).append(result)
    points = {name: _usable(result) for name, result in results.items()}
    tasks = []
    for key in sorted(slides, key=lambda key: key.order):
        own = slides[key]
        names = [slide.slide.slide for slide in own]
        parts = [points[name].get(agent) for name in names for agent in (key.agent, "")]
        known = [part for part in parts if part is not None]
        flags = tuple(flag for slide in own for flag in slide.flags)
        facts = (own[0].measured.kind, own[0].normalise, flags)
        tasks.append(_Task(key, pd.concat(known) if known else _NO_POINTS, *facts))
    return tasks


def selective_scores(fits: pd.DataFrame) -> pd.Series:
    """Score of a group minus the median of the other groups' (selective DSS, Yadav 2014).

    NaN where fewer than three groups have a score of the agent.
    """
    by = ["agent", "assay", "metric", "normalise", "time_h"]
    scores = pd.Series(np.nan, index=fits.index)
    for _, part in fits.groupby(by, dropna=False, sort=False):
        known = part["dss"].dropna().astype(float)
        if len(known) < LEAST_GROUPS:
            continue
        for at, own in known.items():
            scores[at] = own - float(known.drop(at).median())
    return scores


def _curve(task: _Task, options: ScreenOptions) -> tuple[dict[str, Any], pd.DataFrame | None]:
    """Row of dose_response.csv and points of curves.csv."""
    key, points, kind, normalise = task.key, task.points, task.kind, task.normalise
    dosed = points["dose"] > 0
    distinct = len({f"{dose:.9e}" for dose in points.loc[dosed, "dose"]})
    flags = list(task.flags)
    unit = points["unit"].dropna().iloc[0] if points["unit"].notna().any() else ""
    facts = {"group": key.group, "agent": key.agent, "assay": key.assay, "metric": key.metric}
    facts |= {"time_h": np.nan if key.time_h is None else key.time_h, "unit": unit}
    row: dict[str, Any] = facts | {
        "model": "",
        "n_spots": int(dosed.sum()),
        "n_doses": distinct,
        "n_slides": int(points.loc[dosed, "slide"].nunique()),
        "normalise": normalise,
    }
    flags += ["several_samples"] if len(points["sample"].dropna().unique()) > 1 else []
    levels = distinct + bool((~dosed).any())
    if distinct < options.min_doses or levels < MIN_LEVELS:
        return row | {"flags": joined(*flags, "few_doses")}, None
    if len(points) < MIN_POINTS:
        return row | {"flags": joined(*flags, "few_spots")}, None
    curve = fit_points(points, kind, normalise, options.interval)
    row |= describe(curve, normalise)
    flags += curve_flags(curve)
    if p_slides(points, curve, kind) < P_DISAGREE:
        flags.append("slides_disagree")
        row |= _widened(row, task, options)
    dose = np.geomspace(curve.low_dose, curve.high_dose, POINTS)
    low, high = curve.band(dose, options.interval)
    drawn = pd.DataFrame({"dose": dose, "fit": curve.predict(dose), "low": low, "high": high})
    drawn = drawn.assign(**facts)[column_names(DRAWN)]
    return row | {"flags": joined(*flags)}, drawn


def _usable(slide: SlideResult) -> dict[str, pd.DataFrame]:
    """Points of a slide by agent; the negative controls, at dose 0, by an empty name."""
    rows = slide.spots[slide.spots["used"] & slide.spots["normalised"].notna()]
    control = rows["role"] == "neg_ctrl"
    own = (rows["role"] == "sample") & ~rows["combination"]
    own &= rows["agent"].notna() & rows["concentration"].notna()
    kept = rows[own | control]
    points = pd.DataFrame(
        {
            "dose": kept["concentration"].where(own[kept.index], 0.0).astype(float),
            "response": kept["normalised"].astype(float),
            **{name: kept[name].astype(float) for name in ("measured", "n", "intercept", "gain")},
            "sample": kept["sample"],
            "unit": kept["unit"].where(own[kept.index]),
            "slide": kept["slide"],
        }
    )
    agents = kept["agent"].where(own[kept.index], "")
    return {str(agent): part for agent, part in points.groupby(agents, sort=False)}


def fit_points(
    points: pd.DataFrame, kind: str, normalise: Normalise, interval: float, **chosen: Any
) -> Curve:
    """Fit spots as what they are: fractions as counts, anything else by least squares.

    Parameters
    ----------
    points
        ``dose, response, measured, n, intercept, gain``.
    kind
        As in `Measured`.
    normalise, interval
        Options of the screen.
    chosen
        Further arguments of the fit.
    """
    if kind == "fraction":
        return fit_counts(
            points["dose"],
            (points["measured"] * points["n"]).round(),
            points["n"],
            intercept=points["intercept"],
            gain=points["gain"],
            interval=interval,
            **chosen,
        )
    weights = points["n"] / (points["n"] + HALF_WEIGHT) if _weighed(points, kind) else None
    positive = normalise == "percent_of_control" and bool((points["response"] >= 0).all())
    return fit_curve(
        points["dose"],
        points["response"],
        weights=weights,
        interval=interval,
        limits=(0.0 if positive else -np.inf, np.inf),
        **chosen,
    )


def _weighed(points: pd.DataFrame, kind: str) -> bool:
    return kind == "other" and bool(points["n"].notna().all())


def p_slides(points: pd.DataFrame, curve: Curve, kind: str) -> float:
    """Chance that slides which tell the same differ as much as these do.

    Every slide may move the parameters of the common curve on its own, to first order (a score
    test); an F-test asks whether that explains more than the scatter of spots allows.

    Parameters
    ----------
    points
        As `fit_points` takes them, with ``slide``.
    curve
        Fitted to them.
    kind
        As in `Measured`.
    """
    from scipy import stats

    slides = sorted(set(points["slide"]))
    if len(slides) < 2:
        return 1.0
    points = points.sort_values(["slide", "dose", "response"])  # sums in a fixed order
    dose, response = points["dose"].to_numpy(float), points["response"].to_numpy(float)
    root = np.sqrt(_precision(points, curve, kind))
    rest = root * (response - curve.predict(dose))
    slopes = root[:, None] * _sensitivity(curve, dose)
    common, one = _explained(slopes, rest)
    own = [_explained(slopes[at], rest[at]) for at in (points["slide"] == name for name in slides)]
    several, many = sum(left for left, _ in own), sum(rank for _, rank in own)
    free = len(points) - many
    if free < LEAST_FREE or many <= one or several <= 0:
        return 1.0
    ratio = max(common - several, 0.0) / (many - one) / (several / free)
    return float(stats.f.sf(ratio, many - one, free))


def _precision(points: pd.DataFrame, curve: Curve, kind: str) -> NDArray[np.float64]:
    """What each spot weighs, up to a common factor, shape (n,)."""
    n = points["n"].to_numpy(float)
    if kind != "fraction":
        return n / (n + HALF_WEIGHT) if _weighed(points, kind) else np.ones(len(points))
    intercept, gain = points["intercept"].to_numpy(float), points["gain"].to_numpy(float)
    share = (curve.predict(points["dose"].to_numpy(float)) - intercept) / gain
    # half a cell keeps a fitted 0 % or 100 % from weighing endlessly
    share = (np.clip(share, 0, 1) * n + 0.5) / (n + 1)
    return np.asarray(n / (n + HALF_WEIGHT) / (gain**2 * share * (1 - share)), dtype=float)


_PARAMETERS = ("zero", "end", "ec50", "slope", "asymmetry")


def _sensitivity(curve: Curve, dose: NDArray[np.float64]) -> NDArray[np.float64]:
    """Change of the curve with each of its parameters, shape (n, parameters)."""
    if curve.model == "flat":
        return np.ones((len(dose), 1))
    columns = []
    for name in _PARAMETERS:
        value = float(getattr(curve, name, np.nan))
        if not np.isfinite(value):
            continue
        step = 1e-4 * (abs(value) if name not in ("zero", "end") else curve.top - curve.bottom)
        up, down = (replace(curve, **{name: value + way * step}) for way in (1, -1))
        columns.append((up.predict(dose) - down.predict(dose)) / (2 * step))
    return np.stack(columns, axis=1)


def _explained(slopes: NDArray[np.float64], rest: NDArray[np.float64]) -> tuple[float, int]:
    """Squares that a linear fit leaves, and the parameters that it used."""
    size = np.linalg.norm(slopes, axis=0)
    fit, _, rank, _ = np.linalg.lstsq(slopes / np.where(size > 0, size, 1), rest, rcond=1e-6)
    left = rest - (slopes / np.where(size > 0, size, 1)) @ fit
    return float(left @ left), int(rank)


def _widened(row: Mapping[str, Any], task: _Task, options: ScreenOptions) -> dict[str, float]:
    """Intervals of EC50 and IC50 with the slide as the unit, where slides disagree.

    Each slide is fitted on its own, and what they say is pooled as random effects. An interval
    reaches from the lesser to the greater of the ends of this and of the common curve; it is
    open where fewer than two slides have such a dose.
    """
    own = []
    for _, part in task.points.groupby("slide", sort=True):
        doses = part.loc[part["dose"] > 0, "dose"].unique()
        if len(doses) >= options.min_doses and len(part) >= MIN_POINTS:
            fit = fit_points(part, task.kind, task.normalise, options.interval)
            own.append(describe(fit, task.normalise))
    tested = task.points.loc[task.points["dose"] > 0, "dose"]
    widened = {}
    for name in ("ec50", "ic50"):
        ends = (f"{name}_low", f"{name}_high")
        if not np.isfinite(row[name]):
            continue
        pooled = pool_ec50(*([fit[n] for fit in own] for n in (name, *ends)), options.interval)
        # an end that is empty lies beyond the doses tested, and stays there
        low = pooled.low if pooled.low >= tested.min() else np.nan
        high = pooled.high if pooled.high <= tested.max() else np.nan
        widened[ends[0]] = float(np.minimum(low, row[ends[0]]))
        widened[ends[1]] = float(np.maximum(high, row[ends[1]]))
    return widened

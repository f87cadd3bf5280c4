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
from gridwell.screen.choice import MIN_LEVELS, MIN_POINTS
from gridwell.screen.counts import fit_counts
from gridwell.screen.curve import Curve
from gridwell.screen.described import curve_flags, describe, range_flags
from gridwell.screen.models import Floats
from gridwell.screen.normalise import Normalise
from gridwell.screen.slide import SlideResult, joined
from gridwell.screen.spatial import PERMUTATIONS, shuffled_within
from gridwell.screen.squares import fit_curve

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
        tasks.append(
            _Task(key, pd.concat(known, ignore_index=True) if known else _NO_POINTS, *facts)
        )
    return tasks


def selective_scores(fits: pd.DataFrame) -> pd.Series:
    """Score of a group minus the median of the other groups' (selective DSS, Yadav 2014).

    NaN where fewer than three groups have a score of the agent.
    """
    by = ["agent", "assay", "metric", "normalise", "time_h"]
    parts = [pd.Series(dtype=float)]
    for _, part in fits.groupby(by, dropna=False, sort=False):
        known = part["dss"].dropna().astype(float)
        if len(known) >= LEAST_GROUPS:
            others = [float(known.drop(at).median()) for at in known.index]
            parts.append(known - others)
    return pd.concat(parts).reindex(fits.index)


def _curve(task: _Task, options: ScreenOptions) -> tuple[dict[str, Any], pd.DataFrame | None]:
    """Row of dose_response.csv and points of curves.csv."""
    key, points, kind, normalise = task.key, task.points, task.kind, task.normalise
    dosed = points["dose"] > 0
    distinct = len({f"{dose:.9e}" for dose in points.loc[dosed, "dose"]})
    flags = list(task.flags)
    unit = points["unit"].dropna().iloc[0] if points["unit"].notna().any() else ""
    facts: dict[str, Any] = {
        "group": key.group,
        "agent": key.agent,
        "assay": key.assay,
        "metric": key.metric,
    }
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
    chosen = {"models": options.curves, "choose": options.choose}
    curve = fit_points(points, kind, normalise, options.interval, **chosen)
    row |= describe(curve, normalise)
    flags += curve_flags(curve)
    effect = slide_effect(points, curve, kind)
    flags += ["slides_disagree"] if effect.p < P_DISAGREE else []
    if effect.widen > 1:
        row |= _widened(row, curve, effect.widen)
    flags += range_flags(row)
    dose = np.geomspace(curve.low_dose, curve.high_dose, POINTS)
    middle, band = curve.predict(dose), curve.band(dose, options.interval)
    low, high = (middle + effect.widen * (edge - middle) for edge in band)
    drawn = pd.DataFrame({"dose": dose, "fit": middle, "low": low, "high": high})
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


@dataclass(frozen=True)
class SlideEffect:
    """How much slides differ that share a curve.

    Attributes
    ----------
    p
        Chance that slides which tell the same differ so much.
    widen
        Factor of the half-widths of the band and of the intervals of EC50 and IC50 (on the log
        scale), 1 or more.
    """

    p: float = 1.0
    widen: float = 1.0


def slide_effect(points: pd.DataFrame, curve: Curve, kind: str) -> SlideEffect:
    """Compare the slides of a curve with each other, the slide being the unit.

    Every slide may move the parameters of the common curve on its own, to first order. An
    F-test asks whether that explains more than the scatter of spots allows; spots that scatter
    more at some doses than at others fool it, so that what it finds is confirmed by exchanging
    the slides among the spots of each dose.

    Intervals are widened by the greater of two factors: the root of F, by which the scatter
    between slides exceeds that of their spots, and what the variance of the slides' log EC50s
    (DerSimonian and Laird 1986) adds to that of their mean. Both are 1 where slides differ no
    more than by chance.

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
        return SlideEffect()
    points = points.sort_values(["slide", "dose", "response"])  # sums in a fixed order
    dose, response = points["dose"].to_numpy(float), points["response"].to_numpy(float)
    root = np.sqrt(_precision(points, curve, kind))
    rest = root * (response - curve.predict(dose))
    slopes = root[:, None] * _sensitivity(curve, dose)
    common = _basis(slopes)
    places = [(points["slide"] == name).to_numpy() for name in slides]
    own = [(at, _basis(slopes[at])) for at in places]
    one, many = common.shape[1], sum(basis.shape[1] for _, basis in own)
    free = len(points) - many
    if free < LEAST_FREE or many <= one:
        return SlideEffect()

    def ratio(rests: Floats) -> Floats:
        shared = ((rests @ common) ** 2).sum(1)
        apart = sum(((rests[:, at] @ basis) ** 2).sum(1) for at, basis in own)
        left = np.maximum((rests**2).sum(1) - apart, 1e-300)
        return np.asarray((apart - shared) / (many - one) / (left / free))

    found = float(ratio(rest[None])[0])
    p = float(stats.f.sf(found, many - one, free))
    if p < P_DISAGREE:
        chance = ratio(shuffled_within(rest, np.array([f"{d:.9e}" for d in dose]), PERMUTATIONS))
        p = max(p, float((1 + (chance >= found).sum()) / (1 + PERMUTATIONS)))
    widen = np.sqrt(max(1.0, found))
    if curve.model != "flat":
        widen = max(widen, _ec50_apart(slopes, rest, places))
    return SlideEffect(p, float(widen))


def _ec50_apart(slopes: Floats, rest: Floats, places: list[NDArray[np.bool_]]) -> float:
    """What the slides' own EC50s add to the error of the common one, as a factor of it."""
    ec50 = _PARAMETERS.index("ec50")
    steps = []
    for at in places:
        inverse = np.linalg.pinv(slopes[at].T @ slopes[at], rcond=1e-12)
        step = inverse @ slopes[at].T @ rest[at]
        left = rest[at] - slopes[at] @ step
        steps.append((step[ec50], inverse[ec50, ec50], left @ left))
    move, spread, squares = np.array(steps).T
    if not (spread > 0).all():
        return 1.0
    scale = squares.sum() / max(len(rest) - slopes.shape[1] * len(places), 1)
    weight = 1 / (spread * max(scale, 1e-300))
    mean = (weight * move).sum() / weight.sum()
    excess = (weight * (move - mean) ** 2).sum() - (len(move) - 1)
    between = max(0.0, excess / (weight.sum() - (weight**2).sum() / weight.sum()))
    return float(np.sqrt(1 + between / len(move) * weight.sum()))


def _precision(points: pd.DataFrame, curve: Curve, kind: str) -> Floats:
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


def _sensitivity(curve: Curve, dose: Floats) -> Floats:
    """Change of the curve with each of its parameters, shape (n, parameters)."""
    if curve.model == "flat":
        return np.ones((len(dose), 1))
    columns = []
    for name in _PARAMETERS:
        value = float(getattr(curve, name, np.nan))
        if not np.isfinite(value):
            continue
        step = 1e-4 * (abs(value) if name not in ("zero", "end") else curve.top - curve.bottom)
        up, down = (_moved(curve, name, value + way * step) for way in (1, -1))
        columns.append((up.predict(dose) - down.predict(dose)) / (2 * step))
    return np.stack(columns, axis=1)


def _moved(curve: Curve, name: str, value: float) -> Curve:
    changed: dict[str, Any] = {name: value}
    return replace(curve, **changed)


def _basis(slopes: Floats) -> Floats:
    """Orthonormal directions that `slopes` span, shape (n, rank)."""
    size = np.linalg.norm(slopes, axis=0)
    u, strength, _ = np.linalg.svd(slopes / np.where(size > 0, size, 1), full_matrices=False)
    return np.asarray(u[:, strength > 1e-6 * strength.max()], dtype=float)


def _widened(row: Mapping[str, Any], curve: Curve, factor: float) -> dict[str, float]:
    """Intervals of EC50 and IC50 with their half-widths times `factor` on the log scale.

    An end that is open, or leaves the doses tested, is open.
    """
    widened = {}
    for name in ("ec50", "ic50"):
        for end in ("low", "high"):
            moved = float(row[name] * (row[f"{name}_{end}"] / row[name]) ** factor)
            inside = curve.low_dose <= moved <= curve.high_dose
            widened[f"{name}_{end}"] = moved if inside else np.nan
    return widened

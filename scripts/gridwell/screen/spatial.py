"""Position on the slide: what it does to the numbers, and taking it off where controls prove it.

Everything is compared within conditions (spots of one role, agent and dose), so that a layout
that puts doses in rows or columns is not taken for a trouble of the slide. Only the negative
controls may correct anything: they alone are known to be alike wherever they lie.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PERMUTATIONS = 999
SEED = 20_260_101  # of all permutations: results depend on the data alone
LEAST_CONTROLS = 12  # fewer do not tell a surface from chance
P_CORRECT = 0.03  # chance that a slide without any gradient is corrected
LEAST_GAIN = 0.05  # share of the controls' error that the surface must take off
# The surface may nowhere be less sure than the mean of so many controls is.
SURE_AS = 1.0
OUTLIER = 4.0  # robust standard deviations at which a control is pulled in
MAD = 1.4826


@dataclass(frozen=True)
class Surface:
    """How the level of the negative controls changes over the slide.

    Attributes
    ----------
    factor
        Level at each spot over the mean level of the controls, shape (n,); 1 where the slide
        is not corrected.
    order
        Of the polynomial that is taken off: 0 (nothing), 1 or 2.
    gain
        Share of the controls' squared error that leaving each of them out and predicting it
        from the others saves against predicting their mean; NaN with too few controls.
    p
        Of this gain, by permuting the controls over their places; NaN likewise.
    gradient
        Range of the best plane through the controls over the spots, over their mean, in percent.
    """

    factor: Floats
    order: int = 0
    gain: float = np.nan
    p: float = np.nan
    gradient: float = np.nan


def control_surface(row: Floats, col: Floats, value: Floats, control: NDArray[np.bool_]) -> Surface:
    """Fit the controls' level over the slide, and decide whether it is worth taking off.

    A plane and a quadratic surface compete with the mean by leave-one-out prediction of the
    controls (PRESS). The better one is taken off when it saves at least 5 % of the squared
    error, when fewer than 3 in 100 permutations of the controls over their places save as
    much, and when the controls lie so that the surface is known at every spot at least as well
    as a single control is. Outlying controls are pulled in to four robust standard
    deviations. The correction is a factor: dying by place and dying by agent multiply, and a
    zero stays a zero.

    Parameters
    ----------
    row, col
        Of all spots, shape (n,), from 0.
    value
        Measured values, shape (n,), NaN where there is none.
    control
        True for the negative controls that count, shape (n,).

    References
    ----------
    .. [1] Allen, The relationship between variable selection and data augmentation and a
       method for prediction. Technometrics 16:125, 1974 (PRESS).
    """
    nothing = np.ones(len(value))
    chosen = np.flatnonzero(control & np.isfinite(value))
    known = value[chosen]
    if len(chosen) < LEAST_CONTROLS or not (known > 0).all() or np.ptp(known) == 0:
        return Surface(nothing)
    known = _pulled_in(known)
    x, y = _centred(row, row[chosen]), _centred(col, col[chosen])
    shuffled = np.random.default_rng(SEED).permuted(np.tile(known, (PERMUTATIONS, 1)), axis=1)
    every = np.vstack([known, shuffled])  # (1 + permutations, controls)
    flat = ((every - every.mean(1, keepdims=True)) ** 2).sum(1) * _loo(len(known))
    gains, levels, gradient = [], {}, np.nan
    for order in (1, 2):
        design = _terms(x, y, order)
        fit = design[chosen]
        if np.linalg.matrix_rank(fit) < fit.shape[1]:
            break
        inverse = np.linalg.inv(fit.T @ fit)
        # one sum after the other: a plane that is not known somewhere is no plane to take off
        unsure = np.einsum("ni,ij,nj->n", design, inverse, design).max()
        level = design @ (inverse @ (fit.T @ known))
        if order == 1:
            gradient = 100 * np.ptp(level) / known.mean()
        if unsure > 1 / SURE_AS or level.min() <= 0:
            break
        hat = fit @ inverse @ fit.T
        left_out = (every - every @ hat.T) / (1 - np.diag(hat))
        gains.append(1 - (left_out**2).sum(1) / flat)
        levels[order] = level
    if not gains:
        return Surface(nothing, gradient=gradient)
    best = np.maximum.reduce(gains)
    order = 1 + int(np.argmax([gain[0] for gain in gains]))
    p = float((best >= best[0] - 1e-12).mean())
    if p >= P_CORRECT or best[0] < LEAST_GAIN:
        return Surface(nothing, 0, float(best[0]), p, gradient)
    level = levels[order]
    return Surface(level / level[chosen].mean(), order, float(best[0]), p, gradient)


def _loo(n: int) -> float:
    """What leaving one out makes of the squares around a mean of `n`."""
    return (n / (n - 1)) ** 2


def _pulled_in(value: Floats) -> Floats:
    middle = np.median(value)
    spread = OUTLIER * MAD * np.median(np.abs(value - middle))
    return np.clip(value, middle - spread, middle + spread) if spread else value


def _centred(all_places: Floats, of_controls: Floats) -> Floats:
    """Places with the controls' middle at 0 and their reach at 1."""
    middle = of_controls.mean()
    reach = np.abs(of_controls - middle).max()
    return np.asarray((all_places - middle) / (reach or 1.0), dtype=float)


def _terms(x: Floats, y: Floats, order: int) -> Floats:
    terms = [np.ones_like(x), x, y]
    if order == 2:
        terms += [x * x, x * y, y * y]
    return np.stack(terms, axis=1)


def residuals(spots: pd.DataFrame, value: str = "measured") -> pd.Series:
    """Each spot against the mean of its condition: role, agent, dose and sample.

    Parameters
    ----------
    spots
        Spots that count, with ``role, agent, concentration, sample``.
    value
        The column to take.

    Returns
    -------
    Series
        Indexed as `spots`, scaled so that spots of small conditions scatter as much as those
        of large ones; NaN where a condition has one spot alone. Conditions without a role
        (spots outside the layout) tell nothing.
    """
    known = spots[spots["role"].notna() & spots[value].notna()]
    groups = known.groupby(condition_key(known), sort=False)[value]
    n = groups.transform("size")
    rest = known[value].astype(float) - groups.transform("mean")
    return (rest * np.sqrt(n / (n - 1).where(n > 1))).reindex(spots.index)


def condition_key(spots: pd.DataFrame) -> pd.Series:
    """A text for each spot that is the same for spots treated alike."""
    parts = [spots[name].astype("str").fillna("") for name in ("role", "agent", "sample")]
    dose = [f"{d:.9e}" for d in spots["concentration"].astype(float)]
    if "doses" in spots:  # of a combination, which has no one concentration
        parts.append(spots["doses"].astype("str").fillna(""))
    texts = zip(*parts, dose, strict=True)
    return pd.Series(["\x1f".join(text) for text in texts], index=spots.index, dtype="str")


def position_statistics(spots: pd.DataFrame, rows: int, cols: int) -> dict[str, float]:
    """Tests of whether a spot's place on the slide shows in its number.

    Parameters
    ----------
    spots
        Spots that count, with ``measured, role, agent, concentration, sample, row0, col0``.
    rows, cols
        Of the whole grid.

    Returns
    -------
    dict
        ``edge_p`` (negative controls of the rim against the inner ones) and ``edge_all_p``
        (all spots, against their conditions): Mann-Whitney. ``row_p``, ``col_p``:
        Kruskal-Wallis of the spots against their conditions, and ``row_range``, ``col_range``:
        from the lowest to the highest median of a row or column, in percent of the median of
        the negative controls. ``morans_i``, ``morans_p``:
        whether neighbours deviate alike, by permuting within conditions, one-sided.
    """
    from scipy import stats

    spots = spots.sort_values(["row0", "col0"])  # sums in a fixed order
    rest = residuals(spots)
    edge = spots["row0"].isin((0, rows - 1)) | spots["col0"].isin((0, cols - 1))
    negative = spots["role"] == "neg_ctrl"

    def rim(values: pd.Series, among: pd.Series) -> float:
        outer, inner = values[among & edge].dropna(), values[among & ~edge].dropna()
        if len(outer) < 3 or len(inner) < 3 or np.ptp([*outer, *inner]) == 0:
            return np.nan
        return float(stats.mannwhitneyu(outer, inner).pvalue)

    def lines(by: pd.Series) -> float:
        parts = [part.to_numpy() for _, part in rest.dropna().groupby(by) if len(part) > 1]
        if len(parts) < 2 or np.ptp(np.concatenate(parts)) == 0:
            return np.nan
        return float(stats.kruskal(*parts).pvalue)

    level = abs(float(spots.loc[negative, "measured"].median()))

    def reach(by: pd.Series) -> float:
        profile = rest.dropna().groupby(by).median()
        return 100 * float(profile.max() - profile.min()) / level if level > 0 else np.nan

    index, p = morans_i(rest, spots["row0"], spots["col0"], condition_key(spots))
    return {
        "edge_p": rim(spots["measured"].astype(float), negative),
        "edge_all_p": rim(rest, rest.notna()),
        "row_p": lines(spots["row0"]),
        "row_range": reach(spots["row0"]),
        "col_p": lines(spots["col0"]),
        "col_range": reach(spots["col0"]),
        "morans_i": index,
        "morans_p": p,
    }


def morans_i(
    value: pd.Series, row: pd.Series, col: pd.Series, condition: pd.Series
) -> tuple[float, float]:
    """Moran's I over the eight neighbours of each spot, and its one-sided p.

    Parameters
    ----------
    value
        Deviations; spots without one are left out.
    row, col
        Places on the grid.
    condition
        Spots that may change places under the null hypothesis have the same.

    References
    ----------
    .. [1] Moran, Notes on continuous stochastic phenomena. Biometrika 37:17, 1950.
    """
    from scipy import sparse

    at = pd.DataFrame({"v": value, "r": row, "c": col, "k": condition}).dropna(subset=["v"])
    at = at.sort_values(["k", "r", "c"])
    n = len(at)
    if n < LEAST_CONTROLS or np.ptp(at["v"]) == 0:
        return np.nan, np.nan
    place = {pair: i for i, pair in enumerate(zip(at["r"], at["c"], strict=True))}
    around = [(dr, dc) for dr in (-1, 0, 1) for dc in (-1, 0, 1) if dr or dc]
    pairs = [
        (i, place[r + dr, c + dc])
        for (r, c), i in place.items()
        for dr, dc in around
        if (r + dr, c + dc) in place
    ]
    if not pairs:
        return np.nan, np.nan
    i, j = np.array(pairs).T
    weights = sparse.csr_array((np.ones(len(i)), (i, j)), shape=(n, n))
    v = at["v"].to_numpy(float)
    v = v - v.mean()
    shuffled = shuffled_within(v, at["k"].to_numpy(), PERMUTATIONS)
    every = np.vstack([v, shuffled])
    index = (every * (weights @ every.T).T).sum(1) * n / len(i) / (v @ v)
    return float(index[0]), float((index >= index[0] - 1e-12).mean())


def shuffled_within(value: Floats, kind: NDArray[Any], times: int) -> Floats:
    """Permutations of `value` that keep every value in its (sorted) kind, shape (times, n)."""
    keys = np.random.default_rng(SEED).random((times, len(value)))
    _, which = np.unique(kind, return_inverse=True)
    order = np.argsort(keys + which, axis=1)  # kinds are integers, keys below 1: kinds stay apart
    return np.asarray(value[order], dtype=float)

"""Spots with their layout, in one unit, relative to the controls of their slide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from gridwell.config.errors import InputError, Problem
from gridwell.config.layouts import MOLAR, convert_molar

MOLAR_UNIT = "uM"  # all molar doses of a screen are told in it
FEW_CONTROLS = 8  # fewer make a shaky hundred percent
LEAST_CONTROLS = 2  # fewer say nothing of their scatter

Normalise = Literal["percent_of_control", "percent_inhibition", "none"]


def common_units(layouts: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Bring all molar concentrations to uM, and check that each agent has one kind of unit.

    Parameters
    ----------
    layouts
        By file name, as `gridwell.config.layouts.read_layout` gives them.

    Raises
    ------
    InputError
        Where an agent is molar in one place and ug/mL or % in another: its doses could not be
        put on one axis.
    """
    converted: dict[str, pd.DataFrame] = {}
    first: dict[str, tuple[str, str]] = {}
    problems: dict[tuple[str, str], Problem] = {}
    for name in sorted(layouts):
        layout = layouts[name].copy()
        molar = layout["unit"].isin(MOLAR) & layout["concentration"].notna()
        layout.loc[molar, "concentration"] = [
            convert_molar(dose, unit, MOLAR_UNIT)
            for dose, unit in layout.loc[molar, ["concentration", "unit"]].itertuples(index=False)
        ]
        layout.loc[layout["unit"].isin(MOLAR), "unit"] = MOLAR_UNIT
        converted[name] = layout
        dosed = layout.loc[(layout["concentration"] > 0) & layout["agent"].notna()]
        for agent, unit in dosed[["agent", "unit"]].drop_duplicates().itertuples(index=False):
            known, where = first.setdefault(agent, (unit, name))
            if unit != known:
                problems[name, agent] = Problem(
                    name,
                    f"agent {agent} is given in {unit} here and in {known} in {where}",
                    "Give all doses of an agent in molar units, or all in the same other unit.",
                    column="unit",
                    value=unit,
                )
    if problems:
        raise InputError(list(problems.values()))
    return converted


def one_row_per_spot(layout: pd.DataFrame) -> pd.DataFrame:
    """Collapse a layout to one row per spot.

    An agent at dose 0 beside another agent is not there. Several agents left make a
    combination: their names joined by `` + `` in alphabetical order, no concentration (a curve
    over one number would mean nothing), `combination` true, `doses` as text in the order of
    the names and `parts` with (agent, dose as text) of each.

    Returns
    -------
    DataFrame
        ``spot, agent, concentration, unit, role, replicate, sample, combination, doses, parts``.
    """
    columns = ["spot", "agent", "concentration", "unit", "role", "replicate", "sample"]
    table = layout[columns].assign(combination=False, doses=None, parts=None)
    several = table["spot"].duplicated(keep=False)
    if not several.any():
        return table
    rows = [table[~several]] if not several.all() else []
    for _, spot in table[several].groupby("spot", sort=True):
        present = spot[spot["concentration"].fillna(0) > 0]
        row = (present if len(present) else spot).sort_values("agent").head(1).copy()
        if len(present) > 1:
            agents = present["agent"].fillna("").astype(str)
            doses = zip(present["concentration"], present["unit"], strict=True)
            parts = sorted(zip(agents, [dose_text(*dose) for dose in doses], strict=True))
            row["agent"] = " + ".join(agent for agent, _ in parts)
            row["concentration"], row["unit"], row["combination"] = np.nan, None, True
            row["doses"] = " + ".join(dose for _, dose in parts)
            row["parts"] = pd.Series([tuple(parts)], index=row.index, dtype=object)
        rows.append(row)
    return pd.concat(rows, ignore_index=True)


def dose_text(concentration: float, unit: str | None) -> str:
    """A dose with its unit, as in combinations.csv: ``0.3 uM``."""
    return f"{concentration:.8g} {unit if isinstance(unit, str) else ''}".strip()


@dataclass(frozen=True)
class Scale:
    """Normalisation of a slide: ``normalised = intercept + gain * measured``.

    Attributes
    ----------
    intercept, gain
        NaN where the slide has not the controls that it takes.
    flags
        ``no_controls``, ``no_pos_controls``, ``one_control`` (of either kind), ``few_controls``
        (fewer than 8), ``controls_alike`` (negative and positive controls do not differ, or
        negative controls are not above zero).
    """

    intercept: float
    gain: float
    flags: tuple[str, ...] = ()


def slide_scale(negative: np.ndarray, positive: np.ndarray, how: Normalise) -> Scale:
    """Scale of a slide from its controls' measured values, by their medians.

    Parameters
    ----------
    negative, positive
        Measured values of the controls, shape (n,), without missing values.
    how
        ``percent_of_control``: 0 at zero, 100 at the negative controls.
        ``percent_inhibition``: 0 at the negative, 100 at the positive controls.
        ``none``: as measured.
    """
    if how == "none":
        return Scale(0.0, 1.0)
    inhibition = how == "percent_inhibition"
    if not len(negative) or (inhibition and not len(positive)):
        return Scale(np.nan, np.nan, ("no_pos_controls" if len(negative) else "no_controls",))
    fewest = min(len(negative), len(positive)) if inhibition else len(negative)
    flags: tuple[str, ...] = ()
    if fewest < FEW_CONTROLS:
        flags = ("one_control",) if fewest < LEAST_CONTROLS else ("few_controls",)
    zero = float(np.median(negative)) if inhibition else 0.0
    span = float(np.median(positive if inhibition else negative)) - zero
    if span == 0 or (span < 0 and not inhibition):
        return Scale(np.nan, np.nan, (*flags, "controls_alike"))
    return Scale(-100 * zero / span, 100 / span, flags)

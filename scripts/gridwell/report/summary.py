"""What a slide or a screen means, in a few sentences that stand before everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gridwell.report import words
from gridwell.screen.slide import SlideResult

MOST_NAMED = 6
_CALLED = {
    "viability": "living cells",
    "viability_stained": "living among stained cells",
}


def metric_called(name: str) -> str:
    """Name of a screened number as people say it."""
    if name in _CALLED:
        return _CALLED[name]
    return f"{name[2:]} per spot" if name.startswith("n_") else name


def slide_in_short(result: SlideResult | None) -> list[str]:
    """What a slide shows: its controls, then its agents at their highest doses."""
    if result is None:
        return []
    used = result.spots[result.spots["used"] & result.spots["measured"].notna()]
    if used.empty:
        return ["No spot of this slide has a number."]
    share = result.measured.kind == "fraction"
    show = words.percent if share else words.number
    what = metric_called(result.measured.name)
    said = _controls_in_short(used, result.quality, what, show)
    agents = _at_the_top(used)
    if agents:
        how = result.normalise
        unit = {"percent_of_control": " % of the untreated", "percent_inhibition": " % inhibition"}
        values = [
            f"{name} {words.fixed(value, 0)}{unit[how]}" if how in unit else f"{name} {show(value)}"
            for name, value in agents
        ]
        more = f" and {len(values) - MOST_NAMED} more" if len(values) > MOST_NAMED else ""
        said.append(
            f"At the highest dose of each agent, {what}: {'; '.join(values[:MOST_NAMED])}{more}."
        )
    elif not said:
        low, high = used["measured"].quantile(0.1), used["measured"].quantile(0.9)
        said.append(
            f"{what[0].upper()}{what[1:]}: median {show(used['measured'].median())} over "
            f"{words.plural(len(used), 'spot')}, most between {show(low)} and {show(high)}."
        )
    return said


def _controls_in_short(
    used: pd.DataFrame, quality: Mapping[str, float], what: str, show: Any
) -> list[str]:
    shown = [
        f"{show(values.median())} in {name}"
        for role, name in (("neg_ctrl", "untreated controls"), ("pos_ctrl", "positive controls"))
        if len(values := used.loc[used["role"] == role, "measured"])
    ]
    if not shown:
        return []
    z = quality.get("robust_z_prime")
    said = f"{what[0].upper()}{what[1:]}, median: {', '.join(shown)}"
    if len(shown) < 2 or words.missing(z):
        return [f"{said}."]
    _, reading = words.quality_reading("robust_z_prime", z)
    return [f"{said}. {reading[0].upper()}{reading[1:]} (robust Z′ {words.fixed(z)})."]


def _at_the_top(used: pd.DataFrame) -> list[tuple[str, float]]:
    """Agents with their highest dose, and the median there, the farthest from 100 % first."""
    single = used[(used["role"] == "sample") & ~used["combination"]]
    single = single[single["agent"].fillna("").ne("") & single["concentration"].notna()]
    found = []
    for agent, part in single.groupby("agent", sort=False):
        top = part[part["concentration"] == part["concentration"].max()]
        first = top.iloc[0]
        dose = words.dose(first["concentration"], first["unit"])
        found.append((f"{words.text(agent)} ({dose})", float(top["normalised"].median())))
    return sorted(found, key=lambda item: (item[1], words.natural(item[0])))


def screen_in_short(
    fits: pd.DataFrame, order: Sequence[str], doses: Mapping[str, tuple[float, float]]
) -> list[str]:
    """What a screen shows: the agents that act, at which dose, and those that do not.

    Parameters
    ----------
    fits
        Rows of dose_response.csv of one number.
    order
        Agents, the strongest first.
    doses
        Range of the doses tested of each agent.
    """
    acting, beyond, flat, unknown = [], [], [], []
    for name in order:
        rows = fits[fits["agent"] == name].to_dict("records")
        several = len(rows) > 1
        inside = [
            row for row in rows if row["in_range"] == "yes" and not words.missing(row["ec50"])
        ]
        if inside:
            halves = [
                words.ec50_words(row, *doses[name])[0]
                + (f" in {row['group']}" if several and row["group"] else "")
                for row in inside[:4]
            ]
            up = "raises it; " if all(row["hill"] < 0 for row in inside) else ""
            acting.append(f"{name} ({up}half of its effect at {words.join(halves)})")
        elif any(row["in_range"] in (">max", "<min") for row in rows):
            beyond.append(name)
        elif any(row["in_range"] == "flat" for row in rows):
            flat.append(name)
        else:
            unknown.append(name)
    said = []
    if acting:
        many = "1 agent acts" if len(acting) == 1 else f"{len(acting)} agents act"
        said.append(f"{many} within the doses tested: {_some(acting)}.")
    if beyond:
        said.append(
            f"Half of the effect lies outside the doses tested: {_some(beyond)}. How potent these "
            "are is known as a bound only."
        )
    if flat:
        said.append(f"No effect of the dose shows: {_some(flat)}.")
    if unknown:
        said.append(f"No curve could be fitted: {_some(unknown)}.")
    return said


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{'; '.join(names[:MOST_NAMED])}{more}"


def slides_in_short(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """How far the slides of a screen can be trusted, in a sentence.

    Parameters
    ----------
    names
        Of the statistics.
    rows
        A slide each: ``slide`` and ``cells`` with tone and value.
    """
    doubts = []
    for row in rows:
        wrong = [
            f"{name} {cell['value']}"
            for name, cell in zip(names, row["cells"], strict=True)
            if cell["tone"] in ("care", "bad")
        ]
        if wrong:
            doubts.append(f"{row['slide']} ({', '.join(wrong)})")
    if not doubts:
        return "All slides pass every check below."
    passed = len(rows) - len(doubts)
    return (
        f"{passed} of {words.plural(len(rows), 'slide')} pass every check; look at {_some(doubts)}."
    )

"""Spots that no curve and no statistic uses, with their reasons; and those flagged but used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from gridwell.report import tables, words
from gridwell.report.tables import Column
from gridwell.screen.slide import UNUSED_FLAGS, UNUSED_ROLES

_BY_LAYOUT = {
    "excluded": "excluded by the layout",
    "blank": "blank, as the layout says",
    "empty": "nothing was put there, as the layout says",
}


@dataclass(frozen=True)
class Listed:
    """Spots with something to say of them.

    Attributes
    ----------
    table
        One row a spot; None where there is none.
    counts
        How many spots a reason holds for, and the reason, the commonest first.
    """

    table: tables.Table | None
    counts: Sequence[tuple[int, str]]

    @property
    def number(self) -> int:
        """How many spots these are."""
        return len(self.table.rows) if self.table else 0


def reasons(row: Mapping[Any, Any], laid_out: bool) -> list[str]:
    """Say why a spot is part of no curve and no statistic; nothing where it is.

    Parameters
    ----------
    row
        ``role``, ``flags`` and ``measured`` of a spot; ``time_h`` if it has one.
    laid_out
        Whether its slide has a layout.
    """
    flags, role = words.flag_words(row["flags"]), row["role"]
    nothing = words.missing(row["measured"])
    said = [_BY_LAYOUT[role]] if role in UNUSED_ROLES else []
    said += [words.flag_meaning(flag) for flag in flags if flag in (*UNUSED_FLAGS, "combination")]
    if "not_found" in flags and (nothing or "empty" in flags):
        said.append(words.flag_meaning("not_found"))
    elif "empty" in flags and nothing:
        said.append(words.flag_meaning("empty"))
    if laid_out and not role:
        said.append("not in the layout")
    if not words.missing(row.get("time_h")) and row["time_h"] == 0:
        said.append("imaged before treatment")
    if not said and nothing:
        said.append("no number could be measured")
    return said


def left_out(spots: pd.DataFrame, links: Mapping[str, str], file: str) -> Listed:
    """List the spots that are part of no curve, with their reasons.

    Parameters
    ----------
    spots
        ``slide, spot, agent, dose, role, flags, measured``.
    links
        Start of a link to a spot, by slide; no entry: no link.
    file
        Name of the CSV to take away.
    """
    with_layout = set(spots.loc[spots["role"] != "", "slide"])
    said = [reasons(row, row["slide"] in with_layout) for row in spots.to_dict("records")]
    return _listed(spots, said, links, ("left-out", "Spots left out, with reasons", file))


def flagged(spots: pd.DataFrame, links: Mapping[str, str], file: str) -> Listed:
    """List the spots that have flags and are used all the same."""
    with_layout = set(spots.loc[spots["role"] != "", "slide"])
    said = [
        []
        if reasons(row, row["slide"] in with_layout)
        else [words.flag_meaning(flag) for flag in words.flag_words(row["flags"])]
        for row in spots.to_dict("records")
    ]
    return _listed(spots, said, links, ("flagged", "Flagged spots that are used", file))


def _listed(
    spots: pd.DataFrame,
    said: Sequence[Sequence[str]],
    links: Mapping[str, str],
    names: tuple[str, str, str],
) -> Listed:
    """List spots with what is `said` of them; `names` are id, caption and file of the table."""
    name, caption, file = names
    counts: dict[str, int] = {}
    for one in said:
        for reason in one:
            counts[reason] = counts.get(reason, 0) + 1
    ordered = sorted(((n, reason) for reason, n in counts.items()), key=lambda c: (-c[0], c[1]))
    kept = [index for index, one in enumerate(said) if one]
    if not kept:
        return Listed(None, [])
    part = spots.iloc[kept]
    shown = pd.DataFrame(
        {
            "slide": part["slide"],
            "spot": part["spot"],
            "agent": part["agent"],
            "dose": part["dose"],
            "role": [words.ROLES.get(role, role) for role in part["role"]],
            "reason": ["; ".join(said[index]) for index in kept],
            "flags": [" ".join(words.flag_words(flags)) for flags in part["flags"]],
        }
    )
    columns = [Column(name, name.capitalize()) for name in shown.columns if name != "flags"]
    if len(links) <= 1:
        columns = columns[1:]
    to = [
        f"{links[slide]}#spot-{spot}" if slide in links else ""
        for slide, spot in zip(part["slide"], part["spot"], strict=True)
    ]
    table = tables.build(
        shown, columns, name=name, caption=caption, file=file, download=shown, links={"spot": to}
    )
    return Listed(table, ordered)

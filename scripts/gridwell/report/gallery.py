"""Which spots of a slide are shown, and what is said of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from gridwell.images.labels import open_labels
from gridwell.images.spots import SpotStack
from gridwell.report import images, words


def gallery(
    spots: pd.DataFrame, stack: SpotStack, labels: Mapping[str, Path], assay: str, most: int
) -> list[dict[str, Any]]:
    """Pictures of at most `most` spots, each with what was put there and what was measured."""
    value = {"viability": "viability", "colorimetry": "value"}.get(assay, "")
    if not value or value not in spots:
        value = next((name for name in spots.columns if name.startswith("n_")), "score")
    listed: list[dict[str, Any]] = [
        {
            "name": row["spot"],
            "found": bool(row["found"]),
            "flags": words.flag_words(row["flags"]),
            "role": row["role"],
            "agent": row["agent"],
            "concentration": row["concentration"],
            "value": row[value],
        }
        for row in spots.to_dict("records")
    ]
    picks = choose(listed, most)
    if not picks:
        return []
    position = {name: index for index, name in enumerate(stack.names)}
    picks = [pick for pick in picks if listed[pick]["name"] in position]
    limits = {channel: images.contrast(stack, channel) for channel in images.colours(stack)}
    opened = {channel: open_labels(path) for channel, path in sorted(labels.items())}
    records = spots.to_dict("records")
    cards = []
    for pick in picks:
        spot, row = listed[pick], records[pick]
        at = position[spot["name"]]
        outlined = {channel: label.read(at, at + 1)[0] for channel, label in opened.items()}
        picture = images.spot_picture(stack, at, limits=limits, labels=outlined)
        what = " · ".join(filter(None, (row["agent"], row["dose"])))
        cards.append(
            {
                "spot": spot["name"],
                "picture": picture,
                "what": what or words.ROLES.get(spot["role"], spot["role"]),
                "role": words.ROLES.get(spot["role"], "") if spot["role"] != "sample" else "",
                "numbers": _numbers(row, assay),
                "flags": spot["flags"],
            }
        )
    return cards


def _numbers(row: Mapping[Any, Any], assay: str) -> list[tuple[str, str]]:
    if assay == "viability":
        shown = [("viability", words.percent(row.get("viability")))]
        names = ("n_nuclei", "n_live", "n_dying", "n_dead", "n_inactive")
        return shown + [(n[2:], words.plain(row[n])) for n in names if n in row]
    if assay == "colorimetry":
        return [("value", words.number(row.get("value")))]
    return [(str(n)[2:], words.plain(v)) for n, v in row.items() if str(n).startswith("n_")]


def stains(stack: SpotStack, labels: Mapping[str, Path]) -> list[dict[str, str]]:
    """Legend of the pictures: channels, their colours and whether they carry outlines."""
    if images.rgb(stack) is not None and not labels:
        return []
    return [
        {
            "name": channel,
            "colour": "#" + "".join(f"{round(255 * part):02x}" for part in colour),
            "outlined": "outlined" if channel in labels else "",
        }
        for channel, colour in images.colours(stack).items()
    ]


def choose(
    spots: Sequence[Mapping[str, Any]],
    most: int,
) -> list[int]:
    """Choose the spots to show: flagged ones, controls, then a spread over agents and doses.

    Always the same for the same table. A third of the room at most goes to flagged spots, one
    of each kind of flag first; a quarter to controls.

    Parameters
    ----------
    spots
        Rows with ``name``, ``found``, ``flags`` (list), ``role``, ``agent``, ``concentration``
        and ``value``, in the order of the grid.
    most
        How many to show.

    Returns
    -------
    list of int
        Positions in `spots`, in the order of the choice.
    """
    if most <= 0:
        return []
    seen = [i for i, spot in enumerate(spots) if spot["found"]]
    flagged = [i for i in seen if spots[i]["flags"]]
    chosen: dict[int, None] = {}
    by_flag: dict[str, list[int]] = {}
    for i in flagged:
        for flag in spots[i]["flags"]:
            by_flag.setdefault(flag, []).append(i)
    _take_turns([_spread(by_flag[flag]) for flag in sorted(by_flag)], chosen, max(1, most // 3))
    clean = [i for i in seen if not spots[i]["flags"]]
    roles = [
        _spread([i for i in clean if spots[i]["role"] == role]) for role in ("neg_ctrl", "pos_ctrl")
    ]
    _take_turns(roles, chosen, len(chosen) + max(1, most // 4))
    agents: dict[str, list[int]] = {}
    for i in clean:
        if i not in chosen and spots[i]["role"] not in ("neg_ctrl", "pos_ctrl"):
            agents.setdefault(spots[i]["agent"] or "", []).append(i)
    if set(agents) <= {""}:
        # No layout: from the lowest to the highest value measured.
        ranked = sorted(agents.get("", []), key=lambda i: (_last(spots[i]["value"]), i))
        _take_turns([_spread(ranked)], chosen, most)
    else:
        ladders = []
        for turn, agent in enumerate(sorted(agents, key=words.natural)):
            ladder = sorted(agents[agent], key=lambda i: (_last(spots[i]["concentration"]), i))
            # Each agent begins elsewhere on its ladder, or all would show the lowest dose.
            spread = _spread(ladder)
            first = turn % len(spread)
            ladders.append(spread[first:] + spread[:first])
        _take_turns(ladders, chosen, most)
    _take_turns([_spread(clean), _spread(flagged)], chosen, most)
    return list(chosen)[:most]


def _last(value: Any) -> float:
    return float("inf") if words.missing(value) else float(value)


def _spread(items: list[int]) -> list[int]:
    """Order a list so that any beginning of it is spread evenly: ends, middle, quarters, …"""
    if len(items) < 3:
        return list(items)
    order: dict[int, None] = {0: None, len(items) - 1: None}
    parts = 2
    while len(order) < len(items):
        for k in range(1, parts, 2):
            order.setdefault(round(k * (len(items) - 1) / parts), None)
        parts *= 2
        if parts > 4 * len(items):
            order.update(dict.fromkeys(range(len(items))))
    return [items[k] for k in order]


def _take_turns(queues: list[list[int]], chosen: dict[int, None], until: int) -> None:
    """Take one of each queue in turn until `chosen` holds `until`."""
    queues = [list(queue) for queue in queues]
    while len(chosen) < until and any(queues):
        for queue in queues:
            while queue and queue[0] in chosen:
                queue.pop(0)
            if queue and len(chosen) < until:
                chosen[queue.pop(0)] = None

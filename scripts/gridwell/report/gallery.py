"""Which spots of a slide are shown, and what is said of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gridwell.images.labels import open_labels
from gridwell.images.spots import SpotStack
from gridwell.report import images, words

# Room for the larger pictures in a page of less than 15 MB.
MOST_BYTES = 2_000_000
_SAMPLE = 8

# Why a spot is shown, and what is said of that.
PARTS = {
    "flagged": "Flagged spots, one of each kind of flag first",
    "control": "Control spots",
    "random": "Spots drawn at random, so that nobody chose them",
}


def gallery(
    spots: pd.DataFrame,
    stack: SpotStack,
    labels: Mapping[str, Path],
    assay: str,
    most: int,
) -> list[tuple[str, list[dict[str, Any]]]]:
    """Pictures of at most `most` spots in parts, each with what was put there and measured."""
    position = {name: index for index, name in enumerate(stack.names)}
    records = [row for row in spots.to_dict("records") if row["spot"] in position]
    listed = [
        {"found": bool(row["found"]), "flags": words.flag_words(row["flags"]), "role": row["role"]}
        for row in records
    ]
    chosen = choose(listed, most, seed=stack.frame.slide)
    if not chosen:
        return []
    limits = {channel: images.contrast(stack, channel) for channel in images.colours(stack)}
    opened = {channel: open_labels(path) for channel, path in sorted(labels.items())}

    def picture(pick: int, side: int) -> images.SpotPicture:
        at = position[records[pick]["spot"]]
        outlined = {channel: label.read(at, at + 1)[0] for channel, label in opened.items()}
        return images.spot_picture(stack, at, limits=limits, labels=outlined, side=side)

    def size(side: int) -> int:
        made = [picture(pick, side) for pick in sample]
        return sum(len(one.image) + len(one.outlines) for one in made)

    picks = list(chosen)
    sample = picks[:: max(1, len(picks) // _SAMPLE)]
    times = len(picks) / len(sample)
    side = images.fitting_side(images.SIDES, times, MOST_BYTES, size) or images.SIDES[-1]
    parts: dict[str, list[dict[str, Any]]] = {why: [] for why in PARTS}
    for pick, why in chosen.items():
        row = records[pick]
        what = " · ".join(filter(None, (row["agent"], row["dose"])))
        parts[why].append(
            {
                "spot": row["spot"],
                "picture": picture(pick, side),
                "what": what or words.ROLES.get(row["role"], row["role"]),
                "role": words.ROLES.get(row["role"], "") if row["role"] != "sample" else "",
                "numbers": _numbers(row, assay),
                "flags": listed[pick]["flags"],
            }
        )
    return [(PARTS[why], cards) for why, cards in parts.items() if cards]


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
            "colour": images.hex_colour(colour),
            "outlined": "outlined" if channel in labels else "",
        }
        for channel, colour in images.colours(stack).items()
    ]


def choose(spots: Sequence[Mapping[str, Any]], most: int, *, seed: str) -> dict[int, str]:
    """Choose the spots to show: flagged ones, controls, and others at random.

    Always the same for the same table. A third of the room at most goes to flagged spots, one
    of each kind of flag first; a quarter to controls.

    Parameters
    ----------
    spots
        Rows with ``found``, ``flags`` (list) and ``role``, in the order of the grid.
    most
        How many to show.
    seed
        Decides what is drawn.

    Returns
    -------
    dict
        Positions in `spots` in the order of the choice, and why: ``flagged``, ``control`` or
        ``random``.
    """
    if most <= 0:
        return {}
    seen = [i for i, spot in enumerate(spots) if spot["found"]]
    by_flag: dict[str, list[int]] = {}
    for i in seen:
        for flag in spots[i]["flags"]:
            by_flag.setdefault(flag, []).append(i)
    chosen: dict[int, str] = {}
    queues = [_spread(by_flag[flag]) for flag in sorted(by_flag)]
    _take_turns(queues, chosen, max(1, most // 3), "flagged")
    controls = [
        _spread([i for i in seen if spots[i]["role"] == role and not spots[i]["flags"]])
        for role in ("neg_ctrl", "pos_ctrl")
    ]
    _take_turns(controls, chosen, min(most, len(chosen) + max(1, most // 4)), "control")
    draw = np.random.default_rng(list(seed.encode()))
    rest = [i for i in seen if i not in chosen]
    drawn = [rest[k] for k in draw.permutation(len(rest))[: max(0, most - len(chosen))]]
    return chosen | dict.fromkeys(sorted(drawn), "random")


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


def _take_turns(queues: list[list[int]], chosen: dict[int, str], until: int, why: str) -> None:
    """Take one of each queue in turn until `chosen` holds `until`."""
    queues = [list(queue) for queue in queues]
    while len(chosen) < until and any(queues):
        for queue in queues:
            while queue and queue[0] in chosen:
                queue.pop(0)
            if queue and len(chosen) < until:
                chosen[queue.pop(0)] = why

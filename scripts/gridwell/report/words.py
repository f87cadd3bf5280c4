"""Numbers and states in the words of a person who reads a report."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from gridwell.config.columns import FLAGS

NOTHING = "–"

ROLES = {
    "sample": "sample",
    "neg_ctrl": "negative control",
    "pos_ctrl": "positive control",
    "blank": "blank",
    "empty": "empty",
    "calibration": "calibration",
    "excluded": "excluded",
}

UNITS = {"uM": "µM", "ug/mL": "µg/mL"}  # units that people print otherwise than they type them

STATES = {
    "live": "live (stained alive only)",
    "dying": "dying (stained alive and dead)",
    "dead": "dead (stained dead only)",
    "inactive": "inactive (neither stain)",
}


def missing(value: Any) -> bool:
    """Tell whether a table's cell holds nothing."""
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def text(value: Any) -> str:
    """Text of a cell; empty when there is none. The apostrophe that defuses CSV goes away."""
    if missing(value):
        return ""
    words = str(value)
    return words[1:] if words[:1] == "'" and words[1:2] in tuple("=+-@\t\r") else words


def number(value: Any, digits: int = 3) -> str:
    """Write a number with `digits` significant digits, never as 1e+03; a dash for none."""
    if missing(value):
        return NOTHING
    value = float(value)
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size >= 6 or size < -4:
        mantissa = f"{value / 10.0**size:.{max(digits - 1, 0)}f}".replace("-", "−")
        return f"{mantissa} × 10{_superscript(size)}"
    return f"{value:,.{max(digits - 1 - size, 0)}f}".replace(",", "\u202f").replace("-", "−")


def _superscript(exponent: int) -> str:
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def plain(value: Any, digits: int = 4) -> str:
    """Write a dose: at most `digits` significant digits and no trailing zeros."""
    if missing(value):
        return NOTHING
    shown = number(value, digits)
    return shown.rstrip("0").rstrip(".") if "." in shown and "×" not in shown else shown


def count(value: Any) -> str:
    """Write a whole number with all its digits in groups of three."""
    return NOTHING if missing(value) else f"{round(float(value)):,}".replace(",", "\u202f")


def fixed(value: Any, decimals: int = 2) -> str:
    """Write a number with fixed decimals, so that a column of them lines up."""
    if missing(value):
        return NOTHING
    shown = f"{float(value):,.{decimals}f}".replace(",", "\u202f")
    return shown.replace("-", "−") if float(shown.replace("\u202f", "")) else shown.lstrip("-")


def percent(value: Any, decimals: int = 0) -> str:
    """Write a share 0..1 as per cent."""
    return NOTHING if missing(value) else f"{fixed(100 * float(value), decimals)}\u202f%"


def unit(value: Any) -> str:
    """Write a unit of the layout as people print it."""
    return UNITS.get(text(value), text(value))


def dose(concentration: Any, of_unit: Any) -> str:
    """Write a concentration with its unit; empty when there is none."""
    if missing(concentration):
        return ""
    return f"{plain(concentration)}\u202f{unit(of_unit)}".strip()


def flag_words(flags: Any) -> list[str]:
    """Single words of a flags cell."""
    return [word.strip() for word in text(flags).split(";") if word.strip()]


def flag_meaning(word: str) -> str:
    """What a flag says; the word itself where it is not one of the known."""
    return FLAGS.get(word, word.replace("_", " "))


def natural(name: str) -> list[tuple[int, int, str]]:
    """Key that sorts names as people count: ``Drug 2`` before ``Drug 10``."""
    parts = re.split(r"(\d+)", name.casefold())
    key = [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]
    return [*key, (2, 0, name)]


def plural(number_of: int, one: str) -> str:
    """Count with the noun in the right number: ``1 spot``, ``2 spots``."""
    return f"{count(number_of)} {one if number_of == 1 else one + 's'}"


def join(words: Iterable[str]) -> str:
    """List words as a sentence does: a, b and c."""
    items = list(words)
    return (
        items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""
    )


def grid_status(grid: Mapping[str, Any]) -> dict[str, str]:
    """Say what the state of a grid means: tone (``good`` ``care`` ``bad``), title, sentence."""
    status = str(grid.get("status", "unknown"))
    rows, cols = grid.get("rows"), grid.get("cols")
    size = f"{rows} rows × {cols} columns" if rows and cols else "no rows and columns"
    reason = text(grid.get("reason"))
    if status == "ok":
        return {"tone": "good", "title": "The grid is found", "text": f"{size}. {reason}".strip()}
    if status == "override":
        return {
            "tone": "care",
            "title": "The grid was set by a person",
            "text": f"{size}, as the slide's override file says. {reason}".strip(),
        }
    if status == "ambiguous":
        return {
            "tone": "bad",
            "title": "Do not use these numbers yet: the grid is ambiguous",
            "text": f"{size} is the best guess, but another grid explains the image nearly as "
            f"well. Spot names may be off by a row or a column. {reason}".strip(),
        }
    return {
        "tone": "bad",
        "title": "No grid was found: this slide has no valid numbers",
        "text": reason or "The image shows no regular grid of spots.",
    }


def orientation(known: Any) -> str:
    """Say which corner A1 is in, and who says so; or why nobody does."""
    if not isinstance(known, Mapping):
        return text(known) or "unknown"
    value = text(known.get("value")) or "unknown"
    source, reason = text(known.get("source")), text(known.get("reason"))
    if value == "unknown" or source in ("", "unknown"):
        return f"{value}: {reason}" if reason else value
    return f"{value} ({source}: {reason})" if reason else f"{value}, {source}"


def confidence(value: Any) -> str:
    """Say how far to trust a confidence 0..1."""
    if missing(value):
        return "not stated"
    word = "high" if value >= 0.8 else "fair" if value >= 0.5 else "low"
    return f"{word} ({fixed(value)} of 1)"


_SIDES = {
    "first_row": ("row", "at the top"),
    "last_row": ("row", "at the bottom"),
    "first_col": ("column", "on the left"),
    "last_col": ("column", "on the right"),
}
_WAYS = {"up": "row", "down": "row", "left": "column", "right": "column"}


def margin_name(key: str) -> str:
    """Say in words which wrong grid a margin is about: ``shift_up``, ``add_last_row``…"""
    what, _, where = key.partition("_")
    if what == "shift" and where in _WAYS:
        return f"moved {where} by a {_WAYS[where]}"
    if what in ("add", "remove") and where in _SIDES:
        line, side = _SIDES[where]
        return f"one {line} {'more' if what == 'add' else 'fewer'} {side}"
    return key.replace("_", " ")


def beyond_the_image(key: str, nats: float) -> bool:
    """Say whether a margin is of a line that no picture can speak of: it would lie outside."""
    return key.startswith("add_") and nats == 0


def odds(key: str, nats: float) -> str:
    """Say a margin, a difference of log likelihoods, as odds."""
    if beyond_the_image(key, nats):
        return "beyond the image"
    if nats <= 0.05:
        return "even, or worse"
    if nats > math.log(1e6):
        return "more than a million to 1"
    return f"{number(math.exp(nats), 2)} to 1"


# Readings of a statistic, from the best: least value, tone, words. Z' and its robust twin:
# Zhang et al., J Biomol Screen 4:67 (1999). SSMD: Zhang, Genomics 89:552 (2007), with its limits
# for strong positive controls.
_Z_PRIME = (
    (0.5, "good", "excellent: positive and negative controls are well apart"),
    (0.0, "care", "usable with care: the spread of the controls nearly closes the gap"),
    (-math.inf, "bad", "not usable for single spots: the controls overlap"),
)
_SSMD = (
    (5.0, "good", "very strong difference between the controls"),
    (3.0, "good", "strong difference between the controls"),
    (2.0, "care", "moderate difference between the controls"),
    (0.0, "bad", "weak difference between the controls"),
)
_CONTROLS = (
    (8.0, "good", "enough"),
    (1.0, "care", "few: eight or more make steadier statistics"),
    (0.0, "bad", "none: nothing to compare with"),
)
_EDGE = (
    (-10.0, "good", "rim and inside agree"),
    (-20.0, "care", "rim and inside differ"),
    (-math.inf, "bad", "rim and inside differ strongly"),
)
_NEIGHBOURS = (
    (0.01, "good", "neighbours deviate by chance"),
    (0.0, "care", "neighbouring spots deviate alike: look at the plate map"),
)
_TAKEN_OFF = (
    (2.0, "care", "a curved gradient was taken off"),
    (1.0, "care", "a gradient was taken off"),
    (0.0, "good", "nothing was taken off"),
)
_REPLICATES = (
    (0.75, "good", "replicate spots agree"),
    (0.5, "care", "replicate spots agree moderately"),
    (-math.inf, "bad", "replicate spots differ as much as doses do"),
)
_NONE_BAD = (
    (1.0, "care", "look at these spots"),
    (0.0, "good", "none"),
)
_GRID = ((0.8, "good", "high"), (0.5, "care", "fair"), (0.0, "bad", "low"))
_READINGS = {
    "z_prime": _Z_PRIME,
    "robust_z_prime": _Z_PRIME,
    "ssmd": _SSMD,
    "n_neg_ctrl": _CONTROLS,
    "n_pos_ctrl": _CONTROLS,
    "edge_effect": _EDGE,
    "edge_effect_all": _EDGE,
    "morans_p": _NEIGHBOURS,
    "correction": _TAKEN_OFF,
    "replicate_icc": _REPLICATES,
    "n_out_of_focus": _NONE_BAD,
    "n_unregistered": _NONE_BAD,
    "grid_confidence": _GRID,
}


def quality_reading(statistic: str, value: Any) -> tuple[str, str]:
    """Say what a statistic of quality.csv means: (tone, sentence)."""
    if missing(value):
        return "plain", "could not be computed, controls may be missing"
    size = abs(float(value)) if statistic == "ssmd" else float(value)
    if statistic.startswith("edge_effect"):
        size = -abs(size)
    for least, tone, reading in _READINGS.get(statistic, ()):
        if size >= least:
            return tone, reading
    return "plain", ""


QUALITY_NAMES = {
    "z_prime": "Z′",
    "robust_z_prime": "robust Z′",
    "ssmd": "SSMD",
    "n_neg_ctrl": "negative controls",
    "n_pos_ctrl": "positive controls",
    "n_out_of_focus": "spots out of focus",
    "n_unregistered": "spots not registered",
    "neg_ctrl_median": "negative controls, median",
    "pos_ctrl_median": "positive controls, median",
    "neg_ctrl_sd": "negative controls, standard deviation",
    "pos_ctrl_sd": "positive controls, standard deviation",
    "edge_effect": "edge effect of controls",
    "edge_effect_all": "edge effect of all spots",
    "edge_p": "edge effect of controls, p",
    "edge_all_p": "edge effect of all spots, p",
    "row_p": "rows differ, p",
    "row_range": "rows, range (%)",
    "col_p": "columns differ, p",
    "col_range": "columns, range (%)",
    "morans_i": "Moran’s I",
    "morans_p": "neighbours alike, p",
    "neg_ctrl_cv": "negative controls, coefficient of variation (%)",
    "robust_ssmd": "robust SSMD",
    "signal_window": "signal window",
    "replicate_sd": "replicate spots, standard deviation",
    "replicate_cv": "replicate spots, coefficient of variation (%)",
    "replicate_icc": "replicates, ICC",
    "gradient": "gradient of controls (%)",
    "correction": "correction",
    "correction_gain": "correction, error saved (%)",
    "correction_p": "correction, p",
    "correction_range": "correction, range (%)",
}


def quality_value(statistic: str, value: Any) -> str:
    """Write a statistic's value: counts whole, edge effects as per cent."""
    if statistic.startswith(("n_", "layout_", "grid_not")):
        return count(value)
    if statistic.endswith("_p") and not missing(value) and value < 0.01:
        return "< 0.01" if value >= 0.001 else "< 0.001"
    if statistic == "correction":
        return {0: "none", 1: "plane", 2: "quadratic"}.get(value, NOTHING)
    if statistic.startswith("edge_effect"):
        return NOTHING if missing(value) else f"{fixed(value, 1)}\u202f%"
    return fixed(value) if not missing(value) and abs(value) < 1000 else number(value)


def quality_name(statistic: str) -> str:
    """Write a statistic as people do."""
    if statistic in QUALITY_NAMES:
        return QUALITY_NAMES[statistic]
    name = statistic.replace("_", " ")
    return f"spots: {name[2:]}" if name.startswith("n ") else name


def ec50_words(
    row: Mapping[Any, Any], lowest: float | None, highest: float | None
) -> tuple[str, str, str]:
    """Write an EC50 and what may be said of it, honestly: (value, interval, note).

    An EC50 outside the tested doses was not measured; it is written as a bound of the tested
    range, and so is an end of its interval.

    Parameters
    ----------
    row
        A row of dose_response.csv.
    lowest, highest
        Range of the doses tested, in the unit of the row.
    """
    of = unit(row.get("unit"))
    where, ec50 = text(row.get("in_range")), row.get("ec50")
    if where == ">max":
        return f"> {plain(highest)}\u202f{of}".strip(), "", "beyond the highest dose tested"
    if where == "<min":
        return f"< {plain(lowest)}\u202f{of}".strip(), "", "below the lowest dose tested"
    if where == "flat":
        return NOTHING, "", "no effect of the dose shows"
    if missing(ec50):
        why = [flag_meaning(flag) for flag in flag_words(row.get("flags"))]
        return NOTHING, "", "; ".join(["no curve", *why])
    low, high = row.get("ec50_low"), row.get("ec50_high")
    below = f"less than {plain(lowest)}" if missing(low) else number(low)
    above = f"more than {plain(highest)}" if missing(high) else number(high)
    return f"{number(ec50)}\u202f{of}".strip(), f"{below} to {above}", ""

"""Tables of a screen's report beside the fits: agents, growth, combinations, slides in pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from gridwell.config.columns import COLUMNS
from gridwell.config.layouts import off_grid_in_words
from gridwell.report import tables, words
from gridwell.report.tables import Column

MOST_PAIRS = 60  # of slides that are listed; the CSV has all

# Columns of names, by file.
TEXTS = {
    "agents.csv": ("agent", "unit", "metric", "assay", "normalise", "sdss_group", "flags"),
    "growth.csv": ("group", "agent", "model", "in_range", "flags", "unit", "assay"),
    "combinations.csv": ("group", "agents", "doses", "flags", "metric", "assay", "normalise"),
    "replicates.csv": ("group", "slide_a", "slide_b", "flags", "metric", "assay", "normalise"),
    "unmatched.csv": ("slide", "spot", "reason", "agent", "unit", "role"),
}  # fmt: skip


def agents(table: pd.DataFrame) -> tables.Table | None:
    """What is known of each agent over all groups; None where there is but one group."""
    table = table[table["n_groups"] > 1]
    if table.empty:
        return None
    rows = table.to_dict("records")
    shown = table.assign(
        unit=[words.unit(u) for u in table["unit"]],
        inside=[_inside(row) for row in rows],
        auc=[_spread(row, "auc") for row in rows],
        dss=[_spread(row, "dss") for row in rows],
        most=[_selective(row) for row in rows],
        flags=_flags(table),
    )
    order = shown["dss_median"].fillna(-1.0).rank(ascending=False, method="first").argsort()
    columns = [
        Column("agent", "Agent"),
        Column("unit", "Unit"),
        _number("ec50", "EC50, pooled", "agents"),
        _number("ec50_low", "low", "agents"),
        _number("ec50_high", "high", "agents"),
        Column("inside", "EC50 of the groups"),
        _number("i2", "I² (%)", "agents", _whole),
        Column("dss", "DSS: median (range)"),
        Column("auc", "AUC: median (range)"),
        Column("most", "Most selective for"),
        *_facts(table, "agents"),
        _flag_column("agents"),
    ]
    return _table(shown.iloc[order], columns, table, "agents", "Each agent over all groups")


def growth(table: pd.DataFrame) -> tables.Table | None:
    """Growth rates; None where there are none."""
    if table.empty:
        return None
    names = list(zip(table["agent"], table["group"], strict=True))
    order = sorted(range(len(table)), key=lambda i: tuple(map(words.natural, names[i])))
    shown = table.assign(
        unit=[words.unit(u) for u in table["unit"]],
        where=[_gr50(row) for row in table.to_dict("records")],
        flags=_flags(table),
    ).iloc[order]
    columns = [
        Column("agent", "Agent"),
        *([Column("group", "Group")] if _differ(table["group"]) else []),
        _number("time_h", "Hours", "growth", words.plain),
        Column("unit", "Unit"),
        _number("gr50", "GR50", "growth"),
        Column("where", "Reading"),
        _number("gr_max", "GRmax", "growth", words.fixed),
        _number("gr_aoc", "GR_AOC", "growth", words.fixed),
        _number("gr_inf", "GRinf", "growth", words.fixed),
        _number("gr_hill", "Hill", "growth"),
        _number("doublings", "Doublings of controls", "growth", words.fixed),
        _number("n_spots", "Spots", "growth", words.plain),
        _flag_column("growth"),
    ]
    return _table(shown, columns, table, "growth", "Growth rates of each agent")


def combinations(table: pd.DataFrame) -> tables.Table | None:
    """Combinations against what independent agents would do; None where there are none."""
    if table.empty:
        return None
    rows = table.to_dict("records")
    shown = table.assign(
        doses=[_doses(row["doses"]) for row in rows],
        interval=[_interval(row["mean_low"], row["mean_high"]) for row in rows],
        excess=[_interval(row["excess_low"], row["excess_high"]) for row in rows],
        reading=[_reading(row) for row in rows],
        flags=_flags(table),
    )
    columns = [
        Column("agents", "Agents"),
        Column("doses", "Doses"),
        *([Column("group", "Group")] if _differ(table["group"]) else []),
        _number("n_spots", "Spots", "combinations", words.plain),
        _number("mean", "Mean (%)", "combinations", _tenth),
        Column("interval", "Interval"),
        _number("bliss", "Expected (Bliss)", "combinations", _tenth),
        _number("hsa", "Best alone (HSA)", "combinations", _tenth),
        _number("excess_bliss", "Excess", "combinations", _tenth),
        Column("excess", "Interval of the excess"),
        Column("reading", "Reading"),
        *_facts(table, "combinations"),
        _flag_column("combinations"),
    ]
    return _table(shown, columns, table, "combinations", "Combinations of agents")


def replicates(table: pd.DataFrame) -> tables.Table | None:
    """Slides of one group in pairs, those that disagree first; None where there are none."""
    if table.empty:
        return None
    worst = table["concordance"].astype(float).fillna(2.0)
    agree = ~table["flags"].str.contains("slides_disagree")
    order = table.assign(worst=worst, agree=agree).sort_values(
        ["agree", "worst", "slide_a", "slide_b"], kind="stable"
    )
    shown = order.assign(flags=_flags(order)).head(MOST_PAIRS)
    columns = [
        Column("slide_a", "Slide"),
        Column("slide_b", "and slide"),
        *([Column("group", "Group")] if _differ(table["group"]) else []),
        _number("n", "Conditions", "replicates", words.plain),
        _number("concordance", "Concordance (Lin)", "replicates", words.fixed),
        _number("pearson", "Pearson", "replicates", words.fixed),
        _number("spearman", "Spearman", "replicates", words.fixed),
        _number("difference", "Mean difference", "replicates", _tenth),
        _number("excess", "Beyond scatter", "replicates", _tenth),
        *_facts(table, "replicates"),
        _flag_column("replicates"),
    ]
    return _table(shown, columns, table, "replicates", "Slides of one group in pairs")


def unmatched(table: pd.DataFrame, links: Mapping[str, str]) -> list[dict[str, str]]:
    """One sentence for each slide whose layout and grid do not meet."""
    said = []
    for slide, part in table.groupby("slide", sort=True):
        spots = part.groupby("reason")["spot"].agg(list).to_dict()
        text = off_grid_in_words(spots.get("not_on_grid", []), spots.get("not_in_layout", []))
        name = str(slide)
        said.append({"slide": name, "link": links.get(name, ""), "text": text})
    return said


def _table(
    shown: pd.DataFrame,
    columns: Sequence[Column],
    whole: pd.DataFrame,
    name: str,
    caption: str,
) -> tables.Table:
    return tables.build(
        shown, columns, name=f"all-{name}", caption=caption, file=f"{name}.csv", download=whole
    )


def _number(name: str, label: str, table: str, show: Callable[[Any], str] = words.number) -> Column:
    return Column(name, label, show, COLUMNS[f"screen/{table}.csv"].get(name, ""))


def _facts(table: pd.DataFrame, name: str) -> list[Column]:
    """Columns that only tell rows apart where several numbers, assays or times are screened."""
    several = [column for column in ("metric", "assay") if _differ(table[column])]
    found = [Column(column, column.capitalize()) for column in several]
    times = _differ(table["time_h"])
    return [*found, *([_number("time_h", "Hours", name, words.plain)] if times else [])]


def _differ(column: pd.Series) -> bool:
    return len(column.dropna().unique()) > 1


def _flags(table: pd.DataFrame) -> list[str]:
    return [", ".join(words.flag_words(f)).replace("_", " ") for f in table["flags"]]


def _flag_column(table: str) -> Column:
    return Column("flags", "Flags", help=COLUMNS[f"screen/{table}.csv"]["flags"])


def _whole(value: Any) -> str:
    return words.fixed(value, 0)


def _tenth(value: Any) -> str:
    return words.fixed(value, 1)


def _inside(row: Mapping[Any, Any]) -> str:
    """Where the EC50s of the groups lie."""
    places = (("n_in_range", "in range"), ("n_below", "below"), ("n_above", "above"),
              ("n_flat", "no effect"))  # fmt: skip
    parts = [f"{row[name]} {said}" for name, said in places if row[name]]
    missing = row["n_groups"] - row["n_fitted"]
    return ", ".join([*parts, *([f"{missing} not fitted"] if missing > 0 else [])])


def _spread(row: Mapping[Any, Any], name: str) -> str:
    if words.missing(row[f"{name}_median"]):
        return words.NOTHING
    low, high = (words.number(row[f"{name}_{end}"]) for end in ("min", "max"))
    return f"{words.number(row[f'{name}_median'])} ({low} to {high})"


def _selective(row: Mapping[Any, Any]) -> str:
    if words.missing(row["sdss_max"]) or row["sdss_max"] <= 0:
        return words.NOTHING
    return f"{row['sdss_group'] or 'no group'} (+{words.number(row['sdss_max'], 2)})"


def _gr50(row: Mapping[Any, Any]) -> str:
    said = {
        "yes": "within the doses",
        ">max": "beyond the highest dose tested, if at all",
        "<min": "below the lowest dose tested",
    }
    return said.get(str(row["in_range"]), "no curve")


def _interval(low: Any, high: Any) -> str:
    return words.NOTHING if words.missing(low) else f"{_tenth(low)} to {_tenth(high)}"


def _doses(doses: str) -> str:
    pairs = [part.split(" ") for part in doses.split(" + ")]
    return " + ".join(" ".join([pair[0], *map(words.unit, pair[1:])]) for pair in pairs)


def _reading(row: Mapping[Any, Any]) -> str:
    """Whether a combination does what independent agents would do."""
    if words.missing(row["excess_low"]):
        return words.NOTHING
    if row["excess_low"] > 0:
        return "more than expected"
    return "less than expected" if row["excess_high"] < 0 else "as expected"

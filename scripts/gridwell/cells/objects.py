"""Spot table of the objects assay: how many objects of each channel lie on each spot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from gridwell.cells.flags import is_saturated, join_flags, spot_rows
from gridwell.config.files import write_csv
from gridwell.config.provenance import Provenance, read_provenance, with_inputs
from gridwell.images.labels import open_labels
from gridwell.images.spots import open_spots


def summarise_objects(
    spots_zarr: Path,
    instances: Mapping[str, Path],
    labels: Mapping[str, Path],
    *,
    spots_out: Path,
    min_cells: int,
    provenance: Provenance | None = None,
) -> None:
    """Count the objects of each segmented channel on every grid position.

    Parameters
    ----------
    spots_zarr
        Stack of crops.
    instances
        Feature tables by channel name.
    labels
        Label stacks by channel name: a spot that failed in one has no count there, and the flag
        ``failed``.
    spots_out
        CSV file: slide, spot, row, col, x, y, ``n_<channel>`` of each channel, flags.
    min_cells
        Spots with fewer objects in all channels are flagged few_cells.
    provenance
        Code and configuration that the table is made with; that of `instances` is added.
    """
    stack = open_spots(spots_zarr)
    spots = spot_rows(stack.frame)
    most = np.zeros(len(spots), np.int64)
    failed = np.zeros(len(spots), bool)
    saturated = np.zeros(len(spots), bool)
    order = [channel["channel"] for channel in stack.channels]
    for channel in sorted(instances, key=order.index):
        table = pd.read_parquet(instances[channel], columns=["spot", "max"])
        groups = dict(iter(table.groupby("spot")))
        tables = [groups.get(spot, table.iloc[:0]) for spot in spots["spot"]]
        count = np.array([len(each) for each in tables])
        lost = open_labels(labels[channel]).attributes.get("failed", {})
        bad = spots["spot"].isin(list(lost)).to_numpy()
        spots[f"n_{channel}"] = pd.array(count, "Int64")
        spots.loc[bad, f"n_{channel}"] = pd.NA
        most, failed = np.maximum(most, count), failed | bad
        saturated |= is_saturated(tables)
    spots["flags"] = join_flags(
        stack.frame,
        np.asarray(stack.inside),
        {
            "empty": ~failed & (most == 0),
            "few_cells": ~failed & (most > 0) & (most < min_cells),
            "saturated": saturated,
            "failed": failed,
        },
    )
    if provenance is not None:
        provenance = with_inputs(provenance, map(read_provenance, instances.values()))
    write_csv(spots_out, spots, provenance)

"""Slurm jobs of a run whose Snakemake was killed: they compute on, and nobody waits for them."""

from __future__ import annotations

import time
from pathlib import Path

from gridwell.runs.slurm import cancel, queued_from


def cancel_orphans(study: Path, patience: float = 120.0) -> list[str]:
    """Cancel the jobs that an earlier run of a study left in the queue.

    A new run submits what is not done. A job of the earlier one would compute the same
    beside it and write to the same files, so it must be gone first. What jobs finished after
    their Snakemake had died is done and stays.

    Parameters
    ----------
    study
        Working directory of the run that begins; no other run of it is alive.
    patience
        Seconds to wait for the jobs to end.

    Returns
    -------
    jobs
        Slurm's numbers of the cancelled jobs; none where Slurm is not at hand.

    Raises
    ------
    RuntimeError
        If they do not end.
    """
    orphans = queued_from(study)
    if not orphans:
        return []
    cancel(orphans)
    end = time.monotonic() + patience
    while left := queued_from(study):
        if time.monotonic() > end:
            raise RuntimeError(
                f"Jobs of an earlier run of this study do not end: {' '.join(left)}. "
                "Cancel them (scancel), or ask the administrators of the cluster"
            )
        time.sleep(1)
    return orphans

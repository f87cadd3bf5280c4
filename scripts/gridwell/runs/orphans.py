"""Slurm jobs of a run whose Snakemake was killed: they compute on, and nobody waits for them."""

from __future__ import annotations

import time
from pathlib import Path

from gridwell.config.errors import InputError, Problem
from gridwell.runs.slurm import cancel, queued_from

SLURM_LOGS = Path(".snakemake/slurm_logs")
"""Where Snakemake's executor keeps Slurm's logs: a study without was never run there."""


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
    InputError
        If they do not end, or Slurm does not say whether there are any.
    """
    orphans = queued_from(study)
    if orphans is None and (study / SLURM_LOGS).is_dir():
        raise InputError(
            Problem(
                "squeue",
                "Slurm does not answer, and jobs of an earlier run of this study may still compute",
                f"Try again when squeue works; if none does, remove {SLURM_LOGS}",
            )
        )
    if not orphans:
        return []
    cancel(orphans)
    end = time.monotonic() + patience
    while (left := queued_from(study)) != []:
        if time.monotonic() > end:
            raise InputError(
                Problem(
                    "squeue",
                    "jobs of an earlier run of this study do not end",
                    "Cancel them (scancel), or ask the administrators of the cluster",
                    value=" ".join(left or orphans),
                )
            )
        time.sleep(1)
    return orphans

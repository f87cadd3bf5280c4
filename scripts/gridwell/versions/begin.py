"""Before the first job: what a run starts from, code and configuration, goes into the history."""

from __future__ import annotations

from pathlib import Path

from gridwell.versions.checks import prepare_environment
from gridwell.versions.dataset import STARTED_FROM, pin_workflow, save
from gridwell.versions.git import changed_files


def begin_run(study: Path, repository: Path) -> None:
    """Commit the configuration as it is now, and pin workflow/ at the commit that runs.

    A record at the end of the run then names what everything was computed from; what a person
    edits meanwhile belongs to the next run.

    Parameters
    ----------
    study
        Root of the study, a dataset.
    repository
        The clone of gridwell that runs: the study's own workflow/, or another one.
    """
    prepare_environment()
    pin_workflow(study, repository)
    there = [name for name in STARTED_FROM if (study / name).exists()]
    if changed_files(*there, cwd=study):
        save(study, there, "study: configuration and code")

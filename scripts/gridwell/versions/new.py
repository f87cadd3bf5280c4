"""Making a study: the folder that a run of the workflow works in."""

from __future__ import annotations

import shutil
from pathlib import Path

from gridwell.config.errors import InputError, Problem
from gridwell.versions.begin import begin_run
from gridwell.versions.checks import check_place, is_dataset
from gridwell.versions.dataset import create_dataset
from gridwell.versions.git import git_says

REPOSITORY = Path(__file__).resolve().parents[3]
TEMPLATES = REPOSITORY / "config"
_COPIED = ("config.yaml", "slides.tsv", "channels.tsv", "layouts/example.csv")
_FOLDERS = ("config/layouts", "config/overrides", "raw", "results")


def new_study(study: Path, *, versioning: bool = True, work: Path | None = None) -> bool:
    """Make a study in `study`: configuration templates, raw/, results/, and its history.

    A folder that holds a study already is completed: files that exist are never touched,
    and it becomes a DataLad dataset if it is none yet.

    Parameters
    ----------
    study
        The folder; made if need be. It must be empty, or hold a study (config/).
    versioning
        Make it a DataLad dataset with raw/ as a subdataset and this workflow, pinned at its
        present commit, as workflow/. False: a plain folder, with versioning: off.
    work
        Folder on another file system, such as the scratch of a cluster, that the study's work/
        becomes a link to; None: work/ is in the study. All nodes must see it.

    Returns
    -------
    bool
        Whether workflow/ was pinned; False too where gridwell is not a git clone.

    Raises
    ------
    InputError
        If the folder holds something else, is a study with history already, or lies inside
        another dataset's files; or if `work` holds something, or the study has its work/.
    """
    if study.exists() and not study.is_dir():
        raise _refused(study, "there is a file of this name", "Choose another name")
    if is_dataset(study):
        raise _refused(study, "this is a study with its history already", "Choose another folder")
    if study.is_dir() and any(study.iterdir()) and not (study / "config").is_dir():
        raise _refused(
            study,
            "the folder is not empty and holds no study (no config/)",
            "Choose an empty folder or a new name",
        )
    if work is not None and (study / "work").exists():
        raise _refused(study / "work", "the study has it already", "Move it and make a link to it")
    if work is not None and work.exists() and (not work.is_dir() or any(work.iterdir())):
        raise _refused(work, "it is no empty folder", "Name another folder for the study's work/")
    if versioning:
        check_place(study)
    for name in _FOLDERS:
        (study / name).mkdir(parents=True, exist_ok=True)
    if work is not None:
        work.mkdir(parents=True, exist_ok=True)
        (study / "work").symlink_to(work.resolve())
    for name in _COPIED:
        if not (study / "config" / name).exists():
            shutil.copyfile(TEMPLATES / name, study / "config" / name)
    if not versioning:
        _switch_off_versioning(study / "config" / "config.yaml")
        return False
    create_dataset(study)
    begin_run(study, REPOSITORY)
    return bool(git_says("rev-parse", "HEAD", cwd=REPOSITORY))


def _switch_off_versioning(config: Path) -> None:
    """Set ``versioning: off`` in the template, whose comments are kept."""
    lines = config.read_text(encoding="utf-8").splitlines(keepends=True)
    config.write_text(
        "".join(
            'versioning: "off"\n' if line.startswith("versioning:") else line for line in lines
        ),
        encoding="utf-8",
    )


def _refused(study: Path, reason: str, remedy: str) -> InputError:
    return InputError(Problem(file=str(study), reason=reason, remedy=remedy))

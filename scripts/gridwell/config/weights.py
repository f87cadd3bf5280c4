"""Where the weights of a network are that a study names."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from gridwell.config.carriers import resources

MODELS = "models"
"""Folder of a study's own networks."""


def weights_of(said: str | None, study: Path = Path()) -> Path:
    """Tell where the weights are that a study names.

    Parameters
    ----------
    said
        ``models/<name>`` of the study, the name of a network that comes with gridwell, or a
        file; relative paths start at the study. None: of nuclei.
    study
        Folder of the study.

    Returns
    -------
    path
        Of the file, which need not exist yet where it is a network of the study.
    """
    said = said or "nuclei"
    file = said if said.endswith(".safetensors") else f"{said}.safetensors"
    return study / file if is_of_study(said) else resources() / "models" / file


def is_of_study(said: str | None) -> bool:
    """Whether weights are a file of the study, and not ones that come with gridwell."""
    return said is not None and ("/" in said or said.endswith(".safetensors"))


def shipped() -> list[str]:
    """Names of the networks of cells that come with gridwell; that of the grid is none."""
    files = (resources() / "models").glob("*.safetensors")
    return sorted(path.stem for path in files if path.stem != "grid-elements")


def own_model(said: str | None, models: Collection[str]) -> str | None:
    """Which of the study's networks, by name, an option means; None: another one."""
    folder, _, name = (said or "").removesuffix(".safetensors").partition("/")
    return name if folder == MODELS and name in models else None

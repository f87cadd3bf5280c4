"""Known carriers: grids whose rows, columns and pitch need not be inferred."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from gridwell.config.errors import InputError, Problem
from gridwell.config.explain import problems_of, suggest
from gridwell.config.models import Carrier
from gridwell.config.yamls import read_yaml

# Carriers of a study, beside those that come with gridwell.
OWN = "config/carriers"


def resources() -> Path:
    """Folder ``resources`` of the repository that this library was imported from.

    Raises
    ------
    RuntimeError
        If the library was installed without its repository (not as a checkout and not with
        ``pip install --editable``).
    """
    folder = Path(__file__).resolve().parents[3] / "resources"
    if not folder.is_dir():
        raise RuntimeError(
            "gridwell is installed without its repository, so that its carriers and models are "
            "missing; install it with: pip install --editable <folder of the repository>"
        )
    return folder


def carrier_names(study: Path | None = None) -> list[str]:
    """Names of all known carriers, sorted; those of numbers by number.

    Parameters
    ----------
    study
        Folder of a study, whose own carriers in ``config/carriers`` count too.
    """
    return sorted(_files(study), key=_by_number)


def _files(study: Path | None) -> dict[str, Path]:
    """File of each carrier; a study's own wins over one of the same name here."""
    folders = [resources() / "carriers", *([study / OWN] if study is not None else [])]
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}


def _by_number(name: str) -> tuple[str, int]:
    head, _, tail = name.rpartition("-")
    return (head, int(tail)) if tail.isdigit() else (name, 0)


def load_carrier(name: str, study: Path | None = None) -> Carrier:
    """Read ``config/carriers/<name>.yaml`` of a study, else ``resources/carriers/<name>.yaml``.

    Parameters
    ----------
    name
        Name of the carrier.
    study
        Folder of a study; None: only the carriers that come with gridwell.

    Raises
    ------
    InputError
        If there is no such carrier, or its file is wrong.
    """
    path = _files(study).get(name)
    if path is None:
        raise InputError(
            Problem(
                file="resources/carriers",
                reason="is no known carrier",
                remedy=unknown_carrier_remedy(name, study),
                column="carrier",
                value=name,
            )
        )
    own = path.parent != resources() / "carriers"
    return _read(path, f"{OWN if own else 'resources/carriers'}/{path.name}")


def read_carrier(path: Path) -> Carrier:
    """Read any carrier file.

    Raises
    ------
    InputError
        If it cannot be read or is wrong.
    """
    return _read(path, str(path))


def _read(path: Path, file: str) -> Carrier:
    document = read_yaml(path, file)
    try:
        return Carrier.model_validate(document.options)
    except ValidationError as error:
        found = problems_of(error, Carrier, file=file)
        raise InputError(replace(item, row=document.line(keys)) for keys, item in found) from error


def unknown_carrier_remedy(name: str, study: Path | None = None) -> str:
    """What to do about a carrier that is not known."""
    return (
        suggest(name, carrier_names(study), "carriers")
        + " For any other, leave the cell empty: rows and columns are then inferred, or are "
        f"grid.rows and grid.cols of config.yaml; or describe it in {OWN}/{name}.yaml."
    )

"""Known carriers: grids whose rows, columns and pitch need not be inferred."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from gridwell.config.errors import InputError, Problem
from gridwell.config.explain import problems_of, suggest
from gridwell.config.models import Carrier
from gridwell.config.yamls import read_yaml


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


def carrier_names() -> list[str]:
    """Names of all known carriers, sorted; those of numbers by number."""
    names = [path.stem for path in (resources() / "carriers").glob("*.yaml")]
    return sorted(names, key=_by_number)


def _by_number(name: str) -> tuple[str, int]:
    head, _, tail = name.rpartition("-")
    return (head, int(tail)) if tail.isdigit() else (name, 0)


def load_carrier(name: str) -> Carrier:
    """Read ``resources/carriers/<name>.yaml``.

    Raises
    ------
    InputError
        If there is no such carrier, or its file is wrong.
    """
    names = carrier_names()
    if name not in names:
        raise InputError(
            Problem(
                file="resources/carriers",
                reason="is no known carrier",
                remedy=unknown_carrier_remedy(name),
                column="carrier",
                value=name,
            )
        )
    file = f"resources/carriers/{name}.yaml"
    document = read_yaml(resources() / "carriers" / f"{name}.yaml", file)
    try:
        return Carrier.model_validate(document.options)
    except ValidationError as error:
        found = problems_of(error, Carrier, file=file)
        raise InputError(replace(item, row=document.line(keys)) for keys, item in found) from error


def unknown_carrier_remedy(name: str) -> str:
    """What to do about a carrier that is not known."""
    return (
        suggest(name, carrier_names(), "carriers")
        + " For any other, leave the cell empty: rows and columns are then inferred, or are "
        "grid.rows and grid.cols of config.yaml."
    )

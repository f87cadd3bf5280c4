"""slide.json, which describes a raw slide; the file formats page explains its keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gridwell.config.errors import InputError, Problem

NAME = "slide.json"
FORMAT = "gridwell-slide/1"


def read_slide_json(raw_dir: Path) -> dict[str, Any]:
    """Read ``slide.json`` of the raw slide in `raw_dir`.

    Raises
    ------
    InputError
        If it is not there, damaged, or of another format.
    """
    path = raw_dir / NAME
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            Problem(str(path), "is not there", "Run the workflow: the rule ingest writes it.")
        ) from None
    except ValueError as error:
        raise InputError(
            Problem(str(path), f"is damaged ({error})", "Remove it and ingest the slide again.")
        ) from None
    if not isinstance(info, dict) or info.get("format") != FORMAT:
        raise InputError(
            Problem(str(path), f"is not of the format {FORMAT}", "Ingest the slide again.")
        )
    return info

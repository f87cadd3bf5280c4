"""From what a validator says to what a person should do: reasons, remedies, did-you-means."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gridwell.config.errors import Problem

DECIMAL_COMMA = re.compile(r"^[+-]?\d+,\d+([eE][+-]?\d+)?$")
_THOUSANDS = re.compile(r"^[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?$")
_WITH_UNIT = re.compile(r"^[+-]?\d+([.,]\d+)?\s*[A-Za-zµμ%][^\s]*$")
_LONGEST_VALUE = 80
_LONGEST_LIST = 12

# What else people call a column.
_SYNONYMS = {
    "well": "spot",
    "position": "spot",
    "spot_id": "spot",
    "column": "col",
    "drug": "agent",
    "compound": "agent",
    "substance": "agent",
    "treatment": "agent",
    "dose": "concentration",
    "conc": "concentration",
    "units": "unit",
    "conc_unit": "unit",
    "type": "role",
    "ph": "value",
    "rep": "replicate",
    "sample_id": "sample",
    "name": "slide",
    "slide_id": "slide",
    "plate": "slide",
    "file": "path",
    "filename": "path",
    "image": "path",
    "plane": "index",
    "pixel_size": "pixel_size_um",
    "patient": "group",
    "cell_line": "group",
    "batch": "group",
    "time": "time_h",
    "hours": "time_h",
    "timepoint": "time_h",
}


def short(value: object) -> object:
    """Return `value`, or the beginning of its text where that is long."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def unreadable(file: str, error: OSError) -> Problem:
    """A file that is there and cannot be read; in a dataset, often one that was not fetched."""
    return Problem(
        file=file,
        reason=f"cannot be read ({error.strerror})",
        remedy="Check its permissions; if it is a link into a dataset, fetch it with: datalad get.",
    )


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, or None; case does not count."""
    words = list(known)
    by_lower = {known_word.lower(): known_word for known_word in reversed(words)}
    lower = word.strip().lower().replace(" ", "_").replace("-", "_")
    synonym = _SYNONYMS.get(lower)
    if synonym in words:
        return synonym
    for key in (word.strip().lower(), lower):
        if key in by_lower:
            return by_lower[key]
    near = difflib.get_close_matches(lower, list(by_lower), n=1, cutoff=0.6)
    return by_lower[near[0]] if near else None


def suggest(word: str, known: Sequence[str], what: str = "") -> str:
    """Sentence that names the likely word, and else lists the known ones."""
    meant = closest(word, known)
    if meant:
        listed = f"Did you mean {meant!r}?"
        if len(known) > _LONGEST_LIST:
            return listed
    else:
        listed = ""
    if not known:
        return listed or f"There is no {what or 'value'} to choose from."
    names = ", ".join(known[:_LONGEST_LIST])
    more = len(known) - _LONGEST_LIST
    if more > 0:
        names += f" and {more} more"
    label = f"{what[:1].upper()}{what[1:]}" if what else "Known"
    return f"{listed} {label}: {names}.".strip()


def problems_of(
    error: ValidationError,
    model: type[BaseModel],
    *,
    file: str,
    row: int | None = None,
) -> list[tuple[tuple[str | int, ...], Problem]]:
    """Say every complaint of a model about its input as a problem of `file`.

    Returns
    -------
    list of (location, Problem)
        The location is the path of keys, for the caller to find the line in the file.
    """
    found = []
    for details in error.errors(include_url=False):
        location = details["loc"]
        reason, remedy = _explain(details, model)
        problem = Problem(
            file=file,
            reason=reason,
            remedy=remedy,
            row=row,
            column=".".join(key for key in location if isinstance(key, str)) or None,
            # What is wrong with a whole file is not shown as all that stands in it.
            value=short(details["input"]) if location and details["type"] != "missing" else None,
        )
        found.append((location, problem))
    return found


# What pydantic says, by the beginning of the kind of complaint: reason and remedy.
_WORDS = {
    "missing": ("is empty", "Fill it in."),
    "bool_unexpected": (
        "is true or false where another value is needed",
        'Write the value itself; the words yes, no, on, off in quotes, as "no".',
    ),
    "bool_": ("is neither true nor false", "Write true or false."),
    "greater_than_equal": ("is too small", "Write {ge} or more."),
    "greater_than": ("is too small", "Write a number above {gt}."),
    "less_than_equal": ("is too large", "Write {le} or less."),
    "less_than": ("is too large", "Write a number below {lt}."),
    "multiple_of": ("does not fit", "Write a multiple of {multiple_of}."),
    "string_too_long": ("is too long", "Use {max_length} characters at most."),
    "string_too_short": ("is empty", "Fill it in."),
    "string_pattern_mismatch": ("cannot be used as a name", "{meaning}"),
    "string_": ("is not a text", "Write it in quotes."),
    "too_short": ("has too few numbers", "Write {min_length}, as [1.5, 2.5]."),
    "too_long": ("has too many numbers", "Write {max_length}, as [1.5, 2.5]."),
    "tuple_": ("is not a list", "Write it in brackets, as [1.5, 2.5] or [A, B]."),
    "model_": (
        "is a section with options of its own, not a single value",
        "Write its options below it, each on a line that begins with two blanks.",
    ),
}
_WORDS["dict_"] = _WORDS["model_"]


def _explain(details: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    """Reason and remedy of one complaint of pydantic."""
    kind, given = details["type"], details["input"]
    context: Mapping[str, Any] = details.get("ctx") or {}
    meaning = _meaning(details["loc"], model)
    if kind == "extra_forbidden":
        return _unknown_key(details["loc"], model)
    if given is None:
        return "has no value", "Write one after the colon, or delete the line for the default."
    if kind in ("literal_error", "enum"):
        choices = re.findall(r"'([^']*)'", context["expected"])
        return "is not one of the values known here", suggest(str(given), choices, "one of")
    if kind.startswith(("float_", "int_")) or kind == "finite_number":
        return _explain_number(kind, given)
    for beginning, (reason, remedy) in _WORDS.items():
        if kind.startswith(beginning):
            numbers = {key: _plain(value) for key, value in context.items()}
            return reason, remedy.format(meaning=meaning, **numbers)
    return details["msg"], meaning


def _meaning(location: Sequence[str | int], model: type[BaseModel]) -> str:
    """Description of the option at `location`."""
    holder: Any = model
    for step in location[:-1]:
        holder = model_below(holder, str(step))
    field = getattr(holder, "model_fields", {}).get(str(location[-1])) if location else None
    return str(field.description) if field else "See docs/options.md."


def _explain_number(kind: str, given: object) -> tuple[str, str]:
    text = str(given).strip()
    whole = kind.startswith("int_")
    if comma := explain_comma(text):
        return comma
    if kind == "int_from_float" or (whole and re.fullmatch(r"[+-]?\d*\.\d+", text)):
        return "is not a whole number", "Write a whole number."
    if _WITH_UNIT.match(text):
        return (
            "has a unit beside the number",
            "Write the number alone; the unit has a column of its own, or is fixed.",
        )
    if isinstance(given, list | dict | tuple):
        return "is a list or section where one number is needed", "Write a number."
    example = "12" if whole else "0.5"
    sort = "a whole number" if whole else "a number"
    return f"is not {sort}", f"Write {sort}, as {example}, with a point for decimals."


def explain_comma(text: str) -> tuple[str, str] | None:
    """Reason and remedy of a number with commas, or None; what they part is never guessed."""
    plain = text.replace(",", "")
    if _THOUSANDS.match(text) and DECIMAL_COMMA.match(text):
        point = text.replace(",", ".")
        return "has a comma", f"Write {plain} if it parts thousands, {point} if it is decimal."
    if DECIMAL_COMMA.match(text):
        return "has a decimal comma", f"Write it with a point: {text.replace(',', '.')}."
    if _THOUSANDS.match(text):
        return "has commas between thousands", f"Write it without: {plain}."
    return None


def _unknown_key(location: Sequence[str | int], model: type[BaseModel]) -> tuple[str, str]:
    key = str(location[-1])
    holder: Any = model
    for step in location[:-1]:
        holder = model_below(holder, str(step))
    known = list(getattr(holder, "model_fields", {}))
    meant = closest(key, known)
    if not meant:
        elsewhere = [path for path in option_paths(model) if path.split(".")[-1] == key]
        if elsewhere:
            return "is no option of this section", f"Did you mean {elsewhere[0]}?"
    return "is no known option", suggest(key, known, "options here")


def model_below(model: Any, key: str) -> Any:
    """The model of the section `key` of `model`; for a mapping of models, its value model."""
    if model is None:
        return None
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        arguments = [item for item in get_args(model) if item is not type(None)]
        return arguments[-1] if arguments else None
    field = model.model_fields.get(key)
    return field.annotation if field else None


def option_paths(model: type[BaseModel], above: str = "") -> list[str]:
    """Dotted paths of all options of `model` and of the sections in it."""
    paths = []
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            paths += option_paths(annotation, f"{above}{name}.")
        else:
            paths.append(f"{above}{name}")
    return paths


def _plain(value: object) -> object:
    """1.0 -> 1, for messages."""
    return int(value) if isinstance(value, float) and value.is_integer() else value

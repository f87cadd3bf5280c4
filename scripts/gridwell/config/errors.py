"""Mistakes in what a user gave us, told so that they can be mended at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One mistake in one place.

    Attributes
    ----------
    file
        The file that holds the mistake, as the user would name it.
    reason
        What is wrong, in a sentence without a full stop.
    remedy
        What to write or do instead.
    row
        Line number in the file, from 1, or None where a file has no lines.
    column
        Column of a table, or dotted path of an option (``grid.rows``).
    value
        What was found there.
    """

    file: str
    reason: str
    remedy: str
    row: int | None = None
    column: str | None = None
    value: object = None

    def __str__(self) -> str:
        where = self.file
        if self.row is not None:
            where += f", row {self.row}"
        if self.column:
            where += f", {self.column}"
        found = "" if self.value is None else f" (found {self.value!r})"
        return f"{where}: {self.reason}{found}. {self.remedy}"


class InputError(Exception):
    """The input cannot be used; carries every problem found, not only the first.

    Raised for anything the user can mend (files, tables, options, images).
    Programming errors keep their own exceptions, so that a traceback always means a bug.
    """

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems: Sequence[Problem] = (
            (problems,) if isinstance(problems, Problem) else tuple(problems)
        )
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[InputError], tuple[Sequence[Problem]]]:
        """Carry the problems, not the text, between processes."""
        return InputError, (self.problems,)

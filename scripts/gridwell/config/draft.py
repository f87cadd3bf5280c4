"""A study while it is read: what is right so far, and every mistake found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from gridwell.config.errors import Problem
from gridwell.config.explain import short
from gridwell.config.layouts import ParsedLayout
from gridwell.config.models import Assay, Carrier, Channel, Config, GridOverride, Role, Slide
from gridwell.config.yamls import Document, Keys

CONFIG = "config/config.yaml"
SLIDES = "config/slides.tsv"
CHANNELS = "config/channels.tsv"
LAYOUTS = "config/layouts"
OVERRIDES = "config/overrides"
COMMAND_LINE = "--config"

Row = TypeVar("Row", bound=BaseModel)


@dataclass
class Sheet(Generic[Row]):
    """A sample sheet: its cells, and its rows that are right, each with its line."""

    rows: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    items: list[tuple[int, Row]] = field(default_factory=list)
    readable: bool = False


@dataclass
class Draft:
    """Everything read so far; `config` is None where config.yaml is not valid."""

    problems: list[Problem] = field(default_factory=list)
    command_line: Mapping[str, Any] = field(default_factory=dict)
    document: Document = field(default_factory=Document)
    config: Config | None = None
    slides: Sheet[Slide] = field(default_factory=Sheet)
    channels: Sheet[Channel] = field(default_factory=Sheet)
    carriers: dict[str, Carrier] = field(default_factory=dict)
    layouts: dict[str, ParsedLayout] = field(default_factory=dict)
    grids: dict[str, GridOverride] = field(default_factory=dict)
    grid_documents: dict[str, Document] = field(default_factory=dict)

    def wrong(
        self,
        file: str,
        reason: str,
        remedy: str,
        *,
        row: int | None = None,
        column: str | None = None,
        value: object = None,
    ) -> None:
        """Note a mistake."""
        self.problems.append(Problem(file, reason, remedy, row, column, short(value)))

    def wrong_option(self, keys: Keys, reason: str, remedy: str, value: object) -> None:
        """Note a mistake in an option, wherever it was written."""
        column = ".".join(map(str, keys))
        self.problems.append(
            self.placed(keys, Problem(CONFIG, reason, remedy, column=column, value=short(value)))
        )

    def placed(self, keys: Keys, problem: Problem) -> Problem:
        """The problem with the file and the line that its option was written in."""
        if _reaches(self.command_line, keys):
            return replace(problem, file=COMMAND_LINE)
        return replace(problem, row=self.document.line(keys))

    def slide_names(self) -> list[str]:
        """All names in slides.tsv, also those of rows that are wrong otherwise."""
        return [cells.get("slide", "") for _, cells in self.slides.rows]

    def channels_of(self, slide: str) -> list[tuple[int, Channel]]:
        """Channels of a slide with their lines."""
        return [(line, channel) for line, channel in self.channels.items if channel.slide == slide]

    def lines_with_problems(self, file: str) -> set[int]:
        """Lines of a file in which something is wrong."""
        return {problem.row for problem in self.problems if problem.file == file and problem.row}


def segmented(assay: Assay, channels: Iterable[Channel], config: Config) -> tuple[Channel, ...]:
    """Those of a slide's `channels` in which objects are segmented."""
    if assay is Assay.COLORIMETRY:
        return ()
    return tuple(
        channel
        for channel in channels
        if channel.role not in (Role.GRID, Role.COLOUR)
        and config.segment.of(channel.channel, channel.role).method != "none"
    )


def _reaches(values: Any, keys: Keys) -> bool:
    """Whether `keys` lead to something that `values` itself says."""
    for key in keys:
        if not isinstance(values, Mapping):
            return True
        if key not in values:
            return False
        values = values[key]
    return bool(keys)

"""The study as a whole: all its files read, all their mistakes found together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar, get_origin

import pandas as pd
from pydantic import BaseModel, ValidationError

from gridwell.config.carriers import carrier_names, load_carrier, unknown_carrier_remedy
from gridwell.config.columns import feature_names, measured_columns
from gridwell.config.errors import InputError, Problem
from gridwell.config.explain import model_below, problems_of, short, suggest
from gridwell.config.layouts import ParsedLayout, parse_layout
from gridwell.config.metric import Metric, parse_metric
from gridwell.config.models import (
    Assay,
    Carrier,
    Channel,
    Config,
    GridOverride,
    Role,
    Slide,
)
from gridwell.config.spots import parse_spot, row_letters, spot_name
from gridwell.config.tables import read_table
from gridwell.config.yamls import Document, Keys, read_yaml

CONFIG = "config/config.yaml"
SLIDES = "config/slides.tsv"
CHANNELS = "config/channels.tsv"
LAYOUTS = "config/layouts"
OVERRIDES = "config/overrides"
COMMAND_LINE = "--config"

# results/<slide> stands beside results/screen.
_RESERVED = {"screen"}
_VIABILITY_ROLES = (Role.NUCLEI, Role.LIVE, Role.DEAD)
_ROWS_NAMED = 5

Row = TypeVar("Row", bound=BaseModel)


@dataclass(frozen=True)
class Study:
    """Everything that a study's config/ says, checked.

    Attributes
    ----------
    root
        Folder of the study.
    config
        Options of config.yaml, with those of the command line over them.
    slides
        Rows of slides.tsv by slide, in the order of the file.
    channels
        Rows of channels.tsv by slide, in the order of the file.
    layouts
        Layouts in use by file name as in slides.tsv; see `read_layout`.
    overrides
        What people know of grids, by slide; slides without an override are absent.
    carriers
        Carriers in use by name.
    """

    root: Path
    config: Config
    slides: dict[str, Slide]
    channels: dict[str, tuple[Channel, ...]]
    layouts: dict[str, pd.DataFrame]
    overrides: dict[str, GridOverride]
    carriers: dict[str, Carrier]

    def path_of(self, channel: Channel) -> Path:
        """Image file of a channel; a relative path starts at the study."""
        return self.root / channel.path

    def segmented(self, slide: str) -> tuple[Channel, ...]:
        """Channels of a slide in which objects are segmented, in the order of channels.tsv."""
        return segmented(self.slides[slide].assay, self.channels[slide], self.config)

    def grid_channel(self, slide: str) -> Channel:
        """Channel to find the grid in: of role grid, else nuclei or colour, else the first."""
        channels = self.channels[slide]
        for role in (Role.GRID, Role.NUCLEI, Role.COLOUR):
            for channel in channels:
                if channel.role is role:
                    return channel
        return channels[0]


def segmented(assay: Assay, channels: Iterable[Channel], config: Config) -> tuple[Channel, ...]:
    """Those of a slide's `channels` in which objects are segmented."""
    if assay is Assay.COLORIMETRY:
        return ()
    if assay is Assay.VIABILITY:
        return tuple(channel for channel in channels if channel.role in _VIABILITY_ROLES)
    return tuple(
        channel
        for channel in channels
        if channel.role not in (Role.GRID, Role.COLOUR)
        and config.segment.of(channel.channel).method != "none"
    )


def load_study(root: Path, overrides: Mapping[str, Any] | None = None) -> Study:
    """Read and check all files of a study's config/.

    Parameters
    ----------
    root
        Folder of the study.
    overrides
        Options of the command line (Snakemake's ``--config``), which win over config.yaml.
        Its key ``slides`` (a list, or names joined by commas) restricts the study to these
        slides; everything is checked all the same.

    Raises
    ------
    InputError
        With all mistakes of all files. Whether image files exist is not checked here.
    """
    root = Path(root)
    if not (root / "config").is_dir():
        raise InputError(
            Problem(
                file="config",
                reason=f"the folder {root} has no folder config in it, so it is no study",
                remedy="Make a study with: make study DIR=my-study.",
            )
        )
    return _Reader(root).read(dict(overrides or {}))


@dataclass
class _Sheet(Generic[Row]):
    """A sample sheet: its cells, and its rows that are right, each with its line."""

    rows: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    items: list[tuple[int, Row]] = field(default_factory=list)
    readable: bool = False


@dataclass
class _Reader:
    """One pass over a study's files, collecting problems as it goes."""

    root: Path
    problems: list[Problem] = field(default_factory=list)
    document: Document = field(default_factory=Document)
    command_line: dict[str, Any] = field(default_factory=dict)

    def read(self, command_line: dict[str, Any]) -> Study:
        wanted = command_line.pop("slides", None)
        self.command_line = command_line
        config = self._config()
        slides = self._slides()
        channels = self._channels()
        carriers = self._carriers(slides)
        parsed = self._layouts(slides)
        grids = self._overrides(slides)
        self._check_channels(slides, channels, config)
        self._check_extents(slides, carriers, parsed, grids, config)
        if config is not None:
            self._check_segment(channels, config)
            self._check_metric(slides, channels, config)
        chosen = self._chosen(wanted, slides)
        if self.problems:
            raise InputError(self.problems)
        assert config is not None  # or there is a problem
        study = Study(
            root=self.root,
            config=config,
            slides={slide.slide: slide for _, slide in slides.items},
            channels={
                slide.slide: tuple(c for _, c in channels.items if c.slide == slide.slide)
                for _, slide in slides.items
            },
            layouts={name: layout.table for name, layout in parsed.items()},
            overrides=grids,
            carriers=carriers,
        )
        return study if chosen is None else _restrict(study, chosen)

    def _wrong(
        self,
        file: str,
        reason: str,
        remedy: str,
        *,
        row: int | None = None,
        column: str | None = None,
        value: object = None,
    ) -> None:
        self.problems.append(Problem(file, reason, remedy, row, column, short(value)))

    # config.yaml and the command line

    def _config(self) -> Config | None:
        path = self.root / CONFIG
        if not path.exists() and path.with_suffix(".yml").exists():
            self._wrong("config/config.yml", "is not read", f"Rename it to {CONFIG}.")
        if path.is_file():
            try:
                self.document = read_yaml(path, CONFIG)
            except InputError as error:
                self.problems += error.problems
                return None
        values = _merge(self.document.options, self.command_line)
        try:
            return Config.model_validate(_without_empty_sections(values, Config))
        except ValidationError as error:
            for keys, problem in problems_of(error, Config, file=CONFIG):
                self.problems.append(self._placed(keys, problem))
            return None

    def _placed(self, keys: Keys, problem: Problem) -> Problem:
        """The problem with the file and the line that its option was written in."""
        if _reaches(self.command_line, keys):
            return replace(problem, file=COMMAND_LINE)
        return replace(problem, row=self.document.line(keys))

    def _option(self, keys: Keys, reason: str, remedy: str, value: object) -> None:
        problem = Problem(
            CONFIG, reason, remedy, column=".".join(map(str, keys)), value=short(value)
        )
        self.problems.append(self._placed(keys, problem))

    # sample sheets

    def _slides(self) -> _Sheet[Slide]:
        sheet = self._sheet(SLIDES, Slide, ("slide", "assay"))
        first: dict[str, tuple[int, str]] = {}
        for line, cells in sheet.rows:
            name = cells.get("slide", "")
            line_before, before = first.setdefault(name.lower(), (line, name))
            if line_before != line:
                self._wrong_twice(SLIDES, "slide", line, name, line_before, before)
        for line, slide in sheet.items:
            if slide.slide.lower() in _RESERVED:
                self._wrong(
                    SLIDES,
                    "is the name of a folder of its own in results/",
                    "Give the slide another name.",
                    row=line,
                    column="slide",
                    value=slide.slide,
                )
        return sheet

    def _channels(self) -> _Sheet[Channel]:
        sheet = self._sheet(CHANNELS, Channel, ("slide", "channel", "role", "path"))
        names: dict[tuple[str, str], tuple[int, str]] = {}
        planes: dict[tuple[str, str, int, bool], int] = {}
        for line, channel in sheet.items:
            key = (channel.slide, channel.channel.lower())
            line_before, before = names.setdefault(key, (line, channel.channel))
            if line_before != line:
                self._wrong_twice(
                    CHANNELS, "channel", line, channel.channel, line_before, before, channel.slide
                )
                continue
            plane = (channel.slide, channel.path, channel.index, channel.role is Role.GRID)
            line_before = planes.setdefault(plane, line)
            if line_before != line:
                self._wrong(
                    CHANNELS,
                    f"is the same plane of the same file as in row {line_before}",
                    "Correct path, or index (the plane in the file, from 0).",
                    row=line,
                    column="index",
                    value=channel.index,
                )
        return sheet

    def _wrong_twice(
        self,
        file: str,
        column: str,
        line: int,
        name: str,
        line_before: int,
        before: str,
        slide: str | None = None,
    ) -> None:
        of = f" of slide {slide}" if slide else ""
        if name == before:
            reason = f"the {column}{of} stands in row {line_before} already"
        else:
            reason = f"differs only in case from {before} in row {line_before}, which many file "
            reason += "systems take for the same name"
        remedy = f"Give each {column} a name of its own, or delete the row."
        self._wrong(file, reason, remedy, row=line, column=column, value=name)

    def _sheet(self, name: str, model: type[Any], required: tuple[str, ...]) -> _Sheet[Any]:
        path = self.root / name
        sheet: _Sheet[Any] = _Sheet()
        if not path.is_file():
            self._wrong(
                name,
                "does not exist",
                f"Make it: a table separated by tabs with the columns {', '.join(required)}.",
            )
            return sheet
        table = read_table(
            path, name, known=tuple(model.model_fields), required=required, separators="\t"
        )
        self.problems += table.problems
        sheet.rows = table.rows
        sheet.readable = set(required) <= set(table.columns)
        if sheet.readable and not table.rows and not table.problems:
            what = model.__name__.lower()
            self._wrong(name, f"lists no {what}", f"Write one row for each {what}.", row=2)
            sheet.readable = False
        for line, cells in table.rows:
            try:
                sheet.items.append((line, model.model_validate(cells)))
            except ValidationError as error:
                found = problems_of(error, model, file=name, row=line)
                self.problems += [problem for _, problem in found]
        return sheet

    # what the slides name

    def _carriers(self, slides: _Sheet[Slide]) -> dict[str, Carrier]:
        carriers: dict[str, Carrier] = {}
        known = carrier_names()
        for line, slide in slides.items:
            name = slide.carrier
            if name is None or name in carriers:
                continue
            if name in known:
                carriers[name] = load_carrier(name)
            else:
                self._wrong(
                    SLIDES,
                    "is no known carrier",
                    unknown_carrier_remedy(name),
                    row=line,
                    column="carrier",
                    value=name,
                )
        return carriers

    def _layouts(self, slides: _Sheet[Slide]) -> dict[str, ParsedLayout]:
        parsed: dict[str, ParsedLayout] = {}
        folder = self.root / LAYOUTS
        there = sorted(path.name for path in folder.glob("*") if path.is_file())
        for line, slide in slides.items:
            name = slide.layout
            if name is None or name in parsed:
                continue
            if name in there:
                parsed[name] = parse_layout(folder / name, f"{LAYOUTS}/{name}")
                self.problems += parsed[name].problems
                continue
            if "/" in name or "\\" in name:
                reason, remedy = "is a path", f"Write the name of a file in {LAYOUTS} alone."
            elif there:
                reason = f"there is no such file in {LAYOUTS}"
                remedy = suggest(name, there, "files there")
            else:
                reason = f"there is no such file in {LAYOUTS}"
                remedy = "Put the layout there, or leave the cell empty."
            self._wrong(SLIDES, reason, remedy, row=line, column="layout", value=name)
        return parsed

    def _overrides(self, slides: _Sheet[Slide]) -> dict[str, GridOverride]:
        overrides: dict[str, GridOverride] = {}
        folder = self.root / OVERRIDES
        if not folder.is_dir():
            return overrides
        names = [cells.get("slide", "") for _, cells in slides.rows]
        for path in sorted(folder.iterdir()):
            file = f"{OVERRIDES}/{path.name}"
            slide = path.name.removesuffix(".yaml")
            if path.suffix == ".yml":
                self._wrong(file, "is not read", f"Rename it to {path.stem}.yaml.")
            if path.suffix != ".yaml" or path.name.startswith("."):
                continue
            if slide not in names and slides.readable:
                self._wrong(
                    file,
                    f"is named after no slide of {SLIDES}",
                    suggest(slide, names, "slides"),
                    value=slide,
                )
            override = self._override(path, file)
            if override is not None and override.model_fields_set:
                overrides[slide] = override
        return overrides

    def _override(self, path: Path, file: str) -> GridOverride | None:
        try:
            document = read_yaml(path, file)
        except InputError as error:
            self.problems += error.problems
            return None
        values = {key: value for key, value in document.options.items() if value is not None}
        try:
            override = GridOverride.model_validate(values)
        except ValidationError as error:
            for keys, problem in problems_of(error, GridOverride, file=file):
                self.problems.append(replace(problem, row=document.line(keys)))
            return None
        seen: dict[tuple[int, int], str] = {}
        for name, position in (override.corners or {}).items():
            keys = ("corners", name)
            place: dict[str, Any] = {"row": document.line(keys), "column": f"corners.{name}"}
            try:
                spot = parse_spot(name)
            except ValueError:
                self._wrong(
                    file, "is no spot", "Write its name, as A1: [512, 480].", **place, value=name
                )
                continue
            if spot in seen:
                self._wrong(file, f"is the same spot as {seen[spot]}", "Keep one of them.", **place)
            seen[spot] = name
            outside = _outside([spot], (override.rows, override.cols))
            if outside:
                self._wrong(
                    file,
                    f"lies outside the {override.rows} rows and {override.cols} columns given",
                    "Correct the name, or rows and cols.",
                    **place,
                    value=list(position),
                )
        return override

    # across files

    def _check_channels(
        self, slides: _Sheet[Slide], channels: _Sheet[Channel], config: Config | None
    ) -> None:
        if not (slides.readable and channels.readable):
            return
        names = [cells.get("slide", "") for _, cells in slides.rows]
        used = {cells.get("slide", "") for _, cells in channels.rows}
        for line, cells in channels.rows:
            name = cells.get("slide")
            if name is not None and name not in names:
                self._wrong(
                    CHANNELS,
                    f"is no slide of {SLIDES}",
                    suggest(name, names, "slides"),
                    row=line,
                    column="slide",
                    value=name,
                )
        broken = _rows_with_problems(self.problems, CHANNELS)
        for line, slide in slides.items:
            if slide.slide not in used:
                self._wrong(
                    SLIDES,
                    f"the slide has no row in {CHANNELS}",
                    f"Add a row for each of its channels to {CHANNELS}.",
                    row=line,
                    column="slide",
                    value=slide.slide,
                )
                continue
            lines = {at for at, cells in channels.rows if cells.get("slide") == slide.slide}
            if lines & broken:
                continue  # which roles there are is known once these rows are mended
            own = [(at, c) for at, c in channels.items if c.slide == slide.slide]
            self._check_roles(line, slide, own, config)

    def _check_roles(
        self, line: int, slide: Slide, own: list[tuple[int, Channel]], config: Config | None
    ) -> None:
        by_role: dict[Role, list[tuple[int, Channel]]] = {role: [] for role in Role}
        for at, channel in own:
            by_role[channel.role].append((at, channel))
        needed = {Assay.VIABILITY: _VIABILITY_ROLES, Assay.COLORIMETRY: (Role.COLOUR,)}
        once = needed.get(slide.assay, ())
        for role in once:
            if not by_role[role]:
                self._wrong(
                    SLIDES,
                    f"slide {slide.slide} has no channel of role {role}, which {slide.assay} needs",
                    f"Add it to {CHANNELS}, or correct the role of one of its channels.",
                    row=line,
                    column="assay",
                    value=slide.assay.value,
                )
        for role in (*once, Role.GRID):
            for at, _ in by_role[role][1:]:
                self._wrong(
                    CHANNELS,
                    f"slide {slide.slide} has a channel of this role in row {by_role[role][0][0]} "
                    "already",
                    "Correct one of the two roles; other is for what is only measured.",
                    row=at,
                    column="role",
                    value=role.value,
                )
        if config is None:
            return
        if slide.assay is Assay.OBJECTS:
            if not segmented(slide.assay, [channel for _, channel in own], config):
                self._wrong(
                    SLIDES,
                    f"no channel of slide {slide.slide} is segmented, but objects needs one",
                    "Give one of its channels another role than grid or colour, and a method "
                    "other than none (segment.channels of config.yaml).",
                    row=line,
                    column="assay",
                    value=slide.assay.value,
                )
            return
        for role in _VIABILITY_ROLES if slide.assay is Assay.VIABILITY else ():
            for _, channel in by_role[role]:
                name = channel.channel
                if config.segment.of(name).method == "none":
                    above = ("channels", name) if name in config.segment.channels else ("default",)
                    self._option(
                        ("segment", *above, "method"),
                        f"channel {name} of slide {slide.slide} must be segmented for viability",
                        "Choose another method.",
                        "none",
                    )

    def _check_extents(
        self,
        slides: _Sheet[Slide],
        carriers: Mapping[str, Carrier],
        parsed: Mapping[str, ParsedLayout],
        grids: Mapping[str, GridOverride],
        config: Config | None,
    ) -> None:
        """Layouts and overrides against the rows and columns of the slide."""
        told: set[tuple[str, int | None, int | None]] = set()
        for _, slide in slides.items:
            grid = grids.get(slide.slide, GridOverride())
            carrier = carriers.get(slide.carrier or "")
            if carrier:
                self._check_override(slide, grid, carrier)
                rows, cols, by = carrier.rows, carrier.cols, f"carrier {slide.carrier}"
            else:
                options = config.grid if config else None
                rows = grid.rows or (options.rows if options else None)
                cols = grid.cols or (options.cols if options else None)
                given = grid.rows or grid.cols
                by = f"the override of slide {slide.slide}" if given else "the grid of config.yaml"
            layout = parsed.get(slide.layout or "")
            if layout is None or layout.problems or (slide.layout or "", rows, cols) in told:
                continue
            told.add((slide.layout or "", rows, cols))
            spots = list(zip(layout.table["row"], layout.table["col"], strict=True))
            outside = _outside(spots, (rows, cols))
            if outside:
                self._wrong_layout(slide, layout, outside, (rows, cols), by)

    def _wrong_layout(
        self,
        slide: Slide,
        layout: ParsedLayout,
        outside: list[int],
        extent: tuple[int | None, int | None],
        by: str,
    ) -> None:
        rows, cols = extent
        if rows and cols:
            limits = f"A1 to {spot_name(rows - 1, cols - 1)}"
        else:
            limits = f"rows to {row_letters(rows - 1)}" if rows else f"columns to {cols}"
        more = [str(layout.lines[index]) for index in outside[1:]]
        also = ""
        if more:
            named = ", ".join(more[:_ROWS_NAMED]) + (" and on" if len(more) > _ROWS_NAMED else "")
            also = f", and so do {len(more)} more (rows {named})"
        self._wrong(
            f"{LAYOUTS}/{slide.layout}",
            f"lies outside {by} of slide {slide.slide} ({limits}){also}"
            if by.startswith("carrier")
            else f"lies outside {by} ({limits}), slide {slide.slide}{also}",
            f"Correct the spots, or the carrier or layout of the slide in {SLIDES}.",
            row=layout.lines[outside[0]],
            column="spot",
            value=str(layout.table["spot"].iloc[outside[0]]),
        )

    def _check_override(self, slide: Slide, grid: GridOverride, carrier: Carrier) -> None:
        for key in ("rows", "cols"):
            given, known = getattr(grid, key), getattr(carrier, key)
            if given is not None and given != known:
                self._wrong(
                    f"{OVERRIDES}/{slide.slide}.yaml",
                    f"differs from the carrier {slide.carrier}, which has {known}",
                    f"Correct it, or leave the carrier of the slide empty in {SLIDES}.",
                    column=key,
                    value=given,
                )
        for name in grid.corners or {}:
            try:
                spot = parse_spot(name)
            except ValueError:
                continue  # told already
            if _outside([spot], (carrier.rows, carrier.cols)):
                last = spot_name(carrier.rows - 1, carrier.cols - 1)
                self._wrong(
                    f"{OVERRIDES}/{slide.slide}.yaml",
                    f"lies outside the carrier {slide.carrier} (A1 to {last})",
                    "Correct the name of the spot.",
                    column=f"corners.{name}",
                    value=name,
                )

    def _check_segment(self, channels: _Sheet[Channel], config: Config) -> None:
        names = list(dict.fromkeys(channel.channel for _, channel in channels.items))
        segment = config.segment
        for name in segment.channels:
            if name not in names and channels.readable and not _any_broken(self.problems, CHANNELS):
                self._option(
                    ("segment", "channels", name),
                    f"is no channel of {CHANNELS}",
                    suggest(name, names, "channels"),
                    name,
                )
        methods = {("segment", "default"): segment.default} | {
            ("segment", "channels", name): method for name, method in segment.channels.items()
        }
        for keys, method in methods.items():
            if method.max_diameter < method.min_diameter:
                if keys != ("segment", "default") and method.max_diameter == (
                    segment.default.max_diameter
                ) and method.min_diameter == segment.default.min_diameter:  # fmt: skip
                    continue  # told for the default
                self._option(
                    (*keys, "max_diameter"),
                    f"is below min_diameter ({method.min_diameter:g})",
                    "Exchange the two, or correct one of them.",
                    method.max_diameter,
                )

    def _check_metric(
        self, slides: _Sheet[Slide], channels: _Sheet[Channel], config: Config
    ) -> None:
        text = config.screen.metric
        where = ("screen", "metric")
        try:
            metric = parse_metric(text)
        except ValueError as error:
            self._option(where, "is no metric that can be computed", str(error), text)
            return
        ready = slides.readable and channels.readable and slides.items and channels.items
        if not ready or metric.column == "auto":
            return
        assays = {slide.slide: slide.assay for _, slide in slides.items}
        objects: dict[str, list[Channel]] = {}
        for name, assay in assays.items():
            own = [channel for _, channel in channels.items if channel.slide == name]
            objects[name] = list(segmented(assay, own, config))
        if metric.kind == "column":
            known = _spot_columns(assays, objects)
            if metric.column not in known:
                remedy = suggest(str(metric.column), known, "columns")
                self._option(where, "is no column of this study's spots.csv", remedy, text)
            return
        self._check_aggregate(metric, objects, channels, text)

    def _check_aggregate(
        self,
        metric: Metric,
        objects: Mapping[str, list[Channel]],
        channels: _Sheet[Channel],
        text: str,
    ) -> None:
        where = ("screen", "metric")
        everywhere = [channel for own in objects.values() for channel in own]
        names = [channel.channel for channel in everywhere]
        roles = [channel.role.value for channel in everywhere]
        name = str(metric.channel)
        if name not in names + roles:
            self._option(
                where,
                f"{name} is no segmented channel of this study, nor the role of one",
                suggest(name, list(dict.fromkeys(names + roles)), "channels and roles"),
                text,
            )
            return
        if name not in names:
            for slide, own in objects.items():
                several = [channel.channel for channel in own if channel.role.value == name]
                if len(several) > 1:
                    self._option(
                        where,
                        f"slide {slide} has several channels of role {name}",
                        f"Name the channel: {', '.join(several)}.",
                        text,
                    )
                    return
        measured = [c.channel for _, c in channels.items if c.role not in (Role.GRID, Role.COLOUR)]
        others = [f"{kind}_{other}" for other in dict.fromkeys(measured) for kind in
                  ("mean", "ring")]  # fmt: skip
        known = feature_names() + others
        for feature in (metric.numerator, metric.denominator):
            if feature is not None and feature not in known:
                self._option(
                    where,
                    f"{feature} is no feature of objects",
                    suggest(feature, known, "features"),
                    text,
                )

    def _chosen(self, wanted: object, slides: _Sheet[Slide]) -> list[str] | None:
        """Slides that the command line asks for, or None for all."""
        if wanted is None or wanted in ("", []):
            return None
        parts = wanted if isinstance(wanted, list | tuple) else str(wanted).split(",")
        names = [str(part).strip() for part in parts]
        known = [cells.get("slide", "") for _, cells in slides.rows]
        for name in names:
            if name not in known and slides.readable:
                self._wrong(
                    COMMAND_LINE,
                    f"is no slide of {SLIDES}",
                    suggest(name, known, "slides"),
                    column="slides",
                    value=name,
                )
        return names


def _restrict(study: Study, names: list[str]) -> Study:
    """The study as if it had only the slides named."""
    slides = {name: slide for name, slide in study.slides.items() if name in names}
    layouts = {slide.layout for slide in slides.values()}
    carriers = {slide.carrier for slide in slides.values()}
    return replace(
        study,
        slides=slides,
        channels={name: study.channels[name] for name in slides},
        layouts={name: table for name, table in study.layouts.items() if name in layouts},
        overrides={name: grid for name, grid in study.overrides.items() if name in slides},
        carriers={name: carrier for name, carrier in study.carriers.items() if name in carriers},
    )


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`below` with the values of `above` over it, section by section."""
    merged = dict(below)
    for key, value in above.items():
        before = merged.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            merged[key] = _merge(before, value)
        else:
            merged[key] = value
    return merged


def _reaches(values: Any, keys: Keys) -> bool:
    """Whether `keys` lead to something that `values` itself says."""
    for key in keys:
        if not isinstance(values, Mapping):
            return True
        if key not in values:
            return False
        values = values[key]
    return True


def _without_empty_sections(values: Any, model: Any) -> Any:
    """Drop sections whose options are all commented out, which YAML reads as null."""
    if not isinstance(values, Mapping):
        return values
    kept: dict[str, Any] = {}
    for key, value in values.items():
        below = model_below(model, key)
        section = isinstance(below, type) and issubclass(below, BaseModel)
        mapping = get_origin(below) is dict
        if value is None and (section or mapping):
            continue
        kept[key] = _without_empty_sections(value, below) if section or mapping else value
    return kept


def _outside(spots: Iterable[tuple[int, int]], extent: tuple[int | None, int | None]) -> list[int]:
    """Indices of the spots beyond the rows and columns that are known."""
    rows, cols = extent
    return [
        index
        for index, (row, col) in enumerate(spots)
        if (rows is not None and row >= rows) or (cols is not None and col >= cols)
    ]


def _spot_columns(assays: Mapping[str, Assay], objects: Mapping[str, list[Channel]]) -> list[str]:
    """Columns of the study's spots.csv files that can be screened."""
    known: dict[str, None] = {}
    for slide, assay in assays.items():
        names = measured_columns(assay.value)
        if assay is Assay.OBJECTS:
            names = [f"n_{channel.channel}" for channel in objects[slide]]
        known |= dict.fromkeys(names)
    return list(known)


def _rows_with_problems(problems: Iterable[Problem], file: str) -> set[int]:
    return {problem.row for problem in problems if problem.file == file and problem.row}


def _any_broken(problems: Iterable[Problem], file: str) -> bool:
    return bool(_rows_with_problems(problems, file))

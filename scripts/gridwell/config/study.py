"""The study as a whole: all its files read, all their mistakes found together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, get_origin
from urllib.parse import unquote, urlsplit

import pandas as pd
from pydantic import BaseModel, ValidationError

from gridwell.config.carriers import carrier_names, load_carrier, unknown_carrier_remedy
from gridwell.config.checks import check_draft
from gridwell.config.colour import check_colour
from gridwell.config.draft import (
    CHANNELS,
    COMMAND_LINE,
    CONFIG,
    LAYOUTS,
    OVERRIDES,
    SLIDES,
    Draft,
    Row,
    Sheet,
    segmented,
)
from gridwell.config.errors import InputError, Problem
from gridwell.config.explain import model_below, problems_of, suggest
from gridwell.config.layouts import ParsedLayout, parse_layout, plate_of, split_plate
from gridwell.config.models import Carrier, Channel, Config, GridOverride, Slide
from gridwell.config.overrides import read_override
from gridwell.config.tables import read_table
from gridwell.config.yamls import read_yaml


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
    lines
        Line of channels.tsv that each (slide, channel) stands in, to tell of its mistakes.
    """

    root: Path
    config: Config
    slides: dict[str, Slide]
    channels: dict[str, tuple[Channel, ...]]
    layouts: dict[str, pd.DataFrame]
    overrides: dict[str, GridOverride]
    carriers: dict[str, Carrier]
    lines: dict[tuple[str, str], int]

    @cached_property
    def options(self) -> dict[str, Any]:
        """The configuration as plain data, for all who only look at it."""
        return self.config.model_dump(mode="json")

    @cached_property
    def layout_texts(self) -> dict[str, str]:
        """Layouts in use as CSV, by file name."""
        return {
            name: str(layout.to_csv(index=False, lineterminator="\n"))
            for name, layout in self.layouts.items()
        }

    @cached_property
    def spots_by_role(self) -> dict[str, dict[str, list[str]]]:
        """Spots of each role of the layouts in use, by file name; hundreds of slides share one."""
        return {
            name: {str(role): list(spots) for role, spots in layout.groupby("role")["spot"]}
            for name, layout in self.layouts.items()
        }

    def path_of(self, channel: Channel) -> Path:
        """Image file of a channel; a relative path starts at the study.

        That of a URL is where its copy will be.
        """
        if channel.url is None:
            return self.root / channel.path
        name = PurePosixPath(unquote(urlsplit(channel.url).path)).name or "image"
        return self.root / "raw" / channel.slide / name

    def segmented(self, slide: str) -> tuple[Channel, ...]:
        """Channels of a slide in which objects are segmented, in the order of channels.tsv."""
        return segmented(self.slides[slide].assay, self.channels[slide], self.config)


def load_study(
    root: Path,
    overrides: Mapping[str, Any] | None = None,
    also: Callable[[Study], list[Problem]] | None = None,
) -> Study:
    """Read and check all files of a study's config/.

    Parameters
    ----------
    root
        Folder of the study.
    overrides
        Options of the command line (Snakemake's ``--config``), which win over config.yaml.
        Its key ``slides`` (a list, or names joined by commas) restricts the study to these
        slides; everything is checked all the same.
    also
        A further check, such as `gridwell.images.check.check_images`. It gets what of the study
        could be read even where there are mistakes, so that all are told together.

    Raises
    ------
    InputError
        With all mistakes of all files. Whether image files exist is left to `also`.
    """
    root = Path(root)
    if not (root / "config").is_dir():
        raise InputError(
            Problem(
                file=str(root),
                reason="is no study: it has no folder config",
                remedy="Make a study with: make study DIR=my-study.",
            )
        )
    command_line = dict(overrides or {})
    wanted = command_line.pop("slides", None)
    draft = Draft(command_line=command_line)
    _read_config(draft, root)
    draft.slides = _read_sheet(draft, root, SLIDES, Slide, ("slide", "assay"))
    draft.channels = _read_sheet(
        draft, root, CHANNELS, Channel, ("slide", "channel", "role", "path")
    )
    _read_carriers(draft, root)
    _read_layouts(draft, root)
    _read_overrides(draft, root)
    check_draft(draft)
    if draft.config is not None:
        check_colour(draft, draft.config, root)
    chosen = _chosen(draft, wanted)
    _check_references(draft, root, chosen)
    study = _finished(draft, root, draft.config or Config(), chosen)
    problems = [*draft.problems, *(also(study) if also else [])]
    if problems:
        raise InputError(problems)
    return study


def _read_config(draft: Draft, root: Path) -> None:
    path = root / CONFIG
    if not path.exists() and path.with_suffix(".yml").exists():
        draft.wrong("config/config.yml", "is not read", f"Rename it to {CONFIG}.")
    readable = True
    if path.exists() or path.is_symlink():
        try:
            draft.document = read_yaml(path, CONFIG)
        except InputError as error:
            draft.problems += error.problems
            readable = False  # the command line is checked all the same
    values = _merge(draft.document.options, draft.command_line)
    try:
        config = Config.model_validate(_without_empty_sections(values, Config))
        draft.config = config if readable else None
    except ValidationError as error:
        draft.problems += [
            draft.placed(keys, problem) for keys, problem in problems_of(error, Config, file=CONFIG)
        ]


def _read_sheet(
    draft: Draft, root: Path, name: str, model: type[Row], required: tuple[str, ...]
) -> Sheet[Row]:
    sheet: Sheet[Row] = Sheet()
    path = root / name
    if not (path.exists() or path.is_symlink()):
        columns = ", ".join(required)
        draft.wrong(
            name, "does not exist", f"Make it: a table separated by tabs with columns {columns}."
        )
        return sheet
    table = read_table(
        path, name, known=tuple(model.model_fields), required=required, separators="\t"
    )
    draft.problems += table.problems
    sheet.rows = table.rows
    sheet.readable = bool(table.rows)
    if not table.rows and not table.problems:
        what = model.__name__.lower()
        draft.wrong(name, f"lists no {what}", f"Write one row for each {what}.", row=table.line + 1)
    for line, cells in table.rows:
        try:
            sheet.items.append((line, model.model_validate(cells)))
        except ValidationError as error:
            found = problems_of(error, model, file=name, row=line)
            draft.problems += [problem for _, problem in found]
    return sheet


def _read_carriers(draft: Draft, root: Path) -> None:
    known = carrier_names(root)
    wrong: set[str] = set()
    for line, cells in draft.slides.rows:
        name = cells.get("carrier")
        if name in known and name not in draft.carriers and name not in wrong:
            try:
                draft.carriers[name] = load_carrier(name, root)
            except InputError as error:
                wrong.add(name)
                draft.problems += error.problems
        elif name and name not in known:
            draft.wrong(
                SLIDES,
                "is no known carrier",
                unknown_carrier_remedy(name, root),
                row=line,
                column="carrier",
                value=name,
            )


def _read_layouts(draft: Draft, root: Path) -> None:
    folder = root / LAYOUTS
    there = sorted(path.name for path in folder.glob("*") if not path.is_dir())
    parsed: dict[str, ParsedLayout] = {}
    for line, cells in draft.slides.rows:
        name = cells.get("layout")
        if not name or name in draft.layouts:
            continue
        path, plate = split_plate(folder / name)
        if path.name in there and path.parent == folder:
            file = path.name
            if file not in parsed:
                parsed[file] = parse_layout(path, f"{LAYOUTS}/{file}")
                draft.problems += parsed[file].problems
            chosen = plate_of(parsed[file], plate, name)
            if isinstance(chosen, ParsedLayout):
                draft.layouts[name] = chosen
            elif not parsed[file].problems:
                draft.problems.append(replace(chosen, file=SLIDES, row=line, column="layout"))
            continue
        reason, remedy = f"is no file in {LAYOUTS}", "Put it there, or leave the cell empty."
        if "/" in name or "\\" in name:
            reason, remedy = "is a path", f"Write the name of a file in {LAYOUTS} alone."
        elif there:
            remedy = suggest(path.name, there, "files there")
        draft.wrong(SLIDES, reason, remedy, row=line, column="layout", value=name)


def _read_overrides(draft: Draft, root: Path) -> None:
    folder = root / OVERRIDES
    names = draft.slide_names()
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        file = f"{OVERRIDES}/{path.name}"
        if path.suffix == ".yml":
            draft.wrong(file, "is not read", f"Rename it to {path.stem}.yaml.")
        if path.suffix != ".yaml" or path.name.startswith("."):
            continue
        slide = path.name.removesuffix(".yaml")
        if slide not in names and draft.slides.readable:
            remedy = suggest(slide, names, "slides")
            draft.wrong(file, f"is named after no slide of {SLIDES}", remedy, value=slide)
        _read_override(draft, path, file, slide)


def _read_override(draft: Draft, path: Path, file: str, slide: str) -> None:
    try:
        override, document = read_override(path, file)
    except InputError as error:
        draft.problems += error.problems
        return
    if override is not None:
        draft.grids[slide] = override
        draft.grid_documents[slide] = document


def _chosen(draft: Draft, wanted: object) -> list[str] | None:
    """Slides that the command line asks for, or None for all."""
    if wanted in (None, "", []):
        return None
    parts = wanted if isinstance(wanted, list | tuple) else str(wanted).split(",")
    names = [str(part).strip() for part in parts]
    known = draft.slide_names()
    for name in names:
        if name not in known and draft.slides.readable:
            remedy = suggest(name, known, "slides")
            draft.wrong(
                COMMAND_LINE, f"is no slide of {SLIDES}", remedy, column="slides", value=name
            )
    return names


def _check_references(draft: Draft, root: Path, chosen: list[str] | None) -> None:
    """A slide whose grid is that of another needs the other's, from this run or an earlier one."""
    for name in chosen or []:
        other = draft.grids[name].same_as if name in draft.grids else None
        if other is None or other in (chosen or []) or other not in draft.slide_names():
            continue
        if not (root / "results" / other / "grid.json").exists():
            draft.wrong(
                COMMAND_LINE,
                f"slide {name} has the grid of slide {other}, which was not found yet",
                f"Name {other} as well.",
                column="slides",
            )


def _finished(draft: Draft, root: Path, config: Config, chosen: list[str] | None) -> Study:
    """The study of a draft, with all slides that could be read or those chosen."""
    slides = {
        slide.slide: slide
        for _, slide in draft.slides.items
        if chosen is None or slide.slide in chosen
    }
    layouts = {slide.layout for slide in slides.values()}
    carriers = {slide.carrier for slide in slides.values()}
    return Study(
        root=root,
        config=config,
        slides=slides,
        channels={name: tuple(item for _, item in draft.channels_of(name)) for name in slides},
        layouts={name: item.table for name, item in draft.layouts.items() if name in layouts},
        overrides={name: item for name, item in draft.grids.items() if name in slides},
        carriers={name: item for name, item in draft.carriers.items() if name in carriers},
        lines={(item.slide, item.channel): line for line, item in draft.channels.items},
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


def _without_empty_sections(values: Any, model: Any) -> Any:
    """Drop sections whose options are all commented out, which YAML reads as null."""
    if not isinstance(values, Mapping):
        return values
    kept: dict[str, Any] = {}
    for key, value in values.items():
        below = model_below(model, key)
        section = get_origin(below) is dict or (
            isinstance(below, type) and issubclass(below, BaseModel)
        )
        if value is None and section:
            continue
        kept[key] = _without_empty_sections(value, below) if section else value
    return kept

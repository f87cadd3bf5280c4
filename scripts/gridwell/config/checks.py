"""What is right in each file of a study and wrong across them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gridwell.config.columns import feature_names, measured_columns
from gridwell.config.draft import (
    CHANNELS,
    LAYOUTS,
    OVERRIDES,
    SLIDES,
    Draft,
    segmented,
)
from gridwell.config.explain import suggest
from gridwell.config.layouts import ParsedLayout, unit_family
from gridwell.config.learn import check_learn
from gridwell.config.metric import Metric, parse_metric
from gridwell.config.models import Assay, Carrier, Channel, Config, GridOverride, Role, Slide
from gridwell.config.overrides import settle, with_orientation
from gridwell.config.spots import parse_spot, row_letters, spot_name

# results/<slide> stands beside results/screen.
_RESERVED = {"screen"}
# Roles that an assay needs exactly once.
_NEEDED = {
    Assay.VIABILITY: (Role.NUCLEI, Role.LIVE, Role.DEAD),
    Assay.COLORIMETRY: (Role.COLOUR,),
    Assay.OBJECTS: (),
}
_ROWS_NAMED = 5
_METRIC = ("screen", "metric")

Extent = tuple[int | None, int | None]


def check_draft(draft: Draft) -> None:
    """Add all mistakes that show only across rows and files to the draft."""
    _check_slide_names(draft)
    _check_planes(draft)
    _check_sheets(draft)
    for _, slide in draft.slides.items:
        if slide.slide in draft.grids:
            _check_override(draft, slide, draft.grids[slide.slide])
    _check_layouts(draft)
    _check_units(draft)
    metric = _parsed_metric(draft)
    if draft.config is not None:
        _check_segment(draft, draft.config)
        check_learn(draft, draft.config)
        if metric is not None:
            _check_metric(draft, draft.config, metric)


def _check_slide_names(draft: Draft) -> None:
    first: dict[str, tuple[int, str]] = {}
    for line, cells in draft.slides.rows:
        name = cells.get("slide", "")
        if not name:
            continue
        before = first.setdefault(name.lower(), (line, name))
        if before[0] != line:
            _twice(draft, SLIDES, "slide", line=line, name=name, before=before)
        if name.lower() in _RESERVED:
            draft.wrong(
                SLIDES,
                "is the name of another folder in results",
                "Give the slide another name.",
                row=line,
                column="slide",
                value=name,
            )


def _check_planes(draft: Draft) -> None:
    names: dict[tuple[str, str], tuple[int, str]] = {}
    planes: dict[tuple[str, str, int, bool], int] = {}
    for line, channel in draft.channels.items:
        key = (channel.slide, channel.channel.lower())
        before = names.setdefault(key, (line, channel.channel))
        if before[0] != line:
            _twice(draft, CHANNELS, "channel", line=line, name=channel.channel, before=before)
            continue
        # The grid may be looked for in a plane that is a channel of its own as well.
        plane = (channel.slide, channel.path, channel.index, channel.role is Role.GRID)
        line_before = planes.setdefault(plane, line)
        if line_before != line:
            draft.wrong(
                CHANNELS,
                f"is the same plane of the same file as in row {line_before}",
                "Correct path, or index (the plane in the file, from 0).",
                row=line,
                column="index",
                value=channel.index,
            )


def _twice(
    draft: Draft, file: str, column: str, *, line: int, name: str, before: tuple[int, str]
) -> None:
    if name == before[1]:
        reason = f"stands in row {before[0]} already"
        reason += ", for the same slide" if column == "channel" else ""
    else:
        reason = (
            f"differs only in case from {before[1]} in row {before[0]}, which many file systems "
            "take for the same name"
        )
    remedy = f"Give each {column} a name of its own, or delete the row."
    draft.wrong(file, reason, remedy, row=line, column=column, value=name)


def _check_sheets(draft: Draft) -> None:
    """Slides and channels against each other."""
    if not (draft.slides.readable and draft.channels.readable):
        return
    names = draft.slide_names()
    lines_of: dict[str, set[int]] = {}
    for line, cells in draft.channels.rows:
        name = cells.get("slide", "")
        lines_of.setdefault(name, set()).add(line)
        if name and name not in names:
            draft.wrong(
                CHANNELS,
                f"is no slide of {SLIDES}",
                suggest(name, names, "slides"),
                row=line,
                column="slide",
                value=name,
            )
    broken = draft.lines_with_problems(CHANNELS)
    wrong_slides = draft.lines_with_problems(SLIDES)
    for line, slide in draft.slides.items:
        if slide.slide not in lines_of:
            if line in wrong_slides:
                continue
            draft.wrong(
                SLIDES,
                f"has no row in {CHANNELS}",
                "Add a row for each channel of the slide there.",
                row=line,
                column="slide",
                value=slide.slide,
            )
        elif not lines_of[slide.slide] & broken:  # else its roles are not known yet
            _check_roles(draft, line, slide)


def _check_roles(draft: Draft, line: int, slide: Slide) -> None:
    by_role: dict[Role, list[tuple[int, Channel]]] = {role: [] for role in Role}
    for at, channel in draft.channels_of(slide.slide):
        by_role[channel.role].append((at, channel))
    for role in _NEEDED[slide.assay]:
        if not by_role[role]:
            draft.wrong(
                SLIDES,
                f"slide {slide.slide} has no channel of role {role}, which {slide.assay} needs",
                f"Add it to {CHANNELS}, or correct the role of one of its channels.",
                row=line,
                column="assay",
                value=slide.assay.value,
            )
    for role in (*_NEEDED[slide.assay], Role.GRID):
        for at, _ in by_role[role][1:]:
            draft.wrong(
                CHANNELS,
                f"slide {slide.slide} has a channel of this role in row {by_role[role][0][0]} "
                "already",
                "Correct one of the two; the role other is for what is only measured.",
                row=at,
                column="role",
                value=role.value,
            )
    if draft.config is not None:
        _check_segmented(draft, draft.config, line, slide)


def _check_segmented(draft: Draft, config: Config, line: int, slide: Slide) -> None:
    own = [channel for _, channel in draft.channels_of(slide.slide)]
    done = segmented(slide.assay, own, config)
    if slide.assay is Assay.OBJECTS and not done:
        draft.wrong(
            SLIDES,
            f"no channel of slide {slide.slide} is segmented, but objects needs one",
            f"Give a channel another role than grid or colour in {CHANNELS}, and a method other "
            "than none (segment.channels in config.yaml).",
            row=line,
            column="assay",
            value=slide.assay.value,
        )
    if slide.assay is not Assay.VIABILITY:
        return
    for channel in own:
        if channel.role in _NEEDED[slide.assay] and channel not in done:
            name = channel.channel
            above = ("channels", name) if name in config.segment.channels else ("default",)
            draft.wrong_option(
                ("segment", *above, "method"),
                f"leaves out channel {name} of slide {slide.slide}, which viability needs",
                "Choose another method.",
                "none",
            )


def _check_override(draft: Draft, slide: Slide, grid: GridOverride) -> None:
    """What an override says against itself and the carrier."""
    document = draft.grid_documents[slide.slide]

    def wrong(keys: tuple[str, ...], reason: str, remedy: str, value: object) -> None:
        file = f"{OVERRIDES}/{slide.slide}.yaml"
        column = ".".join(keys)
        draft.wrong(file, reason, remedy, row=document.line(keys), column=column, value=value)

    carrier = draft.carriers.get(slide.carrier or "")
    for key in ("rows", "cols") if carrier else ():
        given, known = getattr(grid, key), getattr(carrier, key)
        if given not in (None, known):
            wrong(
                (key,),
                f"differs from carrier {slide.carrier}, which has {known}",
                f"Correct it, or leave the carrier of the slide empty in {SLIDES}.",
                given,
            )
    _check_spacing(carrier, grid, slide, wrong)
    _check_same_as(draft, slide, grid, wrong)
    extent, by = _extent(draft, slide)
    option = draft.config.grid.orientation if draft.config else None
    said = settle(with_orientation(grid, option) or grid, extent=extent)
    told = {contradiction.keys for contradiction in said.wrong}
    for found in said.wrong:
        wrong(found.keys, found.reason, found.remedy + ".", found.value)
    for name in grid.corners or {}:
        try:
            outside = _outside([parse_spot(name)], extent)
        except ValueError:  # told by now
            continue
        if outside and ("corners", name) not in told:
            remedy = "Correct the name of the spot, or the rows and columns."
            wrong(("corners", name), f"lies outside {by} ({_limits(extent)})", remedy, name)


Wrong = Callable[[tuple[str, ...], str, str, object], None]


def _check_spacing(carrier: Carrier | None, grid: GridOverride, slide: Slide, wrong: Wrong) -> None:
    """Pixels are square: the pitch has the proportions of the carrier's."""
    if carrier is None or carrier.pitch_um is None or grid.pitch is None:
        return
    known = carrier.pitch_um[1] / carrier.pitch_um[0]
    if not 0.9 < grid.pitch[1] / grid.pitch[0] / known < 1.1:
        wrong(
            ("pitch",),
            f"rows and columns are not spaced as on carrier {slide.carrier}, "
            f"{carrier.pitch_um[0]:g} x {carrier.pitch_um[1]:g} um",
            f"Correct it, or leave the carrier of the slide empty in {SLIDES}.",
            list(grid.pitch),
        )


def _check_same_as(draft: Draft, slide: Slide, grid: GridOverride, wrong: Wrong) -> None:
    """The slide that a grid is taken from: another one of the study, of the same carrier."""
    other = grid.same_as
    if other is None:
        return
    slides = {item.slide: item for _, item in draft.slides.items}
    if other not in draft.slide_names():
        names = [name for name in draft.slide_names() if name != slide.slide]
        wrong(("same_as",), f"is no slide of {SLIDES}", suggest(other, names, "slides"), other)
        return
    way = [slide.slide]
    while way[-1] in draft.grids and (after := draft.grids[way[-1]].same_as) is not None:
        if after in way:
            if after == slide.slide:  # each slide of the circle is told once
                circle = " -> ".join([*way, after])
                remedy = "Let one of them have a grid of its own."
                wrong(("same_as",), f"goes round in a circle: {circle}", remedy, other)
            return
        way.append(after)
    carrier = slides[other].carrier if other in slides else None
    if carrier and slide.carrier and carrier != slide.carrier:
        wrong(
            ("same_as",),
            f"slide {other} is on carrier {carrier}, this one on {slide.carrier}",
            f"Take the grid of a slide on the same carrier, or correct {SLIDES}.",
            other,
        )


def _extent(draft: Draft, slide: Slide) -> tuple[Extent, str]:
    """Rows and columns of a slide as far as they are known, and who says so."""
    carrier: Carrier | None = draft.carriers.get(slide.carrier or "")
    if carrier:
        return (carrier.rows, carrier.cols), f"carrier {slide.carrier}"
    grid = draft.grids.get(slide.slide, GridOverride())
    options = draft.config.grid if draft.config and not slide.carrier else None
    rows = grid.rows or (options.rows if options else None)
    cols = grid.cols or (options.cols if options else None)
    if grid.rows or grid.cols:
        return (rows, cols), f"the rows and columns of {OVERRIDES}/{slide.slide}.yaml"
    return (rows, cols), "grid.rows and grid.cols of config.yaml"


def _limits(extent: Extent) -> str:
    rows, cols = extent
    if rows and cols:
        return f"A1 to {spot_name(rows - 1, cols - 1)}"
    return f"rows A to {row_letters(rows - 1)}" if rows else f"columns 1 to {cols}"


def _outside(spots: Iterable[tuple[int, int]], extent: Extent) -> list[int]:
    """Indices of the spots beyond the rows and columns that are known."""
    rows, cols = extent
    return [
        index
        for index, (row, col) in enumerate(spots)
        if (rows is not None and row >= rows) or (cols is not None and col >= cols)
    ]


def _check_layouts(draft: Draft) -> None:
    told: set[tuple[str, Extent]] = set()
    for _, slide in draft.slides.items:
        layout = draft.layouts.get(slide.layout or "")
        extent, by = _extent(draft, slide)
        if layout is None or (str(slide.layout), extent) in told:
            continue
        told.add((str(slide.layout), extent))
        spots = zip(layout.table["row"], layout.table["col"], strict=True)
        outside = _outside(spots, extent)
        if outside:
            reason = f"lies outside {by} of slide {slide.slide} ({_limits(extent)})"
            draft.wrong(
                _file_of(str(slide.layout), layout),
                reason + _and_more(layout, outside[1:]),
                f"Correct the spots, or carrier or layout of the slide in {SLIDES}.",
                row=layout.lines[outside[0]],
                column="spot",
                value=str(layout.table["spot"].iloc[outside[0]]),
            )


def _file_of(name: str, layout: ParsedLayout) -> str:
    """The file that the lines of a layout count in, which its name leads to."""
    files = sorted(set(layout.files.values()))
    return f"{LAYOUTS}/{files[0] if files else name.partition('#')[0]}"


def _and_more(layout: ParsedLayout, outside: list[int]) -> str:
    if not outside:
        return ""
    named = ", ".join(str(layout.lines[index]) for index in outside[:_ROWS_NAMED])
    if len(outside) > _ROWS_NAMED:
        named += " and on"
    rows = "row" if len(outside) == 1 else "rows"
    return f", and so do {len(outside)} more ({rows} {named})"


def _check_units(draft: Draft) -> None:
    """An agent's doses must fit on one axis, whichever layout they are in."""
    first: dict[str, tuple[str, str]] = {}
    for name, layout in draft.layouts.items():
        doses = layout.table[layout.table["agent"].notna() & layout.table["unit"].notna()]
        told: set[str] = set()
        for index, agent, unit in zip(doses.index, doses["agent"], doses["unit"], strict=True):
            file, before = first.setdefault(agent, (name, unit))
            same = unit_family(unit) == unit_family(before)
            if file == name or same or agent in told:
                continue
            told.add(agent)
            draft.wrong(
                _file_of(name, layout),
                f"doses of {agent} are in {before} in {file}, which cannot be converted",
                "Use one unit for all doses of an agent.",
                row=layout.lines[index],
                column="unit",
                value=unit,
            )


def _check_segment(draft: Draft, config: Config) -> None:
    names = list(dict.fromkeys(channel.channel for _, channel in draft.channels.items))
    complete = draft.channels.readable and not draft.lines_with_problems(CHANNELS)
    for name in config.segment.channels:
        if complete and name not in names:
            draft.wrong_option(
                ("segment", "channels", name),
                f"is no channel of {CHANNELS}",
                suggest(name, names, "channels"),
                name,
            )
    default = config.segment.default
    limits = (default.min_diameter, default.max_diameter)
    methods = {("default",): default} | {
        ("channels", name): method for name, method in config.segment.channels.items()
    }
    for keys, method in methods.items():
        if method.max_diameter >= method.min_diameter:
            continue
        if keys != ("default",) and (method.min_diameter, method.max_diameter) == limits:
            continue  # said of the default
        draft.wrong_option(
            ("segment", *keys, "max_diameter"),
            f"is below min_diameter, {method.min_diameter:g}",
            "Exchange the two, or correct one of them.",
            method.max_diameter,
        )


def _parsed_metric(draft: Draft) -> Metric | None:
    """The screened metric, also of a configuration that is wrong elsewhere."""
    text: Any = draft.config.screen.metric if draft.config else None
    for options in (draft.document.options, draft.command_line) if draft.config is None else ():
        section = options.get("screen")
        text = section.get("metric", text) if isinstance(section, dict) else text
    if not isinstance(text, str):
        return None
    try:
        return parse_metric(text)
    except ValueError as error:
        draft.wrong_option(_METRIC, "is no number of a spot", str(error), text)
        return None


def _check_metric(draft: Draft, config: Config, metric: Metric) -> None:
    text = config.screen.metric
    if metric.column == "auto" or not draft.slides.items or not draft.channels.items:
        return
    if draft.lines_with_problems(SLIDES) or draft.lines_with_problems(CHANNELS):
        return  # what there is to screen is known once these are mended
    objects = {
        slide.slide: segmented(
            slide.assay, [channel for _, channel in draft.channels_of(slide.slide)], config
        )
        for _, slide in draft.slides.items
    }
    if metric.kind == "aggregate":
        _check_aggregate(draft, metric, objects)
        return
    known: dict[str, None] = {}
    for _, slide in draft.slides.items:
        if slide.assay is Assay.OBJECTS:
            own = [f"n_{channel.channel}" for channel in objects[slide.slide]]
        else:
            own = measured_columns(slide.assay.value)
        known |= dict.fromkeys(own)
    if metric.column not in known:
        remedy = suggest(str(metric.column), list(known), "columns")
        draft.wrong_option(_METRIC, "is no column of this study's spots.csv", remedy, text)


def _check_aggregate(draft: Draft, metric: Metric, objects: dict[str, Any]) -> None:
    everywhere = [channel for own in objects.values() for channel in own]
    names = list(dict.fromkeys(channel.channel for channel in everywhere))
    roles = list(dict.fromkeys(channel.role.value for channel in everywhere))
    name = str(metric.channel)
    if name not in names + roles:
        draft.wrong_option(
            _METRIC,
            f"{name} is no segmented channel of this study, nor the role of one",
            suggest(name, list(dict.fromkeys(names + roles)), "channels and roles"),
            str(metric),
        )
        return
    for slide, own in objects.items():
        several = [channel.channel for channel in own if channel.role.value == name]
        if len(several) > 1 and name not in [channel.channel for channel in own]:
            draft.wrong_option(
                _METRIC,
                f"slide {slide} has several channels of role {name}",
                f"Name the channel that is meant: {', '.join(several)}.",
                str(metric),
            )
            return
    known = feature_names()
    for _, channel in draft.channels.items:
        if channel.role not in (Role.GRID, Role.COLOUR):
            known += [f"mean_{channel.channel}", f"ring_{channel.channel}"]
    known = list(dict.fromkeys(known))
    for feature in (metric.numerator, metric.denominator):
        if feature is not None and feature not in known:
            remedy = suggest(feature, known, "features")
            draft.wrong_option(_METRIC, f"{feature} is no feature of objects", remedy, str(metric))

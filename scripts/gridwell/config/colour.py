"""What a study gets wrong in its calibration of colours, told before any job."""

from __future__ import annotations

from pathlib import Path

from gridwell.config.colour_calibration import LEARNED, LEAST_LEVELS, read_calibration
from gridwell.config.draft import LAYOUTS, Draft
from gridwell.config.errors import InputError, Problem
from gridwell.config.layouts import ParsedLayout
from gridwell.config.models import Assay, Config, SpotRole


def check_colour(draft: Draft, config: Config, root: Path) -> None:
    """Add the mistakes of calibrations to the draft: of the file, of layouts, of the metric."""
    options = config.colour
    if options.calibration is not None:
        _check_file(draft, root, options.calibration)
        return
    for _, slide in draft.slides.items:
        if slide.assay is not Assay.COLORIMETRY:
            continue
        layout = draft.layouts.get(slide.layout or "")
        calibrated = layout is not None and _check_levels(draft, str(slide.layout), layout)
        if options.metric in LEARNED and not calibrated:
            draft.wrong_option(
                ("colour", "metric"),
                f"is learned from calibration spots, and slide {slide.slide} has none",
                "Give its layout spots of role calibration, name a colour.calibration, or take "
                "another metric.",
                options.metric,
            )


def _check_file(draft: Draft, root: Path, name: str) -> None:
    try:
        read_calibration(root / name, name)
    except InputError as error:
        problem = error.problems[0]
        if problem.reason == "does not exist":
            draft.wrong_option(
                ("colour", "calibration"), problem.reason, problem.remedy + ".", name
            )
        else:
            draft.problems.append(problem)


def _check_levels(draft: Draft, name: str, layout: ParsedLayout) -> bool:
    """Whether a layout has calibration spots; each needs a value, and there must be levels."""
    table = layout.table
    calibrating = (table["role"] == SpotRole.CALIBRATION.value).tolist()
    own = table[calibrating]
    if own.empty:
        return False
    file = f"{LAYOUTS}/{name.partition('#')[0]}"
    lines = [line for line, its in zip(layout.lines, calibrating, strict=True) if its]
    valued = own["value"].notna()
    told = {(problem.file, problem.row) for problem in draft.problems}
    for line, spot, known in zip(lines, own["spot"], valued, strict=True):
        if not known and (file, line) not in told:
            draft.wrong(
                file,
                f"calibration spot {spot} has no known value",
                "Write it in the column value, or give the spot another role.",
                row=line,
                column="value",
            )
    levels = own.loc[valued, "value"].nunique()
    if valued.all() and levels < LEAST_LEVELS and (file, lines[0]) not in told:
        draft.problems.append(too_few_levels(file, sorted(own["value"].unique()), lines[0]))
    return True


def too_few_levels(file: str, levels: list[float], row: int | None = None) -> Problem:
    """A layout whose calibration spots have too few different values."""
    return Problem(
        file,
        f"has calibration spots of {len(levels)} known values, and a calibration needs "
        f"{LEAST_LEVELS} or more",
        "Write the known value of each calibration spot, or give these spots another role.",
        row=row,
        column="value",
        value=", ".join(f"{level:g}" for level in levels) or None,
    )

"""The command ``gridwell``: what people do outside a run. Running a study is Snakemake's job.

Each command is a few lines over the library; heavy libraries load only for those that use them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from gridwell import __version__
from gridwell.cli_study import Command, add_command, add_study_commands
from gridwell.config.errors import InputError, Problem
from gridwell.config.models import (
    Carrier,
    ColourOptions,
    FuseOptions,
    GridOptions,
    GridOverride,
    SegmentMethod,
)
from gridwell.phantom.options import PhantomOptions

M = TypeVar("M", bound=BaseModel)
_CARRIER = "name of a known carrier (docs/options.md), or a file of your own (docs/carriers.md)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status.

    0: done; 1: mistakes in the input, or files that differ (verify, fsck, reproduce); 2: usage;
    3: the grid is not certain (grid); 130: interrupted.
    """
    options = _parser().parse_args(arguments)
    command: Command = options.command
    try:
        return command(options)
    except InputError as error:
        count = len(error.problems)
        head = f"gridwell {options.name}: " + (f"{count} mistakes\n" if count > 1 else "")
        print(f"{head}{error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        return 0
    except OSError as error:  # a folder that is none, no permission, a full disk
        where = f"{error.filename2 or error.filename}: " if error.filename else ""
        remedy = "See to the path, its permissions and the room on the disk"
        print(f"gridwell {options.name}: {where}{error.strerror}. {remedy}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gridwell",
        description="From raw images of screening slides to numbers: what is done outside a run.",
        epilog="A study is run with: snakemake --snakefile …/Snakefile --directory STUDY",
    )
    parser.add_argument("--version", action="version", version=f"gridwell {__version__}")
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")

    add_study_commands(commands)
    _add_layout(commands)
    _add_simulate(commands)
    _add_grid(commands)
    _add_segment(commands)
    _add_train_pixels(commands)
    _add_correct(commands)
    _add_fuse(commands)
    _add_dose(commands)
    _add_measure_colour(commands)
    _add_evaluate(commands)
    _add_rate(commands)
    return parser


def _add_layout(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = add_command(
        commands,
        "layout",
        _layout,
        "say what a layout holds, and convert it: plate grids, pick lists, plate maps, tables",
        "gridwell layout picklist.csv --plate D1 --volume 50uL --out config/layouts/d1.csv",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="docs/layouts.md says which")
    parser.add_argument("--plate", help="plate to take, where the file lays out several")
    parser.add_argument("--unit", help="unit of doses that have none, as uM")
    parser.add_argument(
        "--volume", help="of a pick list: volume of a spot with all transfers in it, as 50uL"
    )
    parser.add_argument("--stock", help="of a pick list: concentration of all sources, as 10mM")
    parser.add_argument("--out", type=Path, metavar="CSV", help="layout to write")


def _layout(options: argparse.Namespace) -> int:
    from gridwell.config.layouts import (
        FACTS,
        layout_in_words,
        parse_layout,
        plate_of,
        split_plate,
        write_layout,
    )

    path, named = split_plate(options.file)
    said = {fact: getattr(options, fact) for fact in FACTS if getattr(options, fact) is not None}
    parsed = parse_layout(path, str(path), said)
    if parsed.problems:
        raise InputError(parsed.problems)
    plate = options.plate or named
    if plate is not None:
        chosen = plate_of(parsed, plate, str(path))
        if isinstance(chosen, Problem):
            raise InputError(chosen)
        parsed = chosen
    print("\n".join(layout_in_words(parsed.table, parsed.kind, parsed.assumed)))
    if options.out:
        if options.out.exists() and options.out.samefile(path):
            remedy = "Name another file for the layout"
            raise InputError(Problem(str(options.out), "is the file itself", remedy))
        alone = len(parsed.plates) == 1  # then a slide need not name it
        write_layout(options.out, parsed.table.assign(plate=None) if alone else parsed.table)
        print(options.out)
    return 0


def _add_simulate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = add_command(
        commands,
        "simulate",
        _simulate,
        "simulate a slide, or a whole study, with known truth",
        "gridwell simulate --out phantom --rows 8 --cols 12 --angle 3 --seed 7",
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--out", type=Path, help="folder for one slide: images and truth/")
    target.add_argument(
        "--study",
        type=Path,
        help="study to fill: images in landing/, sample sheets and layouts in config/",
    )
    parser.add_argument(
        "--size",
        choices=("tiny", "demo", "full"),
        default="demo",
        help="of a study: tiny (one slide of 12 spots), demo (four slides), full (one slide of "
        "672 spots, 3.7 GB)",
    )
    _add_model_options(parser, PhantomOptions)


def _add_grid(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = add_command(
        commands,
        "grid",
        _grid,
        "find the grid in any single image: its numbers, tables, outlines and a picture",
        "gridwell grid plate.jpg --out plate-grid --carrier sbs-96",
    )
    parser.add_argument("image", type=Path, metavar="IMAGE")
    parser.add_argument("--out", type=Path, required=True, help="folder for these files")
    parser.add_argument("--index", type=int, default=0, help="plane of the file, from 0")
    parser.add_argument("--carrier", help=_CARRIER)
    parser.add_argument(
        "--override", type=Path, help="file with what you know of the grid (docs/study.md), YAML"
    )
    parser.add_argument(
        "--same-as",
        type=Path,
        metavar="FOLDER",
        help="folder with the grid of another image: the same grid is looked for here",
    )
    parser.add_argument(
        "--pixel-size-um", type=_size, help="size of a pixel, where the file does not say it"
    )
    _add_model_options(parser, GridOptions)


def _grid(options: argparse.Namespace) -> int:
    from gridwell.config.overrides import read_override
    from gridwell.grid.model import is_settled, read_grid
    from gridwell.grid.overrides import OVERRIDE
    from gridwell.grid.slide import detect_on_image

    override = read_override(options.override)[0] if options.override else None
    reference = None
    if options.same_as:
        reference = read_grid(options.same_as / "grid.json", options.same_as / "grid.csv")
        named = {"same_as": str(options.same_as)}
        override = (override or GridOverride()).model_copy(update=named)
    try:
        grid = detect_on_image(
            options.image,
            out_dir=options.out,
            index=options.index,
            options=_validated(GridOptions, _given(options, GridOptions)),
            carrier=_carrier(options.carrier),
            carrier_name=options.carrier and Path(options.carrier).stem,
            override=override,
            pixel_size_um=options.pixel_size_um,
            reference=reference,
        )
    except InputError as error:
        raise InputError(
            replace(p, file=str(options.override)) if p.file == OVERRIDE else p
            for p in error.problems
        ) from None
    size = f"{grid.rows} rows x {grid.cols} columns, " if grid.rows else ""
    print(f"{grid.status}: {size}{grid.found} spots found, confidence {grid.confidence:.2f}")
    if grid.reason:
        print(grid.reason)
    if grid.rows:
        print(f"orientation: {grid.orientation['value']}; {grid.orientation['reason']}")
    print(options.out / "grid.png")
    return 0 if is_settled(grid) else 3


def _carrier(given: str | None) -> Carrier | None:
    """A carrier by its name, or from a file of one's own."""
    from gridwell.config.carriers import load_carrier, read_carrier

    if given is None:
        return None
    return read_carrier(Path(given)) if given.endswith(".yaml") else load_carrier(given)


def _add_segment(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = add_command(
        commands,
        "segment",
        _segment,
        "find the objects in any single image: a label image",
        "gridwell segment nuclei.tif --out labels.tif --method otsu --min-diameter 6",
    )
    parser.add_argument("image", type=Path, metavar="IMAGE")
    parser.add_argument("--out", type=Path, required=True, help="label image (TIFF, 32 bit)")
    parser.add_argument("--index", type=int, default=0, help="plane of the file, from 0")
    _add_model_options(parser, SegmentMethod)


def _segment(options: argparse.Namespace) -> int:
    from gridwell.segment.image import segment_file

    settings = _validated(SegmentMethod, _given(options, SegmentMethod))
    if options.image.exists() and options.out.exists() and options.out.samefile(options.image):
        remedy = "Name another file for the labels"
        raise InputError(Problem(str(options.out), "is the image itself", remedy))
    count = segment_file(options.image, options.out, index=options.index, method=settings)
    print(f"{count} object{'' if count == 1 else 's'}: {options.out}")
    return 0


def _add_train_pixels(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = add_command(
        commands,
        "train-pixels",
        _train_pixels,
        "learn from scribbles which pixels belong to objects",
        "gridwell train-pixels nuclei.tif scribbles.tif --out my-study/models/nuclei.safetensors",
    )
    parser.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="IMAGE SCRIBBLES",
        help="images, each followed by its scribbles: 0 not drawn, 1 background, 2 objects, "
        "3 and more: other things that are no objects, such as borders between them",
    )
    parser.add_argument("--out", type=Path, required=True, help="classifier (safetensors)")
    _add_model_options(parser, SegmentMethod)


def _train_pixels(options: argparse.Namespace) -> int:
    from gridwell.segment.pixel_classifier import train_files

    if len(options.files) % 2:
        raise InputError(
            Problem(
                file="command line",
                value=str(options.files[-1]),
                reason="an image has no scribbles",
                remedy="Name images and scribbles in turn",
            )
        )
    pairs = list(zip(options.files[::2], options.files[1::2], strict=True))
    train_files(pairs, options.out, _validated(SegmentMethod, _given(options, SegmentMethod)))
    print(f"{options.out}: use it with method: pixel_classifier, weights: {options.out}")
    return 0


def _add_correct(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = add_command(
        commands,
        "correct",
        _correct,
        "lay out images with a network's labels for a person to correct",
        "gridwell correct my-study hoechst-net --count 8",
    )
    parser.add_argument("study", type=Path, metavar="STUDY")
    parser.add_argument("model", metavar="NETWORK", help="one of the section learn, trained")
    parser.add_argument("--count", type=int, default=8, help="number of images (default 8)")
    parser.add_argument(
        "--side",
        choices=("train", "test"),
        default="train",
        help="train: those on which network and teacher differ most; test: any of the test",
    )


def _correct(options: argparse.Namespace) -> int:
    from gridwell.config.explain import suggest
    from gridwell.config.study import load_study
    from gridwell.learn.correct import lay_out

    models = load_study(options.study).config.learn
    if options.model not in models:
        remedy = suggest(options.model, list(models), "networks")
        reason = "is no network of the section learn"
        raise InputError(Problem("config/config.yaml", reason, remedy, value=options.model))
    model = models[options.model]
    new = lay_out(options.study, options.model, model, count=options.count, side=options.side)
    for path in new:
        print(path)
    print(f"{len(new)} new images to correct; then run the study again (docs/learning.md)")
    return 0


def _add_fuse(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = add_command(
        commands,
        "fuse",
        _fuse,
        "match nuclei with live and dead bodies of single images: cells and their states",
        "gridwell fuse --nuclei n.tif n_labels.tif --live l.tif l_labels.tif "
        "--dead d.tif d_labels.tif --out cells.parquet",
    )
    for role in ("nuclei", "live", "dead"):
        parser.add_argument(
            f"--{role}",
            type=Path,
            nargs="+",
            required=True,
            metavar=("IMAGE", "LABELS"),
            help=f"image of the {role} channel and its label image"
            + ("" if role == "nuclei" else "; without labels the intensity alone decides"),
        )
    parser.add_argument(
        "--out", type=Path, required=True, help="table of the cells: Parquet, or CSV by its name"
    )
    parser.add_argument("--spots", type=Path, help="counts, viability and flags, CSV")
    _add_model_options(parser, FuseOptions)


def _fuse(options: argparse.Namespace) -> int:
    from gridwell.cells.fuse_images import fuse_images, in_words

    given = {role: getattr(options, role) for role in ("nuclei", "live", "dead")}
    for role, files in given.items():
        if len(files) > 2 or (role == "nuclei" and len(files) != 2):
            reason = f"takes an image and its labels, not {len(files)} files"
            remedy = f"Write --{role} IMAGE LABELS"
            raise InputError(Problem("command line", reason, remedy, None, f"--{role}"))
    inputs = [file for files in given.values() for file in files if file.exists()]
    for out in (options.out, options.spots):
        if out and out.exists() and any(out.samefile(file) for file in inputs):
            raise InputError(Problem(str(out), "is one of the images", "Name another file"))
    fused = fuse_images(
        {role: files[0] for role, files in given.items()},
        {role: files[1] for role, files in given.items() if len(files) == 2},
        options=_validated(FuseOptions, _given(options, FuseOptions)),
        cells_out=options.out,
        spots_out=options.spots,
    )
    print(f"{in_words(fused)}\n{options.out}")
    return 0


def _add_dose(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = add_command(
        commands,
        "dose",
        _dose,
        "fit dose-response curves to any long table (docs/dose-response.md)",
        "gridwell dose table.csv --dose conc --response dead --total total --by type "
        "--out fits.csv",
    )
    parser.add_argument("table", type=Path, metavar="TABLE", help="a row per measurement, CSV")
    parser.add_argument(
        "--dose", required=True, metavar="COLUMN", help="doses, not their logarithms; 0: controls"
    )
    parser.add_argument("--response", required=True, metavar="COLUMN", help="what was measured")
    parser.add_argument(
        "--total",
        metavar="COLUMN",
        help="of how many the response is a count",
    )
    parser.add_argument(
        "--by",
        action="append",
        default=[],
        metavar="COLUMN",
        help="a curve for each value of it; may be given several times, or as A,B",
    )
    parser.add_argument("--out", type=Path, required=True, help="fits.csv (docs/columns.md)")
    parser.add_argument(
        "--model",
        default="auto",
        help="auto (the data choose), flat, 2pl, 3pl, 4pl, 5pl, or as in R's drc LL.2 to LL.5. "
        "Default: auto",
    )
    parser.add_argument(
        "--choose",
        choices=("f_test", "aicc"),
        default="f_test",
        help="how auto chooses among curves. Default: f_test",
    )
    parser.add_argument(
        "--lower", type=float, metavar="LEVEL", help="fix the lower level (3pl: 0 if not given)"
    )
    parser.add_argument("--upper", type=float, metavar="LEVEL", help="fix the upper level")
    parser.add_argument(
        "--interval", type=_share, default=0.95, help="level of the intervals. Default: 0.95"
    )


def _dose(options: argparse.Namespace) -> int:
    from gridwell.config.files import write_csv
    from gridwell.screen.dose_fits import fit_table, fits_in_words, model_named
    from gridwell.screen.dose_table import read_dose_table

    model = model_named(options.model)
    if options.out.exists() and options.table.exists() and options.out.samefile(options.table):
        remedy = "Name another file for the fits"
        raise InputError(Problem(str(options.out), "is the table itself", remedy))
    table = read_dose_table(
        options.table,
        dose=options.dose,
        response=options.response,
        total=options.total,
        by=options.by,
    )
    fits = fit_table(
        table,
        model=model,
        choose=options.choose,
        lower=options.lower,
        upper=options.upper,
        interval=options.interval,
    )
    write_csv(options.out, fits)
    print("\n".join(fits_in_words(fits, options.interval)))
    if table.missing:
        print(f"{table.missing} rows without a response were left out")
    print(options.out)
    return 0


def _add_measure_colour(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = add_command(
        commands,
        "measure-colour",
        _measure_colour,
        "measure the colour of every spot of an RGB scan",
        "gridwell measure-colour plate.png --out colours --layout plate.csv --unit pH",
    )
    parser.add_argument("image", type=Path, metavar="IMAGE")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder for spots.csv, colours.parquet, calibration.json and the grid",
    )
    parser.add_argument("--carrier", help=_CARRIER)
    parser.add_argument(
        "--override", type=Path, help="file with what you know of the grid (docs/study.md), YAML"
    )
    parser.add_argument("--layout", type=Path, help="layout with calibration and blank spots, CSV")
    _add_model_options(parser, ColourOptions)


def _measure_colour(options: argparse.Namespace) -> int:
    from gridwell.colour.image import measure_image
    from gridwell.config.layouts import read_layout
    from gridwell.config.overrides import read_override

    measure_image(
        options.image,
        out_dir=options.out,
        options=_validated(ColourOptions, _given(options, ColourOptions)),
        carrier=_carrier(options.carrier),
        carrier_name=options.carrier and Path(options.carrier).stem,
        layout=read_layout(options.layout) if options.layout else None,
        layout_name=str(options.layout),
        override=read_override(options.override)[0] if options.override else None,
    )
    print(options.out / "spots.csv")
    return 0


def _add_evaluate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = add_command(
        commands,
        "evaluate",
        _evaluate,
        "compare label images with the truth: scores of objects, classes or boxes",
        "gridwell evaluate found/ truth/ --out scores",
    )
    parser.add_argument(
        "pred",
        type=Path,
        metavar="PRED",
        help="label image, labels/<channel>.zarr of a slide, or a folder of them",
    )
    parser.add_argument(
        "truth", type=Path, metavar="TRUTH", help="the same of the truth; paired by file names"
    )
    parser.add_argument(
        "--kind",
        choices=("instances", "classes", "boxes", "class-boxes"),
        default="instances",
        help="instances: numbers of objects; classes: the class of each pixel; boxes: around "
        "objects, or from CSV or Pascal VOC files; class-boxes: around connected regions of each "
        "class",
    )
    parser.add_argument("--out", type=Path, help="folder for scores.csv (docs/columns.md)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--classes", default="", help="names of the classes from 0, separated by commas"
    )
    parser.add_argument(
        "--tolerance",
        type=_size,
        metavar="SHARE",
        default=0.0075,
        help="how far apart boundaries of classes may lie and agree, as a share of the image's "
        "diagonal. Default: 0.0075",
    )


def _evaluate(options: argparse.Namespace) -> int:
    from gridwell.learn.compare import compare
    from gridwell.learn.summary import in_words

    names = [name.strip() for name in options.classes.split(",") if name.strip()]
    found = compare(
        options.pred, options.truth, options.kind, names=names, tolerance=options.tolerance
    )
    if options.out:
        found.write(options.out)
    if options.json:
        print(json.dumps(found.as_dict(), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print(in_words(found))
    return 0


def _add_rate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = add_command(
        commands,
        "rate",
        _rate,
        "have people rate two segmentations blindly: a page for it, and what the scores say",
        "gridwell rate images/ conventional/ learned/ --out rate.html",
    )
    parser.add_argument("images", type=Path, metavar="IMAGES", nargs="?", help="image, or folder")
    parser.add_argument("a", type=Path, metavar="A", nargs="?", help="label images of one method")
    parser.add_argument("b", type=Path, metavar="B", nargs="?", help="label images of the other")
    parser.add_argument("--out", type=Path, metavar="PAGE", help="page to write, HTML")
    parser.add_argument(
        "--names", default="A,B", help="names of the two methods, for the table. Default: A,B"
    )
    parser.add_argument("--seed", type=int, default=1, help="decides the order. Default: 1")
    parser.add_argument(
        "--scores", type=Path, nargs="+", metavar="CSV", help="tables that the page saved: compare"
    )


def _rate(options: argparse.Namespace) -> int:
    from gridwell.learn.rating import ratings_in_words, read_ratings
    from gridwell.report.rate import write_rating_page

    whole_page = bool(options.b and options.out)
    if not (whole_page or options.scores) or (options.images and not whole_page):
        reason = "what to show or what to compare is missing"
        remedy = "Give IMAGES A B --out PAGE, or --scores CSV, or both"
        raise InputError(Problem("command line", reason, remedy))
    names = [name.strip() for name in options.names.split(",")]
    if len(set(names)) != 2 or "" in names:
        reason, remedy = "is not two names", "Write two, with a comma between"
        raise InputError(Problem("command line", reason, remedy, None, "--names", options.names))
    if whole_page:
        count = write_rating_page(
            options.images,
            (options.a, options.b),
            options.out,
            names=(names[0], names[1]),
            seed=options.seed,
        )
        print(f"{count} images: {options.out}")
    if options.scores:
        print(ratings_in_words(read_ratings(options.scores)))
    return 0


def _simulate(options: argparse.Namespace) -> int:
    given = _given(options, PhantomOptions)
    if options.study:
        from gridwell.phantom.study import simulate_study
        from gridwell.versions.dataset import is_dataset

        if rest := sorted(given.keys() - {"seed"}):
            raise InputError(
                Problem(
                    file="command line",
                    column="--" + rest[0].replace("_", "-"),
                    reason="a simulated study has its own slides; only --size and --seed apply",
                    remedy="Leave it out, or simulate one slide with --out",
                )
            )
        simulate_study(
            options.study,
            size=options.size,
            seed=given.get("seed", 1),
            versioning="datalad" if is_dataset(options.study) else "off",
        )
        print(f"simulated a {options.size} screen in {options.study}")
    else:
        from gridwell.phantom.slide import simulate_slide

        simulate_slide(_validated(PhantomOptions, given), options.out)
        print(f"simulated a slide in {options.out}; the truth is in {options.out / 'truth'}")
    return 0


def _add_model_options(parser: argparse.ArgumentParser, model: type[BaseModel]) -> None:
    """Give the command one option per field of `model`, documented where the field is."""
    group = parser.add_argument_group("options")
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = json.dumps(default, default=str) if default not in ("", None, (), {}) else "none"
        group.add_argument(
            "--" + name.replace("_", "-"),
            dest=name,
            type=_value,
            metavar="VALUE",
            help=f"{field.description} Default: {shown}".replace("%", "%%"),
        )


def _value(text: str) -> Any:
    """Read an option's value: JSON, two numbers as 240,240, or plain text."""
    for candidate in (text, f"[{text}]"):
        try:
            return json.loads(candidate)
        except ValueError:
            continue
    return text


def _size(text: str) -> float:
    """Read a number above 0."""
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not 0 < size < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0 (found {text!r})")
    return size


def _share(text: str) -> float:
    """Read a number between 0 and 1."""
    share = _size(text)
    if share >= 1:
        raise argparse.ArgumentTypeError(f"must be between 0 and 1 (found {text!r})")
    return share


def _given(options: argparse.Namespace, model: type[BaseModel]) -> dict[str, Any]:
    values = {name: getattr(options, name) for name in model.model_fields}
    return {name: value for name, value in values.items() if value is not None}


def _validated(model: type[M], values: dict[str, Any]) -> M:
    """Build a model from command-line values; tell every wrong one."""
    try:
        return model(**values)
    except ValidationError as error:
        raise InputError(
            Problem(
                file="command line",
                column="--" + ".".join(map(str, mistake["loc"])).replace("_", "-"),
                value=mistake["input"] if mistake["loc"] else None,
                reason=mistake["msg"],
                remedy="See --help for the values it takes",
            )
            for mistake in error.errors()
        ) from None

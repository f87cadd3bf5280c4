"""The commands of ``gridwell`` on whole studies: made, checked, versioned, shared, reproduced."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from gridwell.config.errors import Problem

Command = Callable[[argparse.Namespace], int]
Commands = argparse._SubParsersAction  # argparse has no public name for it


def add_command(
    commands: Commands[argparse.ArgumentParser],
    name: str,
    command: Command,
    summary: str,
    example: str,
) -> argparse.ArgumentParser:
    """Add a command with its help; the parser it returns takes the arguments."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=command)
    return parser


def add_study_commands(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add all commands of this module."""
    new = add_command(commands, "new", _new, "make a new study", "gridwell new my-study")
    new.add_argument("study", type=Path, metavar="STUDY", help="folder to make")
    new.add_argument(
        "--plain", action="store_true", help="a plain folder, without DataLad (versioning: off)"
    )
    new.add_argument(
        "--work",
        type=Path,
        metavar="DIR",
        help="put what can be computed again there, as on the scratch of a cluster; all nodes must "
        "see it. Default: in the study",
    )

    check = add_command(
        commands, "check", _check, "list every mistake of a study", "gridwell check my-study"
    )
    _take_study(check)

    _add_status(commands)

    verify = add_command(
        commands,
        "verify",
        _verify,
        "compare a study with the record of its last run, or walk one result back to what it was "
        "made from",
        "gridwell verify my-study/results/S01/spots.csv",
    )
    verify.add_argument(
        "study", type=Path, metavar="STUDY|FILE", nargs="?", default=Path(), help="study, or result"
    )

    tag = add_command(
        commands, "tag", _tag, "name the present version of a study", "gridwell tag my-study v1.0"
    )
    tag.add_argument("study", type=Path, metavar="STUDY")
    tag.add_argument("tag", metavar="NAME", help="as v1.0")

    push = add_command(
        commands,
        "push",
        _push,
        "push data, history and tags of a study to a RIA store",
        "gridwell push my-study ria+file:///mnt/server/store",
    )
    push.add_argument("study", type=Path, metavar="STUDY")
    push.add_argument(
        "url",
        metavar="STORE",
        nargs="?",
        help="ria+file:///folder, ria+ssh://host/folder or a folder; needed the first time, when "
        "the store is made if it is not there",
    )
    push.add_argument("--alias", help="name of the study in the store. Default: of its folder")

    fsck = add_command(
        commands,
        "fsck",
        _fsck,
        "read all content here and in the store, name what is damaged, restore it from the other "
        "copy",
        "gridwell fsck my-study",
    )
    _take_study(fsck)

    crate = add_command(
        commands,
        "crate",
        _crate,
        "describe a study's run as an RO-Crate",
        "gridwell crate my-study",
    )
    _take_study(crate)
    crate.add_argument(
        "--out", type=Path, metavar="FILE", help="default: ro-crate-metadata.json in the study"
    )
    _add_reproduce(commands)


def _take_study(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", type=Path, metavar="STUDY", nargs="?", default=Path())


def _new(options: argparse.Namespace) -> int:
    from gridwell.versions.new import REPOSITORY, new_study

    pinned = new_study(options.study, versioning=not options.plain, work=options.work)
    print(f"made the study {options.study}")
    if not (pinned or options.plain):
        print("workflow/ was left out: gridwell does not run from a git clone")
    print(
        "next: put your slides into config/slides.tsv and config/channels.tsv, then\n"
        f"  gridwell check {options.study}\n"
        f"  snakemake --snakefile {REPOSITORY / 'Snakefile'} --directory {options.study}"
    )
    return 0


def _check(options: argparse.Namespace) -> int:
    from gridwell.config.study import Study, load_study
    from gridwell.images.check import check_images
    from gridwell.learn.presets import wrong_recipes
    from gridwell.versions.checks import check_dataset
    from gridwell.versions.new import REPOSITORY

    def also(study: Study) -> list[Problem]:
        recipes = wrong_recipes(study.config.learn)
        return [*check_dataset(study, REPOSITORY), *check_images(study), *recipes]

    study = load_study(options.study, also=also)
    channels = sum(map(len, study.channels.values()))
    print(f"{options.study}: no mistakes; {len(study.slides)} slides, {channels} channels")
    return 0


def _add_status(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = add_command(
        commands,
        "status",
        _status,
        "say how the last run of a study stands: what is done, running and failed, why, and where "
        "the logs are",
        "gridwell status my-study --watch",
    )
    _take_study(parser)
    parser.add_argument("--all", action="store_true", help="every slide, also of many")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="for programs (docs/run.md)")
    shown.add_argument(
        "--watch",
        type=float,
        nargs="?",
        const=2.0,
        metavar="SECONDS",
        help="draw again every so many seconds until the run ends. Default: 2",
    )


def _status(options: argparse.Namespace) -> int:
    from gridwell.runs.status import as_json, status_of
    from gridwell.runs.watch import watch
    from gridwell.runs.words import status_in_words

    if options.watch is not None:
        return 0 if watch(options.study, options.watch, every_slide=options.all).well else 1
    status = status_of(options.study)
    if options.json:
        print(json.dumps(as_json(status), indent=2, ensure_ascii=False))
    else:
        print(status_in_words(status, every_slide=options.all))
    return 0 if status.well else 1


def _verify(options: argparse.Namespace) -> int:
    if options.study.is_file() or options.study.is_symlink():
        return _verify_file(options.study)
    from gridwell.versions.record import verify

    entries = verify(options.study)
    wrong = [entry for entry in entries if entry["status"] != "identical"]
    for entry in wrong:
        print(f"{entry['status']}: {entry['path']}")
    print(f"{len(entries) - len(wrong)} of {len(entries)} recorded files are identical")
    return 1 if wrong else 0


def _verify_file(file: Path) -> int:
    from gridwell.versions.new import REPOSITORY
    from gridwell.versions.trace import trace

    steps = trace(file, REPOSITORY)
    for step in steps:
        print(f"{step.what:<14}{step.status:<12} {step.name}: {step.detail}")
    good = {"identical", "not fetched"}
    return 0 if all(step.status in good for step in steps) else 1


def _tag(options: argparse.Namespace) -> int:
    from gridwell.versions.tags import tag_study

    commit = tag_study(options.study, options.tag)
    print(f"{options.tag} names commit {commit}; push it with: gridwell push {options.study}")
    return 0


def _push(options: argparse.Namespace) -> int:
    from gridwell.versions.git import changed_files
    from gridwell.versions.store import push

    url = push(options.study, options.url, options.alias)
    for path in changed_files(cwd=options.study):
        print(f"not pushed, for no version has it as it stands: {path}", file=sys.stderr)
    print(f"pushed; others reproduce it with: gridwell reproduce '{url}' --out FOLDER")
    return 0


def _fsck(options: argparse.Namespace) -> int:
    from gridwell.versions.store import fsck

    found = fsck(options.study)
    for one in found:
        print(f"{one.place}: {one.path}: {one.wrong}{'; ' + one.mended if one.mended else ''}")
    mended = sum(bool(one.mended) for one in found)
    print(f"{len(found)} damaged, {mended} of them restored" if found else "all content is whole")
    return 1 if found else 0


def _crate(options: argparse.Namespace) -> int:
    from gridwell.versions.crate import write_crate

    print(write_crate(options.study, options.out))
    return 0


def _add_reproduce(commands: Commands[argparse.ArgumentParser]) -> None:
    parser = add_command(
        commands,
        "reproduce",
        _reproduce,
        "clone a published study, compute it again, and compare every result with the published "
        "one",
        "gridwell reproduce 'ria+https://server/store#~my-study' --tag v1.0 --out review",
    )
    parser.add_argument(
        "url", metavar="URL", help="path, ria+…#~name, ssh or http URL of the study"
    )
    parser.add_argument("--tag", help="version to reproduce. Default: the newest")
    parser.add_argument("--slide", help="this slide only, without the statistics of the screen")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        default=Path("reproduced"),
        help="new folder for the clone and its results. Default: reproduced",
    )
    parser.add_argument("--cores", type=int, help="processors to use. Default: all")
    parser.add_argument(
        "--config",
        nargs="+",
        default=[],
        metavar="OPTION=VALUE",
        help="options to set differently, as 'fuse={gate: 1.2}', to see what depends on them",
    )


def _reproduce(options: argparse.Namespace) -> int:
    from gridwell.versions.new import REPOSITORY
    from gridwell.versions.reproduce import reproduce

    found = reproduce(
        options.url,
        options.out,
        repository=REPOSITORY,
        tag=options.tag,
        slide=options.slide,
        cores=options.cores,
        config=options.config,
    )
    for verdict in found.verdicts:
        print(f"{verdict.status + ':':<17} {verdict.path}", *_told(verdict.detail))
    statuses = [verdict.status for verdict in found.verdicts]
    counts = {status: statuses.count(status) for status in dict.fromkeys(statuses)}
    print(f"study at {found.commit}: " + ", ".join(f"{n} {status}" for status, n in counts.items()))
    if not found.agrees and found.versions:
        print("other versions than in the record: " + _listed(found.versions), file=sys.stderr)
    if not found.finished:
        print(f"the workflow did not finish; see {options.out}/logs", file=sys.stderr)
    return 0 if found.agrees else 1


def _told(detail: str) -> list[str]:
    return [f"({detail})"] if detail else []


def _listed(versions: Sequence[tuple[str, str, str]]) -> str:
    return ", ".join(f"{name} {now} instead of {then}" for name, then, now in versions)

"""A study's run as an RO-Crate, for archives and for programs that know nothing of gridwell.

It follows RO-Crate 1.1 and the profiles Workflow RO-Crate 1.0, Process Run Crate 0.5 and
Workflow Run Crate 0.5. All that it says of the run comes from results/record.json, so that it
needs no image, no network and no clock: the same state of a study gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from gridwell.config.errors import InputError, Problem
from gridwell.config.files import write_json
from gridwell.config.hashes import sha256
from gridwell.config.weights import is_of_study, weights_of
from gridwell.config.yamls import read_yaml
from gridwell.images.description import NAME as SLIDE_JSON
from gridwell.images.description import read_slide_json
from gridwell.versions.git import git_says
from gridwell.versions.record import RECORD, read_record, status_of
from gridwell.versions.trace import config_of

if TYPE_CHECKING:
    from rocrate.model.entity import Entity
    from rocrate.rocrate import ROCrate

NAME = "ro-crate-metadata.json"
_CONFIG = "config/config.yaml"
_SNAKEFILE = "workflow/Snakefile"
_SHIPPED_MODELS = "workflow/resources/models"
# RO-Crate 1.1 itself has no word for the hash of a file.
_TERMS = "https://w3id.org/ro/terms/workflow-run/context"
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
_MEDIA_TYPES = {
    ".csv": "text/csv",
    ".geojson": "application/geo+json",
    ".html": "text/html",
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".tsv": "text/tab-separated-values",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}
# What a record may lack; the crate then says nothing of it.
_OPTIONAL: dict[str, Any] = {
    "code": {},
    "command": "",
    "gridwell": None,
    "libraries": {},
    "models": {},
    "python": None,
}
_DATA_TYPES = {bool: "Boolean", int: "Integer", float: "Float"}


@dataclass(frozen=True)
class _Commit:
    """Who committed the record of the run, and when."""

    hash: str
    date: str
    email: str
    name: str


def write_crate(study: Path, out: Path | None = None) -> Path:
    """Describe a study's last run as an RO-Crate, without copying data.

    Parameters
    ----------
    study
        Root of the study, which is the root of the crate.
    out
        File to write; None: ro-crate-metadata.json in the study. Paths in it count from the
        study, wherever it stands.

    Returns
    -------
    path
        Of the file written.

    Raises
    ------
    InputError
        If the study has no record, or config.yaml is not what the run was made with.
    """
    from rocrate.rocrate import ROCrate

    record = _OPTIONAL | read_record(study)
    options = _options(study, record)
    commit = _commit_of(study)
    title = str(options.get("study", study.resolve().name))
    crate = ROCrate(version="1.1")
    crate.metadata.extra_contexts.append(_TERMS)
    workflow = _add_workflow(crate, study, record)
    values = _add_parameters(crate, workflow, options)
    run = _add_run(crate, study, record, commit)
    run["name"] = f"Run of gridwell on {title}"
    run["instrument"] = workflow
    run["object"] = [
        *_add_raw(crate, study, record),
        *_add_files(crate, record["config"]),
        *_add_models(crate, study, record),
        *values,
    ]
    run["result"] = list(_add_files(crate, record["results"]))
    _describe_root(crate, study, record, commit)
    crate.root_dataset["name"] = title
    crate.root_dataset["mentions"] = run
    path = out or study / NAME
    write_json(path, _in_order(crate.metadata.generate()))
    return path


def _options(study: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """What config.yaml says and the command says over it, by dotted name."""
    digest = record["config"].get(_CONFIG)
    said: Mapping[str, Any] = {}
    if digest is not None:
        if status_of(study / _CONFIG, digest) != "identical":
            reason = "is not what the recorded results were computed with"
            remedy = "Run the workflow again, or restore the file from the study's history"
            raise InputError(Problem(_CONFIG, reason, remedy))
        said = read_yaml(study / _CONFIG, _CONFIG).options
    given = config_of(record["command"])
    return dict(sorted({**dict(_flat(said)), **dict(_flat(given))}.items()))


def _flat(options: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Options that are no sections, by dotted name."""
    for key, value in options.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _commit_of(study: Path) -> _Commit | None:
    """Commit that holds the record as it is now; None outside git, or where none holds it."""
    if git_says("status", "--porcelain", "--", RECORD.as_posix(), cwd=study):
        return None
    format_ = "--format=%H%n%cI%n%ce%n%cn"
    said = git_says("log", "-1", format_, "--", RECORD.as_posix(), cwd=study)
    return _Commit(*said.split("\n")) if said else None


def _add(crate: ROCrate, identifier: str, kind: str, **properties: Any) -> Entity:
    from rocrate.model.contextentity import ContextEntity

    return crate.add(ContextEntity(crate, identifier, {"@type": kind, **_known(properties)}))


def _known(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The properties that have a value."""
    return {name: value for name, value in properties.items() if value is not None}


def _add_workflow(crate: ROCrate, study: Path, record: Mapping[str, Any]) -> Entity:
    """Add the code that ran, with the software under it, as what the crate is about."""
    code = record["code"]
    url = _web_address(code.get("url"))
    pinned = (study / _SNAKEFILE).exists()
    about = {
        # Of these only a SoftwareApplication has softwareRequirements.
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "SoftwareApplication"],
        "name": "gridwell",
        "version": code.get("commit") or record["gridwell"],
        "softwareRequirements": _add_software(crate, record),
        "url": url,
    }
    # The recorded command names workflow/Snakefile, wherever the code ran from.
    place = {"source": url} if url and not pinned else {"dest_path": _SNAKEFILE}
    return crate.add_workflow(
        **place,
        properties=_known(about),
        main=True,
        lang="snakemake",
        lang_version=record["libraries"].get("snakemake"),
    )


def _web_address(url: str | None) -> str | None:
    """Write git's short form ``git@host:path`` as the URL that it stands for."""
    if url and url.startswith("git@"):
        return "ssh://" + url.replace(":", "/", 1)
    return url


def _add_software(crate: ROCrate, record: Mapping[str, Any]) -> list[Entity]:
    homes = {"gridwell": "#gridwell", "python": "https://www.python.org/"}
    versions = {
        "gridwell": record["gridwell"],
        "python": record["python"],
        **record["libraries"],
    }
    return [
        _add(
            crate,
            homes.get(name, f"pkg:pypi/{quote(name)}"),
            "SoftwareApplication",
            name=name,
            softwareVersion=version,
        )
        for name, version in sorted(versions.items())
    ]


def _add_parameters(crate: ROCrate, workflow: Entity, options: Mapping[str, Any]) -> list[Entity]:
    """Add each option as an input of the workflow, and its value as what the run was given."""
    inputs, values = [], []
    for name, value in options.items():
        literal = value if isinstance(value, (*_DATA_TYPES, str)) else json.dumps(value)
        parameter = _add(
            crate,
            f"#option/{quote(name)}",
            "FormalParameter",
            name=name,
            additionalType=_DATA_TYPES.get(type(literal), "Text"),
        )
        inputs.append(parameter)
        values.append(
            _add(
                crate,
                f"#value/{quote(name)}",
                "PropertyValue",
                name=name,
                value=literal,
                exampleOfWork=parameter,
            )
        )
    workflow["input"] = inputs
    return values


def _add_raw(crate: ROCrate, study: Path, record: Mapping[str, Any]) -> Iterator[Entity]:
    for slide, files in sorted(record["raw"].items()):
        folder = Path("raw") / slide
        sizes = _sizes(study / folder)
        for name, digest in sorted(files.items()):
            size = {"contentSize": str(sizes[digest])} if digest in sizes else {}
            yield _add_file(crate, folder / name, digest, **size)


def _sizes(folder: Path) -> dict[str, int]:
    """Sizes of a slide's files by SHA-256; none where raw/ was not fetched."""
    if not (folder / SLIDE_JSON).exists():
        return {}
    return {file["sha256"]: file["size"] for file in read_slide_json(folder)["files"]}


def _add_models(crate: ROCrate, study: Path, record: Mapping[str, Any]) -> Iterator[Entity]:
    for name, digest in sorted(record["models"].items()):
        path = _model_path(study, name)
        if path:
            yield _add_file(crate, path, digest)
        else:
            # To RO-Crate a File is something at an address; these weights have none here.
            yield _add(crate, f"#model/{quote(name)}", "MediaObject", name=name, sha256=digest)


def _model_path(study: Path, name: str) -> Path | None:
    """Where in the study the weights are; None: outside."""
    if is_of_study(name):
        path = weights_of(name)
        return None if path.is_absolute() or ".." in path.parts else path
    path = Path(_SHIPPED_MODELS) / f"{name}.safetensors"
    return path if (study / path).exists() else None


def _add_files(crate: ROCrate, files: Mapping[str, str]) -> Iterator[Entity]:
    for name, digest in sorted(files.items()):
        add = _add_zarr if name.endswith(".zarr") else _add_file
        yield add(crate, Path(name), digest)


def _add_file(crate: ROCrate, path: Path, digest: str, **properties: Any) -> Entity:
    about = {
        "name": path.name,
        "sha256": digest,
        "encodingFormat": _MEDIA_TYPES.get(path.suffix.lower()),
        **properties,
    }
    return crate.add_file(dest_path=path, properties=_known(about))


def _add_zarr(crate: ROCrate, path: Path, digest: str) -> Entity:
    """Add a Zarr directory; its hash is an identifier, as a folder has no bytes of its own."""
    identifier = _add_identifier(
        crate,
        f"#sha256-{digest}",
        "sha256",
        digest,
        description="SHA-256 of the JSON object of all file paths within and their SHA-256",
    )
    return crate.add_dataset(
        dest_path=path, properties={"name": path.name, "identifier": identifier}
    )


def _add_identifier(
    crate: ROCrate, identifier: str, kind: str, value: str, **properties: Any
) -> Entity:
    return _add(
        crate, identifier, "PropertyValue", propertyID=kind, name=kind, value=value, **properties
    )


def _add_run(
    crate: ROCrate, study: Path, record: Mapping[str, Any], commit: _Commit | None
) -> Entity:
    """Add the run itself, known by the hash of its record, and the record."""
    digest = sha256(study / RECORD)
    run = _add(crate, f"#run-{digest}", "CreateAction", description=record["command"] or None)
    _add_file(crate, RECORD, digest, about=run)
    if commit:
        run["endTime"] = commit.date
        run["agent"] = _add(
            crate,
            f"#person-{quote(commit.email, safe='@+')}",
            "Person",
            name=commit.name,
            email=commit.email,
        )
    return run


def _describe_root(
    crate: ROCrate, study: Path, record: Mapping[str, Any], commit: _Commit | None
) -> None:
    root = crate.root_dataset
    slides = ", ".join(sorted(record["raw"]))
    root["description"] = (
        f"A screening study: raw images of the slides {slides}, the configuration, and the "
        "results that gridwell computed from them."
    )
    root["conformsTo"] = [
        _add(crate, url, "CreativeWork", name=name, version=url.rpartition("/")[2])
        for url, name in _PROFILES.items()
    ]
    root["license"] = _add_licence(crate, study)
    if commit:
        root["datePublished"] = commit.date
    else:
        del root["datePublished"]  # the library puts the present time there
    dataset = git_says("config", "-f", ".datalad/config", "datalad.dataset.id", cwd=study)
    known = {"datalad-dataset-id": dataset, "git-commit": commit.hash if commit else ""}
    identifiers = [
        _add_identifier(crate, f"#{kind}", kind, value) for kind, value in known.items() if value
    ]
    if identifiers:
        root["identifier"] = identifiers


def _add_licence(crate: ROCrate, study: Path) -> Entity:
    """Add the study's own licence; a crate must state one, and nobody but its owners can."""
    own = next((path for path in sorted(study.glob("LICEN[CS]E*")) if path.is_file()), None)
    if own:
        return _add_file(crate, Path(own.name), sha256(own))
    return _add(
        crate,
        "#licence",
        "CreativeWork",
        name="No licence stated",
        description="The study states no licence. Ask its owners before you use the data.",
    )


def _in_order(crate: dict[str, Any]) -> dict[str, Any]:
    """The same crate: what it is, its root, then all entities by identifier."""
    first = (NAME, "./")
    crate["@graph"].sort(
        key=lambda entity: (*(entity["@id"] != name for name in first), entity["@id"])
    )
    return crate

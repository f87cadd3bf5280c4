"""The RO-Crate of a study: what the profiles ask for, from the record, the same every time."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from gridwell.config.errors import InputError
from gridwell.config.hashes import content_hash, sha256
from gridwell.images.description import FORMAT as SLIDE_FORMAT
from gridwell.versions.crate import write_crate
from gridwell.versions.record import FORMAT
from rocrate.rocrate import ROCrate

PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5",
    "https://w3id.org/ro/wfrun/workflow/0.5",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0",
}
COMMAND = (
    "snakemake --snakefile workflow/Snakefile --forceall "
    '--config \'screen={"metric": "n"}\' --cores all -- analysis'
)
CONFIG = """\
study: Schirm für µ
grid: {rows: 12, tolerance: 0.5, elements: network}
segment: {channels: {"grün #1": {method: none}}}
screen: {metric: mean, normalise: true, doses: [1, 2.5]}
"""
HOSTILE = "Größe 50% #1.csv"


def write(study: Path, name: str, content: str) -> None:
    path = study / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Make a finished study in a plain folder, with names that break careless links."""
    root = tmp_path / "study"
    for name, content in {
        "config/config.yaml": CONFIG,
        "config/slides.tsv": "slide\tassay\n",
        "raw/S 1/Träger #1.ome.tif": "II*",
        "raw/S2/a.tif": "II*\0",
        f"results/S2/{HOSTILE}": "spot\n",
        "results/S2/cells.parquet": "PAR1",
        "results/S2/grid.geojson": "{}",
        "results/S2/labels/nuclei.zarr/zarr.json": "{}",
        "results/screen/report.html": "<p>",
        "workflow/Snakefile": "",
        "workflow/resources/models/nuclei.safetensors": "",
        "models/own.safetensors": "own",
        ".datalad/config": '[datalad "dataset"]\n\tid = f87f34f3-1cea-445d-a1af-076fb3795ad9\n',
    }.items():
        write(root, name, content)
    raw = {}
    for slide in ("S 1", "S2"):
        images = sorted((root / "raw" / slide).iterdir())
        raw[slide] = {path.name: sha256(path) for path in images}
        files = [
            {"name": path.name, "size": path.stat().st_size, "sha256": sha256(path)}
            for path in images
        ]
        description = {"format": SLIDE_FORMAT, "files": files}
        write(root, f"raw/{slide}/slide.json", json.dumps(description))
    results = [f"results/S2/{HOSTILE}", "results/S2/cells.parquet", "results/S2/grid.geojson"]
    results += ["results/S2/labels/nuclei.zarr", "results/screen/report.html"]
    config = ["config/config.yaml", "config/slides.tsv"]
    record = {
        "format": FORMAT,
        "command": COMMAND,
        "gridwell": "0.1.0",
        "code": {"commit": "c0ffee" * 6 + "beef", "url": "git@example.org:lab/gridwell.git"},
        "python": "3.11.7",
        "libraries": {"numpy": "2.4.6", "snakemake": "9.27.1", "torch": "2.13.0+cu128"},
        "device": {"cpu": "a processor", "used": ["cpu"]},
        "models": {
            "models/own": "0" * 64,
            "nuclei": "1" * 64,
            "/elsewhere/x.safetensors": "2" * 64,
        },
        "config": {name: sha256(root / name) for name in config},
        "raw": raw,
        "results": {name: content_hash(root / name) for name in results},
    }
    write(root, "results/record.json", json.dumps(record))
    return root


def git(study: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=study, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def committed(study: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a study whose record a commit holds, and a later commit that leaves it alone."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Zoë Müller")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "zoë@example.org")
        monkeypatch.setenv(f"GIT_{role}_DATE", "2026-11-28T16:01:35+01:00")
    git(study, "init", "--quiet")
    git(study, "add", "config", "results", "raw")
    git(study, "commit", "--quiet", "-m", "results")
    monkeypatch.setenv("GIT_COMMITTER_NAME", "Somebody Else")
    git(study, "commit", "--quiet", "--allow-empty", "-m", "later")
    return study


def graph(path: Path) -> dict[str, dict[str, Any]]:
    """Entities of a crate by identifier."""
    entities = json.loads(path.read_text(encoding="utf-8"))["@graph"]
    found = {entity["@id"]: entity for entity in entities}
    assert len(found) == len(entities)
    return found


def references(value: Any) -> set[str]:
    """Identifiers that a property refers to."""
    if isinstance(value, list):
        return {name for item in value for name in references(item)}
    return {value["@id"]} if isinstance(value, dict) else set()


def run_in(entities: dict[str, dict[str, Any]]) -> dict[str, Any]:
    (run,) = (entity for entity in entities.values() if entity["@type"] == "CreateAction")
    return run


def record_of(study: Path) -> dict[str, Any]:
    return json.loads((study / "results/record.json").read_text(encoding="utf-8"))


def change_record(study: Path, **changes: Any) -> None:
    write(study, "results/record.json", json.dumps(record_of(study) | changes))


def test_crate_meets_its_profiles(study):
    path = write_crate(study)
    assert path == study / "ro-crate-metadata.json"
    assert json.loads(path.read_text(encoding="utf-8"))["@context"] == [
        "https://w3id.org/ro/crate/1.1/context",
        "https://w3id.org/ro/terms/workflow-run/context",
    ]
    entities = graph(path)
    descriptor, root = entities["ro-crate-metadata.json"], entities["./"]
    assert references(descriptor["conformsTo"]) == {
        "https://w3id.org/ro/crate/1.1",
        "https://w3id.org/workflowhub/workflow-ro-crate/1.0",
    }
    assert references(root["conformsTo"]) == PROFILES
    assert all(entities[profile]["@type"] == "CreativeWork" for profile in PROFILES)
    assert root["name"] == "Schirm für µ"
    assert root["description"]
    assert entities[root["license"]["@id"]]["description"]
    workflow = entities[root["mainEntity"]["@id"]]
    assert workflow["@id"] == "workflow/Snakefile"
    assert {"File", "SoftwareSourceCode", "ComputationalWorkflow"} <= set(workflow["@type"])
    assert workflow["version"] == record_of(study)["code"]["commit"]
    assert workflow["url"] == "ssh://git@example.org/lab/gridwell.git"
    assert entities[workflow["programmingLanguage"]["@id"]]["name"] == "Snakemake"


def test_run_links_workflow_command_inputs_and_results(study):
    entities = graph(write_crate(study))
    run = run_in(entities)
    assert references(entities["./"]["mentions"]) == {run["@id"]}
    assert run["instrument"] == entities["./"]["mainEntity"]
    assert run["description"] == COMMAND
    record = record_of(study)
    inputs = {f"raw/{slide}/{name}" for slide, files in record["raw"].items() for name in files}
    assert {unquote(name) for name in references(run["object"])} >= inputs | set(record["config"])
    made = {unquote(name).rstrip("/") for name in references(run["result"])}
    assert made == set(record["results"])
    assert entities["results/record.json"]["about"] == {"@id": run["@id"]}


def test_every_recorded_file_is_there_with_its_hash_and_type(study):
    entities = graph(write_crate(study))
    record = record_of(study)
    raw = {
        f"raw/{s}/{n}": digest for s, files in record["raw"].items() for n, digest in files.items()
    }
    for name, digest in (raw | record["config"] | record["results"]).items():
        if not name.endswith(".zarr"):
            (entity,) = (e for key, e in entities.items() if unquote(key) == name)
            assert (entity["@type"], entity["sha256"]) == ("File", digest)
            assert entity["encodingFormat"]
    labels = entities["results/S2/labels/nuclei.zarr/"]
    assert labels["@type"] == "Dataset"
    identifier = entities[labels["identifier"]["@id"]]
    assert identifier["value"] == record["results"]["results/S2/labels/nuclei.zarr"]
    assert entities["raw/S2/a.tif"]["contentSize"] == "4"
    assert entities["raw/S2/a.tif"]["encodingFormat"] == "image/tiff"
    assert entities["results/S2/grid.geojson"]["encodingFormat"] == "application/geo+json"


def test_models_are_inputs_wherever_they_are(study):
    entities = graph(write_crate(study))
    names = ["workflow/resources/models/nuclei.safetensors", "models/own.safetensors"]
    names.append("#model//elsewhere/x.safetensors")
    assert set(names) <= references(run_in(entities)["object"])
    assert [entities[name]["sha256"] for name in names] == ["1" * 64, "0" * 64, "2" * 64]


def test_software_is_named_with_its_versions(study):
    entities = graph(write_crate(study))
    needed = references(entities["workflow/Snakefile"]["softwareRequirements"])
    versions = {entities[name]["name"]: entities[name]["softwareVersion"] for name in needed}
    assert versions == record_of(study)["libraries"] | {"gridwell": "0.1.0", "python": "3.11.7"}
    assert all(entities[name]["@type"] == "SoftwareApplication" for name in needed)


def test_options_are_parameters_and_the_command_wins(study):
    entities = graph(write_crate(study))
    parameters = references(entities["workflow/Snakefile"]["input"])
    values = {
        entity["name"]: (entities[entity["exampleOfWork"]["@id"]], entity["value"])
        for name in references(run_in(entities)["object"])
        if (entity := entities[name])["@type"] == "PropertyValue"
    }
    assert {parameter["@id"] for parameter, _ in values.values()} == parameters
    assert {
        name: (parameter["additionalType"], value) for name, (parameter, value) in values.items()
    } == {
        "grid.elements": ("Text", "network"),
        "grid.rows": ("Integer", 12),
        "grid.tolerance": ("Float", 0.5),
        "screen.doses": ("Text", "[1, 2.5]"),
        "screen.metric": ("Text", "n"),
        "screen.normalise": ("Boolean", True),
        "segment.channels.grün #1.method": ("Text", "none"),
        "study": ("Text", "Schirm für µ"),
    }


@pytest.mark.parametrize("made", ["study", "committed"])
def test_all_identifiers_resolve_and_are_encoded(made, request):
    entities = graph(write_crate(request.getfixturevalue(made)))
    known = set(entities)
    for entity in entities.values():
        assert urlsplit(entity["@id"]).geturl() == entity["@id"]
        assert entity["@id"].isascii()
        assert " " not in entity["@id"]
        for key, value in entity.items():
            for name in references(value) - known:
                # Only the specification that the descriptor names, and pages of software.
                assert urlsplit(name).scheme == "https", (entity["@id"], key)
    assert "results/S2/Gr%C3%B6%C3%9Fe%2050%25%20%231.csv" in known
    data = {name for name, e in entities.items() if e["@type"] in ("File", "Dataset")} - {"./"}
    assert data <= references(entities["./"]["hasPart"])


def test_plain_folder_names_no_commit_no_date_and_no_person(study):
    entities = graph(write_crate(study))
    assert "datePublished" not in entities["./"]
    assert not {"endTime", "agent"} & set(run_in(entities))
    assert references(entities["./"]["identifier"]) == {"#datalad-dataset-id"}


def test_commit_of_the_record_dates_and_signs_the_run(committed):
    entities = graph(write_crate(committed))
    root, run = entities["./"], run_in(entities)
    assert root["datePublished"] == run["endTime"] == "2026-11-28T16:01:35+01:00"
    assert run["agent"]["@id"] == "#person-zo%C3%AB@example.org"
    agent = entities[run["agent"]["@id"]]
    assert (agent["@type"], agent["name"], agent["email"]) == (
        "Person",
        "Zoë Müller",
        "zoë@example.org",
    )
    identifiers = {entities[name]["value"] for name in references(root["identifier"])}
    first = git(committed, "rev-parse", "HEAD~1")
    assert identifiers == {"f87f34f3-1cea-445d-a1af-076fb3795ad9", first}


def test_record_that_no_commit_holds_is_not_signed(committed):
    change_record(committed, gridwell="0.2.0")
    assert not {"endTime", "agent"} & set(run_in(graph(write_crate(committed))))


def test_same_state_gives_the_same_bytes(committed, tmp_path):
    first = write_crate(committed, tmp_path / "first.json").read_bytes()
    assert write_crate(committed, tmp_path / "second.json").read_bytes() == first
    identifiers = [entity["@id"] for entity in json.loads(first)["@graph"]]
    assert identifiers[:2] == ["ro-crate-metadata.json", "./"]
    assert identifiers[2:] == sorted(identifiers[2:])
    assert "Zoë Müller".encode() in first


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("made", ["study", "committed"])
def test_crate_loads_and_finds_its_files(made, request):
    study = request.getfixturevalue(made)
    write_crate(study)
    crate = ROCrate(study)
    assert crate.mainEntity.id == "workflow/Snakefile"
    assert {entity.source for entity in crate.data_entities} >= {
        study / "results/S2" / HOSTILE,
        study / "raw/S 1/Träger #1.ome.tif",
    }
    assert all(Path(entity.source).exists() for entity in crate.data_entities)


def test_without_workflow_the_address_of_the_code_is_the_workflow(study):
    (study / "workflow/Snakefile").unlink()
    entities = graph(write_crate(study))
    assert entities["./"]["mainEntity"] == {"@id": "ssh://git@example.org/lab/gridwell.git"}
    change_record(study, code={"commit": None, "url": None})
    entities = graph(write_crate(study))
    assert entities["./"]["mainEntity"] == {"@id": "workflow/Snakefile"}
    assert entities["workflow/Snakefile"]["version"] == "0.1.0"


def test_record_may_lack_what_no_result_depends_on(study):
    record = record_of(study)
    needed = {name: record[name] for name in ("format", "config", "raw", "results")}
    write(study, "results/record.json", json.dumps(needed))
    entities = graph(write_crate(study))
    workflow, run = entities["workflow/Snakefile"], run_in(entities)
    assert not {"version", "url"} & set(workflow)
    assert "description" not in run
    assert len(references(run["result"])) == len(record["results"])
    assert all(value is not None for entity in entities.values() for value in entity.values())
    assert ROCrate(study).mainEntity.id == "workflow/Snakefile"


def test_raw_images_that_were_not_fetched_have_no_size(study):
    (study / "raw/S2/slide.json").unlink()
    assert "contentSize" not in graph(write_crate(study))["raw/S2/a.tif"]


def test_own_licence_is_the_licence(study):
    write(study, "LICENSE.md", "CC-BY-4.0")
    entities = graph(write_crate(study))
    assert entities["./"]["license"] == {"@id": "LICENSE.md"}


def test_study_without_record_says_what_to_do(study):
    (study / "results/record.json").unlink()
    with pytest.raises(InputError, match="Run the workflow to its end first"):
        write_crate(study)
    assert not (study / "ro-crate-metadata.json").exists()


def test_options_changed_since_the_run_are_not_passed_off_as_its_own(study):
    write(study, "config/config.yaml", "study: another")
    with pytest.raises(InputError, match=r"config\.yaml: is not what .* Run the workflow again"):
        write_crate(study)

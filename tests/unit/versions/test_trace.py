"""A result is walked back to its raw images, code, networks and configuration."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from gridwell.config.errors import InputError
from gridwell.config.files import write_csv
from gridwell.config.hashes import sha256
from gridwell.config.provenance import (
    Provenance,
    made,
    of_slide,
    read_provenance,
    settings_hash,
    side_file,
)
from gridwell.config.settings import slide_settings
from gridwell.config.study import load_study
from gridwell.versions.dataset import save
from gridwell.versions.record import RECORD, write_record
from gridwell.versions.trace import config_of, trace

from tests.unit.versions.studies import add_slide, be, edit_code, git, save_slide

pytestmark = [pytest.mark.datalad, pytest.mark.usefixtures("somebody")]

TABLE = Path("results/S01/spots.csv")
COMMAND = "snakemake --forceall --config {} --cores all -- analysis"


@pytest.fixture(scope="module")
def told(templates, tmp_path_factory) -> Path:
    """A recorded study whose table says what it was made from; left as it is."""
    study = tmp_path_factory.mktemp("traced") / "study"
    with pytest.MonkeyPatch.context() as monkeypatch:
        be(monkeypatch, templates / "home", "Ada")
        shutil.copytree(templates / "new", study, symlinks=True)
        (study / "config/slides.tsv").write_text("slide\tassay\nS01\tobjects\n")
        (study / "config/channels.tsv").write_text(
            "slide\tchannel\trole\tpath\nS01\tdapi\tnuclei\traw/S01/a.tif\n"
        )
        save(study, ["config"], "study: configuration")
        network = study / "models/own.safetensors"
        network.parent.mkdir()
        network.write_bytes(b"weights")
        image = add_slide(study, "S01")
        version = save_slide(study, "S01").relative_to(study)
        own = made(
            {"commit": git(templates / "code", "rev-parse", "HEAD"), "hash": "0" * 16},
            slide_settings(load_study(study), "S01", "spots"),
            {"models/own": sha256(network)},
        )
        own = of_slide(own, "S01", {"a.tif": sha256(image)})
        write_csv(study / TABLE, pd.DataFrame({"spot": ["A1"]}), own)
        write_record(
            study,
            [version, TABLE, side_file(TABLE), network.relative_to(study)],
            [version],
            versioning="datalad",
            command=COMMAND.format(""),
            repository=templates / "code",
        )
    return study


@pytest.fixture
def study(told, code, tmp_path) -> Path:
    """A copy of the recorded study, with the code that made it beside it."""
    return Path(shutil.copytree(told, tmp_path / "study", symlinks=True))


@pytest.fixture
def table(study) -> Path:
    """The table of the study."""
    return study / TABLE


@pytest.fixture
def provenance(table) -> Provenance:
    """What the table says."""
    return read_provenance(table)


def say(table: Path, provenance: Provenance) -> None:
    """Have a table say something else."""
    side_file(table).write_text(json.dumps(provenance))


def statuses(table: Path, code: Path) -> dict[str, str]:
    return {step.what: step.status for step in trace(table, code)}


SAME = dict.fromkeys(("result", "raw", "code", "model", "configuration"), "identical")


def test_everything_is_as_the_result_says(table, study, code, provenance, monkeypatch):
    steps = {step.what: step for step in trace(table, code)}
    assert {what: step.status for what, step in steps.items()} == SAME
    assert steps["raw"].name == "raw/S01/a.tif"
    assert steps["raw"].detail == f"sha256 {provenance['slides']['S01']['raw']['a.tif']}"
    assert git(study, "rev-parse", "HEAD") in steps["result"].detail
    assert steps["code"].detail == f"commit {provenance['code']['commit']}: code"
    monkeypatch.chdir(table.parent)
    assert statuses(Path("spots.csv"), code) == SAME


def test_dropped_image_is_not_fetched_and_the_remedy_brings_it(table, study, code, tmp_path):
    (tmp_path / "disk").mkdir()
    disk = ("type=directory", f"directory={tmp_path / 'disk'}", "encryption=none")
    git(study / "raw", "annex", "initremote", "disk", *disk)
    git(study / "raw", "annex", "move", "--to", "disk", "S01/a.tif")
    (step,) = [step for step in trace(table, code) if step.what == "raw"]
    assert step.status == "not fetched"
    assert "datalad get raw/S01/a.tif" in step.detail
    git(study / "raw", "annex", "get", "S01/a.tif")
    assert statuses(table, code) == SAME


@pytest.mark.parametrize("dropped", [False, True])
def test_another_image_is_different_even_where_it_is_elsewhere(table, study, code, dropped):
    add_slide(study, "S01", b"II*\0another image")
    save_slide(study, "S01")
    if dropped:
        git(study / "raw", "annex", "drop", "--force", "S01/a.tif")
    assert statuses(table, code) == {**SAME, "raw": "different"}


def test_image_that_is_gone_is_missing(table, study, code):
    (study / "raw/S01/a.tif").unlink()
    assert statuses(table, code) == {**SAME, "raw": "missing"}


@pytest.mark.parametrize(
    ("commit", "status", "detail"),
    [
        ("f" * 40, "missing", "is in no clone of gridwell here"),
        ("{}+changes", "different", "with changes that no commit holds"),
        (None, "missing", "was not run from a git clone"),
    ],
)
def test_code_that_no_commit_names(table, code, provenance, commit, status, detail):
    if commit:
        commit = commit.format(provenance["code"]["commit"])
    provenance["code"]["commit"] = commit
    say(table, provenance)
    assert statuses(table, code) == {**SAME, "code": status}
    (step,) = [step for step in trace(table, code) if step.what == "code"]
    assert detail in step.detail


def test_code_is_found_in_the_clone_that_runs(table, study, code, provenance):
    provenance["code"]["commit"] = edit_code(code)  # newer than workflow/ of the study
    say(table, provenance)
    assert statuses(table, code) == SAME
    assert statuses(table, study / "results") == {**SAME, "code": "missing"}


def test_other_or_lost_networks(table, study, code):
    network = study / "models/own.safetensors"
    network.unlink()
    assert statuses(table, code) == {**SAME, "model": "missing"}
    network.write_bytes(b"other weights")
    assert statuses(table, code) == {**SAME, "model": "different"}


def test_another_option_is_another_configuration(table, study, code, provenance):
    config = study / "config/config.yaml"
    whole = config.read_text()
    config.write_text("# a remark\n" + whole)
    assert statuses(table, code) == SAME
    config.write_text(whole.replace("  chunk: 512", "  chunk: 256"))
    (step,) = [step for step in trace(table, code) if step.what == "configuration"]
    assert step.status == "different"
    assert provenance["config"] in step.detail
    assert "config/ now gives" in step.detail


def test_options_of_the_command_line_count(table, study, code, provenance):
    given = {"precision": "float32"}
    settings = slide_settings(load_study(study, given), "S01", "spots")
    assert settings_hash(settings) != provenance["config"]
    say(table, {**provenance, "config": settings_hash(settings)})
    assert statuses(table, code) == {**SAME, "configuration": "different"}
    command = COMMAND.format("""'precision="float32"'""")
    assert config_of(command) == given
    record = json.loads((study / RECORD).read_text())
    (study / RECORD).write_text(json.dumps({**record, "command": command}))
    assert statuses(table, code) == SAME


def test_slide_that_is_no_longer_in_the_study(table, study, code):
    for name in ("slides", "channels"):
        sheet = study / "config" / f"{name}.tsv"
        sheet.write_text(sheet.read_text().replace("\nS01\t", "\nS02\t"))
    assert statuses(table, code) == {**SAME, "configuration": "missing"}


def test_edited_result_is_different(table, code):
    table.write_text("spot\nA2\n")
    assert statuses(table, code) == {**SAME, "result": "different"}


def test_result_that_the_record_does_not_name(table, study, code):
    other = study / "results/S01/other.csv"
    other.write_bytes(table.read_bytes())
    side_file(other).write_bytes(side_file(table).read_bytes())
    assert statuses(other, code) == {**SAME, "result": "missing"}


@pytest.mark.parametrize("folder", ["elsewhere", "study", "study/notes/S01"])
def test_file_outside_the_results_of_a_study_is_told(table, code, tmp_path, folder):
    copy = tmp_path / folder / "spots.csv"
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(table.read_bytes())
    side_file(copy).write_bytes(side_file(table).read_bytes())
    with pytest.raises(InputError, match="Name the file where it is in the study's results"):
        trace(copy, code)


def test_file_that_says_nothing_is_told(table, code):
    side_file(table).unlink()
    with pytest.raises(InputError, match="does not say what it was made from"):
        trace(table, code)

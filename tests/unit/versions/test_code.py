"""The hash of a rule's code follows its imports, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from gridwell.versions.code import code_hash


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    library = tmp_path / "gridwell"
    for room in ("low", "high", "other"):
        (library / room).mkdir(parents=True)
        (library / room / "__init__.py").write_text("")
    (library / "low" / "base.py").write_text("VALUE = 1\n")
    (library / "high" / "use.py").write_text("from gridwell.low.base import VALUE\n")
    (library / "high" / "style.css").write_text("body {}\n")
    (library / "other" / "far.py").write_text("VALUE = 2\n")
    (tmp_path / "helper.py").write_text("")
    (tmp_path / "rule.py").write_text("import helper\nfrom gridwell.high import use\n")
    return tmp_path


@pytest.mark.parametrize(
    "file", ["rule.py", "helper.py", "gridwell/high/use.py", "gridwell/low/base.py"]
)
def test_changes_with_every_module_reached(scripts, file):
    before = code_hash(scripts / "rule.py")
    path = scripts / file
    path.write_text(path.read_text() + "# edited\n")
    assert code_hash(scripts / "rule.py") != before


def test_how_a_job_tells_how_far_it_is_is_no_part_of_it(scripts):
    runs = scripts / "gridwell/runs"
    runs.mkdir()
    (runs / "progress.py").write_text("")
    use = scripts / "gridwell/high/use.py"
    use.write_text(use.read_text() + "from gridwell.runs.progress import step\n")
    before = code_hash(scripts / "rule.py")
    (runs / "progress.py").write_text("# edited\n")
    assert code_hash(scripts / "rule.py") == before


def test_changes_with_the_templates_of_a_room(scripts):
    before = code_hash(scripts / "rule.py")
    (scripts / "gridwell/high/style.css").write_text("body { color: red }\n")
    assert code_hash(scripts / "rule.py") != before


def test_stays_when_another_room_or_a_time_changes(scripts):
    before = code_hash(scripts / "rule.py")
    (scripts / "gridwell/other/far.py").write_text("VALUE = 3\n")
    (scripts / "rule.py").touch()
    cache = scripts / "gridwell/high/__pycache__"
    cache.mkdir()
    for name in ("use.cpython-311.pyc", "use.flood-1.py311.nbi", "use.flood-1.py311.1.nbc"):
        (cache / name).write_bytes(b"made by running the code")
    assert code_hash(scripts / "rule.py") == before


def test_does_not_depend_on_what_the_clone_is_called(scripts):
    """Text beside the scripts is no data of a room, though the clone is called as the library."""
    (scripts / "notes.txt").write_text("mine")
    named = scripts.rename(scripts.parent / "gridwell")
    inside = named / "scripts"
    inside.mkdir()
    for path in (*named.glob("*.py"), named / "gridwell"):
        path.rename(inside / path.name)
    (inside / "notes.txt").write_text("mine")
    before = code_hash(inside / "rule.py")
    moved = named.rename(scripts.parent / "workflow") / "scripts"
    assert code_hash(moved / "rule.py") == before


def test_segment_and_report_of_this_repository_differ(repository):
    names = ["segment", "tile", "report_slide"]
    hashes = {name: code_hash(repository / "scripts" / f"{name}.py") for name in names}
    assert len(set(hashes.values())) == len(names)

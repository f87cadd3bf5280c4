"""The house keeps its order: rooms, scripts, environments, profiles."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from gridwell.versions.code import _reached

# Ground floor first: a room imports only from rooms before it.
ROOMS = [
    "config",
    "runs",
    "images",
    "network",
    "grid",
    "segment",
    "cells",
    "colour",
    "screen",
    "learn",
    "versions",
    "report",
    "phantom",
]


def imports(path: Path) -> set[str]:
    """List the full names of all modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module)
    return found


def test_rooms_import_downwards_only(repository):
    library = repository / "scripts/gridwell"
    rooms = sorted(path.parent.name for path in library.glob("*/__init__.py"))
    assert set(rooms) <= set(ROOMS)
    wrong = []
    for room in rooms:
        allowed = {*ROOMS[: ROOMS.index(room) + 1]}
        for path in (library / room).rglob("*.py"):
            for name in imports(path):
                parts = name.split(".")
                if parts[0] == "gridwell" and len(parts) > 1 and parts[1] not in allowed:
                    wrong.append(f"{path.relative_to(library)} imports {name}")
    assert not wrong


def test_torch_and_snakemake_stay_in_their_rooms(repository):
    library = repository / "scripts/gridwell"
    for path in library.rglob("*.py"):
        roots = {name.split(".")[0] for name in imports(path)}
        assert "snakemake" not in roots, path
        if path.parent.name not in {"network", "learn"}:
            assert "torch" not in roots, path


@pytest.mark.parametrize("room", ROOMS)
def test_room_opens_without_heavy_imports(repository, room):
    init = repository / "scripts/gridwell" / room / "__init__.py"
    if not init.exists():
        pytest.skip(f"{room} is not built yet")
    assert not imports(init)


HEAVY = {"altair", "datalad", "matplotlib", "skimage", "torch", "vl_convert"}


@pytest.mark.parametrize(
    ("names", "unwanted"),
    [
        (["*"], HEAVY),
        (["tile", "ingest", "export_plate"], {"pandas", "scipy"}),
        (["crop_spots"], {"scipy"}),
        (["version_raw", "version_results"], {"cv2", "numpy", "pandas", "pydantic"}),
    ],
)
def test_scripts_start_without_what_they_need_later_or_never(repository, names, unwanted):
    scripts = sorted(
        {path for name in names for path in (repository / "scripts").glob(f"{name}.py")}
    )
    program = (
        "import runpy, sys\n"
        f"for path in {[str(path) for path in scripts]}:\n"
        "    runpy.run_path(path, run_name='imported')\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=repository / "scripts",
        capture_output=True,
        text=True,
        check=True,
    )
    assert scripts
    assert not unwanted & set(done.stdout.split())


def rules(repository: Path) -> dict[str, str]:
    """Map each rule's name to its text."""
    texts = {}
    for path in [repository / "Snakefile", *sorted((repository / "rules").glob("*.smk"))]:
        for part in re.split(r"^(?=rule )", path.read_text(), flags=re.MULTILINE)[1:]:
            texts[re.match(r"rule (\w+)", part)[1]] = part
    return texts


def test_each_rule_has_its_script_log_and_resources(repository):
    # What every script uses, and what is run by make alone.
    no_rule = {"job", "train_cells", "train_grid"}
    scripts = {path.stem for path in (repository / "scripts").glob("*.py")} - no_rule
    working = {name: text for name, text in rules(repository).items() if "script:" in text}
    assert set(working) == scripts
    for name, text in working.items():
        assert f'"../scripts/{name}.py"' in text, name
        assert f'code=code("{name}")' in text, name
        for needed in ("log:", "threads:", "mem_mb=", "runtime=", "conda:"):
            assert needed in text, f"{name} lacks {needed}"
        assert f'"logs/{name}/' in text, name


def test_scripts_stay_thin(repository):
    for path in (repository / "scripts").glob("*.py"):
        assert len(path.read_text().splitlines()) <= 60, path


def test_environments_hold_the_pins_of_constraints(repository):
    pins = dict(
        line.strip().lower().split("==")
        for line in (repository / "constraints.txt").read_text().splitlines()
        if "==" in line
    )
    files = sorted((repository / "envs").glob("*.yaml"))
    assert [path.stem for path in files] == ["cpu", "data", "gpu"]
    for path in files:
        pip = yaml.safe_load(path.read_text())["dependencies"][-1]["pip"]
        for requirement in pip:
            name, version = requirement.lower().split("==")
            assert pins[name] == version, f"{path.name}: {requirement}"


# Names of modules whose distribution has another.
DISTRIBUTIONS = {
    "colour": "colour-science",
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "vl_convert": "vl-convert-python",
    "yaml": "pyyaml",
}
# What others in the environment bring with them, and what the rules of data.yaml never reach.
BROUGHT = {"markupsafe", "numcodecs", "pydantic_core"}
UNREACHED = {"data": {"pyarrow"}}


def test_environments_hold_what_their_rules_import(repository):
    own = {*sys.stdlib_module_names, "gridwell", "job", "snakemake"}
    for name, text in rules(repository).items():
        found = re.search(r"envs/(\w+)\.yaml", text)
        if found is None:
            continue
        environment = yaml.safe_load((repository / f"envs/{found[1]}.yaml").read_text())
        held = {pin.split("==")[0].lower() for pin in environment["dependencies"][-1]["pip"]}
        reached = _reached([repository / f"scripts/{name}.py"])
        roots = {
            module.split(".")[0]
            for path in reached
            if path.suffix == ".py"
            for module in imports(path)
        }
        needed = {DISTRIBUTIONS.get(root, root).lower() for root in roots - own}
        assert needed - held <= BROUGHT | UNREACHED.get(found[1], set()), name


def test_constraints_pin_every_dependency(repository):
    import tomllib

    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    pinned = {
        line.lower().split("==")[0]
        for line in (repository / "constraints.txt").open()
        if "==" in line
    }
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    for requirement in wanted:
        assert re.split(r"[><=\[]", requirement)[0].lower() in pinned, requirement


@pytest.mark.parametrize("profile", ["default", "slurm"])
def test_profiles_name_existing_rules(repository, profile):
    settings = yaml.safe_load((repository / f"profiles/{profile}/profile.yaml").read_text())
    for section in ("set-resources", "set-threads"):
        assert set(settings.get(section, {})) <= set(rules(repository))


def test_slurm_sends_gpu_rules_and_no_others_to_the_gpu_partition(repository):
    settings = yaml.safe_load((repository / "profiles/slurm/profile.yaml").read_text())
    with_gpu = {
        name
        for name, text in rules(repository).items()
        if re.search("gpu=(GPUS|learning_gpus)", text)
    }
    sent = {
        name
        for name, resources in settings["set-resources"].items()
        if resources.get("slurm_partition") == "accelerated"
    }
    assert sent == with_gpu == {"detect_grid", "segment", "pretrain", "train"}

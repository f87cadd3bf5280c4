"""The command line: examples that work, mistakes that are told, nothing heavy for nothing."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from gridwell.cli import main
from PIL import Image
from skimage.measure import label

COMMANDS = [
    "new", "check", "simulate", "grid", "segment", "measure-colour", "evaluate", "rate",
    "verify", "status",
]  # fmt: skip


def run(*arguments: str) -> int:
    return main([str(argument) for argument in arguments])


@pytest.mark.parametrize("command", COMMANDS)
def test_each_help_has_an_example_that_parses(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    example = re.search(r"example:\n\s+gridwell (.*)", capsys.readouterr().out)
    from gridwell.cli import _parser

    options = _parser().parse_args(shlex.split(example[1]))
    assert options.name == command


def test_no_command_loads_the_heavy_libraries_in_vain():
    heavy = ("torch", "datalad", "skimage", "altair", "snakemake")
    code = f"import sys, gridwell.cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("phantom")
    arguments = ["--rows", "5", "--cols", "7", "--angle", "4", "--seed", "3", "--cells", "15"]
    assert (
        run("simulate", "--out", out, *arguments, "--pitch", "140,140", "--spot-size", "100,100")
        == 0
    )
    return out


def test_simulate_and_grid_agree(phantom, tmp_path, capsys):
    (image,) = phantom.glob("*brightfield*")
    assert run("grid", image, "--out", tmp_path) == 0
    assert capsys.readouterr().out.startswith("ok: 5 rows x 7 columns")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"grid.json", "grid.csv", "grid.geojson", "grid.png", "tables.zarr"}
    found = pd.read_csv(tmp_path / "grid.csv").merge(
        pd.read_csv(phantom / "truth/grid.csv"), on="spot", suffixes=("", "_true")
    )
    assert len(found) == 35
    assert np.hypot(found.x - found.x_true, found.y - found.y_true).max() < 14


def test_segment_writes_labels(phantom, tmp_path, capsys):
    (image,) = phantom.glob("*nuclei*")
    out = tmp_path / "labels.tif"
    assert run("segment", image, "--out", out) == 0
    labels = tifffile.imread(out)
    assert labels.shape == tifffile.imread(image).shape
    count = int(capsys.readouterr().out.split()[0])
    assert count == labels.max() == len(np.unique(labels)) - 1
    truth = pd.read_parquet(phantom / "truth/cells.parquet")
    assert abs(count - len(truth)) < 0.15 * len(truth)
    assert label(labels > 0).max() > 0.5 * len(truth)


def test_labels_never_replace_the_image(tmp_path, capsys):
    path = tmp_path / "nuclei.tif"
    tifffile.imwrite(path, np.arange(3600, dtype=np.uint16).reshape(60, 60))
    before = path.read_bytes()
    assert run("segment", path, "--out", path, "--method", "otsu") == 1
    assert "is the image itself" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_evaluate_prints_a_table_or_json_and_writes_scores(tmp_path, capsys):
    labels = np.zeros((30, 40), np.uint16)
    labels[5:15, 5:15], labels[5:15, 20:30] = 1, 2
    tifffile.imwrite(tmp_path / "truth.tif", labels)
    tifffile.imwrite(tmp_path / "found.tif", np.where(labels == 2, 0, labels))
    both = tmp_path / "found.tif", tmp_path / "truth.tif"
    assert run("evaluate", *both, "--out", tmp_path / "scores") == 0
    said = capsys.readouterr().out
    assert "1 image, 2 true objects, 1 predicted" in said
    assert len(said.splitlines()) < 15
    assert pd.read_csv(tmp_path / "scores/scores.csv").recall.tolist() == [0.5, 0.5]
    assert run("evaluate", *both, "--json", "--kind", "classes", "--classes", "no,1,2") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["classes"][2]["class"] == "2"
    assert told["pooled"]["global_accuracy"] == pytest.approx(1100 / 1200)


def test_grid_with_what_a_person_knows(phantom, tmp_path, capsys):
    (image,) = phantom.glob("*brightfield*")
    known = tmp_path / "known.yaml"
    known.write_text("orientation: A1 bottom right\nspot: [70, 70]\n")
    assert run("grid", image, "--out", tmp_path / "one", "--override", known) == 0
    assert "orientation: A1 bottom right" in capsys.readouterr().out
    one = pd.read_csv(tmp_path / "one/grid.csv")
    assert set(one.width) == {70}
    assert one.x.iloc[0] > one.x.iloc[-1]
    two = ("grid", image, "--out", tmp_path / "two", "--same-as", tmp_path / "one")
    assert run(*two) == 0
    assert np.allclose(pd.read_csv(tmp_path / "two/grid.csv")[["x", "y"]], one[["x", "y"]], atol=2)
    known.write_text("angle: 90\norientation: A1 top left\n")
    assert run("grid", image, "--out", tmp_path / "three", "--override", known) == 1
    said = capsys.readouterr().err
    assert "known.yaml" in said
    assert "does not fit orientation A1 top left" in said
    known.write_text("same_as: S01\n")
    assert run("grid", image, "--out", tmp_path / "three", "--override", known) == 1
    assert "--same-as" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["grid", "nowhere.png", "--out", "out"], "nowhere.png"),
        (["segment", "nowhere.png", "--out", "out.tif"], "nowhere.png"),
        (["segment", "nowhere.png", "--out", "out.tif", "--method", "magic"], "--method"),
        (["measure-colour", "nowhere.png", "--out", "out"], "nowhere.png"),
        (["evaluate", "nowhere.png", "nothing.png", "--out", "out"], "nowhere.png"),
        (["rate", "nowhere", "a", "b", "--out", "page.html"], "nowhere"),
        (["rate", "nowhere", "a", "--out", "page.html"], "IMAGES A B --out PAGE"),
        (["rate", "nowhere", "a", "b", "--out", "page.html", "--names", "A"], "--names"),
        (["rate", "--scores", "nowhere.csv"], "nowhere.csv"),
        (["simulate", "--out", "out", "--rows", "0"], "--rows"),
        (["simulate", "--out", "out", "--angle", "steep"], "--angle"),
        (["simulate", "--study", "out", "--rows", "3"], "--rows"),
        (["grid", "nowhere.png", "--out", "out", "--carrier", "sbs-97"], "sbs-97"),
        (["check", "nowhere"], "nowhere"),
        (["verify", "."], "record"),
    ],
)
def test_mistakes_are_one_message(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", ["0", "-1", "nan", "inf", "x"])
def test_a_pixel_has_a_size(size, capsys):
    with pytest.raises(SystemExit):
        main(["grid", "scan.png", "--out", "out", f"--pixel-size-um={size}"])
    assert f"must be a number above 0 (found '{size}')" in capsys.readouterr().err


def test_damaged_scan_is_named_as_the_user_named_it(tmp_path, capsys):
    scan = tmp_path / "scan.jpg"
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(scan)
    scan.write_bytes(scan.read_bytes()[:-1000])
    assert run("measure-colour", scan, "--out", tmp_path / "out") == 1
    assert f"{scan}: is damaged" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [scan]


@pytest.mark.parametrize("command", ["grid", "segment"])
def test_output_that_cannot_be_written_is_told(command, phantom, tmp_path, capsys):
    (tmp_path / "file").touch()
    image = next(phantom.glob("*nuclei*"))
    assert run(command, image, "--out", tmp_path / "file" / "out.tif") == 1
    error = capsys.readouterr().err
    assert str(tmp_path / "file") in error
    assert "Traceback" not in error

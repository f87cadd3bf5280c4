"""From a data set to a network: the same bytes for a seed, also after a kill."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from gridwell.config.errors import InputError
from gridwell.config.models import LearnModel
from gridwell.learn import fit as fitting
from gridwell.learn import train
from gridwell.learn.correct import lay_out
from gridwell.learn.dataset import Facts, Item, read_dataset, read_facts, write_dataset
from gridwell.learn.evaluate import evaluate_network
from gridwell.learn.examples import Example
from gridwell.learn.measure import measure_network
from gridwell.learn.recipe import Recipe
from gridwell.learn.teach import classes_of, doubtful
from gridwell.network.cells import CellNetwork
from gridwell.network.weights import load_network

TINY = {"steps": 6, "every": 2, "widths": [4, 4, 4, 4], "batch": 2, "crop": 32}


def discs(seed: int, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Draw bright discs of radius 5 on noise."""
    rng = np.random.default_rng(seed)
    image, labels = rng.normal(100, 5, (channels, 64, 64)), np.zeros((64, 64), np.int32)
    y, x = np.mgrid[:64, :64]
    for number, (cy, cx) in enumerate([(12, 14), (12, 40), (40, 20), (44, 48)], start=1):
        at = np.hypot(y - cy - rng.integers(3), x - cx - rng.integers(3)) <= 5
        labels[at] = number
        image[:, at] += 400
    return np.round(image).clip(0).astype(np.float32), labels


@pytest.fixture
def data(tmp_path) -> Path:
    """Six images of three sources, with instances and classes."""
    items = []
    for seed, (source, side) in enumerate(
        [("A", "train"), ("B", "validation"), ("C", "test")] * 2, start=1
    ):
        image, labels = discs(seed)
        classes = (labels > 0).astype(np.int16)
        items.append(Item(Example(f"{source}.{seed}", source, image, labels, classes), side))
    write_dataset(tmp_path / "data", items, facts=Facts({"A": [(100.0, 400.0)]}))
    return tmp_path / "data"


def model(**options: object) -> LearnModel:
    return LearnModel(labels="folder", folder="data", **{"recipe": TINY, **options})


def run(folder: Path, data: Path, made: LearnModel, start: Path | None = None) -> bytes:
    folder.mkdir(exist_ok=True)
    train.train_network(
        "net",
        made,
        data=data,
        weights=folder / "net.safetensors",
        curve=folder / "net.curves.csv",
        picture=folder / "net.curves.png",
        start=start,
        work=folder / "work",
    )
    return (folder / "net.safetensors").read_bytes()


def test_same_seed_same_bytes(data, tmp_path):
    first = run(tmp_path / "one", data, model())
    assert run(tmp_path / "two", data, model()) == first
    for name in ("net.curves.csv", "net.curves.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert run(tmp_path / "three", data, model(seed=1)) != first
    curve = pd.read_csv(tmp_path / "one/net.curves.csv")
    assert list(curve.step) == [2, 4, 6]
    assert {"loss", "aji_plus", "ap_50"} <= set(curve.columns)


class Killed(Exception):  # noqa: N818 - it is no error
    """The job dies here."""


def test_a_killed_training_goes_on_and_ends_the_same(data, tmp_path, monkeypatch):
    whole = run(tmp_path / "whole", data, model())
    keep = fitting._Run.keep
    learned = []

    def keep_and_die(self, path):
        keep(self, path)
        if self.step == 4:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(fitting._Run, "keep", keep_and_die)
        with pytest.raises(Killed):
            run(tmp_path / "part", data, model())
    assert list((tmp_path / "part/work").glob("*.checkpoint"))
    assert not (tmp_path / "part/net.safetensors").exists()
    learn = fitting._Run._learn
    monkeypatch.setattr(fitting._Run, "_learn", lambda self: learned.append(1) or learn(self))
    assert run(tmp_path / "part", data, model()) == whole
    assert len(learned) == 2
    curves = [(tmp_path / name / "net.curves.csv").read_bytes() for name in ("whole", "part")]
    assert curves[0] == curves[1]


def test_what_is_unfinished_is_of_one_recipe_and_data_set_only(data, tmp_path, monkeypatch):
    def die(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"a state of another training")
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(fitting._Run, "keep", die)
        with pytest.raises(Killed):
            run(tmp_path / "out", data, model(seed=5))
    assert run(tmp_path / "out", data, model()) == run(tmp_path / "fresh", data, model())


def test_nothing_is_trained_twice_for_another_test_set(data, tmp_path, monkeypatch):
    first = run(tmp_path / "out", data, model())
    used = [item for item in read_dataset(data) if item.split != "test"]
    write_dataset(data, used, facts=read_facts(data))

    def trains(*arguments, **options):
        raise Killed

    monkeypatch.setattr(fitting, "fit", trains)
    assert run(tmp_path / "out", data, model()) == first
    write_dataset(data, used, facts=Facts({"A": [(90.0, 400.0)]}))
    with pytest.raises(Killed):
        run(tmp_path / "out", data, model())


def test_fine_tuning_starts_from_weights(data, tmp_path):
    first = run(tmp_path / "one", data, model())
    start = tmp_path / "one/net.safetensors"
    assert run(tmp_path / "two", data, model(), start) != first
    (tmp_path / "junk.safetensors").write_bytes(b"junk")
    with pytest.raises(Exception, match=r"junk\.safetensors"):
        run(tmp_path / "three", data, model(), tmp_path / "junk.safetensors")


def test_a_network_takes_the_shape_of_the_one_that_it_goes_on_from(data, tmp_path):
    run(tmp_path / "one", data, model())
    start = tmp_path / "one/net.safetensors"
    recipe = train.shaped_as(Recipe(), start, said=())
    assert recipe.widths == load_network(start).widths != Recipe().widths
    assert train.shaped_as(Recipe(), start, said=("widths",)).widths == Recipe().widths
    assert train.shaped_as(Recipe(), None, said=()) == Recipe()


def test_pretraining_takes_any_number_of_channels(tmp_path):
    image, labels = discs(1)
    made = model(channels=("a", "b"), pretrain="nuclei", pretrain_fields=2)
    item = Item(Example("x", "x", image, labels), "train", "phantom")
    out = tmp_path / "w.safetensors"
    train.pretrain_network([item, item], out, name="net", model=made, work=tmp_path / "work")
    assert CellNetwork.load(out, policy="forbid").channels == 2


@pytest.mark.parametrize("kind", ["instance", "semantic"])
def test_the_card_tells_what_was_measured(kind, data, tmp_path):
    classes = ("background", "cell") if kind == "semantic" else ()
    made = model(kind=kind, classes=classes)
    run(tmp_path / "out", data, made)
    out = tmp_path / "out"
    evaluate_network(
        "net",
        made,
        data=data,
        weights=out / "net.safetensors",
        curve=out / "net.curves.csv",
        start=None,
        scores=out / "net.scores.csv",
        card_out=out / "net.md",
    )
    card = (out / "net.md").read_text()
    assert max(map(len, card.splitlines())) < 200
    for said in ("sha256: `", "licence", "| train | corrected | A | 2 |", "steps 6", "network |"):
        assert said in card
    scores = pd.read_csv(out / "net.scores.csv")
    assert set(scores.method) == {"network", "teacher", "difference"}
    assert list(scores[scores.what == "image"].image) == ["C.3", "C.6"] * 2
    first = "mean_iou" if kind == "semantic" else "aji_plus"
    assert f"{scores.set_index(['method', 'what'])[first]['teacher', 'pooled']:.3f}" in card


def test_images_are_laid_out_for_correction(data, tmp_path):
    study = tmp_path / "study"
    made = LearnModel(channels=("dapi",), recipe=TINY)
    with pytest.raises(InputError, match="Train it first"):
        lay_out(study, "net", made, count=1, side="train")
    shutil.copytree(data, study / "work/learn/net/data")
    run(tmp_path / "out", data, made)
    (study / "models").mkdir(parents=True)
    shutil.copy(tmp_path / "out/net.safetensors", study / "models")

    (first,) = lay_out(study, "net", made, count=1, side="train")
    assert first.parent == study / "annotations/dapi/labels"
    first.write_bytes(b"what a person did")
    (second,) = lay_out(study, "net", made, count=2, side="train")
    assert second != first
    assert not lay_out(study, "net", made, count=2, side="train")
    assert first.read_bytes() == b"what a person did"
    (test,) = lay_out(study, "net", made, count=1, side="test")
    assert test.name.startswith("C.")
    first.unlink()
    (study / f"annotations/dapi/images/{first.name}").unlink()
    (one, two) = read_dataset(study / "annotations/dapi")
    assert {one.example.source, two.example.source} == {"A", "C"}
    original = {item.example.name: item.example for item in read_dataset(data)}
    np.testing.assert_array_equal(one.example.image, original[one.example.name].image)
    with pytest.raises(InputError, match="in the folder itself"):
        lay_out(study, "net", model(), count=1, side="train")


def test_a_teacher_alone_is_not_trusted_to_the_end(data, tmp_path):
    weak = [replace(item, kind="weak") for item in read_dataset(data)]
    write_dataset(data, weak)
    recipe, chosen = train.trusting(Recipe(steps=7, trust=0.5), weak)
    assert (recipe.steps, chosen) == (4, False)
    run(tmp_path / "out", data, model())
    assert pd.read_csv(tmp_path / "out/net.curves.csv").step.max() == 3
    corrected = [replace(weak[0], kind="corrected"), *weak[1:]]
    assert train.trusting(Recipe(steps=7), corrected) == (Recipe(steps=7), True)


def test_perfect_labels_score_one(data):
    items = read_dataset(data)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            "gridwell.learn.measure.predict", lambda _, example, levels: example.labels.copy()
        )
        table = measure_network(None, items, {}, classes=(), teacher=None)
    pooled = table[table.what == "pooled"].iloc[0]
    assert pooled[["aji_plus", "ap_50", "f1", "dice"]].tolist() == [1, 1, 1, 1]


def test_doubtful_objects_are_taken_back():
    labels = np.zeros((80, 80), np.int32)
    for number, at in enumerate(range(5, 65, 12), start=1):
        labels[at : at + 8, 5:13] = number  # squares: solid, all of one size
    labels[5:13, 30:38], labels[5:7, 38:70] = 7, 7  # a square with a long tail
    labels[40:70, 30:60] = 8  # fourteen times as large
    (cleaned,) = doubtful([labels])
    assert set(np.unique(cleaned)) == {-1, 0, 1, 2, 3, 4, 5}
    assert (cleaned[labels > 6] == -1).all()
    assert (cleaned[3:5, 31:37] == -1).all()  # two pixels around
    assert (cleaned[(labels > 0) & (labels < 6)] > 0).all()
    assert doubtful([np.zeros((5, 5), np.int32)])[0].max() == 0


def test_classes_of_channels():
    one = np.array([[1, 1, 0, -1, -1, 0]], np.int32)
    two = np.array([[0, 2, 0, 0, 3, -1]], np.int32)
    assert classes_of([one, two]).tolist() == [[1, 2, 0, -1, 2, -1]]

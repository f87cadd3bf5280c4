"""From slides and corrected labels to a data set."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from gridwell.config.errors import InputError
from gridwell.config.models import LearnModel
from gridwell.images.spots import open_spots
from gridwell.learn.dataset import Item, dataset_hash, read_dataset, read_facts, write_dataset
from gridwell.learn.gather import gather_examples
from gridwell.network.cells import KIND
from gridwell.network.unet import UNet, fold
from gridwell.network.weights import save_network
from torch.nn import BatchNorm2d

from tests.unit.cells.simulate import Scene, draw

SLIDES = ("S1", "S2", "S3", "S4")


@pytest.fixture(scope="module")
def spots(tmp_path_factory) -> dict[str, Path]:
    """Four small slides, the last one without cells."""
    folder = tmp_path_factory.mktemp("slides")
    for seed, slide in enumerate(SLIDES, start=1):
        cells = 0 if slide == "S4" else 30
        draw(Scene(rows=2, cols=3, side=120, cells=cells, seed=seed), folder / slide)
    return {slide: folder / slide for slide in SLIDES}


def model(**options: object) -> LearnModel:
    return LearnModel(**{"channels": ("nuclei",), "crops": 9, **options})


def gather(out: Path, made: LearnModel, spots: dict[str, Path], **more: object) -> list[Item]:
    gather_examples(out, made, **{"spots": spots, "labelled": None, **more})
    return read_dataset(out, instance=made.kind == "instance", classes=9)


def corrected(folder: Path, items: list[Item]) -> Path:
    """Write items as a person leaves them: every second object erased, without an index."""
    changed = []
    for item in items:
        labels = item.example.labels * (item.example.labels % 2)
        example = item.example.__class__(
            item.example.name, item.example.source, item.example.image, labels
        )
        changed.append(Item(example))
    write_dataset(folder, changed)
    (folder / "index.tsv").unlink()
    return folder


def test_a_teacher_labels_spots_of_all_slides(spots, tmp_path):
    items = gather(tmp_path / "data", model(), spots)
    assert Counter(item.example.source for item in items) == {"S1": 3, "S2": 2, "S3": 2, "S4": 2}
    assert Counter(item.kind for item in items) == {"weak": 9}
    assert {item.example.weight for item in items} == {1.0}
    for item in items:
        stack = open_spots(spots[item.example.source])
        index = stack.names.index(item.example.name.rsplit(".")[-1])
        np.testing.assert_array_equal(
            item.example.image[0], stack.read("nuclei", index, index + 1)[0]
        )
        mask = stack.frame.mask(*item.example.image.shape[1:])
        assert (item.example.labels[~mask] != 0).all()  # unlabelled, but for cells on the rim
        assert (item.example.labels[mask] == 0).any()
    found = [item.example.labels.max() for item in items if item.example.source != "S4"]
    assert min(found) > 5
    facts = read_facts(tmp_path / "data")
    assert set(facts.levels) == set(SLIDES)
    assert facts.teacher["method"] == "local"


def test_the_same_slides_give_the_same_bytes(spots, tmp_path):
    for name in ("one", "two"):
        gather(tmp_path / name, model(), spots)
    assert dataset_hash(tmp_path / "one") == dataset_hash(tmp_path / "two")
    gather(tmp_path / "three", model(seed=1), spots)
    assert dataset_hash(tmp_path / "one") != dataset_hash(tmp_path / "three")


def test_one_slide_has_no_test_and_says_so(spots, tmp_path):
    items = gather(tmp_path / "data", model(), {"S1": spots["S1"]})
    assert {item.split for item in items} == {"train"}
    said = " ".join(read_facts(tmp_path / "data").notes)
    assert "No validation" in said
    assert "No test" in said


def test_nothing_to_learn_from(spots, tmp_path):
    with pytest.raises(InputError, match="no object on any of the 6 training images"):
        gather(tmp_path / "data", model(), {"S4": spots["S4"]})


def test_slides_by_name(spots, tmp_path):
    made = model(test_slides=("S2",), validation_slides=("S3",))
    sides = {item.example.source: item.split for item in gather(tmp_path / "d", made, spots)}
    assert sides == {"S1": "train", "S2": "test", "S3": "validation", "S4": "train"}


def test_corrected_labels_decide_where_there_are_some(spots, tmp_path):
    named = {"test_slides": ("S2",), "validation_slides": ("S3",)}
    weak = gather(tmp_path / "weak", model(**named), spots)
    first = {item.example.source: item for item in weak}
    folder = corrected(tmp_path / "nuclei", [first["S1"], first["S2"]])

    taught = gather(tmp_path / "taught", model(**named), spots, labelled=folder)
    kinds = Counter((item.split, item.kind) for item in taught)
    assert kinds[("test", "corrected")] == 1
    assert kinds[("test", "weak")] == 0
    assert kinds[("train", "corrected")] == 0
    # A correction is no reason to train the teacher's student again.
    before, after = (
        {item.example.name for item in items if item.split == "train"} for items in (weak, taught)
    )
    assert before == after
    assert "corrected images of S1 are not used" in " ".join(read_facts(tmp_path / "taught").notes)

    both = gather(tmp_path / "both", model(labels="both", **named), spots, labelled=folder)
    kinds = Counter((item.split, item.kind) for item in both)
    assert kinds[("train", "corrected")] == 1
    assert kinds[("train", "weak")] == sum(item.split == "train" for item in weak) - 1
    weights = {item.kind: item.example.weight for item in both}
    assert weights == {"weak": 0.5, "corrected": 1.0}

    only = gather(
        tmp_path / "only", model(labels="corrected", test_slides=("S2",)), spots, labelled=folder
    )
    assert Counter((item.split, item.kind) for item in only) == {
        ("train", "corrected"): 1,
        ("test", "corrected"): 1,
    }
    assert read_facts(tmp_path / "only").teacher is None


def test_what_was_learned_from_is_never_a_test(spots, tmp_path):
    known = {"S1": "test", "S2": "train", "S3": "train", "S4": "validation"}
    items = gather(tmp_path / "data", model(), spots, known=known)
    assert {item.example.source: item.split for item in items} == known


def test_classes_of_two_channels(spots, tmp_path):
    made = model(kind="semantic", channels=("live", "dead"), suspicious="keep")
    items = gather(tmp_path / "data", made, spots)
    for item in items:
        assert item.example.labels is None
        assert item.example.image.shape[0] == 2
    seen = set(np.unique(np.concatenate([item.example.classes.ravel() for item in items])))
    assert seen == {-1, 0, 1, 2}


def test_a_teacher_chosen_by_measurement(spots, tmp_path):
    gather(tmp_path / "data", model(teacher={"method": "auto"}), spots)
    facts = read_facts(tmp_path / "data")
    assert facts.teacher["method"] not in ("auto", "none")
    assert any("chosen by measurement" in note for note in facts.notes)


def test_a_network_as_teacher(spots, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network = fold(UNet((4, 4, 4, 4), 4, inputs=2, dilations=(1,), fine=True, norm=BatchNorm2d))
    facts = {"kind": KIND, "instance": True, "classes": ["background", "object"]}
    save_network(tmp_path / "models/first.safetensors", network, facts)
    made = model(teacher={"method": "network", "weights": "models/first"}, suspicious="keep")
    try:
        gather(tmp_path / "data", made, spots)
    except InputError as error:  # an untrained network may well find nothing
        assert "nothing to learn" in str(error)

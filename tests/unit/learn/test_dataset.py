"""Data sets on disk: what is written is read, and what is wrong is told in one message each."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from gridwell.config.errors import InputError
from gridwell.learn.dataset import (
    Facts,
    Item,
    dataset_hash,
    read_dataset,
    read_facts,
    sides_of,
    write_dataset,
)
from gridwell.learn.examples import Example


def image(channels: int = 1, size: tuple[int, int] = (20, 30)) -> np.ndarray:
    values = np.random.default_rng(channels).integers(0, 65536, (channels, *size))
    return values.astype(np.float32)


def labels(size: tuple[int, int] = (20, 30)) -> np.ndarray:
    drawn = np.zeros(size, np.int32)
    drawn[2:8, 2:9], drawn[10:15, 12:20], drawn[:, 28:] = 1, 2, -1
    return drawn


def example(name: str, source: str = "S1", channels: int = 1, **more: object) -> Example:
    return Example(name, source, image(channels), labels=labels(), **more)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A data set without mistakes, for tests to spoil."""
    items = [
        Item(example("S1.A1"), "train", "weak"),
        Item(example("S1.A2"), "train", "corrected"),
        Item(example("S2.A1", "S2"), "test", "corrected"),
    ]
    write_dataset(tmp_path / "data", items)
    return tmp_path / "data"


def problems(folder: Path, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        read_dataset(folder, **options)
    assert len(caught.value.problems) == 1, caught.value
    return str(caught.value)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_what_is_written_is_read(tmp_path, channels):
    classes = np.random.default_rng(1).integers(-1, 3, (20, 30)).astype(np.int16)
    one = example("S1.A1", channels=channels, classes=classes, weight=0.5)
    facts = Facts({"S1": [(1.0, 2.0)] * channels}, ["A note."], {"method": "otsu"})
    write_dataset(tmp_path / "data", [Item(one, "validation", "phantom")], facts=facts)
    (item,) = read_dataset(tmp_path / "data", instance=False, classes=3)
    assert (item.split, item.kind) == ("validation", "phantom")
    found = item.example
    assert (found.name, found.source, found.weight) == ("S1.A1", "S1", 0.5)
    for key in ("image", "labels", "classes"):
        np.testing.assert_array_equal(getattr(found, key), getattr(one, key))
        assert getattr(found, key).dtype == getattr(one, key).dtype
    assert read_facts(tmp_path / "data") == facts


def test_same_examples_same_bytes(folder, tmp_path):
    write_dataset(tmp_path / "again", read_dataset(folder))
    assert dataset_hash(tmp_path / "again") == dataset_hash(folder)
    (folder / ".snakemake_timestamp").touch()
    assert dataset_hash(tmp_path / "again") == dataset_hash(folder)


def test_grey_values_that_a_file_cannot_hold_are_a_bug(tmp_path):
    odd = Example("a", "a", np.full((1, 4, 4), 0.5, np.float32), np.zeros((4, 4), np.int32))
    with pytest.raises(ValueError, match="whole numbers"):
        write_dataset(tmp_path / "data", [Item(odd)])
    assert not (tmp_path / "data").exists()


def test_a_folder_made_by_hand_needs_no_index(tmp_path):
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    drawn = np.where(labels() < 0, 65535, labels())
    for name in ("plate 1.A1", "plate 1.A2", "other"):
        cv2.imwrite(str(tmp_path / f"images/{name}.png"), image()[0].astype(np.uint16))
        tifffile.imwrite(tmp_path / f"labels/{name}.tif", drawn.astype(np.int32)[None])
    items = read_dataset(tmp_path)
    assert [item.example.source for item in items] == ["other", "plate 1", "plate 1"]
    assert {item.kind for item in items} == {"corrected"}
    assert {item.split for item in items} == {None}
    tifffile.imwrite(tmp_path / "labels/other.tif", drawn.astype(np.uint16))
    np.testing.assert_array_equal(read_dataset(tmp_path)[0].example.labels, labels())


def test_nothing_there(tmp_path):
    assert "holds no images" in problems(tmp_path / "nowhere")


def test_partners_are_missing(folder):
    (folder / "labels/S1.A1.tif").rename(folder / "labels/S1.B1.tif")
    with pytest.raises(InputError) as caught:
        read_dataset(folder)
    said = sorted(map(str, caught.value.problems))
    assert "images/S1.A1.tif: has no labels" in said[0]
    assert "labels/S1.B1.tif: is of no image" in said[1]
    assert len(said) == 2


def test_sizes_differ(folder):
    tifffile.imwrite(folder / "labels/S1.A1.tif", np.zeros((30, 20), np.uint16))
    said = problems(folder)
    assert "labels/S1.A1.tif: is 20 x 30 pixels large, its image 30 x 20" in said


def test_channels_differ(folder):
    two = image(2).astype(np.uint16)
    tifffile.imwrite(folder / "images/S1.A2.tif", two, photometric="minisblack")
    assert "S1.A2.tif: has 2 channels, S1.A1.tif has 1" in problems(folder)


def test_labels_with_decimals(folder):
    tifffile.imwrite(folder / "labels/S1.A1.tif", np.zeros((20, 30), np.float32))
    assert "decimals" in problems(folder)


def test_nothing_is_labelled(folder):
    tifffile.imwrite(folder / "labels/S1.A1.tif", np.full((20, 30), 65535, np.uint16))
    assert "labels/S1.A1.tif: labels nothing" in problems(folder)


def test_an_empty_image_is_no_mistake(folder):
    tifffile.imwrite(folder / "labels/S1.A1.tif", np.zeros((20, 30), np.uint16))
    assert len(read_dataset(folder)) == 3


def test_classes_beyond_those_named(tmp_path):
    classes = np.full((20, 30), 3, np.int16)
    write_dataset(tmp_path / "d", [Item(Example("a", "a", image(), classes=classes))])
    assert "classes/a.tif: has classes beyond the 3" in problems(
        tmp_path / "d", instance=False, classes=3
    )


def test_colour_pictures_are_refused(folder):
    cv2.imwrite(str(folder / "images/S1.A1.png"), np.zeros((20, 30, 3), np.uint8))
    (folder / "images/S1.A1.tif").unlink()
    assert "is a colour image" in problems(folder)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("S1.A1\tS1", "S1.A9\tS1", "name: is of no image"),
        ("S1.A2\tS1\ttrain", "S1.A1\tS1\ttrain", "name: stands twice"),
        ("S1.A1\tS1\ttrain", "S1.A1\tS1\ttrian", "Did you mean 'train'?"),
        ("weak\t1", "weak\tmuch", "weight: is no number"),
        ("weak\t1", "strong\t1", "kind: is not one of the values"),
    ],
)
def test_mistakes_in_the_index(folder, before, after, said):
    path = folder / "index.tsv"
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(InputError) as caught:
        read_dataset(folder)
    assert said in str(caught.value)


def test_a_source_on_both_sides(folder):
    path = folder / "index.tsv"
    path.write_text(path.read_text().replace("S1.A2\tS1\ttrain", "S1.A2\tS1\ttest"))
    said = problems(folder)
    assert "images of the same source under train and test (found 'S1')" in said


def test_sides_of_earlier_trainings(folder, tmp_path):
    assert sides_of([folder]) == {"S1": "train", "S2": "test"}
    write_dataset(tmp_path / "other", [Item(example("S2.A1", "S2"), "train")])
    assert sides_of([folder, tmp_path / "other"]) == {"S1": "train", "S2": "train"}
    assert sides_of([]) == {}

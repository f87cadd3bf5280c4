"""The choice of a method: by agreement, by truth, the same every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gridwell.cells.instances import segment_channel
from gridwell.config.errors import InputError
from gridwell.config.models import SegmentMethod, SegmentOptions
from gridwell.images.labels import open_labels
from gridwell.segment.auto import Sample, choose, conventional_candidates
from gridwell.segment.methods import settled

from tests.unit.cells.simulate import Scene, draw
from tests.unit.segment.test_conventional import DISCS, scene


def discs(shift: int = 0, count: int = 4) -> np.ndarray:
    labels = np.zeros((60, 60), np.uint32)
    for number in range(count):
        labels[4 + 14 * number : 12 + 14 * number, 10 + shift : 18 + shift] = number + 1
    return labels


SAMPLE = Sample(np.zeros((60, 60), np.uint16))


def test_the_odd_one_out_is_not_chosen() -> None:
    candidates = {
        "odd": lambda sample, factor: discs(20),
        "one": lambda sample, factor: discs(),
        "other": lambda sample, factor: discs(1),
    }
    choice = choose([SAMPLE], candidates)
    assert choice.method == "one"
    assert choice.scores["odd"]["agreement"] == 0
    assert "one agrees best with the others" in choice.reason
    assert len(choice.pairs) == 3
    assert "stability" in choice.table()


def test_an_unstable_method_is_not_chosen() -> None:
    candidates = {
        "shaky": lambda sample, factor: discs() if factor == 1 else discs(20),
        "firm": lambda sample, factor: discs(1),
        "third": lambda sample, factor: discs(2),
    }
    assert choose([SAMPLE], candidates).method == "firm"


def test_a_tie_goes_to_the_first() -> None:
    same = {name: lambda sample, factor: discs() for name in ("b", "a")}
    assert choose([SAMPLE], same).method == "b"


def test_the_truth_decides_where_there_is_one() -> None:
    candidates = {
        "odd": lambda sample, factor: discs(20),
        "one": lambda sample, factor: discs(),
        "other": lambda sample, factor: discs(),
    }
    choice = choose([Sample(SAMPLE.image, truth=discs(20))], candidates)
    assert choice.method == "odd"
    assert "corrected labels" in choice.reason


def test_samples_without_objects_tell_nothing() -> None:
    empty = {name: lambda sample, factor: discs(count=0) for name in ("a", "b")}
    choice = choose([SAMPLE], empty)
    assert choice.method == "a"
    assert "no method finds an object" in choice.reason


def test_settings_with_auto_get_a_method(capsys: pytest.CaptureFixture[str]) -> None:
    method = SegmentMethod(method="auto", sigma=1.5)
    got, facts = settled(method, lambda: [Sample(scene(DISCS))])
    assert got.method in conventional_candidates(method)
    assert got.sigma == 1.5
    assert facts["auto"]["method"] == got.method
    assert "stability" in capsys.readouterr().out
    assert settled(got, list) == (got, {})


def test_methods_that_cannot_work_are_refused_with_the_list() -> None:
    with pytest.raises(InputError, match="difference_of_gaussians, local, none, otsu"):
        settled(SegmentMethod(method="network"), list)


def test_the_choice_is_kept_with_the_labels(tmp_path: Path) -> None:
    draw(Scene(rows=2, cols=3, cells=25), tmp_path / "spots.zarr")
    options = SegmentOptions(default=SegmentMethod(method="auto"))
    segment_channel(
        tmp_path / "spots.zarr",
        "nuclei",
        labels_out=tmp_path / "nuclei.zarr",
        instances_out=tmp_path / "nuclei.parquet",
        options=options,
        threads=1,
        gpu="forbid",
    )
    labels = open_labels(tmp_path / "nuclei.zarr")
    facts = labels.attributes["auto"]
    assert facts["method"] in facts["scores"]
    assert facts["method"] in facts["reason"]
    assert 0 < facts["scores"][facts["method"]]["score"] <= 1
    assert labels.read(0, 1).max() > 15

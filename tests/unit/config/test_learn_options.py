"""Mistakes in what networks shall learn from, told before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from gridwell.config.carriers import resources
from gridwell.config.errors import InputError
from gridwell.config.models import Config, LearnModel
from gridwell.config.study import load_study
from gridwell.config.weights import own_model, weights_of


def learn(root: Path, **models: object) -> Config:
    return load_study(root, {"learn": models}).config


def problem(root: Path, **models: object) -> str:
    with pytest.raises(InputError) as caught:
        learn(root, **models)
    assert len(caught.value.problems) == 1, caught.value
    return str(caught.value)


def test_a_teacher_is_conventional_whatever_segmentation_is(root):
    model = learn(root, net={"channels": ["hoechst"], "teacher": {"sigma": 2}}).learn["net"]
    assert (model.teacher.method, model.teacher.sigma) == ("local", 2.0)
    assert (model.kind, model.labels) == ("instance", "teacher")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "learn.net.channels: is missing"),
        ({"channels": "hoechst"}, "learn.net.channels: is not a list"),
        ({"channels": ["hoekst"]}, "Did you mean 'hoechst'?"),
        ({"channels": ["hoechst", "dapi"]}, "are on no slide together"),
        ({"channels": ["hoechst"], "slides": ["S02"]}, "does not have the channels"),
        ({"channels": ["hoechst"], "slides": ["S09"]}, "is no slide of config/slides.tsv"),
        (
            {"channels": ["hoechst"], "slides": ["S01"], "test_slides": ["S02"]},
            "names a slide that slides does not",
        ),
        (
            {"channels": ["hoechst"], "test_slides": ["S01"], "validation_slides": ["S01"]},
            "names slides of validation_slides",
        ),
        ({"channels": ["hoechst"], "teacher": {"method": "none"}}, "teaches nothing"),
        (
            {"channels": ["hoechst"], "teacher": {"method": "network"}},
            "teacher.weights: is missing",
        ),
        ({"channels": ["hoechst"], "folder": "x"}, "does not go with labels: teacher"),
        ({"labels": "folder"}, "learn.net.folder: is missing"),
        ({"labels": "folder", "folder": "x", "channels": ["hoechst"]}, "learn.net.channels: does"),
        ({"channels": ["hoechst"], "classes": ["a", "b"]}, "does not go with kind: instance"),
        (
            {"channels": ["hoechst"], "kind": "semantic", "classes": ["a", "b", "c"]},
            "does not fit the channels",
        ),
        ({"labels": "folder", "folder": "x", "kind": "semantic"}, "learn.net.classes: is missing"),
        ({"channels": ["hoechst"], "start": "models/net"}, "leads back to itself"),
        ({"channels": ["hoechst"], "start": "models/other"}, "is no known network"),
        ({"channels": ["hoechst"], "start": "nucleii"}, "is no known network"),
        ({"channels": ["hoechst"], "start": "x.safetensors", "pretrain": "live"}, "one of the two"),
        ({"channels": ["hoechst"], "stepps": 3}, "learn.net.stepps: is no known option"),
    ],
)
def test_mistakes_are_named_with_their_place(root, options, said):
    assert said in problem(root, net=options)


def test_names_fit_into_file_names(root):
    assert "cannot be used as a name" in problem(root, **{"../x": {"channels": ["hoechst"]}})


def test_a_circle_of_networks_is_told(root):
    one = {"channels": ["hoechst"], "start": "models/two"}
    two = {"channels": ["hoechst"], "start": "models/one"}
    with pytest.raises(InputError, match="leads back to itself"):
        learn(root, one=one, two=two)


def test_where_weights_are(tmp_path):
    models = {"mine": LearnModel()}
    assert own_model("models/mine", models) == own_model("models/mine.safetensors", models)
    assert own_model("models/mine", models) == "mine"
    assert own_model("mine", models) is own_model(None, models) is None
    assert weights_of("models/mine", tmp_path) == tmp_path / "models/mine.safetensors"
    assert weights_of("x/y.safetensors", tmp_path) == tmp_path / "x/y.safetensors"
    shipped = resources() / "models/grid-elements.safetensors"
    assert weights_of("grid-elements", tmp_path) == shipped

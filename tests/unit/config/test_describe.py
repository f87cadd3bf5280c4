"""What is made from the models: up to date, and true."""

from __future__ import annotations

import json
import re

import jsonschema
import pytest
import yaml
from gridwell.config import describe
from gridwell.config.carriers import carrier_names, load_carrier
from gridwell.config.columns import COLUMNS, column_names, feature_names, measured_columns
from gridwell.config.errors import InputError
from gridwell.config.explain import option_paths
from gridwell.config.layouts import read_layout
from gridwell.config.models import Carrier, Channel, Config, GridOverride, LayoutRow, Slide
from gridwell.config.study import load_study
from gridwell.config.yamls import read_yaml


@pytest.mark.parametrize("name", describe.files())
def test_committed_files_are_up_to_date(repository, name):
    path = repository / name
    assert path.is_file(), "run: make docs"
    assert path.read_text(encoding="utf-8") == describe.files()[name], "run: make docs"


def test_nothing_else_is_committed_beside_them(repository):
    made = {name for name in describe.files() if name.startswith("config/")}
    there = {
        str(path.relative_to(repository))
        for path in (repository / "config").rglob("*")
        if path.is_file()
    }
    assert there == made


def test_write_all(tmp_path):
    describe.write_all(tmp_path)
    for name, text in describe.files().items():
        assert (tmp_path / name).read_text(encoding="utf-8") == text


def test_template_is_the_defaults(tmp_path):
    describe.write_all(tmp_path)
    with pytest.raises(InputError) as caught:
        load_study(tmp_path)
    # A new study only lacks its slides.
    assert [problem.reason for problem in caught.value.problems] == [
        "lists no slide",
        "lists no channel",
    ]
    (tmp_path / "config/slides.tsv").open("a").write("S1\tobjects\t\texample.csv\n")
    (tmp_path / "config/channels.tsv").open("a").write("S1\tdapi\tnuclei\tx.tif\n")
    study = load_study(tmp_path)
    assert study.config == Config()
    assert study.config.model_dump() == Config().model_dump()
    assert len(study.layouts["example.csv"]) == 15


def test_other_yaml_readers_see_the_same_template():
    values = yaml.safe_load(describe.config_yaml())
    values["segment"]["channels"] = values["learn"] = {}
    assert Config.model_validate(values) == Config()


def test_template_names_every_option_and_explains_it():
    text = describe.config_yaml()
    plain = " ".join(text.replace("#", " ").split())
    for path in option_paths(Config):
        assert re.search(rf"^ *{path.split('.')[-1]}:", text, flags=re.MULTILINE), path
    for section in (Config, *(type(getattr(Config(), name)) for name in Config.model_fields)):
        for field in getattr(section, "model_fields", {}).values():
            if field.description:
                assert " ".join(field.description.split()) in plain
    assert max(map(len, text.splitlines())) <= 100


def test_pages_name_every_option_and_column():
    text = describe.options_md()
    for path in option_paths(Config):
        assert f"`{path}`" in text
    for model in (Slide, Channel, LayoutRow, Carrier, GridOverride):
        for name, field in model.model_fields.items():
            assert f"| `{name}` |" in text
            assert field.description
    assert all(f"`{name}`" in text for name in carrier_names())
    columns = describe.columns_md()
    for table in COLUMNS.values():
        assert all(f"`{name}`" in columns and meaning for name, meaning in table.items())


def test_tables_of_the_pages_are_whole():
    for text in (describe.options_md(), describe.columns_md()):
        for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
            bars = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
            assert len(bars) == 1, block


def test_schemas_are_schemas():
    for schema in describe.schemas().values():
        jsonschema.Draft202012Validator.check_schema(schema)


def valid(name, value):
    schema = describe.schemas()[name]
    return jsonschema.Draft202012Validator(schema).is_valid(value)


def test_schemas_take_what_is_right_and_refuse_what_is_not(tmp_path):
    assert valid("config", Config().model_dump(mode="json"))
    assert valid("config", {})
    path = tmp_path / "config.yaml"
    path.write_text(describe.config_yaml())
    assert valid("config", read_yaml(path, "config.yaml").options)
    assert not valid("config", {"grids": {}})
    assert not valid("config", {"grid": {"rows": 0}})
    assert not valid("config", {"segment": {"channels": {"gfp": {"sigm": 1}}}})
    assert valid("slides", {"slide": "S01", "assay": "objects"})
    assert not valid("slides", {"slide": "S 01", "assay": "objects"})
    assert not valid("slides", {"slide": "S01", "assay": "object"})
    assert valid(
        "channels", {"slide": "S01", "channel": "n", "role": "nuclei", "path": "a", "index": 0}
    )
    assert not valid("channels", {"slide": "S01", "channel": "n", "role": "nuclei"})
    assert valid("layout", {"spot": "A1", "agent": "x", "concentration": 1, "unit": "uM"})
    assert valid("layout", {"row": "A", "col": 1, "role": "blank"})
    assert not valid("layout", {"row": "A", "role": "blank"})
    assert not valid("layout", {"spot": "A1", "concentration": -1})
    assert valid("override", {"rows": 3, "corners": {"A1": [1, 2]}})
    assert not valid("override", {"pitch": [0, 1]})
    for carrier in carrier_names():
        assert valid("carrier", load_carrier(carrier).model_dump(mode="json"))


def test_schemas_are_written_as_json(repository):
    for name in describe.schemas():
        text = (repository / f"config/schemas/{name}.schema.json").read_text(encoding="utf-8")
        assert json.loads(text)["$schema"].endswith("2020-12/schema")


def test_example_layout(repository):
    table = read_layout(repository / "config/layouts/example.csv")
    assert set(table["role"]) == {"sample", "neg_ctrl", "pos_ctrl", "empty"}
    assert table["spot"].duplicated().sum() == 1  # the combination


def test_what_can_be_screened():
    assert "viability" in measured_columns("viability")
    assert "flags" not in measured_columns("viability")
    assert measured_columns("colorimetry") == ["red", "green", "blue", "metric", "value"]
    assert {"area", "mean"} <= set(feature_names())
    with pytest.raises(KeyError):
        column_names("nothing.csv")

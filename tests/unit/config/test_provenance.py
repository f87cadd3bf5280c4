"""What a result says of its own making: written beside or into it, and read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from gridwell.config.errors import InputError
from gridwell.config.files import write_csv, write_json, write_parquet
from gridwell.config.provenance import (
    made,
    of_slide,
    read_provenance,
    settings_hash,
    side_file,
    with_inputs,
)
from gridwell.report.page import Charts, write_page
from hypothesis import given
from hypothesis import strategies as st

RAW = {"s01 µ.ome.tif": "ab" * 32, "</script><b>&.tif": "cd" * 32}
TABLE = pd.DataFrame(
    {"spot": ["A1", "A2"], "n": [3, 4], "mean": [0.5, float("nan")], "flags": ["", None]}
)


@pytest.fixture
def own() -> dict[str, Any]:
    """Provenance of a table of one slide."""
    code = {"commit": "1" * 40, "hash": "2" * 64}
    settings = {"segment": {"ring": 5.0}, "channels": ["dapi"]}
    return of_slide(made(code, settings, {"grid-elements": "3" * 64}), "S01", RAW)


def test_the_fields_and_their_order(own: dict[str, Any]) -> None:
    assert own == {
        "format": "gridwell-provenance/1",
        "slides": {"S01": {"raw": RAW}},
        "code": {"commit": "1" * 40, "hash": "2" * 64},
        "models": {"grid-elements": "3" * 64},
        "config": settings_hash({"channels": ["dapi"], "segment": {"ring": 5.0}}),
        "device": [],
    }
    assert list(own) == ["format", "slides", "code", "models", "config", "device"]


def test_parquet_says_it_in_its_schema(own: dict[str, Any], tmp_path: Path) -> None:
    write_parquet(tmp_path / "said.parquet", TABLE, own)
    write_parquet(tmp_path / "plain.parquet", TABLE)
    assert read_provenance(tmp_path / "said.parquet") == own
    found = pd.read_parquet(tmp_path / "said.parquet")
    pd.testing.assert_frame_equal(found, pd.read_parquet(tmp_path / "plain.parquet"))
    pd.testing.assert_frame_equal(found, TABLE)


def test_csv_says_it_in_a_file_beside_it(own: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "spots.csv"
    write_csv(path, TABLE, own)
    assert side_file(path) == tmp_path / "spots.csv.provenance.json"
    assert read_provenance(path) == read_provenance(side_file(path)) == own
    write_csv(tmp_path / "plain.csv", TABLE)
    assert path.read_bytes() == (tmp_path / "plain.csv").read_bytes()


def test_one_file_speaks_for_all_tables_of_a_folder(own: dict[str, Any], tmp_path: Path) -> None:
    write_json(tmp_path / "provenance.json", {**own, "device": ["cpu"]})
    write_csv(tmp_path / "curves.csv", TABLE)
    assert read_provenance(tmp_path / "curves.csv")["device"] == ["cpu"]
    write_csv(tmp_path / "spots.csv", TABLE, own)  # its own goes before that of the folder
    assert read_provenance(tmp_path / "spots.csv")["device"] == []
    with pytest.raises(InputError, match=r"there is no gone\.csv"):
        read_provenance(tmp_path / "gone.csv")


def write_report(out: Path, provenance: dict[str, Any] | None) -> Path:
    write_page(out, "base.html.j2", Charts(), provenance=provenance)
    return out


def test_a_report_says_it_in_a_script(own: dict[str, Any], tmp_path: Path) -> None:
    assert read_provenance(write_report(tmp_path / "report.html", own)) == own
    assert "</script><b>" not in (tmp_path / "report.html").read_text()


def test_the_same_provenance_gives_the_same_bytes(own: dict[str, Any], tmp_path: Path) -> None:
    again = json.loads(json.dumps(own))
    for writer, name in ((write_parquet, "a.parquet"), (write_csv, "a.csv")):
        for folder, said in (("one", own), ("two", again), ("other", {**own, "device": ["cpu"]})):
            (tmp_path / folder).mkdir(exist_ok=True)
            writer(tmp_path / folder / name, TABLE, said)
    for folder, said in (("one", own), ("two", again), ("other", {**own, "device": ["cpu"]})):
        write_report(tmp_path / folder / "report.html", said)
    names = ["a.csv", "a.csv.provenance.json", "a.parquet", "report.html"]
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == names
    for name in names:
        one, two, other = (
            (tmp_path / folder / name).read_bytes() for folder in ("one", "two", "other")
        )
        assert one == two
        assert (one == other) == (name == "a.csv")


def test_inputs_add_their_images_networks_and_devices(own: dict[str, Any]) -> None:
    code = {"commit": None, "hash": "4" * 64}
    nuclei = {**of_slide(made({}, {}, {"nuclei": "5"}), "S02", {"b.tif": "6"}), "device": ["cpu"]}
    cells = {
        **of_slide(made({}, {}, {"cells": "7"}), "S01", RAW),
        "device": ["NVIDIA H100", "cpu"],
    }
    before = json.dumps([own, nuclei, cells])
    screen = made(code, {"screen": {}}, {"own": "8"})
    whole = with_inputs(screen, iter([own, nuclei, cells]))
    assert whole == {
        **screen,
        "slides": {"S01": {"raw": RAW}, "S02": {"raw": {"b.tif": "6"}}},
        "models": {"cells": "7", "grid-elements": "3" * 64, "nuclei": "5", "own": "8"},
        "device": ["NVIDIA H100", "cpu"],
    }
    assert list(whole["models"]) == sorted(whole["models"])
    assert list(whole) == list(own)
    assert json.dumps([own, nuclei, cells]) == before
    assert screen == made(code, {"screen": {}}, {"own": "8"})
    assert with_inputs(screen, []) == screen


def test_a_result_that_says_nothing(tmp_path: Path) -> None:
    write_parquet(tmp_path / "plain.parquet", TABLE)
    write_csv(tmp_path / "plain.csv", TABLE)
    write_report(tmp_path / "plain.html", None)
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")
    (tmp_path / "latin.json").write_bytes(b"\xff\xfe\xfa")
    for name, text in (("list.json", "[]"), ("text.json", '"x"'), ("cut.json", "{"), ("e", "")):
        (tmp_path / name).write_text(text)
    (tmp_path / "none.json").write_text('{"slides": {}}')
    (tmp_path / "later.json").write_text('{"format": "gridwell-provenance/9"}')
    (tmp_path / "folder.html").mkdir()
    gone = ["gone.csv", "gone.parquet", "gone.html", "gone.json"]
    for name in [*(path.name for path in tmp_path.iterdir()), *gone]:
        with pytest.raises(InputError) as caught:
            read_provenance(tmp_path / name)
        (problem,) = caught.value.problems
        assert problem.file == str(tmp_path / name)
        assert "that a run of gridwell wrote" in problem.remedy
        expected = "says of its making what this version does not know (gridwell-provenance/9)"
        if name != "later.json":
            expected = "does not say what it was made from"
            if name in gone:
                expected += f": there is no {name}"
            elif name == "plain.csv":
                expected += ": there is no provenance.json"
        assert problem.reason == expected, name


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=4),
    max_leaves=12,
)


def turned(value: Any) -> Any:
    """The same data, keys of all mappings in the opposite order."""
    if isinstance(value, dict):
        return {key: turned(value[key]) for key in reversed(list(value))}
    return [turned(item) for item in value] if isinstance(value, list) else value


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_the_order_of_keys_does_not_matter(settings: dict[str, Any]) -> None:
    assert settings_hash(turned(settings)) == settings_hash(settings)
    assert settings_hash({**settings, "more": 1}) != settings_hash({**settings, "more": 2})


def test_the_order_of_values_matters() -> None:
    assert settings_hash({"channels": ["a", "b"]}) != settings_hash({"channels": ["b", "a"]})
    with pytest.raises(ValueError, match="not JSON compliant"):
        settings_hash({"ring": float("nan")})

"""The page as a container: nothing from outside, no text of a user that runs, same bytes."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest
from gridwell.report.page import Charts, draw, embed_json
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.report.conftest import write_slide_report
from tests.unit.report.fake import HOSTILE, FakeSlide
from tests.unit.report.html import Page


@given(st.recursive(st.text() | st.integers() | st.none(), lambda x: st.lists(x, max_size=3)))
def test_embedded_json_cannot_end_its_script_and_is_read_back(value: object) -> None:
    written = str(embed_json(value))
    assert not set("<>&\u2028\u2029") & set(written)
    assert json.loads(written) == value


@pytest.fixture(params=["slide_report", "screen_report"])
def page(request: pytest.FixtureRequest) -> Page:
    return Page(request.getfixturevalue(request.param))


def test_strings_of_users_are_text_wherever_they_stand(page: Page) -> None:
    assert not [a for _, a in page.elements if "evil" in (a.get("class") or "").split()]
    assert HOSTILE in page.text
    rows = [row for table in page.embedded()["datasets"].values() for row in table]
    assert any(HOSTILE in str(value) for row in rows for value in row.values())
    assert any(HOSTILE in (image.get("alt") or "") for image in page.all("img"))


def test_the_page_asks_for_nothing(page: Page) -> None:
    policy = page.all("meta")[1]["content"] or ""
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    assert "http" not in policy
    for tag, attributes in page.elements:
        for name in ("src", "srcset", "poster", "data", "action"):
            assert (attributes.get(name) or "data:").startswith("data:"), (tag, attributes)
        assert not (attributes.get("href") or "").startswith(("http", "//", "javascript"))
        assert not [name for name in attributes if name.startswith("on")]
        assert "style" not in attributes
    assert not page.all("link") or all(a["href"] == "data:," for a in page.all("link"))


def test_the_policy_names_the_hash_of_each_script_and_style(page: Page) -> None:
    policy = page.all("meta")[1]["content"] or ""
    data = ('{"charts"', '{"width"')
    ours = [text for text in page.scripts if not text.startswith(data)]
    assert len(ours) == 3
    for text in ours:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_every_picture_has_words_and_every_id_is_unique(page: Page) -> None:
    assert all("alt" in image for image in page.all("img"))
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    inner = {a["href"] for a in page.all("a") if (a.get("href") or "").startswith("#")}
    assert {link.removeprefix("#") for link in inner if link} <= set(ids)


def test_vega_is_embedded_once(page: Page) -> None:
    assert sum("vegaEmbed=" in text.replace(" ", "") for text in page.scripts) == 1
    assert len(page.embedded()["charts"]) == len(
        [a for a in page.all("figure") if "data-chart" in a]
    )


def test_same_results_give_the_same_bytes(
    viability: FakeSlide, slide_report: Path, tmp_path: Path
) -> None:
    again = write_slide_report(viability, tmp_path / "again.html")
    assert again.read_bytes() == slide_report.read_bytes()
    assert not re.search(r"\b20\d\d-\d\d-\d\d\b", again.read_text().split("<script>")[0])


def test_a_drawing_does_not_depend_on_what_was_drawn_before() -> None:
    charts = Charts()
    name = charts.data([{"a": 1.0, "b": 2.0}, {"a": 2.0, "b": float("nan")}])
    assert charts.datasets[name][1] == {"a": 2.0, "b": None}
    spec = {
        "data": {"name": name},
        "datasets": charts.datasets,
        "mark": {"type": "rect", "clip": True},
        "encoding": {
            "x": {"field": "a", "type": "quantitative"},
            "color": {"field": "b", "type": "quantitative"},
        },
    }
    first, second = draw(spec), draw(spec)
    assert first == second
    assert "url(#g" in first
    assert 'id="g0"' in first

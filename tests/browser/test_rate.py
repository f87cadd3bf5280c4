"""The page for blind ratings: used by keyboard, mouse and thumb; what it saves and tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from gridwell.learn.rating import compare_ratings, read_ratings
from gridwell.report.rate import write_rating_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

HOSTILE = "</script><b class=evil>=1+1"


def pages(folder: Path, images: int) -> Path:
    rng = np.random.default_rng(0)
    for index in range(images):
        labels = np.zeros((48, 64), np.uint16)
        labels[10:20, 10:30], labels[25:40, 35:50] = 1, 2
        noise = rng.integers(0, 60, labels.shape) + 120 * (labels > 0)
        for name, image in (
            ("images", noise.astype(np.uint8)),
            ("one", labels),
            ("two", np.roll(labels, 3)),
        ):
            (folder / name).mkdir(exist_ok=True)
            tifffile.imwrite(folder / name / f"field-{index}.tif", image)
    out = folder / "rate.html"
    both = folder / "one", folder / "two"
    write_rating_page(folder / "images", both, out, names=("plain", HOSTILE))
    return out


@pytest.fixture(scope="module")
def rate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pages(tmp_path_factory.mktemp("rate"), 4)


def visit(browser: Any, page: Path, **how: Any) -> Any:
    opened = browser.new_page(**how)
    opened.said = []
    opened.on("console", lambda message: opened.said.append(message.text))
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    opened.on("request", lambda request: opened.said.append(request.url[:40]))
    opened.goto(page.as_uri())
    opened.wait_for_selector("html[data-ready=yes]", state="attached")
    return opened


def begin(page: Any, rater: str) -> None:
    page.fill("#rater", rater)
    page.keyboard.press("Enter")


def saved(page: Any, path: Path) -> pd.DataFrame:
    with page.expect_download() as waiting:
        page.click("#save")
    waiting.value.save_as(path)
    return read_ratings([path])


def test_rated_by_keyboard_saved_and_told(browser: Any, rate: Path, tmp_path: Path) -> None:
    page = visit(browser, rate, viewport={"width": 1280, "height": 900})
    begin(page, "B, R")
    given = [(7, 2), (10, 3), (9, 9), (8, 1)]
    for left, right in given:
        assert page.locator("#next").is_disabled()
        page.keyboard.press(str(left % 10))
        page.keyboard.press(str(right % 10))
        page.keyboard.press("Enter")
    ratings = saved(page, tmp_path / "ratings.csv")
    assert set(ratings.rater) == {"B, R"}
    assert sorted(ratings.image.unique()) == [f"field-{index}" for index in range(4)]
    order = ratings.sort_values(["order", "side"]).score.tolist()
    assert order == [score for pair in given for score in pair]
    # Each method is on the left on half of the images.
    assert ratings[ratings.side == "left"].method.value_counts().tolist() == [2, 2]
    told = page.inner_text("#result")
    (row,) = compare_ratings(ratings).to_dict("records")
    assert f"{row['mean_first']:.1f}" in told
    assert f"distance {row['ks']:.2f}" in told
    assert float(told.split("p = ")[1].rstrip(".")) == pytest.approx(row["p"], rel=0.01)
    asked = [text for text in page.said if not text.startswith(("data:", "blob:"))]
    assert len(asked) == 1, asked
    assert asked[0].startswith("file:")
    assert page.locator(".evil").count() == 0


def test_order_is_hidden_until_the_end(browser: Any, rate: Path) -> None:
    page = visit(browser, rate)
    begin(page, "x")
    for name in ("plain", "field-"):
        assert name not in page.content()


def test_tiny_chances_are_exact(browser: Any, tmp_path: Path) -> None:
    page = visit(browser, pages(tmp_path, 20))
    begin(page, "x")
    # The better one is known by its outlines: it is drawn on the picture of the first folder.
    sides = page.evaluate(
        """() => JSON.parse(document.getElementById("embedded").textContent).cards
        .map((card) => JSON.parse(atob([...card.secret].reverse().join("")))[1] === "plain")"""
    )
    for plain_is_left in sides:
        for key in ("9", "2") if plain_is_left else ("2", "9"):
            page.keyboard.press(key)
        page.keyboard.press("Enter")
    assert "p = 1.45e-11" in page.inner_text("#result")


def test_mouse_going_back_and_coming_again(browser: Any, rate: Path) -> None:
    page = visit(browser, rate)
    begin(page, "again")
    page.click("#right [data-score='4']")
    page.click("#left [data-score='10']")
    assert page.locator("[aria-checked=true]").all_inner_texts() == ["10", "4"]
    page.click("#next")
    page.keyboard.press("Backspace")
    assert page.locator("[aria-checked=true]").all_inner_texts() == ["10", "4"]
    page.keyboard.press("o")
    assert page.locator("#left .lines").is_hidden()
    page.reload()
    begin(page, "again")
    assert page.inner_text("#place").startswith("Image 2 of 4, 3 to rate")


def test_a_phone_shows_one_above_the_other(browser: Any, rate: Path) -> None:
    page = visit(browser, rate, viewport={"width": 360, "height": 700})
    begin(page, "x")
    left, right = (page.locator(f"#{side}").bounding_box() for side in ("left", "right"))
    assert right["y"] >= left["y"] + left["height"]
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.locator("#left [data-score='1']").bounding_box()["height"] >= 44

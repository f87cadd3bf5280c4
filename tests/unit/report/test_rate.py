"""The page for blind ratings: what goes into it and what is refused."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pytest
import tifffile
from gridwell.config.errors import InputError
from gridwell.report.rate import write_rating_page


@pytest.fixture
def folders(tmp_path):
    for index in range(9):
        labels = np.zeros((20, 30), np.uint32)
        labels[5:10, 5:15] = 1
        for name, image in (
            ("images", labels.astype(np.uint16) * 500),
            ("a", labels),
            ("b", np.roll(labels, index + 1, axis=0)),
        ):
            (tmp_path / name).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / name / f"{index}.tif", image)
    return tmp_path


def write(folder, **options):
    out = folder / "page.html"
    count = write_rating_page(folder / "images", (folder / "a", folder / "b"), out, **options)
    html = out.read_text()
    data = json.loads(re.search(r'id="embedded">(.*?)</script>', html, re.DOTALL)[1])
    order = [json.loads(base64.b64decode(card["secret"][::-1])) for card in data["cards"]]
    return count, order, html


def test_all_images_once_in_an_order_that_the_seed_decides(folders):
    count, order, html = write(folders)
    assert count == 9
    assert sorted(name for name, *_ in order) == [str(i) for i in range(9)]
    assert [name for name, *_ in order] != sorted(name for name, *_ in order)
    left = [sides[0] for _, *sides in order]
    assert {left.count("A"), left.count("B")} == {4, 5}
    assert all(sorted(sides) == ["A", "B"] for _, *sides in order)
    assert write(folders)[2] == html
    assert write(folders, seed=2)[1] != order


def test_both_are_on_the_side_that_the_page_knows(folders):
    _, order, html = write(folders)
    data = json.loads(re.search(r'id="embedded">(.*?)</script>', html, re.DOTALL)[1])
    # The outlines of A are the same on all images, those of B on none.
    of_a = {
        card["outlines"][sides.index("A")]
        for card, (_, *sides) in zip(data["cards"], order, strict=True)
    }
    of_b = {
        card["outlines"][sides.index("B")]
        for card, (_, *sides) in zip(data["cards"], order, strict=True)
    }
    assert (len(of_a), len(of_b)) == (1, 9)


def test_single_images_need_no_common_name(folders):
    out = folders / "one.html"
    both = folders / "a/3.tif", folders / "b/4.tif"
    assert write_rating_page(folders / "images/0.tif", both, out) == 1


def test_mistakes_are_named(folders):
    (folders / "a/2.tif").unlink()
    (folders / "b/7.tif").unlink()
    with pytest.raises(InputError) as error:
        write(folders)
    assert "2.tif: has no partner" in str(error.value)
    assert "7.tif: has no partner" in str(error.value)
    assert not (folders / "page.html").exists()


def test_sizes_that_differ_are_named(folders):
    tifffile.imwrite(folders / "b/5.tif", np.zeros((20, 31), np.uint8))
    with pytest.raises(InputError, match="is 31 x 20 pixels large"):
        write(folders)

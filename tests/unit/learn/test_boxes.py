"""Boxes: partners, ratios, and where boxes come from."""

from __future__ import annotations

import numpy as np
import pytest
from gridwell.config.errors import InputError
from gridwell.learn.boxes import (
    box_iou,
    box_scores,
    box_tally,
    boxes_of_classes,
    boxes_of_labels,
    read_boxes,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

VOC = """<annotation><size><width>50</width></size>
<object><name>Dead Cell</name><bndbox>
<xmin>11</xmin><ymin>21</ymin><xmax>20</xmax><ymax>25</ymax></bndbox></object></annotation>"""


def boxes(*corners: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(corners, float).reshape(-1, 4)


def counted(truth: np.ndarray, pred: np.ndarray) -> dict[str, float]:
    return {name: float(value) for name, value in box_scores(box_tally(truth, pred)).items()}


def test_overlap_by_hand():
    # 4 x 4 and 4 x 4, shifted by 2: 8 shared of 24. Beside each other: 0.
    one = boxes((0, 0, 4, 4))
    assert box_iou(one, boxes((2, 0, 6, 4), (4, 0, 8, 4), (0, 0, 4, 4))).tolist() == [
        [pytest.approx(8 / 24), 0, 1]
    ]


def test_ratios_by_hand():
    truth = boxes((0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10), (60, 0, 70, 10))
    pred = boxes(
        (0, 0, 10, 10),  # the first: IoU 1
        (25, 0, 35, 10),  # the second: 50 of 150
        (48, 0, 58, 10),  # the third: 20 of 180, just 0.11
        (69, 0, 79, 10),  # the fourth: 10 of 190, below 0.1
        (0, 5, 10, 15),  # the first again: 50 of 150
    )
    found = counted(truth, pred)
    assert (found["n_true"], found["n_pred"], found["matched"]) == (4, 5, 3)
    assert (found["lower"], found["higher"]) == (2, 1)
    assert found["fp_ratio"] == pytest.approx(2 / 5)
    assert found["fn_ratio"] == pytest.approx(1 / 4)
    # Where any overlap counts, the second box on the first cell is right too.
    assert found["fp_ratio_any"] == pytest.approx(1 / 5)
    assert found["fn_ratio_any"] == pytest.approx(1 / 4)


def test_as_many_pairs_as_can_be():
    # The wide box lies on both cells, and is the only partner of the second.
    truth = boxes((0, 0, 10, 10), (10, 0, 20, 10))
    pred = boxes((0, 0, 20, 10), (0, 0, 9, 10))
    assert counted(truth, pred)["matched"] == 2


@pytest.mark.parametrize(("n", "m"), [(0, 0), (2, 0), (0, 3)])
def test_nothing_is_no_ratio(n, m):
    some = boxes(*[(20.0 * i, 0, 20 * i + 5, 5) for i in range(3)])
    found = counted(some[:n], some[:m])
    np.testing.assert_equal(found["fn_ratio"], 1.0 if n else np.nan)
    np.testing.assert_equal(found["fp_ratio"], 1.0 if m else np.nan)


corner = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(1, 8), st.integers(1, 8))
some_boxes = st.lists(corner, max_size=8).map(
    lambda found: boxes(*((x, y, x + w, y + h) for x, y, w, h in found))
)


@given(some_boxes, some_boxes, st.randoms())
@settings(deadline=None)
def test_order_does_not_matter_and_sides_mirror(truth, pred, random):
    there = box_tally(truth, pred)
    order = list(range(len(pred)))
    random.shuffle(order)
    np.testing.assert_array_equal(
        box_tally(truth, pred[order])[[0, 1, 2, 4, 5]], there[[0, 1, 2, 4, 5]]
    )
    np.testing.assert_array_equal(box_tally(pred, truth)[[1, 0, 2, 5, 4]], there[[0, 1, 2, 4, 5]])
    assert there[2] <= min(there[4], there[5])


@given(some_boxes, some_boxes, st.integers(1, 3))
@settings(deadline=None)
def test_strips_miss_no_pair(truth, pred, strip):
    from gridwell.learn import boxes as module

    rows, cols = np.nonzero(box_iou(truth, pred) >= 0.1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_STRIP", strip)
        found = module._pairs(truth, pred)
    assert sorted(zip(*found[:2], strict=True)) == sorted(zip(rows, cols, strict=True))


@given(some_boxes)
@settings(deadline=None)
def test_truth_itself_is_perfect(truth):
    found = counted(truth, truth)
    assert found["matched"] == found["higher"] == len(truth)


def test_boxes_around_objects_and_regions():
    image = np.array([[0, 5, 5, 0, 0], [0, 5, 0, 0, 2], [-1, 0, 0, 2, 0]])
    found = boxes_of_labels(image)
    assert found.corners.tolist() == [[3, 1, 5, 3], [1, 0, 3, 2]]
    assert found.classes == ("", "")
    regions = boxes_of_classes(np.array([[1, 0, 1], [0, 1, 0], [-1, 0, 2]]), ["none", "ring"])
    # Pixels that touch at corners are one region.
    assert regions.corners.tolist() == [[0, 0, 3, 2], [2, 2, 3, 3]]
    assert regions.classes == ("ring", "2")


def test_boxes_from_annotations_and_tables_are_the_same(tmp_path):
    (tmp_path / "a.xml").write_text(VOC)
    (tmp_path / "b.csv").write_text("class,x0,y0,x1,y1\nDead Cell,10,20,20,25\n")
    (tmp_path / "c.csv").write_text(
        "image,class,xmin,ymin,xmax,ymax\nA,d,10,20,20,25\nB,,1,2,3,4\n"
    )
    one, two = read_boxes(tmp_path / "a.xml")["a"], read_boxes(tmp_path / "b.csv")["b"]
    assert one.corners.tolist() == two.corners.tolist() == [[10, 20, 20, 25]]
    assert one.classes == two.classes == ("Dead Cell",)
    several = read_boxes(tmp_path / "c.csv")
    assert sorted(several) == ["A", "B"]
    assert several["B"].classes == ("",)


def test_a_table_without_rows_is_an_image_without_boxes(tmp_path):
    (tmp_path / "b.csv").write_text("x0,y0,x1,y1\n")
    assert len(read_boxes(tmp_path / "b.csv")["b"].corners) == 0


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.xml", "<annotation>", "no Pascal VOC"),
        ("a.xml", VOC.replace(">11<", ">left<"), "no Pascal VOC"),
        ("a.xml", "<!DOCTYPE a [<!ENTITY b 'c'>]>" + VOC, "entities"),
        ("a.xml", VOC.replace(">20<", ">5<"), "without a size (a: box 1)"),
        ("a.csv", "", "empty"),
        ("a.csv", "x0,y0,x1\n1,2,3\n", "no column y1"),
        ("a.csv", "x0,y0,x1,y1\n1,2,3,4\n1,2,x,4\n", "row 3"),
    ],
)
def test_mistakes_are_named(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as error:
        read_boxes(tmp_path / name)
    assert said in str(error.value)
    assert name in str(error.value)


@pytest.mark.shared
def test_real_annotations_are_read(shared):
    folder = shared / "live-dead/ldc_livedead_brightfield"
    found = [box for path in sorted(folder.glob("*.xml")) for box in read_boxes(path).values()]
    assert len(found) == 117
    assert {name for one in found for name in one.classes} >= {"Living Cell", "Dead Cell"}


@given(arrays(np.int64, (5, 6), elements=st.integers(-1, 4)))
@settings(deadline=None)
def test_boxes_are_those_of_scikit_image(labels):
    from skimage.measure import regionprops

    found = boxes_of_labels(labels).corners
    expected = [region.bbox for region in regionprops(labels.clip(0))]
    assert found[:, [1, 0, 3, 2]].tolist() == [list(box) for box in expected]

"""Predictions beside the truth, file by file: what is paired, refused, counted and written."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from gridwell.config.columns import column_names
from gridwell.config.errors import InputError
from gridwell.images.labels import LabelWriter
from gridwell.learn import compare as module
from gridwell.learn.compare import compare
from gridwell.learn.summary import in_words
from PIL import Image

from tests.unit.images.make_images import frame


def squares(count: int, size: int = 6, of: tuple[int, int] = (40, 50)) -> np.ndarray:
    """Image with so many squares in a row."""
    image = np.zeros(of, np.uint16)
    for index in range(count):
        image[10 : 10 + size, 8 * index : 8 * index + size] = index + 1
    return image


def save(path: Path, image: np.ndarray, **how) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        Image.fromarray(image).save(path)
    else:
        tifffile.imwrite(path, image, **how)
    return path


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    for name, true, found in (("a", 4, 3), ("b", 2, 2), ("c", 0, 1)):
        save(tmp_path / f"truth/{name}.tif", squares(true))
        save(tmp_path / f"pred/{name}.ome.tif", squares(found).astype(np.uint32))
    return tmp_path / "pred", tmp_path / "truth"


def test_folders_are_paired_by_stem_and_pooled(folders):
    found = compare(*folders)
    assert list(found.scores.columns) == column_names("scores.csv (instances)")
    rows = found.scores.set_index("what")
    assert rows.loc["image", "image"].tolist() == ["a", "b", "c"]
    # a: 3 of 4; b: 2 of 2; c: a false one. Together TP 5, FN 1, FP 1; counts off by 1 + 0 + 1.
    assert rows.loc["image", "ap_50"].tolist() == [0.75, 1, 0]
    assert rows.loc["pooled", "ap_90"] == pytest.approx(5 / 7)
    assert rows.loc["pooled", "count_error"] == pytest.approx(2 / 6)
    assert rows.loc["pooled_low", "ap_50"] <= 5 / 7 <= rows.loc["pooled_high", "ap_50"]
    text = in_words(found)
    assert text.startswith("3 images, 6 true objects, 6 predicted")
    assert "0.714" in text


def test_tables_are_written(folders, tmp_path):
    out = tmp_path / "out"
    compare(*folders).write(out)
    assert [path.name for path in out.iterdir()] == ["scores.csv"]
    table = pd.read_csv(out / "scores.csv")
    assert len(table) == 3 + 3
    compare(*folders, "classes", names=["ground", "=cell"]).write(out)
    assert {path.name for path in out.iterdir()} == {"scores.csv", "classes.csv", "confusion.csv"}
    assert list(pd.read_csv(out / "classes.csv").columns) == column_names("classes.csv")
    assert "'=cell" in (out / "confusion.csv").read_text()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int16", "int32", "int64"])
@pytest.mark.parametrize("how", [{}, {"compression": "zlib"}, {"tile": (16, 16)}])
def test_any_whole_numbers_will_do(tmp_path, dtype, how):
    image = squares(5)
    truth = save(tmp_path / "truth.tif", image)
    pred = save(tmp_path / "pred.tif", image.astype(dtype), **how)
    assert compare(pred, truth).as_dict()["pooled"]["ap_90"] == 1


def test_png_of_16_bit(tmp_path):
    truth, pred = save(tmp_path / "t.png", squares(5)), save(tmp_path / "p.tif", squares(5))
    assert compare(pred, truth).as_dict()["pooled"]["ap_90"] == 1


def test_bands_of_rows_leave_no_seams(folders, monkeypatch):
    whole = [compare(*folders, kind).as_dict() for kind in ("instances", "classes")]
    monkeypatch.setattr(module, "_BAND", 50 * 3)
    assert [compare(*folders, kind).as_dict() for kind in ("instances", "classes")] == whole


def test_unlabelled_pixels_of_a_file(tmp_path):
    image = squares(4)
    image[:, 24:] = 65535
    truth = save(tmp_path / "t.tif", image)
    found = compare(save(tmp_path / "p.tif", squares(4)), truth)
    pooled = found.as_dict()["pooled"]
    assert (pooled["n_true"], pooled["n_pred"], pooled["ap_90"]) == (3, 3, 1)
    assert pooled["unlabelled"] == pytest.approx(26 / 50)
    assert found.notes == ["52 % of the pixels are unlabelled and left out"]


def test_so_many_objects_that_one_has_the_number_of_unlabelled(tmp_path):
    image = np.arange(1, 65536 + 90, dtype=np.uint32).reshape(25, -1).repeat(2, 1)
    path = save(tmp_path / "t.tif", image)
    pooled = compare(save(tmp_path / "p.tif", image), path).as_dict()["pooled"]
    assert (pooled["n_true"], pooled["ap_50"]) == (65625, 1)
    assert pooled["unlabelled"] == 0


def test_stores_of_a_slide_are_compared_spot_by_spot(tmp_path):
    grid = frame(2, 2)
    facts = asdict(grid)
    stack = np.stack([squares(n) for n in (1, 2, 3, 0)]).astype(np.uint32)
    for name, labels in (("pred", np.where(stack == 3, 0, stack)), ("truth", stack)):
        with LabelWriter(tmp_path / name / "dapi.zarr", grid, stack.shape, facts) as writer:
            writer.write(0, labels)
    table = compare(tmp_path / "pred", tmp_path / "truth").scores.set_index("what")
    assert table.loc["image", "image"].tolist() == [f"dapi/{s}" for s in ("A1", "A2", "B1", "B2")]
    assert table.loc["image", "n_pred"].tolist() == [1, 2, 2, 0]
    assert table.loc["pooled", "recall"] == pytest.approx(5 / 6)


def test_classes_by_hand(tmp_path):
    # 10 x 10: the upper half is 1; predicted are 4 rows of it, and one pixel of 2 below.
    truth, pred = np.zeros((10, 10), np.uint8), np.zeros((10, 10), np.uint8)
    truth[:5], pred[:4] = 1, 1
    pred[9, 9] = 2
    paths = save(tmp_path / "p.png", pred), save(tmp_path / "t.png", truth)
    found = compare(*paths, "classes", names=["ground", "cell"])
    assert found.confusion.iloc[:, 1:].to_numpy().tolist() == [[49, 0, 1], [10, 40, 0], [0, 0, 0]]
    assert found.confusion.columns.tolist() == [
        "true", "predicted_ground", "predicted_cell", "predicted_2",
    ]  # fmt: skip
    classes = found.classes.set_index(["what", "class"])
    assert classes.loc[("class", "cell"), "iou"] == pytest.approx(40 / 50)
    assert classes.loc[("class", "cell"), "accuracy"] == pytest.approx(90 / 100)
    assert classes.loc[("global", ""), "accuracy"] == pytest.approx(89 / 100)
    assert classes.loc[("class", "ground"), "pixels"] == 50
    # Boundaries lie one row apart, 0.75 % of the diagonal is a tenth of a pixel.
    assert classes.loc[("class", "cell"), "boundary_f1"] == 0
    assert "within 0.75 % of the diagonal, 0.1 pixels" in found.notes[0]
    wide = compare(*paths, "classes", tolerance=0.1).classes.set_index("class")
    assert wide.loc["1", "boundary_f1"] == 1
    assert "recall" in in_words(found)


def test_boxes_of_files_and_regions(tmp_path):
    truth, pred = save(tmp_path / "t.tif", squares(4)), save(tmp_path / "p.tif", squares(3))
    pooled = compare(pred, truth, "boxes").as_dict()["pooled"]
    assert [row["class"] for row in pooled] == [""]
    assert pooled[0]["fn_ratio"] == pytest.approx(1 / 4)
    (tmp_path / "t.csv").write_text("class,x0,y0,x1,y1\nlive,0,10,6,16\ndead,8,10,14,16\n")
    found = compare(pred, tmp_path / "t.csv", "boxes")
    assert found.as_dict()["pooled"][0]["matched"] == 2
    assert "whatever their class" in found.notes[0]
    regions = compare(pred, truth, "class-boxes", names=["", "live"]).scores
    pooled = regions[regions.what == "pooled"].set_index("class")
    assert pooled.loc["live", "matched"] == 1
    assert pooled.loc["4", "fn_ratio"] == 1
    assert "all" in in_words(found)
    assert {"mean", "sd"} <= set(regions.what)


def refused(*arguments, **options) -> str:
    with pytest.raises(InputError) as error:
        compare(*arguments, **options)
    return str(error.value)


def test_missing_partners_are_all_named(folders):
    pred, truth = folders
    for name in ("d", "e"):
        save(truth / f"{name}.tif", squares(1))
    save(pred / "f.tif", squares(1))
    said = refused(pred, truth)
    assert "d.tif: has no partner" in said
    assert "e.tif: has no partner" in said
    for name in ("d", "e"):
        (truth / f"{name}.tif").unlink()
    assert compare(pred, truth).notes == ["without truth, left out: f"]


def test_sizes_that_differ_are_all_named(folders):
    pred, truth = folders
    for name in ("a", "c"):
        save(pred / f"{name}.ome.tif", squares(1, of=(40, 49)))
    said = refused(pred, truth)
    assert said.count("is 49 x 40 pixels large") == 2


def test_two_of_a_stem_and_a_file_beside_a_folder(folders):
    pred, truth = folders
    assert "and" in refused(pred / "a.ome.tif", truth)
    save(pred / "a.png", squares(1))
    assert "has the name of" in refused(pred, truth)


def test_the_truth_is_no_prediction(folders, tmp_path):
    _, truth = folders
    assert "itself" in refused(truth, truth / "../truth")
    (tmp_path / "link").symlink_to(truth / "a.tif")
    assert "itself" in refused(tmp_path / "link", truth / "a.tif")


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.zeros((40, 50, 3), np.uint8), "colour"),
        (np.zeros((40, 50), np.float32), "decimals"),
        (np.zeros((2, 40, 50), np.uint32), "2 planes"),
        (np.zeros((2, 40, 50), np.uint16), "2 planes"),
        (np.full((40, 50), 2**32 - 1, np.uint32), "more than objects can have"),
    ],
)
def test_what_is_no_label_image_is_told(tmp_path, image, said):
    photometric = "rgb" if image.shape[-1] == 3 else "minisblack"
    pred = save(tmp_path / "p.tif", image, photometric=photometric)
    told = refused(pred, save(tmp_path / "t.tif", squares(1)))
    assert said in told
    assert "p.tif" in told


def test_nothing_there(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    assert "holds no images" in refused(tmp_path / "empty", tmp_path / "other")
    assert "is not there" in refused(tmp_path / "a.tif", tmp_path / "b.tif")


def test_masks_are_not_taken_for_something_else(tmp_path):
    mask = np.where(squares(3) > 0, 255, 0).astype(np.uint8)
    pred, truth = save(tmp_path / "p.png", squares(3)), save(tmp_path / "t.png", mask)
    assert "number their objects" in compare(pred, truth).notes[0]
    told = refused(pred, truth, "classes")
    assert "as 0 and 1" in told
    assert "t.png" in told
    # A prediction of nothing is not a mask.
    partial = squares(2)
    partial[20:] = 65535
    empty = save(tmp_path / "none.png", squares(0))
    compare(empty, save(tmp_path / "partial.tif", partial), "classes")


def test_numbers_of_objects_are_not_taken_for_classes(tmp_path):
    pred = save(tmp_path / "p.tif", squares(5) * 100)
    assert "--kind instances" in refused(pred, save(tmp_path / "t.tif", squares(1)), "classes")


def test_nothing_found_is_said(tmp_path):
    found = compare(save(tmp_path / "p.tif", squares(0)), save(tmp_path / "t.tif", squares(1)))
    assert found.notes[-1] == "there are no predicted objects at all"
    assert found.as_dict()["pooled"]["sq"] is None
    assert "-" in in_words(found)


def test_classes_of_boxes_must_have_the_same_names(tmp_path):
    for name, cell in (("p", "alive"), ("t", "live")):
        (tmp_path / f"{name}.csv").write_text(f"class,x0,y0,x1,y1\n{cell},0,0,5,5\n")
    assert "alive" in refused(tmp_path / "p.csv", tmp_path / "t.csv", "boxes")

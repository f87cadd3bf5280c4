"""Pictures of spots: which are shown, how bright, with which outlines."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import zarr
from gridwell.images.spots import SpotStack, open_spots
from gridwell.report import images
from gridwell.report.gallery import choose
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.report.fake import FakeSlide


def spot(**changes: Any) -> dict[str, Any]:
    return {"found": True, "flags": [], "role": "sample"} | changes


def plate() -> list[dict[str, Any]]:
    spots = [spot(role="neg_ctrl") for _ in range(8)] + [spot(role="pos_ctrl") for _ in range(8)]
    for _ in range(3):
        spots += [spot() for _ in range(8)]
    spots[20] |= {"flags": ["few_cells"]}
    spots[30] |= {"flags": ["out_of_focus"]}
    spots[35] |= {"found": False, "flags": ["not_found"]}
    return spots


def test_flagged_spots_controls_and_random_ones_are_shown() -> None:
    spots = plate()
    chosen = choose(spots, 16, seed="S01")
    assert len(chosen) == 16
    assert {i for i, why in chosen.items() if why == "flagged"} == {20, 30}
    assert 35 not in chosen
    controls = [spots[i]["role"] for i, why in chosen.items() if why == "control"]
    assert controls.count("neg_ctrl") == controls.count("pos_ctrl") == 2
    assert list(chosen.values()).count("random") == 10


def test_random_spots_are_the_same_every_time_and_others_on_another_slide() -> None:
    one, again, other = (choose(plate(), 16, seed=seed) for seed in ("S01", "S01", "S02"))
    assert list(one.items()) == list(again.items())
    assert set(one) != set(other)


@given(st.integers(0, 40), st.integers(0, 30), st.integers(0, 30))
def test_the_choice_is_never_longer_than_asked(most: int, flagged: int, clean: int) -> None:
    spots = [spot(flags=["empty"]) for _ in range(flagged)] + [spot() for _ in range(clean)]
    assert len(choose(spots, most, seed="S")) == min(most, flagged + clean)


def decode(uri: str) -> np.ndarray:
    raw = base64.b64decode(uri.split(",", 1)[1])
    picture = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return picture


def make_stack(path: Path, planes: np.ndarray, role: str = "nuclei") -> SpotStack:
    group = zarr.open_group(path, mode="w")
    n = len(planes)
    samples = 3 if planes.ndim == 4 else 1
    group.attrs["gridwell"] = {
        "slide": "S01",
        "rows": 1,
        "cols": n,
        "spots": [f"A{i + 1}" for i in range(n)],
        "x": [0.0] * n,
        "y": [0.0] * n,
        "angle": 0.0,
        "width": planes.shape[2],
        "height": planes.shape[1],
        "shape": "square",
        "found": [True] * n,
        "margin": 0.0,
        "inside": [True] * n,
        "pixel_size_um": 2.0,
        "raw": {"a.tif": "ab" * 32},
        "channels": [
            {"channel": "c", "role": role, "samples": samples, "dtype": str(planes.dtype)}
        ],
    }
    group.create_array("c", data=planes, config={"write_empty_chunks": True})
    return open_spots(path)


def test_noise_of_a_channel_without_objects_stays_dark(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(500, 20, (6, 64, 64)).astype(np.uint16)
    stack = make_stack(tmp_path / "s.zarr", noise)
    black, white = images.contrast(stack, "c")
    shown = decode(images.spot_picture(stack, 0, limits={"c": (black, white)}, labels={}).image)
    assert shown[..., :3].max(axis=2).mean() < 60


def test_a_spot_is_shown_in_the_colour_of_its_role_with_outlines_around_objects(
    tmp_path: Path,
) -> None:
    plane = np.full((1, 250, 250), 100, np.uint16)
    plane[0, 100:140, 60:120] = 4000
    labels = np.zeros((1, 250, 250), np.uint32)
    labels[0, 100:140, 60:120] = 7
    stack = make_stack(tmp_path / "s.zarr", plane, role="live")
    picture = images.spot_picture(stack, 0, limits={"c": (100, 4000)}, labels={"c": labels[0]})
    blue, green, red = decode(picture.image)[120, 90].astype(int)
    assert green > 200
    assert green > red + 80
    assert green > blue + 80
    alpha = decode(picture.outlines)[..., 3]
    inside = np.zeros((250, 250), bool)
    inside[100:140, 60:120] = True
    inner = np.zeros_like(inside)
    inner[101:139, 61:119] = True
    assert np.array_equal(alpha > 0, inside & ~inner)
    assert picture.bar_um == 100
    assert picture.bar == pytest.approx(100 / (250 * 2.0))


def test_large_spots_are_made_smaller(tmp_path: Path) -> None:
    stack = make_stack(tmp_path / "s.zarr", np.zeros((1, 900, 600), np.uint16))
    picture = images.spot_picture(stack, 0, limits={"c": (0, 1)}, labels={})
    assert (picture.width, picture.height) == (320, 480)
    assert picture.outlines == ""


def test_a_colour_scan_is_shown_in_its_own_colours(tmp_path: Path) -> None:
    planes = np.zeros((1, 240, 240, 3), np.uint8)
    planes[..., 0], planes[..., 1] = 200, 80
    stack = make_stack(tmp_path / "s.zarr", planes, role="colour")
    shown = decode(images.spot_picture(stack, 0, limits={}, labels={}).image)
    assert np.abs(shown[120, 120][::-1].astype(int) - [200, 80, 0]).max() <= 6


def test_channels_of_a_slide_are_shown_but_for_the_grid(viability: FakeSlide) -> None:
    stack = open_spots(viability.folder / "spots.zarr")
    assert list(images.colours(stack)) == ["nuclei", "live", "dead"]


def test_a_large_drawing_of_the_grid_is_made_smaller(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "g.png"), np.zeros((1000, 4000, 3), np.uint8))
    uri, width, height = images.grid_picture(tmp_path / "g.png")
    assert (width, height) == (1600, 400)
    assert decode(uri).shape[:2] == (400, 1600)

"""Every spot in every channel, within the room that a page has."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
from gridwell.images.spots import open_spots
from gridwell.report.crops import crops

from tests.unit.report.fake import FakeSlide


def labels(fake: FakeSlide) -> dict[str, Any]:
    return {name: fake.folder / "labels" / f"{name}.zarr" for name in fake.channels}


def decode(code: str) -> np.ndarray:
    raw = np.frombuffer(base64.b64decode(code), np.uint8)
    picture = cv2.imdecode(raw, cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return picture


def test_all_spots_in_all_channels_with_outlines(viability: FakeSlide) -> None:
    stack = open_spots(viability.folder / "spots.zarr")
    made = crops(stack, labels(viability), 10**7)
    assert made is not None
    assert list(made["spots"]) == list(stack.names)
    assert [panel["name"] for panel in made["panels"]] == ["nuclei", "live", "dead"]
    assert all(panel["outlined"] and panel["colour"] for panel in made["panels"])
    strip, over = (decode(code) for code in made["spots"]["A1"])
    assert strip.shape[:2] == over.shape[:2] == (made["height"], 3 * made["width"])
    assert over[..., 3].any()
    # An untreated spot has live cells: the panel of the live stain is not dark.
    assert strip[:, made["width"] : 2 * made["width"]].max() > 200


def test_a_spot_without_objects_has_no_outlines(viability: FakeSlide) -> None:
    made = crops(open_spots(viability.folder / "spots.zarr"), labels(viability), 10**7)
    assert made is not None
    assert made["spots"]["A6"][1] == ""


def test_less_room_makes_smaller_pictures_and_at_last_none(viability: FakeSlide) -> None:
    stack = open_spots(viability.folder / "spots.zarr")
    whole = crops(stack, labels(viability), 10**7)
    assert whole is not None
    size = sum(len(code) for spot in whole["spots"].values() for code in spot)
    small = crops(stack, labels(viability), most_bytes=int(0.9 * size))
    assert small is not None
    assert small["width"] < whole["width"]
    assert sum(len(code) for spot in small["spots"].values() for code in spot) <= 0.9 * size
    assert crops(stack, labels(viability), most_bytes=100) is None

"""Compare what is drawn for people: pictures by their pixels, pages by their lines."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridwell.versions.compare_reading import Judgement, Status, both
from gridwell.versions.compare_words import counted
from gridwell.versions.makings import made_otherwise, with_making
from gridwell.versions.tolerances import PICTURE_LEVELS, PICTURE_SHARE

# Where a page tells what it was made from, for programs and for people.
_MADE_FROM = re.compile(
    r'<script type="application/json" id="provenance">.*?</script>'
    r'|<footer id="provenance-shown">.*?</footer>',
    re.DOTALL,
)


def compare_pictures(path: str, expected: Path, found: Path) -> Judgement:
    """Compare two pictures pixel by pixel."""
    import cv2

    first, second = both(_read_picture, expected, found)
    if (first.shape, first.dtype) != (second.shape, second.dtype):
        kinds = [f"{' x '.join(map(str, image.shape))} {image.dtype}" for image in (first, second)]
        return "different", f"{kinds[1]} instead of {kinds[0]}"
    apart = cv2.absdiff(first, second).reshape(*first.shape[:2], -1).max(axis=2)
    if not apart.any():
        return "within tolerance", "the same picture, written otherwise"
    share = float((apart > PICTURE_LEVELS).mean())
    detail = f"{100 * share:.2g} % of the pixels differ by more than {PICTURE_LEVELS} levels"
    fits = share < PICTURE_SHARE
    return "within tolerance" if fits else "different", f"{detail}, at most by {apart.max()}"


def _read_picture(path: Path) -> NDArray[Any]:
    import cv2

    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError("it is no picture")
    return image


def compare_pages(path: str, expected: Path, found: Path) -> Judgement:
    """Compare two pages by their lines, and what they were made from."""
    first, second = both(_read_page, expected, found)
    a, b = Counter(first), Counter(second)
    changed = max((a - b).total(), (b - a).total())
    detail = f"{changed} of {counted(max(len(first), len(second)), 'line')} differ"
    if first == second:
        detail = ""
    elif not changed:
        detail = "lines stand in another order"
    status: Status = "different" if detail else "within tolerance"
    return with_making(status, detail, made_otherwise(expected, found), "the same page")


def _read_page(path: Path) -> list[str]:
    """Lines of a page, without those that tell what it was made from."""
    return _MADE_FROM.sub("", path.read_text(encoding="utf-8")).split("\n")

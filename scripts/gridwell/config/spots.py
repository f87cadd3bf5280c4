"""Names of grid positions: rows are letters (A…Z, AA…), columns count from 1."""

from __future__ import annotations

import re

_SPOT = re.compile(r"^\s*([A-Za-z]{1,3})0*([1-9][0-9]{0,4})\s*$")


def row_letters(row: int) -> str:
    """Letters of a row counted from 0: 0 -> ``A``, 25 -> ``Z``, 26 -> ``AA``.

    Raises
    ------
    ValueError
        If `row` is negative.
    """
    if row < 0:
        raise ValueError(f"row must be 0 or more, not {row}")
    letters = ""
    row += 1
    while row:
        row, rest = divmod(row - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def row_index(letters: str) -> int:
    """Row counted from 0 of its letters, any case: ``A`` -> 0, ``AA`` -> 26.

    Raises
    ------
    ValueError
        If `letters` holds anything but A to Z.
    """
    index = 0
    for letter in letters.upper():
        if not "A" <= letter <= "Z":
            raise ValueError(f"{letters!r} is not a row: rows are letters, A to Z, AA and on")
        index = index * 26 + ord(letter) - ord("A") + 1
    if not index:
        raise ValueError("a row needs at least one letter")
    return index - 1


def spot_name(row: int, col: int) -> str:
    """Name of the spot in `row` and `col`, both counted from 0: (2, 6) -> ``C7``."""
    if col < 0:
        raise ValueError(f"column must be 0 or more, not {col}")
    return f"{row_letters(row)}{col + 1}"


def parse_spot(name: str) -> tuple[int, int]:
    """Row and column, both from 0, of a spot name: ``C7``, ``c07`` and ``C007`` are the same.

    Raises
    ------
    ValueError
        If `name` is not letters followed by a column from 1.
    """
    match = _SPOT.match(name)
    if not match:
        raise ValueError(f"{name!r} is not a spot: write the row's letters and the column, as C7")
    return row_index(match[1]), int(match[2]) - 1

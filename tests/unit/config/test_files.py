"""Results appear whole or not at all."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from gridwell.config.errors import InputError
from gridwell.config.files import ParquetRows, read_columns, whole, write_parquet


def test_a_full_disk_is_told_with_the_file_and_leaves_what_was_there(tmp_path):
    table = tmp_path / "spots.csv"
    table.write_text("before\n")
    with pytest.raises(InputError) as told, whole(table) as part:
        part.symlink_to("/dev/full")  # a device of the kernel on which nothing has room
        part.write_text("after\n")
    (problem,) = told.value.problems
    assert problem.file == str(table)
    assert "No space left on device" in problem.reason
    assert "Make room" in problem.remedy
    assert table.read_text() == "before\n"
    assert list(tmp_path.iterdir()) == [table]


def test_any_other_failure_goes_on_as_it_is(tmp_path):
    with pytest.raises(PermissionError), whole(tmp_path / "spots.csv"):
        raise PermissionError("no")
    assert not list(tmp_path.iterdir())


def test_a_table_in_parts_reads_as_one_and_row_by_row(tmp_path):
    whole = pd.DataFrame({"n": range(10), "name": [f"s{n}" for n in range(10)]})
    whole["some"] = pd.array([None, 1] * 5, dtype="Int64")
    write_parquet(tmp_path / "one.parquet", whole)
    parts = (whole.iloc[start:stop] for start, stop in ((0, 4), (4, 4), (4, 9), (9, 10)))
    write_parquet(tmp_path / "parts.parquet", parts, {"format": "x"})
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "parts.parquet"), whole)
    for name in ("one", "parts"):
        rows = ParquetRows(tmp_path / f"{name}.parquet")
        for wanted in ([], [0], [3, 4], [9, 2, 2], [5, 6, 8]):
            found = rows(np.array(wanted, np.int64)).reset_index(drop=True)
            pd.testing.assert_frame_equal(found, whole.iloc[wanted].reset_index(drop=True))


def test_a_part_with_other_columns_leaves_no_file(tmp_path):
    parts = [pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})]
    with pytest.raises(KeyError):
        write_parquet(tmp_path / "table.parquet", parts)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("count", [0, 1, 7])
def test_columns_of_a_table_in_any_number_of_parts(tmp_path, count):
    table = pd.DataFrame({"n": range(count), "name": [f"s{n}" for n in range(count)], "y": 0.5})
    table = table.astype({"n": "int64", "name": "str", "y": "float64"})
    path = tmp_path / "parts.parquet"
    write_parquet(path, (table.iloc[start : start + 3] for start in range(0, max(count, 1), 3)))
    pd.testing.assert_frame_equal(read_columns(path, ["name", "n"]), table[["name", "n"]])

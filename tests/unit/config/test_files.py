"""Results appear whole or not at all."""

from __future__ import annotations

import pytest
from gridwell.config.errors import InputError
from gridwell.config.files import whole


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

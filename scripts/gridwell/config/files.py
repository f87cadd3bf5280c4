"""Writing results: whole or not at all, and never a formula for a spreadsheet to run."""

from __future__ import annotations

import errno
import glob
import json
import os
import shutil
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridwell.config.errors import InputError, Problem
from gridwell.config.provenance import KEY, Provenance, side_file

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

# A spreadsheet runs a cell that begins so; a leading apostrophe makes it text again.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@contextmanager
def whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary neighbour of `path` to write; move it into place only on success.

    Works for files and for directories (Zarr). What stood at `path` is replaced in one
    step for files; a directory is removed just before the move. On any exception the
    temporary is deleted and `path` is left as it was. The temporary's name carries the
    process id, so that a job left over from a killed run cannot meet its successor; what a
    killed process left is removed by the next one.

    Raises
    ------
    InputError
        If there is no room for it.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    for stale in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        if not _runs(stale.name.split(".")[-2]):
            _remove(stale)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    _remove(part)
    try:
        yield part
        if part.is_dir() and target.exists():
            _remove(target)
        part.replace(target)
    except BaseException as error:
        _remove(part)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = f"there is no room for it: {os.strerror(error.errno)}"
            remedy = "Make room on its disk, then give the same command again"
            raise InputError(Problem(str(target), reason, remedy)) from error
        raise


def _runs(pid: str) -> bool:
    """Tell whether a process of this machine has the number `pid`; yes where it cannot be told."""
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (ValueError, OSError):
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(path: str | os.PathLike[str], data: Any) -> None:
    """Write `data` as indented JSON, keys in the order given, NaN refused."""
    with whole(path) as part:
        text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
        part.write_text(text + "\n", encoding="utf-8")


def write_csv(
    path: str | os.PathLike[str], table: pd.DataFrame, provenance: Provenance | None = None
) -> None:
    """Write a table as CSV with ``\\n`` line ends, missing values empty, texts defused.

    Floating-point numbers keep 8 significant digits: enough for a hundredth of a pixel on
    any slide. Text that a spreadsheet would run as a formula gets a leading apostrophe.
    What the table was made from goes into a file beside it.
    """
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    safe = table.copy()
    for name in safe.columns:
        column = safe[name]
        if not (is_numeric_dtype(column) or is_bool_dtype(column)):
            safe[name] = column.map(_defuse, na_action="ignore")
    with whole(path) as part:
        safe.to_csv(part, index=False, lineterminator="\n", float_format="%.8g")
    if provenance is not None:
        write_json(side_file(Path(path)), provenance)


def _defuse(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return "'" + value
    return value


def write_parquet(
    path: str | os.PathLike[str],
    table: pd.DataFrame | Iterable[pd.DataFrame],
    provenance: Provenance | None = None,
) -> None:
    """Write a table as zstd Parquet, same bytes for the same table and provenance.

    A table may come in parts with the same columns, at least one, that are never in memory
    together; each becomes a row group, and `ParquetRows` reads no more than it needs.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = iter([table] if isinstance(table, pd.DataFrame) else table)
    first = pa.Table.from_pandas(next(parts), preserve_index=False)
    schema = first.schema
    if provenance is not None:
        said = {KEY: json.dumps(provenance, ensure_ascii=False).encode()}
        schema = schema.with_metadata({**(schema.metadata or {}), **said})
    rest = (pa.Table.from_pandas(part, schema=schema, preserve_index=False) for part in parts)
    with whole(path) as out, pq.ParquetWriter(out, schema, compression="zstd") as writer:
        for part in chain([first], rest):
            writer.write_table(part)


def read_columns(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read some columns of a Parquet table, with hardly more memory than they take.

    Parameters
    ----------
    path
        The file.
    columns
        Their names.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        groups = range(file.metadata.num_row_groups)
        parts = [file.read_row_group(group, columns).to_pandas() for group in groups]
        nothing = file.schema_arrow.empty_table().select(columns).to_pandas()
    pa.default_memory_pool().release_unused()
    return pd.concat(parts or [nothing], ignore_index=True)


class ParquetRows:
    """Rows of a Parquet table, read as they are needed.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        self._file = pq.ParquetFile(path)
        about = self._file.metadata
        sizes = [about.row_group(group).num_rows for group in range(about.num_row_groups)]
        self._starts = [0, *accumulate(sizes)]

    def __call__(self, rows: npt.NDArray[np.int64]) -> pd.DataFrame:
        """Read rows, by their numbers from 0, in the order in which they are given."""
        if not len(rows):
            return self._file.schema_arrow.empty_table().to_pandas()
        first = bisect_right(self._starts, int(rows.min())) - 1
        last = bisect_right(self._starts, int(rows.max())) - 1
        table = self._file.read_row_groups(range(first, last + 1)).to_pandas()
        return table.iloc[rows - self._starts[first]]

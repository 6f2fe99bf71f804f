"""Find the vector of a sample in a table on disk: NumPy arrays, or Parquet."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from clinical_symile.errors import DataError
from clinical_symile.modalities._array_io import copy_of_sample, open_array, rows_by_id
from clinical_symile.modalities.base import (
    Rejected,
    file_columns,
    file_exists,
    is_empty,
    is_file_error,
    recorded_file,
)

_VECTORS, _IDS = "embeddings", "ids"  # arrays of a .npz
_LIST, _ID = "embedding", "id"  # columns of a Parquet file
_NUMBERED = "e"
# A table of numbers: vectors as rows. Ids in the order of the rows, as text.
_Table = tuple[np.ndarray, list[str]]


class VectorTable:
    """A table of vectors with an id each. Files are read once, and nothing is unpickled.

    Args:
        path: file pattern of the table under the source folder, with columns in braces.
        id: column of a sample's row with its id.
        ids: file pattern of the array of ids; for a `.npy` alone.

    Raises:
        ValueError: the suffix is unknown, or `ids` is missing or not needed.
    """

    def __init__(self, *, path: str, id: str, ids: str | None = None):
        suffix = Path(path).suffix.lower()
        if suffix not in _READERS:
            raise ValueError(f"path is '{path}'; expected a file {', '.join(_READERS)}")
        if (suffix == ".npy") != (ids is not None):
            raise ValueError(
                f"path is '{path}' and ids is {ids!r}; expected ids, a .npy, beside a .npy, and "
                "none beside other files, which hold their ids"
            )
        self.path, self.id, self.ids = path, id, ids
        columns = (*file_columns(path), *file_columns(ids or ""), id)
        self.columns = tuple(dict.fromkeys(columns))
        self._read = _READERS[suffix]
        self._tables: dict[tuple[Path, Path | None], tuple[np.ndarray, dict[str, list[int]]]] = {}

    def read(self, row: Mapping[str, Any], root: Path) -> np.ndarray | None:
        """Return the sample's vector; None if the row names none.

        Raises:
            Rejected: `file-missing`, `not-in-array` or `copies-differ`.
            DataError: the file is no such table, holds objects or text instead of numbers, or has
                another number of ids than of vectors.
        """
        file = recorded_file(self.path, row, root)
        ids = None if self.ids is None else recorded_file(self.ids, row, root)
        if file is None or (self.ids is not None and ids is None) or is_empty(row[self.id]):
            return None
        vectors, rows = self._table(file, ids)
        return copy_of_sample(vectors, rows.get(str(row[self.id]), []))

    def _table(self, file: Path, ids: Path | None) -> tuple[np.ndarray, dict[str, list[int]]]:
        if (file, ids) not in self._tables:
            if not file_exists(file):
                raise Rejected("file-missing", "no such table")
            vectors, names = self._read(file, ids)
            _check(file, vectors, names)
            self._tables[file, ids] = vectors, rows_by_id(names)
        return self._tables[file, ids]


def _check(file: Path, vectors: np.ndarray, names: list[str]) -> None:
    """Refuse a table that is not of numbers, or whose ids are not one for each vector."""
    if vectors.ndim != 2 or vectors.dtype.kind not in "fiu":
        raise DataError(
            f"{file}: holds an array of {vectors.dtype} with {vectors.ndim} axes; expected numbers "
            "as [row, width]. Write it again.",
            code="CS-D025",
        )
    if len(vectors) != len(names):
        raise DataError(
            f"{file}: {len(vectors)} vectors, and {len(names)} ids; expected one for each. Get "
            "both again.",
            code="CS-D025",
        )


def _npy(file: Path, ids: Path | None) -> _Table:
    assert ids is not None  # the constructor saw to it
    return open_array(file), [str(name) for name in np.asarray(open_array(ids)).tolist()]


def _npz(file: Path, ids: Path | None) -> _Table:
    del ids
    expected = f"a .npz with the arrays {_VECTORS} and {_IDS}, without objects"
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return arrays[_VECTORS], [str(name) for name in arrays[_IDS].tolist()]
    except Exception as error:  # whatever a broken archive makes NumPy raise
        raise _unreadable(file, error, expected) from None


def _parquet(file: Path, ids: Path | None) -> _Table:
    del ids
    import pyarrow as pa  # here: few cohorts have such files
    import pyarrow.parquet as parquet

    expected = f"Parquet with the column {_ID}, and lists in {_LIST} or {_NUMBERED}0, e1, …"

    def _rows_of_lists(lists: Any) -> np.ndarray:
        if isinstance(lists, pa.ChunkedArray):
            lists = pa.concat_arrays(lists.chunks)
        if lists.null_count or not len(lists):
            raise ValueError("rows without a list")
        widths = np.unique(lists.value_lengths().to_numpy())
        if len(widths) != 1:
            raise ValueError("lists of several lengths")
        return lists.flatten().to_numpy(zero_copy_only=False).reshape(len(lists), -1)

    try:
        table = parquet.read_table(file)
        names = [str(name) for name in table.column(_ID).to_pylist()]
        if _LIST in table.column_names:
            return _rows_of_lists(table.column(_LIST).combine_chunks()), names
        columns = [f"{_NUMBERED}{place}" for place in range(len(table.column_names) - 1)]
        found = [table.column(name).to_numpy() for name in columns if name in table.column_names]
        if not found:
            raise KeyError(_LIST)
        return np.stack(found, axis=1), names
    except Exception as error:  # whatever a broken file makes PyArrow raise
        raise _unreadable(file, error, expected) from None


def _unreadable(file: Path, error: Exception, expected: str) -> Exception:
    """Return the error for a file that is no table; one of the machine is itself."""
    if is_file_error(error) or isinstance(error, ImportError):
        return error
    return DataError(
        f"{file}: cannot be read as a table of vectors ({type(error).__name__}); expected "
        f"{expected}, and vectors of one length. Write it again.",
        code="CS-D025",
    )


_READERS: dict[str, Callable[[Path, Path | None], _Table]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".parquet": _parquet,
}

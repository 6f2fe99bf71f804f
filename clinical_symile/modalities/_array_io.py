"""Read one recording per row from an array on disk, found by the sample's id."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from clinical_symile.errors import DataError
from clinical_symile.modalities.base import (
    Rejected,
    file_columns,
    file_exists,
    is_empty,
    is_file_error,
    recorded_file,
)

_TENSOR_SUFFIXES = (".pt", ".pth")


class RecordedArray:
    """An array of recordings, with an array of the samples' ids beside it.

    A file is a NumPy array (`.npy`) or a tensor saved by PyTorch (`.pt`). It is memory-mapped, so
    only the rows of a sample are read, and nothing but arrays is unpickled. Several rows of one
    sample must be equal.

    Args:
        path: file pattern of the array under the source folder, with columns in braces.
        ids: file pattern of the array of ids, one id per row.
        id: column of a sample's row with its id.
    """

    def __init__(self, *, path: str, ids: str, id: str):
        self.path, self.ids, self.id = path, ids, id
        self.columns = tuple(dict.fromkeys((*file_columns(path), *file_columns(ids), id)))
        self._rows: dict[Path, dict[str, list[int]]] = {}

    def read(self, row: Mapping[str, Any], root: Path) -> Shaped[np.ndarray, "..."] | None:
        """Return the sample's recording as stored in the array; None if the row names none.

        Raises:
            Rejected: `file-missing`, `not-in-array` or `copies-differ`.
            DataError: a file is not an array or incomplete, or the number of ids differs.
        """
        file, ids = recorded_file(self.path, row, root), recorded_file(self.ids, row, root)
        if file is None or ids is None or is_empty(row[self.id]):
            return None
        array, rows = open_array(file), self._places(ids)
        if len(array) != sum(map(len, rows.values())):
            raise DataError(
                f"{file}: {len(array)} recordings, and {sum(map(len, rows.values()))} ids in "
                f"{ids}; expected one for each. Get both files again.",
                code="CS-D025",
            )
        return copy_of_sample(array, rows.get(str(row[self.id]), []))

    def _places(self, ids: Path) -> dict[str, list[int]]:
        """Return the rows of every id of a file, which is read once."""
        if ids not in self._rows:
            self._rows[ids] = rows_by_id(np.asarray(open_array(ids)).tolist())
        return self._rows[ids]


def rows_by_id(ids: Iterable[Any]) -> dict[str, list[int]]:
    """Return the rows of each id, which is read as text.

    Args:
        ids: the id of each row.
    """
    rows: dict[str, list[int]] = {}
    for place, sample in enumerate(ids):
        rows.setdefault(str(sample), []).append(place)
    return rows


def copy_of_sample(array: np.ndarray, rows: Sequence[int]) -> np.ndarray:
    """Return a copy of the one measurement that the rows of a sample hold.

    Args:
        array: [row, ...].
        rows: the sample's rows.

    Raises:
        Rejected: `not-in-array` or `copies-differ`.
    """
    if not rows:
        raise Rejected("not-in-array", "the sample's id is not among those of the array")
    recording = np.array(array[rows[0]])
    for place in rows[1:]:
        if not np.array_equal(array[place], recording, equal_nan=True):
            raise Rejected("copies-differ", f"{len(rows)} rows of one sample; expected equal")
    return recording


def open_array(file: Path) -> np.ndarray:
    """Memory-map an array on disk.

    Raises:
        Rejected: `file-missing`.
        DataError: the file is not an array, or incomplete.
    """
    if not file_exists(file):
        raise Rejected("file-missing", "no such array")
    try:
        return _tensor(file) if file.suffix in _TENSOR_SUFFIXES else np.load(file, mmap_mode="r")
    except Exception as error:  # whatever a broken file makes NumPy and PyTorch raise
        if is_file_error(error) or isinstance(error, ImportError):
            raise
        raise DataError(
            f"{file}: {file.stat().st_size} bytes cannot be mapped as an array "
            f"({type(error).__name__}); expected a complete .npy, or a tensor saved by PyTorch. "
            "Get the file again.",
            code="CS-D025",
        ) from None


def _tensor(file: Path) -> np.ndarray:
    import torch  # here: it takes a second, and few cohorts have such files

    tensor = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
    if not isinstance(tensor, torch.Tensor):
        raise TypeError("not one tensor")
    return tensor.numpy()

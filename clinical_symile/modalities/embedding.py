"""Read precomputed embeddings of a measurement from a table of vectors."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from clinical_symile.errors import DataError
from clinical_symile.modalities._vector_table import VectorTable
from clinical_symile.modalities.base import Note, Rejected, ignore_note


class Embedding:
    """Adapter of precomputed embeddings: one vector for each recording, found by its id.

    Vectors are stored as float32 and read by the encoder as they are. The encoder `mlp` with
    `centred = true` standardizes each number over the batch.

    Args:
        folder: folder of the cohort; not read.
        path: file pattern of the table under the source folder, with columns in braces. `.npy`
            holds `[row, width]`; `.npz` the arrays `embeddings` and `ids`; `.parquet` the column
            `id`, and either lists in `embedding` or the columns `e0`, `e1`, …
        id: column of a sample's row with its id.
        width: length of a vector.
        ids: file pattern of the `.npy` of ids, one for each row; for a `.npy` alone.

    Raises:
        ValueError: the width is no whole number of 1 or more, or `ids` is missing or not needed.
    """

    display_name = "embedding"
    description = "Reads precomputed embeddings from a Parquet, .npy or .npz file, by id."

    dtype = "float32"
    unit = "1"
    encoder = "mlp"

    def __init__(self, folder: Path, *, path: str, id: str, width: int, ids: str | None = None):
        if isinstance(width, bool) or not isinstance(width, int) or width < 1:
            raise ValueError(f"width is {width!r}; expected a whole number of 1 or more")
        self.table = VectorTable(path=path, id=id, ids=ids)
        self.shape = (width,)
        self.parts = tuple(f"e{place}" for place in range(width))
        self.columns = self.table.columns
        self.named_by = self.columns
        self.numbers = ()

    def read(
        self, row: Mapping[str, Any], root: Path, note: Note = ignore_note
    ) -> Float[np.ndarray, " width"] | None:
        """Read the sample's embedding.

        Raises:
            Rejected: `nan` or `all-zero`; or as `VectorTable.read`.
            DataError: vectors have another length; or as `VectorTable.read`.
        """
        vector = self.table.read(row, root)
        if vector is None:
            return None
        if vector.shape != self.shape:
            raise DataError(
                f"{self.table.path}: vectors of shape {list(vector.shape)}; expected "
                f"{list(self.shape)}. Correct width, or get the file of the right encoder.",
                code="CS-D026",
            )
        with np.errstate(over="ignore"):
            stored = vector.astype(np.float32)
        if not np.isfinite(stored).all():
            raise Rejected("nan", "some numbers of the vector are NaN, infinite or above float32")
        if not stored.any():
            raise Rejected("all-zero", "every number of the vector is zero, as in a placeholder")
        return stored

    @staticmethod
    def fit(parts: Iterable[np.ndarray]) -> dict[str, Any]:
        """Return no statistics: vectors are read as they are."""
        return {}

    @staticmethod
    def transform(
        measurements: Float[np.ndarray, "sample width"],
        statistics: Mapping[str, Any],
        generator: np.random.Generator | None = None,
    ) -> Float[np.ndarray, "sample width"]:
        """Return the vectors as they are."""
        return measurements.astype(np.float32)

    @staticmethod
    def divisor(statistics: Mapping[str, Any]) -> np.float32:
        """Return 1: vectors are read as they are."""
        return np.float32(1)

"""Write and read the cohort's rows as an Arrow file, with one batch in memory at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int

BATCH_ROWS = 8192  # rows that are read together; a multiple of DuckDB's vector size


def write_row_file(batches: pa.RecordBatchReader, file: Path) -> None:
    """Write batches of rows to an Arrow file as they arrive."""
    with pa.OSFile(str(file), "wb") as stream, pa.ipc.new_file(stream, batches.schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


class RowFile:
    """Rows of an Arrow file in its order; one batch is in memory at a time.

    Args:
        file: a file that `write_row_file` wrote.
    """

    def __init__(self, file: Path):
        with pa.memory_map(str(file)) as mapped:  # reads only the sizes
            reader = pa.ipc.open_file(mapped)
            sizes = [reader.get_batch(place).num_rows for place in range(reader.num_record_batches)]
        self._ends = np.cumsum(np.array(sizes, dtype=np.int64))
        self._reader = pa.ipc.open_file(pa.OSFile(str(file), "rb"))
        self._place: int | None = None
        self._batch: pa.RecordBatch | None = None

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the columns."""
        return self._reader.schema

    def part(self, first: int, count: int) -> list[dict[str, Any]]:
        """Return `count` consecutive rows from `first` on; fewer at the end of the file."""
        rows: list[dict[str, Any]] = []
        last = min(first + count, len(self))
        while first < last:
            place = int(np.searchsorted(self._ends, first, side="right"))
            begin = int(self._ends[place - 1]) if place else 0
            taken = self._read(place).slice(first - begin, last - first)
            rows += taken.to_pylist()
            first += len(taken)
        return rows

    def some(self, places: Int[np.ndarray, " row"]) -> list[dict[str, Any]]:
        """Return the rows at `places`, in that order; each batch is read once."""
        found = {int(place): self.part(int(place), 1)[0] for place in np.sort(places)}
        return [found[int(place)] for place in places]

    def batches(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield each batch with the index of its first row."""
        for place, end in enumerate(self._ends):
            batch = self._read(place)
            yield int(end) - len(batch), batch

    def table(self) -> pa.Table:
        """Return all rows, in memory."""
        return self._reader.read_all()

    def _read(self, place: int) -> pa.RecordBatch:
        if self._batch is None or place != self._place:
            self._batch = None  # so that no two batches are in memory
            self._place, self._batch = place, self._reader.get_batch(place)
        return self._batch

"""The rows of a cohort's samples in a file, of which a part is in memory at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int

BATCH = 8192  # rows that are read together; a multiple of what DuckDB hands out


def write_row_file(batches: pa.RecordBatchReader, file: Path) -> None:
    """Write rows as an Arrow file, as they come."""
    with pa.OSFile(str(file), "wb") as stream, pa.ipc.new_file(stream, batches.schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


class RowFile:
    """Rows of an Arrow file, in its order; those of one batch are in memory at a time.

    Args:
        file: what `write_row_file` wrote.
    """

    def __init__(self, file: Path):
        with pa.memory_map(str(file)) as mapped:  # of which no more than the sizes are read
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
        """Some rows that follow one another, fewer at the end."""
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
        """Rows from here and there, in the order of `places`; each batch is read once."""
        found = {int(place): self.part(int(place), 1)[0] for place in np.sort(places)}
        return [found[int(place)] for place in places]

    def batches(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Each batch, with the place of its first row."""
        for place, end in enumerate(self._ends):
            batch = self._read(place)
            yield int(end) - len(batch), batch

    def table(self) -> pa.Table:
        """All rows, in memory."""
        return self._reader.read_all()

    def _read(self, place: int) -> pa.RecordBatch:
        if self._batch is None or place != self._place:
            self._batch = None  # so that no two are in memory
            self._place, self._batch = place, self._reader.get_batch(place)
        return self._batch

"""Record the verdict on every chunk of samples in a JSONL file while `prepare` runs."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


class Journal:
    """A JSONL file of verdicts; memory holds only the byte offset of each.

    An incomplete last line, left by an interruption, is removed.

    Args:
        file: an existing file, which may be empty.
    """

    def __init__(self, file: Path):
        self.file = file
        self._offsets: dict[int, int] = {}
        end = 0
        with file.open("rb") as stream:
            for line in stream:
                if line.endswith(b"\n"):
                    self._offsets[json.loads(line)["first"]] = end
                    end += len(line)
        if end < file.stat().st_size:
            os.truncate(file, end)

    def add(self, verdict: Mapping[str, Any]) -> None:
        """Append a verdict and have the operating system write it to disk."""
        self._offsets[verdict["first"]] = self.file.stat().st_size
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(verdict) + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def verdicts(self) -> Iterator[dict[str, Any]]:
        """Yield all verdicts in the order of samples."""
        with self.file.open("rb") as stream:
            for first in sorted(self._offsets):
                stream.seek(self._offsets[first])
                yield json.loads(stream.readline())

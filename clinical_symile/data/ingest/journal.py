"""What came of every part of a cohort: a line each in a file, written as parts are done."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


class Journal:
    """Verdicts on parts, in a file; in memory is where each stands.

    A last line that was cut off is removed, as the next follows it.

    Args:
        file: is there, and may be empty.
    """

    def __init__(self, file: Path):
        self.file = file
        self._places: dict[int, int] = {}
        end = 0
        with file.open("rb") as stream:
            for line in stream:
                if line.endswith(b"\n"):
                    self._places[json.loads(line)["first"]] = end
                    end += len(line)
        if end < file.stat().st_size:
            os.truncate(file, end)

    def add(self, verdict: Mapping[str, Any]) -> None:
        """Note one more, which is on its way to the disk when this returns."""
        self._places[verdict["first"]] = self.file.stat().st_size
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(verdict) + "\n")

    def verdicts(self) -> Iterator[dict[str, Any]]:
        """All of them, in the order of samples."""
        with self.file.open("rb") as stream:
            for first in sorted(self._places):
                stream.seek(self._places[first])
                yield json.loads(stream.readline())

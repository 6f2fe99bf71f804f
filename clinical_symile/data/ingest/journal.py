"""Record the verdict on every chunk of samples in a JSONL file while `prepare` runs.

Each line has the digest of its verdict. A line that was damaged since is passed over, so that its
chunk is read again.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from clinical_symile.hashing import digest_of


class Journal:
    """A JSONL file of verdicts; memory holds only the byte offset of each.

    An incomplete last line, left by an interruption, is removed. Damaged lines are passed over.

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
                    verdict = _verdict(line)
                    if verdict is not None:
                        self._offsets[verdict["first"]] = end
                    end += len(line)
        if end < file.stat().st_size:
            os.truncate(file, end)

    def add(self, verdict: Mapping[str, Any]) -> None:
        """Append a verdict and have the operating system write it to disk."""
        self._offsets[verdict["first"]] = self.file.stat().st_size
        with self.file.open("a", encoding="utf-8") as stream:
            digest = digest_of(json.dumps(verdict))
            stream.write(json.dumps({"digest": digest, "verdict": verdict}) + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def verdicts(self) -> Iterator[dict[str, Any]]:
        """Yield all verdicts in the order of samples."""
        with self.file.open("rb") as stream:
            for first in sorted(self._offsets):
                stream.seek(self._offsets[first])
                verdict = _verdict(stream.readline())
                if verdict is not None:
                    yield verdict


def _verdict(line: bytes) -> dict[str, Any] | None:
    """Return the verdict of a line; None if the line is not as it was written."""
    try:
        entry = json.loads(line)
        verdict, digest = entry["verdict"], entry["digest"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return verdict if digest_of(json.dumps(verdict)) == digest else None

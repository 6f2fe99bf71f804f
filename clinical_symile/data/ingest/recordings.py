"""Note size, time and content of every recording that is read, and find those that changed."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet

from clinical_symile.hashing import digest_of
from clinical_symile.modalities.base import Rejected, file_exists, recorded_file
from clinical_symile.registry.names import is_path_below

RECORDINGS = "recordings.parquet"
_BLOCK_BYTES = 1 << 20
_DIGITS = 32  # hexadecimal digits of a content's digest
_PARTS_OF_A_RECORD = (".hea", ".dat", ".mat")  # files that belong to a WFDB record


def recording_files(path: Path) -> list[Path]:
    """Return the files of a recording: the file itself, and header and signals of a WFDB record.

    Args:
        path: the recording as a cohort names it, with or without extension.
    """
    stem = path.with_suffix("") if path.suffix.lower() in _PARTS_OF_A_RECORD else path
    parts = [stem.with_name(stem.name + suffix) for suffix in _PARTS_OF_A_RECORD]
    return [file for file in dict.fromkeys([path, *parts]) if file_exists(file)]


def recording_stamp(adapter: Any, row: Mapping[str, Any], source: Path) -> str:
    """Return a digest of names, sizes and times of a recording's files; empty without a file."""
    pattern = getattr(adapter, "path", "")
    try:
        path = recorded_file(pattern, row, source) if pattern else None
    except Rejected:
        return ""
    found = [] if path is None else [(file, file.stat()) for file in recording_files(path)]
    parts = [f"{file.name} {stat.st_size} {stat.st_mtime_ns}" for file, stat in found]
    return digest_of(*parts) if parts else ""


def content_line(adapter: Any, row: Mapping[str, Any], source: Path) -> list[Any] | None:
    """Return a recording's file name, bytes and SHA-256; None if it is in no file of its own."""
    pattern = getattr(adapter, "path", "")
    path = recorded_file(pattern, row, source) if pattern else None
    if path is None:
        return None
    return [path.relative_to(source).as_posix(), *_content(recording_files(path))]


def changed_recordings(store: Path, source: Path, *, content: bool) -> dict[str, int]:
    """Count the recordings of a store that changed under the same name since they were read.

    Args:
        store: folder of the store.
        source: folder of the raw files.
        content: compare the content of every file; else size and time alone.

    Returns:
        Number by modality: files that are missing, have another size or, if `content` is False,
        are newer than the store; or have another content.
    """
    written_ns = (store / "manifest.json").stat().st_mtime_ns
    changed: Counter[str] = Counter()
    for modality, name, size, sha256 in _lines(store):
        files = recording_files(source / name) if is_path_below(name) else []
        stats = [file.stat() for file in files]
        if sum(stat.st_size for stat in stats) != size or not files:
            changed[modality] += 1
        elif content:
            changed[modality] += _content(files)[1] != sha256
        else:
            changed[modality] += any(stat.st_mtime_ns > written_ns for stat in stats)
    return {modality: count for modality, count in changed.items() if count}


def _lines(store: Path) -> Iterator[tuple[str, str, int, str]]:
    file = store / RECORDINGS
    if not file.is_file():
        return  # of a version that noted none
    opened = parquet.ParquetFile(file)
    for place in range(opened.num_row_groups):
        part = opened.read_row_group(place, columns=["modality", "file", "bytes", "sha256"])
        yield from zip(*(column.to_pylist() for column in part.columns), strict=True)


def _content(files: list[Path]) -> tuple[int, str]:
    sha, size = hashlib.sha256(), 0
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK_BYTES):
                sha.update(block)
                size += len(block)
    return size, sha.hexdigest()[:_DIGITS]

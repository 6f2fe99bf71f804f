"""Compute digests of definitions, files and folders (SHA-256)."""

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

_DIGITS = 16  # hexadecimal digits of a digest that names content
_BLOCK_BYTES = 1 << 20


def digest_of(*parts: str | bytes) -> str:
    """Compute a digest of 16 hexadecimal digits that is equal if and only if all parts are equal.

    Each part is preceded by its length, so that `("ab", "c")` and `("a", "bc")` differ.
    """
    sha = hashlib.sha256()
    for part in parts:
        _add_part(sha, part)
    return sha.hexdigest()[:_DIGITS]


def digest_of_stream(stream: BinaryIO, *parts: str | bytes) -> str:
    """Compute `digest_of` a file's content and further parts, reading the file block by block."""
    sha = hashlib.sha256(stream.seek(0, os.SEEK_END).to_bytes(8, "big"))
    stream.seek(0)
    while block := stream.read(_BLOCK_BYTES):
        sha.update(block)
    for part in parts:
        _add_part(sha, part)
    return sha.hexdigest()[:_DIGITS]


def digest_of_folder(folder: Path) -> str:
    """Compute a digest of all files in a folder: their relative paths and contents.

    Files and folders whose name begins with `.` or `__` are left out.
    """
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.startswith((".", "__")) for part in path.relative_to(folder).parts)
    )
    return digest_of(
        *(part for f in files for part in (f.relative_to(folder).as_posix(), f.read_bytes()))
    )


def payload_digest(*parts: str | bytes) -> str:
    """Compute the digest that marks what MLflow's copy of a run was made from.

    Parts are separated by a zero byte, not preceded by their lengths: copies made by version 0.1
    carry digests of this form, and stay valid.
    """
    sha = hashlib.sha256()
    for part in parts:
        sha.update(part.encode() if isinstance(part, str) else part)
        sha.update(b"\0")
    return sha.hexdigest()[:_DIGITS]


def file_sha256(path: Path) -> str:
    """Compute the SHA-256 of a file, as `sha256sum` prints it."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _add_part(sha: "hashlib._Hash", part: str | bytes) -> None:
    data = part.encode() if isinstance(part, str) else part
    sha.update(len(data).to_bytes(8, "big") + data)

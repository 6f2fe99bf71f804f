"""Pack files with their hashes into one archive, and read an archive that a stranger made.

The archive is a ZIP file without compression: sorted names and a fixed time, so that the same files
give the same bytes on every machine. `bundle.json` has the hash of every other file, and of every
line of a file with one record per line. Nothing is unpacked to a disk.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinical_symile.errors import DataError
from clinical_symile.registry.names import is_path_below
from clinical_symile.tracking.records import parse_json

MANIFEST_FILE = "bundle.json"
SIGNATURE_FILE = "bundle.json.sig"
BUNDLE_FORM = 1
MOST_BYTES = 256 << 20
MOST_FILES = 10_000

_TIME = (1980, 1, 1, 0, 0, 0)  # the first that a ZIP file can state
_UNIX, _MODE = 3, 0o600
_ENTRY = b"PK\x01\x02"  # begins each entry of the list of files
_LINES = ".jsonl"
_LINE_DIGITS = 16
# What `zipfile` raises for a damaged or hostile archive.
_UNREADABLE = (
    *(zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError),
    *(ValueError, OverflowError, LookupError, OSError),
)
# The types of the manifest's values, of its digests, and of what it has of each file.
MANIFEST_FORM: Mapping[str, Any] = {
    **{"bundle": int, "version": str, "report": str},
    "forms": dict[str, int] | None,  # the version of the form of each kind of record
}
DIGESTS_FORM: Mapping[str, Any] = {
    "cohort": str | None,
    "store": str,
    "source": str | None,
    "tasks": dict[str, str],
}
FILE_FORM: Mapping[str, Any] = {"size": int, "sha256": str, "lines": list[str] | None}


def archive_bytes(files: Mapping[str, bytes]) -> bytes:
    """Return an archive of files; the same files give the same bytes.

    Args:
        files: the content of each file, by its path with `/`.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _TIME)
            entry.create_system, entry.external_attr = _UNIX, _MODE << 16
            archive.writestr(entry, files[name])
    return packed.getvalue()


def read_archive(path: Path) -> dict[str, bytes]:
    """Read the files of an archive that `archive_bytes` made.

    Its size, the number of its files and their names are checked. An archive that is packed in
    another way is refused: bytes beside the files, compression, and two files of one name.

    Raises:
        DataError: it is no such archive.
    """
    if path.is_dir():
        raise DataError(
            f"{path}: is a folder; expected a bundle, which is a file. `clinical-symile bundle "
            f"{path}` makes one of a finished benchmark's folder.",
            code="CS-R023",
        )
    if not path.exists():
        raise DataError(
            f"{path}: no such file; expected a bundle. Correct the path.", code="CS-R023"
        )
    if not path.is_file():
        raise _refused(path, "is no regular file")
    if path.stat().st_size > MOST_BYTES:
        raise _refused(path, f"is larger than {MOST_BYTES >> 20} MiB")
    content = path.read_bytes()
    if content.count(_ENTRY) > MOST_FILES:
        raise _refused(path, f"has more than {MOST_FILES} files")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise _refused(path, "is compressed")
            if sum(entry.file_size for entry in entries) > len(content):
                raise _refused(path, "has files that overlap")
            files = {entry.filename: archive.read(entry) for entry in entries}
    except _UNREADABLE as error:
        raise _refused(path, f"cannot be read ({type(error).__name__})") from None
    for name in files:
        if not is_path_below(name) or not name.isprintable() or name.endswith("/"):
            raise _refused(path, f"has {name[:60]!r}, which is no path of a file in a folder")
    if archive_bytes(files) != content:
        raise _refused(path, "holds bytes that belong to no file, or a name twice")
    return files


def _refused(path: Path, what: str) -> DataError:
    return DataError(
        f"{path}: {what}; expected a bundle as `clinical-symile bundle` writes it. Get the file "
        "again from its author.",
        code="CS-R023",
    )


def manifest_bytes(files: Mapping[str, bytes], about: Mapping[str, Any]) -> bytes:
    """Return the content of `bundle.json` for some files.

    Args:
        files: the content of each other file.
        about: further values of the manifest.
    """
    hashes = {name: _hashes(name, content) for name, content in sorted(files.items())}
    manifest = {"bundle": BUNDLE_FORM, **about, "files": hashes}
    return (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode()


def changes(files: Mapping[str, bytes], expected: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what differs between files and their hashes, a sentence each.

    Args:
        files: the content of each file, without the manifest and its signature.
        expected: the table `files` of the manifest.
    """
    found = [f"{name}: is missing." for name in expected if name not in files]
    for name, content in files.items():
        if name not in expected:
            found.append(f"{name}: was added; {MANIFEST_FILE} does not list it.")
            continue
        known, now = expected[name], _hashes(name, content)
        if known["sha256"] == now["sha256"]:
            continue
        before, after = known.get("lines"), now.get("lines")
        if before is None or after is None:
            found.append(f"{name}: was changed; its hash is another one.")
        elif len(before) != len(after):
            found.append(f"{name}: has {len(after)} lines; expected {len(before)}.")
        else:
            found += [
                f"{name}, line {number}: was changed: {_question(line)}."
                for number, (old, new, line) in enumerate(
                    zip(before, after, content.split(b"\n"), strict=False), start=1
                )
                if old != new
            ]
    return found


def _hashes(name: str, content: bytes) -> dict[str, Any]:
    hashes: dict[str, Any] = {
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    if name.endswith(_LINES):
        lines = content.removesuffix(b"\n").split(b"\n") if content else []
        hashes["lines"] = [hashlib.sha256(line).hexdigest()[:_LINE_DIGITS] for line in lines]
    return hashes


def _question(line: bytes) -> str:
    """Return the words by which a row is known, such as its run, task, pattern and metric."""
    try:
        row = parse_json(line.decode())
        keys = ("run", "method", "baseline", "task", "missingness", "metric", "measure", "name")
        return ", ".join(str(row[key]) for key in keys if row.get(key)) or "a row"
    except (ValueError, RecursionError, AttributeError):
        return "no JSON any more"

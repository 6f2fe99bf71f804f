"""Keep the size and checksum of every file of a folder, and find files that changed.

`checksums.jsonl` lies in each store, run and benchmark. Its first line counts and seals the lines
below it; each of these has the path, size and SHA-256 of a file. While a folder is written, a line
is appended before its file is renamed into place. After an interruption, a file therefore fits its
last line or the one before; the next process that writes keeps the one that fits.
"""

import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from clinical_symile.errors import DataError, UncheckedFilesWarning
from clinical_symile.hashing import file_sha256
from clinical_symile.registry.names import is_path_below
from clinical_symile.registry.run_names import LEFT_OUT_FOLDERS
from clinical_symile.tracking.records import wrong_fields

CHECKSUMS_FILE = "checksums.jsonl"
ALWAYS_HASHED_BYTES = 16 << 20  # larger files are compared by size alone when a folder is opened

_FORM = 1
_TYPES = {"file": str, "size": int | None, "sha256": str | None}
# The kinds of files that stores, runs and benchmarks consist of.
_KINDS = (".json", ".jsonl", ".npy", ".parquet", ".safetensors", ".toml")
_TABLES = ".jsonl"
_HALF_WRITTEN = (".partial", ".partial.waste")  # renamed or removed when they are complete
_PAGES = ".html"  # written anew from results; nothing reads them back
_STORE, _RUN, _BENCHMARK, _OTHER = "store", "run", "benchmark", "folder"
# The files of a run that its training wrote; all others can be computed again from these.
_TRAINED = ("run.toml", "model.safetensors", "history.jsonl", "last")
_TRIES = 3  # a folder that another process is writing may change between two reads


@dataclass(frozen=True)
class Checksum:
    """The size and checksum of one file: a line of `checksums.jsonl`.

    Attributes:
        file: path below the folder, with `/`.
        size: in bytes; None if the file was removed.
        sha256: in hexadecimal digits; None if the file was removed.
    """

    file: str
    size: int | None
    sha256: str | None


@dataclass(frozen=True)
class ChangedFile:
    """A file that is not as it was written.

    Attributes:
        path: the file.
        state: what is wrong, such as `is empty; expected 812 bytes`.
        action: what to do, as sentences.
    """

    path: Path
    state: str
    action: str

    def __str__(self) -> str:
        return f"{self.path}: {self.state}. {self.action}"


def checksum_of(path: Path, file: str) -> Checksum:
    """Compute the checksum of a file that is or will be named `file`."""
    return Checksum(file, path.stat().st_size, file_sha256(path))


def sealed_text(checksums: Iterable[Checksum]) -> bytes:
    """Return the content of `checksums.jsonl` for some lines, ordered by file."""
    ordered = sorted(checksums, key=lambda one: one.file)
    lines = "".join(as_line(one) for one in ordered)
    digest = hashlib.sha256(lines.encode()).hexdigest()
    seal = {"checksums": _FORM, "files": len(ordered), "sha256": digest}
    return (json.dumps(seal) + "\n" + lines).encode()


def as_line(checksum: Checksum) -> str:
    """Return one line of `checksums.jsonl`."""
    return json.dumps(asdict(checksum), ensure_ascii=False) + "\n"


def read_checksums(folder: Path) -> dict[str, list[Checksum]] | None:
    """Read the lines of each file, in the order of writing; None if the folder has no checksums.

    Raises:
        DataError: `checksums.jsonl` is damaged.
    """
    path = folder / CHECKSUMS_FILE
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    seal, _, rest = content.partition(b"\n")
    found: dict[str, list[Checksum]] = {}
    try:
        about = json.loads(seal)
        lines = rest.split(b"\n")
        sealed = b"".join(line + b"\n" for line in lines[: about["files"]])
        if about["checksums"] != _FORM or hashlib.sha256(sealed).hexdigest() != about["sha256"]:
            raise ValueError
        for line in lines[:-1]:  # what follows the last line break was cut off while it was added
            one = Checksum(**json.loads(line))
            if wrong_fields(asdict(one), _TYPES) or not is_path_below(one.file):
                raise ValueError
            found.setdefault(one.file, []).append(one)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DataError(
            f"{path}: was changed or cut; expected the checksums that were written with the "
            f"{_kind(folder)}. Restore it from a backup. If you know that the other files are "
            f"right, write it anew with `clinical-symile verify --renew {folder}`.",
            code="CS-R017",
        ) from None
    return found


def changed_files(
    folder: Path,
    *,
    everything: bool,
    wanted: Callable[[str], bool] = lambda file: True,
    missing: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[ChangedFile]:
    """Compare the files of a folder with its checksums.

    Args:
        folder: a store, run or benchmark.
        everything: hash every file; else large files are compared by size.
        wanted: returns True for the files to compare.
        missing: report missing files, too.
        progress: called with files compared and all files.

    Returns:
        The files that differ; none if the folder has no checksums.

    Raises:
        DataError: the checksums are damaged.
    """
    found: list[ChangedFile] = []
    for attempt in range(_TRIES):
        known = read_checksums(folder)
        files = [file for file in known or {} if wanted(file)]
        if attempt:  # another process may have written them since the first comparison
            files = [file for file in files if folder / file in {one.path for one in found}]
        found = []
        for number, file in enumerate(files, start=1):
            lines = (known or {})[file][-2:]
            state = _state(folder / file, lines, missing=missing, hash_large=everything)
            if state:
                found.append(ChangedFile(folder / file, state, _action(folder, file)))
            progress(number, len(files))
        if not found or attempt == _TRIES - 1:
            return found
        time.sleep(0.1)
    return []


def check_folder(
    folder: Path,
    *,
    wanted: Callable[[str], bool] = lambda file: True,
    missing: bool = False,
) -> None:
    """Refuse a folder with files that are not as they were written.

    Sizes and the content of files of at most 16 MiB are compared. Pages are not: they are written
    anew from the results, and nothing reads them. A folder of an earlier version has no checksums,
    or none of the files that it had before: a warning says so. A missing file is left to the code
    that reads it.

    Args:
        folder: a store, run or benchmark; one that does not exist is not refused.
        wanted: returns True for the files to compare.
        missing: refuse a folder of which files are missing, too.

    Raises:
        DataError: files changed, or the checksums are damaged; all at once.
    """
    if not folder.is_dir():
        return
    if not (folder / CHECKSUMS_FILE).is_file():
        warn_unchecked(folder)
        return
    found = changed_files(
        folder,
        everything=False,
        wanted=lambda file: wanted(file) and not file.endswith(_PAGES),
        missing=missing,
    )
    if found:
        raise DataError(*map(str, found), code="CS-R017")
    _warn_unlisted(folder, wanted)


def _warn_unlisted(folder: Path, wanted: Callable[[str], bool]) -> None:
    """Warn of files that a version without checksums wrote before this one went on."""
    unlisted = [
        name
        for path in filter(is_package_file, unlisted_files(folder))
        if wanted(name := path.relative_to(folder).as_posix())
    ]
    if unlisted:
        more = f" and {len(unlisted) - 3} more files" if len(unlisted) > 3 else ""
        warnings.warn(
            f"{folder}: {', '.join(unlisted[:3])}{more} without a checksum: written by version "
            "0.2.1 or before, or added. Opened without a check. If you know that they are right, "
            f"`clinical-symile verify --renew {folder}` writes their checksums.",
            UncheckedFilesWarning,
            stacklevel=4,
        )


def check_tables(folder: Path) -> None:
    """Refuse a folder with changed files, or one that has lost a table of results.

    For readers that compute nothing, and would take a lost table for one that never was.

    Args:
        folder: a run or benchmark; one that does not exist is not refused.

    Raises:
        DataError: files changed, tables are missing, or the checksums are damaged; all at once.
    """
    check_folder(folder, wanted=lambda file: not file.endswith(_TABLES))
    if (folder / CHECKSUMS_FILE).is_file():
        check_folder(folder, wanted=lambda file: file.endswith(_TABLES), missing=True)


def warn_unchecked(folder: Path) -> None:
    """Warn that a store, run or benchmark has no checksums."""
    kind = _kind(folder)
    if kind != _OTHER and not (folder / CHECKSUMS_FILE).is_file():
        warnings.warn(
            f"{folder}: has no {CHECKSUMS_FILE}, as a {kind} of version 0.2.1 and before. It is "
            "opened without a check of its files. If you know that they are right, "
            f"`clinical-symile verify --renew {folder}` writes their checksums.",
            UncheckedFilesWarning,
            stacklevel=3,
        )


def check_content(path: Path, folder: Path) -> None:
    """Refuse one file of a folder if its content changed, however large it is.

    Raises:
        DataError: the content changed, or the checksums are damaged.
    """
    name = path.relative_to(folder).as_posix()
    found = changed_files(folder, everything=True, wanted=lambda file: file == name)
    if found and path.exists():
        raise DataError(*map(str, found), code="CS-R017")


def missing_files(folder: Path) -> set[str]:
    """Return the files that a folder had and that nothing of this package removed."""
    known = read_checksums(folder) or {}
    return {
        file
        for file, lines in known.items()
        if lines[-1].size is not None and not (folder / file).exists()
    }


def unlisted_files(folder: Path) -> list[Path]:
    """Return the files of a folder that have no checksum and lie in no folder with its own.

    Raw files, exports, and MLflow's database and files in a benchmark's folder are not its results.
    """
    known = read_checksums(folder) or {}
    found = []
    for place, folders, files in os.walk(folder):
        here = Path(place)
        inside = here != folder
        if inside and CHECKSUMS_FILE in files:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not is_left_out(Path(name)))
        found += [
            here / name
            for name in sorted(files)
            if name != CHECKSUMS_FILE
            and (here / name).relative_to(folder).as_posix() not in known
            and not is_left_out(Path(name))
        ]
    return found


def is_left_out(name: Path) -> bool:
    """Return True for raw files, exports, jobs, hidden and half-written files, MLflow's files."""
    return (
        name.name in LEFT_OUT_FOLDERS
        or name.name.startswith((".", "mlflow.db"))
        or name.name.endswith(_HALF_WRITTEN)
    )


def is_package_file(path: Path) -> bool:
    """Return True for the kinds of files that this package writes; pages are no evidence."""
    return path.suffix in _KINDS


def kept_lines(known: Mapping[str, Sequence[Checksum]], written: Collection[str]) -> list[Checksum]:
    """Return the lines that stay when writing ends.

    Args:
        known: all lines by file.
        written: the files whose last line is certain, because they were renamed into place.
    """
    kept: list[Checksum] = []
    for file, lines in known.items():
        last = list(lines)[-1:] if file in written else list(lines)[-2:]
        kept += [one for one in last if one.size is not None or len(last) > 1]
    return kept


def fitting_lines(path: Path, lines: Sequence[Checksum]) -> list[Checksum]:
    """Return the last of a file's lines that fits it as it is; the last two if none does."""
    if len(lines) == 1:
        return list(lines)
    exists = path.exists()
    now = checksum_of(path, lines[-1].file) if exists else Checksum(lines[-1].file, None, None)
    if now not in lines:
        return list(lines)[-2:]
    return [now] if exists else []


def _state(path: Path, lines: Sequence[Checksum], *, missing: bool, hash_large: bool) -> str | None:
    """Return what is wrong with a file; None if it fits one of its last two lines."""
    present = [one for one in lines if one.size is not None]
    try:
        size = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return "is missing" if missing and len(present) == len(lines) else None
    if not present:
        return None  # removed, and written by something else since
    if size not in [one.size for one in present]:
        found = f"has {size} bytes" if size else "is empty"
        return f"{found}; expected {present[-1].size} bytes"
    if not hash_large and size > ALWAYS_HASHED_BYTES:
        return None
    try:
        digest = file_sha256(path) if hash_large else _sha256_once(path)
    except FileNotFoundError:  # another process removed it meanwhile
        return "is missing" if missing and len(present) == len(lines) else None
    if digest not in [one.sha256 for one in present]:
        return "was changed since it was written; expected the content of then"
    return None


def _sha256_once(path: Path) -> str:
    """Return a file's checksum; a file that has not changed is not read again."""
    about = path.stat()
    return _sha256_cached(path, about.st_size, about.st_mtime_ns, about.st_ino)


@lru_cache(maxsize=1 << 14)
def _sha256_cached(path: Path, size: int, changed_ns: int, inode: int) -> str:
    del size, changed_ns, inode  # parts of the key alone
    return file_sha256(path)


def _kind(folder: Path) -> str:
    """Return what a folder is: `store`, `run`, `benchmark` or `folder`."""
    if (folder / "manifest.json").exists():
        return _STORE
    if (folder / "benchmark.json").exists():
        return _BENCHMARK
    if any((folder / name).exists() for name in ("run.toml", "results.jsonl", "last")):
        return _RUN
    return _OTHER


def _action(folder: Path, file: str) -> str:
    """Return what to do about a file that changed."""
    restore = "Restore it from a backup, or "
    kind, first = _kind(folder), file.partition("/")[0]
    if kind == _STORE:
        return f"{restore}remove the store and prepare it again."
    if kind == _BENCHMARK:
        return f"{restore}remove it and run the command that wrote it again."
    if (folder / "model.safetensors").exists() or first in ("model.safetensors", "last"):
        if first in _TRAINED:
            return f"{restore}remove the run's folder and train again."
        return f"{restore}remove it and run `clinical-symile evaluate` again."
    return f"{restore}remove the run's folder and evaluate again."

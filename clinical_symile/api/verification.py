"""Compare every file of a store, run, benchmark or bundle with its checksum."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinical_symile.api._arguments import PathLike, Paths
from clinical_symile.api.bundles import BundleVerification, verify_bundle
from clinical_symile.data.store_manifest import known_checksums
from clinical_symile.errors import DataError
from clinical_symile.files import lock_folder, write_checksums
from clinical_symile.hashing import file_sha256
from clinical_symile.registry.names import path_in
from clinical_symile.tracking.checksums import (
    CHECKSUMS_FILE,
    ChangedFile,
    changed_files,
    is_left_out,
    is_package_file,
    read_checksums,
    unlisted_files,
)
from clinical_symile.tracking.progress import ProgressBar, no_progress_bar
from clinical_symile.tracking.records import read_json

# The files by which a folder is known to be a store, a run or a benchmark.
_MARKS = ("manifest.json", "run.toml", "benchmark.json", "oracle.json", CHECKSUMS_FILE)
_PREPARE = "Restore it from a backup, or remove the store and prepare it again."


@dataclass(frozen=True)
class Verification:
    """The outcome of comparing the files of a folder, and of the folders in it, with checksums.

    Attributes:
        path: the folder.
        checked: number of files that were compared.
        changed: the files that differ, each with what is wrong and what to do.
        unchecked: folders without checksums, as versions before 0.2.2 wrote them.
        unlisted: files without a checksum: your own notes, or files of version 0.2.1 and before.
    """

    path: Path
    checked: int
    changed: tuple[ChangedFile, ...]
    unchecked: tuple[Path, ...]
    unlisted: tuple[Path, ...]

    @property
    def is_intact(self) -> bool:
        """True if every file that this package writes was compared and is as it was written."""
        unknown = [path for path in self.unlisted if is_package_file(path)]
        return not self.changed and not self.unchecked and not unknown

    def __str__(self) -> str:
        lines = [f"changed: {one}" for one in self.changed]
        lines += [
            f"cannot be verified: {folder}: has no {CHECKSUMS_FILE}, as folders of version 0.2.1 "
            "and before. If you know that its files are right, run `clinical-symile verify "
            f"--renew {folder}`."
            for folder in self.unchecked
        ]
        lines += [
            f"no checksum: {path}: it was added, or version 0.2.1 or earlier wrote it. If you know "
            f"that it is right, run `clinical-symile verify --renew {self.path}`."
            if is_package_file(path)
            else f"no checksum: {path}: it was added."
            for path in self.unlisted
        ]
        if self.unchecked and not self.checked:
            return "\n".join(lines)
        compared = [one for one in self.changed if one.path.name != CHECKSUMS_FILE]
        intact = self.checked - len(compared)
        files = "file is" if intact == 1 else "files are"
        return "\n".join([*lines, f"{self.path}: {intact} {files} as written."])


def verify(
    path: PathLike,
    *,
    renew: bool = False,
    run: PathLike | None = None,
    store: PathLike | None = None,
    lines: Sequence[int] = (),
    tolerance: float | None = None,
    signers: PathLike | None = None,
    catalog: Paths = (),
    bar: ProgressBar = no_progress_bar,
) -> Verification | BundleVerification:
    """Compare every file of a store, run, benchmark or bundle with its checksum.

    Stores and runs inside a folder are compared as well. Of a bundle, the form of each record is
    checked too, and the report is rendered again from the other files.

    Args:
        path: the folder, or the file of a bundle.
        renew: write the checksums anew for the files as they are, because you know that they are
            right. What changed before is not noticed any more.
        run: the folder of a bundle's benchmark or of one of its runs: results are computed again.
        store: what was evaluated; without it, the place that the benchmark or run has recorded.
        lines: lines of the bundle's `results.jsonl` to compute again, from 1; without it, three of
            those that can be.
        tolerance: the largest difference on another processor, or with other versions or threads;
            without it, what one sample can change: 1 / number of samples, or the step of a
            rounded result. With the same processor, versions and threads, no digit may differ.
        signers: a file of allowed signers; the bundle must be signed by one of them.
        catalog: folders with definitions of your own.
        bar: makes a progress bar for a label.

    Returns:
        The files that differ, folders without checksums, and files without one. For a bundle, what
        was checked, and what is not as it should be.

    Raises:
        DataError: the folder is no store, run or benchmark and holds none; or the file is no
            bundle; or an option does not go with the path or with the others.

    Examples:
        >>> cs.verify("store").is_intact
        True
    """
    path = Path(path)
    again = {"store": store, "lines": lines or None, "tolerance": tolerance}
    _refuse_options(path, renew=renew, run=run, signers=signers, again=again)
    if path.is_file():
        return verify_bundle(
            path,
            run=None if run is None else Path(run),
            store=None if store is None else Path(store),
            lines=lines,
            tolerance=tolerance,
            signers=None if signers is None else Path(signers),
            catalog=catalog,
        )
    return verify_folder(path, renew=renew, bar=bar)


def _refuse_options(
    path: Path,
    *,
    renew: bool,
    run: PathLike | None,
    signers: PathLike | None,
    again: Mapping[str, Any],
) -> None:
    """Refuse options that would be ignored.

    Raises:
        DataError: an option is for folders or for bundles alone, needs `run`, or is out of range.
    """
    given = [name for name, value in again.items() if value is not None]
    if path.is_file():
        problems = ["renew is for folders; leave it out."] if renew else []
        if run is None:
            problems += [
                f"{name} is for results that are computed again; name run." for name in given
            ]
    else:
        given += [name for name, value in (("run", run), ("signers", signers)) if value is not None]
        problems = [f"{name} is for bundles; leave it out." for name in given]
    tolerance = again["tolerance"]
    if tolerance is not None and not 0 <= tolerance < math.inf:
        problems.append(f"tolerance is {tolerance}; expected a number of 0 or more.")
    if problems:
        raise DataError(*(f"{path}: {problem}" for problem in problems), code="CS-U001")


def verify_folder(
    path: Path, *, renew: bool = False, bar: ProgressBar = no_progress_bar
) -> Verification:
    """Compare every file of a folder with its checksum; see `verify`."""
    folders = _folders(path)
    if not folders:
        raise DataError(
            f"{path}: holds no store, run or benchmark; expected the folder of one. Correct the "
            "path.",
            code="CS-R018",
        )
    if renew:
        for folder in reversed(folders):  # a folder's files are listed by the innermost one
            with lock_folder(folder):
                write_checksums(folder)
    changed, unchecked, unlisted, checked = [], [], [], 0
    for folder in folders:
        with bar(f"Verify {folder.name}") as progress:
            if not (folder / CHECKSUMS_FILE).is_file():
                listed, found = _compare_with_manifest(folder)
                checked += listed
                changed += found
                unchecked.append(folder)
                continue
            try:
                checked += len(read_checksums(folder) or {})
                changed += changed_files(folder, everything=True, progress=progress)
                unlisted += unlisted_files(folder)
            except DataError as error:
                state = str(error.problems[0]).partition(": ")[2].rstrip()
                changed.append(ChangedFile(folder / CHECKSUMS_FILE, state.rstrip("."), ""))
        changed += _lost_runs(folder)
    return Verification(path, checked, tuple(changed), tuple(unchecked), tuple(unlisted))


def _folders(path: Path) -> list[Path]:
    """Return every store, run and benchmark at or below a path, in order."""
    found = []
    for place, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not is_left_out(Path(name)))
        if set(_MARKS) & set(files):
            found.append(Path(place))
    return found


def _lost_runs(folder: Path) -> list[ChangedFile]:
    """Name the runs of a benchmark's record whose folders are gone."""
    try:
        record = read_json(folder / "benchmark.json", types={"runs": list[str]}, action="")
        runs = [path_in(folder / "runs", name) for name in record["runs"]]
    except (OSError, DataError):
        return []  # no benchmark, or a damaged record, which its checksum shows
    action = "Restore it from a backup, or run the command that made the benchmark again."
    return [ChangedFile(run, "is missing", action) for run in runs if not run.is_dir()]


def _compare_with_manifest(folder: Path) -> tuple[int, Sequence[ChangedFile]]:
    """Compare the arrays and tables of an old store with its manifest; return how many and which.

    Runs and benchmarks of before 0.2.2 have no checksum of any file.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        return 0, []
    try:
        expected = known_checksums(folder)
    except DataError:
        return 0, [ChangedFile(path, "is not the manifest of a store", _PREPARE)]
    found = []
    for name, sha256 in expected.items():
        if not (folder / name).is_file():
            found.append(ChangedFile(folder / name, "is missing", _PREPARE))
        elif file_sha256(folder / name) != sha256:
            found.append(ChangedFile(folder / name, "its checksum is not the manifest's", _PREPARE))
    return len(expected), found

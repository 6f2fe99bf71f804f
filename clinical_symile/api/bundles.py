"""Make a bundle of a finished benchmark, and verify one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clinical_symile.api._arguments import PathLike, Paths, as_paths, open_definitions
from clinical_symile.api.repetition import Repetition, repeat_row
from clinical_symile.errors import DataError
from clinical_symile.files import write_bytes
from clinical_symile.registry.names import is_name, path_in
from clinical_symile.registry.run_names import ORACLE
from clinical_symile.reporting.benchmark_report import BENCHMARK_FILE
from clinical_symile.reporting.bundle import (
    BUNDLE_SUFFIX,
    bundle_files,
    check_bundle,
    open_bundle,
)
from clinical_symile.reporting.leaderboard import BundleContent, rank_bundles
from clinical_symile.reporting.leaderboard_page import write_leaderboard
from clinical_symile.tracking import signature as signatures
from clinical_symile.tracking.archive import (
    MANIFEST_FILE,
    SIGNATURE_FILE,
    archive_bytes,
    read_archive,
)
from clinical_symile.tracking.checksums import check_folder
from clinical_symile.tracking.results import Result
from clinical_symile.tracking.rounding import value_step
from clinical_symile.tracking.run import Run

_REPEATED = 3  # lines that are computed again unless lines are named


@dataclass(frozen=True)
class BundleVerification:
    """The outcome of verifying a bundle.

    Attributes:
        path: the bundle.
        passed: what is as it should be, a sentence each.
        problems: what is not, a sentence each.
        repetitions: the results that were computed again, by their line of `results.jsonl`.
        skipped: what was not checked and why, a sentence each.
    """

    path: Path
    passed: tuple[str, ...]
    problems: tuple[str, ...]
    repetitions: dict[int, Repetition]
    skipped: tuple[str, ...] = ()

    @property
    def is_intact(self) -> bool:
        """True if there is no problem."""
        return not self.problems

    def __str__(self) -> str:
        lines = [*self.passed, *(f"not checked: {one}" for one in self.skipped)]
        lines += [f"problem: {problem}" for problem in self.problems]
        end = "is as it was made" if self.is_intact else "is not as it should be"
        return "\n".join([*lines, f"{self.path}: {end}."])


def bundle(
    folder: PathLike,
    *,
    into: PathLike | None = None,
    sign: PathLike | None = None,
    catalog: Paths = (),
) -> Path:
    """Write a finished benchmark as one archive: definitions, digests, results and the report.

    The archive has no row of the store, no identifier, and no result that reports withhold. Its
    rows state sizes exactly, which computing a result again needs. Of real subjects, no two of them
    differ by fewer than ten: results with others are left out and listed as withheld. The same
    folder gives the same bytes.

    Args:
        folder: the benchmark's folder.
        into: the archive; without it, `NAME.bundle.zip` beside the folder.
        sign: a private SSH key to sign the hashes with.
        catalog: folders with definitions of your own.

    Returns:
        The archive.

    Raises:
        DefinitionError: the report's definition has a problem.
        DataError: the folder is not one of a finished benchmark, files in it were changed, the
            archive cannot be a file there, or the key cannot sign.

    Examples:
        >>> cs.bundle("demo").name
        'demo.bundle.zip'
    """
    folder = Path(folder)
    place = folder.resolve()
    target = place.with_name(place.name + BUNDLE_SUFFIX) if into is None else Path(into)
    if target.is_dir():
        raise DataError(
            f"{target}: is a folder; expected the path of a file to write, such as "
            f"{target / (place.name + BUNDLE_SUFFIX)}. Correct the path.",
            code="CS-R025",
        )
    _check_folder_to_write(target.parent)
    if sign is not None:
        signatures.check_key(Path(sign))
    files = bundle_files(folder, catalog=open_definitions(catalog))
    if sign is not None:
        files[SIGNATURE_FILE] = signatures.sign(files[MANIFEST_FILE], Path(sign))
    write_bytes(target, archive_bytes(files))
    return target


def leaderboard(bundles: Paths, *, out: PathLike, catalog: Paths = ()) -> Path:
    """Rank the runs of bundles on the same questions: a page that loads nothing else, and a table.

    Results are ranked together only if their task, cohort, store, candidate lists, mask and version
    are the same; the page says why others are not. Baselines take part, the oracle does not.

    Args:
        bundles: files that `bundle` wrote.
        out: the folder of `leaderboard.html` and `leaderboard.csv`.
        catalog: folders with definitions of your own.

    Returns:
        The page.

    Raises:
        DataError: `out` cannot be a folder, a file is no bundle or was changed, or two have the
            same name.

    Examples:
        >>> cs.leaderboard(["demo.bundle.zip"], out="board").name
        'leaderboard.html'
    """
    _check_folder_to_write(Path(out))
    definitions = open_definitions(catalog)
    opened: dict[str, BundleContent] = {}
    problems: list[str] = []
    for path in as_paths(bundles):
        try:
            found = open_bundle(path, catalog=definitions)
        except DataError as error:
            problems += error.problems
            continue
        if found.name in opened:
            problems.append(f"{path}: another bundle is called {found.name}, too. Rename one.")
        opened[found.name] = found
    if problems or not opened:
        raise DataError(*(problems or ["no bundle is named. Name one."]), code="CS-R023")
    rankings = rank_bundles([*opened.values()])
    if not any(ranking.entries for ranking in rankings):
        raise DataError(
            f"{', '.join(opened)}: no run has a primary result; expected bundles of benchmarks "
            "with results.",
            code="CS-R023",
        )
    page, _ = write_leaderboard(rankings, [*opened.values()], out=Path(out))
    return page


def _check_folder_to_write(folder: Path) -> None:
    """Refuse a folder that cannot be made because a file is in its place or above it.

    Raises:
        DataError: there is such a file.
    """
    for place in (folder, *folder.parents):
        if place.exists() and not place.is_dir():
            raise DataError(
                f"{place}: is a file; expected a folder to write into. Choose another path.",
                code="CS-R025",
            )


def verify_bundle(
    path: Path,
    *,
    run: Path | None,
    store: Path | None,
    lines: Sequence[int],
    tolerance: float | None,
    signers: Path | None,
    catalog: Paths,
) -> BundleVerification:
    """Verify a bundle; see `verify`."""
    files, definitions = read_archive(path), open_definitions(catalog)
    checked = check_bundle(files, where=str(path), catalog=definitions)
    passed, problems = [*checked.passed], [*checked.problems]
    try:
        passed += _signature(files, signers)
    except DataError as error:
        problems += [problem.at(SIGNATURE_FILE) for problem in error.problems]
    repetitions: dict[int, Repetition] = {}
    if run is not None and checked.data is not None:
        rows = checked.data.results
        check_folder(run)
        for line in _lines(path, rows, run, lines):
            row = rows[line - 1]
            where = f"results.jsonl, line {line}"
            try:
                found = repeat_row(row, run, store=store, definitions=definitions, where=where)
            except DataError as error:
                problems += [f"{where}: {problem}" for problem in error.problems]
                continue
            if row.rounded:
                found = found.rounded()
            repetitions[line] = found
            verdict, is_fine = _judged(found, tolerance)
            (passed if is_fine else problems).append(f"{where}: {verdict}")
    return BundleVerification(path, tuple(passed), tuple(problems), repetitions, checked.skipped)


def _signature(files: dict[str, bytes], signers: Path | None) -> list[str]:
    """Verify the signature, and return who signed.

    Raises:
        DataError: it is not valid, or there is none although signers are named.
    """
    signature = files.get(SIGNATURE_FILE)
    if signature is None:
        if signers is not None:
            raise DataError(
                "is missing; expected a signature. Ask the author for a signed bundle.",
                code="CS-R024",
            )
        return []
    who = signatures.signer_of(files.get(MANIFEST_FILE, b""), signature, signers=signers)
    if signers is not None:
        return [f"Signed by {who}."]
    return [f"Signed with the key {who}. Whose key it is says --signers alone."]


def _lines(path: Path, rows: Sequence[Result], run: Path, lines: Sequence[int]) -> list[int]:
    """Return the lines to compute again: those that are named, else some of what can be.

    Raises:
        DataError: a line is not there, or no line can be computed again.
    """
    if wrong := [line for line in lines if not 1 <= line <= len(rows)]:
        raise DataError(
            f"{path}: has {len(rows)} lines of results; expected one of these, not line "
            f"{wrong[0]}. Correct --line.",
            code="CS-R019",
        )
    if lines:
        return [*lines]
    possible = [number for number, row in enumerate(rows, 1) if _can_repeat(row, run)]
    if not possible:
        raise DataError(
            f"{run}: has no run of this bundle that can be computed again; expected the "
            "benchmark's folder, or a trained run's. Correct --run.",
            code="CS-R019",
        )
    number = min(_REPEATED, len(possible))
    return [possible[len(possible) * (2 * place + 1) // (2 * number)] for place in range(number)]


def _can_repeat(row: Result, folder: Path) -> bool:
    """Return True for a result of the oracle or of a trained run in a folder."""
    if not (folder / BENCHMARK_FILE).is_file():
        return row.run == folder.resolve().name
    if not is_name(row.run) or not path_in(folder / "runs", row.run).is_dir():
        return False
    return row.run == ORACLE or Run(path_in(folder / "runs", row.run)).is_trained


def _judged(found: Repetition, tolerance: float | None) -> tuple[str, bool]:
    """Return a sentence on a result that was computed again, and whether it is as expected."""
    row = found.before
    about = f"{row.run}, {row.task}, {row.missingness}: {row.metric}"
    if found.is_same:
        return f"{about} = {found.after.value!r} was computed again: the same to the digit.", True
    differs = "; ".join(
        f"{key} {old!r} in the bundle, {new!r} now" for key, (old, new) in found.differences.items()
    )
    changed = "; ".join(found.changed_environment)
    if not changed:
        return f"{about} differs, with the same processor, threads and versions: {differs}.", False
    least = value_step(row.n_samples) if row.rounded else 1 / row.n_samples
    tolerance = least if tolerance is None else tolerance
    if not found.is_within(tolerance):
        return (
            f"{about} differs by more than {tolerance:.2g}: {differs}. Made with: {changed}.",
            False,
        )
    words = f"{about} was computed again: the same within {tolerance:.2g}, not to the digit"
    return f"{words} ({differs}). Made with: {changed}.", True

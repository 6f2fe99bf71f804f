"""Compute one line of a results file again and compare it to the digit."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clinical_symile.api._arguments import PathLike, Paths, open_definitions
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import read_task
from clinical_symile.data.external.training_inputs import INPUTS_FILE
from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.data.store_manifest import is_synthetic
from clinical_symile.errors import DataError
from clinical_symile.evaluation.fingerprint import expected_fingerprints
from clinical_symile.evaluation.task_selection import EvaluationTask
from clinical_symile.registry.names import path_in
from clinical_symile.reporting.benchmark_report import (
    BENCHMARK_FILE,
    benchmark_tasks,
    open_recorded_store,
    read_record,
)
from clinical_symile.tracking.checksums import check_folder
from clinical_symile.tracking.records import read_json
from clinical_symile.tracking.results import Result, read_rows
from clinical_symile.tracking.rounding import rounded_rows
from clinical_symile.tracking.run import Run


@dataclass(frozen=True)
class Repetition:
    """A result and the same result computed again, alone.

    Attributes:
        before: the line of the file.
        after: the new result.
        differences: the old and the new value of each field that differs; `environment` is not
            compared.
        synthetic: True if no subject is real; words on real ones have rounded numbers.
    """

    before: Result
    after: Result
    differences: dict[str, tuple[Any, Any]]
    synthetic: bool = False

    @property
    def is_same(self) -> bool:
        """True if every field is the same to the digit."""
        return not self.differences

    @property
    def changed_environment(self) -> list[str]:
        """The processor, threads and versions that differ, in words."""
        old, new = dict(self.before.environment), dict(self.after.environment)
        return [
            f"{key} {old.get(key, 'not recorded')} before, {new.get(key)} now"
            for key in new
            if old.get(key) != new[key]
        ]

    def is_within(self, tolerance: float) -> bool:
        """Return True if numbers differ by at most a tolerance, and nothing else differs."""
        return all(_is_close(old, new, tolerance) for old, new in self.differences.values())

    def rounded(self) -> "Repetition":
        """Return the same with the new result rounded, as a bundle of real subjects has it."""
        (after,) = rounded_rows([self.after])
        return Repetition(self.before, after, _differences(self.before, after))

    def __str__(self) -> str:
        row = self.before
        shown = self.after if self.synthetic else rounded_rows([self.after])[0]
        lines = [f"{row.run}, {row.task}, {row.missingness}: {row.metric} = {shown.value!r}"]
        if self.is_same:
            return "\n".join([*lines, "The same to the digit."])
        lines += [
            f"{key}: {old!r} before, {new!r} now" if self.synthetic else _words(key, old, new)
            for key, (old, new) in self.differences.items()
        ]
        changed = self.changed_environment
        return "\n".join([*lines, *(["Made with: " + "; ".join(changed) + "."] if changed else [])])


def _words(key: str, old: Any, new: Any) -> str:
    """Say how two values on real subjects differ, without the values."""
    if isinstance(old, float) and isinstance(new, float):  # whole numbers are sizes
        return f"{key}: differs by {abs(new - old):.1g}"
    return f"{key}: differs"


def _is_close(old: Any, new: Any, tolerance: float) -> bool:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return old.keys() == new.keys() and all(
            _is_close(old[key], new[key], tolerance) for key in old
        )
    if isinstance(old, float) and isinstance(new, float):
        return abs(old - new) <= tolerance
    return old == new


def rerun(
    results: PathLike, line: int, *, store: PathLike | None = None, catalog: Paths = ()
) -> Repetition:
    """Compute one line of a results file again, alone, and compare it.

    The line is one of a trained run or of the oracle. Nothing is written.

    Args:
        results: `results.jsonl` of a run or benchmark, or the folder.
        line: its number, from 1.
        store: what was evaluated; without it, the place that the benchmark or run has recorded.
        catalog: folders with definitions of your own.

    Returns:
        Both results and how they differ.

    Raises:
        DataError: there is no such line, the run or store is not there, or the task, store or
            version is another one.

    Examples:
        >>> cs.rerun("runs/symile-0", 1).is_same
        True
    """
    path = Path(results)
    path = path / "results.jsonl" if path.is_dir() else path
    folder = path.parent
    check_folder(folder)
    rows = read_rows(path, Result)
    if not 1 <= line <= len(rows):
        raise DataError(
            f"{path}: has {len(rows)} lines; expected one of these, not line {line}. Correct "
            "--line.",
            code="CS-R019",
        )
    place = None if store is None else Path(store)
    return repeat_row(
        rows[line - 1],
        folder,
        store=place,
        definitions=open_definitions(catalog),
        where=f"{path}, line {line}",
    )


def repeat_row(
    row: Result, folder: Path, *, store: Path | None, definitions: Catalog, where: str
) -> Repetition:
    """Compute a result again, alone, and compare it.

    Args:
        row: the result.
        folder: of its run, or of a benchmark with its run.
        store: what was evaluated; None for the place that the folder has recorded.
        definitions: where the tasks are.
        where: the line of the result, for messages.

    Raises:
        DataError: see `rerun`.
    """
    is_benchmark = (folder / BENCHMARK_FILE).is_file()
    run = Run(path_in(folder / "runs", row.run) if is_benchmark else folder)
    check_folder(run.path)
    opened = open_store(store) if store is not None else _recorded_store(folder, run)
    task = _asked_task(row, folder if is_benchmark else run.path, opened, definitions)
    if task is None:
        raise DataError(
            f"{where}: task '{row.task}' is not known. Name the folder of its "
            "definition with --catalog.",
            code="CS-R019",
        )
    from clinical_symile.evaluation.single_result import compute_again  # loads PyTorch

    after = compute_again(row, run, task, opened)
    return Repetition(row, after, _differences(row, after), is_synthetic(opened.manifest))


def _differences(before: Result, after: Result) -> dict[str, tuple[Any, Any]]:
    old, new = asdict(before), asdict(after)
    return {
        key: (old[key], new[key]) for key in old if key != "environment" and old[key] != new[key]
    }


def _asked_task(
    row: Result, folder: Path, store: CohortStore, definitions: Catalog
) -> EvaluationTask | None:
    """Return the task of a result: the benchmark's, with its patterns, or the catalog's.

    A run in a benchmark may have been evaluated by either.
    """
    place = folder if (folder / BENCHMARK_FILE).is_file() else folder.resolve().parent.parent
    is_part = (place / BENCHMARK_FILE).is_file()
    known = benchmark_tasks(read_record(place), catalog=definitions) if is_part else {}
    found = known.get(row.task)
    if place == folder or (
        found and expected_fingerprints(found, store)(row.missingness) == row.digest
    ):
        return found
    task = read_task(definitions, row.task)
    return None if isinstance(task, Pretraining) else task


def _recorded_store(folder: Path, run: Run) -> CohortStore:
    """Open the store that a benchmark or a run has recorded.

    Raises:
        DataError: none is recorded.
    """
    if (folder / BENCHMARK_FILE).is_file():
        return open_recorded_store(folder, read_record(folder))
    inputs = run.path / INPUTS_FILE
    if not inputs.is_file():
        raise DataError(
            f"{run.path}: does not say which store it was evaluated on. Name it with --store.",
            code="CS-R019",
        )
    action = "Name the store with --store."
    place = read_json(inputs, types={"store": str}, action=action)["store"]
    return open_store(run.path.resolve() / str(place))

"""Read what a card or a checklist is filled from: a benchmark's folder, or a run's."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.external.training_inputs import INPUTS_FILE
from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.errors import DataError
from clinical_symile.evaluation.task_selection import EvaluationTask
from clinical_symile.registry.names import path_in
from clinical_symile.registry.run_names import ORACLE
from clinical_symile.reporting.benchmark_report import (
    BENCHMARK_FILE,
    benchmark_tasks,
    load_benchmark,
    open_recorded_store,
    read_record,
)
from clinical_symile.reporting.report_data import ReportData
from clinical_symile.reporting.run_data import (
    of_synthetic_subjects,
    read_exact_runs,
    task_table,
    with_rounded_data,
)
from clinical_symile.tracking.checksums import check_tables
from clinical_symile.tracking.disclosure import shareable, withheld_patterns
from clinical_symile.tracking.records import read_json
from clinical_symile.tracking.results import Comparison, read_rows
from clinical_symile.tracking.run import Run

_ACTION = "Name the store with --store."


def is_store(path: Path) -> bool:
    """Return whether a folder looks like a store."""
    return (path / "manifest.json").is_file()


def is_benchmark(path: Path) -> bool:
    """Return whether a folder looks like a finished benchmark."""
    return (path / BENCHMARK_FILE).is_file()


def load_records(path: Path, *, catalog: Catalog, store: Path | None = None) -> ReportData:
    """Read the records of a finished benchmark or of one evaluated run.

    Args:
        path: the folder.
        catalog: where the tasks are.
        store: of a run: its store; without it, the store that the run has recorded, if it is still
            there. A benchmark knows its own.

    Returns:
        The records without results that rest on too few subjects. `cohort` is empty where the store
        is not there.

    Raises:
        DataError: the folder is neither, it has no results, or `store` is another one.
    """
    if is_benchmark(path):
        return load_benchmark(path, catalog=catalog)
    run = _evaluated_run(path)
    found = run_store(run, store)
    tables = {name: task_table(task) for name, task in _tasks(run, catalog).items()}
    data = read_exact_runs([run], tables)
    is_model = not run.is_baseline and run.name != ORACLE
    if is_model and not run.is_trained:  # external, or evaluated on another cohort
        data = replace(data, runs=[{**run.metadata, "name": run.name, "task": run.name}])
    data = replace(
        data,
        comparisons=_compared(run, "comparisons"),
        losses=_compared(run, "losses"),
        cohort={} if found is None else dict(found.manifest),
        versions=run.metadata.get("versions", {}),
    )
    is_synthetic = data.synthetic or of_synthetic_subjects([run])
    return data if is_synthetic else with_rounded_data(data, [run])


def run_store(run: Run, store: Path | None) -> CohortStore | None:
    """Open the store that a run was evaluated on.

    Args:
        run: the run.
        store: its place; None for the place that the run has recorded.

    Returns:
        The store; None if none is named and none is where the run has recorded it.

    Raises:
        DataError: the store is another one.
    """
    known = run.metadata.get("store_digest")
    if store is None:
        inputs = run.path / INPUTS_FILE
        if not inputs.is_file():
            return None
        place = read_json(inputs, types={"store": str}, action=_ACTION)["store"]
        found = run.path.resolve() / str(place)
        if not is_store(found):
            return None
        opened = open_store(found)
        return opened if opened.digest == known else None
    opened = open_store(store)
    evaluated = {row.cohort for row in run.results}
    if opened.digest != known and (opened.cohort == run.metadata.get("cohort") or not evaluated):
        raise DataError(
            f"{store}: is store {opened.digest}; {run.path} was trained on store {known}. Name "
            "that one.",
            code="CS-R006",
        )
    return opened


def evaluated_runs(
    path: Path, *, store: Path | None, catalog: Catalog
) -> tuple[CohortStore, list[Run], dict[str, EvaluationTask]]:
    """Return the store, the evaluated runs and the tasks of a benchmark's or a run's folder.

    Args:
        path: the folder.
        store: of a run: see `load_records`.
        catalog: where the tasks are.

    Raises:
        DataError: the folder is neither, it has no results, or the store is not there.
    """
    if is_benchmark(path):
        check_tables(path)
        record = read_record(path)
        runs = [Run(path_in(path / "runs", name)) for name in record["runs"]]
        tasks = benchmark_tasks(record, catalog=catalog)
        return open_recorded_store(path, record), [run for run in runs if run.results], tasks
    run = _evaluated_run(path)
    found = run_store(run, store)
    if found is None:
        raise DataError(
            f"{path}: the store that it was evaluated on is not where the run has recorded it. "
            f"{_ACTION}",
            code="CS-R013",
        )
    return found, [run], _tasks(run, catalog)


def _evaluated_run(path: Path) -> Run:
    """Return the run of a folder.

    Raises:
        DataError: the folder is no run's, or it has no results.
    """
    run = Run(path)
    if is_store(path) or not (path / "run.toml").is_file():
        raise DataError(
            f"{path}: is neither a benchmark nor a run; expected a folder with {BENCHMARK_FILE} or "
            "run.toml. Correct the path.",
            code="CS-R001",
        )
    check_tables(path)
    if not run.results:
        raise DataError(
            f"{path}: was not evaluated. Run `clinical-symile evaluate` first.", code="CS-R011"
        )
    return run


def _tasks(run: Run, catalog: Catalog) -> dict[str, EvaluationTask]:
    """Return the run's tasks.

    Raises:
        DefinitionError: a task is in no catalog.
    """
    tables: Mapping[str, Any] = {
        name: read_task(catalog, name) for name in dict.fromkeys(row.task for row in run.results)
    }
    return {
        name: task for name, task in tables.items() if isinstance(task, Retrieval | Classification)
    }


def _compared(run: Run, name: str) -> list[Comparison]:
    path = path_in(run.path, name, suffix=".jsonl")
    rows = read_rows(path, Comparison) if path.is_file() else []
    return shareable(rows, withheld_patterns(run.results))

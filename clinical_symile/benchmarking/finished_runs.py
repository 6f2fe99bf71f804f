"""Make a benchmark of finished runs: evaluate them on a report's tasks, compare, and report."""

import time
from collections.abc import Mapping
from pathlib import Path

from clinical_symile.benchmarking.earlier import earlier_record, earlier_settings
from clinical_symile.benchmarking.finalize import EvaluatedRuns, finalize_benchmark
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.report_file import benchmark_requirements
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.evaluation.runner import evaluate_run
from clinical_symile.evaluation.task_selection import (
    EvaluationTask,
    applicable_tasks,
    with_patterns,
)
from clinical_symile.files import lock_folder
from clinical_symile.registry.names import path_in
from clinical_symile.registry.run_names import ORACLE
from clinical_symile.reporting.benchmark_report import Benchmark, benchmark_tasks
from clinical_symile.tracking.progress import ProgressBar
from clinical_symile.tracking.run import Run


def report_finished_runs(
    report: str, *, catalog: Catalog, store: CohortStore, out: Path, bar: ProgressBar
) -> Benchmark:
    """Evaluate every finished run below `out/runs` as a report asks, and write the benchmark.

    A task that a run has results of under all patterns is not evaluated again. A benchmark that the
    folder holds keeps its runs, tasks, patterns, notes, margin and settings; those of the report
    are added.

    Args:
        report: name of the report, which names the tasks and patterns.
        catalog: where the definitions are.
        store: the cohort that all runs were trained on.
        out: the benchmark's folder; its runs are in `runs`.
        bar: makes a progress bar for a label.

    Raises:
        DefinitionError: there is no such report, or no task of it applies to the store.
        DataError: there is no finished run, or one or the benchmark is of another store.
    """
    started = time.perf_counter()
    needed = benchmark_requirements(catalog.path("reports", report))
    tasks, notes = applicable_tasks(catalog, store, patterns=needed.tasks)
    if needed.missingness:
        tasks = [with_patterns(task, needed.missingness) for task in tasks]
    with lock_folder(out):
        folders = [path for path in sorted((out / "runs").glob("*")) if path.is_dir()]
        trained = [run for run in map(Run, folders) if run.is_trained and run.is_finished]
        if not trained:
            raise DataError(
                f"{out / 'runs'}: has no finished run; expected those of `train --out` or "
                "`interpolate --out` with this folder. Write them first.",
                code="CS-R005",
            )
        before = earlier_record(out, store)
        known = benchmark_tasks(before, catalog=catalog)
        asked = {**known, **{task.name: _with_patterns_of(known, task) for task in tasks}}
        for run in trained:
            with bar(f"Evaluate {run.name}") as progress:
                evaluate_run(run, list(asked.values()), store=store, progress=progress)
        names = dict.fromkeys([*before["runs"], *(run.name for run in trained)])
        evaluated = EvaluatedRuns(
            out=out,
            report=report,
            store=store,
            runs=tuple(Run(path_in(out / "runs", name)) for name in names if name != ORACLE),
            tasks=tuple(asked.values()),
            notes=tuple(dict.fromkeys([*before["notes"], *notes])),
            description=before["description"],
            margin=before.get("margin"),
            primary=tuple(before.get("primary") or ()),
            started=started,
            tried=earlier_settings(out),
        )
        return finalize_benchmark(evaluated, catalog=catalog, bar=bar)


def _with_patterns_of(known: Mapping[str, EvaluationTask], task: EvaluationTask) -> EvaluationTask:
    """Return a task with the patterns of the benchmark that has it, and then its own."""
    before = known[task.name].missingness if task.name in known else ()
    return with_patterns(task, list(dict.fromkeys([*before, *task.missingness])))

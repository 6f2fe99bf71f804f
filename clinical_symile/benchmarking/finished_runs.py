"""Make a benchmark of finished runs: evaluate them on a report's tasks, compare, and report."""

import time
from pathlib import Path

from clinical_symile.benchmarking.finalize import EvaluatedRuns, finalize_benchmark
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.report_file import benchmark_requirements
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.evaluation.runner import evaluate_run
from clinical_symile.evaluation.task_selection import applicable_tasks, with_patterns
from clinical_symile.files import lock_folder
from clinical_symile.reporting.benchmark_report import Benchmark
from clinical_symile.tracking.progress import ProgressBar
from clinical_symile.tracking.run import Run


def report_finished_runs(
    report: str, *, catalog: Catalog, store: CohortStore, out: Path, bar: ProgressBar
) -> Benchmark:
    """Evaluate every finished run below `out/runs` as a report asks, and write the benchmark.

    A task that a run has results of under all patterns is not evaluated again.

    Args:
        report: name of the report, which names the tasks and patterns.
        catalog: where the definitions are.
        store: the cohort that all runs were trained on.
        out: the benchmark's folder; its runs are in `runs`.
        bar: makes a progress bar for a label.

    Raises:
        DefinitionError: there is no such report, or no task of it applies to the store.
        DataError: there is no finished run, or one was trained on another store.
    """
    started = time.perf_counter()
    needed = benchmark_requirements(catalog.path("reports", report))
    tasks, notes = applicable_tasks(catalog, store, patterns=needed.tasks)
    if needed.missingness:
        tasks = [with_patterns(task, needed.missingness) for task in tasks]
    with lock_folder(out):
        folders = [path for path in sorted((out / "runs").glob("*")) if path.is_dir()]
        runs = [run for run in map(Run, folders) if run.is_trained and run.is_finished]
        if not runs:
            raise DataError(
                f"{out / 'runs'}: has no finished run; expected those of `train --out` or "
                "`interpolate --out` with this folder. Write them first.",
                code="CS-R005",
            )
        for run in runs:
            with bar(f"Evaluate {run.name}") as progress:
                evaluate_run(run, tasks, store=store, progress=progress)
        evaluated = EvaluatedRuns(
            out=out,
            report=report,
            store=store,
            runs=tuple(runs),
            tasks=tuple(tasks),
            notes=tuple(notes),
            description=store.manifest["description"],
            margin=None,
            started=started,
        )
        return finalize_benchmark(evaluated, catalog=catalog, bar=bar)

"""What a benchmark ends with: comparisons, all that is told of its runs, the page, the mirror."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from itertools import combinations
from pathlib import Path
from typing import TypeVar

from clinical_symile.config.catalog import Catalog
from clinical_symile.data.ingest.decode import Progress
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.analysis.analyze import analyze_run
from clinical_symile.evaluation.analysis.mask_predictability import analyze_masks
from clinical_symile.evaluation.analysis.method_ranking import rank_and_decompose
from clinical_symile.evaluation.compare import adjust_p_values, compare, losses_under_missingness
from clinical_symile.evaluation.fingerprint import expected_fingerprints
from clinical_symile.evaluation.runner import evaluate_oracle
from clinical_symile.evaluation.task_selection import EvaluationTask
from clinical_symile.reporting.benchmark_report import RECORD, Benchmark, render_report
from clinical_symile.reporting.result_lookup import ORACLE
from clinical_symile.tracking.mlflow import sync_run, tracking_uri
from clinical_symile.tracking.results import Comparison, Result, SkippedResult, write_rows
from clinical_symile.tracking.run import Run, provenance

Row = TypeVar("Row", Result, Comparison, SkippedResult)
ProgressBar = Callable[[str], AbstractContextManager[Progress]]


def finalize_benchmark(
    out: Path,
    *,
    report: str,
    catalog: Catalog,
    store: CohortStore,
    runs: Sequence[Run],
    tasks: Sequence[EvaluationTask],
    notes: Sequence[str],
    description: str,
    started: float,
    bar: ProgressBar,
    margin: float | None = None,
) -> Benchmark:
    """Compare runs that are evaluated, gather their results, render the report, mirror all.

    Args:
        out: the folder of the benchmark.
        report: the report's name.
        catalog: where definitions are.
        store: of all runs.
        runs: to be told of.
        tasks: that they were asked.
        notes: what else to know.
        description: of the cohort, one sentence.
        started: when, by `time.perf_counter`.
        bar: makes a progress bar.
        margin: what may be lost when a modality is missing, instead of the tasks'.
    """
    uri = tracking_uri(out)
    with bar("Compare") as progress:
        comparisons = compare_runs(runs, tasks, store=store, progress=progress)
    with bar("Best possible") as progress:
        oracle = evaluate_oracle(
            tasks, store=store, run=Run(out / "runs" / ORACLE), progress=progress
        )
    everyone = [*runs, *([oracle] if oracle else [])]
    with bar("Assess") as progress:
        for number, run in enumerate(everyone, start=1):
            analyze_run(run, tasks, store=store)
            progress(number, len(everyone))
    learned = [run for run in runs if not run.is_baseline]
    with bar("Compare with nothing missing") as progress:
        lost = all_losses(learned, tasks, store=store, margin=margin, progress=progress)
    results = _current([row for run in everyone for row in run.results], tasks, store)
    unscored = _current([row for run in everyone for row in run.unscored], tasks, store)
    write_rows(out / "results.jsonl", results)
    write_rows(out / "comparisons.jsonl", comparisons)
    write_rows(out / "losses.jsonl", lost)
    with bar("Rank") as progress:
        seed_components, ranks = rank_and_decompose(learned, tasks, store=store, progress=progress)
    write_rows(out / "seeds.jsonl", seed_components)
    write_rows(out / "ranks.jsonl", ranks)
    with bar("What is missing alone") as progress:
        write_rows(out / "masks.jsonl", analyze_masks(tasks, store=store, progress=progress))
    write_rows(out / "unscored.jsonl", unscored)
    record = {
        "report": report,
        "runs": [run.name for run in everyone],
        "tasks": [task.name for task in tasks],
        "definitions": {
            task.name: task.model_dump(mode="json", exclude={"name"}) for task in tasks
        },
        "store": str(store.path.resolve()),
        "notes": list(notes),
        "description": description,
        "versions": provenance()["versions"],
        "margin": margin,
        "elapsed_s": time.perf_counter() - started,
    }
    (out / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    with bar("Write the report"):
        page = render_report(report, catalog=catalog, out=out)
    mirrored = []
    with bar("Mirror to MLflow") as progress:
        for number, run in enumerate(everyone, start=1):
            mirrored.append(sync_run(run.path, cohort=store.cohort, uri=uri, report=page))
            progress(number, len(everyone))
    return Benchmark(
        out=out,
        store=store,
        runs=everyone,
        results=results,
        comparisons=comparisons,
        unscored=unscored,
        tasks=list(tasks),
        notes=list(notes),
        report=page,
        uri=uri,
        mirrored=mirrored[-1],
    )


def compare_runs(
    runs: Sequence[Run],
    tasks: Sequence[EvaluationTask],
    *,
    store: CohortStore,
    progress: Progress = lambda done, total: None,
) -> list[Comparison]:
    """Every pair of runs, of the same seed if they were trained, on every task.

    Patterns that a task has no more are left out. The p values are adjusted for all differences
    together; those from baselines are a family of their own.
    """
    pairs = [
        (run, other, task)
        for run, other in combinations(runs, 2)
        if _comparable(run, other)
        for task in tasks
    ]
    comparisons = []
    for number, (run, other, task) in enumerate(pairs, start=1):
        comparisons += compare(run, other, task, store=store)
        progress(number, len(pairs))
    comparisons = _current(comparisons, tasks, store)
    beside = {run.name for run in runs if run.is_baseline}
    held_against = [row for row in comparisons if {row.run, row.baseline} & beside]
    return adjust_p_values(
        [row for row in comparisons if row not in held_against]
    ) + adjust_p_values(held_against)


def all_losses(
    runs: Sequence[Run],
    tasks: Sequence[EvaluationTask],
    *,
    store: CohortStore,
    margin: float | None = None,
    progress: Progress = lambda done, total: None,
) -> list[Comparison]:
    """What each run loses under each pattern; the p values are adjusted for all of it.

    Patterns that a task has no more are left out.
    """
    asked, lost = [(run, task) for run in runs for task in tasks], []
    for number, (run, task) in enumerate(asked, start=1):
        lost += losses_under_missingness(run, task, store=store, margin=margin)
        progress(number, len(asked))
    return adjust_p_values(_current(lost, tasks, store))


def _comparable(run: Run, other: Run) -> bool:
    """Trained runs of the same seed; any run with one that was not trained here, but baselines."""
    if run.is_baseline and other.is_baseline:
        return False
    seeds = [one.record["seed"] for one in (run, other) if one.trained]
    return len(set(seeds)) < 2


def _current(rows: Sequence[Row], tasks: Sequence[EvaluationTask], store: CohortStore) -> list[Row]:
    """Those rows that are of these tasks, with the patterns and the digests that they have now."""
    now = {task.name: expected_fingerprints(task, store) for task in tasks}
    wanted = {(t.name, pattern, now[t.name](pattern)) for t in tasks for pattern in t.missingness}
    return [row for row in rows if (row.task, row.missingness, row.digest) in wanted]

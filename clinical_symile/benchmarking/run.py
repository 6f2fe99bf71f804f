"""The grid of runs a report needs: only what is missing is made, then the report is rendered."""

import time
from collections.abc import Sequence
from pathlib import Path

from clinical_symile.benchmarking.finalize import ProgressBar, finalize_benchmark
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.cohort import read_cohort
from clinical_symile.config.report import benchmark_requirements
from clinical_symile.config.tasks.read import pretraining_task
from clinical_symile.data.prepare_cohort import prepare_cohort
from clinical_symile.evaluation.runner import evaluate_baseline, evaluate_run
from clinical_symile.evaluation.task_selection import (
    applicable_tasks,
    run_name,
    with_patterns,
)
from clinical_symile.registry import BASELINES, resolve
from clinical_symile.reporting.benchmark_report import Benchmark
from clinical_symile.tracking.mlflow import sync_run, tracking_uri
from clinical_symile.tracking.run import Run
from clinical_symile.training.train import train


def benchmark(
    report: str,
    *,
    catalog: Catalog,
    cohort: str,
    out: Path,
    pretraining: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    baselines: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    margin: float | None = None,
    source: Path | None = None,
    generate: Sequence[str] = (),
    overrides: Sequence[str] = (),
    accelerator: str = "auto",
    devices: int = 1,
    bar: ProgressBar,
) -> Benchmark:
    """Prepare, train and evaluate what is not there yet; compare; render the report.

    Args:
        report: the report's name; its template says what it needs.
        catalog: where definitions are.
        cohort: the cohort's name.
        out: gets `store/`, `runs/`, `report.html`, and the tables `results.jsonl`,
            `comparisons.jsonl`, `losses.jsonl`, `seeds.jsonl` and `ranks.jsonl`; what is there of
            the same digests is not made again.
        pretraining: tasks to train, each with each seed, instead of the report's.
        tasks: names or patterns such as `retrieval/*` instead of the report's; those that apply to
            the cohort are scored.
        baselines: names of baselines to score beside, instead of the report's.
        seeds: of training, instead of the report's.
        margin: what may be lost when a modality is missing, instead of the tasks'.
        source: the raw files; those of a made-up cohort are written to `out/source` without it.
        generate: `field=value` for the parameters of a made-up cohort.
        overrides: `field=value` for the pretraining tasks.
        accelerator: as for `train`.
        devices: as for `train`.
        bar: makes a progress bar.
    """
    started = time.perf_counter()
    template = catalog.path("reports", report)
    needed = benchmark_requirements(template)
    learned = [
        pretraining_task(catalog, name, overrides)
        for name in (needed.pretraining if pretraining is None else pretraining)
    ]
    beside = needed.baselines if baselines is None else baselines
    for name in beside:
        resolve(name, BASELINES, what="baseline")
    store = prepare_cohort(
        catalog,
        cohort,
        source=source or out / "source",
        out=out / "store",
        generate=generate,
        bar=bar,
    )
    asked, notes = applicable_tasks(
        catalog, store, patterns=needed.tasks if tasks is None else tasks
    )
    if needed.missingness:
        asked = [with_patterns(task, needed.missingness) for task in asked]
    uri, runs = tracking_uri(out), []
    for seed in needed.seeds if seeds is None else seeds:
        for task in learned:
            run = Run(out / "runs" / run_name(task.name, seed))
            with bar(f"Train {run.name}") as progress:
                train(
                    task,
                    store=store,
                    run=run,
                    seed=seed,
                    accelerator=accelerator,
                    devices=devices,
                    on_epoch=lambda run: sync_run(run.path, cohort=store.cohort, uri=uri),
                    progress=progress,
                )
            with bar(f"Evaluate {run.name}") as progress:
                evaluate_run(run, asked, store=store, progress=progress)
            runs.append(run)
    for name in beside:
        run = Run(out / "runs" / name)
        with bar(f"Evaluate {name}") as progress:
            done = evaluate_baseline(
                name, asked, store=store, run=run, pretraining=learned, progress=progress
            )
        runs += [run] if done else []
    return finalize_benchmark(
        out,
        report=report,
        catalog=catalog,
        store=store,
        runs=runs,
        tasks=asked,
        notes=notes,
        description=read_cohort(catalog.path("cohorts", cohort), name=cohort).description,
        started=started,
        margin=margin,
        bar=bar,
    )

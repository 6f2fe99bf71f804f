"""Run a benchmark: prepare, train, evaluate, compare and report; reuse what is already there."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path

from clinical_symile.benchmarking.estimate import TrainingEstimate, estimate_trainings
from clinical_symile.benchmarking.finalize import EvaluatedRuns, finalize_benchmark
from clinical_symile.benchmarking.grid import run_grid
from clinical_symile.benchmarking.launchers.base import LaunchOptions, open_launcher
from clinical_symile.benchmarking.primary import primary_comparisons
from clinical_symile.benchmarking.settings import choose_setting
from clinical_symile.benchmarking.spec import (
    BenchmarkPlan,
    BenchmarkSpec,
    plan_benchmark,
)
from clinical_symile.config.catalog import Catalog
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.prepare_cohort import prepare_cohort
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.pair_sum_ceiling import evaluate_pair_sums
from clinical_symile.evaluation.references import evaluate_baseline
from clinical_symile.evaluation.runner import evaluate_run
from clinical_symile.evaluation.task_selection import EvaluationTask, run_name
from clinical_symile.files import lock_folder
from clinical_symile.registry.names import path_in
from clinical_symile.registry.run_names import PAIR_SUMS, baseline_run_name
from clinical_symile.reporting.benchmark_report import Benchmark
from clinical_symile.tracking.benchmark_tables import TriedSetting
from clinical_symile.tracking.mlflow import sync_run
from clinical_symile.tracking.progress import ProgressBar, no_progress_bar
from clinical_symile.tracking.run import Run
from clinical_symile.tracking.tracking_uri import tracking_uri
from clinical_symile.training.processors import limited_threads, visible_gpus
from clinical_symile.training.train import train


def complete_benchmark(
    spec: BenchmarkSpec,
    *,
    catalog: Catalog,
    out: Path,
    source: Path | None = None,
    bar: ProgressBar,
    notify: Callable[[str], object] | None = None,
    launch: LaunchOptions | None = None,
) -> Benchmark:
    """Prepare, train and evaluate what is missing, compare the runs, and render the report.

    Args:
        spec: what to train, evaluate and report.
        catalog: where the definitions are.
        out: folder that receives `store/`, `runs/`, the report, and the tables of
            `finalize.STAGES`. Whatever is there with the same fingerprints is reused.
        source: folder of the raw files; None for `out/source`, where the files of a synthetic
            cohort are written.
        bar: makes a progress bar for a label.
        notify: called with the number of trainings and their estimated time, before they begin;
            None to estimate nothing. Trainings on several devices are not estimated. It is also
            called when a run that is trained beside others begins or ends.
        launch: where and how many runs are trained at once; None for one after another here.

    Raises:
        DefinitionError: a name of the spec does not exist, or no task applies to the cohort.
        DataError: the raw files, the store or a run's folder are not as expected.
        ClinicalSymileError: runs failed that were trained beside others, which are done.
    """
    started = time.perf_counter()
    launch = LaunchOptions() if launch is None else launch
    is_here = launch.is_in_process and spec.nodes == 1
    launcher = None if is_here else open_launcher(launch, nodes=spec.nodes)
    closed = nullcontext() if launcher is None else closing(launcher)
    threads = None if launcher is None else launch.threads_per_job
    with closed, lock_folder(out), limited_threads(threads):
        plan = plan_benchmark(spec, catalog=catalog)
        store = prepare_cohort(
            catalog,
            spec.cohort,
            source=source or out / "source",
            out=out / "store",
            generate=spec.generate,
            allow_links=spec.allow_links,
            bar=bar,
        )
        tasks, notes = plan.applicable_tasks(catalog, store)
        primary = primary_comparisons(plan.primary, tasks, out=out)
        estimate = _estimate(plan, launch, store=store, out=out, notify=notify)
        if launcher is not None:
            run_grid(
                plan,
                tasks,
                store=store,
                out=out,
                options=launch,
                launcher=launcher,
                needs={} if estimate is None else estimate.needs,
                bar=bar,
                notify=notify or (lambda sentence: None),
            )
        shown = bar if launcher is None else no_progress_bar  # the grid has shown it
        runs, tried = train_and_evaluate(plan, tasks, store=store, out=out, bar=shown)
        runs += evaluate_baselines(plan, tasks, store=store, out=out, bar=shown)
        evaluated = EvaluatedRuns(
            out=out,
            report=spec.report,
            store=store,
            runs=tuple(runs),
            tried=tuple(tried),
            tasks=tuple(tasks),
            notes=tuple(notes),
            description=plan.description,
            margin=spec.margin,
            primary=primary,
            started=started,
        )
        return finalize_benchmark(evaluated, catalog=catalog, bar=bar)


def _estimate(
    plan: BenchmarkPlan,
    launch: LaunchOptions,
    *,
    store: CohortStore,
    out: Path,
    notify: Callable[[str], object] | None,
) -> TrainingEstimate | None:
    """Return and announce what the trainings need.

    Returns:
        None if nobody asks, no training is left, or their devices are not here.
    """
    spec, is_local = plan.spec, launch.launcher == "local"
    is_elsewhere = not is_local and spec.accelerator == "cuda" and not visible_gpus()
    if (notify is None and is_local) or spec.devices * spec.nodes > 1 or is_elsewhere:
        return None
    estimate = estimate_trainings(plan, store=store, out=out, at_once=launch.jobs or 1)
    if notify is not None and estimate is not None:
        notify(str(estimate))
    return estimate


def train_and_evaluate(
    plan: BenchmarkPlan,
    tasks: Sequence[EvaluationTask],
    *,
    store: CohortStore,
    out: Path,
    bar: ProgressBar,
) -> tuple[list[Run], list[TriedSetting]]:
    """Train each pretraining task with each seed, and evaluate each run on the tasks.

    A task to tune is trained in each of its settings with the first seed. The best setting on the
    tuning split is kept for all seeds.

    Args:
        plan: what to train.
        tasks: what to evaluate each run on.
        store: the prepared cohort.
        out: the benchmark's folder; each run is written below `out/runs`.
        bar: makes a progress bar for a label.

    Returns:
        The runs, seed by seed, and the settings that were tried.
    """
    uri, runs, chosen = tracking_uri(out), list[Run](), dict[str, Pretraining]()
    tried: list[TriedSetting] = []

    def train_run(task: Pretraining, run: Run, *, seed: int, sync: bool) -> None:
        with bar(f"Train {run.name}") as progress:
            train(
                task,
                store=store,
                run=run,
                seed=seed,
                accelerator=plan.spec.accelerator,
                devices=plan.spec.devices,
                nodes=plan.spec.nodes,
                deterministic=plan.spec.deterministic,
                on_epoch=lambda run: sync_run(run, uri=uri, folder=out) if sync else None,
                progress=progress,
            )

    for seed in plan.seeds:
        for task in plan.pretraining:
            run = Run(out / "runs" / run_name(task.name, seed))
            if task.name in plan.settings and task.name not in chosen:
                chosen[task.name], rows = choose_setting(
                    plan.settings[task.name],
                    out=out,
                    run_name=run.name,
                    seed=seed,
                    train=partial(train_run, seed=seed, sync=False),
                )
                tried += rows
            train_run(chosen.get(task.name, task), run, seed=seed, sync=True)
            with bar(f"Evaluate {run.name}") as progress:
                evaluate_run(run, tasks, store=store, progress=progress)
            runs.append(run)
    return runs, tried


def evaluate_baselines(
    plan: BenchmarkPlan,
    tasks: Sequence[EvaluationTask],
    *,
    store: CohortStore,
    out: Path,
    bar: ProgressBar,
) -> list[Run]:
    """Evaluate each baseline of a plan; the arguments are those of `train_and_evaluate`.

    Returns:
        One run for each baseline that applies to one of the tasks; with them the ceiling of sums
        over pairs, where the report shows it.
    """
    runs = []
    for name in plan.baselines:
        run = Run(path_in(out / "runs", baseline_run_name(name)))
        with bar(f"Evaluate {name}") as progress:
            applies = evaluate_baseline(
                name, tasks, store=store, run=run, pretraining=plan.pretraining, progress=progress
            )
        runs += [run] if applies else []
    if plan.pair_sums:
        run = Run(out / "runs" / PAIR_SUMS)
        with bar(f"Evaluate {PAIR_SUMS}") as progress:
            applies = evaluate_pair_sums(tasks, store=store, run=run, progress=progress)
        runs += [run] if applies else []
    return runs

"""Finish a benchmark: comparisons, analyses, tables, the report and the MLflow copies."""

import json
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from clinical_symile.benchmarking.comparisons import (
    all_losses,
    compare_runs,
    current_rows,
    is_comparable,
)
from clinical_symile.benchmarking.primary import task_and_pattern
from clinical_symile.config.catalog import Catalog
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.analysis.analyze import analyze_run
from clinical_symile.evaluation.analysis.mask_predictability import analyze_masks
from clinical_symile.evaluation.analysis.method_ranking import compare_methods, rank_and_decompose
from clinical_symile.evaluation.analysis.net_benefit_differences import net_benefit_differences
from clinical_symile.evaluation.analysis.robustness import measure_robustness
from clinical_symile.evaluation.references import evaluate_oracle
from clinical_symile.evaluation.task_selection import EvaluationTask
from clinical_symile.files import write_text
from clinical_symile.registry.run_names import ORACLE
from clinical_symile.reporting.benchmark_report import BENCHMARK_FILE, Benchmark, render_report
from clinical_symile.reporting.summary import report_summary
from clinical_symile.tracking.benchmark_tables import TriedSetting
from clinical_symile.tracking.disclosure import (
    Cell,
    shareable,
    withheld_patterns,
    without_withheld,
)
from clinical_symile.tracking.mlflow import Study, SyncResult, sync_run, sync_study
from clinical_symile.tracking.progress import Progress, ProgressBar
from clinical_symile.tracking.provenance import provenance
from clinical_symile.tracking.results import write_rows
from clinical_symile.tracking.run import Run
from clinical_symile.tracking.tracking_uri import tracking_uri


@dataclass(frozen=True, kw_only=True, repr=False)
class EvaluatedRuns:
    """The evaluated runs of a benchmark, and what its last stages need to know about them.

    Attributes:
        out: the benchmark's folder.
        report: name of the report.
        store: the cohort that all runs were evaluated on.
        runs: trained runs, external models and baselines.
        tasks: the tasks they were evaluated on.
        notes: what a reader must know besides, such as tasks that do not apply.
        description: one sentence on the cohort.
        margin: largest acceptable loss under missing modalities; None for each task's own.
        primary: the comparisons that were set beforehand, each as `TASK:PATTERN`.
        started: start of the benchmark, by `time.perf_counter`.
        tried: the settings that were tried; empty without tuning.
    """

    out: Path
    report: str
    store: CohortStore
    runs: tuple[Run, ...]
    tasks: tuple[EvaluationTask, ...]
    notes: tuple[str, ...]
    description: str
    margin: float | None
    primary: tuple[str, ...]
    started: float
    tried: tuple[TriedSetting, ...] = ()

    @property
    def oracle(self) -> Run:
        """The run of the oracle, which exists only where the cohort has one."""
        return Run(self.out / "runs" / ORACLE)

    @property
    def all_runs(self) -> list[Run]:
        """The runs, and the oracle where the cohort has one."""
        generator = self.store.manifest["generator"]
        has_oracle = generator is not None and generator["oracle"] is not None
        return [*self.runs, *([self.oracle] if has_oracle else [])]

    @property
    def primary_cells(self) -> set[tuple[str, str]]:
        """The task and the pattern of each primary comparison."""
        return {task_and_pattern(name) for name in self.primary}

    @property
    def models(self) -> list[Run]:
        """The runs that are no baselines."""
        return [run for run in self.runs if not run.is_baseline]


Tables = dict[str, Sequence[Any]]


@dataclass(frozen=True)
class Stage:
    """A step at the end of a benchmark.

    Attributes:
        name: label of its progress bar.
        files: the tables it computes, each a file of the benchmark's folder; empty for a stage that
            writes into the runs' folders.
        compute: returns the rows of each file.
    """

    name: str
    files: tuple[str, ...]
    compute: Callable[[EvaluatedRuns, Progress], Tables]


def _settings(evaluated: EvaluatedRuns, progress: Progress) -> Tables:
    progress(1, 1)
    return {"settings.jsonl": evaluated.tried}


def _comparisons(evaluated: EvaluatedRuns, progress: Progress) -> Tables:
    rows = compare_runs(
        evaluated.runs,
        evaluated.tasks,
        store=evaluated.store,
        primary=evaluated.primary_cells,
        progress=progress,
    )
    return {"comparisons.jsonl": rows}


def _oracle(evaluated: EvaluatedRuns, progress: Progress) -> Tables:
    evaluate_oracle(evaluated.tasks, store=evaluated.store, run=evaluated.oracle, progress=progress)
    return {}


def _analyses(evaluated: EvaluatedRuns, progress: Progress) -> Tables:
    runs = evaluated.all_runs
    for number, run in enumerate(runs, start=1):
        analyze_run(run, evaluated.tasks, store=evaluated.store)
        progress(number, len(runs))
    return {}


def _losses(evaluated: EvaluatedRuns, progress: Progress) -> Tables:
    rows = all_losses(
        evaluated.models,
        evaluated.tasks,
        store=evaluated.store,
        margin=evaluated.margin,
        progress=progress,
    )
    return {"losses.jsonl": rows}


def _results(evaluated: EvaluatedRuns, progress: Progress) -> Tables:
    runs, tasks, store = evaluated.all_runs, evaluated.tasks, evaluated.store
    results = [row for run in runs for row in run.results]
    unscored = [row for run in runs for row in run.unscored]
    progress(1, 1)
    return {
        "results.jsonl": current_rows(results, tasks, store=store),
        "unscored.jsonl": current_rows(unscored, tasks, store=store),
    }


def _ranks(evaluated: EvaluatedRuns, progress: Progress) -> Tables:
    seeds, ranks = rank_and_decompose(
        evaluated.models, evaluated.tasks, store=evaluated.store, progress=progress
    )
    return {"seeds.jsonl": seeds, "ranks.jsonl": ranks}


def _method_comparisons(evaluated: EvaluatedRuns, progress: Progress) -> Tables:
    rows = compare_methods(
        evaluated.models,
        evaluated.tasks,
        store=evaluated.store,
        primary=evaluated.primary_cells,
    )
    progress(1, 1)
    return {"method_comparisons.jsonl": rows}


def _net_benefits(evaluated: EvaluatedRuns, progress: Progress) -> Tables:
    pairs = [pair for pair in combinations(evaluated.models, 2) if is_comparable(*pair)]
    rows = net_benefit_differences(pairs, evaluated.tasks, store=evaluated.store)
    rows = current_rows(rows, evaluated.tasks, store=evaluated.store)
    progress(1, 1)
    return {"net_benefit_differences.jsonl": rows}


def _robustness(evaluated: EvaluatedRuns, progress: Progress) -> Tables:
    rows = measure_robustness(
        evaluated.models, evaluated.tasks, store=evaluated.store, progress=progress
    )
    return {"robustness.jsonl": rows}


def _masks(evaluated: EvaluatedRuns, progress: Progress) -> Tables:
    rows = analyze_masks(evaluated.tasks, store=evaluated.store, progress=progress)
    return {"masks.jsonl": rows}


STAGES = (
    Stage("List settings", ("settings.jsonl",), _settings),
    Stage("Compare runs", ("comparisons.jsonl",), _comparisons),
    Stage("Evaluate the oracle", (), _oracle),
    Stage("Analyze runs", (), _analyses),
    Stage("Compare with nothing missing", ("losses.jsonl",), _losses),
    Stage("Collect results", ("results.jsonl", "unscored.jsonl"), _results),
    Stage("Rank methods", ("seeds.jsonl", "ranks.jsonl"), _ranks),
    Stage("Compare methods", ("method_comparisons.jsonl",), _method_comparisons),
    Stage("Measure robustness", ("robustness.jsonl",), _robustness),
    Stage("Compare net benefit", ("net_benefit_differences.jsonl",), _net_benefits),
    Stage("Predict from the mask alone", ("masks.jsonl",), _masks),
)


def finalize_benchmark(
    evaluated: EvaluatedRuns, *, catalog: Catalog, bar: ProgressBar
) -> Benchmark:
    """Run each stage, write its tables, render the report, and copy the runs to MLflow.

    Args:
        evaluated: the evaluated runs.
        catalog: where the definitions are.
        bar: makes a progress bar for a label.
    """
    out, tables = evaluated.out, Tables()
    hidden = withheld_patterns(row for run in evaluated.all_runs for row in run.results)
    for stage in STAGES:
        with bar(stage.name) as progress:
            made = stage.compute(evaluated, progress)
        for name, rows in _shareable(made, hidden).items():
            write_rows(out / name, rows)
        tables |= made
    _write_benchmark_record(evaluated)
    with bar("Write the report"):
        page = render_report(evaluated.report, catalog=catalog, out=out)
    with bar("Sync to MLflow") as progress:
        synced = _sync(evaluated, page, progress)
    return Benchmark(
        out=out,
        store=evaluated.store,
        runs=evaluated.all_runs,
        results=list(tables["results.jsonl"]),
        comparisons=shareable(tables["comparisons.jsonl"], hidden),
        unscored=list(tables["unscored.jsonl"]),
        tasks=list(evaluated.tasks),
        notes=list(evaluated.notes),
        report=page,
        synced=synced,
    )


def _shareable(tables: Tables, hidden: Collection[Cell]) -> Tables:
    """Return tables without what rests on fewer than ten people: it stays in the run's folder."""
    if "results.jsonl" in tables:
        results, withheld = without_withheld(tables["results.jsonl"])
        return {
            "results.jsonl": results,
            "unscored.jsonl": [*tables["unscored.jsonl"], *withheld],
        }
    return {name: shareable(rows, hidden) for name, rows in tables.items()}


def _write_benchmark_record(evaluated: EvaluatedRuns) -> None:
    """Write `benchmark.json`, from which the report can be rendered again."""
    tasks = evaluated.tasks
    record = {
        "report": evaluated.report,
        "runs": [run.name for run in evaluated.all_runs],
        "tasks": [task.name for task in tasks],
        "definitions": {
            task.name: task.model_dump(mode="json", exclude={"name"}) for task in tasks
        },
        "store": str(evaluated.store.path.resolve()),
        "notes": list(evaluated.notes),
        "description": evaluated.description,
        "versions": provenance()["versions"],
        "margin": evaluated.margin,
        "primary": list(evaluated.primary),
        "elapsed_s": time.perf_counter() - evaluated.started,
    }
    write_text(evaluated.out / BENCHMARK_FILE, json.dumps(record, indent=1) + "\n")


def _sync(evaluated: EvaluatedRuns, page: Path, progress: Progress) -> SyncResult:
    """Copy every run and the study to MLflow; return the first that failed, else the study."""
    uri, runs, synced = tracking_uri(evaluated.out), evaluated.all_runs, []
    for number, run in enumerate(runs, start=1):
        synced.append(sync_run(run, uri=uri, folder=evaluated.out))
        progress(number, len(runs))
    failed = next((one for one in synced if one.problem), None)
    study = Study(
        name=evaluated.report,
        folder=evaluated.out,
        runs=runs,
        finding=report_summary(page),
        page=page,
    )
    return failed or sync_study(study, uri=uri)

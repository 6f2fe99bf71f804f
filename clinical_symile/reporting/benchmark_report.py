"""What a benchmark's folder holds, and the report that is rendered from it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clinical_symile.config.catalog import Catalog
from clinical_symile.config.deprecated import PRETRAINING_WORDS
from clinical_symile.config.report import benchmark_requirements
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.read import parse_task, read_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import PADDING
from clinical_symile.data.store import CohortStore, open_store
from clinical_symile.errors import DataError
from clinical_symile.evaluation.task_metrics import primary_metric
from clinical_symile.evaluation.task_selection import EvaluationTask
from clinical_symile.reporting.render import render
from clinical_symile.reporting.report_data import QueryExample, ReportData, is_synthetic
from clinical_symile.reporting.result_lookup import ORACLE, ResultTable
from clinical_symile.stats.bootstrap import LEVEL, paired_bootstrap
from clinical_symile.tracking.analysis_tables import (
    MaskAuroc,
    MethodRank,
    SeedComponents,
    merge_analyses,
    read_analysis,
    select_tasks,
)
from clinical_symile.tracking.mlflow import SyncResult
from clinical_symile.tracking.results import Comparison, Result, SkippedResult, read_rows
from clinical_symile.tracking.run import Run

RECORD = "benchmark.json"
EXAMPLES = 3
RESAMPLES, RESAMPLES_PER_TEST = 2000, 100


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark left in its folder.

    Attributes:
        out: the folder.
        store: the prepared cohort.
        runs: trained ones, then the oracle where there is one.
        results: of all runs.
        comparisons: of each pair of runs of the same seed.
        unscored: what could not be scored, and why.
        tasks: what was scored.
        notes: tasks that do not apply to the cohort, and why.
        report: the rendered report.
        uri: of the tracking server.
        mirrored: its last word.
    """

    out: Path
    store: CohortStore
    runs: list[Run]
    results: list[Result]
    comparisons: list[Comparison]
    unscored: list[SkippedResult]
    tasks: list[EvaluationTask]
    notes: list[str]
    report: Path
    uri: str
    mirrored: SyncResult


def render_report(report: str, *, catalog: Catalog, out: Path) -> Path:
    """Render a report of a finished benchmark's folder; the page's path.

    Raises:
        DefinitionError: no such report, or its template is not right.
        DataError: the folder is not one of a finished benchmark.
    """
    template = catalog.path("reports", report)
    benchmark_requirements(template)
    page = out / ("report.html" if report == "benchmark" else f"{report.replace('/', '-')}.html")
    render(template, data=load_benchmark(out, catalog=catalog), out=page)
    return page


def load_benchmark(out: Path, *, catalog: Catalog) -> ReportData:
    """All that a report says, read from the folder that `benchmark` wrote.

    Args:
        out: the folder.
        catalog: where the tasks are.

    Raises:
        DataError: the folder is not one of a finished benchmark.
    """
    if not (out / RECORD).is_file():
        raise DataError(
            f"{out}: has no {RECORD}; expected the folder of a finished benchmark. Run "
            "`clinical-symile benchmark` first."
        )
    record = json.loads((out / RECORD).read_text(encoding="utf-8"))
    store = open_store(Path(record["store"]))
    runs = [Run(out / "runs" / name) for name in record["runs"]]
    trained = [run for run in runs if run.trained]
    scored = benchmark_tasks(record, catalog=catalog)
    results, masks = read_rows(out / "results.jsonl", Result), out / "masks.jsonl"
    above_best, tested = _above_best(results, runs, scored, store=store)
    return ReportData(
        results=results,
        comparisons=read_rows(out / "comparisons.jsonl", Comparison),
        losses=read_rows(out / "losses.jsonl", Comparison),
        seeds=read_rows(out / "seeds.jsonl", SeedComponents),
        ranks=read_rows(out / "ranks.jsonl", MethodRank),
        masks=read_rows(masks, MaskAuroc) if masks.is_file() else (),
        analysis=select_tasks(
            merge_analyses(read_analysis(run.path) for run in runs), scored.__contains__
        ),
        unscored=read_rows(out / "unscored.jsonl", SkippedResult),
        notes=record["notes"],
        baselines={r.name: r.record["definition"]["description"] for r in runs if r.is_baseline},
        runs=[_with_current_words(run) for run in trained],
        histories={run.name: run.history for run in trained},
        cohort={**store.manifest, "description": record["description"]},
        tasks={name: _about(task) for name, task in scored.items()},
        above_best=above_best,
        tested=tested,
        oracle=_oracle(out / "runs" / ORACLE / "oracle.json"),
        gallery=_gallery(store, trained, scored),
        versions=record["versions"],
        elapsed_s=record["elapsed_s"],
    )


def benchmark_tasks(record: Mapping[str, Any], *, catalog: Catalog) -> dict[str, EvaluationTask]:
    """The tasks of a benchmark: as the catalog has them, or as they were where it has none.

    Args:
        record: what `benchmark.json` says.
        catalog: where tasks are.
    """
    tasks: dict[str, EvaluationTask] = {}
    for name, table in record["definitions"].items():
        if name in catalog.tasks:
            task = read_task(catalog.path("tasks", name), name=name)
        else:
            task = parse_task(table, name=name, where=f"{RECORD}, {name}")
        if isinstance(task, Retrieval | Classification):
            tasks[name] = task
    return tasks


def _with_current_words(run: Run) -> dict[str, Any]:
    """Return a run's record with its definition in today's words."""
    record = run.record
    if "definition" not in record:
        return record
    definition = PRETRAINING_WORDS.update(record["definition"], where=str(run.path / "run.toml"))
    return {**record, "definition": definition}


def _oracle(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _about(task: Retrieval | Classification) -> dict[str, Any]:
    return {**task.model_dump(), "higher_is_better": primary_metric(task).higher_is_better}


def _above_best(
    results: Sequence[Result],
    runs: Sequence[Run],
    tasks: Mapping[str, Retrieval | Classification],
    *,
    store: CohortStore,
) -> tuple[list[Comparison], int]:
    """Primary results that are better than the oracle's, minus it, and how many were tested.

    The oracle is best among all people, not on each draw of them: chance can put a run above it.
    The intervals are paired and, by Bonferroni, of `LEVEL` for all tested results together.
    """
    by_name, scores = {run.name: run for run in runs}, ResultTable(results)
    tested = [
        (row, task, best)
        for row in results
        if row.run != ORACLE
        and (task := tasks.get(row.task)) is not None
        and row.metric == task.primary
        and (best := scores.get(ORACLE, row.task, row.missingness, row.metric)) is not None
        and best.digest == row.digest
    ]
    level = 1 - (1 - LEVEL) / max(len(tested), 1)
    above = [
        _minus_best(row, task, by_name[row.run], by_name[ORACLE], store=store, level=level)
        for row, task, best in tested
        if (
            row.value > best.value
            if primary_metric(task).higher_is_better
            else row.value < best.value
        )
    ]
    return above, len(tested)


def _minus_best(
    row: Result,
    task: Retrieval | Classification,
    run: Run,
    oracle: Run,
    *,
    store: CohortStore,
    level: float,
) -> Comparison:
    outcome, best = (one.outcome(row.task, row.missingness) for one in (run, oracle))
    if not outcome["row"].equals(best["row"]):
        raise DataError(
            f"runs '{run.name}' and '{oracle.name}' were not scored on the same samples of task "
            f"'{row.task}' under '{row.missingness}'. Evaluate both again on one store."
        )
    metric = primary_metric(task)
    names = metric.columns
    interval = paired_bootstrap(
        metric.compute,
        [outcome[name].to_numpy() for name in names],
        [best[name].to_numpy() for name in names],
        store.samples["subject"].to_numpy()[outcome["row"]],
        rng=np.random.default_rng(task.seed),
        resamples=max(RESAMPLES, round(RESAMPLES_PER_TEST * (1 - LEVEL) / (1 - level))),
        level=level,
        weighted=metric.weighted,
    )
    same = ("run", "cohort", "task", "split", "missingness", "metric")
    return Comparison(
        **{name: getattr(row, name) for name in (*same, "n_samples", "n_subjects", "digest")},
        baseline=ORACLE,
        difference=interval.value,
        low=interval.low,
        high=interval.high,
    )


def _gallery(
    store: CohortStore,
    runs: Sequence[Run],
    tasks: Mapping[str, Retrieval | Classification],
) -> list[QueryExample]:
    """The first queries of the first retrieval task; none unless the people are made up."""
    retrieval = [task for task in tasks.values() if isinstance(task, Retrieval)]
    if not is_synthetic(store.manifest):
        return []
    if not retrieval or not runs or "complete" not in retrieval[0].missingness:
        return []
    task = retrieval[0]
    outcomes = {run.name: run.outcome(task.name, "complete") for run in runs}
    rows = next(iter(outcomes.values()))["row"][:EXAMPLES].tolist()
    return [
        QueryExample(
            task=task.name,
            query={name: _measurement(store, name, row) for name in task.query},
            answers={
                run: _answers(store, task, outcome.set_index("row").loc[row].to_dict(), row)
                for run, outcome in outcomes.items()
            },
        )
        for row in rows
    ]


def _answers(
    store: CohortStore, task: Retrieval, outcome: Mapping[Any, Any], row: int
) -> list[tuple[Any, bool]]:
    answers = [int(value) for name, value in outcome.items() if name.startswith("answer_")]
    return [
        (_measurement(store, task.target, answer), answer == row)
        for answer in answers
        if answer != PADDING
    ]


def _measurement(store: CohortStore, modality: str, row: int) -> Any:
    """One stored measurement in the form that the gallery draws."""
    about = store.manifest["modalities"][modality]
    value = np.asarray(store.array(modality)[row])
    if about["unit"] == "uV":
        return value / 1000.0
    if value.ndim == 1:
        named = zip(about["parts"], value, strict=True)
        return [(name, float(number), "") for name, number in named if not np.isnan(number)]
    return value

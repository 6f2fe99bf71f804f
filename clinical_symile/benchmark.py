"""The grid of runs a report needs: only what is missing is made, then the report is rendered."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import combinations
from pathlib import Path

import numpy as np
from pandas import DataFrame

from clinical_symile.candidates import candidate_lists, lists_table
from clinical_symile.catalog import Catalog
from clinical_symile.cohort import read_cohort
from clinical_symile.compare import compare
from clinical_symile.decode import Progress
from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.evaluate import check_applies, evaluate, evaluation_digest
from clinical_symile.learner import load_learner
from clinical_symile.model import embed
from clinical_symile.names import find
from clinical_symile.report import needs, render
from clinical_symile.report_data import RECORD, gather
from clinical_symile.results import Comparison, Result, Unscored, write_rows
from clinical_symile.run import Run, provenance
from clinical_symile.scorer import EmbeddingScorer, Scorer
from clinical_symile.scores import ORACLE
from clinical_symile.source import prepare_cohort
from clinical_symile.store import CohortStore
from clinical_symile.task import (
    Classification,
    Pretraining,
    Retrieval,
    not_applicable,
    read_task,
    task_from,
)
from clinical_symile.tracking import Mirrored, mirror, tracking_uri
from clinical_symile.train import train

Bar = Callable[[str], AbstractContextManager[Progress]]
Evaluated = Retrieval | Classification


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
    unscored: list[Unscored]
    tasks: list[Evaluated]
    notes: list[str]
    report: Path
    uri: str
    mirrored: Mirrored


def benchmark(
    report: str,
    *,
    catalog: Catalog,
    cohort: str,
    out: Path,
    pretraining: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    source: Path | None = None,
    generate: Sequence[str] = (),
    overrides: Sequence[str] = (),
    accelerator: str = "auto",
    devices: int = 1,
    bar: Bar,
) -> Benchmark:
    """Prepare, train and evaluate what is not there yet; compare; render the report.

    Args:
        report: the report's name; its template says what it needs.
        catalog: where definitions are.
        cohort: the cohort's name.
        out: gets `store/`, `runs/`, `results.jsonl`, `comparisons.jsonl` and `report.html`; what is
            there of the same digests is not made again.
        pretraining: tasks to train, each with each seed, instead of the report's.
        tasks: names or patterns such as `retrieval/*` instead of the report's; those that apply to
            the cohort are scored.
        seeds: of training, instead of the report's.
        source: the raw files; those of a made-up cohort are written to `out/source` without it.
        generate: `field=value` for the parameters of a made-up cohort.
        overrides: `field=value` for the pretraining tasks.
        accelerator: as for `train`.
        devices: as for `train`.
        bar: makes a progress bar.
    """
    started = time.perf_counter()
    template = catalog.path("reports", report)
    needed = needs(template)
    learned = [
        pretraining_task(catalog, name, overrides)
        for name in (needed.pretraining if pretraining is None else pretraining)
    ]
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
                    on_epoch=lambda run: mirror(run.path, cohort=store.cohort, uri=uri),
                    progress=progress,
                )
            with bar(f"Evaluate {run.name}") as progress:
                evaluate_run(run, asked, store=store, progress=progress)
            runs.append(run)
    with bar("Compare") as progress:
        comparisons = compare_runs(runs, asked, store=store, progress=progress)
    oracle = oracle_run(asked, store=store, run=Run(out / "runs" / ORACLE))
    everyone = [*runs, *([oracle] if oracle else [])]
    results = [result for run in everyone for result in run.results]
    write_rows(out / "results.jsonl", results)
    write_rows(out / "comparisons.jsonl", comparisons)
    record = {
        "report": report,
        "runs": [run.name for run in everyone],
        "tasks": [task.name for task in asked],
        "notes": notes,
        "description": read_cohort(catalog.path("cohorts", cohort), name=cohort).description,
        "versions": provenance()["versions"],
        "elapsed_s": time.perf_counter() - started,
    }
    (out / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    page, mirrored = render_report(report, catalog=catalog, out=out), []
    with bar("Mirror to MLflow") as progress:
        for number, run in enumerate(everyone, start=1):
            mirrored.append(mirror(run.path, cohort=store.cohort, uri=uri, report=page))
            progress(number, len(everyone))
    return Benchmark(
        out=out,
        store=store,
        runs=everyone,
        results=results,
        comparisons=comparisons,
        unscored=[row for run in everyone for row in run.unscored],
        tasks=asked,
        notes=notes,
        report=page,
        uri=uri,
        mirrored=mirrored[-1],
    )


def render_report(report: str, *, catalog: Catalog, out: Path) -> Path:
    """Render a report of a finished benchmark's folder; the page's path.

    Raises:
        DefinitionError: no such report, or its template is not right.
        DataError: the folder is not one of a finished benchmark.
    """
    page = out / ("report.html" if report == "benchmark" else f"{report.replace('/', '-')}.html")
    render(catalog.path("reports", report), data=gather(out, catalog=catalog), out=page)
    return page


def run_name(task: str, seed: int) -> str:
    """A run's name, from its task's: `pretraining/paper/clip` and seed 1 give `paper-clip-1`."""
    return "-".join([*task.split("/")[1:], str(seed)])


def applicable_tasks(
    catalog: Catalog,
    store: CohortStore,
    *,
    patterns: Sequence[str] = ("*",),
) -> tuple[list[Evaluated], list[str]]:
    """The tasks to score on a store, and a note for each that a pattern meant but does not apply.

    Args:
        catalog: where tasks are.
        store: what they are asked of.
        patterns: names, or patterns with `*` among all retrieval and classification tasks.

    Raises:
        DefinitionError: a task that is asked for by name is unknown, of another kind, or does not
            apply.
    """
    tasks: dict[str, Evaluated] = {}
    notes = []
    for pattern in patterns:
        by_name = "*" not in pattern
        if by_name:
            catalog.path("tasks", pattern)
        for name in [name for name in catalog.tasks if fnmatch(name, pattern)]:
            task = read_task(catalog.path("tasks", name), name=name)
            if isinstance(task, Pretraining):
                if by_name:
                    raise DefinitionError(
                        f"task '{name}' is of kind pretraining; expected retrieval or "
                        "classification. Train it, then evaluate the run."
                    )
                continue
            if by_name:
                check_applies(task, store)
            problems = not_applicable(task, store.modalities, store.outcomes)
            notes += [f"{name} is not applicable to {store.cohort}: {p}" for p in problems]
            if not problems:
                tasks[name] = task
    if not tasks:
        raise DefinitionError(
            f"no task among {', '.join(patterns)} applies to cohort '{store.cohort}'. "
            "`clinical-symile list tasks` shows all."
        )
    return list(tasks.values()), list(dict.fromkeys(notes))


def evaluate_run(
    run: Run,
    tasks: Sequence[Evaluated],
    *,
    store: CohortStore,
    missingness: Sequence[str] | None = None,
    progress: Progress = lambda done, total: None,
) -> None:
    """Score a trained run on tasks, where it has not been, and keep the results in its folder.

    Args:
        run: the run's folder.
        tasks: what to score.
        store: on what.
        missingness: patterns instead of the tasks' own; they are scored in any case.
        progress: called with tasks done and all tasks.

    Raises:
        DataError: the run was trained on another store, or has no weights yet.
    """
    record = run.record
    if record["store_digest"] != store.digest:
        raise DataError(
            f"{run.path}: was trained on store {record['store_digest']} of cohort "
            f"'{record['cohort']}'; this is store {store.digest} of '{store.cohort}', and its "
            "subjects may have been in training. Give the store it was trained on."
        )
    if not run.weights.is_file():
        raise DataError(f"{run.path}: has no model.safetensors. Train it to the end.")
    task = task_from(record["definition"], name=record["task"], where=str(run.path / "run.toml"))
    assert isinstance(task, Pretraining)
    learner = load_learner(run, task, store)
    scorer: Scorer | None = None
    for number, asked in enumerate(tasks, start=1):
        if missingness is not None or not _is_scored(run, asked, store):
            if scorer is None:
                rows = np.arange(len(store.samples))
                scorer = EmbeddingScorer(
                    embed(learner.model, store, rows), learner.objective, store
                )
            _evaluate_into(run, asked, scorer, store, record["seed"], missingness)
        progress(number, len(tasks))


def oracle_run(tasks: Sequence[Evaluated], *, store: CohortStore, run: Run) -> Run | None:
    """The best that is possible, scored like any model; None for cohorts where nobody knows it."""
    generator = store.manifest["generator"]
    if generator is None or generator["oracle"] is None:
        return None
    scorer = find(generator["oracle"], {}, what="oracle")(store)
    for task in tasks:
        if not _is_scored(run, task, store):
            _evaluate_into(run, task, scorer, store, seed=0, missingness=None)
    return run


def compare_runs(
    runs: Sequence[Run],
    tasks: Sequence[Evaluated],
    *,
    store: CohortStore,
    progress: Progress = lambda done, total: None,
) -> list[Comparison]:
    """Every pair of runs of the same seed, the earlier against the later, on every task."""
    pairs = [
        (run, other, task)
        for run, other in combinations(runs, 2)
        if run.record["seed"] == other.record["seed"]
        for task in tasks
    ]
    comparisons = []
    for number, (run, other, task) in enumerate(pairs, start=1):
        comparisons += compare(run, other, task, store=store)
        progress(number, len(pairs))
    return comparisons


def pretraining_task(catalog: Catalog, name: str, overrides: Sequence[str]) -> Pretraining:
    """A pretraining task of the catalog with some fields set.

    Raises:
        DefinitionError: no such task, or of another kind, or with problems.
    """
    task = read_task(catalog.path("tasks", name), name=name, overrides=overrides)
    if not isinstance(task, Pretraining):
        raise DefinitionError(
            f"task '{name}' is of kind {task.kind}; expected pretraining. "
            "`clinical-symile list tasks` shows all."
        )
    return task


def _is_scored(run: Run, task: Evaluated, store: CohortStore) -> bool:
    """Whether the run has a number, or a reason, for each pattern of the task as it is now."""
    table = (
        lists_table(*candidate_lists(task, store)) if isinstance(task, Retrieval) else DataFrame()
    )
    expected = evaluation_digest(task, store, table)
    scored = {
        row.missingness for row in run.results if row.task == task.name and row.digest == expected
    }
    unscored = {row.missingness for row in run.unscored if row.task == task.name}
    return set(task.missingness) <= scored | unscored


def _evaluate_into(
    run: Run,
    task: Evaluated,
    scorer: Scorer,
    store: CohortStore,
    seed: int,
    missingness: Sequence[str] | None,
) -> None:
    made = evaluate(task, scorer, store=store, run=run.name, seed=seed, missingness=missingness)
    run.write_evaluation(
        task.name,
        results=made.results,
        unscored=made.unscored,
        outcomes=made.outcomes,
        candidates=made.candidates,
    )

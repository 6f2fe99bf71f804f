"""The grid of runs a report needs: only what is missing is made, then the report is rendered."""

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pandas import DataFrame

from clinical_symile import __version__
from clinical_symile.asked import (
    Evaluated,
    applicable_tasks,
    pretraining_task,
    run_name,
    under_patterns,
)
from clinical_symile.assess import assess
from clinical_symile.assess_methods import compare_methods
from clinical_symile.baseline_scorer import BaselineScorer
from clinical_symile.catalog import Catalog
from clinical_symile.cohort import read_cohort
from clinical_symile.compare import adjusted, compare, losses
from clinical_symile.decode import Progress
from clinical_symile.errors import DataError
from clinical_symile.evaluate import evaluate
from clinical_symile.learner import load_learner
from clinical_symile.made_with import expected_digest
from clinical_symile.model import embed
from clinical_symile.names import BASELINES, find
from clinical_symile.probes.probe import Encoders
from clinical_symile.report_data import RECORD, Benchmark, render_report
from clinical_symile.results import Comparison, Result, Unscored, write_rows
from clinical_symile.run import Run, now, provenance
from clinical_symile.scorer import EmbeddingScorer, OracleScorer, Scorer
from clinical_symile.scores import ORACLE
from clinical_symile.source import prepare_cohort
from clinical_symile.store import CohortStore
from clinical_symile.task import Classification, Pretraining, Retrieval, task_digest, task_from
from clinical_symile.template import needs_of_benchmark
from clinical_symile.tracking import mirror, tracking_uri
from clinical_symile.train import train

Row = TypeVar("Row", Result, Comparison, Unscored)
Bar = Callable[[str], AbstractContextManager[Progress]]


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
        out: gets `store/`, `runs/`, `report.html`, and the tables `results.jsonl`,
            `comparisons.jsonl`, `losses.jsonl`, `seeds.jsonl` and `ranks.jsonl`; what is there of
            the same digests is not made again.
        pretraining: tasks to train, each with each seed, instead of the report's.
        tasks: names or patterns such as `retrieval/*` instead of the report's; those that apply to
            the cohort are scored.
        baselines: names of baselines to score beside, instead of the report's.
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
    needed = needs_of_benchmark(template)
    learned = [
        pretraining_task(catalog, name, overrides)
        for name in (needed.pretraining if pretraining is None else pretraining)
    ]
    beside = needed.baselines if baselines is None else baselines
    for name in beside:
        find(name, BASELINES, what="baseline")
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
        asked = [under_patterns(task, needed.missingness) for task in asked]
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
    for name in beside:
        run = Run(out / "runs" / name)
        with bar(f"Evaluate {name}") as progress:
            done = baseline_run(
                name, asked, store=store, run=run, pretraining=learned, progress=progress
            )
        runs += [run] if done else []
    return conclude(
        out,
        report=report,
        catalog=catalog,
        store=store,
        runs=runs,
        tasks=asked,
        notes=notes,
        description=read_cohort(catalog.path("cohorts", cohort), name=cohort).description,
        started=started,
        bar=bar,
    )


def conclude(
    out: Path,
    *,
    report: str,
    catalog: Catalog,
    store: CohortStore,
    runs: Sequence[Run],
    tasks: Sequence[Evaluated],
    notes: Sequence[str],
    description: str,
    started: float,
    bar: Bar,
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
    """
    uri = tracking_uri(out)
    with bar("Compare") as progress:
        comparisons = compare_runs(runs, tasks, store=store, progress=progress)
    oracle = oracle_run(tasks, store=store, run=Run(out / "runs" / ORACLE))
    everyone = [*runs, *([oracle] if oracle else [])]
    with bar("Assess") as progress:
        for number, run in enumerate(everyone, start=1):
            assess(run, tasks, store=store)
            progress(number, len(everyone))
    learned = [run for run in runs if not run.is_baseline]
    lost = [row for r in learned for task in tasks for row in losses(r, task, store=store)]
    lost = adjusted(_current(lost, tasks, store))
    results = _current([row for run in everyone for row in run.results], tasks, store)
    unscored = _current([row for run in everyone for row in run.unscored], tasks, store)
    write_rows(out / "results.jsonl", results)
    write_rows(out / "comparisons.jsonl", comparisons)
    write_rows(out / "losses.jsonl", lost)
    seed_components, ranks = compare_methods(learned, tasks, store=store)
    write_rows(out / "seeds.jsonl", seed_components)
    write_rows(out / "ranks.jsonl", ranks)
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
        unscored=unscored,
        tasks=list(tasks),
        notes=list(notes),
        report=page,
        uri=uri,
        mirrored=mirrored[-1],
    )


def evaluate_run(
    run: Run,
    tasks: Sequence[Evaluated],
    *,
    store: CohortStore,
    missingness: Mapping[str, Sequence[str]] | None = None,
    progress: Progress = lambda done, total: None,
) -> None:
    """Score a trained run on tasks, where it has not been, and keep the results in its folder.

    Args:
        run: the run's folder.
        tasks: what to score.
        store: on what.
        missingness: for each task, patterns instead of its own; they are scored in any case.
        progress: called with tasks done and all tasks.

    Raises:
        DataError: the run was not trained, or on another store, or is not finished.
    """
    record = _record_of_training(run)
    if record["store_digest"] != store.digest:
        raise DataError(
            f"{run.path}: was trained on store {record['store_digest']} of cohort "
            f"'{record['cohort']}'; this is store {store.digest} of '{store.cohort}', and its "
            "subjects may have been in training. Give the store it was trained on."
        )
    if not run.finished:
        raise DataError(
            f"{run.path}: its training is not finished. The same `clinical-symile train` goes on "
            "from where it stopped."
        )
    task = task_from(record["definition"], name=record["task"], where=str(run.path / "run.toml"))
    assert isinstance(task, Pretraining)
    learner = load_learner(run, task, store)
    scorer: Scorer | None = None
    for number, asked in enumerate(tasks, start=1):
        unlearned = [name for name in asked.modalities if name not in task.modalities]
        if unlearned:
            _refuse(run, asked, store, unlearned)
        elif missingness is not None or not _is_scored(run, asked, store):
            if scorer is None:
                rows = np.arange(len(store.samples))
                scorer = EmbeddingScorer(
                    embed(learner.model, store, rows),
                    learner.objective,
                    store,
                    Encoders(learner, store),
                )
            patterns = None if missingness is None else missingness[asked.name]
            evaluate_into(run, asked, scorer, store, record["seed"], patterns)
        progress(number, len(tasks))


def _record_of_training(run: Run) -> dict[str, Any]:
    """What `run.toml` says of a run that was trained or imported.

    Raises:
        DataError: it was neither, or the record is not whole.
    """
    record = run.record
    missing = {"task", "definition", "cohort", "store_digest", "seed"} - record.keys()
    if not missing:
        return record
    scored_by = {
        "baseline": "benchmark --baselines",
        "predictions": "evaluate --predictions",
        "embeddings": "evaluate --embeddings",
    }
    for kind, command in scored_by.items():
        if kind in record:
            raise DataError(
                f"{run.path}: is of {kind} '{record[kind]}'; expected a run that `clinical-symile "
                f"train` wrote. Score this one by `clinical-symile {command} {record[kind]}`."
            )
    raise DataError(
        f"{run.path / 'run.toml'}: has no {', '.join(sorted(missing))}; expected the record that "
        "training wrote. Put it back, or remove the run's folder and train again."
    )


def _refuse(run: Run, task: Evaluated, store: CohortStore, unlearned: Sequence[str]) -> None:
    """Keep with a run that a task asks for modalities that it has not learned."""
    about = {"run": run.name, "cohort": store.cohort, "task": task.name}
    reason = f"the run has not learned {', '.join(unlearned)}, which the task asks for."
    made_with = expected_digest(task, store)
    unscored = [
        Unscored(**about, missingness=pattern, reason=reason, digest=made_with)
        for pattern in task.missingness
    ]
    run.write_evaluation(
        task.name, results=[], unscored=unscored, outcomes={}, candidates=DataFrame()
    )


def baseline_run(
    name: str,
    tasks: Sequence[Evaluated],
    *,
    store: CohortStore,
    run: Run,
    pretraining: Sequence[Pretraining],
    progress: Progress = lambda done, total: None,
) -> bool:
    """Score a baseline on the tasks that predict an outcome, where it has not been.

    Args:
        name: of the baseline.
        tasks: what is asked; retrievals are not.
        store: on what.
        run: its folder.
        pretraining: the first of them lends its encoders to a baseline that trains some.
        progress: called with tasks done and all tasks.

    Returns:
        Whether there was such a task.
    """
    asked = [task for task in tasks if isinstance(task, Classification)]
    if not asked or not pretraining:
        return False
    baseline = find(name, BASELINES, what="baseline")()
    scorer = BaselineScorer(baseline, store, pretraining[0])
    same = {
        "baseline": name,
        "store_digest": store.digest,
        "version": __version__,
        "encoders_digest": task_digest(pretraining[0]),
    }
    if not run.finished or any(run.record.get(key) != value for key, value in same.items()):
        shutil.rmtree(run.path, ignore_errors=True)
        about = {"cohort": store.cohort, "started": now(), **provenance(), "finished": now()}
        definition = {"description": baseline.description}
        run.write_record({"name": run.name, **same, **about, "definition": definition})
    for number, task in enumerate(asked, start=1):
        if not _is_scored(run, task, store):
            evaluate_into(run, task, scorer, store, seed=0, missingness=None)
        progress(number, len(asked))
    return True


def oracle_run(tasks: Sequence[Evaluated], *, store: CohortStore, run: Run) -> Run | None:
    """The best that is possible, scored like any model; None for cohorts where nobody knows it."""
    generator = store.manifest["generator"]
    if generator is None or generator["oracle"] is None:
        return None
    oracle = find(generator["oracle"], {}, what="oracle")(store)
    scorer = OracleScorer(oracle, store)
    for task in tasks:
        if not _is_scored(run, task, store):
            evaluate_into(run, task, scorer, store, seed=0, missingness=None)
    (run.path / "oracle.json").write_text(
        json.dumps(_population(oracle, tasks), indent=1) + "\n", encoding="utf-8"
    )
    return run


def _population(oracle: Any, tasks: Sequence[Evaluated]) -> dict[str, Any]:
    """What is exactly true of the world that the cohort was drawn from, on complete queries."""
    return {
        "total_correlation_nats": oracle.total_correlation,
        "recall_at_1": {
            task.name: oracle.recall_at_1(task.query, task.target, task.candidates)
            for task in tasks
            if isinstance(task, Retrieval) and isinstance(task.candidates, int)
        },
        "auroc": {
            task.name: float(np.mean([oracle.auroc(task.inputs, name) for name in task.outcomes]))
            for task in tasks
            if isinstance(task, Classification)
        },
    }


def compare_runs(
    runs: Sequence[Run],
    tasks: Sequence[Evaluated],
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
    return adjusted([row for row in comparisons if row not in held_against]) + adjusted(
        held_against
    )


def _comparable(run: Run, other: Run) -> bool:
    """Trained runs of the same seed; any run with one that was not trained here, but baselines."""
    if run.is_baseline and other.is_baseline:
        return False
    seeds = [one.record["seed"] for one in (run, other) if one.trained]
    return len(set(seeds)) < 2


def _is_scored(run: Run, task: Evaluated, store: CohortStore) -> bool:
    """Whether the run has a number, or a reason, for each pattern of the task as it is now."""
    expected = expected_digest(task, store)
    known = {
        row.missingness
        for row in (*run.results, *run.unscored)
        if row.task == task.name and row.digest == expected
    }
    return set(task.missingness) <= known


def _current(rows: Sequence[Row], tasks: Sequence[Evaluated], store: CohortStore) -> list[Row]:
    """Those rows that are of these tasks, with the patterns and the digests that they have now."""
    digests = {task.name: expected_digest(task, store) for task in tasks}
    wanted = {(t.name, pattern, digests[t.name]) for t in tasks for pattern in t.missingness}
    return [row for row in rows if (row.task, row.missingness, row.digest) in wanted]


def evaluate_into(
    run: Run,
    task: Evaluated,
    scorer: Scorer,
    store: CohortStore,
    seed: int,
    missingness: Sequence[str] | None,
) -> None:
    """Score a run on one task and keep what came of it in its folder."""
    made = evaluate(task, scorer, store=store, run=run.name, seed=seed, missingness=missingness)
    run.write_evaluation(
        task.name,
        results=made.results,
        unscored=made.unscored,
        outcomes=made.outcomes,
        tuning=made.tuning,
        candidates=made.candidates,
    )

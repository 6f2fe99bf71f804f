"""Whoever can be asked, scored on tasks: trained runs, baselines and the oracle.

What was scored of the same digests before is not scored again.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pandas import DataFrame

from clinical_symile import __version__
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import parse_task, task_digest
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.evaluation.evaluate import evaluate
from clinical_symile.evaluation.fingerprint import expected_fingerprints
from clinical_symile.evaluation.predictors.baseline import BaselineScorer
from clinical_symile.evaluation.predictors.embedding import EmbeddingScorer, OracleScorer, Scorer
from clinical_symile.evaluation.probes.base import Encoders
from clinical_symile.evaluation.task_selection import EvaluationTask
from clinical_symile.models.multimodal import embed_rows
from clinical_symile.registry import BASELINES, resolve
from clinical_symile.tracking.progress import Progress
from clinical_symile.tracking.results import SkippedResult
from clinical_symile.tracking.run import Run, now, provenance
from clinical_symile.training.learner import load_learner


def evaluate_run(
    run: Run,
    tasks: Sequence[EvaluationTask],
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
    task = parse_task(record["definition"], name=record["task"], where=str(run.path / "run.toml"))
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
                    embed_rows(learner.model, store, rows),
                    learner.objective,
                    store,
                    Encoders(learner, store),
                )
            patterns = None if missingness is None else missingness[asked.name]
            evaluate_and_save(run, asked, scorer, store, record["seed"], patterns)
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
        "scores": "evaluate --scores",
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


def _refuse(run: Run, task: EvaluationTask, store: CohortStore, unlearned: Sequence[str]) -> None:
    """Keep with a run that a task asks for modalities that it has not learned."""
    about = {"run": run.name, "cohort": store.cohort, "task": task.name}
    reason = f"the run has not learned {', '.join(unlearned)}, which the task asks for."
    made_with = expected_fingerprints(task, store)
    unscored = [
        SkippedResult(**about, missingness=pattern, reason=reason, digest=made_with(pattern))
        for pattern in task.missingness
    ]
    run.write_evaluation(
        task.name, results=[], unscored=unscored, outcomes={}, candidates=DataFrame()
    )


def evaluate_baseline(
    name: str,
    tasks: Sequence[EvaluationTask],
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
    baseline = resolve(name, BASELINES, what="baseline")()
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
            evaluate_and_save(run, task, scorer, store, seed=0, missingness=None)
        progress(number, len(asked))
    return True


def evaluate_oracle(
    tasks: Sequence[EvaluationTask],
    *,
    store: CohortStore,
    run: Run,
    progress: Progress = lambda done, total: None,
) -> Run | None:
    """The best that is possible, scored like any model; None for cohorts where nobody knows it."""
    generator = store.manifest["generator"]
    if generator is None or generator["oracle"] is None:
        return None
    oracle = resolve(generator["oracle"], {}, what="oracle")(store)
    scorer = OracleScorer(oracle, store)
    for number, task in enumerate(tasks, start=1):
        if not _is_scored(run, task, store):
            evaluate_and_save(run, task, scorer, store, seed=0, missingness=None)
        progress(number, len(tasks))
    (run.path / "oracle.json").write_text(
        json.dumps(_population(oracle, tasks), indent=1) + "\n", encoding="utf-8"
    )
    return run


def _population(oracle: Any, tasks: Sequence[EvaluationTask]) -> dict[str, Any]:
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


def _is_scored(run: Run, task: EvaluationTask, store: CohortStore) -> bool:
    """Whether the run has a number, or a reason, for each pattern of the task as it is now."""
    expected = expected_fingerprints(task, store)
    known = {
        row.missingness
        for row in (*run.results, *run.unscored)
        if row.task == task.name and row.digest == expected(row.missingness)
    }
    return set(task.missingness) <= known


def evaluate_and_save(
    run: Run,
    task: EvaluationTask,
    scorer: Scorer,
    store: CohortStore,
    seed: int,
    missingness: Sequence[str] | None,
) -> None:
    """Score a run on one task and keep what came of it in its folder."""
    made = evaluate(task, scorer, store=store, run=run.name, seed=seed, missingness=missingness)
    expected = expected_fingerprints(task, store)
    run.write_evaluation(
        task.name,
        results=made.results,
        unscored=made.unscored,
        outcomes=made.outcomes,
        tuning=made.tuning,
        candidates=made.candidates,
        outdated={
            row.missingness
            for row in (*run.results, *run.unscored)
            if row.task == task.name and row.digest != expected(row.missingness)
        },
    )

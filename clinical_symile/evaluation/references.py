"""Evaluate the references of a benchmark: baselines and the Bayes-optimal oracle."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from clinical_symile import __version__
from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import task_digest
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.evaluation.predictors.base import Predictor
from clinical_symile.evaluation.predictors.baseline import BaselinePredictor
from clinical_symile.evaluation.predictors.oracle import OraclePredictor
from clinical_symile.evaluation.runner import evaluate_and_save, is_evaluated
from clinical_symile.evaluation.task_selection import EvaluationTask
from clinical_symile.files import lock_folder, write_text
from clinical_symile.registry.base import load_object, resolve
from clinical_symile.registry.families import BASELINES
from clinical_symile.tracking.checksums import check_folder, missing_files
from clinical_symile.tracking.progress import Progress
from clinical_symile.tracking.provenance import now, provenance, run_origin
from clinical_symile.tracking.refusal import remove_if_refused
from clinical_symile.tracking.run import Run


def evaluate_baseline(
    name: str,
    tasks: Sequence[EvaluationTask],
    *,
    store: CohortStore,
    run: Run,
    pretraining: Sequence[Pretraining],
    progress: Progress = lambda done, total: None,
) -> bool:
    """Evaluate a baseline on the classification tasks and save the results.

    Args:
        name: the baseline's name.
        tasks: the tasks; retrieval tasks, and those that the run has results of, are skipped.
        store: the cohort.
        run: the baseline's folder.
        pretraining: pretraining tasks; a baseline that trains encoders uses those of the first.
        progress: called with tasks done and all tasks.

    Returns:
        True if there was a classification task and a pretraining task.
    """
    classifications = [task for task in tasks if isinstance(task, Classification)]
    if not classifications or not pretraining:
        return False
    baseline = resolve(name, BASELINES)()
    predictor = BaselinePredictor(baseline, store, pretraining[0])
    evaluate_reference(
        [(task, lambda: predictor) for task in classifications],
        run=run,
        store=store,
        same={
            "baseline": name,
            "store_digest": store.digest,
            "version": __version__,
            "encoders_digest": task_digest(pretraining[0]),
        },
        description=baseline.description,
        progress=progress,
    )
    return True


def evaluate_reference(
    tasks: Sequence[tuple[EvaluationTask, Callable[[], Predictor]]],
    *,
    run: Run,
    store: CohortStore,
    same: Mapping[str, str],
    description: str,
    progress: Progress = lambda done, total: None,
) -> None:
    """Evaluate a baseline on the tasks that its run has no results of, and save the results.

    Args:
        tasks: the tasks, each with a function that makes its predictor.
        run: the baseline's folder.
        store: the cohort.
        same: what the run's record must hold for earlier results to be kept.
        description: a sentence about the baseline.
        progress: called with tasks done and all tasks.

    Raises:
        DataError: the folder holds a run of another kind.
    """
    with lock_folder(run.path), remove_if_refused(run.path):
        _refuse_other_kinds(run, kind="baseline")
        check_folder(run.path)
        if not run.is_finished or any(
            run.metadata.get(key) != value for key, value in same.items()
        ):
            shutil.rmtree(run.path, ignore_errors=True)
            about = {"cohort": store.cohort, "started": now(), **provenance(), "finished": now()}
            definition = {"description": description}
            run.write_metadata({"name": run.name, **same, **about, "definition": definition})
        gone = missing_files(run.path)
        for number, (task, predictor) in enumerate(tasks, start=1):
            if not is_evaluated(run, task, store, gone):
                evaluate_and_save(run, task, predictor(), store, seed=0, missingness=None)
            progress(number, len(tasks))


def evaluate_oracle(
    tasks: Sequence[EvaluationTask],
    *,
    store: CohortStore,
    run: Run,
    progress: Progress = lambda done, total: None,
) -> Run | None:
    """Evaluate the Bayes-optimal reference; return None for cohorts that have none."""
    generator = store.manifest["generator"]
    if generator is None or generator["oracle"] is None:
        return None
    oracle = load_object(generator["oracle"], what="oracle")(store)
    predictor = OraclePredictor(oracle, store)
    with lock_folder(run.path), remove_if_refused(run.path):
        _refuse_other_kinds(run, kind="oracle")
        check_folder(run.path)
        gone = missing_files(run.path)
        for number, task in enumerate(tasks, start=1):
            if not is_evaluated(run, task, store, gone):
                evaluate_and_save(run, task, predictor, store, seed=0, missingness=None)
            progress(number, len(tasks))
        write_text(
            run.path / "oracle.json", json.dumps(_population(oracle, tasks), indent=1) + "\n"
        )
    return run


def _refuse_other_kinds(run: Run, *, kind: str) -> None:
    """Refuse to write results of the oracle or of a baseline into the folder of another run."""
    origin = run_origin(run.metadata if (run.path / "run.toml").is_file() else {})
    if origin is not None and origin[0] != kind:
        raise DataError(
            f"{run.path}: holds a run of {origin[0]} '{origin[1]}'; expected none, or one of the "
            f"{kind} of this name. Rename that folder, or move it.",
            code="CS-M015",
        )


def _population(oracle: Any, tasks: Sequence[EvaluationTask]) -> dict[str, Any]:
    """Return the exact values of the oracle in the generating model, on complete queries."""
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

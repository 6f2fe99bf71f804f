"""Compute one line of results again, alone."""

from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.read import parse_task
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.evaluation.evaluate import evaluate
from clinical_symile.evaluation.fingerprint import expected_fingerprints
from clinical_symile.evaluation.predictors.base import Predictor
from clinical_symile.evaluation.predictors.oracle import OraclePredictor
from clinical_symile.evaluation.runner import (
    labels_seen,
    set_missing_query,
    trained_predictor,
    training_record,
)
from clinical_symile.evaluation.task_selection import EvaluationTask
from clinical_symile.registry.base import load_object
from clinical_symile.registry.run_names import ORACLE
from clinical_symile.tracking.provenance import run_origin
from clinical_symile.tracking.results import Result
from clinical_symile.tracking.run import Run
from clinical_symile.training.learner import load_learner

# Words for the origins of runs that are not trained here: see `run_origin`.
_OTHER_ORIGINS = {
    "baseline": "the baseline",
    "predictions": "the external model",
    "embeddings": "the external model",
    "scores": "the external model",
    "model": "the model of your own",
}


def compute_again(row: Result, run: Run, task: EvaluationTask, store: CohortStore) -> Result:
    """Compute one result of a trained run or of the oracle again, without any other.

    Args:
        row: the earlier result.
        run: the run's folder.
        task: the task that the result names.
        store: the cohort that it was computed on.

    Returns:
        The new result; nothing is written.

    Raises:
        DataError: the task, the store or the version is another one, the run is of another kind,
            or the metric cannot be computed any more.
    """
    if expected_fingerprints(task, store)(row.missingness) != row.digest:
        raise DataError(
            f"{run.path}: the result of task '{task.name}' under '{row.missingness}' is of another "
            "definition, store, candidate list or version of this package; expected the present "
            "ones. Run `clinical-symile evaluate` again.",
            code="CS-S003",
        )
    made = evaluate(
        task,
        _predictor(row, run, task, store),
        store=store,
        run=row.run,
        seed=row.seed,
        missingness=[row.missingness],
        saw_labels=labels_seen(run),
    )
    found = [one for one in made.results if one.metric == row.metric]
    if not found:
        reasons = " ".join(one.reason for one in made.unscored)
        raise DataError(
            f"{run.path}: {row.metric} of task '{task.name}' cannot be computed: {reasons}",
            code="CS-R019",
        )
    return found[0]


def _predictor(row: Result, run: Run, task: EvaluationTask, store: CohortStore) -> Predictor:
    generator = store.manifest["generator"]
    if row.run == ORACLE and generator is not None and generator["oracle"] is not None:
        return OraclePredictor(load_object(generator["oracle"], what="oracle")(store), store)
    _refuse_other_kinds(row, run)
    record = training_record(run)
    if record["store_digest"] != store.digest:
        raise DataError(
            f"{run.path}: was trained on store {record['store_digest']}; this is store "
            f"{store.digest}. Give the store that it was trained on.",
            code="CS-R006",
        )
    pretraining = parse_task(
        record["definition"], name=record["task"], where=str(run.path / "run.toml")
    )
    assert isinstance(pretraining, Pretraining)
    learner = load_learner(run, pretraining, store)
    if isinstance(task, Retrieval):
        set_missing_query(learner.objective, row.missing_query, run)
    return trained_predictor(run, pretraining, learner, store, seed=record["seed"])


def _refuse_other_kinds(row: Result, run: Run) -> None:
    """Refuse a result of a baseline, an external model or the ceiling of sums over pairs.

    Raises:
        DataError: the result is of one of these.
    """
    origin = run_origin(run.metadata)
    if origin is not None and origin[0] in _OTHER_ORIGINS:
        raise DataError(
            f"{run.path}: the result is of {_OTHER_ORIGINS[origin[0]]} '{row.run}'; expected one "
            "of a trained run or of the oracle. No other model is kept with its results. "
            "Evaluate it again into a new folder, and compare the two lines.",
            code="CS-R019",
        )

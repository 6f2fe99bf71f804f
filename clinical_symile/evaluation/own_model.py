"""Evaluate a user's own Python object, without a file and without a registered name."""

from collections.abc import Mapping, Sequence
from typing import Any

from clinical_symile import __version__
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError
from clinical_symile.evaluation.evaluate import evaluate
from clinical_symile.evaluation.predictors.user_model import as_predictor
from clinical_symile.evaluation.runner import evaluate_and_save
from clinical_symile.evaluation.task_selection import EvaluationTask
from clinical_symile.files import lock_folder
from clinical_symile.objectives.base import Objective
from clinical_symile.registry.run_names import check_run_name
from clinical_symile.tracking.checksums import check_folder
from clinical_symile.tracking.progress import Progress
from clinical_symile.tracking.provenance import now, provenance
from clinical_symile.tracking.refusal import remove_if_refused
from clinical_symile.tracking.results import Result, SkippedResult
from clinical_symile.tracking.run import Run


def evaluate_model(
    model: Any,
    tasks: Sequence[EvaluationTask],
    *,
    store: CohortStore,
    name: str,
    objective: str | Objective | None = None,
    missingness: Mapping[str, Sequence[str]] | None = None,
    run: Run | None = None,
    progress: Progress = lambda done, total: None,
) -> tuple[list[Result], list[SkippedResult]]:
    """Evaluate a user's own model on tasks.

    Args:
        model: has a method `embed`, `predict_proba` or `score`; see `as_predictor`.
        tasks: the tasks.
        store: the cohort.
        name: the model's name in the results.
        objective: scores a query's embeddings with candidates, by name or as an object; see
            `as_predictor`.
        missingness: by task, patterns instead of its own.
        run: a folder that keeps results and outcomes, so that the model can be compared.
        progress: called with tasks done and all tasks.

    Raises:
        DefinitionError: the model has no such method, or the objective is unknown.
        DataError: what the model returns does not fit the store, the folder holds another run,
            or the name is the oracle's or a baseline's.
    """
    check_run_name(name, where="name")
    predictor = as_predictor(model, store, objective=objective)
    if run is not None:
        with lock_folder(run.path), remove_if_refused(run.path):
            check_folder(run.path)
            _write_record(run, model, store)
            for number, task in enumerate(tasks, start=1):
                patterns = None if missingness is None else missingness[task.name]
                evaluate_and_save(run, task, predictor, store, 0, patterns)
                progress(number, len(tasks))
        return run.results, run.unscored
    results, skipped = [], []
    for number, task in enumerate(tasks, start=1):
        patterns = None if missingness is None else missingness[task.name]
        made = evaluate(task, predictor, store=store, run=name, seed=0, missingness=patterns)
        results += made.results
        skipped += made.unscored
        progress(number, len(tasks))
    return results, skipped


def _write_record(run: Run, model: Any, store: CohortStore) -> None:
    kind = type(model)
    about = {"model": f"{kind.__module__}:{kind.__qualname__}", "store_digest": store.digest}
    if (run.path / "run.toml").is_file():
        record = run.metadata
        other = [key for key, value in about.items() if record.get(key) != value]
        if other:
            raise DataError(
                f"{run.path}: holds a run of another {', '.join(other)}. Give another name, or "
                "remove the folder.",
                code="CS-R002",
            )
        return
    run.write_metadata(
        {
            "name": run.name,
            **about,
            "cohort": store.cohort,
            "version": __version__,
            "started": now(),
            **provenance(),
            "finished": now(),
            "definition": {"description": f"A model from Python: {kind.__qualname__}."},
        }
    )

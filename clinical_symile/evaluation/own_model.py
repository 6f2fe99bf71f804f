"""Evaluate a Python object that embeds samples, without a file and without a registered name."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from clinical_symile import __version__
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.evaluation.evaluate import evaluate
from clinical_symile.evaluation.predictors.embedding import EmbeddingScorer, Scorer
from clinical_symile.evaluation.runner import evaluate_and_save
from clinical_symile.evaluation.task_selection import EvaluationTask
from clinical_symile.objectives.base import Objective
from clinical_symile.registry import OBJECTIVES, resolve
from clinical_symile.tracking.progress import Progress
from clinical_symile.tracking.results import Result, SkippedResult
from clinical_symile.tracking.run import Run, now, provenance


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
        model: has `embed(store, rows) -> Embeddings`.
        tasks: what to score.
        store: on what.
        name: of the model in the results.
        objective: scores a query's embeddings with candidates' embeddings, for retrieval tasks; a
            name of the registry or an object. Without it, the model's own attribute `objective`.
        missingness: for each task, patterns instead of its own.
        run: a folder that keeps results and outcomes, so that the model can be compared.
        progress: called with tasks done and all tasks.

    Raises:
        DefinitionError: the model has no such method, or a retrieval task has no objective.
        DataError: the embeddings do not fit the store, or the folder holds another run.
    """
    predictor = _predictor(model, tasks, store, objective)
    if run is not None:
        _write_record(run, model, store)
    results, skipped = [], []
    for number, task in enumerate(tasks, start=1):
        patterns = None if missingness is None else missingness[task.name]
        if run is None:
            made = evaluate(task, predictor, store=store, run=name, seed=0, missingness=patterns)
            results += made.results
            skipped += made.unscored
        else:
            evaluate_and_save(run, task, predictor, store, 0, patterns)
        progress(number, len(tasks))
    if run is None:
        return results, skipped
    return run.results, run.unscored


def _predictor(
    model: Any,
    tasks: Sequence[EvaluationTask],
    store: CohortStore,
    objective: str | Objective | None,
) -> Scorer:
    if not callable(getattr(model, "embed", None)):
        raise DefinitionError(
            f"{type(model).__name__}: has no method embed; expected an object with "
            "embed(store, rows) -> Embeddings. Add the method, or give a run."
        )
    score = getattr(model, "objective", None) if objective is None else objective
    if score is None:
        names = [task.name for task in tasks if task.kind == "retrieval"]
        if names:
            raise DefinitionError(
                f"{type(model).__name__}: {', '.join(names)} rank candidates by a score of "
                "embeddings; expected an objective that computes it. Give objective='clip', "
                "another name of `clinical-symile list objectives`, or an object."
            )
        score = "clip"  # classification tasks use no score
    if isinstance(score, str):
        score = resolve(score, OBJECTIVES, what="objective")()
    rows = np.arange(len(store.samples))
    return EmbeddingScorer(_checked(model.embed(store, rows), store, model), score, store)


def _checked(embeddings: Any, store: CohortStore, model: Any) -> Embeddings:
    """Refuse embeddings that do not fit the store.

    Raises:
        DataError: with everything that is wrong.
    """
    where = f"{type(model).__name__}.embed"
    if not isinstance(embeddings, Embeddings):
        raise DataError(
            f"{where}: returned {type(embeddings).__name__}; expected clinical_symile.Embeddings."
        )
    problems = []
    if len(embeddings.z) != len(store.samples):
        problems.append(
            f"{where}: {len(embeddings.z)} embeddings for {len(store.samples)} rows; expected one "
            "for each row, in their order."
        )
    unknown = [name for name in embeddings.modalities if name not in store.modalities]
    if unknown:
        problems.append(
            f"{where}: modalities {', '.join(unknown)}; expected some of "
            f"{', '.join(store.modalities)}."
        )
    if problems:
        raise DataError(*problems)
    columns = [store.modalities.index(name) for name in embeddings.modalities]
    invented = embeddings.present.numpy() & ~store.present[:, columns]
    if invented.any():
        problems.append(
            f"{where}: {int(invented.sum())} embeddings are marked present where the store has no "
            "measurement; expected present only where store.present is True."
        )
    if not torch.isfinite(embeddings.z[embeddings.present]).all():
        problems.append(f"{where}: some embeddings are not finite. Check the model's inputs.")
    if problems:
        raise DataError(*problems)
    return embeddings


def _write_record(run: Run, model: Any, store: CohortStore) -> None:
    kind = type(model)
    about = {"model": f"{kind.__module__}:{kind.__qualname__}", "store_digest": store.digest}
    if (run.path / "run.toml").is_file():
        record = run.record
        other = [key for key, value in about.items() if record.get(key) != value]
        if other:
            raise DataError(
                f"{run.path}: holds a run of another {', '.join(other)}. Give another name, or "
                "remove the folder."
            )
        return
    run.write_record(
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

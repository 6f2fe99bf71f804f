"""Score the same retrieval by each rule for a missing query modality, side by side."""

from collections.abc import Sequence

from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.evaluate import evaluate
from clinical_symile.evaluation.predictors.base import Predictor, draw_request
from clinical_symile.evaluation.predictors.embedding import EmbeddingPredictor
from clinical_symile.evaluation.task_selection import EvaluationTask
from clinical_symile.missingness.patterns import parse_pattern
from clinical_symile.objectives.missing_query import RULES
from clinical_symile.tracking.results import Result


def results_by_rule(
    task: EvaluationTask,
    predictor: Predictor,
    *,
    store: CohortStore,
    run: str,
    seed: int,
    missingness: Sequence[str] | None = None,
) -> list[Result]:
    """Evaluate a retrieval task by every rule, under the patterns in which the rules differ.

    A rule matters only where a query misses a modality that the model was trained with.

    Args:
        task: the task.
        predictor: the model.
        store: the cohort.
        run: the model's name in the results.
        seed: the seed of the model's training, which the results record.
        missingness: patterns instead of the task's own.

    Returns:
        The task's primary metric for each such pattern and rule. Empty for a classification, and
        for a model whose score has no such rule.
    """
    if not (isinstance(task, Retrieval) and isinstance(predictor, EmbeddingPredictor)):
        return []
    if predictor.missing_query is None:
        return []
    names = task.missingness if missingness is None else missingness
    patterns = [
        name
        for name in names
        if predictor.misses(draw_request(task, store, parse_pattern(name))).any()
    ]
    if not patterns:
        return []
    results = []
    for rule in RULES:
        scored = evaluate(
            task,
            predictor.with_rule(rule),
            store=store,
            run=run,
            seed=seed,
            missingness=patterns,
        )
        results += [row for row in scored.results if row.metric == task.primary]
    return results

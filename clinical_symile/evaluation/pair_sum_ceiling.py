"""Evaluate the best sum over pairs of modalities on a synthetic cohort's retrieval tasks."""

from collections.abc import Callable, Sequence
from functools import partial

from clinical_symile import __version__
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.predictors.oracle import OraclePredictor
from clinical_symile.evaluation.references import evaluate_reference
from clinical_symile.evaluation.task_selection import EvaluationTask
from clinical_symile.registry.base import load_object
from clinical_symile.registry.run_names import PAIR_SUMS
from clinical_symile.synthetic.oracle import Oracle
from clinical_symile.tracking.progress import Progress
from clinical_symile.tracking.run import Run

_DESCRIPTION = (
    "The best recall that a search finds for scores that are sums over pairs of modalities; it "
    "knows how the data were generated."
)


def evaluate_pair_sums(
    tasks: Sequence[EvaluationTask],
    *,
    store: CohortStore,
    run: Run,
    progress: Progress = lambda done, total: None,
) -> bool:
    """Evaluate the ceiling of sums over pairs and save it as the results of a baseline.

    A run above it uses information that three modalities carry together and no pair carries. Where
    a query has one modality, the ceiling is the oracle.

    Args:
        tasks: the tasks; those that are not retrieval among a number of candidates are left out.
        store: the cohort.
        run: the folder of the results.
        progress: called with tasks done and all tasks.

    Returns:
        True if the cohort has such a ceiling and there was a task.
    """
    generator = store.manifest["generator"]
    chosen = [task for task in tasks if isinstance(task, Retrieval) and task.candidates != "all"]
    if generator is None or generator["oracle"] is None or not chosen:
        return False
    best = getattr(load_object(generator["oracle"], what="oracle"), "of_pair_sums", None)
    if best is None:
        return False
    evaluate_reference(
        [(task, partial(_predictor, best, store, int(task.candidates))) for task in chosen],
        run=run,
        store=store,
        same={"baseline": PAIR_SUMS, "store_digest": store.digest, "version": __version__},
        description=_DESCRIPTION,
        progress=progress,
    )
    return True


def _predictor(best: Callable[..., Oracle], store: CohortStore, candidates: int) -> OraclePredictor:
    return OraclePredictor(best(store, candidates=candidates), store)

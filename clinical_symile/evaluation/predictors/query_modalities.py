"""Find which modalities of a model each query has, and which ones a bank replaces."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.predictors.base import Request
from clinical_symile.objectives.missing_query import Bank


def missing_modalities(
    request: Request[Retrieval], modalities: Sequence[str]
) -> dict[str, Bool[np.ndarray, " query"]]:
    """Return for each modality but the target which queries lack it.

    A modality that the task does not query with is missing like one that the pattern hides.

    Args:
        request: the queries.
        modalities: those that the model was trained with.
    """
    task, everyone = request.task, np.ones(len(request.rows), dtype=bool)
    return {
        name: ~request.available[:, task.query.index(name)] if name in task.query else everyone
        for name in modalities
        if name != task.target
    }


def queries_with_bank(
    request: Request[Retrieval], modalities: Sequence[str], bank: Bank | None
) -> Bool[np.ndarray, " query"]:
    """Return which queries lack a modality of the model that the bank replaces.

    Args:
        request: the queries.
        modalities: those that the model was trained with.
        bank: train embeddings; None if the objective's rule needs none.

    Raises:
        CannotScore: no train sample has embeddings of such a modality.
    """
    if bank is None:
        return np.zeros(len(request.rows), dtype=bool)
    missing = missing_modalities(request, modalities)
    unknown = [name for name, gone in missing.items() if gone.any() and name not in bank.z]
    if unknown:
        raise CannotScore(
            f"no train sample has embeddings of {', '.join(unknown)} to replace those that a "
            "query misses. Use missing_query = 'drop'.",
            code="CS-S015",
        )
    return np.any(list(missing.values()), axis=0)


def encoded_modalities(
    request: Request[Retrieval], modalities: Sequence[str]
) -> Bool[np.ndarray, "query modality"]:
    """Return the set of modalities with which a method that encodes by set encodes each query.

    A query's set has the target too, whether the query's own is there or not. A query without any
    modality is encoded with all of them.

    Args:
        request: the queries; the model has all modalities of the task.
        modalities: those that the model was trained with.
    """
    task = request.task
    shown = np.zeros((len(request.rows), len(modalities)), dtype=bool)
    shown[:, [modalities.index(name) for name in task.query]] = request.available
    shown[~shown.any(axis=1)] = True
    shown[:, modalities.index(task.target)] = True
    return shown

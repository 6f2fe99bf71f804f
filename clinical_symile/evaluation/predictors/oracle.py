"""Predict from the generating model of a synthetic cohort: the best possible answer."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import PADDING
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.predictors.base import Request


@runtime_checkable
class GeneratingModel(Protocol):
    """Protocol of what a cohort's generator knows; columns are the store's modalities."""

    def score(
        self,
        rows: Int[np.ndarray, " query"],
        available: Bool[np.ndarray, "query modality"],
        candidates: Int[np.ndarray, "query candidate"],
        /,
        *,
        target: str,
    ) -> Float[np.ndarray, "query candidate"]:
        """Return the log likelihood ratio of each candidate, up to a constant of the query."""
        ...

    def probability(
        self,
        rows: Int[np.ndarray, " sample"],
        available: Bool[np.ndarray, "sample modality"],
        /,
        *,
        outcome: str,
    ) -> Float[np.ndarray, " sample"]:
        """Return the probability of an outcome given what is available."""
        ...


@dataclass(frozen=True, repr=False)
class OraclePredictor:
    """The Bayes-optimal reference of a synthetic cohort.

    Attributes:
        oracle: the generating model.
        store: the cohort that it generated.
    """

    oracle: GeneratingModel
    store: CohortStore

    def score(
        self, request: Request[Retrieval], candidates: Int[np.ndarray, "query candidate"]
    ) -> Float[np.ndarray, "query candidate"]:
        """Score the candidates of each query; see `RetrievalPredictor`."""
        is_candidate = candidates != PADDING
        known = np.where(is_candidate, candidates, request.rows[:, None])
        available = self._of_store(request)
        scores = self.oracle.score(request.rows, available, known, target=request.task.target)
        return np.where(is_candidate, scores, -np.inf)

    def score_shared(
        self, request: Request[Retrieval], candidates: Int[np.ndarray, " candidate"]
    ) -> Float[np.ndarray, "query candidate"]:
        """Score the same candidates for every query; see `RetrievalPredictor`."""
        listed = np.broadcast_to(candidates, (len(request.rows), len(candidates)))
        available = self._of_store(request)
        return self.oracle.score(request.rows, available, listed, target=request.task.target)

    def predict_proba(self, request: Request[Classification]) -> Float[np.ndarray, " sample"]:
        """Return the probability of the outcome given what is available.

        Raises:
            CannotScore: the pattern hides modalities by the outcome itself. What is missing then
                tells the outcome, which the oracle, who knows values alone, does not use.
        """
        outcome = str(request.task.outcome)
        if request.pattern.given == outcome:
            raise CannotScore(
                f"'{request.pattern.name}' hides modalities by {outcome}: what is missing tells "
                "the outcome. A run can be better than the oracle, which knows values alone.",
                code="CS-S021",
            )
        return self.oracle.probability(request.rows, self._of_store(request), outcome=outcome)

    def _of_store(
        self, request: Request[Retrieval] | Request[Classification]
    ) -> Bool[np.ndarray, "sample modality"]:
        """Return what is available, with one column for each modality of the store."""
        columns = [self.store.modalities.index(name) for name in request.task.input_modalities]
        available = np.zeros((len(request.rows), len(self.store.modalities)), dtype=bool)
        available[:, columns] = request.available
        return available

"""Make a predictor of a user's own model, which needs one method only."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import PADDING
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import DataError, DefinitionError
from clinical_symile.evaluation.predictors._chosen_objective import objective_of_embeddings
from clinical_symile.evaluation.predictors.base import (
    Embedder,
    Predictor,
    Request,
    RetrievalPredictor,
    RiskPredictor,
)
from clinical_symile.evaluation.predictors.embedding import (
    EmbeddingPredictor,
)
from clinical_symile.objectives.base import Objective
from clinical_symile.registry.families import OBJECTIVES

# The sum of the inner products of a candidate with each query modality, without normalization.
_DEFAULT_OBJECTIVE = "clip"


def as_predictor(
    model: Any, store: CohortStore, *, objective: str | Objective | None = None
) -> Predictor:
    """Return a predictor of a user's model.

    The model needs one of three methods:

    - `embed(store, rows) -> Embeddings` answers retrieval and classification tasks; see `Embedder`;
    - `predict_proba(request)` answers classification tasks; see `RiskPredictor`;
    - `score(request, candidates)` answers retrieval tasks; see `RetrievalPredictor`. All
      candidates that it receives are rows of the store, never `PADDING`.

    Of a model with several, `predict_proba` and `score` are used before `embed`. A model that has
    `score_shared` too is used as it is.

    Args:
        model: the user's object.
        store: the cohort that it is evaluated on.
        objective: scores a query's embeddings with candidates, by name or as an object; None for
            the model's attribute `objective`, or else for inner products. See `Embedder`.

    Raises:
        DefinitionError: the model has none of the three methods, or the objective is none.
        DataError: its embeddings do not fit the store, or hold NaN or infinite numbers.
    """
    if isinstance(model, RetrievalPredictor):
        return model
    scores, predicts = (callable(getattr(model, name, None)) for name in ("score", "predict_proba"))
    embeds = isinstance(model, Embedder)
    if not (scores or predicts or embeds):
        raise DefinitionError(
            f"{type(model).__name__}: has no method embed, predict_proba or score; expected one of "
            "embed(store, rows) -> Embeddings, predict_proba(request) and score(request, "
            "candidates). Add one of them.",
            code="CS-M017",
        )
    embedding = _embedding_predictor(model, store, objective) if embeds else None
    if embedding is not None and not (scores or predicts):
        return embedding
    risk = _UserRiskPredictor(model) if predicts else embedding
    retrieval = _UserRetrievalPredictor(model) if scores else embedding
    if risk is None:
        assert retrieval is not None
        return retrieval
    return risk if retrieval is None else _Both(retrieval, risk)


def _embedding_predictor(
    model: Embedder, store: CohortStore, objective: str | Objective | None
) -> EmbeddingPredictor:
    embeddings = _checked(model.embed(store, np.arange(len(store.samples))), store, model)
    chosen: Any = getattr(model, "objective", None) if objective is None else objective
    if isinstance(chosen, str) or chosen is None:
        chosen = objective_of_embeddings(chosen or _DEFAULT_OBJECTIVE)
    if not isinstance(chosen, Objective):
        raise DefinitionError(
            f"{type(model).__name__}: its objective is a {type(chosen).__name__}; expected an "
            f"Objective or the name of one: {', '.join(sorted(OBJECTIVES))}.",
            code="CS-M017",
        )
    return EmbeddingPredictor(embeddings, chosen, store, embedder=model)


def _checked(embeddings: Any, store: CohortStore, model: Embedder) -> Embeddings:
    """Return the embeddings if they fit the store.

    Raises:
        DataError: with everything that is wrong.
    """
    where = f"{type(model).__name__}.embed"
    if not isinstance(embeddings, Embeddings):
        raise DataError(
            f"{where}: returned a {type(embeddings).__name__}; expected "
            "clinical_symile.Embeddings.",
            code="CS-M018",
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
        raise DataError(*problems, code="CS-M018")
    columns = [store.modalities.index(name) for name in embeddings.modalities]
    stored, given = store.present[:, columns], embeddings.available.numpy()
    for at, what in (
        (given & ~stored, "embeddings are marked available where the store has no measurement"),
        (stored & ~given, "embeddings are not marked available where the store has a measurement"),
    ):
        if at.any():
            problems.append(
                f"{where}: {int(at.sum())} {what}; expected the store's `present` for each "
                "embedded modality."
            )
    if not bool(torch.isfinite(embeddings.z[embeddings.available]).all()):
        problems.append(f"{where}: some embeddings are NaN or infinite. Check the model's inputs.")
    if problems:
        raise DataError(*problems, code="CS-M018")
    return embeddings


@dataclass(frozen=True)
class _UserRiskPredictor:
    """A user's `predict_proba`, whose return value is checked."""

    model: Any

    def predict_proba(self, request: Request[Classification]) -> Float[np.ndarray, " sample"]:
        """See `RiskPredictor`."""
        found = np.asarray(self.model.predict_proba(request), dtype=np.float64)
        where = f"{type(self.model).__name__}.predict_proba"
        if found.shape != request.rows.shape:
            raise DataError(
                f"{where}: returned shape {list(found.shape)}; expected [{len(request.rows)}], one "
                "probability for each sample.",
                code="CS-M019",
            )
        wrong = int((~((found >= 0) & (found <= 1))).sum())
        if wrong:
            raise DataError(
                f"{where}: {wrong} of {len(found)} values are NaN or outside 0 … 1; expected "
                "probabilities. Convert log odds by the logistic function.",
                code="CS-M019",
            )
        return found


@dataclass(frozen=True)
class _UserRetrievalPredictor:
    """A user's `score`, which never receives `PADDING`."""

    model: Any

    def score(
        self, request: Request[Retrieval], candidates: Int[np.ndarray, "query candidate"]
    ) -> Float[np.ndarray, "query candidate"]:
        """See `RetrievalPredictor`."""
        is_candidate = candidates != PADDING
        known = np.where(is_candidate, candidates, request.rows[:, None])
        found = np.asarray(self.model.score(request, known), dtype=np.float64)
        if found.shape != candidates.shape:
            raise DataError(
                f"{type(self.model).__name__}.score: returned shape {list(found.shape)}; expected "
                f"{list(candidates.shape)}, one score for each query and candidate.",
                code="CS-M019",
            )
        return np.where(is_candidate, found, -np.inf)

    def score_shared(
        self, request: Request[Retrieval], candidates: Int[np.ndarray, " candidate"]
    ) -> Float[np.ndarray, "query candidate"]:
        """See `RetrievalPredictor`."""
        return self.score(request, np.tile(candidates, (len(request.rows), 1)))


@dataclass(frozen=True)
class _Both:
    """One model's answers to retrieval and classification tasks."""

    retrieval: RetrievalPredictor
    risk: RiskPredictor

    def score(
        self, request: Request[Retrieval], candidates: Int[np.ndarray, "query candidate"]
    ) -> Float[np.ndarray, "query candidate"]:
        """See `RetrievalPredictor`."""
        return self.retrieval.score(request, candidates)

    def score_shared(
        self, request: Request[Retrieval], candidates: Int[np.ndarray, " candidate"]
    ) -> Float[np.ndarray, "query candidate"]:
        """See `RetrievalPredictor`."""
        return self.retrieval.score_shared(request, candidates)

    def predict_proba(self, request: Request[Classification]) -> Float[np.ndarray, " sample"]:
        """See `RiskPredictor`."""
        return self.risk.predict_proba(request)

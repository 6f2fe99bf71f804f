"""Define what an evaluated model provides: scores of candidates or probabilities of an outcome."""

from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.diagnostic import DiagnosticTask
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.masks import draw_mask
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.missingness.patterns import Pattern

TaskT = TypeVar("TaskT", bound=Retrieval | Classification | DiagnosticTask)


@dataclass(frozen=True, eq=False, repr=False)
class Request(Generic[TaskT]):
    """Samples of which a task needs scores or probabilities.

    Attributes:
        task: the task.
        rows: rows of the store.
        available: True where the model receives a modality; the columns are
            `task.input_modalities`.
        pattern: the missingness pattern. A risk predictor may be fitted under the same pattern.
            Scores of candidates must depend on `available` alone, since patterns share ranks.
    """

    task: TaskT
    rows: Int[np.ndarray, " sample"]
    available: Bool[np.ndarray, "sample modality"]
    pattern: Pattern

    def take(
        self, index: slice | Int[np.ndarray, " taken"] | Bool[np.ndarray, " sample"]
    ) -> "Request[TaskT]":
        """Return the request for some of the samples."""
        return replace(self, rows=self.rows[index], available=self.available[index])


def draw_request(
    task: TaskT, store: CohortStore, pattern: Pattern, *, split: str | None = None
) -> Request[TaskT]:
    """Draw a pattern's mask for a task and return the samples that it is scored on.

    Args:
        task: gives the modalities and the seed of the mask.
        store: a prepared cohort.
        pattern: the missingness pattern.
        split: "train", "tuning" or "held_out"; None for the split that the task scores.

    Raises:
        CannotScore: the cohort lacks what the pattern needs.
    """
    mask = draw_mask(
        pattern,
        store,
        split=task.split if split is None else split,
        modalities=task.input_modalities,
        seed=task.seed,
    )
    return Request(task, mask.rows.copy(), mask.available.copy(), pattern)


@runtime_checkable
class RetrievalPredictor(Protocol):
    """Protocol of a model that scores candidates.

    Implementations must read only modalities where `available` is True, and the target modality of
    candidates.
    """

    def score(
        self, request: Request[Retrieval], candidates: Int[np.ndarray, "query candidate"]
    ) -> Float[np.ndarray, "query candidate"]:
        """Score the candidates of each query; higher is better.

        Args:
            request: the queries.
            candidates: rows of the store, `PADDING` after the end of a shorter list.

        Returns:
            One score for each query and candidate; -inf where `candidates` is `PADDING`.
        """
        ...

    def score_shared(
        self, request: Request[Retrieval], candidates: Int[np.ndarray, " candidate"]
    ) -> Float[np.ndarray, "query candidate"]:
        """Score the same candidates for every query.

        Args:
            request: the queries.
            candidates: rows of the store.

        Returns:
            A new array; the caller may write to it.
        """
        ...


@runtime_checkable
class RiskPredictor(Protocol):
    """Protocol of a model that predicts an outcome.

    Implementations must read only modalities where `available` is True.
    """

    def predict_proba(self, request: Request[Classification]) -> Float[np.ndarray, " sample"]:
        """Predict the probability of the task's one outcome for each sample.

        Args:
            request: the samples.

        Raises:
            CannotScore: nothing can be predicted; the message says why.
        """
        ...


Predictor = RetrievalPredictor | RiskPredictor


@runtime_checkable
class AnalyteHidingPredictor(Protocol):
    """Protocol of a model that can encode a modality again with some of its parts hidden."""

    def with_parts_hidden(self, pattern: Pattern, *, seed: int) -> Predictor:
        """Return this model as it answers when the pattern hides parts of a modality.

        Args:
            pattern: hides parts, such as leads, of the modality `pattern.within`, or adds noise.
            seed: seed of the mask.

        Raises:
            CannotScore: the modality cannot be encoded again, or the parts cannot be drawn.
        """
        ...


@runtime_checkable
class Embedder(Protocol):
    """Protocol of a user's own encoder; the one method is enough to be evaluated on every task.

    An embedder may have an attribute `objective`: an `Objective`, or the name of a registered one.
    It scores a query with a candidate. Without it the score is the sum of the inner products of
    the candidate with each available modality of the query (the score of `clip`). The vectors are
    used as they are: normalize them to length 1 for cosine similarity.
    """

    def embed(self, store: CohortStore, rows: Int[np.ndarray, " sample"]) -> Embeddings:
        """Embed each modality of some samples separately.

        Read `store.inputs`: they lack the parts of a modality that a pattern hides, such as leads.

        Args:
            store: a prepared cohort.
            rows: rows of the store.

        Returns:
            The embeddings in the order of `rows`; `available` is True for all that the store has of
            the embedded modalities.
        """
        ...


def hide_parts_from(predictor: Predictor, pattern: Pattern, *, seed: int) -> Predictor:
    """Return a model as it answers when the pattern hides parts of a modality.

    Raises:
        CannotScore: the model cannot encode the modality again, or the parts cannot be drawn.
    """
    if isinstance(predictor, AnalyteHidingPredictor):
        return predictor.with_parts_hidden(pattern, seed=seed)
    raise CannotScore(
        f"'{pattern.name}' {pattern.effect}; only a model with its encoders can be evaluated so.",
        code="CS-S010",
    )

"""Predict from several imputations of values of a panel that were not measured."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, cast

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit, logit

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.completed import complete_panels, is_panel
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.store import CohortStore
from clinical_symile.evaluation.predictors.base import Request
from clinical_symile.evaluation.predictors.embedding import EmbeddingPredictor
from clinical_symile.evaluation.predictors.training_embeddings import (
    training_embeddings,
    training_values,
)
from clinical_symile.models.missing_modality.base import Fill, ImputeValues
from clinical_symile.models.multimodal import MultimodalEncoder
from clinical_symile.models.row_embeddings import reencode_modality

_LEAST_RISK = 1e-12  # so that a log odds is finite


class FittedImputation(NamedTuple):
    """One imputation, as fitted to what a run trained on.

    Attributes:
        complete: for each panel, fills in the values that were not measured.
        fill: replaces missing embeddings, with those of filled-in panels.
    """

    complete: Mapping[str, ImputeValues]
    fill: Fill


@dataclass(frozen=True, repr=False)
class ImputedPredictor(EmbeddingPredictor):
    """A model whose panels are read several times, each with other imputed values.

    Scores are averaged over imputations, and so are the log odds of risks: a probe is fitted once
    for each. Values are filled in after a pattern hid some, and before they are encoded. What reads
    `embeddings` itself reads them without imputed values, and what changes them must change those
    of `imputations`.

    Attributes:
        fitted: returns the imputations, of the training cohort.
    """

    fitted: Callable[[], Sequence[FittedImputation]] = tuple

    @cached_property
    def _used_fills(self) -> tuple[Fill | None, ...]:
        """Return no replacement: each imputation has its own."""
        return (None,)

    @property
    def _held_bytes(self) -> int:
        """About how much memory the embeddings take, with those of each imputation."""
        assert self.encoders is not None
        panel = self.encoders.learner.model.panel
        assert panel is not None
        return (1 + panel.number) * super()._held_bytes

    @cached_property
    def imputations(self) -> tuple[EmbeddingPredictor, ...]:
        """The model with each imputation; each holds the embeddings of all samples."""
        return tuple(self._imputed(number, one) for number, one in enumerate(self.fitted()))

    def _imputed(self, number: int, one: FittedImputation) -> EmbeddingPredictor:
        assert self.encoders is not None
        store = complete_panels(self.store, one.complete)
        embeddings = self.embeddings
        for name in one.complete:
            model = self.encoders.learner.model
            embeddings = reencode_modality(model, store, embeddings, name)
        source = self.source
        return EmbeddingPredictor(
            embeddings,
            self.objective,
            store,
            encoders=replace(self.encoders, store=store),
            fills=(one.fill,),
            source=None
            if source is None
            else lambda: cast(ImputedPredictor, source()).imputations[number],
        )

    def score(
        self, request: Request[Retrieval], candidates: Int[np.ndarray, "query candidate"]
    ) -> Float[np.ndarray, "query candidate"]:
        """Average the scores over imputations; see the protocol.

        Raises:
            CannotScore: see `EmbeddingPredictor`.
        """
        return np.mean([one.score(request, candidates) for one in self.imputations], axis=0)

    def score_shared(
        self, request: Request[Retrieval], candidates: Int[np.ndarray, " candidate"]
    ) -> Float[np.ndarray, "query candidate"]:
        """Average the scores of shared candidates over imputations.

        Raises:
            CannotScore: see `EmbeddingPredictor`.
        """
        return np.mean([one.score_shared(request, candidates) for one in self.imputations], axis=0)

    def predict_proba(self, request: Request[Classification]) -> Float[np.ndarray, " sample"]:
        """Average the log odds over imputations, each with its own probe.

        Raises:
            CannotScore: see `EmbeddingPredictor`.
        """
        risks = np.array([one.predict_proba(request) for one in self.imputations])
        return expit(logit(risks.clip(_LEAST_RISK, 1 - _LEAST_RISK)).mean(axis=0))


def fit_imputed_values(
    task: Pretraining,
    model: MultimodalEncoder,
    embeddings: Embeddings,
    store: CohortStore,
    *,
    seed: int,
) -> tuple[FittedImputation, ...]:
    """Fit a method's imputations to what a run trained on, and to nothing else.

    Args:
        task: the run's task.
        model: the run's encoders, with a method that has `panel`.
        embeddings: one row for each row of the store, in its order.
        store: the store that the run was trained on.
        seed: seed of the run.

    Raises:
        DataError: the training's samples cannot be drawn from this store.
    """
    panel = model.panel
    assert panel is not None
    names = [name for name in model.modalities if is_panel(store, name)]
    values = training_values(task, store, names, seed=seed)
    made = []
    for one in np.random.SeedSequence(0).generate_state(panel.number):
        complete = {name: panel.fit_values(values[name], int(one)) for name in names}
        train = training_embeddings(task, model, embeddings, store, seed=seed, complete=complete)
        fill = panel.fit_vectors(train, int(one))
        made.append(FittedImputation(complete, model.normalized(fill, train)))
    return tuple(made)

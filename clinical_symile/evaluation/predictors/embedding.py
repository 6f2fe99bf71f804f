"""What evaluation asks of a model, and how a trained one answers."""

from dataclasses import dataclass, replace
from math import isqrt
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.candidates import PADDING
from clinical_symile.data.embeddings import Embeddings
from clinical_symile.data.masks import draw_mask, hide_parts
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.labels import outcome_labels, subsample_labels
from clinical_symile.evaluation.probes.base import Encoders, Labelled, Shown
from clinical_symile.missingness.patterns import Pattern
from clinical_symile.models.multimodal import reencode_modality
from clinical_symile.objectives.base import Objective
from clinical_symile.registry import PROBES, resolve

# Scores that are held at a time when lists are scored. All queries of a part are scored with all of
# its candidates: with more of them fewer of these products are asked for.
CELLS = 2**18
NEEDS_LABELS = (
    "a probe cannot be fitted: under this pattern the train split needs samples with the outcome "
    "and samples without it, and the tuning split at least one of either."
)


@runtime_checkable
class Scorer(Protocol):
    """Anything that can be evaluated. It may use nothing that is not `available`."""

    def score(
        self,
        task: Retrieval,
        rows: Int[np.ndarray, " query"],
        available: Bool[np.ndarray, "query modality"],
        candidates: Int[np.ndarray, "query candidate"],
    ) -> Float[np.ndarray, "query candidate"]:
        """How well each candidate goes with each query; -inf where there is no candidate.

        Args:
            task: what is retrieved.
            rows: the queries, as rows of the store.
            available: which of the task's query modalities may be used.
            candidates: rows of the store, `PADDING` behind the end of a list.
        """
        ...

    def score_all(
        self,
        task: Retrieval,
        rows: Int[np.ndarray, " query"],
        available: Bool[np.ndarray, "query modality"],
        candidates: Int[np.ndarray, " candidate"],
    ) -> Float[np.ndarray, "query candidate"]:
        """`score` where every query has the same candidates; the array is the caller's to change.

        Args:
            task: what is retrieved.
            rows: the queries, as rows of the store.
            available: which of the task's query modalities may be used.
            candidates: rows of the store.
        """
        ...

    def probability(
        self,
        task: Classification,
        rows: Int[np.ndarray, " sample"],
        available: Bool[np.ndarray, "sample modality"],
        pattern: Pattern,
    ) -> Float[np.ndarray, " sample"]:
        """Predicted probability of the outcome.

        Args:
            task: what is predicted.
            rows: of the store.
            available: which of the task's inputs may be used.
            pattern: what hid the others; training samples may be given the same treatment.

        Raises:
            CannotScore: nothing can be predicted, and why.
        """
        ...


@dataclass(frozen=True)
class EmbeddingScorer:
    """A trained model: its embeddings of the whole store and the score of its objective.

    Attributes:
        embeddings: of every row of the store, in order.
        objective: scores retrievals.
        store: labels and splits for the probe.
        encoders: that the embeddings came from; None where they are not at hand.
    """

    embeddings: Embeddings
    objective: Objective
    store: CohortStore
    encoders: Encoders | None = None

    def score(
        self,
        task: Retrieval,
        rows: Int[np.ndarray, " query"],
        available: Bool[np.ndarray, "query modality"],
        candidates: Int[np.ndarray, "query candidate"],
    ) -> Float[np.ndarray, "query candidate"]:
        """See `Scorer`."""
        scores = np.empty(candidates.shape)
        # A part's queries are scored with all candidates of any of them, as one matrix product.
        step = max(1, isqrt(CELLS // max(candidates.shape[1], 1)))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            listed = candidates[part]
            together, place = np.unique(listed, return_inverse=True)
            full = self.score_all(task, rows[part], available[part], together)
            scores[part] = np.take_along_axis(full, place.reshape(listed.shape), axis=1)
        return np.where(candidates == PADDING, -np.inf, scores)

    @torch.inference_mode()
    def score_all(
        self,
        task: Retrieval,
        rows: Int[np.ndarray, " query"],
        available: Bool[np.ndarray, "query modality"],
        candidates: Int[np.ndarray, " candidate"],
    ) -> Float[np.ndarray, "query candidate"]:
        """See `Scorer`."""
        column = self.embeddings.modalities.index(task.target)
        z = self.embeddings.z[torch.from_numpy(candidates.copy()), column]
        query = self._available(rows, available, task.query)
        return self.objective.score(query, z, target=task.target).numpy()

    def probability(
        self,
        task: Classification,
        rows: Int[np.ndarray, " sample"],
        available: Bool[np.ndarray, "sample modality"],
        pattern: Pattern,
    ) -> Float[np.ndarray, " sample"]:
        """See `Scorer`: by the task's probe on the embeddings that are seen, and which are.

        Raises:
            CannotScore: the train or the tuning split has no sample to use, or one class only; or
                what the probe says.
        """
        train = self._labelled(task, pattern, "train")
        tuning = self._labelled(task, pattern, "tuning")
        if len(np.unique(train.label)) < 2 or not len(tuning.label):
            raise CannotScore(NEEDS_LABELS)
        probe = resolve(task.probe.name, PROBES, what="probe")(**task.probe.arguments)
        return probe.predict(
            subsample_labels(train, task),
            subsample_labels(tuning, task),
            self._shown(task, rows, available),
            encoders=self.encoders,
            seed=task.seed,
        )

    def _available(
        self,
        rows: Int[np.ndarray, " sample"],
        available: Bool[np.ndarray, "sample modality"],
        modalities: tuple[str, ...],
    ) -> Embeddings:
        """Embeddings of rows with everything else than what is seen hidden."""
        full = np.zeros((len(rows), len(self.embeddings.modalities)), dtype=bool)
        full[:, [self.embeddings.modalities.index(name) for name in modalities]] = available
        return self.embeddings.take(torch.from_numpy(rows)).hide(torch.from_numpy(full))

    def _shown(
        self,
        task: Classification,
        rows: Int[np.ndarray, " sample"],
        available: Bool[np.ndarray, "sample modality"],
    ) -> Shown:
        columns = [self.embeddings.modalities.index(name) for name in task.inputs]
        z = self._available(rows, available, task.inputs).z[:, columns].numpy()
        return Shown(rows, z, available, task.inputs)

    def _labelled(self, task: Classification, pattern: Pattern, split: str) -> Labelled:
        rows, available = samples(self.store, split, task.inputs, pattern, seed=task.seed)
        label = outcome_labels(self.store, task)[rows]
        known = ~np.isnan(label)
        shown = self._shown(task, rows[known], available[known])
        return Labelled(**vars(shown), label=label[known].astype(int))


@dataclass(frozen=True)
class OracleScorer:
    """Who knows a made-up cohort, asked like a model.

    Attributes:
        oracle: with `score(rows, seen, candidates, target=…)` and `probability(rows, seen,
            outcome=…)`, where the columns of `available` are the store's modalities.
        store: of the cohort.
    """

    oracle: Any
    store: CohortStore

    def score(
        self,
        task: Retrieval,
        rows: Int[np.ndarray, " query"],
        available: Bool[np.ndarray, "query modality"],
        candidates: Int[np.ndarray, "query candidate"],
    ) -> Float[np.ndarray, "query candidate"]:
        """See `Scorer`."""
        there = candidates != PADDING
        known = np.where(there, candidates, rows[:, None])
        full = self._available(available, task.query)
        return np.where(there, self.oracle.score(rows, full, known, target=task.target), -np.inf)

    def score_all(
        self,
        task: Retrieval,
        rows: Int[np.ndarray, " query"],
        available: Bool[np.ndarray, "query modality"],
        candidates: Int[np.ndarray, " candidate"],
    ) -> Float[np.ndarray, "query candidate"]:
        """See `Scorer`."""
        listed = np.broadcast_to(candidates, (len(rows), len(candidates)))
        return self.oracle.score(
            rows, self._available(available, task.query), listed, target=task.target
        )

    def probability(
        self,
        task: Classification,
        rows: Int[np.ndarray, " sample"],
        available: Bool[np.ndarray, "sample modality"],
        pattern: Pattern,
    ) -> Float[np.ndarray, " sample"]:
        """See `Scorer`."""
        return self.oracle.probability(
            rows, self._available(available, task.inputs), outcome=task.outcome
        )

    def _available(
        self, available: Bool[np.ndarray, "sample asked"], modalities: tuple[str, ...]
    ) -> Bool[np.ndarray, "sample modality"]:
        full = np.zeros((len(available), len(self.store.modalities)), dtype=bool)
        full[:, [self.store.modalities.index(name) for name in modalities]] = available
        return full


def without_parts(scorer: Scorer, pattern: Pattern, *, seed: int) -> Scorer:
    """The scorer as it answers when the pattern hides parts of a modality: that one is read again.

    Raises:
        CannotScore: nobody can read it again, or the parts cannot be drawn.
    """
    if not isinstance(scorer, EmbeddingScorer) or scorer.encoders is None:
        raise CannotScore(
            f"'{pattern.name}' hides parts of {pattern.within}; only a run with its encoders can "
            "be asked with the rest."
        )
    store = hide_parts(pattern, scorer.store, seed=seed)
    learner = scorer.encoders.learner
    return replace(
        scorer,
        embeddings=reencode_modality(learner.model, store, scorer.embeddings, pattern.within),
        store=store,
        encoders=replace(scorer.encoders, store=store),
    )


def samples(
    store: CohortStore,
    split: str,
    modalities: tuple[str, ...],
    pattern: Pattern,
    *,
    seed: int,
) -> tuple[Int[np.ndarray, " sample"], Bool[np.ndarray, "sample modality"]]:
    """The rows of a split that a pattern is scored on, and which modalities are seen of each.

    Raises:
        CannotScore: the pattern cannot be drawn on this cohort, and why.
    """
    mask = draw_mask(pattern, store, split=split, modalities=modalities, seed=seed)
    return mask.rows.copy(), mask.available.copy()

"""What evaluation asks of a model, and how a trained one answers."""

import warnings
from dataclasses import dataclass
from math import isqrt
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from clinical_symile.candidates import NOBODY
from clinical_symile.embeddings import Embeddings
from clinical_symile.missingness import Pattern, scored, visible
from clinical_symile.objectives.objective import Objective
from clinical_symile.store import CohortStore
from clinical_symile.task import Classification, Retrieval

# Scores that are held at a time when lists are scored.
CELLS = 2**22


class CannotScore(Exception):  # noqa: N818, a verdict rather than an error
    """Under some pattern there is nothing to score, or no way to; the message says why."""


@runtime_checkable
class Scorer(Protocol):
    """Anything that can be evaluated. It may use nothing that is not `seen`."""

    def score(
        self,
        task: Retrieval,
        rows: Int[np.ndarray, " query"],
        seen: Bool[np.ndarray, "query modality"],
        candidates: Int[np.ndarray, "query candidate"],
    ) -> Float[np.ndarray, "query candidate"]:
        """How well each candidate goes with each query; -inf where there is no candidate.

        Args:
            task: what is retrieved.
            rows: the queries, as rows of the store.
            seen: which of the task's query modalities may be used.
            candidates: rows of the store, `NOBODY` behind the end of a list.
        """
        ...

    def score_all(
        self,
        task: Retrieval,
        rows: Int[np.ndarray, " query"],
        seen: Bool[np.ndarray, "query modality"],
        candidates: Int[np.ndarray, " candidate"],
    ) -> Float[np.ndarray, "query candidate"]:
        """`score` where every query has the same candidates; the array is the caller's to change.

        Args:
            task: what is retrieved.
            rows: the queries, as rows of the store.
            seen: which of the task's query modalities may be used.
            candidates: rows of the store.
        """
        ...

    def probability(
        self,
        task: Classification,
        rows: Int[np.ndarray, " sample"],
        seen: Bool[np.ndarray, "sample modality"],
        pattern: Pattern,
    ) -> Float[np.ndarray, " sample"]:
        """Predicted probability of the outcome.

        Args:
            task: what is predicted.
            rows: of the store.
            seen: which of the task's inputs may be used.
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
    """

    embeddings: Embeddings
    objective: Objective
    store: CohortStore

    def score(
        self,
        task: Retrieval,
        rows: Int[np.ndarray, " query"],
        seen: Bool[np.ndarray, "query modality"],
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
            full = self.score_all(task, rows[part], seen[part], together)
            scores[part] = np.take_along_axis(full, place.reshape(listed.shape), axis=1)
        return np.where(candidates == NOBODY, -np.inf, scores)

    @torch.inference_mode()
    def score_all(
        self,
        task: Retrieval,
        rows: Int[np.ndarray, " query"],
        seen: Bool[np.ndarray, "query modality"],
        candidates: Int[np.ndarray, " candidate"],
    ) -> Float[np.ndarray, "query candidate"]:
        """See `Scorer`."""
        column = self.embeddings.modalities.index(task.target)
        z = self.embeddings.z[torch.from_numpy(candidates.copy()), column]
        query = self._seen(rows, seen, task.query)
        return self.objective.score(query, z, target=task.target).numpy()

    def probability(
        self,
        task: Classification,
        rows: Int[np.ndarray, " sample"],
        seen: Bool[np.ndarray, "sample modality"],
        pattern: Pattern,
    ) -> Float[np.ndarray, " sample"]:
        """See `Scorer`: by logistic regression on the embeddings that are seen, and which are.

        Raises:
            CannotScore: the train or the tuning split has no sample to use, or one class only.
        """
        train, train_seen, train_label = self._labelled(task, pattern, "train")
        tuning, tuning_seen, tuning_label = self._labelled(task, pattern, "tuning")
        if len(np.unique(train_label)) < 2 or not len(tuning_label):
            raise CannotScore(
                "a probe cannot be fitted: under this pattern the train split needs samples with "
                "the outcome and samples without it, and the tuning split at least one of either."
            )
        fitted = [
            _probe(strength, self._features(train, train_seen, task), train_label)
            for strength in task.strengths
        ]
        tuned = self._features(tuning, tuning_seen, task)
        losses = [
            log_loss(tuning_label, probe.predict_proba(tuned)[:, 1], labels=[0, 1])
            for probe in fitted
        ]
        return fitted[int(np.argmin(losses))].predict_proba(self._features(rows, seen, task))[:, 1]

    def _seen(
        self,
        rows: Int[np.ndarray, " sample"],
        seen: Bool[np.ndarray, "sample modality"],
        modalities: tuple[str, ...],
    ) -> Embeddings:
        """Embeddings of rows with everything else than what is seen hidden."""
        full = np.zeros((len(rows), len(self.embeddings.modalities)), dtype=bool)
        full[:, [self.embeddings.modalities.index(name) for name in modalities]] = seen
        return self.embeddings.take(torch.from_numpy(rows)).hide(torch.from_numpy(full))

    def _features(
        self,
        rows: Int[np.ndarray, " sample"],
        seen: Bool[np.ndarray, "sample modality"],
        task: Classification,
    ) -> Float[np.ndarray, "sample feature"]:
        """The inputs' embeddings side by side, zero where not seen, and which are seen."""
        columns = [self.embeddings.modalities.index(name) for name in task.inputs]
        z = self._seen(rows, seen, task.inputs).z[:, columns].numpy()
        return np.concatenate([z.reshape(len(rows), -1), seen], axis=1, dtype=np.float64)

    def _labelled(
        self, task: Classification, pattern: Pattern, split: str
    ) -> tuple[
        Int[np.ndarray, " sample"], Bool[np.ndarray, "sample modality"], Int[np.ndarray, " sample"]
    ]:
        rows, seen = samples(self.store, split, task.inputs, pattern, seed=task.seed)
        label = self.store.outcome(task.outcome)[rows]
        known = ~np.isnan(label)
        return rows[known], seen[known], label[known].astype(int)


@dataclass(frozen=True)
class OracleScorer:
    """Who knows a made-up cohort, asked like a model.

    Attributes:
        oracle: with `score(rows, seen, candidates, target=…)` and `probability(rows, seen,
            outcome=…)`, where the columns of `seen` are the store's modalities.
        store: of the cohort.
    """

    oracle: Any
    store: CohortStore

    def score(
        self,
        task: Retrieval,
        rows: Int[np.ndarray, " query"],
        seen: Bool[np.ndarray, "query modality"],
        candidates: Int[np.ndarray, "query candidate"],
    ) -> Float[np.ndarray, "query candidate"]:
        """See `Scorer`."""
        there = candidates != NOBODY
        known = np.where(there, candidates, rows[:, None])
        full = self._seen(seen, task.query)
        return np.where(there, self.oracle.score(rows, full, known, target=task.target), -np.inf)

    def score_all(
        self,
        task: Retrieval,
        rows: Int[np.ndarray, " query"],
        seen: Bool[np.ndarray, "query modality"],
        candidates: Int[np.ndarray, " candidate"],
    ) -> Float[np.ndarray, "query candidate"]:
        """See `Scorer`."""
        listed = np.broadcast_to(candidates, (len(rows), len(candidates)))
        return self.oracle.score(rows, self._seen(seen, task.query), listed, target=task.target)

    def probability(
        self,
        task: Classification,
        rows: Int[np.ndarray, " sample"],
        seen: Bool[np.ndarray, "sample modality"],
        pattern: Pattern,
    ) -> Float[np.ndarray, " sample"]:
        """See `Scorer`."""
        return self.oracle.probability(rows, self._seen(seen, task.inputs), outcome=task.outcome)

    def _seen(
        self, seen: Bool[np.ndarray, "sample asked"], modalities: tuple[str, ...]
    ) -> Bool[np.ndarray, "sample modality"]:
        full = np.zeros((len(seen), len(self.store.modalities)), dtype=bool)
        full[:, [self.store.modalities.index(name) for name in modalities]] = seen
        return full


def samples(
    store: CohortStore,
    split: str,
    modalities: tuple[str, ...],
    pattern: Pattern,
    *,
    seed: int,
) -> tuple[Int[np.ndarray, " sample"], Bool[np.ndarray, "sample modality"]]:
    """The rows of a split that a pattern is scored on, and which modalities are seen of each."""
    rows = store.rows(split)
    columns = [store.modalities.index(name) for name in modalities]
    rows = rows[scored(pattern, store.present[rows][:, columns])]
    present = store.present[rows][:, columns]
    return rows, visible(pattern, modalities=modalities, present=present, seed=seed, rows=rows)


def _probe(
    strength: float,
    features: Float[np.ndarray, "sample feature"],
    label: Int[np.ndarray, " sample"],
) -> Pipeline:
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
    with warnings.catch_warnings():
        # A probe that stopped early is still a probe: the tuning split judges it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return probe.fit(features, label)

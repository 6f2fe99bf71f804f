"""A baseline, asked like a model."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.config.tasks.retrieval import Retrieval
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.baselines.base import Baseline
from clinical_symile.evaluation.labels import outcome_labels, subsample_label_rows
from clinical_symile.evaluation.predictors.embedding import NEEDS_LABELS, samples
from clinical_symile.missingness.patterns import Pattern
from clinical_symile.training.supervised import LabelledRows


@dataclass(frozen=True)
class BaselineScorer:
    """Predicts outcomes; it cannot retrieve.

    Attributes:
        baseline: who predicts.
        store: labels and measurements.
        pretraining: whose encoders a baseline that trains some may use.
    """

    baseline: Baseline
    store: CohortStore
    pretraining: Pretraining

    def score(
        self,
        task: Retrieval,
        rows: Int[np.ndarray, " query"],
        available: Bool[np.ndarray, "query modality"],
        candidates: Int[np.ndarray, "query candidate"],
    ) -> Float[np.ndarray, "query candidate"]:
        """See `Scorer`.

        Raises:
            CannotScore: always.
        """
        raise CannotScore("a baseline predicts outcomes; it cannot retrieve.")

    def score_all(
        self,
        task: Retrieval,
        rows: Int[np.ndarray, " query"],
        available: Bool[np.ndarray, "query modality"],
        candidates: Int[np.ndarray, " candidate"],
    ) -> Float[np.ndarray, "query candidate"]:
        """See `Scorer`.

        Raises:
            CannotScore: always.
        """
        raise CannotScore("a baseline predicts outcomes; it cannot retrieve.")

    def probability(
        self,
        task: Classification,
        rows: Int[np.ndarray, " sample"],
        available: Bool[np.ndarray, "sample modality"],
        pattern: Pattern,
    ) -> Float[np.ndarray, " sample"]:
        """See `Scorer`.

        Raises:
            CannotScore: too few labels, or what the baseline says.
        """
        train, tuning = (self._cases(task, pattern, split) for split in ("train", "tuning"))
        if len(np.unique(train.label)) < 2 or not len(tuning.label):
            raise CannotScore(NEEDS_LABELS)
        return self.baseline.predict(
            train,
            tuning,
            rows,
            available,
            store=self.store,
            task=task,
            pretraining=self.pretraining,
        )

    def _cases(self, task: Classification, pattern: Pattern, split: str) -> LabelledRows:
        rows, available = samples(self.store, split, task.inputs, pattern, seed=task.seed)
        label = outcome_labels(self.store, task)[rows]
        known = ~np.isnan(label)
        rows, available, label = rows[known], available[known], label[known].astype(int)
        kept = subsample_label_rows(label, task)
        return LabelledRows(rows[kept], available[kept], label[kept])

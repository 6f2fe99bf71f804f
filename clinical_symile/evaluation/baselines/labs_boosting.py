"""Gradient boosting on labs as they were measured."""

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.ensemble import HistGradientBoostingClassifier

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.baselines.base import vectors
from clinical_symile.evaluation.probes._logistic_regression import log_loss
from clinical_symile.training.supervised import LabelledRows

TREES, LEAVES, LEARNING_RATE = 100, 8, 0.1
# Of few samples a tenth, so that there is a tree at all.
LEAST_IN_LEAF = 20


class LabsBoosting:
    """Boosted trees on every number of the modalities that are lists of numbers.

    Trees take a number that was not measured as it is. Of all numbers of trees, that with the
    lowest log loss on tuning samples is taken.
    """

    description = "Gradient boosting on the labs as they were measured."
    learns_from_all = False

    def predict(
        self,
        train: LabelledRows,
        tuning: LabelledRows,
        rows: Int[np.ndarray, " sample"],
        available: Bool[np.ndarray, "sample modality"],
        *,
        store: CohortStore,
        task: Classification,
        pretraining: Pretraining,
    ) -> Float[np.ndarray, " sample"]:
        """See `Baseline`.

        Raises:
            CannotScore: no number is seen of any training sample.
        """
        known = vectors(store, train.rows, train.available, task.inputs)
        measured = ~np.isnan(known).all(axis=0)
        if not measured.any():
            raise CannotScore("no labs are seen under this pattern.")
        trees = HistGradientBoostingClassifier(
            max_iter=TREES,
            max_leaf_nodes=LEAVES,
            min_samples_leaf=max(1, min(LEAST_IN_LEAF, len(train.rows) // 10)),
            learning_rate=LEARNING_RATE,
            early_stopping=False,  # pyright: ignore[reportArgumentType], its stubs know "auto" alone
            random_state=task.seed,
        ).fit(known[:, measured], train.label)
        tuned = vectors(store, tuning.rows, tuning.available, task.inputs)[:, measured]
        losses = [log_loss(tuning.label, p[:, 1]) for p in trees.staged_predict_proba(tuned)]
        asked = vectors(store, rows, available, task.inputs)[:, measured]
        stages = list(trees.staged_predict_proba(asked))
        return stages[int(np.argmin(losses))][:, 1]

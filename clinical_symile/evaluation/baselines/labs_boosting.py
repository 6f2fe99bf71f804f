"""Predict by gradient boosting on labs as they were measured."""

import numpy as np
from jaxtyping import Float
from sklearn.ensemble import HistGradientBoostingClassifier

from clinical_symile.evaluation.baselines.base import BaselineInputs, observed_columns
from clinical_symile.evaluation.probes._logistic_regression import log_loss

_TREES, _LEAVES, _LEARNING_RATE = 100, 8, 0.1
# With few samples it is a tenth of them, so that there is a tree at all.
_SAMPLES_PER_LEAF = 20


class LabsBoosting:
    """Boosted trees on every value of the tabular modalities.

    Trees read missing values as they are. The number of trees with the lowest log loss on the
    tuning samples is used.
    """

    display_name = "labs, boosted trees"
    needs = ("a tabular modality",)

    description = "Gradient boosting on the labs as they were measured."
    learns_from_all = False

    def predict(self, inputs: BaselineInputs) -> Float[np.ndarray, " sample"]:
        """Predict the outcome; see `Baseline`.

        Raises:
            CannotScore: no training sample has any value.
        """
        train, tuning = inputs.train, inputs.tuning
        values = inputs.tabular(train)
        observed = observed_columns(values)
        trees = HistGradientBoostingClassifier(
            max_iter=_TREES,
            max_leaf_nodes=_LEAVES,
            min_samples_leaf=max(1, min(_SAMPLES_PER_LEAF, len(train.rows) // 10)),
            learning_rate=_LEARNING_RATE,
            early_stopping=False,  # pyright: ignore[reportArgumentType], its stubs know "auto" alone
            random_state=inputs.request.task.seed,
        ).fit(values[:, observed], train.label)
        staged = trees.staged_predict_proba(inputs.tabular(tuning)[:, observed])
        losses = [log_loss(tuning.label, p[:, 1]) for p in staged]
        stages = list(trees.staged_predict_proba(inputs.tabular(inputs.request)[:, observed]))
        return stages[int(np.argmin(losses))][:, 1]

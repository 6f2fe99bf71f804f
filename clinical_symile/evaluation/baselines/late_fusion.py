"""Predict by one supervised model per modality, whose log odds are averaged."""

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.baselines.base import BaselineInputs
from clinical_symile.evaluation.labels import outcome_labels, subsample_label_rows
from clinical_symile.models.multimodal import build_model
from clinical_symile.training.supervised import (
    Classifier,
    LabelledRows,
    fit_classifier,
    predict_log_odds,
)


class LateFusion:
    """One encoder per modality, trained from scratch for the outcome.

    Each is trained once for a task, on all training samples that have its modality and a label that
    the task allows, whatever the pattern. A prediction is the mean of the log odds over the
    available modalities, so that under `only-cxr` it is the X-ray's model alone.
    """

    display_name = "supervised, late fusion"
    needs = ("the encoders of a pretraining task",)

    description = "A supervised model for each modality alone; their log odds are averaged."
    learns_from_all = True

    def __init__(self) -> None:
        self._fitted: dict[tuple[object, ...], Classifier] = {}

    def predict(self, inputs: BaselineInputs) -> Float[np.ndarray, " sample"]:
        """Predict the outcome; see `Baseline`.

        Raises:
            CannotScore: the pretraining task has no encoder for a modality, there are too few
                labels, or training diverged.
        """
        request, store = inputs.request, inputs.store
        rows, available = request.rows, request.available
        total = np.zeros(len(rows))
        for column, name in enumerate(request.task.inputs):
            has = available[:, column]
            if has.any():
                classifier = self._classifier(name, store, request.task, inputs.pretraining)
                alone = np.ones((int(has.sum()), 1), dtype=bool)
                total[has] += predict_log_odds(classifier, store, rows[has], alone)
        return expit(total / np.maximum(available.sum(axis=1), 1))

    def _classifier(
        self, name: str, store: CohortStore, task: Classification, pretraining: Pretraining
    ) -> Classifier:
        """Return the model of one modality; it is trained at the first call."""
        labelled = (task.outcome, task.uncertain, task.label_share, task.label_seeds)
        key = (name, *labelled, task.seed)
        if key not in self._fitted:
            if name not in pretraining.modalities:
                raise CannotScore(
                    f"task '{pretraining.name}' has no encoder for {name}.", code="CS-S009"
                )
            alone = pretraining.model_copy(
                update={"modalities": (name,), "encoders": {name: pretraining.encoders[name]}}
            )
            train, tuning = (
                _labelled_rows(name, store, task, split) for split in ("train", "tuning")
            )
            if len(np.unique(train.label)) < 2 or not len(tuning.label):
                raise CannotScore(
                    f"too few labels of samples with {name}: the train split needs both classes, "
                    "and the tuning split one sample.",
                    code="CS-S008",
                )
            self._fitted[key] = fit_classifier(
                Classifier(build_model(alone, store, seed=task.seed), (name,)),
                store,
                train,
                tuning,
                optimiser=pretraining.optimiser,
                epochs=pretraining.epochs,
                batch_size=pretraining.batch_size,
                seed=task.seed,
                keep_statistics=False,
            )
        return self._fitted[key]


def _labelled_rows(name: str, store: CohortStore, task: Classification, split: str) -> LabelledRows:
    """Return the samples of a split that have a modality and a label that the task allows."""
    rows, label = store.rows(split), outcome_labels(store, task)
    kept = store.present[rows, store.modalities.index(name)] & ~np.isnan(label[rows])
    rows = rows[kept]
    known = label[rows].astype(int)
    taken = subsample_label_rows(known, task)
    return LabelledRows(rows[taken], np.ones((len(taken), 1), dtype=bool), known[taken])

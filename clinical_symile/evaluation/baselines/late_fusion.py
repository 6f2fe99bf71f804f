"""One supervised model for each modality, whose log odds are averaged."""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import expit

from clinical_symile.config.tasks.classification import Classification
from clinical_symile.config.tasks.pretraining import Pretraining
from clinical_symile.data.store import CohortStore
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.labels import outcome_labels, subsample_label_rows
from clinical_symile.models.multimodal import build_model
from clinical_symile.training.supervised import (
    Classifier,
    LabelledRows,
    fit_classifier,
    predict_log_odds,
)


class LateFusion:
    """Encoders trained from scratch for the outcome, one for each modality, and none for pairs.

    Each is trained once for a task, on all training samples that have its modality and a label that
    the task allows, whatever the pattern; a prediction is the mean log odds of those whose modality
    is seen. Under `only-cxr` it is therefore the X-ray's model alone.
    """

    description = "A supervised model for each modality alone; their log odds are averaged."
    learns_from_all = True

    def __init__(self) -> None:
        self._fitted: dict[tuple[object, ...], Classifier] = {}

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
            CannotScore: the pretraining task has no encoder for an input, the labels are too few,
                or training diverged.
        """
        summed = np.zeros(len(rows))
        for column, name in enumerate(task.inputs):
            shown = available[:, column]
            if shown.any():
                classifier = self._of(name, store, task, pretraining)
                everything = np.ones((int(shown.sum()), 1), dtype=bool)
                summed[shown] += predict_log_odds(classifier, store, rows[shown], everything)
        return expit(summed / np.maximum(available.sum(axis=1), 1))

    def _of(
        self, name: str, store: CohortStore, task: Classification, pretraining: Pretraining
    ) -> Classifier:
        """The model of one modality, trained when it is first asked for."""
        labelled = (task.outcome, task.uncertain, task.label_share, task.label_seeds)
        key = (name, *labelled, task.seed)
        if key not in self._fitted:
            if name not in pretraining.modalities:
                raise CannotScore(f"task '{pretraining.name}' has no encoder for {name}.")
            alone = pretraining.model_copy(
                update={"modalities": (name,), "encoders": {name: pretraining.encoders[name]}}
            )
            train, tuning = (_cases(name, store, task, split) for split in ("train", "tuning"))
            if len(np.unique(train.label)) < 2 or not len(tuning.label):
                raise CannotScore(
                    f"too few labels of samples with {name}: the train split needs both classes, "
                    "and the tuning split one sample."
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


def _cases(name: str, store: CohortStore, task: Classification, split: str) -> LabelledRows:
    rows, label = store.rows(split), outcome_labels(store, task)
    kept = store.present[rows, store.modalities.index(name)] & ~np.isnan(label[rows])
    rows = rows[kept]
    known = label[rows].astype(int)
    taken = subsample_label_rows(known, task)
    return LabelledRows(rows[taken], np.ones((len(taken), 1), dtype=bool), known[taken])

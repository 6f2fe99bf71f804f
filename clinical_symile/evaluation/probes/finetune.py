"""Predict by training the run's encoders further with one layer on top."""

import copy

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from clinical_symile.config.tasks.pretraining import Optimiser
from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.probes.base import ProbeInputs
from clinical_symile.training.supervised import (
    Classifier,
    LabelledRows,
    fit_classifier,
    predict_log_odds,
)


class FineTune:
    """The run's encoders, trained further for the outcome with one layer on top.

    The epoch with the lowest log loss on tuning samples is kept. The run's own weights do not
    change.

    Args:
        epochs: passes over the training samples.
        batch_size: samples in a step.
        learning_rate: the peak, as in pretraining.
        weight_decay: weight decay of matrices.
        warmup_fraction: share of all steps over which the learning rate rises.
        gradient_clip: largest norm of the gradient.

    Raises:
        ValueError: `epochs` or `batch_size` is below 1.
    """

    display_name = "fine-tuning"
    description = "Trains the run's encoders further for the outcome, with one layer on top."
    needs = ("the weights of the run",)

    def __init__(
        self,
        *,
        epochs: int,
        batch_size: int,
        learning_rate: float,
        weight_decay: float = 0.05,
        warmup_fraction: float = 0.1,
        gradient_clip: float = 1.0,
    ):
        if epochs < 1 or batch_size < 1:
            raise ValueError(
                f"epochs is {epochs} and batch_size {batch_size}; expected whole numbers from 1."
            )
        self._epochs, self._batch_size = epochs, batch_size
        self._optimiser = Optimiser(
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            warmup_fraction=warmup_fraction,
            gradient_clip=gradient_clip,
        )

    def predict(self, inputs: ProbeInputs) -> Float[np.ndarray, " sample"]:
        """Predict the outcome; see `Probe`.

        Raises:
            CannotScore: the encoders are unknown, or training diverged.
        """
        train, tuning, samples, encoders = (
            inputs.train,
            inputs.tuning,
            inputs.samples,
            inputs.encoders,
        )
        if encoders is None:
            raise CannotScore(
                "fine-tuning needs the encoders; only the embeddings of this model are known.",
                code="CS-S006",
            )
        classifier = fit_classifier(
            Classifier(copy.deepcopy(encoders.learner.model), samples.modalities),
            encoders.store,
            LabelledRows(train.rows, train.available, train.label),
            LabelledRows(tuning.rows, tuning.available, tuning.label),
            optimiser=self._optimiser,
            epochs=self._epochs,
            batch_size=self._batch_size,
            seed=inputs.seed,
            keep_statistics=True,
        )
        store = encoders.applied or encoders.store
        return expit(predict_log_odds(classifier, store, samples.rows, samples.available))

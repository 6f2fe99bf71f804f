"""Predict by the nearest class prototype: the mean embedding of each class."""

import numpy as np
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression

from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.probes.base import EmbeddedSamples, LabelledSamples, ProbeInputs


class Prototype:
    """Similarity to the prototype of the positive class minus that to the negative class.

    The prototype of a class is the mean of its training embeddings, one for each modality,
    normalized to length 1. A sample's score is the mean over its available modalities of its inner
    products with the positive prototype minus those with the negative one. Two numbers, fitted on
    tuning samples, turn scores into probabilities. They keep the order of the scores, or reverse
    it if the scores point the wrong way.

    Args:
        shared: True for one prototype of a class for all modalities, their mean. It suits spaces in
            which all modalities of a sample are close together.

    Source: Snell, Swersky and Zemel, "Prototypical Networks for Few-shot Learning", NeurIPS 2017.
    https://arxiv.org/abs/1703.05175
    """

    display_name = "class prototypes"
    description = (
        "Similarity to the mean of the positive class minus that to the mean of the negative class."
    )

    def __init__(self, *, shared: bool = False):
        self._shared = shared

    def predict(self, inputs: ProbeInputs) -> Float[np.ndarray, " sample"]:
        """Predict the outcome; see `Probe`.

        Raises:
            CannotScore: all tuning samples are of one class.
        """
        train, tuning = inputs.train, inputs.tuning
        if len(np.unique(tuning.label)) < 2:
            raise CannotScore(
                "scores cannot be turned into probabilities: under this pattern the tuning split "
                "needs samples with the outcome and samples without it.",
                code="CS-S008",
            )
        direction = self._prototypes(train, 1) - self._prototypes(train, 0)
        # Standardized, so that the regression's penalty hardly matters.
        known = _scores(tuning, direction)
        centre, spread = known.mean(), known.std() or 1.0
        fitted = LogisticRegression(C=1e6).fit((known[:, None] - centre) / spread, tuning.label)
        scores = _scores(inputs.samples, direction)
        return fitted.predict_proba((scores[:, None] - centre) / spread)[:, 1]

    def _prototypes(self, train: LabelledSamples, label: int) -> Float[np.ndarray, "modality dim"]:
        of_class = train.label == label
        available = train.available[of_class]
        summed = np.where(available[:, :, None], train.z[of_class], 0).sum(axis=0, dtype=np.float64)
        means = _unit(summed / np.maximum(available.sum(axis=0), 1)[:, None])
        if self._shared:
            means = np.broadcast_to(_unit(means.sum(axis=0)), means.shape)
        return means


def _scores(
    samples: EmbeddedSamples, direction: Float[np.ndarray, "modality dim"]
) -> Float[np.ndarray, " sample"]:
    z = np.where(samples.available[:, :, None], samples.z, 0)
    return np.einsum("smd,md->s", z, direction) / np.maximum(samples.available.sum(axis=1), 1)


def _unit(vectors: Float[np.ndarray, "*vector dim"]) -> Float[np.ndarray, "*vector dim"]:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)

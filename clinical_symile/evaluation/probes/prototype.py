"""Nearest class prototype: nothing is fitted to the embeddings but two means."""

import numpy as np
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression

from clinical_symile.errors import CannotScore
from clinical_symile.evaluation.probes.base import Encoders, Labelled, Shown


class Prototype:
    """How much closer a sample is to the mean of those with the outcome than to the others'.

    The prototype of a class is the mean of its training embeddings, of each modality apart, brought
    to length 1. A sample's score is the mean over the modalities that are seen of its products with
    the one prototype, minus those with the other. Two numbers, fitted on tuning samples, turn
    scores into probabilities; they leave the order as it is, unless the scores point the wrong way.

    Args:
        shared: a class has one prototype for all modalities, the mean over them, so that an X-ray
            may be recognised by what ECGs of its class look like; for spaces in which all
            modalities of a sample lie close together.

    Source: Snell, Swersky and Zemel, "Prototypical Networks for Few-shot Learning", NeurIPS 2017.
    https://arxiv.org/abs/1703.05175
    """

    def __init__(self, *, shared: bool = False):
        self._shared = shared

    def predict(
        self,
        train: Labelled,
        tuning: Labelled,
        asked: Shown,
        *,
        encoders: Encoders | None,
        seed: int,
    ) -> Float[np.ndarray, " sample"]:
        """See `Probe`.

        Raises:
            CannotScore: the tuning samples are all of one class.
        """
        if len(np.unique(tuning.label)) < 2:
            raise CannotScore(
                "scores cannot be turned into probabilities: under this pattern the tuning split "
                "needs samples with the outcome and samples without it."
            )
        direction = self._prototypes(train, 1) - self._prototypes(train, 0)
        # Standardised, so that the two numbers hardly feel the regression's prior.
        known = _scores(tuning, direction)
        centre, spread = known.mean(), known.std() or 1.0
        fitted = LogisticRegression(C=1e6).fit((known[:, None] - centre) / spread, tuning.label)
        scores = _scores(asked, direction)
        return fitted.predict_proba((scores[:, None] - centre) / spread)[:, 1]

    def _prototypes(self, train: Labelled, label: int) -> Float[np.ndarray, "modality dim"]:
        of_class = train.label == label
        available = train.available[of_class]
        summed = np.where(available[:, :, None], train.z[of_class], 0).sum(axis=0, dtype=np.float64)
        means = _unit(summed / np.maximum(available.sum(axis=0), 1)[:, None])
        if self._shared:
            means = np.broadcast_to(_unit(means.sum(axis=0)), means.shape)
        return means


def _scores(
    samples: Shown, direction: Float[np.ndarray, "modality dim"]
) -> Float[np.ndarray, " sample"]:
    z = np.where(samples.available[:, :, None], samples.z, 0)
    return np.einsum("smd,md->s", z, direction) / np.maximum(samples.available.sum(axis=1), 1)


def _unit(vectors: Float[np.ndarray, "*vector dim"]) -> Float[np.ndarray, "*vector dim"]:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
